//! Which runs of a former contract go on: only those whose touched and coming steps are the same under every contract.

use crate::world::*;
use serde_json::json;
use upledger_replay::contract::{Former, checkable, continuable};
use upledger_replay::event::*;
use upledger_replay::plan::{ActionSpec, Effect, OnDoubt, Step, Undo};
use upledger_replay::state::Run;

use Direction::{Do, Undo as Back};

fn same(kind: &str) -> bool {
    kind == "run"
}

/// A command with an undo that is one, too.
fn command(id: &str) -> Step {
    step(id, Effect::Unsafe, OnDoubt::Ask, false, undo())
}

/// An action that records more than commands do.
fn typed(id: &str) -> Step {
    Step {
        action: ActionSpec::new("file.line", json!({"path": "/f"})),
        undo: Undo::Own {
            on_doubt: OnDoubt::Ask,
        },
        ..command(id)
    }
}

/// A run that was begun before there was a contract, after these events.
fn former(steps: Vec<Step>, events: &[Event]) -> Run {
    let mut run = run(plan(steps));
    run.contract = 0;
    for (seq, event) in (1..).zip(events) {
        run.apply(event, &when(seq)).unwrap();
    }
    run
}

/// The step that keeps the run from going on.
fn kept_by(run: &Run) -> Option<String> {
    continuable(run, same).err().map(|Former { step }| step)
}

fn done(id: &str, way: Direction) -> [Event; 2] {
    [started(id, way, 1), succeeded(id, way, 1)]
}

#[test]
fn a_run_of_commands_goes_on_in_both_directions() {
    let steps = || vec![command("a"), command("b")];
    let mut events = done("a", Do).to_vec();
    assert_eq!(kept_by(&former(steps(), &events)), None);
    events.push(rollback(None));
    assert_eq!(kept_by(&former(steps(), &events)), None);
}

#[test]
fn a_step_to_come_that_is_typed_keeps_the_run_from_going_forwards_only() {
    let steps = || vec![command("a"), typed("b"), typed("c")];
    let mut events = done("a", Do).to_vec();
    assert_eq!(kept_by(&former(steps(), &events)), Some("b".into()));
    events.push(rollback(None));
    assert_eq!(kept_by(&former(steps(), &events)), None);
}

#[test]
fn a_touched_step_that_is_typed_keeps_the_run_from_going_anywhere() {
    let steps = || vec![typed("a"), command("b")];
    for last in [
        started("a", Do, 1),
        succeeded("a", Do, 1),
        failed("a", Do, 1, Failure::Exit(1)),
        doubted("a", Do, 1),
    ] {
        let mut events = vec![started("a", Do, 1), last.clone()];
        events.dedup();
        let run = former(steps(), &events);
        assert_eq!(kept_by(&run), Some("a".into()), "{last:?}");
        events.push(rollback(None));
        let run = former(steps(), &events);
        assert_eq!(kept_by(&run), Some("a".into()), "{last:?}");
    }
}

#[test]
fn an_undo_of_the_plan_counts_from_its_first_attempt_on() {
    let steps = || {
        let mut steps = vec![command("a"), command("b")];
        if let Undo::Action(undo) = &mut steps[0].undo {
            undo.action = ActionSpec::new("file.line", json!({"path": "/f"}));
        }
        steps
    };
    let mut events = done("a", Do).to_vec();
    assert_eq!(kept_by(&former(steps(), &events)), None);
    events.extend([rollback(None), started("a", Back, 1)]);
    let run = former(steps(), &events);
    assert_eq!(kept_by(&run), Some("a".into()));
    let back = TaskKey::local("a", Back);
    assert!(checkable(&run, &TaskKey::local("a", Do), same) && !checkable(&run, &back, same));
    events.push(succeeded("a", Back, 1));
    assert_eq!(kept_by(&former(steps(), &events)), None);
}

#[test]
fn what_is_undone_was_done_before_or_is_left_out_keeps_nothing() {
    let steps = || vec![command("a"), typed("b")];
    let undone: Vec<Event> = [done("a", Do), done("b", Do)]
        .into_iter()
        .flatten()
        .chain([rollback(None)])
        .chain(done("b", Back))
        .collect();
    assert_eq!(kept_by(&former(steps(), &undone)), None);

    let satisfied = Event::StepSatisfied(Satisfied {
        part: TaskKey::local("b", Do),
        evidence: vec![],
        produced: None,
    });
    let found = former(vec![typed("b"), command("c")], &[satisfied]);
    assert_eq!(kept_by(&found), None);

    let mut steps = steps();
    steps[1].left_out = Some("not here".into());
    assert_eq!(kept_by(&former(steps, &[])), None);
}

#[test]
fn an_aborted_run_may_end_and_a_run_of_this_contract_goes_on() {
    let abort = Event::AbortRequested(reason());
    let mut run = former(vec![typed("a")], &[started("a", Do, 1), abort]);
    let part = TaskKey::local("a", Do);
    assert_eq!(kept_by(&run), None);
    assert!(!checkable(&run, &part, same));
    run.abort = None;
    assert_eq!(kept_by(&run), Some("a".into()));
    run.contract = CONTRACT;
    assert_eq!(kept_by(&run), None);
    assert!(checkable(&run, &part, same));
}
