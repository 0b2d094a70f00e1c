//! The first lines of timeline and report where a run did not simply go on: who turned it round and why, what is left, and
//! that nobody drives it.

use crate::common::World;
use serde_json::Value;

fn page(world: &World, what: &str) -> String {
    let done = world.upledger(&[what, "--format", "md"]);
    assert_eq!(done.code, 0, "{done:?}");
    done.out
}

/// The texts are there, in this order.
fn tells(page: &str, texts: &[&str]) {
    let mut rest = page;
    for text in texts {
        let at = rest.find(text);
        rest = &rest[at
            .unwrap_or_else(|| panic!("{text} is not there, or not there in its order: {page}"))..];
    }
}

fn plan(head: &str, steps: &str) -> String {
    format!("upledger: 1\nname: night\n{head}phases:\n  - phase: all\n    steps:\n{steps}")
}

/// Each rollback has its own person, reason and number of undone steps, and what a person left stands is no success.
#[test]
fn each_rollback_is_told_and_what_is_left_is_named() {
    let world = World::new();
    let steps =
        "      - {id: a, do: {shell: \"true\"}, effect: idempotent, undo: {shell: \"true\"}}
      - {id: b, do: {shell: \"true\"}, effect: idempotent, undo: {shell: \"false\"}}
      - {id: c, do: {shell: \"true\"}, effect: idempotent, undo: {shell: \"true\"}}
      - {id: d, do: {shell: \"true\"}, effect: idempotent, undo: {shell: \"true\"}}
      - {id: e, do: {shell: \"false\"}, effect: idempotent, undo: none}
      - {id: f, do: {shell: \"test -e @/go\"}, effect: idempotent, undo: none}
";
    world.write("plan.yaml", &plan("", steps));
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    let back = world.upledger(&["rollback", "--to", "b", "--reason", "back a little"]);
    assert_eq!(back.code, 5, "{back:?}");
    assert_eq!(world.upledger(&["resume"]).code, 1);
    let skip = ["decide", "e", "skip", "--reason", "not needed"];
    assert_eq!(world.upledger(&skip).code, 0);
    assert_eq!(world.upledger(&["resume"]).code, 1);
    assert_eq!(
        world.upledger(&["rollback", "--reason", "all of it"]).code,
        6
    );
    let leave = ["decide", "b", "skip", "--reason", "by hand"];
    assert_eq!(world.upledger(&leave).code, 0);
    assert_eq!(world.upledger(&["resume"]).code, 5);

    let timeline = page(&world, "timeline");
    tells(
        &timeline,
        &[
            "e failed",
            "had the run rolled back: back to b: back a little; 2 steps were undone",
            "more failures, doubts and decisions are listed below",
            "had the run rolled back: all of it; 3 steps were undone",
            "decided: undo of b: skip, by hand",
            "the plan has 6 steps: 3 undone, 1 skipped, 1 failed, 1 not undone by decision (b)",
        ],
    );
    let report: Value =
        serde_json::from_str(&world.upledger(&["report", "--format", "json"]).out).expect("JSON");
    let skipped = &report["failure"]["skipped_by_decision"]["value"];
    assert_eq!(skipped[0], "e: not needed", "{skipped}");
}

/// What the plan asks for is nobody's decision.
#[test]
fn a_rollback_that_the_plan_asks_for_is_no_action_of_an_operator() {
    let world = World::new();
    let steps =
        "      - {id: a, do: {shell: \"true\"}, effect: idempotent, undo: {shell: \"true\"}}
      - {id: b, do: {shell: \"false\"}, effect: idempotent, undo: none}
";
    world.write("plan.yaml", &plan("on_failure: rollback\n", steps));
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 5);
    tells(
        &page(&world, "timeline"),
        &[
            "upledger rolled the run back, as on\\_failure of the plan says: b failed; 1 step was undone",
            "upledger, in the session of ",
        ],
    );
    let report: Value =
        serde_json::from_str(&world.upledger(&["report", "--format", "json"]).out).expect("JSON");
    assert_eq!(
        report["failure"]["rollback_by"]["value"],
        "upledger, as on_failure of the plan says"
    );
    let actions = report["execution"]["actions"].to_string();
    assert!(!actions.contains("rollback.started"), "{actions}");
}

/// A run whose runner is gone does not look as if it went on.
#[test]
fn a_run_without_a_runner_is_interrupted_on_its_pages() {
    let world = World::new();
    let steps = "      - {id: slow, do: {shell: \"while ! test -e @/go; do sleep 0.1; done\"}, effect: idempotent, undo: none}\n";
    world.write("plan.yaml", &plan("", steps));
    let mut runner = world.start(&["run", "plan.yaml"]);
    world.await_step("slow", "running");
    let interrupted = |page: &str| page.contains("interrupted: no runner is active");
    assert!(!interrupted(&page(&world, "timeline")));
    runner.kill().expect("it lives");
    runner.wait().expect("it is dead");
    tells(
        &page(&world, "timeline"),
        &[
            "state: interrupted: no runner is active",
            "no runner was active, and the run had not ended",
        ],
    );
    let report = page(&world, "report");
    assert!(interrupted(&report), "{report}");
    let data: Value =
        serde_json::from_str(&world.upledger(&["report", "--format", "json"]).out).expect("JSON");
    assert_eq!(data["execution"]["uninterrupted"]["value"], false);
    assert_eq!(data["failure"]["interrupted"]["value"][0], "slow");
    world.write("go", "");
    assert_eq!(world.upledger(&["resume"]).code, 0);
    assert!(!interrupted(&page(&world, "timeline")));
}
