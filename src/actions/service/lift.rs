//! The start of a service, whoever keeps it: refused while a stranger holds its port, proved by what answers, and
//! stopped again by its undo.
//!
//! What ran before the step is left alone by the undo.

use super::by::Way;
use super::found::Found;
use super::keeper::Keeper;
use super::launch::Doors;
use crate::action::{Direction, Work};
use crate::actions::process::Ready;
use crate::actions::process::note::{self, Note};
use crate::actions::process::start::Start;
use crate::actions::run::quoted;
use crate::actions::{Action, Context, Error, Look};
use crate::failpoint;
use crate::text::actions as told;
use crate::time::Length;
use serde_json::Value;
use std::io::Write;
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

impl Lift<'_> {
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
    pub(crate) fn observe(&self, cx: &Context) -> Result<Value, Error> {
        if let Some(start) = self.own() {
            return start.observe(cx);
        }
        let found = self.keeper.find(cx)?;
        self.refuse(&found)?;
        found.value()
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

    /// What it does, in lines for people.
    pub(crate) fn commands(&self, cx: &Context) -> Vec<String> {
        if let Some(start) = self.own() {
            return start.commands(cx);
        }
        let mut lines = match (self.keeper.way(), self.keeper.by) {
            (Some(Way::Supervisor(s)), _) => {
                vec![format!("{} start {}", s.ctl.join(" "), s.program)]
            }
            (_, Some(by)) if !by.start.is_empty() => vec![quoted(&by.start)],
            _ => self
                .keeper
                .kind
                .command()
                .iter()
                .map(|a| quoted(a))
                .collect(),
        };
        lines.extend(self.ready.iter().map(|r| told::wait_until(r.shown())));
        lines
    }

    /// Whether it runs and is ready.
    pub(crate) fn probe(&self, cx: &Context, observed: &Value) -> Result<Look, Error> {
        if let Some(start) = self.own() {
            return start.probe(cx, observed);
        }
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
        if let Some(pid) = note::launched(&[], &self.key()) {
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
    pub(crate) fn perform(
        &self,
        cx: &Context,
        observed: &Value,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        if let Some(start) = self.own() {
            return start.perform(cx, observed, out);
        }
        self.refuse(&self.keeper.find(cx)?)?;
        failpoint::hit("service-start");
        let mut work = Work::new(cx, Direction::Do, out)?;
        self.keeper
            .start(&mut work, None, self.doors(), self.within())
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
            let words = super::supervisor::words_of(ident.pid);
            now.masters.extend(super::Master::look(cx, &ident, &words)?);
        }
        Ok(now)
    }

    /// Stops what it started.
    pub(crate) fn undo(
        &self,
        cx: &Context,
        observed: &Value,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        if let Some(start) = self.own() {
            return start.undo(cx, observed, out);
        }
        let before = Found::of(observed)?;
        let mut work = Work::new(cx, Direction::Undo, out)?;
        let ours = self.ours(cx, &before, work.all_noted())?;
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
                    one.stop(&mut work, &ours, Duration::from_millis(GRACE.0))?;
                }
            }
            return super::tree::end(&mut work, &ours, None, Duration::from_secs(2));
        }
        if ours.masters.is_empty() {
            work.say("nothing of it runs that did not run before");
            return Ok(());
        }
        self.keeper
            .stop(&mut work, &ours, Duration::from_millis(GRACE.0))
    }

    /// Whether things are as before.
    pub(crate) fn undone(&self, cx: &Context, observed: &Value) -> Result<Look, Error> {
        if let Some(start) = self.own() {
            return start.undone(cx, observed);
        }
        let before = Found::of(observed)?;
        let ours = self.ours(cx, &before, &[])?;
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
