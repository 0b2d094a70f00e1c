//! The report in Markdown: the same blocks, as tables.

use super::Report;
use super::period::{Period, columns, row};
use super::view::{View, blocks, standards};
use crate::text::compliance as text;
use crate::timeline::cell;

/// Rows of one list that a page shows.
const ROWS: usize = 400;

/// The report of a run.
#[must_use]
pub fn markdown(of: &Report) -> String {
    let run = of.report.run_name.value.clone().unwrap_or_default();
    let mut out = format!(
        "# {}\n\n{}\n",
        cell(&text::heading(run)),
        text::how_to_read()
    );
    out.push_str(&format!("\n## {}\n\n", text::summary()));
    for line in &of.summary {
        out.push_str(&format!("- {}\n", cell(line)));
    }
    for view in blocks(of, ROWS) {
        block(&mut out, &view);
    }
    out.push_str(&format!("\n## M. {}\n", text::controls()));
    for standard in standards(of) {
        out.push_str(&format!("\n### {}\n\n", cell(&standard.name)));
        let head = [text::clause(), text::requirement(), text::evidence()];
        let rows = standard.controls.iter().map(|control| {
            let points = control.points.iter().map(|(label, proof)| {
                let proof = proof.clone().unwrap_or_else(text::absent);
                format!("{}{}{}", cell(label), text::colon(), cell(&proof))
            });
            let points: Vec<String> = points.collect();
            vec![
                cell(&control.clause),
                cell(&control.text),
                format!("**{}**<br>{}", cell(&control.evidence), points.join("<br>")),
            ]
        });
        table(&mut out, &head, rows);
    }
    out
}

/// The runs of a period.
#[must_use]
pub fn period_markdown(of: &Period) -> String {
    let title = text::period_title(of.range());
    let mut out = format!("# {}\n\n{}\n\n", cell(&title), cell(&of.headline()));
    match of.runs.is_empty() {
        true => out.push_str(&format!("{}\n", text::no_runs())),
        false => table(&mut out, &columns(), of.runs.iter().map(|r| lines(row(r)))),
    }
    out
}

fn block(out: &mut String, of: &View) {
    out.push_str(&format!("\n## {}. {}\n\n", of.letter, cell(&of.label)));
    if !of.lines.is_empty() {
        let head = [text::field(), text::value_heading(), text::proof()];
        let rows = of.lines.iter();
        let rows = rows.map(|l| lines([l.label.clone(), l.value.clone(), l.proof.clone()]));
        table(out, &head, rows);
    }
    for absent in &of.absent {
        out.push_str(&format!("\n{}\n", cell(absent)));
    }
    for list in &of.lists {
        out.push_str(&format!("\n### {}\n\n", cell(&list.label)));
        let mut head = list.columns.clone();
        head.push(text::proof());
        table(out, &head, list.rows.iter().map(|row| lines(row.clone())));
        if let Some(more) = &list.more {
            out.push_str(&format!("\n{}\n", cell(more)));
        }
    }
}

/// Cells, none of which is markup; the lines of one stay lines.
fn lines(cells: impl IntoIterator<Item = String>) -> Vec<String> {
    let one = |text: String| text.lines().map(cell).collect::<Vec<_>>().join("<br>");
    cells.into_iter().map(one).collect()
}

fn table(out: &mut String, head: &[String], rows: impl Iterator<Item = Vec<String>>) {
    let mut line = |cells: &[String]| out.push_str(&format!("| {} |\n", cells.join(" | ")));
    line(&head.iter().map(|h| cell(h)).collect::<Vec<_>>());
    line(&vec!["---".to_owned(); head.len()]);
    rows.for_each(|row| line(&row));
}
