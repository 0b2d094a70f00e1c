//! `mysql.backup` and `mysql.restore` on a real MariaDB: what they bring back, what becomes of them when something dies,
//! and what a damaged dump means.

use crate::common::{Done, World};
use crate::platform::{Call, Maria, end_all, patiently};
use crate::ports::free_port;
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

/// A step that waits for the test.
const WAIT: &str = "{id: wait, do: {run: [test, -e, \"@/go\"]}, effect: pure}";

/// A run that has made its backup and waits, and the backup's dump.
fn dumped(server: &Maria, steps: &[&str]) -> (World, PathBuf) {
    let world = World::new();
    let all: Vec<&str> = [DUMP, WAIT]
        .into_iter()
        .chain(steps.iter().copied())
        .collect();
    plan(&world, server, &all);
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 1, "{done:?}");
    let dump = backups(&world)[0].join("d.sql.zst");
    (world, dump)
}

/// The run goes on behind a question about this step.
fn go_on(world: &World, step: &str) -> Done {
    world.write("go", "");
    let decided = world.upledger(&["decide", step, "retry", "--reason", "test"]);
    assert_eq!(decided.code, 0, "{decided:?}");
    world.upledger(&["resume"])
}

fn small(server: &Maria) {
    server.sql(
        "CREATE DATABASE d; USE d; CREATE TABLE a (id int PRIMARY KEY, p char(64)); INSERT INTO a SELECT seq, sha2(seq, 256) FROM seq_1_to_3000; \
         CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b VALUES (1)",
    );
}

/// A dump that is cut at every tenth of it, one with a flipped byte, and one that is gone: nothing is dropped.
#[test]
fn a_damaged_backup_is_recognised_before_anything_is_dropped() {
    let server = Maria::up("");
    small(&server);
    let before = server.dump("d");
    let (world, dump) = dumped(&server, &[BACK]);
    let good = std::fs::read(&dump).expect("the dump");
    server.sql("INSERT INTO d.b VALUES (2)");
    let mut step = "wait";
    let mut refused = |why: &str| {
        let done = go_on(&world, step);
        step = "back";
        assert_eq!(done.code, 1, "{done:?}");
        says(&done, &[why]);
        assert_eq!(server.sql("SELECT COUNT(*) FROM d.b"), "2");
    };
    for tenth in 0..10 {
        std::fs::write(&dump, &good[..good.len() * tenth / 10]).expect("cut");
        refused("is damaged");
    }
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    std::fs::write(&dump, flipped).expect("flipped");
    refused("is damaged");
    std::fs::remove_file(&dump).expect("removed");
    refused("does not exist");
    let manifest = dump.with_file_name("manifest.json");
    let told = std::fs::read_to_string(&manifest).expect("the manifest");
    std::fs::write(&dump, &good).expect("whole again");
    std::fs::write(&manifest, told.replace("\"rows\": 3000", "\"rows\": 3001")).expect("changed");
    refused("is not the manifest of the backup");
    std::fs::write(&manifest, told).expect("as it was");
    let done = go_on(&world, "back");
    assert_eq!(done.code, 0, "{done:?}");
    same(&before, &server.dump("d"));
}

/// A restore is the undo of another step, and brings back what that step has spoilt.
#[test]
fn a_restore_undoes_what_another_step_did() {
    let server = Maria::up("");
    small(&server);
    server.sql("CREATE USER app IDENTIFIED BY 'x'; GRANT ALL ON d.* TO app");
    let before = server.dump("d");
    let world = World::new();
    let spoil = change(
        &server,
        "DROP TABLE d.b; ALTER TABLE d.a ADD c int; CREATE TABLE d.later (id int)",
    )
    .replace(
        "undo: none",
        "undo: {mysql.restore: {backup: dump, watch: 300ms}}",
    );
    plan(&world, &server, &[DUMP, &spoil]);
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    let seen = world.upledger(&["rollback", "--dry-run"]);
    let back = world.upledger(&["rollback", "--reason", "test"]);
    assert_eq!(back.code, 5, "{back:?} {seen:?}");
    says(
        &back,
        &["locked until the end: app@%", "app@% is no longer locked"],
    );
    same(&before, &server.dump("d"));
    assert!(!server.sql("SHOW CREATE USER app").contains("ACCOUNT LOCK"));
}

/// Killed in the middle, whoever it is: the same run goes on, and its end is the backup.
#[test]
fn a_killed_restore_goes_on_and_leaves_no_scratch_and_no_locked_account() {
    let server = Maria::up("");
    small(&server);
    server.sql("CREATE USER app; GRANT ALL ON d.* TO app; USE d; CREATE TABLE c (id int PRIMARY KEY, p char(200)); INSERT INTO c SELECT seq, repeat(md5(seq), 6) FROM seq_1_to_60000");
    let before = server.dump("d");
    let (world, _) = dumped(&server, &[BACK]);
    world.write("go", "");
    server.sql("INSERT INTO d.b VALUES (2); DROP TABLE d.c");
    // The runner, its supervisor and the action die while rows are loaded.
    let decided = world.upledger(&["decide", "wait", "retry", "--reason", "test"]);
    assert_eq!(decided.code, 0, "{decided:?}");
    let mut run = world.start(&["resume"]);
    // A connection of ours would be one of others.
    let table = server.path("data/d/c.ibd");
    patiently("the restore loads", || table.exists());
    end_all(&world.path(""));
    run.wait().expect("reaped");
    patiently("the server has ended its statements", || {
        server.sql("SELECT COUNT(*) FROM information_schema.processlist WHERE command <> 'Daemon'")
            == "1"
    });
    assert!(
        server.sql("SHOW CREATE USER app").contains("ACCOUNT LOCK"),
        "it was too late"
    );
    let done = world.upledger(&["resume"]);
    let done = if done.code == 0 {
        done
    } else {
        go_on(&world, "back")
    };
    assert_eq!(done.code, 0, "{done:?}");
    same(&before, &server.dump("d"));
    assert!(!server.sql("SHOW CREATE USER app").contains("ACCOUNT LOCK"));
    assert_eq!(scratches(&server), "");
}

/// The server dies while it is restored: what is lost is told, and the same restore goes on when it is back.
#[test]
fn a_restore_whose_server_dies_says_what_is_lost_and_goes_on() {
    let server = Maria::up("");
    small(&server);
    server.sql("USE d; CREATE TABLE c (id int PRIMARY KEY, p char(200)); INSERT INTO c SELECT seq, repeat(md5(seq), 6) FROM seq_1_to_60000");
    let before = server.dump("d");
    let (world, _) = dumped(&server, &[BACK]);
    server.sql("INSERT INTO d.b VALUES (2); DROP TABLE d.c");
    world.write("go", "");
    let decided = world.upledger(&["decide", "wait", "retry", "--reason", "test"]);
    assert_eq!(decided.code, 0, "{decided:?}");
    let run = world
        .command(&["resume"])
        .stdout(std::process::Stdio::piped())
        .spawn();
    let run = run.expect("it starts");
    let table = server.path("data/d/c.ibd");
    patiently("the restore loads", || table.exists());
    server.kill();
    let done = Done::of(run.wait_with_output().expect("its end"));
    assert_eq!(done.code, 1, "{done:?}");
    says(
        &done,
        &[
            "the restore into d stopped at the table",
            "the same restore goes on from here",
        ],
    );
    server.start("");
    let done = go_on(&world, "back");
    assert_eq!(done.code, 0, "{done:?}");
    same(&before, &server.dump("d"));
}

/// An account with rights on its schemas alone proves its backup in a schema that it is given, and in no other.
#[test]
fn an_account_without_rights_on_everything_uses_the_scratch_schema_that_it_is_given() {
    let server = Maria::up("");
    small(&server);
    server.sql(
        "CREATE USER keeper; GRANT ALL ON d.* TO keeper; GRANT ALL ON spare.* TO keeper; GRANT PROCESS ON *.* TO keeper; \
         CREATE DATABASE spare; CREATE VIEW d.v AS SELECT 1 AS one; DROP VIEW d.v",
    );
    let before = server.dump("d");
    let run = |scratch: &str| {
        let world = World::new();
        let place = format!("{{socket: {}, user: keeper}}", server.socket());
        let dump = DUMP
            .replace("SERVER", &place)
            .replace("database: d", &format!("database: d{scratch}"));
        let spoil = change(&server, "DROP TABLE d.b");
        let back = BACK.replace("backup: dump", &format!("backup: dump{scratch}"));
        plan(&world, &server, &[&dump, &spoil, &back]);
        (world.upledger(&["run", "plan.yaml"]), world)
    };
    let (done, _world) = run("");
    assert_eq!(done.code, 1, "{done:?}");
    says(&done, &["may not create the scratch schema", "`scratch`"]);
    server.sql("CREATE TABLE spare.precious (id int)");
    let (done, _world) = run(", scratch: spare");
    assert_eq!(done.code, 1, "{done:?}");
    says(&done, &["spare is not empty, and is not touched"]);
    server.sql("DROP TABLE spare.precious");
    let (done, _world) = run(", scratch: spare");
    assert_eq!(done.code, 0, "{done:?}");
    same(&before, &server.dump("d"));
    assert_eq!(server.sql("SHOW TABLES FROM spare"), "");
}

/// Certificates of an authority of the test's own for a server on 127.0.0.1.
pub(crate) fn certificates(world: &World) {
    world.write("ext", "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
    let openssl = |words: &str| {
        let words = words.split(' ').map(str::to_owned);
        Call::new("openssl").args(words).dir(&world.path("")).run();
    };
    for ca in ["ca", "other"] {
        openssl(&format!(
            "req -x509 -newkey rsa:2048 -nodes -keyout {ca}.key -out {ca}.pem -days 2 -subj /CN=authority-{ca}"
        ));
    }
    openssl("req -newkey rsa:2048 -nodes -keyout key.pem -out req.pem -subj /CN=localhost");
    openssl(
        "x509 -req -in req.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out cert.pem -extfile ext",
    );
}

/// Over TCP with TLS and a password: the session and the dump program both go there, and both judge the certificate.
#[test]
fn a_server_over_tls_is_reached_and_its_certificate_is_judged() {
    let world = World::new();
    certificates(&world);
    let port = free_port();
    let at = world.path("").display().to_string();
    let server = Maria::up(&format!(
        "skip-networking=OFF\nbind-address=127.0.0.1\nport={port}\nssl-ca={at}/ca.pem\nssl-cert={at}/cert.pem\nssl-key={at}/key.pem"
    ));
    small(&server);
    server.sql("CREATE USER keeper@127.0.0.1 IDENTIFIED BY 'Pass-word#7' REQUIRE SSL; GRANT ALL ON *.* TO keeper@127.0.0.1");
    world.write("pw", "Pass-word#7");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(world.path("pw"), mode).expect("its mode");
    for (ca, code) in [("other", 1), ("ca", 0)] {
        world.write(
            "plan.yaml",
            &format!(
                "upledger: 1\nname: db\nsecrets: {{db: {{file: @/pw}}}}\nphases:\n  - phase: all\n    steps:\n      \
                 - {{id: dump, do: {{mysql.backup: {{server: {{host: 127.0.0.1, port: {port}, user: keeper, password: {{secret: db}}, \
                 tls: {{ca: @/{ca}.pem}}}}, database: d}}}}}}\n"
            ),
        );
        let done = world.upledger(&["run", "plan.yaml"]);
        assert_eq!(done.code, code, "{ca}: {done:?}");
        if code == 1 {
            says(&done, &["cannot connect as keeper at 127.0.0.1"]);
            assert_eq!(world.upledger(&["rollback", "--reason", "test"]).code, 5);
        }
    }
}
