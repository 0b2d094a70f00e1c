//! The first lines of a comparison, in plain words: what took longer, what went another way, and what only one of them did.

use super::super::markdown::shown;
use super::super::summary::at;
use super::{Comparison, Row, Side, Work};
use crate::report::{at_most, duration};
use crate::text::{comparison as text, timeline};
use upledger_replay::event::Direction;

/// Steps that a line names; the table has all of them.
const NAMED: usize = 5;
/// A difference that is worth a word: a second, and a tenth of the longer one.
const WORTH_MS: u64 = 1000;

pub(super) fn summary(of: &Comparison) -> Vec<String> {
    let (a, b) = names(of);
    let mut lines = vec![
        text::ran(&a, at(&of.a.from.ts), duration(of.a.whole_ms), &of.a.shown),
        text::ran(&b, at(&of.b.from.ts), duration(of.b.whole_ms), &of.b.shown),
        whole(of, &a, &b),
    ];
    lines.extend(outage(of, &a, &b));
    lines.push(slower(of, &a));
    lines.extend(quicker(of, &a));
    lines.extend(waits(of, &a, &b));
    lines.extend(outcomes(of, &a, &b));
    let only = |has: fn(&Row) -> bool, name: &str| {
        let names = of.rows.iter().filter(|row| has(row)).map(name_of);
        listed(names.collect()).map(|list| text::only(name, list))
    };
    lines.extend(only(|row| row.b.is_none(), &a));
    lines.extend(only(|row| row.a.is_none(), &b));
    lines.push(match of.a.digest == of.b.digest {
        true => text::same_plan(),
        false => text::other_plans(plan(&of.a), plan(&of.b)),
    });
    lines
}

/// How the two are called: by their runs, and by the file of the ledger where that is another one.
pub(super) fn names(of: &Comparison) -> (String, String) {
    (name(&of.a), name(&of.b))
}

fn name(side: &Side) -> String {
    match &side.ledger {
        Some(file) => text::run_in(&side.run, file),
        None => side.run.clone(),
    }
}

/// The plan of a run, and its digest: plans of one name may differ.
fn plan(side: &Side) -> String {
    text::plan_is(&side.plan, digest(side))
}

/// The beginning of the digest of its plan.
pub(super) fn digest(side: &Side) -> &str {
    side.digest.get(..12).unwrap_or(&side.digest)
}

/// A step for people.
pub(super) fn name_of(row: &Row) -> String {
    match row.way {
        Direction::Do => row.step.clone(),
        Direction::Undo if row.check => timeline::check_of(&row.step),
        Direction::Undo => timeline::undo_of(&row.step),
    }
}

/// How long a step took in one of the runs; that it is not known how long, where it is not.
pub(super) fn took(work: Option<&Work>) -> String {
    work.map_or_else(String::new, |work| match (work.took_ms, work.seen_ms) {
        (Some(_), _) if work.attempts == 0 => String::new(),
        (Some(ms), _) => duration(ms),
        (None, 0) => timeline::unknown(),
        (None, seen) => text::at_least(duration(seen)),
    })
}

/// How its attempts ended.
pub(super) fn ended(work: Option<&Work>) -> String {
    work.map_or_else(text::not_in_it, |work| work.in_words(shown))
}

/// A difference with its sign; what would be shown as nothing has none.
pub(super) fn signed(ms: i64) -> String {
    let sign = match ms {
        ..=-100 => "-",
        100.. => "+",
        _ => "",
    };
    format!("{sign}{}", duration(ms.unsigned_abs()))
}

/// Whether a difference is worth a word.
pub(super) fn is_worth(difference: i64, longer: u64) -> bool {
    let by = difference.unsigned_abs();
    by >= WORTH_MS && by.saturating_mul(10) >= longer
}

fn difference(a: u64, b: u64) -> i64 {
    i64::try_from(a).unwrap_or(i64::MAX) - i64::try_from(b).unwrap_or(i64::MAX)
}

fn whole(of: &Comparison, a: &str, b: &str) -> String {
    let (ours, theirs) = (of.a.whole_ms, of.b.whole_ms);
    let by = duration(ours.abs_diff(theirs));
    match difference(ours, theirs) {
        d if !is_worth(d, ours.max(theirs)) => text::whole_same(a, b),
        d if d > 0 => text::whole_longer(a, b, by),
        _ => text::whole_shorter(a, b, by),
    }
}

fn outage(of: &Comparison, a: &str, b: &str) -> Option<String> {
    let out = |side: &Side| match (side.outages, side.outage_ms) {
        (0, _) => text::never(),
        (_, Some(ms)) => duration(ms),
        (_, None) => text::still(),
    };
    (of.a.outages + of.b.outages > 0).then(|| text::outages(a, out(&of.a), b, out(&of.b)))
}

/// The steps with a difference that is worth a word, the largest first.
fn differing(of: &Comparison, longer: bool) -> Vec<String> {
    let mut rows: Vec<(i64, &Row)> = of
        .rows
        .iter()
        .filter_map(|row| Some((row.difference_ms?, row)))
        .filter(|(d, _)| (*d > 0) == longer)
        .filter(|(d, row)| is_worth(*d, longest(row)))
        .collect();
    rows.sort_by_key(|(d, _)| std::cmp::Reverse(d.unsigned_abs()));
    rows.iter()
        .map(|(_, row)| {
            let [a, b] = [&row.a, &row.b].map(|work| took(work.as_ref()));
            text::instead_of(name_of(row), or_none(a), or_none(b))
        })
        .collect()
}

fn or_none(took: String) -> String {
    match took.is_empty() {
        true => text::no_time(),
        false => took,
    }
}

pub(super) fn longest(row: &Row) -> u64 {
    let took = |work: &Option<Work>| work.as_ref().map_or(0, |w| w.seen_ms);
    took(&row.a).max(took(&row.b))
}

fn slower(of: &Comparison, a: &str) -> String {
    match listed(differing(of, true)) {
        Some(list) => text::took_longer(a, list),
        None => text::nothing_took_longer(a),
    }
}

fn quicker(of: &Comparison, a: &str) -> Option<String> {
    listed(differing(of, false)).map(|list| text::took_less(a, list))
}

fn waits(of: &Comparison, a: &str, b: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let (ours, theirs) = (of.a.person_ms, of.b.person_ms);
    if ours.max(theirs) >= WORTH_MS {
        lines.push(text::waited(a, duration(ours), b, duration(theirs)));
    }
    let (ours, theirs) = (of.a.no_runner_ms, of.b.no_runner_ms);
    if ours.max(theirs) >= WORTH_MS {
        lines.push(text::no_runner(a, at_most(ours), b, at_most(theirs)));
    }
    lines
}

fn outcomes(of: &Comparison, a: &str, b: &str) -> Option<String> {
    let rows = of.rows.iter().filter(|row| row.went_differently());
    let words = rows.map(|row| {
        let [a, b] = [&row.a, &row.b].map(|work| ended(work.as_ref()));
        text::outcome_instead_of(name_of(row), a, b)
    });
    listed(words.collect()).map(|list| text::went_differently(a, b, list))
}

/// The first of them in one line, and how many there are more; none of none.
fn listed(mut all: Vec<String>) -> Option<String> {
    let more = all.len().saturating_sub(NAMED);
    all.truncate(NAMED);
    if more > 0 {
        all.push(text::and_more(more));
    }
    (!all.is_empty()).then(|| all.join(&text::semicolon()))
}
