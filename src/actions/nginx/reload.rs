//! `nginx.reload`: the configuration is tested, HUP, and new workers serve it; the former ones finish their requests.
//!
//! A test that succeeds promises nothing: a master that cannot bind a new port keeps its former workers and says so only
//! in its log. So what counts is that the workers are new. A reload has no undo of its own, because a rollback puts the
//! configuration back only after it; the plan says how it is reversed.

use super::{Nginx, url};
use crate::action::{
    Action, Context, Direction, Error, Live, Look, Past, Preview, Properties, Work,
};
use crate::actions::service::stop::half_a_minute;
use crate::host::http;
use crate::host::process::note::Note;
use crate::host::service::by::By;
use crate::host::service::{Found, ManagedService, Ready, ReloadService, manager_of};
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use upledger_replay::plan::Effect;

/// Reloads the configuration of a running Nginx: tests it first, and checks that new workers serve it. It has no undo of
/// its own, because a rollback restores the configuration only afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reload {
    /// The program. Default: `nginx`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary: Option<String>,
    /// The configuration file, its `-c`; an absolute path. Default: that of the running Nginx, else the compiled-in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conf: Option<String>,
    /// Its `-p`; an absolute path. Default: that of the running Nginx, else the compiled-in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Its manager. Default: the only Nginx that runs on this machine, with this configuration if one is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// A page that must answer 200 afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The time limit until only new workers accept connections. Default: 30s.
    #[serde(default = "half_a_minute")]
    pub within: Length,
}

impl Reload {
    fn kind(&self) -> Nginx {
        Nginx::of(
            self.binary.as_deref(),
            self.conf.as_deref(),
            self.prefix.as_deref(),
        )
    }

    fn with<T>(&self, act: impl FnOnce(&ReloadService<'_>) -> T) -> T {
        let (kind, ready): (Nginx, Option<Ready>) = (self.kind(), url(self.url.as_deref()));
        let manager = manager_of(self.by.as_ref());
        act(&ReloadService {
            service: ManagedService {
                manager: &*manager,
                kind: &kind,
            },
            ready: ready.as_ref(),
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
        problems.extend(self.kind().problems());
        problems.extend(self.url.as_deref().and_then(http::problem));
        problems
    }

    fn outline(&self, _direction: Direction) -> Vec<String> {
        let mut commands = vec![self.kind().testing()];
        commands.extend(self.with(|reload| reload.outline()));
        commands
    }

    fn observe(&self, cx: &Context) -> Result<Found, Error> {
        let found = self.with(|reload| reload.observe(cx))?;
        self.kind().test(cx, found.masters.first())?;
        Ok(found)
    }

    fn preview(&self, _direction: Direction, past: &Past<Self>) -> Preview {
        let mut commands = vec![self.kind().testing()];
        commands.extend(self.with(|reload| reload.preview(&past.before)));
        Preview {
            commands,
            ..Preview::default()
        }
    }

    fn probe(&self, cx: &Context, past: &Past<Self>) -> Result<(Look, Option<()>), Error> {
        let look = self.with(|reload| reload.probe(cx, &past.before, past.noted()))?;
        Ok((look, None))
    }

    fn perform(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<(), Error> {
        self.kind().test(work.cx(), past.before.masters.first())?;
        self.with(|reload| reload.perform(work, &past.before))
    }
}
