//! A daemon that is known by a pidfile of ours: started unless it runs, then watched until it is ready; ended with its whole
//! session.
//!
//! Invariants: a port that somebody else holds is found before anything is started; a death during the start is told
//! with the last lines of the log. A service that is not ready in time is left running: the undo stops it, and a further
//! attempt goes on waiting for it.

use super::by;
use super::found::{Found, Master};
use super::kind::Kind;
use super::launch::Readiness;
use super::manager::Manager;
use crate::action::{Context, Error, Look, Work};
use crate::attempt::traceback;
use crate::encoding;
use crate::host::exec::quoted;
use crate::host::process::daemon::{DaemonSpec, Launched, launch};
use crate::host::process::ending::Grace;
use crate::host::process::identity::Ident;
use crate::host::process::note::Note;
use crate::host::process::pidfile::{self, Record};
use crate::host::process::session::{Left, end, left, remains};
use crate::host::process::{mask, note, tree};
use crate::host::service::ready::{Ready, accepts, taken};
use crate::text::actions as phrases;
use crate::time::Length;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};
use upledger_replay::event::Answer;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a service without `ready` must live to count as started. Most mistakes show at once.
const SETTLE: Duration = Duration::from_millis(500);
/// Lines of the log that an error shows.
const LINES: usize = 10;

/// A stranger that holds the service's port, while the service does not run.
pub(crate) fn stranger(ready: Option<&Ready>) -> Option<String> {
    let (host, port) = ready?.door()?;
    accepts(&host, port).then(|| {
        let who = taken(port).unwrap_or_else(|| "a process that cannot be seen from here".into());
        format!("port {port} is taken by {who}")
    })
}

/// The process of the pidfile runs another command.
pub(crate) fn other(pidfile: &str, record: &Record) -> String {
    format!(
        "{pidfile} names {}, which is running another command: {}",
        record.ident.shown(),
        quoted(&record.argv)
    )
}

/// The processes of an earlier start that outlived their first one.
pub(crate) fn survivors(pidfile: &str, rest: &str) -> String {
    format!("{pidfile}: {rest}; end them before it is started again")
}

/// A daemon, by its pidfile. Where only its stop is wanted, nothing else is known of it.
pub(crate) struct DaemonManager<'a> {
    pub(crate) pidfile: &'a str,
    pub(crate) argv: &'a [String],
    pub(crate) log: &'a str,
    pub(crate) cwd: Option<&'a str>,
}

impl<'a> DaemonManager<'a> {
    pub(super) fn of(daemon: &'a by::Daemon) -> Self {
        Self {
            pidfile: &daemon.pidfile,
            argv: &daemon.argv,
            log: &daemon.log,
            cwd: daemon.cwd.as_deref(),
        }
    }

    fn record(&self) -> Result<Option<Record>, Error> {
        pidfile::read(Path::new(self.pidfile))
    }
}

impl Manager for DaemonManager<'_> {
    fn find(&self, cx: &Context, _kind: &dyn Kind) -> Result<Found, Error> {
        let mut found = Found::default();
        if let Some(record) = self.record()? {
            found.masters.extend(Master::of_record(cx, &record)?);
        }
        Ok(found.with_listeners())
    }

    fn stop(
        &self,
        work: &mut Work<'_, Note>,
        _kind: &dyn Kind,
        found: &Found,
        grace: Grace,
    ) -> Result<(), Error> {
        for master in &found.masters {
            end(work, &master.ident, &master.members, grace)?;
            pidfile::remove(Path::new(self.pidfile), &master.ident)?;
        }
        Ok(())
    }

    fn leftover(&self) -> Option<String> {
        let record = self.record().ok().flatten()?;
        let ended = !record.alive() && remains(&record.ident).is_none();
        ended.then(|| self.pidfile.to_owned())
    }

    fn tidy(&self) -> Result<Option<String>, Error> {
        let Some(record) = self.record()?.filter(|r| !r.alive()) else {
            return Ok(None);
        };
        pidfile::remove(Path::new(self.pidfile), &record.ident)?;
        Ok(Some(self.pidfile.to_owned()))
    }

    fn dir(&self) -> Option<&str> {
        self.cwd
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
        let now = self.record()?.filter(Record::alive);
        let unnamed = note::launches(work.all_noted(), self.pidfile)
            .filter(|i| now.as_ref().is_none_or(|r| r.ident != **i))
            .find(|i| left(i, &[]) != Left::Nothing);
        if let Some(ident) = unnamed {
            return Err(Error::new(format!(
                "not started: {} was started by this step and has not exited, but {} no longer names it",
                ident.shown(),
                self.pidfile
            )));
        }
        let ran = before.and_then(|b| b.masters.first());
        if let Some(ran) = ran.filter(|r| r.ident.alive())
            && now.as_ref().is_none_or(|r| r.ident != ran.ident)
        {
            return Err(Error::new(format!(
                "not started: {} is running, but {} no longer names it",
                ran.shown(),
                self.pidfile
            )));
        }
        let argv = ran.map(|m| m.words(cx)).transpose()?;
        let step = cx.cwd.as_ref().map(|c| c.display().to_string());
        let cwd = match ran {
            Some(master) => Some(master.cwd.clone()),
            None => self.cwd.map(str::to_owned).or(step),
        };
        let daemon = Daemon {
            pidfile: self.pidfile,
            argv: argv.as_deref().unwrap_or(self.argv),
            cwd: cwd.as_deref().unwrap_or("/"),
            log: ran.and_then(|m| m.log.as_deref()).unwrap_or(self.log),
        };
        let began = Instant::now();
        bring_up(work, &daemon, readiness.ready, within)?;
        let within = within.saturating_sub(began.elapsed());
        readiness.stays(
            work,
            kind,
            within,
            Duration::ZERO,
            &|| self.find(cx, kind),
            &String::new,
        )
    }

    fn start_commands(&self, _: &dyn Kind, before: Option<&Found>) -> Vec<String> {
        let ran = before.and_then(|b| b.masters.first());
        let argv = ran.map_or_else(|| mask::words(self.argv), |m| m.argv.clone());
        vec![phrases::start_daemon(quoted(&argv))]
    }

    fn stop_commands(&self, _: &dyn Kind, grace: Length, found: Option<&Found>) -> Vec<String> {
        match found {
            Some(found) => found
                .masters
                .iter()
                .map(|m| phrases::term_and_kill(grace, m.shown()))
                .collect(),
            None => vec![phrases::term_and_kill(grace, self.pidfile)],
        }
    }

    fn mismatch(&self, found: &Found) -> Option<String> {
        let record = self.record().ok().flatten()?;
        let alive = found.masters.iter().any(|m| m.ident == record.ident) && record.alive();
        (alive && !self.argv.is_empty() && record.argv != self.argv)
            .then(|| other(self.pidfile, &record))
    }

    fn refusal(&self, _cx: &Context, found: &Found) -> Result<Option<String>, Error> {
        let dead = self.record()?.filter(|r| !r.alive());
        let rest = dead.and_then(|r| remains(&r.ident));
        Ok(rest
            .map(|rest| survivors(self.pidfile, &rest))
            .or_else(|| self.mismatch(found)))
    }

    fn left(&self, found: &Found) -> Vec<Ident> {
        let mut all = tree::living(&found.all());
        for master in &found.masters {
            if let Left::These(rest) | Left::Untold(rest) = left(&master.ident, &master.members) {
                all.extend(rest);
            }
        }
        all.sort_by_key(|i| i.pid);
        all.dedup();
        all
    }

    fn key(&self, _kind: &dyn Kind) -> String {
        self.pidfile.to_owned()
    }

    fn has_pidfile(&self) -> bool {
        true
    }
}

/// What is to be started.
pub(crate) struct Daemon<'a> {
    pub(crate) pidfile: &'a str,
    pub(crate) argv: &'a [String],
    pub(crate) cwd: &'a str,
    pub(crate) log: &'a str,
}

/// Starts what is not running, noted under the path of its pidfile, and waits until it is ready.
pub(crate) fn bring_up(
    work: &mut Work<'_, Note>,
    daemon: &Daemon<'_>,
    ready: Option<&Ready>,
    within: Duration,
) -> Result<(), Error> {
    let cx = work.cx();
    let redactor = cx.redactor()?;
    let running = pidfile::read(Path::new(daemon.pidfile))?.is_some_and(|r| r.alive());
    if !running && let Some(who) = stranger(ready) {
        return Err(Error::new(format!("not started: {who}")));
    }
    let since = std::fs::metadata(daemon.log).map_or(0, |m| m.len());
    let frame = DaemonSpec {
        pidfile: Some(daemon.pidfile.to_owned()),
        argv: daemon.argv.to_vec(),
        cwd: daemon.cwd.to_owned(),
        log: daemon.log.to_owned(),
        env: cx.env.clone(),
        user: None,
        own_log: false,
        step: cx.step.clone(),
    };
    let child = match launch(work, daemon.pidfile, &frame)? {
        Launched::Started(child) => Some(child),
        Launched::Running(record) if record.argv == daemon.argv => {
            work.log_line(&format!("{} is already running", record.ident.shown()));
            None
        }
        Launched::Running(record) => {
            return Err(Error::new(format!(
                "not started: {}",
                other(daemon.pidfile, &record)
            )));
        }
    };
    let mut start = Start {
        daemon,
        child,
        since,
    };
    let ident = start.alive()?;
    if start.child.is_some() {
        work.log_line(&format!(
            "started {} as process {}",
            quoted(daemon.argv),
            ident.pid
        ));
    }
    let deadline = Instant::now() + if ready.is_some() { within } else { SETTLE };
    loop {
        start.alive()?;
        let over = Instant::now() >= deadline;
        match ready.map(|r| r.look(Some(&ident), &redactor)).transpose()? {
            Some(look) if look.answer == Answer::Done => {
                work.log_line(&look.evidence.join("; "));
                return Ok(());
            }
            None if over => return Ok(()),
            Some(look) if over => return Err(start.late(&ident, within, &look)),
            Some(_) | None => std::thread::sleep(PAUSE),
        }
    }
}

/// How a process ended that seems to be dead: the system closes its files a moment before it can be waited for.
pub(crate) fn ended(child: &mut Child) -> Option<ExitStatus> {
    let until = Instant::now() + PAUSE;
    loop {
        let status = child.try_wait().ok().flatten();
        if status.is_some() || Instant::now() >= until {
            return status;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A service that is starting.
struct Start<'a> {
    daemon: &'a Daemon<'a>,
    child: Option<Child>,
    /// The length of the log before.
    since: u64,
}

impl Start<'_> {
    /// The process, as long as it lives.
    fn alive(&mut self) -> Result<Ident, Error> {
        match pidfile::read(Path::new(self.daemon.pidfile))? {
            Some(record) if record.alive() => Ok(record.ident),
            Some(_) | None => {
                let ended = self.child.as_mut().and_then(ended);
                let how = ended.map_or_else(String::new, |s| {
                    let hint = if s.success() {
                        "; a command that daemonizes itself must be run in the foreground"
                    } else {
                        ""
                    };
                    format!(" ({s}{hint})")
                });
                Err(Error::new(format!(
                    "{} exited during start{how}{}",
                    quoted(self.daemon.argv),
                    self.lines()
                )))
            }
        }
    }

    fn late(&self, ident: &Ident, within: Duration, look: &Look) -> Error {
        Error::new(format!(
            "{} is running, but was not ready within {} s: {}{}",
            ident.shown(),
            within.as_secs_f32(),
            look.evidence.join("; "),
            self.lines()
        ))
    }

    fn lines(&self) -> String {
        last_lines(Path::new(self.daemon.log), self.since)
    }
}

/// The last lines that a service wrote into its log, of which that many bytes were there before.
pub(crate) fn last_lines(path: &Path, since: u64) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut log = File::open(path)?;
        let len = log.metadata()?.len();
        let from = since.max(len.saturating_sub(16 << 10));
        log.seek(SeekFrom::Start(from))?;
        let mut end = Vec::new();
        log.take(16 << 10).read_to_end(&mut end)?;
        if from > since {
            // The rest of a cut line may be the rest of a secret, which nobody would find any more.
            let line = end.iter().position(|b| *b == b'\n');
            end.drain(..line.map_or(end.len(), |at| at + 1));
        }
        Ok(end)
    };
    // A log that cannot be read has nothing to show; the error itself is told all the same.
    let end = read().unwrap_or_default();
    let text = encoding::shown(&end);
    let last = traceback::last(text.lines(), LINES);
    if last.is_empty() {
        format!("; it wrote nothing into {}", path.display())
    } else {
        format!("; the end of {}:\n{}", path.display(), last.join("\n"))
    }
}
