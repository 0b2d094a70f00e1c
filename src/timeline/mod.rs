//! The timeline of a run: a fold of its events into attempts, waits, marks and outages, and the formats in which people
//! and programs read it.
//!
//! Invariants: nothing here looks at anything but events; every number is computed from them, and each part names the
//! sequence numbers that prove it. Time in which nobody drove the run is shown as unknown, never as work.

mod chrome;
pub mod comparison;
mod csv;
mod fold;
mod grafana;
mod html;
mod markdown;
mod mermaid;
mod otlp;
mod summary;

pub use csv::csv;
pub use fold::fold;
pub(crate) use fold::{by_program, undo_kind};
pub use html::{HtmlError, html};
pub use markdown::markdown;
pub(crate) use markdown::{cell, detail, outcome};
pub use mermaid::mermaid;
pub use {chrome::chrome, grafana::grafana, otlp::otlp};

use crate::report::{local_date, local_time};
use crate::text::timeline as text;
use serde::Serialize;
use upledger_replay::event::Direction;
use upledger_replay::plan::Change;

/// A moment, as an event recorded it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// Wall time, UTC, RFC 3339.
    pub ts: String,
    /// The same in microseconds since 1970.
    pub us: i64,
    /// The event that proves it.
    pub seq: u64,
}

/// How an attempt ended, or that there was none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It succeeded.
    Succeeded,
    /// It failed.
    Failed,
    /// Nobody saw how it ended.
    InDoubt,
    /// It provably never started.
    Fenced,
    /// It was not started: its look before failed.
    Refused,
    /// It was done before the run came.
    Satisfied,
    /// It was left out.
    Skipped,
    /// Its end is not recorded yet.
    Running,
}

/// One attempt of a step, or a step that needed none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bar {
    /// The phase.
    pub phase: String,
    /// The step.
    pub step: String,
    /// The kind of its action.
    pub kind: String,
    /// Where.
    pub target: String,
    /// Forwards or backwards.
    pub way: Direction,
    /// A check that is made again once everything is undone; it undoes nothing.
    pub check: bool,
    /// From 1; 0 for what needed none.
    pub attempt: u32,
    /// Its intent.
    pub start: Moment,
    /// When its outcome was recorded.
    pub end: Option<Moment>,
    /// How long it took by the boot clock, in milliseconds; none where nobody saw it.
    pub took_ms: Option<u64>,
    /// How it ended.
    pub outcome: Outcome,
    /// What settled it afterwards: a probe or a person.
    pub settled: Option<String>,
    /// What it counts as since.
    pub settled_as: Option<Outcome>,
    /// One line on the outcome.
    pub detail: String,
    /// What the checks saw, and the last lines that it printed.
    pub evidence: Vec<String>,
    /// The command.
    pub command: Vec<String>,
    /// What happened on the way: adoptions, escalations, a kill.
    pub on_the_way: Vec<String>,
}

impl Bar {
    /// When it ended, in microseconds: its beginning and its duration where that was seen, else when the outcome was
    /// recorded; none of one that runs.
    #[must_use]
    pub fn end_us(&self) -> Option<i64> {
        let recorded = self.end.as_ref()?.us;
        let took = self.took_ms.and_then(|ms| i64::try_from(ms).ok());
        Some(took.map_or(recorded, |ms| (self.start.us + ms * 1000).min(recorded)))
    }

    /// Nobody saw when it ended.
    #[must_use]
    pub fn end_is_unknown(&self) -> bool {
        matches!(self.outcome, Outcome::InDoubt | Outcome::Running)
            || (self.took_ms.is_none() && self.attempt > 0 && self.outcome != Outcome::Fenced)
    }
}

/// Something that happened at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mark {
    /// When.
    pub at: Moment,
    /// The kind of its event.
    pub kind: &'static str,
    /// Who, or in whose session.
    pub actor: String,
    /// It is upledger's own conclusion, or what the plan asks for.
    pub program: bool,
    /// The step that it is about.
    pub step: Option<String>,
    /// In words, as the log has it.
    pub words: String,
    /// The same without the verb.
    pub detail: String,
}

impl Mark {
    /// Who did it: a person, or upledger in the session of one.
    pub(crate) fn who(&self) -> String {
        match self.program {
            true => text::in_session_of(&self.actor),
            false => self.actor.clone(),
        }
    }
}

/// Why nothing ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Idle {
    /// Somebody had to decide, or to resume.
    Person,
    /// The plan's pause after a failure, or looks between steps.
    Between,
    /// An attempt was open, and nobody drove the run.
    NoRunner,
}

/// A time in which no attempt was followed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Wait {
    /// Since when.
    pub from: Moment,
    /// Until when.
    pub until: Moment,
    /// Why.
    pub why: Idle,
}

/// A time in which users were shut out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outage {
    /// The intent of the step that shut them out.
    pub from: Moment,
    /// The first good check after they were let in, or that step where none came before they were shut out again, or the
    /// record ends; none while they are out.
    pub until: Option<Moment>,
    /// The step that shut them out.
    pub closed_by: String,
    /// The step that proves that they are let in.
    pub opened_by: Option<String>,
    /// Backwards where a rollback shut them out.
    pub way: Direction,
}

impl Outage {
    /// How long it lasted, in milliseconds.
    #[must_use]
    pub fn ms(&self) -> Option<u64> {
        let until = self.until.as_ref()?;
        u64::try_from((until.us - self.from.us) / 1000).ok()
    }
}

/// A run, as its events tell it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timeline {
    /// The shape of this object.
    pub schema: &'static str,
    /// The run's name.
    pub run: String,
    /// The plan's name.
    pub plan: String,
    /// The plan's digest.
    pub digest: String,
    /// The change that it belongs to.
    pub change: Option<Change>,
    /// How the run stands, as `status` says.
    pub state: String,
    /// The same for people.
    #[serde(skip)]
    pub shown: String,
    /// Who began it.
    pub actor: String,
    /// Its first event.
    pub from: Moment,
    /// Its last event.
    pub until: Moment,
    /// How many events it has.
    pub events: usize,
    /// How many steps its plan has.
    pub steps: usize,
    /// Those of which nothing was begun or skipped.
    pub unreached: Vec<String>,
    /// The run should go on, and had no runner when this was written.
    pub deserted: bool,
    /// Attempts, in the order of their beginning.
    pub bars: Vec<Bar>,
    /// Decisions, notes, pauses, and what else happened at one moment.
    pub marks: Vec<Mark>,
    /// Times in which nothing was followed.
    pub waits: Vec<Wait>,
    /// Times in which users were shut out.
    pub outages: Vec<Outage>,
}

impl Timeline {
    /// How long users were shut out in all, in milliseconds; none while they are.
    #[must_use]
    pub fn outage_ms(&self) -> Option<u64> {
        self.outages.iter().map(Outage::ms).sum()
    }

    /// The same of a run that should go on and has no runner.
    #[must_use]
    pub fn without_runner(self) -> Self {
        Self {
            deserted: true,
            shown: text::interrupted(),
            ..self
        }
    }

    /// A time of day; with the date in a run that goes on over midnight.
    pub(crate) fn clock(&self, ts: &str) -> String {
        let (from, until) = (local_date(&self.from.ts), local_date(&self.until.ts));
        match local_date(ts).get("2026-".len()..) {
            Some(day) if from != until => format!("{day} {}", local_time(ts)),
            _ => local_time(ts),
        }
    }

    /// How long it took, in milliseconds.
    #[must_use]
    pub fn whole_ms(&self) -> u64 {
        u64::try_from((self.until.us - self.from.us) / 1000).unwrap_or(0)
    }

    /// The first ten lines: what was to be done, what happened, and how it ended.
    #[must_use]
    pub fn summary(&self) -> Vec<String> {
        summary::summary(self)
    }

    /// The phases in the order in which they were entered, each with its bars; going back is another phase, and so are
    /// the checks after it, of whatever phase they are.
    pub(crate) fn phases(&self) -> Vec<(&str, Direction, Vec<&Bar>)> {
        let mut phases: Vec<(&str, Direction, Vec<&Bar>)> = Vec::new();
        for bar in &self.bars {
            match phases.last_mut() {
                Some((phase, way, bars))
                    if *way == bar.way
                        && bars.last().is_none_or(|last| last.check == bar.check)
                        && (bar.check || *phase == bar.phase) =>
                {
                    bars.push(bar)
                }
                _ => phases.push((&bar.phase, bar.way, vec![bar])),
            }
        }
        phases
    }
}
