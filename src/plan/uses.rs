//! Steps that settings name by their ids, such as `backup: dump` of a migration: each is an earlier step of a kind that fits. The
//! order of steps that do not name each other is `order`'s.

use super::outline::{Node, Span};
use super::problem::did_you_mean;
use crate::action::StepUse;
use crate::actions::Do;
use crate::text::plan as say;
use upledger_replay::plan::sets_environment;

/// Kinds whose work nobody knows.
const COMMANDS: [&str; 2] = ["run", "shell"];

/// A step before the one that is looked at.
#[derive(Debug, Clone)]
pub(crate) struct Earlier {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) left_out: bool,
    /// It has a look of the plan that proves it.
    pub(crate) verified: bool,
}

/// The steps that these actions name, each once.
pub(crate) fn named<'a>(actions: impl Iterator<Item = &'a Do>) -> Vec<StepUse> {
    let mut found: Vec<StepUse> = Vec::new();
    for used in actions.flat_map(|a| a.kind_of().properties().uses) {
        if !found.contains(&used) {
            found.push(used);
        }
    }
    found
}

/// The ids of all steps that a step uses: those that its settings name, and those whose variables it gets.
pub(crate) fn ids(named: &[StepUse], before: &[Earlier]) -> Vec<String> {
    let mut ids: Vec<String> = named.iter().map(|used| used.step.clone()).collect();
    let sets = |step: &&Earlier| sets_environment(&step.kind) && !step.left_out;
    for step in before.iter().filter(sets) {
        if !ids.contains(&step.id) {
            ids.push(step.id.clone());
        }
    }
    ids
}

/// What is wrong with a named step, and what to do. A step that is left out itself may name one that is left out. What a
/// command has made is proved by its `verify`, and only the plan can say how it is put back: `has_undo` says that it does.
pub(crate) fn problem(
    used: &StepUse,
    before: &[Earlier],
    left_out: bool,
    has_undo: bool,
) -> Option<(String, String)> {
    let kinds = || crate::text::list(used.kinds);
    let Some(step) = before.iter().find(|step| step.id == used.step) else {
        let ids = before.iter().map(|step| step.id.as_str());
        let hint = did_you_mean(&used.step, ids).unwrap_or_else(|| say::name_a_step(kinds()));
        return Some((say::no_earlier_step(used.setting, &used.step), hint));
    };
    if !used.kinds.contains(&step.kind.as_str()) {
        let why = say::step_does_not_fit(used.setting, &used.step, &step.kind);
        return Some((why, say::name_a_step(kinds())));
    }
    if step.left_out && !left_out {
        let why = say::used_step_left_out(used.setting, &used.step);
        return Some((why, say::name_a_step(kinds())));
    }
    if COMMANDS.contains(&step.kind.as_str()) {
        if !step.verified {
            let why = say::used_command_unverified(used.setting, &used.step, &step.kind);
            return Some((why, say::give_verify(&used.step)));
        }
        if !has_undo {
            let why = say::used_command_no_undo(used.setting, &used.step, &step.kind);
            return Some((why, say::give_undo(&used.step)));
        }
    }
    None
}

/// Where the step is named.
pub(super) fn place(step: &Node, used: &StepUse) -> Span {
    let undo = step.get("undo");
    let actions = [step.get("do"), undo, step.get("probe"), step.get("verify")];
    let settings = actions.into_iter().flatten().flat_map(Node::entries);
    let mut named = settings.filter_map(|(_, settings)| settings.get(used.setting));
    let found = named.find(|value| value.text() == Some(used.step.as_str()));
    found.map_or_else(|| step.key_span("do"), |value| value.span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_has_saved_is_proved_and_put_back_by_the_plan() {
        let used = StepUse {
            setting: "backup",
            step: "dump".into(),
            kinds: &["mysql.backup", "run", "shell"],
        };
        let dump = |kind: &str, verified| {
            vec![Earlier {
                id: "dump".into(),
                kind: kind.into(),
                left_out: false,
                verified,
            }]
        };
        for (kind, verified, has_undo, why) in [
            ("mysql.backup", false, false, None),
            ("run", true, true, None),
            ("shell", false, true, Some("a shell without `verify`")),
            (
                "run",
                true,
                false,
                Some("only the plan can say how that is restored"),
            ),
            ("file.backup", true, true, Some("which is a file.backup")),
        ] {
            let found = problem(&used, &dump(kind, verified), false, has_undo);
            match (&found, why) {
                (Some((found, _)), Some(why)) => assert!(found.contains(why), "{found}"),
                (None, None) => {}
                other => panic!("{kind}: {other:?}"),
            }
        }
    }
}
