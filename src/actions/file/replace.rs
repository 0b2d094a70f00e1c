//! `file.replace`: a whole file, from the plan or from another file. All but the choice of the bytes is `edit`'s.

use super::disk;
use super::edit::{self, Edit};
use super::mode::Mode;
use crate::actions::values::absolute;
use crate::actions::{Action, Context, Error, Kept, forwarded};
use crate::text::actions as told;
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

/// A whole file is replaced, atomically; owner and mode stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replace {
    /// The file, as an absolute path. A link is written through.
    pub path: String,
    /// Its new content, to the byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The file whose content it gets, as an absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Its new mode; without it the former one, or 0644 for a new file.
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
            (Some(from), _) => told::replace_from(&self.path, from),
            (None, content) => {
                let len = content.as_ref().map_or(0, String::len);
                told::replace_with(&self.path, len)
            }
        }
    }
}

impl Replace {
    fn with<T>(&self, act: impl FnOnce(&dyn Edit) -> T) -> T {
        act(self)
    }
}

impl Action for Replace {
    forwarded!();

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

    fn observe(&self, cx: &Context) -> Result<Value, Error> {
        edit::observe(self, cx)
    }

    fn undoing(&self) -> Option<String> {
        Some(text::undo_file(&self.path))
    }

    fn kept(&self, cx: &Context, observed: &Value) -> Vec<Kept> {
        disk::kept_at(cx, observed)
    }

    fn commands(&self, _cx: &Context) -> Vec<String> {
        vec![edit::Edit::words(self)]
    }

    fn diff(&self, _cx: &Context) -> Result<Option<String>, Error> {
        edit::diff(self)
    }
}
