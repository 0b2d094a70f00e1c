//! The live state of a run in addition to its events: read from the machine on request, and never recorded.

use super::lines::part_of;
use super::{duration, status};
use crate::clock;
use crate::text::screen as text;
use serde_json::{Value, json};
use upledger_replay::decide::{self, Next};
use upledger_replay::event::{Event, TaskKey};
use upledger_replay::runs::way_word;
use upledger_replay::state::Run;

/// The result of inspecting a run on this machine.
#[derive(Debug, Clone, Default)]
pub struct Now {
    /// When that was.
    pub clock: decide::Now,
    /// A runner is active.
    pub live: bool,
    /// How the command of the open attempt stands, where one is open.
    pub command: Option<Command>,
    /// Why its supervisor does not react, where it does not.
    pub stuck: Option<Stuck>,
    /// The undo that is asked about, where one is.
    pub undo: Option<Undo>,
}

/// A supervisor that lives and does not do its work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stuck {
    /// The supervisor.
    pub pid: Option<i32>,
    /// It is stopped, or frozen.
    pub stopped: bool,
    /// How long ago the time limit passed, in ms.
    pub overdue_ms: Option<u64>,
    /// How long ago a kill was asked for, in ms.
    pub asked_ms: Option<u64>,
}

/// An undo that waits for an operator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Undo {
    /// What it runs, in lines.
    pub command: Vec<String>,
    /// Where the former content is that it puts back: the place, and what it is the content of.
    pub kept: Vec<(String, String)>,
}

/// How the command of an open attempt stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// It was not started so far, or never will be.
    NotStarted,
    /// It runs, under its supervisor, as this process.
    Running(Option<i32>),
    /// It has ended, and its exact result is there.
    Ended,
    /// Its supervisor has exited, and these processes of it are running.
    Alone(Vec<i32>),
    /// It has exited, and its result is unknown.
    Unseen,
    /// Unknown.
    Lost,
}

impl Now {
    /// As it was at a run's last event: nothing was looked at.
    #[must_use]
    pub fn then(run: &Run) -> Self {
        Self {
            clock: clock::then(&run.last),
            ..Self::default()
        }
    }

    /// Nothing was looked at but whether there is a runner.
    #[must_use]
    pub fn of_runner(live: bool) -> Self {
        Self {
            clock: clock::now(),
            live,
            ..Self::default()
        }
    }
}

/// What is told of a supervisor that does not react.
#[must_use]
pub fn stuck_lines(run: &Run, now: &Now) -> Vec<String> {
    let (Some(part), Some(stuck)) = (run.open(), now.stuck) else {
        return Vec::new();
    };
    let part = part_of(Some(run), &part);
    let mut out = Vec::new();
    out.extend(
        stuck
            .overdue_ms
            .map(|ms| text::supervisor_overdue(&part, duration(ms))),
    );
    out.extend(
        stuck
            .asked_ms
            .map(|ms| text::supervisor_asked(&part, duration(ms))),
    );
    match stuck.pid {
        Some(pid) if stuck.stopped => out.push(text::supervisor_stopped(&part, pid)),
        Some(pid) => out.push(text::supervisor_silent(&part, pid)),
        None => {}
    }
    out
}

/// The hint for a run that should continue but has no runner.
#[must_use]
pub fn deserted_lines(run: &Run, now: &Now) -> Vec<String> {
    let mut out = Vec::new();
    if let (Some(part), Some(command)) = (run.open(), &now.command) {
        out.push(command_line(run, &part, command, &now.clock));
    }
    let Some(decision) = decision_line(run, false) else {
        out.push(text::nobody_drives("upledger resume"));
        return out;
    };
    out.push(decision);
    out.extend(decision_next(run));
    let next = decide::next(run, &now.clock);
    if matches!(&next, Next::Record(event) if matches!(**event, Event::RollbackStarted(_))) {
        out.push(text::turns_round());
    }
    out
}

fn command_line(run: &Run, part: &TaskKey, command: &Command, now: &decide::Now) -> String {
    let what = part_of(Some(run), part);
    match command {
        Command::NotStarted => text::command_not_started(what),
        Command::Running(pid) => {
            let begun = run.part(part).map(|p| p.started_at.clone());
            let for_ms = begun
                .filter(|at| at.boot == now.boot)
                .map_or(0, |at| now.mono.saturating_sub(at.mono) / 1000);
            match pid {
                Some(pid) => text::command_runs(what, pid, duration(for_ms)),
                None => text::command_runs_somewhere(what, duration(for_ms)),
            }
        }
        Command::Ended => text::command_ended(what),
        Command::Alone(pids) => {
            let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
            text::command_alone(what, crate::text::list(&pids))
        }
        Command::Unseen => text::command_unseen(what),
        Command::Lost => text::command_lost(what),
    }
}

/// A decision that is recorded. It is not carried out yet, except where it `asks` what is next: then nothing else follows
/// from it.
#[must_use]
pub fn decision_line(run: &Run, asks: bool) -> Option<String> {
    let (part, decision) = run.standing_decision()?;
    let word = status::decision_word(decision);
    let reason = run.part(&part).map_or("", |p| p.detail.as_str());
    let (part, reason) = (part_of(Some(run), &part), super::safe(reason));
    Some(match asks {
        true => text::decision_made(word, part, reason),
        false => text::decision_stands(word, part, reason),
    })
}

/// How such a decision is carried out, or said again.
#[must_use]
pub fn decision_next(run: &Run) -> Option<String> {
    let (part, _) = run.standing_decision()?;
    Some(text::decision_may_change(format!(
        "upledger decide {} ...",
        part.step
    )))
}

/// The same in one clause, for a list of runs.
#[must_use]
pub fn decision_clause(run: &Run) -> Option<String> {
    let (part, decision) = run.standing_decision()?;
    Some(text::decision_waits(
        status::decision_word(decision),
        part_of(Some(run), &part),
    ))
}

/// The decision for programs.
#[must_use]
pub fn decision_value(run: &Run) -> Value {
    let Some((part, decision)) = run.standing_decision() else {
        return Value::Null;
    };
    json!({
        "step": part.step,
        "target": part.target,
        "way": way_word(part.way),
        "decision": status::decision_word(decision),
        "reason": run.part(&part).map(|p| &p.detail),
    })
}

/// The open attempt for programs.
#[must_use]
pub fn command_value(run: &Run, now: &Now) -> Value {
    let (Some(part), Some(command)) = (run.open(), &now.command) else {
        return Value::Null;
    };
    let (state, pids) = match command {
        Command::NotStarted => ("not_started", Vec::new()),
        Command::Running(pid) => ("running", pid.iter().copied().collect()),
        Command::Ended => ("ended", Vec::new()),
        Command::Alone(pids) => ("alone", pids.clone()),
        Command::Unseen => ("unseen", Vec::new()),
        Command::Lost => ("lost", Vec::new()),
    };
    json!({
        "step": part.step,
        "target": part.target,
        "way": way_word(part.way),
        "attempt": run.part(&part).map(|p| p.attempts),
        "state": state,
        "pids": pids,
        "supervisor": now.stuck.map(|s| json!({
            "pid": s.pid,
            "stopped": s.stopped,
            "overdue_ms": s.overdue_ms,
            "kill_asked_ms": s.asked_ms,
        })),
    })
}
