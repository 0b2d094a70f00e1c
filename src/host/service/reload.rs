//! New workers for a master that stays: HUP, and then a look at who serves.
//!
//! Evidence: the master is the same process, new workers are there and run the release that the directories lead to, and
//! every worker that was there before has ended or takes no new connection. One that only finishes what it has is no
//! failure, however long that takes. A second HUP does no harm, so it may be sent again after a death in the middle.

use crate::action::{Context, Error, Look, Work};
use crate::host::process::identity::Ident;
use crate::host::process::list::{self, Other};
use crate::host::process::note::{Note, was_reloaded};
use crate::host::process::{session, sockets, tree};
use crate::host::service::ManagedService;
use crate::host::service::Ready;
use crate::host::service::daemon::last_lines;
use crate::host::service::found::{Found, Master};
use crate::host::service::kind::Role;
use crate::host::service::launch::Readiness;
use crate::host::service::release;
use crate::system::proc::words as words_of;
use crate::time::Length;
use std::path::Path;
use std::time::{Duration, Instant};
use upledger_replay::event::Answer;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// A reload.
#[derive(Clone, Copy)]
pub(crate) struct ReloadService<'a> {
    /// Whose.
    pub(crate) service: ManagedService<'a>,
    /// How it is known to answer as it should afterwards.
    pub(crate) ready: Option<&'a Ready>,
    /// How long it may take.
    pub(crate) within: Length,
}

impl ReloadService<'_> {
    /// What is there now: the master and its workers.
    pub(crate) fn observe(&self, cx: &Context) -> Result<Found, Error> {
        let found = self.service.find(cx)?;
        self.service.manager.complete(cx, &found)?;
        if let Some(orphan) = found.masters.iter().find(|m| m.orphan) {
            return Err(Error::new(format!("{} cannot be reloaded", orphan.shown())));
        }
        if let Some(why) = found.astray(self.service.kind.name()) {
            return Err(Error::new(why));
        }
        if found.masters.is_empty() {
            return Err(Error::new(format!(
                "{} is not running, so there is nothing to reload",
                self.service.kind.name()
            )));
        }
        if let Some(next) = found
            .masters
            .iter()
            .find(|m| !found.roots().any(|r| r == *m))
        {
            return Err(Error::new(format!(
                "{} was started as the successor of another that still runs (USR2); end one of them first",
                next.shown()
            )));
        }
        self.behind_wrappers(cx, found)
    }

    /// The same, with what a shell or another wrapper has started in the place of it: that one would not reload, it would
    /// end.
    fn behind_wrappers(&self, cx: &Context, mut found: Found) -> Result<Found, Error> {
        let kind = self.service.kind;
        let others = list::others()?;
        let is_master = |pid: i32| {
            let process = others.iter().find(|p| p.pid == pid);
            process.is_some_and(|p| kind.role(p) == Some(Role::Master))
        };
        for master in &mut found.masters {
            if is_master(master.ident.pid) {
                continue;
            }
            let below = master.members.iter().find(|i| is_master(i.pid));
            let inner = below
                .map(|i| Master::look(cx, i, &words_of(i.pid)))
                .transpose()?;
            *master = inner
                .flatten()
                .ok_or_else(|| Error::new(format!("{} is not {}", master.shown(), kind.name())))?;
        }
        Ok(found)
    }

    /// What it does, before anything was looked at.
    pub(crate) fn outline(&self) -> Vec<String> {
        let service = &self.service;
        service.manager.reload_commands(service.kind, None)
    }

    /// What it does to what was found, in lines for people.
    pub(crate) fn preview(&self, before: &Found) -> Vec<String> {
        let service = &self.service;
        service.manager.reload_commands(service.kind, Some(before))
    }

    /// Whether new workers serve.
    pub(crate) fn probe<'n>(
        &self,
        cx: &Context,
        before: &Found,
        notes: impl Iterator<Item = &'n Note> + Clone,
    ) -> Result<Look, Error> {
        let mut masters = before.masters.iter();
        if !masters.any(|m| was_reloaded(notes.clone(), &m.ident)) {
            return Ok(Look::nothing("it was not signalled to reload"));
        }
        self.look(cx, before, true)
    }

    /// The directories that its workers should work in.
    fn dirs<'d>(&'d self, cx: &'d Context, found: &'d Found) -> impl Iterator<Item = &'d Path> {
        let named = self.service.manager.dir().map(Path::new);
        named.or(cx.cwd.as_deref()).into_iter().chain(found.dirs())
    }

    /// Why one of these new workers runs another release than the directories lead to.
    fn former(&self, cx: &Context, found: &Found, new: &[Ident]) -> Result<Option<String>, Error> {
        for ident in new {
            let worker = Master::look(cx, ident, &words_of(ident.pid))?;
            let why = worker.and_then(|w| release::elsewhere(&w, self.dirs(cx, found)));
            if why.is_some() {
                return Ok(why);
            }
        }
        Ok(None)
    }

    /// One look at the workers and at what they answer. `late`: the time is over, and a former worker that has a
    /// connection counts as one that finishes it, although it does not show that it takes no other.
    fn look(&self, cx: &Context, before: &Found, late: bool) -> Result<Look, Error> {
        let mut evidence = Vec::new();
        for master in &before.masters {
            if !master.ident.alive() {
                return Ok(Look::unclear(format!(
                    "{} has exited; it could not load the new configuration or code",
                    master.shown()
                )));
            }
            let now = tree::below(std::slice::from_ref(&master.ident));
            let (old, new): (Vec<Ident>, Vec<Ident>) =
                now.into_iter().partition(|i| master.members.contains(i));
            let drains = |i: &Ident| {
                let busy = || sockets::serves(i, &before.ports, &before.sockets);
                draining(i) || sockets::has_closed(i, &master.ident) || (late && busy())
            };
            let (draining, serving): (Vec<Ident>, Vec<Ident>) = old.into_iter().partition(drains);
            let new: Vec<Ident> = new
                .into_iter()
                .filter(|i| self.works(i, master.ident.pid))
                .collect();
            if !serving.is_empty() || new.is_empty() {
                return Ok(Look::unclear(format!(
                    "{} has {} new workers, and {} old workers still serve",
                    master.shown(),
                    new.len(),
                    serving.len()
                )));
            }
            if let Some(why) = self.former(cx, before, &new)? {
                return Ok(Look::unclear(why));
            }
            evidence.push(format!(
                "{} has {} new workers: {}",
                master.shown(),
                new.len(),
                session::names(&new)
            ));
            if !draining.is_empty() {
                evidence.push(format!(
                    "{} are finishing their requests",
                    session::names(&draining)
                ));
            }
        }
        let readiness = Readiness {
            ready: self.ready,
            ports: &before.ports,
        };
        let mut look = readiness.look(cx, &self.service.find(cx)?)?;
        evidence.append(&mut look.evidence);
        look.evidence = evidence;
        Ok(look)
    }

    /// It is a worker of this kind that the master started.
    fn works(&self, ident: &Ident, master: i32) -> bool {
        let seen = Other::of(ident.pid).filter(|seen| seen.parent == master);
        seen.is_some_and(|seen| self.service.kind.role(&seen) == Some(Role::Worker))
    }

    /// Tells the masters and waits for their new workers.
    pub(crate) fn perform(&self, work: &mut Work<'_, Note>, before: &Found) -> Result<(), Error> {
        let cx = work.cx();
        let mut logs = Vec::new();
        for master in &before.masters {
            let log = master.log.clone();
            logs.extend(log.map(|l| (std::fs::metadata(&l).map_or(0, |m| m.len()), l)));
        }
        self.service.manager.reload(work, before)?;
        let deadline = Instant::now() + Duration::from_millis(self.within.0);
        loop {
            let over = Instant::now() >= deadline;
            let look = self.look(cx, before, over)?;
            if look.answer == Answer::Done {
                work.log_line(&look.evidence.join("; "));
                return Ok(());
            }
            let dead = before.masters.iter().any(|m| !m.ident.alive());
            if dead || over {
                let lines: Vec<String> = logs
                    .iter()
                    .map(|(since, log)| last_lines(Path::new(log), *since))
                    .collect();
                return Err(Error::new(format!(
                    "not reloaded: {}{}{}",
                    look.evidence.join("; "),
                    lines.concat(),
                    self.service.manager.output(work.cx())
                )));
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// It accepts nothing new and finishes what it has.
fn draining(ident: &Ident) -> bool {
    words_of(ident.pid)
        .first()
        .is_some_and(|title| title.ends_with("is shutting down"))
}
