//! The end of an attempt: what became of it, by its job directory, its evidence and, in doubt, its probe.

use super::facts;
use super::{Runner, RunnerError};
use crate::attempt::job::JobDir;
use crate::attempt::output::{Follower, last_lines};
use crate::attempt::slot::{Ended as Exit, Killed, Outcome};
use crate::attempt::spec::Command;
use crate::redact::Redactor;
use std::time::Duration;
use upledger_replay::decide::{self, Resolution};
use upledger_replay::event::{
    Answer, Attempt, Doubted, Event, Failed, Failure, Output, Probed, Succeeded, Way,
};
use upledger_replay::plan::Pair;
use upledger_replay::state::PartState;
use upledger_replay::verdict::verdict;

/// How often a running step looks for events of others.
const GLANCE: Duration = Duration::from_secs(1);
/// How long an orphan without a time limit is waited for.
const ORPHAN: Duration = Duration::from_secs(3600);

impl Runner<'_> {
    /// Brings an open attempt to an outcome.
    pub(super) async fn resolve(&mut self, at: &Attempt) -> Result<(), RunnerError> {
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
        if let Some((failure, mut detail)) = failure_of(&outcome) {
            // An action of ours ends with the reason; the code of its process says nothing to anybody.
            if matches!(failure, Failure::Exit(_))
                && self.work(at).is_ok_and(|w| w.command() == Command::Act)
                && let Some(reason) = tail.last()
            {
                detail.clone_from(reason);
            }
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
        let output =
            std::fs::read(job.output()).map_err(|e| format!("the output cannot be read: {e}"))?;
        let redactor = Redactor::new(&self.secrets).map_err(|e| e.to_string())?;
        facts::read(&output, wanted, &state.plan.secrets, &redactor)
    }

    /// Looks at what an attempt in doubt left.
    pub(super) async fn probe(&mut self, at: &Attempt) -> Result<(), RunnerError> {
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

pub(super) fn failed(
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
