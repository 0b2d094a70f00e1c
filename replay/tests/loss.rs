//! What users wrote since they were let in is given up by a person alone.

use crate::world::*;
use upledger_replay::decide::{Asked, Next};
use upledger_replay::event::*;
use upledger_replay::plan::{ActionSpec, Effect, OnDoubt, OnFailure, Undo};
use upledger_replay::state::Run;

use Direction::{Do, Undo as Back};

/// A dump, a migration that names it, and a front that opens; then a check that may fail.
fn site(on_failure: OnFailure) -> Run {
    let dump = step("dump", Effect::Pure, OnDoubt::Ask, false, Undo::Nothing);
    let mut schema = step("schema", Effect::Unsafe, OnDoubt::Ask, false, undo());
    schema.uses = vec!["dump".into()];
    schema.restores = true;
    let mut front = step("front", Effect::Unsafe, OnDoubt::Ask, false, undo());
    front.opens = true;
    let answers = step("answers", Effect::Pure, OnDoubt::Ask, false, Undo::Nothing);
    let mut plan = plan(vec![dump, schema, front, answers]);
    plan.on_failure = on_failure;
    run(plan)
}

fn fold(run: &mut Run, events: &[Event]) {
    for event in events {
        let seq = run.last.seq + 1;
        run.apply(event, &when(seq)).unwrap();
    }
}

fn done(step: &str) -> [Event; 2] {
    [started(step, Do, 1), succeeded(step, Do, 1)]
}

fn opened(on_failure: OnFailure) -> Run {
    let mut run = site(on_failure);
    for step in ["dump", "schema", "front"] {
        fold(&mut run, &done(step));
    }
    run
}

fn accepting() -> Event {
    Event::RollbackStarted(RollbackStarted {
        to: None,
        reason: "r".into(),
        accept_data_loss: true,
        looks_again: true,
    })
}

#[test]
fn before_users_are_let_in_nothing_is_lost() {
    let mut run = site(OnFailure::Ask);
    for step in ["dump", "schema"] {
        fold(&mut run, &done(step));
    }
    assert_eq!(run.loss_window(None), None);
    fold(&mut run, &[rollback(None)]);
}

#[test]
fn afterwards_a_rollback_over_the_restore_has_to_be_accepted() {
    let run = opened(OnFailure::Ask);
    let window = run.loss_window(None).unwrap();
    assert_eq!(window.opened.step, "front");
    assert_eq!(window.opened.when, run.last);
    let steps: Vec<&str> = window.restores.iter().map(|u| u.step.as_str()).collect();
    assert_eq!(steps, ["schema"]);
    let refused = run.check(&rollback(None)).unwrap_err();
    assert!(refused.why.contains("discard"), "{refused}");
    assert!(run.check(&accepting()).is_ok());
}

#[test]
fn a_rollback_that_leaves_the_restore_alone_needs_no_word() {
    let run = opened(OnFailure::Ask);
    assert_eq!(run.loss_window(Some("schema")), None);
    assert!(run.check(&rollback(Some("schema"))).is_ok());
    assert!(run.check(&rollback(Some("dump"))).is_err());
}

#[test]
fn a_plan_that_rolls_back_by_itself_asks_instead() {
    let mut run = opened(OnFailure::Rollback);
    fold(
        &mut run,
        &[
            started("answers", Do, 1),
            failed("answers", Do, 1, Failure::Exit(1)),
        ],
    );
    let Next::Ask(question) = next(&run) else {
        panic!("{:?}", next(&run));
    };
    assert_eq!(question.kind, Asked::Failed);
    assert!(question.may_roll_back);
}

#[test]
fn what_was_accepted_once_counts_until_users_are_let_in_again() {
    let mut run = opened(OnFailure::Ask);
    fold(
        &mut run,
        &[
            accepting(),
            started("front", Back, 1),
            failed("front", Back, 1, Failure::Exit(1)),
        ],
    );
    assert_eq!(run.loss_window(None), None);
    assert!(run.check(&rollback(None)).is_ok());
}

#[test]
fn a_front_that_was_never_shut_lets_users_in_as_well() {
    let mut run = site(OnFailure::Ask);
    fold(&mut run, &done("dump"));
    fold(&mut run, &done("schema"));
    fold(&mut run, &[satisfied("front", Do)]);
    assert!(run.loss_window(None).is_some());
}

#[test]
fn a_copy_made_after_users_were_let_in_holds_what_they_wrote() {
    let front = |id| {
        let mut front = step(id, Effect::Unsafe, OnDoubt::Ask, false, undo());
        front.opens = true;
        front
    };
    let dump = step("dump", Effect::Pure, OnDoubt::Ask, false, Undo::Nothing);
    let mut schema = step("schema", Effect::Unsafe, OnDoubt::Ask, false, undo());
    schema.uses = vec!["dump".into()];
    schema.restores = true;
    let mut run = run(plan(vec![front("first"), dump, schema, front("second")]));
    for step in ["first", "dump", "schema"] {
        fold(&mut run, &done(step));
    }
    assert_eq!(run.loss_window(None), None);
    fold(&mut run, &done("second"));
    assert_eq!(run.loss_window(None).unwrap().opened.step, "second");
}

#[test]
fn of_two_copies_the_older_one_counts_and_a_step_that_sets_the_environment_is_none() {
    let copy = |id| step(id, Effect::Pure, OnDoubt::Ask, false, Undo::Nothing);
    let mut sets = copy("sets");
    sets.action = ActionSpec::new("env.set", serde_json::json!({"variables": {"A": "1"}}));
    let mut front = step("front", Effect::Unsafe, OnDoubt::Ask, false, undo());
    front.opens = true;
    let uses = |names: &[&str]| {
        let mut schema = step("schema", Effect::Unsafe, OnDoubt::Ask, false, undo());
        schema.uses = names.iter().map(|name| (*name).to_owned()).collect();
        schema.restores = true;
        let steps = vec![
            sets.clone(),
            copy("older"),
            front.clone(),
            copy("newer"),
            schema,
        ];
        let mut run = run(plan(steps));
        for step in ["sets", "older", "front", "newer", "schema"] {
            fold(&mut run, &done(step));
        }
        run
    };
    let run = uses(&["older", "newer", "sets"]);
    assert_eq!(run.loss_window(None).unwrap().opened.step, "front");
    assert_eq!(uses(&["newer", "sets"]).loss_window(None), None);
}
