//! The supervisor: a small detached process that starts one command, waits for it, and records its exact exit status.
//!
//! The order is essential: scope, lock, token (durable), start, wait, result (durable). This process may die between any
//! two of these steps; the truth table of `upledger_replay::verdict` defines the consequences.
//!
//! It waits for its child, not for the end of its output; it survives the runner, the terminal and the session; only the
//! `kill` file, the time limit and SIGKILL stop it. It sends a single report to the process that launched it.
//!
//! Where systemd runs it leaves the unit or session that it was started in for a scope of its own (`super::scope`), before anything
//! else: a stop that comes earlier means that nothing was started, one that comes later does not reach it. A
//! scope that nobody is in any more is forgotten by systemd. Where there is none to be had, the output says so, and a
//! service manager that kills the surrounding cgroup kills the supervisor too; the attempt is then in doubt, or orphaned.

use super::child::{self, NotExecuted};
use super::job::JobDir;
use super::launch::{EXEC_FAILED, FENCED, SELF, STAGE_2, STARTED};
use super::output::{Log, Sink, Stored};
use super::scope;
use super::slot::{self, Outcome};
use super::spec::{Spec, SupervisorInput, digest};
use super::sys;
use super::watch::Watch;
use crate::clock::{boot_id, boottime_us};
use crate::failpoint;
use crate::redact::Redactor;
use crate::system::{plain, proc};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, setrlimit};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How long the output of descendants is waited for after the command has ended.
const DRAIN: Duration = Duration::from_millis(200);
/// How long to try to take a lock. An inspecting process holds it for microseconds, another supervisor for longer.
const LOCK: Duration = Duration::from_secs(1);
/// How often to try to write the result, once per second. Its space is allocated, so an error is a device error.
const RESULT_TRIES: u32 = 30;

/// First stage, in a process group of its own: starts the second stage, which does not lead that group and so can leave the
/// session, and exits.
pub fn detach() -> u8 {
    close_inherited();
    let mut command = Command::new(SELF);
    command
        .arg0("upledger")
        .arg(STAGE_2)
        .args(std::env::args_os().skip(2))
        .stderr(Stdio::null())
        .env_clear();
    if cfg!(debug_assertions)
        && let Ok(point) = std::env::var("UPLEDGER_FAILPOINT")
    {
        command.env("UPLEDGER_FAILPOINT", point);
    }
    u8::from(command.spawn().is_err())
}

/// Second stage: the supervisor.
pub fn main() -> u8 {
    let run = || -> io::Result<()> {
        rustix::process::setsid()?;
        // Before the frame is read, because it contains secrets.
        let core = harden()?;
        let mut text = Vec::new();
        io::stdin().lock().read_to_end(&mut text)?;
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        let frame: SupervisorInput = serde_json::from_slice(&text)?;
        supervise(&frame, core)
    };
    u8::from(run().is_err())
}

/// Marks everything above standard error as not to be inherited.
pub(crate) fn close_inherited() {
    for fd in proc::own_descriptors().unwrap_or_else(|_| (3..1024).collect()) {
        if fd > 2 {
            sys::set_close_on_exec(fd);
        }
    }
}

/// Makes this process non-dumpable and immune to all signals but KILL. Returns the inherited core dump limit.
fn harden() -> io::Result<Rlimit> {
    // If executed through a link, it would be listed under the link's name.
    let _ = proc::rename_self("upledger");
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let core = getrlimit(Resource::Core);
    setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: core.maximum,
        },
    )?;
    proc::forbid_core_dump()?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let ignored = Arc::new(AtomicBool::new(false));
    for signal in [
        Signal::HUP,
        Signal::INT,
        Signal::QUIT,
        Signal::TERM,
        Signal::USR1,
        Signal::USR2,
        Signal::ALARM,
        // A file size limit may truncate output, but must not lose the status.
        Signal::XFSZ,
        Signal::XCPU,
        // If SIGCHLD was inherited as ignored, the kernel would discard the exit status of the command.
        Signal::CHILD,
    ] {
        // Handled, not ignored: a handler is reset in the command, an ignored signal would stay ignored.
        signal_hook::flag::register(signal.as_raw(), Arc::clone(&ignored))?;
    }
    Ok(core)
}

fn supervise(frame: &SupervisorInput, core: Rlimit) -> io::Result<()> {
    let job = JobDir::at(frame.job.clone());
    let text = job.spec_text()?;
    if digest(&text) != frame.spec {
        return Err(io::Error::other(
            "the spec is not the one that was intended",
        ));
    }
    let spec: Spec = serde_json::from_str(&text)?;
    let redactor = Redactor::new(&frame.secrets).map_err(io::Error::other)?;

    failpoint::scope(&spec.step);
    let note = scope::enter(&spec)
        .err()
        .map(|why| redactor.text(&scope::note(&why)));
    failpoint::hit("before-lock");
    let shim = taken(job.path().join("shim.lock"))?;
    let tree = taken(job.path().join("tree.lock"))?;
    failpoint::hit("after-lock");
    let result = OpenOptions::new()
        .write(true)
        .open(job.path().join("result"))?;
    if result.metadata()?.len() < slot::SIZE {
        slot::reserve(&result)?;
    }
    // Without the file the command still runs; its output is counted as missing.
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(job.output())
        .ok();
    let log = Log { file, note };
    if job.kill_note().is_some() {
        return Err(io::Error::other("killed before it started"));
    }
    if !job.take_token(&spec.nonce)? {
        tell_runner(FENCED);
        return Ok(());
    }
    // In another directory of that name nobody's fence would be seen.
    if !plain::has_name(&shim, &job.path().join("shim.lock"))? {
        return Err(io::Error::other("the job directory was replaced"));
    }
    failpoint::hit("after-token");

    // From here on, returning early without a result is not allowed: the command may have run.
    let started_us = boottime_us();
    let child = child::start(frame, &spec, &tree, core);
    // From here on only the command and its descendants hold the lock.
    drop(tree);
    let (outcome, word) = match child {
        Err(why) => (
            not_executed(frame, &redactor, &why, started_us),
            EXEC_FAILED,
        ),
        Ok(child) => {
            failpoint::hit("after-spawn");
            tell_runner(STARTED);
            (
                watch(frame, &spec, &job, &redactor, log, child, started_us)?,
                "",
            )
        }
    };
    failpoint::hit("before-result");
    insist(|| slot::write(&result, &outcome))?;
    failpoint::hit("after-result");
    if !word.is_empty() {
        tell_runner(word);
    }
    drop(shim);
    Ok(())
}

/// Takes a lock for this process.
fn taken(path: std::path::PathBuf) -> io::Result<File> {
    let file = File::open(path)?;
    let until = std::time::Instant::now() + LOCK;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if std::time::Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(e) => return Err(e.into()),
        }
    }
}

/// Retries after an error: no other process has the result.
fn insist(mut write: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let mut tries = 1;
    loop {
        match write() {
            Err(_) if tries < RESULT_TRIES => {
                tries += 1;
                std::thread::sleep(Duration::from_secs(1));
            }
            written => return written,
        }
    }
}

/// Sends the report to the runner, which may have exited, and closes the pipe so that the runner does not wait.
fn tell_runner(word: &str) {
    let mut out = io::stdout();
    // If the runner has died, a resume inspects the job directory.
    let _ = out.write_all(word.as_bytes()).and_then(|()| out.flush());
    if let Ok(null) = OpenOptions::new().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(&null);
    }
}

fn not_executed(
    frame: &SupervisorInput,
    redactor: &Redactor,
    why: &NotExecuted,
    started_us: u64,
) -> Outcome {
    Outcome {
        spec: frame.spec.clone(),
        ended: why.ended(|text| redactor.text(text)),
        killed: None,
        boot: boot_id(),
        started_us,
        ended_us: boottime_us(),
        usage: slot::Usage::default(),
        output_len: 0,
        output_sha256: digest(""),
        output_dropped: 0,
        left_behind: false,
    }
}

/// Waits for the command, enforcing its limits, and says how it ended.
fn watch(
    frame: &SupervisorInput,
    spec: &Spec,
    job: &JobDir,
    redactor: &Redactor,
    log: Log,
    mut child: Child,
    started_us: u64,
) -> io::Result<Outcome> {
    let pipes = [
        child.stdout.take().map(OwnedFd::from),
        child.stderr.take().map(OwnedFd::from),
    ];
    let mut sink = Sink::new(
        pipes.into_iter().flatten(),
        redactor,
        log,
        spec.output_limit,
    );
    let ended = Watch::new(Pid::from_child(&child)).run(spec, job, started_us);
    let ended_us = boottime_us();
    sink.drain(DRAIN);
    let Stored {
        len,
        sha256,
        dropped,
    } = sink.finish();
    let (ended, killed) =
        ended.ok_or_else(|| io::Error::other("the system did not say how the command ended"))?;
    Ok(Outcome {
        spec: frame.spec.clone(),
        ended,
        killed,
        boot: boot_id(),
        started_us,
        ended_us,
        usage: sys::usage_of_children(),
        output_len: len,
        output_sha256: sha256,
        output_dropped: dropped,
        left_behind: !job.tree_is_free(),
    })
}
