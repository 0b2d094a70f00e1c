//! What can happen next, at any moment: a turn of a runner, a step of a supervisor or a command, a crash, a power cut, a
//! hand that meddles, a person.

use super::runner::{Doing, Goes, Runner, Turn, Wish};
use super::world::{Deed, Dir, Outcome, Process, Stage, Supervisor, Thing, World};
use crate::world::noted;
use std::fmt;
use upledger_replay::attempt::{Command, Ending, Killed};
use upledger_replay::decide::{Check, Conclusion, Next, Request, check_of_done, conclusion};
use upledger_replay::event::*;
use upledger_replay::plan::{Effect, Plan, Undo};
use upledger_replay::state::Ended;
use upledger_replay::verdict::Token;

/// One thing that happens.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Act {
    Runner(usize, Turn),
    Supervisor(usize, Shim),
    Command(usize, Does),
    /// A process that outlived its command ends.
    ChildEnds(usize),
    /// A runner is started: it reads the ledger, and then waits for the lock.
    Open(usize, Wish),
    CrashRunner(usize),
    CrashSupervisor(usize),
    /// Every process ends; a token that is not durable may be gone.
    PowerCut {
        forgets: bool,
    },
    TimePasses,
    Meddle(usize, Dir),
    Person(Person),
}

/// What a supervisor does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shim {
    /// What comes next.
    On,
    CannotExecute,
    TimeIsUp,
    /// What it has sent KILL to does not end, and it has waited long enough.
    GivesUp,
}

/// What a command does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Does {
    On,
    Escalates,
    /// It prints what is not stored.
    Overflows,
    LeavesChild,
    Fails,
    /// It ends well with half of it done.
    Pretends,
    /// It ends well and does not say what it produced.
    IsSilent,
    Dies,
}

/// What a person does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Person {
    Decide(Decision),
    Remark,
    Pause,
    Abort,
    /// Ends a run whose abort is recorded, as whoever records an abort does at once.
    Conclude,
    /// Records that the open attempt is to be killed.
    Kill,
    /// The second half of that.
    PutKillFile,
    /// Does or takes back by hand what is asked about.
    ByHand(Thing),
    /// Gives the step of that number another definition; whoever does it holds the lock.
    Amend(usize),
}

/// How often something goes wrong, or somebody comes by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weather {
    pub(super) crashes: u32,
    pub(super) kills: u32,
    pub(super) failures: u32,
    pub(super) meddling: u32,
    pub(super) people: u32,
    /// How often somebody rolls back to the first step, to go forwards again.
    pub(super) turns: u32,
}

impl Weather {
    /// Nothing goes wrong, and nobody comes.
    pub(super) const FAIR: Self = Self {
        crashes: 0,
        kills: 0,
        failures: 0,
        meddling: 0,
        people: 0,
        turns: 0,
    };
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// How likely it is that what is under way goes on, in the scale of [`Weather`].
const WELL: u32 = 100;

/// Everything that can happen now, with how likely it is. What goes well comes first.
pub(super) fn possible(w: &World, weather: Weather) -> Vec<(u32, Act)> {
    let mut all = Vec::new();
    for (i, runner) in w.runners.iter().enumerate() {
        let Some(runner) = runner else { continue };
        for turn in runner.turns(w) {
            let weight = match turn {
                Turn::Well => WELL,
                Turn::Unclear | Turn::Refused | Turn::Unspawned | Turn::Late => weather.failures,
                Turn::Slow | Turn::Impatient => 5,
                Turn::Interrupt | Turn::Detach => weather.people,
            };
            all.push((weight, Act::Runner(i, *turn)));
        }
    }
    for job in 0..w.jobs.len() {
        of_supervisor(w, job, weather, &mut all);
        of_command(w, job, weather, &mut all);
    }
    of_people(w, weather, &mut all);
    all.push((weather.failures, Act::TimePasses));
    for (i, runner) in w.runners.iter().enumerate() {
        if runner.is_some() {
            all.push((weather.crashes, Act::CrashRunner(i)));
        }
    }
    if w.lock.is_some() || w.jobs.iter().any(|job| !job.quiet()) {
        let half = weather.crashes.div_ceil(3);
        all.push((half, Act::PowerCut { forgets: false }));
        all.push((half, Act::PowerCut { forgets: true }));
    }
    if let Some(job) = w
        .state
        .open_attempt()
        .and_then(|at| w.job_of(&w.state, &at))
        && w.jobs[job].dir == Dir::There
    {
        all.push((weather.meddling, Act::Meddle(job, Dir::Altered)));
        all.push((weather.meddling, Act::Meddle(job, Dir::Gone)));
    }
    all.retain(|(weight, _)| *weight > 0);
    all
}

fn of_supervisor(w: &World, job: usize, weather: Weather, all: &mut Vec<(u32, Act)>) {
    let of = &w.jobs[job];
    let limit = w.plan.step(&of.at.part.step).and_then(|s| s.timeout_ms);
    let late = limit.is_some_and(|ms| w.mono > of.since + ms * 1000);
    let mut add = |weight, shim| all.push((weight, Act::Supervisor(job, shim)));
    match of.supervisor {
        Supervisor::None | Supervisor::Gone => return,
        // It may come late.
        Supervisor::Coming => add(WELL / 2, Shim::On),
        Supervisor::Tokened => {
            add(WELL, Shim::On);
            add(weather.failures, Shim::CannotExecute);
        }
        Supervisor::Watching => match of.command {
            Process::Ended(_) => add(WELL, Shim::On),
            Process::None | Process::Begun(_) => {
                if of.kill && of.dir != Dir::Gone {
                    add(WELL, Shim::On);
                } else if late {
                    add(WELL, Shim::TimeIsUp);
                }
            }
        },
        Supervisor::Killing(_) => {
            add(WELL, Shim::On);
            if of.child && !matches!(of.command, Process::Begun(_)) {
                add(WELL / 4, Shim::GivesUp);
            }
        }
        Supervisor::Locked | Supervisor::Linked | Supervisor::Ending(_) | Supervisor::Written => {
            add(WELL, Shim::On)
        }
    }
    all.push((weather.kills, Act::CrashSupervisor(job)));
}

fn of_command(w: &World, job: usize, weather: Weather, all: &mut Vec<(u32, Act)>) {
    let of = &w.jobs[job];
    let mut add = |weight, does| all.push((weight, Act::Command(job, does)));
    if let Process::Begun(stage) = of.command {
        add(WELL, Does::On);
        add(weather.failures, Does::Fails);
        add(weather.kills, Does::Dies);
        if stage == Stage::Half {
            add(weather.failures, Does::Escalates);
            add(weather.failures, Does::Pretends);
            add(weather.failures, Does::Overflows);
        }
        if stage == Stage::Whole {
            add(weather.failures, Does::IsSilent);
        }
        if !of.child && stage > Stage::Nothing {
            add(weather.failures, Does::LeavesChild);
        }
    } else if of.child {
        all.push((WELL / 4, Act::ChildEnds(job)));
    }
}

fn of_people(w: &World, weather: Weather, all: &mut Vec<(u32, Act)>) {
    let mut add = |weight, person| all.push((weight, Act::Person(person)));
    let driven = w.runners.iter().any(Option::is_some);
    let asked = match w.next() {
        Next::Ask(question) => Some(question),
        _ => None,
    };
    if let Some(question) = &asked {
        // Somebody answers in the end.
        let weight = if driven { weather.people } else { WELL / 2 };
        for decision in &question.answers {
            if *decision != Decision::Done || agrees(w, &question.part) {
                add(weight, Person::Decide(*decision));
            }
        }
        if !driven {
            add(5 * weather.people, Person::ByHand(Thing::Whole));
            add(5 * weather.people, Person::ByHand(Thing::Absent));
        }
    } else if let Some((part, now)) = w.state.standing_decision() {
        // A wrong answer is taken back by another one.
        for decision in [Decision::Retry, Decision::Skip, Decision::Fail] {
            if decision != now && may_answer(w, &part, decision) {
                add(4 * weather.people, Person::Decide(decision));
            }
        }
    }
    if !driven {
        for step in 0..w.state.plan.steps().count() {
            if w.state.check(&amended(w, step)).is_ok() {
                add(weather.people, Person::Amend(step));
            }
        }
    }
    add(weather.people, Person::Remark);
    if w.state.ended.is_none() {
        if w.state.pause.is_none() {
            add(weather.people, Person::Pause);
        }
        add(weather.people / 2, Person::Abort);
    }
    if w.state.abort.is_some() && w.lock.is_none() {
        add(WELL / 2, Person::Conclude);
    }
    if w.state.open_attempt().is_some() {
        add(weather.people, Person::Kill);
    }
    if w.killer.is_some() {
        add(WELL / 2, Person::PutKillFile);
    }
    let Some(free) = w.runners.iter().position(Option::is_none) else {
        return;
    };
    if w.state.ended == Some(Ended::RolledBack) {
        return;
    }
    let (resume, back) = match (driven, w.state.ended, asked) {
        (true, _, _) => (weather.people, weather.people),
        (false, Some(_), _) => (0, WELL / 10),
        (false, None, Some(_)) => (WELL / 20, WELL / 4),
        (false, None, None) => (WELL, 2 * weather.people),
    };
    let first = w.plan.steps().next().map(|(_, step)| step.id.clone());
    all.push((resume, Act::Open(free, Wish::Resume)));
    all.push((back, Act::Open(free, Wish::RollBack(None))));
    let turn = if driven {
        back / 2
    } else {
        back / 2 + weather.turns
    };
    all.push((turn, Act::Open(free, Wish::RollBack(first))));
}

/// The plan with another definition of one step. What the judge asks the plan about stays the same.
fn amended(w: &World, step: usize) -> Event {
    let mut plan = Plan::clone(&w.state.plan);
    let mut steps = Vec::new();
    let all = plan.phases.iter_mut().flat_map(|p| &mut p.steps);
    if let Some(step) = all.into_iter().nth(step) {
        let version = step.why.as_ref().map_or(0, String::len);
        step.why = Some("x".repeat(version % 2 + 1));
        steps.push(step.id.clone());
    }
    Event::RunAmended(RunAmended {
        digest: String::new(),
        plan: plan.into(),
        steps,
        warnings: vec![],
        reason: "r".into(),
        given: Vec::new(),
    })
}

/// The step's own look agrees that it is done, where there is one.
fn agrees(w: &World, part: &TaskKey) -> bool {
    match check_of_done(&w.state, part) {
        Check::Probe => w.truth(w.place(part), part.way) == Answer::Done,
        Check::Verify => true,
    }
}

/// The question that was answered last, and the same answers to it.
fn may_answer(w: &World, part: &TaskKey, decision: Decision) -> bool {
    let before = w.state.before_decision(&part.step);
    let next = before.map(|run| upledger_replay::decide::next(&run, &w.now()));
    matches!(next, Some(Next::Ask(q)) if q.part == *part && q.answers.contains(&decision))
}

/// Lets it happen.
pub(super) fn perform(w: &mut World, act: &Act) -> Result<(), String> {
    w.trace.push(act.to_string());
    match act {
        Act::Runner(i, turn) => {
            let mut runner = w.runners[*i].take().ok_or("there is no such runner")?;
            match runner.turn(w, *i, *turn)? {
                Goes::On => w.runners[*i] = Some(runner),
                Goes::Away => release(w, *i),
            }
        }
        Act::Supervisor(job, shim) => supervise(w, *job, *shim),
        Act::Command(job, does) => command(w, *job, *does),
        Act::ChildEnds(job) => w.jobs[*job].child = false,
        Act::Open(i, wish) => {
            w.runners[*i] = Some(Runner::opened(w, Doing::Locking(wish.clone()))?);
        }
        Act::CrashRunner(i) => {
            w.runners[*i] = None;
            release(w, *i);
        }
        Act::CrashSupervisor(job) => {
            w.saw("supervisor killed");
            w.jobs[*job].supervisor = Supervisor::Gone;
        }
        Act::PowerCut { forgets } => power_cut(w, *forgets),
        Act::TimePasses => w.mono += 10_000_000,
        Act::Meddle(job, dir) => w.jobs[*job].dir = *dir,
        Act::Person(person) => of_person(w, *person)?,
    }
    Ok(())
}

fn release(w: &mut World, runner: usize) {
    if w.lock == Some(runner) {
        w.lock = None;
    }
}

fn power_cut(w: &mut World, forgets: bool) {
    w.runners = [None, None];
    w.lock = None;
    w.killer = None;
    w.boot += 1;
    w.mono = 1_000_000;
    for job in &mut w.jobs {
        job.kill_all();
        if forgets && !job.synced {
            job.token = None;
        }
        job.synced = true;
    }
}

/// The supervisor's next step, in the order of the program: locks, token, durable, start, wait, result.
fn supervise(w: &mut World, index: usize, shim: Shim) {
    let mono = w.mono;
    let job = &mut w.jobs[index];
    let next = match (job.supervisor, shim) {
        // Its spec is not the one that was intended.
        (Supervisor::Coming, _) if job.dir != Dir::There => Supervisor::Gone,
        (Supervisor::Coming, _) => Supervisor::Locked,
        (Supervisor::Locked, _) if job.kill || job.dir == Dir::Gone => Supervisor::Gone,
        (Supervisor::Locked, _) if job.token.is_some() => {
            if job.token == Some(Token::Fenced) {
                w.seen.insert("a late supervisor was fenced".into());
            }
            Supervisor::Gone
        }
        (Supervisor::Locked, _) => {
            job.token = Some(Token::Started);
            job.synced = false;
            Supervisor::Linked
        }
        (Supervisor::Linked, _) if job.dir == Dir::Gone => Supervisor::Gone,
        (Supervisor::Linked, _) => {
            job.synced = true;
            Supervisor::Tokened
        }
        (Supervisor::Tokened, Shim::CannotExecute) => Supervisor::Ending(Outcome {
            ending: Ending {
                command: Command::NotExecuted("no such file"),
                killed: None,
            },
            left_behind: false,
            dropped: 0,
        }),
        (Supervisor::Tokened, _) => {
            job.command = Process::Begun(Stage::Nothing);
            job.since = mono;
            job.supervisor = Supervisor::Watching;
            w.mark(Deed::Executed, index);
            return;
        }
        (Supervisor::Watching, Shim::TimeIsUp) => Supervisor::Killing(Killed::Timeout),
        (Supervisor::Watching, _) => match job.command {
            Process::Ended(command) => ending(job, command, None),
            Process::None | Process::Begun(_) => Supervisor::Killing(Killed::Request("asked")),
        },
        (Supervisor::Killing(why), _) => match job.command {
            Process::Ended(command) if !job.child || shim == Shim::GivesUp => {
                ending(job, command, Some(why))
            }
            Process::Ended(_) => {
                job.child = false;
                job.supervisor
            }
            // Whoever hears TERM may end in order, and say so.
            Process::Begun(stage) if stage >= Stage::Half => {
                job.produced = true;
                job.command = Process::Ended(Command::Exited(0));
                job.supervisor
            }
            Process::None | Process::Begun(_) => {
                job.command = Process::Ended(Command::Signaled(15));
                job.supervisor
            }
        },
        (Supervisor::Ending(outcome), _) => {
            if job.dir != Dir::Gone {
                job.result = Some(outcome);
            }
            Supervisor::Written
        }
        (Supervisor::Written | Supervisor::None | Supervisor::Gone, _) => Supervisor::Gone,
    };
    job.supervisor = next;
}

fn ending(
    job: &super::world::Job,
    command: Command<'static>,
    killed: Option<Killed<'static>>,
) -> Supervisor {
    Supervisor::Ending(Outcome {
        ending: Ending { command, killed },
        left_behind: job.child,
        dropped: job.dropped,
    })
}

fn command(w: &mut World, index: usize, does: Does) {
    let (place, at) = (w.jobs[index].place, w.jobs[index].at.clone());
    let pure = w.says(&at.part).effect == Effect::Pure;
    let job = &mut w.jobs[index];
    let Process::Begun(stage) = job.command else {
        return;
    };
    let to = |w: &mut World, stage| w.jobs[index].command = Process::Begun(stage);
    let ends = |w: &mut World, how| w.jobs[index].command = Process::Ended(how);
    match does {
        Does::Fails => ends(w, Command::Exited(1)),
        Does::Dies => ends(w, Command::Signaled(11)),
        Does::IsSilent => ends(w, Command::Exited(0)),
        Does::Pretends => {
            job.produced = true;
            ends(w, Command::Exited(0));
        }
        Does::LeavesChild => job.child = true,
        Does::Overflows => job.dropped += 1,
        Does::Escalates => job.spool.push(Event::StepEscalated(Escalated {
            at,
            what: "KILL".into(),
        })),
        Does::On => match stage {
            // What it announces must not be done when it cannot be written.
            Stage::Nothing if job.dir == Dir::Gone => ends(w, Command::Exited(1)),
            Stage::Nothing => {
                let mut note = noted(&at.part.step, at.part.way, at.attempt);
                if let Event::StepNoted(n) = &mut note {
                    n.at = at;
                }
                job.spool.push(note);
                to(w, Stage::Noted);
            }
            Stage::Noted => {
                if !pure {
                    w.things[place] = Thing::Partial;
                    w.mark(Deed::Began, index);
                }
                to(w, Stage::Half);
            }
            Stage::Half => {
                w.things[place] = match at.part.way {
                    Direction::Do => Thing::Whole,
                    Direction::Undo => Thing::Absent,
                };
                to(w, Stage::Whole);
            }
            Stage::Whole => {
                job.produced = true;
                to(w, Stage::Produced);
            }
            Stage::Produced => ends(w, Command::Exited(0)),
        },
    }
}

fn of_person(w: &mut World, person: Person) -> Result<(), String> {
    let reason = || Reason { reason: "r".into() };
    match person {
        Person::Remark => w.append(Event::NoteAdded(Note {
            text: String::new(),
        })),
        Person::Amend(step) => {
            let event = amended(w, step);
            w.append(event)
        }
        Person::Pause => w.append(Event::PauseRequested(reason())),
        Person::Abort => w.append(Event::AbortRequested(reason())),
        Person::Kill => {
            let at = w.state.open_attempt().ok_or("an attempt is open")?;
            w.killer = w.job_of(&w.state, &at);
            w.append(Event::KillRequested(KillRequested {
                at,
                reason: "r".into(),
            }))
        }
        Person::PutKillFile => {
            if let Some(job) = w.killer.take() {
                w.jobs[job].kill = w.jobs[job].dir != Dir::Gone;
            }
            Ok(())
        }
        Person::Decide(decision) => {
            let part = match (w.next(), w.state.standing_decision()) {
                (Next::Ask(question), _) => question.part,
                (_, Some((part, _))) => {
                    w.saw("decided anew");
                    part
                }
                (_, None) => return Err("something is asked".into()),
            };
            w.append(Event::StepDecided(Decided {
                part,
                decision,
                reason: String::new(),
                evidence: vec![],
                produced: None,
            }))
        }
        Person::ByHand(thing) => {
            if let Next::Ask(question) = w.next() {
                let place = w.place(&question.part);
                w.things[place] = thing;
            }
            Ok(())
        }
        Person::Conclude => match conclusion(&w.state, Request::Abort, &w.now()) {
            Conclusion::Record(event) => w.append(*event),
            Conclusion::Rests => Ok(()),
            Conclusion::Drive => {
                if let Some(free) = w.runners.iter().position(Option::is_none) {
                    w.runners[free] = Some(Runner::opened(w, Doing::Deciding)?);
                    w.lock = Some(free);
                }
                Ok(())
            }
        },
    }
}

/// A rollback cannot go behind this step.
pub(super) fn is_no_return(undo: &Undo) -> bool {
    matches!(undo, Undo::PointOfNoReturn(_))
}
