//! `redis.backup`, `redis.restore` of keys and `redis.expect` on real servers: what looks like success and is none.
//!
//! Each test has private servers on Unix sockets. They decide the situations 33 to 43 of `tests/cards.md`.

use crate::redis_server::{Redis, Site};
use serde_json::Value;

/// What a step has produced.
fn produced(site: &Site, step: &str) -> Value {
    let events = site.events();
    let mut done = events.iter().filter(|e| e["kind"] == "step.succeeded");
    let found = done.find(|e| e["data"]["at"]["part"]["step"] == step);
    let event = found.unwrap_or_else(|| panic!("{step} has not succeeded: {events:#?}"));
    event["data"]["produced"].clone()
}

#[test]
fn a_whole_server_is_backed_up_once_another_save_has_ended_and_its_last_write_is_in_it() {
    // Card 42: the save that runs lacks the last write. Card 43: expired keys are in the file. Card 38: a broker is told.
    let site = Site::new();
    let redis = Redis::start(&site, "a", &["--enable-debug-command", "yes"]);
    redis.ask(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
    redis.ask(&["EVAL", "for i=1,40 do redis.call('set','k'..i,i) end", "0"]);
    redis.ask(&["SET", "gone", "x", "PX", "1"]);
    redis.ask(&["SET", "lives", "x", "EX", "1000"]);
    redis.ask(&["-n", "3", "LPUSH", "celery", "task"]);
    let state = || {
        let info = redis.ask(&["INFO"]);
        let wanted = [
            "rdb_changes_since_last_save",
            "rdb_saves",
            "db0",
            "db3",
            "expired_keys",
        ];
        let lines = info
            .lines()
            .filter(|l| wanted.iter().any(|w| l.starts_with(w)));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let (before, dump) = (
        state(),
        format!(
            "{{id: dump, do: {{redis.backup: {{server: {}, writers_stopped: true}}}}}}",
            redis.server()
        ),
    );
    let shown = site.preview(&[&dump]);
    assert_eq!((shown.code, state()), (0, before), "{shown:?}");
    assert!(
        shown.out.contains("db3 (the queue celery with 1 tasks)"),
        "{shown:?}"
    );
    // The save of another takes four seconds, in a process that hears of no later setting; the next one none.
    let delay = |microseconds| {
        redis.ask(&["CONFIG", "SET", "rdb-key-save-delay", microseconds]);
    };
    delay("100000");
    redis.ask(&["BGSAVE"]);
    delay("0");
    redis.ask(&["SET", "written_by_the_last_worker", "1"]);
    let counted = format!(
        "{{id: counted, do: {{redis.expect: {{server: {}, keys: {{gone: {{exists: false}}}}, count: {{'*': {{exactly: 42}}}}}}}}}}",
        redis.server()
    );
    assert_eq!(redis.ask(&["DBSIZE"]), "43", "the expired one is counted");
    let done = site.run(&[&dump, &counted]);
    assert_eq!(done.code, 0, "{done:?}");
    let dump = produced(&site, "dump");
    assert_eq!(dump["keys"], 43, "{dump:#}");
    assert_eq!((&dump["expired"], &dump["changes"]), (&1.into(), &0.into()));
    assert_eq!(
        (&dump["format"], &dump["checksum"]),
        (&10.into(), &true.into())
    );
    assert!(
        dump["brokers"].as_str().is_some_and(|b| b.contains("db3")),
        "{dump:#}"
    );
    let path = dump["path"].as_str().expect("a path");
    assert_eq!(site.mode(path), 0o600);
    assert!(
        done.out.contains("a save of another is running"),
        "{done:?}"
    );
}

#[test]
fn a_failed_save_is_no_backup_and_its_reason_is_told() {
    // Card 33, with a directory that nobody may write to instead of a full disk; and a server that writes no checksum (41).
    let site = Site::new();
    let redis = Redis::start(
        &site,
        "a",
        &["--rdbchecksum", "no", "--rdbcompression", "no"],
    );
    redis.ask(&["SET", "user:1:balance", "1000"]);
    let backup = |id: &str| {
        format!(
            "{{id: {id}, do: {{redis.backup: {{server: {}}}}}}}",
            redis.server()
        )
    };
    let done = site.run(&[&backup("good")]);
    assert_eq!(done.code, 0, "{done:?}");
    let good = produced(&site, "good");
    assert_eq!(good["checksum"], false);
    redis.ask(&["SET", "k2", "x"]);
    // The child cannot make its temporary file where the name of the RDB file is that of a directory that is not there.
    redis.ask(&["CONFIG", "SET", "dbfilename", "dump.rdb"]);
    let broken = redis.block_saves();
    let failed = site.fresh().run(&[&backup("bad")]);
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(
        failed
            .out
            .contains("did not save (rdb_last_bgsave_status:err)"),
        "{failed:?}"
    );
    assert!(failed.out.contains("its log says"), "{failed:?}");
    drop(broken);
}

#[test]
fn declared_keys_come_back_with_their_time_to_live_and_nothing_else_is_touched() {
    // Cards 35 (time to live), 38 (one database), binary names and values; and the undo.
    let site = Site::new();
    let redis = Redis::start(&site, "a", &[]);
    redis.ask(&["-n", "0", "LPUSH", "celery", "task"]);
    let five = |words: &[&str]| redis.ask(&[&["-n", "5"], words].concat());
    five(&[
        "EVAL",
        r"redis.call('set', 'session:\255\n\0', '\0\r\n\254')",
        "0",
    ]);
    five(&["SET", "session:1", "old", "EX", "1000"]);
    five(&["SET", "session:short", "x", "PX", "1500"]);
    five(&["HSET", "conf", "a", "1", "b", "2"]);
    five(&["SET", "other", "old"]);
    let server = redis.server_db(5);
    let step =
        |id: &str, kind: &str, settings: &str| format!("{{id: {id}, do: {{{kind}: {settings}}}}}");
    let dump = step(
        "dump",
        "redis.backup",
        &format!("{{server: {server}, keys: ['session:*', conf, absent]}}"),
    );
    let change = format!(
        "{{id: change, do: {{run: [{}]}}, effect: idempotent, undo: none}}",
        redis.command(5, "EVAL \"redis.call('set','session:1','new') redis.call('del','conf') redis.call('set','session:2','x') redis.call('set','absent','x') redis.call('set','other','new')\" 0")
    );
    let wait = "{id: wait, do: {shell: 'sleep 1.6'}, effect: pure, undo: none}".to_owned();
    let back = format!(
        "{{id: back, do: {{redis.restore: {{backup: dump}}}}, env: {{UPLEDGER_FAILPOINT: \"{}\"}}}}",
        site.deaths(&["redis-restore"])
    );
    let expect = step(
        "expect",
        "redis.expect",
        &format!(
            "{{server: {server}, keys: {{'session:1': {{value: old, min_ttl: 1s, max_ttl: 1000s}}, 'session:2': {{exists: false}}, \
             conf: {{type: hash, length: 2, expires: false}}, absent: {{exists: false}}, other: {{value: new}}}}, \
             count: {{'session:*': {{exactly: 2}}}}, max_keys: 4, role: master, saves: true}}"
        ),
    );
    let died = site.run(&[&dump, &change, &wait, &back, &expect]);
    assert!(site.died_at("redis-restore"), "{died:?}");
    let done = site.retry("back");
    assert_eq!(done.code, 0, "{done:?}");
    let restored = produced(&site, "back");
    assert_eq!(
        (&restored["restored"], &restored["expired"]),
        (&3.into(), &1.into())
    );
    assert_eq!(restored["removed"], 2);
    assert_eq!(redis.ask(&["LLEN", "celery"]), "1");
    let undone = site.back();
    assert_eq!(undone.code, 5, "{undone:?}");
    assert_eq!(five(&["GET", "session:1"]), "new");
    assert_eq!(five(&["EXISTS", "session:2", "absent", "conf"]), "2");
}

#[test]
fn keys_of_a_broker_are_backed_up_and_not_restored() {
    // Card 38, by keys: what the pattern matches now, and what the backup holds.
    let site = Site::new();
    let redis = Redis::start(&site, "a", &[]);
    redis.ask(&["LPUSH", "celery", "task"]);
    redis.ask(&["SET", "own", "1"]);
    let dump = |keys: &str| {
        let server = redis.server();
        format!("{{id: dump, do: {{redis.backup: {{server: {server}, keys: [{keys}]}}}}}}")
    };
    let back = "{id: back, do: {redis.restore: {backup: dump}}}";
    let refused = Site::new().run(&[&dump("'*'"), back]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(
        refused.err.contains("holds queues of Celery (db0)"),
        "{refused:?}"
    );
    assert_eq!(redis.ask(&["LLEN", "celery"]), "1");
    let taken = format!(
        "{{id: taken, do: {{run: [{}]}}, effect: idempotent, undo: none}}",
        redis.command(0, "DEL celery")
    );
    let held = Site::new();
    // The preview sees the queue, which an earlier step takes away.
    held.plan(&[&dump("'*'"), &taken, back]);
    let held = held.upledger(&[
        "run",
        "plan.yaml",
        "--force",
        "--reason",
        "the queue is empty then",
    ]);
    assert_eq!(held.code, 1, "{held:?}");
    assert!(
        held.out.contains("the backup holds queues of Celery"),
        "{held:?}"
    );
    assert_eq!(redis.ask(&["EXISTS", "celery"]), "0");
    // A restore may be the undo of another step.
    let site = Site::new();
    let changed = format!(
        "{{id: changed, do: {{run: [{}]}}, effect: idempotent, undo: {{redis.restore: {{backup: dump}}}}}}",
        redis.command(0, "SET own 2")
    );
    let own = site.run(&[&dump("own"), &changed]);
    assert_eq!(own.code, 0, "{own:?}");
    assert_eq!(redis.ask(&["GET", "own"]), "2");
    let undone = site.back();
    assert_eq!(undone.code, 5, "{undone:?}");
    assert_eq!(redis.ask(&["GET", "own"]), "1");
}
