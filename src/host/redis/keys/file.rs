//! The file of declared keys.
//!
//! The line [`MAGIC`], a line of JSON ([`Header`]), then for each key its length and name, the instant at which it expires
//! (milliseconds since 1970, -1 for never), and the length and bytes of what `DUMP` returned; lengths are 8 bytes,
//! little-endian. Behind the last key stands a length of all ones.

use crate::action::Error;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

/// The first line.
pub(super) const MAGIC: &[u8] = b"upledger redis keys 1\n";

/// The longest name or value, in bytes: that of Redis.
const LONGEST: u64 = 512 << 20;

/// Instead of the length of a name: the end.
pub(super) const END: u64 = u64::MAX;

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
    pub(super) name: Vec<u8>,
    pub(super) expires: i64,
    pub(super) value: Vec<u8>,
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

impl Record {
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
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
    pub(super) fn due(&self, header: &Header, ttl: Ttl, at: i64) -> Option<i64> {
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
    pub(super) fn batch(&mut self, most: usize) -> Result<Vec<Record>, Error> {
        let mut records = Vec::new();
        while records.len() < most {
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
}
