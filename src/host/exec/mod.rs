//! Commands that looks and actions start themselves: clean environment, no terminal, bounded time and output. Short ones
//! are captured here; long ones whose output is the step's are streamed (`stream`), or whose output is data are read (`piped`).
//!
//! They run as the step's own command does: in its directory or `/`, found in its own PATH, never in the directory that
//! the operator happens to be in, and without the operator's terminal, at which nothing is to be asked. What is shown of them is redacted as it comes and then bounded, so that no bound can
//! cut a secret in two.

mod piped;
mod stream;

pub(crate) use piped::{Piped, piped};
pub use stream::{LEASH, leash};
pub(crate) use stream::{Printed as PrintedOn, Streamed, stream, stream_apart};

use crate::action::{Context, Error, Look};
use crate::attempt::sys::without_terminal;
use crate::attempt::{find_program, traceback};
use crate::encoding;
use crate::redact::{Redactor, Stream};
use crate::system::signals::kill_group;
use std::borrow::Cow;
use std::io::{Read, Write as _};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};
use upledger_replay::event::Answer;

pub(crate) use crate::action::LOOK;

/// How much of a command's output is kept.
pub(crate) const KEPT: usize = 1 << 20;
/// How long the pipes of a command that has ended are waited for.
const GRACE: Duration = Duration::from_millis(500);

/// A command that has ended.
#[derive(Debug, Clone)]
pub(crate) struct Captured {
    /// Exit code; none when a signal or the time limit ended it.
    pub(crate) code: Option<i32>,
    /// How it ended, in words.
    pub(crate) ended: String,
    /// What it printed on standard output, and at most 1 MiB of it: to decide by, never to show.
    pub(crate) stdout: Vec<u8>,
    /// The same with every secret cut out: to show.
    pub(crate) shown: String,
    /// What it printed on standard error, to show.
    pub(crate) stderr: String,
}

impl Captured {
    /// The answer that a command's exit code gives when it serves as a look: 0 done, 1 nothing, else unclear.
    pub(crate) fn look(&self, what: &str) -> Look {
        let mut evidence = vec![match self.code {
            Some(code) => format!("`{what}` exited with {code}"),
            None => format!("`{what}`: {}", self.ended),
        }];
        evidence.extend(self.tail(5));
        let answer = match self.code {
            Some(0) => Answer::Done,
            Some(1) => Answer::Nothing,
            _ => Answer::Unclear,
        };
        Look { answer, evidence }
    }

    /// The same as text, to decide by: in whichever encoding it is, and escaped where it is in none.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        encoding::text(&self.stdout)
    }

    /// The last `n` lines that it printed, without what was written over.
    pub(crate) fn tail(&self, n: usize) -> Vec<String> {
        let lines: Vec<&str> = self.shown.lines().chain(self.stderr.lines()).collect();
        let lines = traceback::shortened(&lines);
        lines
            .iter()
            .skip(lines.len().saturating_sub(n))
            .map(|l| l.rsplit('\r').find(|p| !p.trim().is_empty()))
            .map(|l| l.unwrap_or_default().to_owned())
            .collect()
    }
}

/// Runs `argv` with the step's environment and working directory.
///
/// # Errors
/// [`Error`] when it cannot be started.
pub(crate) fn capture(cx: &Context, argv: &[String], limit: Duration) -> Result<Captured, Error> {
    capture_with(cx, argv, None, limit)
}

/// The same with something on its standard input, which may hold what no argument may.
///
/// # Errors
/// [`Error`] when it cannot be started.
pub(crate) fn capture_with(
    cx: &Context,
    argv: &[String],
    input: Option<Vec<u8>>,
    limit: Duration,
) -> Result<Captured, Error> {
    let (mut command, program) = command(cx, argv, |path, name| {
        let mut command = Command::new(path);
        command.arg0(name);
        command
    })?;
    let cannot = |e: std::io::Error| Error::io(format!("cannot start {program}"), &e);
    let redactor = cx.redactor()?;
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = match &cx.answers {
        Some(answers) => answers.start(|| command.spawn(), group),
        None => command.spawn(),
    }
    .map_err(cannot)?;
    if let (Some(bytes), Some(mut pipe)) = (input, child.stdin.take()) {
        // A command that does not read its input to its end says so by what it answers.
        let writer = std::thread::Builder::new();
        let written = writer.spawn(move || {
            let _ = pipe.write_all(&bytes);
        });
        if let Err(e) = written {
            wait(cx, &mut child, Duration::ZERO).map_err(cannot)?;
            return Err(cannot(e));
        }
    }
    let readers = Reader::of(child.stdout.take(), &redactor)
        .and_then(|out| Ok((out, Reader::of(child.stderr.take(), &redactor)?)));
    let (stdout, stderr) = match readers {
        Ok(readers) => readers,
        Err(e) => {
            // Nobody would see what it says or how it ends.
            wait(cx, &mut child, Duration::ZERO).map_err(cannot)?;
            return Err(Error::io(
                format!("cannot read the output of {program}"),
                &e,
            ));
        }
    };
    let status = wait(cx, &mut child, limit)
        .map_err(|e| Error::io(format!("cannot wait for {program}"), &e))?;
    // A grandchild may hold the pipes open for ever; what has come by now is all that counts.
    let until = Instant::now() + GRACE;
    let (stdout, shown) = stdout.until(until);
    let (_, stderr) = stderr.until(until);
    let (code, ended) = status.map_or_else(|| (None, late(limit)), how);
    Ok(Captured {
        code,
        ended,
        stdout,
        shown,
        stderr,
    })
}

/// A command as the step's own would run: in its directory or `/`, found in its PATH, with its environment, without input,
/// as the leader of a group. `through` makes it from the program's path and its name, which is returned, too.
fn command<'a>(
    cx: &Context,
    argv: &'a [String],
    through: impl FnOnce(&Path, &str) -> Command,
) -> Result<(Command, &'a str), Error> {
    let (name, args) = argv
        .split_first()
        .ok_or_else(|| Error::new("the command is empty"))?;
    let cwd = cx.cwd.as_deref().unwrap_or(Path::new("/"));
    // The system's words are the same for a program and for a directory that is not there.
    if !cwd.is_dir() {
        return Err(Error::new(format!(
            "there is no directory {}",
            cwd.display()
        )));
    }
    let path = cx.env.iter().rev().find(|(k, _)| k == "PATH");
    let program = find_program(name, path.map(|(_, v)| v.as_str()), cwd)
        .map_err(|e| Error::io(format!("cannot start {name}"), &e))?;
    let mut command = through(&program, name);
    command
        .args(args)
        .env_clear()
        .envs(cx.env.iter().map(|(k, v)| (k, v)))
        .current_dir(cwd)
        .stdin(Stdio::null());
    without_terminal(&mut command);
    Ok((command, name))
}

/// How a command ended: its exit code, and words.
fn how(status: ExitStatus) -> (Option<i32>, String) {
    match (status.code(), status.signal()) {
        (Some(c), _) => (Some(c), format!("exit {c}")),
        (None, Some(n)) => (None, format!("signal {n}")),
        (None, None) => (None, "ended without a status".into()),
    }
}

/// The same for one whose time was over.
fn late(limit: Duration) -> String {
    format!(
        "it had not ended after {} s and was killed",
        limit.as_secs()
    )
}

/// The number of its process group, which is its own.
pub(crate) fn group(child: &Child) -> i32 {
    i32::try_from(child.id()).unwrap_or_default()
}

fn wait(cx: &Context, child: &mut Child, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    let group = group(child);
    let mut pause = Duration::from_millis(1);
    loop {
        let ended = match &cx.answers {
            Some(answers) => answers.reap(group, || child.try_wait())?,
            None => child.try_wait()?,
        };
        if let Some(status) = ended {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            // It may have ended between the two looks; then there is nothing to kill.
            let _ = kill_group(group);
            // It may have left its group.
            child.kill()?;
            let mut reaped = || child.wait().map(Some);
            match &cx.answers {
                Some(answers) => answers.reap(group, reaped)?,
                None => reaped()?,
            };
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// What has come out of a pipe, as far as it is kept.
struct Kept {
    raw: Vec<u8>,
    shown: Vec<u8>,
    stream: Stream,
}

impl Kept {
    fn take(&mut self, chunk: &[u8]) {
        let room = KEPT.saturating_sub(self.raw.len()).min(chunk.len());
        self.raw.extend_from_slice(&chunk[..room]);
        // Beyond its bound nothing is kept, so nothing has to be searched.
        if self.shown.len() < KEPT {
            self.stream.feed(chunk, &mut self.shown);
            self.shown.truncate(KEPT);
        }
    }

    fn finish(&mut self) {
        if self.shown.len() < KEPT {
            self.stream.finish(&mut self.shown);
            self.shown.truncate(KEPT);
        }
    }
}

/// Reads a pipe on a thread of its own.
struct Reader {
    kept: Arc<Mutex<Kept>>,
    ended: mpsc::Receiver<()>,
}

impl Reader {
    fn of(pipe: Option<impl Read + Send + 'static>, redactor: &Redactor) -> std::io::Result<Self> {
        let kept = Arc::new(Mutex::new(Kept {
            raw: Vec::new(),
            shown: Vec::new(),
            stream: redactor.stream(),
        }));
        let (tx, ended) = mpsc::channel();
        let shared = Arc::clone(&kept);
        std::thread::Builder::new().spawn(move || {
            let mut chunk = [0; 16 << 10];
            let mut pipe = pipe;
            // An unreadable pipe is an empty one: the exit status is what counts.
            while let Some(n) = pipe.as_mut().and_then(|p| read(p, &mut chunk)) {
                locked(&shared).take(&chunk[..n]);
            }
            locked(&shared).finish();
            // Nobody waits any more: the receiver gave up on a pipe that a grandchild holds.
            let _ = tx.send(());
        })?;
        Ok(Self { kept, ended })
    }

    /// What has come when the pipe ends, or by then: raw and redacted. What might yet become a secret is not in it.
    fn until(self, deadline: Instant) -> (Vec<u8>, String) {
        let left = deadline.saturating_duration_since(Instant::now());
        // Ended or not, what has come is what there is.
        let _ = self.ended.recv_timeout(left);
        let kept = locked(&self.kept);
        (kept.raw.clone(), encoding::shown(&kept.shown).into_owned())
    }
}

fn locked(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    // A reader that died has left what it had read.
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One read; none at the end.
fn read(pipe: &mut impl Read, chunk: &mut [u8]) -> Option<usize> {
    loop {
        match pipe.read(chunk) {
            Ok(0) => return None,
            Ok(n) => return Some(n),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// The words of a command line as a simple shell takes them, without their quotes.
pub(crate) fn unquoted(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in command.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Words as a person would type them.
pub(crate) fn quoted(words: &[String]) -> String {
    let plain = |w: &String| {
        !w.is_empty()
            && w.chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_./:=@%+,{}".contains(c))
    };
    words
        .iter()
        .map(|w| {
            if plain(w) {
                w.clone()
            } else {
                format!("'{}'", w.replace('\'', r"'\''"))
            }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::LINE;

    fn context() -> Context {
        Context {
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            secrets: vec![("db".into(), "s3cret-word".into())],
            ..Context::default()
        }
    }

    fn sh(script: &str, limit: Duration) -> Captured {
        let argv = ["sh", "-c", script].map(String::from);
        capture(&context(), &argv, limit).unwrap()
    }

    #[test]
    fn a_command_runs_in_the_directory_of_the_step_and_not_in_ours() {
        assert_eq!(sh("pwd", LOOK).stdout, b"/\n");
        let gone = Context {
            cwd: Some("/no/such/directory".into()),
            ..context()
        };
        let why = capture(&gone, &["true".into()], LOOK).unwrap_err();
        assert_eq!(why.to_string(), "there is no directory /no/such/directory");
    }

    #[test]
    fn the_bound_of_the_output_cuts_no_secret_in_two() {
        for before in KEPT - 11..KEPT {
            let ran = sh(
                &format!("head -c {before} /dev/zero; printf s3cret-word"),
                LOOK,
            );
            let look = ran.look("x").fit(&context().redactor().unwrap());
            let said = format!("{:?}", look.evidence);
            assert!(!said.contains("s3c"), "{before}");
            assert!(!ran.shown.contains("s3c") && ran.shown.len() <= KEPT);
        }
    }

    #[test]
    fn what_was_said_is_kept_when_a_process_in_the_background_holds_the_pipe() {
        let began = Instant::now();
        let ran = sh("echo seen; echo why >&2; sleep 20 & exit 1", LOOK);
        assert_eq!(ran.code, Some(1));
        assert_eq!(ran.tail(5), ["seen", "why"]);
        assert!(began.elapsed() < Duration::from_secs(10));
        let half = sh("printf 's3cret-wo'; sleep 20 & exit 1", LOOK);
        assert_eq!(half.shown, "", "it may become a secret yet");
    }

    #[test]
    fn a_look_that_had_no_time_is_unclear_and_a_step_with_time_gives_it_to_its_looks() {
        let look = sh("echo begun; sleep 20", Duration::from_millis(200)).look("x");
        assert_eq!(look.answer, Answer::Unclear);
        assert!(look.evidence[0].contains("was killed"), "{look:?}");
        assert_eq!(look.evidence[1], "begun");
        let with = |timeout_ms| Context {
            timeout_ms,
            ..context()
        };
        assert_eq!(with(None).patience(), LOOK);
        assert_eq!(with(Some(1000)).patience(), LOOK);
        assert_eq!(with(Some(600_000)).patience(), Duration::from_secs(600));
    }

    #[test]
    fn evidence_is_redacted_and_then_bounded() {
        let redactor = context().redactor().unwrap();
        let mut look = Look::done(format!("{}s3cret-word", "x".repeat(LINE - 4)));
        look.evidence.extend((0..40).map(|n| format!("a {n}\nb")));
        let fit = look.fit(&redactor);
        assert_eq!(fit.evidence.len(), 20);
        assert!(
            fit.evidence[0].ends_with("xxx[redacted:db]") && fit.evidence[0].contains("x ... x"),
            "{:?}",
            fit.evidence
        );
        assert_eq!(fit.evidence[0].chars().count(), LINE);
        assert_eq!(fit.evidence[19], "and 62 more lines");
    }
}
