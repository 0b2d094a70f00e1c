//! Runs that were started by an earlier version and that only that version can continue: the error and its hints.

use super::code;
use super::fail::Failure;
use crate::journal::{Journal, JournalError};
use crate::report::safe;
pub(super) use crate::runner::former::same;
use crate::text::commands as text;
use serde_json::Value;
use upledger_replay::contract::{self, Former};
use upledger_replay::state::Run;

/// Version and SHA-256 of the program that began a run, as its session says.
fn beginner(journal: &Journal, run: &str) -> Result<(String, String), JournalError> {
    let ledger = journal.ledger();
    let planned = ledger.read_run(run).next().transpose()?;
    let session = match planned.and_then(|record| record.sess) {
        Some(seq) => ledger.read_from(seq).next().transpose()?,
        None => None,
    };
    let data: Option<Value> = session.and_then(|r| serde_json::from_str(r.data()).ok());
    let data = data.unwrap_or_default();
    let text = |key: &str| safe(data[key].as_str().unwrap_or("?"));
    Ok((text("program"), text("program_sha256")))
}

/// Refuses a run that this version cannot go on with; nothing is recorded then. `run` is as it would go on, and `command`
/// the one by which the version that began it does what was asked.
pub(super) fn continuable(journal: &Journal, run: &Run, command: &str) -> Result<(), Failure> {
    contract::continuable(run, same).map_err(|former| refusal(journal, &run.name, &former, command))
}

/// What is said of such a run.
pub(super) fn refusal(journal: &Journal, run: &str, former: &Former, command: &str) -> Failure {
    let (version, sha256) = match beginner(journal, run) {
        Ok(beginner) => beginner,
        Err(e) => return e.into(),
    };
    let what = text::begun_before(run, &version, safe(&former.step));
    // A program cannot read events of a later contract.
    let contract = journal.run(run).map_or(0, |r| r.contract);
    let mut later = journal.book().runs.iter().rev();
    let remedy = match later.find(|r| r.contract > contract) {
        None => text::go_on_by(&version, &sha256, command),
        Some(later) => {
            let log = format!("upledger log {run}");
            text::read_no_more(&version, &later.name, log)
        }
    };
    let failure = Failure::new(code::NOT_NOW, "begun_before", what).hint(remedy);
    let ended = journal.run(run).is_none_or(|r| r.ended.is_some());
    if ended {
        failure
    } else {
        failure.hint(text::or_end_as_it_is("upledger abort --reason '...'"))
    }
}
