//! The loop: ask `replay` what comes next, append, act, append. It has no opinion of its own.
//!
//! Invariants: nothing is done whose intent is not durable; nothing is said that is not durable; when somebody else
//! has appended, everything is decided anew. An outcome is always read from the job directory, so losing what was
//! staged loses nothing.

pub mod lock;
pub mod parts;
pub mod secrets;
pub mod signals;

use crate::attempt::job::{JobDir, JobError};
use crate::attempt::launch::{Launched, launch};
use crate::attempt::output::{Follower, last_lines};
use crate::attempt::slot::{Ended as Exit, Killed, Outcome};
use crate::attempt::spec::{Command, Frame, Spec, VERSION, digest};
use crate::home::{Home, random_hex};
use crate::journal::{Committed, Entry, Journal, JournalError};
use crate::redact::{Redactor, TooShort};
use parts::Work;
use secrets::Missing;
use serde_json::Value;
use signals::{Signals, Wish};
use std::time::Duration;
use upledger_replay::book::way_word;
use upledger_replay::decide::{self, Next, Question, Resolution, Start, Stop};
use upledger_replay::event::{
    Answer, Attempt, Doubted, Event, Failed, Failure, Output, Probed, Reason, Satisfied, Started,
    Succeeded, Way,
};
use upledger_replay::plan::{Pair, Undo};
use upledger_replay::state::{Ended, PartState, Refused, Run};
use upledger_replay::verdict::{Token, verdict};

/// Between TERM and KILL.
const GRACE_MS: u64 = 10_000;
/// Stored output of one attempt, from its start.
const OUTPUT_LIMIT: u64 = 64 << 20;
/// A look that takes longer than this does not hold back what is known already.
const PATIENCE: Duration = Duration::from_millis(150);
/// How often a running step looks for events of others.
const GLANCE: Duration = Duration::from_secs(1);
/// How long an orphan without a time limit is waited for.
const ORPHAN: Duration = Duration::from_secs(3600);

/// Why the loop came to rest.
#[derive(Debug)]
pub enum Rest {
    /// The run ended.
    Ended(Ended),
    /// A person is asked.
    Asked(Question),
    /// Somebody asked for a stop.
    Stopped(Stop),
    /// We were told to leave; the step goes on.
    Detached,
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
    /// A secret.
    #[error(transparent)]
    Secret(#[from] Missing),
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

/// Where the loop tells what happened. It is only ever told what is durable.
pub trait Watcher {
    /// Events were appended, by us or by others.
    fn entries(&mut self, run: &Run, entries: &[Entry]);
    /// The running step printed something; it is redacted.
    fn output(&mut self, run: &Run, at: &Attempt, bytes: &[u8]);
}

/// Drives one run.
pub struct Runner<'a> {
    home: &'a Home,
    journal: Journal,
    run: String,
    secrets: Vec<(String, String)>,
    signals: Signals,
    watcher: &'a mut dyn Watcher,
    /// The attempt that this process started, whose follower is not an adoption.
    ours: Option<Attempt>,
    detach: bool,
}

impl<'a> Runner<'a> {
    /// A runner of a run in the ledger. The caller holds the lock.
    ///
    /// # Errors
    /// [`RunnerError`] when its secrets cannot be had.
    pub fn new(
        home: &'a Home,
        mut journal: Journal,
        run: &str,
        watcher: &'a mut dyn Watcher,
    ) -> Result<Self, RunnerError> {
        let state = journal
            .run(run)
            .ok_or_else(|| RunnerError::NoRun(run.into()))?;
        let secrets = secrets::read(&state.plan.secrets)?;
        journal.redact_with(Redactor::new(&secrets)?);
        let signals =
            Signals::new().map_err(|e| RunnerError::Io("cannot listen for signals", e))?;
        Ok(Self {
            home,
            journal,
            run: run.into(),
            secrets,
            signals,
            watcher,
            ours: None,
            detach: false,
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

    /// Makes what is staged durable and tells the watcher. `false`: somebody else was first, decide anew.
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

    /// Goes on until the run rests.
    ///
    /// # Errors
    /// [`RunnerError`]; the run can be resumed.
    pub async fn drive(&mut self) -> Result<Rest, RunnerError> {
        loop {
            if !self.journal.pending() {
                let others = self.journal.refresh()?;
                self.tell(&others);
            }
            if self.detach {
                if self.commit()? {
                    return Ok(Rest::Detached);
                }
                continue;
            }
            match decide::next(self.state()?) {
                Next::Record(event) => {
                    if matches!(
                        *event,
                        Event::RunCompleted(_) | Event::RollbackCompleted(_) | Event::RunAborted(_)
                    ) {
                        self.journal.checkpoint();
                    }
                    self.stage(&event)?;
                }
                Next::Start(start) => self.start(&start).await?,
                Next::Resolve(at) => self.resolve(&at).await?,
                Next::Probe(at) => self.probe(&at).await?,
                Next::Ask(question) => {
                    if self.commit()? {
                        return Ok(Rest::Asked(question));
                    }
                }
                Next::Stop(stop) => {
                    if self.commit()? {
                        return Ok(Rest::Stopped(stop));
                    }
                }
                Next::End(ended) => {
                    if self.commit()? {
                        return Ok(Rest::Ended(ended));
                    }
                }
            }
        }
    }

    fn work(&self, at: &Attempt) -> Result<Work, String> {
        let run = self.state().map_err(|e| e.to_string())?;
        Work::new(
            &self.home.state,
            &self.run,
            &run.plan,
            &at.part,
            &run.facts,
            &self.secrets,
        )
        .map_err(|e| e.to_string())
    }

    fn part(&self, at: &Attempt) -> Result<PartState, RunnerError> {
        Ok(self.state()?.part(&at.part).cloned().unwrap_or_default())
    }

    /// Looks on a thread that may block. What is staged is committed when the look takes long.
    async fn look<T: Send + 'static>(
        &mut self,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Option<T>, RunnerError> {
        let mut thread = tokio::task::spawn_blocking(look);
        let joined = match tokio::time::timeout(PATIENCE, &mut thread).await {
            Ok(joined) => joined,
            Err(_) => {
                if self.journal.pending() && !self.commit()? {
                    return Ok(None);
                }
                tokio::select! {
                    joined = thread => joined,
                    // A look has no effect: it may be left alone.
                    wish = self.signals.next() => {
                        self.wish(wish)?;
                        return Ok(None);
                    }
                }
            }
        };
        joined
            .map(Some)
            .map_err(|e| RunnerError::Io("a look died", std::io::Error::other(e)))
    }

    fn wish(&mut self, wish: Wish) -> Result<(), RunnerError> {
        match wish {
            Wish::Detach => self.detach = true,
            Wish::Pause => {
                let state = self.state()?;
                if state.ended.is_none() && state.pause.is_none() {
                    self.stage(&Event::PauseRequested(Reason {
                        reason: "interrupted at the terminal".into(),
                    }))?;
                    // Should somebody else have been first, the next round sees the signal's count and detaches no
                    // one; the person presses again.
                    self.commit()?;
                }
            }
        }
        Ok(())
    }

    async fn start(&mut self, start: &Start) -> Result<(), RunnerError> {
        if start.wait_ms > 0 {
            if !self.commit()? {
                return Ok(());
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(start.wait_ms)) => {}
                wish = self.signals.next() => return self.wish(wish),
            }
        }
        let before = self.part(&start.at)?;
        let work = match self.work(&start.at) {
            Ok(work) => work,
            Err(why) => return self.not_started(&start.at, Value::Null, why),
        };
        let observed = self.observed(start, &before)?;
        let fresh = start.fresh;
        let looked = self
            .look({
                let work = work.clone();
                move || {
                    let observed = match observed {
                        Some(observed) => observed,
                        None => work.observe()?,
                    };
                    let look = (fresh && work.has_probe).then(|| work.probe(&observed));
                    Ok::<_, crate::actions::Trouble>((observed, look))
                }
            })
            .await?;
        let Some(looked) = looked else { return Ok(()) };
        let (observed, look) = match looked {
            Ok(seen) => seen,
            Err(why) => {
                return self.not_started(
                    &start.at,
                    Value::Null,
                    format!("cannot look before acting: {why}"),
                );
            }
        };
        if let Some(look) = look
            && look.answer == Answer::Done
            && (before.attempts == 0 || start.at.part.way == Way::Undo)
        {
            return self.stage(&Event::StepSatisfied(Satisfied {
                part: start.at.part.clone(),
                evidence: look.evidence,
            }));
        }
        self.act(start, &work, observed).await
    }

    /// What an undo and a further attempt work from: the first observation before anything changed.
    fn observed(&self, start: &Start, before: &PartState) -> Result<Option<Value>, RunnerError> {
        Ok(match start.at.part.way {
            Way::Undo => self
                .state()?
                .unit(&start.at.part)
                .map(|u| u.forward.observed.clone()),
            Way::Do if before.touched => Some(before.observed.clone()),
            Way::Do => None,
        })
    }

    /// An attempt that fails before it can have had any effect.
    fn not_started(
        &mut self,
        at: &Attempt,
        observed: Value,
        why: String,
    ) -> Result<(), RunnerError> {
        self.stage(&Event::StepStarted(Started {
            at: at.clone(),
            nonce: String::new(),
            spec: String::new(),
            command: Vec::new(),
            observed,
            timeout_ms: None,
        }))?;
        self.stage(&failed(at, Failure::NotStarted, why, Vec::new(), None))
    }

    /// Intent, job directory, supervisor.
    async fn act(
        &mut self,
        start: &Start,
        work: &Work,
        observed: Value,
    ) -> Result<(), RunnerError> {
        let at = &start.at;
        let state = self.state()?;
        let Some(step) = state.plan.step(&at.part.step) else {
            return self.not_started(at, Value::Null, "the plan has no such step".into());
        };
        let no_return = at.part.way == Way::Do && matches!(step.undo, Undo::PointOfNoReturn(_));
        let head = self.journal.ledger().head();
        let nonce =
            random_hex(8).map_err(|e| RunnerError::Io("the system gives no random bytes", e))?;
        let spec = Spec {
            v: VERSION.into(),
            ledger: self.journal.ledger().id().to_owned(),
            head_seq: head.seq,
            head_hash: head.hash.to_string(),
            run: self.run.clone(),
            step: at.part.step.clone(),
            target: at.part.target.clone(),
            way: way_word(at.part.way).into(),
            attempt: at.attempt,
            nonce: nonce.clone(),
            boot: crate::attempt::boot_id(),
            command: work.command(),
            cwd: step.cwd.clone(),
            env: work.env.clone(),
            timeout_ms: step.timeout_ms,
            grace_ms: GRACE_MS,
            output_limit: OUTPUT_LIMIT,
        };
        let text = spec
            .text()
            .map_err(|e| RunnerError::Io("cannot write the job's spec", e.into()))?;
        let act = (spec.command == Command::Act)
            .then(|| {
                serde_json::to_value(crate::actions::act::Frame {
                    action: work.action.clone(),
                    way: if work.own_undo { Way::Undo } else { Way::Do },
                    observed: observed.clone(),
                    context: work.context.clone(),
                })
            })
            .transpose()
            .map_err(|e| RunnerError::Io("cannot write the action's frame", e.into()))?;
        let intent = Event::StepStarted(Started {
            at: at.clone(),
            nonce,
            spec: digest(&text),
            command: work.shown(),
            observed,
            timeout_ms: step.timeout_ms,
        });
        self.stage(&intent)?;
        if no_return {
            self.journal.checkpoint();
        }
        if !self.commit()? {
            return Ok(());
        }
        self.ours = Some(at.clone());
        match JobDir::create(&self.home.jobs(), &spec) {
            Ok(job) => {
                let frame = Frame {
                    job: job.path().to_path_buf(),
                    spec: digest(&text),
                    secrets: self.secrets.clone(),
                    act,
                };
                match launch(&frame).await {
                    // Either way the job directory tells; the loop comes back to it.
                    Ok(
                        Launched::Started
                        | Launched::ExecFailed
                        | Launched::Fenced
                        | Launched::Died,
                    ) => Ok(()),
                    Err(e) => self.fence(at, &job, &e),
                }
            }
            Err(e) => {
                let name = self.job_name(at)?;
                let job = JobDir::open_or_make(&self.home.jobs(), &name)?;
                self.fence(at, &job, &e)
            }
        }
    }

    fn fence(
        &mut self,
        at: &Attempt,
        job: &JobDir,
        why: &dyn std::error::Error,
    ) -> Result<(), RunnerError> {
        if job.fence()? == Token::Fenced {
            let mut words = why.to_string();
            if let Some(cause) = why.source() {
                words = format!("{words}: {cause}");
            }
            self.stage(&failed(at, Failure::NotStarted, words, Vec::new(), None))?;
        }
        Ok(())
    }

    fn job_name(&self, at: &Attempt) -> Result<String, RunnerError> {
        let part = self.part(at)?;
        let nonce = part.started.map(|s| s.nonce).unwrap_or_default();
        Ok(JobDir::name(
            &self.run,
            &at.part.step,
            &at.part.target,
            way_word(at.part.way),
            at.attempt,
            &nonce,
        ))
    }

    /// Brings an open attempt to an outcome.
    async fn resolve(&mut self, at: &Attempt) -> Result<(), RunnerError> {
        let part = self.part(at)?;
        let spec = part
            .started
            .as_ref()
            .map(|s| s.spec.clone())
            .unwrap_or_default();
        let job = JobDir::open_or_make(&self.home.jobs(), &self.job_name(at)?)?;
        let facts = job.facts(&spec)?;
        match decide::resolution(verdict(facts)) {
            Resolution::Fenced => self.stage(&Event::StepFenced(at.clone())),
            Resolution::Adopt => {
                if self.ours.as_ref() != Some(at) {
                    self.stage(&Event::StepAdopted(at.clone()))?;
                    self.ours = Some(at.clone());
                    if !self.commit()? {
                        return Ok(());
                    }
                }
                self.follow(at, &job).await
            }
            Resolution::Import => self.import(at, &part, &job).await,
            Resolution::AwaitTree => self.await_tree(at, &part, &job).await,
            Resolution::Doubt => self.doubt(at, &job, "it started, and nobody saw how it ended"),
            Resolution::Alarm => self.doubt(
                at,
                &job,
                "its job directory is not the one that was intended",
            ),
        }
    }

    fn doubt(&mut self, at: &Attempt, job: &JobDir, cause: &str) -> Result<(), RunnerError> {
        self.stage(&Event::StepDoubted(Doubted {
            at: at.clone(),
            cause: cause.into(),
            tail: last_lines(&job.output(), 5),
        }))
    }

    /// Follows a running attempt until its supervisor is gone or we are told to leave.
    async fn follow(&mut self, at: &Attempt, job: &JobDir) -> Result<(), RunnerError> {
        let mut output = Follower::new(job.output());
        let ended = job.ended();
        tokio::pin!(ended);
        loop {
            let over = tokio::select! {
                () = &mut ended => true,
                () = tokio::time::sleep(GLANCE) => false,
                wish = self.signals.next() => {
                    self.wish(wish)?;
                    false
                }
            };
            if let Ok(new) = output.read()
                && !new.is_empty()
                && let Some(run) = self.journal.run(&self.run)
            {
                self.watcher.output(run, at, &new);
            }
            if over || self.detach {
                return Ok(());
            }
            let others = self.journal.refresh()?;
            self.tell(&others);
        }
    }

    async fn await_tree(
        &mut self,
        at: &Attempt,
        part: &PartState,
        job: &JobDir,
    ) -> Result<(), RunnerError> {
        let limit = part
            .started
            .as_ref()
            .and_then(|s| s.timeout_ms)
            .map_or(ORPHAN, Duration::from_millis);
        let gone = tokio::select! {
            gone = job.tree_gone(limit) => gone,
            wish = self.signals.next() => return self.wish(wish),
        };
        let cause = if gone {
            "its supervisor died; its processes have ended, and nobody saw how"
        } else {
            "its supervisor died, and its processes are still alive"
        };
        self.doubt(at, job, cause)
    }

    /// Reads the exact result, checks the evidence, and records the outcome.
    async fn import(
        &mut self,
        at: &Attempt,
        part: &PartState,
        job: &JobDir,
    ) -> Result<(), RunnerError> {
        let Some(outcome) = job.outcome()? else {
            return self.doubt(at, job, "its result vanished");
        };
        let took_ms = Some(outcome.ended_us.saturating_sub(outcome.started_us) / 1000);
        let output = Some(Output {
            sha256: outcome.output_sha256.clone(),
            len: outcome.output_len,
            dropped: outcome.output_dropped,
        });
        let tail = last_lines(&job.output(), 10);
        if let Some((failure, detail)) = failure_of(&outcome) {
            let output = (failure != Failure::NotStarted).then_some(output).flatten();
            let event = failed_after(at, failure, detail, tail, output, took_ms);
            return self.stage(&event);
        }
        let work = match self.work(at) {
            Ok(work) => work,
            Err(why) => {
                return self.stage(&failed_after(
                    at,
                    Failure::Evidence,
                    why,
                    tail,
                    output,
                    took_ms,
                ));
            }
        };
        let observed = match at.part.way {
            Way::Do => part.observed.clone(),
            Way::Undo => self
                .state()?
                .unit(&at.part)
                .map(|u| u.forward.observed.clone())
                .unwrap_or_default(),
        };
        let Some(look) = self.look(move || work.verify(&observed)).await? else {
            return Ok(());
        };
        if look.answer != Answer::Done {
            let why = format!("the evidence disagrees: {}", look.evidence.join("; "));
            return self.stage(&failed_after(
                at,
                Failure::Evidence,
                why,
                tail,
                output,
                took_ms,
            ));
        }
        let facts = match self.facts(at, job) {
            Ok(facts) => facts,
            Err(why) => {
                return self.stage(&failed_after(
                    at,
                    Failure::Evidence,
                    why,
                    tail,
                    output,
                    took_ms,
                ));
            }
        };
        self.stage(&Event::StepSucceeded(Succeeded {
            at: at.clone(),
            evidence: look.evidence,
            facts,
            output,
            took_ms,
        }))
    }

    fn facts(&self, at: &Attempt, job: &JobDir) -> Result<Vec<Pair>, String> {
        if at.part.way == Way::Undo {
            return Ok(Vec::new());
        }
        let state = self.state().map_err(|e| e.to_string())?;
        let wanted = state.plan.step(&at.part.step).map_or(&[][..], |s| &s.facts);
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let output = std::fs::read_to_string(job.output())
            .map_err(|e| format!("the output cannot be read: {e}"))?;
        wanted
            .iter()
            .map(|f| {
                parts::fact(&output, &f.json)
                    .map(|value| Pair {
                        key: f.name.clone(),
                        value,
                    })
                    .map_err(|e| format!("the fact {}: {e}", f.name))
            })
            .collect()
    }

    /// Looks at what an attempt in doubt left.
    async fn probe(&mut self, at: &Attempt) -> Result<(), RunnerError> {
        let part = self.part(at)?;
        let observed = match at.part.way {
            Way::Do => part.observed.clone(),
            Way::Undo => self
                .state()?
                .unit(&at.part)
                .map(|u| u.forward.observed.clone())
                .unwrap_or_default(),
        };
        let look = match self.work(at) {
            Ok(work) => self.look(move || work.probe(&observed)).await?,
            Err(why) => Some(crate::actions::Look::unclear(why)),
        };
        let Some(look) = look else { return Ok(()) };
        self.stage(&Event::StepProbed(Probed {
            at: at.clone(),
            answer: look.answer,
            evidence: look.evidence,
        }))
    }
}

/// How a bad end is called; none for exit 0.
fn failure_of(outcome: &Outcome) -> Option<(Failure, String)> {
    match (&outcome.killed, &outcome.ended) {
        (_, Exit::NotExecuted { message, .. }) => Some((Failure::NotStarted, message.clone())),
        (Some(Killed::Timeout), _) => Some((
            Failure::Timeout,
            "its time limit passed; it was killed".into(),
        )),
        (Some(Killed::Request(why)), _) => {
            Some((Failure::Killed, format!("it was killed on request: {why}")))
        }
        (None, Exit::Signaled(n)) => Some((Failure::Signal(*n), format!("signal {n} ended it"))),
        (None, Exit::Exited(0)) => None,
        (None, Exit::Exited(code)) => Some((
            Failure::Exit(*code),
            format!("it ended with exit code {code}"),
        )),
    }
}

fn failed(
    at: &Attempt,
    failure: Failure,
    detail: String,
    tail: Vec<String>,
    took_ms: Option<u64>,
) -> Event {
    failed_after(at, failure, detail, tail, None, took_ms)
}

fn failed_after(
    at: &Attempt,
    failure: Failure,
    detail: String,
    tail: Vec<String>,
    output: Option<Output>,
    took_ms: Option<u64>,
) -> Event {
    Event::StepFailed(Failed {
        at: at.clone(),
        failure,
        detail,
        tail,
        output,
        took_ms,
    })
}
