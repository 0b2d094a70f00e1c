//! The clock that intervals are measured with: it goes on in suspend, and is meaningful within one boot.

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
