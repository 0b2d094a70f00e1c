//! The record, read by the judge: what it says of a step, without the fold.

use super::world::{Deed, Job, World};
use upledger_replay::decide::LOSSES;
use upledger_replay::event::*;
use upledger_replay::plan::{Effect, Undo};

/// The events of a run up to some moment, without decisions that another one has replaced.
pub(super) struct Tale<'a> {
    pub(super) events: Vec<&'a Event>,
    world: &'a World,
}

/// What the record says of one step on one target.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Standing {
    /// Something that the run did may be there.
    pub(super) touched: bool,
    before: bool,
    /// `passed` and `stuck`, as they were before the last attempt forwards.
    undo_before: (bool, bool),
    /// It is done, or left out.
    pub(super) settled: bool,
    /// A person said that a rollback passes over it.
    pub(super) passed: bool,
    /// Its undo has failed, and nobody has decided about that.
    pub(super) stuck: bool,
}

/// What has become of the attempts of a part since a person last decided about it.
#[derive(Debug, Clone, Default)]
pub(super) struct Tries {
    /// Failures and refusals, as a retry budget counts them.
    pub(super) failures: u32,
    /// Attempts that a crash took.
    pub(super) losses: u32,
    /// The last event about it that says how it stands.
    pub(super) last: Option<Event>,
    /// Somebody asked for the last attempt to be killed.
    pub(super) kill: Option<String>,
    /// The doubt that the last attempt is in.
    pub(super) doubt: Option<Doubt>,
}

/// It says that the part is done.
pub(super) fn is_done(event: &Event) -> bool {
    match event {
        Event::StepSucceeded(_) | Event::StepSatisfied(_) => true,
        Event::StepProbed(p) => p.answer == Answer::Done,
        Event::StepDecided(d) => d.decision == Decision::Done,
        _ => false,
    }
}

/// It says that the last attempt left nothing.
pub(super) fn left_nothing(event: &Event) -> bool {
    match event {
        Event::StepFenced(_) => true,
        Event::StepFailed(f) => f.failure == Failure::NotStarted,
        Event::StepProbed(p) => p.answer == Answer::Nothing,
        _ => false,
    }
}

impl<'a> Tale<'a> {
    /// The first `upto` events.
    pub(super) fn of(world: &'a World, upto: usize) -> Self {
        let mut events: Vec<&Event> = Vec::new();
        for entry in &world.ledger[..upto] {
            if let Event::StepDecided(_) = entry.0 {
                // Nothing but remarks and requests to stop lies between a decision and the one that replaces it.
                let last = events.iter().rposition(|e| {
                    !matches!(
                        e,
                        Event::NoteAdded(_) | Event::PauseRequested(_) | Event::AbortRequested(_)
                    )
                });
                if let Some(last) = last
                    && matches!(events[last], Event::StepDecided(_))
                    && events[last].part() == entry.0.part()
                {
                    events.remove(last);
                }
            }
            events.push(&entry.0);
        }
        Self { events, world }
    }

    /// Events about one step on one target, in both directions.
    fn of_unit(&self, place: usize) -> impl Iterator<Item = (&'a Event, Direction)> {
        let unit = &self.world.state.units()[place];
        let mut behind = false;
        self.events.iter().filter_map(move |event| {
            match event {
                Event::RollbackStarted(r) => {
                    behind = r.to.is_some() && r.looks_again && place >= self.behind(r);
                }
                // It is looked at again.
                Event::RollbackCompleted(_) if behind => return Some((*event, Direction::Do)),
                _ => {}
            }
            if let Event::RunAmended(amended) = event {
                return amended
                    .steps
                    .contains(&unit.step)
                    .then_some((*event, Direction::Do));
            }
            let part = event.part()?;
            (part.step == unit.step && part.target == unit.target).then_some((*event, part.way))
        })
    }

    /// How a step on a target stands.
    pub(super) fn standing(&self, place: usize) -> Standing {
        let mut s = Standing::default();
        for (event, way) in self.of_unit(place) {
            if let Event::RunAmended(_) = event {
                // Another definition, of which nothing was tried; what may be there stays behind a point of no return.
                let no_return = matches!(self.undo(place), Undo::PointOfNoReturn(_));
                s = Standing {
                    touched: no_return && s.touched,
                    ..Standing::default()
                };
                continue;
            }
            if let Event::RollbackCompleted(_) = event {
                if self.looks(place) {
                    s = Standing::default();
                }
                continue;
            }
            match way {
                Direction::Do => s.forward(event),
                Direction::Undo => s.backward(event),
            }
        }
        s
    }

    /// It only looks, and the plan does not leave it out.
    fn looks(&self, place: usize) -> bool {
        let step = &self.world.state.units()[place].step;
        let step = self.world.plan.step(step).expect("a step of the plan");
        step.effect == Effect::Pure && step.undo == Undo::Nothing && step.left_out.is_none()
    }

    /// What has become of the attempts of a part.
    pub(super) fn tries(&self, part: &TaskKey) -> Tries {
        let mut tries = Tries::default();
        let mut before = Tries::default();
        let place = self.world.place(part);
        let mut standing = Standing::default();
        for (event, way) in self.of_unit(place) {
            match (event, way) {
                (Event::RunAmended(_) | Event::RollbackCompleted(_), _) => {}
                (_, Direction::Do) => standing.forward(event),
                (_, Direction::Undo) => standing.backward(event),
            }
            if matches!(event, Event::RollbackCompleted(_)) {
                let failed = !standing.touched && !standing.settled;
                if self.looks(place) || (failed && part.way == Direction::Do) {
                    (tries, before) = (Tries::default(), Tries::default());
                }
            } else if matches!(event, Event::RunAmended(_)) {
                standing = Standing::default();
                (tries, before) = (Tries::default(), Tries::default());
            } else if way == part.way {
                tries.tell(event);
            } else if way == Direction::Undo && is_done(event) {
                // It is as before the run.
                tries = Tries::default();
            } else if way == Direction::Do && matches!(event, Event::StepStarted(_)) {
                // What is done again has to be undone again.
                before = std::mem::take(&mut tries);
            } else if way == Direction::Do && left_nothing(event) {
                // It was not done again.
                tries = before.clone();
            } else if matches!(event, Event::StepDecided(d) if d.decision == Decision::Done) {
                (tries, before) = (Tries::default(), Tries::default());
            }
        }
        tries
    }

    /// How many attempts of a part were started.
    pub(super) fn attempts(&self, part: &TaskKey) -> u32 {
        let numbers = self.events.iter().filter_map(|event| match event {
            Event::StepStarted(s) if s.at.part == *part => Some(s.at.attempt),
            _ => None,
        });
        numbers.max().unwrap_or(0)
    }

    /// The rollback that is under way, if one is.
    pub(super) fn rollback(&self) -> Option<&'a RollbackStarted> {
        let mut rollback = None;
        for event in &self.events {
            match event {
                Event::RollbackStarted(r) => rollback = Some(r),
                Event::RollbackCompleted(_) => rollback = None,
                _ => {}
            }
        }
        rollback
    }

    /// The first place that a rollback does not leave done.
    pub(super) fn behind(&self, rollback: &RollbackStarted) -> usize {
        let units = self.world.state.units();
        let kept = rollback.to.as_ref();
        let last = kept.and_then(|to| units.iter().rposition(|u| u.step == *to));
        last.map_or(0, |place| place + 1)
    }

    /// A rollback that comes by has to reverse this one first.
    pub(super) fn is_to_undo(&self, place: usize) -> bool {
        let s = self.standing(place);
        s.touched && !s.passed && *self.undo(place) != Undo::Nothing
    }

    pub(super) fn undo(&self, place: usize) -> &'a Undo {
        let step = &self.world.state.units()[place].step;
        &self.world.plan.step(step).expect("a step of the plan").undo
    }
}

impl Standing {
    fn forward(&mut self, event: &Event) {
        if let Event::StepStarted(_) = event {
            self.before = self.touched;
            self.undo_before = (self.passed, self.stuck);
            self.touched = true;
            self.passed = false;
            self.stuck = false;
            self.settled = false;
        } else if left_nothing(event) {
            self.touched = self.before;
            (self.passed, self.stuck) = self.undo_before;
        }
        match event {
            Event::StepDecided(d) if d.decision == Decision::Done => {
                self.before = self.touched;
                self.touched = true;
                self.settled = true;
                // What is done by hand, too, has to be undone again.
                self.undo_before = (false, false);
                (self.passed, self.stuck) = (false, false);
            }
            Event::StepDecided(d) => self.settled = d.decision == Decision::Skip,
            Event::StepSkipped(_) => self.settled = true,
            _ if is_done(event) => self.settled = true,
            _ => {}
        }
    }

    fn backward(&mut self, event: &Event) {
        match event {
            _ if is_done(event) => *self = Self::default(),
            Event::StepDecided(d) => {
                self.passed = d.decision == Decision::Skip;
                self.stuck = d.decision == Decision::Fail;
            }
            Event::StepFailed(_) | Event::StepRefused(_) => self.stuck = true,
            _ => {}
        }
    }
}

impl Tries {
    fn tell(&mut self, event: &Event) {
        match event {
            Event::StepStarted(_) => {
                self.kill = None;
                self.doubt = None;
                return;
            }
            Event::KillRequested(k) => {
                self.kill = Some(k.reason.clone());
                return;
            }
            Event::StepFailed(_) | Event::StepRefused(_) => self.failures += 1,
            Event::StepFenced(_) => self.losses += 1,
            Event::StepDoubted(d) => {
                self.losses += 1;
                self.doubt = Some(d.doubt);
            }
            Event::StepSucceeded(_) => *self = Self::default(),
            Event::StepDecided(d) => {
                self.losses = 0;
                if d.decision == Decision::Retry {
                    self.failures = 0;
                    self.kill = None;
                    self.doubt = None;
                }
            }
            Event::StepProbed(_) | Event::StepSatisfied(_) | Event::StepSkipped(_) => {}
            _ => return,
        }
        self.last = Some(event.clone());
    }
}

/// The intent of an attempt, and where it stands in the record.
pub(super) fn intent_of<'a>(world: &'a World, at: &Attempt) -> Option<(usize, &'a Started)> {
    (world.ledger.iter().enumerate()).find_map(|(i, entry)| match &entry.0 {
        Event::StepStarted(s) if s.at == *at => Some((i, s)),
        _ => None,
    })
}

/// The directory of an attempt, by its intent.
pub(super) fn job_of<'a>(world: &'a World, at: &Attempt) -> Result<(usize, &'a Job), String> {
    let (_, intent) = intent_of(world, at).ok_or(format!("{at:?} has no intent"))?;
    let mut jobs = world.jobs.iter().enumerate();
    jobs.find(|(_, job)| job.nonce == intent.nonce)
        .ok_or(format!("{at:?} has no directory"))
}

/// The command in that directory was executed.
pub(super) fn executed(world: &World, job: usize) -> bool {
    let mut marks = world.marks.iter();
    marks.any(|m| m.job == job && m.deed == Deed::Executed)
}

/// What the record says became of an attempt, up to some moment.
pub(super) fn outcome_of<'a>(world: &'a World, at: &Attempt, upto: usize) -> Option<&'a Event> {
    world.ledger[..upto].iter().map(|e| &e.0).find(|event| {
        let outcome = matches!(
            event,
            Event::StepSucceeded(_)
                | Event::StepFailed(_)
                | Event::StepFenced(_)
                | Event::StepDoubted(_)
        );
        outcome && event.attempt() == Some(at)
    })
}

/// A person was told that an attempt may still run, and has decided.
pub(super) fn let_go(world: &World, at: &Attempt, upto: usize) -> bool {
    match outcome_of(world, at, upto) {
        Some(Event::StepDoubted(d)) if d.doubt != Doubt::Unseen => {
            let decided = |e: &Event| matches!(e, Event::StepDecided(d) if d.part == at.part);
            world.ledger[..upto].iter().any(|e| decided(&e.0))
        }
        _ => false,
    }
}

/// Another attempt of the part may follow what has become of it.
pub(super) fn may_follow(world: &World, tale: &Tale<'_>, part: &TaskKey) -> Held {
    let (tries, says) = (tale.tries(part), world.says(part));
    let Some(last) = &tries.last else {
        return Ok(());
    };
    let step = world.plan.step(&part.step).ok_or("the plan has it")?;
    let lost = || {
        that(tries.losses < LOSSES, || {
            format!("{part} is tried again after {} losses", tries.losses)
        })
    };
    let refuse = |why: &str| Err(format!("{part} is tried again {why}: {last:?}"));
    match last {
        Event::StepFenced(_) if tries.kill.is_some() => refuse("though it was to be killed"),
        Event::StepFenced(_) => lost(),
        Event::StepDoubted(d) if d.doubt != Doubt::Unseen => refuse("though it may still run"),
        Event::StepDoubted(_) if says.look => refuse("before a look was taken"),
        Event::StepDoubted(_) | Event::StepProbed(_)
            if tries.doubt.is_some_and(|d| d != Doubt::Unseen) =>
        {
            refuse("though it may still run")
        }
        Event::StepProbed(p) if p.answer == Answer::Nothing => lost(),
        Event::StepDoubted(_) | Event::StepProbed(_) => {
            lost()?;
            that(says.repeatable, || {
                format!("{part} is tried again in doubt")
            })
        }
        Event::StepFailed(_) | Event::StepRefused(_) => {
            if part.way == Direction::Undo {
                return refuse("though it is stuck");
            }
            if let Event::StepFailed(f) = last {
                let unsafe_late = f.failure == Failure::Timeout && says.effect == Effect::Unsafe;
                if f.failure == Failure::Killed || unsafe_late || f.left_behind {
                    return refuse("without a person's word");
                }
            }
            if tries.kill.is_some() {
                return refuse("though it was to be killed");
            }
            that(tries.failures <= step.retry.times, || {
                format!("{part} is tried again after {} failures", tries.failures)
            })
        }
        Event::StepDecided(d) if d.decision == Decision::Retry => Ok(()),
        _ if is_done(last) && part.way == Direction::Do => refuse("though it is done"),
        _ => refuse("for no reason"),
    }
}

/// An invariant is broken, and how.
pub(super) type Held = Result<(), String>;

pub(super) fn that(holds: bool, otherwise: impl FnOnce() -> String) -> Held {
    if holds { Ok(()) } else { Err(otherwise()) }
}
