//! A schema as a whole: dropped, and made again with nothing in it.

use super::manifest::Schema;
use super::others;
use crate::action::Error;
use crate::host::mysql::{Session, ident};

/// Drops a schema, where it is there.
///
/// # Errors
/// [`Error`], which names who uses it.
pub(super) fn drop_schema(session: &mut Session, name: &str) -> Result<(), Error> {
    let dropped = session.execute_patiently(format!("DROP DATABASE IF EXISTS {}", ident(name)));
    dropped.map_err(|e| {
        let holders = others::users_of(session, &[name.to_owned()], &[]).unwrap_or_default();
        let error = Error::io(format!("cannot drop {name}"), &e);
        match holders.is_empty() {
            true => error,
            false => error.or_remedy(format!("it is used by {}", holders.join("; "))),
        }
    })
}

/// Creates a schema as it was, with nothing in it.
///
/// # Errors
/// [`Error`] when the server refuses.
pub(super) fn create(session: &mut Session, schema: &Schema) -> Result<(), Error> {
    session.execute(&format!(
        "CREATE DATABASE {} CHARACTER SET {} COLLATE {}",
        ident(&schema.name),
        schema.inventory.charset,
        schema.inventory.collation
    ))?;
    Ok(())
}
