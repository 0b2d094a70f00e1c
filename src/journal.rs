//! Events to records and back: the one place where `ledger` and `replay` meet.
//!
//! Check in memory, append, act: [`Journal::stage`] folds an event into the state, [`Journal::commit`] makes all staged
//! events durable in one commit, and only then may anything be done or said. When somebody else has appended
//! meanwhile, the staged events are void and the state is folded again; the caller decides anew.
//!
//! Every free text of an event passes the redactor here (the module `redacted`), before it is folded: what is folded is
//! what is appended.

mod redacted;

use crate::action::{Blob, Kept, RawPast};
use crate::failpoint;
use crate::home::{Home, identity};
use crate::redact::Redactor;
use serde_json::{Value, json};
use upledger_ledger::{
    Append, AppendError, BlobRef, Draft, Ledger, Memory, MemoryError, NewBlob, OpenError, Place,
    PlaceError, ReadError, Record,
};
use upledger_replay::book::Book;
use upledger_replay::event::Event;
use upledger_replay::state::{Refused, Run, When};

/// A ledger and the state that its events fold to.
pub struct Journal {
    ledger: Ledger,
    /// Folded from what is durable.
    durable: Book,
    /// Folded from what is durable and what is staged.
    staged: Option<Book>,
    drafts: Vec<Draft>,
    /// What the drafts were made of.
    events: Vec<(Option<String>, Event)>,
    checkpoint: bool,
    /// Content that the drafts name.
    blobs: Vec<NewBlob>,
    redactor: Redactor,
}

/// An event with its envelope.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The run it belongs to.
    pub run: Option<String>,
    /// When it was recorded.
    pub when: When,
    /// Who.
    pub actor: String,
    /// What.
    pub event: Event,
}

/// The ledger cannot be used, or says what cannot be.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The state directory.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The memory of heads.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// It cannot be opened.
    #[error(transparent)]
    Open(Box<OpenError>),
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It cannot be appended to.
    #[error(transparent)]
    Append(Box<AppendError>),
    /// A record is not an event that this version knows.
    #[error("event {seq} is of a kind or shape that this version does not know: {kind}")]
    Unknown {
        /// Its place.
        seq: u64,
        /// Its kind.
        kind: String,
        /// What does not fit.
        #[source]
        source: serde_json::Error,
    },
    /// A record is not possible after those before it.
    #[error("event {seq} cannot follow those before it")]
    Impossible {
        /// Its place.
        seq: u64,
        /// The rule.
        #[source]
        source: Refused,
    },
    /// An event that the caller wants to record is not possible now.
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl From<OpenError> for JournalError {
    fn from(e: OpenError) -> Self {
        Self::Open(Box::new(e))
    }
}

/// What became of a commit.
#[derive(Debug)]
pub enum Committed {
    /// The staged events are durable; here they are.
    Done(Vec<Entry>),
    /// Somebody else appended first; what was staged is void.
    Moved,
}

/// Tries of a commit while others append remarks.
const TRIES: u32 = 20;

impl Journal {
    /// For writing; the ledger is created where there is none.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn create_or_open(home: &Home) -> Result<Self, JournalError> {
        let place = Place::open_or_create(&home.state)?;
        Self::over(Ledger::create_or_open(
            place,
            Memory::at(&home.memory)?,
            identity(),
        )?)
    }

    /// For writing; there must be a ledger.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(home: &Home) -> Result<Self, JournalError> {
        let place = Place::open(&home.state)?;
        Self::over(Ledger::open_existing(
            place,
            Memory::at(&home.memory)?,
            identity(),
        )?)
    }

    /// For reading.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn read(home: &Home) -> Result<Self, JournalError> {
        let place = Place::open(&home.state)?;
        Self::over(Ledger::open_read(place, Some(Memory::at(&home.memory)?))?)
    }

    fn over(ledger: Ledger) -> Result<Self, JournalError> {
        let mut journal = Self {
            ledger,
            durable: Book::default(),
            staged: None,
            drafts: Vec::new(),
            events: Vec::new(),
            checkpoint: false,
            blobs: Vec::new(),
            redactor: Redactor::none(),
        };
        journal.durable = journal.fold(None)?;
        Ok(journal)
    }

    /// Secrets that no event may hold.
    pub fn redact_with(&mut self, redactor: Redactor) {
        self.redactor = redactor;
    }

    /// A text as an event would hold it: for what is written beside the ledger.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        self.redactor.text(text)
    }

    /// The same of every text in a value.
    #[must_use]
    pub fn redact_value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.redactor.text(&text)),
            Value::Array(items) => items.into_iter().map(|v| self.redact_value(v)).collect(),
            Value::Object(map) => map
                .into_iter()
                .map(|(key, v)| (key, self.redact_value(v)))
                .collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) => value,
        }
    }

    /// The ledger below.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The state, staged events included.
    #[must_use]
    pub fn book(&self) -> &Book {
        self.staged.as_ref().unwrap_or(&self.durable)
    }

    /// A run's state, staged events included.
    #[must_use]
    pub fn run(&self, name: &str) -> Option<&Run> {
        self.book().run(name)
    }

    /// Something is staged.
    #[must_use]
    pub fn pending(&self) -> bool {
        !self.drafts.is_empty()
    }

    /// The state as it was when `at` was the last event, or now.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn fold(&self, at: Option<u64>) -> Result<Book, JournalError> {
        let mut book = Book::default();
        for record in self.ledger.read_all() {
            let record = record?;
            if at.is_some_and(|at| record.seq > at) {
                break;
            }
            let entry = entry(&record)?;
            apply(&mut book, &entry)?;
        }
        Ok(book)
    }

    /// All events, or those of one run.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn entries(&self, run: Option<&str>) -> Result<Vec<Entry>, JournalError> {
        let records = match run {
            Some(run) => self.ledger.read_run(run),
            None => self.ledger.read_all(),
        };
        records.map(|r| entry(&r?)).collect()
    }

    /// Redacts an event and folds it into the state, to be appended by the next commit.
    ///
    /// # Errors
    /// [`Refused`]; nothing has changed then.
    pub fn stage(&mut self, run: Option<&str>, event: &Event) -> Result<(), Refused> {
        let event = redacted::redacted(event, &self.redactor);
        let mut when = self.now();
        when.seq += self.drafts.len() as u64;
        let mut book = self.staged.take().unwrap_or_else(|| self.durable.clone());
        let applied = book.apply(run, &event, &when);
        self.staged = Some(book);
        applied?;
        self.drafts.push(draft(run, &event));
        self.events.push((run.map(str::to_owned), event));
        Ok(())
    }

    /// The next commit carries the salts of kept content that the staged events name.
    pub fn attach(&mut self, kept: &[Blob]) {
        self.blobs.extend(kept.iter().filter_map(|blob| {
            // What has no digest is no kept content, and nothing asks for its salt.
            let sha256 = blob.kept.blob.parse().ok()?;
            let len = blob.kept.len;
            Some(NewBlob::elsewhere(BlobRef { sha256, len }, blob.salt))
        }));
    }

    /// The next commit carries this content where it is small, else its salt; the staged events name it so.
    ///
    /// # Errors
    /// What reading meets.
    pub fn attach_content(&mut self, content: impl std::io::Read) -> std::io::Result<Kept> {
        let blob = NewBlob::read(content)?;
        let BlobRef { sha256, len } = blob.reference();
        self.blobs.push(blob);
        Ok(Kept {
            blob: sha256.to_string(),
            len,
        })
    }

    /// The salts of the kept content that a step's past names. What was purged has none.
    #[must_use]
    pub fn salts(&self, past: &RawPast) -> Vec<Blob> {
        let mut named = Vec::new();
        Kept::named_in(&past.before, &mut named);
        for note in &past.notes {
            Kept::named_in(&note.note, &mut named);
        }
        if let Some(output) = &past.output {
            Kept::named_in(output, &mut named);
        }
        let salt = |kept: &Kept| self.ledger.salt(kept.blob.parse().ok()?).ok()?;
        named
            .into_iter()
            .filter_map(|kept| {
                let salt = salt(&kept)?;
                Some(Blob { kept, salt })
            })
            .collect()
    }

    /// The next commit carries a checkpoint.
    pub fn checkpoint(&mut self) {
        self.checkpoint = true;
    }

    /// Appends what is staged, in one commit.
    ///
    /// # Errors
    /// [`JournalError`]; unless it says so, nothing was appended, and nothing may be done.
    pub fn commit(&mut self) -> Result<Committed, JournalError> {
        self.commit_within(TRIES)
    }

    fn commit_within(&mut self, tries: u32) -> Result<Committed, JournalError> {
        if self.drafts.is_empty() {
            self.staged = None;
            return Ok(Committed::Done(Vec::new()));
        }
        let extra = Append {
            checkpoint: self.checkpoint,
            blobs: self.blobs.clone(),
        };
        let head = self.ledger.head();
        match self.ledger.append(&head, &self.drafts, &extra) {
            Ok(appended) => {
                self.drafts.clear();
                self.events.clear();
                self.checkpoint = false;
                self.blobs.clear();
                self.staged = None;
                let mut entries = Vec::new();
                for record in &appended.records {
                    failpoint::hit("append");
                    let entry = entry(record)?;
                    apply(&mut self.durable, &entry)?;
                    entries.push(entry);
                }
                Ok(Committed::Done(entries))
            }
            Err(AppendError::HeadMoved { .. }) => self.moved(tries),
            Err(e) => {
                self.void();
                Err(JournalError::Append(Box::new(e)))
            }
        }
    }

    /// Somebody else was first. Remarks change no decision: behind them, what is staged is staged again, so that they
    /// cannot keep an outcome from being recorded.
    fn moved(&mut self, tries: u32) -> Result<Committed, JournalError> {
        let events = std::mem::take(&mut self.events);
        let checkpoint = self.checkpoint;
        let blobs = std::mem::take(&mut self.blobs);
        self.void();
        let mut others = self.refresh()?;
        let neutral = |e: &Entry| matches!(e.event, Event::NoteAdded(_) | Event::SessionOpened(_));
        if tries == 0 || !others.iter().all(neutral) {
            return Ok(Committed::Moved);
        }
        for (run, event) in &events {
            if self.stage(run.as_deref(), event).is_err() {
                self.void();
                return Ok(Committed::Moved);
            }
        }
        self.checkpoint = checkpoint;
        self.blobs = blobs;
        Ok(match self.commit_within(tries - 1)? {
            Committed::Done(ours) => {
                others.extend(ours);
                Committed::Done(others)
            }
            Committed::Moved => Committed::Moved,
        })
    }

    /// Forgets what is staged.
    pub fn void(&mut self) {
        self.drafts.clear();
        self.events.clear();
        self.staged = None;
        self.checkpoint = false;
        self.blobs.clear();
    }

    /// Folds what others have appended; returns it. What is staged is void if there is any.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn refresh(&mut self) -> Result<Vec<Entry>, JournalError> {
        if !self.ledger.moved()? {
            return Ok(Vec::new());
        }
        let mut entries = Vec::new();
        for record in self.ledger.refresh()? {
            let entry = entry(&record)?;
            apply(&mut self.durable, &entry)?;
            entries.push(entry);
        }
        if !entries.is_empty() {
            self.void();
        }
        Ok(entries)
    }

    fn now(&self) -> When {
        When {
            seq: self.ledger.size(),
            ts: chrono::Utc::now()
                .format("%Y-%m-%dT%H:%M:%S%.6fZ")
                .to_string(),
            mono: crate::clock::boottime_us(),
            boot: crate::clock::boot_id(),
        }
    }
}

fn apply(book: &mut Book, entry: &Entry) -> Result<(), JournalError> {
    book.apply(entry.run.as_deref(), &entry.event, &entry.when)
        .map_err(|source| JournalError::Impossible {
            seq: entry.when.seq,
            source,
        })
}

/// A record as an event.
///
/// # Errors
/// [`JournalError::Unknown`].
pub fn entry(record: &Record) -> Result<Entry, JournalError> {
    let event = serde_json::from_value(json!({"kind": record.kind, "data": record.data})).map_err(
        |source| JournalError::Unknown {
            seq: record.seq,
            kind: record.kind.clone(),
            source,
        },
    )?;
    Ok(Entry {
        run: record.run.clone(),
        when: When {
            seq: record.seq,
            ts: record.ts.clone(),
            mono: record.mono,
            boot: record.boot.clone(),
        },
        actor: record.actor.clone(),
        event,
    })
}

fn draft(run: Option<&str>, event: &Event) -> Draft {
    // An event is made of strings, integers and lists: it always has a JSON form.
    let mut value = serde_json::to_value(event).unwrap_or(Value::Null);
    let data = value.get_mut("data").map_or(Value::Null, Value::take);
    let kind = value
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    Draft {
        run: run.map(str::to_owned),
        kind,
        data,
    }
}
