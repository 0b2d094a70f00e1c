//! `shell`: a script for `sh -e`. Variables are refused in it; values reach it by `env:`.

use super::command::capture;
use super::{Action, Context, Invocation, Look, Trouble};
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Shell(pub String);

impl Shell {
    /// How a script is run: `-e`, because a script whose middle fails must not end green.
    #[must_use]
    pub fn argv(script: &str) -> Vec<String> {
        ["/bin/sh", "-e", "-c", script].map(String::from).to_vec()
    }
}

impl Action for Shell {
    fn looks(&self) -> bool {
        true
    }

    fn problems(&self) -> Vec<String> {
        if self.0.trim().is_empty() {
            vec![text::empty_script()]
        } else {
            Vec::new()
        }
    }

    fn invocation(&self) -> Invocation {
        Invocation::Shell(self.0.clone())
    }

    fn commands(&self, _cx: &Context) -> Vec<String> {
        self.0.lines().map(str::to_owned).collect()
    }

    fn probe(&self, cx: &Context, _observed: &Value) -> Result<Look, Trouble> {
        Ok(capture(cx, &Self::argv(&self.0), cx.patience())?.look("the script"))
    }
}
