//! `manage.py migrate` while it runs: its marked lines become notes, progress and the reason of a failure.

use super::{Migrate, Note};
use crate::action::{Context, Error, Work};
use crate::actions::django::marker;
use crate::host::exec::{Streamed, stream};
use crate::redact::Redactor;
use crate::system::durable::{Temporary, replace};
use crate::time;
use serde::Deserialize;
use serde_json::json;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const CODE: &str = concat!(
    include_str!("schema.py"),
    include_str!("server.py"),
    include_str!("run.py")
);
/// How often a long statement is told of.
const EACH: std::time::Duration = std::time::Duration::from_secs(10);

/// One marked line.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    connected: Option<u64>,
    started: i64,
    begins: Option<String>,
    number: u64,
    schema: Option<String>,
    applied: Option<String>,
    failed: Option<String>,
    operation: Option<String>,
    errors: Vec<String>,
    killed: String,
    hook: Option<String>,
    receiver: String,
    refused: Option<String>,
    waits: Option<String>,
    holders: Vec<String>,
    queued: u64,
    gives_up: Option<String>,
    progress: Option<(u64, u64, f64)>,
    working: Option<u64>,
    state: String,
    statement: String,
    memory: Option<u64>,
    peak: Option<u64>,
    finished: bool,
}

/// What the command told of itself.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// It came to its end by itself.
    pub(super) finished: bool,
    /// Why it began nothing.
    pub(super) refused: Option<String>,
    /// The migration that failed, its operation, and its errors from the first to the last.
    pub(super) failed: Option<Failed>,
    /// A receiver of a signal that failed, with its errors.
    pub(super) hook: Option<Failed>,
    /// It was ended because it waited for a lock, held by these.
    pub(super) gave_up: Option<String>,
    /// Whom it waited for last.
    pub(super) waited: Vec<String>,
    /// The most memory that it had, in MiB.
    pub(super) peak: u64,
}

/// A failure inside the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) what: String,
    pub(super) operation: Option<String>,
    pub(super) errors: Vec<String>,
}

/// Takes the output of the command.
struct OutputReader<'w, 'a> {
    work: &'w mut Work<'a, Note>,
    redactor: Redactor,
    marker: String,
    acks: PathBuf,
    alias: String,
    total: u64,
    done: u64,
    current: String,
    report: Report,
    said: Option<std::time::Instant>,
    error: Option<Error>,
}

impl OutputReader<'_, '_> {
    fn note(&mut self, note: Note) {
        if let Err(e) = self.work.note(note) {
            self.error.get_or_insert(e);
        }
    }

    fn safe(&self, texts: Vec<String>) -> Vec<String> {
        texts.iter().map(|t| self.redactor.text(t)).collect()
    }

    fn take(&mut self, line: Line) {
        let Line {
            errors, holders, ..
        } = line;
        let (errors, holders) = (self.safe(errors), self.safe(holders));
        let statement = self.redactor.text(&line.statement);
        if let Some(id) = line.connected {
            self.note(Note::Connected {
                alias: self.alias.clone(),
                id,
                started: line.started,
            });
        }
        if let Some(migration) = line.begins {
            self.begin(migration, line.number, line.schema);
        }
        if let Some(name) = line.applied {
            self.done += 1;
            self.work
                .progress(self.done, Some(self.total), "migrations");
            self.current.clear();
            self.work.log_line(&format!("{name} is applied"));
        }
        if let Some(what) = line.failed {
            let failed = Failed {
                what,
                operation: line.operation,
                errors: errors.clone(),
            };
            self.note(Note::Failed {
                alias: self.alias.clone(),
                migration: failed.what.clone(),
                operation: failed.operation.clone(),
                error: failed.errors.first().cloned().unwrap_or_default(),
            });
            if !line.killed.is_empty() {
                self.report.gave_up = Some(self.redactor.text(&line.killed));
            }
            self.report.failed = Some(failed);
        }
        if let Some(hook) = line.hook {
            let failed = Failed {
                what: hook,
                operation: Some(self.redactor.text(&line.receiver)),
                errors,
            };
            self.note(Note::HookFailed {
                alias: self.alias.clone(),
                receiver: line.receiver,
                error: failed.errors.first().cloned().unwrap_or_default(),
            });
            self.report.hook = Some(failed);
        }
        self.report.refused = line
            .refused
            .map(|w| self.redactor.text(&w))
            .or(self.report.refused.take());
        if let Some(waits) = line.waits {
            self.wait(&self.redactor.text(&waits), &holders, line.queued);
            self.report.waited = holders.clone();
        }
        if let Some(waits) = line.gives_up {
            let waits = self.redactor.text(&waits);
            let by = holders.join("; ");
            let what = format!(
                "KILL QUERY: {waits} has waited longer than `lock_wait` for {by}; nothing of the migration is done"
            );
            if let Err(e) = self.work.escalate(&what) {
                self.error.get_or_insert(e);
            }
        }
        self.at_work(line.progress, line.working, &line.state, &statement);
        self.report.peak = self.report.peak.max(line.memory.or(line.peak).unwrap_or(0));
        self.report.finished |= line.finished;
    }

    fn begin(&mut self, migration: String, number: u64, schema: Option<String>) {
        let line = format!("migration {} of {}: {migration}", self.done + 1, self.total);
        self.work.log_line(&line);
        let unit = format!("migrations, {migration} in work");
        self.work.progress(self.done, Some(self.total), &unit);
        self.current.clone_from(&migration);
        self.note(Note::Begins {
            alias: self.alias.clone(),
            migration,
            schema,
        });
        let ack: &[u8] = if self.error.is_some() { b"stop" } else { b"" };
        let path = self.acks.join(number.to_string());
        // It waits until the file is there, or until this process is gone.
        let written = replace(&path, Temporary::Random, 0o600, |file| file.write_all(ack));
        if let Err(e) = written {
            let cannot = format!("cannot write {}", path.display());
            self.error.get_or_insert(Error::io(cannot, &e));
        }
    }

    fn wait(&mut self, waits: &str, holders: &[String], queued: u64) {
        let by = if holders.is_empty() {
            "a connection that the server does not name".to_owned()
        } else {
            holders.join("; ")
        };
        let more = match queued {
            0 => String::new(),
            n => format!("; {n} other statements, reads included, wait behind it"),
        };
        self.work.log_line(&format!(
            "waiting for the metadata lock of the table, which is held by {by}{more}: {waits}"
        ));
    }

    fn at_work(
        &mut self,
        progress: Option<(u64, u64, f64)>,
        working: Option<u64>,
        state: &str,
        statement: &str,
    ) {
        let how = match (progress, working) {
            (Some((stage, stages, percent)), _) => {
                format!("stage {stage} of {stages}, {percent} %")
            }
            (None, Some(seconds)) => format!("for {seconds} s, {state}"),
            (None, None) => return,
        };
        let unit = format!("migrations, {}: {how}", self.current);
        self.work.progress(self.done, Some(self.total), &unit);
        if self.said.is_none_or(|at| at.elapsed() >= EACH) {
            self.said = Some(std::time::Instant::now());
            self.work
                .log_line(&format!("the server is at work, {how}: {statement}"));
        }
    }
}

impl Write for OutputReader<'_, '_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let marker = self.marker.as_bytes();
        let found = line.windows(marker.len()).position(|w| w == marker);
        let Some(at) = found else {
            self.work.log().write_all(line)?;
            return Ok(line.len());
        };
        if at > 0 {
            self.work.log().write_all(&[&line[..at], b"\n"].concat())?;
        }
        // A line of this marker is ours.
        if let Ok(told) = serde_json::from_slice(&line[at + marker.len()..]) {
            self.take(told);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.work.log().flush()
    }
}

/// The directory in which the command finds that a line was taken up.
fn acknowledgements(cx: &Context) -> Result<PathBuf, Error> {
    let job = cx.spool.as_ref().and_then(|spool| spool.parent());
    let job = job.ok_or_else(|| Error::new("there is no job directory"))?;
    let dir = job.join("acks");
    let made = || {
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        std::fs::create_dir(&dir)
    };
    made().map_err(|e| Error::io(format!("cannot make {}", dir.display()), &e))?;
    Ok(dir)
}

/// Runs it for one database. `applied` are the rows that it has to find; `done` of `total` migrations are applied.
pub(super) fn run(
    migrate: &Migrate,
    work: &mut Work<'_, Note>,
    alias: &str,
    applied: usize,
    (done, total): (usize, usize),
) -> Result<(Streamed, Report), Error> {
    let (cx, app) = (work.cx(), migrate.app());
    let manage = app.manage(cx)?;
    let mut inner = app.context(cx)?;
    for (key, value) in [("NO_COLOR", "1"), ("DJANGO_COLORS", "nocolor")] {
        inner.env.retain(|(k, _)| k != key);
        inner.env.push((key.into(), value.into()));
    }
    let (marker, acks) = (marker(), acknowledgements(cx)?);
    let arguments = json!({
        "alias": alias,
        "acks": acks,
        "applied": applied,
        "lock_wait": migrate.lock_wait.0 / 1000,
    });
    let argv = app.program(CODE, manage.as_deref(), &marker, "migrate", &arguments);
    let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let mut told = OutputReader {
        redactor: cx.redactor()?,
        work,
        marker,
        acks: acks.clone(),
        alias: alias.to_owned(),
        total: number(total),
        done: number(done),
        current: String::new(),
        report: Report::default(),
        said: None,
        error: None,
    };
    let ended = stream(&inner, &argv, None, &mut told, &mut |_| {});
    remove(&acks);
    let OutputReader { report, error, .. } = told;
    let ended = ended?;
    match error {
        Some(error) => Err(error),
        None => Ok((ended, report)),
    }
}

fn remove(dir: &Path) {
    // It lies in the job's directory and does no harm.
    let _ = std::fs::remove_dir_all(dir);
}

/// A limit as people read it.
pub(super) fn said(limit: time::Length) -> String {
    time::said(std::time::Duration::from_millis(limit.0))
}
