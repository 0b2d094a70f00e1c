//! Secrets: read from their sources when they are needed, kept in memory only.

use crate::encoding::Charset;
use crate::redact::{SHORTEST, TooShort};
use crate::system::plain::{self, Guarded};
use std::collections::BTreeSet;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};
use upledger_replay::plan::{Secret, SecretSource};

/// How long the command of a secret may take.
const LIMIT: Duration = Duration::from_secs(30);
/// The same while an operator waits for a command that only appends an event.
const QUICK: Duration = Duration::from_secs(3);

/// The longest secret in bytes: every process of a run searches for it in all that is printed.
const LONGEST: u64 = 64 << 10;
/// How long the rest of what a command printed is waited for once it has ended.
const DRAIN: Duration = Duration::from_millis(500);

/// Names and values.
type Known = Vec<(String, String)>;

/// A secret cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the secret {name} cannot be read: {why}")]
pub struct Missing {
    /// Its name.
    pub name: String,
    /// Why not; never a part of its value.
    pub why: String,
}

/// Reads every secret of a plan.
///
/// # Errors
/// [`Missing`] names the first that cannot be had.
pub fn read(secrets: &[Secret]) -> Result<Vec<(String, String)>, Missing> {
    secrets.iter().map(|s| one(s, LIMIT)).collect()
}

/// Reads the needed secrets, and the others if available, because output is redacted for all of them. Returns also the
/// others that are unavailable.
///
/// # Errors
/// [`Missing`] names the first needed one that cannot be had.
pub fn read_needed(
    secrets: &[Secret],
    needed: &BTreeSet<String>,
) -> Result<(Known, Vec<Missing>), Missing> {
    let (needed, others): (Vec<_>, Vec<_>) = secrets
        .iter()
        .cloned()
        .partition(|s| needed.contains(&s.name));
    let mut known = read(&needed)?;
    let (more, missing) = sorted(&others, QUICK);
    known.extend(more);
    Ok((known, missing))
}

/// Those secrets that can be read here, and the names of the others.
#[must_use]
pub fn readable(secrets: &[Secret]) -> (Vec<(String, String)>, Vec<Missing>) {
    sorted(secrets, LIMIT)
}

/// Those secrets that can be read within a moment.
#[must_use]
pub fn at_hand(secrets: &[Secret]) -> Vec<(String, String)> {
    sorted(secrets, QUICK).0
}

fn sorted(secrets: &[Secret], limit: Duration) -> (Vec<(String, String)>, Vec<Missing>) {
    let (mut known, mut missing) = (Vec::new(), Vec::new());
    for secret in secrets {
        match one(secret, limit) {
            Ok((name, value)) if value.len() < SHORTEST => missing.push(Missing {
                why: TooShort { name: name.clone() }.to_string(),
                name,
            }),
            Ok(pair) => known.push(pair),
            Err(e) => missing.push(e),
        }
    }
    (known, missing)
}

fn one(s: &Secret, limit: Duration) -> Result<(String, String), Missing> {
    let value = source(&s.source, limit).map_err(|why| Missing {
        name: s.name.clone(),
        why,
    })?;
    let value = meant(&value);
    let why = match value.len() as u64 {
        0 => "it is empty".into(),
        1..=LONGEST => return Ok((s.name.clone(), value)),
        _ => too_long(),
    };
    Err(Missing {
        name: s.name.clone(),
        why,
    })
}

/// A value without what an editor adds: the last line break, and the carriage returns of a text that has one on each line.
fn meant(value: &str) -> String {
    let value = value.strip_suffix('\n').unwrap_or(value);
    let value = value.strip_suffix('\r').unwrap_or(value);
    let breaks = |text: &str| value.matches(text).count();
    if breaks("\r\n") == breaks("\n") && breaks("\r\n") == breaks("\r") {
        return value.replace("\r\n", "\n");
    }
    value.to_owned()
}

/// The text of a file or of what a command printed: by its byte order mark, which is no part of it, or as UTF-8.
fn text(bytes: Vec<u8>) -> Option<String> {
    let marked = [&b"\xef\xbb\xbf"[..], b"\xff\xfe", b"\xfe\xff"];
    if marked.iter().any(|mark| bytes.starts_with(mark)) {
        return Some(Charset::of(&bytes)?.read(&bytes)?.into_owned());
    }
    String::from_utf8(bytes).ok()
}

/// Begins the reason of a secret whose environment variable is not set.
pub const NO_VARIABLE: &str = "the environment has no ";

fn source(source: &SecretSource, limit: Duration) -> Result<String, String> {
    match source {
        SecretSource::Env(name) => std::env::var(name).map_err(|_| format!("{NO_VARIABLE}{name}")),
        SecretSource::File(path) => {
            let bytes = plain::guarded(path, 0o077, LONGEST).map_err(|e| match e {
                Guarded::Io(e) => format!("{path}: {e}"),
                Guarded::Other => format!("{path} is not a regular file"),
                Guarded::Mode => format!("{path} can be read by others; chmod 600 it"),
                Guarded::TooLong => too_long(),
            })?;
            text(bytes).ok_or_else(|| format!("{path} is not text in UTF-8"))
        }
        SecretSource::Command(argv) => command(argv, limit),
    }
}

/// The output of a command. It stays in our process group, because it may prompt at the terminal. What it leaves behind
/// with its standard output, such as an agent, is not waited for.
fn command(argv: &[String], limit: Duration) -> Result<String, String> {
    let (program, args) = argv.split_first().ok_or("its command is empty")?;
    let failed = |e: std::io::Error| format!("{program}: {e}");
    let deadline = Instant::now() + limit;
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let said = Arc::new(Mutex::new(Vec::new()));
    let (tell, whole) = mpsc::channel();
    let reader = std::thread::Builder::new().name("secret".into()).spawn({
        let (said, pipe) = (Arc::clone(&said), child.stdout.take());
        move || {
            // Beyond the bound the pipe is closed.
            let mut pipe = pipe.map(|pipe| pipe.take(LONGEST + 1));
            let mut chunk = [0; 4096];
            while let Some(n) = pipe.as_mut().and_then(|p| p.read(&mut chunk).ok())
                && n > 0
            {
                locked(&said).extend_from_slice(&chunk[..n]);
            }
            drop(pipe);
            // Nobody waits any more for a pipe that somebody else holds.
            let _ = tell.send(());
        }
    });
    let late = || format!("{program} did not end within {} s", limit.as_secs());
    let ended = match reader {
        Ok(_) => wait(&mut child, deadline).map_err(failed).transpose(),
        Err(e) => Some(Err(failed(e))),
    };
    let ended = ended.unwrap_or_else(|| Err(late()));
    if ended.is_err() {
        // It may just have exited.
        let _ = child.kill();
        let _ = child.wait();
    }
    let status = ended?;
    // What it printed itself is in the pipe already.
    let _ = whole.recv_timeout(DRAIN);
    let bytes = std::mem::take(&mut *locked(&said));
    if bytes.len() as u64 > LONGEST {
        return Err(too_long());
    }
    if !status.success() {
        return Err(format!("{program}: {status}"));
    }
    text(bytes).ok_or_else(|| format!("{program} printed something that is not text"))
}

/// Waits for its end; none when the time is over first.
fn wait(child: &mut Child, deadline: Instant) -> std::io::Result<Option<ExitStatus>> {
    loop {
        match child.try_wait()? {
            None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            ended => return Ok(ended),
        }
    }
}

fn locked(said: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    // A reader that died has left what it had read.
    said.lock().unwrap_or_else(PoisonError::into_inner)
}

fn too_long() -> String {
    format!("it is longer than {} KiB", LONGEST >> 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Result<String, String> {
        let argv = ["/bin/sh", "-c", script].map(String::from);
        command(&argv, limit)
    }

    #[test]
    fn the_command_of_a_secret_has_limits_and_what_it_leaves_behind_is_not_waited_for() {
        let begun = Instant::now();
        let limit = Duration::from_millis(300);
        let why = shell("exec sleep 60", limit).expect_err("too slow");
        assert!(why.contains("did not end within"), "{why}");
        let agent = shell("sleep 60 & echo value", Duration::from_secs(30));
        assert_eq!(agent.as_deref(), Ok("value\n"));
        let flood = shell("head -c 100000000 /dev/zero", Duration::from_secs(30));
        assert_eq!(flood, Err("it is longer than 64 KiB".into()));
        let most = shell("head -c 65536 /dev/zero", Duration::from_secs(30));
        assert_eq!(most.map(|value| value.len()), Ok(65536));
        let why = shell("exec >&-; exec sleep 60", limit).expect_err("too slow");
        assert!(why.contains("did not end within"), "{why}");
        assert!(begun.elapsed() < Duration::from_secs(20));
        assert_eq!(
            shell("echo value", Duration::from_secs(30)).as_deref(),
            Ok("value\n")
        );
        assert!(shell("exit 3", Duration::from_secs(30)).is_err());
    }

    #[test]
    fn what_an_editor_adds_is_no_part_of_a_value() {
        for (bytes, value) in [
            (&b"horse\n"[..], "horse"),
            (b"horse\r\n", "horse"),
            (b"horse\r", "horse"),
            (b"\xef\xbb\xbfhorse\n", "horse"),
            (b"\xff\xfeh\0o\0\r\0\n\0", "ho"),
            (b"user\r\nhorse\r\n", "user\nhorse"),
            (b"horse\n\n", "horse\n"),
            (b"a\r\nb\nc", "a\r\nb\nc"),
        ] {
            assert_eq!(meant(&text(bytes.to_vec()).unwrap()), value);
        }
        assert_eq!(text(b"\xd6\xd0".to_vec()), None);
    }
}
