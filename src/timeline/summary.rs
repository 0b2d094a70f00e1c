//! The first lines of a timeline: the night in plain words, for a reader who was not there.

use super::{Bar, Idle, Mark, Outage, Outcome, Timeline, markdown};
use crate::report::{at_most, duration, local_date, local_offset, local_time, localized};
use crate::text::timeline as text;
use std::collections::BTreeMap;
use upledger_replay::event::{Direction, Doubt, own};

/// Failures, doubts, decisions and adoptions that are told one by one; so many that ten lines hold the whole.
const TOLD: usize = 4;

/// Steps that were not reached and are named.
const NAMED: usize = 6;

/// Ten lines, or more where a run was turned round several times; each tells one thing, and what did not happen has none.
pub(super) fn summary(of: &Timeline) -> Vec<String> {
    let mut lines = vec![purpose(of), course(of)];
    lines.extend(outage(of));
    lines.extend(story(of));
    lines.push(steps(of));
    lines.extend(unknown(of));
    lines.extend(of.deserted.then(text::no_runner_now));
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
    // The page's one word on the zone of its times.
    let from = text::in_zone(at(&of.from.ts), local_offset(&of.from.ts));
    let until = at(&of.until.ts);
    let took = duration(of.whole_ms());
    text::course(&of.run, &of.actor, from, until, took, &of.shown)
}

fn outage(of: &Timeline) -> Option<String> {
    let last = of.outages.last()?;
    Some(match of.outage_ms() {
        Some(ms) if of.outages.len() > 1 => {
            let each: Vec<String> = of.outages.iter().take(TOLD).map(|o| span(of, o)).collect();
            let all = text::outages(of.outages.len(), duration(ms));
            let more = of.outages.len() > TOLD;
            let dots = more.then(|| "...".to_owned());
            let each: Vec<String> = each.into_iter().chain(dots).collect();
            text::each_outage(all, each.join(&text::semicolon()))
        }
        Some(_) | None => one_outage(last),
    })
}

/// An outage in a sentence.
pub(super) fn one_outage(of: &Outage) -> String {
    let words = match (&of.until, of.ms()) {
        (Some(until), Some(ms)) => text::outage(duration(ms), at(&of.from.ts), at(&until.ts)),
        _ => text::still_out(at(&of.from.ts), &of.closed_by),
    };
    whose(of, words)
}

/// One of several outages.
fn span(run: &Timeline, of: &Outage) -> String {
    let until = of.until.as_ref().map_or("", |until| &until.ts);
    let took = duration(of.ms().unwrap_or(0));
    whose(
        of,
        text::outage_span(took, run.clock(&of.from.ts), run.clock(until)),
    )
}

fn whose(of: &Outage, words: String) -> String {
    match of.way {
        Direction::Do => words,
        Direction::Undo => text::in_the_rollback(words),
    }
}

fn steps(of: &Timeline) -> String {
    // How the step ended, or else how its undo did.
    let mut last: BTreeMap<(&str, &str), (Direction, Outcome)> = BTreeMap::new();
    for bar in &of.bars {
        let outcome = bar.settled_as.unwrap_or(bar.outcome);
        if !bar.check {
            last.insert((&bar.step, &bar.target), (bar.way, outcome));
        }
    }
    let of_way = |way| last.values().filter(move |(of, _)| *of == way);
    let count = |is: fn(Outcome) -> bool| of_way(Direction::Do).filter(|(_, o)| is(*o)).count();
    let back = |is: Outcome| of_way(Direction::Undo).filter(|(_, o)| *o == is).count();
    let behind = |is: fn(Outcome) -> bool| -> Vec<&str> {
        let found = last
            .iter()
            .filter(|(_, (way, o))| *way == Direction::Undo && is(*o));
        found.map(|((step, _), _)| *step).collect()
    };
    let parts = [
        (count(|o| o == Outcome::Succeeded), text::n_done as Count),
        (count(|o| o == Outcome::Satisfied), text::n_already),
        (back(Outcome::Succeeded), text::n_undone),
        (back(Outcome::Satisfied), text::n_nothing_to_undo),
        (count(|o| o == Outcome::Skipped), text::n_skipped),
        (
            count(|o| matches!(o, Outcome::Failed | Outcome::Refused)),
            text::n_failed,
        ),
        (count(|o| o == Outcome::InDoubt), text::n_in_doubt),
        (count(|o| o == Outcome::Running), text::n_running),
        (count(|o| o == Outcome::Fenced), text::n_never_started),
    ];
    let mut parts: Vec<String> = parts
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, say)| say(n))
        .collect();
    let unreached: Vec<&str> = of.unreached.iter().map(String::as_str).collect();
    let failed = |o| matches!(o, Outcome::Failed | Outcome::Refused);
    let open = |o| matches!(o, Outcome::InDoubt | Outcome::Running | Outcome::Fenced);
    let behind = [
        named(&behind(|o| o == Outcome::Skipped), text::n_left),
        named(&behind(failed), text::n_undo_failed),
        named(&behind(open), text::n_undo_open),
        named(&unreached, text::n_not_reached),
    ];
    parts.extend(behind.into_iter().flatten());
    let attempts = of.bars.iter().filter(|b| b.attempt > 0).count();
    text::steps(of.steps, parts.join(&text::comma()), attempts)
}

/// How many steps something is true of, and which: the first of them where they are many.
fn named(steps: &[&str], say: fn(usize, String) -> String) -> Option<String> {
    let more = steps.len().checked_sub(NAMED).filter(|more| *more > 0);
    let names = steps.iter().take(NAMED).copied();
    let names: Vec<&str> = names.chain(more.map(|_| "...")).collect();
    (!steps.is_empty()).then(|| say(steps.len(), crate::text::list(&names)))
}

/// Says of how many steps something is true.
type Count = fn(usize) -> String;

/// What happened on the way, what was decided about it, and each rollback, in their order. Where there is too much of it the
/// first and the last are told: what was wrong at first, and what led to the end. No rollback or abort is left out.
fn story(of: &Timeline) -> Vec<String> {
    let failed = of.bars.iter();
    let failed = failed.filter(|b| matches!(b.outcome, Outcome::Failed | Outcome::Refused));
    let failed = failed.map(|b| {
        let ended = b.end.as_ref().unwrap_or(&b.start);
        let line = text::failed_then(of.clock(&ended.ts), markdown::name(b), &b.detail);
        (ended.seq, false, line)
    });
    let marks = of.marks.iter();
    let marks = marks.filter_map(|m| {
        let turns = ["rollback.started", "run.abort_requested"].contains(&m.kind);
        Some((m.at.seq, turns, beside_the_steps(of, m)?))
    });
    let mut all: Vec<(u64, bool, String)> = failed.chain(marks).collect();
    all.sort_by_key(|(seq, ..)| *seq);
    let small = || {
        all.iter()
            .filter(|(_, turns, _)| !turns)
            .map(|(seq, ..)| *seq)
    };
    let hidden = small()
        .count()
        .checked_sub(TOLD - 1)
        .filter(|more| *more > 1);
    let hidden: Vec<u64> = small().skip(1).take(hidden.unwrap_or(0)).collect();
    let mut lines = Vec::new();
    for (seq, _, line) in all {
        if hidden.first() == Some(&seq) {
            lines.push(text::more_events(hidden.len()));
        }
        if hidden.binary_search(&seq).is_err() {
            lines.push(line);
        }
    }
    lines
}

fn beside_the_steps(of: &Timeline, mark: &Mark) -> Option<String> {
    let time = of.clock(&mark.at.ts);
    let step = mark.step.clone().unwrap_or_default();
    match mark.kind {
        "step.adopted" => Some(text::adopted(time, step, &mark.actor)),
        "step.doubted" => {
            let ends = |b: &&Bar| b.end.as_ref().is_some_and(|end| end.seq == mark.at.seq);
            let bar = of.bars.iter().find(ends)?;
            Some(doubted(of, bar, mark))
        }
        "rollback.started" => Some(rollback(of, mark)),
        "step.decided" | "step.kill_requested" | "run.amended" | "run.abort_requested" => {
            Some(text::by_person(time, &mark.actor, &mark.words))
        }
        _ => None,
    }
}

/// Whoever resumes a run in the middle of an attempt finds no runner, which is what its reader must know first.
fn doubted(of: &Timeline, bar: &Bar, mark: &Mark) -> String {
    let (time, cause) = (of.clock(&mark.at.ts), &bar.detail);
    let since = bar.start.seq..mark.at.seq;
    let resumed = |m: &&Mark| m.kind == "run.resumed" && since.contains(&m.at.seq);
    match of.marks.iter().rev().find(resumed) {
        None => text::doubted(time, &bar.step, cause),
        Some(by) if *cause == localized::doubt(Doubt::Unseen, own::UNSEEN) => {
            text::doubted_after(time, &by.actor, &bar.step)
        }
        Some(by) => text::doubted_after_with(time, &by.actor, &bar.step, cause),
    }
}

fn unknown(of: &Timeline) -> Option<String> {
    let us = of.waits.iter().filter(|w| w.why == Idle::NoRunner);
    let us: i64 = us.map(|w| w.until.us - w.from.us).sum();
    let ms = u64::try_from(us / 1000).ok().filter(|ms| *ms > 0)?;
    Some(text::no_runner(at_most(ms)))
}

/// One of the rollbacks, with what it undid before the next one.
fn rollback(of: &Timeline, began: &Mark) -> String {
    let later = of.marks.iter().filter(|m| m.at.seq > began.at.seq);
    let next = later
        .filter(|m| m.kind == began.kind)
        .map(|m| m.at.seq)
        .min();
    let own = began.at.seq..next.unwrap_or(u64::MAX);
    let undone = of.bars.iter().filter(|b| own.contains(&b.start.seq));
    let undone =
        undone.filter(|b| b.way == Direction::Undo && !b.check && b.outcome == Outcome::Succeeded);
    let (time, n) = (of.clock(&began.at.ts), undone.count());
    match began.program {
        true => text::rolled_back_by_plan(time, &began.detail, n),
        false => text::rolled_back(time, &began.actor, &began.detail, n),
    }
}
