//! `after_rollback`: only what looks, and only at what is there once everything is undone.

use super::*;

fn step(step: &str) -> String {
    format!(
        "upledger: 1\nname: n\nphases:\n  - phase: p\n    steps:\n      - {{id: first, do: {{file.backup: {{path: /x}}}}}}\n      - {step}\n"
    )
}

#[test]
fn a_check_after_a_rollback_is_kept_in_the_plan() {
    let plan = load_text(
        "p",
        &step("{id: a, do: {http.check: {url: \"http://h/\"}}, after_rollback: true}"),
    )
    .unwrap_or_else(|e| panic!("{}", e.render(false)))
    .plan;
    let checks: Vec<&str> = plan
        .checks_after_rollback()
        .map(|s| s.id.as_str())
        .collect();
    assert_eq!(checks, ["a"]);
    // Plans without one are written as before.
    let other = load_text(
        "p",
        &step("{id: a, do: {http.check: {url: \"http://h/\"}}, after_rollback: false}"),
    );
    assert!(!crate::plan::load::text(&other.unwrap().plan).contains("after_rollback"));
}

#[test]
fn what_changes_something_or_uses_what_is_undone_is_no_check() {
    for (bad, said) in [
        (
            "{id: a, do: {shell: \"true\"}, on_doubt: ask, undo: none, after_rollback: true}",
            "not a read-only check",
        ),
        (
            "{id: a, do: {expect.file: {path: {from: first.path}}}, after_rollback: true}",
            "output of another step",
        ),
        (
            "{id: a, do: {expect.command: {argv: [\"true\"]}}, env: {P: {from: first.path}}, after_rollback: true}",
            "output of another step",
        ),
    ] {
        let refusal = load_text("p", &step(bad)).unwrap_err().render(false);
        assert!(refusal.contains(said), "{bad}: {refusal}");
    }
}
