//! A file that is to be gone: kept, removed, proved, put back byte for byte. A part of other actions.
//!
//! Invariants: a file that somebody changed since it was looked at is left alone, forwards and backwards.

use crate::action::{Consequences, Context, Data, Direction, Error, Look, Preview, Work};
use crate::host::files::disk::{self, Facts, Former};
use crate::host::files::trust;
use crate::text::actions as phrases;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// All that the undo needs, beside the kept bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Before {
    /// Where the path led.
    target: String,
    /// What was there.
    former: Option<Former>,
}

impl Before {
    fn now(&self) -> Result<Option<(Vec<u8>, Facts)>, Error> {
        disk::read(Path::new(&self.target))
    }

    /// Why what is there now is somebody else's.
    fn strange(
        &self,
        cx: &Context,
        now: Option<&(Vec<u8>, Facts)>,
    ) -> Result<Option<String>, Error> {
        let known = match (now, &self.former) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some((bytes, _)), Some(former)) => former.holds(cx, bytes)?,
        };
        Ok((!known).then(|| format!("{} has been changed; it is not touched", self.target)))
    }

    fn is_back(&self, cx: &Context, now: Option<&(Vec<u8>, Facts)>) -> Result<bool, Error> {
        Former::is_back(self.former.as_ref(), cx, now)
    }

    /// What is done.
    pub(crate) fn preview(&self, direction: Direction) -> Preview {
        let commands = match (direction, &self.former) {
            (Direction::Do, _) => vec![phrases::remove(&self.target)],
            (Direction::Undo, None) => Vec::new(),
            (Direction::Undo, Some(former)) => vec![former.words(&self.target)],
        };
        let former = self.former.iter();
        Preview {
            commands,
            findings: Vec::new(),
            kept: former
                .map(|f| (f.content.clone(), self.target.clone()))
                .collect(),
        }
    }

    /// Whether it is gone.
    pub(crate) fn probe(&self, cx: &Context) -> Result<Look, Error> {
        let now = self.now()?;
        Ok(if now.is_none() {
            Look::done(format!("{} does not exist", self.target))
        } else if let Some(why) = self.strange(cx, now.as_ref())? {
            Look::unclear(why)
        } else {
            Look::nothing(format!("{} exists", self.target))
        })
    }

    /// Removes it.
    pub(crate) fn perform<N: Data>(&self, work: &mut Work<'_, N>) -> Result<(), Error> {
        if let Some(why) = self.strange(work.cx(), self.now()?.as_ref())? {
            return Err(Error::new(why));
        }
        trust::ours(&self.target)?;
        disk::remove(Path::new(&self.target))?;
        work.log_line(&format!("{} is removed", self.target));
        Ok(())
    }

    /// Puts it back.
    pub(crate) fn undo<N: Data>(&self, work: &mut Work<'_, N>) -> Result<(), Error> {
        let (cx, target) = (work.cx(), Path::new(&self.target));
        let now = self.now()?;
        if let Some(why) = self.strange(cx, now.as_ref())? {
            return Err(Error::new(why));
        }
        if let Some(former) = &self.former
            && !self.is_back(cx, now.as_ref())?
        {
            former.put_back(cx, target)?;
        }
        disk::remove(&disk::temporary(cx, target))?;
        work.log_line(&format!("{} is as it was before", self.target));
        Ok(())
    }

    /// What the undo would mean now.
    pub(crate) fn consequences(&self, cx: &Context) -> Result<Consequences, Error> {
        let now = self.now()?;
        if self.is_back(cx, now.as_ref())? {
            return Ok(Consequences::none());
        }
        let edited = self.strange(cx, now.as_ref())?.is_some();
        Ok(Consequences::of_file(Path::new(&self.target), edited))
    }

    /// Whether it is as before.
    pub(crate) fn undone(&self, cx: &Context) -> Result<Look, Error> {
        let now = self.now()?;
        let temp = disk::temporary(cx, Path::new(&self.target));
        Ok(if self.is_back(cx, now.as_ref())? {
            // The file is right, but an undo that was cut off left something beside it.
            if temp.symlink_metadata().is_ok() {
                return Ok(Look::nothing(format!("{} is left over", temp.display())));
            }
            Look::done(format!("{} is as before", self.target))
        } else if let Some(why) = self.strange(cx, now.as_ref())? {
            Look::unclear(why)
        } else {
            Look::nothing(format!("{} is not as before", self.target))
        })
    }
}

/// Looks, and keeps the bytes.
pub(crate) fn observe(path: &str, cx: &Context) -> Result<Before, Error> {
    let target = disk::resolve_to_write(path)?;
    let former = disk::read(&target)?;
    Ok(Before {
        target: disk::text(&target)?,
        former: Former::keep(cx, former.as_ref())?,
    })
}
