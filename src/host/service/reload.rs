//! New workers for a master that stays: HUP, and then a look at who serves.
//!
//! Evidence: the master is the same process, every worker that was there before has ended or is on its way out, and new
//! ones are there. A second HUP does no harm, so it may be sent again after a death in the middle.

use crate::action::{Context, Error, Look, Work};
use crate::host::process::identity::{Ident, Stat};
use crate::host::process::list::Other;
use crate::host::process::note::{Note, was_reloaded};
use crate::host::process::{session, tree};
use crate::host::service::ManagedService;
use crate::host::service::Ready;
use crate::host::service::daemon::last_lines;
use crate::host::service::found::Found;
use crate::host::service::kind::Role;
use crate::host::service::launch::Readiness;
use crate::system::proc::{self, words as words_of};
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
        if let Some(orphan) = found.masters.iter().find(|m| m.orphan) {
            return Err(Error::new(format!("{} cannot be reloaded", orphan.shown())));
        }
        if found.masters.is_empty() {
            return Err(Error::new(format!(
                "{} is not running, so there is nothing to reload",
                self.service.kind.name()
            )));
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
        self.look(cx, before)
    }

    /// One look at the workers and at what they answer.
    fn look(&self, cx: &Context, before: &Found) -> Result<Look, Error> {
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
            let (draining, serving): (Vec<Ident>, Vec<Ident>) = old.into_iter().partition(draining);
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
        let words = words_of(ident.pid);
        let program = proc::exe(ident.pid);
        let seen = Other {
            pid: ident.pid,
            parent: master,
            program: program
                .ok()
                .and_then(|p| Some(p.file_name()?.to_string_lossy().into_owned()))
                .unwrap_or_default(),
            words,
        };
        Stat::of(ident.pid).is_some_and(|s| s.parent == master)
            && self.service.kind.role(&seen) == Some(Role::Worker)
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
            let look = self.look(cx, before)?;
            if look.answer == Answer::Done {
                work.log_line(&look.evidence.join("; "));
                return Ok(());
            }
            let dead = before.masters.iter().any(|m| !m.ident.alive());
            if dead || Instant::now() >= deadline {
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
