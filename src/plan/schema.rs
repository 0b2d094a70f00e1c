//! The JSON Schema of plan files, for editors. It is made from the types that read them, so the two cannot differ.

use super::file::File;
use crate::actions::Do;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The definition of a reference to a fact.
const FACT: &str = "#/$defs/From";
/// Properties of a schema that hold schemas by name.
const NAMED: [&str; 2] = ["properties", "patternProperties"];

/// The schema.
#[must_use]
pub fn json_schema() -> Value {
    let mut schema = schemars::schema_for!(File).to_value();
    loosen(&mut schema);
    let definitions = schema["$defs"].clone();
    for name in of_settings(&definitions) {
        take_facts(&mut schema["$defs"][name], &definitions);
    }
    for kind in schema["$defs"]["Do"]["oneOf"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        hand_on(kind);
    }
    schema
}

/// The definitions that the settings of actions are made of; but what names a fact, or a secret, is fixed.
fn of_settings(definitions: &Value) -> BTreeSet<String> {
    let (mut found, mut open) = (BTreeSet::new(), Vec::new());
    references(&definitions["Do"], &mut open);
    while let Some(name) = open.pop() {
        let definition = &definitions[&name];
        let properties = definition["properties"].as_object();
        let only = |key| properties.is_some_and(|p| p.len() == 1 && p.contains_key(key));
        if !only("from") && !only("secret") && found.insert(name) {
            references(definition, &mut open);
        }
    }
    found
}

/// The definitions that a schema refers to.
fn references(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(map) => {
            let name = map.get("$ref").and_then(Value::as_str);
            found.extend(name.and_then(|n| n.rsplit('/').next()).map(str::to_owned));
            map.values().for_each(|v| references(v, found));
        }
        Value::Array(items) => items.iter().for_each(|v| references(v, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Each setting that is a single value takes a fact in its place.
fn take_facts(schema: &mut Value, definitions: &Value) {
    let Some(map) = schema.as_object_mut() else {
        return;
    };
    for (key, value) in map {
        match value {
            Value::Object(inner) if NAMED.contains(&key.as_str()) => {
                inner.values_mut().for_each(|v| take_fact(v, definitions));
            }
            Value::Object(_) if matches!(key.as_str(), "items" | "additionalProperties") => {
                take_fact(value, definitions);
            }
            Value::Array(forms) if matches!(key.as_str(), "anyOf" | "oneOf") => {
                forms.iter_mut().for_each(|v| take_facts(v, definitions));
            }
            _ => {}
        }
    }
}

fn take_fact(schema: &mut Value, definitions: &Value) {
    if !single(schema, definitions) {
        return take_facts(schema, definitions);
    }
    let Some(map) = schema.as_object_mut() else {
        return;
    };
    let fact = json!({"$ref": FACT});
    if let Some(forms) = map.get_mut("anyOf").and_then(Value::as_array_mut) {
        forms.push(fact);
        return;
    }
    // The description of the setting stays where readers expect it.
    let about = ["description", "default"];
    let (about, value): (Map<String, Value>, Map<String, Value>) = std::mem::take(map)
        .into_iter()
        .partition(|(key, _)| about.contains(&key.as_str()));
    *map = about;
    map.insert("anyOf".into(), json!([value, fact]));
}

/// It is written as one value, and not one of a few words.
fn single(schema: &Value, definitions: &Value) -> bool {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap_or_default();
        return single(&definitions[name], definitions);
    }
    if let Some(forms) = schema["anyOf"].as_array() {
        let fact = forms.iter().any(|f| f["$ref"] == FACT);
        return !fact && forms.iter().any(|f| single(f, definitions));
    }
    let scalar = |kind: &Value| {
        ["string", "integer", "number", "boolean"]
            .iter()
            .any(|s| kind == s)
    };
    let typed = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().any(scalar),
        kind => scalar(kind),
    };
    typed && schema.get("const").is_none() && schema.get("enum").is_none()
}

/// The facts that a kind produces, for editors: `x-facts`.
fn hand_on(kind: &mut Value) {
    let name = kind["properties"].as_object().and_then(|p| p.keys().next());
    let facts = name.map_or_else(Vec::new, |name| Do::facts_of(name));
    if facts.is_empty() {
        return;
    }
    let facts = facts.into_iter().map(|fact| {
        let told = json!({"kind": fact.kind.word(), "description": fact.description});
        (fact.name, told)
    });
    kind["x-facts"] = facts.collect::<Map<String, Value>>().into();
}

/// Text may be written without quotes even where it looks like a number, as in `[sleep, 5]`.
fn loosen(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            let free = !map.contains_key("const")
                && !map.contains_key("enum")
                && !map.contains_key("pattern");
            if let Some(kind) = map.get_mut("type").filter(|_| free) {
                if *kind == json!("string") {
                    *kind = json!(["string", "number", "boolean"]);
                } else if *kind == json!(["string", "null"]) {
                    *kind = json!(["string", "number", "boolean", "null"]);
                }
            }
            map.values_mut().for_each(loosen);
        }
        Value::Array(items) => items.iter_mut().for_each(loosen),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
