//! `service.start`: a service of any kind, started by its manager and ready before the step counts as done.

use super::stop::half_a_minute;
use crate::action::{Action, Context, Direction, Error, Family, Past, Preview, Properties};
use crate::actions::service::starts;
use crate::host::service::by::By;
use crate::host::service::kind::AnyProcess;
use crate::host::service::{ManagedService, Ready, StartService, manager_of};
use crate::text::settings as text;
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Starts a service through its manager and waits until it is ready.
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
    pub(in crate::actions) fn with<T>(&self, act: impl FnOnce(&StartService<'_>) -> T) -> T {
        let manager = manager_of(Some(&self.by));
        act(&StartService {
            service: ManagedService {
                manager: &*manager,
                kind: &AnyProcess::default(),
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
            ..Properties::reversible().processes()
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
