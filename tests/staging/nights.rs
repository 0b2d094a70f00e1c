//! Two nights that went wrong elsewhere: workers of every sort in one group of supervisord, and an update of supervisord's
//! configuration that starts a worker of the new release in the middle of the upgrade. Both ways the site is open at
//! the end, and what serves it is of the release that is there.

use crate::acceptance::Upgrade;
use crate::platform::{Call, Keeping, Platform, patiently, staging};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// What supervisord says of each of its programs.
fn states(platform: &Platform) -> BTreeMap<String, String> {
    let shown = platform.supervisorctl(&["status"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    shown
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace().map(str::to_owned);
            Some((words.next()?, words.next()?))
        })
        .collect()
}

fn update(platform: &Platform) {
    let done = platform.supervisorctl(&["update"]);
    assert!(done.status.success(), "{done:?}");
}

/// Packages beside the virtualenv, which all platforms share.
fn install_beside(platform: &Platform, packages: &[&str]) -> String {
    let beside = platform.text("beside");
    Call::new("/usr/bin/python3")
        .args(["-m", "pip", "install", "--quiet", "--no-index", "--no-deps"])
        .args([
            "--disable-pip-version-check",
            "--target",
            &beside,
            "--find-links",
        ])
        .args([staging().join("wheels")])
        .args(packages)
        .run();
    beside
}

/// Six workers in the place of the one: named without `@`, greenlets, threads, one process, by a template of Celery, and
/// one that never comes up.
fn six_workers(platform: &Platform) {
    let beside = install_beside(
        platform,
        &["gevent", "greenlet", "zope.event", "zope.interface"],
    );
    let python = platform.text("venv/bin/python");
    let worker = |n: usize, more: &str| {
        let log = platform.text(&format!("log/w{n}.log"));
        format!(
            "{python} -m celery -A celery_app worker --loglevel=INFO --pidfile= --logfile={log} {more}"
        )
    };
    let commands = [
        worker(1, "-c 1 -n node1_x"),
        worker(2, "-c 2 -P gevent -n two@%%h"),
        worker(3, "-P solo --hostname=three%%i@%%h"),
        worker(4, "-c 2 -P threads -n four@%%h"),
        worker(5, "-c 1 --hostname=five@%%n"),
        "/bin/sh -c \"sleep 0.2; exit 3\"".to_owned(),
    ];
    let code = platform.text("code");
    let mut conf = platform.read("etc/supervisord.conf");
    let (before, rest) = conf.split_once("[program:worker]").expect("the worker");
    let (_, after) = rest.split_once("[program:beat]").expect("beat behind it");
    conf = format!("{before}[program:beat]{after}")
        .replace("programs=gunicorn,worker,beat", "programs=gunicorn,beat")
        .replace(
            &format!("--pidfile={}", platform.text("run/beat.pid")),
            "--pidfile=",
        );
    for (at, command) in commands.iter().enumerate() {
        let n = at + 1;
        let retries = if n == 6 { 1000 } else { 3 };
        conf.push_str(&format!(
            "\n[program:w{n}]\ncommand={command}\ndirectory={code}\nenvironment=PYTHONPATH=\"{beside}\"\nautorestart=true\nstartsecs=3\nstartretries={retries}\nstopwaitsecs=600\nredirect_stderr=true\nstdout_logfile={}\n",
            platform.text(&format!("log/w{n}-out.log")),
        ));
    }
    conf.push_str("\n[group:workers]\nprograms=w1,w2,w3,w4,w5,w6\n");
    platform.write("etc/supervisord.conf", &conf);
    update(platform);
    patiently("five workers and a beat run", || {
        let states = states(platform);
        let runs = |name: &str| states.get(name).is_some_and(|s| s == "RUNNING");
        (1..=5).all(|n| runs(&format!("workers:w{n}"))) && runs("bklog:beat")
    });
    assert_eq!(answering(platform), NODES);
}

/// What the workers are called, without the host.
const NODES: [&str; 5] = ["celery@node1_x", "five@", "four@", "three0@", "two@"];

fn answering(platform: &Platform) -> Vec<String> {
    let ask = [
        "-m",
        "celery",
        "-A",
        "celery_app",
        "inspect",
        "ping",
        "--json",
    ];
    let mut nodes = Vec::new();
    patiently("five workers answer", || {
        let said = platform.python(&ask).output();
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        let answers: serde_json::Value = serde_json::from_str(text.trim()).unwrap_or_default();
        let names = answers.as_object().into_iter().flatten();
        nodes = names
            .map(|(name, _)| match name.split_once('@') {
                Some((node, host)) if host != "node1_x" => format!("{node}@"),
                _ => name.clone(),
            })
            .collect();
        nodes.sort();
        nodes.len() == NODES.len()
    });
    nodes
}

#[test]
#[ignore = "three minutes: the long tier runs it (tests/long)"]
fn six_workers_of_every_sort_and_a_beat_without_a_pidfile_go_there_and_back() {
    let upgrade = Upgrade::of(Keeping::Supervisor);
    let platform = &upgrade.platform;
    six_workers(platform);
    let before = upgrade.world();
    let plan = upgrade.plan(Keeping::Supervisor, "bklog:worker", "workers:*");
    // One of them never came up before the upgrade, either: it is started with the others, and nobody waits for it.
    let world = platform.world();
    let done = world.upledger(&["run", &plan]);
    assert_eq!(done.code, 0, "{done:?}");
    let said = world.upledger(&["log", "--output", "workers"]).out;
    assert!(
        said.contains("workers:w6 is ") && said.contains("not waited for"),
        "{said}"
    );
    upgrade.is_at_2();
    assert_eq!(answering(platform), NODES);
    // The way back demands what ran before, and no more.
    let back = world.upledger(&["rollback", "--reason", "test", "--accept-data-loss"]);
    assert_eq!(back.code, 5, "{back:?}");
    assert_eq!(answering(platform), NODES);
    assert_eq!(upgrade.world(), before);
    upgrade.works("1.0");
}

/// When a process was started.
fn started(pid: i32) -> SystemTime {
    let process = procfs::process::Process::new(pid).expect("it lives");
    let ticks = process.stat().expect("its state").starttime;
    let since = Duration::from_millis(ticks * 1000 / procfs::ticks_per_second());
    let up = <procfs::Uptime as procfs::Current>::current()
        .expect("since it booted")
        .uptime;
    SystemTime::now() - (Duration::from_secs_f64(up) - since)
}

#[test]
#[ignore = "a minute and a half: the long tier runs it (tests/long)"]
fn a_worker_that_an_update_of_supervisord_started_is_not_taken_for_the_old_one() {
    let upgrade = Upgrade::of(Keeping::Supervisor);
    let platform = &upgrade.platform;
    let before = upgrade.world();
    let conf = platform.text("etc/supervisord.conf");
    let text = platform.read("etc/supervisord.conf");
    platform.write(
        "etc/supervisord.new",
        &text.replace("--concurrency=2", "--concurrency=3"),
    );
    let ctl = format!("ctl: [supervisorctl, -c, {conf}]");
    let steps = format!(
        r#"      - {{id: conf, do: {{file.replace: {{path: {conf}, from: {}}}}}}}
      - {{id: update, do: {{supervisor.update: {{{ctl}}}}}}}
      - {{id: broken, do: {{run: ["false"]}}, effect: pure}}
      - {{id: schema,"#,
        platform.text("etc/supervisord.new"),
    );
    let plan = upgrade.plan(Keeping::Supervisor, "      - {id: schema,", &steps);
    // Before the code, so that its undo makes supervisord run the former configuration once the code is back.
    let text = std::fs::read_to_string(&plan).expect("the plan");
    let back = format!(
        "      - {{id: update-back, do: {{supervisor.update: {{{ctl}, only: rollback}}}}}}\n      - {{id: code,"
    );
    std::fs::write(&plan, text.replacen("      - {id: code,", &back, 1)).expect("written");
    let world = platform.world();
    let done = world.upledger(&["run", &plan]);
    assert_eq!(done.code, 1, "{done:?}");
    patiently("the update has started a worker", || {
        platform.pid("worker").is_some()
    });
    let during = platform.pid("worker").expect("it has");
    let back = world.upledger(&["rollback", "--reason", "test", "--accept-data-loss"]);
    assert_eq!(back.code, 5, "{back:?}");
    let said = world.upledger(&["log", "--output", "update"]).out;
    let stopped = "bklog:beat, bklog:gunicorn, bklog:worker did not run before";
    assert!(said.contains(stopped), "before the code goes back: {said}");
    let said = world.upledger(&["log", "--output", "update-back"]).out;
    assert!(said.contains("bklog: updated process group"), "{said}");
    assert_eq!(upgrade.world(), before);
    upgrade.works("1.0");

    // It has read the code that is there, and not that of the release that was taken back.
    let worker = platform.pid("worker").expect("a worker");
    assert_ne!(worker, during);
    let code = std::fs::metadata(platform.path("code/VERSION")).expect("the code");
    let switched = code.modified().expect("its time");
    assert!(
        started(worker) + Duration::from_millis(100) > switched,
        "the worker is older than the code: {:?} {switched:?}",
        started(worker)
    );
}
