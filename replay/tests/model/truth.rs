//! What the machine and the record say of one event, for the invariants.

use super::acts::is_no_return;
use super::runner::BY_HAND;
use super::tale::{Held, Tale, executed, job_of, that};
use super::world::{Job, Outcome, World};
use upledger_replay::attempt::{Command, Killed};
use upledger_replay::decide::{Asked, Next};
use upledger_replay::event::*;
use upledger_replay::plan::OnFailure;

/// The result of an attempt is of this kind.
pub(super) fn result_is(job: &Job, holds: impl FnOnce(Outcome) -> bool) -> Held {
    that(job.result.is_some_and(holds), || {
        format!("the result of {:?} is {:?}", job.at, job.result)
    })
}

/// A failure is what the result says.
pub(super) fn failure_is_true(world: &World, f: &Failed) -> Held {
    let (index, job) = job_of(world, &f.at)?;
    let plain = |command| {
        result_is(job, |o| {
            o.ending.killed.is_none() && o.ending.command == command
        })
    };
    match f.failure {
        Failure::NotStarted => that(!executed(world, index), || {
            format!("{:?} is recorded as not started", f.at)
        })?,
        Failure::Exit(code) => plain(Command::Exited(code))?,
        Failure::Signal(signal) => plain(Command::Signaled(signal))?,
        Failure::Timeout => result_is(job, |o| o.ending.killed == Some(Killed::Timeout))?,
        Failure::Killed => {
            result_is(job, |o| matches!(o.ending.killed, Some(Killed::Request(_))))?;
        }
        Failure::Evidence => {
            plain(Command::Exited(0))?;
            that(job.looked != Some(Answer::Done), || {
                "the evidence agreed".into()
            })?;
        }
    }
    let left = job.result.is_some_and(|o| o.left_behind);
    that(f.left_behind == left, || {
        format!("what {:?} left behind", f.at)
    })
}

/// It was done before the run came, and nothing of this run's is there.
pub(super) fn satisfied_is_true(world: &World, upto: usize, place: usize, part: &TaskKey) -> Held {
    let tale = Tale::of(world, upto);
    if part.way == Direction::Do {
        that(!tale.standing(place).touched, || {
            format!("{part} is found done, and it was this run's doing")
        })?;
    }
    let living = world.jobs.iter().any(|j| j.place == place && j.lives());
    that(
        living || world.truth(place, part.way) == Answer::Done,
        || format!("{part} is found done, and it is not"),
    )
}

/// Nobody but the plan turns a run round by itself: after a failure, and not with a point of no return behind it.
pub(super) fn turns_round(world: &World, upto: usize, rollback: &RollbackStarted) -> Held {
    if rollback.reason == BY_HAND {
        return Ok(());
    }
    let tale = Tale::of(world, upto);
    let passed = (0..world.things.len())
        .find(|place| is_no_return(tale.undo(*place)) && tale.standing(*place).touched);
    let asked = world.plan.on_failure == OnFailure::Rollback;
    that(asked && passed.is_none(), || {
        format!("it turns round by itself behind {passed:?}")
    })
}

/// A failed undo is a question as long as nobody has decided about it.
pub(super) fn a_failed_undo_is_asked_about(world: &World) -> Held {
    let (Some(entry), None) = (world.ledger.last(), world.state.pause.as_ref()) else {
        return Ok(());
    };
    let failed = match &entry.0 {
        Event::StepFailed(f) => Some(&f.at.part),
        Event::StepRefused(r) => Some(&r.part),
        _ => None,
    };
    let Some(part) = failed.filter(|part| part.way == Direction::Undo) else {
        return Ok(());
    };
    let aborted = world.state.abort.is_some();
    let asked = matches!(world.next(), Next::Ask(q) if q.part == *part && q.kind == Asked::Stuck);
    that(asked || aborted, || {
        format!("{part} is stuck, and {:?} is next", world.next())
    })
}
