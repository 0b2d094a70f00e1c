//! `postgres.backup`: a dump of one database, of one moment, proved by restoring it into a scratch database.
//!
//! Invariants: a backup is this step's own work, so that it is never "done already"; it gets its name when it is complete,
//! verified and durable. Rows are counted by the server in the snapshot of the dump, so that what somebody writes meanwhile
//! explains no difference. Nothing removes a backup, so there is no undo.

use super::contents::{self, Contents};
use super::manifest::{Manifest, Needs};
use super::properties::{DatabaseProperties, room_of_server};
use super::scratch::{self, Role, Site};
use super::{maintenance, refusals};
use crate::action::values::absolute;
use crate::action::{
    Action, Context, Direction, Error, Live, Look, Past, Place, Preview, Properties, Stage, Work,
};
use crate::actions::dump::{self, Compressed, Pace};
use crate::host::exec::quoted;
use crate::host::files::disk;
use crate::host::postgres::{Client, Program, Row, Server, Snapshot, ident, literal};
use crate::text::actions as phrases;
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;
use upledger_replay::plan::Effect;

/// A dump takes at least about this part of the data.
const SMALLEST: u64 = 10;
/// The name of the dump in the directory.
const FILE: &str = "database.sql.zst";

/// Backs up a PostgreSQL database: a consistent dump, compressed with zstd, that is restored into a scratch database and
/// compared, rows, sequences and large objects included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// The server, and the role.
    pub server: Server,
    /// The database.
    pub database: String,
    /// The directory of the backup, as an absolute path; it must not exist. If it does, the name of the run and the step are
    /// added to it. Default: a directory of this run in the state directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// How the backup is proved. Default: restore.
    #[serde(default, skip_serializing_if = "is_default")]
    pub verify: Verify,
    /// The database to which statements about other databases are sent. Default: postgres.
    #[serde(default = "maintenance", skip_serializing_if = "is_postgres")]
    pub maintenance: String,
    /// The dump program. Default: `pg_dump`, found in `PATH`. It must not be older than the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

/// How a backup is proved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "PostgresProof")]
pub enum Verify {
    /// Restored into a scratch database, which is dumped again and compared.
    #[default]
    Restore,
    /// The dump is complete, and has the rows that the server counts.
    None,
}

fn is_default(verify: &Verify) -> bool {
    *verify == Verify::default()
}

fn is_postgres(name: &String) -> bool {
    *name == maintenance()
}

/// What was there before the dump.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// Where the backup goes.
    directory: String,
    /// The server, and its version.
    server: String,
    server_version: String,
    /// The dump program, as it says itself.
    client: String,
    /// How many tables there are, and their size in bytes.
    tables: u64,
    bytes: u64,
    /// Extensions that a server needs to take it.
    extensions: Vec<String>,
}

/// The backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Produced {
    /// The dump.
    #[schemars(extend("format" = "path"))]
    pub path: String,
    /// The directory.
    #[schemars(extend("format" = "path"))]
    pub directory: String,
    /// SHA-256 of the dump.
    #[schemars(extend("format" = "sha256"))]
    pub sha256: String,
    /// SHA-256 of the manifest.
    #[schemars(extend("format" = "sha256"))]
    pub manifest_sha256: String,
    /// The size of the dump in bytes.
    pub bytes: u64,
    /// The database.
    pub database: String,
    /// How many tables it has.
    pub tables: u64,
    /// How many rows they have.
    pub rows: u64,
    /// The server, by the identifier of its cluster or its place.
    pub server: String,
    /// Its version.
    pub server_version: String,
    /// The dump program, as it says itself.
    pub client_version: String,
    /// It was restored into a scratch database, and the copy was the same.
    pub verified: bool,
}

impl Backup {
    fn produced(directory: &Path, manifest: &Manifest, digest: String) -> Result<Produced, Error> {
        Ok(Produced {
            path: disk::text(&manifest.path(directory))?,
            directory: disk::text(directory)?,
            sha256: manifest.sha256.clone(),
            manifest_sha256: digest,
            bytes: manifest.bytes,
            database: manifest.database.clone(),
            tables: manifest.contents.tables(),
            rows: manifest.contents.rows(),
            server: manifest.server.clone(),
            server_version: manifest.server_version.clone(),
            client_version: manifest.client.clone(),
            verified: manifest.verified,
        })
    }

    /// The dump and the manifest, in a directory that has no name yet.
    fn fill(
        &self,
        work: &mut Work<'_, ()>,
        before: &Before,
        dir: &Path,
    ) -> Result<(Manifest, String), Error> {
        let cx = work.cx();
        let program = Program::find(cx, self.client.as_deref())?;
        let client = Client::open(cx, self.server.login(cx)?, &self.maintenance)?;
        let known = DatabaseProperties::of(&client, &self.maintenance, &self.database)?;
        let properties = known.ok_or_else(|| missing(&self.database))?;
        let mut needs = refusals::needs(&client, &self.database)?;
        let snapshot = Snapshot::take(&client, &self.database)?;
        let mut file = Compressed::create(dir, FILE.into())?;
        file.compress_aside()?;
        let mut piped = program.start(&client, &self.database, Some(&snapshot))?;
        let mut pace = Pace::of(before.bytes);
        let read = contents::read(&mut piped.output, &mut |line| {
            file.put(line)?;
            pace.tell(work, file.plain());
            Ok(())
        });
        let (contents, complete) = read?;
        let ended = piped.end()?;
        let name = &program.name;
        if ended.code != Some(0) {
            return Err(Error::new(format!("{name} failed: {}", ended.shown)));
        }
        if !complete {
            return Err(Error::new(format!(
                "{name} ended with success, but its dump is not complete"
            )));
        }
        let written = file.finish()?;
        work.log_line(&format!("dumped {}", pace.rate(written.plain_bytes)));
        count(work, &client, &snapshot, &contents)?;
        drop(snapshot);
        needs.roles.insert(properties.owner.clone());
        let first = client.value(
            &self.maintenance,
            "SELECT rolname FROM pg_roles WHERE oid = 10",
        )?;
        needs
            .roles
            .extend(first.filter(|first| contents.owners.contains(first)));
        let mut manifest = Manifest {
            format: 1,
            server: client.identity.clone(),
            server_version: client.version.clone(),
            client: program.version.clone(),
            verified: false,
            database: self.database.clone(),
            properties,
            needs,
            file: written.file,
            sha256: written.sha256,
            bytes: written.bytes,
            plain_bytes: written.plain_bytes,
            contents,
        };
        if self.verify == Verify::Restore {
            let site = Site {
                client: &client,
                maintenance: &self.maintenance,
                program: &program,
            };
            let name = scratch::name(work.cx(), Role::Verify, &self.database);
            site.copy(work, &manifest, dir, &name)?;
            site.drop(&name)?;
            manifest.verified = true;
            work.log_line(&format!("{}: the restored copy is the same", self.database));
        }
        let digest = dump::write_manifest(dir, &manifest)?;
        Ok((manifest, digest))
    }
}

fn missing(database: &str) -> Error {
    Error::new(format!("there is no database {database}"))
}

/// Compares the rows of the dump with those that the server counts in the same snapshot.
fn count(
    work: &mut Work<'_, ()>,
    client: &Client,
    snapshot: &Snapshot,
    contents: &Contents,
) -> Result<(), Error> {
    let tables = client.within(
        snapshot,
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' \
         AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
         AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')",
    )?;
    let query = |row: &Row| {
        let (schema, table) = (row.text(0), row.text(1));
        // What a parent of an inheritance has itself.
        format!(
            "SELECT {}, {}, count(*) FROM ONLY {}.{}",
            literal(&schema),
            literal(&table),
            ident(&schema),
            ident(&table)
        )
    };
    let queries: Vec<String> = tables.iter().map(query).collect();
    let counted = match queries.is_empty() {
        true => Vec::new(),
        false => client.within(snapshot, &queries.join(";\n"))?,
    };
    let mut wrong = Vec::new();
    for row in &counted {
        let (table, rows) = (format!("{}.{}", row.text(0), row.text(1)), row.number(2));
        let object = contents
            .objects
            .get(&Contents::rows_of(&row.text(0), &row.text(1)));
        let there = object.and_then(|o| o.rows).unwrap_or(0);
        if there != rows {
            wrong.push(format!("{table} has {rows} rows, and the dump {there}"));
        }
    }
    if !wrong.is_empty() {
        return Err(Error::new(format!(
            "the dump lacks rows: {}",
            wrong.join("; ")
        )));
    }
    work.log_line(&format!(
        "the server counts the same rows in the snapshot of the dump: {} tables, {} rows",
        counted.len(),
        contents.rows()
    ));
    Ok(())
}

impl Action for Backup {
    type Before = Before;
    type Note = ();
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
        if self.database.is_empty() || self.database.starts_with("template") {
            wrong.push(text::no_schema(&self.database));
        }
        if self.database == self.maintenance {
            wrong.push(text::maintained_is_source(&self.database));
        }
        wrong.extend(self.to.as_deref().and_then(|to| absolute("to", to)));
        wrong
    }

    fn outline(&self, _direction: Direction) -> Vec<String> {
        let to = self.to.clone().unwrap_or_else(phrases::state_directory);
        let mut lines = vec![phrases::dump(&self.database, self.server.shown(), to)];
        if self.verify == Verify::Restore {
            lines.push(phrases::prove_database());
        }
        lines
    }

    fn observe(&self, cx: &Context) -> Result<Before, Error> {
        let program = Program::find(cx, self.client.as_deref())?;
        let client = Client::open(cx, self.server.login(cx)?, &self.maintenance)?;
        if program.major < client.number / 10_000 {
            return Err(Error::new(format!(
                "{} is older than the server, which is {}, and would refuse to dump it",
                program.version, client.version
            ))
            .remedy(
                "install the client of the server's version, or name its pg_dump with `client`",
            ));
        }
        if DatabaseProperties::of(&client, &self.maintenance, &self.database)?.is_none() {
            return Err(missing(&self.database));
        }
        refusals::source(&client, &self.database)?;
        let Needs { extensions, .. } = refusals::needs(&client, &self.database)?;
        let known = client.query(
            &self.database,
            "SELECT COALESCE(sum(pg_table_size(c.oid)), 0) + pg_table_size('pg_largeobject'), count(*) FILTER (WHERE c.relkind <> 'm'), \
             pg_database_size(current_database()) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'",
        )?;
        let numbers = known.first().map(|row| [0, 1, 2].map(|n| row.number(n)));
        let [bytes, tables, whole] = numbers.unwrap_or_default();
        dump::holds_tables(std::slice::from_ref(&self.database), tables)?;
        let directory = dump::place(cx, self.to.as_deref())?;
        let remedy = "free some, or name another place with `to`";
        dump::room(&directory, bytes / SMALLEST, "the dump", remedy)?;
        if self.verify == Verify::Restore {
            room_of_server(&client, &self.maintenance, whole)?;
        }
        Ok(Before {
            directory: disk::text(&directory)?,
            server: client.identity.clone(),
            server_version: client.version.clone(),
            client: program.version,
            tables,
            bytes,
            extensions: extensions
                .into_keys()
                .filter(|name| name != "plpgsql")
                .collect(),
        })
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        let before = &past.before;
        let mib = before.bytes.div_ceil(1 << 20);
        let mut findings = vec![phrases::dump_source(
            before.tables,
            mib,
            &before.server_version,
            &before.client,
        )];
        if !before.extensions.is_empty() {
            findings.push(phrases::extensions(crate::text::list(&before.extensions)));
        }
        let taken = self
            .to
            .iter()
            .filter(|to| Path::new(to).file_name() != Path::new(&before.directory).file_name());
        findings.extend(taken.map(|to| text::copy_is_taken(to, &before.directory)));
        let mut commands = self.outline(direction);
        commands.push(quoted(&Program::words(self.client.as_deref())));
        Preview {
            commands,
            findings,
            ..Preview::default()
        }
    }

    fn probe(&self, _cx: &Context, past: &Past<Self>) -> Result<(Look, Option<Produced>), Error> {
        let directory = Path::new(&past.before.directory);
        if directory.symlink_metadata().is_err() {
            return Ok((
                Look::nothing(format!("{} does not exist", directory.display())),
                None,
            ));
        }
        // It has its name since it was complete and verified.
        let (manifest, digest): (Manifest, _) = dump::manifest(directory)?;
        if let Some(output) = past.output.as_ref().filter(|o| o.manifest_sha256 != digest) {
            let what = format!("the manifest is not {}", output.manifest_sha256);
            return Ok((Look::unclear(what), None));
        }
        manifest.check_file(directory)?;
        let produced = Self::produced(directory, &manifest, digest)?;
        let proved = match produced.verified {
            true => ", and a restored copy was the same",
            false => "",
        };
        let what = format!(
            "{}: {} tables with {} rows in {} bytes, the digest agrees{proved}",
            produced.path, produced.tables, produced.rows, produced.bytes
        );
        Ok((Look::done(what), Some(produced)))
    }

    fn perform(&self, work: &mut Work<'_, ()>, past: &Past<Self>) -> Result<Produced, Error> {
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

#[cfg(test)]
mod unit {
    use super::*;
    use crate::action::stays;

    #[test]
    fn what_was_stored_is_read_for_ever() {
        stays::<Backup>(
            r#"{"directory": "/b", "server": "7", "server_version": "15.18", "client": "c", "tables": 1, "bytes": 2,
                "extensions": ["hstore"]}"#,
            "null",
            r#"{"path": "/b/database.sql.zst", "directory": "/b", "sha256": "ab", "manifest_sha256": "cd", "bytes": 3,
                "database": "d", "tables": 1, "rows": 2, "server": "7", "server_version": "15.18", "client_version": "c",
                "verified": true}"#,
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
        assert!(problems(r#", "database": "template1""#).contains("'template1'"));
        assert!(problems(r#", "database": "postgres""#).contains("`maintenance`"));
        assert!(problems(r#", "database": "d", "to": "x""#).contains("absolute"));
    }
}
