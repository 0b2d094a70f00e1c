//! What this program asks of the system in one place: reading `/proc`, durable and plain files, signals, memory.
//!
//! It stands below every other room and uses none of them, because the supervisor of an attempt and the storage of kept
//! content need these mechanisms as much as the actions do. Nothing is decided here: which processes count, what may be
//! shown, and who may be signalled is the business of the callers.

pub(crate) mod durable;
pub(crate) mod memory;
pub(crate) mod plain;
pub(crate) mod proc;
pub(crate) mod signals;
