//! A resolved plan and its steps as people write them: the keys of the plan file, without what is their default. For
//! people to compare; it is not read back.

use super::samples;
use crate::time::Length;
use serde_json::{Map, Value, json};
use upledger_replay::plan::{
    ActionSpec, Effect, Input, OnDoubt, OnFailure, Phase, Plan, SecretSource, Step, Undo,
    UndoAction,
};

/// Keys of a step in the order in which people write them; the others follow.
const ORDER: [&str; 4] = ["id", "do", "name", "environment"];

/// The definition of a step, line by line.
#[must_use]
pub fn step(plan: &Plan, step: &Step) -> String {
    let mut out = String::new();
    block(&mut out, &Value::Object(of_step(plan, step)), 0);
    out
}

/// What the plan says beside its steps, and which steps it has, line by line.
#[must_use]
pub fn head(plan: &Plan) -> String {
    let mut map = Map::new();
    map.insert("name".into(), plan.name.clone().into());
    put(&mut map, "environment", plan.environment.clone());
    if let Some(change) = &plan.change {
        let all = json!({
            "id": change.id, "reason": change.reason, "risk": change.risk, "impact": change.impact,
            "services": change.services,
        });
        put(&mut map, "change", Some(all));
    }
    if plan.on_failure == OnFailure::Rollback {
        map.insert("on_failure".into(), "rollback".into());
    }
    let vars: Map<String, Value> = plan
        .vars
        .iter()
        .map(|p| (p.key.clone(), p.value.clone().into()))
        .collect();
    put(&mut map, "vars", Some(Value::Object(vars)));
    let secrets: Map<String, Value> = plan
        .secrets
        .iter()
        .map(|secret| {
            let source = match &secret.source {
                SecretSource::Env(name) => json!({"env": name}),
                SecretSource::File(path) => json!({"file": path}),
                SecretSource::Command(words) => json!({"command": words}),
            };
            (secret.name.clone(), source)
        })
        .collect();
    put(&mut map, "secrets", Some(Value::Object(secrets)));
    let steps = |p: &Phase| p.steps.iter().map(|s| s.id.clone()).collect::<Vec<_>>();
    let phases: Vec<Value> = plan
        .phases
        .iter()
        .map(|p| json!({"phase": p.phase, "steps": steps(p)}))
        .collect();
    put(&mut map, "phases", Some(Value::Array(phases)));
    let mut out = String::new();
    block(&mut out, &Value::Object(map), 0);
    out
}

/// Puts a key, unless it has no value.
fn put<T: Into<Value>>(map: &mut Map<String, Value>, key: &str, value: Option<T>) {
    let value = value.map_or(Value::Null, Into::into);
    let empty = match &value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::String(_) => false,
    };
    if !empty {
        map.insert(key.into(), value);
    }
}

fn of_step(plan: &Plan, step: &Step) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("id".into(), step.id.clone().into());
    map.insert("do".into(), step.action.to_value());
    put(&mut map, "probe", look(step.probe.as_ref()));
    put(&mut map, "verify", look(step.verify.as_ref()));
    put(&mut map, "undo", undo(plan, step));
    put(&mut map, "effect", effect(plan, &step.action, step.effect));
    put(&mut map, "on_doubt", on_doubt(step.on_doubt));
    put(&mut map, "timeout", step.timeout_ms.map(length));
    if step.retry.times > 0 {
        let mut retry = Map::new();
        retry.insert("times".into(), step.retry.times.into());
        let wait = Some(step.retry.wait_ms).filter(|ms| *ms > 0);
        put(&mut retry, "wait", wait.map(length));
        map.insert("retry".into(), retry.into());
    }
    // What its `when` came to; the condition itself is not kept.
    put(&mut map, "when", step.left_out.clone());
    put(&mut map, "why", step.why.clone());
    let env: Map<String, Value> = step
        .env
        .iter()
        .map(|variable| {
            let value = match &variable.value {
                Input::Text(text) => text.clone().into(),
                Input::Secret(name) => json!({"secret": name}),
                Input::From(fact) => json!({"from": fact}),
            };
            (variable.key.clone(), value)
        })
        .collect();
    put(&mut map, "env", Some(Value::Object(env)));
    put(&mut map, "cwd", step.cwd.clone());
    let from = step.cwd_from.as_ref();
    put(&mut map, "cwd", from.map(|fact| json!({"from": fact})));
    let facts: Map<String, Value> = step
        .facts
        .iter()
        .map(|fact| (fact.name.clone(), json!({"json": fact.json})))
        .collect();
    put(&mut map, "facts", Some(Value::Object(facts)));
    put(&mut map, "after_rollback", Some(step.after_rollback));
    map
}

fn length(ms: u64) -> String {
    Length(ms).to_string()
}

fn look(spec: Option<&ActionSpec>) -> Option<Value> {
    spec.map(ActionSpec::to_value)
}

fn on_doubt(doubt: OnDoubt) -> Option<&'static str> {
    match doubt {
        OnDoubt::Ask => None,
        OnDoubt::Retry => Some("retry"),
    }
}

/// None where it is the kind's own.
fn effect(plan: &Plan, action: &ActionSpec, effect: Effect) -> Option<&'static str> {
    let own = samples::shown(plan, action).map(|a| a.kind_of().properties().effect);
    (own != Some(effect)).then_some(match effect {
        Effect::Pure => "pure",
        Effect::Idempotent => "idempotent",
        Effect::Probed => "probed",
        Effect::Unsafe => "unsafe",
    })
}

/// None where it is the action's own, and where a step needs none.
fn undo(plan: &Plan, step: &Step) -> Option<Value> {
    let needs =
        |action| samples::shown(plan, action).is_none_or(|a| a.kind_of().properties().needs_undo);
    match &step.undo {
        Undo::Own { .. } => None,
        Undo::Nothing if step.effect == Effect::Pure || !needs(&step.action) => None,
        Undo::Nothing => Some("none".into()),
        Undo::PointOfNoReturn(why) => Some(json!({"point_of_no_return": why})),
        Undo::Action(written) => Some(Value::Object(of_undo(plan, written))),
    }
}

fn of_undo(plan: &Plan, undo: &UndoAction) -> Map<String, Value> {
    let action = (undo.action.kind.clone(), undo.action.settings.clone());
    let mut map = Map::from_iter([action]);
    put(&mut map, "probe", look(undo.probe.as_ref()));
    put(&mut map, "verify", look(undo.verify.as_ref()));
    put(&mut map, "effect", effect(plan, &undo.action, undo.effect));
    put(&mut map, "on_doubt", on_doubt(undo.on_doubt));
    map
}

/// A map in lines, set in by `depth` levels.
fn block(out: &mut String, value: &Value, depth: usize) {
    let Value::Object(map) = value else { return };
    let set_in = "  ".repeat(depth);
    let first = |key: &&String| ORDER.iter().position(|k| k == key).unwrap_or(ORDER.len());
    let mut keys: Vec<&String> = map.keys().collect();
    keys.sort_by_key(first);
    for key in keys {
        match &map[key] {
            Value::Null => {}
            Value::Object(fields) if !fields.is_empty() => {
                out.push_str(&format!("{set_in}{}:\n", scalar(key)));
                block(out, &map[key], depth + 1);
            }
            Value::Array(items) if items.iter().any(|i| i.is_object() || i.is_array()) => {
                out.push_str(&format!("{set_in}{}:\n", scalar(key)));
                for item in items {
                    out.push_str(&format!("{set_in}  - {}\n", flow(item)));
                }
            }
            Value::String(text) if text.trim_end().contains('\n') => {
                out.push_str(&format!("{set_in}{}: |\n", scalar(key)));
                for line in text.lines() {
                    out.push_str(&format!("{set_in}  {line}\n"));
                }
            }
            other => out.push_str(&format!("{set_in}{}: {}\n", scalar(key), flow(other))),
        }
    }
}

/// A value in one line.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) => {
            let fields = map.iter().filter(|(_, v)| !v.is_null());
            let fields: Vec<String> = fields
                .map(|(key, v)| format!("{}: {}", scalar(key), flow(v)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A length of time such as `1h30m`, which no reader of YAML takes for a number.
fn is_length(text: &str) -> bool {
    let of_length = |c: char| c.is_ascii_digit() || "dhms".contains(c);
    text.chars().all(of_length) && text.ends_with(|c: char| c.is_ascii_alphabetic())
}

/// A text, in quotes where YAML would take it for something else.
fn scalar(text: &str) -> String {
    let words = ["true", "false", "null", "yes", "no", "on", "off"];
    let plain = text.starts_with(|c: char| c.is_alphanumeric() || c == '/' || c == '_')
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || " /_.-+@=".contains(c))
        && !text.ends_with(' ')
        && (!text.starts_with(|c: char| c.is_ascii_digit()) || is_length(text))
        && !words.contains(&text.to_ascii_lowercase().as_str());
    match plain {
        true => text.to_owned(),
        false => Value::String(text.to_owned()).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = r#"
upledger: 1
name: night
on_failure: rollback
vars: {root: /srv/app}
secrets: {db: {env: DB}}
phases:
  - phase: all
    steps:
      - id: a
        do: {run: [echo, "a: b", "yes"]}
        env: {P: {secret: db}, N: "1"}
        cwd: ${root}
        timeout: 90m
        retry: {times: 2, wait: 10s}
        on_doubt: retry
        undo: {shell: "echo 1\necho 2\n", effect: idempotent}
      - {id: b, do: {file.replace: {path: /x, content: y}}}
      - {id: c, do: {http.check: {url: "http://h/"}}, after_rollback: true}
      - {id: d, do: {run: ["true"]}, on_doubt: ask, undo: {point_of_no_return: gone}}
"#;

    /// What the keys say is what the file says, and no more.
    #[test]
    fn a_step_is_written_in_the_keys_of_the_plan_file() {
        let checked = crate::plan::load_text("plan.yaml", PLAN)
            .unwrap_or_else(|e| panic!("{}", e.render(false)));
        let plan = &checked.plan;
        let written = |id: &str| step(plan, plan.step(id).unwrap());
        let a = "id: a\ndo:\n  run: [echo, \"a: b\", \"yes\"]\ncwd: /srv/app\nenv:\n  N: \"1\"\n  P:\n    secret: db\n\
                 on_doubt: retry\nretry:\n  times: 2\n  wait: 10s\ntimeout: 1h30m\nundo:\n  effect: idempotent\n  shell: |\n    \
                 echo 1\n    echo 2\n";
        assert_eq!(written("a"), a);
        let b = "id: b\ndo:\n  file.replace:\n    content: y\n    path: /x\n";
        assert_eq!(written("b"), b);
        assert!(
            written("c").ends_with("after_rollback: true\n"),
            "{}",
            written("c")
        );
        assert!(written("d").contains("undo:\n  point_of_no_return: gone\n"));
        let head = head(plan);
        let said = "name: night\non_failure: rollback\nphases:\n  - {phase: all, steps: [a, b, c, d]}\nsecrets:\n  db:\n    \
                    env: DB\nvars:\n  root: /srv/app\n";
        assert_eq!(head, said);
        // Each is YAML that says the same.
        for (of, id) in [(written("a"), "a"), (head, "night")] {
            let yaml = crate::plan::outline::outline(&of).expect("YAML").0;
            let name = yaml.get("id").or(yaml.get("name")).and_then(|n| n.text());
            assert_eq!(name, Some(id), "{of}");
        }
    }
}
