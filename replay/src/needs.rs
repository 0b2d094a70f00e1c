//! Which secrets what is left of a run still uses. A rollback at night must not wait for the password of a step that
//! nobody is going to run again.
//!
//! More rather than fewer: whatever the loop may come to without another command of a person counts, so a run whose plan
//! rolls back by itself needs those of its undos as well.

use crate::event::Direction;
use crate::plan::{EnvVar, Input, OnFailure, Plan, Step, Undo};
use crate::state::{Run, Task};
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use serde_json::Value;

/// Names of the secrets that what is left of a run uses.
#[must_use]
pub fn secrets(run: &Run) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (unit, way) in left(run) {
        if let Some((_, step)) = run.step(unit) {
            of_step(&run.plan, step, way, &mut names);
        }
    }
    known(&run.plan, names)
}

/// Names of the secrets that one direction of a step of the plan uses.
#[must_use]
pub fn of_way(plan: &Plan, step: &Step, way: Direction) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    of_step(plan, step, way, &mut names);
    known(plan, names)
}

/// A setting may be called so and be no secret.
fn known(plan: &Plan, mut names: BTreeSet<String>) -> BTreeSet<String> {
    names.retain(|name| plan.secrets.iter().any(|s| s.name == *name));
    names
}

fn of_step(plan: &Plan, step: &Step, way: Direction, names: &mut BTreeSet<String>) {
    for used in step.uses.iter().filter_map(|id| plan.step(id)) {
        of_value(&used.action.settings, names);
    }
    match (way, &step.undo) {
        (Direction::Do, _) | (Direction::Undo, Undo::Own { .. }) => of_action(step, names),
        (Direction::Undo, Undo::Nothing) if step.is_check() => of_action(step, names),
        (Direction::Undo, Undo::Action(undo)) => {
            of_value(&undo.action.settings, names);
            for look in [&undo.probe, &undo.verify].into_iter().flatten() {
                of_value(&look.settings, names);
            }
            of_env(&undo.env, names);
        }
        (Direction::Undo, Undo::PointOfNoReturn(_) | Undo::Nothing) => return,
    }
    of_env(&step.env, names);
}

fn of_env(env: &[EnvVar], names: &mut BTreeSet<String>) {
    for variable in env {
        if let Input::Secret(name) = &variable.value {
            names.insert(name.clone());
        }
    }
}

fn of_action(step: &Step, names: &mut BTreeSet<String>) {
    of_value(&step.action.settings, names);
    for look in [&step.probe, &step.verify].into_iter().flatten() {
        of_value(&look.settings, names);
    }
}

/// `{secret: NAME}`, wherever it stands.
fn of_value(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => match (map.len(), map.get("secret")) {
            (1, Some(Value::String(name))) => {
                names.insert(name.clone());
            }
            _ => map.values().for_each(|v| of_value(v, names)),
        },
        Value::Array(items) => items.iter().for_each(|v| of_value(v, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The parts that the loop may still come to.
fn left(run: &Run) -> Vec<(&Task, Direction)> {
    let open = run.open().and_then(|p| Some((run.unit(&p)?, p.way)));
    let mut parts: Vec<(&Task, Direction)> = open.into_iter().chain(run.may_still_run()).collect();
    if run.ended.is_some() || run.abort.is_some() {
        return parts;
    }
    match run.way {
        Direction::Undo => parts.extend(run.left_backwards().map(|u| (u, Direction::Undo))),
        Direction::Do => {
            let left_out = |u: &Task| run.step(u).is_some_and(|(_, s)| s.left_out.is_some());
            let ahead: Vec<&Task> = run.unsettled().filter(|u| !left_out(u)).collect();
            parts.extend(ahead.iter().map(|u| (*u, Direction::Do)));
            if run.plan.on_failure == OnFailure::Rollback {
                parts.extend(ahead.iter().map(|u| (*u, Direction::Undo)));
                parts.extend(run.touched().map(|u| (u, Direction::Undo)));
                let checks = run.plan.checks_after_rollback();
                let units = checks.flat_map(|step| run.units_of(&step.id));
                parts.extend(units.map(|u| (u, Direction::Undo)));
            }
        }
    }
    parts
}
