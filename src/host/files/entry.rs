//! Entries of directories that a step makes, renames and removes: each change is durable when the call returns.
//!
//! Left out: what the entries hold, and the links that lead to them (`link`).

use crate::action::{Context, Error};
use crate::system::durable;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A name beside a path that only this step of this run uses: the same in every attempt, forwards and backwards.
pub(crate) fn beside(path: &Path, cx: &Context, what: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending(cx, what));
    path.with_file_name(name)
}

/// What such names end with.
fn ending(cx: &Context, what: &str) -> String {
    let plain = |text: &str| -> String {
        text.chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || "._-".contains(c) {
                    c
                } else {
                    '-'
                }
            })
            .collect()
    };
    format!(".{what}-{}-{}", plain(&cx.run), plain(&cx.step))
}

/// The entries of a directory with names that only this step of this run uses.
pub(crate) fn own_entries(dir: &Path, cx: &Context, what: &str) -> Vec<PathBuf> {
    let ending = ending(cx, what);
    // A directory that is not there has none.
    let listed = std::fs::read_dir(dir).into_iter().flatten().flatten();
    listed
        .filter(|e| e.file_name().as_bytes().ends_with(ending.as_bytes()))
        .map(|e| e.path())
        .collect()
}

/// Something has that name.
pub(crate) fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// Gives an entry another name that nobody has.
///
/// # Errors
/// [`Error`] when it cannot be renamed, such as to a name that is taken.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    durable::rename_new(from, to).map_err(|e| {
        let what = format!("cannot rename {} to {}", from.display(), to.display());
        Error::io(what, &e.source)
    })
}

/// Makes the entries of a directory durable.
///
/// # Errors
/// [`Error`] when it cannot be synced.
pub(crate) fn sync(dir: &Path) -> Result<(), Error> {
    durable::sync_dir(dir).map_err(|e| Error::io(format!("cannot sync {}", dir.display()), &e))
}

/// Removes a file, a link or a whole directory. That it is gone already is no error.
///
/// # Errors
/// [`Error`] when it cannot be removed.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    let is_dir = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir());
    if !is_dir {
        durable::remove_file(path)?;
        return Ok(());
    }
    match std::fs::remove_dir_all(path) {
        Ok(()) => sync(path.parent().unwrap_or(Path::new("/"))),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::io(format!("cannot remove {}", path.display()), &e)),
    }
}

/// Removes a directory that has a name. It gets another name first, so that a half-removed one is never taken for a
/// whole one.
///
/// # Errors
/// [`Error`] when it cannot be renamed or removed.
pub(crate) fn remove_by_way_of(path: &Path, at: &Path) -> Result<(), Error> {
    rename(path, at)?;
    remove(at)
}
