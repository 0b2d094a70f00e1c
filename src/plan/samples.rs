//! Sample values for facts while a plan is checked: as long as a fact has no value, samples of its kind are substituted, so
//! that the types and the rules of an action can check whether the fact fits. The resolved plan contains the reference
//! again.

use super::facts::{
    Known, Reference, TaskKey, entry, fill, kind_word, known, references, style, tree,
};
use super::outline::{Kind, Node, Span, Style};
use super::problem::{About, Fault};
use super::read::{read, read_leniently};
use super::rules::Before;
use crate::action::FactKind;
use crate::actions::Do;
use crate::text::plan as say;
use serde_json::json;
use std::collections::BTreeMap;
use upledger_replay::plan::{ActionSpec, Plan};

/// Texts of every form that settings take, for a fact that may be anything.
const ANY: [&str; 6] = [
    "true",
    "1s",
    "1MiB",
    "0644",
    "0000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000000",
];

/// A reference with the sample that stands for it.
#[derive(Debug, Clone)]
pub(crate) struct Sampled {
    reference: Reference,
    known: Known,
    sample: (String, Style),
}

impl Sampled {
    /// A fault of the sample in words about the fact; none when the fault stands somewhere else.
    pub(crate) fn rephrase(&self, fault: &Fault) -> Option<Fault> {
        if fault.span != Some(self.reference.span) {
            return None;
        }
        let end = format!(": {}", self.sample.0);
        let why = fault.message.strip_suffix(&end).unwrap_or(&fault.message);
        Some(Fault::new(
            self.reference.span,
            say::fact_does_not_fit(&self.reference.fact, kind_word(self.known), why),
        ))
    }
}

impl Sampled {
    /// The settings lose it when they are written out.
    pub(crate) fn misplaced(&self) -> Fault {
        let reference = &self.reference;
        Fault::new(reference.span, say::fact_not_here(&reference.fact))
    }
}

fn samples(fact: &str, known: Known) -> Vec<(String, Style)> {
    let texts = match known {
        Some(kind) => kind.samples(fact),
        None => [FactKind::Text, FactKind::Path, FactKind::Number]
            .into_iter()
            .flat_map(|kind| kind.samples(fact))
            .chain(ANY.map(str::to_owned))
            .collect(),
    };
    texts.into_iter().map(|t| (t, style(known))).collect()
}

/// What the rules of an action refuse, each where its setting stands.
pub(crate) fn problems(action: &Do, node: Option<&Node>, all: Span, faults: &mut Vec<Fault>) {
    let unknown = faults.iter().filter(|f| f.about == About::UnknownKey);
    let unknown: Vec<Span> = unknown.filter_map(|f| f.span).collect();
    for problem in action.kind_of().problems() {
        let at = setting(node, &problem, all);
        // What is missing there stands under the key that is not known.
        if !unknown
            .iter()
            .any(|s| at.start <= s.start && s.end <= at.end)
        {
            faults.push(Fault::new(at, problem));
        }
    }
}

/// The place of the value that an action's problem is about: problems name their setting first. Else the place of all.
pub(crate) fn setting(action: Option<&Node>, problem: &str, all: Span) -> Span {
    let named = problem.strip_prefix('`').and_then(|p| p.split('`').next());
    let (Some(path), Some((_, settings))) = (named, action.and_then(entry)) else {
        return all;
    };
    let found = path.split('.').try_fold(settings, |at, key| at.get(key));
    found.map_or(all, |value| value.span)
}

/// Where something is wrong with an action; of its rules only when asked.
fn wrong(action: &Node, rules: bool) -> Vec<Span> {
    let mut faults = Vec::new();
    let alone = Node {
        span: action.span,
        kind: Kind::Map(entry(action).cloned().into_iter().collect()),
    };
    let read: Option<Do> = read_leniently(&alone, &mut faults);
    let problems = read.filter(|_| rules).map(|a| a.kind_of().problems());
    let places = problems.into_iter().flatten();
    let places = places.map(|p| setting(Some(action), &p, action.span));
    faults.iter().filter_map(|f| f.span).chain(places).collect()
}

/// What may stand for a reference, and what does now: past the last one, none fits and the first shows what is wrong.
struct Choice {
    reference: Reference,
    samples: Vec<(String, Style)>,
    at: usize,
}

impl Choice {
    fn sample(&self) -> (String, Style) {
        let now = self.samples.get(self.at).or(self.samples.first());
        now.cloned().unwrap_or((String::new(), Style::Quoted))
    }
}

/// An action with samples in the place of its references: for each the first that fits. Words of a command keep theirs,
/// which their type knows.
pub(crate) fn sample(action: &Node, known: &dyn Fn(&str) -> Known) -> (Node, Vec<Sampled>) {
    let (node, choices) = settle(action, true, &|fact| samples(fact, known(fact)));
    let sampled = choices.into_iter().map(|choice| Sampled {
        known: known(&choice.reference.fact),
        sample: choice.sample(),
        reference: choice.reference,
    });
    (node, sampled.collect())
}

fn settle(
    action: &Node,
    rules: bool,
    samples: &dyn Fn(&str) -> Vec<(String, Style)>,
) -> (Node, Vec<Choice>) {
    let references = references(action).into_iter().filter(|r| !r.word);
    let choice = |reference: Reference| Choice {
        samples: samples(&reference.fact),
        reference,
        at: 0,
    };
    let mut choices: Vec<Choice> = references.map(choice).collect();
    if choices.is_empty() {
        return (action.clone(), choices);
    }
    loop {
        let mut chosen = choices.iter().map(Choice::sample);
        let node = fill(action, &mut |r| if r.word { None } else { chosen.next() });
        let wrong = wrong(&node, rules);
        let unfit = choices
            .iter_mut()
            .find(|c| c.at < c.samples.len() && wrong.contains(&c.reference.span));
        match unfit {
            Some(choice) => choice.at += 1,
            None => return (node, choices),
        }
    }
}

/// An action for the resolved plan: its references stand at their places again. None when one cannot.
pub(crate) fn kept(action: &Do, sampled: &[Sampled]) -> Option<ActionSpec> {
    let mut value = serde_json::to_value(action).ok()?;
    for Sampled { reference, .. } in sampled {
        let mut at = &mut value;
        for part in &reference.path {
            at = match part {
                // A default that is not serialized.
                TaskKey::Key(key) => at.as_object_mut()?.entry(key.as_str()).or_insert(json!({})),
                TaskKey::Index(index) => at.get_mut(*index)?,
            };
        }
        *at = json!({"from": reference.fact});
    }
    if !sampled.is_empty() {
        let again = fill(&tree(&value), &mut |r| {
            let same = sampled.iter().find(|s| s.reference.path == r.path);
            same.map(|s| s.sample.clone())
        });
        read::<Do>(&again).ok().filter(|read| read == action)?;
    }
    ActionSpec::of(value)
}

/// A step with samples in the place of facts, in the settings of its actions.
pub(crate) struct WithSamples {
    /// The step.
    pub(crate) node: Node,
    /// What stands for what, in each of its actions.
    sampled: BTreeMap<&'static str, Vec<Sampled>>,
}

impl WithSamples {
    /// Of a prepared step.
    pub(crate) fn new(step: &Node, before: &Before) -> Self {
        let mut sampled = BTreeMap::new();
        let mut put = |role: &'static str, action: &Node| {
            let (node, of) = sample(action, &|fact| before.known(fact));
            sampled.insert(role, of);
            node
        };
        let entries = step.entries().iter().map(|(key, value)| {
            let value = match key.text.as_str() {
                "do" => put("do", value),
                "probe" => put("probe", value),
                "verify" => put("verify", value),
                "undo" => {
                    let mut undo = put("undo", value);
                    for (key, role) in [("probe", "undo.probe"), ("verify", "undo.verify")] {
                        if let Some(look) = value.get(key) {
                            undo = undo.with(key, put(role, look).kind);
                        }
                    }
                    undo
                }
                _ => value.clone(),
            };
            (key.clone(), value)
        });
        let kind = match step.kind {
            Kind::Map(_) => Kind::Map(entries.collect()),
            Kind::Scalar(..) | Kind::List(_) => step.kind.clone(),
        };
        let node = Node {
            span: step.span,
            kind,
        };
        Self { node, sampled }
    }

    /// Says what is wrong with a sample in words about the fact that it stands for.
    pub(crate) fn rephrase(&self, faults: &mut [Fault]) {
        let all = || self.sampled.values().flatten();
        for fault in faults {
            if let Some(better) = all().find_map(|s| s.rephrase(fault)) {
                *fault = better;
            }
        }
    }

    /// An action of the step for the resolved plan.
    pub(crate) fn kept(
        &self,
        role: &str,
        action: &Do,
        faults: &mut Vec<Fault>,
    ) -> Option<ActionSpec> {
        let sampled = self.sampled.get(role).map_or(&[][..], Vec::as_slice);
        let kept = kept(action, sampled);
        if kept.is_none() {
            faults.extend(sampled.first().map(Sampled::misplaced));
        }
        kept
    }

    /// The same of an action that need not be there.
    pub(crate) fn maybe(
        &self,
        role: &str,
        action: Option<&Do>,
        faults: &mut Vec<Fault>,
    ) -> Option<Option<ActionSpec>> {
        match action {
            None => Some(None),
            Some(a) => self.kept(role, a, faults).map(Some),
        }
    }
}

/// An action of a resolved plan for people, before its facts are known.
pub(crate) fn shown(plan: &Plan, action: &ActionSpec) -> Option<Do> {
    let (node, _) = settle(&tree(&action.to_value()), false, &|fact| {
        let literal = (format!("{{from: {fact}}}"), Style::PutIn);
        let mut all = vec![literal];
        all.extend(samples(fact, known(plan, fact)));
        all
    });
    read(&node).ok()
}
