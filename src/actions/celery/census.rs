//! Which worker is which process: the workers that live here against those that answered.
//!
//! Invariants: a worker that lives and does not answer is silent, never empty; a worker that answers and does not live
//! here is another machine's, and nobody tells it anything.

use super::ask::{Heard, Told};
use super::find::Live;
use crate::actions::process::identity::Stat;
use std::collections::BTreeMap;

/// Who is who.
#[derive(Debug, Default)]
pub(super) struct Census {
    /// The processes that answered, by their name.
    pub(super) nodes: BTreeMap<String, Vec<i32>>,
    /// The processes of their pools.
    pub(super) children: BTreeMap<i32, Vec<i32>>,
    /// The processes that did not.
    pub(super) silent: Vec<i32>,
    /// Those that answered from elsewhere.
    pub(super) elsewhere: Vec<String>,
    /// What those of here said.
    pub(super) told: Vec<Told>,
}

/// Joins what was found with what was heard.
pub(super) fn census(found: &[Live], heard: Heard) -> Census {
    let parent = |pid: i32| Stat::of(pid).map(|s| s.parent);
    let mut census = Census::default();
    for f in found {
        let name = f.node();
        // A machine elsewhere may have a worker of the same number. It is ours if its name is the one of the command
        // line, if its pool is below our process, or if only a container's numbers can be compared.
        let node = heard.roll.iter().filter(|p| p.pid == f.inner).find(|p| {
            Some(&p.node) == name.as_ref()
                || f.inner != f.ident.pid
                || (!p.children.is_empty()
                    && p.children.iter().all(|c| parent(*c) == Some(f.ident.pid)))
        });
        let node = node.map(|p| p.node.as_str());
        match node {
            Some(node) => {
                census
                    .nodes
                    .entry(node.to_owned())
                    .or_default()
                    .push(f.ident.pid);
                let children = heard
                    .roll
                    .iter()
                    .find(|p| p.node == node && p.pid == f.inner);
                if let Some(present) = children {
                    census
                        .children
                        .insert(f.ident.pid, present.children.clone());
                }
            }
            None => census.silent.push(f.ident.pid),
        }
    }
    for present in &heard.roll {
        if !census.nodes.contains_key(&present.node) && !census.elsewhere.contains(&present.node) {
            census.elsewhere.push(present.node.clone());
        }
    }
    census.told = heard.told;
    census.told.retain(|t| census.nodes.contains_key(&t.node));
    for told in &mut census.told {
        let here = census.nodes.get(&told.node).map_or(0, Vec::len);
        let answered = heard.roll.iter().filter(|p| p.node == told.node).count();
        // Two workers of one name: each has to have said its part.
        told.whole &= answered >= here;
    }
    census
}

impl Census {
    /// Names of the workers of here.
    pub(super) fn names(&self) -> Vec<String> {
        self.nodes.keys().cloned().collect()
    }

    /// How many of here answered.
    pub(super) fn count(&self) -> usize {
        self.nodes.values().map(Vec::len).sum()
    }

    /// Each worker that lives has said everything.
    pub(super) fn whole(&self) -> bool {
        self.silent.is_empty()
            && self.told.len() == self.nodes.len()
            && self.told.iter().all(|t| t.whole)
    }

    /// What they have to do, for people.
    pub(super) fn counts(&self) -> String {
        let mut parts: Vec<String> = self
            .told
            .iter()
            .map(|t| {
                let more = if t.whole {
                    ""
                } else {
                    " (not all was answered)"
                };
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
