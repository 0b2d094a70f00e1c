//! The two clocks of an event: `ts` for people, `mono` and `boot` for order.
//!
//! Invariant: a time stamp has one spelling, 27 bytes wide, so that text order is time order.
//! Left out: the rule that `mono` never falls (`chain`); a test brings its own [`Clock`] through
//! [`crate::open::Options`].

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use std::io;
use std::sync::OnceLock;
use thiserror::Error;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// One look at the clocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Microseconds since 1970, UTC.
    pub unix_micros: i64,
    /// Microseconds since boot, time asleep included.
    pub mono: u64,
    /// The kernel's boot id.
    pub boot: String,
}

/// Why there is no time.
#[derive(Debug, Error)]
pub enum ClockError {
    /// The boot id cannot be read.
    #[error("cannot read the boot id from {BOOT_ID}")]
    Boot(#[source] io::Error),
    /// The wall clock shows a year that four digits cannot hold.
    #[error("the wall clock is {0} µs from 1970, outside the years 1970 to 9999")]
    Range(i64),
}

/// Where the time comes from.
pub trait Clock: Send {
    /// Reads all clocks at once.
    ///
    /// # Errors
    /// [`ClockError`] if one cannot be read.
    fn now(&self) -> Result<Reading, ClockError>;
}

/// The clocks of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Result<Reading, ClockError> {
        let since_boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(since_boot.tv_sec).unwrap_or(0);
        let micros = u64::try_from(since_boot.tv_nsec / 1000).unwrap_or(0);
        Ok(Reading {
            unix_micros: Utc::now().timestamp_micros(),
            mono: seconds * 1_000_000 + micros,
            boot: boot_id()?,
        })
    }
}

/// The boot id does not change while a process lives.
fn boot_id() -> Result<String, ClockError> {
    static ID: OnceLock<String> = OnceLock::new();
    if let Some(id) = ID.get() {
        return Ok(id.clone());
    }
    let id = std::fs::read_to_string(BOOT_ID)
        .map_err(ClockError::Boot)?
        .trim()
        .to_owned();
    Ok(ID.get_or_init(|| id).clone())
}

/// `YYYY-MM-DDTHH:MM:SS.ffffffZ`.
pub(crate) fn format_ts(unix_micros: i64) -> Result<String, ClockError> {
    DateTime::from_timestamp_micros(unix_micros)
        .map(|time| time.to_rfc3339_opts(SecondsFormat::Micros, true))
        .filter(|text| text.len() == 27 && unix_micros >= 0)
        .ok_or(ClockError::Range(unix_micros))
}

/// Microseconds since 1970 of a time stamp in the one spelling.
pub(crate) fn parse_ts(text: &str) -> Option<i64> {
    let bytes: &[u8; 27] = text.as_bytes().try_into().ok()?;
    for (at, mark) in [
        (4, b'-'),
        (7, b'-'),
        (10, b'T'),
        (13, b':'),
        (16, b':'),
        (19, b'.'),
        (26, b'Z'),
    ] {
        if bytes[at] != mark {
            return None;
        }
    }
    let number = |from: usize, to: usize| {
        bytes[from..to].iter().try_fold(0_u32, |sum, digit| {
            digit
                .is_ascii_digit()
                .then(|| sum * 10 + u32::from(digit - b'0'))
        })
    };
    let year = i32::try_from(number(0, 4)?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, number(5, 7)?, number(8, 10)?)?;
    // `and_hms_micro_opt` would take a leap second as 1,000,000 µs and more; six digits cannot say that.
    let time = date.and_hms_micro_opt(
        number(11, 13)?,
        number(14, 16)?,
        number(17, 19)?,
        number(20, 26)?,
    )?;
    Some(time.and_utc().timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_one_spelling() {
        for micros in [
            0,
            1,
            999_999,
            1_795_433_940_123_456,
            253_402_300_799_999_999,
        ] {
            let text = format_ts(micros).unwrap();
            assert_eq!(text.len(), 27);
            assert_eq!(parse_ts(&text), Some(micros), "{text}");
        }
        assert_eq!(format_ts(0).unwrap(), "1970-01-01T00:00:00.000000Z");
        assert!(format_ts(253_402_300_800_000_000).is_err());
        assert!(format_ts(-1).is_err());
        for text in [
            "2026-02-30T00:00:00.000000Z",
            "2026-12-01T24:00:00.000000Z",
            "2026-12-01T00:00:60.000000Z",
            "2026-12-01T00:00:00.00000Z",
            "2026-12-01 00:00:00.000000Z",
            "2026-12-01T00:00:00.000000z",
            "2026-12-01T00:00:00.+00000Z",
            "２026-12-01T00:00:00.0000Z",
        ] {
            assert_eq!(parse_ts(text), None, "{text}");
        }
    }

    #[test]
    fn this_machine_has_clocks() {
        let first = SystemClock.now().unwrap();
        let second = SystemClock.now().unwrap();
        assert!(second.mono >= first.mono && first.mono > 0);
        assert_eq!(first.boot, second.boot);
        assert_eq!(first.boot.len(), 36);
    }
}
