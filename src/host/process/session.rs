//! Processes that are known by the session of a first process: who is left of it, and its end.
//!
//! Invariants: a process gets KILL only while it is known to belong to the service. A session
//! whose leader is gone is known by a member that was seen before: as long as one lives, the session's number cannot
//! have passed to another; or by the leader itself, dead but not yet waited for, whose number is still its own. Without
//! either nobody is killed, and a person is told who is left. A session counts as gone only when several looks agree, and
//! when the kernel says in one moment that its group is empty, or that nobody of it has died between the looks: a chain
//! of processes of which each starts the next and ends is in no single look. Left out: a chain whose members leave the
//! group, or the session, is seen by the looks alone.

use crate::action::{Error, Work};
use crate::host::process::ending::{self, Grace, Members};
use crate::host::process::identity::{Ident, group_exists, hold_group, listed, newest};
use crate::host::process::note::Note;
use rustix::process::Signal;
use std::time::{Duration, Instant};

pub(crate) use crate::host::process::ending::names;

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

/// The processes of one session, from look to look.
struct Session<'a> {
    leader: &'a Ident,
    /// Members that were seen.
    known: Vec<Ident>,
    /// When members were last known to be of this session.
    seen: Option<Instant>,
}

impl Session<'_> {
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

impl Members for Vec<Session<'_>> {
    fn hold(&mut self) -> Result<(), Error> {
        for session in self {
            // Asked right before: as long as a member lives, the group's number is the session's own.
            if !session.members()?.is_empty() {
                hold_group(session.leader)
                    .map_err(|e| Error::io("cannot hold the session still", &e))?;
            }
        }
        Ok(())
    }

    fn members(&mut self) -> Result<Vec<Ident>, Error> {
        let mut all = Vec::new();
        for session in self {
            all.append(&mut session.members()?);
        }
        Ok(all)
    }
}

/// Ends a service. `known` are members that were seen while its first process lived.
///
/// # Errors
/// As for [`end_all`].
pub(crate) fn end(
    work: &mut Work<'_, Note>,
    leader: &Ident,
    known: &[Ident],
    grace: impl Into<Grace>,
) -> Result<(), Error> {
    end_all(work, &[(leader, known)], grace)
}

/// Ends a service of several sessions, which share the time for work in flight: each first process is told, and only
/// then any of them is waited for.
///
/// # Errors
/// [`Error`] when a signal is refused, something outlives KILL, or it cannot be told what belongs to a session.
pub(crate) fn end_all(
    work: &mut Work<'_, Note>,
    leaders: &[(&Ident, &[Ident])],
    grace: impl Into<Grace>,
) -> Result<(), Error> {
    let first: Vec<(&Ident, String)> = leaders.iter().map(|(l, _)| (*l, l.shown())).collect();
    let shown: Vec<&str> = first.iter().map(|(_, shown)| shown.as_str()).collect();
    let whole = format!("{} and all of the session have", shown.join(", "));
    let mut sessions: Vec<Session<'_>> = leaders
        .iter()
        .map(|(leader, known)| Session {
            leader,
            known: known.to_vec(),
            seen: None,
        })
        .collect();
    let term = Some(Signal::TERM);
    ending::end(work, &mut sessions, &first, term, &whole, grace.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::{Context, Direction};
    use crate::host::process::note::was_signalled;
    use std::process::{Command, Stdio};

    /// Each process starts the next one and ends, for some seconds; the first waits until it has been looked at.
    const CHAIN: &str = r"
import os, sys, time
sys.stdin.read()
until = time.monotonic() + float(sys.argv[1])
while time.monotonic() < until:
    if os.fork(): os._exit(0)
    time.sleep(0.002)
";

    /// A chain in a session of its own, whose first process is gone.
    fn chain(seconds: &str) -> Ident {
        let mut first = Command::new("setsid");
        first.args(["python3", "-c", CHAIN, seconds]);
        let mut first = first.stdin(Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(first.id()).unwrap();
        let mut leader = Ident::of(pid).unwrap();
        drop(first.stdin.take());
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
        let mut service = vec![Session {
            leader: &leader,
            known,
            seen: Some(Instant::now()),
        }];
        let now = Duration::ZERO.into();
        ending::end(&mut work, &mut service, &[], None, "the chain has", now).unwrap();
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
        let [
            Note::Signalled { process: told },
            Note::Terminating { process: got, at },
        ] = work.noted()
        else {
            panic!("{:?}", work.noted());
        };
        assert!(*told == process && *got == process && at.is_some());
        sleep.wait().unwrap();
    }

    /// A session that does not hear TERM, and is up.
    fn deaf() -> (std::process::Child, Ident) {
        let script = "trap '' TERM; echo; while :; do sleep 0.05; done";
        let mut shell = Command::new("setsid")
            .args(["sh", "-c", script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = std::io::BufReader::new(shell.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut pipe, &mut String::new()).unwrap();
        let leader = Ident::of(i32::try_from(shell.id()).unwrap()).unwrap();
        (shell, leader)
    }

    #[test]
    fn two_sessions_have_one_grace_and_not_one_after_the_other() {
        let (mut one, mut other) = (deaf(), deaf());
        let cx = Context::default();
        let mut log = Vec::new();
        let mut work = Work::new(&cx, Direction::Do, &mut log).unwrap();
        let leaders: [(&Ident, &[Ident]); 2] = [(&one.1, &[]), (&other.1, &[])];
        end_all(&mut work, &leaders, Duration::from_millis(200)).unwrap();
        for (_, leader) in [&one, &other] {
            assert!(was_signalled(work.noted(), leader));
        }
        let log = String::from_utf8(log).unwrap();
        // What a loop has just started is told when the time is over.
        let own = |l: &&str| !l.starts_with("TERM to") || l.contains("(sh)");
        let lines: Vec<&str> = log.lines().filter(own).collect();
        let [first, second, kill, end] = lines.as_slice() else {
            panic!("{log}");
        };
        assert!(first.starts_with("TERM to") && second.starts_with("TERM to"));
        assert!(kill.starts_with("not ended within 0.2 s; KILL to"), "{log}");
        for (shell, leader) in [&mut one, &mut other] {
            assert!(kill.contains(&leader.pid.to_string()), "{log}");
            assert!(end.contains(&leader.pid.to_string()), "{log}");
            shell.wait().unwrap();
        }
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
        assert!(was_signalled(work.noted(), &worker));
        let others = !was_signalled(work.noted(), &leader);
        assert!(
            others,
            "only the one that outlived the leader: {:?}",
            work.noted()
        );
        assert_eq!(left(&leader, known), Left::Nothing);
    }
}
