//! The live part of the screen: the running step, its duration, and its last lines. Everything above it is plain lines, the
//! same as in a pipe.
//!
//! It is drawn through the stream of standard output, so a blocked terminal (Ctrl-S, a dead connection) does not
//! stop a run. Only ASCII is drawn, because terminals differ in the width of other characters.

use super::output_stream::{Stream, StreamHandle};
use crate::attempt::fold::Fold;
use crate::encoding::last_written;
use crate::report::{clip, fit, paint, safe};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use std::fmt::Write;
use std::io;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// Lines of output that are shown.
const TAIL: usize = 3;
/// Between two drawings.
const TICK: Duration = Duration::from_millis(200);
/// Columns of what stands before the time; half of a wide terminal.
const NAME: usize = 56;
/// Columns of the spinner, the time and what lies between them.
const TIME: usize = 13;
/// So many columns of the name go before how long the step took the last time.
const LEAST: usize = 16;

/// The live part.
pub(super) struct Live {
    all: MultiProgress,
    /// The running step's line, and those of its output.
    shown: Option<(ProgressBar, Vec<ProgressBar>)>,
    /// The last lines of its output, those alike folded.
    last: Fold,
    colours: bool,
}

impl Live {
    /// For a terminal that can move its cursor; none elsewhere.
    pub(super) fn new(handle: StreamHandle, colours: bool) -> Option<Self> {
        let dumb = std::env::var_os("TERM").is_none_or(|t| t.is_empty() || t == "dumb");
        if dumb || !rustix::termios::isatty(rustix::stdio::stdout()) {
            return None;
        }
        let screen = Screen {
            handle,
            drawn: Mutex::new(String::new()),
        };
        Some(Self {
            all: MultiProgress::with_draw_target(ProgressDrawTarget::term_like(Box::new(screen))),
            shown: None,
            last: Fold::default(),
            colours,
        })
    }

    /// A line that stays, above what moves, broken as it is without anything that moves.
    pub(super) fn line(&self, text: &str) {
        let plain = paint::plain(text);
        for line in fit(if self.colours { text } else { &plain }, width()) {
            // The stream reports no errors: who does not read misses nothing.
            let _ = self.all.println(line);
        }
    }

    /// A step runs, since `elapsed`; `name` says which, `expected` how long it took before.
    pub(super) fn begin(&mut self, name: &str, elapsed: Duration, expected: &str) {
        self.rest();
        let style = |template: &str| {
            ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_spinner())
                .tick_chars("|/-\\ ")
        };
        let step = self.all.add(ProgressBar::new_spinner());
        step.set_style(style("{spinner} {prefix}  {elapsed_precise}{msg}"));
        // Leave room for the spinner and the time.
        let room = width().saturating_sub(TIME + crate::report::columns(expected));
        let (name, expected) = if room < LEAST {
            (clip(name, width().saturating_sub(TIME)), "")
        } else {
            (clip(name, NAME.max(width() / 2).min(room)), expected)
        };
        step.set_prefix(name);
        step.set_message(expected.to_owned());
        let step = step.with_elapsed(elapsed);
        step.tick();
        let turning = step.clone();
        // Without a thread it stands still; the library's own ticker would panic.
        let _ = std::thread::Builder::new()
            .name("tick".into())
            .spawn(move || {
                while !turning.is_finished() {
                    turning.tick();
                    std::thread::sleep(TICK);
                }
            });
        let tail = (0..TAIL)
            .map(|_| {
                let line = self.all.add(ProgressBar::new_spinner());
                line.set_style(style("  {wide_msg}"));
                line
            })
            .collect();
        self.shown = Some((step, tail));
    }

    /// What it prints.
    pub(super) fn output(&mut self, text: &str) {
        for line in text.lines() {
            self.last
                .add(&String::from_utf8_lossy(last_written(line.as_bytes())));
        }
        if let Some((_, tail)) = &self.shown {
            let lines = self.last.last(TAIL);
            let lines = lines.iter().map(|l| format!("| {}", safe(l)));
            for (line, text) in tail
                .iter()
                .zip(lines.chain(std::iter::repeat(String::new())))
            {
                line.set_message(text);
            }
        }
    }

    /// How far it is.
    pub(super) fn progress(&mut self, text: &str) {
        if let Some((step, _)) = &self.shown {
            step.set_message(format!("  {}", safe(text)));
        }
    }

    /// Nothing runs now.
    pub(super) fn rest(&mut self) {
        if let Some((step, tail)) = self.shown.take() {
            for line in tail.iter().chain([&step]) {
                line.finish_and_clear();
                self.all.remove(line);
            }
        }
        self.last = Fold::default();
        // As above.
        let _ = self.all.clear();
    }
}

/// Columns of the terminal.
fn width() -> usize {
    Stream::Out.columns().unwrap_or(80).max(20)
}

/// A terminal behind the stream. One drawing is one write.
#[derive(Debug)]
struct Screen {
    handle: StreamHandle,
    drawn: Mutex<String>,
}

impl Screen {
    fn drawn(&self) -> MutexGuard<'_, String> {
        self.drawn
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn code(&self, count: usize, letter: char) -> io::Result<()> {
        if count > 0 {
            // Writing to a string cannot fail.
            let _ = write!(self.drawn(), "\x1b[{count}{letter}");
        }
        Ok(())
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        u16::try_from(width()).unwrap_or(u16::MAX)
    }

    fn height(&self) -> u16 {
        let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout());
        size.map_or(24, |s| s.ws_row).max(6)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.code(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.code(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.code(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.code(n, 'D')
    }

    fn write_line(&self, s: &str) -> io::Result<()> {
        let mut drawn = self.drawn();
        drawn.push_str(s);
        drawn.push_str("\r\n");
        Ok(())
    }

    fn write_str(&self, s: &str) -> io::Result<()> {
        self.drawn().push_str(s);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.drawn().push_str("\r\x1b[2K");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let drawn = std::mem::take(&mut *self.drawn());
        self.handle.write(drawn.into_bytes());
        Ok(())
    }
}
