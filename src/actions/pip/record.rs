//! What `pip.install` hands to the record: what was there before, what it is about to do, and what it produced.

use super::Install;
use super::venv::Interpreter;
use crate::action::Kept;
use crate::actions::entry;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

pub(super) type Work<'a> = crate::action::Work<'a, Note>;
pub(super) type Past = crate::action::Past<Install>;

/// What was there before, and what is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// The virtualenv was finished before this step came.
    pub(super) complete: bool,
    /// The interpreter that is meant.
    pub(super) python: Interpreter,
    /// The requirement files that are meant.
    pub(super) files: Vec<Meant>,
    /// Every package must have a hash in its file.
    pub(super) hashes: bool,
    /// Where the link led, word for word; none when there was no link.
    pub(super) current: Option<String>,
    /// It led to a directory.
    pub(super) led: bool,
}

/// A requirement file as it was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Meant {
    /// Where it is.
    pub(super) path: String,
    /// The SHA-256 of its content, in hex, is what this names: a file may hold a password that could be guessed.
    pub(super) digest: Kept,
}

/// What the step is about to do, in either direction. All paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Note {
    /// A virtualenv is made, or one that was begun is built anew.
    Building {
        /// The virtualenv.
        venv: String,
        /// The name under which its directory is made.
        at: String,
    },
    /// The link is switched.
    Switching {
        /// The link.
        link: String,
        /// The name under which the new link is made.
        at: String,
        /// Where it leads.
        from: Option<String>,
        /// Where it will lead; none: it is removed.
        to: Option<String>,
    },
    /// The virtualenv of this step is removed.
    Removing {
        /// The virtualenv.
        venv: String,
        /// The name under which it is removed.
        at: String,
    },
}

/// What was installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Installed {
    /// The virtualenv.
    #[schemars(extend("format" = "path"))]
    pub venv: String,
    /// Its interpreter.
    #[schemars(extend("format" = "path"))]
    pub python: String,
}

/// What the notes of earlier attempts tell of the world.
impl Past {
    /// This step has built the virtualenv, or was about to.
    pub(super) fn has_built(&self) -> bool {
        self.noted().any(|n| matches!(n, Note::Building { .. }))
    }

    /// What earlier attempts made under names of their own, or were about to remove, and have left.
    pub(super) fn leftovers(&self) -> Vec<PathBuf> {
        let mut left: Vec<PathBuf> = self
            .noted()
            .map(|n| match n {
                Note::Building { at, .. }
                | Note::Switching { at, .. }
                | Note::Removing { at, .. } => PathBuf::from(at),
            })
            .filter(|at| entry::exists(at))
            .collect();
        left.sort();
        left.dedup();
        left
    }
}
