//! Predicts what a run of a plan would do now: every step is observed and probed on its real target, read-only.
//!
//! Nothing is changed: content that an action would keep for its undo goes into a directory that is removed. A check
//! describes the present state; a step whose check may be invalidated by an earlier step of the plan is never reported as
//! done. This module decides nothing about runs; a run checks again before each step.

pub mod rollback;
mod screen;
mod startable;

pub use screen::{details, lines, value};

use crate::action::{Blob, Direction, RawPast};
use crate::plan::samples;
use crate::site::task::{Facts, PreparedTask};
use crate::site::{Local, Moment};
use crate::text::actions as phrases;
use crate::text::forecast as text;
use serde_json::Value;
use upledger_replay::event::{Answer, TaskKey};
use upledger_replay::plan::{Effect, Input, Plan, Step, Undo};
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
    /// Its action with what the look found written in, such as the commit of a tag.
    resolved: Option<Value>,
}

/// Steps whose approved settings are no longer valid, and why, such as a tag that has moved: they would fail in the middle
/// of the run.
///
/// # Errors
/// When there is no room for temporary files.
pub fn left_behind(
    plan: &Plan,
    secrets: &[(String, String)],
) -> std::io::Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let site = Site::new()?;
    for (_, step) in plan.steps().filter(|(_, s)| s.left_out.is_none()) {
        let action = samples::shown(plan, &step.action);
        if !action.is_some_and(|a| a.kind_of().properties().approved) {
            continue;
        }
        if let Ok(task) = site.task(plan, &step.id, Direction::Do, secrets)
            && let Err(why) = task.observe(&site.local.moment())
            && why.is_certain()
        {
            found.push((step.id.clone(), why.to_string()));
        }
    }
    Ok(found)
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

/// Looks at every step of a plan, in order. `secrets` holds those that can be read here.
///
/// # Errors
/// When there is no room for temporary files.
pub fn forecast(
    plan: &Plan,
    secrets: &[(String, String)],
    past: Option<&Runs>,
) -> std::io::Result<Vec<Forecast>> {
    let site = Site::new()?;
    let mut changed = false;
    Ok(plan
        .steps()
        .map(|(phase, step)| {
            let one = look(plan, phase, step, secrets, &site, changed, past);
            let runs = matches!(
                one.verdict,
                Verdict::Run
                    | Verdict::Change
                    | Verdict::Later
                    | Verdict::CannotRun
                    | Verdict::CannotTell
            );
            changed |= runs && step.effect != Effect::Pure;
            one
        })
        .collect())
}

fn look(
    plan: &Plan,
    phase: &str,
    step: &Step,
    secrets: &[(String, String)],
    site: &Site,
    changed: bool,
    past: Option<&Runs>,
) -> Forecast {
    let mut one = Forecast {
        phase: phase.into(),
        step: step.id.clone(),
        verdict: Verdict::Run,
        evidence: Vec::new(),
        commands: Vec::new(),
        diff: None,
        no_return: match &step.undo {
            Undo::PointOfNoReturn(why) => Some(why.clone()),
            Undo::Own { .. } | Undo::Action(_) | Undo::Nothing => None,
        },
        undo: undo(plan, step, secrets, site, &RawPast::default()),
        took: past.and_then(|book| took(book, plan, &step.id)),
        limit_ms: step.timeout_ms,
        resolved: None,
    };
    if let Some(why) = &step.left_out {
        one.verdict = Verdict::LeftOut;
        one.evidence.push(why.clone());
        return one;
    }
    let task = match site.task(plan, &step.id, Direction::Do, secrets) {
        Ok(task) => task,
        Err(why) => {
            one.commands = plainly(plan, &step.action);
            one.verdict = Verdict::CannotTell;
            match unread(step, secrets) {
                Some(name) => {
                    without_secrets(&mut one, plan, step, secrets, site, changed);
                    one.evidence.push(text::needs_secret(name));
                }
                None => one.evidence.push(text::depends(why)),
            }
            return one;
        }
    };
    // The checks of a step share their queries.
    let moment = site.local.moment();
    let observed = match task.observe(&moment) {
        Ok(observed) => observed,
        // Until an earlier step has run, things that this step needs may be missing.
        Err(why) => {
            one.commands = task.outline();
            one.verdict = if why.is_certain() || !changed {
                Verdict::Fail
            } else {
                Verdict::CannotTell
            };
            one.evidence.push(phrases::looked(why));
            return one;
        }
    };
    let past = RawPast {
        before: observed.before.clone(),
        ..RawPast::default()
    };
    let preview = task.preview(&past);
    one.commands = preview.commands;
    one.evidence = preview.findings;
    one.undo = undo(plan, step, secrets, site, &past);
    one.resolved = task.resolved(&observed);
    one.diff = observed.diff;
    if one.diff.is_some() {
        one.verdict = Verdict::Change;
    }
    if task.has_probe {
        probed(&mut one, &task, &moment, &past, &observed.kept, changed);
    }
    if let Some(why) = startable::obstacle(&task)
        && matches!(
            one.verdict,
            Verdict::Run | Verdict::Change | Verdict::CannotTell
        )
    {
        one.evidence.insert(0, why);
        if !changed {
            one.verdict = Verdict::CannotRun;
        } else {
            one.verdict = Verdict::CannotTell;
            one.evidence.insert(1, text::may_come());
        }
    }
    one
}

/// Actions whose look does not ask the application: it sees the same without the secrets of their environment.
const SEEN_WITHOUT: [&str; 8] = [
    "file.",
    "expect.port",
    "expect.process",
    "expect.stopped",
    "expect.file",
    "process.",
    "gunicorn.",
    "cron.",
];

/// The forecast of a step whose secrets cannot be read here: whether it could be started, and the result of checks that
/// need none of them. No placeholder is used for a secret: a wrong password is never sent anywhere.
fn without_secrets(
    one: &mut Forecast,
    plan: &Plan,
    step: &Step,
    secrets: &[(String, String)],
    site: &Site,
    changed: bool,
) {
    let mut bare = plan.clone();
    for step in bare.phases.iter_mut().flat_map(|p| &mut p.steps) {
        step.env.retain(|variable| match &variable.value {
            Input::Secret(name) => secrets.iter().any(|(known, _)| known == name),
            Input::Text(_) | Input::From(_) => true,
        });
    }
    let Ok(task) = site.task(&bare, &step.id, Direction::Do, secrets) else {
        return;
    };
    one.commands = task.outline();
    let kind = task.action.kind();
    if SEEN_WITHOUT.iter().any(|k| kind.starts_with(k)) {
        match task.observe(&site.local.moment()) {
            Ok(observed) => {
                let preview = task.preview(&RawPast {
                    before: observed.before,
                    ..RawPast::default()
                });
                one.commands = preview.commands;
                one.evidence.extend(preview.findings);
            }
            Err(why) => {
                if why.is_certain() || !changed {
                    one.verdict = Verdict::Fail;
                }
                one.evidence.push(phrases::looked(why));
            }
        }
    }
    if let Some(why) = startable::obstacle(&task) {
        one.evidence.insert(0, why);
        if changed {
            one.evidence.insert(1, text::may_come());
        } else if one.verdict == Verdict::CannotTell {
            one.verdict = Verdict::CannotRun;
        }
    }
}

/// A secret of the step that cannot be read here.
fn unread<'a>(step: &'a Step, secrets: &[(String, String)]) -> Option<&'a str> {
    step.env.iter().find_map(|variable| match &variable.value {
        Input::Secret(name) if !secrets.iter().any(|(known, _)| known == name) => {
            Some(name.as_str())
        }
        Input::Secret(_) | Input::Text(_) | Input::From(_) => None,
    })
}

/// Whether it is done, as far as a look tells now.
fn probed(
    one: &mut Forecast,
    task: &PreparedTask,
    moment: &Moment,
    past: &RawPast,
    kept: &[Blob],
    changed: bool,
) {
    let (look, _) = task.probe(moment, past, kept);
    match look.answer {
        Answer::Done if changed => {
            one.verdict = Verdict::Later;
            one.evidence.push(text::may_be_done_by_then());
        }
        Answer::Done => {
            one.verdict = Verdict::Already;
            one.evidence
                .extend(look.evidence.iter().map(phrases::looked));
        }
        Answer::Nothing => {}
        Answer::Unclear => {
            one.verdict = Verdict::CannotTell;
            one.evidence
                .extend(look.evidence.iter().map(phrases::looked));
        }
    }
}

/// This machine, looked at for a preview.
struct Site {
    local: Local,
    /// Nothing is kept in a preview, so it stays empty.
    _scratch: tempfile::TempDir,
}

impl Site {
    fn new() -> std::io::Result<Self> {
        let scratch = tempfile::Builder::new()
            .prefix("upledger-plan-")
            .tempdir()?;
        Ok(Self {
            local: Local::new(scratch.path()),
            _scratch: scratch,
        })
    }

    fn task(
        &self,
        plan: &Plan,
        id: &str,
        direction: Direction,
        secrets: &[(String, String)],
    ) -> Result<PreparedTask, String> {
        let part = TaskKey::local(id, direction);
        PreparedTask::new(&self.local, "plan", plan, &part, Facts::None, secrets)
            .map(PreparedTask::for_preview)
            .map_err(|e| e.to_string())
    }
}

/// An action that cannot be made ready, such as one that needs a fact of an earlier step.
fn plainly(plan: &Plan, action: &Value) -> Vec<String> {
    let Some(action) = samples::shown(plan, action) else {
        return vec![action.to_string()];
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
                if let (Some(line), Some(why)) = (shown.first_mut(), startable::obstacle(&task)) {
                    *line = text::not_ready_now(&line, why);
                }
                shown
            }
            Err(_) => plainly(plan, &undo.action),
        },
        Undo::PointOfNoReturn(why) => vec![text::no_return(why)],
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

/// How long a step took, in ms, in the newest run of a plan of this name in which it succeeded, and that run.
#[must_use]
pub fn took(book: &Runs, plan: &Plan, id: &str) -> Option<(u64, String)> {
    book.runs
        .iter()
        .rev()
        .filter(|r| r.plan.name == plan.name)
        .find_map(|run| {
            let unit = run.units_of(id).first()?;
            let ended = matches!(unit.forward.status, Status::Succeeded | Status::Undone);
            Some((unit.forward.took_ms.filter(|_| ended)?, run.name.clone()))
        })
}
