//! Signals that reach whom they are meant for: one process through a handle, or the group of a command of this program.
//!
//! Invariants: a handle keeps its process and a number does not, so that whether it is the right one is looked at after
//! the handle was opened; a group is signalled by its number only while its leader is not waited for, or somebody of it
//! is known to live. Whom to signal, and what has to be on record before, is the callers' business.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open, pidfd_send_signal,
    test_kill_process_group,
};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// How a process can be reached.
enum Reach {
    Open(OwnedFd),
    /// Kernels before 5.3 have no handles: what is left is a look right before the signal.
    Number,
    Gone,
}

/// A process that was the right one when it was looked at.
pub(crate) struct Handle {
    pid: Pid,
    way: Reach,
}

fn number(pid: i32) -> io::Result<Pid> {
    // A negative number would be a group, and the type does not take it.
    Some(pid)
        .filter(|p| *p > 0)
        .and_then(Pid::from_raw)
        .ok_or_else(|| io::Error::other("the process number is no number of a process"))
}

fn done(sent: rustix::io::Result<()>) -> io::Result<bool> {
    match sent {
        Ok(()) => Ok(true),
        Err(Errno::SRCH) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

impl Handle {
    /// A handle of the process with that number, if it is the right one.
    ///
    /// # Errors
    /// When it is no number of a process, or the kernel refuses.
    pub(crate) fn open(pid: i32, is_right: impl Fn() -> bool) -> io::Result<Self> {
        let pid = number(pid)?;
        let way = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) if is_right() => Reach::Open(handle),
            Ok(_) | Err(Errno::SRCH) => Reach::Gone,
            Err(Errno::NOSYS) if is_right() => Reach::Number,
            Err(Errno::NOSYS) => Reach::Gone,
            Err(e) => return Err(e.into()),
        };
        Ok(Self { pid, way })
    }

    /// Sends it a signal; `false` when it is gone.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<bool> {
        match &self.way {
            Reach::Gone => Ok(false),
            Reach::Open(handle) => done(pidfd_send_signal(handle, signal)),
            Reach::Number => done(kill_process(self.pid, signal)),
        }
    }

    /// Waits for its end, at most that long; the caller looks whether it has come.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn wait(&self, limit: Duration) -> io::Result<()> {
        match &self.way {
            Reach::Gone => {}
            Reach::Number => std::thread::sleep(limit),
            Reach::Open(handle) => {
                let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
                match poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&limit)) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(e) => return Err(e.into()),
                }
            }
        }
        Ok(())
    }
}

/// Signals the whole group that a process leads or led; `false` when there is none.
///
/// # Errors
/// When it is no number of a process, or the kernel refuses.
pub(crate) fn signal_group(leader: i32, signal: Signal) -> io::Result<bool> {
    done(kill_process_group(number(leader)?, signal))
}

/// Kills the whole group of a command of this program; `false` when nothing of it is left.
///
/// # Errors
/// As for [`signal_group`].
pub(crate) fn kill_group(leader: i32) -> io::Result<bool> {
    signal_group(leader, Signal::KILL)
}

/// Whether the group that a process leads or led has members, dead ones among them.
pub(crate) fn group_exists(leader: i32) -> bool {
    number(leader).is_ok_and(|group| test_kill_process_group(group) != Err(Errno::SRCH))
}
