//! Django: what its `manage.py` does, judged by what Django itself says.
//!
//! Invariants: the application is set up by its own `manage.py`, with the interpreter of its release, so that what is
//! seen are the settings in force and not what a file seems to say; answers come as one marked line, because any
//! application prints what it likes; a look changes nothing. `App` is the one place that talks to Django, for
//! [`check`], [`collectstatic`], [`migrate`] and every other command.

mod aside;
pub mod check;
pub mod collectstatic;
pub mod command;
mod comparison;
pub mod fake;
pub mod migrate;
pub mod reinitialise;
mod served;
mod service;

#[cfg(test)]
mod tests;

use crate::action::values::absolute;
use crate::action::{Context, Error};
use crate::host::exec::{capture, quoted};
use crate::host::files::tree;
use crate::host::read_only::READ_ONLY;
use crate::text::settings as text;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};

/// The program that is run inside the application.
const PROBE: &str = include_str!("probe.py");
/// How many lines of a command that failed are shown.
const SHOWN: usize = 5;
/// The environments of BlueKing, as its two generations name them.
const ENVIRONMENTS: [(&str, &str); 3] = [
    ("dev", "development"),
    ("stag", "testing"),
    ("prod", "production"),
];

/// An application: its interpreter, its `manage.py`, its settings.
#[derive(Debug, Clone, Copy)]
pub(super) struct App<'a> {
    pub(super) python: &'a str,
    pub(super) manage: Option<&'a String>,
    pub(super) settings: Option<&'a String>,
}

impl App<'_> {
    /// What is wrong with its settings.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut wrong: Vec<String> = absolute("python", self.python).into_iter().collect();
        wrong.extend(self.manage.and_then(|m| absolute("manage", m)));
        let module = |name: &str| {
            let part = |p: &str| {
                !p.is_empty()
                    && !p.starts_with(|c: char| c.is_ascii_digit())
                    && p.chars().all(|c| c.is_alphanumeric() || c == '_')
            };
            name.split('.').all(part)
        };
        wrong.extend(self.settings.filter(|s| !module(s)).map(text::no_module));
        wrong
    }

    /// Without `manage` it is looked for where the step runs, unless the settings alone make the application.
    pub(super) fn below_cwd(&self) -> Option<String> {
        (self.manage.is_none() && self.module().is_none()).then(|| "manage.py".into())
    }

    /// The module of its settings, where they name one.
    fn module(&self) -> Option<&String> {
        let names = |s: &&String| ENVIRONMENTS.iter().any(|(name, _)| name == s);
        self.settings.filter(|s| !names(s))
    }

    /// Its `manage.py`, or an entry point of its own; none where there is none, and the settings alone make it.
    pub(super) fn manage(&self, cx: &Context) -> Result<Option<PathBuf>, Error> {
        let path = match (self.manage, &cx.cwd) {
            (Some(path), _) => PathBuf::from(path),
            (None, Some(cwd)) => cwd.join("manage.py"),
            (None, None) if self.module().is_some() => return Ok(None),
            (None, None) => {
                return Err(Error::new(
                    "the location of manage.py must be given by `manage`, or by the step's `cwd`",
                ));
            }
        };
        if path.is_file() {
            return Ok(Some(path));
        }
        if self.manage.is_none() && self.module().is_some() {
            return Ok(None);
        }
        Err(
            Error::new(format!("there is no {}", path.display())).remedy(
                "name the entry point with `manage`, or the module of its settings with `settings`",
            ),
        )
    }

    /// The words of a command of its `manage.py`.
    pub(super) fn words(&self, cx: &Context, args: &[&str]) -> Result<Vec<String>, Error> {
        let entry = match self.manage(cx)? {
            Some(manage) => vec![manage.display().to_string()],
            None => vec!["-m".into(), "django".into()],
        };
        let mut words = vec![self.python.to_owned()];
        words.extend(entry);
        words.extend(args.iter().map(ToString::to_string));
        Ok(words)
    }

    /// The same, as a person would type it where the step runs; `alone`: there is no `manage.py`.
    pub(super) fn shown(&self, args: &[&str], alone: bool) -> String {
        let environment = self.settings.map(|s| format!("[{s}] ")).unwrap_or_default();
        let entry = match self.manage.map(String::as_str) {
            Some(manage) => vec![manage],
            None if alone => vec!["-m", "django"],
            None => vec!["manage.py"],
        };
        let words = [self.python].into_iter().chain(entry);
        let words = words.chain(args.iter().copied());
        let words: Vec<String> = words.map(str::to_owned).collect();
        format!("{environment}{}", quoted(&words))
    }

    /// Where its commands run, and with which environment.
    pub(super) fn context(&self, cx: &Context) -> Result<Context, Error> {
        let manage = self.manage(cx)?;
        let mut inner = cx.clone();
        if let (None, Some(manage)) = (&inner.cwd, manage) {
            inner.cwd = manage.parent().map(Path::to_path_buf);
        }
        let mut set = |key: &str, value: &str| {
            inner.env.retain(|(k, _)| k != key);
            inner.env.push((key.to_owned(), value.to_owned()));
        };
        if let Some(settings) = self.settings {
            match ENVIRONMENTS.iter().find(|(name, _)| name == settings) {
                Some((name, old)) => {
                    set("BKPAAS_ENVIRONMENT", name);
                    set("BK_ENV", old);
                }
                None => set("DJANGO_SETTINGS_MODULE", settings),
            }
        }
        // What it prints is to be seen as it comes, in whatever language the operator works.
        set("PYTHONUNBUFFERED", "1");
        set("PYTHONIOENCODING", "utf-8");
        Ok(inner)
    }

    /// The words of what runs inside the application.
    fn inside(
        &self,
        manage: Option<&Path>,
        marker: &str,
        question: &str,
        arguments: &Value,
    ) -> Vec<String> {
        let code = format!("{READ_ONLY}{PROBE}");
        self.program(&code, manage, marker, question, arguments)
    }

    /// The same of a program of another kind.
    fn program(
        &self,
        code: &str,
        manage: Option<&Path>,
        marker: &str,
        question: &str,
        arguments: &Value,
    ) -> Vec<String> {
        let manage = manage.map_or_else(String::new, |m| m.display().to_string());
        let arguments = arguments.to_string();
        [
            self.python,
            "-c",
            code,
            marker,
            &manage,
            question,
            &arguments,
        ]
        .map(str::to_owned)
        .to_vec()
    }

    /// Asks the application.
    ///
    /// # Errors
    /// [`Error`] when it cannot be set up, or gives no answer.
    pub(super) fn ask<T: DeserializeOwned>(
        &self,
        cx: &Context,
        question: &str,
        arguments: &Value,
    ) -> Result<T, Error> {
        self.ask_with(cx, "", question, arguments)
    }

    /// The same of a question that `more` defines, Python that is run before the program.
    ///
    /// # Errors
    /// [`Error`] when it cannot be set up, or gives no answer.
    pub(super) fn ask_with<T: DeserializeOwned>(
        &self,
        cx: &Context,
        more: &str,
        question: &str,
        arguments: &Value,
    ) -> Result<T, Error> {
        let manage = self.manage(cx)?;
        let mut inner = self.context(cx)?;
        inner.env.retain(|(k, _)| k != "PYTHONDONTWRITEBYTECODE");
        inner
            .env
            .push(("PYTHONDONTWRITEBYTECODE".into(), "1".into()));
        let mut arguments = arguments.clone();
        arguments["read_only"] = (cx.inert || cx.live).into();
        let marker = marker();
        let code = format!("{READ_ONLY}{more}{PROBE}");
        let argv = self.program(&code, manage.as_deref(), &marker, question, &arguments);
        let ran = capture(&inner, &argv, cx.patience())?;
        // Only the marked line is read; others may be in any encoding.
        let mut lines = ran.stdout.split(|b| *b == b'\n');
        let answer = lines.find_map(|line| line.strip_prefix(marker.as_bytes()));
        let Some(answer) = answer else {
            let who = match (&manage, self.settings) {
                (Some(manage), _) => manage.display().to_string(),
                (None, settings) => settings.cloned().unwrap_or_default(),
            };
            let mut lines = vec![format!("{who} returned no answer: {}", ran.ended)];
            lines.extend(ran.tail(SHOWN));
            return Err(Error::new(lines.join("\n")));
        };
        let wrong =
            |e: serde_json::Error| Error::io("the application's answer cannot be parsed", &e);
        let answer: Value = serde_json::from_slice(answer).map_err(wrong)?;
        if let Some(why) = answer["unseen"].as_str() {
            return Err(Error::unseen(why));
        }
        if let Some(why) = answer["error"].as_str() {
            return Err(Error::new(why));
        }
        serde_json::from_value(answer).map_err(wrong)
    }
}

/// What begins a line that is meant for this program; nobody can know it beforehand.
fn marker() -> String {
    let random = std::hash::RandomState::new().build_hasher().finish();
    format!("@upledger-{random:016x}:")
}
