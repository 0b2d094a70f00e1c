//! Secrets: read from their sources when they are needed, kept in memory only.

use crate::encoding::Charset;
use crate::redact::{SHORTEST, TooShort};
use std::collections::BTreeSet;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use upledger_replay::plan::{Secret, SecretSource};

/// How long the command of a secret may take.
const LIMIT: Duration = Duration::from_secs(30);
/// The same while an operator waits for a command that only appends an event.
const QUICK: Duration = Duration::from_secs(3);

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
    if value.is_empty() {
        return Err(Missing {
            name: s.name.clone(),
            why: "it is empty".into(),
        });
    }
    Ok((s.name.clone(), value))
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
            let meta = std::fs::metadata(path).map_err(|e| format!("{path}: {e}"))?;
            if !meta.is_file() {
                return Err(format!("{path} is not a regular file"));
            }
            if meta.permissions().mode() & 0o077 != 0 {
                return Err(format!("{path} can be read by others; chmod 600 it"));
            }
            let bytes = std::fs::read(path).map_err(|e| format!("{path}: {e}"))?;
            text(bytes).ok_or_else(|| format!("{path} is not text in UTF-8"))
        }
        SecretSource::Command(argv) => command(argv, limit),
    }
}

/// The output of a command. It stays in our process group, because it may prompt at the terminal.
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
    let (said, hear) = mpsc::channel();
    let pipe = child.stdout.take();
    // A separate thread: a descendant may hold the pipe open indefinitely.
    let reader = std::thread::Builder::new()
        .name("secret".into())
        .spawn(move || {
            let mut bytes = Vec::new();
            let read = pipe.map_or(Ok(0), |mut pipe| pipe.read_to_end(&mut bytes));
            // The receiver is gone after the time limit.
            let _ = said.send(read.map(|_| bytes));
        });
    let bytes = match reader {
        Ok(_) => hear
            .recv_timeout(limit)
            .map_err(|_| format!("{program} did not end within {} s", limit.as_secs())),
        Err(e) => Err(failed(e)),
    };
    let status = loop {
        match child.try_wait().map_err(failed)? {
            Some(status) => break Some(status),
            None if bytes.is_err() || Instant::now() >= deadline => break None,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let Some(status) = status else {
        // It may just have exited.
        let _ = child.kill();
        let _ = child.wait();
        return Err(bytes
            .err()
            .unwrap_or_else(|| format!("{program} did not end within {} s", limit.as_secs())));
    };
    if !status.success() {
        return Err(format!("{program}: {status}"));
    }
    text(bytes?.map_err(failed)?)
        .ok_or_else(|| format!("{program} printed something that is not text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Result<String, String> {
        let argv = ["/bin/sh", "-c", script].map(String::from);
        command(&argv, limit)
    }

    #[test]
    fn the_command_of_a_secret_is_given_limited_time_and_so_is_what_it_leaves_behind() {
        let begun = Instant::now();
        let limit = Duration::from_millis(300);
        let why = shell("exec sleep 60", limit).expect_err("too slow");
        assert!(why.contains("did not end within"), "{why}");
        let why = shell("sleep 3 & echo value", limit).expect_err("the pipe is open");
        assert!(why.contains("did not end within"), "{why}");
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
