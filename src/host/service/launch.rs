//! Starting a service as it ran, or by its command: once, as the same user, and watched until it is there.
//!
//! Invariants: of two attempts the second one sees what the first one started, by the note that is durable before
//! anything runs; a port that somebody else holds is found before anything is
//! started; a start that fails is told with the last lines of what it wrote. The command may stay in the foreground or
//! go into the background by itself: what counts is what the manager finds.

use super::by::By;
use super::claim;
use super::kind::Kind;
use super::manager::Manager;
use crate::action::{Context, Error, Look, Work};
use crate::attempt::find_program;
use crate::attempt::spec::digest;
use crate::host::exec::quoted;
use crate::host::files::trust;
use crate::host::process::daemon::{DaemonSpec, Launched, User, launch};
use crate::host::process::mask;
use crate::host::process::note::{self, Note};
use crate::host::process::session::names;
use crate::host::process::sockets;
use crate::host::service::Ready;
use crate::host::service::daemon::{ended, last_lines};
use crate::host::service::found::{Found, Master, Program};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use upledger_replay::event::Answer;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a service must live to count as started. Most mistakes show at once.
pub(super) const SETTLE: Duration = Duration::from_millis(500);
/// How long a service may be out of sight after its command has gone into the background.
const HIDDEN: Duration = Duration::from_secs(10);

/// How long nothing may live of what somebody keeps, who may start it again, before it is given up.
pub(crate) const DEAD: Duration = Duration::from_secs(5);

/// What is started.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) argv: Vec<String>,
    pub(crate) cwd: String,
    /// Where its output goes; none for a private file.
    pub(crate) log: Option<String>,
    pub(crate) user: Option<User>,
}

/// How it is known to answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Readiness<'a> {
    /// What the settings want.
    pub(crate) ready: Option<&'a Ready>,
    /// Ports that it accepted on before.
    pub(crate) ports: &'a [u16],
}

impl Readiness<'_> {
    /// A stranger who holds one of them while the service does not run.
    pub(crate) fn stranger(&self) -> Result<Option<String>, Error> {
        if let Some(who) = super::daemon::stranger(self.ready) {
            return Ok(Some(who));
        }
        for port in self.ports {
            let listeners = sockets::listeners(*port)?;
            if let Some(first) = listeners.first() {
                return Ok(Some(format!("port {port} is taken: {first}")));
            }
        }
        Ok(None)
    }

    /// Refuses to start what does not run while a stranger holds one of them.
    pub(super) fn refuse_stranger(&self, now: &Found) -> Result<(), Error> {
        if now.runs() {
            return Ok(());
        }
        match self.stranger()? {
            Some(who) => Err(Error::new(format!("not started: {who}"))),
            None => Ok(()),
        }
    }

    /// Whether what was found answers now.
    pub(crate) fn look(&self, cx: &Context, found: &Found) -> Result<Look, Error> {
        let first = found.masters.first();
        let mut evidence = match first {
            Some(_) => vec![format!("{} is running", found.shown())],
            None if found.has_no_process() || (self.ready.is_some() && found.is_finished()) => {
                found.programs.iter().map(Program::shown).collect()
            }
            None => {
                let states: Vec<String> = found.programs.iter().map(Program::shown).collect();
                let mut look = Look::nothing("none of its processes is running");
                look.evidence.extend(states);
                return Ok(look);
            }
        };
        if let Some(port) = sockets::closed(self.ports)? {
            return Ok(Look::unclear(format!(
                "{}, but port {port} does not accept connections",
                found.shown()
            )));
        }
        if let Some(port) = self.ports.iter().find(|p| !found.ports.contains(p)) {
            return Ok(Look::unclear(format!(
                "port {port} is used by another process: {}",
                sockets::open(&[*port])?.unwrap_or_default()
            )));
        }
        evidence.extend(
            self.ports
                .iter()
                .map(|p| format!("port {p} accepts connections")),
        );
        if let Some(ready) = self.ready {
            let look = ready.look(first.map(|m| &m.ident), &cx.redactor()?)?;
            if look.answer != Answer::Done {
                return Ok(look);
            }
            evidence.extend(look.evidence);
        }
        Ok(Look {
            answer: Answer::Done,
            evidence,
        })
    }

    /// Waits until what a manager has started is ready, and the same processes are there after `settle`; `output` is shown
    /// where they are not. A program of which nothing says what it answers, nor what kind of service it is, may end when its
    /// work is done.
    pub(super) fn stays(
        &self,
        work: &mut Work<'_, Note>,
        kind: &dyn Kind,
        within: Duration,
        settle: Duration,
        find: &dyn Fn() -> Result<Found, Error>,
        output: &dyn Fn() -> String,
    ) -> Result<(), Error> {
        if kind.any() && self.ready.is_none() && find()?.is_finished() {
            work.log_line("all of it has done its work and ended as expected");
            return Ok(());
        }
        let mut look = self.wait(work.cx(), within, DEAD, find)?;
        if look.answer == Answer::Done && !settle.is_zero() {
            let first = find()?.idents();
            std::thread::sleep(settle);
            let now = find()?;
            look = self.look(work.cx(), &now)?;
            // What has ended as expected beside others has done its work; nobody may have come instead of it.
            let works = kind.any() && self.ready.is_none();
            let done = now.is_finished() || now.is_up();
            let same = now.idents().iter().all(|i| first.contains(i));
            if now.idents() != first && !(works && done && same) {
                look = Look::nothing(format!("{} has ended", names(&first)));
                look.evidence
                    .extend(now.programs.iter().map(Program::shown));
            }
        }
        let seen = look.evidence.join("; ");
        match look.answer {
            Answer::Done => {
                work.log_line(&seen);
                Ok(())
            }
            Answer::Nothing => Err(Error::new(format!(
                "it exited after the start: {seen}{}",
                output()
            ))),
            Answer::Unclear => Err(Error::new(format!(
                "not ready within {} s: {seen}{}",
                within.as_secs_f32(),
                output()
            ))),
        }
    }

    /// Looks until it answers, nothing of it has lived for `dead`, or the time is over.
    pub(crate) fn wait(
        &self,
        cx: &Context,
        within: Duration,
        dead: Duration,
        find: &dyn Fn() -> Result<Found, Error>,
    ) -> Result<Look, Error> {
        let deadline = Instant::now() + within;
        let mut since: Option<Instant> = None;
        loop {
            let look = self.look(cx, &find()?)?;
            let over = match look.answer {
                Answer::Done => true,
                Answer::Nothing => since.get_or_insert_with(Instant::now).elapsed() >= dead,
                Answer::Unclear => {
                    since = None;
                    false
                }
            };
            if over || Instant::now() >= deadline {
                return Ok(look);
            }
            std::thread::sleep(PAUSE);
            cx.look_anew();
        }
    }
}

/// The private log of what this step starts under that key, where nobody names another.
pub(crate) fn private_log(cx: &Context, key: &str) -> PathBuf {
    let mut tag = digest(&format!("{}\0{}\0{key}", cx.run, cx.step));
    tag.truncate(16);
    let name = format!("{}-{tag}.log", cx.step);
    cx.state.join("logs").join(name)
}

/// Makes the directory of a private log.
fn make_parent(log: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    let dir = log.parent().unwrap_or(Path::new("/"));
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|e| Error::io(format!("cannot make {}", dir.display()), &e))
}

/// Starts it, noted under that key, unless it runs; waits until `find` sees it and it answers.
pub(crate) fn bring_up(
    work: &mut Work<'_, Note>,
    key: &str,
    what: &Launch,
    readiness: Readiness<'_>,
    within: Duration,
    find: &dyn Fn() -> Result<Found, Error>,
) -> Result<(), Error> {
    let cx = work.cx();
    let there = find()?.masters.iter().any(|m| !m.orphan);
    let log = match &what.log {
        Some(log) => log.clone(),
        None => {
            let private = private_log(cx, key);
            make_parent(&private)?;
            private.display().to_string()
        }
    };
    let since = std::fs::metadata(&log).map_or(0, |m| m.len());
    let mut child = None;
    // What an earlier attempt started, which nobody here can wait for.
    let earlier = note::launched(work.all_noted(), key).filter(|_| !there);
    if there {
        work.log_line("it is already running");
    } else if let Some(ident) = &earlier {
        work.log_line(&format!("{} is already running", ident.shown()));
    } else {
        if let Some(who) = readiness.stranger()? {
            return Err(Error::new(format!("not started: {who}")));
        }
        let frame = DaemonSpec {
            pidfile: None,
            argv: what.argv.clone(),
            cwd: what.cwd.clone(),
            log: log.clone(),
            env: cx.env.clone(),
            user: what.user.clone(),
            own_log: what.log.is_none(),
            step: cx.step.clone(),
        };
        match launch(work, key, &frame)? {
            Launched::Started(started) => {
                let shown = mask::words(&what.argv);
                let pid = started.id();
                work.log_line(&format!("started {} as process {pid}", quoted(&shown)));
                child = Some(started);
            }
            Launched::Running(record) => {
                work.log_line(&format!("{} is already running", record.ident.shown()));
            }
        }
    }
    let name = what.argv.first().cloned().unwrap_or_default();
    let lines = || last_lines(Path::new(&log), since);
    let began = Instant::now();
    let mut background: Option<Instant> = None;
    let mut seen: Option<Instant> = None;
    loop {
        if background.is_none()
            && let Some(status) = child.as_mut().and_then(ended)
        {
            if !status.success() {
                return Err(Error::new(format!(
                    "{name} exited during start ({status}){}",
                    lines()
                )));
            }
            background = Some(Instant::now());
        }
        if earlier.as_ref().is_some_and(|e| !e.alive()) {
            background.get_or_insert_with(Instant::now);
        }
        let found = find()?;
        let look = if found.masters.is_empty() {
            // Celery tries its pidfile out before it goes into the background, so what was seen may be out of sight
            // again.
            if seen.take().is_some() {
                background = background.map(|_| Instant::now());
            }
            if background.is_some_and(|b| b.elapsed() >= HIDDEN.min(within)) {
                return Err(Error::new(format!(
                    "{name} was started, but none of its processes is running{}",
                    lines()
                )));
            }
            Look::unclear(format!("no process started by {name} is visible yet"))
        } else {
            seen.get_or_insert_with(Instant::now);
            readiness.look(cx, &found)?
        };
        let settled = there || seen.is_some_and(|s| s.elapsed() >= SETTLE);
        if look.answer == Answer::Done && settled {
            work.log_line(&look.evidence.join("; "));
            return Ok(());
        }
        if look.answer != Answer::Done && began.elapsed() >= within {
            return Err(Error::new(format!(
                "not ready within {} s: {}{}",
                within.as_secs_f32(),
                look.evidence.join("; "),
                lines()
            )));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Starts what nobody manages: each command that ran before, or that of the settings.
pub(super) fn start(
    manager: &dyn Manager,
    by: Option<&By>,
    work: &mut Work<'_, Note>,
    kind: &dyn Kind,
    before: Option<&Found>,
    readiness: Readiness<'_>,
    within: Duration,
) -> Result<(), Error> {
    let cx = work.cx();
    for (key, launch) in launches(by, cx, kind, before)? {
        let find = || {
            let mut now = manager.find(cx, kind)?;
            // Of several services that are started one after the other, this one alone.
            if kind.many() && before.is_some_and(|b| services(b).len() > 1) {
                let mut own = Vec::new();
                for master in now.masters {
                    if master.words(cx)? == launch.argv {
                        own.push(master);
                    }
                }
                now.masters = own;
            }
            Ok(now)
        };
        bring_up(work, &key, &launch, readiness, within, &find)?;
    }
    Ok(())
}

/// The commands of such a start, for people.
pub(super) fn commands(by: Option<&By>, kind: &dyn Kind, before: Option<&Found>) -> Vec<String> {
    let given = by.map(|b| b.start.clone()).filter(|s| !s.is_empty());
    let shown = |argv: Vec<String>| quoted(&mask::words(&argv));
    match before {
        Some(before) => services(before)
            .into_iter()
            .map(|m| {
                let again = given.clone().or_else(|| again(kind, m));
                shown(again.unwrap_or_else(|| m.argv.clone()))
            })
            .collect(),
        None => given
            .or_else(|| kind.command())
            .into_iter()
            .map(shown)
            .collect(),
    }
}

/// Refuses what such a start could not start again.
pub(super) fn restartable(by: Option<&By>, kind: &dyn Kind, found: &Found) -> Result<(), Error> {
    if by.is_none_or(|b| b.log.is_none()) {
        // Refused now, because the undo that has to open it cannot ask anybody.
        let as_us = found.masters.iter().filter(|m| foreign(m).is_none());
        for path in as_us.filter_map(log) {
            trust::ours(&path)?;
        }
    }
    if by.is_some_and(|b| !b.start.is_empty()) {
        return Ok(());
    }
    for master in found.roots().filter(|m| again(kind, m).is_none()) {
        if let Some(why) = claim::refused(kind, master) {
            return Err(Error::new(format!(
                "{}: {why}, so its undo could not start it again; set `by.start`, and `by.cwd` where it matters",
                master.shown()
            )));
        }
    }
    Ok(())
}

/// The command that starts that one again, where its command line is not it.
fn again(kind: &dyn Kind, master: &Master) -> Option<Vec<String>> {
    kind.again(master).or_else(|| kind.command())
}

/// The commands that start it, each under a key of its own.
fn launches(
    by: Option<&By>,
    cx: &Context,
    kind: &dyn Kind,
    before: Option<&Found>,
) -> Result<Vec<(String, Launch)>, Error> {
    let by = by.cloned().unwrap_or_default();
    let step = || cx.cwd.as_ref().map(|c| c.display().to_string());
    let given = Some(by.start).filter(|s| !s.is_empty());
    let mut launches = Vec::new();
    for (nth, master) in before
        .map(services)
        .unwrap_or_default()
        .into_iter()
        .enumerate()
    {
        let mut argv = match given.clone().or_else(|| again(kind, master)) {
            Some(argv) => argv,
            None => master.words(cx)?,
        };
        let cwd = by.cwd.clone().or_else(|| master.start_dir.clone());
        let cwd = cwd.unwrap_or_else(|| master.cwd.clone());
        let path = cx.env.iter().rev().find(|(k, _)| k == "PATH");
        if let Some(first) = argv.first_mut() {
            // It was found in a PATH that is not ours: another may stand in ours.
            if let Some(program) = master.program.clone().filter(|_| master.names(first)) {
                *first = program;
            } else if find_program(first, path.map(|(_, v)| v.as_str()), Path::new(&cwd)).is_err() {
                first.clone_from(&master.exe);
            }
        }
        launches.push((
            format!("{}-{nth}", kind.name()),
            Launch {
                argv,
                cwd,
                log: by.log.clone().or_else(|| log(master)),
                user: foreign(master).filter(|_| !(master.orphan && kind.drops(master))),
            },
        ));
    }
    if launches.is_empty() {
        let argv = given.or_else(|| kind.command()).ok_or_else(|| {
            Error::new(format!(
                "it is not known how {} is started: set `by.start`",
                kind.name()
            ))
        })?;
        launches.push((
            format!("{}-0", kind.name()),
            Launch {
                argv,
                cwd: by.cwd.or_else(step).unwrap_or_else(|| "/".into()),
                log: by.log,
                user: None,
            },
        ));
    }
    Ok(launches)
}

/// As whom it has to be started, where that is not as us.
fn foreign(master: &Master) -> Option<User> {
    let own = rustix::process::geteuid().as_raw();
    (master.user.uid != own).then(|| master.user.clone())
}

/// The file that it wrote to, where it may open that again: somebody else may have opened it for it.
fn log(master: &Master) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let path = master.log.clone()?;
    let Some(user) = foreign(master) else {
        return Some(path);
    };
    let meta = std::fs::metadata(&path).ok()?;
    let bit = if meta.uid() == user.uid {
        0o200
    } else if meta.gid() == user.gid || user.groups.contains(&meta.gid()) {
        0o020
    } else {
        0o002
    };
    (meta.mode() & bit != 0).then_some(path)
}

/// One first process of each service.
fn services(found: &Found) -> Vec<&Master> {
    let mut services: Vec<&Master> = Vec::new();
    for master in found.roots() {
        if services.iter().all(|s| s.service() != master.service()) {
            services.push(master);
        }
    }
    services
}
