//! `process.start`: a daemon, started at most once, and ready before the step counts as done.
//!
//! Evidence: the process of the pidfile (number, start time and boot) lives, runs this command, and `ready` agrees. The
//! undo stops it, unless it ran before the step. What the daemon writes goes into its log as it is: secrets that it
//! prints are not redacted there.

use crate::action::values::absolute;
use crate::action::{Action, Context, Direction, Error, Past, Preview, Properties, Write};
use crate::actions::service::starts;
use crate::host::service::daemon::DaemonManager;
use crate::host::service::kind::AnyProcess;
use crate::host::service::{ManagedService, Ready, StartService};
use crate::text::settings as text;
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Starts a daemon in its own session and waits until it is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// The program and its arguments. It must stay in the foreground.
    #[schemars(length(min = 1))]
    pub argv: Vec<String>,
    /// The file in which its pid is stored, as JSON; an absolute path.
    pub pidfile: String,
    /// The file to which its output is appended; an absolute path.
    pub log: String,
    /// Its working directory. Default: the step's, else `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// How to check that it is ready. Default: it is still running after half a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Ready>,
    /// The time limit until it is ready. Default: 30s.
    #[serde(default = "within")]
    pub within: Length,
}

fn within() -> Length {
    Length(30_000)
}

impl Start {
    pub(in crate::actions) fn with<T>(&self, act: impl FnOnce(&StartService<'_>) -> T) -> T {
        act(&StartService {
            service: ManagedService {
                manager: &DaemonManager {
                    pidfile: &self.pidfile,
                    argv: &self.argv,
                    log: &self.log,
                    cwd: self.cwd.as_deref(),
                },
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
        let program = self.argv.first().map(|p| (p.clone(), self.cwd.clone()));
        Properties {
            program,
            writes: vec![
                Write::Append(self.log.clone()),
                Write::Append(self.pidfile.clone()),
            ],
            ..Properties::reversible().processes()
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = [
            absolute("pidfile", &self.pidfile),
            absolute("log", &self.log),
            self.cwd.as_deref().and_then(|cwd| absolute("cwd", cwd)),
        ]
        .into_iter()
        .flatten()
        .collect();
        if self.log == self.pidfile {
            problems.push(text::one_file("log", "pidfile"));
        }
        match self.argv.first() {
            None => problems.push(text::empty("argv")),
            Some(program) if program.is_empty() => problems.push(text::empty_program()),
            Some(_) => {}
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
        Preview {
            commands: self.with(|start| start.preview(direction, &past.before.0, past.noted())),
            ..Preview::default()
        }
    }
}
