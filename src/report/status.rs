//! The state of a run, for people and for programs.

use super::now::{self, Now};
use super::paint::Tone;
use super::question::{self, answers};
use super::{aligned, clip, columns, duration, local_date, local_time, localized, loss, safe};
use crate::text::screen as text;
use serde_json::{Value, json};
use upledger_replay::decide::{self, Asked, Next, Stop};
use upledger_replay::event::{Decision, Direction, TaskKey};
use upledger_replay::plan::{Step, Undo};
use upledger_replay::runs::way_word;
use upledger_replay::state::{Ended, Run, Status, Task, TaskState};

/// Least columns of the last outcome in a step's line, where that is cut at a terminal's width.
const DETAIL: usize = 60;

/// A run's state: a stable word for programs, and one for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// For programs; never translated.
    pub stable: &'static str,
    /// For people.
    pub shown: String,
}

impl Word {
    /// What the state says, as a colour.
    #[must_use]
    pub fn tone(&self) -> Tone {
        match self.stable {
            "failed" | "rollback stuck" => Tone::Failed,
            "in doubt" | "paused" | "rolled back in part" => Tone::Asks,
            "completed" | "rolled back" => Tone::Good,
            _ => Tone::Plain,
        }
    }
}

/// A run's state in one word.
#[must_use]
pub fn word(run: &Run, clock: &decide::Now) -> Word {
    let (stable, shown) = match decide::next(run, clock) {
        Next::End(Ended::Completed) => match run.skipped().count() {
            0 => ("completed", text::completed()),
            n => ("completed", text::completed_without(n)),
        },
        Next::End(Ended::RolledBack)
            if run.passed_over().chain(run.unchecked()).next().is_some() =>
        {
            ("rolled back", text::rolled_back_but())
        }
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
            Direction::Do => ("running", text::running()),
            Direction::Undo => ("rolling back", text::rolling_back()),
        },
    };
    Word { stable, shown }
}

/// The same for people, including whether a run that should continue has no runner.
#[must_use]
pub fn shown(run: &Run, now: &Now) -> String {
    if deserted(run, now) {
        Tone::Asks.paint(&match run.waits_for_resume() {
            true => text::to_be_resumed(),
            false => text::interrupted(),
        })
    } else {
        let word = word(run, &now.clock);
        word.tone().paint(&word.shown)
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

/// When a run was begun, on this machine's clock.
fn started(run: &Run) -> String {
    let at = &run.planned_at.ts;
    format!("{} {}", local_date(at), local_time(at))
}

/// Why a run goes back, or has gone back.
fn goes_back(run: &Run) -> Option<&str> {
    let back = run.way == Direction::Undo || run.ended == Some(Ended::RolledBack) || run.held;
    Some(run.rollback_reason.as_str()).filter(|why| back && !why.is_empty())
}

/// The run on one screen. `width` is that of the terminal; without one nothing is cut.
#[must_use]
pub fn lines(run: &Run, now: &Now, width: Option<usize>) -> Vec<String> {
    let digest = run.digest.get(..12).unwrap_or_default();
    let deserted = deserted(run, now);
    let mut state = shown(run, now);
    if run.ended.is_none()
        && let Some(phase) = run.phase()
    {
        state = match (run.way, word(run, &now.clock).stable) {
            // These states already imply it.
            (Direction::Undo, "rolling back" | "rollback stuck") if !deserted => {
                text::state_in(state, text::phase(phase))
            }
            (Direction::Undo, _) => text::state_in(state, text::going_back(phase)),
            (Direction::Do, _) => text::state_in(state, text::phase(phase)),
        };
    }
    let plan = format!("{}  {digest}", safe(&run.plan.name));
    let mut head = vec![
        (text::run(), run.name.clone()),
        (text::plan(), plan),
        (text::started(), started(run)),
        (text::state(), state),
    ];
    let why = goes_back(run).map(|why| safe(&localized::reason(why)));
    head.extend(why.map(|why| (text::why_back(), why)));
    let mut out = aligned(&head);
    out.push(String::new());
    let wide = run
        .units()
        .iter()
        .map(|u| u.step.len())
        .max()
        .unwrap_or(0)
        .max(4);
    let mut phase = None;
    // The question below says it whole.
    let asked = match decide::next(run, &now.clock) {
        Next::Ask(q) if !matches!(q.kind, Asked::Losses | Asked::NoReturn) => Some(q.part),
        _ => None,
    };
    // A retry is shown as ready.
    let decided = run
        .standing_decision()
        .filter(|(_, d)| *d != Decision::Retry);
    for unit in run.units() {
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
            &now.clock,
            run.ended.is_none() && !now.live,
            decided
                .as_ref()
                .filter(|(p, _)| p.step == unit.step && p.target == unit.target)
                .map(|(_, d)| *d),
            asked.as_ref(),
            width,
        ));
    }
    let stuck = now::stuck_lines(run, now);
    let below = match decide::next(run, &now.clock) {
        Next::Ask(question) => {
            let mut below: Vec<String> = now::decision_line(run, true).into_iter().collect();
            below.extend(question::lines(run, &question, now));
            below
        }
        Next::Stop(stop) => {
            let mut below: Vec<String> = now::decision_line(run, false).into_iter().collect();
            below.extend(now::decision_next(run));
            below.extend(stop_lines(run, &stop));
            below
        }
        Next::Resolve(_) | Next::Probe(_) | Next::Start(_) | Next::Record(_) if deserted => {
            now::deserted_lines(run, now)
        }
        Next::End(_) => {
            let mut below = end_lines(run);
            below.extend(page_lines(run));
            below
        }
        Next::Resolve(_) | Next::Probe(_) | Next::Start(_) | Next::Record(_) => Vec::new(),
    };
    if !below.is_empty() || !stuck.is_empty() {
        out.push(String::new());
    }
    out.extend(stuck);
    out.extend(below);
    out
}

/// The hints for an ended run: steps that a rollback skipped, and the command for what remains.
#[must_use]
pub fn end_lines(run: &Run) -> Vec<String> {
    let mut out = not_undone(run);
    if run.ended == Some(Ended::RolledBack) {
        let names = |units: Vec<String>| crate::text::list(&units);
        let stay: Vec<String> = run.without_undo().map(|u| u.step.clone()).collect();
        if !stay.is_empty() {
            out.push(text::without_undo(names(stay)));
        }
        let unchecked: Vec<String> = run.unchecked().map(|u| named(u, &u.backward)).collect();
        if !unchecked.is_empty() {
            out.push(text::not_checked(names(unchecked)));
        }
    }
    if run.ended == Some(Ended::Completed) && run.skipped().next().is_some() {
        let names = run.skipped().map(|u| named(u, &u.forward));
        out.push(text::were_skipped(crate::text::list(
            &names.collect::<Vec<_>>(),
        )));
    }
    if run.ended == Some(Ended::Aborted) && run.effective() {
        let command = format!(
            "upledger rollback {} --reason '...'{}",
            run.name,
            loss::option(run)
        );
        out.push(text::aborted_stays(command));
    }
    out
}

/// The commands that make the pages of an ended run.
fn page_lines(run: &Run) -> [String; 2] {
    [
        text::timeline_with(format!(
            "upledger timeline {} --out timeline.html",
            run.name
        )),
        text::report_with(format!("upledger report {} --out report.html", run.name)),
    ]
}

/// The steps that the rollback passed over.
fn not_undone(run: &Run) -> Vec<String> {
    let over = run.ended == Some(Ended::RolledBack) || run.held;
    let mut left = run.passed_over().filter(|_| over).peekable();
    if left.peek().is_none() {
        return Vec::new();
    }
    let names: Vec<String> = left.map(|u| named(u, &u.backward)).collect();
    vec![Tone::Failed.lead(&text::not_undone(crate::text::list(&names)))]
}

/// A step with the reason that a person gave for it.
fn named(unit: &Task, part: &TaskState) -> String {
    match part.detail.as_str() {
        "" => unit.step.clone(),
        why => text::with_reason(&unit.step, safe(why)),
    }
}

/// The run should continue, but no runner is active.
#[must_use]
pub fn deserted(run: &Run, now: &Now) -> bool {
    !now.live
        && match decide::next(run, &now.clock) {
            Next::Resolve(_) | Next::Probe(_) | Next::Start(_) | Next::Record(_) => true,
            Next::Ask(_) | Next::Stop(_) | Next::End(_) => false,
        }
}

/// A requested stop, and the command that continues the run.
#[must_use]
pub fn stop_lines(run: &Run, stop: &Stop) -> Vec<String> {
    match stop {
        Stop::Paused(reason) => vec![
            Tone::Asks.lead(&text::is_paused(safe(&localized::reason(reason)))),
            text::go_on_with("upledger resume"),
        ],
        Stop::RolledBackTo(step) => {
            let mut out = vec![text::is_rolled_back_to(safe(step))];
            out.extend(not_undone(run));
            out.push(text::forwards_with("upledger resume"));
            out
        }
    }
}

/// `now` is when how long it has run is measured to; `alone`: no runner sees what becomes of an attempt; `decided`: what a person has said of
/// it, and nothing has been done on yet; `asked`: what the question below the steps is about; `width`: the terminal's.
#[expect(clippy::too_many_arguments, reason = "a line shows as many things")]
fn unit_line(
    unit: &Task,
    step: &Step,
    wide: usize,
    now: &decide::Now,
    alone: bool,
    decided: Option<Decision>,
    asked: Option<&TaskKey>,
    width: Option<usize>,
) -> String {
    let undone = unit.forward.status == Status::Undone;
    // A run that goes forwards again may pass a step that it had gone back over.
    let latest = |part: &TaskState| part.started_at.seq.max(part.ended_at.seq);
    let newer = latest(&unit.backward) > latest(&unit.forward);
    let backwards = unit.backward.status != Status::Pending && !undone && newer;
    // For an undone step, show its undo: attempts, duration and outcome.
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
    let unseen = part.status == Status::Running && alone;
    let tone = match part.status {
        Status::Failed => Tone::Failed,
        Status::InDoubt => Tone::Asks,
        _ => Tone::Plain,
    };
    let status = if let Some(decided) = decided {
        text::decided_as(decision_word(decided))
    } else if undone {
        text::undone()
    } else if unseen {
        text::runner_gone()
    } else {
        status_word(part.status).shown
    };
    line.push_str(&tone.paint(&if backwards && step.is_check() {
        text::check_is_now(status)
    } else if backwards {
        text::undo_is_now(status)
    } else {
        status
    }));
    if part.attempts > 1 {
        line = format!("{line}  {}", text::attempt(part.attempts));
    }
    if part.status == Status::Running && !unseen && part.started_at.boot == now.boot {
        let us = now.mono.saturating_sub(part.started_at.mono);
        line = format!("{line}  {}", duration(us / 1000));
    } else if let Some(ms) = part.took_ms {
        line = format!("{line}  {}", duration(ms));
    }
    let told = asked.is_some_and(|key| *key == unit.key(key.way));
    if !part.detail.is_empty() && !told {
        let outcome = safe(&localized::outcome(part));
        let room = width.map(|width| width.saturating_sub(columns(&line) + 2).max(DETAIL));
        let outcome = room.map_or_else(|| outcome.clone(), |room| clip(&outcome, room));
        line = format!("{line}  {outcome}");
    }
    line
}

/// The run for programs.
#[must_use]
pub fn value(run: &Run, now: &Now) -> Value {
    let steps: Vec<Value> = run
        .units()
        .iter()
        .map(|u| {
            let side = |way: Direction| {
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
                "do": side(Direction::Do),
                "undo": side(Direction::Undo),
            })
        })
        .collect();
    let reason = |u: &Task, part: &TaskState| json!({"step": u.step, "target": u.target, "reason": part.detail});
    let next = decide::next(run, &now.clock);
    let commands = match &next {
        Next::Ask(q) => answers(run, q)
            .into_iter()
            .map(|(command, _)| command)
            .collect(),
        Next::Stop(_) => vec!["upledger resume".to_owned()],
        Next::Resolve(_) | Next::Probe(_) | Next::Start(_) | Next::Record(_) if !now.live => {
            vec!["upledger resume".to_owned()]
        }
        Next::End(Ended::Aborted) if run.effective() => {
            vec![format!(
                "upledger rollback {} --reason '...'{}",
                run.name,
                loss::option(run)
            )]
        }
        Next::Resolve(_) | Next::Probe(_) | Next::Start(_) | Next::Record(_) | Next::End(_) => {
            Vec::new()
        }
    };
    let question = match next {
        Next::Ask(q) => question::value(run, &q, now),
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
        "state": word(run, &now.clock).stable,
        "phase": run.phase(),
        "direction": way_word(run.way),
        "runner": now.live,
        "planned": run.planned_at.ts,
        "rollback_reason": goes_back(run),
        "last": run.last.ts,
        "seq": run.last.seq,
        "steps": steps,
        "command": now::command_value(run, now),
        "decision": now::decision_value(run),
        "skipped": run.skipped().map(|u| reason(u, &u.forward)).collect::<Vec<_>>(),
        "not_undone": run.passed_over().map(|u| reason(u, &u.backward)).collect::<Vec<_>>(),
        "without_undo": run.without_undo().filter(|_| run.ended == Some(Ended::RolledBack))
            .map(|u| u.step.as_str()).collect::<Vec<_>>(),
        "unchecked": run.unchecked().map(|u| reason(u, &u.backward)).collect::<Vec<_>>(),
        "question": question,
        "next": commands,
    })
}
