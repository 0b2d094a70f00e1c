//! Runs that were begun under a former contract of actions: which of them go on, and whose evidence can be checked.
//!
//! The contract says what the actions of a run record and keep for later attempts and undos. Some kinds of action have
//! nothing of that, so that they are the same under every contract; the caller knows which. Folding, verifying and
//! reporting need none of this: events keep their meaning for ever.

use crate::event::{CONTRACT, Direction, TaskKey};
use crate::plan::{Step, Undo};
use crate::state::{Run, Task};
use alloc::string::String;

/// A run that only the program which began it can go on with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the step {step} belongs to a former contract of actions")]
pub struct Former {
    /// The first step of it that needs that program.
    pub step: String,
}

/// Whether the run may go on in the direction in which it travels: each step that it has touched, and each that it has
/// yet to do, is of a kind that is the same under every contract. An undo that the plan writes out observes for itself,
/// so that its kind counts from its first attempt on. A run whose abort is recorded only has to end.
///
/// # Errors
/// [`Former`].
pub fn continuable(run: &Run, same: impl Fn(&str) -> bool) -> Result<(), Former> {
    if run.contract == CONTRACT || run.abort.is_some() {
        return Ok(());
    }
    let former = run.units.iter().find(|unit| {
        run.step(unit)
            .is_some_and(|(_, step)| concerned(run, unit, step).any(|way| !same(acting(step, way))))
    });
    match former {
        None => Ok(()),
        Some(unit) => Err(Former {
            step: unit.step.clone(),
        }),
    }
}

/// Whether the evidence of an attempt may be checked by this program. Where not, an attempt that ended well is in doubt.
#[must_use]
pub fn checkable(run: &Run, part: &TaskKey, same: impl Fn(&str) -> bool) -> bool {
    let step = run.step_named(&part.step);
    run.contract == CONTRACT || step.is_some_and(|step| same(acting(step, part.way)))
}

/// The directions of a step that the run has touched, or will if it goes on.
fn concerned(run: &Run, unit: &Task, step: &Step) -> impl Iterator<Item = Direction> {
    let touched = unit.forward.touched;
    let ahead = run.way == Direction::Do && !unit.forward.settled() && step.left_out.is_none();
    let forward = (touched || ahead).then_some(Direction::Do);
    let backward = (touched && unit.backward.attempts > 0).then_some(Direction::Undo);
    forward.into_iter().chain(backward)
}

/// The kind of what is run in that direction.
fn acting(step: &Step, way: Direction) -> &str {
    match (way, &step.undo) {
        (Direction::Undo, Undo::Action(undo)) => &undo.action.kind,
        (Direction::Do | Direction::Undo, _) => &step.action.kind,
    }
}

/// A run from before there was a contract leaves it out.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
pub(crate) fn is_zero(n: &u32) -> bool {
    *n == 0
}
