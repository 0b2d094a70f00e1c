//! `dir.backup`: a whole directory is copied, and the copy proved.
//!
//! Invariants: a copy gets its name when it is complete and has the digest that was observed; a directory that changes while it
//! is copied is told, and its copy removed; nothing removes a copy, so there is no undo.

use super::has_room;
use crate::action::values::absolute;
use crate::action::{
    Action, Context, Direction, Error, Live, Look, Past, Place, Preview, Properties, Stage, Work,
    Write,
};
use crate::host::files::exclude::{self, Excluded};
use crate::host::files::tree::{self, Named};
use crate::host::files::{disk, entry};
use crate::text::actions as phrases;
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use upledger_replay::plan::Effect;

/// Copies a directory with all that is in it: modes, owners, times, links and extended attributes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// The directory, as an absolute path. If it is a link, its target is copied; links in it are copied as links.
    pub path: String,
    /// The copy, as an absolute path at which nothing is. Default: a name of this run in the state directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Names and paths inside the directory that are not copied, and that a restore leaves as they are: `*.log` at any depth,
    /// `cache/*.tmp` from the top; `**` for any number of directories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
}

/// What was there before the copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// Where the path led.
    source: String,
    /// What was there.
    tree: Named,
    /// Where the copy goes.
    copy: String,
    /// How many entries are left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    excluded: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks it so")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// The copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Copied {
    /// Its path.
    #[schemars(extend("format" = "path"))]
    pub path: String,
    /// The directory that it is a copy of.
    #[schemars(extend("format" = "path"))]
    pub source: String,
    /// Of everything in it, its times included.
    #[schemars(extend("format" = "sha256"))]
    pub sha256: String,
    /// How many files it has.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
    /// How many entries were left out (`exclude`), those below them not counted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub excluded: u64,
}

impl Backup {
    fn place(&self, cx: &Context, source: &Path) -> Result<PathBuf, Error> {
        let run = if cx.inert { "${run}" } else { &cx.run };
        let copy = match &self.to {
            Some(to) => disk::resolve_to_write(to)?,
            None => {
                let name = source.file_name().and_then(|n| n.to_str()).unwrap_or("dir");
                cx.undo_path()
                    .join(format!("backup-{run}.{}.{name}", cx.step))
            }
        };
        if copy.starts_with(source) {
            return Err(Error::certain("the copy would be a part of what is copied"));
        }
        match entry::exists(&copy) {
            false => Ok(copy),
            true => Err(Error::new(format!(
                "{} already exists, and a backup does not overwrite",
                copy.display()
            ))
            .lasting()),
        }
    }
}

impl Action for Backup {
    type Before = Before;
    type Note = ();
    type Output = Copied;

    fn properties(&self) -> Properties {
        Properties {
            effect: Effect::Idempotent,
            has_probe: true,
            needs_undo: false,
            reads: Some(
                [&self.path]
                    .into_iter()
                    .chain(&self.to)
                    .map(Place::path)
                    .collect(),
            ),
            writes: self.to.iter().cloned().map(Write::Append).collect(),
            touches: Some(self.to.iter().map(Place::path).collect()),
            live: Live::Harmless,
            stages: vec![Stage::Backup],
            ..Properties::command()
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong: Vec<String> = absolute("path", &self.path).into_iter().collect();
        if let Some(to) = &self.to {
            wrong.extend(absolute("to", to));
            if Path::new(to).starts_with(&self.path) {
                wrong.push(text::link_above_itself(&self.path, to));
            }
        }
        let patterns = self.exclude.iter();
        wrong.extend(patterns.filter_map(|p| exclude::problem("exclude", p)));
        wrong
    }

    fn outline(&self, _direction: Direction) -> Vec<String> {
        let to = self.to.clone().unwrap_or_else(phrases::state_directory);
        vec![match self.exclude.as_slice() {
            [] => phrases::copy(&self.path, to),
            some => phrases::copy_without(&self.path, to, crate::text::list(some)),
        }]
    }

    fn observe(&self, cx: &Context) -> Result<Before, Error> {
        let source = disk::resolve(&self.path)?;
        let excluded = Excluded::by(&self.exclude)?;
        let Some(tree) = tree::look_without(&source, &excluded)? else {
            return Err(Error::new(format!("there is no directory {}", self.path)));
        };
        let copy = self.place(cx, &source)?;
        has_room(&copy, tree.bytes)?;
        Ok(Before {
            source: disk::text(&source)?,
            tree: tree.named(cx)?,
            copy: disk::text(&copy)?,
            excluded: tree.excluded,
        })
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        let mut findings = vec![text::files_to_copy(past.before.tree.files)];
        if past.before.excluded > 0 {
            findings.push(text::entries_left_out(
                past.before.excluded,
                self.exclude.join(", "),
            ));
        }
        Preview {
            commands: self.outline(direction),
            findings,
            ..Preview::default()
        }
    }

    fn probe(&self, cx: &Context, past: &Past<Self>) -> Result<(Look, Option<Copied>), Error> {
        let (before, copy) = (&past.before, &past.before.copy);
        let look = match tree::look(Path::new(copy))? {
            None => Look::nothing(format!("{copy} does not exist")),
            Some(found) if before.tree.is(cx, &found)? => {
                let done = Look::done(format!(
                    "{copy} is identical to {} as it was: {} files, {} bytes",
                    before.source, found.files, found.bytes
                ));
                return Ok((done, Some(copied(before, found))));
            }
            Some(found) => Look::unclear(format!(
                "{copy} is not the copy of {}: {} files",
                before.source, found.files
            )),
        };
        Ok((look, None))
    }

    fn perform(&self, work: &mut Work<'_, ()>, past: &Past<Self>) -> Result<Copied, Error> {
        let (cx, before) = (work.cx(), &past.before);
        let copy = Path::new(&before.copy);
        let part = entry::beside(copy, cx, "part");
        entry::remove(&part)?;
        if self.to.is_none() {
            cx.make_undo_path()?;
        }
        let excluded = Excluded::by(&self.exclude)?;
        tree::copy_without(Path::new(&before.source), &part, &excluded)?;
        let found = tree::look(&part)?;
        let same = match &found {
            Some(found) => before.tree.is(cx, found)?,
            None => false,
        };
        let Some(found) = found.filter(|_| same) else {
            entry::remove(&part)?;
            return Err(
                Error::new(format!("{} was changed while it was copied", before.source))
                    .remedy("stop what writes to it, and retry"),
            );
        };
        entry::rename(&part, copy)?;
        let left_out = match before.excluded {
            0 => String::new(),
            n => format!(", {n} entries left out"),
        };
        work.log_line(&format!(
            "{} -> {}: {} files, {} bytes{left_out}",
            before.source, before.copy, found.files, found.bytes
        ));
        Ok(copied(before, found))
    }
}

fn copied(before: &Before, found: tree::Tree) -> Copied {
    Copied {
        path: before.copy.clone(),
        source: before.source.clone(),
        sha256: found.sha256,
        files: found.files,
        bytes: found.bytes,
        excluded: before.excluded,
    }
}
