//! An attempt at work: what it may use, where it writes, and its one channel to the record.

use super::{Action, Context, Data, Direction, Error, Past, past};
use crate::attempt::spool::{Entry, Spool};
use std::io::Write;

/// One line of a step's output. Whoever reads it may be gone; the record is what counts.
pub(crate) fn log_line(log: &mut dyn Write, line: &str) {
    let _ = writeln!(log, "{line}").and_then(|()| log.flush());
}

/// An attempt at work, with notes of type `N`.
pub struct Work<'a, N> {
    cx: &'a Context,
    log: &'a mut dyn Write,
    spool: Option<Spool>,
    direction: Direction,
    earlier: Vec<N>,
    noted: Vec<N>,
}

impl<'a, N: Data> Work<'a, N> {
    /// In the attempt's own process, or in a test, where there is no spool.
    ///
    /// # Errors
    /// [`Error`] when the spool cannot be opened.
    pub fn new(
        cx: &'a Context,
        direction: Direction,
        log: &'a mut dyn Write,
    ) -> Result<Self, Error> {
        let spool = cx.spool.as_deref().map(Spool::open).transpose();
        Ok(Self {
            cx,
            log,
            spool: spool.map_err(|e| Error::io("cannot open the attempt's spool", &e))?,
            direction,
            earlier: Vec::new(),
            noted: Vec::new(),
        })
    }

    /// With the notes of earlier attempts.
    #[must_use]
    pub fn after<A: Action<Note = N>>(self, past: &Past<A>) -> Self {
        Self {
            earlier: past.noted().cloned().collect(),
            ..self
        }
    }

    /// Where it is, and what it may use.
    #[must_use]
    pub fn cx(&self) -> &'a Context {
        self.cx
    }

    /// Forwards or backwards.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// The step's output.
    pub fn log(&mut self) -> &mut dyn Write {
        self.log
    }

    /// One line of the step's output.
    pub fn log_line(&mut self, line: &str) {
        log_line(self.log, line);
    }

    /// Makes a fact durable before it comes true.
    ///
    /// # Errors
    /// [`Error`] when it cannot be made durable; what it tells of must not be done then.
    pub fn note(&mut self, note: N) -> Result<(), Error> {
        let value = past::to_value("noted", &note)?;
        let redactor = self.cx.redactor()?;
        if let Some(name) = redactor.found_in_value(&value) {
            return Err(Error::new(format!(
                "what must be noted contains the value of the secret {name}"
            )));
        }
        let blobs = self.cx.take_kept();
        self.append(&Entry::Noted { note: value, blobs })?;
        self.noted.push(note);
        Ok(())
    }

    /// What this attempt has noted so far.
    #[must_use]
    pub fn noted(&self) -> &[N] {
        &self.noted
    }

    /// What all attempts have noted so far, in order: those of the past, and this one.
    pub fn all_noted(&self) -> impl DoubleEndedIterator<Item = &N> + Clone {
        self.earlier.iter().chain(&self.noted)
    }

    /// Records that something beyond ordinary means is about to be done, such as KILL after a deadline: what, to whom,
    /// and why. It goes into the step's output as well.
    ///
    /// # Errors
    /// [`Error`] when it cannot be made durable; it must not be done then.
    pub fn escalate(&mut self, what: &str) -> Result<(), Error> {
        let text = self.cx.redactor()?.text(what);
        self.append(&Entry::Escalated { what: text })
            .map_err(|e| Error::io(format!("cannot record before it is done: {what}"), &e))?;
        self.log_line(what);
        Ok(())
    }

    /// Shows how far it is: `done` of `total` units. Never recorded; what cannot be shown does no harm.
    pub fn progress(&mut self, done: u64, total: Option<u64>, unit: &str) {
        let entry = Entry::Progress {
            done,
            total,
            unit: unit.to_owned(),
        };
        if let Some(spool) = &mut self.spool {
            let _ = spool.append(&entry);
        }
    }

    /// Makes what success produced durable.
    pub(super) fn produced(&mut self, output: &impl serde::Serialize) -> Result<(), Error> {
        let output = past::to_value("produced", output)?;
        if let Some(name) = self.cx.redactor()?.found_in_value(&output) {
            return Err(Error::new(format!(
                "what it produced contains the value of the secret {name}"
            )));
        }
        let blobs = self.cx.take_kept();
        self.append(&Entry::Produced { output, blobs })
    }

    fn append(&mut self, entry: &Entry) -> Result<(), Error> {
        match &mut self.spool {
            Some(spool) => spool
                .append(entry)
                .map_err(|e| Error::io("cannot write the attempt's spool", &e)),
            None => Ok(()),
        }
    }
}
