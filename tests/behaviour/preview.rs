//! `plan`: in the language of the screen and for the record in English; what cannot run is said before the night, and on the demonstration's own application the preview changes
//! nothing (files, processes, database) and predicts exactly the steps that the run then makes.

use crate::common::{Done, World, kill};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

fn verdicts(world: &World, args: &[&str]) -> Vec<(String, String)> {
    let done = world.upledger(args);
    let value: Value = serde_json::from_str(done.out.trim()).expect("JSON");
    let word = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let steps = value["steps"].as_array().expect("steps");
    let found: Vec<(String, String)> = steps
        .iter()
        .map(|s| (word(&s["step"]), word(&s["verdict"])))
        .collect();
    let fails = found.iter().any(|(_, v)| v == "cannot_run" || v == "fail");
    assert_eq!(done.code, if fails { 3 } else { 0 }, "{done:?}");
    found
}

const MISSING: &str = r#"
upledger: 1
name: missing
phases:
  - phase: all
    steps:
      - {id: gone, do: {run: [upledger-no-such-binary, --all]}, effect: pure}
      - {id: closed, do: {run: ["@/plain"]}, effect: pure}
      - {id: place, do: {shell: "true"}, cwd: "@/nowhere", effect: pure}
      - {id: daemon, do: {process.start: {argv: ["@/no-daemon"], pidfile: "@/pid", log: "@/log"}}}
      - {id: good, do: {run: [test, -e, /]}, effect: pure}
      - {id: makes, do: {shell: "echo 'exit 0' > @/tool; chmod +x @/tool"}, effect: idempotent, undo: {run: [upledger-no-undo]}}
      - {id: made, do: {run: ["@/tool"]}, effect: pure}
"#;

#[test]
fn a_missing_program_or_directory_is_said_and_so_is_what_may_still_come() {
    let world = World::new();
    world.write("plan.yaml", MISSING);
    world.write("plain", "no program");
    let found = verdicts(&world, &["plan", "plan.yaml", "--json"]);
    let found: Vec<(&str, &str)> = found.iter().map(|(s, v)| (&s[..], &v[..])).collect();
    assert_eq!(
        found,
        [
            ("gone", "cannot_run"),
            ("closed", "cannot_run"),
            ("place", "cannot_run"),
            ("daemon", "cannot_run"),
            ("good", "run"),
            ("makes", "run"),
            ("made", "cannot_tell"),
        ]
    );
    let shown = world.upledger(&["plan", "plan.yaml"]).out;
    for part in [
        "cannot run  gone",
        "program not found: upledger-no-such-binary",
        "not executable: ",
        "the working directory ",
        "an earlier step may provide it: makes",
        "upledger-no-undo  (now: program not found: upledger-no-undo)",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    // As predicted, and with the cause that was predicted; refused, unless it is forced.
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 3);
    let force = ["run", "plan.yaml", "--force", "--reason", "to see it"];
    let run = world.upledger(&force);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(
        run.out
            .contains("gone was not started and had no effect: upledger-no-such-binary"),
        "{run:?}"
    );
}

const SECRET: &str = r#"
upledger: 1
name: secret
secrets: {db: {env: UPLEDGER_TEST_NO_SUCH}}
phases:
  - phase: all
    steps:
      - {id: gone, do: {run: [upledger-no-such-binary]}, env: {P: {secret: db}}, effect: pure}
      - {id: place, do: {shell: "true"}, cwd: "@/nowhere", env: {P: {secret: db}}, effect: pure}
      - {id: file, do: {file.backup: {path: "@/no-file"}}, env: {P: {secret: db}}}
      - {id: good, do: {run: [test, -e, /]}, env: {P: {secret: db}}, effect: pure}
      - {id: asks, do: {expect.command: {argv: [touch, "@/ran"]}}, env: {P: {secret: db}}}
"#;

/// A look that might need the secret is not made without it, and nothing else is put in its place.
#[test]
fn a_secret_that_is_missing_hides_nothing_else() {
    let world = World::new();
    world.write("plan.yaml", SECRET);
    let found = verdicts(&world, &["plan", "plan.yaml", "--json"]);
    let found: Vec<(&str, &str)> = found.iter().map(|(s, v)| (&s[..], &v[..])).collect();
    assert_eq!(
        found,
        [
            ("gone", "cannot_run"),
            ("place", "cannot_run"),
            ("file", "fail"),
            ("good", "cannot_tell"),
            ("asks", "cannot_tell"),
        ]
    );
    let shown = world.upledger(&["plan", "plan.yaml"]).out;
    for part in [
        "program not found: upledger-no-such-binary",
        "the working directory ",
        "no-file",
        "it needs the secret db",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!world.path("ran").exists());
}

/// Every file below a directory, its bytes and its time of change.
fn files(dir: &Path) -> BTreeMap<String, (Vec<u8>, std::time::SystemTime)> {
    let (mut found, mut open) = (BTreeMap::new(), vec![dir.to_path_buf()]);
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).expect("a directory").flatten() {
            let meta = std::fs::symlink_metadata(entry.path()).expect("there");
            if meta.is_dir() {
                open.push(entry.path());
            } else {
                let bytes = std::fs::read(entry.path()).unwrap_or_default();
                let name = entry.path().display().to_string();
                found.insert(name, (bytes, meta.modified().expect("a time")));
            }
        }
    }
    found
}

/// Processes whose command line names the directory: number, start time and words.
fn processes(dir: &Path) -> Vec<(i32, String, String)> {
    let name = dir.display().to_string();
    let mut found: Vec<(i32, String, String)> = std::fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter_map(|e| {
            let pid = e.file_name().to_str()?.parse().ok()?;
            let words = std::fs::read(e.path().join("cmdline")).ok()?;
            let words = String::from_utf8_lossy(&words).replace('\0', " ");
            let stat = std::fs::read_to_string(e.path().join("stat")).ok()?;
            let after = stat.rsplit_once(')')?.1;
            let began = after.split_whitespace().nth(19)?.to_owned();
            words.contains(&name).then_some((pid, began, words))
        })
        .collect();
    found.sort();
    found
}

/// All that the database says, as SQL.
fn database(file: &Path) -> String {
    let script = "import sqlite3,sys; [print(l) for l in sqlite3.connect('file:'+sys.argv[1]+'?mode=ro', uri=True).iterdump()]";
    let done = Command::new("python3")
        .args(["-c", script])
        .arg(file)
        .output();
    let done = Done::of(done.expect("python3; install it with: apt-get install -y python3"));
    assert_eq!(done.code, 0, "{done:?}");
    done.out
}

/// The demonstration's shop, as the demonstration left it.
struct Shop(World);

impl Drop for Shop {
    fn drop(&mut self) {
        for (pid, _, words) in processes(&self.0.path("demo")) {
            if words.contains("shop.py") {
                kill(pid);
            }
        }
    }
}

#[test]
fn on_the_demonstrations_application_the_preview_changes_nothing_and_predicts_the_run() {
    let shop = Shop(World::new());
    let world = &shop.0;
    let dir = world.path("demo");
    let text = dir.display().to_string();
    let done = world.upledger(&["demo", "--dir", &text]);
    assert_eq!(done.code, 0, "{done:?}");
    let state = dir.join("state").display().to_string();
    let here = |args: &[&str]| -> Done {
        let mut command = world.command(args);
        command
            .current_dir(&dir)
            .env("UPLEDGER_STATE", &state)
            .env("UPLEDGER_MEMORY", dir.join("memory"));
        Done::of(command.output().expect("it starts"))
    };
    // Back to the old release: the rollback starts the shop again, as it ran before the upgrade.
    let back = here(&["rollback", "--reason", "once more, with a preview"]);
    assert_eq!(back.code, 5, "{back:?}");
    let data = dir.join("shop.db");
    let (sql, living, all) = (database(&data), processes(&dir), files(&dir));
    assert!(living.iter().any(|p| p.2.contains("shop.py")), "{living:?}");
    assert!(
        sql.contains("2.59"),
        "the old schema with its data: {}",
        sql.len()
    );

    let shown = here(&["plan", "upgrade.yaml"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    let json = here(&["plan", "upgrade.yaml", "--json"]);
    assert_eq!(database(&data), sql);
    assert_eq!(processes(&dir), living, "the same processes, none besides");
    let after = files(&dir);
    let changed: Vec<&String> = all
        .keys()
        .chain(after.keys())
        .filter(|name| all.get(*name) != after.get(*name))
        .collect();
    assert!(changed.is_empty(), "{changed:?}");

    let value: Value = serde_json::from_str(json.out.trim()).expect("JSON");
    let word = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let predicted: Vec<String> = value["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .filter(|s| !["already", "left_out", "cannot_run"].contains(&&word(&s["verdict"])[..]))
        .map(|s| word(&s["step"]))
        .collect();
    let run = here(&["run", "upgrade.yaml", "--json"]);
    assert_eq!(run.code, 0, "{run:?}");
    let made: Vec<String> = run
        .out
        .lines()
        .filter_map(|l| serde_json::from_str::<Value>(l).ok())
        .filter(|e| e["kind"] == "step.started")
        .map(|e| word(&e["data"]["at"]["part"]["step"]))
        .collect();
    assert_eq!(made, predicted);
    assert_eq!(made.len(), 7, "{made:?}");
    assert_ne!(database(&data), sql, "the run did change it");
}

#[test]
fn a_secret_that_cannot_be_read_is_told_with_its_reason() {
    let world = World::new();
    world.write(
        "plan.yaml",
        r#"
upledger: 1
name: secret
secrets: {db: {file: "@/absent"}}
phases:
  - phase: all
    steps:
      - {id: dump, do: {run: ["true"]}, env: {PASSWORD: {secret: db}}, effect: pure}
"#,
    );
    let shown = world.upledger(&["plan", "plan.yaml"]);
    assert_eq!(shown.code, 3, "as the run ends: {shown:?}");
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 3);
    for part in [
        "it needs the secret db, which cannot be read here",
        "the secret db cannot be read here, so `run` would refuse: ",
        "/absent",
    ] {
        assert!(shown.out.contains(part), "{part}: {shown:?}");
    }
}

/// Words that an English sentence hardly does without, and a command, path or name hardly holds.
const ENGLISH: &str = r"\b(the|and|of|with|until|expect|that|which|is|to|by|at|runs|lives|no|none|be|line|process|mode|already|left)\b";

/// What the screen says in its own words; what a look saw is evidence, and quoted as it would be recorded.
fn english_words(screen: &str) -> Vec<String> {
    let words = regex::Regex::new(ENGLISH).expect("a pattern");
    // From the plan: its own words, names and commands; the words of options.
    let plans = regex::Regex::new(
        r"进程 \d+ \([^)]*\)|the schema is new|page-on|Back at|/\S+|--?[a-z-]+|one-\w+|\S+-\w+|process\.st\w+|'[^']*'",
    )
    .expect("a pattern");
    screen
        .lines()
        .map(|line| line.split_once("探测结果：").map_or(line, |(own, _)| own))
        .filter(|line| words.is_match(&plans.replace_all(line, "")))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_chinese_preview_of_every_kind_of_action_is_chinese() {
    let world = World::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let examples = std::fs::read_to_string(root.join("docs/examples.yaml")).expect("the examples");
    let here = world.path("app").display().to_string();
    std::fs::create_dir_all(world.path("app/etc")).expect("made");
    world.write("app/etc/app.env", "WORKERS=2\nBROKER_URL=x\n");
    world.write("app/etc/limits.conf", "nofile 1024\n");
    world.write("plan.yaml", &examples.replace("/srv/app", &here));
    let preview = |args: &[&str]| {
        let mut command = world.command(args);
        command.env("APP_TOKEN", "swordfish-1");
        Done::of(command.output().expect("it starts"))
    };
    let shown = preview(&["plan", "plan.yaml", "--lang", "zh"]).out;
    assert!(shown.contains("WORKERS=4"), "{shown}");
    let mut english = english_words(&shown);
    // Its Nginx is whichever runs on this machine, such as that of another test.
    english.retain(|line| !line.contains("nginx: master process"));
    assert!(english.is_empty(), "{english:#?}\n{shown}");
    // Nothing of that is a matter of course: the English screen is full of them.
    let other = preview(&["plan", "plan.yaml", "--lang", "en"]).out;
    assert!(english_words(&other).len() > 20, "{other}");
    // For programs it is English, whoever is at the keyboard.
    let json = preview(&["plan", "plan.yaml", "--lang", "zh", "--json"]).out;
    assert!(json.is_ascii() && json.contains("wait up to"), "{json}");
}

const RECORDED: &str = r#"
upledger: 1
name: recorded
phases:
  - phase: all
    steps:
      - {id: there, do: {expect.file: {path: "@/conf", contains: one}}}
      - {id: none, do: {expect.process: {match: "upledger-no-such-@", none: true}}}
      - {id: keep, do: {file.backup: {path: "@/conf"}}}
      - {id: line, do: {file.line: {path: "@/conf", match: "^one", line: two}}}
      - {id: start, do: {process.start: {argv: [sleep, "300"], pidfile: "@/pid", log: "@/log"}}}
      - {id: stop, do: {process.stop: {pidfile: "@/pid"}}}
      - {id: put, do: {file.replace: {path: "@/conf", content: three}}}
"#;

#[test]
fn the_intents_and_the_evidence_of_a_run_are_english_on_every_screen() {
    let world = World::new();
    world.write("conf", "one\n");
    world.write("plan.yaml", RECORDED);
    let run = world.upledger(&["run", "plan.yaml", "--lang", "zh"]);
    assert_eq!(run.code, 0, "{run:?}");
    let back = world.upledger(&["rollback", "--reason", "x", "--lang", "zh"]);
    assert_eq!(back.code, 5, "{back:?}");
    let log = world.upledger(&["log", "--json", "--lang", "zh"]).out;
    assert!(log.is_ascii(), "{log}");
    for part in [
        "no process matching ",
        " to the state directory",
        "replace the line that matches ^one with: two",
        "as a daemon",
        "TERM, and KILL after ",
        "bytes of the plan",
    ] {
        assert!(log.contains(part), "{part}: {log}");
    }
}

/// What is expected of a step is how long it took with its checks, in a run that passed it.
#[test]
fn a_step_is_expected_to_take_as_long_as_it_took_with_its_checks() {
    let world = World::new();
    world.write(
        "plan.yaml",
        "upledger: 1\nname: x\nphases:\n  - phase: p\n    steps:\n      - {id: a, do: {run: [\"true\"]}, effect: pure, verify: {run: [sleep, \"1.5\"]}}\n      - {id: b, do: {run: [test, -e, \"@/good\"]}, effect: pure}\n",
    );
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    let abort = ["abort", "--reason", "not today"];
    assert_eq!(world.upledger(&abort).code, 12);
    let plan = world.upledger(&["plan", "plan.yaml", "--json"]);
    let plan: Value = serde_json::from_str(&plan.out).expect("one object");
    let took = plan["steps"][0]["took_ms"].as_u64();
    assert!(took.is_some_and(|ms| ms >= 1500), "{took:?}");
    assert_eq!(plan["steps"][1]["took_ms"], Value::Null, "it never passed");
}
