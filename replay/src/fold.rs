//! The fold: events in, the run's state out. Which event is possible, and how its part stands then, says the table in
//! `transition`; here is what else an event leaves behind.
//!
//! Invariants: a refused event changes nothing; an event changes one unit at most; a prefix and its rest fold as the whole;
//! a decision replaces the one before it about the same question, as if that had not been made, as long as nothing has
//! come between them that follows from it.

use crate::event::{CONTRACT, Decided, Decision, Direction, Event, Started};
use crate::facts;
use crate::plan::Pair;
use crate::state::{Decidable, Ended, Refused, Run, Status, Task, TaskState, When};
use crate::transition::{Becomes, Left};
use alloc::boxed::Box;
use alloc::string::String;
use serde_json::Value;

impl Run {
    /// Folds one event.
    ///
    /// # Errors
    /// [`Refused`] when the state does not allow it; nothing has changed then.
    pub fn apply(&mut self, event: &Event, when: &When) -> Result<(), Refused> {
        let becomes = self.allowed(event)?;
        if let Event::StepDecided(decided) = event {
            self.as_asked(event, decided);
        } else if !event.leaves_decision() {
            self.decided = None;
            self.amended_last = matches!(event, Event::RunAmended(_));
        }
        self.steer(event);
        if let Some(part) = event.part()
            && let Some(place) = self.place(part)
        {
            // A run that an earlier program began is folded as that program folded it: its later events follow from that.
            let undo_anew = self.contract == CONTRACT;
            self.let_in(event, becomes.status, when);
            // A check at the end of a rollback reverses nothing of its own step.
            let check = self.is_check(part);
            self.change(place, |unit| {
                let forward = check.then(|| unit.clone());
                unit.stand(part.way, becomes);
                unit.keep(event, when, undo_anew);
                if let Some(was) = forward {
                    unit.forward = was.forward;
                    unit.produced = was.produced;
                    unit.facts = was.facts;
                }
            });
        }
        self.last = when.clone();
        Ok(())
    }

    /// Takes back a decision that this one replaces, and keeps the unit as it is without both.
    fn as_asked(&mut self, event: &Event, decided: &Decided) {
        let Some((place, unit)) = self.subject(event) else {
            return;
        };
        let unit = unit.clone();
        self.put(place, unit.clone());
        self.decided = Some(Box::new(Decidable {
            way: decided.part.way,
            unit,
            decision: decided.decision,
        }));
    }

    /// What is not about units.
    fn steer(&mut self, event: &Event) {
        match event {
            Event::RunResumed(_) => {
                self.pause = None;
                self.held = false;
            }
            Event::RunAmended(amended) => self.amend(amended),
            Event::PauseRequested(r) => self.pause = Some(r.reason.clone()),
            Event::AbortRequested(r) => self.abort = Some(r.reason.clone()),
            Event::RunAborted(_) => {
                self.abort = None;
                self.ended = Some(Ended::Aborted);
            }
            Event::RunCompleted(_) => self.ended = Some(Ended::Completed),
            Event::RollbackStarted(r) => {
                self.way = Direction::Undo;
                self.rollback_to.clone_from(&r.to);
                self.rollback_reason.clone_from(&r.reason);
                self.pause = None;
                self.abort = None;
                self.held = false;
                self.looks_again = r.looks_again;
                self.ended = None;
                if r.accept_data_loss {
                    self.accepted = self.openings.len();
                }
                self.check_anew();
            }
            Event::RollbackCompleted(_) => {
                self.way = Direction::Do;
                if self.rollback_to.is_some() {
                    self.held = true;
                    if self.looks_again {
                        self.look_again();
                    }
                } else {
                    self.ended = Some(Ended::RolledBack);
                }
            }
            Event::LedgerCreated(_)
            | Event::SessionOpened(_)
            | Event::LedgerRestored(_)
            | Event::RunPlanned(_)
            | Event::NoteAdded(_)
            | Event::StepStarted(_)
            | Event::StepNoted(_)
            | Event::StepRefused(_)
            | Event::StepSatisfied(_)
            | Event::StepSkipped(_)
            | Event::StepSucceeded(_)
            | Event::StepFailed(_)
            | Event::StepFenced(_)
            | Event::StepAdopted(_)
            | Event::StepDoubted(_)
            | Event::StepProbed(_)
            | Event::StepDecided(_)
            | Event::KillRequested(_)
            | Event::StepEscalated(_) => {}
        }
    }
}

impl TaskState {
    fn stand(&mut self, becomes: Becomes) {
        self.status = becomes.status.unwrap_or(self.status);
        match becomes.left {
            Some(Left::Something) => {
                self.touched_before = self.touched;
                self.touched = true;
            }
            Some(Left::AsBefore) => self.touched = self.touched_before,
            None => {}
        }
    }

    /// What is told of the last outcome.
    fn over(&mut self, detail: &str, tail: &[String], took_ms: Option<u64>, when: &When) {
        self.detail = detail.into();
        self.tail = tail.to_vec();
        self.took_ms = took_ms;
        self.ended_at = when.clone();
    }

    fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    fn lost(&mut self) {
        self.losses = self.losses.saturating_add(1);
    }
}

impl Task {
    fn stand(&mut self, way: Direction, becomes: Becomes) {
        self.part_mut(way).stand(becomes);
        if way == Direction::Do
            && becomes.left == Some(Left::AsBefore)
            && let Some(undo) = self.backward_before.take()
            && undo.attempts == self.backward.attempts
        {
            // Nothing was done again: what is known of the undo still counts.
            self.backward = *undo;
        }
    }

    /// What an event leaves behind in the unit that it is about, beside how its part stands.
    fn keep(&mut self, event: &Event, when: &When, undo_anew: bool) {
        let Some(way) = event.part().map(|part| part.way) else {
            return;
        };
        let part = self.part_mut(way);
        match event {
            Event::StepStarted(s) => self.started(s, when, undo_anew),
            Event::StepRefused(r) => {
                part.failed();
                part.failed = None;
                part.refused = true;
                part.over(&r.detail, &[], None, when);
            }
            Event::StepSatisfied(s) => {
                part.evidence.clone_from(&s.evidence);
                part.over("", &[], None, when);
                self.done(way, s.produced.as_ref(), &[]);
            }
            Event::StepSkipped(s) => part.over(&s.reason, &[], None, when),
            Event::StepSucceeded(s) => {
                part.failures = 0;
                part.losses = 0;
                part.evidence.clone_from(&s.evidence);
                part.over("", &[], s.took_ms, when);
                self.done(way, s.produced.as_ref(), &s.facts);
            }
            Event::StepFailed(f) => {
                part.failed();
                part.failed = Some(Box::new(f.clone()));
                part.over(&f.detail, &f.tail, f.took_ms, when);
            }
            Event::StepFenced(_) => {
                part.lost();
                part.ended_at = when.clone();
            }
            Event::StepDoubted(d) => {
                part.lost();
                part.doubt = Some(d.doubt);
                part.answer = None;
                part.over(&d.cause, &d.tail, None, when);
            }
            Event::StepProbed(p) => {
                part.answer = Some(p.answer);
                part.evidence.clone_from(&p.evidence);
                part.ended_at = when.clone();
                if part.status == Status::Succeeded {
                    self.done(way, p.produced.as_ref(), &[]);
                }
            }
            Event::StepDecided(d) => self.decided(d, when, undo_anew),
            Event::KillRequested(k) => part.kill = Some(k.reason.clone()),
            Event::StepEscalated(_) => part.imported = part.imported.saturating_add(1),
            Event::StepNoted(n) => {
                part.imported = part.imported.saturating_add(1);
                self.notes.push(n.clone());
            }
            Event::StepAdopted(_)
            | Event::LedgerCreated(_)
            | Event::SessionOpened(_)
            | Event::LedgerRestored(_)
            | Event::RunPlanned(_)
            | Event::RunAmended(_)
            | Event::RunResumed(_)
            | Event::PauseRequested(_)
            | Event::AbortRequested(_)
            | Event::RunAborted(_)
            | Event::RunCompleted(_)
            | Event::RollbackStarted(_)
            | Event::RollbackCompleted(_)
            | Event::NoteAdded(_) => {}
        }
    }

    fn started(&mut self, s: &Started, when: &When, undo_anew: bool) {
        let part = self.part_mut(s.at.part.way);
        // Nothing of it was there.
        let fresh = !part.touched_before;
        // Of one that an amendment has defined anew nothing is known.
        if fresh || part.observed.is_null() {
            part.observed.clone_from(&s.observed);
        }
        part.attempts = s.at.attempt;
        part.started = Some(Box::new(s.clone()));
        part.started_at = when.clone();
        part.doubt = None;
        part.answer = None;
        part.kill = None;
        part.imported = 0;
        part.failed = None;
        part.refused = false;
        part.took_ms = None;
        if s.at.part.way == Direction::Undo {
            return;
        }
        self.produced = None;
        self.facts.clear();
        if fresh {
            // What was noted before belongs to a step that is as before the run again.
            self.notes.clear();
            self.inputs.clone_from(&s.inputs);
        }
        if undo_anew {
            let undo = &self.backward;
            let there = undo.attempts > 0 || undo.status != Status::Pending;
            self.backward_before = there.then(|| Box::new(undo.clone()));
            self.await_undo();
        } else {
            self.backward.status = Status::Pending;
            self.backward.touched = false;
        }
    }

    /// What is done again has to be undone again, and its undo is not held back by what became of an earlier one. Attempt
    /// numbers go on.
    pub(crate) fn await_undo(&mut self) {
        self.backward.status = Status::Pending;
        self.backward.touched = false;
        self.backward.failures = 0;
        self.backward.losses = 0;
    }

    fn decided(&mut self, d: &Decided, when: &When, undo_anew: bool) {
        let part = self.part_mut(d.part.way);
        part.losses = 0;
        part.refused = false;
        part.detail.clone_from(&d.reason);
        part.evidence.clone_from(&d.evidence);
        part.ended_at = when.clone();
        match d.decision {
            Decision::Done => {
                if d.part.way == Direction::Do && undo_anew {
                    self.backward_before = None;
                    self.await_undo();
                }
                self.done(d.part.way, d.produced.as_ref(), &[]);
            }
            Decision::Retry => {
                part.failures = 0;
                part.kill = None;
            }
            Decision::Skip => {}
            // No retry is left.
            Decision::Fail => part.failures = u32::MAX,
        }
    }

    /// A step that is done hands on what it produced; when its undo is done, it is as it was before the run.
    fn done(&mut self, way: Direction, produced: Option<&Value>, facts: &[Pair]) {
        match way {
            Direction::Do => {
                self.produced = produced.cloned();
                self.facts = produced.map(facts::of_product).unwrap_or_default();
                self.facts.extend_from_slice(facts);
            }
            Direction::Undo => {
                self.produced = None;
                self.facts.clear();
                self.forward.status = Status::Undone;
                self.forward.touched = false;
                self.forward.touched_before = false;
                self.forward.failures = 0;
                self.forward.losses = 0;
            }
        }
    }
}
