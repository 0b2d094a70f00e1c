//! `process.stop`: a daemon of ours ends in peace, or is killed after its grace, and its port is closed.
//!
//! Evidence: no process of its session lives, and its ports do not accept. The undo starts it again from what the
//! pidfile said (command, directory, log). The environment of the process is not recorded, because it may hold secrets
//! and the record is for ever: the undo starts it with the environment of this step, so a plan gives this step the
//! `env` that the service needs.

use crate::action::values::{Port, absolute};
use crate::action::{Action, Context, Direction, Error, Family, Past, Preview, Properties, Work};
use crate::actions::service::{Named, stops};
use crate::host::service::daemon::DaemonManager;
use crate::host::service::kind::AnyProcess;
use crate::host::service::{ManagedService, Ready, StopService};
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long it may take to be ready again after the undo.
const WITHIN: Length = Length(30_000);

/// Stops a daemon that `process.start` started: TERM, a grace period, then KILL. Set the `env` of the service in the step:
/// the undo starts the daemon with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// The pidfile of `process.start`; an absolute path.
    pub pidfile: String,
    /// The grace period before it is killed. Default: 30s.
    #[serde(default = "grace")]
    pub grace: Length,
    /// A port of this machine that must be closed afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
}

fn grace() -> Length {
    Length(30_000)
}

impl Stop {
    /// Stops it now, apart from any run: for whoever ends what it has started itself.
    ///
    /// # Errors
    /// [`Error`] when something of it is left.
    pub fn stop_now(&self) -> Result<(), Error> {
        let cx = Context::default();
        let past = Past::new(self.observe(&cx)?);
        let mut unread = std::io::sink();
        self.perform(&mut Work::new(&cx, Direction::Do, &mut unread)?, &past)?;
        Ok(())
    }

    /// By what it names its service.
    fn named(&self) -> Named<'_> {
        Named::Pidfile(&self.pidfile)
    }

    fn with<T>(&self, act: impl FnOnce(&StopService<'_>) -> T) -> T {
        let ready = self.port.map(|port| Ready {
            port: Some(port),
            ..Ready::default()
        });
        act(&StopService {
            service: ManagedService {
                manager: &DaemonManager {
                    pidfile: &self.pidfile,
                    argv: &[],
                    log: "/dev/null",
                    cwd: None,
                },
                kind: &AnyProcess::default(),
            },
            grace: Some(self.grace),
            port: self.port,
            ready: ready.as_ref(),
            within: WITHIN,
        })
    }
}

impl Action for Stop {
    stops!();

    fn properties(&self) -> Properties {
        Properties {
            family: Some(Family::Behind),
            ..Properties::reversible().processes()
        }
    }

    fn problems(&self) -> Vec<String> {
        absolute("pidfile", &self.pidfile).into_iter().collect()
    }

    fn outline(&self, direction: Direction) -> Vec<String> {
        self.with(|stop| stop.outline(direction))
    }

    fn observe(&self, cx: &Context) -> Result<Self::Before, Error> {
        self.with(|stop| stop.observe(cx))
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        Preview {
            commands: self.with(|stop| stop.preview(direction, &past.before.0)),
            ..Preview::default()
        }
    }
}
