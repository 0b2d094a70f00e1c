//! The fold and the decisions, without a file or a process.

mod again;
mod amend;
mod attempts;
mod checks;
mod contract;
mod hand_on;
mod index;
mod loss;
mod model;
mod rules;
mod table;
mod walk;
mod world;
