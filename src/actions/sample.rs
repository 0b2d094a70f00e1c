//! `test.sample`: a kind that uses every part of the contract, for the tests of it. No build that ships has it
//! (`docs/decisions/0025-*`).
//!
//! It puts a file into a directory. The former content is kept, each change is noted before it is made, and the undo
//! does nothing that no note tells of.

use crate::action::values::absolute;
use crate::action::{
    Action, Context, Direction, Error, Kept, Look, Past, Preview, Properties, Work,
};
use crate::failpoint;
use crate::system::durable::{self, Temporary};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

#[cfg(not(debug_assertions))]
compile_error!("the kind `test.sample` is for tests; leave the feature `test-kind` out");

/// A directory holds a file `text`, for tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The directory, as an absolute path; made where it is not there.
    pub dir: String,
    /// What the file holds.
    pub text: String,
    /// How many times. Default: 1.
    #[serde(default = "once")]
    pub times: u32,
    /// Milliseconds between the note and the change, so that it can be killed there.
    #[serde(default, skip_serializing_if = "is_none")]
    pub pause_ms: u64,
}

/// No pause: the plans of before are written as before.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_none(pause_ms: &u64) -> bool {
    *pause_ms == 0
}

fn once() -> u32 {
    1
}

/// What was there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// The directory was there.
    directory: bool,
    /// What the file held, where it was there.
    former: Option<Kept>,
}

/// What it is about to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Note {
    /// The file is written.
    Writes {
        /// Bytes.
        len: u64,
    },
    /// What was there comes back.
    Restores,
}

/// One fact of each kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The directory.
    #[schemars(extend("format" = "path"))]
    dir: String,
    /// The file in it.
    #[schemars(extend("format" = "path"))]
    file: String,
    /// What it holds.
    text: String,
    /// Its length in bytes.
    bytes: u64,
    /// The digest of its content.
    #[schemars(extend("format" = "sha256"))]
    sha256: String,
    /// Forty digits of the digest, as a commit has them.
    #[schemars(extend("format" = "commit"))]
    commit: String,
    /// The directory was not there before.
    made: bool,
}

impl Sample {
    fn file(&self) -> PathBuf {
        Path::new(&self.dir).join("text")
    }

    fn wanted(&self) -> String {
        let times = usize::try_from(self.times).unwrap_or(usize::MAX);
        self.text.repeat(times)
    }

    fn found(&self) -> Result<Option<Vec<u8>>, Error> {
        let path = self.file();
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io(format!("cannot read {}", path.display()), &e)),
        }
    }

    fn put(&self, bytes: &[u8]) -> Result<(), Error> {
        let path = self.file();
        let cannot =
            |e: &dyn std::error::Error| Error::io(format!("cannot write {}", path.display()), e);
        std::fs::create_dir_all(&self.dir).map_err(|e| cannot(&e))?;
        durable::replace(&path, Temporary::Random, 0o666, |file| {
            file.write_all(bytes).map_err(|e| cannot(&e))
        })
    }

    fn output(&self, before: &Before) -> Output {
        let text = self.wanted();
        let digest = Sha256::digest(text.as_bytes());
        let sha256 = digest
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect::<String>();
        Output {
            dir: self.dir.clone(),
            file: self.file().display().to_string(),
            bytes: text.len() as u64,
            commit: sha256.chars().take(40).collect(),
            sha256,
            made: !before.directory,
            text,
        }
    }

    fn is_unchanged(&self, cx: &Context, before: &Before) -> Result<bool, Error> {
        let former = before.former.as_ref().map(|f| cx.kept(f)).transpose()?;
        Ok(self.found()? == former && (before.directory || !Path::new(&self.dir).exists()))
    }
}

impl Action for Sample {
    type Before = Before;
    type Note = Note;
    type Output = Output;

    fn properties(&self) -> Properties {
        Properties::reversible()
    }

    fn problems(&self) -> Vec<String> {
        absolute("dir", &self.dir).into_iter().collect()
    }

    fn outline(&self, direction: Direction) -> Vec<String> {
        let file = self.file();
        vec![match direction {
            Direction::Do => format!("write {}", file.display()),
            Direction::Undo => format!("put back {}", file.display()),
        }]
    }

    fn observe(&self, cx: &Context) -> Result<Before, Error> {
        Ok(Before {
            directory: Path::new(&self.dir).exists(),
            former: self.found()?.map(|bytes| cx.keep(&bytes)).transpose()?,
        })
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        let before = &past.before;
        let file = self.file().display().to_string();
        let commands = match (direction, before.directory) {
            (Direction::Undo, false) => vec![format!("remove {}", self.dir)],
            (Direction::Undo, true) if before.former.is_none() => vec![format!("remove {file}")],
            (Direction::Do | Direction::Undo, _) => self.outline(direction),
        };
        Preview {
            commands,
            findings: Vec::new(),
            kept: before
                .former
                .iter()
                .map(|k| (k.clone(), file.clone()))
                .collect(),
        }
    }

    fn probe(&self, cx: &Context, past: &Past<Self>) -> Result<(Look, Option<Output>), Error> {
        let file = self.file();
        if self.found()?.is_some_and(|f| f == self.wanted().as_bytes()) {
            let look = Look::done(format!("{} holds the text", file.display()));
            return Ok((look, Some(self.output(&past.before))));
        }
        let look = if self.is_unchanged(cx, &past.before)? {
            Look::nothing(format!("{} is as before", file.display()))
        } else {
            Look::unclear(format!("{} holds something else", file.display()))
        };
        Ok((look, None))
    }

    fn perform(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<Output, Error> {
        let wanted = self.wanted();
        let len = wanted.len() as u64;
        work.note(Note::Writes { len })?;
        failpoint::hit("sample-noted");
        std::thread::sleep(std::time::Duration::from_millis(self.pause_ms));
        self.put(wanted.as_bytes())?;
        failpoint::hit("sample-written");
        work.progress(len, Some(len), "bytes");
        work.log_line(&format!("{len} bytes are written"));
        Ok(self.output(&past.before))
    }

    fn undo(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<(), Error> {
        if !past.noted().any(|note| matches!(note, Note::Writes { .. })) {
            work.log_line("nothing was written");
            return Ok(());
        }
        work.note(Note::Restores)?;
        failpoint::hit("sample-undo-noted");
        let (file, dir) = (self.file(), Path::new(&self.dir));
        match &past.before.former {
            Some(former) => self.put(&work.cx().kept(former)?)?,
            None => removed(&file, std::fs::remove_file(&file))?,
        }
        if !past.before.directory {
            removed(dir, std::fs::remove_dir(dir))?;
        }
        failpoint::hit("sample-undone");
        Ok(())
    }

    fn undone(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        let file = self.file();
        Ok(if self.is_unchanged(cx, &past.before)? {
            Look::done(format!("{} is as before", file.display()))
        } else {
            Look::nothing(format!("{} is not as before", file.display()))
        })
    }
}

/// What is gone already was removed by an earlier attempt.
fn removed(path: &Path, result: std::io::Result<()>) -> Result<(), Error> {
    match result {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            Err(Error::io(format!("cannot remove {}", path.display()), &e))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
