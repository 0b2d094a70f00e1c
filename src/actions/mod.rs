//! Actions: what steps do. One file per kind, one line in the `registry!` below.
//!
//! An action judges by evidence, never by an exit code alone. It looks before it acts: [`Action::observe`] returns all
//! that an undo will need, and that is durable in the ledger before anything changes. Looks are read-only (they may
//! write undo material into the state directory, nothing else). `perform` and `undo` run in a process of their own
//! under the supervisor of the attempt ([`act`]); everything else runs in the runner, on a thread that may block.
//!
//! Actions never touch the ledger and decide nothing about the run.

pub mod act;
pub mod celery;
mod command;
pub mod cron;
pub mod django;
pub mod expect;
pub mod file;
mod forward;
pub mod git;
pub mod gunicorn;
pub mod http;
mod mark;
mod mask;
mod moment;
pub mod nginx;
pub mod pip;
pub mod pre_commit;
pub mod process;
mod procs;
pub mod run;
pub mod service;
pub mod shell;
pub mod stage;
pub mod values;

pub use command::{LEASH, leash};
use forward::forwarded;

/// What a look saw is evidence, which is English on every screen and in the record (`docs/decisions/0022-*`).
pub use crate::text::english as recorded;

use crate::actions::command::Captured;
pub use crate::actions::moment::Moment;
pub use crate::actions::stage::{Service, Stage};
use crate::redact::Redactor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;
use upledger_replay::event::Answer;
use upledger_replay::plan::Effect;

/// Where an action is, and what it may use. It travels to the attempt's process over a pipe, never over a disk.
#[derive(Clone, Serialize, Deserialize)]
pub struct Context {
    /// The state directory of this machine; undo material goes into `undo/` below it.
    pub state: PathBuf,
    /// Name of the run.
    pub run: String,
    /// Id of the step.
    pub step: String,
    /// The whole environment of commands that the action starts, secrets put in.
    pub env: Vec<(String, String)>,
    /// Working directory, where the step names one.
    pub cwd: Option<PathBuf>,
    /// Secrets by name, for settings that refer to one.
    pub secrets: Vec<(String, String)>,
    /// The step's time limit, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Where the attempt's escalations are written; none for looks, which have no effect.
    #[serde(default)]
    pub marks: Option<PathBuf>,
    /// The moment that its looks share; none at work, where everything is asked anew.
    #[serde(skip)]
    pub moment: Option<Moment>,
}

impl Context {
    /// No run at all: for a preview of an action that cannot be made ready.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            state: PathBuf::new(),
            run: String::new(),
            step: String::new(),
            env: Vec::new(),
            cwd: None,
            secrets: Vec::new(),
            timeout_ms: None,
            marks: None,
            moment: None,
        }
    }

    /// What follows looks again at what may have changed.
    pub(crate) fn look_anew(&self) {
        if let Some(moment) = &self.moment {
            moment.pass();
        }
    }

    /// What finds the secrets. Whatever an action shows a part of has to pass it whole first: a cut could leave half
    /// a secret that nobody finds any more.
    ///
    /// # Errors
    /// [`Trouble`] when a secret is too short to be found.
    pub fn redactor(&self) -> Result<Redactor, Trouble> {
        Redactor::new(&self.secrets).map_err(|e| Trouble::new(e.to_string()))
    }

    /// How long one of its looks may take: a minute, or as long as the step itself.
    #[must_use]
    pub fn patience(&self) -> Duration {
        command::LOOK.max(Duration::from_millis(self.timeout_ms.unwrap_or(0)))
    }

    /// The value of a secret.
    ///
    /// # Errors
    /// [`Trouble`] when the run has no secret of that name.
    pub fn secret(&self, name: &str) -> Result<&str, Trouble> {
        self.secrets
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
            .ok_or_else(|| Trouble::new(format!("there is no secret named {name}")))
    }

    /// `undo/` in the state directory, 0700, made when it is not there.
    ///
    /// # Errors
    /// [`Trouble`] when it cannot be made.
    pub fn undo_dir(&self) -> Result<PathBuf, Trouble> {
        use std::os::unix::fs::DirBuilderExt;
        let dir = self.state.join("undo");
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(|e| Trouble::io(format!("cannot make {}", dir.display()), &e))?;
        Ok(dir)
    }
}

/// Why an action could not do its work, in one line for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Trouble {
    what: String,
    sure: bool,
}

impl Trouble {
    /// From a sentence.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            sure: false,
        }
    }

    /// From a sentence about what no earlier step of a plan can change, such as a tag that a remote repository does not
    /// have: the preview says that the step would fail.
    pub fn sure(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            sure: true,
        }
    }

    /// No earlier step of a plan can change it.
    #[must_use]
    pub fn is_sure(&self) -> bool {
        self.sure
    }

    /// From a sentence and its cause.
    pub fn io(what: impl std::fmt::Display, cause: &dyn std::error::Error) -> Self {
        Self::new(format!("{what}: {cause}"))
    }
}

/// Longest line of evidence, in characters.
pub const LINE: usize = 400;
/// Most lines of evidence of one look.
const LINES: usize = 20;

/// Characters of a long line's end that are kept: that is where a remedy stands.
const END: usize = 120;

/// A line that is not too long, its end included.
fn bounded(line: &str) -> String {
    let length = line.chars().count();
    if length <= LINE {
        return line.to_owned();
    }
    let gap = " ... ";
    let begin: String = line.chars().take(LINE - END - gap.len()).collect();
    let end: String = line.chars().skip(length - END).collect();
    format!("{begin}{gap}{end}")
}

/// Where something is kept that an undo puts back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Where it is.
    pub at: String,
    /// What it was: the path, the link or the crontab that it belongs to.
    pub of: String,
}

/// What a look saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The answer.
    pub answer: Answer,
    /// What it rests on, in lines for people.
    pub evidence: Vec<String>,
}

impl Look {
    /// It is done; as verification: the evidence agrees.
    pub fn done(evidence: impl Into<String>) -> Self {
        Self {
            answer: Answer::Done,
            evidence: vec![evidence.into()],
        }
    }

    /// Nothing of it happened.
    pub fn nothing(evidence: impl Into<String>) -> Self {
        Self {
            answer: Answer::Nothing,
            evidence: vec![evidence.into()],
        }
    }

    /// As it may be recorded and shown: redacted, and then bounded.
    #[must_use]
    pub fn fit(self, redactor: &Redactor) -> Self {
        let lines: Vec<String> = self
            .evidence
            .iter()
            .flat_map(|text| {
                let text = redactor.text(text);
                text.lines().map(bounded).collect::<Vec<String>>()
            })
            .collect();
        let more = lines.len().saturating_sub(LINES);
        let mut evidence = lines;
        if more > 0 {
            evidence.truncate(LINES - 1);
            evidence.push(format!("and {} more lines", more + 1));
        }
        Self { evidence, ..self }
    }

    /// Half done, or it cannot be told.
    pub fn unclear(evidence: impl Into<String>) -> Self {
        Self {
            answer: Answer::Unclear,
            evidence: vec![evidence.into()],
        }
    }
}

/// What the supervisor starts for a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invocation {
    /// These words, without a shell.
    Argv(Vec<Arg>),
    /// This script, by `sh -e`.
    Shell(String),
    /// [`Action::perform`] or [`Action::undo`], in a process of its own.
    Own,
}

/// One word of a command: a string, or a fact of an earlier step that is put in when the step starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Arg {
    /// A string.
    Text(String),
    /// A fact of an earlier step.
    From(From),
}

/// A fact of an earlier step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct From {
    /// `step.fact`.
    pub from: String,
}

impl std::fmt::Display for Arg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(t) => f.write_str(t),
            Self::From(fact) => write!(f, "{{from: {}}}", fact.from),
        }
    }
}

/// One kind of action.
///
/// Defaults describe an action without evidence of its own: unsafe, no probe, no undo.
pub trait Action: Send + Sync {
    /// What running it twice would mean.
    fn effect(&self) -> Effect {
        Effect::Unsafe
    }

    /// [`Action::probe`] gives a real answer.
    fn has_probe(&self) -> bool {
        false
    }

    /// [`Action::undo`] and [`Action::undone`] exist.
    fn has_undo(&self) -> bool {
        false
    }

    /// Without an undo of its own, the plan has to say how it is reversed.
    fn needs_undo(&self) -> bool {
        self.effect() != Effect::Pure
    }

    /// It is read-only, so it may serve as a step's `probe` or `verify`.
    fn looks(&self) -> bool {
        false
    }

    /// Where it stands in an upgrade, for the order rules of `check` (`src/plan/order.rs`): `nginx.stop` says
    /// `vec![Stage::Stop(Service::Front)]`, `expect.stopped` says `vec![Stage::Confirm]`, `celery.start` of a beat says
    /// `vec![Stage::Start(Service::Beat)]`. More than one where one step does several at once; none where its place
    /// cannot be known.
    fn stages(&self) -> Vec<Stage> {
        Vec::new()
    }

    /// What of it is looked for in the step's `cwd`, where it cannot do without one: `manage.py`, a requirement file.
    fn below_cwd(&self) -> Option<&str> {
        None
    }

    /// Rules about its settings that types cannot say; each problem in one line.
    fn problems(&self) -> Vec<String> {
        Vec::new()
    }

    /// What the supervisor starts.
    fn invocation(&self) -> Invocation {
        Invocation::Own
    }

    /// The program that it starts itself, and the directory that it names for it: a preview looks whether they are there.
    fn program(&self) -> Option<(&str, Option<&str>)> {
        None
    }

    /// What is there now, and all that the undo will need.
    ///
    /// # Errors
    /// [`Trouble`] when it cannot see; the step is not started then.
    fn observe(&self, _cx: &Context) -> Result<Value, Trouble> {
        Ok(Value::Null)
    }

    /// What it does, in lines for people and in their language; the intent holds them in English.
    fn commands(&self, cx: &Context) -> Vec<String>;

    /// What the look before found that a reader of the preview wants to know, in lines, such as the commit of a tag.
    fn found(&self, _observed: &Value) -> Vec<String> {
        Vec::new()
    }

    /// Its settings with what the look before found written in, so that what is approved is what runs: a tag becomes a
    /// commit. None where there is nothing to write in.
    fn resolved(&self, _observed: &Value) -> Option<Value> {
        None
    }

    /// Its settings hold what was approved and the world may have left behind, such as the commit of a tag: a run looks
    /// at once whether that still is so, before it stops anything.
    fn approved(&self) -> bool {
        false
    }

    /// A unified diff of what it would change now, where it can be shown.
    ///
    /// # Errors
    /// [`Trouble`] when it cannot see.
    fn diff(&self, _cx: &Context) -> Result<Option<String>, Trouble> {
        Ok(None)
    }

    /// Whether it is done. Before the first attempt `observed` is what [`Action::observe`] has just returned.
    ///
    /// # Errors
    /// [`Trouble`] when it cannot see; that counts as unclear.
    fn probe(&self, _cx: &Context, _observed: &Value) -> Result<Look, Trouble> {
        Ok(Look::unclear("this action has no probe"))
    }

    /// Does it, in a process of its own. What it writes to `log` is the step's output.
    ///
    /// # Errors
    /// [`Trouble`] fails the attempt.
    fn perform(
        &self,
        _cx: &Context,
        _observed: &Value,
        _log: &mut dyn Write,
    ) -> Result<(), Trouble> {
        Err(Trouble::new("this action is a command"))
    }

    /// The evidence after it ran: `Done` agrees, everything else fails the attempt.
    ///
    /// # Errors
    /// [`Trouble`] when it cannot see; that fails the attempt.
    fn verify(&self, _cx: &Context, _observed: &Value) -> Result<Look, Trouble> {
        Ok(Look {
            answer: Answer::Done,
            evidence: Vec::new(),
        })
    }

    /// What [`Action::undo`] does, for people who read a plan.
    fn undoing(&self) -> Option<String> {
        None
    }

    /// Where the former content is that [`Action::undo`] puts back, for people whom the undo has left alone with it.
    fn kept(&self, _cx: &Context, _observed: &Value) -> Vec<Kept> {
        Vec::new()
    }

    /// Reverses it from what was observed, in a process of its own. It must cope with a step that is half done.
    ///
    /// # Errors
    /// [`Trouble`] fails the attempt.
    fn undo(&self, _cx: &Context, _observed: &Value, _log: &mut dyn Write) -> Result<(), Trouble> {
        Err(Trouble::new("this action has no undo"))
    }

    /// Whether things are as observed again: evidence after the undo, and its probe.
    ///
    /// # Errors
    /// [`Trouble`] when it cannot see.
    fn undone(&self, _cx: &Context, _observed: &Value) -> Result<Look, Trouble> {
        Ok(Look::unclear("this action has no undo"))
    }
}

/// Makes the type of a step's `do` from the list of actions.
macro_rules! registry {
    ($($(#[$doc:meta])* $name:literal => $variant:ident($kind:ty)),+ $(,)?) => {
        /// A step's action: one key that names its kind, and its settings.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        pub enum Do {
            $($(#[$doc])* #[serde(rename = $name)] $variant($kind)),+
        }

        impl Do {
            /// The names of all kinds.
            pub const KINDS: &'static [&'static str] = &[$($name),+];

            /// The name of its kind.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name),+ }
            }

            /// What it does, in lines for the record: English, whatever the screen speaks.
            #[must_use]
            pub fn intent(&self, cx: &Context) -> Vec<String> {
                recorded(|| self.action().commands(cx))
            }

            /// Its behaviour.
            #[must_use]
            pub fn action(&self) -> &dyn Action {
                match self { $(Self::$variant(a) => a),+ }
            }
        }
    };
}

registry! {
    /// A command, word by word, without a shell.
    "run" => Run(run::Run),
    /// A script for `sh`.
    "shell" => Shell(shell::Shell),
    /// A copy of a file, proved by reading it back.
    "file.backup" => FileBackup(file::backup::Backup),
    /// A whole file, replaced atomically.
    "file.replace" => FileReplace(file::replace::Replace),
    /// One line of a file.
    "file.line" => FileLine(file::line::Line),
    /// How many processes there are.
    "expect.process" => ExpectProcess(expect::process::Process),
    /// Whether a TCP port is open.
    "expect.port" => ExpectPort(expect::port::PortState),
    /// Nothing of the platform runs any more.
    "expect.stopped" => ExpectStopped(expect::stopped::Stopped),
    /// Whether a file is there, and what it is.
    "expect.file" => ExpectFile(expect::file::File),
    /// How a read-only command ends.
    "expect.command" => ExpectCommand(expect::command::Command),
    /// A daemon is started and ready.
    "process.start" => ProcessStart(process::start::Start),
    /// A daemon of `process.start` is stopped.
    "process.stop" => ProcessStop(process::stop::Stop),
    /// The web application's server is stopped.
    "gunicorn.stop" => GunicornStop(gunicorn::stop::Stop),
    /// The web application's server is started and ready.
    "gunicorn.start" => GunicornStart(gunicorn::start::Start),
    /// The web application's server takes new workers.
    "gunicorn.reload" => GunicornReload(gunicorn::reload::Reload),
    /// Nginx is stopped.
    "nginx.stop" => NginxStop(nginx::stop::Stop),
    /// Nginx is started and answers.
    "nginx.start" => NginxStart(nginx::start::Start),
    /// Nginx takes its new configuration.
    "nginx.reload" => NginxReload(nginx::reload::Reload),
    /// A maintenance page is switched on, or off.
    "nginx.maintenance" => NginxMaintenance(nginx::maintenance::Maintenance),
    /// A service of any kind is stopped.
    "service.stop" => ServiceStop(service::stop::Stop),
    /// A service of any kind is started and ready.
    "service.start" => ServiceStart(service::start::Start),
    /// Celery's workers are drained and stopped, or its beat is stopped.
    "celery.stop" => CeleryStop(celery::stop::Stop),
    /// Celery's workers, or its beat, are started and answer.
    "celery.start" => CeleryStart(celery::start::Start),
    /// A working clone stands at exactly one commit.
    "git.deploy" => GitDeploy(git::Deploy),
    /// Jobs of a crontab are put off.
    "cron.disable" => CronDisable(cron::disable::Disable),
    /// Jobs of a crontab are put on again.
    "cron.enable" => CronEnable(cron::enable::Enable),
    /// A virtualenv of one release is built beside the old one, proved to start, and switched to.
    "pip.install" => PipInstall(pip::Install),
    /// The hooks of pre-commit are in a repository; not for production hosts.
    "pre_commit.install" => PreCommitInstall(pre_commit::Install),
    /// Django's own checks find nothing bad.
    "django.check" => DjangoCheck(django::check::Check),
    /// Static files are collected, compared and seen to be served.
    "django.collectstatic" => DjangoCollectstatic(django::collectstatic::Collectstatic),
    /// A page answers as it should.
    "http.check" => HttpCheck(http::Check),
}

impl Captured {
    /// The answer that a command's exit code gives when it serves as a look: 0 done, 1 nothing, else unclear.
    fn look(&self, what: &str) -> Look {
        let mut evidence = vec![format!("{what}: {}", self.ended)];
        evidence.extend(self.tail(5));
        let answer = match self.code {
            Some(0) => Answer::Done,
            Some(1) => Answer::Nothing,
            _ => Answer::Unclear,
        };
        Look { answer, evidence }
    }
}
