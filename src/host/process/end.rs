//! The end of a service: TERM to its first process, time for work in flight, then KILL for its whole session.
//!
//! Invariants: that the first process is told to end is noted before it is; each signal is said, and a KILL is on record before it is sent; a process gets one only while it is known to belong to the service. A session
//! whose leader is gone is known by a member that was seen before: as long as one lives, the session's number cannot
//! have passed to another; or by the leader itself, dead but not yet waited for, whose number is still its own. Without
//! either nobody is killed, and a person is told who is left. A session counts as gone only when several looks agree, and
//! when the kernel says in one moment that its group is empty, or that nobody of it has died between the looks: a chain
//! of processes of which each starts the next and ends is in no single look. Left out: a chain whose members leave the
//! group, or the session, is seen by the looks alone.

use crate::action::{Error, Work};
use crate::host::process::grace::{Members, expire, signal};
use crate::host::process::identity::{Ident, group_exists, hold_group, listed, newest};
use crate::host::process::note::Note;
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// Looks that follow one another this closely see the same session: numbers are given in a circle, and no machine goes
/// round it in this time.
const CONTINUOUS: Duration = Duration::from_millis(250);
/// Looks that have to agree that nothing of a session is left.
const LOOKS: u32 = 4;
/// Between them.
const BETWEEN: Duration = Duration::from_millis(7);
/// How long a session whose processes come and go is looked for a living one.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is left of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing.
    Nothing,
    /// These processes.
    These(Vec<Ident>),
    /// These have its session's number, but whether they are its own cannot be told.
    Untold(Vec<Ident>),
}

/// What is left of the session that a process leads or led. `known` are members that were seen while it lived.
pub(crate) fn left(leader: &Ident, known: &[Ident]) -> Left {
    let (members, untold) = members(leader);
    if untold {
        return Left::Untold(members);
    }
    if members.is_empty() {
        // Not a leader of a session, it may live all the same.
        return if leader.alive() {
            Left::These(vec![leader.clone()])
        } else {
            Left::Nothing
        };
    }
    if leader.listed() || members.iter().any(|m| known.contains(m)) {
        Left::These(members)
    } else {
        Left::Untold(members)
    }
}

/// The living members of a session, looked for until it is sure that there are none. `true`: none could be caught, and
/// these of it have just died.
fn members(leader: &Ident) -> (Vec<Ident>, bool) {
    let until = Instant::now() + PATIENCE;
    let (mut before, mut agree) = (None, 0);
    loop {
        let (living, dead) = listed(leader);
        if !living.is_empty() {
            return (living, false);
        }
        // Who is dead and not waited for yet keeps the group. Somebody new among them has lived since the last look.
        let quiet = !group_exists(leader) || (!dead.is_empty() && before.as_ref() == Some(&dead));
        agree = if quiet { agree + 1 } else { 0 };
        if agree >= LOOKS {
            return (Vec::new(), false);
        }
        if Instant::now() >= until {
            let known = if dead.is_empty() {
                vec![leader.clone()]
            } else {
                dead
            };
            return (known, true);
        }
        before = Some(dead);
        let next = Instant::now() + BETWEEN;
        while Instant::now() < next {
            let living = newest(leader);
            if !living.is_empty() {
                return (living, false);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// What a person is told who has to look at what is left.
pub(crate) fn remains(leader: &Ident) -> Option<String> {
    match left(leader, &[]) {
        Left::Nothing => None,
        Left::These(rest) | Left::Untold(rest) => Some(format!(
            "process {} has ended, but {} may remain of it",
            leader.pid,
            names(&rest)
        )),
    }
}

/// Processes for people.
pub(crate) fn names(processes: &[Ident]) -> String {
    processes
        .iter()
        .map(Ident::shown)
        .collect::<Vec<_>>()
        .join(", ")
}

/// The processes of a service, from look to look.
struct Service<'a> {
    leader: &'a Ident,
    /// Members that were seen.
    known: Vec<Ident>,
    /// When members were last known to be of this service.
    seen: Option<Instant>,
}

impl Members for Service<'_> {
    fn hold(&mut self) -> Result<(), Error> {
        // Asked right before: as long as a member lives, the group's number is the session's own.
        if self.members()?.is_empty() {
            return Ok(());
        }
        hold_group(self.leader).map_err(|e| Error::io("cannot stop (SIGSTOP) the session", &e))
    }

    fn members(&mut self) -> Result<Vec<Ident>, Error> {
        // Before the look, which takes its time with those that come and go.
        let continuous = self.seen.is_some_and(|s| s.elapsed() < CONTINUOUS);
        let members = match left(self.leader, &self.known) {
            Left::Nothing => return Ok(Vec::new()),
            Left::These(members) => members,
            // Forked since the last look by those that are gone now.
            Left::Untold(members) if continuous => members,
            Left::Untold(members) => {
                return Err(Error::new(format!(
                    "process {} has exited; {} may remain of it, but that is not certain, so they were not killed; check them, and stop them manually",
                    self.leader.pid,
                    names(&members)
                )));
            }
        };
        self.seen = Some(Instant::now());
        for member in &members {
            if !self.known.contains(member) {
                self.known.push(member.clone());
            }
        }
        Ok(members)
    }
}

/// Ends a service. `known` are members that were seen while its first process lived.
pub(crate) fn end(
    work: &mut Work<'_, Note>,
    leader: &Ident,
    known: &[Ident],
    grace: Duration,
) -> Result<(), Error> {
    let name = leader.shown();
    let mut service = Service {
        leader,
        known: known.to_vec(),
        seen: None,
    };
    // Seen before the signal: a member that lives on identifies the session.
    service.members()?;
    if leader.alive() {
        work.note(Note::Signalled {
            process: leader.clone(),
        })?;
    }
    if signal(leader, Signal::TERM)? {
        work.log_line(&format!("TERM to {name}"));
        // A stopped process hears nothing else.
        signal(leader, Signal::CONT)?;
    }
    let whole = format!("{name} and its session have");
    expire(work, &mut service, &whole, grace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::{Context, Direction};
    use std::process::{Command, Stdio};

    /// Each process starts the next one and ends, for some seconds; the first says who it is.
    const CHAIN: &str = r"
import os, sys, time
until = time.monotonic() + float(sys.argv[1])
while time.monotonic() < until:
    if os.fork(): os._exit(0)
    time.sleep(0.002)
";

    /// A chain in a session of its own, whose first process is gone.
    fn chain(seconds: &str) -> Ident {
        let mut first = Command::new("setsid");
        first.args(["python3", "-c", CHAIN, seconds]);
        let mut first = first.spawn().unwrap();
        let pid = i32::try_from(first.id()).unwrap();
        let mut leader = Ident::of(pid).unwrap();
        first.wait().unwrap();
        leader.pid = pid;
        leader
    }

    #[test]
    fn a_chain_of_processes_is_never_taken_for_gone() {
        let leader = chain("5");
        let began = Instant::now();
        let mut looks = 0;
        while began.elapsed() < Duration::from_secs(4) {
            assert_ne!(left(&leader, &[]), Left::Nothing, "after {looks} looks");
            looks += 1;
        }
        assert!(looks > 3, "{looks}");
        let end = Instant::now() + Duration::from_secs(30);
        while left(&leader, &[]) != Left::Nothing {
            assert!(Instant::now() < end, "it ends by itself");
        }
    }

    #[test]
    fn a_chain_of_processes_is_killed_for_good() {
        let leader = chain("60");
        let (Left::Untold(known) | Left::These(known)) = left(&leader, &[]) else {
            panic!("it lives");
        };
        let cx = Context::default();
        let mut log = Vec::new();
        let mut work = Work::new(&cx, Direction::Do, &mut log).unwrap();
        let mut service = Service {
            leader: &leader,
            known,
            seen: Some(Instant::now()),
        };
        expire(&mut work, &mut service, "the chain has", Duration::ZERO).unwrap();
        assert_eq!(left(&leader, &[]), Left::Nothing);
    }

    #[test]
    fn who_is_told_to_end_is_noted() {
        let mut sleep = Command::new("setsid")
            .args(["sleep", "600"])
            .spawn()
            .unwrap();
        let process = Ident::of(i32::try_from(sleep.id()).unwrap()).unwrap();
        let cx = Context::default();
        let mut log = Vec::new();
        let mut work = Work::new(&cx, Direction::Do, &mut log).unwrap();
        end(&mut work, &process, &[], Duration::from_secs(30)).unwrap();
        assert_eq!(work.noted(), [Note::Signalled { process }]);
        sleep.wait().unwrap();
    }

    #[test]
    fn a_dead_leader_vouches_for_its_session_until_it_is_waited_for() {
        let mut shell = Command::new("setsid");
        shell
            .args(["/bin/sh", "-c", "sleep 600 & echo $!; wait"])
            .stdout(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        let leader = Ident::of(i32::try_from(shell.id()).unwrap()).unwrap();
        let mut line = String::new();
        let pipe = shell.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(pipe), &mut line).unwrap();
        let worker = Ident::of(line.trim().parse().unwrap()).unwrap();
        shell.kill().unwrap();
        assert!(leader.wait(Duration::from_secs(30)).unwrap());
        assert_eq!(left(&leader, &[]), Left::These(vec![worker.clone()]));
        shell.wait().unwrap();
        assert_eq!(left(&leader, &[]), Left::Untold(vec![worker.clone()]));
        let known = std::slice::from_ref(&worker);
        assert_eq!(left(&leader, known), Left::These(vec![worker.clone()]));
        let cx = Context::default();
        let mut log = Vec::new();
        let mut work = Work::new(&cx, Direction::Do, &mut log).unwrap();
        end(&mut work, &leader, known, Duration::ZERO).unwrap();
        assert_eq!(work.noted(), [], "the first process was told nothing");
        assert_eq!(left(&leader, known), Left::Nothing);
    }
}
