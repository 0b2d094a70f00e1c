//! `dir.restore`: a directory is replaced by the copy that a `dir.backup` step has made.
//!
//! Invariants: the copy has the digest that the backup recorded, or nothing is replaced; the directory changes places with the
//! restored one at once, and is kept beside it; a directory that somebody has changed since is left alone, forwards and
//! backwards, and so is one to which the path no longer leads; nothing is replaced in which another process has a file open
//! for writing.

use super::backup::{Backup, Copied};
use super::has_room;
use crate::action::values::absolute;
use crate::action::{
    Action, Consequences, Context, Direction, Error, Look, Past, Place, Preview, Properties,
    StepUse, Used, Work, Write,
};
use crate::actions::Do;
use crate::encoding;
use crate::host::files::exclude::Excluded;
use crate::host::files::tree::{self, Named, Tree};
use crate::host::files::{disk, entry};
use crate::host::process::users;
use crate::text::actions as phrases;
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Files that are named of those that a restore would replace.
const NAMED: usize = 3;

/// Replaces a directory by the copy of a `dir.backup` step. What was there is kept beside it. Refused while other processes
/// have files in it open for writing, and where a link that led to it was switched since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// The `dir.backup` step.
    pub backup: String,
    /// The directory, as an absolute path. Default: the one that was copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// What was there, and what is to be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// Where the path led.
    target: String,
    /// What was there.
    former: Option<Named>,
    /// The copy.
    copy: String,
    /// Its digest.
    sha256: String,
    /// What the copy has left out, and stays as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    exclude: Vec<String>,
}

/// The directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Restored {
    /// Its path.
    #[schemars(extend("format" = "path"))]
    pub path: String,
    /// Where that is kept which was there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "path"))]
    pub former: Option<String>,
}

impl Before {
    fn target(&self) -> &Path {
        Path::new(&self.target)
    }

    /// What is there now, without what is left out.
    fn look(&self, path: &Path) -> Result<Option<Tree>, Error> {
        tree::look_without(path, &Excluded::by(&self.exclude)?)
    }

    /// Brings what is left out, as it is now in the one directory, to the other one, which takes its place.
    fn bring_excluded(&self, from: &Path, to: &Path) -> Result<(), Error> {
        tree::copy_excluded(from, to, &Excluded::by(&self.exclude)?)
    }

    /// The name beside it, of the restored one before they change places, and of the former one afterwards.
    fn aside(&self, cx: &Context) -> PathBuf {
        entry::beside(self.target(), cx, "former")
    }

    fn is_former(&self, cx: &Context, now: Option<&Tree>) -> Result<bool, Error> {
        match (&self.former, now) {
            (None, None) => Ok(true),
            (Some(former), Some(now)) => former.is(cx, now),
            (Some(_), None) | (None, Some(_)) => Ok(false),
        }
    }

    fn restored(&self, cx: &Context) -> Restored {
        let aside = self.aside(cx);
        Restored {
            path: self.target.clone(),
            former: entry::exists(&aside).then(|| aside.display().to_string()),
        }
    }

    fn changed(&self, now: Option<&Tree>) -> String {
        match now {
            Some(now) => format!(
                "{} has been changed since: {} files",
                self.target, now.files
            ),
            None => format!("{} has been removed since", self.target),
        }
    }
}

impl Restore {
    /// The step whose copy it is.
    fn source<'c>(&self, cx: &'c Context) -> Result<&'c Backup, Error> {
        match &cx.used(&self.backup)?.action {
            Do::DirBackup(backup) => Ok(backup),
            _ => Err(Error::new(format!("{} is no dir.backup", self.backup))),
        }
    }

    /// The directory as the plan names it.
    fn named<'c>(&'c self, cx: &'c Context) -> Result<&'c str, Error> {
        match &self.path {
            Some(path) => Ok(path),
            None => Ok(&self.source(cx)?.path),
        }
    }

    /// Why the directory is not the one that was observed.
    fn led_astray(&self, cx: &Context, before: &Before) -> Result<Option<String>, Error> {
        Ok(disk::led_astray(self.named(cx)?, before.target()))
    }

    /// The same, before the way back.
    fn led_astray_since(&self, cx: &Context, before: &Before) -> Result<Option<String>, Error> {
        Ok(disk::led_astray_since(self.named(cx)?, before.target()))
    }

    /// What the backup has produced.
    fn copied(&self, cx: &Context) -> Result<Copied, Error> {
        let produced = cx.used(&self.backup)?.produced.as_ref();
        let Some(produced) = produced else {
            return Err(Error::unseen(format!(
                "{} has not made its copy yet",
                self.backup
            )));
        };
        Copied::deserialize(produced)
            .map_err(|e| Error::io(format!("what {} produced cannot be read", self.backup), &e))
    }
}

impl Action for Restore {
    type Before = Before;
    type Note = ();
    type Output = Restored;

    fn properties(&self) -> Properties {
        let path = self.path.iter().map(Place::path);
        Properties {
            reads: Some(
                path.clone()
                    .chain([Place::Files, Place::Processes])
                    .collect(),
            ),
            touches: match &self.path {
                Some(path) => Some(vec![Place::path(path)]),
                None => Some(vec![Place::Files]),
            },
            writes: self.path.iter().cloned().map(Write::Append).collect(),
            uses: vec![StepUse {
                setting: "backup",
                step: self.backup.clone(),
                kinds: &["dir.backup"],
            }],
            restores: Some(Direction::Do),
            ..Properties::reversible()
        }
    }

    fn informed(&self, uses: &[Used]) -> Properties {
        let known = self.properties();
        let used = uses.iter().find(|used| used.step == self.backup);
        let Some((used, Do::DirBackup(backup))) = used.map(|used| (used, &used.action)) else {
            return known;
        };
        let produced = used.produced.as_ref();
        let copied = produced.and_then(|p| Copied::deserialize(p).ok());
        let (source, copy) = copied.map(|c| (c.source, c.path)).unzip();
        let mut places: Vec<Place> = match &self.path {
            Some(path) => vec![Place::path(path)],
            None => [&backup.path]
                .into_iter()
                .chain(&source)
                .map(Place::path)
                .collect(),
        };
        let touches = Some(places.clone());
        places.extend(copy.iter().chain(&backup.to).map(Place::path));
        places.push(Place::Processes);
        Properties {
            reads: Some(places),
            touches,
            ..known
        }
    }

    fn problems(&self) -> Vec<String> {
        let path = self.path.as_deref();
        path.and_then(|p| absolute("path", p)).into_iter().collect()
    }

    fn outline(&self, direction: Direction) -> Vec<String> {
        let path = self
            .path
            .clone()
            .unwrap_or_else(|| text::copied_directory(&self.backup));
        vec![match direction {
            Direction::Do => phrases::restore_from(path, &self.backup),
            Direction::Undo => text::undo_directory(path),
        }]
    }

    fn observe(&self, cx: &Context) -> Result<Before, Error> {
        let copied = self.copied(cx)?;
        let found = tree::look(Path::new(&copied.path))?;
        match &found {
            Some(found) if found.sha256 == copied.sha256 => {}
            Some(_) => {
                let what = format!(
                    "{} is not the copy that {} has made",
                    copied.path, self.backup
                );
                return Err(Error::new(what).lasting());
            }
            None => return Err(Error::new(format!("there is no {}", copied.path)).lasting()),
        }
        let (path, source) = (self.named(cx)?, self.source(cx)?);
        // The copy of one directory does not take the place of another because a link was switched.
        if path == source.path
            && let Some(why) = disk::led_astray_since(path, Path::new(&copied.source))
        {
            return Err(Error::new(format!("{why}; it is not touched"))
                .remedy("let it lead there again, or restore the copy by hand"));
        }
        let target = disk::resolve_to_write(path)?;
        let exclude = source.exclude.clone();
        let former = tree::look_without(&target, &Excluded::by(&exclude)?)?;
        has_room(&target, copied.bytes)?;
        users::none_writes_below(&target)?;
        Ok(Before {
            target: disk::text(&target)?,
            former: former.map(|f| f.named(cx)).transpose()?,
            copy: copied.path,
            sha256: copied.sha256,
            exclude,
        })
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        let before = &past.before;
        let command = match direction {
            Direction::Do => phrases::restore_from(&before.target, &before.copy),
            Direction::Undo if before.former.is_none() => phrases::remove(&before.target),
            Direction::Undo => text::undo_directory(&before.target),
        };
        let stays = (!before.exclude.is_empty())
            .then(|| text::stays_as_it_is(crate::text::list(&before.exclude)));
        Preview {
            commands: vec![command],
            findings: stays.into_iter().collect(),
            ..Preview::default()
        }
    }

    fn probe(&self, cx: &Context, past: &Past<Self>) -> Result<(Look, Option<Restored>), Error> {
        let before = &past.before;
        if let Some(why) = self.led_astray(cx, before)? {
            return Ok((Look::unclear(why), None));
        }
        let now = before.look(before.target())?;
        let look = match &now {
            Some(found) if found.sha256 == before.sha256 => {
                let restored = before.restored(cx);
                let kept = restored.former.as_ref();
                let kept = kept.map(|aside| format!("what was there before is kept in {aside}"));
                let done = Look::done(format!(
                    "{} is identical to {}: {} files",
                    before.target, before.copy, found.files
                ))
                .and(kept);
                return Ok((done, Some(restored)));
            }
            now if before.is_former(cx, now.as_ref())? => {
                Look::nothing(format!("{} is as it was", before.target))
            }
            now => Look::unclear(before.changed(now.as_ref())),
        };
        Ok((look, None))
    }

    fn perform(&self, work: &mut Work<'_, ()>, past: &Past<Self>) -> Result<Restored, Error> {
        let (cx, before) = (work.cx(), &past.before);
        let (target, aside) = (before.target(), before.aside(cx));
        if let Some(why) = self.led_astray(cx, before)? {
            return Err(Error::new(why));
        }
        let now = before.look(target)?;
        if now.as_ref().is_some_and(|now| now.sha256 == before.sha256) {
            work.log_line(&format!("{} is restored already", before.target));
            return Ok(before.restored(cx));
        }
        if !before.is_former(cx, now.as_ref())? {
            let what = format!("{}; it is not touched", before.changed(now.as_ref()));
            return Err(Error::new(what));
        }
        entry::remove(&aside)?;
        tree::copy(Path::new(&before.copy), &aside)?;
        if tree::look(&aside)?.is_none_or(|made| made.sha256 != before.sha256) {
            entry::remove(&aside)?;
            return Err(Error::new(format!("{} is damaged", before.copy)));
        }
        users::none_writes_below(target)?;
        if before.former.is_some() {
            before.bring_excluded(target, &aside)?;
        }
        match before.former {
            None => entry::rename(&aside, target)?,
            Some(_) => tree::exchange(target, &aside, &entry::beside(target, cx, "third"))?,
        }
        work.log_line(&format!("{} -> {}", before.copy, before.target));
        Ok(before.restored(cx))
    }

    fn undo(&self, work: &mut Work<'_, ()>, past: &Past<Self>) -> Result<(), Error> {
        let (cx, before) = (work.cx(), &past.before);
        let (target, aside) = (before.target(), before.aside(cx));
        if let Some(why) = self.led_astray_since(cx, before)? {
            return Err(Error::new(format!(
                "{why}; it is not touched, and {} holds what was there before",
                aside.display()
            )));
        }
        let now = before.look(target)?;
        if !before.is_former(cx, now.as_ref())? {
            if now.as_ref().is_none_or(|now| now.sha256 != before.sha256) {
                return Err(Error::new(format!(
                    "{}; it is not touched, and {} holds what was there before",
                    before.changed(now.as_ref()),
                    aside.display()
                )));
            }
            users::none_writes_below(target)?;
            match before.former {
                None => entry::rename(target, &aside)?,
                Some(_) if before.is_former(cx, before.look(&aside)?.as_ref())? => {
                    before.bring_excluded(target, &aside)?;
                    tree::exchange(target, &aside, &entry::beside(target, cx, "third"))?;
                }
                Some(_) => {
                    return Err(Error::new(format!(
                        "{} is not what was there before, so that nothing is put back",
                        aside.display()
                    )));
                }
            }
        }
        entry::remove(&aside)?;
        work.log_line(&format!("{} is as it was before", before.target));
        Ok(())
    }

    fn undone(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        let before = &past.before;
        if let Some(why) = self.led_astray_since(cx, before)? {
            return Ok(Look::unclear(why));
        }
        let (now, aside) = (before.look(before.target())?, before.aside(cx));
        Ok(match now {
            now if before.is_former(cx, now.as_ref())? && !entry::exists(&aside) => {
                Look::done(format!("{} is as before", before.target))
            }
            now if before.is_former(cx, now.as_ref())? => {
                Look::nothing(format!("{} is left over", aside.display()))
            }
            Some(now) if now.sha256 == before.sha256 => {
                Look::nothing(format!("{} is the restored one", before.target))
            }
            now => Look::unclear(before.changed(now.as_ref())),
        })
    }

    fn replaces(&self, cx: &Context, past: &Past<Self>) -> Result<Consequences, Error> {
        let before = &past.before;
        let mut all = Consequences::none();
        if before.former.is_some() {
            let beyond = tree::beyond(before.target(), Path::new(&before.copy))?;
            let named = beyond.iter().take(NAMED);
            let named = named.map(|p| encoding::escaped(p.as_os_str().as_bytes()));
            let mut named: Vec<String> = named.collect();
            if beyond.len() > NAMED {
                named.push(format!("and {} more", beyond.len() - NAMED));
            }
            if !beyond.is_empty() {
                all.stays.push(format!(
                    "in {}, what the copy has not: {}",
                    before.aside(cx).display(),
                    named.join(", ")
                ));
            }
        }
        let writers = users::none_writes_below(before.target()).err();
        all.refuses.extend(writers.map(|e| e.to_string()));
        Ok(all)
    }

    fn consequences(&self, cx: &Context, past: &Past<Self>) -> Result<Consequences, Error> {
        let before = &past.before;
        if let Some(why) = self.led_astray_since(cx, before)? {
            return Ok(Consequences::refused(why));
        }
        let now = before.look(before.target())?;
        let known = before.is_former(cx, now.as_ref())?
            || now.as_ref().is_some_and(|now| now.sha256 == before.sha256);
        let mut all = Consequences::none();
        if !known {
            all.refuses.push(before.changed(now.as_ref()));
        }
        let writers = users::none_writes_below(before.target()).err();
        all.refuses.extend(writers.map(|e| e.to_string()));
        Ok(all)
    }
}
