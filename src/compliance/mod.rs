//! The compliance report of a run: what auditors ask of a change, in the blocks A to M, each field with the events that prove
//! it; and the runs of a period on one page.
//!
//! Invariants: nothing here looks at anything but events, the verification of their ledger and what is handed in of the
//! machine; what nothing says is absent and shown as such; a control is said to have evidence, never to be complied with.

mod blocks;
mod controls;
mod fact;
mod fold;
mod html;
mod markdown;
mod period;
mod view;

pub use blocks::{
    About, ActionRow, AttemptRow, Authorisation, Backup, ChangeRecord, Changed, CheckRow,
    ClockRecord, Commands, DoubtRow, Execution, Failure, FailureRow, Identity, Integrity,
    OutageRow, Outcome, Product, Retention, Session, Tests,
};
pub use controls::{Extent, Judged, Point};
pub use fact::{Fact, Ms, Seqs, Source, Time, Word};
pub use fold::fold;
pub use html::{html, period_html, templates};
pub use markdown::{markdown, period_markdown};
pub use period::{Period, Range, RangeError, RunLine, RunProof, lines, period};

use crate::journal::Entry;
use blocks::Block;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use upledger_replay::state::Run;

/// The shape of the JSON form.
pub const SCHEMA: &str = "upledger.report/1";

/// What a report is made from.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// What the events fold to.
    pub run: &'a Run,
    /// The events of the run and of the ledger, in their order.
    pub entries: &'a [Entry],
    /// What the verification of the ledger found.
    pub verification: &'a Verification,
    /// Where and by what the report is written.
    pub machine: &'a Machine,
}

/// What the verification of a ledger found.
#[derive(Debug, Clone, Default)]
pub struct Verification {
    /// The ledger's id.
    pub ledger: Option<String>,
    /// Nothing is wrong.
    pub sound: bool,
    /// How far the proof reaches.
    pub level: String,
    /// It is what this machine remembers, or more is proven.
    pub remembered: bool,
    /// Events that were verified.
    pub verified: u64,
    /// The last of them: number and hash.
    pub head: Option<(u64, String)>,
    /// The root over them.
    pub root: String,
    /// Events that a checkpoint covers which was handed in.
    pub anchored: u64,
    /// Events at the end that none covers.
    pub unanchored: u64,
    /// Checkpoints in the ledger that hold.
    pub stored_checkpoints: u64,
    /// Contents that agree with their digests.
    pub contents_checked: u64,
    /// Contents that are not there any more.
    pub contents_absent: u64,
    /// What else is worth knowing.
    pub findings: Vec<String>,
    /// The checkpoint over all of it.
    pub checkpoint: Option<String>,
}

/// Where and by what a report is written.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// When, UTC.
    pub now: String,
    /// The offset of the machine's zone.
    pub zone: String,
    /// The SHA-256 of the program.
    pub program_sha256: Option<String>,
    /// The SHA-256 of the template.
    pub template_sha256: String,
    /// The SHA-256 of the path of the ledger.
    pub path_sha256: String,
    /// A runner is active.
    pub runner: bool,
    /// The file of the ledger.
    pub ledger_file: Option<LedgerFile>,
}

/// Who can read and write the file of a ledger.
#[derive(Debug, Clone, Copy)]
pub struct LedgerFile {
    /// Its permission bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Neither it nor its directory is open to anybody else.
    pub private: bool,
}

/// The report of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct Report {
    /// The shape of this object: `upledger.report/1`.
    pub schema: &'static str,
    /// The run in sentences, as its timeline has them.
    pub summary: Vec<String>,
    /// A. The report itself.
    pub report: About,
    /// B. The change.
    pub change: ChangeRecord,
    /// C. Who allowed it.
    pub authorisation: Authorisation,
    /// D. Identity and access.
    pub identity: Identity,
    /// E. What was changed.
    pub changed: Changed,
    /// F. Tests and checks.
    pub tests: Tests,
    /// G. What was carried out.
    pub execution: Execution,
    /// H. Failure and recovery.
    pub failure: Failure,
    /// I. The result.
    pub result: Outcome,
    /// J. The clock.
    pub clock: ClockRecord,
    /// K. Integrity of the record.
    pub integrity: Integrity,
    /// L. Retention and access.
    pub retention: Retention,
    /// M. Controls, and the evidence for each.
    pub controls: Vec<Judged>,
}

impl Report {
    /// The blocks A to L, in their order.
    fn blocks(&self) -> [&dyn Block; 12] {
        [
            &self.report,
            &self.change,
            &self.authorisation,
            &self.identity,
            &self.changed,
            &self.tests,
            &self.execution,
            &self.failure,
            &self.result,
            &self.clock,
            &self.integrity,
            &self.retention,
        ]
    }
}

/// The JSON Schema of what programs read: a report, or a period.
#[must_use]
pub fn schema() -> Value {
    #[derive(JsonSchema)]
    #[serde(untagged)]
    #[expect(dead_code, reason = "its shape is what is asked for")]
    enum Written {
        Report(Box<Report>),
        Period(Box<Period>),
    }
    let mut schema = schemars::schema_for!(Written).to_value();
    schema["title"] = "What `upledger report --format json` writes".into();
    schema
}
