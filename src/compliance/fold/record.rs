//! The record itself: its clock, its integrity and who can read it; and what the report says of itself. Blocks A, J, K and L.

use super::World;
use crate::compliance::fact::{Fact, Seqs, Source, Time};
use crate::compliance::{Evidence, Machine, Report, SCHEMA, Verification};
use crate::journal::Entry;
use crate::text::compliance as text;
use std::collections::BTreeMap;
use upledger_replay::event::Event;

/// A move of the wall clock against the boot clock that counts as a step: what `verify` takes for one, too.
const STEP_US: u64 = 2_000_000;

#[derive(Default)]
pub(super) struct Record {
    created: Fact<Time>,
    algorithm: Fact<String>,
    restores: Vec<(String, Seqs)>,
    /// The last wall and boot time of each boot.
    clocks: BTreeMap<String, (i64, u64)>,
    boots: Vec<(String, Seqs)>,
    deviation: Option<(u64, u64)>,
    steps: Vec<u64>,
}

impl Record {
    /// An event of the run, or of the ledger.
    pub(super) fn event(&mut self, entry: &Entry, own: bool) {
        let seq = entry.when.seq;
        match &entry.event {
            Event::LedgerCreated(data) => {
                self.created = Fact::said(Time(entry.when.ts.clone()), Seqs::one(seq));
                self.algorithm = Fact::said_by(data["alg"].as_str().map(str::to_owned), seq);
            }
            Event::LedgerRestored(data) => {
                let why = data["reason"].as_str().unwrap_or_default();
                self.restores.push((why.to_owned(), Seqs::one(seq)));
            }
            _ => {}
        }
        if own {
            self.clock(entry);
        }
    }

    fn clock(&mut self, entry: &Entry) {
        let when = &entry.when;
        let Ok(ts) = chrono::DateTime::parse_from_rfc3339(&when.ts) else {
            return;
        };
        let now = (ts.timestamp_micros(), when.mono);
        let Some((ts, mono)) = self.clocks.insert(when.boot.clone(), now) else {
            self.boots.push((when.boot.clone(), Seqs::one(when.seq)));
            return;
        };
        let mono = i64::try_from(now.1.saturating_sub(mono)).unwrap_or(i64::MAX);
        let moved = (now.0 - ts).saturating_sub(mono).unsigned_abs();
        if moved > STEP_US {
            self.steps.push(when.seq);
        }
        if self.deviation.is_none_or(|(most, _)| moved > most) {
            self.deviation = Some((moved, when.seq));
        }
    }

    pub(super) fn close(self, report: &mut Report, world: &World<'_>, of: &Evidence<'_>) {
        about(report, world, of);
        let boots = &mut report.clock;
        let proof: Vec<u64> = self
            .boots
            .iter()
            .filter_map(|(_, seq)| seq.first())
            .collect();
        boots.boots = Fact::count(&proof, &world.all);
        boots.clock_steps = Fact::count(&self.steps, &world.all);
        if let Some((most, seq)) = self.deviation {
            boots.deviation_us = Fact::said(most, Seqs::one(seq));
        }
        boots.time_format = Fact::verified(text::utc_microseconds());
        integrity(report, of.verification);
        report.integrity.ledger_created_at = self.created;
        report.integrity.algorithm = self.algorithm;
        // That no event of the ledger says it, the verification of all of them shows.
        let restores = Fact::list(self.restores);
        report.integrity.restores = match restores.value {
            Some(_) => restores,
            None => Fact::verified(Vec::new()),
        };
        retention(report, of.machine);
    }
}

fn about(report: &mut Report, world: &World<'_>, of: &Evidence<'_>) {
    let (run, machine) = (of.run, of.machine);
    let id = of.verification.ledger.clone().unwrap_or_default();
    let about = &mut report.report;
    let short = id.get(..8).unwrap_or_default();
    about.report_id = Fact::known(format!("{short}:{}:{}", run.name, run.last.seq));
    about.run_name = Fact::said(run.name.clone(), Seqs::one(run.planned_at.seq));
    about.run_events = Fact::said(world.all.count(), world.all.clone());
    about.generated_at = Fact::known(Time(machine.now.clone()));
    about.generated_by = Fact::known(format!("upledger {}", env!("CARGO_PKG_VERSION")));
    about.generator_sha256 = known(machine.program_sha256.clone());
    about.template_sha256 = Fact::known(machine.template_sha256.clone());
    about.ledger_id = of
        .verification
        .ledger
        .clone()
        .map_or_else(Fact::default, Fact::verified);
    about.ledger_path_sha256 = Fact::known(machine.path_sha256.clone());
    about.language = Fact::known(crate::page::language());
    about.time_zone = Fact::known(machine.zone.clone());
    report.schema = SCHEMA;
}

fn known<T>(value: Option<T>) -> Fact<T> {
    value.map_or_else(Fact::default, |value| Fact {
        value: Some(value),
        seq: Seqs::default(),
        source: Source::Program,
    })
}

fn integrity(report: &mut Report, of: &Verification) {
    let to = &mut report.integrity;
    to.sound = Fact::verified(of.sound);
    to.level = Fact::verified(of.level.clone());
    to.events_verified = Fact::verified(of.verified);
    to.head = of
        .head
        .as_ref()
        .map_or_else(Fact::default, |(seq, hash)| Fact {
            seq: Seqs::one(*seq),
            ..Fact::verified(format!("{seq} {hash}"))
        });
    to.root = Fact::verified(of.root.clone());
    to.remembered = Fact::verified(of.remembered);
    if of.anchored > 0 {
        to.anchored = Fact::verified(of.anchored);
    }
    to.unanchored = Fact::verified(of.unanchored);
    to.stored_checkpoints = Fact::verified(of.stored_checkpoints);
    to.contents_checked = Fact::verified(of.contents_checked);
    to.contents_absent = Fact::verified(of.contents_absent);
    to.findings = Fact::verified(of.findings.clone());
    to.checkpoint = of
        .checkpoint
        .clone()
        .map_or_else(Fact::default, Fact::verified);
    to.verify_again = Fact::known(vec![
        "upledger verify".to_owned(),
        "upledger export --jsonl --out events.jsonl".to_owned(),
        "upledger verifier > verify.py".to_owned(),
        "python3 verify.py events.jsonl".to_owned(),
    ]);
}

fn retention(report: &mut Report, of: &Machine) {
    let to = &mut report.retention;
    let Some(file) = &of.ledger_file else {
        return;
    };
    to.ledger_mode = Fact::known(format!("{:04o}", file.mode));
    to.ledger_owner = Fact::known(format!("{}:{}", file.uid, file.gid));
    to.private = Fact::known(file.private);
}
