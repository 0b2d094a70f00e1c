//! `timer.enable`: timers are started.

use super::{by, problems};
use crate::action::{Action, Context, Direction, Error, Past, Preview, Properties, Service, Stage};
use crate::actions::service::starts;
use crate::host::service::kind::AnyProcess;
use crate::host::service::{ManagedService, StartService};
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Starts systemd timers. Their enablement is not changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Enable {
    /// The timers, such as `backup.timer`; the suffix is optional.
    #[schemars(length(min = 1))]
    pub timers: Vec<String>,
}

impl Enable {
    fn with<T>(&self, act: impl FnOnce(&StartService<'_>) -> T) -> T {
        let by = by(&self.timers);
        let manager = by.manager();
        act(&StartService {
            service: ManagedService {
                manager: &*manager,
                kind: &AnyProcess::default(),
            },
            ready: None,
            within: Length(30_000),
        })
    }
}

impl Action for Enable {
    starts!();

    fn properties(&self) -> Properties {
        Properties::reversible().at(Stage::Start(Service::Schedule))
    }

    fn problems(&self) -> Vec<String> {
        problems(&self.timers)
    }

    fn outline(&self, direction: Direction) -> Vec<String> {
        self.with(|start| start.outline(direction))
    }

    fn observe(&self, cx: &Context) -> Result<Self::Before, Error> {
        self.with(|start| start.observe(cx))
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        Preview {
            commands: self.with(|start| start.preview(direction, &past.before.0, past.noted())),
            ..Preview::default()
        }
    }
}
