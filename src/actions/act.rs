//! The process of a typed action: `upledger __act`, started by the supervisor of the attempt. Its one input is a frame
//! on standard input; what it prints is the step's output; its exit code is 0 or 1.

use super::{Context, Do, Trouble};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::Write;
use upledger_replay::event::Way;

/// All that the process is told.
#[derive(Serialize, Deserialize)]
pub struct Frame {
    /// The action.
    pub action: Do,
    /// Forwards or backwards.
    pub way: Way,
    /// What was observed before anything changed.
    pub observed: Value,
    /// Where it is.
    pub context: Context,
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
            // The supervisor may be gone; the exit code still tells.
            let _ = writeln!(log, "{seen}{reason}");
            1
        }
    }
}

fn act(log: &mut dyn Write) -> Result<(), Trouble> {
    let frame: Frame = serde_json::from_reader(std::io::stdin().lock())
        .map_err(|e| Trouble::io("cannot read what to do", &e))?;
    let action = frame.action.action();
    match frame.way {
        Way::Do => action.perform(&frame.context, &frame.observed, log),
        Way::Undo => action.undo(&frame.context, &frame.observed, log),
    }
}
