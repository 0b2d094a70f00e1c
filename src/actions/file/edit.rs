//! The machine behind actions that give a file a new content: look, keep, write, prove, put back.
//!
//! Invariants: the wanted content is fixed by its digest before anything changes, and so is the former one, whose bytes
//! are kept. A file that is neither is a stranger's: it is never overwritten, forwards or backwards. A link is written
//! through and stays a link.

use super::diff;
use super::disk::{self, Facts, Manner};
use super::mode::Mode;
use super::trust;
use crate::actions::values::absolute;
use crate::actions::{Context, Error, Look};
use crate::text::actions as told;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The mode of a file that was not there and whose mode the plan does not say.
const NEW: u32 = 0o644;

/// Something that says what a file is to hold.
pub(super) trait Edit: Send + Sync {
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
}

/// All that the undo needs, beside the kept bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Observed {
    /// Where the path led.
    pub(super) target: String,
    /// What was there.
    pub(super) former: Option<Facts>,
    /// Digest of what is to be there.
    pub(super) wanted: String,
    /// Its mode.
    pub(super) mode: Mode,
}

impl Observed {
    pub(super) fn read(value: &Value) -> Result<Self, Error> {
        serde_json::from_value(value.clone())
            .map_err(|e| Error::io("what was observed cannot be read", &e))
    }

    fn target(&self) -> &Path {
        Path::new(&self.target)
    }

    /// The owner that a file of ours has; a file that was not there has the runner's.
    fn owned(&self, facts: &Facts) -> bool {
        self.former
            .as_ref()
            .is_none_or(|f| (f.uid, f.gid) == (facts.uid, facts.gid))
    }

    fn is_wanted(&self, facts: &Facts) -> bool {
        facts.sha256 == self.wanted && facts.mode == self.mode && self.owned(facts)
    }

    /// Its bytes are ours or the former ones, so nobody's work is lost with them.
    fn is_known(&self, facts: &Facts) -> bool {
        facts.sha256 == self.wanted
            || self
                .former
                .as_ref()
                .is_some_and(|f| f.sha256 == facts.sha256)
    }
}

pub(super) fn problems(path: &str) -> Vec<String> {
    absolute("path", path).into_iter().collect()
}

/// Looks, and keeps the former bytes.
pub(super) fn observe(edit: &dyn Edit, cx: &Context) -> Result<Value, Error> {
    trust::ours(edit.path())?;
    let target = disk::resolve(edit.path())?;
    let former = disk::read(&target)?;
    let links = target.symlink_metadata().map_or(1, |m| m.nlink());
    if links > 1 {
        return Err(Error::new(format!(
            "{} has {links} names (hard links); replacing it would part them",
            target.display()
        )));
    }
    let wanted = edit.wanted(former.as_ref().map(|(bytes, _)| bytes.as_slice()))?;
    if let Some((bytes, facts)) = &former {
        disk::keep(cx, bytes, &facts.sha256)?;
    }
    let former = former.map(|(_, facts)| facts);
    let observed = Observed {
        target: disk::text(&target)?,
        mode: edit
            .mode()
            .or(former.as_ref().map(|f| f.mode))
            .unwrap_or(Mode::of(NEW)),
        wanted: disk::digest(&wanted),
        former,
    };
    serde_json::to_value(observed).map_err(|e| Error::io("cannot record what was observed", &e))
}

/// What would change now; none when nothing would.
pub(super) fn diff(edit: &dyn Edit) -> Result<Option<String>, Error> {
    let former = disk::read(&disk::resolve(edit.path())?)?;
    let bytes = former.as_ref().map(|(bytes, _)| bytes.as_slice());
    let wanted = edit.wanted(bytes)?;
    let mut text = diff::unified(edit.path(), bytes, &wanted).unwrap_or_default();
    if let (Some((_, facts)), Some(mode)) = (&former, edit.mode())
        && facts.mode != mode
    {
        text = format!("{}\n{text}", told::mode_changes(facts.mode, mode));
    }
    Ok((!text.is_empty()).then_some(text))
}

/// Whether the path still leads where it led.
fn led_astray(edit: &dyn Edit, observed: &Observed) -> Option<String> {
    match disk::resolve(edit.path()) {
        Ok(now) if now == observed.target() => None,
        Ok(now) => Some(format!(
            "{} led to {} and now leads to {}",
            edit.path(),
            observed.target,
            now.display()
        )),
        Err(e) => Some(e.to_string()),
    }
}

/// The same, before the way back: a link whose target somebody removed leads nowhere, and the target can be put back.
fn led_astray_since(edit: &dyn Edit, observed: &Observed) -> Option<String> {
    let why = led_astray(edit, observed)?;
    let target = observed.target();
    let gone = matches!(target.symlink_metadata(), Err(e) if e.kind() == ErrorKind::NotFound);
    let moved = |path: &str| disk::resolve(path).is_ok_and(|now| now != target);
    (!gone || moved(edit.path()) || moved(&observed.target)).then_some(why)
}

/// What its actions have in common.
impl dyn Edit + '_ {
    pub(super) fn probe(&self, _cx: &Context, observed: &Value) -> Result<Look, Error> {
        let o = Observed::read(observed)?;
        if let Some(why) = led_astray(self, &o) {
            return Ok(Look::unclear(why));
        }
        let name = &o.target;
        Ok(match (disk::read(o.target())?, &o.former) {
            (Some((_, now)), _) if o.is_wanted(&now) => Look::done(format!("{name}: {now}")),
            (None, None) => Look::nothing(format!("{name} is not there")),
            // Its time may differ: that is nobody's work.
            (Some((_, now)), Some(former))
                if now.sha256 == former.sha256 && now.mode == former.mode && o.owned(&now) =>
            {
                Look::nothing(format!("{name} is as it was: {now}"))
            }
            (None, Some(_)) => Look::unclear(format!("{name} is gone, and not by us")),
            (Some((_, now)), _) => Look::unclear(format!(
                "{name} is neither as it was nor as wanted: {now}; wanted sha256 {}, mode {}",
                o.wanted, o.mode
            )),
        })
    }

    pub(super) fn perform(
        &self,
        cx: &Context,
        observed: &Value,
        log: &mut dyn Write,
    ) -> Result<(), Error> {
        let o = Observed::read(observed)?;
        if let Some(why) = led_astray(self, &o) {
            return Err(Error::new(why));
        }
        let now = disk::read(o.target())?;
        match &now {
            Some((_, now)) if o.is_wanted(now) => {
                disk::remove(&disk::temporary(cx, o.target()))?;
                return say(log, &format!("{} is as wanted already", o.target));
            }
            Some((_, now)) if o.is_known(now) => {}
            None if o.former.is_none() => {}
            Some((_, now)) => {
                return Err(Error::new(format!(
                    "{} was changed by somebody since it was looked at; it is left alone: {now}",
                    o.target
                )));
            }
            None => {
                return Err(Error::new(format!(
                    "{} was removed by somebody since it was looked at",
                    o.target
                )));
            }
        }
        let former = o
            .former
            .as_ref()
            .map(|f| disk::kept(cx, &f.sha256))
            .transpose()?;
        let wanted = self.wanted(former.as_deref())?;
        let manner = Manner {
            mode: o.mode,
            owner: o.former.as_ref().map(|f| (f.uid, f.gid)),
            must_own: true,
            mtime: None,
        };
        disk::put(cx, o.target(), &mut wanted.as_slice(), &o.wanted, manner)?;
        say(
            log,
            &format!("{}: {} bytes, sha256 {}", o.target, wanted.len(), o.wanted),
        )
    }

    pub(super) fn undo(
        &self,
        cx: &Context,
        observed: &Value,
        log: &mut dyn Write,
    ) -> Result<(), Error> {
        let o = Observed::read(observed)?;
        if let Some(why) = led_astray_since(self, &o) {
            return Err(Error::new(format!(
                "{why}; it is left alone, and the former content is kept"
            )));
        }
        let now = disk::read(o.target())?.map(|(_, facts)| facts);
        if let Some(now) = &now
            && !o.is_known(now)
        {
            return Err(Error::new(format!(
                "{} was edited by somebody since; it is left alone, and the former content is kept: {now}; ours was sha256 {}",
                o.target, o.wanted
            )));
        }
        match &o.former {
            None => disk::remove(o.target())?,
            Some(former) if now.as_ref() == Some(former) => {}
            Some(former) => {
                let bytes = disk::kept(cx, &former.sha256)?;
                let (sha256, manner) = (&former.sha256, former.manner());
                disk::put(cx, o.target(), &mut bytes.as_slice(), sha256, manner)?;
            }
        }
        disk::remove(&disk::temporary(cx, o.target()))?;
        say(log, &format!("{} is as it was before", o.target))
    }

    pub(super) fn undone(&self, cx: &Context, observed: &Value) -> Result<Look, Error> {
        let o = Observed::read(observed)?;
        if let Some(why) = led_astray_since(self, &o) {
            return Ok(Look::unclear(why));
        }
        let (name, temp) = (&o.target, disk::temporary(cx, o.target()));
        let now = disk::read(o.target())?.map(|(_, facts)| facts);
        if now == o.former {
            // The file is right, but the step left something beside it.
            if temp.symlink_metadata().is_ok() {
                return Ok(Look::nothing(format!("{} is left over", temp.display())));
            }
            let state = now.map_or_else(|| "not there".into(), |f| f.to_string());
            return Ok(Look::done(format!("{name} is as before: {state}")));
        }
        Ok(match now {
            None => Look::nothing(format!("{name} is gone")),
            Some(now) if o.is_known(&now) => {
                Look::nothing(format!("{name} is not as before: {now}"))
            }
            Some(now) => Look::unclear(format!("{name} was edited by somebody: {now}")),
        })
    }
}

pub(super) fn say(log: &mut dyn Write, line: &str) -> Result<(), Error> {
    writeln!(log, "{line}").map_err(|e| Error::io("cannot write the step's output", &e))
}
