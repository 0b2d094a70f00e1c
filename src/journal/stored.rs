//! Events as the ledger stores them: the text of an event, and the event of a text. Types and text meet without a tree of
//! values between them: a plan of 10,000 steps would be one of 30 MB.

use super::{Entry, JournalError};
use upledger_ledger::{Data, Draft, View, to_canonical};
use upledger_replay::event::Event;
use upledger_replay::runs::Runs;
use upledger_replay::state::When;

/// An event as it is appended.
pub(super) fn draft(run: Option<&str>, event: &Event) -> Draft {
    Draft {
        run: run.map(str::to_owned),
        kind: event.kind().to_owned(),
        data: data(event),
    }
}

fn data(event: &Event) -> Data {
    let kind = event.kind();
    let written = to_canonical(event).ok().and_then(|mut text| {
        // `{"data":...,"kind":"..."}`: the record has the kind beside it.
        let data = text.strip_prefix("{\"data\":")?.strip_suffix("\"}")?;
        let data = data.strip_suffix(kind)?.strip_suffix(",\"kind\":\"")?;
        let (start, len) = (
            text.len() - text.strip_prefix("{\"data\":")?.len(),
            data.len(),
        );
        text.truncate(start + len);
        text.drain(..start);
        Some(Data::Text(text))
    });
    // What has no canonical form, the ledger refuses and says why.
    written.unwrap_or_else(|| {
        let value = serde_json::to_value(event).ok();
        Data::Value(
            value
                .and_then(|mut v| Some(v.get_mut("data")?.take()))
                .unwrap_or_default(),
        )
    })
}

/// A stored event.
///
/// # Errors
/// [`JournalError::Unknown`].
pub(super) fn entry(view: &View<'_>) -> Result<Entry, JournalError> {
    Ok(recorded(view, event(view)?))
}

/// An event that was recorded so. What it is written as, it is read from: that needs no second reading.
pub(super) fn recorded(view: &View<'_>, event: Event) -> Entry {
    Entry {
        run: view.run.map(str::to_owned),
        when: when(view),
        actor: view.actor.to_owned(),
        host: view.host.to_owned(),
        session: view.sess,
        event,
    }
}

/// Folds a stored event into the state.
///
/// # Errors
/// [`JournalError::Unknown`], [`JournalError::Impossible`].
pub(super) fn fold(book: &mut Runs, view: &View<'_>) -> Result<(), JournalError> {
    apply(book, view.run, &event(view)?, &when(view))
}

/// Folds an event into the state.
///
/// # Errors
/// [`JournalError::Impossible`].
pub(super) fn apply(
    book: &mut Runs,
    run: Option<&str>,
    event: &Event,
    when: &When,
) -> Result<(), JournalError> {
    book.apply(run, event, when)
        .map_err(|source| JournalError::Impossible {
            seq: when.seq,
            source,
        })
}

fn event(view: &View<'_>) -> Result<Event, JournalError> {
    Event::read(view.kind, view.data).map_err(|source| JournalError::Unknown {
        seq: view.seq,
        kind: view.kind.to_owned(),
        source,
    })
}

fn when(view: &View<'_>) -> When {
    When {
        seq: view.seq,
        ts: view.ts.to_owned(),
        mono: view.mono,
        boot: view.boot.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// One event of each kind with all its fields, as kind and data.
    fn samples() -> Vec<(&'static str, Value)> {
        let part = json!({"step": "a", "target": "local", "way": "do"});
        let at = json!({"part": part, "attempt": 1});
        let printed = json!({"sha256": "cafe", "len": 1, "dropped": 0});
        let step = json!({
            "id": "a", "targets": ["local"], "action": {"run": ["/bin/true", {"from": "b.c"}]},
            "probe": {"expect.port": {"port": 8000}}, "verify": null, "has_probe": true,
            "undo": {"action": {
                "action": {"shell": "true \u{1}\"\\"}, "probe": null, "verify": null, "has_probe": false,
                "effect": "unsafe", "on_doubt": "ask",
            }},
            "effect": "idempotent", "on_doubt": "retry", "timeout_ms": 1000, "retry": {"times": 1, "wait_ms": 5},
            "left_out": null, "why": "so", "env": [{"key": "A", "value": {"secret": "s"}}], "cwd": "/",
            "cwd_from": "b.c", "facts": [{"name": "n", "json": ".rows"}],
        });
        let plan = json!({
            "upledger": 1, "name": "\u{5347}\u{7ea7}", "environment": null,
            "change": {"id": "C-1", "reason": null, "risk": null, "impact": null, "services": ["web"]},
            "on_failure": "ask", "vars": [{"key": "k", "value": "v"}],
            "secrets": [{"name": "s", "source": {"command": ["pass", "s"]}}],
            "phases": [{"phase": "all", "steps": [step]}],
        });
        vec![
            ("ledger.created", json!({"alg": "sha256"})),
            (
                "session.opened",
                json!({"uid": 0, "tty": null, "words": [true, "x"]}),
            ),
            (
                "ledger.restored",
                json!({"reason": "r", "from": null, "to": {}}),
            ),
            (
                "run.planned",
                json!({"digest": "cafe", "plan": plan, "warnings": ["w"], "contract": 1}),
            ),
            ("run.resumed", json!({"reason": "r"})),
            ("run.pause_requested", json!({"reason": "r"})),
            ("run.abort_requested", json!({"reason": "r"})),
            ("run.aborted", json!({})),
            ("run.completed", json!({})),
            ("rollback.started", json!({"to": "a", "reason": "r"})),
            ("rollback.completed", json!({})),
            (
                "step.started",
                json!({
                    "at": at, "nonce": "n", "spec": "cafe", "command": ["/bin/true"], "observed": {"was": [1, -1, null]},
                    "timeout_ms": null, "inputs": [{"key": "k", "value": "v"}],
                }),
            ),
            (
                "step.noted",
                json!({"at": at, "note": {"n": 9_007_199_254_740_991_u64}}),
            ),
            ("step.refused", json!({"part": part, "detail": "d"})),
            (
                "step.satisfied",
                json!({"part": part, "evidence": ["e"], "produced": "p"}),
            ),
            ("step.skipped", json!({"part": part, "reason": "r"})),
            (
                "step.succeeded",
                json!({
                    "at": at, "evidence": [], "facts": [{"key": "k", "value": "v"}], "produced": {"x": 1},
                    "printed": printed, "output": null, "took_ms": 3,
                }),
            ),
            (
                "step.failed",
                json!({
                    "at": at, "failure": {"exit": -1}, "detail": "d", "tail": ["t"], "output": printed,
                    "took_ms": null, "left_behind": false,
                }),
            ),
            ("step.fenced", at.clone()),
            ("step.adopted", at.clone()),
            (
                "step.doubted",
                json!({"at": at, "doubt": "unseen", "cause": "c", "tail": []}),
            ),
            (
                "step.probed",
                json!({"at": at, "answer": "done", "evidence": [], "produced": [1]}),
            ),
            (
                "step.decided",
                json!({"part": part, "decision": "done", "reason": "r", "evidence": [], "produced": true}),
            ),
            ("step.kill_requested", json!({"at": at, "reason": "r"})),
            ("step.escalated", json!({"at": at, "what": "w"})),
            ("note.added", json!({"text": "t"})),
        ]
    }

    fn view<'a>(kind: &'a str, data: &'a str) -> View<'a> {
        View {
            seq: 7,
            run: Some("r"),
            ts: "2026-01-01T00:00:00.000000Z",
            mono: 1,
            boot: "b",
            kind,
            actor: "alice",
            host: "h",
            sess: Some(1),
            data,
        }
    }

    /// Over a tree of values, as serde itself reads it.
    fn read_over_a_tree(kind: &str, data: &Value) -> Option<Event> {
        serde_json::from_value(json!({"kind": kind, "data": data})).ok()
    }

    #[test]
    fn every_kind_is_written_as_it_is_read() {
        for (kind, value) in samples() {
            let event = read_over_a_tree(kind, &value).unwrap_or_else(|| panic!("{kind}"));
            let Draft { run, kind, data } = draft(Some("r"), &event);
            assert_eq!((run.as_deref(), &*kind), (Some("r"), event.kind()));
            let Data::Text(text) = data else {
                panic!("{kind} has a text");
            };
            let read: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(
                Data::Text(to_canonical(&read).unwrap()),
                Data::Text(text.clone())
            );
            let entry = entry(&view(&kind, &text)).unwrap();
            assert_eq!(entry.event, event);
            assert_eq!(entry.event, recorded(&view(&kind, &text), event).event);
        }
    }

    /// The ledger refuses it by name; a text that is no event must not take its place.
    #[test]
    fn what_has_no_canonical_form_is_handed_on_as_it_is() {
        let event = read_over_a_tree("ledger.created", &json!({"ratio": 0.5})).unwrap();
        assert_eq!(draft(None, &event).data, Data::Value(json!({"ratio": 0.5})));
    }

    /// Changes one thing in a value, at the end of a path.
    fn bend(at: &mut Value, path: &[prop::sample::Index], how: u8) {
        if let Some((step, rest)) = path.split_first() {
            let below = match at {
                Value::Object(map) if !map.is_empty() => {
                    let place = step.index(map.len());
                    map.values_mut().nth(place)
                }
                Value::Array(items) if !items.is_empty() => {
                    let place = step.index(items.len());
                    items.get_mut(place)
                }
                _ => None,
            };
            if let Some(below) = below {
                return bend(below, rest, how);
            }
        }
        match (how, at) {
            (0, at) => *at = Value::Null,
            (1, at) => *at = json!("word"),
            (2, at) => *at = json!(-3),
            (3, at) => *at = json!([]),
            (4, Value::Object(map)) => drop(map.insert("unknown".into(), json!(1))),
            (5, Value::Object(map)) => {
                let first = map.keys().next().cloned();
                first.map(|key| map.remove(&key));
            }
            (6, Value::Array(items)) => items.push(json!({})),
            _ => {}
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        /// What an event may be has not changed with the way in which it is read.
        #[test]
        fn a_text_is_an_event_exactly_if_its_tree_is_one(
            place in any::<prop::sample::Index>(),
            other in any::<prop::sample::Index>(),
            swapped in prop::bool::weighted(0.1),
            path in prop::collection::vec(any::<prop::sample::Index>(), 0..7),
            how in 0_u8..9,
        ) {
            let samples = samples();
            let (kind, value) = &samples[place.index(samples.len())];
            let kind = if swapped { samples[other.index(samples.len())].0 } else { kind };
            let mut value = value.clone();
            bend(&mut value, &path, how);
            let text = to_canonical(&value).unwrap();
            let read = entry(&view(kind, &text)).ok().map(|entry| entry.event);
            prop_assert_eq!(read, read_over_a_tree(kind, &value), "{} {}", kind, text);
        }
    }

    #[test]
    fn an_unknown_kind_is_told_by_name() {
        let Err(JournalError::Unknown { seq, kind, .. }) = entry(&view("step.\"dreamt", "{}"))
        else {
            panic!("no such kind");
        };
        assert_eq!((seq, &*kind), (7, "step.\"dreamt"));
        assert!(entry(&view("note.added", "{\"text\":\"t\"}x")).is_err());
    }
}
