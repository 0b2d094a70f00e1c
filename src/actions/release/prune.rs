//! `release.prune`: old releases, virtualenvs and trees of static files go; what somebody needs stays.
//!
//! Invariants: only what this program made, and made whole or began, goes; never one of the newest `keep`, nor one to which a
//! symbolic link leads (in a directory of theirs, beside it, in a release that stays, or in a directory of `links`), nor one that
//! a process works in, executes, has open or mapped, nor one that the record of a step names which can still be undone, nor a
//! release in which somebody worked. The look before says which go and why others stay; each is looked at again right before
//! its removal. That one stays is no failure. A note says of each that it goes, before it goes.
//!
//! Left out: links elsewhere on the machine, and processes that we may not look into, which are known by their words only.

use crate::action::values::absolute;
use crate::action::{
    Action, Context, Direction, Error, Live, Look, Past, Place, Preview, Properties, Undoable, Work,
};
use crate::actions::{git, pip};
use crate::host::files::entry::{self, beside, own_entries};
use crate::host::files::{link, mark};
use crate::host::process::list;
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use upledger_replay::plan::Effect;

/// Removes old releases, virtualenvs and static files that upledger created. The newest stay, and so does whatever a symbolic
/// link points to, a process uses, or the undo of a run needs that can still be rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prune {
    /// How many to keep of each sort, the newest, the current one included.
    pub keep: u32,
    /// The directory that contains one directory per release, as `git.deploy` has it, an absolute path. A release that contains
    /// local changes stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub releases: Option<String>,
    /// The directory that contains one virtualenv per release, an absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub venvs: Option<String>,
    /// The directory that contains one directory of static files per release (`into` of `django.collectstatic`), an absolute
    /// path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statics: Option<String>,
    /// Further directories in which symbolic links may point to them, absolute paths. Links in the three directories, beside
    /// them, and at the top of each release count anyway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// How many of the newest runs keep what their rollback needs. Default: all that can still be rolled back, one after the
    /// other; a run that has passed a point of no return is the last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollbacks: Option<u32>,
}

/// What a directory holds one of for each release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Sort {
    Release,
    Virtualenv,
    Static,
}

impl Sort {
    /// When this program made it; none when it did not.
    fn made_at(self, cx: &Context, dir: &Path) -> Option<SystemTime> {
        match self {
            Self::Release => git::made_at(cx, dir),
            Self::Virtualenv => pip::made_at(dir),
            Self::Static => mark::made_at(dir),
        }
    }
}

/// What goes and what stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// Oldest first.
    goes: Vec<Old>,
    /// What is not among the newest, and stays all the same.
    stays: Vec<Stays>,
}

/// One that is not among the newest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Old {
    dir: String,
    sort: Sort,
}

/// One that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stays {
    dir: String,
    why: Why,
}

/// Who needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Why {
    /// A symbolic link leads to it.
    Link(String),
    /// A process uses it.
    Process(String),
    /// The rollback of this run needs it.
    Undo(String),
    /// Somebody worked in it.
    Changed(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(link) => write!(f, "{link} points to it"),
            Self::Process(process) => write!(f, "{process} uses it"),
            Self::Undo(run) => write!(f, "the rollback of {run} needs it"),
            Self::Changed(what) => f.write_str(what),
        }
    }
}

/// What the step is about to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Note {
    /// A directory is removed.
    Removing {
        /// The directory.
        dir: String,
        /// The name under which it is removed.
        at: String,
    },
}

/// Whether a text names a path or something below it.
fn names(text: &str, path: &str) -> bool {
    let ends = |rest: &str| {
        let next = rest.chars().next();
        next.is_none_or(|c| !(c.is_alphanumeric() || "._-~+@".contains(c)))
    };
    text.match_indices(path)
        .any(|(at, found)| ends(&text[at + found.len()..]))
}

impl Prune {
    /// The directories, with what they hold.
    fn dirs(&self) -> impl Iterator<Item = (&str, Sort)> {
        [
            (&self.releases, Sort::Release),
            (&self.venvs, Sort::Virtualenv),
            (&self.statics, Sort::Static),
        ]
        .into_iter()
        .filter_map(|(dir, sort)| Some((dir.as_deref()?, sort)))
    }

    /// Those in a directory, newest first.
    fn found(cx: &Context, dir: &str, sort: Sort) -> Result<Vec<(SystemTime, String)>, Error> {
        let cannot = |e| Error::io(format!("cannot list {dir}"), &e);
        let listed = match std::fs::read_dir(dir) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            listed => listed.map_err(cannot)?,
        };
        let mut found = Vec::new();
        for entry in listed {
            let entry = entry.map_err(cannot)?;
            let path = entry.path();
            // What is on its way has another name.
            let Some(text) = path
                .to_str()
                .filter(|t| !t.contains(".new-") && !t.contains(".old-"))
            else {
                continue;
            };
            if entry.file_type().map_err(cannot)?.is_dir()
                && let Some(made) = sort.made_at(cx, &path)
            {
                found.push((made, text.to_owned()));
            }
        }
        found.sort();
        found.reverse();
        Ok(found)
    }

    fn survey(&self, cx: &Context) -> Result<Before, Error> {
        let mut before = Before {
            goes: Vec::new(),
            stays: Vec::new(),
        };
        let keep = usize::try_from(self.keep).unwrap_or(usize::MAX);
        for (dir, sort) in self.dirs() {
            let mut old: Vec<Old> = Self::found(cx, dir, sort)?
                .into_iter()
                .skip(keep)
                .map(|(_, dir)| Old { dir, sort })
                .collect();
            old.reverse();
            for old in old {
                match self.needed(cx, &old)? {
                    Some(why) => before.stays.push(Stays { dir: old.dir, why }),
                    None => before.goes.push(old),
                }
            }
        }
        Ok(before)
    }

    /// The directories in which links count: those of everything, and the tops of releases other than this one.
    fn link_dirs(&self, old: &Path) -> BTreeSet<PathBuf> {
        let mut dirs: BTreeSet<PathBuf> = self.links.iter().map(PathBuf::from).collect();
        for (dir, _) in self.dirs() {
            dirs.insert(dir.into());
            dirs.extend(Path::new(dir).parent().map(Path::to_path_buf));
        }
        let releases = self.releases.as_deref().map(std::fs::read_dir);
        let releases = releases.into_iter().flatten().flatten().flatten();
        let tops = releases.filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
        dirs.extend(tops.map(|e| e.path()).filter(|path| path != old));
        dirs
    }

    /// Who needs it; none when nobody does.
    fn needed(&self, cx: &Context, old: &Old) -> Result<Option<Why>, Error> {
        let path = Path::new(&old.dir);
        let real = path
            .canonicalize()
            .map_err(|e| Error::io(format!("cannot look at {}", old.dir), &e))?;
        let dirs = self.link_dirs(path);
        let borrowed = dirs.iter().map(PathBuf::as_path).collect();
        if let Some(link) = link::into(&real, &borrowed)? {
            return Ok(Some(Why::Link(link.display().to_string())));
        }
        if let Some(run) = self.undo_of(&cx.undoable, path, &real, &dirs) {
            return Ok(Some(Why::Undo(run)));
        }
        if old.sort == Sort::Release
            && let Some(changed) = git::reason_to_stay(cx, path)?
        {
            return Ok(Some(Why::Changed(changed)));
        }
        // Last, for it is what changes from one moment to the next.
        Ok(list::user(&real)?.map(Why::Process))
    }

    /// The run whose undo names it. A link may have been recorded by a path relative to its own directory.
    fn undo_of(
        &self,
        undoable: &[Undoable],
        path: &Path,
        real: &Path,
        dirs: &BTreeSet<PathBuf>,
    ) -> Option<String> {
        let age = self.rollbacks.and_then(|n| usize::try_from(n).ok());
        let texts = [path, real].map(|p| p.display().to_string());
        let relative = |text: &str| {
            let text = text.strip_prefix("./").unwrap_or(text);
            !text.starts_with('/') && dirs.iter().any(|dir| dir.join(text).starts_with(path))
        };
        let needs = |found: &&Undoable| {
            age.is_none_or(|age| found.age < age)
                && (texts.iter().any(|p| names(&found.text, p)) || relative(&found.text))
        };
        undoable.iter().find(needs).map(|found| found.run.clone())
    }

    /// What an earlier attempt was about to remove, and has left under another name.
    fn leftovers(&self, cx: &Context) -> Vec<PathBuf> {
        self.dirs()
            .flat_map(|(dir, _)| own_entries(Path::new(dir), cx, "old"))
            .collect()
    }

    fn remove(&self, work: &mut Work<'_, Note>, old: &Old) -> Result<(), Error> {
        let path = Path::new(&old.dir);
        let cx = work.cx();
        let unneeded = || match self.needed(cx, old)? {
            Some(why) => Err(Error::new(why.to_string())),
            None => Ok(()),
        };
        unneeded()?;
        let at = beside(path, cx, "old");
        work.note(Note::Removing {
            dir: old.dir.clone(),
            at: at.display().to_string(),
        })?;
        match old.sort {
            Sort::Virtualenv => pip::remove_unused(path, &at, unneeded),
            Sort::Release | Sort::Static => entry::remove_by_way_of(path, &at),
        }
    }
}

impl Action for Prune {
    type Before = Before;
    type Note = Note;
    type Output = ();

    fn properties(&self) -> Properties {
        let files = || self.dirs().map(|(dir, _)| Place::path(dir));
        Properties {
            effect: Effect::Idempotent,
            has_probe: true,
            needs_undo: false,
            live: Live::Harmless,
            prunes: true,
            reads: Some(files().chain([Place::Processes, Place::Files]).collect()),
            touches: Some(files().collect()),
            ..Properties::command()
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.keep == 0 {
            wrong.push(text::keep_one());
        }
        if self.dirs().next().is_none() {
            wrong.push(text::prune_where());
        }
        for (setting, dir) in [
            ("releases", &self.releases),
            ("venvs", &self.venvs),
            ("statics", &self.statics),
        ] {
            if let Some(dir) = dir {
                wrong.extend(absolute(setting, dir));
                if Path::new(dir).file_name().is_none() {
                    wrong.push(text::path_needs_name(setting));
                }
            }
        }
        wrong.extend(self.links.iter().filter_map(|l| absolute("links", l)));
        if self.rollbacks == Some(0) {
            wrong.push(text::is_zero("rollbacks"));
        }
        wrong
    }

    fn outline(&self, _direction: Direction) -> Vec<String> {
        let keeps = |(dir, _)| text::prune_keeps(self.keep, dir);
        self.dirs().map(keeps).collect()
    }

    fn observe(&self, cx: &Context) -> Result<Before, Error> {
        self.survey(cx)
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        let before = &past.before;
        let mut commands: Vec<String> = before
            .goes
            .iter()
            .map(|old| crate::text::actions::remove(&old.dir))
            .collect();
        if commands.is_empty() {
            commands.push(text::nothing_to_prune());
        }
        let stays = before.stays.iter();
        Preview {
            commands,
            findings: match direction {
                Direction::Do => stays.map(|s| text::prune_stays(&s.dir, &s.why)).collect(),
                Direction::Undo => Vec::new(),
            },
            kept: Vec::new(),
        }
    }

    fn probe(&self, cx: &Context, past: &Past<Self>) -> Result<(Look, Option<()>), Error> {
        if let Some(left) = self.leftovers(cx).first() {
            return Ok((
                Look::nothing(format!("{} is left over", left.display())),
                None,
            ));
        }
        let stays = past.before.stays.iter();
        let mut evidence: Vec<String> = stays
            .map(|stays| format!("{} is kept: {}", stays.dir, stays.why))
            .collect();
        for old in &past.before.goes {
            if !entry::exists(Path::new(&old.dir)) {
                evidence.push(format!("{} does not exist", old.dir));
                continue;
            }
            match self.needed(cx, old)? {
                Some(why) => evidence.push(format!("{} is kept: {why}", old.dir)),
                None => {
                    let there = format!("{} is still there", old.dir);
                    return Ok((Look::nothing(there), None));
                }
            }
        }
        if evidence.is_empty() {
            evidence.push("there is nothing to remove".into());
        }
        let answer = upledger_replay::event::Answer::Done;
        Ok((Look { answer, evidence }, Some(())))
    }

    fn perform(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<(), Error> {
        for left in self.leftovers(work.cx()) {
            entry::remove(&left)?;
        }
        for stays in &past.before.stays {
            work.log_line(&format!("{} is kept: {}", stays.dir, stays.why));
        }
        for old in &past.before.goes {
            if !entry::exists(Path::new(&old.dir)) {
                continue;
            }
            let line = match self.remove(work, old) {
                Ok(()) => format!("removed {}", old.dir),
                Err(why) => format!("{} is kept: {why}", old.dir),
            };
            work.log_line(&line);
        }
        Ok(())
    }
}

#[cfg(test)]
mod unit {
    use super::names;

    #[test]
    fn a_text_names_a_directory_or_what_lies_below_it() {
        for text in [
            "/srv/releases/1.0",
            "/srv/releases/1.0/",
            "--chdir=/srv/releases/1.0/app:x",
            "cd '/srv/releases/1.0' && x",
        ] {
            assert!(names(text, "/srv/releases/1.0"), "{text}");
        }
        for text in [
            "/srv/releases/1.0.1",
            "/srv/releases/1.0-rc",
            "/srv/releases",
            "1.0",
        ] {
            assert!(!names(text, "/srv/releases/1.0"), "{text}");
        }
    }
}
