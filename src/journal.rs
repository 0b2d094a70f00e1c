//! Events to records and back: the one place where `ledger` and `replay` meet.
//!
//! Check in memory, append, act: [`Journal::stage`] folds an event into the state, [`Journal::commit`] makes all staged
//! events durable in one commit, and only then may anything be done or said. When somebody else has appended
//! meanwhile, the staged events are void and taken back out of the state; the caller decides anew.
//!
//! Invariant: neither staging nor a commit looks at more than the units that its events are about, so that step 10,000
//! costs what step 10 did.
//!
//! Every free text of an event passes the redactor here (the module `redacted`), before it is folded: what is folded is
//! what is appended.

mod folding;
mod foreign;
mod kept;
mod redacted;
mod stored;

pub use foreign::{Foreign, ForeignError};

use crate::failpoint;
use crate::home::{Home, identity, keep_program_digest};
use crate::redact::Redactor;
use stored::{draft, entry};
use upledger_ledger::{
    Append, AppendError, Draft, Ledger, Memory, MemoryError, NewBlob, OpenError, Place, PlaceError,
    ReadError, See,
};
use upledger_replay::decide;
use upledger_replay::event::Event;
use upledger_replay::runs::Runs;
use upledger_replay::savepoint::Savepoint;
use upledger_replay::state::{Refused, Run, When};

/// A ledger and the state that its events fold to.
pub struct Journal {
    ledger: Ledger,
    /// Folded from what is durable, and then from what is staged.
    book: Runs,
    staged: Vec<Staged>,
    checkpoint: bool,
    /// Content that the drafts name.
    blobs: Vec<NewBlob>,
    redactor: Redactor,
    /// The disk was full, and what was set aside for this case has been given back.
    short: bool,
    /// Says whether this process is still the one runner, where it has to be.
    held: Option<Held>,
}

/// Fails once a runner's lock is not its own any more.
pub type Held = Box<dyn Fn() -> std::io::Result<()> + Send>;

/// An event that is folded and not durable.
struct Staged {
    run: Option<String>,
    event: Event,
    /// The state before it.
    before: Savepoint,
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
    /// Where.
    pub host: String,
    /// The session in which it was written, by the number of its event.
    pub session: Option<u64>,
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
    #[error("event {seq} has a kind or a shape that this version does not support: {kind}")]
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
    /// The disk is full.
    #[error(
        "the disk with the ledger is full; the space that was set aside holds the record of what was done"
    )]
    Short,
    /// This process is not the one runner any more.
    #[error("another runner may be active: {0}")]
    NotHeld(#[source] std::io::Error),
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
        let memory = Memory::at(&home.memory)?;
        Self::over(|see| Ledger::create_or_open_seeing(place, memory, identity(home), see))
    }

    /// For writing; there must be a ledger.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(home: &Home) -> Result<Self, JournalError> {
        let place = Place::open(&home.state)?;
        let memory = Memory::at(&home.memory)?;
        Self::over(|see| Ledger::open_existing_seeing(place, memory, identity(home), see))
    }

    /// For reading.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn read(home: &Home) -> Result<Self, JournalError> {
        let place = Place::open(&home.state)?;
        let memory = Memory::at(&home.memory)?;
        Self::over(|see| Ledger::open_read_seeing(place, Some(memory), see))
    }

    fn over(open: impl FnOnce(See<'_>) -> Result<Ledger, OpenError>) -> Result<Self, JournalError> {
        let (ledger, book) = folding::over(open)?;
        Ok(Self {
            ledger,
            book,
            staged: Vec::new(),
            checkpoint: false,
            blobs: Vec::new(),
            redactor: Redactor::none(),
            short: false,
            held: None,
        })
    }

    /// Secrets that no event may hold.
    pub fn redact_with(&mut self, redactor: Redactor) {
        self.redactor = redactor;
    }

    /// From here on nothing is appended unless `held` agrees.
    pub fn only_while(&mut self, held: Held) {
        self.held = Some(held);
    }

    /// Fails once this process is not the one runner any more.
    ///
    /// # Errors
    /// [`JournalError::NotHeld`].
    pub fn check_held(&self) -> Result<(), JournalError> {
        let held = self.held.as_ref();
        held.map_or(Ok(()), |held| held())
            .map_err(JournalError::NotHeld)
    }

    /// Fails once the disk was full: what is under way can still be recorded, and nothing more should begin.
    ///
    /// # Errors
    /// [`JournalError::Short`].
    pub fn check_space(&self) -> Result<(), JournalError> {
        match self.short {
            true => Err(JournalError::Short),
            false => Ok(()),
        }
    }

    /// A text as an event would hold it: for what is written beside the ledger.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        self.redactor.text(text)
    }

    /// The ledger below.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The state, staged events included.
    #[must_use]
    pub fn book(&self) -> &Runs {
        &self.book
    }

    /// A run's state, staged events included.
    #[must_use]
    pub fn run(&self, name: &str) -> Option<&Run> {
        self.book.run(name)
    }

    /// Something is staged.
    #[must_use]
    pub fn pending(&self) -> bool {
        !self.staged.is_empty()
    }

    /// The state as it was when `at` was the last event, or now.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn fold(&self, at: Option<u64>) -> Result<Runs, JournalError> {
        let mut book = Runs::default();
        for record in self.ledger.read_all() {
            let record = record?;
            if at.is_some_and(|at| record.seq > at) {
                break;
            }
            stored::fold(&mut book, &record.view())?;
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
        records.map(|r| entry(&r?.view())).collect()
    }

    /// The events of one run, and those that belong to no run, such as the sessions.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn entries_around(&self, run: &str) -> Result<Vec<Entry>, JournalError> {
        let mut entries = Vec::new();
        for record in self.ledger.read_all() {
            let record = record?;
            let view = record.view();
            if view.run.is_none_or(|of| of == run) {
                entries.push(entry(&view)?);
            }
        }
        Ok(entries)
    }

    /// Redacts an event and folds it into the state, to be appended by the next commit, with a checkpoint where the event
    /// asks for one.
    ///
    /// # Errors
    /// [`Refused`]; nothing has changed then.
    pub fn stage(&mut self, run: Option<&str>, event: &Event) -> Result<(), Refused> {
        let event = redacted::redacted(event, &self.redactor);
        let mut when = self.now();
        when.seq += self.staged.len() as u64;
        let before = self.book.savepoint(run, &event);
        self.book.apply(run, &event, &when)?;
        let run_now = run.and_then(|name| self.book.run(name));
        self.checkpoint |= run_now.is_some_and(|run| decide::checkpoint(run, &event));
        self.staged.push(Staged {
            run: run.map(str::to_owned),
            event,
            before,
        });
        Ok(())
    }

    /// What `look` sees in the state as an event would make it. Nothing is staged.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn supposing<T>(
        &mut self,
        run: &str,
        event: &Event,
        look: impl FnOnce(&Runs) -> T,
    ) -> Result<T, Refused> {
        let before = self.book.savepoint(Some(run), event);
        let when = self.now();
        self.book.apply(Some(run), event, &when)?;
        let seen = look(&self.book);
        self.book.revert(before);
        Ok(seen)
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
        if self.staged.is_empty() {
            return Ok(Committed::Done(Vec::new()));
        }
        self.check_held()?;
        let extra = Append {
            checkpoint: self.checkpoint,
            blobs: std::mem::take(&mut self.blobs),
        };
        let head = self.ledger.head();
        // Whatever becomes of it, it is folded anew; and while the ledger writes a large plan, the state of its steps need
        // not be there as well.
        let staged = self.take_back();
        let drafts = || -> Vec<Draft> {
            let events = staged.iter();
            events
                .map(|(run, event)| draft(run.as_deref(), event))
                .collect()
        };
        let mut appended = self.ledger.append(&head, drafts(), &extra);
        if matches!(appended, Err(AppendError::Full(_)))
            && self.ledger.release_reserve().unwrap_or_default()
        {
            self.short = true;
            appended = self.ledger.append(&head, drafts(), &extra);
        }
        match appended {
            Ok(appended) => {
                keep_program_digest(self.ledger.place().dir());
                // What is durable says when it was recorded: it is folded as it will be read.
                let mut entries = Vec::new();
                // A session may have been put in front.
                let ours = appended.records.len().saturating_sub(staged.len());
                let mut staged = staged.into_iter();
                for (place, record) in appended.records.iter().enumerate() {
                    failpoint::hit("append");
                    let event = if place < ours { None } else { staged.next() };
                    let entry = match event {
                        Some((_, event)) => stored::recorded(&record.view(), event),
                        None => entry(&record.view())?,
                    };
                    apply(&mut self.book, &entry)?;
                    entries.push(entry);
                }
                Ok(Committed::Done(entries))
            }
            Err(AppendError::HeadMoved { .. }) => self.moved(tries, &staged, extra),
            Err(e) => Err(JournalError::Append(Box::new(e))),
        }
    }

    /// Somebody else was first. Remarks change no decision: behind them, what was staged is staged again, so that they
    /// cannot keep an outcome from being recorded.
    fn moved(
        &mut self,
        tries: u32,
        staged: &[(Option<String>, Event)],
        extra: Append,
    ) -> Result<Committed, JournalError> {
        let mut others = self.refresh()?;
        if tries == 0 || !others.iter().all(|e| e.event.is_neutral()) {
            return Ok(Committed::Moved);
        }
        for (run, event) in staged {
            if self.stage(run.as_deref(), event).is_err() {
                self.void();
                return Ok(Committed::Moved);
            }
        }
        self.checkpoint = extra.checkpoint;
        self.blobs = extra.blobs;
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
        self.take_back();
    }

    /// Takes what is staged out of the state again; returns it.
    fn take_back(&mut self) -> Vec<(Option<String>, Event)> {
        self.checkpoint = false;
        self.blobs.clear();
        let mut events = Vec::new();
        while let Some(Staged { run, event, before }) = self.staged.pop() {
            self.book.revert(before);
            events.push((run, event));
        }
        events.reverse();
        events
    }

    /// Folds what others have appended; returns it. What is staged is void if there is any.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn refresh(&mut self) -> Result<Vec<Entry>, JournalError> {
        if !self.ledger.moved()? {
            return Ok(Vec::new());
        }
        let records = self.ledger.refresh()?;
        if !records.is_empty() {
            self.void();
        }
        let mut entries = Vec::new();
        for record in records {
            let entry = entry(&record.view())?;
            apply(&mut self.book, &entry)?;
            entries.push(entry);
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

fn apply(book: &mut Runs, entry: &Entry) -> Result<(), JournalError> {
    stored::apply(book, entry.run.as_deref(), &entry.event, &entry.when)
}

#[cfg(test)]
mod tests {
    use super::*;
    use upledger_replay::event::{CONTRACT, Note, Reason, RunPlanned};
    use upledger_replay::plan::{OnFailure, Plan};

    fn journal(dir: &tempfile::TempDir) -> Journal {
        let home = Home {
            state: dir.path().join("state"),
            memory: dir.path().join("memory"),
        };
        Journal::create_or_open(&home).unwrap()
    }

    fn planned() -> Event {
        let plan = Plan {
            upledger: 1,
            name: "p".into(),
            environment: None,
            change: None,
            on_failure: OnFailure::Ask,
            vars: Vec::new(),
            secrets: Vec::new(),
            phases: Vec::new(),
        };
        Event::RunPlanned(RunPlanned {
            digest: String::new(),
            plan: plan.into(),
            warnings: Vec::new(),
            contract: CONTRACT,
            given: Vec::new(),
        })
    }

    fn reason() -> Reason {
        Reason { reason: "r".into() }
    }

    fn note() -> Event {
        Event::NoteAdded(Note { text: "n".into() })
    }

    /// The state is what a fold of the ledger makes.
    fn assert_folded(journal: &Journal) {
        assert_eq!(*journal.book(), journal.fold(None).unwrap());
    }

    #[test]
    fn what_is_staged_and_void_leaves_no_trace() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = journal(&dir);
        for event in [
            planned(),
            Event::PauseRequested(reason()),
            Event::AbortRequested(reason()),
        ] {
            journal.stage(Some("r"), &event).unwrap();
        }
        journal.stage(Some("r"), &planned()).unwrap_err();
        assert!(journal.run("r").is_some_and(|r| r.pause.is_some()));
        journal.void();
        assert!(journal.run("r").is_none());
        assert_folded(&journal);

        journal.stage(Some("r"), &planned()).unwrap();
        let Committed::Done(entries) = journal.commit().unwrap() else {
            panic!("nobody else writes");
        };
        assert_eq!(entries.last().map(|e| &e.event), Some(&planned()));
        assert_folded(&journal);
        let paused = Event::PauseRequested(reason());
        let seen = journal.supposing("r", &paused, |book| {
            book.run("r").and_then(|r| r.pause.clone())
        });
        assert_eq!(seen.unwrap().as_deref(), Some("r"));
        assert_folded(&journal);
    }

    #[test]
    fn behind_remarks_of_others_what_is_staged_is_recorded_and_behind_all_else_it_is_void() {
        let dir = tempfile::tempdir().unwrap();
        let (mut ours, mut theirs) = (journal(&dir), journal(&dir));
        ours.stage(Some("r"), &planned()).unwrap();
        ours.commit().unwrap();
        theirs.refresh().unwrap();

        ours.stage(Some("r"), &Event::PauseRequested(reason()))
            .unwrap();
        theirs.stage(None, &note()).unwrap();
        theirs.commit().unwrap();
        let Committed::Done(entries) = ours.commit().unwrap() else {
            panic!("a remark changes no decision");
        };
        let told: Vec<_> = entries.into_iter().map(|e| e.event).collect();
        assert!(told.contains(&note()));
        assert_eq!(told.last(), Some(&Event::PauseRequested(reason())));
        assert_folded(&ours);

        ours.stage(Some("r"), &note()).unwrap();
        theirs.refresh().unwrap();
        theirs
            .stage(Some("r"), &Event::AbortRequested(reason()))
            .unwrap();
        theirs.commit().unwrap();
        assert!(matches!(ours.commit().unwrap(), Committed::Moved));
        assert!(!ours.pending());
        assert_folded(&ours);
        assert!(ours.run("r").is_some_and(|r| r.abort.is_some()));
    }
}
