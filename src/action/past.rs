//! What the record holds of a step so far: all that a further attempt, a look and an undo work from.

use super::{Action, Data, Direction, Error};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A note, and which attempt made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted<N> {
    /// Forwards or backwards.
    pub direction: Direction,
    /// From 1.
    pub attempt: u32,
    /// The note.
    pub note: N,
}

/// What the record holds of a step so far.
pub struct Past<A: Action> {
    /// What was there before this run changed anything.
    pub before: A::Before,
    /// Notes of all its attempts since then, in order, those of the undo included.
    pub notes: Vec<Noted<A::Note>>,
    /// What it produced, where it is done.
    pub output: Option<A::Output>,
}

impl<A: Action> Past<A> {
    /// Nothing has happened since the look.
    pub fn new(before: A::Before) -> Self {
        Self {
            before,
            notes: Vec::new(),
            output: None,
        }
    }

    /// All notes, without their attempts.
    pub fn noted(&self) -> impl DoubleEndedIterator<Item = &A::Note> + Clone {
        self.notes.iter().map(|n| &n.note)
    }
}

/// The same as the ledger has it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RawPast {
    /// [`Past::before`].
    pub before: Value,
    /// [`Past::notes`].
    pub notes: Vec<Noted<Value>>,
    /// [`Past::output`].
    pub output: Option<Value>,
    /// Before an undo: [`Context::later`](super::Context::later).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub later: Vec<RawPast>,
}

impl RawPast {
    /// As the kind understands it.
    ///
    /// # Errors
    /// [`Error`] when the record holds what this version of the kind does not know.
    pub fn read<A: Action>(&self) -> Result<Past<A>, Error> {
        Ok(Past {
            before: read("observed before the step", &self.before)?,
            notes: self
                .notes
                .iter()
                .map(|n| {
                    Ok(Noted {
                        direction: n.direction,
                        attempt: n.attempt,
                        note: read("noted", &n.note)?,
                    })
                })
                .collect::<Result<_, Error>>()?,
            output: self
                .output
                .as_ref()
                .map(|output| read("produced", output))
                .transpose()?,
        })
    }
}

fn read<T: Data>(what: &str, value: &Value) -> Result<T, Error> {
    T::deserialize(value).map_err(|e| Error::io(format!("what was {what} cannot be read"), &e))
}

/// A value for the record.
///
/// # Errors
/// [`Error`] when it has no JSON form.
pub(super) fn to_value(what: &str, data: &impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(data).map_err(|e| Error::io(format!("cannot record what was {what}"), &e))
}

/// What is stored is read for ever, and written the same again: one before, one note, one output of a kind.
#[cfg(test)]
#[track_caller]
pub(crate) fn stays<A: Action>(before: &str, note: &str, output: &str) {
    fn same<T: Data>(stored: &str) {
        let value: Value = serde_json::from_str(stored).unwrap();
        let read: T = read("stored", &value).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), value);
    }
    same::<A::Before>(before);
    same::<A::Note>(note);
    same::<A::Output>(output);
}
