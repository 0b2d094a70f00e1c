//! The pages in a browser: they say nothing to its console, request nothing, are accessible, fit a phone and a sheet of
//! paper, and what steps print into them stays text. `tests/browser/check.py` looks.

use crate::common::World;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A script of `tests/browser`, with Debian's Python.
fn python(script: &str) -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command.arg(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/browser")
            .join(script),
    );
    command
}

/// What a browser finds wrong with these pages: nothing. With `UPLEDGER_EVERY_WINDOW` it looks at both widths in both
/// colour schemes; `UPLEDGER_PICTURES` names a directory for what they look like.
pub(crate) fn assert_good(pages: &[PathBuf]) {
    let mut check = python("check.py");
    if let Some(dir) = std::env::var_os("UPLEDGER_PICTURES") {
        check.arg("--pictures").arg(dir);
    }
    if std::env::var_os("UPLEDGER_EVERY_WINDOW").is_some() {
        check.arg("--every-window");
    }
    let done = check.args(pages).output().expect("python3");
    assert!(
        done.status.success(),
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
}

/// Where `tests/prepare` puts what reads pages and exports.
pub(crate) fn readers() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR");
    let target = target.map_or_else(|| "target".into(), PathBuf::from);
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(target)
        .join("browser")
}

const HOSTILE: &str = r#"
import sys
lines = [
    "<script>document.title = 'hostile'</script><img src=x onerror=alert(1)>",
    "=HYPERLINK(\"http://127.0.0.1/\") +cmd()",
    "\x1b[31mred\x1b]0;title\x07 \u202eright to left\u202c \u2066isolated\u2069 a\u200bb \x00 \x9b31m",
    "{{ title }} {% raw %} &lt;b&gt; --> ]]> </pre></script> `code` | cell",
]
for n in range(100_000):
    sys.stdout.write(lines[n % len(lines)] + "\n")
sys.exit(1)
"#;

const PLAN: &str = r#"
upledger: 1
name: "night <b>"
change: {id: CR-7, reason: "<script>alert(4)</script>", impact: nothing}
phases:
  - phase: "first & <i>phase</i>"
    steps:
      - {id: quick, do: {run: ["true"]}, effect: pure}
      - {id: work, do: {shell: "sleep 1.2"}, on_doubt: ask, undo: {run: ["true"], effect: idempotent}}
  - phase: second
    steps:
      - {id: hostile, do: {run: [python3, "@/hostile.py"]}, on_doubt: ask, undo: {run: ["true"], effect: idempotent}}
      - {id: a-step-with-a-name-as-long-as-names-may-be-which-is-64-letters-x, do: {run: ["true"]}, effect: pure}
"#;

/// Two nights with what people and programs can print; their names.
fn hostile(world: &World) -> [String; 2] {
    world.write("hostile.py", HOSTILE);
    world.write("plan.yaml", PLAN);
    [(); 2].map(|()| {
        assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
        let note = "</script><img src=x onerror=alert(3)> \u{202e}note";
        assert_eq!(world.upledger(&["note", note]).code, 0);
        let decide = ["decide", "hostile", "skip", "--reason", "<i>not now</i>"];
        assert_eq!(world.upledger(&decide).code, 0);
        assert_eq!(world.upledger(&["resume"]).code, 0);
        let run = world.status()["run"].as_str().expect("a name").to_owned();
        let back = ["rollback", "--reason", "<b>back</b>"];
        assert_eq!(world.upledger(&back).code, 5);
        run
    })
}

#[test]
fn pages_of_a_hostile_night_are_good_in_a_browser() {
    let world = World::new();
    let [first, second] = hostile(&world);
    let mut pages = Vec::new();
    for lang in ["en", "zh"] {
        let one = format!("timeline-{lang}.html");
        let two = format!("comparison-{lang}.html");
        let three = format!("report-{lang}.html");
        let four = format!("period-{lang}.html");
        let alone = ["timeline", &second, "--lang", lang, "--out", &one];
        let report = ["report", &second, "--lang", lang, "--out", &three];
        let period = ["report", "--runs", "..", "--lang", lang, "--out", &four];
        let beside = [
            "timeline", &second, "--beside", &first, "--lang", lang, "--out", &two,
        ];
        for args in [&alone[..], &beside, &report, &period] {
            let done = world.upledger(args);
            assert_eq!(done.code, 0, "{done:?}");
        }
        pages.extend([&one, &two, &three, &four].map(|name| world.path(name)));
    }
    let page = std::fs::read_to_string(&pages[0]).expect("written");
    for shown in [
        "&lt;script&gt;document.title",
        "\\u{202e}right to left",
        "\\u{1b}[31mred",
        "&lt;&#x2f;script&gt;&lt;img src=x onerror=alert(3)&gt;",
    ] {
        assert!(page.contains(shown), "{shown}");
    }
    assert_good(&pages);
}

/// The command that a page gives for its events.
pub(crate) fn unpack(page: &Path, to: &Path) {
    let command = "sed -n '/id=\"upledger\"/,/<\\/script>/p' \"$1\" | sed '1d;$d' | base64 -d | gunzip > \"$2\"";
    let done = Command::new("sh")
        .args(["-c", command, "sh"])
        .args([page, to])
        .status();
    assert!(done.expect("sh").success());
}

/// A directory of `docs/examples`, and the machine of its night.
const EXAMPLES: [(&str, &str); 2] = [("", "shop-1"), ("staging", "app-1")];

fn example(directory: &str, page: &str) -> PathBuf {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples");
    examples.join(directory).join(page)
}

/// What a stranger sees first: the events in them verify, tell the stories of `docs/examples/README.md`, and name nobody.
#[test]
fn the_pages_of_the_examples_hold_their_story() {
    let world = World::new();
    for (directory, host) in EXAMPLES {
        for timeline in ["timeline.html", "timeline.zh-CN.html"] {
            assert_holds_its_story(&world, &example(directory, timeline), host);
        }
    }
}

#[test]
#[ignore = "eight pages that change only when they are made anew: the long tier runs it (tests/long)"]
fn the_pages_of_the_examples_are_good_in_a_browser() {
    let names = [
        "timeline.html",
        "timeline.zh-CN.html",
        "report.html",
        "report.zh-CN.html",
    ];
    let pages = EXAMPLES.map(|(directory, _)| names.map(|page| example(directory, page)));
    assert_good(pages.as_flattened());
}

fn assert_holds_its_story(world: &World, page: &Path, host: &str) {
    let events = world.path("events.jsonl");
    unpack(page, &events);
    let verified = world.upledger(&["verify", "events.jsonl"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    let text = std::fs::read_to_string(&events).expect("text");
    assert!(
        !text.contains(env!("CARGO_MANIFEST_DIR")),
        "where it was made"
    );
    let events: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    for event in &events {
        assert_eq!(event["host"], host, "{event}");
        let actor = event["actor"].as_str().unwrap_or_default();
        assert!(["alice", "bob"].contains(&actor), "{event}");
    }
    for kind in [
        "step.adopted",
        "step.doubted",
        "step.decided",
        "step.failed",
        "note.added",
        "rollback.completed",
    ] {
        assert!(events.iter().any(|e| e["kind"] == kind), "{kind}");
    }
}

#[test]
#[ignore = "long tier: mermaid is a package of the npm registry, which tests/long fetches"]
fn mermaid_draws_every_attempt_of_the_chart() {
    let world = World::new();
    hostile(&world);
    let written = ["timeline", "--format", "mermaid", "--out", "night.mmd"];
    assert_eq!(world.upledger(&written).code, 0);
    let tools = std::env::var_os("UPLEDGER_TOOLS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools"),
        PathBuf::from,
    );
    let drawn = python("mermaid.py")
        .arg(tools.join("mermaid-12.3.0.js"))
        .arg(world.path("night.mmd"))
        .output()
        .expect("python3");
    assert!(drawn.status.success(), "{drawn:?}");
    let drawn = String::from_utf8(drawn.stdout).expect("text");
    let chart = std::fs::read_to_string(world.path("night.mmd")).expect("written");
    let tasks = chart
        .lines()
        .filter_map(|l| l.strip_prefix("    ")?.split(" :").next());
    let mut seen = 0;
    for task in tasks {
        assert!(drawn.lines().any(|l| l.trim() == task), "{task}: {drawn}");
        seen += 1;
    }
    assert!(seen > 5, "{chart}");
}
