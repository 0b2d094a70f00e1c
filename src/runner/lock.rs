//! Ensures one runner at a time: a kernel lock, released when its holder exits, and the holder's identity for the error
//! message.
//!
//! The file is written to, so symbolic links are not followed and a file with several hard links is refused.

use crate::home::Identity;
use crate::system::plain::{self, NotPlain};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long to try to take the lock: a process that queries the holder holds it for microseconds.
const LOCK: Duration = Duration::from_millis(250);

/// Who drives a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id, for people.
    pub pid: u32,
    /// Who.
    pub actor: String,
    /// Since when, UTC.
    pub since: String,
    /// The machine.
    #[serde(default)]
    pub host: String,
    /// The terminal, or where the person's SSH session comes from.
    #[serde(default)]
    pub origin: Option<String>,
}

/// Held for as long as this value lives, and its file has its name: whoever removes the file lets another runner in.
#[derive(Debug, Clone)]
pub struct RunnerLock {
    file: Arc<File>,
    path: PathBuf,
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
        |h| {
            format!(
                "{} on {} (process {}) since {}",
                h.actor, h.host, h.pid, h.since
            )
        },
    )
}

impl RunnerLock {
    /// Takes the lock.
    ///
    /// # Errors
    /// [`LockError::Held`] names the holder.
    pub fn take(state: &Path, who: &Identity) -> Result<Self, LockError> {
        let path = state.join("runner.lock");
        let failed = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        let mut file = open(&path).map_err(failed)?;
        let until = Instant::now() + LOCK;
        loop {
            match file.try_lock() {
                Ok(()) if named(&file, &path).is_ok() => break,
                // It was removed between the opening and the lock.
                Ok(()) => file = open(&path).map_err(failed)?,
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(TryLockError::WouldBlock) => return Err(LockError::Held(read(&mut file))),
                Err(TryLockError::Error(e)) => return Err(failed(e)),
            }
        }
        let holder = Holder {
            pid: std::process::id(),
            actor: who.actor.clone(),
            host: who.host.clone(),
            origin: origin(&who.session),
            since: chrono::Utc::now().format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        };
        let mut written = || -> io::Result<()> {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(&serde_json::to_vec(&holder)?)
        };
        written().map_err(failed)?;
        Ok(Self {
            file: Arc::new(file),
            path,
        })
    }

    /// Fails when its file was removed or replaced, so that another runner may have locked another one.
    ///
    /// # Errors
    /// What is there instead.
    pub fn check(&self) -> io::Result<()> {
        named(&self.file, &self.path)
    }

    /// Who has the lock now, if anybody has.
    #[must_use]
    pub fn holder(state: &Path) -> Option<Holder> {
        let mut file = checked(OpenOptions::new().read(true), &state.join("runner.lock")).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => read(&mut file),
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }
}

/// Where the person sits, as far as the session tells.
fn origin(session: &serde_json::Value) -> Option<String> {
    let ssh = session["ssh_connection"].as_str();
    let from = ssh.and_then(|s| s.split_whitespace().next());
    from.or_else(|| session["tty"].as_str()).map(str::to_owned)
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600);
    checked(&mut options, path)
}

/// Fails when the file has not that name any more.
fn named(file: &File, path: &Path) -> io::Result<()> {
    if plain::has_name(file, path)? {
        return Ok(());
    }
    Err(io::Error::other("runner.lock was removed or replaced"))
}

/// Opens a regular file of ours that has one name, and nothing else.
fn checked(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let (file, found) = plain::open(options, path).map_err(|e| match e {
        NotPlain::Io(e) => e,
        why => io::Error::other(format!("{why}; remove it")),
    })?;
    if found.nlink() != 1 {
        return Err(io::Error::other(
            "it has a second name (hard link); remove it",
        ));
    }
    Ok(file)
}

fn read(file: &mut File) -> Option<Holder> {
    let mut text = Vec::new();
    file.rewind().ok()?;
    file.read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> Identity {
        Identity {
            actor: "me".into(),
            host: "here".into(),
            session: serde_json::json!({"ssh_connection": "10.0.1.5 50000 10.0.1.9 22", "tty": "/dev/pts/1"}),
        }
    }

    #[test]
    fn the_holder_is_told_with_the_place_where_the_person_sits() {
        let dir = tempfile::tempdir().expect("a directory");
        let _lock = RunnerLock::take(dir.path(), &me()).expect("taken");
        let holder = RunnerLock::holder(dir.path()).expect("held");
        assert_eq!(
            (
                holder.actor.as_str(),
                holder.host.as_str(),
                holder.origin.as_deref()
            ),
            ("me", "here", Some("10.0.1.5"))
        );
    }

    fn refused(make: impl FnOnce(&Path, &Path)) {
        let dir = tempfile::tempdir().expect("a directory");
        let (lock, precious) = (dir.path().join("runner.lock"), dir.path().join("precious"));
        std::fs::write(&precious, "precious").expect("written");
        make(&lock, &precious);
        let taken = RunnerLock::take(dir.path(), &me());
        assert!(matches!(taken, Err(LockError::Io { .. })), "{taken:?}");
        assert_eq!(RunnerLock::holder(dir.path()), None);
        assert_eq!(
            std::fs::read_to_string(&precious).expect("readable"),
            "precious"
        );
    }

    #[test]
    fn a_link_in_place_of_the_lock_is_refused_and_its_target_kept() {
        refused(|lock, precious| std::os::unix::fs::symlink(precious, lock).expect("linked"));
        refused(|lock, precious| std::fs::hard_link(precious, lock).expect("linked"));
    }

    #[test]
    fn asking_for_the_holder_does_not_keep_a_runner_out() {
        let dir = tempfile::tempdir().expect("a directory");
        drop(RunnerLock::take(dir.path(), &me()).expect("taken"));
        let asked = File::open(dir.path().join("runner.lock")).expect("there");
        asked.lock_shared().expect("nobody has it");
        let asker = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            drop(asked);
        });
        RunnerLock::take(dir.path(), &me()).expect("taken");
        asker.join().expect("it ends");
    }
}
