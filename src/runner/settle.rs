//! Settles an attempt: determines its outcome from its job directory, its evidence and, in doubt, its probe.

use super::{GLANCE, Progress, Runner, RunnerError};
use super::{facts, former};
use crate::action::Look;
use crate::attempt::job::JobDir;
use crate::attempt::output::{Follower, NOTE, last_lines, tail, without_note};
use crate::attempt::slot::{Ended as Exit, Killed, Outcome};
use crate::attempt::spec::Command;
use crate::attempt::spool::{Entry, SpoolReader};
use crate::clock::{boot_id, boottime_us};
use crate::redact::Redactor;
use serde_json::Value;
use std::time::Duration;
use upledger_replay::attempt::unsaid;
use upledger_replay::contract;
use upledger_replay::decide::{self, Resolution};
use upledger_replay::event::{
    Answer, Attempt, Direction, Doubt, Doubted, Escalated, Event, Failed, Failure, KillRequested,
    Noted, Printed, Probed, Succeeded, own,
};
use upledger_replay::plan::Pair;
use upledger_replay::state::TaskState;
use upledger_replay::verdict::verdict;

/// How often new output of a running step is shown.
const OUTPUT: Duration = Duration::from_millis(200);
/// Pieces of output that are shown at a time; each is at most 256 KiB, and 64 MiB are stored.
const PIECES: usize = 320;
/// Facts are read from so much of the end of an output.
const FACTS: u64 = 4 << 20;
/// How long a supervisor may take to detect that it is fenced.
const FENCE: Duration = Duration::from_secs(2);
/// How long to wait for an orphan without a time limit.
const ORPHAN: Duration = Duration::from_secs(3600);

impl Runner<'_> {
    /// Settles an open attempt.
    pub(super) async fn resolve(&mut self, at: &Attempt) -> Result<(), RunnerError> {
        let part = self.part(at)?;
        let spec = part
            .started
            .as_ref()
            .map(|s| s.spec.clone())
            .unwrap_or_default();
        let job = self.job(at)?;
        let facts = job
            .as_ref()
            .map(|job| job.fence_and_inspect(&spec))
            .transpose()?;
        let resolution = decide::resolution(verdict(facts));
        let (Some(job), true) = (job, resolution != Resolution::Lost) else {
            let cause = "its job directory is missing, or not the one that was intended";
            return self.doubt(at, None, Doubt::Lost, cause);
        };
        match resolution {
            Resolution::Fenced if part.kill.is_some() => {
                let why = "it was to be killed before it had started".into();
                self.stage(&never_started(at, why))
            }
            Resolution::Fenced => self.stage(&Event::StepFenced(at.clone())),
            Resolution::Adopt => {
                if self.ours.as_ref() != Some(at) {
                    self.stage(&Event::StepAdopted(at.clone()))?;
                    self.ours = Some(at.clone());
                    if !self.commit()? {
                        return Ok(());
                    }
                }
                self.await_attempt(at, &job).await
            }
            Resolution::Import => self.import(at, &job).await,
            Resolution::AwaitFence => {
                if job.quiet(FENCE).await {
                    return Ok(());
                }
                let cause = "it was fenced, and somebody still holds its lock";
                self.doubt(at, Some(&job), Doubt::Alive, cause)
            }
            Resolution::AwaitTree => self.await_tree(at, &job).await,
            Resolution::Unseen | Resolution::Lost => {
                self.doubt(at, Some(&job), Doubt::Unseen, own::UNSEEN)
            }
        }
    }

    /// Stages the entries of the spool that are not recorded yet. Returns the output of the action, if there is one.
    fn import_spool(&mut self, at: &Attempt, job: &JobDir) -> Result<Option<Value>, RunnerError> {
        let known = self.part(at)?.imported;
        let mut produced = None;
        let mut seen = 0;
        for entry in job.spooled()? {
            let event = match entry {
                Entry::Progress { .. } => continue,
                Entry::Produced { output, blobs } => {
                    produced = Some((output, blobs));
                    continue;
                }
                Entry::Noted { note, blobs } => {
                    if seen >= known {
                        self.journal.attach(&blobs);
                    }
                    Event::StepNoted(Noted {
                        at: at.clone(),
                        // It contains no secret of the step itself, but may contain another one.
                        note: self.journal.redact_value(note),
                    })
                }
                Entry::Escalated { what } => Event::StepEscalated(Escalated {
                    at: at.clone(),
                    what,
                }),
            };
            seen += 1;
            if seen > known {
                self.stage(&event)?;
            }
        }
        Ok(produced.map(|(output, blobs)| {
            self.journal.attach(&blobs);
            output
        }))
    }

    fn doubt(
        &mut self,
        at: &Attempt,
        job: Option<&JobDir>,
        doubt: Doubt,
        cause: &str,
    ) -> Result<(), RunnerError> {
        if let Some(job) = job {
            self.import_spool(at, job)?;
        }
        let killing = job.and_then(JobDir::killing).map(|why| match why {
            Killed::Timeout => "; time limit exceeded, and it was being killed".to_owned(),
            Killed::Request(why) => format!("; it was being killed on request: {why}"),
        });
        self.stage(&Event::StepDoubted(Doubted {
            at: at.clone(),
            doubt,
            cause: format!("{cause}{}", killing.unwrap_or_default()),
            tail: job.map_or_else(Vec::new, |job| last_lines(&job.output(), 5)),
        }))
    }

    /// Shows what an attempt has printed since the last time.
    fn show(&mut self, at: &Attempt, job: &JobDir) {
        let mut output = match self.shown.take() {
            Some((of, output)) if of == *at => output,
            Some(_) | None => Follower::new(job.output()),
        };
        // In chunks, until there is nothing new; the rest of a file that grows faster than it is shown is left for the next
        // call.
        for _ in 0..PIECES {
            let Ok(new) = output.read() else { break };
            let Some(run) = self.journal.run(&self.run).filter(|_| !new.is_empty()) else {
                break;
            };
            self.watcher.output(run, at, &new);
        }
        self.shown = Some((at.clone(), output));
        self.show_progress(at, job);
    }

    /// Shows the last reported progress of an attempt.
    fn show_progress(&mut self, at: &Attempt, job: &JobDir) {
        let mut spool = match self.heard.take() {
            Some((of, spool)) if of == *at => spool,
            Some(_) | None => SpoolReader::default(),
        };
        // Errors are reported when the spool is imported.
        let new = spool.read(job).unwrap_or_default();
        let last = new.into_iter().rev().find_map(|entry| match entry {
            Entry::Progress { done, total, unit } => Some(Progress {
                done,
                total,
                unit: self.journal.redact(&unit),
            }),
            Entry::Noted { .. } | Entry::Escalated { .. } | Entry::Produced { .. } => None,
        });
        if let (Some(progress), Some(run)) = (last, self.journal.run(&self.run)) {
            self.watcher.progress(run, at, &progress);
        }
        self.heard = Some((at.clone(), spool));
    }

    /// Follows a running attempt until its supervisor exits or the runner detaches.
    async fn await_attempt(&mut self, at: &Attempt, job: &JobDir) -> Result<(), RunnerError> {
        let ended = job.ended();
        tokio::pin!(ended);
        let mut heard = tokio::time::Instant::now();
        loop {
            let over = tokio::select! {
                () = &mut ended => true,
                () = tokio::time::sleep(OUTPUT) => false,
                wish = self.signals.next() => {
                    self.wish(wish)?;
                    false
                }
            };
            self.show(at, job);
            if over || self.detach {
                return Ok(());
            }
            if heard.elapsed() >= GLANCE {
                heard = tokio::time::Instant::now();
                self.hear()?;
                self.import_spool(at, job)?;
                if self.journal.pending() {
                    // If another process appended first, the next check stages them again.
                    self.commit()?;
                }
            }
        }
    }

    /// Waits for processes that survived their supervisor. Enforces the time limit and kill requests, because the
    /// supervisor no longer does.
    async fn await_tree(&mut self, at: &Attempt, job: &JobDir) -> Result<(), RunnerError> {
        let began = tokio::time::Instant::now();
        let mut killed = false;
        let mut told = false;
        loop {
            let gone = tokio::select! {
                gone = job.quiet(GLANCE) => gone,
                wish = self.signals.next() => {
                    self.wish(wish)?;
                    false
                }
            };
            self.show(at, job);
            if gone || self.detach {
                // The loop checks again.
                return Ok(());
            }
            if !told && let Some(run) = self.journal.run(&self.run) {
                let living: Vec<String> = job
                    .living()
                    .iter()
                    .map(|words| self.journal.redact(words))
                    .collect();
                self.watcher.waits(run, at, &living);
                told = true;
            }
            self.hear()?;
            let part = self.part(at)?;
            if part.kill.is_none() && overdue(&part) {
                self.stage(&Event::KillRequested(KillRequested {
                    at: at.clone(),
                    reason: own::OVERDUE.into(),
                }))?;
                if !self.commit()? {
                    continue;
                }
            }
            if self.part(at)?.kill.is_some() && !killed {
                job.kill_tree();
                killed = true;
            }
            if began.elapsed() > ORPHAN {
                let cause = "its supervisor died, and its processes are still alive";
                return self.doubt(at, Some(job), Doubt::Alive, cause);
            }
        }
    }

    /// Reads the exact result, checks the evidence, and records the outcome.
    async fn import(&mut self, at: &Attempt, job: &JobDir) -> Result<(), RunnerError> {
        let Some(outcome) = job.outcome()? else {
            return self.doubt(at, Some(job), Doubt::Lost, "its result vanished");
        };
        self.show(at, job);
        let produced = self.import_spool(at, job)?;
        let task = self.task(at);
        let own = task.as_ref().is_ok_and(|t| t.command() == Command::Act);
        let end = self.end(at, job, &outcome);
        if let Some((failure, mut detail)) = failure_of(&outcome) {
            // A typed action prints its error last; the exit code of its process carries no information.
            if matches!(failure, Failure::Exit(_))
                && own
                && let Some(reason) = end.tail.last().filter(|line| !line.starts_with(NOTE))
            {
                detail.clone_from(reason);
            }
            let said = format!("{detail}\n{}", end.tail.join("\n"));
            if let Ok(task) = &task
                && let Some(hint) = task.withheld(&said)
            {
                detail = format!("{detail}; {hint}");
            }
            return self.stage(&end.failed(failure, detail));
        }
        if !contract::checkable(self.state()?, &at.part, former::same) {
            let doubt = unsaid(outcome.left_behind);
            return self.doubt(at, Some(job), doubt, own::UNCHECKED);
        }
        if own && produced.is_none() {
            let cause = "it ended well, and did not say what it produced";
            return self.doubt(at, Some(job), unsaid(outcome.left_behind), cause);
        }
        let task = match task {
            Ok(task) => task,
            Err(why) => return self.stage(&end.failed(Failure::Evidence, why)),
        };
        let (mut past, blobs) = self.past(at)?;
        past.output = produced
            .clone()
            .filter(|_| !task.own_undo())
            .or(past.output);
        let looked = self
            .look(task.deadline(), move |moment| {
                Ok(task.verify(moment, &past, &blobs))
            })
            .await?;
        let Some(looked) = looked else { return Ok(()) };
        let look = looked.unwrap_or_else(|e| Look::unclear(e.to_string()));
        if look.answer != Answer::Done {
            let why = format!("{}{}", own::DISAGREES, look.evidence.join("; "));
            return self.stage(&end.failed(Failure::Evidence, why));
        }
        let produced = produced.filter(|p| !p.is_null());
        match self.read_facts(at, job) {
            Ok(facts) => self.stage(&end.succeeded(look.evidence, facts, produced)),
            Err(why) => self.stage(&end.failed(Failure::Evidence, why)),
        }
    }

    /// What is known of an attempt's end before its evidence is looked at.
    fn end<'a>(&mut self, at: &'a Attempt, job: &JobDir, outcome: &Outcome) -> End<'a> {
        // Output beyond the limit of the blob table stays in the job directory; the ledger has its digest.
        let output = std::fs::File::open(job.output()).and_then(|f| self.journal.attach_content(f));
        let printed = output.ok().map(|kept| Printed {
            sha256: kept.blob,
            len: kept.len,
            dropped: outcome.output_dropped,
        });
        End {
            at,
            tail: last_lines(&job.output(), 10),
            printed,
            took_ms: outcome.ended_us.saturating_sub(outcome.started_us) / 1000,
            left_behind: outcome.left_behind,
        }
    }

    fn read_facts(&self, at: &Attempt, job: &JobDir) -> Result<Vec<Pair>, String> {
        if at.part.way == Direction::Undo {
            return Ok(Vec::new());
        }
        let state = self.state().map_err(|e| e.to_string())?;
        let wanted = state
            .step_named(&at.part.step)
            .map_or(&[][..], |s| &s.facts);
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let output =
            tail(&job.output(), FACTS).map_err(|e| format!("the output cannot be read: {e}"))?;
        let redactor = Redactor::new(&self.secrets).map_err(|e| e.to_string())?;
        facts::read(
            without_note(&output),
            wanted,
            &state.plan.secrets,
            &redactor,
        )
    }

    /// Probes the effects of an attempt in doubt.
    pub(super) async fn probe(&mut self, at: &Attempt) -> Result<(), RunnerError> {
        let (past, blobs) = self.past(at)?;
        let looked = match self.task(at) {
            Ok(task) => {
                self.look(task.deadline(), move |moment| {
                    Ok(task.probe(moment, &past, &blobs))
                })
                .await?
            }
            Err(why) => Some(Ok((Look::unclear(why), None))),
        };
        let Some(looked) = looked else { return Ok(()) };
        let (look, produced) = looked.unwrap_or_else(|e| (Look::unclear(e.to_string()), None));
        self.stage(&Event::StepProbed(Probed {
            at: at.clone(),
            answer: look.answer,
            evidence: look.evidence,
            produced: produced.filter(|p| !p.is_null()),
        }))
    }
}

/// The failure for an exit status; none for exit 0.
fn failure_of(outcome: &Outcome) -> Option<(Failure, String)> {
    let ended = match &outcome.ended {
        Exit::NotExecuted { message, .. } => return Some((Failure::NotStarted, message.clone())),
        Exit::Signaled(n) => own::ended_by(*n),
        Exit::Exited(code) => format!("it ended with exit code {code}"),
    };
    match (&outcome.killed, &outcome.ended) {
        (Some(Killed::Timeout), _) => {
            Some((Failure::Timeout, format!("{}{ended}", own::TIMED_OUT)))
        }
        (Some(Killed::Request(why)), _) => Some((
            Failure::Killed,
            format!("killed on request: {why}; {ended}"),
        )),
        (None, Exit::Signaled(n)) => Some((Failure::Signal(*n), ended)),
        (None, Exit::Exited(0) | Exit::NotExecuted { .. }) => None,
        (None, Exit::Exited(code)) => Some((Failure::Exit(*code), ended)),
    }
}

/// The time limit of the open attempt has passed, as far as this boot's clock tells.
fn overdue(part: &TaskState) -> bool {
    let limit = part.started.as_ref().and_then(|s| s.timeout_ms);
    let age = boottime_us().saturating_sub(part.started_at.mono);
    limit.is_some_and(|ms| part.started_at.boot == boot_id() && age > ms.saturating_mul(1000))
}

/// The message for a command whose descendants are still running.
const ALIVE: &str = "processes that it started are still alive";

/// What is known of an attempt's end before its evidence is looked at.
struct End<'a> {
    at: &'a Attempt,
    tail: Vec<String>,
    printed: Option<Printed>,
    took_ms: u64,
    left_behind: bool,
}

impl End<'_> {
    fn failed(self, failure: Failure, mut detail: String) -> Event {
        let started = failure != Failure::NotStarted;
        if self.left_behind {
            // This is why nothing is retried without an operator's decision.
            detail = format!("{detail}; {ALIVE}");
        }
        Event::StepFailed(Failed {
            at: self.at.clone(),
            failure,
            detail,
            tail: self.tail,
            printed: self.printed.filter(|_| started),
            output: None,
            took_ms: Some(self.took_ms),
            left_behind: self.left_behind,
        })
    }

    fn succeeded(
        self,
        mut evidence: Vec<String>,
        facts: Vec<Pair>,
        produced: Option<Value>,
    ) -> Event {
        if self.left_behind {
            evidence.push(ALIVE.into());
        }
        Event::StepSucceeded(Succeeded {
            at: self.at.clone(),
            evidence,
            facts,
            produced,
            printed: self.printed,
            output: None,
            took_ms: Some(self.took_ms),
        })
    }
}

/// An attempt that failed before it can have had any effect.
pub(super) fn never_started(at: &Attempt, detail: String) -> Event {
    Event::StepFailed(Failed {
        at: at.clone(),
        failure: Failure::NotStarted,
        detail,
        tail: Vec::new(),
        printed: None,
        output: None,
        took_ms: None,
        left_behind: false,
    })
}
