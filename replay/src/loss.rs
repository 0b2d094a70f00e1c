//! The loss window: between the moment at which users were let in again and a restore that discards what they wrote.
//!
//! A step opens it that lets users in ([`Step::opens`](crate::plan::Step)); a step that brings back data when it is undone
//! ([`Step::restores`](crate::plan::Step)) discards what was written in it. A rollback that would do so needs a person who
//! accepts the loss, and a plan never does it by itself.
//!
//! Left out: what users write in a run that never shuts them out. Nobody knows there when they began.

use crate::event::{Direction, Event};
use crate::plan::sets_environment;
use crate::state::{Run, Status, Task, When};
use alloc::string::String;
use alloc::vec::Vec;

/// Users were let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The step that did it.
    pub step: String,
    /// When that was recorded.
    pub when: When,
}

/// What a rollback would discard.
#[derive(Debug, Clone, PartialEq)]
pub struct LossWindow<'a> {
    /// When users were let in first after the oldest of the copies.
    pub opened: &'a Opening,
    /// The steps whose undo brings back a copy from before, in the order of the plan.
    pub restores: Vec<&'a Task>,
}

impl Run {
    /// What a rollback that leaves that step done, or nothing, would discard and nobody has accepted yet.
    #[must_use]
    pub fn loss_window(&self, to: Option<&str>) -> Option<LossWindow<'_>> {
        let openings = self.openings.get(self.accepted..).unwrap_or_default();
        let last = openings.last()?;
        let kept = to
            .and_then(|step| self.units_of(step).first())
            .map(|u| u.index);
        let restores: Vec<&Task> = self
            .touched()
            .filter(|unit| kept.is_none_or(|kept| unit.index > kept))
            .filter(|unit| self.step(unit).is_some_and(|(_, step)| step.restores))
            .filter(|unit| self.copied_at(unit) < last.when.seq)
            .collect();
        let oldest = restores.iter().map(|unit| self.copied_at(unit)).min()?;
        let opened = openings.iter().find(|o| o.when.seq > oldest)?;
        Some(LossWindow { opened, restores })
    }

    /// When the oldest copy was begun that the undo of a unit may bring back; its own beginning where it names none.
    fn copied_at(&self, unit: &Task) -> u64 {
        let uses = self.step(unit).map_or(&[][..], |(_, step)| &step.uses);
        // Steps that set the environment are used, too, and copy nothing.
        let is_copy = |step: &&String| {
            self.step_named(step)
                .is_some_and(|step| !sets_environment(&step.action.kind))
        };
        let copies = uses
            .iter()
            .filter(is_copy)
            .flat_map(|step| self.units_of(step));
        let copied = copies.map(|copy| copy.forward.started_at.seq).min();
        copied.unwrap_or(unit.forward.started_at.seq)
    }

    /// Keeps that users were let in, where the event says so.
    pub(crate) fn let_in(&mut self, event: &Event, status: Option<Status>, when: &When) {
        let is_done = matches!(status, Some(Status::Succeeded | Status::Satisfied));
        let Some(part) = event
            .part()
            .filter(|part| is_done && part.way == Direction::Do)
        else {
            return;
        };
        if self.step_named(&part.step).is_some_and(|step| step.opens) {
            self.openings.push(Opening {
                step: part.step.clone(),
                when: when.clone(),
            });
        }
    }
}
