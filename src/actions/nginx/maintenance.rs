//! `nginx.maintenance`: a maintenance page is switched on by a file that Nginx reads, and off by its absence.
//!
//! The file is placed atomically (or removed), the configuration is tested with it, Nginx is reloaded, and the page is
//! asked for: only its answer counts. A configuration that is not good with the file is put back before anything is
//! loaded. The undo puts the file back byte for byte and reloads.

use super::Nginx;
use crate::action::{Service, Stage};
use crate::actions::file::absent;
use crate::actions::file::disk;
use crate::actions::file::replace::Replace;
use crate::actions::file::trust;
use crate::actions::http::expect::short;
use crate::actions::http::fetch::{self, Asker, Request};
use crate::actions::process::up::say;
use crate::actions::service::by::By;
use crate::actions::service::stop::half_a_minute;
use crate::actions::service::{Found, Keeper, Renew};
use crate::actions::values::absolute;
use crate::actions::{Action, Context, Error, Kept, Look};
use crate::failpoint;
use crate::text::actions as told;
use crate::text::settings as text;
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io::Write;
use std::time::{Duration, Instant};
use upledger_replay::event::Answer;
use upledger_replay::plan::Effect;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(100);

/// Switches a maintenance page on or off: a file that the configuration includes, or tests for, is placed or removed,
/// Nginx is reloaded, and a page is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    /// The file that makes the difference; an absolute path. A link of somebody else than root and the runner is refused,
    /// and a file in a directory that everybody may write.
    pub file: String,
    /// What the file holds while the page is on. Default: nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub content: String,
    /// On places the file, off removes it. Default: on.
    #[serde(default = "yes")]
    pub on: bool,
    /// The page that is asked for.
    pub url: String,
    /// The status that it answers with. Default: 503 when on, 200 when off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 599))]
    pub status: Option<u16>,
    /// Text that is in its body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// The program. Default: `nginx`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary: Option<String>,
    /// The configuration file, its `-c`; an absolute path. Default: that of the Nginx that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conf: Option<String>,
    /// Its `-p`; an absolute path. Default: that of the Nginx that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// By whom it is kept. Default: the one Nginx that runs on this machine, with this configuration if one is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// How long it may take until the page answers so. Default: 30s.
    #[serde(default = "half_a_minute")]
    pub within: Length,
}

fn yes() -> bool {
    true
}

impl Maintenance {
    fn kind(&self) -> Nginx {
        Nginx::of(
            self.binary.as_deref(),
            self.conf.as_deref(),
            self.prefix.as_deref(),
        )
    }

    fn with<T>(&self, act: impl FnOnce(&Renew<'_>) -> T) -> T {
        let kind = self.kind();
        act(&Renew {
            keeper: Keeper {
                by: self.by.as_ref(),
                kind: &kind,
            },
            ready: None,
            within: self.within,
        })
    }

    fn replace(&self) -> Replace {
        Replace {
            path: self.file.clone(),
            content: Some(self.content.clone()),
            from: None,
            mode: None,
        }
    }

    fn status(&self) -> u16 {
        self.status.unwrap_or(if self.on { 503 } else { 200 })
    }

    fn expected(&self) -> String {
        let status = self.status();
        match &self.contains {
            Some(text) => told::with_text(status, text),
            None => status.to_string(),
        }
    }

    fn file(&self, cx: &Context, observed: &Value) -> Result<Look, Error> {
        let observed = part(observed, "file");
        if self.on {
            self.replace().probe(cx, observed)
        } else {
            absent::probe(observed)
        }
    }

    fn file_back(&self, cx: &Context, observed: &Value, log: &mut dyn Write) -> Result<(), Error> {
        let observed = part(observed, "file");
        if self.on {
            self.replace().undo(cx, observed, log)
        } else {
            absent::undo(cx, observed, log)
        }
    }

    /// The page answers as this step wants it; what it answers.
    fn page(&self, cx: &Context) -> Result<(bool, String), Error> {
        let request = Request {
            url: &self.url,
            timeout: ANSWER,
            ..Request::default()
        };
        let reply = match Asker::new(&request)?.ask(&request) {
            Ok(reply) => reply,
            Err(miss) => return Ok((false, format!("{}: {miss}", self.url))),
        };
        let text = self.contains.as_ref();
        let right = reply.status == self.status() && text.is_none_or(|t| reply.body.contains(t));
        let start = short(&reply.body, &cx.redactor()?);
        Ok((
            right,
            format!("{} answers {} and '{start}'", self.url, reply.status),
        ))
    }

    /// Asks until it answers so, or not so any more.
    fn await_page(&self, cx: &Context, wanted: bool) -> Result<(bool, String), Error> {
        let deadline = Instant::now() + Duration::from_millis(self.within.0);
        loop {
            let (right, said) = self.page(cx)?;
            if right == wanted || Instant::now() >= deadline {
                return Ok((right == wanted, said));
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn reload(&self, cx: &Context, log: &mut dyn Write) -> Result<(), Error> {
        let found = self.with(|renew| renew.observe(cx))?;
        let mut work = crate::action::Work::new(cx, crate::action::Direction::Do, log)?;
        self.with(|renew| renew.perform(&mut work, &found))
    }
}

/// One part of what was observed.
fn part<'a>(observed: &'a Value, name: &str) -> &'a Value {
    observed.get(name).unwrap_or(&Value::Null)
}

impl Action for Maintenance {
    fn effect(&self) -> Effect {
        Effect::Idempotent
    }

    fn has_probe(&self) -> bool {
        true
    }

    fn has_undo(&self) -> bool {
        true
    }

    fn stages(&self) -> Vec<Stage> {
        vec![if self.on {
            Stage::Stop(Service::Front)
        } else {
            Stage::Start(Service::Front)
        }]
    }

    fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.by.iter().flat_map(By::problems).collect();
        problems.extend(self.kind().problems());
        problems.extend(absolute("file", &self.file));
        problems.extend(fetch::problem(&self.url));
        if !(100..=599).contains(&self.status()) {
            problems.push(text::status_range(self.status()));
        }
        if self.contains.as_deref() == Some("") {
            problems.push(text::every_page());
        }
        if !self.on && !self.content.is_empty() {
            problems.push(text::exclude("content", "on: false"));
        }
        problems
    }

    fn observe(&self, cx: &Context) -> Result<Value, Error> {
        trust::ours(&self.file)?;
        let nginx = self.with(|renew| renew.observe(cx))?;
        self.kind().test(cx, nginx.masters.first())?;
        let file = if self.on {
            self.replace().observe(cx)?
        } else {
            absent::observe(&self.file, cx)?
        };
        let (before, _) = self.page(cx)?;
        Ok(json!({"file": file, "nginx": nginx.value()?, "so": before}))
    }

    fn undoing(&self) -> Option<String> {
        Some(text::undo_file(&self.file))
    }

    fn commands(&self, cx: &Context) -> Vec<String> {
        let mut commands = if self.on {
            self.replace().commands(cx)
        } else {
            vec![told::remove(&self.file)]
        };
        commands.push(self.kind().testing());
        commands.extend(self.with(|renew| renew.commands(cx)));
        commands.push(told::get(&self.url, self.expected()));
        commands
    }

    fn diff(&self, cx: &Context) -> Result<Option<String>, Error> {
        if self.on {
            self.replace().diff(cx)
        } else {
            Ok(None)
        }
    }

    fn probe(&self, cx: &Context, observed: &Value) -> Result<Look, Error> {
        let mut look = self.file(cx, observed)?;
        if look.answer != Answer::Done {
            return Ok(look);
        }
        let (right, said) = self.page(cx)?;
        look.evidence.push(said);
        if !right {
            look.answer = Answer::Unclear;
            look.evidence.push(format!("expected {}", self.expected()));
        }
        Ok(look)
    }

    fn perform(&self, cx: &Context, observed: &Value, log: &mut dyn Write) -> Result<(), Error> {
        let found = Found::of(part(observed, "nginx"))?;
        let file = part(observed, "file");
        // What it was when it was looked at, somebody may have changed since.
        trust::ours(&self.file)?;
        if self.on {
            self.replace().perform(cx, file, log)?;
        } else {
            absent::perform(file, log)?;
        }
        failpoint::hit("maintenance-placed");
        if let Err(why) = self.kind().test(cx, found.masters.first()) {
            self.file_back(cx, observed, log)?;
            return Err(why);
        }
        self.reload(cx, log)?;
        let (right, said) = self.await_page(cx, true)?;
        if !right {
            return Err(Error::new(format!(
                "expected {}, but {said}",
                self.expected()
            )));
        }
        say(log, &said);
        Ok(())
    }

    fn verify(&self, cx: &Context, observed: &Value) -> Result<Look, Error> {
        self.probe(cx, observed)
    }

    fn kept(&self, cx: &Context, observed: &Value) -> Vec<Kept> {
        disk::kept_at(cx, part(observed, "file"))
    }

    fn undo(&self, cx: &Context, observed: &Value, log: &mut dyn Write) -> Result<(), Error> {
        let found = Found::of(part(observed, "nginx"))?;
        self.file_back(cx, observed, log)?;
        self.kind().test(cx, found.masters.first())?;
        self.reload(cx, log)
    }

    fn undone(&self, cx: &Context, observed: &Value) -> Result<Look, Error> {
        let file = part(observed, "file");
        let mut look = if self.on {
            self.replace().undone(cx, file)?
        } else {
            absent::undone(file)?
        };
        if look.answer != Answer::Done {
            return Ok(look);
        }
        let was = observed.get("so") == Some(&Value::Bool(true));
        let (right, said) = self.page(cx)?;
        look.evidence.push(said);
        if right && !was {
            look.answer = Answer::Nothing;
        }
        Ok(look)
    }
}
