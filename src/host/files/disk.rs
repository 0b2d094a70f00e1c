//! Whole files on disk, as steps that change one look at them, write them and put them back. The atomic write itself is
//! `system::durable`.
//!
//! Invariants: nothing but a regular file is ever opened for reading or replaced; a target changes only by a rename of
//! a complete, synced file in its own directory; a temporary file has a name that only this run's step uses, so that
//! whoever comes after a crash finds and removes it. Extended attributes, and with them ACLs, pass from the file that is
//! replaced; those of `security.` and `trusted.` are the system's business. The record gets a file's content as kept
//! content only, never by a digest that tells what the file held.

use crate::action::{self, Context, Error, Kept, pour};
use crate::host::files::mode::Mode;
use crate::host::files::trust;
use crate::host::process::users;
use crate::system::durable::{self, Temporary};
use crate::text::actions as phrases;
use rustix::fs::{Gid, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The largest file whose content an action takes into memory.
const LIMIT: u64 = 64 << 20;
/// The kernel's own limit for the names, and for one value, of extended attributes.
const XATTRS: usize = 64 << 10;

/// A file as it is, without its bytes. Not for the record, which has [`Former`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Lower-case hex.
    pub(crate) sha256: String,
    /// Bytes.
    pub(crate) len: u64,
    pub(crate) mode: Mode,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Time,
}

/// A file as it was: all that gives it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Former {
    /// Its bytes.
    pub(crate) content: Kept,
    pub(crate) mode: Mode,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Time,
}

/// A time of the file system. Two integers: nanoseconds alone would not fit into a JSON number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Time {
    /// Seconds since 1970.
    pub(crate) sec: i64,
    /// Nanoseconds.
    pub(crate) nsec: i64,
}

impl Time {
    fn of(meta: &Metadata) -> Self {
        Self {
            sec: meta.mtime(),
            nsec: meta.mtime_nsec(),
        }
    }
}

impl std::fmt::Display for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&shown(self.len, self.mode, self.uid, self.gid))
    }
}

fn shown(len: u64, mode: Mode, uid: u32, gid: u32) -> String {
    format!("{len} bytes, mode {mode}, owner {uid}:{gid}")
}

/// A file for people.
pub(crate) fn described(meta: &Metadata) -> String {
    let mode = Mode::of(meta.mode());
    shown(meta.len(), mode, meta.uid(), meta.gid())
}

impl Facts {
    fn new(sha256: String, len: u64, meta: &Metadata) -> Self {
        Self {
            sha256,
            len,
            mode: Mode::of(meta.mode()),
            uid: meta.uid(),
            gid: meta.gid(),
            mtime: Time::of(meta),
        }
    }

    /// The manner in which this file is written again.
    pub(crate) fn manner(&self) -> Manner {
        Manner {
            mode: self.mode,
            owner: Some((self.uid, self.gid)),
            must_own: true,
            mtime: Some(self.mtime),
        }
    }
}

impl Former {
    /// A file with the bytes that are kept as `content`.
    pub(crate) fn new(content: Kept, facts: &Facts) -> Self {
        Self {
            content,
            mode: facts.mode,
            uid: facts.uid,
            gid: facts.gid,
            mtime: facts.mtime,
        }
    }

    /// A file of any size, whose bytes are not kept; none when there is nothing.
    pub(crate) fn look(cx: &Context, path: &Path) -> Result<Option<Self>, Error> {
        let Some((mut file, meta)) = open_plain(path)? else {
            return Ok(None);
        };
        let content = cx.fingerprint(&mut file)?;
        Ok(Some(Self::of(content, &meta)))
    }

    /// Keeps what [`read`] returned.
    pub(crate) fn keep(
        cx: &Context,
        read: Option<&(Vec<u8>, Facts)>,
    ) -> Result<Option<Self>, Error> {
        read.map(|(bytes, facts)| Ok(Self::new(cx.keep(bytes)?, facts)))
            .transpose()
    }

    /// Keeps a file of any size; none when there is nothing.
    pub(crate) fn keep_whole(cx: &Context, path: &Path) -> Result<Option<Self>, Error> {
        let Some((mut file, meta)) = open_plain(path)? else {
            return Ok(None);
        };
        let content = cx.keep_file(&mut file)?;
        Ok(Some(Self::of(content, &meta)))
    }

    fn of(content: Kept, meta: &Metadata) -> Self {
        Self {
            content,
            mode: Mode::of(meta.mode()),
            uid: meta.uid(),
            gid: meta.gid(),
            mtime: Time::of(meta),
        }
    }

    /// Whether a file has its mode, its owner and its time.
    pub(crate) fn is_of(&self, meta: &Metadata) -> bool {
        *self == Self::of(self.content.clone(), meta)
    }

    /// Whether a file holds the same bytes; its time and its mode may be others.
    pub(crate) fn holds(&self, cx: &Context, bytes: &[u8]) -> Result<bool, Error> {
        cx.is_kept(&self.content, bytes)
    }

    /// Whether what [`read`] returns is this file again, with its mode, its owner and its time.
    pub(crate) fn is_back(
        former: Option<&Self>,
        cx: &Context,
        now: Option<&(Vec<u8>, Facts)>,
    ) -> Result<bool, Error> {
        Ok(match (former, now) {
            (None, None) => true,
            (Some(former), Some((bytes, facts))) => {
                former.holds(cx, bytes)? && former.is_like(facts)
            }
            (Some(_), None) | (None, Some(_)) => false,
        })
    }

    /// Whether a file has its mode, its owner and its time.
    pub(crate) fn is_like(&self, facts: &Facts) -> bool {
        *self == Self::new(self.content.clone(), facts)
    }

    /// The manner in which this file comes back.
    pub(crate) fn manner(&self) -> Manner {
        Manner {
            mode: self.mode,
            owner: Some((self.uid, self.gid)),
            must_own: true,
            mtime: Some(self.mtime),
        }
    }

    /// What an undo does with it, in one line.
    pub(crate) fn words(&self, target: &str) -> String {
        let owner = format!("{}:{}", self.uid, self.gid);
        phrases::put_back(target, self.content.len, self.mode, owner)
    }

    /// Writes it again as it was, unless another process writes to what is there.
    pub(crate) fn put_back(&self, cx: &Context, target: &Path) -> Result<(), Error> {
        let mut bytes = cx.open_kept(&self.content)?;
        users::none_writes(target)?;
        put_kept(cx, target, &mut bytes, &self.content, self.manner())
    }

    /// Puts back what was there before: the file, or nothing, unless another process writes to what is there.
    pub(crate) fn undo(former: Option<&Self>, cx: &Context, target: &Path) -> Result<(), Error> {
        if let Some(former) = former {
            return former.put_back(cx, target);
        }
        users::none_writes(target)?;
        remove(target)
    }
}

/// How a file is written, apart from its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) mode: Mode,
    pub(crate) owner: Option<(u32, u32)>,
    /// Without the right to give the file to its owner nothing is written.
    pub(crate) must_own: bool,
    pub(crate) mtime: Option<Time>,
}

/// SHA-256 in lower-case hex.
pub(crate) fn digest(bytes: &[u8]) -> String {
    action::digest(&[], bytes)
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
pub(crate) fn resolve(path: &str) -> Result<PathBuf, Error> {
    let path = Path::new(path);
    let whole = |p: &Path| p.canonicalize().map_err(|e| cannot("find", p, &e));
    match path.symlink_metadata() {
        Ok(meta) if meta.is_symlink() => path
            .canonicalize()
            .map_err(|e| Error::io(format!("the link {} is dangling", path.display()), &e)),
        Ok(_) => whole(path),
        Err(e) if e.kind() == ErrorKind::NotFound => match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok(whole(parent)?.join(name)),
            _ => Err(cannot("find", path, &e)),
        },
        Err(e) => Err(cannot("look at", path, &e)),
    }
}

/// The same for a file that is to be written, where nobody else chooses which file that is.
pub(crate) fn resolve_to_write(path: &str) -> Result<PathBuf, Error> {
    trust::ours(path)?;
    resolve(path)
}

/// Why a path does not lead where it led when that was observed.
pub(crate) fn led_astray(path: &str, target: &Path) -> Option<String> {
    match resolve(path) {
        Ok(now) if now == target => None,
        Ok(now) => Some(format!(
            "{path} pointed to {} and now points to {}",
            target.display(),
            now.display()
        )),
        Err(e) => Some(e.to_string()),
    }
}

/// The same, before the way back: a link whose target somebody removed leads nowhere, and the target can be put back.
pub(crate) fn led_astray_since(path: &str, target: &Path) -> Option<String> {
    let why = led_astray(path, target)?;
    let gone = matches!(target.symlink_metadata(), Err(e) if e.kind() == ErrorKind::NotFound);
    let moved = |path: &Path| {
        path.to_str()
            .is_some_and(|p| resolve(p).is_ok_and(|now| now != target))
    };
    (!gone || moved(Path::new(path)) || moved(target)).then_some(why)
}

/// A resolved path as text, so that it can be recorded.
pub(crate) fn text(path: &Path) -> Result<String, Error> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Error::new(format!("the path {} is not UTF-8", path.display())))
}

/// A file and its bytes; none when there is nothing.
pub(crate) fn read(path: &Path) -> Result<Option<(Vec<u8>, Facts)>, Error> {
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
pub(crate) fn look(path: &Path) -> Result<Option<(Facts, Metadata)>, Error> {
    let Some((mut file, meta)) = open_plain(path)? else {
        return Ok(None);
    };
    let (sha256, len) =
        pour(&[], &mut file, &mut io::sink()).map_err(|e| cannot("read", path, &e))?;
    Ok(Some((Facts::new(sha256, len, &meta), meta)))
}

/// Whether a file of any size holds that content, and what it is; none when there is nothing.
pub(crate) fn compare(
    cx: &Context,
    path: &Path,
    content: &Kept,
) -> Result<Option<(bool, Metadata)>, Error> {
    let Some((mut file, meta)) = open_plain(path)? else {
        return Ok(None);
    };
    let salt = cx.salt(content)?;
    let (found, _) =
        pour(&salt, &mut file, &mut io::sink()).map_err(|e| cannot("read", path, &e))?;
    Ok(Some((found == content.blob, meta)))
}

/// Digest and length of a file of any size; none when there is nothing.
///
/// # Errors
/// [`Error`] when it is no regular file, or cannot be read.
pub(crate) fn digest_of(path: &Path) -> Result<Option<(String, u64)>, Error> {
    Ok(look(path)?.map(|(facts, _)| (facts.sha256, facts.len)))
}

/// Which file this is: one that was written anew has another identity, whatever its content.
pub(crate) fn identity(meta: &Metadata) -> String {
    format!(
        "{}:{} {}.{:09}",
        meta.dev(),
        meta.ino(),
        meta.ctime(),
        meta.ctime_nsec()
    )
}

/// Refuses a file that has several names: to replace one would separate them.
///
/// # Errors
/// [`Error`] with their number.
pub(crate) fn refuse_hard_links(target: &Path) -> Result<(), Error> {
    match target.symlink_metadata().map_or(1, |m| m.nlink()) {
        0 | 1 => Ok(()),
        links => Err(Error::new(format!(
            "{} has {links} hard links; replacing it would separate them",
            target.display()
        ))),
    }
}

/// The temporary file beside a target. Its name is the same in every attempt of this step, forwards and backwards.
pub(crate) fn temporary(cx: &Context, target: &Path) -> PathBuf {
    target.with_file_name(format!(".upledger-{}", tag(cx, target)))
}

/// A name that only this step of this run has for that file.
pub(crate) fn tag(cx: &Context, target: &Path) -> String {
    let whole = format!("{}\0{}\0{}", cx.run, cx.step, target.display());
    let mut name = digest(whole.as_bytes());
    name.truncate(16);
    name
}

/// Removes a file that may not be there.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    durable::remove_file(path)?;
    Ok(())
}

/// What the bytes must be that are written.
struct Expected<'a> {
    salt: &'a [u8],
    digest: &'a str,
}

/// Writes a whole file: bytes whose digest is known, then everything else, then the rename.
///
/// # Errors
/// [`Error`]; the target is then as it was, and no temporary file is left.
pub(crate) fn put(
    cx: &Context,
    target: &Path,
    bytes: &mut dyn Read,
    sha256: &str,
    manner: Manner,
) -> Result<(), Error> {
    let expected = Expected {
        salt: &[],
        digest: sha256,
    };
    publish(cx, target, bytes, &expected, manner, &|| Ok(()))
}

/// The same with bytes that are known by a digest with a salt.
///
/// # Errors
/// As for [`put`], and when the salt was purged.
pub(crate) fn put_kept(
    cx: &Context,
    target: &Path,
    bytes: &mut dyn Read,
    kept: &Kept,
    manner: Manner,
) -> Result<(), Error> {
    put_kept_if(cx, target, bytes, kept, manner, &|| Ok(()))
}

/// The same, unless a look right before the rename refuses it.
///
/// # Errors
/// As for [`put_kept`], and what `allowed` returns.
pub(crate) fn put_kept_if(
    cx: &Context,
    target: &Path,
    bytes: &mut dyn Read,
    kept: &Kept,
    manner: Manner,
    allowed: &dyn Fn() -> Result<(), Error>,
) -> Result<(), Error> {
    let expected = Expected {
        salt: &cx.salt(kept)?,
        digest: &kept.blob,
    };
    publish(cx, target, bytes, &expected, manner, allowed)
}

fn publish(
    cx: &Context,
    target: &Path,
    bytes: &mut dyn Read,
    expected: &Expected<'_>,
    manner: Manner,
    allowed: &dyn Fn() -> Result<(), Error>,
) -> Result<(), Error> {
    // The target was resolved when it was looked at; somebody may have put a link into the way since.
    trust::ours(target)?;
    let temporary = temporary(cx, target);
    durable::replace(target, Temporary::Named(&temporary), 0o600, |file| {
        fill(file, target, bytes, expected, manner)?;
        allowed()
    })
}

/// All that a file is to be before it gets its name.
fn fill(
    file: &mut File,
    target: &Path,
    bytes: &mut dyn Read,
    expected: &Expected<'_>,
    manner: Manner,
) -> Result<(), Error> {
    let wrong = |e: &dyn std::error::Error| cannot("write", target, e);
    let (found, _) = pour(expected.salt, bytes, file).map_err(|e| wrong(&e))?;
    if found != expected.digest {
        return Err(Error::new(format!(
            "the content for {} has changed since it was read",
            target.display()
        )));
    }
    let meta = file.metadata().map_err(|e| wrong(&e))?;
    if let Some((uid, gid)) = manner.owner
        && (uid, gid) != (meta.uid(), meta.gid())
    {
        match rustix::fs::fchown(&*file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))) {
            Ok(()) => {}
            Err(Errno::PERM) if !manner.must_own => {}
            Err(e) => {
                let what = format!("cannot give {} to its owner {uid}:{gid}", target.display());
                return Err(Error::io(what, &e));
            }
        }
    }
    attributes(target, file)?;
    // After the owner, whose change takes set-uid bits away, and after the ACL, whose mask is the group's bits.
    rustix::fs::fchmod(&*file, rustix::fs::Mode::from_raw_mode(manner.mode.bits()))
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
        rustix::fs::futimens(&*file, &times).map_err(|e| wrong(&e))?;
    }
    Ok(())
}

/// Gives a file the extended attributes of the one that it will replace.
pub(crate) fn attributes(from: &Path, to: &File) -> Result<(), Error> {
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
