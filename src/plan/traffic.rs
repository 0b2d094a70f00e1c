//! Which steps shut users out and let them in again, and which bring back older data when they are undone: what is written
//! between the two would be lost ([`upledger_replay::loss`]).
//!
//! The rule, which the loss window, the timeline and the report share: where a plan has a front (Nginx, a maintenance page),
//! what closes and opens it. Where it has none, what stops and starts a service that can answer users: Gunicorn, or a service
//! of any kind whose stop or start names a port or a page. Such a start counts behind a stop: what was never stopped lets
//! nobody in again. Celery, schedules, and services that name no address let nobody in.

use super::order::Placed;
use crate::action::{Direction, Service, Stage};
use crate::actions::Do;
pub(crate) use crate::actions::service::Serving;
use upledger_replay::plan::{Phase, Plan, Undo};

/// The ids of the steps that shut users out, and of those that let them in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Traffic {
    closing: Vec<String>,
    opening: Vec<String>,
}

impl Traffic {
    pub(crate) fn of(steps: &[Placed]) -> Self {
        let services = Services::of(steps);
        let front = |stage: Stage, without: Vec<usize>| -> Vec<String> {
            let at = (0..steps.len()).filter(|at| steps[*at].stages.contains(&stage));
            let at: Vec<usize> = at.collect();
            let decides = if at.is_empty() { without } else { at };
            decides.iter().map(|at| steps[*at].id.clone()).collect()
        };
        Self {
            closing: front(Stage::Stop(Service::Front), services.closing()),
            opening: front(Stage::Start(Service::Front), services.opening()),
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

/// The stops and starts of services, in the order of the plan.
struct Services<'a>(Vec<(usize, &'a Serving)>);

impl<'a> Services<'a> {
    fn of(steps: &'a [Placed]) -> Self {
        let all = steps.iter().enumerate();
        Self(
            all.filter_map(|(at, step)| Some((at, step.serving.as_ref()?)))
                .collect(),
        )
    }

    /// Its stop or its start says how it is reached.
    fn answers(&self, own: &Serving) -> bool {
        own.answers || self.0.iter().any(|(_, s)| s.answers && s.is_of(own))
    }

    fn opening(&self) -> Vec<usize> {
        let stop = self.0.iter().find(|(_, s)| !s.starts);
        let behind = |at: usize| stop.is_some_and(|(stop, _)| *stop < at);
        let opens =
            |(at, s): &&(usize, &Serving)| s.starts && self.answers(s) && (s.is_web || behind(*at));
        self.0.iter().filter(opens).map(|(at, _)| *at).collect()
    }

    /// The stops of what is started again; where none of them is known to answer, all stops before that start.
    fn closing(&self) -> Vec<usize> {
        let last = self.opening().last().copied();
        let again = |at: usize| last.is_some_and(|last| at < last);
        let stops = || self.0.iter().filter(|(_, s)| !s.starts);
        let known = stops().filter(|(at, s)| s.is_web || (self.answers(s) && again(*at)));
        let known: Vec<usize> = known.map(|(at, _)| *at).collect();
        match known.is_empty() {
            true => stops().map(|(at, _)| *at).filter(|at| again(*at)).collect(),
            false => known,
        }
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
