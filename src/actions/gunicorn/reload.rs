//! `gunicorn.reload`: HUP, and new workers that answer; the master stays, and so does its port.
//!
//! A master that preloads the application gives its new workers the old code: it is refused, and so is one of which that
//! cannot be told, unless the plan says how the new code is recognized. A reload has no undo of its
//! own, because a rollback puts the code back only after it; the plan says how it is reversed.

use super::{Gunicorn, is_titled, preloads};
use crate::action::{
    Action, Context, Direction, Error, Live, Look, Past, Preview, Properties, Work,
};
use crate::actions::service::stop::half_a_minute;
use crate::host::process::note::Note;
use crate::host::service::by::By;
use crate::host::service::{Found, ManagedService, Ready, ReloadService, manager_of};
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use upledger_replay::plan::Effect;

/// Replaces the workers of a running Gunicorn; the new workers load the current code. Refused if Gunicorn preloads the
/// application: stop and start it instead. It has no undo of its own, because a rollback restores the code only afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reload {
    /// Its manager. Default: the only Gunicorn that runs on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// How to recognize the new code: a page and text in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Ready>,
    /// The time limit until only new workers serve. Default: 30s.
    #[serde(default = "half_a_minute")]
    pub within: Length,
}

impl Reload {
    fn with<T>(&self, act: impl FnOnce(&ReloadService<'_>) -> T) -> T {
        let manager = manager_of(self.by.as_ref());
        act(&ReloadService {
            service: ManagedService {
                manager: &*manager,
                kind: &Gunicorn,
            },
            ready: self.ready.as_ref(),
            within: self.within,
        })
    }
}

impl Action for Reload {
    type Before = Found;
    type Note = Note;
    type Output = ();

    fn properties(&self) -> Properties {
        Properties {
            effect: Effect::Idempotent,
            has_probe: true,
            live: Live::Refused,
            ..Properties::command()
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.by.iter().flat_map(By::problems).collect();
        problems.extend(self.ready.iter().flat_map(Ready::problems));
        problems
    }

    fn outline(&self, _direction: Direction) -> Vec<String> {
        self.with(|reload| reload.outline())
    }

    fn observe(&self, cx: &Context) -> Result<Found, Error> {
        let found = self.with(|reload| reload.observe(cx))?;
        if let Some((master, why)) = found.masters.iter().find_map(|m| Some((m, preloads(m)?))) {
            return Err(Error::new(format!(
                "{} preloads the application ({why}), so a reload would not load new code; stop it and start it",
                master.shown()
            )));
        }
        let proof = self.ready.as_ref().is_some_and(|r| r.contains.is_some());
        if let Some(master) = found.masters.iter().find(|m| is_titled(m) && !proof) {
            return Err(Error::new(format!(
                "{} shows a title instead of its command, so it cannot be told whether it preloads the application, and a reload would not load new code then; set `ready` with a text in `contains` that only the new code shows, or stop it and start it",
                master.shown()
            )));
        }
        Ok(found)
    }

    fn preview(&self, _direction: Direction, past: &Past<Self>) -> Preview {
        Preview {
            commands: self.with(|reload| reload.preview(&past.before)),
            ..Preview::default()
        }
    }

    fn probe(&self, cx: &Context, past: &Past<Self>) -> Result<(Look, Option<()>), Error> {
        let look = self.with(|reload| reload.probe(cx, &past.before, past.noted()))?;
        Ok((look, None))
    }

    fn perform(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<(), Error> {
        self.with(|reload| reload.perform(work, &past.before))
    }
}
