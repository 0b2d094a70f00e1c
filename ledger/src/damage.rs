//! What can be wrong with a stored event, in words that a report can print.
//!
//! Invariant: every fault names one rule of the format page, so that an outsider can check the claim.
//! Left out: where a fault was met; [`Broken`] adds the seq.

use crate::canonical::NotCanonical;
use crate::head::Digest;
use thiserror::Error;

/// The first place where the ledger is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the ledger is damaged at seq {seq}")]
pub struct Broken {
    /// The seq that is wrong or missing.
    pub seq: u64,
    /// What is wrong with it.
    #[source]
    pub fault: Fault,
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// The next row is not the next seq.
    #[error("it is missing: the next row has seq {found}")]
    Gap {
        /// The seq that stands there instead.
        found: i64,
    },
    /// There are fewer rows than before.
    #[error("it is missing: the file ends before it")]
    Ends,
    /// A column has the wrong type or length.
    #[error("column `{0}` has the wrong type or length")]
    Type(&'static str),
    /// `hash` is not the hash of the body.
    #[error("the stored hash is not the hash of the body")]
    Hash,
    /// `prev` is not the hash of the event before.
    #[error("`prev` is not the hash of the event before it")]
    Prev,
    /// A column differs from the body.
    #[error("column `{0}` differs from the body")]
    Copy(&'static str),
    /// The body is not canonical.
    #[error("the body is not in canonical form")]
    Form(#[source] NotCanonical),
    /// The body has other keys, or a value of the wrong type.
    #[error("the body is not an event: {0}")]
    Shape(&'static str),
    /// `seq` in the body is not the row's.
    #[error("the body says seq {0}")]
    Seq(u64),
    /// The event belongs to another ledger.
    #[error("it belongs to ledger {0}")]
    Ledger(String),
    /// Seq 0 is not a proper `ledger.created`, or a later one is.
    #[error("{0}")]
    Genesis(&'static str),
    /// A run's own counter has a gap.
    #[error("`rseq` is {found}, expected {expected}")]
    Rseq {
        /// What stands there.
        found: u64,
        /// What follows from the run's events so far.
        expected: u64,
    },
    /// `sess` is not the session in force.
    #[error("`sess` is not the session in force")]
    Sess,
    /// `mono` fell within one boot.
    #[error("`mono` fell from {before} to {found} within one boot")]
    Mono {
        /// The last value of this boot.
        before: u64,
        /// What stands there.
        found: u64,
    },
    /// The record that was verified before is another one now.
    #[error("it was {before} when this handle read it")]
    Changed {
        /// The hash that was verified before.
        before: Digest,
    },
    /// SQLite cannot read the row.
    #[error("the file cannot be read here: {0}")]
    Unreadable(String),
}

impl Fault {
    /// This fault, at a place.
    pub(crate) fn at(self, seq: u64) -> Broken {
        Broken { seq, fault: self }
    }
}

/// A difference between the file's schema and the format's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SchemaFault {
    /// Something that the format does not have: it could answer a query with other than the table holds.
    #[error("the schema has an extra {kind} `{name}`")]
    Extra {
        /// `table`, `index`, `view` or `trigger`.
        kind: String,
        /// Its name.
        name: String,
    },
    /// Something of the format is not there.
    #[error("the schema lacks the {kind} `{name}`")]
    Missing {
        /// `table`, `index` or `trigger`.
        kind: &'static str,
        /// Its name.
        name: &'static str,
    },
    /// Something of the format has another text.
    #[error("the {kind} `{name}` of the schema is not the one of the format")]
    Differs {
        /// `table`, `index` or `trigger`.
        kind: &'static str,
        /// Its name.
        name: &'static str,
    },
    /// A property of the file in its header.
    #[error("`{name}` of the file is {found}, not {expected}")]
    Header {
        /// The pragma that reads it.
        name: &'static str,
        /// What the file says.
        found: String,
        /// What the format says.
        expected: &'static str,
    },
}
