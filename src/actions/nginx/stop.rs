//! `nginx.stop`: what is in flight finishes, then the master and its workers are gone and the ports are closed.
//!
//! The configuration is tested first: an Nginx that could not be started again is not stopped.

use super::{Nginx, url};
use crate::action::values::Port;
use crate::action::{
    Action, Context, Direction, Error, Family, Past, Preview, Properties, Service, Stage,
};
use crate::actions::service::stop::half_a_minute;
use crate::actions::service::{Named, stops};
use crate::host::http;
use crate::host::service::by::By;
use crate::host::service::{ManagedService, Ready, StopService, manager_of};
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Stops Nginx: tests its configuration, then sends QUIT, waits for requests in flight, then KILL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stop {
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
    /// The grace period for requests in flight before it is killed. Default: 30s, or the `stopwaitsecs` or
    /// `TimeoutStopSec` of its manager if that is longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<Length>,
    /// A port that must be closed afterwards, in addition to those on which it was found listening.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// A page that must answer 200 after the undo. Its ports must accept connections in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The time limit until it is ready after the undo. Default: 30s.
    #[serde(default = "half_a_minute")]
    pub within: Length,
}

impl Stop {
    fn kind(&self) -> Nginx {
        Nginx::of(
            self.binary.as_deref(),
            self.conf.as_deref(),
            self.prefix.as_deref(),
        )
    }

    /// By what it names its service.
    fn named(&self) -> Named<'_> {
        Named::By(self.by.as_ref())
    }

    fn with<T>(&self, act: impl FnOnce(&StopService<'_>) -> T) -> T {
        let (kind, ready): (Nginx, Option<Ready>) = (self.kind(), url(self.url.as_deref()));
        let manager = manager_of(self.by.as_ref());
        act(&StopService {
            service: ManagedService {
                manager: &*manager,
                kind: &kind,
            },
            grace: self.grace,
            port: self.port,
            ready: ready.as_ref(),
            within: self.within,
        })
    }
}

impl Action for Stop {
    stops!();

    fn properties(&self) -> Properties {
        Properties {
            family: Some(Family::Behind),
            ..Properties::reversible().at(Stage::Stop(Service::Front))
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.by.iter().flat_map(By::problems).collect();
        problems.extend(self.kind().problems());
        problems.extend(self.url.as_deref().and_then(http::problem));
        problems
    }

    fn outline(&self, direction: Direction) -> Vec<String> {
        let mut lines = self.with(|stop| stop.outline(direction));
        if direction == Direction::Do {
            lines.insert(0, self.kind().testing());
        }
        lines
    }

    fn observe(&self, cx: &Context) -> Result<Self::Before, Error> {
        let before = self.with(|stop| stop.observe(cx))?;
        if let Some(master) = before.0.masters.first() {
            self.kind().test(cx, Some(master))?;
        }
        Ok(before)
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        let mut commands = self.with(|stop| stop.preview(direction, &past.before.0));
        if direction == Direction::Do {
            commands.insert(0, self.kind().testing());
        }
        Preview {
            commands,
            ..Preview::default()
        }
    }
}
