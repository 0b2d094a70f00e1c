//! Declared keys of one database: taken into a file, and brought back from it.
//!
//! The file: the line [`MAGIC`], a line of JSON ([`Header`]), then for each key its length and name, the instant at which
//! it expires (milliseconds since 1970, -1 for never), and the length and bytes of what `DUMP` returned; lengths are 8
//! bytes, little-endian. Behind the last key stands a length of all ones.
//!
//! Invariants: keys and values are bytes; a time to live is kept as an instant, so that what has expired meanwhile does
//! not come back; nothing but the declared keys is removed; names of keys that a pattern has found stand in no message,
//! because they may hold the identifiers of sessions.

use super::broker::page;
use super::rdb::newest_format;
use super::state::Identity;
use super::{Session, broker, text_of};
use crate::action::Error;
use redis::Value;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

/// The first line.
const MAGIC: &[u8] = b"upledger redis keys 1\n";
/// Keys of one round.
const BATCH: usize = 16;
/// The longest name or value, in bytes: that of Redis.
const LONGEST: u64 = 512 << 20;
/// Instead of the length of a name: the end.
const END: u64 = u64::MAX;
/// How far two instants of the same key may be apart, in milliseconds.
const TOLERANCE: i64 = 1000;

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    /// The database.
    pub(crate) db: u32,
    /// Names and patterns.
    pub(crate) keys: Vec<String>,
    /// The version of the server.
    pub(crate) version: String,
    /// When the keys were taken, in milliseconds since 1970, by its clock.
    pub(crate) taken: i64,
}

/// A key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Record {
    name: Vec<u8>,
    expires: i64,
    value: Vec<u8>,
}

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

/// What happens to the time to live.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Ttl {
    /// A key expires at the instant at which it would have expired.
    #[default]
    Instant,
    /// A key lives on as long as it had to live when it was backed up.
    Remaining,
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

impl Record {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&(self.name.len() as u64).to_le_bytes())?;
        out.write_all(&self.name)?;
        out.write_all(&self.expires.to_le_bytes())?;
        out.write_all(&(self.value.len() as u64).to_le_bytes())?;
        out.write_all(&self.value)
    }

    fn read(from: &mut dyn Read) -> io::Result<Option<Self>> {
        let len = number(from)?;
        if len == END {
            return Ok(None);
        }
        let name = bytes(from, len)?;
        let mut expires = [0; 8];
        from.read_exact(&mut expires)?;
        let len = number(from)?;
        Ok(Some(Self {
            name,
            expires: i64::from_le_bytes(expires),
            value: bytes(from, len)?,
        }))
    }

    /// When it is to expire, where `at` is now; 0 for never, none where its time is over.
    fn due(&self, header: &Header, ttl: Ttl, at: i64) -> Option<i64> {
        let due = match ttl {
            _ if self.expires < 0 => return Some(0),
            Ttl::Instant => self.expires,
            Ttl::Remaining => at + (self.expires - header.taken),
        };
        (due > at).then_some(due)
    }
}

fn number(from: &mut dyn Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn bytes(from: &mut dyn Read, len: u64) -> io::Result<Vec<u8>> {
    if len > LONGEST {
        return Err(io::Error::other(
            "it holds a length that Redis does not allow",
        ));
    }
    let mut bytes = Vec::new();
    let read = from.take(len).read_to_end(&mut bytes)?;
    match read as u64 == len {
        true => Ok(bytes),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// A file of keys, read from its begin.
pub(crate) struct Reader {
    from: BufReader<std::fs::File>,
    path: String,
    ended: bool,
    /// What it holds.
    pub(crate) header: Header,
}

impl Reader {
    /// Opens a file.
    ///
    /// # Errors
    /// [`Error`] when it is no such file.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let shown = path.display().to_string();
        let cannot = |e: &dyn std::error::Error| Error::io(format!("cannot read {shown}"), e);
        let file = std::fs::File::open(path).map_err(|e| cannot(&e))?;
        let mut from = BufReader::new(file);
        let mut magic = vec![0; MAGIC.len()];
        let read = from.read_exact(&mut magic);
        if read.is_err() || magic != MAGIC {
            return Err(Error::new(format!("{shown} is not a file of Redis keys")));
        }
        let mut line = Vec::new();
        let mut byte = [0];
        while byte != *b"\n" {
            from.read_exact(&mut byte).map_err(|e| cannot(&e))?;
            line.extend(byte);
        }
        Ok(Self {
            header: serde_json::from_slice(&line).map_err(|e| cannot(&e))?,
            from,
            path: shown,
            ended: false,
        })
    }

    /// The next key; none at the end.
    fn next(&mut self) -> Result<Option<Record>, Error> {
        if self.ended {
            return Ok(None);
        }
        let record = Record::read(&mut self.from);
        let record = record.map_err(|e| Error::io(format!("cannot read {}", self.path), &e))?;
        self.ended = record.is_none();
        Ok(record)
    }

    /// The next keys, as many as one round takes; none at the end.
    fn batch(&mut self) -> Result<Vec<Record>, Error> {
        let mut records = Vec::new();
        while records.len() < BATCH {
            match self.next()? {
                Some(record) => records.push(record),
                None => break,
            }
        }
        Ok(records)
    }
}

/// What a file holds: its header, and the names of its keys.
pub(crate) struct Contents {
    pub(crate) header: Header,
    pub(crate) names: BTreeSet<Vec<u8>>,
}

/// Reads a whole file.
///
/// # Errors
/// [`Error`] when it is damaged.
pub(crate) fn contents(path: &Path) -> Result<Contents, Error> {
    let mut reader = Reader::open(path)?;
    let mut names = BTreeSet::new();
    while let Some(record) = reader.next()? {
        names.insert(record.name);
    }
    Ok(Contents {
        header: reader.header,
        names,
    })
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
        let batch = reader.batch()?;
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

/// How the declared keys of the chosen database differ from what a file holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Keys that are as in the file.
    pub(crate) same: u64,
    /// Keys that are missing.
    pub(crate) missing: u64,
    /// Keys with another time to live.
    pub(crate) ttl: u64,
    /// Keys with another value.
    pub(crate) value: u64,
    /// Keys that the file does not have.
    pub(crate) surplus: u64,
}

impl Difference {
    /// There is none.
    pub(crate) fn is_none(&self) -> bool {
        self.missing + self.ttl + self.value + self.surplus == 0
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} keys are as in the backup", self.same)?;
        for (count, what) in [
            (self.missing, "are missing"),
            (self.ttl, "have another time to live"),
            (self.value, "have another value"),
            (self.surplus, "are not in the backup"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

/// Compares the declared keys with a file, of which `at` is when they were brought back.
///
/// # Errors
/// [`Error`] when a key may not be read.
pub(crate) fn compare(
    session: &mut Session,
    path: &Path,
    ttl: Ttl,
    at: i64,
) -> Result<Difference, Error> {
    let instants = session.has("PEXPIRETIME")?;
    let mut reader = Reader::open(path)?;
    let (mut seen, mut difference) = (BTreeSet::new(), Difference::default());
    loop {
        let batch = reader.batch()?;
        if batch.is_empty() {
            break;
        }
        let names: Vec<&[u8]> = batch.iter().map(|r| r.name.as_slice()).collect();
        let there = read(session, &names, instants)?;
        let now = session.now()?;
        for record in &batch {
            let found = there.iter().find(|r| r.name == record.name);
            let at = if ttl == Ttl::Remaining { at } else { now };
            match (record.due(&reader.header, ttl, at), found) {
                // It may expire between two looks.
                (None, None) => {}
                (Some(due), None) if due != 0 && due <= now => {}
                (None, Some(_)) if record.expires >= now - TOLERANCE => {}
                (None, Some(_)) => difference.surplus += 1,
                (Some(_), None) => difference.missing += 1,
                (Some(due), Some(found)) => {
                    let expires = found.expires.max(0);
                    if (due == 0) != (expires == 0) || (due - expires).abs() > TOLERANCE {
                        difference.ttl += 1;
                    } else if !same_value(&record.value, &found.value) {
                        difference.value += 1;
                    } else {
                        difference.same += 1;
                    }
                }
            }
        }
        seen.extend(batch.into_iter().map(|r| r.name));
    }
    let now = find(session, &reader.header.keys)?;
    difference.surplus += now.difference(&seen).count() as u64;
    Ok(difference)
}

/// The same value. The members of a large set or hash come in another order from a server that has built it anew, and
/// another format may be of another length.
fn same_value(one: &[u8], other: &[u8]) -> bool {
    let body = |value: &[u8]| value.len().checked_sub(10).map(|at| value[..at].to_vec());
    let (Some(a), Some(b)) = (body(one), body(other)) else {
        return false;
    };
    if a == b || format_of(one) != format_of(other) {
        return a.first() == b.first() || a == b;
    }
    let sorted = |mut bytes: Vec<u8>| {
        bytes.sort_unstable();
        bytes
    };
    a.first() == b.first() && sorted(a) == sorted(b)
}

/// What `TYPE` says of a key; `none` where there is none.
///
/// # Errors
/// [`Error`] when it may not be read.
pub(crate) fn type_of(session: &mut Session, key: &[u8]) -> Result<String, Error> {
    let value = session.ask(&[b"TYPE", key])?;
    text_of(&value).ok_or_else(|| session.unexpected("TYPE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &[u8], expires: i64) -> Record {
        Record {
            name: name.to_vec(),
            expires,
            value: b"\x00\x01x\x0a\x00checksum".to_vec(),
        }
    }

    fn header() -> Header {
        Header {
            db: 5,
            keys: vec!["session:*".into()],
            version: "7.0.15".into(),
            taken: 1_000,
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_not_where_it_is_cut_off() {
        let mut written = Vec::new();
        let one = record(b"\xff\n\x00", 7);
        one.write(&mut written).unwrap();
        for len in 0..written.len() {
            assert!(Record::read(&mut &written[..len]).is_err(), "{len}");
        }
        let read = Record::read(&mut &written[..]).unwrap();
        assert!(read == Some(one));
        let end = END.to_le_bytes();
        assert!(Record::read(&mut &end[..]).unwrap().is_none());
        let long = (LONGEST + 1).to_le_bytes();
        assert!(Record::read(&mut &long[..]).is_err());
    }

    #[test]
    fn what_has_expired_does_not_come_back_and_what_never_expires_stays_so() {
        let due = |expires, ttl, at| record(b"k", expires).due(&header(), ttl, at);
        assert_eq!(due(-1, Ttl::Instant, 5_000), Some(0));
        assert_eq!(due(6_000, Ttl::Instant, 5_000), Some(6_000));
        assert_eq!(due(4_000, Ttl::Instant, 5_000), None);
        assert_eq!(due(4_000, Ttl::Remaining, 5_000), Some(8_000));
        assert_eq!(due(900, Ttl::Remaining, 5_000), None);
    }

    #[test]
    fn values_of_another_order_are_the_same_and_others_are_not() {
        let value = |text: &[u8]| [text, b"\x0a\x00checksum"].concat();
        assert_eq!(format_of(&value(b"\x02ab")), Some(10));
        assert!(same_value(&value(b"\x02ab"), &value(b"\x02ba")));
        assert!(!same_value(&value(b"\x02ab"), &value(b"\x02ac")));
        assert!(!same_value(&value(b"\x02ab"), &value(b"\x01ab")));
    }

    #[test]
    fn a_difference_is_told_in_numbers() {
        let some = Difference {
            same: 3,
            missing: 1,
            ..Difference::default()
        };
        assert_eq!(
            some.to_string(),
            "3 keys are as in the backup, 1 are missing"
        );
    }
}
