//! The live state of a run on this machine, in addition to its events. Read-only; never fences an attempt.

use crate::action::Direction;
use crate::attempt::inspect::{REACTS, Standing};
use crate::attempt::job::JobDir;
use crate::clock;
use crate::home::Home;
use crate::plan::samples;
use crate::report::now::{Command, Now, Stuck, Undo, stuck_lines};
use crate::site::Local;
use crate::site::task::PreparedTask;
use std::time::{Duration, Instant};
use upledger_replay::decide::{self, Asked, Next, next};
use upledger_replay::plan::Undo as PlanUndo;
use upledger_replay::runs::way_word;
use upledger_replay::state::{Run, TaskState};

/// Between two looks at a supervisor that is to kill its command.
const GLANCE: Duration = Duration::from_millis(50);

/// The live state.
pub(super) fn now(home: &Home, run: &Run, live: bool) -> Now {
    let clock = clock::now();
    let (command, stuck) = command(home, run, &clock);
    Now {
        live,
        command,
        stuck,
        undo: undo(home, run, &clock),
        clock,
    }
}

/// What an undo that is asked about runs, and where that is kept which it puts back.
fn undo(home: &Home, run: &Run, clock: &decide::Now) -> Option<Undo> {
    let Next::Ask(question) = next(run, clock) else {
        return None;
    };
    let part = question.part;
    if part.way == Direction::Do || question.kind == Asked::NoReturn {
        return None;
    }
    let step = run.step_named(&part.step)?;
    let started = run.part(&part).and_then(|p| p.started.as_ref());
    let command = started.map(|s| s.command.clone()).unwrap_or_default();
    let mut kept = Vec::new();
    if let (PlanUndo::Own { .. }, Some(action), Some(_)) = (
        &step.undo,
        samples::shown(&run.plan, &step.action),
        run.unit(&part),
    ) {
        let past = PreparedTask::past(run, &part);
        let preview = Local::preview(&action, Direction::Undo, &past);
        let site = Local::new(&home.state);
        kept = preview
            .map(|p| p.kept)
            .unwrap_or_default()
            .into_iter()
            .map(|(kept, of)| (site.kept_at(&kept).display().to_string(), of))
            .collect();
    }
    Some(Undo { command, kept })
}

/// The job directory of the open attempt, and what is recorded of it.
fn open_job<'a>(home: &Home, run: &'a Run) -> Option<(Option<JobDir>, &'a TaskState)> {
    let part = run.open()?;
    let state = run.part(&part)?;
    let started = state.started.as_ref()?;
    let name = JobDir::name(
        &run.name,
        &part.step,
        &part.target,
        way_word(part.way),
        state.attempts,
        &started.nonce,
    );
    Some((JobDir::open(&home.jobs(), &name).ok().flatten(), state))
}

/// How the command of the open attempt stands, and why its supervisor does not react.
fn command(home: &Home, run: &Run, clock: &decide::Now) -> (Option<Command>, Option<Stuck>) {
    let Some((job, state)) = open_job(home, run) else {
        return (None, None);
    };
    let Some(job) = job else {
        return (Some(Command::Lost), None);
    };
    let spec = state.started.as_ref().map_or("", |s| &s.spec);
    let command = match job.inspect(spec) {
        Standing::NotStarted => Command::NotStarted,
        Standing::Running => {
            let stuck = job.stuck(overdue(state, clock)).map(|stuck| Stuck {
                pid: stuck.pid,
                stopped: stuck.stopped,
                overdue_ms: stuck.overdue.map(millis),
                asked_ms: stuck.asked.map(millis),
            });
            return (Some(Command::Running(job.pids().first().copied())), stuck);
        }
        Standing::Ended => Command::Ended,
        Standing::Alone => Command::Alone(job.pids()),
        Standing::Unseen => Command::Unseen,
        Standing::Lost => Command::Lost,
    };
    (Some(command), None)
}

/// How long ago the time limit of the open attempt passed, as far as this boot's clock tells.
fn overdue(state: &TaskState, clock: &decide::Now) -> Option<Duration> {
    let limit = state.started.as_ref()?.timeout_ms?.saturating_mul(1000);
    let at = &state.started_at;
    let late = clock.mono.checked_sub(at.mono.saturating_add(limit))?;
    (at.boot == clock.boot).then(|| Duration::from_micros(late))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Waits until the supervisor of the open attempt sets out to kill its command, or the command is over; else says why it
/// does not react.
pub(super) fn await_kill(home: &Home, run: &Run) -> Vec<String> {
    let over = || {
        let Some((Some(job), state)) = open_job(home, run) else {
            return true;
        };
        let spec = state.started.as_ref().map_or("", |s| &s.spec);
        job.killing().is_some() || job.inspect(spec) != Standing::Running
    };
    let until = Instant::now() + REACTS + GLANCE;
    while !over() {
        if Instant::now() > until {
            return stuck_lines(run, &now(home, run, false));
        }
        std::thread::sleep(GLANCE);
    }
    Vec::new()
}
