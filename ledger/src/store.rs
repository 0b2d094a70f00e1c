//! An open ledger, and reading from it.
//!
//! Invariants: what is read must have the hash that was verified when the handle first saw it; read transactions are
//! short; nothing that is stored can make this panic. Left out: opening ([`crate::open`]) and appending
//! ([`crate::append`]).

use crate::blob::{self, BlobError};
use crate::busy::{self, Holder, by};
use crate::chain::{self, Chain, Checked, Row};
use crate::damage::{Broken, Fault};
use crate::disk;
use crate::head::{Digest, Head};
use crate::hot_journal::Opened;
use crate::memory::{Memory, MemoryError, Remembered};
use crate::open::Options;
use crate::place::{FileId, Place, PlaceError};
use crate::record::{Identity, Record};
use crate::scan::{self, ScanError, data_version, file_head, is_busy};
use crate::tree;
use rusqlite::Connection;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// How many rows one read transaction takes.
const CHUNK: u32 = 256;

/// Why a record cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It is not what this handle verified, or does not follow from it.
    #[error(transparent)]
    Damaged(#[from] Broken),
    /// The path leads to another file than the one that was opened.
    #[error("{path} is not the file that was opened any more")]
    Replaced {
        /// The path.
        path: PathBuf,
    },
    /// Another process holds the file.
    #[error("the ledger was busy for {waited:?}{}", by(holder.as_ref()))]
    Busy {
        /// How long this process waited.
        waited: Duration,
        /// Who holds it, if it can be told.
        holder: Option<Holder>,
    },
    /// An earlier call met an error after which this handle knows nothing for sure.
    #[error("this handle met an error before and must be given up: {cause}")]
    Poisoned {
        /// The earlier error.
        cause: String,
    },
    /// The state directory is not fit any more.
    #[error("the state directory cannot be used")]
    Place(#[from] PlaceError),
    /// SQLite does not understand what is in the file.
    #[error("the ledger is damaged")]
    Corrupt(#[source] rusqlite::Error),
    /// The disk or the system refuses.
    #[error("the ledger cannot be read")]
    Sqlite(#[source] rusqlite::Error),
}

/// An open ledger.
pub struct Ledger {
    pub(crate) conn: Connection,
    pub(crate) place: Place,
    pub(crate) memory: Option<Memory>,
    /// `None` for a reader.
    pub(crate) identity: Option<Identity>,
    pub(crate) chain: Chain,
    /// Where this ledger is remembered, if not here alone; only of a reader.
    pub(crate) copied_from: Option<Remembered>,
    /// See [`Ledger::unread_memory`].
    pub(crate) unread_memory: Option<MemoryError>,
    pub(crate) file: FileId,
    /// Keeps a verification in this process from touching the file, and SQLite's locks with it.
    pub(crate) _opened: Opened,
    /// The `session.opened` of this handle.
    pub(crate) session: Option<u64>,
    /// The error after which nothing is certain.
    pub(crate) poison: Option<String>,
    pub(crate) options: Options,
    /// SQLite's counter of other connections' commits, when `chain` was last the file's.
    pub(crate) data_version: i64,
}

impl ReadError {
    /// The ledger is damaged, or is not the one that was opened; otherwise the disk or the system refuses.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged(_) | Self::Replaced { .. } | Self::Corrupt(_) => true,
            Self::Busy { .. } | Self::Poisoned { .. } | Self::Place(_) | Self::Sqlite(_) => false,
        }
    }
}

impl Ledger {
    /// The ledger's id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.chain.id()
    }

    /// The last record that this handle knows.
    #[must_use]
    pub fn head(&self) -> Head {
        self.chain.head().unwrap_or(Head {
            seq: 0,
            hash: Digest::ZERO,
        })
    }

    /// How many events this handle knows; at least 1.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.chain.size()
    }

    /// The root over them.
    #[must_use]
    pub fn root(&self) -> Digest {
        self.chain.root()
    }

    /// The root over the first `size` events; `None` if there are fewer.
    #[must_use]
    pub fn root_at(&self, size: u64) -> Option<Digest> {
        self.chain.root_at(size)
    }

    /// What is remembered of it at another path, of which this is a copy, or from which it was moved.
    #[must_use]
    pub fn copied_from(&self) -> Option<&Remembered> {
        self.copied_from.as_ref()
    }

    /// Why it cannot be told whether a ledger that was opened to be read is a copy: [`MemoryError::Other`].
    #[must_use]
    pub fn unread_memory(&self) -> Option<&MemoryError> {
        self.unread_memory.as_ref()
    }

    /// Where it lies.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// All records that this handle knows.
    #[must_use]
    pub fn read_all(&self) -> Records<'_> {
        self.read_from(0)
    }

    /// The records from `seq` on.
    #[must_use]
    pub fn read_from(&self, seq: u64) -> Records<'_> {
        Records {
            ledger: self,
            next: seq,
            end: self.size(),
            run: None,
            ready: VecDeque::new(),
            failed: false,
        }
    }

    /// The records of one run. Every body is looked at: the column `run` alone could be made to hide one.
    #[must_use]
    pub fn read_run(&self, run: &str) -> Records<'_> {
        Records {
            run: Some(run.to_owned()),
            ..self.read_from(0)
        }
    }

    /// The salt of kept content; none once it was purged.
    ///
    /// # Errors
    /// [`BlobError`] when nothing is known under this digest.
    pub fn salt(&self, sha256: Digest) -> Result<Option<[u8; 16]>, BlobError> {
        blob::salt(&self.conn, sha256)
    }

    /// The content of a blob, checked.
    ///
    /// # Errors
    /// [`BlobError`] if it is unknown, purged, absent or damaged.
    pub fn blob(&self, sha256: Digest) -> Result<Vec<u8>, BlobError> {
        blob::get(&self.conn, &self.place.blobs_path(), sha256)
    }

    /// Whether the file's head is another one than this handle knows. Cheap enough to ask every second.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn moved(&mut self) -> Result<bool, ReadError> {
        self.usable()?;
        let version = data_version(&self.conn).map_err(|error| self.read_error(error))?;
        if version == self.data_version {
            return Ok(false);
        }
        let head = file_head(&self.conn).map_err(|error| self.read_error(error))?;
        let moved = head != Some(self.head());
        if !moved {
            self.data_version = version;
        }
        Ok(moved)
    }

    /// Reads and verifies what others appended since, and returns it.
    ///
    /// # Errors
    /// [`ReadError`]; then this handle knows what it knew before.
    pub fn refresh(&mut self) -> Result<Vec<Record>, ReadError> {
        self.usable()?;
        let mark = self.chain.mark();
        let mut records = Vec::new();
        let result = scan::refresh(&self.conn, &mut self.chain, &mut records);
        match result.and_then(|()| data_version(&self.conn).map_err(ScanError::Sqlite)) {
            Ok(version) => {
                self.end_read();
                self.data_version = version;
                Ok(records)
            }
            Err(error) => {
                self.end_read();
                self.chain.back_to(mark);
                Err(match error {
                    ScanError::Broken(broken) => ReadError::Damaged(broken),
                    ScanError::Unreadable(_, error) | ScanError::Sqlite(error) => {
                        self.read_error(error)
                    }
                })
            }
        }
    }

    /// Gives the disk space that was set aside back, so that the record of a stop fits on a full disk. An opening sets
    /// it aside again once there is twice as much room. False if there was none.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn release_reserve(&self) -> std::io::Result<bool> {
        self.place.release_reserve()
    }

    fn end_read(&self) {
        if !self.conn.is_autocommit() {
            // A read transaction has nothing to lose.
            drop(self.conn.execute_batch("ROLLBACK"));
        }
    }

    /// Refuses a handle that met an error before, and a path that leads to another file by now.
    fn usable(&self) -> Result<(), ReadError> {
        if let Some(cause) = &self.poison {
            return Err(ReadError::Poisoned {
                cause: cause.clone(),
            });
        }
        match self.place.ledger_file()? {
            Some(file) if file == self.file => Ok(()),
            _ => Err(ReadError::Replaced {
                path: self.place.ledger_path(),
            }),
        }
    }

    fn read_error(&self, error: rusqlite::Error) -> ReadError {
        if is_busy(&error) {
            return ReadError::Busy {
                waited: self.options.busy,
                holder: busy::holder(&self.place.ledger_path()),
            };
        }
        if scan::is_of_the_system(&error) || disk::fails(&self.place.ledger_path()) {
            return ReadError::Sqlite(error);
        }
        ReadError::Corrupt(error)
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Ledger")
            .field("path", &self.place.ledger_path())
            .field("head", &self.head())
            .finish_non_exhaustive()
    }
}

/// Records in order, read a few hundred at a time. After an error there is no further item.
pub struct Records<'a> {
    ledger: &'a Ledger,
    next: u64,
    end: u64,
    run: Option<String>,
    ready: VecDeque<Record>,
    failed: bool,
}

impl Records<'_> {
    fn fill(&mut self) -> Result<(), ReadError> {
        let ledger = self.ledger;
        ledger.usable()?;
        let sqlite = |error| ledger.read_error(error);
        let mut statement = ledger.conn.prepare_cached(chain::SELECT).map_err(sqlite)?;
        let from = i64::try_from(self.next).unwrap_or(i64::MAX);
        let chunk = u64::from(CHUNK).min(self.end - self.next);
        let mut rows = statement
            .query((from, i64::try_from(chunk).unwrap_or(i64::MAX)))
            .map_err(sqlite)?;
        for _ in 0..chunk {
            let seq = self.next;
            let row = rows
                .next()
                .map_err(sqlite)?
                .ok_or_else(|| Fault::Ends.at(seq))?;
            if let Some(record) = self.check(row).map_err(|fault| fault.at(seq))? {
                self.ready.push_back(record);
            }
            self.next += 1;
        }
        Ok(())
    }

    /// The record in this row, if it is of the run that is asked for; it must have the hash that was verified at first.
    fn check(&self, row: &rusqlite::Row<'_>) -> Result<Option<Record>, Fault> {
        let row = Row::of(row)?;
        if u64::try_from(row.seq) != Ok(self.next) {
            return Err(Fault::Gap { found: row.seq });
        }
        let hash = tree::leaf_hash(row.body.as_bytes());
        let before = self.ledger.chain.hash_at(self.next).ok_or(Fault::Ends)?;
        if hash != before {
            return Err(Fault::Changed { before });
        }
        let checked = Checked {
            envelope: crate::envelope::parse(row.body)?,
            hash,
        };
        match &self.run {
            Some(run) if checked.envelope.run.as_deref() != Some(run) => Ok(None),
            _ => Ok(Some(Record::of(row.body, &checked))),
        }
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() && self.next < self.end && !self.failed {
            if let Err(error) = self.fill() {
                // What was read before the bad row is sound, but a part must not pass for the whole.
                self.failed = true;
                self.ready.clear();
                return Some(Err(error));
            }
        }
        self.ready.pop_front().map(Ok)
    }
}
