//! Services that systemd runs are stopped, confirmed, started and rolled back by the actions that know them: a Gunicorn with
//! `Restart=always` and a socket unit, two instances of a Celery worker, Nginx and a timer. Nothing of it comes back by
//! itself in between, also when the runner is killed.

use crate::machine::{Done, Machine};

const WEB: &str = "[Unit]\nDescription=The web\nRequires=web.socket\nAfter=web.socket\n\
    [Service]\nWorkingDirectory=/srv/app\nExecStart=/opt/app/bin/gunicorn web:app --workers 2\n\
    ExecReload=/bin/kill -HUP $MAINPID\nRestart=always\nRestartSec=100ms\n";
const WEB_SOCKET: &str =
    "[Socket]\nListenStream=127.0.0.1:8000\n[Install]\nWantedBy=sockets.target\n";
const WORKER: &str = "[Service]\nWorkingDirectory=/srv/app\n\
    ExecStart=/opt/app/bin/celery -A tasks worker -n w%i@machine -Q celery --concurrency=1\n\
    Restart=always\nRestartSec=100ms\nKillMode=mixed\n[Install]\nWantedBy=multi-user.target\n";
const TIMER: &str = "[Timer]\nOnCalendar=hourly\n[Install]\nWantedBy=timers.target\n";

/// All of it, in the order in which it is stopped.
const UNITS: [&str; 6] = [
    "backup.timer",
    "nginx.service",
    "worker@1.service",
    "worker@2.service",
    "web.service",
    "web.socket",
];

const PLAN: &str = r#"
upledger: 1
name: units
phases:
  - phase: stop
    steps:
      - {id: timer, do: {timer.disable: {timers: [backup]}}}
      - {id: front, do: {nginx.stop: {by: {systemd: {unit: nginx}}}}}
      - id: workers
        cwd: /srv/app
        do: {celery.stop: {by: {systemd: {units: [worker@1, worker@2]}}, drain: 20s}}
      - {id: web, do: {gunicorn.stop: {by: {systemd: {unit: web}}, ready: {url: "http://127.0.0.1:8000/", contains: served}}}}
      - id: quiet
        do: {shell: "sleep 0.5; ! systemctl is-active UNITS && ! curl -s http://127.0.0.1:8000/ && ! systemctl is-active UNITS"}
        effect: pure
  - phase: start
    steps:
      - {id: web-up, do: {gunicorn.start: {by: {systemd: {unit: web}}, ready: {url: "http://127.0.0.1:8000/", contains: served}}}}
      - {id: workers-up, cwd: /srv/app, do: {celery.start: {by: {systemd: {units: [worker@1, worker@2]}}}}}
      - {id: front-up, do: {nginx.start: {by: {systemd: {unit: nginx}}}}}
      - {id: timer-up, do: {timer.enable: {timers: [backup]}}}
"#;

/// A machine on which all of it runs.
fn platform() -> Machine {
    let machine = Machine::boot();
    machine.write(
        "/srv/app/web.py",
        "def app(environ, start):\n    start('200 OK', [('Content-Type', 'text/plain')])\n    return [b'served']\n",
    );
    machine.write(
        "/srv/app/tasks.py",
        "from celery import Celery\napp = Celery('tasks', broker='redis://127.0.0.1:6379/0')\n\
         @app.task\ndef add(a, b):\n    return a + b\n",
    );
    for (name, text) in [
        ("web.service", WEB),
        ("web.socket", WEB_SOCKET),
        ("worker@.service", WORKER),
        ("backup.timer", TIMER),
        (
            "backup.service",
            "[Service]\nType=oneshot\nExecStart=/bin/true\n",
        ),
    ] {
        machine.write(&format!("/etc/systemd/system/{name}"), text);
    }
    machine.daemon_reload();
    machine.must(&[
        "systemctl",
        "--quiet",
        "enable",
        "backup.timer",
        "web.socket",
    ]);
    machine.must(&["systemctl", "start", "redis-server.service"]);
    machine.must(&[&["systemctl", "start"], &UNITS[..]].concat());
    machine.write("/root/plan.yaml", &PLAN.replace("UNITS", &UNITS.join(" ")));
    assert_all(&machine, "active");
    machine
}

fn assert_all(machine: &Machine, state: &str) {
    for unit in UNITS {
        assert_eq!(machine.state(unit)["ActiveState"], state, "{unit}");
    }
}

/// Whether units are enabled: `systemctl is-enabled` for each.
fn enabled(machine: &Machine) -> String {
    let argv = [&["systemctl", "is-enabled"], &UNITS[..]].concat();
    machine.run(&argv).out
}

/// The page, through the socket unit.
fn served(machine: &Machine) -> bool {
    let get = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/').read())";
    machine.run(&["python3", "-c", get]).out.contains("served")
}

fn expect(done: &Done, code: i32) {
    assert_eq!(done.code, code, "{done:?}");
}

#[test]
fn units_are_stopped_confirmed_started_and_rolled_back() {
    let machine = platform();
    let (web, before) = (machine.state("web.service"), enabled(&machine));
    let shown = machine.upledger(&["plan", "plan.yaml"]);
    for line in [
        "systemctl stop backup.timer",
        "systemctl stop web.socket web.service",
        "systemctl stop worker@1.service worker@2.service",
        "systemctl start nginx.service",
    ] {
        assert!(shown.out.contains(line), "{line}: {}", shown.out);
    }
    expect(&machine.upledger(&["run", "plan.yaml"]), 0);
    assert_all(&machine, "active");
    let after = machine.state("web.service");
    assert_ne!(web["MainPID"], after["MainPID"], "it was started anew");
    assert!(served(&machine));
    expect(&machine.upledger(&["rollback", "--reason", "test"]), 5);
    assert_all(&machine, "active");
    assert_ne!(after["MainPID"], machine.state("web.service")["MainPID"]);
    assert!(served(&machine));
    assert_eq!(enabled(&machine), before);
    expect(&machine.upledger(&["verify"]), 0);
}

#[test]
fn a_runner_that_is_killed_at_ten_moments_brings_nothing_back_and_loses_nothing() {
    let machine = platform();
    let killed = |args: &[&str], record: usize| {
        let mut command = machine.command(&[&["upledger"], args].concat());
        command.env("UPLEDGER_FAILPOINT", format!("append:{record}"));
        let output = command.output().expect("nsenter");
        assert!(!output.status.success(), "record {record}: {output:?}");
    };
    for (begin, code) in [
        (&["run", "plan.yaml"][..], 0),
        (&["rollback", "--reason", "test"][..], 5),
    ] {
        for record in [4, 5, 6, 5, 6] {
            killed(if record == 4 { begin } else { &["resume"] }, record);
            let stopped: Vec<&str> = UNITS
                .into_iter()
                .filter(|unit| machine.state(unit)["ActiveState"] == "inactive")
                .collect();
            machine.must(&["sleep", "0.5"]);
            for unit in stopped {
                assert_eq!(machine.state(unit)["ActiveState"], "inactive", "{unit}");
            }
        }
        expect(&machine.upledger(&["resume"]), code);
        assert_all(&machine, "active");
        assert!(served(&machine));
    }
    expect(&machine.upledger(&["verify"]), 0);
}

/// A plan of one step.
fn step(machine: &Machine, step: &str) -> Done {
    let plan =
        format!("upledger: 1\nname: one\nphases:\n  - phase: all\n    steps:\n      - {step}\n");
    machine.write("/root/one.yaml", &plan);
    machine.upledger(&["run", "one.yaml"])
}

#[test]
fn what_systemd_would_start_again_is_refused_without_it_and_names_the_unit() {
    let machine = platform();
    for kind in ["gunicorn.stop", "nginx.stop"] {
        let done = step(&machine, &format!("{{id: blind, do: {{{kind}: {{}}}}}}"));
        expect(&done, 1);
        let unit = if kind == "nginx.stop" { "nginx" } else { "web" };
        let remedy = format!("by: {{systemd: {{unit: {unit}.service}}}}");
        assert!(done.out.contains(&remedy), "{done:?}");
        expect(&machine.upledger(&["abort", "--reason", "test"]), 12);
    }
}

#[test]
fn what_systemd_cannot_start_again_is_refused_before_anything_is_done() {
    let machine = platform();
    let refused = |text: &str, remedy: &str| {
        let done = step(&machine, text);
        expect(&done, 1);
        assert!(done.out.contains(remedy), "{remedy}: {done:?}");
        expect(&machine.upledger(&["abort", "--reason", "test"]), 12);
    };
    let stop = |unit: &str| {
        format!("{{id: one, do: {{service.stop: {{by: {{systemd: {{unit: {unit}}}}}}}}}}}")
    };
    let start = |unit: &str| {
        format!("{{id: one, do: {{service.start: {{by: {{systemd: {{unit: {unit}}}}}}}}}}}")
    };
    machine.must(&["systemd-run", "--quiet", "--unit=once", "sleep", "infinity"]);
    refused(&stop("once"), "transient unit");
    assert_eq!(machine.state("once.service")["ActiveState"], "active");
    refused(&stop("nosuch"), "systemd has no unit nosuch.service");
    machine.must(&["systemctl", "--quiet", "mask", "nginx.service"]);
    refused(&stop("nginx"), "systemctl unmask nginx.service");
    assert_eq!(machine.state("nginx.service")["ActiveState"], "active");
    machine.must(&["systemctl", "stop", "nginx.service"]);
    refused(&start("nginx"), "systemctl unmask nginx.service");
    machine.must(&["systemctl", "stop", "web.service", "web.socket"]);
    machine.write(
        "/etc/systemd/system/web.service",
        &WEB.replace("workers 2", "workers 1"),
    );
    refused(&start("web"), "systemctl daemon-reload");
    machine.daemon_reload();
    expect(&step(&machine, &start("web")), 0);
    assert!(served(&machine));
}

#[test]
fn the_undo_of_a_start_leaves_the_socket_that_was_there_before() {
    let machine = platform();
    machine.must(&["systemctl", "stop", "web.service"]);
    let state = |unit: &str| machine.state(unit)["ActiveState"].clone();
    assert_eq!(
        (state("web.socket"), state("web.service")),
        ("active".into(), "inactive".into())
    );
    let start = "{id: web, do: {gunicorn.start: {by: {systemd: {unit: web}}}}}";
    expect(&step(&machine, start), 0);
    assert_eq!(state("web.service"), "active");
    expect(&machine.upledger(&["rollback", "--reason", "test"]), 5);
    assert_eq!(
        (state("web.socket"), state("web.service")),
        ("active".into(), "inactive".into())
    );
}

#[test]
fn a_unit_that_does_not_start_is_told_with_the_end_of_its_journal() {
    let machine = Machine::boot();
    machine.install_unit(
        "bad.service",
        "[Service]\nExecStart=/bin/sh -c 'echo no database today; exit 3'\nRestart=always\nRestartSec=50ms\n",
    );
    let one = "{id: one, do: {service.start: {by: {systemd: {unit: bad}}, within: 3s}}}";
    let done = step(&machine, one);
    expect(&done, 1);
    assert!(done.out.contains("no database today"), "{done:?}");
    assert!(done.out.contains("bad.service is"), "{done:?}");
    // systemd has given up, and would refuse the next start by itself.
    machine.patiently("the limit is reached", || {
        machine.state("bad.service")["ActiveState"] == "failed"
    });
    machine.install_unit("bad.service", "[Service]\nExecStart=/bin/sleep infinity\n");
    expect(
        &machine.upledger(&["decide", "one", "retry", "--reason", "mended"]),
        0,
    );
    expect(&machine.upledger(&["resume"]), 0);
    assert_eq!(machine.state("bad.service")["ActiveState"], "active");
}

#[test]
fn what_does_not_end_in_time_is_killed_and_that_is_on_record() {
    let machine = Machine::boot();
    let deaf = "[Service]\nExecStart=/bin/sh -c 'trap \"\" TERM; while :; do sleep 0.1; done'\n";
    let by = |unit: &str| format!("by: {{systemd: {{unit: {unit}}}}}");
    // By systemd, whose limit is shorter, and by us through systemd.
    for (unit, limit, grace, told) in [
        ("hasty", "1s", "30s", "TimeoutStopSec"),
        ("patient", "1min", "5s", "KILL through systemd"),
    ] {
        machine.install_unit(
            &format!("{unit}.service"),
            &format!("{deaf}TimeoutStopSec={limit}\nRestart=always\n"),
        );
        machine.must(&["systemctl", "start", unit]);
        let one = format!(
            "{{id: {unit}, do: {{service.stop: {{{}, grace: {grace}}}}}}}",
            by(unit)
        );
        expect(&step(&machine, &one), 0);
        assert!(machine.upledger(&["log"]).out.contains(told), "{unit}");
        assert_ne!(machine.state(unit)["ActiveState"], "active");
    }
    // What `KillMode` spares is ended by us.
    machine.install_unit(
        "spared.service",
        "[Service]\nExecStart=/bin/sh -c 'sleep 12345 & exec sleep infinity'\nKillMode=process\n",
    );
    machine.must(&["systemctl", "start", "spared"]);
    machine.patiently("both live", || {
        machine.run(&["pgrep", "-f", "sleep 12345"]).code == 0
    });
    expect(
        &step(
            &machine,
            &format!("{{id: spared, do: {{service.stop: {{{}}}}}}}", by("spared")),
        ),
        0,
    );
    assert_eq!(machine.run(&["pgrep", "-f", "sleep 12345"]).code, 1);
}

#[test]
fn a_reload_is_systemds_where_the_unit_has_one() {
    let machine = platform();
    let main = machine.state("web.service")["MainPID"].clone();
    let reload = "{id: web, do: {gunicorn.reload: {by: {systemd: {unit: web}}}}, undo: none}";
    let done = step(&machine, reload);
    expect(&done, 0);
    assert_eq!(machine.state("web.service")["MainPID"], main);
    assert!(
        machine
            .upledger(&["log", "--output", "web"])
            .out
            .contains("systemctl reload web.service")
    );
    let nginx = "{id: front, do: {nginx.reload: {by: {systemd: {unit: nginx}}}}, undo: none}";
    expect(&step(&machine, nginx), 0);
    machine.write(
        "/etc/systemd/system/web.service",
        &WEB.replace("ExecReload", "#ExecReload"),
    );
    machine.daemon_reload();
    let done = step(&machine, reload);
    expect(&done, 1);
    assert!(done.out.contains("has no ExecReload"), "{done:?}");
}

#[test]
fn timers_start_nothing_and_their_jobs_are_waited_for() {
    let machine = Machine::boot();
    machine.write("/etc/systemd/system/job.timer", TIMER);
    machine.install_unit("job.service", "[Service]\nExecStart=/bin/sleep infinity\n");
    machine.must(&["systemctl", "--quiet", "enable", "--now", "job.timer"]);
    machine.must(&["systemctl", "start", "job.service"]);
    let state = |unit: &str| machine.state(unit)["ActiveState"].clone();
    // Nothing of the undo is kept beside the ledger.
    let back = || {
        machine.sh("rm -rf /root/.local/state/upledger/undo/*");
        expect(&machine.upledger(&["rollback", "--reason", "test"]), 5);
    };
    let disable =
        |wait: &str| format!("{{id: jobs, do: {{timer.disable: {{timers: [job]{wait}}}}}}}");

    let done = step(&machine, &disable(""));
    expect(&done, 0);
    assert!(
        done.out.contains("still running: job.service (process"),
        "{done:?}"
    );
    assert_eq!(state("job.timer"), "inactive");
    assert_eq!(state("job.service"), "active", "it goes on");
    assert_eq!(
        machine.run(&["systemctl", "is-enabled", "job.timer"]).out,
        "enabled\n"
    );
    back();
    assert_eq!(state("job.timer"), "active");

    let done = step(&machine, &disable(", wait: 1s"));
    expect(&done, 1);
    assert!(
        done.out.contains("after 1s, still running: job.service"),
        "{done:?}"
    );
    machine.must(&["systemctl", "stop", "job.service"]);
    expect(
        &machine.upledger(&["decide", "jobs", "retry", "--reason", "ended"]),
        0,
    );
    expect(&machine.upledger(&["resume"]), 0);
    assert_eq!(state("job.timer"), "inactive");

    let enable = "{id: again, do: {timer.enable: {timers: [job.timer]}}}";
    expect(&step(&machine, enable), 0);
    assert_eq!(state("job.timer"), "active");
    back();
    assert_eq!(state("job.timer"), "inactive");
}

#[test]
fn what_has_done_its_work_counts_and_the_time_of_a_unit_is_its_grace() {
    let machine = Machine::boot();
    machine.install_unit(
        "once.service",
        "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo done >> /root/once'\n",
    );
    machine.install_unit(
        "idle.service",
        "[Service]\nExecStart=/bin/sleep infinity\nTimeoutStopSec=70\n",
    );
    let of = |action: &str, units: &str| {
        format!("{{id: one, do: {{service.{action}: {{by: {{systemd: {{units: [{units}]}}}}}}}}}}")
    };
    expect(&step(&machine, &of("start", "once")), 0);
    expect(&step(&machine, &of("start", "once, idle")), 0);
    let done = machine.read("/root/once");
    assert_eq!(done.lines().count(), 2, "{done}");
    let again = step(&machine, &of("start", "once, idle"));
    assert!(
        again.code == 0 && again.out.contains("already"),
        "{again:?}"
    );
    let plan = |step: &str| {
        let text =
            format!("upledger: 1\nname: x\nphases:\n  - phase: all\n    steps:\n      - {step}\n");
        machine.write("/root/x.yaml", &text);
        machine.upledger(&["plan", "x.yaml"]).out
    };
    assert!(plan(&of("stop", "once, idle")).contains("KILL after 1m10s"));
    let longer = of("stop", "once, idle").replace("]}}", "]}}, grace: 2m");
    assert!(plan(&longer).contains("TimeoutStopSec"), "{longer}");
    expect(&step(&machine, &of("stop", "once, idle")), 0);
    expect(&machine.upledger(&["rollback", "--reason", "test"]), 5);
    assert_eq!(machine.state("idle.service")["ActiveState"], "active");
}
