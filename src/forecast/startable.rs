//! Whether a step could be started now: its program exists, its directory can be entered, and the files that its settings
//! name can be written. Uses the same lookup as the supervisor, so that a preview agrees with the run.

use crate::action::{Place, Write};
use crate::attempt::find_program;
use crate::attempt::spec::Command;
use crate::host::files::trust;
use crate::site::task::PreparedTask;
use crate::text::forecast as text;
use rustix::fs::{Access, access};
use rustix::io::Errno;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Why it could not be started now.
pub(super) struct Obstacle {
    pub(super) why: String,
    /// What an earlier step would have to change.
    pub(super) at: Place,
}

impl Obstacle {
    pub(super) fn at(path: impl AsRef<Path>, why: String) -> Self {
        Self {
            why,
            at: Place::Path(path.as_ref().to_path_buf()),
        }
    }
}

/// Why it could not be started now.
pub(super) fn obstacle(task: &PreparedTask) -> Option<Obstacle> {
    let own = task.starts();
    let named = own.as_ref().and_then(|(_, cwd)| cwd.as_deref());
    let cwd = named.or(task.cwd.as_deref().map(Path::new));
    let cwd = cwd.unwrap_or(Path::new("/"));
    // The name of the run is known once there is one.
    if cwd.to_str().is_some_and(|cwd| cwd.contains("${run}")) {
        return None;
    }
    if !cwd.is_dir() {
        return Some(Obstacle::at(cwd, text::no_directory(cwd.display())));
    }
    if access(cwd, Access::EXEC_OK).is_err() {
        return Some(Obstacle::at(cwd, text::closed_directory(cwd.display())));
    }
    let writes = task.action.kind_of().properties().writes;
    program(task, own.as_ref().map(|(program, _)| program), cwd)
        .or_else(|| writes.iter().find_map(unwritable))
}

/// Why its program cannot be started.
fn program(task: &PreparedTask, own: Option<&String>, cwd: &Path) -> Option<Obstacle> {
    let program = match task.command() {
        Command::Argv(words) => words.into_iter().next()?,
        Command::Act => own?.clone(),
    };
    let missing = || Obstacle {
        why: text::no_program(&program),
        at: match program.contains('/') {
            true => Place::Path(cwd.join(&program)),
            false => Place::Files,
        },
    };
    let Ok(found) = find_program(&program, task.path(), cwd) else {
        return Some(missing());
    };
    let found = cwd.join(found);
    if !found.is_file() {
        return Some(missing());
    }
    access(&found, Access::EXEC_OK)
        .is_err()
        .then(|| Obstacle::at(&found, text::not_executable(found.display())))
}

/// Why a file cannot be written.
fn unwritable(write: &Write) -> Option<Obstacle> {
    let (Write::Append(path) | Write::Replace(path)) = write;
    if matches!(write, Write::Append(_))
        && let Err(why) = trust::ours(path)
    {
        return Some(Obstacle::at(path, why.to_string()));
    }
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
    let dir = real.parent().unwrap_or(Path::new("/"));
    if !dir.is_dir() {
        return Some(Obstacle::at(dir, text::no_directory_of(path)));
    }
    let denied = |what: &Path, how| access(what, how).is_err_and(|e| e == Errno::ACCESS);
    let there = std::fs::metadata(&real).ok();
    let own = rustix::process::geteuid();
    match (write, there) {
        (Write::Append(_), Some(_)) => denied(&real, Access::WRITE_OK),
        (Write::Replace(_), Some(file)) if !own.is_root() && file.uid() != own.as_raw() => {
            return Some(Obstacle::at(&real, text::other_owner(path, file.uid())));
        }
        (Write::Append(_), None) | (Write::Replace(_), _) => {
            denied(dir, Access::WRITE_OK | Access::EXEC_OK)
        }
    }
    .then(|| Obstacle::at(dir, text::not_writable(path)))
}
