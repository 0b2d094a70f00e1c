//! What a driven run prints while it runs: events that have become durable, and what its steps say.

use super::carry::Carry;
use super::out::Out;
use crate::journal::Entry;
use crate::report::{lines, safe};
use crate::runner::Watcher;
use serde_json::json;
use upledger_replay::event::{Attempt, Event};
use upledger_replay::state::Run;

/// Prints what has become durable.
pub(super) struct Printer<'a> {
    out: &'a mut Out,
    /// The attempt that prints, and the line that it has begun.
    open: Option<(Attempt, Carry)>,
}

impl<'a> Printer<'a> {
    pub(super) fn new(out: &'a mut Out) -> Self {
        Self { out, open: None }
    }

    /// Events, as they come.
    pub(super) fn print(&mut self, entries: &[Entry]) {
        for entry in entries {
            if ends_an_attempt(&entry.event) {
                self.flush();
            }
            print(self.out, entry);
        }
    }

    /// Shows a line that was begun and will not be ended.
    pub(super) fn flush(&mut self) {
        if let Some((at, mut carry)) = self.open.take()
            && let Some(text) = carry.rest()
        {
            self.say(&at, &text);
        }
    }

    fn say(&mut self, at: &Attempt, text: &str) {
        if self.out.json {
            self.out
                .event(&json!({"output": text, "step": at.part.step, "attempt": at.attempt}));
            return;
        }
        for line in text.lines() {
            self.out.progress(&format!("          | {}", safe(line)));
        }
    }
}

impl Watcher for Printer<'_> {
    fn entries(&mut self, _run: &Run, entries: &[Entry]) {
        self.print(entries);
    }

    fn output(&mut self, _run: &Run, at: &Attempt, bytes: &[u8]) {
        if self.open.as_ref().is_some_and(|(open, _)| open != at) {
            self.flush();
        }
        let (_, carry) = self
            .open
            .get_or_insert_with(|| (at.clone(), Carry::default()));
        if let Some(text) = carry.add(bytes) {
            self.say(at, &text);
        }
    }
}

/// One event.
pub(super) fn print(out: &mut Out, entry: &Entry) {
    if out.json {
        out.event(&lines::value(entry));
    } else if let Some(line) = lines::line(entry) {
        out.progress(&line);
    }
}

fn ends_an_attempt(event: &Event) -> bool {
    matches!(
        event,
        Event::StepSucceeded(_)
            | Event::StepFailed(_)
            | Event::StepDoubted(_)
            | Event::StepFenced(_)
            | Event::StepStarted(_)
    )
}
