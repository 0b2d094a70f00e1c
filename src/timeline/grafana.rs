//! Annotations as Grafana's HTTP API takes them (`POST /api/annotations`), one object each: the outages, the attempts, and
//! what happened at one moment. Times are milliseconds.

use super::{Timeline, csv::way, markdown::word};
use crate::report::safe;
use serde_json::{Value, json};

/// The annotations, in the order of time.
#[must_use]
pub fn grafana(of: &Timeline) -> Vec<Value> {
    let tags = |more: &str| json!(["upledger", format!("run:{}", of.run), more]);
    let mut all: Vec<(i64, Value)> = Vec::new();
    let mut add = |from: i64, until: Option<i64>, text: String, tag: &str| {
        let mut annotation = json!({"time": from / 1000, "tags": tags(tag), "text": safe(&text)});
        if let Some(until) = until {
            annotation["timeEnd"] = json!(until / 1000);
        }
        all.push((from, annotation));
    };
    for outage in &of.outages {
        let until = outage.until.as_ref().map_or(of.until.us, |u| u.us);
        add(
            outage.from.us,
            Some(until),
            format!("outage: {}", outage.closed_by),
            "outage",
        );
    }
    for bar in of.bars.iter().filter(|b| b.attempt > 0) {
        let name = match way(bar.way) {
            "undo" => format!("undo {}: {}", bar.step, word(bar.outcome)),
            _ => format!("{}: {}", bar.step, word(bar.outcome)),
        };
        add(bar.start.us, bar.end_us(), name, "step");
    }
    for mark in &of.marks {
        add(
            mark.at.us,
            None,
            format!("{}: {}", mark.kind, mark.words),
            "mark",
        );
    }
    all.sort_by_key(|(from, _)| *from);
    all.into_iter().map(|(_, annotation)| annotation).collect()
}
