//! The live state of a run on this machine, in addition to its events. Read-only; never fences an attempt.

use crate::action::Direction;
use crate::attempt::inspect::Standing;
use crate::attempt::job::JobDir;
use crate::clock;
use crate::home::Home;
use crate::plan::samples;
use crate::report::now::{Command, Now, Undo};
use crate::site::Local;
use crate::site::task::PreparedTask;
use upledger_replay::decide::{self, Asked, Next, next};
use upledger_replay::plan::Undo as PlanUndo;
use upledger_replay::runs::way_word;
use upledger_replay::state::Run;

/// The live state.
pub(super) fn now(home: &Home, run: &Run, live: bool) -> Now {
    let clock = clock::now();
    Now {
        live,
        command: command(home, run),
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
    if let (PlanUndo::Own { .. }, Some(action), Some(unit)) = (
        &step.undo,
        samples::shown(&run.plan, &step.action),
        run.unit(&part),
    ) {
        let past = PreparedTask::past(unit, &part, &run.plan);
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

/// How the command of the open attempt stands.
fn command(home: &Home, run: &Run) -> Option<Command> {
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
    let Ok(Some(job)) = JobDir::open(&home.jobs(), &name) else {
        return Some(Command::Lost);
    };
    Some(match job.inspect(&started.spec) {
        Standing::NotStarted => Command::NotStarted,
        Standing::Running => Command::Running(job.pids().first().copied()),
        Standing::Ended => Command::Ended,
        Standing::Alone => Command::Alone(job.pids()),
        Standing::Unseen => Command::Unseen,
        Standing::Lost => Command::Lost,
    })
}
