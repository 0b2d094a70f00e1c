//! `file.backup`: a copy that outlives the step, proved by reading it back.
//!
//! Invariants: a copy is this step's own work. One that was there before is never taken for it, so the step is never
//! "done already"; and a copy never takes the place of something else: where its name is taken, as by the copy of an
//! earlier night, it gets a name of this run. Nothing removes a backup, so there is no undo.
//! Left out: directories, and retention.

use crate::action::values::absolute;
use crate::action::{
    Action, Context, Direction, Error, Live, Look, Past, Place, Preview, Properties, Work, Write,
};
use crate::host::files::disk::{self, Former, Manner};
use crate::text::actions as phrases;
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use upledger_replay::plan::Effect;

/// The longest name that a copy gets in the state directory.
const NAME: usize = 200;

/// Copies a file, with its mode, owner and modification time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// The file, as an absolute path. If it is a link, its target is copied.
    pub path: String,
    /// The copy, as an absolute path. If something has that name already, such as the copy of an earlier run, the name of
    /// the run and the step are added to it. Default: a name of this run in the state directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Whether the SHA-256 of the copy is recorded as the fact `sha256`. It tells whoever reads the record whether the file
    /// held what they guess, so leave it out for files that hold secrets. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sha256: bool,
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
    /// The file that was there before, by its identity; of a run by an earlier version alone, which took a name where the
    /// same content was.
    there: Option<String>,
}

/// The copy.
///
/// No digest of it stands here unless the plan asks for it. The record is for ever, and a digest without a salt tells
/// whoever reads it whether the file held what they guess, such as a password. What proves the copy is the digest with a
/// salt that was observed before, and a purge of that salt ends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Copy {
    /// Its path.
    #[schemars(extend("format" = "path"))]
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256, where `sha256: true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "sha256"))]
    pub sha256: Option<String>,
}

impl Backup {
    /// Where the copy goes: a name that nothing has.
    fn place(&self, cx: &Context, source: &Path) -> Result<PathBuf, Error> {
        // A preview knows no run yet.
        let run = if cx.inert { "${run}" } else { &cx.run };
        let copy = match &self.to {
            Some(to) => {
                let to = disk::resolve_to_write(to)?;
                match to.symlink_metadata() {
                    Err(_) => return Ok(to),
                    Ok(_) if to == source => {
                        return Err(Error::new("the copy would be the file itself"));
                    }
                    Ok(_) => {
                        let mut name = to.into_os_string();
                        name.push(format!(".{run}.{}", cx.step));
                        PathBuf::from(name)
                    }
                }
            }
            None => {
                let mut name = OsString::from(format!("backup-{run}.{}.", cx.step));
                name.push(source.file_name().unwrap_or_default());
                // A name of the kernel has 255 bytes at most.
                match name.len() < NAME {
                    true => cx.undo_path().join(name),
                    false => cx
                        .undo_path()
                        .join(format!("backup-{}", disk::tag(cx, source))),
                }
            }
        };
        match copy.symlink_metadata() {
            Err(_) => Ok(copy),
            Ok(meta) => Err(Error::new(format!(
                "{} already exists, and a backup does not overwrite: {}",
                copy.display(),
                disk::described(&meta)
            ))
            .lasting()),
        }
    }

    /// What the copy is, as far as the plan asks for it.
    fn copied(&self, before: &Before) -> Result<Copy, Error> {
        let digest = match self.sha256 {
            true => disk::digest_of(Path::new(&before.copy))?.map(|(digest, _)| digest),
            false => None,
        };
        Ok(Copy {
            path: before.copy.clone(),
            bytes: before.file.content.len,
            sha256: digest,
        })
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
        Ok(Before {
            source: disk::text(&source)?,
            file,
            copy: disk::text(&copy)?,
            there: None,
        })
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        let copy = &past.before.copy;
        let name = |path: &str| Path::new(path).file_name().map(ToOwned::to_owned);
        let taken = self.to.iter().filter(|to| name(to) != name(copy));
        Preview {
            findings: taken.map(|to| text::copy_is_taken(to, copy)).collect(),
            commands: match self.to {
                Some(_) => vec![phrases::copy(&self.path, copy)],
                None => self.outline(direction),
            },
            ..Preview::default()
        }
    }

    fn probe(&self, cx: &Context, past: &Past<Self>) -> Result<(Look, Option<Copy>), Error> {
        let before = &past.before;
        let copy = &before.copy;
        let look = match disk::compare(cx, Path::new(copy), &before.file.content)? {
            None => Look::nothing(format!("{copy} does not exist")),
            Some((_, meta)) if before.there == Some(disk::identity(&meta)) => {
                Look::nothing(format!("{copy} is older than this step"))
            }
            Some((true, meta)) => {
                let what = disk::described(&meta);
                let done = Look::done(format!(
                    "{copy} is identical to {} as it was: {what}",
                    before.source
                ));
                return Ok((done, Some(self.copied(before)?)));
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
        let (line, copy) = self.make(work.cx(), &past.before)?;
        work.log_line(&line);
        Ok(copy)
    }
}

impl Backup {
    /// Makes the copy; what was done, in one line.
    pub(in crate::actions) fn make(
        &self,
        cx: &Context,
        before: &Before,
    ) -> Result<(String, Copy), Error> {
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
        let line = format!(
            "{} -> {}: {} bytes",
            before.source, before.copy, content.len
        );
        Ok((line, self.copied(before)?))
    }
}
