//! Where a run stands: for people and for programs.

use super::lines::part as part_words;
use super::{clip, duration, rows, safe, told};
use crate::clock::{boot_id, boottime_us};
use crate::text::screen as text;
use serde_json::{Value, json};
use upledger_replay::book::way_word;
use upledger_replay::decide::{self, Asked, Next, Question, Stop};
use upledger_replay::event::{Decision, Failure, Part, Way};
use upledger_replay::plan::{Step, Undo};
use upledger_replay::state::{Ended, PartState, Run, Status, Unit};

/// Columns of the last outcome in a step's line; the question below has all of it.
const DETAIL: usize = 60;

/// A run's state: a stable word for programs, and one for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// For programs; never translated.
    pub stable: &'static str,
    /// For people.
    pub shown: String,
}

/// A run's state in one word.
#[must_use]
pub fn word(run: &Run) -> Word {
    let (stable, shown) = match decide::next(run) {
        Next::End(Ended::Completed) => ("completed", text::completed()),
        Next::End(Ended::RolledBack) => ("rolled back", text::rolled_back()),
        Next::End(Ended::Aborted) => ("aborted", text::aborted()),
        Next::Ask(q) => match q.kind {
            Asked::Doubt | Asked::Losses => ("in doubt", text::in_doubt()),
            Asked::Failed => ("failed", text::failed()),
            Asked::Stuck | Asked::NoReturn => ("rollback stuck", text::rollback_stuck()),
        },
        Next::Stop(Stop::Paused(_)) => ("paused", text::paused()),
        Next::Stop(Stop::RolledBackTo(_)) => ("rolled back in part", text::rolled_back_in_part()),
        Next::Resolve(_) | Next::Probe(_) | Next::Start(_) | Next::Record(_) => match run.way {
            Way::Do => ("running", text::running()),
            Way::Undo => ("rolling back", text::rolling_back()),
        },
    };
    Word { stable, shown }
}

/// The same for people, who are told when nobody drives a run that ought to go on.
#[must_use]
pub fn shown(run: &Run, live: bool) -> String {
    if deserted(run, live) {
        text::interrupted()
    } else {
        word(run).shown
    }
}

/// A part's status in one word.
#[must_use]
pub fn status_word(status: Status) -> Word {
    let (stable, shown) = match status {
        Status::Pending => ("pending", text::pending()),
        Status::Running => ("running", text::running()),
        Status::Satisfied => ("already", text::already()),
        Status::Succeeded => ("done", text::done()),
        Status::Failed => ("failed", text::failed()),
        Status::InDoubt => ("in doubt", text::in_doubt()),
        Status::Ready => ("ready", text::ready()),
        Status::Skipped => ("skipped", text::skipped()),
        Status::Undone => ("undone", text::undone()),
    };
    Word { stable, shown }
}

/// A decision as typed.
#[must_use]
pub fn decision_word(decision: Decision) -> &'static str {
    match decision {
        Decision::Done => "done",
        Decision::Retry => "retry",
        Decision::Skip => "skip",
        Decision::Fail => "fail",
    }
}

/// The run on one screen.
#[must_use]
pub fn lines(run: &Run, live: bool) -> Vec<String> {
    lines_at(run, live, &boot_id(), boottime_us())
}

/// The same as it was at the run's last event.
#[must_use]
pub fn lines_then(run: &Run) -> Vec<String> {
    lines_at(run, true, &run.last.boot, run.last.mono)
}

/// `boot` and `mono` say when it is looked at: how long a running step has run is measured to then.
fn lines_at(run: &Run, live: bool, boot: &str, mono: u64) -> Vec<String> {
    let digest = run.digest.get(..12).unwrap_or_default();
    let deserted = deserted(run, live);
    let mut state = shown(run, live);
    if run.ended.is_none()
        && let Some(phase) = run.phase()
    {
        state = format!("{state}, {}", text::phase(phase));
    }
    let mut out = rows(&[
        (text::run(), run.name.clone()),
        (text::plan(), format!("{}  {digest}", run.plan.name)),
        (text::state(), state),
    ]);
    out.push(String::new());
    let wide = run
        .units
        .iter()
        .map(|u| u.step.len())
        .max()
        .unwrap_or(0)
        .max(4);
    let mut phase = None;
    for unit in &run.units {
        let Some((name, step)) = run.step(unit) else {
            continue;
        };
        if phase != Some(name) {
            out.push(safe(name));
            phase = Some(name);
        }
        out.push(unit_line(
            unit,
            step,
            wide,
            (boot, mono),
            run.ended.is_none() && !live,
        ));
    }
    let below = match decide::next(run) {
        Next::Ask(question) => question_lines(run, &question),
        Next::Stop(stop) => stop_lines(&stop),
        Next::Resolve(_) | Next::Probe(_) | Next::Start(_) | Next::Record(_) if deserted => {
            vec![text::nobody_drives("upledger resume")]
        }
        Next::Resolve(_) | Next::Probe(_) | Next::Start(_) | Next::Record(_) | Next::End(_) => {
            return out;
        }
    };
    out.push(String::new());
    out.extend(below);
    out
}

/// Something is to be done, and nobody does it.
fn deserted(run: &Run, live: bool) -> bool {
    !live
        && match decide::next(run) {
            Next::Resolve(_) | Next::Probe(_) | Next::Start(_) | Next::Record(_) => true,
            Next::Ask(_) | Next::Stop(_) | Next::End(_) => false,
        }
}

/// A stop that somebody asked for, and the command that goes on.
#[must_use]
pub fn stop_lines(stop: &Stop) -> Vec<String> {
    match stop {
        Stop::Paused(reason) => vec![
            text::is_paused(safe(&told::reason(reason))),
            text::go_on_with("upledger resume"),
        ],
        Stop::RolledBackTo(step) => vec![
            text::is_rolled_back_to(safe(step)),
            text::forwards_with("upledger resume"),
        ],
    }
}

/// `now` is a boot and its time; `alone`: no runner sees what becomes of an attempt.
fn unit_line(unit: &Unit, step: &Step, wide: usize, now: (&str, u64), alone: bool) -> String {
    let undone = unit.forward.status == Status::Undone;
    let backwards = unit.backward.status != Status::Pending && !undone;
    // Of what is undone, the undoing is told: how often, how long, how it ended.
    let part = if backwards || undone {
        &unit.backward
    } else {
        &unit.forward
    };
    let mark = if matches!(step.undo, Undo::PointOfNoReturn(_)) {
        '!'
    } else {
        ' '
    };
    let mut line = format!("{mark} {:<wide$}  ", unit.step);
    if backwards {
        line = format!("{line}{} ", text::undo());
    }
    let unseen = part.status == Status::Running && alone;
    line.push_str(&if undone {
        text::undone()
    } else if unseen {
        text::runner_gone()
    } else {
        status_word(part.status).shown
    });
    if part.attempts > 1 {
        line = format!("{line}  {}", text::attempt(part.attempts));
    }
    let (boot, mono) = now;
    if part.status == Status::Running && !unseen && part.started_at.boot == boot {
        let us = mono.saturating_sub(part.started_at.mono);
        line = format!("{line}  {}", duration(us / 1000));
    } else if let Some(ms) = part.took_ms {
        line = format!("{line}  {}", duration(ms));
    }
    if !part.detail.is_empty() {
        line = format!("{line}  {}", clip(&safe(&told::outcome(part)), DETAIL));
    }
    line
}

/// A question with its evidence and the commands that answer it.
#[must_use]
pub fn question_lines(run: &Run, question: &Question) -> Vec<String> {
    let part = run.part(&question.part).cloned().unwrap_or_default();
    let what = part_words(&question.part);
    let detail = safe(&told::outcome(&part));
    let mut out = vec![match question.kind {
        Asked::Doubt => text::doubt_is(what, &detail),
        Asked::Losses => text::lost(what, part.losses),
        Asked::Failed if never_started(&part) => text::not_started_is(what, &detail),
        Asked::Failed => text::failed_is(what, &detail),
        Asked::Stuck => text::stuck_is(what, &detail),
        Asked::NoReturn => text::before_no_return(no_return(run, &question.part)),
    }];
    // What the headline says already is not said again.
    let recorded = Some(&part.detail).filter(|_| !told::whole(&part));
    let beyond = |l: &&String| !part.detail.contains(l.trim());
    let mut said = std::collections::BTreeSet::new();
    let evidence: Vec<&String> = recorded
        .into_iter()
        .chain(part.evidence.iter().chain(&part.tail).filter(beyond))
        .filter(|l| said.insert(l.trim()))
        .take(12)
        .collect();
    if !evidence.is_empty() {
        out.push(text::what_was_seen());
        out.extend(evidence.iter().map(|l| format!("  | {}", safe(l))));
    }
    out.push(text::answer_with());
    let answers = answers(run, question);
    out.extend(rows(&answers).into_iter().map(|l| format!("  {l}")));
    out.push(text::after_deciding("upledger resume"));
    out
}

/// Its look before the start failed, or its start did: nothing of it was done.
fn never_started(part: &PartState) -> bool {
    let failed = part.failed.as_ref();
    failed.is_some_and(|f| f.failure == Failure::NotStarted)
}

/// A look must agree when a person says that it is done.
fn checked(run: &Run, part: &Part) -> bool {
    run.plan
        .step(&part.step)
        .is_some_and(|step| match (part.way, &step.undo) {
            (Way::Do, _) => step.has_probe || step.verify.is_some() || typed(&step.action),
            (Way::Undo, Undo::Own { .. }) => true,
            (Way::Undo, Undo::Action(undo)) => {
                undo.has_probe || undo.verify.is_some() || typed(&undo.action)
            }
            (Way::Undo, Undo::PointOfNoReturn(_) | Undo::Nothing) => false,
        })
}

/// Every kind but the plain commands looks by itself at what it did.
fn typed(action: &serde_json::Value) -> bool {
    ["run", "shell"]
        .iter()
        .all(|kind| action.get(kind).is_none())
}

/// The commands that answer a question, and what each means.
#[must_use]
pub fn answers(run: &Run, question: &Question) -> Vec<(String, String)> {
    let step = &question.part.step;
    let way = question.part.way;
    let mut answers: Vec<(String, String)> = question
        .answers
        .iter()
        .map(|answer| {
            let meaning = match (answer, question.kind) {
                (Decision::Done, _) if checked(run, &question.part) => match way {
                    Way::Do => text::means_done(),
                    Way::Undo => text::means_undone(),
                },
                (Decision::Done, _) => match way {
                    Way::Do => text::means_done_unchecked(),
                    Way::Undo => text::means_undone_unchecked(),
                },
                (Decision::Retry, _) => match way {
                    Way::Do => text::means_retry(),
                    Way::Undo => text::means_undo_again(),
                },
                (Decision::Skip, _) if way == Way::Undo || question.kind == Asked::NoReturn => {
                    text::means_leave()
                }
                (Decision::Skip, _) => text::means_skip(),
                (Decision::Fail, _) => match way {
                    Way::Do => text::means_fail(),
                    Way::Undo => text::means_undo_failed(),
                },
            };
            let word = decision_word(*answer);
            (
                format!("upledger decide {step} {word} --reason '...'"),
                meaning,
            )
        })
        .collect();
    if question.may_roll_back {
        answers.push((
            "upledger rollback --reason '...'".into(),
            text::means_rollback(),
        ));
    }
    answers
}

fn no_return(run: &Run, part: &Part) -> String {
    match run.plan.step(&part.step).map(|s| &s.undo) {
        Some(Undo::PointOfNoReturn(reason)) => format!("{} ({})", part.step, safe(reason)),
        Some(Undo::Own { .. } | Undo::Action(_) | Undo::Nothing) | None => part.step.clone(),
    }
}

/// The run for programs.
#[must_use]
pub fn value(run: &Run, live: bool) -> Value {
    let steps: Vec<Value> = run
        .units
        .iter()
        .map(|u| {
            let side = |way: Way| {
                let p = u.part(way);
                json!({
                    "status": status_word(p.status).stable,
                    "attempts": p.attempts,
                    "took_ms": p.took_ms,
                    "detail": p.detail,
                })
            };
            json!({
                "step": u.step,
                "target": u.target,
                "phase": run.step(u).map(|(phase, _)| phase),
                "do": side(Way::Do),
                "undo": side(Way::Undo),
            })
        })
        .collect();
    let next = decide::next(run);
    let commands = match &next {
        Next::Ask(q) => answers(run, q)
            .into_iter()
            .map(|(command, _)| command)
            .collect(),
        Next::Stop(_) => vec!["upledger resume".to_owned()],
        Next::Resolve(_) | Next::Probe(_) | Next::Start(_) | Next::Record(_) if !live => {
            vec!["upledger resume".to_owned()]
        }
        Next::Resolve(_) | Next::Probe(_) | Next::Start(_) | Next::Record(_) | Next::End(_) => {
            Vec::new()
        }
    };
    let question = match next {
        Next::Ask(q) => json!({
            "evidence": run.part(&q.part).map_or(Vec::new(), |p| p.evidence.iter().chain(&p.tail).collect()),
            "detail": run.part(&q.part).map(|p| &p.detail),
            "step": q.part.step,
            "target": q.part.target,
            "way": way_word(q.part.way),
            "kind": match q.kind {
                Asked::Doubt => "doubt",
                Asked::Losses => "losses",
                Asked::Failed => "failed",
                Asked::Stuck => "stuck",
                Asked::NoReturn => "point_of_no_return",
            },
            "answers": q.answers.iter().map(|a| decision_word(*a)).collect::<Vec<_>>(),
        }),
        Next::Resolve(_)
        | Next::Probe(_)
        | Next::Start(_)
        | Next::Record(_)
        | Next::Stop(_)
        | Next::End(_) => Value::Null,
    };
    json!({
        "run": run.name,
        "plan": run.plan.name,
        "digest": run.digest,
        "state": word(run).stable,
        "phase": run.phase(),
        "direction": way_word(run.way),
        "runner": live,
        "planned": run.planned_at.ts,
        "last": run.last.ts,
        "seq": run.last.seq,
        "steps": steps,
        "question": question,
        "next": commands,
    })
}
