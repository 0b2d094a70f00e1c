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
    if lang() == Lang::En {
        return detail.clone();
    }
    match failed.failure {
        // The last output line of a typed action is its error.
        Failure::Exit(_) if failed.tail.last() == Some(detail) => detail.clone(),
        Failure::Exit(code) => text::ended_with(code),
        Failure::Signal(number) => text::ended_by_signal(number),
        Failure::Timeout => text::timed_out(),
        Failure::Killed => text::killed_on_request(),
        Failure::NotStarted => text::could_not_start(detail),
        Failure::Evidence => {
            let seen = detail.strip_prefix(own::DISAGREES).unwrap_or(detail);
            text::evidence_disagrees(seen)
        }
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
        (Status::Failed, Some(failed)) => {
            !matches!(failed.failure, Failure::Timeout | Failure::Killed)
        }
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
            text::could_not_start(&part.detail)
        }
        _ => part.detail.clone(),
    }
}
