//! One direction of a step as requests to a site: its action, its checks, its environment. No decisions.

use super::inputs::{Facts, Inputs, environment, resolved, set_before};
use super::others::{family, later, noted, undoable, used, was_down};
use super::{Call, Moment, Observation, Reply, Request, env_file, withheld};
use crate::action::process::ActInput;
use crate::action::{
    Blob, Consequences, Direction, Error, Invocation, Kin, Look, Preview, Properties, RawPast,
    Undoable, Used, recorded,
};
use crate::actions::Do;
use crate::actions::shell::Shell;
use crate::attempt::spec::{Command, Variable};
use crate::redact::Redactor;
use crate::site::Local;
use serde_json::Value;
use std::path::{Path, PathBuf};
use upledger_replay::event::TaskKey;
use upledger_replay::needs;
use upledger_replay::plan::{ActionSpec, EnvFile, Pair, Plan, Undo};
use upledger_replay::runs::Runs;
use upledger_replay::state::Run;

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
    /// Variables that were read from files, with their values.
    pub from_files: Vec<(String, String)>,
    /// Those of which the plan says that they are secrets.
    pub file_secrets: Vec<(String, String)>,
    /// The secrets that the step names.
    secrets: Vec<(String, String)>,
    /// All that are known.
    hidden: Vec<(String, String)>,
    timeout_ms: Option<u64>,
    family: Vec<Kin>,
    was_down: Vec<String>,
    live: bool,
    undoable: Vec<Undoable>,
    uses: Vec<Used>,
    preview: bool,
    redactor: Redactor,
}

impl PreparedTask {
    /// For a part of a plan, which is the run's own where the facts are of a run. `secrets` may hold more than it needs.
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
        let step = match facts {
            // A run finds it without a search, and asks several times for each step.
            Facts::Of(run) => run.step_named(&part.step),
            Facts::None => plan.step(&part.step),
        };
        let step = step.ok_or_else(|| Error::new(format!("the plan has no step {}", part.step)))?;
        let mut inputs = Inputs::new(facts, part, run);
        let named = needs::of_way(plan, step, part.way);
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
            // A check at the end of a rollback.
            (Direction::Undo, Undo::Nothing) if step.is_check() => (
                &step.action,
                Direction::Do,
                None,
                step.verify.as_ref(),
                false,
            ),
            (Direction::Undo, Undo::PointOfNoReturn(_) | Undo::Nothing) => {
                return Err(Error::new(format!("{} has no undo", part.step)));
            }
        };
        let action = inputs.action(plan, action)?;
        let probe = probe.map(|p| inputs.action(plan, p)).transpose()?;
        let verify = verify.map(|v| inputs.action(plan, v)).transpose()?;
        let mut from_files: Vec<(String, String, String)> = Vec::new();
        let mut file_secrets: Vec<(String, String)> = Vec::new();
        for file in &step.env_files {
            let file = EnvFile {
                path: inputs.text(&file.path),
                ..file.clone()
            };
            let content = env_file::read(&file)?;
            for (key, value) in content.variables {
                from_files.retain(|(known, ..)| *known != key);
                from_files.push((key, value, file.path.clone()));
            }
            file_secrets.extend(content.secrets);
        }
        let own_env = match (part.way, &step.undo) {
            (Direction::Undo, Undo::Action(undo)) => undo.env.as_slice(),
            (Direction::Do | Direction::Undo, _) => &[],
        };
        let given = step.env.iter().chain(own_env);
        let uses = used(plan, part, facts, run, step);
        let before = set_before(&uses, facts, part)?;
        let env = environment(step, (before, given), &from_files, run, &mut inputs)?;
        let from_files: Vec<(String, String)> = from_files
            .into_iter()
            .map(|(key, value, _)| (key, value))
            .collect();
        let mut own = own;
        let mut hidden = secrets.to_vec();
        for secret in &file_secrets {
            own.push(secret.clone());
            hidden.push(secret.clone());
        }
        let cwd = match &step.cwd_from {
            Some(fact) => Some(inputs.directory(fact)?),
            None => step.cwd.as_ref().map(|cwd| inputs.text(cwd)),
        };
        let family = match action.kind_of().properties().family {
            Some(which) => family(plan, part, &action, which, facts),
            None => Vec::new(),
        };
        let was_down = match facts {
            Facts::Of(run) => was_down(run, plan, part, &action),
            Facts::None => Vec::new(),
        };
        Ok(Self {
            family,
            was_down,
            live: step.live,
            undoable: Vec::new(),
            uses,
            action,
            direction,
            probe,
            verify,
            has_probe,
            resolved_env: resolved(&env, &own, &from_files)?,
            from_files,
            file_secrets,
            env,
            cwd,
            inputs: inputs.used,
            site: site.clone(),
            run: run.into(),
            step: part.step.clone(),
            redactor: Redactor::new(&hidden).map_err(|e| Error::new(e.to_string()))?,
            secrets: own,
            hidden,
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

    /// The same with what the undos of these runs name, where the kind has to know that.
    #[must_use]
    pub fn after(self, runs: &Runs) -> Self {
        let undoable = match self.action.kind_of().properties().prunes {
            true => undoable(runs),
            false => Vec::new(),
        };
        Self { undoable, ..self }
    }

    /// The recorded past of a part, which its checks, its next attempt and its built-in undo use.
    #[must_use]
    pub fn past(run: &Run, part: &TaskKey) -> RawPast {
        let Some(unit) = run.unit(part) else {
            return RawPast::default();
        };
        let step = run.step_named(&part.step);
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
            live: self.live,
            undoable: self.undoable.clone(),
            uses: self.uses.clone(),
            preview: self.preview,
        }
    }

    /// What is known of its action without a look.
    #[must_use]
    pub fn properties(&self) -> Properties {
        self.action.kind_of().informed(&self.uses)
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
            Reply::Looked { .. } | Reply::Consequences(_) => {
                Err(Error::new("the reply does not match the request"))
            }
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

    /// What the undo would mean now.
    #[must_use]
    pub fn consequences(&self, moment: &Moment, past: &RawPast, blobs: &[Blob]) -> Consequences {
        let call = Call::Consequences;
        match moment.ask(&self.request(&self.action, call, past.clone(), blobs.to_vec())) {
            Ok(Reply::Consequences(consequences)) => consequences,
            Ok(Reply::Observed(_) | Reply::Looked { .. }) | Err(_) => Consequences::default(),
        }
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
    pub fn resolved(&self, observed: &Observation) -> Option<ActionSpec> {
        let settings = observed.resolved.clone()?;
        Some(ActionSpec::new(self.action.kind(), settings))
    }
}

fn looked(reply: Result<Reply, Error>) -> (Look, Option<Value>) {
    match reply {
        Ok(Reply::Looked { look, output }) => (look, output),
        Ok(Reply::Observed(_) | Reply::Consequences(_)) => {
            (Look::unclear("the reply does not match the request"), None)
        }
        Err(e) => (Look::unclear(e.to_string()), None),
    }
}
