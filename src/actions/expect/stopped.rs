//! `expect.stopped`: after the stops, nothing of the platform runs: no process of these command lines, nobody on these
//! ports, nobody behind these pidfiles and sockets. Whoever is left is named.
//!
//! What a dead service leaves behind, a stale pidfile or a socket that nobody accepts on, is told and does not count.
//! Both come from `/proc`, in one look for all of them. A process that has ended and was not waited for yet is none. Left
//! out: who is to end what is left; the stops do that.

use super::port::listened;
use super::{Expectation, Finding};
use crate::action::values::{Port, absolute};
use crate::action::{Context, Error, Place, Places, Stage};
use crate::host::process::list;
use crate::host::process::sockets::{self, Door};
use crate::host::service::pidfile::{self, Named};
use crate::text::actions as phrases;
use crate::text::settings as text;
use crate::time::Length;
use regex::RegexSet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How many of the processes found are named.
const NAMED: usize = 20;

/// Expects that the platform has stopped. Remaining processes are named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stopped {
    /// Regular expressions for a command line, its arguments joined by spaces: no process matches any of them. upledger's
    /// own processes never match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<String>,
    /// TCP ports of this machine without a listener.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// Pidfiles (plain numbers) that name no running process; absolute paths. Stale pidfiles are reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pidfiles: Vec<String>,
    /// Unix sockets that accept no connections; absolute paths. Stale sockets are reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sockets: Vec<String>,
    /// How long to wait for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Length>,
}

impl Stopped {
    fn listed(&self) -> String {
        let ports: Vec<String> = self.ports.iter().map(phrases::port).collect();
        let paths: Vec<&str> = [&self.pidfiles, &self.sockets]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        let parts = [
            crate::text::list(&self.processes),
            crate::text::list(&ports),
            crate::text::list(&paths),
        ];
        let named: Vec<&str> = parts
            .iter()
            .map(String::as_str)
            .filter(|p| !p.is_empty())
            .collect();
        crate::text::clauses(&named)
    }

    /// Who is behind the pidfiles and sockets.
    fn behind(&self) -> Result<Vec<String>, Error> {
        let mut left = Vec::new();
        for path in &self.pidfiles {
            match pidfile::read(Path::new(path))? {
                Named::Process(ident) => {
                    left.push(format!("{path} names {}, which is running", ident.shown()));
                }
                Named::Doubtful(_, why) => left.push(why),
                Named::Nobody | Named::Stale(..) => {}
            }
        }
        for path in &self.sockets {
            match sockets::knock(path) {
                Door::Accepts => left.push(format!("{path} accepts connections")),
                Door::Untold(why) => left.push(why),
                Door::Gone | Door::Dead => {}
            }
        }
        Ok(left)
    }

    /// What the dead left behind.
    fn leftovers(&self) -> Result<Vec<String>, Error> {
        let mut told = Vec::new();
        for path in &self.pidfiles {
            if let Named::Stale(_, why) = pidfile::read(Path::new(path))? {
                told.push(format!("left behind: {why}"));
            }
        }
        for socket in sockets::leftover(&self.sockets) {
            told.push(format!(
                "left behind: the socket {socket}, which accepts no connections"
            ));
        }
        Ok(told)
    }
}

impl Expectation for Stopped {
    fn wanted(&self) -> String {
        phrases::nothing_left(self.listed())
    }

    fn within(&self) -> Option<Length> {
        self.within
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let paths = self.pidfiles.iter().map(|p| ("pidfiles", p));
        let paths = paths.chain(self.sockets.iter().map(|p| ("sockets", p)));
        wrong.extend(paths.filter_map(|(name, path)| absolute(name, path)));
        let files = self.pidfiles.is_empty() && self.sockets.is_empty();
        if self.processes.is_empty() && self.ports.is_empty() && files {
            wrong.push(text::missing_all(
                "`processes`, `ports`, `pidfiles`, `sockets`",
            ));
        }
        if self.processes.iter().any(|p| p.trim().is_empty()) {
            wrong.push(text::empty("processes"));
        }
        if let Err(e) = RegexSet::new(&self.processes) {
            wrong.push(text::no_regex("processes", e));
        }
        wrong
    }

    fn stages(&self) -> Vec<Stage> {
        vec![Stage::Confirm]
    }

    fn reads(&self) -> Places {
        let files = self.pidfiles.iter().chain(&self.sockets).map(Place::path);
        Some(files.chain([Place::Processes, Place::Written]).collect())
    }

    fn see(&self, cx: &Context) -> Result<Finding, Error> {
        let redactor = cx.redactor()?;
        let patterns = RegexSet::new(&self.processes)
            .map_err(|e| Error::io("`processes` holds no regular expression", &e))?;
        let left: Vec<String> = list::others()?
            .into_iter()
            .filter(|p| patterns.is_match(&p.command()))
            .map(|p| p.proc().without(&redactor).to_string())
            .collect();
        let mut saw: Vec<String> = left.iter().take(NAMED).cloned().collect();
        if left.len() > NAMED {
            saw.push(format!("and {} more", left.len() - NAMED));
        }
        for port in &self.ports {
            let seen = listened(port.0, false, &redactor)?;
            if !seen.holds {
                saw.extend(seen.saw);
            }
        }
        saw.extend(self.behind()?);
        let holds = saw.is_empty();
        if holds {
            saw.push(format!("nothing is left of {}", self.listed()));
            saw.extend(self.leftovers()?);
        }
        Ok(Finding { holds, saw })
    }
}
