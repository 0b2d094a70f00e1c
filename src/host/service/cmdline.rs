//! A service that no manager runs: found by the command lines of its processes, ended by signals, started by a command.
//!
//! Invariants: exactly one service is found, or the error names them all; a process that a manager runs is refused with
//! the setting that names it, because the manager would start it again.

use super::by::By;
use super::found::{Found, Master};
use super::kind::{Kind, Role};
use super::launch::{self, Readiness};
use super::manager::{Manager, managed};
use crate::action::{Context, Error, Work};
use crate::host::process::ending::Grace;
use crate::host::process::identity::Ident;
use crate::host::process::list::{self, Other};
use crate::host::process::note::Note;
use crate::host::process::tree;
use crate::system::proc;
use regex::Regex;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a worker may outlive its master without being in the way.
const STRAY: Duration = Duration::from_secs(2);

/// Processes by their command lines.
pub(crate) struct CommandLine<'a> {
    /// What the command line must match, beside being of the kind.
    pub(crate) pattern: Option<&'a str>,
    /// How they are started.
    pub(crate) by: Option<&'a By>,
}

impl Manager for CommandLine<'_> {
    fn find(&self, cx: &Context, kind: &dyn Kind) -> Result<Found, Error> {
        let pattern = self.pattern.map(Regex::new).transpose();
        let pattern = pattern.map_err(|e| Error::io("`by.match` is no regular expression", &e))?;
        if pattern.as_ref().is_some_and(list::matches_init) {
            return Err(Error::new(
                "`by.match` matches process 1, which runs this machine; name the service more closely",
            ));
        }
        let found = listed(cx, kind, |p| {
            pattern.as_ref().is_none_or(|r| r.is_match(&p.command()))
        })?;
        unmanaged(cx, found)
    }

    fn stop(
        &self,
        work: &mut Work<'_, Note>,
        kind: &dyn Kind,
        found: &Found,
        grace: Grace,
    ) -> Result<(), Error> {
        tree::end(work, found, Some(kind.gentle()), grace)
    }

    fn start(
        &self,
        work: &mut Work<'_, Note>,
        kind: &dyn Kind,
        before: Option<&Found>,
        readiness: Readiness<'_>,
        within: Duration,
    ) -> Result<(), Error> {
        launch::start(self, self.by, work, kind, before, readiness, within)
    }

    fn start_commands(&self, kind: &dyn Kind, before: Option<&Found>) -> Vec<String> {
        launch::commands(self.by, kind, before)
    }

    fn restartable(&self, kind: &dyn Kind, found: &Found) -> Result<(), Error> {
        launch::restartable(self.by, kind, found)
    }

    fn start_argv(&self) -> &[String] {
        self.by.map_or(&[], |by| &by.start)
    }

    fn dir(&self) -> Option<&str> {
        self.by?.cwd.as_deref()
    }
}

/// What was found, with where it listens, unless a manager runs it.
pub(super) fn unmanaged(cx: &Context, found: Found) -> Result<Found, Error> {
    for master in &found.masters {
        if let Some(by) = managed(cx, &master.ident) {
            return Err(Error::new(format!("{} is run by {by}", master.shown())).lasting());
        }
    }
    Ok(found.with_listeners())
}

/// The first processes of this kind that are wanted.
fn listed(cx: &Context, kind: &dyn Kind, wanted: impl Fn(&Other) -> bool) -> Result<Found, Error> {
    let all: BTreeMap<i32, (Other, Role)> = list::others()?
        .into_iter()
        .filter(|p| !kind.any() || wanted(p))
        .filter_map(|p| kind.role(&p).map(|role| (p.pid, (p, role))))
        .collect();
    let mut found = Found::default();
    let mut strays: Vec<Master> = Vec::new();
    let is_meant = |process: &Other| kind.any() || (wanted(process) && kind.wanted(process));
    for (pid, (process, role)) in &all {
        let parent = all.get(&process.parent);
        if parent.is_some() && !(kind.nests() && *role == Role::Master) {
            continue;
        }
        // Asked of the first ones only: a worker shows less, and without its master it would seem an orphan. A successor
        // is meant with the one that started it.
        let meant = is_meant(process) || parent.is_some_and(|(p, _)| is_meant(p));
        let stray = !meant && *role == Role::Worker && kind.placeless() && wanted(process);
        if !meant && !stray {
            continue;
        }
        let Some(ident) = Ident::of(*pid) else {
            continue;
        };
        // Its number may have passed on since the list was made.
        if proc::words(*pid) != process.words {
            continue;
        }
        if let Some(mut master) = Master::look(cx, &ident, &process.words)? {
            master.orphan = *role == Role::Worker;
            if stray {
                strays.push(master);
                continue;
            }
            if master.orphan {
                found.notes.push(master.shown());
            }
            found.masters.push(master);
        }
    }
    if !found.runs() {
        // A worker outlives its master by a moment; only one that stays is in anybody's way. One that was waited for
        // already is not waited for again, and nothing was stopped before a preview.
        static STAYED: Mutex<Vec<Ident>> = Mutex::new(Vec::new());
        let stayed = || STAYED.lock().unwrap_or_else(PoisonError::into_inner);
        let new = |s: &Master| s.ident.alive() && !stayed().contains(&s.ident);
        let until = Instant::now() + STRAY;
        while !cx.inert && strays.iter().any(new) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
        stayed().extend(strays.iter().map(|s| s.ident.clone()));
    }
    let stay = strays.iter().filter(|s| s.ident.alive());
    found.strays = stay.map(Master::shown).collect();
    if !kind.many() {
        one(kind, &found)?;
    }
    Ok(found)
}

/// Refuses more than one service.
fn one(kind: &dyn Kind, found: &Found) -> Result<(), Error> {
    let masters: Vec<&Master> = found.roots().filter(|m| !m.orphan).collect();
    let first = masters.first();
    if masters.len() > 1
        && masters
            .iter()
            .any(|m| Some(m.service()) != first.map(|f| f.service()))
    {
        let name = kind.name();
        return Err(Error::new(format!(
            "there is more than one {name}: {}; select one with `by: {{pidfile: ...}}` or `by: {{match: ...}}`",
            found.shown()
        )));
    }
    Ok(())
}
