//! The stop of a service, whoever manages it: observed, stopped, proved, and started again by its undo.
//!
//! Evidence: no process of it lives, the ports that it accepted on and those that the settings name are closed, and
//! a manager says so too. The undo starts it as it ran, by the same manager and as the same user,
//! and proves that it accepts on its ports again. The environment of the process is not recorded, because it may hold
//! secrets and the record is for ever: the undo starts it with the environment of the step.

use super::found::{Found, Master, Program};
use super::launch::Readiness;
use super::{Before, ManagedService, Ready};
use crate::action::values::Port;
use crate::action::{Context, Direction, Error, Look, Work};
use crate::failpoint;
use crate::host::process::note::{Note, was_signalled};
use crate::host::process::session::names;
use crate::host::process::sockets;
use crate::text::actions as phrases;
use crate::text::settings as text;
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// How long a port may stay open after its process has ended.
const PORT: Duration = Duration::from_secs(30);

/// A stop.
#[derive(Clone, Copy)]
pub(crate) struct StopService<'a> {
    /// Whose.
    pub(crate) service: ManagedService<'a>,
    /// How long it has to end by itself before it is killed.
    pub(crate) grace: Length,
    /// A port that must be closed afterwards, in addition to those on which it was found listening.
    pub(crate) port: Option<Port>,
    /// How it is known to be ready again after the undo, beside its ports.
    pub(crate) ready: Option<&'a Ready>,
    /// How long it may take to be ready again.
    pub(crate) within: Length,
}

/// Who was stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stopped {
    /// The number of main processes that were stopped; 0 if none was running.
    pub stopped: u32,
    /// The processes, as text.
    pub processes: String,
}

impl Stopped {
    fn of(before: &Found) -> Self {
        let lived = before
            .masters
            .iter()
            .filter(|m| !m.orphan || m.ident.listed());
        let names: Vec<String> = lived.map(Master::shown).collect();
        Self {
            stopped: u32::try_from(names.len()).unwrap_or(u32::MAX),
            processes: names.join(", "),
        }
    }
}

impl StopService<'_> {
    fn grace(&self) -> Duration {
        Duration::from_millis(self.grace.0)
    }

    fn ports(&self, before: &Found) -> Vec<u16> {
        let mut ports = before.ports.clone();
        ports.extend(self.port.map(|p| p.0).filter(|p| !before.ports.contains(p)));
        ports
    }

    /// What is there now, and all that the undo will need.
    pub(crate) fn observe(&self, cx: &Context) -> Result<Before, Error> {
        let found = self.service.find(cx)?;
        // Refused before anything is done, so that nobody has to decide about a doubt.
        if let Some(why) = found.astray(self.service.kind.name()) {
            return Err(Error::new(why));
        }
        if !self.service.manager.restarts() {
            found.may_signal()?;
        }
        self.service
            .manager
            .restartable(self.service.kind, &found)?;
        Ok(Before(found.keep_commands(cx)?))
    }

    /// What it does in that direction, before anything was looked at.
    pub(crate) fn outline(&self, direction: Direction) -> Vec<String> {
        if direction == Direction::Undo {
            return vec![text::undo_stop()];
        }
        let service = &self.service;
        let manager = service.manager;
        manager.stop_commands(service.kind, self.grace, None)
    }

    /// What it does in that direction to what was found.
    pub(crate) fn preview(&self, direction: Direction, found: &Found) -> Vec<String> {
        let service = &self.service;
        if direction == Direction::Undo {
            return match found.runs() {
                true => service.manager.start_commands(service.kind, Some(found)),
                false => vec![text::nothing_ran()],
            };
        }
        let manager = service.manager;
        let mut lines = manager.stop_commands(service.kind, self.grace, Some(found));
        let name = self.service.kind.name();
        if let Some(why) = found.astray(name) {
            lines.push(why);
        } else if !found.runs() {
            lines.push(phrases::nothing_runs(self.service.kind.localized()));
        }
        lines.extend(found.notes.iter().map(phrases::looked));
        lines
    }

    /// Whether it is stopped, and who then was.
    pub(crate) fn probe(
        &self,
        cx: &Context,
        before: &Found,
    ) -> Result<(Look, Option<Stopped>), Error> {
        Ok((self.look(cx, before)?, Some(Stopped::of(before))))
    }

    /// One look at whether it is stopped.
    fn look(&self, cx: &Context, before: &Found) -> Result<Look, Error> {
        let now = self.service.find(cx)?;
        let new = now.masters.iter().find(|m| !before.knows(&m.ident));
        if let Some(new) = new {
            return Ok(if before.runs() {
                Look::unclear(format!("it was started again as {}", new.shown()))
            } else {
                Look::nothing(format!("{} is running", new.shown()))
            });
        }
        if now.runs() {
            let state: Vec<String> = now
                .programs
                .iter()
                .filter(|p| p.is_wanted())
                .map(Program::shown)
                .collect();
            let lives = now
                .masters
                .iter()
                .map(|m| format!("{} is running", m.shown()));
            return Ok(Look::nothing(
                state
                    .into_iter()
                    .chain(lives)
                    .collect::<Vec<_>>()
                    .join("; "),
            ));
        }
        // Where it ran, its own processes and its ports tell; a worker that shows no place may be of another.
        if !before.runs()
            && let Some(why) = now.astray(self.service.kind.name())
        {
            return Ok(Look::unclear(why));
        }
        let left = self.service.manager.left(before);
        if let Some(first) = before.masters.iter().find(|m| m.ident.alive()) {
            // Its manager does not show it any more, and it lives all the same.
            return Ok(Look::nothing(format!("{} is running", first.shown())));
        }
        if !left.is_empty() {
            return Ok(Look::unclear(format!(
                "its main process has ended, but {} is still running",
                names(&left)
            )));
        }
        let ports = self.ports(before);
        if let Some(open) = sockets::open(&ports)? {
            return Ok(Look::unclear(open));
        }
        let mut look = Look::done(if before.runs() {
            format!("{} and its child processes have ended", before.shown())
        } else {
            format!("no process of {} is running", self.service.kind.name())
        });
        let states = now.programs.iter();
        look.evidence.extend(states.map(Program::shown));
        look.evidence.extend(now.notes);
        if !ports.is_empty() {
            let each: Vec<String> = ports.iter().map(u16::to_string).collect();
            look.evidence
                .push(format!("closed: port {}", each.join(", ")));
        }
        Ok(look)
    }

    /// Stops it.
    pub(crate) fn perform(
        &self,
        work: &mut Work<'_, Note>,
        before: &Found,
    ) -> Result<Stopped, Error> {
        let cx = work.cx();
        let now = self.service.find(cx)?;
        for note in &now.notes {
            work.log_line(note);
        }
        if let Some(new) = now.masters.iter().find(|m| !before.knows(&m.ident)) {
            return Err(Error::new(format!(
                "not stopped: {} was started after this step had observed the service",
                new.shown()
            )));
        }
        if !before.runs()
            && let Some(why) = now.astray(self.service.kind.name())
        {
            return Err(Error::new(format!("not stopped: {why}")));
        }
        failpoint::hit("service-stop");
        self.end(work, before)?;
        failpoint::hit("service-stopped");
        // Workers that a dying master forked between two looks show themselves now.
        let late = match self.service.manager.restarts() {
            // It tells of no workers, and its stop has just asked.
            true => Found::default(),
            false => self.service.find(cx)?,
        };
        if late.masters.iter().any(|m| m.orphan) {
            let orphans = Found {
                masters: late.masters.into_iter().filter(|m| m.orphan).collect(),
                ..Found::default()
            };
            work.log_line(&format!("still running: {}", orphans.shown()));
            self.end(work, &orphans)?;
        }
        for socket in sockets::leftover(&before.sockets) {
            sockets::remove(&socket)?;
            work.log_line(&format!(
                "removed the socket {socket}, which accepts no connections"
            ));
        }
        let ports = self.ports(before);
        let deadline = Instant::now() + PORT;
        while let Some(open) = sockets::open(&ports)? {
            // Connections in the queue of a listener that is being closed take a moment. A stranger stays.
            if Instant::now() >= deadline || !before.runs() {
                return Err(Error::new(open));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(Stopped::of(before))
    }

    fn readiness<'b>(&'b self, before: &'b Found) -> Readiness<'b> {
        Readiness {
            ready: self.ready,
            ports: &before.ports,
        }
    }

    /// Starts it again as it ran.
    pub(crate) fn undo(&self, work: &mut Work<'_, Note>, before: &Found) -> Result<(), Error> {
        if !before.runs() {
            work.log_line("nothing was running before; nothing to start");
            return Ok(());
        }
        let mut doomed = false;
        for master in &before.masters {
            doomed |= !master.ident.alive() || was_signalled(work.all_noted(), &master.ident);
        }
        if doomed && !self.service.manager.left(before).is_empty() {
            // Half ended it is of no use, and would be in the way of the new one.
            work.log_line("its remaining processes are stopped first");
            self.end(work, before)?;
        }
        let within = Duration::from_millis(self.within.0);
        let (manager, kind) = (self.service.manager, self.service.kind);
        manager.start(work, kind, Some(before), self.readiness(before), within)
    }

    fn end(&self, work: &mut Work<'_, Note>, found: &Found) -> Result<(), Error> {
        let service = &self.service;
        service
            .manager
            .stop(work, service.kind, found, self.grace())
    }

    /// Whether it runs as before.
    pub(crate) fn undone<'n>(
        &self,
        cx: &Context,
        before: &Found,
        notes: impl Iterator<Item = &'n Note> + Clone,
    ) -> Result<Look, Error> {
        if !before.runs() {
            return Ok(Look::done("nothing was running before"));
        }
        let now = self.service.find(cx)?;
        for master in &now.masters {
            if before.knows(&master.ident) && was_signalled(notes.clone(), &master.ident) {
                return Ok(Look::nothing(format!(
                    "{} is running, but has been signalled to stop",
                    master.shown()
                )));
            }
        }
        let down: Vec<String> = before
            .programs
            .iter()
            .filter(|p| p.is_running())
            .filter(|p| {
                let mut running = now.programs.iter().filter(|n| n.is_running());
                !running.any(|n| n.name == p.name)
            })
            .map(|p| p.name.clone())
            .collect();
        if !down.is_empty() {
            return Ok(Look::nothing(format!("{} is not running", down.join(", "))));
        }
        let within = Duration::from_secs(5).min(Duration::from_millis(self.within.0));
        self.readiness(before)
            .wait(cx, within, Duration::ZERO, &|| self.service.find(cx))
    }
}
