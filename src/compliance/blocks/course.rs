//! What went wrong, how it ended, and the record of it: blocks H to L.

use super::{Block, Field, Proof, Table};
use crate::compliance::fact::{AtMost, Fact, Ms, Seqs, Shown, Time, Word};
use crate::text::compliance as text;
use schemars::JsonSchema;
use serde::Serialize;

row! {
    /// A failure.
    FailureRow {
        /// When.
        time: Time,
        /// The step; with what it undoes.
        step: String,
        /// What found it.
        detector: Word,
        /// One line.
        detail: String,
        ; more {
            /// Counted from 1; 0 where none was started.
            attempt: u64,
        }
    }
}

row! {
    /// A doubt.
    DoubtRow {
        /// When.
        time: Time,
        /// The step; with what it undoes.
        step: String,
        /// What was found.
        cause: String,
        /// What a look answered.
        probed: Option<Word>,
        /// What a person decided.
        decision: Option<Word>,
        /// Who.
        decided_by: Option<String>,
    }
}

block! {
    /// H. Failure and recovery.
    'H' failure Failure {
        /// Failed attempts, and steps that were not started because the check before them failed.
        failures: u64,
        /// When the first was recorded.
        first_failure_at: Time,
        /// What found them.
        detectors: Vec<String>,
        /// Attempts in doubt.
        doubts: u64,
        /// Steps in whose middle the run was resumed, because no runner was active any more.
        interrupted: Vec<String>,
        /// Decisions of operators.
        decisions: u64,
        /// Who decided.
        deciders: Vec<String>,
        /// Commands that an operator had killed.
        kills: u64,
        /// Times at which an action used its last means.
        escalations: u64,
        /// Rollbacks that were started.
        rollbacks: u64,
        /// When the last one was started.
        rollback_started_at: Time,
        /// Who started it.
        rollback_by: String,
        /// Why.
        rollback_reason: String,
        /// The step behind which it went; everything where it is absent.
        rollback_to: String,
        /// When it was complete.
        rollback_completed_at: Time,
        /// Undos that succeeded.
        undone: u64,
        /// Steps that the rollback passed over by decision.
        not_undone: Vec<String>,
        /// Checks that held after the last failure or undo.
        state_confirmed: Vec<String>,
        /// Who accepted that what users had written was lost, and why.
        data_loss_accepted: Vec<String>,
        /// Plans that took the place of the run's own.
        amendments: u64,
        /// Steps that a person went on without.
        skipped_by_decision: Vec<String>,
        /// Alarms of monitoring.
        alarms: Vec<String>,
        ; lists {
            /// The failures.
            failed_steps: FailureRow,
            /// The doubts.
            doubted_steps: DoubtRow,
        }
    }
}

row! {
    /// A time in which the service was unavailable.
    OutageRow {
        /// The intent of the step that shut them out.
        from: Time,
        /// The first good check after it was reopened; null until then.
        until: Option<Time>,
        /// How long it lasted.
        lasted_ms: Option<Ms>,
        /// The step that shut them out.
        closed_by: String,
        /// The step that proves that it is open again.
        opened_by: Option<String>,
        /// Whether the run shut them out, or its rollback.
        way: Word,
    }
}

block! {
    /// I. The result.
    'I' result Outcome {
        /// How the run stands.
        state: Word,
        /// Its first event.
        started_at: Time,
        /// Its end; absent while it goes on.
        ended_at: Time,
        /// From its first event to its last.
        lasted: Ms,
        /// How long the service was unavailable, in all; absent where no step of the plan makes it so, and while it is.
        outage: Ms,
        /// The service was available when the last event was recorded.
        users_let_in: bool,
        /// How long no runner was active while a step was in progress.
        unattended: AtMost,
        /// Checks that passed after the service was reopened, or after the last step that changed anything.
        checks_after: u64,
        /// Who accepted the result.
        accepted_by: String,
        /// When the review is due.
        review_due: Time,
        /// When the review was held.
        reviewed_at: Time,
        /// Where its lessons are.
        lessons: String,
        ; lists {
            /// Times in which the service was unavailable.
            outages: OutageRow,
        }
    }
}

block! {
    /// J. The clock.
    'J' clock ClockRecord {
        /// How times are recorded.
        time_format: String,
        /// Where the time comes from.
        clock_source: String,
        /// The clock was synchronized whenever a session began, as far as the system told.
        clock_synchronized: bool,
        /// Boots of the machine during the run.
        boots: u64,
        /// The furthest that the wall clock moved against the boot clock between two events of one boot, in microseconds.
        deviation_us: u64,
        /// Moves of more than two seconds.
        clock_steps: u64,
    }
}

block! {
    /// K. Integrity of the record.
    'K' integrity Integrity {
        /// The verification found nothing wrong.
        sound: bool,
        /// How far its proof reaches, L0 to L4.
        level: String,
        /// Events of the ledger that were verified.
        events_verified: u64,
        /// The algorithm of its digests.
        algorithm: String,
        /// When the ledger was created.
        ledger_created_at: Time,
        /// The last event, by its number and its hash.
        head: String,
        /// The root of the Merkle tree over all events.
        root: String,
        /// The ledger is what this machine remembers of it.
        remembered: bool,
        /// Events that a checkpoint covers which was kept elsewhere and was handed in.
        anchored: u64,
        /// Events at the end that none covers.
        unanchored: u64,
        /// Checkpoints in the ledger that hold.
        stored_checkpoints: u64,
        /// Who signed checkpoints.
        signers: Vec<String>,
        /// Contents beside the chain that agree with their digests.
        contents_checked: u64,
        /// Contents that are kept beside the ledger, or were removed.
        contents_absent: u64,
        /// What the verification noticed that is not damage.
        findings: Vec<String>,
        /// Times at which somebody went on with an older copy.
        restores: Vec<String>,
        /// The checkpoint to keep elsewhere.
        checkpoint: String,
        /// How to verify it again.
        verify_again: Vec<String>,
    }
}

block! {
    /// L. Retention and access.
    'L' retention Retention {
        /// Until when the record is kept.
        retained_until: Time,
        /// Contents that were purged.
        purges: Vec<String>,
        /// Exports and backups of the record, with their receipts.
        receipts: Vec<String>,
        /// Reviews of the record.
        record_reviews: Vec<String>,
        /// The mode of the ledger's file.
        ledger_mode: String,
        /// Its owner.
        ledger_owner: String,
        /// Nobody but its owner can read or write it.
        private: bool,
    }
}
