//! A program that supervisord keeps, or a set of them, over `supervisorctl`; what that does not print supervisord is asked
//! itself.
//!
//! What counts is the state that supervisorctl prints, or its supervisord itself once it is known (`peer`), the number beside
//! it, and the process itself. What is stopped is stopped by supervisord: a TERM of ours would be answered with a new process.
//! Its own `stopwaitsecs` rules when it kills the process that it knows; what that one leaves is told by us, and has what is
//! left of the grace.
//!
//! A group is acted on as one: one call, because supervisord knows the order, and then each member is judged. The members
//! of a set that are no whole group are asked at the same time. What did not
//! run before is not demanded afterwards, and a program that ends as its settings expect has done its work.

mod client;
mod daemon;
pub(crate) mod peer;
mod rpc;
pub(crate) mod update;

use crate::action::{Context, Error, Work};
use crate::host::exec;
use crate::host::process::ending::Grace;
use crate::host::process::identity::{Ident, Stat};
use crate::host::process::note::Note;
use crate::host::process::tree;
use crate::host::service::by::{By, Supervisor};
use crate::host::service::found::{Found, Master};
use crate::host::service::kind::Kind;
use crate::host::service::launch::Readiness;
use crate::host::service::manager::{Manager, Overdue};
use crate::host::service::names::{self, Names};
use crate::system::proc;
use crate::text::actions as phrases;
use crate::time::Length;
use std::time::{Duration, Instant};

/// How long a program may be on its way to a state before we say so.
const SETTLE: Duration = Duration::from_secs(20);
/// How long a program of which supervisord expects nothing is watched: what it expects of others by default.
const STARTSECS: Duration = Duration::from_secs(1);
/// How long supervisorctl may take at least.
const CLIENT: Duration = Duration::from_secs(5);
/// Lines of a log that an error shows.
const LINES: usize = 12;

impl Manager for &Supervisor {
    fn find(&self, cx: &Context, kind: &dyn Kind) -> Result<Found, Error> {
        let lines = self.settled(cx, Duration::from_secs(3))?;
        let mut found = Found::default();
        for line in &lines {
            if line.state == "UNKNOWN" {
                return Err(Error::new(format!(
                    "supervisord reports no state for {}: {}",
                    line.name, line.told
                )));
            }
            let ident = line.pid.and_then(Ident::of);
            if let Some(ident) = ident {
                let words = proc::words(ident.pid);
                found.masters.extend(Master::look(cx, &ident, &words)?);
            }
            if !matches!(line.state.as_str(), "RUNNING" | "STOPPED") {
                found.notes.push(line.shown());
            }
        }
        let keeper = self.keeper(cx, &found);
        let known = keeper.as_ref().map(rpc::settings).unwrap_or_default();
        let others = keeper
            .as_ref()
            .map(|k| daemon::Others::look(k, &found.all()));
        let others = others.transpose()?;
        for line in &lines {
            let settings = known.get(&line.name);
            found.programs.push(line.program(settings));
            // To supervisord it has ended; what it has put into the background may serve.
            let command = settings.map(|s| s.command.as_slice()).unwrap_or_default();
            let runs = line.pid.is_some();
            let lost = others
                .as_ref()
                .map(|o| o.lost(kind, &line.name, runs, command));
            for process in lost.unwrap_or_default() {
                let ident = Ident::of(process.pid);
                let look = ident.map(|i| Master::look(cx, &i, &process.words));
                let shown = look.transpose()?.flatten().map(|m| m.shown());
                found.strays.extend(shown);
            }
        }
        found.strays.sort();
        found.strays.dedup();
        found.note_signals(kind, "stopsignal=");
        Ok(found.with_listeners())
    }

    fn stop(
        &self,
        work: &mut Work<'_, Note>,
        kind: &dyn Kind,
        found: &Found,
        grace: Grace,
    ) -> Result<(), Error> {
        if found.runs() {
            self.request_stop(work, found, grace.left(), Overdue::Kill)?;
        }
        // What a program started may outlive it, and nobody has told it: supervisord ends only the process that it knows.
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
        let cx = work.cx();
        let now = self.find(cx, kind)?;
        let names: Vec<String> = match before {
            Some(before) => before.wanted().map(str::to_owned).collect(),
            None => now.programs.iter().map(|p| p.name.clone()).collect(),
        };
        readiness.refuse_stranger(&now)?;
        // What did not run before is not demanded: it may be what the upgrade was to mend.
        let demanded: Vec<String> = match before {
            Some(before) => before.running().map(str::to_owned).collect(),
            None => {
                let down = &cx.was_down;
                names
                    .iter()
                    .filter(|n| !down.contains(n))
                    .cloned()
                    .collect()
            }
        };
        self.start_programs(work, &names, &demanded, &now, within)?;
        let settings = self.settings_of(cx);
        let unwatched = |name: &String| settings.get(name).is_some_and(|s| s.unwatched);
        let settle = match demanded.iter().any(unwatched) {
            true => STARTSECS,
            false => Duration::ZERO,
        };
        readiness.stays(work, kind, within, settle, &|| self.find(cx, kind), &|| {
            self.tails(cx, &names)
        })
    }

    fn complete(&self, cx: &Context, found: &Found) -> Result<(), Error> {
        let has = |asked: &&str| {
            found
                .programs
                .iter()
                .any(|p| names::matches(asked, &p.name))
        };
        match self.programs.iter().find(|asked| !has(asked)) {
            Some(missing) => Err(self.unknown(cx, missing, "it is in `by.supervisor.programs`")),
            None => Ok(()),
        }
    }

    fn is_member(&self, name: &str) -> bool {
        self.means(name)
    }

    fn is_set(&self) -> bool {
        !self.programs.is_empty()
    }

    fn stop_commands(&self, _: &dyn Kind, grace: Length, found: Option<&Found>) -> Vec<String> {
        let names: Vec<&str> = found.into_iter().flat_map(Found::wanted).collect();
        let stop = match names.is_empty() || !self.is_set() {
            true => self.request_commands().join("; "),
            false => self.typed("stop", &names),
        };
        let mut lines = vec![phrases::stop_and_kill(stop, grace)];
        lines.extend(
            found
                .into_iter()
                .flat_map(|f| f.kept_short(grace, "stopwaitsecs")),
        );
        lines
    }

    fn start_commands(&self, _: &dyn Kind, before: Option<&Found>) -> Vec<String> {
        let wanted: Vec<&str> = before.into_iter().flat_map(Found::wanted).collect();
        let some = |before: &Found| self.is_set() || wanted.len() < before.programs.len();
        vec![match before {
            Some(before) if some(before) => self.typed("start", &wanted),
            Some(_) | None => self.typed("start", &self.asked().collect::<Vec<_>>()),
        }]
    }

    fn restarts(&self) -> bool {
        true
    }

    fn name_of(&self, _: &Context, process: &Ident) -> Option<String> {
        program_of(process)
    }

    fn request_stop(
        &self,
        work: &mut Work<'_, Note>,
        found: &Found,
        grace: Duration,
        overdue: Overdue,
    ) -> Result<bool, Error> {
        let cx = work.cx();
        found.note_signalled(work)?;
        // It waits until all are stopped, which may take the `stopwaitsecs` of each.
        let began = Instant::now();
        let limit = found.patience(grace).max(CLIENT);
        let names: Vec<&str> = found.wanted().collect();
        let said = self.ask(cx, "stop", &names, true, limit)?;
        for line in said.shown.lines().chain(said.stderr.lines()) {
            work.log_line(line);
        }
        if said.code.is_none() && overdue == Overdue::Kill {
            // Our client was ended, not the stop.
            for line in self.status(cx)?.iter().filter(|l| !l.is_stopped()) {
                let late = began.elapsed().as_secs_f32();
                work.escalate(&format!(
                    "{}: not stopped within {late:.1} s; KILL through supervisord",
                    line.name
                ))?;
                // The name of one, so that no other of its group is killed.
                self.call(cx, &["signal", "KILL", &line.name], exec::LOOK)?;
            }
        }
        for line in self.kills(cx, &found.idents()) {
            // Not ours, and seen only afterwards: on record all the same, because work was cut off.
            work.escalate(&format!(
                "supervisord killed by its own stopwaitsecs: {line}"
            ))?;
        }
        if overdue == Overdue::Leave {
            return Ok(true);
        }
        match self.settled(cx, SETTLE)?.iter().find(|l| !l.is_stopped()) {
            Some(line) => Err(Error::new(format!("not stopped: {}", line.shown()))),
            None => Ok(true),
        }
    }

    fn request_commands(&self) -> Vec<String> {
        vec![self.typed("stop", &self.asked().collect::<Vec<_>>())]
    }

    fn only(&self, name: &str) -> Option<By> {
        Some(By {
            supervisor: Some(Supervisor {
                program: Some(name.to_owned()),
                programs: Names::default(),
                ctl: self.ctl.clone(),
            }),
            ..By::default()
        })
    }

    fn output(&self, cx: &Context) -> String {
        // What is not answered has nothing to show; the error that asks for it is told all the same.
        let lines = self.status(cx).unwrap_or_default();
        let names: Vec<String> = lines.into_iter().map(|l| l.name).collect();
        self.tails(cx, &names)
    }
}

/// The program of a supervisord that runs that process: its name, as the process was told it.
pub(super) fn program_of(ident: &Ident) -> Option<String> {
    let parent = Stat::of(ident.pid)?.parent;
    if !daemon::is_supervisord(&proc::words(parent)) {
        return None;
    }
    let (_, name) = daemon::identity(ident.pid);
    Some(name.unwrap_or_else(|| "NAME".into()))
}
