//! The report itself, the change, who allowed it and who was there: blocks A to D.

use super::{Block, Field, Proof, Table};
use crate::compliance::fact::{Fact, Seqs, Shown, Time};
use crate::text::compliance as text;
use schemars::JsonSchema;
use serde::Serialize;

block! {
    /// A. The report itself.
    'A' report About {
        /// The ledger, the run, and the last event that it is about: the same of every report about the same events.
        report_id: String,
        /// The run.
        run_name: String,
        /// Its events in the ledger.
        run_events: u64,
        /// When the report was written.
        generated_at: Time,
        /// The program that wrote it.
        generated_by: String,
        /// The SHA-256 of that program.
        generator_sha256: String,
        /// The SHA-256 of the template of its pages.
        template_sha256: String,
        /// The id of the ledger.
        ledger_id: String,
        /// The SHA-256 of the path of the ledger.
        ledger_path_sha256: String,
        /// The language of its pages.
        language: String,
        /// The zone of the times on its pages; the record holds UTC.
        time_zone: String,
    }
}

block! {
    /// B. The change.
    'B' change ChangeRecord {
        /// Its id in the change system.
        change_id: String,
        /// What people call it.
        title: String,
        /// What is done.
        description: String,
        /// Why.
        reason: String,
        /// Standard, normal, emergency or drill.
        category: String,
        /// How urgent it is.
        priority: String,
        /// Who asked for it.
        requester: String,
        /// When they asked.
        requested_at: Time,
        /// The author's estimate of the risk.
        risk: String,
        /// What users notice.
        impact: String,
        /// What it means for security.
        security_impact: String,
        /// The services that it touches.
        services: Vec<String>,
        /// The hosts that it ran on.
        hosts: Vec<String>,
        /// The environment that it is for.
        environment: String,
        /// The window that was planned.
        planned_window: String,
        /// The check against freezes and blackouts.
        freeze_check: String,
        /// Incidents and problems that it belongs to.
        related_records: Vec<String>,
        /// The update of the configuration database.
        cmdb_update: String,
    }
}

block! {
    /// C. Who allowed it.
    'C' authorisation Authorisation {
        /// Who approved.
        approvers: Vec<String>,
        /// When.
        approved_at: Time,
        /// The plan that was approved, by its digest.
        approved_plan_sha256: String,
        /// The signature of the approval.
        approval_signature: String,
        /// The approval came before the start.
        approval_precedes_start: bool,
        /// Who asked, who approved and who carried it out are different people.
        separation_of_duties: bool,
        /// The review after an emergency change.
        emergency_review: String,
        /// The plan that ran, by its digest; the last one, where it was amended.
        plan_sha256: String,
        /// Who started the run.
        started_by: String,
        /// Warnings that were shown to them.
        warnings_shown: Vec<String>,
    }
}

row! {
    /// A process that wrote to the ledger.
    Session {
        /// When it began to write.
        opened_at: Time,
        /// Who, as it claims.
        actor: String,
        /// Where.
        host: String,
        /// The user id, and the effective one where it differs.
        user: String,
        /// The user who had logged in.
        login_user: Option<u64>,
        /// The user behind sudo.
        sudo_user: Option<String>,
        /// The SSH connection: address and port of both sides.
        ssh_connection: Option<String>,
        /// The terminal.
        terminal: Option<String>,
        /// How many events of the run it wrote.
        events_written: u64,
        /// The version of the program.
        program: Option<String>,
        ; more {
            /// The SHA-256 of the program.
            program_sha256: Option<String>,
            /// The SHA-256 of the machine's id.
            machine_sha256: Option<String>,
            /// The process.
            pid: Option<u64>,
            /// The clock was synchronized, as far as the system told.
            clock_synchronized: Option<bool>,
        }
    }
}

block! {
    /// D. Identity and access.
    'D' identity Identity {
        /// Everybody who is on record in the run.
        actors: Vec<String>,
        /// From where they were connected.
        source_addresses: Vec<String>,
        /// The SHA-256 of the machines' ids.
        machines: Vec<String>,
        /// The keys or certificates of SSH.
        ssh_keys: Vec<String>,
        /// Authentication by several factors.
        mfa: String,
        ; lists {
            /// The processes that wrote events of the run.
            sessions: Session,
        }
    }
}
