//! The process of a typed action: `upledger __act`, started by the supervisor of the attempt. Its one input is a frame
//! on standard input; what it prints is the step's output, what it records goes into the spool; its exit code is 0 or 1.

use super::{Context, Direction, Error, RawPast, log_line};
use crate::actions::Do;
use crate::host::service::{Peer, known_peers, take_over_peers};
use crate::system::proc;
use serde::{Deserialize, Serialize};
use std::io::Write;

/// All that the process is told.
#[derive(Serialize, Deserialize)]
pub struct ActInput {
    /// The action.
    pub action: Do,
    /// Forwards or backwards.
    pub direction: Direction,
    /// What the record holds of the step.
    pub past: RawPast,
    /// Where it is.
    pub context: Context,
    /// What this process knows of managers of services.
    peers: Vec<Peer>,
}

impl ActInput {
    /// All of it.
    #[must_use]
    pub fn new(action: Do, direction: Direction, past: RawPast, context: Context) -> Self {
        Self {
            action,
            direction,
            past,
            context,
            peers: known_peers(),
        }
    }
}

/// Reads the frame, acts, and returns the exit code.
pub fn main() -> u8 {
    let mut log = std::io::stdout().lock();
    match act(&mut log) {
        Ok(()) => 0,
        Err(e) => {
            // The reason comes last, behind what it was seen by: the last line is what the record calls the failure.
            let text = e.to_string();
            let (reason, seen) = text.split_once('\n').unwrap_or((&text, ""));
            let seen = if seen.is_empty() {
                String::new()
            } else {
                format!("{seen}\n")
            };
            // Where the supervisor is gone, the exit code still tells.
            log_line(&mut log, &format!("{seen}{reason}"));
            1
        }
    }
}

fn act(log: &mut dyn Write) -> Result<(), Error> {
    // The frame holds the secrets that the step names.
    proc::forbid_core_dump().map_err(|e| Error::io("cannot forbid core dumps", &e))?;
    let mut frame: ActInput = serde_json::from_reader(std::io::stdin().lock())
        .map_err(|e| Error::io("cannot read what to do", &e))?;
    take_over_peers(std::mem::take(&mut frame.peers));
    let (context, past) = (&frame.context, &frame.past);
    let kind = frame.action.kind_of();
    match frame.direction {
        Direction::Do => kind.perform(context, past, log),
        Direction::Undo => kind.undo(context, past, log),
    }
}
