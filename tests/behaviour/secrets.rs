//! Secrets at the borders: values that equal words of the record, values that commands, looks and people repeat, and
//! values that change between two commands.

use crate::common::{Done, World, eventually};
use std::path::PathBuf;

const SECRET: &str = "s3cret-value-of-the-test";

/// The program with a value for the plan's secret `db`.
fn with(world: &World, value: &str, args: &[&str]) -> Done {
    let mut command = world.command(args);
    Done::of(
        command
            .env("TEST_DB_PASSWORD", value)
            .output()
            .expect("the program starts"),
    )
}

/// A plan with the secret `db`, of these steps.
fn plan(world: &World, steps: &str) {
    let head = "
upledger: 1
name: hidden
secrets: {db: {env: TEST_DB_PASSWORD}}
phases:
  - phase: all
    steps:
";
    world.write("plan.yaml", &format!("{head}{steps}"));
}

fn events(world: &World, kind: &str) -> Vec<serde_json::Value> {
    let log = world.upledger(&["log", "--json"]).out;
    log.lines()
        .filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok())
        .filter(|e| e["kind"] == kind)
        .map(|e| e["data"].clone())
        .collect()
}

/// Every file of the state directory that holds these bytes.
fn holding(world: &World, wanted: &str) -> Vec<PathBuf> {
    let (mut open, mut found) = (vec![world.state(), world.path("memory")], Vec::new());
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("readable").flatten();
            open.extend(entries.map(|e| e.path()));
        } else if std::fs::read(&path)
            .expect("readable")
            .windows(wanted.len())
            .any(|w| w == wanted.as_bytes())
        {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_secret_that_equals_a_word_of_the_record_leaves_the_record_readable() {
    for word in ["part", "nonce", "sha256", "attempt", "detail", "reason"] {
        let world = World::new();
        plan(
            &world,
            r#"
      - id: print
        do: {shell: "echo once >> @/effects; echo it is $DB"}
        env: {DB: {secret: db}}
        on_doubt: ask
        undo: none
      - {id: gate, do: {run: [test, -e, "@/go"]}, effect: pure}
"#,
        );
        let done = with(&world, word, &["run", "plan.yaml"]);
        assert_eq!(done.code, 1, "{word}: {done:?}");
        world.write("go", "");
        let note = with(&world, word, &["note", &format!("the {word} of it")]);
        assert_eq!(note.code, 0, "{word}: {note:?}");
        assert_eq!(
            events(&world, "note.added")[0]["text"],
            "the [redacted:db] of it"
        );
        let args = ["decide", "gate", "retry", "--reason", "again"];
        let decided = with(&world, word, &args);
        assert_eq!(decided.code, 0, "{word}: {decided:?}");
        let resumed = with(&world, word, &["resume"]);
        assert_eq!(resumed.code, 0, "{word}: {resumed:?}");
        assert_eq!(world.lines("effects"), ["once"], "{word}");
        world.assert_sound();
    }
}

#[test]
fn a_rotated_secret_that_equals_the_id_of_a_step_starts_nothing_twice() {
    let world = World::new();
    plan(
        &world,
        r#"
      - {id: gate, do: {run: [test, -e, "@/go"]}, effect: pure}
      - id: migrate
        do: {shell: "echo once >> @/effects; echo $DB"}
        env: {DB: {secret: db}}
        on_doubt: ask
        undo: {shell: "echo back >> @/effects"}
"#,
    );
    assert_eq!(with(&world, "old-secret", &["run", "plan.yaml"]).code, 1);
    world.write("go", "");
    let args = ["decide", "gate", "retry", "--reason", "again"];
    assert_eq!(with(&world, "migrate", &args).code, 0);
    let resumed = with(&world, "migrate", &["resume"]);
    assert_eq!(resumed.code, 0, "{resumed:?}");
    assert_eq!(world.lines("effects"), ["once"]);
    let started = events(&world, "step.started");
    assert_eq!(
        started.last().expect("a start")["at"]["part"]["step"],
        "migrate"
    );
    assert_eq!(
        with(&world, "migrate", &["rollback", "--reason", "x"]).code,
        5
    );
    assert_eq!(world.lines("effects"), ["once", "back"]);
}

#[test]
fn a_plan_that_holds_the_value_of_its_secret_is_refused() {
    let world = World::new();
    plan(
        &world,
        "      - {id: migrate, do: {run: [\"true\"]}, effect: pure, env: {DB: {secret: db}}}\n",
    );
    let done = with(&world, "migrate", &["run", "plan.yaml"]);
    assert_eq!(done.code, 3, "{done:?}");
    assert!(!world.state().exists());
}

#[test]
fn a_step_whose_undo_would_have_to_record_a_secret_is_not_started() {
    let world = World::new();
    let dir = world.path(SECRET);
    std::fs::create_dir(&dir).expect("a directory");
    std::fs::write(dir.join("conf"), "former\n").expect("written");
    // The plan names a link; what is observed is where it leads.
    std::os::unix::fs::symlink(dir.join("conf"), world.path("conf")).expect("a link");
    plan(
        &world,
        r#"
      - {id: conf, do: {file.replace: {path: "@/conf", content: "new"}}}
      - {id: uses, do: {run: ["true"]}, effect: pure, env: {DB: {secret: db}}}
"#,
    );
    assert_eq!(with(&world, SECRET, &["run", "plan.yaml"]).code, 3);
    let forced = ["run", "plan.yaml", "--force", "--reason", "test"];
    let done = with(&world, SECRET, &forced);
    assert_eq!(done.code, 1, "{done:?}");
    let failed = events(&world, "step.refused");
    let detail = failed[0]["detail"].as_str().unwrap_or_default();
    assert!(
        detail.contains("what must be recorded for the undo contains the value of the secret db"),
        "{detail}"
    );
    assert_eq!(
        std::fs::read_to_string(dir.join("conf")).expect("readable"),
        "former\n"
    );
    assert_eq!(holding(&world, SECRET), Vec::<PathBuf>::new());
}

#[test]
fn a_fact_that_holds_a_secret_fails_its_step_and_is_passed_to_nobody() {
    let world = World::new();
    plan(
        &world,
        r#"
      - id: one
        do: {shell: "printf '{\"url\": \"db://u:%s@host\"}\\n' \"$DB\""}
        env: {DB: {secret: db}}
        on_doubt: ask
        undo: none
        facts: {url: {json: .url}}
      - {id: two, do: {run: [touch, "@/two"]}, env: {URL: {from: one.url}}, on_doubt: ask, undo: none}
"#,
    );
    let done = with(&world, SECRET, &["run", "plan.yaml"]);
    assert_eq!(done.code, 1, "{done:?}");
    let failed = events(&world, "step.failed");
    assert_eq!(failed[0]["failure"], "evidence", "{failed:?}");
    assert_eq!(
        failed[0]["detail"],
        "the fact url holds the value of a secret"
    );
    assert!(!world.path("two").exists());
}

/// A step that fails, and whose own check repeats the secret.
const LEAKY: &str = r#"
      - id: leaky
        do: {run: ["false"]}
        verify: {shell: "echo password is $DB; echo $DB >&2; test -e @/made"}
        env: {DB: {secret: db}}
        on_doubt: ask
        undo: none
"#;

#[test]
fn what_a_check_says_is_redacted_where_a_decision_is_refused_and_where_it_is_recorded() {
    let world = World::new();
    plan(&world, LEAKY);
    assert_eq!(with(&world, SECRET, &["run", "plan.yaml"]).code, 1);
    let decide = ["decide", "leaky", "done", "--reason", "I say so"];
    for json in [false, true] {
        let mut args = decide.to_vec();
        if json {
            args.insert(0, "--json");
        }
        let refused = with(&world, SECRET, &args);
        assert_eq!(refused.code, 13, "{refused:?}");
        let said = format!("{refused:?}");
        assert!(said.contains("password is [redacted:db]"), "{said}");
        assert!(!said.contains(SECRET), "{said}");
    }
    world.write("made", "");
    assert_eq!(with(&world, SECRET, &decide).code, 0);
    let decided = events(&world, "step.decided");
    assert!(
        decided[0].to_string().contains("password is [redacted:db]"),
        "{decided:?}"
    );
    assert_eq!(holding(&world, SECRET), Vec::<PathBuf>::new());
}

#[test]
fn the_reason_of_a_kill_is_redacted_in_every_file() {
    let world = World::new();
    plan(
        &world,
        r#"
      - id: wait
        do: {shell: "echo began >> @/effects; sleep 60"}
        env: {DB: {secret: db}}
        on_doubt: ask
        undo: none
"#,
    );
    let mut runner = world
        .command(&["run", "plan.yaml"])
        .env("TEST_DB_PASSWORD", SECRET)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the program starts");
    eventually("the step has begun", || !world.lines("effects").is_empty());
    world.await_step("wait", "running");
    let reason = format!("it hangs with {SECRET}");
    let killed = with(&world, SECRET, &["kill-step", "--reason", &reason]);
    assert_eq!(killed.code, 0, "{killed:?}");
    assert!(!format!("{killed:?}").contains(SECRET), "{killed:?}");
    assert_eq!(runner.wait().expect("it ends").code(), Some(1));
    let failed = events(&world, "step.failed");
    assert!(
        failed[0]
            .to_string()
            .contains("it hangs with [redacted:db]"),
        "{failed:?}"
    );
    assert_eq!(holding(&world, SECRET), Vec::<PathBuf>::new());
    assert!(!holding(&world, "it hangs with ").is_empty(), "it looks");
}

/// Three steps of which each has a secret of its own, the last one fails.
const THREE: &str = r#"
upledger: 1
name: three
secrets: {one: {env: TEST_ONE}, two: {env: TEST_TWO}, three: {env: TEST_THREE}}
phases:
  - phase: all
    steps:
      - {id: first, do: {shell: "echo $S >> @/first"}, env: {S: {secret: one}}, on_doubt: ask, undo: none}
      - id: second
        do: {shell: "echo $S >> @/second"}
        env: {S: {secret: two}}
        on_doubt: ask
        undo: {shell: "echo back $S >> @/second"}
      - {id: third, do: {shell: "test -e @/go && echo $S >> @/third"}, env: {S: {secret: three}}, on_doubt: ask, undo: none}
"#;

/// The program with these secrets alone.
fn knowing(world: &World, secrets: &[&str], args: &[&str]) -> Done {
    let mut command = world.command(args);
    command.envs(
        secrets
            .iter()
            .map(|name| (name, format!("value-of-{name}"))),
    );
    Done::of(command.output().expect("the program starts"))
}

const ALL: [&str; 3] = ["TEST_ONE", "TEST_TWO", "TEST_THREE"];

#[test]
fn a_rollback_needs_only_the_secrets_of_what_it_undoes() {
    let world = World::new();
    world.write("plan.yaml", THREE);
    assert_eq!(knowing(&world, &ALL[..2], &["run", "plan.yaml"]).code, 3);
    assert_eq!(knowing(&world, &ALL, &["run", "plan.yaml"]).code, 1);

    let before = world.upledger(&["log", "--json"]).out;
    let without = knowing(&world, &["TEST_ONE", "TEST_THREE"], &["rollback"]);
    assert_eq!(without.code, 4, "{without:?}");
    assert!(
        without.err.contains("the secret two cannot be read"),
        "{without:?}"
    );
    assert_eq!(
        before,
        world.upledger(&["log", "--json"]).out,
        "nothing is recorded"
    );

    let done = knowing(&world, &["TEST_TWO"], &["rollback"]);
    assert_eq!(done.code, 5, "{done:?}");
    assert!(
        done.out.contains("the secret one cannot be read: "),
        "{done:?}"
    );
    assert_eq!(
        world.lines("second"),
        ["value-of-TEST_TWO", "back value-of-TEST_TWO"]
    );
}

#[test]
fn a_resume_needs_only_the_secrets_of_what_is_left_unless_the_plan_rolls_back_by_itself() {
    for (on_failure, alone) in [("ask", 0), ("rollback", 4)] {
        let world = World::new();
        let plan = THREE.replace(
            "name: three",
            &format!("name: three\non_failure: {on_failure}"),
        );
        // Paused before the last one, which would fail.
        let plan = plan.replace(
            "env: {S: {secret: three}}, on",
            "env: {S: {secret: three}}, retry: {times: 1, wait: 5s}, on",
        );
        world.write("plan.yaml", &plan);
        let mut command = world.command(&["run", "plan.yaml"]);
        command.envs(ALL.iter().map(|name| (name, format!("value-of-{name}"))));
        let mut runner = command
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("the program starts");
        eventually("the last step has failed once", || {
            !events(&world, "step.failed").is_empty()
        });
        crate::common::kill(i32::try_from(runner.id()).expect("a number"));
        runner.wait().expect("it ends");
        world.write("go", "");
        let done = knowing(&world, &["TEST_THREE"], &["resume"]);
        assert_eq!(done.code, alone, "{done:?}");
        if on_failure == "rollback" {
            assert!(done.err.contains("the secret two"), "{done:?}");
            let done = knowing(&world, &["TEST_THREE", "TEST_TWO"], &["resume"]);
            assert_eq!(done.code, 0, "{done:?}");
        }
        assert_eq!(world.lines("third"), ["value-of-TEST_THREE"]);
    }
}

#[test]
fn a_word_of_a_secret_and_a_key_of_the_plan_refuse_nothing_and_a_value_is_refused_and_never_shown()
{
    let world = World::new();
    let steps = r#"
      - id: print
        do: {shell: "echo the step is named by deploy; echo $DB"}
        env: {DB: {secret: db}}
        effect: idempotent
        undo: none
"#;
    plan(&world, steps);
    for value in [
        "deploy\ncorrect-horse",
        "step\r\nhunter2\r\n",
        "name\nphases",
    ] {
        let done = with(&world, value, &["run", "plan.yaml"]);
        assert_eq!(done.code, 0, "{value:?}: {done:?}");
        assert!(done.out.contains("the step is named by deploy"), "{done:?}");
        let password = value.lines().last().expect("a line");
        let log = world.upledger(&["log", "--output", "print"]).out;
        assert!(!log.contains(password), "{log}");
    }
    // A key that equals a secret is structure; a value is not.
    let keys = with(&world, "phases", &["plan", "plan.yaml"]);
    assert_eq!(keys.code, 0, "{keys:?}");
    for args in [
        &["plan", "plan.yaml"][..],
        &["plan", "plan.yaml", "--details"],
        &["--json", "plan", "plan.yaml"],
    ] {
        let seen = with(&world, "named by deploy", args);
        assert_eq!(seen.code, 3, "{seen:?}");
        assert!(!seen.out.contains("named by deploy"), "{seen:?}");
        assert!(seen.out.contains("the value of its secret db"), "{seen:?}");
    }
}
