//! Formats an event as one plain line, for pipes, logs and the timeline. Nothing is truncated; a narrow terminal wraps the
//! line.

use super::paint::Tone;
use super::{duration, localized, safe};
use crate::journal::Entry;
use crate::text::screen as text;
use serde_json::{Value, json};
use upledger_replay::event::{Answer, Direction, Event, TaskKey};
use upledger_replay::state::Run;

/// A part for people.
#[must_use]
pub fn part(part: &TaskKey) -> String {
    let step = TaskKey {
        way: Direction::Do,
        ..part.clone()
    }
    .to_string();
    match part.way {
        Direction::Do => step,
        Direction::Undo => text::undo_of(step),
    }
}

/// The same in a run that is known: a check at the end of its rollback is no undo.
#[must_use]
pub fn part_of(run: Option<&Run>, key: &TaskKey) -> String {
    match run.is_some_and(|run| run.is_check(key)) {
        true => text::check_of(&key.step),
        false => part(key),
    }
}

/// An event for people: its verb and its words. None for events that only matter to programs.
fn words(event: &Event, run: Option<&Run>) -> Option<(String, String)> {
    let part = |key: &TaskKey| part_of(run, key);
    let took = |ms: Option<u64>| ms.map_or(String::new(), |ms| format!("  {}", duration(ms)));
    let more = |lines: &[String]| {
        let first = lines.first();
        first.map_or(String::new(), |l| format!("  {l}"))
    };
    Some(match event {
        Event::LedgerCreated(_) | Event::SessionOpened(_) => return None,
        Event::LedgerRestored(data) => {
            let reason = data["reason"].as_str().unwrap_or_default();
            (text::restored(), text::from_older_copy(reason))
        }
        Event::RunPlanned(p) => {
            let digest = p.digest.get(..12).unwrap_or_default();
            (text::planned(), text::plan_is(&p.plan.name, digest))
        }
        Event::RunAmended(a) => {
            let digest = a.digest.get(..12).unwrap_or_default();
            let words = match a.steps.as_slice() {
                [] => text::amended_head(digest, &a.reason),
                steps => text::amended_to(digest, crate::text::list(steps), &a.reason),
            };
            (text::amended(), words)
        }
        Event::RunResumed(r) => (text::resumed(), localized::reason(&r.reason)),
        Event::PauseRequested(r) => (
            text::pause(),
            text::before_next_step(localized::reason(&r.reason)),
        ),
        Event::AbortRequested(r) => (text::abort(), text::before_next_step(&r.reason)),
        Event::RunAborted(_) => (text::aborted(), text::stays_done()),
        Event::RunCompleted(_) => (text::completed(), text::every_step_done()),
        Event::RollbackStarted(r) => (
            text::rollback(),
            match &r.to {
                Some(to) => text::back_to(to, localized::reason(&r.reason)),
                None => localized::reason(&r.reason),
            },
        ),
        Event::RollbackCompleted(_) => (text::rolled_back(), text::all_reversed()),
        Event::StepStarted(s) => {
            let again = if s.at.attempt > 1 {
                format!("  {}", text::attempt(s.at.attempt))
            } else {
                String::new()
            };
            let check = run.is_some_and(|run| run.is_check(&s.at.part));
            let verb = match s.at.part.way {
                Direction::Do => text::start(),
                Direction::Undo if check => text::check_verb(),
                Direction::Undo => text::undo(),
            };
            (verb, format!("{}{again}", s.at.part.step))
        }
        Event::StepSatisfied(s) => (
            text::already(),
            format!("{}{}", part(&s.part), more(&s.evidence)),
        ),
        Event::StepSkipped(s) => (
            text::skipped(),
            format!("{}  {}", part(&s.part), localized::left_out(&s.reason)),
        ),
        Event::StepSucceeded(s) => {
            let evidence = more(&s.evidence);
            (
                text::done(),
                format!("{}{}{evidence}", part(&s.at.part), took(s.took_ms)),
            )
        }
        Event::StepFailed(f) => {
            let (took, why) = (took(f.took_ms), localized::failure(f));
            (text::failed(), format!("{}{took}  {why}", part(&f.at.part)))
        }
        Event::StepFenced(a) => (
            text::fenced(),
            text::never_started(part(&a.part), a.attempt),
        ),
        Event::StepAdopted(a) => (text::adopted(), text::still_running(part(&a.part))),
        Event::StepDoubted(d) => (
            text::in_doubt(),
            format!(
                "{}  {}",
                part(&d.at.part),
                localized::doubt(d.doubt, &d.cause)
            ),
        ),
        Event::StepProbed(p) => {
            let answer = match p.answer {
                Answer::Done => text::it_is_done(),
                Answer::Nothing => text::nothing_happened(),
                Answer::Unclear => text::cannot_be_told(),
            };
            (
                text::looked(),
                format!("{}  {answer}{}", part(&p.at.part), more(&p.evidence)),
            )
        }
        Event::StepDecided(d) => {
            let decision = super::status::decision_word(d.decision);
            (
                text::decided(),
                format!(
                    "{}  {}",
                    text::decided_is(part(&d.part), decision),
                    d.reason
                ),
            )
        }
        Event::KillRequested(k) => (
            text::kill(),
            format!("{}  {}", part(&k.at.part), localized::reason(&k.reason)),
        ),
        Event::StepEscalated(e) => (
            text::escalated(),
            format!("{}  {}", part(&e.at.part), e.what),
        ),
        Event::StepNoted(n) => (
            text::noted(),
            format!("{}  {}", part(&n.at.part), note(&n.note)),
        ),
        Event::StepRefused(r) => (
            text::refused(),
            format!("{}  {}", part(&r.part), localized::refusal(&r.detail)),
        ),
        Event::NoteAdded(n) => (text::note(), localized::note(&n.text)),
    })
}

/// What an action noted, as a person reads it: its name, and its plain values. The record has all of it.
fn note(noted: &Value) -> String {
    let Value::Object(fields) = noted else {
        return plain(noted).unwrap_or_default();
    };
    let is_process = |value: &Value| value.get("starttime").is_some();
    // The clock of the boot, and whole command lines, tell a person nothing here.
    let shown = fields
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "at" | "commands"));
    let words = shown.map(|(name, value)| {
        let name = match name.as_str() {
            "wanted" => "new content".to_owned(),
            name => name.replace('_', " "),
        };
        match value {
            // Where its bytes are kept is for the undo.
            kept if kept.get("blob").is_some() => match &kept["len"] {
                Value::Number(len) => format!("{name}: {len} bytes"),
                _ => name,
            },
            process if is_process(process) => format!("{name} {}", process["pid"]),
            Value::Object(_) => format!("{name}: {}", note(value)),
            Value::Array(all) if all.iter().all(is_process) => {
                let pids: Vec<String> = all.iter().map(|p| p["pid"].to_string()).collect();
                format!("{name} {}", pids.join(" "))
            }
            other => plain(other).map_or(name.clone(), |text| format!("{name} {text}")),
        }
    });
    words.collect::<Vec<_>>().join(", ")
}

/// A value of one word; none of a list, of nothing, and of a digest.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.len() < 64 => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::String(_) | Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Events that an operator requested are shown with the operator.
fn ordered(event: &Event) -> bool {
    matches!(
        event,
        Event::PauseRequested(_)
            | Event::AbortRequested(_)
            | Event::RollbackStarted(_)
            | Event::StepDecided(_)
            | Event::KillRequested(_)
            | Event::RunAmended(_)
            | Event::NoteAdded(_)
            | Event::LedgerRestored(_)
    )
}

/// The plain line of an event; `run` is the run that it belongs to, where that is known.
#[must_use]
pub fn line(entry: &Entry, run: Option<&Run>) -> Option<String> {
    let (verb, words) = words(&entry.event, run)?;
    Some(whole(entry, &verb, words))
}

/// The event in words, without its time.
#[must_use]
pub fn in_words(entry: &Entry, run: Option<&Run>) -> String {
    words(&entry.event, run).map_or_else(String::new, |(verb, words)| match sentence(&words) {
        words if words.is_empty() => safe(&verb),
        words => safe(&text::verb_and_words(verb, words)),
    })
}

/// The same without its verb.
#[must_use]
pub fn detail(entry: &Entry, run: Option<&Run>) -> String {
    words(&entry.event, run).map_or_else(String::new, |(_, words)| safe(&sentence(&words)))
}

/// Columns of a line as parts of a sentence.
fn sentence(words: &str) -> String {
    let parts = words
        .split("  ")
        .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(&text::comma())
}

/// What an outcome rests on, as its line shows it: the first evidence, or the cause.
#[must_use]
pub fn basis(event: &Event) -> Option<String> {
    match event {
        Event::StepSucceeded(s) => s.evidence.first().cloned(),
        Event::StepFailed(f) => Some(f.detail.clone()),
        Event::StepDoubted(d) => Some(d.cause.clone()),
        Event::StepRefused(r) => Some(r.detail.clone()),
        _ => None,
    }
}

/// The line of an event without what it rests on, where that has been shown or follows at once.
#[must_use]
pub fn brief(entry: &Entry, run: Option<&Run>) -> Option<String> {
    let mut event = entry.event.clone();
    match &mut event {
        Event::StepSucceeded(s) => s.evidence.clear(),
        Event::StepFailed(f) => {
            let took = f
                .took_ms
                .map_or(String::new(), |ms| format!("  {}", duration(ms)));
            let words = format!("{}{took}", part_of(run, &f.at.part));
            return Some(put(entry, &text::failed(), &words));
        }
        Event::StepDoubted(d) => {
            return Some(put(entry, &text::in_doubt(), &part_of(run, &d.at.part)));
        }
        Event::StepRefused(r) => return Some(put(entry, &text::refused(), &part_of(run, &r.part))),
        _ => {}
    }
    let (verb, words) = words(&event, run)?;
    Some(whole(entry, &verb, words))
}

fn whole(entry: &Entry, verb: &str, mut words: String) -> String {
    if let (Event::RunPlanned(_), Some(run)) = (&entry.event, &entry.run) {
        words = format!("{run}  {words}");
    }
    if ordered(&entry.event) {
        words = text::by_whom(&words, &entry.actor);
    }
    put(entry, verb, &words)
}

/// What the verb of an event says.
fn tone(event: &Event) -> Tone {
    match event {
        Event::StepFailed(_) | Event::StepRefused(_) => Tone::Failed,
        Event::StepDoubted(_) => Tone::Asks,
        Event::RunCompleted(_) | Event::RollbackCompleted(_) => Tone::Good,
        _ => Tone::Plain,
    }
}

/// The line of every event, also of those that a run's screen leaves out.
#[must_use]
pub fn any_line(entry: &Entry, run: Option<&Run>) -> String {
    line(entry, run).unwrap_or_else(|| match &entry.event {
        Event::LedgerCreated(_) => put(entry, &text::created(), &text::by(&entry.actor)),
        _ => put(entry, &text::session(), &text::session_of(&entry.actor)),
    })
}

fn put(entry: &Entry, verb: &str, words: &str) -> String {
    format!(
        "{}  {}  {}",
        super::local_time(&entry.when.ts),
        super::pad(&tone(&entry.event).paint(verb), 11),
        safe(words)
    )
}

/// The event for programs.
#[must_use]
pub fn value(entry: &Entry) -> Value {
    // Every event has a JSON form.
    let mut event = serde_json::to_value(&entry.event).unwrap_or(Value::Null);
    json!({
        "seq": entry.when.seq,
        "ts": entry.when.ts,
        "run": entry.run,
        "actor": entry.actor,
        "kind": entry.event.kind(),
        "data": event.get_mut("data").map(Value::take),
    })
}
