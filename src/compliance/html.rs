//! The report as one HTML file, which prints to a clean PDF: no script, nothing from the network.

use super::Report;
use super::period::{Period, columns, row};
use super::view::{blocks, standards};
use crate::page;
use crate::report::safe;
use crate::text::compliance as text;
use minijinja::value::Serde;
use minijinja::{Error, Value, context};

/// The template of a report.
const REPORT: &str = include_str!("report.html");
/// The template of a period.
const PERIOD: &str = include_str!("period.html");
/// Rows of one list that a page shows.
const ROWS: usize = 2000;

/// Everything that the pages are made from, for its digest.
#[must_use]
pub fn templates() -> String {
    [page::BASE, REPORT, PERIOD].concat()
}

/// The report of a run.
///
/// # Errors
/// What is wrong with the template.
pub fn html(of: &Report) -> Result<String, Error> {
    let run = of.report.run_name.value.clone().unwrap_or_default();
    let state = of.result.state.value.as_ref();
    let context = context! {
        lang => page::language(),
        title => text::page_title(&run),
        run => text::heading(&run),
        plan => of.change.title.value.as_deref().map_or_else(String::new, safe),
        state => state.map(|s| s.shown.clone()).unwrap_or_default(),
        state_class => state.map_or("", |s| page::state_class(&s.stable)),
        how_to_read => text::how_to_read(),
        contents => text::contents(),
        summary_heading => text::summary(),
        summary => of.summary.iter().map(|l| safe(l)).collect::<Vec<_>>(),
        columns => [text::field(), text::value_heading(), text::proof()],
        absent => text::absent(),
        colon => text::colon(),
        blocks => Value::from(Serde(blocks(of, ROWS))),
        controls_heading => text::controls(),
        control_columns => [text::clause(), text::requirement(), text::evidence()],
        standards => Value::from(Serde(standards(of))),
    };
    page::render(REPORT, context)
}

/// The runs of a period.
///
/// # Errors
/// What is wrong with the template.
pub fn period_html(of: &Period) -> Result<String, Error> {
    let heading = text::period_title(of.range());
    let context = context! {
        lang => page::language(),
        title => heading.clone(),
        run => heading,
        plan => of.headline(),
        columns => columns(),
        rows => of.runs.iter().map(row).collect::<Vec<_>>(),
        none => text::no_runs(),
    };
    page::render(PERIOD, context)
}
