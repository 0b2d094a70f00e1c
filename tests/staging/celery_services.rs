//! Whose workers and beats are stopped and started: those of the one application that is meant, by supervisord or by
//! nobody, with a broker that is away, with a TERM that is ignored, with a pidfile that lies, and with libraries that do
//! not fit together although pip is content.

use crate::platform::{Broker, Call, Keeping, Options, Platform, patiently};
use std::time::{Duration, Instant};

/// Only this platform's: other tests run beside it.
const APP: &str = r#"app: {cwd: "${code}"}"#;

fn said(platform: &Platform, step: &str) -> String {
    platform.world().upledger(&["log", "--output", step]).out
}

fn abort(platform: &Platform) {
    let done = platform.world().upledger(&["abort", "--reason", "test"]);
    assert_eq!(done.code, 12, "{done:?}");
}

#[test]
fn one_application_is_meant_a_broker_that_is_away_stops_nothing_and_an_ignored_term_is_told() {
    let platform = Platform::up(Options::default());
    platform.write(
        "code/stubborn.py",
        "import os, signal\nfrom celery.signals import worker_ready\nfrom celery_app import app\n\n\n@worker_ready.connect\ndef deaf(**_):\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    open(os.environ['DEAF'], 'w').close()\n",
    );
    let deaf = platform.text("run/deaf");
    Call::new(&platform.text("venv/bin/python"))
        .args([
            "-m",
            "celery",
            "-A",
            "stubborn",
            "worker",
            "-n",
            "stubborn@%h",
            "-c",
            "1",
        ])
        .env("DEAF", &deaf)
        .dir(&platform.path("code"))
        .daemon(&platform.path("log/stubborn.log"));
    patiently("it is deaf", || platform.path("run/deaf").exists());

    // Two applications in one directory: which is meant has to be said.
    let done = platform.run(&[&format!(r#"{{id: both, do: {{celery.stop: {{{APP}}}}}}}"#)]);
    assert_eq!(done.code, 3, "{done:?}");
    for part in [
        "2 Celery applications",
        "stubborn (directory ",
        "celery_app (directory ",
    ] {
        assert!(
            format!("{done:?}").contains(part),
            "no '{part}' in {done:?}"
        );
    }
    let only = |module: &str, more: &str| {
        format!(
            r#"{{id: {module}, do: {{celery.stop: {{app: {{cwd: "${{code}}", module: {module}}}, drain: 60s, {more}}}}}}}"#
        )
    };
    let worker = platform.pid("worker").expect("a worker");
    let done = platform.run(&[&only("stubborn", "grace: 2s").replace("id: stubborn", "id: deaf")]);
    assert_eq!(done.code, 1, "{done:?}");
    let text = said(&platform, "deaf");
    assert!(text.contains("did not end within 2 s after TERM"), "{text}");
    assert!(text.contains("nothing was killed"), "{text}");
    abort(&platform);
    let done = platform.run(&[&only("stubborn", "grace: 2s, overdue: kill")]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(said(&platform, "stubborn").contains("KILL to process"));
    let left = platform.processes();
    assert!(
        !left.iter().any(|(_, c)| c.contains("stubborn")),
        "{left:?}"
    );
    assert_eq!(
        platform.pid("worker"),
        Some(worker),
        "the other application"
    );

    // Without its broker a worker cannot be asked, and so it is not stopped.
    let redis = platform.pid("redis").expect("Redis runs");
    crate::common::kill(redis);
    patiently("Redis is gone", || platform.pid("redis").is_none());
    let done =
        platform.run(&[&only("celery_app", "grace: 30s").replace("id: celery_app", "id: away")]);
    assert_ne!(done.code, 0, "{done:?}");
    assert!(
        format!("{done:?}").contains("cannot inspect its workers"),
        "{done:?}"
    );
    assert_eq!(platform.pid("worker"), Some(worker));
    abort(&platform);
    let done = platform.run(&[
        r#"{id: worker, do: {celery.stop: {app: {cwd: "${code}", module: celery_app}, drain: 0s}}}"#,
    ]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(platform.pid("worker").is_none());
}

#[test]
#[ignore = "a minute: the long tier runs it (tests/long)"]
fn supervisord_keeps_both_a_beat_starts_behind_a_stale_pidfile_and_broken_libraries_are_told() {
    let platform = Platform::up(Options {
        keeping: Keeping::Supervisor,
        ..Options::default()
    });
    let by = |program: &str| {
        let conf = platform.text("etc/supervisord.conf");
        format!(
            r#"by: {{supervisor: {{program: "bklog:{program}", ctl: [supervisorctl, -c, {conf}]}}}}"#
        )
    };
    // Told to end by us it would come back: supervisord has to be told.
    let done = platform.run(&[&format!(r#"{{id: blind, do: {{celery.stop: {{{APP}}}}}}}"#)]);
    assert_eq!(done.code, 3, "{done:?}");
    assert!(
        format!("{done:?}").contains("run by supervisord"),
        "{done:?}"
    );
    let stop = [
        format!(
            r#"{{id: beat, do: {{celery.stop: {{role: beat, {}}}}}}}"#,
            by("beat")
        ),
        format!(
            r#"{{id: workers, do: {{celery.stop: {{drain: 60s, {}}}}}}}"#,
            by("worker")
        ),
    ];
    let start = |within: &str| {
        format!(
            r#"{{id: worker, do: {{celery.start: {{{}, within: {within}, queues: [celery]}}}}}}"#,
            by("worker")
        )
    };
    let done = platform.run(&[&stop[0], &stop[1]]);
    assert_eq!(done.code, 0, "{done:?}");
    let left = platform.processes();
    assert!(
        !left.iter().any(|(_, c)| c.contains("-m celery")),
        "{left:?}"
    );

    // A process of that number lives, and is no beat: Celery would not start.
    platform.write("run/beat.pid", &format!("{}\n", std::process::id()));
    let ticks = platform.ticks();
    let beat = format!(
        r#"{{id: beat, do: {{celery.start: {{role: beat, {}, within: 60s}}}}}}"#,
        by("beat")
    );
    let done = platform.run(&[&start("100s"), &beat]);
    let text = said(&platform, "beat");
    assert_eq!(done.code, 0, "{done:?} {text}");
    assert!(text.contains("removed the stale pidfile"), "{text}");
    patiently("the beat ticks again", || platform.ticks() > ticks);

    // The rollback of that start drains and stops what it started, and nothing else.
    let back = platform.world().rollback();
    assert_eq!(back.code, 5, "{back:?}");
    let left = platform.processes();
    assert!(
        !left.iter().any(|(_, c)| c.contains("-m celery")),
        "{left:?}"
    );

    // RUNNING, says supervisord, and pip is content; and yet it dies again and again.
    platform.give_virtualenv("2.0-broken-deps");
    platform.switch_to("2.0-broken-deps");
    let began = Instant::now();
    let done = platform.run(&[&start("5m")]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(
        began.elapsed() < Duration::from_secs(90),
        "long before the limit"
    );
    let text = said(&platform, "worker");
    assert!(text.contains("VersionMismatch"), "{text}");
}

#[test]
#[ignore = "a minute: the long tier runs it (tests/long)"]
fn on_rabbitmq_what_is_taken_is_done_once_and_the_rest_waits_for_the_new_worker() {
    let platform = Platform::up(Options {
        broker: Broker::Rabbit,
        ..Options::default()
    });
    let beat = format!(r#"{{id: beat, do: {{celery.stop: {{role: beat, {APP}}}}}}}"#);
    let done = platform.run(&[&beat]);
    assert_eq!(done.code, 0, "{done:?}");
    let code = "import celery_app\nfrom apps.log_search.tasks import record\nfor n in range(15): record.delay('t-%d' % n, 6.0 if n < 2 else 0.1)\n";
    platform.manage(&["shell", "-c", code]).run();
    patiently("two run", || platform.tasks_started().len() >= 2);
    let stop = format!(r#"{{id: workers, do: {{celery.stop: {{drain: 90s, {APP}}}}}}}"#);
    let done = platform.run(&[&stop]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(platform.pid("worker").is_none());
    let text = said(&platform, "workers");
    assert!(text.contains("by amqp amqp://"), "{text}");
    let mut first = platform.tasks_done();
    assert_eq!(platform.tasks_started().len(), first.len());
    let argv = platform.command_of("worker");
    let words: Vec<String> = argv.iter().map(|w| format!("\"{w}\"")).collect();
    let done = platform.run(&[&format!(
        r#"{{id: start, do: {{celery.start: {{within: 60s, by: {{process: {{pidfile: "${{root}}/run/w.json", log: "${{root}}/log/w.log", cwd: "${{code}}", argv: [{}]}}}}}}}}}}"#,
        words.join(", ")
    )]);
    assert_eq!(done.code, 0, "{done:?}");
    patiently("all are done", || platform.tasks_done().len() >= 15);
    first = platform.tasks_done();
    first.sort();
    first.dedup();
    assert_eq!(first.len(), 15);
    assert_eq!(
        (platform.tasks_started().len(), platform.tasks_done().len()),
        (15, 15)
    );
}
