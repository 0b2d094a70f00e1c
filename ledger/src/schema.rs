//! The table of the format, and how this program connects to it.
//!
//! Invariants: every pragma is read back, because SQLite ignores a value that it cannot take; nothing here needs more
//! than SQLite 3.17 with JSON1 to be opened and read; the triggers stop accidents, not attackers.
//! Left out: what the rows say (`chain`).

use crate::damage::SchemaFault;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;
use thiserror::Error;

/// `UPLG`, in the file's header.
pub const APPLICATION_ID: i32 = 0x5550_4C47;

/// The version of the table, in the file's header.
pub const USER_VERSION: i32 = 1;

/// Earlier ones can corrupt a file that two processes write (the WAL-reset bug).
const OLDEST_SQLITE: i32 = 3_051_003;

/// The statements that make the table, in order. SQLite stores each text as it stands here, and verification compares
/// them to the byte.
pub const DDL: [&str; 6] = [
    "CREATE TABLE event(
  seq  INTEGER PRIMARY KEY CHECK(seq >= 0),
  hash BLOB NOT NULL UNIQUE CHECK(typeof(hash) = 'blob' AND length(hash) = 32),
  prev BLOB NOT NULL UNIQUE CHECK(typeof(prev) = 'blob' AND length(prev) = 32),
  run  TEXT, kind TEXT NOT NULL, ts TEXT NOT NULL,
  body TEXT NOT NULL CHECK(typeof(body) = 'text'))",
    "CREATE TABLE checkpoint(size INTEGER NOT NULL, note TEXT NOT NULL, sig TEXT, UNIQUE(size, sig))",
    "CREATE TABLE blob(sha256 BLOB PRIMARY KEY, salt BLOB, len INTEGER NOT NULL, data BLOB)",
    "CREATE TRIGGER event_append BEFORE INSERT ON event BEGIN
  SELECT RAISE(ABORT, 'upledger: seq is not the next one')
    WHERE NEW.seq IS NOT (SELECT coalesce(max(seq) + 1, 0) FROM event);
  SELECT RAISE(ABORT, 'upledger: prev is not the hash of the head')
    WHERE NEW.prev IS NOT coalesce((SELECT hash FROM event ORDER BY seq DESC LIMIT 1), zeroblob(32));
  SELECT RAISE(ABORT, 'upledger: hash or prev exists already')
    WHERE EXISTS(SELECT 1 FROM event WHERE hash = NEW.hash OR prev = NEW.prev);
  SELECT RAISE(ABORT, 'upledger: a column differs from the body')
    WHERE json_extract(NEW.body, '$.seq') IS NOT NEW.seq
       OR json_extract(NEW.body, '$.prev') IS NOT lower(hex(NEW.prev))
       OR json_extract(NEW.body, '$.run') IS NOT NEW.run
       OR json_extract(NEW.body, '$.kind') IS NOT NEW.kind
       OR json_extract(NEW.body, '$.ts') IS NOT NEW.ts;
END",
    "CREATE TRIGGER event_no_update BEFORE UPDATE ON event BEGIN
  SELECT RAISE(ABORT, 'upledger: an event is never changed');
END",
    "CREATE TRIGGER event_no_delete BEFORE DELETE ON event BEGIN
  SELECT RAISE(ABORT, 'upledger: an event is never deleted');
END",
];

/// Type, name, table and text of everything in `sqlite_master`. The indexes are those that `UNIQUE` and `PRIMARY KEY` make.
const OBJECTS: [(&str, &str, &str, Option<&str>); 10] = [
    ("index", "sqlite_autoindex_blob_1", "blob", None),
    ("index", "sqlite_autoindex_checkpoint_1", "checkpoint", None),
    ("index", "sqlite_autoindex_event_1", "event", None),
    ("index", "sqlite_autoindex_event_2", "event", None),
    ("table", "blob", "blob", Some(DDL[2])),
    ("table", "checkpoint", "checkpoint", Some(DDL[1])),
    ("table", "event", "event", Some(DDL[0])),
    ("trigger", "event_append", "event", Some(DDL[3])),
    ("trigger", "event_no_delete", "event", Some(DDL[5])),
    ("trigger", "event_no_update", "event", Some(DDL[4])),
];

/// Why there is no connection of the kind that the format asks for.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The SQLite in this program is too old.
    #[error("SQLite {0} is linked, 3.51.3 or newer is needed")]
    TooOld(&'static str),
    /// A pragma did not take.
    #[error("`PRAGMA {name}` is {found}, not {expected}")]
    Pragma {
        /// Which.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// SQLite refused.
    #[error("SQLite cannot open the file")]
    Sqlite(#[from] rusqlite::Error),
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Appends.
    Write,
    /// Reads a ledger in its place; may roll back what a crash left, as any open would.
    Read,
    /// Reads evidence: nothing in its directory is touched.
    Verify,
}

/// A connection that keeps every promise of the format, or none. The file must exist.
pub(crate) fn connect(path: &Path, mode: Mode, busy: Duration) -> Result<Connection, ConnectError> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(ConnectError::TooOld(rusqlite::version()));
    }
    let access = match mode {
        Mode::Write | Mode::Read => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Mode::Verify => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    let flags = access
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(busy)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    set(&conn, "trusted_schema", "0", "0")?;
    set(&conn, "cell_size_check", "1", "1")?;
    set(&conn, "mmap_size", "0", "0")?;
    // No temporary file: on a full disk it would fail, and what is in a ledger is private.
    set(&conn, "temp_store", "2", "2")?;
    match mode {
        Mode::Write => {
            // These two matter only before the first write to the file.
            conn.execute_batch(
                "PRAGMA page_size = 4096; PRAGMA auto_vacuum = 0; PRAGMA encoding = 'UTF-8'",
            )?;
            set(&conn, "synchronous", "EXTRA", "3")?;
            // In KiB. A large plan passes through once, and a runner would keep it for hours.
            set(&conn, "cache_size", "-512", "-512")?;
            set(&conn, "recursive_triggers", "1", "1")?;
            // Not set: a file that somebody turned into WAL is to be refused and not to be changed.
            expect(&conn, "journal_mode", "delete")?;
            expect(&conn, "auto_vacuum", "0")?;
            expect(&conn, "encoding", "UTF-8")?;
            expect(&conn, "locking_mode", "normal")?;
        }
        Mode::Read | Mode::Verify => set(&conn, "query_only", "1", "1")?,
    }
    Ok(conn)
}

fn set(
    conn: &Connection,
    name: &'static str,
    value: &str,
    expected: &'static str,
) -> Result<(), ConnectError> {
    conn.execute_batch(&format!("PRAGMA {name} = {value}"))?;
    expect(conn, name, expected)
}

fn expect(
    conn: &Connection,
    name: &'static str,
    expected: &'static str,
) -> Result<(), ConnectError> {
    let found = pragma(conn, name)?;
    // A file with a mapping turned off at build time answers `mmap_size` with no row.
    if found == expected || (name == "mmap_size" && found.is_empty()) {
        Ok(())
    } else {
        Err(ConnectError::Pragma {
            name,
            expected,
            found,
        })
    }
}

fn pragma(conn: &Connection, name: &str) -> Result<String, rusqlite::Error> {
    let mut statement = conn.prepare(&format!("PRAGMA {name}"))?;
    let mut rows = statement.query([])?;
    let Some(row) = rows.next()? else {
        return Ok(String::new());
    };
    Ok(match row.get_ref(0)? {
        rusqlite::types::ValueRef::Integer(value) => value.to_string(),
        rusqlite::types::ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    })
}

/// Every difference between the file and the format, but for the rows. Empty if there is none.
pub(crate) fn faults(conn: &Connection) -> Result<Vec<SchemaFault>, rusqlite::Error> {
    let mut faults = Vec::new();
    for (name, expected) in [
        ("application_id", "1431325767"),
        ("user_version", "1"),
        ("encoding", "UTF-8"),
        ("auto_vacuum", "0"),
        ("journal_mode", "delete"),
    ] {
        let found = pragma(conn, name)?;
        if found != expected {
            faults.push(SchemaFault::Header {
                name,
                found,
                expected,
            });
        }
    }
    let mut seen = [false; OBJECTS.len()];
    let mut statement = conn.prepare("SELECT type, name, tbl_name, sql FROM sqlite_master")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let text = |column| match row.get_ref(column) {
            Ok(rusqlite::types::ValueRef::Text(bytes)) => {
                Some(String::from_utf8_lossy(bytes).into_owned())
            }
            _ => None,
        };
        let (kind, name) = (text(0).unwrap_or_default(), text(1).unwrap_or_default());
        let Some(at) = OBJECTS
            .iter()
            .position(|object| (object.0, object.1) == (&*kind, &*name))
        else {
            faults.push(SchemaFault::Extra { kind, name });
            continue;
        };
        let (kind, name, table, sql) = OBJECTS[at];
        // A second row of the same name is as wrong as another text.
        if text(2).as_deref() != Some(table) || text(3).as_deref() != sql || seen[at] {
            faults.push(SchemaFault::Differs { kind, name });
        }
        seen[at] = true;
    }
    for ((kind, name, ..), seen) in OBJECTS.into_iter().zip(seen) {
        if !seen {
            faults.push(SchemaFault::Missing { kind, name });
        }
    }
    Ok(faults)
}

/// Whether nothing was ever made in this file.
pub(crate) fn is_blank(conn: &Connection) -> Result<bool, rusqlite::Error> {
    Ok(pragma(conn, "application_id")? == "0"
        && !conn.query_row("SELECT EXISTS(SELECT 1 FROM sqlite_master)", [], |row| {
            row.get::<_, bool>(0)
        })?)
}

/// Makes the table; the caller holds the transaction that also writes seq 0.
pub(crate) fn create(conn: &Connection) -> Result<(), rusqlite::Error> {
    conn.execute_batch(&format!(
        "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {USER_VERSION}; {};",
        DDL.join(";\n")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_the_one_of_the_format() {
        assert_eq!(APPLICATION_ID.to_be_bytes(), *b"UPLG");
        assert_eq!(APPLICATION_ID.to_string(), "1431325767");
    }
}
