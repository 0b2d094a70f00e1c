//! What the kinds of action share about a machine: processes, commands, files, databases, and the managers of services. Each mechanism
//! stands here once.
//!
//! Left out: what a kind of action is, and the kinds.

pub mod exec;
pub mod files;
pub mod http;
pub mod mysql;
pub mod postgres;
pub mod process;
pub(crate) mod read_only;
pub mod redis;
pub(crate) mod remedy;
pub mod service;
pub(crate) mod sql;
