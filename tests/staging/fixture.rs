//! The platform of the tests itself: it comes up whole in each of its forms, and nothing of it is left behind.

use crate::common::kill;
use crate::platform::{Broker, CRONTAB, Call, CronUser, Keeping, Options, Platform, patiently};
use std::path::Path;

/// Drops the platform and looks whether anything of it is left.
fn leaves_nothing(platform: Platform) {
    let dir = platform.path("");
    let pids: Vec<i32> = platform.processes().iter().map(|(pid, _)| *pid).collect();
    assert!(!pids.is_empty(), "it runs");
    drop(platform);
    assert!(!dir.exists());
    for pid in pids {
        // A zombie has no program any more; PID 1 takes it away in its own time.
        assert!(
            std::fs::read_link(format!("/proc/{pid}/exe")).is_err(),
            "{pid} lives"
        );
    }
}

#[test]
fn a_platform_serves_release_1_works_off_tasks_ticks_and_leaves_nothing() {
    let platform = Platform::up(Options::default());
    assert_eq!(platform.release(), "1.0");
    platform.send_tasks("once", 3, 0.0);
    patiently("three tasks are done", || platform.tasks_done().len() == 3);
    assert_eq!(platform.tasks_started().len(), 3);
    patiently("beat ticks", || platform.ticks() >= 2);
    let page = platform.client().get("/").expect("a page").body;
    let style = page.split('"').nth(3).expect("a style sheet");
    let answer = platform.client().get(style).expect("a file");
    assert_eq!(answer.status, 200, "{style}");
    assert!(answer.body.contains("bklog 1.0"), "{answer:?}");
    let test = Call::new("nginx").args(["-t", "-q", "-c", &platform.text("etc/nginx.conf")]);
    let log = platform.text("log/nginx-error.log");
    let test = test.args(["-e", &log]).output();
    assert!(test.status.success() && test.stderr.is_empty(), "{test:?}");
    for name in ["nginx", "gunicorn", "worker", "beat", "mariadb", "redis"] {
        assert!(
            platform.pid(name).is_some(),
            "{name}: {:?}",
            platform.processes()
        );
    }
    leaves_nothing(platform);
}

#[test]
fn supervisor_keeps_what_dies() {
    let platform = Platform::up(Options {
        keeping: Keeping::Supervisor,
        ..Options::default()
    });
    assert_eq!(platform.release(), "1.0");
    let worker = platform.pid("worker").expect("the worker runs");
    kill(worker);
    patiently("another worker runs", || {
        platform.pid("worker").is_some_and(|pid| pid != worker)
    });
    let shown = platform.supervisorctl(&["status"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    for name in ["bklog:gunicorn", "bklog:worker", "bklog:beat", "nginx"] {
        assert!(shown.contains(name), "{shown}");
    }
    leaves_nothing(platform);
}

#[test]
#[ignore = "the drain on RabbitMQ stands on the same: the long tier runs it (tests/long)"]
fn rabbitmq_carries_the_tasks_when_asked_to() {
    let platform = Platform::up(Options {
        broker: Broker::Rabbit,
        ..Options::default()
    });
    platform.send_tasks("once", 2, 0.0);
    patiently("two tasks are done", || platform.tasks_done().len() == 2);
    let queues = platform.rabbitmqctl(&["list_queues", "--silent", "name", "consumers"]);
    let queues = String::from_utf8_lossy(&queues.stdout).into_owned();
    assert!(queues.lines().any(|l| l == "celery\t1"), "{queues}");
    leaves_nothing(platform);
}

#[test]
fn a_million_rows_are_there_when_asked_for_and_a_panic_leaves_nothing_either() {
    let mut dir = None;
    let test = std::panic::AssertUnwindSafe(|| {
        let platform = Platform::up(Options {
            keeping: Keeping::Down,
            rows: true,
            ..Options::default()
        });
        dir = Some(platform.path(""));
        assert_eq!(platform.sql("SELECT COUNT(*) FROM log_index"), "1000000");
        assert!(platform.pid("gunicorn").is_none());
        assert!(platform.processes().len() >= 2);
        std::panic::resume_unwind(Box::new("as a failed test does"));
    });
    let panic = std::panic::catch_unwind(test).expect_err("it panics");
    assert_eq!(panic.downcast_ref(), Some(&"as a failed test does"));
    assert!(!dir.expect("it came up").exists());
}

#[test]
fn a_user_has_a_crontab_of_odd_lines_and_goes_with_it() {
    let user = CronUser::with(CRONTAB);
    assert_eq!(user.crontab(), CRONTAB);
    // Debian's `crontab -l` keeps comments at the very top to itself, so only the spool has every byte.
    let shown = Call::new("crontab").args(["-l", "-u", user.name()]).run();
    let (hidden, rest) = CRONTAB.split_once('\n').expect("two lines");
    assert!(hidden.starts_with('#'));
    assert_eq!(shown, rest);
    let (name, spool) = (user.name().to_owned(), user.spool());
    drop(user);
    assert!(!Path::new(&spool).exists());
    assert!(!Call::new("id").args([&name]).output().status.success());
}
