//! `expect.command`: how a command ends and what it prints. The plan's author answers for it that it changes nothing.

use super::{Expectation, Finding};
use crate::action::{Context, Error, Look};
use crate::encoding::Charset;
use crate::host::exec::{Captured, KEPT, capture, quoted};
use crate::text::actions as phrases;
use crate::text::settings as text;
use crate::time::Length;
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How many of its last lines are shown.
const TAIL: usize = 5;

/// Expects a read-only command to have the given exit code and output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Its exit code. Default: 0.
    #[serde(default)]
    pub exit: u8,
    /// Text that its standard output contains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout_contains: Option<String>,
    /// A regular expression that its standard output matches; with `(?m)`, `^` and `$` match at line boundaries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout_matches: Option<String>,
    /// The time limit of each attempt. Default: 60s, or the step's `timeout` when that is longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Length>,
    /// How long to repeat the command until it succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Length>,
}

impl Command {
    fn compiled(&self) -> Result<Option<Regex>, regex::Error> {
        self.stdout_matches.as_deref().map(Regex::new).transpose()
    }

    fn regex(&self) -> Result<Option<Regex>, Error> {
        self.compiled()
            .map_err(|e| Error::io("`stdout_matches` is no regular expression", &e))
    }

    fn parts(&self) -> String {
        let mut parts = vec![phrases::exit(self.exit)];
        parts.extend(
            self.stdout_contains
                .as_ref()
                .map(|c| phrases::text_on_stdout(format!("{c:?}"))),
        );
        parts.extend(self.stdout_matches.as_ref().map(phrases::stdout_matching));
        crate::text::parts(&parts)
    }

    fn judge(&self, ran: &Captured) -> Result<Finding, Error> {
        if ran.code.is_none() {
            // It did not get to say anything, so it says nothing about what it was asked.
            let mut why = vec![format!("{}: {}", quoted(&self.argv), ran.ended)];
            why.extend(ran.tail(TAIL));
            return Err(Error::new(why.join(" / ")));
        }
        let mut saw = vec![ran.ended.clone()];
        let mut holds = ran.code == Some(i32::from(self.exit));
        let charset = Charset::of_output(&ran.stdout);
        let printed = ran.text();
        if let Some(text) = &self.stdout_contains {
            let found = printed.contains(text);
            holds &= found;
            saw.push(format!(
                "{} {text:?}",
                if found { "with" } else { "without" }
            ));
        }
        if let Some(regex) = self.regex()? {
            match regex.find(&printed) {
                // The expression may match a part of a secret: only what it matches without them is shown.
                Some(_) => saw.push(match regex.find(&ran.shown) {
                    Some(found) => format!("a match: {:?}", short(found.as_str())),
                    None => "a match".into(),
                }),
                None => {
                    holds = false;
                    saw.push(format!("no match of {regex}"));
                }
            }
        }
        match charset {
            Some(charset) if charset.is_utf8() => {}
            Some(charset) => saw.push(format!("its output is in {}", charset.name())),
            None => saw.push("its output is not text in UTF-8 or GB18030".into()),
        }
        if ran.stdout.len() >= KEPT {
            saw.push("only its first MiB was searched".into());
        }
        let tail = ran.tail(TAIL);
        if !holds && !tail.is_empty() {
            saw.push(format!("its last lines: {}", tail.join(" / ")));
        }
        Ok(Finding { holds, saw })
    }
}

/// The beginning of a text.
fn short(text: &str) -> &str {
    text.char_indices()
        .nth(200)
        .map_or(text, |(at, _)| &text[..at])
}

impl Expectation for Command {
    fn wanted(&self) -> String {
        phrases::to_give(quoted(&self.argv), self.parts())
    }

    fn within(&self) -> Option<Length> {
        self.within
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong: Vec<String> = self
            .compiled()
            .err()
            .map(|e| text::no_regex("stdout_matches", e))
            .into_iter()
            .collect();
        if self.argv.first().is_none_or(String::is_empty) {
            wrong.push(text::no_program());
        }
        if self.stdout_contains.as_ref().is_some_and(String::is_empty) {
            wrong.push(text::every_output());
        }
        if self.timeout.is_some_and(|t| t.0 == 0) {
            wrong.push(text::is_zero("timeout"));
        }
        wrong
    }

    fn see(&self, cx: &Context) -> Result<Finding, Error> {
        let limit = self
            .timeout
            .map_or_else(|| cx.patience(), |t| Duration::from_millis(t.0));
        self.judge(&capture(cx, &self.argv, limit)?)
    }

    /// The command is not run a second time to prove the first: its process ends well only when all was as expected.
    fn evidence(&self, _cx: &Context) -> Result<Look, Error> {
        Ok(Look::done(format!(
            "{} returned {}",
            quoted(&self.argv),
            self.parts()
        )))
    }
}
