//! `env.capture`: variables that a script exports become the environment of all later steps.
//!
//! Invariants: the script is sourced, because what a child exports is lost; its environment comes back with a NUL behind each
//! variable, on a descriptor of its own, so that neither a line break in a value nor what the script prints becomes a
//! variable; only the names that the plan asks for are taken, and a name that is missing afterwards is an error. The status
//! of the script's last command says nothing about its exports, and is only told.

use super::{LONGEST, fits, is_name};
use crate::action::values::{absolute, holds_secret};
use crate::action::{Action, Context, Direction, Error, Live, Past, Place, Properties, Work};
use crate::host::exec::{Captured, capture};
use crate::text::actions as phrases;
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use upledger_replay::plan::Effect;

/// What a shell sets by itself.
const SHELL: [&str; 5] = ["PWD", "OLDPWD", "SHLVL", "_", "BASH_EXECUTION_STRING"];
/// How many other variables are told.
const NAMED: usize = 20;
/// How many lines of a script that failed are shown.
const SHOWN: usize = 5;
/// What it prints goes to the log, and the environment to a descriptor that it does not know.
const SCRIPT: &str = r#"
exec 9>&1 1>&2
env=$(command -v env) || exit 125
source=$1
shift
. "$source"
printf 'status=%s\0' "$?" >&9
"$env" -0 >&9 || {
    # Only a builtin can look at what no program can be started with.
    large=
    for name in $(compgen -e 2>/dev/null); do
        eval "value=\${$name}"
        [ "${#value}" -lt 131000 ] || large="$large $name"
    done
    printf 'UPLEDGER_TOO_LARGE=%s\0' "$large" >&9
}
"#;

/// Takes variables that a script exports into the environment of all later steps of the run, and of their undos. The script is
/// sourced in a fresh shell with the environment of this step, in its `cwd`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Capture {
    /// The script, as an absolute path.
    pub source: String,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// The variables that are taken: set, changed or removed by the script. Each must be there before or afterwards. What else
    /// it changes is told, and not taken.
    #[schemars(length(min = 1))]
    pub names: Vec<String>,
    /// The shell that sources it. Default: `bash`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<Shell>,
}

/// A shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shell {
    /// Bash, without the files that it reads at its start.
    Bash,
    /// The system's `sh`.
    Sh,
}

/// What the script has set, for all later steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Variables {
    /// Their values.
    pub set: BTreeMap<String, String>,
    /// Variables that it has removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
}

/// A variable that belongs to the shell and not to the script.
fn is_of_shell(name: &str) -> bool {
    SHELL.contains(&name) || name.starts_with("BASH_FUNC_") || name.starts_with("UPLEDGER_")
}

impl Capture {
    fn sourced(&self, cx: &Context) -> Result<Captured, Error> {
        let shell: &[&str] = match self.shell.unwrap_or(Shell::Bash) {
            Shell::Bash => &["bash", "--noprofile", "--norc", "-c", SCRIPT, "bash"],
            Shell::Sh => &["sh", "-c", SCRIPT, "sh"],
        };
        let mut argv: Vec<String> = shell.iter().map(ToString::to_string).collect();
        argv.push(self.source.clone());
        argv.extend(self.args.iter().cloned());
        // A variable that starts a file at the beginning of a shell, or that forbids what comes.
        let mut clean = cx.clone();
        clean.env.retain(|(name, _)| {
            !["BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS"].contains(&name.as_str())
        });
        capture(&clean, &argv, cx.patience())
    }

    /// What is taken of the environment after the script.
    fn taken(&self, cx: &Context, after: &BTreeMap<String, String>) -> Result<Variables, Error> {
        let before: BTreeMap<&String, &String> = cx.env.iter().map(|(k, v)| (k, v)).collect();
        let mut found = Variables {
            set: BTreeMap::new(),
            removed: Vec::new(),
        };
        let mut missing = Vec::new();
        for name in &self.names {
            match (after.get(name), before.get(name)) {
                (Some(value), _) => {
                    fits(name, value)?;
                    found.set.insert(name.clone(), value.clone());
                }
                (None, Some(_)) => found.removed.push(name.clone()),
                (None, None) => missing.push(name.as_str()),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        Err(Error::new(format!(
            "{} has not exported {}",
            self.source,
            missing.join(", ")
        ))
        .remedy("look at what the script needs, such as its arguments or a variable; or take the name out of `names`"))
    }

    /// The names of what else has changed.
    fn others(&self, cx: &Context, after: &BTreeMap<String, String>) -> Vec<String> {
        let before: BTreeMap<&String, &String> = cx.env.iter().map(|(k, v)| (k, v)).collect();
        let changed = after
            .iter()
            .filter(|(k, v)| before.get(k) != Some(v))
            .map(|(k, _)| k.clone());
        let removed = before
            .keys()
            .filter(|k| !after.contains_key(**k))
            .map(|k| format!("{k} (removed)"));
        let strange = |name: &String| {
            let bare = name.split(' ').next().unwrap_or_default();
            !is_of_shell(bare) && !self.names.iter().any(|n| n == bare)
        };
        changed.chain(removed).filter(strange).take(NAMED).collect()
    }
}

impl Action for Capture {
    type Before = ();
    type Note = ();
    type Output = Variables;

    fn properties(&self) -> Properties {
        Properties {
            effect: Effect::Idempotent,
            needs_undo: false,
            live: Live::Unknown,
            reads: Some(vec![Place::path(&self.source), Place::Files]),
            ..Properties::command()
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong: Vec<String> = absolute("source", &self.source).into_iter().collect();
        if self.names.is_empty() {
            wrong.push(text::empty("names"));
        }
        let bad = self.names.iter().filter(|n| !is_name(n) || is_of_shell(n));
        wrong.extend(bad.map(text::no_variable));
        let secret = self.names.iter().filter(|n| holds_secret(n));
        wrong.extend(secret.map(text::captured_secret));
        wrong
    }

    fn outline(&self, _direction: Direction) -> Vec<String> {
        vec![phrases::env_capture(
            &self.source,
            crate::text::list(&self.names),
        )]
    }

    fn observe(&self, _cx: &Context) -> Result<(), Error> {
        match Path::new(&self.source).is_file() {
            true => Ok(()),
            false => Err(Error::new(format!("there is no file {}", self.source))),
        }
    }

    fn perform(&self, work: &mut Work<'_, ()>, _past: &Past<Self>) -> Result<Variables, Error> {
        let cx = work.cx();
        let ran = self.sourced(cx)?;
        for line in ran.stderr.lines() {
            work.log_line(line);
        }
        let text = std::str::from_utf8(&ran.stdout).map_err(|e| {
            Error::io(
                format!("{} exports a value that is no text in UTF-8", self.source),
                &e,
            )
        })?;
        let mut parts = text.split('\0').filter_map(|part| part.split_once('='));
        let Some(("status", status)) = parts.next() else {
            let mut lines = vec![format!(
                "{} has ended the shell that sources it ({}), so that its variables are lost",
                self.source, ran.ended
            )];
            lines.extend(ran.tail(SHOWN));
            return Err(Error::new(lines.join("\n")).remedy(
                "it calls `exit`, or a command failed under `set -e`; take both out of the script",
            ));
        };
        let after: BTreeMap<String, String> =
            parts.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        if status != "0" {
            work.log_line(&format!("the script's last command ended with {status}"));
        }
        if let Some(large) = after.get("UPLEDGER_TOO_LARGE") {
            let large = match large.trim() {
                "" => "the environment".to_owned(),
                names => names.to_owned(),
            };
            return Err(Error::new(format!(
                "{large} is too large after {}: no program can be started with a variable of more than {LONGEST} bytes",
                self.source
            ))
            .remedy("pass it in a file"));
        }
        let found = self.taken(cx, &after)?;
        let removed = found.removed.iter().map(|name| format!("{name} removed"));
        let taken: Vec<String> = found.set.keys().cloned().chain(removed).collect();
        work.log_line(&format!("for all later steps: {}", taken.join(", ")));
        let others = self.others(cx, &after);
        if !others.is_empty() {
            work.log_line(&format!(
                "changed by it as well, and not taken: {}",
                others.join(", ")
            ));
        }
        Ok(found)
    }
}
