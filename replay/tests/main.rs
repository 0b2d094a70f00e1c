//! The fold and the decisions, without a file or a process.

mod model;
mod rules;
mod table;
mod world;
