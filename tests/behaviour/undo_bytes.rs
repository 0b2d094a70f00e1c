//! The ledger is the only state: each kind of action that has an undo is run, `undo/` loses all that no event names,
//! and the rollback brings the world back as it was.
//!
//! One row for each kind of the registry. A new kind fails the test until it has one: settings that tell whether it has
//! an undo, and where it has one, a world for it here or the test of another file that does the same.

use crate::keeper::Place;
use crate::undo_worlds::*;
use std::collections::BTreeMap;
use std::path::Path;
use upledger::actions::Do;

/// A kind, settings for it (`@/` is the world's directory and `%` its port), and how its undo is proved.
struct Row(&'static str, &'static str, Proof);

enum Proof {
    /// It has none.
    NoUndo,
    /// In a world that is made so, and compared by what is seen.
    Here {
        make: fn(&Place),
        see: fn(&Place) -> String,
    },
    /// By a test that rolls back with `World::rollback`.
    In {
        file: &'static str,
        test: &'static str,
    },
}

use Proof::{Here, In, NoUndo};

const ROWS: &[Row] = &[
    Row("run", r#"["true"]"#, NoUndo),
    Row("shell", r#""true""#, NoUndo),
    Row("file.backup", r#"{"path": "@/file"}"#, NoUndo),
    Row(
        "file.replace",
        r#"{"path": "@/file", "content": "wanted\n", "mode": "0600"}"#,
        Here {
            make: file,
            see: tree,
        },
    ),
    Row(
        "file.restore",
        r#"{"path": "@/file", "from": "@/plan.yaml"}"#,
        Here {
            make: file,
            see: tree,
        },
    ),
    Row(
        "file.line",
        r#"{"path": "@/file", "match": "^DEBUG=", "line": "DEBUG=0"}"#,
        Here {
            make: file,
            see: tree,
        },
    ),
    Row("config.backup", r#"{"paths": ["@/file"]}"#, NoUndo),
    Row(
        "config.diff",
        r#"{"path": "@/file", "with": "@/plan.yaml"}"#,
        NoUndo,
    ),
    Row(
        "config.set",
        r#"{"path": "@/file", "format": "dotenv", "edits": [{"key": "DEBUG", "value": "0"}]}"#,
        Here {
            make: assignments,
            see: tree,
        },
    ),
    Row("dir.backup", r#"{"path": "@/sites"}"#, NoUndo),
    Row(
        "dir.restore",
        r#"{"backup": "copy"}"#,
        In {
            file: "behaviour/directories.rs",
            test: "a_directory_is_restored_whole_and_the_former_one_comes_back",
        },
    ),
    Row("env.set", r#"{"variables": {"A": "1"}}"#, NoUndo),
    Row(
        "env.capture",
        r#"{"source": "@/env.sh", "names": ["A"]}"#,
        NoUndo,
    ),
    Row(
        "test.sample",
        r#"{"dir": "@/sample", "text": "wanted\n"}"#,
        Here {
            make: sample,
            see: sampled,
        },
    ),
    Row(
        "mysql.backup",
        r#"{"server": {"socket": "/s"}, "database": "d"}"#,
        NoUndo,
    ),
    Row("mysql.restore", r#"{"backup": "dump"}"#, NoUndo),
    Row(
        "postgres.backup",
        r#"{"server": {"socket": "/s"}, "database": "d"}"#,
        NoUndo,
    ),
    Row("postgres.restore", r#"{"backup": "dump"}"#, NoUndo),
    Row(
        "postgres.expect",
        r#"{"server": {"socket": "/s"}, "database": "d", "values": [{"query": "SELECT 1", "equals": 1}]}"#,
        NoUndo,
    ),
    Row(
        "expect.config",
        r#"{"path": "@/file", "format": "dotenv", "values": [{"key": "A", "value": "1"}]}"#,
        NoUndo,
    ),
    Row("expect.process", r#"{"match": "x"}"#, NoUndo),
    Row("expect.port", r#"{"port": 1}"#, NoUndo),
    Row("expect.stopped", r#"{"ports": [1]}"#, NoUndo),
    Row("expect.file", r#"{"path": "/"}"#, NoUndo),
    Row("expect.command", r#"{"argv": ["true"]}"#, NoUndo),
    Row(
        "process.start",
        r#"{"argv": ["sleep", "1000"], "pidfile": "@/pid", "log": "@/log"}"#,
        Here {
            make: |_| {},
            see: daemon,
        },
    ),
    Row(
        "process.stop",
        r#"{"pidfile": "@/pid"}"#,
        Here {
            make: started_daemon,
            see: daemon,
        },
    ),
    Row(
        "gunicorn.stop",
        "{}",
        In {
            file: "staging/gunicorn.rs",
            test: "a_request_in_flight_finishes_and_the_undo_brings_the_same_server_back",
        },
    ),
    Row(
        "gunicorn.start",
        r#"{"by": {"pidfile": "@/pid", "start": ["gunicorn"], "log": "@/log"}}"#,
        In {
            file: "staging/gunicorn.rs",
            test: "a_request_in_flight_finishes_and_the_undo_brings_the_same_server_back",
        },
    ),
    Row("gunicorn.reload", "{}", NoUndo),
    Row(
        "nginx.stop",
        r#"{"conf": "@/nginx.conf"}"#,
        Here {
            make: started_nginx,
            see: page,
        },
    ),
    Row(
        "nginx.start",
        r#"{"conf": "@/nginx.conf", "url": "http://127.0.0.1:%/"}"#,
        Here {
            make: configured_nginx,
            see: page,
        },
    ),
    Row("nginx.reload", "{}", NoUndo),
    Row(
        "nginx.maintenance",
        r#"{"file": "@/maintenance.conf", "content": "return 503;\n", "conf": "@/nginx.conf",
            "url": "http://127.0.0.1:%/"}"#,
        Here {
            make: started_nginx,
            see: page,
        },
    ),
    Row(
        "supervisor.update",
        r#"{"groups": ["app"]}"#,
        In {
            file: "staging/programs.rs",
            test: "an_update_is_shown_before_and_its_undo_stops_what_it_started",
        },
    ),
    Row(
        "service.stop",
        r#"{"by": {"pidfile": "@/app.pid", "log": "@/log"}}"#,
        Here {
            make: started_server,
            see: page,
        },
    ),
    Row(
        "service.start",
        r#"{"by": {"pidfile": "@/app.pid", "start": ["python3", "@/server.py", "%", "@/app.pid", "fork"],
            "log": "@/log", "cwd": "@/"}, "ready": {"port": "%"}}"#,
        Here {
            make: server,
            see: page,
        },
    ),
    Row(
        "celery.stop",
        "{}",
        In {
            file: "staging/celery_drain.rs",
            test: "running_and_prefetched_tasks_are_done_once_and_waiting_ones_are_left_to_the_new_worker",
        },
    ),
    Row(
        "celery.start",
        r#"{"by": {"pidfile": "@/pid", "start": ["celery"], "log": "@/log"}}"#,
        In {
            file: "staging/celery_services.rs",
            test: "supervisord_keeps_both_a_beat_starts_behind_a_stale_pidfile_and_broken_libraries_are_told",
        },
    ),
    Row(
        "git.deploy",
        r#"{"repo": "@/source", "ref": "app/2.0", "into": "@/app"}"#,
        Here {
            make: clone,
            see: checkout,
        },
    ),
    Row(
        "release.switch",
        r#"{"links": [{"path": "@/current", "to": "@/two"}, {"path": "@/other", "to": "@/two"}]}"#,
        Here {
            make: linked,
            see: leads,
        },
    ),
    Row(
        "release.prune",
        r#"{"keep": 1, "releases": "@/releases"}"#,
        NoUndo,
    ),
    Row(
        "timer.disable",
        r#"{"timers": ["backup"]}"#,
        In {
            file: "systemd/services.rs",
            test: "timers_start_nothing_and_their_jobs_are_waited_for",
        },
    ),
    Row(
        "timer.enable",
        r#"{"timers": ["backup"]}"#,
        In {
            file: "systemd/services.rs",
            test: "timers_start_nothing_and_their_jobs_are_waited_for",
        },
    ),
    Row(
        "cron.disable",
        r#"{"match": "job", "file": "@/crontab"}"#,
        Here {
            make: crontab,
            see: tree,
        },
    ),
    Row(
        "cron.enable",
        r#"{"match": "off", "file": "@/crontab"}"#,
        Here {
            make: crontab,
            see: tree,
        },
    ),
    Row(
        "pip.install",
        r#"{"venv": "@/venv", "python": "/usr/bin/python3", "requirements": ["@/base.txt"]}"#,
        In {
            file: "behaviour/pip.rs",
            test: "a_virtualenv_is_built_beside_the_old_one_switched_to_and_taken_back",
        },
    ),
    Row(
        "pre_commit.install",
        r#"{"repo": "@/repo", "venv": "@/venv"}"#,
        Here {
            make: hooks,
            see: hook_files,
        },
    ),
    Row("django.check", r#"{"python": "/usr/bin/python3"}"#, NoUndo),
    Row(
        "django.collectstatic",
        r#"{"python": "/usr/bin/python3"}"#,
        In {
            file: "staging/static_files.rs",
            test: "a_release_is_collected_compared_served_and_taken_back",
        },
    ),
    Row("redis.backup", "{}", NoUndo),
    Row(
        "redis.restore",
        r#"{"backup": "dump"}"#,
        In {
            file: "staging/redis_restore.rs",
            test: "a_server_in_append_only_mode_is_restored_and_its_undo_brings_its_files_back",
        },
    ),
    Row("redis.expect", r#"{"role": "master"}"#, NoUndo),
    Row(
        "mysql.expect",
        r#"{"server": {"socket": "/s"}, "values": [{"query": "SELECT 1", "equals": 1}]}"#,
        NoUndo,
    ),
    Row(
        "mysql.query",
        r#"{"server": {"socket": "/s"}, "query": "SELECT 1"}"#,
        NoUndo,
    ),
    Row(
        "django.migrate",
        r#"{"python": "/usr/bin/python3", "backup": "dump"}"#,
        In {
            file: "staging/migrate.rs",
            test: "a_release_that_dies_half_way_comes_back_by_the_restore_of_its_backup",
        },
    ),
    Row(
        "django.fake",
        r#"{"python": "/usr/bin/python3", "app": "shop", "name": "0002_price"}"#,
        In {
            file: "staging/migrate_fake.rs",
            test: "one_migration_is_recorded_where_the_schema_holds_all_of_it",
        },
    ),
    Row(
        "django.reinitialise",
        r#"{"python": "/usr/bin/python3", "database": "app", "backup": "dump"}"#,
        In {
            file: "staging/migrate_fake.rs",
            test: "the_database_of_a_test_installation_is_emptied_and_comes_back",
        },
    ),
    Row(
        "django.command",
        r#"{"python": "/usr/bin/python3", "name": "sync", "failure": ["Sorry"]}"#,
        NoUndo,
    ),
    Row("http.check", r#"{"url": "http://127.0.0.1:1/"}"#, NoUndo),
];

/// Runs one step of that kind, forgets what no event names, and rolls back.
fn comes_back(kind: &str, settings: &str, make: fn(&Place), see: fn(&Place) -> String) {
    let place = Place::new();
    make(&place);
    let before = see(&place);
    let settings = settings.split_whitespace().collect::<Vec<_>>().join(" ");
    let done = place.run(&[&format!("{{id: it, do: {{{kind}: {settings}}}}}")]);
    assert_eq!(done.code, 0, "{kind}: {done:?}");
    assert_ne!(see(&place), before, "{kind} has changed something");
    let back = place.rollback();
    assert_eq!(back.code, 5, "{kind}: {back:?}");
    assert_eq!(see(&place), before, "{kind}: {back:?}");
}

/// That the row tells the truth of its kind.
fn prove(Row(kind, settings, proof): &Row) {
    let sample = settings.replace('@', "/srv").replace('%', "80");
    let action: Do = serde_json::from_str(&format!(r#"{{"{kind}": {sample}}}"#))
        .unwrap_or_else(|e| panic!("{kind}: {e}"));
    let has_undo = action.kind_of().properties().has_undo;
    assert_eq!(has_undo, !matches!(proof, NoUndo), "{kind} has an undo");
    match proof {
        NoUndo => {}
        Here { make, see } => comes_back(kind, settings, *make, *see),
        In { file, test } => {
            let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
            let text = std::fs::read_to_string(tests.join(file)).expect("readable");
            let from = text.find(&format!("\nfn {test}()"));
            let body = from.and_then(|at| text[at..].split("\n}").next());
            // Its own `back` or `rollback` ends in that of the world.
            let rolls_back = body.is_some_and(|b| b.contains("back()"));
            assert!(
                rolls_back,
                "{kind}: {file} has no test {test} that rolls back"
            );
        }
    }
}

#[test]
fn each_undo_works_from_the_ledger_and_the_bytes_that_it_names() {
    let mut families: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for kind in Do::KINDS {
        let rows: Vec<&Row> = ROWS.iter().filter(|Row(of, ..)| of == kind).collect();
        let [row] = rows[..] else {
            panic!(
                "{kind} has {} rows in this table, and needs one",
                rows.len()
            );
        };
        let family = kind.split('.').next().unwrap_or(kind);
        families.entry(family).or_default().push(row);
    }
    // They mostly wait. Those of one family may see each other's processes.
    std::thread::scope(|scope| {
        for rows in families.into_values() {
            scope.spawn(move || rows.into_iter().for_each(prove));
        }
    });
}

#[test]
fn what_no_event_names_is_forgotten_and_what_one_names_stays() {
    let place = Place::new();
    file(&place);
    let step = r#"{id: it, do: {file.replace: {path: @/file, content: new}}}"#;
    assert_eq!(place.run(&[step]).code, 0);
    let undo = place.state().join("undo");
    std::fs::write(undo.join("of-nobody"), "").expect("written");
    std::fs::create_dir(undo.join("a-note")).expect("made");
    place.forget_unnamed();
    let left: Vec<_> = std::fs::read_dir(&undo).expect("undo").flatten().collect();
    let [kept] = &left[..] else {
        panic!("{left:?}")
    };
    assert_eq!(
        std::fs::read(kept.path()).expect("readable"),
        b"A=1\r\nDEBUG=1\n\nno end"
    );
}
