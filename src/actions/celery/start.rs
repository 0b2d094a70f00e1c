//! `celery.start`: workers that answer and consume, or a beat that works, whoever keeps them.
//!
//! Evidence: for a worker, its own answer, from a process that lives here, with the queues that it consumes; for a beat,
//! that it lives and has written its pidfile or its schedule. That a process was started, or that supervisord calls it
//! RUNNING, is none: a worker whose libraries do not fit together dies after that. The undo drains and stops what the
//! step started, and leaves alone what ran before.

use super::App;
use super::again::{Asker, Wanted};
use super::beat;
use super::before::{self, Before};
use super::crew::{Crew, Seen};
use super::find;
use super::stop::{self, ANY, Overdue, Stop};
use super::words::Role;
use crate::action::{Direction, Service, Stage, Work};
use crate::actions::process::up::{last_lines, say};
use crate::actions::run::quoted;
use crate::actions::service::By;
use crate::actions::service::by::{Supervisor, Way};
use crate::actions::service::keeper::Kind;
use crate::actions::service::launch::{self, DEAD, Doors};
use crate::actions::{Action, Context, Error, Look};
use crate::failpoint;
use crate::text::actions as told;
use crate::text::settings as text;
use crate::time::{self, Length};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use upledger_replay::event::Answer;
use upledger_replay::plan::Effect;

/// Starts Celery's workers, or its beat, and waits until each worker answers and consumes, or the beat works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Which processes: `worker` or `beat`. Default: worker.
    #[serde(default)]
    pub role: Role,
    /// By whom they are kept, and so how they are started.
    pub by: By,
    /// How long they may take until they answer. Default: 1m.
    #[serde(default = "stop::grace")]
    pub within: Length,
    /// Queues that must be consumed by one of the workers at least.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queues: Vec<String>,
    /// How the application is asked about its workers. Default: as the workers run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<App>,
}

impl Start {
    fn crew(&self) -> Crew<'_> {
        Crew {
            role: self.role,
            by: Some(&self.by),
            app: self.app.as_ref().unwrap_or(&ANY),
            origin: None,
        }
    }

    fn within(&self) -> Duration {
        Duration::from_millis(self.within.0)
    }

    fn wanted(&self) -> Wanted {
        Wanted {
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
    fn fresh(&self, seen: &Seen) -> Result<(), Error> {
        for live in &seen.live {
            let there = Path::new(&live.origin.cwd).is_dir();
            if !there || !live.origin.meant(self.crew().app) {
                return Err(Error::new(format!(
                    "{} runs already, and not what `app` says, or in a directory that is gone ({}): stop it first",
                    live.shown(),
                    live.origin.shown()
                )));
            }
        }
        Ok(())
    }

    /// The command and its directory, where the settings say them.
    fn command(&self, cx: &Context) -> Option<(Vec<String>, String)> {
        let step = || cx.cwd.as_ref().map(|c| c.display().to_string());
        let dir = |cwd: &Option<String>| cwd.clone().or_else(step).unwrap_or_else(|| "/".into());
        match &self.by.process {
            Some(d) => Some((d.argv.clone(), dir(&d.cwd))),
            None if self.by.start.is_empty() => None,
            None => Some((self.by.start.clone(), dir(&self.by.cwd))),
        }
    }

    /// Where it writes, as far as that is known.
    fn logs(&self, cx: &Context) -> Vec<PathBuf> {
        let mut logs: Vec<PathBuf> = Vec::new();
        logs.extend(self.by.process.iter().map(|d| d.log.clone().into()));
        logs.extend(self.by.log.iter().map(PathBuf::from));
        if let Some((argv, cwd)) = self.command(cx)
            && let Some(file) = super::words::read(&argv).and_then(|w| w.logfile)
        {
            logs.push(Path::new(&cwd).join(file));
        }
        // Where nobody says a log, its output goes into a private file.
        logs.push(launch::private_log(
            cx,
            &format!("{}-0", self.crew().name()),
        ));
        logs.sort();
        logs.dedup();
        logs.retain(|l| l.is_file());
        logs
    }

    /// The last lines of what it wrote, also into log files that those who lived named on their command lines.
    fn last(
        &self,
        cx: &Context,
        since: &BTreeMap<PathBuf, u64>,
        named: &BTreeSet<PathBuf>,
    ) -> String {
        let mut logs: BTreeSet<PathBuf> = named.clone();
        let mut said = String::new();
        match &self.by.supervisor {
            Some(s) => said = s.tails(cx, &s.names(cx).unwrap_or_default()),
            None => logs.extend(self.logs(cx)),
        }
        said.extend(
            logs.iter()
                .map(|l| last_lines(l, since.get(l).copied().unwrap_or(0))),
        );
        said
    }

    /// A pidfile that a beat's own words complain of, where the settings do not say its command.
    fn complained(&self, cx: &Context, why: &str, log: &mut dyn Write) -> Result<bool, Error> {
        let Some(at) = why.find("Pidfile (") else {
            return Ok(false);
        };
        let rest = &why[at + "Pidfile (".len()..];
        let Some((name, _)) = rest.split_once(") already exists") else {
            return Ok(false);
        };
        let dir = self.app.as_ref().and_then(|a| a.cwd.as_ref());
        let dir = dir.map(PathBuf::from).or_else(|| cx.cwd.clone());
        let path = match (Path::new(name).is_absolute(), dir) {
            (true, _) => PathBuf::from(name),
            (false, Some(dir)) => dir.join(name),
            (false, None) => return Ok(false),
        };
        let there = path.exists();
        beat::away(&path, log)?;
        Ok(there && !path.exists())
    }

    fn up(&self, cx: &Context, log: &mut dyn Write) -> Result<(), Error> {
        let crew = self.crew();
        let lengths: BTreeMap<PathBuf, u64> = self
            .logs(cx)
            .into_iter()
            .map(|l| {
                let len = std::fs::metadata(&l).map_or(0, |m| m.len());
                (l, len)
            })
            .collect();
        let doors = Doors {
            ready: None,
            ports: &[],
        };
        let began = Instant::now();
        let mut work = Work::new(cx, Direction::Do, log)?;
        let started = crew.keeper().start(&mut work, None, doors, self.within());
        if let Err(why) = started {
            let why = why.to_string();
            // Whoever dies between two looks of its keeper has still said why.
            let last = if why.contains("the end of ") {
                String::new()
            } else {
                self.last(cx, &lengths, &BTreeSet::new())
            };
            return Err(Error::new(format!("{why}{last}")));
        }
        failpoint::hit("celery-started");
        let mut asker = Asker::new(cx, crew);
        let wanted = self.wanted();
        let mut dead: Option<Instant> = None;
        let mut said = String::new();
        loop {
            let look = asker.look(&wanted)?;
            let text = look.evidence.join("; ");
            if text != said {
                say(log, &text);
                said.clone_from(&text);
            }
            match look.answer {
                Answer::Done => return Ok(()),
                Answer::Nothing => {
                    let since = *dead.get_or_insert_with(Instant::now);
                    if since.elapsed() >= DEAD {
                        return Err(Error::new(format!(
                            "it was started and did not stay: {text}{}",
                            self.last(cx, &lengths, asker.logs())
                        )));
                    }
                }
                Answer::Unclear => dead = None,
            }
            if began.elapsed() >= self.within() {
                return Err(Error::new(format!(
                    "not ready within {}: {text}{}",
                    time::said(self.within()),
                    self.last(cx, &lengths, asker.logs())
                )));
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

impl Action for Start {
    fn program(&self) -> Option<(&str, Option<&str>)> {
        self.by.program()
    }

    fn effect(&self) -> Effect {
        Effect::Probed
    }

    fn has_probe(&self) -> bool {
        true
    }

    fn has_undo(&self) -> bool {
        true
    }

    fn stages(&self) -> Vec<Stage> {
        vec![Stage::Start(match self.role {
            Role::Worker => Service::Workers,
            Role::Beat => Service::Beat,
        })]
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = self.by.problems();
        if problems.is_empty() && !self.by.can_start() {
            problems.push(text::missing("by.start", "by.supervisor"));
        }
        problems.extend(self.app.iter().flat_map(App::problems));
        if self.role == Role::Beat && !self.queues.is_empty() {
            problems.push(text::beat_has_none("queues"));
        }
        problems
    }

    fn observe(&self, cx: &Context) -> Result<Value, Error> {
        let crew = self.crew();
        let seen = crew.look(cx)?;
        self.fresh(&seen)?;
        before::before(cx, &crew, &seen, false)?.value()
    }

    fn undoing(&self) -> Option<String> {
        Some(match self.role {
            Role::Worker => text::undo_workers(),
            Role::Beat => text::undo_start(),
        })
    }

    fn commands(&self, cx: &Context) -> Vec<String> {
        let mut lines = match (self.by.way(), self.command(cx)) {
            (Some(Way::Supervisor(s)), _) => {
                vec![format!("{} start {}", s.ctl.join(" "), s.program)]
            }
            (_, Some((argv, _))) => vec![quoted(&argv)],
            (_, None) => Vec::new(),
        };
        lines.push(match self.role {
            Role::Worker => told::wait_workers(self.within),
            Role::Beat => told::wait_beat(self.within),
        });
        lines
    }

    fn probe(&self, cx: &Context, observed: &Value) -> Result<Look, Error> {
        let before = Before::of(observed)?;
        let crew = self.crew();
        let seen = crew.look(cx)?;
        if seen.live.is_empty() {
            let states: Vec<String> = seen
                .found
                .programs
                .iter()
                .map(|p| format!("{} is {}", p.name, p.state))
                .collect();
            let mut look = Look::nothing(format!("no {} runs", self.role.name()));
            look.evidence.extend(states);
            look.evidence.extend(seen.found.notes);
            return Ok(look);
        }
        self.fresh(&seen)?;
        // Several programs of which some run are started as they are needed.
        let down = seen.found.programs.iter().find(|p| p.state == "STOPPED");
        if let Some(down) = down {
            return Ok(Look::nothing(format!("{} is STOPPED", down.name)));
        }
        let mut look = Asker::new(cx, crew).wait(&self.wanted(), self.within())?;
        if look.answer == Answer::Nothing {
            look.answer = Answer::Unclear;
        }
        let old = seen.live.iter().filter(|l| before.knows(&l.ident));
        let old: Vec<String> = old.map(find::Live::shown).collect();
        if look.answer == Answer::Done && !old.is_empty() {
            look.evidence
                .push(format!("{} ran before this step", old.join(", ")));
        }
        Ok(look)
    }

    fn perform(&self, cx: &Context, _: &Value, log: &mut dyn Write) -> Result<(), Error> {
        self.fresh(&self.crew().look(cx)?)?;
        if self.role == Role::Beat
            && let Some((argv, cwd)) = self.command(cx)
        {
            beat::sweep(&argv, &cwd, log)?;
        }
        failpoint::hit("celery-start");
        let why = match self.up(cx, log) {
            Ok(()) => return Ok(()),
            Err(why) => why,
        };
        // supervisord's own settings say the command: its output tells what keeps the beat from starting.
        if self.role == Role::Beat && self.complained(cx, &why.to_string(), log)? {
            return self.up(cx, log);
        }
        Err(why)
    }

    fn verify(&self, cx: &Context, observed: &Value) -> Result<Look, Error> {
        self.probe(cx, observed)
    }

    fn undo(&self, cx: &Context, observed: &Value, log: &mut dyn Write) -> Result<(), Error> {
        let before = Before::of(observed)?;
        let seen = self.crew().look(cx)?;
        let fresh: Vec<_> = seen
            .live
            .iter()
            .filter(|l| !before.knows(&l.ident))
            .collect();
        if fresh.is_empty() && !(before.crew.is_empty() && seen.found.runs()) {
            say(log, "nothing of it runs that did not run before");
            return Ok(());
        }
        if fresh.len() == seen.live.len() {
            let stop = self.stop(self.by.clone());
            return stop.perform(cx, &stop.observe(cx)?, log);
        }
        let Some(s) = &self.by.supervisor else {
            return Err(Error::new(format!(
                "not stopped: some of {} ran before this step and some did not; end those that are too many by hand",
                find::names(&seen.live)
            )));
        };
        for program in seen.found.programs.iter().filter(|p| p.wanted()) {
            let ran = |b: &&crate::actions::service::found::Program| b.name == program.name;
            if before
                .service
                .programs
                .iter()
                .find(ran)
                .is_some_and(|b| b.wanted())
            {
                continue;
            }
            let stop = self.stop(By {
                supervisor: Some(Supervisor {
                    program: program.name.clone(),
                    ctl: s.ctl.clone(),
                }),
                ..By::default()
            });
            stop.perform(cx, &stop.observe(cx)?, log)?;
        }
        Ok(())
    }

    fn undone(&self, cx: &Context, observed: &Value) -> Result<Look, Error> {
        let before = Before::of(observed)?;
        let seen = self.crew().look(cx)?;
        if let Some(fresh) = seen.live.iter().find(|l| !before.knows(&l.ident)) {
            return Ok(Look::nothing(format!("{} lives", fresh.shown())));
        }
        Ok(if before.crew.is_empty() {
            Look::done(format!("no {} runs", self.role.name()))
        } else if seen.live.len() == before.crew.len() {
            Look::done(format!("{} ran before this step", find::names(&seen.live)))
        } else {
            Look::unclear(format!(
                "{} ran before, and not all of them live",
                before.names()
            ))
        })
    }
}
