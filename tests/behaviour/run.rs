//! A run from its plan to its end, forwards and backwards, and the exit codes on the way.

use crate::common::World;

const PLAN: &str = r#"
upledger: 1
name: two steps
phases:
  - phase: all
    steps:
      - id: first
        do: {shell: "echo first >> @/trace"}
        on_doubt: ask
        undo: {shell: "echo undo-first >> @/trace"}
      - id: second
        do: {shell: "echo second >> @/trace; exit ${CODE}"}
        on_doubt: ask
        undo: {shell: "echo undo-second >> @/trace"}
"#;

fn plan(world: &World, code: &str) {
    world.write("plan.yaml", &PLAN.replace("${CODE}", code));
}

#[test]
fn a_run_completes_and_rolls_back_in_reverse() {
    let world = World::new();
    plan(&world, "0");
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
    assert_eq!(world.lines("trace"), ["first", "second"]);
    world.assert_sound();
    assert_eq!(world.upledger(&["rollback", "--reason", "test"]).code, 5);
    assert_eq!(
        world.lines("trace"),
        ["first", "second", "undo-second", "undo-first"]
    );
    assert_eq!(
        world.upledger(&["rollback"]).code,
        13,
        "it cannot be rolled back twice"
    );
    world.assert_sound();
}

#[test]
fn a_failed_step_stops_the_run_and_a_person_decides() {
    let world = World::new();
    plan(&world, "7");
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.out.contains("exit code 7"), "{done:?}");
    assert_eq!(
        world.upledger(&["run", "plan.yaml"]).code,
        4,
        "an open run refuses a new one"
    );
    assert_eq!(
        world.upledger(&["resume"]).code,
        1,
        "nobody has decided yet"
    );
    assert_eq!(
        world
            .upledger(&["decide", "first", "skip", "--reason", "wrong step"])
            .code,
        13
    );
    assert_eq!(
        world
            .upledger(&["decide", "second", "skip", "--reason", "not needed"])
            .code,
        0
    );
    let done = world.upledger(&["resume"]);
    assert_eq!(done.code, 0);
    let skipped = "skipped by decision: second (not needed)";
    assert!(done.out.contains(skipped), "{done:?}");
    assert_eq!(world.lines("trace"), ["first", "second"]);
    let shown = world.upledger(&["status"]).out;
    assert!(shown.contains("completed, 1 skipped"), "{shown}");
    assert!(shown.contains(skipped), "{shown}");
    let status = world.status();
    assert_eq!(status["state"], "completed");
    assert_eq!(status["skipped"][0]["step"], "second");
    world.assert_sound();
}

/// What the plan itself leaves out is no check that somebody skipped.
#[test]
fn a_step_that_the_plan_leaves_out_is_not_counted_as_skipped() {
    let world = World::new();
    let plan = PLAN
        .replace("${CODE}", "0")
        .replace(
            "- id: second",
            "- id: second\n        when: {var: all, is: \"yes\"}",
        )
        .replace("phases:", "vars: {all: \"yes\"}\nphases:");
    world.write("plan.yaml", &plan);
    let done = world.upledger(&["run", "plan.yaml", "--var", "all=no"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(world.lines("trace"), ["first"]);
    let status = world.status();
    assert_eq!(
        status["skipped"].as_array().map(Vec::len),
        Some(0),
        "{status}"
    );
    assert!(!world.upledger(&["status"]).out.contains("skipped by"));
}

#[test]
fn on_failure_rollback_turns_round_at_once() {
    let world = World::new();
    world.write(
        "plan.yaml",
        &PLAN
            .replace("${CODE}", "7")
            .replace("phases:", "on_failure: rollback\nphases:"),
    );
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 5);
    assert_eq!(
        world.lines("trace"),
        ["first", "second", "undo-second", "undo-first"]
    );
    world.assert_sound();
}

#[test]
fn a_secret_reaches_the_command_and_nothing_else() {
    let world = World::new();
    world.write(
        "plan.yaml",
        r#"
upledger: 1
name: secret
secrets: {db: {env: TEST_DB_PASSWORD}}
phases:
  - phase: all
    steps:
      - id: print
        do: {shell: "printf '%s' \"$DB_PASSWORD\" | wc -c; echo \"it is $DB_PASSWORD\""}
        env: {DB_PASSWORD: {secret: db}}
        on_doubt: ask
        undo: none
"#,
    );
    let secret = "s3cret-value-of-the-test";
    let done = world
        .command(&["run", "plan.yaml"])
        .env("TEST_DB_PASSWORD", secret)
        .output()
        .expect("it starts");
    assert!(done.status.success(), "{done:?}");
    let output = world.upledger(&["log", "--output", "print"]).out;
    assert!(
        output.contains("24") && output.contains("[redacted:db]"),
        "{output}"
    );
    let mut files = vec![world.state(), world.path("memory")];
    let mut looked = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(
                std::fs::read_dir(&path)
                    .expect("readable")
                    .flatten()
                    .map(|e| e.path()),
            );
        } else {
            let bytes = std::fs::read(&path).expect("readable");
            assert!(
                !bytes.windows(secret.len()).any(|w| w == secret.as_bytes()),
                "{}",
                path.display()
            );
            looked += 1;
        }
    }
    assert!(looked > 4, "the ledger and the job's files were looked at");
}

#[test]
fn a_bad_plan_is_refused_with_its_line_and_nothing_is_written() {
    let world = World::new();
    world.write("plan.yaml", "upledger: 1\nname: x\nphases:\n  - phase: a\n    steps:\n      - {id: s, do: {run: [ls]}}\n");
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 3, "{done:?}");
    assert!(
        done.err.contains("plan.yaml:6:") && done.err.contains("on_doubt"),
        "{}",
        done.err
    );
    assert!(!world.state().exists());
}

#[test]
fn whoever_says_done_is_told_whether_the_step_looks_for_itself() {
    for (step, says) in [
        (
            "do: {expect.file: {path: @/none}}",
            "record it as done; its check must pass",
        ),
        (
            "do: {run: [\"false\"]}, on_doubt: ask, undo: none",
            "record it as done; upledger cannot check this",
        ),
    ] {
        let world = World::new();
        world.write("plan.yaml", &format!("upledger: 1\nname: done\nphases:\n  - phase: p\n    steps:\n      - {{id: one, {step}}}\n"));
        let done = world.upledger(&["run", "plan.yaml"]);
        assert_eq!(done.code, 1, "{done:?}");
        assert!(
            done.out.contains(says) || done.err.contains(says),
            "{done:?}"
        );
    }
}

#[test]
fn the_output_of_a_step_that_did_not_run_is_told_as_such() {
    let world = World::new();
    let failing = PLAN
        .replace("${CODE}", "0")
        .replace("echo first", "false; echo first");
    world.write("plan.yaml", &failing);
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    let done = world.upledger(&["log", "--output", "second"]);
    assert_eq!(done.code, 0);
    assert!(done.out.contains("second was not started"), "{done:?}");
    assert!(done.out.contains("pending"), "{done:?}");
    let failed = world.upledger(&["log", "--output", "first"]);
    assert!(!failed.out.contains("was not started"), "{failed:?}");
}

#[test]
fn the_name_of_the_run_is_put_in_when_a_step_starts() {
    let world = World::new();
    world.write("app.env", "DEBUG=1\n");
    world.write(
        "plan.yaml",
        r#"
upledger: 1
name: nightly
vars: {copy: "@/copy-${run}"}
phases:
  - phase: all
    steps:
      - {id: keep, do: {file.backup: {path: "@/app.env", to: "${copy}"}}}
      - {id: say, do: {run: [/bin/sh, "@/say.sh", "${run}"]}, env: {IT: "${run}"}, on_doubt: ask, undo: {run: [/bin/sh, "@/say.sh", "-${run}"]}}
"#,
    );
    world.write("say.sh", "echo $1 $IT >> @/trace\n");
    // In the code of an interpreter it is a variable of that.
    world.write(
        "code.yaml",
        "upledger: 1\nname: code\nphases:\n  - phase: all\n    steps:\n      - {id: a, do: {run: [/bin/sh, -c, 'run=own; echo \"$${run}\" > @/code']}, on_doubt: ask, undo: none}\n",
    );
    assert_eq!(world.upledger(&["run", "code.yaml"]).code, 0);
    assert_eq!(world.lines("code"), ["own"]);
    let plan = world.upledger(&["plan", "plan.yaml"]);
    assert_eq!(plan.code, 0, "{plan:?}");
    assert!(plan.out.contains("copy-${run}"), "{plan:?}");
    let mut said = Vec::new();
    // Each night has a copy of its own, by one plan.
    for _ in 0..2 {
        let done = world.upledger(&["run", "plan.yaml"]);
        assert_eq!(done.code, 0, "{done:?}");
        let name = world.status()["run"].as_str().expect("a name").to_owned();
        assert_eq!(world.lines(&format!("copy-{name}")), ["DEBUG=1"]);
        said.push(format!("{name} {name}"));
        assert_eq!(world.lines("trace"), said);
    }
    let last = world.status()["run"].as_str().expect("a name").to_owned();
    assert_eq!(world.rollback().code, 5);
    said.push(format!("-{last} {last}"));
    assert_eq!(world.lines("trace"), said);
}
