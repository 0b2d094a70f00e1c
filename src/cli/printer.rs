//! Output while a run executes: events that have become durable, and the output of its steps.

use super::line_buffer::LineBuffer;
use super::live::Live;
use super::out::Out;
use crate::clock::{self, boottime_us};
use crate::journal::Entry;
use crate::report::{clip, duration, lines, safe};
use crate::runner::Progress;
use crate::runner::{INTERRUPTED, Watcher};
use crate::text::screen as text;
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use upledger_replay::decide::{Next, next};
use upledger_replay::event::{Attempt, Direction, Event};
use upledger_replay::state::Run;

/// What a line of a step's output begins with, where it stays on the screen.
pub(crate) const OUTPUT: &str = "          | ";

/// How long steps took before, in ms, by their ids.
pub(super) type Expected = BTreeMap<String, u64>;

/// Prints what has become durable.
pub(super) struct Printer<'a> {
    out: &'a mut Out,
    live: Option<Live>,
    expected: Expected,
    /// The attempt that prints, and the line that it has begun.
    open: Option<(Attempt, LineBuffer)>,
    /// The attempt that the screen shows as running.
    running: Option<Attempt>,
    /// The last lines of its output, where they stay on the screen.
    printed: VecDeque<String>,
    /// Another process executes the run.
    watches: bool,
}

/// Lines of output in which evidence is looked for that needs not be said again.
const PRINTED: usize = 4;

/// Least columns of the command of a process that is waited for.
const NAME: usize = 60;

impl<'a> Printer<'a> {
    pub(super) fn new(out: &'a mut Out, expected: Expected) -> Self {
        Self {
            live: out.live(),
            out,
            expected,
            open: None,
            running: None,
            printed: VecDeque::new(),
            watches: false,
        }
    }

    /// For a person who watches what another one does.
    pub(super) fn watching(out: &'a mut Out, expected: Expected) -> Self {
        Self {
            watches: true,
            ..Self::new(out, expected)
        }
    }

    /// Shows a line that was begun and will not be ended, and takes what moves off the screen.
    pub(super) fn flush(&mut self) {
        if let Some((at, mut lines)) = self.open.take()
            && let Some(text) = lines.rest()
        {
            self.print_output(&at, &text);
        }
        self.running = None;
        if let Some(live) = &mut self.live {
            live.rest();
        }
    }

    fn print_output(&mut self, at: &Attempt, text: &str) {
        if self.out.json {
            self.out
                .event(&json!({"output": text, "step": at.part.step, "attempt": at.attempt}));
            return;
        }
        if let Some(live) = &mut self.live {
            live.output(text);
            return;
        }
        for line in text.lines() {
            self.out.progress(&format!("{OUTPUT}{}", safe(line)));
            self.printed.push_back(line.to_owned());
            if self.printed.len() > PRINTED {
                self.printed.pop_front();
            }
        }
    }

    /// A line that is no event.
    pub(super) fn print_line(&mut self, text: &str) {
        match &self.live {
            Some(live) => live.line(text),
            None => self.out.progress(text),
        }
    }

    /// The messages for the first and the second Ctrl-C.
    fn interrupted(&mut self, entry: &Entry) {
        if matches!(&entry.event, Event::PauseRequested(r) if r.reason == INTERRUPTED)
            && !self.out.json
        {
            self.print_line(&match self.watches {
                true => text::will_stop_after_this(&entry.actor),
                false => text::stops_after_this(),
            });
        }
    }

    fn event(&mut self, run: &Run, entry: &Entry) {
        if self.out.json {
            return self.out.event(&lines::value(entry));
        }
        // What an action notes on the way is for its undo and for `log`.
        if matches!(entry.event, Event::StepNoted(_)) {
            return;
        }
        let line = match self.is_said(run, entry) {
            true => lines::brief(entry, Some(run)),
            false => lines::line(entry, Some(run)),
        };
        line.iter().for_each(|line| self.print_line(line));
    }

    /// What the outcome rests on was printed by the step just now, or stands in the question that follows. Lines that are no
    /// screen are searched for failures, each of which says its reason.
    fn is_said(&self, run: &Run, entry: &Entry) -> bool {
        if self.live.is_none() && !matches!(entry.event, Event::StepSucceeded(_)) {
            return false;
        }
        let Some(basis) = lines::basis(&entry.event) else {
            return false;
        };
        let asked = match next(run, &clock::now()) {
            Next::Ask(question) => {
                run.part(&question.part).is_some_and(|p| p.detail == basis)
                    && !matches!(entry.event, Event::StepSucceeded(_))
            }
            _ => false,
        };
        asked || (!basis.is_empty() && self.printed.iter().any(|line| line.ends_with(&basis)))
    }

    /// Shows an attempt as the one that runs.
    fn begin(&mut self, run: &Run, at: &Attempt) {
        if self.running.as_ref() == Some(at) {
            return;
        }
        self.running = Some(at.clone());
        let Some(live) = &mut self.live else { return };
        let place = run.place(&at.part);
        let phase = run
            .unit(&at.part)
            .and_then(|u| run.step(u))
            .map_or(String::new(), |(phase, _)| format!("{} / ", safe(phase)));
        let mut name = format!(
            "{}/{}  {phase}{}",
            place.map_or(0, |n| n + 1),
            run.units().len(),
            lines::part_of(Some(run), &at.part)
        );
        if at.attempt > 1 {
            name = format!("{name}  {}", text::attempt(at.attempt));
        }
        let since = run.part(&at.part).map_or(0, |p| p.started_at.mono);
        let elapsed = Duration::from_micros(boottime_us().saturating_sub(since));
        let expected = self
            .expected
            .get(&at.part.step)
            .filter(|_| at.part.way == Direction::Do);
        let expected = expected.map_or(String::new(), |ms| {
            format!("  {}", text::of_about(duration(*ms)))
        });
        live.begin(&name, elapsed, &expected);
    }
}

impl Watcher for Printer<'_> {
    fn entries(&mut self, run: &Run, entries: &[Entry]) {
        for entry in entries {
            let ends = ends_an_attempt(&entry.event);
            if ends {
                self.flush();
            }
            self.event(run, entry);
            if ends {
                self.printed.clear();
            }
            self.interrupted(entry);
        }
        if let Some(attempt) = run.open_attempt() {
            self.begin(run, &attempt);
        }
    }

    fn waits(&mut self, run: &Run, at: &Attempt, living: &[String]) {
        self.begin(run, at);
        if self.out.json {
            return;
        }
        let shown = |line: &String| match Out::columns() {
            Some(columns) => clip(&safe(line), columns.max(NAME)),
            None => safe(line),
        };
        let names: Vec<String> = living.iter().map(shown).collect();
        let (part, names) = (
            lines::part_of(Some(run), &at.part),
            crate::text::list(&names),
        );
        self.print_line(&text::waits_for_processes(part, names));
    }

    fn progress(&mut self, run: &Run, at: &Attempt, progress: &Progress) {
        self.begin(run, at);
        let Progress { done, total, unit } = progress;
        let text = match total {
            Some(total) => format!("{done}/{total} {unit}"),
            None => format!("{done} {unit}"),
        };
        if let Some(live) = &mut self.live {
            live.progress(&text);
        }
    }

    fn output(&mut self, run: &Run, at: &Attempt, bytes: &[u8]) {
        if self.open.as_ref().is_some_and(|(open, _)| open != at) {
            self.flush();
        }
        self.begin(run, at);
        let (_, lines) = self
            .open
            .get_or_insert_with(|| (at.clone(), LineBuffer::default()));
        if let Some(text) = lines.add(bytes) {
            self.print_output(at, &text);
        }
    }
}

/// One event.
pub(super) fn print(out: &mut Out, entry: &Entry, run: Option<&Run>) {
    if out.json {
        out.event(&lines::value(entry));
    } else if let Some(line) = lines::line(entry, run) {
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
