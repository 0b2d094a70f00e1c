//! The situations of `cards/databases` that concern MariaDB, each decided by what the two actions do. The numbers are
//! those of the cards.

use crate::common::{World, eventually};
use crate::mysql::{BACK, DUMP, backups, change, plan, same, says, scratches};
use crate::platform::{Call, Maria, patiently, root};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

/// A session of somebody else, which lasts until it is dropped.
struct Session(Child);

impl Session {
    /// It has said this when the function returns.
    fn open(server: &Maria, sql: &str) -> Self {
        let mut child = Command::new("mariadb")
            .args(["--no-defaults", "-uroot", "--unbuffered", "-N"])
            .arg(format!("--socket={}", server.socket()))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("mariadb");
        let input = child.stdin.as_mut().expect("its input");
        writeln!(input, "{sql}; DO get_lock('said', 9);").expect("written");
        eventually("the session has said it", || {
            server.sql("SELECT IS_FREE_LOCK('said')") == "0"
        });
        Self(child)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Raises the flag when it is dropped, so that a test that fails ends, too.
struct Raise<'a>(&'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A dump program that is not what it seems: `body` is a script in which `dump` is the real one.
fn client(world: &World, body: &str) -> String {
    let script = format!(
        "#!/bin/bash\ncase \"$*\" in *--version*) exec mariadb-dump --version;; esac\ndump() {{ mariadb-dump \"$@\"; }}\n{body}\n"
    );
    let path = world.path("client");
    std::fs::write(&path, script).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    path.display().to_string()
}

/// A backup by such a program.
fn lied_to(server: &Maria, body: &str) -> (World, crate::common::Done) {
    let world = World::new();
    let client = client(&world, body);
    let step = format!(
        "{{id: dump, do: {{mysql.backup: {{server: SERVER, database: d, client: {client}}}}}}}"
    );
    plan(&world, server, &[&step]);
    let done = world.upledger(&["run", "plan.yaml"]);
    (world, done)
}

/// 01, 05, 10, 11: what a dump would lose is told before it begins, and nothing is left.
#[test]
fn what_a_dump_would_lose_is_refused_before_it_begins() {
    let server = Maria::up("");
    server.sql("CREATE DATABASE d");
    let refused = |step: &str, parts: &[&str]| {
        let world = World::new();
        plan(&world, &server, &[step]);
        let done = world.upledger(&["run", "plan.yaml"]);
        assert_eq!(done.code, 1, "{done:?}");
        says(&done, parts);
        assert!(backups(&world).is_empty());
        assert_eq!(scratches(&server), "");
    };
    refused(DUMP, &["there is no table in d", "check the name"]);
    server.sql(
        "USE d; CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE gone (id int); \
         CREATE VIEW m_view AS SELECT * FROM gone; CREATE TABLE z (id int); DROP TABLE gone",
    );
    refused(DUMP, &["m_view", "Table 'd.gone' doesn't exist"]);
    server.sql(
        "USE d; DROP VIEW m_view; CREATE USER app@'10.0.0.5'; GRANT ALL ON d.* TO app@'10.0.0.5'; \
         CREATE DEFINER=app@'10.0.0.5' TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET new.id = new.id; DROP USER app@'10.0.0.5'",
    );
    refused(DUMP, &["trigger t runs as app@10.0.0.5", "CREATE USER"]);
    server.sql(
        "USE d; DROP TRIGGER t; CREATE USER b, b2, b3; GRANT SELECT ON d.a TO b; \
         GRANT SELECT, LOCK TABLES, SHOW VIEW, EVENT ON d.* TO b2; GRANT SELECT ON d.* TO b3",
    );
    for (user, lacks) in [
        ("b", &["SELECT on `d`.*"][..]),
        ("b2", &["b2@%", "TRIGGER on `d`.*", "mysql.proc"]),
        ("b3", &["SHOW VIEW on `d`.*", "EVENT on `d`.*"]),
    ] {
        refused(
            &DUMP.replace(
                "SERVER",
                &format!("{{socket: {}, user: {user}}}", server.socket()),
            ),
            lacks,
        );
    }
    server.sql("CREATE TABLE d.h (id int PRIMARY KEY) WITH SYSTEM VERSIONING");
    let world = World::new();
    let old = client(&world, "").replace("client", "old");
    world.write("old", "#!/bin/sh\necho 'mariadb-dump  Ver 10.19 Distrib 10.5.23-MariaDB, for debian-linux-gnu (x86_64)'\n");
    std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    let step = DUMP.replace("database: d", &format!("database: d, client: {old}"));
    refused(&step, &["d.h is system-versioned", "10.5.23"]);
}

/// 02, 03, 04, 12, 16, 17, 18: how the dump program ended and what it wrote are judged by a restored copy.
#[test]
fn a_dump_that_looks_good_and_is_not_makes_the_step_fail() {
    let server = Maria::up("");
    server.load(include_str!("sql/schema.sql"));
    let before = server.dump("d");
    for (body, parts) in [
        // 02: it dies in the middle, loudly and silently.
        (
            "dump \"$@\" | head -c 4000; kill -9 $$",
            &["signal 9", "the last table that it reached was"][..],
        ),
        ("dump \"$@\" | head -c 4000; exit 0", &["is not complete"]),
        // 03: the trailer is there, an object is not.
        (
            "dump \"$@\" | sed '/^-- Final view structure for view `a_view`/,/ VIEW `a_view` AS /d'",
            &["view a_view has another definition"],
        ),
        (
            "dump \"$@\" | sed '/TRIGGER tr /,/;;$/d'",
            &["trigger tr is missing"],
        ),
        // 12: the stream leaves its schema.
        (
            "dump \"$@\" | sed '20iUSE `d`;'",
            &["chooses a schema: USE `d`"],
        ),
        // 16: characters are lost on the way.
        (
            "dump \"$@\" | sed 's/😀/?/'",
            &["table odd `name has 2 rows, but not the same ones"],
        ),
        // Rows that are lost.
        (
            "dump \"$@\" | sed '/INSERT INTO `log`/{N;N;s/,\\n(2)//}'",
            &["table log has 1 rows, not 2"],
        ),
    ] {
        let (world, done) = lied_to(&server, body);
        assert_eq!(done.code, 1, "{body}: {done:?}");
        says(&done, parts);
        assert!(backups(&world).is_empty(), "{body}: half a backup is left");
        assert_eq!(scratches(&server), "", "{body}");
    }
    // 17, 18: neither a header nor the spelling of the first line decides.
    for good in [
r#"dump "$@" | sed '/^\/\*!40101 SET/d; /^\/\*!40103 SET/d; /^\/\*!40014 SET/d; /^\/\*!40111 SET/d'"#.to_owned(),
        "dump \"$@\" | sed '1s,/\\*M!,/*!,'".to_owned(),
    ] {
        let (_world, done) = lied_to(&server, &good);
        assert_eq!(done.code, 0, "{done:?}");
    }
    same(&before, &server.dump("d"));
}

/// 16: an option file of the operator decides nothing but the login; variables do not either; a password is nowhere.
#[test]
fn an_option_file_gives_the_login_and_nothing_else() {
    let server = Maria::up("");
    server.load(include_str!("sql/schema.sql"));
    server.sql("CREATE USER keeper IDENTIFIED BY 'Pass-word#7'; GRANT ALL ON *.* TO keeper");
    let world = World::new();
    let client = client(&world, "");
    let script = format!(
        "#!/bin/bash\ncase \"$*\" in *--version*) exec mariadb-dump --version;; esac\n\
         tr '\\0' ' ' < /proc/$$/cmdline > {0}/argv; env > {0}/env; exec mariadb-dump \"$@\"\n",
        world.path("").display()
    );
    std::fs::write(&client, script).expect("written");
    let conf = format!(
        "[mysqldump]\ndefault-character-set=utf8\nskip-triggers\n[client]\nsocket={}\nuser=keeper\n",
        server.socket()
    );
    std::fs::write(world.path("my.cnf"), conf).expect("written");
    world.write("pw", "Pass-word#7");
    std::fs::set_permissions(world.path("pw"), std::fs::Permissions::from_mode(0o600))
        .expect("its mode");
    world.write(
        "plan.yaml",
        &format!(
            "upledger: 1\nname: db\nsecrets: {{db: {{file: @/pw}}}}\nphases:\n  - phase: all\n    steps:\n      \
             - {{id: dump, env: {{MYSQL_HOST: nowhere.invalid, MYSQL_UNIX_PORT: /nowhere}}, do: {{mysql.backup: {{server: {{defaults_file: @/my.cnf, password: {{secret: db}}}}, database: d, client: {client}}}}}}}\n"
        ),
    );
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    let shown = std::fs::read_to_string(world.path("argv")).expect("argv")
        + &std::fs::read_to_string(world.path("env")).expect("env");
    assert!(
        shown.contains("--single-transaction") && !shown.contains("Pass-word"),
        "{shown}"
    );
    assert!(!shown.contains("MYSQL_HOST"), "{shown}");
    let found = Call::new("grep")
        .args(["-rla", "Pass-word"])
        .args([world.state()])
        .output();
    assert_eq!(
        String::from_utf8_lossy(&found.stdout),
        "",
        "the password is in the state directory"
    );
}

/// 13: the events of the scratch copy never run, and those of the restored schema do when it has been compared.
#[test]
fn events_run_in_no_copy() {
    let server = Maria::up("event-scheduler=ON");
    server.sql(
        "CREATE DATABASE d; USE d; CREATE TABLE bill (t timestamp(6) DEFAULT now(6)); CREATE TABLE big (id int, p char(200)); \
         INSERT INTO big SELECT seq, md5(seq) FROM seq_1_to_30000; \
         CREATE EVENT ev ON SCHEDULE EVERY 1 SECOND DO INSERT INTO d.bill VALUES ()",
    );
    let world = World::new();
    plan(&world, &server, &[DUMP, BACK]);
    let (over, enabled) = (
        AtomicBool::new(false),
        "SELECT GROUP_CONCAT(DISTINCT event_schema) FROM information_schema.events WHERE status = 'ENABLED'",
    );
    std::thread::scope(|scope| {
        let watched = scope.spawn(|| {
            let (mut copies, mut events) = (0, Vec::new());
            while !over.load(Ordering::SeqCst) {
                copies += usize::from(!scratches(&server).is_empty());
                events.push(server.sql(enabled));
            }
            (copies, events)
        });
        let raise = Raise(&over);
        let ignored = BACK.replace("300ms", "300ms, ignore_users: [root]");
        plan(&world, &server, &[DUMP, &ignored]);
        let done = world.upledger(&["run", "plan.yaml"]);
        drop(raise);
        assert_eq!(done.code, 0, "{done:?}");
        says(&done, &["enabled the events ev"]);
        let (copies, events) = watched.join().expect("it looked");
        assert!(copies > 0, "the copy was not seen");
        assert!(events.iter().all(|e| e == "d" || e == "NULL"), "{events:?}");
    });
    assert_eq!(server.sql(enabled), "d");
}

/// 07, 11, 20, 22, 25: what cannot be restored is refused before anything is dropped, and named.
#[test]
fn a_restore_refuses_before_it_destroys() {
    let server = Maria::up("");
    server.sql(
        "CREATE DATABASE d; USE d; CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1); \
         CREATE TABLE b (id int PRIMARY KEY, x longtext); INSERT INTO b VALUES (1, repeat('SECRET', 500000)); \
         CREATE USER app; GRANT ALL ON d.* TO app; CREATE DEFINER=app VIEW v AS SELECT * FROM a",
    );
    let (dump, rows) = (server.dump("d"), "SELECT COUNT(*) FROM d.a");
    let refused = |sql: &str, parts: &[&str], again: &str| {
        let world = World::new();
        let spoil = change(&server, &format!("INSERT INTO d.a VALUES (2); {sql}"));
        plan(&world, &server, &[DUMP, &spoil, BACK]);
        let done = world.upledger(&["run", "plan.yaml"]);
        assert_eq!(done.code, 1, "{done:?}");
        says(&done, parts);
        assert!(!format!("{done:?}").contains("SECRET"), "{done:?}");
        assert_eq!(server.sql(rows), "2", "something was restored");
        server.sql(again);
        world
    };
    let restored = |world: &World| {
        let reason = ["decide", "back", "retry", "--reason", "removed"];
        assert_eq!(world.upledger(&reason).code, 0);
        let done = world.upledger(&["resume"]);
        assert_eq!(done.code, 0, "{done:?}");
        same(&dump, &server.dump("d"));
    };
    // 07
    let packet = "SET GLOBAL max_allowed_packet = 1048576";
    let world = refused(
        packet,
        &["max_allowed_packet", "d.b needs 30000", "1048576"],
        "SET GLOBAL max_allowed_packet = 16777216",
    );
    restored(&world);
    // 11
    let world = refused(
        "DROP USER app",
        &["view v runs as app@%"],
        "CREATE USER app; GRANT ALL ON d.* TO app",
    );
    restored(&world);
    // 25
    let world = refused(
        "SET GLOBAL read_only = 1",
        &["read_only is on"],
        "SET GLOBAL read_only = 0",
    );
    restored(&world);
    // 20: idle sessions, with the schema and without.
    for (using, parts) in [
        (
            "USE d; BEGIN; SELECT * FROM a",
            &[
                "of root from localhost (d, Sleep",
                "a transaction that is open since",
            ][..],
        ),
        (
            "BEGIN; SELECT * FROM d.a",
            &["of root from localhost (no schema, Sleep"],
        ),
    ] {
        let session = Session::open(&server, using);
        let world = refused("DO 1", parts, "DO 1");
        drop(session);
        restored(&world);
    }
    // 22: a worker that is there for moments only.
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                server.sql("SELECT SLEEP(0.01) FROM d.a LIMIT 1");
            }
        });
        let raise = Raise(&over);
        let world = refused("DO 1", &["others", "of root from localhost"], "DO 1");
        drop(raise);
        patiently("the worker has gone", || {
            server.sql(
                "SELECT COUNT(*) FROM information_schema.processlist WHERE command <> 'Daemon'",
            ) == "1"
        });
        restored(&world);
    });
}

/// 21: an engine that the server has no more is told before, as an unknown collation would be.
#[test]
fn what_the_server_does_not_know_is_told_before() {
    let server = Maria::up("plugin-load-add=ha_blackhole");
    server.sql("CREATE DATABASE d; CREATE TABLE d.a (id int); INSERT INTO d.a VALUES (1); CREATE TABLE d.m (id int) ENGINE=BLACKHOLE");
    let world = World::new();
    plan(
        &world,
        &server,
        &[
            DUMP,
            "{id: wait, do: {run: [test, -e, \"@/go\"]}, effect: pure}",
            BACK,
        ],
    );
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    server.restart("");
    server.sql("INSERT INTO d.a VALUES (2)");
    world.write("go", "");
    assert_eq!(
        world
            .upledger(&["decide", "wait", "retry", "--reason", "go"])
            .code,
        0
    );
    let done = world.upledger(&["resume"]);
    assert_eq!(done.code, 1, "{done:?}");
    says(&done, &["no storage engine BLACKHOLE", "the table m"]);
    assert_eq!(server.sql("SELECT COUNT(*) FROM d.a"), "2");
}

/// 21: a collation that the server has no more, as that of another server's dump, is told with its tables.
#[test]
fn a_collation_that_the_server_does_not_know_is_told_before() {
    let world = World::new();
    std::fs::create_dir(world.path("charsets")).expect("made");
    let known = "/usr/share/mysql/charsets/.";
    Call::new("cp")
        .args(["-r", known, &world.path("charsets").display().to_string()])
        .run();
    let index = world.path("charsets/Index.xml");
    let text = std::fs::read_to_string(&index).expect("the index");
    let own = "<charset name=\"utf8mb4\"><collation name=\"utf8mb4_phone_ci\" id=\"1029\"><rules><reset>\\u0000</reset><i>\\u0020</i></rules></collation></charset>\n</charsets>";
    std::fs::write(&index, text.replace("</charsets>", own)).expect("written");
    let server = Maria::up(&format!(
        "character-sets-dir={}",
        world.path("charsets").display()
    ));
    server.sql(
        "CREATE DATABASE d; USE d; CREATE TABLE a (id int); INSERT INTO a VALUES (1); \
        CREATE TABLE m (p char(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_phone_ci)",
    );
    let wait = "{id: wait, do: {run: [test, -e, \"@/go\"]}, effect: pure}";
    plan(&world, &server, &[DUMP, wait, BACK]);
    let dumped = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(dumped.code, 1, "{dumped:?}");
    server.restart("");
    server.sql("INSERT INTO d.a VALUES (2)");
    world.write("go", "");
    let decided = world.upledger(&["decide", "wait", "retry", "--reason", "go"]);
    assert_eq!(decided.code, 0, "{decided:?}");
    let done = world.upledger(&["resume"]);
    assert_eq!(done.code, 1, "{done:?}");
    says(
        &done,
        &["does not know the collation utf8mb4_phone_ci", ": m"],
    );
    assert_eq!(server.sql("SELECT COUNT(*) FROM d.a"), "2");
}

/// 19: a full disk leaves no part of a backup, and the earlier one as it was.
#[test]
fn a_full_disk_costs_no_earlier_backup() {
    assert!(root(), "a small file system needs root");
    let server = Maria::up("");
    server.sql("CREATE DATABASE d; CREATE TABLE d.a (id int PRIMARY KEY, p char(200)); USE d; INSERT INTO a SELECT seq, md5(seq) FROM seq_1_to_100");
    let world = World::new();
    std::fs::create_dir(world.path("small")).expect("made");
    let mount = Call::new("mount")
        .args(["-t", "tmpfs", "-o", "size=500k", "tmpfs"])
        .args([world.path("small")]);
    mount.run();
    let step = DUMP.replace("database: d", "database: d, to: @/small/dump");
    plan(&world, &server, &[&step]);
    let first = world.upledger(&["run", "plan.yaml"]);
    let good = std::fs::read(world.path("small/dump/d.sql.zst"));
    server.sql(
        "USE d; INSERT INTO a SELECT seq, concat(sha2(seq, 512), sha1(seq)) FROM seq_101_to_12000",
    );
    let second = world.upledger(&["run", "plan.yaml"]);
    let names: Vec<_> = std::fs::read_dir(world.path("small"))
        .expect("read")
        .flatten()
        .map(|e| e.file_name())
        .collect();
    let kept = std::fs::read(world.path("small/dump/d.sql.zst"));
    Call::new("umount").args([world.path("small")]).run();
    assert_eq!((first.code, second.code), (0, 1), "{first:?} {second:?}");
    says(
        &second,
        &[
            "cannot write the dump",
            "No space left on device",
            "bytes left",
        ],
    );
    assert_eq!(names, ["dump"]);
    assert_eq!(good.expect("there"), kept.expect("there"));
}

/// 09, 23: several schemas are of one moment, and a table that no snapshot covers must not be written.
#[test]
fn several_schemas_are_of_one_moment() {
    let server = Maria::up("");
    server.sql(
        "CREATE DATABASE app; CREATE DATABASE iam; CREATE TABLE app.u (id int PRIMARY KEY); CREATE TABLE iam.grants (uid int PRIMARY KEY); \
         USE app; CREATE TABLE a0 (id int PRIMARY KEY, p char(200)); INSERT INTO a0 SELECT seq, repeat('x', 200) FROM seq_1_to_20000; \
         CREATE VIEW v AS SELECT * FROM u; CREATE DATABASE empty",
    );
    let world = World::new();
    let step = "{id: dump, do: {mysql.backup: {server: SERVER, databases: [app, iam, empty]}}}";
    let spoil = change(&server, "DELETE FROM iam.grants; DROP DATABASE app");
    let wait = "{id: wait, do: {shell: \"touch @/over; until [ -e @/ended ]; do sleep 0.05; done\"}, on_doubt: ask, undo: none}";
    plan(&world, &server, &[step, wait, &spoil, BACK]);
    let (over, ended) = (world.path("over"), world.path("ended"));
    let server = &server;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut n = 0;
            while !over.exists() && n < 5000 {
                n += 1;
                server.sql(&format!("BEGIN; INSERT INTO app.u VALUES ({n}); INSERT INTO iam.grants VALUES ({n}); COMMIT"));
            }
            std::fs::write(ended, "").expect("written");
        });
        let done = world.upledger(&["run", "plan.yaml"]);
        assert_eq!(done.code, 0, "{done:?}");
        says(&done, &["written during the dump: app.u, iam.grants"]);
    });
    let orphans = "SELECT (SELECT COUNT(*) FROM iam.grants LEFT JOIN app.u ON id = uid WHERE id IS NULL), (SELECT COUNT(*) FROM app.u) - (SELECT COUNT(*) FROM iam.grants), (SELECT COUNT(*) > 0 FROM app.v)";
    assert_eq!(server.sql(orphans), "0\t0\t1");
    // 09
    server.sql("CREATE DATABASE d; USE d; CREATE TABLE line (id int) ENGINE=MyISAM; CREATE TABLE a (id int PRIMARY KEY, p char(200)); INSERT INTO a SELECT seq, repeat('x', 200) FROM seq_1_to_100");
    let socket = server.socket();
    let (_world, done) = lied_to(
        server,
        &format!(
            "mariadb --no-defaults -uroot -S {socket} -e 'INSERT INTO d.line VALUES (1)' </dev/null; dump \"$@\""
        ),
    );
    assert_eq!(done.code, 1, "{done:?}");
    says(
        &done,
        &[
            "table line has 1 rows, not 0",
            "a snapshot does not cover its engine MyISAM",
        ],
    );
}

/// A dump program writes six digits of a FLOAT: where a value has more, the step fails and says so, or the plan accepts it.
#[test]
fn digits_of_floats_that_no_dump_keeps_are_named() {
    let server = Maria::up("");
    server.sql(
        "CREATE DATABASE d; USE d; CREATE TABLE t (id int PRIMARY KEY, short float, `long` float, g geometry, j json); \
         INSERT INTO t VALUES (1, 0.5, 16777217, ST_GeomFromText('POINT(1 2)'), '[1]'), (2, 3.25, 0.1, NULL, NULL)",
    );
    let world = World::new();
    plan(&world, &server, &[DUMP]);
    let looked = world.upledger(&["plan", "plan.yaml"]);
    says(
        &looked,
        &["of whose values a dump has six digits: d.t.short, d.t.long"],
    );
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 1, "{done:?}");
    says(
        &done,
        &[
            "more than six digits in FLOAT columns",
            "t.short, t.long",
            "rounds_floats",
        ],
    );
    assert!(backups(&world).is_empty());
    assert_eq!(scratches(&server), "");

    // Anything else that differs is still no matter of digits.
    let rounds = DUMP.replace("database: d", "database: d, rounds_floats: true");
    let lying = World::new();
    let client = client(&lying, "dump \"$@\" | sed \"s/'\\[1\\]'/'[2]'/\"");
    let step = rounds.replace("rounds_floats", &format!("client: {client}, rounds_floats"));
    plan(&lying, &server, &[&step]);
    let done = lying.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 1, "{done:?}");
    says(&done, &["table t has 2 rows, but not the same ones"]);

    let world = World::new();
    let delete = change(&server, "DELETE FROM d.t");
    plan(&world, &server, &[&rounds, &delete, BACK]);
    let values = "SELECT id, short, `long` FROM d.t ORDER BY id";
    let before = server.sql(values);
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    let said = world.upledger(&["log", "--output", "dump"]);
    says(
        &said,
        &["six digits are kept of the FLOAT columns t.short, t.long"],
    );
    assert_eq!(server.sql(values), before);
}
