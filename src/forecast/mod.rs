//! Predicts what a run of a plan would do now: every step is observed and probed on its real target, read-only.
//!
//! Nothing is changed: content that an action would keep for its undo goes into a directory that is removed. All steps are
//! looked at side by side (`looks`); what that means for the plan is judged in its order (`judge`): a look describes the
//! present state, and where an earlier step changes what it reads, the run looks again. This module decides nothing about
//! runs; a run checks again before each step.

pub mod amendment;
mod judge;
mod looks;
pub mod rollback;
mod screen;
mod startable;

pub use screen::{details, lines, of_steps, value};

use crate::action::{Direction, RawPast};
use crate::plan::samples;
use crate::site::task::PreparedTask;
use crate::site::{Local, Moment};
use crate::text::forecast as text;
use judge::Judge;
use looks::{Found, Looks, Outcome, Present, Site, probe, side_by_side};
use upledger_replay::plan::{ActionSpec, Plan, Step, Undo};
use upledger_replay::runs::Runs;
use upledger_replay::state::Status;

/// The predicted outcome of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It would run.
    Run,
    /// It would run, and this is known to change: there is a diff.
    Change,
    /// It is already done and would not run.
    Already,
    /// It is done now, but an earlier step may change that: it is decided when the run reaches it.
    Later,
    /// It could not be started: its program or its directory does not exist, and no earlier step provides it.
    CannotRun,
    /// Unknown, because a check failed or was unclear; a run checks again when it reaches the step.
    CannotTell,
    /// It would fail: something that it needs is missing, and no earlier step provides it.
    Fail,
    /// It is skipped by its condition in the plan.
    LeftOut,
}

/// One step's forecast.
#[derive(Debug)]
pub struct Forecast {
    /// Its phase.
    pub phase: String,
    /// Its id.
    pub step: String,
    /// What would become of it.
    pub verdict: Verdict,
    /// It would fail, and no earlier step changes what it fails of: a run is refused.
    pub certain: bool,
    /// The evidence of the check, where needed.
    pub evidence: Vec<String>,
    /// What it does, in lines.
    pub commands: Vec<String>,
    /// What would change, as a unified diff.
    pub diff: Option<String>,
    /// Why it cannot be undone.
    pub no_return: Option<String>,
    /// How it is undone, in lines for people.
    pub undo: Vec<String>,
    /// How long it took when it last succeeded here, in ms, and in which run.
    pub took: Option<(u64, String)>,
    /// Its time limit in ms.
    pub limit_ms: Option<u64>,
    /// It cannot be told, because a step before it would fail.
    follows: bool,
    /// It cannot be told before steps in front of it have run.
    waits: bool,
    /// Its action with what the look found written in, such as the commit of a tag.
    resolved: Option<ActionSpec>,
}

/// Steps that would fail as things are, and why: before a run, in a short look. What was approved and the world has left
/// behind, such as a tag that moved; what is missing, taken, belongs to others or would be started again, and no earlier
/// step changes; behind the first stop, whatever a preview would find. A check of the plan is not among them. `tell` is
/// called while it waits, with the steps that are still looked at.
///
/// # Errors
/// When there is no room for temporary files.
pub fn certain_to_fail(
    plan: &Plan,
    secrets: &[(String, String)],
    tell: &mut dyn FnMut(&[String]),
) -> std::io::Result<Vec<(String, String)>> {
    let steps = judged(plan, secrets, None, true, tell)?;
    let certain = steps.into_iter().filter(|f| f.certain);
    Ok(certain
        .map(|f| {
            let why = crate::text::clauses(&f.evidence);
            (f.step, why)
        })
        .collect())
}

/// How many steps would fail, or could not even be started.
#[must_use]
pub fn failing(steps: &[Forecast]) -> usize {
    let fails = |s: &&Forecast| matches!(s.verdict, Verdict::Fail | Verdict::CannotRun);
    steps.iter().filter(fails).count()
}

/// How many steps would fail, in words.
#[must_use]
pub fn failing_words(count: usize) -> String {
    match count {
        1 => text::step_would_fail(),
        n => text::steps_would_fail(n),
    }
}

/// The plan with what the looks found written in: a tag becomes a commit.
#[must_use]
pub fn resolved(plan: &Plan, steps: &[Forecast]) -> Plan {
    let mut plan = plan.clone();
    for step in plan.phases.iter_mut().flat_map(|p| &mut p.steps) {
        let found = steps.iter().find(|f| f.step == step.id);
        if let Some(action) = found.and_then(|f| f.resolved.clone()) {
            step.action = action;
        }
    }
    plan
}

/// Looks at every step of a plan. `secrets` holds those that can be read here; `tell` hears now and then which steps are
/// still looked at.
///
/// # Errors
/// When there is no room for temporary files.
pub fn forecast(
    plan: &Plan,
    secrets: &[(String, String)],
    past: Option<&Runs>,
    tell: &mut dyn FnMut(&[String]),
) -> std::io::Result<Vec<Forecast>> {
    judged(plan, secrets, past, false, tell)
}

/// How many steps are looked at together before a run.
const BRIEF: usize = 256;

fn judged(
    plan: &Plan,
    secrets: &[(String, String)],
    past: Option<&Runs>,
    brief: bool,
    tell: &mut dyn FnMut(&[String]),
) -> std::io::Result<Vec<Forecast>> {
    let site = Site::new()?;
    let looks = Looks {
        plan,
        secrets,
        site: &site,
        past,
    };
    let moment = looks.moment();
    // Before a run what would fail behind the first stop is asked for as in a preview.
    let mut stopped = false;
    let with_stop = |(phase, step)| {
        let short = brief && !stopped;
        stopped |= short && looks::stops(plan, step);
        (phase, step, short)
    };
    let steps: Vec<(&str, &Step, bool)> = plan.steps().map(with_stop).collect();
    let name = |(_, step, _): &(&str, &Step, bool)| step.id.clone();
    let mut judges = Judge::default();
    let (mut all, mut seen) = (Vec::new(), Vec::new());
    // Before a run only what is certain to fail is wanted, and a runner lives long with what it once needed.
    let at_once = if brief { BRIEF } else { usize::MAX };
    for part in steps.chunks(at_once) {
        let found = side_by_side(
            part,
            name,
            |(_, step, short)| looks.at(step, &moment, *short),
            tell,
        );
        for ((phase, step, _), found) in part.iter().zip(&found) {
            let mut one = plain(phase, step);
            one.took = past.and_then(|book| took(book, plan, &step.id));
            describe(&mut one, plan, step, secrets, &site, found);
            judges.judge(&mut one, step, found);
            if !brief || one.certain {
                all.push(one);
            }
        }
        if !brief {
            seen = found;
        }
    }
    if !brief {
        expected(&mut all, &seen, &judges, &moment, tell);
    }
    judge::once(&mut all);
    Ok(all)
}

fn plain(phase: &str, step: &Step) -> Forecast {
    Forecast {
        phase: phase.into(),
        step: step.id.clone(),
        verdict: Verdict::Run,
        certain: false,
        evidence: Vec::new(),
        commands: Vec::new(),
        diff: None,
        no_return: match &step.undo {
            Undo::PointOfNoReturn(why) => Some(why.clone()),
            Undo::Own { .. } | Undo::Action(_) | Undo::Nothing => None,
        },
        undo: Vec::new(),
        took: None,
        limit_ms: step.timeout_ms,
        follows: false,
        waits: false,
        resolved: None,
    }
}

/// What it does and how it is undone, as far as the looks came.
fn describe(
    one: &mut Forecast,
    plan: &Plan,
    step: &Step,
    secrets: &[(String, String)],
    site: &Site,
    found: &Found,
) {
    let mut past = &RawPast::default();
    match &found.outcome {
        Outcome::LeftOut => {}
        Outcome::NotReady(_) | Outcome::Unread { task: None, .. } => {
            one.commands = plainly(plan, &step.action);
        }
        Outcome::Refused(task, _) => one.commands = task.outline(),
        Outcome::Looked(task, observed)
        | Outcome::Unread {
            task: Some(task),
            observed: Some(Ok(observed)),
            ..
        } => {
            past = &observed.past;
            let preview = task.preview(past);
            one.commands = preview.commands;
            one.evidence = preview.findings;
            one.resolved = task.resolved(&observed.found);
            one.diff.clone_from(&observed.found.diff);
        }
        Outcome::Unread {
            task: Some(task), ..
        } => one.commands = task.outline(),
    }
    one.undo = undo(plan, step, secrets, site, past);
}

/// Looks whether things are as the plan expects them, where no earlier step changes what such a look reads.
fn expected(
    all: &mut [Forecast],
    found: &[Found],
    judges: &Judge,
    moment: &Moment,
    tell: &mut dyn FnMut(&[String]),
) {
    let wanted: Vec<(usize, &str, &PreparedTask, &Present)> = found
        .iter()
        .enumerate()
        .filter_map(|(at, found)| match &found.outcome {
            Outcome::Looked(task, observed)
            | Outcome::Unread {
                task: Some(task),
                observed: Some(Ok(observed)),
                ..
            } if judges.evaluates(at) => Some((at, task.step(), &**task, &**observed)),
            _ => None,
        })
        .collect();
    let look = |(_, _, task, seen): &(usize, &str, &PreparedTask, &Present)| {
        probe(task, &moment.beside(), &seen.past, &seen.found.kept)
    };
    let seen = side_by_side(&wanted, |w| w.1.to_owned(), look, tell);
    for ((at, ..), look) in wanted.iter().zip(seen) {
        judge::expectation(&mut all[*at], look);
    }
}

/// An action that cannot be made ready, such as one that needs a fact of an earlier step.
fn plainly(plan: &Plan, action: &ActionSpec) -> Vec<String> {
    let Some(action) = samples::shown(plan, action) else {
        return vec![action.to_value().to_string()];
    };
    action.kind_of().outline(Direction::Do)
}

/// How it is undone. `past` is empty where nothing was observed.
fn undo(
    plan: &Plan,
    step: &Step,
    secrets: &[(String, String)],
    site: &Site,
    past: &RawPast,
) -> Vec<String> {
    match &step.undo {
        Undo::Own { .. } => own_undo(plan, step, past),
        Undo::Action(undo) => match site.task(plan, &step.id, Direction::Undo, secrets) {
            Ok(task) => {
                let mut shown = task.outline();
                if let (Some(line), Some(now)) = (shown.first_mut(), startable::obstacle(&task)) {
                    *line = text::not_ready_now(&line, now.why);
                }
                shown
            }
            Err(_) => plainly(plan, &undo.action),
        },
        Undo::PointOfNoReturn(why) => vec![text::no_return(why)],
        Undo::Nothing if step.is_check() => vec![text::checked_at_the_end()],
        Undo::Nothing => vec![text::nothing_to_undo()],
    }
}

/// What the action's own undo does. `past` is empty where nothing was observed.
fn own_undo(plan: &Plan, step: &Step, past: &RawPast) -> Vec<String> {
    let Some(action) = samples::shown(plan, &step.action) else {
        return vec![text::undone_by_action()];
    };
    let seen = (!past.before.is_null())
        .then(|| Local::preview(&action, Direction::Undo, past).ok())
        .flatten();
    let lines = seen.map_or_else(
        || action.kind_of().outline(Direction::Undo),
        |preview| preview.commands,
    );
    if lines.is_empty() {
        vec![text::undone_by_action()]
    } else {
        lines
    }
}

/// What its checks took beside its command counts up to here; more means that the run had no runner for a while.
const CHECKS: u64 = 60_000;

/// How long a step took, its checks included, in ms, in the newest run of a plan of this name in which it succeeded, and
/// that run.
#[must_use]
pub fn took(book: &Runs, plan: &Plan, id: &str) -> Option<(u64, String)> {
    book.runs
        .iter()
        .rev()
        .filter(|r| r.plan.name == plan.name)
        .find_map(|run| {
            let unit = run.units_of(id).first()?;
            let ended = matches!(unit.forward.status, Status::Succeeded | Status::Undone);
            // How long an attempt took that failed and was decided to be done says nothing.
            let passed = ended && unit.forward.failed.is_none();
            let took = unit.forward.took_ms.filter(|_| passed)?;
            let (from, to) = (&unit.forward.started_at, &unit.forward.ended_at);
            let whole = match from.boot == to.boot {
                true => to.mono.saturating_sub(from.mono) / 1000,
                false => took,
            };
            Some((
                whole.clamp(took, took.saturating_add(CHECKS)),
                run.name.clone(),
            ))
        })
}
