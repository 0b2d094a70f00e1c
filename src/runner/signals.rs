//! Signals to the runner: one INT stops after this step, a second detaches, TERM and HUP detach. None kills a step.
//!
//! A signal that was ignored when this process started stays ignored: that is how `nohup` and a shell that puts a job
//! into the background say that it does not concern us.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What was asked for by signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Stop before the next step.
    Pause,
    /// Leave; the running step goes on.
    Detach,
}

/// The runner's signals.
#[derive(Debug)]
pub struct Signals {
    int: Option<Signal>,
    term: Option<Signal>,
    hup: Option<Signal>,
    ints: u32,
}

impl Signals {
    /// Takes those signals over that are not ignored.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn new() -> io::Result<Self> {
        let ignored = ignored_now()?;
        let take = |kind: SignalKind| -> io::Result<Option<Signal>> {
            let bit = u32::try_from(kind.as_raw_value() - 1).unwrap_or(u32::MAX);
            if ignored.checked_shr(bit).unwrap_or(0) & 1 == 1 {
                return Ok(None);
            }
            signal(kind).map(Some)
        };
        Ok(Self {
            int: take(SignalKind::interrupt())?,
            term: take(SignalKind::terminate())?,
            hup: take(SignalKind::hangup())?,
            ints: 0,
        })
    }

    /// Waits for the next wish.
    pub async fn next(&mut self) -> Wish {
        tokio::select! {
            () = come(&mut self.int) => {
                self.ints += 1;
                if self.ints == 1 { Wish::Pause } else { Wish::Detach }
            }
            () = come(&mut self.term) => Wish::Detach,
            () = come(&mut self.hup) => Wish::Detach,
        }
    }
}

async fn come(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Those of these signals that this process does not ignore.
///
/// # Errors
/// When the kernel does not tell.
pub(crate) fn heard(signals: &[i32]) -> io::Result<Vec<i32>> {
    let ignored = ignored_now()?;
    let hears = |signal: &i32| {
        let bit = u32::try_from(signal - 1).unwrap_or(u32::MAX);
        ignored.checked_shr(bit).unwrap_or(0) & 1 == 0
    };
    Ok(signals.iter().copied().filter(hears).collect())
}

fn ignored_now() -> io::Result<u64> {
    Ok(ignored(&std::fs::read_to_string("/proc/self/status")?))
}

/// The signals that a process ignores, one bit each, from the kernel's words about it.
fn ignored(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_what_is_ignored() {
        let status = "Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001003\n";
        assert_eq!(ignored(status), 0x1003);
        assert_eq!(ignored(""), 0);
    }
}
