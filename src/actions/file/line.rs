//! `file.line`: one line of a file is replaced, added or removed. All but the choice of the line is `edit`'s.
//!
//! A line keeps its own ending, a new one takes the file's, and every other byte of the file stays. The expression and the
//! new line are text: they are read and written in the file's encoding, or the step is refused. In a file that is not text
//! lines are bytes, and only ASCII is looked for. Left out: several lines at once, and where in the file a line may stand.

use super::edit::{self, Before, Edit, Written};
use crate::action::{
    Action, Consequences, Context, Direction, Error, Live, Look, Past, Place, Preview, Properties,
    Work, Write,
};
use crate::encoding::Charset;
use crate::text::actions as phrases;
use crate::text::settings as text;
use regex::bytes::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many line numbers an error names.
const NAMED: usize = 10;

/// Replaces, appends or removes exactly one line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The file, as an absolute path. Links are followed.
    pub path: String,
    /// A regular expression that matches exactly one line; `^` and `$` are the ends of the line. It is text, and so is the
    /// file: UTF-8, UTF-16 with a byte order mark, or GB18030 (GBK). In any other file it can only contain ASCII.
    #[serde(rename = "match")]
    pub pattern: String,
    /// The replacement, literally and without a line break. It is written in the encoding of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// What to do when no line matches. Default: the step is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<Absent>,
    /// Remove the line; if no line matches, it is already removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remove: bool,
}

/// What to do when no line matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Absent {
    /// The line is added at the end.
    Append,
    /// The step is refused.
    Refuse,
}

/// A line without its ending, and the ending.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let ending = if line.ends_with(b"\r\n") {
        2
    } else {
        usize::from(line.ends_with(b"\n"))
    };
    line.split_at(line.len() - ending)
}

/// Adds a line in the file's own style: its last line ending, and no ending at its end when it had none.
fn append(former: &[u8], line: &[u8]) -> Vec<u8> {
    let style = former
        .split_inclusive(|b| *b == b'\n')
        .map(|l| split(l).1)
        .rfind(|ending| !ending.is_empty())
        .unwrap_or(b"\n");
    let whole = former.is_empty() || former.ends_with(b"\n");
    if whole {
        [former, line, style].concat()
    } else {
        [former, style, line].concat()
    }
}

impl Line {
    fn compiled(&self) -> Result<Regex, regex::Error> {
        Regex::new(&self.pattern)
    }

    fn regex(&self) -> Result<Regex, Error> {
        self.compiled()
            .map_err(|e| Error::io("`match` is no regular expression", &e))
    }

    fn edited(&self, former: &[u8]) -> Result<Vec<u8>, Error> {
        let new = self.line.as_deref().unwrap_or_default();
        let Some(charset) = Charset::of(former) else {
            if self.pattern.is_ascii() && new.is_ascii() {
                return self.edited_as(former, "");
            }
            return Err(Error::new(format!(
                "{} is not text in an encoding that is known here (UTF-8, UTF-16 with a mark, GB18030), so that only ASCII \
                 can be looked for and written",
                self.path
            )));
        };
        let text = charset.read(former).unwrap_or_default();
        let read_as = match charset.is_utf8() {
            true => String::new(),
            false => format!(", read as {}", charset.name()),
        };
        let edited = self.edited_as(text.as_bytes(), &read_as)?;
        let edited = std::str::from_utf8(&edited).ok();
        edited.and_then(|text| charset.write(text)).ok_or_else(|| {
            Error::new(format!(
                "{} is in {}, in which `line` cannot be written",
                self.path,
                charset.name()
            ))
        })
    }

    fn edited_as(&self, former: &[u8], read_as: &str) -> Result<Vec<u8>, Error> {
        let regex = self.regex()?;
        let lines: Vec<&[u8]> = former.split_inclusive(|b| *b == b'\n').collect();
        let found: Vec<usize> = lines
            .iter()
            .enumerate()
            .filter(|(_, line)| regex.is_match(split(line).0))
            .map(|(index, _)| index)
            .collect();
        let wanted = self.line.as_deref().unwrap_or_default().as_bytes();
        match found.as_slice() {
            [at] => {
                let ending = split(lines[*at]).1;
                let new = if self.remove {
                    Vec::new()
                } else {
                    [wanted, ending].concat()
                };
                Ok([lines[..*at].concat(), new, lines[at + 1..].concat()].concat())
            }
            [] if self.remove => Ok(former.to_vec()),
            // Replaced already, by a line that the expression no longer matches.
            [] if lines.iter().any(|line| split(line).0 == wanted) => Ok(former.to_vec()),
            [] if self.absent == Some(Absent::Append) => Ok(append(former, wanted)),
            [] => Err(Error::new(format!(
                "no line of {}{read_as} matches {}",
                self.path, self.pattern
            ))),
            many => {
                let mut numbers: Vec<String> = many
                    .iter()
                    .take(NAMED)
                    .map(|index| (index + 1).to_string())
                    .collect();
                if many.len() > NAMED {
                    numbers.push("…".into());
                }
                Err(Error::new(format!(
                    "{} lines of {} match {}, and only one may: lines {}",
                    many.len(),
                    self.path,
                    self.pattern,
                    numbers.join(", ")
                )))
            }
        }
    }
}

impl Edit for Line {
    fn path(&self) -> &str {
        &self.path
    }

    fn wanted(&self, former: Option<&[u8]>) -> Result<Vec<u8>, Error> {
        match former {
            Some(former) => self.edited(former),
            None => Err(Error::new(format!("there is no file {}", self.path))),
        }
    }

    fn words(&self) -> String {
        match &self.line {
            Some(line) => phrases::line_becomes(&self.path, &self.pattern, line),
            None => phrases::line_goes(&self.path, &self.pattern),
        }
    }
}

impl Action for Line {
    type Before = Before;
    type Note = ();
    type Output = Written;

    fn properties(&self) -> Properties {
        Properties {
            writes: vec![Write::Replace(self.path.clone())],
            live: Live::Unknown,
            ..Properties::reversible().on(Place::path(&self.path))
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong = edit::problems(&self.path);
        wrong.extend(self.compiled().err().map(|e| text::no_regex("match", e)));
        match (&self.line, self.remove) {
            (None, false) => wrong.push(text::missing("line", "remove: true")),
            (Some(_), true) => wrong.push(text::exclude("line", "remove")),
            (Some(line), false) if line.contains(['\n', '\r']) => {
                wrong.push(text::line_break());
            }
            (Some(_), false) | (None, true) => {}
        }
        if self.remove && self.absent.is_some() {
            wrong.push(text::absent_beside_remove());
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
