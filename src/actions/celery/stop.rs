//! `celery.stop`: workers are drained and end in peace, or a beat ends; what was taken is done, and nothing twice.
//!
//! Evidence: no worker (or beat) of the application lives, by its processes and not by an exit code; what the queues
//! held at the end. The undo starts what ran, as it ran, and each worker answers again and consumes what it consumed;
//! a worker that lives and was only drained gets its consumers back. The environment of a worker is not recorded: the
//! undo starts it with that of the step.

use super::App;
use super::cmdline::Role;
use super::drain::{BUSY, Drain, Drained, Run, waiting};
use super::find::Live;
use super::inspector::Inspector;
use super::restore;
use super::snapshot::{self, Snapshot};
use super::workers::{Running, Workers};
use crate::action::{
    Action, Consequences, Context, Direction, Error, Look, Past, Preview, Properties, Service,
    Stage, Work,
};
use crate::failpoint;
use crate::host::process::identity::Ident;
use crate::host::process::note::{Note, signalled};
use crate::host::process::session;
use crate::host::service::found::Program;
use crate::host::service::{By, manager_of, set};
use crate::text::actions as phrases;
use crate::text::settings as text;
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use upledger_replay::event::Answer;

/// What to do when the time limit expires.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Overdue {
    /// No signal is sent: workers consume again, and the step fails.
    #[default]
    Fail,
    /// Workers are sent TERM anyway. Running tasks have `grace` to finish, and reserved tasks go back to their queue.
    /// Nothing is killed.
    Term,
    /// As `term`, and workers that are still running after `grace` are killed: their tasks are interrupted, which is
    /// recorded with their names.
    Kill,
}

/// Stops Celery workers, or beat. The consumers of the workers are cancelled; the workers finish their active and reserved
/// tasks and are sent TERM (warm shutdown) when idle. Tasks in a queue stay there; scheduled tasks (ETA or countdown) go
/// back to it. Without `by`, all workers of the application on this machine are stopped. Set the `env` of the service in
/// the step: the undo starts it with that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// The processes: `worker` or `beat`. Stop beat first, otherwise the queues grow. Default: worker.
    #[serde(default)]
    pub role: Role,
    /// The time limit for workers to finish active and reserved tasks. Default: 10m. With 0s, the workers are not drained
    /// but sent TERM at once, for example when the broker is unavailable.
    #[serde(default = "drain")]
    pub drain: Length,
    /// The time limit between TERM and their exit. Default: 1m.
    #[serde(default = "grace")]
    pub grace: Length,
    /// Queues that must become empty before the consumers are cancelled, within `drain`. Without it, messages in the queues
    /// are left to the workers of the new release.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queues: Vec<String>,
    /// What to do when `drain` or `grace` expires: `fail`, `term` or `kill`. Default: fail.
    #[serde(default)]
    pub overdue: Overdue,
    /// Their manager. Default: they are found by their command lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// The application, if several run on this machine. Default: the only one that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<App>,
    /// The time limit of the undo until each worker answers. Default: 1m.
    #[serde(default = "grace")]
    pub within: Length,
}

/// What a stop came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stopped {
    /// The number of workers or beats that were running and have exited.
    pub stopped: u32,
    /// The processes, by node name and pid.
    pub processes: String,
    /// The number of scheduled tasks (ETA or countdown) that went back to their queues.
    pub scheduled: u64,
    /// The tasks that were still running when `drain` expired, by name and id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<String>,
    /// The content of the queues when no worker consumed them any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queues: Option<String>,
}

impl Stopped {
    /// As far as the look before and the notes tell.
    fn of<'n>(
        role: Role,
        before: &Snapshot,
        notes: impl DoubleEndedIterator<Item = &'n Note>,
    ) -> Self {
        let (scheduled, unfinished) = last_drain(notes).unwrap_or_default();
        Self {
            stopped: u32::try_from(before.members.len()).unwrap_or(u32::MAX),
            processes: before.names(role),
            scheduled,
            unfinished,
            queues: None,
        }
    }

    /// What of it is evidence beside the processes.
    fn evidence(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.scheduled > 0 {
            let n = self.scheduled;
            lines.push(format!(
                "{n} scheduled tasks (ETA or countdown) went back to their queues"
            ));
        }
        if let Some(tasks) = &self.unfinished {
            lines.push(format!("still running at the time limit: {tasks}"));
        }
        lines.extend(self.queues.iter().cloned());
        lines
    }
}

/// What the last drain came to: tasks that wait for their time, and those that ran when time was up.
fn last_drain<'n>(
    notes: impl DoubleEndedIterator<Item = &'n Note>,
) -> Option<(u64, Option<String>)> {
    notes.rev().find_map(|n| match n {
        Note::Drained {
            scheduled,
            unfinished,
        } => Some((*scheduled, unfinished.clone())),
        _ => None,
    })
}

pub(super) fn drain() -> Length {
    Length(600_000)
}

pub(super) fn grace() -> Length {
    Length(60_000)
}

/// Settings that name no application.
pub(super) static ANY: App = App {
    python: None,
    module: None,
    cwd: None,
};

fn span(length: Length) -> Duration {
    Duration::from_millis(length.0)
}

impl Stop {
    fn workers<'a>(&'a self, before: &'a Snapshot) -> Workers<'a> {
        Workers {
            role: self.role,
            by: self.by.as_ref(),
            app: self.app.as_ref().unwrap_or(&ANY),
            origin: before.origin.as_ref(),
        }
    }

    fn asks(&self) -> bool {
        self.role == Role::Worker && self.drain.0 > 0
    }

    /// The step's own time limit must leave room: a drain that is cut off leaves workers that take nothing.
    fn room(&self, cx: &Context) -> Result<(), Error> {
        let need = self.drain.0.saturating_add(self.grace.0);
        match cx.timeout_ms {
            Some(limit) if self.asks() && limit < need => Err(Error::new(format!(
                "the step's `timeout` ({}) is shorter than `drain` plus `grace` ({}); when it expires, workers would be left without consumers",
                Length(limit),
                Length(need)
            ))),
            Some(_) | None => Ok(()),
        }
    }

    /// Who runs now, and what an undo needs to know of it.
    pub(super) fn snapshot(&self, cx: &Context) -> Result<Snapshot, Error> {
        self.room(cx)?;
        let nobody = Snapshot::default();
        let workers = self.workers(&nobody);
        let seen = workers.look(cx)?;
        workers.manager().complete(cx, &seen.found)?;
        if self.role == Role::Beat && seen.live.is_empty() {
            snapshot::inside(&workers)?;
        }
        snapshot::take(cx, &workers, &seen, self.asks())
    }

    /// What a stop of these does, in lines for people.
    pub(super) fn commands(&self, who: &str) -> Vec<String> {
        let mut lines = Vec::new();
        if self.asks() {
            if !self.queues.is_empty() {
                lines.push(phrases::wait_empty(crate::text::list(&self.queues)));
            }
            lines.push(phrases::cancel_consumers(who));
            lines.push(phrases::wait_drained(self.drain));
        }
        let nobody = Snapshot::default();
        let workers = self.workers(&nobody);
        let manager = workers.manager();
        let stops = match manager.restarts() {
            true => manager.request_commands(),
            false => vec![phrases::term_to(who)],
        };
        let stop = crate::text::clauses(&stops);
        lines.push(match self.overdue {
            Overdue::Kill => phrases::stop_and_kill(stop, self.grace),
            Overdue::Fail | Overdue::Term => phrases::stop_may_take(stop, self.grace),
        });
        lines
    }

    fn forward(&self, before: &Snapshot) -> Vec<String> {
        let members = set::members(&*manager_of(self.by.as_ref()), &before.service);
        if before.ran() {
            let who = match before.members.is_empty() {
                true => phrases::every_one(self.role.name()),
                false => before.names(self.role),
            };
            let commands = self.commands(&who).into_iter();
            return commands.chain(members).collect();
        }
        let mut lines = vec![phrases::no_worker_runs(self.role.name())];
        lines.extend(members);
        lines.extend(before.service.notes.iter().map(phrases::looked));
        lines
    }

    fn backward(&self, past: &Past<Self>) -> Vec<String> {
        let before = &past.before;
        if !before.ran() {
            return vec![phrases::nothing_to_start()];
        }
        let only_drained = past.output.is_none()
            && signalled(past.noted()).next().is_none()
            && past.noted().any(|n| matches!(n, Note::Cancelling { .. }));
        let mut lines = if only_drained {
            vec![phrases::add_consumers(before.names(self.role))]
        } else {
            let workers = self.workers(before);
            let manager = workers.manager();
            manager.start_commands(&workers, Some(&before.service))
        };
        lines.push(match self.role {
            Role::Worker => phrases::wait_workers(self.within),
            Role::Beat => phrases::wait_beat(self.within),
        });
        lines
    }

    fn drained(
        &self,
        work: &mut Work<'_, Note>,
        workers: &Workers<'_>,
        before: &Snapshot,
    ) -> Result<Option<Inspector>, Error> {
        let cx = work.cx();
        let ending: Vec<Ident> = signalled(work.all_noted()).cloned().collect();
        let live = || {
            let mut live = workers.look(cx)?.live;
            live.retain(|l| !ending.contains(&l.ident));
            Ok(live)
        };
        let consumed = before.consumed(work.all_noted());
        let mut run = Run::new(Drain {
            cx,
            app: workers.app,
            live: &live,
            queues: &self.queues,
            consumed: &consumed,
            nodes: before.nodes(),
            until: Instant::now() + span(self.drain),
            limit: self.drain.to_string(),
            answer: BUSY,
        });
        match run.finish(work)? {
            Drained::Nobody => work.log_line("no worker is left to drain"),
            Drained::Empty { scheduled } => {
                work.log_line("drained: no task is active or reserved");
                if scheduled > 0 {
                    work.log_line(&format!(
                        "{scheduled} scheduled tasks (ETA or countdown) go back to their queues"
                    ));
                }
                work.note(Note::Drained {
                    scheduled,
                    unfinished: None,
                })?;
            }
            Drained::Late(why) => {
                let cold = self.overdue == Overdue::Term && live()?.iter().any(cold);
                if self.overdue == Overdue::Fail || cold {
                    let more = if cold {
                        "; TERM stops these workers immediately (REMAP_SIGTERM), so it was not sent"
                    } else {
                        ""
                    };
                    return Err(Error::new(match run.put_back(work) {
                        Ok(()) => {
                            format!(
                                "{why}{more}; no worker was signalled, and consumers are restored"
                            )
                        }
                        Err(e) => format!("{why}{more}; no worker was signalled, but {e}"),
                    }));
                }
                work.log_line(&format!("{why}; continuing, because of `overdue`"));
                work.note(Note::Drained {
                    scheduled: 0,
                    unfinished: Some(run.running()),
                })?;
            }
        }
        Ok(run.inspector)
    }

    /// What the queues hold now that nobody works on them.
    fn rest(
        &self,
        work: &mut Work<'_, Note>,
        before: &Snapshot,
        mut inspector: Inspector,
    ) -> String {
        let consumed = before.consumed(work.all_noted());
        let mut queues: Vec<String> = consumed.into_values().flatten().collect();
        queues.extend(self.queues.iter().cloned());
        queues.sort();
        queues.dedup();
        // It only tells more; the workers are gone whatever it says.
        let lines = match inspector.lengths(&queues) {
            Ok(lengths) => {
                let mut lines = vec![waiting(&lengths)];
                if let (Some(n), Some(after)) =
                    (lengths.unacked.filter(|n| *n > 0), lengths.visibility)
                {
                    lines.push(format!(
                        "{n} messages in this Redis database are unacknowledged; those of stopped workers are redelivered {after:.0} s after they were delivered"
                    ));
                }
                lines.retain(|l| !l.is_empty());
                lines
            }
            Err(e) => vec![format!("the queues cannot be counted: {e}")],
        };
        for line in &lines {
            work.log_line(line);
        }
        lines.join("; ")
    }
}

/// TERM would end it without waiting for its tasks.
fn cold(live: &Live) -> bool {
    live.environ()
        .iter()
        .any(|(k, v)| k == "REMAP_SIGTERM" && v == "SIGQUIT")
}

impl Action for Stop {
    type Before = Snapshot;
    type Note = Note;
    type Output = Stopped;

    fn properties(&self) -> Properties {
        Properties::reversible().at(Stage::Stop(match self.role {
            Role::Worker => Service::Workers,
            Role::Beat => Service::Beat,
        }))
    }

    fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.by.iter().flat_map(By::problems).collect();
        problems.extend(self.app.iter().flat_map(App::problems));
        if self.role == Role::Beat && !self.queues.is_empty() {
            problems.push(text::beat_has_none("queues"));
        }
        if self.queues.iter().any(|q| q.trim().is_empty()) {
            problems.push(text::empty("queues"));
        }
        if self.drain.0 == 0 && !self.queues.is_empty() {
            problems.push(text::needs("queues", "drain"));
        }
        problems
    }

    fn outline(&self, direction: Direction) -> Vec<String> {
        match direction {
            Direction::Do => self.commands(&phrases::every_one(self.role.name())),
            Direction::Undo => vec![text::undo_stop()],
        }
    }

    fn observe(&self, cx: &Context) -> Result<Snapshot, Error> {
        let mut before = self.snapshot(cx)?;
        let workers = self.workers(&before);
        if !workers.manager().restarts() {
            before.service.may_signal()?;
        }
        workers.manager().restartable(&workers, &before.service)?;
        before.service = before.service.keep_commands(cx)?;
        Ok(before)
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        if direction == Direction::Undo {
            return Preview {
                commands: self.backward(past),
                ..Preview::default()
            };
        }
        // Whoever names nothing gets whatever runs alone: a reader has to see what that is.
        let unnamed = self.app.is_none() && self.by.is_none();
        let origin = past.before.origin.iter();
        Preview {
            commands: self.forward(&past.before),
            findings: origin
                .map(|origin| {
                    if unnamed {
                        text::only_application(origin.shown())
                    } else {
                        text::application(origin.shown())
                    }
                })
                .collect(),
            ..Preview::default()
        }
    }

    fn probe(&self, cx: &Context, past: &Past<Self>) -> Result<(Look, Option<Stopped>), Error> {
        let before = &past.before;
        let workers = self.workers(before);
        let Running { found, live } = workers.look(cx)?;
        if !live.is_empty() || found.runs() {
            let mut lives: Vec<String> = live
                .iter()
                .map(|l| format!("{} is running", l.shown()))
                .collect();
            let states = found.programs.iter().filter(|p| p.is_wanted());
            lives.extend(states.map(Program::shown));
            return Ok((Look::nothing(lives.join("; ")), None));
        }
        let left = workers.manager().left(&before.service);
        if !left.is_empty() {
            let names = session::names(&left);
            return Ok((Look::unclear(format!("still running: {names}")), None));
        }
        let mut look = Look::done(if before.members.is_empty() {
            format!("no {} is running", self.role.name())
        } else {
            format!("{} have ended", before.names(self.role))
        });
        if let Some(origin) = &before.origin {
            for other in workers.others(origin, &live)? {
                look.evidence.push(format!(
                    "{} of the same application is still running",
                    other.shown()
                ));
            }
        }
        look.evidence.extend(found.notes);
        let output = Stopped::of(self.role, before, past.noted());
        Ok((look, Some(output)))
    }

    fn perform(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<Stopped, Error> {
        let cx = work.cx();
        let before = &past.before;
        let workers = self.workers(before);
        let seen = workers.look(cx)?;
        for note in &seen.found.notes {
            work.log_line(note);
        }
        if seen.live.is_empty() && !seen.found.runs() {
            work.log_line(&format!("no {} is running", self.role.name()));
            return Ok(Stopped::of(self.role, before, work.all_noted()));
        }
        if let Some(origin) = &before.origin
            && self.role == Role::Worker
        {
            for other in workers.others(origin, &seen.live)? {
                if other.cmdline.role == Role::Beat {
                    work.log_line(&format!(
                        "{} is running: queues grow until it is stopped",
                        other.shown()
                    ));
                }
            }
        }
        let inspector = if self.asks() {
            self.drained(work, &workers, before)?
        } else {
            None
        };
        failpoint::hit("celery-drained");
        // A worker that was started again meanwhile is drained too, and ends too.
        let seen = workers.look(cx)?;
        let unfinished = last_drain(work.all_noted()).and_then(|(_, tasks)| tasks);
        let tasks = unfinished.unwrap_or_else(|| "none known".to_owned());
        let kill = (self.overdue == Overdue::Kill).then_some(tasks.as_str());
        workers.end(work, &seen, span(self.grace), kill)?;
        let queues = inspector.map(|inspector| self.rest(work, before, inspector));
        Ok(Stopped {
            queues: queues.filter(|q| !q.is_empty()),
            ..Stopped::of(self.role, before, work.all_noted())
        })
    }

    fn verify(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        let (mut look, seen) = self.probe(cx, past)?;
        if look.answer == Answer::Done
            && let Some(output) = past.output.as_ref().or(seen.as_ref())
        {
            look.evidence.extend(output.evidence());
        }
        Ok(look)
    }

    fn undo(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<(), Error> {
        let workers = self.workers(&past.before);
        restore::restore(
            work,
            &workers,
            &past.before,
            span(self.grace),
            span(self.within),
        )
    }

    fn consequences(&self, _cx: &Context, _past: &Past<Self>) -> Result<Consequences, Error> {
        // A service is stopped or started; no data is overwritten.
        Ok(Consequences::none())
    }

    fn undone(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        restore::restored(cx, &self.workers(&past.before), &past.before, past.noted())
    }
}
