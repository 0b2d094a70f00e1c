//! One attempt and its supervisor, at the borders: commands that cannot start, output without end, full disks, stopped
//! processes, many resumes at once.

use crate::common::{Done, Small, UPLEDGER, World, eventually, kill, send};
use rustix::process::Signal;
use std::process::{Command, Stdio};

/// The data of the newest event of a kind.
fn newest(world: &World, kind: &str) -> serde_json::Value {
    let log = world.upledger(&["log", "--json"]).out;
    log.lines()
        .filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok())
        .rfind(|e| e["kind"] == kind)
        .map(|e| e["data"].clone())
        .unwrap_or_default()
}

/// Runs the program under strace, which makes a system call fail.
fn injected(world: &World, args: &[&str], inject: &str) -> Done {
    let call = inject.split(':').next().expect("a system call");
    let command = world.command(args);
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-qq", "-o", "/dev/null", "-e"])
        .arg(format!("trace={call}"))
        .arg("-e")
        .arg(format!("inject={inject}"))
        .arg(UPLEDGER)
        .args(args)
        .current_dir(command.get_current_dir().expect("a directory"))
        .envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))))
        .stdin(Stdio::null());
    Done::of(
        strace
            .output()
            .expect("strace; install it with: apt-get install -y strace"),
    )
}

const ONE: &str = "
upledger: 1
name: one
phases:
  - phase: all
    steps:
      - {id: one, do: {shell: \"echo one >> @/effects\"}, on_doubt: ask, undo: none}
";

#[test]
fn a_command_that_cannot_be_started_had_no_effect_and_can_be_retried() {
    let world = World::new();
    let plan = "
upledger: 1
name: missing
phases:
  - phase: all
    steps:
      - {id: tool, do: {run: [\"@/tool\"]}, on_doubt: ask, undo: none}
";
    world.write("plan.yaml", plan);
    let force = ["run", "plan.yaml", "--force", "--reason", "it comes"];
    let done = world.upledger(&force);
    assert_eq!(done.code, 1, "{done:?}");
    let failed = newest(&world, "step.failed");
    assert_eq!(failed["failure"], "not_started", "{failed}");
    assert!(
        failed["detail"]
            .as_str()
            .unwrap_or_default()
            .contains("No such file"),
        "{failed}"
    );

    std::os::unix::fs::symlink("/bin/true", world.path("tool")).expect("a link");
    assert_eq!(
        world
            .upledger(&["decide", "tool", "retry", "--reason", "installed"])
            .code,
        0
    );
    assert_eq!(world.upledger(&["resume"]).code, 0);
}

#[test]
fn output_without_end_is_bounded_and_what_was_dropped_is_counted() {
    let world = World::new();
    let plan = r#"
upledger: 1
name: much
phases:
  - phase: all
    steps:
      - {id: much, do: {shell: "yes 0123456789012345678901234567890 | head -c 90000000; echo the end"}, effect: pure}
"#;
    world.write("plan.yaml", plan);
    let done = world.upledger(&["--quiet", "run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    let output = newest(&world, "step.succeeded")["printed"].clone();
    let dropped = output["dropped"].as_u64().unwrap_or(0);
    let kept = output["len"].as_u64().unwrap_or(0);
    // What was printed, and one line that says how much is missing.
    assert!(
        (90_000_008..90_000_208).contains(&(kept + dropped)),
        "{output}"
    );
    let stored = world.upledger(&["log", "--output", "much"]).out;
    assert!(dropped > 20_000_000, "{output}");
    assert!(stored.len() < 68 << 20, "{} bytes", stored.len());
    assert!(
        stored.trim_end().ends_with("the end"),
        "the end is kept, too"
    );
}

#[test]
fn a_disk_that_is_full_before_the_command_starts_starts_nothing() {
    let world = World::new();
    world.write("plan.yaml", ONE);
    let done = injected(&world, &["run", "plan.yaml"], "fallocate:error=ENOSPC");
    assert!(world.lines("effects").is_empty(), "{done:?}");
    assert_eq!(done.code, 1, "{done:?}");
    let refused = newest(&world, "step.refused");
    assert_eq!(refused["part"]["step"], "one", "{refused}");
    assert_eq!(
        world
            .upledger(&["decide", "one", "retry", "--reason", "room was made"])
            .code,
        0
    );
    assert_eq!(world.upledger(&["resume"]).code, 0);
    assert_eq!(world.lines("effects"), ["one"]);
}

#[test]
fn a_ledger_that_cannot_be_written_stops_the_run_and_a_resume_goes_on() {
    let mut stopped = 0;
    for nth in [12, 20, 28, 36, 44, 52] {
        let world = World::new();
        world.write("plan.yaml", ONE);
        let done = injected(
            &world,
            &["run", "plan.yaml"],
            &format!("pwrite64:error=ENOSPC:when={nth}"),
        );
        if done.code == 0 {
            continue;
        }
        stopped += 1;
        assert_eq!(done.code, 8, "write {nth}: {done:?}");
        eventually("the supervisor has gone", || world.supervisors().is_empty());
        let opened = !world.status()["run"].is_null();
        let args: &[&str] = if opened {
            &["resume"]
        } else {
            &["run", "plan.yaml"]
        };
        let done = world.upledger(args);
        assert_eq!(done.code, 0, "write {nth}: {done:?}");
        assert_eq!(world.lines("effects"), ["one"], "write {nth}");
    }
    assert!(stopped >= 3, "only {stopped} writes hit the ledger");
}

/// A step that waits for a file, and its runner.
fn waiting() -> (World, std::process::Child) {
    let world = World::new();
    let plan = r#"
upledger: 1
name: waiting
phases:
  - phase: all
    steps:
      - {id: wait, do: {shell: "echo began >> @/effects; while [ ! -e @/go ]; do sleep 0.05; done"}, on_doubt: ask, undo: none}
"#;
    world.write("plan.yaml", plan);
    let runner = world.start(&["run", "plan.yaml"]);
    eventually("the step has begun", || !world.lines("effects").is_empty());
    world.await_step("wait", "running");
    (world, runner)
}

#[test]
fn a_stopped_supervisor_is_alive_and_is_waited_for() {
    let (world, mut runner) = waiting();
    let supervisor = *world.supervisors().first().expect("a supervisor");
    send(supervisor, Signal::STOP);
    runner.kill().expect("it lives");
    runner.wait().expect("it is dead");
    world.write("go", "");
    let mut resumed = world.start(&["resume"]);
    eventually("the step is adopted", || {
        world.upledger(&["log"]).out.contains("adopted")
    });
    assert!(resumed.try_wait().expect("a child").is_none(), "it waits");
    send(supervisor, Signal::CONT);
    assert_eq!(resumed.wait().expect("it ends").code(), Some(0));
    assert_eq!(world.lines("effects"), ["began"]);
}

#[test]
fn of_sixteen_resumes_at_once_one_drives_and_the_step_is_started_once() {
    let (world, mut runner) = waiting();
    runner.kill().expect("it lives");
    runner.wait().expect("it is dead");
    let mut resumes: Vec<_> = (0..16).map(|_| world.start(&["resume"])).collect();
    let mut refused = Vec::new();
    eventually("all but one are refused", || {
        resumes.retain_mut(|r| {
            let ended = r.try_wait().expect("a child");
            refused.extend(ended.map(|status| status.code()));
            ended.is_none()
        });
        resumes.len() == 1
    });
    assert_eq!(refused, [Some(9); 15], "the run is held");
    assert_eq!(world.lines("effects"), ["began"]);
    world.write("go", "");
    let mut driver = resumes.pop().expect("one is left");
    assert_eq!(driver.wait().expect("it ends").code(), Some(0));
    let log = world.upledger(&["log"]).out;
    assert_eq!(log.matches("adopted").count(), 1, "{log}");
    assert_eq!(world.lines("effects"), ["began"]);
}

#[test]
fn processes_that_outlive_their_supervisor_are_waited_for_and_then_it_asks() {
    let (world, mut runner) = waiting();
    let supervisor = *world.supervisors().first().expect("a supervisor");
    runner.kill().expect("it lives");
    runner.wait().expect("it is dead");
    kill(supervisor);
    let screen = std::fs::File::create(world.path("screen")).expect("made");
    let mut command = world.command(&["resume"]);
    let mut resumed = command.stdout(screen).spawn().expect("it starts");
    eventually("it waits", || {
        let screen = world.lines("screen");
        screen
            .iter()
            .any(|l| l.contains("it is still running: process "))
    });
    world.write("go", "");
    assert_eq!(resumed.wait().expect("it ends").code(), Some(4));
    assert_eq!(world.status()["question"]["kind"], "doubt");
    assert_eq!(world.lines("effects"), ["began"]);
}

#[test]
fn done_is_refused_while_the_steps_own_check_disagrees() {
    let world = World::new();
    let plan = r#"
upledger: 1
name: checked
phases:
  - phase: all
    steps:
      - id: make
        do: {run: [/bin/false]}
        probe: {run: [test, -e, "@/made"]}
        verify: {run: [test, -e, "@/made"]}
        on_doubt: ask
        undo: none
"#;
    world.write("plan.yaml", plan);
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    let refused = world.upledger(&["decide", "make", "done", "--reason", "I say so"]);
    assert_eq!(refused.code, 13, "{refused:?}");
    world.write("made", "");
    assert_eq!(
        world
            .upledger(&["decide", "make", "done", "--reason", "made by hand"])
            .code,
        0
    );
    assert_eq!(world.upledger(&["resume"]).code, 0);
}

#[test]
fn a_secret_that_is_gone_at_resume_is_a_question_and_nothing_starts() {
    let world = World::new();
    let plan = r#"
upledger: 1
name: secret
secrets: {db: {file: "@/pass"}}
phases:
  - phase: all
    steps:
      - {id: first, do: {run: [test, -e, "@/go"]}, effect: pure}
      - {id: second, do: {shell: "echo two >> @/effects"}, env: {PASS: {secret: db}}, on_doubt: ask, undo: none}
"#;
    world.write("plan.yaml", plan);
    let write_secret = || {
        use std::os::unix::fs::PermissionsExt;
        let path = world.write("pass", "correct horse battery");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
    };
    write_secret();
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    assert_eq!(
        world
            .upledger(&["decide", "first", "retry", "--reason", "again"])
            .code,
        0
    );
    world.write("go", "");
    std::fs::remove_file(world.path("pass")).expect("it was there");
    let asked = world.upledger(&["resume"]);
    assert_eq!(asked.code, 4, "{asked:?}");
    assert!(asked.err.contains("db"), "{asked:?}");
    assert!(world.lines("effects").is_empty());
    write_secret();
    assert_eq!(world.upledger(&["resume"]).code, 0);
    assert_eq!(world.lines("effects"), ["two"]);
}

#[test]
fn a_look_runs_where_the_command_runs_and_not_where_the_operator_is() {
    let world = World::new();
    let plan = r#"
upledger: 1
name: relative
phases:
  - phase: all
    steps:
      - id: make
        do: {run: ["true"]}
        verify: {run: [test, -e, made]}
        on_doubt: ask
        undo: none
"#;
    world.write("plan.yaml", plan);
    // The program runs in the world's directory, and the command in `/`.
    world.write("made", "");
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert_eq!(newest(&world, "step.failed")["failure"], "evidence");
}

#[test]
fn a_relative_directory_is_refused_with_its_line() {
    let world = World::new();
    world.write(
        "plan.yaml",
        &ONE.replace("undo: none", "undo: none, cwd: here"),
    );
    let done = world.upledger(&["check", "plan.yaml"]);
    assert_eq!(done.code, 3, "{done:?}");
    assert!(
        done.err.contains("plan.yaml:7:") && done.err.contains("not an absolute path"),
        "{done:?}"
    );
}

/// A step that gives a fact, and one that uses it.
const FACT: &str = r#"
upledger: 1
name: facts
phases:
  - phase: all
    steps:
      - id: one
        do: {shell: "echo one >> @/effects; echo '{\"rows\": 3}'; sleep 0.2; echo deprecated >&2"}
        on_doubt: ask
        undo: none
        retry: {times: 1}
        facts: {rows: {json: .rows}}
      - id: two
        do: {shell: "echo $ROWS >> @/effects"}
        env: {ROWS: {from: one.rows}}
        on_doubt: ask
        undo: none
"#;

#[test]
fn a_warning_behind_the_json_hides_no_fact_and_repeats_no_step() {
    let world = World::new();
    world.write("plan.yaml", FACT);
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(world.lines("effects"), ["one", "3"]);
}

#[test]
fn a_fact_of_a_step_that_was_found_done_is_missed_with_its_reason_and_a_way_on() {
    let world = World::new();
    world.write(
        "plan.yaml",
        &FACT.replacen(
            "on_doubt: ask",
            "on_doubt: ask\n        probe: {run: [\"true\"]}",
            1,
        ),
    );
    let checked = world.upledger(&["check", "plan.yaml"]);
    assert!(
        format!("{checked:?}").contains("its facts are not known"),
        "{checked:?}"
    );
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    let failed = newest(&world, "step.refused");
    let detail = failed["detail"].as_str().unwrap_or_default();
    for part in ["one.rows is not known", "found done", "decide `skip`"] {
        assert!(detail.contains(part), "{failed}");
    }
    let decided = world.upledger(&["decide", "two", "skip", "--reason", "by hand"]);
    assert_eq!(decided.code, 0, "{decided:?}");
    assert_eq!(world.upledger(&["resume"]).code, 0);
}

#[test]
fn on_a_full_disk_the_record_goes_on_in_what_was_set_aside_and_a_little_room_is_enough_to_run() {
    let world = World::new();
    world.write(
        "plan.yaml",
        r#"
upledger: 1
name: full
phases:
  - phase: all
    steps:
      - {id: one, do: {shell: "echo one >> @/trace"}, on_doubt: ask, undo: none}
"#,
    );
    std::fs::create_dir(world.state()).expect("made");
    let state = world.state();
    let _small = Small::mount(&state, "size=16m,mode=700");
    let note = |text: &str| world.upledger(&["note", text]);
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
    let reserve = world.path("state/reserve");
    assert!(reserve.exists());
    let filler = world.path("state/filler");
    let mut file = std::fs::File::create(&filler).expect("made");
    while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
    let mut notes = 0;
    while reserve.exists() {
        let done = note(&"x".repeat(20_000));
        assert_eq!(done.code, 0, "{done:?}");
        notes += 1;
        assert!(notes < 300, "the ledger has found room for {notes} notes");
    }

    // What was given back is not taken away again: it is needed.
    let run = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(world.lines("trace"), ["one", "one"]);
    assert!(!reserve.exists());
    // Not only removed: what another test is just starting may have a copy of the open file until its exec.
    file.set_len(0).expect("truncated");
    std::fs::remove_file(&filler).expect("removed");
    assert_eq!(note("there is room").code, 0);
    assert!(reserve.exists());
    world.assert_sound();
}
