//! `mysql.backup`: a logical dump of one or several schemas, of one moment, proved by restoring it into a scratch schema.
//!
//! Invariants: a backup is this step's own work, so that it is never "done already"; it gets its name when it is complete,
//! verified and durable, and never takes the place of another; what was there before a failed attempt is there after it.
//! The source is looked at before and after the dump: a table that a snapshot does not cover and that was written meanwhile
//! makes the step fail, and so does a change of definitions. Nothing removes a backup, so there is no undo.

use super::inventory::Inventory;
use super::making::refuse_source;
use super::manifest::Manifest;
use super::privileges::Grants;
use super::{LIMIT, floats, refusals, scratch};
use crate::action::values::absolute;
use crate::action::{
    Action, Context, Direction, Error, Live, Look, Past, Place, Preview, Properties, Stage, Work,
};
use crate::actions::dump;
use crate::host::exec::quoted;
use crate::host::files::disk;
use crate::host::mysql::{Dump, Program, Server, Session};
use crate::text::actions as phrases;
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;
use upledger_replay::plan::Effect;

/// A dump takes at least about this part of the data.
const SMALLEST: u64 = 10;

/// Backs up schemas of MariaDB or MySQL: a consistent dump, compressed with zstd, that is restored into a scratch schema and
/// compared. It fails if a table that is not transactional is written meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// The server, and the account.
    pub server: Server,
    /// The schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Several schemas, of one moment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<String>,
    /// The directory of the backup, as an absolute path; it must not exist. If it does, the name of the run and the step are
    /// added to it. Default: a directory of this run in the state directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// How the backup is proved. Default: restore.
    #[serde(default, skip_serializing_if = "is_default")]
    pub verify: Verify,
    /// The schema into which the backup is restored to prove it; it must be empty or absent. Default: a new schema, whose
    /// name begins with `upledger_verify_`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scratch: Option<String>,
    /// Values of FLOAT columns may lose digits: every dump program writes six of them. Default: false, so that the step fails
    /// where a restored value would be another one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rounds_floats: bool,
    /// The dump program. Default: `mariadb-dump` or `mysqldump`, found in `PATH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

/// How a backup is proved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "BackupProof")]
pub enum Verify {
    /// Restored into a scratch schema; objects, rows and checksums are compared.
    #[default]
    Restore,
    /// The dump is complete, and nothing was written meanwhile.
    None,
}

fn is_default(verify: &Verify) -> bool {
    *verify == Verify::default()
}

/// What was there before the dump.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// Where the backup goes.
    pub(super) directory: String,
    /// The server, and its version.
    pub(super) server: String,
    pub(super) server_version: String,
    /// The dump program, as it says itself.
    pub(super) client: String,
    /// How many tables there are, and an estimate of their bytes.
    tables: u64,
    pub(super) bytes: u64,
    /// Tables that a snapshot does not cover, with their engines.
    no_snapshot: Vec<String>,
    /// Columns of which a dump has six digits, as `table.column`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    floats: Vec<String>,
    /// Events that run by the clock.
    events: Vec<String>,
    /// The history of system-versioned tables is dumped.
    pub(super) history: bool,
}

/// A fact on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// What this scratch schema, which the plan names, holds from now on is a copy.
    Scratch(String),
}

/// The backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Produced {
    /// The dump of a single schema, or the directory with those of several.
    #[schemars(extend("format" = "path"))]
    pub path: String,
    /// The directory.
    #[schemars(extend("format" = "path"))]
    pub directory: String,
    /// SHA-256 of the dump of a single schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "sha256"))]
    pub sha256: Option<String>,
    /// SHA-256 of the manifest, which holds the digests of the dumps.
    #[schemars(extend("format" = "sha256"))]
    pub manifest_sha256: String,
    /// The size of the dumps in bytes.
    pub bytes: u64,
    /// The schema, where it is a single one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The schemas.
    pub databases: Vec<String>,
    /// How many tables they have.
    pub tables: u64,
    /// How many rows they have.
    pub rows: u64,
    /// The server, by its UUID or its host, port and data directory.
    pub server: String,
    /// Its version.
    pub server_version: String,
    /// The dump program, as it says itself.
    pub client_version: String,
    /// The size of the largest statement in bytes.
    pub largest_statement: u64,
    /// It was restored into a scratch schema, and the copy was the same.
    pub verified: bool,
    /// Tables that were written during the backup.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub written: Vec<String>,
}

impl Backup {
    /// The schemas.
    pub(super) fn names(&self) -> Vec<String> {
        self.database
            .iter()
            .chain(&self.databases)
            .cloned()
            .collect()
    }

    fn produced(directory: &Path, manifest: &Manifest, digest: String) -> Result<Produced, Error> {
        let schemas = &manifest.schemas;
        let one = match schemas.as_slice() {
            [one] => Some(one),
            _ => None,
        };
        let directory_text = disk::text(directory)?;
        Ok(Produced {
            path: match one {
                Some(schema) => disk::text(&schema.path(directory))?,
                None => directory_text.clone(),
            },
            directory: directory_text,
            sha256: one.map(|s| s.sha256.clone()),
            manifest_sha256: digest,
            bytes: schemas.iter().map(|s| s.bytes).sum(),
            database: one.map(|s| s.name.clone()),
            databases: manifest.names(),
            tables: schemas
                .iter()
                .map(|s| s.inventory.tables.len() as u64)
                .sum(),
            rows: schemas.iter().map(|s| s.inventory.rows()).sum(),
            server: manifest.server.clone(),
            server_version: manifest.server_version.clone(),
            client_version: manifest.client.clone(),
            largest_statement: manifest.largest().0,
            verified: manifest.verified,
            written: manifest.written.clone(),
        })
    }
}

impl Action for Backup {
    type Before = Before;
    type Note = Note;
    type Output = Produced;

    fn properties(&self) -> Properties {
        Properties {
            effect: Effect::Idempotent,
            has_probe: true,
            needs_undo: false,
            touches: Some(self.to.iter().map(Place::path).collect()),
            live: Live::Harmless,
            stages: vec![Stage::Backup],
            reads: Some(vec![Place::Data]),
            ..Properties::command()
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong = self.server.problems("server");
        match (&self.database, self.databases.as_slice()) {
            (None, []) => wrong.push(text::missing("database", "databases")),
            (Some(_), [_, ..]) => wrong.push(text::exclude("database", "databases")),
            _ => {}
        }
        let names = self.names();
        let system = ["mysql", "information_schema", "performance_schema", "sys"];
        for name in &names {
            if name.is_empty() || system.contains(&name.to_lowercase().as_str()) {
                wrong.push(text::no_schema(name));
            }
        }
        let repeated = names
            .iter()
            .enumerate()
            .find(|(n, name)| names[..*n].contains(name));
        wrong.extend(repeated.map(|(_, name)| text::repeated("databases", name)));
        if let Some(scratch) = &self.scratch {
            if names.contains(scratch) {
                wrong.push(text::scratch_is_source(scratch));
            }
            if self.verify == Verify::None {
                wrong.push(text::needs("scratch", "verify: restore"));
            }
        }
        wrong.extend(self.to.as_deref().and_then(|to| absolute("to", to)));
        wrong
    }

    fn outline(&self, _direction: Direction) -> Vec<String> {
        let names = crate::text::list(&self.names());
        let to = self.to.clone().unwrap_or_else(phrases::state_directory);
        let mut lines = vec![phrases::dump(names, self.server.shown(), to)];
        if self.verify == Verify::Restore {
            lines.push(phrases::prove_dump());
        }
        lines
    }

    fn observe(&self, cx: &Context) -> Result<Before, Error> {
        let program = Program::find(cx, self.client.as_deref())?;
        let login = self.server.login(cx)?;
        let mut session = Session::open(&login, None, LIMIT)?;
        let grants = Grants::of(&mut session)?;
        let directory = dump::place(cx, self.to.as_deref())?;
        let mut before = Before {
            directory: disk::text(&directory)?,
            server: session.identity.clone(),
            server_version: session.version.clone(),
            client: program.version.clone(),
            tables: 0,
            bytes: 0,
            no_snapshot: Vec::new(),
            floats: Vec::new(),
            events: Vec::new(),
            history: false,
        };
        for name in self.names() {
            let lacks = grants.lacks_to_dump(&name);
            if !lacks.is_empty() {
                return Err(refusals::missing(&grants, &lacks).lasting());
            }
            let inventory = Inventory::look(&mut session, &name)?;
            refuse_source(&mut session, &name, &inventory)?;
            before.tables += inventory.tables.len() as u64;
            before.bytes += inventory.bytes();
            for (table, entry) in &inventory.tables {
                if !entry.is_transactional() {
                    before
                        .no_snapshot
                        .push(format!("{name}.{table} ({})", entry.engine));
                }
                if entry.versioned && !program.dumps_history() {
                    return Err(Error::new(format!(
                        "the table {name}.{table} is system-versioned, and {} does not dump its history",
                        program.version
                    ))
                    .remedy("name a mariadb-dump of version 10.11 or later with `client`"));
                }
                before.history |= entry.versioned;
            }
            for (table, columns) in floats::columns(&mut session, &name)? {
                let named = columns.iter().map(|c| format!("{name}.{table}.{c}"));
                before.floats.extend(named);
            }
            let events = inventory.enabled_events();
            before
                .events
                .extend(events.iter().map(|e| format!("{name}.{e}")));
        }
        dump::holds_tables(&self.names(), before.tables)?;
        if let (Verify::Restore, Some(scratch)) = (self.verify, &self.scratch) {
            let held = scratch::objects(&mut session, scratch)?;
            if held.is_some_and(|n| n > 0) && cx.inert {
                return Err(Error::new(format!(
                    "the scratch schema {scratch} is not empty"
                )));
            }
        }
        let remedy = "free some, or name another place with `to`";
        dump::room(&directory, before.bytes / SMALLEST, "the dump", remedy)?;
        if self.verify == Verify::Restore {
            refusals::room_of_server(&mut session, before.bytes)?;
        }
        Ok(before)
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        let before = &past.before;
        let mut findings = vec![phrases::dump_source(
            before.tables,
            mib(before.bytes),
            &before.server_version,
            &before.client,
        )];
        if !before.no_snapshot.is_empty() {
            findings.push(phrases::no_snapshot(crate::text::list(&before.no_snapshot)));
        }
        if !before.floats.is_empty() {
            findings.push(phrases::six_digits(crate::text::list(&before.floats)));
        }
        if !before.events.is_empty() {
            findings.push(phrases::events_run(crate::text::list(&before.events)));
        }
        let taken = self
            .to
            .iter()
            .filter(|to| Path::new(to).file_name() != Path::new(&before.directory).file_name());
        findings.extend(taken.map(|to| text::copy_is_taken(to, &before.directory)));
        let program = Program::named(self.client.as_deref(), &before.client);
        let names = self.names();
        let dump = Dump {
            databases: &names,
            history: before.history,
        };
        let mut commands = self.outline(direction);
        commands.push(quoted(&program.words(dump)));
        Preview {
            commands,
            findings,
            ..Preview::default()
        }
    }

    fn probe(&self, _cx: &Context, past: &Past<Self>) -> Result<(Look, Option<Produced>), Error> {
        let directory = Path::new(&past.before.directory);
        if directory.symlink_metadata().is_err() {
            let what = format!("{} does not exist", directory.display());
            // A scratch schema that is this step's must not be forgotten.
            let look = match past.notes.is_empty() {
                true => Look::nothing(what),
                false => Look::unclear(what),
            };
            return Ok((look, None));
        }
        // It has its name since it was complete and verified.
        let (manifest, digest): (Manifest, _) = dump::manifest(directory)?;
        if let Some(output) = past.output.as_ref().filter(|o| o.manifest_sha256 != digest) {
            let what = format!("the manifest is not {}", output.manifest_sha256);
            return Ok((Look::unclear(what), None));
        }
        manifest.check_files(directory)?;
        let produced = Self::produced(directory, &manifest, digest)?;
        let what = format!(
            "{}: {} tables with {} rows in {} bytes, the digests agree{}",
            produced.path,
            produced.tables,
            produced.rows,
            produced.bytes,
            if produced.verified {
                ", and a restored copy was the same"
            } else {
                ""
            }
        );
        Ok((Look::done(what), Some(produced)))
    }

    fn perform(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<Produced, Error> {
        let directory = Path::new(&past.before.directory);
        let filled = dump::publish(directory, |partial| self.fill(work, &past.before, partial));
        let (manifest, digest) = filled?;
        let produced = Self::produced(directory, &manifest, digest)?;
        work.log_line(&format!(
            "{}: {} tables, {} rows, {} bytes",
            produced.path, produced.tables, produced.rows, produced.bytes
        ));
        Ok(produced)
    }
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

#[cfg(test)]
mod unit {
    use super::*;
    use crate::action::stays;

    #[test]
    fn what_was_stored_is_read_for_ever() {
        stays::<Backup>(
            r#"{"directory": "/b", "server": "s", "server_version": "10.11", "client": "c", "tables": 1, "bytes": 2,
                "no_snapshot": [], "events": [], "history": false}"#,
            r#"{"scratch": "spare"}"#,
            r#"{"path": "/b/d.sql.zst", "directory": "/b", "sha256": "ab", "manifest_sha256": "cd", "bytes": 3, "database": "d",
                "databases": ["d"], "tables": 1, "rows": 2, "server": "s", "server_version": "10.11", "client_version": "c",
                "largest_statement": 9, "verified": true, "written": ["d.a"]}"#,
        );
    }

    #[test]
    fn settings_that_contradict_each_other_are_problems() {
        let problems = |more: &str| {
            let text = format!(r#"{{"server": {{"socket": "/s"}}{more}}}"#);
            let backup: Backup = serde_json::from_str(&text).unwrap();
            backup.problems().join("; ")
        };
        assert_eq!(problems(r#", "database": "d""#), "");
        assert!(problems("").contains("`databases`"));
        assert!(
            problems(r#", "database": "d", "databases": ["e"]"#).contains("mutually exclusive")
        );
        assert!(problems(r#", "databases": ["e", "e"]"#).contains("twice"));
        assert!(problems(r#", "database": "mysql""#).contains("'mysql'"));
        assert!(problems(r#", "database": "d", "scratch": "d""#).contains("`scratch`"));
        assert!(problems(r#", "database": "d", "to": "x""#).contains("absolute"));
    }
}
