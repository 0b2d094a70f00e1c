//! A comparison in Markdown: the same tables as the page.

use super::super::markdown::cell;
use super::summary::{ended, name_of, names, signed, took};
use super::{Comparison, Row, html::facts};
use crate::text::{comparison as text, timeline};
use upledger_replay::event::Direction;

/// Steps that are listed; CSV and JSON have all of them.
const LISTED: usize = 1000;

/// The comparison.
#[must_use]
pub fn markdown(of: &Comparison) -> String {
    let (a, b) = names(of);
    let mut lines = vec![
        format!("# {}", cell(&text::title(a, b))),
        String::new(),
        format!("## {}", timeline::summary()),
        String::new(),
    ];
    let items = |lines: Vec<String>| lines.into_iter().map(|line| format!("- {}", cell(&line)));
    lines.extend(items(of.summary()));
    lines.push(format!("\n## {}\n", text::the_runs()));
    lines.push("| | A | B |\n|---|---|---|".into());
    let facts = facts(of).into_iter();
    lines.extend(facts.map(|(name, a, b)| format!("| {name} | {} | {} |", cell(&a), cell(&b))));
    lines.push(format!("\n## {}\n\n{}", text::steps(), text::sums()));
    let mut left = LISTED;
    for (phase, way, rows) in of.phases() {
        let name = match way {
            Direction::Do => phase.to_owned(),
            Direction::Undo => timeline::undo_of(phase),
        };
        let shown = rows.iter().take(left);
        left = left.saturating_sub(rows.len());
        lines.push(format!(
            "\n### {}\n\n| {} | A | B | {} | {} | {} | {} | {} |\n|---|--:|--:|--:|---|---|--:|--:|",
            cell(&name),
            timeline::step(),
            text::difference(),
            text::ended_in("A"),
            text::ended_in("B"),
            text::seq_in("A"),
            text::seq_in("B"),
        ));
        lines.extend(shown.map(line));
        if left == 0 {
            break;
        }
    }
    if of.rows.len() > LISTED {
        lines.push(format!("\n{}", text::and_more(of.rows.len() - LISTED)));
    }
    lines.push(format!("\n## {}\n", timeline::supporting()));
    lines.extend(items(vec![text::proof("upledger timeline RUN")]));
    lines.join("\n") + "\n"
}

fn line(row: &Row) -> String {
    let (a, b) = (row.a.as_ref(), row.b.as_ref());
    let seq = |work: Option<&super::Work>| work.map_or(String::new(), |w| w.from_seq.to_string());
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} |",
        cell(&name_of(row)),
        took(a),
        took(b),
        row.difference_ms.map_or(String::new(), signed),
        ended(a),
        ended(b),
        seq(a),
        seq(b),
    )
}
