//! `postgres.restore`: a database is replaced by a copy that was loaded from a backup and proved before.
//!
//! Invariants: all that can refuse refuses before anything changes; the backup is loaded into a new database, which is
//! compared with it; only then does the former database lose its name, which the server refuses while anybody uses it, and
//! the new one gets it. The former one is dropped last, so that a kill at any moment leaves one of the two under our names.
//! A restore is this step's own work. Nothing undoes it but another restore.

use super::backup::{Backup, Produced};
use super::manifest::Manifest;
use super::properties::{DatabaseProperties, room_of_server};
use super::refusals;
use super::scratch::{self, Role, Site};
use crate::action::{
    Action, Context, Direction, Error, Live, Look, Past, Place, Preview, Properties, StepUse, Used,
    Work,
};
use crate::actions::Do;
use crate::host::files::disk;
use crate::host::postgres::{Client, Program, Server, ident};
use crate::text::actions as phrases;
use crate::text::settings as text;
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;
use upledger_replay::plan::Effect;

/// How long a preview watches at most.
const GLANCE: Duration = Duration::from_secs(1);

/// Loads a backup into a new database, compares it, and lets it take the place of the former one, which is dropped. Refused
/// while others use the database or connect to it, and if the server cannot take the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// The earlier `postgres.backup` step.
    pub backup: String,
    /// The server and the role, if they are not those of the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
    /// How long it is watched whether others connect. Default: 3s.
    #[serde(default = "watch")]
    pub watch: Length,
}

fn watch() -> Length {
    Length(3000)
}

/// What was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// The backup.
    directory: String,
    /// The server.
    server: String,
    /// The database, and the names that it and its copy have meanwhile.
    database: String,
    new: String,
    former: String,
    /// Tables and rows of the backup.
    tables: u64,
    rows: u64,
}

/// A fact on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// The copy in this database is the same as the backup; it takes the place of the former one.
    Replacing(String),
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Restored {
    /// The database.
    pub database: String,
    /// How many tables it has.
    pub tables: u64,
    /// How many rows they have.
    pub rows: u64,
    /// The server, by the identifier of its cluster or its place.
    pub server: String,
}

/// A backup that can be restored, and its server.
struct Ready {
    manifest: Manifest,
    directory: PathBuf,
    client: Client,
    program: Program,
    maintenance: String,
}

impl Ready {
    /// The backup of a step, verified, and its server, reached; nothing else is asked of it yet.
    fn reach(cx: &Context, used: &Used, server: Option<&Server>) -> Result<Self, Error> {
        let Do::PostgresBackup(backup) = &used.action else {
            return Err(Error::new(format!(
                "the step {} is no backup of a database",
                used.step
            )));
        };
        let backup: &Backup = backup;
        let produced = used.produced.as_ref().ok_or_else(|| {
            Error::unseen(format!(
                "the step {} has not made its backup yet",
                used.step
            ))
        })?;
        let produced = Produced::deserialize(produced)
            .map_err(|e| Error::io(format!("the output of {} cannot be read", used.step), &e))?;
        let directory = PathBuf::from(&produced.directory);
        let manifest = Manifest::verified(&directory, &produced.manifest_sha256)?;
        let login = server.unwrap_or(&backup.server).login(cx)?;
        let client = Client::open(cx, login, &backup.maintenance)?;
        if server.is_none() && client.identity != manifest.server {
            return Err(Error::new(format!(
                "{} is another server than the one that was dumped: it is {}, and the backup is of {}",
                client.login, client.identity, manifest.server
            ))
            .remedy("connect to that server, or name this one with the restore's own `server`"));
        }
        Ok(Self {
            program: Program::find(cx, backup.client.as_deref())?,
            maintenance: backup.maintenance.clone(),
            manifest,
            directory,
            client,
        })
    }

    fn site(&self) -> Site<'_> {
        Site {
            client: &self.client,
            maintenance: &self.maintenance,
            program: &self.program,
        }
    }

    fn properties(&self, name: &str) -> Result<Option<DatabaseProperties>, Error> {
        DatabaseProperties::of(&self.client, &self.maintenance, name)
    }

    /// Refuses what could only fail later, and while others use the database.
    fn refuse(&self, watch: Duration) -> Result<(), Error> {
        refusals::target(self.site(), &self.manifest.needs)?;
        room_of_server(&self.client, &self.maintenance, self.manifest.plain_bytes)?;
        refusals::others(self.site(), &self.manifest.database, watch)
    }

    /// How the database differs from the backup, in lines.
    fn differences(&self) -> Result<Vec<String>, Error> {
        let name = &self.manifest.database;
        let Some(properties) = self.properties(name)? else {
            return Ok(vec![format!("the database {name} is missing")]);
        };
        let mut found = self.manifest.contents.differs(&self.site().contents(name)?);
        if properties != self.manifest.properties {
            found.push("its owner, encoding, privileges or settings are others".into());
        }
        Ok(found)
    }
}

impl Action for Restore {
    type Before = Before;
    type Note = Note;
    type Output = Restored;

    fn properties(&self) -> Properties {
        Properties {
            effect: Effect::Idempotent,
            has_probe: true,
            live: Live::Refused,
            uses: vec![StepUse {
                setting: "backup",
                step: self.backup.clone(),
                kinds: &["postgres.backup"],
            }],
            restores: Some(Direction::Do),
            reads: Some(vec![Place::Data]),
            touches: Some(vec![Place::Data]),
            ..Properties::command()
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.backup.is_empty() {
            wrong.push(text::empty("backup"));
        }
        if let Some(server) = &self.server {
            wrong.extend(server.problems("server"));
        }
        wrong
    }

    fn outline(&self, _direction: Direction) -> Vec<String> {
        vec![
            phrases::replace_refuses(),
            phrases::replace_any(&self.backup),
            phrases::replace_drops(),
        ]
    }

    fn observe(&self, cx: &Context) -> Result<Before, Error> {
        let ready = Ready::reach(cx, cx.used(&self.backup)?, self.server.as_ref())?;
        ready.refuse(Duration::from_millis(self.watch.0).min(GLANCE))?;
        let Manifest {
            database, contents, ..
        } = &ready.manifest;
        Ok(Before {
            directory: disk::text(&ready.directory)?,
            server: ready.client.identity.clone(),
            new: scratch::name(cx, Role::New, database),
            former: scratch::name(cx, Role::Former, database),
            database: database.clone(),
            tables: contents.tables(),
            rows: contents.rows(),
        })
    }

    fn preview(&self, _direction: Direction, past: &Past<Self>) -> Preview {
        let before = &past.before;
        Preview {
            commands: vec![
                phrases::replace_refuses(),
                phrases::replace_database(&before.database, &before.new, &self.backup),
                phrases::replace_drops(),
            ],
            findings: vec![phrases::restore_holds(
                before.tables,
                before.rows,
                &before.directory,
            )],
            ..Preview::default()
        }
    }

    fn probe(&self, cx: &Context, past: &Past<Self>) -> Result<(Look, Option<Restored>), Error> {
        if past.notes.is_empty() {
            return Ok((Look::nothing("nothing was replaced by this step"), None));
        }
        let ready = Ready::reach(cx, cx.used(&self.backup)?, self.server.as_ref())?;
        let before = &past.before;
        let found = ready.differences()?;
        if !found.is_empty() {
            // The same restore succeeds from any state.
            let what = format!(
                "{} is not as the backup: {}",
                before.database,
                found.join("; ")
            );
            return Ok((Look::unclear(what), None));
        }
        let restored = Restored {
            database: before.database.clone(),
            tables: before.tables,
            rows: before.rows,
            server: before.server.clone(),
        };
        Ok((Look::done(as_the_backup(before)), Some(restored)))
    }

    fn verify(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        // Objects and rows were compared before the copy got its name.
        let ready = Ready::reach(cx, cx.used(&self.backup)?, self.server.as_ref())?;
        let before = &past.before;
        let now = ready.properties(&before.database)?;
        Ok(match now.as_ref() == Some(&ready.manifest.properties) {
            true => Look::done(as_the_backup(before)),
            false => Look::unclear(format!(
                "the owner, encoding, privileges or settings of {} are not those of the backup",
                before.database
            )),
        })
    }

    fn perform(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<Restored, Error> {
        let Before {
            database,
            new,
            former,
            ..
        } = &past.before;
        let ready = Ready::reach(
            work.cx(),
            work.cx().used(&self.backup)?,
            self.server.as_ref(),
        )?;
        work.log_line(&format!(
            "the backup {} has its digests",
            ready.directory.display()
        ));
        let site = ready.site();
        let rename = |from: &str, to: &str| {
            site.execute(&format!(
                "ALTER DATABASE {} RENAME TO {}",
                ident(from),
                ident(to)
            ))
        };
        let is_there = ready.properties(database)?.is_some();
        if ready.properties(former)?.is_some() {
            // An attempt died: before the copy had its name, or before the former one was dropped.
            match is_there {
                true => site.drop(former)?,
                false => rename(former, database)?,
            }
            work.log_line(&format!("a killed attempt has left {former}"));
        }
        ready.refuse(Duration::from_millis(self.watch.0))?;
        site.copy(work, &ready.manifest, &ready.directory, new)?;
        site.execute(&ready.manifest.properties.apply(new))?;
        // The planner knows nothing of new tables.
        ready.client.patiently(new, "ANALYZE")?;
        work.log_line(&format!(
            "{new} is as the backup; it takes the place of {database}"
        ));
        work.note(Note::Replacing(new.clone()))?;
        let is_there = ready.properties(database)?.is_some();
        if is_there && let Err(e) = rename(database, former) {
            let users = refusals::users(site, database).unwrap_or_default();
            // Whoever uses it keeps it; the copy is made again.
            let _ = site.drop(new);
            let e = Error::io(
                format!("{database} keeps its name, and nothing is replaced"),
                &e,
            );
            return Err(match users.is_empty() {
                true => e,
                false => e.remedy(format!("end what uses it: {}", users.join("; "))),
            });
        }
        if let Err(e) = rename(new, database) {
            let back = match is_there {
                true => rename(former, database),
                false => Ok(()),
            };
            return Err(match back {
                Ok(()) => e,
                Err(back) => e.or_remedy(format!("the former {database} is {former}: {back}")),
            });
        }
        site.drop(former)?;
        work.log_line(&as_the_backup(&past.before));
        Ok(Restored {
            database: database.clone(),
            tables: past.before.tables,
            rows: past.before.rows,
            server: past.before.server.clone(),
        })
    }
}

fn as_the_backup(before: &Before) -> String {
    let Before {
        database,
        tables,
        rows,
        ..
    } = before;
    format!("{database}: {tables} tables with {rows} rows, as the backup")
}

#[cfg(test)]
mod unit {
    use super::*;
    use crate::action::stays;

    #[test]
    fn what_was_stored_is_read_for_ever() {
        stays::<Restore>(
            r#"{"directory": "/b", "server": "7", "database": "d", "new": "n", "former": "f", "tables": 1, "rows": 2}"#,
            r#"{"replacing": "n"}"#,
            r#"{"database": "d", "tables": 1, "rows": 2, "server": "7"}"#,
        );
    }
}
