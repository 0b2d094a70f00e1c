//! The drain: workers consume no more, finish what they have taken, and only then are they told to end.
//!
//! Protocol: where `queues` are named, wait until they are empty; then `cancel_consumer` for every queue of every
//! worker; then wait until each worker that lives has answered that nothing is active and nothing reserved, twice, with
//! more than a second in between, because a worker that was waiting for a message when it was told may still get one and
//! puts it back. Tasks that wait for their time are not waited for: their messages are not acknowledged, and go back to
//! the queue when the worker ends in peace. One that is about to start is waited for.
//!
//! Invariants: nothing is told to end here. That a consumer is cancelled is noted before it is, so that whoever goes on
//! after a death knows what to put back. A worker that lives and does not answer is not empty. At the deadline the
//! consumers are put back and the running tasks are named, unless the settings say to go on.

use super::App;
use super::counts::{self, Counts};
use super::find::Live;
use super::inspector::{ANSWER, Inspector, Lengths, WorkerReport};
use crate::action::{Context, Error, Work};
use crate::failpoint;
use crate::host::process::note::Note;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(300);
/// How long an answer of a worker is waited for that runs a task in its own process: most of the time it is asked.
pub(super) const BUSY: Duration = Duration::from_secs(10);
/// How long nothing may be active before it counts. Longer than a worker waits for a message on Redis (one second).
const CALM: Duration = Duration::from_millis(1300);
/// A task whose time comes this soon is waited for.
const SOON: f64 = 2.0;
/// Unchanged counts are said again after this time: whoever watches wants to see that it lives.
const AGAIN: Duration = Duration::from_secs(15);
/// How long an application that cannot be asked is left alone before it is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// What is to be drained.
pub(super) struct Drain<'a> {
    pub(super) cx: &'a Context,
    pub(super) app: &'a App,
    /// The workers that live and were not told to end: those that were do not answer any more.
    pub(super) live: &'a dyn Fn() -> Result<Vec<Live>, Error>,
    /// Must be empty before workers stop to consume.
    pub(super) queues: &'a [String],
    /// Queues that each worker consumed before this step changed anything.
    pub(super) consumed: &'a BTreeMap<String, Vec<String>>,
    /// The processes that answered before, by their names.
    pub(super) nodes: BTreeMap<String, Vec<i32>>,
    pub(super) until: Instant,
    /// How long an answer is waited for.
    pub(super) answer: Duration,
    /// In words.
    pub(super) limit: String,
}

/// How it came out.
#[derive(Debug)]
pub(super) enum Drained {
    /// Nobody lives who was not told to end before.
    Nobody,
    /// Nothing runs, and nothing is taken.
    Empty {
        /// Tasks that wait for their time and go back to the queue.
        scheduled: u64,
    },
    /// Work is left at the deadline; what it is.
    Late(String),
}

/// A drain that is going on.
pub(super) struct Run<'a> {
    drain: Drain<'a>,
    pub(super) inspector: Option<Inspector>,
    /// Queues that this drain has cancelled or seen, by worker.
    seen: BTreeMap<String, BTreeSet<String>>,
    /// The most tasks that were seen to be running or taken.
    most: u64,
    /// Since when nothing is active.
    calm: Option<Instant>,
    /// The named queues were seen empty, so that consumers are cancelled.
    cancelling: bool,
    said: Option<(String, Instant)>,
    last: Counts,
    trouble: Option<String>,
}

impl<'a> Run<'a> {
    pub(super) fn new(mut drain: Drain<'a>) -> Self {
        let known = std::mem::take(&mut drain.nodes);
        let cancelling = drain.queues.is_empty();
        let seen = drain
            .consumed
            .iter()
            .map(|(node, queues)| (node.clone(), queues.iter().cloned().collect()))
            .collect();
        Self {
            drain,
            inspector: None,
            seen,
            most: 0,
            calm: None,
            cancelling,
            said: None,
            last: Counts::named(known),
            trouble: None,
        }
    }

    /// Until nothing runs, or the deadline.
    pub(super) fn finish(&mut self, work: &mut Work<'_, Note>) -> Result<Drained, Error> {
        loop {
            let live = (self.drain.live)()?;
            if live.is_empty() {
                return Ok(Drained::Nobody);
            }
            let over = Instant::now() >= self.drain.until;
            let asked = self.ask(&live, work);
            if asked.is_ok() && self.cancelling {
                self.announce(work)?;
            }
            match asked.and_then(|empty| self.proceed(empty, work)) {
                Ok(Some(scheduled)) => return Ok(Drained::Empty { scheduled }),
                Ok(None) => self.trouble = None,
                Err(e) => self.failed(&e, work),
            }
            if over {
                return Ok(Drained::Late(self.left()));
            }
            let pause = match (&self.inspector, self.calm) {
                (Some(_), Some(since)) => PAUSE.min(CALM.saturating_sub(since.elapsed())),
                (Some(_), None) => PAUSE,
                (None, _) => RETRY,
            };
            let left = self.drain.until.saturating_duration_since(Instant::now());
            std::thread::sleep(pause.min(left));
        }
    }

    fn failed(&mut self, e: &Error, work: &mut Work<'_, Note>) {
        self.inspector = None;
        self.calm = None;
        let text = e.to_string();
        if self.trouble.as_ref() != Some(&text) {
            work.log_line(&text);
        }
        self.trouble = Some(text);
    }

    fn inspector(
        &mut self,
        live: &[Live],
        work: &mut Work<'_, Note>,
    ) -> Result<&mut Inspector, Error> {
        if self.inspector.is_none() {
            let first = live
                .first()
                .ok_or_else(|| Error::new("no worker is running"))?;
            let inspector = Inspector::open(self.drain.cx, first, self.drain.app)?;
            let hello = &inspector.hello;
            work.log_line(&format!(
                "celery {} by {} {}",
                hello.celery, hello.driver, hello.broker
            ));
            self.inspector = Some(inspector);
        }
        self.inspector
            .as_mut()
            .ok_or_else(|| Error::new("the application cannot be inspected"))
    }

    /// What the workers do now.
    pub(super) fn look(
        &mut self,
        live: &[Live],
        work: &mut Work<'_, Note>,
    ) -> Result<&Counts, Error> {
        // Once everyone's name is known only they are asked, and nobody waits for more answers.
        let names = self.last.addresses(live).unwrap_or_default();
        let left = self.drain.until.saturating_duration_since(Instant::now());
        let wait = left.clamp(ANSWER, self.drain.answer);
        let inspector = self.inspector(live, work)?;
        let inspection = if names.is_empty() {
            inspector.look(live, ANSWER)?
        } else {
            inspector.look_at(live, &names, wait)?
        };
        self.last = counts::join(live, inspection);
        for report in &self.last.reports {
            let queues = self.seen.entry(report.node.clone()).or_default();
            queues.extend(report.queues.iter().cloned());
        }
        Ok(&self.last)
    }

    /// One look at the workers and the queues: whether those that have to be empty are.
    fn ask(&mut self, live: &[Live], work: &mut Work<'_, Note>) -> Result<bool, Error> {
        self.look(live, work)?;
        let tasks = self.last.reports.iter().map(|t| t.active + t.reserved);
        let left: u64 = tasks.sum();
        self.most = self.most.max(left);
        work.progress(self.most - left, Some(self.most), "tasks");
        let mut counts = self.last.shown();
        let mut empty = true;
        if !self.drain.queues.is_empty() {
            let lengths = self.lengths(self.drain.queues)?;
            empty = lengths.queues.values().all(|n| *n == 0);
            counts = format!("{}; {counts}", waiting(&lengths));
            // What comes while nobody consumes would stay: somebody still sends.
            if self.cancelling && !empty {
                work.log_line("a queue that must be empty has received messages again");
                self.put_back(work)?;
                self.cancelling = false;
            } else if !self.cancelling && empty {
                self.cancelling = true;
            }
        }
        self.log_unless_repeated(&counts, work);
        Ok(empty)
    }

    /// Notes what is about to be cancelled. What cannot be noted ends the attempt.
    fn announce(&self, work: &mut Work<'_, Note>) -> Result<(), Error> {
        for report in &self.last.reports {
            for queue in &report.queues {
                let note = Note::Cancelling {
                    worker: report.node.clone(),
                    queue: queue.clone(),
                };
                if !work.all_noted().any(|n| *n == note) {
                    work.note(note)?;
                }
            }
        }
        failpoint::hit("celery-cancelling");
        Ok(())
    }

    /// What follows from a look; the number of scheduled tasks when all is done.
    fn proceed(&mut self, empty: bool, work: &mut Work<'_, Note>) -> Result<Option<u64>, Error> {
        if self.cancelling {
            self.cancel(work)?;
        }
        let idle =
            self.cancelling && empty && self.last.whole() && self.last.reports.iter().all(idle);
        if !idle {
            self.calm = None;
            return Ok(None);
        }
        let since = *self.calm.get_or_insert_with(Instant::now);
        if since.elapsed() < CALM {
            return Ok(None);
        }
        Ok(Some(self.last.reports.iter().map(|t| t.scheduled).sum()))
    }

    fn log_unless_repeated(&mut self, text: &str, work: &mut Work<'_, Note>) {
        let again = self
            .said
            .as_ref()
            .is_none_or(|(last, at)| last != text || at.elapsed() >= AGAIN);
        if again {
            work.log_line(text);
            self.said = Some((text.to_owned(), Instant::now()));
        }
    }

    /// How long queues are.
    pub(super) fn lengths(&mut self, queues: &[String]) -> Result<Lengths, Error> {
        match &mut self.inspector {
            Some(inspector) => inspector.lengths(queues),
            None => Err(Error::new("the application cannot be inspected")),
        }
    }

    fn cancel(&mut self, work: &mut Work<'_, Note>) -> Result<(), Error> {
        let Some(inspector) = &mut self.inspector else {
            return Ok(());
        };
        for report in &self.last.reports {
            for queue in &report.queues {
                work.log_line(&format!("cancel_consumer {queue} to {}", report.node));
                inspector.consume(&report.node, queue, false)?;
                self.calm = None;
                failpoint::hit("celery-cancelled");
            }
        }
        Ok(())
    }

    /// Workers consume again what they consumed.
    pub(super) fn put_back(&mut self, work: &mut Work<'_, Note>) -> Result<(), Error> {
        self.calm = None;
        let live = (self.drain.live)()?;
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            self.look(&live, work)?;
            let mut missing = Vec::new();
            for (node, queues) in &self.seen {
                let Some(report) = self.last.reports.iter().find(|t| t.node == *node) else {
                    continue;
                };
                let fallback;
                let queues = if queues.is_empty() {
                    // They were cancelled before anybody looked.
                    fallback = self.ordinary(&live);
                    &fallback
                } else {
                    queues
                };
                let gone = queues.iter().filter(|q| !report.queues.contains(q));
                missing.extend(gone.map(|q| (node.clone(), q.clone())));
            }
            if missing.is_empty() && self.last.silent.is_empty() {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(Error::new(format!(
                    "consumers could not be restored: {}",
                    self.last.shown()
                )));
            }
            for (node, queue) in missing {
                work.log_line(&format!("add_consumer {queue} to {node}"));
                if let Some(inspector) = &mut self.inspector {
                    inspector.consume(&node, &queue, true)?;
                }
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// What a worker consumes that was started like these.
    fn ordinary(&self, live: &[Live]) -> BTreeSet<String> {
        let named: BTreeSet<String> = live
            .iter()
            .flat_map(|f| f.cmdline.queues.iter().cloned())
            .collect();
        if named.is_empty() {
            let inspector = self.inspector.iter();
            inspector
                .flat_map(|d| d.hello.queues.iter().cloned())
                .collect()
        } else {
            named
        }
    }

    /// What keeps it from being done, for people.
    fn left(&self) -> String {
        let mut parts = Vec::new();
        if let Some(why) = &self.trouble {
            parts.push(why.clone());
        }
        parts.extend(
            self.last
                .silent
                .iter()
                .map(|pid| format!("worker {pid} does not answer, so its tasks are unknown")),
        );
        for report in &self.last.reports {
            if !report.running.is_empty() {
                let names: Vec<String> = report
                    .running
                    .iter()
                    .map(|t| format!("{} {}", t.name, t.id))
                    .collect();
                let tasks = if report.active == 1 {
                    "task runs"
                } else {
                    "tasks run"
                };
                parts.push(format!(
                    "{} {tasks} on {}: {}",
                    report.active,
                    report.node,
                    names.join(", ")
                ));
            }
            if report.reserved > 0 {
                let (n, node) = (report.reserved, &report.node);
                parts.push(format!("{n} more are reserved by {node}"));
            }
            if !report.whole {
                parts.push(format!("{} has not answered completely", report.node));
            }
        }
        if parts.is_empty() && !self.drain.queues.is_empty() && !self.cancelling {
            parts.push(format!(
                "{} did not become empty",
                self.drain.queues.join(", ")
            ));
        }
        if parts.is_empty() {
            parts.push("the workers were not idle for long enough".to_owned());
        }
        format!(
            "not drained within {}: {}",
            self.drain.limit,
            parts.join("; ")
        )
    }

    /// The tasks that run, as far as they are known.
    pub(super) fn running(&self) -> String {
        let tasks: Vec<String> = self
            .last
            .reports
            .iter()
            .flat_map(|t| t.running.iter().chain(&t.waiting))
            .map(|t| format!("{} {}", t.name, t.id))
            .collect();
        if tasks.is_empty() {
            "none known".to_owned()
        } else {
            tasks.join(", ")
        }
    }
}

/// A worker at rest.
fn idle(report: &WorkerReport) -> bool {
    report.whole
        && report.queues.is_empty()
        && report.active == 0
        && report.reserved == 0
        && report.due_in.is_none_or(|due| due > SOON)
}

/// Lengths for people.
pub(super) fn waiting(lengths: &Lengths) -> String {
    let parts: Vec<String> = lengths
        .queues
        .iter()
        .map(|(queue, n)| format!("{n} wait in {queue}"))
        .collect();
    parts.join(", ")
}
