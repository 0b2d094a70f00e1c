//! A command whose output is data: it is read here while the command runs, and not shown.
//!
//! Invariants: as of a streamed command (`stream`), nothing of its group outlives the call, and it dies with this process.
//! What it says on standard error is bounded, redacted, and each line of it is cut: a database client repeats the statement
//! that failed, row data included. Whoever reads the output asks how the command ended, too: the end of a pipe is no proof.

use super::{GRACE, Reader, group, how};
use crate::action::{Context, Error};
use crate::host::exec::stream::leashed;
use crate::system::signals::kill_group;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Instant;

/// The longest line of standard error that is shown.
const LINE: usize = 300;
/// How many of its lines are shown.
const LINES: usize = 5;

/// A command that runs.
pub(crate) struct Piped {
    child: Child,
    name: String,
    /// What it is told, where its standard input is a pipe. It ends when this is dropped.
    pub(crate) input: Option<ChildStdin>,
    /// What it prints.
    pub(crate) output: ChildStdout,
    said: Option<Reader>,
    ended: bool,
}

/// How it ended.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    /// Exit code; none when a signal ended it.
    pub(crate) code: Option<i32>,
    /// In words, with what it said last.
    pub(crate) shown: String,
}

/// Starts `argv` with the step's environment and working directory, and this file or pipe as its standard input.
///
/// # Errors
/// [`Error`] when it cannot be started.
pub(crate) fn piped(
    cx: &Context,
    argv: &[String],
    input: impl Into<Stdio>,
) -> Result<Piped, Error> {
    let redactor = cx.redactor()?;
    let (mut command, name) = leashed(cx, argv)?;
    let name = name.to_owned();
    let cannot = |e: std::io::Error| Error::io(format!("cannot start {name}"), &e);
    command.stdin(input);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(cannot)?;
    let taken = (
        child.stdout.take(),
        Reader::of(child.stderr.take(), &redactor),
    );
    let (Some(output), Ok(said)) = taken else {
        let _ = kill_group(group(&child));
        // Nobody would see what it says or how it ends.
        let _ = child.wait();
        return Err(Error::new(format!("cannot read what {name} says")));
    };
    Ok(Piped {
        input: child.stdin.take(),
        child,
        name,
        output,
        said: Some(said),
        ended: false,
    })
}

impl Piped {
    /// Waits for its end.
    ///
    /// # Errors
    /// [`Error`] when it cannot be waited for.
    pub(crate) fn end(mut self) -> Result<Ended, Error> {
        drop(self.input.take());
        let status = self.child.wait();
        self.ended = true;
        let status = status.map_err(|e| Error::io(format!("cannot wait for {}", self.name), &e))?;
        let said = self.said.take();
        let said = said.map_or_else(String::new, |s| s.until(Instant::now() + GRACE).1);
        let (code, ended) = how(status);
        let lines: Vec<&str> = said.lines().filter(|l| !l.trim().is_empty()).collect();
        let last = lines.iter().skip(lines.len().saturating_sub(LINES));
        let last = last.map(|l| l.chars().take(LINE).collect::<String>());
        let shown = std::iter::once(ended).chain(last).collect::<Vec<_>>();
        Ok(Ended {
            code,
            shown: shown.join(": "),
        })
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        if !self.ended {
            let _ = kill_group(group(&self.child));
            // Whatever it was: it is dead, and has to be reaped.
            let _ = self.child.wait();
        }
    }
}
