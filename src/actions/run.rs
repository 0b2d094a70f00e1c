//! `run`: a command, word by word. Nothing in it is ever read by a shell.

use crate::action::{Action, Arg, Context, Direction, Error, Invocation, Look, Past, Properties};
use crate::host::exec::{capture, quoted};
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
        match self.0.first() {
            None => vec![text::empty_command()],
            Some(Arg::Text(t)) if t.is_empty() => vec![text::empty_program()],
            Some(_) => Vec::new(),
        }
    }

    fn invocation(&self) -> Invocation {
        Invocation::Argv(self.0.clone())
    }

    fn outline(&self, _direction: Direction) -> Vec<String> {
        vec![quoted(&self.words())]
    }

    fn observe(&self, _cx: &Context) -> Result<(), Error> {
        Ok(())
    }

    fn probe(&self, cx: &Context, _past: &Past<Self>) -> Result<(Look, Option<()>), Error> {
        let words = self.words();
        let look = capture(cx, &words, cx.patience())?.look(&quoted(&words));
        Ok((look, None))
    }
}
