//! `run`: a command, word by word. Nothing in it is ever read by a shell.

use super::command::capture;
use super::{Action, Arg, Context, Invocation, Look, Trouble};
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Run(pub Vec<Arg>);

impl Run {
    fn words(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}

impl Action for Run {
    fn looks(&self) -> bool {
        true
    }

    fn problems(&self) -> Vec<String> {
        match self.0.first() {
            None => vec![text::empty_command()],
            Some(Arg::Text(t)) if t.is_empty() => vec![text::empty_program()],
            Some(_) => Vec::new(),
        }
    }

    fn invocation(&self) -> Invocation {
        Invocation::Argv(self.0.clone())
    }

    fn commands(&self, _cx: &Context) -> Vec<String> {
        vec![quoted(&self.words())]
    }

    fn probe(&self, cx: &Context, _observed: &Value) -> Result<Look, Trouble> {
        let words = self.words();
        Ok(capture(cx, &words, cx.patience())?.look(&quoted(&words)))
    }
}

/// Words as a person would type them.
pub(crate) fn quoted(words: &[String]) -> String {
    let plain = |w: &String| {
        !w.is_empty()
            && w.chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_./:=@%+,{}".contains(c))
    };
    words
        .iter()
        .map(|w| {
            if plain(w) {
                w.clone()
            } else {
                format!("'{}'", w.replace('\'', r"'\''"))
            }
        })
        .collect::<Vec<_>>()
        .join(" ")
}
