//! `nginx.start`: the configuration is tested, Nginx is started by its keeper, and it answers.

use super::{Nginx, url};
use crate::action::{Service, Stage};
use crate::actions::http::fetch;
use crate::actions::process::Ready;
use crate::actions::service::by::By;
use crate::actions::service::stop::half_a_minute;
use crate::actions::service::{Keeper, Lift};
use crate::actions::{Action, Context, Error, forwarded};
use crate::text::settings as text;
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Starts Nginx: its configuration is tested first, and the page must answer afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// The program. Default: `nginx`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary: Option<String>,
    /// The configuration file, its `-c`; an absolute path. Default: that of the Nginx that runs, else its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conf: Option<String>,
    /// Its `-p`; an absolute path. Default: that of the Nginx that runs, else its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// By whom it is kept. Default: started by its own command, which goes into the background.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// A page that must answer 200. Without it, living for half a second is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// How long it may take to be ready. Default: 30s.
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

    fn with<T>(&self, act: impl FnOnce(&Lift<'_>) -> T) -> T {
        let (mut kind, ready): (Nginx, Option<Ready>) = (self.kind(), url(self.url.as_deref()));
        kind.starts = true;
        act(&Lift {
            keeper: Keeper {
                by: self.by.as_ref(),
                kind: &kind,
            },
            ready: ready.as_ref(),
            within: self.within,
        })
    }
}

impl Action for Start {
    forwarded!();

    fn stages(&self) -> Vec<Stage> {
        vec![Stage::Start(Service::Front)]
    }

    fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.by.iter().flat_map(By::problems).collect();
        problems.extend(self.kind().problems());
        problems.extend(self.url.as_deref().and_then(fetch::problem));
        problems
    }

    fn observe(&self, cx: &Context) -> Result<Value, Error> {
        self.kind().test(cx, None)?;
        self.with(|lift| lift.observe(cx))
    }

    fn undoing(&self) -> Option<String> {
        Some(text::undo_start())
    }

    fn commands(&self, cx: &Context) -> Vec<String> {
        let mut commands = vec![self.kind().testing()];
        commands.extend(self.with(|lift| lift.commands(cx)));
        commands
    }
}
