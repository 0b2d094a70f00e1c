//! What the steps did: the attempts, what they ran and produced, the checks and the backups. Blocks E, F and G.

use super::World;
use crate::compliance::Report;
use crate::compliance::blocks::{AttemptRow, Backup, CheckRow, Commands, Product};
use crate::compliance::fact::{Fact, Ms, Seqs, Time, Word};
use crate::journal::Entry;
use crate::text::compliance as text;
use crate::timeline::{self, Bar, Outcome, Timeline};
use serde_json::Value;
use std::collections::BTreeMap;
use upledger_replay::event::{Direction, Event, Failure, Output, Printed, TaskKey};
use upledger_replay::runs::way_word;
use upledger_replay::state::Status;

/// Where a kind of action says something that the report asks for: in what it saw before, or in what it produced.
enum Place {
    Before(&'static str),
    After(&'static str),
}
use Place::{After, Before};

/// Versions in force before, and put in force. A path names the keys on the way; `*` is each element.
const VERSIONS_BEFORE: &[(&str, Place)] = &[
    ("git.deploy", Before("layout/in_place/head/commit")),
    ("git.deploy", Before("layout/side_by_side/target")),
    ("pip.install", Before("current")),
    ("release.switch", Before("links/*/led")),
];
const VERSIONS_AFTER: &[(&str, Place)] = &[
    ("git.deploy", After("commit")),
    ("pip.install", After("venv")),
];
/// Migrations that were to be applied: application and name.
const MIGRATIONS: &[(&str, Place)] = &[
    ("django.migrate", Before("databases/*/plan/*")),
    ("django.fake", After("migration")),
];
/// Files of the configuration that were written.
const CONFIGURATION: &[(&str, Place)] = &[
    ("config.set", After("path")),
    ("file.replace", After("path")),
    ("file.line", After("path")),
    ("file.restore", After("path")),
];
/// Digests of what is kept or installed, whatever the kind.
const DIGESTS: [&str; 2] = ["sha256", "manifest_sha256"];
/// Kinds that make a copy of data.
const BACKUPS: &str = ".backup";
/// Whether a backup was restored for a test.
const RESTORED: &str = "verified";

/// What the events of an attempt say beside what a timeline has.
#[derive(Default)]
struct Extra {
    nonce: Option<String>,
    job: String,
    exit: Option<i64>,
    output: Option<(String, u64, u64)>,
}

#[derive(Default)]
pub(super) struct Steps {
    /// By the seq of the intent.
    extras: BTreeMap<u64, Extra>,
    /// The intent of the last attempt of a part.
    started: BTreeMap<TaskKey, u64>,
    succeeded: Vec<u64>,
    failed: Vec<u64>,
    doubted: Vec<u64>,
    fenced: Vec<u64>,
    refused: Vec<u64>,
    satisfied: Vec<u64>,
    skipped: Vec<u64>,
    products: Vec<Product>,
    backups: Vec<Backup>,
    before: Vec<(String, Seqs)>,
    after: Vec<(String, Seqs)>,
    digests: Vec<(String, Seqs)>,
    configuration: Vec<(String, Seqs)>,
    migrations: Vec<(String, Seqs)>,
}

impl Steps {
    pub(super) fn event(&mut self, entry: &Entry, world: &World<'_>) {
        let seq = entry.when.seq;
        match &entry.event {
            Event::StepStarted(s) => {
                self.started.insert(s.at.part.clone(), seq);
                let extra = self.extras.entry(seq).or_default();
                extra.nonce = Some(s.nonce.clone()).filter(|n| !n.is_empty());
                extra.job.clone_from(&s.spec);
                self.read(world, &s.at.part, &s.observed, seq, true);
            }
            Event::StepSucceeded(s) => {
                self.succeeded.push(seq);
                self.printed(&s.at.part, s.printed.as_ref(), s.output.as_ref());
                self.produced(world, &s.at.part, s.produced.as_ref(), seq);
                for fact in &s.facts {
                    self.product(world, &s.at.part, &fact.key, fact.value.clone(), seq);
                }
            }
            Event::StepFailed(f) => {
                self.failed.push(seq);
                self.printed(&f.at.part, f.printed.as_ref(), f.output.as_ref());
                if let (Failure::Exit(code), Some(extra)) = (&f.failure, self.extra(&f.at.part)) {
                    extra.exit = Some((*code).into());
                }
            }
            Event::StepDoubted(_) => self.doubted.push(seq),
            Event::StepFenced(_) => self.fenced.push(seq),
            Event::StepRefused(_) => self.refused.push(seq),
            Event::StepSatisfied(s) => {
                self.satisfied.push(seq);
                self.produced(world, &s.part, s.produced.as_ref(), seq);
            }
            Event::StepSkipped(_) => self.skipped.push(seq),
            Event::StepProbed(p) => {
                self.produced(world, &p.at.part, p.produced.as_ref(), seq);
            }
            Event::StepDecided(d) => self.produced(world, &d.part, d.produced.as_ref(), seq),
            _ => {}
        }
    }

    fn extra(&mut self, part: &TaskKey) -> Option<&mut Extra> {
        self.extras.get_mut(self.started.get(part)?)
    }

    fn printed(&mut self, part: &TaskKey, printed: Option<&Printed>, output: Option<&Output>) {
        let printed = printed.map(|p| (p.sha256.clone(), p.len, p.dropped));
        let output = output.map(|o| (o.sha256.clone(), o.len, o.dropped));
        if let Some(extra) = self.extra(part) {
            extra.output = printed.or(output);
        }
    }

    fn product(&mut self, world: &World<'_>, part: &TaskKey, name: &str, value: String, seq: u64) {
        self.products.push(Product {
            step: world.name(part),
            action: world.kind(part),
            name: name.into(),
            value,
            seq: Seqs::one(seq),
        });
    }

    fn produced(&mut self, world: &World<'_>, part: &TaskKey, produced: Option<&Value>, seq: u64) {
        let Some(Value::Object(fields)) = produced else {
            return;
        };
        let produced = Value::Object(fields.clone());
        for (name, value) in fields {
            if let Some(value) = plain(value) {
                self.product(world, part, name, value, seq);
            }
        }
        for name in DIGESTS {
            if let Some(sha256) = produced[name].as_str() {
                self.digests.push((
                    crate::text::causes(&[part.step.as_str(), name, sha256]),
                    Seqs::one(seq),
                ));
            }
        }
        self.read(world, part, &produced, seq, false);
        let action = world.kind(part);
        if action.ends_with(BACKUPS)
            && let Some(path) = produced["path"].as_str()
        {
            self.backups.push(Backup {
                step: world.name(part),
                action,
                path: path.into(),
                sha256: DIGESTS
                    .iter()
                    .find_map(|d| produced[*d].as_str().map(str::to_owned)),
                bytes: produced["bytes"].as_u64(),
                restored: produced[RESTORED].as_bool(),
                seq: Seqs::one(seq),
            });
        }
    }

    /// What the tables above find in an observation, or in an output.
    fn read(&mut self, world: &World<'_>, part: &TaskKey, value: &Value, seq: u64, before: bool) {
        let kind = world.kind(part);
        let find = |table: &[(&str, Place)], into: &mut Vec<(String, Seqs)>| {
            for (_, place) in table.iter().filter(|(of, _)| *of == kind) {
                let path = match (place, before) {
                    (Before(path), true) | (After(path), false) => path,
                    _ => continue,
                };
                let mut found = Vec::new();
                walk(value, &path.split('/').collect::<Vec<_>>(), &mut found);
                let step = world.name(part);
                into.extend(found.into_iter().map(|v| {
                    (
                        crate::text::causes(&[step.as_str(), v.as_str()]),
                        Seqs::one(seq),
                    )
                }));
            }
        };
        find(VERSIONS_BEFORE, &mut self.before);
        find(VERSIONS_AFTER, &mut self.after);
        find(CONFIGURATION, &mut self.configuration);
        find(MIGRATIONS, &mut self.migrations);
    }

    pub(super) fn close(self, report: &mut Report, world: &World<'_>, timeline: &Timeline) {
        let all = &world.all;
        checks(report, world, timeline);
        let of = &mut report.execution;
        let bars = || timeline.bars.iter();
        let started: Vec<u64> = bars()
            .filter(|b| b.attempt > 0)
            .map(|b| b.start.seq)
            .collect();
        of.attempts_started = Fact::count(&started, all);
        of.succeeded = Fact::count(&self.succeeded, all);
        of.failed = Fact::count(&self.failed, all);
        of.in_doubt = Fact::count(&self.doubted, all);
        of.fenced = Fact::count(&self.fenced, all);
        of.refused = Fact::count(&self.refused, all);
        of.satisfied = Fact::count(&self.satisfied, all);
        of.left_out = Fact::count(&self.skipped, all);
        let ends: Seqs = bars()
            .filter_map(|b| b.end.as_ref().map(|end| end.seq))
            .collect();
        if !started.is_empty() {
            let open = bars().any(|b| b.outcome == Outcome::Running);
            of.outcomes_recorded = Fact::said(!open, ends);
        }
        let mut seen = BTreeMap::new();
        for bar in bars() {
            let part = key(bar);
            let extra = self.extras.get(&bar.start.seq);
            if let Some(extra) = extra.filter(|_| !bar.command.is_empty()) {
                // A second attempt of the same job tells nothing new.
                if seen.insert(part.clone(), extra.job.clone()).as_ref() != Some(&extra.job) {
                    report.changed.commands.push(Commands {
                        step: world.name(&part),
                        command: bar.command.clone(),
                        job_sha256: extra.job.clone(),
                        seq: Seqs::one(bar.start.seq),
                    });
                }
            }
            of.attempts.push(attempt(world, bar, &part, extra));
        }
        let of = &mut report.changed;
        of.versions_before = Fact::list(self.before);
        of.versions_after = Fact::list(self.after);
        of.artefacts = Fact::list(self.digests);
        of.configuration = Fact::list(self.configuration);
        of.migrations = Fact::list(self.migrations);
        of.products = self.products;
        let units = world.run.units().iter();
        let there = units.filter(|u| u.forward.status == Status::Succeeded);
        let there = there.map(|u| (u, u.key(Direction::Do)));
        let there = there.filter(|(_, part)| !world.is_check(part));
        let there = there.map(|(u, _)| (u.step.clone(), Seqs::one(u.forward.ended_at.seq)));
        of.in_place = Fact::list_within(there, all);
        let found = bars().filter(|b| {
            b.way == Direction::Undo && b.outcome == Outcome::Satisfied && !world.is_check(&key(b))
        });
        let found = found.map(|b| {
            let words = match timeline::detail(b).as_str() {
                "" => b.step.clone(),
                detail => crate::text::causes(&[b.step.as_str(), detail]),
            };
            (words, edges(b))
        });
        of.left_as_found = Fact::list_within(found, all);
        let of = &mut report.tests;
        let made: Vec<u64> = self.backups.iter().filter_map(|b| b.seq.first()).collect();
        of.backups_made = Fact::count(&made, all);
        let said = self.backups.iter().filter(|b| b.restored.is_some());
        let (mut tested, mut proof) = (None, Seqs::default());
        for backup in said {
            proof.join(&backup.seq);
            tested = Some(tested.unwrap_or(false) || backup.restored == Some(true));
        }
        if let Some(tested) = tested {
            of.restore_tested = Fact::said(tested, proof);
        }
        of.backups = self.backups;
    }
}

fn key(bar: &Bar) -> TaskKey {
    TaskKey {
        step: bar.step.clone(),
        target: bar.target.clone(),
        way: bar.way,
    }
}

/// The seq of what a bar begins and ends with.
fn edges(bar: &Bar) -> Seqs {
    let end = bar.end.as_ref().map(|end| end.seq);
    [Some(bar.start.seq), end].into_iter().flatten().collect()
}

fn word(bar: &Bar) -> Word {
    // The name that the timeline has for it.
    let stable = serde_json::to_value(bar.outcome).unwrap_or_default();
    let stable = stable.as_str().unwrap_or_default();
    Word::new(stable, timeline::outcome(bar))
}

fn attempt(world: &World<'_>, bar: &Bar, part: &TaskKey, extra: Option<&Extra>) -> AttemptRow {
    let output = extra.and_then(|e| e.output.clone());
    AttemptRow {
        time: Time(bar.start.ts.clone()),
        step: world.name(part),
        action: bar.kind.clone(),
        attempt: bar.attempt.into(),
        took_ms: bar.took_ms.map(Ms),
        outcome: word(bar),
        detail: timeline::detail(bar),
        settled: bar.settled.clone(),
        phase: bar.phase.clone(),
        target: bar.target.clone(),
        way: way_word(bar.way).into(),
        ended_at: bar.end.as_ref().map(|end| Time(end.ts.clone())),
        exit: extra.and_then(|e| e.exit),
        nonce: extra.and_then(|e| e.nonce.clone()),
        output_sha256: output.as_ref().map(|(sha256, _, _)| sha256.clone()),
        output_bytes: output.as_ref().map(|(_, len, _)| *len),
        output_dropped: output.as_ref().map(|(_, _, dropped)| *dropped),
        seq: edges(bar),
    }
}

/// The checks, and when each was made.
fn checks(report: &mut Report, world: &World<'_>, timeline: &Timeline) {
    let (first, last) = disturbance(world, timeline);
    let (mut passed, mut failed, mut before, mut after) = (vec![], vec![], vec![], vec![]);
    let of = &mut report.tests;
    for bar in timeline.bars.iter() {
        let part = key(bar);
        let Some(end) = bar.end.as_ref().filter(|_| world.is_check(&part)) else {
            continue;
        };
        let held = match bar.outcome {
            Outcome::Succeeded | Outcome::Satisfied => true,
            Outcome::Failed | Outcome::Refused => false,
            Outcome::InDoubt | Outcome::Fenced | Outcome::Skipped | Outcome::Running => continue,
        };
        let into = if held { &mut passed } else { &mut failed };
        into.push(end.seq);
        let moment = match (first, last) {
            (Some(first), _) if end.seq < first => Word::new("before", text::before()),
            (Some(_), Some(last)) if end.seq >= last => Word::new("after", text::after()),
            (Some(_), _) => Word::new("during", text::during()),
            (None, _) => Word::new("before", text::before()),
        };
        match moment.stable.as_str() {
            "before" if held => before.push(end.seq),
            "after" if held => after.push(end.seq),
            _ => {}
        }
        let moment = match bar.check {
            true => Word::new(&moment.stable, text::after_rollback()),
            false => moment,
        };
        let observed = match bar.evidence.is_empty() {
            true => vec![bar.detail.clone()],
            false => bar.evidence.iter().take(OBSERVED).cloned().collect(),
        };
        of.checks.push(CheckRow {
            time: Time(bar.start.ts.clone()),
            step: world.name(&part),
            action: bar.kind.clone(),
            expected: world
                .steps
                .get(&part.step)
                .map_or_else(String::new, |known| known.expected.clone()),
            observed: observed.into_iter().filter(|l| !l.is_empty()).collect(),
            outcome: word(bar),
            moment,
            seq: edges(bar),
        });
    }
    let all = &world.all;
    of.checks_passed = Fact::count(&passed, all);
    of.checks_failed = Fact::count(&failed, all);
    of.checks_before = Fact::count(&before, all);
    report.result.checks_after = Fact::count(&after, all);
}

/// Lines that a check saw; the record has all of them.
const OBSERVED: usize = 5;

/// The first event of the time in which users were shut out, and the one that ended it; where no step shuts them out, the
/// first intent of a step that changes anything, and what follows the last outcome of one.
fn disturbance(world: &World<'_>, timeline: &Timeline) -> (Option<u64>, Option<u64>) {
    if let (Some(first), Some(last)) = (timeline.outages.first(), timeline.outages.last()) {
        return (Some(first.from.seq), last.until.as_ref().map(|u| u.seq));
    }
    let changing = || {
        let bars = timeline.bars.iter();
        bars.filter(|b| b.attempt > 0 && !world.is_check(&key(b)))
    };
    let first = changing().map(|b| b.start.seq).min();
    let open = changing().any(|b| b.end.is_none());
    let last = changing()
        .filter_map(|b| b.end.as_ref())
        .map(|end| end.seq + 1);
    (first, last.max().filter(|_| !open))
}

/// A value of one word or line.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The values at a path; of a migration, application and name.
fn walk(value: &Value, path: &[&str], found: &mut Vec<String>) {
    match (path, value) {
        ([], Value::Object(_)) => {
            if let (Some(app), Some(name)) = (value["app"].as_str(), value["name"].as_str()) {
                found.push(format!("{app}.{name}"));
            }
        }
        ([], value) => found.extend(plain(value)),
        (["*", rest @ ..], Value::Array(all)) => {
            all.iter().for_each(|one| walk(one, rest, found));
        }
        ([key, rest @ ..], Value::Object(fields)) => {
            if let Some(one) = fields.get(*key) {
                walk(one, rest, found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_path_leads_through_lists_and_what_is_not_there_is_left_out() {
        let value = json!({"links": [{"led": "/a"}, {"led": null}, {"led": "/b"}], "n": 1});
        let at = |path: &str| {
            let mut found = Vec::new();
            walk(&value, &path.split('/').collect::<Vec<_>>(), &mut found);
            found
        };
        assert_eq!(at("links/*/led"), ["/a", "/b"]);
        assert_eq!(at("n"), ["1"]);
        assert!(at("links/led").is_empty() && at("m").is_empty());
        let mut found = Vec::new();
        walk(&json!({"app": "shop", "name": "0002"}), &[], &mut found);
        assert_eq!(found, ["shop.0002"]);
    }
}
