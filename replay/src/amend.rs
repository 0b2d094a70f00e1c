//! Amendments: another plan takes the place of the run's own, in the middle of the run.
//!
//! Invariant: each step has one definition that ran and that its undo follows. So a step that has succeeded keeps its own,
//! and one that may have taken effect is undone by its own before it gets another. What was started keeps its order.

use crate::event::{Direction, Failure, RunAmended, TaskKey};
use crate::index::Index;
use crate::plan::{Effect, Plan, Step, Undo};
use crate::state::{Run, Status, Task, TaskState};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// A step that an amendment changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Change<'a> {
    /// Its definition so far; none where it is new.
    pub was: Option<&'a Step>,
    /// Its definition then; none where it is left out.
    pub is: Option<&'a Step>,
}

impl Change<'_> {
    /// The id of the step.
    #[must_use]
    pub fn step(&self) -> &str {
        self.was.or(self.is).map_or("", |step| step.id.as_str())
    }
}

/// Why a plan cannot take the place of the run's own; each but the first names a step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAmendable {
    /// The run goes backwards.
    #[error("the run goes backwards")]
    Backwards,
    /// It is settled and would get another definition.
    #[error("{0} is settled and keeps its definition")]
    Settled(String),
    /// It may have taken effect, and would get another definition.
    #[error("{0} may have taken effect by its present definition, which has to undo it first")]
    MayHaveActed(String),
    /// It is in doubt, or its failure is not known to be all: what is asked about it comes first.
    #[error("{0} waits for an answer")]
    Asks(String),
    /// It may have taken effect with nothing to undo it, and would get an undo.
    #[error("{0} may have taken effect and keeps its `undo: none`")]
    KeepsNoUndo(String),
    /// It may have taken effect behind its point of no return, and would get an undo.
    #[error("{0} may have taken effect and keeps its point of no return")]
    KeepsNoReturn(String),
    /// A secret of the run would have another source, or none.
    #[error("the secret {0} keeps its source")]
    Secret(String),
    /// It has been started and is left out.
    #[error("{0} has been started and is left out")]
    Gone(String),
    /// It has been started and stands at another place.
    #[error("{0} has been started and stands at another place")]
    Moved(String),
    /// It is new and stands before one that has been started.
    #[error("{0} would come before a step that has been started")]
    Early(String),
    /// The run went back to it, and it is left out.
    #[error("the run went back to {0}, which is left out")]
    WentBack(String),
}

impl Run {
    /// What a plan would change of the run's own, in its order; what it leaves out comes last.
    #[must_use]
    pub fn changes<'a>(&'a self, plan: &'a Plan) -> Vec<Change<'a>> {
        let (old, new) = (by_id(&self.plan), by_id(plan));
        let mut changes: Vec<Change<'a>> = Vec::new();
        for (_, is) in plan.steps() {
            let was = old.get(is.id.as_str()).map(|(_, step)| *step);
            if was != Some(is) {
                changes.push(Change { was, is: Some(is) });
            }
        }
        let gone = self.plan.steps().map(|(_, step)| step);
        changes.extend(
            gone.filter(|step| !new.contains_key(step.id.as_str()))
                .map(|was| Change {
                    was: Some(was),
                    is: None,
                }),
        );
        changes
    }

    /// Whether that plan may take the place of the run's own.
    ///
    /// # Errors
    /// [`NotAmendable`], the first reason.
    pub fn amendable(&self, plan: &Plan) -> Result<(), NotAmendable> {
        if self.way == Direction::Undo {
            return Err(NotAmendable::Backwards);
        }
        // What has been done may need them for its undo, and all that is recorded is redacted by them.
        if let Some(gone) = self.plan.secrets.iter().find(|s| !plan.secrets.contains(s)) {
            return Err(NotAmendable::Secret(gone.name.clone()));
        }
        let new = by_id(plan);
        if let Some(to) = self
            .rollback_to
            .as_deref()
            .filter(|to| !new.contains_key(to))
        {
            return Err(NotAmendable::WentBack(to.into()));
        }
        let (mut last, mut kept): (Option<usize>, Option<usize>) = (None, None);
        let mut begun = Vec::new();
        for unit in self.units().iter().filter(|unit| has_begun(unit)) {
            let step = &unit.step;
            let Some((place, is)) = new.get(step.as_str()) else {
                return Err(NotAmendable::Gone(step.clone()));
            };
            if last.is_some_and(|last| *place < last) {
                return Err(NotAmendable::Moved(step.clone()));
            }
            last = Some(*place);
            begun.push(*place);
            let was = self.step(unit).map(|(_, step)| step);
            if was != Some(*is) {
                self.redefinable(unit, is)?;
            }
            if stays(unit) {
                kept = Some(*place);
            }
        }
        let before = |place: &usize| kept.is_some_and(|kept| *place < kept);
        let early = plan
            .steps()
            .enumerate()
            .find(|(place, _)| before(place) && begun.binary_search(place).is_err());
        match early {
            Some((_, (_, step))) => Err(NotAmendable::Early(step.id.clone())),
            None => Ok(()),
        }
    }

    /// Whether a step that has been started may get another definition.
    fn redefinable(&self, unit: &Task, is: &Step) -> Result<(), NotAmendable> {
        let step = &unit.step;
        if unit.forward.status == Status::Undone {
            return Ok(());
        }
        if unit.forward.settled() {
            return Err(NotAmendable::Settled(step.clone()));
        }
        if !unit.forward.touched {
            return Ok(());
        }
        // What nothing undoes, or what a rollback cannot go behind, is not undone before it runs again either.
        let was = self.step(unit).map(|(_, step)| step);
        let no_return =
            |step: Option<&Step>| matches!(step.map(|s| &s.undo), Some(Undo::PointOfNoReturn(_)));
        if !self.runs_again(unit) {
            return Err(NotAmendable::MayHaveActed(step.clone()));
        }
        if !is_known(unit) {
            return Err(NotAmendable::Asks(step.clone()));
        }
        if no_return(was) {
            return match no_return(Some(is)) {
                true => Ok(()),
                false => Err(NotAmendable::KeepsNoReturn(step.clone())),
            };
        }
        if is.undo != Undo::Nothing {
            return Err(NotAmendable::KeepsNoUndo(step.clone()));
        }
        Ok(())
    }

    /// Whether what is asked about a part leaves room for an amendment of its step: another definition does not answer what
    /// nobody knows.
    #[must_use]
    pub fn may_amend(&self, part: &TaskKey) -> bool {
        let of = self.unit(part);
        of.is_none_or(|unit| !unit.forward.touched || !self.runs_again(unit) || is_known(unit))
    }

    /// A step that would run by another definition without an undo by its own: nothing undoes it, or a rollback cannot go
    /// behind it.
    fn runs_again(&self, unit: &Task) -> bool {
        self.step(unit).is_some_and(|(_, step)| {
            step.effect == Effect::Pure
                || matches!(step.undo, Undo::Nothing | Undo::PointOfNoReturn(_))
        })
    }

    /// Puts the plan of an amendment in the place of the run's own.
    pub(crate) fn amend(&mut self, amended: &RunAmended) {
        let mut old = BTreeMap::new();
        for unit in core::mem::take(&mut self.units) {
            old.insert((unit.step.clone(), unit.target.clone()), unit);
        }
        let mut units = Vec::new();
        for (index, (_, step)) in amended.plan.steps().enumerate() {
            for target in &step.targets {
                let before = old.remove(&(step.id.clone(), target.clone()));
                let was = before
                    .as_ref()
                    .and_then(|unit| self.index.step(&self.plan, unit))
                    .map(|(_, s)| s);
                let mut unit = match before {
                    Some(unit) if was == Some(step) => unit,
                    Some(unit) => anew(&unit, was),
                    None => Task::new(index, &step.id, target),
                };
                unit.index = index;
                units.push(unit);
            }
        }
        self.index = Index::new(&amended.plan, &units);
        self.units = units;
        self.plan = amended.plan.clone();
        self.digest.clone_from(&amended.digest);
        self.given.clone_from(&amended.given);
    }
}

/// Steps with their places, by id.
fn by_id(plan: &Plan) -> BTreeMap<&str, (usize, &Step)> {
    let steps = plan.steps().enumerate();
    steps
        .map(|(place, (_, step))| (step.id.as_str(), (place, step)))
        .collect()
}

/// That it runs again was decided by a person, or its failure is over.
fn is_known(unit: &Task) -> bool {
    match (unit.forward.status, &unit.forward.failed) {
        (Status::Ready, _) => true,
        (Status::Failed, Some(failed)) => !failed.left_behind && failed.failure != Failure::Killed,
        (_, _) => false,
    }
}

/// There are events about it that its definition has to fit.
fn has_begun(unit: &Task) -> bool {
    unit.forward.attempts > 0 || unit.forward.settled()
}

/// It has taken effect, or may have.
fn stays(unit: &Task) -> bool {
    unit.forward.status != Status::Undone && (unit.forward.settled() || unit.forward.touched)
}

/// A step with another definition has not been tried; only numbers of attempts never repeat. What may have acted behind a
/// point of no return stays there: a rollback does not go behind it.
fn anew(unit: &Task, was: Option<&Step>) -> Task {
    let part = |part: &TaskState| TaskState {
        attempts: part.attempts,
        ..TaskState::default()
    };
    let passed = matches!(was.map(|s| &s.undo), Some(Undo::PointOfNoReturn(_)));
    let touched = passed && unit.forward.touched && unit.forward.status != Status::Undone;
    Task {
        forward: TaskState {
            touched,
            touched_before: touched,
            ..part(&unit.forward)
        },
        backward: part(&unit.backward),
        ..Task::new(unit.index, &unit.step, &unit.target)
    }
}
