//! The timeline as one HTML file: no script, nothing from the network, readable in print and without a mouse. The events of
//! the ledger lie in it, so that its reader can verify them.

use super::{Bar, Direction, Idle, Mark, Outage, Outcome, Timeline, Wait, markdown};
use crate::page;
use crate::report::{at_most, duration, safe};
use crate::text::timeline as text;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use minijinja::value::Serde;
use minijinja::{Value, context};
use serde::Serialize;
use std::io::{self, Write as _};

const TEMPLATE: &str = include_str!("timeline.html");
/// Characters of a line of embedded events.
const LINE: usize = 120;
/// Lines of evidence that are shown of an attempt; the log has all.
const EVIDENCE: usize = 12;

/// The page could not be made.
#[derive(Debug, thiserror::Error)]
pub enum HtmlError {
    /// The template.
    #[error("the page cannot be rendered")]
    Template(#[from] minijinja::Error),
    /// The events.
    #[error("the events cannot be embedded")]
    Events(#[from] io::Error),
}

/// A row: an attempt, or a wait between two.
#[derive(Serialize)]
struct Row {
    id: u64,
    time: String,
    name: String,
    /// What is said of every attempt; nothing of a wait. There may be thousands, so that it is short.
    about: String,
    command: String,
    class: &'static str,
    outcome: String,
    took: String,
    left: String,
    width: String,
    facts: Vec<(String, String)>,
    evidence: Vec<String>,
    open: bool,
}

#[derive(Serialize)]
struct Section {
    name: String,
    back: bool,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Note {
    time: String,
    seq: u64,
    words: String,
}

/// The page; `events` writes the canonical events of the ledger, one a line.
///
/// # Errors
/// [`HtmlError`].
pub fn html(
    of: &Timeline,
    events: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
) -> Result<String, HtmlError> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    events(&mut packed)?;
    packed.flush()?;
    let packed = STANDARD.encode(packed.finish()?);
    // Base64 is ASCII, so every cut is between characters.
    let packed: Vec<&str> = (0..packed.len())
        .step_by(LINE)
        .filter_map(|at| packed.get(at..(at + LINE).min(packed.len())))
        .collect();
    let scale = Scale::of(of);
    let context = context! {
        lang => page::language(),
        title => text::title(&of.run),
        run => of.run.as_str(),
        plan => safe(&of.plan),
        state => of.shown.as_str(),
        state_class => page::state_class(&of.state),
        summary_heading => text::summary(),
        summary => of.summary().iter().map(|line| safe(line)).collect::<Vec<_>>(),
        chart_heading => text::timeline(),
        ticks => scale.ticks(),
        outages => of.outages.iter().map(|o| scale.outage(o)).collect::<Vec<_>>(),
        outage_label => text::shut_out(),
        legend => legend(),
        sections => Value::from(Serde(sections(of, &scale))),
        marks_heading => text::what_people_did(),
        marks => Value::from(Serde(of.marks.iter().map(|mark| scale.mark(mark)).collect::<Vec<_>>())),
        record_heading => text::supporting(),
        record => [
            text::record(of.events, of.from.seq, of.until.seq),
            text::plan_digest(&of.digest),
            text::embedded(),
        ],
        unpack => "sed -n '/id=\"upledger\"/,/<\\/script>/p' FILE.html | sed '1d;$d' | base64 -d | gunzip > events.jsonl",
        seq => text::seq(),
        columns => [text::time(), text::step(), text::timeline(), text::duration(), text::outcome(), text::detail()],
        // Its alphabet needs no escape, and an escape would be none of it.
        events => Value::from_safe_string(packed.join("\n")),
    };
    Ok(page::render(TEMPLATE, context)?)
}

fn legend() -> Vec<(&'static str, String)> {
    vec![
        ("good", text::succeeded()),
        ("bad", text::failed()),
        ("doubt", text::in_doubt()),
        ("back", text::undone()),
        ("idle", text::waiting()),
        ("nobody", text::unknown_time()),
    ]
}

/// From times to positions, in per cent of the run.
struct Scale<'a> {
    of: &'a Timeline,
    from: i64,
    whole: i64,
}

impl<'a> Scale<'a> {
    fn of(of: &'a Timeline) -> Self {
        Self {
            of,
            from: of.from.us,
            whole: (of.until.us - of.from.us).max(1),
        }
    }

    /// Hundredths of a per cent, so that no number needs a float.
    fn place(&self, us: i64) -> i64 {
        ((us - self.from).saturating_mul(10_000) / self.whole).clamp(0, 10_000)
    }

    fn percent(hundredths: i64) -> String {
        let number = format!("{}.{:02}", hundredths / 100, hundredths % 100);
        format!("{}%", number.trim_end_matches('0').trim_end_matches('.'))
    }

    fn left(&self, us: i64) -> String {
        Self::percent(self.place(us))
    }

    fn width(&self, from: i64, until: i64) -> String {
        Self::percent((self.place(until) - self.place(from)).max(0))
    }

    fn ticks(&self) -> Vec<(String, String)> {
        (0..=4)
            .map(|n| {
                let us = self.from + self.whole / 4 * n;
                let at = chrono::DateTime::from_timestamp_micros(us);
                let shown = at.map_or(String::new(), |at| self.of.clock(&at.to_rfc3339()));
                (Self::percent(n * 2500), shown)
            })
            .collect()
    }

    /// Where it begins, how wide it is, where it ends, and how long it was.
    fn outage(&self, outage: &Outage) -> (String, String, String, String) {
        let until = outage
            .until
            .as_ref()
            .map_or(self.from + self.whole, |u| u.us);
        let took = match outage.ms() {
            Some(ms) => duration(ms),
            None => text::unknown(),
        };
        (
            self.left(outage.from.us),
            self.width(outage.from.us, until),
            self.left(until),
            took,
        )
    }

    fn mark(&self, mark: &Mark) -> Note {
        Note {
            time: self.of.clock(&mark.at.ts),
            seq: mark.at.seq,
            words: safe(&text::by_actor(&mark.words, mark.who())),
        }
    }

    fn bar(&self, bar: &Bar) -> Row {
        let until = bar.end_us().unwrap_or(self.from + self.whole);
        let took = markdown::took(bar);
        let outcome = markdown::outcome(bar);
        let seq = match &bar.end {
            Some(end) if end.seq != bar.start.seq => format!("{} - {}", bar.start.seq, end.seq),
            Some(_) | None => bar.start.seq.to_string(),
        };
        let mut facts = Vec::new();
        let lines = |text: &str| text.lines().map(safe).collect::<Vec<_>>().join("\n");
        let mut fact = |name: String, value: String| {
            if !value.is_empty() {
                facts.push((name, lines(&value)));
            }
        };
        if bar.attempt > 1 {
            fact(text::attempt(), bar.attempt.to_string());
        }
        fact(text::detail(), bar.detail.clone());
        fact(text::settled(), bar.settled.clone().unwrap_or_default());
        fact(text::on_the_way(), crate::text::clauses(&bar.on_the_way));
        Row {
            id: bar.start.seq,
            time: self.of.clock(&bar.start.ts),
            name: markdown::name(bar),
            about: text::about(&bar.kind, seq),
            command: lines(&bar.command.join("\n")),
            class: class(bar),
            outcome,
            took,
            left: self.left(bar.start.us),
            width: self.width(bar.start.us, until),
            facts,
            evidence: bar
                .evidence
                .iter()
                // Which is the detail already.
                .filter(|line| **line != bar.detail)
                .take(EVIDENCE)
                .map(|l| safe(l))
                .collect(),
            open: matches!(
                bar.outcome,
                Outcome::Failed | Outcome::InDoubt | Outcome::Refused
            ),
        }
    }

    fn wait(&self, wait: &Wait) -> Row {
        let ms = u64::try_from((wait.until.us - wait.from.us) / 1000).unwrap_or(0);
        let (class, name, took) = match wait.why {
            Idle::Person => ("idle", text::waited_for_a_person(), duration(ms)),
            Idle::Between => ("idle", text::waited_between(), duration(ms)),
            // The runner may have gone on for a while after its last event.
            Idle::NoRunner => ("nobody", text::nobody_drove(), format!("≤ {}", at_most(ms))),
        };
        Row {
            id: wait.until.seq,
            time: self.of.clock(&wait.from.ts),
            name,
            about: String::new(),
            command: String::new(),
            class,
            outcome: String::new(),
            took,
            left: self.left(wait.from.us),
            width: self.width(wait.from.us, wait.until.us),
            facts: Vec::new(),
            evidence: Vec::new(),
            open: false,
        }
    }
}

fn class(bar: &Bar) -> &'static str {
    match (bar.outcome, bar.way) {
        (Outcome::Succeeded, Direction::Undo) => "back",
        (Outcome::Satisfied, Direction::Undo) if !bar.check => "none",
        (Outcome::Succeeded | Outcome::Satisfied, _) => "good",
        (Outcome::Failed | Outcome::Refused, _) => "bad",
        (Outcome::InDoubt | Outcome::Running, _) => "doubt",
        (Outcome::Fenced | Outcome::Skipped, _) => "none",
    }
}

/// The phases, with the waits where they were.
fn sections(of: &Timeline, scale: &Scale<'_>) -> Vec<Section> {
    let mut waits = of.waits.iter().peekable();
    let mut sections: Vec<Section> = Vec::new();
    for (phase, way, bars) in of.phases() {
        let back = way == Direction::Undo;
        let checks = bars.iter().any(|bar| bar.check);
        let mut rows = Vec::new();
        for bar in bars {
            // A wait stands behind what it came after, which may be the last step of another phase.
            while let Some(wait) = waits.next_if(|w| w.from.us < bar.start.us) {
                match sections.last_mut().filter(|_| rows.is_empty()) {
                    Some(before) => before.rows.push(scale.wait(wait)),
                    None => rows.push(scale.wait(wait)),
                }
            }
            rows.push(scale.bar(bar));
        }
        let name = match back {
            true if checks => text::checks_after(),
            true => text::undo_of(safe(phase)),
            false => safe(phase),
        };
        sections.push(Section { name, back, rows });
    }
    if let Some(last) = sections.last_mut() {
        last.rows.extend(waits.map(|wait| scale.wait(wait)));
    }
    sections
}
