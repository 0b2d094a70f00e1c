//! Two runs beside each other: every number is that of their timelines, the second one may be from a copy of another ledger,
//! and such a copy is verified and left as it is.

use crate::common::{Done, World};
use serde_json::Value;
use std::path::Path;

const FIRST: &str = r#"
upledger: 1
name: night
phases:
  - phase: all
    steps:
      - {id: quick, do: {run: ["true"]}, effect: pure}
      - {id: work, do: {shell: "sleep 0.1"}, effect: idempotent, undo: {run: ["true"], effect: idempotent}}
      - {id: gone, do: {run: ["true"]}, effect: pure}
      - {id: last, do: {run: ["true"]}, effect: pure}
"#;

const SECOND: &str = r#"
upledger: 1
name: night
phases:
  - phase: all
    steps:
      - {id: quick, do: {run: ["true"]}, effect: pure}
      - {id: work, do: {shell: "sleep 1.3"}, effect: idempotent, undo: {run: ["true"], effect: idempotent}}
      - {id: new, do: {run: ["true"]}, effect: pure}
      - {id: last, do: {run: [test, -e, "@/go"]}, effect: pure}
"#;

fn night(world: &World, plan: &str, code: i32) -> String {
    world.write("plan.yaml", plan);
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, code, "{done:?}");
    world.status()["run"].as_str().expect("a name").to_owned()
}

/// A night that went well, and one that took longer, failed once and was rolled back.
fn nights(world: &World) -> (String, String) {
    let first = night(world, FIRST, 0);
    let second = night(world, SECOND, 1);
    world.write("go", "");
    let decide = ["decide", "last", "retry", "--reason", "there now"];
    assert_eq!(world.upledger(&decide).code, 0);
    assert_eq!(world.upledger(&["resume"]).code, 0);
    let back = ["rollback", "--reason", "test", "--to", "quick"];
    let done = world.upledger(&back);
    assert!([0, 5].contains(&done.code), "{done:?}");
    (first, second)
}

fn said(world: &World, args: &[&str]) -> String {
    let done = world.upledger(args);
    assert_eq!(done.code, 0, "{args:?}: {done:?}");
    done.out
}

fn value(world: &World, args: &[&str]) -> Value {
    serde_json::from_str(&said(world, args)).expect("JSON")
}

#[test]
fn every_number_is_that_of_the_two_timelines() {
    let world = World::new();
    let (first, second) = nights(&world);
    let beside = ["timeline", &second, "--beside", &first, "--format", "json"];
    let of = value(&world, &beside);
    assert_eq!(of["schema"], "upledger.comparison/1");
    let rows = of["rows"].as_array().expect("rows");
    let steps: Vec<&str> = rows.iter().filter_map(|r| r["step"].as_str()).collect();
    assert_eq!(steps, ["quick", "work", "gone", "new", "last", "work"]);
    for (side, run) in [("a", &second), ("b", &first)] {
        let timeline = value(&world, &["timeline", run, "--format", "json"]);
        let us = |edge: &str| timeline[edge]["us"].as_i64().expect("microseconds");
        let whole = (us("until") - us("from")) / 1000;
        assert_eq!(of[side]["whole_ms"], whole);
        assert_eq!(of[side]["run"], **run);
        for row in rows {
            let bars = timeline["bars"].as_array().expect("bars").iter();
            let own = |bar: &&Value| bar["step"] == row["step"] && bar["way"] == row["way"];
            let bars: Vec<&Value> = bars.filter(own).collect();
            let work = &row[side];
            assert_eq!(work.is_null(), bars.is_empty(), "{row}");
            if bars.is_empty() {
                continue;
            }
            let took: Option<u64> = bars.iter().map(|bar| bar["took_ms"].as_u64()).sum();
            assert_eq!(work["took_ms"].as_u64(), took, "{row}");
            let outcomes: Vec<Value> = bars.iter().map(|bar| bar["outcome"].clone()).collect();
            assert_eq!(work["outcomes"], Value::from(outcomes), "{row}");
        }
    }
    for row in rows {
        let took = |side: &str| row[side]["took_ms"].as_i64();
        let difference = took("a").zip(took("b")).map(|(a, b)| a - b);
        assert_eq!(row["difference_ms"].as_i64(), difference, "{row}");
    }
    let summary = of["summary"].to_string();
    for part in [
        format!("what took longer in {second}: work 1."),
        format!("only in {second}: new; undo of work"),
        format!("only in {first}: gone"),
        "last: failed, succeeded instead of succeeded".to_owned(),
        "the plans are not the same".to_owned(),
    ] {
        assert!(summary.contains(&part), "{part}: {summary}");
    }
}

#[test]
fn the_page_the_table_and_the_sheet_hold_every_step_in_both_languages() {
    let world = World::new();
    let (first, second) = nights(&world);
    for (lang, heading) in [("en", "Step by step"), ("zh", "按步骤对比")] {
        for ending in ["html", "md", "csv"] {
            let file = format!("{lang}.{ending}");
            let args = [
                "timeline", &second, "--beside", &first, "--lang", lang, "--out", &file,
            ];
            said(&world, &args);
            let text = std::fs::read_to_string(world.path(&file)).expect("written");
            for step in ["quick", "work", "gone", "new", "last"] {
                assert!(text.contains(step), "{step}: {text}");
            }
            match ending {
                "csv" => assert_eq!(text.lines().count(), 1 + 6, "{text}"),
                _ => assert!(text.contains(heading), "{text}"),
            }
            assert!(
                !text.contains("<script"),
                "a page without its events has none"
            );
        }
    }
    let args = [
        "timeline", &second, "--beside", &first, "--json", "--out", "j.html",
    ];
    let result = value(&world, &args);
    assert_eq!(
        (&result["run"], &result["beside"]),
        (&second.into(), &first.into())
    );
}

/// All that lies in a directory, to the byte.
fn content(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = std::fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_file())
        .map(|path| {
            (
                path.display().to_string(),
                std::fs::read(&path).expect("read"),
            )
        })
        .collect();
    all.sort();
    all
}

#[test]
fn a_rehearsal_is_read_from_a_copy_of_its_ledger_which_stays_as_it_is() {
    let (rehearsed, world) = (World::new(), World::new());
    let rehearsal = night(&rehearsed, FIRST, 0);
    let night = night(&world, FIRST, 0);
    said(&rehearsed, &["export", "--out", "rehearsal.jsonl"]);
    std::fs::create_dir(world.path("copied")).expect("made");
    std::fs::copy(
        rehearsed.state().join("ledger.db"),
        world.path("copied/ledger.db"),
    )
    .expect("copied");
    std::fs::copy(
        rehearsed.path("rehearsal.jsonl"),
        world.path("copied/rehearsal.jsonl"),
    )
    .expect("copied");
    let before = content(&world.path("copied"));
    let memory = content(&world.path("memory"));
    for copy in ["copied/rehearsal.jsonl", "copied/ledger.db", "copied"] {
        let args = [
            "timeline",
            &night,
            "--beside-ledger",
            copy,
            "--format",
            "json",
        ];
        let of = value(&world, &args);
        let file = Path::new(copy).file_name().and_then(|n| n.to_str());
        assert_eq!(of["b"]["ledger"].as_str(), file);
        assert_eq!(of["a"]["ledger"], Value::Null);
        assert_eq!(of["b"]["run"], *rehearsal);
        assert_eq!(of["rows"].as_array().map(Vec::len), Some(4), "{of}");
        assert!(of["summary"].to_string().contains("both ran the same plan"));
    }
    let named = [
        "timeline",
        "--beside",
        &rehearsal,
        "--beside-ledger",
        "copied",
        "--format",
        "md",
    ];
    assert!(said(&world, &named).contains(&rehearsal));
    assert_eq!(content(&world.path("copied")), before);
    assert_eq!(content(&world.path("memory")), memory);
}

fn refused(world: &World, args: &[&str], code: i32, part: &str) -> Done {
    let done = world.upledger(args);
    assert_eq!(done.code, code, "{args:?}: {done:?}");
    assert!(done.err.contains(part), "{part}: {done:?}");
    assert_eq!(done.out, "");
    done
}

#[test]
fn a_changed_copy_the_same_run_and_a_format_for_one_run_are_refused() {
    let world = World::new();
    let (first, second) = nights(&world);
    let exported = said(&world, &["export"]);
    // The reason of the decision, as somebody would like it to read.
    let changed = exported.replace("\"there now\"", "\"there then\"");
    assert_ne!(changed, exported);
    world.write("changed.jsonl", &changed);
    world.write("whole.jsonl", &exported);
    let beside = |run, file| {
        [
            "timeline",
            &second,
            "--beside",
            run,
            "--beside-ledger",
            file,
        ]
    };
    let damaged = beside(&*first, "changed.jsonl");
    let done = refused(&world, &damaged, 7, "the ledger changed.jsonl is damaged");
    assert!(
        done.err.contains("upledger verify changed.jsonl"),
        "{done:?}"
    );
    let itself = "cannot be compared with itself";
    refused(&world, &beside(&*second, "whole.jsonl"), 2, itself);
    refused(&world, &["timeline", &first, "--beside", &first], 2, itself);
    refused(
        &world,
        &["timeline", &first, "--beside", "nobody"],
        2,
        "nobody",
    );
    refused(
        &world,
        &["timeline", "--beside-ledger", "nowhere.jsonl"],
        2,
        "nowhere.jsonl",
    );
    refused(
        &world,
        &["timeline", "--beside-ledger", "nowhere.db"],
        2,
        "nowhere.db",
    );
    for format in ["chrome", "otlp", "mermaid", "grafana"] {
        let args = ["timeline", &second, "--beside", &first, "--format", format];
        refused(&world, &args, 2, "only as html, md, csv, json");
    }
}
