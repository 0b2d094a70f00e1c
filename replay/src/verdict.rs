//! What a look at one attempt's job directory means: the truth table of `docs/execution.md`, as one pure function.
//!
//! Invariant: *in doubt* comes out only between a durable start token and a durable result. A verdict never depends
//! on a process id: liveness is a held lock. What follows from a verdict is decided in `decide`: adopt the attempt,
//! start it again, wait for its fence, ask.

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
    /// The directory belongs to this attempt: its spec's digest is the one in the ledger, and its locks are there.
    pub ours: bool,
}

/// The meaning of [`Facts`], or of a directory that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Provably no effect: a new attempt is allowed.
    NeverStarted,
    /// We fenced it, and somebody holds a lock: a supervisor that has yet to see that it is fenced, or one whose token
    /// was taken away. Look again when the lock is free.
    Contested,
    /// The supervisor lives: adopt it.
    Running,
    /// The exact result is on disk: import it.
    Finished,
    /// The supervisor is gone, the command's processes are not: wait for them, then it is in doubt.
    Orphaned,
    /// It started, and nobody saw how it ended.
    InDoubt,
    /// The directory is missing, or not the one that was intended. It was durable before the intent was, so what it told
    /// is lost: stop and ask.
    Lost,
}

/// Reads the truth table. `None`: there is no directory.
#[must_use]
pub fn verdict(facts: Option<Facts>) -> Verdict {
    let Some(facts) = facts else {
        return Verdict::Lost;
    };
    let held = facts.shim == Lock::Held || facts.tree == Lock::Held;
    match (
        facts.token,
        facts.ours,
        facts.result,
        facts.shim,
        facts.tree,
    ) {
        (Token::Fenced, true, false, _, _) if !held => Verdict::NeverStarted,
        (Token::Fenced, true, false, Lock::Held, _) => Verdict::Contested,
        // Only a command that was started holds this lock without its supervisor: its token was taken away.
        (Token::Fenced, true, false, Lock::Free, _) => Verdict::Lost,
        // A fenced attempt has no result, and ours has our spec.
        (Token::Fenced, _, _, _, _) | (_, false, _, _, _) if held => Verdict::Orphaned,
        (Token::Fenced, _, _, _, _) | (_, false, _, _, _) => Verdict::Lost,
        (Token::Started, true, _, Lock::Held, _) => Verdict::Running,
        (Token::Started, true, true, Lock::Free, _) => Verdict::Finished,
        (Token::Started, true, false, Lock::Free, Lock::Held) => Verdict::Orphaned,
        (Token::Started, true, false, Lock::Free, Lock::Free) => Verdict::InDoubt,
    }
}
