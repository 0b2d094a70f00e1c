//! Whether a path leads only where root or the runner decided that it leads: the check of every file that is written
//! through a path which users of less power may share.
//!
//! Invariants: whoever owns a link, or may put one into a directory, chooses the file that is written, so that a path
//! through such a link is refused; a file that root opens to grow in place stands below root's own directories, and is
//! opened without following any link that came since the check.
//!
//! A link of root or of the runner's own user is followed: `/var/run`, a `current` that the deploying user switches. So
//! is none of a third user, not even of the one whose service it is: what that user may write, the service can open
//! itself, and a log is opened as that user (`host::process::daemon`). Checked are the files of `file.*`, pages of
//! maintenance, crontabs, pidfiles, and logs that this process opens.
//!
//! Left out: who owns the directories of a file that is replaced as a whole, and what changes between the check and a rename in them, which the link's owner
//! is asked about; links that are switched, because nobody writes through them; whole trees (virtualenvs, clones,
//! static files), whose programs the runner executes anyhow; and files that a person names to a command.

use crate::action::Error;
use crate::host::files::disk;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use std::fs::File;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
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
pub(crate) fn ours(path: impl AsRef<Path>) -> Result<(), Error> {
    walk(path.as_ref(), LINKS)
}

/// Opens a file to append to it, with that mode where it is not there yet.
///
/// # Errors
/// [`Error`] when somebody else could choose which file that is, or when it cannot be opened.
pub(crate) fn append(path: &str, mode: u32) -> Result<File, Error> {
    ours(path)?;
    directories(path)?;
    // Opening a pipe would wait for its reader.
    if std::fs::metadata(path).is_ok_and(|m| m.file_type().is_fifo()) {
        return Err(Error::new(format!(
            "{path} is a named pipe; name a regular file"
        )));
    }
    // A link that somebody puts into the way from here on is an error of the kernel.
    let resolved = disk::resolve(path)?;
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(mode);
    let opened = match openat2(CWD, &resolved, flags, mode, ResolveFlags::NO_SYMLINKS) {
        // Before Linux 5.6, and where a filter of system calls is older than that.
        Err(Errno::NOSYS | Errno::PERM) => openat(CWD, &resolved, flags | OFlags::NOFOLLOW, mode),
        opened => opened,
    };
    let cannot = |e: &dyn std::error::Error| Error::io(format!("cannot open {path}"), e);
    let file = File::from(opened.map_err(|e| cannot(&e))?);
    let names = file.metadata().map_err(|e| cannot(&e))?.nlink();
    // In `/tmp` somebody else may have given a file of root this name.
    if names > 1 && rustix::process::geteuid().is_root() {
        return Err(Error::new(format!(
            "{path} is not written: the file has {names} names (hard links); move it away"
        )));
    }
    Ok(file)
}

/// Refuses a file of root that grows below a directory of somebody else, who may put another file in its place at any
/// moment. A file that is replaced as a whole leaves theirs alone, and needs no such check.
fn directories(path: &str) -> Result<(), Error> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let resolved = disk::resolve(path)?;
    for dir in resolved.ancestors().skip(1) {
        let owner = dir.metadata().map_or(0, |meta| meta.uid());
        if owner != 0 {
            return Err(Error::new(format!(
                "{path} is not written: {} belongs to user {owner}, who could put another file in its place; name a file in \
                 a directory of root",
                dir.display()
            )));
        }
    }
    Ok(())
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
            )).lasting());
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
        )).lasting());
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
        let check = |name: &str| ours(path(name));
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
        let check = || ours(&path);
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

    #[test]
    fn a_file_of_root_does_not_grow_below_a_directory_of_somebody_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        std::fs::create_dir_all(path("theirs/deep")).unwrap();
        std::fs::write(path("theirs/log"), "").unwrap();
        symlink("theirs", path("ours")).unwrap();
        for name in ["theirs/log", "theirs/new", "theirs/deep/log", "ours/log"] {
            append(&path(name), 0o640).unwrap();
        }
        std::os::unix::fs::chown(path("theirs"), Some(4711), None).expect("as root");
        for refused in ["theirs/log", "theirs/more", "theirs/deep/log", "ours/log"] {
            let why = append(&path(refused), 0o640).unwrap_err().to_string();
            assert!(why.contains("belongs to user 4711"), "{refused}: {why}");
            assert!(!Path::new(&path("theirs/more")).exists());
        }
        // What is replaced as a whole leaves every other file alone.
        ours(path("theirs/log")).unwrap();
        std::fs::write(path("precious"), "").unwrap();
        std::fs::hard_link(path("precious"), path("log")).unwrap();
        let why = append(&path("log"), 0o640).unwrap_err().to_string();
        assert!(why.contains("2 names"), "{why}");
    }

    #[test]
    fn a_file_grows_where_it_is_and_not_behind_a_link_of_somebody_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let write = |name: &str| {
            let mut file = append(&path(name), 0o640)?;
            std::io::Write::write_all(&mut file, b"line\n").unwrap();
            Ok::<(), Error>(())
        };
        std::fs::create_dir(path("there")).unwrap();
        symlink(path("there"), path("way")).unwrap();
        symlink("there/log", path("log")).unwrap();
        write("way/log").unwrap();
        write("log").unwrap();
        assert_eq!(std::fs::read(path("there/log")).unwrap(), b"line\nline\n");
        let mode = std::fs::metadata(path("there/log")).unwrap().mode();
        assert_eq!(mode & 0o7777 & !0o640, 0);
        for link in ["way", "log"] {
            lchown(path(link), Some(65534), Some(65534)).expect("as root");
        }
        for refused in ["way/log", "log"] {
            let why = write(refused).unwrap_err().to_string();
            assert!(why.contains("a link owned by user 65534"), "{why}");
        }
        assert!(append(&path("gone/log"), 0o640).is_err());
        assert!(write("there").is_err(), "a directory");
    }
}
