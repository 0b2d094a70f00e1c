//! The resources that a run needs before anything is recorded: a runtime, and the directory for its jobs.

use super::code;
use super::fail::Failure;
use crate::home::Home;
use crate::text::commands as text;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use tokio::runtime::{Builder, Runtime};

/// So many files a runtime opens.
const SPARE: usize = 8;

/// The runtime of a run.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    // Where it gets no file for its signals, the library panics.
    let spare: io::Result<Vec<File>> = (0..SPARE).map(|_| File::open("/dev/null")).collect();
    let built = spare.and_then(|spare| {
        drop(spare);
        Builder::new_current_thread().enable_all().build()
    });
    built.map_err(|e| refused(&e).hint(text::more_files()))
}

fn refused(error: &io::Error) -> Failure {
    Failure::new(code::USAGE, "system", text::system_refuses(error))
}

/// Refuses a `jobs` that is not a private directory of the current user, because jobs would be written somewhere else.
pub(super) fn check_jobs(home: &Home) -> Result<(), Failure> {
    let path = home.jobs();
    let wrong = |what: String| {
        Failure::new(code::USAGE, "state_directory", what).hint(text::move_away(path.display()))
    };
    let found = match std::fs::symlink_metadata(&path) {
        Ok(found) => found,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(wrong(text::cannot_read(path.display(), e))),
    };
    if found.is_symlink() {
        return Err(wrong(text::is_symlink(path.display())));
    }
    if !found.is_dir() {
        return Err(wrong(text::is_no_directory(path.display())));
    }
    if !private(&found) {
        return Err(Failure::new(
            code::USAGE,
            "state_directory",
            text::is_open_to_others(path.display()),
        )
        .hint(format!("chmod 700 {}", path.display())));
    }
    Ok(())
}

fn private(found: &Metadata) -> bool {
    found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o077 == 0
}
