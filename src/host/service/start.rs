//! The start of a service, whoever manages it: refused while a stranger holds its port, proved by what answers, and
//! stopped again by its undo.
//!
//! What ran before the step is left alone by the undo.

use super::found::{Found, Master, Program};
use super::launch::{DEAD, Readiness};
use super::manager::Overdue;
use super::{Before, ManagedService, Ready};
use super::{release, set};
use crate::action::{Context, Direction, Error, Look, Work};
use crate::failpoint;
use crate::host::process::ending::Grace;
use crate::host::process::identity::{Ident, Stat};
use crate::host::process::note::{self, Note};
use crate::host::process::session::{Left, left, names};
use crate::host::process::tree;
use crate::system::proc;
use crate::text::actions as phrases;
use crate::text::settings as text;
use crate::time::Length;
use serde::Deserialize;
use std::path::Path;
use std::time::Duration;
use upledger_replay::event::Answer;

/// Between the gentle signal and KILL when the start is undone.
const GRACE: Length = Length(30_000);

/// A start.
#[derive(Clone, Copy)]
pub(crate) struct StartService<'a> {
    /// Whose.
    pub(crate) service: ManagedService<'a>,
    /// How to check that it is ready. Default: it is still running after half a second.
    pub(crate) ready: Option<&'a Ready>,
    /// How long it may take to be ready.
    pub(crate) within: Length,
}

/// How a start is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judged {
    /// How it is known to be ready.
    pub(crate) ready: Option<Ready>,
    /// How long that may take.
    pub(crate) within: Length,
}

impl StartService<'_> {
    /// How this start is judged. The text that its page holds may be that of the new release, and is left out.
    pub(crate) fn judged(&self) -> Judged {
        Judged {
            ready: self.ready.map(|ready| Ready {
                contains: None,
                ..ready.clone()
            }),
            within: self.within,
        }
    }

    fn readiness(&self) -> Readiness<'_> {
        Readiness {
            ready: self.ready,
            ports: &[],
        }
    }

    fn within(&self) -> Duration {
        Duration::from_millis(self.within.0)
    }

    /// What is there now, and all that the undo will need.
    pub(crate) fn observe(&self, cx: &Context) -> Result<Before, Error> {
        let found = self.service.find(cx)?;
        self.refuse(cx, &found)?;
        let changes = set::changes_since_stop(cx, self.service.manager, &found);
        Ok(Before(found.with_notes(changes)))
    }

    /// Why it must not be started now.
    fn refuse(&self, cx: &Context, now: &Found) -> Result<(), Error> {
        let manager = self.service.manager;
        manager.complete(cx, now)?;
        let orphan = now.masters.iter().find(|m| m.orphan);
        let orphan = orphan.filter(|_| !now.is_up());
        let hidden = now.astray(self.service.kind.name());
        // An earlier step may stop it: a preview does not know.
        let outdated = || self.outdated(cx, now).filter(|_| !cx.inert);
        let hidden = hidden.filter(|_| manager.restarts()).or_else(outdated);
        let why = match (manager.refusal(cx, now)?.or(hidden), orphan) {
            (Some(why), _) => Some(why),
            (None, Some(orphan)) => Some(format!(
                "{} still accepts connections; stop it first",
                orphan.shown()
            )),
            (None, None) if now.masters.is_empty() => self.stranger(now)?,
            (None, None) => None,
        };
        match why {
            Some(why) => Err(Error::new(format!("not started: {why}"))),
            None => Ok(()),
        }
    }

    /// What it does in that direction. What it starts is known without a look.
    pub(crate) fn outline(&self, direction: Direction) -> Vec<String> {
        if direction == Direction::Undo {
            return vec![text::undo_start()];
        }
        let mut lines = self.service.manager.start_commands(self.service.kind, None);
        lines.extend(self.ready.iter().map(|r| phrases::wait_until(r.shown())));
        lines
    }

    /// What it does in that direction, of what is known.
    pub(crate) fn preview<'n>(
        &self,
        direction: Direction,
        before: &Found,
        notes: impl Iterator<Item = &'n Note>,
    ) -> Vec<String> {
        let (manager, kind) = (self.service.manager, self.service.kind);
        let mut lines = self.outline(direction);
        if direction == Direction::Do {
            lines.extend(set::members(manager, before));
            // What has changed since its stop.
            let notes = before.notes.iter().filter(|_| manager.is_set());
            lines.extend(notes.map(phrases::looked));
        }
        if direction == Direction::Undo {
            if manager.restarts() {
                lines.extend(manager.stop_commands(kind, GRACE, None));
            } else if let Some(ours) = note::launches(notes, &manager.key(kind)).last() {
                let name = tree::name(kind.gentle());
                lines.push(phrases::signal_and_kill(name, GRACE, ours.shown()));
            }
        }
        lines
    }

    /// Whether it runs and is ready.
    pub(crate) fn probe<'n>(
        &self,
        cx: &Context,
        notes: impl Iterator<Item = &'n Note> + Clone,
    ) -> Result<(Look, Option<()>), Error> {
        Ok((self.look(cx, notes)?, Some(())))
    }

    /// One look at whether it runs and is ready.
    fn look<'n>(
        &self,
        cx: &Context,
        notes: impl Iterator<Item = &'n Note> + Clone,
    ) -> Result<Look, Error> {
        let now = self.service.find(cx)?;
        if let Some(why) = self.service.manager.mismatch(&now) {
            return Ok(Look::unclear(why));
        }
        let key = self.service.manager.key(self.service.kind);
        let launched = note::launched(notes.clone(), &key).filter(|l| !now.all().contains(l));
        if let Some(process) = launched {
            return Ok(Look::unclear(format!(
                "{} was started by this step but is not recognized as {}",
                process.shown(),
                self.service.kind.name()
            )));
        }
        if let Some(why) = self.outdated(cx, &now) {
            return Ok(Look::unclear(why));
        }
        // What ends when it has done its work counts once this step has started it.
        let ended = now.is_finished() && note::started(notes.clone(), &key).is_some();
        if ended && self.ready.is_none() && self.service.kind.any() {
            let states = now.programs.iter().map(Program::shown);
            return Ok(Look::done(states.collect::<Vec<_>>().join("; ")));
        }
        if now.is_up_but(&cx.was_down) || (ended && self.ready.is_some()) {
            return self
                .readiness()
                .wait(cx, self.within(), Duration::ZERO, &|| self.service.find(cx));
        }
        if now.runs() {
            let states: Vec<String> = now.programs.iter().map(Program::shown).collect();
            let text = format!("{} {}", states.join(", "), now.shown());
            // Several programs of which some run are started as they are needed.
            return Ok(if now.programs.iter().any(|p| p.state == "BACKOFF") {
                Look::unclear(text)
            } else {
                Look::nothing(text)
            });
        }
        if let Some(who) = self.stranger(&now)? {
            return Ok(Look::unclear(who));
        }
        let mut look = Look::nothing(format!(
            "no process of {} is running",
            self.service.kind.name()
        ));
        look.evidence.extend(now.notes);
        Ok(look)
    }

    /// Ends what a failed attempt of this step has left, which runs with what was wrong then. One that may still become
    /// ready is waited for.
    fn replace(&self, work: &mut Work<'_, Note>, before: &Found) -> Result<(), Error> {
        let (manager, kind, cx) = (self.service.manager, self.service.kind, work.cx());
        let Some(left) = note::launched(work.all_noted(), &manager.key(kind)) else {
            return match manager.restarts() {
                true => self.replace_managed(work, before),
                false => Ok(()),
            };
        };
        let age = proc::age(left.starttime).unwrap_or_default();
        let rest = self.within().saturating_sub(age);
        let find = || self.service.find(cx);
        let look = self.readiness().wait(cx, rest, DEAD, &find)?;
        if look.answer == Answer::Done {
            return Ok(());
        }
        let (shown, why) = (left.shown(), look.evidence.join("; "));
        let mut found = find()?;
        found
            .masters
            .retain(|m| m.ident == left || m.members.contains(&left));
        if found.masters.is_empty() {
            return Err(Error::new(format!(
                "an earlier attempt of this step has started {shown}, which is not recognized as {}: stop it first",
                kind.name()
            )));
        }
        work.log_line(&format!("{shown} is replaced, which is not ready: {why}"));
        manager.stop(work, kind, &found, Duration::from_millis(GRACE.0).into())
    }

    /// The same of what its manager runs, which says RUNNING of what never becomes ready, and would start nothing anew. What
    /// ran before this step is named with what stops it.
    fn replace_managed(&self, work: &mut Work<'_, Note>, before: &Found) -> Result<(), Error> {
        let (manager, kind, cx) = (self.service.manager, self.service.kind, work.cx());
        let find = || self.service.find(cx);
        let now = find()?;
        if now.masters.is_empty() {
            return Ok(());
        }
        let ours = now.masters.iter().all(|m| !before.knows(&m.ident));
        let ages = now
            .masters
            .iter()
            .filter_map(|m| proc::age(m.ident.starttime));
        let age = ages.min().filter(|_| ours).unwrap_or_default();
        let rest = self.within().saturating_sub(age);
        let look = self.readiness().wait(cx, rest, DEAD, &find)?;
        let found = find()?;
        if look.answer == Answer::Done || found.masters.is_empty() {
            return Ok(());
        }
        let (shown, why) = (found.shown(), look.evidence.join("; "));
        if !ours {
            let stop = manager.request_commands().join("; ");
            return Err(Error::new(format!(
                "{shown} was running before this step and is not ready: {why}"
            ))
            .remedy(format!("stop it first: {stop}")));
        }
        work.log_line(&format!("{shown} is replaced, which is not ready: {why}"));
        manager.stop(work, kind, &found, Duration::from_millis(GRACE.0).into())
    }

    /// Starts it.
    pub(crate) fn perform(&self, work: &mut Work<'_, Note>, before: &Found) -> Result<(), Error> {
        self.replace(work, before)?;
        let now = self.service.find(work.cx())?;
        self.refuse(work.cx(), &now)?;
        failpoint::hit("service-start");
        let (manager, kind) = (self.service.manager, self.service.kind);
        manager.start(work, kind, None, self.readiness(), self.within())?;
        // What stands now is what an undo may stop: a pidfile may name something else by then.
        let mut now = self.service.find(work.cx())?;
        now.masters.retain(|m| !before.knows(&m.ident));
        work.note(Note::Started {
            key: manager.key(kind),
            processes: now.all(),
            commands: now.roots().map(|m| m.argv.clone()).collect(),
        })
    }

    /// Why what runs is not what a start would start now.
    fn outdated(&self, cx: &Context, now: &Found) -> Option<String> {
        let dirs = || {
            let named = self.service.manager.dir().map(Path::new);
            named.or(cx.cwd.as_deref()).into_iter().chain(now.dirs())
        };
        let mut first = now.roots().filter(|m| !m.orphan);
        let start = self.service.manager.start_argv();
        let why = first.find_map(|m| release::outdated(m, dirs(), start));
        why.map(|why| format!("{why}; stop it first"))
    }

    /// What this step has started and still lives, or runs its command: a later step of the run may have brought it back;
    /// and of what stands in its place what is neither. Where no start came to its end, what runs now and did not before is
    /// taken for it.
    fn ours<'n>(
        &self,
        cx: &Context,
        before: &Found,
        notes: impl Iterator<Item = &'n Note> + Clone,
    ) -> Result<(Found, Vec<Master>), Error> {
        let key = self.service.manager.key(self.service.kind);
        let mut now = self.service.find(cx)?;
        now.masters.retain(|m| !before.knows(&m.ident));
        let launched: Vec<Ident> = note::launches(notes.clone(), &key).cloned().collect();
        let started = note::started(notes, &key);
        let mut foreign = Vec::new();
        if let Some(started) = &started
            && now.programs.is_empty()
        {
            let family = tree::living(&started.processes);
            let known_kind = !self.service.kind.any();
            let own = |m: &Master| {
                let session = Stat::of(m.ident.pid).map(|s| s.session);
                known_kind
                    || family.contains(&m.ident)
                    || started.commands.iter().any(|c| same_command(c, &m.argv))
                    || launched
                        .iter()
                        .any(|l| Some(l.pid) == session || *l == m.ident)
            };
            (now.masters, foreign) = now.masters.into_iter().partition(own);
        }
        // Children of a first process that is gone show neither its words nor its number.
        let known = started.unwrap_or_default().processes;
        let own = |i: &Ident| known.contains(i) || launched.contains(i);
        let mut rest = tree::living(&known);
        rest.extend(brought_back(cx, own));
        for leader in &launched {
            match left(leader, &known) {
                Left::Nothing => {}
                Left::These(members) => rest.extend(members),
                Left::Untold(members) => {
                    return Err(Error::new(format!(
                        "{} was started by this step and has exited; {} may remain of it, but that is not certain; check them, and stop them manually",
                        leader.shown(),
                        names(&members)
                    )));
                }
            }
        }
        for ident in rest {
            if !before.knows(&ident) && !now.all().contains(&ident) {
                let words = proc::words(ident.pid);
                now.masters.extend(Master::look(cx, &ident, &words)?);
            }
        }
        Ok((now, foreign))
    }

    /// A stranger who holds its port.
    fn stranger(&self, now: &Found) -> Result<Option<String>, Error> {
        // systemd itself holds the port of a socket unit, and hands it over.
        if now.programs.iter().any(Program::has_no_process) {
            return Ok(None);
        }
        self.readiness().stranger()
    }

    /// The programs or units that are wanted now and were not before.
    fn newly_wanted<'f>(before: &'f Found, now: &'f Found) -> impl Iterator<Item = &'f str> {
        now.wanted()
            .filter(|name| !before.wanted().any(|b| b == *name))
    }

    /// What the undo finds of the process that it is about, where that has ended.
    pub(crate) fn finds<'n>(&self, notes: impl Iterator<Item = &'n Note> + Clone) -> Vec<String> {
        let (manager, kind) = (self.service.manager, self.service.kind);
        if manager.restarts() {
            return Vec::new();
        }
        let key = manager.key(kind);
        let Some(last) = note::launches(notes.clone(), &key).last() else {
            return Vec::new();
        };
        if note::launched(notes, &key).is_some() {
            return Vec::new();
        }
        vec![match manager.leftover() {
            Some(file) => format!(
                "{} has ended; {file}, which it left behind, is removed",
                last.shown()
            ),
            None => format!("{} has ended; there is nothing to stop", last.shown()),
        }]
    }

    /// Stops what it started.
    pub(crate) fn undo(&self, work: &mut Work<'_, Note>, before: &Found) -> Result<(), Error> {
        let (manager, kind) = (self.service.manager, self.service.kind);
        let (ours, foreign) = self.ours(work.cx(), before, work.all_noted())?;
        if let Some(why) = manager.mismatch(&ours) {
            return Err(Error::new(format!("not stopped: {why}")));
        }
        let grace: Grace = Duration::from_millis(GRACE.0).into();
        if !ours.programs.is_empty() {
            return self.stop_programs(work, before, &ours, grace);
        }
        for master in &foreign {
            work.log_line(&left_alone(master));
        }
        if ours.masters.is_empty() {
            work.log_line("no process started by this step is running");
        } else {
            manager.stop(work, kind, &ours, grace)?;
        }
        if let Some(file) = manager.tidy()? {
            work.log_line(&format!("removed {file}, which its process left behind"));
        }
        Ok(())
    }

    /// Lets their manager stop the programs that are wanted now and were not before: all of them in one call where that
    /// is all there is, because the manager knows their order.
    fn stop_programs(
        &self,
        work: &mut Work<'_, Note>,
        before: &Found,
        ours: &Found,
        grace: Grace,
    ) -> Result<(), Error> {
        let (manager, kind) = (self.service.manager, self.service.kind);
        let new: Vec<&str> = Self::newly_wanted(before, ours).collect();
        if new.len() == ours.programs.len() {
            return manager.stop(work, kind, ours, grace);
        }
        let mut stopped = Found::default();
        for name in new {
            // The name of one, so that no other of its group is stopped.
            if let Some(by) = manager.only(name) {
                let one = by.manager();
                let mut found = one.find(work.cx(), kind)?;
                // Not the socket that was there before, although it would start it.
                found.programs.retain(|p| p.name == name);
                one.request_stop(work, &found, grace.left(), Overdue::Kill)?;
                stopped.masters.extend(found.masters);
            }
        }
        tree::end(work, &stopped, Some(kind.gentle()), grace)
    }

    /// Whether things are as before.
    pub(crate) fn undone<'n>(
        &self,
        cx: &Context,
        before: &Found,
        notes: impl Iterator<Item = &'n Note> + Clone,
    ) -> Result<Look, Error> {
        let (ours, foreign) = self.ours(cx, before, notes)?;
        if let Some(why) = self.service.manager.mismatch(&ours) {
            return Ok(Look::unclear(why));
        }
        if !ours.programs.is_empty() {
            // A manager may have started anew what ran before.
            let left = Self::newly_wanted(before, &ours).next();
            return Ok(match left {
                Some(name) => Look::nothing(format!("{name} is running")),
                None => Look::done("the processes that this step started are stopped"),
            });
        }
        if let Some(first) = ours.masters.first() {
            return Ok(Look::nothing(format!("{} is running", first.shown())));
        }
        if let Some(file) = self.service.manager.leftover() {
            return Ok(Look::nothing(format!(
                "{file} is left of a process that has ended"
            )));
        }
        let mut look = match before.masters.first() {
            Some(first) if first.ident.alive() => {
                Look::done(format!("{} was running before this step", first.shown()))
            }
            Some(first) => Look::unclear(format!(
                "{} was running before and has ended",
                first.shown()
            )),
            None => Look::done(format!(
                "no process of {} is running",
                self.service.kind.name()
            )),
        };
        if !foreign.is_empty() {
            look.evidence = foreign.iter().map(left_alone).collect();
        }
        Ok(look)
    }
}

/// What the undo of a later stop has started in the place of those processes.
fn brought_back(cx: &Context, of: impl Fn(&Ident) -> bool) -> Vec<Ident> {
    let mut back = Vec::new();
    for later in &cx.later {
        let stopped = later.before.get("service").unwrap_or(&later.before);
        let stopped = Before::deserialize(stopped).map(|before| before.0.all());
        if !stopped.unwrap_or_default().iter().any(&of) {
            continue;
        }
        let undone = later
            .notes
            .iter()
            .filter(|n| n.direction == Direction::Undo);
        for noted in undone {
            if let Ok(Note::Launched { process, .. }) = Note::deserialize(&noted.note) {
                back.push(process);
            }
        }
    }
    tree::living(&back)
}

/// The same command, whatever its interpreter is called.
fn same_command(one: &[String], other: &[String]) -> bool {
    let name = |words: &[String]| {
        let first = words
            .first()
            .map(|w| w.rsplit('/').next().unwrap_or(w).to_owned());
        first.filter(|_| words.len() == 1)
    };
    one.get(1..) == other.get(1..) && name(one) == name(other)
}

/// What is said of a process that stands in the place of what this step started.
fn left_alone(master: &Master) -> String {
    format!(
        "{} was not started by this step and is left alone",
        master.shown()
    )
}
