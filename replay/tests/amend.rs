//! Another plan in the middle of a run: what may differ, what stays as it is, and what comes next.

use crate::world::*;
use upledger_replay::decide::{Asked, Next, Stop};
use upledger_replay::event::*;
use upledger_replay::plan::{ActionSpec, Effect, OnDoubt, Plan, Secret, SecretSource, Step, Undo};
use upledger_replay::runs::Runs;
use upledger_replay::state::{Run, Status};

use Direction::{Do, Undo as Back};

fn of(id: &str, undo: Undo) -> Step {
    step(id, Effect::Unsafe, OnDoubt::Ask, false, undo)
}

/// The same step with another command.
fn other(step: Step) -> Step {
    Step {
        action: ActionSpec::new("run", serde_json::json!(["other"])),
        ..step
    }
}

fn three() -> Plan {
    plan(vec![
        of("a", undo()),
        of("b", Undo::Nothing),
        of("c", undo()),
    ])
}

fn amended(plan: Plan) -> Event {
    Event::RunAmended(RunAmended {
        digest: "other".into(),
        plan: plan.into(),
        steps: vec![],
        warnings: vec![],
        reason: "r".into(),
        given: Vec::new(),
    })
}

fn fold(mut run: Run, events: &[Event]) -> Run {
    for (seq, event) in events.iter().enumerate() {
        run.apply(event, &when(seq as u64 + 1))
            .unwrap_or_else(|e| panic!("{event:?}: {e}"));
    }
    run
}

/// `a` has succeeded, and `b` has failed.
fn at_b() -> Run {
    fold(
        run(three()),
        &[
            started("a", Do, 1),
            succeeded("a", Do, 1),
            started("b", Do, 1),
            failed("b", Do, 1, Failure::Exit(1)),
        ],
    )
}

#[track_caller]
fn refused_for(run: &Run, plan: Plan, why: &str) {
    let before = run.clone();
    let mut after = run.clone();
    let refused = after.apply(&amended(plan), &when(9)).expect_err(why);
    assert!(refused.why.contains(why), "{refused}");
    assert_eq!(after, before);
}

fn starts(run: &Run) -> (String, u32) {
    match next(run) {
        Next::Start(start) => (start.at.part.step, start.at.attempt),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_failed_step_runs_by_its_new_definition_and_the_rest_of_the_run_follows() {
    let steps = vec![
        of("a", undo()),
        other(of("b", Undo::Nothing)),
        of("new", undo()),
        other(of("c", undo())),
    ];
    let run = fold(at_b(), &[amended(plan(steps))]);
    assert_eq!(run.digest, "other");
    // Nobody has to decide about the failure of a definition that is gone; numbers of attempts never repeat.
    assert_eq!(starts(&run), ("b".into(), 2));
    let run = fold(
        run,
        &[
            started("b", Do, 2),
            succeeded("b", Do, 2),
            started("new", Do, 1),
            succeeded("new", Do, 1),
            started("c", Do, 1),
            succeeded("c", Do, 1),
            Event::RunCompleted(Empty {}),
            rollback(None),
        ],
    );
    let undone: Vec<&str> = run.to_undo().map(|u| u.step.as_str()).collect();
    assert_eq!(undone, ["c", "new", "a"]);
}

#[test]
fn an_unchanged_step_keeps_its_state_and_its_question() {
    let steps = vec![
        of("a", undo()),
        of("b", Undo::Nothing),
        other(of("c", undo())),
    ];
    let run = fold(at_b(), &[amended(plan(steps))]);
    assert!(matches!(next(&run), Next::Ask(q) if q.kind == Asked::Failed && q.part.step == "b"));
    assert_eq!(run.units()[0].forward.status, Status::Succeeded);
    // What was decided before is about a plan that is gone.
    let decided = fold(at_b(), &[decided("b", Do, Decision::Retry)]);
    assert!(decided.before_decision("b").is_some());
    let run = fold(
        decided,
        &[amended(plan(vec![of("a", undo()), of("b", Undo::Nothing)]))],
    );
    assert!(run.before_decision("b").is_none());
    assert_eq!(starts(&run), ("b".into(), 2));
}

#[test]
fn what_has_been_started_keeps_its_definition_its_order_and_its_place() {
    let run = at_b();
    let (a, b, c) = (of("a", undo()), of("b", Undo::Nothing), of("c", undo()));
    let with = |steps: &[&Step]| plan(steps.iter().map(|s| (*s).clone()).collect());
    refused_for(&run, with(&[&other(a.clone()), &b, &c]), "a is settled");
    refused_for(&run, with(&[&b, &a, &c]), "stands at another place");
    refused_for(&run, with(&[&b, &c]), "a has been started and is left out");
    refused_for(&run, with(&[&a, &c]), "b has been started and is left out");
    refused_for(&run, with(&[&c, &a, &b]), "c would come before");
    let back = fold(
        run.clone(),
        &[rollback(Some("c")), Event::RollbackCompleted(Empty {})],
    );
    refused_for(&back, with(&[&a, &b]), "went back to c");
    let mut shorter = run;
    shorter.apply(&amended(with(&[&a, &b])), &when(9)).unwrap();
    assert_eq!(shorter.units().len(), 2);
}

#[test]
fn what_may_have_taken_effect_is_undone_by_the_definition_that_ran() {
    let failed_c = |failure| {
        fold(
            run(plan(vec![of("a", undo()), of("c", undo())])),
            &[
                started("a", Do, 1),
                succeeded("a", Do, 1),
                started("c", Do, 1),
                failed("c", Do, 1, failure),
            ],
        )
    };
    let changed = || plan(vec![of("a", undo()), other(of("c", undo()))]);
    let run = failed_c(Failure::Exit(1));
    refused_for(&run, changed(), "may have taken effect");
    // Undone by its own definition, it may get another.
    let back = [
        rollback(Some("a")),
        started("c", Back, 1),
        succeeded("c", Back, 1),
        Event::RollbackCompleted(Empty {}),
    ];
    let run = fold(run, &back);
    let run = fold(run, &[amended(changed())]);
    assert!(matches!(next(&run), Next::Stop(Stop::RolledBackTo(_))));
    let run = fold(run, &[Event::RunResumed(reason())]);
    assert_eq!(starts(&run), ("c".into(), 2));
    // What never started has nothing to undo.
    let run = fold(failed_c(Failure::NotStarted), &[amended(changed())]);
    assert_eq!(starts(&run), ("c".into(), 2));
}

/// An amendment answers no question: what may have happened is not repeated because the plan reads otherwise.
#[test]
fn what_is_asked_about_a_step_is_answered_first() {
    let with = |more: &[Event]| {
        let events = [&[started("b", Do, 1)], more].concat();
        fold(
            run(plan(vec![of("b", Undo::Nothing), of("c", undo())])),
            &events,
        )
    };
    let changed = || plan(vec![other(of("b", Undo::Nothing)), of("c", undo())]);
    let survivors = match failed("b", Do, 1, Failure::Exit(1)) {
        Event::StepFailed(failed) => Event::StepFailed(Failed {
            left_behind: true,
            ..failed
        }),
        other => other,
    };
    let killed = failed("b", Do, 1, Failure::Killed);
    for open in [doubted("b", Do, 1), survivors, killed] {
        let run = with(std::slice::from_ref(&open));
        refused_for(&run, changed(), "waits for an answer");
        assert!(!run.may_amend(&run.units()[0].key(Do)));
        let run = with(&[open, decided("b", Do, Decision::Retry)]);
        let run = fold(run, &[amended(changed())]);
        assert_eq!(starts(&run), ("b".into(), 2));
    }
    // To take it for failed is no word on what it did.
    let failing = with(&[doubted("b", Do, 1), decided("b", Do, Decision::Fail)]);
    refused_for(&failing, changed(), "waits for an answer");
    assert!(!failing.may_amend(&failing.units()[0].key(Do)));
    // With an undo from here on, a look that finds it done would leave it done for good.
    let failed = with(&[failed("b", Do, 1, Failure::Exit(1))]);
    assert!(failed.may_amend(&failed.units()[0].key(Do)));
    let undone = plan(vec![of("b", undo()), of("c", undo())]);
    refused_for(&failed, undone, "keeps its `undo: none`");
}

#[test]
fn a_secret_keeps_its_source() {
    let secret = |from: &str| Secret {
        name: "db".into(),
        source: SecretSource::Env(from.into()),
    };
    let with = |secrets: Vec<Secret>| Plan { secrets, ..three() };
    let run = run(with(vec![secret("A")]));
    refused_for(&run, with(vec![secret("B")]), "secret db");
    refused_for(&run, with(vec![]), "secret db");
    let mut more = secret("B");
    more.name = "other".into();
    run.check(&amended(with(vec![secret("A"), more])))
        .expect("one more is no other");
}

#[test]
fn a_run_that_is_busy_goes_back_or_has_ended_is_not_amended() {
    let open = fold(run(three()), &[started("a", Do, 1)]);
    refused_for(&open, three(), "is open");
    let back = fold(at_b(), &[rollback(None)]);
    refused_for(&back, three(), "backwards");
    let ended = fold(
        at_b(),
        &[Event::AbortRequested(reason()), Event::RunAborted(Empty {})],
    );
    refused_for(&ended, three(), "ended");
    let alive = fold(
        run(three()),
        &[started("a", Do, 1), may_run("a", Do, 1, Doubt::Alive)],
    );
    refused_for(&alive, three(), "may still run");
}

#[test]
fn what_was_not_recorded_is_taken_back() {
    let mut book = Runs::default();
    let planned = RunPlanned {
        digest: String::new(),
        plan: three().into(),
        warnings: vec![],
        contract: CONTRACT,
        given: Vec::new(),
    };
    book.apply(Some("r"), &Event::RunPlanned(planned), &when(0))
        .unwrap();
    let before = book.clone();
    let event = amended(plan(vec![other(of("c", undo()))]));
    let savepoint = book.savepoint(Some("r"), &event);
    book.apply(Some("r"), &event, &when(1)).unwrap();
    assert_ne!(book, before);
    book.revert(savepoint);
    assert_eq!(book, before);
}

#[test]
fn the_changes_are_told_apart() {
    let run = at_b();
    let then = plan(vec![
        of("a", undo()),
        other(of("b", Undo::Nothing)),
        of("new", undo()),
    ]);
    let changes = run.changes(&then);
    let told: Vec<_> = changes
        .iter()
        .map(|c| (c.step(), c.was.is_some(), c.is.is_some()))
        .collect();
    assert_eq!(
        told,
        [("b", true, true), ("new", false, true), ("c", true, false)]
    );
}
