//! The question to the operator: the question, the evidence, the commands that answer it and their meaning.

use super::lines::part_of;
use super::now::Now;
use super::paint::Tone;
use super::status::decision_word;
use super::{localized, loss, rows, safe};
use crate::text::screen as text;
use serde_json::{Value, json};
use upledger_replay::decide::{Asked, Question};
use upledger_replay::event::{Decision, Direction, TaskKey, own};
use upledger_replay::plan::{ActionSpec, Undo};
use upledger_replay::runs::way_word;
use upledger_replay::state::Run;

/// Lines of an undo that are shown.
const COMMAND: usize = 8;

/// A question with its evidence and the commands that answer it.
#[must_use]
pub fn lines(run: &Run, question: &Question, now: &Now) -> Vec<String> {
    let part = run.part(&question.part).cloned().unwrap_or_default();
    let what = part_of(Some(run), &question.part);
    let detail = safe(&localized::outcome(&part));
    let (told, more) = match question.kind {
        // The page that disagrees is quoted on a line of its own.
        Asked::Failed | Asked::Stuck => two_lines(&detail),
        Asked::Doubt | Asked::Losses | Asked::NoReturn => (detail.as_str(), None),
    };
    let headline = match question.kind {
        Asked::Doubt => text::doubt_is(what, &detail),
        Asked::Losses => text::lost(what, part.losses),
        Asked::Failed if part.never_started() => text::not_started_is(what, told),
        Asked::Failed => text::failed_is(what, told),
        Asked::Stuck if run.is_check(&question.part) => {
            text::check_fails(&question.part.step, told)
        }
        Asked::Stuck => text::stuck_is(what, told),
        Asked::NoReturn => text::before_no_return(no_return(run, &question.part)),
    };
    let tone = match question.kind {
        Asked::Failed | Asked::Stuck => Tone::Failed,
        Asked::Doubt | Asked::Losses | Asked::NoReturn => Tone::Asks,
    };
    let mut out = vec![tone.lead(&headline)];
    out.extend(more.map(|more| format!("  {more}")));
    // Do not repeat the headline.
    let recorded = Some(&part.detail).filter(|_| !localized::whole(&part));
    // The line of a repeated check starts with its time.
    let bare = |l: &str| match l.split_once(": ") {
        Some((after, rest)) if after.starts_with("after ") || after == "not yet" => rest.to_owned(),
        _ => l.to_owned(),
    };
    let several = part.tail.iter().filter(|l| l.starts_with("after ")).count() > 1;
    let beyond = |l: &&String| {
        let line = bare(l.trim());
        // The detail may say more between the halves of a line, such as how long it waited.
        let said = line.split(own::SAW).all(|half| part.detail.contains(half));
        (several && l.starts_with("after ")) || !said
    };
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
    out.extend(undo_lines(now));
    out.push(Tone::Asks.lead(&text::answer_with()));
    let answers = answers(run, question);
    out.extend(rows(&answers).into_iter().map(|l| format!("  {l}")));
    out.push(text::after_deciding("upledger resume"));
    out
}

/// A failure, and what was seen instead.
fn two_lines(detail: &str) -> (&str, Option<&str>) {
    match detail.find(own::SAW) {
        Some(at) => (&detail[..at], Some(detail[at..].trim_start_matches("; "))),
        None => (detail, None),
    }
}

/// What the undo runs, and where that is which it puts back.
fn undo_lines(now: &Now) -> Vec<String> {
    let Some(undo) = &now.undo else {
        return Vec::new();
    };
    let mut out = Vec::new();
    if !undo.command.is_empty() {
        out.push(text::undo_is());
        let lines = undo.command.iter().flat_map(|c| c.lines());
        out.extend(lines.take(COMMAND).map(|l| format!("  $ {}", safe(l))));
    }
    if !undo.kept.is_empty() {
        out.push(text::kept_here());
        let kept = undo.kept.iter();
        out.extend(kept.map(|(at, of)| format!("  {}", text::kept_of(safe(at), safe(of)))));
    }
    out
}

/// Whether a check must confirm the decision `done`.
fn checked(run: &Run, part: &TaskKey) -> bool {
    run.step_named(&part.step)
        .is_some_and(|step| match (part.way, &step.undo) {
            (Direction::Do, _) => step.has_probe || step.verify.is_some() || typed(&step.action),
            (Direction::Undo, Undo::Own { .. }) => true,
            (Direction::Undo, Undo::Action(undo)) => {
                undo.has_probe || undo.verify.is_some() || typed(&undo.action)
            }
            (Direction::Undo, Undo::PointOfNoReturn(_) | Undo::Nothing) => false,
        })
}

/// Every kind except `run` and `shell` has a check of its own.
fn typed(action: &ActionSpec) -> bool {
    !matches!(action.kind.as_str(), "run" | "shell")
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
                    Direction::Do => text::means_done(),
                    Direction::Undo => text::means_undone(),
                },
                (Decision::Done, _) => match way {
                    Direction::Do => text::means_done_unchecked(),
                    Direction::Undo => text::means_undone_unchecked(),
                },
                (Decision::Retry, _) => match way {
                    Direction::Do => text::means_retry(),
                    Direction::Undo => text::means_undo_again(),
                },
                (Decision::Skip, _)
                    if way == Direction::Undo || question.kind == Asked::NoReturn =>
                {
                    text::means_leave()
                }
                (Decision::Skip, _) => text::means_skip(),
                (Decision::Fail, _) => match way {
                    Direction::Do => text::means_fail(),
                    Direction::Undo => text::means_undo_failed(),
                },
            };
            let word = decision_word(*answer);
            (
                format!("upledger decide {step} {word} --reason '...'"),
                meaning,
            )
        })
        .collect();
    if question.kind == Asked::Failed && way == Direction::Do && run.may_amend(&question.part) {
        answers.push((
            "upledger amend PLAN --reason '...'".into(),
            text::means_amend(),
        ));
    }
    if question.may_roll_back && run.touched().next().is_none() {
        answers.push(("upledger abort --reason '...'".into(), text::means_abort()));
    } else if question.may_roll_back {
        let means = match run.loss_window(None) {
            None => text::means_rollback(),
            Some(window) => {
                crate::text::clauses(&[text::means_rollback(), loss::sentence(&window)])
            }
        };
        answers.push((
            format!("upledger rollback --reason '...'{}", loss::option(run)),
            means,
        ));
    }
    answers
}

fn no_return(run: &Run, part: &TaskKey) -> String {
    match run.step_named(&part.step).map(|s| &s.undo) {
        Some(Undo::PointOfNoReturn(reason)) => text::with_reason(&part.step, safe(reason)),
        Some(Undo::Own { .. } | Undo::Action(_) | Undo::Nothing) | None => part.step.clone(),
    }
}

/// The question for programs.
#[must_use]
pub fn value(run: &Run, question: &Question, now: &Now) -> Value {
    let part = run.part(&question.part).cloned().unwrap_or_default();
    let undo = now.undo.as_ref().map(|undo| {
        let kept = undo.kept.iter().map(|(at, of)| json!({"at": at, "of": of}));
        json!({"command": undo.command, "kept": kept.collect::<Vec<_>>()})
    });
    json!({
        "undo": undo,
        "evidence": part.evidence.iter().chain(&part.tail).collect::<Vec<_>>(),
        "detail": part.detail,
        "step": question.part.step,
        "target": question.part.target,
        "way": way_word(question.part.way),
        "kind": match question.kind {
            Asked::Doubt => "doubt",
            Asked::Losses => "losses",
            Asked::Failed => "failed",
            Asked::Stuck => "stuck",
            Asked::NoReturn => "point_of_no_return",
        },
        "answers": question.answers.iter().map(|a| decision_word(*a)).collect::<Vec<_>>(),
    })
}
