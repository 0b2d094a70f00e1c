//! `env.set`: variables from the plan become the environment of all later steps.

use super::{fits, is_name};
use crate::action::{Action, Context, Direction, Error, Live, Past, Properties, Work};
use crate::actions::config::Given;
use crate::text::actions as phrases;
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use upledger_replay::plan::Effect;

/// Sets variables of the environment of all later steps of the run, and of their undos. `env` of a step and of the plan, and
/// `env_file`, take precedence over it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// The variables: text, a secret `{secret: name}`, or a fact `{from: step.fact}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, Given>,
    /// Variables that later steps do not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unset: Vec<String>,
}

/// What was set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// How many variables were set or removed.
    pub variables: u64,
}

impl Set {
    fn names(&self) -> String {
        let unset = self.unset.iter().map(phrases::env_without);
        let names: Vec<String> = self.variables.keys().cloned().chain(unset).collect();
        crate::text::list(&names)
    }
}

impl Action for Set {
    type Before = ();
    type Note = ();
    type Output = Count;

    fn properties(&self) -> Properties {
        Properties {
            effect: Effect::Pure,
            needs_undo: false,
            live: Live::Harmless,
            reads: Some(Vec::new()),
            touches: Some(Vec::new()),
            ..Properties::command()
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.variables.is_empty() && self.unset.is_empty() {
            wrong.push(text::missing("variables", "unset"));
        }
        let names = self.variables.keys().chain(&self.unset);
        wrong.extend(names.filter(|n| !is_name(n)).map(text::no_variable));
        let both = self
            .unset
            .iter()
            .filter(|n| self.variables.contains_key(*n));
        wrong.extend(both.map(text::twice));
        wrong
    }

    fn outline(&self, _direction: Direction) -> Vec<String> {
        vec![phrases::env_set(self.names())]
    }

    fn observe(&self, cx: &Context) -> Result<(), Error> {
        for (name, value) in &self.variables {
            fits(name, &value.text(cx)?)?;
        }
        Ok(())
    }

    fn perform(&self, work: &mut Work<'_, ()>, _past: &Past<Self>) -> Result<Count, Error> {
        work.log_line(&format!("for all later steps: {}", self.names()));
        let variables = self.variables.len() + self.unset.len();
        Ok(Count {
            variables: variables as u64,
        })
    }
}
