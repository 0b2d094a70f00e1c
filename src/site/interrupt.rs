//! Looks of a command that has no loop (`plan`, `decide`): a signal that ends the command ends what its looks started.

use super::Answers;
use crate::system::proc::Status;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use signal_hook::low_level::emulate_default_handler;
use std::io;

/// While it lives, a signal that ends this process kills what its looks have started first. Signals that were ignored
/// stay ignored.
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
                    // It ends this process as the signal would have; where it cannot, the next one is waited for.
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
