//! The stop of a service, whoever manages it: observed, stopped, proved, and started again by its undo.
//!
//! Evidence: no process of it lives, the ports that it accepted on and those that the settings name are closed, and
//! a manager says so too. The undo starts it as it ran, by the same manager and as the same user,
//! and proves that it accepts on its ports again. The environment of the process is not recorded, because it may hold
//! secrets and the record is for ever: the undo starts it with the environment of the step.

use super::found::{Found, Master, Program};
use super::launch::Readiness;
use super::start::Judged;
use super::{Before, ManagedService, Ready, Role};
use super::{claim, release, set};
use crate::action::values::Port;
use crate::action::{Context, Direction, Error, Look, Work};
use crate::failpoint;
use crate::host::process::ending::{self, Grace};
use crate::host::process::identity::Ident;
use crate::host::process::list::Other;
use crate::host::process::note::{Note, was_signalled};
use crate::host::process::session::names;
use crate::host::process::sockets;
use crate::host::process::tree::{self, Descendants};
use crate::text::actions as phrases;
use crate::text::settings as text;
use crate::time::Length;
use rustix::process::Signal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::{Duration, Instant};
use upledger_replay::event::Answer;

/// How long a port may stay open after its process has ended.
const PORT: Duration = Duration::from_secs(30);

/// How long a service has to end, where neither the settings nor its manager say it.
const GRACE: Length = Length(30_000);
/// How long one look waits for the end of what was told to end.
const ENDING: Duration = Duration::from_secs(20);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// A stop.
#[derive(Clone, Copy)]
pub(crate) struct StopService<'a> {
    /// Whose.
    pub(crate) service: ManagedService<'a>,
    /// How long it has to end by itself before it is killed. Default: half a minute, or what its manager gives it.
    pub(crate) grace: Option<Length>,
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
    /// How long what was found has to end.
    fn grace(&self, found: Option<&Found>) -> Length {
        let kept = found.and_then(Found::wait).map(Length);
        self.grace.unwrap_or(kept.map_or(GRACE, |k| k.max(GRACE)))
    }

    fn clock(&self, found: &Found) -> Grace {
        Duration::from_millis(self.grace(Some(found)).0).into()
    }

    fn ports(&self, before: &Found) -> Vec<u16> {
        let mut ports = before.ports.clone();
        // Where nothing was found, whoever holds the port that it is to answer on is told of.
        let own = self.ready.and_then(|r| r.port).filter(|_| !before.runs());
        ports.extend(own.map(|p| p.0));
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
        let (manager, kind) = (self.service.manager, self.service.kind);
        manager.complete(cx, &found)?;
        if let Some(why) = manager.mismatch(&found) {
            return Err(Error::new(why));
        }
        self.ends(&found)?;
        if !manager.restarts() {
            found.may_signal()?;
        }
        manager.restartable(kind, &found)?;
        Ok(Before(found.with_start_dirs(kind).keep_commands(cx)?))
    }

    /// Refuses what is known not to end by the signal that it would get.
    fn ends(&self, found: &Found) -> Result<(), Error> {
        const TERM: i32 = Signal::TERM.as_raw();
        let signals: Vec<i32> = found.programs.iter().filter_map(|p| p.signal).collect();
        let term = match found.programs.is_empty() {
            true => !self.service.kind.named_signal(),
            false => signals.contains(&TERM),
        };
        let remedy = match found.programs.is_empty() {
            true => "set `signal`",
            false => "set the stop signal in the configuration of its manager",
        };
        let known = |m: &Master| claim::otherwise_on_term(m).map(|what| (m.shown(), what));
        match found.masters.iter().find_map(known).filter(|_| term) {
            Some((shown, what)) => Err(Error::new(format!("{shown} {what}; {remedy}"))),
            None => Ok(()),
        }
    }

    /// What it does in that direction, before anything was looked at.
    pub(crate) fn outline(&self, direction: Direction) -> Vec<String> {
        if direction == Direction::Undo {
            return vec![text::undo_stop()];
        }
        let service = &self.service;
        let manager = service.manager;
        manager.stop_commands(service.kind, self.grace(None), None)
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
        let grace = self.grace(Some(found));
        let mut lines = manager.stop_commands(service.kind, grace, Some(found));
        if let Some(members) = set::members(manager, found) {
            lines.insert(1.min(lines.len()), members);
        }
        let name = self.service.kind.name();
        if let Some(why) = found.astray(name) {
            lines.push(why);
        } else if !found.runs() {
            lines.push(phrases::nothing_runs(self.service.kind.localized()));
        }
        // What was seen of it comes before what its manager is known to do.
        let notes = found.notes.iter().map(phrases::looked);
        let behind = lines.len().min(1);
        lines.splice(behind..behind, notes);
        lines
    }

    /// Whether it is stopped, and who then was. What an earlier attempt has told to end may do so at any moment.
    pub(crate) fn probe<'n>(
        &self,
        cx: &Context,
        before: &Found,
        notes: impl Iterator<Item = &'n Note> + Clone,
    ) -> Result<(Look, Option<Stopped>), Error> {
        let all = before.all();
        // A manager may be asked again: it knows whom it has told.
        let ours = !self.service.manager.restarts();
        let told: Vec<&Ident> = all
            .iter()
            .filter(|i| ours && was_signalled(notes.clone(), i))
            .collect();
        let rest = self.clock(before).since(notes, &told).left().min(ENDING);
        let until = Instant::now() + rest;
        while told.iter().any(|i| i.alive()) && Instant::now() < until {
            std::thread::sleep(PAUSE);
        }
        if !told.is_empty() {
            cx.look_anew();
        }
        let mut look = self.look(cx, before)?;
        if let Some(alive) = told.iter().find(|i| i.alive())
            && look.answer == Answer::Nothing
        {
            look = Look::unclear(format!(
                "{} was told to end by an earlier attempt and is still running",
                alive.shown()
            ));
        }
        Ok((look, Some(Stopped::of(before))))
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
        // A manager starts anew what ends, and stops whatever it runs then.
        let restarts = self.service.manager.restarts();
        let mut new = now.masters.iter().filter(|m| !before.knows(&m.ident));
        if let Some(new) = new.next().filter(|_| !restarts) {
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
        // An undo would not start it again.
        if let Some(added) = set::added(self.service.manager, before, &now) {
            return Err(Error::new(format!(
                "not stopped: {} was added to the set after this step had observed it",
                added.shown()
            )));
        }
        failpoint::hit("service-stop");
        let clock = self.clock(before);
        let runs_now = restarts && before.runs() && now.runs();
        self.end(work, if runs_now { &now } else { before }, clock)?;
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
            self.end(work, &orphans, clock)?;
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

    /// The same, its undo judged as the plan's own start is, where the stop itself says nothing else.
    pub(crate) fn judged_as<'b>(&'b self, start: Option<&'b Judged>) -> StopService<'b> {
        StopService {
            ready: self.ready.or(start.and_then(|s| s.ready.as_ref())),
            within: start.map_or(self.within, |s| s.within.max(self.within)),
            ..*self
        }
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
        let clock = self.clock(before);
        let mut doomed = false;
        for master in &before.masters {
            doomed |= !master.ident.alive() || was_signalled(work.all_noted(), &master.ident);
        }
        if doomed && !self.service.manager.left(before).is_empty() {
            // Half ended it is of no use, and would be in the way of the new one.
            work.log_line("its remaining processes are stopped first");
            self.end(work, before, clock)?;
        }
        let within = Duration::from_millis(self.within.0);
        let (manager, kind) = (self.service.manager, self.service.kind);
        // One of its name is in the way of the one that was there.
        let mut other = self.service.find(work.cx())?;
        for line in set::changes(manager, before, &other, "") {
            work.log_line(&line);
        }
        other.masters.retain(|m| self.differs(m, before).is_some());
        if !other.masters.is_empty() {
            for master in &other.masters {
                let why = self.differs(master, before).unwrap_or_default();
                work.log_line(&format!("{why}; it is stopped first"));
            }
            self.end(work, &other, self.clock(&other))?;
        }
        manager.start(work, kind, Some(before), self.readiness(before), within)
    }

    /// Why that process is not what ran before, or what the settings start in its place.
    fn differs(&self, now: &Master, before: &Found) -> Option<String> {
        let start = self.service.manager.start_argv();
        if start.is_empty() || before.knows(&now.ident) {
            return release::differs(now, before);
        }
        let dirs = self.service.manager.dir().map(Path::new).into_iter();
        release::outdated(now, dirs, start)
    }

    /// Why what runs now is not all of what ran before.
    fn mismatch(&self, now: &Found, before: &Found) -> Option<String> {
        let differs = now.roots().find_map(|m| self.differs(m, before));
        let same =
            |n: &Master, b: &Master| release::is_same(n, b) && n.argv.get(1) == b.argv.get(1);
        let is_there = |b: &&Master| now.masters.iter().any(|n| same(n, b));
        let start = self.service.manager.start_argv();
        let complete = !start.is_empty() || !before.programs.is_empty();
        let lacks = before.roots().find(|b| !complete && !is_there(b));
        differs.or_else(|| lacks.map(|m| format!("{} does not run again", m.shown())))
    }

    fn end(&self, work: &mut Work<'_, Note>, found: &Found, grace: Grace) -> Result<(), Error> {
        let service = &self.service;
        if found.is_cut_off(service.kind) {
            self.ask_first(work, found, grace)?;
        }
        service.manager.stop(work, service.kind, found, grace)
    }

    /// Lets it finish its work before its manager asks it by a signal that cuts it off. What the manager starts again
    /// meanwhile has little to lose.
    fn ask_first(
        &self,
        work: &mut Work<'_, Note>,
        found: &Found,
        grace: Grace,
    ) -> Result<(), Error> {
        let kind = self.service.kind;
        let first = |i: &Ident| {
            let process = Other::of(i.pid);
            process.is_some_and(|p| kind.role(&p) == Some(Role::Master))
        };
        // Not the shell that its manager may have started it by.
        let first: Vec<Ident> = found.all().into_iter().filter(first).collect();
        let shown: Vec<(&Ident, String)> = first.iter().map(|i| (i, i.shown())).collect();
        let known = tree::living(&first);
        let mut whom = Descendants { known };
        let left = ending::ask(
            work,
            &mut whom,
            &shown,
            kind.gentle(),
            "all of it has",
            grace,
        )?;
        if left.is_empty() {
            return Ok(());
        }
        let (late, name) = (self.grace(Some(found)), tree::name(kind.gentle()));
        work.escalate(&format!(
            "not ended within {late} after {name}; its manager cuts it off by TERM: {}",
            names(&left)
        ))
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
            let mut look = Look::nothing(format!("{} is not running", down.join(", ")));
            let manager = self.service.manager;
            look.evidence
                .extend(set::changes(manager, before, &now, ""));
            return Ok(look);
        }
        let within = Duration::from_secs(5).min(Duration::from_millis(self.within.0));
        let until = Instant::now() + within;
        let find = || self.service.find(cx);
        let look = self
            .readiness(before)
            .wait(cx, within, Duration::ZERO, &find)?;
        // What has just been forked is not yet what it becomes.
        while look.answer == Answer::Done
            && let Some(why) = self.mismatch(&find()?, before)
        {
            if Instant::now() >= until {
                return Ok(Look::nothing(why));
            }
            std::thread::sleep(PAUSE);
            cx.look_anew();
        }
        Ok(look)
    }
}
