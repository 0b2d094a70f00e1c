//! Why `manage.py migrate` failed, and what that means: told as what it is.

use super::command::{Failed, Report, said};
use super::judge::Stand;
use super::look::{lines_of, some};
use super::seen::DatabaseState;
use super::{Database, Migrate, Note};
use crate::action::Error;
use crate::host::exec::Streamed;

/// Never again by itself: it came half-way, or somebody else did something. What is to be told beforehand, and the error.
pub(super) fn not_again<'n>(
    stand: &Stand,
    notes: impl DoubleEndedIterator<Item = &'n Note>,
    database: &Database,
) -> (Vec<String>, Error) {
    let mut short = vec![short_of(stand, database)];
    short.push(match stand {
        Stand::Foreign(_) => "it is not run".into(),
        _ => {
            "it is not run again, because another try would fail or do data steps twice".to_owned()
        }
    });
    short.extend(first_error(notes, &database.alias));
    let error = Error::new(short.join("; "))
        .remedy("roll back: the undo restores the backup")
        .lasting();
    (lines_of(stand, database, true), error)
}

/// The first error of the record, which the later ones follow from.
fn first_error<'n>(
    mut notes: impl DoubleEndedIterator<Item = &'n Note>,
    alias: &str,
) -> Option<String> {
    notes.find_map(|note| match note {
        Note::Failed {
            alias: of,
            migration,
            operation,
            error,
        } if of == alias => Some(format!(
            "the first error was in {migration}{}: {}",
            operation
                .as_ref()
                .map(|o| format!(" ({o})"))
                .unwrap_or_default(),
            cut(error)
        )),
        _ => None,
    })
}

/// How the command ended, in words.
fn end(ended: &Streamed, report: &Report) -> String {
    if ended.ended == "signal 9" {
        let peak = match report.peak {
            0 => String::new(),
            peak => format!(", when it had {peak} MiB"),
        };
        return format!(
            "manage.py migrate was killed by signal 9{peak}: by a person, or by the kernel for lack of memory (see dmesg)"
        );
    }
    let last = ended.tail.iter().rev().find(|l| !l.trim().is_empty());
    let last = match (last, &report.failed, &report.hook) {
        (Some(last), None, None) => format!(": {last}"),
        _ => String::new(),
    };
    format!("manage.py migrate failed ({}){last}", ended.ended)
}

/// The database cannot be asked how it stands.
pub(super) fn unseen(ended: &Streamed, report: &Report, why: &Error) -> Error {
    let mut lines = vec![end(ended, report)];
    lines.extend(report.failed.as_ref().map(failure));
    lines.push(format!("how far it came cannot be seen now: {why}"));
    Error::new(lines.join("; ")).remedy(
        "when the database answers again, let the step run again: it looks first, and does nothing where a migration is half applied",
    )
}

fn failure(failed: &Failed) -> String {
    let operation = match &failed.operation {
        Some(operation) => format!("at {operation}"),
        None => "at its last statements, which make foreign keys and indexes".into(),
    };
    format!(
        "{} failed {operation}: {}",
        failed.what,
        failed.errors.join(", then ")
    )
}

/// What is known of the cause beyond the error's own words.
fn cause(
    migrate: &Migrate,
    report: &Report,
    now: &DatabaseState,
    started: Option<i64>,
) -> Option<String> {
    if let Some(holders) = &report.gave_up {
        return Some(format!(
            "it was ended because it had waited {} for the lock of a table (`lock_wait`), which was held by {holders}",
            said(migrate.lock_wait)
        ));
    }
    let failed = report.failed.as_ref()?;
    let says = |codes: &[&str]| {
        failed
            .errors
            .iter()
            .any(|e| codes.iter().any(|c| e.contains(c)))
    };
    let server = &now.server;
    if says(&[
        "(2006",
        "(2013",
        "(2055",
        "(4031",
        "(1927",
        "gone away",
        "Lost connection",
    ]) {
        let whole = started.is_some_and(|s| (s - server.started).abs() <= 2);
        return Some(match whole {
            true => format!(
                "the server runs without interruption, so it closed the connection: that was idle for longer than wait_timeout \
                 ({} s), or was killed",
                server.wait_timeout
            ),
            false => "the server was started again meanwhile".into(),
        });
    }
    if says(&["(1205"]) {
        let by = match report.waited.as_slice() {
            [] => String::new(),
            holders => format!(", held by {}", some(holders)),
        };
        return Some(format!(
            "a lock was waited for{by} until lock_wait_timeout ({} s) was over; the server's words 'try restarting transaction' do not \
             apply to changes of tables",
            server.lock_wait_timeout
        ));
    }
    if says(&["(1060", "(1050", "(1061", "(1091", "(1826"]) {
        return Some(
            "the schema had that already before this step: by hand, or by an earlier try that died half-way".into(),
        );
    }
    None
}

/// The failure of one run of the command: what is to be told beforehand, and the error in short.
pub(super) fn explain<'n>(
    migrate: &Migrate,
    (ended, report): (&Streamed, &Report),
    stand: &Stand,
    (database, now): (&Database, &DatabaseState),
    notes: impl DoubleEndedIterator<Item = &'n Note> + Clone,
) -> (Vec<String>, Error) {
    if let Some(why) = &report.refused {
        let error = Error::new(format!("nothing was started: {why}"))
            .remedy("wait until the other has ended, and look at what it did before you go on");
        return (Vec::new(), error);
    }
    let started = notes.clone().rev().find_map(|note| match note {
        Note::Connected { started, alias, .. } if *alias == database.alias => Some(*started),
        _ => None,
    });
    let mut lines = lines_of(stand, database, report.finished);
    let mut short = vec![short_of(stand, database)];
    if let Some(hook) = &report.hook {
        let receiver = hook.operation.as_deref().unwrap_or_default();
        let what = format!("the receiver {receiver} of {} failed", hook.what);
        lines.push(format!("{what}: {}", hook.errors.join(", then ")));
        short.push(format!("{what}: {}", first(hook)));
    }
    if let Some(failed) = &report.failed {
        lines.push(failure(failed));
    }
    let earlier = first_error(notes, &database.alias);
    let cause = cause(migrate, report, now, started);
    match (&earlier, &report.failed) {
        (Some(earlier), _) => short.push(earlier.clone()),
        (None, Some(failed)) => short.push(failure(failed)),
        (None, None) => short.push(end(ended, report)),
    }
    lines.extend(earlier);
    lines.extend(cause.clone());
    lines.push(end(ended, report));
    short.extend(cause);
    let error = Error::new(short.join("; "));
    let error = match stand {
        Stand::Applied => error.remedy(
            "no migration is open, so the step may run again when the cause is repaired; no restore is needed for that",
        ),
        Stand::NotStarted | Stand::Between(_) => error
            .remedy("nothing is half applied: repair the cause and let the step run again, or roll back"),
        Stand::Half(_) => error.remedy("do not run it again; roll back: the undo restores the backup"),
        Stand::Foreign(_) => error.remedy("find out who did that; a rollback restores the backup"),
    };
    (lines, error)
}

/// How it stands, in a few words.
fn short_of(stand: &Stand, database: &Database) -> String {
    let total = database.plan.len();
    match stand {
        Stand::NotStarted => format!("none of {total} migrations is applied"),
        Stand::Between(done) => {
            format!("{done} of {total} migrations are applied, and nothing of the next")
        }
        Stand::Applied => format!("all {total} migrations are applied"),
        Stand::Half(half) if half.before > 0 => {
            let (done, head) = (half.before, half.head());
            format!("{done} of {total} migrations are applied, and {head}")
        }
        Stand::Half(half) => half.head(),
        Stand::Foreign(rows) => format!(
            "django_migrations was changed by somebody else: {}",
            some(rows)
        ),
    }
}

/// The first error, no longer than a line takes.
fn first(failed: &Failed) -> String {
    cut(failed.errors.first().map_or("", String::as_str))
}

fn cut(text: &str) -> String {
    const LONG: usize = 160;
    match text.char_indices().nth(LONG) {
        Some((at, _)) => format!("{} ...", &text[..at]),
        None => text.to_owned(),
    }
}
