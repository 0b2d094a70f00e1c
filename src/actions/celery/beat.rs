//! What is peculiar to a beat: the pidfile that keeps it from starting, and how it is seen to work.
//!
//! Celery removes a pidfile whose number is free, but takes any living process of that number for a beat, so that after
//! a reboot or in a container a beat does not start. A pidfile that names no beat is taken away before the start.

use super::cmdline::{self, CommandLine, Role};
use super::find::{self, Live};
use crate::action::{Error, Look, Work};
use crate::encoding;
use crate::host::process::note::Note;
use crate::system::proc;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a beat that shows nothing must live to count. Large projects need seconds to fail.
const SETTLE: Duration = Duration::from_secs(5);
/// The name that Celery gives its schedule.
const SCHEDULE: &str = "celerybeat-schedule";
/// More is no number.
const SIZE: usize = 64;

/// Takes away a pidfile that would keep a beat from starting, where its command line names one.
pub(super) fn sweep(argv: &[String], cwd: &Path, work: &mut Work<'_, Note>) -> Result<(), Error> {
    let Some(words) = cmdline::read(argv).filter(|w| w.role == Role::Beat) else {
        return Ok(());
    };
    // Celery 4 wrote one of that name unless told otherwise.
    let name = words.pidfile.unwrap_or_else(|| "celerybeat.pid".into());
    if name.is_empty() {
        return Ok(());
    }
    away(&cwd.join(name), work)
}

/// Takes away a pidfile that names no beat that lives.
pub(super) fn away(path: &Path, work: &mut Work<'_, Note>) -> Result<(), Error> {
    let cannot = |what: &str, e: &std::io::Error| {
        Error::io(format!("cannot {what} the pidfile {}", path.display()), e)
    };
    let text = match fs::read(path) {
        Ok(text) if text.len() <= SIZE => text.trim_ascii().to_owned(),
        // Whatever that is, it is no pidfile of a beat, and Celery says so itself.
        Ok(_) => return Ok(()),
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(cannot("read", &e)),
    };
    let number = std::str::from_utf8(&text).ok();
    let pid: Option<i32> = number.and_then(|n| n.parse().ok()).filter(|p| *p > 0);
    let beat = match pid {
        Some(pid) => find::at(pid)?.is_some_and(|l| l.cmdline.role == Role::Beat),
        None => !text.is_empty(),
    };
    if beat {
        return Ok(());
    }
    fs::remove_file(path).map_err(|e| cannot("remove", &e))?;
    work.log_line(&format!(
        "removed the stale pidfile {}: '{}' is not a beat process",
        path.display(),
        encoding::shown(&text)
    ));
    Ok(())
}

/// Whether a beat is seen to work: its pidfile names it, or it has written its schedule; else it has lived for a while.
pub(super) fn ready(live: &[Live]) -> Result<Look, Error> {
    let mut evidence = Vec::new();
    for beat in live {
        let name = beat.shown();
        let Some(age) = age(beat) else {
            return Ok(Look::unclear(format!("{name} has ended")));
        };
        if let Some(path) = beat.file(&beat.cmdline.pidfile) {
            let named = fs::read_to_string(&path).unwrap_or_default();
            if named.trim() == beat.inner.to_string() {
                evidence.push(format!(
                    "{name} is running, and {} names it",
                    path.display()
                ));
                continue;
            }
        } else if let Some(path) = schedule(beat, age) {
            evidence.push(format!("{name} is running and writes {}", path.display()));
            continue;
        } else if age >= SETTLE {
            evidence.push(format!(
                "{name} is running; its schedule has no file that can be checked"
            ));
            continue;
        }
        return Ok(Look::unclear(format!(
            "{name} is running but has not started its schedule"
        )));
    }
    let mut look = Look::done("");
    look.evidence = evidence;
    Ok(look)
}

/// How long it has lived.
fn age(beat: &Live) -> Option<Duration> {
    if !beat.ident.alive() {
        return None;
    }
    proc::age(beat.ident.starttime)
}

/// The file of its schedule, where it has opened or written one since it began.
fn schedule(beat: &Live, age: Duration) -> Option<PathBuf> {
    let CommandLine { schedule, .. } = &beat.cmdline;
    let name = cmdline::path(schedule).unwrap_or(SCHEDULE);
    let path = Path::new(&beat.origin.cwd).join(name);
    let file = path.file_name()?.as_bytes();
    let since = SystemTime::now().checked_sub(age).unwrap_or(UNIX_EPOCH);
    fs::read_dir(path.parent()?)
        .ok()?
        .flatten()
        .filter(|e| e.file_name().as_bytes().starts_with(file))
        .find(|e| {
            let written = e.metadata().and_then(|m| m.modified());
            written.is_ok_and(|at| at >= since)
        })
        .map(|e| e.path())
}
