//! Short commands that looks and actions start themselves: clean environment, no terminal, bounded time and output.

use super::{Context, Trouble};
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long a look may take.
pub(crate) const LOOK: Duration = Duration::from_secs(60);
/// How much of a command's output is kept.
pub(crate) const KEPT: u64 = 1 << 20;

/// A command that has ended.
#[derive(Debug, Clone)]
pub(crate) struct Captured {
    /// Exit code; none when a signal or the time limit ended it.
    pub(crate) code: Option<i32>,
    /// How it ended, in words.
    pub(crate) ended: String,
    /// What it printed on standard output, and at most 1 MiB of it.
    pub(crate) stdout: String,
    /// The same of standard error.
    pub(crate) stderr: String,
}

impl Captured {
    /// The last `n` lines that it printed.
    pub(crate) fn tail(&self, n: usize) -> Vec<String> {
        let lines: Vec<&str> = self.stdout.lines().chain(self.stderr.lines()).collect();
        lines
            .iter()
            .skip(lines.len().saturating_sub(n))
            .map(|l| (*l).to_owned())
            .collect()
    }
}

/// Runs `argv` with the step's environment and working directory.
///
/// # Errors
/// [`Trouble`] when it cannot be started.
pub(crate) fn capture(cx: &Context, argv: &[String], limit: Duration) -> Result<Captured, Trouble> {
    let (program, args) = argv
        .split_first()
        .ok_or_else(|| Trouble::new("the command is empty"))?;
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .envs(cx.env.iter().map(|(k, v)| (k, v)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    if let Some(cwd) = &cx.cwd {
        command.current_dir(cwd);
    }
    let mut child = command.spawn().map_err(|e| match &cx.cwd {
        // The system's words are the same for a program and for a directory that is not there.
        Some(cwd) if !cwd.is_dir() => {
            Trouble::new(format!("there is no directory {}", cwd.display()))
        }
        Some(_) | None => Trouble::io(format!("cannot start {program}"), &e),
    })?;
    let stdout = reader(child.stdout.take());
    let stderr = reader(child.stderr.take());
    let status = wait(&mut child, limit)
        .map_err(|e| Trouble::io(format!("cannot wait for {program}"), &e))?;
    // A grandchild may hold the pipes open for ever; what has come by now is all that counts.
    let grace = Duration::from_millis(500);
    let stdout = stdout.recv_timeout(grace).unwrap_or_default();
    let stderr = stderr.recv_timeout(grace).unwrap_or_default();
    let (code, ended) = match status {
        None => (None, format!("killed after {} s", limit.as_secs())),
        Some(s) => match (s.code(), s.signal()) {
            (Some(c), _) => (Some(c), format!("exit {c}")),
            (None, Some(n)) => (None, format!("signal {n}")),
            (None, None) => (None, "ended without a status".into()),
        },
    };
    Ok(Captured {
        code,
        ended,
        stdout,
        stderr,
    })
}

fn wait(child: &mut Child, limit: Duration) -> std::io::Result<Option<std::process::ExitStatus>> {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            if let Some(group) = i32::try_from(child.id())
                .ok()
                .and_then(rustix::process::Pid::from_raw)
            {
                // It may have ended between the two looks; then there is nothing to kill.
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (tx, rx) = mpsc::channel();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        if let Some(mut pipe) = pipe {
            // An unreadable pipe is an empty one: the exit status is what counts.
            let _ = pipe.by_ref().take(KEPT).read_to_end(&mut kept);
            let _ = std::io::copy(&mut pipe, &mut std::io::sink());
        }
        // Nobody waits any more: the receiver gave up on a pipe that a grandchild holds.
        let _ = tx.send(String::from_utf8_lossy(&kept).into_owned());
    });
    rx
}
