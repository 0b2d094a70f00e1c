//! A file that is to be gone: kept, removed, proved, put back byte for byte. A part of other actions.
//!
//! Invariants: a file that somebody changed since it was looked at is left alone, forwards and backwards.

use super::disk::{self, Facts};
use crate::actions::{Context, Error, Look};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::Write;
use std::path::Path;

/// All that the undo needs, beside the kept bytes.
#[derive(Serialize, Deserialize)]
struct Observed {
    target: String,
    former: Option<Facts>,
}

impl Observed {
    fn read(value: &Value) -> Result<Self, Error> {
        serde_json::from_value(value.clone())
            .map_err(|e| Error::io("what was observed cannot be read", &e))
    }

    fn now(&self) -> Result<Option<Facts>, Error> {
        Ok(disk::read(Path::new(&self.target))?.map(|(_, facts)| facts))
    }

    fn strange(&self, now: Option<&Facts>) -> Option<String> {
        let sum = |f: Option<&Facts>| f.map(|f| f.sha256.clone());
        (now.is_some() && sum(now) != sum(self.former.as_ref()))
            .then(|| format!("{} was changed by somebody; it is left alone", self.target))
    }
}

/// Looks, and keeps the bytes.
pub(crate) fn observe(path: &str, cx: &Context) -> Result<Value, Error> {
    let target = disk::resolve(path)?;
    let former = disk::read(&target)?;
    if let Some((bytes, facts)) = &former {
        disk::keep(cx, bytes, &facts.sha256)?;
    }
    let observed = Observed {
        target: disk::text(&target)?,
        former: former.map(|(_, facts)| facts),
    };
    serde_json::to_value(observed).map_err(|e| Error::io("cannot record what was observed", &e))
}

/// Whether it is gone.
pub(crate) fn probe(observed: &Value) -> Result<Look, Error> {
    let o = Observed::read(observed)?;
    Ok(match o.now()? {
        None => Look::done(format!("{} is not there", o.target)),
        Some(now) => match o.strange(Some(&now)) {
            Some(why) => Look::unclear(why),
            None => Look::nothing(format!("{} is there", o.target)),
        },
    })
}

/// Removes it.
pub(crate) fn perform(observed: &Value, log: &mut dyn Write) -> Result<(), Error> {
    let o = Observed::read(observed)?;
    if let Some(why) = o.strange(o.now()?.as_ref()) {
        return Err(Error::new(why));
    }
    disk::remove(Path::new(&o.target))?;
    super::edit::say(log, &format!("{} is removed", o.target))
}

/// Puts it back.
pub(crate) fn undo(cx: &Context, observed: &Value, log: &mut dyn Write) -> Result<(), Error> {
    let o = Observed::read(observed)?;
    let now = o.now()?;
    if let Some(why) = o.strange(now.as_ref()) {
        return Err(Error::new(why));
    }
    if let Some(former) = &o.former
        && now.as_ref() != Some(former)
    {
        let bytes = disk::kept(cx, &former.sha256)?;
        let target = Path::new(&o.target);
        let (sum, manner) = (&former.sha256, former.manner());
        disk::put(cx, target, &mut bytes.as_slice(), sum, manner)?;
    }
    super::edit::say(log, &format!("{} is as it was before", o.target))
}

/// Whether it is as before.
pub(crate) fn undone(observed: &Value) -> Result<Look, Error> {
    let o = Observed::read(observed)?;
    let now = o.now()?;
    Ok(if now == o.former {
        Look::done(format!("{} is as before", o.target))
    } else if let Some(why) = o.strange(now.as_ref()) {
        Look::unclear(why)
    } else {
        Look::nothing(format!("{} is not as before", o.target))
    })
}
