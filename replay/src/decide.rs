//! Every decision: given the state, what comes next. The runner carries it out and has no opinion of its own.

use crate::event::{Attempt, Decision, Empty, Event, Part, RollbackStarted, Skipped, Way};
use crate::plan::OnFailure;
use crate::state::{Ended, Run, Status, Unit};
use crate::verdict::Verdict;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Attempts that crashes may take from one part before a person is asked.
pub const LOSSES: u32 = 5;

/// What comes next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// An attempt is open: find out how it stands, and bring it to an outcome.
    Resolve(Attempt),
    /// Look, read-only, at what an attempt in doubt left.
    Probe(Attempt),
    /// Look whether it is done already; if not, record the intent and act.
    Start(Start),
    /// This follows from the state; record it.
    Record(Box<Event>),
    /// A person has to decide.
    Ask(Question),
    /// A stop that somebody asked for.
    Stop(Stop),
    /// The run has ended.
    End(Ended),
}

/// A new attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Which.
    pub at: Attempt,
    /// Nothing of this run has touched it yet, so a look may find it done already.
    pub fresh: bool,
    /// Pause since the last failure, in milliseconds.
    pub wait_ms: u64,
}

/// Why the run stands still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// Paused.
    Paused(String),
    /// Rolled back as far as was asked.
    RolledBackTo(String),
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// About what.
    pub part: Part,
    /// What kind of question.
    pub kind: Asked,
    /// What may be answered.
    pub answers: Vec<Decision>,
    /// A rollback is an answer, too.
    pub may_roll_back: bool,
}

/// Kinds of question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// An attempt is in doubt and nothing else settles it.
    Doubt,
    /// A step failed and its retries are spent.
    Failed,
    /// An undo failed.
    Stuck,
    /// A rollback has come to a point of no return.
    NoReturn,
    /// Crashes took too many attempts of it.
    Losses,
}

/// What a resume does with the supervisor's verdict on an open attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// Record that it never started.
    Fenced,
    /// Follow it to its end, then look again.
    Adopt,
    /// Import the result.
    Import,
    /// Wait a moment for whoever holds a lock of a fenced attempt; then look again, or record that it may still run.
    AwaitFence,
    /// Wait until its last process is gone, but no longer than its time limit; then record the doubt.
    AwaitTree,
    /// Record that nobody saw how it ended.
    Unseen,
    /// Record that what its directory told is lost.
    Lost,
}

/// Decides what a verdict leads to.
#[must_use]
pub fn resolution(verdict: Verdict) -> Resolution {
    match verdict {
        Verdict::NeverStarted => Resolution::Fenced,
        Verdict::Running => Resolution::Adopt,
        Verdict::Finished => Resolution::Import,
        Verdict::Contested => Resolution::AwaitFence,
        Verdict::Orphaned => Resolution::AwaitTree,
        Verdict::InDoubt => Resolution::Unseen,
        Verdict::Lost => Resolution::Lost,
    }
}

/// What comes next.
#[must_use]
pub fn next(run: &Run) -> Next {
    if let Some(ended) = run.ended {
        return Next::End(ended);
    }
    if let Some(attempt) = run.open_attempt() {
        return Next::Resolve(attempt);
    }
    if let Some((unit, way)) = run.may_still_run() {
        // Before everything else: nothing may happen beside a step that may still run. A rollback may have been asked for
        // while it was open, so the question is about its own direction.
        return doubt(unit, way);
    }
    if run.abort.is_some() {
        return Next::Record(Box::new(Event::RunAborted(Empty {})));
    }
    if run.held {
        return Next::Stop(Stop::RolledBackTo(
            run.rollback_to.clone().unwrap_or_default(),
        ));
    }
    let next = match run.way {
        Way::Do => forward(run),
        Way::Undo => backward(run),
    };
    match &run.pause {
        // A pause does not hide what is asked.
        Some(reason) if !matches!(next, Next::Ask(_)) => Next::Stop(Stop::Paused(reason.clone())),
        Some(_) | None => next,
    }
}

fn forward(run: &Run) -> Next {
    let Some(unit) = run.unsettled().next() else {
        return Next::Record(Box::new(Event::RunCompleted(Empty {})));
    };
    let left_out = run.step(unit).and_then(|(_, s)| s.left_out.as_ref());
    if let Some(reason) = left_out {
        return Next::Record(Box::new(Event::StepSkipped(Skipped {
            part: unit.key(Way::Do),
            reason: reason.clone(),
        })));
    }
    if unit.forward.status == Status::Failed {
        return failed(run, unit);
    }
    start_or_settle(run, unit, Way::Do)
}

fn failed(run: &Run, unit: &Unit) -> Next {
    if run.may_retry(unit) {
        let wait_ms = run.step(unit).map_or(0, |(_, s)| s.retry.wait_ms);
        return start(unit, Way::Do, wait_ms);
    }
    if run.plan.on_failure == OnFailure::Rollback && !run.is_past_no_return() {
        let mut reason = unit.key(Way::Do).to_string();
        reason.push_str(" failed");
        return Next::Record(Box::new(Event::RollbackStarted(RollbackStarted {
            to: None,
            reason,
        })));
    }
    ask(
        unit,
        Way::Do,
        Asked::Failed,
        &[Decision::Retry, Decision::Skip, Decision::Done],
    )
}

fn backward(run: &Run) -> Next {
    let Some(unit) = run.to_undo().next() else {
        return Next::Record(Box::new(Event::RollbackCompleted(Empty {})));
    };
    if run.is_no_return(unit) {
        return ask(unit, Way::Undo, Asked::NoReturn, &[Decision::Skip]);
    }
    if unit.backward.status == Status::Failed {
        return ask(
            unit,
            Way::Undo,
            Asked::Stuck,
            &[Decision::Retry, Decision::Skip, Decision::Done],
        );
    }
    start_or_settle(run, unit, Way::Undo)
}

/// A part that is pending, ready, undone or in doubt.
fn start_or_settle(run: &Run, unit: &Unit, way: Way) -> Next {
    let part = unit.part(way);
    if part.losses >= LOSSES {
        return ask(
            unit,
            way,
            Asked::Losses,
            &[
                Decision::Retry,
                Decision::Skip,
                Decision::Done,
                Decision::Fail,
            ],
        );
    }
    if part.status != Status::InDoubt {
        return start(unit, way, 0);
    }
    if run.traits(unit, way).has_probe && part.answer.is_none() {
        return Next::Probe(Attempt {
            part: unit.key(way),
            attempt: part.attempts,
        });
    }
    if run.may_repeat(unit, way) {
        return start(unit, way, 0);
    }
    doubt(unit, way)
}

fn doubt(unit: &Unit, way: Way) -> Next {
    ask(
        unit,
        way,
        Asked::Doubt,
        &[
            Decision::Done,
            Decision::Retry,
            Decision::Skip,
            Decision::Fail,
        ],
    )
}

fn start(unit: &Unit, way: Way, wait_ms: u64) -> Next {
    let part = unit.part(way);
    Next::Start(Start {
        at: Attempt {
            part: unit.key(way),
            attempt: part.attempts + 1,
        },
        fresh: !part.touched,
        wait_ms,
    })
}

fn ask(unit: &Unit, way: Way, kind: Asked, answers: &[Decision]) -> Next {
    Next::Ask(Question {
        part: unit.key(way),
        kind,
        answers: answers.to_vec(),
        may_roll_back: way == Way::Do && !unit.part(way).may_still_run(),
    })
}
