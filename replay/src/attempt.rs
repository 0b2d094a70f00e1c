//! What is recorded of an attempt, by its result, its locks and the clock. What happens next is decided in `decide`.
//!
//! Everything here is a rule; the runner looks, asks here, and records the answer.

use crate::decide::Now;
use crate::event::{Attempt, Doubt, Event, Failed, Failure, KillRequested, own};
use crate::state::TaskState;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// How long processes that outlived their supervisor are waited for where no time limit ends the wait, in milliseconds.
pub const ORPHAN_MS: u64 = 3_600_000;

/// How an attempt ended, as its result says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending<'a> {
    /// How its command ended.
    pub command: Command<'a>,
    /// Why its supervisor killed it, where it did.
    pub killed: Option<Killed<'a>>,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    /// With this exit code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
    /// It could not be executed, for this reason: provably no effect.
    NotExecuted(&'a str),
}

/// Why a supervisor killed a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Killed<'a> {
    /// Its time was up.
    Timeout,
    /// Somebody asked, for this reason.
    Request(&'a str),
}

impl Ending<'_> {
    /// Which failure it means, and one line on it. None for exit code 0 by itself: then the evidence decides.
    #[must_use]
    pub fn failure(&self) -> Option<(Failure, String)> {
        let ended = match self.command {
            Command::NotExecuted(why) => return Some((Failure::NotStarted, why.to_string())),
            Command::Signaled(number) => own::ended_by(number),
            Command::Exited(code) => format!("it ended with exit code {code}"),
        };
        match (self.killed, self.command) {
            (Some(Killed::Timeout), _) => {
                Some((Failure::Timeout, format!("{}{ended}", own::TIMED_OUT)))
            }
            (Some(Killed::Request(why)), _) => Some((
                Failure::Killed,
                format!("killed on request: {why}; {ended}"),
            )),
            (None, Command::Signaled(number)) => Some((Failure::Signal(number), ended)),
            (None, Command::Exited(0) | Command::NotExecuted(_)) => None,
            (None, Command::Exited(code)) => Some((Failure::Exit(code), ended)),
        }
    }
}

/// An attempt that failed before it can have had any effect.
#[must_use]
pub fn never_started(at: &Attempt, detail: String) -> Event {
    Event::StepFailed(Failed {
        at: at.clone(),
        failure: Failure::NotStarted,
        detail,
        tail: Vec::new(),
        printed: None,
        output: None,
        took_ms: None,
        left_behind: false,
    })
}

/// What a fenced attempt becomes. Whoever wanted it killed wants to be asked before it is tried again.
#[must_use]
pub fn fenced(at: &Attempt, part: &TaskState) -> Event {
    match part.kill {
        Some(_) => never_started(at, "it was to be killed before it had started".into()),
        None => Event::StepFenced(at.clone()),
    }
}

/// The doubt of an attempt that ended well and does not say what came of it. What it `left_behind` may still be at it: a
/// look would be too early, and another attempt would run beside it.
#[must_use]
pub fn unsaid(left_behind: bool) -> Doubt {
    if left_behind {
        Doubt::Alive
    } else {
        Doubt::Unseen
    }
}

/// The time limit of the open attempt has passed, as far as this boot's clock tells.
#[must_use]
pub fn overdue(part: &TaskState, now: &Now) -> bool {
    limit(part, now).is_some_and(|end| now.mono > end)
}

/// When the open attempt's time is up, by this boot's clock, µs.
fn limit(part: &TaskState, now: &Now) -> Option<u64> {
    let ms = part.started.as_ref()?.timeout_ms?;
    let this_boot = part.started_at.boot == now.boot;
    this_boot.then(|| part.started_at.mono.saturating_add(ms.saturating_mul(1000)))
}

/// That an attempt is to be killed, because its time limit has passed.
#[must_use]
pub fn kill_overdue(at: &Attempt) -> Event {
    Event::KillRequested(KillRequested {
        at: at.clone(),
        reason: own::OVERDUE.into(),
    })
}

/// What is done about processes that outlived their supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Orphan {
    /// Wait for them.
    Wait,
    /// Nobody else enforces the time limit, and it has passed: record [`kill_overdue`].
    Overdue,
    /// Kill them: somebody asked.
    Kill,
    /// Record a doubt in which they may still run.
    GiveUp,
}

/// Decides about the processes of an open attempt that outlived their supervisor. `waited_ms` is how long they are waited
/// for: since the wait began, or since they were `killed`.
#[must_use]
pub fn orphan(part: &TaskState, waited_ms: u64, killed: bool, now: &Now) -> Orphan {
    match (&part.kill, killed) {
        (None, _) if overdue(part, now) => Orphan::Overdue,
        (Some(_), false) => Orphan::Kill,
        // Its time limit will end the wait.
        (None, _) if limit(part, now).is_some() => Orphan::Wait,
        (_, _) if waited_ms > ORPHAN_MS => Orphan::GiveUp,
        (_, _) => Orphan::Wait,
    }
}
