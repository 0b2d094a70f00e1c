//! `nginx.start`: the configuration is tested, Nginx is started by its manager, and it answers.

use super::{Nginx, url};
use crate::action::{Action, Context, Direction, Error, Past, Preview, Properties, Service, Stage};
use crate::actions::service::starts;
use crate::actions::service::stop::half_a_minute;
use crate::host::http;
use crate::host::service::by::By;
use crate::host::service::{ManagedService, Ready, StartService, manager_of};
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Tests the configuration, starts Nginx, and checks that the page responds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// The program. Default: `nginx`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary: Option<String>,
    /// The configuration file, its `-c`; an absolute path. Default: that of the running Nginx, else the compiled-in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conf: Option<String>,
    /// Its `-p`; an absolute path. Default: that of the running Nginx, else the compiled-in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Its manager. Default: started by its own command, which daemonizes itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// A page that must answer 200. Default: it is still running after half a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The time limit until it is ready. Default: 30s.
    #[serde(default = "half_a_minute")]
    pub within: Length,
}

impl Start {
    fn kind(&self) -> Nginx {
        Nginx::of(
            self.binary.as_deref(),
            self.conf.as_deref(),
            self.prefix.as_deref(),
        )
    }

    /// Its manager.
    pub(in crate::actions) fn by(&self) -> Option<&By> {
        self.by.as_ref()
    }

    pub(in crate::actions) fn with<T>(&self, act: impl FnOnce(&StartService<'_>) -> T) -> T {
        let (mut kind, ready): (Nginx, Option<Ready>) = (self.kind(), url(self.url.as_deref()));
        kind.starts = true;
        let manager = manager_of(self.by.as_ref());
        act(&StartService {
            service: ManagedService {
                manager: &*manager,
                kind: &kind,
            },
            ready: ready.as_ref(),
            within: self.within,
        })
    }
}

impl Action for Start {
    starts!();

    fn properties(&self) -> Properties {
        Properties::reversible().at(Stage::Start(Service::Front))
    }

    fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.by.iter().flat_map(By::problems).collect();
        problems.extend(self.kind().problems());
        problems.extend(self.url.as_deref().and_then(http::problem));
        problems
    }

    fn outline(&self, direction: Direction) -> Vec<String> {
        let mut lines = self.with(|start| start.outline(direction));
        if direction == Direction::Do {
            lines.insert(0, self.kind().testing());
        }
        lines
    }

    fn observe(&self, cx: &Context) -> Result<Self::Before, Error> {
        self.kind().test(cx, None)?;
        self.with(|start| start.observe(cx))
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        let mut commands =
            self.with(|start| start.preview(direction, &past.before.0, past.noted()));
        if direction == Direction::Do {
            commands.insert(0, self.kind().testing());
        }
        Preview {
            commands,
            ..Preview::default()
        }
    }
}
