//! A resolved plan as a file: what `plan --out` writes, what is approved, and what runs.
//!
//! The digest in the file detects only accidental changes, not forgery, so the rules that a runner relies on are checked
//! again, and warnings are reported again. Warnings about content that a resolved plan no longer has (variables, the
//! spelling of a step) are stored in the file, in English.

use super::facts::{self, Known};
use super::live;
use super::load::{Checked, STEPS, VERSION, digest};
use super::only_for;
use super::order::{self, Placed};
use super::outline::Span;
use super::problem::{Fault, Refusal};
use super::read::read;
use super::rules::is_id;
use super::samples::{sample, setting};
use super::traffic::{self, Serving, Traffic};
use super::uses::{self, Earlier};
use super::warning::Warning;
use crate::action::Live;
use crate::action::values::absolute;
use crate::actions::Do;
use crate::text::plan as say;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use upledger_replay::event::Direction;
use upledger_replay::needs;
use upledger_replay::plan::{ActionSpec, Effect, Fact, Input, LOCAL, Plan, Step, Undo};

/// The version of the file.
const FORMAT: u32 = 1;
/// Its first key.
const KEY: &str = "\"upledger_resolved\"";
/// Steps of a resolved plan have no line that a person has written.
const NOWHERE: Span = Span { start: 0, end: 0 };

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    upledger_resolved: u32,
    plan: Plan,
    digest: String,
    /// What was said when it was written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// The text of the file, with its last line break.
#[must_use]
pub fn write(checked: &Checked) -> String {
    let file = File {
        upledger_resolved: FORMAT,
        plan: checked.plan.clone(),
        digest: checked.digest.clone(),
        warnings: checked
            .warnings
            .iter()
            .map(|w| w.recorded.clone())
            .collect(),
    };
    let mut text = serde_json::to_string_pretty(&file).unwrap_or_default();
    text.push('\n');
    text
}

/// It is meant to be a resolved plan: a JSON object that names itself so.
pub(crate) fn looks_resolved(text: &str) -> bool {
    text.trim_start()
        .strip_prefix('{')
        .is_some_and(|t| t.trim_start().starts_with(KEY))
        || (text.trim_start().starts_with('{')
            && text.contains(KEY)
            && serde_json::from_str::<Value>(text)
                .is_ok_and(|v| v.get("upledger_resolved").is_some()))
}

pub(crate) fn load(name: &str, text: &str) -> Result<Checked, Refusal> {
    let file: File = serde_json::from_str(text).map_err(|e| {
        let start: usize = text
            .split_inclusive('\n')
            .take(e.line().saturating_sub(1))
            .map(str::len)
            .sum();
        let at = start + e.column().saturating_sub(1);
        // Without serde_json's own "at line ... column ...".
        let message = e.to_string();
        let message = message
            .rsplit_once(" at line ")
            .map_or(message.as_str(), |(m, _)| m)
            .to_owned();
        let fault = Fault::new(Span { start: at, end: at }, say::not_resolved(message));
        Refusal::new(name, text, vec![fault.hint(say::plan_writes_one())], &[])
    })?;
    let mut wrong = Vec::new();
    if file.upledger_resolved != FORMAT || file.plan.upledger != VERSION {
        wrong.push(say::resolved_version());
    }
    let found = digest(&file.plan);
    if found != file.digest {
        wrong.push(say::wrong_digest(&file.digest, &found));
    }
    let mut warnings = Vec::new();
    wrong.extend(rules(&file.plan, &mut warnings));
    if wrong.is_empty() {
        for said in file.warnings {
            if warnings.iter().all(|w: &Warning| w.recorded != said) {
                warnings.push(Warning::anywhere(|| said.clone()));
            }
        }
        return Ok(Checked {
            plan: file.plan,
            digest: found,
            warnings,
            given: Vec::new(),
            kept: BTreeSet::new(),
        });
    }
    let start = text.find(KEY).unwrap_or(0);
    let span = Span {
        start,
        end: start + KEY.len(),
    };
    Err(Refusal::new(
        name,
        text,
        wrong
            .into_iter()
            .map(|m| Fault::new(span, m).hint(say::never_edited()))
            .collect(),
        &[],
    ))
}

/// What a runner relies on, and what looks like a slip.
fn rules(plan: &Plan, warnings: &mut Vec<Warning>) -> Vec<String> {
    let (mut wrong, mut placed) = (Vec::new(), Vec::new());
    let (mut ids, mut facts) = (BTreeSet::new(), BTreeMap::new());
    let mut before: Vec<Earlier> = Vec::new();
    let secrets: BTreeSet<&str> = plan.secrets.iter().map(|s| s.name.as_str()).collect();
    if plan.phases.is_empty() || plan.phases.iter().any(|p| p.steps.is_empty()) {
        wrong.push(say::empty_phase());
    }
    if plan.steps().count() > STEPS {
        wrong.push(say::too_many_steps(STEPS));
    }
    for (_, step) in plan.steps() {
        if !is_id(&step.id) || !ids.insert(step.id.as_str()) {
            wrong.push(say::bad_id(&step.id));
        }
        let environment = plan.environment.as_deref();
        let (own, faults) = one(step, &facts, &before, &secrets, environment);
        wrong.extend(faults.into_iter().map(|m| say::of_step(&step.id, m)));
        if let Some(own) = own.as_ref().filter(|_| step.live)
            && let Some((why, _)) = live::problem(&step.id, own, step.why.as_deref())
        {
            wrong.push(why);
        }
        if step.effect == Effect::Pure && step.undo != Undo::Nothing {
            warnings.push(Warning::anywhere(|| say::pure_with_undo(&step.id)));
        }
        if step.has_probe && !step.facts.is_empty() {
            warnings.push(Warning::anywhere(|| say::facts_and_probe(&step.id)));
        }
        if let Some(own) = own.filter(|_| step.left_out.is_none()) {
            placed.push(Placed {
                id: step.id.clone(),
                at: NOWHERE,
                why: step.why.clone(),
                targets: step.targets.clone(),
                stages: own.kind_of().properties().stages,
                serving: Serving::of(&own),
                aside: own.kind_of().properties().live == Live::Harmless,
                live: step.live,
            });
        }
        facts.extend(facts::of_resolved(step));
        before.push(Earlier {
            id: step.id.clone(),
            kind: step.action.kind.to_string(),
            left_out: step.left_out.is_some(),
            verified: step.verify.is_some(),
        });
    }
    if !Traffic::of(&placed).agrees(plan) {
        wrong.push(say::opens_otherwise());
    }
    let order = order::check("", &placed);
    for breach in order.breaches {
        let (early, late) = (&placed[breach.early].id, &placed[breach.late].id);
        wrong.push(say::too_early_here(early, late, breach.rule.said()));
    }
    // Positions in the original plan are not known here.
    let placeless = |w| Warning { line: None, ..w };
    warnings.extend(order.warnings.into_iter().map(placeless));
    let used: BTreeSet<String> = plan
        .steps()
        .flat_map(|(_, step)| {
            [Direction::Do, Direction::Undo].map(|way| needs::of_way(plan, step, way))
        })
        .flatten()
        .collect();
    for name in secrets.iter().filter(|name| !used.contains(**name)) {
        warnings.push(Warning::anywhere(|| say::unused_secret(name)));
    }
    wrong
}

/// The step's own action, where it can be read, and what is wrong.
fn one(
    step: &Step,
    facts: &BTreeMap<String, Known>,
    before: &[Earlier],
    secrets: &BTreeSet<&str>,
    environment: Option<&str>,
) -> (Option<Do>, Vec<String>) {
    let mut wrong = Vec::new();
    if step.targets != [LOCAL] {
        wrong.push(say::not_local());
    }
    let known = |fact: &str| facts.get(fact).copied().flatten();
    wrong.extend(step.cwd.as_deref().and_then(|cwd| absolute("cwd", cwd)));
    if let Some(fact) = &step.cwd_from {
        if step.cwd.is_some() {
            wrong.push(say::two_cwds());
        }
        if !facts.contains_key(fact) {
            wrong.push(say::no_fact(fact));
        }
        wrong.extend(facts::no_directory(fact, known(fact)));
    }
    for Fact { name, .. } in &step.facts {
        let kind = &step.action.kind;
        if Do::facts_of(kind).iter().any(|f| f.name == *name) {
            wrong.push(say::fact_is_produced(kind, name));
        }
    }
    let mut action = |spec: &ActionSpec, look: bool| -> Option<Do> {
        let tree = facts::tree(&spec.to_value());
        let references = facts::references(&tree);
        let unknown = references.iter().filter(|r| !facts.contains_key(&r.fact));
        wrong.extend(unknown.map(|r| say::no_fact(&r.fact)));
        let (tree, sampled) = sample(&tree, &known);
        // Phrased in terms of the fact, if there is one.
        let fact_fault = |fault: &Fault| sampled.iter().find_map(|s| s.rephrase(fault));
        let action: Do = match read(&tree) {
            Ok(action) => action,
            Err(fault) => {
                let fault = fact_fault(&fault).map(|f| f.message);
                wrong.push(fault.unwrap_or_else(say::unreadable_action));
                return None;
            }
        };
        for problem in action.kind_of().problems() {
            let fault = Fault::new(setting(Some(&tree), &problem, tree.span), problem);
            wrong.push(fact_fault(&fault).unwrap_or(fault).message);
        }
        wrong.extend(only_for::problem(&action, environment).map(|(why, _)| why));
        let properties = action.kind_of().properties();
        let cwd = step.cwd.is_some() || step.cwd_from.is_some();
        if let Some(name) = properties.below_cwd.filter(|_| !cwd) {
            wrong.push(say::below_cwd(name));
        }
        if look && !properties.looks {
            wrong.push(say::look_that_acts());
        }
        Some(action)
    };
    let own = action(&step.action, false);
    let mut others: Vec<Do> = Vec::new();
    for look in [&step.probe, &step.verify].into_iter().flatten() {
        others.extend(action(look, true));
    }
    let mut undo_probe = false;
    if let Undo::Action(undo) = &step.undo {
        let written = action(&undo.action, false);
        for look in [&undo.probe, &undo.verify].into_iter().flatten() {
            others.extend(action(look, true));
        }
        others.extend(written.clone());
        let has =
            undo.probe.is_some() || written.is_some_and(|a| a.kind_of().properties().has_probe);
        undo_probe = undo.has_probe != has || (undo.effect == Effect::Probed && !has);
    }
    let behaviour = own.as_ref().map(|own| own.kind_of().properties());
    let has = step.probe.is_some() || behaviour.as_ref().is_some_and(|b| b.has_probe);
    if undo_probe || step.has_probe != has || (step.effect == Effect::Probed && !has) {
        wrong.push(say::wrong_probe());
    }
    if matches!(step.undo, Undo::Own { .. }) && !behaviour.is_some_and(|b| b.has_undo) {
        wrong.push(say::no_own_undo());
    }
    let written = match &step.undo {
        Undo::Action(_) => others.last(),
        Undo::Own { .. } | Undo::PointOfNoReturn(_) | Undo::Nothing => None,
    };
    let restores = own
        .as_ref()
        .is_some_and(|own| traffic::restores(&step.undo, written, own));
    if step.restores != restores {
        wrong.push(say::restores_otherwise());
    }
    let uses = uses::named(own.iter().chain(&others));
    let left_out = step.left_out.is_some();
    let has_undo = !matches!(step.undo, Undo::Own { .. });
    let problems = uses.iter();
    let problems = problems.filter_map(|used| uses::problem(used, before, left_out, has_undo));
    wrong.extend(problems.map(|(why, _)| why));
    // The secrets of these steps reach this one.
    if uses::ids(&uses, before) != step.uses {
        wrong.push(say::uses_other_steps());
    }
    for file in &step.env_files {
        wrong.extend(absolute("env_file", &file.path));
    }
    let own_env = match &step.undo {
        Undo::Action(undo) => undo.env.as_slice(),
        Undo::Own { .. } | Undo::PointOfNoReturn(_) | Undo::Nothing => &[],
    };
    for variable in step.env.iter().chain(own_env) {
        match &variable.value {
            Input::Secret(name) if !secrets.contains(name.as_str()) => {
                wrong.push(say::no_secret(name))
            }
            Input::From(fact) if !facts.contains_key(fact) => wrong.push(say::no_fact(fact)),
            Input::Secret(_) | Input::From(_) | Input::Text(_) => {}
        }
    }
    (own, wrong)
}
