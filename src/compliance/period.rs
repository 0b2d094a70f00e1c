//! The runs of a period, as auditors sample them: who, what, how it ended, what it cost the users, doubts and rollbacks.

use super::Verification;
use super::fact::{Seqs, Shown, Time, Word};
use super::view::seqs;
use crate::clock;
use crate::journal::Entry;
use crate::report::{duration, status};
use crate::text::compliance as text;
use crate::timeline;
use chrono::{DateTime, Days, Local, NaiveDate, NaiveTime, SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::str::FromStr;
use upledger_replay::event::Event;
use upledger_replay::state::Run;

/// A time with open or closed ends: a run belongs to it that began in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Range {
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
}

/// A text that names no such time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", crate::text::usage::range())]
pub struct RangeError;

impl FromStr for Range {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let (since, until) = text.split_once("..").ok_or(RangeError)?;
        let range = Self {
            since: edge(since, false)?,
            until: edge(until, true)?,
        };
        match (range.since, range.until) {
            (Some(since), Some(until)) if since >= until => Err(RangeError),
            _ => Ok(range),
        }
    }
}

/// An end: a date is that of the machine's zone, and its whole day belongs to the range.
fn edge(text: &str, is_end: bool) -> Result<Option<DateTime<Utc>>, RangeError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(Some(at.with_timezone(&Utc)));
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| RangeError)?;
    let date = match is_end {
        true => date.checked_add_days(Days::new(1)).ok_or(RangeError)?,
        false => date,
    };
    let midnight = date.and_time(NaiveTime::MIN).and_local_timezone(Local);
    // A day may begin later where clocks are put forward at midnight.
    let begins = midnight.earliest().or_else(|| {
        let later = date.and_hms_opt(1, 0, 0)?;
        later.and_local_timezone(Local).earliest()
    });
    begins
        .map(|at| Some(at.with_timezone(&Utc)))
        .ok_or(RangeError)
}

impl Range {
    /// A run that began then belongs to it.
    #[must_use]
    pub fn holds(&self, ts: &str) -> bool {
        let Ok(at) = DateTime::parse_from_rfc3339(ts) else {
            return false;
        };
        let at = at.with_timezone(&Utc);
        self.since.is_none_or(|since| since <= at) && self.until.is_none_or(|until| at < until)
    }
}

/// What proves the numbers of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct RunProof {
    /// All its events.
    pub run: Seqs,
    /// The attempts.
    pub attempts: Seqs,
    /// The failures.
    pub failures: Seqs,
    /// The doubts.
    pub doubts: Seqs,
    /// The decisions of operators.
    pub decisions: Seqs,
    /// The commands that were killed on request.
    pub kills: Seqs,
    /// The rollbacks.
    pub rollbacks: Seqs,
    /// The beginnings and ends of the times in which the service was unavailable.
    pub outages: Seqs,
}

/// A run in a line.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RunLine {
    /// Its name.
    pub run: String,
    /// The name of its plan.
    pub plan: String,
    /// The digest of the plan.
    pub digest: String,
    /// The change record.
    pub change: Option<String>,
    /// The environment that it is for.
    pub environment: Option<String>,
    /// Everybody who is on record in it.
    pub actors: Vec<String>,
    /// How it stands.
    pub state: Word,
    /// Its first event.
    pub started: Time,
    /// Its end; null while it goes on.
    pub ended: Option<Time>,
    /// From its first event to its last, in milliseconds.
    pub lasted_ms: u64,
    /// Attempts of steps.
    pub attempts: u64,
    /// Failed attempts, and steps that were not started because the check before them failed.
    pub failures: u64,
    /// Attempts in doubt.
    pub doubts: u64,
    /// Decisions of operators.
    pub decisions: u64,
    /// Commands that were killed on request.
    pub kills: u64,
    /// Rollbacks that were started.
    pub rollbacks: u64,
    /// Times in which the service was unavailable.
    pub outages: u64,
    /// How long that was in all, in milliseconds; null where no step closes the service, and while it is closed.
    pub outage_ms: Option<u64>,
    /// The service was unavailable when its last event was recorded.
    pub shut_out: bool,
    /// The events that prove the numbers, as ranges of sequence numbers.
    pub evidence: RunProof,
}

/// The runs of a period.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Period {
    /// The shape of this object: `upledger.period/1`.
    pub schema: &'static str,
    /// From when on; null for all times.
    pub since: Option<Time>,
    /// Until when, which does not belong to it; null for all times.
    pub until: Option<Time>,
    /// When it was written.
    pub generated_at: Time,
    /// The ledger.
    pub ledger: Option<String>,
    /// The verification of the ledger found nothing wrong.
    pub sound: bool,
    /// How far its proof reaches.
    pub level: String,
    /// Events that were verified.
    pub events_verified: u64,
    /// The runs, in the order in which they began.
    pub runs: Vec<RunLine>,
}

/// A run in a line; `entries` are its events. None without events.
fn line(run: &Run, entries: &[Entry]) -> Option<RunLine> {
    let timeline = timeline::fold(run, entries)?;
    let mut proof = RunProof::default();
    let (mut actors, mut ended) = (Vec::new(), None);
    for entry in entries.iter().filter(|e| e.run.as_ref() == Some(&run.name)) {
        let seq = entry.when.seq;
        proof.run.add(seq);
        if !actors.contains(&entry.actor) {
            actors.push(entry.actor.clone());
        }
        match &entry.event {
            Event::StepStarted(_) => proof.attempts.add(seq),
            Event::StepFailed(_) | Event::StepRefused(_) => proof.failures.add(seq),
            Event::StepDoubted(_) => proof.doubts.add(seq),
            Event::StepDecided(_) => proof.decisions.add(seq),
            Event::KillRequested(_) => proof.kills.add(seq),
            Event::RollbackStarted(_) => proof.rollbacks.add(seq),
            Event::RunCompleted(_) | Event::RunAborted(_) | Event::RollbackCompleted(_) => {
                ended = Some(Time(entry.when.ts.clone()));
            }
            _ => {}
        }
    }
    for outage in &timeline.outages {
        proof.outages.add(outage.from.seq);
        outage.until.iter().for_each(|u| proof.outages.add(u.seq));
    }
    let whole: Option<u64> = timeline.outage_ms();
    let word = status::word(run, &clock::now());
    Some(RunLine {
        run: run.name.clone(),
        plan: run.plan.name.clone(),
        digest: run.digest.clone(),
        change: run.plan.change.as_ref().map(|c| c.id.clone()),
        environment: run.plan.environment.clone(),
        actors,
        state: Word::new(word.stable, word.shown),
        started: Time(timeline.from.ts.clone()),
        ended: ended.filter(|_| run.ended.is_some()),
        lasted_ms: timeline.whole_ms(),
        attempts: proof.attempts.count(),
        failures: proof.failures.count(),
        doubts: proof.doubts.count(),
        decisions: proof.decisions.count(),
        kills: proof.kills.count(),
        rollbacks: proof.rollbacks.count(),
        outages: u64::try_from(timeline.outages.len()).unwrap_or(u64::MAX),
        outage_ms: whole.filter(|_| !timeline.outages.is_empty()),
        shut_out: whole.is_none(),
        evidence: proof,
    })
}

/// The lines of these runs, in their order; `entries` are the events of the ledger.
#[must_use]
pub fn lines<'a>(runs: impl Iterator<Item = &'a Run>, entries: Vec<Entry>) -> Vec<RunLine> {
    let mut of_run: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for entry in entries {
        if let Some(run) = entry.run.clone() {
            of_run.entry(run).or_default().push(entry);
        }
    }
    runs.filter_map(|run| line(run, of_run.get(&run.name)?))
        .collect()
}

/// The runs that began in a period.
#[must_use]
pub fn period<'a>(
    range: Range,
    runs: impl Iterator<Item = &'a Run>,
    entries: Vec<Entry>,
    verification: &Verification,
    now: &str,
) -> Period {
    let ts = |at: DateTime<Utc>| Time(at.to_rfc3339_opts(SecondsFormat::Secs, true));
    Period {
        schema: "upledger.period/1",
        since: range.since.map(ts),
        until: range.until.map(ts),
        generated_at: Time(now.to_owned()),
        ledger: verification.ledger.clone(),
        sound: verification.sound,
        level: verification.level.clone(),
        events_verified: verification.verified,
        runs: lines(runs.filter(|r| range.holds(&r.planned_at.ts)), entries),
    }
}

impl Period {
    /// The period in words.
    pub(super) fn range(&self) -> String {
        match (&self.since, &self.until) {
            (None, None) => text::all_runs(),
            (Some(since), None) => text::since(since.shown()),
            (None, Some(until)) => text::until_then(until.shown()),
            (Some(since), Some(until)) => text::from_to(since.shown(), until.shown()),
        }
    }

    /// How many runs there are, and how far the record is proven.
    pub(super) fn headline(&self) -> String {
        text::runs_in_all(self.runs.len(), &self.level, self.events_verified)
    }
}

/// The names of the columns.
pub(super) fn columns() -> Vec<String> {
    vec![
        text::run(),
        text::plan(),
        text::change_id(),
        text::who(),
        text::started_at(),
        text::lasted(),
        text::state(),
        text::outage(),
        text::failures(),
        text::doubts(),
        text::decisions(),
        text::rollbacks(),
        text::proof(),
    ]
}

/// The cells of a run.
pub(super) fn row(of: &RunLine) -> Vec<String> {
    // The events that prove a number stand beside it.
    let proven = |n: u64, seq: &Seqs| match n {
        0 => "0".to_owned(),
        n => text::with_proof(n, seqs(seq)),
    };
    let outage = match (of.outage_ms, of.shut_out) {
        (_, true) => text::with_proof(text::still_out(), seqs(&of.evidence.outages)),
        (Some(ms), false) => text::with_proof(duration(ms), seqs(&of.evidence.outages)),
        (None, false) => text::absent(),
    };
    vec![
        of.run.shown(),
        of.plan.shown(),
        of.change.clone().map_or_else(text::absent, |id| id.shown()),
        of.actors.shown(),
        of.started.shown(),
        duration(of.lasted_ms),
        of.state.shown(),
        outage,
        proven(of.failures, &of.evidence.failures),
        proven(of.doubts, &of.evidence.doubts),
        proven(of.decisions, &of.evidence.decisions),
        proven(of.rollbacks, &of.evidence.rollbacks),
        seqs(&of.evidence.run),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_open_ends_and_whole_days() {
        let range = |text: &str| text.parse::<Range>();
        assert_eq!(range(".."), Ok(Range::default()));
        let exact = range("2026-11-30T10:00:00Z..2026-11-30T12:00:00+01:00").expect("a range");
        assert!(exact.holds("2026-11-30T10:00:00.000000Z"));
        assert!(
            !exact.holds("2026-11-30T11:00:00.000000Z"),
            "its end is not in it"
        );
        assert!(!exact.holds("2026-11-30T09:59:59.999999Z"));
        let since = range("2026-11-30T10:00:00Z..").expect("a range");
        assert!(since.holds("2030-01-01T00:00:00.000000Z"));
        let day = range("2026-11-30..2026-11-30").expect("a day");
        let noon = NaiveDate::from_ymd_opt(2026, 11, 30).and_then(|d| d.and_hms_opt(12, 0, 0));
        let noon = noon.and_then(|at| at.and_local_timezone(Local).earliest());
        let noon = noon.expect("it is one").to_rfc3339();
        assert!(day.holds(&noon));
        for bad in [
            "",
            "2026-11-30",
            "2026-11-31..",
            "x..y",
            "2026-12-01..2026-11-30",
            "2026-11-30T10:00:00..",
        ] {
            assert_eq!(range(bad), Err(RangeError), "{bad}");
        }
    }
}
