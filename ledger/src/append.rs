//! Appending: compare the head, then all or nothing in one durable commit.
//!
//! Invariants: when [`Ledger::append`] returns success, the events survive power loss and the memory knows them; for
//! every error but [`AppendError::Unknown`], [`AppendError::Poisoned`] and [`AppendError::Memory`] nothing was appended.
//! A commit that fails with an I/O error is *unknown*: SQLite can report one for a transaction that is there after a
//! restart, so the handle is given up and nothing is tried again. Every body passes the verifier's own rules before it
//! is written. Left out: deciding what to append.

use crate::blob::{BlobError, NewBlob};
use crate::busy::{self, Holder, by};
use crate::canonical::NotCanonical;
use crate::chain::{CREATED, Chain, OPENED, RESTORED};
use crate::checkpoint::Checkpoint;
use crate::clock::{self, Clock, ClockError};
use crate::damage::{Broken, Fault};
use crate::disk;
use crate::envelope::{self, Envelope};
use crate::head::{Digest, Head};
use crate::memory::{self, Disagreement, MemoryError};
use crate::place::PlaceError;
use crate::record::{Data, Draft, Event, Identity, Record};
use crate::scan::{extended, file_head, is_of_the_system, primary};
use crate::store::Ledger;
use rusqlite::{Connection, ffi};
use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// What goes with the drafts into the same commit.
#[derive(Debug, Clone, Default)]
pub struct Append {
    /// Write an unsigned checkpoint over the size after these events.
    pub checkpoint: bool,
    /// Content that the drafts name.
    pub blobs: Vec<NewBlob>,
}

/// What was appended.
#[derive(Debug, Clone, PartialEq)]
pub struct Appended {
    /// The head after it.
    pub head: Head,
    /// The seq of the first draft's event. A `session.opened` may stand before it.
    pub first_seq: u64,
    /// Every new record, in order, a `session.opened` included.
    pub records: Vec<Record>,
    /// The checkpoint that was asked for.
    pub checkpoint: Option<Checkpoint>,
}

/// Why a draft or an identity has no place in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// `data` is not an object.
    #[error("its data is not an object")]
    NotAnObject,
    /// `data` has no canonical form.
    #[error("its data has no canonical form")]
    Canonical(#[source] NotCanonical),
    /// A kind is dotted lower-case words.
    #[error("its kind {0:?} is not made of `a`-`z`, `0`-`9`, `_` and `.`")]
    Kind(String),
    /// The kind belongs to the ledger itself.
    #[error("its kind `{0}` is the ledger's own")]
    Reserved(String),
    /// A run's name is not empty and has no control character.
    #[error("its run {0:?} is empty or has a control character")]
    Run(String),
    /// It would not verify.
    #[error("it would not verify")]
    Invalid(#[source] Fault),
}

/// Why nothing was appended, or why it is not known.
#[derive(Debug, Error)]
pub enum AppendError {
    /// The ledger has another head than the caller has seen: refresh, decide again.
    #[error("the ledger's head is {actual}")]
    HeadMoved {
        /// The head.
        actual: Head,
    },
    /// Another process holds the file.
    #[error("the ledger was busy for {waited:?}{}", by(holder.as_ref()))]
    Busy {
        /// How long this process waited.
        waited: Duration,
        /// Who holds it, if it can be told.
        holder: Option<Holder>,
    },
    /// The disk is full. The reserve can be released for the record of the stop.
    #[error("the disk is full")]
    Full(#[source] rusqlite::Error),
    /// The file or its directory cannot be written.
    #[error("the ledger cannot be written")]
    Unwritable(#[source] rusqlite::Error),
    /// A draft has no place in the ledger.
    #[error("draft {index} is refused")]
    Refused {
        /// Which, from 0.
        index: usize,
        /// Why.
        #[source]
        refusal: Refusal,
    },
    /// The identity has no place in the ledger.
    #[error("the identity of this session is refused")]
    Identity(#[source] Refusal),
    /// A blob cannot be stored.
    #[error("a blob cannot be stored")]
    Blob(#[source] BlobError),
    /// This handle was opened to read.
    #[error("this handle was opened to read")]
    ReadOnly,
    /// An earlier call met an error after which this handle knows nothing for sure.
    #[error("this handle met an error before and must be given up: {cause}")]
    Poisoned {
        /// The earlier error.
        cause: String,
    },
    /// Whether it was appended is not known: give up the handle, stop, and read the head at the next start.
    #[error("whether the events were appended is not known")]
    Unknown(#[source] rusqlite::Error),
    /// SQLite does not understand what is in the file; whether the events were appended is not known either.
    #[error("the ledger is damaged")]
    Corrupt(#[source] rusqlite::Error),
    /// The table refused what follows from what this handle has verified.
    #[error("the ledger is damaged")]
    Damaged(#[source] Broken),
    /// The path leads to another file than the one that was opened.
    #[error("{path} is not the file that was opened any more")]
    Replaced {
        /// The path.
        path: PathBuf,
    },
    /// More or other is remembered than the file holds.
    #[error(transparent)]
    Remembered(Box<Disagreement>),
    /// The memory cannot be read; nothing was appended.
    #[error("the remembered heads cannot be used")]
    MemoryUnreadable(#[source] MemoryError),
    /// The events are appended and durable, but the memory could not be advanced. It lags behind, which is legal.
    #[error("the events are appended, but the remembered head could not be updated")]
    Memory {
        /// What was appended.
        appended: Box<Appended>,
        /// Why the memory stays behind.
        #[source]
        source: MemoryError,
    },
    /// There is no time.
    #[error("there is no time for the events")]
    Clock(#[source] ClockError),
    /// The state directory is not fit any more.
    #[error("the state directory cannot be used")]
    Place(#[source] PlaceError),
}

impl AppendError {
    /// The ledger is damaged, or is not what is remembered; otherwise the disk or the system refuses.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Damaged(_) | Self::Remembered(_) | Self::Corrupt(_)
        )
    }
}

/// Why an event of this transaction was not written.
pub(crate) enum StageError {
    Refused(Refusal),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for StageError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Who and when, the same for all events of one transaction.
pub(crate) struct Stamp<'a> {
    identity: &'a Identity,
    ts: String,
    mono: u64,
    boot: String,
}

impl<'a> Stamp<'a> {
    /// Reads the clocks; the caller holds the write transaction.
    pub(crate) fn now(
        identity: &'a Identity,
        clock: &dyn Clock,
        chain: &Chain,
    ) -> Result<Self, ClockError> {
        let reading = clock.now()?;
        let ts = clock::format_ts(reading.unix_micros)?;
        // Two processes read the same clock, but the kernel may order their reads otherwise than their transactions.
        let mono = reading.mono.max(chain.last_mono(&reading.boot));
        Ok(Self {
            identity,
            ts,
            mono,
            boot: reading.boot,
        })
    }
}

/// Writes one event and takes it into `chain`; the caller holds the write transaction.
pub(crate) fn stage(
    conn: &Connection,
    chain: &mut Chain,
    stamp: &Stamp<'_>,
    ledger: &str,
    run: Option<&str>,
    kind: &str,
    data: Cow<'_, Data>,
) -> Result<Record, StageError> {
    let data = Data::text(data).map_err(|error| StageError::Refused(Refusal::Canonical(error)))?;
    if !data.starts_with('{') {
        return Err(StageError::Refused(Refusal::NotAnObject));
    }
    let seq = chain.size();
    let prev = chain.head().map_or(Digest::ZERO, |head| head.hash);
    let parts = Envelope {
        actor: Cow::Borrowed(&stamp.identity.actor),
        boot: Cow::Borrowed(&stamp.boot),
        data: "",
        data_at: 0,
        host: Cow::Borrowed(&stamp.identity.host),
        kind: Cow::Borrowed(kind),
        ledger,
        mono: stamp.mono,
        prev,
        rseq: run.map(|run| chain.next_rseq(run)),
        run: run.map(Cow::Borrowed),
        seq,
        sess: if kind == OPENED {
            Some(seq)
        } else {
            chain.session()
        },
        ts: &stamp.ts,
    };
    let body = envelope::compose(&parts, data.into_owned())
        .map_err(|error| StageError::Refused(Refusal::Canonical(error)))?;
    let checked = chain
        .check(&body)
        .map_err(|fault| StageError::Refused(Refusal::Invalid(fault)))?;
    let mut record = Record::without_body(&checked);
    let row = i64::try_from(seq).unwrap_or(i64::MAX);
    let mut insert = conn.prepare_cached(
        "INSERT INTO event(seq, hash, prev, run, kind, ts, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    insert.raw_bind_parameter(1, row)?;
    insert.raw_bind_parameter(2, checked.hash.as_bytes())?;
    insert.raw_bind_parameter(3, prev.as_bytes())?;
    insert.raw_bind_parameter(4, run)?;
    insert.raw_bind_parameter(5, kind)?;
    insert.raw_bind_parameter(6, &stamp.ts)?;
    insert.raw_bind_parameter(7, &body)?;
    // If it fails, so does the transaction, and whoever has begun it takes the chain back.
    chain.accept(&checked);
    // SQLite makes several copies of a large body while it inserts one, so ours is not kept beside them.
    drop(body);
    insert.raw_execute()?;
    drop(insert);
    record.body = conn
        .prepare_cached("SELECT body FROM event WHERE seq = ?1")?
        .query_row([row], |row| row.get(0))?;
    Ok(record)
}

impl Ledger {
    /// Appends `drafts` behind `expected`, all in one durable commit or none.
    ///
    /// If the session in force is not this handle's, a `session.opened` with its identity goes in front.
    ///
    /// # Errors
    /// [`AppendError`]; each variant says whether something was appended.
    pub fn append<'a>(
        &mut self,
        expected: &Head,
        drafts: impl Into<Cow<'a, [Draft]>>,
        extra: &Append,
    ) -> Result<Appended, AppendError> {
        let drafts = drafts.into();
        for (index, draft) in drafts.iter().enumerate() {
            admissible(draft).map_err(|refusal| AppendError::Refused { index, refusal })?;
        }
        let events: Vec<Event<'_>> = match drafts {
            Cow::Borrowed(drafts) => drafts.iter().map(Event::borrowed).collect(),
            Cow::Owned(drafts) => drafts.into_iter().map(Event::owned).collect(),
        };
        self.append_events(expected, events, extra, false)
    }

    /// [`Ledger::append`] for events of any kind; `reset` replaces the memory instead of consulting and advancing it.
    pub(crate) fn append_events(
        &mut self,
        expected: &Head,
        events: Vec<Event<'_>>,
        extra: &Append,
        reset: bool,
    ) -> Result<Appended, AppendError> {
        if let Some(cause) = &self.poison {
            return Err(AppendError::Poisoned {
                cause: cause.clone(),
            });
        }
        let path = self.place.ledger_path();
        match self.place.ledger_file().map_err(AppendError::Place)? {
            Some(file) if file == self.file => {}
            _ => return Err(AppendError::Replaced { path }),
        }
        if *expected != self.head() {
            return Err(AppendError::HeadMoved {
                actual: self.head(),
            });
        }
        let mark = self.chain.mark();
        let session = self.session;
        let result = extra
            .blobs
            .iter()
            .try_for_each(|blob| blob.write_file(&self.place).map_err(AppendError::Blob))
            .and_then(|()| self.transact(expected, events, extra, reset));
        let appended = match result {
            Ok(appended) => appended,
            Err(error) => {
                self.chain.back_to(mark);
                self.session = session;
                if self.poison.is_none() {
                    extra
                        .blobs
                        .iter()
                        .for_each(|blob| blob.remove_file(&self.place));
                }
                return Err(error);
            }
        };
        let advanced = match &self.memory {
            Some(memory) if reset => memory.reset(&path, &self.chain),
            Some(memory) => memory.advance(&path, &self.chain),
            None => Ok(()),
        };
        match advanced {
            Ok(()) => Ok(appended),
            Err(source) => Err(AppendError::Memory {
                appended: Box::new(appended),
                source,
            }),
        }
    }

    fn transact(
        &mut self,
        expected: &Head,
        events: Vec<Event<'_>>,
        extra: &Append,
        reset: bool,
    ) -> Result<Appended, AppendError> {
        self.conn
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(|error| self.judge(error))?;
        let staged = match self.fill(expected, events, extra, reset) {
            Ok(staged) => staged,
            Err(error) => return Err(self.roll_back(expected, error)),
        };
        match self.conn.execute_batch("COMMIT") {
            Ok(()) => Ok(staged),
            Err(error) => {
                let error = self.judge(error);
                Err(self.roll_back(expected, error))
            }
        }
    }

    /// Everything between `BEGIN` and `COMMIT`.
    fn fill(
        &mut self,
        expected: &Head,
        events: Vec<Event<'_>>,
        extra: &Append,
        reset: bool,
    ) -> Result<Appended, AppendError> {
        match file_head(&self.conn).map_err(|error| self.judge(error))? {
            Some(actual) if actual == *expected => {}
            Some(actual) => return Err(AppendError::HeadMoved { actual }),
            None => return Err(AppendError::Damaged(Fault::Ends.at(expected.seq))),
        }
        if let (Some(memory), false) = (&self.memory, reset) {
            // Nobody else can commit now, so what is remembered beyond this file was taken from it.
            let path = self.place.ledger_path();
            let remembered = memory
                .recall(&path)
                .map_err(AppendError::MemoryUnreadable)?;
            match remembered {
                Some(remembered) => {
                    memory::compare(&remembered, &self.chain).map_err(AppendError::Remembered)?;
                }
                // Somebody has recorded that it lives at another path now.
                None => memory
                    .check_elsewhere(&path, None, &self.chain)
                    .map_err(AppendError::MemoryUnreadable)?
                    .map_err(AppendError::Remembered)?,
            }
        }
        let Some(identity) = self.identity.clone() else {
            return Err(AppendError::ReadOnly);
        };
        let stamp = Stamp::now(&identity, self.options.clock.as_ref(), &self.chain)
            .map_err(AppendError::Clock)?;
        let id = self.chain.id().to_owned();
        let mut records = Vec::with_capacity(events.len() + 1);
        if !events.is_empty() && (self.session.is_none() || self.chain.session() != self.session) {
            let record = stage(
                &self.conn,
                &mut self.chain,
                &stamp,
                &id,
                None,
                OPENED,
                Cow::Owned(identity.session.clone().into()),
            );
            let record = record.map_err(|error| self.stage_error(error, AppendError::Identity))?;
            self.session = Some(record.seq);
            records.push(record);
        }
        let first_seq = self.chain.size();
        for (index, event) in events.into_iter().enumerate() {
            let record = stage(
                &self.conn,
                &mut self.chain,
                &stamp,
                &id,
                event.run.as_deref(),
                &event.kind,
                event.data,
            );
            records.push(record.map_err(|error| {
                self.stage_error(error, |refusal| AppendError::Refused { index, refusal })
            })?);
        }
        for blob in &extra.blobs {
            blob.insert(&self.conn).map_err(|error| self.judge(error))?;
        }
        let checkpoint = if extra.checkpoint {
            Some(self.write_checkpoint().map_err(|error| self.judge(error))?)
        } else {
            None
        };
        Ok(Appended {
            head: self.head(),
            first_seq,
            records,
            checkpoint,
        })
    }

    /// `UNIQUE(size, sig)` lets any number of unsigned checkpoints of one size pass; one is enough.
    fn write_checkpoint(&self) -> Result<Checkpoint, rusqlite::Error> {
        let checkpoint = Checkpoint {
            ledger: self.chain.id().to_owned(),
            size: self.chain.size(),
            root: self.chain.root(),
        };
        self.conn
            .prepare_cached(
                "INSERT INTO checkpoint(size, note, sig) SELECT ?1, ?2, NULL
                 WHERE NOT EXISTS(SELECT 1 FROM checkpoint WHERE size = ?1 AND note = ?2 AND sig IS NULL)",
            )?
            .execute((i64::try_from(checkpoint.size).unwrap_or(i64::MAX), checkpoint.to_string()))?;
        Ok(checkpoint)
    }

    fn stage_error(
        &mut self,
        error: StageError,
        refused: impl FnOnce(Refusal) -> AppendError,
    ) -> AppendError {
        match error {
            StageError::Refused(refusal) => refused(refusal),
            StageError::Sqlite(error) => self.judge(error),
        }
    }

    /// What an error of SQLite means here. All that is not known to leave the file as it was poisons the handle.
    fn judge(&mut self, error: rusqlite::Error) -> AppendError {
        match primary(&error) {
            ffi::SQLITE_BUSY => AppendError::Busy {
                waited: self.options.busy,
                holder: busy::holder(&self.place.ledger_path()),
            },
            ffi::SQLITE_FULL => AppendError::Full(error),
            ffi::SQLITE_CONSTRAINT => {
                AppendError::Damaged(Fault::Unreadable(error.to_string()).at(self.chain.size()))
            }
            ffi::SQLITE_READONLY | ffi::SQLITE_CANTOPEN | ffi::SQLITE_PERM
                if extended(&error) != ffi::SQLITE_READONLY_DBMOVED =>
            {
                AppendError::Unwritable(error)
            }
            _ => {
                self.poison = Some(error.to_string());
                if is_of_the_system(&error) {
                    return AppendError::Unknown(error);
                }
                if !self.conn.is_autocommit() {
                    // It would be, when this handle is given up; a look needs the locks.
                    drop(self.conn.execute_batch("ROLLBACK"));
                }
                if disk::fails(&self.place.ledger_path()) {
                    AppendError::Unknown(error)
                } else {
                    AppendError::Corrupt(error)
                }
            }
        }
    }

    /// Ends the transaction after `error`, and makes sure that the file is what it was; if not, nothing is known.
    fn roll_back(&mut self, expected: &Head, error: AppendError) -> AppendError {
        if self.poison.is_some() {
            return error;
        }
        let mut done = Ok(());
        if !self.conn.is_autocommit() {
            done = self.conn.execute_batch("ROLLBACK");
        }
        // Only these two come from a write that SQLite began; the others leave nothing to look at.
        let began = matches!(error, AppendError::Full(_) | AppendError::Unwritable(_));
        match done.and_then(|()| {
            if began {
                file_head(&self.conn)
            } else {
                Ok(Some(*expected))
            }
        }) {
            Ok(Some(head)) if head == *expected => error,
            Ok(_) => {
                self.poison =
                    Some("the head changed in a transaction that was rolled back".to_owned());
                error_unknown(error)
            }
            Err(other) => {
                self.poison = Some(other.to_string());
                AppendError::Unknown(other)
            }
        }
    }
}

fn error_unknown(error: AppendError) -> AppendError {
    match error {
        AppendError::Full(source) | AppendError::Unwritable(source) => AppendError::Unknown(source),
        other => other,
    }
}

fn admissible(draft: &Draft) -> Result<(), Refusal> {
    let word = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.');
    if draft.kind.is_empty() || !draft.kind.bytes().all(word) {
        return Err(Refusal::Kind(draft.kind.clone()));
    }
    if [CREATED, OPENED, RESTORED].contains(&draft.kind.as_str()) {
        return Err(Refusal::Reserved(draft.kind.clone()));
    }
    match &draft.run {
        Some(run) if run.is_empty() || run.chars().any(char::is_control) => {
            Err(Refusal::Run(run.clone()))
        }
        _ => Ok(()),
    }
}
