//! Signals to the runner: one INT stops after this step, a second detaches, TERM and HUP detach. None kills a step.
//!
//! A signal that was ignored when this process started stays ignored, as `nohup` and background jobs of a shell require.

use crate::site::heard;
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Stop before the next step.
    Pause,
    /// Detach; the running step continues.
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
        let take = |kind: SignalKind| -> io::Result<Option<Signal>> {
            match heard(&[kind.as_raw_value()])?.is_empty() {
                true => Ok(None),
                false => signal(kind).map(Some),
            }
        };
        Ok(Self {
            int: take(SignalKind::interrupt())?,
            term: take(SignalKind::terminate())?,
            hup: take(SignalKind::hangup())?,
            ints: 0,
        })
    }

    /// Waits for the next request.
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
