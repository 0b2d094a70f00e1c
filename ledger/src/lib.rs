//! The append-only, hash-chained event ledger, format `upledger/1`: append, read, verify.
//!
//! This crate knows bytes, order and hashes, never what an event means, except for what the format makes normative:
//! `ledger.created` at seq 0, `session.opened`, and `ledger.restored`. The format is described, to the byte, in
//! `docs/ledger-format.md`.
//!
//! Modules, in reading order: [`head`] and [`canonical`] (digests, text), [`tree`] (hashes), [`record`] (what goes in
//! and comes out), [`damage`] and `chain` (the rules that tie one event to the one before), `schema` (the table and
//! the connection), `disk`, [`place`], [`memory`], [`clock`] and [`busy`] (the world around the file), [`mod@open`] and
//! [`store`] (open, read), `create`, [`append`] and [`restore`] (write), [`blob`], [`checkpoint`], [`report`], [`mod@verify`] and [`export`].
//!
//! Left out on purpose: signatures, anchors, successors, purges, bundles, inclusion proofs.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::panic))]

pub mod append;
pub mod blob;
pub mod busy;
pub mod canonical;
mod chain;
pub mod checkpoint;
pub mod clock;
mod create;
pub mod damage;
mod disk;
mod envelope;
pub mod export;
pub mod head;
mod hot_journal;
pub mod memory;
pub mod open;
pub mod place;
pub mod record;
pub mod report;
pub mod restore;
mod scan;
mod schema;
pub mod store;
pub mod tree;
mod unverified;
pub mod verify;
mod writer;

pub use append::{Append, AppendError, Appended, Refusal};
pub use blob::{BlobError, BlobRef, NewBlob, salted, salted_digest};
pub use busy::Holder;
pub use canonical::{NotCanonical, check_canonical, to_canonical};
pub use checkpoint::{Checkpoint, CheckpointError};
pub use clock::{Clock, ClockError, Reading, SystemClock};
pub use damage::{Broken, Fault, SchemaFault};
pub use export::{ExportError, export_jsonl, verify_jsonl, verify_jsonl_seeing};
pub use head::{Digest, Head, NotADigest};
pub use memory::{Disagreement, Elsewhere, Found, How, Memory, MemoryError, Remembered};
pub use open::{OpenError, Options, See};
pub use place::{Owner, Place, PlaceError, WeakFs};
pub use record::{Data, Draft, Identity, Record, View};
pub use report::{Bad, BadWhat, CheckpointBad, Finding, Level, Report};
pub use restore::RestoreError;
pub use schema::{APPLICATION_ID, ConnectError, DDL, USER_VERSION};
pub use store::{Ledger, ReadError, Records};
pub use unverified::VerifyError;
pub use verify::{VerifyOptions, verify, verify_seeing};

/// The value of `v` in every body, and the name of the format.
pub const FORMAT: &str = "upledger/1";

/// The length of something in memory as the 64-bit number that the format counts in.
pub(crate) fn len64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
