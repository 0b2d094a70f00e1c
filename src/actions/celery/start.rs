//! `celery.start`: workers that answer and consume, or a beat that works, whoever keeps them.
//!
//! Evidence: for a worker, its own answer, from a process that lives here, with the queues that it consumes; for a beat,
//! that it lives and has written its pidfile or its schedule. That a process was started, or that supervisord calls it
//! RUNNING, is none: a worker whose libraries do not fit together dies after that. The undo drains and stops what the
//! step started, and leaves alone what ran before.

use super::App;
use super::beat;
use super::cmdline::{self, Role};
use super::deaths::Written;
use super::find::{self, Live};
use super::restore::{Asker, PAUSE, Wanted};
use super::snapshot::{self, Snapshot};
use super::stop::{self, ANY, Overdue, Stop};
use super::workers::{Running, Workers};
use crate::action::{
    Action, Consequences, Context, Direction, Error, Family, Look, Past, Preview, Properties,
    Service, Stage, Work,
};
use crate::failpoint;
use crate::host::process::note::{self, Note};
use crate::host::service::found::Program;
use crate::host::service::launch::{self, Readiness};
use crate::host::service::{By, set};
use crate::system::proc;
use crate::text::actions as phrases;
use crate::text::settings as text;
use crate::time::{self, Length};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use upledger_replay::event::Answer;

/// Starts Celery workers, or beat, and waits until each worker answers and consumes, or beat is running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// The processes: `worker` or `beat`. Default: worker.
    #[serde(default)]
    pub role: Role,
    /// Their manager, which starts them.
    pub by: By,
    /// The time limit until they answer. Default: 1m.
    #[serde(default = "stop::grace")]
    pub within: Length,
    /// Queues that at least one of the workers must consume.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queues: Vec<String>,
    /// How to inspect the workers of the application. Default: as the workers run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<App>,
}

/// What a start came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Started {
    /// The number of workers or beats that were started.
    pub started: u32,
    /// The processes, by pid and node name.
    pub processes: String,
    /// The number of running processes.
    pub running: u32,
}

impl Started {
    fn of(before: &Snapshot, live: &[Live]) -> Self {
        let fresh: Vec<Live> = live
            .iter()
            .filter(|l| !before.knows(&l.ident))
            .cloned()
            .collect();
        let count = |of: &[Live]| u32::try_from(of.len()).unwrap_or(u32::MAX);
        Self {
            started: count(&fresh),
            processes: find::names(&fresh),
            running: count(live),
        }
    }
}

impl Start {
    fn workers(&self) -> Workers<'_> {
        Workers {
            role: self.role,
            by: Some(&self.by),
            app: self.app.as_ref().unwrap_or(&ANY),
            origin: None,
        }
    }

    fn within(&self) -> Duration {
        Duration::from_millis(self.within.0)
    }

    fn wanted(&self, cx: &Context) -> Wanted {
        Wanted {
            programs: None,
            spared: cx.was_down.clone(),
            count: 1,
            queues: BTreeMap::new(),
            anywhere: self.queues.clone(),
        }
    }

    /// The stop that its undo is.
    fn stop(&self, by: By) -> Stop {
        Stop {
            role: self.role,
            drain: stop::drain(),
            grace: stop::grace(),
            queues: Vec::new(),
            overdue: Overdue::Fail,
            by: Some(by),
            app: self.app.clone(),
            within: self.within,
        }
    }

    /// A process whose directory or interpreter was taken away runs what was there before.
    fn fresh(&self, seen: &Running) -> Result<(), Error> {
        for live in &seen.live {
            let there = Path::new(&live.origin.cwd).is_dir();
            if !there || !live.origin.meant(self.workers().app) {
                return Err(Error::new(format!(
                    "{} is already running, but not as `app` describes, or in a directory that no longer exists ({}): stop it first",
                    live.shown(),
                    live.origin.shown()
                )));
            }
        }
        Ok(())
    }

    /// The same with the directory that it gets.
    fn command_in(&self, cx: &Context) -> Option<(&[String], PathBuf)> {
        let (argv, cwd) = self.by.command()?;
        let cwd = cwd.map(PathBuf::from).or_else(|| cx.cwd.clone());
        Some((argv, cwd.unwrap_or_else(|| "/".into())))
    }

    fn forward(&self) -> Vec<String> {
        let mut lines = self.by.manager().start_commands(&self.workers(), None);
        lines.push(match self.role {
            Role::Worker => phrases::wait_workers(self.within),
            Role::Beat => phrases::wait_beat(self.within),
        });
        lines
    }

    /// What the undo does: it stops what this step started.
    fn backward(&self, past: &Past<Self>) -> Vec<String> {
        let launched = || note::launches(past.noted(), &self.key()).last();
        let who = match &past.output {
            Some(output) if output.started == 0 => return vec![phrases::nothing_to_stop()],
            Some(output) => output.processes.clone(),
            None => launched().map_or_else(
                || phrases::every_one(self.role.name()),
                |process| format!("{} {}", self.role.name(), process.pid),
            ),
        };
        let manager = self.by.manager();
        let service = &past.before.service;
        let stopped = service.programs.iter().filter(|p| !p.is_wanted());
        let each: Vec<By> = stopped.filter_map(|p| manager.only(&p.name)).collect();
        if service.wanted().next().is_none() || each.is_empty() {
            return self.stop(self.by.clone()).commands(&who);
        }
        let stops = each.into_iter().map(|by| self.stop(by));
        stops.flat_map(|stop| stop.commands(&who)).collect()
    }

    /// The key of what it starts itself.
    fn key(&self) -> String {
        self.by.manager().key(&self.workers())
    }

    /// Stops what these settings mean now, as `celery.stop` does.
    fn end(&self, work: &mut Work<'_, Note>, by: By) -> Result<(), Error> {
        let stop = self.stop(by);
        let now = Past::new(stop.snapshot(work.cx())?);
        stop.perform(work, &now).map(|_| ())
    }

    /// Where it writes, as far as that is known.
    fn logs(&self, cx: &Context) -> Vec<PathBuf> {
        let mut logs: Vec<PathBuf> = Vec::new();
        logs.extend(self.by.logs().map(PathBuf::from));
        if let Some((argv, cwd)) = self.command_in(cx)
            && let Some(words) = cmdline::read(argv)
        {
            let name = words.node.clone().unwrap_or_default();
            logs.extend(find::file(&words.logfile, &name, &cwd));
        }
        // Where nobody says a log, its output goes into a private file.
        logs.push(launch::private_log(cx, &self.key()));
        logs.sort();
        logs.dedup();
        logs.retain(|l| l.is_file());
        logs
    }

    /// A pidfile that a beat's own words complain of, where the settings do not say its command.
    fn complained(&self, work: &mut Work<'_, Note>, why: &str) -> Result<bool, Error> {
        let Some(at) = why.find("Pidfile (") else {
            return Ok(false);
        };
        let rest = &why[at + "Pidfile (".len()..];
        let Some((name, _)) = rest.split_once(") already exists") else {
            return Ok(false);
        };
        let dir = self.app.as_ref().and_then(|a| a.cwd.as_ref());
        let dir = dir.map(PathBuf::from).or_else(|| work.cx().cwd.clone());
        let path = match (Path::new(name).is_absolute(), dir) {
            (true, _) => PathBuf::from(name),
            (false, Some(dir)) => dir.join(name),
            (false, None) => return Ok(false),
        };
        let there = path.exists();
        beat::away(&path, work)?;
        Ok(there && !path.exists())
    }

    /// Ends what a failed attempt of this step has left, which runs with what was wrong then. One that may still become
    /// ready is waited for.
    fn replace(
        &self,
        work: &mut Work<'_, Note>,
        past: &Past<Self>,
        seen: &Running,
    ) -> Result<(), Error> {
        let (cx, workers) = (work.cx(), self.workers());
        let strange = |l: &&Live| !past.before.knows(&l.ident);
        let fresh: Vec<Live> = seen.live.iter().filter(strange).cloned().collect();
        if fresh.is_empty() {
            return Ok(());
        }
        let ages = fresh.iter().filter_map(|l| proc::age(l.ident.starttime));
        let left = self.within().saturating_sub(ages.min().unwrap_or_default());
        let look = Asker::new(cx, workers, work.all_noted()).wait(&self.wanted(cx), left)?;
        if look.answer == Answer::Done {
            return Ok(());
        }
        let (names, why) = (find::names(&fresh), look.evidence.join("; "));
        let ours = note::launched(past.noted(), &self.key()).is_some();
        if !ours && !self.by.manager().restarts() {
            return Err(Error::new(format!(
                "{names} was not started by this step and is not ready: stop it first: {why}"
            )));
        }
        work.log_line(&format!("{names} is replaced, which is not ready: {why}"));
        let stop = Stop {
            // Whoever does not answer cannot be drained; TERM lets it finish what it runs.
            drain: Length(0),
            ..self.stop(self.by.clone())
        };
        let now = Past::new(stop.snapshot(work.cx())?);
        stop.perform(work, &now).map(|_| ())
    }

    fn up(&self, work: &mut Work<'_, Note>) -> Result<(), Error> {
        let cx = work.cx();
        let workers = self.workers();
        let written = Written::into(self.logs(cx));
        let readiness = Readiness {
            ready: None,
            ports: &[],
        };
        let began = Instant::now();
        let started = self
            .by
            .manager()
            .start(work, &workers, None, readiness, self.within());
        if let Err(why) = started {
            let why = why.to_string();
            // Whoever dies between two looks of its manager has still said why.
            let last = written.last(cx, &workers, &self.logs(cx));
            let shown = why.contains(last.trim());
            let last = if shown { "" } else { &last };
            return Err(Error::new(format!("{why}{last}")));
        }
        failpoint::hit("celery-started");
        let mut asker = Asker::new(cx, workers, work.all_noted());
        let wanted = self.wanted(cx);
        let mut said = String::new();
        loop {
            let look = asker.look(&wanted)?;
            let text = look.evidence.join("; ");
            if text != said {
                work.log_line(&text);
                said.clone_from(&text);
            }
            if look.answer == Answer::Done {
                return Ok(());
            }
            let why = if asker.is_dead() {
                "it exited after the start".to_owned()
            } else if began.elapsed() >= self.within() {
                format!("not ready within {}", time::said(self.within()))
            } else {
                std::thread::sleep(PAUSE);
                continue;
            };
            let files: Vec<PathBuf> = self.logs(cx).into_iter().chain(asker.logs()).collect();
            let last = written.last(cx, &workers, &files);
            return Err(Error::new(format!("{why}: {text}{last}")));
        }
    }
}

impl Action for Start {
    type Before = Snapshot;
    type Note = Note;
    type Output = Started;

    fn properties(&self) -> Properties {
        let program = self.by.program();
        Properties {
            writes: self.by.writes(),
            program: program.map(|(p, d)| (p.to_owned(), d.map(str::to_owned))),
            family: self.by.is_set().then_some(Family::Before),
            ..Properties::reversible().at(Stage::Start(match self.role {
                Role::Worker => Service::Workers,
                Role::Beat => Service::Beat,
            }))
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = self.by.problems();
        if problems.is_empty() && !self.by.can_start() {
            problems.push(text::needs("by", "by.start"));
        }
        problems.extend(self.app.iter().flat_map(App::problems));
        if self.role == Role::Beat && !self.queues.is_empty() {
            problems.push(text::beat_has_none("queues"));
        }
        problems
    }

    fn outline(&self, direction: Direction) -> Vec<String> {
        match (direction, self.role) {
            (Direction::Do, _) => self.forward(),
            (Direction::Undo, Role::Worker) => vec![text::undo_workers()],
            (Direction::Undo, Role::Beat) => vec![text::undo_start()],
        }
    }

    fn observe(&self, cx: &Context) -> Result<Snapshot, Error> {
        let workers = self.workers();
        let seen = workers.look(cx)?;
        let manager = self.by.manager();
        manager.complete(cx, &seen.found)?;
        self.fresh(&seen)?;
        let mut before = snapshot::take(cx, &workers, &seen, false)?;
        let changes = set::changes_since_stop(cx, &*manager, &seen.found);
        before.service.notes.extend(changes);
        Ok(before)
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        Preview {
            commands: match direction {
                Direction::Do => {
                    let (manager, service) = (self.by.manager(), &past.before.service);
                    let mut lines = self.forward();
                    lines.extend(set::members(&*manager, service));
                    let notes = service.notes.iter().filter(|_| manager.is_set());
                    lines.extend(notes.map(phrases::looked));
                    lines
                }
                Direction::Undo => self.backward(past),
            },
            ..Preview::default()
        }
    }

    fn probe(&self, cx: &Context, past: &Past<Self>) -> Result<(Look, Option<Started>), Error> {
        let before = &past.before;
        let workers = self.workers();
        let seen = workers.look(cx)?;
        if seen.live.is_empty() {
            let programs = seen.found.programs.iter();
            let mut look = Look::nothing(format!("no {} is running", self.role.name()));
            look.evidence.extend(programs.map(Program::shown));
            look.evidence.extend(seen.found.notes);
            return Ok((look, None));
        }
        self.fresh(&seen)?;
        // Several programs of which some run are started as they are needed.
        let down = seen.found.programs.iter().find(|p| p.is_stopped());
        if let Some(down) = down {
            return Ok((Look::nothing(down.shown()), None));
        }
        let mut look =
            Asker::new(cx, workers, past.noted()).settle(&self.wanted(cx), self.within())?;
        match look.answer {
            Answer::Done => {}
            Answer::Nothing | Answer::Unclear => {
                look.answer = Answer::Unclear;
                return Ok((look, None));
            }
        }
        let old: Vec<Live> = seen
            .live
            .iter()
            .filter(|l| before.knows(&l.ident))
            .cloned()
            .collect();
        if !old.is_empty() {
            look.evidence.push(format!(
                "{} was running before this step",
                find::names(&old)
            ));
        }
        Ok((look, Some(Started::of(before, &seen.live))))
    }

    fn perform(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<Started, Error> {
        let seen = self.workers().look(work.cx())?;
        self.fresh(&seen)?;
        self.replace(work, past, &seen)?;
        if self.role == Role::Beat
            && let Some((argv, cwd)) = self.command_in(work.cx())
        {
            beat::sweep(argv, &cwd, work)?;
        }
        failpoint::hit("celery-start");
        if let Err(why) = self.up(work) {
            // supervisord's own settings say the command: its output tells what keeps the beat from starting.
            if self.role == Role::Worker || !self.complained(work, &why.to_string())? {
                return Err(why);
            }
            self.up(work)?;
        }
        let live = self.workers().look(work.cx())?.live;
        Ok(Started::of(&past.before, &live))
    }

    fn undo(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<(), Error> {
        let before = &past.before;
        let seen = self.workers().look(work.cx())?;
        let fresh = seen.live.iter().filter(|l| !before.knows(&l.ident)).count();
        if fresh == 0 && !(before.members.is_empty() && seen.found.runs()) {
            work.log_line("no process started by this step is running");
            return Ok(());
        }
        if fresh == seen.live.len() {
            return self.end(work, self.by.clone());
        }
        let manager = self.by.manager();
        let mut ended = false;
        for name in seen.found.wanted() {
            if !before.service.wanted().any(|b| b == name)
                && let Some(by) = manager.only(name)
            {
                self.end(work, by)?;
                ended = true;
            }
        }
        if ended || manager.restarts() {
            return Ok(());
        }
        Err(Error::new(format!(
            "not stopped: some of {} were running before this step and some were not; stop the surplus processes manually",
            find::names(&seen.live)
        )))
    }

    fn consequences(&self, _cx: &Context, _past: &Past<Self>) -> Result<Consequences, Error> {
        // A service is stopped or started; no data is overwritten.
        Ok(Consequences::none())
    }

    fn undone(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        let before = &past.before;
        let seen = self.workers().look(cx)?;
        if let Some(fresh) = seen.live.iter().find(|l| !before.knows(&l.ident)) {
            return Ok(Look::nothing(format!("{} is running", fresh.shown())));
        }
        Ok(if before.members.is_empty() {
            Look::done(format!("no {} is running", self.role.name()))
        } else if seen.live.len() == before.members.len() {
            Look::done(format!(
                "{} was running before this step",
                find::names(&seen.live)
            ))
        } else {
            Look::unclear(format!(
                "{} were running before, and not all of them still are",
                before.names(self.role)
            ))
        })
    }
}
