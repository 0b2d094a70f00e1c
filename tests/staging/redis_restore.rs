//! `redis.restore` of a whole server: append-only mode, a server that saves over its file, replicas, a wrong service.
//!
//! They decide the situations 31, 32, 34 and 36 to 41 of `tests/cards.md`.

use crate::common::{Done, eventually};
use crate::platform::Call;
use crate::redis_server::{Old, Redis, Site};

/// A server that upledger itself can start again, and the setting `by`.
fn managed(site: &Site, options: &str) -> (Redis, String) {
    let dir = site.path("a");
    std::fs::create_dir_all(&dir).expect("made");
    let here = dir.display();
    let conf = format!(
        "port 0\nunixsocket {here}/s\ndir {here}\npidfile {here}/pid\ndaemonize yes\nlogfile {here}/log\nsave 3600 1\n{options}\n"
    );
    std::fs::write(dir.join("redis.conf"), conf).expect("written");
    let redis = Redis::daemon(&dir);
    let by = format!("{{pidfile: {here}/pid, start: [redis-server, {here}/redis.conf]}}");
    (redis, by)
}

fn steps(redis: &Redis, by: &str, change: &str) -> [String; 4] {
    let server = redis.server();
    [
        format!("{{id: dump, do: {{redis.backup: {{server: {server}}}}}}}"),
        format!(
            "{{id: change, do: {{run: [{}]}}, effect: idempotent, undo: none}}",
            redis.command(0, change)
        ),
        format!("{{id: back, do: {{redis.restore: {{backup: dump, by: {by}}}}}}}"),
        format!(
            "{{id: expect, do: {{redis.expect: {{server: {server}, keys: {{state: {{value: old}}, new: {{exists: false}}}}, saves: true}}}}}}"
        ),
    ]
}

fn run(site: &Site, steps: &[String]) -> Done {
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    site.run(&steps)
}

#[test]
fn a_server_in_append_only_mode_is_restored_and_its_undo_brings_its_files_back() {
    // Cards 31 and 32: the mode is on, and the server saves over its file when it is stopped.
    let site = Site::new();
    let (redis, by) = managed(&site, "appendonly yes");
    redis.ask(&["MSET", "state", "old", "b", "2"]);
    redis.ask(&["SET", "short", "x", "PX", "300"]);
    let first = redis.pid();
    let steps = steps(&redis, &by, "MSET state new new 1");
    let done = run(&site, &steps);
    assert_eq!(done.code, 0, "{done:?}");
    let second = redis.pid();
    assert_ne!(first, second);
    assert_eq!(
        redis.ask(&["CONFIG", "GET", "appendonly"]),
        "appendonly\nyes"
    );
    // What counts is what the next start reads.
    redis.ask(&["SET", "later", "1"]);
    redis.restart();
    assert_eq!(
        redis.ask(&["MGET", "state", "b", "later", "new"]),
        "old\n2\n1"
    );
    let undone = site.back();
    assert_eq!(undone.code, 5, "{undone:?}");
    let now = redis.ask(&["MGET", "state", "new", "later"]);
    assert_eq!(now, "new\n1", "{undone:?}");
    let names: Vec<_> = std::fs::read_dir(&redis.dir)
        .expect("read")
        .flatten()
        .collect();
    let left = names
        .iter()
        .any(|e| e.file_name().to_string_lossy().contains("upledger"));
    assert!(!left, "{names:?}");
    eventually("it runs", || redis.pid() > 0);
}

#[test]
fn a_member_that_holds_no_data_of_its_own_or_a_part_is_refused() {
    // Cards 39 (a replica), 40 (a node of a cluster), 34 (a backup of a newer version).
    let site = Site::new();
    let master = Redis::start(&site, "m", &["--repl-diskless-sync-delay", "0"]);
    let port = site.port();
    let tcp = port.to_string();
    let node = Redis::start(
        &site,
        "n",
        &[
            "--cluster-enabled",
            "yes",
            "--port",
            &tcp,
            "--bind",
            "127.0.0.1",
        ],
    );
    node.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "8191"]);
    let backup = |server: &str| format!("{{id: dump, do: {{redis.backup: {{server: {server}}}}}}}");
    let cluster = site.preview(&[&backup(&node.server())]);
    assert!(cluster.out.contains("one node of a cluster"), "{cluster:?}");
    assert!(cluster.out.contains("slots 0-8191"), "{cluster:?}");
    let port = site.port().to_string();
    master.ask(&["SET", "state", "old"]);
    let replica = Redis::start(&site, "r", &["--replicaof", "127.0.0.1", &port]);
    let down = site.preview(&[&backup(&replica.server())]);
    assert!(down.out.contains("its link to it is down"), "{down:?}");
    let dump = backup(&master.server());
    let back = format!(
        "{{id: back, do: {{redis.restore: {{backup: dump, server: {}, by: {{match: {}, start: ['true']}}}}}}}}",
        replica.server(),
        replica.dir.display()
    );
    let refused = Site::new().run(&[&dump, &back]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(
        refused.err.contains("is a replica of 127.0.0.1:"),
        "{refused:?}"
    );
}

#[test]
fn what_the_user_may_not_or_the_server_has_not_is_said_in_the_preview() {
    // Cards 36 (ACL) and 37 (renamed and removed commands); and no password is in the record.
    let site = Site::new();
    let redis = Redis::start(
        &site,
        "a",
        &[
            "--rename-command",
            "CONFIG",
            "",
            "--rename-command",
            "BGSAVE",
            "hidden_bgsave",
        ],
    );
    redis.ask(&["MSET", "app:1", "x", "other", "y"]);
    redis.ask(&[
        "ACL",
        "SETUSER",
        "app",
        "on",
        ">pw-of-the-application",
        "~app:*",
        "+@all",
        "-@admin",
        "-@dangerous",
    ]);
    let socket = redis.dir.join("s");
    let login = format!(
        "socket: {}, user: app, password: {{secret: redis}}",
        socket.display()
    );
    let all = site.preview(&[&format!(
        "{{id: dump, do: {{redis.backup: {{server: {{{login}}}}}}}}}"
    )]);
    assert!(
        all.out.contains("refuses INFO to the user app: NOPERM"),
        "{all:?}"
    );
    let foreign = site.preview(&[&format!(
        "{{id: dump, do: {{redis.backup: {{server: {{{login}}}, keys: [other]}}}}}}"
    )]);
    assert!(
        foreign.out.contains("may not use DUMP on the key other"),
        "{foreign:?}"
    );
    let keys = site.run(&[&format!(
        "{{id: dump, do: {{redis.backup: {{server: {{{login}}}, keys: ['app:*']}}}}}}"
    )]);
    assert_eq!(keys.code, 0, "{keys:?}");
    let pages = site.with_password(&["log", "--json"]).out + &keys.out;
    assert!(!pages.contains("pw-of-the-application"), "{pages}");
    assert_eq!(
        site.files_with("pw-of-the-application"),
        Vec::<std::path::PathBuf>::new()
    );

    // Without BGSAVE and CONFIG: SAVE, and the directory of the process.
    let saved = Site::new().run(&[&format!(
        "{{id: dump, do: {{redis.backup: {{server: {}}}}}}}",
        redis.server()
    )]);
    assert_eq!(saved.code, 0, "{saved:?}");
    assert!(saved.out.contains("SAVE was accepted"), "{saved:?}");
    let renamed = Site::new().run(&[&format!(
        "{{id: dump, do: {{redis.backup: {{server: {{socket: {}, rename: {{BGSAVE: hidden_bgsave}}}}}}}}}}",
        socket.display()
    )]);
    assert_eq!(renamed.code, 0, "{renamed:?}");
    assert!(renamed.out.contains("BGSAVE was accepted"), "{renamed:?}");
}

#[test]
fn a_server_that_saves_when_it_stops_gets_the_backup_all_the_same() {
    // Card 32; and `by` that names another service, a damaged backup (41), and a broker (38) are refused before anything.
    let site = Site::new();
    let (redis, by) = managed(&site, "");
    redis.ask(&["SET", "state", "old"]);
    let pid = redis.pid();
    let mut all = steps(&redis, &by, "MSET state new new 1");
    let wrong = format!(
        "{{match: {}, start: ['true']}}",
        site.path("nobody").display()
    );
    all[2] = format!("{{id: back, do: {{redis.restore: {{backup: dump, by: {wrong}}}}}}}");
    let done = run(&site, &all);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.out.contains("names another service"), "{done:?}");
    assert_eq!(redis.pid(), pid);

    let other = Site::new();
    all[1] = format!(
        "{{id: change, do: {{shell: 'for f in {}/backups/*/redis-dump.rdb; do printf x >> $f; done'}}, effect: idempotent, undo: none}}",
        other.state().display()
    );
    all[2] = format!("{{id: back, do: {{redis.restore: {{backup: dump, by: {by}}}}}}}");
    let damaged = run(&other, &all);
    assert_eq!(damaged.code, 1, "{damaged:?}");
    assert!(
        damaged.out.contains("is not the file that was recorded"),
        "{damaged:?}"
    );
    assert_eq!(redis.pid(), pid);

    let broker = Site::new();
    all[1] = format!(
        "{{id: change, do: {{run: [{}]}}, effect: idempotent, undo: none}}",
        redis.command(4, "LPUSH celery task")
    );
    let refused = run(&broker, &all);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.out.contains("db4 (the queue celery with 1 tasks)"),
        "{refused:?}"
    );
    assert_eq!(redis.pid(), pid);
    redis.ask(&["-n", "4", "DEL", "celery"]);

    let good = Site::new();
    redis.ask(&["MSET", "state", "old"]);
    redis.ask(&["DEL", "new"]);
    let done = run(&good, &steps(&redis, &by, "MSET state new new 1"));
    assert_eq!(done.code, 0, "{done:?}");
    assert_ne!(redis.pid(), pid);
}

#[test]
fn a_restore_that_dies_anywhere_goes_on_from_there() {
    // The process of the step dies after the save, after the stop, and after the exchange; each time it is tried again.
    let site = Site::new();
    let (redis, by) = managed(&site, "appendonly yes");
    redis.ask(&["MSET", "state", "old", "b", "2"]);
    let places = ["redis-saved", "redis-stopped", "redis-exchanged"];
    let mut steps = steps(&redis, &by, "MSET state new new 1");
    steps[2] = format!(
        "{{id: back, do: {{redis.restore: {{backup: dump, by: {by}}}}}, env: {{UPLEDGER_FAILPOINT: \"{}\"}}}}",
        site.deaths(&places)
    );
    let mut done = run(&site, &steps);
    for place in places {
        assert_eq!(done.code, 1, "{place}: {done:?}");
        assert!(site.died_at(place), "{place}: {done:?}");
        done = site.retry("back");
    }
    assert_eq!(done.code, 0, "{done:?}");
    redis.restart();
    assert_eq!(redis.ask(&["MGET", "state", "b", "new"]), "old\n2");
    assert_eq!(site.back().code, 5);
    assert_eq!(redis.ask(&["MGET", "state", "new"]), "new\n1");
}

#[test]
fn replicas_follow_a_restored_master_and_an_older_server_is_refused() {
    // Card 39 (state on each member) and card 34 (an older server cannot load the format).
    let site = Site::new();
    let port = site.port();
    let (redis, by) = managed(&site, "repl-diskless-sync-delay 0");
    redis.listen(port);
    redis.restart();
    let follower = Redis::start(
        &site,
        "r",
        &[
            "--replicaof",
            "127.0.0.1",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--port",
            &site.port().to_string(),
        ],
    );
    redis.ask(&["SET", "state", "old"]);
    eventually("the replica follows", || {
        follower.ask(&["GET", "state"]) == "old"
    });
    let done = run(&site, &steps(&redis, &by, "MSET state new new 1"));
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(follower.ask(&["GET", "state"]), "old");
    assert!(
        site.upledger(&["log", "--json"]).out.contains("has 1 keys"),
        "{done:?}"
    );

    let old = Old::start();
    let server = redis.server();
    let refused = Site::new().run(&[
        &format!("{{id: dump, do: {{redis.backup: {{server: {server}, keys: [state]}}}}}}"),
        &format!(
            "{{id: back, do: {{redis.restore: {{backup: dump, server: {{port: {}}}}}}}}}",
            old.port
        ),
    ]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.out.contains("is of Redis 7.0.15 (RDB format 10)"),
        "{refused:?}"
    );
    assert!(
        refused
            .out
            .contains("is 6.0.16, which loads format 9 at most"),
        "{refused:?}"
    );
}

#[test]
fn a_server_is_asked_with_tls_and_a_password_and_a_strange_certificate_is_refused() {
    let site = Site::new();
    let redis_dir = site.path("t");
    std::fs::create_dir_all(&redis_dir).expect("made");
    for name in ["own", "strange"] {
        let file = |ending: &str| {
            redis_dir
                .join(format!("{name}.{ending}"))
                .display()
                .to_string()
        };
        Call::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
            ])
            .args([
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost",
                "-addext",
                "basicConstraints=critical,CA:FALSE",
            ])
            .args(["-keyout", &file("key"), "-out", &file("crt")])
            .run();
    }
    let file = |name: &str| redis_dir.join(name).display().to_string();
    let port = site.port().to_string();
    let redis = Redis::start(
        &site,
        "t",
        &[
            "--tls-port",
            &port,
            "--bind",
            "127.0.0.1",
            "--tls-cert-file",
            &file("own.crt"),
            "--tls-key-file",
            &file("own.key"),
            "--tls-auth-clients",
            "no",
            "--tls-ca-cert-file",
            &file("own.crt"),
            "--requirepass",
            "pw-of-the-application",
        ],
    );
    let expect = |rest: &str| {
        format!(
            "{{id: see, do: {{redis.expect: {{server: {{host: localhost, port: {port}{rest}}}, role: master}}}}}}"
        )
    };
    let good = site.run(&[&expect(&format!(
        ", password: {{secret: redis}}, tls: {{ca: {}}}",
        file("own.crt")
    ))]);
    assert_eq!(good.code, 0, "{good:?}");
    let anonymous = Site::new().run(&[&expect(&format!(", tls: {{ca: {}}}", file("own.crt")))]);
    assert!(
        anonymous
            .out
            .contains("set `server.password: {secret: name}`"),
        "{anonymous:?}"
    );
    let strange = Site::new().run(&[&expect(&format!(
        ", password: {{secret: redis}}, tls: {{ca: {}}}",
        file("strange.crt")
    ))]);
    assert_eq!(strange.code, 1, "{strange:?}");
    assert!(
        strange.out.contains("invalid peer certificate"),
        "{strange:?}"
    );
    drop(redis);
}
