//! `gunicorn.start`: the application's server is started by its manager, and answers before the step counts as done.

use super::Gunicorn;
use crate::action::{
    Action, Context, Direction, Error, Family, Past, Preview, Properties, Service, Stage,
};
use crate::actions::service::starts;
use crate::actions::service::stop::half_a_minute;
use crate::host::service::by::By;
use crate::host::service::{ManagedService, Ready, StartService, manager_of};
use crate::text::settings as text;
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Starts Gunicorn and waits until it is ready. Before the start, it checks for other processes on its port and for workers
/// orphaned by an earlier master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Who manages it.
    pub by: By,
    /// How to check that it is ready. Default: it is still running after half a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Ready>,
    /// The time limit until it is ready. Default: 30s.
    #[serde(default = "half_a_minute")]
    pub within: Length,
}

impl Start {
    /// Its manager.
    pub(in crate::actions) fn by(&self) -> Option<&By> {
        Some(&self.by)
    }

    pub(in crate::actions) fn with<T>(&self, act: impl FnOnce(&StartService<'_>) -> T) -> T {
        let manager = manager_of(Some(&self.by));
        act(&StartService {
            service: ManagedService {
                manager: &*manager,
                kind: &Gunicorn,
            },
            ready: self.ready.as_ref(),
            within: self.within,
        })
    }
}

impl Action for Start {
    starts!();

    fn properties(&self) -> Properties {
        Properties {
            writes: self.by.writes(),
            family: self.by.is_set().then_some(Family::Before),
            program: self
                .by
                .program()
                .map(|(p, d)| (p.to_owned(), d.map(str::to_owned))),
            ..Properties::reversible().at(Stage::Start(Service::Web))
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = self.by.problems();
        if problems.is_empty() && !self.by.can_start() {
            problems.push(text::needs("by", "by.start"));
        }
        problems.extend(self.ready.iter().flat_map(Ready::problems));
        problems
    }

    fn outline(&self, direction: Direction) -> Vec<String> {
        self.with(|start| start.outline(direction))
    }

    fn observe(&self, cx: &Context) -> Result<Self::Before, Error> {
        self.with(|start| start.observe(cx))
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        let commands = self.with(|start| start.preview(direction, &past.before.0, past.noted()));
        Preview {
            commands,
            ..Preview::default()
        }
    }
}
