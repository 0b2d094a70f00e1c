//! Long commands inside an action: what they print becomes the step's output, line by line, while they run.
//!
//! Invariants: the command is the leader of a process group of its own, and nothing of that group outlives the call. It
//! dies with the action's process, too, whatever ends that: the kernel is asked for it before the program is executed
//! ([`leash`]), so that a killed action leaves no command that works on alone. Told to end (TERM, from the supervisor:
//! the time limit, or a person's word), the action hands that on, waits a little, kills, and says so.
//!
//! What is written to the log are the bytes that were printed, redacted by the supervisor; what is returned to be shown is
//! redacted here. Lines are handed over as text, without what a progress bar has written over, to be read by programs,
//! never to be shown.
//!
//! Left out: input; a command that reads gets the end of it at once.

use crate::action::{Context, Error};
use crate::encoding;
use crate::host::exec::{GRACE, command, group, how, late};
use crate::redact::Redactor;
use crate::system::signals::{kill_group, signal_group};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use signal_hook::consts::SIGTERM;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// The hidden subcommand through which a command is executed.
pub const LEASH: &str = "__leash";
/// How often the end, the time limit and the wish to end are looked at while nothing is printed.
const TICK: Duration = Duration::from_millis(50);
/// How long a command that was told to end may take. The supervisor kills the whole tree a little later.
const TOLD: Duration = Duration::from_secs(5);
/// How many of its last lines are returned.
const TAIL: usize = 20;
/// The longest line that is handed over whole.
const LONG: u64 = 64 << 10;

/// How a streamed command ended.
#[derive(Debug, Clone)]
pub(crate) struct Streamed {
    /// Exit code; none when a signal or the time limit ended it.
    pub(crate) code: Option<i32>,
    /// How it ended, in words.
    pub(crate) ended: String,
    /// The last lines that it printed, with every secret cut out.
    pub(crate) tail: Vec<String>,
}

/// Takes a line, and where it was printed.
type Each<'a> = &'a mut dyn FnMut(Printed, &str);

/// Where a line was printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Printed {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// Runs `argv` with the step's environment and working directory, and its output goes to `log` as it comes. Each line of
/// it is also handed to `each`. Without a `limit` the step's own time limit, which the supervisor keeps, is the only one.
///
/// # Errors
/// [`Error`] when it cannot be started, and when this process is told to end meanwhile.
pub(crate) fn stream(
    cx: &Context,
    argv: &[String],
    limit: Option<Duration>,
    log: &mut dyn Write,
    each: &mut dyn FnMut(&str),
) -> Result<Streamed, Error> {
    run(cx, argv, limit, log, (false, &mut |_, line| each(line)))
}

/// The same with standard error apart: each line is handed over with where it was printed. The order of lines of the two
/// is not known for certain.
///
/// # Errors
/// As [`stream`].
pub(crate) fn stream_apart(
    cx: &Context,
    argv: &[String],
    log: &mut dyn Write,
    each: &mut dyn FnMut(Printed, &str),
) -> Result<Streamed, Error> {
    run(cx, argv, None, log, (true, each))
}

fn run(
    cx: &Context,
    argv: &[String],
    limit: Option<Duration>,
    log: &mut dyn Write,
    (apart, each): (bool, Each<'_>),
) -> Result<Streamed, Error> {
    let redactor = cx.redactor()?;
    let told = Told::listen()?;
    let (mut child, lines) = start(cx, argv, apart)?;
    let mut running = Running {
        log,
        each,
        redactor: &redactor,
        tail: VecDeque::new(),
    };
    let end = running.until_the_end(&child, &lines, limit, &told);
    // Before it is reaped: as long as it is not, its number is its own, and so is its group's. Nothing of it may be left.
    let _ = kill_group(group(&child));
    let status = child
        .wait()
        .map_err(|e| Error::io(format!("cannot wait for {}", argv[0]), &e))?;
    running.rest(&lines);
    let tail = running.tail.into();
    let (code, ended) = match end {
        End::Told => {
            return Err(Error::new(format!(
                "{} was stopped, because this step was signalled to stop",
                argv[0]
            )));
        }
        End::Late(limit) => (None, late(limit)),
        End::Itself => how(status),
    };
    Ok(Streamed { code, ended, tail })
}

/// Executes a command that dies with the process that started it. `words`: that process, the program's path, and argv.
pub fn leash(mut words: impl Iterator<Item = std::ffi::OsString>) -> u8 {
    // It prints its own errors: there is no caller to hear them.
    let complain = |what: &str| {
        // Nobody may be listening; the exit code still tells.
        let _ = writeln!(std::io::stderr(), "{what}");
    };
    let parent = words.next().and_then(|w| w.to_str()?.parse::<i32>().ok());
    let (Some(parent), Some(program), Some(name)) = (parent, words.next(), words.next()) else {
        complain("nothing to execute");
        return 127;
    };
    if let Err(e) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
        complain(&format!("cannot be tied to its parent: {e}"));
        return 127;
    }
    // It may have died before the line above.
    if rustix::process::getppid().map(|p| p.as_raw_nonzero().get()) != Some(parent) {
        return 127;
    }
    let error = Command::new(&program).arg0(name).args(words).exec();
    complain(&format!("cannot execute {}: {error}", program.display()));
    126
}

/// Why the wait was over.
enum End {
    /// The command has ended.
    Itself,
    /// Its time was over.
    Late(Duration),
    /// This process was told to end.
    Told,
}

/// A command that dies with this process, and its name.
pub(super) fn leashed<'a>(cx: &Context, argv: &'a [String]) -> Result<(Command, &'a str), Error> {
    command(cx, argv, |program, name| {
        if cfg!(test) {
            // The program of the unit tests knows no subcommands.
            let mut command = Command::new(program);
            command.arg0(name);
            return command;
        }
        let mut command = Command::new(crate::attempt::launch::SELF);
        let own = std::process::id().to_string();
        command.arg0("upledger").arg(LEASH).arg(own);
        command.arg(program).arg(name);
        command
    })
}

/// A line, and where it was printed.
type Line = (Printed, Vec<u8>);

fn start(cx: &Context, argv: &[String], apart: bool) -> Result<(Child, Receiver<Line>), Error> {
    let (mut command, name) = leashed(cx, argv)?;
    let cannot = |e: std::io::Error| Error::io(format!("cannot start {name}"), &e);
    // One pipe for both, so that what is said in an order is read in that order.
    let (out, into) = std::io::pipe().map_err(cannot)?;
    let mut pipes = vec![(Printed::Output, out)];
    if apart {
        let (errors, into) = std::io::pipe().map_err(cannot)?;
        pipes.push((Printed::Error, errors));
        command.stderr(into);
    } else {
        command.stderr(into.try_clone().map_err(cannot)?);
    }
    command.stdout(into);
    let mut child = command.spawn().map_err(cannot)?;
    // It holds the pipe's other end.
    drop(command);
    match readers(pipes) {
        Ok(lines) => Ok((child, lines)),
        Err(e) => {
            let _ = kill_group(group(&child));
            // Nobody would see what it says or how it ends.
            let _ = child.wait();
            Err(Error::io(format!("cannot read what {name} says"), &e))
        }
    }
}

/// Reads lines of each pipe on a thread of its own. It ends with the pipe, or when nobody hears it any more.
fn readers(pipes: Vec<(Printed, std::io::PipeReader)>) -> std::io::Result<Receiver<Line>> {
    // Bounded: a command that prints faster than the log takes it waits for the log.
    let (tx, lines) = mpsc::sync_channel(256);
    for (from, pipe) in pipes {
        let tx = tx.clone();
        std::thread::Builder::new().spawn(move || {
            let mut pipe = BufReader::new(pipe);
            loop {
                let mut line = Vec::new();
                // An unreadable pipe is an empty one: how the command ends is what counts.
                let read = std::io::Read::take(&mut pipe, LONG).read_until(b'\n', &mut line);
                if read.unwrap_or(0) == 0 || tx.send((from, line)).is_err() {
                    return;
                }
            }
        })?;
    }
    Ok(lines)
}

/// A command while it runs.
struct Running<'a> {
    log: &'a mut dyn Write,
    each: &'a mut dyn FnMut(Printed, &str),
    redactor: &'a Redactor,
    tail: VecDeque<String>,
}

impl Running<'_> {
    fn until_the_end(
        &mut self,
        child: &Child,
        lines: &Receiver<Line>,
        limit: Option<Duration>,
        told: &Told,
    ) -> End {
        let began = Instant::now();
        let mut kill_at = None;
        let mut open = true;
        loop {
            if open {
                match lines.recv_timeout(TICK) {
                    Ok((from, line)) => self.take(from, &line),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => open = false,
                }
            } else {
                std::thread::sleep(TICK);
            }
            let over = has_ended(child);
            match kill_at {
                Some(at) if over || Instant::now() >= at => return End::Told,
                None if over => return End::Itself,
                None if told.heard() => {
                    // It may have ended this very moment.
                    let _ = signal_group(group(child), Signal::TERM);
                    kill_at = Some(Instant::now() + TOLD);
                }
                Some(_) | None => {}
            }
            if let Some(limit) = limit.filter(|l| began.elapsed() >= *l) {
                return End::Late(limit);
            }
        }
    }

    /// What is in the pipe when the command is dead. Somebody that left its group may hold the pipe for ever.
    fn rest(&mut self, lines: &Receiver<Line>) {
        let until = Instant::now() + GRACE;
        while let Ok((from, line)) =
            lines.recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            self.take(from, &line);
        }
    }

    fn take(&mut self, from: Printed, line: &[u8]) {
        let end: &[u8] = if line.ends_with(b"\n") || line.len() as u64 >= LONG {
            b""
        } else {
            b"\n"
        };
        // Output that cannot be stored is the supervisor's business; the command goes on.
        let _ = self
            .log
            .write_all(&[line, end].concat())
            .and_then(|()| self.log.flush());
        let line = encoding::shown(encoding::last_written(line.trim_ascii_end()));
        (self.each)(from, &line);
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(self.redactor.text(&line));
    }
}

/// Whether the command has ended. It is not reaped by the look.
fn has_ended(child: &Child) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    match rustix::process::waitid(WaitId::Pid(Pid::from_child(child)), options) {
        Ok(ended) => ended.is_some(),
        Err(rustix::io::Errno::INTR) => false,
        // It cannot be waited for, so nothing better will be known.
        Err(_) => true,
    }
}

/// Whether this process was told to end. TERM ends it at once, as ever, except while somebody listens.
struct Told {
    told: &'static AtomicBool,
    deaf: &'static AtomicBool,
}

/// Told to end; nobody listens.
type Flags = [Arc<AtomicBool>; 2];

static FLAGS: LazyLock<std::io::Result<Flags>> = LazyLock::new(|| {
    let flags: Flags = [Arc::default(), Arc::new(AtomicBool::new(true))];
    // In this order: the first ends the process when nobody listens.
    signal_hook::flag::register_conditional_default(SIGTERM, Arc::clone(&flags[1]))?;
    signal_hook::flag::register(SIGTERM, Arc::clone(&flags[0]))?;
    Ok(flags)
});

impl Told {
    fn listen() -> Result<Self, Error> {
        let [told, deaf] = FLAGS
            .as_ref()
            .map_err(|e| Error::io("cannot listen to signals", e))?;
        told.store(false, Ordering::SeqCst);
        deaf.store(false, Ordering::SeqCst);
        Ok(Self { told, deaf })
    }

    fn heard(&self) -> bool {
        self.told.load(Ordering::SeqCst)
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.deaf.store(true, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context {
        Context {
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            secrets: vec![("db".into(), "s3cret-word".into())],
            ..Context::default()
        }
    }

    /// What came to the log, what was handed over, and how it ended.
    fn sh(script: &str, limit: Duration) -> (String, Vec<String>, Streamed) {
        let (mut log, mut seen) = (Vec::new(), Vec::new());
        let argv = ["sh", "-c", script].map(String::from);
        let mut each = |line: &str| seen.push(line.to_owned());
        let ended = stream(&context(), &argv, Some(limit), &mut log, &mut each).unwrap();
        (String::from_utf8(log).unwrap(), seen, ended)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn both_outputs_come_in_their_order_and_the_tail_is_redacted() {
        let (log, seen, ended) = sh("echo a; echo s3cret-word >&2; printf c; exit 3", LONG);
        assert_eq!(log, "a\ns3cret-word\nc\n");
        assert_eq!(seen, ["a", "s3cret-word", "c"]);
        assert_eq!((ended.code, ended.ended.as_str()), (Some(3), "exit 3"));
        assert_eq!(ended.tail, ["a", "[redacted:db]", "c"]);
    }

    #[test]
    fn a_line_is_handed_over_while_the_command_runs() {
        let dir = tempfile::tempdir().unwrap();
        let flag = dir.path().join("flag");
        let argv = [
            "sh",
            "-c",
            &format!(
                "echo go; until [ -e {} ]; do sleep 0.01; done",
                flag.display()
            ),
        ]
        .map(String::from);
        let mut each = |_: &str| std::fs::write(&flag, "").unwrap();
        let ended = stream(&context(), &argv, Some(LONG), &mut Vec::new(), &mut each).unwrap();
        assert_eq!(ended.code, Some(0));
    }

    #[test]
    fn nothing_of_the_group_outlives_the_call() {
        let began = Instant::now();
        let (log, _, ended) = sh("sleep 30 & echo $!; exit 0", LONG);
        assert_eq!(ended.code, Some(0));
        let sleeper = format!("/proc/{}/stat", log.trim());
        let gone = || {
            let stat = std::fs::read_to_string(&sleeper).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z")
        };
        while !gone() {
            assert!(began.elapsed() < Duration::from_secs(10), "it lives");
            std::thread::sleep(TICK);
        }
    }

    #[test]
    fn time_that_is_over_is_told_with_what_was_printed() {
        let (_, seen, ended) = sh("echo begun; sleep 30", Duration::from_millis(300));
        assert_eq!(seen, ["begun"]);
        assert_eq!(ended.code, None);
        assert!(ended.ended.contains("was killed"), "{ended:?}");
    }

    #[test]
    fn a_progress_bar_does_not_hide_the_error_behind_it_and_the_log_keeps_every_byte() {
        let (log, seen, ended) = sh(
            r"printf '\r10%%\r99%%\rfailed: row 9\r\n'; printf 'a\r'",
            LONG,
        );
        assert_eq!(log, "\r10%\r99%\rfailed: row 9\r\na\r\n");
        assert_eq!(seen, ["failed: row 9", "a"]);
        assert_eq!(ended.tail, seen);
        let (mut log, argv) = (
            Vec::new(),
            ["printf", r"\326\320\316\304\n"].map(String::from),
        );
        let mut text = Vec::new();
        let mut each = |line: &str| text.push(line.to_owned());
        let ended = stream(&context(), &argv, Some(LONG), &mut log, &mut each).unwrap();
        assert_eq!(log, b"\xd6\xd0\xce\xc4\n", "bytes are stored as they came");
        assert_eq!(
            (text, ended.tail),
            (vec!["中文".to_owned()], vec!["中文".to_owned()])
        );
    }
}
