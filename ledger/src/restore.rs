//! Going on with a ledger that is not what is remembered: recorded, with a reason, and never silently.
//!
//! Invariant: the only way past [`crate::open::OpenError::Remembered`] and a damaged memory; it leaves a
//! `ledger.restored` behind and a memory that agrees. Left out: deciding whether that is right, which a person does.

use crate::append::{Append, AppendError, Appended};
use crate::chain::RESTORED;
use crate::memory::Memory;
use crate::open::{Intent, Objection, OpenError, Options};
use crate::place::Place;
use crate::record::{Event, Identity};
use crate::store::Ledger;
use serde_json::json;
use std::borrow::Cow;
use thiserror::Error;

/// Why nothing was restored.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// A reason is for people to read.
    #[error("a reason is needed")]
    NoReason,
    /// The memory agrees with the ledger.
    #[error("the ledger matches the remembered head; there is nothing to record")]
    Nothing,
    /// The file cannot be opened even so.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The record cannot be written.
    #[error("the restoration cannot be recorded")]
    Append(#[source] AppendError),
}

impl Ledger {
    /// Opens a ledger that the memory refuses, records `ledger.restored` with `reason`, and remembers it from there.
    ///
    /// The event's data is `{"reason", "from", "to"}`: what was remembered (null if the memory was damaged) and what was
    /// found, each as `{"ledger", "size", "root"}`. Where the file is gone, a new ledger is made, and its second event
    /// says which one is missing.
    ///
    /// # Errors
    /// [`RestoreError`]; a damaged ledger is not restored.
    pub fn restore(
        place: Place,
        memory: Memory,
        identity: Identity,
        reason: &str,
    ) -> Result<(Self, Appended), RestoreError> {
        Self::restore_with(place, memory, identity, reason, Options::default())
    }

    /// [`Ledger::restore`] with other options.
    ///
    /// # Errors
    /// As there.
    pub fn restore_with(
        place: Place,
        memory: Memory,
        identity: Identity,
        reason: &str,
        options: Options,
    ) -> Result<(Self, Appended), RestoreError> {
        if reason.trim().is_empty() {
            return Err(RestoreError::NoReason);
        }
        let (mut ledger, objection) = Self::open(
            place,
            Some(memory),
            Some(identity),
            options,
            Intent::Restore,
            &mut |_| {},
        )?;
        let from = match objection {
            Objection::None => return Err(RestoreError::Nothing),
            Objection::Damaged => None,
            Objection::Other(kept) => {
                Some(json!({"ledger": kept.ledger, "size": kept.size, "root": kept.root}))
            }
        };
        let to = json!({"ledger": ledger.id(), "size": ledger.size(), "root": ledger.root()});
        let data = json!({"reason": reason, "from": from, "to": to});
        let event = Event {
            run: None,
            kind: Cow::Borrowed(RESTORED),
            data: Cow::Owned(data.into()),
        };
        let head = ledger.head();
        let appended = ledger
            .append_events(&head, vec![event], &Append::default(), true)
            .map_err(RestoreError::Append)?;
        Ok((ledger, appended))
    }
}
