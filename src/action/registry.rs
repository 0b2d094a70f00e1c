//! From data to a kind and back: the calls of an action with everything as values, and the type of a step's `do`.

use super::{
    Action, Consequences, Context, Direction, Error, Fact, Invocation, Look, Past, Preview,
    Properties, RawPast, Used, Work, facts_of, past,
};
use serde_json::Value;
use std::io::Write;

/// What a look before acting returns, for the record and for the reader.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// [`Past::before`].
    pub before: Value,
    /// Its settings with what was found written in.
    pub resolved: Option<Value>,
}

/// The calls of an [`Action`], with everything as values.
pub trait Erased: Send + Sync {
    /// [`Action::properties`]
    fn properties(&self) -> Properties;
    /// [`Action::informed`]
    fn informed(&self, uses: &[Used]) -> Properties;
    /// [`Action::problems`]
    fn problems(&self) -> Vec<String>;
    /// [`Action::invocation`]
    fn invocation(&self) -> Invocation;
    /// The facts that the kind hands on.
    fn facts() -> Vec<Fact>
    where
        Self: Sized;
    /// [`Action::outline`]
    fn outline(&self, direction: Direction) -> Vec<String>;
    /// [`Action::observe`] and [`Action::resolved`]
    ///
    /// # Errors
    /// What the action meets.
    fn observe(&self, cx: &Context) -> Result<Observation, Error>;
    /// The record is one that this version of the kind can go on from.
    ///
    /// # Errors
    /// [`Error`] when it is not.
    fn understands(&self, past: &RawPast) -> Result<(), Error>;
    /// [`Action::preview`]
    ///
    /// # Errors
    /// [`Error`] when the record cannot be read.
    fn preview(&self, direction: Direction, past: &RawPast) -> Result<Preview, Error>;
    /// [`Action::probe`]
    ///
    /// # Errors
    /// What the action meets.
    fn probe(&self, cx: &Context, past: &RawPast) -> Result<(Look, Option<Value>), Error>;
    /// [`Action::perform`]; the output goes into the spool.
    ///
    /// # Errors
    /// What the action meets.
    fn perform(&self, cx: &Context, past: &RawPast, log: &mut dyn Write) -> Result<(), Error>;
    /// [`Action::verify`]
    ///
    /// # Errors
    /// What the action meets.
    fn verify(&self, cx: &Context, past: &RawPast) -> Result<Look, Error>;
    /// [`Action::undo`]
    ///
    /// # Errors
    /// What the action meets.
    fn undo(&self, cx: &Context, past: &RawPast, log: &mut dyn Write) -> Result<(), Error>;
    /// [`Action::undone`]
    ///
    /// # Errors
    /// What the action meets.
    fn undone(&self, cx: &Context, past: &RawPast) -> Result<Look, Error>;
    /// [`Action::replaces`]
    ///
    /// # Errors
    /// What the action meets.
    fn replaces(&self, cx: &Context, past: &RawPast) -> Result<Consequences, Error>;
    /// [`Action::consequences`]
    ///
    /// # Errors
    /// What the action meets.
    fn consequences(&self, cx: &Context, past: &RawPast) -> Result<Consequences, Error>;
}

impl<A: Action> Erased for A {
    fn properties(&self) -> Properties {
        Action::properties(self)
    }

    fn informed(&self, uses: &[Used]) -> Properties {
        Action::informed(self, uses)
    }

    fn problems(&self) -> Vec<String> {
        Action::problems(self)
    }

    fn invocation(&self) -> Invocation {
        Action::invocation(self)
    }

    fn facts() -> Vec<Fact> {
        facts_of::<A::Output>()
    }

    fn outline(&self, direction: Direction) -> Vec<String> {
        Action::outline(self, direction)
    }

    fn observe(&self, cx: &Context) -> Result<Observation, Error> {
        let before = Action::observe(self, cx)?;
        let resolved = self.resolved(&before);
        Ok(Observation {
            before: past::to_value("observed", &before)?,
            resolved: resolved
                .map(|r| past::to_value("resolved", &r))
                .transpose()?,
        })
    }

    fn understands(&self, past: &RawPast) -> Result<(), Error> {
        past.read::<A>().map(|_| ())
    }

    fn preview(&self, direction: Direction, past: &RawPast) -> Result<Preview, Error> {
        Ok(Action::preview(self, direction, &past.read()?))
    }

    fn probe(&self, cx: &Context, past: &RawPast) -> Result<(Look, Option<Value>), Error> {
        let (look, output) = Action::probe(self, cx, &past.read()?)?;
        let output = output.map(|o| past::to_value("found", &o)).transpose()?;
        Ok((look, output))
    }

    fn perform(&self, cx: &Context, past: &RawPast, log: &mut dyn Write) -> Result<(), Error> {
        let past: Past<A> = past.read()?;
        let mut work = Work::new(cx, Direction::Do, log)?.after(&past);
        let output = Action::perform(self, &mut work, &past)?;
        work.produced(&output)
    }

    fn verify(&self, cx: &Context, past: &RawPast) -> Result<Look, Error> {
        Action::verify(self, cx, &past.read()?)
    }

    fn undo(&self, cx: &Context, past: &RawPast, log: &mut dyn Write) -> Result<(), Error> {
        let past: Past<A> = past.read()?;
        let mut work = Work::new(cx, Direction::Undo, log)?.after(&past);
        Action::undo(self, &mut work, &past)?;
        work.produced(&())
    }

    fn undone(&self, cx: &Context, past: &RawPast) -> Result<Look, Error> {
        Action::undone(self, cx, &past.read()?)
    }

    fn replaces(&self, cx: &Context, past: &RawPast) -> Result<Consequences, Error> {
        Action::replaces(self, cx, &past.read()?)
    }

    fn consequences(&self, cx: &Context, past: &RawPast) -> Result<Consequences, Error> {
        Action::consequences(self, cx, &past.read()?)
    }
}

/// Makes the type of a step's `do` from the list of kinds. A kind with an `if` is there under that condition of the
/// build alone.
macro_rules! registry {
    ($($(#[$doc:meta])* $name:literal => $variant:ident($kind:ty) $(if $only:meta)?),+ $(,)?) => {
        /// A step's action: one key that names its kind, and its settings.
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        pub enum Do {
            $($(#[$doc])* $(#[cfg($only)])? #[serde(rename = $name)] $variant($kind)),+
        }

        impl Do {
            /// The names of all kinds.
            pub const KINDS: &'static [&'static str] = &[$($(#[cfg($only)])? $name),+];

            /// The name of its kind.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self { $($(#[cfg($only)])? Self::$variant(_) => $name),+ }
            }

            /// Its kind.
            #[must_use]
            pub fn kind_of(&self) -> &dyn $crate::action::Erased {
                match self { $($(#[cfg($only)])? Self::$variant(a) => a),+ }
            }

            /// The facts that a kind hands on; none of a name that is no kind's.
            #[must_use]
            pub fn facts_of(kind: &str) -> Vec<$crate::action::Fact> {
                match kind {
                    $($(#[cfg($only)])? $name => <$kind as $crate::action::Erased>::facts(),)+
                    _ => Vec::new(),
                }
            }
        }
    };
}
pub(crate) use registry;
