//! `celery.stop` of workers on Redis loses no task and runs none twice: with long tasks running and eight prefetched, at
//! a deadline that passes, with a worker that does not answer, killed in the middle, resumed, and rolled back.

use crate::common::Done;
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

fn abort(platform: &Platform) {
    let done = platform.world().upledger(&["abort", "--reason", "test"]);
    assert_eq!(done.code, 12, "{done:?}");
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
        "drained: no task is active or reserved",
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
    assert!(said.contains("consumers are restored"), "{said}");
    assert_eq!(platform.pid("worker"), Some(worker));
    abort(&platform);
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
    abort(&platform);

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

/// A step whose action dies at each of these places in turn.
fn dying(platform: &Platform, id: &str, action: &str, places: &[&str]) -> String {
    let points = platform.world().deaths(places);
    format!("{{id: {id}, do: {{{action}}}, env: {{UPLEDGER_FAILPOINT: \"{points}\"}}}}")
}

/// The attempt has died at this place; what the next one says.
fn retried(platform: &Platform, died: &Done, id: &str, place: &str) -> Done {
    let world = platform.world();
    assert_eq!(died.code, 1, "{place}: {died:?}");
    assert!(world.died_at(place), "{place}: {died:?}");
    let retry = world.upledger(&["decide", id, "retry", "--reason", place]);
    assert_eq!(retry.code, 0, "{place}: {retry:?}");
    world.upledger(&["resume"])
}

#[test]
fn killed_in_the_middle_of_the_drain_a_rollback_gives_the_consumers_back() {
    let platform = quiet();
    let world = platform.world();
    busy(&platform, 6.0, &[], "");
    let stop = format!("celery.stop: {{drain: 90s, {APP}}}");
    let places = ["celery-cancelling", "celery-cancelled"];
    let done = platform.run(&[&dying(&platform, "workers", &stop, &places)]);
    let done = retried(&platform, &done, "workers", "celery-cancelling");
    assert_eq!(done.code, 1, "{done:?}");
    assert!(world.died_at("celery-cancelled"), "{done:?}");
    let worker = platform.pid("worker").expect("a worker");
    let back = world.upledger(&["rollback", "--reason", "test"]);
    assert_eq!(back.code, 5, "{back:?}");
    let still = platform.pid("worker");
    assert_eq!(still, Some(worker), "it only got its consumers back");
    patiently("what was taken is done", || {
        platform.tasks_done().len() == 10
    });
    send(&platform, &[("again", 1, 0.0)], "");
    patiently("it takes tasks", || platform.tasks_done().len() == 11);
    assert_eq!(once_each(&platform), 11);
}

#[test]
fn killed_at_each_place_of_a_stop_and_a_start_both_are_done_once() {
    let platform = quiet();
    let world = platform.world();
    send(&platform, &[("long", 2, 4.0)], "");
    patiently("both run", || platform.tasks_started().len() == 2);
    let first = platform.pid("worker").expect("a worker");
    let places = ["celery-drained", "celery-signalled", "celery-terminating"];
    let stop = format!("celery.stop: {{drain: 90s, {APP}}}");
    let mut done = platform.run(&[&dying(&platform, "workers", &stop, &places)]);
    for place in places {
        if place != "celery-terminating" {
            assert_eq!(platform.pid("worker"), Some(first), "{place}: it lives");
        }
        assert_eq!(once_each(&platform), 2, "{place}: drained");
        done = retried(&platform, &done, "workers", place);
    }
    assert_eq!(done.code, 0, "{done:?}");
    assert!(platform.pid("worker").is_none());

    let words = platform.command_of("worker");
    let words: Vec<String> = words.iter().map(|w| format!("\"{w}\"")).collect();
    let start = format!(
        r#"celery.start: {{within: 60s, by: {{process: {{pidfile: "${{root}}/run/w.json", log: "${{root}}/log/w.log", cwd: "${{code}}", argv: [{}]}}}}}}"#,
        words.join(", ")
    );
    let places = ["celery-start", "celery-started"];
    let died = platform.run(&[&dying(&platform, "start", &start, &places)]);
    assert!(platform.pid("worker").is_none(), "{died:?}");
    let died = retried(&platform, &died, "start", "celery-start");
    let launched: serde_json::Value =
        serde_json::from_str(&platform.read("run/w.json")).expect("it is on its way");
    let done = retried(&platform, &died, "start", "celery-started");
    assert_eq!(done.code, 0, "{done:?}");
    let second = platform.pid("worker").map(i64::from);
    assert_eq!(second, launched["pid"].as_i64(), "it was started once");
    send(&platform, &[("new", 2, 0.0)], "");
    patiently("they are done", || platform.tasks_done().len() == 4);
    assert_eq!(once_each(&platform), 4);
    let back = world.upledger(&["rollback", "--reason", "test"]);
    assert_eq!(back.code, 5, "{back:?}");
    let left = platform.processes();
    assert!(!left.iter().any(|(_, c)| c.contains("celery")), "{left:?}");
}
