//! Who runs on this machine.
//!
//! Invariants: a process that ends while we look is as good as gone, never an error; what we may not see is an error
//! where it would make an answer wrong, and left unnamed where it would only be less telling. upledger's own processes
//! match nothing: the runner's command line names a plan, and the plan names what it stops; nor do those of a container.
//! Left out: signals, and who listens ([`super::sockets`]).

use crate::action::Error;
use crate::encoding;
use crate::host::process::mask;
use crate::redact::Redactor;
use crate::system::proc;
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Names of our own processes begin with this.
const OURS: &str = "upledger";
/// How much of a command line people are shown.
const SHOWN: usize = 200;

/// A living process with a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proc {
    /// Its id at the moment of the look.
    pub(crate) pid: i32,
    /// Its words, joined by spaces; bytes that are no UTF-8 are escaped.
    pub(crate) command: String,
}

impl fmt::Display for Proc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.command.char_indices().nth(SHOWN).map(|(at, _)| at);
        match end {
            Some(end) => write!(f, "pid {}: {}…", self.pid, &self.command[..end]),
            None => write!(f, "pid {}: {}", self.pid, self.command),
        }
    }
}

impl Proc {
    /// Without secrets, as it may be cut and shown.
    pub(crate) fn without(mut self, redactor: &Redactor) -> Self {
        self.command = mask::line(&redactor.text(&self.command));
        self
    }
}

/// A living process with a command line, word by word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Other {
    /// Its id at the moment of the look.
    pub(crate) pid: i32,
    /// The id of the process that it belongs to.
    pub(crate) parent: i32,
    /// Its command line, word by word.
    pub(crate) words: Vec<String>,
    /// The name of the file that it executes; empty where we may not see it.
    pub(crate) program: String,
}

impl Other {
    /// A process, as far as it may be seen; none when it has ended.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        Some(Self {
            pid,
            parent: proc::Stat::of(pid)?.parent,
            words: proc::words(pid),
            // Of a process of somebody else the program cannot be read; its first word has to do.
            program: proc::exe(pid).map(|p| name(&p)).unwrap_or_default(),
        })
    }

    /// Its command line.
    pub(crate) fn command(&self) -> String {
        self.words.join(" ")
    }

    /// As it is shown.
    pub(crate) fn proc(&self) -> Proc {
        Proc {
            pid: self.pid,
            command: self.command(),
        }
    }

    /// The name that its first word gives the program.
    fn first(&self) -> Option<String> {
        self.words.first().map(|w| name(Path::new(w)))
    }

    /// It is one of this program.
    fn ours(&self) -> bool {
        self.program.starts_with(OURS) || self.first().is_some_and(|n| n.starts_with(OURS))
    }
}

/// All processes but our own.
///
/// # Errors
/// [`Error`] when the processes of others cannot be seen.
pub(crate) fn others() -> Result<Vec<Other>, Error> {
    let mut all = all()?;
    let own = own(&all);
    all.retain(|pid, _| !own.contains(pid));
    Ok(all.into_values().collect())
}

/// The ids of our own processes, and of those above them that were started to start us.
///
/// # Errors
/// [`Error`] when the processes of others cannot be seen.
pub(crate) fn ours() -> Result<BTreeSet<i32>, Error> {
    Ok(own(&all()?))
}

/// With `hidepid` others' processes are missing from the list, and "none" would be a lie.
pub(super) fn visible() -> Result<Vec<i32>, Error> {
    if proc::Stat::of(1).is_none() {
        return Err(Error::new(
            "cannot read /proc/1: the processes of others cannot be seen",
        ));
    }
    proc::pids().map_err(|e| Error::io("cannot read /proc", &e))
}

/// All processes that have a command line: neither threads of the kernel nor processes that have ended.
fn all() -> Result<BTreeMap<i32, Other>, Error> {
    let own = proc::container(me());
    let mut found = BTreeMap::new();
    for pid in visible()? {
        // One that cannot be looked at has ended meanwhile.
        let Some(other) = Other::of(pid).filter(|other| !other.words.is_empty()) else {
            continue;
        };
        // What runs in a container looks the same from here, and belongs to somebody else.
        let theirs = proc::container(pid);
        if theirs.is_some() && own.is_some() && theirs != own {
            continue;
        }
        found.insert(pid, other);
    }
    Ok(found)
}

pub(super) fn me() -> i32 {
    i32::try_from(std::process::id()).unwrap_or_default()
}

fn name(path: &Path) -> String {
    encoding::escaped(path.file_name().unwrap_or_default().as_bytes())
}

/// Our own processes, and those above them that were started to start us (`sudo upledger …`, `sh -c 'upledger …'`). A
/// daemon above us, such as cron, is none of ours and counts.
fn own(all: &BTreeMap<i32, Other>) -> BTreeSet<i32> {
    let me = me();
    let mut own: BTreeSet<i32> = all
        .iter()
        .filter(|(pid, found)| **pid == me || found.ours())
        .map(|(pid, _)| *pid)
        .collect();
    for mut pid in own.clone() {
        // No snapshot is of one moment, so nothing keeps ids that are used again from forming a circle.
        for _ in 0..all.len() {
            let Some(parent) = all.get(&pid).and_then(|f| all.get(&f.parent)) else {
                break;
            };
            pid = parent.pid;
            if parent.words.iter().any(|w| w.contains(OURS)) {
                own.insert(pid);
            }
        }
    }
    own
}

/// The command line of process 1 matches: it runs the machine, or the container that this process is in.
pub(crate) fn matches_init(pattern: &Regex) -> bool {
    let words = proc::words(1);
    !words.is_empty() && pattern.is_match(&words.join(" "))
}

/// Processes whose command line matches, by their ids.
///
/// # Errors
/// [`Error`] when the processes of others cannot be seen.
pub(crate) fn matching(pattern: &Regex) -> Result<Vec<Proc>, Error> {
    let found = others()?.into_iter().map(|found| found.proc());
    Ok(found.filter(|p| pattern.is_match(&p.command)).collect())
}

/// A process that a cron daemon has started for a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CronJob {
    /// Its id at the moment of the look.
    pub(crate) pid: i32,
    /// Whose it is.
    pub(crate) uid: Option<u32>,
    /// Its command line.
    pub(crate) words: Vec<String>,
}

/// The jobs of cron that run now: the first process of each, as its shell or what the shell has become.
///
/// # Errors
/// [`Error`] when the processes of others cannot be seen.
pub(crate) fn cron_jobs() -> Result<Vec<CronJob>, Error> {
    let all = all()?;
    // The daemon, and the process of it that waits for one job: `/usr/sbin/cron -f`, `CRON -f`, `crond -n`.
    let daemon = |found: &Other| {
        let first = found.first();
        first.is_some_and(|n| ["cron", "crond"].contains(&n.to_ascii_lowercase().as_str()))
    };
    // A job that runs us, through whatever script, is not one to wait for: it waits for us.
    let mut above = own(&all);
    for mut pid in above.clone() {
        for _ in 0..all.len() {
            let Some(found) = all.get(&pid).filter(|f| !daemon(f)) else {
                break;
            };
            above.insert(pid);
            pid = found.parent;
        }
    }
    Ok(all
        .values()
        .filter(|found| !above.contains(&found.pid))
        .filter(|found| !daemon(found) && all.get(&found.parent).is_some_and(daemon))
        .map(|found| CronJob {
            pid: found.pid,
            uid: proc::owner(found.pid).ok().map(|(uid, _)| uid),
            words: found.words.clone(),
        })
        .collect())
}

/// A process that uses a directory: that works, runs or has something open or mapped below it, or names something below
/// it in its words. Our own process does not count, those of containers do. Of one that we may not look into, the words
/// have to do.
///
/// # Errors
/// [`Error`] when the processes of others cannot be seen.
pub(crate) fn user(dir: &Path) -> Result<Option<String>, Error> {
    let below = |path: &Path| path.starts_with(dir);
    let uses = |pid: i32| {
        let at = |path: std::io::Result<std::path::PathBuf>| path.is_ok_and(|p| below(&p));
        let named = |word: &String| Path::new(word) != dir && below(Path::new(word));
        at(proc::cwd(pid))
            || at(proc::exe(pid))
            || at(proc::root(pid))
            || proc::words(pid).iter().any(named)
            || proc::open_files(pid).any(|to| below(&to))
            || proc::mapped(pid).iter().any(|to| below(to))
    };
    let me = me();
    let mut others = visible()?.into_iter().filter(|pid| *pid != me);
    Ok(others.find(|pid| uses(*pid)).map(|pid| {
        // Its name and no more: a command line may hold secrets.
        format!("process {pid} ({})", proc::name(pid).unwrap_or_default())
    }))
}
