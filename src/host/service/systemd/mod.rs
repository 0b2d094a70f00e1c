//! Units of systemd, over `systemctl`.
//!
//! Evidence is what `systemctl show` says and what `/proc` says: the state of the unit, and the processes of its control
//! group. A unit is stopped by systemd alone, because `Restart=` would answer a signal of ours with a new process; what
//! would start it again (its sockets, paths and timers that are active) is stopped in the same call, and started again
//! by the undo. Whether a unit is enabled, disabled or masked is never changed.
//!
//! systemd kills by rules of its own (`TimeoutStopSec`, `KillMode`). What it killed is on record afterwards, and what a
//! `KillMode` spares is ended here.
//!
//! Left out: units of other machines.

mod unit;

use crate::action::{Context, Error, Work};
use crate::host::exec::{self, Captured};
use crate::host::process::ending::Grace;
use crate::host::process::identity::Ident;
use crate::host::process::note::Note;
use crate::host::process::tree;
use crate::host::service::by::{By, Systemd};
use crate::host::service::found::{Found, Master};
use crate::host::service::kind::Kind;
use crate::host::service::launch::{self, Readiness};
use crate::host::service::manager::{Manager, Overdue, ask_until};
use crate::host::service::names::{self, Names};
use crate::system::proc;
use crate::text::actions as phrases;
use crate::time::Length;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use unit::{PROPERTIES, Unit};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a unit may be on its way to another state before we say so.
const SETTLE: Duration = Duration::from_secs(3);
/// How long systemctl may take at least.
const CLIENT: Duration = Duration::from_secs(5);
/// How long a unit may take to be stopped once it was killed.
const AFTER_KILL: Duration = Duration::from_secs(20);
/// Lines of the journal that an error shows.
const LINES: &str = "12";
impl Systemd {
    fn argv(&self, verb: &str, words: &[String]) -> Vec<String> {
        let mut argv = self.ctl.clone();
        argv.push(verb.to_owned());
        argv.extend_from_slice(words);
        argv
    }

    fn command(&self, verb: &str, names: &[String]) -> String {
        self.argv(verb, names).join(" ")
    }

    fn call(
        &self,
        cx: &Context,
        verb: &str,
        names: &[String],
        limit: Duration,
    ) -> Result<Captured, Error> {
        let mut words = vec!["--no-ask-password".to_owned()];
        words.extend_from_slice(names);
        exec::capture(cx, &self.argv(verb, &words), limit)
    }

    fn show(&self, cx: &Context, names: &[String]) -> Result<Vec<Unit>, Error> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut words = vec![format!("--property={PROPERTIES}"), "--no-pager".to_owned()];
        words.extend_from_slice(names);
        let said = exec::capture(cx, &self.argv("show", &words), exec::LOOK)?;
        let units = Unit::parse(&said.text());
        if said.code != Some(0) || units.is_empty() {
            return Err(self.silent(&said));
        }
        Ok(units)
    }

    /// The units that are meant: those that the settings name, and those that their patterns match now.
    fn members(&self, cx: &Context) -> Result<Vec<String>, Error> {
        let mut members: Vec<String> = Vec::new();
        for name in self.names() {
            if !names::is_pattern(&name) {
                members.push(name);
                continue;
            }
            // What is loaded, and what has a file and is not.
            for (verb, option) in [("list-units", Some("--all")), ("list-unit-files", None)] {
                let words = [
                    Some("--no-legend"),
                    Some("--plain"),
                    Some("--no-pager"),
                    Some("--full"),
                    option,
                ];
                let mut words: Vec<String> =
                    words.into_iter().flatten().map(str::to_owned).collect();
                words.push(name.clone());
                let said = exec::capture(cx, &self.argv(verb, &words), exec::LOOK)?;
                if said.code.is_none() {
                    return Err(self.silent(&said));
                }
                members.extend(listed(&said.text(), &name));
            }
        }
        let mut known = BTreeSet::new();
        members.retain(|name| known.insert(name.clone()));
        Ok(members)
    }

    fn silent(&self, said: &Captured) -> Error {
        Error::new(format!(
            "systemd does not respond to {} ({}): {}",
            self.ctl.join(" "),
            said.ended,
            said.tail(3).join("; ")
        ))
    }

    /// The units of the settings, once nothing of them is on its way any more, at most that long.
    fn units(&self, cx: &Context, limit: Duration) -> Result<Vec<Unit>, Error> {
        let ask = || {
            let units = self.show(cx, &self.members(cx)?)?;
            if let Some(unit) = units.iter().find(|u| u.get("LoadState") == "not-found") {
                return Err(Error::new(format!(
                    "systemd has no unit {}: `systemctl list-unit-files` shows those that it has; after its file was put in place, `systemctl daemon-reload`",
                    unit.name()
                )));
            }
            Ok(units)
        };
        let at_rest = |units: &Vec<Unit>| !units.iter().any(Unit::is_changing);
        ask_until(limit, PAUSE, ask, at_rest)
    }

    /// What was found is stopped, started or reloaded in one call.
    fn run(
        &self,
        work: &mut Work<'_, Note>,
        verb: &str,
        names: &[String],
        limit: Duration,
    ) -> Result<Captured, Error> {
        work.log_line(&self.command(verb, names));
        let said = self.call(work.cx(), verb, names, limit)?;
        for line in said.shown.lines().chain(said.stderr.lines()) {
            work.log_line(line);
        }
        Ok(said)
    }

    /// The last lines of the journal of these units, since that moment.
    fn journal(&self, cx: &Context, names: &[String], since: Option<SystemTime>) -> String {
        let mut argv: Vec<String> = self.ctl.clone();
        for word in &mut argv {
            if word.rsplit('/').next() == Some("systemctl") {
                *word = word.replace("systemctl", "journalctl");
            }
        }
        argv.extend(["--no-pager", "--quiet", "--output=cat", "--lines", LINES].map(str::to_owned));
        let since = since.and_then(|s| s.duration_since(UNIX_EPOCH).ok());
        argv.extend(since.map(|s| format!("--since=@{}", s.as_secs())));
        argv.extend(names.iter().map(|n| format!("--unit={n}")));
        // The journal only tells more.
        let said = exec::capture(cx, &argv, exec::LOOK).map(|s| s.shown);
        let said = said.unwrap_or_default();
        match said.trim() {
            "" => String::new(),
            lines => format!("\nthe end of the journal of {}:\n{lines}", names.join(", ")),
        }
    }

    /// What these units have started and is at work: the units that they trigger, with their main processes.
    ///
    /// # Errors
    /// [`Error`] when systemd does not answer.
    pub(crate) fn triggered(&self, cx: &Context) -> Result<Vec<String>, Error> {
        let units = self.show(cx, &self.names())?;
        let triggers = units
            .iter()
            .flat_map(|u| u.get("Triggers").split_whitespace());
        let names: BTreeSet<String> = triggers.map(str::to_owned).collect();
        let names: Vec<String> = names.into_iter().collect();
        let units = self.show(cx, &names)?;
        let at_work = units.iter().filter(|u| !u.is_stopped());
        Ok(at_work
            .map(|u| match u.get("MainPID") {
                "" | "0" => u.name().to_owned(),
                pid => format!("{} (process {pid})", u.name()),
            })
            .collect())
    }

    /// Waits until all of these are stopped.
    fn stopped(&self, cx: &Context, names: &[String], limit: Duration) -> Result<Vec<Unit>, Error> {
        let stopped = |u: &Unit| u.is_stopped() && !u.is_changing();
        let all = |units: &Vec<Unit>| units.iter().all(stopped);
        ask_until(limit, PAUSE, || self.show(cx, names), all)
    }
}

impl Manager for &Systemd {
    fn find(&self, cx: &Context, kind: &dyn Kind) -> Result<Found, Error> {
        let units = self.units(cx, SETTLE)?;
        let named: BTreeSet<&str> = units.iter().map(Unit::name).collect();
        let triggers: BTreeSet<String> = units
            .iter()
            .flat_map(Unit::triggers)
            .filter(|t| !named.contains(t))
            .map(str::to_owned)
            .collect();
        let triggers = self.show(cx, &triggers.into_iter().collect::<Vec<_>>())?;
        let mut found = Found::default();
        // Before what they start, as they have to be stopped.
        for trigger in triggers.iter().filter(|t| !t.is_stopped()) {
            found
                .notes
                .push(format!("{} would start it", trigger.name()));
            found.programs.push(trigger.program());
        }
        for unit in &units {
            for ident in unit.first_processes() {
                let words = proc::words(ident.pid);
                found.masters.extend(Master::look(cx, &ident, &words)?);
            }
            if !matches!(unit.state(), "active" | "inactive") {
                found.notes.push(unit.shown());
            }
            if unit.get("NeedDaemonReload") == "yes" {
                found.notes.push(format!(
                    "the file of {} has changed since systemd read it",
                    unit.name()
                ));
            }
            found.programs.push(unit.program());
        }
        found.note_signals(kind, "KillSignal=SIG");
        Ok(found.with_listeners())
    }

    fn stop(
        &self,
        work: &mut Work<'_, Note>,
        kind: &dyn Kind,
        found: &Found,
        grace: Grace,
    ) -> Result<(), Error> {
        self.request_stop(work, found, grace.left(), Overdue::Kill)?;
        // What `KillMode` spares was told nothing.
        let mut rest = Found::default();
        for ident in self.left(found) {
            let words = proc::words(ident.pid);
            rest.masters
                .extend(Master::look(work.cx(), &ident, &words)?);
        }
        tree::end(work, &rest, Some(kind.gentle()), grace)
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
            None => self.members(cx)?,
        };
        readiness.refuse_stranger(&now)?;
        let units = self.show(cx, &names)?;
        if let Some(masked) = units.iter().find(|u| u.get("LoadState") == "masked") {
            return Err(Error::new(masked_unit(masked.name())));
        }
        // Otherwise systemd refuses what failed too often, also after its cause was mended.
        let failed = units.iter().filter(|u| u.state() == "failed");
        let failed: Vec<String> = failed.map(|u| u.name().to_owned()).collect();
        if !failed.is_empty() {
            self.run(work, "reset-failed", &failed, exec::LOOK)?;
        }
        let since = SystemTime::now();
        let said = self.run(work, "start", &names, within.max(CLIENT))?;
        let states = self.show(cx, &names)?;
        // What did not run before is not demanded: it may be what the upgrade was to mend.
        let demanded = |u: &&Unit| match before {
            Some(before) => before.running().any(|n| n == u.name()),
            None => !cx.was_down.iter().any(|n| n == u.name()),
        };
        let all = before.is_none() && cx.was_down.is_empty();
        let mut failed = states
            .iter()
            .filter(demanded)
            .filter(|u| u.state() != "active");
        if said.code != Some(0) && (all || failed.next().is_some()) {
            let states: Vec<String> = states.iter().map(Unit::shown).collect();
            return Err(Error::new(format!(
                "not started: {}{}",
                states.join(", "),
                self.journal(cx, &names, Some(since))
            )));
        }
        readiness.stays(
            work,
            kind,
            within,
            launch::SETTLE,
            &|| self.find(cx, kind),
            &|| self.journal(cx, &names, Some(since)),
        )
    }

    fn reload(&self, work: &mut Work<'_, Note>, found: &Found) -> Result<(), Error> {
        let names = self.members(work.cx())?;
        let units = self.show(work.cx(), &names)?;
        if let Some(unit) = units.iter().find(|u| u.get("CanReload") != "yes") {
            return Err(Error::new(format!(
                "{} has no ExecReload, so systemd cannot reload it; restart it, or set the pidfile for the reload",
                unit.name()
            )));
        }
        for master in &found.masters {
            let process = master.ident.clone();
            work.note(Note::Reloading { process })?;
        }
        let said = self.run(work, "reload", &names, exec::LOOK)?;
        match said.code {
            Some(0) => Ok(()),
            _ => Err(Error::new(format!(
                "not reloaded: {} {}{}",
                self.command("reload", &names),
                said.ended,
                self.journal(work.cx(), &names, None)
            ))),
        }
    }

    fn complete(&self, _: &Context, found: &Found) -> Result<(), Error> {
        let names = self.names();
        let has = |name: &&String| found.programs.iter().any(|p| names::matches(name, &p.name));
        match names
            .iter()
            .find(|name| names::is_pattern(name) && !has(name))
        {
            Some(missing) => Err(Error::new(format!(
                "systemd has no unit that {missing} matches: it is neither loaded nor does it have a file; name the units that are to be started"
            ))),
            None => Ok(()),
        }
    }

    fn is_member(&self, name: &str) -> bool {
        self.names().iter().any(|n| names::matches(n, name))
    }

    fn is_set(&self) -> bool {
        !self.units.is_empty()
    }

    fn stop_commands(&self, _: &dyn Kind, grace: Length, found: Option<&Found>) -> Vec<String> {
        let names = match found {
            Some(found) if !found.programs.is_empty() => {
                found.programs.iter().map(|p| p.name.clone()).collect()
            }
            _ => self.names(),
        };
        let mut lines = vec![phrases::stop_and_kill(self.command("stop", &names), grace)];
        lines.extend(
            found
                .into_iter()
                .flat_map(|f| f.kept_short(grace, "TimeoutStopSec")),
        );
        lines
    }

    fn start_commands(&self, _: &dyn Kind, before: Option<&Found>) -> Vec<String> {
        let names = match before {
            Some(before) => before.wanted().map(str::to_owned).collect(),
            None => self.names(),
        };
        vec![self.command("start", &names)]
    }

    fn reload_commands(&self, _: &dyn Kind, _: Option<&Found>) -> Vec<String> {
        vec![self.command("reload", &self.names())]
    }

    fn restartable(&self, _: &dyn Kind, found: &Found) -> Result<(), Error> {
        for program in found.programs.iter().filter(|p| p.is_wanted()) {
            match program.boot.as_deref() {
                Some("masked" | "masked-runtime") => {
                    return Err(Error::new(masked_unit(&program.name)));
                }
                Some("transient") => {
                    return Err(Error::new(format!(
                        "{} is a transient unit, which is removed when it stops, so its undo could not start it again",
                        program.name
                    )));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn refusal(&self, cx: &Context, _found: &Found) -> Result<Option<String>, Error> {
        let units = self.show(cx, &self.members(cx)?)?;
        Ok(units.iter().find_map(|unit| {
            if unit.get("LoadState") == "masked" {
                return Some(masked_unit(unit.name()));
            }
            (unit.get("NeedDaemonReload") == "yes").then(|| {
                format!(
                    "the file of {} has changed since systemd read it, so systemd would start what was there before; run `systemctl daemon-reload` first",
                    unit.name()
                )
            })
        }))
    }

    fn restarts(&self) -> bool {
        true
    }

    fn name_of(&self, cx: &Context, process: &Ident) -> Option<String> {
        unit_of(cx, process)
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
        let mut names: Vec<String> = found.programs.iter().map(|p| p.name.clone()).collect();
        if names.is_empty() {
            names = self.members(cx)?;
        }
        let since = SystemTime::now();
        let began = Instant::now();
        // It waits until all are stopped, which may take the `TimeoutStopSec` of each.
        let said = self.run(work, "stop", &names, found.patience(grace).max(CLIENT))?;
        if said.code.is_none() && overdue == Overdue::Kill {
            // Our client was ended, not the stop.
            let units = self.show(cx, &names)?;
            let still = units.iter().filter(|u| !u.is_stopped());
            let still: Vec<String> = still.map(|u| u.name().to_owned()).collect();
            if !still.is_empty() {
                let late = began.elapsed().as_secs_f32();
                let who = still.join(", ");
                work.escalate(&format!(
                    "{who}: not stopped within {late:.1} s; KILL through systemd"
                ))?;
                self.call(
                    cx,
                    "kill",
                    &[&["--signal=KILL".to_owned()], still.as_slice()].concat(),
                    exec::LOOK,
                )?;
            }
        } else if said.code != Some(0) && said.code.is_some() {
            return Err(Error::new(format!(
                "not stopped: {} {}: {}",
                self.command("stop", &names),
                said.ended,
                said.tail(3).join("; ")
            )));
        }
        let units = match overdue {
            Overdue::Kill => self.stopped(cx, &names, AFTER_KILL)?,
            Overdue::Leave => self.show(cx, &names)?,
        };
        for unit in units.iter().filter(|u| u.get("Result") == "timeout") {
            // Not ours, and seen only afterwards: on record all the same, because work was cut off.
            work.escalate(&format!(
                "systemd killed {} by its own TimeoutStopSec ({})",
                unit.name(),
                unit.get("TimeoutStopUSec")
            ))?;
        }
        if overdue == Overdue::Leave {
            return Ok(true);
        }
        match units.iter().find(|u| !u.is_stopped()) {
            Some(unit) => Err(Error::new(format!(
                "not stopped: {}{}",
                unit.shown(),
                self.journal(cx, &names, Some(since))
            ))),
            None => Ok(true),
        }
    }

    fn request_commands(&self) -> Vec<String> {
        vec![self.command("stop", &self.names())]
    }

    fn only(&self, name: &str) -> Option<By> {
        Some(By {
            systemd: Some(Systemd {
                unit: Some(name.to_owned()),
                units: Names::default(),
                ctl: self.ctl.clone(),
            }),
            ..By::default()
        })
    }

    fn output(&self, cx: &Context) -> String {
        self.journal(cx, &self.names(), None)
    }
}

/// The units of a list that systemctl prints, without templates, which cannot be started.
fn listed(text: &str, pattern: &str) -> Vec<String> {
    let first = text.lines().filter_map(|l| l.split_whitespace().next());
    let units = first.filter(|name| names::matches(pattern, name) && !name.contains("@."));
    units.map(str::to_owned).collect()
}

fn masked_unit(name: &str) -> String {
    format!("{name} is masked, so systemd would not start it; `systemctl unmask {name}` first")
}

/// The unit of systemd whose main process this is; none where systemd does not run or the unit is no service.
pub(in crate::host::service) fn unit_of(cx: &Context, ident: &Ident) -> Option<String> {
    if !Path::new("/run/systemd/system").is_dir() {
        return None;
    }
    let groups = proc::cgroups(ident.pid);
    let of = |line: &&str| line.starts_with("0::") || line.contains(":name=systemd:");
    let path = groups.lines().find(of)?.rsplit(':').next()?;
    let name = path.split('/').rfind(|part| part.ends_with(".service"))?;
    let systemd = Systemd::of(vec![name.to_owned()]);
    // What was started from the shell of a service belongs to its group, too, and is not its main process.
    let units = systemd.show(cx, &[name.to_owned()]).ok()?;
    let main = units.first()?.get("MainPID");
    (main == ident.pid.to_string()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_units_is_read_as_systemctl_prints_it() {
        let units = "worker@1.service loaded active running A worker\n\
                     worker@2.service loaded failed failed  A worker\n";
        let files = "worker@.service    disabled enabled\nworker@3.service   enabled enabled\n";
        let read = |text: &str| listed(text, "worker@*.service");
        assert_eq!(read(units), ["worker@1.service", "worker@2.service"]);
        assert_eq!(read(files), ["worker@3.service"]);
        assert_eq!(read("0 loaded units listed."), Vec::<String>::new());
    }
}
