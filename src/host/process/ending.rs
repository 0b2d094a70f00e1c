//! The end of processes: a gentle signal, time for work in flight, then KILL for all that is left.
//!
//! Every stop ends here. Which processes are meant is known in two ways: by the session of a first process
//! ([`super::session`]), or by what was seen below first processes ([`super::tree`]).
//!
//! Invariants: that a process is told to end is noted before it is; each signal is said, and a KILL is on record before
//! it is sent; those that outlive the first ones are told as well, because nobody else would tell them; the time for work
//! in flight is one for all that is ended together, counted from the first signal ([`Grace`]); who forks faster than we
//! look is held still first; which processes are meant is asked anew at every look, and whoever answers ([`Members`])
//! vouches for them.

use crate::action::{Error, Work};
use crate::clock;
use crate::host::process::identity::{Ident, Stat};
use crate::host::process::note::{Note, is_terminating, terminating_since, was_signalled};
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// How long processes are tried to be held still before they are killed: who forks faster than we look would get away.
const FREEZE: Duration = Duration::from_secs(2);
/// Further looks that have to agree that nothing is left.
const CONFIRM: u32 = 3;
/// How long those have that nobody has told before the time was over: what they were about to do they may still end.
const LAST_WORD: Duration = Duration::from_secs(2);
/// How long the end is waited for after KILL. Only a process that hangs in the kernel takes longer.
const AFTER_KILL: Duration = Duration::from_secs(10);

/// The time for work in flight: one clock for all that is ended together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grace {
    began: Instant,
    length: Duration,
}

impl From<Duration> for Grace {
    /// It begins now.
    fn from(length: Duration) -> Self {
        Self {
            began: Instant::now(),
            length,
        }
    }
}

impl Grace {
    /// What of it is left.
    pub(crate) fn left(&self) -> Duration {
        self.length.saturating_sub(self.began.elapsed())
    }

    /// The same, begun when the first of these processes got the signal that ends it, in whichever attempt that was.
    pub(crate) fn since<'n>(
        mut self,
        notes: impl Iterator<Item = &'n Note> + Clone,
        of: &[&Ident],
    ) -> Self {
        let living = of.iter().filter(|i| i.alive());
        let told = living.filter_map(|i| terminating_since(notes.clone(), i));
        if let Some(first) = told.min() {
            let now = clock::boottime_us() / 1000;
            let ago = Duration::from_millis(now.saturating_sub(first));
            let then = Instant::now().checked_sub(ago);
            self.began = then.map_or(self.began, |then| then.min(self.began));
        }
        self
    }

    fn is_over(&self) -> bool {
        self.left().is_zero()
    }
}

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

/// Processes for people.
pub(crate) fn names(processes: &[Ident]) -> String {
    let names: Vec<String> = processes.iter().map(Ident::shown).collect();
    names.join(", ")
}

/// The name of a signal for people.
pub(crate) fn name(signal: Signal) -> &'static str {
    match signal {
        Signal::QUIT => "QUIT",
        Signal::HUP => "HUP",
        Signal::TERM => "TERM",
        Signal::INT => "INT",
        Signal::USR1 => "USR1",
        Signal::USR2 => "USR2",
        Signal::WINCH => "WINCH",
        _ => "a signal",
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

/// Ends them: `gentle` to the first ones, each with its name for people, then, when `grace` is over, KILL to whatever is
/// left. Nobody is killed who was not told: whoever has heard nothing by then is told, and has a moment. An empty `gentle`
/// waits only: somebody else has told them. `whole` names all of it.
///
/// # Errors
/// [`Error`] when a signal is refused, something outlives KILL, or the members cannot be told.
pub(crate) fn end(
    work: &mut Work<'_, Note>,
    whom: &mut dyn Members,
    first: &[(&Ident, String)],
    gentle: Option<Signal>,
    whole: &str,
    grace: Grace,
) -> Result<(), Error> {
    // Seen before the signal: who lives on afterwards is known then.
    if whom.members()?.is_empty() {
        return Ok(());
    }
    let told: Vec<&Ident> = first.iter().map(|(process, _)| *process).collect();
    let grace = grace.since(work.all_noted(), &told);
    if let Some(gentle) = gentle {
        for (process, shown) in first {
            tell(work, process, shown, gentle)?;
        }
        tell_the_rest(work, whom, first, gentle, grace)?;
    }
    let mut left = wait(work, whom, whole, grace)?;
    if let Some(gentle) = gentle
        && !grace.length.is_zero()
    {
        left = last_word(work, whom, left, gentle, whole, grace)?;
    }
    if left.is_empty() {
        return Ok(());
    }
    let late = grace.length.as_secs_f32();
    work.escalate(&format!(
        "not ended within {late} s; KILL to {}",
        names(&left)
    ))?;
    kill(work, whom, whole, grace)
}

/// Tells the first ones to end, each with its name for people, and waits: who is left when `grace` is over. Nobody is killed.
///
/// # Errors
/// [`Error`] when a signal is refused, or the members cannot be told.
pub(crate) fn ask(
    work: &mut Work<'_, Note>,
    whom: &mut dyn Members,
    first: &[(&Ident, String)],
    gentle: Signal,
    whole: &str,
    grace: Grace,
) -> Result<Vec<Ident>, Error> {
    let told: Vec<&Ident> = first.iter().map(|(process, _)| *process).collect();
    let grace = grace.since(work.all_noted(), &told);
    for (process, shown) in first {
        tell(work, process, shown, gentle)?;
    }
    wait(work, whom, whole, grace)
}

/// Those that were told by nobody are told now, and have a moment: who is left then.
fn last_word(
    work: &mut Work<'_, Note>,
    whom: &mut dyn Members,
    left: Vec<Ident>,
    gentle: Signal,
    whole: &str,
    grace: Grace,
) -> Result<Vec<Ident>, Error> {
    let told = |work: &Work<'_, Note>, i: &Ident| was_signalled(work.all_noted(), i);
    let untold: Vec<Ident> = left.iter().filter(|i| !told(work, i)).cloned().collect();
    if untold.is_empty() {
        return Ok(left);
    }
    for process in &untold {
        tell(work, process, &process.shown(), gentle)?;
    }
    wait(work, whom, whole, LAST_WORD.min(grace.length).into())
}

/// Tells a process to end, once: a second signal may cut off what the first one lets it finish.
fn tell(
    work: &mut Work<'_, Note>,
    process: &Ident,
    shown: &str,
    gentle: Signal,
) -> Result<(), Error> {
    if !process.alive() {
        return Ok(());
    }
    if is_terminating(work.all_noted(), process) {
        work.log_line(&format!("{shown} was already signalled to stop"));
        return Ok(());
    }
    if !was_signalled(work.all_noted(), process) {
        work.note(Note::Signalled {
            process: process.clone(),
        })?;
    }
    if signal(process, gentle)? {
        work.log_line(&format!("{} to {shown}", name(gentle)));
        work.note(Note::Terminating {
            process: process.clone(),
            at: Some(clock::boottime_us() / 1000),
        })?;
        // A stopped process hears nothing else.
        signal(process, Signal::CONT)?;
    }
    Ok(())
}

/// Waits until none of the first ones lives, and tells those that outlive them: nobody else would. The pause lets those
/// end that their parent has told.
fn tell_the_rest(
    work: &mut Work<'_, Note>,
    whom: &mut dyn Members,
    first: &[(&Ident, String)],
    gentle: Signal,
    grace: Grace,
) -> Result<(), Error> {
    while let Some((process, _)) = first.iter().find(|(process, _)| process.alive()) {
        if grace.is_over() {
            return Ok(());
        }
        pause(process, PAUSE.min(grace.left()))?;
    }
    std::thread::sleep(PAUSE.min(grace.left()));
    for process in whom.members()? {
        tell(work, &process, &process.shown(), gentle)?;
    }
    Ok(())
}

/// Waits until none of them lives or the time is over: who is left then.
///
/// # Errors
/// [`Error`] when the members cannot be told.
pub(crate) fn wait(
    work: &mut Work<'_, Note>,
    whom: &mut dyn Members,
    whole: &str,
    grace: Grace,
) -> Result<Vec<Ident>, Error> {
    loop {
        let members = living(whom)?;
        let Some(first) = members.first() else {
            ended(work, whole, grace);
            return Ok(members);
        };
        if grace.is_over() {
            return Ok(members);
        }
        pause(first, PAUSE.min(grace.left()))?;
    }
}

/// Kills all of them, which is on record already, and waits until none lives.
///
/// # Errors
/// [`Error`] when a signal is refused, something outlives KILL, or the members cannot be told.
pub(crate) fn kill(
    work: &mut Work<'_, Note>,
    whom: &mut dyn Members,
    whole: &str,
    grace: Grace,
) -> Result<(), Error> {
    let since = Instant::now();
    loop {
        kill_once(whom)?;
        let members = living(whom)?;
        let Some(first) = members.first() else {
            ended(work, whole, grace);
            return Ok(());
        };
        if since.elapsed() >= AFTER_KILL {
            return Err(Error::new(format!(
                "{} did not end {} s after KILL",
                names(&members),
                AFTER_KILL.as_secs()
            )));
        }
        pause(first, PAUSE)?;
    }
}

/// All of them get KILL, held still first.
fn kill_once(whom: &mut dyn Members) -> Result<(), Error> {
    whom.hold()?;
    let until = Instant::now() + FREEZE;
    let mut members = whom.members()?;
    while Instant::now() < until {
        for member in &members {
            signal(member, Signal::STOP)?;
        }
        members = whom.members()?;
        let still = |m: &Ident| Stat::of(m.pid).is_none_or(|s| s.stopped());
        if members.iter().all(still) {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    for member in &members {
        signal(member, Signal::KILL)?;
    }
    Ok(())
}

/// Those that live. One look is no moment: who forks and ends while it is taken shows itself in another.
fn living(whom: &mut dyn Members) -> Result<Vec<Ident>, Error> {
    let mut members = whom.members()?;
    for _ in 0..CONFIRM {
        if !members.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
        members = whom.members()?;
    }
    Ok(members)
}

fn ended(work: &mut Work<'_, Note>, whole: &str, grace: Grace) {
    let took = grace.began.elapsed().as_secs_f32();
    work.log_line(&format!("{whole} ended after {took:.1} s"));
}

/// The kernel tells of the end of one; which one does not matter, because all are looked at again.
fn pause(first: &Ident, limit: Duration) -> Result<(), Error> {
    let waited = first.wait(limit.max(Duration::from_millis(1)));
    waited.map_err(|e| Error::io(format!("cannot wait for {}", first.shown()), &e))?;
    Ok(())
}
