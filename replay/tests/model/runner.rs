//! A runner, one turn at a time, in the order of the program: ask what comes next, append, act, append. Between any two
//! turns it may be gone, with everything that it had only in memory.

use super::world::{Deed, Dir, Job, Outcome, Process, Supervisor, World};
use upledger_replay::attempt::never_started;
use upledger_replay::decide::{self, Next, Start};
use upledger_replay::event::*;
use upledger_replay::state::{Ended, Run};
use upledger_replay::verdict::{Lock, Token};

/// The reason of whoever starts a runner.
pub(super) const BY_HAND: &str = "by hand";

/// What a runner was started for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wish {
    Resume,
    RollBack(Option<String>),
}

impl Wish {
    fn event(&self) -> Event {
        let reason = BY_HAND.into();
        match self.clone() {
            Self::Resume => Event::RunResumed(Reason { reason }),
            Self::RollBack(to) => Event::RollbackStarted(RollbackStarted {
                to,
                reason,
                accept_data_loss: false,
                looks_again: true,
            }),
        }
    }
}

/// Where a runner is.
#[derive(Debug, Clone)]
pub(super) enum Doing {
    /// It has read the ledger and waits for the lock.
    Locking(Wish),
    /// It has the lock, and is about to record what it is there for.
    Taking(Wish),
    Deciding,
    /// The directory is made, and the intent is about to be recorded.
    Making(usize, Box<Event>),
    /// The intent is durable, and the supervisor is about to be spawned.
    Launching(usize),
    /// The supervisor's word is waited for.
    Listening(usize),
    Following(usize),
    AwaitingFence(usize),
    /// Since when its processes are waited for, and whether they were killed.
    AwaitingTree(usize, u64, bool),
    /// It has read the result; the look at the evidence comes next.
    Importing(usize, Outcome),
}

/// What a turn meets with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Everything goes well; a look sees what there is.
    Well,
    /// A look sees nothing clearly.
    Unclear,
    /// A look takes long, so that what is staged is committed first.
    Slow,
    /// It cannot look before acting.
    Refused,
    /// The supervisor cannot be spawned.
    Unspawned,
    /// It cannot be spawned, as far as can be told.
    Late,
    /// Whoever waits has waited long enough.
    Impatient,
    /// A signal asks for a stop after this step.
    Interrupt,
    /// A signal asks it to leave.
    Detach,
}

/// What becomes of a runner behind a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goes {
    On,
    /// It has ended by itself.
    Away,
}

/// A runner.
#[derive(Debug, Clone)]
pub(super) struct Runner {
    /// What it has read of the ledger, folded.
    pub(super) base: Run,
    /// So much it has read.
    pub(super) folded: usize,
    /// The same with what is staged.
    pub(super) run: Run,
    staged: Vec<Event>,
    pub(super) doing: Doing,
    /// The attempt that it started or has adopted.
    pub(super) ours: Option<Attempt>,
    /// So many job directories were there before it.
    found: usize,
}

impl Runner {
    /// Of a run that was planned just now.
    pub(super) fn first(world: &World) -> Self {
        Self::of(world, world.state.clone(), Doing::Deciding)
    }

    /// One that has just opened the ledger.
    pub(super) fn opened(world: &World, doing: Doing) -> Result<Self, String> {
        let run = world.folded(world.ledger.len())?;
        Ok(Self::of(world, run, doing))
    }

    fn of(world: &World, run: Run, doing: Doing) -> Self {
        Self {
            base: run.clone(),
            folded: world.ledger.len(),
            run,
            staged: Vec::new(),
            doing,
            ours: None,
            found: world.jobs.len(),
        }
    }

    /// What a turn of it may meet with; none where it can only wait.
    pub(super) fn turns(&self, world: &World) -> &'static [Turn] {
        use Turn::*;
        match &self.doing {
            Doing::Locking(_) if world.lock.is_none() => &[Well],
            Doing::Locking(_) => &[Impatient],
            Doing::Taking(_) | Doing::Making(..) => &[Well],
            Doing::Deciding => match decide::next(&self.run, &world.now()) {
                Next::Start(_) => &[Well, Unclear, Slow, Refused, Interrupt, Detach],
                Next::Probe(_) => &[Well, Unclear, Slow, Interrupt, Detach],
                Next::Resolve(_)
                | Next::Record(_)
                | Next::Ask(_)
                | Next::Stop(_)
                | Next::End(_) => &[Well],
            },
            Doing::Launching(_) => &[Well, Unspawned, Late],
            Doing::Listening(job) => match world.jobs[*job].supervisor {
                Supervisor::None
                | Supervisor::Coming
                | Supervisor::Locked
                | Supervisor::Linked
                | Supervisor::Tokened => &[Impatient],
                _ => &[Well],
            },
            Doing::Following(_) => &[Well, Interrupt, Detach],
            Doing::AwaitingFence(job) if world.jobs[*job].quiet() => &[Well],
            Doing::AwaitingFence(_) => &[Impatient],
            Doing::AwaitingTree(..) => &[Well, Impatient, Interrupt, Detach],
            Doing::Importing(..) => &[Well, Unclear, Slow, Interrupt, Detach],
        }
    }

    pub(super) fn stage(&mut self, world: &World, event: Event) -> Result<(), String> {
        let when = world.when(self.folded + self.staged.len());
        self.run
            .apply(&event, &when)
            .map_err(|e| format!("the runner's own proposal is refused: {e}: {event:?}"))?;
        self.staged.push(event);
        Ok(())
    }

    /// Folds what others have appended; what is staged is void then.
    pub(super) fn hear(&mut self, world: &mut World) -> Result<(), String> {
        if self.folded == world.ledger.len() {
            return Ok(());
        }
        for entry in &world.ledger[self.folded..] {
            (self.base.apply(&entry.0, &entry.1)).map_err(|e| format!("others' event: {e}"))?;
        }
        self.folded = world.ledger.len();
        self.run = self.base.clone();
        self.staged.clear();
        world.told = world.told.max(self.folded);
        Ok(())
    }

    /// Makes what is staged durable. `false`: somebody else was first.
    pub(super) fn commit(&mut self, world: &mut World) -> Result<bool, String> {
        if self.staged.is_empty() {
            return Ok(true);
        }
        let staged = self.staged.clone();
        if self.folded != world.ledger.len() {
            let others = self.folded;
            self.hear(world)?;
            if !world.ledger[others..].iter().all(|e| e.0.is_neutral()) {
                world.saw("commit moved");
                return Ok(false);
            }
            world.saw("commit behind a remark");
            for event in &staged {
                self.stage(world, event.clone())?;
            }
        }
        for event in staged {
            world.append(event)?;
        }
        self.hear(world)?;
        Ok(true)
    }

    /// One turn. `me` is its place among the runners.
    pub(super) fn turn(&mut self, w: &mut World, me: usize, turn: Turn) -> Result<Goes, String> {
        match turn {
            Turn::Interrupt => {
                self.interrupt(w)?;
                return Ok(Goes::On);
            }
            Turn::Detach => {
                self.commit(w)?;
                w.saw("detached");
                return Ok(Goes::Away);
            }
            _ => {}
        }
        match self.doing.clone() {
            Doing::Locking(wish) => return Ok(self.lock(w, me, wish)),
            Doing::Taking(wish) => return self.take(w, &wish),
            Doing::Deciding => return self.decide(w, turn),
            Doing::Making(job, intent) => {
                self.stage(w, *intent)?;
                if self.commit(w)? {
                    self.ours = Some(w.jobs[job].at.clone());
                    self.doing = Doing::Launching(job);
                } else {
                    w.jobs[job].dir = Dir::Gone;
                    self.doing = Doing::Deciding;
                }
            }
            Doing::Launching(job) => self.launch(w, job, turn)?,
            Doing::Listening(_) => {
                if turn == Turn::Impatient {
                    w.mono += 30_000_000;
                }
                self.doing = Doing::Deciding;
            }
            Doing::Following(job) => {
                if w.jobs[job].supervisor.holds() {
                    self.hear(w)?;
                    self.import_spool(w, job)?;
                    // When somebody else was first, the next glance stages them again.
                    self.commit(w)?;
                } else {
                    self.doing = Doing::Deciding;
                }
            }
            Doing::AwaitingFence(job) => {
                self.doing = Doing::Deciding;
                if turn == Turn::Impatient {
                    w.mono += 2_000_000;
                    self.doubt(w, Some(job), &w.jobs[job].at.clone(), Doubt::Alive)?;
                }
            }
            Doing::AwaitingTree(job, since, killed) => {
                self.await_tree(w, job, since, killed, turn)?;
            }
            Doing::Importing(job, outcome) => self.import(w, job, outcome, turn)?,
        }
        Ok(Goes::On)
    }

    fn lock(&mut self, w: &mut World, me: usize, wish: Wish) -> Goes {
        if w.lock.is_some() {
            w.saw("a second runner was refused");
            return Goes::Away;
        }
        // It decides by what it read before it had the lock.
        let next = decide::next(&self.run, &w.now());
        let asked = wish == Wish::Resume && matches!(next, Next::Ask(_));
        let over = match wish {
            Wish::Resume => self.run.ended.is_some(),
            Wish::RollBack(_) => self.run.ended == Some(Ended::RolledBack),
        };
        if asked || over {
            return Goes::Away;
        }
        w.lock = Some(me);
        self.doing = Doing::Taking(wish);
        Goes::On
    }

    fn take(&mut self, w: &mut World, wish: &Wish) -> Result<Goes, String> {
        if self.folded != w.ledger.len() {
            self.hear(w)?;
            w.saw("took over from stale reading");
        }
        let event = wish.event();
        if self.run.check(&event).is_err() {
            return Ok(Goes::Away);
        }
        self.stage(w, event)?;
        if self.commit(w)? {
            self.doing = Doing::Deciding;
        }
        Ok(Goes::On)
    }

    fn decide(&mut self, w: &mut World, turn: Turn) -> Result<Goes, String> {
        if self.staged.is_empty() {
            self.hear(w)?;
        }
        match decide::next(&self.run, &w.now()) {
            Next::Record(event) => self.stage(w, *event)?,
            Next::Start(start) => self.start(w, &start, turn)?,
            Next::Resolve(at) => self.resolve(w, &at)?,
            Next::Probe(at) => {
                let answer = match turn {
                    Turn::Slow => {
                        self.commit(w)?;
                        return Ok(Goes::On);
                    }
                    Turn::Unclear => Answer::Unclear,
                    _ => w.truth(w.place(&at.part), at.part.way),
                };
                if let Some(job) = w.job_of(&self.run, &at) {
                    w.mark(Deed::LookedAt, job);
                }
                let event = Event::StepProbed(Probed {
                    at,
                    answer,
                    evidence: vec![],
                    produced: None,
                });
                self.stage(w, event)?;
            }
            rest @ (Next::Ask(_) | Next::Stop(_) | Next::End(_)) => {
                if self.commit(w)? {
                    w.saw(match rest {
                        Next::Ask(question) => format!("asked {:?}", question.kind),
                        Next::Stop(decide::Stop::Paused(_)) => "stopped Paused".into(),
                        Next::Stop(decide::Stop::RolledBackTo(_)) => "stopped RolledBackTo".into(),
                        Next::End(ended) => format!("ended {ended:?}"),
                        _ => unreachable!("they are no rest"),
                    });
                    return Ok(Goes::Away);
                }
            }
        }
        Ok(Goes::On)
    }

    /// Look, job directory.
    fn start(&mut self, w: &mut World, start: &Start, turn: Turn) -> Result<(), String> {
        if let Some(until) = start.not_before.filter(|until| w.mono < *until) {
            if self.commit(w)? && self.folded == w.ledger.len() {
                w.mono = until;
            }
            return Ok(());
        }
        let part = &start.at.part;
        let place = w.place(part);
        if turn == Turn::Slow {
            self.commit(w)?;
            return Ok(());
        }
        if turn == Turn::Refused {
            let part = part.clone();
            let detail = String::new();
            return self.stage(w, Event::StepRefused(Refusal { part, detail }));
        }
        let answer = match turn {
            Turn::Unclear => Answer::Unclear,
            _ => w.truth(place, part.way),
        };
        if w.says(part).look && start.is_satisfied(answer) {
            let event = Event::StepSatisfied(Satisfied {
                part: part.clone(),
                evidence: vec![],
                produced: None,
            });
            return self.stage(w, event);
        }
        self.sweep(w, &start.at)?;
        let nonce = format!("n{}", w.jobs.len());
        let intent = Event::StepStarted(Started {
            at: start.at.clone(),
            nonce: nonce.clone(),
            spec: nonce.clone(),
            command: vec![],
            observed: serde_json::json!(format!("{:?}", w.things[place])),
            timeout_ms: w.plan.step(&part.step).and_then(|s| s.timeout_ms),
            inputs: vec![],
        });
        self.doing = Doing::Making(w.jobs.len(), Box::new(intent));
        w.jobs.push(Job {
            at: start.at.clone(),
            place,
            nonce,
            dir: Dir::There,
            seen_as: Dir::There,
            seen_held: false,
            token: None,
            synced: false,
            kill: false,
            spool: vec![],
            produced: false,
            result: None,
            looked: None,
            supervisor: Supervisor::None,
            command: Process::None,
            child: false,
            dropped: 0,
            since: 0,
        });
        Ok(())
    }

    /// Takes away directories of this part that another runner made and whose intent was not recorded.
    fn sweep(&self, w: &mut World, at: &Attempt) -> Result<(), String> {
        for job in &mut w.jobs[..self.found] {
            if job.at.part != at.part || job.at.attempt < at.attempt || job.dir == Dir::Gone {
                continue;
            }
            let facts = job.facts().ok_or("its directory is there")?;
            let held = facts.shim == Lock::Held || facts.tree == Lock::Held;
            if facts.token == Token::Started || held {
                return Err(format!("an attempt began without an intent: {job:?}"));
            }
            job.dir = Dir::Gone;
        }
        Ok(())
    }

    fn launch(&mut self, w: &mut World, job: usize, turn: Turn) -> Result<(), String> {
        if turn != Turn::Unspawned {
            w.jobs[job].supervisor = Supervisor::Coming;
        }
        if turn == Turn::Well {
            self.doing = Doing::Listening(job);
            return Ok(());
        }
        self.doing = Doing::Deciding;
        if w.jobs[job].dir == Dir::Gone {
            return Ok(());
        }
        if w.jobs[job].fence() == Token::Fenced {
            let event = never_started(&w.jobs[job].at, String::new());
            self.stage(w, event)?;
        }
        Ok(())
    }

    /// A pause by signal. Others may append in between; what a person pressed is not lost for that.
    fn interrupt(&mut self, w: &mut World) -> Result<(), String> {
        if matches!(self.doing, Doing::Importing(..)) {
            self.doing = Doing::Deciding;
        }
        loop {
            if self.staged.is_empty() {
                self.hear(w)?;
            }
            if self.run.ended.is_none() && self.run.pause.is_none() {
                let reason = own::INTERRUPTED.into();
                self.stage(w, Event::PauseRequested(Reason { reason }))?;
            }
            if self.commit(w)? {
                return Ok(());
            }
        }
    }
}
