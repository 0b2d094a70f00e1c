//! What somebody is told who was not there when it happened: which decision waits, whether a command is still at work,
//! which way a run goes, what a rollback has left, and where the former content is when an undo is stuck.

use crate::common::{Done, World, eventually, kill, send};
use rustix::process::Signal;
use std::os::unix::fs::PermissionsExt;

/// `first` can be undone, `second` waits for the file `go`, and `third` fails as long as the file `bad` is there.
const THREE: &str = r#"
upledger: 1
name: three
phases:
  - phase: early
    steps:
      - {id: first, do: {file.replace: {path: "@/app.conf", content: "new\n"}}}
  - phase: late
    steps:
      - {id: second, do: {shell: "echo $$ > @/pid; while [ ! -e @/go ]; do sleep 0.05; done"}, on_doubt: ask, undo: {shell: "test ! -e @/stuck", effect: idempotent}}
      - {id: third, do: {shell: "test ! -e @/bad"}, effect: pure}
"#;

fn chinese(world: &World, args: &[&str]) -> Done {
    let mut command = world.command(args);
    command.env("UPLEDGER_LANG", "zh");
    Done::of(command.output().expect("the program starts"))
}

/// A run that was left by its runner while `second` runs.
fn deserted() -> World {
    let world = World::new();
    world.write("app.conf", "old\n");
    world.write("plan.yaml", THREE);
    let mut runner = world.start(&["run", "plan.yaml"]);
    eventually("the command has begun", || world.lines("pid").len() == 1);
    world.await_step("second", "running");
    runner.kill().expect("it lives");
    runner.wait().expect("it is dead");
    world
}

/// A run that stopped because `third` failed.
fn failed() -> World {
    let world = World::new();
    world.write("app.conf", "old\n");
    world.write("go", "");
    world.write("bad", "");
    world.write("plan.yaml", THREE);
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    world
}

fn has(done: &Done, parts: &[&str]) {
    for part in parts {
        assert!(done.out.contains(part), "{part}: {done:?}");
    }
}

#[test]
fn a_recorded_decision_is_told_until_it_is_carried_out() {
    let world = failed();
    let retry = ["decide", "third", "retry", "--reason", "mended"];
    assert_eq!(world.upledger(&retry).code, 0);
    has(
        &world.upledger(&["status"]),
        &[
            "waiting for resume, phase late",
            "recorded: retry for third (mended); not carried out yet",
            "`upledger resume` carries it out; until then it can be replaced: upledger decide third ...",
        ],
    );
    has(
        &chinese(&world, &["status"]),
        &["待恢复运行", "已记录 third 的处理方式：retry（mended）"],
    );
    has(
        &world.upledger(&["runs"]),
        &["waiting for resume", "(retry is recorded for third)"],
    );
    let decision = &world.status()["decision"];
    assert_eq!(decision["step"], "third");
    assert_eq!(decision["decision"], "retry");
    assert_eq!(decision["reason"], "mended");
    let skip = ["decide", "third", "skip", "--reason", "not needed"];
    assert_eq!(world.upledger(&skip).code, 0);
    has(
        &world.upledger(&["status"]),
        &[
            "third   decided: skip",
            "recorded: skip for third (not needed)",
        ],
    );
    let value = world.status();
    assert_eq!(value["decision"]["decision"], "skip");
    assert_eq!(world.upledger(&["resume"]).code, 0);
    assert!(world.status()["decision"].is_null());
    assert!(!world.upledger(&["status"]).out.contains("recorded:"));
}

/// A step in doubt, under a plan that stops, or that turns round.
fn doubted(on_failure: &str) -> World {
    let world = World::new();
    world.write("app.conf", "old\n");
    let plan = THREE.replace(
        "name: three",
        &format!("name: three\non_failure: {on_failure}"),
    );
    world.write("plan.yaml", &plan);
    let mut runner = world.start(&["run", "plan.yaml"]);
    eventually("the command has begun", || world.lines("pid").len() == 1);
    world.await_step("second", "running");
    runner.kill().expect("it lives");
    runner.wait().expect("it is dead");
    for supervisor in world.supervisors() {
        kill(supervisor);
    }
    let pid = world.lines("pid")[0].parse().expect("a number");
    kill(pid);
    assert_eq!(world.upledger(&["resume"]).code, 4);
    world
}

#[test]
fn a_decision_that_a_step_failed_tells_what_follows() {
    let fail = ["decide", "second", "fail", "--reason", "seen"];
    let world = doubted("ask");
    let done = world.upledger(&fail);
    has(
        &done,
        &[
            "the step counts as failed, and the run stops here until you decide:",
            "upledger decide second retry",
            "upledger rollback --reason '...'",
        ],
    );
    assert!(
        !done.out.contains("go on with: upledger resume"),
        "{done:?}"
    );
    has(
        &world.upledger(&["status"]),
        &["recorded: fail for second (seen)"],
    );
    assert_eq!(world.upledger(&["rollback"]).code, 5);

    let world = doubted("rollback");
    let done = world.upledger(&fail);
    has(
        &done,
        &["the run then rolls back automatically", "upledger resume"],
    );
    has(
        &world.upledger(&["status"]),
        &[
            "recorded: fail for second (seen)",
            "the run then rolls back automatically",
        ],
    );
    assert_eq!(world.upledger(&["resume"]).code, 5);
}

#[test]
fn a_rollback_before_the_answer_says_that_the_doubt_stays() {
    let world = doubted("ask");
    let back = world.upledger(&["rollback"]);
    assert_eq!(back.code, 5, "{back:?}");
    has(&back, &["second was in doubt and was not decided"]);
}

#[test]
fn whether_the_command_is_still_at_work_is_told_without_its_runner() {
    let world = deserted();
    let pid = world.lines("pid")[0].clone();
    let status = world.upledger(&["status"]);
    has(
        &status,
        &[
            &format!("second: its command is still running (pid {pid}, for "),
            "; resume adopts it",
            "upledger resume",
        ],
    );
    has(
        &chinese(&world, &["status"]),
        &[&format!("其命令仍在运行（进程 {pid}，")],
    );
    let value = world.status();
    assert_eq!(value["command"]["state"], "running", "{value:#}");
    assert_eq!(value["command"]["step"], "second");
    assert_eq!(value["command"]["pids"][0].to_string(), pid);
    world.write("go", "");
    eventually("it has ended", || {
        world.status()["command"]["state"] == "ended"
    });
    has(
        &world.upledger(&["status"]),
        &["second: its command has ended; resume imports its result"],
    );
    assert_eq!(world.upledger(&["resume"]).code, 0);
    assert!(world.status()["command"].is_null());
}

#[test]
fn a_dead_supervisor_is_told() {
    let world = deserted();
    let pid: i32 = world.lines("pid")[0].parse().expect("a number");
    for supervisor in world.supervisors() {
        kill(supervisor);
    }
    eventually("the supervisor is gone", || world.supervisors().is_empty());
    has(
        &world.upledger(&["status"]),
        &[&format!(
            "its supervisor has exited, but it is still running (processes: {pid}"
        )],
    );
    kill(pid);
    eventually("it is gone", || {
        world.status()["command"]["state"] == "unseen"
    });
    has(
        &world.upledger(&["status"]),
        &["its command has exited with an unknown result"],
    );
    assert_eq!(world.upledger(&["resume"]).code, 4);
}

#[test]
fn a_look_at_a_step_that_is_about_to_start_does_not_keep_it_from_starting() {
    let world = World::new();
    world.write("app.conf", "old\n");
    world.write("plan.yaml", THREE);
    world.write("go", "");
    let mut runner = world
        .command(&["run", "plan.yaml"])
        .env("UPLEDGER_FAILPOINT", "stop=second/after-lock")
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("the program starts");
    let supervisor = world.stopped_supervisor();
    let token = || {
        let jobs = std::fs::read_dir(world.state().join("jobs")).expect("jobs");
        let mut jobs = jobs.map(|e| e.expect("an entry"));
        let job = jobs.find(|e| e.file_name().to_string_lossy().contains(".second."));
        job.expect("the job of the step").path().join("start")
    };
    assert!(!token().exists(), "it stands before its token");
    has(&world.upledger(&["status"]), &["second"]);
    assert_eq!(world.status()["command"]["state"], "not_started");
    assert!(!token().exists(), "a look leaves none");
    send(supervisor, Signal::CONT);
    assert_eq!(runner.wait().expect("it ends").code(), Some(0));
    assert_eq!(world.status()["steps"][1]["do"]["attempts"], 1);
}

#[test]
fn during_a_rollback_the_phase_is_that_of_the_undo() {
    let world = failed();
    world.write("stuck", "");
    assert_eq!(world.upledger(&["rollback"]).code, 6);
    has(
        &world.upledger(&["status"]),
        &["rollback stuck, phase late"],
    );
    let skip = ["decide", "second", "skip", "--reason", "by hand"];
    assert_eq!(world.upledger(&skip).code, 0);
    // What is next is the undo of `first`.
    has(
        &world.upledger(&["status"]),
        &["waiting for resume, rolling back, phase early"],
    );
    assert_eq!(world.status()["phase"], "early");
    assert_eq!(world.status()["direction"], "undo");
}

#[test]
fn a_rollback_names_what_it_has_not_undone() {
    let world = failed();
    world.write("stuck", "");
    assert_eq!(world.upledger(&["rollback"]).code, 6);
    let skip = ["decide", "second", "skip", "--reason", "by hand"];
    assert_eq!(world.upledger(&skip).code, 0);
    let done = world.upledger(&["resume"]);
    assert_eq!(done.code, 5, "{done:?}");
    let named = "NOT undone, their changes are still in place: second (by hand)";
    has(&done, &[named]);
    has(
        &world.upledger(&["status"]),
        &["rolled back, some undos skipped", named],
    );
    has(
        &chinese(&world, &["status"]),
        &["未撤销，其变更仍然存在：second"],
    );
    let value = world.status();
    assert_eq!(value["state"], "rolled back");
    assert_eq!(value["not_undone"][0]["step"], "second");
    assert_eq!(value["not_undone"][0]["reason"], "by hand");
    let run = value["run"].as_str().expect("a name").to_owned();
    for again in [&["rollback"][..], &["rollback", &run]] {
        let refused = world.upledger(again);
        assert_eq!(refused.code, 13, "{refused:?}");
        let parts = ["rolled back except for second", "upledger note '...'"];
        assert!(parts.iter().all(|p| refused.err.contains(p)), "{refused:?}");
    }

    let world = failed();
    let done = world.upledger(&["rollback"]);
    assert_eq!(done.code, 5, "{done:?}");
    assert!(!done.out.contains("NOT undone"), "{done:?}");
    let run = world.status()["run"].as_str().expect("a name").to_owned();
    let named = world.upledger(&["rollback", &run]);
    assert_eq!(named.err, world.upledger(&["rollback"]).err);
    assert!(named.err.contains("is already rolled back"), "{named:?}");
    assert_eq!(
        world.status()["not_undone"].as_array().map(Vec::len),
        Some(0)
    );
}

/// Whoever types the wrong thing at a run that waits is told where to look and what still holds.
#[test]
fn a_wrong_answer_names_the_next_command() {
    let world = failed();
    let says = |args: &[&str], code: i32, parts: &[&str]| {
        let done = world.upledger(args);
        assert_eq!(done.code, code, "{done:?}");
        for part in parts {
            assert!(done.err.contains(part), "{part} is not in {done:?}");
        }
    };
    let waits = "a decision is pending; show the question: upledger status";
    says(&["run", "plan.yaml"], 4, &[waits]);
    let look = "show its state: upledger status";
    let other = ["decide", "first", "retry", "--reason", "x"];
    says(&other, 13, &["the question is about third", look]);
    let fail = ["decide", "third", "fail", "--reason", "x"];
    says(&fail, 13, &["third has already failed"]);
}

#[test]
fn a_stuck_undo_names_what_it_runs_and_where_the_former_content_is() {
    let world = failed();
    world.write("stuck", "");
    let stuck = world.upledger(&["rollback"]);
    assert_eq!(stuck.code, 6);
    has(&stuck, &["the undo runs:", "stuck"]);
    std::fs::remove_file(world.path("stuck")).expect("removed");
    // Somebody has edited the file since: the undo leaves it alone.
    world.write("app.conf", "somebody's\n");
    let retry = ["decide", "second", "retry", "--reason", "mended"];
    assert_eq!(world.upledger(&retry).code, 0);
    let stuck = world.upledger(&["resume"]);
    assert_eq!(stuck.code, 6, "{stuck:?}");
    has(
        &stuck,
        &[
            "undo of file.replace",
            "the content to restore is kept here:",
        ],
    );
    let value = world.status();
    let kept = &value["question"]["undo"]["kept"][0];
    let at = kept["at"].as_str().expect("a place");
    has(&stuck, &[at]);
    assert_eq!(std::fs::read_to_string(at).expect("it is there"), "old\n");
    assert_eq!(kept["of"], world.path("app.conf").display().to_string());
    has(
        &chinese(&world, &["status"]),
        &["撤销要恢复的原内容保存在：", at],
    );
}

#[test]
fn an_aborted_run_names_the_command_that_is_left() {
    let world = failed();
    let abort = world.upledger(&["abort", "--reason", "enough"]);
    assert_eq!(abort.code, 12, "{abort:?}");
    let run = world.status()["run"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let command = format!("upledger rollback {run} --reason '...'");
    has(&world.upledger(&["status"]), &[&command]);
    assert_eq!(world.status()["next"][0], command);
}

#[test]
fn the_output_of_several_attempts_is_told_apart() {
    let world = World::new();
    world.write(
        "plan.yaml",
        "upledger: 1\nname: two\nphases:\n  - phase: all\n    steps:\n      - {id: a, do: {shell: echo forwards}, effect: idempotent, undo: {shell: echo backwards, effect: idempotent}}\n",
    );
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
    let alone = world.upledger(&["log", "--output", "a"]).out;
    assert_eq!(alone, "forwards\n");
    assert_eq!(world.upledger(&["rollback", "--reason", "x"]).code, 5);
    let both = world.upledger(&["log", "--output", "a"]).out;
    let lines: Vec<&str> = both.lines().collect();
    assert!(lines[0].starts_with("--- a, attempt 1, at "), "{both}");
    assert_eq!(lines[1], "forwards");
    assert!(
        lines[2].starts_with("--- undo of a, attempt 1, at "),
        "{both}"
    );
    assert_eq!(lines[3], "backwards");
    let json = world.upledger(&["log", "--output", "a", "--json"]).out;
    assert!(json.contains(r#""way":"undo""#), "{json}");
}

#[test]
fn a_preview_ends_like_a_run_that_would_be_refused() {
    let world = World::new();
    world.write(
        "plan.yaml",
        "upledger: 1\nname: one\nphases:\n  - phase: all\n    steps:\n      - {id: a, do: {shell: 'true'}, effect: pure}\n",
    );
    assert_eq!(world.upledger(&["plan", "plan.yaml"]).code, 0);
    let checked = world.upledger(&["check", "plan.yaml"]).out;
    assert!(checked.contains(": 1 step, digest "), "{checked}");
    std::fs::create_dir(world.state()).expect("made");
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(world.state(), open).expect("changed");
    let run = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(run.code, 2, "{run:?}");
    let plan = world.upledger(&["plan", "plan.yaml", "--out", "resolved.yaml"]);
    assert_eq!(plan.code, 3, "{plan:?}");
    has(&plan, &["`run` would refuse: ", "chmod go="]);
    assert!(!world.path("resolved.yaml").exists());
    let json = world.upledger(&["plan", "plan.yaml", "--json"]);
    assert_eq!(json.code, 3, "{json:?}");
    let value: serde_json::Value = serde_json::from_str(json.out.trim()).expect("JSON");
    assert_eq!(value["refusals"].as_array().map(Vec::len), Some(1));
    // A directory without a ledger says what to do.
    let private = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(world.state(), private).expect("changed");
    assert_eq!(world.upledger(&["plan", "plan.yaml"]).code, 0);
    let status = world.upledger(&["status"]);
    assert_eq!(status.code, 2, "{status:?}");
    assert!(status.err.contains("upledger run PLAN"), "{status:?}");
}

#[test]
fn a_mistyped_checkpoint_is_suspected_too() {
    let world = failed();
    let json = world.upledger(&["verify", "--json"]).out;
    let value: serde_json::Value = serde_json::from_str(json.trim()).expect("JSON");
    let note = value["checkpoint"]
        .as_str()
        .expect("a checkpoint")
        .to_owned();
    world.write("right", &note);
    let right = world.upledger(&["verify", "--checkpoint", "right"]);
    assert_eq!(right.code, 0, "{right:?}");
    has(&right, &["1 given"]);
    let mut lines: Vec<String> = note.lines().map(str::to_owned).collect();
    let size: u64 = lines[1].parse().expect("a number");
    let root = lines[2].clone();
    lines[1] = (size + 10).to_string();
    world.write("more", &(lines.join("\n") + "\n"));
    lines[1] = (size - 1).to_string();
    world.write("fewer", &(lines.join("\n") + "\n"));
    for file in ["more", "fewer"] {
        let done = world.upledger(&["verify", "--checkpoint", file]);
        assert_eq!(done.code, 7, "{done:?}");
        has(
            &done,
            &[
                "CHECKPOINT MISMATCH",
                "1 given (0 of them match)",
                "file is mistyped: its size or its root",
                &root,
                "compare the file",
            ],
        );
        assert!(!done.out.contains("DAMAGED"), "{done:?}");
    }
}

#[test]
fn a_password_under_a_short_key_is_one() {
    let world = World::new();
    world.write(
        "plan.yaml",
        "upledger: 1\nname: one\nphases:\n  - phase: all\n    steps:\n      - {id: a, do: {run: ['true']}, env: {PW: hunter2}, effect: pure}\n",
    );
    let done = world.upledger(&["check", "plan.yaml"]);
    assert_eq!(done.code, 3, "{done:?}");
    assert!(!done.err.contains("hunter2"), "{done:?}");
    let usage = world.upledger(&["decide"]).err;
    assert!(usage.contains("done|retry|skip|fail"), "{usage}");
}
