//! The fold: events in, the run's state out.
//!
//! Invariants: a refused event changes nothing; a prefix and its rest fold as the whole; a part has at most one open
//! attempt; attempt numbers never repeat; an attempt in doubt or failed is followed by another only as the plan or a
//! person allows; a decision replaces the one before it about the same question, as if that had not been made, as long as
//! nothing but notes has come between them.

use crate::event::{Answer, Attempt, Decision, Event, Failure, Part, Started, Way};
use crate::facts;
use crate::state::{Decidable, Ended, PartState, Refused, Run, Status, Unit, When};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use serde_json::Value;

fn refuse<T>(what: impl ToString, why: impl ToString) -> Result<T, Refused> {
    Err(Refused {
        what: what.to_string(),
        why: why.to_string(),
    })
}

impl Run {
    /// Folds one event.
    ///
    /// # Errors
    /// [`Refused`] when the state does not allow it; nothing has changed then.
    pub fn apply(&mut self, event: &Event, when: &When) -> Result<(), Refused> {
        self.fold(event, when)?;
        if let Some(place) = event.part().and_then(|part| self.place(part)) {
            self.change(place, |_| {});
        }
        Ok(())
    }

    fn fold(&mut self, event: &Event, when: &When) -> Result<(), Refused> {
        self.check_open(event)?;
        match event {
            Event::LedgerCreated(_) | Event::SessionOpened(_) | Event::LedgerRestored(_) => {
                return refuse("an event of the ledger", "it does not belong to a run");
            }
            Event::RunPlanned(_) => return refuse("run.planned", "the run is planned already"),
            Event::RunResumed(_) => {
                self.pause = None;
                self.held = false;
            }
            Event::PauseRequested(r) => self.pause = Some(r.reason.clone()),
            Event::AbortRequested(r) => self.abort = Some(r.reason.clone()),
            Event::RunAborted(_) => {
                self.none_open("run.aborted")?;
                self.none_may_run("run.aborted")?;
                self.abort = None;
                self.ended = Some(Ended::Aborted);
            }
            Event::RunCompleted(_) => {
                self.none_open("run.completed")?;
                if self.way == Way::Undo || self.unsettled().next().is_some() {
                    return refuse("run.completed", "a step is not settled");
                }
                self.ended = Some(Ended::Completed);
            }
            Event::RollbackStarted(r) => {
                if let Some(to) = &r.to
                    && self.step_named(to).is_none()
                {
                    return refuse("rollback.started", format!("the plan has no step {to}"));
                }
                self.none_may_run("rollback.started")?;
                self.way = Way::Undo;
                self.rollback_to.clone_from(&r.to);
                self.rollback_reason.clone_from(&r.reason);
                self.pause = None;
                self.abort = None;
                self.held = false;
                self.ended = None;
            }
            Event::RollbackCompleted(_) => {
                self.none_open("rollback.completed")?;
                if self.way == Way::Do || self.to_undo().next().is_some() {
                    return refuse("rollback.completed", "something is left to reverse");
                }
                self.way = Way::Do;
                if self.rollback_to.is_some() {
                    self.held = true;
                } else {
                    self.ended = Some(Ended::RolledBack);
                }
            }
            Event::StepStarted(s) => self.started(s, when)?,
            Event::StepSatisfied(s) => {
                let part = self.begin(&s.part, "step.satisfied")?;
                if part.touched && part.status != Status::Undone {
                    return refuse("step.satisfied", "this run may have done something of it");
                }
                part.status = Status::Satisfied;
                part.evidence.clone_from(&s.evidence);
                part.ended_at = when.clone();
                self.produced(&s.part, s.produced.as_ref());
                self.reversed(&s.part);
            }
            Event::StepRefused(r) => {
                let part = self.begin(&r.part, "step.refused")?;
                part.status = Status::Failed;
                part.failures = part.failures.saturating_add(1);
                part.detail.clone_from(&r.detail);
                part.tail.clear();
                part.took_ms = None;
                part.ended_at = when.clone();
            }
            Event::StepSkipped(s) => {
                let left_out = self
                    .step_named(&s.part.step)
                    .is_some_and(|p| p.left_out.is_some());
                let part = self.begin(&s.part, "step.skipped")?;
                if !left_out || !matches!(part.status, Status::Pending | Status::Undone) {
                    return refuse("step.skipped", "the plan does not leave it out");
                }
                part.status = Status::Skipped;
                part.detail.clone_from(&s.reason);
                part.ended_at = when.clone();
            }
            Event::StepSucceeded(s) => {
                let part = self.running(&s.at, "step.succeeded")?;
                part.status = Status::Succeeded;
                part.failures = 0;
                part.losses = 0;
                part.evidence.clone_from(&s.evidence);
                part.took_ms = s.took_ms;
                part.detail.clear();
                part.tail.clear();
                part.ended_at = when.clone();
                self.produced(&s.at.part, s.produced.as_ref());
                if s.at.part.way == Way::Do
                    && let Some(unit) = self.unit_mut(&s.at.part)
                {
                    unit.facts.extend_from_slice(&s.facts);
                }
                self.reversed(&s.at.part);
            }
            Event::StepFailed(f) => {
                let part = self.running(&f.at, "step.failed")?;
                part.status = Status::Failed;
                part.failures = part.failures.saturating_add(1);
                if f.failure == Failure::NotStarted {
                    part.touched = part.touched_before;
                }
                part.detail.clone_from(&f.detail);
                part.tail.clone_from(&f.tail);
                part.took_ms = f.took_ms;
                part.failed = Some(f.clone());
                part.ended_at = when.clone();
            }
            Event::StepFenced(at) => {
                let part = self.running(at, "step.fenced")?;
                part.status = Status::Ready;
                part.losses += 1;
                part.touched = part.touched_before;
                part.ended_at = when.clone();
            }
            Event::StepAdopted(at) => {
                self.running(at, "step.adopted")?;
            }
            Event::StepDoubted(d) => {
                let part = self.running(&d.at, "step.doubted")?;
                part.status = Status::InDoubt;
                part.losses += 1;
                part.doubt = Some(d.doubt);
                part.answer = None;
                part.detail.clone_from(&d.cause);
                part.tail.clone_from(&d.tail);
                part.ended_at = when.clone();
            }
            Event::StepProbed(p) => {
                let part = self.at(&p.at, "step.probed")?;
                if part.status != Status::InDoubt && part.status != Status::Failed {
                    return refuse("step.probed", "the attempt is neither in doubt nor failed");
                }
                if part.may_still_run() {
                    return refuse("step.probed", "it may still run");
                }
                part.answer = Some(p.answer);
                part.evidence.clone_from(&p.evidence);
                part.ended_at = when.clone();
                match p.answer {
                    Answer::Done => {
                        part.status = Status::Succeeded;
                        self.produced(&p.at.part, p.produced.as_ref());
                        self.reversed(&p.at.part);
                    }
                    Answer::Nothing => {
                        part.status = Status::Ready;
                        part.touched = part.touched_before;
                    }
                    Answer::Unclear => {}
                }
            }
            Event::StepDecided(d) => {
                self.decide(&d.part, d.decision)?;
                let reason = d.reason.clone();
                if let Some(part) = self.part_mut(&d.part) {
                    part.detail = reason;
                    part.evidence.clone_from(&d.evidence);
                    part.ended_at = when.clone();
                }
                if d.decision == Decision::Done {
                    self.produced(&d.part, d.produced.as_ref());
                    self.reversed(&d.part);
                }
            }
            Event::KillRequested(k) => {
                self.running(&k.at, "step.kill_requested")?.kill = Some(k.reason.clone());
            }
            Event::StepEscalated(e) => {
                let part = self.running(&e.at, "step.escalated")?;
                part.imported = part.imported.saturating_add(1);
            }
            Event::StepNoted(n) => {
                let part = self.running(&n.at, "step.noted")?;
                part.imported = part.imported.saturating_add(1);
                if let Some(unit) = self.unit_mut(&n.at.part) {
                    unit.notes.push(n.clone());
                }
            }
            Event::NoteAdded(_) => {}
        }
        if !matches!(event, Event::StepDecided(_) | Event::NoteAdded(_)) {
            self.decided = None;
        }
        self.last = when.clone();
        Ok(())
    }

    /// What an ended run still accepts.
    fn check_open(&self, event: &Event) -> Result<(), Refused> {
        let Some(ended) = self.ended else {
            return Ok(());
        };
        let allowed = matches!(event, Event::NoteAdded(_))
            || (matches!(event, Event::RollbackStarted(_)) && ended != Ended::RolledBack);
        if allowed {
            Ok(())
        } else {
            refuse("a further event", "the run has ended")
        }
    }

    fn none_open(&self, what: &str) -> Result<(), Refused> {
        match self.open() {
            Some(part) => refuse(what, format!("an attempt of {part} is open")),
            None => Ok(()),
        }
    }

    fn none_may_run(&self, what: &str) -> Result<(), Refused> {
        match self.may_still_run() {
            Some((unit, _)) => refuse(
                what,
                format!("{} may still run; decide about it first", unit.step),
            ),
            None => Ok(()),
        }
    }

    fn unit_mut(&mut self, part: &Part) -> Option<&mut Unit> {
        let place = self.place(part)?;
        self.units.get_mut(place)
    }

    fn part_mut(&mut self, part: &Part) -> Option<&mut PartState> {
        self.unit_mut(part).map(|u| u.part_mut(part.way))
    }

    /// What a step that is done hands on.
    fn produced(&mut self, part: &Part, produced: Option<&Value>) {
        if part.way == Way::Undo {
            return;
        }
        if let Some(unit) = self.unit_mut(part) {
            unit.produced = produced.cloned();
            unit.facts = produced.map(facts::of_product).unwrap_or_default();
        }
    }

    /// A part in the direction of travel that has no open attempt and is not settled.
    fn begin(&mut self, key: &Part, what: &str) -> Result<&mut PartState, Refused> {
        self.none_open(what)?;
        if key.way != self.way {
            return refuse(what, "the run goes the other way");
        }
        let Some(part) = self.part_mut(key) else {
            return refuse(what, format!("the plan has no step {}", key.step));
        };
        if part.settled() {
            return refuse(what, "it is settled already");
        }
        Ok(part)
    }

    fn started(&mut self, s: &Started, when: &When) -> Result<(), Refused> {
        let what = "step.started";
        if self.pause.is_some() || self.abort.is_some() || self.held {
            return refuse(what, "the run is asked to stop");
        }
        let place = self.place(&s.at.part).unwrap_or_default();
        if self.way == Way::Do
            && self
                .unsettled()
                .next()
                .is_some_and(|u| self.place(&u.key(Way::Do)) < Some(place))
        {
            return refuse(what, "an earlier step is not settled");
        }
        if self.way == Way::Undo
            && self
                .to_undo()
                .next()
                .is_none_or(|u| u.key(Way::Undo) != s.at.part)
        {
            return refuse(what, "it is not the next to be reversed");
        }
        if let Some(unit) = self.unit(&s.at.part) {
            let way = s.at.part.way;
            match unit.part(way).status {
                Status::InDoubt if !self.may_repeat(unit, way) => {
                    return refuse(what, "its last attempt is in doubt");
                }
                Status::Failed if way == Way::Undo || !self.may_retry(unit) => {
                    return refuse(
                        what,
                        "its last attempt failed, and nobody decided on another",
                    );
                }
                Status::Pending
                | Status::Running
                | Status::Satisfied
                | Status::Succeeded
                | Status::Failed
                | Status::InDoubt
                | Status::Ready
                | Status::Skipped
                | Status::Undone => {}
            }
        }
        let part = self.begin(&s.at.part, what)?;
        if s.at.attempt != part.attempts + 1 {
            return refuse(
                what,
                format!("the next attempt is number {}", part.attempts + 1),
            );
        }
        if !part.touched {
            part.observed.clone_from(&s.observed);
        }
        part.status = Status::Running;
        part.attempts = s.at.attempt;
        part.touched_before = part.touched;
        part.touched = true;
        part.started = Some(s.clone());
        part.started_at = when.clone();
        part.doubt = None;
        part.answer = None;
        part.kill = None;
        part.imported = 0;
        part.failed = None;
        part.took_ms = None;
        let fresh = !part.touched_before;
        if s.at.part.way == Way::Do
            && let Some(unit) = self.unit_mut(&s.at.part)
        {
            unit.produced = None;
            unit.facts.clear();
            if fresh {
                // What was noted before belongs to a step that is as before the run again.
                unit.notes.clear();
                unit.inputs.clone_from(&s.inputs);
            }
        }
        if s.at.part.way == Way::Do
            && let Some(back) = self.part_mut(&Part {
                way: Way::Undo,
                ..s.at.part.clone()
            })
        {
            // What is done again has to be undone again; its attempt numbers go on.
            back.status = Status::Pending;
            back.touched = false;
        }
        Ok(())
    }

    /// When an undo is done, its step is as it was before the run.
    fn reversed(&mut self, part: &Part) {
        if part.way == Way::Undo
            && let Some(unit) = self.unit_mut(part)
        {
            unit.produced = None;
            unit.facts.clear();
            let forward = &mut unit.forward;
            forward.status = Status::Undone;
            forward.touched = false;
            forward.touched_before = false;
            forward.failures = 0;
            forward.losses = 0;
        }
    }

    /// The part of an attempt that is its last one.
    fn at(&mut self, at: &Attempt, what: &str) -> Result<&mut PartState, Refused> {
        let Some(part) = self.part_mut(&at.part) else {
            return refuse(what, format!("the plan has no step {}", at.part.step));
        };
        if part.attempts != at.attempt {
            return refuse(
                what,
                format!("the last attempt is number {}", part.attempts),
            );
        }
        Ok(part)
    }

    fn running(&mut self, at: &Attempt, what: &str) -> Result<&mut PartState, Refused> {
        let part = self.at(at, what)?;
        if part.status != Status::Running {
            return refuse(what, "the attempt is not open");
        }
        Ok(part)
    }

    /// A decision, or another one in the place of the last.
    fn decide(&mut self, key: &Part, decision: Decision) -> Result<(), Refused> {
        let Some(place) = self.place(key) else {
            return self.decided(key, decision);
        };
        let now = self.units[place].clone();
        let same = |d: &Decidable| {
            d.way == key.way && d.unit.step == key.step && d.unit.target == key.target
        };
        let asked = match &self.decided {
            Some(former) if same(former) => former.unit.clone(),
            Some(_) | None => now.clone(),
        };
        self.put(place, asked.clone());
        if let Err(refused) = self.decided(key, decision) {
            self.put(place, now);
            return Err(refused);
        }
        self.decided = Some(Box::new(Decidable {
            way: key.way,
            unit: asked,
            decision,
        }));
        Ok(())
    }

    fn decided(&mut self, key: &Part, decision: Decision) -> Result<(), Refused> {
        let what = "step.decided";
        let no_return = self.blocked_by_no_return().is_some_and(|p| p == *key);
        let way = self.way;
        let Some(part) = self.part_mut(key) else {
            return refuse(what, format!("the plan has no step {}", key.step));
        };
        if key.way != way && !part.may_still_run() {
            return refuse(what, "the run goes the other way");
        }
        let question = matches!(part.status, Status::InDoubt | Status::Failed)
            || (part.status == Status::Ready && part.losses > 0);
        if no_return && decision != Decision::Skip {
            return refuse(
                what,
                "a point of no return can only be passed over with `skip`",
            );
        }
        if !question && !no_return {
            return refuse(what, "nothing is asked about it");
        }
        if part.status == Status::Failed && decision == Decision::Fail {
            return refuse(what, "it has failed already");
        }
        part.losses = 0;
        match decision {
            Decision::Done => {
                part.status = Status::Succeeded;
                part.touched = true;
            }
            Decision::Retry => {
                part.status = Status::Ready;
                part.failures = 0;
                part.kill = None;
            }
            Decision::Skip => part.status = Status::Skipped,
            Decision::Fail => {
                part.status = Status::Failed;
                part.failures = u32::MAX;
            }
        }
        Ok(())
    }
}
