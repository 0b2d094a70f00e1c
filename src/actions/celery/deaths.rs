//! That what was started dies is noticed within seconds, also where its manager starts it again and again: its own words
//! are the reason, and not that it did not answer in time.

use super::find::Live;
use super::workers::Workers;
use crate::action::Context;
use crate::host::process::identity::Ident;
use crate::host::service::daemon::last_lines;
use crate::host::service::launch::DEAD;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

/// How often one may die that its manager starts again. The first time it may have come too early for another.
const OFTEN: usize = 2;

/// Who was seen to live after a start, and who died.
#[derive(Debug, Default)]
pub(super) struct Deaths {
    seen: Vec<Ident>,
    died: usize,
    /// Since when nobody lives.
    nobody: Option<Instant>,
}

impl Deaths {
    /// One more look; whether it is given up. What goes into the background by itself has a first process that ends, so
    /// deaths count only where a manager starts again what died.
    pub(super) fn look(&mut self, workers: &Workers<'_>, live: &[Live]) -> bool {
        if live.is_empty() {
            self.nobody.get_or_insert_with(Instant::now);
        } else {
            self.nobody = None;
        }
        let before = self.seen.len();
        self.seen.retain(Ident::alive);
        self.died += before - self.seen.len();
        for l in live {
            if !self.seen.contains(&l.ident) {
                self.seen.push(l.ident.clone());
            }
        }
        let again = workers.manager().restarts() && self.died >= OFTEN;
        again || self.nobody.is_some_and(|since| since.elapsed() >= DEAD)
    }
}

/// What is written from now on.
#[derive(Debug)]
pub(super) struct Written(BTreeMap<PathBuf, u64>);

impl Written {
    /// Into these files.
    pub(super) fn into(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let length = |file: PathBuf| {
            let length = std::fs::metadata(&file).map_or(0, |m| m.len());
            (file, length)
        };
        Self(files.into_iter().map(length).collect())
    }

    /// The last lines of it, also of files that became known later; of what a manager runs, as that has collected it.
    pub(super) fn last<'p>(
        &self,
        cx: &Context,
        workers: &Workers<'_>,
        later: impl IntoIterator<Item = &'p PathBuf>,
    ) -> String {
        let manager = workers.manager();
        let mut text = String::new();
        let mut files = self.0.clone();
        if manager.restarts() {
            text = manager.output(cx);
            files.clear();
        }
        for file in later {
            let since = self.0.get(file).copied().unwrap_or(0);
            files.insert(file.clone(), since);
        }
        let plain = files.iter().filter(|(file, _)| file.is_file());
        text.extend(plain.map(|(file, since)| last_lines(file, *since)));
        text
    }
}
