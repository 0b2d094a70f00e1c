//! A resolved plan in lines for people: what would be done, in which order, and the way back.
//!
//! Lines are plain text without control characters, whatever the plan holds.

use super::load::digest;
use super::time::Length;
use crate::actions::{Do, Invocation, run::quoted};
use serde_json::Value;
use upledger_replay::plan::{Effect, Input, OnDoubt, OnFailure, Plan, SecretSource, Step, Undo};

/// Text without control characters.
fn safe(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect()
            } else {
                vec![c]
            }
        })
        .collect()
}

/// The commands of an action, one a line.
fn commands(value: &Value) -> Vec<String> {
    let Ok(action) = serde_json::from_value::<Do>(value.clone()) else {
        return vec![safe(&value.to_string())];
    };
    match action.action().invocation() {
        Invocation::Argv(words) => vec![safe(&quoted(
            &words.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ))],
        Invocation::Shell(script) => script.lines().map(|l| format!("sh: {}", safe(l))).collect(),
        Invocation::Own => match value.get(action.kind()) {
            Some(settings) => vec![safe(&format!("{} {settings}", action.kind()))],
            None => vec![action.kind().to_owned()],
        },
    }
}

fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Pure => "changes nothing",
        Effect::Idempotent => "may run twice",
        Effect::Probed => "its probe tells whether it is done",
        Effect::Unsafe => "never twice",
    }
}

fn doubt(effect: Effect, on_doubt: OnDoubt) -> &'static str {
    match (effect, on_doubt) {
        (Effect::Pure | Effect::Idempotent, _) => "",
        (Effect::Probed | Effect::Unsafe, OnDoubt::Ask) => "; in doubt: ask",
        (Effect::Probed | Effect::Unsafe, OnDoubt::Retry) => "; in doubt: run it again",
    }
}

/// The whole preview: head, steps by phase, digest, rollback plan. `!` marks a point of no return, `-` a step that is
/// left out.
#[must_use]
pub fn describe(plan: &Plan) -> Vec<String> {
    let mut out = vec![format!("plan      {}", safe(&plan.name))];
    if let Some(environment) = &plan.environment {
        out.push(format!("for       {}", safe(environment)));
    }
    if let Some(change) = &plan.change {
        let reason = change
            .reason
            .as_ref()
            .map(|r| format!(": {}", safe(r)))
            .unwrap_or_default();
        out.push(format!("change    {}{reason}", safe(&change.id)));
        let more = [
            ("risk", change.risk.clone()),
            ("impact", change.impact.clone()),
        ];
        for (word, text) in more {
            out.extend(text.map(|t| format!("          {word}: {}", safe(&t))));
        }
        if !change.services.is_empty() {
            out.push(format!(
                "          services: {}",
                safe(&change.services.join(", "))
            ));
        }
    }
    out.push(format!(
        "failure   {}",
        match plan.on_failure {
            OnFailure::Ask => "the run stops and asks",
            OnFailure::Rollback => "the run turns round and undoes what it did",
        }
    ));
    for secret in &plan.secrets {
        let source = match &secret.source {
            SecretSource::Env(name) => format!("environment variable {name}"),
            SecretSource::File(path) => format!("file {path}"),
            SecretSource::Command(words) => format!("command {}", quoted(words)),
        };
        out.push(format!("secret    {}: {}", secret.name, safe(&source)));
    }
    for phase in &plan.phases {
        out.push(String::new());
        out.push(format!("phase {}", safe(&phase.phase)));
        for step in &phase.steps {
            self::step(step, &mut out);
        }
    }
    out.push(String::new());
    out.push(format!("digest    {}", digest(plan)));
    out.push(String::new());
    out.push("rollback, from the last step to the first; only what was started is undone".into());
    out.extend(rollback(plan));
    out
}

fn step(step: &Step, out: &mut Vec<String>) {
    let mark = match (&step.left_out, &step.undo) {
        (Some(_), _) => '-',
        (None, Undo::PointOfNoReturn(_)) => '!',
        (None, Undo::Own { .. } | Undo::Action(_) | Undo::Nothing) => ' ',
    };
    for (n, line) in commands(&step.action).iter().enumerate() {
        let (mark, id) = if n == 0 {
            (mark, step.id.as_str())
        } else {
            (' ', "")
        };
        out.push(format!("  {mark} {id:<16} {line}"));
    }
    let mut add = |label: &str, text: &str| out.push(format!("      {label:<8}   {text}"));
    if let Some(reason) = &step.left_out {
        add("left out", &safe(reason));
    }
    for (label, look) in [("probe", &step.probe), ("verify", &step.verify)] {
        for line in look.iter().flat_map(commands) {
            add(label, &line);
        }
    }
    add(
        "effect",
        &format!(
            "{}{}",
            effect(step.effect),
            doubt(step.effect, step.on_doubt)
        ),
    );
    let mut limits = Vec::new();
    limits.extend(step.timeout_ms.map(|t| format!("at most {}", Length(t))));
    if step.retry.times > 0 {
        limits.push(format!(
            "{} retries, {} apart",
            step.retry.times,
            Length(step.retry.wait_ms)
        ));
    }
    if !limits.is_empty() {
        add("limits", &limits.join("; "));
    }
    for variable in &step.env {
        let value = match &variable.value {
            Input::Text(t) => safe(t),
            Input::Secret(name) => format!("the secret {name}"),
            Input::From(fact) => format!("the fact {fact}"),
        };
        add("env", &format!("{}={value}", variable.key));
    }
    if let Some(cwd) = &step.cwd {
        add("cwd", &safe(cwd));
    }
    if let Some(why) = &step.why {
        add("why", &safe(why));
    }
}

/// The way back.
fn rollback(plan: &Plan) -> Vec<String> {
    let mut out = Vec::new();
    for (_, step) in plan.steps().rev() {
        if step.left_out.is_some() {
            continue;
        }
        let (mark, how) = match &step.undo {
            Undo::Own { .. } => (
                ' ',
                vec!["undone by the action itself, from what it saw before".to_owned()],
            ),
            Undo::Action(undo) => (' ', commands(&undo.action)),
            Undo::PointOfNoReturn(reason) => {
                ('!', vec![format!("point of no return: {}", safe(reason))])
            }
            Undo::Nothing => (' ', vec!["nothing to undo".to_owned()]),
        };
        for (n, line) in how.iter().enumerate() {
            let (mark, id) = if n == 0 {
                (mark, step.id.as_str())
            } else {
                (' ', "")
            };
            out.push(format!("  {mark} {id:<16} {line}"));
        }
    }
    out
}
