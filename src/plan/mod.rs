//! From a plan file to a checked, resolved plan: what `check`, `plan` and `run` read.
//!
//! Stages: limits, a YAML tree with the position of every value ([`outline`]), variable substitution, types ([`mod@file`]),
//! rules, and finally [`upledger_replay::plan::Plan`] with its digest ([`mod@load`]). All problems are collected, each with
//! its position and a remedy. Nothing here accesses a target, a ledger or a secret's value.

mod code;
mod commands;
mod env_rules;
pub mod environment;
pub(crate) mod facts;
pub mod file;
mod flow;
pub mod given;
mod hints;
mod limits;
mod literal;
mod live;
pub mod load;
mod only_for;
mod order;
pub mod outline;
pub mod problem;
mod read;
pub mod resolved;
mod rules;
pub(crate) mod samples;
pub mod schema;
pub mod templates;
mod traffic;
mod uses;
mod variables;
mod warning;
pub mod written;

#[cfg(test)]
mod tests;

pub(crate) use env_rules::is_env_name;
pub use given::Given;

pub use load::{Checked, load, load_text};
pub(crate) use problem::did_you_mean;
pub use problem::{Problem, Refusal};
pub(crate) use variables::put_in_run;
pub use warning::Warning;
