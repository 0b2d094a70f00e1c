//! `django.check`: Django's own checks, and how bad what they find is. It only looks.
//!
//! The checks are run inside the application and come back as data: the text of `manage.py check` is made for people, and
//! its exit code says nothing of what was found below the level that it fails at.

use super::App;
use super::service::{Compared, compare};
use crate::action::{Action, Context, Direction, Error, Look, Past, Place, Properties, Work};
use crate::host::service::By;
use crate::text::actions as phrases;
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use upledger_replay::event::Answer;

/// How many findings the evidence names.
const NAMED: usize = 12;

/// Django's system checks find nothing at `fail_level` or above.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The interpreter of the release's virtualenv, as an absolute path.
    pub python: String,
    /// `manage.py`, or an entry point of another name, as an absolute path. Default: the one in the step's `cwd`; where
    /// there is none, the module of `settings` is used (`python -m django`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manage: Option<String>,
    /// `dev`, `stag` or `prod` of BlueKing (`BKPAAS_ENVIRONMENT`, `BK_ENV`), or a module for `DJANGO_SETTINGS_MODULE`.
    /// Default: from the environment of the step and `manage.py`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<String>,
    /// Include the deployment checks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deploy: bool,
    /// Only the checks with these tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The lowest level at which a finding fails the step. Default: `error`.
    #[serde(default)]
    pub fail_level: Level,
    /// The running service of the application. The step fails where its environment leads to other databases than that of
    /// the step. A service that does not run is not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<By>,
}

/// The severity of a finding.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Informational.
    Info,
    /// A warning.
    Warning,
    /// An error.
    #[default]
    Error,
    /// Worse.
    Critical,
}

impl Level {
    /// Of Django's number.
    fn of(number: i64) -> Self {
        match number {
            ..30 => Self::Info,
            30..40 => Self::Warning,
            40..50 => Self::Error,
            50.. => Self::Critical,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

#[derive(Debug, Deserialize)]
struct Answered {
    messages: Vec<Message>,
    django: String,
    settings: String,
}

/// What the checks and the comparison with the service have found.
struct Findings {
    head: String,
    /// The worst first.
    lines: Vec<String>,
    /// Why the step fails.
    wrong: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Message {
    level: i64,
    id: String,
    text: String,
    about: String,
}

impl std::fmt::Display for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, text, .. } = self;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        write!(f, "{}: ({id}) ", Level::of(self.level).word())?;
        if !self.about.is_empty() {
            write!(f, "{}: ", self.about)?;
        }
        f.write_str(&text)
    }
}

impl Check {
    fn app(&self) -> App<'_> {
        App {
            python: &self.python,
            manage: self.manage.as_ref(),
            settings: self.settings.as_ref(),
        }
    }

    fn see(&self, cx: &Context) -> Result<Findings, Error> {
        let arguments = json!({"deploy": self.deploy, "tags": self.tags});
        let mut seen: Answered = self.app().ask(cx, "check", &arguments)?;
        seen.messages.sort_by_key(|m| std::cmp::Reverse(m.level));
        let bad = |m: &Message| Level::of(m.level) >= self.fail_level;
        let worst = seen.messages.iter().filter(|m| bad(m)).count();
        let head = format!(
            "Django {} with {}: {} found, {worst} of level {} or worse",
            seen.django,
            seen.settings,
            seen.messages.len(),
            self.fail_level.word()
        );
        let mut findings: Vec<String> = seen.messages.iter().map(ToString::to_string).collect();
        let first = findings.first().filter(|_| worst > 0);
        let mut wrong = first.map(|first| format!("{head}, such as {first}"));
        match self.service.as_ref().map(|by| compare(&self.app(), cx, by)) {
            None => {}
            Some(compared) => match compared? {
                Compared::Fine(line) => findings.push(line),
                Compared::Other(line) => {
                    findings.insert(0, line.clone());
                    wrong = Some(line);
                }
            },
        }
        Ok(Findings {
            head,
            lines: findings,
            wrong,
        })
    }
}

impl Action for Check {
    type Before = ();
    type Note = ();
    type Output = ();

    fn properties(&self) -> Properties {
        Properties {
            // As a step it is run, never found done: the application may have changed since.
            has_probe: false,
            below_cwd: self.app().below_cwd(),
            reads: Some(vec![Place::Files]),
            ..Properties::look()
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong = self.app().problems();
        if self.tags.iter().any(String::is_empty) {
            wrong.push(text::empty("tags"));
        }
        wrong.extend(self.service.iter().flat_map(By::problems));
        wrong
    }

    fn outline(&self, _direction: Direction) -> Vec<String> {
        let level = self.fail_level.word().to_uppercase();
        let mut words = vec!["check", "--fail-level", &level];
        if self.deploy {
            words.push("--deploy");
        }
        words.extend(self.tags.iter().flat_map(|t| ["--tag", t]));
        let mut lines = vec![self.app().shown(&words, false)];
        lines.extend(self.service.as_ref().map(|_| phrases::compare_service()));
        lines
    }

    fn observe(&self, _cx: &Context) -> Result<(), Error> {
        Ok(())
    }

    fn probe(&self, cx: &Context, _past: &Past<Self>) -> Result<(Look, Option<()>), Error> {
        let seen = self.see(cx)?;
        let mut lines = seen.lines;
        if lines.len() > NAMED {
            let more = lines.len() - NAMED;
            lines.truncate(NAMED);
            lines.push(format!("and {more} more"));
        }
        lines.insert(0, seen.head);
        let answer = match seen.wrong {
            None => Answer::Done,
            Some(_) if cx.inert => Answer::Nothing,
            Some(_) => Answer::Unclear,
        };
        let look = Look {
            answer,
            evidence: lines,
        };
        Ok((look, None))
    }

    fn perform(&self, work: &mut Work<'_, ()>, _past: &Past<Self>) -> Result<(), Error> {
        let cx = work.cx();
        let seen = self.see(cx)?;
        let redactor = cx.redactor()?;
        for line in seen.lines.iter().chain([&seen.head]) {
            work.log_line(&redactor.text(line));
        }
        match seen.wrong {
            Some(why) => Err(Error::new(why)),
            None => Ok(()),
        }
    }

    fn verify(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        Ok(self.probe(cx, past)?.0)
    }
}
