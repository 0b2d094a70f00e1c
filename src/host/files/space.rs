//! How much room a file system has.

use crate::action::Error;
use std::path::Path;

/// The bytes that this user may still write on the file system of that path, which need not exist yet; and the directory
/// that was asked about.
///
/// # Errors
/// [`Error`] when the file system does not tell.
pub(crate) fn free(path: &Path) -> Result<(u64, &Path), Error> {
    let there = path.ancestors().find(|p| p.exists());
    let there = there.unwrap_or(Path::new("/"));
    let fs = rustix::fs::statvfs(there).map_err(|e| {
        let what = format!("cannot read the free space of {}", there.display());
        Error::io(what, &e)
    })?;
    Ok((fs.f_bavail.saturating_mul(fs.f_frsize), there))
}

/// Refuses to begin what would not fit.
///
/// # Errors
/// [`Error`] that names the file system, the bytes that are wanted, and those that are left.
pub(crate) fn needs(path: &Path, bytes: u64, what: &str) -> Result<(), Error> {
    let (free, there) = free(path)?;
    if free >= bytes {
        return Ok(());
    }
    let text = format!(
        "too little space for {what}: {bytes} bytes are wanted, and {free} are free on the file system of {}",
        there.display()
    );
    Err(Error::new(text).remedy("free some space there"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_with_both_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("not/there/yet");
        assert_eq!(free(&path).unwrap().1, dir.path());
        needs(&path, 1, "a file").unwrap();
        let why = needs(&path, u64::MAX, "a file").unwrap_err().to_string();
        assert!(why.contains("a file: 18446744073709551615 bytes"), "{why}");
    }
}
