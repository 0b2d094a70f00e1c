//! `celery.stop` and `celery.start`: workers that lose no task and run none twice, and the beat that feeds them.
//!
//! A worker is stopped in four steps: it is told to take no more tasks, it finishes what it has taken, it is told to end
//! exactly once, and it is gone. Who it is comes from `/proc`; what it does comes from itself, asked in the
//! application's own interpreter (`inspector`).
//!
//! Invariants: a worker that lives and does not answer is not empty; the workers of another application on the same
//! machine are never touched; what a task was called with and what stands in a worker's environment is never recorded.
//!
//! Left out: results of tasks, and workers on other machines, which are only told about.

mod beat;
mod cmdline;
mod counts;
mod deaths;
mod drain;
mod find;
mod inspector;
mod restore;
mod snapshot;
pub mod start;
pub mod stop;
#[cfg(test)]
mod tests;
mod workers;

pub use cmdline::Role;

use crate::action::values::absolute;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The application, and how to inspect its workers. Unset values are taken from the running processes; set them if several
/// applications run on one machine, or if the processes cannot be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// The interpreter of its virtualenv; an absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// The argument of `celery -A`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// The directory that it runs in; an absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
}

impl App {
    fn problems(&self) -> impl Iterator<Item = String> {
        [("app.python", &self.python), ("app.cwd", &self.cwd)]
            .into_iter()
            .filter_map(|(setting, path)| absolute(setting, path.as_deref()?))
    }
}
