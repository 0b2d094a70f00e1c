//! One runner at a time: a kernel lock that dies with its holder, and the holder's name for the loser.

use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Who drives a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id, for people.
    pub pid: u32,
    /// Who.
    pub actor: String,
    /// Since when, UTC.
    pub since: String,
}

/// Held for as long as this value lives.
#[derive(Debug)]
pub struct RunnerLock {
    _file: File,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody has it.
    #[error("held by {}", describe(.0.as_ref()))]
    Held(Option<Holder>),
    /// The file cannot be used.
    #[error("cannot use {path}")]
    Io {
        /// The file.
        path: std::path::PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

fn describe(holder: Option<&Holder>) -> String {
    holder.map_or_else(
        || "another runner".into(),
        |h| format!("{} (process {}) since {}", h.actor, h.pid, h.since),
    )
}

impl RunnerLock {
    /// Takes the lock.
    ///
    /// # Errors
    /// [`LockError::Held`] names the holder.
    pub fn take(state: &Path, actor: &str) -> Result<Self, LockError> {
        let path = state.join("runner.lock");
        let failed = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        let mut file = open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held(read(&mut file))),
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        let holder = Holder {
            pid: std::process::id(),
            actor: actor.into(),
            since: chrono::Utc::now().format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        };
        let mut written = || -> io::Result<()> {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(&serde_json::to_vec(&holder)?)
        };
        written().map_err(failed)?;
        Ok(Self { _file: file })
    }

    /// Who has the lock now, if anybody has.
    #[must_use]
    pub fn holder(state: &Path) -> Option<Holder> {
        let mut file = File::open(state.join("runner.lock")).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => read(&mut file),
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)
}

fn read(file: &mut File) -> Option<Holder> {
    let mut text = Vec::new();
    file.rewind().ok()?;
    file.read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}
