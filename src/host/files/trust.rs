//! Whether a path leads only where root or the runner decided that it leads. A part of actions that write, with much
//! power, to a place that users of less power may share.
//!
//! Invariants: whoever owns a link, or may put one into a directory, chooses the file that is written. Left out: who
//! owns the directories, and what changes between this look and the write, which the link's owner is asked about.

use crate::action::Error;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// As many links as the kernel follows.
const LINKS: u32 = 40;
/// Everybody may write into it.
const OTHERS: u32 = 0o002;
/// But only the owner of an entry may replace it.
const STICKY: u32 = 0o1000;

/// Refuses a path whose file somebody else than root and the runner could choose.
///
/// # Errors
/// [`Error`] with the remedy.
pub(crate) fn ours(path: &str) -> Result<(), Error> {
    walk(Path::new(path), LINKS)
}

/// The path, and where its own links lead: `links` of them one behind the other at most.
fn walk(path: &Path, links: u32) -> Result<(), Error> {
    let runner = rustix::process::geteuid().as_raw();
    let trusted = |uid: u32| uid == 0 || uid == runner;
    // Every directory on the way may be a link, too.
    for part in path.ancestors() {
        if let Ok(meta) = part.symlink_metadata()
            && meta.is_symlink()
            && !trusted(meta.uid())
        {
            return Err(Error::new(format!(
                "{} is not written: {} is a link owned by user {}, who controls its target; name the file itself, or make \
                 root the owner of the link (chown -h root {1})",
                path.display(),
                part.display(),
                meta.uid()
            )));
        }
    }
    for part in path.ancestors() {
        let (Ok(target), Some(dir)) = (part.read_link(), part.parent()) else {
            continue;
        };
        if links == 0 {
            return Err(Error::new(format!(
                "{} is not written: too many levels of symbolic links",
                path.display()
            )));
        }
        walk(&dir.join(target), links - 1)?;
    }
    let entry = path.symlink_metadata().ok();
    if entry.is_some_and(|e| trusted(e.uid())) {
        return Ok(());
    }
    let Some(dir) = path.parent() else {
        return Ok(());
    };
    let open = dir
        .metadata()
        .is_ok_and(|d| d.mode() & OTHERS != 0 && d.mode() & STICKY == 0);
    if open {
        return Err(Error::new(format!(
            "{} is not written: {} is world-writable, so any user could replace the file; remove that permission \
             (chmod o-w {1}), or name a file in another directory",
            path.display(),
            dir.display()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, lchown, symlink};

    #[test]
    fn a_link_of_somebody_else_is_refused_and_ours_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let check = |name: &str| ours(path(name).to_str().unwrap());
        std::fs::create_dir(path("there")).unwrap();
        symlink(path("there/file"), path("link")).unwrap();
        symlink(path("there"), path("way")).unwrap();
        check("link").unwrap();
        check("way/file").unwrap();
        for link in ["link", "way"] {
            lchown(path(link), Some(4711), Some(4711)).expect("as root");
        }
        // Ours, and it leads through theirs.
        symlink(path("link"), path("ours")).unwrap();
        for refused in ["link", "way/file", "ours"] {
            let why = check(refused).unwrap_err().to_string();
            assert!(
                why.contains("4711") && why.contains("chown -h root"),
                "{why}"
            );
        }
    }

    #[test]
    fn a_directory_of_everybody_is_refused_unless_the_entry_is_ours() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let check = || ours(path.to_str().unwrap());
        let mode = |mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(dir.path(), mode).unwrap();
        };
        check().unwrap();
        mode(0o777);
        let why = check().unwrap_err().to_string();
        assert!(why.contains("chmod o-w"), "{why}");
        mode(0o1777);
        check().unwrap();
        mode(0o777);
        std::fs::write(&path, "").unwrap();
        check().unwrap();
        std::os::unix::fs::chown(&path, Some(4711), None).expect("as root");
        assert!(check().is_err());
    }
}
