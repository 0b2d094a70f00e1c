//! The rules about attempts that a runner asks for: what a result means, what the clock means, what is found done, what a
//! request leads to, what is recorded how.

use crate::walk::{draws, every_kind};
use crate::world::*;
use proptest::prelude::*;
use upledger_replay::attempt::{
    Command, Ending, Killed, ORPHAN_MS, Orphan, fenced, kill_overdue, never_started, orphan,
    overdue, unsaid,
};
use upledger_replay::decide::{
    Check, Conclusion, Next, Now, Request, check_of_done, checkpoint, conclusion,
};
use upledger_replay::event::*;
use upledger_replay::plan::{ActionSpec, Effect, OnDoubt, Step, Undo};
use upledger_replay::runs::{NoRollback, Runs};
use upledger_replay::state::{Run, TaskState};

use Direction::{Do, Undo as Back};

fn unsafe_step(id: &str) -> Step {
    step(id, Effect::Unsafe, OnDoubt::Ask, true, undo())
}

fn fold(mut run: Run, events: &[Event]) -> Run {
    for event in events {
        run.apply(event, &when(run.last.seq + 1)).unwrap();
    }
    run
}

/// `a` runs since 1 µs, with a time limit of 10 ms.
fn running() -> TaskState {
    let Event::StepStarted(mut intent) = started("a", Do, 1) else {
        unreachable!()
    };
    intent.timeout_ms = Some(10);
    let run = fold(
        run(plan(vec![unsafe_step("a")])),
        &[Event::StepStarted(intent)],
    );
    run.units()[0].forward.clone()
}

fn at_us(mono: u64) -> Now {
    Now { mono, ..now() }
}

#[test]
fn a_result_means_success_by_exit_code_0_alone_and_only_where_nobody_killed_it() {
    let fail = |command, killed| Ending { command, killed }.failure().map(|(f, _)| f);
    let (exited, signaled) = (Command::Exited, Command::Signaled);
    let (late, asked) = (Killed::Timeout, Killed::Request("r"));
    for (command, killed, failure) in [
        (exited(0), None, None),
        (exited(1), None, Some(Failure::Exit(1))),
        (signaled(9), None, Some(Failure::Signal(9))),
        (exited(0), Some(late), Some(Failure::Timeout)),
        (signaled(15), Some(late), Some(Failure::Timeout)),
        (exited(0), Some(asked), Some(Failure::Killed)),
        (signaled(9), Some(asked), Some(Failure::Killed)),
        (Command::NotExecuted("e"), None, Some(Failure::NotStarted)),
        (
            Command::NotExecuted("e"),
            Some(asked),
            Some(Failure::NotStarted),
        ),
    ] {
        assert_eq!(fail(command, killed), failure, "{command:?}, {killed:?}");
    }
    let detail = |command, killed| Ending { command, killed }.failure().map(|(_, d)| d);
    assert_eq!(
        detail(signaled(9), Some(asked)).as_deref(),
        Some("it was killed on request: r; signal 9 ended it")
    );
    assert_eq!(
        detail(Command::NotExecuted("no such file"), None).as_deref(),
        Some("no such file")
    );
}

#[test]
fn a_fenced_attempt_that_was_to_be_killed_has_failed() {
    let at = at("a", Do, 1);
    let mut part = running();
    assert_eq!(fenced(&at, &part), Event::StepFenced(at.clone()));
    part.kill = Some("r".into());
    let why = "it was to be killed before it had started";
    assert_eq!(fenced(&at, &part), never_started(&at, why.into()));
}

/// Found by the model: a look was taken, and the step repeated, beside what it had left behind.
#[test]
fn an_attempt_that_does_not_say_what_it_produced_may_still_run_in_what_it_left_behind() {
    assert_eq!(unsaid(false), Doubt::Unseen);
    assert_eq!(unsaid(true), Doubt::Alive);
}

#[test]
fn an_attempt_is_overdue_behind_its_limit_by_the_clock_of_its_boot() {
    let part = running();
    assert!(!overdue(&part, &at_us(10_001)));
    assert!(overdue(&part, &at_us(10_002)));
    let mut rebooted = at_us(10_002);
    rebooted.boot = "other".into();
    assert!(!overdue(&part, &rebooted), "that is another clock");
    let mut unlimited = part;
    unlimited.started.as_mut().unwrap().timeout_ms = None;
    assert!(!overdue(&unlimited, &at_us(u64::MAX)));
}

#[test]
fn orphans_are_waited_for_until_their_limit_or_for_an_hour_and_killed_on_request() {
    let (in_time, late) = (at_us(10_001), at_us(10_002));
    let mut part = running();
    assert_eq!(
        orphan(&part, ORPHAN_MS + 1, false, &in_time),
        Orphan::Wait,
        "its limit ends the wait, however long"
    );
    assert_eq!(
        orphan(&part, 0, false, &late),
        Orphan::Overdue,
        "nobody else enforces the limit"
    );
    let Event::KillRequested(kill) = kill_overdue(&at("a", Do, 1)) else {
        panic!("it is to be killed")
    };
    assert_eq!(kill.reason, own::OVERDUE);
    part.kill = Some(kill.reason);
    assert_eq!(
        orphan(&part, ORPHAN_MS + 1, false, &late),
        Orphan::Kill,
        "it is killed before it is given up"
    );
    assert_eq!(orphan(&part, ORPHAN_MS, true, &late), Orphan::Wait);
    assert_eq!(orphan(&part, ORPHAN_MS + 1, true, &late), Orphan::GiveUp);

    part = running();
    part.started.as_mut().unwrap().timeout_ms = None;
    assert_eq!(orphan(&part, ORPHAN_MS, false, &late), Orphan::Wait);
    assert_eq!(orphan(&part, ORPHAN_MS + 1, false, &late), Orphan::GiveUp);
}

#[test]
fn a_request_about_a_run_that_nobody_drives_needs_a_runner_where_an_attempt_is_open() {
    let two = || run(plan(vec![unsafe_step("a"), unsafe_step("b")]));
    let done = [started("a", Do, 1), succeeded("a", Do, 1)];
    let open = [started("a", Do, 1)];
    let lost = [started("a", Do, 1), may_run("a", Do, 1, Doubt::Lost)];
    let decide = |events: &[Event], asked: Event, request| {
        conclusion(&fold(fold(two(), events), &[asked]), request, &now())
    };
    let pause = || Event::PauseRequested(reason());
    for events in [&done[..], &open, &lost] {
        assert_eq!(decide(events, pause(), Request::Pause), Conclusion::Rests);
    }
    let abort = || Event::AbortRequested(reason());
    let aborted = Conclusion::Record(Box::new(Event::RunAborted(Empty {})));
    assert_eq!(decide(&done, abort(), Request::Abort), aborted);
    assert_eq!(decide(&open, abort(), Request::Abort), Conclusion::Drive);
    assert_eq!(
        decide(&lost, abort(), Request::Abort),
        Conclusion::Rests,
        "a person is asked"
    );
    let back = |events| decide(events, rollback(None), Request::RollBack);
    let over = Conclusion::Record(Box::new(Event::RollbackCompleted(Empty {})));
    assert_eq!(back(&[]), over, "nothing was done");
    assert_eq!(back(&done), Conclusion::Drive);
    assert_eq!(back(&open), Conclusion::Drive);
}

#[test]
fn a_person_s_done_needs_the_look_after_it_else_the_look_before() {
    let look = || Some(ActionSpec::new("run", serde_json::json!(["true"])));
    let check = |step: Step, way| {
        let run = run(plan(vec![step]));
        check_of_done(&run, &TaskKey::local("a", way))
    };
    for (probe, verify, expected) in [
        (false, false, Check::Verify),
        (false, true, Check::Verify),
        (true, true, Check::Verify),
        (true, false, Check::Probe),
    ] {
        let mut forward = step("a", Effect::Unsafe, OnDoubt::Ask, probe, undo());
        forward.verify = look().filter(|_| verify);
        assert_eq!(check(forward, Do), expected, "{probe}, {verify}");
        let Undo::Action(mut back) = undo() else {
            unreachable!()
        };
        back.has_probe = probe;
        back.verify = look().filter(|_| verify);
        // What the step itself has is of no use for its undo.
        let mut backward = step(
            "a",
            Effect::Unsafe,
            OnDoubt::Ask,
            !probe,
            Undo::Action(back),
        );
        backward.verify = look().filter(|_| !verify);
        assert_eq!(check(backward, Back), expected, "{probe}, {verify}");
    }
    let own = Undo::Own {
        on_doubt: OnDoubt::Ask,
    };
    let own = step("a", Effect::Unsafe, OnDoubt::Ask, false, own);
    assert_eq!(check(own, Back), Check::Probe, "the action looks itself");
}

#[test]
fn checkpoints_go_with_the_beginning_the_ends_and_what_cannot_be_reversed() {
    let gate = Undo::PointOfNoReturn("gone".into());
    let gate = step("gate", Effect::Unsafe, OnDoubt::Ask, false, gate);
    let run = run(plan(vec![unsafe_step("a"), gate]));
    let planned = Event::RunPlanned(RunPlanned {
        digest: String::new(),
        plan: run.plan.clone(),
        warnings: vec![],
        contract: CONTRACT,
        given: Vec::new(),
    });
    for event in [
        planned,
        Event::RunCompleted(Empty {}),
        Event::RollbackCompleted(Empty {}),
        Event::RunAborted(Empty {}),
        started("gate", Do, 1),
    ] {
        assert!(checkpoint(&run, &event), "{event:?}");
    }
    for event in [
        started("a", Do, 1),
        started("gate", Back, 1),
        succeeded("gate", Do, 1),
        rollback(None),
        Event::RunResumed(reason()),
    ] {
        assert!(!checkpoint(&run, &event), "{event:?}");
    }
}

#[test]
fn a_rollback_without_a_name_means_the_newest_run_or_none() {
    let mut book = Runs::default();
    let mut tell = |name: &str, events: &[Event]| {
        for event in events {
            book.apply(Some(name), event, &when(1)).unwrap();
        }
        match book.to_roll_back() {
            Ok(run) => run.name.clone(),
            Err(NoRollback::NoRun) => "no run".into(),
            Err(NoRollback::RolledBack(run)) => format!("{} is rolled back", run.name),
            Err(NoRollback::NothingDone(run)) => format!("{} did nothing", run.name),
        }
    };
    let planned = || {
        Event::RunPlanned(RunPlanned {
            digest: String::new(),
            plan: plan(vec![unsafe_step("a")]).into(),
            warnings: vec![],
            contract: CONTRACT,
            given: Vec::new(),
        })
    };
    let done = [
        started("a", Do, 1),
        succeeded("a", Do, 1),
        Event::RunCompleted(Empty {}),
    ];
    assert_eq!(tell("", &[]), "no run");
    assert_eq!(tell("one", &[planned()]), "one");
    assert_eq!(tell("one", &done), "one");
    assert_eq!(tell("two", &[planned()]), "two");
    assert_eq!(
        tell("two", &[Event::RunAborted(Empty {})]),
        "two did nothing"
    );
    assert_eq!(tell("three", &[planned()]), "three");
    let back = [rollback(None), Event::RollbackCompleted(Empty {})];
    assert_eq!(tell("three", &back), "three is rolled back");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// What the runner may conclude from a look before a start is what the fold accepts.
    #[test]
    fn a_look_that_finds_it_done_settles_a_fresh_step_and_no_other(draws in draws(60)) {
        let mut run = run(every_kind());
        for (i, draw) in draws.iter().enumerate() {
            let event = draw.of(&run);
            // A refusal is tested elsewhere.
            let _ = run.apply(&event, &when(i as u64 + 1));
            let Next::Start(start) = next(&run) else { continue };
            let found = Event::StepSatisfied(Satisfied {
                part: start.at.part.clone(),
                evidence: vec![],
                produced: None,
            });
            let accepted = run.check(&found).is_ok();
            prop_assert_eq!(start.is_satisfied(Answer::Done), accepted, "{:?}", start);
            prop_assert!(!start.is_satisfied(Answer::Nothing) && !start.is_satisfied(Answer::Unclear));
        }
    }

    /// Behind a neutral event of somebody else, what was possible is possible.
    #[test]
    fn a_neutral_event_changes_no_decision(draws in draws(40)) {
        let note = Event::NoteAdded(Note { text: String::new() });
        prop_assert!(note.is_neutral());
        let mut run = run(every_kind());
        for draw in &draws {
            let event = draw.of(&run);
            let mut noted = run.clone();
            noted.apply(&note, &when(7)).unwrap();
            prop_assert_eq!(noted.check(&event), run.check(&event));
            prop_assert_eq!(next(&noted), next(&run));
            prop_assert!(!event.is_neutral() || matches!(event, Event::NoteAdded(_)));
            let _ = run.apply(&event, &when(1));
        }
    }
}

/// Its name in the code is its name in the record.
#[test]
fn the_kind_of_an_event_is_the_recorded_one() {
    let mut kinds = std::collections::BTreeSet::new();
    let value = serde_json::Value::Null;
    let planned = RunPlanned {
        digest: String::new(),
        plan: every_kind().into(),
        warnings: vec![],
        contract: 0,
        given: Vec::new(),
    };
    let of_the_ledger = [
        Event::LedgerCreated(value.clone()),
        Event::SessionOpened(value.clone()),
        Event::LedgerRestored(value),
        Event::RunPlanned(planned),
    ];
    let all = crate::walk::proposals(&run(every_kind()));
    for event in all.iter().chain(&of_the_ledger) {
        let recorded = serde_json::to_value(event).unwrap();
        assert_eq!(recorded["kind"], event.kind());
        let data = &recorded["data"];
        let part = data.get("part").or_else(|| data.pointer("/at/part"));
        let told = event.part().map(|p| serde_json::to_value(p).unwrap());
        assert_eq!(part, told.as_ref());
        kinds.insert(event.kind());
    }
    assert_eq!(kinds.len(), 27, "every kind was looked at");
}

/// What came later and changed nothing is not in the way, and what came before never is.
#[test]
fn a_later_run_that_changed_nothing_does_not_hold_a_rollback_back() {
    let planned = |effect| {
        let steps = vec![step("a", effect, OnDoubt::Ask, false, undo())];
        Event::RunPlanned(RunPlanned {
            digest: String::new(),
            plan: plan(steps).into(),
            warnings: vec![],
            contract: CONTRACT,
            given: Vec::new(),
        })
    };
    let abort = || [Event::AbortRequested(reason()), Event::RunAborted(Empty {})];
    let mut book = Runs::default();
    let mut tell = |name: &str, events: &[Event]| {
        for event in events {
            book.apply(Some(name), event, &when(1)).unwrap();
        }
        book.effective_after("one").map(|run| run.name.clone())
    };
    tell("one", &[planned(Effect::Unsafe)]);
    tell("one", &[started("a", Do, 1), succeeded("a", Do, 1)]);
    assert_eq!(tell("one", &[Event::RunCompleted(Empty {})]), None);
    // Open, it may still change something.
    let looks = tell("looks", &[planned(Effect::Pure), started("a", Do, 1)]);
    assert_eq!(looks.as_deref(), Some("looks"));
    tell("looks", &[failed("a", Do, 1, Failure::Exit(1))]);
    assert_eq!(tell("looks", &abort()), None);
    tell("idle", &[planned(Effect::Unsafe)]);
    assert_eq!(tell("idle", &abort()), None);
    tell("acts", &[planned(Effect::Unsafe)]);
    tell(
        "acts",
        &[started("a", Do, 1), failed("a", Do, 1, Failure::Exit(1))],
    );
    assert_eq!(tell("acts", &abort()).as_deref(), Some("acts"));
    assert!(book.apply(Some("one"), &rollback(None), &when(2)).is_err());
    assert_eq!(book.effective_after("acts"), None);
    // The newest of them did nothing, and the one before it can be rolled back.
    assert!(book.to_roll_back().is_ok_and(|run| run.name == "acts"));
}
