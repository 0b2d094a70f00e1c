//! The state directory: where the ledger lies, and whether it may lie there.
//!
//! Invariants: the directory is ours alone (0700) and so is each file in it (0600, one link, no symbolic link); a file
//! system without working locks is refused. This module never opens an existing ledger file: closing any descriptor of
//! a file drops the locks that SQLite holds on it in the same process.
//! Left out: what is in the ledger file.

use rustix::fs::{FallocateFlags, Mode, OFlags};
use std::fmt;
use std::fs::{self, DirBuilder, File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The ledger's name in the state directory.
const LEDGER: &str = "ledger.db";
/// Where large blobs lie.
const BLOBS: &str = "blobs";
/// Held against a full disk.
const RESERVE: &str = "reserve";
/// Enough for the journal and pages of the records that say why the run stopped.
const RESERVE_BYTES: u64 = 4 << 20;

/// Everybody may write into it.
const WORLD: u32 = 0o002;
/// But only the owner of an entry may rename it.
const STICKY: u32 = 0o1000;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Numeric id.
    pub uid: u32,
    /// Name in `/etc/passwd`, if there.
    pub name: Option<String>,
}

impl Owner {
    fn of(uid: u32) -> Self {
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let name = users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (name, id) = (fields.next()?, fields.nth(1)?);
            (id.parse() == Ok(uid)).then(|| name.to_owned())
        });
        Self { uid, name }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(out, "{name} (uid {})", self.uid),
            None => write!(out, "uid {}", self.uid),
        }
    }
}

/// A file system that works but does not keep what it is given; the caller records it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeakFs {
    /// Gone at reboot.
    Tmpfs,
    /// Gone at reboot.
    Ramfs,
    /// The writable layer of a container: gone with it.
    Overlay,
}

impl WeakFs {
    /// The kernel's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tmpfs => "tmpfs",
            Self::Ramfs => "ramfs",
            Self::Overlay => "overlay",
        }
    }
}

/// Why a ledger cannot be here.
#[derive(Debug, Error)]
pub enum PlaceError {
    /// It belongs to another user, and we may not enter.
    #[error("no access to {path}, which is owned by {owner}")]
    NoAccess {
        /// What we may not enter.
        path: PathBuf,
        /// Whose it is.
        owner: Owner,
    },
    /// It belongs to another user.
    #[error("{path} is owned by {owner}, not by the current user ({us})")]
    NotOurs {
        /// What is not ours.
        path: PathBuf,
        /// Whose it is.
        owner: Owner,
        /// Who we are.
        us: Owner,
    },
    /// There is no such directory.
    #[error("there is no state directory {path}")]
    Absent {
        /// Where it should be.
        path: PathBuf,
    },
    /// A symbolic link where none may be.
    #[error("{path} is a symbolic link")]
    Symlink {
        /// The link.
        path: PathBuf,
    },
    /// A file under more than one name: its journal would be found under only one of them.
    #[error("{path} has {links} hard links")]
    HardLink {
        /// The file.
        path: PathBuf,
        /// How many names it has.
        links: u64,
    },
    /// Neither directory nor regular file, whichever it should be.
    #[error("{path} is not a {wanted}")]
    Type {
        /// What it is about.
        path: PathBuf,
        /// `directory` or `regular file`.
        wanted: &'static str,
    },
    /// Others may read or write it.
    #[error("{path} has mode {mode:04o}: others have access (chmod go= {path})")]
    TooOpen {
        /// What it is about.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Others may rename it, and put another in its place.
    #[error(
        "{parent}, above {path}, is world-writable, so any user could replace it (chmod o-w {parent})"
    )]
    Exposed {
        /// What it is about.
        path: PathBuf,
        /// The directory above it.
        parent: PathBuf,
    },
    /// A file system without locks that can be relied on.
    #[error("{path} is on {name}, a file system whose locks and fsync are not reliable")]
    Network {
        /// The state directory.
        path: PathBuf,
        /// The file system.
        name: &'static str,
    },
    /// The operating system refused.
    #[error("cannot {what} {path}")]
    Io {
        /// The action.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Which file stands behind a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// A state directory that passed every check.
#[derive(Debug, Clone)]
pub struct Place {
    dir: PathBuf,
    weak: Option<WeakFs>,
}

impl Place {
    /// The state directory `dir`, made (0700) with its parents if it is not there.
    ///
    /// # Errors
    /// [`PlaceError`] if it cannot be made or may not hold a ledger.
    pub fn open_or_create(dir: &Path) -> Result<Self, PlaceError> {
        create(dir, 0o700)?;
        Self::open(dir)
    }

    /// The state directory `dir`, which must be there.
    ///
    /// # Errors
    /// [`PlaceError`] if it is not there, not accessible, or may not hold a ledger.
    pub fn open(dir: &Path) -> Result<Self, PlaceError> {
        let found = look(dir)?.ok_or_else(|| PlaceError::Absent {
            path: dir.to_owned(),
        })?;
        private_directory(dir, &found)?;
        let dir = dir
            .canonicalize()
            .map_err(|source| denied(dir, "find", source))?;
        sheltered(&dir)?;
        // Entering needs more than `stat` of the directory itself.
        fs::read_dir(&dir).map_err(|source| denied(&dir, "enter", source))?;
        let weak = file_system(&dir)?;
        Ok(Self { dir, weak })
    }

    /// The directory, without symbolic links.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The ledger's file.
    #[must_use]
    pub fn ledger_path(&self) -> PathBuf {
        self.dir.join(LEDGER)
    }

    /// Where large blobs lie.
    #[must_use]
    pub fn blobs_path(&self) -> PathBuf {
        self.dir.join(BLOBS)
    }

    /// A file system that may lose the ledger: to be recorded as a warning.
    #[must_use]
    pub fn weak_fs(&self) -> Option<WeakFs> {
        self.weak
    }

    /// Refuses to write into a directory of another user: files of ours in it would lock the owner out.
    pub(crate) fn require_ours(&self) -> Result<(), PlaceError> {
        let found = look(&self.dir)?.ok_or_else(|| PlaceError::Absent {
            path: self.dir.clone(),
        })?;
        ours(&self.dir, &found)
    }

    /// The ledger's file, if there is one and it may be opened.
    pub(crate) fn ledger_file(&self) -> Result<Option<FileId>, PlaceError> {
        let path = self.ledger_path();
        // The journal is opened by name; a link there would be followed to any file.
        let journal = self.dir.join("ledger.db-journal");
        if let Some(found) = look(&journal)? {
            regular(&journal, &found)?;
        }
        let Some(found) = look(&path)? else {
            return Ok(None);
        };
        regular(&path, &found)?;
        if found.mode() & 0o077 != 0 {
            return Err(PlaceError::TooOpen {
                path,
                mode: found.mode() & 0o7777,
            });
        }
        Ok(Some(FileId {
            device: found.dev(),
            inode: found.ino(),
        }))
    }

    /// Makes an empty ledger file of mode 0600, which SQLite's journal inherits. Never touches one that is there.
    pub(crate) fn create_ledger_file(&self) -> Result<(), PlaceError> {
        let path = self.ledger_path();
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600)) {
            Ok(_) => sync_dir(&self.dir),
            Err(rustix::io::Errno::EXIST) => Ok(()),
            Err(error) => Err(PlaceError::Io {
                what: "create",
                path,
                source: error.into(),
            }),
        }
    }

    /// Sets disk space aside. A disk that has none left is not an error: then there is no reserve. Nor is there one where it
    /// would take what is left: a program that has just been given room needs it for its records.
    pub(crate) fn hold_reserve(&self) -> Result<bool, PlaceError> {
        let path = self.dir.join(RESERVE);
        let fail = |source: rustix::io::Errno| PlaceError::Io {
            what: "reserve space in",
            path: path.clone(),
            source: source.into(),
        };
        if look(&path)?
            .is_some_and(|found| found.is_file() && found.blocks() * 512 >= RESERVE_BYTES)
        {
            return Ok(true);
        }
        let space = rustix::fs::statvfs(&self.dir).map_err(fail)?;
        if space.f_bavail.saturating_mul(space.f_frsize) < 2 * RESERVE_BYTES {
            return Ok(false);
        }
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600)) {
            Ok(file) => file,
            Err(rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT) => return Ok(false),
            Err(error) => return Err(fail(error)),
        };
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, RESERVE_BYTES) {
            Ok(()) => Ok(true),
            // Half a reserve would only take the space that is missing.
            Err(_) => rustix::fs::unlink(&path).map(|()| false).map_err(fail),
        }
    }

    /// Gives the disk space that was set aside back, for a program that cannot even open its ledger. False if there was
    /// none.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn release_reserve(&self) -> io::Result<bool> {
        match fs::remove_file(self.dir.join(RESERVE)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The directory of large blobs, made if need be.
    pub(crate) fn make_blobs_dir(&self) -> Result<PathBuf, PlaceError> {
        let path = self.blobs_path();
        create(&path, 0o700)?;
        let found = look(&path)?.ok_or_else(|| PlaceError::Absent { path: path.clone() })?;
        private_directory(&path, &found)?;
        Ok(path)
    }
}

/// Makes `dir` and its parents, each one durable before the next.
pub(crate) fn create(dir: &Path, mode: u32) -> Result<(), PlaceError> {
    if look(dir)?.is_some() {
        return Ok(());
    }
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !parent.exists() {
        create(parent, 0o755)?;
    }
    match DirBuilder::new().mode(mode).create(dir) {
        Ok(()) => sync_dir(parent),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(PlaceError::Io {
            what: "create",
            path: dir.to_owned(),
            source,
        }),
    }
}

/// What stands under a name, links not followed. `None` if nothing.
///
/// A name can be removed between its being found and its file being looked at; the file has no link left then. SQLite
/// removes its journal at every commit, so that this happens beside a busy writer.
pub(crate) fn look(path: &Path) -> Result<Option<Metadata>, PlaceError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.nlink() == 0 => Ok(None),
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(denied(path, "look at", source)),
    }
}

/// Refuses what is not a directory for us alone to enter.
pub(crate) fn private_directory(path: &Path, found: &Metadata) -> Result<(), PlaceError> {
    if found.is_symlink() {
        return Err(PlaceError::Symlink {
            path: path.to_owned(),
        });
    }
    if !found.is_dir() {
        return Err(PlaceError::Type {
            path: path.to_owned(),
            wanted: "directory",
        });
    }
    if found.mode() & 0o077 != 0 {
        return Err(PlaceError::TooOpen {
            path: path.to_owned(),
            mode: found.mode() & 0o7777,
        });
    }
    Ok(())
}

/// Refuses a directory, free of links, below one in which everybody may rename the entries of others.
pub(crate) fn sheltered(dir: &Path) -> Result<(), PlaceError> {
    for parent in dir.ancestors().skip(1) {
        let mode = look(parent)?.map_or(0, |found| found.mode());
        if mode & WORLD != 0 && mode & STICKY == 0 {
            return Err(PlaceError::Exposed {
                path: dir.to_owned(),
                parent: parent.to_owned(),
            });
        }
    }
    Ok(())
}

/// Refuses what belongs to another user.
pub(crate) fn ours(path: &Path, found: &Metadata) -> Result<(), PlaceError> {
    let us = rustix::process::geteuid().as_raw();
    if found.uid() == us {
        return Ok(());
    }
    Err(PlaceError::NotOurs {
        path: path.to_owned(),
        owner: Owner::of(found.uid()),
        us: Owner::of(us),
    })
}

fn regular(path: &Path, found: &Metadata) -> Result<(), PlaceError> {
    if found.is_symlink() {
        return Err(PlaceError::Symlink {
            path: path.to_owned(),
        });
    }
    if !found.is_file() {
        return Err(PlaceError::Type {
            path: path.to_owned(),
            wanted: "regular file",
        });
    }
    if found.nlink() != 1 {
        return Err(PlaceError::HardLink {
            path: path.to_owned(),
            links: found.nlink(),
        });
    }
    Ok(())
}

/// An error on `path`; where access is denied, the nearest thing that can be looked at names its owner.
fn denied(path: &Path, what: &'static str, source: io::Error) -> PlaceError {
    if source.kind() == io::ErrorKind::PermissionDenied {
        let seen = path.ancestors().find_map(|path| {
            fs::symlink_metadata(path)
                .ok()
                .map(|found| (path, found.uid()))
        });
        if let Some((path, uid)) = seen {
            return PlaceError::NoAccess {
                path: path.to_owned(),
                owner: Owner::of(uid),
            };
        }
    }
    PlaceError::Io {
        what,
        path: path.to_owned(),
        source,
    }
}

/// Makes the entries of a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), PlaceError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|source| PlaceError::Io {
            what: "sync",
            path: dir.to_owned(),
            source,
        })
}

/// Refuses a network file system; names one that forgets.
fn file_system(dir: &Path) -> Result<Option<WeakFs>, PlaceError> {
    let fail = |source: rustix::io::Errno| PlaceError::Io {
        what: "statfs",
        path: dir.to_owned(),
        source: source.into(),
    };
    let kind = rustix::fs::statfs(dir).map_err(fail)?.f_type;
    // The magic is 32 bits wide; some architectures hold it in a signed word and sign-extend it.
    let bytes = kind.to_le_bytes();
    let magic = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let (weak, name) = classify(magic);
    match name {
        Some(name) => Err(PlaceError::Network {
            path: dir.to_owned(),
            name,
        }),
        None => Ok(weak),
    }
}

/// By the magic numbers of `linux/magic.h` and of the file systems themselves.
fn classify(magic: u32) -> (Option<WeakFs>, Option<&'static str>) {
    match magic {
        0x0102_1994 => (Some(WeakFs::Tmpfs), None),
        0x8584_58f6 => (Some(WeakFs::Ramfs), None),
        0x794c_7630 => (Some(WeakFs::Overlay), None),
        0x6969 => (None, Some("NFS")),
        0x517b => (None, Some("SMB")),
        0xff53_4d42 => (None, Some("CIFS")),
        0xfe53_4d42 => (None, Some("SMB2")),
        0x6573_5546 => (None, Some("FUSE")),
        0x0102_1997 => (None, Some("9p")),
        0x00c3_6400 => (None, Some("Ceph")),
        0x5346_414f | 0x6b41_4653 => (None, Some("AFS")),
        0x7375_7245 => (None, Some("Coda")),
        0x564c => (None, Some("NCP")),
        0x0bd0_0bd0 => (None, Some("Lustre")),
        0x4750_4653 => (None, Some("GPFS")),
        0x1983_0326 => (None, Some("BeeGFS")),
        0x786f_4256 => (None, Some("vboxsf")),
        0x0116_1970 => (None, Some("GFS2")),
        0x7461_636f => (None, Some("OCFS2")),
        _ => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_are_known_by_their_numbers() {
        let nfs = u32::try_from(rustix::fs::NFS_SUPER_MAGIC).unwrap();
        assert_eq!(classify(nfs), (None, Some("NFS")));
        assert_eq!(classify(0x6573_5546), (None, Some("FUSE")));
        assert_eq!(classify(0x0102_1994), (Some(WeakFs::Tmpfs), None));
        assert_eq!(
            classify(0xef53),
            (None, None),
            "ext4 is neither refused nor weak"
        );
        assert_eq!(
            file_system(Path::new("/dev/shm")).unwrap(),
            Some(WeakFs::Tmpfs)
        );
    }

    /// Another process commits, and its journal comes and goes.
    #[test]
    fn a_journal_that_goes_while_it_is_looked_at_is_gone() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("state");
        let place = Place::open_or_create(&dir).unwrap();
        place.create_ledger_file().unwrap();
        let over = AtomicBool::new(false);
        let failure = std::thread::scope(|threads| {
            threads.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let journal = dir.join("ledger.db-journal");
                    File::create(&journal).unwrap();
                    fs::remove_file(&journal).unwrap();
                }
            });
            let failure = (0..200_000).find_map(|_| place.ledger_file().err());
            over.store(true, Ordering::Relaxed);
            failure
        });
        assert!(failure.is_none(), "{failure:?}");
    }

    #[test]
    fn an_owner_is_named_if_there_is_a_name() {
        assert_eq!(Owner::of(0).to_string(), "root (uid 0)");
        assert_eq!(Owner::of(4_000_000_000).to_string(), "uid 4000000000");
    }
}
