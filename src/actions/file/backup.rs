//! `file.backup`: a copy that outlives the step, proved by reading it back.
//!
//! Invariants: a copy is this step's own work. One that was there before is never taken for it, so the step is never
//! "done already"; and a copy never takes the place of something else. Nothing removes a backup, so there is no undo.
//! Left out: directories, and retention.

use crate::action::values::absolute;
use crate::action::{
    Action, Context, Direction, Error, Live, Look, Past, Place, Properties, Work, Write,
};
use crate::host::files::disk::{self, Former, Manner};
use crate::text::actions as phrases;
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use upledger_replay::plan::Effect;

/// Copies a file, with its mode, owner and modification time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// The file, as an absolute path. If it is a link, its target is copied.
    pub path: String,
    /// The copy, as an absolute path. Default: a generated name in the state directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// What was there before the copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// Where the path led.
    source: String,
    /// What was there. The copy is compared with it.
    file: Former,
    /// Where the copy goes.
    copy: String,
    /// The file that was there before, by its identity.
    there: Option<String>,
}

/// The copy.
///
/// No digest of it stands here, on purpose. The record is for ever, and a digest without a salt would tell whoever reads
/// it whether the file held what they guess, such as a password. What proves the copy is the digest with a salt that was
/// observed before, and a purge of that salt ends it. Whoever needs the SHA-256 takes it from the copy itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Copy {
    /// Its path.
    #[schemars(extend("format" = "path"))]
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
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

impl Before {
    fn copied(&self) -> Copy {
        Copy {
            path: self.copy.clone(),
            bytes: self.file.content.len,
        }
    }
}

impl Backup {
    fn place(&self, cx: &Context, source: &Path) -> Result<PathBuf, Error> {
        match &self.to {
            Some(to) => disk::resolve_to_write(to),
            None => {
                let name = format!("backup-{}-{}", cx.step, disk::tag(cx, source));
                Ok(cx.undo_path().join(name))
            }
        }
    }
}

impl Action for Backup {
    type Before = Before;
    type Note = ();
    type Output = Copy;

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
            ..Properties::command()
        }
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

    fn outline(&self, _direction: Direction) -> Vec<String> {
        let to = self.to.clone().unwrap_or_else(phrases::state_directory);
        vec![phrases::copy(&self.path, to)]
    }

    fn observe(&self, cx: &Context) -> Result<Before, Error> {
        let source = disk::resolve(&self.path)?;
        let Some(file) = Former::look(cx, &source)? else {
            return Err(Error::new(format!("there is no file {}", self.path)));
        };
        let copy = self.place(cx, &source)?;
        if copy == source {
            return Err(Error::new("the copy would be the file itself"));
        }
        let there = match disk::compare(cx, &copy, &file.content)? {
            Some((false, meta)) => {
                return Err(Error::new(format!(
                    "{} already exists with other content, and a backup does not overwrite: {}",
                    copy.display(),
                    disk::described(&meta)
                ))
                .lasting());
            }
            Some((true, meta)) => Some(identity(&meta)),
            None => None,
        };
        Ok(Before {
            source: disk::text(&source)?,
            file,
            copy: disk::text(&copy)?,
            there,
        })
    }

    fn probe(&self, cx: &Context, past: &Past<Self>) -> Result<(Look, Option<Copy>), Error> {
        let before = &past.before;
        let copy = &before.copy;
        let look = match disk::compare(cx, Path::new(copy), &before.file.content)? {
            None => Look::nothing(format!("{copy} does not exist")),
            Some((_, meta)) if before.there == Some(identity(&meta)) => {
                Look::nothing(format!("{copy} is older than this step"))
            }
            Some((true, meta)) => {
                let what = disk::described(&meta);
                let done = Look::done(format!(
                    "{copy} is identical to {} as it was: {what}",
                    before.source
                ));
                return Ok((done, Some(before.copied())));
            }
            Some((false, meta)) => Look::unclear(format!(
                "{copy} is not the copy of {}, which had {} bytes: {}",
                before.source,
                before.file.content.len,
                disk::described(&meta)
            )),
        };
        Ok((look, None))
    }

    fn perform(&self, work: &mut Work<'_, ()>, past: &Past<Self>) -> Result<Copy, Error> {
        let (cx, before) = (work.cx(), &past.before);
        let (copy, content) = (Path::new(&before.copy), &before.file.content);
        if let Some((false, meta)) = disk::compare(cx, copy, content)? {
            return Err(Error::new(format!(
                "{} has been written since it was inspected; it is not touched: {}",
                before.copy,
                disk::described(&meta)
            )));
        }
        let Some((mut source, _)) = disk::open_plain(Path::new(&before.source))? else {
            return Err(Error::new(format!("{} no longer exists", before.source)));
        };
        let manner = Manner {
            // Bytes that others may not give away are still worth having.
            must_own: false,
            ..before.file.manner()
        };
        if self.to.is_none() {
            cx.make_undo_path()?;
        }
        disk::put_kept(cx, copy, &mut source, content, manner)?;
        work.log_line(&format!(
            "{} -> {}: {} bytes",
            before.source, before.copy, content.len
        ));
        Ok(before.copied())
    }
}
