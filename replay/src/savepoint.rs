//! What an event changes, as it was before it: events that were folded and not recorded are taken back.
//!
//! Invariants: taking back what was folded since, newest first, leaves the state as it was; a savepoint costs as much as
//! one unit, however many the run has, but for an amendment, and a rollback that checks at its end, which are rare.

use crate::event::{Direction, Event};
use crate::index::Index;
use crate::plan::Plan;
use crate::runs::Runs;
use crate::state::{Decidable, Ended, Run, Task, When};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A run before an event: the one unit that the event may change, and what is not about units.
#[derive(Debug)]
struct RunSavepoint {
    unit: Option<(usize, Task)>,
    last: When,
    way: Direction,
    rollback_to: Option<String>,
    rollback_reason: String,
    pause: Option<String>,
    abort: Option<String>,
    looks_again: bool,
    held: bool,
    ended: Option<Ended>,
    /// How many there were: they are only added to.
    openings: usize,
    accepted: usize,
    decided: Option<Box<Decidable>>,
    amended_last: bool,
    planned: Option<Box<Planned>>,
}

/// A run's plan and all that stands by it, before an event that changes many units.
#[derive(Debug)]
struct Planned {
    plan: Arc<Plan>,
    digest: String,
    given: Vec<String>,
    units: Vec<Task>,
    index: Index,
}

/// An amendment does, a rollback whose end is checked anew, and the end of one behind which looks are made again.
fn changes_many(run: &Run, event: &Event) -> bool {
    let back = matches!(event, Event::RollbackStarted(_));
    let checks = || run.plan.checks_after_rollback().next().is_some();
    let looks = matches!(event, Event::RollbackCompleted(_)) && run.looks_again;
    matches!(event, Event::RunAmended(_)) || (back && checks()) || looks
}

impl RunSavepoint {
    fn of(run: &Run, event: &Event) -> Self {
        // Whoever adds a field says whether events change it.
        let Run {
            name: _,
            plan,
            digest,
            given,
            contract: _,
            planned_at: _,
            last,
            units,
            index,
            way,
            rollback_to,
            rollback_reason,
            pause,
            abort,
            looks_again,
            held,
            ended,
            openings,
            accepted,
            decided,
            amended_last,
        } = run;
        let place = event.part().and_then(|part| run.place(part));
        Self {
            unit: place.and_then(|place| Some((place, units.get(place)?.clone()))),
            last: last.clone(),
            way: *way,
            rollback_to: rollback_to.clone(),
            rollback_reason: rollback_reason.clone(),
            pause: pause.clone(),
            abort: abort.clone(),
            looks_again: *looks_again,
            held: *held,
            ended: *ended,
            openings: openings.len(),
            accepted: *accepted,
            decided: decided.clone(),
            amended_last: *amended_last,
            planned: changes_many(run, event).then(|| {
                Box::new(Planned {
                    plan: plan.clone(),
                    digest: digest.clone(),
                    given: given.clone(),
                    units: units.clone(),
                    index: index.clone(),
                })
            }),
        }
    }

    fn restore(self, run: &mut Run) {
        if let Some(before) = self.planned {
            run.plan = before.plan;
            run.digest = before.digest;
            run.given = before.given;
            run.units = before.units;
            run.index = before.index;
        }
        if let Some((place, unit)) = self.unit {
            run.put(place, unit);
        }
        run.last = self.last;
        run.way = self.way;
        run.rollback_to = self.rollback_to;
        run.rollback_reason = self.rollback_reason;
        run.pause = self.pause;
        run.abort = self.abort;
        run.looks_again = self.looks_again;
        run.held = self.held;
        run.ended = self.ended;
        run.openings.truncate(self.openings);
        run.accepted = self.accepted;
        run.decided = self.decided;
        run.amended_last = self.amended_last;
    }
}

/// A book before an event.
#[derive(Debug)]
pub struct Savepoint {
    /// How many runs there were.
    runs: usize,
    /// The run of the event, by its place.
    run: Option<(usize, RunSavepoint)>,
}

impl Runs {
    /// What an event of that run may change, as it is now.
    #[must_use]
    pub fn savepoint(&self, run: Option<&str>, event: &Event) -> Savepoint {
        let place = run.and_then(|name| self.place(name));
        Savepoint {
            runs: self.runs.len(),
            run: place
                .and_then(|place| Some((place, RunSavepoint::of(self.runs.get(place)?, event)))),
        }
    }

    /// Takes back the event before which the savepoint was made. Those that were folded after it are taken back already.
    pub fn revert(&mut self, savepoint: Savepoint) {
        self.runs.truncate(savepoint.runs);
        if let Some((place, before)) = savepoint.run
            && let Some(run) = self.runs.get_mut(place)
        {
            before.restore(run);
        }
    }
}
