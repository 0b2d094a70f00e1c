//! By whom a service is kept: found, stopped and started in the way of its keeper.
//!
//! Invariants: what is found without a keeper is exactly one service, or the error names them all; a process that
//! supervisord keeps is refused unless the settings name supervisord; a pidfile that names a stranger is told and
//! nobody is signalled for it.

use crate::action::{Context, Error, Work};
use crate::attempt::find_program;
use crate::host::exec::quoted;
use crate::host::process::identity::{Ident, Stat, session};
use crate::host::process::list::{self, Other};
use crate::host::process::note::Note;
use crate::host::process::pidfile as own;
use crate::host::process::tree;
use crate::host::service::by::{By, Way};
use crate::host::service::found::{Found, Master, supervised};
use crate::host::service::launch::{self, Doors, Launch};
use crate::host::service::pidfile::{self, Named};
use crate::system::proc::words as words_of;
use regex::Regex;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use upledger_replay::event::Answer;

/// How long a worker may outlive its master without being in the way.
const STRAY: Duration = Duration::from_secs(2);

/// What a process is to its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The first process.
    Master,
    /// One that a first process has started. Without its master it is an orphan.
    Worker,
}

/// What the processes of a kind of service look like.
pub(crate) trait Kind: Sync {
    /// Its name, for people.
    fn name(&self) -> &'static str;

    /// What that process is to a service of this kind; none when it belongs to none.
    fn role(&self, process: &Other) -> Option<Role>;

    /// The signal that lets it finish its work and end.
    fn gentle(&self) -> Signal {
        Signal::TERM
    }

    /// More than one service of this kind may run, and all of them are meant.
    fn many(&self) -> bool {
        false
    }

    /// The command that starts it, where the settings say it.
    fn command(&self) -> Option<Vec<String>> {
        None
    }

    /// The command that starts that one again, where its command line is not it.
    fn again(&self, _master: &Master) -> Option<Vec<String>> {
        None
    }

    /// What its command line shows is a title that it gave itself, not how it was started.
    fn titled(&self, _words: &[String]) -> bool {
        false
    }

    /// Its workers run as somebody else than its master, which is ours to start.
    fn drops(&self, _worker: &Master) -> bool {
        false
    }

    /// That first process is one of those that the settings mean.
    fn wanted(&self, _process: &Other) -> bool {
        true
    }

    /// A worker without its master does not show whether it is one of those that the settings mean.
    fn placeless(&self) -> bool {
        false
    }

    /// Every process is of this kind, so that only the settings tell one service from another.
    fn any(&self) -> bool {
        false
    }
}

/// Any process: the settings say which.
pub(crate) struct Any;

impl Kind for Any {
    fn name(&self) -> &'static str {
        "the service"
    }

    fn role(&self, _: &Other) -> Option<Role> {
        Some(Role::Master)
    }

    fn many(&self) -> bool {
        true
    }

    fn any(&self) -> bool {
        true
    }
}

/// A kind of service and its keeper.
#[derive(Clone, Copy)]
pub(crate) struct Keeper<'a> {
    pub(crate) by: Option<&'a By>,
    pub(crate) kind: &'a dyn Kind,
}

impl<'a> Keeper<'a> {
    /// The way, where the settings name one.
    pub(crate) fn way(&self) -> Option<Way<'a>> {
        self.by.and_then(By::way)
    }

    /// What it finds now.
    ///
    /// # Errors
    /// [`Error`] when it cannot see, or what it sees must not be touched in this way.
    pub(crate) fn find(&self, cx: &Context) -> Result<Found, Error> {
        let found = match self.way() {
            Some(Way::Supervisor(s)) => return s.find(cx),
            Some(Way::Process(d)) => return daemon(cx, Path::new(&d.pidfile)),
            Some(Way::Pidfile(path)) => self.by_pidfile(cx, path)?,
            Some(Way::Match(pattern)) => {
                let pattern = Regex::new(pattern)
                    .map_err(|e| Error::io("`by.match` is no regular expression", &e))?;
                self.listed(cx, |p| pattern.is_match(&p.command()))?
            }
            None => self.listed(cx, |_| true)?,
        };
        for master in &found.masters {
            if let Some(program) = supervised(&master.ident) {
                return Err(Error::new(format!(
                    "{} is kept by supervisord, which would start it again; say `by: {{supervisor: {{program: '{program}'}}}}`",
                    master.shown()
                )));
            }
        }
        Ok(found.with_doors())
    }

    /// The first processes of this kind that are wanted.
    fn listed(&self, cx: &Context, wanted: impl Fn(&Other) -> bool) -> Result<Found, Error> {
        let all: BTreeMap<i32, (Other, Role)> = list::others()?
            .into_iter()
            .filter(|p| !self.kind.any() || wanted(p))
            .filter_map(|p| self.kind.role(&p).map(|role| (p.pid, (p, role))))
            .collect();
        let mut found = Found::default();
        let mut strays: Vec<Master> = Vec::new();
        for (pid, (process, role)) in &all {
            if all.contains_key(&process.parent) {
                continue;
            }
            // Asked of the first ones only: a worker shows less, and without its master it would seem an orphan.
            let meant = self.kind.any() || (wanted(process) && self.kind.wanted(process));
            let stray = !meant && *role == Role::Worker && self.kind.placeless() && wanted(process);
            if !meant && !stray {
                continue;
            }
            let Some(ident) = Ident::of(*pid) else {
                continue;
            };
            // Its number may have passed on since the list was made.
            if words_of(*pid) != process.words {
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
            // A worker outlives its master by a moment; only one that stays is in anybody's way.
            let until = Instant::now() + STRAY;
            while strays.iter().any(|s| s.ident.alive()) && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        let stay = strays.iter().filter(|s| s.ident.alive());
        found.strays = stay.map(Master::shown).collect();
        if !self.kind.many() {
            self.one(&found)?;
        }
        Ok(found)
    }

    /// Refuses more than one service.
    fn one(&self, found: &Found) -> Result<(), Error> {
        let masters: Vec<&Master> = found.masters.iter().filter(|m| !m.orphan).collect();
        let first = masters.first();
        if masters.len() > 1
            && masters
                .iter()
                .any(|m| Some(m.service()) != first.map(|f| f.service()))
        {
            let name = self.kind.name();
            return Err(Error::new(format!(
                "there is more than one {name}: {}; say which by `by: {{pidfile: ...}}` or `by: {{match: ...}}`",
                found.shown()
            )));
        }
        Ok(())
    }

    fn by_pidfile(&self, cx: &Context, path: &str) -> Result<Found, Error> {
        let mut found = Found::default();
        let others = list::others()?;
        let mut former = None;
        let stale = match pidfile::read(Path::new(path))? {
            Named::Nobody => format!("{path} names nobody"),
            Named::Stale(pid, why) => {
                former = Some(pid);
                why
            }
            Named::Doubtful(ident, why) => {
                let process = others.iter().find(|p| p.pid == ident.pid);
                if process.is_some_and(|p| self.kind.role(p).is_some()) {
                    return Err(Error::new(why));
                }
                former = Some(ident.pid);
                format!(
                    "{path} is stale: its number has passed to {}, which is no {}",
                    ident.shown(),
                    self.kind.name()
                )
            }
            Named::Process(ident) => {
                let process = others.iter().find(|p| p.pid == ident.pid);
                match process.and_then(|p| self.kind.role(p).map(|_| p)) {
                    Some(process) => {
                        found
                            .masters
                            .extend(Master::look(cx, &ident, &process.words)?);
                        return Ok(found);
                    }
                    None => format!(
                        "{path} is stale: {} is no {}",
                        ident.shown(),
                        self.kind.name()
                    ),
                }
            }
        };
        // A master that was killed leaves its pidfile, and workers that still accept: they show the same command line.
        for process in &others {
            let start = self.by.map(|b| b.start.as_slice()).unwrap_or_default();
            let same = process
                .words
                .iter()
                .any(|w| w == path || w.ends_with(&format!("={path}")))
                || (start.len() > 1 && process.words.ends_with(start));
            let parent = others
                .iter()
                .any(|p| p.pid == process.parent && p.words == process.words);
            // A session's number is not given to a new process while the session has members.
            let session = former.is_some_and(|f| {
                let of = Stat::of(process.pid);
                of.is_some_and(|s| s.session == f)
                    && Stat::of(f).is_none_or(|s| !s.lives() || s.session != f)
            });
            if (same || session)
                && !parent
                && self.kind.role(process) == Some(Role::Worker)
                && let Some(ident) = Ident::of(process.pid)
                && let Some(mut master) = Master::look(cx, &ident, &process.words)?
            {
                master.orphan = true;
                found.notes.push(master.shown());
                found.masters.push(master);
            }
        }
        found.notes.insert(0, stale);
        Ok(found)
    }

    /// Who lives of what was found, workers included, and of nothing else.
    pub(crate) fn left(&self, found: &Found) -> Vec<Ident> {
        let mut left = tree::living(&found.all());
        if let Some(Way::Process(_)) = self.way() {
            for master in &found.masters {
                for member in session(&master.ident) {
                    if !left.contains(&member) {
                        left.push(member);
                    }
                }
            }
        }
        left
    }

    /// Stops what was found: told gently, and killed after `grace`. What is not told by a signal of ours is told by
    /// its keeper.
    ///
    /// # Errors
    /// [`Error`] when something of it is left.
    pub(crate) fn stop(
        &self,
        work: &mut Work<'_, Note>,
        found: &Found,
        grace: Duration,
    ) -> Result<(), Error> {
        match self.way() {
            Some(Way::Supervisor(s)) => {
                if found.runs() {
                    s.stop(work, found, grace)?;
                }
                // What it started may outlive it: supervisord ends only the process that it knows.
                tree::end(work, found, None, Duration::from_secs(2).min(grace))
            }
            Some(Way::Process(d)) => {
                for master in &found.masters {
                    crate::host::process::session::end(
                        work,
                        &master.ident,
                        &master.members,
                        grace,
                    )?;
                    own::remove(Path::new(&d.pidfile), &master.ident)?;
                }
                Ok(())
            }
            Some(Way::Pidfile(_) | Way::Match(_)) | None => {
                tree::end(work, found, Some(self.kind.gentle()), grace)?;
                if let Some(Way::Pidfile(path)) = self.way() {
                    for master in &found.masters {
                        if pidfile::remove(Path::new(path), &master.ident)? {
                            work.log_line(&format!("removed {path}, which its process had left"));
                        }
                    }
                }
                Ok(())
            }
        }
    }

    /// Starts what was found before, as it ran; or, where nothing is given, by the settings. Then waits until it
    /// answers.
    ///
    /// # Errors
    /// [`Error`] when it does not come up.
    pub(crate) fn start(
        &self,
        work: &mut Work<'_, Note>,
        before: Option<&Found>,
        doors: Doors<'_>,
        within: Duration,
    ) -> Result<(), Error> {
        let cx = work.cx();
        match self.way() {
            Some(Way::Supervisor(s)) => {
                let wanted = |f: &Found| -> Vec<String> {
                    let wanted = f.programs.iter().filter(|p| p.wanted());
                    wanted.map(|p| p.name.clone()).collect()
                };
                let now = self.find(cx)?;
                let names = match before {
                    Some(before) => wanted(before),
                    None => now.programs.iter().map(|p| p.name.clone()).collect(),
                };
                if !now.runs()
                    && let Some(who) = doors.stranger()?
                {
                    return Err(Error::new(format!("not started: {who}")));
                }
                s.start(work, &names, &now, within)?;
                let look = doors.wait(cx, within, launch::DEAD, &|| self.find(cx))?;
                let seen = look.evidence.join("; ");
                match look.answer {
                    Answer::Done => {
                        work.log_line(&seen);
                        Ok(())
                    }
                    Answer::Nothing => Err(Error::new(format!(
                        "it was started and did not stay: {seen}{}",
                        s.tails(cx, &names)
                    ))),
                    Answer::Unclear => Err(Error::new(format!(
                        "not ready within {} s: {seen}{}",
                        within.as_secs_f32(),
                        s.tails(cx, &names)
                    ))),
                }
            }
            Some(Way::Process(d)) => {
                let ready = doors.ready.cloned();
                let within =
                    crate::time::Length(u64::try_from(within.as_millis()).unwrap_or(u64::MAX));
                d.start(ready, within).bring_up(work)
            }
            Some(Way::Pidfile(_) | Way::Match(_)) | None => {
                for (key, launch) in self.launches(cx, before)? {
                    let find = || self.of(cx, before, &launch);
                    launch::bring_up(work, &key, &launch, doors, within, &find)?;
                }
                Ok(())
            }
        }
    }

    /// The commands that start it, for people: what was found before as it ran, or what the settings say.
    pub(crate) fn start_commands(&self, before: Option<&Found>) -> Vec<String> {
        let given = self.by.map(|b| b.start.clone()).filter(|s| !s.is_empty());
        match (self.way(), before) {
            (Some(Way::Supervisor(s)), Some(before)) => before
                .programs
                .iter()
                .filter(|p| p.wanted())
                .map(|p| format!("{} start {}", s.ctl.join(" "), p.name))
                .collect(),
            (Some(Way::Supervisor(s)), None) => {
                vec![format!("{} start {}", s.ctl.join(" "), s.program)]
            }
            (Some(Way::Process(d)), _) => vec![quoted(&d.argv)],
            (_, Some(before)) => services(before)
                .into_iter()
                .map(|m| {
                    let again = given.clone().or_else(|| self.again(m));
                    quoted(&again.unwrap_or_else(|| m.argv.clone()))
                })
                .collect(),
            (_, None) => given
                .or_else(|| self.kind.command())
                .iter()
                .map(|argv| quoted(argv))
                .collect(),
        }
    }

    /// What is found of one of several services that are started one after the other.
    fn of(&self, cx: &Context, before: Option<&Found>, launch: &Launch) -> Result<Found, Error> {
        let mut now = self.find(cx)?;
        if self.kind.many() && before.is_some_and(|b| services(b).len() > 1) {
            let argv: Vec<String> = launch.argv.clone();
            let mut kept = Vec::new();
            for master in now.masters {
                if master.words(cx)? == argv {
                    kept.push(master);
                }
            }
            now.masters = kept;
        }
        Ok(now)
    }

    /// The command that starts that one again, where its command line is not it.
    fn again(&self, master: &Master) -> Option<Vec<String>> {
        self.kind.again(master).or_else(|| self.kind.command())
    }

    /// Refuses what could not be started again.
    ///
    /// # Errors
    /// [`Error`] with the remedy.
    pub(crate) fn restartable(&self, found: &Found) -> Result<(), Error> {
        if matches!(self.way(), Some(Way::Supervisor(_) | Way::Process(_)))
            || self.by.is_some_and(|b| !b.start.is_empty())
        {
            return Ok(());
        }
        let hidden = |m: &&Master| self.kind.titled(&m.argv) && self.again(m).is_none();
        match found.masters.iter().find(hidden) {
            Some(master) => Err(Error::new(format!(
                "{} shows a title instead of the command that started it, so its undo could not start it again; say `by.start`",
                master.shown()
            ))),
            None => Ok(()),
        }
    }

    /// The commands that start it, each under a key of its own.
    fn launches(
        &self,
        cx: &Context,
        before: Option<&Found>,
    ) -> Result<Vec<(String, Launch)>, Error> {
        let by = self.by.cloned().unwrap_or_default();
        let step = || cx.cwd.as_ref().map(|c| c.display().to_string());
        let given = Some(by.start).filter(|s| !s.is_empty());
        let mut launches = Vec::new();
        for (nth, master) in before
            .map(services)
            .unwrap_or_default()
            .into_iter()
            .enumerate()
        {
            let mut argv = match given.clone().or_else(|| self.again(master)) {
                Some(argv) => argv,
                None => master.words(cx)?,
            };
            let cwd = by.cwd.clone().unwrap_or_else(|| master.cwd.clone());
            let path = cx.env.iter().rev().find(|(k, _)| k == "PATH");
            if let Some(first) = argv.first_mut()
                && find_program(first, path.map(|(_, v)| v.as_str()), Path::new(&cwd)).is_err()
            {
                // It was found in a PATH that is not ours.
                first.clone_from(&master.exe);
            }
            launches.push((
                format!("{}-{nth}", self.kind.name()),
                Launch {
                    argv,
                    cwd,
                    log: by.log.clone().or_else(|| log(master)),
                    user: foreign(master).filter(|_| !(master.orphan && self.kind.drops(master))),
                },
            ));
        }
        if launches.is_empty() {
            let argv = given.or_else(|| self.kind.command()).ok_or_else(|| {
                Error::new(format!(
                    "it is not known how {} is started: say `by.start`",
                    self.kind.name()
                ))
            })?;
            launches.push((
                format!("{}-0", self.kind.name()),
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
}

/// As whom it has to be started, where that is not as us.
fn foreign(master: &Master) -> Option<crate::host::process::daemon::User> {
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
    for master in &found.masters {
        if services.iter().all(|s| s.service() != master.service()) {
            services.push(master);
        }
    }
    services
}

/// The daemon of a pidfile of `process.start`.
fn daemon(cx: &Context, path: &Path) -> Result<Found, Error> {
    let mut found = Found::default();
    if let Some(record) = own::read(path)?.filter(own::Record::alive)
        && let Some(mut master) = Master::look(cx, &record.ident, &record.argv)?
    {
        master.members = session(&record.ident);
        found.masters.push(master);
    }
    Ok(found.with_doors())
}
