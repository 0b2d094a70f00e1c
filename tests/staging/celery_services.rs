//! Whose workers and beats are stopped and started: those of the one application that is meant, by supervisord or by
//! nobody, with a broker that is away, with a TERM that is ignored, with a pidfile that lies, and with libraries that do
//! not fit together although pip is content.

use crate::platform::{Call, Options, Platform, patiently};
use std::fmt::Write;

/// Only this platform's: other tests run beside it.
const APP: &str = r#"app: {cwd: "${code}"}"#;

fn said(platform: &Platform, step: &str) -> String {
    platform.world().upledger(&["log", "--output", step]).out
}

fn abort(platform: &Platform) {
    platform.world().upledger(&["abort", "--reason", "test"]);
}

/// A worker or beat of a module, as it is started by hand.
fn by_hand(platform: &Platform, words: &[&str], log: &str) {
    Call::new(&platform.text("venv/bin/python"))
        .args(["-m", "celery"])
        .args(words.iter().copied())
        .dir(&platform.path("code"))
        .daemon(&platform.path(log));
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
    assert_ne!(done.code, 0, "{done:?}");
    for part in ["2 applications of Celery", "stubborn in ", "celery_app in "] {
        assert!(
            format!("{done:?}").contains(part),
            "no '{part}' in {done:?}"
        );
    }
    abort(&platform);
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
        format!("{done:?}").contains("cannot be asked about its workers"),
        "{done:?}"
    );
    assert_eq!(platform.pid("worker"), Some(worker));
    abort(&platform);
    let done = platform.run(&[&format!(
        r#"{{id: worker, do: {{celery.stop: {{app: {{cwd: "${{code}}", module: celery_app}}, drain: 0s}}}}}}"#
    )]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(platform.pid("worker").is_none());
}

#[test]
fn supervisord_keeps_both_a_beat_starts_behind_a_stale_pidfile_and_broken_libraries_are_told() {
    let platform = Platform::up(Options::default());
    // What ran by hand ends, and comes back by supervisord.
    let done = platform.run(&[
        &format!(r#"{{id: beat, do: {{celery.stop: {{role: beat, {APP}}}}}}}"#),
        &format!(r#"{{id: workers, do: {{celery.stop: {{{APP}}}}}}}"#),
    ]);
    assert_eq!(done.code, 0, "{done:?}");
    let broken = platform.text("broken");
    Call::new("/usr/bin/python3")
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-index",
            "--no-deps",
            "--target",
            &broken,
        ])
        .args([
            "--find-links",
            &platform.wheels(),
            "kombu==5.7.0",
            "amqp==5.4.2",
        ])
        .run();
    let (python, code) = (platform.text("venv/bin/python"), platform.text("code"));
    let mut conf = format!(
        "[supervisord]\nlogfile={0}/log/supervisord.log\npidfile={0}/run/supervisord.pid\n[unix_http_server]\nfile={0}/run/supervisor.sock\n[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n[supervisorctl]\nserverurl=unix://{0}/run/supervisor.sock\n",
        platform.text("").trim_end_matches('/')
    );
    let pidfile = platform.text("run/celerybeat.pid");
    for (name, words, env) in [
        (
            "worker",
            "worker -c 1 -n kept@%%h".to_owned(),
            String::new(),
        ),
        ("beat", format!("beat --pidfile {pidfile}"), String::new()),
        (
            "broken",
            "worker -c 1 -n broken@%%h".to_owned(),
            format!("environment=PYTHONPATH=\"{broken}\"\n"),
        ),
    ] {
        write!(
            conf,
            "[program:{name}]\ncommand={python} -m celery -A celery_app {words}\ndirectory={code}\nautostart=false\nautorestart=true\nstartsecs=0\nstartretries=1\n{env}"
        )
        .expect("text");
    }
    platform.write("etc/supervisord.conf", &conf);
    Call::new("supervisord")
        .args(["-n", "-c", &platform.text("etc/supervisord.conf")])
        .daemon(&platform.path("log/supervisord.out"));
    patiently("supervisord answers", || {
        platform.path("run/supervisor.sock").exists()
    });
    let by = |program: &str| {
        let conf = platform.text("etc/supervisord.conf");
        format!(r#"by: {{supervisor: {{program: {program}, ctl: [supervisorctl, -c, {conf}]}}}}"#)
    };
    // A process of that number lives, and is no beat: Celery would not start.
    platform.write("run/celerybeat.pid", &std::process::id().to_string());
    let ticks = platform.ticks();
    let start = [
        format!(
            r#"{{id: worker, do: {{celery.start: {{{}, within: 100s, queues: [celery]}}}}}}"#,
            by("worker")
        ),
        format!(
            r#"{{id: beat, do: {{celery.start: {{role: beat, {}, within: 60s, {APP}}}}}}}"#,
            by("beat")
        ),
    ];
    let done = platform.run(&[&start[0], &start[1]]);
    assert_eq!(done.code, 0, "{done:?} {}", said(&platform, "beat"));
    assert!(
        said(&platform, "beat").contains("removed the stale pidfile"),
        "{}",
        said(&platform, "beat")
    );
    patiently("the beat ticks again", || platform.ticks() > ticks);
    // Told by hand, the worker would come back: supervisord has to be told.
    let done = platform.run(&[&format!(r#"{{id: blind, do: {{celery.stop: {{{APP}}}}}}}"#)]);
    assert!(
        format!("{done:?}").contains("kept by supervisord"),
        "{done:?}"
    );
    abort(&platform);
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
    let done = platform.run(&[&stop[0], &stop[1]]);
    assert_eq!(done.code, 0, "{done:?}");
    let left = platform.processes();
    assert!(
        !left.iter().any(|(_, c)| c.contains("-m celery")),
        "{left:?}"
    );
    // RUNNING, says supervisord; and yet it dies again and again.
    let done = platform.run(&[&format!(
        r#"{{id: broken, do: {{celery.start: {{{}, within: 25s}}}}}}"#,
        by("broken")
    )]);
    assert_eq!(done.code, 1, "{done:?}");
    let text = said(&platform, "broken");
    assert!(text.contains("ersion") && text.contains("redis"), "{text}");
}
