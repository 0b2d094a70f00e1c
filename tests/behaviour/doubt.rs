//! What is lost or still alive: nothing is started beside a step that may still run, and lost evidence is never taken for
//! a proof.

use crate::common::{World, eventually, kill, send};
use rustix::process::Signal;
use std::process::Child;

const STEP: &str = r#"
upledger: 1
name: doubt
phases:
  - phase: all
    steps:
      - id: one
        do: {shell: "echo start >> @/effects; while [ ! -e @/go ]; do sleep 0.05; done; echo end >> @/effects"}
        effect: EFFECT
        on_doubt: retry
        probe: {run: [test, -e, "@/never"]}
        undo: {shell: "echo undo >> @/effects", effect: idempotent}
        MORE
      - {id: two, do: {shell: "echo two >> @/effects"}, on_doubt: ask, undo: none}
"#;

/// A run whose step is running.
fn running(effect: &str, more: &str) -> (World, Child) {
    let world = World::new();
    world.write(
        "plan.yaml",
        &STEP.replace("EFFECT", effect).replace("MORE", more),
    );
    let runner = world.start(&["run", "plan.yaml"]);
    eventually("the step has begun", || world.lines("effects") == ["start"]);
    world.await_step("one", "running");
    (world, runner)
}

fn dead(mut child: Child) {
    child.kill().expect("it lives");
    child.wait().expect("it is dead");
}

/// The same, with runner and supervisor killed and the step's processes alive.
fn orphaned(effect: &str, more: &str) -> World {
    let (world, runner) = running(effect, more);
    dead(runner);
    kill(*world.supervisors().first().expect("a supervisor"));
    eventually("the supervisor is gone", || world.supervisors().is_empty());
    world
}

/// A resume, and what it says in the file `screen`.
fn resume(world: &World) -> Child {
    let screen = std::fs::File::create(world.path("screen")).expect("made");
    let mut command = world.command(&["resume"]);
    command.stdout(screen).spawn().expect("it starts")
}

/// The resume says that it waits for processes of the step.
fn says_that_it_waits(world: &World) -> bool {
    let screen = world.lines("screen");
    let told = screen
        .iter()
        .filter(|l| l.contains("it is still running: process "));
    told.count() == 1
}

fn asks_about_a_doubt(world: &World) {
    let status = world.status();
    assert_eq!(status["question"]["kind"], "doubt", "{status:#}");
    assert_eq!(status["steps"][0]["do"]["attempts"], 1, "{status:#}");
}

fn the_job(world: &World) -> std::path::PathBuf {
    let mut jobs = std::fs::read_dir(world.state().join("jobs")).expect("jobs");
    jobs.next().expect("a job").expect("an entry").path()
}

#[test]
fn a_job_directory_that_vanished_is_a_question_for_every_kind_of_step() {
    for effect in ["idempotent", "probed", "unsafe"] {
        let (world, runner) = running(effect, "");
        dead(runner);
        std::fs::remove_dir_all(world.state().join("jobs")).expect("removed");
        assert_eq!(world.upledger(&["resume"]).code, 4, "{effect}");
        asks_about_a_doubt(&world);
        // Nothing may happen beside it: neither a rollback nor the end of the run.
        assert_eq!(world.upledger(&["rollback", "--reason", "x"]).code, 13);
        assert_eq!(world.upledger(&["abort", "--reason", "x"]).code, 4);
        world.write("go", "");
        eventually("it goes on by itself", || world.lines("effects").len() == 2);
        assert_eq!(world.lines("effects"), ["start", "end"]);
    }
}

#[test]
fn a_start_token_or_a_lock_that_vanished_is_no_proof_either() {
    for file in ["start", "shim.lock", "tree.lock", "spec"] {
        let (world, runner) = running("idempotent", "");
        dead(runner);
        std::fs::remove_file(the_job(&world).join(file)).expect("removed");
        let mut resumed = resume(&world);
        // Where a lock tells that it lives, it is waited for; in the end a person is asked.
        eventually("it has looked", || {
            let waits = |l: &String| l.contains("it is still running: ");
            resumed.try_wait().expect("a child").is_some()
                || world.lines("screen").iter().any(waits)
        });
        assert_eq!(world.lines("effects"), ["start"], "{file}");
        world.write("go", "");
        assert_eq!(resumed.wait().expect("it ends").code(), Some(4), "{file}");
        asks_about_a_doubt(&world);
        eventually("it has ended", || {
            world.lines("effects") == ["start", "end"]
        });
    }
}

#[test]
fn processes_that_outlive_their_supervisor_hold_everything_back() {
    for effect in ["idempotent", "probed"] {
        let world = orphaned(effect, "");
        let mut resumed = resume(&world);
        eventually("it waits", || says_that_it_waits(&world));
        assert_eq!(
            world.lines("effects"),
            ["start"],
            "{effect}: nothing beside it"
        );
        assert!(resumed.try_wait().expect("a child").is_none());
        world.write("go", "");
        assert_eq!(resumed.wait().expect("it ends").code(), Some(0));
        assert_eq!(
            world.lines("effects"),
            ["start", "end", "start", "end", "two"]
        );
    }
}

#[test]
fn an_orphans_time_limit_is_still_enforced() {
    let world = orphaned("unsafe", "timeout: 2s");
    // Its probe saw nothing done, so it is tried once more, and its new supervisor ends that attempt in time.
    assert_eq!(world.upledger(&["resume"]).code, 1);
    assert_eq!(world.lines("effects"), ["start", "start"]);
    let log = world.upledger(&["log"]).out;
    assert!(
        log.contains("its time limit passed, and its supervisor has exited"),
        "{log}"
    );
}

#[test]
fn who_waits_for_an_orphan_says_for_whom() {
    let world = orphaned("unsafe", "");
    let mut resumed = resume(&world);
    eventually("the process is named", || says_that_it_waits(&world));
    world.write("go", "");
    assert_eq!(resumed.wait().expect("it ends").code(), Some(0));
    assert!(says_that_it_waits(&world), "once");
}

#[test]
fn an_orphan_can_be_killed_on_request() {
    let world = orphaned("unsafe", "");
    let mut resumed = resume(&world);
    eventually("somebody waits for it", || says_that_it_waits(&world));
    assert_eq!(
        world.upledger(&["kill-step", "--reason", "it hangs"]).code,
        0
    );
    eventually("it was started again", || {
        world.lines("effects") == ["start", "start"]
    });
    world.write("go", "");
    assert_eq!(resumed.wait().expect("it ends").code(), Some(0));
    assert_eq!(world.lines("effects"), ["start", "start", "end", "two"]);
}

#[test]
fn an_interrupt_is_not_lost_when_somebody_else_writes() {
    let (world, mut runner) = running("unsafe", "");
    for note in ["a", "b", "c"] {
        assert_eq!(world.upledger(&["note", note]).code, 0);
    }
    send(i32::try_from(runner.id()).expect("a pid"), Signal::INT);
    eventually("the pause is recorded", || {
        world.upledger(&["log"]).out.contains("interrupted")
    });
    world.write("go", "");
    assert_eq!(runner.wait().expect("it ends").code(), Some(4));
    assert_eq!(
        world.lines("effects"),
        ["start", "end"],
        "the next step was not started"
    );
}

#[test]
fn a_kill_before_the_start_is_not_lost() {
    let world = World::new();
    world.write(
        "plan.yaml",
        &STEP
            .replace("EFFECT", "unsafe")
            .replace("MORE", "retry: {times: 2, wait: 0s}"),
    );
    world.write("go", "");
    let mut runner = world
        .command(&["run", "plan.yaml"])
        .env("UPLEDGER_FAILPOINT", "stop=one/after-lock")
        .spawn()
        .expect("the program starts");
    let supervisor = world.stopped_supervisor();
    assert_eq!(
        world.upledger(&["kill-step", "--reason", "stop it"]).code,
        0
    );
    send(supervisor, Signal::CONT);
    assert_eq!(runner.wait().expect("it ends").code(), Some(1));
    assert!(
        world.lines("effects").is_empty(),
        "it was never started, nor tried again"
    );
}

#[test]
fn a_runner_that_dies_between_directory_and_intent_leaves_nothing_to_ask_about() {
    let world = World::new();
    world.write(
        "plan.yaml",
        &STEP.replace("EFFECT", "unsafe").replace("MORE", ""),
    );
    world.write("go", "");
    let died = world
        .command(&["run", "plan.yaml"])
        .env("UPLEDGER_FAILPOINT", "job-made")
        .status()
        .expect("the program starts");
    assert!(!died.success());
    assert_eq!(world.upledger(&["resume"]).code, 0);
    assert_eq!(world.lines("effects"), ["start", "end", "two"]);
}

#[test]
fn a_retry_wait_hears_an_abort() {
    let world = World::new();
    let plan = r#"
upledger: 1
name: waits
phases:
  - phase: all
    steps:
      - {id: one, do: {run: [/bin/false]}, effect: idempotent, undo: none, retry: {times: 3, wait: 1h}}
"#;
    world.write("plan.yaml", plan);
    let mut runner = world.start(&["run", "plan.yaml"]);
    eventually("it has failed once", || {
        world.upledger(&["log"]).out.contains("failed")
    });
    assert_eq!(world.upledger(&["abort", "--reason", "enough"]).code, 0);
    assert_eq!(runner.wait().expect("it ends").code(), Some(12));
}

#[test]
fn remarks_do_not_keep_an_outcome_from_being_recorded() {
    let world = World::new();
    let plan = r#"
upledger: 1
name: remarks
phases:
  - phase: all
    steps:
      - {id: one, do: {run: [/bin/true]}, verify: {shell: "echo look >> @/looks; while [ ! -e @/go ]; do sleep 0.05; done"}, on_doubt: ask, undo: none}
"#;
    world.write("plan.yaml", plan);
    let mut runner = world.start(&["run", "plan.yaml"]);
    eventually("it looks", || !world.lines("looks").is_empty());
    for _ in 0..5 {
        assert_eq!(world.upledger(&["note", "still here"]).code, 0);
    }
    world.write("go", "");
    assert_eq!(runner.wait().expect("it ends").code(), Some(0));
    assert_eq!(world.lines("looks"), ["look"], "the look was made once");
}

#[test]
fn a_rollback_asks_about_the_lost_step_itself_and_goes_on_after_the_answer() {
    let (world, runner) = running("idempotent", "");
    dead(runner);
    kill(*world.supervisors().first().expect("a supervisor"));
    world.write("go", "");
    eventually("it has ended", || world.lines("effects").len() == 2);
    std::fs::remove_dir_all(world.state().join("jobs")).expect("removed");
    let asked = world.upledger(&["rollback", "--reason", "x"]);
    assert_eq!(asked.code, 4, "{asked:?}");
    assert_eq!(world.status()["question"]["way"], "do");
    let decided = world.upledger(&["decide", "one", "fail", "--reason", "x"]);
    assert_eq!(decided.code, 0, "{decided:?}");
    assert_eq!(world.upledger(&["resume"]).code, 5);
    assert_eq!(world.lines("effects"), ["start", "end", "undo"]);
}

#[test]
fn living_children_prove_a_start_whose_token_is_gone() {
    let world = orphaned("unsafe", "");
    std::fs::remove_file(the_job(&world).join("start")).expect("removed");
    assert_eq!(world.upledger(&["resume"]).code, 4);
    asks_about_a_doubt(&world);
    world.write("go", "");
    eventually("it has ended", || {
        world.lines("effects") == ["start", "end"]
    });
}

#[test]
fn something_else_in_the_place_of_the_job_directory_is_a_question() {
    let (world, runner) = running("unsafe", "");
    dead(runner);
    let job = the_job(&world);
    let aside = world.path("aside");
    std::fs::rename(&job, &aside).expect("moved");
    std::os::unix::fs::symlink(&aside, &job).expect("a link");
    assert_eq!(world.upledger(&["resume"]).code, 4);
    asks_about_a_doubt(&world);
    world.write("go", "");
    eventually("it has ended", || {
        world.lines("effects") == ["start", "end"]
    });
}

/// What the menus offer is possible: another definition of a step does not answer what nobody knows.
#[test]
fn a_step_that_was_decided_to_have_failed_is_amended_once_it_may_run_again() {
    let world = World::new();
    let plan = "upledger: 1\nname: amended\nphases:\n  - phase: all\n    steps:\n      - {id: slow, do: {shell: \"echo start >> @/effects; while [ ! -e @/go ]; do sleep 0.05; done\"}, on_doubt: ask, undo: none}\n";
    world.write("plan.yaml", plan);
    let runner = world.start(&["run", "plan.yaml"]);
    eventually("the step has begun", || world.lines("effects") == ["start"]);
    world.await_step("slow", "running");
    dead(runner);
    std::fs::remove_dir_all(world.state().join("jobs")).expect("removed");
    assert_eq!(world.upledger(&["resume"]).code, 4);
    let decide = |word: &str| world.upledger(&["decide", "slow", word, "--reason", "looked"]);
    let failed = decide("fail");
    assert_eq!(failed.code, 0, "{failed:?}");
    let screens = [failed.out, world.upledger(&["status"]).out];
    for screen in &screens {
        assert!(screen.contains("upledger decide slow retry"), "{screen}");
        assert!(!screen.contains("upledger amend"), "{screen}");
        assert!(!screen.contains("not carried out yet"), "{screen}");
    }
    assert!(
        screens[1].contains("recorded: fail for slow (looked)"),
        "{screens:?}"
    );
    world.write(
        "plan.yaml",
        &plan.replace("while [ ! -e @/go ]; do sleep 0.05; done", "true"),
    );
    let amend = ["amend", "plan.yaml", "--reason", "it was too slow"];
    let refused = world.upledger(&amend);
    assert_eq!(refused.code, 13, "{refused:?}");
    for part in [
        "decide about slow first",
        "upledger decide slow retry --reason",
    ] {
        assert!(refused.err.contains(part), "{part}: {refused:?}");
    }
    assert_eq!(decide("retry").code, 0);
    assert_eq!(world.upledger(&amend).code, 0);
    assert_eq!(world.upledger(&["resume"]).code, 0);
    assert_eq!(world.lines("effects"), ["start", "start"]);
    world.write("go", "");
}

/// A failure that is over is no doubt: the menu offers another plan, which is taken.
#[test]
fn a_step_that_has_failed_may_be_amended_as_its_menu_says() {
    let world = World::new();
    let plan = "upledger: 1\nname: amended\nphases:\n  - phase: all\n    steps:\n      - {id: one, do: {run: [\"false\"]}, on_doubt: ask, undo: none}\n";
    world.write("plan.yaml", plan);
    let run = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.out.contains("upledger amend PLAN"), "{run:?}");
    world.write("plan.yaml", &plan.replace("false", "true"));
    assert_eq!(
        world
            .upledger(&["amend", "plan.yaml", "--reason", "x"])
            .code,
        0
    );
    assert_eq!(world.upledger(&["resume"]).code, 0);
}
