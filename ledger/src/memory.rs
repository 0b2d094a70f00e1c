//! The memory of heads: what each ledger was when this machine last saw it, kept outside the state directory.
//!
//! A hash chain alone cannot tell an older copy from the newest one; this can. Invariants: one small file per ledger
//! path, replaced in one step; it never runs ahead of a commit, and it may lag behind; a damaged file is an error, never
//! taken for "nothing remembered", nor for one of another ledger; of two paths at which the same ledger is remembered at most one is appended to. Left out: what to do about a disagreement ([`crate::store`]).

use crate::blob;
use crate::chain::Chain;
use crate::head::Digest;
use crate::head::to_hex;
use crate::place::{self, PlaceError};
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// A write takes milliseconds; what is older was left by a process that was killed.
const UNFINISHED: Duration = Duration::from_secs(60);

/// What is kept of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remembered {
    /// Where the ledger lies, for people; the file's name is what counts.
    pub path: String,
    /// Its id.
    pub ledger: String,
    /// How many events it had; at least 1.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
    /// The hash of the last.
    pub head: Digest,
}

/// What a ledger is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its id.
    pub ledger: String,
    /// How many events it has.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
}

/// How a ledger differs from what is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It has fewer events: an older copy, or cut off. The bytes are the same in both cases.
    Shorter,
    /// It has other events.
    Rewritten,
    /// It is another ledger.
    Foreign,
    /// There is none.
    Missing,
    /// It is remembered at another path: it was copied or moved.
    Elsewhere,
}

impl fmt::Display for How {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Shorter => "shorter than remembered (an older or incomplete copy)",
            Self::Rewritten => "not the remembered one (its events differ)",
            Self::Foreign => "not the remembered ledger",
            Self::Missing => "missing",
            Self::Elsewhere => "the one here is a copy, or the ledger was moved",
        })
    }
}

/// A ledger that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disagreement {
    /// What is remembered.
    pub remembered: Remembered,
    /// What is there.
    pub found: Option<Found>,
    /// How they differ.
    pub how: How,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Remembered {
            path, ledger, size, ..
        } = &self.remembered;
        match self.how {
            How::Elsewhere => write!(
                out,
                "this machine knows this ledger at {path}; {}",
                self.how
            ),
            how => write!(out, "the ledger {path} is {how}"),
        }?;
        write!(out, "; remembered: {size} events of {ledger}")?;
        let Some(found) = &self.found else {
            return Ok(());
        };
        write!(out, "; found: {} events of {}", found.size, found.ledger)?;
        match self.is_older() {
            true => write!(out, ", {} fewer", size.saturating_sub(found.size)),
            false => Ok(()),
        }
    }
}

impl Disagreement {
    /// What is there has fewer events of the same ledger than were seen elsewhere.
    #[must_use]
    pub fn is_older(&self) -> bool {
        let remembered = &self.remembered;
        let older = |f: &Found| f.ledger == remembered.ledger && f.size < remembered.size;
        self.how == How::Elsewhere && self.found.as_ref().is_some_and(older)
    }
}

impl std::error::Error for Disagreement {}

/// Why the memory cannot be used.
#[derive(Debug, Error)]
pub enum MemoryError {
    /// Whoever takes away the state directory must not take the memory with it.
    #[error("the memory {memory} lies inside the state directory {state}")]
    Inside {
        /// The memory's directory.
        memory: PathBuf,
        /// The state directory.
        state: PathBuf,
    },
    /// The file is not what this program writes.
    #[error(
        "the memory file {path} is damaged ({what}): check the ledger against a checkpoint held elsewhere, then record \
         `ledger restored` with a reason"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The file of another path cannot be read, and nothing is remembered at this one.
    #[error(
        "the memory file {path} cannot be read ({what}), so that this ledger, of which nothing is remembered here, may be a copy \
         of the one that it is about: check it against a checkpoint held elsewhere, then record `ledger restored` with a reason"
    )]
    Other {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The directory may not be used.
    #[error("the memory's directory cannot be used")]
    Place(#[source] PlaceError),
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

/// The directory of remembered heads.
#[derive(Debug, Clone)]
pub struct Memory {
    dir: PathBuf,
}

/// What the files of other paths say of a ledger.
#[derive(Debug, Default)]
pub struct Elsewhere {
    /// What is remembered of it there; the most where there are several.
    pub kept: Option<Remembered>,
    /// A file that cannot be read: it may speak of this ledger. [`MemoryError::Other`].
    pub unread: Option<MemoryError>,
}

/// The files of other paths.
struct Others {
    /// Those that speak of the ledger.
    named: Vec<(PathBuf, Remembered)>,
    unread: Option<MemoryError>,
}

impl Memory {
    /// The memory in `dir`, which is made (0700) if it is not there.
    ///
    /// # Errors
    /// [`MemoryError`] if the directory cannot be made, is not ours, or is open to others.
    pub fn at(dir: &Path) -> Result<Self, MemoryError> {
        let check = || {
            place::create(dir, 0o700)?;
            let found = place::look(dir)?.ok_or_else(|| PlaceError::Absent {
                path: dir.to_owned(),
            })?;
            place::private_directory(dir, &found)?;
            place::ours(dir, &found)
        };
        check().map_err(MemoryError::Place)?;
        let dir = dir.canonicalize().map_err(|source| MemoryError::Io {
            what: "find",
            path: dir.to_owned(),
            source,
        })?;
        place::sheltered(&dir).map_err(MemoryError::Place)?;
        Ok(Self { dir })
    }

    /// Its directory, without symbolic links.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What is remembered of the ledger at `ledger`, an absolute path without symbolic links.
    ///
    /// # Errors
    /// [`MemoryError::Damaged`] for a file that this program did not write whole; [`MemoryError::Io`].
    pub fn recall(&self, ledger: &Path) -> Result<Option<Remembered>, MemoryError> {
        let path = self.file(ledger);
        let Some(remembered) = Self::read(&path)? else {
            return Ok(None);
        };
        if remembered.path == ledger.to_string_lossy() {
            return Ok(Some(remembered));
        }
        Err(MemoryError::Damaged {
            path,
            what: format!("it speaks of {}", remembered.path),
        })
    }

    /// What is remembered of the ledger with that id at other paths than `ledger`.
    ///
    /// # Errors
    /// [`MemoryError::Io`] when the directory cannot be read.
    pub fn elsewhere(&self, ledger: &Path, id: &str) -> Result<Elsewhere, MemoryError> {
        let others = self.others(ledger, id)?;
        let kept = others.named.into_iter().map(|(_, kept)| kept);
        Ok(Elsewhere {
            kept: kept.max_by_key(|kept| kept.size),
            unread: others.unread,
        })
    }

    /// The files of other paths that speak of that ledger, or may.
    fn others(&self, ledger: &Path, id: &str) -> Result<Others, MemoryError> {
        let own = self.file(ledger);
        let failed = |source| MemoryError::Io {
            what: "read",
            path: self.dir.clone(),
            source,
        };
        let mut others = Others {
            named: Vec::new(),
            unread: None,
        };
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path == own || path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            match Self::read(&path) {
                Ok(Some(kept)) if kept.ledger == id => others.named.push((path, kept)),
                // Another process has removed it since.
                Ok(Some(_) | None) => {}
                Err(error) => {
                    let what = match error {
                        MemoryError::Damaged { what, .. } => what,
                        MemoryError::Io { source, .. } => source.to_string(),
                        other => other.to_string(),
                    };
                    others.unread = Some(MemoryError::Other { path, what });
                }
            }
        }
        Ok(others)
    }

    /// What stands in a file of the memory.
    fn read(path: &Path) -> Result<Option<Remembered>, MemoryError> {
        let fail = |source: io::Error| MemoryError::Io {
            what: "read",
            path: path.to_owned(),
            source,
        };
        let mut text = Vec::new();
        match rustix::fs::open(
            path,
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC,
            Mode::empty(),
        ) {
            // One byte more than a true one can have, so that a huge file is damage and not memory.
            Ok(file) => File::from(file)
                .take(64 << 10)
                .read_to_end(&mut text)
                .map_err(fail)?,
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => return Err(fail(error.into())),
        };
        let damaged = |what: String| MemoryError::Damaged {
            path: path.to_owned(),
            what,
        };
        if text.is_empty() {
            return Err(damaged("it is empty".to_owned()));
        }
        let remembered: Remembered =
            serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if remembered.size == 0 {
            return Err(damaged("it says 0 events".to_owned()));
        }
        Ok(Some(remembered))
    }

    /// Refuses a memory that whoever takes the state directory away would take with it.
    pub(crate) fn check_outside(&self, state: &Path) -> Result<(), MemoryError> {
        if self.dir.starts_with(state) {
            return Err(MemoryError::Inside {
                memory: self.dir.clone(),
                state: state.to_owned(),
            });
        }
        Ok(())
    }

    /// Remembers `chain`, unless another process has already remembered more.
    pub(crate) fn advance(&self, ledger: &Path, chain: &Chain) -> Result<(), MemoryError> {
        match self.recall(ledger)? {
            Some(old) if old.ledger == chain.id() && old.size >= chain.size() => Ok(()),
            // A directory sync is not needed: if power loss undoes the rename, the older file is still true.
            Some(_) => self.write(ledger, chain),
            // It was moved while it was open here.
            None if self.elsewhere(ledger, chain.id())?.kept.is_some() => Ok(()),
            None => self.begin(ledger, chain),
        }
    }

    /// Remembers `chain` whatever was remembered before, and durably; at this path alone.
    pub(crate) fn reset(&self, ledger: &Path, chain: &Chain) -> Result<(), MemoryError> {
        self.begin(ledger, chain)?;
        for (path, _) in self.others(ledger, chain.id())?.named {
            fs::remove_file(&path).map_err(|source| MemoryError::Io {
                what: "remove",
                path,
                source,
            })?;
        }
        place::sync_dir(&self.dir).map_err(MemoryError::Place)
    }

    /// Remembers `chain`, durably.
    fn begin(&self, ledger: &Path, chain: &Chain) -> Result<(), MemoryError> {
        self.write(ledger, chain)?;
        place::sync_dir(&self.dir).map_err(MemoryError::Place)
    }

    /// Refuses `chain` where the memory, which has `own` of it at its path, knows it at another one: all of it where
    /// nothing is known here, else what this one lacks. Where nothing is known here, and a file cannot be read that may
    /// speak of it, that is an error: [`MemoryError::Other`].
    pub(crate) fn check_elsewhere(
        &self,
        ledger: &Path,
        own: Option<&Remembered>,
        chain: &Chain,
    ) -> Result<Result<(), Box<Disagreement>>, MemoryError> {
        let Elsewhere { kept, unread } = self.elsewhere(ledger, chain.id())?;
        let Some(kept) = kept else {
            // One without events of a run, such as one that was made just now, is nobody's copy.
            let unknown = own.is_none() && chain.size() > 1;
            return unread.filter(|_| unknown).map_or(Ok(Ok(())), Err);
        };
        if own.is_some() && compare(&kept, chain).is_ok() {
            return Ok(Ok(()));
        }
        Ok(Err(Box::new(Disagreement {
            remembered: kept,
            found: Some(found(chain)),
            how: How::Elsewhere,
        })))
    }

    /// Removes what killed processes left of unfinished writes. By its age: in containers process ids come again.
    pub(crate) fn sweep(&self, ledger: &Path) {
        let prefix = format!(".{}.", Self::name(ledger));
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let unfinished = (entry.file_name().to_str()).is_some_and(|n| n.starts_with(&prefix));
            let age = (entry.metadata().ok())
                .and_then(|found| found.modified().ok())
                .and_then(|written| written.elapsed().ok());
            if unfinished && age.is_some_and(|age| age > UNFINISHED) {
                // A file that stays is only litter.
                drop(fs::remove_file(entry.path()));
            }
        }
    }

    fn write(&self, ledger: &Path, chain: &Chain) -> Result<(), MemoryError> {
        let Some(head) = chain.head() else {
            return Ok(());
        };
        let kept = Remembered {
            path: ledger.to_string_lossy().into_owned(),
            ledger: chain.id().to_owned(),
            size: chain.size(),
            root: chain.root(),
            head: head.hash,
        };
        let path = self.file(ledger);
        let cannot = |source: io::Error| MemoryError::Io {
            what: "write",
            path: path.clone(),
            source,
        };
        // Random, and not the process id, which another process may have had that died in the middle.
        let mut unique = [0; 8];
        blob::random(&mut unique).map_err(cannot)?;
        let fresh = self
            .dir
            .join(format!(".{}.{}", Self::name(ledger), to_hex(&unique)));
        let mut text = serde_json::to_vec(&kept).map_err(|error| cannot(error.into()))?;
        text.push(b'\n');
        let write = || {
            let flags =
                OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file = File::from(rustix::fs::open(&fresh, flags, Mode::from_raw_mode(0o600))?);
            file.write_all(&text)?;
            file.sync_data()?;
            fs::rename(&fresh, &path)
        };
        write().map_err(|source| {
            drop(fs::remove_file(&fresh));
            cannot(source)
        })
    }

    fn file(&self, ledger: &Path) -> PathBuf {
        self.dir.join(format!("{}.json", Self::name(ledger)))
    }

    fn name(ledger: &Path) -> String {
        to_hex(&sha2::Sha256::digest(ledger.as_os_str().as_bytes())[..16])
    }
}

/// Whether `chain` is what is remembered, or that and more.
pub(crate) fn compare(remembered: &Remembered, chain: &Chain) -> Result<(), Box<Disagreement>> {
    let how = if remembered.ledger != chain.id() {
        How::Foreign
    } else if remembered.size > chain.size() {
        How::Shorter
    } else if chain.hash_at(remembered.size - 1) == Some(remembered.head)
        && chain.root_at(remembered.size) == Some(remembered.root)
    {
        return Ok(());
    } else {
        How::Rewritten
    };
    Err(Box::new(Disagreement {
        remembered: remembered.clone(),
        found: Some(found(chain)),
        how,
    }))
}

fn found(chain: &Chain) -> Found {
    Found {
        ledger: chain.id().to_owned(),
        size: chain.size(),
        root: chain.root(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(events: usize) -> Chain {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../tests/vectors/ledger-v1.json")).unwrap();
        let mut chain = Chain::new();
        for event in &vectors["events"].as_array().unwrap()[..events] {
            let checked = chain.check(event["body"].as_str().unwrap()).unwrap();
            chain.accept(&checked);
        }
        chain
    }

    /// Two processes commit one after the other, and the first is the last to write what it remembers.
    #[test]
    fn a_slower_process_does_not_take_the_memory_back() {
        let home = tempfile::tempdir().unwrap();
        let memory = Memory::at(&home.path().join("memory")).unwrap();
        let ledger = Path::new("/var/lib/upledger/ledger.db");
        assert_eq!(memory.recall(ledger).unwrap(), None);
        memory.advance(ledger, &chain(5)).unwrap();
        memory.advance(ledger, &chain(7)).unwrap();
        memory.advance(ledger, &chain(6)).unwrap();
        let kept = memory.recall(ledger).unwrap().unwrap();
        assert_eq!((kept.size, kept.root), (7, chain(7).root()));
        assert!(compare(&kept, &chain(7)).is_ok() && compare(&kept, &chain(10)).is_ok());
        assert_eq!(compare(&kept, &chain(6)).unwrap_err().how, How::Shorter);
        memory.reset(ledger, &chain(3)).unwrap();
        assert_eq!(memory.recall(ledger).unwrap().unwrap().size, 3);
    }
}
