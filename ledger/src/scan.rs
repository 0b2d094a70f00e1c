//! Rows into the chain, and what SQLite's errors mean.
//!
//! Invariants: rows are taken in the order of their seq, from the lowest there is; the first that does not follow ends
//! the scan. Left out: who asks, and in which transaction.

use crate::chain::{self, Chain, Checked, Row};
use crate::damage::{Broken, Fault};
use crate::head::{Digest, Head};
use crate::record::Record;
use crate::tree;
use rusqlite::{Connection, ffi};

/// SQLite's result code without its extension; 0 for an error that is not SQLite's.
pub(crate) fn primary(error: &rusqlite::Error) -> i32 {
    extended(error) & 0xff
}

pub(crate) fn extended(error: &rusqlite::Error) -> i32 {
    error.sqlite_error().map_or(0, |error| error.extended_code)
}

/// Whether an error says nothing about what the file holds: the disk cannot be read, access is denied, there is no memory.
/// A read beyond the end of a file that was cut off is about the file, and so is all that SQLite does not understand in it.
pub(crate) fn is_of_the_system(error: &rusqlite::Error) -> bool {
    match primary(error) {
        ffi::SQLITE_IOERR => extended(error) != ffi::SQLITE_IOERR_SHORT_READ,
        ffi::SQLITE_BUSY
        | ffi::SQLITE_LOCKED
        | ffi::SQLITE_NOMEM
        | ffi::SQLITE_CANTOPEN
        | ffi::SQLITE_PERM
        | ffi::SQLITE_READONLY
        | ffi::SQLITE_FULL
        | ffi::SQLITE_INTERRUPT => true,
        _ => false,
    }
}

pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    primary(error) == ffi::SQLITE_BUSY
}

pub(crate) fn data_version(conn: &Connection) -> Result<i64, rusqlite::Error> {
    conn.prepare_cached("PRAGMA data_version")?
        .query_row([], |row| row.get(0))
}

/// The head as the file has it, unverified. `None` if it is no head at all.
pub(crate) fn file_head(conn: &Connection) -> Result<Option<Head>, rusqlite::Error> {
    let mut statement =
        conn.prepare_cached("SELECT seq, hash FROM event NOT INDEXED ORDER BY seq DESC LIMIT 1")?;
    let mut rows = statement.query([])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let seq = row
        .get_ref(0)?
        .as_i64()
        .ok()
        .and_then(|seq| u64::try_from(seq).ok());
    let hash = row.get_ref(1)?.as_blob().ok().and_then(Digest::from_slice);
    Ok(seq.zip(hash).map(|(seq, hash)| Head { seq, hash }))
}

pub(crate) enum ScanError {
    Broken(Broken),
    /// SQLite says at this seq that the file is damaged, which it also says of a disk that cannot be read.
    Unreadable(u64, rusqlite::Error),
    Sqlite(rusqlite::Error),
}

impl ScanError {
    /// What SQLite says of a file whose disk is sound.
    pub(crate) fn unreadable(seq: u64, error: &rusqlite::Error) -> Broken {
        Fault::Unreadable(error.to_string()).at(seq)
    }
}

/// Takes every row that `chain` does not know yet into it.
pub(crate) fn scan<F>(conn: &Connection, chain: &mut Chain, mut each: F) -> Result<(), ScanError>
where
    F: FnMut(&Row<'_>, &Checked<'_>) -> Result<(), Fault>,
{
    // From the very bottom at first: a row with a negative seq must not hide.
    let from = if chain.size() == 0 {
        i64::MIN
    } else {
        i64::try_from(chain.size()).unwrap_or(i64::MAX)
    };
    let unreadable = |error: rusqlite::Error, seq: u64| match primary(&error) {
        ffi::SQLITE_CORRUPT => ScanError::Unreadable(seq, error),
        _ => ScanError::Sqlite(error),
    };
    let mut statement = conn
        .prepare_cached(chain::SELECT)
        .map_err(ScanError::Sqlite)?;
    let mut rows = statement.query((from, -1)).map_err(ScanError::Sqlite)?;
    while let Some(row) = rows
        .next()
        .map_err(|error| unreadable(error, chain.size()))?
    {
        let seq = chain.size();
        let mut step = || {
            let row = Row::of(row)?;
            let checked = chain.check_row(&row)?;
            each(&row, &checked)?;
            chain.accept(&checked);
            Ok(())
        };
        step().map_err(|fault: Fault| ScanError::Broken(fault.at(seq)))?;
    }
    Ok(())
}

/// Makes sure that the head is still what it was, then takes every new row into `chain` and `records`.
pub(crate) fn refresh(
    conn: &Connection,
    chain: &mut Chain,
    records: &mut Vec<Record>,
) -> Result<(), ScanError> {
    conn.execute_batch("BEGIN").map_err(ScanError::Sqlite)?;
    if let Some(head) = chain.head() {
        let mut statement = conn
            .prepare_cached(chain::SELECT)
            .map_err(ScanError::Sqlite)?;
        let mut rows = statement
            .query((i64::try_from(head.seq).unwrap_or(i64::MAX), 1))
            .map_err(ScanError::Sqlite)?;
        let fault = match rows
            .next()
            .map_err(ScanError::Sqlite)?
            .map(|row| Row::of(row).map(|row| tree::leaf_hash(row.body.as_bytes())))
        {
            Some(Ok(hash)) if hash == head.hash => None,
            Some(Ok(_)) => Some(Fault::Changed { before: head.hash }),
            Some(Err(fault)) => Some(fault),
            None => Some(Fault::Ends),
        };
        if let Some(fault) = fault {
            return Err(ScanError::Broken(fault.at(head.seq)));
        }
    }
    scan(conn, chain, |row, checked| {
        records.push(Record::of(row.body, checked));
        Ok(())
    })
}
