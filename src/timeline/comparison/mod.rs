//! Two runs beside each other: a rehearsal and the night, or two nights. What is compared are two timelines, which one
//! fold has made.
//!
//! Invariants: a duration is the work that was seen, summed over the attempts of a step; where the end of one was not seen,
//! there is neither a duration nor a difference. Steps are the same where step, target and direction are the same, whatever
//! phase they stand in.

mod html;
mod markdown;
mod summary;

pub use html::html;
pub use markdown::markdown;

use super::csv::{line, way};
use super::markdown::word;
use super::{Bar, Idle, Moment, Outcome, Timeline};
use crate::text::comparison as text;
use serde::Serialize;
use std::collections::BTreeMap;
use upledger_replay::event::Direction;

/// One of the two runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Side {
    /// Its name.
    pub run: String,
    /// The file of its ledger, where that is not the ledger of this machine.
    pub ledger: Option<String>,
    /// The plan's name.
    pub plan: String,
    /// The plan's digest.
    pub digest: String,
    /// How it stands, as `status` says.
    pub state: String,
    /// The same for people.
    #[serde(skip)]
    pub shown: String,
    /// Its first event.
    pub from: Moment,
    /// Its last event.
    pub until: Moment,
    /// From its first to its last event, in milliseconds.
    pub whole_ms: u64,
    /// How often users were shut out.
    pub outages: usize,
    /// How long they were, in milliseconds; none while they are.
    pub outage_ms: Option<u64>,
    /// How long somebody had to decide, or to resume.
    pub person_ms: u64,
    /// How long nobody drove the run while a step was open.
    pub no_runner_ms: u64,
}

impl Side {
    fn of(timeline: &Timeline, ledger: Option<String>) -> Self {
        let waited = |why: Idle| -> u64 {
            let waits = timeline.waits.iter().filter(|w| w.why == why);
            let us: i64 = waits.map(|w| w.until.us - w.from.us).sum();
            u64::try_from(us / 1000).unwrap_or(0)
        };
        Self {
            run: timeline.run.clone(),
            ledger,
            plan: timeline.plan.clone(),
            digest: timeline.digest.clone(),
            state: timeline.state.clone(),
            shown: timeline.shown.clone(),
            from: timeline.from.clone(),
            until: timeline.until.clone(),
            whole_ms: timeline.whole_ms(),
            outages: timeline.outages.len(),
            outage_ms: timeline.outage_ms(),
            person_ms: waited(Idle::Person),
            no_runner_ms: waited(Idle::NoRunner),
        }
    }
}

/// What one of the runs did of a step: all its attempts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Work {
    /// How many attempts there were; 0 of a step that needed none.
    pub attempts: usize,
    /// How long they took together, in milliseconds; none where the end of one was not seen.
    pub took_ms: Option<u64>,
    /// The same of the attempts whose end was seen.
    pub seen_ms: u64,
    /// How each ended, in their order.
    pub outcomes: Vec<Outcome>,
    /// The first event of it.
    pub from_seq: u64,
    /// The last event of it.
    pub until_seq: u64,
}

impl Work {
    fn of(bar: &Bar) -> Self {
        let mut work = Self {
            attempts: 0,
            took_ms: Some(0),
            seen_ms: 0,
            outcomes: Vec::new(),
            from_seq: bar.start.seq,
            until_seq: bar.start.seq,
        };
        work.add(bar);
        work
    }

    fn add(&mut self, bar: &Bar) {
        self.attempts += usize::from(bar.attempt > 0);
        self.seen_ms += bar.took_ms.unwrap_or(0);
        // What never started, or needed no attempt, took no time.
        let took = match bar.took_ms {
            None if !bar.end_is_unknown() => Some(0),
            took => took,
        };
        self.took_ms = self.took_ms.zip(took).map(|(all, one)| all + one);
        self.outcomes.push(bar.outcome);
        let end = bar.end.as_ref().map_or(bar.start.seq, |end| end.seq);
        self.until_seq = self.until_seq.max(end);
    }

    /// How each attempt ended, in words; what repeats is said once with its number.
    fn in_words(&self, word: impl Fn(Outcome) -> String) -> String {
        let mut words: Vec<String> = Vec::new();
        for same in self.outcomes.chunk_by(|a, b| a == b) {
            let one = same.first().map(|o| word(*o)).unwrap_or_default();
            words.push(match same.len() {
                1 => one,
                n => text::times(one, n),
            });
        }
        words.join(&text::comma())
    }
}

/// What makes steps of two runs the same: step, target and direction.
type Key = (String, String, &'static str);

/// A step, as both runs did it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The phase.
    pub phase: String,
    /// The step.
    pub step: String,
    /// Where.
    pub target: String,
    /// Forwards or backwards.
    pub way: Direction,
    /// A check that is made again once everything is undone.
    pub check: bool,
    /// The run that is compared; none where it did not come to this step.
    pub a: Option<Work>,
    /// The run beside it.
    pub b: Option<Work>,
    /// By how much `a` took longer, in milliseconds; none where one of them is not known.
    pub difference_ms: Option<i64>,
}

impl Row {
    fn key(&self) -> Key {
        (self.step.clone(), self.target.clone(), way(self.way))
    }

    /// Both have it, and it went another way: other outcomes, or more attempts.
    fn went_differently(&self) -> bool {
        match (&self.a, &self.b) {
            (Some(a), Some(b)) => a.outcomes != b.outcomes,
            _ => false,
        }
    }
}

/// Two runs, step by step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The shape of this object.
    pub schema: &'static str,
    /// The run that is compared.
    pub a: Side,
    /// The run beside it.
    pub b: Side,
    /// The steps in the order of `a`; what only `b` did stands behind the step that it came after.
    pub rows: Vec<Row>,
}

/// Compares two timelines; `ledger` is the file of the ledger of the second, where that is another one.
#[must_use]
pub fn compare(a: &Timeline, b: &Timeline, ledger: Option<String>) -> Comparison {
    let mut rows = merged(
        rows(a, |row, work| row.a = Some(work)),
        rows(b, |row, work| row.b = Some(work)),
    );
    for row in &mut rows {
        let took = |work: &Option<Work>| i64::try_from(work.as_ref()?.took_ms?).ok();
        row.difference_ms = took(&row.a).zip(took(&row.b)).map(|(a, b)| a - b);
    }
    Comparison {
        schema: "upledger.comparison/1",
        a: Side::of(a, None),
        b: Side::of(b, ledger),
        rows,
    }
}

/// The rows of `a` with what `b` has of them; what only `b` has stands behind the row that it came after there.
fn merged(mut a: Vec<Row>, b: Vec<Row>) -> Vec<Row> {
    let places: BTreeMap<Key, usize> = a.iter().enumerate().map(|(n, r)| (r.key(), n)).collect();
    let mut only: Vec<(usize, Row)> = Vec::new();
    let mut place = 0;
    for row in b {
        match places
            .get(&row.key())
            .and_then(|at| Some((*at, a.get_mut(*at)?)))
        {
            Some((at, same)) => {
                same.b = row.b;
                place = at + 1;
            }
            None => only.push((place, row)),
        }
    }
    only.sort_by_key(|(place, _)| *place);
    let mut only = only.into_iter().peekable();
    let mut all = Vec::new();
    for (n, row) in a.into_iter().enumerate() {
        while let Some((_, before)) = only.next_if(|(place, _)| *place <= n) {
            all.push(before);
        }
        all.push(row);
    }
    all.extend(only.map(|(_, row)| row));
    all
}

/// The steps of one run, in the order in which they began.
fn rows(of: &Timeline, put: impl Fn(&mut Row, Work)) -> Vec<Row> {
    let mut places: BTreeMap<Key, usize> = BTreeMap::new();
    let mut works: Vec<(Row, Work)> = Vec::new();
    for bar in &of.bars {
        let key = (bar.step.clone(), bar.target.clone(), way(bar.way));
        let at = *places.entry(key).or_insert(works.len());
        match works.get_mut(at) {
            Some((_, work)) => work.add(bar),
            None => {
                let row = Row {
                    phase: bar.phase.clone(),
                    step: bar.step.clone(),
                    target: bar.target.clone(),
                    way: bar.way,
                    check: bar.check,
                    a: None,
                    b: None,
                    difference_ms: None,
                };
                works.push((row, Work::of(bar)));
            }
        }
    }
    works
        .into_iter()
        .map(|(mut row, work)| {
            put(&mut row, work);
            row
        })
        .collect()
}

impl Comparison {
    /// The first lines: what took longer, and what went another way.
    #[must_use]
    pub fn summary(&self) -> Vec<String> {
        summary::summary(self)
    }

    /// The phases with their rows; going back is another phase.
    fn phases(&self) -> Vec<(&str, Direction, &[Row])> {
        let same = |a: &Row, b: &Row| a.phase == b.phase && a.way == b.way;
        let phases = self.rows.chunk_by(same);
        phases
            .filter_map(|rows| rows.first().map(|row| (&*row.phase, row.way, rows)))
            .collect()
    }
}

const HEAD: [&str; 14] = [
    "phase",
    "step",
    "target",
    "way",
    "a_attempts",
    "a_took_ms",
    "a_outcomes",
    "a_seq",
    "b_attempts",
    "b_took_ms",
    "b_outcomes",
    "b_seq",
    "difference_ms",
    "only_in",
];

/// For spreadsheets: one line for each step.
#[must_use]
pub fn csv(of: &Comparison) -> String {
    let mut out = String::from('\u{feff}');
    line(&mut out, HEAD.map(String::from));
    for row in &of.rows {
        let [a, b] = [&row.a, &row.b].map(|work| cells(work.as_ref()));
        let [a_attempts, a_took, a_outcomes, a_seq] = a;
        let [b_attempts, b_took, b_outcomes, b_seq] = b;
        let only = match (&row.a, &row.b) {
            (Some(_), None) => "a",
            (None, Some(_)) => "b",
            _ => "",
        };
        line(
            &mut out,
            [
                row.phase.clone(),
                row.step.clone(),
                row.target.clone(),
                way(row.way).into(),
                a_attempts,
                a_took,
                a_outcomes,
                a_seq,
                b_attempts,
                b_took,
                b_outcomes,
                b_seq,
                row.difference_ms.map_or(String::new(), |d| d.to_string()),
                only.into(),
            ],
        );
    }
    out
}

fn cells(work: Option<&Work>) -> [String; 4] {
    work.map_or_else(Default::default, |work| {
        [
            work.attempts.to_string(),
            work.took_ms.map_or(String::new(), |ms| ms.to_string()),
            work.in_words(|o| word(o).into()),
            work.from_seq.to_string(),
        ]
    })
}

#[cfg(test)]
mod tests;
