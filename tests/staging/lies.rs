//! What the platform says is not what is true: each lie that upledger must see through is told here for real.

use crate::platform::{Keeping, Options, Platform, patiently};

fn down() -> Platform {
    Platform::up(Options {
        keeping: Keeping::Down,
        ..Options::default()
    })
}

fn page(platform: &Platform, path: &str) -> (u16, String) {
    let answer = platform.client().get(path).expect("an answer");
    (answer.status, answer.body.trim().to_owned())
}

#[test]
#[ignore = "it tests the platform, not the program: the long tier runs it (tests/long)"]
fn the_queue_looks_empty_while_eight_tasks_wait_and_platforms_do_not_meet() {
    let (platform, other) = (Platform::up(Options::default()), down());
    platform.send_tasks("held", 8, 2.0);
    patiently("two tasks are at work", || {
        platform.tasks_started().len() >= 2
    });
    patiently("the rest is prefetched", || {
        platform.redis(&["LLEN", "celery"]) == "0"
    });
    assert_ne!(platform.redis(&["HLEN", "unacked"]), "0");
    assert!(
        platform.tasks_done().len() <= 2,
        "{:?}",
        platform.tasks_done()
    );
    assert_eq!(other.tasks_started().len(), 0);
}

#[test]
#[ignore = "it tests the platform, not the program: the long tier runs it (tests/long)"]
fn readiness_and_health_are_200_whatever_is_true() {
    let platform = Platform::up(Options::default());
    assert_eq!(page(&platform, "/healthz/"), (200, "ok".to_owned()));
    platform.write("run/sick", "");
    assert_eq!(
        page(&platform, "/healthz/"),
        (200, "health check failed".to_owned())
    );
    assert_eq!(page(&platform, "/readiness/"), (200, "ok".to_owned()));
    let master = platform.pid("gunicorn").expect("Gunicorn runs");
    let done = platform.run(&[
        r#"{id: page, do: {http.check: {url: "${url}/version", contains: "1.0"}}}"#,
        &format!(
            "{{id: web, do: {{run: [kill, -TERM, '{master}']}}, effect: idempotent, undo: none}}"
        ),
    ]);
    assert_eq!(done.code, 0, "{done:?}");
    patiently("Gunicorn has ended", || platform.pid("gunicorn").is_none());
    assert_eq!(page(&platform, "/version").0, 502);
    assert_eq!(platform.world().upledger(&["verify"]).code, 0);
}

#[test]
#[ignore = "it tests the platform, not the program: the long tier runs it (tests/long)"]
fn pip_check_is_content_and_the_worker_cannot_start() {
    let platform = down();
    platform.give_virtualenv("2.0-broken-deps");
    platform.switch_to("2.0-broken-deps");
    let pip = platform.python(&["-m", "pip", "check"]).run();
    assert!(pip.contains("No broken requirements found"), "{pip}");
    platform.manage(&["check"]).run();
    let worker = platform
        .python(&["-m", "celery", "-A", "celery_app", "worker"])
        .output();
    let said = String::from_utf8_lossy(&worker.stderr);
    assert!(
        !worker.status.success() && said.contains("VersionMismatch"),
        "{worker:?}"
    );
}

#[test]
#[ignore = "it tests the platform, not the program: the long tier runs it (tests/long)"]
fn the_old_code_starts_on_the_new_schema_and_cannot_take_orders() {
    let platform = down();
    platform.give_virtualenv("2.0");
    platform.switch_to("2.0");
    platform.manage(&["migrate", "--verbosity=0"]).run();
    platform.switch_to("1.0");
    platform.manage(&["migrate", "--check"]).run();
    platform.start_apps();
    platform.await_apps();
    assert_eq!(platform.release(), "1.0");
    assert_eq!(page(&platform, "/healthz/"), (200, "ok".to_owned()));
    assert_eq!(page(&platform, "/slow?seconds=0").0, 500);
    assert!(platform.read("log/gunicorn.log").contains("1364"));
}

#[test]
#[ignore = "it tests the platform, not the program: the long tier runs it (tests/long)"]
fn static_files_change_and_their_version_does_not() {
    let platform = down();
    platform.give_virtualenv("2.0");
    platform.switch_to("2.0");
    platform.manage(&["collectstatic", "--noinput"]).run();
    assert!(platform.read("static/bklog/app.css").contains("bklog 2.0"));
    let version = "from django.conf import settings; print(settings.STATIC_VERSION)";
    assert_eq!(
        platform.manage(&["shell", "-c", version]).run().trim(),
        "1.0"
    );
    let developer = platform
        .manage(&["collectstatic", "--noinput"])
        .env("BKPAAS_ENVIRONMENT", "dev");
    assert!(!developer.output().status.success());
}

#[test]
#[ignore = "it tests the platform, not the program: the long tier runs it (tests/long)"]
fn a_release_that_needs_what_nobody_installed_does_not_start() {
    let platform = down();
    platform.switch_to("2.0-broken-boot");
    let check = platform.manage(&["check"]).output();
    assert!(!check.status.success(), "{check:?}");
    let said = String::from_utf8_lossy(&check.stderr);
    assert!(said.contains("a_module_that_nobody_installs"), "{said}");
}

#[test]
#[ignore = "it tests the platform, not the program: the long tier runs it (tests/long)"]
fn a_migration_that_dies_leaves_its_first_half_and_a_reversal_stops_half_way() {
    let platform = down();
    platform.give_virtualenv("2.0");
    platform.switch_to("2.0");
    platform.switch_to("2.0-dies-halfway");
    let migrate = || platform.manage(&["migrate", "--verbosity=0"]).output();
    let said = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said(&migrate()).contains("(1054,"));
    let columns = "SELECT COUNT(*) FROM information_schema.columns WHERE table_name = 'orders' AND column_name = 'note'";
    assert_eq!(platform.sql(columns), "1");
    assert!(said(&migrate()).contains("(1060,"));
    let left = "SELECT name FROM django_migrations WHERE app = 'log_search' ORDER BY id";
    assert_eq!(platform.sql(left), "0001_initial\n0002_order_level");

    platform.switch_to("2.0-irreversible");
    assert!(migrate().status.success());
    let back = platform
        .manage(&["migrate", "--verbosity=0", "log_search", "0001"])
        .output();
    assert!(
        !back.status.success() && said(&back).contains("IrreversibleError"),
        "{back:?}"
    );
    // The reversal of the last one was committed before that: neither the new state nor the old.
    assert_eq!(
        platform.sql(left),
        "0001_initial\n0002_order_level\n0003_levels"
    );
}

#[test]
#[ignore = "it tests the platform, not the program: the long tier runs it (tests/long)"]
fn with_the_permission_service_away_migrate_fails_and_has_migrated_and_the_grant_says_sorry_and_ends_well()
 {
    let platform = down();
    platform.give_virtualenv("2.0");
    platform.switch_to("2.0");
    platform.switch_to("2.0-iam");
    let migrate = platform.manage(&["migrate", "--verbosity=0"]).output();
    assert!(!migrate.status.success(), "{migrate:?}");
    platform.manage(&["migrate", "--check"]).run();
    let grant = platform.manage(&["iam_upgrade_action_v2"]).run();
    assert!(
        grant.starts_with("Sorry, maybe something wrong with IAM upgrade"),
        "{grant}"
    );
}
