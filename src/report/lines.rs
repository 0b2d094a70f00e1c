//! One event, one plain line: for pipes, logs and the timeline.

use super::{duration, safe};
use crate::journal::Entry;
use serde_json::{Value, json};
use upledger_replay::event::{Answer, Decision, Event, Part, Way};

/// An event for people: its verb and its words. None for events that only matter to programs.
#[must_use]
pub fn words(event: &Event) -> Option<(&'static str, String)> {
    let part = |p: &Part| p.to_string();
    let took = |ms: Option<u64>| ms.map_or(String::new(), |ms| format!("  {}", duration(ms)));
    let more = |lines: &[String]| lines.first().map_or(String::new(), |l| format!("  {l}"));
    Some(match event {
        Event::LedgerCreated(_) | Event::SessionOpened(_) => return None,
        Event::LedgerRestored(_) => ("restored", "the ledger goes on from an older copy".into()),
        Event::RunPlanned(p) => (
            "planned",
            format!(
                "{}  plan {}",
                p.plan.name,
                &p.digest.get(..12).unwrap_or_default()
            ),
        ),
        Event::RunResumed(r) => ("resumed", r.reason.clone()),
        Event::PauseRequested(r) => ("pause", format!("before the next step: {}", r.reason)),
        Event::AbortRequested(r) => ("abort", format!("before the next step: {}", r.reason)),
        Event::RunAborted(_) => ("aborted", "what was done stays done".into()),
        Event::RunCompleted(_) => ("completed", "every step is done".into()),
        Event::RollbackStarted(r) => (
            "rollback",
            match &r.to {
                Some(to) => format!("back to {to}: {}", r.reason),
                None => r.reason.clone(),
            },
        ),
        Event::RollbackCompleted(_) => (
            "rolled back",
            "everything that was to be reversed is reversed".into(),
        ),
        Event::StepStarted(s) => {
            let again = if s.at.attempt > 1 {
                format!("  attempt {}", s.at.attempt)
            } else {
                String::new()
            };
            let verb = if s.at.part.way == Way::Undo {
                "undo"
            } else {
                "start"
            };
            (verb, format!("{}{again}", s.at.part.step))
        }
        Event::StepSatisfied(s) => ("already", format!("{}{}", part(&s.part), more(&s.evidence))),
        Event::StepSkipped(s) => ("skipped", format!("{}  {}", part(&s.part), s.reason)),
        Event::StepSucceeded(s) => (
            "done",
            format!(
                "{}{}{}",
                part(&s.at.part),
                took(s.took_ms),
                more(&s.evidence)
            ),
        ),
        Event::StepFailed(f) => (
            "failed",
            format!("{}{}  {}", part(&f.at.part), took(f.took_ms), f.detail),
        ),
        Event::StepFenced(a) => (
            "fenced",
            format!("{}  attempt {} never started", part(&a.part), a.attempt),
        ),
        Event::StepAdopted(a) => ("adopted", format!("{}  it is still running", part(&a.part))),
        Event::StepDoubted(d) => ("in doubt", format!("{}  {}", part(&d.at.part), d.cause)),
        Event::StepProbed(p) => {
            let answer = match p.answer {
                Answer::Done => "it is done",
                Answer::Nothing => "nothing of it happened",
                Answer::Unclear => "it cannot be told",
            };
            (
                "looked",
                format!("{}  {answer}{}", part(&p.at.part), more(&p.evidence)),
            )
        }
        Event::StepDecided(d) => {
            let decision = match d.decision {
                Decision::Done => "done",
                Decision::Retry => "retry",
                Decision::Skip => "skip",
                Decision::Fail => "fail",
            };
            (
                "decided",
                format!("{}: {decision}  {}", part(&d.part), d.reason),
            )
        }
        Event::KillRequested(k) => ("kill", format!("{}  {}", part(&k.at.part), k.reason)),
        Event::NoteAdded(n) => ("note", n.text.clone()),
    })
}

/// The plain line of an event.
#[must_use]
pub fn line(entry: &Entry) -> Option<String> {
    let (verb, words) = words(&entry.event)?;
    Some(format!(
        "{}  {verb:<11}  {}",
        super::local_time(&entry.when.ts),
        safe(&words)
    ))
}

/// The event for programs.
#[must_use]
pub fn value(entry: &Entry) -> Value {
    // Every event has a JSON form.
    let event = serde_json::to_value(&entry.event).unwrap_or(Value::Null);
    json!({
        "seq": entry.when.seq,
        "ts": entry.when.ts,
        "run": entry.run,
        "actor": entry.actor,
        "kind": event["kind"],
        "data": event["data"],
    })
}
