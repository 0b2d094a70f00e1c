//! The processes that a step is about, and their end: told exactly once, and killed only where the settings say so.
//!
//! Invariants: whoever lives below what the manager finds is found, also behind a shell that was started in between;
//! that a process is told is noted before it is told, and that it has got TERM afterwards, so that no step sends it twice
//! unless it died between the two; a KILL is on record with what it cuts off before it is sent.

use super::App;
use super::cmdline::{self, Role};
use super::find::{self, Live, Origin};
use crate::action::{Context, Error, Work};
use crate::failpoint;
use crate::host::process::ending::{self, Grace, names};
use crate::host::process::identity::Ident;
use crate::host::process::list::Other;
use crate::host::process::note::{Note, is_terminating, was_signalled};
use crate::host::process::tree::{self, Descendants};
use crate::host::service::found::Found;
use crate::host::service::kind::{self, Kind};
use crate::host::service::manager::Overdue;
use crate::host::service::{By, Manager, manager_of};
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// How long the first process of a service may be something else than Celery.
const SETTLE: Duration = Duration::from_secs(3);

/// Which processes are meant.
#[derive(Clone, Copy)]
pub(super) struct Workers<'a> {
    pub(super) role: Role,
    pub(super) by: Option<&'a By>,
    pub(super) app: &'a App,
    /// The application that was seen before; none before anything was.
    pub(super) origin: Option<&'a Origin>,
}

/// What was seen.
pub(super) struct Running {
    /// As their manager finds them.
    pub(super) found: Found,
    /// The workers or beats among them.
    pub(super) live: Vec<Live>,
}

impl Kind for Workers<'_> {
    fn name(&self) -> &'static str {
        match self.role {
            Role::Worker => "Celery worker",
            Role::Beat => "Celery beat",
        }
    }

    fn role(&self, process: &Other) -> Option<kind::Role> {
        let words = cmdline::read(&process.words)?;
        if words.role != self.role || words.pool {
            return None;
        }
        if self.by.is_none() {
            let live = find::at(process.pid).ok()??;
            if !self.is_of(&live) {
                return None;
            }
        }
        Some(kind::Role::Master)
    }

    fn many(&self) -> bool {
        true
    }
}

impl Workers<'_> {
    fn is_of(&self, live: &Live) -> bool {
        live.origin.meant(self.app) && self.origin.is_none_or(|o| o.same(&live.origin))
    }

    pub(super) fn manager(&self) -> Box<dyn Manager + '_> {
        manager_of(self.by)
    }

    /// Who lives now.
    ///
    /// # Errors
    /// [`Error`] when it cannot be seen, or more than one application is meant.
    pub(super) fn look(&self, cx: &Context) -> Result<Running, Error> {
        let mut first: Option<Vec<Ident>> = None;
        let until = Instant::now() + SETTLE;
        loop {
            // Also because the manager asks for each process alone and cannot tell that it may not see one.
            find::all()?;
            let found = self.manager().find(cx, self)?;
            let hidden = found
                .astray(self.name())
                .filter(|_| !found.programs.is_empty());
            if let Some(why) = hidden {
                return Err(Error::new(why));
            }
            let known = tree::living(&found.all());
            let mut below = find::all()?;
            below.retain(|l| known.contains(&l.ident));
            let (live, others): (Vec<Live>, Vec<Live>) =
                below.into_iter().partition(|l| l.cmdline.role == self.role);
            find::one(&live)?;
            if self.by.is_none() || found.masters.is_empty() {
                return Ok(Running { found, live });
            }
            if !others.is_empty() {
                return Err(Error::new(format!(
                    "{} belongs to it too; `by` must select only a {}",
                    find::names(&others),
                    self.role.name()
                )));
            }
            let idents = found.idents();
            if !live.is_empty() || first.as_ref().is_some_and(|f| *f != idents) {
                return Ok(Running { found, live });
            }
            // What has just been forked is not Celery yet, and what has just died is none any more. Nothing was started
            // before a preview.
            // One look is not enough, however long it took on a busy machine.
            if cx.inert || (first.is_some() && Instant::now() >= until) {
                return Err(Error::new(format!(
                    "{} is not a {} and has none among its children",
                    found.shown(),
                    self.name()
                )));
            }
            first = Some(idents);
            std::thread::sleep(PAUSE);
            cx.look_anew();
        }
    }

    /// Without those that its manager runs as one of these: they did not run before, and nobody waits for them.
    pub(super) fn without(&self, cx: &Context, live: Vec<Live>, spared: &[String]) -> Vec<Live> {
        if spared.is_empty() {
            return live;
        }
        let manager = self.manager();
        let name = |l: &Live| manager.name_of(cx, &l.ident);
        let waited = |l: &Live| name(l).is_none_or(|name| !spared.contains(&name));
        live.into_iter().filter(waited).collect()
    }

    /// Those that live of the other role, or are left out by `by`, of the same application.
    pub(super) fn others(&self, origin: &Origin, seen: &[Live]) -> Result<Vec<Live>, Error> {
        let mut all = find::all()?;
        all.retain(|l| l.origin.same(origin) && !seen.iter().any(|s| s.ident == l.ident));
        Ok(all)
    }

    /// Tells them to end and waits until they have. `tasks` are cut off where they have to be killed; without it
    /// nobody is.
    ///
    /// # Errors
    /// [`Error`] when something of them lives after `grace`.
    pub(super) fn end(
        &self,
        work: &mut Work<'_, Note>,
        seen: &Running,
        grace: Duration,
        tasks: Option<&str>,
    ) -> Result<(), Error> {
        let clock = Grace::from(grace);
        let mut known = seen.found.all();
        known.extend(seen.live.iter().map(|l| l.ident.clone()));
        known = tree::living(&known);
        for live in &seen.live {
            if !was_signalled(work.all_noted(), &live.ident) {
                let process = live.ident.clone();
                work.note(Note::Signalled { process })?;
            }
        }
        failpoint::hit("celery-signalled");
        let manager = self.manager();
        let asked = manager.request_stop(work, &seen.found, grace, Overdue::Leave)?;
        for live in &seen.live {
            // What a manager runs it has told itself; what a shell started that it runs hears nothing of that.
            let runs = seen.found.idents().iter().any(Ident::alive);
            if !(runs && asked) {
                self.tell(work, live)?;
            }
        }
        failpoint::hit("celery-terminating");
        let mut members = Descendants { known };
        let left = ending::wait(work, &mut members, "all processes it has", clock)?;
        if !left.is_empty() {
            let (late, left) = (grace.as_secs_f32(), names(&left));
            let Some(tasks) = tasks else {
                return Err(Error::new(format!(
                    "{} did not end within {late} s after TERM: {left} is left; nothing was killed (`overdue: kill` would)",
                    find::names(&seen.live),
                )));
            };
            work.escalate(&format!(
                "not ended within {late} s; KILL to {left}; tasks cut off: {tasks}"
            ))?;
            ending::kill(work, &mut members, "all of it has", clock)?;
        }
        if manager.has_pidfile() {
            // It takes away the pidfile that a dead process leaves behind.
            manager.stop(work, self, &seen.found, Duration::ZERO.into())?;
        }
        Ok(())
    }

    /// TERM, once.
    fn tell(&self, work: &mut Work<'_, Note>, live: &Live) -> Result<(), Error> {
        let ident = &live.ident;
        if is_terminating(work.all_noted(), ident) {
            work.log_line(&format!("{} was already signalled to stop", live.shown()));
            return Ok(());
        }
        let cannot = |e: &std::io::Error| Error::io(format!("cannot signal {}", live.shown()), e);
        if ident.signal(Signal::TERM).map_err(|e| cannot(&e))? {
            work.log_line(&format!("TERM to {}", live.shown()));
            work.note(Note::Terminating {
                process: ident.clone(),
                at: None,
            })?;
            // A stopped process hears nothing else.
            ident.signal(Signal::CONT).map_err(|e| cannot(&e))?;
        }
        Ok(())
    }
}
