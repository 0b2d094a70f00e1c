//! A preview changes nothing: files with their times, processes, tables, keys, and what servers count are the same before and
//! after `plan` of every kind that copies and changes data or configuration.

use crate::platform::{Call, Postgres};
use crate::small::{Ground, number};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Everything below a directory: mode, owner, both times, and content or target.
fn files(dir: &Path) -> BTreeMap<PathBuf, String> {
    let (mut found, mut open) = (BTreeMap::new(), vec![dir.to_owned()]);
    while let Some(at) = open.pop() {
        let meta = at.symlink_metadata().expect("there");
        let content = match meta.file_type() {
            kind if kind.is_dir() => {
                let listed = std::fs::read_dir(&at).expect("listed");
                open.extend(listed.flatten().map(|e| e.path()));
                String::new()
            }
            kind if kind.is_file() => format!("{:?}", std::fs::read(&at).expect("read")),
            _ => format!("{:?}", at.read_link()),
        };
        let facts = format!(
            "{:o} {}:{} {}.{} {}.{} {content}",
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ctime(),
            meta.ctime_nsec()
        );
        found.insert(at, facts);
    }
    found
}

#[test]
fn a_preview_of_every_kind_that_changes_data_changes_nothing() {
    let ground = Ground::new();
    let postgres = Postgres::up("");
    postgres.sql(
        "postgres",
        "CREATE DATABASE d;\n\\c d\nCREATE TABLE a (id int); INSERT INTO a VALUES (1), (2)",
    );
    let shop = ground.project("previewed");
    shop.initial();
    shop.models(&["price"]);
    shop.migration("0002_price", "0001_initial", &number("price"));
    // A project that writes when it starts.
    shop.ready("", "from django.db import connection\nconnection.cursor().execute(\"INSERT INTO shop_item (name) VALUES ('ready')\")");
    shop.sql("INSERT INTO shop_item (name) VALUES ('a')");
    let port = ground.redis_port().to_string();
    let redis = |words: &[&str]| Call::new("redis-cli").args(["-p", &port]).args(words).run();
    redis(&["SET", "session:1", "a"]);
    let world = ground.world();
    for dir in ["files", "files/media", "files/media/cache"] {
        std::fs::create_dir(world.path(dir)).expect("made");
    }
    for (name, text) in [
        ("files/app.env", "DB_HOST=db1\n"),
        ("files/other.env", "DB_HOST=db2\n"),
        ("files/app.yml", "db: {host: old}\n"),
        ("files/exports.sh", "export A=1\n"),
        ("files/media/one", "1"),
        ("files/media/cache/x", "2"),
    ] {
        world.write(name, text);
    }
    let (socket, python, code, pg) = (
        ground.text("run/mariadb.sock"),
        ground.text("venv/bin/python"),
        shop.path("").display().to_string(),
        postgres.socket(),
    );
    let mysql = format!("server: {{socket: {socket}, user: root}}");
    let post = format!("server: {{socket: {pg}, user: postgres}}, database: d");
    let store = format!("server: {{host: 127.0.0.1, port: {port}}}");
    let steps = [
        "{id: env-set, do: {env.set: {variables: {X: \"1\"}}}}".to_owned(),
        "{id: env-capture, do: {env.capture: {source: @/files/exports.sh, names: [A]}}}".to_owned(),
        "{id: config-backup, do: {config.backup: {paths: [@/files/app.env]}}}".to_owned(),
        "{id: config-diff, do: {config.diff: {path: @/files/app.env, with: @/files/other.env}}}".to_owned(),
        "{id: config-set, do: {config.set: {path: @/files/app.yml, edits: [{key: db.host, value: new}]}}}".to_owned(),
        "{id: config-expect, do: {expect.config: {path: @/files/app.env, values: [{key: DB_HOST, value: db1}]}}}".to_owned(),
        "{id: dir-backup, do: {dir.backup: {path: @/files/media, exclude: [cache]}}}".to_owned(),
        "{id: dir-restore, do: {dir.restore: {backup: dir-backup}}}".to_owned(),
        format!("{{id: dump, do: {{mysql.backup: {{{mysql}, database: previewed}}}}}}"),
        format!("{{id: expect, do: {{mysql.expect: {{{mysql}, database: previewed, rows: {{shop_item: {{min: 1}}}}}}}}}}"),
        format!("{{id: query, do: {{mysql.query: {{{mysql}, database: previewed, query: \"SELECT COUNT(*) FROM shop_item\"}}}}}}"),
        format!("{{id: pg-dump, do: {{postgres.backup: {{{post}}}}}}}"),
        format!("{{id: pg-expect, do: {{postgres.expect: {{{post}, rows: {{a: {{exactly: 2}}}}}}}}}}"),
        "{id: pg-back, do: {postgres.restore: {backup: pg-dump}}, undo: none}".to_owned(),
        format!("{{id: keys, do: {{redis.backup: {{{store}, keys: [\"session:*\"]}}}}}}"),
        format!("{{id: keys-there, do: {{redis.expect: {{{store}, keys: {{\"session:1\": {{}}}}}}}}}}"),
        "{id: keys-back, do: {redis.restore: {backup: keys}}}".to_owned(),
        format!("{{id: emptied, cwd: \"{code}\", do: {{django.reinitialise: {{python: {python}, database: previewed, backup: dump}}}}}}"),
        format!("{{id: schema, cwd: \"{code}\", do: {{django.migrate: {{python: {python}, backup: dump}}}}}}"),
        "{id: back, do: {mysql.restore: {backup: dump}}, undo: none}".to_owned(),
    ];
    let steps: String = steps
        .iter()
        .map(|step| format!("      - {step}\n"))
        .collect();
    world.write(
        "plan.yaml",
        &format!("upledger: 1\nname: previews\nenvironment: test\nphases:\n  - phase: all\n    steps:\n{steps}"),
    );
    let tables = "SELECT GROUP_CONCAT(CONCAT(table_schema, '.', table_name, ':', COALESCE(update_time, '-'), ':', COALESCE(create_time, '-')) \
        ORDER BY 1) FROM information_schema.tables WHERE table_schema NOT IN ('information_schema', 'performance_schema', 'sys', 'mysql')";
    let counted = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables";
    let seen = || {
        let info = redis(&["INFO"]);
        let wanted = [
            "rdb_changes_since_last_save",
            "rdb_saves",
            "rdb_last_save_time",
            "db0",
        ];
        let info: Vec<String> = info
            .lines()
            .filter(|line| wanted.iter().any(|w| line.starts_with(w)))
            .map(|line| {
                line.split(",avg_ttl")
                    .next()
                    .unwrap_or_default()
                    .trim()
                    .to_owned()
            })
            .collect();
        let sessions =
            "SELECT COUNT(*) FROM information_schema.processlist WHERE command <> 'Daemon'";
        let databases = "SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_database";
        (
            (
                ground.sql("SHOW DATABASES"),
                ground.sql(tables),
                shop.sql("CHECKSUM TABLE shop_item, django_migrations"),
                ground.sql(sessions),
            ),
            (
                postgres.sql("d", databases),
                postgres.sql("d", counted),
                postgres.dump("d"),
            ),
            info,
        )
    };
    let kept = || (files(&world.path("files")), files(&shop.path("")));
    let (before, files_before) = (seen(), kept());
    let done = world.upledger(&["plan", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    for id in [
        "config-set",
        "dir-restore",
        "emptied",
        "pg-back",
        "keys-back",
    ] {
        assert!(done.out.contains(id), "{id}: {done:?}");
    }
    let (after, files_after) = (seen(), kept());
    assert_eq!(before, after, "{done:?}");
    let all = files_before.0.iter().chain(&files_before.1);
    for (path, facts) in all {
        let now = files_after.0.get(path).or_else(|| files_after.1.get(path));
        assert_eq!(now, Some(facts), "{}", path.display());
    }
    assert_eq!(
        files_before.0.len() + files_before.1.len(),
        files_after.0.len() + files_after.1.len(),
        "{files_after:#?}"
    );
    let state = std::fs::read_dir(world.state())
        .into_iter()
        .flatten()
        .flatten();
    let names: Vec<_> = state.map(|e| e.file_name()).collect();
    assert!(
        !names
            .iter()
            .any(|n| ["backups", "undo", "jobs"].contains(&n.to_str().unwrap_or_default())),
        "{names:?}"
    );
}
