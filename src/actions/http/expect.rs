//! What a page should say, compared with what it says. Pure.

use super::Check;
use crate::action::Look;
use crate::host::http::{Reply, short};
use crate::redact::Redactor;
use crate::text::actions as phrases;
use serde_json::Value;

impl Check {
    /// What is expected, in words.
    pub(super) fn expected(&self) -> String {
        let text = self.contains.iter().map(phrases::the_text);
        let values = self.json.iter().map(|(p, v)| phrases::value_at(v, p));
        text.chain(values)
            .fold(phrases::status(self.status), |all, one| {
                phrases::join_and(all, one)
            })
    }
}

/// The verdict on an answer.
pub(super) fn judge(check: &Check, reply: &Reply, redactor: &Redactor) -> Look {
    let seen = seen(reply, redactor);
    let wrong = wrong(check, reply, redactor);
    if wrong.is_empty() {
        return Look::done(format!(
            "{}: {} as expected; {seen}",
            check.url,
            check.expected()
        ));
    }
    Look::unclear(format!(
        "{}: expected {}, but {}; {seen}",
        check.url,
        check.expected(),
        wrong.join(", ")
    ))
}

fn wrong(check: &Check, reply: &Reply, redactor: &Redactor) -> Vec<String> {
    let mut wrong = Vec::new();
    if reply.status != check.status {
        wrong.push(match &reply.location {
            Some(to) => format!("the status is {} (to {to}, not followed)", reply.status),
            None => format!("the status is {}", reply.status),
        });
    }
    if check
        .contains
        .as_ref()
        .is_some_and(|t| !reply.body.contains(t))
    {
        wrong.push("the text is missing".into());
    }
    if check.json.is_empty() {
        return wrong;
    }
    match serde_json::from_str::<Value>(&reply.body) {
        Err(e) => wrong.push(format!("the body is not JSON ({e})")),
        Ok(body) => wrong.extend(check.json.iter().filter_map(|(pointer, expected)| {
            match body.pointer(pointer) {
                None => Some(format!("nothing is at {pointer}")),
                Some(value) if same(expected, value) => None,
                Some(value) => Some(format!(
                    "{pointer} is {}",
                    short(&value.to_string(), redactor)
                )),
            }
        })),
    }
    wrong
}

/// Equal; text that says the same as a number or a truth value is too, because a variable that was put in is text.
fn same(expected: &Value, value: &Value) -> bool {
    match (expected, value) {
        (Value::String(text), Value::Number(n)) => n.to_string() == *text,
        (Value::String(text), Value::Bool(b)) => b.to_string() == *text,
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => expected == value,
    }
}

fn seen(reply: &Reply, redactor: &Redactor) -> String {
    if reply.body.trim().is_empty() {
        return format!("saw status {} and an empty body", reply.status);
    }
    format!(
        "saw status {} and '{}'",
        reply.status,
        short(&reply.body, redactor)
    )
}
