//! A post-mortem in Markdown, in the order of the Site Reliability Engineering book: the facts are filled in, and what only
//! people know is left open.

use super::summary::{at, one_outage};
use super::{Bar, Outcome, Timeline, mermaid};
use crate::report::duration;
use crate::text::timeline as text;
use upledger_replay::event::Direction;

/// Attempts that a post-mortem lists; the other formats have all of them.
const LISTED: usize = 400;

/// The outcome in one word, as programs read it.
pub(super) fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Failed => "failed",
        Outcome::InDoubt => "in doubt",
        Outcome::Fenced => "never started",
        Outcome::Refused => "refused",
        Outcome::Satisfied => "already done",
        Outcome::Skipped => "skipped",
        Outcome::Running => "running",
    }
}

/// The same for people.
pub(crate) fn shown(outcome: Outcome) -> String {
    match outcome {
        Outcome::Succeeded => text::succeeded(),
        Outcome::Failed => text::failed(),
        Outcome::InDoubt => text::in_doubt(),
        Outcome::Fenced => text::never_started(),
        Outcome::Refused => text::refused(),
        Outcome::Satisfied => text::already(),
        Outcome::Skipped => text::skipped(),
        Outcome::Running => text::running(),
    }
}

/// How it ended. The look before an undo that finds nothing of the step to take back has done nothing.
pub(crate) fn outcome(bar: &Bar) -> String {
    match (bar.outcome, bar.way) {
        (Outcome::Satisfied, Direction::Undo) if !bar.check => text::nothing_to_undo(),
        (outcome, _) => shown(outcome),
    }
}

/// What there is to say of how it ended: of what needed no attempt, what the look saw.
pub(crate) fn detail(bar: &Bar) -> String {
    match bar.attempt {
        0 if bar.detail.is_empty() => bar.evidence.first().cloned().unwrap_or_default(),
        _ => bar.detail.clone(),
    }
}

/// How long it took, and that nobody knows it.
pub(super) fn took(bar: &Bar) -> String {
    match bar.took_ms {
        Some(ms) => duration(ms),
        None if bar.attempt == 0 => String::new(),
        None => text::unknown(),
    }
}

/// Its name, with what it undoes.
pub(super) fn name(bar: &Bar) -> String {
    match bar.way {
        Direction::Do => bar.step.clone(),
        Direction::Undo if bar.check => text::check_of(&bar.step),
        Direction::Undo => text::undo_of(&bar.step),
    }
}

/// The post-mortem.
#[must_use]
pub fn markdown(of: &Timeline) -> String {
    let mut out = String::new();
    let mut section = |heading: String, lines: &[String]| {
        out.push_str(&format!("## {heading}\n\n{}\n\n", lines.join("\n")));
    };
    let open = || vec![format!("<!-- {} -->", text::to_fill_in())];
    let items = |lines: Vec<String>| -> Vec<String> {
        lines
            .iter()
            .map(|line| format!("- {}", cell(line)))
            .collect()
    };
    section(text::summary(), &items(of.summary()));
    section(text::impact(), &items(impact(of)));
    section(text::root_causes(), &open());
    section(text::trigger(), &items(trigger(of)));
    section(text::resolution(), &items(resolution(of)));
    section(text::detection(), &items(failures(of, 10)));
    section(text::action_items(), &open());
    section(text::lessons(), &open());
    section(text::timeline(), &table(of));
    section(
        text::chart(),
        &[
            "```mermaid".into(),
            mermaid(of).trim_end().into(),
            "```".into(),
        ],
    );
    section(
        text::supporting(),
        &items(vec![
            text::record(of.events, of.from.seq, of.until.seq),
            text::plan_digest(&of.digest),
            text::verify_with("upledger verify"),
        ]),
    );
    let title = cell(&text::post_mortem(&of.run));
    let head = [
        format!("# {title}\n"),
        format!("- {}", text::date(at(&of.from.ts))),
        format!("- {}", text::status(&of.shown)),
        format!(
            "- {}",
            text::authors(format!("<!-- {} -->", text::to_fill_in()))
        ),
    ];
    format!("{}\n\n{}", head.join("\n"), out.trim_end()) + "\n"
}

fn impact(of: &Timeline) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    lines.extend(of.outages.iter().map(one_outage));
    if let Some(ms) = of.outage_ms().filter(|_| of.outages.len() > 1) {
        lines.push(text::outages(of.outages.len(), duration(ms)));
    }
    let said = of.change.as_ref().and_then(|c| c.impact.clone());
    lines.extend(said.map(text::announced));
    if lines.is_empty() {
        lines.push(text::nobody_shut_out());
    }
    lines
}

/// The first failure; where there is none, the first attempt whose end nobody saw.
fn trigger(of: &Timeline) -> Vec<String> {
    let is = |wanted: fn(&Bar) -> bool| of.bars.iter().find(|bar| wanted(bar));
    let first = is(|b| matches!(b.outcome, Outcome::Failed | Outcome::Refused))
        .or_else(|| is(|b| b.outcome == Outcome::InDoubt));
    vec![first.map_or_else(text::nothing_failed, |bar| failure(of, bar))]
}

/// When its outcome was known, which is when somebody could notice it.
fn failure(of: &Timeline, bar: &Bar) -> String {
    // When it was found out, as the summary has it, which may be long after the beginning.
    let found = bar.end.as_ref().unwrap_or(&bar.start);
    text::failed_at(of.clock(&found.ts), name(bar), &bar.detail, found.seq)
}

fn failures(of: &Timeline, most: usize) -> Vec<String> {
    let failed = of.bars.iter();
    let failed = failed.filter(|b| {
        matches!(
            b.outcome,
            Outcome::Failed | Outcome::Refused | Outcome::InDoubt
        )
    });
    let mut lines: Vec<String> = failed.take(most).map(|bar| failure(of, bar)).collect();
    if lines.is_empty() {
        lines.push(text::nothing_failed());
    }
    lines
}

fn resolution(of: &Timeline) -> Vec<String> {
    let said = of
        .marks
        .iter()
        .map(|m| text::said(of.clock(&m.at.ts), m.who(), &m.words, m.at.seq));
    let mut lines: Vec<String> = said.take(40).collect();
    if lines.is_empty() {
        lines.push(text::nobody_acted());
    }
    lines
}

fn table(of: &Timeline) -> Vec<String> {
    let mut rows = vec![
        format!(
            "| {} | {} | {} | {} | {} | {} |",
            text::time(),
            text::step(),
            text::outcome(),
            text::duration(),
            text::detail(),
            text::seq()
        ),
        "|---|---|---|---|---|---|".into(),
    ];
    for bar in of.bars.iter().take(LISTED) {
        rows.push(format!(
            "| {} | {} | {} | {} | {} | {} |",
            of.clock(&bar.start.ts),
            cell(&name(bar)),
            outcome(bar),
            took(bar),
            cell(&detail(bar)),
            bar.start.seq
        ));
    }
    if of.bars.len() > LISTED {
        rows.push(String::new());
        rows.push(text::more_attempts(of.bars.len() - LISTED));
    }
    rows
}

/// Text that is no markup: one line, and every character that Markdown or HTML would read is escaped.
pub(crate) fn cell(text: &str) -> String {
    let mut out = String::new();
    for c in crate::report::safe(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' => {
                out.push('\\');
                out.push(c);
            }
            '\n' | '\r' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
