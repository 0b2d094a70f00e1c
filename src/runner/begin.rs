//! The beginning of an attempt: look, intent, job directory, supervisor.

use super::settle::failed;
use super::{Runner, RunnerError};
use crate::attempt::job::JobDir;
use crate::attempt::launch::{Launched, launch};
use crate::attempt::spec::{Command, Frame, Spec, VERSION, digest};
use crate::home::random_hex;
use crate::runner::parts::Work;
use serde_json::Value;
use std::time::Duration;
use upledger_replay::book::way_word;
use upledger_replay::decide::Start;
use upledger_replay::event::{Answer, Attempt, Event, Failure, Satisfied, Started, Way};
use upledger_replay::plan::Undo;
use upledger_replay::state::PartState;
use upledger_replay::verdict::Token;

/// Between TERM and KILL.
const GRACE_MS: u64 = 10_000;
/// Stored output of one attempt, from its start.
const OUTPUT_LIMIT: u64 = 64 << 20;

impl Runner<'_> {
    pub(super) async fn start(&mut self, start: &Start) -> Result<(), RunnerError> {
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
            boot: crate::clock::boot_id(),
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

    pub(super) fn job_name(&self, at: &Attempt) -> Result<String, RunnerError> {
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
}
