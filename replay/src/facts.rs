//! Facts: single values that steps hand on to later ones, out of what they produced or printed.
//!
//! Invariants: a fact belongs to one step on one target; a later step on the same target gets that one, another target's
//! only where there is no other; what is not certain is refused.

use crate::event::TaskKey;
use crate::plan::Pair;
use crate::state::{Run, Status};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde_json::Value;

/// Why a fact cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoFact {
    /// No step handed it on.
    #[error("the fact {0} is not known")]
    Unknown(String),
    /// Several targets have it, and none of them is the one that asks.
    #[error("the fact {0} is known of several targets, and not of the one that this step runs on")]
    Ambiguous(String),
}

/// What a step that produced this hands on: each property that is a single value.
pub(crate) fn of_product(produced: &Value) -> Vec<Pair> {
    let single = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    let properties = produced.as_object().into_iter().flatten();
    properties
        .filter_map(|(name, value)| {
            Some(Pair {
                key: name.clone(),
                value: single(value)?,
            })
        })
        .collect()
}

impl Run {
    /// Whether a step that sets the environment has set it for that other one, on the same target: it is done, or was found
    /// done.
    #[must_use]
    pub fn has_set(&self, step: &str, of: &TaskKey) -> bool {
        let key = TaskKey {
            step: step.to_string(),
            ..of.clone()
        };
        let status = self.unit(&key).map(|unit| unit.forward.status);
        matches!(status, Some(Status::Succeeded | Status::Satisfied))
    }

    /// The value of `step.name`, for a step on `target`.
    ///
    /// # Errors
    /// [`NoFact`].
    pub fn fact(&self, fact: &str, target: &str) -> Result<&str, NoFact> {
        let unknown = || NoFact::Unknown(fact.to_string());
        let (step, name) = fact.split_once('.').ok_or_else(unknown)?;
        let mut known = self.units_of(step).iter().filter_map(|u| {
            let fact = u.facts.iter().rev().find(|f| f.key == name)?;
            Some((u.target.as_str(), fact.value.as_str()))
        });
        let mut others = None;
        let mut several = false;
        for (of, value) in known.by_ref() {
            if of == target {
                return Ok(value);
            }
            several |= others.is_some();
            others = Some(value);
        }
        match others {
            Some(_) if several => Err(NoFact::Ambiguous(fact.to_string())),
            Some(value) => Ok(value),
            None => Err(unknown()),
        }
    }
}
