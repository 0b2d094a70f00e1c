//! `file.replace`: a whole file, from the plan or from another file. All but the choice of the bytes is `edit`'s.

use super::edit::{self, Before, Edit, Written};
use crate::action::values::absolute;
use crate::action::{
    Action, Consequences, Context, Direction, Error, Live, Look, Past, Place, Preview, Properties,
    Work, Write,
};
use crate::host::files::disk;
use crate::host::files::mode::Mode;
use crate::text::actions as phrases;
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Replaces a whole file atomically; owner and mode are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replace {
    /// The file, as an absolute path. Links are followed.
    pub path: String,
    /// Its new content, exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The file to copy the content from, as an absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Its new mode. Default: the previous mode, or 0644 for a new file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
}

impl Edit for Replace {
    fn path(&self) -> &str {
        &self.path
    }

    fn mode(&self) -> Option<Mode> {
        self.mode
    }

    fn wanted(&self, _former: Option<&[u8]>) -> Result<Vec<u8>, Error> {
        if let Some(content) = &self.content {
            return Ok(content.clone().into_bytes());
        }
        let from = self.from.as_deref().unwrap_or_default();
        match disk::read(Path::new(from))? {
            Some((bytes, _)) => Ok(bytes),
            None => Err(Error::new(format!("there is no file {from}"))),
        }
    }

    fn words(&self) -> String {
        match (&self.from, &self.content) {
            (Some(from), _) => phrases::replace_from(&self.path, from),
            (None, content) => {
                let len = content.as_ref().map_or(0, String::len);
                phrases::replace_with(&self.path, len)
            }
        }
    }
}

impl Action for Replace {
    type Before = Before;
    type Note = ();
    type Output = Written;

    fn properties(&self) -> Properties {
        let mut properties = Properties::reversible().on(Place::path(&self.path));
        let from = self.from.iter().map(Place::path);
        properties
            .reads
            .iter_mut()
            .for_each(|r| r.extend(from.clone()));
        properties.writes = vec![Write::Replace(self.path.clone())];
        properties.live = Live::Unknown;
        properties
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong = edit::problems(&self.path);
        match (&self.content, &self.from) {
            (Some(_), None) => {}
            (None, Some(from)) => wrong.extend(absolute("from", from)),
            (None, None) => wrong.push(text::missing("content", "from")),
            (Some(_), Some(_)) => wrong.push(text::exclude("content", "from")),
        }
        wrong
    }

    fn outline(&self, direction: Direction) -> Vec<String> {
        edit::outline(self, direction)
    }

    fn observe(&self, cx: &Context) -> Result<Before, Error> {
        edit::observe(self, cx)
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        edit::preview(self, direction, &past.before)
    }

    fn probe(&self, cx: &Context, past: &Past<Self>) -> Result<(Look, Option<Written>), Error> {
        edit::probe(self, cx, &past.before)
    }

    fn perform(&self, work: &mut Work<'_, ()>, past: &Past<Self>) -> Result<Written, Error> {
        edit::perform(self, work, &past.before)
    }

    fn undo(&self, work: &mut Work<'_, ()>, past: &Past<Self>) -> Result<(), Error> {
        edit::undo(self, work, &past.before)
    }

    fn undone(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        edit::undone(self, cx, &past.before)
    }

    fn replaces(&self, _cx: &Context, past: &Past<Self>) -> Result<Consequences, Error> {
        edit::replaces(self, &past.before)
    }

    fn consequences(&self, cx: &Context, past: &Past<Self>) -> Result<Consequences, Error> {
        edit::consequences(self, cx, &past.before)
    }
}
