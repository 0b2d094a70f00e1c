//! Killed in the middle of a step: the step is adopted, imported or asked about, and never started a second time.

use crate::common::{World, eventually, kill};

const SIX: &str = r#"
upledger: 1
name: six steps
phases:
  - phase: all
    steps:
      - {id: s1, do: {shell: "echo s1 >> @/trace"}, on_doubt: ask, undo: none}
      - {id: s2, do: {shell: "echo s2 >> @/trace"}, on_doubt: ask, undo: none}
      - {id: s3, do: {shell: "echo s3 >> @/trace; while [ ! -e @/go ]; do sleep 0.05; done; echo done >> @/done"}, on_doubt: ask, undo: none}
      - {id: s4, do: {shell: "echo s4 >> @/trace"}, on_doubt: ask, undo: none}
      - {id: s5, do: {shell: "echo s5 >> @/trace"}, on_doubt: ask, undo: none}
      - {id: s6, do: {shell: "echo s6 >> @/trace"}, on_doubt: ask, undo: none}
"#;

/// A run whose runner was killed in step 3.
fn killed() -> World {
    let world = World::new();
    world.write("plan.yaml", SIX);
    let mut runner = world.start(&["run", "plan.yaml"]);
    world.await_step("s3", "running");
    eventually("step 3 has begun", || world.lines("trace").len() == 3);
    runner.kill().expect("it lives");
    runner.wait().expect("it is dead");
    world
}

const ALL: [&str; 6] = ["s1", "s2", "s3", "s4", "s5", "s6"];

#[test]
fn a_running_step_is_adopted() {
    let world = killed();
    let mut resumed = world.start(&["resume"]);
    eventually("the step is adopted", || {
        world.upledger(&["log"]).out.contains("adopted")
    });
    world.write("go", "");
    assert_eq!(resumed.wait().expect("it ends").code(), Some(0));
    assert_eq!(world.lines("trace"), ALL);
    assert_eq!(world.lines("done"), ["done"]);
    world.assert_sound();
}

#[test]
fn without_a_runner_nothing_is_called_running() {
    let world = killed();
    let status = world.upledger(&["status"]).out;
    assert!(
        status.contains("started, its runner has exited"),
        "{status}"
    );
    assert!(status.contains("interrupted, phase all"), "{status}");
    let s3 = status
        .lines()
        .find(|l| l.contains("s3"))
        .unwrap_or_default();
    assert!(!s3.contains("running") && !s3.ends_with(" s"), "{s3}");
    let runs = world.upledger(&["runs"]).out;
    assert!(
        runs.contains("interrupted") && !runs.contains("running"),
        "{runs}"
    );
    world.write("go", "");
    assert_eq!(world.upledger(&["resume"]).code, 0);
    let runs = world.upledger(&["runs"]).out;
    assert!(runs.contains("completed"), "{runs}");
}

#[test]
fn what_is_undone_shows_how_long_the_undoing_took_and_evidence_is_whole_in_a_pipe() {
    let world = World::new();
    world.write(
        "plan.yaml",
        "upledger: 1\nname: slow\nphases:\n  - phase: all\n    steps:\n      - {id: slow, do: {shell: sleep 2}, effect: idempotent, undo: {shell: 'true', effect: idempotent}}\n      - {id: bad, do: {shell: 'exit 1'}, effect: pure}\n",
    );
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    assert_eq!(world.upledger(&["rollback"]).code, 5);
    let status = world.upledger(&["status"]).out;
    let slow = status
        .lines()
        .find(|l| l.contains("undone"))
        .unwrap_or_default();
    assert!(
        slow.contains("undone  0.") || slow.contains("undone  1."),
        "{status}"
    );
    let world = World::new();
    world.write(
        "plan.yaml",
        &format!("upledger: 1\nname: long\nphases:\n  - phase: all\n    steps:\n      - {{id: a, do: {{expect.file: {{path: '/nowhere/{}end-of-it', exists: false}}}}}}\n", "x".repeat(90)),
    );
    let run = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.out.contains("end-of-it"), "{run:?}");
    assert!(world.upledger(&["log"]).out.contains("end-of-it"));
}

#[test]
fn a_step_that_ended_meanwhile_is_imported() {
    let world = killed();
    world.write("go", "");
    eventually("the supervisor has gone", || world.supervisors().is_empty());
    assert_eq!(world.upledger(&["resume"]).code, 0);
    assert_eq!(world.lines("trace"), ALL);
    assert_eq!(world.lines("done"), ["done"]);
    world.assert_sound();
}

#[test]
fn with_the_supervisor_killed_too_it_asks_and_never_reruns() {
    let world = killed();
    for pid in world.supervisors() {
        kill(pid);
    }
    // The command itself still lives: it is waited for, then asked about.
    world.write("go", "");
    let done = world.upledger(&["resume"]);
    assert_eq!(done.code, 4, "{done:?}");
    assert!(
        done.out.contains("in doubt") && done.out.contains("decide s3 done"),
        "{done:?}"
    );
    assert_eq!(world.upledger(&["resume"]).code, 4);
    assert_eq!(world.lines("trace"), ["s1", "s2", "s3"]);
    assert_eq!(
        world
            .upledger(&["decide", "s3", "done", "--reason", "I looked"])
            .code,
        0
    );
    assert_eq!(world.upledger(&["resume"]).code, 0);
    assert_eq!(world.lines("trace"), ALL);
    assert_eq!(world.lines("done"), ["done"]);
    world.assert_sound();
}

#[test]
fn two_runners_at_once_and_the_second_is_told_who_has_it() {
    let world = World::new();
    world.write("plan.yaml", SIX);
    let mut runner = world.start(&["run", "plan.yaml"]);
    world.await_step("s3", "running");
    for command in [
        &["run", "plan.yaml"][..],
        &["resume"][..],
        &["rollback"][..],
    ] {
        let done = world.upledger(command);
        assert_eq!(done.code, 9, "{done:?}");
        assert!(
            done.err.contains(&format!("process {}", runner.id())),
            "{done:?}"
        );
    }
    world.write("go", "");
    assert_eq!(runner.wait().expect("it ends").code(), Some(0));
    assert_eq!(world.lines("trace"), ALL);
}
