//! What looks find of each step of a plan, side by side: nothing here knows of another step.
//!
//! The looks of all steps are one moment, so that a manager or an application is asked once for all of them. Whoever waits
//! is told which steps are still looked at.

use super::startable::{self, Obstacle};
use crate::action::{Blob, Direction, Error, Look, Properties, RawPast, Stage};
use crate::actions::Do;
use crate::actions::service::Serving;
use crate::plan::samples;
use crate::site::Facts;
use crate::site::env_file;
use crate::site::task::PreparedTask;
use crate::site::{Local, Moment, Observation};
use crate::text;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};
use upledger_replay::event::TaskKey;
use upledger_replay::plan::{EnvFile, Input, Plan, Step};
use upledger_replay::runs::Runs;

/// How many steps are looked at side by side. Most of them wait for others.
const SIDE: usize = 8;
/// How long the answers of one preview count.
const LASTS: Duration = Duration::from_secs(120);
/// How long nobody is told that a preview waits.
const QUIET: Duration = Duration::from_secs(2);
/// How often it is told again.
const AGAIN: Duration = Duration::from_secs(5);

/// What the looks found of one step.
pub(super) struct Found {
    pub(super) outcome: Outcome,
    pub(super) properties: Properties,
    /// Why it could not be started now.
    pub(super) obstacle: Option<Obstacle>,
}

/// How far the looks came.
pub(super) enum Outcome {
    /// Its condition leaves it out.
    LeftOut,
    /// It needs what no step has produced yet.
    NotReady(String),
    /// It needs a secret that cannot be read here; the task is without it.
    Unread {
        secret: String,
        task: Option<Box<PreparedTask>>,
        observed: Option<Result<Box<Present>, Error>>,
    },
    /// What is there forbids it, or cannot be seen.
    Refused(Box<PreparedTask>, Error),
    /// What is there.
    Looked(Box<PreparedTask>, Box<Present>),
}

/// What is there.
pub(super) struct Present {
    pub(super) past: RawPast,
    pub(super) found: Observation,
    pub(super) probed: Option<Look>,
}

/// Actions whose look does not ask the application: it sees the same without the secrets of their environment.
const SEEN_WITHOUT: [&str; 8] = [
    "file.",
    "expect.port",
    "expect.process",
    "expect.stopped",
    "expect.file",
    "process.",
    "gunicorn.",
    "cron.",
];

/// This machine, looked at for a preview.
pub(super) struct Site {
    pub(super) local: Local,
    /// Nothing is kept in a preview, so it stays empty.
    _scratch: tempfile::TempDir,
}

impl Site {
    pub(super) fn new() -> std::io::Result<Self> {
        let scratch = tempfile::Builder::new()
            .prefix("upledger-plan-")
            .tempdir()?;
        Ok(Self {
            local: Local::new(scratch.path()),
            _scratch: scratch,
        })
    }

    pub(super) fn task(
        &self,
        plan: &Plan,
        id: &str,
        direction: Direction,
        secrets: &[(String, String)],
    ) -> Result<PreparedTask, String> {
        let part = TaskKey::local(id, direction);
        PreparedTask::new(&self.local, "plan", plan, &part, Facts::None, secrets)
            .map(PreparedTask::for_preview)
            .map_err(|e| e.to_string())
    }
}

/// Whether that step stops a service: one that stands behind it is reached while nobody is served.
pub(super) fn stops(plan: &Plan, step: &Step) -> bool {
    let Some(action) = samples::shown(plan, &step.action).filter(|_| step.left_out.is_none())
    else {
        return false;
    };
    let stages = action.kind_of().properties().stages;
    let by_stage = stages.iter().any(|s| matches!(s, Stage::Stop(_)));
    by_stage || Serving::of(&action).is_some_and(|s| !s.starts)
}

/// A plan and what is needed to look at its steps.
pub(super) struct Looks<'a> {
    pub(super) plan: &'a Plan,
    pub(super) secrets: &'a [(String, String)],
    pub(super) site: &'a Site,
    /// The runs so far, where a kind has to know them.
    pub(super) past: Option<&'a Runs>,
}

impl Looks<'_> {
    /// The moment of all looks.
    pub(super) fn moment(&self) -> Moment {
        self.site.local.moment_of(LASTS)
    }

    /// Looks at one step; `brief`: only at what is seen without starting a command, unless the kind is asked about what was
    /// approved.
    pub(super) fn at(&self, step: &Step, moment: &Moment, brief: bool) -> Found {
        let action = samples::shown(self.plan, &step.action);
        let properties = action
            .as_ref()
            .map_or_else(Properties::command, |a: &Do| a.kind_of().properties());
        let moment_of = moment.beside();
        let moment = match brief && !properties.approved {
            true => self.site.local.silent(),
            false => moment_of.clone(),
        };
        let unreadable = self.unreadable(step);
        let bare;
        let looks = match &unreadable {
            None => self,
            Some(_) => {
                bare = self.without_files();
                &Looks {
                    plan: &bare,
                    ..*self
                }
            }
        };
        let mut outcome = looks.outcome(step, &moment);
        let task = match &outcome {
            Outcome::Refused(task, _) | Outcome::Looked(task, _) => Some(task),
            Outcome::Unread { task, .. } => task.as_ref(),
            Outcome::LeftOut | Outcome::NotReady(_) => None,
        };
        // What a step that its settings name works on may be known by now.
        let informed = task.map(|task| task.properties());
        let obstacle = unreadable.or_else(|| task.and_then(|task| startable::obstacle(task)));
        if let Outcome::Looked(task, observed) = &mut outcome
            && task.has_probe
            && (!brief || obstacle.is_some())
        {
            // What is done already need not be started.
            let look = probe(task, &moment_of, &observed.past, &observed.found.kept);
            observed.probed = Some(look);
        }
        Found {
            obstacle,
            properties: informed.unwrap_or(properties),
            outcome,
        }
    }

    fn outcome(&self, step: &Step, moment: &Moment) -> Outcome {
        if step.left_out.is_some() {
            return Outcome::LeftOut;
        }
        let task = match self
            .site
            .task(self.plan, &step.id, Direction::Do, self.secrets)
        {
            Ok(task) => Box::new(match self.past {
                Some(runs) => task.after(runs),
                None => task,
            }),
            Err(why) => {
                return match self.unread(step) {
                    Some(secret) => self.without(step, secret, moment),
                    None => Outcome::NotReady(why),
                };
            }
        };
        match self.observed(&task, moment) {
            Ok(observed) => Outcome::Looked(task, Box::new(observed)),
            // What was not asked says nothing.
            Err(why) if moment.refused() => Outcome::NotReady(why.to_string()),
            Err(why) => Outcome::Refused(task, why),
        }
    }

    fn observed(&self, task: &PreparedTask, moment: &Moment) -> Result<Present, Error> {
        let found = task.observe(moment)?;
        let past = RawPast {
            before: found.before.clone(),
            ..RawPast::default()
        };
        Ok(Present {
            past,
            found,
            probed: None,
        })
    }

    /// A file of environment variables of the step that cannot be read now, in whose name is no part that only a run has.
    fn unreadable(&self, step: &Step) -> Option<Obstacle> {
        let known = step.env_files.iter().filter(|f| !f.path.contains("${run}"));
        let failed = |file: &EnvFile| Some((file.path.clone(), env_file::read(file).err()?));
        let mut failed = known.filter_map(failed);
        let (path, why) = failed.next().filter(|_| step.left_out.is_none())?;
        Some(Obstacle::at(path, why.to_string()))
    }

    /// The plan without its files of environment variables: what can be seen without them is shown all the same.
    fn without_files(&self) -> Plan {
        let mut bare = self.plan.clone();
        for step in bare.phases.iter_mut().flat_map(|p| &mut p.steps) {
            step.env_files.clear();
        }
        bare
    }

    /// A secret of the step that cannot be read here.
    fn unread(&self, step: &Step) -> Option<String> {
        step.env.iter().find_map(|variable| match &variable.value {
            Input::Secret(name) if !self.secrets.iter().any(|(known, _)| known == name) => {
                Some(name.clone())
            }
            Input::Secret(_) | Input::Text(_) | Input::From(_) => None,
        })
    }

    /// What is seen without a secret: whether it could be started, and what needs none of them. No placeholder is used
    /// for a secret: a wrong password is never sent anywhere.
    fn without(&self, step: &Step, secret: String, moment: &Moment) -> Outcome {
        let mut bare = self.plan.clone();
        for step in bare.phases.iter_mut().flat_map(|p| &mut p.steps) {
            step.env.retain(|variable| match &variable.value {
                Input::Secret(name) => self.secrets.iter().any(|(known, _)| known == name),
                Input::Text(_) | Input::From(_) => true,
            });
        }
        let task = self
            .site
            .task(&bare, &step.id, Direction::Do, self.secrets)
            .ok()
            .map(Box::new);
        let sees = |t: &&PreparedTask| {
            let kind = t.action.kind();
            SEEN_WITHOUT.iter().any(|k| kind.starts_with(k))
        };
        let observed = task.as_deref().filter(sees).map(|task| {
            let found = task.observe(moment)?;
            let past = RawPast {
                before: found.before.clone(),
                ..RawPast::default()
            };
            Ok(Box::new(Present {
                past,
                found,
                probed: None,
            }))
        });
        Outcome::Unread {
            secret,
            task,
            observed,
        }
    }
}

/// Whether it is done, or as expected, as far as a look tells now.
pub(super) fn probe(task: &PreparedTask, moment: &Moment, past: &RawPast, kept: &[Blob]) -> Look {
    task.probe(moment, past, kept).0
}

/// Does that for each of them, several side by side, and tells now and then which are not done.
pub(super) fn side_by_side<T: Sync, R: Send>(
    of: &[T],
    name: impl Fn(&T) -> String,
    work: impl Fn(&T) -> R + Sync,
    tell: &mut dyn FnMut(&[String]),
) -> Vec<R> {
    let results: Mutex<Vec<Option<R>>> = Mutex::new(of.iter().map(|_| None).collect());
    let (next, done) = (AtomicUsize::new(0), Condvar::new());
    let recorded = text::is_for_the_record();
    let locked = || results.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::scope(|scope| {
        let all = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(one) = of.get(at) else {
                    return;
                };
                let result = match recorded {
                    true => text::english(|| work(one)),
                    false => work(one),
                };
                locked()[at] = Some(result);
                done.notify_all();
            }
        };
        let threads = (0..SIDE.min(of.len())).map(|_| Builder::new().spawn_scoped(scope, all));
        let workers: Vec<_> = threads.flatten().collect();
        if workers.is_empty() {
            // The system lets us have no thread: one after the other.
            all();
        }
        let mut told = Instant::now() + QUIET;
        let mut results = locked();
        while results.iter().any(Option::is_none) && !workers.iter().all(|w| w.is_finished()) {
            let left = told.saturating_duration_since(Instant::now()).min(QUIET);
            let woken = done.wait_timeout(results, left);
            results = woken.unwrap_or_else(PoisonError::into_inner).0;
            if Instant::now() >= told {
                let open = of.iter().zip(results.iter()).filter(|(_, r)| r.is_none());
                let names: Vec<String> = open.map(|(one, _)| name(one)).collect();
                if !names.is_empty() {
                    tell(&names);
                }
                told = Instant::now() + AGAIN;
            }
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.into_iter().flatten().collect()
}
