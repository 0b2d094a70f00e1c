//! Python modules of settings, changed by the places that Python's own grammar gives (`python.py`).
//!
//! Invariant: nothing of the module is executed to change it; only a reader that the plan names imports it.

use super::reader::ask;
use super::tree::{Kind, Scalar};
use super::value::{Absent, Change, Duplicates};
use crate::action::{Context, Error};
use serde::Deserialize;
use serde_json::json;

const PROGRAM: &str = include_str!("python.py");
/// The Python of the step's PATH.
pub(super) const DEFAULT: &str = "python3";

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    text: String,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    later: Vec<Vec<usize>>,
    /// This Python cannot do it, and a newer one can.
    #[serde(default)]
    old: bool,
}

/// The module with the changes, and for each the lines behind it that may change the name again.
///
/// # Errors
/// [`Error`] when Python cannot be started, or refuses.
pub(super) fn changed(
    cx: &Context,
    python: &str,
    (path, text): (&str, &str),
    changes: &[(&Change, Vec<String>, Option<Scalar>)],
) -> Result<(String, Vec<Vec<usize>>), Error> {
    let changes = changes.iter().map(|(change, keys, wanted)| {
        let kind = match wanted.as_ref().map(|w| w.kind) {
            Some(Kind::Number) => "number",
            Some(Kind::Bool) => "bool",
            Some(Kind::Null) => "null",
            Some(Kind::Text | Kind::Other) | None => "text",
        };
        json!({
            "path": keys, "kind": kind, "text": wanted.as_ref().map_or("", |w| w.text.as_str()),
            "remove": wanted.is_none(), "create": change.absent == Some(Absent::Create),
            "typed": change.as_type.is_some(), "after": change.after, "before": change.before,
            "duplicates": change.duplicates.map(|d| match d { Duplicates::All => "all", Duplicates::Last => "last" }),
        })
    });
    let changes: Vec<_> = changes.collect();
    let request = json!({ "text": text, "path": path, "changes": changes });
    let mut answer: Answer = ask(cx, python, PROGRAM, &request)?;
    if answer.old && python != DEFAULT {
        answer = ask(cx, DEFAULT, PROGRAM, &request)?;
    }
    match answer.error {
        Some(why) => Err(Error::certain(format!("{path}: {why}"))),
        None => Ok((answer.text, answer.later)),
    }
}
