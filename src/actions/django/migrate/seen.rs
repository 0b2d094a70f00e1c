//! What the application answers about its databases, as data, and what of it is recorded before a migration.

use crate::action::Error;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The facts of tables: a key that names a column, an index, a foreign key, and what it is.
pub(super) type Facts = BTreeMap<String, String>;
/// Facts that change: what each becomes, or that it goes.
pub(super) type Changes = BTreeMap<String, Option<String>>;

/// The answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(in crate::actions::django) enum Answered<T> {
    /// It must not be done.
    Stop {
        /// Why.
        stop: Stop,
    },
    /// What is there.
    Answer(T),
}

impl<T> Answered<T> {
    /// What is there, or why it must not be done.
    pub(in crate::actions::django) fn into_result(self) -> Result<T, Error> {
        match self {
            Self::Answer(seen) => Ok(seen),
            Self::Stop { stop } => Err(Error::new(stop.what).remedy(stop.remedy)),
        }
    }
}

/// The schema of one database, and the operations of one migration.
#[derive(Debug, Clone, Deserialize)]
pub(in crate::actions::django) struct Schema {
    pub(in crate::actions::django) server: Server,
    pub(in crate::actions::django) operations: Vec<Operation>,
    pub(super) facts: BTreeMap<String, Facts>,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::actions::django) struct Stop {
    pub(super) what: String,
    pub(super) remedy: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Whole {
    pub(super) databases: Vec<DatabaseState>,
    /// Models of the code without their table or a column of it; only where no migration is open.
    pub(super) absent: Vec<String>,
}

/// One database as it is now.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct DatabaseState {
    pub(super) server: Server,
    /// The migrations that are open, in their order.
    pub(super) plan: Vec<Migration>,
    /// Migrations of the code that stand for others.
    pub(super) squashes: Vec<String>,
    /// One digest of all tables.
    pub(super) whole: String,
    /// A migration of this code was applied before.
    pub(super) ever: bool,
    /// Rows whose migration the code has not.
    pub(super) gone: Vec<String>,
    /// Columns of their applications that need a value and that no model has.
    pub(super) orphans: Vec<String>,
    /// A digest of each table.
    pub(super) tables: BTreeMap<String, String>,
    /// Estimated rows and bytes of the tables that the plan touches.
    pub(super) rows: BTreeMap<String, (u64, u64)>,
    /// Free memory of this machine, in bytes.
    pub(super) memory: u64,
    pub(super) processes: Vec<Process>,
    /// The connection that has the lock of this step.
    pub(super) lock: Option<u64>,
    pub(super) facts: BTreeMap<String, Facts>,
    /// Tables and columns that the plan makes, and that are there.
    #[serde(default)]
    pub(super) already: Vec<String>,
    /// Foreign keys that the server will refuse.
    #[serde(default)]
    pub(super) foreign: Vec<String>,
    #[serde(default)]
    pub(super) blockers: Vec<Process>,
    /// What the models want and the schema has not; only where no migration is open.
    #[serde(default)]
    pub(super) lacks: Changes,
    #[serde(default)]
    pub(super) wants: Facts,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::actions::django) struct Server {
    pub(super) alias: String,
    pub(in crate::actions::django) schema: String,
    pub(super) user: String,
    pub(super) hostname: String,
    pub(super) port: String,
    pub(super) datadir: String,
    pub(super) server_uuid: String,
    pub(super) version: String,
    pub(super) wait_timeout: String,
    pub(super) lock_wait_timeout: String,
    pub(super) started: i64,
    /// The host or socket of the settings.
    pub(super) given: String,
    pub(in crate::actions::django) applied: Vec<String>,
    #[serde(default)]
    pub(super) deviations: Changes,
}

impl Server {
    /// What tells this server from others, as a backup records it: its UUID, or where it runs.
    pub(in crate::actions::django) fn identity(&self) -> String {
        if self.server_uuid.is_empty() {
            return format!("{}:{}{}", self.hostname, self.port, self.datadir);
        }
        self.server_uuid.clone()
    }

    pub(in crate::actions::django) fn shown(&self) -> String {
        format!(
            "{}: schema {} on {} (server {} on host {}, user {})",
            self.alias, self.schema, self.given, self.version, self.hostname, self.user
        )
    }
}

/// A connection of the server.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Process {
    pub(super) id: u64,
    pub(super) user: String,
    pub(super) host: String,
    pub(super) command: String,
    pub(super) seconds: u64,
    pub(super) state: String,
    pub(super) statement: String,
    pub(super) progress: f64,
    pub(super) stage: u64,
    pub(super) stages: u64,
    #[serde(default)]
    pub(super) transaction: u64,
}

impl Process {
    /// It changes tables.
    pub(super) fn is_ddl(&self) -> bool {
        const DDL: [&str; 6] = ["ALTER", "CREATE", "DROP", "RENAME", "TRUNCATE", "OPTIMIZE"];
        let statement = self.statement.to_uppercase();
        DDL.iter().any(|word| statement.starts_with(word))
    }

    /// It does something.
    pub(super) fn works(&self) -> bool {
        !self.command.is_empty() && self.command != "Sleep"
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let idle = if self.works() { "" } else { " (idle)" };
        write!(
            f,
            "connection {} of {} at {}{idle} for {} s",
            self.id, self.user, self.host, self.seconds
        )?;
        if self.transaction > 0 {
            write!(f, ", in a transaction since {} s", self.transaction)?;
        }
        if !self.state.is_empty() {
            write!(f, ", {}", self.state)?;
        }
        if self.stages > 0 {
            let Self {
                stage,
                stages,
                progress,
                ..
            } = self;
            write!(f, ", stage {stage} of {stages}, {progress:.0} %")?;
        }
        if !self.statement.is_empty() {
            write!(f, ": {}", self.statement)?;
        }
        Ok(())
    }
}

/// A migration that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::actions::django) struct Migration {
    pub(super) app: String,
    pub(super) name: String,
    /// The first of its application.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) initial: bool,
    /// The migrations that it stands for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) replaces: Vec<String>,
    pub(super) operations: Vec<Operation>,
}

impl Migration {
    pub(super) fn full(&self) -> String {
        format!("{}.{}", self.app, self.name)
    }

    pub(super) fn has_data(&self) -> bool {
        self.operations.iter().any(|o| o.data)
    }

    /// It changes data and tables: nothing tells from the tables how far it came.
    pub(super) fn mixes(&self) -> bool {
        self.has_data() && self.operations.iter().any(|o| !o.changes.is_empty())
    }
}

/// One operation of a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::actions::django) struct Operation {
    pub(in crate::actions::django) what: String,
    /// It changes rows, or what nobody can know beforehand: `RunPython`, `RunSQL`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::actions::django) data: bool,
    pub(super) reversible: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) destroys: bool,
    /// The facts of tables that it changes.
    #[serde(default, skip_serializing_if = "Changes::is_empty")]
    pub(super) changes: Changes,
}

/// The table that a fact is about.
pub(super) fn table_of(key: &str) -> &str {
    const KINDS: [&str; 7] = [
        "foreign key ",
        "primary key ",
        "table ",
        "column ",
        "index ",
        "unique ",
        "check ",
    ];
    let rest = KINDS.iter().find_map(|kind| key.strip_prefix(kind));
    let rest = rest.unwrap_or(key);
    rest.split([' ', '.']).next().unwrap_or(rest)
}
