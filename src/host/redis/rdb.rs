//! RDB files: their header, their end, their own checksum, and what `redis-check-rdb` says of them.
//!
//! The format: `REDIS` and four digits of its version, opcodes of which those before the first database describe the
//! file, and behind the last one (255) a CRC-64 of all before it, which is zero where the server writes none
//! (`rdbchecksum no`). Values are not read here.

use crate::action::{Context, Error};
use crate::attempt::find_program;
use crate::encoding;
use crate::host::exec::capture;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

/// As much of the begin as holds what describes the file.
const HEAD: usize = 4096;
/// The opcode of a field that describes the file.
const AUX: u8 = 0xfa;
/// The opcode of the end.
const END: u8 = 0xff;
/// The first version with a checksum.
const CHECKED: u32 = 5;

/// What an RDB file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rdb {
    /// The version of its format.
    pub(crate) format: u32,
    /// The version of the server that wrote it.
    pub(crate) server: Option<String>,
    /// When its save began, in seconds since 1970.
    pub(crate) began: Option<i64>,
    /// It holds a checksum, which is right.
    pub(crate) checked: bool,
}

/// What `redis-check-rdb` says of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// All keys in it.
    pub(crate) keys: u64,
    /// Those with a time to live.
    pub(crate) expires: u64,
    /// Those whose time is over.
    pub(crate) expired: u64,
}

/// The table of CRC-64/Jones, reflected.
const fn table() -> [u64; 256] {
    const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut crc = at as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ POLYNOMIAL
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
}

static TABLE: [u64; 256] = table();

/// The checksum that Redis writes behind its data.
pub(crate) fn crc(mut crc: u64, bytes: &[u8]) -> u64 {
    for byte in bytes {
        let [low, ..] = crc.to_le_bytes();
        crc = TABLE[usize::from(low ^ byte)] ^ (crc >> 8);
    }
    crc
}

/// Reads fields of a header.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// A string, or a number that is stored as one.
    fn string(&mut self) -> Option<String> {
        let first = self.byte()?;
        let number = |bytes: &[u8]| {
            let mut value = [if bytes.last()? & 0x80 == 0 { 0 } else { 0xff }; 8];
            value[..bytes.len()].copy_from_slice(bytes);
            Some(i64::from_le_bytes(value).to_string())
        };
        let len = match first {
            0xc0 => return number(self.take(1)?),
            0xc1 => return number(self.take(2)?),
            0xc2 => return number(self.take(4)?),
            0x00..=0x3f => usize::from(first),
            0x40..=0x7f => usize::from(first & 0x3f) << 8 | usize::from(self.byte()?),
            _ => return None,
        };
        Some(encoding::escaped(self.take(len)?))
    }
}

/// The version of the format; none when it is no RDB file.
fn format(head: &[u8]) -> Option<u32> {
    let digits = head.strip_prefix(b"REDIS")?.get(..4)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn described(head: &[u8]) -> BTreeMap<String, String> {
    let mut fields = Fields(head.get(9..).unwrap_or_default());
    let mut found = BTreeMap::new();
    while fields.byte() == Some(AUX) {
        let pair = fields.string().zip(fields.string());
        let Some((name, value)) = pair else { break };
        found.insert(name, value);
    }
    found
}

impl Rdb {
    /// Reads a whole file.
    ///
    /// # Errors
    /// [`Error`] when it is no RDB file, ends too early, or is damaged.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let cannot = |e: &std::io::Error| Error::io(format!("cannot read {}", path.display()), e);
        let mut file = File::open(path).map_err(|e| cannot(&e))?;
        let mut reader = Reader::default();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => reader.feed(&buffer[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(cannot(&e)),
            }
        }
        reader.end().map_err(|why| {
            let what = format!("{} {why}", path.display());
            Error::new(what).remedy("use another backup")
        })
    }
}

/// Reads a file piece by piece: its begin, its last nine bytes, and the checksum of all before the last eight.
#[derive(Default)]
struct Reader {
    head: Vec<u8>,
    tail: Vec<u8>,
    crc: u64,
    len: u64,
}

impl Reader {
    fn feed(&mut self, bytes: &[u8]) {
        let room = HEAD.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        self.len += bytes.len() as u64;
        self.tail.extend_from_slice(bytes);
        let passed = self.tail.len().saturating_sub(9);
        self.crc = crc(self.crc, &self.tail[..passed]);
        self.tail.drain(..passed);
    }

    fn end(self) -> Result<Rdb, String> {
        let format = format(&self.head).ok_or("is not an RDB file")?;
        let aux = described(&self.head);
        let mut rdb = Rdb {
            format,
            server: aux
                .get("redis-ver")
                .or_else(|| aux.get("valkey-ver"))
                .cloned(),
            began: aux.get("ctime").and_then(|t| t.parse().ok()),
            checked: false,
        };
        let cut = || {
            format!(
                "is cut off: it ends after {} bytes, without its end mark",
                self.len
            )
        };
        if format < CHECKED {
            return match self.tail.last() {
                Some(&END) => Ok(rdb),
                _ => Err(cut()),
            };
        }
        let (last, sum) = self.tail.split_first().ok_or_else(cut)?;
        let sum: [u8; 8] = sum.try_into().map_err(|_| cut())?;
        if *last != END {
            return Err(cut());
        }
        let (stored, found) = (u64::from_le_bytes(sum), crc(self.crc, &[*last]));
        if stored != 0 && stored != found {
            return Err(format!(
                "is damaged: its checksum is {stored:016x}, and its content has {found:016x}"
            ));
        }
        rdb.checked = stored != 0;
        Ok(rdb)
    }
}

/// What `redis-check-rdb` of this machine says; none where there is none.
///
/// # Errors
/// [`Error`] when it finds a fault, with its own words.
pub(crate) fn check(cx: &Context, path: &Path, limit: Duration) -> Result<Option<Report>, Error> {
    let search = cx.env.iter().rev().find(|(k, _)| k == "PATH");
    let name = "redis-check-rdb";
    if find_program(name, search.map(|(_, v)| v.as_str()), Path::new("/")).is_err() {
        return Ok(None);
    }
    let argv = [name.to_owned(), path.display().to_string()];
    let ran = capture(cx, &argv, limit)?;
    // Its exit code is 0 for a file of which it has checked nothing.
    report(&ran.text(), ran.code).map(Some).map_err(|why| {
        let what = format!("{name} does not accept {}: {why}", path.display());
        Error::new(what).remedy("use a server of the version that wrote it, or another backup")
    })
}

fn report(text: &str, code: Option<i32>) -> Result<Report, String> {
    let number = |what: &str| {
        let line = text.lines().find(|line| line.ends_with(what))?;
        let rest = line.strip_suffix(what)?.trim_end();
        rest.rsplit(' ').next()?.parse::<u64>().ok()
    };
    let why = || {
        let telling = |line: &&str| {
            ["Can't", "rror", "rong", "nexpected", "mismatch"]
                .iter()
                .any(|w| line.contains(w))
        };
        let first = text.lines().find(telling);
        let last = || text.lines().rfind(|line| !line.trim().is_empty());
        first.or_else(last).unwrap_or("it says nothing").to_owned()
    };
    if code != Some(0) || !text.contains("RDB looks OK") {
        return Err(why());
    }
    let keys = number("keys read").ok_or_else(why)?;
    Ok(Report {
        keys,
        expires: number("expires").unwrap_or_default(),
        expired: number("already expired").unwrap_or_default(),
    })
}

/// The newest format that a server of that version loads; none of a version that is not known.
pub(crate) fn newest_format(version: &str) -> Option<u32> {
    let mut parts = version.split('.').map(|n| n.parse::<u32>().unwrap_or(0));
    let (major, minor) = (parts.next()?, parts.next().unwrap_or(0));
    Some(match (major, minor) {
        (0..=2, _) => 6,
        (3, 0 | 1) => 6,
        (3, _) => 7,
        (4, _) => 8,
        (5 | 6, _) => 9,
        (7, 0 | 1) => 10,
        (7, 2 | 3) => 11,
        (7, _) => 12,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file as Redis 7.0.15 wrote it: one key `a` with the value 1.
    fn file(checksum: bool) -> Vec<u8> {
        let mut bytes = b"REDIS0010\xfa\x09redis-ver\x067.0.15\xfa\x0aredis-bits\xc0\x40\xfa\x05ctime\xc2\xf1\x51\x0d\x6b\
            \xfa\x08used-mem\xc2p\xf8\x10\x00\xfa\x08aof-base\xc0\x00\xfe\x00\xfb\x01\x00\x00\x01a\xc0\x01\xff"
            .to_vec();
        let sum = if checksum { crc(0, &bytes) } else { 0 };
        bytes.extend(sum.to_le_bytes());
        bytes
    }

    fn read(bytes: &[u8], piece: usize) -> Result<Rdb, String> {
        let mut reader = Reader::default();
        bytes.chunks(piece).for_each(|piece| reader.feed(piece));
        reader.end()
    }

    #[test]
    fn the_checksum_is_the_one_of_redis() {
        assert_eq!(crc(0, b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        // As the server wrote it.
        assert_eq!(file(true)[91..], *b"\x3f\xf8\xfa\xdd\x0a\x4c\xe0\xa5");
    }

    #[test]
    fn a_file_says_what_it_is() {
        for piece in [1, 7, 9, 1000] {
            let rdb = read(&file(true), piece).unwrap();
            assert_eq!((rdb.format, rdb.checked), (10, true));
            assert_eq!(rdb.server.as_deref(), Some("7.0.15"));
            assert_eq!(rdb.began, Some(1_796_035_057));
        }
        assert!(!read(&file(false), 64).unwrap().checked);
    }

    #[test]
    fn a_file_that_is_cut_off_or_damaged_is_refused() {
        let whole = file(true);
        for len in 0..whole.len() {
            assert!(read(&whole[..len], 64).is_err(), "{len}");
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 4;
            assert!(read(&damaged, 64).is_err(), "{at}");
        }
    }

    #[test]
    fn the_words_of_the_checker_count_and_not_its_exit_code() {
        let good = "[offset 82] Selecting DB ID 0\n[offset 99] Checksum OK\n[offset 99] \\o/ RDB looks OK! \\o/\n\
            [info] 5 keys read\n[info] 5 expires\n[info] 4 already expired\n";
        let report_of = report(good, Some(0)).unwrap();
        assert_eq!((report_of.keys, report_of.expired), (5, 4));
        assert!(report(good, Some(1)).is_err());
        let newer = "[offset 0] Checking RDB file x\n--- RDB ERROR DETECTED ---\n[offset 9] Can't handle RDB format version 10\n";
        assert!(report(newer, Some(1)).unwrap_err().contains("version 10"));
        assert!(report("", Some(0)).is_err());
    }

    #[test]
    fn versions_have_formats() {
        assert_eq!(newest_format("6.0.16"), Some(9));
        assert_eq!(newest_format("7.0.15"), Some(10));
        assert_eq!(newest_format("7.2.4"), Some(11));
        assert_eq!(newest_format("99.0"), None);
    }
}
