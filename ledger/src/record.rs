//! What goes into the ledger ([`Draft`], [`Identity`]) and what comes out ([`Record`]).
//!
//! Invariant: a [`Record`] exists only for a body whose hash, place in the chain and form were checked.
//! Left out: what an event means.

use crate::chain::Checked;
use crate::damage::Fault;
use crate::head::{Digest, Head};
use serde_json::Value;

/// What a caller knows of an event. The rest of the body (`v`, `ledger`, `seq`, `prev`, `rseq`, `ts`, `mono`, `boot`,
/// `actor`, `host`, `sess`) is the ledger's.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The run it belongs to; `None` for an event of the ledger itself.
    pub run: Option<String>,
    /// Dotted words, lower case, past tense: `step.started`.
    pub kind: String,
    /// An object, free of floats; keys in printable ASCII.
    pub data: Value,
}

impl Draft {
    /// A draft of an event that belongs to a run.
    #[must_use]
    pub fn of_run(run: impl Into<String>, kind: impl Into<String>, data: Value) -> Self {
        Self {
            run: Some(run.into()),
            kind: kind.into(),
            data,
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
    /// The event's own part.
    pub data: Value,
    /// The canonical text, as stored and hashed.
    pub body: String,
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

    /// The record of a body that passed every check.
    pub(crate) fn of(body: &str, checked: &Checked<'_>) -> Result<Self, Fault> {
        let envelope = &checked.envelope;
        Ok(Self {
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
            data: serde_json::from_str(envelope.data)
                .map_err(|_| Fault::Shape("`data` cannot be read"))?,
            body: body.to_owned(),
        })
    }
}
