//! The clocks. Intervals are measured with the boot clock, which goes on in suspend and is meaningful within one boot; wall
//! time is for people.

use std::time::{SystemTime, UNIX_EPOCH};
use upledger_replay::decide::Now;
use upledger_replay::state::When;

/// The present.
#[must_use]
pub fn now() -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    let wall = wall.map_or(0, |past| {
        u64::try_from(past.as_micros()).unwrap_or(u64::MAX)
    });
    Now {
        wall,
        mono: boottime_us(),
        boot: boot_id(),
    }
}

/// The time of an event. A wall time that cannot be read is 0.
#[must_use]
pub fn then(when: &When) -> Now {
    let wall = chrono::DateTime::parse_from_rfc3339(&when.ts);
    let wall = wall.map_or(0, |t| u64::try_from(t.timestamp_micros()).unwrap_or(0));
    Now {
        wall,
        mono: when.mono,
        boot: when.boot.clone(),
    }
}

/// Boot clock in µs.
#[must_use]
pub fn boottime_us() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(t.tv_sec).unwrap_or(0);
    seconds * 1_000_000 + u64::try_from(t.tv_nsec).unwrap_or(0) / 1000
}

/// The kernel's id of this boot.
#[must_use]
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| "unknown".into(), |s| s.trim().into())
}
