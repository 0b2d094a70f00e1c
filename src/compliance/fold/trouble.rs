//! What went wrong, who decided what about it, and how the run went back: block H.

use super::{World, time};
use crate::compliance::Report;
use crate::compliance::blocks::{DoubtRow, FailureRow};
use crate::compliance::fact::{Fact, Seqs, Time, Word};
use crate::journal::Entry;
use crate::report::{localized, status};
use crate::text::compliance as text;
use crate::timeline::{Bar, Outcome, Timeline, by_program};
use std::collections::BTreeMap;
use upledger_replay::event::{Answer, Decision, Direction, Event, Failure, TaskKey};
use upledger_replay::state::{Task, TaskState};

#[derive(Default)]
pub(super) struct Trouble {
    failures: Vec<FailureRow>,
    failed: Vec<u64>,
    doubts: Vec<DoubtRow>,
    doubted: Vec<u64>,
    /// The last doubt about a part.
    of_part: BTreeMap<TaskKey, usize>,
    /// The attempt that has not ended.
    open: Option<(TaskKey, u64)>,
    interrupted: Vec<(String, Seqs)>,
    decided: Vec<u64>,
    skipped: Vec<(String, Seqs)>,
    deciders: Vec<(String, Seqs)>,
    killed: Vec<u64>,
    escalated: Vec<u64>,
    rollbacks: Vec<u64>,
    amended: Vec<u64>,
    /// The last rollback.
    started_at: Fact<Time>,
    by: Fact<String>,
    reason: Fact<String>,
    to: Fact<String>,
    completed_at: Fact<Time>,
    loss: Vec<(String, Seqs)>,
}

fn detector(failure: &Failure, part: &TaskKey, world: &World<'_>) -> Word {
    let plain = ["run", "shell"].contains(&world.kind(part).as_str());
    let (stable, shown) = match failure {
        // Other actions are commands of this program, whose exit codes nobody has to know.
        Failure::Exit(_) if !plain && world.is_check(part) => ("check", text::by_check()),
        Failure::Exit(_) if !plain => ("action", text::by_action()),
        Failure::Exit(_) => ("exit code", text::by_exit_code()),
        Failure::Signal(_) => ("signal", text::by_signal()),
        Failure::Timeout => ("time limit", text::by_time_limit()),
        Failure::Killed => ("operator", text::by_operator()),
        Failure::NotStarted => ("start", text::by_start()),
        Failure::Evidence => ("evidence", text::by_evidence()),
    };
    Word::new(stable, shown)
}

fn answer(answer: Answer) -> Word {
    let (stable, shown) = match answer {
        Answer::Done => ("done", text::answer_done()),
        Answer::Nothing => ("nothing", text::answer_nothing()),
        Answer::Unclear => ("unclear", text::answer_unclear()),
    };
    Word::new(stable, shown)
}

fn decided(decision: Decision) -> String {
    match decision {
        Decision::Done => text::decided_done(),
        Decision::Retry => text::decided_retry(),
        Decision::Skip => text::decided_skip(),
        Decision::Fail => text::decided_fail(),
    }
}

impl Trouble {
    pub(super) fn event(&mut self, entry: &Entry, world: &World<'_>) {
        let seq = entry.when.seq;
        match &entry.event {
            Event::StepStarted(s) => self.open = Some((s.at.part.clone(), seq)),
            Event::StepSucceeded(_)
            | Event::StepFailed(_)
            | Event::StepFenced(_)
            | Event::StepDoubted(_) => self.open = None,
            Event::RunResumed(_) => {
                let step = self.open.as_ref().map(|(part, _)| world.name(part));
                self.interrupted.extend(step.map(|s| (s, Seqs::one(seq))));
            }
            _ => {}
        }
        match &entry.event {
            Event::StepFailed(f) => {
                self.failed.push(seq);
                self.failures.push(FailureRow {
                    time: time(&entry.when),
                    step: world.name(&f.at.part),
                    detector: detector(&f.failure, &f.at.part, world),
                    detail: localized::failure(f),
                    attempt: f.at.attempt.into(),
                    seq: Seqs::one(seq),
                });
            }
            Event::StepRefused(r) => {
                self.failed.push(seq);
                self.failures.push(FailureRow {
                    time: time(&entry.when),
                    step: world.name(&r.part),
                    detector: Word::new("look before", text::by_look_before()),
                    detail: r.detail.clone(),
                    attempt: 0,
                    seq: Seqs::one(seq),
                });
            }
            Event::StepDoubted(d) => {
                self.doubted.push(seq);
                self.of_part.insert(d.at.part.clone(), self.doubts.len());
                self.doubts.push(DoubtRow {
                    time: time(&entry.when),
                    step: world.name(&d.at.part),
                    cause: localized::doubt(d.doubt, &d.cause),
                    probed: None,
                    decision: None,
                    decided_by: None,
                    seq: Seqs::one(seq),
                });
            }
            Event::StepProbed(p) => {
                if let Some(row) = self.doubt(&p.at.part) {
                    row.probed = Some(answer(p.answer));
                    row.seq.add(seq);
                }
            }
            Event::StepDecided(d) => {
                self.decided.push(seq);
                self.deciders.push((entry.actor.clone(), Seqs::one(seq)));
                if d.decision == Decision::Skip && d.part.way == Direction::Do {
                    let words = [d.part.step.as_str(), d.reason.as_str()];
                    self.skipped
                        .push((crate::text::causes(&words), Seqs::one(seq)));
                }
                let word = status::decision_word(d.decision);
                if let Some(row) = self.doubt(&d.part) {
                    row.decision = Some(Word::new(word, decided(d.decision)));
                    row.decided_by = Some(entry.actor.clone());
                    row.seq.add(seq);
                }
            }
            // Another attempt is another story.
            Event::StepStarted(s) => {
                self.of_part.remove(&s.at.part);
            }
            Event::KillRequested(_) => self.killed.push(seq),
            Event::StepEscalated(_) => self.escalated.push(seq),
            Event::RunAmended(_) => self.amended.push(seq),
            Event::RollbackStarted(r) => {
                self.rollbacks.push(seq);
                self.started_at = Fact::said(time(&entry.when), Seqs::one(seq));
                let by = match by_program(&entry.event, &world.run.plan) {
                    true => text::by_the_plan(),
                    false => entry.actor.clone(),
                };
                self.by = Fact::said(by, Seqs::one(seq));
                self.reason = Fact::said(localized::reason(&r.reason), Seqs::one(seq));
                self.to = Fact::said_by(r.to.clone(), seq);
                self.completed_at = Fact::default();
                if r.accept_data_loss {
                    let who = text::accepted_by_actor(&entry.actor, &r.reason);
                    self.loss.push((who, Seqs::one(seq)));
                }
            }
            Event::RollbackCompleted(_) => {
                self.completed_at = Fact::said(time(&entry.when), Seqs::one(seq));
            }
            _ => {}
        }
    }

    fn doubt(&mut self, part: &TaskKey) -> Option<&mut DoubtRow> {
        let at = self.of_part.get(part)?;
        self.doubts.get_mut(*at)
    }

    pub(super) fn close(mut self, report: &mut Report, world: &World<'_>, timeline: &Timeline) {
        let all = &world.all;
        let run = world.run;
        let of = &mut report.failure;
        of.failures = Fact::count(&self.failed, all);
        if let Some(first) = self.failures.first() {
            of.first_failure_at = Fact::said(first.time.clone(), first.seq.clone());
        }
        let detectors = self.failures.iter();
        let detectors = detectors.map(|f| (f.detector.shown.clone(), f.seq.clone()));
        of.detectors = Fact::list_within(detectors, all);
        of.doubts = Fact::count(&self.doubted, all);
        // Nobody has resumed it yet.
        if let Some((part, seq)) = self.open.take().filter(|_| timeline.deserted) {
            self.interrupted.push((world.name(&part), Seqs::one(seq)));
        }
        let stops = self.interrupted.iter().map(|(_, seqs)| seqs);
        let stops = stops.fold(Seqs::default(), |mut all, one| {
            all.join(one);
            all
        });
        report.execution.uninterrupted = match self.interrupted.is_empty() {
            true => Fact::said(true, all.clone()),
            false => Fact::said(false, stops),
        };
        of.interrupted = Fact::list_within(self.interrupted, all);
        of.decisions = Fact::count(&self.decided, all);
        of.deciders = Fact::list_within(self.deciders, all);
        of.kills = Fact::count(&self.killed, all);
        of.escalations = Fact::count(&self.escalated, all);
        of.rollbacks = Fact::count(&self.rollbacks, all);
        of.amendments = Fact::count(&self.amended, all);
        of.rollback_started_at = self.started_at;
        of.rollback_by = self.by;
        of.rollback_reason = self.reason;
        of.rollback_to = self.to;
        of.rollback_completed_at = self.completed_at;
        of.data_loss_accepted = Fact::list_within(self.loss, all);
        let undos = timeline.bars.iter().filter(|b| b.way == Direction::Undo);
        let undos = undos.filter(|b| !world.is_check(&key(b)));
        let ended = |b: &&Bar| b.end.as_ref().map(|end| end.seq);
        let undone = undos.clone().filter(|b| b.outcome == Outcome::Succeeded);
        let undone: Vec<u64> = undone.filter_map(|b| ended(&b)).collect();
        of.undone = Fact::count(&undone, all);
        of.not_undone = Fact::list_within(run.passed_over().map(|u| because(u, &u.backward)), all);
        of.skipped_by_decision = Fact::list_within(self.skipped, all);
        // The last moment at which something was wrong, or was still being put back.
        let last = self.failed.iter().chain(&self.doubted).copied();
        let last = last.chain(undos.filter_map(|b| ended(&b))).max();
        if let Some(last) = last {
            let held = timeline.bars.iter().filter(|b| {
                world.is_check(&key(b))
                    && matches!(b.outcome, Outcome::Succeeded | Outcome::Satisfied)
            });
            let held = held.filter_map(|b| Some((world.name(&key(b)), b.end.as_ref()?.seq)));
            let after = held.filter(|(_, seq)| *seq > last);
            let after = after.map(|(step, seq)| (step, Seqs::one(seq)));
            of.state_confirmed = Fact::list_within(after, all);
        } else {
            of.state_confirmed = Fact::not_applicable();
        }
        if self.failures.is_empty() {
            of.first_failure_at = Fact::not_applicable();
        }
        if self.rollbacks.is_empty() {
            of.rollback_started_at = Fact::not_applicable();
            of.rollback_by = Fact::not_applicable();
            of.rollback_reason = Fact::not_applicable();
            of.rollback_completed_at = Fact::not_applicable();
            of.not_undone = Fact::not_applicable();
            of.data_loss_accepted = Fact::not_applicable();
        }
        if of.rollback_to.value.is_none() {
            // It went back over everything, or there was none.
            of.rollback_to = Fact::not_applicable();
        }
        of.failed_steps = self.failures;
        of.doubted_steps = self.doubts;
    }
}

/// A step, and the reason that a person gave for it.
fn because(unit: &Task, part: &TaskState) -> (String, Seqs) {
    let words = match part.detail.as_str() {
        "" => unit.step.clone(),
        why => crate::text::causes(&[unit.step.as_str(), why]),
    };
    (words, Seqs::one(part.ended_at.seq))
}

fn key(bar: &Bar) -> TaskKey {
    TaskKey {
        step: bar.step.clone(),
        target: bar.target.clone(),
        way: bar.way,
    }
}
