//! `config.diff`: what differs between two configuration files, for a reader of the record: a look that changes nothing.
//!
//! Invariant: values that could be secrets are masked (`mask`), in the step's output and in its evidence.

use super::document::Format;
use super::mask::{self, Shown};
use crate::action::values::absolute;
use crate::action::{Action, Context, Direction, Error, Look, Past, Place, Properties, Work};
use crate::encoding::Charset;
use crate::host::files::disk;
use crate::text::actions as phrases;
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Shows what differs between two configuration files, with every value masked that could be a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Diff {
    /// The file, as an absolute path.
    pub path: String,
    /// The file that it is compared with, such as `{from: copy.path}`, as an absolute path.
    pub with: String,
    /// How both are written. Default: by the name of `path`; unknown files are compared line by line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// The keys whose values are shown. Default: numbers and booleans; all other values are masked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub show: Vec<String>,
    /// Whether the step fails unless the files are the same, or are not. Default: either is fine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same: Option<bool>,
}

/// What was compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Compared {
    /// Whether both files hold the same.
    pub same: bool,
}

impl Diff {
    fn read(&self, path: &str) -> Result<String, Error> {
        let Some((bytes, _)) = disk::read(Path::new(path))? else {
            return Err(Error::new(format!("there is no file {path}")));
        };
        let text = Charset::of(&bytes).and_then(|c| c.read(&bytes).map(|t| t.into_owned()));
        text.ok_or_else(|| {
            Error::new(format!(
                "{path} is not text in an encoding that is known here"
            ))
        })
    }

    /// The masked diff; none when they are the same.
    fn compared(&self, cx: &Context) -> Result<Option<String>, Error> {
        let (old, new) = (self.read(&self.with)?, self.read(&self.path)?);
        let format = self.format.or_else(|| Format::of(&self.path));
        let shown = Shown {
            keys: self.show.clone(),
            ..Shown::default()
        };
        let names = (self.with.as_str(), self.path.as_str());
        Ok(mask::unified(
            names,
            format,
            (&old, &new),
            &shown,
            &cx.redactor()?,
        ))
    }

    fn judged(&self, same: bool) -> Result<(), Error> {
        match self.same {
            Some(wanted) if wanted != same => Err(Error::new(match same {
                true => format!("{} and {} are the same", self.path, self.with),
                false => format!("{} differs from {}", self.path, self.with),
            })),
            Some(_) | None => Ok(()),
        }
    }
}

impl Action for Diff {
    type Before = ();
    type Note = ();
    type Output = Compared;

    fn properties(&self) -> Properties {
        Properties {
            reads: Some(vec![Place::path(&self.path), Place::path(&self.with)]),
            ..Properties::look()
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong: Vec<String> = absolute("path", &self.path).into_iter().collect();
        wrong.extend(absolute("with", &self.with));
        if self.path == self.with {
            wrong.push(text::one_file("path", "with"));
        }
        wrong
    }

    fn outline(&self, _direction: Direction) -> Vec<String> {
        vec![phrases::config_diff(&self.path, &self.with)]
    }

    fn observe(&self, cx: &Context) -> Result<(), Error> {
        cx.show_diff(|| self.compared(cx))
    }

    fn probe(&self, cx: &Context, _past: &Past<Self>) -> Result<(Look, Option<Compared>), Error> {
        let diff = self.compared(cx)?;
        let same = diff.is_none();
        let text = diff.unwrap_or_else(|| format!("{} and {} are the same", self.path, self.with));
        let look = match self.judged(same) {
            Ok(()) => Look::done(text),
            Err(e) => Look::nothing(format!("{e}\n{text}")),
        };
        Ok((look, Some(Compared { same })))
    }

    fn perform(&self, work: &mut Work<'_, ()>, _past: &Past<Self>) -> Result<Compared, Error> {
        let diff = self.compared(work.cx())?;
        let same = diff.is_none();
        let text = diff.unwrap_or_else(|| format!("{} and {} are the same", self.path, self.with));
        text.lines().for_each(|line| work.log_line(line));
        self.judged(same)?;
        Ok(Compared { same })
    }

    fn verify(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        Ok(self.probe(cx, past)?.0)
    }
}
