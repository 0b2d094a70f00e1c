//! `config.backup`: copies of several configuration files in one step, in the state directory.
//!
//! Invariants: as for `file.backup`, which makes each copy; none of them is ever made beside its file, where a pattern of the
//! program that reads the directory would load it.

use crate::action::values::absolute;
use crate::action::{
    Action, Context, Direction, Error, Live, Look, Past, Place, Preview, Properties, Work,
};
use crate::actions::file::backup::{self, Copy};
use crate::host::files::disk;
use crate::text::actions as phrases;
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use upledger_replay::event::Answer;
use upledger_replay::plan::Effect;

/// Names of files that are copies, at their ends.
const COPIES: [&str; 6] = [".bak", "~", ".orig", ".old", ".save", ".backup"];
/// How many of them are named.
const NAMED: usize = 10;

/// Copies configuration files into the state directory, with mode, owner and time; never beside the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// The files, as absolute paths. Of links the targets are copied.
    #[schemars(length(min = 1))]
    pub paths: Vec<String>,
}

/// What was there before the copies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// Each file, in the order of the plan.
    files: Vec<backup::Before>,
    /// Copies that stand beside them already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    beside: Vec<String>,
}

/// The copies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Copies {
    /// The path of the copy, where one file is copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "path"))]
    pub path: Option<String>,
    /// Their number.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Each.
    pub copies: Vec<Copy>,
}

impl Backup {
    /// Each file as a step of its own, with a name that no other has.
    fn parts(&self, cx: &Context) -> Vec<(backup::Backup, Context)> {
        let parts = self.paths.iter().enumerate().map(|(n, path)| {
            let mut part = cx.clone();
            part.step = format!("{}.{}", cx.step, n + 1);
            let backup = backup::Backup {
                path: path.clone(),
                to: None,
                sha256: false,
            };
            (backup, part)
        });
        parts.collect()
    }
}

fn all(copies: Vec<Copy>) -> Copies {
    Copies {
        path: match copies.as_slice() {
            [one] => Some(one.path.clone()),
            _ => None,
        },
        files: copies.len() as u64,
        bytes: copies.iter().map(|c| c.bytes).sum(),
        copies,
    }
}

/// Copies of a file that stand beside it: what reads the directory by a pattern may load them.
fn beside(path: &str) -> Vec<String> {
    let Ok(file) = disk::resolve(path) else {
        return Vec::new();
    };
    let (Some(dir), Some(name)) = (file.parent(), file.file_name().and_then(|n| n.to_str())) else {
        return Vec::new();
    };
    let listed = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let copy = |other: &String| {
        other != name && other.starts_with(name) && COPIES.iter().any(|end| other.ends_with(end))
    };
    let mut found: Vec<String> = listed
        .filter_map(|e| e.file_name().into_string().ok())
        .filter(copy)
        .map(|other| dir.join(other).display().to_string())
        .collect();
    found.sort();
    found
}

impl Action for Backup {
    type Before = Before;
    type Note = ();
    type Output = Copies;

    fn properties(&self) -> Properties {
        Properties {
            effect: Effect::Idempotent,
            has_probe: true,
            needs_undo: false,
            reads: Some(self.paths.iter().map(Place::path).collect()),
            touches: Some(Vec::new()),
            live: Live::Harmless,
            ..Properties::command()
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong: Vec<String> = self
            .paths
            .iter()
            .filter_map(|p| absolute("paths", p))
            .collect();
        if self.paths.is_empty() {
            wrong.push(text::empty("paths"));
        }
        let twice =
            |(n, path): (usize, &String)| self.paths[..n].contains(path).then(|| text::twice(path));
        wrong.extend(self.paths.iter().enumerate().filter_map(twice));
        wrong
    }

    fn outline(&self, _direction: Direction) -> Vec<String> {
        vec![phrases::copies(crate::text::list(&self.paths))]
    }

    fn observe(&self, cx: &Context) -> Result<Before, Error> {
        let files = self.parts(cx);
        let files = files.iter().map(|(backup, cx)| backup.observe(cx));
        let mut beside: Vec<String> = self.paths.iter().flat_map(|p| beside(p)).collect();
        beside.dedup();
        beside.truncate(NAMED);
        Ok(Before {
            files: files.collect::<Result<_, Error>>()?,
            beside,
        })
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        let beside = past.before.beside.join(", ");
        Preview {
            commands: self.outline(direction),
            findings: (!beside.is_empty())
                .then(|| text::copies_beside(beside))
                .into_iter()
                .collect(),
            ..Preview::default()
        }
    }

    fn probe(&self, cx: &Context, past: &Past<Self>) -> Result<(Look, Option<Copies>), Error> {
        let (mut copies, mut evidence) = (Vec::new(), Vec::new());
        for ((backup, cx), before) in self.parts(cx).iter().zip(&past.before.files) {
            let (look, copy) = backup.probe(cx, &Past::new(before.clone()))?;
            if look.answer == Answer::Unclear {
                return Ok((look, None));
            }
            evidence.extend(look.evidence);
            copies.extend(copy);
        }
        let missing = past.before.files.len() - copies.len();
        let answer = match (missing, copies.len()) {
            (0, _) => Answer::Done,
            (_, 0) => Answer::Nothing,
            _ => Answer::Unclear,
        };
        let output = (missing == 0).then(|| all(copies));
        Ok((Look { answer, evidence }, output))
    }

    fn perform(&self, work: &mut Work<'_, ()>, past: &Past<Self>) -> Result<Copies, Error> {
        let mut copies = Vec::new();
        for ((backup, cx), before) in self.parts(work.cx()).iter().zip(&past.before.files) {
            let (line, copy) = backup.make(cx, before)?;
            work.log_line(&line);
            copies.push(copy);
        }
        Ok(all(copies))
    }
}
