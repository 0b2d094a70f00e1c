//! Plans that copy and change data: what they name, and in which order.

use crate::common::{Done, World};

const BACKUP: &str =
    "{id: dump, do: {mysql.backup: {server: {socket: /run/db.sock}, database: app}}}";
const MIGRATE: &str = "{id: schema, do: {django.migrate: {python: /srv/venv/bin/python, manage: /srv/app/manage.py, backup: dump}}}";
const STOP: &str = "{id: web, do: {gunicorn.stop: {by: {match: gunicorn}}}}";
const CONFIRM: &str = "{id: silent, do: {expect.stopped: {processes: [gunicorn]}}}";
const COMMAND: &str = "{id: sync, do: {django.command: {python: /srv/venv/bin/python, manage: /srv/app/manage.py, name: sync, success: [ok]}}, effect: idempotent, undo: none}";
const START: &str = "{id: web-on, do: {gunicorn.start: {by: {process: {pidfile: /run/web.pid, argv: [/srv/venv/bin/gunicorn, \"wsgi:application\"], log: /var/log/web.log}}}}}";

fn check(steps: &[&str]) -> Done {
    let world = World::new();
    let mut plan = String::from("upledger: 1\nname: data\nphases:\n  - phase: all\n    steps:\n");
    for step in steps {
        plan.push_str(&format!("      - {step}\n"));
    }
    world.write("plan.yaml", &plan);
    world.upledger(&["check", "plan.yaml"])
}

#[track_caller]
fn refused(steps: &[&str], says: &[&str]) {
    let done = check(steps);
    assert_eq!(done.code, 3, "{done:?}");
    for what in says {
        assert!(done.err.contains(what), "{what}: {done:?}");
    }
}

#[test]
fn stop_confirm_copy_migrate_command_start_is_the_order() {
    let done = check(&[STOP, CONFIRM, BACKUP, MIGRATE, COMMAND, START]);
    assert_eq!(done.code, 0, "{done:?}");
    refused(
        &[BACKUP, STOP, CONFIRM, MIGRATE, START],
        &[
            "`dump` comes before `web`",
            "after the services have stopped",
        ],
    );
    refused(
        &[STOP, BACKUP, CONFIRM, MIGRATE, START],
        &[
            "`dump` comes before `silent`",
            "after the check that everything has stopped",
        ],
    );
    refused(
        &[STOP, CONFIRM, BACKUP, COMMAND, MIGRATE, START],
        &["`sync` comes before `schema`", "migrations come before"],
    );
    refused(
        &[STOP, CONFIRM, BACKUP, START, MIGRATE],
        &[
            "`web-on` comes before `schema`",
            "services start after the data",
        ],
    );
}

#[test]
fn a_copy_of_postgresql_stands_where_one_of_mariadb_does() {
    let dump =
        "{id: dump, do: {postgres.backup: {server: {socket: /run/postgresql}, database: app}}}";
    let sync = COMMAND.replace("undo: none", "undo: {postgres.restore: {backup: dump}}");
    let done = check(&[STOP, CONFIRM, dump, &sync, START]);
    assert_eq!(done.code, 0, "{done:?}");
    refused(
        &[dump, STOP, CONFIRM, &sync, START],
        &["`dump` comes before `web`"],
    );
    let back = "{id: back, do: {postgres.restore: {backup: dump}}, undo: none}";
    refused(
        &[STOP, CONFIRM, BACKUP, back, START],
        &["`backup` names the step `dump`, which is a mysql.backup"],
    );
}

#[test]
fn a_database_is_emptied_in_a_plan_for_tests_alone() {
    let empty = "{id: emptied, do: {django.reinitialise: {python: /srv/venv/bin/python, manage: /srv/app/manage.py, database: app, backup: dump}}}";
    refused(
        &[STOP, CONFIRM, BACKUP, empty, MIGRATE, START],
        &["only for plans with `environment: test`; this plan is for `-`"],
    );
    let backwards = COMMAND.replace(
        "undo: none",
        "undo: {django.reinitialise: {python: /srv/venv/bin/python, manage: /srv/app/manage.py, database: app, backup: dump}}",
    );
    refused(
        &[STOP, CONFIRM, BACKUP, &backwards, START],
        &["only for plans with `environment: test`"],
    );
    let world = World::new();
    let steps = [STOP, CONFIRM, BACKUP, empty, MIGRATE, START].join("\n      - ");
    let plan = format!(
        "upledger: 1\nname: data\nenvironment: test\nphases:\n  - phase: all\n    steps:\n      - {steps}\n"
    );
    world.write("plan.yaml", &plan);
    let done = world.upledger(&["check", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
}

#[test]
fn a_named_step_is_an_earlier_one_of_a_kind_that_fits() {
    refused(
        &[MIGRATE],
        &[
            "`backup` names the step `dump`, and no earlier step has that id",
            "mysql.backup",
        ],
    );
    refused(
        &[MIGRATE, BACKUP],
        &["`backup` names the step `dump`, and no earlier step has that id"],
    );
    refused(
        &["{id: dump, do: {file.backup: {path: /etc/hosts}}}", MIGRATE],
        &["`backup` names the step `dump`, which is a file.backup"],
    );
    refused(
        &[
            "{id: dumb, do: {mysql.backup: {server: {socket: /run/db.sock}, database: app}}}",
            MIGRATE,
        ],
        &["did you mean", "dumb"],
    );
}
