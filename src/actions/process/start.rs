//! `process.start`: a daemon, started at most once, and ready before the step counts as done.
//!
//! Evidence: the process of the pidfile (number, start time and boot) lives, runs this command, and `ready` agrees. The
//! undo stops it, unless it ran before the step. What the daemon writes goes into its log as it is: secrets that it
//! prints are not redacted there.

use super::daemon::Frame;
use super::end::{Left, end, left, names, remains};
use super::identity::Ident;
use super::note;
use super::pidfile::{self, Record};
use super::ready::Ready;
use super::up::{bring_up, other, say, stranger, survivors};
use crate::actions::run::quoted;
use crate::actions::values::absolute;
use crate::actions::{Action, Context, Error, Look};
use crate::redact::Redactor;
use crate::text::actions as told;
use crate::text::settings as text;
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use upledger_replay::event::Answer;
use upledger_replay::plan::Effect;

/// Between TERM and KILL when the start is undone.
const GRACE: Duration = Duration::from_secs(30);

/// Starts a daemon in a session of its own and waits until it is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// The program and its arguments. It must stay in the foreground.
    #[schemars(length(min = 1))]
    pub argv: Vec<String>,
    /// Where its number is kept, as JSON; an absolute path.
    pub pidfile: String,
    /// The file that its output is appended to; an absolute path.
    pub log: String,
    /// Its working directory. Default: the step's, else `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// How it is known to be ready. Without it, living for half a second is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Ready>,
    /// How long it may take to be ready. Default: 30s.
    #[serde(default = "within")]
    pub within: Length,
}

fn within() -> Length {
    Length(30_000)
}

/// What the undo needs: the process that was there before.
fn before(observed: &Value) -> Option<Ident> {
    serde_json::from_value(observed.get("running")?.clone()).ok()
}

fn unnamed(pidfile: &str, ident: &Ident) -> String {
    format!(
        "{} was started by this step and is not gone, but {pidfile} does not name it any more",
        ident.shown()
    )
}

impl Start {
    fn now(&self) -> Result<Option<Record>, Error> {
        pidfile::read(Path::new(&self.pidfile))
    }

    fn note(&self, cx: &Context) -> Result<PathBuf, Error> {
        note::place(cx, "start", &self.pidfile)
    }

    /// The process that this step started, where it is left and the pidfile does not name it any more.
    fn astray(&self, cx: &Context, now: Option<&Record>) -> Result<Option<Ident>, Error> {
        Ok(note::read(&self.note(cx)?)?.filter(|ident| {
            now.is_none_or(|r| r.ident != *ident) && left(ident, &[]) != Left::Nothing
        }))
    }

    fn frame(&self, cx: &Context) -> Result<Frame, Error> {
        let given = self.cwd.clone();
        let step = || cx.cwd.as_ref().map(|c| c.display().to_string());
        Ok(Frame {
            pidfile: self.pidfile.clone(),
            argv: self.argv.clone(),
            cwd: given.or_else(step).unwrap_or_else(|| "/".into()),
            log: self.log.clone(),
            env: cx.env.clone(),
            note: Some(self.note(cx)?),
            user: None,
            own_log: false,
            step: cx.step.clone(),
        })
    }

    /// Why it must not be started now.
    fn refusal(&self, now: Option<&Record>) -> Option<String> {
        match now {
            Some(record) if record.alive() => {
                (record.argv != self.argv).then(|| other(&self.pidfile, record))
            }
            Some(record) => remains(&record.ident)
                .map(|rest| survivors(&self.pidfile, &rest))
                .or_else(|| stranger(self.ready.as_ref())),
            None => stranger(self.ready.as_ref()),
        }
    }

    /// Waits for a process that lives to be ready.
    fn ready(&self, ident: &Ident, redactor: &Redactor) -> Result<Look, Error> {
        let lives = format!("{} lives and runs {}", ident.shown(), quoted(&self.argv));
        let Some(ready) = &self.ready else {
            return Ok(Look::done(lives));
        };
        let deadline = Instant::now() + Duration::from_millis(self.within.0);
        loop {
            let mut look = ready.look(Some(ident), redactor)?;
            look.evidence.insert(0, lives.clone());
            if look.answer == Answer::Done || !ident.alive() || Instant::now() >= deadline {
                return Ok(look);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Action for Start {
    fn program(&self) -> Option<(&str, Option<&str>)> {
        Some((self.argv.first()?, self.cwd.as_deref()))
    }

    fn effect(&self) -> Effect {
        Effect::Probed
    }

    fn has_probe(&self) -> bool {
        true
    }

    fn has_undo(&self) -> bool {
        true
    }

    fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = [
            absolute("pidfile", &self.pidfile),
            absolute("log", &self.log),
            self.cwd.as_deref().and_then(|cwd| absolute("cwd", cwd)),
        ]
        .into_iter()
        .flatten()
        .collect();
        match self.argv.first() {
            None => problems.push(text::empty("argv")),
            Some(program) if program.is_empty() => problems.push(text::empty_program()),
            Some(_) => {}
        }
        problems.extend(self.ready.iter().flat_map(Ready::problems));
        problems
    }

    fn observe(&self, _cx: &Context) -> Result<Value, Error> {
        let now = self.now()?;
        if let Some(why) = self.refusal(now.as_ref()) {
            return Err(Error::new(why));
        }
        let running = now.as_ref().filter(|r| r.alive()).map(|r| &r.ident);
        Ok(json!({"running": running, "pidfile": now}))
    }

    fn undoing(&self) -> Option<String> {
        Some(text::undo_start())
    }

    fn commands(&self, _cx: &Context) -> Vec<String> {
        let mut commands = vec![told::start_daemon(quoted(&self.argv))];
        commands.extend(self.ready.iter().map(|r| told::wait_until(r.shown())));
        commands
    }

    fn probe(&self, cx: &Context, _observed: &Value) -> Result<Look, Error> {
        let now = self.now()?;
        if let Some(ident) = self.astray(cx, now.as_ref())? {
            return Ok(Look::unclear(unnamed(&self.pidfile, &ident)));
        }
        if let Some(why) = self.refusal(now.as_ref()) {
            return Ok(Look::unclear(why));
        }
        Ok(match now {
            Some(record) if record.alive() => self.ready(&record.ident, &cx.redactor()?)?,
            Some(record) => Look::nothing(format!(
                "{} names process {}, which has ended",
                self.pidfile, record.ident.pid
            )),
            None => Look::nothing(format!("there is no {}", self.pidfile)),
        })
    }

    fn perform(&self, cx: &Context, _: &Value, log: &mut dyn Write) -> Result<(), Error> {
        let within = Duration::from_millis(self.within.0);
        let redactor = cx.redactor()?;
        if let Some(ident) = self.astray(cx, self.now()?.as_ref())? {
            let why = unnamed(&self.pidfile, &ident);
            return Err(Error::new(format!("not started: {why}")));
        }
        bring_up(
            &self.frame(cx)?,
            self.ready.as_ref(),
            within,
            &redactor,
            log,
        )
    }

    fn verify(&self, cx: &Context, observed: &Value) -> Result<Look, Error> {
        self.probe(cx, observed)
    }

    fn undo(&self, cx: &Context, observed: &Value, log: &mut dyn Write) -> Result<(), Error> {
        let now = self.now()?;
        if let Some(ident) = self.astray(cx, now.as_ref())? {
            say(log, &unnamed(&self.pidfile, &ident));
            end(cx, &ident, &[], GRACE, log)?;
        }
        let Some(record) = now else {
            say(
                log,
                &format!("there is no {}; nothing to stop", self.pidfile),
            );
            return Ok(());
        };
        if record.alive() {
            if before(observed).as_ref() == Some(&record.ident) {
                say(
                    log,
                    &format!(
                        "{} ran before this step and is left alone",
                        record.ident.shown()
                    ),
                );
                return Ok(());
            }
            if record.argv != self.argv {
                return Err(Error::new(format!(
                    "not stopped: {}",
                    other(&self.pidfile, &record)
                )));
            }
        }
        end(cx, &record.ident, &[], GRACE, log)?;
        pidfile::remove(Path::new(&self.pidfile), &record.ident)
    }

    fn undone(&self, cx: &Context, observed: &Value) -> Result<Look, Error> {
        let now = self.now()?;
        if let Some(ident) = self.astray(cx, now.as_ref())? {
            return Ok(Look::nothing(unnamed(&self.pidfile, &ident)));
        }
        let Some(record) = now else {
            return Ok(Look::done(format!("there is no {}", self.pidfile)));
        };
        let name = record.ident.shown();
        if record.alive() {
            return Ok(if before(observed).as_ref() == Some(&record.ident) {
                Look::done(format!("{name} ran before this step"))
            } else if record.argv == self.argv {
                Look::nothing(format!("{name} lives"))
            } else {
                Look::unclear(other(&self.pidfile, &record))
            });
        }
        Ok(match left(&record.ident, &[]) {
            Left::Nothing => Look::done(format!("process {} has ended", record.ident.pid)),
            Left::These(rest) | Left::Untold(rest) => {
                Look::unclear(format!("{} may be left of it", names(&rest)))
            }
        })
    }
}
