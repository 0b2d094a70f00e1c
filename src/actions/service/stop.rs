//! `service.stop`: a service of any kind ends in peace, or is killed after its grace.

use crate::action::values::Port;
use crate::action::{Action, Context, Direction, Error, Family, Past, Preview, Properties};
use crate::actions::service::{Named, stops};
use crate::host::service::by::By;
use crate::host::service::kind::AnyProcess;
use crate::host::service::{ManagedService, Ready, StopService, manager_of};
use crate::text::settings as text;
use crate::time::Length;
use rustix::process::Signal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Stops a service: TERM, a grace period, then KILL. A service of supervisord or systemd is stopped by its manager, whose
/// `stopwaitsecs` or `TimeoutStopSec` applies too: it kills the main process then, and what is left has the rest of `grace`.
/// Active sockets, paths and timers that would start a unit again are stopped with it. Set the `env` of an unmanaged service in the step: the undo starts it with that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// Who manages it.
    pub by: By,
    /// The grace period before it is killed. Default: 30s, or the `stopwaitsecs` or
    /// `TimeoutStopSec` of its manager if that is longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<Length>,
    /// The signal that lets it end, for a service that no supervisord or systemd manages. Default: TERM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<EndSignal>,
    /// A port of this machine that must be closed afterwards, in addition to those on which it was found listening.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// How to check that it is ready after the undo. Its ports must accept connections in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Ready>,
    /// The time limit until it is ready after the undo. Default: 30s.
    #[serde(default = "half_a_minute")]
    pub within: Length,
}

/// A signal that lets a process end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum EndSignal {
    /// SIGTERM.
    Term,
    /// SIGINT.
    Int,
    /// SIGQUIT.
    Quit,
    /// SIGHUP.
    Hup,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
    /// SIGWINCH.
    Winch,
}

impl EndSignal {
    fn signal(self) -> Signal {
        match self {
            Self::Term => Signal::TERM,
            Self::Int => Signal::INT,
            Self::Quit => Signal::QUIT,
            Self::Hup => Signal::HUP,
            Self::Usr1 => Signal::USR1,
            Self::Usr2 => Signal::USR2,
            Self::Winch => Signal::WINCH,
        }
    }
}

pub(crate) fn half_a_minute() -> Length {
    Length(30_000)
}

impl Stop {
    /// By what it names its service.
    fn named(&self) -> Named<'_> {
        Named::By(Some(&self.by))
    }

    fn with<T>(&self, act: impl FnOnce(&StopService<'_>) -> T) -> T {
        let manager = manager_of(Some(&self.by));
        act(&StopService {
            service: ManagedService {
                manager: &*manager,
                kind: &AnyProcess {
                    gentle: self.signal.map(EndSignal::signal),
                },
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
            ..Properties::reversible().processes()
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = self.by.problems();
        if self.signal.is_some() && self.by.signals() {
            problems.push(text::signal_of_manager());
        }
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
