//! Prints the forecast for people and for programs: one line per step, then the changes, the rollback, the time and the
//! digest.

use super::{Forecast, Verdict};
use crate::plan::load::digest;
use crate::report::paint::Tone;
use crate::report::{columns, duration, localized, pad, rows, safe};
use crate::site::withheld;
use crate::text::forecast as text;
use crate::time::Length;
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;
use upledger_replay::plan::{
    ActionSpec, Effect, Input, OnDoubt, OnFailure, Plan, SecretSource, Step,
};

fn word(step: &Forecast) -> String {
    match step.verdict {
        Verdict::CannotTell if step.waits => text::depends_on_steps(),
        Verdict::Run => text::run(),
        Verdict::Change => text::will_change(),
        Verdict::Already => text::already(),
        Verdict::Later => text::later(),
        Verdict::CannotRun => text::cannot_run(),
        Verdict::CannotTell => text::cannot_tell(),
        Verdict::Fail => text::would_fail(),
        Verdict::LeftOut => text::left_out(),
    }
}

/// What a verdict says, as a colour.
fn tone(step: &Forecast) -> Tone {
    match step.verdict {
        Verdict::CannotTell if step.waits => Tone::Plain,
        Verdict::Fail | Verdict::CannotRun => Tone::Failed,
        Verdict::CannotTell => Tone::Asks,
        Verdict::Run | Verdict::Change | Verdict::Already | Verdict::Later | Verdict::LeftOut => {
            Tone::Plain
        }
    }
}

fn head(plan: &Plan) -> Vec<String> {
    let mut out = vec![
        (text::plan(), plan.name.clone()),
        (text::digest(), digest(plan)),
    ];
    out.extend(plan.environment.clone().map(|e| (text::environment(), e)));
    if let Some(change) = &plan.change {
        let reason = change
            .reason
            .as_ref()
            .map_or(String::new(), |r| format!("  {r}"));
        out.push((text::change(), format!("{}{reason}", change.id)));
        out.extend(change.risk.clone().map(|r| (text::risk(), r)));
        out.extend(change.impact.clone().map(|i| (text::impact(), i)));
        if !change.services.is_empty() {
            out.push((text::services(), crate::text::list(&change.services)));
        }
    }
    for secret in &plan.secrets {
        let source = match &secret.source {
            SecretSource::Env(name) => text::from_variable(name),
            SecretSource::File(path) => text::from_file(path),
            SecretSource::Command(words) => text::from_command(crate::host::exec::quoted(words)),
        };
        out.push((text::secret(), format!("{}  {source}", secret.name)));
    }
    let steps = plan.steps().filter(|(_, step)| step.left_out.is_none());
    let kinds = steps.map(|(_, step)| step.action.kind.as_str());
    let withheld = withheld::names(kinds);
    if !withheld.is_empty() {
        out.push((text::not_passed_on(), crate::text::list(&withheld)));
    }
    let failure = match plan.on_failure {
        OnFailure::Ask => text::failure_asks(),
        OnFailure::Rollback => text::failure_rolls_back(),
    };
    out.push((text::on_failure(), failure));
    rows(&out)
}

/// Lines of one thing of a step that are shown; of the others their number. `--details` has all commands.
const SHOWN: usize = 3;

/// The first ones, and how many there are beside them.
fn some(lines: &[String]) -> Vec<String> {
    let mut out: Vec<String> = lines.iter().take(SHOWN).map(|l| safe(l)).collect();
    let more = lines.len().saturating_sub(SHOWN);
    if let (Some(last), 1..) = (out.last_mut(), more) {
        *last = format!("{last}  (+{more})");
    }
    out
}

/// A step's line, and what belongs to it below, set in.
pub(super) fn put(out: &mut Vec<String>, first: &str, lines: &[String]) {
    let set_in = " ".repeat(columns(first));
    for (n, line) in lines.iter().enumerate() {
        let before = if n == 0 { first } else { &set_in };
        out.push(format!("{before}{line}").trim_end().to_owned());
    }
    if lines.is_empty() {
        out.push(first.trim_end().to_owned());
    }
}

/// How many steps have which verdict.
fn summary(steps: &[Forecast]) -> String {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for step in steps {
        let word = word(step);
        match counts.iter_mut().find(|(w, _)| *w == word) {
            Some((_, n)) => *n += 1,
            None => counts.push((word, 1)),
        }
    }
    let counts: Vec<String> = counts
        .into_iter()
        .map(|(word, n)| text::count(word, n))
        .collect();
    text::nothing_changed(crate::text::parts(&counts))
}

/// What steps would do, by phase.
#[must_use]
pub fn of_steps(steps: &[Forecast]) -> Vec<String> {
    let mut out = Vec::new();
    let words = steps.iter().map(|s| word(s).width()).max().unwrap_or(0);
    let ids = steps.iter().map(|s| s.step.len()).max().unwrap_or(0);
    let mut phase = "";
    for step in steps {
        if step.phase != phase {
            phase = &step.phase;
            out.extend([String::new(), safe(phase)]);
        }
        let mark = if step.no_return.is_some() { '!' } else { ' ' };
        let verdict = pad(&tone(step).paint(&word(step)), words);
        let first = format!("{mark} {verdict}  {:<ids$}  ", step.step);
        let mut below = some(&step.commands);
        // Do not repeat what the command line or a longer finding already contains.
        let said = |e: &&String, at: usize| {
            let others = step.evidence.iter().enumerate();
            step.commands.iter().any(|c| c.contains(e.as_str()))
                || others
                    .filter(|(n, _)| *n != at)
                    .any(|(n, o)| o.contains(e.as_str()) && (o.len() > e.len() || n < at))
        };
        let found = step.evidence.iter().enumerate();
        let found: Vec<String> = found
            .filter(|(at, e)| !said(e, *at))
            .map(|(_, e)| e.clone())
            .collect();
        below.extend(some(&found));
        put(&mut out, &first, &below);
    }
    out
}

/// The whole forecast.
#[must_use]
pub fn lines(plan: &Plan, steps: &[Forecast]) -> Vec<String> {
    let mut out = head(plan);
    out.extend(of_steps(steps));
    let ids = steps.iter().map(|s| s.step.len()).max().unwrap_or(0);
    if steps.iter().any(|s| s.no_return.is_some()) {
        out.extend([String::new(), text::legend()]);
    }
    out.extend(diffs(steps));
    out.extend([String::new(), text::the_way_back()]);
    for step in steps
        .iter()
        .rev()
        .filter(|s| !matches!(s.verdict, Verdict::LeftOut | Verdict::Already))
    {
        let mark = if step.no_return.is_some() { '!' } else { ' ' };
        let first = format!("{mark} {:<ids$}  ", step.step);
        put(&mut out, &first, &some(&step.undo));
    }
    out.push(String::new());
    let mut last = vec![(text::summary(), summary(steps))];
    last.extend(time(steps).into_iter().map(|t| (text::time(), t)));
    out.extend(rows(&last));
    out
}

fn diffs(steps: &[Forecast]) -> Vec<String> {
    let mut out = Vec::new();
    for step in steps {
        let Some(diff) = &step.diff else {
            continue;
        };
        if out.is_empty() {
            out.extend([String::new(), text::diffs()]);
        }
        out.push(format!("  {}", step.step));
        out.extend(diff.lines().map(|l| format!("    {}", safe(l))));
    }
    out
}

/// The time budget: what is known from runs here, and what the limits allow.
fn time(steps: &[Forecast]) -> Vec<String> {
    let counted: Vec<&Forecast> = steps
        .iter()
        .filter(|s| !matches!(s.verdict, Verdict::LeftOut | Verdict::Already))
        .collect();
    let mut out = Vec::new();
    let known: Vec<&(u64, String)> = counted.iter().filter_map(|s| s.took.as_ref()).collect();
    if let Some((_, run)) = known.first() {
        let sum = known.iter().map(|(ms, _)| ms).sum();
        out.push(text::time_known(duration(sum), run));
    }
    let unknown = counted.len() - known.len();
    if unknown > 0 {
        out.push(text::time_unknown(unknown));
    }
    let limits: Vec<u64> = counted.iter().filter_map(|s| s.limit_ms).collect();
    if !limits.is_empty() {
        out.push(text::time_limit(Length(limits.iter().sum()), limits.len()));
    }
    out
}

fn effect(step: &Step) -> String {
    let word = match step.effect {
        Effect::Pure => return text::effect_pure(),
        Effect::Idempotent => return text::effect_idempotent(),
        Effect::Probed => text::effect_probed(),
        Effect::Unsafe => text::effect_unsafe(),
    };
    let doubt = match step.on_doubt {
        OnDoubt::Ask => text::doubt_asks(),
        OnDoubt::Retry => text::doubt_retries(),
    };
    text::effect_and_doubt(word, doubt)
}

/// Every step with all that the plan says of it.
#[must_use]
pub fn details(plan: &Plan) -> Vec<String> {
    let mut out = Vec::new();
    for (phase, step) in plan.steps() {
        let mut of = vec![(text::step(), format!("{phase} / {}", step.id))];
        let commands = |action: &ActionSpec| super::plainly(plan, action);
        of.extend(commands(&step.action).into_iter().map(|c| (text::run(), c)));
        for (label, look) in [(text::probe(), &step.probe), (text::verify(), &step.verify)] {
            of.extend(look.iter().flat_map(commands).map(|c| (label.clone(), c)));
        }
        let left_out = step.left_out.as_deref().map(localized::left_out);
        of.extend(left_out.map(|why| (text::left_out(), why)));
        of.push((text::effect(), effect(step)));
        let mut limits: Vec<String> = step
            .timeout_ms
            .map(|t| text::at_most(Length(t)))
            .into_iter()
            .collect();
        let wait = Length(step.retry.wait_ms);
        match step.retry.times {
            0 => {}
            1 => limits.push(text::one_retry(wait)),
            times => limits.push(text::retries(times, wait)),
        }
        if !limits.is_empty() {
            of.push((text::limits(), crate::text::clauses(&limits)));
        }
        for file in &step.env_files {
            of.push((text::environment(), text::from_file(&file.path)));
        }
        for variable in &step.env {
            let value = match &variable.value {
                Input::Text(t) => t.clone(),
                Input::Secret(name) => text::the_secret(name),
                Input::From(fact) => text::the_fact(fact),
            };
            of.push((text::environment(), format!("{}={value}", variable.key)));
        }
        let directory = step.cwd_from.as_ref().map(text::the_fact);
        let directory = step.cwd.clone().or(directory);
        of.extend(directory.map(|d| (text::directory(), d)));
        of.extend(step.why.clone().map(|w| (text::why(), w)));
        out.push(String::new());
        out.extend(rows(&of));
    }
    out
}

/// The forecast for programs.
#[must_use]
pub fn value(steps: &[Forecast]) -> Value {
    let verdict = |v: Verdict| match v {
        Verdict::Run => "run",
        Verdict::Change => "change",
        Verdict::Already => "already",
        Verdict::Later => "later",
        Verdict::CannotRun => "cannot_run",
        Verdict::CannotTell => "cannot_tell",
        Verdict::Fail => "fail",
        Verdict::LeftOut => "left_out",
    };
    steps
        .iter()
        .map(|s| {
            json!({
                "phase": s.phase,
                "step": s.step,
                "verdict": verdict(s.verdict),
                "evidence": s.evidence,
                "commands": s.commands,
                "diff": s.diff,
                "point_of_no_return": s.no_return,
                "undo": s.undo,
                "took_ms": s.took.as_ref().map(|(ms, _)| ms),
                "timeout_ms": s.limit_ms,
            })
        })
        .collect()
}
