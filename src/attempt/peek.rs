//! Read-only inspection of a job directory; never fences.
//!
//! Unlike [`JobDir::facts`] it takes no token, so its answer is a snapshot that can change at any time. Process ids are for
//! display; no decision depends on them.

use super::job::JobDir;
use super::watch;
use std::io::ErrorKind;
use upledger_replay::verdict::{Lock, Token, Verdict, verdict};

/// How the command of an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
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
    pub fn peek(&self, spec_digest: &str) -> Seen {
        let token = match self.read_token() {
            Ok(token) => token,
            Err(e) if e.kind() == ErrorKind::NotFound && self.path().is_dir() => {
                return Seen::NotStarted;
            }
            Err(_) => return Seen::Lost,
        };
        let Ok(facts) = self.facts_of(token, spec_digest) else {
            return Seen::Lost;
        };
        if facts.token == Token::Fenced && facts.tree == Lock::Free {
            return Seen::NotStarted;
        }
        match verdict(Some(facts)) {
            Verdict::NeverStarted | Verdict::Contested => Seen::NotStarted,
            Verdict::Running => Seen::Running,
            Verdict::Finished => Seen::Ended,
            Verdict::Orphaned => Seen::Alone,
            Verdict::InDoubt => Seen::Unseen,
            Verdict::Lost => Seen::Lost,
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
