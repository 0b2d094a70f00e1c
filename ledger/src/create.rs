//! The first transaction of a ledger: its table, and seq 0.
//!
//! Invariant: there is never a table without events. Left out: whether there may be a new ledger here ([`crate::open`]).

use crate::append::{Refusal, StageError, Stamp, stage};
use crate::blob;
use crate::chain::{CREATED, Chain};
use crate::clock::{Clock, ClockError};
use crate::head::to_hex;
use crate::record::Identity;
use crate::schema;
use rusqlite::Connection;
use serde_json::json;
use std::borrow::Cow;

pub(crate) enum CreateError {
    Sqlite(rusqlite::Error),
    Clock(ClockError),
    Random(std::io::Error),
    Refused(Refusal),
}

impl From<rusqlite::Error> for CreateError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Makes the table and seq 0 in one transaction, so that there is never a table without events; does nothing if another
/// process was faster.
pub(crate) fn create(
    conn: &Connection,
    identity: &Identity,
    clock: &dyn Clock,
) -> Result<(), CreateError> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let result = (|| {
        if !schema::is_blank(conn)? {
            return Ok(());
        }
        schema::create(conn)?;
        let mut id = [0; 16];
        blob::random(&mut id).map_err(CreateError::Random)?;
        let mut chain = Chain::new();
        let stamp = Stamp::now(identity, clock, &chain).map_err(CreateError::Clock)?;
        stage(
            conn,
            &mut chain,
            &stamp,
            &to_hex(&id),
            None,
            CREATED,
            Cow::Owned(json!({"alg": "sha256"}).into()),
        )
        .map_err(|error| match error {
            StageError::Refused(refusal) => CreateError::Refused(refusal),
            StageError::Sqlite(error) => CreateError::Sqlite(error),
        })?;
        Ok(())
    })();
    let result = result.and_then(|()| conn.execute_batch("COMMIT").map_err(CreateError::Sqlite));
    if result.is_err() && !conn.is_autocommit() {
        // The first error is the one to tell; a transaction that cannot be rolled back ends with the connection.
        drop(conn.execute_batch("ROLLBACK"));
    }
    result
}
