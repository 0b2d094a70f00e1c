//! The start of a service, whoever keeps it: refused while a stranger holds its port, proved by what answers, and
//! stopped again by its undo.
//!
//! What ran before the step is left alone by the undo.

use crate::action::{Action, Context, Direction, Error, Look, Past, Work};
use crate::actions::process::start::{self, Start};
use crate::failpoint;
use crate::host::process::note::{self, Note};
use crate::host::service::Ready;
use crate::host::service::by::Way;
use crate::host::service::found::Found;
use crate::host::service::keeper::Keeper;
use crate::host::service::launch::Doors;
use crate::text::actions as told;
use crate::text::settings as text;
use crate::time::Length;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Between the gentle signal and KILL when the start is undone.
const GRACE: Length = Length(30_000);

/// A start.
#[derive(Clone, Copy)]
pub(crate) struct Lift<'a> {
    /// Whose.
    pub(crate) keeper: Keeper<'a>,
    /// How it is known to be ready. Without it, living for half a second is enough.
    pub(crate) ready: Option<&'a Ready>,
    /// How long it may take to be ready.
    pub(crate) within: Length,
}

/// What was there before: a daemon of ours, or what was found of another service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Before {
    /// Of `process.start`.
    Daemon(start::Before),
    /// Of others.
    Found(Found),
}

/// The record, as the one or the other.
enum Known<'p> {
    Daemon(Start, Box<Past<Start>>),
    Found(&'p Found),
}

impl Lift<'_> {
    fn known<'p, A>(&self, past: &'p Past<A>) -> Result<Known<'p>, Error>
    where
        A: Action<Before = Before, Note = Note>,
    {
        match (self.own(), &past.before) {
            (Some(start), Before::Daemon(before)) => Ok(Known::Daemon(
                start,
                Box::new(Past {
                    before: before.clone(),
                    notes: past.notes.clone(),
                    output: None,
                }),
            )),
            (None, Before::Found(found)) => Ok(Known::Found(found)),
            (Some(_), Before::Found(_)) | (None, Before::Daemon(_)) => Err(Error::new(
                "what was observed is of another keeper than the settings name",
            )),
        }
    }

    /// A daemon of ours has a start of its own.
    fn own(&self) -> Option<Start> {
        match self.keeper.way() {
            Some(Way::Process(d)) => Some(d.start(self.ready.cloned(), self.within)),
            _ => None,
        }
    }

    fn doors(&self) -> Doors<'_> {
        Doors {
            ready: self.ready,
            ports: &[],
        }
    }

    fn within(&self) -> Duration {
        Duration::from_millis(self.within.0)
    }

    /// All that is to run does: each program of a group, and no orphan in the place of a master.
    fn up(&self, found: &Found) -> bool {
        let all = found.programs.iter().all(|p| p.state == "RUNNING");
        all && found.masters.iter().any(|m| !m.orphan)
    }

    /// What is there now, and all that the undo will need.
    pub(crate) fn observe(&self, cx: &Context) -> Result<Before, Error> {
        if let Some(start) = self.own() {
            return Ok(Before::Daemon(start.observe(cx)?));
        }
        let found = self.keeper.find(cx)?;
        self.refuse(&found)?;
        Ok(Before::Found(found))
    }

    /// Why it must not be started now.
    fn refuse(&self, now: &Found) -> Result<(), Error> {
        if let Some(orphan) = now.masters.iter().find(|m| m.orphan)
            && !self.up(now)
        {
            return Err(Error::new(format!(
                "not started: {} still accepts; stop it first",
                orphan.shown()
            )));
        }
        if now.masters.is_empty()
            && let Some(who) = self.doors().stranger()?
        {
            return Err(Error::new(format!("not started: {who}")));
        }
        Ok(())
    }

    /// What it does in that direction. What it starts is known without a look.
    pub(crate) fn outline(&self, direction: Direction) -> Vec<String> {
        if let Some(start) = self.own() {
            return start.outline(direction);
        }
        if direction == Direction::Undo {
            return vec![text::undo_start()];
        }
        let mut lines = self.keeper.start_commands(None);
        lines.extend(self.ready.iter().map(|r| told::wait_until(r.shown())));
        lines
    }

    /// What it does in that direction, of what is known.
    pub(crate) fn preview<A>(&self, direction: Direction, past: &Past<A>) -> Vec<String>
    where
        A: Action<Before = Before, Note = Note>,
    {
        if let Ok(Known::Daemon(start, past)) = self.known(past) {
            return start.preview(direction, &past).commands;
        }
        let mut lines = self.outline(direction);
        if direction == Direction::Undo {
            match self.keeper.way() {
                Some(Way::Supervisor(s)) => {
                    lines.push(format!("{} stop {}", s.ctl.join(" "), s.program));
                }
                _ => {
                    let ours = note::launches(past.noted(), &self.key()).last();
                    let name = crate::host::process::tree::name(self.keeper.kind.gentle());
                    lines.extend(ours.map(|p| told::signal_and_kill(name, GRACE, p.shown())));
                }
            }
        }
        lines
    }

    /// Whether it runs and is ready.
    pub(crate) fn probe<A>(&self, cx: &Context, past: &Past<A>) -> Result<(Look, Option<()>), Error>
    where
        A: Action<Before = Before, Note = Note>,
    {
        if let Known::Daemon(start, past) = self.known(past)? {
            return start.probe(cx, &past);
        }
        Ok((self.look(cx, past.noted())?, Some(())))
    }

    /// One look at whether it runs and is ready.
    fn look<'n>(
        &self,
        cx: &Context,
        notes: impl IntoIterator<Item = &'n Note>,
    ) -> Result<Look, Error> {
        let now = self.keeper.find(cx)?;
        if self.up(&now) {
            return self
                .doors()
                .wait(cx, self.within(), Duration::ZERO, &|| self.keeper.find(cx));
        }
        if now.runs() {
            let states = now.programs.iter();
            let states: Vec<String> = states
                .map(|p| format!("{} is {}", p.name, p.state))
                .collect();
            let text = format!("{} {}", states.join(", "), now.shown());
            // Several programs of which some run are started as they are needed.
            return Ok(if now.programs.iter().any(|p| p.state == "BACKOFF") {
                Look::unclear(text)
            } else {
                Look::nothing(text)
            });
        }
        if let Some(pid) = note::launched(notes, &self.key()) {
            return Ok(Look::unclear(format!(
                "{} was started by this step and is not seen as {}",
                pid.shown(),
                self.keeper.kind.name()
            )));
        }
        if let Some(who) = self.doors().stranger()? {
            return Ok(Look::unclear(who));
        }
        let mut look = Look::nothing(format!("nothing of {} runs", self.keeper.kind.name()));
        look.evidence.extend(now.notes);
        Ok(look)
    }

    fn key(&self) -> String {
        format!("{}-0", self.keeper.kind.name())
    }

    /// Starts it.
    pub(crate) fn perform<A>(&self, work: &mut Work<'_, Note>, past: &Past<A>) -> Result<(), Error>
    where
        A: Action<Before = Before, Note = Note>,
    {
        if let Known::Daemon(start, past) = self.known(past)? {
            return start.perform(work, &past);
        }
        self.refuse(&self.keeper.find(work.cx())?)?;
        failpoint::hit("service-start");
        self.keeper.start(work, None, self.doors(), self.within())
    }

    /// What was started: all that runs now and did not before.
    fn ours<'n>(
        &self,
        cx: &Context,
        before: &Found,
        notes: impl IntoIterator<Item = &'n Note>,
    ) -> Result<Found, Error> {
        let mut now = self.keeper.find(cx)?;
        now.masters.retain(|m| !before.knows(&m.ident));
        if let Some(ident) = note::launched(notes, &self.key())
            && !before.knows(&ident)
            && !now.all().contains(&ident)
        {
            let words = crate::system::proc::words(ident.pid);
            now.masters.extend(super::Master::look(cx, &ident, &words)?);
        }
        Ok(now)
    }

    /// Stops what it started.
    pub(crate) fn undo<A>(&self, work: &mut Work<'_, Note>, past: &Past<A>) -> Result<(), Error>
    where
        A: Action<Before = Before, Note = Note>,
    {
        let before = match self.known(past)? {
            Known::Daemon(start, past) => return start.undo(work, &past),
            Known::Found(before) => before,
        };
        let ours = self.ours(work.cx(), before, work.all_noted())?;
        if let Some(Way::Supervisor(s)) = self.keeper.way() {
            for program in &ours.programs {
                let ran = before
                    .programs
                    .iter()
                    .any(|b| b.name == program.name && b.wanted());
                if program.wanted() && !ran {
                    let one = super::by::Supervisor {
                        program: program.name.clone(),
                        ctl: s.ctl.clone(),
                    };
                    one.stop(work, &ours, Duration::from_millis(GRACE.0))?;
                }
            }
            return crate::host::process::tree::end(work, &ours, None, Duration::from_secs(2));
        }
        if ours.masters.is_empty() {
            work.log_line("nothing of it runs that did not run before");
            return Ok(());
        }
        self.keeper
            .stop(work, &ours, Duration::from_millis(GRACE.0))
    }

    /// Whether things are as before.
    pub(crate) fn undone<A>(&self, cx: &Context, past: &Past<A>) -> Result<Look, Error>
    where
        A: Action<Before = Before, Note = Note>,
    {
        let before = match self.known(past)? {
            Known::Daemon(start, past) => return start.undone(cx, &past),
            Known::Found(before) => before,
        };
        let ours = self.ours(cx, before, past.noted())?;
        if let Some(first) = ours.masters.first() {
            return Ok(Look::nothing(format!("{} lives", first.shown())));
        }
        Ok(match before.masters.first() {
            Some(first) if first.ident.alive() => {
                Look::done(format!("{} ran before this step", first.shown()))
            }
            Some(first) => Look::unclear(format!("{} ran before and has ended", first.shown())),
            None => Look::done(format!("nothing of {} runs", self.keeper.kind.name())),
        })
    }
}
