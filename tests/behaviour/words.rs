//! What people read: every command's help, twenty errors and the problems of bad plans, in both languages, as snapshots. `INSTA_UPDATE=always` writes
//! them anew; each change of them is to be read.

use crate::common::{Done, World};
use std::fmt::Write;
use unicode_width::UnicodeWidthStr;

const COMMANDS: [&[&str]; 31] = [
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
    &["amend"],
    &["rollback"],
    &["note"],
    &["log"],
    &["replay"],
    &["timeline"],
    &["report"],
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
    for words in COMMANDS {
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

/// On the narrowest terminal that is common; what cannot be broken is a path, a URL or a command.
#[test]
fn no_help_and_no_explanation_is_wider_than_a_terminal() {
    let world = World::new();
    for lang in ["en", "zh"] {
        let explained = speak(&world, lang, &["explain"]).out;
        assert!(explained.lines().count() > 10, "{explained}");
        for line in help(lang).lines().chain(explained.lines()) {
            let one_word = line.split_whitespace().count() <= 1;
            let ours = !line.starts_with("$ ") && !one_word;
            assert!(!ours || line.width() <= 80, "{lang}: {line}");
        }
    }
}

/// Whoever mistypes an option sees how the command is written, in both languages.
#[test]
fn a_usage_error_shows_the_usage() {
    let world = World::new();
    for (lang, usage) in [("en", "Usage: "), ("zh", "用法：")] {
        let done = speak(&world, lang, &["run"]);
        let line = format!("{usage}upledger run <PLAN>");
        assert!(done.err.contains(&line), "{done:?}");
    }
    // There is only one form, so it need not be named.
    assert_eq!(
        speak(&world, "en", &["export"]).code,
        2,
        "there is no ledger"
    );
    let done = speak(&world, "en", &["export"]);
    assert!(done.err.contains("there is no ledger"), "{done:?}");
}

#[test]
fn every_command_is_in_the_snapshots() {
    let done = World::new().upledger(&["--help"]);
    let listed: Vec<&str> = done
        .out
        .lines()
        .filter_map(|l| l.strip_prefix("  "))
        .filter(|l| l.starts_with(|c: char| c.is_ascii_lowercase()))
        .collect();
    assert!(listed.len() > 20, "{listed:?}");
    assert!(
        !done.out.contains("\nCommands:"),
        "each has a duty: {done:?}"
    );
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
    told(&["rnu", "plan.yaml"], 2);
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

/// `help COMMAND` is what everybody types first.
#[test]
fn help_of_a_command_is_its_help() {
    let world = World::new();
    for words in COMMANDS {
        let asked: Vec<&str> = ["help"].iter().chain(words).copied().collect();
        let option: Vec<&str> = words.iter().copied().chain(["--help"]).collect();
        for lang in ["en", "zh"] {
            let (help, same) = (speak(&world, lang, &asked), speak(&world, lang, &option));
            assert_eq!((help.code, &help.out), (0, &same.out), "{asked:?}");
            assert!(!help.out.is_empty());
        }
    }
    let unknown = speak(&world, "zh", &["help", "nope"]);
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(unknown.err.contains("nope"), "{unknown:?}");
}

#[test]
fn manual_pages_have_headings_of_their_language() {
    let world = World::new();
    for (lang, heading, other) in [
        ("en", ".SH SYNOPSIS", ".SH 用法"),
        ("zh", ".SH 用法", ".SH SYNOPSIS"),
    ] {
        let page = speak(&world, lang, &["man"]).out;
        assert!(page.contains(heading) && !page.contains(other), "{page}");
        let sections = match lang {
            "en" => ["EXIT STATUS", "FILES", "ENVIRONMENT", "EXAMPLES"],
            _ => ["退出码", "文件", "环境变量", "示例"],
        };
        for section in sections {
            assert!(page.contains(&format!(".SH \"{section}\"")), "{page}");
        }
        assert_eq!(speak(&world, lang, &["man", "--dir", lang]).code, 0);
        for name in ["upledger.1", "upledger-run.1", "upledger-ledger-restored.1"] {
            let path = world.path(lang).join(name);
            let page = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(page.contains(heading) && !page.contains(other), "{page}");
        }
    }
}

/// What the program records of its own is English in the record and Chinese on a Chinese screen; what a step or a
/// person said stays as it is.
#[test]
fn causes_of_the_programs_own_are_told_in_the_language_of_the_screen() {
    let world = World::new();
    let frames = [
        ("exit 3", "退出码 3", "it ended with exit code 3"),
        ("kill -9 $$", "被信号 9 终止", "killed by signal 9"),
        ("sleep 60", "执行超时，已强制结束", "time limit exceeded"),
    ];
    for (n, (script, chinese, english)) in frames.into_iter().enumerate() {
        world.write(
            "plan.yaml",
            &PLAN
                .replace(
                    "run: [test, -e, \"@/there\"]",
                    &format!("shell: \"{script}\""),
                )
                .replace("effect: idempotent", "effect: idempotent, timeout: 1s"),
        );
        let run = speak(&world, "zh", &["run", "plan.yaml"]);
        assert_eq!(run.code, 1, "{n}: {run:?}");
        assert!(run.out.contains(&format!("one 失败：{chinese}")), "{run:?}");
        let status = speak(&world, "zh", &["status"]).out;
        assert!(status.contains(chinese), "{status}");
        assert!(!status.contains(english), "it is said once: {status}");
        let log = world.upledger(&["log", "--json"]).out;
        assert!(log.contains(english) && !log.contains(chinese), "{log}");
        assert!(speak(&world, "en", &["status"]).out.contains(english));
        let abort = ["abort", "--reason", "停机窗口已过"];
        assert_eq!(speak(&world, "zh", &abort).code, 12);
    }
    let log = speak(&world, "zh", &["log"]).out;
    assert!(log.contains("停机窗口已过"), "{log}");
}

/// Where the ledger is, what is remembered of it, and what was kept of it elsewhere.
#[test]
fn causes_that_the_ledger_names_are_told_in_the_language_of_the_screen() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    world.damages_its_ledger();
    world.write("plan.yaml", &PLAN.replace("-e, \"@/there\"", "-d, /"));
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
    let told = |args: &[&str], code: i32, chinese: &str, english: &str| {
        let done = speak(&world, "zh", args);
        assert_eq!(done.code, code, "{done:?}");
        let said = done.out + &done.err;
        assert!(said.contains(chinese) && !said.contains(english), "{said}");
        let machine = speak(&world, "zh", &[args, &["--json"]].concat()).out;
        assert!(machine.contains(english), "{machine}");
    };
    world.write("kept.txt", "upledger.local/00\n1\n");
    let kept = ["verify", "--checkpoint", "kept.txt"];
    told(&kept, 2, "检查点应恰好三行", "exactly three lines");
    let (id, root) = ("0".repeat(32), format!("{}=", "A".repeat(43)));
    world.write("kept.txt", &format!("upledger.local/{id}\n1\n{root}\n"));
    told(&kept, 7, "它属于账本 000", "it is about ledger");

    let mode = |bits| {
        let mode = std::fs::Permissions::from_mode(bits);
        std::fs::set_permissions(world.state(), mode).expect("ours");
    };
    mode(0o755);
    let open = "的权限是 0755，其他用户可以访问";
    told(&["status"], 2, open, "has mode 0755");
    mode(0o700);

    std::fs::remove_file(world.state().join("ledger.db")).expect("there");
    for command in ["status", "verify"] {
        let gone = "is missing; remembered:";
        told(&[command], 7, "已不存在：本机记录有", gone);
    }

    for entry in std::fs::read_dir(world.path("memory")).expect("the memory") {
        let path = entry.expect("an entry").path();
        std::fs::write(path, "no memory\n").expect("written");
    }
    told(&["status"], 7, "链头记录文件", "the memory file");
}

/// Changes of the plan above, each of which is a typical slip, and plans that are wrong as a whole.
const SLIPS: [(&str, &str); 71] = [
    (
        "effect: idempotent,",
        "effect: idempotent\u{ff0c} timeout: 1s,",
    ),
    (
        "do: {run: [test, -e, /there]}",
        "do: \u{ff5b}run: [test]\u{ff5d}",
    ),
    ("run: [test, -e, /there]", "run: \u{3010}test, -e\u{3011}"),
    (
        "run: [test, -e, /there]",
        "run: [test, \u{201c}a, b\u{201d}]",
    ),
    (
        "do: {run: [test, -e, /there]}",
        "do: {run: [test, -e, /there}",
    ),
    ("upledger: 1", "upledger: 2"),
    ("upledger: 1", "upledger: v1"),
    ("name: words", "name words"),
    ("name: words", "name: words: 2.0"),
    ("name: words", "name\u{ff1a}words"),
    ("name: words", "name:\u{3000}words"),
    ("name: words", "vars:\n  - dir: /srv\nname: words"),
    ("  - phase", "\u{a0} - phase"),
    ("  - phase: all", "  - name: all"),
    ("    steps:\n      -", "    -"),
    ("phases:\n  - phase: all\n    steps:", "steps:"),
    ("id: one", "name: one"),
    (
        "do: {run: [test, -e, /there]}",
        "do: systemctl restart shop",
    ),
    ("run: [test, -e, /there]", "file.copy: {from: /a, to: /b}"),
    ("run: [test, -e, /there]", "run: [test\u{ff0c} -e]"),
    (
        "run: [test, -e, /there]",
        "run: [test, \u{201c}/there\u{201d}]",
    ),
    ("run: [test, -e, /there]", "run: [ls, *.log]"),
    ("run: [test, -e, /there]", "run: [ls, {{ dir }}]"),
    ("run: [test, -e, /there]", "run: [x], shell: y"),
    ("effect: idempotent", "retry: 3, env: [A=b]"),
    ("undo: none", "undo: rm -f /x"),
    (
        "undo: none}",
        "undo: none}\n      - {id: one, do: {run: [x]}, effect: pure}",
    ),
    ("upledger: 1", "upledger: [1]"),
    ("name: words", "name: \"\""),
    ("name: words", "name: words\nname: again"),
    ("name: words", "name: words\nwindow: {opens: 22h}"),
    (
        "name: words",
        "name: words\nvars: {a: \"${b}\", b: \"${a}\"}",
    ),
    ("name: words", "name: words\nsecrets: {db: swordfish}"),
    ("name: words", "name: ${db}\nsecrets: {db: {env: DB}}"),
    ("phases:", "\tphases:"),
    ("phases:", "phase:"),
    ("    steps:", "    steps: []\n    on: web"),
    ("id: one", "id: Step One"),
    ("{id: one", "{id: one, id: one"),
    ("do: {run", "do: {rnu"),
    ("run: [test, -e, /there]", "run: []"),
    ("run: [test, -e, /there]", "run: [x, {secret: db}]"),
    ("run: [test, -e, /there]", "run: [x, [y]]"),
    ("run: [test, -e, /there]", "run: [x, {from: nothing.rows}]"),
    ("run: [test, -e, /there]", "run: [x, --password=swordfish]"),
    ("run: [test, -e, /there]", "shell: \"echo ${HOME}\""),
    (
        "run: [test, -e, /there]",
        "file.line: {path: hosts, match: \"(\"}",
    ),
    (
        "run: [test, -e, /there]",
        "file.replace: {path: /x, content: y, mode: \"rw\"}",
    ),
    ("run: [test, -e, /there]", "expect.port: {port: 70000}"),
    (
        "run: [test, -e, /there]",
        "expect.process: {match: x, none: true, count: 2}",
    ),
    (
        "run: [test, -e, /there]",
        "http.check: {url: health, headers: {X: [1]}}",
    ),
    (
        "run: [test, -e, /there]",
        "http.check: {url: \"ftp://x\", status: 20, json: {a: 1}}",
    ),
    (
        "run: [test, -e, /there]",
        "git.deploy: {repo: x, ref: \"a b\", into: srv}",
    ),
    (
        "run: [test, -e, /there]",
        "process.start: {argv: [], pidfile: /p, log: /l, ready: {host: x}}",
    ),
    (
        "      - {id: one, do: {run: [test, -e, /there]}",
        "      - {id: files, do: {django.collectstatic: {python: /p}}, cwd: /}\n      - {id: one, do: {expect.port: {port: {from: files.root}}}",
    ),
    (
        "      - {id: one, do: {run: [test, -e, /there]}",
        "      - {id: f, do: {django.collectstatic: {python: /p}}, cwd: /}\n      - {id: one, do: {expect.file: {path: {from: f.files}}}, cwd: {from: f.files}, env: {A: {from: f.rot}, B: {from: f.number}}",
    ),
    (
        "run: [test, -e, /there]}",
        "django.collectstatic: {python: /p}}, cwd: /, facts: {root: {json: .x}}",
    ),
    ("effect: idempotent", "effect: idempotent, cwd: [/]"),
    ("effect: idempotent", "effect: probed"),
    (
        "effect: idempotent",
        "effect: idempotent, probe: {process.stop: {pidfile: /p}}",
    ),
    ("effect: idempotent", "effect: idempotent, timeout: 30"),
    (
        "effect: idempotent",
        "effect: idempotent, timeout: 90d, retry: {times: 500}",
    ),
    (
        "effect: idempotent",
        "effect: idempotent, cwd: here, env: {A B: x}",
    ),
    (
        "effect: idempotent",
        "effect: idempotent, env: {A: {secret: db}, B: [x]}",
    ),
    (
        "effect: idempotent",
        "effect: idempotent, when: {var: region, is: open}",
    ),
    (
        "effect: idempotent",
        "effect: idempotent, facts: {rows: {json: rows}}",
    ),
    ("undo: none", "why: no way back"),
    ("undo: none", "undo: nothing"),
    ("undo: none", "undo: {point_of_no_return: \"\"}"),
    ("undo: none", "undo: {point_of_no_return: x, run: [y]}"),
    ("undo: none", "undo: {run: [x], shell: y}"),
];

fn slips(lang: &str) -> String {
    let world = World::new();
    let mut all = String::new();
    // Columns and cut lines must not depend on where the test runs.
    let good = PLAN.replace("\"@/there\"", "/there");
    let resolved = r#"{"upledger_resolved": 1, "plan": {}}"#;
    let whole = ["", "- a\n", "a: *b\n", resolved].map(str::to_owned);
    let changed = SLIPS.iter().map(|(from, to)| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    });
    for text in whole.into_iter().chain(changed) {
        world.write("plan.yaml", &text);
        let done = speak(&world, lang, &["check", "plan.yaml"]);
        assert_eq!(done.code, 3, "{text}: {done:?}");
        assert!(!done.err.contains("swordfish"), "{done:?}");
        // All but the line of the plan itself.
        let plans = |l: &&str| l.starts_with(|c: char| c.is_ascii_digit());
        done.err
            .lines()
            .filter(|l| !plans(l))
            .for_each(has_one_width);
        let _ = writeln!(all, "{}", done.err);
    }
    all
}

#[test]
fn slips_in_english() {
    insta::assert_snapshot!("slips-en", slips("en"));
}

/// The words of the first line and of the advice are ours, so they are Chinese.
#[test]
fn slips_in_chinese() {
    let all = slips("zh");
    let ours = |line: &&str| line.starts_with("错误：") || line.starts_with("  = 建议：");
    let is_chinese = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
    assert!(all.lines().filter(ours).count() > SLIPS.len());
    for line in all.lines().filter(ours) {
        let words = line.split_once('：').map_or("", |(_, words)| words);
        assert!(words.chars().any(is_chinese), "{line}");
    }
    let english = |line: &str| line.starts_with("error:") || line.contains("= help:");
    assert!(!all.lines().any(english), "{all}");
    insta::assert_snapshot!("slips-zh", all);
}

/// Programs read English, whoever is at the keyboard.
#[test]
fn slips_for_programs_are_english() {
    let world = World::new();
    world.write("plan.yaml", &PLAN.replace("effect", "colour"));
    let done = speak(&world, "zh", &["--json", "check", "plan.yaml"]);
    assert_eq!(done.code, 3, "{done:?}");
    assert!(done.out.contains("unknown key `colour`"), "{done:?}");
    assert!(done.out.is_ascii(), "{done:?}");
}

/// What a screen says, `explain` knows, in the language of the screen and in English.
#[test]
fn the_words_of_the_screens_are_explained() {
    let world = World::new();
    for (lang, asked, part) in [
        ("en", &["adopted"][..], "still running"),
        ("en", &["in", "doubt"], "unknown"),
        ("en", &["would fail"], "missing"),
        ("en", &["L0"], "the chain alone"),
        ("zh", &["结果未知"], "是否生效未知"),
        ("zh", &["in", "doubt"], "是否生效未知"),
        ("zh", &["无法判断"], "再次检查"),
    ] {
        let done = speak(&world, lang, &[&["explain"], asked].concat());
        assert_eq!(done.code, 0, "{done:?}");
        assert!(done.out.contains(part), "{asked:?}: {done:?}");
    }
    // Every word that stands in the column of a status.
    world.write(
        "plan.yaml",
        "upledger: 1\nname: x\nphases:\n  - phase: p\n    steps:\n      - {id: a, do: {run: [\"true\"]}, effect: pure}\n      - {id: b, do: {run: [\"false\"]}, effect: pure}\n      - {id: c, do: {run: [\"true\"]}, effect: pure}\n",
    );
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    for step in world.status()["steps"].as_array().expect("steps") {
        let word = step["do"]["status"].as_str().expect("a word");
        assert_eq!(world.upledger(&["explain", word]).code, 0, "{word}");
    }
    assert_eq!(world.upledger(&["explain", "nonsense"]).code, 2);
    // No dead end: what it knows, and what may have been meant.
    for (lang, asked, near) in [
        ("en", "adopte", "adopted"),
        ("zh", "plan_refuse", "plan_refused"),
    ] {
        let done = speak(&world, lang, &["explain", asked]);
        assert_eq!(done.code, 2, "{done:?}");
        assert!(
            done.err.contains(near) && done.err.contains("explain words"),
            "{done:?}"
        );
    }
    let words = speak(&world, "zh", &["explain", "words"]);
    for part in ["13", "plan_refused", "结果未知", "L2"] {
        assert!(words.out.contains(part), "{part}: {words:?}");
    }
}
