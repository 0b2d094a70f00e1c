//! The runner's side of the start: spawns a detached supervisor, sends its frame, and reads its report.
//!
//! The report is for display only: events in the ledger are derived from the job directory.

use super::spec::SupervisorInput;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The hidden subcommand of the first stage, which detaches and exits.
pub const STAGE_1: &str = "__supervise";
/// The hidden subcommand of the supervisor itself.
pub const STAGE_2: &str = "__supervise-detached";
/// The hidden subcommand of a typed action's process.
pub const ACT: &str = "__act";
/// This program, even when its file was replaced meanwhile.
pub const SELF: &str = "/proc/self/exe";

/// How long to wait for the supervisor's report. It arrives within milliseconds unless the disk or the process hangs; after
/// the timeout the runner inspects the job directory, which fences an attempt that has not started.
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
    /// No report: it died, or it hangs. Inspect the job directory.
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
        // For readers of a process list, among them `JobDir::supervisor`.
        .arg0("upledger")
        .arg(STAGE_1)
        .arg(frame.job.file_name().unwrap_or_default())
        .current_dir("/")
        // Ctrl-C goes to the runner's group, also in the milliseconds before the supervisor has left the session. Not
        // `in_own_session`: a call between fork and exec costs a copy of the runner's page tables, which grow with the run.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let (tx, rx) = tokio::sync::oneshot::channel();
    // A separate thread: the runtime has one thread, which must keep handling signals, and on shutdown it would wait for
    // its own blocking threads.
    std::thread::Builder::new()
        .name("launch".into())
        .spawn(move || {
            // The receiver is gone; the launch continues anyway.
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
        // A truncated frame is not valid JSON, so a supervisor never acts on a part of it.
        Some(mut pipe) => pipe.write_all(frame),
        None => Ok(()),
    };
    let mut said = String::new();
    if let Some(mut pipe) = child.stdout.take() {
        // A missing report is handled as well: the caller inspects the job directory.
        let _ = pipe.read_to_string(&mut said);
    }
    // The first stage has already exited. If SIGCHLD is ignored, there is nothing to wait for.
    let _ = child.wait();
    fed?;
    Ok(match said.as_str() {
        STARTED => Launched::Started,
        EXEC_FAILED => Launched::ExecFailed,
        FENCED => Launched::Fenced,
        _ => Launched::Died,
    })
}
