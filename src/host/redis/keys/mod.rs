//! Declared keys of one database: taken into a file, and brought back from it.
//!
//! Invariants: keys and values are bytes; a time to live is kept as an instant, so that what has expired meanwhile does
//! not come back; nothing but the declared keys is removed; names of keys that a pattern has found stand in no message,
//! because they may hold the identifiers of sessions.

mod compare;
mod file;

pub(crate) use compare::compare;
pub use file::Ttl;
use file::{END, MAGIC, Reader};
pub(crate) use file::{Header, Record, contents};

use super::broker::page;
use super::rdb::newest_format;
use super::state::Identity;
use super::{Session, broker, text_of};
use crate::action::Error;
use redis::Value;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

/// Keys of one round.
const BATCH: usize = 16;

/// What was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Keys.
    pub(crate) keys: u64,
    /// Those with a time to live.
    pub(crate) expires: u64,
    /// The format of the values, which is that of RDB files.
    pub(crate) format: u32,
    /// Keys of a broker are among them.
    pub(crate) broker: bool,
}

/// What was brought back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Restored {
    /// Keys that are there again.
    pub(crate) restored: u64,
    /// Keys whose time was over.
    pub(crate) expired: u64,
    /// Keys that were removed, because the backup has none of that name.
    pub(crate) removed: u64,
    /// When, in milliseconds since 1970, by the clock of the server.
    pub(crate) at: i64,
}

/// The name holds a character of a pattern.
fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '[', '\\'])
}

/// The keys that are there of those that are declared.
///
/// # Errors
/// [`Error`] when that cannot be asked.
pub(crate) fn find(session: &mut Session, declared: &[String]) -> Result<BTreeSet<Vec<u8>>, Error> {
    let mut found = BTreeSet::new();
    for name in declared {
        if !is_pattern(name) {
            if session.number(&[b"EXISTS", name.as_bytes()])? > 0 {
                found.insert(name.clone().into_bytes());
            }
            continue;
        }
        let mut cursor = b"0".to_vec();
        loop {
            let words: [&[u8]; 6] = [
                b"SCAN",
                &cursor,
                b"MATCH",
                name.as_bytes(),
                b"COUNT",
                b"1000",
            ];
            let value = session.ask(&words)?;
            let (next, keys) = page(session, &value)?;
            found.extend(keys);
            if next == b"0" {
                break;
            }
            cursor = next;
        }
    }
    Ok(found)
}

/// Reads keys by `DUMP`; those that are gone meanwhile are not among them.
fn read(session: &mut Session, names: &[&[u8]], instants: bool) -> Result<Vec<Record>, Error> {
    let clock: &[u8] = if instants { b"PEXPIRETIME" } else { b"PTTL" };
    let now = if instants { 0 } else { session.now()? };
    let commands: Vec<Vec<&[u8]>> = names
        .iter()
        .flat_map(|name| [vec![clock, name], vec![&b"DUMP"[..], name]])
        .collect();
    let values = session.together(&commands)?;
    let mut records = Vec::new();
    for (name, pair) in names.iter().zip(values.chunks_exact(2)) {
        let [Value::Int(expires), value] = pair else {
            return Err(session.unexpected("PEXPIRETIME"));
        };
        match value {
            Value::Nil => {}
            Value::BulkString(bytes) => records.push(Record {
                name: name.to_vec(),
                expires: match *expires {
                    n if n < 0 => -1,
                    n => now + n,
                },
                value: bytes.clone(),
            }),
            _ => return Err(session.unexpected("DUMP")),
        }
    }
    Ok(records)
}

/// The format of a value: the two bytes before its checksum.
fn format_of(value: &[u8]) -> Option<u32> {
    let at = value.len().checked_sub(10)?;
    let bytes = value.get(at..at + 2)?;
    Some(u32::from(u16::from_le_bytes(bytes.try_into().ok()?)))
}

/// Takes the declared keys into a file.
///
/// # Errors
/// [`Error`] when one may not be read, or the file cannot be written.
pub(crate) fn take(
    session: &mut Session,
    header: &Header,
    queues: &[String],
    out: &mut dyn Write,
    tell: &mut dyn FnMut(u64, u64),
) -> Result<Taken, Error> {
    let cannot = |e: io::Error| Error::io("cannot write the file of the keys", &e);
    let names = find(session, &header.keys)?;
    let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
    let instants = session.has("PEXPIRETIME")?;
    let line = serde_json::to_vec(header).map_err(|e| Error::io("cannot write a header", &e))?;
    let mut head = MAGIC.to_vec();
    head.extend(line);
    head.push(b'\n');
    out.write_all(&head).map_err(cannot)?;
    let mut taken = Taken {
        broker: names.iter().any(|name| broker::is_of_broker(name, queues)),
        ..Taken::default()
    };
    for batch in names.chunks(BATCH) {
        for record in read(session, batch, instants)? {
            record.write(out).map_err(cannot)?;
            taken.keys += 1;
            taken.expires += u64::from(record.expires >= 0);
            let format = format_of(&record.value).unwrap_or_default();
            taken.format = taken.format.max(format);
        }
        tell(taken.keys, names.len() as u64);
    }
    out.write_all(&END.to_le_bytes()).map_err(cannot)?;
    Ok(taken)
}

/// Refuses values that this server cannot load.
///
/// # Errors
/// [`Error`] that names both versions.
pub(crate) fn refuse_newer(
    session: &mut Session,
    identity: &Identity,
    format: u32,
    written_by: &str,
) -> Result<(), Error> {
    let newest = match newest_format(&identity.version) {
        Some(newest) => Some(newest),
        None => own_format(session)?,
    };
    match newest.filter(|newest| *newest < format) {
        None => Ok(()),
        Some(newest) => {
            let what = format!(
                "the backup is of Redis {written_by} (RDB format {format}), and Redis {} is {}, which loads format {newest} at most",
                session.shown(),
                identity.version
            );
            Err(Error::new(what).remedy(format!("restore with Redis {written_by} or newer")))
        }
    }
}

/// The format in which the server dumps a value; none where it has no key.
fn own_format(session: &mut Session) -> Result<Option<u32>, Error> {
    let key = session.ask(&[b"RANDOMKEY"])?;
    let Value::BulkString(key) = key else {
        return Ok(None);
    };
    let value = session.ask(&[b"DUMP", &key])?;
    Ok(match value {
        Value::BulkString(bytes) => format_of(&bytes),
        _ => None,
    })
}

/// Brings the declared keys of the chosen database back to what a file holds.
///
/// # Errors
/// [`Error`] when a key is refused; the same call goes on from there.
pub(crate) fn bring_back(
    session: &mut Session,
    path: &Path,
    ttl: Ttl,
    tell: &mut dyn FnMut(u64, u64),
) -> Result<Restored, Error> {
    let contents = contents(path)?;
    let total = contents.names.len() as u64;
    let mut done = Restored {
        at: session.now()?,
        ..Restored::default()
    };
    let mut reader = Reader::open(path)?;
    loop {
        let batch = reader.batch(BATCH)?;
        if batch.is_empty() {
            break;
        }
        let now = session.now()?;
        let at = if ttl == Ttl::Remaining { done.at } else { now };
        let dues: Vec<Option<Vec<u8>>> = batch
            .iter()
            .map(|r| {
                r.due(&reader.header, ttl, at)
                    .map(|d| d.to_string().into_bytes())
            })
            .collect();
        let commands: Vec<Vec<&[u8]>> = batch
            .iter()
            .zip(&dues)
            .map(|(record, due)| match due {
                Some(due) => vec![
                    &b"RESTORE"[..],
                    &record.name,
                    due,
                    &record.value,
                    b"REPLACE",
                    b"ABSTTL",
                ],
                None => vec![&b"DEL"[..], &record.name],
            })
            .collect();
        session.together(&commands)?;
        let expired = dues.iter().filter(|due| due.is_none()).count() as u64;
        done.expired += expired;
        done.restored += batch.len() as u64 - expired;
        tell(done.restored + done.expired, total);
    }
    let now = find(session, &contents.header.keys)?;
    let surplus: Vec<&Vec<u8>> = now.difference(&contents.names).collect();
    for batch in surplus.chunks(BATCH) {
        let commands: Vec<Vec<&[u8]>> = batch
            .iter()
            .map(|name| vec![&b"DEL"[..], name.as_slice()])
            .collect();
        session.together(&commands)?;
        done.removed += batch.len() as u64;
    }
    Ok(done)
}

/// What `TYPE` says of a key; `none` where there is none.
///
/// # Errors
/// [`Error`] when it may not be read.
pub(crate) fn type_of(session: &mut Session, key: &[u8]) -> Result<String, Error> {
    let value = session.ask(&[b"TYPE", key])?;
    text_of(&value).ok_or_else(|| session.unexpected("TYPE"))
}
