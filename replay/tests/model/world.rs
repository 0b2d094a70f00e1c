//! What the model's machine holds: the durable ledger, job directories, processes, runners with a memory that a crash
//! takes, and, for the judge alone, what the commands really did.

use super::runner::Runner;
use crate::world::{run, when};
use std::collections::BTreeSet;
use std::rc::Rc;
use upledger_replay::attempt::{Command, Ending, Killed};
use upledger_replay::decide::{self, Next, Now};
use upledger_replay::event::*;
use upledger_replay::plan::{Effect, OnDoubt, Plan, Undo};
use upledger_replay::state::{Run, When};
use upledger_replay::verdict::{Facts, Lock, Token};

/// What is there of one step on one target, in truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thing {
    Absent,
    Partial,
    Whole,
}

/// A job directory, as far as it can still be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dir {
    There,
    /// Its spec is another one.
    Altered,
    Gone,
}

/// How far a supervisor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Supervisor {
    None,
    /// It was spawned and has not come yet. It may come at any time.
    Coming,
    /// It holds both locks.
    Locked,
    /// Its token has a name, which is not durable yet.
    Linked,
    /// Its token is durable.
    Tokened,
    Watching,
    Killing(Killed<'static>),
    /// It knows how the command ended.
    Ending(Outcome),
    /// The result is durable, and its lock is held.
    Written,
    Gone,
}

impl Supervisor {
    /// It holds `shim.lock`.
    pub(super) fn holds(self) -> bool {
        !matches!(self, Self::None | Self::Coming | Self::Gone)
    }
}

/// How far a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Process {
    None,
    Begun(Stage),
    Ended(Command<'static>),
}

/// What a living command has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Nothing,
    Noted,
    Half,
    Whole,
    Produced,
}

/// The content of the result slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) ending: Ending<'static>,
    pub(super) left_behind: bool,
    /// Output that was printed and not stored.
    pub(super) dropped: u64,
}

/// One job directory with the processes of its attempt.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) at: Attempt,
    /// The place of its unit.
    pub(super) place: usize,
    pub(super) nonce: String,
    pub(super) dir: Dir,
    /// How it was when it was last resolved.
    pub(super) seen_as: Dir,
    /// Whether somebody held a lock of it then.
    pub(super) seen_held: bool,
    pub(super) token: Option<Token>,
    /// A power cut does not take the token.
    pub(super) synced: bool,
    /// The `kill` file.
    pub(super) kill: bool,
    /// What the action has written for the record.
    pub(super) spool: Vec<Event>,
    pub(super) produced: bool,
    pub(super) result: Option<Outcome>,
    /// What the look at the evidence saw.
    pub(super) looked: Option<Answer>,
    pub(super) supervisor: Supervisor,
    pub(super) command: Process,
    /// A process that outlives the command.
    pub(super) child: bool,
    pub(super) dropped: u64,
    /// When the supervisor began to watch.
    pub(super) since: u64,
}

impl Job {
    /// Its command or a descendant of it lives.
    pub(super) fn lives(&self) -> bool {
        self.child || matches!(self.command, Process::Begun(_))
    }

    fn holds_tree(&self) -> bool {
        // Until the command has it, the supervisor does.
        let own = matches!(
            self.supervisor,
            Supervisor::Locked | Supervisor::Linked | Supervisor::Tokened
        );
        own || self.lives()
    }

    /// Nobody holds a lock of it, as far as can be told.
    pub(super) fn quiet(&self) -> bool {
        self.dir == Dir::Gone || !(self.supervisor.holds() || self.holds_tree())
    }

    /// Takes the token for a resolver, as whoever looks does, and says who has it.
    pub(super) fn fence(&mut self) -> Token {
        // Whoever made it, it is durable when something is concluded from it.
        self.synced = true;
        *self.token.get_or_insert(Token::Fenced)
    }

    /// Everything that a resolver reads.
    pub(super) fn facts(&mut self) -> Option<Facts> {
        if self.dir == Dir::Gone {
            return None;
        }
        let lock = |held| if held { Lock::Held } else { Lock::Free };
        Some(Facts {
            token: self.fence(),
            shim: lock(self.supervisor.holds()),
            tree: lock(self.holds_tree()),
            result: self.result.is_some(),
            ours: self.dir == Dir::There,
        })
    }

    /// Its processes end at once, and what they knew is lost.
    pub(super) fn kill_all(&mut self) {
        if self.supervisor != Supervisor::None {
            self.supervisor = Supervisor::Gone;
        }
        if let Process::Begun(_) = self.command {
            self.command = Process::Ended(Command::Signaled(9));
        }
        self.child = false;
    }
}

/// What a command did, for the judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    /// It was executed.
    Executed,
    /// Its effect began.
    Began,
    /// A look was taken at what it left, by somebody who was in doubt.
    LookedAt,
}

/// A deed in the file of effects, which is outside the program's state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) deed: Deed,
    pub(super) job: usize,
    /// So many events were durable then.
    pub(super) ledger: usize,
}

/// The machine.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) plan: Rc<Plan>,
    pub(super) ledger: Vec<Rc<(Event, When)>>,
    /// The ledger, folded as it grew.
    pub(super) state: Run,
    /// Every job directory that was ever made.
    pub(super) jobs: Vec<Job>,
    /// By place of the unit.
    pub(super) things: Vec<Thing>,
    pub(super) marks: Vec<Mark>,
    pub(super) runners: [Option<Runner>; 2],
    /// Who holds the runner's lock.
    pub(super) lock: Option<usize>,
    /// Whose `kill` file is about to be written, by whoever has recorded the wish.
    pub(super) killer: Option<usize>,
    /// The boot clock, µs.
    pub(super) mono: u64,
    pub(super) boot: u32,
    /// How much of the ledger was told to somebody.
    pub(super) told: usize,
    /// What was done, for the reader of a counterexample.
    pub(super) trace: Vec<String>,
    /// What was reached.
    pub(super) seen: BTreeSet<String>,
}

impl World {
    /// A run that is planned, and its first runner, which holds the lock. `there`: what was done before the run came.
    pub(super) fn new(plan: Plan, there: &[bool]) -> Self {
        let state = run(plan);
        let things = state.units().iter().enumerate().map(|(place, _)| {
            if there.get(place) == Some(&true) {
                Thing::Whole
            } else {
                Thing::Absent
            }
        });
        let mut world = Self {
            plan: Rc::new(Plan::clone(&state.plan)),
            ledger: Vec::new(),
            jobs: Vec::new(),
            things: things.collect(),
            marks: Vec::new(),
            runners: [None, None],
            lock: Some(0),
            killer: None,
            mono: 1_000_000,
            boot: 1,
            told: 0,
            trace: Vec::new(),
            seen: BTreeSet::new(),
            state,
        };
        world.runners[0] = Some(Runner::first(&world));
        world
    }

    pub(super) fn now(&self) -> Now {
        Now {
            wall: 0,
            mono: self.mono,
            boot: format!("b{}", self.boot),
        }
    }

    pub(super) fn when(&self, seq: usize) -> When {
        When {
            mono: self.mono,
            boot: format!("b{}", self.boot),
            ..when(seq as u64 + 1)
        }
    }

    pub(super) fn next(&self) -> Next {
        decide::next(&self.state, &self.now())
    }

    /// A run with nothing but its plan, as every fold begins.
    pub(super) fn planned(&self) -> Run {
        run(Plan::clone(&self.plan))
    }

    /// A prefix of the ledger, folded by somebody who has just opened it.
    pub(super) fn folded(&self, upto: usize) -> Result<Run, String> {
        let mut run = self.planned();
        for entry in &self.ledger[..upto] {
            run.apply(&entry.0, &entry.1).map_err(|e| e.to_string())?;
        }
        Ok(run)
    }

    /// Makes an event durable.
    pub(super) fn append(&mut self, event: Event) -> Result<(), String> {
        let when = self.when(self.ledger.len());
        self.state
            .apply(&event, &when)
            .map_err(|e| format!("a durable event is impossible: {e}: {event:?}"))?;
        self.trace
            .push(format!("    recorded: {}", in_words(&event)));
        self.saw(event.kind());
        if let Some(word) = finer(&event) {
            self.saw(word);
        }
        self.ledger.push(Rc::new((event, when)));
        Ok(())
    }

    pub(super) fn saw(&mut self, what: impl Into<String>) {
        self.seen.insert(what.into());
    }

    pub(super) fn mark(&mut self, deed: Deed, job: usize) {
        let ledger = self.ledger.len();
        self.marks.push(Mark { deed, job, ledger });
    }

    /// The directory of an attempt by the nonce of its intent.
    pub(super) fn job_of(&self, run: &Run, at: &Attempt) -> Option<usize> {
        let nonce = &run.part(&at.part)?.started.as_ref()?.nonce;
        (self.jobs.iter()).position(|job| job.at == *at && job.nonce == *nonce)
    }

    /// What a look sees of a part, when it sees anything.
    pub(super) fn truth(&self, place: usize, way: Direction) -> Answer {
        match (self.things[place], way) {
            (Thing::Partial, _) => Answer::Unclear,
            (Thing::Whole, Direction::Do) | (Thing::Absent, Direction::Undo) => Answer::Done,
            (Thing::Absent, Direction::Do) | (Thing::Whole, Direction::Undo) => Answer::Nothing,
        }
    }

    /// What the plan says about running one direction of a step again, read from the plan itself.
    pub(super) fn says(&self, part: &TaskKey) -> Says {
        let step = self.plan.step(&part.step).expect("a step of the plan");
        let (effect, retry, look) = match (part.way, &step.undo) {
            (Direction::Do, _) => (step.effect, step.on_doubt, step.has_probe),
            (Direction::Undo, Undo::Action(u)) => (u.effect, u.on_doubt, u.has_probe),
            (Direction::Undo, Undo::Own { on_doubt }) => (Effect::Probed, *on_doubt, true),
            // It has no undo, and none may be started: I7.
            (Direction::Undo, Undo::PointOfNoReturn(_) | Undo::Nothing) => {
                (Effect::Unsafe, OnDoubt::Ask, false)
            }
        };
        Says {
            effect,
            repeatable: matches!(effect, Effect::Pure | Effect::Idempotent)
                || retry == OnDoubt::Retry,
            look,
        }
    }

    pub(super) fn place(&self, part: &TaskKey) -> usize {
        self.state.place(part).expect("a part of the plan")
    }
}

/// What the plan says about one direction of a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Says {
    pub(super) effect: Effect,
    /// Without a person's word, an attempt that is in doubt may be followed by another.
    pub(super) repeatable: bool,
    pub(super) look: bool,
}

/// An event in a few words.
pub(super) fn in_words(event: &Event) -> String {
    let about = match (event.attempt(), event.part()) {
        (Some(at), _) => format!(" {} #{}", at.part, at.attempt),
        (None, Some(part)) => format!(" {part}"),
        (None, None) => String::new(),
    };
    let more = match event {
        Event::StepFailed(f) => format!(": {:?}", f.failure),
        Event::StepDoubted(d) => format!(": {:?}", d.doubt),
        Event::StepProbed(p) => format!(": {:?}", p.answer),
        Event::StepDecided(d) => format!(": {:?}", d.decision),
        Event::RollbackStarted(r) => format!(" to {:?}", r.to),
        _ => String::new(),
    };
    format!("{}{about}{more}", event.kind())
}

/// Which of its kind an event is, where kinds are not enough to say what was reached.
fn finer(event: &Event) -> Option<String> {
    Some(match event {
        Event::StepFailed(f) => match f.failure {
            Failure::Exit(_) => "failure Exit".into(),
            Failure::Signal(_) => "failure Signal".into(),
            Failure::Timeout | Failure::Killed | Failure::NotStarted | Failure::Evidence => {
                format!("failure {:?}", f.failure)
            }
        },
        Event::StepDoubted(d) => format!("doubt {:?}", d.doubt),
        Event::StepProbed(p) => format!("answer {:?}", p.answer),
        Event::StepDecided(d) => format!("decision {:?}", d.decision),
        Event::StepStarted(s) if s.at.part.way == Direction::Undo => "an undo".into(),
        _ => return None,
    })
}
