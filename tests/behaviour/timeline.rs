//! The timeline of a run: its numbers are those of the events, what steps print is inert, and its readers can verify it.

use crate::common::World;
use crate::pages::{readers, unpack};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

const PLAN: &str = r#"
upledger: 1
name: night
change: {id: CR-7, reason: "<b>bold</b>", impact: nothing}
phases:
  - phase: "first | phase"
    steps:
      - {id: quick, do: {run: ["true"]}, effect: pure}
      - {id: work, do: {shell: "printf '=1+1 <script>alert(1)</script> \\033[31mred \\342\\200\\256evil\\n'; true"}, on_doubt: ask, undo: {run: ["true"], effect: idempotent}}
  - phase: second
    steps:
      - {id: fails, do: {shell: "printf '=cmd() <script>alert(2)</script> \\033]0;x\\007\\n'; test -e @/go"}, on_doubt: ask, undo: {run: ["true"], effect: idempotent}}
      - {id: last, do: {run: ["true"]}, effect: pure}
"#;

/// A night with a failure, an operator's remark, a decision and a rollback.
fn night() -> (World, String) {
    let world = World::new();
    world.write("plan.yaml", PLAN);
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    let said = [
        "note",
        "=HYPERLINK(\"http://x\") <img src=x onerror=alert(3)>",
    ];
    assert_eq!(world.upledger(&said).code, 0);
    let decide = ["decide", "fails", "retry", "--reason", "<i>again</i>，再试"];
    assert_eq!(world.upledger(&decide).code, 0);
    assert_eq!(world.upledger(&["resume"]).code, 1);
    world.write("go", "");
    assert_eq!(world.upledger(&decide).code, 0);
    assert_eq!(world.upledger(&["resume"]).code, 0);
    assert_eq!(world.rollback().code, 5);
    let run = world.status()["run"].as_str().expect("a name").to_owned();
    (world, run)
}

fn written(world: &World, name: &str, format: &str) -> String {
    let done = world.upledger(&["timeline", "--format", format, "--out", name]);
    assert_eq!(done.code, 0, "{done:?}");
    std::fs::read_to_string(world.path(name)).expect("written")
}

#[test]
fn every_number_is_recomputed_from_the_exported_events() {
    let (world, run) = night();
    written(&world, "timeline.json", "json");
    let export = world.upledger(&["export", "--jsonl", "--out", "events.jsonl"]);
    assert_eq!(export.code, 0, "{export:?}");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/behaviour/timeline.py");
    let said = Command::new("python3")
        .arg(script)
        .args([world.path("events.jsonl"), world.path("timeline.json")])
        .arg(&run)
        .output()
        .expect("python3");
    assert_eq!(
        String::from_utf8_lossy(&said.stdout),
        "agrees\n",
        "{said:?}"
    );
}

#[test]
fn what_steps_and_people_say_is_inert_in_every_format() {
    let (world, _) = night();
    let page = written(&world, "t.html", "html");
    assert!(page.contains("&lt;img src=x onerror=alert(3)&gt;"));
    assert!(page.contains("&lt;script&gt;alert(2)"));
    let own = page.matches("<script").count();
    assert_eq!(own, 1, "the embedded events alone");
    for never in [
        "<img",
        "<b>bold",
        "<i>again",
        "http://www",
        "url(",
        "@import",
    ] {
        assert!(!page.contains(never), "{never}");
    }
    assert!(page.contains("default-src 'none'; style-src 'unsafe-inline'"));
    let post_mortem = written(&world, "t.md", "md");
    for never in ["<script", "<img", "<b>", "<i>"] {
        assert!(!post_mortem.contains(never), "{never}: {post_mortem}");
    }
    let cells = written(&world, "t.csv", "csv");
    assert!(
        cells.starts_with('\u{feff}'),
        "a spreadsheet knows the encoding by it"
    );
    let rows = rows(&world, "t.csv");
    assert_eq!(rows.len(), 1 + 8, "{rows:?}");
    for cell in rows.iter().flatten() {
        assert!(!cell.starts_with(['=', '+', '-', '@']), "{cell}");
    }
    let all = ["json", "chrome", "otlp", "mermaid", "grafana"].map(|f| written(&world, f, f));
    for text in all.iter().chain([&page, &post_mortem, &cells]) {
        assert!(!text.contains('\u{1b}'), "{text}");
    }
    for text in [&page, &post_mortem, &cells] {
        assert!(!text.contains('\u{202e}'), "{text}");
    }
}

#[test]
fn the_page_holds_the_events_of_the_ledger_which_verify() {
    let (world, _) = night();
    written(&world, "FILE.html", "html");
    let page = world.path("FILE.html");
    let text = std::fs::read_to_string(&page).expect("text");
    assert!(text.contains("| base64 -d | gunzip"), "it says how");
    unpack(&page, &world.path("events.jsonl"));
    let events = world.path("events.jsonl");
    let verified = world.upledger(&["verify", events.to_str().expect("text")]);
    assert_eq!(verified.code, 0, "{verified:?}");
    let exported = world.upledger(&["export", "--jsonl"]);
    assert_eq!(std::fs::read_to_string(events).expect("text"), exported.out);
}

#[test]
fn spans_of_a_trace_nest_and_ids_and_times_have_the_forms_of_their_formats() {
    let (world, run) = night();
    let trace: Value = serde_json::from_str(&written(&world, "t", "chrome")).expect("JSON");
    let mut tracks = std::collections::BTreeMap::<i64, Vec<(i64, i64)>>::new();
    for event in trace["traceEvents"].as_array().expect("events") {
        if event["ph"] == "X" {
            let (ts, dur) = (
                event["ts"].as_i64().expect("µs"),
                event["dur"].as_i64().expect("µs"),
            );
            assert!(ts >= 0 && dur >= 0, "{event}");
            tracks
                .entry(event["tid"].as_i64().expect("a track"))
                .or_default()
                .push((ts, ts + dur));
        }
    }
    for spans in tracks.values() {
        for (a, b) in spans.iter().flat_map(|a| spans.iter().map(move |b| (a, b))) {
            let apart = a.1 <= b.0 || b.1 <= a.0;
            let inside = (a.0 <= b.0 && b.1 <= a.1) || (b.0 <= a.0 && a.1 <= b.1);
            assert!(apart || inside, "{a:?} {b:?}");
        }
    }
    let export: Value = serde_json::from_str(&written(&world, "o", "otlp")).expect("JSON");
    let spans = export["resourceSpans"][0]["scopeSpans"][0]["spans"]
        .as_array()
        .expect("spans");
    assert_eq!(spans[0]["name"], run.as_str());
    for span in spans {
        let hex = |key: &str, len: usize| {
            let id = span[key].as_str().expect("an id");
            assert!(
                id.len() == len && id.bytes().all(|b| b.is_ascii_hexdigit()),
                "{id}"
            );
        };
        hex("traceId", 32);
        hex("spanId", 16);
        let nanos = |key: &str| {
            span[key]
                .as_str()
                .and_then(|t| t.parse::<u64>().ok())
                .expect("nanoseconds as text")
        };
        assert!(nanos("startTimeUnixNano") <= nanos("endTimeUnixNano"));
    }
    assert_eq!(
        written(&world, "again", "otlp"),
        format!("{export}\n"),
        "the same trace again"
    );
    let chart = written(&world, "g", "mermaid");
    assert!(chart.starts_with("gantt\n"), "{chart}");
    for annotation in written(&world, "a", "grafana").lines() {
        let one: Value = serde_json::from_str(annotation).expect("JSON");
        assert!(one["time"].is_i64() && one["tags"].is_array(), "{one}");
    }
}

#[test]
fn opentelemetrys_own_types_read_the_spans() {
    let (world, run) = night();
    written(&world, "o.json", "otlp");
    let read = Command::new("/usr/bin/python3")
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/behaviour/otlp.py"
        ))
        .arg(world.path("o.json"))
        .env("PYTHONPATH", readers().join("python"))
        .output()
        .expect("python3");
    assert!(
        read.status.success(),
        "tests/prepare installs them: {read:?}"
    );
    let names = String::from_utf8(read.stdout).expect("text");
    let names: Vec<&str> = names.lines().collect();
    assert_eq!(names.first(), Some(&run.as_str()));
    for span in ["quick", "work", "fails", "undo fails", "undo work", "last"] {
        assert!(names.contains(&span), "{span}: {names:?}");
    }
}

/// A failure is told with the time at which somebody could notice it, and one of a thing is not many.
#[test]
fn a_post_mortem_has_the_time_of_the_outcome() {
    let world = World::new();
    let plan = "upledger: 1\nname: late\nphases:\n  - phase: p\n    steps:\n      - {id: made, do: {run: [\"true\"]}, effect: idempotent, undo: {run: [\"true\"], effect: idempotent}}\n      - {id: late, do: {shell: \"sleep 1.2; false\"}, effect: pure}\n";
    world.write("plan.yaml", plan);
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    assert_eq!(world.rollback().code, 5);
    let log = world.upledger(&["log", "--json"]).out;
    let mut events = log
        .lines()
        .filter_map(|l| serde_json::from_str::<Value>(l).ok());
    let failed = events
        .rfind(|e| e["kind"] == "step.failed")
        .expect("it failed");
    let at = chrono::DateTime::parse_from_rfc3339(failed["ts"].as_str().expect("a time"));
    let at = at
        .expect("a time")
        .with_timezone(&chrono::Local)
        .format("%H:%M:%S");
    let page = written(&world, "late.md", "md");
    for heading in ["## Trigger", "## Detection"] {
        let section = page.split(heading).nth(1).expect("a section");
        let line = section
            .lines()
            .find(|l| l.starts_with("- "))
            .expect("a line");
        let told = line.starts_with(&format!("- {at} late: "));
        let proven = line.ends_with(&format!("(seq {})", failed["seq"]));
        assert!(told && proven, "{failed}: {line}");
    }
    assert!(page.contains("; 1 step was undone"), "{page}");
    assert!(
        !page.contains(" 1 steps") && !page.contains(" 1 attempts"),
        "{page}"
    );
}

/// A name with an unknown ending is a slip, not a page.
#[test]
fn an_extension_that_selects_no_format_is_refused() {
    let (world, _) = night();
    for command in ["timeline", "report"] {
        let refused = world.upledger(&[command, "--out", "night.pdf"]);
        assert_eq!(refused.code, 2, "{refused:?}");
        for known in [".html", ".md", ".json", "--format"] {
            assert!(refused.err.contains(known), "{refused:?}");
        }
        assert!(!world.path("night.pdf").exists());
        let asked = world.upledger(&[command, "--format", "html", "--out", "night.pdf"]);
        assert_eq!(asked.code, 0, "{asked:?}");
        std::fs::remove_file(world.path("night.pdf")).expect("written");
        // Without any, it is the default.
        assert_eq!(world.upledger(&[command, "--out", command]).code, 0);
        let page = std::fs::read_to_string(world.path(command)).expect("written");
        assert!(page.starts_with("<!doctype html>"), "{page:.80}");
    }
}

/// The cells of a CSV file as Python reads it.
fn rows(world: &World, name: &str) -> Vec<Vec<String>> {
    let read = Command::new("python3")
        .args(["-c", "import csv,sys,json; print(json.dumps(list(csv.reader(open(sys.argv[1], encoding='utf-8-sig', newline='')))))"])
        .arg(world.path(name))
        .output()
        .expect("python3");
    serde_json::from_slice(&read.stdout).expect("rows")
}

/// What people open the CSV with: letters of all scripts are read, and no cell is a formula.
#[test]
#[ignore = "long tier: a spreadsheet is a large package, which tests/long installs"]
fn a_spreadsheet_shows_the_cells_and_computes_none_of_them() {
    let (world, _) = night();
    let args = ["timeline", "--format", "csv", "--out", "夜.csv"];
    assert_eq!(world.upledger(&args).code, 0);
    let profile = format!(
        "-env:UserInstallation=file://{}",
        world.path("profile").display()
    );
    let done = Command::new("soffice")
        // Its dialog chooses the encoding by the byte order mark; without one it has to be said. 44 and 34: `,` and `"`.
        .args([&profile, "--headless", "--infilter=CSV:44,34,UTF8"])
        .args(["--convert-to", "fods", "--outdir"])
        .arg(world.path("read"))
        .arg(world.path("夜.csv"))
        .output()
        .expect("soffice; install it with: apt-get install -y libreoffice-calc-nogui");
    assert!(done.status.success(), "{done:?}");
    let sheet = std::fs::read_to_string(world.path("read/夜.fods")).expect("converted");
    assert!(!sheet.contains("table:formula"), "a cell is computed");
    let sheet = sheet.replace("&lt;", "<").replace("&gt;", ">");
    let sheet = sheet.replace("&quot;", "\"").replace("&apos;", "'");
    let rows = rows(&world, "夜.csv");
    let cells = rows.iter().flatten();
    // It writes numbers and times in its own way, and several spaces as an element.
    let texts = cells.filter(|c| c.contains(char::is_alphabetic) && !c.ends_with('Z'));
    let texts: BTreeSet<&String> = texts.filter(|c| !c.contains("  ")).collect();
    assert!(texts.iter().any(|cell| !cell.is_ascii()), "{texts:?}");
    for cell in texts {
        let shown = format!("<text:p>{}</text:p>", cell.replace('&', "&amp;"));
        assert!(sheet.contains(&shown), "{cell}");
    }
}
