//! `expect.config`: values of a configuration file as their readers read them, and the processes that serve with them.
//!
//! Invariants: a right file proves nothing about a process: one that started before the file was changed has the former
//! values, and a variable of its environment takes precedence over a `.env` file for ever. No value is shown.

use super::document::Format;
use super::make::mark;
use super::reader::{Question, Reader, described, random};
use super::tree::{Found, Scalar, shown};
use super::value::{Change, Given, Key, Type};
use crate::action::values::absolute;
use crate::action::{Context, Error, Place, Places};
use crate::actions::expect::{Expectation, Finding};
use crate::encoding::{self, Charset};
use crate::host::files::disk;
use crate::host::process::identity;
use crate::host::process::list::{self, Other};
use crate::system::proc;
use crate::text::actions as phrases;
use crate::text::settings as text;
use crate::time::Length;
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

/// How exact the start of a process and the time of a file can be compared.
const EXACT: Duration = Duration::from_millis(50);

/// Expects values of a configuration file as its readers read them, and processes that started with them. No value is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Values {
    /// The file, as an absolute path.
    pub path: String,
    /// How it is written. Default: by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// The values that are expected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Wanted>,
    /// Who reads the file. Default: the file is read as it is written, which a Python module cannot be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readers: Vec<Reader>,
    /// A regular expression for the command lines of the processes that serve with these values. Each must have started after the
    /// file was last changed, and must not have a key of a `.env` file in its environment with another value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// Variables that each of these processes must have had in its environment when it started.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environ: BTreeMap<String, Given>,
    /// How long to wait for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Length>,
}

/// A value that is expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Its key.
    pub key: Key,
    /// What it is to be.
    pub value: Given,
    /// Its type. Default: that of `value` as it is written in the plan.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub as_type: Option<Type>,
}

type Judged = Vec<(Vec<String>, Option<Scalar>)>;

impl Values {
    fn format(&self) -> Option<Format> {
        self.format.or_else(|| Format::of(&self.path))
    }

    fn judged(&self, cx: &Context, format: Format) -> Result<Judged, Error> {
        let all = self.values.iter().map(|wanted| {
            let change = Change::wants(wanted.key.clone(), wanted.value.clone(), wanted.as_type);
            let mut scalar = change.wanted(cx)?;
            if let Some(scalar) = scalar.as_mut().filter(|_| format.is_untyped()) {
                scalar.kind = super::tree::Kind::Text;
            }
            Ok((format.path(&wanted.key)?, scalar))
        });
        all.collect()
    }

    /// What is wrong with the file.
    fn file(
        &self,
        cx: &Context,
        judged: &Judged,
        format: Format,
    ) -> Result<(Vec<String>, Vec<String>), Error> {
        let (mut wrong, mut right) = (Vec::new(), Vec::new());
        let Some((bytes, _)) = disk::read(Path::new(&self.path))? else {
            return Ok((vec![format!("there is no file {}", self.path)], right));
        };
        let text = Charset::of(&bytes).and_then(|c| c.read(&bytes).map(|t| t.into_owned()));
        let text = text.ok_or_else(|| Error::new(format!("{} is no text", self.path)))?;
        let keys: Vec<Vec<String>> = judged.iter().map(|(path, _)| path.clone()).collect();
        for reader in &self.readers {
            let question = Question {
                path: &self.path,
                mark: mark(&bytes),
                keys: &keys,
                former: &[],
                salt: &random(),
            };
            let readouts = reader.read(cx, &question, &[Some(&text)])?;
            let Some(readout) = readouts.first() else {
                continue;
            };
            match reader.wrong(None, readout, judged, format) {
                Some(why) => wrong.push(why.to_string()),
                None => right.extend(keys.iter().map(|path| {
                    let what = described(readout.value(path).as_ref());
                    format!(
                        "{} reads {}: {what}, as expected",
                        reader.shown(),
                        shown(path)
                    )
                })),
            }
        }
        if self.readers.is_empty() && !judged.is_empty() {
            let tree = format.parse(&text)?;
            for (path, wanted) in judged {
                let found = match tree.find(&text, path)? {
                    Found::Values(members) => {
                        members.last().and_then(|m| m.value.scalar()).cloned()
                    }
                    Found::Item(item) => item.scalar().cloned(),
                    Found::Missing(..) => None,
                };
                let (path, is) = (shown(path), described(found.as_ref()));
                let not = described(wanted.as_ref());
                match found == *wanted {
                    true => right.push(format!("{path} is {is} in the file, as expected")),
                    false if is == not => {
                        wrong.push(format!("{path} has another value in the file: {is}, too"));
                    }
                    false => wrong.push(format!("{path} is {is} in the file, and not {not}")),
                }
            }
        }
        Ok((wrong, right))
    }

    /// What is wrong with the processes.
    fn processes(
        &self,
        cx: &Context,
        judged: &Judged,
        format: Format,
    ) -> Result<(Vec<String>, Vec<String>), Error> {
        let (mut wrong, mut right) = (Vec::new(), Vec::new());
        let Some(pattern) = &self.process else {
            return Ok((wrong, right));
        };
        let regex =
            Regex::new(pattern).map_err(|e| Error::io("`process` is no regular expression", &e))?;
        let changed = std::fs::metadata(&self.path).and_then(|m| m.modified());
        let since = changed
            .ok()
            .and_then(|t| t.elapsed().ok())
            .unwrap_or_default();
        let found = list::matching(&regex)?;
        if found.is_empty() {
            wrong.push(format!("no process matches {pattern}"));
        }
        let mut names: Vec<(String, String, bool)> = Vec::new();
        for (path, wanted) in judged.iter().filter(|_| format == Format::Dotenv) {
            if let ([name], Some(wanted)) = (path.as_slice(), wanted) {
                names.push((name.clone(), wanted.text.clone(), false));
            }
        }
        for (name, value) in &self.environ {
            names.push((name.clone(), value.text(cx)?, true));
        }
        for one in &found {
            let who = identity::shown(one.pid);
            let said = wrong.len();
            let age = proc::Stat::of(one.pid).and_then(|stat| proc::age(stat.starttime));
            if age.is_some_and(|age| age > since + EXACT) {
                wrong.push(format!(
                    "{who} started before {} was changed: restart it",
                    self.path
                ));
            }
            for (name, value, needed) in &names {
                match variable(one.pid, name) {
                    Some(found) if found == *value => {}
                    None if !needed => {}
                    None => wrong.push(format!(
                        "{who} has started without {name}: {}",
                        remedy(one.pid, name, None)
                    )),
                    Some(found) => {
                        let why = match needed {
                            true => "with another value",
                            false => "with another value, which takes precedence over the file",
                        };
                        let remedy = remedy(one.pid, name, Some(&found));
                        wrong.push(format!(
                            "{who} has {name} in its environment {why}: {remedy}"
                        ));
                    }
                }
            }
            if wrong.len() == said {
                right.push(format!(
                    "{who} started after the file was changed, and its environment agrees"
                ));
            }
        }
        Ok((wrong, right))
    }
}

/// A variable that a process had when it started.
fn variable(pid: i32, name: &str) -> Option<String> {
    let found = proc::environ(pid)
        .into_iter()
        .rev()
        .find(|(key, _)| key == name);
    found.map(|(_, value)| encoding::text(value.as_bytes()).into_owned())
}

/// What makes a process read another value.
fn remedy(pid: i32, name: &str, value: Option<&str>) -> String {
    let parent = Other::of(pid).and_then(|p| Other::of(p.parent));
    let Some(parent) = parent.filter(|p| p.pid > 1) else {
        return "restart it".into();
    };
    let who = identity::shown(parent.pid);
    if value.is_some() && variable(parent.pid, name).as_deref() == value {
        return format!("it comes from {who}, which has it, too: restart that one without it");
    }
    match parent.command().contains("supervisord") {
        true => format!(
            "{who} gives it what it has read of its configuration: `supervisorctl update` reads it again, a restart of the program does not"
        ),
        false => format!("restart it; {who} has started it"),
    }
}

impl Expectation for Values {
    fn wanted(&self) -> String {
        let keys: Vec<String> = self
            .values
            .iter()
            .map(|w| w.key.shown())
            .chain(self.environ.keys().cloned())
            .collect();
        match &self.process {
            Some(process) => phrases::config_served(&self.path, crate::text::list(&keys), process),
            None => phrases::config_expected(&self.path, crate::text::list(&keys)),
        }
    }

    fn within(&self) -> Option<Length> {
        self.within
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong: Vec<String> = absolute("path", &self.path).into_iter().collect();
        let format = self.format();
        if format.is_none() {
            wrong.push(text::no_format(&self.path));
        }
        if self.values.is_empty() && self.process.is_none() {
            wrong.push(text::missing("values", "process"));
        }
        if !self.values.is_empty() && self.readers.is_empty() && format == Some(Format::Python) {
            wrong.push(text::needs("format: python", "readers"));
        }
        if !self.environ.is_empty() && self.process.is_none() {
            wrong.push(text::needs("environ", "process"));
        }
        match &self.process {
            Some(pattern) if pattern.is_empty() => wrong.push(text::empty("process")),
            Some(pattern) => wrong.extend(
                Regex::new(pattern)
                    .err()
                    .map(|e| text::no_regex("process", e)),
            ),
            None => {}
        }
        wrong.extend(
            self.values
                .iter()
                .filter(|w| w.key.is_empty())
                .map(|_| text::empty("key")),
        );
        wrong.extend(self.readers.iter().flat_map(|r| r.problems(format)));
        wrong
    }

    fn reads(&self) -> Places {
        let process = self.process.iter().map(|_| Place::Processes);
        Some(
            [Place::path(&self.path)]
                .into_iter()
                .chain(process)
                .collect(),
        )
    }

    fn see(&self, cx: &Context) -> Result<Finding, Error> {
        let format = self.format().unwrap_or(Format::Dotenv);
        let judged = self.judged(cx, format)?;
        let (mut wrong, mut right) = self.file(cx, &judged, format)?;
        let (of_processes, and) = self.processes(cx, &judged, format)?;
        wrong.extend(of_processes);
        right.extend(and);
        Ok(Finding {
            holds: wrong.is_empty(),
            saw: if wrong.is_empty() { right } else { wrong },
        })
    }
}
