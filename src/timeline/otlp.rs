//! A trace in the JSON form of the OpenTelemetry protocol (OTLP/JSON, one `ExportTraceServiceRequest`): ids in hexadecimal,
//! integers of 64 bits as strings, enumerations as numbers. The ids are digests, so that a second export is the same trace.

use super::{Bar, Outcome, Timeline, csv::way, markdown::word};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// `SPAN_KIND_INTERNAL`
const INTERNAL: u8 = 1;

/// The request.
#[must_use]
pub fn otlp(of: &Timeline) -> Value {
    let trace = id(&[&of.digest, &of.run], 16);
    let root = id(&[&of.digest, &of.run, "run"], 8);
    let failed = |b: &Bar| matches!(b.outcome, Outcome::Failed | Outcome::InDoubt);
    let mut spans = vec![json!({
        "traceId": trace, "spanId": root, "name": of.run, "kind": INTERNAL,
        "startTimeUnixNano": nanos(of.from.us), "endTimeUnixNano": nanos(of.until.us),
        "attributes": [text("upledger.plan", &of.plan), text("upledger.digest", &of.digest), text("upledger.state", &of.state)],
        "events": of.marks.iter().map(|mark| json!({
            "timeUnixNano": nanos(mark.at.us), "name": mark.kind,
            "attributes": [text("actor", &mark.actor), text("words", &mark.words), integer("seq", mark.at.seq)],
        })).collect::<Vec<_>>(),
        "status": {"code": if of.state == "completed" { 1 } else { 2 }},
    })];
    for bar in &of.bars {
        let attempt = bar.attempt.to_string();
        let seq = bar.start.seq.to_string();
        let own = id(
            &[
                &of.digest,
                &of.run,
                &bar.step,
                &bar.target,
                way(bar.way),
                &attempt,
                &seq,
            ],
            8,
        );
        let end = bar.end_us().unwrap_or(of.until.us).max(bar.start.us);
        spans.push(json!({
            "traceId": trace, "spanId": own, "parentSpanId": root, "kind": INTERNAL,
            "name": format!("{}{}", if bar.check { "check " } else if way(bar.way) == "undo" { "undo " } else { "" }, bar.step),
            "startTimeUnixNano": nanos(bar.start.us), "endTimeUnixNano": nanos(end),
            "attributes": [
                text("upledger.phase", &bar.phase), text("upledger.kind", &bar.kind), text("upledger.target", &bar.target),
                integer("upledger.attempt", bar.attempt.into()), text("upledger.outcome", word(bar.outcome)),
                integer("upledger.seq", bar.start.seq), boolean("upledger.end_known", !bar.end_is_unknown()),
            ],
            "status": {"code": if failed(bar) { 2 } else { 1 }, "message": bar.detail},
        }));
    }
    json!({"resourceSpans": [{
        "resource": {"attributes": [text("service.name", "upledger"), text("service.version", env!("CARGO_PKG_VERSION"))]},
        "scopeSpans": [{"scope": {"name": "upledger.timeline"}, "spans": spans}],
    }]})
}

fn id(parts: &[&str], bytes: usize) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let digest = hash.finalize();
    digest
        .iter()
        .take(bytes)
        .map(|b| format!("{b:02x}"))
        .collect()
}

fn nanos(us: i64) -> String {
    format!("{}000", us.max(0))
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn integer(key: &str, value: u64) -> Value {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}

fn boolean(key: &str, value: bool) -> Value {
    json!({"key": key, "value": {"boolValue": value}})
}
