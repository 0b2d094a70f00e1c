//! `process.stop`: a daemon of ours ends in peace, or is killed after its grace, and its port is closed.
//!
//! Evidence: no process of its session lives, and the port does not accept. The undo starts it again from what the
//! pidfile said (command, directory, log); one that was told to end and has not ended yet is ended first. The environment of the process is not recorded, because it may hold secrets
//! and the record is for ever: the undo starts it with the environment of this step, so a plan gives this step the
//! `env` that the service needs.

use crate::action::values::{Port, absolute};
use crate::action::{Action, Context, Direction, Error, Look, Past, Preview, Properties, Work};
use crate::host::exec::quoted;
use crate::host::process::identity::{Ident, session};
use crate::host::process::note::{Note, was_signalled};
use crate::host::process::pidfile::{self, Record};
use crate::host::process::session::{Left, end, left, names};
use crate::host::service::daemon::{Daemon, bring_up, other};
use crate::host::service::ready::{Ready, accepts, taken};
use crate::text::actions as told;
use crate::text::settings as text;
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::{Duration, Instant};
use upledger_replay::event::Answer;

/// How long a port may stay open after its process has ended, and a restarted service may need.
const PORT: Duration = Duration::from_secs(30);

/// Stops a daemon that `process.start` started: TERM, time for work in flight, then KILL. Give the step the `env` of
/// the service: the undo starts it with that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// Where `process.start` keeps its number; an absolute path.
    pub pidfile: String,
    /// How long it has to end by itself before it is killed. Default: 30s.
    #[serde(default = "grace")]
    pub grace: Length,
    /// A port of this machine that must be closed afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
}

fn grace() -> Length {
    Length(30_000)
}

/// What was there before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// The process, where one lived.
    pub(crate) running: Option<Record>,
    /// The processes of its session, seen while it lived.
    pub(crate) session: Vec<Ident>,
    /// The process that had ended, where something of its session may be left.
    pub(crate) ended: Option<Record>,
}

impl Before {
    /// The first process of the service whose session has to be gone.
    fn leader(&self) -> Option<&Ident> {
        self.running
            .as_ref()
            .or(self.ended.as_ref())
            .map(|r| &r.ident)
    }

    /// What a stop of it has stopped.
    fn stopped(&self) -> Stopped {
        let names: Vec<String> = self.running.iter().map(|r| r.ident.shown()).collect();
        Stopped::of(&names)
    }
}

/// Who was stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stopped {
    /// How many first processes were stopped; 0 where nothing ran.
    pub stopped: u32,
    /// Which, for people.
    pub processes: String,
}

impl Stopped {
    /// These first processes.
    pub(crate) fn of(shown: &[String]) -> Self {
        Self {
            stopped: u32::try_from(shown.len()).unwrap_or(u32::MAX),
            processes: shown.join(", "),
        }
    }
}

impl Stop {
    /// Stops it now, apart from any run: for whoever ends what it has started itself.
    ///
    /// # Errors
    /// [`Error`] when something of it is left.
    pub fn stop_now(&self) -> Result<(), Error> {
        let cx = Context::default();
        let past = Past::new(self.observe(&cx)?);
        let mut unread = std::io::sink();
        self.perform(&mut Work::new(&cx, Direction::Do, &mut unread)?, &past)?;
        Ok(())
    }

    fn now(&self) -> Result<Option<Record>, Error> {
        pidfile::read(Path::new(&self.pidfile))
    }

    /// The process that lives now and is not the one that was observed.
    fn another(&self, was: Option<&Ident>) -> Result<Option<Record>, Error> {
        Ok(self.now()?.filter(|r| r.alive() && Some(&r.ident) != was))
    }

    fn open_port(&self) -> Option<String> {
        let port = self.port?;
        let open = accepts("127.0.0.1", port) || taken(port).is_some();
        open.then(|| {
            let who =
                taken(port).unwrap_or_else(|| "a process that cannot be seen from here".into());
            format!("port {port} is still open: {who} has it")
        })
    }

    fn ready(&self) -> Option<Ready> {
        self.port.map(|port| Ready {
            port: Some(port),
            ..Ready::default()
        })
    }
}

impl Action for Stop {
    type Before = Before;
    type Note = Note;
    type Output = Stopped;

    fn properties(&self) -> Properties {
        Properties::reversible()
    }

    fn problems(&self) -> Vec<String> {
        absolute("pidfile", &self.pidfile).into_iter().collect()
    }

    fn outline(&self, direction: Direction) -> Vec<String> {
        vec![match direction {
            Direction::Do => told::term_and_kill(self.grace, &self.pidfile),
            Direction::Undo => text::undo_stop(),
        }]
    }

    fn observe(&self, _cx: &Context) -> Result<Before, Error> {
        let (running, ended) = match self.now()? {
            Some(record) if record.alive() => (Some(record), None),
            now => (None, now.filter(|r| left(&r.ident, &[]) != Left::Nothing)),
        };
        let members = running.as_ref().map(|r| session(&r.ident));
        Ok(Before {
            running,
            session: members.unwrap_or_default(),
            ended,
        })
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        let running = past.before.running.as_ref();
        let command = match (direction, running) {
            (Direction::Do, Some(r)) => {
                let what = format!("{}: {}", r.ident.shown(), quoted(&r.argv));
                told::term_and_kill(self.grace, what)
            }
            (Direction::Do, None) => {
                told::term_and_kill(self.grace, told::nothing_lives(&self.pidfile))
            }
            (Direction::Undo, Some(r)) => told::start_daemon(quoted(&r.argv)),
            (Direction::Undo, None) => text::nothing_ran(),
        };
        Preview {
            commands: vec![command],
            ..Preview::default()
        }
    }

    fn probe(&self, _cx: &Context, past: &Past<Self>) -> Result<(Look, Option<Stopped>), Error> {
        Ok((self.look(past)?, Some(past.before.stopped())))
    }

    fn perform(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<Stopped, Error> {
        let before = &past.before;
        let was = before.leader();
        if let Some(record) = self.another(was)? {
            return Err(Error::new(format!(
                "not stopped: {} names {}, which was started after this step had looked",
                self.pidfile,
                record.ident.shown()
            )));
        }
        if let Some(ident) = was {
            let grace = Duration::from_millis(self.grace.0);
            end(work, ident, &before.session, grace)?;
            pidfile::remove(Path::new(&self.pidfile), ident)?;
        }
        let deadline = Instant::now() + PORT;
        while let Some(open) = self.open_port() {
            // Connections in the queue of a listener that is being closed take a moment. A stranger stays.
            if Instant::now() >= deadline || was.is_none() {
                return Err(Error::new(open));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(before.stopped())
    }

    fn undo(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<(), Error> {
        let before = &past.before;
        let Some(record) = &before.running else {
            work.log_line("nothing ran before; nothing to start");
            return Ok(());
        };
        let ident = &record.ident;
        let lives = ident.alive();
        let doomed = if lives {
            was_signalled(work.all_noted(), ident)
        } else {
            left(ident, &before.session) != Left::Nothing
        };
        if doomed {
            // Half ended it is of no use, and would be in the way of the new one.
            let grace = Duration::from_millis(self.grace.0);
            end(work, ident, &before.session, grace)?;
        } else if lives && self.now()?.is_none_or(|r| r.ident != *ident) {
            return Err(Error::new(format!(
                "not started: {} lives, but {} does not name it any more",
                ident.shown(),
                self.pidfile
            )));
        }
        let daemon = Daemon {
            pidfile: &self.pidfile,
            argv: &record.argv,
            cwd: &record.cwd,
            log: &record.log,
        };
        bring_up(work, &daemon, self.ready().as_ref(), PORT)
    }

    fn undone(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        let Some(was) = &past.before.running else {
            return Ok(Look::done("nothing ran before"));
        };
        let Some(now) = self.now()?.filter(Record::alive) else {
            return Ok(Look::nothing(format!("nothing of {} lives", self.pidfile)));
        };
        if now.ident == was.ident && was_signalled(past.noted(), &now.ident) {
            return Ok(Look::nothing(format!(
                "{} lives, but was told to end",
                now.ident.shown()
            )));
        }
        if now.argv != was.argv {
            return Ok(Look::unclear(other(&self.pidfile, &now)));
        }
        let mut look = match self.ready() {
            Some(ready) => ready.look(Some(&now.ident), &cx.redactor()?)?,
            None => Look::done("no port was named"),
        };
        if look.answer == Answer::Done {
            look.evidence
                .insert(0, format!("{} lives", now.ident.shown()));
        }
        Ok(look)
    }
}

impl Stop {
    /// One look at whether it is stopped.
    fn look(&self, past: &Past<Self>) -> Result<Look, Error> {
        let before = &past.before;
        let was = before.leader();
        if let Some(record) = self.another(was)? {
            let name = record.ident.shown();
            return Ok(match was {
                Some(_) => Look::unclear(format!("it was started again as {name}")),
                None => Look::nothing(format!("{name} lives")),
            });
        }
        let named = self.now()?.map(|r| r.ident);
        if let Some(ident) = was.or(named.as_ref()) {
            if ident.alive() {
                return Ok(Look::nothing(format!("{} lives", ident.shown())));
            }
            if let Left::These(rest) | Left::Untold(rest) = left(ident, &before.session) {
                return Ok(Look::unclear(format!(
                    "process {} has ended, but {} may be left of it",
                    ident.pid,
                    names(&rest)
                )));
            }
        }
        if let Some(open) = self.open_port() {
            return Ok(Look::unclear(open));
        }
        let mut look = Look::done(match was {
            Some(ident) => format!("process {} and its session have ended", ident.pid),
            None => format!("nothing of {} lives", self.pidfile),
        });
        look.evidence
            .extend(self.port.map(|p| format!("port {p} is closed")));
        Ok(look)
    }
}
