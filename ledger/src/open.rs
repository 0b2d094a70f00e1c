//! Opening a ledger: the only way to a [`Ledger`].
//!
//! Invariants: a handle exists only for a file whose schema and whole chain were verified and which agrees with the
//! memory; an interrupted creation is finished by the next one, and a file that is gone where one is remembered is an
//! error and never a fresh ledger. What the memory remembers is read before the file, so that a writer in between can
//! only put the file ahead. Left out: accepting what the memory refuses ([`crate::restore`]).

use crate::append;
use crate::busy::{self, Holder, by};
use crate::chain::Chain;
use crate::clock::{Clock, ClockError, SystemClock};
use crate::create;
use crate::damage::{Broken, Fault, SchemaFault};
use crate::disk;
use crate::hot_journal::Opened;
use crate::memory::{self, Disagreement, How, Memory, MemoryError, Remembered};
use crate::place::{Place, PlaceError};
use crate::record::{Identity, View};
use crate::report::BadWhat;
use crate::scan::{ScanError, data_version, is_of_the_system, primary, scan};
use crate::schema::{self, ConnectError, Mode};
use crate::store::Ledger;
use crate::verify;
use rusqlite::ffi;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// What a caller may choose when it opens a ledger.
pub struct Options {
    /// How long to wait for another process before naming it.
    pub busy: Duration,
    /// Where the time comes from.
    pub clock: Box<dyn Clock>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            busy: Duration::from_secs(10),
            clock: Box::new(SystemClock),
        }
    }
}

/// Why a ledger cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The state directory is not fit.
    #[error("the state directory cannot be used")]
    Place(#[from] PlaceError),
    /// The memory of heads is not fit.
    #[error("the remembered heads cannot be used")]
    Memory(#[from] MemoryError),
    /// There is none.
    #[error("there is no ledger {path}")]
    NoLedger {
        /// Where it would be.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{path} is not a ledger of this format")]
    NotALedger {
        /// The file.
        path: PathBuf,
    },
    /// The ledger is not what is remembered of it.
    #[error(transparent)]
    Remembered(Box<Disagreement>),
    /// An event is wrong or missing.
    #[error(transparent)]
    Damaged(#[from] Broken),
    /// The table is not the one of the format.
    #[error("the ledger {path} is damaged")]
    Schema {
        /// The file.
        path: PathBuf,
        /// The first difference.
        #[source]
        fault: SchemaFault,
    },
    /// Another process holds the file.
    #[error("the ledger was busy for {waited:?}{}", by(holder.as_ref()))]
    Busy {
        /// How long this process waited.
        waited: Duration,
        /// Who holds it, if it can be told.
        holder: Option<Holder>,
    },
    /// No connection of the kind that the format asks for.
    #[error("the ledger {path} cannot be opened")]
    Connect {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: ConnectError,
    },
    /// Something beside the events is not what it must be.
    #[error("the ledger {path} is damaged")]
    Unsound {
        /// The file.
        path: PathBuf,
        /// The first that was found.
        #[source]
        what: BadWhat,
    },
    /// The disk gave no page, or a wrong one.
    #[error("the ledger {path} cannot be read: {found}")]
    Disk {
        /// The file.
        path: PathBuf,
        /// What SQLite's own check says.
        found: String,
    },
    /// SQLite does not understand what is in the file.
    #[error("the ledger {path} is damaged")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What it says.
        #[source]
        source: rusqlite::Error,
    },
    /// The disk or the system, not the content.
    #[error("the ledger {path} cannot be used")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rusqlite::Error,
    },
    /// There is no time for the first event.
    #[error("there is no time for the first event")]
    Clock(#[from] ClockError),
    /// The system gives no random bytes for the ledger's id.
    #[error("no random bytes for the ledger's id")]
    Random(#[source] std::io::Error),
    /// The caller's identity has no place in an event.
    #[error("the caller's identity has no place in an event")]
    Identity(#[source] append::Refusal),
}

/// Who is shown each event of a ledger while it is opened, in order, when the event has passed its checks. What was seen
/// counts for nothing when the opening fails after all.
pub type See<'a> = &'a mut dyn FnMut(&View<'_>);

/// What an opening may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intent {
    Create,
    Existing,
    Read,
    Restore,
}

/// What the memory had to say at an opening that goes on all the same.
pub(crate) enum Objection {
    /// It agrees.
    None,
    /// It remembers something else.
    Other(Remembered),
    /// It cannot be read.
    Damaged,
}

impl Ledger {
    /// Opens the ledger in `place` to append to it, and makes it if there is none. An interrupted creation is finished.
    ///
    /// # Errors
    /// [`OpenError`]; among it [`OpenError::Remembered`] if there is none where one is remembered.
    pub fn create_or_open(
        place: Place,
        memory: Memory,
        identity: Identity,
    ) -> Result<Self, OpenError> {
        Self::create_or_open_with(place, memory, identity, Options::default())
    }

    /// [`Ledger::create_or_open`] with other options.
    ///
    /// # Errors
    /// As there.
    pub fn create_or_open_with(
        place: Place,
        memory: Memory,
        identity: Identity,
        options: Options,
    ) -> Result<Self, OpenError> {
        Ok(Self::open(
            place,
            Some(memory),
            Some(identity),
            options,
            Intent::Create,
            &mut |_| {},
        )?
        .0)
    }

    /// Opens the ledger in `place` to append to it.
    ///
    /// # Errors
    /// [`OpenError`]; among it [`OpenError::NoLedger`].
    pub fn open_existing(
        place: Place,
        memory: Memory,
        identity: Identity,
    ) -> Result<Self, OpenError> {
        Self::open_existing_with(place, memory, identity, Options::default())
    }

    /// [`Ledger::open_existing`] with other options.
    ///
    /// # Errors
    /// As there.
    pub fn open_existing_with(
        place: Place,
        memory: Memory,
        identity: Identity,
        options: Options,
    ) -> Result<Self, OpenError> {
        Ok(Self::open(
            place,
            Some(memory),
            Some(identity),
            options,
            Intent::Existing,
            &mut |_| {},
        )?
        .0)
    }

    /// Opens the ledger in `place` to read it. Neither it nor the memory is written, except that a commit which a crash left
    /// unfinished is rolled back; the memory is compared if it is given.
    ///
    /// # Errors
    /// [`OpenError`], as for a writer.
    pub fn open_read(place: Place, memory: Option<Memory>) -> Result<Self, OpenError> {
        Self::open_read_with(place, memory, Options::default())
    }

    /// [`Ledger::open_read`] with other options.
    ///
    /// # Errors
    /// As there.
    pub fn open_read_with(
        place: Place,
        memory: Option<Memory>,
        options: Options,
    ) -> Result<Self, OpenError> {
        Ok(Self::open(place, memory, None, options, Intent::Read, &mut |_| {})?.0)
    }

    /// [`Ledger::create_or_open`], and each event is shown to `see`: one reading verifies and folds.
    ///
    /// # Errors
    /// As there.
    pub fn create_or_open_seeing(
        place: Place,
        memory: Memory,
        identity: Identity,
        see: See<'_>,
    ) -> Result<Self, OpenError> {
        let (memory, identity) = (Some(memory), Some(identity));
        let options = Options::default();
        Ok(Self::open(place, memory, identity, options, Intent::Create, see)?.0)
    }

    /// [`Ledger::open_existing`], and each event is shown to `see`.
    ///
    /// # Errors
    /// As there.
    pub fn open_existing_seeing(
        place: Place,
        memory: Memory,
        identity: Identity,
        see: See<'_>,
    ) -> Result<Self, OpenError> {
        let (memory, identity) = (Some(memory), Some(identity));
        let options = Options::default();
        Ok(Self::open(place, memory, identity, options, Intent::Existing, see)?.0)
    }

    /// [`Ledger::open_read`], and each event is shown to `see`.
    ///
    /// # Errors
    /// As there.
    pub fn open_read_seeing(
        place: Place,
        memory: Option<Memory>,
        see: See<'_>,
    ) -> Result<Self, OpenError> {
        let options = Options::default();
        Ok(Self::open(place, memory, None, options, Intent::Read, see)?.0)
    }

    pub(crate) fn open(
        place: Place,
        memory: Option<Memory>,
        identity: Option<Identity>,
        options: Options,
        intent: Intent,
        see: See<'_>,
    ) -> Result<(Self, Objection), OpenError> {
        let path = place.ledger_path();
        if intent != Intent::Read {
            place.require_ours()?;
        }
        let (remembered, unreadable) = recall(&place, memory.as_ref(), intent)?;
        let gone = |remembered: &Option<Remembered>| match remembered {
            Some(kept) if intent != Intent::Restore => {
                OpenError::Remembered(Box::new(Disagreement {
                    remembered: kept.clone(),
                    found: None,
                    how: How::Missing,
                }))
            }
            _ => OpenError::NoLedger { path: path.clone() },
        };
        let may_create = match intent {
            Intent::Create => remembered.is_none(),
            Intent::Restore => true,
            Intent::Existing | Intent::Read => false,
        };
        if place.ledger_file()?.is_none() {
            if !may_create {
                return Err(gone(&remembered));
            }
            place.create_ledger_file()?;
        }
        let file = place.ledger_file()?.ok_or_else(|| gone(&remembered))?;
        let mode = if intent == Intent::Read {
            Mode::Read
        } else {
            Mode::Write
        };
        let opened = Opened::new(file.device, file.inode);
        let conn = schema::connect(&path, mode, options.busy)
            .map_err(|error| connect_error(&place, &options, error))?;
        let sqlite = |error| sqlite_error(&place, &options, error);
        if schema::is_blank(&conn).map_err(sqlite)? {
            if !may_create {
                return Err(gone(&remembered));
            }
            let identity = identity.as_ref().ok_or_else(|| gone(&remembered))?;
            create::create(&conn, identity, options.clock.as_ref()).map_err(
                |error| match error {
                    create::CreateError::Sqlite(error) => sqlite(error),
                    create::CreateError::Clock(error) => OpenError::Clock(error),
                    create::CreateError::Random(error) => OpenError::Random(error),
                    create::CreateError::Refused(refusal) => OpenError::Identity(refusal),
                },
            )?;
        }
        let mut ledger = Self {
            conn,
            place,
            memory,
            identity,
            chain: Chain::new(),
            copied_from: None,
            unread_memory: None,
            file,
            _opened: opened,
            session: None,
            poison: None,
            options,
            data_version: 0,
        };
        ledger.load(see)?;
        let objection = ledger.compare(remembered, unreadable, intent)?;
        if intent != Intent::Read
            && let Some(bad) = ledger.unsound()?
        {
            return Err(bad);
        }
        if intent != Intent::Read {
            ledger.place.hold_reserve()?;
        }
        Ok((ledger, objection))
    }

    /// Verifies schema and chain in one read transaction.
    fn load(&mut self, see: See<'_>) -> Result<(), OpenError> {
        let path = self.place.ledger_path();
        let sqlite = |error| sqlite_error(&self.place, &self.options, error);
        self.conn.execute_batch("BEGIN").map_err(sqlite)?;
        let faults = schema::faults(&self.conn).map_err(sqlite)?;
        match faults.into_iter().next() {
            Some(SchemaFault::Header {
                name: "application_id",
                ..
            }) => return Err(OpenError::NotALedger { path }),
            Some(fault) => return Err(OpenError::Schema { path, fault }),
            None => {}
        }
        let mut chain = Chain::new();
        scan(&self.conn, &mut chain, |_, checked| {
            see(&View::of(&checked.envelope));
            Ok(())
        })
        .map_err(|error| match error {
            ScanError::Broken(broken) => OpenError::Damaged(broken),
            ScanError::Unreadable(seq, error) if !disk::fails(&path) => {
                OpenError::Damaged(ScanError::unreadable(seq, &error))
            }
            ScanError::Unreadable(_, error) => OpenError::Sqlite {
                path: path.clone(),
                source: error,
            },
            ScanError::Sqlite(error) => sqlite(error),
        })?;
        self.data_version = data_version(&self.conn).map_err(sqlite)?;
        self.conn.execute_batch("COMMIT").map_err(sqlite)?;
        if chain.size() == 0 {
            // The table and seq 0 are made in one transaction: a table without events was emptied.
            return Err(OpenError::Damaged(Fault::Ends.at(0)));
        }
        self.chain = chain;
        Ok(())
    }

    fn compare(
        &mut self,
        remembered: Option<Remembered>,
        unreadable: bool,
        intent: Intent,
    ) -> Result<Objection, OpenError> {
        if unreadable {
            return Ok(Objection::Damaged);
        }
        let Some(memory) = &self.memory else {
            return Ok(Objection::None);
        };
        let path = self.place.ledger_path();
        let own = remembered.as_ref();
        let agrees = own.map_or(Ok(()), |own| memory::compare(own, &self.chain));
        let disagreement = match agrees {
            Ok(()) => match (memory.check_elsewhere(&path, own, &self.chain), intent) {
                (Ok(agrees), _) => agrees.err(),
                (Err(MemoryError::Other { .. }), Intent::Restore) => return Ok(Objection::Damaged),
                (Err(unread @ MemoryError::Other { .. }), Intent::Read) => {
                    self.unread_memory = Some(unread);
                    None
                }
                (Err(error), _) => return Err(error.into()),
            },
            Err(disagreement) => Some(disagreement),
        };
        match (disagreement, intent) {
            (Some(disagreement), Intent::Restore) => Ok(Objection::Other(disagreement.remembered)),
            (Some(disagreement), Intent::Read) if disagreement.how == How::Elsewhere => {
                self.copied_from = Some(disagreement.remembered);
                Ok(Objection::None)
            }
            (Some(disagreement), _) => Err(OpenError::Remembered(disagreement)),
            (None, Intent::Create | Intent::Existing) => {
                memory.advance(&path, &self.chain)?;
                Ok(Objection::None)
            }
            (None, Intent::Read | Intent::Restore) => Ok(Objection::None),
        }
    }

    /// What a verification would find wrong beside schema and events: nothing is appended to what it calls damaged.
    fn unsound(&self) -> Result<Option<OpenError>, OpenError> {
        let blobs = self.place.blobs_path();
        let bad = verify::beside_the_events(&self.conn, &blobs, &self.chain)
            .map_err(|error| sqlite_error(&self.place, &self.options, error))?;
        let path = self.place.ledger_path();
        Ok(bad.map(|what| match what {
            BadWhat::Integrity(found) if disk::fails(&path) => OpenError::Disk { path, found },
            what => OpenError::Unsound { path, what },
        }))
    }
}

/// What is remembered, and whether the memory could not be read but shall be replaced.
fn recall(
    place: &Place,
    memory: Option<&Memory>,
    intent: Intent,
) -> Result<(Option<Remembered>, bool), OpenError> {
    let Some(memory) = memory else {
        return Ok((None, false));
    };
    memory.check_outside(place.dir())?;
    if intent != Intent::Read {
        memory.sweep(&place.ledger_path());
    }
    match memory.recall(&place.ledger_path()) {
        Ok(remembered) => Ok((remembered, false)),
        Err(MemoryError::Damaged { .. }) if intent == Intent::Restore => Ok((None, true)),
        Err(error) => Err(error.into()),
    }
}

fn connect_error(place: &Place, options: &Options, error: ConnectError) -> OpenError {
    match error {
        ConnectError::Sqlite(error) => sqlite_error(place, options, error),
        // These are properties of the file.
        ConnectError::Pragma {
            name: name @ ("journal_mode" | "auto_vacuum" | "encoding"),
            expected,
            found,
        } => OpenError::Schema {
            path: place.ledger_path(),
            fault: SchemaFault::Header {
                name,
                found,
                expected,
            },
        },
        source => OpenError::Connect {
            path: place.ledger_path(),
            source,
        },
    }
}

fn sqlite_error(place: &Place, options: &Options, error: rusqlite::Error) -> OpenError {
    let path = place.ledger_path();
    match primary(&error) {
        ffi::SQLITE_BUSY => OpenError::Busy {
            waited: options.busy,
            holder: busy::holder(&path),
        },
        ffi::SQLITE_NOTADB => OpenError::NotALedger { path },
        _ if is_of_the_system(&error) || disk::fails(&path) => OpenError::Sqlite {
            path,
            source: error,
        },
        _ => OpenError::Corrupt {
            path,
            source: error,
        },
    }
}
