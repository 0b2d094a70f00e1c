//! `timer.disable`: timers are stopped, and the jobs that they have started are waited for.

use super::{by, problems};
use crate::action::{
    Action, Consequences, Context, Direction, Error, Look, Past, Preview, Properties, Service,
    Stage, Work,
};
use crate::host::process::note::Note;
use crate::host::service::kind::AnyProcess;
use crate::host::service::{Before, ManagedService, StopService, Stopped};
use crate::text::actions as phrases;
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// Stops systemd timers, so that they start no more jobs. Their enablement is not changed, so a reboot starts them again.
/// Running jobs continue and are named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Disable {
    /// The timers, such as `backup.timer`; the suffix is optional.
    #[schemars(length(min = 1))]
    pub timers: Vec<String>,
    /// How long to wait for running jobs that these timers have started; the step fails if one is still running. Default:
    /// running jobs are only named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Length>,
}

impl Disable {
    fn with<T>(&self, act: impl FnOnce(&StopService<'_>) -> T) -> T {
        let by = by(&self.timers);
        let manager = by.manager();
        act(&StopService {
            service: ManagedService {
                manager: &*manager,
                kind: &AnyProcess::default(),
            },
            grace: Some(Length(30_000)),
            port: None,
            ready: None,
            within: Length(30_000),
        })
    }

    /// The jobs that are at work.
    fn jobs(&self, cx: &Context) -> Result<Vec<String>, Error> {
        by(&self.timers)
            .systemd
            .map_or(Ok(Vec::new()), |s| s.triggered(cx))
    }
}

impl Action for Disable {
    type Before = Before;
    type Note = Note;
    type Output = Stopped;

    fn properties(&self) -> Properties {
        Properties::reversible().at(Stage::Stop(Service::Schedule))
    }

    fn problems(&self) -> Vec<String> {
        problems(&self.timers)
    }

    fn outline(&self, direction: Direction) -> Vec<String> {
        let mut lines = self.with(|stop| stop.outline(direction));
        if direction == Direction::Do {
            lines.extend(self.wait.map(phrases::wait_for_timer_jobs));
        }
        lines
    }

    fn observe(&self, cx: &Context) -> Result<Before, Error> {
        self.with(|stop| stop.observe(cx))
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        let mut commands = self.with(|stop| stop.preview(direction, &past.before.0));
        if direction == Direction::Do {
            commands.extend(self.wait.map(phrases::wait_for_timer_jobs));
        }
        Preview {
            commands,
            ..Preview::default()
        }
    }

    fn probe(&self, cx: &Context, past: &Past<Self>) -> Result<(Look, Option<Stopped>), Error> {
        let (mut look, output) = self.with(|stop| stop.probe(cx, &past.before.0, past.noted()))?;
        let jobs = self.jobs(cx)?;
        if !jobs.is_empty() {
            let at_work = format!("still running: {}", jobs.join(", "));
            if self.wait.is_some() && look.answer == upledger_replay::event::Answer::Done {
                return Ok((Look::nothing(at_work), None));
            }
            look.evidence.push(at_work);
        }
        Ok((look, output))
    }

    fn perform(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<Stopped, Error> {
        let stopped = self.with(|stop| stop.perform(work, &past.before.0))?;
        let deadline = Instant::now() + Duration::from_millis(self.wait.map_or(0, |w| w.0));
        let mut said = String::new();
        loop {
            let jobs = self.jobs(work.cx())?.join(", ");
            if jobs != said && !jobs.is_empty() {
                work.log_line(&format!("still running: {jobs}"));
            }
            said.clone_from(&jobs);
            let Some(wait) = self.wait.filter(|_| !jobs.is_empty()) else {
                return Ok(stopped);
            };
            if Instant::now() >= deadline {
                return Err(Error::new(format!("after {wait}, still running: {jobs}")));
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn undo(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<(), Error> {
        self.with(|stop| stop.undo(work, &past.before.0))
    }

    fn consequences(&self, _cx: &Context, _past: &Past<Self>) -> Result<Consequences, Error> {
        // A service is stopped or started; no data is overwritten.
        Ok(Consequences::none())
    }

    fn undone(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        self.with(|stop| stop.undone(cx, &past.before.0, past.noted()))
    }
}
