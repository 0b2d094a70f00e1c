//! Which steps let users in again, and which bring back older data when they are undone: what is written between the two
//! would be lost ([`upledger_replay::loss`]).

use super::order::Placed;
use crate::action::{Direction, Service, Stage};
use crate::actions::Do;
use upledger_replay::plan::{Phase, Undo};

/// The ids of the steps that let users in: those that open the front, or, in a plan without any, that start the web
/// application.
pub(crate) fn opening(steps: &[Placed]) -> Vec<String> {
    let starts = |service: Service| -> Vec<String> {
        let of = steps
            .iter()
            .filter(|s| s.stages.contains(&Stage::Start(service)));
        of.map(|s| s.id.clone()).collect()
    };
    match starts(Service::Front) {
        none if none.is_empty() => starts(Service::Web),
        front => front,
    }
}

/// Says of each step whether it lets users in.
pub(crate) fn mark(placed: &[Placed], phases: &mut [Phase]) {
    let opening = opening(placed);
    for step in phases.iter_mut().flat_map(|phase| &mut phase.steps) {
        step.opens = opening.contains(&step.id);
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
