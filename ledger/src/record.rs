//! What goes into the ledger ([`Draft`], [`Identity`]) and what comes out ([`Record`], [`View`]).
//!
//! Invariant: a [`Record`] or [`View`] exists only for a body whose hash, place in the chain and form were checked. The
//! event's own part is text in both ways: whoever knows what it means has types for it, and a tree of it in between would
//! take ten times its room.
//! Left out: what an event means.

use crate::canonical::{NotCanonical, to_canonical};
use crate::chain::Checked;
use crate::envelope::Envelope;
use crate::head::{Digest, Head};
use serde_json::Value;
use std::borrow::Cow;
use std::ops::Range;

/// What a caller knows of an event. The rest of the body (`v`, `ledger`, `seq`, `prev`, `rseq`, `ts`, `mono`, `boot`,
/// `actor`, `host`, `sess`) is the ledger's.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The run it belongs to; `None` for an event of the ledger itself.
    pub run: Option<String>,
    /// Dotted words, lower case, past tense: `step.started`.
    pub kind: String,
    /// An object, free of floats; keys in printable ASCII.
    pub data: Data,
}

/// An event's own part, on its way in.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// As a value; its canonical text is what is stored.
    Value(Value),
    /// As its canonical text; any other text is refused.
    Text(String),
}

impl Data {
    pub(crate) fn text(this: Cow<'_, Self>) -> Result<Cow<'_, str>, NotCanonical> {
        match this {
            Cow::Borrowed(Self::Value(value)) => to_canonical(value).map(Cow::Owned),
            Cow::Owned(Self::Value(value)) => to_canonical(&value).map(Cow::Owned),
            // Whether it is canonical, the chain's own check says.
            Cow::Borrowed(Self::Text(text)) => Ok(Cow::Borrowed(text)),
            Cow::Owned(Self::Text(text)) => Ok(Cow::Owned(text)),
        }
    }
}

impl From<Value> for Data {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

impl Draft {
    /// A draft of an event that belongs to a run.
    #[must_use]
    pub fn of_run(run: impl Into<String>, kind: impl Into<String>, data: impl Into<Data>) -> Self {
        Self {
            run: Some(run.into()),
            kind: kind.into(),
            data: data.into(),
        }
    }
}

/// An event on its way in; unlike a [`Draft`] it may have a kind of the ledger's own.
pub(crate) struct Event<'a> {
    pub(crate) run: Option<Cow<'a, str>>,
    pub(crate) kind: Cow<'a, str>,
    pub(crate) data: Cow<'a, Data>,
}

impl<'a> Event<'a> {
    pub(crate) fn borrowed(draft: &'a Draft) -> Self {
        Self {
            run: draft.run.as_deref().map(Cow::Borrowed),
            kind: Cow::Borrowed(&draft.kind),
            data: Cow::Borrowed(&draft.data),
        }
    }

    pub(crate) fn owned(draft: Draft) -> Self {
        Self {
            run: draft.run.map(Cow::Owned),
            kind: Cow::Owned(draft.kind),
            data: Cow::Owned(draft.data),
        }
    }
}

/// Who appends, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// `actor` of every event.
    pub actor: String,
    /// `host` of every event.
    pub host: String,
    /// `data` of the `session.opened` event: the long identity, an object.
    pub session: Value,
}

/// An event as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its place in the ledger, from 0.
    pub seq: u64,
    /// `SHA-256(0x00 || body)`.
    pub hash: Digest,
    /// The hash of the record before it; zeros at seq 0.
    pub prev: Digest,
    /// The run it belongs to.
    pub run: Option<String>,
    /// Its place in that run, from 0.
    pub rseq: Option<u64>,
    /// UTC, `YYYY-MM-DDTHH:MM:SS.ffffffZ`.
    pub ts: String,
    /// Microseconds since boot, time asleep included.
    pub mono: u64,
    /// The kernel's boot id.
    pub boot: String,
    /// What happened.
    pub kind: String,
    /// Who.
    pub actor: String,
    /// Where.
    pub host: String,
    /// The seq of the `session.opened` in force.
    pub sess: Option<u64>,
    /// The canonical text, as stored and hashed.
    pub body: String,
    /// Where in it the event's own part stands.
    data: Range<usize>,
}

/// An event as stored, borrowed from where it was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View<'a> {
    /// Its place in the ledger, from 0.
    pub seq: u64,
    /// The run it belongs to.
    pub run: Option<&'a str>,
    /// UTC, `YYYY-MM-DDTHH:MM:SS.ffffffZ`.
    pub ts: &'a str,
    /// Microseconds since boot, time asleep included.
    pub mono: u64,
    /// The kernel's boot id.
    pub boot: &'a str,
    /// What happened.
    pub kind: &'a str,
    /// Who.
    pub actor: &'a str,
    /// Where.
    pub host: &'a str,
    /// The seq of the `session.opened` in force.
    pub sess: Option<u64>,
    /// The canonical text of the event's own part.
    pub data: &'a str,
}

impl<'a> View<'a> {
    /// The event of a body that passed every check.
    pub(crate) fn of(envelope: &'a Envelope<'_>) -> Self {
        Self {
            seq: envelope.seq,
            run: envelope.run.as_deref(),
            ts: envelope.ts,
            mono: envelope.mono,
            boot: &envelope.boot,
            kind: &envelope.kind,
            actor: &envelope.actor,
            host: &envelope.host,
            sess: envelope.sess,
            data: envelope.data,
        }
    }
}

impl Record {
    /// The head of a ledger that ends with this record.
    #[must_use]
    pub fn head(&self) -> Head {
        Head {
            seq: self.seq,
            hash: self.hash,
        }
    }

    /// The canonical text of the event's own part.
    #[must_use]
    pub fn data(&self) -> &str {
        self.body.get(self.data.clone()).unwrap_or_default()
    }

    /// The record, borrowed.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View {
            seq: self.seq,
            run: self.run.as_deref(),
            ts: &self.ts,
            mono: self.mono,
            boot: &self.boot,
            kind: &self.kind,
            actor: &self.actor,
            host: &self.host,
            sess: self.sess,
            data: self.data(),
        }
    }

    /// The record of a body that passed every check, without the body: it still has to be put in.
    pub(crate) fn without_body(checked: &Checked<'_>) -> Self {
        let envelope = &checked.envelope;
        Self {
            seq: envelope.seq,
            hash: checked.hash,
            prev: envelope.prev,
            run: envelope.run.as_deref().map(str::to_owned),
            rseq: envelope.rseq,
            ts: envelope.ts.to_owned(),
            mono: envelope.mono,
            boot: envelope.boot.clone().into_owned(),
            kind: envelope.kind.clone().into_owned(),
            actor: envelope.actor.clone().into_owned(),
            host: envelope.host.clone().into_owned(),
            sess: envelope.sess,
            body: String::new(),
            data: envelope.data_at..envelope.data_at + envelope.data.len(),
        }
    }

    /// The record of a body that passed every check.
    pub(crate) fn of(body: &str, checked: &Checked<'_>) -> Self {
        Self {
            body: body.to_owned(),
            ..Self::without_body(checked)
        }
    }
}
