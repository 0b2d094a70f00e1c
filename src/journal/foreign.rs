//! Ledgers of other machines: an exported text, or a copied file. They are verified as `verify` does it, and folded on the
//! way.
//!
//! Invariants: what fails its verification is not given out; nothing beside the file is touched, and no memory of heads is
//! asked, because none here knows that ledger.

use super::{Entry, JournalError, stored};
use std::io::BufRead;
use std::path::Path;
use upledger_ledger::{
    Bad, ExportError, Report, VerifyError, VerifyOptions, View, verify_jsonl_seeing, verify_seeing,
};
use upledger_replay::runs::Runs;

/// The events of a ledger and what they fold to.
#[derive(Default)]
pub struct Foreign {
    /// Its runs.
    pub book: Runs,
    /// All its events.
    pub entries: Vec<Entry>,
    /// Its id.
    pub id: String,
    failed: Option<JournalError>,
}

/// Such a ledger cannot be read, or its verification failed.
#[derive(Debug, thiserror::Error)]
pub enum ForeignError {
    /// The file.
    #[error(transparent)]
    File(#[from] VerifyError),
    /// The exported text.
    #[error(transparent)]
    Text(#[from] ExportError),
    /// It is damaged: the first finding.
    #[error("the ledger is damaged")]
    Unsound(Box<Bad>),
    /// It cannot be folded.
    #[error(transparent)]
    Fold(#[from] JournalError),
}

impl Foreign {
    /// A ledger's file.
    ///
    /// # Errors
    /// [`ForeignError`].
    pub fn file(path: &Path) -> Result<Self, ForeignError> {
        let mut seen = Self::default();
        let report = verify_seeing(path, &VerifyOptions::default(), &mut |view| seen.take(view))?;
        seen.held(report)
    }

    /// Exported events.
    ///
    /// # Errors
    /// [`ForeignError`].
    pub fn text(from: &mut impl BufRead) -> Result<Self, ForeignError> {
        let mut seen = Self::default();
        let report = verify_jsonl_seeing(from, &[], &mut |view| seen.take(view))?;
        seen.held(report)
    }

    fn take(&mut self, view: &View<'_>) {
        // A reading that begins anew.
        if view.seq == 0 {
            *self = Self::default();
        }
        if self.failed.is_none() {
            self.failed = self.fold(view).err();
        }
    }

    fn fold(&mut self, view: &View<'_>) -> Result<(), JournalError> {
        let entry = stored::entry(view)?;
        let run = entry.run.as_deref();
        stored::apply(&mut self.book, run, &entry.event, &entry.when)?;
        self.entries.push(entry);
        Ok(())
    }

    fn held(mut self, report: Report) -> Result<Self, ForeignError> {
        // Damage explains why what follows it cannot be folded.
        if let Some(bad) = report.failures.into_iter().next() {
            return Err(ForeignError::Unsound(Box::new(bad)));
        }
        if let Some(failed) = self.failed.take() {
            return Err(failed.into());
        }
        self.id = report.ledger.unwrap_or_default();
        Ok(self)
    }
}
