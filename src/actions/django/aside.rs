//! Static files of a release in a directory of its own (`into`), which nobody serves until a link leads to it.
//!
//! Invariants: the files are collected under a name beside the place that only this step of this run uses; they are compared
//! with their sources there, marked, and get their name when they are whole and on the disk. Nothing is ever collected into
//! a directory that has its name: it may be served. A tree that is there is used only when it holds exactly what would be
//! collected. The undo removes nothing, since nothing leads to the tree then; `release.prune` removes it later.

use super::collectstatic::{Before, Collectstatic, Note, Output};
use super::tree;
use crate::action::{Context, Error, Look, Past, Work};
use crate::failpoint;
use crate::host::exec::stream;
use crate::host::files::entry::{self, beside};
use crate::host::files::{disk, mark};
use serde_json::json;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use upledger_replay::event::Answer;

impl Collectstatic {
    /// The place of its own, where it has one.
    fn own_place(&self, cx: &Context) -> Result<PathBuf, Error> {
        let into = Path::new(self.into.as_deref().unwrap_or_default());
        match (&cx.cwd, into.is_absolute()) {
            (_, true) => Ok(into.to_path_buf()),
            (Some(cwd), false) => Ok(cwd.join(into)),
            (None, false) => Err(Error::new(format!(
                "{} is a relative path, and the step has no `cwd`",
                into.display()
            ))),
        }
    }

    pub(super) fn observe_aside(&self, cx: &Context) -> Result<Before, Error> {
        let root = tree::resolve(&self.own_place(cx)?)?;
        let seen = self.ask(cx, Some(&root))?;
        let before = Before {
            copy: disk::text(&beside(&root, cx, "new"))?,
            root: disk::text(&root)?,
            former: None,
            manifest: None,
            version: seen.version.clone(),
            files: seen.files,
            alone: self.app().manage(cx)?.is_none(),
        };
        if entry::exists(&root) {
            if mark::made_at(&root).is_none() {
                return Err(Error::new(format!(
                    "{} exists and was not created by upledger, so it is not touched",
                    before.root
                ))
                .remedy("name another directory, or move this one away"));
            }
            let wrong = self.faults(cx, &before, &seen)?;
            if !wrong.is_empty() {
                return Err(Error::new(format!(
                    "{} exists and does not hold these static files, and nothing is collected into a directory that may be \
                     served: {}",
                    before.root,
                    wrong.join("; ")
                ))
                .remedy("name another directory, or remove this one"));
            }
        }
        Ok(before)
    }

    pub(super) fn probe_aside(
        &self,
        cx: &Context,
        before: &Before,
    ) -> Result<(Look, Option<Output>), Error> {
        if !entry::exists(before.root()) {
            return Ok((
                Look::nothing(format!("{} does not exist", before.root)),
                None,
            ));
        }
        let seen = self.ask(cx, Some(before.root()))?;
        let wrong = self.faults(cx, before, &seen)?;
        if !wrong.is_empty() {
            let answer = Answer::Unclear;
            let evidence = wrong;
            return Ok((Look { answer, evidence }, None));
        }
        let evidence = self.evidence(cx, before, &seen)?;
        let answer = Answer::Done;
        let output = self.output(before, seen.files);
        Ok((Look { answer, evidence }, Some(output)))
    }

    pub(super) fn collect_aside(
        &self,
        work: &mut Work<'_, Note>,
        before: &Before,
    ) -> Result<Output, Error> {
        let (cx, root, new) = (work.cx(), before.root(), before.copy());
        entry::remove(&new)?;
        if entry::exists(root) {
            if mark::made_at(root).is_none() {
                return Err(Error::new(format!(
                    "{} has been created since it was inspected",
                    before.root
                )));
            }
            work.log_line(&format!("{} is complete", before.root));
            return Ok(self.output(before, before.files));
        }
        if !work.all_noted().any(|note| *note == Note::Collects) {
            work.note(Note::Collects)?;
        }
        let parent = root.parent().unwrap_or(Path::new("/"));
        let cannot = |what: &Path, e| Error::io(format!("cannot make {}", what.display()), &e);
        for dir in [parent, &new] {
            let mut make = DirBuilder::new();
            let made = make.recursive(true).mode(0o755).create(dir);
            made.map_err(|e| cannot(dir, e))?;
        }
        failpoint::hit("aside-before-collected");
        self.collect(work, &new)?;
        failpoint::hit("aside-collected");
        let made = Before {
            root: before.copy.clone(),
            ..before.clone()
        };
        let seen = self.ask(cx, Some(&new))?;
        let wrong = self.faults(cx, &made, &seen)?;
        if !wrong.is_empty() {
            return Err(Error::new(wrong.join("; ")));
        }
        mark::write(&new)?;
        File::open(&new)
            .and_then(|dir| Ok(rustix::fs::syncfs(dir)?))
            .map_err(|e| Error::io(format!("cannot sync {}", new.display()), &e))?;
        failpoint::hit("aside-whole");
        entry::rename(&new, root)?;
        failpoint::hit("aside-named");
        work.log_line(&format!("{}: {} files", before.root, seen.files));
        Ok(self.output(before, seen.files))
    }

    /// Collects into that place, inside the application.
    fn collect(&self, work: &mut Work<'_, Note>, into: &Path) -> Result<(), Error> {
        let cx = work.cx();
        let manage = self.app().manage(cx)?;
        let arguments = json!({"into": into, "read_only": cx.live});
        let argv = self
            .app()
            .inside(manage.as_deref(), "", "collect", &arguments);
        let inner = self.app().context(cx)?;
        let ran = stream(&inner, &argv, None, work.log(), &mut |_| {})?;
        if ran.code == Some(0) {
            return Ok(());
        }
        let said = ran.tail.iter().rev().find(|line| !line.trim().is_empty());
        Err(Error::new(format!(
            "collectstatic failed ({}): {}",
            ran.ended,
            said.map_or("it printed nothing", |line| line.trim())
        )))
    }

    pub(super) fn undo_aside(
        &self,
        work: &mut Work<'_, Note>,
        past: &Past<Self>,
    ) -> Result<(), Error> {
        entry::remove(&past.before.copy())?;
        work.log_line(&kept(&past.before));
        Ok(())
    }

    pub(super) fn undone_aside(&self, past: &Past<Self>) -> Look {
        let new = past.before.copy();
        if entry::exists(&new) {
            return Look::nothing(format!("{} is left over", new.display()));
        }
        Look::done(kept(&past.before))
    }
}

fn kept(before: &Before) -> String {
    match entry::exists(before.root()) {
        true => format!(
            "this step has switched nothing, and {} is kept",
            before.root
        ),
        false => format!("{} does not exist", before.root),
    }
}
