//! Checks run by a command without a loop (`plan`, `decide`): a signal that ends the command also kills the processes of
//! its checks.

use super::Answers;
use crate::system::proc::Status;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use signal_hook::low_level::emulate_default_handler;
use std::io;

/// While this guard exists, a signal that ends this process first kills the processes of its checks. Ignored signals stay
/// ignored.
pub struct Interruptible(Handle);

impl Interruptible {
    /// From now on.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn new() -> io::Result<Self> {
        let mut signals = Signals::new(heard(&[SIGINT, SIGTERM, SIGHUP])?)?;
        let handle = signals.handle();
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                for signal in &mut signals {
                    Answers::give_up_all();
                    // Ends this process as the signal would have; if that fails, wait for the next signal.
                    let _ = emulate_default_handler(signal);
                }
            })?;
        Ok(Self(handle))
    }
}

impl Drop for Interruptible {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Those of these signals that this process does not ignore.
///
/// # Errors
/// When the kernel does not tell.
pub(crate) fn heard(signals: &[i32]) -> io::Result<Vec<i32>> {
    let ignored = Status::own()?.ignored;
    let hears = |signal: &i32| {
        let bit = u32::try_from(signal - 1).unwrap_or(u32::MAX);
        ignored.checked_shr(bit).unwrap_or(0) & 1 == 0
    };
    Ok(signals.iter().copied().filter(hears).collect())
}
