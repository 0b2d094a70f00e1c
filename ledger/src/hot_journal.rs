//! Looking at a ledger that a crash left with a hot journal, without touching the evidence.
//!
//! SQLite cannot read such a file without rolling the journal back, and a verifier writes nothing beside a ledger. So
//! file and journal are copied to a directory of ours, and the copy is rolled back. Invariant: the original is read with
//! plain file I/O only while no [`crate::store::Ledger`] of this process has it open, because closing any descriptor of
//! a file drops this process's locks on it. Left out: what is verified (`verify`).

use crate::blob;
use crate::head::to_hex;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// Device and inode of every ledger file that this process has open.
static OPEN: Mutex<Vec<(u64, u64)>> = Mutex::new(Vec::new());

fn open_files() -> MutexGuard<'static, Vec<(u64, u64)>> {
    // A list of numbers is whole whatever happened to the thread that held it.
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says, while it lives, that this process has a file open.
pub(crate) struct Opened((u64, u64));

impl Opened {
    pub(crate) fn new(device: u64, inode: u64) -> Self {
        open_files().push((device, inode));
        Self((device, inode))
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let mut open = open_files();
        if let Some(at) = open.iter().position(|file| *file == self.0) {
            open.swap_remove(at);
        }
    }
}

/// How many handles of this process have a file open.
pub(crate) fn handles(file: &fs::Metadata) -> usize {
    let id = (file.dev(), file.ino());
    open_files().iter().filter(|open| **open == id).count()
}

/// A private copy of a ledger and its journal, removed when dropped.
pub(crate) struct Copy {
    dir: PathBuf,
}

impl Copy {
    /// Copies `ledger` and its journal. `None` if this process has the ledger open, or if they changed on the way.
    pub(crate) fn of(ledger: &Path) -> io::Result<Option<Self>> {
        let open = open_files();
        let file = fs::metadata(ledger)?;
        if open.contains(&(file.dev(), file.ino())) {
            return Ok(None);
        }
        let journal = journal_of(ledger);
        let before = (stamp(ledger)?, stamp(&journal)?);
        let mut name = [0; 8];
        blob::random(&mut name)?;
        let copy = Self {
            dir: std::env::temp_dir().join(format!("upledger-verify-{}", to_hex(&name))),
        };
        DirBuilder::new().mode(0o700).create(&copy.dir)?;
        duplicate(&journal, &journal_of(&copy.path()))?;
        duplicate(ledger, &copy.path())?;
        let same = before == (stamp(ledger)?, stamp(&journal)?);
        drop(open);
        Ok(same.then_some(copy))
    }

    /// Where the copy lies.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.join("ledger.db")
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // What stays in the temporary directory is readable by us alone.
        drop(fs::remove_dir_all(&self.dir));
    }
}

/// Where SQLite keeps the journal of a file.
pub(crate) fn journal_of(ledger: &Path) -> PathBuf {
    let mut name = ledger.as_os_str().to_owned();
    name.push("-journal");
    PathBuf::from(name)
}

fn stamp(path: &Path) -> io::Result<(u64, u64, Option<SystemTime>)> {
    let found = fs::metadata(path)?;
    Ok((found.ino(), found.len(), found.modified().ok()))
}

fn duplicate(from: &Path, to: &Path) -> io::Result<()> {
    let mut target = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)?;
    io::copy(&mut File::open(from)?, &mut target)?;
    Ok(())
}
