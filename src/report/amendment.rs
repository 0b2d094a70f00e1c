//! What an amendment changes, step by step, as a diff of the definitions.

use super::safe;
use crate::text::commands as text;
use similar::TextDiff;
use upledger_replay::amend::Change;
use upledger_replay::plan::{Phase, Plan, Step};

/// Lines around a difference.
const CONTEXT: usize = 1;

/// The definition of a step in lines; what it does not set is left out.
fn definition(step: Option<&Step>) -> String {
    let Some(step) = step else {
        return String::new();
    };
    let mut value = serde_json::to_value(step).unwrap_or_default();
    if let Some(map) = value.as_object_mut() {
        map.retain(|_, v| !v.is_null() && v.as_array().is_none_or(|items| !items.is_empty()));
    }
    format!("{value:#}\n")
}

/// What the plan says beside its steps.
fn head(plan: &Plan) -> String {
    let mut value = serde_json::to_value(plan).unwrap_or_default();
    if let Some(map) = value.as_object_mut() {
        let steps = |p: &Phase| {
            p.steps
                .iter()
                .map(|s| s.id.clone())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let phases = plan.phases.iter();
        let phases: Vec<String> = phases
            .map(|p| format!("{}: {}", p.phase, steps(p)))
            .collect();
        map.insert("phases".into(), phases.into());
    }
    format!("{value:#}\n")
}

/// Puts the lines in which two texts differ.
fn put(out: &mut Vec<String>, was: &str, is: &str) {
    let diff = TextDiff::from_lines(was, is);
    let mut unified = diff.unified_diff();
    for hunk in unified.context_radius(CONTEXT).iter_hunks() {
        for line in hunk.iter_changes() {
            let shown = format!("{}{}", line.tag(), line.value());
            out.push(format!("  {}", safe(shown.trim_end())));
        }
    }
}

/// The changes for people.
#[must_use]
pub fn lines(was: &Plan, is: &Plan, changes: &[Change<'_>]) -> Vec<String> {
    let mut out = Vec::new();
    let heads = (head(was), head(is));
    if heads.0 != heads.1 {
        out.push(text::plan_changed());
        put(&mut out, &heads.0, &heads.1);
    }
    for change in changes {
        let step = change.step();
        out.push(match (change.was, change.is) {
            (Some(_), None) => text::step_left_out(step),
            (None, _) => text::step_added(step),
            (Some(_), Some(_)) => text::step_changed(step),
        });
        put(&mut out, &definition(change.was), &definition(change.is));
    }
    if changes.is_empty() {
        out.push(text::no_step_changed());
    }
    out
}
