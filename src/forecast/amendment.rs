//! What an amendment changes, step by step, as a diff of the definitions in the keys of the plan file.

use crate::plan::written;
use crate::report::safe;
use crate::text::commands as text;
use similar::TextDiff;
use upledger_replay::amend::Change;
use upledger_replay::plan::{Plan, Step};

/// Lines around a difference.
const CONTEXT: usize = 1;

/// The definition of a step as people write it; empty where there is none.
fn definition(plan: &Plan, step: Option<&Step>) -> String {
    step.map_or(String::new(), |step| written::step(plan, step))
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
    let heads = (written::head(was), written::head(is));
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
        put(
            &mut out,
            &definition(was, change.was),
            &definition(is, change.is),
        );
    }
    if changes.is_empty() {
        out.push(text::no_step_changed());
    }
    out
}
