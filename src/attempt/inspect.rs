//! Read-only inspection of a job directory; never fences.
//!
//! Unlike [`JobDir::fence_and_inspect`] it takes no token, so its answer is a snapshot that can change at any time. Process ids are for
//! display; no decision depends on them.

use super::job::JobDir;
use super::watch;
use std::io::ErrorKind;
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

impl JobDir {
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
