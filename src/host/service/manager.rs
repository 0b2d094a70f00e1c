//! What a service manager does: it finds, stops, starts and reloads a service.
//!
//! A manager is chosen by the setting `by` ([`By::manager`]); without it the processes are found by their command lines.
//! Nothing outside this folder tells managers apart: what differs between them is a method here.

use super::by::{By, Chosen};
use super::cmdline::CommandLine;
use super::daemon::DaemonManager;
use super::found::Found;
use super::kind::Kind;
use super::launch::Readiness;
use super::pidfile::Pidfile;
use crate::action::{Context, Error, Work};
use crate::host::process::ending::Grace;
use crate::host::process::identity::Ident;
use crate::host::process::note::Note;
use crate::host::process::tree;
use crate::text::actions as phrases;
use crate::time::Length;
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// Whether a manager that is asked to stop a service may kill what does not end in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// It is killed.
    Kill,
    /// It is left alone.
    Leave,
}

/// Asks a manager until what it says is what is waited for, at most that long: its last answer, be it that or not.
pub(super) fn ask_until<T>(
    limit: Duration,
    pause: Duration,
    mut ask: impl FnMut() -> Result<T, Error>,
    done: impl Fn(&T) -> bool,
) -> Result<T, Error> {
    let deadline = Instant::now() + limit;
    loop {
        let answer = ask()?;
        if done(&answer) || Instant::now() >= deadline {
            return Ok(answer);
        }
        std::thread::sleep(pause);
    }
}

/// Finds, stops, starts and reloads a service.
pub(crate) trait Manager {
    /// What of the service is there now.
    ///
    /// # Errors
    /// [`Error`] when it cannot be seen, or what is seen must not be handled by this manager.
    fn find(&self, cx: &Context, kind: &dyn Kind) -> Result<Found, Error>;

    /// Stops what was found: asked to end, and killed when `grace` is over.
    ///
    /// # Errors
    /// [`Error`] when something of it is left.
    fn stop(
        &self,
        work: &mut Work<'_, Note>,
        kind: &dyn Kind,
        found: &Found,
        grace: Grace,
    ) -> Result<(), Error>;

    /// Starts what was found before, as it ran; where nothing is given, what the settings say. Then waits until it is
    /// ready.
    ///
    /// # Errors
    /// [`Error`] when it does not become ready.
    fn start(
        &self,
        work: &mut Work<'_, Note>,
        kind: &dyn Kind,
        before: Option<&Found>,
        readiness: Readiness<'_>,
        within: Duration,
    ) -> Result<(), Error>;

    /// Makes its first processes take their configuration or code anew.
    ///
    /// # Errors
    /// [`Error`] when that cannot be asked for.
    fn reload(&self, work: &mut Work<'_, Note>, found: &Found) -> Result<(), Error> {
        for master in &found.masters {
            work.note(Note::Reloading {
                process: master.ident.clone(),
            })?;
            let sent = master.ident.signal(Signal::HUP);
            if !sent.map_err(|e| Error::io(format!("cannot signal {}", master.shown()), &e))? {
                return Err(Error::new(format!("{} has ended", master.shown())));
            }
            work.log_line(&format!("HUP to {}", master.shown()));
        }
        Ok(())
    }

    /// The commands of a stop, for people; without a look where nothing is given.
    fn stop_commands(&self, kind: &dyn Kind, grace: Length, found: Option<&Found>) -> Vec<String> {
        let name = tree::name(kind.gentle());
        match found {
            Some(found) => found
                .masters
                .iter()
                .map(|m| phrases::signal_and_kill(name, grace, m.shown()))
                .collect(),
            None => vec![phrases::signal_and_kill(name, grace, kind.localized())],
        }
    }

    /// The commands of a start, for people: of what was found before, as it ran, or of what the settings say.
    fn start_commands(&self, kind: &dyn Kind, before: Option<&Found>) -> Vec<String>;

    /// The commands of a reload, for people; without a look where nothing is given.
    fn reload_commands(&self, kind: &dyn Kind, found: Option<&Found>) -> Vec<String> {
        vec![match found {
            Some(found) => phrases::hup(found.shown()),
            None => phrases::hup(kind.localized()),
        }]
    }

    /// Refuses what could not be started again.
    ///
    /// # Errors
    /// [`Error`] with the remedy.
    fn restartable(&self, _kind: &dyn Kind, _found: &Found) -> Result<(), Error> {
        Ok(())
    }

    /// Refuses a set of which the settings name a member, or a pattern, that is not there.
    ///
    /// # Errors
    /// [`Error`] that names it.
    fn complete(&self, _cx: &Context, _found: &Found) -> Result<(), Error> {
        Ok(())
    }

    /// The settings mean a set of programs or units, whose members may come and go.
    fn is_set(&self) -> bool {
        false
    }

    /// That program or unit is one that the settings mean, and none that is stopped with it.
    fn is_member(&self, _name: &str) -> bool {
        true
    }

    /// Why what was found is not what the settings mean, although it stands in its place.
    fn mismatch(&self, _found: &Found) -> Option<String> {
        None
    }

    /// Why a start would fail, or start something else than the operator expects.
    fn refusal(&self, _cx: &Context, _found: &Found) -> Result<Option<String>, Error> {
        Ok(None)
    }

    /// Who lives of what was found, workers included, and of nothing else.
    fn left(&self, found: &Found) -> Vec<Ident> {
        tree::living(&found.all())
    }

    /// Under which key the process that a start launches is noted.
    fn key(&self, kind: &dyn Kind) -> String {
        format!("{}-0", kind.name())
    }

    /// Removes what a dead process of its service has left, such as a pidfile: its name.
    ///
    /// # Errors
    /// [`Error`] when it cannot be removed.
    fn tidy(&self) -> Result<Option<String>, Error> {
        Ok(None)
    }

    /// What a dead process of its service has left, such as a pidfile.
    fn leftover(&self) -> Option<String> {
        None
    }

    /// The command by which the settings start it, where they say it: what it starts need not look like what ran.
    fn start_argv(&self) -> &[String] {
        &[]
    }

    /// The directory that the settings name for its start.
    fn dir(&self) -> Option<&str> {
        None
    }

    /// It starts again what ends by itself, so only it can stop a service.
    fn restarts(&self) -> bool {
        false
    }

    /// The program or unit that it runs that process as.
    fn name_of(&self, _cx: &Context, _process: &Ident) -> Option<String> {
        None
    }

    /// A dead process of its service may leave a pidfile, which its stop removes.
    fn has_pidfile(&self) -> bool {
        false
    }

    /// Asks it to stop what it runs of what was found, and waits at most `grace`. `false`: it starts and stops nothing
    /// by itself, and nobody was asked.
    ///
    /// # Errors
    /// [`Error`] when it refuses, or something is not stopped although it may be killed.
    fn request_stop(
        &self,
        _work: &mut Work<'_, Note>,
        _found: &Found,
        _grace: Duration,
        _overdue: Overdue,
    ) -> Result<bool, Error> {
        Ok(false)
    }

    /// The commands by which [`Manager::request_stop`] asks, for people.
    fn request_commands(&self) -> Vec<String> {
        Vec::new()
    }

    /// The settings that mean only that one of the programs or units that it names.
    fn only(&self, _name: &str) -> Option<By> {
        None
    }

    /// The last lines that it has collected of the output of what the settings mean now.
    fn output(&self, _cx: &Context) -> String {
        String::new()
    }
}

impl By {
    /// The manager that the settings choose.
    pub(crate) fn manager(&self) -> Box<dyn Manager + '_> {
        match self.chosen() {
            Some(Chosen::Supervisor(supervisor)) => Box::new(supervisor),
            Some(Chosen::Systemd(systemd)) => Box::new(systemd),
            Some(Chosen::Process(daemon)) => Box::new(DaemonManager::of(daemon)),
            Some(Chosen::Pidfile(path)) => Box::new(Pidfile { path, by: self }),
            Some(Chosen::Match(pattern)) => Box::new(CommandLine {
                pattern: Some(pattern),
                by: Some(self),
            }),
            // What `By::problems` refuses.
            None => Box::new(CommandLine {
                pattern: None,
                by: Some(self),
            }),
        }
    }
}

/// The manager of these settings; without any, the processes are found by their command lines.
pub(crate) fn manager_of(by: Option<&By>) -> Box<dyn Manager + '_> {
    match by {
        Some(by) => by.manager(),
        None => Box::new(CommandLine {
            pattern: None,
            by: None,
        }),
    }
}

/// The setting of the manager that runs that process and would start it again: for an error's remedy.
pub(crate) fn managed(cx: &Context, ident: &Ident) -> Option<String> {
    super::supervisord::program_of(ident)
        .map(|program| format!("supervisord, which would start it again; set `by: {{supervisor: {{program: '{program}'}}}}`"))
        .or_else(|| {
            super::systemd::unit_of(cx, ident)
                .map(|unit| format!("systemd, which may start it again; set `by: {{systemd: {{unit: {unit}}}}}`"))
        })
}
