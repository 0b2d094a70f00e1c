//! A standard output that cannot be written: an answer that is not whole never looks like one, and a run that nobody can
//! watch goes on.

use crate::common::{Done, UPLEDGER, World};
use std::fs::OpenOptions;
use std::process::{Command, Stdio};

const PLAN: &str = r#"
upledger: 1
name: unheard
phases:
  - phase: all
    steps:
      - {id: one, do: {run: [touch, "@/one"]}, on_doubt: ask, undo: {run: [rm, "@/one"]}}
      - {id: two, do: {run: [test, -e, "@/go"]}, effect: pure}
"#;

/// With a standard output that is always full.
fn full(world: &World, args: &[&str]) -> Done {
    let full = OpenOptions::new().write(true).open("/dev/full");
    let mut command = world.command(args);
    command
        .stdout(full.expect("/dev/full"))
        .stderr(Stdio::piped());
    Done::of(command.output().expect("the program starts"))
}

const CANNOT: &str = "cannot write standard output: No space left on device";

#[test]
fn a_command_that_only_reads_fails_when_its_answer_cannot_be_written() {
    let world = World::new();
    world.write("plan.yaml", PLAN);
    world.write("go", "");
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
    for args in [
        &["log"][..],
        &["log", "--json"],
        &["log", "--output", "one", "--json"],
        &["verifier"],
        &["verify"],
        &["status"],
        &["status", "--json"],
        &["watch"],
        &["runs"],
        &["report"],
        &["report", "--runs", "..", "--format", "json"],
        &["export", "--jsonl"],
        &["export", "--jsonl", "--json"],
        &["check", "plan.yaml"],
        &["plan", "plan.yaml"],
        &["schema"],
        &["explain"],
        &["completion", "bash"],
        &["man"],
        &["help", "run"],
        &["--help"],
        &["--version"],
    ] {
        let done = full(&world, args);
        assert_eq!(done.code, 2, "{args:?}: {done:?}");
        assert_eq!(done.err.matches(CANNOT).count(), 1, "{args:?}: {done:?}");
        if args.contains(&"--json") {
            let last = done.err.lines().last().unwrap_or_default();
            let told: serde_json::Value = serde_json::from_str(last).expect("an object");
            assert_eq!(told["error"], "standard_output", "{args:?}: {done:?}");
            assert_eq!(told["exit"], 2, "{args:?}: {done:?}");
            assert_eq!(done.err.lines().count(), 1, "{args:?}: {done:?}");
        }
    }
}

#[test]
fn what_was_wrong_before_is_still_what_the_exit_code_tells() {
    let world = World::new();
    world.write("plan.yaml", "upledger: 1\nname: x\nphases: []\n");
    let done = full(&world, &["check", "plan.yaml", "--json"]);
    assert_eq!(done.code, 3, "{done:?}");
    assert!(done.err.contains("\"exit\":3"), "{done:?}");
    assert!(done.err.contains(CANNOT), "{done:?}");
}

#[test]
fn a_document_that_is_cut_off_ends_with_an_error_and_a_closed_pipe_is_quiet() {
    let world = World::new();
    // Sixteen blocks of 512 bytes: the script is longer.
    let script = format!("ulimit -f 16; exec {UPLEDGER} verifier > cut.py");
    let done = Command::new("sh")
        .args(["-c", &script])
        .current_dir(world.path(""))
        .output();
    let done = Done::of(done.expect("sh"));
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.err.contains("File too large"), "{done:?}");
    assert!(
        !world.lines("cut.py").is_empty(),
        "some of it was written before"
    );

    for args in [&["verifier"][..], &["schema"], &["--help"]] {
        let (reads, writes) = std::io::pipe().expect("a pipe");
        drop(reads);
        let mut command = world.command(args);
        command.stdout(writes).stderr(Stdio::piped());
        let done = Done::of(command.output().expect("the program starts"));
        assert_eq!(done.code, 0, "{args:?}: {done:?}");
        assert_eq!(done.err, "", "{args:?}");
    }
}

#[test]
fn a_run_that_cannot_say_anything_goes_on_and_its_code_tells_of_the_run() {
    let world = World::new();
    world.write("plan.yaml", PLAN);
    for (args, code) in [
        (&["run", "plan.yaml"][..], 1),
        (&["note", "nobody reads this"], 0),
        (&["decide", "two", "retry", "--reason", "mended"], 0),
        (&["resume"], 0),
        (&["rollback", "--reason", "x", "--json"], 5),
    ] {
        let done = full(&world, args);
        assert_eq!(done.code, code, "{args:?}: {done:?}");
        assert_eq!(done.err.matches(CANNOT).count(), 1, "{args:?}: {done:?}");
        if args.contains(&"--json") {
            assert!(done.err.contains("\"exit\":5"), "{done:?}");
        }
        world.write("go", "");
    }
    assert_eq!(world.status()["state"], "rolled back");
}
