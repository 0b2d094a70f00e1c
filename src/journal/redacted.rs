//! Which parts of an event are free text, so that they pass the redactor, and which are structure and never touched.
//!
//! Free text is what people type, and what commands, looks and the system say. Structure is what decisions, undos and
//! later readers depend on: keys, ids, nonces, digests, kinds, the plan. A secret is any text, so it may well equal a
//! step's id or a word of ours; a ledger whose structure were rewritten could never be read again.
//!
//! There is no `..` and no `_` here: whoever adds an event or a field has to say which of the two it is.

use crate::redact::Redactor;
use upledger_replay::event::{
    Decided, Doubted, Escalated, Event, Failed, KillRequested, Note, Noted, Probed, Reason,
    Refusal, RollbackStarted, RunAmended, RunPlanned, Satisfied, Skipped, Started, Succeeded,
};
use upledger_replay::plan::Pair;

/// The event as it may be recorded.
pub(super) fn redacted(event: &Event, redactor: &Redactor) -> Event {
    let text = |text: String| redactor.text(&text);
    let lines = |lines: Vec<String>| lines.iter().map(|l| redactor.text(l)).collect();
    let reason = |Reason { reason }| Reason {
        reason: text(reason),
    };
    match event.clone() {
        // The ledger writes these itself.
        Event::LedgerCreated(value) => Event::LedgerCreated(value),
        Event::SessionOpened(value) => Event::SessionOpened(value),
        Event::LedgerRestored(value) => Event::LedgerRestored(value),
        // The plan has a digest. A run refuses a plan that holds the value of one of its secrets.
        Event::RunPlanned(RunPlanned {
            digest,
            plan,
            warnings,
            contract,
            given,
        }) => Event::RunPlanned(RunPlanned {
            digest,
            plan,
            warnings: lines(warnings),
            contract,
            given,
        }),
        Event::RunAmended(RunAmended {
            digest,
            plan,
            steps,
            warnings,
            reason,
            given,
        }) => Event::RunAmended(RunAmended {
            digest,
            plan,
            steps,
            warnings: lines(warnings),
            reason: text(reason),
            given,
        }),
        Event::RunResumed(r) => Event::RunResumed(reason(r)),
        Event::PauseRequested(r) => Event::PauseRequested(reason(r)),
        Event::AbortRequested(r) => Event::AbortRequested(reason(r)),
        Event::RunAborted(empty) => Event::RunAborted(empty),
        Event::RunCompleted(empty) => Event::RunCompleted(empty),
        Event::RollbackStarted(RollbackStarted {
            to,
            reason,
            accept_data_loss,
            looks_again,
        }) => Event::RollbackStarted(RollbackStarted {
            to,
            reason: text(reason),
            accept_data_loss,
            looks_again,
        }),
        Event::RollbackCompleted(empty) => Event::RollbackCompleted(empty),
        // `observed` is what the undo puts back, so it is recorded as it is or not at all: a look refuses to return
        // one that holds a secret (`Work::observe`), and the step is not started.
        Event::StepStarted(Started {
            at,
            nonce,
            spec,
            command,
            observed,
            timeout_ms,
            inputs,
        }) => Event::StepStarted(Started {
            at,
            nonce,
            spec,
            command: lines(command),
            observed,
            timeout_ms,
            inputs,
        }),
        // Like `observed`: recorded as it is or not at all.
        Event::StepNoted(Noted { at, note }) => Event::StepNoted(Noted { at, note }),
        Event::StepRefused(Refusal { part, detail }) => Event::StepRefused(Refusal {
            part,
            detail: text(detail),
        }),
        Event::StepSatisfied(Satisfied {
            part,
            evidence,
            produced,
        }) => Event::StepSatisfied(Satisfied {
            part,
            evidence: lines(evidence),
            produced,
        }),
        Event::StepSkipped(Skipped { part, reason }) => Event::StepSkipped(Skipped {
            part,
            reason: text(reason),
        }),
        Event::StepSucceeded(Succeeded {
            at,
            evidence,
            facts,
            produced,
            printed,
            output,
            took_ms,
        }) => Event::StepSucceeded(Succeeded {
            at,
            evidence: lines(evidence),
            // A fact that holds a secret has failed its step before it came here.
            facts: facts
                .into_iter()
                .map(|Pair { key, value }| Pair {
                    key,
                    value: text(value),
                })
                .collect(),
            // Whoever makes it refuses one that holds a secret.
            produced,
            printed,
            output,
            took_ms,
        }),
        Event::StepFailed(Failed {
            at,
            failure,
            detail,
            tail,
            printed,
            output,
            took_ms,
            left_behind,
        }) => Event::StepFailed(Failed {
            at,
            failure,
            detail: text(detail),
            tail: lines(tail),
            printed,
            output,
            took_ms,
            left_behind,
        }),
        Event::StepFenced(at) => Event::StepFenced(at),
        Event::StepAdopted(at) => Event::StepAdopted(at),
        Event::StepDoubted(Doubted {
            at,
            doubt,
            cause,
            tail,
        }) => Event::StepDoubted(Doubted {
            at,
            doubt,
            cause: text(cause),
            tail: lines(tail),
        }),
        Event::StepProbed(Probed {
            at,
            answer,
            evidence,
            produced,
        }) => Event::StepProbed(Probed {
            at,
            answer,
            evidence: lines(evidence),
            produced,
        }),
        Event::StepDecided(Decided {
            part,
            decision,
            reason,
            evidence,
            produced,
        }) => Event::StepDecided(Decided {
            part,
            decision,
            reason: text(reason),
            evidence: lines(evidence),
            produced,
        }),
        Event::KillRequested(KillRequested { at, reason }) => Event::KillRequested(KillRequested {
            at,
            reason: text(reason),
        }),
        Event::StepEscalated(Escalated { at, what }) => Event::StepEscalated(Escalated {
            at,
            what: text(what),
        }),
        Event::NoteAdded(Note { text: said }) => Event::NoteAdded(Note { text: text(said) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use upledger_replay::event::{Attempt, Direction, Failure, Output, TaskKey};

    fn at() -> Attempt {
        Attempt {
            part: TaskKey::local("migrate", Direction::Do),
            attempt: 1,
        }
    }

    /// Secrets that equal words of the structure.
    fn redactor() -> Redactor {
        let secrets: Vec<(String, String)> = [
            "migrate", "nonce", "part", "sha256", "cafe", "local", "killed",
        ]
        .iter()
        .map(|s| ((*s).to_owned(), (*s).to_owned()))
        .collect();
        Redactor::new(&secrets).unwrap()
    }

    #[test]
    fn an_intent_keeps_its_structure_and_loses_secrets_in_its_words() {
        let started = Started {
            at: at(),
            nonce: "cafecafe".into(),
            spec: "cafe".into(),
            command: vec!["migrate --all".into()],
            observed: json!({"sha256": "x"}),
            timeout_ms: None,
            inputs: Vec::new(),
        };
        let Event::StepStarted(kept) = redacted(&Event::StepStarted(started.clone()), &redactor())
        else {
            panic!("another event");
        };
        assert_eq!(kept.command, ["[redacted:migrate] --all"]);
        let command = started.command.clone();
        assert_eq!(Started { command, ..kept }, started);
    }

    #[test]
    fn an_outcome_can_be_read_again_whatever_the_secrets_are() {
        let event = Event::StepFailed(Failed {
            at: at(),
            failure: Failure::Killed,
            detail: "killed by hand".into(),
            tail: vec!["a part of it".into()],
            printed: None,
            output: Some(Output {
                sha256: "cafe".into(),
                len: 1,
                dropped: 0,
            }),
            took_ms: None,
            left_behind: false,
        });
        let kept = redacted(&event, &redactor());
        let text = serde_json::to_value(&kept).unwrap();
        assert_eq!(serde_json::from_value::<Event>(text.clone()).unwrap(), kept);
        assert_eq!(text["data"]["detail"], "[redacted:killed] by hand");
        assert_eq!(text["data"]["tail"][0], "a [redacted:part] of it");
        assert_eq!(text["data"]["at"]["part"]["step"], "migrate");
        assert_eq!(text["data"]["output"]["sha256"], "cafe");
    }
}
