//! Which process is meant, and signals that reach no other.
//!
//! Invariants: a process is known by its number, its start time and the boot, never by its number alone, because
//! numbers are reused; a signal goes through a handle that was checked after it was opened, where the kernel has
//! handles (5.3 and later).
//!
//! Left out: processes of other process-number namespaces, which look like strangers here.

use crate::clock::boot_id;
use crate::system::proc;
use crate::system::signals::{self, Handle};
use crate::text::actions as phrases;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

pub(crate) use crate::system::proc::Stat;

/// One process among all that ever ran on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ident {
    /// Its number.
    pub(crate) pid: i32,
    /// When it started, in clock ticks since the boot: field 22 of `/proc/PID/stat`.
    pub(crate) starttime: u64,
    /// The boot in which it runs.
    pub(crate) boot: String,
}

/// How many numbers below the last one that was given are looked at for those who come and go.
const NEWEST: i32 = 32;

impl Ident {
    /// The process of that number as it is now.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let stat = Stat::of(pid).filter(Stat::lives)?;
        Some(Self {
            pid,
            starttime: stat.starttime,
            boot: boot_id(),
        })
    }

    /// It lives.
    pub(crate) fn alive(&self) -> bool {
        self.boot == boot_id()
            && Stat::of(self.pid).is_some_and(|s| s.lives() && s.starttime == self.starttime)
    }

    /// Its number is still its own: it lives, or is dead and nobody has waited for it.
    pub(crate) fn listed(&self) -> bool {
        self.boot == boot_id() && Stat::of(self.pid).is_some_and(|s| s.starttime == self.starttime)
    }

    /// Sends a signal to exactly this process; `false` when it is gone.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<bool> {
        Handle::open(self.pid, || self.alive())?.signal(signal)
    }

    /// Waits for its end, at most that long; whether it has ended.
    pub(crate) fn wait(&self, limit: Duration) -> io::Result<bool> {
        Handle::open(self.pid, || self.alive())?.wait(limit)?;
        Ok(!self.alive())
    }

    /// Its name and number, for people; where it has ended the number alone, which another process may have by now.
    pub(crate) fn shown(&self) -> String {
        match self.alive() {
            true => shown(self.pid),
            false => phrases::process(self.pid),
        }
    }
}

/// A process by name and number, for people.
pub(crate) fn shown(pid: i32) -> String {
    match proc::name(pid) {
        Some(name) => phrases::process_named(pid, name),
        None => phrases::process(pid),
    }
}

/// All processes that live now.
pub(crate) fn all() -> BTreeMap<i32, Stat> {
    proc::every().filter(|(_, s)| s.lives()).collect()
}

/// The living processes of the session that a process leads or led, the leader included, in one look. One look is no
/// moment: who forks and ends while it is taken may be missed; [`super::session::left`] looks until that is excluded.
pub(crate) fn session(leader: &Ident) -> Vec<Ident> {
    listed(leader).0
}

/// The members of that session in one look: those that live, and those that are dead and were not waited for yet.
pub(crate) fn listed(leader: &Ident) -> (Vec<Ident>, Vec<Ident>) {
    // A session's number is not given to a new process while the session has members. So another process of that
    // number means that the session is gone.
    if leader.boot != boot_id() || taken_over(leader) {
        return (Vec::new(), Vec::new());
    }
    let (mut living, mut dead) = (Vec::new(), Vec::new());
    for (pid, s) in proc::every().filter(|(_, s)| s.session == leader.pid) {
        let ident = Ident {
            pid,
            starttime: s.starttime,
            boot: leader.boot.clone(),
        };
        if s.lives() {
            living.push(ident);
        } else {
            dead.push(ident);
        }
    }
    (living, dead)
}

/// The living members of that session among the processes that were started last: a short look, which those who come and
/// go are more likely to be in.
pub(crate) fn newest(leader: &Ident) -> Vec<Ident> {
    let Some(last) = proc::last_pid().filter(|_| leader.boot == boot_id() && !taken_over(leader))
    else {
        return Vec::new();
    };
    (last.saturating_sub(NEWEST).max(1)..=last)
        .rev()
        .filter_map(|pid| Some((pid, Stat::of(pid)?)))
        .filter(|(_, s)| s.session == leader.pid && s.lives())
        .map(|(pid, s)| Ident {
            pid,
            starttime: s.starttime,
            boot: leader.boot.clone(),
        })
        .collect()
}

/// Another process has its number now.
fn taken_over(leader: &Ident) -> bool {
    Stat::of(leader.pid).is_some_and(|now| now.starttime != leader.starttime)
}

/// Whether the process group that it led has members, dead ones among them. Unlike a walk through `/proc` the kernel's
/// answer is about one moment, in which nobody is between two processes.
pub(crate) fn group_exists(leader: &Ident) -> bool {
    leader.boot == boot_id() && !taken_over(leader) && signals::group_exists(leader.pid)
}

/// Holds still the whole group that it led, whoever is forking in it. Only while somebody of its session is known to
/// live: as long as that is so, no other group can have the number.
pub(crate) fn hold_group(leader: &Ident) -> io::Result<()> {
    signals::signal_group(leader.pid, Signal::STOP).map(drop)
}

/// Whether a process belongs to another: to its session, or below it.
pub(crate) fn belongs(pid: i32, leader: &Ident) -> bool {
    let all = all();
    let mut at = pid;
    for _ in 0..all.len() {
        match all.get(&at) {
            Some(s) if at == leader.pid || s.session == leader.pid => return true,
            Some(s) => at = s.parent,
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sleeper(std::process::Child);

    impl Sleeper {
        fn new() -> Self {
            let sleep = std::process::Command::new("sleep").arg("600").spawn();
            Self(sleep.unwrap())
        }

        fn ident(&self) -> Ident {
            Ident::of(i32::try_from(self.0.id()).unwrap()).unwrap()
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_process_that_nobody_waited_for_is_dead() {
        let sleeper = Sleeper::new();
        let ident = sleeper.ident();
        assert!(ident.alive());
        assert!(ident.signal(Signal::TERM).unwrap());
        assert!(ident.wait(Duration::from_secs(30)).unwrap());
        assert!(!ident.alive(), "it is a zombie");
        assert!(!ident.signal(Signal::TERM).unwrap());
    }

    #[test]
    fn a_reused_number_is_a_stranger_and_gets_no_signal() {
        let sleeper = Sleeper::new();
        let real = sleeper.ident();
        let earlier = Ident {
            starttime: real.starttime - 1,
            ..real.clone()
        };
        let other_boot = Ident {
            boot: "another".into(),
            ..real.clone()
        };
        for stranger in [earlier, other_boot] {
            assert!(!stranger.alive());
            assert!(!stranger.signal(Signal::KILL).unwrap());
            assert!(stranger.wait(Duration::ZERO).unwrap());
            assert!(session(&stranger).is_empty());
        }
        assert!(real.alive());
        let nobody = Ident { pid: -1, ..real };
        assert!(nobody.signal(Signal::KILL).is_err() && !nobody.alive());
    }
}
