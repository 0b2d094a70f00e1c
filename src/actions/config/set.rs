//! `config.set`: values of a configuration file are changed where they stand, and proved by who reads them.
//!
//! Invariants: all that can be known is known before the file is written: the text is made and parsed again, no value changes
//! that was not asked for, and every reader that the plan names reads the new text as it is wanted. The file is replaced
//! only if it is still what was read. All writing and all putting back is `file::edit`'s.

use super::document::Format;
use super::make::{Made, mark};
use super::mask::{self, Shown};
use super::reader::{Question, Reader, described, random};
use super::tree::shown;
use super::value::{Change, Given};
use crate::action::{
    Action, Consequences, Context, Direction, Error, Live, Look, Past, Place, Preview, Properties,
    Stage, Work, Write,
};
use crate::actions::file::edit::{self, Before, Edit, Written};
use crate::encoding::Charset;
use crate::host::files::disk;
use crate::text::actions as phrases;
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use upledger_replay::event::Answer;

/// Changes values of a configuration file, and nothing else of it: comments, order, quotes, line ends, owner, mode and links
/// stay. Several edits are one step. A value that is a secret is `{secret: name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// The file, as an absolute path. Links are followed, and stay.
    pub path: String,
    /// How it is written. Default: by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// What is changed, in this order.
    #[schemars(length(min = 1))]
    pub edits: Vec<Change>,
    /// Who reads the file. Each must read the new text as it is wanted, and every other key as before, or nothing is
    /// written. Without one, only values are written that all common readers of the format read alike.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readers: Vec<Reader>,
    /// What other keys are to be after the change, as the readers read them, such as a URL that is made from a host name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub expect: BTreeMap<String, Given>,
    /// Whether other keys may change that refer to a changed value by an alias of YAML. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub aliases: bool,
    /// The keys whose values the diff shows. Default: numbers, booleans and the values of `edits`; all others are masked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub show: Vec<String>,
}

/// The step where its secrets are known.
struct Prepared<'a> {
    set: &'a Set,
    cx: &'a Context,
    /// What was made of which text: readers are asked once.
    made: RefCell<Option<MadeOf>>,
}

/// A new text, and the bytes that it was made of.
#[derive(Clone)]
struct MadeOf {
    former: Option<Vec<u8>>,
    charset: Charset,
    made: Rc<Made>,
}

impl<'a> Prepared<'a> {
    fn new(set: &'a Set, cx: &'a Context) -> Self {
        Self {
            set,
            cx,
            made: RefCell::new(None),
        }
    }

    fn made(&self, former: Option<&[u8]>) -> Result<MadeOf, Error> {
        if let Some(known) = self
            .made
            .borrow()
            .as_ref()
            .filter(|m| m.former.as_deref() == former)
        {
            return Ok(known.clone());
        }
        let (charset, made) = self.set.made(self.cx, former)?;
        let found = MadeOf {
            former: former.map(<[u8]>::to_vec),
            charset,
            made: Rc::new(made),
        };
        *self.made.borrow_mut() = Some(found.clone());
        Ok(found)
    }
}

impl Set {
    fn shown(&self) -> Shown {
        let values = self.edits.iter().filter_map(|c| c.value.as_ref());
        let values = values
            .filter(|v| !matches!(v, Given::Secret(_)))
            .map(Given::shown);
        Shown {
            values: values.collect(),
            keys: self.show.clone(),
        }
    }

    /// What this step has written, and what has become of it since, both as masked diffs.
    fn versions(&self, cx: &Context, before: &Before) -> Result<Vec<String>, Error> {
        let former = before.former.as_ref();
        let former = former.map(|f| cx.kept(&f.content)).transpose()?;
        let prepared = Prepared::new(self, cx);
        let ours = prepared.wanted(former.as_deref())?;
        let now = disk::read(Path::new(&before.target))?.map_or_else(Vec::new, |(bytes, _)| bytes);
        let first = prepared.diff(former.as_deref(), &ours)?;
        let second = prepared.masked(&ours, &now)?;
        let mut lines = Vec::new();
        for (what, diff) in [
            ("what this step wrote", first),
            ("what has changed since", second),
        ] {
            if let Some(diff) = diff {
                lines.push(format!("{what}:"));
                lines.extend(diff.lines().map(str::to_owned));
            }
        }
        Ok(lines)
    }

    /// The readers of what is there now.
    fn read_back(&self, cx: &Context, target: &Path) -> Result<Look, Error> {
        let format = self.format()?;
        let judged = self.judged(cx, format)?;
        let keys: Vec<Vec<String>> = judged.iter().map(|(path, _)| path.clone()).collect();
        let Some((bytes, _)) = disk::read(target)? else {
            return Ok(Look::nothing(format!(
                "{} does not exist",
                target.display()
            )));
        };
        let text = Charset::of(&bytes).and_then(|c| c.read(&bytes).map(|t| t.into_owned()));
        let text = text.unwrap_or_default();
        let mut evidence = Vec::new();
        for reader in &self.readers {
            let question = Question {
                path: &self.path,
                mark: mark(&bytes),
                keys: &keys,
                former: &[],
                salt: &random(),
            };
            let readouts = reader.read(cx, &question, &[Some(&text)])?;
            let Some(after) = readouts.first() else {
                continue;
            };
            if let Some(why) = reader.wrong(None, after, &judged, format) {
                return Ok(Look::unclear(why.to_string()));
            }
            for (path, _) in &judged {
                let what = described(after.value(path).as_ref());
                evidence.push(format!(
                    "{} reads {} from the file: {what}, as wanted",
                    reader.shown(),
                    shown(path)
                ));
            }
        }
        Ok(Look {
            answer: Answer::Done,
            evidence,
        })
    }
}

impl Prepared<'_> {
    /// What differs, with every value masked that could be a secret.
    fn masked(&self, old: &[u8], new: &[u8]) -> Result<Option<String>, Error> {
        let read = |bytes: &[u8]| {
            let charset = Charset::of(bytes);
            let text = charset.and_then(|c| c.read(bytes).map(|t| t.into_owned()));
            text.unwrap_or_default()
        };
        let names = (self.set.path.as_str(), self.set.path.as_str());
        let format = Some(self.set.format()?);
        let redactor = self.cx.redactor()?;
        let texts = (read(old), read(new));
        let texts = (texts.0.as_str(), texts.1.as_str());
        Ok(mask::unified(
            names,
            format,
            texts,
            &self.set.shown(),
            &redactor,
        ))
    }
}

impl Edit for Prepared<'_> {
    fn path(&self) -> &str {
        &self.set.path
    }

    fn wanted(&self, former: Option<&[u8]>) -> Result<Vec<u8>, Error> {
        let MadeOf { charset, made, .. } = self.made(former)?;
        charset.write(&made.text).ok_or_else(|| {
            Error::certain(format!(
                "{} is in {}, in which a value cannot be written",
                self.set.path,
                charset.name()
            ))
        })
    }

    fn words(&self) -> String {
        let keys: Vec<String> = self.set.edits.iter().map(described_change).collect();
        phrases::config_set(&self.set.path, crate::text::list(&keys))
    }

    fn diff(&self, former: Option<&[u8]>, wanted: &[u8]) -> Result<Option<String>, Error> {
        let MadeOf { charset, made, .. } = self.made(former)?;
        let read = |bytes: &[u8]| {
            charset
                .read(bytes)
                .map(|t| t.into_owned())
                .unwrap_or_default()
        };
        let names = (
            if former.is_some() {
                self.set.path.as_str()
            } else {
                "/dev/null"
            },
            self.set.path.as_str(),
        );
        let (old, new) = (read(former.unwrap_or_default()), read(wanted));
        let format = Some(self.set.format()?);
        let diff = mask::unified(
            names,
            format,
            (&old, &new),
            &self.set.shown(),
            &self.cx.redactor()?,
        );
        let notes: String = made.notes.iter().map(|n| format!("# {n}\n")).collect();
        Ok(match diff {
            Some(diff) => Some(format!("{diff}{notes}")),
            None => (!notes.is_empty()).then_some(notes),
        })
    }
}

/// What becomes of a key, for people.
fn described_change(change: &Change) -> String {
    let key = change.key.shown();
    match (&change.value, change.remove) {
        (_, true) => phrases::config_removed(key),
        (Some(value), false) => format!("{key} = {}", value.shown()),
        (None, false) => format!("{key} = null"),
    }
}

impl Action for Set {
    type Before = Before;
    type Note = ();
    type Output = Written;

    fn properties(&self) -> Properties {
        let mut properties = Properties::reversible().on(Place::path(&self.path));
        properties.writes = vec![Write::Replace(self.path.clone())];
        properties.live = Live::Unknown;
        properties.stages = vec![Stage::Configure];
        properties
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong = edit::problems(&self.path);
        let format = self.format.or_else(|| Format::of(&self.path));
        if format.is_none() {
            wrong.push(text::no_format(&self.path));
        }
        if self.edits.is_empty() {
            wrong.push(text::empty("edits"));
        }
        wrong.extend(self.edits.iter().flat_map(Change::problems));
        wrong.extend(self.readers.iter().flat_map(|r| r.problems(format)));
        if !self.expect.is_empty() && self.readers.is_empty() {
            wrong.push(text::needs("expect", "readers"));
        }
        wrong
    }

    fn outline(&self, direction: Direction) -> Vec<String> {
        let cx = Context::default();
        edit::outline(&Prepared::new(self, &cx), direction)
    }

    fn observe(&self, cx: &Context) -> Result<Before, Error> {
        edit::observe(&Prepared::new(self, cx), cx)
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        let cx = Context::default();
        edit::preview(&Prepared::new(self, &cx), direction, &past.before)
    }

    fn probe(&self, cx: &Context, past: &Past<Self>) -> Result<(Look, Option<Written>), Error> {
        edit::probe(&Prepared::new(self, cx), cx, &past.before)
    }

    fn perform(&self, work: &mut Work<'_, ()>, past: &Past<Self>) -> Result<Written, Error> {
        let cx = work.cx();
        let prepared = Prepared::new(self, cx);
        let written = edit::perform(&prepared, work, &past.before)?;
        // What has changed is in the record, with every value masked that could be a secret.
        let made = prepared.made.borrow().clone();
        if let Some(made) = made {
            let wanted = prepared.wanted(made.former.as_deref())?;
            let diff = prepared.diff(made.former.as_deref(), &wanted)?;
            for line in diff.iter().flat_map(|d| d.lines()) {
                work.log_line(line);
            }
        }
        Ok(written)
    }

    fn verify(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        let (written, _) = self.probe(cx, past)?;
        if written.answer != Answer::Done {
            return Ok(written);
        }
        let mut read = self.read_back(cx, Path::new(&past.before.target))?;
        read.evidence.splice(0..0, written.evidence);
        Ok(read)
    }

    fn undo(&self, work: &mut Work<'_, ()>, past: &Past<Self>) -> Result<(), Error> {
        let cx = work.cx();
        let done = edit::undo(&Prepared::new(self, cx), work, &past.before);
        if done.is_err() {
            // Whoever decides what becomes of the file sees what was written, and what came behind it.
            for line in self.versions(cx, &past.before).unwrap_or_default() {
                work.log_line(&line);
            }
        }
        done
    }

    fn undone(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        edit::undone(&Prepared::new(self, cx), cx, &past.before)
    }

    fn replaces(&self, cx: &Context, past: &Past<Self>) -> Result<Consequences, Error> {
        edit::replaces(&Prepared::new(self, cx), &past.before)
    }

    fn consequences(&self, cx: &Context, past: &Past<Self>) -> Result<Consequences, Error> {
        edit::consequences(&Prepared::new(self, cx), cx, &past.before)
    }
}
