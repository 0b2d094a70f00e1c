//! What is put into a step when it starts: facts of earlier steps, and its environment.

use crate::action::{Error, Used};
use crate::actions::Do;
use crate::actions::config::Given;
use crate::actions::env::capture::Variables;
use crate::attempt::spec::{Variable, VariableValue};
use crate::plan::{facts, put_in_run};
use crate::site::Local;
use serde::Deserialize as _;
use serde_json::Value;
use std::path::Path;
use upledger_replay::event::TaskKey;
use upledger_replay::facts::NoFact;
use upledger_replay::plan::{ActionSpec, EnvVar, Input, Pair, Plan, Step};
use upledger_replay::state::Run;

/// What facts are taken from.
#[derive(Clone, Copy)]
pub enum Facts<'a> {
    /// The steps of a run that are done.
    Of(&'a Run),
    /// Nothing: a preview, before any step has run.
    None,
}

/// Facts of earlier steps on their way into a step.
pub(super) struct Inputs<'a> {
    facts: Facts<'a>,
    run: &'a str,
    target: &'a str,
    /// What was put in when the step was first started: it is the same for its next attempt and its undo.
    recorded: &'a [Pair],
    pub(super) used: Vec<Pair>,
}

impl<'a> Inputs<'a> {
    pub(super) fn new(facts: Facts<'a>, part: &'a TaskKey, run: &'a str) -> Self {
        let unit = match facts {
            Facts::Of(run) => run.unit(part).filter(|u| u.forward.touched),
            Facts::None => None,
        };
        Self {
            facts,
            run,
            target: &part.target,
            recorded: unit.map_or(&[], |u| &u.inputs),
            used: Vec::new(),
        }
    }

    pub(super) fn value(&mut self, fact: &str) -> Result<String, Error> {
        let before = self.recorded.iter().find(|p| p.key == fact);
        let value = match (before, self.facts) {
            (Some(pair), _) => pair.value.clone(),
            (None, Facts::Of(run)) => run
                .fact(fact, self.target)
                .map_err(|e| unknown(&e))?
                .to_owned(),
            (None, Facts::None) => return Err(Error::new(crate::text::forecast::the_fact(fact))),
        };
        if !self.used.iter().any(|p| p.key == fact) {
            self.used.push(Pair {
                key: fact.into(),
                value: value.clone(),
            });
        }
        Ok(value)
    }

    /// An action of the plan, with facts in the place of `{from: step.fact}` and the run in that of `${run}`.
    pub(super) fn action(&mut self, plan: &Plan, action: &ActionSpec) -> Result<Do, Error> {
        let settings = match self.facts {
            Facts::Of(_) => put_in_run(&action.settings, self.run),
            Facts::None => action.settings.clone(),
        };
        let action = ActionSpec::new(action.kind.as_str(), settings);
        facts::put_in(plan, &action, &mut |fact| self.value(fact))
    }

    /// A text of the plan, with the run in the place of `${run}`.
    pub(super) fn text(&self, text: &str) -> String {
        let text = Value::String(text.into());
        let put = match self.facts {
            Facts::Of(_) => put_in_run(&text, self.run),
            Facts::None => text,
        };
        put.as_str().unwrap_or_default().to_owned()
    }

    /// The fact that is the working directory.
    pub(super) fn directory(&mut self, fact: &str) -> Result<String, Error> {
        let path = self.value(fact)?;
        if Path::new(&path).is_absolute() {
            return Ok(path);
        }
        Err(Error::new(format!(
            "the working directory is {fact}, and '{path}' is not an absolute path"
        )))
    }
}

fn unknown(why: &NoFact) -> Error {
    let fact = match why {
        NoFact::Unknown(fact) => fact,
        NoFact::Ambiguous(_) => return Error::new(why.to_string()),
    };
    let step = fact.split_once('.').map_or(fact.as_str(), |(step, _)| step);
    Error::new(why.to_string()).remedy(format!(
        "{step} has not produced it: it had no such result, or it was found done or decided done without its result, \
         as with facts that are read from the output of a step; decide `skip` and do this step manually, or \
         abort, and run a plan that states the value"
    ))
}

/// A variable that an earlier step sets, or removes.
pub(super) struct Change(String, Option<VariableValue>);

/// What earlier steps of the run have set for all later ones, in their order. Before a run, when nothing is `known`, that is
/// what the plan says.
///
/// # Errors
/// [`Error`] when a step counts as done whose variables nobody knows.
pub(super) fn set_before(
    uses: &[Used],
    facts: Facts<'_>,
    part: &TaskKey,
) -> Result<Vec<Change>, Error> {
    let is_done = |used: &&Used| match facts {
        Facts::None => true,
        Facts::Of(run) => run.has_set(&used.step, part),
    };
    let mut changes = Vec::new();
    for used in uses.iter().filter(is_done) {
        match &used.action {
            Do::EnvSet(set) => {
                changes.extend(set.variables.iter().map(|(name, value)| {
                    let value = match value {
                        Given::Secret(s) => VariableValue::Secret(s.secret.clone()),
                        Given::Text(_) | Given::Number(_) | Given::Bool(_) => {
                            VariableValue::Text(value.shown())
                        }
                    };
                    Change(name.clone(), Some(value))
                }));
                changes.extend(set.unset.iter().map(|name| Change(name.clone(), None)));
            }
            Do::EnvCapture(_) => {
                let produced = used.produced.as_ref();
                let found = match (produced.map(Variables::deserialize), facts) {
                    (Some(Ok(found)), _) => found,
                    (None, Facts::None) => continue,
                    (None | Some(Err(_)), _) => {
                        let what = format!("the variables of {} are not known", used.step);
                        return Err(Error::new(what).remedy(
                            "it was decided done without its result; abort, and run a plan that sets them with env.set",
                        ));
                    }
                };
                let set = found.set.into_iter();
                changes.extend(
                    set.map(|(name, value)| Change(name, Some(VariableValue::Text(value)))),
                );
                changes.extend(found.removed.into_iter().map(|name| Change(name, None)));
            }
            _ => {}
        }
    }
    Ok(changes)
}

/// The environment: what every step has, what earlier steps have set, what stands in files, and what the plan gives, of which
/// the last counts.
pub(super) fn environment<'e>(
    step: &Step,
    (before, given): (Vec<Change>, impl Iterator<Item = &'e EnvVar>),
    from_files: &[(String, String, String)],
    run: &str,
    inputs: &mut Inputs<'_>,
) -> Result<Vec<Variable>, Error> {
    let text = |key: &str, value: String| Variable {
        key: key.into(),
        value: VariableValue::Text(value),
    };
    let mut env: Vec<Variable> = Local::environment()
        .map(|(name, value)| text(&name, value))
        .collect();
    env.push(text("UPLEDGER_RUN", run.into()));
    env.push(text("UPLEDGER_STEP", step.id.clone()));
    for Change(key, value) in before {
        env.retain(|v| v.key != key);
        env.extend(value.map(|value| Variable { key, value }));
    }
    for (key, _, path) in from_files {
        env.retain(|v| v.key != *key);
        env.push(Variable {
            key: key.clone(),
            value: VariableValue::File(path.clone()),
        });
    }
    for EnvVar { key, value } in given {
        env.retain(|v| v.key != *key);
        env.push(match value {
            Input::Text(t) => text(key, inputs.text(t)),
            Input::From(fact) => text(key, inputs.value(fact)?),
            Input::Secret(name) => Variable {
                key: key.clone(),
                value: VariableValue::Secret(name.clone()),
            },
        });
    }
    Ok(env)
}

/// The same with the values of secrets and files.
pub(super) fn resolved(
    env: &[Variable],
    secrets: &[(String, String)],
    from_files: &[(String, String)],
) -> Result<Vec<(String, String)>, Error> {
    env.iter()
        .map(|v| match &v.value {
            VariableValue::Text(t) => Ok((v.key.clone(), t.clone())),
            VariableValue::File(path) => {
                let mut known = from_files.iter();
                let found = known.find(|(key, _)| *key == v.key);
                found
                    .cloned()
                    .ok_or_else(|| Error::new(format!("{path} has no variable {}", v.key)))
            }
            VariableValue::Secret(name) => secrets
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, value)| (v.key.clone(), value.clone()))
                .ok_or_else(|| Error::new(format!("there is no secret named {name}"))),
        })
        .collect()
}
