//! What a step hands on: its notes, its product, the facts of later steps; and what a step that was refused leaves.

use crate::world::*;
use serde_json::{Value, json};
use upledger_replay::decide::{Asked, Next};
use upledger_replay::event::*;
use upledger_replay::facts::NoFact;
use upledger_replay::plan::{Effect, OnDoubt, Pair, Retry, Step};
use upledger_replay::state::{Run, Status, Task};

use Direction::{Do, Undo};

fn unsafe_step(id: &str) -> Step {
    step(id, Effect::Unsafe, OnDoubt::Ask, true, undo())
}

fn fold(run: &Run, events: &[Event]) -> Run {
    let mut run = run.clone();
    for event in events {
        run.apply(event, &when(run.last.seq + 1))
            .unwrap_or_else(|e| panic!("{e}: {event:?}"));
    }
    run
}

fn one() -> Run {
    run(plan(vec![unsafe_step("a")]))
}

fn unit(run: &Run) -> &Task {
    &run.units()[0]
}

fn asks(run: &Run) -> Option<Asked> {
    match next(run) {
        Next::Ask(q) => Some(q.kind),
        _ => None,
    }
}

/// The event, with what it hands on.
fn with(mut event: Event, product: Option<Value>, printed: &[(&str, &str)]) -> Event {
    match &mut event {
        Event::StepSucceeded(e) => {
            e.produced = product;
            e.facts = pairs(printed);
        }
        Event::StepSatisfied(e) => e.produced = product,
        Event::StepProbed(e) => e.produced = product,
        Event::StepDecided(e) => e.produced = product,
        _ => unreachable!("{event:?}"),
    }
    event
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<Pair> {
    let pair = |(key, value): &(&str, &str)| Pair {
        key: (*key).into(),
        value: (*value).into(),
    };
    pairs.iter().map(pair).collect()
}

#[test]
fn a_refused_step_is_untouched_keeps_its_number_and_counts_as_a_failure() {
    let mut retried = unsafe_step("a");
    retried.retry = Retry {
        times: 2,
        wait_ms: 7,
    };
    let mut state = run(plan(vec![retried]));
    for refusals in 1..=2 {
        state = fold(&state, &[refused("a", Do)]);
        assert_eq!(unit(&state).forward.attempts, 0);
        assert!(!unit(&state).forward.touched);
        assert_eq!(unit(&state).forward.failures, refusals);
        let Next::Start(start) = next(&state) else {
            panic!("{:?}", next(&state))
        };
        assert_eq!(
            (start.at.attempt, start.fresh),
            (1, true),
            "it may be found done"
        );
    }
    state = fold(&state, &[refused("a", Do)]);
    assert_eq!(asks(&state), Some(Asked::Failed));
    assert_eq!(unit(&state).forward.detail, "no");
    for event in [started("a", Do, 1), refused("a", Do), satisfied("a", Do)] {
        state.check(&event).expect_err("a person decides first");
    }
    let nothing = fold(&state, &[rollback(None)]);
    assert!(
        matches!(next(&nothing), Next::Record(e) if matches!(*e, Event::RollbackCompleted(_))),
        "there is nothing to reverse"
    );
    let again = fold(
        &state,
        &[decided("a", Do, Decision::Retry), started("a", Do, 1)],
    );
    assert_eq!(again.open(), Some(TaskKey::local("a", Do)));
}

#[test]
fn of_a_refused_step_there_was_no_attempt_to_look_at() {
    let state = fold(&one(), &[refused("a", Do)]);
    state
        .check(&probed("a", Do, 0, Answer::Done))
        .expect_err("no attempt was made");
}

#[test]
fn a_refusal_after_an_attempt_leaves_what_that_one_left_and_forgets_how_it_failed() {
    let Event::StepFailed(mut left_behind) = failed("a", Do, 1, Failure::Exit(1)) else {
        unreachable!()
    };
    left_behind.left_behind = true;
    let mut retried = unsafe_step("a");
    retried.retry.times = 1;
    let state = fold(
        &run(plan(vec![retried])),
        &[
            started("a", Do, 1),
            Event::StepFailed(left_behind),
            decided("a", Do, Decision::Retry),
            refused("a", Do),
        ],
    );
    assert!(unit(&state).forward.touched);
    assert!(
        matches!(next(&state), Next::Start(s) if s.at.attempt == 2 && !s.fresh),
        "a person has decided about the processes that were left: {:?}",
        next(&state)
    );
}

#[test]
fn a_refused_undo_is_stuck() {
    let done = [started("a", Do, 1), succeeded("a", Do, 1), rollback(None)];
    let state = fold(&fold(&one(), &done), &[refused("a", Undo)]);
    assert_eq!(asks(&state), Some(Asked::Stuck));
    state
        .check(&started("a", Undo, 1))
        .expect_err("a person decides first");
    let again = fold(
        &state,
        &[decided("a", Undo, Decision::Retry), started("a", Undo, 1)],
    );
    assert_eq!(again.open(), Some(TaskKey::local("a", Undo)));
}

#[test]
fn notes_are_kept_in_order_until_the_step_is_begun_afresh() {
    let state = fold(
        &one(),
        &[
            started("a", Do, 1),
            noted("a", Do, 1),
            Event::StepEscalated(Escalated {
                at: at("a", Do, 1),
                what: String::new(),
            }),
            noted("a", Do, 1),
            doubted("a", Do, 1),
        ],
    );
    assert_eq!(
        unit(&state).forward.imported,
        3,
        "escalations are counted too"
    );
    state
        .check(&noted("a", Do, 1))
        .expect_err("its attempt is over");
    let state = fold(
        &state,
        &[
            decided("a", Do, Decision::Retry),
            started("a", Do, 2),
            noted("a", Do, 2),
        ],
    );
    assert_eq!(unit(&state).forward.imported, 1, "of this attempt");
    let state = fold(
        &state,
        &[
            succeeded("a", Do, 2),
            rollback(None),
            started("a", Undo, 1),
            noted("a", Undo, 1),
            failed("a", Undo, 1, Failure::Exit(1)),
        ],
    );
    let told: Vec<_> = unit(&state)
        .notes
        .iter()
        .map(|n| (n.at.part.way, n.at.attempt))
        .collect();
    assert_eq!(told, [(Do, 1), (Do, 1), (Do, 2), (Undo, 1)]);

    let again = fold(
        &run(plan(vec![unsafe_step("first"), unsafe_step("a")])),
        &[
            started("first", Do, 1),
            succeeded("first", Do, 1),
            started("a", Do, 1),
            noted("a", Do, 1),
            succeeded("a", Do, 1),
            rollback(Some("first")),
            started("a", Undo, 1),
            succeeded("a", Undo, 1),
            Event::RollbackCompleted(Empty {}),
            Event::RunResumed(reason()),
        ],
    );
    assert_eq!(again.units()[1].notes.len(), 1, "for the reader");
    let again = fold(&again, &[started("a", Do, 2)]);
    assert!(
        again.units()[1].notes.is_empty(),
        "they are of no use to it"
    );
}

#[test]
fn whoever_finds_a_step_done_tells_what_it_produced() {
    let product = || Some(json!({"dump": "d.sql", "rows": 3, "whole": true, "tables": ["t"]}));
    let doubt = [started("a", Do, 1), doubted("a", Do, 1)];
    let ways: [(&str, Vec<Event>, Event); 4] = [
        ("ran", vec![started("a", Do, 1)], succeeded("a", Do, 1)),
        ("was done", vec![], satisfied("a", Do)),
        (
            "was looked at",
            doubt.to_vec(),
            probed("a", Do, 1, Answer::Done),
        ),
        (
            "was decided",
            doubt.to_vec(),
            decided("a", Do, Decision::Done),
        ),
    ];
    for (how, before, done) in ways {
        let before = fold(&one(), &before);
        let state = fold(&before, &[with(done.clone(), product(), &[])]);
        assert_eq!(unit(&state).produced, product(), "{how}");
        assert_eq!(state.fact("a.dump", "local"), Ok("d.sql"), "{how}");
        assert_eq!(state.fact("a.rows", "local"), Ok("3"), "{how}");
        assert_eq!(state.fact("a.whole", "local"), Ok("true"), "{how}");
        let list = state.fact("a.tables", "local");
        assert_eq!(list, Err(NoFact::Unknown("a.tables".into())), "{how}");
        let nothing = fold(&before, &[done]);
        assert_eq!(unit(&nothing).produced, None, "{how}");
        assert!(nothing.fact("a.dump", "local").is_err(), "{how}");
    }
}

#[test]
fn what_is_not_done_has_produced_nothing() {
    let done = with(
        succeeded("a", Do, 1),
        Some(json!({"dump": "d.sql"})),
        &[("rows", "3")],
    );
    let done = fold(&one(), &[started("a", Do, 1), done]);
    assert_eq!(done.fact("a.rows", "local"), Ok("3"), "it was printed");
    let back = fold(&done, &[rollback(None), started("a", Undo, 1)]);
    assert!(
        unit(&back).produced.is_some(),
        "its undo works from what it produced"
    );
    let undone = fold(&back, &[succeeded("a", Undo, 1)]);
    assert_eq!(unit(&undone).forward.status, Status::Undone);
    assert_eq!(unit(&undone).produced, None);
    assert!(undone.fact("a.rows", "local").is_err());
    let left = fold(
        &back,
        &[
            failed("a", Undo, 1, Failure::Exit(1)),
            decided("a", Undo, Decision::Skip),
        ],
    );
    assert!(unit(&left).produced.is_some(), "it is still there");
}

#[test]
fn inputs_are_those_of_the_attempt_that_began_it() {
    let with_inputs = |attempt, value| {
        let Event::StepStarted(mut s) = started("a", Do, attempt) else {
            unreachable!()
        };
        s.inputs = pairs(&[("backup.dump", value)]);
        Event::StepStarted(s)
    };
    let mut retried = unsafe_step("a");
    retried.retry.times = 2;
    let state = fold(
        &run(plan(vec![retried])),
        &[
            with_inputs(1, "one"),
            failed("a", Do, 1, Failure::NotStarted),
            with_inputs(2, "two"),
            failed("a", Do, 2, Failure::Exit(1)),
            with_inputs(3, "three"),
        ],
    );
    assert_eq!(
        unit(&state).inputs,
        pairs(&[("backup.dump", "two")]),
        "the first left nothing, the second may have"
    );
}

#[test]
fn a_fact_is_that_of_the_same_target_else_of_the_only_one() {
    let mut everywhere = unsafe_step("a");
    everywhere.targets = vec!["one".into(), "two".into()];
    let start = run(plan(vec![everywhere]));
    let done = |target: &str, value: &str| {
        let on = |mut event: Event| {
            match &mut event {
                Event::StepStarted(s) => s.at.part.target = target.into(),
                Event::StepSucceeded(s) => s.at.part.target = target.into(),
                _ => unreachable!(),
            }
            event
        };
        [
            on(started("a", Do, 1)),
            on(with(succeeded("a", Do, 1), None, &[("id", value)])),
        ]
    };
    let first = fold(&start, &done("one", "1"));
    assert_eq!(first.fact("a.id", "one"), Ok("1"));
    assert_eq!(first.fact("a.id", "elsewhere"), Ok("1"));
    let both = fold(&first, &done("two", "2"));
    assert_eq!(both.fact("a.id", "two"), Ok("2"));
    assert_eq!(
        both.fact("a.id", "elsewhere"),
        Err(NoFact::Ambiguous("a.id".into()))
    );
    for unknown in ["a.name", "b.id", "id"] {
        assert_eq!(
            both.fact(unknown, "one"),
            Err(NoFact::Unknown(unknown.into()))
        );
    }
}

#[test]
fn a_step_has_set_the_environment_once_it_is_done_or_was_found_done() {
    let of = at("b", Do, 1).part;
    let fresh = run(plan(vec![unsafe_step("a"), unsafe_step("b")]));
    assert!(!fresh.has_set("a", &of) && !fresh.has_set("unknown", &of));
    let begun = fold(&fresh, &[started("a", Do, 1)]);
    assert!(!begun.has_set("a", &of));
    assert!(fold(&begun, &[succeeded("a", Do, 1)]).has_set("a", &of));
    assert!(fold(&fresh, &[satisfied("a", Do)]).has_set("a", &of));
    let failed = failed("a", Do, 1, Failure::Exit(1));
    assert!(!fold(&begun, &[failed]).has_set("a", &of));
}
