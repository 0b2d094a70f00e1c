//! Whether a step could be started now: its program exists and its directory can be entered. Uses the same lookup as the
//! supervisor, so that a preview agrees with the run.

use crate::attempt::find_program;
use crate::attempt::spec::Command;
use crate::site::task::PreparedTask;
use crate::text::forecast as text;
use rustix::fs::{Access, access};
use std::path::Path;

/// Why it could not be started now.
pub(super) type Obstacle = String;

/// Why it could not be started now.
pub(super) fn obstacle(task: &PreparedTask) -> Option<Obstacle> {
    let own = task.starts();
    let named = own.as_ref().and_then(|(_, cwd)| cwd.as_deref());
    let cwd = named.or(task.cwd.as_deref().map(Path::new));
    let cwd = cwd.unwrap_or(Path::new("/"));
    if !cwd.is_dir() {
        return Some(text::no_directory(cwd.display()));
    }
    if access(cwd, Access::EXEC_OK).is_err() {
        return Some(text::closed_directory(cwd.display()));
    }
    let program = match task.command() {
        Command::Argv(words) => words.into_iter().next()?,
        Command::Act => own.as_ref()?.0.clone(),
    };
    let Ok(found) = find_program(&program, task.path(), cwd) else {
        return Some(text::no_program(program));
    };
    let found = cwd.join(found);
    if !found.is_file() {
        return Some(text::no_program(program));
    }
    access(&found, Access::EXEC_OK)
        .is_err()
        .then(|| text::not_executable(found.display()))
}
