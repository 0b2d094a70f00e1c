//! One attempt of one step, on the machine where its command runs.
//!
//! A job directory contains `spec` (what runs), `start` (the token: whoever creates it first decides whether the command
//! may start), `shim.lock` and `tree.lock` (liveness, by kernel locks and never by process ids), `output`, `killing` and
//! `kill`, and `result` (a slot allocated before the command starts, so that the exact status can be written even on a full
//! disk). The supervisor is a detached process of this same program.
//!
//! Invariants: the command starts at most once; nothing but the supervisor writes the result; a torn result is no
//! result; no secret is ever in this directory.
//!
//! This module depends neither on plans nor on the ledger.

mod bus;
mod child;
pub(crate) mod fold;
pub mod inspect;
pub mod job;
pub mod launch;
pub mod output;
pub mod scope;
pub mod slot;
pub mod spec;
pub mod spool;
pub mod supervisor;
pub(crate) mod sys;
pub(crate) mod traceback;
mod watch;

pub(crate) use child::find as find_program;
