//! How a backup is made: the source is looked at, dumped, looked at again, and the dump is restored and compared.
//!
//! Invariants: what is compared is what the server says of rows and definitions, never sizes or exit codes; a difference
//! that nobody's writing explains is the dump's fault.

use super::backup::{Backup, Before, Note, Verify};
use super::inventory::Inventory;
use super::load::{Load, Part, load};
use super::manifest::{Manifest, Schema};
use super::scratch::{self, Scratch};
use super::write::{self, Written};
use super::{LIMIT, floats, refusals};
use crate::action::{Error, Work};
use crate::actions::dump::{self, Pace};
use crate::host::mysql::{Dump, Login, Program, Session};
use std::collections::BTreeMap;
use std::path::Path;

/// Refuses a schema whose dump would stop, or bring back what does not work.
pub(super) fn refuse_source(
    session: &mut Session,
    name: &str,
    inventory: &Inventory,
) -> Result<(), Error> {
    refusals::definers(session, inventory)?;
    let broken = inventory.broken_views(session, name)?;
    if broken.is_empty() {
        return Ok(());
    }
    Err(Error::new(format!(
        "views of {name} do not work, so that a dump would stop at them: {}",
        broken.join("; ")
    ))
    .remedy("drop these views, or bring back what they need"))
}

impl Backup {
    /// The dumps and the manifest, in a directory that has no name yet.
    pub(super) fn fill(
        &self,
        work: &mut Work<'_, Note>,
        before: &Before,
        dir: &Path,
    ) -> Result<(Manifest, String), Error> {
        let program = Program::find(work.cx(), self.client.as_deref())?;
        let login = self.server.login(work.cx())?;
        let mut session = Session::open(&login, None, LIMIT)?;
        for name in scratch::sweep(&mut session)? {
            work.log_line(&format!("dropped {name}, which a killed run has left"));
        }
        let names = self.names();
        let first = self.look(work, &mut session, "before the dump")?;
        let dump = Dump {
            databases: &names,
            history: before.history,
        };
        let mut pace = Pace::of(before.bytes);
        let cx = work.cx();
        let written = write::write(cx, &program, &login, dump, dir, &mut |done| {
            pace.tell(work, done)
        })?;
        let plain: u64 = written.iter().map(|w| w.file.plain_bytes).sum();
        work.log_line(&format!("dumped {}", pace.rate(plain)));
        let second = self.look(work, &mut session, "after the dump")?;
        let changed = changed(&names, &first, &second)?;
        if !changed.is_empty() {
            work.log_line(&format!("written during the dump: {}", changed.join(", ")));
        }
        let schemas = names.iter().zip(written).zip(second);
        let mut manifest = Manifest {
            format: 1,
            server: session.identity.clone(),
            server_version: session.version.clone(),
            client: program.version,
            verified: false,
            written: changed,
            schemas: schemas
                .map(|((name, file), found)| schema(name, file, found))
                .collect(),
        };
        match self.verify {
            Verify::Restore => self.prove(work, &login, &mut manifest, dir)?,
            Verify::None if !manifest.written.is_empty() => {
                return Err(Error::new(format!(
                    "tables were written during the dump, and without a restored copy nobody can tell what it holds: {}",
                    manifest.written.join(", ")
                ))
                .remedy("stop what writes, or set `verify: restore`"));
            }
            Verify::None => {}
        }
        let digest = dump::write_manifest(dir, &manifest)?;
        Ok((manifest, digest))
    }

    fn look(
        &self,
        work: &mut Work<'_, Note>,
        session: &mut Session,
        when: &str,
    ) -> Result<Vec<Inventory>, Error> {
        let mut found = Vec::new();
        for name in self.names() {
            let mut inventory = Inventory::look(session, &name)?;
            refuse_source(session, &name, &inventory)?;
            inventory.count(session, &name, &mut |_| {})?;
            work.log_line(&format!(
                "{name} {when}: {} tables, {} rows",
                inventory.tables.len(),
                inventory.rows()
            ));
            found.push(inventory);
        }
        Ok(found)
    }

    /// Restores each dump into a scratch schema and compares. The copy's rows are what the backup holds.
    fn prove(
        &self,
        work: &mut Work<'_, Note>,
        login: &Login,
        manifest: &mut Manifest,
        dir: &Path,
    ) -> Result<(), Error> {
        for at in 0..manifest.schemas.len() {
            let schema = &manifest.schemas[at];
            let name = scratch::name(work.cx(), self.scratch.as_ref(), &schema.name);
            let ours = work.all_noted().any(|Note::Scratch(noted)| *noted == name);
            let known = (
                schema.inventory.charset.as_str(),
                schema.inventory.collation.as_str(),
            );
            let made = Scratch::make(login, &name, known, ours)?;
            let Some(scratch) = made else {
                return Err(Error::new(format!(
                    "the account may not create the scratch schema {name}"
                ))
                .remedy(
                    "grant it ALL on a schema and name that with `scratch`, or set `verify: none`",
                ));
            };
            if self.scratch.is_some() {
                work.note(Note::Scratch(name.clone()))?;
            }
            let copy = restored(work, login, schema, dir, &scratch)?;
            let mut wrong = compare(schema, &copy, &manifest.written);
            let digits = self.only_digits(login, schema, &scratch, &mut wrong)?;
            scratch.remove()?;
            if !wrong.is_empty() {
                return Err(Error::new(format!(
                    "the dump of {} is not what the schema holds; its copy differs: {}",
                    schema.name,
                    wrong.into_values().collect::<Vec<_>>().join("; ")
                )));
            }
            if !digits.is_empty() {
                let columns = digits.join(", ");
                if !self.rounds_floats {
                    return Err(Error::new(format!(
                        "{} has values of more than six digits in FLOAT columns, and a dump has six: {columns}",
                        schema.name
                    ))
                    .remedy("convert the columns to DOUBLE, or set `rounds_floats: true`"));
                }
                work.log_line(&format!(
                    "six digits are kept of the FLOAT columns {columns}"
                ));
            }
            work.log_line(&format!("{}: the restored copy is the same", schema.name));
            let schema = &mut manifest.schemas[at];
            for (table, entry) in &mut schema.inventory.tables {
                if let Some(copied) = copy.tables.get(table) {
                    (entry.rows, entry.checksum) = (copied.rows, copied.checksum.clone());
                }
            }
        }
        manifest.verified = true;
        Ok(())
    }

    /// Takes the tables out of what is wrong that differ in no more than digits which no dump has; their columns.
    fn only_digits(
        &self,
        login: &Login,
        schema: &Schema,
        scratch: &Scratch,
        wrong: &mut BTreeMap<String, String>,
    ) -> Result<Vec<String>, Error> {
        let mut columns = Vec::new();
        if wrong.is_empty() {
            return Ok(columns);
        }
        let mut session = Session::open(login, None, LIMIT)?;
        for (table, floats) in floats::columns(&mut session, &schema.name)? {
            let differs = wrong.contains_key(&table);
            if differs && floats::same_as_text(&mut session, &schema.name, &scratch.name, &table)? {
                wrong.remove(&table);
                columns.extend(floats.iter().map(|column| format!("{table}.{column}")));
            }
        }
        Ok(columns)
    }
}

/// What a restored copy holds.
fn restored(
    work: &mut Work<'_, Note>,
    login: &Login,
    schema: &Schema,
    dir: &Path,
    scratch: &Scratch,
) -> Result<Inventory, Error> {
    let mut session = Session::open(login, Some(&scratch.name), LIMIT)?;
    let from = Load {
        file: &schema.path(dir),
        from: &schema.name,
        into: &scratch.name,
        part: Part::All,
    };
    let mut pace = Pace::of(schema.plain_bytes);
    load(&mut session, from, &mut |done, _| pace.tell(work, done))?;
    work.log_line(&format!(
        "restored {} into {}",
        pace.rate(schema.plain_bytes),
        scratch.name
    ));
    drop(session);
    let mut session = Session::open(login, None, LIMIT)?;
    let mut copy = Inventory::look(&mut session, &scratch.name)?;
    copy.count(&mut session, &scratch.name, &mut |_| {})?;
    // Whether its views work is not asked: their definers need no rights on a scratch schema.
    Ok(copy)
}

/// How the copy differs, where nobody's writing explains it, by what differs.
fn compare(schema: &Schema, copy: &Inventory, written: &[String]) -> BTreeMap<String, String> {
    let structure = schema.inventory.structure_differs(copy).into_iter();
    let rows = schema.inventory.rows_differ(copy).into_iter();
    let explained = |table: &str| written.contains(&format!("{}.{table}", schema.name));
    structure
        .map(|how| (how.clone(), how))
        .chain(rows.filter(|(table, _)| !explained(table)))
        .collect()
}

/// The tables that were written between two looks, by `schema.table`.
fn changed(
    names: &[String],
    first: &[Inventory],
    second: &[Inventory],
) -> Result<Vec<String>, Error> {
    let mut changed = Vec::new();
    for ((name, before), after) in names.iter().zip(first).zip(second) {
        let structure = before.structure_differs(after);
        if !structure.is_empty() {
            return Err(Error::new(format!(
                "the definitions of {name} changed during the backup: {}",
                structure.join("; ")
            ))
            .remedy("stop what changes the schema, and try again"));
        }
        for (table, how) in before.rows_differ(after) {
            if !after
                .tables
                .get(&table)
                .is_some_and(super::inventory::Table::is_transactional)
            {
                let engine = after.tables.get(&table).map_or("", |t| t.engine.as_str());
                return Err(Error::new(format!(
                    "{name}: {how}; it was written during the backup, and a snapshot does not cover its engine {engine}"
                ))
                .remedy("stop what writes it, or convert the table to InnoDB"));
            }
            changed.push(format!("{name}.{table}"));
        }
    }
    Ok(changed)
}

fn schema(name: &str, written: Written, inventory: Inventory) -> Schema {
    Schema {
        name: name.to_owned(),
        file: written.file.file,
        sha256: written.file.sha256,
        bytes: written.file.bytes,
        plain_bytes: written.file.plain_bytes,
        largest: written.largest,
        largest_table: written.largest_table,
        inventory,
    }
}
