//! Calls actions on this machine. Every call is passed as data, a [`Request`] and its [`Reply`], so that a host over SSH
//! can become a second site.
//!
//! Nothing else calls an action. Checks of one [`Moment`] share their queries; a cancelled moment leaves no process behind.
//! The output of an action is redacted here and truncated afterwards.

pub mod env_file;
mod inputs;
mod interrupt;
mod others;
pub mod task;
pub mod withheld;

pub use inputs::Facts;
pub use interrupt::Interruptible;
pub(crate) use interrupt::heard;

use crate::action::process::ActInput;
use crate::action::{
    Answers, Blob, Consequences, Context, Direction, Error, Kin, Look, Preview, RawPast, Undoable,
    Used, recorded,
};
use crate::actions::Do;
use crate::redact::Redactor;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Names of the site's environment that every command gets.
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

/// What is asked of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// The current state, before anything is changed.
    Observe,
    /// Whether it is done, or undone.
    Probe,
    /// The evidence after it ran, or was undone.
    Verify,
    /// What its undo would mean now; forwards, what it would replace as the undo that a plan writes.
    Consequences,
}

/// One call of an action, with all that it needs.
#[derive(Clone, Serialize, Deserialize)]
pub struct Request {
    /// The action, facts of earlier steps put in.
    pub action: Do,
    /// Forwards, or its own undo.
    pub direction: Direction,
    /// What is asked.
    pub call: Call,
    /// What the record holds of the step.
    pub past: RawPast,
    /// Salts of kept content that the past names.
    pub blobs: Vec<Blob>,
    /// Name of the run.
    pub run: String,
    /// Id of the step.
    pub step: String,
    /// The whole environment of its commands, secrets put in.
    pub env: Vec<(String, String)>,
    /// Its working directory.
    pub cwd: Option<PathBuf>,
    /// The secrets that it names.
    pub secrets: Vec<(String, String)>,
    /// All secrets of the plan: nothing that is seen leaves the site but without them.
    pub hidden: Vec<(String, String)>,
    /// See [`Context::was_down`].
    pub was_down: Vec<String>,
    /// The steps of its family before or behind it in the plan, where it has to know them.
    pub family: Vec<Kin>,
    /// It is beside a living service.
    pub live: bool,
    /// What the undos of earlier runs name, where it has to know that.
    pub undoable: Vec<Undoable>,
    /// The earlier steps that its settings name.
    pub uses: Vec<Used>,
    /// Its time limit, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Nothing is kept, and what would change is shown.
    pub preview: bool,
}

/// What a site answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// To [`Call::Observe`].
    Observed(Observation),
    /// To [`Call::Probe`] and [`Call::Verify`].
    Looked {
        /// The answer and what it rests on.
        look: Look,
        /// What the step has produced, where it is done.
        output: Option<Value>,
    },
    /// To [`Call::Consequences`].
    Consequences(Consequences),
}

/// The observation before an action.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// All that the undo needs.
    pub before: Value,
    /// The settings with what was found written in.
    pub resolved: Option<Value>,
    /// Content that was kept, to be recorded with the intent.
    pub kept: Vec<Blob>,
    /// What would change now; in a preview alone.
    pub diff: Option<String>,
}

/// This machine.
#[derive(Debug, Clone)]
pub struct Local {
    state: PathBuf,
}

impl Local {
    /// With that state directory.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        Self {
            state: state.to_path_buf(),
        }
    }

    /// What every command gets of this machine's environment.
    pub fn environment() -> impl Iterator<Item = (String, String)> {
        PASSED
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
    }

    /// A moment in which checks share their queries.
    #[must_use]
    pub fn moment(&self) -> Moment {
        Moment {
            site: self.clone(),
            answers: Answers::default(),
        }
    }

    /// A moment of several steps, whose answers count that long.
    #[must_use]
    pub fn moment_of(&self, lasts: Duration) -> Moment {
        Moment {
            site: self.clone(),
            answers: Answers::lasting(lasts),
        }
    }

    /// A moment in which no command is started.
    #[must_use]
    pub fn silent(&self) -> Moment {
        let moment = self.moment();
        moment.give_up();
        moment
    }

    /// What the attempt's own process is told, when the supervisor starts it.
    #[must_use]
    pub fn frame(&self, request: Request, spool: PathBuf) -> ActInput {
        let context = Context {
            spool: Some(spool),
            ..self.context(&request)
        };
        ActInput::new(request.action, request.direction, request.past, context)
    }

    /// What a step would do, of what is known. It asks nothing.
    ///
    /// # Errors
    /// [`Error`] when the record cannot be read.
    pub fn preview(action: &Do, direction: Direction, past: &RawPast) -> Result<Preview, Error> {
        action.kind_of().preview(direction, past)
    }

    /// Where kept content lies.
    #[must_use]
    pub fn kept_at(&self, kept: &crate::action::Kept) -> PathBuf {
        let cx = Context {
            state: self.state.clone(),
            ..Context::default()
        };
        cx.kept_at(kept)
    }

    fn context(&self, request: &Request) -> Context {
        Context {
            state: self.state.clone(),
            run: request.run.clone(),
            step: request.step.clone(),
            env: request.env.clone(),
            cwd: request.cwd.clone(),
            secrets: request.secrets.clone(),
            timeout_ms: request.timeout_ms,
            family: request.family.clone(),
            was_down: request.was_down.clone(),
            live: request.live,
            undoable: request.undoable.clone(),
            uses: request.uses.clone(),
            later: request.past.later.clone(),
            blobs: request.blobs.clone(),
            inert: request.preview,
            ..Context::default()
        }
    }
}

/// Checks that share their queries.
#[derive(Debug, Clone)]
pub struct Moment {
    site: Local,
    answers: Answers,
}

impl Moment {
    /// The same moment for another step.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self {
            site: self.site.clone(),
            answers: self.answers.beside(),
        }
    }

    /// Asks; it may block.
    ///
    /// # Errors [`Error`] when the observation fails. A check that fails is unclear, not an error.
    pub fn ask(&self, request: &Request) -> Result<Reply, Error> {
        let cx = Context {
            answers: Some(self.answers.clone()),
            ..self.site.context(request)
        };
        let redactor = Redactor::new(&request.hidden).map_err(|e| Error::new(e.to_string()))?;
        let shown = |e: Error| e.map(|text| fit(text, &redactor));
        let (kind, past) = (request.action.kind_of(), &request.past);
        let looked = |look: Result<(Look, Option<Value>), Error>| {
            let (look, output) = look.unwrap_or_else(|e| (Look::unclear(e.to_string()), None));
            Reply::Looked {
                look: look.fit(&redactor),
                output: output.filter(|o| redactor.found_in_value(o).is_none()),
            }
        };
        let alone = |look: Result<Look, Error>| looked(look.map(|l| (l, None)));
        match (request.call, request.direction) {
            (Call::Observe, _) => {
                // The steps of a preview are looked at in one moment.
                if !request.preview {
                    self.answers.forget();
                }
                let seen = recorded(|| kind.observe(&cx)).map_err(shown)?;
                if let Some(name) = redactor.found_in_value(&seen.before) {
                    // Recorded unchanged, it would reveal the secret; redacted, the undo would restore the redaction.
                    return Err(Error::new(format!(
                        "what must be recorded for the undo contains the value of the secret {name}"
                    )));
                }
                Ok(Reply::Observed(Observation {
                    before: seen.before,
                    resolved: seen.resolved,
                    kept: cx.take_kept(),
                    diff: cx.take_diff().map(|d| redactor.text(&d)),
                }))
            }
            (Call::Consequences, direction) => recorded(|| match direction {
                Direction::Do => kind.replaces(&cx, past),
                Direction::Undo => kind.consequences(&cx, past),
            })
            .map(|c| Reply::Consequences(c.fit(&redactor)))
            .map_err(shown),
            (Call::Probe, Direction::Do) => Ok(looked(recorded(|| kind.probe(&cx, past)))),
            (Call::Verify, Direction::Do) => {
                self.answers.forget();
                Ok(alone(recorded(|| kind.verify(&cx, past))))
            }
            (Call::Probe, Direction::Undo) => Ok(alone(recorded(|| kind.undone(&cx, past)))),
            (Call::Verify, Direction::Undo) => {
                self.answers.forget();
                Ok(alone(recorded(|| kind.undone(&cx, past))))
            }
        }
    }

    /// How long one call may take, all that it asks together.
    #[must_use]
    pub fn deadline(request: &Request) -> Duration {
        let cx = Context {
            timeout_ms: request.timeout_ms,
            ..Context::default()
        };
        cx.patience() * 3
    }

    /// A command was not started, because the moment was given up.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.answers.refused()
    }

    /// Cancels the current call: its processes are killed.
    pub fn give_up(&self) {
        self.answers.give_up();
    }
}

fn fit(text: &str, redactor: &Redactor) -> String {
    Look::unclear(text).fit(redactor).evidence.join("; ")
}
