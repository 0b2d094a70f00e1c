//! Why there is no report of a verification. What is wrong with the content is in the report ([`crate::report`]).

use crate::busy::{Holder, by};
use crate::memory::Disagreement;
use crate::scan::primary;
use crate::schema::ConnectError;
use rusqlite::ffi;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// Why there is no report.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// There is no such file, and none is remembered.
    #[error("there is no ledger {path}")]
    NoFile {
        /// Where it would be.
        path: PathBuf,
        /// Why it cannot be found.
        #[source]
        source: std::io::Error,
    },
    /// Neither the file nor its journal may be anything but a regular file: a pipe would be waited for.
    #[error("{path} is not a regular file")]
    NotAFile {
        /// What it is about.
        path: PathBuf,
    },
    /// There is no such file where one is remembered.
    #[error(transparent)]
    Missing(Box<Disagreement>),
    /// A writer holds the file.
    #[error("the ledger was busy for {waited:?}{}", by(holder.as_ref()))]
    Busy {
        /// How long this process waited.
        waited: Duration,
        /// Who holds it, if it can be told.
        holder: Option<Holder>,
    },
    /// A crash left a journal, and no copy could be made to look at what it would roll back.
    #[error("{path} has a hot journal and cannot be copied while it is in use")]
    HotJournal {
        /// The ledger.
        path: PathBuf,
    },
    /// The copy of a ledger with a hot journal could not be made.
    #[error("{path} has a hot journal and cannot be copied")]
    Copy {
        /// The ledger.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// No connection.
    #[error("the ledger {path} cannot be opened")]
    Connect {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: ConnectError,
    },
    /// The disk gave no page, or a wrong one.
    #[error("the ledger {path} cannot be read: {found}")]
    Disk {
        /// The file.
        path: PathBuf,
        /// What SQLite says of it.
        found: String,
    },
    /// The disk, not the content.
    #[error("the ledger {path} cannot be read")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rusqlite::Error,
    },
}

impl VerifyError {
    /// The file may not be read by this user.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        let of = |error: &rusqlite::Error| {
            matches!(primary(error), ffi::SQLITE_CANTOPEN | ffi::SQLITE_PERM)
        };
        match self {
            Self::Sqlite { source, .. } => of(source),
            Self::Connect {
                source: ConnectError::Sqlite(error),
                ..
            } => of(error),
            Self::Copy { source, .. } => source.kind() == std::io::ErrorKind::PermissionDenied,
            _ => false,
        }
    }
}
