//! Files and names that are on the disk when the call returns: the one atomic write, and changes of names.
//!
//! Invariants: at every instant a target is the former file or the whole new one, because a complete and synced file
//! beside it takes its name; a call that fails leaves no temporary file. A temporary file with a given name is found and
//! removed by whoever comes after a crash, so that nobody else may use that name.
//!
//! Left out: files that grow in place (logs, the spool, the slot of a result), and who could choose the target through a
//! link (`host::files::trust`).

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::{NamedTempFile, TempPath};

/// What could not be done to which file.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}", path.display())]
pub(crate) struct Trouble {
    what: &'static str,
    path: PathBuf,
    pub(crate) source: io::Error,
}

impl From<Trouble> for io::Error {
    fn from(trouble: Trouble) -> Self {
        trouble.source
    }
}

fn cannot<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Trouble + 'a {
    move |source| Trouble {
        what,
        path: path.into(),
        source,
    }
}

/// The name of a file until it is complete, beside the target.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Temporary<'a> {
    /// One that nobody has; after a crash it stays.
    Random,
    /// This one.
    Named(&'a Path),
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// A complete and synced file beside the target.
fn draft<E: From<Trouble>>(
    target: &Path,
    temporary: Temporary<'_>,
    mode: u32,
    fill: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<NamedTempFile, E> {
    let begun = match temporary {
        Temporary::Random => tempfile::Builder::new()
            .prefix(".upledger-")
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(parent(target)),
        Temporary::Named(path) => remove_file(path).map_err(io::Error::from).and_then(|_| {
            let mut options = OpenOptions::new();
            let file = options.write(true).create_new(true).mode(mode).open(path)?;
            Ok(NamedTempFile::from_parts(
                file,
                TempPath::try_from_path(path)?,
            ))
        }),
    };
    let mut file = begun.map_err(cannot("write beside", target))?;
    fill(file.as_file_mut())?;
    file.as_file()
        .sync_all()
        .map_err(cannot("write beside", target))?;
    Ok(file)
}

/// Gives a target a new content: `fill` writes it, and all else that the file is to have, into a file with that mode, as
/// `open` takes it.
///
/// # Errors
/// What `fill` says, or [`Trouble`]; unless it is about the directory's sync, the target is then as it was.
pub(crate) fn replace<E: From<Trouble>>(
    target: &Path,
    temporary: Temporary<'_>,
    mode: u32,
    fill: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<(), E> {
    let file = draft(target, temporary, mode, fill)?;
    file.persist(target)
        .map_err(|e| cannot("replace", target)(e.error))?;
    Ok(sync_dir(parent(target)).map_err(cannot("sync the directory of", target))?)
}

/// The same for a target that nothing may have made yet: `false` when something has, whose name is durable then.
///
/// # Errors
/// As for [`replace`].
pub(crate) fn create<E: From<Trouble>>(
    target: &Path,
    mode: u32,
    fill: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<bool, E> {
    let file = draft(target, Temporary::Random, mode, fill)?;
    let made = match std::fs::hard_link(file.path(), target) {
        Ok(()) => true,
        Err(e) if e.kind() == ErrorKind::AlreadyExists => false,
        Err(e) => return Err(cannot("make", target)(e).into()),
    };
    sync_dir(parent(target)).map_err(cannot("sync the directory of", target))?;
    Ok(made)
}

/// The same under a name that a person gave, on whatever file system that is: one without hard links, such as that of a
/// memory stick, gets the file by a rename that takes no name over.
///
/// # Errors
/// As for [`replace`].
pub(crate) fn publish<E: From<Trouble>>(
    target: &Path,
    mode: u32,
    fill: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<bool, E> {
    let file = draft(target, Temporary::Random, mode, fill)?;
    let made = match std::fs::hard_link(file.path(), target) {
        Ok(()) => Ok(()),
        Err(e)
            if matches!(
                e.kind(),
                ErrorKind::PermissionDenied | ErrorKind::Unsupported
            ) =>
        {
            rename_new(file.path(), target).map_err(|trouble| trouble.source)
        }
        Err(e) => Err(e),
    };
    match made {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::AlreadyExists => return Ok(false),
        Err(e) => return Err(cannot("make", target)(e).into()),
    }
    sync_dir(parent(target)).map_err(cannot("sync the directory of", target))?;
    Ok(true)
}

/// Makes the names in a directory durable.
///
/// # Errors
/// When it cannot be synced.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes the content of a file durable that somebody else has written, and its name.
///
/// # Errors
/// [`Trouble`] when it cannot be synced.
pub(crate) fn sync_file(path: &Path) -> Result<(), Trouble> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .and_then(|()| sync_dir(parent(path)))
        .map_err(cannot("make durable", path))
}

/// Removes a file or a link; whether it was there.
///
/// # Errors
/// [`Trouble`] when it cannot be removed.
pub(crate) fn remove_file(path: &Path) -> Result<bool, Trouble> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        removed => removed
            .and_then(|()| sync_dir(parent(path)))
            .map(|()| true)
            .map_err(cannot("remove", path)),
    }
}

/// Gives an entry another name, in the place of what has it.
///
/// # Errors
/// [`Trouble`] when it cannot be renamed.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), Trouble> {
    std::fs::rename(from, to)
        .and_then(|()| sync_dir(parent(to)))
        .map_err(cannot("rename to", to))
}

/// Gives an entry another name that nobody has.
///
/// # Errors
/// [`Trouble`] when it cannot be renamed, such as to a name that is taken.
pub(crate) fn rename_new(from: &Path, to: &Path) -> Result<(), Trouble> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => sync_dir(parent(to)).map_err(cannot("rename to", to)),
        // A file system that has no such rename, such as NFS. A look before it is the best that is left.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) if to.symlink_metadata().is_err() => {
            rename(from, to)
        }
        Err(e) => Err(cannot("rename to", to)(e.into())),
    }
}

/// Lets two entries change places at once; `false` where the file system cannot.
///
/// # Errors
/// [`Trouble`] when they cannot be exchanged.
pub(crate) fn exchange(one: &Path, other: &Path) -> Result<bool, Trouble> {
    match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
        Ok(()) => sync_dir(parent(one))
            .map(|()| true)
            .map_err(cannot("exchange", one)),
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Ok(false),
        Err(e) => Err(cannot("exchange", one)(e.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    fn text(of: &str) -> impl FnOnce(&mut File) -> io::Result<()> + '_ {
        move |file| file.write_all(of.as_bytes())
    }

    fn names(dir: &Path) -> Vec<String> {
        let listed = std::fs::read_dir(dir).unwrap();
        let names = listed.map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let (path, temp) = (dir.path().join("file"), dir.path().join(".file-step"));
        replace(&path, Temporary::Random, 0o640, text("one")).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        // What a crash has left is nobody's.
        std::fs::write(&temp, "half of something longer").unwrap();
        replace(&path, Temporary::Named(&temp), 0o600, text("two")).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        for temporary in [Temporary::Random, Temporary::Named(&temp)] {
            let failed = replace(&path, temporary, 0o600, |file| {
                file.write_all(b"thr")?;
                Err(io::Error::other("no more"))
            });
            assert_eq!(failed.unwrap_err().to_string(), "no more");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(names(dir.path()), ["file"]);
    }

    #[test]
    fn a_file_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        assert!(create(&path, 0o600, text("one")).unwrap());
        assert!(!create(&path, 0o600, text("two")).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
        assert_eq!(names(dir.path()), ["file"]);
    }

    #[test]
    fn a_file_is_published_whole_and_over_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let failed = publish(&path, 0o600, |file| {
            file.write_all(b"ha")?;
            Err(io::Error::other("no more"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "no more");
        assert_eq!(names(dir.path()), [""; 0]);
        assert!(publish(&path, 0o600, text("one")).unwrap());
        assert!(!publish(&path, 0o600, text("two")).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
        assert_eq!(names(dir.path()), ["file"]);
    }

    #[test]
    fn a_name_that_is_taken_is_not_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["a", "b"] {
            std::fs::write(at(name), name).unwrap();
        }
        let why = rename_new(&at("a"), &at("b")).unwrap_err();
        assert_eq!(why.source.kind(), ErrorKind::AlreadyExists);
        rename_new(&at("a"), &at("c")).unwrap();
        rename(&at("c"), &at("b")).unwrap();
        assert_eq!(std::fs::read_to_string(at("b")).unwrap(), "a");
        assert!(remove_file(&at("b")).unwrap());
        assert!(!remove_file(&at("b")).unwrap());
        assert_eq!(names(dir.path()), [""; 0]);
    }
}
