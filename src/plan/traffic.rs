//! Which steps shut users out and let them in again, and which bring back older data when they are undone: what is written
//! between the two would be lost ([`upledger_replay::loss`]).

use super::order::Placed;
use crate::action::{Direction, Service, Stage};
use crate::actions::Do;
use upledger_replay::plan::{Phase, Plan, Undo};

/// The ids of the steps that shut users out, and of those that let them in: what closes and opens the front, or, in a plan
/// without one, what stops and starts the web application.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Traffic {
    closing: Vec<String>,
    opening: Vec<String>,
}

impl Traffic {
    pub(crate) fn of(steps: &[Placed]) -> Self {
        let at = |stage: Stage| -> Vec<String> {
            let of = steps.iter().filter(|s| s.stages.contains(&stage));
            of.map(|s| s.id.clone()).collect()
        };
        let by = |stage: &dyn Fn(Service) -> Stage| match at(stage(Service::Front)) {
            none if none.is_empty() => at(stage(Service::Web)),
            front => front,
        };
        Self {
            closing: by(&Stage::Stop),
            opening: by(&Stage::Start),
        }
    }

    /// Says it of each step.
    pub(crate) fn mark(&self, phases: &mut [Phase]) {
        for step in phases.iter_mut().flat_map(|phase| &mut phase.steps) {
            step.closes = self.closing.contains(&step.id);
            step.opens = self.opening.contains(&step.id);
        }
    }

    /// A resolved plan says the same.
    pub(crate) fn agrees(&self, plan: &Plan) -> bool {
        plan.steps().all(|(_, step)| {
            step.closes == self.closing.contains(&step.id)
                && step.opens == self.opening.contains(&step.id)
        })
    }
}

/// Whether undoing a step brings back older data: by the kind's own undo, or by the action that the plan writes.
pub(crate) fn restores(undo: &Undo, written: Option<&Do>, own: &Do) -> bool {
    let restores = |action: &Do, way| action.kind_of().properties().restores == Some(way);
    match undo {
        Undo::Own { .. } => restores(own, Direction::Undo),
        Undo::Action(_) => written.is_some_and(|action| restores(action, Direction::Do)),
        Undo::PointOfNoReturn(_) | Undo::Nothing => false,
    }
}
