//! upledger runs a production upgrade, and the record of what it did is the program's only state.
//!
//! In reading order: [`plan`] (a file becomes a checked plan), [`runner`] (the loop that carries a run out),
//! [`actions`] (what steps do), [`attempt`] (one attempt of a step and its supervisor), [`journal`] (events to
//! records and back), [`report`] (what people see), [`cli`] (the commands). The rules of a run are in
//! `upledger-replay`, the record is in `upledger-ledger`; neither knows the other, and this package joins them.

pub mod action;
pub mod actions;
pub mod attempt;
pub mod cli;
pub mod clock;
pub mod demo;
mod encoding;
pub mod failpoint;
pub mod forecast;
pub mod home;
pub mod host;
pub mod journal;
mod page;
pub mod plan;
pub mod redact;
pub mod report;
pub mod runner;
pub mod site;
mod system;
pub mod text;
pub mod time;
pub mod timeline;
