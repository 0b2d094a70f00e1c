//! One step of a kind in unit tests, driven as the runner drives it: what it keeps, notes and produces passes through a
//! spool and JSON, and what it left in `undo/` without naming it in the record is gone before its undo.

use super::{Action, Context, Direction, Erased, Error, Kept, Look, Noted, Past, RawPast};
use crate::attempt::job::JobDir;
use crate::attempt::spool::Entry;
use serde_json::Value;
use std::io::Write;
use std::sync::Arc;

/// A step, from its first look on.
pub(crate) struct TestStep<A: Action> {
    pub(crate) action: A,
    /// Where it is; its blobs are those that its past names.
    pub(crate) cx: Context,
    /// What the record holds of it.
    pub(crate) past: RawPast,
    attempts: u32,
    jobs: tempfile::TempDir,
}

impl<A: Action> TestStep<A> {
    /// After the look before.
    pub(crate) fn observed(action: A, cx: &Context) -> Result<Self, Error> {
        let cx = Context {
            seen: Arc::default(),
            ..cx.clone()
        };
        let before = Erased::observe(&action, &cx)?.before;
        let blobs = cx.take_kept();
        Ok(Self {
            action,
            cx: Context {
                blobs,
                seen: Arc::default(),
                ..cx
            },
            past: RawPast {
                before,
                ..RawPast::default()
            },
            attempts: 0,
            jobs: tempfile::tempdir().unwrap(),
        })
    }

    /// An attempt. Returns what it said.
    pub(crate) fn perform(&mut self) -> Result<String, String> {
        self.output_of(Direction::Do)
    }

    /// An attempt of the undo. Returns what it said.
    pub(crate) fn undo(&mut self) -> Result<String, String> {
        self.output_of(Direction::Undo)
    }

    fn output_of(&mut self, direction: Direction) -> Result<String, String> {
        let mut log = Vec::new();
        self.attempt(direction, &mut log)
            .map(|()| String::from_utf8(log).unwrap())
            .map_err(|e| e.to_string())
    }

    /// An attempt in either direction, with its output.
    pub(crate) fn attempt(
        &mut self,
        direction: Direction,
        log: &mut dyn Write,
    ) -> Result<(), Error> {
        self.attempts += 1;
        let dir = self.jobs.path().join(self.attempts.to_string());
        std::fs::create_dir(&dir).unwrap();
        let job = JobDir::at(dir);
        let cx = Context {
            spool: Some(job.spool()),
            seen: Arc::default(),
            ..self.cx.clone()
        };
        let done = match direction {
            Direction::Do => Erased::perform(&self.action, &cx, &self.past, log),
            Direction::Undo => {
                self.forget_unnamed();
                Erased::undo(&self.action, &cx, &self.past, log)
            }
        };
        for entry in job.spooled().unwrap() {
            match entry {
                Entry::Noted { note, blobs } => {
                    self.cx.blobs.extend(blobs);
                    self.past.notes.push(Noted {
                        direction,
                        attempt: self.attempts,
                        note,
                    });
                }
                Entry::Produced { output, blobs } if direction == Direction::Do => {
                    self.cx.blobs.extend(blobs);
                    self.past.output = Some(output);
                }
                Entry::Produced { .. } | Entry::Escalated { .. } | Entry::Progress { .. } => {}
            }
        }
        done
    }

    /// An attempt that died right after this note, before what it tells of.
    pub(crate) fn died_after(&mut self, direction: Direction, note: &A::Note) {
        self.attempts += 1;
        self.past.notes.push(Noted {
            direction,
            attempt: self.attempts,
            note: serde_json::to_value(note).unwrap(),
        });
    }

    /// The undo finds in `undo/` only what the record names.
    fn forget_unnamed(&self) {
        let mut named = Vec::new();
        let notes = self.past.notes.iter().map(|n| &n.note);
        for value in notes.chain([&self.past.before]).chain(&self.past.output) {
            Kept::named_in(value, &mut named);
        }
        let listed = std::fs::read_dir(self.cx.state.join("undo"));
        for entry in listed.into_iter().flatten().flatten() {
            if named.iter().all(|kept| *kept.blob != *entry.file_name()) {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
    }

    /// As the kind reads it.
    pub(crate) fn past(&self) -> Past<A> {
        self.past.read().unwrap()
    }

    /// Whether it is done.
    #[track_caller]
    pub(crate) fn probe(&self) -> Look {
        self.probed().0
    }

    /// Whether it is done, and what it has produced.
    #[track_caller]
    pub(crate) fn probed(&self) -> (Look, Option<Value>) {
        Erased::probe(&self.action, &self.cx, &self.past).unwrap()
    }

    /// The evidence after it ran.
    #[track_caller]
    pub(crate) fn verify(&self) -> Look {
        Erased::verify(&self.action, &self.cx, &self.past).unwrap()
    }

    /// Whether it is undone.
    #[track_caller]
    pub(crate) fn undone(&self) -> Look {
        Erased::undone(&self.action, &self.cx, &self.past).unwrap()
    }

    /// What it would do.
    pub(crate) fn commands(&self, direction: Direction) -> Vec<String> {
        let preview = Erased::preview(&self.action, direction, &self.past);
        preview.unwrap().commands
    }
}
