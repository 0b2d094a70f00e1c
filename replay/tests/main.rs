//! The fold and the decisions, without a file or a process.

mod contract;
mod model;
mod rules;
mod table;
mod world;
