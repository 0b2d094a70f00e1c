//! `postgres.backup`, `postgres.restore` and `postgres.expect` on a real PostgreSQL: what they bring back, what they refuse,
//! and what becomes of them when something dies.

use crate::common::{Done, World, eventually};
use crate::mysql::{backups, same, says};
use crate::platform::{Call, Postgres, end_all, patiently, root};
use crate::ports::free_port;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

const DUMP: &str = "{id: dump, do: {postgres.backup: {server: SERVER, database: d}}}";
const BACK: &str = "{id: back, do: {postgres.restore: {backup: dump, watch: 300ms}}, undo: none}";
/// A step that waits for the test.
const WAIT: &str = "{id: wait, do: {run: [test, -e, \"@/go\"]}, effect: pure}";

/// A plan of steps; `SERVER` in it becomes the settings of the server.
fn plan(world: &World, server: &Postgres, steps: &[&str]) {
    let mut plan = String::from("upledger: 1\nname: db\nphases:\n  - phase: all\n    steps:\n");
    for step in steps {
        let place = format!("{{socket: {}, user: postgres}}", server.socket());
        writeln!(plan, "      - {}", step.replace("SERVER", &place)).expect("text takes text");
    }
    world.write("plan.yaml", &plan);
}

/// A step that changes something by SQL.
fn change(server: &Postgres, world: &World, sql: &str) -> String {
    world.write("change.sql", sql);
    let client = format!(
        "psql -X -q -v ON_ERROR_STOP=1 -U postgres -h {} -d d -f @/change.sql",
        server.socket()
    );
    format!("{{id: change, do: {{shell: \"{client}\"}}, on_doubt: ask, undo: none}}")
}

/// All databases, without those that every cluster has.
fn databases(server: &Postgres) -> String {
    let sql = "SELECT datname FROM pg_database WHERE datname <> 'postgres' AND NOT datistemplate ORDER BY 1";
    server.sql("postgres", sql)
}

/// What belongs to a database and is in no dump.
fn properties(server: &Postgres) -> String {
    server.sql(
        "postgres",
        "SELECT pg_get_userbyid(datdba), datacl, datconnlimit, datcollate, shobj_description(oid, 'pg_database'), \
         (SELECT string_agg(setconfig::text, ' ' ORDER BY setrole) FROM pg_db_role_setting s WHERE s.setdatabase = d.oid) \
         FROM pg_database d WHERE datname = 'd'",
    )
}

fn small(server: &Postgres) {
    server.sql(
        "postgres",
        "CREATE DATABASE d;\n\\c d\nCREATE TABLE a (id int PRIMARY KEY, p text);\n\
         INSERT INTO a SELECT n, md5(n::text) FROM generate_series(1, 3000) n; CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b VALUES (1);",
    );
}

/// A session of somebody else in a database, which lasts until it is dropped.
struct Session(Child);

impl Session {
    fn open(server: &Postgres, database: &str) -> Self {
        let words = [
            "-X",
            "-q",
            "-U",
            "postgres",
            "-h",
            &server.socket(),
            "-d",
            database,
        ];
        let mut child = Command::new("psql")
            .args(words)
            .env("PGAPPNAME", "worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("psql");
        let input = child.stdin.as_mut().expect("its input");
        std::io::Write::write_all(input, b"BEGIN; SELECT 1;\n").expect("written");
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'worker' AND state = 'idle in transaction'";
        eventually("the session is there", || {
            server.sql("postgres", sql) == "1"
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

/// The run goes on behind a question about this step.
fn go_on(world: &World, step: &str) -> Done {
    world.write("go", "");
    let decided = world.upledger(&["decide", step, "retry", "--reason", "test"]);
    assert_eq!(decided.code, 0, "{decided:?}");
    world.upledger(&["resume"])
}

/// A run that has made its backup and waits, and the backup's dump.
fn dumped(server: &Postgres, steps: &[&str]) -> (World, PathBuf) {
    let world = World::new();
    let all: Vec<&str> = [DUMP, WAIT]
        .into_iter()
        .chain(steps.iter().copied())
        .collect();
    plan(&world, server, &all);
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 1, "{done:?}");
    let dump = backups(&world)[0].join("database.sql.zst");
    (world, dump)
}

/// Everything that a database can hold.
const SCHEMA: &str = include_str!("sql/postgres.sql");

#[test]
fn everything_of_a_database_comes_back_byte_for_byte_and_nothing_else_stays() {
    let server = Postgres::up("");
    server.sql("postgres", SCHEMA);
    let (dump, kept, world) = (server.dump("d"), properties(&server), World::new());
    let spoil = change(
        &server,
        &world,
        "DROP TABLE app.orders CASCADE; CREATE TABLE app.later (id int); SELECT nextval('app.numbers'); SELECT lo_unlink(4711);\n\
         UPDATE app.texts SET t = 'spoilt'; DROP EXTENSION hstore CASCADE; ALTER DATABASE d RESET ALL; GRANT CONNECT ON DATABASE d TO PUBLIC;\n\
         ALTER DATABASE d OWNER TO postgres;",
    );
    plan(&world, &server, &[DUMP, &spoil, BACK]);
    let there = databases(&server);
    let seen = world.upledger(&["plan", "plan.yaml"]);
    says(
        &seen,
        &[
            "pg_dump --format=plain",
            "extensions that a server needs to take it: hstore",
        ],
    );
    assert!(backups(&world).is_empty(), "a preview keeps nothing");
    same(&dump, &server.dump("d"));

    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    same(&dump, &server.dump("d"));
    assert_eq!((properties(&server), databases(&server)), (kept, there));
    says(
        &done,
        &[
            "the server counts the same rows in the snapshot of the dump",
            "the restored copy is the same",
        ],
    );
}

/// The restore of a step's undo brings back what that step has spoilt.
#[test]
fn a_restore_undoes_what_another_step_did() {
    let server = Postgres::up("");
    small(&server);
    let (before, world) = (server.dump("d"), World::new());
    let spoil = change(
        &server,
        &world,
        "DROP TABLE b; ALTER TABLE a ADD c int; CREATE TABLE later (id int);",
    );
    let spoil = spoil.replace(
        "undo: none",
        "undo: {postgres.restore: {backup: dump, watch: 300ms}}",
    );
    plan(&world, &server, &[DUMP, &spoil]);
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(server.dump("d") != before);
    let back = world.upledger(&["rollback", "--reason", "test"]);
    assert_eq!(back.code, 5, "{back:?}");
    same(&before, &server.dump("d"));
    assert_eq!(databases(&server), "d");
}

/// A damaged dump, what the server lacks, and whoever uses the database: nothing is replaced.
#[test]
fn a_restore_refuses_before_it_replaces() {
    let server = Postgres::up("");
    small(&server);
    server.sql(
        "d",
        "CREATE ROLE app; ALTER TABLE b OWNER TO app; CREATE EXTENSION hstore;",
    );
    let before = server.dump("d");
    let (world, dump) = dumped(&server, &[BACK]);
    let good = std::fs::read(&dump).expect("the dump");
    server.sql("d", "INSERT INTO b VALUES (2)");
    let spoilt = server.dump("d");
    let mut step = "wait";
    let mut refused = |why: &[&str]| {
        let done = go_on(&world, step);
        step = "back";
        assert_eq!(done.code, 1, "{done:?}");
        says(&done, why);
        same(&spoilt, &server.dump("d"));
        assert_eq!(databases(&server), "d");
    };
    std::fs::write(&dump, &good[..good.len() / 2]).expect("cut");
    refused(&["is damaged"]);
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    std::fs::write(&dump, flipped).expect("flipped");
    refused(&["is damaged"]);
    std::fs::write(&dump, &good).expect("whole again");

    let session = Session::open(&server, "d");
    refused(&[
        "others use d: session ",
        "of postgres from this machine (worker, idle in transaction",
    ]);
    drop(session);
    eventually("the session is gone", || {
        server.sql(
            "postgres",
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'worker'",
        ) == "0"
    });
    let connects = AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while connects.load(Ordering::SeqCst) {
                server.sql("d", "SELECT 1");
            }
        });
        let done = go_on(&world, "back");
        connects.store(false, Ordering::SeqCst);
        assert_eq!(done.code, 1, "{done:?}");
        assert!(
            done.out.contains("others connect to d") || done.out.contains("others use d"),
            "{done:?}"
        );
    });
    server.sql(
        "d",
        "BEGIN; INSERT INTO b VALUES (9); PREPARE TRANSACTION 'two-phase'",
    );
    refused(&["others use d: the prepared transaction two-phase"]);
    server.sql("d", "ROLLBACK PREPARED 'two-phase'");

    server.sql("d", "ALTER TABLE b OWNER TO postgres; DROP ROLE app");
    let done = go_on(&world, "back");
    assert_eq!(done.code, 1, "{done:?}");
    says(
        &done,
        &["the server lacks what the backup needs: the roles app"],
    );
    server.sql("d", "CREATE ROLE app");
    let done = go_on(&world, "back");
    assert_eq!(done.code, 0, "{done:?}");
    same(&before, &server.dump("d"));
    assert_eq!(databases(&server), "d");
}

/// A dump program that is not what it seems: `body` is a script in which `dump` is the real one.
fn lied_to(server: &Postgres, body: &str) -> Done {
    let world = World::new();
    let path = world.path("client");
    let script = format!(
        "#!/bin/bash\ncase \"$*\" in *--version*) exec pg_dump --version;; esac\ndump() {{ pg_dump \"$@\"; }}\n{body}\n"
    );
    std::fs::write(&path, script).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    let step = DUMP.replace(
        "database: d",
        &format!("database: d, client: {}", path.display()),
    );
    plan(&world, server, &[&step]);
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(backups(&world).is_empty(), "{:?}", backups(&world));
    done
}

/// What looks like a dump and is none makes the step fail, and what a dump would leave out is told before it begins.
#[test]
fn a_dump_that_looks_good_and_is_not_makes_the_step_fail() {
    let server = Postgres::up("");
    server.sql("postgres", "CREATE DATABASE empty");
    let world = World::new();
    let other = DUMP.replace("database: d", "database: empty");
    plan(&world, &server, &[&other]);
    let refused = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    says(&refused, &["there is no table in empty"]);
    server.sql("postgres", "DROP DATABASE empty");
    small(&server);
    says(
        &lied_to(&server, "dump \"$@\"; exit 3"),
        &["failed: exit 3"],
    );
    says(
        &lied_to(&server, "dump \"$@\" | head -c 20000; exit 0"),
        &["its dump is not complete"],
    );
    says(
        &lied_to(&server, "dump \"$@\" | sed '/^7\\t/d'"),
        &["the dump lacks rows: public.a has 3000 rows, and the dump 2999"],
    );
    says(
        &lied_to(
            &server,
            "dump \"$@\" | sed 's/CREATE TABLE public.b (/CREATE TABLE public.b (x int,/'",
        ),
        &["differs: ", "TABLE public.b has another definition"],
    );
    let old = "case \"$*\" in *--version*) echo 'pg_dump (PostgreSQL) 9.6.1';; esac";
    let world = World::new();
    std::fs::write(world.path("old"), format!("#!/bin/sh\n{old}\n")).expect("written");
    std::fs::set_permissions(world.path("old"), std::fs::Permissions::from_mode(0o755))
        .expect("its mode");
    plan(
        &world,
        &server,
        &[&DUMP.replace("database: d", "database: d, client: @/old")],
    );
    says(
        &world.upledger(&["plan", "plan.yaml"]),
        &["is older than the server"],
    );

    server.sql("d", "CREATE TABLE c (v int); INSERT INTO c VALUES (1), (1)");
    let index = Call::new("psql").args([
        "-X",
        "-U",
        "postgres",
        "-h",
        &server.socket(),
        "-d",
        "d",
        "-c",
    ]);
    let made = index
        .args(["CREATE UNIQUE INDEX CONCURRENTLY twice ON c (v)"])
        .output();
    assert!(!made.status.success(), "two rows are the same");
    plan(&world, &server, &[DUMP]);
    let done = world.upledger(&["run", "plan.yaml"]);
    says(
        &done,
        &["indexes of d are invalid, and a dump leaves them out: public.twice"],
    );
    assert_eq!(databases(&server), "d", "no copy stays");
}

/// A disk that is full costs no earlier backup.
#[test]
fn a_full_disk_costs_no_earlier_backup() {
    assert!(root(), "a small file system needs root");
    let server = Postgres::up("");
    small(&server);
    let world = World::new();
    std::fs::create_dir(world.path("small")).expect("made");
    let mount = Call::new("mount").args(["-t", "tmpfs", "-o", "size=500k", "tmpfs"]);
    mount.args([world.path("small")]).run();
    plan(
        &world,
        &server,
        &[&DUMP.replace("database: d", "database: d, to: @/small/dump")],
    );
    let first = world.upledger(&["run", "plan.yaml"]);
    let good = std::fs::read(world.path("small/dump/database.sql.zst"));
    server.sql("d", "INSERT INTO a SELECT n, md5(n::text) || sha256(n::text::bytea)::text FROM generate_series(3001, 20000) n");
    let second = world.upledger(&["run", "plan.yaml"]);
    let kept = std::fs::read(world.path("small/dump/database.sql.zst"));
    let names = std::fs::read_dir(world.path("small"))
        .expect("read")
        .count();
    Call::new("umount").args([world.path("small")]).run();
    assert_eq!((first.code, second.code), (0, 1), "{first:?} {second:?}");
    assert!(
        second.out.contains("No space left on device")
            || second.out.contains("too little space for the dump"),
        "{second:?}"
    );
    assert_eq!((names, good.expect("there")), (1, kept.expect("there")));
}

/// Killed while the copy is loaded, or in the moment between the two names: the same run goes on, and its end is the backup.
#[test]
fn a_killed_restore_goes_on_and_leaves_no_other_database() {
    let server = Postgres::up("");
    small(&server);
    server.sql("d", "CREATE TABLE c (id int PRIMARY KEY, p text); INSERT INTO c SELECT n, repeat(md5(n::text), 6) FROM generate_series(1, 60000) n");
    let before = server.dump("d");
    let (world, _) = dumped(&server, &[BACK]);
    server.sql("d", "INSERT INTO b VALUES (2); DROP TABLE c");
    world.write("go", "");
    let decided = world.upledger(&["decide", "wait", "retry", "--reason", "test"]);
    assert_eq!(decided.code, 0, "{decided:?}");
    let mut run = world.start(&["resume"]);
    let copy = "SELECT datname FROM pg_database WHERE datname LIKE 'upledger\\_new%'";
    patiently("the copy is made", || {
        !server.sql("postgres", copy).is_empty()
    });
    let new = server.sql("postgres", copy);
    end_all(&world.path(""));
    run.wait().expect("reaped");
    assert_eq!(
        server.sql("d", "SELECT count(*) FROM b"),
        "2",
        "the former one is untouched"
    );
    patiently("the server has ended its sessions", || {
        server.sql(
            "postgres",
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'upledger'",
        ) == "0"
    });
    // The moment at which neither has the name.
    let former = new.replace("_new_", "_former_");
    server.sql("postgres", &format!("ALTER DATABASE d RENAME TO {former}"));
    let done = world.upledger(&["resume"]);
    let done = if done.code == 0 {
        done
    } else {
        go_on(&world, "back")
    };
    assert_eq!(done.code, 0, "{done:?}");
    same(&before, &server.dump("d"));
    assert_eq!(databases(&server), "d");
}

/// Rows are counted, names are names, and a query only reads, whatever `psql` would make of it.
#[test]
fn tables_and_values_are_expected_and_nothing_is_written() {
    let server = Postgres::up("");
    small(&server);
    server.sql("d", "CREATE SCHEMA audit; CREATE VIEW audit.v AS SELECT 1 AS one; CREATE FUNCTION sneaks() RETURNS int LANGUAGE sql AS 'DELETE FROM a RETURNING 1'");
    let world = World::new();
    let expect = |id: &str, what: &str| {
        format!("{{id: {id}, do: {{postgres.expect: {{server: SERVER, database: d, {what}}}}}}}")
    };
    let good = [
        expect("rows", "rows: {a: {exactly: 3000}, audit.v: {exactly: 1}}"),
        expect(
            "tables",
            "tables: {a: {}, audit.v: {}, A: {exists: false}}, columns: {a: {id: {type: integer, null: false}, p: {type: text, null: true}, x: {exists: false}}}",
        ),
        expect(
            "values",
            r#"values: [{query: "SELECT max(id) FROM a", equals: 3000}, {query: "SELECT p FROM a WHERE id = 0", is_null: true}, {query: "SELECT E'x\\n\"y'", matches: "(?s)^x.\"y$"}], writable: true"#,
        ),
    ];
    plan(&world, &server, &good.each_ref().map(String::as_str));
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    for (query, says_why) in [
        (
            "SELECT sneaks()",
            "cannot execute DELETE in a read-only transaction",
        ),
        ("SELECT 1 AS \\\\! touch @/touched", "syntax error"),
    ] {
        plan(
            &world,
            &server,
            &[&expect(
                "bad",
                &format!("values: [{{query: \"{query}\", equals: 1}}]"),
            )],
        );
        let done = world.upledger(&["run", "plan.yaml"]);
        assert_eq!(done.code, 1, "{done:?}");
        says(&done, &[says_why]);
        assert_eq!(world.upledger(&["abort", "--reason", "test"]).code, 12);
    }
    assert!(!world.path("touched").exists());
    plan(
        &world,
        &server,
        &[&expect("fewer", "rows: {b: {min: 2}}, timeout: 1s")],
    );
    let done = world.upledger(&["run", "plan.yaml"]);
    says(
        &done,
        &["SELECT COUNT(*) FROM \"b\": 1, at 20", "at least 2"],
    );
}

/// Over TCP with TLS and a password, and by a service file with a file of passwords; the certificate is judged, and the
/// password is in no file of the run and in no argument.
#[test]
fn a_server_is_reached_over_tls_and_by_a_service_and_the_password_is_nowhere() {
    let world = World::new();
    crate::mysql::certificates(&world);
    let port = free_port();
    let server = Postgres::up("");
    small(&server);
    for name in ["cert.pem", "key.pem"] {
        let to = server.path(&format!("cluster/{name}"));
        std::fs::copy(world.path(name), &to).expect("copied");
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600)).expect("its mode");
        if root() {
            Call::new("chown")
                .args([std::path::Path::new("postgres:"), &to])
                .run();
        }
    }
    let password = format!(
        "Pass-{:x}-{:x}",
        std::process::id(),
        world.path("").as_os_str().len() * 7919
    );
    server.sql(
        "postgres",
        &format!("CREATE ROLE keeper SUPERUSER LOGIN PASSWORD '{password}'"),
    );
    let own = server.socket();
    server.configure(&format!(
        "listen_addresses = '127.0.0.1'\nport = {port}\nssl = on\nssl_cert_file = '{own}/cert.pem'\nssl_key_file = '{own}/key.pem'"
    ));
    world.write("pw", &password);
    world.write("pgpass", &format!("127.0.0.1:{port}:*:keeper:{password}\n"));
    for name in ["pw", "pgpass"] {
        std::fs::set_permissions(world.path(name), std::fs::Permissions::from_mode(0o600))
            .expect("its mode");
    }
    world.write(
        "services",
        &format!("[main]\nhost=127.0.0.1\nport={port}\nuser=keeper\ndbname=nowhere\n"),
    );
    let tls = |ca: &str| {
        format!(
            "{{host: 127.0.0.1, port: {port}, user: keeper, password: {{secret: db}}, tls: {{ca: @/{ca}.pem}}}}"
        )
    };
    let service = "{service: main, service_file: @/services, passfile: @/pgpass}".to_owned();
    let step = DUMP;
    for (place, code) in [(tls("other"), 1), (tls("ca"), 0), (service, 0)] {
        let step = step.replace("SERVER", &place);
        world.write(
            "plan.yaml",
            &format!("upledger: 1\nname: db\nsecrets: {{db: {{file: @/pw}}}}\nphases:\n  - phase: all\n    steps:\n      - {step}\n"),
        );
        let done = crate::secrets::watched(&password, || world.upledger(&["run", "plan.yaml"]));
        assert_eq!(done.code, code, "{place}: {done:?}");
        assert!(!format!("{done:?}").contains(&password));
        if code == 1 {
            says(
                &done,
                &[
                    "cannot connect as keeper at 127.0.0.1",
                    "certificate verify failed",
                ],
            );
            assert_eq!(world.upledger(&["rollback", "--reason", "test"]).code, 5);
        }
    }
    crate::secrets::nowhere(&world.state(), &password);
}
