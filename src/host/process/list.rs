//! Who runs and who listens on this machine, from `/proc`.
//!
//! Invariants: a process that ends while we look is as good as gone, never an error; what we may not see is an error
//! where it would make an answer wrong, and left unnamed where it would only be less telling. upledger's own processes
//! match nothing: the runner's command line names a plan, and the plan names what it stops; nor do those of a container.
//! Left out: signals.

use crate::action::Error;
use crate::host::process::mask;
use crate::redact::Redactor;
use procfs::ProcError;
use procfs::net::{TcpNetEntry, TcpState};
use procfs::process::{FDTarget, MMapPath, Process};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Names of our own processes begin with this.
const OURS: &str = "upledger";
/// How much of a command line people are shown.
const SHOWN: usize = 200;

/// A living process with a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proc {
    /// Its id at the moment of the look.
    pub(crate) pid: i32,
    /// Its words, joined by spaces; bytes that are no UTF-8 are replaced.
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

/// A living process that is none of ours.
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
}

/// All processes but our own.
///
/// # Errors
/// [`Error`] when the processes of others cannot be seen.
pub(crate) fn others() -> Result<Vec<Other>, Error> {
    let all = all()?;
    let own = own(&all);
    Ok(all
        .into_iter()
        .filter(|(pid, _)| !own.contains(pid))
        .map(|(pid, found)| Other {
            pid,
            parent: found.parent,
            words: found.words,
            program: found.program,
        })
        .collect())
}

/// The ids of our own processes, and of those above them that were started to start us.
///
/// # Errors
/// [`Error`] when the processes of others cannot be seen.
pub(crate) fn ours() -> Result<BTreeSet<i32>, Error> {
    Ok(own(&all()?))
}

/// A socket that accepts connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listener {
    /// Where.
    pub(crate) address: SocketAddr,
    /// Who holds it, as far as we may see.
    pub(crate) holders: Vec<Proc>,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if self.holders.is_empty() {
            return f.write_str(" by a process that this user cannot see");
        }
        for (n, holder) in self.holders.iter().enumerate() {
            write!(f, "{} {holder}", if n == 0 { " by" } else { "," })?;
        }
        Ok(())
    }
}

fn trouble(what: &str, cause: &ProcError) -> Error {
    Error::io(format!("cannot read {what}"), cause)
}

/// Everything about a process that the rules below need.
struct Found {
    handle: Process,
    parent: i32,
    words: Vec<String>,
    program: String,
}

/// All processes that have a command line: neither threads of the kernel nor processes that have ended.
fn all() -> Result<BTreeMap<i32, Found>, Error> {
    // With `hidepid` others' processes are missing from the list, and "none" would be a lie.
    Process::new(1)
        .and_then(|p| p.stat())
        .map_err(|e| trouble("/proc/1: the processes of others cannot be seen", &e))?;
    let mut found = BTreeMap::new();
    let own = container(Path::new("/proc/self"));
    let list = procfs::process::all_processes().map_err(|e| trouble("/proc", &e))?;
    // One that cannot be looked at has ended meanwhile.
    for handle in list.filter_map(Result::ok) {
        let mut bytes = Vec::new();
        let read = handle
            .open_relative("cmdline")
            .is_ok_and(|mut file| file.read_to_end(&mut bytes).is_ok());
        let words: Vec<String> = bytes
            .split(|b| *b == 0)
            .filter(|word| !word.is_empty())
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        let Ok(stat) = handle.stat() else { continue };
        if !read || words.is_empty() {
            continue;
        }
        // What runs in a container looks the same from here, and belongs to somebody else.
        let theirs = container(Path::new(&format!("/proc/{}", handle.pid())));
        if theirs.is_some() && own.is_some() && theirs != own {
            continue;
        }
        // Of a process of somebody else the program cannot be read; its first word has to do.
        let program = handle.exe().map(|p| name(&p)).unwrap_or_default();
        found.insert(
            handle.pid(),
            Found {
                parent: stat.ppid,
                handle,
                words,
                program,
            },
        );
    }
    Ok(found)
}

/// The container that a process runs in: its namespace of process numbers. None where we may not see it.
fn container(process: &Path) -> Option<std::path::PathBuf> {
    std::fs::read_link(process.join("ns/pid")).ok()
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

impl Found {
    fn ours(&self) -> bool {
        let first = self.words.first().map(|w| name(Path::new(w)));
        self.program.starts_with(OURS) || first.is_some_and(|n| n.starts_with(OURS))
    }

    fn proc(&self) -> Proc {
        Proc {
            pid: self.handle.pid(),
            command: self.words.join(" "),
        }
    }
}

/// Our own processes, and those above them that were started to start us (`sudo upledger …`, `sh -c 'upledger …'`). A
/// daemon above us, such as cron, is none of ours and counts.
fn own(all: &BTreeMap<i32, Found>) -> BTreeSet<i32> {
    let me = i32::try_from(std::process::id()).unwrap_or_default();
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
            pid = parent.handle.pid();
            if parent.words.iter().any(|w| w.contains(OURS)) {
                own.insert(pid);
            }
        }
    }
    own
}

/// Processes whose command line matches, by their ids.
///
/// # Errors
/// [`Error`] when the processes of others cannot be seen.
pub(crate) fn matching(pattern: &Regex) -> Result<Vec<Proc>, Error> {
    let all = all()?;
    let own = own(&all);
    Ok(all
        .iter()
        .filter(|(pid, _)| !own.contains(pid))
        .map(|(_, found)| found.proc())
        .filter(|p| pattern.is_match(&p.command))
        .collect())
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
    let daemon = |found: &Found| {
        let first = found.words.first().map(|w| name(Path::new(w)));
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
        .filter(|found| !above.contains(&found.handle.pid()))
        .filter(|found| !daemon(found) && all.get(&found.parent).is_some_and(daemon))
        .map(|found| CronJob {
            pid: found.handle.pid(),
            uid: found.handle.uid().ok(),
            words: found.words.clone(),
        })
        .collect())
}

/// Who listens on a TCP port of this machine, on any of its addresses.
///
/// # Errors
/// [`Error`] when the sockets cannot be read.
pub(crate) fn listeners(port: u16) -> Result<Vec<Listener>, Error> {
    let mut entries = procfs::net::tcp().map_err(|e| trouble("/proc/net/tcp", &e))?;
    match procfs::net::tcp6() {
        Ok(more) => entries.extend(more),
        // A kernel without IPv6.
        Err(ProcError::NotFound(_)) => {}
        Err(e) => return Err(trouble("/proc/net/tcp6", &e)),
    }
    let listens = |e: &TcpNetEntry| e.state == TcpState::Listen && e.local_address.port() == port;
    entries.retain(listens);
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let mut holders = holders(&entries.iter().map(|e| e.inode).collect());
    Ok(entries
        .iter()
        .map(|e| Listener {
            address: e.local_address,
            holders: holders.remove(&e.inode).unwrap_or_default(),
        })
        .collect())
}

/// Which processes hold which sockets. Without the right to look it names nobody.
fn holders(sockets: &BTreeSet<u64>) -> BTreeMap<u64, Vec<Proc>> {
    let mut holders: BTreeMap<u64, Vec<Proc>> = BTreeMap::new();
    for found in all().unwrap_or_default().values() {
        let held: BTreeSet<u64> = found
            .handle
            .fd()
            .into_iter()
            .flatten()
            .filter_map(|fd| match fd.ok()?.target {
                FDTarget::Socket(inode) if sockets.contains(&inode) => Some(inode),
                _ => None,
            })
            .collect();
        for inode in held {
            holders.entry(inode).or_default().push(found.proc());
        }
    }
    holders
}

/// A process that uses a directory: that works, runs or has something open or mapped below it, or names something below
/// it in its words. Our own process does not count, those of containers do. Of one that we may not look into, the words
/// have to do.
///
/// # Errors
/// [`Error`] when the processes of others cannot be seen.
pub(crate) fn user(dir: &Path) -> Result<Option<String>, Error> {
    Process::new(1)
        .and_then(|p| p.stat())
        .map_err(|e| trouble("/proc/1: the processes of others cannot be seen", &e))?;
    let me = i32::try_from(std::process::id()).unwrap_or_default();
    let below = |path: &Path| path.starts_with(dir);
    let uses = |process: &Process| {
        let at = |path: Result<PathBuf, ProcError>| path.is_ok_and(|p| below(&p));
        let words = || process.cmdline().unwrap_or_default();
        let named = |word: &String| Path::new(word) != dir && below(Path::new(word));
        let mut fds = process.fd().into_iter().flatten().flatten();
        let maps = || process.maps().into_iter().flatten();
        at(process.cwd())
            || at(process.exe())
            || at(process.root())
            || words().iter().any(named)
            || fds.any(|fd| matches!(fd.target, FDTarget::Path(p) if below(&p)))
            || maps().any(|m| matches!(m.pathname, MMapPath::Path(p) if below(&p)))
    };
    let list = procfs::process::all_processes().map_err(|e| trouble("/proc", &e))?;
    let mut others = list.filter_map(Result::ok).filter(|p| p.pid() != me);
    Ok(others.find(uses).map(|process| {
        // Its name and no more: a command line may hold secrets.
        let name = process.stat().map(|s| s.comm).unwrap_or_default();
        format!("process {} ({name})", process.pid())
    }))
}
