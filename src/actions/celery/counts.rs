//! Which worker is which process: the workers that live here against those that answered.
//!
//! Invariants: a worker that lives and does not answer is silent, never empty; a worker that answers and does not live
//! here is another machine's, and nobody tells it anything.

use super::find::Live;
use super::inspector::{Inspection, WorkerReport};
use crate::host::process::identity::Stat;
use std::collections::BTreeMap;

/// Who is who.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// The processes that answered, by their name.
    pub(super) nodes: BTreeMap<String, Vec<i32>>,
    /// The names that Celery gives to workers, by what they were given.
    names: BTreeMap<String, String>,
    /// The processes that did not.
    pub(super) silent: Vec<i32>,
    /// What those of here said.
    pub(super) reports: Vec<WorkerReport>,
}

/// Joins the processes that live with what workers answered.
pub(super) fn join(found: &[Live], inspection: Inspection) -> Counts {
    let parent = |pid: i32| Stat::of(pid).map(|s| s.parent);
    let mut counts = Counts::default();
    for f in found {
        let name = inspection.names.get(&f.written());
        // A machine elsewhere may have a worker of the same number. It is ours if its name is the one of the command
        // line, if its pool is below our process, or if only a container's numbers can be compared.
        let node = inspection
            .roll
            .iter()
            .filter(|p| p.pid == f.inner)
            .find(|p| {
                // The pool of one process is the worker itself.
                let below = |c: &i32| *c == f.ident.pid || parent(*c) == Some(f.ident.pid);
                let pool = p.children.iter().any(|c| *c != p.pid) && p.children.iter().all(below);
                Some(&p.node) == name || f.inner != f.ident.pid || pool
            });
        let node = node.map(|p| p.node.as_str());
        match node {
            Some(node) => {
                let pids = counts.nodes.entry(node.to_owned()).or_default();
                pids.push(f.ident.pid);
            }
            None => counts.silent.push(f.ident.pid),
        }
    }
    counts.names = inspection.names;
    counts.reports = inspection.reports;
    counts
        .reports
        .retain(|t| counts.nodes.contains_key(&t.node));
    for report in &mut counts.reports {
        let here = counts.nodes.get(&report.node).map_or(0, Vec::len);
        let answered = inspection
            .roll
            .iter()
            .filter(|p| p.node == report.node)
            .count();
        // Two workers of one name: each has to have said its part.
        report.whole &= answered >= here;
    }
    counts
}

impl Counts {
    /// What an earlier look learnt: who answers by which name, and nothing of what they do.
    pub(super) fn named(nodes: BTreeMap<String, Vec<i32>>) -> Self {
        Self {
            nodes,
            ..Self::default()
        }
    }

    /// The names that these answer by, once each of them is known: as they answered, else as Celery names them.
    pub(super) fn addresses(&self, live: &[Live]) -> Option<Vec<String>> {
        let of = |l: &Live| {
            let mut nodes = self.nodes.iter();
            let answered = nodes.find(|(_, pids)| pids.contains(&l.ident.pid));
            let answered = answered.map(|(node, _)| node.clone());
            answered.or_else(|| self.names.get(&l.written()).cloned())
        };
        let mut names = live.iter().map(of).collect::<Option<Vec<String>>>()?;
        names.sort();
        names.dedup();
        Some(names)
    }

    /// Each worker that lives has said everything.
    pub(super) fn whole(&self) -> bool {
        self.silent.is_empty()
            && self.reports.len() == self.nodes.len()
            && self.reports.iter().all(|t| t.whole)
    }

    /// What they have to do, for people.
    pub(super) fn shown(&self) -> String {
        let mut parts: Vec<String> = self
            .reports
            .iter()
            .map(|t| {
                let more = if t.whole { "" } else { " (incomplete answer)" };
                let consumes = if t.queues.is_empty() {
                    "consumes nothing".to_owned()
                } else {
                    format!("consumes {}", t.queues.join(", "))
                };
                format!(
                    "{}: {} active, {} reserved, {} scheduled, {consumes}{more}",
                    t.node, t.active, t.reserved, t.scheduled
                )
            })
            .collect();
        parts.extend(
            self.silent
                .iter()
                .map(|pid| format!("worker {pid}: no answer")),
        );
        parts.join("; ")
    }
}
