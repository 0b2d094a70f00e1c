//! `gunicorn.stop`: requests in flight finish, then the master and its workers are gone and the port is closed.
//!
//! TERM lets Gunicorn finish what it has, for its own `graceful_timeout` (30 s by default) at most; a shorter `grace`
//! ends it sooner, by a KILL that is on record. Workers that outlived a killed master, its pidfile and its socket are
//! seen and taken away.

use super::Gunicorn;
use crate::action::values::Port;
use crate::action::{
    Action, Context, Direction, Error, Family, Past, Preview, Properties, Service, Stage,
};
use crate::actions::service::stop::half_a_minute;
use crate::actions::service::{Named, stops};
use crate::host::service::by::By;
use crate::host::service::{ManagedService, Ready, StopService, manager_of};
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Stops Gunicorn: TERM, a grace period for requests in flight, then KILL. Set the `env` of the application in the step:
/// the undo starts Gunicorn with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// Its manager. Default: the only Gunicorn that runs on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// The grace period for requests in flight before it is killed. Default: 30s, or the `stopwaitsecs` or
    /// `TimeoutStopSec` of its manager if that is longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<Length>,
    /// A port that must be closed afterwards, in addition to those on which it was found listening.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// How to check that it is ready after the undo. Its ports must accept connections in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Ready>,
    /// The time limit until it is ready after the undo. Default: 30s.
    #[serde(default = "half_a_minute")]
    pub within: Length,
}

impl Stop {
    /// By what it names its service.
    fn named(&self) -> Named<'_> {
        Named::By(self.by.as_ref())
    }

    fn with<T>(&self, act: impl FnOnce(&StopService<'_>) -> T) -> T {
        let manager = manager_of(self.by.as_ref());
        act(&StopService {
            service: ManagedService {
                manager: &*manager,
                kind: &Gunicorn,
            },
            grace: self.grace,
            port: self.port,
            ready: self.ready.as_ref(),
            within: self.within,
        })
    }
}

impl Action for Stop {
    stops!();

    fn properties(&self) -> Properties {
        Properties {
            family: Some(Family::Behind),
            ..Properties::reversible().at(Stage::Stop(Service::Web))
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.by.iter().flat_map(By::problems).collect();
        problems.extend(self.ready.iter().flat_map(Ready::problems));
        problems
    }

    fn outline(&self, direction: Direction) -> Vec<String> {
        self.with(|stop| stop.outline(direction))
    }

    fn observe(&self, cx: &Context) -> Result<Self::Before, Error> {
        self.with(|stop| stop.observe(cx))
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        let commands = self.with(|stop| stop.preview(direction, &past.before.0));
        Preview {
            commands,
            ..Preview::default()
        }
    }
}
