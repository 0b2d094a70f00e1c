//! Whole files on disk: looked at without surprises, written atomically and durably.
//!
//! Invariants: nothing but a regular file is ever opened for reading or replaced; a target changes only by a rename of
//! a complete, synced file in its own directory; a temporary file has a name that only this run's step uses, so that
//! whoever comes after a crash finds and removes it. Extended attributes, and with them ACLs, pass from the file that is
//! replaced; those of `security.` and `trusted.` are the system's business.

use super::mode::Mode;
use crate::actions::{Context, Error, Kept};
use rustix::fs::{Gid, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The largest file whose content an action takes into memory.
const LIMIT: u64 = 64 << 20;
/// The kernel's own limit for the names, and for one value, of extended attributes.
const XATTRS: usize = 64 << 10;

/// A file as it was or is to be, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::actions) struct Facts {
    /// Lower-case hex.
    pub(in crate::actions) sha256: String,
    /// Bytes.
    pub(in crate::actions) len: u64,
    pub(in crate::actions) mode: Mode,
    pub(in crate::actions) uid: u32,
    pub(in crate::actions) gid: u32,
    pub(in crate::actions) mtime: Time,
}

/// A time of the file system. Two integers: nanoseconds alone would not fit into a JSON number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::actions) struct Time {
    /// Seconds since 1970.
    pub(in crate::actions) sec: i64,
    /// Nanoseconds.
    pub(in crate::actions) nsec: i64,
}

impl std::fmt::Display for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { sha256, len, .. } = self;
        let (mode, uid, gid) = (self.mode, self.uid, self.gid);
        write!(
            f,
            "{len} bytes, sha256 {sha256}, mode {mode}, owner {uid}:{gid}"
        )
    }
}

impl Facts {
    fn new(sha256: String, len: u64, meta: &Metadata) -> Self {
        Self {
            sha256,
            len,
            mode: Mode::of(meta.mode()),
            uid: meta.uid(),
            gid: meta.gid(),
            mtime: Time {
                sec: meta.mtime(),
                nsec: meta.mtime_nsec(),
            },
        }
    }

    /// The manner in which this file comes back.
    pub(in crate::actions) fn manner(&self) -> Manner {
        Manner {
            mode: self.mode,
            owner: Some((self.uid, self.gid)),
            must_own: true,
            mtime: Some(self.mtime),
        }
    }
}

/// How a file is written, apart from its bytes.
#[derive(Debug, Clone, Copy)]
pub(in crate::actions) struct Manner {
    pub(in crate::actions) mode: Mode,
    pub(in crate::actions) owner: Option<(u32, u32)>,
    /// Without the right to give the file to its owner nothing is written.
    pub(in crate::actions) must_own: bool,
    pub(in crate::actions) mtime: Option<Time>,
}

/// SHA-256 in lower-case hex.
pub(in crate::actions) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, b| {
        // Writing to a string cannot fail.
        let _ = write!(out, "{b:02x}");
        out
    })
}

fn cannot(what: &str, path: &Path, cause: &dyn std::error::Error) -> Error {
    Error::io(format!("cannot {what} {}", path.display()), cause)
}

/// A regular file, opened; none when there is nothing. Nothing else is opened: a pipe would block, a device might act.
///
/// # Errors
/// [`Error`] for anything else.
pub(crate) fn open_plain(path: &Path) -> Result<Option<(File, Metadata)>, Error> {
    let plain = |meta: &Metadata| {
        if meta.is_file() {
            return Ok(());
        }
        let kind = if meta.is_dir() {
            "a directory"
        } else {
            "not a regular file"
        };
        Err(Error::new(format!("{} is {kind}", path.display())))
    };
    match std::fs::metadata(path) {
        Ok(meta) => plain(&meta)?,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(cannot("look at", path, &e)),
    }
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(|e| cannot("open", path, &e))?;
    let meta = file.metadata().map_err(|e| cannot("look at", path, &e))?;
    plain(&meta)?;
    Ok(Some((file, meta)))
}

/// Where a path leads: links are followed, and only the last name may be missing.
pub(in crate::actions) fn resolve(path: &str) -> Result<PathBuf, Error> {
    let path = Path::new(path);
    let whole = |p: &Path| p.canonicalize().map_err(|e| cannot("find", p, &e));
    match path.symlink_metadata() {
        Ok(meta) if meta.is_symlink() => path
            .canonicalize()
            .map_err(|e| Error::io(format!("the link {} leads nowhere", path.display()), &e)),
        Ok(_) => whole(path),
        Err(e) if e.kind() == ErrorKind::NotFound => match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok(whole(parent)?.join(name)),
            _ => Err(cannot("find", path, &e)),
        },
        Err(e) => Err(cannot("look at", path, &e)),
    }
}

/// A resolved path as text, so that it can be recorded.
pub(in crate::actions) fn text(path: &Path) -> Result<String, Error> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Error::new(format!("the path {} is no UTF-8", path.display())))
}

/// A file and its bytes; none when there is nothing.
pub(in crate::actions) fn read(path: &Path) -> Result<Option<(Vec<u8>, Facts)>, Error> {
    let Some((file, meta)) = open_plain(path)? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    file.take(LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| cannot("read", path, &e))?;
    let len = bytes.len() as u64;
    if len > LIMIT {
        let mib = LIMIT >> 20;
        return Err(Error::new(format!(
            "{} is larger than {mib} MiB",
            path.display()
        )));
    }
    let facts = Facts::new(digest(&bytes), len, &meta);
    Ok(Some((bytes, facts)))
}

/// The same without the bytes, for a file of any size.
pub(in crate::actions) fn look(path: &Path) -> Result<Option<(Facts, Metadata)>, Error> {
    let Some((mut file, meta)) = open_plain(path)? else {
        return Ok(None);
    };
    let (sha256, len) = pour(&mut file, &mut io::sink()).map_err(|e| cannot("read", path, &e))?;
    Ok(Some((Facts::new(sha256, len, &meta), meta)))
}

/// Digest and length of a file of any size; none when there is nothing.
///
/// # Errors
/// [`Error`] when it is no regular file, or cannot be read.
pub(crate) fn digest_of(path: &Path) -> Result<Option<(String, u64)>, Error> {
    Ok(look(path)?.map(|(facts, _)| (facts.sha256, facts.len)))
}

/// Copies to the end; the digest and the length of what passed.
fn pour(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<(String, u64)> {
    let (mut hash, mut len) = (Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = match from.read(&mut buffer) {
            Ok(0) => return Ok((hex(&hash.finalize()), len)),
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        hash.update(&buffer[..n]);
        to.write_all(&buffer[..n])?;
        len += n as u64;
    }
}

/// The temporary file beside a target. Its name is the same in every attempt of this step, forwards and backwards.
pub(in crate::actions) fn temporary(cx: &Context, target: &Path) -> PathBuf {
    target.with_file_name(format!(".upledger-{}", tag(cx, target)))
}

/// A name that only this step of this run has for that file.
pub(in crate::actions) fn tag(cx: &Context, target: &Path) -> String {
    let whole = format!("{}\0{}\0{}", cx.run, cx.step, target.display());
    let mut name = digest(whole.as_bytes());
    name.truncate(16);
    name
}

/// Removes a file that may not be there.
pub(in crate::actions) fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Ok(()) => sync_parent(path),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(cannot("remove", path, &e)),
    }
}

fn sync_parent(path: &Path) -> Result<(), Error> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    File::open(parent)
        .and_then(|dir| dir.sync_all())
        .map_err(|e| cannot("sync", parent, &e))
}

/// Writes a whole file: bytes whose digest is known, then everything else, then the rename.
///
/// # Errors
/// [`Error`]; the target is then as it was, and no temporary file is left.
pub(in crate::actions) fn put(
    cx: &Context,
    target: &Path,
    bytes: &mut dyn Read,
    sha256: &str,
    manner: Manner,
) -> Result<(), Error> {
    let temp = temporary(cx, target);
    let published = stage(&temp, target, bytes, sha256, manner)
        .and_then(|()| std::fs::rename(&temp, target).map_err(|e| cannot("replace", target, &e)));
    if published.is_err() {
        // The first error counts; what cannot be removed now is removed by the undo or the next attempt.
        let _ = std::fs::remove_file(&temp);
    }
    published?;
    sync_parent(target)
}

/// The first half of [`put`]: the complete temporary file.
pub(in crate::actions) fn stage(
    temp: &Path,
    target: &Path,
    bytes: &mut dyn Read,
    sha256: &str,
    manner: Manner,
) -> Result<(), Error> {
    remove(temp)?;
    let wrong = |e: &dyn std::error::Error| cannot("write", temp, e);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(temp)
        .map_err(|e| wrong(&e))?;
    let (found, _) = pour(bytes, &mut file).map_err(|e| wrong(&e))?;
    if found != sha256 {
        return Err(Error::new(format!(
            "the content for {} changed since it was looked at: sha256 {sha256} then, {found} now",
            target.display()
        )));
    }
    let meta = file.metadata().map_err(|e| wrong(&e))?;
    if let Some((uid, gid)) = manner.owner
        && (uid, gid) != (meta.uid(), meta.gid())
    {
        match rustix::fs::fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))) {
            Ok(()) => {}
            Err(Errno::PERM) if !manner.must_own => {}
            Err(e) => {
                let what = format!("cannot give {} to its owner {uid}:{gid}", target.display());
                return Err(Error::io(what, &e));
            }
        }
    }
    attributes(target, &file)?;
    // After the owner, whose change takes set-uid bits away, and after the ACL, whose mask is the group's bits.
    rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(manner.mode.bits()))
        .map_err(|e| wrong(&e))?;
    if let Some(time) = manner.mtime {
        let times = Timestamps {
            last_access: Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            },
            last_modification: Timespec {
                tv_sec: time.sec,
                tv_nsec: time.nsec,
            },
        };
        rustix::fs::futimens(&file, &times).map_err(|e| wrong(&e))?;
    }
    file.sync_all().map_err(|e| wrong(&e))
}

/// Gives a file the extended attributes of the one that it will replace.
fn attributes(from: &Path, to: &File) -> Result<(), Error> {
    let wrong = |e: Errno| cannot("keep the extended attributes of", from, &e);
    let mut names = vec![0; XATTRS];
    let len = match rustix::fs::listxattr(from, names.as_mut_slice()) {
        Ok(len) => len,
        Err(Errno::NOENT | Errno::NOTSUP) => return Ok(()),
        Err(e) => return Err(wrong(e)),
    };
    let mut value = vec![0; XATTRS];
    for name in names[..len]
        .split(|b| *b == 0)
        .filter(|n| !n.is_empty() && !n.starts_with(b"security.") && !n.starts_with(b"trusted."))
    {
        let len = rustix::fs::getxattr(from, name, value.as_mut_slice()).map_err(wrong)?;
        rustix::fs::fsetxattr(to, name, &value[..len], XattrFlags::empty()).map_err(wrong)?;
    }
    Ok(())
}

/// Keeps bytes for an undo, by their digest, where only the runner's user can read them.
pub(in crate::actions) fn keep(cx: &Context, bytes: &[u8], sha256: &str) -> Result<(), Error> {
    let path = cx.undo_dir()?.join(sha256);
    let whole = read(&path)?.is_some_and(|(_, f)| f.sha256 == sha256 && f.mode.bits() == 0o600);
    if whole {
        return Ok(());
    }
    let manner = Manner {
        mode: Mode::of(0o600),
        owner: None,
        must_own: false,
        mtime: None,
    };
    put(cx, &path, &mut &*bytes, sha256, manner)
}

/// Where the bytes are kept of what was observed: a `target` and its `former` facts.
pub(in crate::actions) fn kept_at(cx: &Context, observed: &Value) -> Vec<Kept> {
    let sha256 = observed["former"]["sha256"].as_str();
    let (Some(sha256), Some(of), Ok(dir)) = (sha256, observed["target"].as_str(), cx.undo_dir())
    else {
        return Vec::new();
    };
    vec![Kept {
        at: dir.join(sha256).display().to_string(),
        of: of.to_owned(),
    }]
}

/// Bytes that were kept.
pub(in crate::actions) fn kept(cx: &Context, sha256: &str) -> Result<Vec<u8>, Error> {
    let path = cx.undo_dir()?.join(sha256);
    match read(&path)? {
        Some((bytes, facts)) if facts.sha256 == sha256 => Ok(bytes),
        Some(_) => Err(Error::new(format!(
            "the kept content {} is damaged",
            path.display()
        ))),
        None => Err(Error::new(format!(
            "the kept content {} is gone",
            path.display()
        ))),
    }
}
