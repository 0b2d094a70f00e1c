//! The verdict of a verification, in sentences: what is proven, to which level, what is not, and what to do next.

use crate::report::rows;
use crate::text::verify as text;
use upledger_ledger::{Bad, BadWhat, Checkpoint, CheckpointBad, Digest, How, Level, Report};

/// The size of the newest given checkpoint that matches.
pub(super) fn covered(report: &Report) -> u64 {
    report.checkpoints.iter().copied().max().unwrap_or(0)
}

/// The events at the end that no given checkpoint covers.
pub(super) fn unanchored(report: &Report) -> u64 {
    report
        .unanchored
        .min(report.events - covered(report).min(report.events))
}

/// The level, explained.
pub(super) fn level(level: Level) -> String {
    match level {
        Level::ChainOnly => text::chain_only(),
        Level::Signed => text::signed(),
        Level::Remembered => text::remembered(),
        Level::Anchored => text::anchored(),
        Level::Witnessed => text::witnessed(),
    }
}

/// Failures other than the first that are not consequences of it, and the number of consequences: if events are missing or
/// wrong, no checkpoint that covers them can match.
pub(super) fn others(report: &Report) -> (Vec<&Bad>, usize) {
    let first = report.first_bad();
    let at = first.and_then(|b| b.seq);
    let follows = |bad: &Bad| {
        let truncated = match &bad.what {
            BadWhat::Checkpoint { why, .. } | BadWhat::StoredCheckpoint { why, .. } => {
                matches!(why, CheckpointBad::Truncated { .. })
            }
            _ => false,
        };
        at.is_some() && truncated
    };
    let rest = report.failures.iter().filter(|b| Some(*b) != first);
    let (following, own): (Vec<&Bad>, Vec<&Bad>) = rest.partition(|b| follows(b));
    (own, following.len())
}

/// The only failures are given checkpoints that do not match: they may be mistyped.
pub(super) fn only_given(report: &Report) -> bool {
    let given = |b: &Bad| matches!(b.what, BadWhat::Checkpoint { .. });
    !report.failures.is_empty() && report.failures.iter().all(given)
}

/// The only failure is that the ledger is not what this machine remembers; whether it is an older copy of that.
pub(super) fn remembered_otherwise(report: &Report) -> Option<bool> {
    let mut memories = report.failures.iter().map(|bad| match &bad.what {
        BadWhat::Memory(disagreement) => Some(disagreement.how == How::Shorter),
        _ => None,
    });
    let first = memories.next()??;
    memories.try_fold(first, |older, next| Some(older && next?))
}

/// A root as it stands in a checkpoint file.
fn as_written(root: Digest) -> String {
    let note = Checkpoint {
        ledger: String::new(),
        size: 0,
        root,
    };
    let text = note.to_string();
    text.lines().last().unwrap_or_default().to_owned()
}

/// What such a checkpoint says, and what is there.
fn compared(report: &Report, given: &[Checkpoint]) -> Vec<String> {
    let mut out = Vec::new();
    for bad in &report.failures {
        let BadWhat::Checkpoint { size, why } = &bad.what else {
            continue;
        };
        let given = given.iter().filter(|c| c.size == *size);
        out.extend(given.map(|one| {
            let says = text::events_and_root(one.size, as_written(one.root));
            (text::checkpoint_says(), says)
        }));
        let found = match why {
            CheckpointBad::Rewritten { root } => (*size, *root),
            CheckpointBad::Truncated { have } => (*have, report.root),
            CheckpointBad::Text(_) | CheckpointBad::Size | CheckpointBad::OtherLedger(_) => {
                continue;
            }
        };
        let says = text::events_and_root(found.0, as_written(found.1));
        out.push((text::ledger_says(), says));
    }
    let out = rows(&out).into_iter().map(|line| format!("  {line}"));
    out.collect()
}

/// The verdict, a sentence a line. `given` are the checkpoints that were handed in.
pub(super) fn words(report: &Report, given: &[Checkpoint]) -> Vec<String> {
    let mut out = vec![String::new()];
    let Some(first) = report.first_bad() else {
        out.push(text::holds(report.events));
        out.push(text::reaches(level(report.level)));
        let covered = covered(report);
        if covered > 0 {
            out.push(text::as_seen(covered));
        }
        match unanchored(report) {
            0 => out.push(text::all_seen()),
            events => {
                out.push(text::unseen(events));
                out.extend(keep(report));
            }
        }
        return out;
    };
    if let Some(older) = remembered_otherwise(report) {
        out.push(match older {
            true => text::not_newest(report.verified),
            false => text::not_remembered(report.verified),
        });
        out.push(text::older_next("upledger ledger restored --reason '...'"));
        return out;
    }
    let foreign = |b: &Bad| {
        matches!(
            &b.what,
            BadWhat::Checkpoint {
                why: CheckpointBad::OtherLedger(_),
                ..
            }
        )
    };
    if report.failures.iter().all(foreign) {
        out.push(text::of_another(report.verified));
        out.push(text::of_another_next());
        return out;
    }
    if only_given(report) {
        out.push(text::not_as_given(report.verified));
        out.push(text::either_or());
        out.extend(compared(report, given));
        out.push(text::not_as_given_next());
        return out;
    }
    out.push(match first.seq {
        Some(seq) => text::breaks(report.verified, seq),
        None => text::disagrees(report.verified),
    });
    out.push(text::damaged_next());
    out
}

/// The checkpoint to keep elsewhere, so that a later verification proves more.
fn keep(report: &Report) -> Vec<String> {
    let Some(note) = note(report) else {
        return Vec::new();
    };
    let mut out = vec![text::keep_lines("upledger verify --checkpoint FILE")];
    out.extend(note.lines().map(|l| format!("  {l}")));
    out
}

/// The checkpoint over all that was verified, of a sound ledger.
pub(super) fn note(report: &Report) -> Option<String> {
    if !report.is_sound() {
        return None;
    }
    let checkpoint = Checkpoint {
        ledger: report.ledger.clone()?,
        size: report.events,
        root: report.root,
    };
    Some(checkpoint.to_string())
}
