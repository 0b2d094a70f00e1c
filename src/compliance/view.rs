//! A report as pages show it: the blocks with their values in words, what proves each, and the names of what is absent.

use super::fact::{Seqs, Source};
use super::{Extent, Judged, Report};
use crate::text::compliance as text;
use serde::Serialize;

/// Lines of one value that a page shows.
const LINES: usize = 40;
/// Ranges of sequence numbers that a page shows of one value.
const RANGES: usize = 8;

/// A value and its proof.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    pub(super) label: String,
    pub(super) value: String,
    pub(super) proof: String,
}

/// A list.
#[derive(Debug, Serialize)]
pub(super) struct List {
    pub(super) label: String,
    pub(super) columns: Vec<String>,
    /// The last cell is the proof.
    pub(super) rows: Vec<Vec<String>>,
    /// What is not shown.
    pub(super) more: Option<String>,
}

/// A block.
#[derive(Debug, Serialize)]
pub(super) struct View {
    pub(super) letter: char,
    pub(super) label: String,
    pub(super) lines: Vec<Line>,
    /// The names of what is absent, and of what there was no occasion for.
    pub(super) absent: Vec<String>,
    pub(super) lists: Vec<List>,
}

/// A control.
#[derive(Debug, Serialize)]
pub(super) struct ControlView {
    pub(super) clause: String,
    pub(super) text: String,
    pub(super) evidence: String,
    pub(super) class: &'static str,
    pub(super) points: Vec<(String, Option<String>)>,
}

/// The controls of a standard.
#[derive(Debug, Serialize)]
pub(super) struct StandardView {
    pub(super) name: String,
    pub(super) controls: Vec<ControlView>,
}

/// Sequence numbers, as far as a page shows them.
pub(super) fn seqs(of: &Seqs) -> String {
    match of.ranges() {
        n if n > RANGES => format!("{} {}", of.beginning(RANGES), text::more_ranges(of.count())),
        _ => of.to_string(),
    }
}

/// What proves a value. `all`: every event of the run.
fn proof(source: Source, of: &Seqs, all: &Seqs) -> String {
    match source {
        Source::Absent | Source::NotApplicable => String::new(),
        Source::Verification => text::by_verification(),
        Source::Program => text::by_program(),
        Source::Events if of == all && of.count() > 1 => text::all_events(of.count()),
        Source::Events => seqs(of),
    }
}

/// A value, as far as a page shows it.
fn cut(value: &str) -> String {
    let lines: Vec<&str> = value.lines().collect();
    match lines.get(..LINES) {
        Some(first) if lines.len() > LINES => {
            let more = text::more_lines(lines.len() - LINES);
            format!("{}\n{more}", first.join("\n"))
        }
        _ => value.to_owned(),
    }
}

/// The blocks; of each list so many rows.
pub(super) fn blocks(of: &Report, most: usize) -> Vec<View> {
    let all = &of.report.run_events.seq;
    let view = |block: &dyn super::Block| {
        let (mut lines, mut absent, mut without) = (Vec::new(), Vec::new(), Vec::new());
        for field in block.fields() {
            match field.value {
                Some(value) => lines.push(Line {
                    label: field.label,
                    value: cut(&value),
                    proof: proof(field.source, field.seq, all),
                }),
                None if field.source == Source::NotApplicable => without.push(field.label),
                None => absent.push(field.label),
            }
        }
        let named =
            |names: Vec<String>| (!names.is_empty()).then(|| names.join(&text::list_separator()));
        let absent = named(absent).map(text::absent_are);
        let without = named(without).map(text::not_applicable_are);
        let lists = block.tables(most).into_iter().map(|table| List {
            label: table.label,
            columns: table.columns,
            rows: table
                .rows
                .into_iter()
                .map(|(mut cells, proof)| {
                    cells.push(seqs(&proof));
                    cells
                })
                .collect(),
            more: Some(table.more).filter(|n| *n > 0).map(text::more_lines),
        });
        View {
            letter: block.letter(),
            label: block.label(),
            lines,
            absent: absent.into_iter().chain(without).collect(),
            lists: lists.filter(|list| !list.rows.is_empty()).collect(),
        }
    };
    of.blocks().into_iter().map(view).collect()
}

/// The controls, by standard.
pub(super) fn standards(of: &Report) -> Vec<StandardView> {
    let mut standards: Vec<StandardView> = Vec::new();
    for judged in &of.controls {
        let control = control(judged, &of.report.run_events.seq);
        match standards.last_mut() {
            Some(last) if last.name == judged.standard => last.controls.push(control),
            _ => standards.push(StandardView {
                name: judged.standard.clone(),
                controls: vec![control],
            }),
        }
    }
    standards
}

fn control(of: &Judged, all: &Seqs) -> ControlView {
    let (class, evidence) = match of.evidence {
        Extent::Present => ("good", text::evidence_present()),
        Extent::Partial => ("doubt", text::evidence_partial()),
        Extent::Absent => ("bad", text::evidence_absent()),
    };
    let points = of.points.iter();
    let points = points.map(|p| {
        (
            p.label.clone(),
            p.present.then(|| proof(p.source, &p.seq, all)),
        )
    });
    ControlView {
        clause: of.clause.into(),
        text: of.text.clone(),
        evidence,
        class,
        points: points.collect(),
    }
}
