//! Random walks: events drawn from all that could be proposed about a run, possible and impossible ones.

use crate::world::*;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;
use upledger_replay::event::*;
use upledger_replay::plan::{Effect, OnDoubt, Phase, Plan, Retry, Step, Undo};
use upledger_replay::state::Run;

/// One draw.
#[derive(Debug, Clone)]
pub(crate) struct Draw {
    /// Only of what the state allows, so that walks get far.
    possible: bool,
    which: Index,
}

/// Draws of one walk.
pub(crate) fn draws(most: usize) -> impl Strategy<Value = Vec<Draw>> {
    let draw = (prop::bool::weighted(0.8), any::<Index>());
    prop::collection::vec(
        draw.prop_map(|(possible, which)| Draw { possible, which }),
        0..most,
    )
}

/// A plan of every kind of step: with two targets, left out, retried, without a way back.
pub(crate) fn every_kind() -> Plan {
    let mut twice = step("twice", Effect::Idempotent, OnDoubt::Ask, false, undo());
    twice.targets.push("other".into());
    let mut left_out = step("left", Effect::Pure, OnDoubt::Ask, false, undo());
    left_out.left_out = Some("not here".into());
    let mut retried = step("retried", Effect::Unsafe, OnDoubt::Retry, true, undo());
    retried.retry = Retry {
        times: 1,
        wait_ms: 0,
    };
    let mut checked = step("checked", Effect::Pure, OnDoubt::Ask, false, Undo::Nothing);
    checked.after_rollback = true;
    let gate = Undo::PointOfNoReturn("gone".into());
    let own = Undo::Own {
        on_doubt: OnDoubt::Ask,
    };
    plan(vec![
        twice,
        left_out,
        step("looked", Effect::Probed, OnDoubt::Ask, true, own),
        step("read", Effect::Pure, OnDoubt::Ask, false, Undo::Nothing),
        checked,
        retried,
        step("gate", Effect::Unsafe, OnDoubt::Ask, false, gate),
    ])
}

impl Draw {
    /// The event that it means for this run.
    pub(crate) fn of(&self, run: &Run) -> Event {
        let mut all = proposals(run);
        if self.possible {
            all.retain(|event| run.check(event).is_ok());
        }
        self.which.get(&all).clone()
    }
}

/// Events about every part of a run, of every kind.
pub(crate) fn proposals(run: &Run) -> Vec<Event> {
    let mut all = vec![
        Event::RunResumed(reason()),
        Event::PauseRequested(reason()),
        Event::AbortRequested(reason()),
        Event::RunAborted(Empty {}),
        Event::RunCompleted(Empty {}),
        Event::RollbackCompleted(Empty {}),
        rollback(None),
        rollback(Some("looked")),
        rollback(Some("nowhere")),
        Event::NoteAdded(Note {
            text: String::new(),
        }),
    ];
    all.extend(amendments(run));
    for unit in run.units() {
        for way in [Direction::Do, Direction::Undo] {
            let attempts = unit.part(way).attempts;
            of_part(&unit.key(way), attempts, &mut all);
        }
    }
    of_part(&TaskKey::local("nowhere", Direction::Do), 0, &mut all);
    all
}

/// Another last step, another of every step, and one step more.
fn amendments(run: &Run) -> Vec<Event> {
    let with = |change: &dyn Fn(&mut Plan)| {
        let mut plan = (*run.plan).clone();
        change(&mut plan);
        Event::RunAmended(RunAmended {
            digest: "other".into(),
            plan: plan.into(),
            steps: vec![],
            warnings: vec![],
            reason: String::new(),
            given: Vec::new(),
        })
    };
    let turn = |step: &mut Step| {
        step.cwd = match step.cwd {
            None => Some("/".into()),
            Some(_) => None,
        };
    };
    let steps = |plan: &mut Plan| {
        plan.phases
            .iter_mut()
            .for_each(|p| p.steps.iter_mut().for_each(turn))
    };
    vec![
        with(&|plan| {
            plan.phases
                .iter_mut()
                .next_back()
                .into_iter()
                .for_each(|p| p.steps.iter_mut().for_each(turn))
        }),
        with(&steps),
        with(&|plan| {
            if plan.step("more").is_none() {
                let more = step("more", Effect::Unsafe, OnDoubt::Ask, false, undo());
                plan.phases.push(Phase {
                    phase: "more".into(),
                    steps: vec![more],
                });
            }
        }),
    ]
}

fn of_part(part: &TaskKey, attempts: u32, all: &mut Vec<Event>) {
    let at = Attempt {
        part: part.clone(),
        attempt: attempts,
    };
    let produced = || Some(json!({"release": attempts, "list": []}));
    for attempt in [attempts, attempts + 1] {
        let mut event = started(&part.step, part.way, attempt);
        if let Event::StepStarted(s) = &mut event {
            s.at.part = part.clone();
            s.observed = json!(attempt);
        }
        all.push(event);
    }
    all.push(Event::StepSatisfied(Satisfied {
        part: part.clone(),
        evidence: vec![],
        produced: produced(),
    }));
    all.push(Event::StepRefused(Refusal {
        part: part.clone(),
        detail: String::new(),
    }));
    all.push(Event::StepSkipped(Skipped {
        part: part.clone(),
        reason: String::new(),
    }));
    let of = |mut event: Event| {
        match &mut event {
            Event::StepSucceeded(s) => {
                s.at = at.clone();
                s.produced = produced();
            }
            Event::StepFailed(f) => f.at = at.clone(),
            Event::StepDoubted(d) => d.at = at.clone(),
            Event::StepProbed(p) => p.at = at.clone(),
            Event::StepDecided(d) => d.part = part.clone(),
            _ => unreachable!(),
        }
        event
    };
    let (step, way) = (&part.step, part.way);
    all.push(of(succeeded(step, way, attempts)));
    for failure in [Failure::Exit(1), Failure::Killed, Failure::NotStarted] {
        all.push(of(failed(step, way, attempts, failure)));
    }
    for doubt in [Doubt::Unseen, Doubt::Alive] {
        all.push(of(may_run(step, way, attempts, doubt)));
    }
    for answer in [Answer::Done, Answer::Nothing, Answer::Unclear] {
        all.push(of(probed(step, way, attempts, answer)));
    }
    for decision in [
        Decision::Done,
        Decision::Retry,
        Decision::Skip,
        Decision::Fail,
    ] {
        all.push(of(decided(step, way, decision)));
    }
    all.push(Event::StepFenced(at.clone()));
    all.push(Event::StepAdopted(at.clone()));
    all.push(Event::KillRequested(KillRequested {
        at: at.clone(),
        reason: String::new(),
    }));
    all.push(Event::StepEscalated(Escalated {
        at: at.clone(),
        what: String::new(),
    }));
    all.push(Event::StepNoted(Noted {
        at,
        note: json!("noted"),
    }));
}
