//! Single rules that people rely on, each in a test of its own.

use crate::world::*;
use upledger_replay::decide::{self, Asked, LOSSES, Next, Now, Resolution, Stop, resolution};
use upledger_replay::event::*;
use upledger_replay::plan::{Effect, OnDoubt, OnFailure, Retry, Undo};
use upledger_replay::runs::Runs;
use upledger_replay::state::{Ended, Run, Status};
use upledger_replay::verdict::{Facts, Lock, Token, Verdict, verdict};

use Direction::{Do, Undo as Back};

fn one(effect: Effect, on_doubt: OnDoubt, probe: bool) -> Run {
    run(plan(vec![step("a", effect, on_doubt, probe, undo())]))
}

fn fold(mut run: Run, events: &[Event]) -> Run {
    for (i, event) in events.iter().enumerate() {
        run.apply(event, &when(i as u64 + 1)).unwrap();
    }
    run
}

fn starts(run: &Run) -> Option<u32> {
    match next(run) {
        Next::Start(s) => Some(s.at.attempt),
        _ => None,
    }
}

fn asks(run: &Run) -> Option<Asked> {
    match next(run) {
        Next::Ask(q) => Some(q.kind),
        _ => None,
    }
}

#[test]
fn the_truth_table() {
    let facts = |token, shim, tree, result, ours| Facts {
        token,
        shim,
        tree,
        result,
        ours,
    };
    for shim in [Lock::Held, Lock::Free] {
        for tree in [Lock::Held, Lock::Free] {
            for result in [true, false] {
                for ours in [true, false] {
                    let held = shim == Lock::Held || tree == Lock::Held;
                    let fenced = verdict(Some(facts(Token::Fenced, shim, tree, result, ours)));
                    let expected = match (ours && !result, held) {
                        (true, false) => Verdict::NeverStarted,
                        (true, true) if shim == Lock::Free => Verdict::Lost,
                        (true, true) => Verdict::Contested,
                        (false, true) => Verdict::Orphaned,
                        (false, false) => Verdict::Lost,
                    };
                    assert_eq!(fenced, expected);
                    let started = verdict(Some(facts(Token::Started, shim, tree, result, ours)));
                    let expected = match (ours, shim, result, tree) {
                        (false, ..) if held => Verdict::Orphaned,
                        (false, ..) => Verdict::Lost,
                        (_, Lock::Held, ..) => Verdict::Running,
                        (_, _, true, _) => Verdict::Finished,
                        (_, _, _, Lock::Held) => Verdict::Orphaned,
                        _ => Verdict::InDoubt,
                    };
                    assert_eq!(started, expected);
                }
            }
        }
    }
    assert_eq!(
        verdict(None),
        Verdict::Lost,
        "it was durable before the intent was"
    );
    assert_eq!(resolution(Verdict::Running), Resolution::Adopt);
    assert_eq!(resolution(Verdict::Finished), Resolution::Import);
    assert_eq!(resolution(Verdict::InDoubt), Resolution::Unseen);
    assert_eq!(resolution(Verdict::NeverStarted), Resolution::Fenced);
    assert_eq!(resolution(Verdict::Contested), Resolution::AwaitFence);
    assert_eq!(resolution(Verdict::Orphaned), Resolution::AwaitTree);
    assert_eq!(resolution(Verdict::Lost), Resolution::Lost);
}

#[test]
fn beside_a_step_that_may_still_run_nothing_happens_without_a_person() {
    for doubt in [Doubt::Alive, Doubt::Lost] {
        for effect in [
            Effect::Pure,
            Effect::Idempotent,
            Effect::Probed,
            Effect::Unsafe,
        ] {
            let state = fold(
                one(effect, OnDoubt::Retry, true),
                &[started("a", Do, 1), may_run("a", Do, 1, doubt)],
            );
            assert_eq!(asks(&state), Some(Asked::Doubt), "{effect:?}");
            for refused in [
                started("a", Do, 2),
                probed("a", Do, 1, Answer::Nothing),
                rollback(None),
                Event::RunAborted(Empty {}),
            ] {
                state.clone().apply(&refused, &when(9)).unwrap_err();
            }
            let asked_to_end = fold(state.clone(), &[Event::AbortRequested(reason())]);
            assert_eq!(
                asks(&asked_to_end),
                Some(Asked::Doubt),
                "an abort waits, too"
            );
            let decided = fold(state, &[decided("a", Do, Decision::Retry)]);
            assert_eq!(starts(&decided), Some(2));
        }
    }
}

#[test]
fn a_step_that_may_still_run_is_asked_about_in_its_own_direction_also_when_the_run_turned_round() {
    let state = fold(
        one(Effect::Unsafe, OnDoubt::Ask, false),
        &[
            started("a", Do, 1),
            rollback(None),
            may_run("a", Do, 1, Doubt::Lost),
        ],
    );
    let Next::Ask(question) = next(&state) else {
        panic!("{:?}", next(&state))
    };
    assert_eq!(question.part, TaskKey::local("a", Do));
    for answer in question.answers {
        let decided = fold(state.clone(), &[decided("a", Do, answer)]);
        assert!(
            !matches!(next(&decided), Next::Ask(_)) || answer == Decision::Retry,
            "{answer:?}"
        );
    }
    let ended = fold(
        state,
        &[
            Event::AbortRequested(reason()),
            decided("a", Do, Decision::Fail),
        ],
    );
    assert!(matches!(next(&ended), Next::Record(_)));
}

#[test]
fn a_kill_a_timeout_of_an_unsafe_step_and_survivors_end_the_retries() {
    let retried = |effect, failure, left_behind| {
        let mut s = step("a", effect, OnDoubt::Ask, false, undo());
        s.retry = Retry {
            times: 3,
            wait_ms: 0,
        };
        let Event::StepFailed(mut end) = failed("a", Do, 1, failure) else {
            unreachable!()
        };
        end.left_behind = left_behind;
        let state = fold(
            run(plan(vec![s])),
            &[started("a", Do, 1), Event::StepFailed(end)],
        );
        starts(&state).is_some()
    };
    assert!(
        retried(Effect::Unsafe, Failure::Exit(1), false),
        "the plan says so"
    );
    assert!(!retried(Effect::Idempotent, Failure::Killed, false));
    assert!(retried(Effect::Idempotent, Failure::Timeout, false));
    assert!(!retried(Effect::Unsafe, Failure::Timeout, false));
    assert!(!retried(Effect::Idempotent, Failure::Exit(1), true));
}

#[test]
fn a_pause_does_not_hide_the_question() {
    let events = [
        started("a", Do, 1),
        failed("a", Do, 1, Failure::Exit(1)),
        Event::PauseRequested(reason()),
    ];
    let state = fold(one(Effect::Unsafe, OnDoubt::Ask, false), &events);
    assert_eq!(asks(&state), Some(Asked::Failed));
    let decided = fold(state, &[decided("a", Do, Decision::Retry)]);
    assert!(matches!(next(&decided), Next::Stop(Stop::Paused(_))));
}

#[test]
fn doubt_is_settled_by_probe_then_by_effect_then_by_a_person() {
    let doubt = [started("a", Do, 1), doubted("a", Do, 1)];
    assert_eq!(
        starts(&fold(one(Effect::Pure, OnDoubt::Ask, false), &doubt)),
        Some(2)
    );
    assert_eq!(
        starts(&fold(one(Effect::Idempotent, OnDoubt::Ask, false), &doubt)),
        Some(2)
    );
    assert_eq!(
        starts(&fold(one(Effect::Unsafe, OnDoubt::Retry, false), &doubt)),
        Some(2)
    );
    assert_eq!(
        asks(&fold(one(Effect::Unsafe, OnDoubt::Ask, false), &doubt)),
        Some(Asked::Doubt)
    );

    let probe = fold(one(Effect::Unsafe, OnDoubt::Ask, true), &doubt);
    assert!(matches!(next(&probe), Next::Probe(_)));
    let answered = |answer| fold(probe.clone(), &[probed("a", Do, 1, answer)]);
    assert_eq!(
        answered(Answer::Done).units()[0].forward.status,
        Status::Succeeded
    );
    assert_eq!(starts(&answered(Answer::Nothing)), Some(2));
    assert_eq!(asks(&answered(Answer::Unclear)), Some(Asked::Doubt));
    let idempotent = fold(one(Effect::Idempotent, OnDoubt::Ask, true), &doubt);
    let unclear = fold(idempotent, &[probed("a", Do, 1, Answer::Unclear)]);
    assert_eq!(
        starts(&unclear),
        Some(2),
        "half done is no reason not to repeat what may be repeated"
    );
}

#[test]
fn crashes_may_take_five_attempts_and_then_a_person_is_asked() {
    let mut state = one(Effect::Idempotent, OnDoubt::Ask, false);
    for attempt in 1..=LOSSES {
        assert_eq!(starts(&state), Some(attempt));
        let lost = if attempt % 2 == 0 {
            doubted("a", Do, attempt)
        } else {
            Event::StepFenced(at("a", Do, attempt))
        };
        state = fold(state, &[started("a", Do, attempt), lost]);
    }
    assert_eq!(asks(&state), Some(Asked::Losses));
    let state = fold(state, &[decided("a", Do, Decision::Retry)]);
    assert_eq!(starts(&state), Some(LOSSES + 1));
}

#[test]
fn a_spent_retry_budget_is_a_failure_and_never_a_skip() {
    let mut plan = plan(vec![step("a", Effect::Unsafe, OnDoubt::Ask, false, undo())]);
    plan.phases[0].steps[0].retry = Retry {
        times: 2,
        wait_ms: 7,
    };
    let mut state = run(plan);
    for attempt in 1..=3 {
        assert_eq!(starts(&state), Some(attempt));
        state = fold(
            state,
            &[
                started("a", Do, attempt),
                failed("a", Do, attempt, Failure::Exit(1)),
            ],
        );
        if attempt < 3 {
            let pause = |now: &Now| match decide::next(&state, now) {
                Next::Start(start) => start.not_before,
                other => panic!("{other:?}"),
            };
            let failed = state.last.mono;
            assert_eq!(pause(&now()), Some(failed + 7_000));
            let later = Now {
                boot: "later".into(),
                ..now()
            };
            assert_eq!(pause(&later), None, "that clock is gone");
        }
    }
    assert_eq!(asks(&state), Some(Asked::Failed));
}

#[test]
fn only_what_may_have_had_an_effect_is_undone() {
    let steps = ["a", "b", "c"].map(|id| step(id, Effect::Unsafe, OnDoubt::Ask, false, undo()));
    let state = fold(
        run(plan(steps.to_vec())),
        &[
            satisfied("a", Do),
            started("b", Do, 1),
            doubted("b", Do, 1),
            rollback(None),
        ],
    );
    assert!(matches!(next(&state), Next::Start(s) if s.at.part == TaskKey::local("b", Back)));
    let state = fold(state, &[started("b", Back, 1), succeeded("b", Back, 1)]);
    assert!(
        matches!(next(&state), Next::Record(e) if matches!(*e, Event::RollbackCompleted(_))),
        "a was there before"
    );

    let never = fold(
        one(Effect::Unsafe, OnDoubt::Ask, false),
        &[
            started("a", Do, 1),
            failed("a", Do, 1, Failure::NotStarted),
            rollback(None),
        ],
    );
    assert!(
        matches!(next(&never), Next::Record(_)),
        "what could not be executed is not undone"
    );
}

#[test]
fn a_rollback_stops_at_a_point_of_no_return_until_a_person_passes_over_it() {
    let steps = vec![
        step("a", Effect::Unsafe, OnDoubt::Ask, false, undo()),
        step(
            "b",
            Effect::Unsafe,
            OnDoubt::Ask,
            false,
            Undo::PointOfNoReturn("gone".into()),
        ),
    ];
    let done = [
        started("a", Do, 1),
        succeeded("a", Do, 1),
        started("b", Do, 1),
        failed("b", Do, 1, Failure::Exit(1)),
    ];
    let mut automatic = plan(steps);
    automatic.on_failure = OnFailure::Rollback;
    let state = fold(run(automatic), &done);
    assert_eq!(
        asks(&state),
        Some(Asked::Failed),
        "no automatic rollback over a point of no return"
    );
    let state = fold(state, &[rollback(None)]);
    assert_eq!(asks(&state), Some(Asked::NoReturn));
    assert!(
        state
            .clone()
            .apply(&decided("b", Back, Decision::Done), &when(9))
            .is_err()
    );
    let state = fold(state, &[decided("b", Back, Decision::Skip)]);
    assert!(matches!(next(&state), Next::Start(s) if s.at.part == TaskKey::local("a", Back)));
}

#[test]
fn a_failed_undo_is_a_question_that_can_be_resumed() {
    let done = [
        started("a", Do, 1),
        succeeded("a", Do, 1),
        rollback(None),
        started("a", Back, 1),
        failed("a", Back, 1, Failure::Exit(1)),
    ];
    let stuck = fold(one(Effect::Unsafe, OnDoubt::Ask, false), &done);
    assert_eq!(asks(&stuck), Some(Asked::Stuck));
    let again = fold(
        stuck,
        &[
            decided("a", Back, Decision::Retry),
            started("a", Back, 2),
            succeeded("a", Back, 2),
            Event::RollbackCompleted(Empty {}),
        ],
    );
    assert_eq!(again.ended, Some(Ended::RolledBack));
}

#[test]
fn a_partial_rollback_can_go_forwards_again() {
    let steps = ["a", "b"].map(|id| step(id, Effect::Unsafe, OnDoubt::Ask, false, undo()));
    let state = fold(
        run(plan(steps.to_vec())),
        &[
            started("a", Do, 1),
            succeeded("a", Do, 1),
            started("b", Do, 1),
            failed("b", Do, 1, Failure::Exit(1)),
            rollback(Some("a")),
            started("b", Back, 1),
            succeeded("b", Back, 1),
            Event::RollbackCompleted(Empty {}),
        ],
    );
    assert!(matches!(next(&state), Next::Stop(Stop::RolledBackTo(to)) if to == "a"));
    let state = fold(
        state,
        &[
            Event::RunResumed(reason()),
            started("b", Do, 2),
            succeeded("b", Do, 2),
            rollback(None),
        ],
    );
    assert!(
        matches!(next(&state), Next::Start(s) if s.at == at("b", Back, 2)),
        "what is done again is undone again"
    );
}

#[test]
fn one_run_is_open_at_a_time_and_only_the_newest_effective_one_rolls_back() {
    let planned = || {
        let steps = vec![step("a", Effect::Unsafe, OnDoubt::Ask, false, undo())];
        Event::RunPlanned(RunPlanned {
            digest: String::new(),
            plan: plan(steps).into(),
            warnings: vec![],
            contract: CONTRACT,
            given: Vec::new(),
        })
    };
    let mut book = Runs::default();
    book.apply(Some("one"), &planned(), &when(1)).unwrap();
    assert!(book.apply(Some("two"), &planned(), &when(2)).is_err());
    for event in [
        started("a", Do, 1),
        succeeded("a", Do, 1),
        Event::RunCompleted(Empty {}),
    ] {
        book.apply(Some("one"), &event, &when(3)).unwrap();
    }
    book.apply(Some("two"), &planned(), &when(4)).unwrap();
    for event in [
        started("a", Do, 1),
        succeeded("a", Do, 1),
        Event::RunCompleted(Empty {}),
    ] {
        book.apply(Some("two"), &event, &when(5)).unwrap();
    }
    assert!(book.apply(Some("one"), &rollback(None), &when(6)).is_err());
    for event in [
        rollback(None),
        started("a", Back, 1),
        succeeded("a", Back, 1),
        Event::RollbackCompleted(Empty {}),
    ] {
        book.apply(Some("two"), &event, &when(7)).unwrap();
    }
    book.apply(Some("one"), &rollback(None), &when(8)).unwrap();
}

#[test]
fn an_unknown_kind_or_field_is_an_error() {
    let read = serde_json::from_value::<Event>;
    assert!(read(serde_json::json!({"kind": "note.added", "data": {"text": "x"}})).is_ok());
    assert!(
        read(serde_json::json!({"kind": "note.added", "data": {"text": "x", "more": 1}})).is_err()
    );
    assert!(read(serde_json::json!({"kind": "note.vanished", "data": {}})).is_err());
}

/// What can be rolled back one after the other, newest first, as far as the first point of no return that was passed.
#[test]
fn the_runs_that_can_be_rolled_back_end_with_one_that_has_passed_a_point_of_no_return() {
    let mut book = Runs::default();
    let mut seq = 0;
    let mut complete = |book: &mut Runs, name: &str, undo: Undo, back: bool| {
        let steps = vec![step("a", Effect::Unsafe, OnDoubt::Ask, false, undo)];
        let planned = Event::RunPlanned(RunPlanned {
            digest: String::new(),
            plan: plan(steps).into(),
            warnings: vec![],
            contract: CONTRACT,
            given: Vec::new(),
        });
        let mut events = vec![
            planned,
            started("a", Do, 1),
            succeeded("a", Do, 1),
            Event::RunCompleted(Empty {}),
        ];
        if back {
            events.extend([
                rollback(None),
                started("a", Back, 1),
                succeeded("a", Back, 1),
                Event::RollbackCompleted(Empty {}),
            ]);
        }
        for event in events {
            seq += 1;
            book.apply(Some(name), &event, &when(seq)).unwrap();
        }
    };
    complete(&mut book, "first", undo(), false);
    complete(&mut book, "final", Undo::PointOfNoReturn("x".into()), false);
    complete(&mut book, "third", undo(), false);
    complete(&mut book, "undone", undo(), true);
    complete(&mut book, "last", undo(), false);
    let names: Vec<&str> = book.reversible().map(|run| run.name.as_str()).collect();
    assert_eq!(names, ["last", "third", "final"]);
}

#[test]
fn run_names_are_made_of_the_plan_and_the_day() {
    let book = Runs::default();
    assert_eq!(
        book.new_name("bklog 4.6.8 → 4.9.0", "20261201"),
        "bklog-4.6.8-4.9.0-20261201-1"
    );
    assert_eq!(book.new_name("日志平台", "20261201"), "run-20261201-1");
    assert_eq!(book.new_name("../../etc", "20261201"), "etc-20261201-1");
}

/// A wrong answer is taken back by the right one, as long as nothing was done on it.
#[test]
fn a_decision_replaces_the_one_before_it_until_something_happens() {
    use Decision::{Done, Fail, Retry, Skip};
    let asked = || {
        let unsafe_step = |id| step(id, Effect::Unsafe, OnDoubt::Ask, false, undo());
        let mut run = run(plan(vec![unsafe_step("a"), unsafe_step("b")]));
        run.apply(&started("a", Direction::Do, 1), &when(1))
            .unwrap();
        run.apply(&doubted("a", Direction::Do, 1), &when(2))
            .unwrap();
        run
    };
    let note = Event::NoteAdded(Note { text: "x".into() });
    let answers = [Done, Retry, Skip, Fail];
    // What people say meanwhile, a request to stop included, is no consequence of the decision.
    for between in [
        vec![],
        vec![note, Event::PauseRequested(reason())],
        vec![Event::AbortRequested(reason())],
    ] {
        for (first, second) in answers.iter().flat_map(|a| answers.map(|b| (*a, b))) {
            let mut once = fold(asked(), &between);
            once.apply(&decided("a", Direction::Do, second), &when(4))
                .unwrap();
            let mut twice = fold(asked(), &[decided("a", Direction::Do, first)]);
            twice = fold(twice, &between);
            assert!(twice.before_decision("b").is_none());
            let before = twice.before_decision("a").expect("it can be taken back");
            assert_eq!(next(&before), next(&fold(asked(), &between)));
            twice
                .apply(&decided("a", Direction::Do, second), &when(4))
                .unwrap();
            assert_eq!(once, twice, "{first:?}, {between:?}, {second:?}");
            // Once the run goes on, what was decided holds.
            twice.apply(&Event::RunResumed(reason()), &when(5)).unwrap();
            assert!(twice.before_decision("a").is_none());
        }
    }
    let mut gone = asked();
    gone.apply(&decided("a", Direction::Do, Skip), &when(3))
        .unwrap();
    gone.apply(&Event::RunResumed(reason()), &when(4)).unwrap();
    let before = gone.clone();
    assert!(
        gone.apply(&decided("a", Direction::Do, Done), &when(5))
            .is_err()
    );
    assert_eq!(gone, before);
}
