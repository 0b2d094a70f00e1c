//! What a look at one attempt's job directory means: the truth table of `docs/execution.md`, as one pure function.
//!
//! Invariant: *in doubt* comes out only between a durable start token and a durable result. A verdict never depends
//! on a process id: liveness is a held lock.

use serde::{Deserialize, Serialize};

/// Who created the start token. Creating it is exclusive, so there is one answer for all time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Token {
    /// A resolver took it (now or earlier): the supervisor may never start the command.
    Fenced,
    /// The supervisor took it: from here on the command may have run.
    Started,
}

/// Whether somebody holds a lock file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lock {
    /// A living process holds it.
    Held,
    /// Nobody does.
    Free,
}

/// Everything that a resolver reads in a job directory, read in this order: token, `shim.lock`, `tree.lock`, result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Who created the start token.
    pub token: Token,
    /// `shim.lock`: held while the supervisor lives.
    pub shim: Lock,
    /// `tree.lock`: held while any descendant of the command lives.
    pub tree: Lock,
    /// The result slot holds a record whose checksum is right.
    pub result: bool,
    /// The directory belongs to this attempt: its spec's digest is the one in the ledger.
    pub ours: bool,
}

/// The meaning of [`Facts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Provably no effect: a new attempt is allowed.
    NeverStarted,
    /// The supervisor lives: adopt it.
    Running,
    /// The exact result is on disk: import it.
    Finished,
    /// The supervisor is gone, the command's processes are not: wait for them, then it is in doubt.
    Orphaned,
    /// It started, and nobody saw how it ended.
    InDoubt,
    /// The directory is somebody else's: stop and ask.
    Foreign,
}

/// Reads the truth table.
#[must_use]
pub fn verdict(facts: Facts) -> Verdict {
    if facts.token == Token::Fenced {
        return Verdict::NeverStarted;
    }
    if !facts.ours {
        return Verdict::Foreign;
    }
    match (facts.shim, facts.result, facts.tree) {
        (Lock::Held, _, _) => Verdict::Running,
        (Lock::Free, true, _) => Verdict::Finished,
        (Lock::Free, false, Lock::Held) => Verdict::Orphaned,
        (Lock::Free, false, Lock::Free) => Verdict::InDoubt,
    }
}
