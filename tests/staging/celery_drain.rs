//! `celery.stop` of workers on Redis loses no task and runs none twice: with long tasks running and eight prefetched, at
//! a deadline that passes, with a worker that does not answer, killed in the middle, resumed, and rolled back.

use crate::platform::{Options, Platform, patiently};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;

/// Only this platform's: other tests run beside it.
const APP: &str = r#"app: {cwd: "${code}"}"#;

/// Each task that began has ended, once; how many there were.
fn once_each(platform: &Platform) -> usize {
    let count = |names: Vec<String>| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for name in names {
            *counts.entry(name).or_default() += 1;
        }
        counts
    };
    let (started, done) = (
        count(platform.tasks_started()),
        count(platform.tasks_done()),
    );
    assert_eq!(started, done, "cut off, or run more than once");
    assert!(done.values().all(|n| *n == 1), "{done:?}");
    done.len()
}

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).expect("a process"), signal).expect("signalled");
}

/// No beat, whose ticks would be in the queue among the tasks that are counted.
fn quiet() -> Platform {
    let platform = Platform::up(Options::default());
    let done = platform.run(&[&format!(
        r#"{{id: beat, do: {{celery.stop: {{role: beat, {APP}}}}}}}"#
    )]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(platform.pid("beat").is_none(), "{:?}", platform.processes());
    patiently("the ticks are worked off", || {
        platform.redis(&["LLEN", "celery"]) == "0" && platform.redis(&["HLEN", "unacked"]) == "0"
    });
    platform
}

/// Sends tasks from one process, so that nothing of them is done before the last is sent: name, number, seconds.
fn send(platform: &Platform, tasks: &[(&str, usize, f64)], more: &str) {
    let mut code = String::from("import celery_app\nfrom apps.log_search.tasks import record\n");
    for (name, count, seconds) in tasks {
        code.push_str(&format!(
            "for n in range({count}): record.delay('{name}-%d' % n, {seconds})\n"
        ));
    }
    code.push_str(more);
    platform.manage(&["shell", "-c", &code]).run();
}

/// Two tasks run, and eight are taken; more are sent behind them.
fn busy(platform: &Platform, seconds: f64, more: &[(&str, usize, f64)], code: &str) {
    let tasks = [&[("long", 2, seconds), ("taken", 8, 0.1)], more].concat();
    send(platform, &tasks, code);
    patiently("two run, and eight are prefetched", || {
        platform.tasks_started().len() == 2 && platform.redis(&["HLEN", "unacked"]) == "8"
    });
}

const LATER: &str = "record.apply_async(('later', 0.0), countdown=3600)";

#[test]
fn running_and_prefetched_tasks_are_done_once_and_waiting_ones_are_left_to_the_new_worker() {
    let platform = quiet();
    busy(&platform, 15.0, &[("waiting", 5, 0.0)], LATER);
    let first = platform.pid("worker").expect("a worker");
    let stop = format!(r#"{{id: workers, do: {{celery.stop: {{drain: 90s, {APP}}}}}}}"#);
    let done = platform.run(&[&stop]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(
        platform.pid("worker").is_none(),
        "{:?}",
        platform.processes()
    );
    let running = platform.processes();
    assert!(
        !running.iter().any(|(_, c)| c.contains("celery")),
        "{running:?}"
    );
    // What was taken is done; what was not is in the queue, and so is the one that waits for its time.
    assert_eq!(once_each(&platform), 10);
    assert_eq!(platform.redis(&["LLEN", "celery"]), "6");
    assert_eq!(platform.redis(&["HLEN", "unacked"]), "0");
    let said = platform
        .world()
        .upledger(&["log", "--output", "workers"])
        .out;
    for line in [
        "2 active, 8 reserved",
        "cancel_consumer celery",
        "drained: nothing runs",
        "6 wait in celery",
    ] {
        assert!(said.contains(line), "no '{line}' in {said}");
    }
    let terms = said.matches("TERM to ").count();
    assert_eq!(terms, 1, "{said}");

    // The undo starts it as it ran; what was left is done, once.
    let back = platform.world().rollback();
    assert_eq!(back.code, 5, "{back:?}");
    let second = platform.pid("worker").expect("a worker");
    assert_ne!(first, second);
    patiently("the rest is done", || platform.tasks_done().len() == 15);
    assert_eq!(once_each(&platform), 15);
}

#[test]
fn at_the_deadline_the_tasks_are_named_and_consumers_are_back_and_only_kill_kills() {
    let platform = quiet();
    let stop = |more: &str| {
        let step = format!(r#"{{id: workers, do: {{celery.stop: {{drain: 3s, {APP}{more}}}}}}}"#);
        let done = platform.run(&[&step]);
        let said = platform
            .world()
            .upledger(&["log", "--output", "workers"])
            .out;
        (done, said)
    };
    platform.send_tasks("long", 1, 14.0);
    patiently("it runs", || platform.tasks_started().len() == 1);
    let worker = platform.pid("worker").expect("a worker");
    let (done, said) = stop("");
    assert_eq!(done.code, 1, "{done:?}");
    assert!(said.contains("1 task runs on worker@"), "{said}");
    assert!(said.contains("log_search.record "), "{said}");
    assert!(said.contains("consumers are back"), "{said}");
    assert_eq!(platform.pid("worker"), Some(worker));
    platform.world().upledger(&["abort", "--reason", "test"]);
    // The other process of its pool takes tasks again.
    platform.send_tasks("next", 1, 0.0);
    patiently("a new task is done", || {
        platform.tasks_done().contains(&"next-0".to_owned())
    });
    patiently("the long one is done", || platform.tasks_done().len() == 2);
    assert_eq!(once_each(&platform), 2);

    // A worker that does not answer is not empty.
    signal(worker, Signal::STOP);
    let (done, said) = stop("");
    signal(worker, Signal::CONT);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(
        said.contains(&format!("worker {worker} does not answer")),
        "{said}"
    );
    assert_eq!(platform.pid("worker"), Some(worker));
    platform.world().upledger(&["abort", "--reason", "test"]);

    // What is cut off is recorded before it is.
    platform.send_tasks("cut", 1, 600.0);
    patiently("it runs", || {
        platform.tasks_started().contains(&"cut-0".to_owned())
    });
    let (done, said) = stop(", grace: 1s, overdue: kill");
    assert_eq!(done.code, 0, "{done:?} {said}");
    assert!(platform.pid("worker").is_none());
    let log = platform.world().upledger(&["log", "--json"]).out;
    let kill = log
        .lines()
        .find(|l| l.contains("KILL to process") && l.contains("tasks cut off: log_search.record"));
    assert!(kill.is_some(), "{log}");
}

#[test]
fn killed_in_the_middle_of_the_drain_it_goes_on_and_a_rollback_gives_the_consumers_back() {
    let platform = quiet();
    let run = |point: &str| {
        let once = platform.path(&format!("hit-{point}"));
        let done = platform.run(&[&format!(
            r#"{{id: workers, do: {{celery.stop: {{drain: 90s, {APP}}}}}, env: {{UPLEDGER_FAILPOINT: "{point}@{}"}}}}"#,
            once.display()
        )]);
        assert!(once.exists(), "{point} was not reached: {done:?}");
    };
    // The action dies with consumers cancelled: what follows is the probe's, which allows a further attempt.
    busy(&platform, 6.0, &[], "");
    run("celery-cancelled");
    let worker = platform.pid("worker").expect("a worker");
    assert_ne!(platform.world().status()["phase"], "completed");
    let back = platform.world().upledger(&["rollback", "--reason", "test"]);
    assert_eq!(back.code, 5, "{back:?}");
    let still = platform.pid("worker");
    assert_eq!(still, Some(worker), "it only got its consumers back");
    patiently("what was taken is done", || {
        platform.tasks_done().len() == 10
    });
    send(&platform, &[("again", 2, 4.0)], "");
    patiently("both run", || platform.tasks_started().len() == 12);
    run("celery-told");
    let mut done = platform.world().upledger(&["resume"]);
    if done.code == 4 || done.code == 1 {
        platform
            .world()
            .upledger(&["decide", "workers", "retry", "--reason", "test"]);
        done = platform.world().upledger(&["resume"]);
    }
    assert_eq!(done.code, 0, "{done:?}");
    assert!(platform.pid("worker").is_none());
    assert_eq!(once_each(&platform), 12);
}
