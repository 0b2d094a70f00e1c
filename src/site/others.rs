//! What a step has to know of the other steps of its run, and of the runs before it.

use super::inputs::{Facts, Inputs};
use crate::action::{Direction, Family, Kin, Noted, RawPast, Undoable, Used};
use crate::actions::{Do, service};
use crate::plan::samples;
use serde_json::Value;
use std::collections::BTreeSet;
use upledger_replay::event::TaskKey;
use upledger_replay::plan::{Input, Plan, Step, Undo};
use upledger_replay::runs::Runs;
use upledger_replay::state::{Run, Task};

/// The steps before or behind that one whose kinds share the first word of their names with its own.
pub(super) fn family(
    plan: &Plan,
    part: &TaskKey,
    of: &Do,
    which: Family,
    facts: Facts<'_>,
) -> Vec<Kin> {
    let first = |kind: &'static str| kind.split('.').next();
    let name = first(of.kind());
    let steps: Vec<&Step> = plan.steps().map(|(_, s)| s).collect();
    let here = steps.iter().position(|s| s.id == part.step);
    let (before, behind) = steps.split_at(here.unwrap_or_default());
    let steps = match which {
        Family::Before => before,
        Family::Behind => behind,
    };
    let steps = steps.iter().filter(|s| s.left_out.is_none());
    let kin = steps.filter_map(|s| {
        let action = samples::shown(plan, &s.action)?;
        let key = TaskKey {
            step: s.id.clone(),
            ..part.clone()
        };
        let unit = match facts {
            Facts::Of(run) => run.unit(&key),
            Facts::None => None,
        };
        (first(action.kind()) == name).then(|| Kin {
            step: s.id.clone(),
            action,
            before: unit.map_or(Value::Null, |u| u.forward.observed.clone()),
        })
    });
    kin.collect()
}

/// The earlier steps that a step's actions name.
pub(super) fn used(
    plan: &Plan,
    part: &TaskKey,
    facts: Facts<'_>,
    run: &str,
    step: &Step,
) -> Vec<Used> {
    let named = step.uses.iter().filter_map(|id| plan.step(id));
    let used = named.filter_map(|step| {
        let key = TaskKey {
            step: step.id.clone(),
            ..part.clone()
        };
        let unit = match facts {
            Facts::Of(run) => run.unit(&key),
            Facts::None => None,
        };
        let action = Inputs::new(facts, &key, run).action(plan, &step.action);
        Some(Used {
            step: step.id.clone(),
            action: action.ok().or_else(|| samples::shown(plan, &step.action))?,
            before: unit.map_or(Value::Null, |u| u.forward.observed.clone()),
            produced: unit.and_then(|u| u.produced.clone()),
        })
    });
    used.collect()
}

/// The notes of a step's directions.
pub(super) fn noted(unit: &Task, of: impl Fn(Direction) -> bool) -> Vec<Noted<Value>> {
    let notes = unit.notes.iter().filter(|n| of(n.at.part.way));
    notes
        .map(|n| Noted {
            direction: n.at.part.way,
            attempt: n.at.attempt,
            note: n.note.clone(),
        })
        .collect()
}

/// What later steps of the run have seen and noted about the same file, or about services.
pub(super) fn later(run: &Run, unit: &Task, part: &TaskKey) -> Vec<RawPast> {
    let own = &unit.forward.observed;
    let services = |before: &Value| before.get("masters").or(before.get("service")).is_some();
    let alike = |before: &Value| {
        let file = before.get("target").filter(|t| t.is_string());
        file.is_some_and(|file| own.get("target") == Some(file))
            || (services(own) && services(before))
    };
    let steps = run.plan.steps().skip_while(|(_, s)| s.id != part.step);
    let units = steps.skip(1).filter_map(|(_, step)| {
        run.unit(&TaskKey {
            step: step.id.clone(),
            ..part.clone()
        })
    });
    units
        .filter(|u| u.forward.attempts > 0 && alike(&u.forward.observed))
        .map(|u| RawPast {
            before: u.forward.observed.clone(),
            notes: noted(u, |_| true),
            ..RawPast::default()
        })
        .collect()
}

/// The programs that did not run when the steps before that one stopped others of the same manager.
pub(super) fn was_down(run: &Run, plan: &Plan, part: &TaskKey, of: &Do) -> Vec<String> {
    let steps = plan.steps().take_while(|(_, s)| s.id != part.step);
    let stops = steps.filter_map(|(_, step)| {
        let key = TaskKey {
            step: step.id.clone(),
            ..part.clone()
        };
        let before = &run.unit(&key)?.forward.observed;
        Some((samples::shown(plan, &step.action)?, before))
    });
    service::was_down(of, stops)
}

/// Every text that may hold a path, of every step that can still be undone: its action as it was started, where it worked,
/// and what it saw and noted.
pub(super) fn undoable(runs: &Runs) -> Vec<Undoable> {
    let mut found = BTreeSet::new();
    for (age, run) in runs.reversible().enumerate() {
        for unit in run.touched() {
            let Some((_, step)) = run.step(unit) else {
                continue;
            };
            let mut texts = Vec::new();
            let values = [&step.action.settings, &unit.forward.observed].into_iter();
            let values = values.chain(unit.notes.iter().map(|n| &n.note));
            values.for_each(|value| paths(value, &mut texts));
            if let Undo::Action(undo) = &step.undo {
                paths(&undo.action.settings, &mut texts);
            }
            texts.extend(step.cwd.iter().cloned());
            texts.extend(unit.inputs.iter().map(|pair| pair.value.clone()));
            texts.extend(step.env.iter().filter_map(|v| match &v.value {
                Input::Text(text) => Some(text.clone()),
                Input::Secret(_) | Input::From(_) => None,
            }));
            texts.retain(|text| text.contains('/'));
            found.extend(texts.into_iter().map(|text| Undoable {
                run: run.name.clone(),
                age,
                text,
            }));
        }
    }
    found.into_iter().collect()
}

/// The texts of a value.
fn paths(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|v| paths(v, found)),
        Value::Object(map) => map.values().for_each(|v| paths(v, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
