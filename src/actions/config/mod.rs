//! Configuration files: [`backup`], [`diff`] and [`set`].
//!
//! Invariants: a file is changed where a value stands, and every other byte of it stays; what a value is, is for the reader of
//! the file to say; copies go into the state directory and never beside the file, where a pattern would load them; no value
//! is shown that could be a secret.

pub mod backup;
pub mod check;
pub mod diff;
mod document;
mod dotenv;
mod ini;
mod json;
mod make;
mod mask;
mod python;
mod reader;
pub mod set;
mod toml;
mod tree;
mod value;
mod yaml;

pub(crate) use value::Given;

#[cfg(test)]
mod tests;
