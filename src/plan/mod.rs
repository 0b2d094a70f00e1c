//! From a plan file to a checked, resolved plan: what `check`, `plan` and `run` read.
//!
//! The way of a plan: limits, a tree of the YAML with the place of every value ([`outline`]), variables put in, types
//! ([`mod@file`]), rules, and at last [`upledger_replay::plan::Plan`] with its digest ([`mod@load`]). All problems are collected,
//! each with its place and a remedy. Nothing here touches a target, a ledger or a secret's value.

pub(crate) mod facts;
pub mod file;
mod flow;
mod hints;
mod literal;
pub mod load;
mod order;
pub mod outline;
pub mod problem;
mod read;
pub mod resolved;
mod rules;
pub(crate) mod samples;
pub mod schema;
pub mod templates;
mod variables;
mod warning;

#[cfg(test)]
mod tests;

pub use load::{Checked, load, load_text};
pub(crate) use problem::did_you_mean;
pub use problem::{Problem, Refusal};
pub use warning::Warning;
