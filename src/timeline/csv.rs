//! Comma-separated values for spreadsheets: UTF-8 with a byte order mark, lines that end with CR LF, quoted as RFC 4180
//! says. A cell that a spreadsheet would take for a formula begins with an apostrophe.

use super::{Bar, Timeline, markdown::word};
use crate::report::safe;
use upledger_replay::event::Direction;

const HEAD: [&str; 14] = [
    "phase",
    "step",
    "kind",
    "target",
    "way",
    "attempt",
    "start_utc",
    "end_utc",
    "took_ms",
    "outcome",
    "detail",
    "settled",
    "start_seq",
    "end_seq",
];

/// One line for each attempt, and for each step that needed none.
#[must_use]
pub fn csv(of: &Timeline) -> String {
    let mut out = String::from('\u{feff}');
    line(&mut out, HEAD.map(String::from));
    of.bars.iter().for_each(|bar| line(&mut out, cells(bar)));
    out
}

fn cells(bar: &Bar) -> [String; 14] {
    let number = |n: Option<u64>| n.map_or(String::new(), |n| n.to_string());
    [
        bar.phase.clone(),
        bar.step.clone(),
        bar.kind.clone(),
        bar.target.clone(),
        way(bar.way).into(),
        bar.attempt.to_string(),
        bar.start.ts.clone(),
        bar.end.as_ref().map_or(String::new(), |end| end.ts.clone()),
        number(bar.took_ms),
        word(bar.outcome).into(),
        bar.detail.clone(),
        bar.settled.clone().unwrap_or_default(),
        bar.start.seq.to_string(),
        number(bar.end.as_ref().map(|end| end.seq)),
    ]
}

pub(super) fn way(way: Direction) -> &'static str {
    match way {
        Direction::Do => "do",
        Direction::Undo => "undo",
    }
}

/// One line; a number may begin with a minus sign and is no formula.
pub(super) fn line<const N: usize>(out: &mut String, cells: [String; N]) {
    let cells = cells.map(|cell| {
        let cell: String = cell.split('\n').map(safe).collect::<Vec<_>>().join("\n");
        let number = cell.starts_with('-') && cell.parse::<i64>().is_ok();
        let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && !number;
        let guarded = if formula { format!("'{cell}") } else { cell };
        match guarded.contains([',', '"', '\n', '\r']) {
            true => format!("\"{}\"", guarded.replace('"', "\"\"")),
            false => guarded,
        }
    });
    out.push_str(&cells.join(","));
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_where_it_must_be_and_no_formula() {
        let mut out = String::new();
        line(
            &mut out,
            [
                "=1+1",
                "a,b",
                "say \"no\"",
                "two\nlines",
                "-x,y",
                "plain",
                "-5",
            ]
            .map(String::from),
        );
        assert_eq!(
            out,
            "'=1+1,\"a,b\",\"say \"\"no\"\"\",\"two\nlines\",\"'-x,y\",plain,-5\r\n"
        );
    }
}
