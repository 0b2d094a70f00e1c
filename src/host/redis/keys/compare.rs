//! Whether declared keys are as a file holds them.

use super::file::{Reader, Ttl};
use super::{BATCH, find, format_of, read};
use crate::action::Error;
use crate::host::redis::Session;
use std::collections::BTreeSet;
use std::path::Path;

/// How far two instants of the same key may be apart, in milliseconds.
const TOLERANCE: i64 = 1000;

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
        let batch = reader.batch(BATCH)?;
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

#[cfg(test)]
mod tests {
    use super::*;

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
