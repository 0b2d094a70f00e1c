//! What a rollback would do, shown before it is made; and what it asks for where users already work with the result.

use crate::common::{Done, World};
use serde_json::Value;
use std::fs::File;
use std::time::{Duration, SystemTime};

const PLAN: &str = r#"
upledger: 1
name: night
phases:
  - phase: all
    steps:
      - {id: look, do: {shell: "true"}, effect: pure}
      - {id: first, do: {shell: "echo first >> @/trace"}, on_doubt: ask, undo: {run: [/bin/sh, "@/undo.sh", first]}}
      - {id: kept, do: {shell: "echo kept >> @/trace"}, on_doubt: ask, undo: none}
      - {id: write, do: {file.line: {path: "@/app.env", match: "^DEBUG=", line: DEBUG=0}}}
      - {id: last, do: {shell: "echo last >> @/trace"}, on_doubt: ask, undo: {shell: "echo -last >> @/trace"}}
"#;

fn completed(plan: &str) -> World {
    let world = World::new();
    world.write("plan.yaml", plan);
    world.write("undo.sh", "echo -first >> @/trace\n");
    put_back(&world);
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    world
}

/// The file as it was before the run, its time included.
fn put_back(world: &World) {
    let file = File::options()
        .write(true)
        .open(world.write("app.env", "DEBUG=1\n"))
        .expect("opened");
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    file.set_modified(time).expect("set");
}

fn forecast(world: &World, args: &[&str]) -> Vec<(String, String)> {
    let done = world.upledger(&[&["--json", "rollback", "--plan"], args].concat());
    let result: Value = serde_json::from_str(done.out.lines().last().expect("a result")).unwrap();
    let text = |v: &Value| v.as_str().expect("text").to_owned();
    let steps = result["steps"].as_array().expect("steps");
    let bars = |s: &Value| s["outcome"] == "would_refuse" || s["outcome"] == "cannot_run";
    let code = if steps.iter().any(bars) { 3 } else { 0 };
    assert_eq!(done.code, code, "{done:?}");
    (steps
        .iter()
        .map(|s| (text(&s["step"]), text(&s["outcome"]))))
    .collect()
}

/// With single spaces: how wide a column is says nothing.
fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

#[test]
fn it_is_shown_in_its_order_and_nothing_is_changed() {
    let world = completed(PLAN);
    let (events, trace) = (world.events(), world.lines("trace"));
    assert_eq!(
        forecast(&world, &[]),
        pairs(&[("last", "undo"), ("write", "undo"), ("first", "undo")])
    );
    let shown = world.upledger(&["rollback", "--plan"]);
    let out = &shown.out;
    let at = |part: &str| out.find(part).unwrap_or_else(|| panic!("{part}: {out}"));
    assert!(
        at("echo -last") < at("app.env") && at("app.env") < at("undo.sh"),
        "{out}"
    );
    assert!(out.contains("the state before the first step"), "{out}");
    assert!(joined(out).contains("not undone kept"), "{out}");
    assert!(out.contains("3 undo; nothing was changed"), "{out}");
    // Of a command nobody knows what it would take away; a file is looked at.
    assert!(
        joined(out).contains("data loss cannot be determined for: last, first"),
        "{out}"
    );
    assert!(out.contains("--reason"), "{out}");
    assert_eq!((world.events(), world.lines("trace")), (events, trace));
    assert_eq!(world.lines("app.env"), ["DEBUG=0"]);
}

#[test]
fn a_part_of_the_way_shows_that_part() {
    let world = completed(PLAN);
    assert_eq!(
        forecast(&world, &["--to", "write"]),
        pairs(&[("last", "undo")])
    );
    assert_eq!(
        world.upledger(&["rollback", "--plan", "--to", "none"]).code,
        2
    );
}

#[test]
fn what_is_there_is_looked_at() {
    let world = completed(PLAN);
    // The undo of the last step may still change what is seen now.
    put_back(&world);
    assert_eq!(
        forecast(&world, &[])[1],
        ("write".into(), "cannot_tell".into())
    );
    world.write("app.env", "DEBUG=of somebody else\n");
    assert_eq!(forecast(&world, &[])[1].1, "cannot_tell");

    let alone = PLAN.split("      - {id: last").next().expect("a head");
    let world = completed(alone);
    put_back(&world);
    assert_eq!(
        forecast(&world, &[])[0],
        ("write".into(), "as_before".into())
    );
    let shown = world.upledger(&["rollback", "--plan"]).out;
    assert!(shown.contains("as before"), "{shown}");
}

#[test]
fn what_cannot_be_undone_is_told_before_it_is_tried() {
    let world = completed(&PLAN.replace(
        "undo: {shell: \"echo -last >> @/trace\"}",
        "undo: {run: [\"@/gone\"]}",
    ));
    assert_eq!(forecast(&world, &[])[0].1, "cannot_run");
    let shown = world.upledger(&["rollback", "--plan"]).out;
    assert!(shown.contains("program not found"), "{shown}");

    let world = completed(&PLAN.replace(
        "on_doubt: ask, undo: none}",
        "on_doubt: ask, undo: {point_of_no_return: rows are gone}}",
    ));
    let forecast = forecast(&world, &[]);
    assert_eq!(forecast[2], ("kept".into(), "point_of_no_return".into()));
    let shown = world.upledger(&["rollback", "--plan"]).out;
    assert!(shown.contains("! stops here  kept"), "{shown}");
    assert!(shown.contains("rows are gone"), "{shown}");
}

#[test]
fn a_completed_run_is_rolled_back_with_a_reason() {
    let world = completed(PLAN);
    let events = world.events();
    let done = world.upledger(&["rollback"]);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.err.contains("needs a reason"), "{done:?}");
    assert!(done.err.contains("--plan"), "{done:?}");
    assert_eq!(world.events(), events);
    let Done { code, .. } = world.upledger(&["rollback", "--reason", "wrong release"]);
    assert_eq!(code, 5);
    assert_eq!(world.lines("app.env"), ["DEBUG=1"]);
    world.assert_sound();
}

/// Two steps on one file: what the earlier one left is not there before the later one is undone.
#[test]
fn a_file_that_a_later_step_changed_too_is_no_file_that_somebody_edited() {
    let two = PLAN
        .split("      - {id: last")
        .next()
        .expect("a head")
        .to_owned()
        + "      - {id: again, do: {file.line: {path: \"@/app.env\", match: \"^DEBUG=\", line: DEBUG=2}}}\n";
    let world = completed(&two);
    assert_eq!(
        forecast(&world, &[]),
        pairs(&[("again", "undo"), ("write", "undo"), ("first", "undo")])
    );
    let shown = world.upledger(&["rollback", "--plan"]).out;
    assert!(
        shown.contains("looked at once this is undone: again"),
        "{shown}"
    );
    world.write("app.env", "DEBUG=of somebody else\n");
    let shown = world.upledger(&["rollback", "--plan"]).out;
    assert!(shown.contains("would refuse  again"), "{shown}");
    assert!(shown.contains("has been edited"), "{shown}");
}

#[test]
fn a_rollback_that_would_undo_nothing_is_refused() {
    let world = completed(PLAN);
    let events = world.events();
    for args in [
        &["rollback", "--plan", "--to", "last"][..],
        &["rollback", "--to", "last", "--reason", "x"],
    ] {
        let done = world.upledger(args);
        assert_eq!(done.code, 13, "{done:?}");
        assert!(done.err.contains("nothing after last"), "{done:?}");
    }
    assert_eq!(world.events(), events);
}

#[test]
fn a_rollback_that_is_stuck_is_shown_as_it_rests() {
    let world = completed(&PLAN.replace(
        "undo: {shell: \"echo -last >> @/trace\"}",
        "undo: {shell: \"exit 3\"}",
    ));
    assert_eq!(world.rollback().code, 6);
    let shown = world.upledger(&["rollback", "--plan"]).out;
    assert!(shown.contains("next: upledger status"), "{shown}");
    let skip = ["decide", "last", "skip", "--reason", "by hand"];
    assert_eq!(world.upledger(&skip).code, 0);
    let shown = world.upledger(&["rollback", "--plan"]).out;
    assert!(shown.contains("next: upledger resume"), "{shown}");
    assert!(joined(&shown).contains("not undone kept, last"), "{shown}");
    assert_eq!(world.upledger(&["resume"]).code, 5);
}

/// Neither the step nor the state before it is there, so it is no place to rest.
#[test]
fn a_step_whose_undo_has_begun_does_not_stay() {
    let world = completed(&PLAN.replace(
        "undo: {run: [/bin/sh, \"@/undo.sh\", first]}",
        "undo: {shell: \"echo half >> @/trace; exit 3\"}",
    ));
    assert_eq!(world.rollback().code, 6);
    let events = world.events();
    let done = world.upledger(&["rollback", "--to", "first", "--reason", "x"]);
    assert_eq!(done.code, 13, "{done:?}");
    assert_eq!(world.events(), events);
}

/// A person is asked by the state that the rollback meets, and not by the one that it saw first.
#[test]
fn a_refusal_keeps_the_step_that_was_named() {
    let world = completed(PLAN);
    let done = world.upledger(&["rollback", "--to", "write"]);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.err.contains("--to write --reason"), "{done:?}");
    assert!(done.err.contains("--to write --plan"), "{done:?}");
}

/// The steps of a forecast for programs.
fn details(world: &World) -> Vec<Value> {
    let done = world.upledger(&["--json", "rollback", "--plan"]);
    let result: Value = serde_json::from_str(done.out.lines().last().expect("a result")).unwrap();
    result["steps"].as_array().expect("steps").clone()
}

#[test]
fn what_was_written_since_is_told() {
    let world = completed(PLAN.split("      - {id: last").next().expect("a head"));
    let steps = details(&world);
    assert_eq!(
        (&steps[0]["step"], &steps[0]["lost"]),
        (&"write".into(), &Value::Array(vec![]))
    );
    assert_eq!(
        (&steps[1]["step"], &steps[1]["lost"]),
        (&"first".into(), &Value::Null)
    );
    world.write("app.env", "DEBUG=of somebody else\n");
    let refuses = details(&world)[0]["refuses"].to_string();
    assert!(refuses.contains("edited since"), "{refuses}");
    let shown = world.upledger(&["rollback", "--plan"]).out;
    assert!(shown.contains("would refuse now: "), "{shown}");
}

const RESTORED: &str = r#"
upledger: 1
name: restored
phases:
  - phase: all
    steps:
      - {id: copy, do: {file.backup: {path: "@/app.env"}}}
      - {id: tree, do: {dir.backup: {path: "@/media"}}}
      - {id: edit, do: {shell: "echo DEBUG=0 > @/app.env"}, on_doubt: ask, undo: {file.restore: {path: "@/app.env", from: {from: copy.path}}}}
      - {id: pictures, do: {shell: "echo new > @/media/new"}, on_doubt: ask, undo: {dir.restore: {backup: tree}}}
      - {id: port, do: {shell: "echo A=2 > @/x.env"}, on_doubt: ask, undo: {config.set: {path: "@/x.env", edits: [{key: A, value: 1}]}}}
"#;

/// An undo that the plan writes is looked at as one of its own is.
#[test]
fn an_undo_that_the_plan_writes_tells_what_it_would_replace() {
    let world = World::new();
    world.write("plan.yaml", RESTORED);
    world.write("app.env", "DEBUG=1\nKEPT=1\n");
    world.write("x.env", "A=1\n");
    std::fs::create_dir(world.path("media")).expect("a directory");
    world.write("media/old", "old");
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
    world.write("app.env", "DEBUG=0\nKEPT=1\nOWN=secretly\n");
    let steps = details(&world);
    let of = |step: &str| {
        let found = steps.iter().find(|s| s["step"] == step);
        found.unwrap_or_else(|| panic!("{step}: {steps:?}"))
    };
    // How much would go is told, and not what it is.
    let lost = of("edit")["lost"].to_string();
    assert!(
        lost.contains("2 lines of ") && lost.contains("app.env"),
        "{lost}"
    );
    assert!(!lost.contains("secretly"), "{lost}");
    let kept = of("pictures")["kept"].to_string();
    assert!(kept.contains("what the copy has not: new"), "{kept}");
    assert_eq!(of("pictures")["lost"], Value::Array(vec![]));
    let diff = of("port")["diff"].as_str().expect("a diff");
    assert!(diff.contains("-A=2") && diff.contains("+A=1"), "{diff}");
    assert!(of("port")["lost"].to_string().contains("1 line of "));
    let shown = world.upledger(&["rollback", "--plan"]).out;
    assert!(
        joined(&shown).contains("data loss certain for: port, edit"),
        "{shown}"
    );
    // What is like the copy loses nothing, and a copy that is gone is told.
    world.write("app.env", "DEBUG=1\nKEPT=1\n");
    let steps = details(&world);
    assert_eq!(steps[2]["lost"], Value::Array(vec![]), "{steps:?}");
    let command = steps[2]["commands"][0].as_str().expect("a command");
    let (_, copy) = command.split_once(" from ").expect("the copy is named");
    std::fs::remove_file(copy).expect("the copy");
    let found = details(&world)[2]["evidence"].to_string();
    assert!(found.contains("now: there is no file"), "{found}");
}

/// A process that has ended is named as one, and so is what the undo does instead.
#[test]
fn a_service_that_has_died_since_is_said_to_be_gone() {
    let world = World::new();
    world.write(
        "plan.yaml",
        "upledger: 1\nname: dead\nphases:\n  - phase: all\n    steps:\n      - {id: web, do: {process.start: {argv: [sleep, \"1000\"], pidfile: \"@/web.pid\", log: \"@/web.log\"}}}\n",
    );
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
    let pid: String = (std::fs::read_to_string(world.path("web.pid")).expect("a pidfile"))
        .chars()
        .skip_while(|c| !c.is_ascii_digit())
        .take_while(char::is_ascii_digit)
        .collect();
    let shown = world.upledger(&["rollback", "--plan"]).out;
    assert!(shown.contains(&format!("process {pid} (sleep)")), "{shown}");
    crate::common::kill(pid.parse().expect("a number"));
    let gone = format!("process {pid} has ended; ");
    crate::common::eventually("its end is seen", || {
        let shown = world.upledger(&["rollback", "--plan"]).out;
        shown.contains(&gone) && shown.contains("web.pid, which it left behind, is removed")
    });
    assert_eq!(world.rollback().code, 5);
    assert!(!world.path("web.pid").exists());
}

#[test]
fn the_end_names_what_nothing_undoes() {
    let world = completed(PLAN);
    let done = world.rollback();
    assert_eq!(done.code, 5, "{done:?}");
    let status = world.upledger(&["status"]).out;
    for out in [&done.out, &status] {
        assert!(out.contains("they have no undo): kept"), "{out}");
    }
    assert_eq!(world.status()["without_undo"], serde_json::json!(["kept"]));
}

const CHECKED: &str = r#"
upledger: 1
name: night
phases:
  - phase: all
    steps:
      - {id: write, do: {shell: "echo do >> @/trace"}, on_doubt: ask, undo: {shell: "echo undo >> @/trace"}}
      - {id: answers, do: {expect.command: {argv: [/bin/sh, "@/look.sh"]}}, after_rollback: true}
      - {id: release, do: {expect.file: {path: "@/trace", contains: do}}}
      - {id: there, do: {expect.file: {path: "@/there"}}, after_rollback: true}
      - {id: fails, do: {run: [test, -e, "@/never"]}, effect: pure}
"#;

fn checked() -> World {
    let world = World::new();
    world.write("plan.yaml", CHECKED);
    world.write("look.sh", "echo look >> @/trace\n");
    world.write("there", "");
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 1, "{done:?}");
    world
}

#[test]
fn a_rollback_ends_with_the_checks_that_the_plan_names() {
    let world = checked();
    let shown = world.upledger(&["rollback", "--plan"]).out;
    let at = |part: &str| {
        shown
            .find(part)
            .unwrap_or_else(|| panic!("{part}: {shown}"))
    };
    assert!(
        at("write") < at("answers") && at("answers") < at("there"),
        "{shown}"
    );
    assert!(shown.contains("1 undo, 2 check"), "{shown}");
    let done = world.rollback();
    assert_eq!(done.code, 5, "{done:?}");
    assert!(done.out.contains("check        answers"), "{done:?}");
    assert!(!done.out.contains("undo of answers"), "{done:?}");
    assert_eq!(world.lines("trace"), ["do", "look", "undo", "look"]);
    let log = world.upledger(&["log"]).out;
    assert!(log.contains("check there after the rollback"), "{log}");
    world.assert_sound();
}

#[test]
fn a_check_that_does_not_hold_after_a_rollback_is_a_question() {
    let world = checked();
    std::fs::remove_file(world.path("there")).expect("removed");
    let done = world.rollback();
    assert_eq!(done.code, 6, "{done:?}");
    assert!(
        done.out
            .contains("the check there fails after the rollback"),
        "{done:?}"
    );
    assert_eq!(world.lines("trace"), ["do", "look", "undo", "look"]);
    assert_eq!(world.status()["state"], "rollback stuck");
    world.write("there", "");
    let retry = ["decide", "there", "retry", "--reason", "it is back"];
    assert_eq!(world.upledger(&retry).code, 0);
    assert_eq!(world.upledger(&["resume"]).code, 5);
    // What held is not checked again.
    assert_eq!(world.lines("trace"), ["do", "look", "undo", "look"]);
    world.assert_sound();

    let world = checked();
    std::fs::remove_file(world.path("there")).expect("removed");
    assert_eq!(world.rollback().code, 6);
    let skip = ["decide", "there", "skip", "--reason", "known"];
    assert_eq!(world.upledger(&skip).code, 0);
    let done = world.upledger(&["resume"]);
    assert_eq!(done.code, 5, "{done:?}");
    assert!(
        done.out
            .contains("failed after the rollback and were skipped by decision: there (known)"),
        "{done:?}"
    );
    assert_eq!(world.status()["unchecked"][0]["step"], "there");
    world.assert_sound();
}
