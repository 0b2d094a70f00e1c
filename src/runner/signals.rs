//! Signals to the runner: one INT stops after this step, a second detaches, TERM and HUP detach. None kills a step.

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
    int: Signal,
    term: Signal,
    hup: Signal,
    ints: u32,
}

impl Signals {
    /// Takes the signals over.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            int: signal(SignalKind::interrupt())?,
            term: signal(SignalKind::terminate())?,
            hup: signal(SignalKind::hangup())?,
            ints: 0,
        })
    }

    /// Waits for the next wish.
    pub async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.int.recv() => {
                self.ints += 1;
                if self.ints == 1 { Wish::Pause } else { Wish::Detach }
            }
            _ = self.term.recv() => Wish::Detach,
            _ = self.hup.recv() => Wish::Detach,
        }
    }
}
