//! The text that `config.set` writes, made and judged before anything is written.
//!
//! Invariants: what readers are asked with is what will be written; where a format lets a value be written in several ways,
//! the first is taken that every reader reads as it is wanted.

use super::document::{Format, Manner};
use super::reader::{By, Question, Reader, Readout, random};
use super::set::Set;
use super::tree::{Kind, Scalar, shown};
use super::value::{Change, Key};
use super::{dotenv, python};
use crate::action::{Context, Error};
use crate::encoding::Charset;
use crate::text::settings as text;

/// What is wanted of each key, by its path; none where it is removed.
pub(super) type Wanted = Vec<(Vec<String>, Option<Scalar>)>;

/// A new text, and what is to be told of it.
pub(super) struct Made {
    pub(super) text: String,
    pub(super) notes: Vec<String>,
}

impl Set {
    pub(super) fn format(&self) -> Result<Format, Error> {
        self.format
            .or_else(|| Format::of(&self.path))
            .ok_or_else(|| Error::certain(text::no_format(&self.path)))
    }

    /// What is wanted of each edit, by its path.
    pub(super) fn wanted(&self, cx: &Context, format: Format) -> Result<Wanted, Error> {
        let edits = self.edits.iter().map(|change| {
            let mut wanted = change.wanted(cx)?;
            if let Some(wanted) = wanted.as_mut().filter(|_| format.is_untyped()) {
                wanted.kind = Kind::Text;
            }
            Ok((format.path(&change.key)?, wanted))
        });
        edits.collect()
    }

    /// The same with what is expected beside it.
    pub(super) fn judged(&self, cx: &Context, format: Format) -> Result<Wanted, Error> {
        let mut all = self.wanted(cx, format)?;
        for (key, value) in &self.expect {
            let wanted = Change::wants(Key::Text(key.clone()), value.clone(), None);
            all.push((format.path(&wanted.key)?, wanted.wanted(cx)?));
        }
        Ok(all)
    }

    pub(super) fn doubled(&self) -> bool {
        self.readers.iter().any(|r| r.by == By::Configparser)
    }

    /// The file as it will be.
    pub(super) fn made(
        &self,
        cx: &Context,
        former: Option<&[u8]>,
    ) -> Result<(Charset, Made), Error> {
        let bytes = former.unwrap_or_default();
        let charset = Charset::of(bytes).ok_or_else(|| {
            Error::certain(format!(
                "{} is not text in an encoding that is known here (UTF-8, UTF-16 with a mark, GB18030)",
                self.path
            ))
        })?;
        let format = self.format()?;
        let old = charset.read(bytes).unwrap_or_default().into_owned();
        let wanted = self.wanted(cx, format)?;
        if format == Format::Ini {
            self.percents(&wanted)?;
        }
        if let Some(why) = self.overridden(cx, &wanted) {
            return Err(why);
        }
        let mark = mark(bytes);
        let before = former.map(|_| old.as_str());
        let judge = |text: String, later: &[Vec<usize>]| {
            let notes = self.judge(cx, (before, &text, mark), &wanted, later)?;
            Ok((charset, Made { text, notes }))
        };
        match format {
            Format::Python => {
                let (text, later) = self.module(cx, &old, &wanted)?;
                judge(text, &later)
            }
            Format::Dotenv => {
                // What all readers are known to read alike needs no second question.
                let plain = self.assignments(cx, (&old, mark), &wanted, false);
                match plain.and_then(|text| judge(text, &[])) {
                    Err(_) if !self.readers.is_empty() => {
                        judge(self.assignments(cx, (&old, mark), &wanted, true)?, &[])
                    }
                    made => made,
                }
            }
            _ => judge(self.document(format, &old, &wanted)?, &[]),
        }
    }

    /// Every reader reads the new text as it is wanted; what else is to be told of it.
    fn judge(
        &self,
        cx: &Context,
        (old, new, mark): (Option<&str>, &str, &str),
        wanted: &Wanted,
        later: &[Vec<usize>],
    ) -> Result<Vec<String>, Error> {
        let format = self.format()?;
        let mut notes = Vec::new();
        for reader in &self.readers {
            let judged = self.judged(cx, format)?;
            let keys: Vec<Vec<String>> = judged.iter().map(|(path, _)| path.clone()).collect();
            let mut question = Question {
                path: &self.path,
                mark,
                keys: &keys,
                former: &[],
                salt: &random(),
            };
            let (before, after) = if format == Format::Python {
                // What a value was is asked first, so that those are found that still hold it.
                let before = reader.read(cx, &question, &[old])?.pop();
                let former = changed_values(before.as_ref(), wanted);
                question.former = &former;
                (before, reader.read(cx, &question, &[Some(new)])?.pop())
            } else {
                let mut both = reader.read(cx, &question, &[old, Some(new)])?;
                let after = both.pop();
                (both.pop(), after)
            };
            let before = before.filter(|_| old.is_some());
            let Some(after) = after else {
                continue;
            };
            if let Some(why) = reader.wrong(before.as_ref(), &after, &judged, format) {
                let lines: Vec<String> = later.iter().flatten().map(ToString::to_string).collect();
                return Err(match lines.as_slice() {
                    [] => why,
                    lines => why.remedy(format!(
                        "lines {} of {} come later and may assign it again",
                        lines.join(", "),
                        self.path
                    )),
                });
            }
            notes.extend(beside(reader, before.as_ref(), &after, format));
        }
        Ok(notes)
    }

    /// `%` is one character to one reader, and the beginning of a reference to another.
    fn percents(&self, wanted: &[(Vec<String>, Option<Scalar>)]) -> Result<(), Error> {
        let has = wanted
            .iter()
            .any(|(_, w)| w.as_ref().is_some_and(|w| w.text.contains('%')));
        let (doubled, raw) = (
            self.doubled(),
            self.readers.iter().any(|r| r.by == By::RawConfigparser),
        );
        if !has || doubled != raw {
            return Ok(());
        }
        Err(Error::certain("a value contains '%', which readers of INI files do not read alike").remedy(
            "name the reader with `readers`: `by: configparser`, which interpolates, or `by: raw_configparser`",
        ))
    }

    fn document(
        &self,
        format: Format,
        old: &str,
        wanted: &[(Vec<String>, Option<Scalar>)],
    ) -> Result<String, Error> {
        let manner = Manner {
            format,
            style: dotenv::Style::Plain,
            doubled: self.doubled(),
            aliases: self.aliases,
        };
        let mut text = old.to_owned();
        for (change, (_, wanted)) in self.edits.iter().zip(wanted) {
            text = manner.apply(&text, change, wanted.as_ref())?;
        }
        Ok(text)
    }

    fn module(
        &self,
        cx: &Context,
        old: &str,
        wanted: &[(Vec<String>, Option<Scalar>)],
    ) -> Result<(String, Vec<Vec<usize>>), Error> {
        let named = self.readers.iter().find_map(|r| r.python.clone());
        let changes: Vec<_> = self
            .edits
            .iter()
            .zip(wanted)
            .map(|(change, (path, wanted))| (change, path.clone(), wanted.clone()))
            .collect();
        let python = named.unwrap_or_else(|| python::DEFAULT.into());
        python::changed(cx, &python, (&self.path, old), &changes)
    }

    /// A `.env` file, in which the readers decide how a value is written.
    fn assignments(
        &self,
        cx: &Context,
        (old, mark): (&str, &str),
        wanted: &[(Vec<String>, Option<Scalar>)],
        ask: bool,
    ) -> Result<String, Error> {
        let mut text = old.to_owned();
        for (change, (path, wanted)) in self.edits.iter().zip(wanted) {
            let manner = |style| Manner {
                format: Format::Dotenv,
                style,
                doubled: false,
                aliases: false,
            };
            let alike = wanted
                .as_ref()
                .map_or(Some(dotenv::Style::Plain), |w| dotenv::alike(&w.text));
            let styles = self.styles(&text, path, alike, ask);
            let mut refused = None;
            let mut made = None;
            for style in styles {
                let next = match manner(style).apply(&text, change, wanted.as_ref()) {
                    Ok(next) => next,
                    Err(e) => {
                        refused.get_or_insert(e);
                        continue;
                    }
                };
                let unread = match ask {
                    true => self.unread(cx, (&text, &next, mark), path, wanted.as_ref())?,
                    false => None,
                };
                match unread {
                    None => made = Some(next),
                    Some(e) => {
                        refused = Some(e);
                        continue;
                    }
                }
                break;
            }
            text = match (made, refused) {
                (Some(made), _) => made,
                (None, Some(why)) if self.readers.is_empty() => return Err(why),
                (None, why) => {
                    let why = why.map_or_else(String::new, |e| format!(": {e}"));
                    let error = Error::certain(format!(
                        "{} cannot be written so that every reader reads it as it is wanted{why}",
                        shown(path)
                    ));
                    return Err(match self.readers.is_empty() {
                        true => error.remedy("name who reads the file with `readers`"),
                        false => error,
                    });
                }
            };
        }
        Ok(text)
    }

    /// The styles to try: that of the value as it is now first.
    fn styles(
        &self,
        text: &str,
        path: &[String],
        alike: Option<dotenv::Style>,
        ask: bool,
    ) -> Vec<dotenv::Style> {
        let now = dotenv::parse(text).ok().and_then(|tree| {
            let members = tree.members().iter().rev();
            let member = members.into_iter().find(|m| Some(&m.key) == path.first())?;
            Some(dotenv::style_of(&text[member.value.span.clone()]))
        });
        let now = now.filter(|s| *s != dotenv::Style::Double || alike.is_some());
        if !ask {
            return now
                .filter(|_| alike == Some(dotenv::Style::Plain))
                .into_iter()
                .chain(alike)
                .collect();
        }
        let shell = self.readers.iter().any(|r| r.by == By::Shell);
        // What no shell reads as a value it may execute.
        let fits = |s: &dotenv::Style| match s {
            dotenv::Style::Escaped => !shell,
            dotenv::Style::Shell => shell,
            dotenv::Style::Plain | dotenv::Style::Single | dotenv::Style::Double => true,
        };
        let all = dotenv::STYLES.into_iter().filter(fits);
        let first = now.filter(fits);
        first
            .into_iter()
            .chain(all.filter(|s| Some(*s) != first))
            .collect()
    }

    /// Why a reader does not read that key as it is wanted; without a reader, values that readers read differently are
    /// refused.
    fn unread(
        &self,
        cx: &Context,
        (old, new, mark): (&str, &str, &str),
        path: &[String],
        wanted: Option<&Scalar>,
    ) -> Result<Option<Error>, Error> {
        let keys = [path.to_vec()];
        let judged = [(path.to_vec(), wanted.cloned())];
        for reader in &self.readers {
            let question = Question {
                path: &self.path,
                mark,
                keys: &keys,
                former: &[],
                salt: &random(),
            };
            let readouts = reader.read(cx, &question, &[Some(old), Some(new)])?;
            let [before, after] = readouts.as_slice() else {
                continue;
            };
            if let Some(why) = reader.wrong(Some(before), after, &judged, Format::Dotenv) {
                return Ok(Some(why));
            }
        }
        Ok(None)
    }

    /// A variable of the step's environment takes precedence over the file, for ever.
    fn overridden(&self, cx: &Context, wanted: &[(Vec<String>, Option<Scalar>)]) -> Option<Error> {
        let by_file = |r: &Reader| matches!(r.by, By::PythonDotenv | By::DjangoEnviron);
        if !self.readers.iter().any(by_file) {
            return None;
        }
        wanted.iter().find_map(|(path, wanted)| {
            let [key] = path.as_slice() else {
                return None;
            };
            let (_, value) = cx.env.iter().rev().find(|(k, _)| k == key)?;
            (wanted.as_ref().map(|w| &w.text) != Some(value)).then(|| {
                Error::certain(format!(
                    "the environment of this step sets {key} to another value, and readers of a .env file let the environment win"
                ))
                .remedy("change the variable where it is set, or remove it from `env`")
            })
        })
    }
}

/// The byte order mark, which not every reader takes away.
pub(super) fn mark(bytes: &[u8]) -> &'static str {
    match bytes.starts_with(b"\xef\xbb\xbf") {
        true => "\u{feff}",
        false => "",
    }
}

/// The texts of what changes, as they were.
fn changed_values(
    before: Option<&Readout>,
    wanted: &[(Vec<String>, Option<Scalar>)],
) -> Vec<String> {
    /// Shorter ones stand in others by chance.
    const SHORTEST: usize = 2;
    let former = wanted.iter().filter_map(|(path, wanted)| {
        let now = before?.value(path)?;
        let gone = wanted.as_ref() != Some(&now) && now.kind == Kind::Text;
        (gone && now.text.len() >= SHORTEST).then_some(now.text)
    });
    former.collect()
}

/// What changes beside it, and what does not although it may have to.
fn beside(
    reader: &Reader,
    before: Option<&Readout>,
    after: &Readout,
    format: Format,
) -> Vec<String> {
    let mut notes = Vec::new();
    if format == Format::Python
        && let Some(before) = before
    {
        let changed: Vec<&str> = after
            .others
            .iter()
            .filter(|(key, digest)| before.others.get(*key) != Some(*digest))
            .map(|(key, _)| key.as_str())
            .collect();
        if !changed.is_empty() {
            notes.push(format!(
                "{}: these change with it: {}",
                reader.shown(),
                changed.join(", ")
            ));
        }
    }
    if !after.holding.is_empty() {
        let keys = after.holding.join(", ");
        notes.push(format!(
            "{}: these still hold the former value: {keys}",
            reader.shown()
        ));
    }
    notes
}
