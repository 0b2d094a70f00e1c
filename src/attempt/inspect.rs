//! Read-only inspection of a job directory; never fences.
//!
//! Unlike [`JobDir::fence_and_inspect`] it takes no token, so its answer is a snapshot that can change at any time. Process ids are for
//! display; no decision depends on them.

use super::job::JobDir;
use super::launch::STAGE_2;
use super::watch;
use crate::system::proc;
use std::io::ErrorKind;
use std::time::Duration;
use upledger_replay::verdict::{Lock, Token, Verdict, verdict};

/// How the command of an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It was not started so far, or never will be.
    NotStarted,
    /// It runs, under its supervisor.
    Running,
    /// It has ended, and its exact result is there.
    Ended,
    /// Its supervisor has exited, and processes of it are running.
    Alone,
    /// It has exited, and its result is unknown.
    Unseen,
    /// Unknown.
    Lost,
}

/// What keeps a supervisor that lives from doing its work, as far as it can be seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stuck {
    /// The supervisor.
    pub pid: Option<i32>,
    /// It is stopped (SIGSTOP, a debugger), or its cgroup is frozen.
    pub stopped: bool,
    /// So long ago the time limit passed, and it has not begun to kill.
    pub overdue: Option<Duration>,
    /// So long ago a kill was asked for, and it has not begun to.
    pub asked: Option<Duration>,
}

/// A supervisor that works looks ten times a second, and needs a sync of its disk to say so.
pub const REACTS: Duration = Duration::from_secs(2);

impl JobDir {
    /// What keeps the supervisor of a running command from its work; none if nothing is seen. `overdue` is how long ago
    /// the time limit passed, if it did.
    #[must_use]
    pub fn stuck(&self, overdue: Option<Duration>) -> Option<Stuck> {
        let pid = self.supervisor();
        let late = |since: Option<Duration>| {
            since.filter(|since| *since > REACTS && self.killing().is_none())
        };
        let asked = std::fs::metadata(self.path().join("kill")).ok();
        let asked = asked.and_then(|m| m.modified().ok()?.elapsed().ok());
        let stuck = Stuck {
            pid,
            stopped: pid.is_some_and(proc::is_held),
            overdue: late(overdue),
            asked: late(asked),
        };
        (stuck.stopped || stuck.overdue.is_some() || stuck.asked.is_some()).then_some(stuck)
    }

    /// The supervisor, for display. Its open files may not be seen; it names its job.
    fn supervisor(&self) -> Option<i32> {
        let job = self.path().file_name()?.to_str()?;
        let names_it = |pid: &i32| {
            let words = proc::words(*pid);
            words.get(1).is_some_and(|w| w == STAGE_2) && words.get(2).is_some_and(|w| w == job)
        };
        proc::pids().ok()?.into_iter().find(names_it)
    }

    /// How the command stands now.
    #[must_use]
    pub fn inspect(&self, spec_digest: &str) -> Standing {
        let token = match self.read_token() {
            Ok(token) => token,
            Err(e) if e.kind() == ErrorKind::NotFound && self.path().is_dir() => {
                return Standing::NotStarted;
            }
            Err(_) => return Standing::Lost,
        };
        let Ok(facts) = self.facts_of(token, spec_digest) else {
            return Standing::Lost;
        };
        if facts.token == Token::Fenced && facts.tree == Lock::Free {
            return Standing::NotStarted;
        }
        match verdict(Some(facts)) {
            Verdict::NeverStarted | Verdict::Contested => Standing::NotStarted,
            Verdict::Running => Standing::Running,
            Verdict::Finished => Standing::Ended,
            Verdict::Orphaned => Standing::Alone,
            Verdict::InDoubt => Standing::Unseen,
            Verdict::Lost => Standing::Lost,
        }
    }

    /// The processes of the command that live, as far as we may see: itself first, where it is among them.
    #[must_use]
    pub fn pids(&self) -> Vec<i32> {
        let mut pids = watch::held_by(self);
        // The supervisor puts the command into a group of its own.
        pids.sort_by_key(|pid| (watch::group(*pid) != Some(*pid), *pid));
        pids
    }
}
