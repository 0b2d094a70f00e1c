//! `file.line`: which line, and every other byte.

use super::{World, action, problem, whole};
use crate::actions::Do;
use crate::encoding::Charset;
use serde_json::{Value, json};
use upledger_replay::event::Answer;

fn line(world: &World, mut settings: Value) -> Do {
    settings["path"] = json!(world.text("file"));
    action("file.line", settings)
}

/// Runs it on a file, undoes it, and returns what the file was in between.
fn edited(former: &[u8], settings: &Value) -> Vec<u8> {
    let world = World::new();
    let path = world.write("file", former);
    let before = whole(&path);
    let action = line(&world, settings.clone());
    let past = world.run(&action);
    let after = std::fs::read(&path).unwrap();
    assert_eq!(
        world.probe(&action, &world.observe(&action)),
        Answer::Done,
        "a second run has nothing to do"
    );
    for _ in 0..2 {
        world.undo(&action, &past).unwrap();
        assert_eq!(whole(&path), before);
    }
    after
}

#[test]
fn one_line_is_replaced_and_every_other_byte_stays() {
    let set = json!({"match": "^DEBUG=", "line": "DEBUG=0"});
    for (former, after) in [
        (&b"A=1\nDEBUG=1\nB=2\n"[..], &b"A=1\nDEBUG=0\nB=2\n"[..]),
        (b"A=1\r\nDEBUG=1\r\nB=2\r\n", b"A=1\r\nDEBUG=0\r\nB=2\r\n"),
        (b"DEBUG=1", b"DEBUG=0"),
        (
            b"\xff\xfe\0\nDEBUG=1\n\n\xff",
            b"\xff\xfe\0\nDEBUG=0\n\n\xff",
        ),
    ] {
        assert_eq!(edited(former, &set), after);
    }
}

#[test]
fn the_replacement_is_literal_and_may_no_longer_match() {
    let set = json!({"match": "^#?(listen) .*$", "line": "Listen $1 ${0} \\1"});
    assert_eq!(edited(b"#listen 80;\n", &set), b"Listen $1 ${0} \\1\n");
}

#[test]
fn a_missing_line_is_appended_in_the_style_of_the_file() {
    let set = json!({"match": "^X=", "line": "X=1", "absent": "append"});
    for (former, after) in [
        (&b""[..], &b"X=1\n"[..]),
        (b"A\n", b"A\nX=1\n"),
        (b"A\r\nB\r\n", b"A\r\nB\r\nX=1\r\n"),
        (b"A\r\nB", b"A\r\nB\r\nX=1"),
        (b"A", b"A\nX=1"),
    ] {
        assert_eq!(edited(former, &set), after);
    }
}

#[test]
fn a_line_is_removed_and_gone_is_gone() {
    let set = json!({"match": "^X=", "remove": true});
    assert_eq!(edited(b"A\nX=1\r\nB", &set), b"A\nB");
    assert_eq!(edited(b"A\nX=1", &set), b"A\n");
    let world = World::new();
    world.write("file", b"A\n");
    let action = line(&world, set);
    assert_eq!(world.probe(&action, &world.observe(&action)), Answer::Done);
}

#[test]
fn several_matches_are_refused_with_their_numbers() {
    let world = World::new();
    world.write("file", b"X=1\nA\nX=2\n");
    let set = json!({"match": "^X=", "line": "X=3"});
    let action = line(&world, set);
    world.refuses(&action, "2 lines of ");
    world.refuses(&action, "lines 1, 3");
    let trouble = world.diff(&action).unwrap_err();
    assert!(trouble.to_string().contains("lines 1, 3"));
}

#[test]
fn no_match_is_refused_unless_the_plan_says_append() {
    let world = World::new();
    let set = json!({"match": "^X=", "line": "X=3"});
    world.refuses(&line(&world, set.clone()), "there is no file");
    world.write("file", b"A\n");
    world.refuses(&line(&world, set), "no line of ");
}

#[test]
fn a_strangers_edit_is_never_overwritten() {
    let world = World::new();
    let path = world.write("file", b"X=1\n");
    let action = line(&world, json!({"match": "^X=", "line": "X=2"}));
    let past = world.run(&action);
    std::fs::write(&path, "X=2\nY=1\n").unwrap();
    assert_eq!(world.probe(&action, &past), Answer::Unclear);
    assert!(world.perform(&action, &past).is_err());
    assert!(world.undo(&action, &past).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"X=2\nY=1\n");
}

#[test]
fn settings_that_say_nothing_or_too_much_are_refused() {
    let wrong = |settings: Value, part: &str| problem("file.line", settings, part);
    wrong(
        json!({"path": "x", "match": "a", "line": "b"}),
        "`path` is not an absolute path",
    );
    wrong(
        json!({"path": "/x", "match": "(", "line": "b"}),
        "`match` is not a valid regular expression",
    );
    wrong(
        json!({"path": "/x", "match": "a"}),
        "`line` or `remove: true` is missing",
    );
    wrong(
        json!({"path": "/x", "match": "a", "line": "b", "remove": true}),
        "are mutually exclusive",
    );
    wrong(
        json!({"path": "/x", "match": "a", "line": "b\nc"}),
        "contains a line break",
    );
    wrong(
        json!({"path": "/x", "match": "a", "remove": true, "absent": "append"}),
        "`absent` has no effect",
    );
}

#[test]
fn the_line_is_looked_for_and_written_in_the_encoding_of_the_file() {
    let text = "; 数据库\r\n名称=旧\r\nPORT=1\r\n";
    for label in ["utf-8", "gbk", "utf-16le", "utf-16be"] {
        let mark: &[u8] = match label {
            "utf-16le" => b"\xff\xfe",
            "utf-16be" => b"\xfe\xff",
            _ => b"",
        };
        let bytes =
            |text: &str| [mark, &Charset::named(label).unwrap().write(text).unwrap()].concat();
        for (settings, after) in [
            (
                json!({"match": "^名称=", "line": "名称=新"}),
                text.replace('旧', "新"),
            ),
            (
                json!({"match": "^PORT=", "line": "PORT=2"}),
                text.replace("PORT=1", "PORT=2"),
            ),
            (
                json!({"match": "^;", "line": "; ok"}),
                text.replace("; 数据库", "; ok"),
            ),
            (
                json!({"match": "^名称=", "remove": true}),
                text.replace("名称=旧\r\n", ""),
            ),
            (
                json!({"match": "^端口=", "line": "端口=2", "absent": "append"}),
                format!("{text}端口=2\r\n"),
            ),
        ] {
            assert_eq!(
                edited(&bytes(text), &settings),
                bytes(&after),
                "{label} {settings}"
            );
        }
    }
    assert_eq!(
        edited(
            b"\xef\xbb\xbfPORT=1\n",
            &json!({"match": "^PORT=", "line": "PORT=2"})
        ),
        b"\xef\xbb\xbfPORT=2\n",
        "a mark is no part of the first line"
    );
}

#[test]
fn text_is_not_looked_for_in_a_file_that_is_not_text_here() {
    let world = World::new();
    world.write("file", b"caf\xe9=1\n");
    let wanted = json!({"match": "^caf\u{e9}=", "line": "caf\u{e9}=2"});
    world.refuses(&line(&world, wanted), "UTF-16 with a mark, GB18030");
    let gone = json!({"match": "^caf\u{e9}=", "remove": true});
    world.refuses(&line(&world, gone), "only ASCII");
    let gbk = Charset::named("gbk").unwrap().write("名称=旧\n").unwrap();
    world.write("file", &gbk);
    let other = json!({"match": "^端口=", "line": "端口=2"});
    world.refuses(&line(&world, other), "read as GB18030 (GBK)");
}
