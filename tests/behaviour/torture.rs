//! Killed after every record and at every point of the supervisor, forwards and backwards: the end is the same, and no
//! effect happens twice.
//!
//! Every command appends a line to `trace`, outside the program's state; that file is the judge.

use crate::common::{World, for_each_record};
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;

/// One step of each effect, each with an undo.
const GOLDEN: &str = r#"
upledger: 1
name: golden
phases:
  - phase: look
    steps:
      - {id: pure, do: {shell: "echo pure >> @/trace"}, effect: pure}
  - phase: change
    steps:
      - id: idempotent
        do: {shell: "echo idempotent >> @/trace; touch @/idempotent"}
        effect: idempotent
        undo: {shell: "echo undo-idempotent >> @/trace; rm -f @/idempotent", effect: idempotent}
      - id: probed
        do: {shell: "echo probed >> @/trace; mkdir @/probed"}
        probe: {run: [test, -d, @/probed]}
        verify: {run: [test, -d, @/probed]}
        effect: probed
        undo: {shell: "echo undo-probed >> @/trace; rmdir @/probed", probe: {run: [test, "!", -d, @/probed]}, effect: probed}
      - id: unsafe
        do: {shell: "echo unsafe >> @/trace; echo '{\"rows\": 7}'"}
        on_doubt: ask
        facts: {rows: {json: .rows}}
        undo: {shell: "echo undo-unsafe >> @/trace"}
      - id: uses
        do: {run: [sh, -c, "echo \"uses $0\" >> @/trace", {from: unsafe.rows}]}
        on_doubt: ask
        undo: {shell: "echo undo-uses >> @/trace"}
"#;

const FORWARD: [&str; 5] = ["pure", "idempotent", "probed", "unsafe", "uses 7"];
const BACKWARD: [&str; 4] = ["undo-uses", "undo-unsafe", "undo-probed", "undo-idempotent"];

fn world() -> World {
    let world = World::new();
    world.write("plan.yaml", GOLDEN);
    world
}

/// Runs a command with a failpoint; true when it was killed there.
fn killed_at(world: &World, args: &[&str], point: &str) -> bool {
    let status = world
        .command(args)
        .env("UPLEDGER_FAILPOINT", point)
        .output()
        .expect("the program starts")
        .status;
    status.signal() == Some(9)
}

/// How often each line stands in the trace.
fn counts(world: &World) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in world.lines("trace") {
        *counts.entry(line).or_default() += 1;
    }
    counts
}

#[test]
fn the_runner_is_killed_after_every_record_forwards() {
    let kills = for_each_record(1, |record| {
        let world = world();
        if !killed_at(&world, &["run", "plan.yaml"], &format!("append:{record}")) {
            return false;
        }
        let code = match world.upledger(&["resume"]) {
            // Killed before the run was planned: nothing has happened, and it is simply run.
            done if done.code == 13 && world.lines("trace").is_empty() => {
                world.upledger(&["run", "plan.yaml"]).code
            }
            done => done.code,
        };
        let ended = world.status()["state"] == "completed";
        assert!(
            code == 0 || (code == 13 && ended),
            "after record {record}: exit {code}"
        );
        assert_eq!(world.lines("trace"), FORWARD, "after record {record}");
        world.assert_sound();
        true
    });
    assert_eq!(
        kills, 13,
        "a session, the plan, five intents and outcomes, the end"
    );
}

#[test]
fn the_runner_is_killed_after_every_record_backwards() {
    let kills = for_each_record(1, |record| {
        let world = world();
        assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
        if !killed_at(
            &world,
            &["rollback", "--reason", "x"],
            &format!("append:{record}"),
        ) {
            return false;
        }
        let mut code = world.upledger(&["resume"]).code;
        if code == 13 && world.status()["state"] == "completed" {
            code = world.upledger(&["rollback", "--reason", "x"]).code;
        }
        let ended = world.status()["state"] == "rolled back";
        assert!(
            code == 5 || (code == 13 && ended),
            "after record {record}: exit {code}"
        );
        assert_eq!(
            world.lines("trace"),
            [&FORWARD[..], &BACKWARD[..]].concat(),
            "after record {record}"
        );
        world.assert_sound();
        true
    });
    assert_eq!(
        kills, 11,
        "a session, the rollback, four intents and outcomes, the end"
    );
}

/// What the deaths of supervisors lead to, of one supervisor for each step of the plan.
#[derive(Debug, Default, PartialEq, Eq)]
struct Deaths {
    /// Supervisors that came to the failpoint and are gone.
    died: usize,
    /// Attempts that are recorded as never started.
    fenced: usize,
    /// Attempts whose outcome nobody saw.
    doubted: usize,
    /// Doubts that a person was asked about.
    asked: usize,
}

/// Lets the first supervisor of each step in turn die at this point. `twice` are the steps whose command then runs a
/// second time.
fn supervisor_dies(point: &str, twice: &[&str]) -> Deaths {
    let mut deaths = Deaths::default();
    for step in ["pure", "idempotent", "probed", "unsafe", "uses"] {
        let world = world();
        // Only the first attempt's supervisor dies: the file is there for the second.
        let once = world.path("once");
        let point = format!("{step}/{point}@{}", once.display());
        let mut code = world
            .command(&["run", "plan.yaml"])
            .env("UPLEDGER_FAILPOINT", &point)
            .output()
            .expect("the program starts")
            .status
            .code();
        let events = world.upledger(&["log", "--json"]).out;
        let recorded = |kind: &str| events.matches(&format!(r#""kind":"{kind}""#)).count();
        assert!(world.supervisors().is_empty(), "{point}: none is left");
        deaths.died += usize::from(once.exists());
        deaths.fenced += recorded("step.fenced");
        deaths.doubted += recorded("step.doubted");
        let mut ran = FORWARD.len();
        if code == Some(4) {
            deaths.asked += 1;
            let question = world.status()["question"]["step"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            assert_eq!(question, step, "{point}: it asks about the step itself");
            let seen = world
                .lines("trace")
                .iter()
                .any(|l| l.starts_with(&question));
            let decision = if seen { "done" } else { "retry" };
            assert_eq!(
                world
                    .upledger(&["decide", &question, decision, "--reason", "looked"])
                    .code,
                0
            );
            code = Some(world.upledger(&["resume"]).code);
            if seen && question == "unsafe" {
                // Whoever says that it is done also loses its facts; the step that needs them cannot start.
                assert_eq!(code, Some(1), "{point}");
                (code, ran) = (Some(0), ran - 1);
            }
        }
        assert_eq!(code, Some(0), "{point}, {events}");
        let counts = counts(&world);
        assert_eq!(counts.len(), ran, "{point}: {counts:?}");
        for (line, count) in counts {
            let again = line == step && twice.contains(&step);
            assert_eq!(count, 1 + usize::from(again), "{point}: {line}");
        }
    }
    deaths
}

#[test]
fn the_supervisor_dies_before_its_token_and_the_step_provably_never_started() {
    for point in ["before-lock", "after-lock"] {
        let expected = Deaths {
            died: 5,
            fenced: 5,
            ..Deaths::default()
        };
        assert_eq!(supervisor_dies(point, &[]), expected, "{point}");
    }
}

#[test]
fn the_supervisor_dies_after_its_token_and_only_unsafe_steps_ask() {
    let run = ["pure", "idempotent"];
    for (point, twice) in [
        ("after-token", &[][..]),
        ("after-spawn", &run),
        ("before-result", &run),
    ] {
        let expected = Deaths {
            died: 5,
            doubted: 5,
            asked: 2,
            ..Deaths::default()
        };
        assert_eq!(supervisor_dies(point, twice), expected, "{point}");
    }
}

#[test]
fn the_supervisor_dies_after_its_result_and_nothing_is_lost() {
    let expected = Deaths {
        died: 5,
        ..Deaths::default()
    };
    assert_eq!(supervisor_dies("after-result", &[]), expected);
}
