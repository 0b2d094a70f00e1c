//! The runner's side of the start: a detached supervisor is spawned, handed its frame, and says what became of the
//! command.
//!
//! Its word is news, never evidence: what the ledger is told comes from the job directory.

use super::spec::SupervisorInput;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The hidden subcommand of the first stage, which detaches and is gone.
pub const STAGE_1: &str = "__supervise";
/// The hidden subcommand of the supervisor itself.
pub const STAGE_2: &str = "__supervise-detached";
/// The hidden subcommand of a typed action's process.
pub const ACT: &str = "__act";
/// This program, even when its file was replaced meanwhile.
pub const SELF: &str = "/proc/self/exe";

/// How long the supervisor's word is waited for. It comes within milliseconds unless the disk or the process hangs;
/// whoever gives up waiting looks at the job directory, which fences an attempt that has not begun.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the supervisor said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launched {
    /// The command runs.
    Started,
    /// It could not be executed; the result says why.
    ExecFailed,
    /// The attempt was fenced before.
    Fenced,
    /// Nothing: it died, or it hangs. Look at the job directory.
    Died,
}

pub(super) const STARTED: &str = "started\n";
pub(super) const EXEC_FAILED: &str = "exec-failed\n";
pub(super) const FENCED: &str = "fenced\n";

/// The supervisor could not be spawned or fed. Fence the job; only then it provably never starts.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the supervisor")]
pub struct LaunchError(#[from] io::Error);

/// Starts the supervisor of a job and waits for its word, a few milliseconds.
///
/// The future may be dropped: the launch then goes on, as it does when this process dies.
///
/// # Errors
/// [`LaunchError`] when it cannot be spawned or fed.
pub async fn launch(frame: &SupervisorInput) -> Result<Launched, LaunchError> {
    launch_by(Command::new(SELF), frame).await
}

/// The same by another program than this one, for tests: `program` is this crate's binary, with what its environment is
/// to be.
///
/// # Errors
/// [`LaunchError`].
pub async fn launch_by(
    mut program: Command,
    frame: &SupervisorInput,
) -> Result<Launched, LaunchError> {
    let text = serde_json::to_vec(frame).map_err(io::Error::from)?;
    program
        // For people who look at a process list.
        .arg0("upledger")
        .arg(STAGE_1)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let (tx, rx) = tokio::sync::oneshot::channel();
    // A thread of its own: the runtime has one thread, which must go on hearing signals, and at its end it would wait
    // for its own blocking threads.
    std::thread::Builder::new()
        .name("launch".into())
        .spawn(move || {
            // Nobody waits any more: the launch goes on all the same.
            let _ = tx.send(hand_over(program, &text));
        })?;
    match tokio::time::timeout(PATIENCE, rx).await {
        Ok(Ok(word)) => Ok(word?),
        Ok(Err(_)) | Err(_) => Ok(Launched::Died),
    }
}

fn hand_over(mut program: Command, frame: &[u8]) -> io::Result<Launched> {
    let mut child = program.spawn()?;
    let fed = match child.stdin.take() {
        // A frame that is cut off is no JSON, so a supervisor never acts upon half of it.
        Some(mut pipe) => pipe.write_all(frame),
        None => Ok(()),
    };
    let mut said = String::new();
    if let Some(mut pipe) = child.stdout.take() {
        // No word is a word too: the caller looks.
        let _ = pipe.read_to_string(&mut said);
    }
    // The first stage ended long ago. Where its end is ignored there is nothing to wait for.
    let _ = child.wait();
    fed?;
    Ok(match said.as_str() {
        STARTED => Launched::Started,
        EXEC_FAILED => Launched::ExecFailed,
        FENCED => Launched::Fenced,
        _ => Launched::Died,
    })
}
