//! What was changed, tested and carried out: blocks E to G.

use super::{Block, Field, Proof, Table};
use crate::compliance::fact::{Fact, Ms, Seqs, Shown, Time, Word};
use crate::text::compliance as text;
use schemars::JsonSchema;
use serde::Serialize;

row! {
    /// A value that a step produced.
    Product {
        /// The step.
        step: String,
        /// The kind of its action.
        action: String,
        /// The name of the value.
        name: String,
        /// The value.
        value: String,
    }
}

row! {
    /// What a step ran.
    Commands {
        /// The step; with what it undoes.
        step: String,
        /// The command, secrets as names.
        command: Vec<String>,
        ; more {
            /// The SHA-256 of the job: command, environment, limits.
            job_sha256: String,
        }
    }
}

block! {
    /// E. What was changed.
    'E' changed Changed {
        /// Versions that were in force before.
        versions_before: Vec<String>,
        /// Versions that were put in force.
        versions_after: Vec<String>,
        /// Digests of what was installed or copied.
        artefacts: Vec<String>,
        /// Signatures and origins of the artefacts.
        provenance: Vec<String>,
        /// Files of the configuration that were written.
        configuration: Vec<String>,
        /// Migrations that were to be applied.
        migrations: Vec<String>,
        /// Variables that the plan was made with.
        variables: Vec<String>,
        /// Steps whose effect is in place at the end.
        in_place: Vec<String>,
        /// Steps that were rolled back without a change, and what the undo found.
        left_as_found: Vec<String>,
        ; lists {
            /// What the steps produced.
            products: Product,
            /// What the steps ran.
            commands: Commands,
        }
    }
}

row! {
    /// A check: a step that changes nothing.
    CheckRow {
        /// When it began.
        time: Time,
        /// The step.
        step: String,
        /// The kind of its action.
        action: String,
        /// What was expected: its settings.
        expected: String,
        /// What was seen.
        observed: Vec<String>,
        /// How it ended.
        outcome: Word,
        /// Before, during or after the time in which the service was unavailable.
        moment: Word,
    }
}

row! {
    /// A copy of data that was made.
    Backup {
        /// The step.
        step: String,
        /// The kind of its action.
        action: String,
        /// Where it is.
        path: String,
        /// Its SHA-256.
        sha256: Option<String>,
        /// Its size.
        bytes: Option<u64>,
        /// It was restored for a test, and the copy was the same.
        restored: Option<bool>,
    }
}

block! {
    /// F. Tests and checks.
    'F' tests Tests {
        /// Checks that held.
        checks_passed: u64,
        /// Checks that did not hold.
        checks_failed: u64,
        /// Checks that passed before the service was closed, or before the first step that changed anything.
        checks_before: u64,
        /// Backups that were made.
        backups_made: u64,
        /// A backup was restored for a test, and the copy was the same.
        restore_tested: bool,
        /// The run in a test environment.
        test_run: String,
        /// Samples that monitoring took.
        samples: Vec<String>,
        ; lists {
            /// The checks.
            checks: CheckRow,
            /// The backups.
            backups: Backup,
        }
    }
}

row! {
    /// An attempt of a step, or a step that needed none.
    AttemptRow {
        /// When its intent was recorded.
        time: Time,
        /// The step; with what it undoes.
        step: String,
        /// The kind of its action.
        action: String,
        /// Counted from 1; 0 for what needed none.
        attempt: u64,
        /// How long it took by the boot clock; null where it was not observed.
        took_ms: Option<Ms>,
        /// How it ended.
        outcome: Word,
        /// One line on the outcome.
        detail: String,
        /// What settled it afterwards.
        settled: Option<String>,
        ; more {
            /// The phase.
            phase: String,
            /// Where.
            target: String,
            /// `do` or `undo`.
            way: String,
            /// When its outcome was recorded.
            ended_at: Option<Time>,
            /// The exit code, where it failed by one.
            exit: Option<i64>,
            /// What makes the attempt unique.
            nonce: Option<String>,
            /// The salted digest of what it printed.
            output_sha256: Option<String>,
            /// How much of that is stored.
            output_bytes: Option<u64>,
            /// What it printed and is not stored.
            output_dropped: Option<u64>,
        }
    }
}

row! {
    /// What a person did.
    ActionRow {
        /// When.
        time: Time,
        /// Who.
        actor: String,
        /// In words, as the log has it.
        words: String,
        ; more {
            /// The kind of its event.
            kind: String,
            /// The step that it is about.
            step: Option<String>,
        }
    }
}

block! {
    /// G. What was carried out.
    'G' execution Execution {
        /// Steps of the plan.
        steps: u64,
        /// Attempts that were started.
        attempts_started: u64,
        /// Attempts that succeeded.
        succeeded: u64,
        /// Attempts that failed.
        failed: u64,
        /// Attempts whose result was not observed.
        in_doubt: u64,
        /// Attempts that provably never started.
        fenced: u64,
        /// Steps that were not started, because the check before them failed.
        refused: u64,
        /// Steps that were done before the run came.
        satisfied: u64,
        /// Steps that the plan's own conditions left out.
        left_out: u64,
        /// Every attempt has an outcome on record.
        outcomes_recorded: bool,
        /// A runner was there whenever a step was in progress.
        uninterrupted: bool,
        /// Steps with an undo, of those that change anything.
        way_back: String,
        /// Steps that change something and have no undo.
        without_undo: Vec<String>,
        /// Steps behind which the run cannot go back.
        points_of_no_return: Vec<String>,
        /// Remarks of operators.
        notes: Vec<String>,
        /// Gates, and how each was passed.
        gates: Vec<String>,
        /// Waivers, with reason and person.
        waivers: Vec<String>,
        ; lists {
            /// The attempts.
            attempts: AttemptRow,
            /// What operators did.
            actions: ActionRow,
        }
    }
}
