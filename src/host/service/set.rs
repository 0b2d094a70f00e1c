//! Several programs or units that are stopped and started as one service: who belongs to it, and who has come and gone.
//!
//! A set is looked up anew each time. What a pattern matches may be another set after the configuration was changed, which
//! an upgrade may well intend: so it is named, in the preview and in the record, and refused only where an undo would not
//! bring back what was there.

use super::found::{Found, Program};
use super::manager::Manager;
use super::stored::Before;
use crate::action::Context;
use crate::text::actions as phrases;
use serde_json::Value;

/// The members as they were found, in a line for people; none where the settings mean a single one.
pub(crate) fn members(manager: &dyn Manager, found: &Found) -> Option<String> {
    let each: Vec<String> = found.programs.iter().map(Program::shown).collect();
    (manager.is_set() && !each.is_empty()).then(|| phrases::members(crate::text::list(&each)))
}

/// A member that runs now and was not known before.
pub(super) fn added<'f>(
    manager: &dyn Manager,
    before: &'f Found,
    now: &'f Found,
) -> Option<&'f Program> {
    let mut new = now.beside(before);
    let added = new.find(|p| p.is_wanted() && manager.is_member(&p.name));
    added.filter(|_| manager.is_set())
}

/// Which members have gone and come since `before`, a look of that step.
pub(super) fn changes(
    manager: &dyn Manager,
    before: &Found,
    now: &Found,
    step: &str,
) -> Vec<String> {
    if !manager.is_set() || before.programs.is_empty() {
        return Vec::new();
    }
    let since = match step {
        "" => String::new(),
        step => format!(" since the step {step}"),
    };
    let is_member = |p: &&Program| manager.is_member(&p.name);
    let gone = before.beside(now).filter(is_member);
    let gone = gone.map(|p| format!("{} is not there any more{since}", p.name));
    let come = now.beside(before).filter(is_member);
    let come = come.map(|p| format!("{} was added{since}", p.name));
    gone.chain(come).collect()
}

/// The same since the last earlier step of the plan that stopped members of this set.
pub(crate) fn changes_since_stop(cx: &Context, manager: &dyn Manager, now: &Found) -> Vec<String> {
    let stops = cx.family.iter().rev();
    let stops = stops.filter(|kin| kin.action.kind().ends_with(".stop"));
    let mut looks = stops.filter_map(|kin| Some((&kin.step, observed(&kin.before)?)));
    let same = |found: &Found| {
        let mut members = found.programs.iter();
        members.any(|p| manager.is_member(&p.name))
    };
    let last = looks.find(|(_, found)| same(found));
    last.map_or_else(Vec::new, |(step, found)| {
        changes(manager, &found, now, step)
    })
}

/// What a stop observed: `celery.stop` keeps it beside the workers.
fn observed(before: &Value) -> Option<Found> {
    let value = before.get("service").unwrap_or(before);
    let read = serde_json::from_value::<Before>(value.clone());
    read.ok().map(|before| before.0)
}
