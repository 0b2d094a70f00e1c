//! A person beside the runner: pause, abort, kill-step, note, and signals. Nothing of it kills a step by accident.

use crate::common::{World, eventually};

/// Two steps; the first lasts until the file `go` is there.
const SLOW: &str = r#"
upledger: 1
name: slow
phases:
  - phase: all
    steps:
      - {id: slow, do: {shell: "echo slow >> @/trace; while [ ! -e @/go ]; do sleep 0.05; done; echo ended >> @/trace"}, on_doubt: ask, undo: none}
      - {id: next, do: {shell: "echo next >> @/trace"}, on_doubt: ask, undo: none}
"#;

fn running() -> (World, std::process::Child) {
    let world = World::new();
    world.write("plan.yaml", SLOW);
    let runner = world.start(&["run", "plan.yaml"]);
    eventually("the step has begun", || world.lines("trace") == ["slow"]);
    (world, runner)
}

fn signal(child: &std::process::Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).expect("the runner lives");
}

#[test]
fn pause_stops_before_the_next_step_and_resume_goes_on() {
    let (world, mut runner) = running();
    assert_eq!(world.upledger(&["pause", "--reason", "lunch"]).code, 0);
    assert_eq!(world.upledger(&["note", "seen from outside"]).code, 0);
    world.write("go", "");
    assert_eq!(runner.wait().expect("it ends").code(), Some(4));
    assert_eq!(world.lines("trace"), ["slow", "ended"]);
    assert_eq!(world.status()["state"], "paused");
    assert_eq!(world.upledger(&["resume"]).code, 0);
    assert_eq!(world.lines("trace"), ["slow", "ended", "next"]);
    assert!(world.upledger(&["log"]).out.contains("seen from outside"));
    world.assert_sound();
}

#[test]
fn a_pause_of_a_paused_run_says_so_and_records_nothing() {
    let (world, mut child) = running();
    let pause = ["pause", "--reason", "lunch"];
    assert_eq!(world.upledger(&pause).code, 0);
    let before = world.upledger(&["log", "--json"]).out;
    let again = world.upledger(&["pause", "--reason", "coffee"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.out.contains("already paused (lunch)"), "{again:?}");
    let json = world
        .upledger(&["pause", "--reason", "coffee", "--json"])
        .out;
    assert!(json.contains(r#""recorded":false"#), "{json}");
    let events = |log: &str| log.matches("run.pause_requested").count();
    let after = world.upledger(&["log", "--json"]).out;
    assert_eq!((events(&before), events(&after)), (1, 1));
    assert!(!after.contains("coffee"), "{after}");
    world.write("go", "");
    assert_eq!(child.wait().expect("it ends").code(), Some(4));
    assert_eq!(world.upledger(&pause).code, 0);
    assert_eq!(events(&world.upledger(&["log", "--json"]).out), 1);
}

#[test]
fn who_drives_is_told_with_machine_process_and_local_time() {
    let (world, mut child) = running();
    let mut second = world.command(&["resume"]);
    let second = second
        .env("TZ", "CST-8")
        .env("UPLEDGER_LANG", "zh")
        .output();
    let second = crate::common::Done::of(second.expect("it starts"));
    assert_eq!(second.code, 9, "{second:?}");
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    for part in [host.trim(), &format!("进程 {}", child.id()), "开始于 20"] {
        assert!(second.err.contains(part), "{part}: {second:?}");
    }
    let clock = std::process::Command::new("date")
        .args(["+%Y-%m-%d %H:"])
        .env("TZ", "CST-8")
        .output()
        .expect("date");
    let hour = String::from_utf8_lossy(&clock.stdout).trim().to_owned();
    assert!(second.err.contains(&hour), "{hour}: {second:?}");
    let status = world.upledger(&["status"]).out;
    assert!(
        status.contains(&format!("process {}", child.id())),
        "{status}"
    );
    world.write("go", "");
    assert!(child.wait().expect("it ends").success());
    assert!(!world.upledger(&["status"]).out.contains("run by "));
}

#[test]
fn abort_ends_the_run_with_and_without_a_runner() {
    let (world, mut runner) = running();
    assert_eq!(world.upledger(&["abort", "--reason", "wrong plan"]).code, 0);
    world.write("go", "");
    assert_eq!(runner.wait().expect("it ends").code(), Some(12));
    assert_eq!(world.lines("trace"), ["slow", "ended"]);
    assert_eq!(world.upledger(&["resume"]).code, 13);

    let (world, mut runner) = running();
    runner.kill().expect("it lives");
    runner.wait().expect("it is dead");
    world.write("go", "");
    assert_eq!(world.upledger(&["abort", "--reason", "given up"]).code, 12);
    assert_eq!(world.status()["state"], "aborted");
    world.assert_sound();
}

#[test]
fn kill_step_kills_the_command_and_records_why() {
    let (world, mut runner) = running();
    assert_eq!(
        world.upledger(&["kill-step", "--reason", "it hangs"]).code,
        0
    );
    assert_eq!(runner.wait().expect("it ends").code(), Some(1));
    assert_eq!(world.lines("trace"), ["slow"]);
    let log = world.upledger(&["log"]).out;
    assert!(log.contains("killed on request: it hangs"), "{log}");
    assert_eq!(
        world.upledger(&["kill-step", "--reason", "again"]).code,
        13,
        "no step is running"
    );
    world.assert_sound();
}

#[test]
fn one_interrupt_stops_after_this_step() {
    let (world, mut runner) = running();
    signal(&runner, rustix::process::Signal::INT);
    eventually("the pause is recorded", || {
        world
            .upledger(&["log"])
            .out
            .contains("interrupted at the terminal")
    });
    world.write("go", "");
    assert_eq!(runner.wait().expect("it ends").code(), Some(4));
    assert_eq!(world.lines("trace"), ["slow", "ended"]);
}

#[test]
fn two_interrupts_term_and_hangup_detach_and_the_step_goes_on() {
    use rustix::process::Signal;
    for signals in [
        &[Signal::INT, Signal::INT][..],
        &[Signal::TERM],
        &[Signal::HUP],
    ] {
        let (world, mut runner) = running();
        for (i, s) in signals.iter().enumerate() {
            signal(&runner, *s);
            if i + 1 < signals.len() {
                eventually("the first is seen", || {
                    world.upledger(&["log"]).out.contains("interrupted")
                });
            }
        }
        assert_eq!(runner.wait().expect("it ends").code(), Some(11));
        world.write("go", "");
        eventually("the step ends by itself", || {
            world.lines("trace") == ["slow", "ended"]
        });
        assert_eq!(world.upledger(&["resume"]).code, 0);
        assert_eq!(world.lines("trace"), ["slow", "ended", "next"]);
        world.assert_sound();
    }
}

/// What the kernel does with a signal of this process: the mask `SigIgn` of `proc_pid_status(5)`.
fn ignores(child: &std::process::Child, signal: rustix::process::Signal) -> bool {
    let path = format!("/proc/{}/status", child.id());
    let status = std::fs::read_to_string(path).expect("it lives");
    let mask = status.lines().find_map(|l| l.strip_prefix("SigIgn:"));
    let mask = u64::from_str_radix(mask.expect("a mask").trim(), 16).expect("a number");
    mask >> (signal.as_raw() - 1) & 1 == 1
}

#[test]
fn signals_that_are_ignored_at_the_start_stay_ignored() {
    use rustix::process::Signal;
    for (ignored, number) in [("HUP", Signal::HUP), ("INT", Signal::INT)] {
        let world = World::new();
        world.write("plan.yaml", SLOW);
        let program = world.command(&["run", "plan.yaml"]);
        let mut runner = std::process::Command::new("/bin/sh")
            .args(["-c", &format!("trap '' {ignored}; exec \"$0\" \"$@\"")])
            .arg(program.get_program())
            .args(program.get_args())
            .envs(program.get_envs().filter_map(|(k, v)| Some((k, v?))))
            .current_dir(world.path(""))
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("a shell");
        eventually("the step has begun", || world.lines("trace") == ["slow"]);
        // The kernel drops a signal that is ignored when it is sent: there is nothing to wait for.
        assert!(ignores(&runner, number), "{ignored}");
        for _ in 0..2 {
            signal(&runner, number);
        }
        world.write("go", "");
        assert_eq!(runner.wait().expect("it ends").code(), Some(0), "{ignored}");
        assert_eq!(world.lines("trace"), ["slow", "ended", "next"]);
    }
}

#[test]
fn a_time_limit_kills_and_a_retry_comes_after_it_where_that_is_safe() {
    let plan = r#"
upledger: 1
name: limits
phases:
  - phase: all
    steps:
      - id: hangs
        do: {shell: "echo try >> @/trace; [ $(wc -l < @/trace) -ge 2 ] || sleep 600"}
        effect: EFFECT
        on_doubt: ask
        undo: none
        timeout: 300ms
        retry: {times: 1, wait: 10ms}
"#;
    let run = |effect: &str| {
        let world = World::new();
        world.write("plan.yaml", &plan.replace("EFFECT", effect));
        let done = world.upledger(&["run", "plan.yaml"]);
        assert!(
            done.out
                .contains("time limit exceeded; terminated by signal 15"),
            "{done:?}"
        );
        (done.code, world.lines("trace").len())
    };
    assert_eq!(run("idempotent"), (0, 2));
    assert_eq!(run("unsafe"), (1, 1), "how far it came is not known");
}

#[test]
fn a_closed_pipe_never_stops_a_run() {
    let world = World::new();
    world.write(
        "plan.yaml",
        &SLOW.replace("while [ ! -e @/go ]; do sleep 0.05; done", "seq 100000"),
    );
    let mut runner = world
        .command(&["run", "plan.yaml"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(runner.stdout.take());
    assert_eq!(runner.wait().expect("it ends").code(), Some(0));
    assert_eq!(world.lines("trace"), ["slow", "ended", "next"]);
}

#[test]
fn a_wrong_decision_is_taken_back_until_the_run_goes_on() {
    let world = World::new();
    world.write(
        "plan.yaml",
        r#"
upledger: 1
name: taken back
phases:
  - phase: all
    steps:
      - {id: one, do: {run: [test, -e, "@/go"]}, verify: {run: [test, -e, "@/seen"]}, on_doubt: ask, undo: none}
      - {id: two, do: {run: [test, -e, "@/end"]}, on_doubt: ask, undo: none}
"#,
    );
    let decide = |step: &str, what: &str| {
        let done = world.upledger(&["decide", step, what, "--reason", what]);
        (done.code, format!("{}{}", done.out, done.err))
    };
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    let (code, said) = decide("one", "skip");
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("a new decision replaces it"), "{said}");
    assert_eq!(world.upledger(&["note", "that was wrong"]).code, 0);
    // What is allowed is what was allowed when it was asked.
    assert_eq!(decide("one", "done").0, 13, "its check does not agree");
    assert_eq!(decide("one", "fail").0, 13, "it has failed already");
    assert_eq!(decide("two", "skip").0, 13, "nothing is asked about it");
    assert_eq!(decide("one", "retry").0, 0);
    world.write("go", "");
    world.write("seen", "");
    assert_eq!(world.upledger(&["resume"]).code, 1, "two fails");
    let log = world.upledger(&["log"]).out;
    assert!(
        log.contains("one: skip") && log.contains("one: retry"),
        "{log}"
    );
    assert_eq!(world.status()["steps"][0]["do"]["status"], "done");
    assert_eq!(decide("one", "skip").0, 13, "something has happened on it");
    assert_eq!(decide("two", "retry").0, 0);
    assert_eq!(decide("two", "skip").0, 0);
    assert_eq!(world.upledger(&["resume"]).code, 0);
    assert_eq!(decide("two", "retry").0, 13, "the run has ended");
}
