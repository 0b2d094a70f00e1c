//! A rollback of everything ends with the checks of the plan, and none of another one does.

use crate::world::*;
use upledger_replay::decide::{Asked, Next};
use upledger_replay::event::*;
use upledger_replay::needs;
use upledger_replay::plan::{Effect, EnvVar, Input, OnDoubt, Secret, SecretSource, Undo};
use upledger_replay::state::{Ended, Run, Status};

use Direction::{Do, Undo as Back};

fn checked() -> Run {
    let check = |id| {
        let mut step = step(id, Effect::Pure, OnDoubt::Ask, false, Undo::Nothing);
        step.after_rollback = true;
        step
    };
    let mut left_out = check("left-out");
    left_out.left_out = Some("another place".into());
    let mut second = check("second");
    second.env = vec![EnvVar {
        key: "P".into(),
        value: Input::Secret("db".into()),
    }];
    let work = step("work", Effect::Unsafe, OnDoubt::Ask, false, undo());
    let mut plan = plan(vec![work, check("first"), left_out, second]);
    plan.secrets = vec![Secret {
        name: "db".into(),
        source: SecretSource::Env("DB".into()),
    }];
    run(plan)
}

fn fold(run: &mut Run, events: &[Event]) {
    for event in events {
        let seq = run.last.seq + 1;
        run.apply(event, &when(seq)).unwrap();
    }
}

fn starts(run: &Run) -> Option<Attempt> {
    match next(run) {
        Next::Start(start) => Some(start.at),
        _ => None,
    }
}

/// Worked, and went back to where the checks begin.
fn reversed() -> Run {
    let mut run = checked();
    fold(
        &mut run,
        &[
            started("work", Do, 1),
            succeeded("work", Do, 1),
            rollback(None),
            started("work", Back, 1),
            succeeded("work", Back, 1),
        ],
    );
    run
}

#[test]
fn they_are_made_in_the_order_of_the_plan_once_everything_is_reversed() {
    let mut run = reversed();
    assert!(needs::secrets(&run).contains("db"));
    assert_eq!(starts(&run), Some(at("first", Back, 1)));
    assert!(
        run.check(&started("second", Back, 1)).is_err(),
        "not its turn"
    );
    let early = Event::RollbackCompleted(Empty {});
    assert!(run.check(&early).is_err(), "something is to be checked");
    fold(
        &mut run,
        &[started("first", Back, 1), succeeded("first", Back, 1)],
    );
    // It has reversed nothing of its own step.
    assert_eq!(run.units()[1].forward.status, Status::Pending);
    assert_eq!(starts(&run), Some(at("second", Back, 1)));
    fold(
        &mut run,
        &[started("second", Back, 1), succeeded("second", Back, 1)],
    );
    assert_eq!(next(&run), Next::Record(Box::new(early.clone())));
    fold(&mut run, &[early]);
    assert_eq!(run.ended, Some(Ended::RolledBack));
    assert_eq!((run.unchecked().count(), run.passed_over().count()), (0, 0));
}

#[test]
fn one_that_fails_is_a_question_and_may_be_passed_over() {
    let mut run = reversed();
    fold(
        &mut run,
        &[
            started("first", Back, 1),
            failed("first", Back, 1, Failure::Evidence),
        ],
    );
    let Next::Ask(question) = next(&run) else {
        panic!("{:?}", next(&run));
    };
    assert_eq!(question.kind, Asked::Stuck);
    assert!(run.is_check(&question.part));
    fold(&mut run, &[decided("first", Back, Decision::Skip)]);
    assert_eq!(starts(&run), Some(at("second", Back, 1)));
    assert_eq!(
        run.unchecked().map(|u| u.step.as_str()).collect::<Vec<_>>(),
        ["first"]
    );
    // Whoever begins the rollback anew has to pass it again.
    fold(&mut run, &[rollback(None)]);
    assert_eq!(starts(&run), Some(at("first", Back, 2)));
}

#[test]
fn in_doubt_it_is_made_again_because_it_changes_nothing() {
    let mut run = reversed();
    fold(
        &mut run,
        &[started("first", Back, 1), doubted("first", Back, 1)],
    );
    assert_eq!(starts(&run), Some(at("first", Back, 2)));
}

#[test]
fn a_rollback_of_a_part_makes_none() {
    let mut run = checked();
    fold(
        &mut run,
        &[
            started("work", Do, 1),
            succeeded("work", Do, 1),
            rollback(Some("work")),
        ],
    );
    assert_eq!(run.to_check().count(), 0);
    assert_eq!(
        next(&run),
        Next::Record(Box::new(Event::RollbackCompleted(Empty {})))
    );
}
