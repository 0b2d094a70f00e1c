//! Translates causes from the ledger library to the language of the screen. Other causes are shown in English, as the
//! library or the system words them.

use super::fail::unread;
use crate::journal::JournalError;
use crate::runner::secrets::Missing;
use crate::text::{Lang, cause as text, lang};
use std::error::Error;
use upledger_ledger::{
    BadWhat, CheckpointBad, CheckpointError, Disagreement, How, MemoryError, OpenError, PlaceError,
    RestoreError, VerifyError,
};

/// A cause in the language of the screen; none where the library's own words are in it, or nobody has translated them.
pub(super) fn localized(error: &(dyn Error + 'static)) -> Option<String> {
    if lang() == Lang::En {
        return None;
    }
    // Transparent wrapper errors: the causes start below them.
    if let Some(journal) = error.downcast_ref() {
        return match journal {
            JournalError::Place(why) => place(why),
            JournalError::Open(why) => localized(&**why),
            JournalError::Memory(why) => memory(why),
            JournalError::Unknown { seq, kind, source } => {
                Some(text::unknown_event(seq, kind, source))
            }
            JournalError::Impossible { seq, source } => Some(text::impossible_event(seq, source)),
            JournalError::NotHeld(why) => Some(text::not_held(why)),
            JournalError::Short => Some(text::short()),
            JournalError::Read(_) | JournalError::Append(_) | JournalError::Refused(_) => None,
        };
    }
    if let Some(why) = error.downcast_ref() {
        return memory(why);
    }
    match error.downcast_ref() {
        Some(OpenError::Memory(why)) => return memory(why),
        Some(OpenError::Remembered(how)) => return Some(remembered(how)),
        Some(OpenError::NoLedger { path }) => return Some(text::no_file(path.display())),
        _ => {}
    }
    match error.downcast_ref() {
        Some(VerifyError::NoFile { path, .. }) => return Some(text::no_file(path.display())),
        Some(VerifyError::Missing(how)) => return Some(remembered(how)),
        _ => {}
    }
    if let Some(what) = error.downcast_ref() {
        return Some(bad(what));
    }
    if let Some(Missing { name, why }) = error.downcast_ref() {
        return Some(text::secret(name, unread(why)));
    }
    if let Some(RestoreError::Nothing) = error.downcast_ref() {
        return Some(text::nothing_to_restore());
    }
    let place = error.downcast_ref().and_then(place);
    place.or_else(|| error.downcast_ref().map(checkpoint))
}

/// What is wrong with an error, and its causes, in the language of the screen where that is known.
pub(super) fn words(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut words = vec![error.to_string()];
    let mut cause = error.source();
    let mut ours = localized(error);
    while let Some(c) = cause {
        ours = ours.or_else(|| localized(c));
        add(&mut words, c.to_string());
        cause = c.source();
    }
    ours.map_or(words, |told| vec![told])
}

/// Adds a cause that says more than the one before it. One that says the same and more takes its place.
pub(super) fn add(words: &mut Vec<String>, cause: String) {
    let ends = |long: &str, short: &str| {
        let head = long.strip_suffix(short);
        head.is_some_and(|head| head.is_empty() || head.ends_with(": "))
    };
    match words.last_mut() {
        Some(last) if ends(last, &cause) => {}
        Some(last) if ends(&cause, last) => *last = cause,
        Some(_) | None => words.push(cause),
    }
}

fn memory(error: &MemoryError) -> Option<String> {
    Some(match error {
        MemoryError::Inside { memory, state } => {
            text::memory_inside(memory.display(), state.display())
        }
        MemoryError::Damaged { path, what } => text::memory_damaged(path.display(), what),
        MemoryError::Other { path, what } => text::memory_of_another(path.display(), what),
        MemoryError::Place(why) => text::memory_place(place(why)?),
        MemoryError::Io { what, path, source } => text::memory_io(what, path.display(), source),
    })
}

fn place(error: &PlaceError) -> Option<String> {
    Some(match error {
        PlaceError::NoAccess { path, owner } => text::no_access(path.display(), owner),
        PlaceError::NotOurs { path, owner, us } => text::not_ours(path.display(), owner, us),
        PlaceError::Absent { path } => text::absent(path.display()),
        PlaceError::Symlink { path } => text::symlink(path.display()),
        PlaceError::HardLink { path, links } => text::hard_links(path.display(), links),
        PlaceError::TooOpen { path, mode } => text::too_open(path.display(), format!("{mode:04o}")),
        PlaceError::Exposed { path, parent } => text::exposed(path.display(), parent.display()),
        PlaceError::Network { path, name } => text::network(path.display(), name),
        PlaceError::Type { .. } | PlaceError::Io { .. } => return None,
    })
}

fn checkpoint(error: &CheckpointError) -> String {
    match error {
        CheckpointError::Lines => text::checkpoint_lines(),
        CheckpointError::Origin => text::checkpoint_origin(),
        CheckpointError::Size => text::checkpoint_size(),
        CheckpointError::Root => text::checkpoint_root(),
    }
}

/// What a verification found to be wrong; the rule of the format that is broken is named as the library names it.
fn bad(what: &BadWhat) -> String {
    match what {
        BadWhat::Event(fault) => text::bad_event(fault),
        BadWhat::Schema(fault) => text::bad_schema(fault),
        BadWhat::Integrity(found) => text::bad_integrity(found),
        BadWhat::Unreadable(why) => text::unreadable(why),
        BadWhat::Checkpoint { size, why } => text::bad_checkpoint(size, checkpoint_bad(why)),
        BadWhat::StoredCheckpoint { size, why } => {
            text::bad_stored_checkpoint(size, checkpoint_bad(why))
        }
        BadWhat::Memory(how) => text::memory_disagrees(remembered(how)),
        BadWhat::Blob(sha256) => text::bad_blob(sha256),
    }
}

fn checkpoint_bad(why: &CheckpointBad) -> String {
    match why {
        CheckpointBad::Text(error) => checkpoint(error),
        CheckpointBad::Size => text::checkpoint_row(),
        CheckpointBad::OtherLedger(id) => text::checkpoint_other(id),
        CheckpointBad::Truncated { have } => text::checkpoint_truncated(have),
        CheckpointBad::Rewritten { root } => text::checkpoint_rewritten(root),
    }
}

fn remembered(error: &Disagreement) -> String {
    let path = &error.remembered.path;
    let how = match error.how {
        How::Shorter => text::shorter(path),
        How::Rewritten => text::rewritten(path),
        How::Foreign => text::foreign(path),
        How::Missing => text::missing(path),
        How::Elsewhere => text::elsewhere(path),
    };
    let was = &error.remembered;
    match &error.found {
        Some(found) => {
            text::remembered_and_found(how, was.size, &was.ledger, found.size, &found.ledger)
        }
        None => text::remembered(how, was.size, &was.ledger),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once_in_its_longest_words() {
        let said = |causes: &[&str]| {
            let mut words = Vec::new();
            for cause in causes {
                add(&mut words, (*cause).to_owned());
            }
            words.join(": ")
        };
        let full = "database or disk is full";
        let coded = format!("Error code 13: {full}");
        assert_eq!(
            said(&["the disk is full", full, &coded]),
            format!("the disk is full: {coded}")
        );
        let gone = "runner.lock was removed or replaced";
        let held = format!("another runner may be active: {gone}");
        assert_eq!(said(&[&held, gone]), held);
        assert_eq!(said(&[gone, gone]), gone);
        // What merely ends alike says something of its own.
        assert_eq!(said(&["is full", full]), format!("is full: {full}"));
    }
}
