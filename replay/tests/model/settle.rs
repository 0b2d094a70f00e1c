//! The end of an attempt, as a runner brings it about: what its job directory means, and what is recorded of it.

use super::runner::{Doing, Runner, Turn};
use super::world::{Outcome, World};
use upledger_replay::attempt::{ORPHAN_MS, Orphan, fenced, kill_overdue, orphan, unsaid};
use upledger_replay::decide::{Resolution, resolution};
use upledger_replay::event::*;
use upledger_replay::verdict::verdict;

impl Runner {
    /// Brings an open attempt to an outcome, or to where it is waited for.
    pub(super) fn resolve(&mut self, w: &mut World, at: &Attempt) -> Result<(), String> {
        let job = w.job_of(&self.run, at);
        let facts = job.and_then(|job| w.jobs[job].facts());
        let verdict = verdict(facts);
        w.saw(format!("verdict {verdict:?}"));
        let resolution = resolution(verdict);
        let Some(job) = job else {
            return Err(format!("an intent without a directory: {at:?}"));
        };
        w.jobs[job].seen_as = w.jobs[job].dir;
        w.jobs[job].seen_held = !w.jobs[job].quiet();
        match resolution {
            Resolution::Lost => self.doubt(w, None, at, Doubt::Lost),
            Resolution::Fenced => {
                let part = self.run.part(&at.part).ok_or("the part is there")?;
                let event = fenced(at, part);
                self.stage(w, event)
            }
            Resolution::Adopt => {
                if self.ours.as_ref() != Some(at) {
                    self.stage(w, Event::StepAdopted(at.clone()))?;
                    self.ours = Some(at.clone());
                    if !self.commit(w)? {
                        return Ok(());
                    }
                }
                self.doing = Doing::Following(job);
                Ok(())
            }
            Resolution::Import => {
                let Some(outcome) = w.jobs[job].result else {
                    return self.doubt(w, Some(job), at, Doubt::Lost);
                };
                self.import_spool(w, job)?;
                if let Some((failure, _)) = outcome.ending.failure() {
                    return self.failed(w, job, outcome, failure);
                }
                if !w.jobs[job].produced {
                    return self.doubt(w, Some(job), at, unsaid(outcome.left_behind));
                }
                self.doing = Doing::Importing(job, outcome);
                Ok(())
            }
            Resolution::AwaitFence => {
                self.doing = Doing::AwaitingFence(job);
                Ok(())
            }
            Resolution::AwaitTree => {
                self.doing = Doing::AwaitingTree(job, w.mono, false);
                Ok(())
            }
            Resolution::Unseen => self.doubt(w, Some(job), at, Doubt::Unseen),
        }
    }

    /// Stages what the action has written for the record and is not recorded yet.
    pub(super) fn import_spool(&mut self, w: &World, job: usize) -> Result<(), String> {
        let job = &w.jobs[job];
        let known = self.run.part(&job.at.part).map_or(0, |part| part.imported);
        for event in job.spool.iter().skip(known) {
            self.stage(w, event.clone())?;
        }
        Ok(())
    }

    pub(super) fn doubt(
        &mut self,
        w: &World,
        job: Option<usize>,
        at: &Attempt,
        doubt: Doubt,
    ) -> Result<(), String> {
        if let Some(job) = job {
            self.import_spool(w, job)?;
        }
        let event = Event::StepDoubted(Doubted {
            at: at.clone(),
            doubt,
            cause: String::new(),
            tail: vec![],
        });
        self.stage(w, event)
    }

    fn failed(
        &mut self,
        w: &World,
        job: usize,
        outcome: Outcome,
        failure: Failure,
    ) -> Result<(), String> {
        let printed = (failure != Failure::NotStarted).then(|| printed(outcome));
        let event = Event::StepFailed(Failed {
            at: w.jobs[job].at.clone(),
            failure,
            detail: String::new(),
            tail: vec![],
            printed,
            output: None,
            took_ms: None,
            left_behind: outcome.left_behind,
        });
        self.stage(w, event)
    }

    /// Waits for processes that outlived their supervisor.
    pub(super) fn await_tree(
        &mut self,
        w: &mut World,
        job: usize,
        since: u64,
        killed: bool,
        turn: Turn,
    ) -> Result<(), String> {
        if w.jobs[job].quiet() {
            self.doing = Doing::Deciding;
            return Ok(());
        }
        if turn == Turn::Impatient {
            w.mono += (ORPHAN_MS + 1) * 1000;
        }
        self.hear(w)?;
        let at = w.jobs[job].at.clone();
        let part = self.run.part(&at.part).ok_or("the part is there")?;
        let waited = (w.mono - since) / 1000;
        let orphan = orphan(part, waited, killed, &w.now());
        w.saw(format!("orphan {orphan:?}"));
        match orphan {
            Orphan::Wait => Ok(()),
            Orphan::Overdue => {
                self.stage(w, kill_overdue(&at))?;
                self.commit(w)?;
                Ok(())
            }
            Orphan::Kill => {
                // A process that hangs in the kernel does not hear it.
                if turn == Turn::Well {
                    w.jobs[job].kill_all();
                }
                self.doing = Doing::AwaitingTree(job, w.mono, true);
                Ok(())
            }
            Orphan::GiveUp => {
                self.doing = Doing::Deciding;
                self.doubt(w, Some(job), &at, Doubt::Alive)
            }
        }
    }

    /// The look at the evidence, and the outcome.
    pub(super) fn import(
        &mut self,
        w: &mut World,
        job: usize,
        outcome: Outcome,
        turn: Turn,
    ) -> Result<(), String> {
        if turn == Turn::Slow {
            if !self.commit(w)? {
                self.doing = Doing::Deciding;
            }
            return Ok(());
        }
        self.doing = Doing::Deciding;
        let (place, at) = (w.jobs[job].place, w.jobs[job].at.clone());
        let answer = match turn {
            Turn::Unclear => Answer::Unclear,
            _ if w.says(&at.part).look => w.truth(place, at.part.way),
            // The exit code is all the evidence that there is.
            _ => Answer::Done,
        };
        w.jobs[job].looked = Some(answer);
        if answer != Answer::Done {
            return self.failed(w, job, outcome, Failure::Evidence);
        }
        let alive = outcome.left_behind.then(|| "alive".to_owned());
        let event = Event::StepSucceeded(Succeeded {
            at,
            evidence: alive.into_iter().collect(),
            facts: vec![],
            produced: None,
            printed: Some(printed(outcome)),
            output: None,
            took_ms: None,
        });
        self.stage(w, event)
    }
}

fn printed(outcome: Outcome) -> Printed {
    Printed {
        sha256: String::new(),
        len: 0,
        dropped: outcome.dropped,
    }
}
