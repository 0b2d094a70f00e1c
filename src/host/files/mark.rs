//! The mark in a directory of this program that has no other sign of it: a tree of static files.
//!
//! It is made before the directory gets its name, so that no directory of that name is half of one. It says nothing but
//! that, because a web server may hand it out.

use crate::action::Error;
use crate::system::durable::{self, Temporary};
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

const NAME: &str = ".upledger";

/// Marks a directory that is complete.
///
/// # Errors
/// [`Error`] when it cannot be written.
pub(crate) fn write(dir: &Path) -> Result<(), Error> {
    let path = dir.join(NAME);
    durable::replace(&path, Temporary::Random, 0o666, |file| {
        file.write_all(b"created by upledger\n")
            .map_err(|e| Error::io(format!("cannot write {}", path.display()), &e))
    })
}

/// When it was marked; none when it is no directory of this program.
pub(crate) fn made_at(dir: &Path) -> Option<SystemTime> {
    let meta = std::fs::symlink_metadata(dir.join(NAME)).ok()?;
    meta.is_file().then(|| meta.modified().ok()).flatten()
}
