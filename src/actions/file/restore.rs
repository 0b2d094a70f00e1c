//! `file.restore`: a file gets the content, mode, owner and time of a copy, such as one of `file.backup`.
//!
//! Invariants: the copy is the one that was observed, or nothing is written; a file that somebody changed since it was
//! observed is left alone, forwards and backwards; neither way writes under a process that has the file open for writing
//! or holds a lock on it. A restore is this step's own work: a file that was like the copy before is restored all the same.
//! Left out: directories, and files with several hard links.

use super::diff;
use super::edit::Written;
use crate::action::values::absolute;
use crate::action::{
    Action, Consequences, Context, Direction, Error, Look, Past, Place, Preview, Properties, Work,
    Write,
};
use crate::host::files::disk::{self, Former};
use crate::host::process::users;
use crate::text::actions as phrases;
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fs::Metadata;
use std::path::Path;

/// Restores a file from a copy, such as `{from: copy.path}` of a `file.backup` step: content, mode, owner and modification
/// time. Refused while other processes have the file open for writing or hold a lock on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// The file, as an absolute path. Links are followed.
    pub path: String,
    /// The copy, as an absolute path or the `path` of a `file.backup` step.
    pub from: String,
}

/// What was there, and what is to be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// Where the path led.
    target: String,
    /// Where the path of the copy led.
    source: String,
    /// What was there; its bytes are kept.
    former: Option<Former>,
    /// That file, by its identity.
    there: Option<String>,
    /// The copy. Its bytes are not kept.
    wanted: Former,
}

/// What a file is to this step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Now {
    /// There is none.
    Absent,
    /// As it was before the step.
    Former,
    /// As the copy, and written by this step.
    Restored,
    /// It has the content of one of them, but not all of it.
    Known,
    /// Somebody else's.
    Strange,
}

impl Before {
    fn target(&self) -> &Path {
        Path::new(&self.target)
    }

    /// What is there now, and as it is described.
    fn now(&self, cx: &Context) -> Result<(Now, String), Error> {
        let target = self.target();
        let Some((restored, meta)) = disk::compare(cx, target, &self.wanted.content)? else {
            return Ok((Now::Absent, "not there".into()));
        };
        let shown = disk::described(&meta);
        let former = match &self.former {
            Some(former) => disk::compare(cx, target, &former.content)?
                .is_some_and(|(same, _)| same)
                .then_some(former),
            None => None,
        };
        let untouched = self.there.as_deref() == Some(disk::identity(&meta).as_str());
        let now = if restored && !untouched && self.wanted.is_of(&meta) {
            Now::Restored
        } else if untouched || former.is_some_and(|f| f.is_of(&meta)) {
            Now::Former
        } else if restored || former.is_some() {
            Now::Known
        } else {
            Now::Strange
        };
        Ok((now, shown))
    }

    /// It is as it was, as far as a file that was put back can be.
    fn is_back(&self, cx: &Context) -> Result<bool, Error> {
        let target = self.target();
        match &self.former {
            None => Ok(target.symlink_metadata().is_err()),
            Some(former) => Ok(disk::compare(cx, target, &former.content)?
                .is_some_and(|(same, meta)| same && former.is_of(&meta))),
        }
    }

    fn written(&self) -> Written {
        Written {
            path: self.target.clone(),
        }
    }
}

impl Restore {
    /// How much of what is there the copy has not. What it is stays unsaid: a file may hold secrets.
    fn gone(&self, before: &Before, now: &Metadata) -> Result<Option<usize>, Error> {
        if now.len() + before.wanted.content.len > diff::LIMIT as u64 {
            return Ok(None);
        }
        let bytes = |path: &str| -> Result<Vec<u8>, Error> {
            Ok(disk::read(Path::new(path))?.map_or_else(Vec::new, |(bytes, _)| bytes))
        };
        Ok(diff::gone(&bytes(&before.target)?, &bytes(&before.source)?))
    }
}

impl Action for Restore {
    type Before = Before;
    type Note = ();
    type Output = Written;

    fn properties(&self) -> Properties {
        Properties {
            // Who has it open may be stopped by an earlier step.
            reads: Some(vec![
                Place::path(&self.path),
                Place::path(&self.from),
                Place::Processes,
            ]),
            touches: Some(vec![Place::path(&self.path)]),
            writes: vec![Write::Replace(self.path.clone())],
            ..Properties::reversible()
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong: Vec<String> = absolute("path", &self.path).into_iter().collect();
        wrong.extend(absolute("from", &self.from));
        if self.path == self.from {
            wrong.push(text::restore_of_itself());
        }
        wrong
    }

    fn outline(&self, direction: Direction) -> Vec<String> {
        vec![match direction {
            Direction::Do => phrases::restore_from(&self.path, &self.from),
            Direction::Undo => text::undo_file(&self.path),
        }]
    }

    fn observe(&self, cx: &Context) -> Result<Before, Error> {
        let target = disk::resolve_to_write(&self.path)?;
        let source = disk::resolve(&self.from)?;
        if source == target {
            return Err(Error::new("the copy is the file itself"));
        }
        let Some(wanted) = Former::look(cx, &source)? else {
            return Err(Error::new(format!("there is no file {}", self.from)));
        };
        disk::refuse_hard_links(&target)?;
        users::none_writes(&target)?;
        let there = disk::open_plain(&target)?.map(|(_, meta)| disk::identity(&meta));
        Ok(Before {
            former: Former::keep_whole(cx, &target)?,
            target: disk::text(&target)?,
            source: disk::text(&source)?,
            there,
            wanted,
        })
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        let before = &past.before;
        let command = match (direction, &before.former) {
            (Direction::Do, _) => phrases::restore_from(&self.path, &self.from),
            (Direction::Undo, None) => phrases::remove(&before.target),
            (Direction::Undo, Some(former)) => former.words(&before.target),
        };
        let former = before.former.iter();
        Preview {
            commands: vec![command],
            kept: former
                .map(|f| (f.content.clone(), before.target.clone()))
                .collect(),
            ..Preview::default()
        }
    }

    fn probe(&self, cx: &Context, past: &Past<Self>) -> Result<(Look, Option<Written>), Error> {
        let before = &past.before;
        if let Some(why) = disk::led_astray(&self.path, before.target()) {
            return Ok((Look::unclear(why), None));
        }
        let name = &before.target;
        let (now, shown) = before.now(cx)?;
        let look = match (now, &before.former) {
            (Now::Restored, _) => {
                let done = Look::done(format!("{name} is as {}: {shown}", before.source));
                return Ok((done, Some(before.written())));
            }
            (Now::Absent, None) => Look::nothing(format!("{name} does not exist")),
            (Now::Former, Some(_)) => Look::nothing(format!("{name} is as it was: {shown}")),
            (Now::Absent, Some(_)) => Look::unclear(format!(
                "{name} no longer exists, and this step did not remove it"
            )),
            (Now::Former | Now::Known | Now::Strange, _) => Look::unclear(format!(
                "{name} is neither as it was nor as {}: {shown}",
                before.source
            )),
        };
        Ok((look, None))
    }

    fn perform(&self, work: &mut Work<'_, ()>, past: &Past<Self>) -> Result<Written, Error> {
        let (cx, before) = (work.cx(), &past.before);
        if let Some(why) = disk::led_astray(&self.path, before.target()) {
            return Err(Error::new(why));
        }
        let (now, shown) = before.now(cx)?;
        match (now, &before.former) {
            (Now::Strange, _) => {
                return Err(Error::new(format!(
                    "{} has been changed since it was inspected; it is not touched: {shown}",
                    before.target
                )));
            }
            (Now::Absent, Some(_)) => {
                return Err(Error::new(format!(
                    "{} has been removed since it was inspected",
                    before.target
                )));
            }
            (Now::Absent | Now::Former | Now::Known | Now::Restored, _) => {}
        }
        if now != Now::Restored {
            users::none_writes(before.target())?;
            let Some((mut copy, _)) = disk::open_plain(Path::new(&before.source))? else {
                return Err(Error::new(format!("{} no longer exists", before.source)));
            };
            let (content, manner) = (&before.wanted.content, before.wanted.manner());
            disk::put_kept(cx, before.target(), &mut copy, content, manner)?;
        }
        disk::remove(&disk::temporary(cx, before.target()))?;
        work.log_line(&format!(
            "{} -> {}: {} bytes",
            before.source, before.target, before.wanted.content.len
        ));
        Ok(before.written())
    }

    fn undo(&self, work: &mut Work<'_, ()>, past: &Past<Self>) -> Result<(), Error> {
        let (cx, before) = (work.cx(), &past.before);
        if let Some(why) = disk::led_astray_since(&self.path, before.target()) {
            return Err(Error::new(format!(
                "{why}; it is not touched, and the previous content is kept"
            )));
        }
        let (now, shown) = before.now(cx)?;
        if now == Now::Strange {
            return Err(Error::new(format!(
                "{} has been edited since; it is not touched, and the previous content is kept: {shown}",
                before.target
            )));
        }
        if !before.is_back(cx)? {
            Former::undo(before.former.as_ref(), cx, before.target())?;
        }
        disk::remove(&disk::temporary(cx, before.target()))?;
        work.log_line(&format!("{} is as it was before", before.target));
        Ok(())
    }

    fn undone(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        let before = &past.before;
        if let Some(why) = disk::led_astray_since(&self.path, before.target()) {
            return Ok(Look::unclear(why));
        }
        let (name, temp) = (&before.target, disk::temporary(cx, before.target()));
        let (now, shown) = before.now(cx)?;
        Ok(if before.is_back(cx)? {
            match temp.symlink_metadata() {
                // The file is right, but the step left something beside it.
                Ok(_) => Look::nothing(format!("{} is left over", temp.display())),
                Err(_) => Look::done(format!("{name} is as before: {shown}")),
            }
        } else if now == Now::Strange {
            Look::unclear(format!("{name} has been edited: {shown}"))
        } else {
            Look::nothing(format!("{name} is not as before: {shown}"))
        })
    }

    fn replaces(&self, cx: &Context, past: &Past<Self>) -> Result<Consequences, Error> {
        let before = &past.before;
        let target = before.target();
        let lost = match disk::compare(cx, target, &before.wanted.content)? {
            Some((false, meta)) => Some(format!(
                "{}: {}",
                diff::part(self.gone(before, &meta)?, &before.target),
                disk::described(&meta)
            )),
            Some((true, _)) | None => None,
        };
        let refuses = users::none_writes(target).err();
        Ok(Consequences {
            lost: Some(lost.into_iter().collect()),
            refuses: refuses.iter().map(ToString::to_string).collect(),
            ..Consequences::default()
        })
    }

    fn consequences(&self, cx: &Context, past: &Past<Self>) -> Result<Consequences, Error> {
        let before = &past.before;
        if let Some(why) = disk::led_astray_since(&self.path, before.target()) {
            return Ok(Consequences::refused(why));
        }
        if before.is_back(cx)? {
            return Ok(Consequences::none());
        }
        let (now, _) = before.now(cx)?;
        Ok(Consequences::of_file(before.target(), now == Now::Strange))
    }
}
