//! A schema for a copy that is looked at and thrown away.
//!
//! Invariants: a schema that is not ours is never dropped: ours have a name of ours, or the plan names it and it was empty;
//! whoever uses one holds a lock of the server with its name, so that one without that lock is what a kill has left, and
//! the next attempt drops it; it is dropped on every other exit.

use super::{LIMIT, is_denied};
use crate::action::{Context, Error};
use crate::host::files::disk;
use crate::host::mysql::{Login, Session, ident, literal};

/// The beginning of the names of ours.
const PREFIX: &str = "upledger_verify_";
/// How much of the name of the schema is in it.
const PART: usize = 30;

/// A schema for a copy.
#[derive(Debug)]
pub(super) struct Scratch {
    session: Session,
    pub(super) name: String,
    /// It was there before, and empty.
    kept: bool,
    gone: bool,
}

/// The name for the copy of a schema.
pub(super) fn name(cx: &Context, given: Option<&String>, schema: &str) -> String {
    if let Some(given) = given {
        return given.clone();
    }
    let whose = format!("{}\n{}\n{}\n{schema}", cx.state.display(), cx.run, cx.step);
    let digest = disk::digest(whose.as_bytes());
    let part: String = schema
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
        .take(PART)
        .collect();
    format!("{PREFIX}{part}_{}", &digest[..8])
}

/// Whether a named schema is there, and how many tables and routines it has.
pub(super) fn objects(session: &mut Session, name: &str) -> Result<Option<u64>, Error> {
    let name = literal(name);
    let there = session.value(&format!(
        "SELECT 1 FROM information_schema.schemata WHERE schema_name = {name}"
    ))?;
    if there.is_none() {
        return Ok(None);
    }
    let counted = session.query(&format!(
        "SELECT (SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = {name}) + \
         (SELECT COUNT(*) FROM information_schema.routines WHERE routine_schema = {name}) + \
         (SELECT COUNT(*) FROM information_schema.events WHERE event_schema = {name})"
    ))?;
    Ok(counted.first().map(|row| row.number(0)))
}

/// Drops the schemas of ours that nobody uses any more; their names.
pub(super) fn sweep(session: &mut Session) -> Result<Vec<String>, Error> {
    let pattern = literal(&format!("{}%", PREFIX.replace('_', "\\_")));
    let found = session.query(&format!(
        "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE {pattern}"
    ))?;
    let mut dropped = Vec::new();
    for name in found.iter().filter_map(|row| row.get(0)) {
        let free = session.value(&format!("SELECT IS_FREE_LOCK({})", literal(&name)))?;
        if free.as_deref() == Some("1") {
            match session.execute_patiently(format!("DROP DATABASE IF EXISTS {}", ident(&name))) {
                Ok(()) => dropped.push(name),
                // That of another account is left to it.
                Err(e) if is_denied(&e) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
    Ok(dropped)
}

impl Scratch {
    /// Makes one; none where the account may not. `ours`: what it holds is left over by an earlier attempt.
    ///
    /// # Errors
    /// [`Error`] when it cannot be made, or the named one is not empty.
    pub(super) fn make(
        login: &Login,
        name: &str,
        (charset, collation): (&str, &str),
        ours: bool,
    ) -> Result<Option<Self>, Error> {
        let mut session = Session::open(login, None, LIMIT)?;
        let held = session.value(&format!("SELECT GET_LOCK({}, 5)", literal(name)))?;
        if held.as_deref() != Some("1") {
            return Err(Error::new(format!(
                "the scratch schema {name} is in use by another run"
            )));
        }
        let there = objects(&mut session, name)?;
        let ours = ours || name.starts_with(PREFIX);
        if there.is_some_and(|n| n > 0) && !ours {
            return Err(Error::new(format!(
                "the scratch schema {name} is not empty, and is not touched"
            ))
            .remedy("empty it, or name another one with `scratch`"));
        }
        if there.is_some() {
            session.execute_patiently(format!("DROP DATABASE {}", ident(name)))?;
        }
        let made = session.execute(&format!(
            "CREATE DATABASE {} CHARACTER SET {charset} COLLATE {collation}",
            ident(name)
        ));
        match made {
            Err(e) if is_denied(&e) => return Ok(None),
            made => {
                made.map_err(|e| Error::io(format!("cannot create the scratch schema {name}"), &e))?
            }
        }
        Ok(Some(Self {
            session,
            name: name.to_owned(),
            kept: there.is_some() && !name.starts_with(PREFIX),
            gone: false,
        }))
    }

    /// Drops it.
    ///
    /// # Errors
    /// [`Error`] when it cannot be dropped.
    pub(super) fn remove(mut self) -> Result<(), Error> {
        self.drop_it()
    }

    fn drop_it(&mut self) -> Result<(), Error> {
        self.gone = true;
        let name = ident(&self.name);
        let dropped = self
            .session
            .execute_patiently(format!("DROP DATABASE IF EXISTS {name}"));
        dropped
            .map_err(|e| Error::io(format!("cannot drop the scratch schema {}", self.name), &e))?;
        if self.kept {
            self.session.execute(&format!("CREATE DATABASE {name}"))?;
        }
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.gone {
            // The attempt has failed for a reason of its own; the next one finds what is left.
            let _ = self.drop_it();
        }
    }
}
