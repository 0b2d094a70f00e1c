//! What a run needs of the system before anything of it is recorded: descriptors, threads, a place for its jobs.

use super::code;
use super::fail::Failure;
use crate::home::Home;
use crate::text::commands as text;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// Descriptors that a run has open at once, with some to spare.
const DESCRIPTORS: usize = 40;
/// A runtime's thread that ends could not be had back.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The runtime of a run. The library panics where descriptors or threads are missing, so they are tried for first.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    let tried: io::Result<Vec<File>> = (0..DESCRIPTORS).map(|_| File::open("/dev/null")).collect();
    drop(tried.map_err(|e| refused(&e).hint(text::more_files(DESCRIPTORS)))?);
    let runtime = Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(FOREVER)
        .build()
        .map_err(|e| refused(&e))?;
    std::thread::Builder::new()
        .spawn(|| {})
        .map_err(|e| refused(&e).hint(text::more_threads()))?
        .join()
        .map_err(|_| refused(&io::Error::other("a thread died")))?;
    // With one thread there, a second that cannot be had is waited for.
    drop(runtime.spawn_blocking(|| {}));
    Ok(runtime)
}

fn refused(error: &io::Error) -> Failure {
    Failure::new(code::USAGE, "system", text::system_refuses(error))
}

/// Refuses a `jobs` that is no private directory of ours: whatever is put there is put somewhere else.
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
