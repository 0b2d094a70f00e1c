//! Starts an attempt: observation, intent, job directory, supervisor.

use super::settle::never_started;
use super::{GLANCE, Runner, RunnerError};
use crate::action::{Blob, Look, RawPast};
use crate::attempt::job::JobDir;
use crate::attempt::launch::{Launched, launch};
use crate::attempt::output::last_lines;
use crate::attempt::spec::{Spec, SupervisorInput, VERSION, digest};
use crate::clock;
use crate::failpoint;
use crate::home::random_hex;
use crate::site::task::PreparedTask;
use serde_json::Value;
use std::time::Duration;
use upledger_replay::decide::{self, Next, Start};
use upledger_replay::event::{
    Answer, Attempt, Direction, Doubt, Doubted, Event, Refusal, Satisfied, Started,
};
use upledger_replay::plan::Undo;
use upledger_replay::runs::way_word;
use upledger_replay::verdict::{Lock, Token};

/// Between TERM and KILL.
const GRACE_MS: u64 = 10_000;
/// Stored output of one attempt, from its start.
const OUTPUT_LIMIT: u64 = 64 << 20;

/// What is known when a step is about to be started.
struct Looked {
    past: RawPast,
    /// Salts of kept content that the past names.
    blobs: Vec<Blob>,
    /// Those that the ledger does not know yet.
    kept: Vec<Blob>,
    /// Whether it is done already, and what it then has produced.
    probed: Option<(Look, Option<Value>)>,
}

impl Runner<'_> {
    pub(super) async fn start(&mut self, start: &Start) -> Result<(), RunnerError> {
        if let Some(until) = start.not_before
            && !self.pause_before(start, until).await?
        {
            return Ok(());
        }
        let at = &start.at;
        let before = self.part(at)?;
        let task = match self.task(at) {
            Ok(task) => task,
            Err(why) => return self.refuse(at, why),
        };
        // A retry and an undo use the first observation, made before anything changed; of a definition that is new by an
        // amendment there is none.
        let observed = before.touched && !before.observed.is_null();
        let known = (observed || task.own_undo())
            .then(|| self.past(at))
            .transpose()?;
        let fresh = start.fresh;
        let looked = self
            .look(task.deadline(), {
                let task = task.clone();
                move |moment| {
                    let (past, blobs, kept) = match known {
                        Some((past, blobs)) => (past, blobs, Vec::new()),
                        None => {
                            let seen = task.observe(moment)?;
                            let past = RawPast {
                                before: seen.before,
                                ..RawPast::default()
                            };
                            (past, seen.kept.clone(), seen.kept)
                        }
                    };
                    let probed =
                        (fresh && task.has_probe).then(|| task.probe(moment, &past, &blobs));
                    Ok(Looked {
                        past,
                        blobs,
                        kept,
                        probed,
                    })
                }
            })
            .await?;
        let looked = match looked {
            None => return Ok(()),
            Some(Ok(looked)) => looked,
            Some(Err(why)) => {
                return self.refuse(
                    at,
                    format!("cannot observe the state before the step: {why}"),
                );
            }
        };
        if let Some((look, produced)) = &looked.probed
            && look.answer == Answer::Done
            && (!before.touched || at.part.way == Direction::Undo)
        {
            return self.stage(&Event::StepSatisfied(Satisfied {
                part: at.part.clone(),
                evidence: look.evidence.clone(),
                produced: produced.clone().filter(|p| !p.is_null()),
            }));
        }
        self.act(start, &task, &looked).await
    }

    /// Waits before a retry while handling signals and events of other processes. `false`: another action comes next now.
    async fn pause_before(&mut self, start: &Start, until: u64) -> Result<bool, RunnerError> {
        if !self.commit()? {
            return Ok(false);
        }
        let left = until.saturating_sub(clock::boottime_us());
        let until = tokio::time::Instant::now() + Duration::from_micros(left);
        while tokio::time::Instant::now() < until {
            let glance = until.min(tokio::time::Instant::now() + GLANCE);
            tokio::select! {
                () = tokio::time::sleep_until(glance) => {}
                wish = self.signals.next() => self.wish(wish)?,
            }
            self.hear()?;
            if self.detach
                || decide::next(self.state()?, &clock::now()) != Next::Start(start.clone())
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The step is not started: it takes no attempt number and leaves nothing.
    fn refuse(&mut self, at: &Attempt, why: String) -> Result<(), RunnerError> {
        self.stage(&Event::StepRefused(Refusal {
            part: at.part.clone(),
            detail: why,
        }))
    }

    /// Intent, job directory, supervisor.
    async fn act(
        &mut self,
        start: &Start,
        task: &PreparedTask,
        looked: &Looked,
    ) -> Result<(), RunnerError> {
        let at = &start.at;
        let state = self.state()?;
        let Some(step) = state.step_named(&at.part.step) else {
            return self.refuse(at, "the plan has no such step".into());
        };
        let no_return =
            at.part.way == Direction::Do && matches!(step.undo, Undo::PointOfNoReturn(_));
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
            boot: clock::boot_id(),
            command: task.command(),
            cwd: task.cwd.clone(),
            env: task.env.clone(),
            timeout_ms: step.timeout_ms,
            grace_ms: GRACE_MS,
            output_limit: OUTPUT_LIMIT,
        };
        let text = spec
            .text()
            .map_err(|e| RunnerError::Io("cannot write the job's spec", e.into()))?;
        let act = JobDir::of(&self.home.jobs(), &spec)
            .map(|job| task.frame(&looked.past, &looked.blobs, job.spool()))?
            .map(|frame| serde_json::to_value(&frame))
            .transpose()
            .map_err(|e| RunnerError::Io("cannot write the action's frame", e.into()))?;
        let intent = Event::StepStarted(Started {
            at: at.clone(),
            nonce,
            spec: digest(&text),
            command: task.intent(&looked.past),
            // The built-in undo uses the observation of its step.
            observed: if task.own_undo() {
                Value::Null
            } else {
                looked.past.before.clone()
            },
            timeout_ms: step.timeout_ms,
            inputs: task.inputs.clone(),
        });
        if let Some(unknown) = self.unknown(at)? {
            return self.ask_about(at, intent, &unknown);
        }
        // Before the intent: an intent whose directory is missing is then a loss of evidence, never a proof that
        // nothing was started.
        let job = match JobDir::create(&self.home.jobs(), &spec) {
            Ok(job) => job,
            Err(e) => return self.refuse(at, chain(&e)),
        };
        failpoint::hit("job-made");
        self.stage(&intent)?;
        self.journal.attach(&looked.kept);
        if no_return {
            self.journal.checkpoint();
        }
        if !self.commit()? {
            // If left behind, it would be mistaken for an attempt that the ledger does not contain.
            job.discard()?;
            return Ok(());
        }
        self.ours = Some(at.clone());
        let frame = SupervisorInput {
            job: job.path().to_path_buf(),
            spec: digest(&text),
            secrets: self.secrets.clone(),
            env: task.from_files.clone(),
            act,
        };
        match launch(&frame).await {
            // Either way the job directory has the result; the loop returns to it.
            Ok(Launched::Started | Launched::ExecFailed | Launched::Fenced | Launched::Died) => {
                Ok(())
            }
            Err(e) => self.fence(at, &job, &e),
        }
    }

    /// The directory of an attempt that was started but is not in this ledger: the ledger is an older copy.
    fn unknown(&self, at: &Attempt) -> Result<Option<JobDir>, RunnerError> {
        let stem = JobDir::stem(
            &self.run,
            &at.part.step,
            &at.part.target,
            way_word(at.part.way),
        );
        for job in self.found.later(&self.home.jobs(), &stem, at.attempt)? {
            let facts = job.fence_and_inspect("")?;
            let held = facts.shim == Lock::Held || facts.tree == Lock::Held;
            if facts.token == Token::Started || held {
                return Ok(Some(job));
            }
            // A runner died between creating this directory and recording the intent, or has not recorded it yet. It is
            // fenced now, and stays so: without its directory there would be no fence.
        }
        Ok(None)
    }

    /// Records an unknown attempt as one that may still run: only an operator can decide.
    fn ask_about(
        &mut self,
        at: &Attempt,
        intent: Event,
        unknown: &JobDir,
    ) -> Result<(), RunnerError> {
        self.stage(&intent)?;
        let name = unknown.path().file_name().unwrap_or_default();
        self.stage(&Event::StepDoubted(Doubted {
            at: at.clone(),
            doubt: Doubt::Lost,
            cause: format!(
                "an attempt that this ledger does not contain was started, in {}",
                name.display()
            ),
            tail: last_lines(&unknown.output(), 5),
        }))
    }

    fn fence(
        &mut self,
        at: &Attempt,
        job: &JobDir,
        why: &dyn std::error::Error,
    ) -> Result<(), RunnerError> {
        if job.fence()? == Token::Fenced {
            self.stage(&never_started(at, chain(why)))?;
        }
        Ok(())
    }

    /// The directory of an attempt, where it is there.
    pub(super) fn job(&self, at: &Attempt) -> Result<Option<JobDir>, RunnerError> {
        let part = self.part(at)?;
        let nonce = part.started.map(|s| s.nonce).unwrap_or_default();
        let name = JobDir::name(
            &self.run,
            &at.part.step,
            &at.part.target,
            way_word(at.part.way),
            at.attempt,
            &nonce,
        );
        Ok(JobDir::open(&self.home.jobs(), &name)?)
    }
}

/// An error and its cause, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
