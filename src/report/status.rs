//! Where a run stands: for people and for programs.

use super::{duration, safe};
use serde_json::{Value, json};
use upledger_replay::book::way_word;
use upledger_replay::decide::{self, Asked, Next, Question, Stop};
use upledger_replay::event::{Decision, Part, Way};
use upledger_replay::plan::Undo;
use upledger_replay::state::{Ended, Run, Status};

/// A run's state in one word.
#[must_use]
pub fn word(run: &Run) -> &'static str {
    match decide::next(run) {
        Next::End(Ended::Completed) => "completed",
        Next::End(Ended::RolledBack) => "rolled back",
        Next::End(Ended::Aborted) => "aborted",
        Next::Ask(q) => match q.kind {
            Asked::Doubt | Asked::Losses => "in doubt",
            Asked::Failed => "failed",
            Asked::Stuck | Asked::NoReturn => "rollback stuck",
        },
        Next::Stop(Stop::Paused(_)) => "paused",
        Next::Stop(Stop::RolledBackTo(_)) => "rolled back in part",
        Next::Resolve(_) | Next::Probe(_) | Next::Start(_) | Next::Record(_) => match run.way {
            Way::Do => "running",
            Way::Undo => "rolling back",
        },
    }
}

/// A part's status in one word.
#[must_use]
pub fn status_word(status: Status) -> &'static str {
    match status {
        Status::Pending => "pending",
        Status::Running => "running",
        Status::Satisfied => "already",
        Status::Succeeded => "done",
        Status::Failed => "failed",
        Status::InDoubt => "in doubt",
        Status::Ready => "ready",
        Status::Skipped => "skipped",
        Status::Undone => "undone",
    }
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
    let mut out = vec![
        format!("run    {}", run.name),
        format!(
            "plan   {}  {}",
            safe(&run.plan.name),
            &run.digest.get(..12).unwrap_or_default()
        ),
        format!(
            "state  {}{}{}",
            word(run),
            run.phase()
                .filter(|_| run.ended.is_none())
                .map_or(String::new(), |p| format!(", phase {}", safe(p))),
            if live || run.ended.is_some() {
                ""
            } else {
                ", no runner"
            },
        ),
        String::new(),
    ];
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
        let (part, way) =
            if unit.backward.status == Status::Pending || unit.forward.status == Status::Undone {
                (&unit.forward, "")
            } else {
                (&unit.backward, "undo ")
            };
        let mark = if matches!(step.undo, Undo::PointOfNoReturn(_)) {
            "!"
        } else {
            " "
        };
        let attempts = if part.attempts > 1 {
            format!("  attempt {}", part.attempts)
        } else {
            String::new()
        };
        let took = part
            .took_ms
            .map_or(String::new(), |ms| format!("  {}", duration(ms)));
        let detail = if part.detail.is_empty() {
            String::new()
        } else {
            format!("  {}", safe(&part.detail))
        };
        let line = format!(
            "{mark} {:<wide$}  {way}{}{attempts}{took}{detail}",
            unit.step,
            status_word(part.status)
        );
        out.push(line.trim_end().to_owned());
    }
    if let Next::Ask(question) = decide::next(run) {
        out.push(String::new());
        out.extend(question_lines(run, &question));
    }
    out
}

/// A question with its evidence and the commands that answer it.
#[must_use]
pub fn question_lines(run: &Run, question: &Question) -> Vec<String> {
    let part = run.part(&question.part).cloned().unwrap_or_default();
    let what = &question.part;
    let mut out = vec![match question.kind {
        Asked::Doubt => format!("{what} is in doubt: {}", safe(&part.detail)),
        Asked::Losses => format!("{what} was lost to crashes {} times", part.losses),
        Asked::Failed => format!("{what} failed: {}", safe(&part.detail)),
        Asked::Stuck => format!(
            "{what} failed, and the rollback is stuck: {}",
            safe(&part.detail)
        ),
        Asked::NoReturn => format!(
            "the rollback stands before a point of no return: {}",
            no_return(run, what)
        ),
    }];
    let evidence: Vec<&String> = part.evidence.iter().chain(&part.tail).take(12).collect();
    if !evidence.is_empty() {
        out.push("what was seen:".into());
        out.extend(evidence.iter().map(|l| format!("  | {}", safe(l))));
    }
    out.push("answer with one of:".into());
    for answer in &question.answers {
        let meaning = match (answer, question.kind) {
            (Decision::Done, _) => "it is done; the step's own check must agree",
            (Decision::Retry, _) => "run it again",
            (Decision::Skip, Asked::NoReturn) => {
                "leave it as it is, and reverse what came before it"
            }
            (Decision::Skip, _) => "go on without it",
            (Decision::Fail, _) => "it failed",
        };
        out.push(format!(
            "  upledger decide {} {:<5} --reason '...'   {meaning}",
            what.step,
            decision_word(*answer)
        ));
    }
    if what.way == Way::Do {
        out.push("  upledger rollback --reason '...'   reverse what was done".into());
    }
    out.push("then: upledger resume".into());
    out
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
                    "status": status_word(p.status),
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
    let question = match decide::next(run) {
        Next::Ask(q) => json!({
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
        "state": word(run),
        "phase": run.phase(),
        "direction": way_word(run.way),
        "runner": live,
        "planned": run.planned_at.ts,
        "last": run.last.ts,
        "seq": run.last.seq,
        "steps": steps,
        "question": question,
    })
}
