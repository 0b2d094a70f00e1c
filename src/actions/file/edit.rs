//! The machine behind actions that give a file a new content: look, keep, write, prove, put back.
//!
//! Invariants: the wanted content is fixed before anything changes, and so is the former one, whose bytes are kept. A
//! file that is neither is a stranger's: it is never overwritten, forwards or backwards. A link is written through and
//! stays a link. The record compares contents by digests with a salt: a file may hold secrets.

use super::diff;
use crate::action::values::absolute;
use crate::action::{Consequences, Context, Data, Direction, Error, Kept, Look, Preview, Work};
use crate::host::files::disk::{self, Facts, Former, Manner};
use crate::host::files::mode::Mode;
use crate::host::files::{editor, mounts};
use crate::text::actions as phrases;
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The mode of a file that was not there and whose mode the plan does not say.
const NEW: u32 = 0o644;

/// Something that says what a file is to hold.
pub(in crate::actions) trait Edit {
    /// The file.
    fn path(&self) -> &str;

    /// The mode that the plan asks for.
    fn mode(&self) -> Option<Mode> {
        None
    }

    /// What it is to hold, given what it holds.
    fn wanted(&self, former: Option<&[u8]>) -> Result<Vec<u8>, Error>;

    /// What is done, in one line.
    fn words(&self) -> String;

    /// What would change, as a unified diff; none when nothing would.
    fn diff(&self, former: Option<&[u8]>, wanted: &[u8]) -> Result<Option<String>, Error> {
        Ok(diff::unified(self.path(), former, wanted))
    }
}

/// All that the undo needs, beside the kept bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// Where the path led.
    pub(in crate::actions) target: String,
    /// What was there.
    pub(in crate::actions) former: Option<Former>,
    /// What is to be there. Its bytes are the plan's, or a change of the former ones, and are not kept.
    pub(in crate::actions) wanted: Kept,
    /// Its mode.
    pub(in crate::actions) mode: Mode,
}

/// The file that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// The file; for a link, its target.
    #[schemars(extend("format" = "path"))]
    pub path: String,
}

impl Before {
    fn target(&self) -> &Path {
        Path::new(&self.target)
    }

    /// The owner that a file of ours has; a file that was not there has the runner's.
    fn owned(&self, facts: &Facts) -> bool {
        self.former
            .as_ref()
            .is_none_or(|f| (f.uid, f.gid) == (facts.uid, facts.gid))
    }

    fn is_wanted(&self, cx: &Context, bytes: &[u8], facts: &Facts) -> Result<bool, Error> {
        Ok(facts.mode == self.mode && self.owned(facts) && cx.is_kept(&self.wanted, bytes)?)
    }

    /// As it was. Its time may differ: that is nobody's work.
    fn is_former(&self, cx: &Context, bytes: &[u8], facts: &Facts) -> Result<bool, Error> {
        match &self.former {
            Some(former) if former.mode == facts.mode && self.owned(facts) => {
                former.holds(cx, bytes)
            }
            Some(_) | None => Ok(false),
        }
    }

    /// Its bytes are the former ones, ours, or those of a later step of the run, so nobody's work is lost with them.
    fn is_known(&self, cx: &Context, bytes: &[u8]) -> Result<bool, Error> {
        if cx.is_kept(&self.wanted, bytes)? {
            return Ok(true);
        }
        // What another kind has recorded in another form says nothing of this file.
        let later = cx
            .later
            .iter()
            .filter_map(|l| Self::deserialize(&l.before).ok());
        for written in later.filter(|l| l.target == self.target) {
            if cx.is_kept(&written.wanted, bytes).unwrap_or_default() {
                return Ok(true);
            }
        }
        let former = self.former.as_ref();
        former.map_or(Ok(false), |f| f.holds(cx, bytes))
    }

    /// The former content, for people.
    fn kept(&self) -> Vec<(Kept, String)> {
        let former = self.former.iter();
        former
            .map(|f| (f.content.clone(), self.target.clone()))
            .collect()
    }

    fn written(&self) -> Written {
        Written {
            path: self.target.clone(),
        }
    }
}

pub(in crate::actions) fn problems(path: &str) -> Vec<String> {
    absolute("path", path).into_iter().collect()
}

/// What is done, before anything was looked at.
pub(in crate::actions) fn outline(edit: &impl Edit, direction: Direction) -> Vec<String> {
    vec![match direction {
        Direction::Do => edit.words(),
        Direction::Undo => text::undo_file(edit.path()),
    }]
}

/// What is done.
pub(in crate::actions) fn preview(
    edit: &impl Edit,
    direction: Direction,
    before: &Before,
) -> Preview {
    let command = match (direction, &before.former) {
        (Direction::Do, _) => edit.words(),
        (Direction::Undo, None) => phrases::remove(&before.target),
        (Direction::Undo, Some(former)) => former.words(&before.target),
    };
    Preview {
        commands: vec![command],
        findings: Vec::new(),
        kept: before.kept(),
    }
}

/// Looks, and keeps the former bytes.
pub(in crate::actions) fn observe(edit: &impl Edit, cx: &Context) -> Result<Before, Error> {
    let target = disk::resolve_to_write(edit.path())?;
    let former = disk::read(&target)?;
    disk::refuse_hard_links(&target)?;
    let wanted = edit.wanted(former.as_ref().map(|(bytes, _)| bytes.as_slice()))?;
    mounts::refuse(&target)?;
    editor::refuse(&target)?;
    cx.show_diff(|| diff(edit, former.as_ref(), &wanted))?;
    Ok(Before {
        target: disk::text(&target)?,
        mode: edit
            .mode()
            .or(former.as_ref().map(|(_, facts)| facts.mode))
            .unwrap_or(Mode::of(NEW)),
        wanted: cx.fingerprint(&mut wanted.as_slice())?,
        former: Former::keep(cx, former.as_ref())?,
    })
}

/// What would change; none when nothing would.
fn diff(
    edit: &impl Edit,
    former: Option<&(Vec<u8>, Facts)>,
    wanted: &[u8],
) -> Result<Option<String>, Error> {
    let bytes = former.map(|(bytes, _)| bytes.as_slice());
    let mut text = edit.diff(bytes, wanted)?.unwrap_or_default();
    if let (Some((_, facts)), Some(mode)) = (former, edit.mode())
        && facts.mode != mode
    {
        text = format!("{}\n{text}", phrases::mode_changes(facts.mode, mode));
    }
    Ok((!text.is_empty()).then_some(text))
}

/// Whether it is done, and the file then.
pub(in crate::actions) fn probe(
    edit: &impl Edit,
    cx: &Context,
    before: &Before,
) -> Result<(Look, Option<Written>), Error> {
    if let Some(why) = disk::led_astray(edit.path(), before.target()) {
        return Ok((Look::unclear(why), None));
    }
    let name = &before.target;
    let look = match (disk::read(before.target())?, &before.former) {
        (Some((bytes, now)), _) if before.is_wanted(cx, &bytes, &now)? => {
            let done = Look::done(format!("{name} is as specified: {now}"));
            return Ok((done, Some(before.written())));
        }
        (None, None) => Look::nothing(format!("{name} does not exist")),
        (Some((bytes, now)), Some(_)) if before.is_former(cx, &bytes, &now)? => {
            Look::nothing(format!("{name} is as it was: {now}"))
        }
        (None, Some(_)) => Look::unclear(format!(
            "{name} no longer exists, and this step did not remove it"
        )),
        (Some((_, now)), _) => Look::unclear(format!(
            "{name} is neither as it was nor as specified: {now}; specified: {} bytes, mode {}",
            before.wanted.len, before.mode
        )),
    };
    Ok((look, None))
}

/// Gives the file its new content.
pub(in crate::actions) fn perform<N: Data>(
    edit: &impl Edit,
    work: &mut Work<'_, N>,
    before: &Before,
) -> Result<Written, Error> {
    let (cx, target) = (work.cx(), before.target());
    if let Some(why) = disk::led_astray(edit.path(), before.target()) {
        return Err(Error::new(why));
    }
    let found = disk::read(target)?;
    match &found {
        Some((bytes, now)) if before.is_wanted(cx, bytes, now)? => {
            disk::remove(&disk::temporary(cx, target))?;
            work.log_line(&format!("{} is already as specified", before.target));
            return Ok(before.written());
        }
        Some((bytes, _)) if before.is_known(cx, bytes)? => {}
        None if before.former.is_none() => {}
        Some((_, now)) => {
            return Err(Error::new(format!(
                "{} has been changed since it was inspected; it is not touched: {now}",
                before.target
            )));
        }
        None => {
            return Err(Error::new(format!(
                "{} has been removed since it was inspected",
                before.target
            )));
        }
    }
    let former = before.former.as_ref();
    let bytes = former.map(|f| cx.kept(&f.content)).transpose()?;
    let wanted = edit.wanted(bytes.as_deref())?;
    let manner = Manner {
        mode: before.mode,
        owner: former.map(|f| (f.uid, f.gid)),
        must_own: true,
        mtime: None,
    };
    // Another writer may have come since: whoever replaces a file that he has not read takes a change away.
    let unchanged = || {
        let now = disk::read(target)?;
        match now.as_ref().map(|(bytes, _)| bytes) == found.as_ref().map(|(bytes, _)| bytes) {
            true => Ok(()),
            false => Err(Error::new(format!(
                "{} was changed by somebody else while its new content was made; it is not touched",
                before.target
            ))
            .remedy("find out who writes to it, and retry")),
        }
    };
    let mut bytes = wanted.as_slice();
    disk::put_kept_if(cx, target, &mut bytes, &before.wanted, manner, &unchanged)?;
    work.log_line(&format!("{}: {} bytes", before.target, wanted.len()));
    Ok(before.written())
}

/// Puts the former file back.
pub(in crate::actions) fn undo<N: Data>(
    edit: &impl Edit,
    work: &mut Work<'_, N>,
    before: &Before,
) -> Result<(), Error> {
    let (cx, target) = (work.cx(), before.target());
    if let Some(why) = disk::led_astray_since(edit.path(), before.target()) {
        return Err(Error::new(format!(
            "{why}; it is not touched, and the previous content is kept"
        )));
    }
    let now = disk::read(target)?;
    if let Some((bytes, now)) = &now
        && !before.is_known(cx, bytes)?
    {
        return Err(Error::new(format!(
            "{} has been edited since; it is not touched, and the previous content is kept: {now}; this step wrote {} bytes",
            before.target, before.wanted.len
        )));
    }
    let former = before.former.as_ref();
    if !Former::is_back(former, cx, now.as_ref())? {
        Former::undo(former, cx, target)?;
    }
    disk::remove(&disk::temporary(cx, target))?;
    work.log_line(&format!("{} is as it was before", before.target));
    Ok(())
}

/// Whether the file is as before.
pub(in crate::actions) fn undone(
    edit: &impl Edit,
    cx: &Context,
    before: &Before,
) -> Result<Look, Error> {
    if let Some(why) = disk::led_astray_since(edit.path(), before.target()) {
        return Ok(Look::unclear(why));
    }
    let (name, temp) = (&before.target, disk::temporary(cx, before.target()));
    let now = disk::read(before.target())?;
    if Former::is_back(before.former.as_ref(), cx, now.as_ref())? {
        // The file is right, but the step left something beside it.
        if temp.symlink_metadata().is_ok() {
            return Ok(Look::nothing(format!("{} is left over", temp.display())));
        }
        let state = now.map_or_else(|| "not there".into(), |(_, facts)| facts.to_string());
        return Ok(Look::done(format!("{name} is as before: {state}")));
    }
    Ok(match now {
        None => Look::nothing(format!("{name} no longer exists")),
        Some((bytes, now)) if before.is_known(cx, &bytes)? => {
            Look::nothing(format!("{name} is not as before: {now}"))
        }
        Some((_, now)) => Look::unclear(format!("{name} has been edited: {now}")),
    })
}

/// What it would replace now.
pub(in crate::actions) fn replaces(
    edit: &impl Edit,
    before: &Before,
) -> Result<Consequences, Error> {
    let now = disk::read(before.target())?;
    let Some((bytes, _)) = now else {
        return Ok(Consequences::none());
    };
    let wanted = edit.wanted(Some(&bytes))?;
    if bytes == wanted {
        return Ok(Consequences::none());
    }
    let lost = match diff::gone(&bytes, &wanted) {
        Some(0) => Vec::new(),
        lines => vec![diff::part(lines, &before.target)],
    };
    Ok(Consequences {
        lost: Some(lost),
        ..Consequences::default()
    })
}

/// What the undo would mean now.
pub(in crate::actions) fn consequences(
    edit: &impl Edit,
    cx: &Context,
    before: &Before,
) -> Result<Consequences, Error> {
    if let Some(why) = disk::led_astray_since(edit.path(), before.target()) {
        return Ok(Consequences::refused(why));
    }
    let now = disk::read(before.target())?;
    if Former::is_back(before.former.as_ref(), cx, now.as_ref())? {
        return Ok(Consequences::none());
    }
    let edited = match &now {
        Some((bytes, _)) => !before.is_known(cx, bytes)?,
        None => false,
    };
    Ok(Consequences::of_file(before.target(), edited))
}
