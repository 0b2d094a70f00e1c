//! The trace format of Chromium, which ui.perfetto.dev opens: complete events in microseconds from the beginning of the run,
//! which nest on a track. Attempts are on one track, since one is open at a time; waits and outages have tracks of their own.

use super::{Bar, Timeline, csv::way, markdown::word};
use serde_json::{Value, json};

/// The trace.
#[must_use]
pub fn chrome(of: &Timeline) -> Value {
    let since = |us: i64| us - of.from.us;
    let mut events = vec![
        json!({"ph": "M", "name": "process_name", "pid": 1, "args": {"name": format!("upledger {}", of.run)}}),
        thread(1, "phases"),
        thread(2, "waits"),
        thread(3, "service unavailable"),
    ];
    for (phase, direction, bars) in of.phases() {
        let ends = bars.iter().map(|b| end(of, b));
        let (Some(first), Some(last)) = (bars.first(), ends.max()) else {
            continue;
        };
        let start = first.start.us;
        let name = format!("{}{phase}", prefix(way(direction)));
        events.push(span(1, &name, since(start), last - start, json!({})));
        for bar in bars {
            let args = json!({
                "attempt": bar.attempt, "outcome": word(bar.outcome), "kind": bar.kind, "detail": bar.detail,
                "seq": bar.start.seq, "end_known": !bar.end_is_unknown(),
            });
            let name = format!("{}{}", prefix(way(bar.way)), bar.step);
            let took = end(of, bar) - bar.start.us;
            events.push(span(1, &name, since(bar.start.us), took, args));
        }
    }
    for wait in &of.waits {
        let name = serde_json::to_value(wait.why).unwrap_or_default();
        let name = name.as_str().unwrap_or_default();
        let args = json!({"seq": wait.from.seq});
        events.push(span(
            2,
            name,
            since(wait.from.us),
            wait.until.us - wait.from.us,
            args,
        ));
    }
    for outage in &of.outages {
        let until = outage.until.as_ref().map_or(of.until.us, |u| u.us);
        let args = json!({"closed_by": outage.closed_by, "seq": outage.from.seq});
        events.push(span(
            3,
            "outage",
            since(outage.from.us),
            until - outage.from.us,
            args,
        ));
    }
    for mark in &of.marks {
        events.push(json!({
            "ph": "i", "s": "p", "pid": 1, "tid": 1, "name": mark.kind, "ts": since(mark.at.us),
            "args": {"words": mark.words, "actor": mark.actor, "seq": mark.at.seq},
        }));
    }
    json!({"traceEvents": events, "displayTimeUnit": "ms", "otherData": {"run": of.run, "digest": of.digest}})
}

fn prefix(way: &str) -> &'static str {
    if way == "undo" { "undo " } else { "" }
}

/// An attempt that has not ended is drawn to the end of the run, and none beyond the beginning of the next.
fn end(of: &Timeline, bar: &Bar) -> i64 {
    let own = bar.end_us().unwrap_or(of.until.us).max(bar.start.us);
    let next = of.bars.iter().find(|b| b.start.seq > bar.start.seq);
    next.map_or(own, |next| own.min(next.start.us).max(bar.start.us))
}

fn span(track: u64, name: &str, ts: i64, dur: i64, args: Value) -> Value {
    json!({"ph": "X", "pid": 1, "tid": track, "name": name, "ts": ts, "dur": dur, "args": args})
}

fn thread(track: u64, name: &str) -> Value {
    json!({"ph": "M", "name": "thread_name", "pid": 1, "tid": track, "args": {"name": name}})
}
