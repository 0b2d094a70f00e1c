//! Errors as people and programs see them: what, why, the command that helps, and the exit code of each.

use super::cause;
use super::code;
use super::out::Out;
use crate::home::Home;
use crate::journal::JournalError;
use crate::report::paint::Tone;
use crate::report::{local_date, local_time, safe};
use crate::runner::RunnerError;
use crate::runner::lock::{Holder, LockError};
use crate::text::{Lang, commands as text, explain, lang, screen};
use serde_json::json;
use std::error::Error;
use std::io::ErrorKind;
use upledger_ledger::{
    AppendError, Disagreement, How, MemoryError, OpenError, ReadError, RestoreError,
};

/// A command that did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    kind: &'static str,
    /// What, then the chain of causes.
    words: Vec<String>,
    /// The words are those of a library or the system, and so in English.
    foreign: bool,
    hints: Vec<String>,
}

impl Failure {
    pub(crate) fn new(code: u8, kind: &'static str, what: impl Into<String>) -> Self {
        Self {
            code,
            kind,
            words: vec![what.into()],
            foreign: false,
            hints: Vec::new(),
        }
    }

    pub(crate) fn of(code: u8, kind: &'static str, error: &(dyn Error + 'static)) -> Self {
        Self {
            code,
            kind,
            words: cause::words(error),
            foreign: true,
            hints: Vec::new(),
        }
    }

    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(code::USAGE, "usage", what)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// What it says, in one line.
    pub(crate) fn words(&self) -> String {
        crate::text::causes(&self.words)
    }

    pub(crate) fn show(&self, out: &mut Out) -> u8 {
        if out.json {
            let value = json!({
                "error": self.kind,
                "message": self.words.first(),
                "causes": self.words.get(1..),
                "hints": self.hints,
            });
            out.result(value, self.code);
        } else {
            let words = safe(&self.words());
            let title = explain::meaning(self.kind).filter(|_| self.foreign && lang() == Lang::Zh);
            match title {
                Some(title) => {
                    out.error(&Tone::Failed.lead(&text::error(title)));
                    out.error(&format!("  {}", text::cause(words)));
                }
                None => out.error(&Tone::Failed.lead(&text::error(words))),
            }
            for hint in &self.hints {
                out.error(&format!("  {hint}"));
            }
        }
        self.code
    }
}

/// A ledger that is remembered at another path. One that is older than what was seen there is not to be gone on with.
fn elsewhere(how: &Disagreement, error: &(dyn Error + 'static)) -> Failure {
    let failure = Failure::of(code::DAMAGED, "copied", error);
    let failure = match how.is_older() {
        true => failure.hint(text::older_copy(&how.remembered.path)),
        false => failure.hint(text::is_it_moved()),
    };
    failure.hint("  upledger ledger restored --reason '...'")
}

/// No ledger where one was expected.
pub(crate) fn no_ledger(home: &Home) -> Failure {
    Failure::new(
        code::USAGE,
        "no_ledger",
        text::no_ledger(home.state.display()),
    )
    .hint(text::name_its_place())
}

impl From<JournalError> for Failure {
    fn from(e: JournalError) -> Self {
        let remedy = text::see_what_it_holds("upledger verify");
        match &e {
            JournalError::Place(_) => place(&e),
            JournalError::Memory(m) => memory(m, &e),
            JournalError::Open(open) => match &**open {
                OpenError::Place(_) => place(&e),
                OpenError::NoLedger { .. } => {
                    Self::of(code::USAGE, "no_ledger", &e).hint(text::name_its_place())
                }
                OpenError::Remembered(how) if how.how == How::Elsewhere => elsewhere(how, &e),
                OpenError::Remembered(_) => Self::of(code::DAMAGED, "older_than_remembered", &e)
                    .hint(text::bring_newest_back())
                    .hint("  upledger ledger restored --reason '...'"),
                OpenError::Busy { .. } => busy(&e),
                OpenError::Connect { .. } | OpenError::Sqlite { .. } | OpenError::Disk { .. } => {
                    Self::of(code::UNWRITABLE, "ledger", &e).hint(text::look_at_the_disk())
                }
                OpenError::Clock(_) | OpenError::Random(_) => {
                    Self::of(code::UNWRITABLE, "ledger", &e)
                }
                OpenError::NotALedger { .. }
                | OpenError::Damaged(_)
                | OpenError::Corrupt { .. }
                | OpenError::Unsound { .. }
                | OpenError::Schema { .. } => {
                    Self::of(code::DAMAGED, "ledger_damaged", &e).hint(&remedy)
                }
                OpenError::Memory(m) => memory(m, &e),
                OpenError::Identity(_) => Self::of(code::UNWRITABLE, "identity", &e),
            },
            JournalError::Read(ReadError::Busy { .. }) => busy(&e),
            JournalError::Read(ReadError::Place(_)) => place(&e),
            JournalError::Read(read) if !read.is_damage() => {
                Self::of(code::UNWRITABLE, "ledger", &e).hint(text::look_at_the_disk())
            }
            JournalError::Read(_)
            | JournalError::Unknown { .. }
            | JournalError::Impossible { .. } => {
                Self::of(code::DAMAGED, "ledger_damaged", &e).hint(&remedy)
            }
            JournalError::Append(append) => match &**append {
                AppendError::Busy { .. } => busy(&e),
                AppendError::Remembered(how) if how.how == How::Elsewhere => elsewhere(how, &e),
                AppendError::Full { .. } => Self::of(code::UNWRITABLE, "disk_full", &e)
                    .hint(text::make_room("upledger resume")),
                append if append.is_damage() => {
                    Self::of(code::DAMAGED, "ledger_damaged", &e).hint(&remedy)
                }
                _ => Self::of(code::UNWRITABLE, "ledger_unwritable", &e)
                    .hint(text::acknowledged_is_safe()),
            },
            JournalError::Short => {
                Self::of(code::UNWRITABLE, "disk_full", &e).hint(text::make_room("upledger resume"))
            }
            JournalError::NotHeld(_) => Self::of(code::HELD, "held", &e)
                .hint(text::beside_it())
                .hint(screen::then("upledger resume")),
            JournalError::Refused(_) => Self::of(code::NOT_NOW, "not_now", &e),
        }
    }
}

fn place(whole: &JournalError) -> Failure {
    if fails_to_read(whole) {
        return Failure::of(code::UNWRITABLE, "ledger", whole).hint(text::look_at_the_disk());
    }
    Failure::of(code::USAGE, "state_directory", whole)
}

/// The device cannot read, somewhere below an error.
fn fails_to_read(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(e) = cause {
        let system = e.downcast_ref::<std::io::Error>();
        if system.is_some_and(|e| e.raw_os_error() == Some(libc::EIO)) {
            return true;
        }
        cause = e.source();
    }
    false
}

fn busy(whole: &(dyn Error + 'static)) -> Failure {
    Failure::of(code::HELD, "ledger_busy", whole).hint(text::try_again("upledger status"))
}

/// The memory of heads, which can be damaged, in the wrong place, or on a full disk.
pub(crate) fn memory(why: &MemoryError, whole: &(dyn Error + 'static)) -> Failure {
    let code = match why {
        MemoryError::Damaged { .. } | MemoryError::Other { .. } => code::DAMAGED,
        MemoryError::Io { source, .. }
            if matches!(
                source.kind(),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            code::UNWRITABLE
        }
        _ if fails_to_read(whole) => code::UNWRITABLE,
        MemoryError::Inside { .. } | MemoryError::Place(_) | MemoryError::Io { .. } => code::USAGE,
    };
    let failure = Failure::of(code, "memory", whole);
    if code == code::USAGE {
        return failure.hint(text::name_memory("UPLEDGER_MEMORY"));
    }
    failure
}

impl From<RunnerError> for Failure {
    fn from(e: RunnerError) -> Self {
        match e {
            RunnerError::Journal(j) => j.into(),
            RunnerError::TooShort(_) => {
                Self::of(code::WAITING, "secret", &e).hint(text::nothing_started("upledger resume"))
            }
            RunnerError::Job(_) => Self::of(code::UNWRITABLE, "job_directory", &e)
                .hint(screen::then("upledger resume")),
            RunnerError::Refused(_) | RunnerError::NoRun(_) => {
                Self::of(code::NOT_NOW, "not_now", &e)
            }
            RunnerError::Io(..) => {
                Self::of(code::UNWRITABLE, "system", &e).hint(screen::then("upledger resume"))
            }
        }
    }
}

/// Who drives a run: who, where, which process, since when in this machine's zone.
pub(crate) fn holder_words(holder: &Holder) -> String {
    let mut who = holder.actor.clone();
    if !holder.host.is_empty() {
        who = text::holder_at(who, &holder.host);
    }
    if let Some(origin) = &holder.origin {
        who = text::holder_from(who, origin);
    }
    let since = format!(
        "{} {}",
        local_date(&holder.since),
        local_time(&holder.since)
    );
    text::holder(who, holder.pid, since)
}

impl From<LockError> for Failure {
    fn from(e: LockError) -> Self {
        match e {
            LockError::Held(holder) => Self::new(
                code::HELD,
                "held",
                text::held_by(holder.map_or_else(text::somebody, |h| holder_words(&h))),
            )
            .hint(text::beside_it()),
            LockError::Io { .. } if fails_to_read(&e) => {
                Self::of(code::UNWRITABLE, "system", &e).hint(text::look_at_the_disk())
            }
            LockError::Io { .. } => Self::of(code::USAGE, "state_directory", &e),
        }
    }
}

impl From<RestoreError> for Failure {
    fn from(e: RestoreError) -> Self {
        match e {
            RestoreError::Nothing => Self::of(code::NOT_NOW, "restore", &e),
            RestoreError::NoReason => Self::of(code::USAGE, "restore", &e),
            RestoreError::Open(open) => JournalError::from(open).into(),
            RestoreError::Append(append) => JournalError::Append(Box::new(append)).into(),
        }
    }
}

/// Why a secret cannot be read, in the language of the screen where the reason is ours.
pub(crate) fn unread(why: &str) -> String {
    why.strip_prefix(crate::runner::secrets::NO_VARIABLE)
        .map_or_else(|| why.to_owned(), text::no_variable)
}
