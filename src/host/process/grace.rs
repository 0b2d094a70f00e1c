//! Time for work in flight, then KILL for all that is left: the part that every end of processes has in common.
//!
//! Invariants: a KILL is on record before it is sent; who forks faster than we look is held still first; which processes
//! are meant is asked anew at every look, and whoever answers ([`Members`]) vouches for them. Whom the gentle signal goes
//! to is the caller's business.

use crate::action::{Error, Work};
use crate::host::process::end::names;
use crate::host::process::identity::{Ident, Stat};
use crate::host::process::note::Note;
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// How long processes are tried to be held still before they are killed: who forks faster than we look would get away.
const FREEZE: Duration = Duration::from_secs(2);
/// Further looks that have to agree that nothing is left.
const CONFIRM: u32 = 3;
/// How long the end is waited for after KILL. Only a process that hangs in the kernel takes longer.
const AFTER_KILL: Duration = Duration::from_secs(10);

/// Whoever knows which processes are meant, from look to look.
pub(crate) trait Members {
    /// Those that live now.
    ///
    /// # Errors
    /// [`Error`] when it cannot be told which they are, or when they must not be ended.
    fn members(&mut self) -> Result<Vec<Ident>, Error>;

    /// Holds all of them still at once, where there is a way to.
    ///
    /// # Errors
    /// [`Error`] when the kernel refuses, or when it cannot be told which they are.
    fn hold(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// Sends a signal to a process, if it still is the one that was seen: whether it was.
///
/// # Errors
/// [`Error`] when the kernel refuses.
pub(crate) fn signal(to: &Ident, signal: Signal) -> Result<bool, Error> {
    to.signal(signal)
        .map_err(|e| Error::io(format!("cannot signal {}", to.shown()), &e))
}

/// Kills all of them, held still first.
fn kill(whom: &mut dyn Members) -> Result<(), Error> {
    whom.hold()?;
    let until = Instant::now() + FREEZE;
    let mut members = whom.members()?;
    while Instant::now() < until {
        for member in &members {
            signal(member, Signal::STOP)?;
        }
        members = whom.members()?;
        if members
            .iter()
            .all(|m| Stat::of(m.pid).is_none_or(|s| s.stopped()))
        {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    for member in &members {
        signal(member, Signal::KILL)?;
    }
    Ok(())
}

/// Waits until none of them lives: for `grace` in peace, then with KILL. `whole` names all of it for people.
///
/// # Errors
/// [`Error`] when a signal is refused, something outlives KILL, or the members cannot be told.
pub(crate) fn expire(
    work: &mut Work<'_, Note>,
    whom: &mut dyn Members,
    whole: &str,
    grace: Duration,
) -> Result<(), Error> {
    let began = Instant::now();
    let mut killing: Option<Instant> = None;
    loop {
        let mut members = whom.members()?;
        // One look is no moment: who forks and ends while it is taken shows itself in another.
        for _ in 0..CONFIRM {
            if !members.is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
            members = whom.members()?;
        }
        let Some(first) = members.first() else {
            let took = began.elapsed().as_secs_f32();
            work.say(&format!("{whole} ended after {took:.1} s"));
            return Ok(());
        };
        match killing {
            None if began.elapsed() >= grace => {
                let late = grace.as_secs_f32();
                let what = format!("not ended within {late} s; KILL to {}", names(&members));
                work.escalate(&what)?;
                killing = Some(Instant::now());
            }
            Some(since) if since.elapsed() >= AFTER_KILL => {
                return Err(Error::new(format!(
                    "{} did not end {} s after KILL",
                    names(&members),
                    AFTER_KILL.as_secs()
                )));
            }
            Some(_) | None => {}
        }
        if killing.is_some() {
            kill(whom)?;
        }
        // The kernel tells of the end of one; which one does not matter, because all are looked at again.
        let pause = PAUSE.min(
            grace
                .saturating_sub(began.elapsed())
                .max(Duration::from_millis(1)),
        );
        let waited = first.wait(pause);
        waited.map_err(|e| Error::io(format!("cannot wait for {}", first.shown()), &e))?;
    }
}
