//! Where the units of a run are, by what is asked of them: a run of many steps answers as fast as one of few.
//!
//! Invariant: the index is what [`Index::new`] would make of the units. [`Run::put`] and [`Run::change`] are the only ways
//! to change a unit, and they keep it so; whatever is asked here costs no more than a search in a sorted set.

use crate::event::{Attempt, Direction, TaskKey};
use crate::plan::{Effect, Plan, Step, Undo};
use crate::state::{Run, Status, Task, TaskState};
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Places of units in the plan's order, by what holds of them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Index {
    layout: Arc<Layout>,
    /// Not settled forwards.
    unsettled: BTreeSet<usize>,
    /// Something of them may be there.
    touched: BTreeSet<usize>,
    /// Of these, the points of no return.
    passed: BTreeSet<usize>,
    /// Of these, what a rollback of everything has yet to reverse.
    to_undo: BTreeSet<usize>,
    /// The checks that have to hold after that, and are not settled.
    to_check: BTreeSet<usize>,
    /// Their attempt is open.
    open: BTreeSet<(usize, Direction)>,
    /// In a doubt in which they may still run.
    may_run: BTreeSet<(usize, Direction)>,
}

/// What only an amendment changes: where the steps of the plan are.
#[derive(Debug, PartialEq)]
struct Layout {
    /// The steps in the plan's order.
    steps: Vec<Spot>,
    /// Places of the steps in that order, sorted by id.
    by_id: Vec<usize>,
    near: Near,
}

/// The place of the step that was asked for last. Most questions are about that step or the next, and a plan of 10,000 is
/// not searched for each of its events.
#[derive(Debug, Default)]
struct Near(AtomicUsize);

impl PartialEq for Near {
    /// It says nothing of the plan.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Where one step is.
#[derive(Debug, PartialEq)]
struct Spot {
    id: String,
    phase: usize,
    in_phase: usize,
    /// Its units, one for each target.
    units: Range<usize>,
}

impl Layout {
    fn new(plan: &Plan) -> Self {
        let mut steps = Vec::new();
        let mut units = 0;
        for (phase, of) in plan.phases.iter().enumerate() {
            for (in_phase, step) in of.steps.iter().enumerate() {
                steps.push(Spot {
                    id: step.id.clone(),
                    phase,
                    in_phase,
                    units: units..units + step.targets.len(),
                });
                units += step.targets.len();
            }
        }
        let mut by_id: Vec<usize> = (0..steps.len()).collect();
        by_id.sort_by(|a, b| steps[*a].id.cmp(&steps[*b].id));
        Self {
            steps,
            by_id,
            near: Near::default(),
        }
    }

    fn step(&self, id: &str) -> Option<&Spot> {
        let last = self.near.0.load(Ordering::Relaxed);
        let is = |place: &usize| self.steps.get(*place).is_some_and(|spot| spot.id == id);
        let place = [last, last + 1].into_iter().find(is).or_else(|| {
            let before = |place: &usize| self.steps[*place].id.as_str() < id;
            let place = *self.by_id.get(self.by_id.partition_point(before))?;
            is(&place).then_some(place)
        })?;
        self.near.0.store(place, Ordering::Relaxed);
        self.steps.get(place)
    }
}

impl Index {
    /// The index of a run's units, which are in the plan's order.
    pub(crate) fn new(plan: &Plan, units: &[Task]) -> Self {
        let mut index = Self {
            layout: Arc::new(Layout::new(plan)),
            unsettled: BTreeSet::new(),
            touched: BTreeSet::new(),
            passed: BTreeSet::new(),
            to_undo: BTreeSet::new(),
            to_check: BTreeSet::new(),
            open: BTreeSet::new(),
            may_run: BTreeSet::new(),
        };
        for (place, unit) in units.iter().enumerate() {
            let step = index.step(plan, unit).map(|(_, step)| step);
            index.set(place, Holds::default(), Holds::of(unit, step));
        }
        index
    }

    /// The step of a unit, with its phase.
    pub(crate) fn step<'a>(&self, plan: &'a Plan, unit: &Task) -> Option<(&'a str, &'a Step)> {
        let spot = self.layout.steps.get(unit.index)?;
        let phase = plan.phases.get(spot.phase)?;
        Some((phase.phase.as_str(), phase.steps.get(spot.in_phase)?))
    }

    /// Takes a unit in as it is now. Most events change nothing of what is asked, so only differences are searched for.
    fn set(&mut self, place: usize, was: Holds, is: Holds) {
        keep(&mut self.unsettled, place, was.unsettled, is.unsettled);
        keep(&mut self.touched, place, was.touched, is.touched);
        keep(&mut self.passed, place, was.passed, is.passed);
        keep(&mut self.to_undo, place, was.to_undo, is.to_undo);
        keep(&mut self.to_check, place, was.to_check, is.to_check);
        for (way, at) in [(Direction::Do, 0), (Direction::Undo, 1)] {
            keep(&mut self.open, (place, way), was.open[at], is.open[at]);
            let (was, is) = (was.may_run[at], is.may_run[at]);
            keep(&mut self.may_run, (place, way), was, is);
        }
    }
}

/// In which sets of the index a unit is.
#[derive(Debug, Clone, Copy, Default)]
struct Holds {
    unsettled: bool,
    touched: bool,
    passed: bool,
    to_undo: bool,
    to_check: bool,
    /// Forwards and backwards.
    open: [bool; 2],
    /// Forwards and backwards.
    may_run: [bool; 2],
}

impl Holds {
    fn of(unit: &Task, step: Option<&Step>) -> Self {
        let undo = step.map(|step| &step.undo);
        let touched = unit.forward.touched;
        let parts = [&unit.forward, &unit.backward];
        Self {
            unsettled: !unit.forward.settled(),
            touched,
            passed: touched && matches!(undo, Some(Undo::PointOfNoReturn(_))),
            to_undo: is_to_undo(unit, undo),
            to_check: is_to_check(unit, step),
            open: parts.map(|part| part.status == Status::Running),
            may_run: parts.map(TaskState::may_still_run),
        }
    }
}

/// A rollback that comes to this unit reverses it.
fn is_to_undo(unit: &Task, undo: Option<&Undo>) -> bool {
    let reversible = undo.is_some_and(|u| *u != Undo::Nothing);
    unit.forward.touched && reversible && !unit.backward.settled()
}

/// A rollback of everything ends with this unit's check.
fn is_to_check(unit: &Task, step: Option<&Step>) -> bool {
    step.is_some_and(Step::is_check) && !unit.backward.settled()
}

/// An item is in a set exactly when something holds of it.
fn keep<T: Ord>(set: &mut BTreeSet<T>, item: T, held: bool, holds: bool) {
    match (held, holds) {
        (false, true) => {
            set.insert(item);
        }
        (true, false) => {
            set.remove(&item);
        }
        (false, false) | (true, true) => {}
    }
}

impl Run {
    /// Steps × targets, in the plan's order.
    #[must_use]
    pub fn units(&self) -> &[Task] {
        &self.units
    }

    /// The units of one step, in the order of its targets.
    #[must_use]
    pub fn units_of(&self, step: &str) -> &[Task] {
        let spot = self.index.layout.step(step);
        spot.and_then(|spot| self.units.get(spot.units.clone()))
            .unwrap_or_default()
    }

    /// The place of a part's unit, from 0.
    #[must_use]
    pub fn place(&self, part: &TaskKey) -> Option<usize> {
        let units = &self.index.layout.step(&part.step)?.units;
        let in_step = (self.units_of(&part.step).iter()).position(|u| u.target == part.target)?;
        Some(units.start + in_step)
    }

    /// The unit of that step and target.
    #[must_use]
    pub fn unit(&self, part: &TaskKey) -> Option<&Task> {
        self.units.get(self.place(part)?)
    }

    /// The state of one part.
    #[must_use]
    pub fn part(&self, part: &TaskKey) -> Option<&TaskState> {
        self.unit(part).map(|u| u.part(part.way))
    }

    /// The step that a unit belongs to, with its phase.
    #[must_use]
    pub fn step(&self, unit: &Task) -> Option<(&str, &Step)> {
        self.index.step(&self.plan, unit)
    }

    /// The step of that name.
    #[must_use]
    pub fn step_named(&self, id: &str) -> Option<&Step> {
        let spot = self.index.layout.step(id)?;
        self.plan.phases.get(spot.phase)?.steps.get(spot.in_phase)
    }

    /// Units that are not settled forwards, in the plan's order.
    pub fn unsettled(&self) -> impl Iterator<Item = &Task> {
        self.units_at(&self.index.unsettled)
    }

    /// Units of which something may be there, in the plan's order.
    pub fn touched(&self) -> impl Iterator<Item = &Task> {
        self.units_at(&self.index.touched)
    }

    /// A point of no return lies behind the run.
    #[must_use]
    pub fn is_past_no_return(&self) -> bool {
        !self.index.passed.is_empty()
    }

    /// Units that the rollback has yet to reverse, in its order.
    pub fn to_undo(&self) -> impl Iterator<Item = &Task> {
        let places = self.index.to_undo.range(self.first_to_undo()..).rev();
        places.filter_map(|place| self.units.get(*place))
    }

    /// Checks that the rollback has yet to make once everything is reversed, in their order: none of a rollback that leaves
    /// a part done.
    pub fn to_check(&self) -> impl Iterator<Item = &Task> {
        let all = self.rollback_to.is_none();
        self.units_at(&self.index.to_check).filter(move |_| all)
    }

    /// What is left of the rollback, in its order: what is to be reversed, and then what is to be checked.
    pub fn left_backwards(&self) -> impl Iterator<Item = &Task> {
        self.to_undo().chain(self.to_check())
    }

    /// A part that is no undo, but a check at the end of a rollback.
    #[must_use]
    pub fn is_check(&self, part: &TaskKey) -> bool {
        let step = self.step_named(&part.step);
        part.way == Direction::Undo && step.is_some_and(Step::is_check)
    }

    /// Checks at the end of the rollback that a person has passed over.
    pub fn unchecked(&self) -> impl Iterator<Item = &Task> {
        let check = |u: &&Task| self.step(u).is_some_and(|(_, s)| s.is_check());
        let units = self.units.iter();
        units.filter(move |u| u.backward.status == Status::Skipped && check(u))
    }

    /// Steps that have taken effect and stay behind in a rollback, because the plan says that nothing undoes them.
    pub fn without_undo(&self) -> impl Iterator<Item = &Task> {
        let first = self.first_to_undo();
        let places = self.index.touched.range(first..);
        let units = places.filter_map(|place| self.units.get(*place));
        units.filter(|u| {
            self.step(u)
                .is_some_and(|(_, s)| s.undo == Undo::Nothing && s.effect != Effect::Pure)
        })
    }

    /// An earlier unit than that at `place` is not settled.
    pub(crate) fn is_unsettled_before(&self, place: usize) -> bool {
        self.index.unsettled.first().is_some_and(|p| *p < place)
    }

    /// The unit at `place`, as `unit` has it, is the next that the rollback reverses.
    pub(crate) fn is_next_to_undo(&self, place: usize, unit: &Task) -> bool {
        self.way == Direction::Undo
            && is_to_undo(unit, self.step(unit).map(|(_, s)| &s.undo))
            && self.first_to_undo() <= place
            && self.index.to_undo.range(place + 1..).next().is_none()
    }

    /// The unit at `place`, as `unit` has it, is the next that is checked at the end of the rollback.
    pub(crate) fn is_next_to_check(&self, place: usize, unit: &Task) -> bool {
        self.way == Direction::Undo
            && self.rollback_to.is_none()
            && is_to_check(unit, self.step(unit).map(|(_, s)| s))
            && self.index.to_undo.is_empty()
            && self.index.to_check.range(..place).next().is_none()
    }

    /// What was checked at the end of an earlier rollback has to be checked again.
    pub(crate) fn check_anew(&mut self) {
        let checks: Vec<TaskKey> = (self.plan.checks_after_rollback())
            .flat_map(|step| self.units_of(&step.id))
            .map(|unit| unit.key(Direction::Undo))
            .collect();
        for place in checks
            .iter()
            .filter_map(|part| self.place(part))
            .collect::<Vec<_>>()
        {
            self.change(place, |unit| {
                if unit.backward.status != Status::Running {
                    unit.await_undo();
                }
            });
        }
    }

    /// What only looks, behind the step that a rollback has left done, is to be done again, and so is what was refused or
    /// failed and left nothing. Attempt numbers go on.
    pub(crate) fn look_again(&mut self) {
        for place in self.first_to_undo()..self.units.len() {
            let Some(unit) = self.units.get(place) else {
                continue;
            };
            let looks = self.step(unit).is_some_and(|(_, step)| {
                step.effect == Effect::Pure && step.undo == Undo::Nothing && step.left_out.is_none()
            });
            let again = match unit.forward.status {
                Status::Succeeded | Status::Satisfied | Status::Skipped => looks,
                Status::Failed | Status::Ready => looks || !unit.forward.touched,
                Status::InDoubt => looks && !unit.forward.may_still_run(),
                Status::Pending | Status::Running | Status::Undone => false,
            };
            if again {
                self.change(place, |unit| {
                    unit.forward.status = Status::Pending;
                    unit.forward.touched = false;
                    unit.forward.touched_before = false;
                    unit.forward.failures = 0;
                    unit.forward.losses = 0;
                    unit.forward.refused = false;
                });
            }
        }
    }

    /// Where the units begin that the rollback does not leave done.
    fn first_to_undo(&self) -> usize {
        let kept = self.rollback_to.as_ref();
        let kept = kept.and_then(|to| self.index.layout.step(to));
        kept.map_or(0, |spot| spot.units.end)
    }

    /// A part in a doubt that only a person settles, because it may still run.
    #[must_use]
    pub fn may_still_run(&self) -> Option<(&Task, Direction)> {
        let (place, way) = self.index.may_run.first()?;
        Some((self.units.get(*place)?, *way))
    }

    /// The part whose attempt is open, if any.
    #[must_use]
    pub fn open(&self) -> Option<TaskKey> {
        self.open_attempt().map(|attempt| attempt.part)
    }

    /// The attempt that is open, if any.
    #[must_use]
    pub fn open_attempt(&self) -> Option<Attempt> {
        let (place, way) = self.index.open.first()?;
        let unit = self.units.get(*place)?;
        Some(Attempt {
            part: unit.key(*way),
            attempt: unit.part(*way).attempts,
        })
    }

    fn units_at<'a>(&'a self, places: &'a BTreeSet<usize>) -> impl Iterator<Item = &'a Task> {
        places.iter().filter_map(|place| self.units.get(*place))
    }

    /// Puts a unit in the place of the one that it was.
    pub(crate) fn put(&mut self, place: usize, unit: Task) {
        self.change(place, |now| *now = unit);
    }

    /// Changes one unit.
    pub(crate) fn change(&mut self, place: usize, change: impl FnOnce(&mut Task)) {
        let Some(unit) = self.units.get_mut(place) else {
            return;
        };
        let step = self.index.step(&self.plan, unit).map(|(_, s)| s);
        let was = Holds::of(unit, step);
        change(unit);
        let step = self.index.step(&self.plan, unit).map(|(_, s)| s);
        let is = Holds::of(unit, step);
        self.index.set(place, was, is);
    }
}
