//! What is done again behind a partial rollback, and what its undo then knows. All of it was found by the model.

use crate::world::*;
use upledger_replay::decide::{Asked, LOSSES, Next};
use upledger_replay::event::*;
use upledger_replay::plan::{Effect, OnDoubt, Undo, UndoAction};
use upledger_replay::state::Run;

use Direction::{Do, Undo as Back};

/// Two unsafe steps whose undos are not to be repeated without a person's word.
fn two() -> Run {
    let undo = || {
        let Undo::Action(action) = undo() else {
            unreachable!()
        };
        Undo::Action(UndoAction {
            effect: Effect::Unsafe,
            ..action
        })
    };
    let step = |id| step(id, Effect::Unsafe, OnDoubt::Ask, false, undo());
    run(plan(vec![step("a"), step("b")]))
}

fn tell(run: &mut Run, events: &[Event]) {
    for event in events {
        run.apply(event, &when(run.last.seq + 1)).unwrap();
    }
}

fn resumed() -> Event {
    Event::RunResumed(reason())
}

fn completed_back() -> Event {
    Event::RollbackCompleted(Empty {})
}

fn starts(run: &Run, step: &str, way: Direction) -> bool {
    matches!(next(run), Next::Start(start) if start.at.part == TaskKey::local(step, way))
}

#[test]
fn a_step_that_a_person_has_done_again_is_undone_again() {
    let mut run = two();
    tell(
        &mut run,
        &[
            started("a", Do, 1),
            succeeded("a", Do, 1),
            started("b", Do, 1),
            succeeded("b", Do, 1),
            rollback(Some("a")),
            started("b", Back, 1),
            succeeded("b", Back, 1),
            completed_back(),
            resumed(),
            refused("b", Do),
            decided("b", Do, Decision::Done),
            rollback(None),
        ],
    );
    assert!(starts(&run, "b", Back), "{:?}", next(&run));
}

#[test]
fn what_a_person_has_done_although_its_undo_was_passed_over_is_asked_about_again() {
    let mut run = two();
    tell(
        &mut run,
        &[
            started("a", Do, 1),
            succeeded("a", Do, 1),
            started("b", Do, 1),
            failed("b", Do, 1, Failure::Exit(1)),
            rollback(Some("a")),
            refused("b", Back),
            decided("b", Back, Decision::Skip),
            completed_back(),
            resumed(),
            decided("b", Do, Decision::Done),
            rollback(None),
        ],
    );
    assert!(starts(&run, "b", Back), "{:?}", next(&run));
}

/// It asked, and no answer was possible.
#[test]
fn losses_of_an_earlier_undo_are_not_asked_about_when_the_step_is_done_again() {
    let mut run = two();
    tell(
        &mut run,
        &[
            started("a", Do, 1),
            failed("a", Do, 1, Failure::Exit(1)),
            rollback(None),
        ],
    );
    for n in 1..=LOSSES {
        tell(
            &mut run,
            &[started("a", Back, n), Event::StepFenced(at("a", Back, n))],
        );
    }
    assert!(matches!(next(&run), Next::Ask(q) if q.kind == Asked::Losses));
    tell(
        &mut run,
        &[
            rollback(Some("a")),
            completed_back(),
            resumed(),
            decided("a", Do, Decision::Retry),
            started("a", Do, 2),
            succeeded("a", Do, 2),
            rollback(None),
        ],
    );
    assert!(starts(&run, "a", Back), "{:?}", next(&run));
}

/// An unsafe undo was repeated without a word about the doubt that it was in.
#[test]
fn an_undo_in_doubt_is_not_forgotten_by_an_attempt_that_never_started() {
    for nothing in [
        Event::StepFenced(at("a", Do, 2)),
        failed("a", Do, 2, Failure::NotStarted),
    ] {
        let mut run = two();
        tell(
            &mut run,
            &[
                started("a", Do, 1),
                failed("a", Do, 1, Failure::Exit(1)),
                rollback(None),
                started("a", Back, 1),
                doubted("a", Back, 1),
                rollback(Some("a")),
                completed_back(),
                resumed(),
                decided("a", Do, Decision::Retry),
                started("a", Do, 2),
                nothing,
                rollback(None),
            ],
        );
        let next = next(&run);
        assert!(
            matches!(&next, Next::Ask(q) if q.kind == Asked::Doubt && q.part.way == Back),
            "{next:?}"
        );
        assert!(run.check(&started("a", Back, 2)).is_err());
    }
}

/// Its ledger holds what the program that began it thought right, and is read for ever.
#[test]
fn a_run_that_an_earlier_program_began_is_folded_as_that_one_folded_it() {
    let now = two();
    let planned = RunPlanned {
        digest: String::new(),
        plan: now.plan.clone(),
        warnings: vec![],
        contract: 0,
        given: Vec::new(),
    };
    let mut run = Run::new(&now.name, planned, when(0));
    tell(
        &mut run,
        &[
            started("a", Do, 1),
            succeeded("a", Do, 1),
            started("b", Do, 1),
            succeeded("b", Do, 1),
            rollback(Some("a")),
            started("b", Back, 1),
            succeeded("b", Back, 1),
            completed_back(),
            resumed(),
            refused("b", Do),
            decided("b", Do, Decision::Done),
            rollback(None),
            started("a", Back, 1),
            succeeded("a", Back, 1),
            completed_back(),
        ],
    );
    assert!(run.ended.is_some());
}

/// Two looks, one of which has seen its step undone, and a step that was refused: all are made again.
#[test]
fn behind_the_step_that_stays_what_only_looks_is_looked_at_again() {
    let look = |id| step(id, Effect::Pure, OnDoubt::Ask, false, Undo::Nothing);
    let act = |id| step(id, Effect::Unsafe, OnDoubt::Ask, false, undo());
    let mut run = run(plan(vec![
        act("first"),
        look("seen"),
        act("start"),
        look("answers"),
    ]));
    let fold = |run: &mut Run, events: &[Event]| {
        for event in events {
            let seq = run.last.seq + 1;
            run.apply(event, &when(seq)).unwrap();
        }
    };
    for id in ["first", "seen", "start"] {
        fold(&mut run, &[started(id, Do, 1), succeeded(id, Do, 1)]);
    }
    fold(
        &mut run,
        &[
            started("answers", Do, 1),
            failed("answers", Do, 1, Failure::Exit(1)),
            rollback(Some("first")),
            started("start", Back, 1),
            succeeded("start", Back, 1),
            Event::RollbackCompleted(Empty {}),
            Event::RunResumed(reason()),
        ],
    );
    let mut seen = Vec::new();
    for (id, attempt) in [("seen", 2), ("start", 2), ("answers", 2)] {
        let Next::Start(start) = next(&run) else {
            panic!("{:?}", next(&run));
        };
        seen.push(start.at.clone());
        fold(
            &mut run,
            &[started(id, Do, attempt), succeeded(id, Do, attempt)],
        );
    }
    assert_eq!(
        seen,
        [at("seen", Do, 2), at("start", Do, 2), at("answers", Do, 2)]
    );
}
