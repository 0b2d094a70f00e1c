//! Supervises the command from start to exit: reaps children, enforces limits, carries out kills.
//!
//! Invariants: a process is signalled only while its pid cannot have been reused (the command while it is not reaped,
//! descendants through a pidfd that was checked after it was opened); no signal is sent before the intent to kill is
//! written; the exit of the command is reported by the kernel, everything else is polled once per tick.
//!
//! Nothing here returns an error: the command would otherwise be left without supervision.

use super::job::JobDir;
use super::slot::{Ended, Killed};
use super::spec::Spec;
use crate::clock::boottime_us;
use crate::system::proc::{self, Stat};
use crate::system::signals::{Handle, signal_group};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus};
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// How often the kill file and the time limit are looked at.
const TICK: Duration = Duration::from_millis(100);
/// How long processes that were sent KILL are waited for once the command itself has ended.
const AFTER_KILL_US: u64 = 5_000_000;

/// The command and its descendants, whose parent this process becomes when theirs dies.
pub(super) struct Watch {
    main: Pid,
    /// Says that some child can be reaped.
    news: Receiver<()>,
    /// Says that it was.
    reaped: Sender<()>,
    ended: Option<Ended>,
}

impl Watch {
    /// For the command that was just started.
    pub(super) fn new(main: Pid) -> Self {
        let (tell, news) = mpsc::channel();
        let (reaped, go_on) = mpsc::channel();
        // Waits without reaping. Reaping is left to the thread that sends signals, so that no signal is sent to a reused
        // pid.
        let looker = move || {
            loop {
                match rustix::process::waitid(
                    WaitId::All,
                    WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
                ) {
                    Ok(_) if tell.send(()).is_ok() && go_on.recv().is_ok() => {}
                    Err(Errno::INTR) => {}
                    Ok(_) | Err(_) => return,
                }
            }
        };
        // Without the thread the children are polled once per tick.
        let _ = std::thread::Builder::new()
            .name("wait".into())
            .spawn(looker);
        Self {
            main,
            news,
            reaped,
            ended: None,
        }
    }

    /// Returns when the command, and after a kill all its processes, have exited: the exit status, and why it was killed.
    /// None if the system did not report a status.
    pub(super) fn run(
        mut self,
        spec: &Spec,
        job: &JobDir,
        started_us: u64,
    ) -> Option<(Ended, Option<Killed>)> {
        let deadline = spec
            .timeout_ms
            .map(|ms| started_us.saturating_add(ms.saturating_mul(1000)));
        let mut killing: Option<(Killed, u64)> = None;
        loop {
            let known = self.wait();
            let now = boottime_us();
            match (&killing, &self.ended) {
                (None, Some(ended)) => return Some((ended.clone(), None)),
                (None, None) => {
                    if !known {
                        return None;
                    }
                    let cause = match job.kill_note() {
                        Some(note) => Killed::Request(note.reason),
                        None if deadline.is_some_and(|d| now >= d) => Killed::Timeout,
                        None => continue,
                    };
                    // A full disk must not disable the time limit: the result records the kill as well.
                    let _ = job.mark_killing(&cause);
                    self.signal(Signal::TERM);
                    // A stopped process receives no other signal.
                    self.signal(Signal::CONT);
                    killing = Some((
                        cause,
                        now.saturating_add(spec.grace_ms.saturating_mul(1000)),
                    ));
                }
                (Some((cause, force_at)), ended) => {
                    if let Some(ended) = ended
                        && (job.tree_is_free() || now >= force_at.saturating_add(AFTER_KILL_US))
                    {
                        return Some((ended.clone(), Some(cause.clone())));
                    }
                    if now >= *force_at {
                        self.signal(Signal::KILL);
                        kill_holders(job, descendants());
                    }
                    if !known && ended.is_none() {
                        return None;
                    }
                }
            }
        }
    }

    /// Waits for an event, at most one tick, and reaps. `false`: there is no child left.
    fn wait(&mut self) -> bool {
        match self.news.recv_timeout(TICK) {
            Ok(()) => {
                let known = self.reap();
                // The thread may be gone; then poll once per tick.
                let _ = self.reaped.send(());
                known
            }
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::sleep(TICK);
                self.reap()
            }
        }
    }

    fn reap(&mut self) -> bool {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.main => {
                    self.ended = ended(status).or(self.ended.take())
                }
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => return true,
                Err(_) => return self.ended.is_some(),
            }
        }
    }

    /// Signals the command's process group, as long as it is the command's.
    fn signal(&self, signal: Signal) {
        if self.ended.is_none() {
            // It may just have exited; it is not reaped yet, so the pid is still valid.
            let _ = signal_group(self.main.as_raw_nonzero().get(), signal);
        }
    }
}

fn ended(status: WaitStatus) -> Option<Ended> {
    status
        .exit_status()
        .map(Ended::Exited)
        .or_else(|| status.terminating_signal().map(Ended::Signaled))
}

/// Kills each of these processes that holds `tree.lock`. A process that has released it is a daemon that is meant to keep
/// running.
pub(super) fn kill_holders(job: &JobDir, processes: Vec<Pid>) {
    let Some(tree) = Tree::of(job) else {
        return;
    };
    for pid in processes {
        if !tree.has(pid) {
            continue;
        }
        // Checked again once there is a handle: between the first check and opening the handle the pid may have passed to
        // another process.
        let handle = Handle::open(pid.as_raw_nonzero().get(), || tree.has(pid));
        // It may already have exited.
        let _ = handle.and_then(|handle| handle.signal(Signal::KILL));
    }
}

/// The processes that hold `tree.lock`.
pub(super) fn held_by(job: &JobDir) -> Vec<i32> {
    let Some(tree) = Tree::of(job) else {
        return Vec::new();
    };
    everybody()
        .into_iter()
        .filter(|pid| tree.has(*pid))
        .map(|pid| pid.as_raw_nonzero().get())
        .collect()
}

/// The group of a process.
pub(super) fn group(pid: i32) -> Option<i32> {
    Stat::of(pid).map(|stat| stat.group)
}

/// The same processes with their command lines, not yet redacted.
pub(super) fn holders(job: &JobDir) -> Vec<String> {
    held_by(job)
        .into_iter()
        .map(|pid| format!("process {pid} ({})", proc::words(pid).join(" ")))
        .collect()
}

/// The processes of a job, which hold its `tree.lock`.
struct Tree<'a> {
    job: Option<&'a str>,
    lock: (u64, u64),
}

impl<'a> Tree<'a> {
    fn of(job: &'a JobDir) -> Option<Self> {
        let lock = std::fs::metadata(job.path().join("tree.lock")).ok()?;
        Some(Self {
            job: job.path().file_name().and_then(|name| name.to_str()),
            lock: (lock.dev(), lock.ino()),
        })
    }

    /// Whether a process has the lock's file open. The process of an action shows its files to nobody, because it holds
    /// secrets; it names its job.
    fn has(&self, pid: Pid) -> bool {
        let pid = pid.as_raw_nonzero().get();
        let words = proc::words(pid);
        let acts = words.get(1).is_some_and(|w| w == super::launch::ACT);
        (acts && words.get(2).map(String::as_str) == self.job)
            || proc::descriptors(pid)
                .any(|fd| std::fs::metadata(fd).is_ok_and(|m| (m.dev(), m.ino()) == self.lock))
    }
}

/// Every process but those of this program that only look at a lock or wait for it.
pub(super) fn everybody() -> Vec<Pid> {
    let own = proc::own_exe().ok();
    let looks = |pid: i32| {
        let act = proc::words(pid)
            .get(1)
            .is_some_and(|w| w == super::launch::ACT);
        own.is_some() && proc::exe(pid).ok() == own && !act
    };
    let pids = proc::pids().unwrap_or_default().into_iter();
    pids.filter(|pid| !looks(*pid))
        .filter_map(Pid::from_raw)
        .collect()
}

/// Every descendant of this process; orphans are its direct children, because it is their subreaper.
fn descendants() -> Vec<Pid> {
    let parents: Vec<(i32, i32)> = proc::every().map(|(pid, s)| (pid, s.parent)).collect();
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let mut below = BTreeSet::from([own]);
    loop {
        let before = below.len();
        for (pid, parent) in &parents {
            if below.contains(parent) {
                below.insert(*pid);
            }
        }
        if below.len() == before {
            break;
        }
    }
    below.remove(&own);
    below.into_iter().filter_map(Pid::from_raw).collect()
}
