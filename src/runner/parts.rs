//! From a plan's part to what is done with it: its action, its looks, its environment. No decisions.

use crate::actions::{Context, Do, Invocation, Look, Trouble, recorded, shell::Shell};
use crate::attempt::spec::{Command, Variable, VariableValue};
use crate::redact::Redactor;
use serde_json::Value;
use std::path::Path;
use upledger_replay::event::{Part, Way};
use upledger_replay::plan::{EnvVar, Input, Plan, Step, Undo};
use upledger_replay::state::Run;

/// The run whose steps have handed on facts; none for a preview.
pub type Facts<'a> = Option<&'a Run>;

/// Names of the runner's environment that every command gets.
const PASSED: [&str; 11] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LC_MESSAGES",
    "TZ",
    "TMPDIR",
];

/// One direction of a step, ready to be looked at or done.
#[derive(Clone)]
pub struct Work {
    /// What is run: the step's action, or that of its undo.
    pub action: Do,
    /// The undo is the action's own.
    pub own_undo: bool,
    /// The plan's look before.
    pub probe: Option<Do>,
    /// The plan's look afterwards.
    pub verify: Option<Do>,
    /// Any look exists.
    pub has_probe: bool,
    /// Where it is and what it may use.
    pub context: Context,
    /// The environment as the job's spec holds it: secrets by name.
    pub env: Vec<Variable>,
    /// Nothing that is seen leaves this room but through it.
    redactor: Redactor,
}

fn read(value: &Value) -> Result<Do, Trouble> {
    serde_json::from_value(value.clone())
        .map_err(|e| Trouble::io("the plan's action cannot be read", &e))
}

fn maybe(value: Option<&Value>) -> Result<Option<Do>, Trouble> {
    value.map(read).transpose()
}

impl Work {
    /// For a part of a plan.
    ///
    /// # Errors
    /// [`Trouble`] when the plan in the ledger asks for something that this version cannot do.
    pub fn new(
        state: &Path,
        run: &str,
        plan: &Plan,
        part: &Part,
        facts: Facts<'_>,
        secrets: &[(String, String)],
    ) -> Result<Self, Trouble> {
        let step = facts
            .map_or_else(|| plan.step(&part.step), |run| run.step_named(&part.step))
            .ok_or_else(|| Trouble::new(format!("the plan has no step {}", part.step)))?;
        let env = environment(step, run, facts)?;
        let context = Context {
            state: state.to_path_buf(),
            run: run.into(),
            step: part.step.clone(),
            env: resolved(&env, secrets)?,
            cwd: step.cwd.as_ref().map(Into::into),
            secrets: secrets.to_vec(),
            timeout_ms: step.timeout_ms,
            marks: None,
            moment: Some(crate::actions::Moment::default()),
        };
        let redactor = context.redactor()?;
        let mut work = match (part.way, &step.undo) {
            (Way::Do, _) => Self {
                action: read(&step.action)?,
                own_undo: false,
                probe: maybe(step.probe.as_ref())?,
                verify: maybe(step.verify.as_ref())?,
                has_probe: step.has_probe,
                context,
                env,
                redactor,
            },
            (Way::Undo, Undo::Action(undo)) => Self {
                action: read(&undo.action)?,
                own_undo: false,
                probe: maybe(undo.probe.as_ref())?,
                verify: maybe(undo.verify.as_ref())?,
                has_probe: undo.has_probe,
                context,
                env,
                redactor,
            },
            (Way::Undo, Undo::Own { .. }) => Self {
                action: read(&step.action)?,
                own_undo: true,
                probe: None,
                verify: None,
                has_probe: true,
                context,
                env,
                redactor,
            },
            (Way::Undo, Undo::PointOfNoReturn(_) | Undo::Nothing) => {
                return Err(Trouble::new(format!("{} has no undo", part.step)));
            }
        };
        for action in [
            Some(&mut work.action),
            work.probe.as_mut(),
            work.verify.as_mut(),
        ]
        .into_iter()
        .flatten()
        {
            put_in(action, facts)?;
        }
        Ok(work)
    }

    /// What is there now, to be recorded for the undo.
    ///
    /// # Errors
    /// [`Trouble`] when it cannot see, or when what it sees holds a secret: recorded as it is, it would give the secret
    /// away; redacted, the undo would put the redaction back.
    pub fn observe(&self) -> Result<Value, Trouble> {
        self.context.look_anew();
        let observed =
            recorded(|| self.action.action().observe(&self.context)).map_err(|e| self.told(&e))?;
        match self.redactor.found_in_value(&observed) {
            None => Ok(observed),
            Some(name) => Err(Trouble::new(format!(
                "what must be recorded for the undo contains the value of the secret {name}"
            ))),
        }
    }

    /// What the look before tells a reader of the preview, and the action with that written in.
    #[must_use]
    pub fn found(&self, observed: &Value) -> (Vec<String>, Option<Value>) {
        let action = self.action.action();
        let lines = action.found(observed);
        let resolved = action
            .resolved(observed)
            .map(|settings| serde_json::json!({ self.action.kind(): settings }));
        (
            lines.iter().map(|l| self.redactor.text(l)).collect(),
            resolved,
        )
    }

    /// Whether it is done.
    #[must_use]
    pub fn probe(&self, observed: &Value) -> Look {
        self.seen(|| match &self.probe {
            Some(probe) => probe.action().probe(&self.context, &Value::Null),
            None if self.own_undo => self.action.action().undone(&self.context, observed),
            None => self.action.action().probe(&self.context, observed),
        })
    }

    /// The evidence after it ran.
    #[must_use]
    pub fn verify(&self, observed: &Value) -> Look {
        self.context.look_anew();
        self.seen(|| match &self.verify {
            Some(verify) => verify.action().probe(&self.context, &Value::Null),
            None if self.own_undo => self.action.action().undone(&self.context, observed),
            None => self.action.action().verify(&self.context, observed),
        })
    }

    /// What it would change now, where that can be shown.
    ///
    /// # Errors
    /// [`Trouble`] when it cannot see.
    pub fn diff(&self) -> Result<Option<String>, Trouble> {
        match self.action.action().diff(&self.context) {
            Ok(diff) => Ok(diff.map(|d| self.redactor.text(&d))),
            Err(e) => Err(self.told(&e)),
        }
    }

    fn seen(&self, look: impl FnOnce() -> Result<Look, Trouble>) -> Look {
        recorded(look)
            .unwrap_or_else(|e| Look::unclear(e.to_string()))
            .fit(&self.redactor)
    }

    /// A trouble as it may be recorded and shown.
    fn told(&self, trouble: &Trouble) -> Trouble {
        let look = Look::unclear(trouble.to_string()).fit(&self.redactor);
        let told = look.evidence.join("; ");
        if trouble.is_sure() {
            Trouble::sure(told)
        } else {
            Trouble::new(told)
        }
    }

    /// The command that the supervisor starts.
    #[must_use]
    pub fn command(&self) -> Command {
        match self.action.action().invocation() {
            Invocation::Argv(words) if !self.own_undo => {
                Command::Argv(words.iter().map(ToString::to_string).collect())
            }
            Invocation::Shell(script) if !self.own_undo => Command::Argv(Shell::argv(&script)),
            Invocation::Argv(_) | Invocation::Shell(_) | Invocation::Own => Command::Act,
        }
    }

    /// The program that a typed action would start, and the directory that it names for it.
    #[must_use]
    pub fn starts(&self) -> Option<(String, Option<std::path::PathBuf>)> {
        if self.own_undo {
            return None;
        }
        let (program, cwd) = self.action.action().program()?;
        Some((program.into(), cwd.map(Into::into)))
    }

    /// What it does, in the language of the screen.
    #[must_use]
    pub fn preview(&self) -> Vec<String> {
        let lines = self.action.action().commands(&self.context);
        lines.iter().map(|line| self.redactor.text(line)).collect()
    }

    /// What it does, for the record.
    #[must_use]
    pub fn shown(&self) -> Vec<String> {
        let preview = self.action.intent(&self.context);
        let undo = self
            .own_undo
            .then(|| format!("undo of {}", self.action.kind()));
        undo.into_iter()
            .chain(preview.iter().map(|line| self.redactor.text(line)))
            .collect()
    }
}

/// Puts facts into the words of a command.
fn put_in(action: &mut Do, facts: Facts<'_>) -> Result<(), Trouble> {
    use crate::actions::Arg;
    if let Do::Run(run) = action {
        for word in &mut run.0 {
            if let Arg::From(fact) = word {
                *word = Arg::Text(known(facts, &fact.from)?);
            }
        }
    }
    Ok(())
}

fn known(facts: Facts<'_>, name: &str) -> Result<String, Trouble> {
    let target = upledger_replay::plan::LOCAL;
    let known = facts.and_then(|run| run.fact(name, target).ok());
    known.map(str::to_owned).ok_or_else(|| {
        let step = name.split_once('.').map_or(name, |(step, _)| step);
        Trouble::new(format!(
            "the fact {name} is not known, because no attempt of {step} succeeded in this run: it was found done, or a \
             person decided on it, so there was no output to read; do what this step does by hand and decide `skip`, \
             or abort, and run a plan that states the value"
        ))
    })
}

fn environment(step: &Step, run: &str, facts: Facts<'_>) -> Result<Vec<Variable>, Trouble> {
    let text = |key: &str, value: String| Variable {
        key: key.into(),
        value: VariableValue::Text(value),
    };
    let mut env: Vec<Variable> = PASSED
        .iter()
        .filter_map(|name| std::env::var(name).ok().map(|v| text(name, v)))
        .collect();
    env.push(text("UPLEDGER_RUN", run.into()));
    env.push(text("UPLEDGER_STEP", step.id.clone()));
    for EnvVar { key, value } in &step.env {
        env.retain(|v| v.key != *key);
        env.push(match value {
            Input::Text(t) => text(key, t.clone()),
            Input::From(fact) => text(key, known(facts, fact)?),
            Input::Secret(name) => Variable {
                key: key.clone(),
                value: VariableValue::Secret(name.clone()),
            },
        });
    }
    Ok(env)
}

fn resolved(
    env: &[Variable],
    secrets: &[(String, String)],
) -> Result<Vec<(String, String)>, Trouble> {
    env.iter()
        .map(|v| match &v.value {
            VariableValue::Text(t) => Ok((v.key.clone(), t.clone())),
            VariableValue::Secret(name) => secrets
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, value)| (v.key.clone(), value.clone()))
                .ok_or_else(|| Trouble::new(format!("there is no secret named {name}"))),
        })
        .collect()
}
