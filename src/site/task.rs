//! One direction of a step as requests to a site: its action, its checks, its environment. No decisions.

use super::{Call, Moment, Observation, Reply, Request, withheld};
use crate::action::process::ActInput;
use crate::action::{Blob, Direction, Error, Invocation, Look, Noted, Preview, RawPast, recorded};
use crate::actions::Do;
use crate::actions::service;
use crate::actions::shell::Shell;
use crate::attempt::spec::{Command, Variable, VariableValue};
use crate::plan::{facts, put_in_run, samples};
use crate::redact::Redactor;
use crate::site::Local;
use serde_json::Value;
use std::path::{Path, PathBuf};
use upledger_replay::event::TaskKey;
use upledger_replay::facts::NoFact;
use upledger_replay::needs;
use upledger_replay::plan::{EnvVar, Input, Pair, Plan, Step, Undo};
use upledger_replay::state::{Run, Task};

/// One direction of a step, ready to be checked or executed.
#[derive(Clone)]
pub struct PreparedTask {
    /// What is run: the step's action, or that of its undo; facts of earlier steps put in.
    pub action: Do,
    /// Forwards, or the action's own undo.
    pub direction: Direction,
    /// The plan's look before.
    probe: Option<Do>,
    /// The plan's look afterwards.
    verify: Option<Do>,
    /// Any look exists.
    pub has_probe: bool,
    /// The environment as the job's spec holds it: secrets by name.
    pub env: Vec<Variable>,
    /// Its working directory.
    pub cwd: Option<String>,
    /// The facts that were put in.
    pub inputs: Vec<Pair>,
    site: Local,
    run: String,
    step: String,
    resolved_env: Vec<(String, String)>,
    /// The secrets that the step names.
    secrets: Vec<(String, String)>,
    /// All that are known.
    hidden: Vec<(String, String)>,
    timeout_ms: Option<u64>,
    family: Vec<Do>,
    was_down: Vec<String>,
    preview: bool,
    redactor: Redactor,
}

/// What facts are taken from.
#[derive(Clone, Copy)]
pub enum Facts<'a> {
    /// The steps of a run that are done.
    Of(&'a Run),
    /// Nothing: a preview, before any step has run.
    None,
}

impl PreparedTask {
    /// For a part of a plan. `secrets` may hold more than it needs.
    ///
    /// # Errors
    /// [`Error`] when a fact is not known, or the plan in the ledger asks for something that this version cannot do.
    pub fn new(
        site: &Local,
        run: &str,
        plan: &Plan,
        part: &TaskKey,
        facts: Facts<'_>,
        secrets: &[(String, String)],
    ) -> Result<Self, Error> {
        let step = plan
            .step(&part.step)
            .ok_or_else(|| Error::new(format!("the plan has no step {}", part.step)))?;
        let mut inputs = Inputs::new(facts, part, run);
        let named = needs::of_part(plan, part);
        let own: Vec<(String, String)> = secrets
            .iter()
            .filter(|(name, _)| named.contains(name))
            .cloned()
            .collect();
        let (action, direction, probe, verify, has_probe) = match (part.way, &step.undo) {
            (Direction::Do, _) => (
                &step.action,
                Direction::Do,
                step.probe.as_ref(),
                step.verify.as_ref(),
                step.has_probe,
            ),
            (Direction::Undo, Undo::Action(undo)) => (
                &undo.action,
                Direction::Do,
                undo.probe.as_ref(),
                undo.verify.as_ref(),
                undo.has_probe,
            ),
            (Direction::Undo, Undo::Own { .. }) => {
                (&step.action, Direction::Undo, None, None, true)
            }
            (Direction::Undo, Undo::PointOfNoReturn(_) | Undo::Nothing) => {
                return Err(Error::new(format!("{} has no undo", part.step)));
            }
        };
        let action = inputs.action(plan, action)?;
        let probe = probe.map(|p| inputs.action(plan, p)).transpose()?;
        let verify = verify.map(|v| inputs.action(plan, v)).transpose()?;
        let env = environment(step, run, &mut inputs)?;
        let cwd = match &step.cwd_from {
            Some(fact) => Some(inputs.directory(fact)?),
            None => step.cwd.as_ref().map(|cwd| inputs.text(cwd)),
        };
        let family = match action.kind_of().properties().family {
            true => family(plan, &part.step, &action),
            false => Vec::new(),
        };
        let was_down = match facts {
            Facts::Of(run) => was_down(run, plan, part, &action),
            Facts::None => Vec::new(),
        };
        Ok(Self {
            family,
            was_down,
            action,
            direction,
            probe,
            verify,
            has_probe,
            resolved_env: resolved(&env, &own)?,
            env,
            cwd,
            inputs: inputs.used,
            site: site.clone(),
            run: run.into(),
            step: part.step.clone(),
            redactor: Redactor::new(secrets).map_err(|e| Error::new(e.to_string()))?,
            secrets: own,
            hidden: secrets.to_vec(),
            timeout_ms: step.timeout_ms,
            preview: false,
        })
    }

    /// The same as a preview: nothing is kept, and what would change is shown.
    #[must_use]
    pub fn for_preview(self) -> Self {
        Self {
            preview: true,
            ..self
        }
    }

    /// The recorded past of a part, which its checks, its next attempt and its built-in undo use.
    #[must_use]
    pub fn past(run: &Run, part: &TaskKey) -> RawPast {
        let Some(unit) = run.unit(part) else {
            return RawPast::default();
        };
        let step = run.plan.step(&part.step);
        let own = step.is_some_and(|s| matches!(s.undo, Undo::Own { .. }));
        let forward = own || part.way == Direction::Do;
        let undoes = own && part.way == Direction::Undo;
        RawPast {
            before: if forward {
                unit.forward.observed.clone()
            } else {
                unit.backward.observed.clone()
            },
            // An undo from the plan is a separate action with its own notes.
            notes: noted(unit, |way| own || way == part.way),
            output: unit.produced.clone().filter(|_| forward),
            later: match undoes {
                true => later(run, unit, part),
                false => Vec::new(),
            },
        }
    }

    /// The undo is the action's own, which works from what the step observed.
    #[must_use]
    pub fn own_undo(&self) -> bool {
        self.direction == Direction::Undo
    }

    fn request(&self, action: &Do, call: Call, past: RawPast, blobs: Vec<Blob>) -> Request {
        Request {
            action: action.clone(),
            direction: self.direction,
            call,
            past,
            blobs,
            run: self.run.clone(),
            step: self.step.clone(),
            env: self.resolved_env.clone(),
            cwd: self.cwd.as_ref().map(PathBuf::from),
            secrets: self.secrets.clone(),
            hidden: self.hidden.clone(),
            timeout_ms: self.timeout_ms,
            family: self.family.clone(),
            was_down: self.was_down.clone(),
            preview: self.preview,
        }
    }

    /// The step's id.
    #[must_use]
    pub fn step(&self) -> &str {
        &self.step
    }

    /// How long one of its looks may take.
    #[must_use]
    pub fn deadline(&self) -> std::time::Duration {
        Moment::deadline(&self.request(&self.action, Call::Probe, RawPast::default(), Vec::new()))
    }

    /// What is there now, to be recorded for the undo.
    ///
    /// # Errors
    /// [`Error`] when it cannot see, or when what it sees holds a secret.
    pub fn observe(&self, moment: &Moment) -> Result<Observation, Error> {
        let request = self.request(&self.action, Call::Observe, RawPast::default(), Vec::new());
        let reply = moment
            .ask(&request)
            .map_err(|e| match self.withheld(&e.to_string()) {
                Some(hint) => e.or_remedy(hint),
                None => e,
            })?;
        match reply {
            Reply::Observed(observed) => Ok(observed),
            Reply::Looked { .. } => Err(Error::new("the reply does not match the request")),
        }
    }

    /// Which variables of this machine's environment, that the step does not get, explain what was said about a failure.
    #[must_use]
    pub fn withheld(&self, said: &str) -> Option<String> {
        let given: Vec<&str> = self.env.iter().map(|v| v.key.as_str()).collect();
        withheld::hint(self.action.kind(), &given, said)
    }

    /// Whether it is done, and what it then has produced.
    #[must_use]
    pub fn probe(&self, moment: &Moment, past: &RawPast, blobs: &[Blob]) -> (Look, Option<Value>) {
        let own = || self.request(&self.action, Call::Probe, past.clone(), blobs.to_vec());
        let Some(probe) = &self.probe else {
            return looked(moment.ask(&own()));
        };
        let written = self.request(probe, Call::Probe, RawPast::default(), Vec::new());
        let (look, _) = looked(moment.ask(&written));
        // The plan's probe decides; the action's own probe provides the output.
        let done = look.answer == upledger_replay::event::Answer::Done;
        let output = (done && self.action.kind_of().properties().has_probe)
            .then(|| looked(moment.ask(&own())).1);
        (look, output.flatten())
    }

    /// The evidence after it ran.
    #[must_use]
    pub fn verify(&self, moment: &Moment, past: &RawPast, blobs: &[Blob]) -> Look {
        let request = match &self.verify {
            // A separate check, which does not depend on this step.
            Some(verify) => self.request(verify, Call::Probe, RawPast::default(), Vec::new()),
            None => self.request(&self.action, Call::Verify, past.clone(), blobs.to_vec()),
        };
        looked(moment.ask(&request)).0
    }

    /// The command that the supervisor starts.
    #[must_use]
    pub fn command(&self) -> Command {
        match self.action.kind_of().invocation() {
            Invocation::Argv(words) if !self.own_undo() => {
                Command::Argv(words.iter().map(ToString::to_string).collect())
            }
            Invocation::Shell(script) if !self.own_undo() => Command::Argv(Shell::argv(&script)),
            Invocation::Argv(_) | Invocation::Shell(_) | Invocation::Own => Command::Act,
        }
    }

    /// What the attempt's own process is told, where it has one.
    #[must_use]
    pub fn frame(&self, past: &RawPast, blobs: &[Blob], spool: PathBuf) -> Option<ActInput> {
        (self.command() == Command::Act).then(|| {
            // The attempt itself is the call; the frame does not contain it.
            let request = self.request(&self.action, Call::Verify, past.clone(), blobs.to_vec());
            self.site.frame(request, spool)
        })
    }

    /// The program that a typed action would start, and the directory that it names for it.
    #[must_use]
    pub fn starts(&self) -> Option<(String, Option<PathBuf>)> {
        if self.own_undo() {
            return None;
        }
        let (program, cwd) = self.action.kind_of().properties().program?;
        Some((program, cwd.map(Into::into)))
    }

    /// The PATH that its commands are found in.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        let mut env = self.resolved_env.iter().rev();
        env.find(|(k, _)| k == "PATH").map(|(_, v)| v.as_str())
    }

    /// Its working directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        Path::new(self.cwd.as_deref().unwrap_or("/"))
    }

    /// What it does, in the language of the screen. It asks nothing.
    #[must_use]
    pub fn preview(&self, past: &RawPast) -> Preview {
        let preview = Local::preview(&self.action, self.direction, past);
        let mut preview = preview.unwrap_or_else(|_| Preview {
            // The record is from another version; the general description still applies.
            commands: self.outline(),
            ..Preview::default()
        });
        for line in preview.commands.iter_mut().chain(&mut preview.findings) {
            *line = self.redactor.text(line);
        }
        preview
    }

    /// A general description, without an observation.
    #[must_use]
    pub fn outline(&self) -> Vec<String> {
        let lines = self.action.kind_of().outline(self.direction);
        lines.iter().map(|line| self.redactor.text(line)).collect()
    }

    /// What it does, for the record.
    #[must_use]
    pub fn intent(&self, past: &RawPast) -> Vec<String> {
        let undo = self
            .own_undo()
            .then(|| format!("undo of {}", self.action.kind()));
        undo.into_iter()
            .chain(recorded(|| self.preview(past)).commands)
            .collect()
    }

    /// The action with what a look found written in.
    #[must_use]
    pub fn resolved(&self, observed: &Observation) -> Option<Value> {
        let settings = observed.resolved.clone()?;
        Some(serde_json::json!({ self.action.kind(): settings }))
    }
}

/// The actions of the steps before that one whose kinds share the first word of their names with its own.
fn family(plan: &Plan, id: &str, of: &Do) -> Vec<Do> {
    let first = |kind: &'static str| kind.split('.').next();
    let name = first(of.kind());
    let steps = plan.steps().take_while(|(_, s)| s.id != id);
    let steps = steps.filter(|(_, s)| s.left_out.is_none());
    let actions = steps.filter_map(|(_, s)| samples::shown(plan, &s.action));
    actions.filter(|a| first(a.kind()) == name).collect()
}

/// The notes of a step's directions.
fn noted(unit: &Task, of: impl Fn(Direction) -> bool) -> Vec<Noted<Value>> {
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
fn later(run: &Run, unit: &Task, part: &TaskKey) -> Vec<RawPast> {
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
fn was_down(run: &Run, plan: &Plan, part: &TaskKey, of: &Do) -> Vec<String> {
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

fn looked(reply: Result<Reply, Error>) -> (Look, Option<Value>) {
    match reply {
        Ok(Reply::Looked { look, output }) => (look, output),
        Ok(Reply::Observed(_)) => (Look::unclear("the reply does not match the request"), None),
        Err(e) => (Look::unclear(e.to_string()), None),
    }
}

/// Facts of earlier steps on their way into a step.
struct Inputs<'a> {
    facts: Facts<'a>,
    run: &'a str,
    target: &'a str,
    /// What was put in when the step was first started: it is the same for its next attempt and its undo.
    recorded: &'a [Pair],
    used: Vec<Pair>,
}

impl<'a> Inputs<'a> {
    fn new(facts: Facts<'a>, part: &'a TaskKey, run: &'a str) -> Self {
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

    fn value(&mut self, fact: &str) -> Result<String, Error> {
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
    fn action(&mut self, plan: &Plan, action: &Value) -> Result<Do, Error> {
        let action = match self.facts {
            Facts::Of(_) => &put_in_run(action, self.run),
            Facts::None => action,
        };
        facts::put_in(plan, action, &mut |fact| self.value(fact))
    }

    /// A text of the plan, with the run in the place of `${run}`.
    fn text(&self, text: &str) -> String {
        let text = Value::String(text.into());
        let put = match self.facts {
            Facts::Of(_) => put_in_run(&text, self.run),
            Facts::None => text,
        };
        put.as_str().unwrap_or_default().to_owned()
    }

    /// The fact that is the working directory.
    fn directory(&mut self, fact: &str) -> Result<String, Error> {
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

fn environment(step: &Step, run: &str, inputs: &mut Inputs<'_>) -> Result<Vec<Variable>, Error> {
    let text = |key: &str, value: String| Variable {
        key: key.into(),
        value: VariableValue::Text(value),
    };
    let mut env: Vec<Variable> = Local::environment()
        .map(|(name, value)| text(&name, value))
        .collect();
    env.push(text("UPLEDGER_RUN", run.into()));
    env.push(text("UPLEDGER_STEP", step.id.clone()));
    for EnvVar { key, value } in &step.env {
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

fn resolved(
    env: &[Variable],
    secrets: &[(String, String)],
) -> Result<Vec<(String, String)>, Error> {
    env.iter()
        .map(|v| match &v.value {
            VariableValue::Text(t) => Ok((v.key.clone(), t.clone())),
            VariableValue::Secret(name) => secrets
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, value)| (v.key.clone(), value.clone()))
                .ok_or_else(|| Error::new(format!("there is no secret named {name}"))),
        })
        .collect()
}
