//! What a page should say, compared with what it says. Pure.

use super::Check;
use crate::action::Look;
use crate::host::http::{Reply, short};
use crate::redact::Redactor;
use crate::text::actions as phrases;
use serde_json::Value;
use upledger_replay::event::own::SAW;

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
            "{}: {} as expected{SAW}{seen}",
            check.url,
            check.expected()
        ));
    }
    Look::unclear(format!("{}: {}{SAW}{seen}", check.url, wrong.join(", ")))
}

fn wrong(check: &Check, reply: &Reply, redactor: &Redactor) -> Vec<String> {
    let mut wrong = Vec::new();
    if reply.status != check.status {
        let expected = check.status;
        // What the page of another status does not say is no news.
        return vec![match &reply.location {
            Some(to) => format!(
                "status {} (to {to}, not followed), expected {expected}",
                reply.status
            ),
            None => format!("status {}, expected {expected}", reply.status),
        }];
    }
    let body = reply.text();
    if let Some(text) = check.contains.as_ref().filter(|t| !body.contains(*t)) {
        wrong.push(format!("the text '{text}' is missing{}", unread(reply)));
    }
    if check.json.is_empty() {
        return wrong;
    }
    match serde_json::from_str::<Value>(body.trim_start_matches('\u{feff}')) {
        Err(e) => wrong.push(format!("the body is not JSON ({e}){}", unread(reply))),
        Ok(body) => wrong.extend(check.json.iter().filter_map(|(pointer, expected)| {
            match body.pointer(pointer) {
                None => Some(format!("nothing is at {pointer}, expected {expected}")),
                Some(value) if same(expected, value) => None,
                Some(value) => Some(format!(
                    "{pointer} is {}, expected {expected}",
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
        (Value::String(text), Value::Number(n)) => {
            let fraction = || {
                text.contains('.')
                    .then(|| text.parse::<f64>().ok())
                    .flatten()
            };
            n.to_string() == *text || n.as_f64().is_some_and(|n| fraction() == Some(n))
        }
        (Value::String(text), Value::Bool(b)) => b.to_string() == *text,
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => expected == value,
    }
}

fn seen(reply: &Reply, redactor: &Redactor) -> String {
    let text = reply.text();
    if text.trim().is_empty() {
        return format!("status {} and an empty body", reply.status);
    }
    let charset = reply.encoding().filter(|c| !c.is_utf8());
    let charset = charset.map_or_else(String::new, |c| format!(" in {}", c.name()));
    format!(
        "status {} and '{}'{charset}",
        reply.status,
        short(&text, redactor)
    )
}

/// Why a body may hold a text that was not found in it.
fn unread(reply: &Reply) -> String {
    match (&reply.packed, reply.encoding()) {
        (Some(packed), _) => format!(
            " (the server packed the body as `{packed}`, which is not unpacked here: ask it not to, with the header \
             Accept-Encoding: identity)"
        ),
        (None, Some(charset)) if charset.is_utf8() => String::new(),
        (None, Some(charset)) => format!(" (the page was read as {})", charset.name()),
        (None, None) => {
            " (the body is not text in UTF-8, GB18030, or the encoding that it names)".into()
        }
    }
}
