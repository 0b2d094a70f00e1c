//! The one way out to the terminal. A closed pipe is quiet: the work goes on, the words are dropped.

use serde_json::Value;
use std::io::Write;

/// Standard output and standard error.
#[derive(Debug)]
pub(crate) struct Out {
    /// JSON for programs.
    pub(crate) json: bool,
    /// Results and errors only.
    pub(crate) quiet: bool,
}

impl Out {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet }
    }

    /// A line of the result.
    pub(crate) fn line(&mut self, text: &str) {
        put(anstream::stdout(), text);
    }

    /// Lines of the result.
    pub(crate) fn lines(&mut self, lines: &[String]) {
        for line in lines {
            self.line(line);
        }
    }

    /// Progress, dropped by `--quiet` and `--json`.
    pub(crate) fn progress(&mut self, text: &str) {
        if !self.quiet && !self.json {
            self.line(text);
        }
    }

    /// The result for programs, one object a line.
    pub(crate) fn value(&mut self, value: &Value) {
        put(anstream::stdout(), &value.to_string());
    }

    /// An error or a hint.
    pub(crate) fn error(&mut self, text: &str) {
        put(anstream::stderr(), text);
    }

    /// Raw bytes of the result, such as a step's output.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        // A closed pipe is quiet.
        let _ = std::io::stdout().lock().write_all(bytes);
    }
}

fn put(mut to: impl Write, text: &str) {
    // A closed pipe is quiet.
    let _ = writeln!(to, "{text}").and_then(|()| to.flush());
}
