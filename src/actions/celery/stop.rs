//! `celery.stop`: workers are drained and end in peace, or a beat ends; what was taken is done, and nothing twice.
//!
//! Evidence: no worker (or beat) of the application lives, by its processes and not by an exit code; what the queues
//! held at the end. The undo starts what ran, as it ran, and each worker answers again and consumes what it consumed;
//! a worker that lives and was only drained gets its consumers back. The environment of a worker is not recorded: the
//! undo starts it with that of the step.

use super::App;
use super::again;
use super::ask::Desk;
use super::before::{self, Before};
use super::crew::{Crew, Seen};
use super::drain::{Drain, Drained, Run, waiting};
use super::find::{self, Live};
use super::words::Role;
use crate::action::{Direction, Service, Stage, Work};
use crate::actions::process::up::say;
use crate::actions::recorded;
use crate::actions::service::By;
use crate::actions::{Action, Context, Error, Look};
use crate::failpoint;
use crate::text::actions as told;
use crate::text::settings as text;
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::Write;
use std::time::{Duration, Instant};
use upledger_replay::plan::Effect;

/// What is done when time is up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Overdue {
    /// Nothing is told to end: workers consume again, and the step fails.
    #[default]
    Fail,
    /// Workers are told to end all the same. Running tasks have `grace` to finish, and what waits in a worker goes
    /// back to its queue. Nothing is killed.
    Term,
    /// As `term`, and what lives after `grace` is killed: its tasks are cut off, which is recorded with their names.
    Kill,
}

/// Stops Celery's workers, or its beat. Workers take no more tasks, finish what they have taken, and are told to end
/// when nothing runs. Tasks that are still in a queue stay there; those that wait for their time go back to it. Without
/// `by` all workers of the application on this machine are meant. Give the step the `env` of the service: the undo
/// starts it with that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// Which processes: `worker` or `beat`. Stop the beat first, or the queues grow. Default: worker.
    #[serde(default)]
    pub role: Role,
    /// How long workers may take to finish what they have taken. Default: 10m. With 0s they are not asked and told to
    /// end at once, which is for a broker that is gone.
    #[serde(default = "drain")]
    pub drain: Length,
    /// How long they may take to end once they are told. Default: 1m.
    #[serde(default = "grace")]
    pub grace: Length,
    /// Queues that must become empty before workers take no more, within `drain`. Without it what waits in a queue is
    /// left to the workers of the new release.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queues: Vec<String>,
    /// What is done when `drain` or `grace` is over: `fail`, `term` or `kill`. Default: fail.
    #[serde(default)]
    pub overdue: Overdue,
    /// By whom they are kept. Without it they are found by their command lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// Which application, where several run here. Default: the only one that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<App>,
    /// How long the undo may take until each worker answers. Default: 1m.
    #[serde(default = "grace")]
    pub within: Length,
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
    fn crew<'a>(&'a self, before: &'a Before) -> Crew<'a> {
        Crew {
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
                "the step's `timeout` ({}) is shorter than `drain` and `grace` ({}); its end would leave workers that take no tasks",
                Length(limit),
                Length(need)
            ))),
            Some(_) | None => Ok(()),
        }
    }

    fn drained(
        &self,
        cx: &Context,
        crew: &Crew<'_>,
        before: &Before,
        log: &mut dyn Write,
    ) -> Result<Option<Desk>, Error> {
        let live = || {
            let mut live = Vec::new();
            for l in crew.look(cx)?.live {
                if !Crew::told(cx, &l.ident)? {
                    live.push(l);
                }
            }
            Ok(live)
        };
        let consumed = before.consumed();
        let mut run = Run::new(Drain {
            cx,
            app: crew.app,
            live: &live,
            queues: &self.queues,
            consumed: &consumed,
            until: Instant::now() + span(self.drain),
            limit: self.drain.to_string(),
        });
        match run.finish(log)? {
            Drained::Empty { scheduled } => {
                say(log, "drained: nothing runs, and nothing is taken");
                if scheduled > 0 {
                    say(
                        log,
                        &format!(
                            "{scheduled} tasks that wait for their time go back to their queues"
                        ),
                    );
                }
                before::keep(cx, scheduled, None)?;
            }
            Drained::Late(why) => {
                let cold = self.overdue == Overdue::Term && live()?.iter().any(cold);
                if self.overdue == Overdue::Fail || cold {
                    let more = if cold {
                        "; TERM ends these workers at once (REMAP_SIGTERM), so they were not told"
                    } else {
                        ""
                    };
                    return Err(Error::new(match run.put_back(log) {
                        Ok(()) => {
                            format!("{why}{more}; nothing was told to end, and consumers are back")
                        }
                        Err(e) => format!("{why}{more}; nothing was told to end, but {e}"),
                    }));
                }
                say(log, &format!("{why}; going on, because `overdue` says so"));
                before::keep(cx, 0, Some(&run.running()))?;
            }
        }
        Ok(run.desk)
    }

    /// What the queues hold now that nobody works on them.
    fn rest(&self, cx: &Context, before: &Before, desk: Option<Desk>, log: &mut dyn Write) {
        let Some(mut desk) = desk else {
            return;
        };
        let mut queues: Vec<String> = before.consumed().into_values().flatten().collect();
        queues.extend(self.queues.iter().cloned());
        queues.sort();
        queues.dedup();
        // It only tells more; the workers are gone whatever it says.
        let lines = match desk.lengths(&queues) {
            Ok(lengths) => {
                let mut lines = vec![waiting(&lengths)];
                if let (Some(n), Some(after)) =
                    (lengths.unacked.filter(|n| *n > 0), lengths.visibility)
                {
                    lines.push(format!(
                        "{n} messages of this Redis database are not acknowledged; those of workers that are gone come back {after:.0} s after they were taken"
                    ));
                }
                lines
            }
            Err(e) => vec![format!("the queues cannot be counted: {e}")],
        };
        for line in &lines {
            say(log, line);
        }
        // The record of the step says it too, as far as it can be kept.
        let _ = before::note(cx, &lines);
    }
}

/// TERM would end it without waiting for its tasks.
fn cold(live: &Live) -> bool {
    live.environ()
        .iter()
        .any(|(k, v)| k == "REMAP_SIGTERM" && v == "SIGQUIT")
}

impl Action for Stop {
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
        vec![Stage::Stop(match self.role {
            Role::Worker => Service::Workers,
            Role::Beat => Service::Beat,
        })]
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

    fn observe(&self, cx: &Context) -> Result<Value, Error> {
        self.room(cx)?;
        let nobody = Before::default();
        let crew = self.crew(&nobody);
        let seen = crew.look(cx)?;
        if self.role == Role::Beat && seen.live.is_empty() {
            before::inside(&crew)?;
        }
        let mut before = before::before(cx, &crew, &seen, self.asks())?;
        before.service = before.service.keep_commands(cx)?;
        before.value()
    }

    fn found(&self, observed: &Value) -> Vec<String> {
        let Some(origin) = Before::of(observed).ok().and_then(|b| b.origin) else {
            return Vec::new();
        };
        // Whoever names nothing gets whatever runs alone: a reader has to see what that is.
        let unnamed = self.app.is_none() && self.by.is_none();
        vec![if unnamed {
            text::only_application(origin.shown())
        } else {
            text::application(origin.shown())
        }]
    }

    fn undoing(&self) -> Option<String> {
        Some(text::undo_stop())
    }

    fn commands(&self, cx: &Context) -> Vec<String> {
        let nobody = Before::default();
        let crew = self.crew(&nobody);
        let Seen { found, live } = match recorded(|| crew.look(cx)) {
            Ok(seen) => seen,
            Err(e) => return e.to_string().lines().map(told::looked).collect(),
        };
        if live.is_empty() {
            let mut lines = vec![told::no_worker_runs(self.role.name())];
            lines.extend(found.notes.iter().map(told::looked));
            return lines;
        }
        let who = find::names(&live);
        let mut lines = Vec::new();
        if self.asks() {
            if !self.queues.is_empty() {
                lines.push(told::wait_empty(self.queues.join(", ")));
            }
            lines.push(told::cancel_consumers(&who));
            lines.push(told::wait_drained(self.drain));
        }
        let stop = match self.by.as_ref().and_then(|b| b.supervisor.as_ref()) {
            Some(s) => format!("{} stop {}", s.ctl.join(" "), s.program),
            None => told::term_to(who),
        };
        lines.push(match self.overdue {
            Overdue::Kill => told::stop_and_kill(stop, self.grace),
            Overdue::Fail | Overdue::Term => told::stop_may_take(stop, self.grace),
        });
        lines
    }

    fn probe(&self, cx: &Context, observed: &Value) -> Result<Look, Error> {
        let before = Before::of(observed)?;
        let crew = self.crew(&before);
        let Seen { found, live } = crew.look(cx)?;
        if !live.is_empty() || found.runs() {
            let mut lives: Vec<String> = live
                .iter()
                .map(|l| format!("{} lives", l.shown()))
                .collect();
            let states = found.programs.iter().filter(|p| p.wanted());
            lives.extend(states.map(|p| format!("{} is {}", p.name, p.state)));
            return Ok(Look::nothing(lives.join("; ")));
        }
        let left = crew.keeper().left(&before.service);
        if !left.is_empty() {
            let names = crate::actions::process::end::names(&left);
            return Ok(Look::unclear(format!("{names} is left of it")));
        }
        let mut look = Look::done(if before.crew.is_empty() {
            format!("no {} runs", self.role.name())
        } else {
            format!("{} have ended", before.names())
        });
        if let Some(origin) = &before.origin {
            for other in crew.others(origin, &live)? {
                look.evidence.push(format!(
                    "{} of the same application lives on",
                    other.shown()
                ));
            }
        }
        look.evidence.extend(found.notes);
        Ok(look)
    }

    fn perform(&self, cx: &Context, observed: &Value, log: &mut dyn Write) -> Result<(), Error> {
        let before = Before::of(observed)?;
        let crew = self.crew(&before);
        let seen = crew.look(cx)?;
        for note in &seen.found.notes {
            say(log, note);
        }
        if seen.live.is_empty() && !seen.found.runs() {
            say(log, &format!("no {} runs", self.role.name()));
            return Ok(());
        }
        if let Some(origin) = &before.origin
            && self.role == Role::Worker
        {
            for other in crew.others(origin, &seen.live)? {
                if other.words.role == Role::Beat {
                    say(
                        log,
                        &format!("{} lives: queues grow until it is stopped", other.shown()),
                    );
                }
            }
        }
        let desk = if self.asks() {
            self.drained(cx, &crew, &before, log)?
        } else {
            None
        };
        failpoint::hit("celery-drained");
        // A worker that was started again meanwhile is drained too, and ends too.
        let seen = crew.look(cx)?;
        let tasks = before::tasks(cx)?.unwrap_or_else(|| "none known".to_owned());
        let kill = (self.overdue == Overdue::Kill).then_some(tasks.as_str());
        let mut work = Work::new(cx, Direction::Do, log)?;
        crew.end(&mut work, &seen, span(self.grace), kill)?;
        self.rest(cx, &before, desk, log);
        Ok(())
    }

    fn verify(&self, cx: &Context, observed: &Value) -> Result<Look, Error> {
        let mut look = self.probe(cx, observed)?;
        look.evidence.extend(before::noted(cx)?);
        Ok(look)
    }

    fn undo(&self, cx: &Context, observed: &Value, log: &mut dyn Write) -> Result<(), Error> {
        let before = Before::of(observed)?;
        let crew = self.crew(&before);
        let mut work = Work::new(cx, Direction::Undo, log)?;
        again::bring_back(
            &mut work,
            &crew,
            &before,
            span(self.grace),
            span(self.within),
        )
    }

    fn undone(&self, cx: &Context, observed: &Value) -> Result<Look, Error> {
        let before = Before::of(observed)?;
        again::as_before(cx, &self.crew(&before), &before)
    }
}
