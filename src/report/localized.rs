//! Translates the fixed phrases that this program records. The record stays English; the translation is chosen by the kind
//! of the failure or doubt, and details that it omits are shown as recorded.

use crate::text::{Lang, lang, screen as text};
use upledger_replay::event::{Doubt, Failed, Failure, own};
use upledger_replay::state::{Status, TaskState};

/// Translates a reason. Text written by an operator is not changed.
#[must_use]
pub fn reason(recorded: &str) -> String {
    match recorded {
        own::LEFT_OPEN => text::left_open(),
        own::GO_ON => text::goes_on(),
        own::INTERRUPTED => text::interrupted_here(),
        own::OPERATOR => text::asked_by_operator(),
        own::OVERDUE => text::overdue(),
        other => other.to_owned(),
    }
}

/// How an attempt failed, in one line.
#[must_use]
pub fn failure(failed: &Failed) -> String {
    let detail = &failed.detail;
    let disagrees = detail.strip_prefix(own::DISAGREES);
    // The recorded phrases never change; the screens say the same in today's words.
    match (&failed.failure, lang()) {
        (Failure::Signal(own::TERM), _) => text::terminated(own::TERM),
        (Failure::Signal(number), _) => text::ended_by_signal(number),
        (Failure::Evidence, Lang::Zh) => text::evidence_disagrees(disagrees.unwrap_or(detail)),
        (Failure::Evidence, Lang::En) => {
            disagrees.map_or_else(|| detail.clone(), text::evidence_disagrees)
        }
        (_, Lang::En) => detail.clone(),
        // The last output line of a typed action is its error.
        (Failure::Exit(_), Lang::Zh) if failed.tail.last() == Some(detail) => detail.clone(),
        (Failure::Exit(code), Lang::Zh) => text::ended_with(code),
        (Failure::Timeout, Lang::Zh) => text::timed_out(),
        (Failure::Killed, Lang::Zh) => text::killed_on_request(),
        (Failure::NotStarted, Lang::Zh) => text::could_not_start(not_started(detail)),
    }
}

/// Why a command could not be started: what the program itself says of a directory.
fn not_started(detail: &str) -> String {
    let Some(rest) = detail.strip_prefix(own::DIRECTORY) else {
        return detail.to_owned();
    };
    match rest.rsplit_once(": ") {
        Some((path, why)) if why.starts_with("No such file") => text::no_working_directory(path),
        Some((path, why)) => text::bad_working_directory(path, why),
        None => detail.to_owned(),
    }
}

/// Why a step was not started, as its line shows it.
#[must_use]
pub fn refusal(detail: &str) -> String {
    match lang() {
        Lang::En => detail.to_owned(),
        Lang::Zh => not_started(detail),
    }
}

/// Why the plan leaves a step out: a variable has another value.
#[must_use]
pub fn left_out(reason: &str) -> String {
    let differs = || {
        let (name, rest) = reason.split_once(" is '")?;
        let (value, wanted) = rest.strip_suffix('\'')?.split_once("', not '")?;
        Some(text::variable_differs(name, value, wanted))
    };
    differs().unwrap_or_else(|| reason.to_owned())
}

/// A note. That a run was started in spite of what its preview found is the program's own.
#[must_use]
pub fn note(recorded: &str) -> String {
    let Some(rest) = recorded.strip_prefix(own::FORCED) else {
        return recorded.to_owned();
    };
    match rest.split_once(own::OVERRIDDEN) {
        Some((reason, found)) => text::forced_over(reason, found),
        None => text::forced(rest),
    }
}

/// What kind of doubt, in one line.
#[must_use]
pub fn doubt(kind: Doubt, cause: &str) -> String {
    // The recorded phrases never change; the screens say the same in today's words.
    if lang() == Lang::En {
        return match cause {
            own::UNSEEN => text::unseen(),
            own::UNCHECKED => text::unchecked(),
            other => other.to_owned(),
        };
    }
    match kind {
        Doubt::Unseen if cause == own::UNCHECKED => text::unchecked(),
        Doubt::Unseen => text::unseen(),
        Doubt::Alive => text::still_alive(),
        Doubt::Lost => text::lost_track(),
    }
}

/// Whether that line contains all the information of the recorded one.
#[must_use]
pub fn whole(part: &TaskState) -> bool {
    if lang() == Lang::En {
        return true;
    }
    match (part.status, &part.failed) {
        (Status::Failed, Some(failed)) => failed.failure != Failure::Killed,
        (Status::InDoubt, _) => [own::UNSEEN, own::UNCHECKED].contains(&part.detail.as_str()),
        _ => true,
    }
}

/// One line on the last outcome of a part.
#[must_use]
pub fn outcome(part: &TaskState) -> String {
    match (part.status, &part.failed, part.doubt) {
        (Status::Failed, Some(failed), _) if failed.detail == part.detail => failure(failed),
        (Status::InDoubt, _, Some(kind)) => doubt(kind, &part.detail),
        (Status::Failed, None, _) if part.refused && lang() != Lang::En => {
            text::could_not_start(not_started(&part.detail))
        }
        (Status::Skipped, None, _) => left_out(&part.detail),
        _ => part.detail.clone(),
    }
}
