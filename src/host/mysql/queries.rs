//! Queries of a plan: one statement each, which reads, in a session of its own that the server itself keeps read-only.
//!
//! Two walls: the words of the statement, before anything is asked, and `SET SESSION TRANSACTION READ ONLY`, which refuses
//! what a view, a function or a procedure would write. Each question gets a new session in autocommit mode: an open
//! transaction would answer from an old snapshot.

use super::{Login, Row, ServerError, Session};
use crate::action::Error;
use crate::host::sql::{self, Dialect};
use std::time::Duration;

/// The number of the error of a read-only transaction.
const READ_ONLY: u16 = 1792;

/// Why that is no query that only reads.
pub(crate) fn problem(sql: &str) -> Option<String> {
    sql::problem(sql, Dialect::Mysql)
}

/// What a query has returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The rows.
    pub(crate) rows: Vec<Row>,
    /// When, by the clock of the server, in UTC.
    pub(crate) at: String,
}

/// Asks one query, in a new session that may not write.
///
/// # Errors
/// [`Error`] that names the query, and what the server says.
pub(crate) fn ask(
    login: &Login,
    database: Option<&str>,
    sql: &str,
    limit: Duration,
) -> Result<Answer, Error> {
    let mut session = Session::open(login, database, limit)?;
    let refused = |e: ServerError| {
        let error = Error::io(format!("{login}: {sql}"), &e);
        match e.number {
            Some(READ_ONLY) => {
                error.remedy("a query only reads; change data by another kind of step")
            }
            _ => error,
        }
    };
    session
        .execute("SET SESSION autocommit=1, sql_select_limit=DEFAULT")
        .map_err(refused)?;
    session
        .execute("SET SESSION TRANSACTION READ ONLY")
        .map_err(refused)?;
    let at = session.value("SELECT UTC_TIMESTAMP(3)").map_err(refused)?;
    let rows = session.query(sql).map_err(refused)?;
    Ok(Answer {
        rows,
        at: at.unwrap_or_default(),
    })
}
