//! What people and programs see and say: exit codes, objects for programs, remedies; and a terminal that misbehaves.

use crate::common::{Done, World, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const BROKEN: &str = r#"
upledger: 1
name: broken
phases:
  - phase: all
    steps:
      - {id: first, do: {shell: "echo first >> @/trace"}, on_doubt: ask, undo: {shell: "echo undo >> @/trace"}}
      - {id: second, do: {shell: "echo seen; exit 3"}, on_doubt: ask, undo: none}
"#;
const GOOD: &str = r#"
upledger: 1
name: good
phases:
  - phase: all
    steps:
      - {id: first, do: {shell: "echo first >> @/trace"}, on_doubt: ask, undo: {shell: "echo undo >> @/trace"}}
"#;
const SLOW: &str = r#"
upledger: 1
name: slow
phases:
  - phase: all
    steps:
      - {id: slow, do: {shell: "echo slow >> @/trace; while [ ! -e @/go ]; do sleep 0.05; done; echo ended >> @/trace"}, on_doubt: ask, undo: none}
      - {id: next, do: {shell: "echo next >> @/trace"}, on_doubt: ask, undo: none}
"#;

fn world(plan: &str) -> World {
    let world = World::new();
    world.write("plan.yaml", plan);
    world
}

/// Every line is an object; the last one tells the exit code.
fn objects(done: &Done) -> Vec<Value> {
    let lines: Vec<Value> = done
        .out
        .lines()
        .map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}\n{done:?}")))
        .collect();
    let last = lines.last().unwrap_or_else(|| panic!("nothing: {done:?}"));
    assert_eq!(last["exit"], done.code, "{done:?}");
    assert!(last.get("code").is_none(), "{done:?}");
    lines
}

fn json(world: &World, args: &[&str]) -> Vec<Value> {
    let args: Vec<&str> = ["--json"].iter().chain(args).copied().collect();
    objects(&world.upledger(&args))
}

/// The program by a shell that first says something to the system.
fn by_shell(world: &World, before: &str, args: &[&str]) -> Done {
    let program = world.command(args);
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", &format!("{before}; exec \"$0\" \"$@\"")])
        .arg(program.get_program())
        .args(program.get_args())
        .envs(program.get_envs().filter_map(|(k, v)| Some((k, v?))))
        .current_dir(world.path(""));
    Done::of(shell.output().expect("a shell"))
}

#[test]
fn every_command_ends_with_an_object_that_tells_the_exit_code() {
    let world = world(BROKEN);
    for args in [
        &[][..],
        &["--bogus"],
        &["nope"],
        &["--help"],
        &["--version"],
        &["note", ""],
        &["abort", "--reason", " "],
        &["status"],
        &["init", "new.yaml"],
        &["init", "new.yaml"],
        &["schema"],
        &["check", "plan.yaml"],
        &["check", "nope.yaml"],
        &["plan", "plan.yaml"],
        &["plan", "plan.yaml", "--out", "resolved.json"],
        &["run", "nope.yaml"],
        &["run", "plan.yaml"],
        &["run", "plan.yaml"],
        &["status"],
        &["resume"],
        &["runs"],
        &["log"],
        &["log", "--output", "second"],
        &["replay", "--at", "3"],
        &["note", "hello"],
        &["kill-step", "--reason", "none runs"],
        &["decide", "first", "done", "--reason", "wrong"],
        &["decide", "second", "retry", "--reason", "again"],
        &["pause", "--reason", "lunch"],
        &["resume"],
        &["rollback", "--reason", "enough"],
        &["rollback"],
        &["abort", "--reason", "late"],
        &["verify"],
        &["verifier"],
        &["report", "--out", "report.html"],
        &["report", "--runs", "..", "--out", "runs.html"],
        &["export", "--jsonl", "--out", "events.jsonl"],
        &["completion", "bash"],
        &["man"],
        &["man", "--dir", "pages"],
        &["explain"],
        &["explain", "nope"],
        &["help"],
        &["help", "run"],
        &["ledger", "restored", "--reason", "none"],
    ] {
        json(&world, args);
    }
    let done = world.upledger(&["--json", "export", "--jsonl"]);
    assert_eq!(done.out, world.upledger(&["export", "--jsonl"]).out);
    let beside: Value = serde_json::from_str(&done.err).expect("an object");
    assert_eq!(beside["exit"], 0);
}

#[test]
fn a_question_for_programs_holds_its_evidence_and_the_commands_that_answer_it() {
    let world = world(BROKEN);
    for args in [&["run", "plan.yaml"][..], &["resume"], &["status"]] {
        let lines = json(&world, args);
        let last = lines.last().expect("a result");
        assert_eq!(last["question"]["evidence"][0], "seen", "{args:?}: {last}");
        let next: Vec<&str> = last["next"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        assert!(
            next.contains(&"upledger decide second retry --reason '...'"),
            "{next:?}"
        );
        assert!(
            next.contains(&"upledger rollback --reason '...'"),
            "{next:?}"
        );
    }
}

#[test]
fn characters_and_lines_come_whole_although_the_step_prints_them_in_pieces() {
    let script = r"printf '\345\215'; sleep 1.5; printf '\207\347\272\247 be'; sleep 1.5; printf 'gins\nlast'";
    let plan = GOOD.replace("echo first >> @/trace", &script.replace('\\', "\\\\"));
    let first = world(&plan);
    let outputs = |lines: Vec<Value>| -> Vec<String> {
        let texts = lines.iter().filter_map(|l| l["output"].as_str());
        texts.map(str::to_owned).collect()
    };
    let run = outputs(json(&first, &["run", "plan.yaml"]));
    assert_eq!(run, ["升级 begins\n", "last"]);
    let log = outputs(json(&first, &["log", "--output", "first"]));
    assert_eq!(log.concat(), "升级 begins\nlast");

    let done = world(&plan).upledger(&["run", "plan.yaml"]);
    let shown: Vec<&str> = done.out.lines().filter(|l| l.contains("| ")).collect();
    assert_eq!(
        shown,
        ["          | 升级 begins", "          | last"],
        "{done:?}"
    );
}

/// Standard output that somebody holds open and nobody reads.
fn unread(world: &World) -> std::fs::File {
    let fifo = world.path("unread");
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("mkfifo").success());
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(fifo)
        .expect("opened")
}

#[test]
fn a_reader_that_does_not_read_neither_stops_a_run_nor_makes_it_deaf() {
    let loud = SLOW.replace("echo slow >>", "seq 40000; echo slow >>");
    let first = world(&loud);
    first.write("go", "");
    let fifo = unread(&first);
    let mut command = first.command(&["run", "plan.yaml"]);
    command.stdout(fifo.try_clone().expect("a second handle"));
    command.stderr(fifo.try_clone().expect("a third"));
    let mut runner = command.spawn().expect("it starts");
    assert_eq!(runner.wait().expect("it ends").code(), Some(0));
    assert_eq!(first.lines("trace"), ["slow", "ended", "next"]);

    let second = world(&loud);
    let fifo = unread(&second);
    let mut command = second.command(&["run", "plan.yaml"]);
    command.stdout(fifo.try_clone().expect("a second handle"));
    let mut runner = command.spawn().expect("it starts");
    eventually("the step has begun", || second.lines("trace") == ["slow"]);
    // Not even a page more fits in: whoever writes there waits.
    let room = rustix::pipe::fcntl_getpipe_size(&fifo).expect("a pipe") - 4096;
    eventually("the pipe is full", || {
        let held = rustix::io::ioctl_fionread(&fifo).expect("a pipe");
        held >= u64::try_from(room).expect("a size")
    });
    kill_process(Pid::from_child(&runner), Signal::TERM).expect("it lives");
    assert_eq!(runner.wait().expect("it ends").code(), Some(11));
    second.write("go", "");
    assert_eq!(second.upledger(&["resume"]).code, 0);
}

#[test]
fn a_late_reader_is_told_how_much_was_dropped_and_gets_the_result() {
    let world = world(
        &GOOD
            .replace("echo first >> @/trace", "head -c 3000000 /dev/zero | tr '\\\\0' x")
            .replace(
                "    steps:",
                "    steps:\n      - {id: zero, do: {shell: \"head -c 3000000 /dev/zero | tr '\\\\0' y; echo zero >> @/trace\"}, on_doubt: ask, undo: none}\n      - {id: more, do: {shell: \"head -c 3000000 /dev/zero | tr '\\\\0' z\"}, on_doubt: ask, undo: none}",
            ),
    );
    let mut runner = world
        .command(&["--json", "run", "plan.yaml"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    eventually("the run is over", || world.status()["state"] == "completed");
    let mut out = String::new();
    let mut pipe = runner.stdout.take().expect("a pipe");
    pipe.read_to_string(&mut out).expect("text");
    let code = runner.wait().expect("it ends").code();
    let lines = objects(&Done {
        code: code.unwrap_or(-1),
        out,
        err: String::new(),
    });
    assert!(lines.iter().any(|l| l["dropped"].as_u64() > Some(0)));
    let last = lines.last().expect("a result");
    assert_eq!(last["state"], "completed");
}

#[test]
fn limits_of_the_system_are_errors_with_a_code_and_never_a_panic() {
    // Which file is the first that cannot be opened depends on the limit and on what was inherited, so every limit
    // from the one at which the program cannot be loaded to the one that is enough is tried.
    let mut codes = BTreeSet::new();
    for files in 5..30 {
        let world = world(GOOD);
        // Its ledger may be a file that was only just made.
        world.damages_its_ledger();
        let done = by_shell(&world, &format!("ulimit -n {files}"), &["run", "plan.yaml"]);
        codes.insert(done.code);
        assert!(!done.err.contains("panicked"), "{files}: {done:?}");
        if done.code == 0 {
            assert_eq!(world.lines("trace"), ["first"], "{files}: {done:?}");
        } else {
            let said = format!("{}{}", done.out, done.err);
            assert!([1, 2, 8, 127].contains(&done.code), "{files}: {done:?}");
            assert!(said.contains("oo many open files"), "{files}: {done:?}");
            assert!(world.lines("trace").is_empty(), "{files}: it had begun");
        }
    }
    assert!(codes.contains(&2) && codes.contains(&0), "{codes:?}");

    let second = world(GOOD);
    second.damages_its_ledger();
    let done = by_shell(&second, "ulimit -f 10", &["run", "plan.yaml"]);
    assert_eq!(done.code, 8, "{done:?}");
    assert!(second.lines("trace").is_empty());
}

#[test]
fn a_memory_in_the_wrong_place_is_a_mistake_of_use_with_a_remedy() {
    let world = world(GOOD);
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
    world.write("file", "");
    for memory in ["state/memory", "file"] {
        for args in [&["status"][..], &["note", "x"], &["run", "plan.yaml"]] {
            let done = world
                .command(args)
                .env("UPLEDGER_MEMORY", world.path(memory))
                .output();
            let done = Done::of(done.expect("it starts"));
            assert_eq!(done.code, 2, "{memory} {args:?}: {done:?}");
            assert!(done.err.contains("UPLEDGER_MEMORY"), "{done:?}");
        }
    }
    assert_eq!(world.lines("trace"), ["first"]);
}

#[test]
fn what_is_not_there_or_not_possible_is_not_called_damaged() {
    let world = world(GOOD);
    let made = std::fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut { made }, 0o700)
        .create(world.state())
        .expect("made");
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(world.state().join("ledger.db"))
        .expect("made");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    file.set_permissions(private).expect("private");
    for args in [&["status"][..], &["verify"]] {
        let done = world.upledger(args);
        assert_eq!(done.code, 2, "{args:?}: {done:?}");
    }
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
    let restored = &["ledger", "restored", "--reason", "why not"];
    assert_eq!(world.upledger(restored).code, 13);
    assert_eq!(world.upledger(&["rollback", "--to", "nope"]).code, 2);
    // A ledger that was emptied is not one that was never made.
    let ledger = world.state().join("ledger.db");
    let kept = std::fs::read(&ledger).expect("readable");
    std::fs::write(&ledger, "").expect("emptied");
    assert_eq!(world.upledger(&["verify"]).code, 7);
    std::fs::write(&ledger, kept).expect("restored");
}

#[test]
fn a_jobs_that_is_no_directory_of_ours_is_refused_before_anything_is_recorded() {
    for link in [false, true] {
        let world = world(BROKEN);
        assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
        let retry = &["decide", "second", "retry", "--reason", "again"];
        assert_eq!(world.upledger(retry).code, 0);
        let jobs = world.state().join("jobs");
        std::fs::rename(&jobs, world.path("away")).expect("moved");
        if link {
            symlink(world.path("away"), &jobs).expect("linked");
        } else {
            std::fs::write(&jobs, "").expect("written");
        }
        let before = world.upledger(&["log"]).out;
        let done = world.upledger(&["resume"]);
        assert_eq!(done.code, 2, "{done:?}");
        assert!(done.err.contains("move"), "{done:?}");
        assert_eq!(world.upledger(&["log"]).out, before);
        std::fs::remove_file(&jobs).expect("removed");
        assert_eq!(world.upledger(&["resume"]).code, 1);
    }
}

#[test]
fn the_lock_of_the_runner_follows_no_link() {
    let world = world(GOOD);
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
    let lock = world.state().join("runner.lock");
    std::fs::remove_file(&lock).expect("removed");
    world.write("precious", "precious");
    symlink(world.path("precious"), &lock).expect("linked");
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 2);
    assert_eq!(world.lines("precious"), ["precious"]);
    assert_eq!(world.upledger(&["status"]).code, 0);
}

#[test]
fn a_plan_that_is_no_regular_file_is_refused_at_once() {
    let world = World::new();
    let fifo = world.path("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("mkfifo").success());
    for args in [&["check", "fifo"][..], &["run", "fifo"], &["check", "."]] {
        assert_eq!(world.upledger(args).code, 2, "{args:?}");
    }
}

#[test]
fn a_path_that_is_no_text_is_a_mistake_of_use() {
    use std::os::unix::ffi::OsStrExt;
    let world = World::new();
    let bad = std::ffi::OsStr::from_bytes(b"/tmp/upledger-\xff");
    let mut by_option = world.command(&["status", "--state"]);
    by_option.arg(bad);
    let mut by_variable = world.command(&["status"]);
    by_variable.env("UPLEDGER_STATE", bad);
    for mut command in [by_option, by_variable] {
        let done = Done::of(command.output().expect("it starts"));
        assert_eq!(done.code, 2, "{done:?}");
        assert!(done.err.contains("UTF-8"), "{done:?}");
    }
}

#[test]
fn an_empty_reason_or_remark_is_refused() {
    let world = world(BROKEN);
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    for args in [
        &["note", ""][..],
        &["note", "  "],
        &["pause", "--reason", ""],
        &["abort", "--reason", ""],
        &["rollback", "--reason", " "],
        &["decide", "second", "retry", "--reason", ""],
    ] {
        assert_eq!(world.upledger(args).code, 2, "{args:?}");
    }
}

#[test]
fn an_answer_that_was_not_offered_is_told_what_can_be_answered() {
    let world =
        world(&BROKEN.replace("undo: none}", "undo: {point_of_no_return: \"it is sent\"}}"));
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    assert_eq!(world.upledger(&["rollback"]).code, 6);
    let done = world.upledger(&["decide", "second", "done", "--reason", "x"]);
    assert_eq!(done.code, 13, "{done:?}");
    assert!(done.err.contains("upledger decide second skip"), "{done:?}");
}

#[test]
fn a_question_behind_a_pause_names_the_command_that_comes_first() {
    let world = world(BROKEN);
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    assert_eq!(world.upledger(&["pause", "--reason", "lunch"]).code, 0);
    let status = world.upledger(&["status"]).out;
    assert!(status.contains("upledger resume"), "{status}");
    assert_eq!(world.upledger(&["resume"]).code, 1);
}

#[test]
fn quiet_still_tells_how_the_run_rests() {
    let good = world(GOOD);
    let done = good.upledger(&["--quiet", "run", "plan.yaml"]);
    assert!(done.out.contains("completed"), "{done:?}");
    assert_eq!(done.out.lines().count(), 1, "{done:?}");

    let broken = world(BROKEN);
    let done = broken.upledger(&["--quiet", "run", "plan.yaml"]);
    assert!(done.out.contains("decide second retry"), "{done:?}");

    let slow = world(SLOW);
    let runner = slow
        .command(&["--quiet", "run", "plan.yaml"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    eventually("the step has begun", || slow.lines("trace") == ["slow"]);
    assert_eq!(slow.upledger(&["pause", "--reason", "lunch"]).code, 0);
    slow.write("go", "");
    let done = Done::of(runner.wait_with_output().expect("it ends"));
    assert_eq!(done.code, 4);
    assert!(done.out.contains("lunch"), "{done:?}");
}

#[test]
fn a_second_rollback_does_not_reach_for_the_run_before() {
    let world = world(GOOD);
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
    assert_eq!(world.rollback().code, 5);
    let done = world.rollback();
    assert_eq!(done.code, 13, "{done:?}");
    assert_eq!(world.lines("trace"), ["first", "first", "undo"]);
    let runs = world.upledger(&["runs"]).out;
    let first = runs
        .lines()
        .nth(1)
        .and_then(|l| l.split_whitespace().next());
    let first = first.expect("a run, below the names of the columns");
    assert!(
        done.err.contains(&format!("upledger rollback {first}")),
        "{done:?}"
    );
    assert_eq!(
        world.upledger(&["rollback", first, "--reason", "x"]).code,
        5
    );
}

#[test]
fn aborts_at_the_same_time_agree() {
    let world = world(SLOW);
    let mut runner = world.start(&["run", "plan.yaml"]);
    eventually("the step has begun", || world.lines("trace") == ["slow"]);
    runner.kill().expect("it lives");
    runner.wait().expect("it is dead");
    world.write("go", "");
    let mut aborts: Vec<_> = (0..6)
        .map(|_| world.start(&["abort", "--reason", "given up"]))
        .collect();
    let codes: Vec<i32> = aborts
        .iter_mut()
        .map(|a| a.wait().expect("it ends").code().unwrap_or(-1))
        .collect();
    // 13 is for those that came after the end, whose abort is not recorded.
    assert!(codes.iter().all(|c| [0, 12, 13].contains(c)), "{codes:?}");
    assert!(codes.contains(&12), "{codes:?}");
    let log = world.upledger(&["log"]).out;
    let recorded = log.lines().filter(|l| l.contains("given up")).count();
    let said = codes.iter().filter(|c| **c != 13).count();
    assert_eq!(recorded, said, "{codes:?}\n{log}");
    assert_eq!(world.status()["state"], "aborted");
}

#[test]
fn an_abort_is_recorded_and_carried_out_whoever_has_the_lock_for_a_moment() {
    let locked = || {
        let world = world(BROKEN);
        assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
        let lock = std::fs::File::open(world.state().join("runner.lock")).expect("there");
        (world, lock)
    };
    let abort = &["abort", "--reason", "given up"];
    // Somebody has it all the time, and will see the abort.
    let (first, lock) = locked();
    lock.lock_shared().expect("free");
    let done = first.upledger(abort);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("the runner ends the run"), "{done:?}");
    drop(lock);
    // Somebody leaves without having seen it.
    let (second, lock) = locked();
    lock.lock().expect("free");
    let mut aborting = second.start(abort);
    eventually("the abort is recorded", || {
        second.upledger(&["log"]).out.contains("given up")
    });
    assert!(aborting.try_wait().expect("a child").is_none(), "it waits");
    drop(lock);
    assert_eq!(aborting.wait().expect("it ends").code(), Some(12));
    assert_eq!(second.status()["state"], "aborted");
}

const SECRET: &str = r#"
upledger: 1
name: secret
secrets: {db: {command: [/bin/sh, -c, "echo asked >> @/asked; [ ! -e @/none ] || exit 1; [ ! -e @/hang ] || exec sleep 600; cat @/value"]}}
phases:
  - phase: all
    steps:
      - {id: uses, do: {shell: "exit 3"}, env: {DB: {secret: db}}, on_doubt: ask, undo: none}
"#;

fn secretive(plan: &str) -> World {
    let world = world(plan);
    world.write("value", "s3cret-value");
    world
}

#[test]
fn the_command_of_a_secret_is_asked_once_a_run() {
    let world = secretive(SECRET);
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    assert_eq!(world.lines("asked").len(), 1);
    let retry = &["decide", "uses", "retry", "--reason", "again"];
    assert_eq!(world.upledger(retry).code, 0);
    let before = world.lines("asked").len();
    assert_eq!(world.upledger(&["resume"]).code, 1);
    assert_eq!(world.lines("asked").len(), before + 1);
}

#[test]
fn nothing_is_recorded_when_the_secrets_cannot_be_read_and_an_abort_needs_none() {
    let world = secretive(&SECRET.replace("undo: none", "undo: {run: ['true']}"));
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    let retry = &["decide", "uses", "retry", "--reason", "again"];
    assert_eq!(world.upledger(retry).code, 0);
    world.write("none", "");
    let before = world.upledger(&["log"]).out;
    for args in [&["resume"][..], &["rollback"]] {
        let done = world.upledger(args);
        assert_eq!(done.code, 4, "{done:?}");
        assert!(done.err.contains("nothing was started"), "{done:?}");
    }
    assert_eq!(world.upledger(&["log"]).out, before);
    std::fs::remove_file(world.path("none")).expect("removed");
    world.write("hang", "");
    let begun = Instant::now();
    assert_eq!(world.upledger(&["abort", "--reason", "no way"]).code, 12);
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(world.status()["state"], "aborted");
}

#[test]
fn a_secret_in_the_plan_is_named_with_its_place() {
    let world = secretive(&SECRET.replace("exit 3", "echo s3cret-value"));
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 3, "{done:?}");
    assert!(done.err.contains("secret db"), "{done:?}");
    assert!(done.err.contains("steps.uses.do"), "{done:?}");
    assert!(!done.err.contains("s3cret-value"), "{done:?}");
    assert!(!world.state().exists());
}
