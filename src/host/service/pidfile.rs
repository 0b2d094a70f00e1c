//! Pidfiles of other programs: a bare number, which cannot say whether its process is still the same.
//!
//! Invariants: a process that seems to have begun after the file was written is in doubt, never taken for ended: numbers
//! are used again, and clocks are set, and from outside both look the same; whoever could have written the file chooses whom we end, so a file that everybody may write, or of a user who
//! is neither root nor the process's own, is refused.

use super::by::By;
use super::cmdline::unmanaged;
use super::found::{Found, Master};
use super::kind::{Kind, Role};
use super::launch::{self, Readiness};
use super::manager::{Manager, managed};
use super::release::began;
use crate::action::{Context, Error, Work};
use crate::host::process::ending::Grace;
use crate::host::process::identity::{Ident, Stat};
use crate::host::process::list::{self, Other};
use crate::host::process::note::Note;
use crate::host::process::tree;
use crate::system::plain::{self, NotPlain};
use crate::system::proc;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// How much later than its pidfile a process may seem to have begun: clocks are set, and the kernel rounds.
const SLACK: Duration = Duration::from_secs(5);
/// More is no number.
const SIZE: u64 = 64;

/// What a pidfile says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    /// There is no pidfile, or nothing stands in it yet.
    Nobody,
    /// It names a process that has ended: the number, and in words.
    Stale(i32, String),
    /// It names a process that lives and seems younger than the file: another to whom the number has passed, or the
    /// right one behind a clock that was set. And in words, with the remedy.
    Doubtful(Ident, String),
    /// It names this one.
    Process(Ident),
}

/// Reads one.
///
/// # Errors
/// [`Error`] when it cannot be read, is no pidfile, or others could have written it.
pub(crate) fn read(path: &Path) -> Result<Named, Error> {
    let shown = path.display();
    let cannot = |e: &io::Error| Error::io(format!("cannot read the pidfile {shown}"), e);
    let refused = |why: &str| {
        Error::new(format!(
            "{shown} is not trusted ({why}): name another pidfile, or `by: {{match: ...}}`"
        ))
    };
    // A link may lead to a file that somebody else chose.
    let (file, meta) = match plain::open(File::options().read(true), path) {
        Ok(opened) => opened,
        Err(NotPlain::Io(e)) if e.kind() == io::ErrorKind::NotFound => return Ok(Named::Nobody),
        Err(NotPlain::Io(e)) => return Err(cannot(&e)),
        Err(why) => return Err(refused(&why.to_string())),
    };
    if meta.mode() & 0o002 != 0 {
        return Err(refused("it is world-writable"));
    }
    let mut text = String::new();
    file.take(SIZE)
        .read_to_string(&mut text)
        .map_err(|e| cannot(&e))?;
    let text = text.trim();
    if text.is_empty() {
        return Ok(Named::Nobody);
    }
    // 0 and 1 and what is negative mean groups, or everybody, to the kernel.
    let pid = text.parse::<i32>().ok().filter(|pid| *pid > 1);
    let pid = pid.ok_or_else(|| refused("it holds no process number"))?;
    let Some(ident) = Ident::of(pid) else {
        return Ok(Named::Stale(
            pid,
            format!("{shown} names process {pid}, which has ended"),
        ));
    };
    let written = meta.modified().map_err(|e| cannot(&e))?;
    if began(ident.pid).is_some_and(|began| began > written + SLACK) {
        let why = format!(
            "{shown} names {}, which is running but started after the file was written: either its pid was \
             reused by another process, or the clock was set since; check it (ps -fp {pid}), then `touch {shown}` if it is \
             the right one, or remove the file if it is not",
            ident.shown()
        );
        return Ok(Named::Doubtful(ident, why));
    }
    let user = proc::Status::of(pid).map(|s| s.euid);
    if user.is_ok_and(|user| ![0, user].contains(&meta.uid())) {
        return Err(refused(&format!(
            "it is owned by user {}, but process {pid} is not",
            meta.uid()
        )));
    }
    Ok(Named::Process(ident))
}

/// Removes a pidfile that still names that process, which has ended.
///
/// # Errors
/// [`Error`] when it cannot be removed.
pub(crate) fn remove(path: &Path, ended: &Ident) -> Result<bool, Error> {
    let Ok(text) = std::fs::read_to_string(path) else {
        return Ok(false);
    };
    if text.trim().parse() != Ok(ended.pid) || ended.alive() {
        return Ok(false);
    }
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io(format!("cannot remove {}", path.display()), &e)),
    }
}

/// A service that writes its own pidfile.
pub(crate) struct Pidfile<'a> {
    pub(crate) path: &'a str,
    /// How it is started.
    pub(crate) by: &'a By,
}

impl Manager for Pidfile<'_> {
    fn find(&self, cx: &Context, kind: &dyn Kind) -> Result<Found, Error> {
        unmanaged(cx, self.found(cx, kind)?)
    }

    fn stop(
        &self,
        work: &mut Work<'_, Note>,
        kind: &dyn Kind,
        found: &Found,
        grace: Grace,
    ) -> Result<(), Error> {
        tree::end(work, found, Some(kind.gentle()), grace)?;
        for master in &found.masters {
            if remove(Path::new(self.path), &master.ident)? {
                work.log_line(&format!(
                    "removed {}, which its process left behind",
                    self.path
                ));
            }
        }
        Ok(())
    }

    fn start(
        &self,
        work: &mut Work<'_, Note>,
        kind: &dyn Kind,
        before: Option<&Found>,
        readiness: Readiness<'_>,
        within: Duration,
    ) -> Result<(), Error> {
        launch::start(self, Some(self.by), work, kind, before, readiness, within)
    }

    fn start_commands(&self, kind: &dyn Kind, before: Option<&Found>) -> Vec<String> {
        launch::commands(Some(self.by), kind, before)
    }

    fn restartable(&self, kind: &dyn Kind, found: &Found) -> Result<(), Error> {
        launch::restartable(Some(self.by), kind, found)
    }

    fn start_argv(&self) -> &[String] {
        &self.by.start
    }

    fn dir(&self) -> Option<&str> {
        self.by.cwd.as_deref()
    }

    fn has_pidfile(&self) -> bool {
        true
    }
}

impl Pidfile<'_> {
    /// The service that the pidfile names. Where it names none: whoever writes it by its own words, the workers that its
    /// dead master has left, and by name those of whom neither can be told.
    fn found(&self, cx: &Context, kind: &dyn Kind) -> Result<Found, Error> {
        let path = self.path;
        let mut found = Found::default();
        let others = list::others()?;
        let mut former = None;
        let stale = match read(Path::new(path))? {
            Named::Nobody => format!("{path} names no process"),
            Named::Stale(pid, why) => {
                former = Some(pid);
                why
            }
            Named::Doubtful(ident, why) => {
                let process = others.iter().find(|p| p.pid == ident.pid);
                if process.is_some_and(|p| kind.role(p).is_some()) {
                    return Err(Error::new(why));
                }
                former = Some(ident.pid);
                format!(
                    "{path} is stale: its pid was reused by {}, which is not {}",
                    ident.shown(),
                    kind.name()
                )
            }
            Named::Process(ident) => {
                let process = others.iter().find(|p| p.pid == ident.pid);
                match process.and_then(|p| kind.role(p).map(|_| p)) {
                    Some(process) => {
                        for member in family(kind, &others, process) {
                            let ident = Ident::of(member.pid);
                            let look = ident.map(|i| Master::look(cx, &i, &member.words));
                            found.masters.extend(look.transpose()?.flatten());
                        }
                        return Ok(found);
                    }
                    None => format!("{path} is stale: {} is not {}", ident.shown(), kind.name()),
                }
            }
        };
        // That a pidfile names nobody does not mean that nobody runs: it may be empty, removed or overwritten.
        for process in others.iter().filter(|p| kind.role(p) == Some(Role::Master)) {
            let Some(ident) = Ident::of(process.pid).filter(|i| managed(cx, i).is_none()) else {
                continue;
            };
            let Some(master) = Master::look(cx, &ident, &process.words)? else {
                continue;
            };
            match self.writer(kind, process) {
                Some(true) => {
                    found
                        .notes
                        .push(format!("{} writes {path}", master.shown()));
                    found.masters.push(master);
                }
                Some(false) => {}
                None => found.strays.push(master.shown()),
            }
        }
        // A master that was killed leaves its pidfile, and workers that still accept: they show the same command line.
        for process in &others {
            let same = self.named_by(process);
            let parent = others
                .iter()
                .any(|p| p.pid == process.parent && p.words == process.words);
            // A session's number is not given to a new process while the session has members.
            let session = former.is_some_and(|f| {
                let of = Stat::of(process.pid);
                of.is_some_and(|s| s.session == f)
                    && Stat::of(f).is_none_or(|s| !s.lives() || s.session != f)
            });
            if (same || session)
                && !parent
                && kind.role(process) == Some(Role::Worker)
                && let Some(ident) = Ident::of(process.pid)
                && let Some(mut master) = Master::look(cx, &ident, &process.words)?
            {
                master.orphan = true;
                found.notes.push(master.shown());
                found.masters.push(master);
            }
        }
        found.notes.insert(0, stale);
        Ok(found)
    }

    /// The command line names the pidfile, or is that of `by.start`.
    fn named_by(&self, process: &Other) -> bool {
        let (path, start) = (self.path, self.by.start.as_slice());
        let assigned = format!("={path}");
        let mut words = process.words.iter();
        words.any(|w| w == path || w.ends_with(&assigned))
            || (start.len() > 1 && process.words.ends_with(start))
    }

    /// That first process writes this pidfile; none where that cannot be told.
    fn writer(&self, kind: &dyn Kind, process: &Other) -> Option<bool> {
        if kind.any() {
            // Whoever names it may as well read it.
            let start = self.by.start.as_slice();
            let started = start.len() > 1 && process.words.ends_with(start);
            let first = start.first().and_then(|w| w.rsplit('/').next());
            // Its title hides which one of that program it is.
            let titled = first == Some(process.program.as_str())
                && process
                    .words
                    .iter()
                    .all(|w| w.contains(char::is_whitespace));
            return match self.named_by(process) {
                true if started => Some(true),
                true => None,
                false if titled => None,
                false => Some(false),
            };
        }
        match kind.pidfile(process) {
            Some(own) => Some(same_path(&own, Path::new(self.path))),
            None if self.named_by(process) => Some(true),
            // Other words than those of `by.start` make it another.
            None if self.by.start.len() > 1 => Some(false),
            None => None,
        }
    }
}

/// Two names of one place: `/var/run` is a link.
fn same_path(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| {
        let dir = path.parent().and_then(|d| d.canonicalize().ok());
        Some(dir?.join(path.file_name()?))
    };
    one == other || (real(one).is_some() && real(one) == real(other))
}

/// A first process with those that it has started, or was started by, as its successors: USR2.
fn family<'p>(kind: &dyn Kind, all: &'p [Other], of: &'p Other) -> Vec<&'p Other> {
    let mut family = vec![of];
    if !kind.nests() {
        return family;
    }
    let first: Vec<&Other> = all
        .iter()
        .filter(|p| kind.role(p) == Some(Role::Master))
        .collect();
    loop {
        let related = |p: &&&Other| {
            let mut known = family.iter();
            known.any(|k| k.pid == p.parent || k.parent == p.pid)
        };
        let new = |p: &&&Other| family.iter().all(|k| k.pid != p.pid);
        let Some(next) = first.iter().filter(new).find(related) else {
            return family;
        };
        family.push(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::time::SystemTime;

    fn own() -> Ident {
        Ident::of(i32::try_from(std::process::id()).unwrap()).unwrap()
    }

    #[test]
    fn a_number_that_may_have_been_given_away_is_doubtful_while_it_lives() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        assert_eq!(read(&path).unwrap(), Named::Nobody);
        std::fs::write(&path, "").unwrap();
        assert_eq!(read(&path).unwrap(), Named::Nobody);
        std::fs::write(&path, format!("{}\n", own().pid)).unwrap();
        assert_eq!(read(&path).unwrap(), Named::Process(own()));
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        let long_ago = SystemTime::now() - Duration::from_secs(3 * 24 * 3600);
        file.set_modified(long_ago).unwrap();
        let Named::Doubtful(ident, why) = read(&path).unwrap() else {
            panic!("this process is younger than its pidfile, and lives")
        };
        assert_eq!(ident, own());
        assert!(why.contains("the clock was set"), "{why}");
        std::fs::write(&path, "2000000000").unwrap();
        assert!(matches!(
            read(&path).unwrap(),
            Named::Stale(2_000_000_000, _)
        ));
    }

    #[test]
    fn what_is_no_pidfile_or_could_be_anybodys_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        for text in ["-1", "0", "1", "x", "{\"pid\": 7}", "12 13"] {
            std::fs::write(&path, text).unwrap();
            assert!(read(&path).is_err(), "{text}");
        }
        std::fs::write(&path, own().pid.to_string()).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(read(&link).is_err() && read(dir.path()).is_err());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(read(&path).is_err());
    }

    #[test]
    fn only_the_pidfile_of_the_dead_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        std::fs::write(&path, own().pid.to_string()).unwrap();
        assert!(!remove(&path, &own()).unwrap() && path.exists());
        let dead = Ident {
            starttime: 1,
            ..own()
        };
        let other = Ident {
            pid: i32::MAX,
            ..own()
        };
        assert!(!remove(&path, &other).unwrap());
        assert!(remove(&path, &dead).unwrap() && !path.exists());
    }
}
