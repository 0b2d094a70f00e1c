//! `redis.*`: backups of a Redis server, their restore, and what is expected of one.
//!
//! Invariants: a backup is judged by what the server says of its save and by its own file, never by an exit code; before
//! the first key is changed, everything that can refuse has refused; queues of Celery are not restored, because what they
//! hold would be done twice.

pub mod backup;
pub mod expect;
pub mod restore;
mod swap;

#[cfg(test)]
mod tests;

use crate::action::{Context, Error};
use crate::host::files::disk;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Where the backups of this run go, which need not be there yet.
fn backups(cx: &Context) -> PathBuf {
    // A preview knows no run yet.
    let run = if cx.inert { "${run}" } else { &cx.run };
    cx.state.join("backups").join(run)
}

/// Makes a directory where only the runner's user may look.
fn make(dir: &Path) -> Result<(), Error> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|e| Error::io(format!("cannot make {}", dir.display()), &e))
}

/// Refuses a file that is not the one that was recorded.
fn same_file(path: &Path, sha256: &str) -> Result<(), Error> {
    let shown = path.display();
    match disk::digest_of(path)? {
        None => Err(Error::new(format!("{shown} does not exist any more"))
            .remedy("use another backup")
            .lasting()),
        Some((found, _)) if found != sha256 => Err(Error::new(format!(
            "{shown} is not the file that was recorded: its SHA-256 is {found}, and it was {sha256}"
        ))
        .remedy("use another backup")
        .lasting()),
        Some(_) => Ok(()),
    }
}
