//! Celery alone says what a worker is called: a name without `@` is a host to it, a template is filled in by it, and pools
//! without processes are known by that name alone. A start that failed is repeated with a new process.

use crate::platform::{Call, Keeping, Options, Platform, patiently};

const APP: &str = r#"app: {cwd: "${code}"}"#;

fn platform() -> Platform {
    Platform::up(Options {
        keeping: Keeping::Down,
        ..Options::default()
    })
}

/// A worker that is ready.
fn worker(platform: &Platform, log: &str, more: &[&str]) {
    Call::new(&platform.text("venv/bin/python"))
        .args(["-m", "celery", "-A", "celery_app", "worker", "-l", "INFO"])
        .args(more)
        .dir(&platform.path("code"))
        .daemon(&platform.path(log));
    let path = platform.path(log);
    patiently("it is ready", || {
        std::fs::read_to_string(&path).is_ok_and(|said| said.contains(" ready."))
    });
}

fn workers(platform: &Platform) -> Vec<String> {
    let all = platform.processes().into_iter();
    let celery = all.filter(|(_, words)| words.contains("celery_app worker"));
    celery.map(|(_, words)| words).collect()
}

#[test]
fn threads_and_one_process_are_drained_by_the_names_that_celery_gives_them_and_come_back() {
    let platform = platform();
    worker(
        &platform,
        "log/threads.log",
        &[
            "-P",
            "threads",
            "-c",
            "2",
            "-n",
            "plain",
            "-Q",
            "fast",
            "--pidfile=",
        ],
    );
    worker(
        &platform,
        "log/solo.log",
        &["-P", "solo", "--hostname=one%I%i@%h", "-Q", "slow"],
    );
    let code = "from apps.log_search.tasks import record\nfor n in range(3): record.apply_async(('t-%d' % n, 3.0), queue='slow')\n";
    let code = format!("import celery_app\n{code}");
    platform.manage(&["shell", "-c", &code]).run();
    patiently("a task runs", || !platform.tasks_started().is_empty());

    let done = platform.run(&[&format!(
        r#"{{id: workers, do: {{celery.stop: {{{APP}, drain: 90s}}}}}}"#
    )]);
    let text = platform
        .world()
        .upledger(&["log", "--output", "workers"])
        .out;
    assert_eq!(done.code, 0, "{done:?} {text}");
    for part in [
        "cancel_consumer fast to celery@plain",
        "cancel_consumer slow to one0@",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(workers(&platform), Vec::<String>::new());
    // The worker of one process has done what it had taken, each once.
    let (mut started, mut ended) = (platform.tasks_started(), platform.tasks_done());
    started.sort();
    ended.sort();
    assert_eq!(started, ended);

    let back = platform.world().rollback();
    assert_eq!(back.code, 5, "{back:?}");
    assert_eq!(workers(&platform).len(), 2);
    patiently("all tasks are done", || platform.tasks_done().len() == 3);
}

#[test]
fn a_retry_replaces_the_worker_that_the_failed_start_left() {
    let platform = platform();
    platform.write("run/queue", "wrong");
    let step = r#"{id: start, env: {ROOT: "${root}"}, do: {celery.start: {within: 20s, queues: [celery], by: {process: {pidfile: "${root}/run/w.json", log: "${root}/log/w.log", cwd: "${code}", argv: [sh, -c, "exec $ROOT/venv/bin/python -m celery -A celery_app worker -P solo -Q $(cat $ROOT/run/queue)"]}}}}}"#;
    let done = platform.run(&[step]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(
        format!("{done:?}").contains("no worker consumes celery"),
        "{done:?}"
    );
    let first = platform.processes();
    let pid = |all: &[(i32, String)]| {
        let mut celery = all.iter().filter(|(_, w)| w.contains("celery_app worker"));
        celery.next().map(|(pid, _)| *pid)
    };
    let first = pid(&first).expect("it lives");
    platform.write("run/queue", "celery");
    let decided = ["decide", "start", "retry", "--reason", "the queue is named"];
    assert_eq!(platform.world().upledger(&decided).code, 0);
    let done = platform.world().upledger(&["resume"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_ne!(pid(&platform.processes()), Some(first), "it was replaced");
    let back = platform.world().rollback();
    assert_eq!(back.code, 5, "{back:?}");
    assert_eq!(workers(&platform), Vec::<String>::new());
}
