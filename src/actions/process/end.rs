//! The end of a service: TERM to its first process, time for work in flight, then KILL for its whole session.
//!
//! Invariants: each signal is said, and a KILL is on record before it is sent; a process gets one only while it is known to belong to the service. A session
//! whose leader is gone is known by a member that was seen before: as long as one lives, the session's number cannot
//! have passed to another; or by the leader itself, dead but not yet waited for, whose number is still its own. Without
//! either nobody is killed, and a person is told who is left.

use super::grace::{Members, expire, signal};
use super::identity::{Ident, session};
use super::up::say;
use crate::actions::{Context, Trouble};
use rustix::process::Signal;
use std::io::Write;
use std::time::{Duration, Instant};

/// Looks that follow one another this closely see the same session: numbers are given in a circle, and no machine goes
/// round it in this time.
const CONTINUOUS: Duration = Duration::from_millis(250);
/// What is left of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::actions) enum Left {
    /// Nothing.
    Nothing,
    /// These processes.
    These(Vec<Ident>),
    /// These have its session's number, but whether they are its own cannot be told.
    Untold(Vec<Ident>),
}

/// What is left of the session that a process leads or led. `known` are members that were seen while it lived.
pub(in crate::actions) fn left(leader: &Ident, known: &[Ident]) -> Left {
    let members = session(leader);
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

/// What a person is told who has to look at what is left.
pub(in crate::actions) fn remains(leader: &Ident) -> Option<String> {
    match left(leader, &[]) {
        Left::Nothing => None,
        Left::These(rest) | Left::Untold(rest) => Some(format!(
            "process {} has ended, but {} may be left of it",
            leader.pid,
            names(&rest)
        )),
    }
}

/// Processes for people.
pub(in crate::actions) fn names(processes: &[Ident]) -> String {
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
    fn members(&mut self) -> Result<Vec<Ident>, Trouble> {
        let members = match left(self.leader, &self.known) {
            Left::Nothing => return Ok(Vec::new()),
            Left::These(members) => members,
            // Forked since the last look by those that are gone now.
            Left::Untold(members) if self.seen.is_some_and(|s| s.elapsed() < CONTINUOUS) => members,
            Left::Untold(members) => {
                return Err(Trouble::new(format!(
                    "process {} is gone; {} may be left of it, which cannot be told for sure, so they were not killed; look, and end them",
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
pub(in crate::actions) fn end(
    cx: &Context,
    leader: &Ident,
    known: &[Ident],
    grace: Duration,
    out: &mut dyn Write,
) -> Result<(), Trouble> {
    let name = leader.shown();
    let mut service = Service {
        leader,
        known: known.to_vec(),
        seen: None,
    };
    // Seen before the signal: a member that lives on identifies the session.
    service.members()?;
    if signal(leader, Signal::TERM)? {
        say(out, &format!("TERM to {name}"));
        // A stopped process hears nothing else.
        signal(leader, Signal::CONT)?;
    }
    let whole = format!("{name} and its session have");
    expire(cx, &mut service, &whole, grace, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

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
        let cx = Context::empty();
        end(&cx, &leader, known, Duration::ZERO, &mut Vec::new()).unwrap();
        assert_eq!(left(&leader, known), Left::Nothing);
    }
}
