//! One change in a document of each format: what changes, what stays, and what is refused.

use super::document::{Format, Manner};
use super::dotenv::Style;
use super::tree::Scalar;
use super::value::Change;
use crate::action::Context;
use serde_json::json;

/// The text with a change, as the plan writes it.
fn set(format: Format, text: &str, change: &serde_json::Value) -> Result<String, String> {
    let change: Change = serde_json::from_value(change.clone()).unwrap();
    assert_eq!(change.problems(), Vec::<String>::new());
    let mut wanted: Option<Scalar> = change.wanted(&Context::default()).unwrap();
    if let Some(wanted) = wanted.as_mut().filter(|_| format.is_untyped()) {
        wanted.kind = super::tree::Kind::Text;
    }
    let manner = Manner {
        format,
        style: Style::Plain,
        doubled: false,
        aliases: change.key.shown().starts_with("base"),
    };
    manner
        .apply(text, &change, wanted.as_ref())
        .map_err(|e| e.to_string())
}

#[track_caller]
fn becomes(format: Format, text: &str, change: serde_json::Value, wanted: &str) {
    assert_eq!(set(format, text, &change).unwrap(), wanted, "{change}");
}

#[track_caller]
fn refused(format: Format, text: &str, change: serde_json::Value, why: &str) {
    let said = set(format, text, &change).unwrap_err();
    assert!(said.contains(why), "{change}: {said}");
}

#[test]
fn an_assignment_changes_in_its_line_with_line_ends_as_they_are() {
    let text = "DB_HOST=db1\r\n# DB_HOST=x\r\nDB_PASS='s' # c\r\nA=1\n";
    becomes(
        Format::Dotenv,
        text,
        json!({"key": "DB_HOST", "value": "db2"}),
        "DB_HOST=db2\r\n# DB_HOST=x\r\nDB_PASS='s' # c\r\nA=1\n",
    );
    becomes(
        Format::Dotenv,
        text,
        json!({"key": "DB_PASS", "remove": true}),
        "DB_HOST=db1\r\n# DB_HOST=x\r\nA=1\n",
    );
    becomes(
        Format::Dotenv,
        "A=1\nLAST=x",
        json!({"key": "NEW", "value": 1, "absent": "create"}),
        "A=1\nLAST=x\nNEW=1",
    );
    refused(
        Format::Dotenv,
        text,
        json!({"key": "DB_HSOT", "value": "x"}),
        "there is a DB_HOST",
    );
}

#[test]
fn a_value_over_several_lines_is_changed_whole_and_what_is_in_it_is_no_key() {
    let text = "KEY=\"-----BEGIN X-----\nDB_HOST=no\nabc=\n-----END X-----\"\nDB_HOST=db1\n";
    becomes(
        Format::Dotenv,
        text,
        json!({"key": "KEY", "value": "new"}),
        "KEY=new\nDB_HOST=db1\n",
    );
    becomes(
        Format::Dotenv,
        text,
        json!({"key": "DB_HOST", "value": "db2"}),
        &text.replace("db1", "db2"),
    );
}

#[test]
fn a_key_that_stands_twice_is_refused_with_its_lines_unless_the_edit_says_which() {
    let text = "DB=old\nX=1\nDB=stale\n";
    refused(
        Format::Dotenv,
        text,
        json!({"key": "DB", "value": "new"}),
        "in lines 1, 3",
    );
    let last = json!({"key": "DB", "value": "new", "duplicates": "last"});
    becomes(Format::Dotenv, text, last, "DB=old\nX=1\nDB=new\n");
    let all = json!({"key": "DB", "value": "new", "duplicates": "all"});
    becomes(Format::Dotenv, text, all, "DB=new\nX=1\nDB=new\n");
    let yaml = "db:\n  host: old\ndb:\n  port: 1\n";
    refused(
        Format::Yaml,
        yaml,
        json!({"key": "db.host", "value": "x"}),
        "in lines 1, 3",
    );
    refused(
        Format::Json,
        "{\"h\": 1, \"h\": 2}",
        json!({"key": "h", "value": 3}),
        "2 times",
    );
    refused(
        Format::Ini,
        "[a]\nx=1\nX=2\n",
        json!({"key": "a.x", "value": 3}),
        "in lines 2, 3",
    );
    refused(
        Format::Toml,
        "h=1\nh=2\n",
        json!({"key": "h", "value": 3}),
        "no TOML",
    );
}

const ANCHORS: &str = "# shipped\nbase: &db {host: old, port: 3306}\napp:   *db\nlog:\n  <<: *db\n  port: 3307     # own\nmotd: |\n  host: old\nkey: \"0123\"      # quoted\n";

#[test]
fn a_value_behind_an_alias_changes_nothing_else() {
    refused(
        Format::Yaml,
        ANCHORS,
        json!({"key": "app.host", "value": "new"}),
        "is an alias (line 3)",
    );
    becomes(
        Format::Yaml,
        ANCHORS,
        json!({"key": "log.port", "value": 3308}),
        &ANCHORS.replace("3307 ", "3308 "),
    );
    becomes(
        Format::Yaml,
        ANCHORS,
        json!({"key": "log.host", "value": "new", "absent": "create"}),
        &ANCHORS.replace("# own\n", "# own\n  host: new\n"),
    );
    becomes(
        Format::Yaml,
        ANCHORS,
        json!({"key": "key", "value": "0124"}),
        &ANCHORS.replace("0123", "0124"),
    );
    // With `aliases: true`, which this test says for what is in `base`.
    becomes(
        Format::Yaml,
        ANCHORS,
        json!({"key": "base.host", "value": "new"}),
        &ANCHORS.replace("{host: old", "{host: new"),
    );
    let anchored = ANCHORS.replace("base", "main");
    refused(
        Format::Yaml,
        &anchored,
        json!({"key": "main.host", "value": "new"}),
        "would change app.host, log.<<.host, too",
    );
}

#[test]
fn a_type_changes_only_where_the_edit_says_so_and_both_versions_of_yaml_read_it_alike() {
    let text = "port: 3306\ndebug: false\nversion: \"1.9\"\nempty:\nlist: [a, b]\n";
    refused(
        Format::Yaml,
        text,
        json!({"key": "port", "value": "3307"}),
        "is a number now",
    );
    becomes(
        Format::Yaml,
        text,
        json!({"key": "port", "value": "3307", "type": "string"}),
        &text.replace("3306", "'3307'"),
    );
    becomes(
        Format::Yaml,
        text,
        json!({"key": "version", "value": "1.10"}),
        &text.replace("1.9", "1.10"),
    );
    refused(
        Format::Yaml,
        text,
        json!({"key": "debug", "value": "no"}),
        "is a boolean now",
    );
    becomes(
        Format::Yaml,
        text,
        json!({"key": "empty", "value": "no"}),
        &text.replace("empty:", "empty: 'no'"),
    );
    becomes(
        Format::Yaml,
        text,
        json!({"key": "list.1", "value": "c"}),
        &text.replace("b]", "c]"),
    );
    refused(
        Format::Yaml,
        text,
        json!({"key": "port", "value": "1e5", "type": "number"}),
        "do not take 1e5 for the same number",
    );
    refused(
        Format::Yaml,
        text,
        json!({"key": "list", "value": "c"}),
        "holds other values",
    );
}

#[test]
fn keys_of_yaml_are_added_and_removed_where_they_belong() {
    let text = "a:\n  b: 1\n\n# last\nc: {d: 1}\nl:\n  - name: x\n    v: 1\n  - name: y\n";
    becomes(
        Format::Yaml,
        text,
        json!({"key": "a.new.deep", "value": "x", "absent": "create"}),
        &text.replace("b: 1\n", "b: 1\n  new:\n    deep: x\n"),
    );
    becomes(
        Format::Yaml,
        text,
        json!({"key": "c.e", "value": true, "absent": "create"}),
        &text.replace("{d: 1}", "{d: 1, e: true}"),
    );
    becomes(
        Format::Yaml,
        text,
        json!({"key": "l.0.w", "value": 2, "absent": "create"}),
        &text.replace("v: 1\n", "v: 1\n    w: 2\n"),
    );
    becomes(
        Format::Yaml,
        text,
        json!({"key": "l.0.v", "remove": true}),
        &text.replace("    v: 1\n", ""),
    );
    becomes(
        Format::Yaml,
        text,
        json!({"key": "x", "remove": true}),
        text,
    );
    let block = "a: |\n  one\n  two\nb: 1\n";
    becomes(
        Format::Yaml,
        block,
        json!({"key": "a", "value": "one"}),
        "a: one\nb: 1\n",
    );
    becomes(
        Format::Yaml,
        block,
        json!({"key": "a", "remove": true}),
        "b: 1\n",
    );
}

#[test]
fn a_key_of_toml_is_added_to_its_own_table() {
    let text = "debug = false\n\n# the database\n[db]\nport = 3306 # c\nname = 'x'\n[[worker]]\nname = \"w1\"\n";
    becomes(
        Format::Toml,
        text,
        json!({"key": "timeout", "value": 30, "absent": "create"}),
        &text.replace("false\n", "false\ntimeout = 30\n"),
    );
    becomes(
        Format::Toml,
        text,
        json!({"key": "db.host", "value": "db-2", "absent": "create"}),
        &text.replace("'x'\n", "'x'\nhost = \"db-2\"\n"),
    );
    becomes(
        Format::Toml,
        text,
        json!({"key": "db.port", "value": 3307}),
        &text.replace("3306", "3307"),
    );
    becomes(
        Format::Toml,
        text,
        json!({"key": "db.name", "value": "y"}),
        &text.replace("'x'", "'y'"),
    );
    becomes(
        Format::Toml,
        text,
        json!({"key": "worker.0.name", "value": "w2"}),
        &text.replace("w1", "w2"),
    );
    becomes(
        Format::Toml,
        text,
        json!({"key": "db.port", "remove": true}),
        &text.replace("port = 3306 # c\n", ""),
    );
    refused(
        Format::Toml,
        text,
        json!({"key": "debug", "value": "false"}),
        "is a boolean now",
    );
    let tables = "# top\n[db]\nport = 1\r\n";
    becomes(
        Format::Toml,
        tables,
        json!({"key": "x", "value": 1, "absent": "create"}),
        "x = 1\r\n# top\n[db]\nport = 1\r\n",
    );
}

#[test]
fn json_keeps_comments_commas_and_numbers_as_they_are_written() {
    let text = "{\n  // local\n  \"port\": 3306, /* c, d */\n  \"id\": 12345678901234567890,\n  \"r\": 1.0,\n}\n";
    becomes(
        Format::Json,
        text,
        json!({"key": "port", "value": 3307}),
        &text.replace("3306", "3307"),
    );
    becomes(
        Format::Json,
        text,
        json!({"key": "db.host", "value": "x", "absent": "create"}),
        &text.replace("1.0,\n", "1.0,\n  \"db\": {\"host\": \"x\"},\n"),
    );
    becomes(
        Format::Json,
        text,
        json!({"key": "id", "remove": true}),
        &text.replace("  \"id\": 12345678901234567890,\n", ""),
    );
    let plain = "{\"a\": 1, \"b\": {}}";
    becomes(
        Format::Json,
        plain,
        json!({"key": "b.c", "value": "\"", "absent": "create"}),
        "{\"a\": 1, \"b\": {\"c\": \"\\\"\"}}",
    );
    becomes(
        Format::Json,
        plain,
        json!({"key": "b", "remove": true}),
        "{\"a\": 1 }".replace(" }", "}").as_str(),
    );
    let lines = "{\n  \"a\": 1,\n  \"b\": 2\n}\n";
    becomes(
        Format::Json,
        lines,
        json!({"key": "c", "value": 3, "absent": "create"}),
        "{\n  \"a\": 1,\n  \"b\": 2,\n  \"c\": 3\n}\n",
    );
    becomes(
        Format::Json,
        lines,
        json!({"key": "a", "remove": true}),
        "{\n  \"b\": 2\n}\n",
    );
}

#[test]
fn an_option_of_ini_keeps_its_case_and_its_neighbours() {
    let text = "; keep\n[DB]\n# March\nPassWord = old\nEmpty\n[log]\nlevel=1\n";
    becomes(
        Format::Ini,
        text,
        json!({"key": "DB.password", "value": "new"}),
        &text.replace("old", "new"),
    );
    becomes(
        Format::Ini,
        text,
        json!({"key": "DB.empty", "value": "x"}),
        &text.replace("Empty", "Empty = x"),
    );
    becomes(
        Format::Ini,
        text,
        json!({"key": ["DB", "host"], "value": "h", "absent": "create"}),
        &text.replace("Empty\n", "Empty\nhost = h\n"),
    );
    refused(
        Format::Ini,
        text,
        json!({"key": "a.b.c", "value": "x"}),
        "[section, name]",
    );
}

#[test]
fn a_key_is_added_beside_a_neighbour() {
    let edit =
        |side: &str, key: &str| json!({"key": key, "value": "n", "absent": "create", side: "b"});
    let env = "a=1\nb='x\ny'\nc=2\n";
    becomes(
        Format::Dotenv,
        env,
        edit("after", "k"),
        "a=1\nb='x\ny'\nk=n\nc=2\n",
    );
    becomes(
        Format::Dotenv,
        env,
        edit("before", "k"),
        "a=1\nk=n\nb='x\ny'\nc=2\n",
    );
    let yaml = "s:\n  a: 1\n  b: 2 # c\n  d: 3\n";
    becomes(
        Format::Yaml,
        yaml,
        edit("after", "s.k"),
        &yaml.replace("# c\n", "# c\n  k: 'n'\n"),
    );
    becomes(
        Format::Yaml,
        yaml,
        edit("before", "s.k"),
        &yaml.replace("  b:", "  k: 'n'\n  b:"),
    );
    let toml = "[s]\na = 1\nb = 2\n[t]\n";
    becomes(
        Format::Toml,
        toml,
        edit("before", "s.k"),
        &toml.replace("b = 2", "k = \"n\"\nb = 2"),
    );
    let ini = "[s]\na = 1\nb = 2\n[t]\n";
    becomes(
        Format::Ini,
        ini,
        edit("before", "s.k"),
        &ini.replace("b = 2", "k = n\nb = 2"),
    );
    let lines = "{\n  \"a\": 1,\n  \"b\": 2\n}\n";
    becomes(
        Format::Json,
        lines,
        edit("after", "k"),
        &lines.replace(": 2", ": 2,\n  \"k\": \"n\""),
    );
    becomes(
        Format::Json,
        lines,
        edit("before", "k"),
        &lines.replace("\"b\"", "\"k\": \"n\",\n  \"b\""),
    );
    refused(
        Format::Json,
        lines,
        json!({"key": "k", "value": 1, "absent": "create", "after": "x"}),
        "no key x",
    );
}

mod steps {
    //! Steps as the runner drives them, where a plan alone cannot show it.

    use crate::action::testing::TestStep;
    use crate::action::{Context, Direction};
    use crate::actions::config::set::Set;
    use serde_json::json;
    use std::path::Path;

    fn context(dir: &Path) -> Context {
        Context {
            state: dir.join("state"),
            run: "run".into(),
            step: "set".into(),
            cwd: Some(dir.into()),
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            ..Context::default()
        }
    }

    /// Another writer comes while a reader is asked, and what he has written is of the same size.
    #[test]
    fn what_another_writer_has_written_meanwhile_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("mod.py"), "H = 'a'\nI = 1\n").unwrap();
        std::fs::write(
            at("main.py"),
            "import os\nfrom mod import *\nif os.path.exists('go'):\n    open('mod.py', 'w').write(\"H = 'a'\\nI = 2\\n\")\n",
        )
        .unwrap();
        let set: Set = serde_json::from_value(json!({
            "path": at("mod.py"), "edits": [{"key": "H", "value": "b"}],
            "readers": [{"by": "settings", "module": "main", "python": "/usr/bin/python3"}],
        }))
        .unwrap();
        let mut step = TestStep::observed(set, &context(dir.path())).unwrap();
        std::fs::write(at("go"), "").unwrap();
        let why = step.perform().unwrap_err();
        assert!(why.contains("changed by somebody else while"), "{why}");
        assert_eq!(
            std::fs::read_to_string(at("mod.py")).unwrap(),
            "H = 'a'\nI = 2\n"
        );
        let left = std::fs::read_dir(dir.path()).unwrap();
        let names = left.filter(|e| {
            e.as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .contains("upledger")
        });
        assert_eq!(names.count(), 0);
    }

    #[test]
    fn what_changes_with_a_setting_and_what_still_holds_the_former_value_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let text = "EARLY = 'redis://r1:6379/0'\nHOST = 'r1'\nURL = f'redis://{HOST}/0'\nSECRET = 'hunter-1'\n";
        std::fs::write(at("mod.py"), text).unwrap();
        let set: Set = serde_json::from_value(json!({
            "path": at("mod.py"), "edits": [{"key": "HOST", "value": "r2"}],
            "readers": [{"by": "settings", "module": "mod", "python": "/usr/bin/python3"}],
        }))
        .unwrap();
        let cx = Context {
            inert: true,
            ..context(dir.path())
        };
        crate::action::Action::observe(&set, &cx).unwrap();
        let diff = cx.take_diff().unwrap();
        assert!(diff.contains("these change with it: URL"), "{diff}");
        assert!(
            diff.contains("these still hold the former value: EARLY"),
            "{diff}"
        );
        assert!(
            diff.contains("+HOST = r2") || diff.contains("+HOST = 'r2'"),
            "{diff}"
        );
        assert!(!diff.contains("hunter"), "{diff}");
        let mut step = TestStep::observed(set, &context(dir.path())).unwrap();
        let mut log = Vec::new();
        step.attempt(Direction::Do, &mut log).unwrap();
        let changed = std::fs::read_to_string(at("mod.py")).unwrap();
        assert_eq!(changed, text.replace("HOST = 'r1'", "HOST = 'r2'"));
        step.undo().unwrap();
        assert_eq!(std::fs::read_to_string(at("mod.py")).unwrap(), text);
    }
}

/// What is stored is read for ever.
#[test]
fn stored_records_stay_readable() {
    use crate::action::stays;
    let file = r#"{"content": {"blob": "00", "len": 4}, "mode": "0640", "uid": 0, "gid": 0, "mtime": {"sec": 1, "nsec": 2}}"#;
    let before = format!(
        r#"{{"target": "/srv/app.env", "former": {file}, "wanted": {{"blob": "01", "len": 5}}, "mode": "0640"}}"#
    );
    stays::<super::set::Set>(&before, "null", r#"{"path": "/srv/app.env"}"#);
    let one = format!(
        r#"{{"source": "/srv/app.env", "file": {file}, "copy": "/undo/x", "there": null}}"#
    );
    stays::<super::backup::Backup>(
        &format!(r#"{{"files": [{one}], "beside": ["/srv/app.env.bak"]}}"#),
        "null",
        r#"{"path": "/undo/x", "files": 1, "bytes": 4, "copies": [{"path": "/undo/x", "bytes": 4}]}"#,
    );
    stays::<super::diff::Diff>("null", "null", r#"{"same": true}"#);
    stays::<crate::actions::env::set::Set>("null", "null", r#"{"variables": 2}"#);
    stays::<crate::actions::env::capture::Capture>(
        "null",
        "null",
        r#"{"set": {"RUN_VER": "open"}, "removed": ["OLD"]}"#,
    );
    let tree = r#"{"tree": {"blob": "00", "len": 64}, "files": 2}"#;
    stays::<crate::actions::dir::backup::Backup>(
        &format!(r#"{{"source": "/srv/media", "tree": {tree}, "copy": "/undo/media"}}"#),
        "null",
        r#"{"path": "/undo/media", "source": "/srv/media", "sha256": "00", "files": 2, "bytes": 9}"#,
    );
    stays::<crate::actions::dir::restore::Restore>(
        &format!(
            r#"{{"target": "/srv/media", "former": {tree}, "copy": "/undo/media", "sha256": "00"}}"#
        ),
        "null",
        r#"{"path": "/srv/media", "former": "/srv/media.former"}"#,
    );
}
