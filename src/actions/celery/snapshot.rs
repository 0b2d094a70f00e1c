//! What ran before a stop or a start: who, by which manager, and what each consumed.
//!
//! Invariant: no environment and no whole command line stands in it (`service` keeps those apart).

use super::cmdline::Role;
use super::counts;
use super::find::{self, Origin};
use super::inspector;
use super::workers::{Running, Workers};
use crate::action::{Context, Error};
use crate::host::process::identity::Ident;
use crate::host::process::note::Note;
use crate::host::service::found::Found;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What ran before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// As its manager found it.
    pub(super) service: Found,
    /// The application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) origin: Option<Origin>,
    /// Its workers or beats.
    pub(super) members: Vec<Member>,
}

/// One worker, or one beat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Member {
    pub(super) process: Ident,
    /// The name that it answered by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) node: Option<String>,
    /// What it consumed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) queues: Vec<String>,
}

impl Snapshot {
    /// Something ran, or its manager was about to start it.
    pub(super) fn ran(&self) -> bool {
        !self.members.is_empty() || self.service.runs()
    }

    /// What each worker consumed before this step changed anything, by its name: as it answered the look, and as the
    /// step noted it before it cancelled the consumer.
    pub(super) fn consumed<'n>(
        &self,
        notes: impl IntoIterator<Item = &'n Note>,
    ) -> BTreeMap<String, Vec<String>> {
        let mut consumed: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for member in &self.members {
            if let Some(node) = &member.node {
                let queues = consumed.entry(node.clone()).or_default();
                queues.extend(member.queues.iter().cloned());
            }
        }
        for note in notes {
            if let Note::Cancelling { worker, queue } = note {
                let queues = consumed.entry(worker.clone()).or_default();
                if !queues.contains(queue) {
                    queues.push(queue.clone());
                }
            }
        }
        consumed
    }

    /// The processes that answered, by their names.
    pub(super) fn nodes(&self) -> BTreeMap<String, Vec<i32>> {
        let mut nodes: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for member in &self.members {
            if let Some(node) = &member.node {
                let pids = nodes.entry(node.clone()).or_default();
                pids.push(member.process.pid);
            }
        }
        nodes
    }

    /// The programs that did not run before.
    pub(super) fn spared(&self) -> Vec<String> {
        let programs = self.service.programs.iter();
        let down = programs.filter(|p| !p.is_running() && !p.is_finished());
        down.map(|p| p.name.clone()).collect()
    }

    /// It ran before.
    pub(super) fn knows(&self, ident: &Ident) -> bool {
        self.members.iter().any(|m| m.process == *ident)
    }

    /// For people.
    pub(super) fn names(&self, role: Role) -> String {
        let each: Vec<String> = self
            .members
            .iter()
            .map(|m| match &m.node {
                Some(node) => format!("{node} (process {})", m.process.pid),
                None => format!("{} {}", role.name(), m.process.pid),
            })
            .collect();
        each.join(", ")
    }
}

/// Who runs now; asked what they consume, where that is wanted.
pub(super) fn take(
    cx: &Context,
    workers: &Workers<'_>,
    seen: &Running,
    asks: bool,
) -> Result<Snapshot, Error> {
    let mut members: Vec<Member> = seen
        .live
        .iter()
        .map(|l| Member {
            process: l.ident.clone(),
            node: None,
            queues: Vec::new(),
        })
        .collect();
    if asks && !seen.live.is_empty() {
        // Of one that is busy with a task in its own process more is learnt by the drain.
        let inspection = inspector::inspect(cx, &seen.live, workers.app)?;
        let counts = counts::join(&seen.live, inspection);
        for member in &mut members {
            let mut nodes = counts.nodes.iter();
            let node = nodes.find(|(_, pids)| pids.contains(&member.process.pid));
            if let Some((node, _)) = node {
                let report = counts.reports.iter().find(|t| t.node == *node);
                member.queues = report.map(|t| t.queues.clone()).unwrap_or_default();
                member.node = Some(node.clone());
            }
        }
    }
    Ok(Snapshot {
        service: seen.found.clone(),
        origin: seen.live.first().map(|l| l.origin.clone()),
        members,
    })
}

/// A beat that lives inside a worker is none that can be stopped alone.
pub(super) fn inside(workers: &Workers<'_>) -> Result<(), Error> {
    let all = find::all()?;
    let inside = all
        .iter()
        .filter(|l| l.cmdline.role == Role::Worker && l.cmdline.beat_inside)
        .find(|l| workers.by.is_none() && l.origin.meant(workers.app));
    match inside {
        Some(live) => Err(Error::new(format!(
            "beat is embedded in {} (-B) and stops with it: remove this step, and stop the workers first",
            live.shown()
        ))),
        None => Ok(()),
    }
}
