//! A Gantt chart of Mermaid, for what renders it in Markdown: a section for each phase, a task for each attempt.

use super::{Bar, Outcome, Timeline, summary::at};
use crate::text::timeline as text;
use upledger_replay::event::Direction;

/// The chart.
#[must_use]
pub fn mermaid(of: &Timeline) -> String {
    let mut out = format!(
        "gantt\n  title {}\n  dateFormat x\n  axisFormat {}\n",
        plain(&format!("{} ({})", of.run, at(&of.from.ts))),
        match of.clock(&of.from.ts).contains(' ') {
            true => "%m-%d %H:%M",
            false => "%H:%M:%S",
        }
    );
    let mut id = 0;
    if !of.outages.is_empty() {
        out.push_str(&format!("  section {}\n", plain(&text::shut_out())));
    }
    for outage in &of.outages {
        id += 1;
        let until = outage.until.as_ref().map_or(of.until.us, |u| u.us);
        out.push_str(&task(
            &text::outage_bar(),
            "crit, ",
            id,
            outage.from.us,
            until,
        ));
    }
    for (phase, direction, bars) in of.phases() {
        let section = match direction {
            _ if bars.iter().any(|bar| bar.check) => text::checks_after(),
            Direction::Do => phase.to_owned(),
            Direction::Undo => text::undo_of(phase),
        };
        out.push_str(&format!("  section {}\n", plain(&section)));
        for bar in bars {
            id += 1;
            let end = bar.end_us().unwrap_or(of.until.us);
            out.push_str(&task(&bar.step, tags(bar), id, bar.start.us, end));
        }
    }
    out
}

fn tags(bar: &Bar) -> &'static str {
    match bar.outcome {
        Outcome::Succeeded | Outcome::Satisfied => "done, ",
        Outcome::Failed | Outcome::Refused | Outcome::InDoubt => "crit, ",
        Outcome::Running => "active, ",
        Outcome::Fenced | Outcome::Skipped => "",
    }
}

/// A task lasts a second at least: what is shorter is not drawn.
fn task(name: &str, tags: &str, id: u32, from: i64, until: i64) -> String {
    let (from, until) = (from / 1000, (until / 1000).max(from / 1000 + 1000));
    format!("    {} :{tags}t{id}, {from}, {until}\n", plain(name))
}

/// A name without what Mermaid takes for syntax.
fn plain(name: &str) -> String {
    let safe = |c: char| match c {
        ':' | ';' | '#' | ',' | '%' | '"' | '`' | '<' | '>' | '{' | '}' => ' ',
        c if c.is_control() => ' ',
        c => c,
    };
    let name: String = crate::report::safe(name).chars().map(safe).collect();
    name.split_whitespace().collect::<Vec<_>>().join(" ")
}
