//! All output of the program: results, progress and errors, for people or for programs.

use super::code;
use super::live::Live;
use super::output_stream::{OutputStream, Stream};
use crate::report::{fit, paint, safe};
use crate::text::{commands, forecast, list, screen};
use rustix::io::Errno;
use serde_json::{Value, json};
use std::io::Write;

/// Columns of an error at a terminal that does not say how wide it is.
const WIDTH: usize = 80;

/// When lines have colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal that knows them, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// In files and pipes, too.
    Always,
    /// Nowhere.
    Never,
}

impl From<Colour> for clap::ColorChoice {
    fn from(colour: Colour) -> Self {
        match colour {
            Colour::Auto => Self::Auto,
            Colour::Always => Self::Always,
            Colour::Never => Self::Never,
        }
    }
}

impl Colour {
    /// Whether what goes there has colours.
    fn on(self, stream: Stream) -> bool {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                let dumb = set("TERM").is_none_or(|term| term == "dumb");
                !dumb && set("NO_COLOR").is_none() && stream.is_terminal()
            }
        }
    }
}

/// Standard output and standard error.
#[derive(Debug)]
pub(crate) struct Out {
    /// JSON for programs.
    pub(crate) json: bool,
    /// Results and errors only.
    pub(crate) quiet: bool,
    /// The command has an effect that its exit code reports; for any other command, its output is the result.
    pub(crate) acts: bool,
    /// When lines for people have colours.
    pub(crate) colour: Colour,
    stdout: OutputStream,
    stderr: OutputStream,
    /// The final object has been printed.
    ended: bool,
    /// It was said that standard output cannot be written.
    told: bool,
}

impl Out {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        Self {
            json,
            quiet,
            acts: false,
            colour: Colour::default(),
            stdout: OutputStream::new(Stream::Out),
            stderr: OutputStream::new(Stream::Err),
            ended: false,
            told: false,
        }
    }

    /// From now on no write waits for the reader.
    pub(crate) fn background(&mut self) {
        self.stdout.background();
        self.stderr.background();
    }

    /// The moving part of the screen, where there can be one.
    pub(super) fn live(&self) -> Option<Live> {
        if self.json || self.quiet {
            return None;
        }
        let colours = self.colours(Stream::Out);
        let handle = self.stdout.handle();
        handle.and_then(|handle| Live::new(handle, colours))
    }

    /// Whether lines for people have colours there.
    pub(super) fn colours(&self, stream: Stream) -> bool {
        !self.json && self.colour.on(stream)
    }

    /// Columns of the terminal that shows the result; none where that is a file or a pipe.
    pub(crate) fn columns() -> Option<usize> {
        Stream::Out.columns()
    }

    /// A line of the result.
    pub(crate) fn line(&mut self, text: &str) {
        self.fitted(text, true);
    }

    /// Lines of the result, in one write: a run may have ten thousand steps.
    pub(crate) fn lines(&mut self, lines: &[String]) {
        if !lines.is_empty() {
            self.fitted(&lines.join("\n"), true);
        }
    }

    /// A line of the result that programs read in its object.
    pub(crate) fn word(&mut self, text: &str) {
        if !self.json {
            self.line(text);
        }
    }

    /// Progress, dropped by `--quiet` and `--json`, and while nobody reads.
    pub(crate) fn progress(&mut self, text: &str) {
        if !self.quiet && !self.json {
            self.fitted(text, false);
        }
    }

    /// The steps that a look before the run still waits for, said on a terminal alone: nothing of it is a result.
    pub(crate) fn still_checks(&mut self, steps: &[String]) {
        if Stream::Out.columns().is_some() {
            self.progress(&forecast::still_checking(safe(&list(steps))));
        }
    }

    /// A line for people, broken where their terminal is narrower.
    fn fitted(&mut self, text: &str, must: bool) {
        let plain = paint::plain(text);
        let text = match self.colours(Stream::Out) {
            true => text,
            false => &*plain,
        };
        match Stream::Out.columns() {
            Some(columns) if !self.json => self.put(&broken(text, columns), must),
            _ => self.put(text, must),
        }
    }

    /// Progress for programs, one object a line; dropped while nobody reads.
    pub(crate) fn event(&mut self, value: &Value) {
        self.put(&value.to_string(), false);
    }

    /// An object of the result.
    pub(crate) fn value(&mut self, value: &Value) {
        self.put(&value.to_string(), true);
    }

    /// The last object: the result, with the exit code.
    pub(crate) fn result(&mut self, value: Value, code: u8) {
        self.ended = true;
        self.value(&ended(value, code));
    }

    /// The last object on standard error, where standard output is a document of its own.
    pub(crate) fn result_beside(&mut self, value: Value, code: u8) {
        if self.json && !self.ended {
            self.ended = true;
            self.error(&ended(value, code).to_string());
        }
    }

    /// An error or a hint: broken at a terminal; in a file or a pipe a line stays one line, so that it is found by its words.
    pub(crate) fn error(&mut self, text: &str) {
        let plain = paint::plain(text);
        let text = match self.colours(Stream::Err) {
            true => text,
            false => &*plain,
        };
        if self.json || !Stream::Err.is_terminal() {
            self.said(text);
        } else {
            self.said(&broken(text, Stream::Err.columns().unwrap_or(WIDTH)));
        }
    }

    /// Source text with marks below it, which is not broken.
    pub(crate) fn source(&mut self, text: &str) {
        self.said(text);
    }

    /// Columns for source text on standard error.
    pub(crate) fn error_columns(&self) -> Option<usize> {
        Stream::Err.columns()
    }

    fn said(&mut self, text: &str) {
        // Both streams may be the same terminal.
        self.stdout.flush();
        self.stderr.put(line(text), true, |_| Vec::new());
    }

    /// Raw bytes of the result, such as a step's output.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.stdout.put(bytes.to_vec(), true, |_| Vec::new());
    }

    /// Writes a document that makes itself to standard output, and says whether it is there. A closed pipe is quiet, and
    /// any other failure is kept.
    pub(crate) fn document(&mut self, make: impl FnOnce() -> std::io::Result<()>) -> bool {
        self.stdout.flush();
        if let Err(e) = make().and_then(|()| std::io::stdout().flush()) {
            self.stdout
                .fail(Errno::from_io_error(&e).unwrap_or(Errno::IO));
        }
        self.stdout.failed().is_none()
    }

    /// Ends a command: with `--json` there is always a last object with the exit code, and buffered output is flushed. Lost
    /// output does not change the result of a run; a command whose only result is its output has failed.
    pub(crate) fn finish(&mut self, code: u8) -> u8 {
        if self.json && !self.ended {
            self.result(json!({}), code);
        }
        self.stdout.flush();
        if !self.acts {
            self.stdout.settle();
        }
        let code = match self.stdout.failed() {
            Some(why) => {
                let code = if code == code::DONE && !self.acts {
                    code::USAGE
                } else {
                    code
                };
                self.tell(why, code);
                code
            }
            None => code,
        };
        self.stderr.flush();
        code
    }

    /// Says once that standard output cannot be written.
    fn tell(&mut self, why: Errno, code: u8) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let text = commands::no_output(std::io::Error::from(why));
        let said = if self.json {
            let value =
                json!({"error": "standard_output", "message": text, "causes": [], "hints": []});
            ended(value, code).to_string()
        } else if self.acts {
            commands::goes_on_unseen(text)
        } else {
            commands::error(text)
        };
        self.stderr.put(line(&said), true, |_| Vec::new());
    }

    fn put(&mut self, text: &str, must: bool) {
        let json = self.json;
        self.stdout.put(line(text), must, |n| {
            if json {
                line(&json!({"dropped": n}).to_string())
            } else {
                line(&screen::dropped(n))
            }
        });
        // Report it immediately; with --json the exit code is included.
        if let Some(why) = self.stdout.failed().filter(|_| self.acts && !json) {
            self.tell(why, code::DONE);
        }
    }
}

/// Lines, broken at a width.
fn broken(text: &str, columns: usize) -> String {
    let lines = text.split('\n').flat_map(|l| fit(l, columns));
    lines.collect::<Vec<_>>().join("\n")
}

fn ended(mut value: Value, code: u8) -> Value {
    if let Value::Object(map) = &mut value {
        map.insert("exit".into(), code.into());
    }
    value
}

fn line(text: &str) -> Vec<u8> {
    format!("{text}\n").into_bytes()
}
