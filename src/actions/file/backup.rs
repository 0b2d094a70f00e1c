//! `file.backup`: a copy that outlives the step, proved by reading it back.
//!
//! Invariants: a copy is this step's own work. One that was there before is never taken for it, so the step is never
//! "done already"; and a copy never takes the place of something else. Nothing removes a backup, so there is no undo.
//! Left out: directories, and retention.

use super::disk::{self, Facts, Manner};
use super::edit::say;
use super::trust;
use crate::actions::values::absolute;
use crate::actions::{Action, Context, Error, Look};
use crate::text::actions as told;
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::Metadata;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use upledger_replay::plan::Effect;

/// A file is copied, with its mode, owner and time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// The file, as an absolute path. Of a link its target is copied.
    pub path: String,
    /// The copy, as an absolute path; without it a name of its own in the state directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Observed {
    /// Where the path led.
    source: String,
    /// What was there.
    facts: Facts,
    /// Where the copy goes.
    copy: String,
    /// The file that was there before, by its identity.
    before: Option<String>,
}

/// A file that was written anew has another identity, whatever its content.
fn identity(meta: &Metadata) -> String {
    format!(
        "{}:{} {}.{:09}",
        meta.dev(),
        meta.ino(),
        meta.ctime(),
        meta.ctime_nsec()
    )
}

impl Observed {
    fn read(value: &Value) -> Result<Self, Error> {
        serde_json::from_value(value.clone())
            .map_err(|e| Error::io("what was observed cannot be read", &e))
    }
}

impl Backup {
    fn copy(&self, cx: &Context, source: &Path) -> Result<PathBuf, Error> {
        match &self.to {
            Some(to) => disk::resolve(to),
            None => {
                let name = format!("backup-{}-{}", cx.step, disk::tag(cx, source));
                Ok(cx.undo_dir()?.join(name))
            }
        }
    }

    fn source(&self) -> Result<(PathBuf, Facts), Error> {
        let source = disk::resolve(&self.path)?;
        match disk::look(&source)? {
            Some((facts, _)) => Ok((source, facts)),
            None => Err(Error::new(format!("there is no file {}", self.path))),
        }
    }
}

impl Action for Backup {
    fn effect(&self) -> Effect {
        Effect::Idempotent
    }

    fn has_probe(&self) -> bool {
        true
    }

    fn needs_undo(&self) -> bool {
        false
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong: Vec<String> = absolute("path", &self.path).into_iter().collect();
        if let Some(to) = &self.to {
            wrong.extend(absolute("to", to));
            if *to == self.path {
                wrong.push(text::same_file());
            }
        }
        wrong
    }

    fn observe(&self, cx: &Context) -> Result<Value, Error> {
        let (source, facts) = self.source()?;
        let copy = self.copy(cx, &source)?;
        if let Some(to) = &self.to {
            trust::ours(to)?;
        }
        if copy == source {
            return Err(Error::new("the copy would be the file itself"));
        }
        let before = match disk::look(&copy)? {
            Some((there, _)) if there.sha256 != facts.sha256 => {
                return Err(Error::new(format!(
                    "{} holds something else, and a backup replaces nothing: {there}",
                    copy.display()
                )));
            }
            Some((_, meta)) => Some(identity(&meta)),
            None => None,
        };
        let observed = Observed {
            source: disk::text(&source)?,
            facts,
            copy: disk::text(&copy)?,
            before,
        };
        serde_json::to_value(observed).map_err(|e| Error::io("cannot record what was observed", &e))
    }

    fn commands(&self, _cx: &Context) -> Vec<String> {
        let to = self.to.clone().unwrap_or_else(told::state_directory);
        vec![told::copy(&self.path, to)]
    }

    fn probe(&self, _cx: &Context, observed: &Value) -> Result<Look, Error> {
        let o = Observed::read(observed)?;
        Ok(match disk::look(Path::new(&o.copy))? {
            None => Look::nothing(format!("{} is not there", o.copy)),
            Some((_, meta)) if o.before == Some(identity(&meta)) => {
                Look::nothing(format!("{} is older than this step", o.copy))
            }
            Some((facts, _)) if facts.sha256 == o.facts.sha256 => {
                Look::done(format!("{}: {facts}", o.copy))
            }
            Some((facts, _)) => Look::unclear(format!(
                "{} is not the copy of {}: {facts}; wanted sha256 {}",
                o.copy, o.source, o.facts.sha256
            )),
        })
    }

    fn perform(&self, cx: &Context, observed: &Value, log: &mut dyn Write) -> Result<(), Error> {
        let o = Observed::read(observed)?;
        let copy = Path::new(&o.copy);
        if let Some((there, _)) = disk::look(copy)?
            && there.sha256 != o.facts.sha256
        {
            return Err(Error::new(format!(
                "{} was written by somebody since it was looked at; it is left alone: {there}",
                o.copy
            )));
        }
        let Some((mut source, _)) = disk::open_plain(Path::new(&o.source))? else {
            return Err(Error::new(format!("{} is gone", o.source)));
        };
        let manner = Manner {
            // Bytes that others may not give away are still worth having.
            must_own: false,
            ..o.facts.manner()
        };
        disk::put(cx, copy, &mut source, &o.facts.sha256, manner)?;
        say(log, &format!("{} -> {}: {}", o.source, o.copy, o.facts))
    }

    fn verify(&self, cx: &Context, observed: &Value) -> Result<Look, Error> {
        self.probe(cx, observed)
    }
}
