//! An exhaustive model: a runner that follows the decisions, a world that may do anything at any time (crash, fail,
//! probe either way, a person who decides), and the judge that counts effects.
//!
//! Proved for every reachable history within the bounds: an unsafe step never takes effect a second time without a
//! person's word or a probe that saw nothing; a prefix and its rest fold as the whole; whatever `next` proposes is
//! accepted; when the faults stop, the run ends or asks.

use crate::world::*;
use std::collections::{BTreeSet, VecDeque};
use upledger_replay::decide::Next;
use upledger_replay::event::*;
use upledger_replay::plan::{Effect, OnDoubt, Step};
use upledger_replay::state::Run;

/// What the world may do with an open attempt: the event, and whether the effect took place.
fn outcomes(at: &Attempt) -> Vec<(Event, bool)> {
    let (step, way, n) = (at.part.step.as_str(), at.part.way, at.attempt);
    vec![
        (succeeded(step, way, n), true),
        (failed(step, way, n, Failure::Exit(1)), true),
        (failed(step, way, n, Failure::NotStarted), false),
        (Event::StepFenced(at.clone()), false),
        (doubted(step, way, n), false),
        (doubted(step, way, n), true),
        // `Alive` and `Lost` fold alike; one of them keeps the model small.
        (may_run(step, way, n, Doubt::Lost), true),
    ]
}

#[derive(Clone)]
struct History {
    run: Run,
    events: Vec<Event>,
    /// Whether the unsafe step's effect is there, by the judge.
    effect: bool,
    /// A person or a truthful probe allowed another effect.
    allowed: bool,
    faults: u32,
}

impl History {
    fn with(&self, event: Event) -> Self {
        let mut next = self.clone();
        let seq = next.events.len() as u64 + 1;
        next.run
            .apply(&event, &when(seq))
            .unwrap_or_else(|e| panic!("proposed and refused: {e}: {event:?}"));
        next.events.push(event);
        next
    }
}

/// All histories that follow from one.
fn successors(h: &History) -> Vec<History> {
    match next(&h.run) {
        Next::End(_) | Next::Stop(_) => vec![],
        Next::Record(event) => vec![h.with(*event)],
        Next::Start(start) => {
            let at = &start.at;
            let mut all = Vec::new();
            let intent = started(&at.part.step, at.part.way, at.attempt);
            for (outcome, effect) in outcomes(at) {
                let fault = !matches!(outcome, Event::StepSucceeded(_));
                if fault && h.faults == 0 {
                    continue;
                }
                let mut n = h.with(intent.clone());
                n.faults -= u32::from(fault);
                if effect && at.part == TaskKey::local("unsafe", Direction::Do) {
                    assert!(
                        !n.effect || n.allowed,
                        "the unsafe step took effect twice: {:#?}",
                        n.events
                    );
                    n.effect = true;
                    n.allowed = false;
                }
                if effect && at.part == TaskKey::local("unsafe", Direction::Undo) {
                    n.effect = false;
                }
                all.push(n.with(outcome));
            }
            all
        }
        Next::Probe(at) => {
            let mut all = Vec::new();
            // A probe is truthful or unclear; a lying one is outside what can be promised.
            let truth = if h.effect || at.part.step != "unsafe" {
                Answer::Done
            } else {
                Answer::Nothing
            };
            for answer in [truth, Answer::Unclear] {
                all.push(h.with(probed(&at.part.step, at.part.way, at.attempt, answer)));
            }
            all
        }
        Next::Resolve(at) => panic!("the model leaves no attempt open: {at:?}"),
        Next::Ask(question) => {
            let mut all: Vec<History> = question
                .answers
                .iter()
                .map(|answer| {
                    let mut n = h.with(Event::StepDecided(Decided {
                        part: question.part.clone(),
                        decision: *answer,
                        reason: String::new(),
                        evidence: vec![],
                        produced: None,
                    }));
                    n.allowed |= *answer == Decision::Retry;
                    n
                })
                .collect();
            if question.may_roll_back {
                all.push(h.with(rollback(None)));
            }
            all
        }
    }
}

/// A run without its times.
fn shape(run: &Run) -> String {
    let mut units = run.units().to_vec();
    for unit in &mut units {
        for part in [&mut unit.forward, &mut unit.backward] {
            part.started_at = when(0);
            part.ended_at = when(0);
        }
    }
    format!(
        "{units:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}",
        run.way,
        run.rollback_to,
        run.pause,
        run.abort,
        run.held,
        run.ended,
        run.standing_decision()
    )
}

fn explore(steps: Vec<Step>, faults: u32) -> usize {
    let start = History {
        run: run(plan(steps)),
        events: vec![],
        effect: false,
        allowed: false,
        faults,
    };
    let mut seen = BTreeSet::new();
    let mut open = VecDeque::from([start]);
    let mut ends = 0;
    while let Some(h) = open.pop_front() {
        // Two histories whose runs and judges agree go on alike.
        if !seen.insert(format!(
            "{}{}{}{}",
            shape(&h.run),
            h.effect,
            h.allowed,
            h.faults
        )) {
            continue;
        }
        // A prefix and its rest fold as the whole.
        let mut again = Run::new(
            &h.run.name,
            RunPlanned {
                digest: String::new(),
                plan: h.run.plan.clone(),
                warnings: vec![],
                contract: CONTRACT,
            },
            when(0),
        );
        for (i, event) in h.events.iter().enumerate() {
            again.apply(event, &when(i as u64 + 1)).unwrap();
        }
        assert_eq!(again, h.run);
        assert!(h.events.len() < 60, "no end in sight: {:#?}", h.events);
        let all = successors(&h);
        ends += usize::from(all.is_empty());
        open.extend(all);
    }
    assert!(ends > 0, "nothing ever ended");
    seen.len()
}

#[test]
fn an_unsafe_step_takes_effect_once_whatever_happens() {
    for probe in [false, true] {
        let steps = vec![
            step("first", Effect::Idempotent, OnDoubt::Ask, false, undo()),
            step("unsafe", Effect::Unsafe, OnDoubt::Ask, probe, undo()),
            step("last", Effect::Probed, OnDoubt::Ask, true, undo()),
        ];
        let states = explore(steps, 3);
        assert!(states > 1_000, "only {states} states");
    }
}
