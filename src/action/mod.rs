//! The contract of an action: what a kind of step is, and how it speaks to the record. No kind stands here.
//!
//! An action judges by evidence, never by an exit code alone. It looks before it acts: what [`Action::observe`] returns
//! is durable in the ledger before anything changes, and preview, intent and undo all come from it. What becomes known
//! on the way is a note, what success produces is an output; both reach the record by the attempt's spool, the one
//! channel there is. Looks change nothing, but that they may keep former content for an undo ([`Context::keep`]).
//!
//! Actions never touch the ledger and decide nothing about the run. Nothing but `site` calls them.

mod context;
mod error;
mod facts;
mod kept;
mod look;
mod past;
mod place;
pub mod process;
mod registry;
mod stage;
#[cfg(test)]
pub(crate) mod testing;
pub mod values;
mod work;

pub use context::{Answers, Byproducts, Context, Kin, LOOK, Undoable, Used};
pub use error::Error;
pub use facts::{Fact, FactKind, facts_of};
pub use kept::{Blob, Kept};
pub(crate) use kept::{digest, pour};
pub use look::{Consequences, LINE, Look};
#[cfg(test)]
pub(crate) use past::stays;
pub use past::{Noted, Past, RawPast};
pub use place::{Place, Places, Write, about, meet};
pub(crate) use registry::registry;
pub use registry::{Erased, Observation};
pub use stage::{Live, Service, Stage};
pub use upledger_replay::event::Direction;
pub use work::Work;
pub(crate) use work::log_line;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use upledger_replay::plan::Effect;

/// What a look saw is evidence, which is English on every screen and in the record (`docs/decisions/0022-*`).
pub use crate::text::english as recorded;

/// What an action hands to the record.
pub trait Data: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {}

impl<T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static> Data for T {}

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

/// An argument of a command: a string, or a fact of an earlier step that is inserted when the step starts.
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

/// Actions of the same family, such as `gunicorn`, in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Those of the steps before.
    Before,
    /// Those of the steps behind: a stop is undone by a start, which is judged as the plan's own.
    Behind,
}

/// An earlier step that a setting names by its id, such as the backup of a migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepUse {
    /// The setting.
    pub setting: &'static str,
    /// The id.
    pub step: String,
    /// The kinds that fit.
    pub kinds: &'static [&'static str],
}

/// What is known of a kind, or of one step of it, without a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Properties {
    /// What running it twice would mean.
    pub effect: Effect,
    /// [`Action::probe`] gives a real answer.
    pub has_probe: bool,
    /// [`Action::undo`] and [`Action::undone`] exist.
    pub has_undo: bool,
    /// Without an undo of its own, the plan has to say how it is reversed.
    pub needs_undo: bool,
    /// It is read-only, so it may serve as a step's `probe` or `verify`.
    pub looks: bool,
    /// Where it stands in an upgrade, for the order rules of `check`: `nginx.stop` says `Stage::Stop(Service::Front)`.
    /// More than one where one step does several at once; none where its place cannot be known.
    pub stages: Vec<Stage>,
    /// What of it is looked for in the step's `cwd`, where it cannot do without one: `manage.py`, a requirement file.
    pub below_cwd: Option<String>,
    /// The program that it starts itself, and the directory that it names for it: a preview looks whether they are there.
    pub program: Option<(String, Option<String>)>,
    /// Its settings hold what was approved and the world may have left behind, such as the commit of a tag: a run looks
    /// at once whether that still is so, before it stops anything.
    pub approved: bool,
    /// Which steps of its family in the plan it has to know: [`Context::family`].
    pub family: Option<Family>,
    /// The files that its settings name for it to write.
    pub writes: Vec<Write>,
    /// What it means beside a living service.
    pub live: Live,
    /// It removes what no undo needs, and has to know what the undos of earlier runs name: [`Context::undoable`].
    pub prunes: bool,
    /// The only environment whose plans may hold it.
    pub only_for: Option<&'static str>,
    /// In this direction it brings back an older copy of data that users change, such as a database.
    pub restores: Option<Direction>,
    /// The earlier steps that its settings name: [`Context::used`] has them, and their secrets are this step's, too.
    pub uses: Vec<StepUse>,
    /// What its looks read.
    pub reads: Places,
    /// What it changes.
    pub touches: Places,
}

impl Properties {
    /// Without evidence of its own: unsafe, no probe, no undo.
    #[must_use]
    pub fn command() -> Self {
        Self {
            effect: Effect::Unsafe,
            has_probe: false,
            has_undo: false,
            needs_undo: true,
            looks: false,
            stages: Vec::new(),
            below_cwd: None,
            program: None,
            approved: false,
            family: None,
            writes: Vec::new(),
            live: Live::Unknown,
            prunes: false,
            only_for: None,
            restores: None,
            uses: Vec::new(),
            reads: None,
            touches: None,
        }
    }

    /// It changes nothing, and may serve as another step's look. As a step it is always carried out: with a probe of its
    /// own, what an earlier moment saw would settle it.
    #[must_use]
    pub fn look() -> Self {
        Self {
            effect: Effect::Pure,
            needs_undo: false,
            looks: true,
            live: Live::Harmless,
            touches: Some(Vec::new()),
            ..Self::command()
        }
    }

    /// Its own look tells for certain whether it is done, and it undoes itself.
    #[must_use]
    pub fn reversible() -> Self {
        Self {
            effect: Effect::Probed,
            has_probe: true,
            has_undo: true,
            live: Live::Refused,
            ..Self::command()
        }
    }
}

/// What a step would do, for people: one look's view of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preview {
    /// What it does, in lines and in the language of the screen; the intent holds them in English.
    pub commands: Vec<String>,
    /// What the look found that a reader wants to know, such as the commit of a tag.
    pub findings: Vec<String>,
    /// Former content that the undo puts back: where it is kept, and what it was.
    pub kept: Vec<(Kept, String)>,
}

/// One kind of action.
///
/// Everything but `perform` and `undo` is a look: read-only, on a thread that may block. Those two run in a process of
/// their own under the supervisor of the attempt.
pub trait Action: Serialize + DeserializeOwned + JsonSchema + Send + Sync {
    /// What was there before anything changed, and all that the undo needs: part of the intent. It holds no secret.
    type Before: Data;
    /// A fact made durable on the way, before it comes true. It holds no secret: former content by [`Kept`] only.
    type Note: Data;
    /// What success produced. Each property that is a single value is a fact for later steps.
    type Output: Data + JsonSchema;

    /// What is known of it without a look.
    fn properties(&self) -> Properties;

    /// The same where the steps are known that its settings name.
    fn informed(&self, _uses: &[Used]) -> Properties {
        self.properties()
    }

    /// Rules about its settings that types cannot say; each problem in one line, its setting first in backquotes.
    fn problems(&self) -> Vec<String> {
        Vec::new()
    }

    /// What the supervisor starts.
    fn invocation(&self) -> Invocation {
        Invocation::Own
    }

    /// What it does in that direction, in lines for people, before anything was looked at.
    fn outline(&self, direction: Direction) -> Vec<String>;

    /// What is there now.
    ///
    /// # Errors
    /// [`Error`] when it cannot see, or must not be done; the step is not started then.
    fn observe(&self, cx: &Context) -> Result<Self::Before, Error>;

    /// Its settings with what the look found written in, so that what is approved is what runs: a tag becomes a commit.
    fn resolved(&self, _before: &Self::Before) -> Option<Self>
    where
        Self: Sized,
    {
        None
    }

    /// What it would do in that direction, given what is known. Pure: it looks at nothing.
    fn preview(&self, direction: Direction, _past: &Past<Self>) -> Preview
    where
        Self: Sized,
    {
        Preview {
            commands: self.outline(direction),
            ..Preview::default()
        }
    }

    /// Whether it is done, and what it then has produced. Before the first attempt `past` holds what
    /// [`Action::observe`] has just returned.
    ///
    /// # Errors
    /// [`Error`] when it cannot see; that counts as unclear.
    fn probe(
        &self,
        _cx: &Context,
        _past: &Past<Self>,
    ) -> Result<(Look, Option<Self::Output>), Error>
    where
        Self: Sized,
    {
        Ok((Look::unclear("this action has no probe"), None))
    }

    /// Does it, in a process of its own. What it writes to the log is the step's output.
    ///
    /// # Errors
    /// [`Error`] fails the attempt.
    fn perform(
        &self,
        _work: &mut Work<'_, Self::Note>,
        _past: &Past<Self>,
    ) -> Result<Self::Output, Error>
    where
        Self: Sized,
    {
        Err(Error::new("this action is a command"))
    }

    /// The evidence after it ran: `Done` agrees, everything else fails the attempt.
    ///
    /// # Errors
    /// [`Error`] when it cannot see; that fails the attempt.
    fn verify(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error>
    where
        Self: Sized,
    {
        if self.properties().has_probe {
            Ok(self.probe(cx, past)?.0)
        } else {
            Ok(Look::silent())
        }
    }

    /// Reverses it, in a process of its own. It must cope with a step that is half done, and with itself half done.
    ///
    /// # Errors
    /// [`Error`] fails the attempt.
    fn undo(&self, _work: &mut Work<'_, Self::Note>, _past: &Past<Self>) -> Result<(), Error>
    where
        Self: Sized,
    {
        Err(Error::new("this action has no undo"))
    }

    /// Whether things are as observed again: evidence after the undo, and its probe.
    ///
    /// # Errors
    /// [`Error`] when it cannot see.
    fn undone(&self, _cx: &Context, _past: &Past<Self>) -> Result<Look, Error>
    where
        Self: Sized,
    {
        Ok(Look::unclear("this action has no undo"))
    }

    /// What performing it would mean now, where a plan writes it as the undo of a step: what is there and would be
    /// replaced, or would make it refuse. What touches neither files nor data replaces nothing that anybody has written.
    ///
    /// # Errors
    /// [`Error`] when it cannot see.
    fn replaces(&self, _cx: &Context, _past: &Past<Self>) -> Result<Consequences, Error>
    where
        Self: Sized,
    {
        Ok(match self.properties().touches_content() {
            true => Consequences::default(),
            false => Consequences::none(),
        })
    }

    /// What its undo would mean now: what was written since the step and would be lost, or would make the undo refuse.
    ///
    /// # Errors
    /// [`Error`] when it cannot see.
    fn consequences(&self, _cx: &Context, _past: &Past<Self>) -> Result<Consequences, Error>
    where
        Self: Sized,
    {
        Ok(Consequences::default())
    }
}
