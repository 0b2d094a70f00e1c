//! The fold: the events of a run and of the ledger in, the report out. Each part takes its share of every event, in one pass,
//! and fills its blocks at the end.
//!
//! Invariant: no part looks back over what it has collected, so that ten thousand events cost ten thousand steps.

mod people;
mod record;
mod steps;
mod trouble;

use super::blocks::OutageRow;
use super::fact::{AtMost, Fact, Ms, Seqs, Time, Word};
use super::{Evidence, Report, controls};
use crate::clock;
use crate::journal::Entry;
use crate::report::now::Now;
use crate::report::{lines, status};
use crate::text::compliance as text;
use crate::timeline::{self, Idle, Timeline};
use std::collections::BTreeMap;
use upledger_replay::event::{Direction, Event, TaskKey};
use upledger_replay::plan::{Effect, Plan, Step, Undo};
use upledger_replay::runs::way_word;
use upledger_replay::state::{Run, When};

/// What is known of a step by its plan.
struct Known {
    kind: String,
    /// The kind that its undo runs.
    undo_kind: String,
    /// It changes nothing.
    is_check: bool,
    expected: String,
}

/// What every part may look at.
struct World<'a> {
    run: &'a Run,
    /// Every step that a plan of the run had.
    steps: BTreeMap<String, Known>,
    /// All events of the run.
    all: Seqs,
    /// Those that hold its plans.
    plans: Seqs,
}

impl<'a> World<'a> {
    fn of(run: &'a Run) -> Self {
        Self {
            run,
            steps: BTreeMap::new(),
            all: Seqs::default(),
            plans: Seqs::default(),
        }
    }

    /// The step, with what it undoes.
    fn name(&self, part: &TaskKey) -> String {
        lines::part_of(Some(self.run), part)
    }

    /// The kind that this direction of the step runs.
    fn kind(&self, part: &TaskKey) -> String {
        let known = self.steps.get(&part.step);
        known.map_or_else(String::new, |known| match part.way {
            Direction::Undo if !self.run.is_check(part) => known.undo_kind.clone(),
            Direction::Do | Direction::Undo => known.kind.clone(),
        })
    }

    /// It changes nothing: a check of the plan, in either direction.
    fn is_check(&self, part: &TaskKey) -> bool {
        let known = self.steps.get(&part.step);
        known.is_some_and(|known| known.is_check)
    }

    fn plan(&mut self, plan: &Plan, seq: u64) {
        self.plans.add(seq);
        for (_, step) in plan.steps() {
            let known = Known {
                kind: step.action.kind.clone(),
                undo_kind: timeline::undo_kind(step).into(),
                is_check: step.effect == Effect::Pure,
                expected: step.action.settings.to_string(),
            };
            self.steps.insert(step.id.clone(), known);
        }
    }
}

fn time(when: &When) -> Time {
    Time(when.ts.clone())
}

/// Folds the events of a run and of the ledger, in their order.
#[must_use]
pub fn fold(of: &Evidence<'_>) -> Option<Report> {
    let timeline = timeline::fold(of.run, of.entries)?;
    let timeline = match status::deserted(of.run, &Now::of_runner(of.machine.runner)) {
        true => timeline.without_runner(),
        false => timeline,
    };
    let mut report = Report::default();
    let mut world = World::of(of.run);
    let (mut people, mut record) = (people::People::default(), record::Record::default());
    let (mut steps, mut trouble) = (steps::Steps::default(), trouble::Trouble::default());
    for entry in of.entries {
        let own = entry.run.as_ref() == Some(&of.run.name);
        record.event(entry, own);
        people.ledger(entry);
        if !own {
            continue;
        }
        world.all.add(entry.when.seq);
        match &entry.event {
            Event::RunPlanned(planned) => {
                world.plan(&planned.plan, entry.when.seq);
                change(&mut report, &planned.plan, entry);
            }
            Event::RunAmended(amended) => {
                world.plan(&amended.plan, entry.when.seq);
                change(&mut report, &amended.plan, entry);
            }
            _ => {}
        }
        people.event(entry, &world);
        steps.event(entry, &world);
        trouble.event(entry, &world);
    }
    steps.close(&mut report, &world, &timeline);
    trouble.close(&mut report, &world, &timeline);
    people.close(&mut report, &world);
    result(&mut report, &world, &timeline);
    record.close(&mut report, &world, of);
    report.summary = timeline.summary();
    report.controls = controls::judge(&report);
    Some(report)
}

/// What a plan says of the change: the last one counts.
fn change(report: &mut Report, plan: &Plan, entry: &Entry) {
    let seq = entry.when.seq;
    let said = |text: Option<String>| Fact::said_by(text, seq);
    let of = &mut report.change;
    of.title = said(Some(plan.name.clone()));
    of.environment = said(plan.environment.clone());
    let change = plan.change.as_ref();
    of.change_id = said(change.map(|c| c.id.clone()));
    of.reason = said(change.and_then(|c| c.reason.clone()));
    of.risk = said(change.and_then(|c| c.risk.clone()));
    of.impact = said(change.and_then(|c| c.impact.clone()));
    let services = change.map(|c| c.services.clone()).unwrap_or_default();
    of.services = Fact::list(services.into_iter().map(|s| (s, Seqs::one(seq))));
    let vars = plan.vars.iter().map(|v| format!("{}={}", v.key, v.value));
    report.changed.variables =
        Fact::list_within(vars.map(|v| (v, Seqs::one(seq))), &Seqs::one(seq));
    report.execution.steps = Fact::said(count(plan.steps().count()), Seqs::one(seq));
    let changing = || plan.steps().map(|(_, s)| s).filter(|s| changes(s));
    let undone = changing().filter(|s| matches!(s.undo, Undo::Own { .. } | Undo::Action(_)));
    let way_back = format!("{}/{}", undone.count(), changing().count());
    report.execution.way_back = said(Some(way_back));
    let without = changing().filter(|s| matches!(s.undo, Undo::Nothing));
    report.execution.without_undo = Fact::list_within(
        without.map(|s| (s.id.clone(), Seqs::one(seq))),
        &Seqs::one(seq),
    );
    let points = changing().filter_map(|s| match &s.undo {
        Undo::PointOfNoReturn(why) => Some(crate::text::causes(&[s.id.as_str(), why.as_str()])),
        Undo::Own { .. } | Undo::Action(_) | Undo::Nothing => None,
    });
    report.execution.points_of_no_return =
        Fact::list_within(points.map(|p| (p, Seqs::one(seq))), &Seqs::one(seq));
}

fn changes(step: &Step) -> bool {
    step.effect != Effect::Pure && step.left_out.is_none()
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// How it ended, and what it cost the users: block I.
fn result(report: &mut Report, world: &World<'_>, timeline: &Timeline) {
    let of = &mut report.result;
    let edges = || Seqs::from_iter([timeline.from.seq, timeline.until.seq]);
    let word = status::word(world.run, &clock::now());
    let shown = match timeline.deserted {
        true => timeline.shown.clone(),
        false => word.shown,
    };
    of.state = Fact::said(Word::new(word.stable, shown), world.all.clone());
    of.started_at = Fact::said(Time(timeline.from.ts.clone()), Seqs::one(timeline.from.seq));
    of.lasted = Fact::said(Ms(timeline.whole_ms()), edges());
    let ends = ["run.completed", "run.aborted", "rollback.completed"];
    let end = timeline.marks.iter().rfind(|m| ends.contains(&m.kind));
    if let Some(end) = end.filter(|_| world.run.ended.is_some()) {
        of.ended_at = Fact::said(Time(end.at.ts.clone()), Seqs::one(end.at.seq));
    }
    let mut proof = Seqs::default();
    for outage in &timeline.outages {
        proof.add(outage.from.seq);
        outage.until.iter().for_each(|until| proof.add(until.seq));
        let lasted_ms = outage.ms().map(Ms);
        of.outages.push(OutageRow {
            from: Time(outage.from.ts.clone()),
            until: outage.until.as_ref().map(|until| Time(until.ts.clone())),
            lasted_ms,
            closed_by: outage.closed_by.clone(),
            opened_by: outage.opened_by.clone().filter(|_| lasted_ms.is_some()),
            way: match outage.way {
                Direction::Do => Word::new(way_word(outage.way), text::forwards()),
                Direction::Undo => Word::new(way_word(outage.way), text::backwards()),
            },
            seq: [Some(outage.from.seq), outage.until.as_ref().map(|u| u.seq)]
                .into_iter()
                .flatten()
                .collect(),
        });
    }
    if !timeline.outages.is_empty() {
        let whole: Option<u64> = timeline.outage_ms();
        of.users_let_in = Fact::said(whole.is_some(), proof.clone());
        if let Some(whole) = whole {
            of.outage = Fact::said(Ms(whole), proof);
        }
    }
    let waits = || timeline.waits.iter().filter(|w| w.why == Idle::NoRunner);
    let alone: i64 = waits().map(|w| w.until.us - w.from.us).sum();
    let proof: Seqs = waits().flat_map(|w| [w.from.seq, w.until.seq]).collect();
    let alone = AtMost(u64::try_from(alone / 1000).unwrap_or(0));
    of.unattended = Fact::said(alone, if proof.is_empty() { edges() } else { proof });
}
