//! `django.collectstatic`: the static files are where the web server looks for them, with the right content, and can be
//! read.
//!
//! Invariants: where they go is what Django itself says, never what a settings file seems to say; the exit code and the
//! words of the command prove nothing, the files are compared with their sources one by one. Before anything changes, the
//! former directory is copied beside itself, as `.NAME.upledger-…`, whole or not at all; the undo lets the two change
//! places at once. What somebody else has put into the newer directory meanwhile is kept and named, never removed. The
//! copy stays until a person removes it: the run may be rolled back later. That it copies, that it collects, and what
//! that left are noted; without a note of it nothing is taken for its own work. Left out: storages that are not a
//! directory.

use super::{App, tree};
use crate::action::values::absolute;
use crate::action::{
    Action, Context, Direction, Error, Kept, Live, Look, Past, Preview, Properties, Stage, Work,
};
use crate::failpoint;
use crate::host::exec::stream;
use crate::host::files::disk;
use crate::host::files::entry;
use crate::host::http;
use crate::text::actions as actions_text;
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use upledger_replay::event::Answer;
use upledger_replay::plan::Effect;

/// Collects static files into Django's `STATIC_ROOT`, compares each with its source, and checks that they are readable. The
/// previous directory is kept beside it and restored by the undo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Collectstatic {
    /// The interpreter of the release's virtualenv, as an absolute path.
    pub python: String,
    /// `manage.py`, or an entry point of another name, as an absolute path. Default: the one in the step's `cwd`; where
    /// there is none, the module of `settings` is used (`python -m django`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manage: Option<String>,
    /// `dev`, `stag` or `prod` of BlueKing (`BKPAAS_ENVIRONMENT`, `BK_ENV`), or a module for `DJANGO_SETTINGS_MODULE`.
    /// Default: from the environment of the step and `manage.py`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<String>,
    /// Instead of `STATIC_ROOT`: a directory of this release, an absolute path or below the step's `cwd`, such as
    /// `/srv/app/statics/2.0`. It gets this name when it is complete, and nothing is collected into one that exists; it may be
    /// built while the service is running, and `release.switch` switches a link to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// The directory that the web server serves, as an absolute path: the step is refused when Django would write
    /// somewhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// Remove existing files first. Otherwise Django does not replace a file whose modification time is not older than that
    /// of its source, whatever its content.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clear: bool,
    /// The user of the web server, such as `www-data`, who must be able to read every file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_user: Option<String>,
    /// Where the web server serves the files, such as `http://127.0.0.1/static/`: some of them are fetched and compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// All that the undo needs, beside the copy that is made before anything changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// Where the files go; links are followed.
    pub(super) root: String,
    /// What was there.
    pub(super) former: Option<tree::Named>,
    /// The manifest that was there, by the salted digest of its digest.
    pub(super) manifest: Option<Kept>,
    /// What the application called its version.
    pub(super) version: String,
    /// The number of static files of the application.
    pub(super) files: u64,
    /// Where the copy of the former directory goes; of files with a place of their own, where they are collected.
    pub(super) copy: String,
    /// There is no `manage.py`: the settings alone make the application.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) alone: bool,
}

impl Before {
    pub(super) fn root(&self) -> &Path {
        Path::new(&self.root)
    }

    /// The place beside it, with that ending.
    fn beside(&self, ending: &str) -> PathBuf {
        PathBuf::from(format!("{}{ending}", self.copy))
    }

    pub(super) fn copy(&self) -> PathBuf {
        self.beside("")
    }

    /// What is there is what was there.
    fn is_former(&self, cx: &Context, now: Option<&tree::Tree>) -> Result<bool, Error> {
        match (&self.former, now) {
            (None, None) => Ok(true),
            (Some(former), Some(now)) => former.is(cx, now),
            (None, Some(_)) | (Some(_), None) => Ok(false),
        }
    }
}

/// What it does to the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Note {
    /// The former directory is copied beside itself.
    Copies,
    /// The command is started that collects into it.
    Collects,
    /// The command has ended, and has left this; the undo tells it from others' work.
    Left(tree::Named),
}

/// The directory of static files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Django's `STATIC_ROOT`, with links resolved.
    #[schemars(extend("format" = "path"))]
    root: String,
    /// The number of static files of the application.
    files: u64,
}

impl Collectstatic {
    pub(super) fn app(&self) -> App<'_> {
        App {
            python: &self.python,
            manage: self.manage.as_ref(),
            settings: self.settings.as_ref(),
        }
    }

    fn args(&self) -> Vec<&'static str> {
        let mut args = vec!["collectstatic", "--noinput"];
        if self.clear {
            args.push("--clear");
        }
        args
    }

    /// Makes the copy of the former directory, once.
    fn keep(&self, work: &mut Work<'_, Note>, before: &Before) -> Result<(), Error> {
        let (cx, copy) = (work.cx(), before.copy());
        let changed = |what: &Path| {
            Error::new(format!(
                "{} has been replaced since it was inspected; nothing is done",
                what.display()
            ))
        };
        let Some(former) = &before.former else {
            return Ok(());
        };
        if let Some(kept) = tree::look(&copy)? {
            return if former.is(cx, &kept)? {
                Ok(())
            } else {
                Err(changed(&copy))
            };
        }
        if !before.is_former(cx, tree::look(before.root())?.as_ref())? {
            return Err(changed(before.root()));
        }
        work.note(Note::Copies)?;
        let part = before.beside(".part");
        entry::remove(&part)?;
        failpoint::hit("static-before-copy");
        tree::copy(before.root(), &part)?;
        failpoint::hit("static-copied");
        if !before.is_former(cx, tree::look(&part)?.as_ref())? {
            return Err(changed(before.root()));
        }
        entry::rename(&part, &copy)?;
        failpoint::hit("static-kept");
        work.log_line(&format!(
            "{} is kept as {}: {} files",
            before.root,
            copy.display(),
            former.files
        ));
        Ok(())
    }

    /// Removes what this step left beside the directory, unless somebody has changed it: then it is named.
    fn clean(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<(), Error> {
        let (cx, before) = (work.cx(), &past.before);
        entry::remove(&before.beside(".part"))?;
        for path in [before.copy(), before.beside(".new")] {
            let Some(now) = tree::look(&path)? else {
                continue;
            };
            if before.is_former(cx, Some(&now))? || left_by_us(cx, past, &now)? {
                entry::remove(&path)?;
                continue;
            }
            work.log_line(&format!(
                "{} contains the files that this step had collected, incomplete or changed since; it is kept",
                path.display()
            ));
        }
        Ok(())
    }

    pub(super) fn output(&self, before: &Before, files: u64) -> Output {
        Output {
            root: before.root.clone(),
            files,
        }
    }
}

/// It is what a command of this step has left.
fn left_by_us(cx: &Context, past: &Past<Collectstatic>, now: &tree::Tree) -> Result<bool, Error> {
    for note in past.noted() {
        if let Note::Left(left) = note
            && left.is(cx, now)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A command of this step may have written into the directory.
fn collected(past: &Past<Collectstatic>) -> bool {
    past.noted().any(|note| *note == Note::Collects)
}

impl Action for Collectstatic {
    type Before = Before;
    type Note = Note;
    type Output = Output;

    fn properties(&self) -> Properties {
        Properties {
            effect: Effect::Idempotent,
            below_cwd: self.app().below_cwd().or_else(|| {
                let into = self.into.clone()?;
                Path::new(&into).is_relative().then_some(into)
            }),
            live: if self.into.is_some() {
                Live::Harmless
            } else {
                Live::Refused
            },
            ..Properties::reversible().at(Stage::Static)
        }
        .writing(self.into.iter().chain(&self.root))
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong = self.app().problems();
        wrong.extend(self.root.as_ref().and_then(|r| absolute("root", r)));
        if self.web_user.as_ref().is_some_and(String::is_empty) {
            wrong.push(text::empty("web_user"));
        }
        wrong.extend(self.url.as_deref().and_then(http::problem));
        if let Some(into) = &self.into {
            if Path::new(into).file_name().is_none() {
                wrong.push(text::path_needs_name("into"));
            }
            let others = [
                ("root", self.root.is_some()),
                ("url", self.url.is_some()),
                ("clear", self.clear),
            ];
            let others = others.into_iter().filter(|(_, given)| *given);
            wrong.extend(others.map(|(other, _)| text::exclude("into", other)));
        }
        wrong
    }

    fn outline(&self, direction: Direction) -> Vec<String> {
        vec![match (direction, &self.into) {
            (Direction::Do, None) => self.app().shown(&self.args(), false),
            (Direction::Do, Some(into)) => {
                actions_text::collected_into(self.app().shown(&self.args(), false), into)
            }
            (Direction::Undo, None) => text::undo_static(),
            (Direction::Undo, Some(_)) => text::undo_aside(),
        }]
    }

    fn observe(&self, cx: &Context) -> Result<Before, Error> {
        if self.into.is_some() {
            return self.observe_aside(cx);
        }
        let seen = self.ask(cx, None)?;
        let root = self.place(&seen)?;
        let former = tree::look(&root)?;
        let (Some(parent), Some(name)) = (root.parent(), root.file_name()) else {
            return Err(Error::new("STATIC_ROOT is the root of all files"));
        };
        if former.is_some() {
            let device = |path: &Path| path.metadata().map(|m| m.dev()).ok();
            if device(&root) != device(parent) {
                return Err(Error::new(format!(
                    "{} is a mount point, so it cannot be swapped with its previous state",
                    root.display()
                ))
                .remedy("collect into a directory below it"));
            }
        }
        let copy = format!(".{}.upledger-{}", name.display(), disk::tag(cx, &root));
        let manifest = seen.manifest.and_then(|m| m.sha256);
        let name = |sha256: String| cx.fingerprint(&mut sha256.as_bytes());
        Ok(Before {
            copy: disk::text(&parent.join(copy))?,
            root: disk::text(&root)?,
            former: former.map(|f| f.named(cx)).transpose()?,
            manifest: manifest.map(name).transpose()?,
            version: seen.version,
            files: seen.files,
            alone: self.app().manage(cx)?.is_none(),
        })
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        let before = &past.before;
        let commands = match (direction, &before.former) {
            (Direction::Do, _) if self.into.is_some() => {
                let collect = self.app().shown(&self.args(), before.alone);
                vec![actions_text::collected_into(collect, &before.root)]
            }
            (Direction::Undo, _) if self.into.is_some() => vec![text::undo_aside()],
            (Direction::Do, _) => vec![self.app().shown(&self.args(), before.alone)],
            (Direction::Undo, _) if !past.notes.is_empty() && !collected(past) => {
                vec![text::undo_static_nothing(&before.copy)]
            }
            (Direction::Undo, None) => vec![text::undo_static_remove(&before.root)],
            (Direction::Undo, Some(_)) => {
                vec![text::undo_static_exchange(&before.copy, &before.root)]
            }
        };
        let kept =
            |former: &tree::Named| text::static_is_kept(&before.root, former.files, &before.copy);
        let findings = before.former.iter().filter(|_| direction == Direction::Do);
        Preview {
            commands,
            findings: findings.map(kept).collect(),
            kept: Vec::new(),
        }
    }

    fn probe(&self, cx: &Context, past: &Past<Self>) -> Result<(Look, Option<Output>), Error> {
        let before = &past.before;
        if self.into.is_some() {
            return self.probe_aside(cx, before);
        }
        let seen = self.ask(cx, None)?;
        let wrong = self.faults(cx, before, &seen)?;
        if wrong.is_empty() {
            let look = Look {
                answer: Answer::Done,
                evidence: self.evidence(cx, before, &seen)?,
            };
            return Ok((look, Some(self.output(before, seen.files))));
        }
        let untouched = before.is_former(cx, tree::look(before.root())?.as_ref())?;
        let look = Look {
            answer: if untouched {
                Answer::Nothing
            } else {
                Answer::Unclear
            },
            evidence: wrong,
        };
        Ok((look, None))
    }

    fn perform(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<Output, Error> {
        let (cx, before) = (work.cx(), &past.before);
        if self.into.is_some() {
            return self.collect_aside(work, before);
        }
        self.keep(work, before)?;
        let argv = self.app().words(cx, &self.args())?;
        let inner = self.app().context(cx)?;
        if !work.all_noted().any(|note| *note == Note::Collects) {
            work.note(Note::Collects)?;
        }
        failpoint::hit("static-before-collected");
        let mut into = None;
        let ran = stream(&inner, &argv, None, work.log(), &mut |line| {
            into = written(line).or(into.take());
        })?;
        failpoint::hit("static-collected");
        if let Some(now) = tree::look(before.root())? {
            work.note(Note::Left(now.named(cx)?))?;
        }
        if ran.code != Some(0) {
            let said = ran.tail.last().map_or("", String::as_str);
            return Err(Error::new(format!(
                "collectstatic failed ({}): {said}",
                ran.ended
            )));
        }
        if let Some(said) = into {
            let into = tree::resolve(Path::new(&said)).unwrap_or_else(|_| PathBuf::from(&said));
            if into != before.root() {
                return Err(Error::new(format!(
                    "collectstatic reports that it wrote to {said}, but the settings name {}",
                    before.root
                )));
            }
        }
        Ok(self.output(before, before.files))
    }

    fn undo(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<(), Error> {
        if self.into.is_some() {
            return self.undo_aside(work, past);
        }
        let (cx, before) = (work.cx(), &past.before);
        let (root, copy) = (before.root(), before.copy());
        let now = tree::look(root)?;
        if collected(past) && !before.is_former(cx, now.as_ref())? {
            match &before.former {
                None => entry::rename(root, &copy)?,
                Some(_) => {
                    let kept = tree::look(&copy)?;
                    if !before.is_former(cx, kept.as_ref())? {
                        return Err(Error::new(format!(
                            "{} has changed and {} is not its previous state; neither is changed",
                            before.root,
                            copy.display()
                        )));
                    }
                    failpoint::hit("static-before-exchange");
                    match now {
                        None => entry::rename(&copy, root)?,
                        Some(_) => tree::exchange(root, &copy, &before.beside(".new"))?,
                    }
                    failpoint::hit("static-exchanged");
                }
            }
        }
        self.clean(work, past)?;
        work.log_line(&match (&before.former, collected(past)) {
            (_, false) => format!("nothing was collected into {}", before.root),
            (None, true) => format!("{} does not exist, as before", before.root),
            (Some(former), true) => format!("{} is as before: {} files", before.root, former.files),
        });
        Ok(())
    }

    fn undone(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        if self.into.is_some() {
            return Ok(self.undone_aside(past));
        }
        let before = &past.before;
        let now = tree::look(before.root())?;
        let mut look = if before.is_former(cx, now.as_ref())? {
            Look::done(match &now {
                None => format!("{} does not exist, as before", before.root),
                Some(now) => format!("{} is as before: {} files", before.root, now.files),
            })
        } else if collected(past) {
            return Ok(Look::nothing(format!("{} is not as before", before.root)));
        } else {
            Look::done(format!(
                "this step has collected nothing into {}, but it has been changed",
                before.root
            ))
        };
        if before.beside(".part").symlink_metadata().is_ok() {
            return Ok(Look::nothing(format!("{}.part is left over", before.copy)));
        }
        for path in [before.copy(), before.beside(".new")] {
            let Some(left) = tree::look(&path)? else {
                continue;
            };
            if before.is_former(cx, Some(&left))? {
                return Ok(Look::nothing(format!("{} is left over", path.display())));
            }
            look.evidence.push(format!(
                "{} contains files that were collected since, with other changes",
                path.display()
            ));
        }
        Ok(look)
    }
}

/// The directory that collectstatic says it wrote to.
fn written(line: &str) -> Option<String> {
    let (_, rest) = line.split_once(" to '")?;
    let (path, _) = rest.split_once('\'')?;
    line.contains("static file").then(|| path.to_owned())
}
