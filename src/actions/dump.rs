//! What dumps of databases share, whichever server they are of: the place of a backup, its files, its pace, and its room.
//!
//! Invariants: a file knows the digest of what was written to it, and is durable when that is told; a backup has no name
//! until it is complete, and its name is never that of another.

use crate::action::{Context, Data, Error, Work};
use crate::host::files::disk;
use crate::system::durable;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The level that the `zstd` program has by default.
const LEVEL: i32 = 3;
/// How many bytes a thread compresses at once.
const JOB: u32 = 2 << 20;
/// Between two messages of progress.
const TICK: Duration = Duration::from_millis(500);

/// Tells how far a long part is, now and then.
pub(super) struct Pace {
    began: Instant,
    last: Instant,
    total: u64,
}

impl Pace {
    pub(super) fn of(total: u64) -> Self {
        let now = Instant::now();
        Self {
            began: now,
            last: now,
            total,
        }
    }

    /// The part is so far.
    pub(super) fn tell<N: Data>(&mut self, work: &mut Work<'_, N>, done: u64) {
        if self.last.elapsed() < TICK {
            return;
        }
        self.last = Instant::now();
        let total = (self.total >= done).then_some(self.total >> 20);
        work.progress(done >> 20, total, "MiB");
    }

    /// Bytes within a time, for people.
    pub(super) fn rate(&self, bytes: u64) -> String {
        let ms = self.began.elapsed().as_millis().max(1);
        let rate = u128::from(bytes) * 1000 / ms;
        format!(
            "{} MiB in {}.{:02} s, {} MiB/s",
            bytes >> 20,
            ms / 1000,
            ms % 1000 / 10,
            rate >> 20
        )
    }
}

/// Where a backup goes: a name that nothing has.
///
/// # Errors
/// [`Error`] when there is none, or `to` leads nowhere.
pub(super) fn place(cx: &Context, to: Option<&str>) -> Result<PathBuf, Error> {
    // A preview knows no run yet.
    let run = if cx.inert { "${run}" } else { &cx.run };
    let first = match to {
        Some(to) => disk::resolve_to_write(to)?,
        None => cx.state.join("backups").join(format!("{run}.{}", cx.step)),
    };
    if first.symlink_metadata().is_err() {
        return Ok(first);
    }
    let others = (1..100).map(|n| {
        let mut name = first.clone().into_os_string();
        name.push(match (to, n) {
            (Some(_), 1) => format!(".{run}.{}", cx.step),
            (Some(_), n) => format!(".{run}.{}-{n}", cx.step),
            (None, n) => format!("-{}", n + 1),
        });
        PathBuf::from(name)
    });
    let mut free = others.filter(|path| path.symlink_metadata().is_err());
    free.next()
        .ok_or_else(|| Error::new(format!("{} already exists", first.display())))
}

/// The name of a backup until it is complete.
pub(super) fn partial(directory: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(directory.file_name().unwrap_or_default());
    name.push(".partial");
    directory.with_file_name(name)
}

/// Makes it anew; what a killed attempt has left there is removed.
fn make(partial: &Path) -> Result<(), Error> {
    let cannot = |e: io::Error| Error::io(format!("cannot make {}", partial.display()), &e);
    if partial.symlink_metadata().is_ok() {
        std::fs::remove_dir_all(partial).map_err(cannot)?;
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.mode(0o700);
    if let Some(parent) = partial.parent() {
        builder.recursive(true).create(parent).map_err(cannot)?;
    }
    builder.recursive(false).create(partial).map_err(cannot)
}

/// Makes a backup: `fill` puts it into a directory without a name, which gets its name when all of it is durable. Where
/// it fails, nothing of it stays.
///
/// # Errors
/// Those of `fill`, and [`Error`] when the directory cannot be made or its name is taken meanwhile.
pub(super) fn publish<T>(
    directory: &Path,
    fill: impl FnOnce(&Path) -> Result<T, Error>,
) -> Result<T, Error> {
    if directory.symlink_metadata().is_ok() {
        return Err(Error::new(format!(
            "{} exists since it was looked for; it is not touched",
            directory.display()
        )));
    }
    let partial = partial(directory);
    make(&partial)?;
    let made = match fill(&partial) {
        Ok(made) => made,
        Err(e) => {
            // Half a backup helps nobody, and takes room.
            let removed = std::fs::remove_dir_all(&partial);
            return Err(match removed {
                Ok(()) => e,
                Err(_) => e.or_remedy(format!("remove {}", partial.display())),
            });
        }
    };
    durable::sync_dir(&partial).map_err(|e| Error::io("cannot sync the backup", &e))?;
    durable::rename_new(&partial, directory)?;
    Ok(made)
}

/// Refuses a backup of databases that hold no table: nearly always another database was meant.
///
/// # Errors
/// [`Error`] with their names.
pub(super) fn holds_tables(databases: &[String], tables: u64) -> Result<(), Error> {
    if tables > 0 {
        return Ok(());
    }
    Err(Error::new(format!(
        "there is no table in {}, so there is nothing to back up",
        crate::text::list(databases)
    ))
    .remedy("check the name and the server, or take the step out of the plan"))
}

/// Refuses where a file system has too little room; `what` takes about `need` bytes below `path`.
///
/// # Errors
/// [`Error`] with the room that there is.
pub(super) fn room(path: &Path, need: u64, what: &str, remedy: &str) -> Result<(), Error> {
    let Some(there) = path.ancestors().find(|p| p.exists()) else {
        return Ok(());
    };
    let fs = rustix::fs::statvfs(there).map_err(|e| {
        Error::io(
            format!("cannot read the free space of {}", there.display()),
            &e,
        )
    })?;
    let free = fs.f_bavail.saturating_mul(fs.f_frsize);
    if free >= need {
        return Ok(());
    }
    Err(Error::new(format!(
        "too little space for {what}: {free} bytes are free on the file system of {}, and about {need} are needed",
        there.display()
    ))
    .remedy(remedy.to_owned()))
}

/// The name of the manifest in the directory of a backup: what the dumps hold, and their digests.
const MANIFEST: &str = "manifest.json";

/// The manifest of a backup, with its digest.
///
/// # Errors
/// [`Error`] when it is not there, or cannot be understood.
pub(super) fn manifest<T: DeserializeOwned>(directory: &Path) -> Result<(T, String), Error> {
    let path = directory.join(MANIFEST);
    let bytes = std::fs::read(&path)
        .map_err(|e| Error::io(format!("cannot read {}", path.display()), &e))?;
    let manifest = serde_json::from_slice(&bytes)
        .map_err(|e| Error::io(format!("{} cannot be understood", path.display()), &e))?;
    Ok((manifest, disk::digest(&bytes)))
}

/// The same, where it has that digest.
///
/// # Errors
/// As for [`manifest`], and [`Error`] with both digests.
pub(super) fn recorded_manifest<T: DeserializeOwned>(
    directory: &Path,
    digest: &str,
) -> Result<T, Error> {
    let (manifest, found) = manifest(directory)?;
    if found == digest {
        return Ok(manifest);
    }
    Err(Error::new(format!(
        "{} is not the manifest of the backup: its SHA-256 is {found}, and {digest} was recorded",
        directory.join(MANIFEST).display()
    )))
}

/// Writes the manifest; its digest.
///
/// # Errors
/// [`Error`] when it cannot be written.
pub(super) fn write_manifest(directory: &Path, manifest: &impl Serialize) -> Result<String, Error> {
    let cannot = |e: &dyn std::error::Error| Error::io("cannot write the manifest", e);
    let bytes = serde_json::to_vec_pretty(manifest).map_err(|e| cannot(&e))?;
    durable::create(&directory.join(MANIFEST), 0o600, |file| {
        file.write_all(&bytes).map_err(|e| cannot(&e))
    })?;
    Ok(disk::digest(&bytes))
}

/// Refuses a dump that is not the one that was recorded.
///
/// # Errors
/// [`Error`] naming the file.
pub(super) fn same_file(path: &Path, sha256: &str, bytes: u64) -> Result<(), Error> {
    let (digest, there) = disk::digest_of(path)?
        .ok_or_else(|| Error::new(format!("the dump {} does not exist", path.display())))?;
    if digest == sha256 {
        return Ok(());
    }
    Err(Error::new(format!(
        "the dump {} is damaged: it has {there} bytes and the SHA-256 {digest}, and {bytes} bytes with {sha256} were recorded",
        path.display()
    ))
    .remedy("use another backup, or another copy of this file"))
}

/// A file that knows its digest.
struct Hashed {
    file: File,
    sum: Sha256,
    bytes: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.sum.update(&bytes[..n]);
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A compressed file of a backup while it grows.
pub(super) struct Compressed {
    name: String,
    path: PathBuf,
    encoder: zstd::stream::write::Encoder<'static, Hashed>,
    plain: u64,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) file: String,
    pub(super) sha256: String,
    pub(super) bytes: u64,
    pub(super) plain_bytes: u64,
}

impl Compressed {
    /// A new file of that name in a directory of ours.
    pub(super) fn create(dir: &Path, name: String) -> Result<Self, Error> {
        let path = dir.join(&name);
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        let made = made.and_then(|file| {
            let file = Hashed {
                file,
                sum: Sha256::new(),
                bytes: 0,
            };
            let mut encoder = zstd::stream::write::Encoder::new(file, LEVEL)?;
            encoder.include_checksum(true)?;
            Ok(encoder)
        });
        let encoder = made.map_err(|e| cannot(&path, &e))?;
        Ok(Self {
            name,
            path,
            encoder,
            plain: 0,
        })
    }

    /// Compresses on a thread of its own from now on, as the `zstd` program does, so that whoever writes the dump waits less.
    /// It holds some 13 MiB for that.
    ///
    /// # Errors
    /// [`Error`] once something was put into it.
    pub(super) fn compress_aside(&mut self) -> Result<(), Error> {
        let job = zstd::zstd_safe::CParameter::JobSize(JOB);
        let set = self.encoder.multithread(1);
        set.and_then(|()| self.encoder.set_parameter(job))
            .map_err(|e| cannot(&self.path, &e))
    }

    /// How many bytes it holds, uncompressed.
    pub(super) fn plain(&self) -> u64 {
        self.plain
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.plain += bytes.len() as u64;
        self.encoder
            .write_all(bytes)
            .map_err(|e| cannot(&self.path, &e))
    }

    pub(super) fn finish(self) -> Result<Written, Error> {
        let path = self.path;
        let file = self.encoder.finish().and_then(|file| {
            file.file.sync_all()?;
            Ok(file)
        });
        let file = file.map_err(|e| cannot(&path, &e))?;
        let sum = file.sum.finalize();
        Ok(Written {
            file: self.name,
            sha256: sum.iter().map(|b| format!("{b:02x}")).collect(),
            bytes: file.bytes,
            plain_bytes: self.plain,
        })
    }
}

fn cannot(path: &Path, cause: &io::Error) -> Error {
    let e = Error::io(format!("cannot write the dump {}", path.display()), cause);
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            let dir = path.parent().unwrap_or(path);
            let left =
                rustix::fs::statvfs(dir).map_or(0, |fs| fs.f_bavail.saturating_mul(fs.f_frsize));
            e.remedy(format!(
                "the file system of {} has {left} bytes left: free some, or name another place with `to`",
                dir.display()
            ))
        }
        _ => e,
    }
}
