//! The first lines of a timeline: the night in plain words, for a reader who was not there.

use super::{Bar, Idle, Outcome, Timeline};
use crate::report::{duration, local_date, local_time};
use crate::text::timeline as text;
use std::collections::BTreeMap;
use upledger_replay::event::Direction;

/// At most ten lines; each tells one thing, and what did not happen has none.
pub(super) fn summary(of: &Timeline) -> Vec<String> {
    let mut lines = vec![purpose(of), course(of)];
    lines.extend(outage(of));
    lines.push(steps(of));
    lines.extend(failure(of));
    lines.extend(doubts(of));
    lines.extend(people(of));
    lines.extend(unknown(of));
    lines.extend(rollback(of));
    lines.push(text::record(of.events, of.from.seq, of.until.seq));
    lines.truncate(10);
    lines
}

/// A moment for people.
pub(super) fn at(ts: &str) -> String {
    format!("{} {}", local_date(ts), local_time(ts))
}

fn purpose(of: &Timeline) -> String {
    let reason = of.change.as_ref().and_then(|c| c.reason.as_deref());
    match (&of.change, reason) {
        (Some(change), Some(reason)) => text::to_do_for(&of.plan, &change.id, reason),
        (Some(change), None) => text::to_do_of(&of.plan, &change.id),
        (None, _) => text::to_do(&of.plan),
    }
}

fn course(of: &Timeline) -> String {
    let (from, until) = (at(&of.from.ts), at(&of.until.ts));
    text::course(&of.run, from, until, duration(of.whole_ms()), &of.shown)
}

fn outage(of: &Timeline) -> Option<String> {
    let known: Option<u64> = of.outages.iter().map(super::Outage::ms).sum();
    let first = of.outages.first()?;
    Some(
        match (known, of.outages.last().and_then(|o| o.until.as_ref())) {
            (Some(ms), Some(until)) if of.outages.len() == 1 => {
                text::outage(duration(ms), at(&first.from.ts), at(&until.ts))
            }
            (Some(ms), _) => text::outages(of.outages.len(), duration(ms)),
            (None, _) => text::still_out(at(&first.from.ts), &first.closed_by),
        },
    )
}

fn steps(of: &Timeline) -> String {
    // How each step stands after its last attempt.
    let mut last = BTreeMap::new();
    for bar in of.bars.iter().filter(|b| b.way == Direction::Do) {
        last.insert((&bar.step, &bar.target), bar.outcome);
    }
    let count = |outcome| last.values().filter(|o| **o == outcome).count();
    let attempts = of.bars.iter().filter(|b| b.attempt > 0).count();
    text::steps(
        count(Outcome::Succeeded),
        count(Outcome::Satisfied),
        count(Outcome::Skipped),
        attempts,
    )
}

fn failure(of: &Timeline) -> Option<String> {
    let failed = |b: &&Bar| matches!(b.outcome, Outcome::Failed | Outcome::Refused);
    let first = of.bars.iter().find(failed)?;
    let all = of.bars.iter().filter(failed).count();
    Some(text::first_failure(
        all,
        &first.step,
        local_time(&first.start.ts),
        &first.detail,
    ))
}

fn doubts(of: &Timeline) -> Option<String> {
    let count = |kind: &str| of.marks.iter().filter(|m| m.kind == kind).count();
    let (doubts, adopted, kills) = (
        count("step.doubted"),
        count("step.adopted"),
        count("step.kill_requested"),
    );
    (doubts + adopted + kills > 0).then(|| text::doubts(doubts, adopted, kills))
}

fn people(of: &Timeline) -> Option<String> {
    let decided = of.marks.iter().filter(|m| m.kind == "step.decided");
    let said: Vec<String> = decided
        .map(|m| text::decision(local_time(&m.at.ts), &m.actor, &m.words))
        .collect();
    (!said.is_empty()).then(|| text::decisions(said.join("; ")))
}

fn unknown(of: &Timeline) -> Option<String> {
    let us = of.waits.iter().filter(|w| w.why == Idle::NoRunner);
    let us: i64 = us.map(|w| w.until.us - w.from.us).sum();
    let ms = u64::try_from(us / 1000).ok().filter(|ms| *ms > 0)?;
    Some(text::no_runner(duration(ms)))
}

fn rollback(of: &Timeline) -> Option<String> {
    let began = of.marks.iter().find(|m| m.kind == "rollback.started")?;
    let undone = of.bars.iter();
    let undone = undone.filter(|b| b.way == Direction::Undo && b.outcome == Outcome::Succeeded);
    Some(text::rolled_back(
        local_time(&began.at.ts),
        &began.words,
        undone.count(),
    ))
}
