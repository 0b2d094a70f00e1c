//! Looks that hang: a look before a step, a probe and a preview are given up at once when somebody wants to go, and no
//! process of them is left.

use crate::common::{World, eventually};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::os::unix::fs::PermissionsExt;
use std::process::Child;
use std::time::{Duration, Instant};

/// A client of supervisord that hangs, with a child that hangs too; it writes both numbers down.
const HANGS: &str = "#!/bin/sh\nsleep 600 &\necho $! $$ >> @/hanging\nwait\n";

fn world(plan: &str) -> World {
    let world = World::new();
    let client = world.write("client", HANGS);
    std::fs::set_permissions(&client, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    world.write("plan.yaml", plan);
    world
}

const STOP: &str = "
upledger: 1
name: hangs
phases:
  - phase: all
    steps:
      - {id: web, do: {service.stop: {by: {supervisor: {program: web, ctl: [@/client]}}}}}
";

const PROBE: &str = "
upledger: 1
name: hangs
phases:
  - phase: all
    steps:
      - id: one
        do: {run: [touch, @/effect]}
        probe: {run: [@/client]}
        undo: none
        effect: probed
";

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    kill_process(pid, signal).expect("it lives");
}

/// Ends a command in the middle of its look: how, within a second, and nothing of the look lives.
fn interrupted(world: &World, args: &[&str], with: Signal) -> std::process::ExitStatus {
    let mut child = world.start(args);
    eventually("the look hangs", || !world.lines("hanging").is_empty());
    let asked = Instant::now();
    signal(&child, with);
    let ended = child.wait().expect("it ends");
    assert!(
        asked.elapsed() < Duration::from_secs(1),
        "{:?}",
        asked.elapsed()
    );
    let left: Vec<i32> = world
        .lines("hanging")
        .iter()
        .flat_map(|line| line.split(' '))
        .map(|pid| pid.parse().expect("a pid"))
        .collect();
    assert_eq!(left.len() % 2, 0);
    for pid in left {
        eventually("no process of the look is left", || {
            Pid::from_raw(pid).is_none_or(|pid| test_kill_process(pid).is_err())
        });
    }
    ended
}

#[test]
fn an_interrupt_during_a_look_before_a_step_pauses_within_a_second() {
    let world = world(STOP);
    let ended = interrupted(&world, &["run", "plan.yaml"], Signal::INT);
    assert_eq!(ended.code(), Some(4));
    let log = world.upledger(&["log"]).out;
    assert!(log.contains("interrupted at the terminal"), "{log}");
    assert!(!log.contains("start"), "nothing was started: {log}");
}

#[test]
fn an_interrupt_during_a_probe_pauses_and_the_step_is_not_started() {
    let world = world(PROBE);
    let ended = interrupted(&world, &["run", "plan.yaml"], Signal::INT);
    assert_eq!(ended.code(), Some(4));
    assert!(!world.path("effect").exists());
    assert_eq!(world.status()["steps"][0]["do"]["status"], "pending");
}

#[test]
fn a_terminated_runner_detaches_from_its_look() {
    let world = world(PROBE);
    let ended = interrupted(&world, &["run", "plan.yaml"], Signal::TERM);
    assert_eq!(ended.code(), Some(11));
}

#[test]
fn a_preview_that_is_interrupted_leaves_nothing_behind() {
    for plan in [STOP, PROBE] {
        let world = world(plan);
        let ended = interrupted(&world, &["plan", "plan.yaml"], Signal::INT);
        assert_eq!(ended.code(), None, "the signal ended it: {ended:?}");
    }
}
