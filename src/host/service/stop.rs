//! The stop of a service, whoever keeps it: observed, stopped, proved, and started again by its undo.
//!
//! Evidence: no process of it lives, the ports that it accepted on and those that the settings name are closed, and
//! supervisord says so too where it keeps it. The undo starts it as it ran, by the same keeper and as the same user,
//! and proves that it accepts on its ports again. The environment of the process is not recorded, because it may hold
//! secrets and the record is for ever: the undo starts it with the environment of the step.

use crate::action::values::Port;
use crate::action::{Action, Context, Direction, Error, Look, Past, Work};
use crate::actions::process::stop::{self, Stop, Stopped};
use crate::failpoint;
use crate::host::process::note::{Note, was_signalled};
use crate::host::process::session::names;
use crate::host::process::{sockets, tree};
use crate::host::service::Ready;
use crate::host::service::by::Way;
use crate::host::service::found::Found;
use crate::host::service::keeper::Keeper;
use crate::host::service::launch::Doors;
use crate::text::actions as told;
use crate::text::settings as text;
use crate::time::Length;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// How long a port may stay open after its process has ended.
const PORT: Duration = Duration::from_secs(30);

/// A stop.
#[derive(Clone, Copy)]
pub(crate) struct Halt<'a> {
    /// Whose.
    pub(crate) keeper: Keeper<'a>,
    /// How long it has to end by itself before it is killed.
    pub(crate) grace: Length,
    /// A port that must be closed afterwards, beside those that it is seen to accept on.
    pub(crate) port: Option<Port>,
    /// How it is known to be ready again after the undo, beside its ports.
    pub(crate) ready: Option<&'a Ready>,
    /// How long it may take to be ready again.
    pub(crate) within: Length,
}

/// What was there before: a daemon of ours, or what was found of another service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Before {
    /// Of `process.start`.
    Daemon(stop::Before),
    /// Of others.
    Found(Found),
}

/// The record, as the one or the other.
enum Known<'p> {
    Daemon(Stop, Box<Past<Stop>>),
    Found(&'p Found),
}

impl Halt<'_> {
    fn known<'p, A>(&self, past: &'p Past<A>) -> Result<Known<'p>, Error>
    where
        A: Action<Before = Before, Note = Note>,
    {
        match (self.own(), &past.before) {
            (Some(stop), Before::Daemon(before)) => Ok(Known::Daemon(
                stop,
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

    /// Who was stopped.
    fn stopped(before: &Found) -> Stopped {
        let names: Vec<String> = before.masters.iter().map(super::Master::shown).collect();
        Stopped::of(&names)
    }

    /// A daemon of ours has a stop of its own.
    fn own(&self) -> Option<Stop> {
        match self.keeper.way() {
            Some(Way::Process(d)) => Some(d.stop(self.grace, self.port)),
            _ => None,
        }
    }

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
        if let Some(stop) = self.own() {
            return Ok(Before::Daemon(stop.observe(cx)?));
        }
        let found = self.keeper.find(cx)?;
        // Refused before anything is done, so that nobody has to decide about a doubt.
        if let Some(why) = found.astray(self.keeper.kind.name()) {
            return Err(Error::new(why));
        }
        self.keeper.restartable(&found)?;
        Ok(Before::Found(found.keep_commands(cx)?))
    }

    /// What it does in that direction, before anything was looked at.
    pub(crate) fn outline(&self, direction: Direction) -> Vec<String> {
        if direction == Direction::Undo {
            return vec![text::undo_stop()];
        }
        if let Some(stop) = self.own() {
            return stop.outline(direction);
        }
        vec![match self.keeper.way() {
            Some(Way::Supervisor(s)) => format!("{} stop {}", s.ctl.join(" "), s.program),
            _ => {
                let name = tree::name(self.keeper.kind.gentle());
                told::signal_and_kill(name, self.grace, self.keeper.kind.name())
            }
        }]
    }

    /// What it does in that direction to what was found.
    pub(crate) fn preview<A>(&self, direction: Direction, past: &Past<A>) -> Vec<String>
    where
        A: Action<Before = Before, Note = Note>,
    {
        let found = match self.known(past) {
            Ok(Known::Daemon(stop, past)) => return stop.preview(direction, &past).commands,
            Ok(Known::Found(found)) => found,
            Err(e) => return vec![told::looked(e)],
        };
        if direction == Direction::Undo {
            return match found.runs() {
                true => self.keeper.start_commands(Some(found)),
                false => vec![text::nothing_ran()],
            };
        }
        let mut lines = match self.keeper.way() {
            Some(Way::Supervisor(s)) => vec![format!("{} stop {}", s.ctl.join(" "), s.program)],
            _ => {
                let name = tree::name(self.keeper.kind.gentle());
                found
                    .masters
                    .iter()
                    .map(|m| told::signal_and_kill(name, self.grace, m.shown()))
                    .collect()
            }
        };
        let name = self.keeper.kind.name();
        if let Some(why) = found.astray(name) {
            lines.push(why);
        } else if !found.runs() {
            lines.push(told::nothing_runs(name));
        }
        lines.extend(found.notes.iter().map(told::looked));
        lines
    }

    /// Whether it is stopped, and who then was.
    pub(crate) fn probe<A>(
        &self,
        cx: &Context,
        past: &Past<A>,
    ) -> Result<(Look, Option<Stopped>), Error>
    where
        A: Action<Before = Before, Note = Note>,
    {
        match self.known(past)? {
            Known::Daemon(stop, past) => stop.probe(cx, &past),
            Known::Found(before) => Ok((self.look(cx, before)?, Some(Self::stopped(before)))),
        }
    }

    /// One look at whether it is stopped.
    fn look(&self, cx: &Context, before: &Found) -> Result<Look, Error> {
        let now = self.keeper.find(cx)?;
        let new = now.masters.iter().find(|m| !before.knows(&m.ident));
        if let Some(new) = new {
            return Ok(if before.runs() {
                Look::unclear(format!("it was started again as {}", new.shown()))
            } else {
                Look::nothing(format!("{} lives", new.shown()))
            });
        }
        if now.runs() {
            let state: Vec<String> = now
                .programs
                .iter()
                .filter(|p| p.wanted())
                .map(|p| format!("{} is {}", p.name, p.state))
                .collect();
            let lives = now.masters.iter().map(|m| format!("{} lives", m.shown()));
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
            && let Some(why) = now.astray(self.keeper.kind.name())
        {
            return Ok(Look::unclear(why));
        }
        let left = self.keeper.left(before);
        if let Some(first) = before.masters.iter().find(|m| m.ident.alive()) {
            // Its keeper does not show it any more, and it lives all the same.
            return Ok(Look::nothing(format!("{} lives", first.shown())));
        }
        if !left.is_empty() {
            return Ok(Look::unclear(format!(
                "its first process has ended, but {} is left of it",
                names(&left)
            )));
        }
        let ports = self.ports(before);
        if let Some(open) = sockets::open(&ports)? {
            return Ok(Look::unclear(open));
        }
        let mut look = Look::done(if before.runs() {
            format!("{} and all below it have ended", before.shown())
        } else {
            format!("nothing of {} runs", self.keeper.kind.name())
        });
        let states = now.programs.iter();
        look.evidence
            .extend(states.map(|p| format!("{} is {}", p.name, p.state)));
        look.evidence.extend(now.notes);
        if !ports.is_empty() {
            let each: Vec<String> = ports.iter().map(u16::to_string).collect();
            look.evidence
                .push(format!("closed: port {}", each.join(", ")));
        }
        Ok(look)
    }

    /// Stops it.
    pub(crate) fn perform<A>(
        &self,
        work: &mut Work<'_, Note>,
        past: &Past<A>,
    ) -> Result<Stopped, Error>
    where
        A: Action<Before = Before, Note = Note>,
    {
        let before = match self.known(past)? {
            Known::Daemon(stop, past) => return stop.perform(work, &past),
            Known::Found(before) => before,
        };
        let cx = work.cx();
        let now = self.keeper.find(cx)?;
        for note in &now.notes {
            work.log_line(note);
        }
        if let Some(new) = now.masters.iter().find(|m| !before.knows(&m.ident)) {
            return Err(Error::new(format!(
                "not stopped: {} was started after this step had looked",
                new.shown()
            )));
        }
        if !before.runs()
            && let Some(why) = now.astray(self.keeper.kind.name())
        {
            return Err(Error::new(format!("not stopped: {why}")));
        }
        failpoint::hit("service-stop");
        self.keeper.stop(work, before, self.grace())?;
        failpoint::hit("service-stopped");
        // Workers that a dying master forked between two looks show themselves now.
        let late = match self.keeper.way() {
            // It tells of no workers, and its stop has just asked.
            Some(Way::Supervisor(_)) => Found::default(),
            _ => self.keeper.find(cx)?,
        };
        if late.masters.iter().any(|m| m.orphan) {
            let orphans = Found {
                masters: late.masters.into_iter().filter(|m| m.orphan).collect(),
                ..Found::default()
            };
            work.log_line(&format!("left of it: {}", orphans.shown()));
            self.keeper.stop(work, &orphans, self.grace())?;
        }
        for socket in sockets::leftover(&before.sockets) {
            sockets::remove(&socket)?;
            work.log_line(&format!(
                "removed the socket {socket}, which nobody accepts on"
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
        Ok(Self::stopped(before))
    }

    fn doors<'b>(&'b self, before: &'b Found) -> Doors<'b> {
        Doors {
            ready: self.ready,
            ports: &before.ports,
        }
    }

    /// Starts it again as it ran.
    pub(crate) fn undo<A>(&self, work: &mut Work<'_, Note>, past: &Past<A>) -> Result<(), Error>
    where
        A: Action<Before = Before, Note = Note>,
    {
        let before = match self.known(past)? {
            Known::Daemon(stop, past) => return stop.undo(work, &past),
            Known::Found(before) => before,
        };
        if !before.runs() {
            work.log_line("nothing ran before; nothing to start");
            return Ok(());
        }
        let mut doomed = false;
        for master in &before.masters {
            doomed |= !master.ident.alive() || was_signalled(work.all_noted(), &master.ident);
        }
        if doomed && !self.keeper.left(before).is_empty() {
            // Half ended it is of no use, and would be in the way of the new one.
            work.log_line("what is left of it is ended first");
            self.keeper.stop(work, before, self.grace())?;
        }
        let within = Duration::from_millis(self.within.0);
        self.keeper
            .start(work, Some(before), self.doors(before), within)
    }

    /// Whether it runs as before.
    pub(crate) fn undone<A>(&self, cx: &Context, past: &Past<A>) -> Result<Look, Error>
    where
        A: Action<Before = Before, Note = Note>,
    {
        let before = match self.known(past)? {
            Known::Daemon(stop, past) => return stop.undone(cx, &past),
            Known::Found(before) => before,
        };
        if !before.runs() {
            return Ok(Look::done("nothing ran before"));
        }
        let now = self.keeper.find(cx)?;
        for master in &now.masters {
            if before.knows(&master.ident) && was_signalled(past.noted(), &master.ident) {
                return Ok(Look::nothing(format!(
                    "{} lives, but was told to end",
                    master.shown()
                )));
            }
        }
        let down: Vec<String> = before
            .programs
            .iter()
            .filter(|p| p.state == "RUNNING")
            .filter(|p| {
                let mut running = now.programs.iter().filter(|n| n.state == "RUNNING");
                !running.any(|n| n.name == p.name)
            })
            .map(|p| p.name.clone())
            .collect();
        if !down.is_empty() {
            return Ok(Look::nothing(format!("{} does not run", down.join(", "))));
        }
        let within = Duration::from_secs(5).min(Duration::from_millis(self.within.0));
        self.doors(before)
            .wait(cx, within, Duration::ZERO, &|| self.keeper.find(cx))
    }
}
