//! What a schema holds: every object with a digest of its definition, every table with its rows and a checksum.
//!
//! Invariants: two schemas of different names that hold the same have equal inventories, because definitions are asked for
//! from inside their schema; an object that the account cannot see whole is an error, never left out; a checksum is over
//! the values of all rows, in any order. Whether an event is enabled stands beside its definition: a copy has none enabled.

use crate::action::Error;
use crate::host::mysql::{Row, ServerError, Session, ident, literal};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// What a schema holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Inventory {
    /// The schema's own character set.
    pub(super) charset: String,
    /// The schema's own collation.
    pub(super) collation: String,
    /// Tables by their names.
    pub(super) tables: BTreeMap<String, Table>,
    /// Everything else by its kind and name, such as `view v`.
    pub(super) objects: BTreeMap<String, Object>,
    /// The collations that tables and columns use, and the tables.
    pub(super) collations: BTreeMap<String, BTreeSet<String>>,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    /// Its storage engine.
    pub(super) engine: String,
    /// SHA-256 of its definition.
    pub(super) definition: String,
    /// It is system-versioned.
    pub(super) versioned: bool,
    /// An estimate of its size in bytes.
    pub(super) bytes: u64,
    /// Its rows, history included.
    pub(super) rows: u64,
    /// The server's checksum of them.
    pub(super) checksum: String,
}

/// A view, trigger, routine, event or sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Object {
    /// SHA-256 of its definition.
    pub(super) definition: String,
    /// The account that it runs as.
    pub(super) definer: Option<String>,
    /// For an event: it runs by the clock.
    pub(super) enabled: bool,
}

impl Table {
    /// A snapshot of the server covers it.
    pub(super) fn is_transactional(&self) -> bool {
        self.engine.eq_ignore_ascii_case("InnoDB") || self.engine.eq_ignore_ascii_case("ROCKSDB")
    }
}

impl Inventory {
    /// What a schema holds, without rows.
    ///
    /// # Errors
    /// [`Error`] when there is no such schema, or something of it cannot be seen.
    pub(super) fn look(session: &mut Session, schema: &str) -> Result<Self, Error> {
        let name = literal(schema);
        let known = session.query(&format!(
            "SELECT default_character_set_name, default_collation_name FROM information_schema.schemata WHERE schema_name = {name}"
        ))?;
        let row = known.first().ok_or_else(|| {
            Error::new(format!(
                "there is no schema {schema}, or the account may not see it"
            ))
        })?;
        let mut found = Self {
            charset: row.text(0),
            collation: row.text(1),
            ..Self::default()
        };
        session.execute(&format!("USE {}", ident(schema)))?;
        found.take_tables(session, schema)?;
        found.take_triggers(session, &name)?;
        found.take_routines(session, &name)?;
        found.take_events(session, &name)?;
        Ok(found)
    }

    fn take_tables(&mut self, session: &mut Session, schema: &str) -> Result<(), Error> {
        let name = literal(schema);
        let rows = session.query(&format!(
            "SELECT table_name, table_type, engine, COALESCE(data_length, 0) + COALESCE(index_length, 0), table_collation \
             FROM information_schema.tables WHERE table_schema = {name} ORDER BY table_name"
        ))?;
        let own = format!("{}.", ident(schema));
        for row in rows {
            let (table, kind) = (row.text(0), row.text(1));
            match kind.as_str() {
                "VIEW" => {
                    let shown = shown(session, "VIEW", &table)?;
                    let definer = definer(&shown.text(1));
                    // Names of the own schema are there or not, depending on what the definer may do.
                    let text = shown.text(1).replace(&own, "");
                    self.add(
                        "view",
                        &table,
                        &[&text, &shown.text(2), &shown.text(3)],
                        definer,
                    );
                }
                "SEQUENCE" => {
                    let state = session.query(&format!("SELECT * FROM {}", ident(&table)))?;
                    let state: Vec<String> = state.first().map(values).unwrap_or_default();
                    let state: Vec<&str> = state.iter().map(String::as_str).collect();
                    self.add("sequence", &table, &state, None);
                }
                _ => {
                    let definition = shown(session, "TABLE", &table)?.text(1);
                    if let Some(collation) = row.get(4) {
                        self.collations
                            .entry(collation)
                            .or_default()
                            .insert(table.clone());
                    }
                    let entry = Table {
                        engine: row.text(2),
                        versioned: kind == "SYSTEM VERSIONED"
                            || definition.contains("WITH SYSTEM VERSIONING"),
                        definition: digest(&[&definition]),
                        bytes: row.number(3),
                        rows: 0,
                        checksum: String::new(),
                    };
                    self.tables.insert(table, entry);
                }
            }
        }
        let columns = session.query(&format!(
            "SELECT DISTINCT collation_name, table_name FROM information_schema.columns WHERE table_schema = {name} AND collation_name IS NOT NULL"
        ))?;
        for row in columns {
            self.collations
                .entry(row.text(0))
                .or_default()
                .insert(row.text(1));
        }
        Ok(())
    }

    fn take_triggers(&mut self, session: &mut Session, name: &str) -> Result<(), Error> {
        let rows = session.query(&format!(
            "SELECT trigger_name, definer FROM information_schema.triggers WHERE trigger_schema = {name}"
        ))?;
        for row in rows {
            let trigger = row.text(0);
            let shown = shown(session, "TRIGGER", &trigger)?;
            let parts: Vec<String> = (1..6).map(|n| shown.text(n)).collect();
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            self.add("trigger", &trigger, &parts, row.get(1));
        }
        Ok(())
    }

    fn take_routines(&mut self, session: &mut Session, name: &str) -> Result<(), Error> {
        let rows = session.query(&format!(
            "SELECT routine_name, routine_type, definer FROM information_schema.routines WHERE routine_schema = {name}"
        ))?;
        for row in rows {
            let (routine, kind) = (row.text(0), row.text(1));
            let shown = shown(session, &kind, &routine)?;
            if shown.get(2).is_none() {
                return Err(Error::new(format!(
                    "the account may not see the body of the {} {routine}",
                    kind.to_lowercase()
                ))
                .remedy("give it SELECT on mysql.proc (MariaDB) or SHOW_ROUTINE (MySQL)"));
            }
            let parts: Vec<String> = (1..6).map(|n| shown.text(n)).collect();
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            self.add(&kind.to_lowercase(), &routine, &parts, row.get(2));
        }
        Ok(())
    }

    fn take_events(&mut self, session: &mut Session, name: &str) -> Result<(), Error> {
        let rows = session.query(&format!(
            "SELECT event_name, definer, status, time_zone, event_definition, event_type, execute_at, interval_value, \
             interval_field, sql_mode, starts, ends, on_completion, event_comment, character_set_client, \
             collation_connection, database_collation FROM information_schema.events WHERE event_schema = {name}"
        ))?;
        for row in rows {
            let all = values(&row);
            let mut parts: Vec<&str> = all[3..].iter().map(String::as_str).collect();
            parts.push(&all[1]);
            let key = self.add("event", &all[0], &parts, row.get(1));
            if let Some(event) = self.objects.get_mut(&key) {
                event.enabled = all[2] == "ENABLED";
            }
        }
        Ok(())
    }

    fn add(&mut self, kind: &str, name: &str, parts: &[&str], definer: Option<String>) -> String {
        let key = format!("{kind} {name}");
        let object = Object {
            definition: digest(parts),
            definer,
            enabled: false,
        };
        self.objects.insert(key.clone(), object);
        key
    }

    /// Counts the rows of every table and takes their checksums; `each` hears the name of each table before.
    ///
    /// # Errors
    /// [`Error`] when a table cannot be read.
    pub(super) fn count(
        &mut self,
        session: &mut Session,
        schema: &str,
        each: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        // A session that stays in an old transaction would see an old state.
        session.execute("COMMIT")?;
        for (name, table) in &mut self.tables {
            each(name);
            let place = format!("{}.{}", ident(schema), ident(name));
            let all = if table.versioned {
                " FOR SYSTEM_TIME ALL"
            } else {
                ""
            };
            let cannot = |e: ServerError| Error::io(format!("cannot read the table {name}"), &e);
            let counted = session.query_patiently(format!("SELECT COUNT(*) FROM {place}{all}"));
            table.rows = counted
                .map_err(cannot)?
                .first()
                .map_or(0, |row| row.number(0));
            let sum = session.query_patiently(format!("CHECKSUM TABLE {place} EXTENDED"));
            let sum = sum.map_err(cannot)?.first().and_then(|row| row.get(1));
            table.checksum = sum.ok_or_else(|| {
                Error::new(format!("the server gives no checksum of the table {name}"))
            })?;
        }
        Ok(())
    }

    /// What `CHECK TABLE` says of the views that do not work.
    ///
    /// # Errors
    /// [`Error`] when that cannot be asked.
    pub(super) fn broken_views(
        &self,
        session: &mut Session,
        schema: &str,
    ) -> Result<Vec<String>, Error> {
        let mut broken = Vec::new();
        for name in self.names("view") {
            let place = format!("{}.{}", ident(schema), ident(name));
            let said = session.query(&format!("CHECK TABLE {place}"))?;
            let bad = |row: &&Row| {
                row.text(2).eq_ignore_ascii_case("error") || row.text(3).contains("Corrupt")
            };
            let why: Vec<String> = said.iter().filter(bad).map(|row| row.text(3)).collect();
            if !why.is_empty() {
                broken.push(format!("view {name}: {}", why.join("; ")));
            }
        }
        Ok(broken)
    }

    /// The names of the objects of a kind.
    pub(super) fn names<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a str> {
        let of = move |key: &'a String| key.strip_prefix(kind)?.strip_prefix(' ');
        self.objects.keys().filter_map(of)
    }

    /// The events that run by the clock.
    pub(super) fn enabled_events(&self) -> Vec<&str> {
        let enabled = self.objects.iter().filter(|(_, object)| object.enabled);
        enabled
            .filter_map(|(key, _)| key.strip_prefix("event "))
            .collect()
    }

    /// All rows.
    pub(super) fn rows(&self) -> u64 {
        self.tables.values().map(|t| t.rows).sum()
    }

    /// An estimate of its size in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.tables.values().map(|t| t.bytes).sum()
    }

    /// The objects that one of the two lacks, and those whose definitions differ; whether events are enabled is no matter.
    pub(super) fn structure_differs(&self, now: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if (&self.charset, &self.collation) != (&now.charset, &now.collation) {
            found.push(format!(
                "the schema has the collation {}, not {}",
                now.collation, self.collation
            ));
        }
        let parts = |i: &Self| -> BTreeMap<String, String> {
            let tables = i.tables.iter();
            let tables = tables.map(|(name, t)| (format!("table {name}"), t.definition.clone()));
            let objects = i.objects.iter();
            let objects = objects.map(|(key, o)| (key.clone(), o.definition.clone()));
            tables.chain(objects).collect()
        };
        let (wanted, there) = (parts(self), parts(now));
        for (key, definition) in &wanted {
            match there.get(key) {
                None => found.push(format!("{key} is missing")),
                Some(other) if other != definition => {
                    found.push(format!("{key} has another definition"));
                }
                Some(_) => {}
            }
        }
        let more = there.keys().filter(|key| !wanted.contains_key(*key));
        found.extend(more.map(|key| format!("{key} is there and should not be")));
        found
    }

    /// What the other one has and this one lacks.
    pub(super) fn lacks(&self, other: &Self) -> Vec<String> {
        let tables = other
            .tables
            .keys()
            .filter(|t| !self.tables.contains_key(*t));
        let objects = other
            .objects
            .keys()
            .filter(|k| !self.objects.contains_key(*k));
        let tables = tables.map(|t| format!("table {t}"));
        tables.chain(objects.cloned()).collect()
    }

    /// The tables that are the same, rows and all.
    pub(super) fn same_tables<'a>(&'a self, other: &Self) -> Vec<&'a str> {
        let same = |name: &str, table: &Table| {
            other.tables.get(name).is_some_and(|o| {
                (&o.definition, o.rows, &o.checksum)
                    == (&table.definition, table.rows, &table.checksum)
            })
        };
        let tables = self.tables.iter().filter(|(name, table)| same(name, table));
        tables.map(|(name, _)| name.as_str()).collect()
    }

    /// The tables whose rows are others.
    pub(super) fn rows_differ(&self, now: &Self) -> Vec<(String, String)> {
        let differs = |(name, table): (&String, &Table)| {
            let other = now.tables.get(name)?;
            let how = if table.rows != other.rows {
                format!("table {name} has {} rows, not {}", other.rows, table.rows)
            } else if table.checksum != other.checksum {
                format!(
                    "table {name} has {} rows, but not the same ones",
                    table.rows
                )
            } else {
                return None;
            };
            Some((name.clone(), how))
        };
        self.tables.iter().filter_map(differs).collect()
    }

    /// All differences, in lines.
    pub(super) fn differs(&self, now: &Self) -> Vec<String> {
        let mut all = self.structure_differs(now);
        all.extend(self.rows_differ(now).into_iter().map(|(_, how)| how));
        all
    }
}

fn values(row: &Row) -> Vec<String> {
    (0..row.len()).map(|n| row.text(n)).collect()
}

/// What `SHOW CREATE` says of an object of the current schema.
fn shown(session: &mut Session, kind: &str, name: &str) -> Result<Row, Error> {
    let what = format!("{} {name}", kind.to_lowercase());
    let rows = session.query(&format!("SHOW CREATE {kind} {}", ident(name)));
    let rows =
        rows.map_err(|e| Error::io(format!("cannot see the definition of the {what}"), &e))?;
    rows.into_iter()
        .next()
        .ok_or_else(|| Error::new(format!("the server does not show the {what}")))
}

/// The account in `DEFINER=`user`@`host``.
fn definer(text: &str) -> Option<String> {
    let rest = text.split_once("DEFINER=`")?.1;
    let (user, rest) = rest.split_once("`@`")?;
    Some(format!("{user}@{}", rest.split('`').next()?))
}

fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}
