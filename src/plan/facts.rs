//! Facts in the settings of actions: `{from: step.fact}` in the place of a value.
//!
//! A fact is substituted like a variable: the settings are parsed with it, once when the plan is checked (with samples, see
//! `samples`) and again when the step starts.
//!
//! Invariants: a reference is a map with the one key `from` and the value `step.fact`, whatever setting it stands in;
//! no fact is put into a script, and none names a secret.

use super::outline::{Key, Kind, Node, Span, Style};
use super::read::read;
use super::rules::is_id;
use super::variables::is_name;
use crate::action::{Error, FactKind, recorded};
use crate::actions::Do;
use crate::text::plan as say;
use serde_json::Value;
use std::collections::BTreeMap;
use upledger_replay::plan::{ActionSpec, Plan};

/// What is known of a fact before the run: its kind, or none for one that is read from what a step prints.
pub(crate) type Known = Option<FactKind>;

/// A reference to a fact, in an action.
#[derive(Debug, Clone)]
pub(crate) struct Reference {
    /// `step.fact`.
    pub(crate) fact: String,
    /// Where the name stands.
    pub(crate) name: Span,
    /// Where the whole reference stands.
    pub(super) span: Span,
    /// The same as keys and indexes into the action.
    pub(super) path: Vec<TaskKey>,
    /// It is a word of a command, which is text.
    pub(super) word: bool,
}

/// A part of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TaskKey {
    Key(String),
    Index(usize),
}

/// The facts of all steps of a plan file.
pub(crate) fn of_all(root: &Node) -> BTreeMap<String, Known> {
    let phases = root.get("phases").map_or(&[][..], Node::items);
    let steps = phases
        .iter()
        .flat_map(|p| p.get("steps").map_or(&[][..], Node::items));
    steps.flat_map(of_step).collect()
}

/// Why a fact can be no working directory. One that is printed is looked at when the step starts.
pub(crate) fn no_directory(fact: &str, known: Known) -> Option<String> {
    let fits = matches!(known, None | Some(FactKind::Path));
    (!fits).then(|| say::fact_does_not_fit(fact, kind_word(known), say::cwd_wants_path()))
}

/// What a fact is, for people.
pub(crate) fn kind_word(known: Known) -> String {
    match known {
        None => say::fact_printed(),
        Some(FactKind::Text) => say::text(),
        Some(FactKind::Path) => say::fact_path_kind(),
        Some(FactKind::Digest) => say::fact_digest(),
        Some(FactKind::Commit) => say::fact_commit(),
        Some(FactKind::Number) => say::number(),
        Some(FactKind::Boolean) => say::true_or_false(),
    }
}

/// The facts of a step as its plan is written, by name, also of one that has problems.
pub(crate) fn of_step(step: &Node) -> Vec<(String, Known)> {
    let Some(id) = step.get("id").and_then(Node::text) else {
        return Vec::new();
    };
    let kind = step.get("do").and_then(|d| d.entries().first());
    let printed = step.get("facts").map_or(&[][..], Node::entries).iter();
    let handed_on = kind.map_or_else(Vec::new, |(kind, _)| Do::facts_of(&kind.text));
    printed
        .map(|(key, _)| (format!("{id}.{}", key.text), None))
        .chain(
            handed_on
                .into_iter()
                .map(|f| (format!("{id}.{}", f.name), Some(f.kind))),
        )
        .collect()
}

/// The facts of a step of a resolved plan.
pub(crate) fn of_resolved(step: &upledger_replay::plan::Step) -> Vec<(String, Known)> {
    let handed_on = Do::facts_of(&step.action.kind).into_iter();
    let printed = step.facts.iter().map(|f| (f.name.clone(), None));
    printed
        .chain(handed_on.map(|f| (f.name, Some(f.kind))))
        .map(|(name, known)| (format!("{}.{name}", step.id), known))
        .collect()
}

/// What is known of a fact of a resolved plan.
pub(super) fn known(plan: &Plan, fact: &str) -> Known {
    let step = fact.split_once('.').and_then(|(step, _)| plan.step(step));
    let mut facts = step.map_or_else(Vec::new, of_resolved).into_iter();
    facts.find(|(name, _)| name == fact).and_then(|(_, k)| k)
}

/// How a value of this kind is read: numbers as numbers or text, what was printed as whatever the setting wants.
pub(super) fn style(known: Known) -> Style {
    match known {
        None => Style::PutIn,
        Some(FactKind::Number | FactKind::Boolean) => Style::Plain,
        Some(FactKind::Text | FactKind::Path | FactKind::Digest | FactKind::Commit) => {
            Style::Quoted
        }
    }
}

/// The `step.fact` of a reference. A word of a command is nothing else when it is a map.
fn named(node: &Node, word: bool) -> Option<(&str, Span)> {
    let [(key, value)] = node.entries() else {
        return None;
    };
    let text = value.text().filter(|_| key.text == "from")?;
    let parts = text.split_once('.');
    let well_formed = parts.is_some_and(|(step, name)| is_id(step) && is_name(name));
    (word || well_formed).then_some((text, value.span))
}

/// The entry of an action that names its kind; an undo has others beside it.
pub(crate) fn entry(action: &Node) -> Option<&(Key, Node)> {
    let mut entries = action.entries().iter();
    entries.find(|(key, _)| Do::KINDS.contains(&key.text.as_str()))
}

/// The references of an action.
pub(crate) fn references(action: &Node) -> Vec<Reference> {
    let mut found = Vec::new();
    fill(action, &mut |reference| {
        found.push(reference);
        None
    });
    found
}

/// The action with other values in the place of references.
pub(super) fn fill(
    action: &Node,
    put: &mut dyn FnMut(Reference) -> Option<(String, Style)>,
) -> Node {
    let Some((kind, _)) = entry(action).filter(|(kind, _)| kind.text != "shell") else {
        return action.clone();
    };
    let mut path = vec![TaskKey::Key(kind.text.clone())];
    let entries = action.entries().iter().map(|(key, value)| {
        let value = if key == kind {
            walk(value, &mut path, key.text == "run", put)
        } else {
            value.clone()
        };
        (key.clone(), value)
    });
    Node {
        span: action.span,
        kind: Kind::Map(entries.collect()),
    }
}

fn walk(
    node: &Node,
    path: &mut Vec<TaskKey>,
    word: bool,
    put: &mut dyn FnMut(Reference) -> Option<(String, Style)>,
) -> Node {
    if let Some((fact, name)) = named(node, word) {
        let reference = Reference {
            fact: fact.to_owned(),
            name,
            span: node.span,
            path: path.clone(),
            word,
        };
        return Node {
            span: node.span,
            kind: put(reference).map_or_else(|| node.kind.clone(), |(t, s)| Kind::Scalar(t, s)),
        };
    }
    let mut below = |part: TaskKey, node: &Node| {
        path.push(part);
        let made = walk(node, path, word, put);
        path.pop();
        made
    };
    let kind = match &node.kind {
        Kind::Scalar(..) => node.kind.clone(),
        Kind::List(items) => Kind::List(
            items
                .iter()
                .enumerate()
                .map(|(n, item)| below(TaskKey::Index(n), item))
                .collect(),
        ),
        // The name of a secret is known before the run.
        Kind::Map(entries) if matches!(entries.as_slice(), [(key, _)] if key.text == "secret") => {
            node.kind.clone()
        }
        Kind::Map(entries) => Kind::Map(
            entries
                .iter()
                .map(|(key, value)| (key.clone(), below(TaskKey::Key(key.text.clone()), value)))
                .collect(),
        ),
    };
    Node {
        span: node.span,
        kind,
    }
}

/// An action of a resolved plan as a tree, in which each value has a place of its own.
pub(crate) fn tree(action: &Value) -> Node {
    fn made(value: &Value, next: &mut usize) -> Node {
        let span = Span {
            start: *next,
            end: *next,
        };
        *next += 1;
        let kind = match value {
            Value::Null => Kind::Scalar("null".into(), Style::Plain),
            Value::Bool(_) | Value::Number(_) => Kind::Scalar(value.to_string(), Style::Plain),
            Value::String(text) => Kind::Scalar(text.clone(), Style::Quoted),
            Value::Array(items) => Kind::List(items.iter().map(|v| made(v, next)).collect()),
            Value::Object(map) => {
                let entries = map.iter().map(|(key, value)| {
                    let value = made(value, next);
                    let text = key.clone();
                    let span = value.span;
                    (Key { text, span }, value)
                });
                Kind::Map(entries.collect())
            }
        };
        Node { span, kind }
    }
    made(action, &mut 0)
}

/// An action of a resolved plan with facts in the place of its references.
///
/// # Errors
/// What `value` meets, and [`Error`] when the action cannot be read with what it gives, or its rules refuse it.
pub(crate) fn put_in(
    plan: &Plan,
    action: &ActionSpec,
    value: &mut dyn FnMut(&str) -> Result<String, Error>,
) -> Result<Do, Error> {
    let (mut put, mut missing) = (Vec::new(), None);
    let node = fill(
        &tree(&action.to_value()),
        &mut |reference| match value(&reference.fact) {
            Ok(text) => {
                let known = known(plan, &reference.fact);
                let style = if reference.word {
                    Style::Quoted
                } else {
                    style(known)
                };
                put.push(format!("{} is '{text}'", reference.fact));
                Some((text, style))
            }
            Err(why) => {
                missing.get_or_insert(why);
                None
            }
        },
    );
    if let Some(why) = missing {
        return Err(why);
    }
    if put.is_empty() {
        return serde_json::from_value(action.to_value())
            .map_err(|e| Error::io("the plan's action cannot be read", &e));
    }
    recorded(|| {
        let wrong = |why: &str| {
            Error::new(format!(
                "{} does not take {}: {why}",
                entry_name(&node),
                put.join(", ")
            ))
        };
        let read: Do = read(&node).map_err(|fault| wrong(&fault.message))?;
        match read.kind_of().problems().as_slice() {
            [] => Ok(read),
            problems => Err(wrong(&problems.join("; "))),
        }
    })
}

fn entry_name(action: &Node) -> &str {
    entry(action).map_or("the action", |(key, _)| &key.text)
}
