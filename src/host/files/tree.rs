//! Whole directories: known by one digest, copied, exchanged, removed.
//!
//! Invariants: a digest covers names, kinds, modes, owners, contents, targets of links and the times of files; links are
//! never followed; a copy shares nothing with its original, because some writers change files in place (compressed
//! copies of static files are written so), and that would reach through a hard link. On file systems that can, its
//! blocks are shared until they are written.

use crate::action::{Context, Error, Kept};
use crate::host::files::exclude::Excluded;
use crate::host::files::{disk, entry};
use crate::system::durable;
use rustix::fs::{AtFlags, CWD, Gid, Mode, Timespec, Timestamps, Uid, chownat};
use sha2::{Digest, Sha256};
use std::fs::{DirEntry, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A directory as it is now. It is never recorded: the digest tells what it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree {
    /// Of everything in it; lower-case hex.
    pub(crate) sha256: String,
    /// How many files there are.
    pub(crate) files: u64,
    /// Their size.
    pub(crate) bytes: u64,
    /// How many entries are left out, those below them not counted.
    pub(crate) excluded: u64,
}

impl Tree {
    /// A name for the record, which tells nothing of what is in it.
    pub(crate) fn named(&self, cx: &Context) -> Result<Named, Error> {
        Ok(Named {
            tree: cx.fingerprint(&mut self.sha256.as_bytes())?,
            files: self.files,
        })
    }
}

/// A directory as the record names it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// The salted digest of its digest.
    tree: Kept,
    /// How many files there were.
    pub(crate) files: u64,
}

impl Named {
    /// Whether a directory is the one that was named.
    pub(crate) fn is(&self, cx: &Context, tree: &Tree) -> Result<bool, Error> {
        cx.is_kept(&self.tree, tree.sha256.as_bytes())
    }
}

fn cannot(what: &str, path: &Path, cause: &dyn std::error::Error) -> Error {
    Error::io(format!("cannot {what} {}", path.display()), cause)
}

/// The entries of a directory, by name.
fn entries(dir: &Path) -> Result<Vec<DirEntry>, Error> {
    let mut all: Vec<DirEntry> = std::fs::read_dir(dir)
        .and_then(Iterator::collect)
        .map_err(|e| cannot("read", dir, &e))?;
    all.sort_by_key(DirEntry::file_name);
    Ok(all)
}

/// A directory; none when there is nothing.
///
/// # Errors
/// [`Error`] when it is something else, or holds what is neither file, link nor directory.
pub(crate) fn look(root: &Path) -> Result<Option<Tree>, Error> {
    look_without(root, &Excluded::default())
}

/// The same without what is left out.
///
/// # Errors
/// As for [`look`].
pub(crate) fn look_without(root: &Path, excluded: &Excluded) -> Result<Option<Tree>, Error> {
    let meta = match root.symlink_metadata() {
        Ok(meta) => meta,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(cannot("look at", root, &e)),
    };
    if !meta.is_dir() {
        return Err(Error::new(format!("{} is no directory", root.display())));
    }
    let mut hash = Sha256::new();
    let mut tree = Tree {
        sha256: String::new(),
        files: 0,
        bytes: 0,
        excluded: 0,
    };
    add(&mut hash, &mut tree, excluded, root, (root, &meta))?;
    tree.sha256 = format!("{:x}", Hex(&hash.finalize()));
    Ok(Some(tree))
}

struct Hex<'a>(&'a [u8]);

impl std::fmt::LowerHex for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

fn add(
    hash: &mut Sha256,
    tree: &mut Tree,
    excluded: &Excluded,
    root: &Path,
    (path, meta): (&Path, &Metadata),
) -> Result<(), Error> {
    let inside = path.strip_prefix(root).unwrap_or(path).as_os_str();
    let mut field = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    field(inside.as_bytes());
    let kind = meta.file_type();
    let owner = format!("{}:{}", meta.uid(), meta.gid());
    if kind.is_symlink() {
        let to = path.read_link().map_err(|e| cannot("read", path, &e))?;
        field(b"link");
        field(owner.as_bytes());
        field(to.as_os_str().as_bytes());
        return Ok(());
    }
    let mode = meta.mode() & 0o7777;
    if kind.is_file() {
        tree.files += 1;
        tree.bytes += meta.len();
        let time = format!("{}.{:09}", meta.mtime(), meta.mtime_nsec());
        field(format!("file {mode:o} {owner} {time} {}", meta.len()).as_bytes());
        let mut file = File::open(path).map_err(|e| cannot("open", path, &e))?;
        io::copy(&mut file, &mut Sink(hash)).map_err(|e| cannot("read", path, &e))?;
        return Ok(());
    }
    if !kind.is_dir() {
        return Err(Error::new(format!(
            "{} is neither a file, a link nor a directory",
            path.display()
        )));
    }
    field(format!("directory {mode:o} {owner}").as_bytes());
    for entry in entries(path)? {
        let path = entry.path();
        if excluded.has(path.strip_prefix(root).unwrap_or(&path)) {
            tree.excluded += 1;
            continue;
        }
        let meta = path
            .symlink_metadata()
            .map_err(|e| cannot("look at", &path, &e))?;
        add(hash, tree, excluded, root, (&path, &meta))?;
    }
    Ok(())
}

/// The files and links of a directory that another has not, or has otherwise, by their names in it. Contents are not read:
/// a copy has the times of its original.
///
/// # Errors
/// [`Error`] when one of them cannot be read.
pub(crate) fn beyond(now: &Path, then: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for entry in entries(now)? {
        let name = entry.file_name();
        let (path, other) = (entry.path(), then.join(&name));
        let meta = path
            .symlink_metadata()
            .map_err(|e| cannot("look at", &path, &e))?;
        let was = other.symlink_metadata().ok();
        let is_dir = |meta: &Metadata| meta.is_dir();
        if meta.is_dir() && was.as_ref().is_some_and(is_dir) {
            let inside = beyond(&path, &other)?;
            found.extend(inside.into_iter().map(|p| Path::new(&name).join(p)));
            continue;
        }
        let looks = |m: &Metadata| (m.file_type(), m.len(), m.mtime(), m.mtime_nsec());
        let same = match (meta.is_symlink(), &was) {
            (true, Some(was)) if was.is_symlink() => {
                path.read_link().ok() == other.read_link().ok()
            }
            (_, Some(was)) => looks(&meta) == looks(was),
            (_, None) => false,
        };
        if !same {
            found.push(name.into());
        }
    }
    Ok(found)
}

struct Sink<'a>(&'a mut Sha256);

impl io::Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Copies a directory to a place where nothing is, durably.
///
/// # Errors
/// [`Error`]; a part of the copy may be there.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    copy_without(from, to, &Excluded::default())
}

/// The same without what is left out.
///
/// # Errors
/// As for [`copy`].
pub(crate) fn copy_without(from: &Path, to: &Path, excluded: &Excluded) -> Result<(), Error> {
    copy_dir(from, to, (from, excluded))?;
    File::open(to)
        .and_then(|dir| Ok(rustix::fs::syncfs(dir)?))
        .map_err(|e| cannot("sync", to, &e))
}

fn owner(meta: &Metadata) -> (Option<Uid>, Option<Gid>) {
    (
        Some(Uid::from_raw(meta.uid())),
        Some(Gid::from_raw(meta.gid())),
    )
}

/// Copies what a copy has left out, in the place of what the other directory has there, where its parent is a directory in
/// both. What is at such places and is not left out of the one is removed from the other.
///
/// # Errors
/// [`Error`]; a part of it may be there.
pub(crate) fn copy_excluded(from: &Path, to: &Path, excluded: &Excluded) -> Result<(), Error> {
    if excluded.is_empty() {
        return Ok(());
    }
    remove_excluded(to, to, excluded)?;
    add_excluded(from, from, to, excluded)?;
    File::open(to)
        .and_then(|dir| Ok(rustix::fs::syncfs(dir)?))
        .map_err(|e| cannot("sync", to, &e))
}

fn remove_excluded(root: &Path, dir: &Path, excluded: &Excluded) -> Result<(), Error> {
    for entry in entries(dir)? {
        let path = entry.path();
        if excluded.has(path.strip_prefix(root).unwrap_or(&path)) {
            entry::remove(&path)?;
        } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_excluded(root, &path, excluded)?;
        }
    }
    Ok(())
}

fn add_excluded(root: &Path, dir: &Path, to: &Path, excluded: &Excluded) -> Result<(), Error> {
    let kept = to
        .symlink_metadata()
        .map_err(|e| cannot("look at", to, &e))?;
    for entry in entries(dir)? {
        let (path, into) = (entry.path(), to.join(entry.file_name()));
        if excluded.has(path.strip_prefix(root).unwrap_or(&path)) {
            copy_entry(&entry, &into, (root, &Excluded::default()))?;
        } else if entry.file_type().is_ok_and(|kind| kind.is_dir())
            && into.symlink_metadata().is_ok_and(|meta| meta.is_dir())
        {
            add_excluded(root, &path, &into, excluded)?;
        }
    }
    File::open(to)
        .and_then(|dir| Ok(rustix::fs::futimens(dir, &times_of(&kept))?))
        .map_err(|e| cannot("keep the time of", to, &e))
}

fn copy_entry(entry: &DirEntry, to: &Path, whole: (&Path, &Excluded)) -> Result<(), Error> {
    let from = entry.path();
    let kind = entry
        .file_type()
        .map_err(|e| cannot("look at", &from, &e))?;
    if kind.is_dir() {
        return copy_dir(&from, to, whole);
    }
    if kind.is_file() {
        return copy_file(&from, to);
    }
    if !kind.is_symlink() {
        // A socket or a pipe is made anew by whoever listens there.
        return Ok(());
    }
    let meta = from
        .symlink_metadata()
        .map_err(|e| cannot("look at", &from, &e))?;
    let target = from.read_link().map_err(|e| cannot("read", &from, &e))?;
    std::os::unix::fs::symlink(target, to).map_err(|e| cannot("make", to, &e))?;
    let (uid, gid) = owner(&meta);
    chownat(CWD, to, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|e| cannot("keep the owner of", &from, &e))
}

fn copy_dir(from: &Path, to: &Path, whole: (&Path, &Excluded)) -> Result<(), Error> {
    let meta = from
        .symlink_metadata()
        .map_err(|e| cannot("look at", from, &e))?;
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(to)
        .map_err(|e| cannot("make", to, &e))?;
    for entry in entries(from)? {
        let (root, excluded) = whole;
        let path = entry.path();
        if !excluded.has(path.strip_prefix(root).unwrap_or(&path)) {
            copy_entry(&entry, &to.join(entry.file_name()), whole)?;
        }
    }
    let (uid, gid) = owner(&meta);
    chownat(CWD, to, uid, gid, AtFlags::empty())
        .map_err(|e| cannot("keep the owner of", from, &e))?;
    let mode = std::fs::Permissions::from_mode(meta.mode() & 0o7777);
    std::fs::set_permissions(to, mode).map_err(|e| cannot("keep the mode of", from, &e))?;
    // After its entries, each of which has changed its time.
    File::open(to)
        .and_then(|dir| Ok(rustix::fs::futimens(dir, &times_of(&meta))?))
        .map_err(|e| cannot("keep the time of", from, &e))
}

fn times_of(meta: &Metadata) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: meta.atime(),
            tv_nsec: meta.atime_nsec(),
        },
        last_modification: Timespec {
            tv_sec: meta.mtime(),
            tv_nsec: meta.mtime_nsec(),
        },
    }
}

/// Copies the parts of a file that hold data: a hole stays one, and takes no room.
fn copy_data(source: &mut File, to: &mut File, len: u64) -> io::Result<()> {
    use rustix::fs::{SeekFrom, seek};
    let mut at = 0;
    while at < len {
        let begin = match seek(&*source, SeekFrom::Data(at)) {
            Ok(begin) => begin,
            // Nothing but a hole.
            Err(rustix::io::Errno::NXIO) => break,
            // The file system does not know.
            Err(rustix::io::Errno::INVAL) => at,
            Err(e) => return Err(e.into()),
        };
        let end = seek(&*source, SeekFrom::Hole(begin)).unwrap_or(len);
        source.seek(io::SeekFrom::Start(begin))?;
        to.seek(io::SeekFrom::Start(begin))?;
        io::copy(&mut source.by_ref().take(end.saturating_sub(begin)), to)?;
        at = end.max(begin + 1);
    }
    // One that grows meanwhile is compared afterwards.
    if to.metadata()?.len() < len {
        to.set_len(len)?;
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> Result<(), Error> {
    let mut source = File::open(from).map_err(|e| cannot("open", from, &e))?;
    let meta = source.metadata().map_err(|e| cannot("look at", from, &e))?;
    let wrong = |e: &dyn std::error::Error| cannot("write", to, e);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(|e| wrong(&e))?;
    if rustix::fs::ioctl_ficlone(&file, &source).is_err() {
        copy_data(&mut source, &mut file, meta.len()).map_err(|e| wrong(&e))?;
    }
    let (uid, gid) = owner(&meta);
    rustix::fs::fchown(&file, uid, gid).map_err(|e| cannot("keep the owner of", from, &e))?;
    disk::attributes(from, &file)?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(meta.mode() & 0o7777)).map_err(|e| wrong(&e))?;
    rustix::fs::futimens(&file, &times_of(&meta)).map_err(|e| wrong(&e))
}

/// Lets two directories change places: at once, where the file system can; otherwise by way of a third name, and who
/// comes after a crash in between finds the one place empty.
pub(crate) fn exchange(one: &Path, other: &Path, third: &Path) -> Result<(), Error> {
    if durable::exchange(one, other)? {
        return Ok(());
    }
    entry::rename(one, third)?;
    entry::rename(other, one)
}

/// Where a path leads once it exists: as much of it as exists is resolved.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf, Error> {
    let mut rest = Vec::new();
    let mut base = path;
    loop {
        match base.canonicalize() {
            Ok(found) => {
                return Ok(rest.iter().rev().fold(found, |path, name| path.join(name)));
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {
                let (Some(parent), Some(name)) = (base.parent(), base.file_name()) else {
                    return Err(cannot("find", path, &e));
                };
                if base.symlink_metadata().is_ok() {
                    return Err(Error::new(format!(
                        "{} is a dangling symbolic link",
                        base.display()
                    )));
                }
                rest.push(name);
                base = parent;
            }
            Err(e) => return Err(cannot("find", base, &e)),
        }
    }
}
