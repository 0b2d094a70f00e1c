//! Block M: which evidence each control asks for, as a table, and what of it is there.
//!
//! Invariant: it is said whether there is evidence, and never that a control is met. A control is judged by the fields of the
//! blocks A to L alone; what says that something is not so is no evidence.

use super::Report;
use super::fact::{Seqs, Source};
use crate::text::controls as text;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// When a field is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    /// After a failure, a doubt or a rollback.
    Troubled,
    /// After a rollback.
    RolledBack,
}

/// A field that a control asks for, by its block and its name.
#[derive(Debug, Clone, Copy)]
struct Need(&'static str, When);

const fn always(field: &'static str) -> Need {
    Need(field, When::Always)
}

const fn troubled(field: &'static str) -> Need {
    Need(field, When::Troubled)
}

const fn rolled_back(field: &'static str) -> Need {
    Need(field, When::RolledBack)
}

/// A clause of a standard, and the evidence that it asks for.
#[derive(Debug)]
struct Control {
    standard: fn() -> String,
    clause: &'static str,
    text: fn() -> String,
    needs: &'static [Need],
}

const fn control(
    standard: fn() -> String,
    clause: &'static str,
    text: fn() -> String,
    needs: &'static [Need],
) -> Control {
    Control {
        standard,
        clause,
        text,
        needs,
    }
}

/// The table.
const CONTROLS: &[Control] = &[
    control(
        text::gb,
        "8.1.4.3 a)",
        text::gb_audit_a,
        &[
            always("identity.actors"),
            always("identity.sessions"),
            always("execution.attempts"),
            always("execution.actions"),
        ],
    ),
    control(
        text::gb,
        "8.1.4.3 b)",
        text::gb_audit_b,
        &[
            always("report.run_events"),
            always("clock.time_format"),
            always("identity.actors"),
            always("execution.outcomes_recorded"),
        ],
    ),
    control(
        text::gb,
        "8.1.4.3 c)",
        text::gb_audit_c,
        &[
            always("integrity.sound"),
            always("integrity.remembered"),
            always("integrity.anchored"),
            always("retention.private"),
            always("retention.receipts"),
        ],
    ),
    control(
        text::gb,
        "8.1.4.3 d)",
        text::gb_audit_d,
        &[
            always("execution.outcomes_recorded"),
            always("execution.uninterrupted"),
            always("integrity.sound"),
        ],
    ),
    control(
        text::gb,
        "8.1.10.6 e)",
        text::gb_operation_log,
        &[
            always("execution.attempts"),
            always("execution.actions"),
            always("changed.commands"),
        ],
    ),
    control(
        text::gb,
        "8.1.10.6 g)",
        text::gb_change_operation,
        &[
            always("authorisation.approvers"),
            always("authorisation.approval_precedes_start"),
            always("integrity.sound"),
            always("integrity.anchored"),
            always("change.cmdb_update"),
        ],
    ),
    control(
        text::gb,
        "8.1.10.6 h)",
        text::gb_tools,
        &[
            always("authorisation.approvers"),
            always("integrity.sound"),
            always("integrity.anchored"),
            always("retention.purges"),
        ],
    ),
    control(
        text::gb,
        "8.1.10.10 a)",
        text::gb_change_a,
        &[
            always("change.reason"),
            always("authorisation.plan_sha256"),
            always("authorisation.approvers"),
            always("authorisation.approved_at"),
        ],
    ),
    control(
        text::gb,
        "8.1.10.10 b)",
        text::gb_change_b,
        &[
            always("change.change_id"),
            always("change.requester"),
            always("authorisation.approvers"),
            always("execution.attempts"),
        ],
    ),
    control(
        text::gb,
        "8.1.10.10 c)",
        text::gb_change_c,
        &[
            always("execution.way_back"),
            always("tests.test_run"),
            troubled("failure.deciders"),
            rolled_back("failure.rollback_by"),
            troubled("failure.state_confirmed"),
        ],
    ),
    control(
        text::soc,
        "CC8.1",
        text::soc_cc8_1,
        &[
            always("change.change_id"),
            always("change.requester"),
            always("change.reason"),
            always("authorisation.approvers"),
            always("authorisation.approval_precedes_start"),
            always("authorisation.plan_sha256"),
            always("authorisation.started_by"),
            always("tests.checks"),
            always("tests.test_run"),
            always("execution.attempts"),
            always("result.ended_at"),
            troubled("failure.state_confirmed"),
        ],
    ),
    control(
        text::iso,
        "A.8.15",
        text::iso_8_15,
        &[
            always("report.run_events"),
            always("identity.sessions"),
            always("execution.outcomes_recorded"),
            always("integrity.sound"),
            always("retention.private"),
            always("retention.record_reviews"),
        ],
    ),
    control(
        text::iso,
        "A.8.32",
        text::iso_8_32,
        &[
            always("change.reason"),
            always("change.risk"),
            always("change.impact"),
            always("change.services"),
            always("authorisation.approvers"),
            always("tests.checks"),
            always("execution.way_back"),
            always("execution.attempts"),
            troubled("failure.state_confirmed"),
        ],
    ),
    control(
        text::pci,
        "6.5.1",
        text::pci_6_5_1,
        &[
            always("change.reason"),
            always("change.description"),
            always("change.security_impact"),
            always("authorisation.approvers"),
            always("tests.checks"),
            always("execution.way_back"),
            troubled("failure.state_confirmed"),
        ],
    ),
    control(
        text::pci,
        "10.2.1",
        text::pci_10_2_1,
        &[
            always("integrity.ledger_created_at"),
            always("report.run_events"),
        ],
    ),
    control(
        text::pci,
        "10.2.1.2",
        text::pci_10_2_1_2,
        &[
            always("identity.sessions"),
            always("execution.actions"),
            always("changed.commands"),
        ],
    ),
    control(
        text::pci,
        "10.2.1.6",
        text::pci_10_2_1_6,
        &[
            always("integrity.ledger_created_at"),
            always("identity.sessions"),
        ],
    ),
    control(
        text::pci,
        "10.2.2",
        text::pci_10_2_2,
        &[
            always("identity.actors"),
            always("report.run_events"),
            always("clock.time_format"),
            always("execution.outcomes_recorded"),
            always("identity.sessions"),
            always("identity.source_addresses"),
            always("change.hosts"),
            always("change.services"),
        ],
    ),
    control(
        text::pci,
        "10.3.1",
        text::pci_10_3_1,
        &[always("retention.private")],
    ),
    control(
        text::pci,
        "10.3.2",
        text::pci_10_3_2,
        &[always("integrity.sound"), always("retention.private")],
    ),
    control(
        text::pci,
        "10.3.3",
        text::pci_10_3_3,
        &[always("integrity.anchored"), always("retention.receipts")],
    ),
    control(
        text::pci,
        "10.3.4",
        text::pci_10_3_4,
        &[always("integrity.sound"), always("integrity.remembered")],
    ),
    control(
        text::pci,
        "10.4.1",
        text::pci_10_4_1,
        &[always("retention.record_reviews")],
    ),
    control(
        text::pci,
        "10.5.1",
        text::pci_10_5_1,
        &[always("retention.retained_until")],
    ),
    control(
        text::nist,
        "AU-3",
        text::nist_au_3,
        &[
            always("report.run_events"),
            always("clock.time_format"),
            always("change.hosts"),
            always("identity.sessions"),
            always("identity.source_addresses"),
            always("execution.outcomes_recorded"),
            always("identity.actors"),
        ],
    ),
    control(
        text::nist,
        "AU-8",
        text::nist_au_8,
        &[
            always("clock.time_format"),
            always("clock.clock_synchronized"),
        ],
    ),
    control(
        text::nist,
        "AU-9",
        text::nist_au_9,
        &[
            always("retention.private"),
            always("integrity.sound"),
            always("integrity.remembered"),
            always("integrity.anchored"),
        ],
    ),
    control(
        text::nist,
        "AU-10",
        text::nist_au_10,
        &[
            always("identity.actors"),
            always("authorisation.approval_signature"),
            always("integrity.signers"),
        ],
    ),
    control(
        text::nist,
        "AU-11",
        text::nist_au_11,
        &[always("retention.retained_until")],
    ),
    control(
        text::nist,
        "CM-3",
        text::nist_cm_3,
        &[
            always("change.category"),
            always("change.security_impact"),
            always("authorisation.approvers"),
            always("authorisation.plan_sha256"),
            always("execution.attempts"),
            always("retention.retained_until"),
            always("retention.record_reviews"),
        ],
    ),
    control(
        text::itil,
        "-",
        text::itil_record,
        &[
            always("change.change_id"),
            always("change.requester"),
            always("change.requested_at"),
            always("change.description"),
            always("change.reason"),
            always("change.services"),
            always("change.risk"),
            always("execution.way_back"),
            always("change.priority"),
            always("change.category"),
            always("change.planned_window"),
            always("authorisation.approvers"),
            always("execution.actions"),
            always("result.reviewed_at"),
        ],
    ),
];

/// How much evidence there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// For every point.
    Present,
    /// For some.
    Partial,
    /// For none.
    Absent,
}

/// A field that is asked for, and whether it is there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct Point {
    /// Its block and its name.
    pub field: &'static str,
    /// Its name for people.
    pub label: String,
    /// It is there, and what it says holds.
    pub present: bool,
    /// The events that prove it.
    pub seq: Seqs,
    /// What it rests on.
    pub source: Source,
}

/// A control, and the evidence for it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Judged {
    /// The standard.
    pub standard: String,
    /// The clause.
    pub clause: &'static str,
    /// What it asks for.
    pub text: String,
    /// Whether there is evidence for it.
    pub evidence: Extent,
    /// What it is judged by.
    pub points: Vec<Point>,
}

/// Every field and list of the blocks by its name, as a point of evidence.
fn known(report: &Report) -> BTreeMap<String, Point> {
    let mut known = BTreeMap::new();
    for block in report.blocks() {
        let mut add = |key: &str, label, present, seq: &Seqs, source| {
            let seq = if present {
                seq.clone()
            } else {
                Seqs::default()
            };
            let source = if present { source } else { Source::Absent };
            let point = Point {
                field: "",
                label,
                present,
                seq,
                source,
            };
            known.insert(format!("{}.{key}", block.key()), point);
        };
        for of in block.fields() {
            add(of.key, of.label, of.holds, of.seq, of.source);
        }
        for of in block.proofs() {
            add(
                of.key,
                of.label,
                !of.seq.is_empty(),
                &of.seq,
                Source::Events,
            );
        }
    }
    known
}

/// Judges every control by the fields of the other blocks.
pub(super) fn judge(report: &Report) -> Vec<Judged> {
    let known = known(report);
    let of = &report.failure;
    let counts = [&of.failures, &of.doubts, &of.rollbacks];
    let is_troubled = counts.iter().any(|n| n.value.is_some_and(|n| n > 0));
    let is_rolled_back = of.rollbacks.value.is_some_and(|n| n > 0);
    let judged = |control: &Control| {
        let asked = control.needs.iter();
        let asked = asked.filter(|need| match need.1 {
            When::Always => true,
            When::Troubled => is_troubled,
            When::RolledBack => is_rolled_back,
        });
        let points: Vec<Point> = asked
            .map(|Need(field, _)| {
                let known = known.get(*field).cloned();
                Point {
                    field,
                    ..known.unwrap_or_default()
                }
            })
            .collect();
        let there = points.iter().filter(|p| p.present).count();
        Judged {
            standard: (control.standard)(),
            clause: control.clause,
            text: (control.text)(),
            evidence: match there {
                0 => Extent::Absent,
                n if n == points.len() => Extent::Present,
                _ => Extent::Partial,
            },
            points,
        }
    };
    CONTROLS.iter().map(judged).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// A misspelt name would be evidence that is absent for ever.
    #[test]
    fn every_field_that_a_control_asks_for_is_one() {
        let known = known(&Report::default());
        let mut clauses = BTreeSet::new();
        for control in CONTROLS {
            assert!(!control.needs.is_empty(), "{}", control.clause);
            assert!(
                clauses.insert(((control.standard)(), control.clause)),
                "{} twice",
                control.clause
            );
            for Need(field, _) in control.needs {
                assert!(known.contains_key(*field), "{}: {field}", control.clause);
            }
        }
    }

    #[test]
    fn nothing_is_evidence_of_nothing() {
        for judged in judge(&Report::default()) {
            assert_eq!(judged.evidence, Extent::Absent, "{judged:?}");
        }
    }
}
