//! Words that this program itself records, so that a screen can say them in another language.
//!
//! Invariant: they never change, because old ledgers hold them.

use alloc::format;
use alloc::string::String;

/// A resume that found an attempt open.
pub const LEFT_OPEN: &str = "an attempt was left open";
/// A resume that found none.
pub const GO_ON: &str = "go on";
/// A pause by signal.
pub const INTERRUPTED: &str = "interrupted at the terminal";
/// A rollback without a reason of its own.
pub const OPERATOR: &str = "asked for by the operator";
/// Behind the name of a step: the reason of a rollback that the plan asks for.
pub const FAILED: &str = " failed";
/// A kill for which nobody else was left.
pub const OVERDUE: &str = "its time limit passed, and its supervisor is gone";
/// Of an attempt that is in doubt.
pub const UNSEEN: &str = "it started, and nobody saw how it ended";
/// Of an attempt of a run under a former contract that ended well, and whose evidence nobody looked at.
pub const UNCHECKED: &str =
    "it ended well, and only the program that began the run can check its evidence";
/// Begins the detail of a failure whose checks saw something else.
pub const DISAGREES: &str = "the evidence disagrees: ";
/// Stands between what is wrong with a page and what was seen of it.
pub const SAW: &str = "; saw ";
/// Begins the detail of a failure by a time limit.
pub const TIMED_OUT: &str = "time limit exceeded; ";

/// The signal that asks a process to end.
pub const TERM: i32 = 15;

/// How a signal ended a command.
#[must_use]
pub fn ended_by(signal: i32) -> String {
    match signal {
        TERM => format!("terminated by signal {signal}"),
        _ => format!("killed by signal {signal}"),
    }
}

/// Begins why a command could not be started in its directory.
pub const DIRECTORY: &str = "the working directory ";
/// Begins the note of a run that was started in spite of what its preview found.
pub const FORCED: &str = "--force: ";
/// Stands between the reason of that and what was found.
pub const OVERRIDDEN: &str = "; overridden: ";
