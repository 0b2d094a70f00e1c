//! `process.start`: a daemon, started at most once, and ready before the step counts as done.
//!
//! Evidence: the process of the pidfile (number, start time and boot) lives, runs this command, and `ready` agrees. The
//! undo stops it, unless it ran before the step. What the daemon writes goes into its log as it is: secrets that it
//! prints are not redacted there.

use crate::action::values::absolute;
use crate::action::{Action, Context, Direction, Error, Look, Past, Preview, Properties, Work};
use crate::host::exec::quoted;
use crate::host::process::identity::Ident;
use crate::host::process::note::{self, Note};
use crate::host::process::pidfile::{self, Record};
use crate::host::process::session::{Left, end, left, names, remains};
use crate::host::service::daemon::{Daemon, bring_up, other, stranger, survivors};
use crate::host::service::ready::Ready;
use crate::redact::Redactor;
use crate::text::actions as told;
use crate::text::settings as text;
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::{Duration, Instant};
use upledger_replay::event::Answer;

/// Between TERM and KILL when the start is undone.
const GRACE: Duration = Duration::from_millis(GRACE_MS);
const GRACE_MS: u64 = 30_000;

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

/// What was there before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// The process that lived.
    pub(crate) running: Option<Ident>,
    /// What the pidfile said.
    pub(crate) pidfile: Option<Record>,
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

    /// The process that this step started, where it is left and the pidfile does not name it any more.
    fn astray<'n>(
        &self,
        notes: impl IntoIterator<Item = &'n Note>,
        now: Option<&Record>,
    ) -> Option<Ident> {
        let mut unnamed = note::launches(notes, &self.pidfile)
            .filter(|ident| now.is_none_or(|r| r.ident != **ident));
        unnamed
            .find(|ident| left(ident, &[]) != Left::Nothing)
            .cloned()
    }

    /// Starts it unless it runs, and waits until it is ready.
    ///
    /// # Errors
    /// [`Error`] when it does not come up, or what this step started before is out of reach.
    pub(crate) fn bring_up(&self, work: &mut Work<'_, Note>) -> Result<(), Error> {
        if let Some(ident) = self.astray(work.all_noted(), self.now()?.as_ref()) {
            let why = unnamed(&self.pidfile, &ident);
            return Err(Error::new(format!("not started: {why}")));
        }
        let step = || work.cx().cwd.as_ref().map(|c| c.display().to_string());
        let cwd = self.cwd.clone().or_else(step);
        let daemon = Daemon {
            pidfile: &self.pidfile,
            argv: &self.argv,
            cwd: cwd.as_deref().unwrap_or("/"),
            log: &self.log,
        };
        let within = Duration::from_millis(self.within.0);
        bring_up(work, &daemon, self.ready.as_ref(), within)
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
    type Before = Before;
    type Note = Note;
    type Output = ();

    fn properties(&self) -> Properties {
        let program = self.argv.first().map(|p| (p.clone(), self.cwd.clone()));
        Properties {
            program,
            ..Properties::reversible()
        }
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

    fn outline(&self, direction: Direction) -> Vec<String> {
        if direction == Direction::Undo {
            return vec![text::undo_start()];
        }
        let mut commands = vec![told::start_daemon(quoted(&self.argv))];
        commands.extend(self.ready.iter().map(|r| told::wait_until(r.shown())));
        commands
    }

    fn observe(&self, _cx: &Context) -> Result<Before, Error> {
        let pidfile = self.now()?;
        if let Some(why) = self.refusal(pidfile.as_ref()) {
            return Err(Error::new(why));
        }
        let alive = pidfile.as_ref().filter(|r| r.alive());
        Ok(Before {
            running: alive.map(|r| r.ident.clone()),
            pidfile,
        })
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        let mut commands = self.outline(direction);
        if direction == Direction::Undo {
            let ours = note::launches(past.noted(), &self.pidfile).last();
            commands.extend(ours.map(|p| told::term_and_kill(Length(GRACE_MS), p.shown())));
        }
        Preview {
            commands,
            ..Preview::default()
        }
    }

    fn probe(&self, cx: &Context, past: &Past<Self>) -> Result<(Look, Option<()>), Error> {
        Ok((self.look(cx, past)?, Some(())))
    }

    fn perform(&self, work: &mut Work<'_, Note>, _past: &Past<Self>) -> Result<(), Error> {
        self.bring_up(work)
    }

    fn undo(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<(), Error> {
        let now = self.now()?;
        if let Some(ident) = self.astray(work.all_noted(), now.as_ref()) {
            work.log_line(&unnamed(&self.pidfile, &ident));
            end(work, &ident, &[], GRACE)?;
        }
        let Some(record) = now else {
            work.log_line(&format!("there is no {}; nothing to stop", self.pidfile));
            return Ok(());
        };
        if record.alive() {
            if past.before.running.as_ref() == Some(&record.ident) {
                work.log_line(&format!(
                    "{} ran before this step and is left alone",
                    record.ident.shown()
                ));
                return Ok(());
            }
            if record.argv != self.argv {
                return Err(Error::new(format!(
                    "not stopped: {}",
                    other(&self.pidfile, &record)
                )));
            }
        }
        end(work, &record.ident, &[], GRACE)?;
        pidfile::remove(Path::new(&self.pidfile), &record.ident)
    }

    fn undone(&self, _cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        let now = self.now()?;
        if let Some(ident) = self.astray(past.noted(), now.as_ref()) {
            return Ok(Look::nothing(unnamed(&self.pidfile, &ident)));
        }
        let Some(record) = now else {
            return Ok(Look::done(format!("there is no {}", self.pidfile)));
        };
        let name = record.ident.shown();
        if record.alive() {
            return Ok(if past.before.running.as_ref() == Some(&record.ident) {
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

impl Start {
    /// One look at whether it runs and is ready.
    fn look(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        let now = self.now()?;
        if let Some(ident) = self.astray(past.noted(), now.as_ref()) {
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
}
