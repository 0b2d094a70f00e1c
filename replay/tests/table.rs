//! Every state × every event, as one table: what is accepted, what it leads to, and what is refused. A refused event
//! changes nothing.

use crate::world::*;
use std::fmt::Write as _;
use upledger_replay::decide::Next;
use upledger_replay::event::*;
use upledger_replay::plan::{Effect, OnDoubt};
use upledger_replay::state::Run;

/// The states, by the events that lead to them. The plan has two unsafe steps, `a` and `b`, each with an undo.
fn states() -> Vec<(&'static str, Vec<Event>)> {
    use Direction::{Do, Undo};
    let done = |step, way| vec![started(step, way, 1), succeeded(step, way, 1)];
    let completed = || {
        [
            done("a", Do),
            done("b", Do),
            vec![Event::RunCompleted(Empty {})],
        ]
        .concat()
    };
    vec![
        ("planned", vec![]),
        ("a running", vec![started("a", Do, 1)]),
        ("a in doubt", vec![started("a", Do, 1), doubted("a", Do, 1)]),
        (
            "a failed",
            vec![started("a", Do, 1), failed("a", Do, 1, Failure::Exit(1))],
        ),
        ("a refused", vec![refused("a", Do)]),
        (
            "a failed, decided skip",
            vec![
                started("a", Do, 1),
                failed("a", Do, 1, Failure::Exit(1)),
                decided("a", Do, Decision::Skip),
            ],
        ),
        (
            "a failed, decided skip, resumed",
            vec![
                started("a", Do, 1),
                failed("a", Do, 1, Failure::Exit(1)),
                decided("a", Do, Decision::Skip),
                Event::RunResumed(reason()),
            ],
        ),
        ("a done", done("a", Do)),
        (
            "a done, paused",
            [done("a", Do), vec![Event::PauseRequested(reason())]].concat(),
        ),
        (
            "a done, abort",
            [done("a", Do), vec![Event::AbortRequested(reason())]].concat(),
        ),
        ("all done", [done("a", Do), done("b", Do)].concat()),
        ("completed", completed()),
        (
            "aborted",
            [done("a", Do), vec![Event::RunAborted(Empty {})]].concat(),
        ),
        ("back from b", [completed(), vec![rollback(None)]].concat()),
        (
            "b undoing",
            [completed(), vec![rollback(None), started("b", Undo, 1)]].concat(),
        ),
        (
            "b undo failed",
            [
                completed(),
                vec![
                    rollback(None),
                    started("b", Undo, 1),
                    failed("b", Undo, 1, Failure::Exit(1)),
                ],
            ]
            .concat(),
        ),
        (
            "b undo refused",
            [completed(), vec![rollback(None), refused("b", Undo)]].concat(),
        ),
        (
            "b undo failed, decided done",
            [
                completed(),
                vec![
                    rollback(None),
                    started("b", Undo, 1),
                    failed("b", Undo, 1, Failure::Exit(1)),
                    decided("b", Undo, Decision::Done),
                ],
            ]
            .concat(),
        ),
        (
            "b undone",
            [completed(), vec![rollback(None)], done("b", Undo)].concat(),
        ),
        (
            "all undone",
            [
                completed(),
                vec![rollback(None)],
                done("b", Undo),
                done("a", Undo),
            ]
            .concat(),
        ),
        (
            "rolled back",
            [
                completed(),
                vec![rollback(None)],
                done("b", Undo),
                done("a", Undo),
                vec![Event::RollbackCompleted(Empty {})],
            ]
            .concat(),
        ),
        (
            "back to a",
            [
                completed(),
                vec![rollback(Some("a"))],
                done("b", Undo),
                vec![Event::RollbackCompleted(Empty {})],
            ]
            .concat(),
        ),
    ]
}

fn events() -> Vec<(&'static str, Event)> {
    use Direction::{Do, Undo};
    vec![
        ("resumed", Event::RunResumed(reason())),
        ("pause", Event::PauseRequested(reason())),
        ("abort", Event::AbortRequested(reason())),
        ("aborted", Event::RunAborted(Empty {})),
        ("completed", Event::RunCompleted(Empty {})),
        ("rollback", rollback(None)),
        ("rolled back", Event::RollbackCompleted(Empty {})),
        ("start a", started("a", Do, 1)),
        ("start a again", started("a", Do, 2)),
        ("start b", started("b", Do, 1)),
        ("undo a", started("a", Undo, 1)),
        ("undo b", started("b", Undo, 1)),
        ("a done", succeeded("a", Do, 1)),
        ("a failed", failed("a", Do, 1, Failure::Exit(1))),
        ("a fenced", Event::StepFenced(at("a", Do, 1))),
        ("a doubted", doubted("a", Do, 1)),
        ("a probed done", probed("a", Do, 1, Answer::Done)),
        ("a probed nothing", probed("a", Do, 1, Answer::Nothing)),
        ("a already", satisfied("a", Do)),
        ("b already", satisfied("b", Do)),
        ("undo b already", satisfied("b", Undo)),
        (
            "a skipped",
            Event::StepSkipped(Skipped {
                part: TaskKey::local("a", Do),
                reason: String::new(),
            }),
        ),
        ("decide a done", decided("a", Do, Decision::Done)),
        ("decide a retry", decided("a", Do, Decision::Retry)),
        ("decide undo b skip", decided("b", Undo, Decision::Skip)),
        ("a refused", refused("a", Do)),
        ("b refused", refused("b", Do)),
        ("undo b refused", refused("b", Undo)),
        ("a noted", noted("a", Do, 1)),
        ("undo b noted", noted("b", Undo, 1)),
        (
            "kill a",
            Event::KillRequested(KillRequested {
                at: at("a", Do, 1),
                reason: String::new(),
            }),
        ),
        (
            "a escalated",
            Event::StepEscalated(Escalated {
                at: at("a", Do, 1),
                what: String::new(),
            }),
        ),
        (
            "amend b",
            Event::RunAmended(RunAmended {
                digest: String::new(),
                plan: amended_plan().into(),
                steps: vec![],
                warnings: vec![],
                reason: String::new(),
                given: Vec::new(),
            }),
        ),
        (
            "note",
            Event::NoteAdded(Note {
                text: String::new(),
            }),
        ),
    ]
}

/// The plan of [`two_steps`] with another second step.
fn amended_plan() -> upledger_replay::plan::Plan {
    let unsafe_step = |id| step(id, Effect::Unsafe, OnDoubt::Ask, false, undo());
    let mut second = unsafe_step("b");
    second.cwd = Some("/".into());
    plan(vec![unsafe_step("a"), second])
}

fn two_steps() -> Run {
    let unsafe_step = |id| step(id, Effect::Unsafe, OnDoubt::Ask, false, undo());
    run(plan(vec![unsafe_step("a"), unsafe_step("b")]))
}

/// What comes next, in a word or two.
fn word(run: &Run) -> String {
    match next(run) {
        Next::Resolve(at) => format!("resolve {}", at.part),
        Next::Probe(at) => format!("probe {}", at.part),
        Next::Start(start) => format!("start {}", start.at.part),
        Next::Record(event) => format!("record {}", event.kind()),
        Next::Ask(q) => format!("ask {:?} {}", q.kind, q.part),
        Next::Stop(stop) => format!("stop {stop:?}"),
        Next::End(ended) => format!("end {ended:?}"),
    }
}

#[test]
fn every_state_and_every_event() {
    let mut table = String::new();
    for (name, history) in states() {
        let mut state = two_steps();
        for (i, event) in history.iter().enumerate() {
            state
                .apply(event, &when(i as u64 + 1))
                .unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        writeln!(table, "{name}: {}", word(&state)).unwrap();
        for (what, event) in events() {
            let before = state.clone();
            let mut after = state.clone();
            match after.apply(&event, &when(99)) {
                Ok(()) => writeln!(table, "  {what:<20} {}", word(&after)).unwrap(),
                Err(_) => assert_eq!(
                    after, before,
                    "{name}: {what} was refused and changed something"
                ),
            }
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/table.txt");
    if std::env::var_os("UPDATE_TABLE").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap();
    for (line, (got, want)) in table.lines().zip(expected.lines()).enumerate() {
        assert_eq!(
            got,
            want,
            "line {} of table.txt; UPDATE_TABLE=1 writes it anew",
            line + 1
        );
    }
    assert_eq!(table.lines().count(), expected.lines().count());
}
