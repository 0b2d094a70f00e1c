//! What an amendment changes, step by step, as a diff of the definitions.

use super::safe;
use crate::text::commands as text;
use similar::TextDiff;
use upledger_replay::amend::Change;
use upledger_replay::plan::Step;

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

/// The changes for people.
#[must_use]
pub fn lines(changes: &[Change<'_>]) -> Vec<String> {
    let mut out = Vec::new();
    for change in changes {
        let step = change.step();
        out.push(match (change.was, change.is) {
            (Some(_), None) => text::step_left_out(step),
            (None, _) => text::step_added(step),
            (Some(_), Some(_)) => text::step_changed(step),
        });
        let (was, is) = (definition(change.was), definition(change.is));
        let diff = TextDiff::from_lines(&was, &is);
        let mut unified = diff.unified_diff();
        for hunk in unified.context_radius(CONTEXT).iter_hunks() {
            for line in hunk.iter_changes() {
                let shown = format!("{}{}", line.tag(), line.value());
                out.push(format!("  {}", safe(shown.trim_end())));
            }
        }
    }
    if changes.is_empty() {
        out.push(text::no_step_changed());
    }
    out
}
