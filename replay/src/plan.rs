//! The resolved plan: what was approved, what stands in `run.planned`, and what runs. Nothing else is read again.
//!
//! Variables are already put in, files and refs are resolved; secrets are names, never values. The settings
//! of an action are kept as the JSON value that its type in the program reads, because no decision depends on what an
//! action does. The digest of a
//! plan is the SHA-256 of its canonical JSON.

pub use crate::spec::ActionSpec;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The target of every step until plans name hosts.
pub const LOCAL: &str = "local";

/// A whole plan, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Version of the plan format.
    pub upledger: u32,
    /// What people call it.
    pub name: String,
    /// The environment that it is for, in the author's words.
    pub environment: Option<String>,
    /// The change record that it belongs to.
    pub change: Option<Change>,
    /// What a failed step leads to.
    pub on_failure: OnFailure,
    /// Variables as they were put in, for the reader of the ledger.
    pub vars: Vec<Pair>,
    /// Where each secret comes from.
    pub secrets: Vec<Secret>,
    /// In order; each has at least one step.
    pub phases: Vec<Phase>,
}

/// A name and its value; a map whose keys are free is stored as a list of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// The name.
    pub key: String,
    /// The value.
    pub value: String,
}

/// The change ticket, as the plan states it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Its id in the change system.
    pub id: String,
    /// Why.
    pub reason: Option<String>,
    /// The author's own estimate.
    pub risk: Option<String>,
    /// What users will notice.
    pub impact: Option<String>,
    /// What it touches.
    pub services: Vec<String>,
}

/// What a failed step leads to, once its retries are spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The run stops; a person decides.
    Ask,
    /// The run turns round at once, unless a point of no return lies behind it.
    Rollback,
}

/// A secret's name and source. Its value is never here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// The name that steps use.
    pub name: String,
    /// Where the value is read when it is needed.
    pub source: SecretSource,
}

/// Where a secret's value is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// An environment variable of the runner.
    Env(String),
    /// A file, whose last line break is dropped.
    File(String),
    /// The standard output of a command, whose last line break is dropped.
    Command(Vec<String>),
}

/// A named group of steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Its name.
    pub phase: String,
    /// In order.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Unique in the plan.
    pub id: String,
    /// Where it runs; [`LOCAL`] for this machine.
    pub targets: Vec<String>,
    /// The action.
    pub action: ActionSpec,
    /// The read-only look that says whether it is done, where the plan gives one.
    pub probe: Option<ActionSpec>,
    /// The read-only look that must agree after it ran, where the plan gives one.
    pub verify: Option<ActionSpec>,
    /// A look exists: the plan's or the action's own.
    pub has_probe: bool,
    /// How it is reversed.
    pub undo: Undo,
    /// What running it twice would mean.
    pub effect: Effect,
    /// What doubt leads to.
    pub on_doubt: OnDoubt,
    /// How long one attempt may take, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// What a failure leads to at first.
    pub retry: Retry,
    /// Why the step is left out of this run, where its `when` does not hold.
    pub left_out: Option<String>,
    /// Why the plan's author overrides a rule.
    pub why: Option<String>,
    /// It runs beside a living service, which it must not touch.
    #[serde(default, skip_serializing_if = "is_false")]
    pub live: bool,
    /// Environment of the command; nothing else of the runner's is passed but a short list of names.
    pub env: Vec<EnvVar>,
    /// Files from which more of it is read when the step starts; a later one goes before an earlier one, and `env` before
    /// all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env_files: Vec<EnvFile>,
    /// Working directory.
    pub cwd: Option<String>,
    /// The fact of an earlier step that is its working directory, where the plan says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd_from: Option<String>,
    /// It shuts users out.
    #[serde(default, skip_serializing_if = "is_false")]
    pub closes: bool,
    /// It lets users in again.
    #[serde(default, skip_serializing_if = "is_false")]
    pub opens: bool,
    /// Its undo brings back an older copy of data that users change.
    #[serde(default, skip_serializing_if = "is_false")]
    pub restores: bool,
    /// The earlier steps that its actions name, such as the backup of a migration. Their secrets are this step's, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<String>,
    /// What later steps may use of its output.
    pub facts: Vec<Fact>,
    /// It is a check that has to hold after a rollback of everything, too.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub after_rollback: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks it so")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// One variable of a command's environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvVar {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: Input,
}

/// A file of environment variables. Its content is never here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvFile {
    /// An absolute path.
    pub path: String,
    /// How it is written.
    pub dialect: Dialect,
    /// The variables whose values are secrets.
    pub secrets: Vec<String>,
}

/// How a file of environment variables is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// As systemd reads an `EnvironmentFile=`.
    #[default]
    Systemd,
    /// As python-dotenv reads a `.env`.
    Dotenv,
}

/// A value that is known now, or only when the step starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Known now.
    Text(String),
    /// A secret's name.
    Secret(String),
    /// `step.fact` of an earlier step.
    From(String),
}

/// Something to be read out of a step's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// Its name.
    pub name: String,
    /// A path of keys and indexes into the output read as JSON, such as `.rows` or `.hosts[0].id`.
    pub json: String,
}

/// How a step is reversed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// The action's own undo, from what it observed before it changed anything.
    Own {
        /// What doubt about the undo leads to.
        on_doubt: OnDoubt,
    },
    /// Written out in the plan.
    Action(UndoAction),
    /// A rollback cannot go behind this step.
    PointOfNoReturn(String),
    /// There is nothing to reverse.
    Nothing,
}

/// An undo written out in the plan: an action with an effect, a probe and a doubt of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UndoAction {
    /// What is run.
    pub action: ActionSpec,
    /// The read-only look that says whether it is undone.
    pub probe: Option<ActionSpec>,
    /// The read-only look that must agree afterwards.
    pub verify: Option<ActionSpec>,
    /// A look exists.
    pub has_probe: bool,
    /// What running it twice would mean.
    pub effect: Effect,
    /// What doubt leads to.
    pub on_doubt: OnDoubt,
    /// Environment of its command in addition to that of the step, before which it goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
}

/// What running a step twice would mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It changes nothing.
    Pure,
    /// Twice is as good as once.
    Idempotent,
    /// A look tells for certain whether it is done.
    Probed,
    /// Never twice without a person's word.
    Unsafe,
}

/// What doubt about an attempt leads to, where no probe settles it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDoubt {
    /// A person decides.
    Ask,
    /// The author says: run it again.
    Retry,
}

/// Further attempts after a failure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// How many beyond the first.
    pub times: u32,
    /// Pause before each, in milliseconds.
    pub wait_ms: u64,
}

impl Plan {
    /// All steps with the name of their phase, in the order of the run.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = (&str, &Step)> {
        self.phases
            .iter()
            .flat_map(|p| p.steps.iter().map(move |s| (p.phase.as_str(), s)))
    }

    /// The checks that have to hold after a rollback, in the order of the run.
    pub fn checks_after_rollback(&self) -> impl Iterator<Item = &Step> {
        let checks = |s: &&Step| s.is_check();
        self.steps().map(|(_, s)| s).filter(checks)
    }

    /// The step of that name.
    #[must_use]
    pub fn step(&self, id: &str) -> Option<&Step> {
        self.steps().map(|(_, s)| s).find(|s| s.id == id)
    }
}

/// Kinds whose variables all later steps get.
const ENVIRONMENT: [&str; 2] = ["env.set", "env.capture"];

/// Whether a step of that kind sets the environment of all later steps.
#[must_use]
pub fn sets_environment(kind: &str) -> bool {
    ENVIRONMENT.contains(&kind)
}

impl Step {
    /// A rollback of everything ends with it: it is a check, and not left out.
    #[must_use]
    pub fn is_check(&self) -> bool {
        self.after_rollback && self.left_out.is_none()
    }
}
