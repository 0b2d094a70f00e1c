//! A comparison as one HTML file, in the style of the timeline: no script, nothing from the network.

use super::super::html::HtmlError;
use super::super::summary::at;
use super::summary::{digest, ended, is_worth, longest, name_of, names, signed, took};
use super::{Comparison, Outcome, Row, Side, Work};
use crate::page;
use crate::report::{at_most, duration, safe};
use crate::text::{comparison as text, timeline};
use minijinja::value::Serde;
use minijinja::{Value, context};
use serde::Serialize;
use upledger_replay::event::Direction;

const TEMPLATE: &str = include_str!("comparison.html");

#[derive(Serialize)]
struct Shown {
    name: String,
    a: String,
    b: String,
    difference: String,
    /// The class of the difference: worth a look, or not.
    class: &'static str,
    width_a: String,
    width_b: String,
    ended_a: String,
    ended_b: String,
    /// The two ended differently, or only one has it.
    differs: bool,
    /// Both succeeded at once: not worth a word.
    plain: bool,
    seqs: String,
}

#[derive(Serialize)]
struct Section {
    name: String,
    rows: Vec<Shown>,
}

/// The page.
///
/// # Errors
/// [`HtmlError`].
pub fn html(of: &Comparison) -> Result<String, HtmlError> {
    let (a, b) = names(of);
    let most = of.rows.iter().map(longest).max().unwrap_or(0);
    let sections: Vec<Section> = of
        .phases()
        .into_iter()
        .map(|(phase, way, rows)| Section {
            name: match way {
                Direction::Do => safe(phase),
                Direction::Undo => timeline::undo_of(safe(phase)),
            },
            rows: rows.iter().map(|row| shown(row, most)).collect(),
        })
        .collect();
    let page = context! {
        lang => page::language(),
        title => safe(&text::title(&a, &b)),
        run => safe(&text::title(&a, &b)),
        plan => match of.a.plan == of.b.plan {
            true => safe(&of.a.plan),
            false => safe(&text::title(&of.a.plan, &of.b.plan)),
        },
        summary_heading => timeline::summary(),
        summary => of.summary().iter().map(|line| safe(line)).collect::<Vec<_>>(),
        runs_heading => text::the_runs(),
        facts => facts(of),
        steps_heading => text::steps(),
        sums => text::sums(),
        columns => [timeline::step(), timeline::duration(), text::difference()],
        sections => Value::from(Serde(sections)),
        record_heading => timeline::supporting(),
        proof => text::proof("upledger timeline RUN --out RUN.html"),
    };
    Ok(page::render(TEMPLATE, page)?)
}

/// What is said of each of the two runs: a name, and the value of each.
pub(super) fn facts(of: &Comparison) -> Vec<(String, String, String)> {
    let fact = |name: String, value: &dyn Fn(&Side) -> String| {
        (name, safe(&value(&of.a)), safe(&value(&of.b)))
    };
    vec![
        fact(text::run(), &|s| s.run.clone()),
        fact(text::ledger(), &|s| {
            s.ledger.clone().unwrap_or_else(text::this_ledger)
        }),
        fact(text::plan(), &|s| s.plan.clone()),
        fact(text::digest(), &|s| digest(s).to_owned()),
        fact(text::state(), &|s| s.shown.clone()),
        fact(text::began(), &|s| at(&s.from.ts)),
        fact(text::whole(), &|s| duration(s.whole_ms)),
        fact(text::users_out(), &|s| match (s.outages, s.outage_ms) {
            (0, _) => text::never(),
            (_, Some(ms)) => duration(ms),
            (_, None) => text::still(),
        }),
        fact(text::for_people(), &|s| duration(s.person_ms)),
        fact(text::nobody(), &|s| at_most(s.no_runner_ms)),
        fact(timeline::seq(), &|s| {
            format!("{} - {}", s.from.seq, s.until.seq)
        }),
    ]
}

fn shown(row: &Row, most: u64) -> Shown {
    let (a, b) = (row.a.as_ref(), row.b.as_ref());
    let width = |work: Option<&Work>| {
        // In hundredths of a per cent, so that no number needs a float.
        let part = work.map_or(0, |w| w.seen_ms).saturating_mul(10_000) / most.max(1);
        format!("{}.{:02}%", part / 100, part % 100)
    };
    let worth = row.difference_ms.filter(|d| is_worth(*d, longest(row)));
    let seq = |work: Option<&Work>| work.map_or("-".into(), |w| w.from_seq.to_string());
    Shown {
        name: safe(&name_of(row)),
        a: took(a),
        b: took(b),
        difference: row.difference_ms.map_or(String::new(), signed),
        class: match worth {
            Some(d) if d > 0 => "bad",
            Some(_) => "good",
            None => "idle",
        },
        width_a: width(a),
        width_b: width(b),
        ended_a: ended(a),
        ended_b: ended(b),
        differs: row.went_differently() || a.is_none() || b.is_none(),
        plain: a.is_some_and(|work| work.outcomes == [Outcome::Succeeded]),
        seqs: format!("{} {} / {}", timeline::seq(), seq(a), seq(b)),
    }
}
