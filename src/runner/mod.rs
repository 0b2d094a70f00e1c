//! The loop: ask `replay` for the next action, append, act, append. It makes no decisions of its own.
//!
//! Invariants: nothing is done before its intent is durable; nothing is shown before it is durable; after another process
//! has appended, the loop decides again. An outcome is always read from the job directory, so losing staged events loses no
//! information.

mod begin;
mod facts;
pub mod former;
pub mod lock;
pub mod secrets;
mod settle;
pub mod signals;

use crate::action::{Blob, Error, RawPast};
use crate::attempt::job::{Found, JobError};
use crate::attempt::output::Follower;
use crate::attempt::spool::SpoolReader;
use crate::clock;
use crate::home::Home;
use crate::journal::{Committed, Entry, Journal, JournalError};
use crate::redact::{Redactor, TooShort};
use crate::site::Facts;
use crate::site::task::PreparedTask;
use crate::site::{Local, Moment};
use signals::{Signals, Wish};
use std::time::Duration;
use upledger_replay::decide::{self, Next, Question, Stop};
use upledger_replay::event::{Attempt, Event, Reason};
use upledger_replay::state::{Ended, Refused, Run, TaskState};

/// The reason that is recorded for a pause by signal.
pub use upledger_replay::event::own::INTERRUPTED;
/// How often a wait looks for events of others.
const GLANCE: Duration = Duration::from_secs(1);
/// If a check takes longer than this, staged events are committed first.
const PATIENCE: Duration = Duration::from_millis(150);

/// Why the loop stopped.
#[derive(Debug)]
pub enum Rest {
    /// The run ended.
    Ended(Ended),
    /// An operator is asked.
    Asked(Question),
    /// Somebody asked for a stop.
    Stopped(Stop),
    /// The runner detached; the step keeps running.
    Detached,
}

impl Rest {
    /// How a run stops when this comes next; none if it continues.
    #[must_use]
    pub fn of(next: Next) -> Option<Self> {
        match next {
            Next::End(ended) => Some(Self::Ended(ended)),
            Next::Ask(question) => Some(Self::Asked(question)),
            Next::Stop(stop) => Some(Self::Stopped(stop)),
            Next::Resolve(_) | Next::Probe(_) | Next::Start(_) | Next::Record(_) => None,
        }
    }
}

/// Why the loop could not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The ledger.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A job directory.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The state refused what `replay` itself proposed.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A secret that cannot be redacted.
    #[error(transparent)]
    TooShort(#[from] TooShort),
    /// There is no such run.
    #[error("there is no run {0}")]
    NoRun(String),
    /// The system.
    #[error("{0}")]
    Io(&'static str, #[source] std::io::Error),
}

/// Receives what happened in the loop, only after it is durable.
pub trait Watcher {
    /// Events were appended, by us or by others.
    fn entries(&mut self, run: &Run, entries: &[Entry]);
    /// The running step printed something; it is redacted.
    fn output(&mut self, run: &Run, at: &Attempt, bytes: &[u8]);
    /// The progress of the running step: `done` of `total` units.
    fn progress(&mut self, run: &Run, at: &Attempt, progress: &Progress);
    /// The supervisor of the step has exited, and the runner waits for these processes; they are redacted.
    fn waits(&mut self, run: &Run, at: &Attempt, living: &[String]);
}

/// The progress that a running step reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// So many are done.
    pub done: u64,
    /// Of so many, where that is known.
    pub total: Option<u64>,
    /// Units of what; redacted.
    pub unit: String,
}

/// Drives one run.
pub struct Runner<'a> {
    home: &'a Home,
    site: Local,
    journal: Journal,
    run: String,
    secrets: Vec<(String, String)>,
    signals: Signals,
    watcher: &'a mut dyn Watcher,
    /// The attempt that this process started, whose follower is not an adoption.
    ours: Option<Attempt>,
    /// What of an attempt's output was shown.
    shown: Option<(Attempt, Follower)>,
    /// How far the spool of an attempt was read for what passes.
    heard: Option<(Attempt, SpoolReader)>,
    /// A signal asked for a pause that is not recorded yet.
    wants_pause: bool,
    detach: bool,
    /// The job directories that were there before this runner.
    found: Found,
}

impl<'a> Runner<'a> {
    /// A runner of a run in the ledger, with the secrets of its plan. The caller holds the lock.
    ///
    /// # Errors
    /// [`RunnerError`] when its secrets cannot be redacted.
    pub fn new(
        home: &'a Home,
        mut journal: Journal,
        run: &str,
        secrets: Vec<(String, String)>,
        watcher: &'a mut dyn Watcher,
    ) -> Result<Self, RunnerError> {
        journal.redact_with(Redactor::new(&secrets)?);
        let signals =
            Signals::new().map_err(|e| RunnerError::Io("cannot listen for signals", e))?;
        Ok(Self {
            home,
            site: Local::new(&home.state),
            journal,
            run: run.into(),
            secrets,
            signals,
            watcher,
            ours: None,
            shown: None,
            heard: None,
            wants_pause: false,
            detach: false,
            found: Found::read(&home.jobs())?,
        })
    }

    /// The ledger, to be looked at after the loop.
    #[must_use]
    pub fn into_journal(self) -> Journal {
        self.journal
    }

    fn state(&self) -> Result<&Run, RunnerError> {
        self.journal
            .run(&self.run)
            .ok_or_else(|| RunnerError::NoRun(self.run.clone()))
    }

    /// Records an event of this run with the next commit.
    ///
    /// # Errors
    /// [`RunnerError::Refused`].
    pub fn stage(&mut self, event: &Event) -> Result<(), RunnerError> {
        Ok(self.journal.stage(Some(&self.run), event)?)
    }

    /// Commits the staged events and notifies the watcher. `false`: another process appended first; decide again.
    fn commit(&mut self) -> Result<bool, RunnerError> {
        match self.journal.commit()? {
            Committed::Done(entries) => {
                self.tell(&entries);
                Ok(true)
            }
            Committed::Moved => Ok(false),
        }
    }

    fn tell(&mut self, entries: &[Entry]) {
        if let Some(run) = self.journal.run(&self.run)
            && !entries.is_empty()
        {
            self.watcher.entries(run, entries);
        }
    }

    /// Folds events of other processes and notifies the watcher.
    fn hear(&mut self) -> Result<(), RunnerError> {
        self.journal.check_held()?;
        let others = self.journal.refresh()?;
        self.tell(&others);
        Ok(())
    }

    /// Runs until the run stops.
    ///
    /// # Errors
    /// [`RunnerError`]; the run can be resumed.
    pub async fn drive(&mut self) -> Result<Rest, RunnerError> {
        loop {
            if !self.journal.pending() {
                self.hear()?;
            }
            if self.detach {
                if self.commit()? {
                    return Ok(Rest::Detached);
                }
                continue;
            }
            let next = decide::next(self.state()?, &clock::now());
            tracing::debug!(run = self.run, next = kind(&next));
            match next {
                Next::Record(event) => self.stage(&event)?,
                Next::Start(_) if self.journal.check_space().is_err() => {
                    if self.commit()? {
                        self.journal.check_space()?;
                    }
                }
                Next::Start(start) => self.start(&start).await?,
                Next::Resolve(at) => self.resolve(&at).await?,
                Next::Probe(at) => self.probe(&at).await?,
                rest @ (Next::Ask(_) | Next::Stop(_) | Next::End(_)) => {
                    if self.commit()?
                        && let Some(rest) = Rest::of(rest)
                    {
                        return Ok(rest);
                    }
                }
            }
        }
    }

    /// One direction of a step, as it is looked at and done.
    fn task(&mut self, at: &Attempt) -> Result<PreparedTask, String> {
        let run = self.state().map_err(|e| e.to_string())?;
        let task = PreparedTask::new(
            &self.site,
            &self.run,
            &run.plan,
            &at.part,
            Facts::Of(run),
            &self.secrets,
        )
        .map(|task| task.after(self.journal.book()))
        .map_err(|e| e.to_string())?;
        // A file of variables may hold other secrets than a moment ago; the former ones stay secrets.
        let known = self.secrets.len();
        for secret in &task.file_secrets {
            if !self.secrets.contains(secret) {
                self.secrets.push(secret.clone());
            }
        }
        if self.secrets.len() > known {
            let redactor = Redactor::new(&self.secrets).map_err(|e| e.to_string())?;
            self.journal.redact_with(redactor);
        }
        Ok(task)
    }

    /// What the record holds of a part, and the salts of what it names.
    fn past(&self, at: &Attempt) -> Result<(RawPast, Vec<Blob>), RunnerError> {
        let run = self.state()?;
        let past = PreparedTask::past(run, &at.part);
        let blobs = self.journal.salts(&past);
        Ok((past, blobs))
    }

    fn part(&self, at: &Attempt) -> Result<TaskState, RunnerError> {
        Ok(self.state()?.part(&at.part).cloned().unwrap_or_default())
    }

    /// Runs a check on a separate thread. Staged events are committed if the check takes long. A check that is cancelled,
    /// by a signal or its time limit, leaves no process behind.
    async fn look<T: Send + 'static>(
        &mut self,
        deadline: Duration,
        look: impl FnOnce(&Moment) -> Result<T, Error> + Send + 'static,
    ) -> Result<Option<Result<T, Error>>, RunnerError> {
        let moment = self.site.moment();
        let (tell, mut thread) = tokio::sync::oneshot::channel();
        let asked = moment.clone();
        // A thread that the system does not give is an error here; a pool would panic.
        std::thread::Builder::new()
            .name("look".into())
            .spawn(move || drop(tell.send(look(&asked))))
            .map_err(|e| RunnerError::Io("no thread for a check", e))?;
        let until = tokio::time::Instant::now() + deadline;
        let joined = match tokio::time::timeout(PATIENCE, &mut thread).await {
            Ok(joined) => joined,
            Err(_) => {
                if self.journal.pending() && !self.commit()? {
                    moment.give_up();
                    return Ok(None);
                }
                tokio::select! {
                    joined = thread => joined,
                    wish = self.signals.next() => {
                        moment.give_up();
                        self.wish(wish)?;
                        return Ok(None);
                    }
                    () = tokio::time::sleep_until(until) => {
                        moment.give_up();
                        return Ok(Some(Err(Error::new(format!(
                            "the check did not finish within {} s and was cancelled",
                            deadline.as_secs()
                        )))));
                    }
                }
            }
        };
        joined
            .map(Some)
            .map_err(|e| RunnerError::Io("a check exited unexpectedly", std::io::Error::other(e)))
    }

    fn wish(&mut self, wish: Wish) -> Result<(), RunnerError> {
        match wish {
            Wish::Detach => self.detach = true,
            Wish::Pause => self.wants_pause = true,
        }
        // Other processes may append in between; the signal must not be lost.
        while self.wants_pause {
            if !self.journal.pending() {
                self.hear()?;
            }
            let state = self.state()?;
            if state.ended.is_none() && state.pause.is_none() {
                self.stage(&Event::PauseRequested(Reason {
                    reason: INTERRUPTED.into(),
                }))?;
            }
            self.wants_pause = !self.commit()?;
        }
        Ok(())
    }
}

/// A decision's name, for diagnostics: they say nothing of what a plan holds.
fn kind(next: &Next) -> &'static str {
    match next {
        Next::Resolve(_) => "resolve",
        Next::Probe(_) => "probe",
        Next::Start(_) => "start",
        Next::Record(_) => "record",
        Next::Ask(_) => "ask",
        Next::Stop(_) => "stop",
        Next::End(_) => "end",
    }
}
