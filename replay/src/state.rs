//! The state of a run, and questions about it. State is never stored; `fold` makes it from events whenever it
//! is needed.

use crate::event::{
    Answer, Decision, Direction, Doubt, Failed, Failure, Noted, RunPlanned, Started, TaskKey,
};
use crate::index::Index;
use crate::loss::Opening;
use crate::plan::{Effect, OnDoubt, Pair, Plan, Undo};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde_json::Value;

/// When an event was recorded, as its envelope says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct When {
    /// Sequence number in the ledger.
    pub seq: u64,
    /// Wall time, for people.
    pub ts: String,
    /// Boot clock, µs.
    pub mono: u64,
    /// The boot that `mono` belongs to.
    pub boot: String,
}

/// Where one part stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Not begun.
    Pending,
    /// An attempt is open: its outcome is not recorded.
    Running,
    /// It was done before the run came.
    Satisfied,
    /// Done.
    Succeeded,
    /// Its last attempt failed.
    Failed,
    /// Its last attempt started and nobody saw the end.
    InDoubt,
    /// Its last attempt provably left nothing, or a person ordered another.
    Ready,
    /// Left out, by condition or decision.
    Skipped,
    /// It was done and is reversed.
    Undone,
}

/// One direction of one step on one target, folded.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskState {
    /// Where it stands.
    pub status: Status,
    /// Attempts started so far.
    pub attempts: u32,
    /// Failures since the start or the last decision.
    pub failures: u32,
    /// Attempts lost to crashes since the start or the last decision.
    pub losses: u32,
    /// Something of it may be there.
    pub touched: bool,
    /// `touched`, as it was before the open or last attempt.
    pub(crate) touched_before: bool,
    /// The intent of the open or last attempt.
    pub started: Option<Box<Started>>,
    /// When that was.
    pub started_at: When,
    /// When the last outcome was recorded.
    pub ended_at: When,
    /// What was there before the first attempt that may have changed anything.
    pub observed: Value,
    /// What kind of doubt the last attempt is in, where it is.
    pub doubt: Option<Doubt>,
    /// What the last probe of the last attempt said.
    pub answer: Option<Answer>,
    /// The last failure.
    pub failed: Option<Box<Failed>>,
    /// It was not started the last time that it was to be, because the look before or its inputs failed.
    pub refused: bool,
    /// One line on the last outcome, for people.
    pub detail: String,
    /// Last lines of output or evidence, for people.
    pub tail: Vec<String>,
    /// What the checks saw.
    pub evidence: Vec<String>,
    /// Duration of the last attempt, when it was seen.
    pub took_ms: Option<u64>,
    /// A person asked for the open attempt to be killed.
    pub kill: Option<String>,
    /// How many escalations and notes of the last attempt are recorded.
    pub imported: usize,
}

impl Default for TaskState {
    fn default() -> Self {
        Self {
            status: Status::Pending,
            attempts: 0,
            failures: 0,
            losses: 0,
            touched: false,
            touched_before: false,
            started: None,
            started_at: When::default(),
            ended_at: When::default(),
            observed: Value::Null,
            doubt: None,
            answer: None,
            failed: None,
            refused: false,
            detail: String::new(),
            tail: Vec::new(),
            evidence: Vec::new(),
            took_ms: None,
            kill: None,
            imported: 0,
        }
    }
}

impl TaskState {
    /// In a doubt in which it may still run.
    #[must_use]
    pub fn may_still_run(&self) -> bool {
        self.status == Status::InDoubt
            && match self.doubt {
                Some(Doubt::Alive | Doubt::Lost) => true,
                Some(Doubt::Unseen) | None => false,
            }
    }

    /// The last time that it was tried, it was refused or could not be started: nothing was done then.
    #[must_use]
    pub fn never_started(&self) -> bool {
        let failed = self.failed.as_ref();
        self.refused || failed.is_some_and(|f| f.failure == Failure::NotStarted)
    }

    /// The run may go past it.
    #[must_use]
    pub fn settled(&self) -> bool {
        matches!(
            self.status,
            Status::Succeeded | Status::Satisfied | Status::Skipped
        )
    }
}

/// Both directions of one step on one target.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Index of the step in the plan's order.
    pub index: usize,
    /// The step's id.
    pub step: String,
    /// Where.
    pub target: String,
    /// Forwards.
    pub forward: TaskState,
    /// Backwards.
    pub backward: TaskState,
    /// `backward`, as it was before the open or last attempt forwards, where there was anything of it.
    pub(crate) backward_before: Option<Box<TaskState>>,
    /// What its attempts noted, in both directions and in order, since it was last as before the run.
    pub notes: Vec<Noted>,
    /// What it produced, where it is done.
    pub produced: Option<Value>,
    /// What it hands on to later steps, where it is done.
    pub facts: Vec<Pair>,
    /// Outputs of earlier steps that were put into it when it was first started.
    pub inputs: Vec<Pair>,
}

impl Task {
    /// A step that nothing has happened to yet; `index` is its place in the plan.
    pub(crate) fn new(index: usize, step: &str, target: &str) -> Self {
        Self {
            index,
            step: step.into(),
            target: target.into(),
            forward: TaskState::default(),
            backward: TaskState::default(),
            backward_before: None,
            notes: Vec::new(),
            produced: None,
            facts: Vec::new(),
            inputs: Vec::new(),
        }
    }

    /// One direction of it.
    #[must_use]
    pub fn part(&self, way: Direction) -> &TaskState {
        match way {
            Direction::Do => &self.forward,
            Direction::Undo => &self.backward,
        }
    }

    pub(crate) fn part_mut(&mut self, way: Direction) -> &mut TaskState {
        match way {
            Direction::Do => &mut self.forward,
            Direction::Undo => &mut self.backward,
        }
    }

    /// The key of one direction of it.
    #[must_use]
    pub fn key(&self, way: Direction) -> TaskKey {
        TaskKey {
            step: self.step.clone(),
            target: self.target.clone(),
            way,
        }
    }
}

/// What the plan says about running a part again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traits {
    /// What running it twice would mean.
    pub effect: Effect,
    /// What doubt leads to, where no probe settles it.
    pub on_doubt: OnDoubt,
    /// A look exists.
    pub has_probe: bool,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything is done.
    Completed,
    /// Everything is reversed.
    RolledBack,
    /// A person ended it.
    Aborted,
}

/// A run, folded.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its name.
    pub name: String,
    /// The plan that runs.
    pub plan: Arc<Plan>,
    /// Names of the variables that were given in the place of those of the plan file.
    pub given: Vec<String>,
    /// Its digest, hex.
    pub digest: String,
    /// The contract of actions that its events follow; 0 for none.
    pub contract: u32,
    /// When it was planned.
    pub planned_at: When,
    /// The last event of it.
    pub last: When,
    /// Steps × targets, in the plan's order.
    pub(crate) units: Vec<Task>,
    /// Where they are, by what is asked of them.
    pub(crate) index: Index,
    /// The direction of travel.
    pub way: Direction,
    /// The last step that a rollback leaves done.
    pub rollback_to: Option<String>,
    /// Why the last rollback was started.
    pub rollback_reason: String,
    /// Somebody asked for a stop before the next step.
    pub pause: Option<String>,
    /// Somebody asked for the end before the next step.
    pub abort: Option<String>,
    /// Once a partial rollback is complete, what only looks behind it is looked at again.
    pub(crate) looks_again: bool,
    /// A partial rollback is complete; forwards again only by `resume`.
    pub held: bool,
    /// How it ended, if it did.
    pub ended: Option<Ended>,
    /// When users were let in, each time.
    pub(crate) openings: Vec<Opening>,
    /// For how many of these a person has accepted that what was written since is lost.
    pub(crate) accepted: usize,
    /// What was decided last and can be decided anew, because nothing has followed from it yet.
    pub(crate) decided: Option<Box<Decidable>>,
    /// Nothing has followed from the last amendment yet.
    pub(crate) amended_last: bool,
}

/// A unit as it was when a question about it was asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decidable {
    pub(crate) way: Direction,
    pub(crate) unit: Task,
    pub(crate) decision: Decision,
}

/// An event that the state does not allow. The state is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is refused: {why}")]
pub struct Refused {
    /// The event.
    pub what: String,
    /// The rule.
    pub why: String,
}

impl Run {
    /// A run as its `run.planned` event makes it.
    #[must_use]
    pub fn new(name: &str, planned: RunPlanned, when: When) -> Self {
        // Steps by the thousand: the list is made once, in its size.
        let size = planned
            .plan
            .steps()
            .map(|(_, step)| step.targets.len())
            .sum();
        let mut units = Vec::with_capacity(size);
        for (index, (_, step)) in planned.plan.steps().enumerate() {
            units.extend(step.targets.iter().map(|t| Task::new(index, &step.id, t)));
        }
        Self {
            name: name.into(),
            index: Index::new(&planned.plan, &units),
            plan: planned.plan,
            digest: planned.digest,
            given: planned.given,
            contract: planned.contract,
            planned_at: when.clone(),
            last: when,
            units,
            way: Direction::Do,
            rollback_to: None,
            rollback_reason: String::new(),
            pause: None,
            abort: None,
            looks_again: false,
            held: false,
            ended: None,
            openings: Vec::new(),
            accepted: 0,
            decided: None,
            amended_last: false,
        }
    }

    /// The run as it was before the last decision, where that was about this step and nothing has followed from it: then
    /// it may be decided anew.
    #[must_use]
    pub fn before_decision(&self, step: &str) -> Option<Self> {
        let former = self.decided.as_ref().filter(|d| d.unit.step == step)?;
        let mut run = self.clone();
        let place = run.place(&former.unit.key(former.way))?;
        run.put(place, former.unit.clone());
        run.decided = None;
        Some(run)
    }

    /// The last decision, where nothing has followed from it: it is recorded, and not carried out yet.
    #[must_use]
    pub fn standing_decision(&self) -> Option<(TaskKey, Decision)> {
        let decided = self.decided.as_ref()?;
        Some((decided.unit.key(decided.way), decided.decision))
    }

    /// A person has decided or amended something, and nothing has followed from it: the run waits for its resume.
    #[must_use]
    pub fn waits_for_resume(&self) -> bool {
        self.decided.is_some() || self.amended_last
    }

    /// Steps that a person has decided to go on without.
    pub fn skipped(&self) -> impl Iterator<Item = &Task> {
        self.units.iter().filter(|u| {
            let left_out = || self.step(u).is_some_and(|(_, s)| s.left_out.is_some());
            u.forward.status == Status::Skipped && !left_out()
        })
    }

    /// Steps that a rollback has passed over: what they did is still there, because a person said so.
    pub fn passed_over(&self) -> impl Iterator<Item = &Task> {
        let check = |u: &Task| self.step(u).is_some_and(|(_, s)| s.is_check());
        self.units
            .iter()
            .filter(move |u| u.forward.touched && u.backward.status == Status::Skipped && !check(u))
    }

    /// What the plan says about running one direction of a step again.
    #[must_use]
    pub fn traits(&self, unit: &Task, way: Direction) -> Traits {
        let of = |effect, on_doubt, has_probe| Traits {
            effect,
            on_doubt,
            has_probe,
        };
        let Some((_, step)) = self.step(unit) else {
            return of(Effect::Unsafe, OnDoubt::Ask, false);
        };
        match (way, &step.undo) {
            (Direction::Do, _) => of(step.effect, step.on_doubt, step.has_probe),
            (Direction::Undo, Undo::Action(u)) => of(u.effect, u.on_doubt, u.has_probe),
            (Direction::Undo, Undo::Own { on_doubt }) => of(Effect::Probed, *on_doubt, true),
            // A check at the end of a rollback changes nothing either.
            (Direction::Undo, Undo::Nothing) if step.is_check() => {
                of(step.effect, OnDoubt::Ask, false)
            }
            (Direction::Undo, Undo::PointOfNoReturn(_) | Undo::Nothing) => {
                of(Effect::Unsafe, OnDoubt::Ask, false)
            }
        }
    }

    /// An attempt in doubt may be followed by another without a person's word.
    pub(crate) fn may_repeat(&self, unit: &Task, way: Direction) -> bool {
        if unit.part(way).may_still_run() {
            return false;
        }
        let traits = self.traits(unit, way);
        match traits.effect {
            Effect::Pure | Effect::Idempotent => true,
            // The look was unclear, or there is none: the author's word counts, and `ask` is the default.
            Effect::Probed | Effect::Unsafe => traits.on_doubt == OnDoubt::Retry,
        }
    }

    /// A failed attempt may be followed by another without a person's word.
    pub(crate) fn may_retry(&self, unit: &Task) -> bool {
        let part = &unit.forward;
        let times = self.step(unit).map_or(0, |(_, s)| s.retry.times);
        let effect = self.traits(unit, Direction::Do).effect;
        let barred = part.failed.as_ref().is_some_and(|f| match f.failure {
            // Whoever had it killed wants to be asked.
            Failure::Killed => true,
            // How far it came is not known.
            Failure::Timeout => effect == Effect::Unsafe,
            Failure::Exit(_) | Failure::Signal(_) | Failure::NotStarted | Failure::Evidence => {
                false
            }
        });
        let survivors = part.failed.as_ref().is_some_and(|f| f.left_behind);
        part.failures <= times && !barred && !survivors && part.kill.is_none()
    }

    /// The run counts as the target's present: it was not reversed, and a step of it may have changed something.
    #[must_use]
    pub fn effective(&self) -> bool {
        let changes = |unit: &Task| self.traits(unit, Direction::Do).effect != Effect::Pure;
        self.ended != Some(Ended::RolledBack)
            && (self.ended.is_none() || self.touched().any(changes))
    }

    /// The phase that the run is in: that of the first step which is not settled, or of the next to be reversed.
    #[must_use]
    pub fn phase(&self) -> Option<&str> {
        let unit = match self.way {
            Direction::Do => self.unsettled().next(),
            Direction::Undo => self.left_backwards().next(),
        };
        unit.and_then(|u| self.step(u)).map(|(phase, _)| phase)
    }

    /// A rollback cannot go behind this unit's step.
    pub(crate) fn is_no_return(&self, unit: &Task) -> bool {
        let step = self.step(unit);
        step.is_some_and(|(_, s)| matches!(s.undo, Undo::PointOfNoReturn(_)))
    }
}
