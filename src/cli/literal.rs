//! Finds the value of a secret in the plan itself: the name of the secret, and the path of the value. The value is never
//! shown. Keys are structure, and so is what a secret has in common with them: only values count.

use crate::plan::load;
use crate::redact::{Redactor, TooShort};
use serde_json::Value;
use upledger_replay::plan::Plan;

/// The name of the first secret whose value stands in the plan, and the path to it.
///
/// # Errors
/// [`TooShort`] names a secret that cannot be looked for.
pub(super) fn find(
    plan: &Plan,
    known: &[(String, String)],
) -> Result<Option<(String, String)>, TooShort> {
    if known.is_empty() {
        return Ok(None);
    }
    let all = Redactor::strict(known)?;
    let text = load::text(plan);
    if all.found_in(&text).is_none() {
        return Ok(None);
    }
    // A plan always has a JSON form.
    let whole = serde_json::to_value(plan).unwrap_or_default();
    for secret in known {
        let one = Redactor::strict(std::slice::from_ref(secret))?;
        if let Some(at) = place(&one, &whole, String::new()) {
            // A key in the path may contain a value, too.
            return Ok(Some((secret.0.clone(), all.text(&at).to_string())));
        }
    }
    Ok(None)
}

fn place(redactor: &Redactor, value: &Value, at: String) -> Option<String> {
    let holds = |text: &str| redactor.found_in(text).is_some();
    match value {
        Value::Null => None,
        Value::String(text) => holds(text).then_some(at),
        Value::Bool(_) | Value::Number(_) => holds(&value.to_string()).then_some(at),
        Value::Array(items) => items.iter().enumerate().find_map(|(n, item)| {
            // A step is found by its id.
            let id = item.get("id").and_then(Value::as_str);
            let at = match id.filter(|_| at.ends_with(".steps")) {
                Some(id) => format!("steps.{id}"),
                None => format!("{at}[{n}]"),
            };
            place(redactor, item, at)
        }),
        Value::Object(map) => map.iter().find_map(|(key, item)| {
            // A plan file calls the action of a step `do`.
            let of_step = at.starts_with("steps.") && at.matches('.').count() == 1;
            let shown = if of_step && key == "action" {
                "do"
            } else {
                key
            };
            let below = if at.is_empty() {
                key.clone()
            } else {
                format!("{at}.{shown}")
            };
            place(redactor, item, below)
        }),
    }
}
