//! What people read: every command's help and twenty errors, in both languages, as snapshots. `INSTA_UPDATE=always` writes
//! them anew; each change of them is to be read.

use crate::common::{Done, World};
use std::fmt::Write;
use unicode_width::UnicodeWidthStr;

const COMMANDS: [&[&str]; 28] = [
    &[],
    &["demo"],
    &["init"],
    &["check"],
    &["plan"],
    &["schema"],
    &["run"],
    &["status"],
    &["watch"],
    &["runs"],
    &["resume"],
    &["decide"],
    &["pause"],
    &["abort"],
    &["kill-step"],
    &["rollback"],
    &["note"],
    &["log"],
    &["replay"],
    &["verify"],
    &["verifier"],
    &["export"],
    &["explain"],
    &["completion"],
    &["man"],
    &["ledger"],
    &["ledger", "restored"],
    &["help"],
];

fn speak(world: &World, lang: &str, args: &[&str]) -> Done {
    let mut command = world.command(args);
    command.env("UPLEDGER_LANG", lang).env("COLUMNS", "100");
    Done::of(command.output().expect("the program starts"))
}

/// Words whose number of columns depends on the terminal would break every table.
fn has_one_width(text: &str) {
    for line in text.lines() {
        assert_eq!(line.width(), line.width_cjk(), "{line}");
    }
}

fn help(lang: &str) -> String {
    let world = World::new();
    let mut all = String::new();
    for words in COMMANDS.iter().take(COMMANDS.len() - 1) {
        let args: Vec<&str> = words.iter().copied().chain(["--help"]).collect();
        let done = speak(&world, lang, &args);
        assert_eq!(done.code, 0, "{args:?}: {done:?}");
        has_one_width(&done.out);
        let _ = writeln!(all, "$ upledger {}\n{}", args.join(" "), done.out);
    }
    all
}

#[test]
fn help_in_english() {
    insta::assert_snapshot!("help-en", help("en"));
}

#[test]
fn help_in_chinese() {
    insta::assert_snapshot!("help-zh", help("zh"));
}

#[test]
fn every_command_is_in_the_snapshots() {
    let done = World::new().upledger(&["--help"]);
    let listed = done
        .out
        .lines()
        .filter_map(|l| l.strip_prefix("  "))
        .filter(|l| l.starts_with(|c: char| c.is_ascii_lowercase()));
    for line in listed {
        let name = line.split_whitespace().next().unwrap_or_default();
        assert!(COMMANDS.iter().any(|c| c.first() == Some(&name)), "{name}");
    }
}

const PLAN: &str = r#"
upledger: 1
name: words
phases:
  - phase: all
    steps:
      - {id: one, do: {run: [test, -e, "@/there"]}, effect: idempotent, undo: none}
"#;

/// Twenty ways to be told that something is wrong.
fn errors(lang: &str) -> String {
    let world = World::new();
    let mut all = String::new();
    let here = world.path("").display().to_string();
    let here = here.trim_end_matches('/').to_owned();
    let dated = regex::Regex::new("words-[0-9]{8}-").expect("a pattern");
    let mut told = |args: &[&str], code: i32| {
        let done = speak(&world, lang, args);
        assert_eq!(done.code, code, "{args:?}: {done:?}");
        let text = format!("{}{}", done.out, done.err).replace(&here, "@");
        let text = dated.replace_all(&text, "words-DATE-");
        has_one_width(&text);
        let _ = writeln!(
            all,
            "$ upledger {}    -> {code}\n{text}",
            args.join(" ").replace(&here, "@")
        );
    };
    let plan = |text: &str| world.write("plan.yaml", text);
    told(&["bogus"], 2);
    told(&["run"], 2);
    told(&["decide", "one", "perhaps", "--reason", "x"], 2);
    told(&["status"], 2);
    told(&["explain", "99"], 2);
    told(&["run", "nothing.yaml"], 2);
    plan("upledger: 1\nname: x\nphases: []\n");
    told(&["check", "plan.yaml"], 3);
    plan(&PLAN.replace("idempotent", "sometimes"));
    told(&["check", "plan.yaml"], 3);
    plan(&PLAN.replace("effect: idempotent, ", ""));
    told(&["check", "plan.yaml"], 3);
    plan(&PLAN.replace("@/there", "${nowhere}"));
    told(&["check", "plan.yaml"], 3);
    plan(&PLAN.replace("effect", "colour"));
    told(&["check", "plan.yaml"], 3);
    plan(&PLAN.replace("name: words", "name: words\nvars: {password: swordfish}"));
    told(&["check", "plan.yaml"], 3);
    plan("a: b: c\n");
    told(&["check", "plan.yaml"], 3);
    plan(&PLAN.replace(
        "name: words",
        "name: words\nsecrets: {db: {env: UPLEDGER_TEST_NO_SUCH}}",
    ));
    told(&["run", "plan.yaml"], 3);
    plan(PLAN);
    let _ = speak(&world, lang, &["--quiet", "run", "plan.yaml"]);
    told(&["decide", "two", "retry", "--reason", "x"], 2);
    told(&["decide", "one", "fail", "--reason", "x"], 13);
    told(&["status", "nothing"], 2);
    told(&["rollback", "--to", "nothing"], 2);
    told(&["log", "--output", "nothing"], 2);
    told(&["replay", "--at", "999"], 2);
    told(&["verify", "nothing.db"], 2);
    all
}

#[test]
fn errors_in_english() {
    insta::assert_snapshot!("errors-en", errors("en"));
}

#[test]
fn errors_in_chinese() {
    insta::assert_snapshot!("errors-zh", errors("zh"));
}
