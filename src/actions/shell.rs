//! `shell`: a script for `sh -e`. Variables are refused in it; values reach it by `env:`.

use crate::action::{Action, Context, Direction, Error, Invocation, Look, Past, Properties};
use crate::host::exec::capture;
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    type Before = ();
    type Note = ();
    type Output = ();

    fn properties(&self) -> Properties {
        Properties {
            looks: true,
            ..Properties::command()
        }
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

    fn outline(&self, _direction: Direction) -> Vec<String> {
        self.0.lines().map(str::to_owned).collect()
    }

    fn observe(&self, _cx: &Context) -> Result<(), Error> {
        Ok(())
    }

    fn probe(&self, cx: &Context, _past: &Past<Self>) -> Result<(Look, Option<()>), Error> {
        let look = capture(cx, &Self::argv(&self.0), cx.patience())?.look("the script");
        Ok((look, None))
    }
}
