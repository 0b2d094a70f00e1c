//! Queries of a plan: one statement each, which reads, in a session of its own that the server itself keeps read-only.
//!
//! Two walls: the words of the statement, before anything is asked, and `SET SESSION TRANSACTION READ ONLY`, which refuses
//! what a view, a function or a procedure would write. Each question gets a new session in autocommit mode: an open
//! transaction would answer from an old snapshot.

use super::{Login, Row, ServerError, Session};
use crate::action::Error;
use crate::text::queries as text;
use std::time::Duration;

/// What a query begins with.
const READS: [&str; 9] = [
    "SELECT", "WITH", "SHOW", "EXPLAIN", "DESCRIBE", "DESC", "CHECKSUM", "TABLE", "VALUES",
];
/// Words of a query that write all the same, or take locks. No read-only session refuses all of them.
const WRITES: [&str; 18] = [
    "INTO",
    "OUTFILE",
    "DUMPFILE",
    "INSERT",
    "UPDATE",
    "DELETE",
    "REPLACE",
    "DROP",
    "ALTER",
    "TRUNCATE",
    "GRANT",
    "SETVAL",
    "NEXTVAL",
    "LASTVAL",
    "GET_LOCK",
    "SLEEP",
    "LOAD_FILE",
    "PROCEDURE",
];
/// Of these a query may contain, as the names of functions or in `FOR UPDATE`, what follows here.
const FUNCTIONS: [&str; 2] = ["INSERT", "REPLACE"];
/// In these, such words are names of what is shown: `SHOW CREATE PROCEDURE`.
const SHOWS: [&str; 1] = ["SHOW"];
/// The number of the error of a read-only transaction.
const READ_ONLY: u16 = 1792;

/// A word of a statement, in capitals, and whether a parenthesis follows.
struct Word {
    text: String,
    call: bool,
}

/// The words of a statement outside of strings, quoted names and comments; none where there is more than one statement,
/// or a comment that the server would carry out.
fn words(sql: &str) -> Option<Vec<Word>> {
    let bytes = sql.as_bytes();
    let (mut words, mut at, mut ended) = (Vec::new(), 0, false);
    while let Some(&byte) = bytes.get(at) {
        let rest = bytes.get(at..).unwrap_or_default();
        let comment = rest.starts_with(b"-- ") || rest.starts_with(b"--\n") || byte == b'#';
        if comment {
            at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
            continue;
        }
        if rest.starts_with(b"/*") {
            if rest.starts_with(b"/*!") || rest.starts_with(b"/*M!") {
                return None;
            }
            at += 2 + rest
                .windows(2)
                .skip(2)
                .position(|w| w == b"*/")
                .map_or(rest.len(), |n| n + 2);
            continue;
        }
        if byte.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        if ended {
            return None;
        }
        match byte {
            b';' => {
                ended = true;
                at += 1;
            }
            b'\'' | b'"' | b'`' => at += quoted(rest, byte),
            b if b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80 => {
                let inside =
                    |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'$' || *b >= 0x80;
                let len = rest.iter().position(|b| !inside(b)).unwrap_or(rest.len());
                let text = sql.get(at..at + len)?.to_ascii_uppercase();
                at += len;
                let next = bytes.get(at..).unwrap_or_default();
                let next = next.iter().find(|b| !b.is_ascii_whitespace());
                words.push(Word {
                    text,
                    call: next == Some(&b'('),
                });
            }
            _ => at += 1,
        }
    }
    Some(words)
}

/// The length of what is quoted.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while let Some(&byte) = rest.get(at) {
        match byte {
            b'\\' if quote != b'`' => at += 2,
            b if b == quote && rest.get(at + 1) == Some(&quote) => at += 2,
            b if b == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Why that is no query that only reads.
pub(crate) fn problem(sql: &str) -> Option<String> {
    let Some(words) = words(sql) else {
        return Some(text::several_statements(sql));
    };
    let first = words.first().map_or("", |w| w.text.as_str());
    if !READS.contains(&first) {
        return Some(text::no_query(sql));
    }
    if SHOWS.contains(&first) {
        return None;
    }
    let writes = |word: &&Word| {
        let name = word.text.as_str();
        WRITES.contains(&name) && !(word.call && FUNCTIONS.contains(&name))
    };
    let found = words.iter().find(writes)?;
    Some(text::writes(sql, &found.text))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reads_is_a_query() {
        for good in [
            "SELECT COUNT(*) FROM orders",
            "select replace(name, 'drop table', '') from `delete` -- insert",
            "WITH a AS (SELECT 1) SELECT * FROM a;",
            "SHOW CREATE PROCEDURE p",
            "SELECT 'a; b', \"it''s\", '\\'' /* ; */",
            "checksum table orders",
        ] {
            assert_eq!(problem(good), None, "{good}");
        }
    }

    #[test]
    fn what_writes_waits_or_is_more_than_one_is_none() {
        for bad in [
            "UPDATE orders SET a = 1",
            "SELECT 1; DROP TABLE orders",
            "SELECT * FROM orders INTO OUTFILE '/tmp/x'",
            "SELECT /*!50000 SLEEP(9) */ 1",
            "SELECT GET_LOCK('a', 9)",
            "SELECT * FROM orders FOR UPDATE",
            "SELECT NEXTVAL(s)",
            "EXPLAIN DELETE FROM orders",
            "WITH a AS (SELECT 1) DELETE FROM orders",
            "CALL p()",
            "",
        ] {
            assert!(problem(bad).is_some(), "{bad}");
        }
    }
}
