//! Every decision: given the state, what comes next, and given the verdict on an attempt (adopted, fenced, contested, lost,
//! in doubt), what becomes of it. The runner carries it out and has no opinion of its own.

use crate::event::{
    Answer, Attempt, Decision, Direction, Empty, Event, RollbackStarted, Skipped, Started, TaskKey,
};
use crate::own;
use crate::plan::{OnFailure, Undo};
use crate::state::{Ended, Run, Status, Task};
use crate::verdict::Verdict;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Attempts that crashes may take from one part before a person is asked.
pub const LOSSES: u32 = 5;

/// When it is: the present, or that of an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Now {
    /// Wall time, µs since 1970 (UTC).
    pub wall: u64,
    /// Boot clock, µs.
    pub mono: u64,
    /// The boot that `mono` belongs to.
    pub boot: String,
}

/// What comes next. It holds no time that is left, because it is compared.
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
    /// Not before this time of the boot clock, µs: the plan's pause after a failure. None where there is none, and where
    /// that clock was another one.
    pub not_before: Option<u64>,
}

impl Start {
    /// A look before it that says `answer` settles it: it was done before this run came.
    #[must_use]
    pub fn is_satisfied(&self, answer: Answer) -> bool {
        self.fresh && answer == Answer::Done
    }
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
    pub part: TaskKey,
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
pub fn next(run: &Run, now: &Now) -> Next {
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
        Direction::Do => forward(run, now),
        Direction::Undo => backward(run),
    };
    match &run.pause {
        // A pause does not hide what is asked.
        Some(reason) if !matches!(next, Next::Ask(_)) => Next::Stop(Stop::Paused(reason.clone())),
        Some(_) | None => next,
    }
}

fn forward(run: &Run, now: &Now) -> Next {
    let Some(unit) = run.unsettled().next() else {
        return Next::Record(Box::new(Event::RunCompleted(Empty {})));
    };
    let left_out = run.step(unit).and_then(|(_, s)| s.left_out.as_ref());
    if let Some(reason) = left_out {
        return Next::Record(Box::new(Event::StepSkipped(Skipped {
            part: unit.key(Direction::Do),
            reason: reason.clone(),
        })));
    }
    if unit.forward.status == Status::Failed {
        return failed(run, unit, now);
    }
    start_or_settle(run, unit, Direction::Do)
}

fn failed(run: &Run, unit: &Task, now: &Now) -> Next {
    if run.may_retry(unit) {
        let wait_ms = run.step(unit).map_or(0, |(_, s)| s.retry.wait_ms);
        let failed_at = &unit.forward.ended_at;
        let until = failed_at.mono.saturating_add(wait_ms.saturating_mul(1000));
        let pause = wait_ms > 0 && failed_at.boot == now.boot;
        return start(unit, Direction::Do, pause.then_some(until));
    }
    // What users have written is given up by a person alone.
    let discards = || run.loss_window(None).is_some();
    if run.plan.on_failure == OnFailure::Rollback && !run.is_past_no_return() && !discards() {
        let mut reason = unit.key(Direction::Do).to_string();
        reason.push_str(own::FAILED);
        return Next::Record(Box::new(Event::RollbackStarted(RollbackStarted {
            to: None,
            reason,
            accept_data_loss: false,
            looks_again: true,
        })));
    }
    ask(
        unit,
        Direction::Do,
        Asked::Failed,
        &[Decision::Retry, Decision::Skip, Decision::Done],
    )
}

fn backward(run: &Run) -> Next {
    let Some(unit) = run.left_backwards().next() else {
        return Next::Record(Box::new(Event::RollbackCompleted(Empty {})));
    };
    if run.is_no_return(unit) {
        return ask(unit, Direction::Undo, Asked::NoReturn, &[Decision::Skip]);
    }
    if unit.backward.status == Status::Failed {
        return ask(
            unit,
            Direction::Undo,
            Asked::Stuck,
            &[Decision::Retry, Decision::Skip, Decision::Done],
        );
    }
    start_or_settle(run, unit, Direction::Undo)
}

/// A part that is pending, ready, undone or in doubt.
fn start_or_settle(run: &Run, unit: &Task, way: Direction) -> Next {
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
        return start(unit, way, None);
    }
    if run.traits(unit, way).has_probe && part.answer.is_none() {
        return Next::Probe(Attempt {
            part: unit.key(way),
            attempt: part.attempts,
        });
    }
    if run.may_repeat(unit, way) {
        return start(unit, way, None);
    }
    doubt(unit, way)
}

fn doubt(unit: &Task, way: Direction) -> Next {
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

fn start(unit: &Task, way: Direction, not_before: Option<u64>) -> Next {
    let part = unit.part(way);
    Next::Start(Start {
        at: Attempt {
            part: unit.key(way),
            attempt: part.attempts + 1,
        },
        fresh: !part.touched,
        not_before,
    })
}

fn ask(unit: &Task, way: Direction, kind: Asked, answers: &[Decision]) -> Next {
    Next::Ask(Question {
        part: unit.key(way),
        kind,
        answers: answers.to_vec(),
        may_roll_back: way == Direction::Do && !unit.part(way).may_still_run(),
    })
}

/// What a person asks of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// To stop before the next step.
    Pause,
    /// To end before the next step.
    Abort,
    /// To go backwards.
    RollBack,
}

/// What is left to do about a request that is recorded, for a run that nobody drives.
#[derive(Debug, Clone, PartialEq)]
pub enum Conclusion {
    /// Nothing: the run rests, as `next` says.
    Rests,
    /// This follows, and needs no runner: record it.
    Record(Box<Event>),
    /// Somebody has to drive it.
    Drive,
}

/// Decides what whoever recorded a request does when nobody drives the run.
#[must_use]
pub fn conclusion(run: &Run, request: Request, now: &Now) -> Conclusion {
    match (request, next(run, now)) {
        // Nothing is done until somebody resumes it. An open attempt goes on, as it would with a runner.
        (Request::Pause, _) => Conclusion::Rests,
        (Request::Abort | Request::RollBack, next) => match next {
            Next::Record(event) => Conclusion::Record(event),
            Next::End(_) | Next::Ask(_) | Next::Stop(_) => Conclusion::Rests,
            Next::Resolve(_) | Next::Probe(_) | Next::Start(_) => Conclusion::Drive,
        },
    }
}

/// What has to agree before a person's `done` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// The look after the step.
    Verify,
    /// The look that says whether it is done.
    Probe,
}

/// Decides what a `done` needs: the look after the step where the plan gives one, or where there is no other.
#[must_use]
pub fn check_of_done(run: &Run, part: &TaskKey) -> Check {
    let (verify, has_probe) = match run.step_named(&part.step) {
        None => (false, false),
        Some(step) => match (part.way, &step.undo) {
            (Direction::Do, _) => (step.verify.is_some(), step.has_probe),
            (Direction::Undo, Undo::Action(undo)) => (undo.verify.is_some(), undo.has_probe),
            (Direction::Undo, Undo::Own { .. }) => (false, true),
            (Direction::Undo, Undo::PointOfNoReturn(_) | Undo::Nothing) => (false, false),
        },
    };
    if verify || !has_probe {
        Check::Verify
    } else {
        Check::Probe
    }
}

/// A checkpoint goes with the commit of this event: of the beginning of a run and of each end, and of a step that a
/// rollback cannot go behind, before it can have any effect.
#[must_use]
pub fn checkpoint(run: &Run, event: &Event) -> bool {
    if let Event::StepStarted(Started { at, .. }) = event {
        return at.part.way == Direction::Do
            && run
                .unit(&at.part)
                .is_some_and(|unit| run.is_no_return(unit));
    }
    matches!(
        event,
        Event::RunPlanned(_)
            | Event::RunAmended(_)
            | Event::RunCompleted(_)
            | Event::RollbackCompleted(_)
            | Event::RunAborted(_)
    )
}
