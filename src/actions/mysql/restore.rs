//! `mysql.restore`: schemas are dropped, made again, and loaded from a backup; and the same for the undo of other kinds.
//!
//! Invariants: all that can refuse refuses before the first schema is dropped, and all definitions of the backup are tried
//! in a scratch schema on the same server; it ends in the comparison in which the backup ended. A restore is this step's
//! own work: schemas that were as the backup before are restored all the same. A restore that died half-way says which
//! tables are back, and the same restore succeeds from there. Nothing undoes it but another restore.

use super::accounts::{Account, Locks};
use super::inventory::Inventory;
use super::load::{Load, Part, load};
use super::manifest::Schema;
use super::refusals::{Manner, Ready};
use super::schemas::{create, drop_schema};
use super::scratch::{self, Scratch};
use super::{LIMIT, accounts, others};
use crate::action::{
    Action, Consequences, Context, Data, Direction, Error, Live, Look, Past, Place, Preview,
    Properties, StepUse, Used, Work,
};
use crate::actions::dump::Pace;
use crate::host::files::disk;
use crate::host::mysql::{Server, Session};
use crate::text::actions as phrases;
use crate::text::settings as text;
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use upledger_replay::plan::Effect;

/// How long a preview watches at most.
const GLANCE: Duration = Duration::from_secs(1);

/// Drops the schemas of a backup, creates them again and loads them. Refused before anything is dropped while others use
/// the schemas or connect to the server, and if the server cannot take the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// The earlier `mysql.backup` step.
    pub backup: String,
    /// The server and the account, if they are not those of the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
    /// How long it is watched whether others connect. Default: 3s.
    #[serde(default = "watch")]
    pub watch: Length,
    /// Accounts whose sessions do no harm, such as that of the monitoring.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore_users: Vec<String>,
    /// Whether accounts of others that may write to the schemas are locked during the restore, if the account in use may do
    /// that. Administrators are never locked. Default: true.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub lock_accounts: bool,
    /// Whether a read-only server or a replica is restored. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_read_only: bool,
    /// The schema in which the definitions are tried; it must be empty or absent. Default: a new schema, whose name begins
    /// with `upledger_verify_`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scratch: Option<String>,
}

fn watch() -> Length {
    Length(3000)
}

fn yes() -> bool {
    true
}

/// What was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// The backup.
    directory: String,
    /// The server.
    server: String,
    /// The schemas.
    databases: Vec<String>,
    /// Tables and rows of the backup.
    tables: u64,
    rows: u64,
    /// Objects that are there and not in the backup; they will be gone.
    extra: Vec<String>,
}

/// A fact on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// What this scratch schema, which the plan names, holds from now on is a copy.
    Scratch(String),
    /// This account is locked.
    Locked(Account),
    /// This account is as it was.
    Unlocked(Account),
    /// These schemas are dropped.
    Dropping(Vec<String>),
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Restored {
    /// The schemas.
    pub databases: Vec<String>,
    /// How many tables they have.
    pub tables: u64,
    /// How many rows they have.
    pub rows: u64,
    /// The server, by its UUID or its host, port and data directory.
    pub server: String,
}

impl Restore {
    fn manner(&self) -> Manner {
        Manner {
            server: self.server.clone(),
            watch: Duration::from_millis(self.watch.0),
            ignored: self.ignore_users.clone(),
            lock: self.lock_accounts,
            read_only: self.allow_read_only,
            scratch: self.scratch.clone(),
        }
    }
}

/// Refuses what would fail, for a preview of a restore: nothing changes.
///
/// # Errors
/// [`Error`] with the reason for which nothing would be restored.
pub fn check(cx: &Context, used: &Used, manner: &Manner) -> Result<Before, Error> {
    let mut ready = Ready::reach(cx, used, manner)?;
    ready.refuse(manner)?;
    ready.refuse_others(manner, manner.watch.min(GLANCE))?;
    let manifest = &ready.manifest;
    let mut extra = Vec::new();
    for schema in &manifest.schemas {
        if scratch::objects(&mut ready.session, &schema.name)?.is_some() {
            let now = Inventory::look(&mut ready.session, &schema.name)?;
            let more = schema.inventory.lacks(&now);
            extra.extend(more.iter().map(|key| format!("{}: {key}", schema.name)));
        }
    }
    Ok(Before {
        directory: disk::text(&ready.directory)?,
        server: ready.session.identity.clone(),
        databases: manifest.names(),
        tables: manifest
            .schemas
            .iter()
            .map(|s| s.inventory.tables.len() as u64)
            .sum(),
        rows: manifest.schemas.iter().map(|s| s.inventory.rows()).sum(),
        extra,
    })
}

/// Compares the schemas with the backup of a step: what differs, in lines.
///
/// # Errors
/// [`Error`] when that cannot be seen.
pub fn differences(cx: &Context, used: &Used, manner: &Manner) -> Result<Vec<String>, Error> {
    let mut ready = Ready::reach(cx, used, manner)?;
    let mut found = Vec::new();
    for schema in &ready.manifest.schemas {
        found.extend(state(&mut ready.session, schema)?);
    }
    Ok(found)
}

/// How a schema differs from its backup, in lines: none where it is the same.
fn state(session: &mut Session, schema: &Schema) -> Result<Vec<String>, Error> {
    let name = &schema.name;
    if scratch::objects(session, name)?.is_none() {
        return Ok(vec![format!("the schema {name} is missing")]);
    }
    let mut now = Inventory::look(session, name)?;
    now.count(session, name, &mut |_| {})?;
    let lines = schema.inventory.differs(&now);
    if lines.is_empty() {
        return Ok(lines);
    }
    let same: Vec<&str> = schema.inventory.same_tables(&now);
    let same = match same.as_slice() {
        [] => "none".to_owned(),
        some => some.join(", "),
    };
    let first = format!("{name}: tables as in the backup: {same}");
    let rest = lines.into_iter().map(|line| format!("{name}: {line}"));
    Ok(std::iter::once(first).chain(rest).collect())
}

/// Brings the schemas of a backup back: refuses, drops, loads, compares. `wrap` makes a note of the calling kind of one of
/// these, and `earlier` are those that the step's former attempts have made.
///
/// # Errors
/// [`Error`]; unless it says what became of the schemas, nothing was dropped.
pub fn bring_back<N: Data>(
    work: &mut Work<'_, N>,
    used: &Used,
    manner: &Manner,
    wrap: fn(Note) -> N,
    earlier: &[Note],
) -> Result<Restored, Error> {
    let mut ready = Ready::reach(work.cx(), used, manner)?;
    work.log_line(&format!(
        "the backup {} has its digests",
        ready.directory.display()
    ));
    let mut locks = Locks::left_by(&ready.login, earlier);
    ready.refuse(manner)?;
    ready.refuse_others(manner, manner.watch)?;
    for name in scratch::sweep(&mut ready.session)? {
        work.log_line(&format!("dropped {name}, which a killed run has left"));
    }
    for at in 0..ready.manifest.schemas.len() {
        try_definitions(work, &ready, at, manner, wrap, earlier)?;
    }
    if manner.lock {
        let names = ready.manifest.names();
        let all = accounts::writers(&mut ready.session, &names, &manner.ignored)?;
        for account in all.unwrap_or_default() {
            work.note(wrap(Note::Locked(account.clone())))?;
            if !locks.lock(&mut ready.session, account)? {
                work.log_line(
                    "accounts of others are not locked: the account in use may not do that",
                );
                break;
            }
        }
        locks.log(work);
    }
    // Somebody may have connected before the lock.
    let used_by = others::users_of(&mut ready.session, &ready.manifest.names(), &manner.ignored)?;
    if !used_by.is_empty() {
        return Err(Error::new(format!(
            "others use the schemas: {}",
            used_by.join("; ")
        )));
    }
    let restored = replace(work, &mut ready, wrap);
    for account in locks.release(&mut ready.session)? {
        work.log_line(&format!("{account} is no longer locked"));
        work.note(wrap(Note::Unlocked(account)))?;
    }
    restored
}

/// Drops, makes, loads and compares.
fn replace<N: Data>(
    work: &mut Work<'_, N>,
    ready: &mut Ready,
    wrap: fn(Note) -> N,
) -> Result<Restored, Error> {
    let names = ready.manifest.names();
    // Keys of other schemas that lead here.
    ready.session.execute("SET SESSION foreign_key_checks=0")?;
    work.note(wrap(Note::Dropping(names.clone())))?;
    for name in &names {
        drop_schema(&mut ready.session, name)?;
        work.log_line(&format!("dropped {name}"));
    }
    for schema in &ready.manifest.schemas {
        create(&mut ready.session, schema)?;
    }
    for at in 0..ready.manifest.schemas.len() {
        if let Err(e) = fill(work, ready, at) {
            // A session of its own: the other may be gone.
            let now = Session::open(&ready.login, None, LIMIT)
                .and_then(|mut session| state(&mut session, &ready.manifest.schemas[at]));
            let now = now.unwrap_or_else(|e| vec![format!("its state cannot be seen: {e}")]);
            return Err(e
                .or_remedy(format!("now {}", now.join("; ")))
                .or_remedy("the same restore goes on from here: remove the cause and try again"));
        }
    }
    let inventories = || ready.manifest.schemas.iter().map(|s| &s.inventory);
    Ok(Restored {
        tables: inventories().map(|i| i.tables.len() as u64).sum(),
        rows: inventories().map(Inventory::rows).sum(),
        databases: names,
        server: ready.session.identity.clone(),
    })
}

/// Drops a schema of a backup and creates it again, with nothing in it.
///
/// # Errors
/// [`Error`] when it could not be restored afterwards, or others use it; nothing was dropped then.
pub fn empty(work: &mut Work<'_, Note>, used: &Used, name: &str) -> Result<(), Error> {
    let manner = Manner::default();
    let mut ready = Ready::reach(work.cx(), used, &manner)?;
    ready.refuse(&manner)?;
    ready.refuse_others(&manner, manner.watch)?;
    let mut schemas = ready.manifest.schemas.iter();
    let schema = schemas
        .find(|s| s.name == name)
        .ok_or_else(|| Error::new(format!("the backup does not hold {name}")))?;
    ready.session.execute("SET SESSION foreign_key_checks=0")?;
    work.note(Note::Dropping(vec![name.to_owned()]))?;
    drop_schema(&mut ready.session, name)?;
    create(&mut ready.session, schema)?;
    work.log_line(&format!(
        "dropped {name}, and created it again with nothing in it"
    ));
    Ok(())
}

/// How many tables and routines a schema on the server of a backup has; none where there is no such schema.
///
/// # Errors
/// [`Error`] when that cannot be seen.
pub fn objects(cx: &Context, used: &Used, name: &str) -> Result<Option<u64>, Error> {
    let mut ready = Ready::reach(cx, used, &Manner::default())?;
    scratch::objects(&mut ready.session, name)
}

/// Loads a schema, compares it, and lets its events run.
fn fill<N: Data>(work: &mut Work<'_, N>, ready: &Ready, at: usize) -> Result<(), Error> {
    let schema = &ready.manifest.schemas[at];
    let name = &schema.name;
    let file = schema.path(&ready.directory);
    let from = |part| Load {
        file: &file,
        from: name,
        into: name,
        part,
    };
    let mut session = Session::open(&ready.login, Some(name), LIMIT)?;
    let mut pace = Pace::of(schema.plain_bytes);
    load(&mut session, from(Part::All), &mut |done, _| {
        pace.tell(work, done)
    })?;
    work.log_line(&format!(
        "loaded {} into {name}",
        pace.rate(schema.plain_bytes)
    ));
    drop(session);
    let mut session = Session::open(&ready.login, None, LIMIT)?;
    let mut now = Inventory::look(&mut session, name)?;
    now.count(&mut session, name, &mut |_| {})?;
    let mut wrong = schema.inventory.differs(&now);
    wrong.extend(now.broken_views(&mut session, name)?);
    if !wrong.is_empty() {
        return Err(Error::new(format!(
            "the restored {name} is not what the backup holds; somebody may have written meanwhile: {}",
            wrong.join("; ")
        )));
    }
    let events = schema.inventory.enabled_events();
    if !events.is_empty() {
        load(&mut session, from(Part::Events), &mut |_, _| {})?;
        let mut session = Session::open(&ready.login, None, LIMIT)?;
        let now = Inventory::look(&mut session, name)?;
        if now.enabled_events() != events {
            return Err(Error::new(format!(
                "the events of {name} are not enabled as they were"
            )));
        }
        work.log_line(&format!("enabled the events {}", events.join(", ")));
    }
    work.log_line(&format!(
        "{name} is as the backup: {} tables, {} rows",
        now.tables.len(),
        now.rows()
    ));
    Ok(())
}

/// Creates everything of a schema but its rows in a scratch schema, compares, and drops it.
fn try_definitions<N: Data>(
    work: &mut Work<'_, N>,
    ready: &Ready,
    at: usize,
    manner: &Manner,
    wrap: fn(Note) -> N,
    earlier: &[Note],
) -> Result<(), Error> {
    let schema = &ready.manifest.schemas[at];
    let name = scratch::name(work.cx(), manner.scratch.as_ref(), &schema.name);
    let ours = earlier.contains(&Note::Scratch(name.clone()));
    let known = (
        schema.inventory.charset.as_str(),
        schema.inventory.collation.as_str(),
    );
    let Some(made) = Scratch::make(&ready.login, &name, known, ours)? else {
        work.log_line(&format!(
            "the definitions of {} are not tried before: the account may not create {name}",
            schema.name
        ));
        return Ok(());
    };
    if manner.scratch.is_some() {
        work.note(wrap(Note::Scratch(name.clone())))?;
    }
    let mut session = Session::open(&ready.login, Some(&name), LIMIT)?;
    let file = schema.path(&ready.directory);
    let from = Load {
        file: &file,
        from: &schema.name,
        into: &name,
        part: Part::Definitions,
    };
    load(&mut session, from, &mut |_, _| {})?;
    drop(session);
    let mut session = Session::open(&ready.login, None, LIMIT)?;
    let tried = Inventory::look(&mut session, &name)?;
    let wrong = schema.inventory.structure_differs(&tried);
    made.remove()?;
    if !wrong.is_empty() {
        return Err(Error::new(format!(
            "this server does not make the objects of {} as they were: {}",
            schema.name,
            wrong.join("; ")
        )));
    }
    work.log_line(&format!("this server makes all objects of {}", schema.name));
    Ok(())
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
                kinds: &["mysql.backup"],
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
            phrases::restore_refuses(),
            phrases::restore_any(&self.backup),
            phrases::restore_compares(),
        ]
    }

    fn observe(&self, cx: &Context) -> Result<Before, Error> {
        check(cx, cx.used(&self.backup)?, &self.manner())
    }

    fn preview(&self, _direction: Direction, past: &Past<Self>) -> Preview {
        let before = &past.before;
        let mut findings = vec![phrases::restore_holds(
            before.tables,
            before.rows,
            &before.directory,
        )];
        if !before.extra.is_empty() {
            findings.push(phrases::restore_loses(crate::text::clauses(&before.extra)));
        }
        Preview {
            commands: vec![
                phrases::restore_refuses(),
                phrases::restore_databases(crate::text::list(&before.databases), &self.backup),
                phrases::restore_compares(),
            ],
            findings,
            ..Preview::default()
        }
    }

    fn probe(&self, cx: &Context, past: &Past<Self>) -> Result<(Look, Option<Restored>), Error> {
        if past.notes.is_empty() {
            return Ok((Look::nothing("nothing was dropped by this step"), None));
        }
        let dropped = past.noted().any(|note| matches!(note, Note::Dropping(_)));
        if !dropped {
            // What it has noted must not be forgotten, so this is not "nothing".
            let what = "nothing was dropped by this step, which may have locked accounts";
            return Ok((Look::unclear(what), None));
        }
        let found = differences(cx, cx.used(&self.backup)?, &self.manner())?;
        let before = &past.before;
        let names = before.databases.join(", ");
        if !found.is_empty() {
            // The same restore succeeds from any state.
            let look = Look::unclear(format!(
                "{names} is not as the backup: {}",
                found.join("; ")
            ));
            return Ok((look, None));
        }
        let restored = Restored {
            databases: before.databases.clone(),
            tables: before.tables,
            rows: before.rows,
            server: before.server.clone(),
        };
        let what = format!(
            "{names}: {} tables with {} rows, as the backup",
            before.tables, before.rows
        );
        Ok((Look::done(what), Some(restored)))
    }

    fn verify(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        let mut ready = Ready::reach(cx, cx.used(&self.backup)?, &self.manner())?;
        let mut wrong = Vec::new();
        for schema in &ready.manifest.schemas {
            let now = Inventory::look(&mut ready.session, &schema.name)?;
            wrong.extend(schema.inventory.structure_differs(&now));
        }
        let Before {
            databases,
            tables,
            rows,
            ..
        } = &past.before;
        let names = databases.join(", ");
        if !wrong.is_empty() {
            return Ok(Look::unclear(format!("{names}: {}", wrong.join("; "))));
        }
        // The rows were compared before events could change them.
        Ok(Look::done(format!(
            "{names}: {tables} tables with {rows} rows, as the backup"
        )))
    }

    fn replaces(&self, _cx: &Context, past: &Past<Self>) -> Result<Consequences, Error> {
        let before = &past.before;
        let mut lost = vec![format!(
            "whatever was written to {} since the backup in {}",
            before.databases.join(", "),
            before.directory
        )];
        let extra = (!before.extra.is_empty()).then(|| before.extra.join("; "));
        lost.extend(extra.map(|extra| format!("what the backup does not have: {extra}")));
        Ok(Consequences {
            lost: Some(lost),
            ..Consequences::default()
        })
    }

    fn perform(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<Restored, Error> {
        let earlier: Vec<Note> = past.noted().cloned().collect();
        let used = work.cx().used(&self.backup)?;
        bring_back(work, used, &self.manner(), |note| note, &earlier)
    }
}

#[cfg(test)]
mod unit {
    use super::*;
    use crate::action::stays;

    #[test]
    fn what_was_stored_is_read_for_ever() {
        stays::<Restore>(
            r#"{"directory": "/b", "server": "s", "databases": ["d"], "tables": 1, "rows": 2, "extra": []}"#,
            r#"{"locked": {"user": "app", "host": "%"}}"#,
            r#"{"databases": ["d"], "tables": 1, "rows": 2, "server": "s"}"#,
        );
    }
}
