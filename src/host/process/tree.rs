//! Processes that lead no session of their own: first ones, and all that was seen below them.
//!
//! Invariants: a process belongs to a service because it was seen, by its identity, below one that does; a number alone
//! never counts; none of our own processes is ever a member. What a service forks away between two looks can escape; the
//! look of its manager afterwards finds it.

use crate::action::{Error, Work};
use crate::clock::boot_id;
use crate::host::process::ending::{self, Grace, Members};
use crate::host::process::identity::{Ident, all};
use crate::host::process::list;
use crate::host::process::note::Note;
use crate::host::service::found::Found;
use rustix::process::Signal;
use std::collections::BTreeMap;

pub(crate) use crate::host::process::ending::name;

/// All living processes below these, without themselves.
pub(crate) fn below(roots: &[Ident]) -> Vec<Ident> {
    let mut all = living(roots);
    all.retain(|i| !roots.contains(i));
    all
}

/// The living ones of these, and all that lives below them.
pub(crate) fn living(known: &[Ident]) -> Vec<Ident> {
    let boot = boot_id();
    let all = all();
    let mut members: BTreeMap<i32, Ident> = known
        .iter()
        .filter(|i| i.boot == boot && all.get(&i.pid).is_some_and(|s| s.starttime == i.starttime))
        .map(|i| (i.pid, i.clone()))
        .collect();
    loop {
        let more: Vec<(i32, Ident)> = all
            .iter()
            .filter(|(pid, s)| !members.contains_key(pid) && members.contains_key(&s.parent))
            .map(|(pid, s)| {
                let ident = Ident {
                    pid: *pid,
                    starttime: s.starttime,
                    boot: boot.clone(),
                };
                (*pid, ident)
            })
            .collect();
        if more.is_empty() {
            return members.into_values().collect();
        }
        members.extend(more);
    }
}

/// The processes of a service, from look to look.
pub(crate) struct Descendants {
    /// All that were seen.
    pub(crate) known: Vec<Ident>,
}

impl Members for Descendants {
    fn members(&mut self) -> Result<Vec<Ident>, Error> {
        let members = living(&self.known);
        let fresh: Vec<&Ident> = members.iter().filter(|m| !self.known.contains(m)).collect();
        if !fresh.is_empty() {
            let ours = list::ours()?;
            if let Some(own) = fresh.iter().find(|m| ours.contains(&m.pid)) {
                return Err(Error::new(format!(
                    "{} of this run is a descendant of the service, so the service is not stopped; check the settings",
                    own.shown()
                )));
            }
            let fresh: Vec<Ident> = fresh.into_iter().cloned().collect();
            self.known.extend(fresh);
        }
        Ok(members)
    }
}

/// Ends the first processes that were found and all below them: `gentle` to the first ones, then, after `grace`, KILL
/// to whatever is left. An empty `gentle` waits only: somebody else has told them.
///
/// # Errors
/// [`Error`] when a signal is refused, something outlives KILL, or a process of ours is below them.
pub(crate) fn end(
    work: &mut Work<'_, Note>,
    found: &Found,
    gentle: Option<Signal>,
    grace: impl Into<Grace>,
) -> Result<(), Error> {
    let ours = list::ours()?;
    let known = found.all();
    if let Some(own) = known.iter().find(|i| i.alive() && ours.contains(&i.pid)) {
        return Err(Error::new(format!(
            "{} belongs to this run and is not stopped",
            own.shown()
        )));
    }
    let mut service = Descendants { known };
    let masters = found.masters.iter();
    let first: Vec<(&Ident, String)> = masters.map(|m| (&m.ident, m.shown())).collect();
    let whole = "all of it has";
    ending::end(work, &mut service, &first, gentle, whole, grace.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::{Context, Direction};
    use crate::host::service::Master;
    use std::io::BufRead;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    #[test]
    fn what_was_seen_below_is_known_when_the_first_process_is_gone() {
        let cx = Context::default();
        let mut shell = Command::new("/bin/sh")
            .args([
                "-c",
                "trap '' TERM; sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & wait",
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut pipe = std::io::BufReader::new(shell.stdout.take().unwrap());
        pipe.read_line(&mut line).unwrap();
        let worker: i32 = line.trim().parse().unwrap();
        let root = Ident::of(i32::try_from(shell.id()).unwrap()).unwrap();
        let master = Master::look(&cx, &root, &["sh".into()]).unwrap().unwrap();
        assert!(master.members.iter().any(|m| m.pid == worker));
        shell.kill().unwrap();
        shell.wait().unwrap();
        let found = Found {
            masters: vec![master],
            ..Found::default()
        };
        assert!(living(&found.all()).iter().any(|m| m.pid == worker));
        let mut said = Vec::new();
        let grace = Duration::from_millis(100);
        let mut work = Work::new(&cx, Direction::Do, &mut said).unwrap();
        end(&mut work, &found, Some(Signal::TERM), grace).unwrap();
        // Those that outlived it are told, and it is not.
        let told = |pid: i32| {
            let mut noted = work.noted().iter();
            noted.any(|n| matches!(n, Note::Signalled { process } if process.pid == pid))
        };
        assert!(told(worker) && !told(root.pid), "{:?}", work.noted());
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("TERM to process"), "{said}");
        assert!(said.contains("KILL to process"), "{said}");
        assert!(living(&found.all()).is_empty());
    }

    #[test]
    fn nobody_is_killed_who_was_told_by_nobody() {
        let cx = Context::default();
        // A shell that waits for its child hears a signal when that has ended, and passes nothing on.
        let mut shell = Command::new("/bin/sh")
            .args([
                "-c",
                "trap : TERM; sh -c 'trap \"echo told; exit 0\" TERM; echo up; while :; do sleep 0.05; done'; exit 0",
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = std::io::BufReader::new(shell.stdout.take().unwrap());
        let mut line = String::new();
        pipe.read_line(&mut line).unwrap();
        let root = Ident::of(i32::try_from(shell.id()).unwrap()).unwrap();
        let master = Master::look(&cx, &root, &["sh".into()]).unwrap().unwrap();
        let found = Found {
            masters: vec![master],
            ..Found::default()
        };
        let mut said = Vec::new();
        let mut work = Work::new(&cx, Direction::Do, &mut said).unwrap();
        let grace = Duration::from_millis(1500);
        end(&mut work, &found, Some(Signal::TERM), grace).unwrap();
        shell.wait().unwrap();
        line.clear();
        pipe.read_line(&mut line).unwrap();
        assert_eq!(line, "told\n");
        let said = String::from_utf8(said).unwrap();
        assert!(!said.contains("KILL"), "{said}");
    }

    #[test]
    fn this_process_is_never_ended() {
        let cx = Context::default();
        let own = Ident::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        let found = Found {
            masters: vec![Master::look(&cx, &own, &["x".into()]).unwrap().unwrap()],
            ..Found::default()
        };
        let mut log = Vec::new();
        let mut work = Work::new(&cx, Direction::Do, &mut log).unwrap();
        let why = end(&mut work, &found, Some(Signal::TERM), Duration::ZERO).unwrap_err();
        assert!(why.to_string().contains("belongs to this run"), "{why}");
        assert_eq!(work.noted(), []);
    }
}
