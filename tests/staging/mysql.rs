//! `mysql.backup` and `mysql.restore` on a real MariaDB: what they bring back, what becomes of them when something dies,
//! and what a damaged dump means.

use crate::common::{Done, World};
use crate::platform::Maria;
use std::fmt::Write as _;
use std::path::PathBuf;

/// A plan of steps, each a line such as `{id: dump, do: {...}}`; `SERVER` in it becomes the settings of the server.
pub(crate) fn plan(world: &World, server: &Maria, steps: &[&str]) {
    let mut plan = String::from("upledger: 1\nname: db\nphases:\n  - phase: all\n    steps:\n");
    for step in steps {
        let step = step.replace(
            "SERVER",
            &format!("{{socket: {}, user: root}}", server.socket()),
        );
        writeln!(plan, "      - {step}").expect("text takes text");
    }
    world.write("plan.yaml", &plan);
}

/// A step that changes something by SQL.
pub(crate) fn change(server: &Maria, sql: &str) -> String {
    let client = format!(
        "mariadb --no-defaults -uroot --socket={} -e",
        server.socket()
    );
    format!("{{id: change, do: {{shell: \"{client} '{sql}'\"}}, on_doubt: ask, undo: none}}")
}

pub(crate) const DUMP: &str = "{id: dump, do: {mysql.backup: {server: SERVER, database: d}}}";
pub(crate) const BACK: &str =
    "{id: back, do: {mysql.restore: {backup: dump, watch: 300ms}}, undo: none}";

/// The directories of backups in a state directory, those without a name included.
pub(crate) fn backups(world: &World) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(world.state().join("backups"));
    listed
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .collect()
}

/// Whether every part is in what was printed.
#[track_caller]
pub(crate) fn says(done: &Done, parts: &[&str]) {
    let all = format!("{}{}", done.out, done.err);
    for part in parts {
        assert!(all.contains(part), "no '{part}' in {all}");
    }
}

/// Scratch schemas that are there.
pub(crate) fn scratches(server: &Maria) -> String {
    server.sql("SHOW DATABASES LIKE 'upledger%'")
}

/// Two dumps have the same lines.
#[track_caller]
pub(crate) fn same(before: &str, after: &str) {
    let differ = before.lines().zip(after.lines()).filter(|(b, a)| b != a);
    let differ: Vec<_> = differ.take(3).collect();
    assert!(before == after, "the dumps differ: {differ:#?}");
}

/// Everything that a schema can hold.
const SCHEMA: &str = include_str!("sql/schema.sql");

#[test]
fn everything_of_a_schema_comes_back_byte_for_byte_and_nothing_else_stays() {
    let server = Maria::up("");
    server.load(SCHEMA);
    let (before, world) = (server.dump("d"), World::new());
    let spoil = change(
        &server,
        "USE d; CREATE TABLE new_in_v2 (id int); CREATE VIEW v_new AS SELECT * FROM new_in_v2; ALTER TABLE a ADD c int; \
         DELETE FROM log; DROP EVENT ev; DROP SEQUENCE seq; UPDATE h SET v = 3; CREATE PROCEDURE p_new() SELECT 1",
    );
    plan(&world, &server, &[DUMP, &spoil, BACK]);
    let seen = world.upledger(&["plan", "plan.yaml"]);
    says(
        &seen,
        &[
            "d.log (MyISAM)",
            "events that are enabled: d.ev",
            "--dump-history",
        ],
    );
    assert_eq!(
        (server.dump("d"), scratches(&server)),
        (before.clone(), String::new())
    );
    assert!(backups(&world).is_empty(), "a preview keeps nothing");

    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    same(&before, &server.dump("d"));
    assert_eq!(scratches(&server), "");
    let history = "SELECT COUNT(*) FROM d.h FOR SYSTEM_TIME ALL; SELECT unix_timestamp(t) FROM d.a WHERE id = 0";
    assert_eq!(server.sql(history), "3\n1767240000");
    let status =
        "SELECT GROUP_CONCAT(CONCAT(event_name, status) ORDER BY 1) FROM information_schema.events";
    assert_eq!(server.sql(status), "asleepDISABLED,evENABLED");
}
