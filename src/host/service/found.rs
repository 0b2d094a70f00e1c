//! What a look at a service found: all that its stop and its undo will need, as the ledger keeps it.
//!
//! Invariants: no environment is recorded, because it may hold secrets and the record is for ever; a command line that
//! seems to hold one is recorded without it, and kept whole only for an undo. What is known of a process is of the moment of the look; whoever acts on it looks again at its identity.

use super::claim;
use super::kind::Kind;
use crate::action::{Context, Error, Kept, Work};
use crate::encoding;
use crate::host::process::daemon::User;
use crate::host::process::identity::{Ident, session};
use crate::host::process::note::{Note, was_signalled};
use crate::host::process::pidfile::Record;
use crate::host::process::session::{Left, left};
use crate::host::process::{mask, sockets, tree};
use crate::system::proc;
use crate::text::actions as phrases;
use crate::time::Length;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One first process of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Master {
    /// Which process.
    #[serde(rename = "process")]
    pub(crate) ident: Ident,
    /// Its command line, secrets cut out.
    pub(crate) argv: Vec<String>,
    /// The whole command line, where `argv` is not all of it and an undo needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kept: Option<Kept>,
    /// The same as it was just seen.
    #[serde(skip)]
    whole: Option<Vec<String>>,
    /// Its working directory.
    pub(crate) cwd: String,
    /// The file that it executes.
    pub(crate) exe: String,
    /// The file that its first word means where that names no path, by the `PATH` that it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) program: Option<String>,
    /// The directory that it was started in, where it has left that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) start_dir: Option<String>,
    /// As whom it runs.
    pub(crate) user: User,
    /// The plain file that its output goes to.
    pub(crate) log: Option<String>,
    /// It is a worker whose master is gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) orphan: bool,
    /// What was below it.
    pub(crate) members: Vec<Ident>,
}

/// A program of supervisord, or a unit of systemd.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Program {
    /// Its whole name: with its group, or with the ending of the unit.
    pub(crate) name: String,
    /// Its state, in the manager's word.
    pub(crate) state: String,
    /// The state in detail, where the manager says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sub: Option<String>,
    /// Whether systemd starts it at boot, in its word: `enabled`, `disabled`, `static`, `masked`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) boot: Option<String>,
    /// How long its manager waits for its end before it kills, in milliseconds: `stopwaitsecs`, `TimeoutStopSec`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) wait: Option<u64>,
    /// The number of the signal by which its manager asks it to end.
    #[serde(skip)]
    pub(crate) signal: Option<i32>,
    /// The directory that its manager starts it in.
    #[serde(skip)]
    pub(crate) dir: Option<String>,
}

/// How long a manager may take beyond its own limit.
const AFTER_KILL: Duration = Duration::from_secs(5);
/// What a program is said to be that has ended with an exit status that its settings expect.
pub(super) const EXPECTED: &str = "as expected";

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// The first processes that live.
    pub(crate) masters: Vec<Master>,
    /// The programs or units, where a manager runs it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) programs: Vec<Program>,
    /// The TCP ports that it accepted on.
    #[serde(default)]
    pub(crate) ports: Vec<u16>,
    /// The sockets in the file system that it accepted on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) sockets: Vec<String>,
    /// What else is worth telling: a stale pidfile, a worker without a master.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
    /// Workers without a master that may be of it or not: they show no place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) strays: Vec<String>,
}

impl Found {
    /// Keeps the command lines that are not recorded whole, so that an undo can start what ran.
    ///
    /// # Errors
    /// [`Error`] when one cannot be made durable.
    pub(crate) fn keep_commands(mut self, cx: &Context) -> Result<Self, Error> {
        let mut known: Vec<(Vec<String>, Kept)> = Vec::new();
        for master in &mut self.masters {
            let Some(whole) = &master.whole else {
                continue;
            };
            // Processes of one service are known by it, and no two salted digests of it are the same.
            let same = known.iter().find(|(words, _)| words == whole);
            let kept = match same {
                Some((_, kept)) => kept.clone(),
                None => {
                    let text = serde_json::to_vec(whole)
                        .map_err(|e| Error::io("a command cannot be kept", &e))?;
                    let kept = cx.keep(&text)?;
                    known.push((whole.clone(), kept.clone()));
                    kept
                }
            };
            master.kept = Some(kept);
        }
        Ok(self)
    }

    /// The names of what its manager runs of it, or is about to run.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = &str> {
        let wanted = self.programs.iter().filter(|p| p.is_wanted());
        wanted.map(|p| p.name.as_str())
    }

    /// The directories that its manager starts its programs in.
    pub(crate) fn dirs(&self) -> impl Iterator<Item = &Path> {
        self.programs
            .iter()
            .filter_map(|p| p.dir.as_deref().map(Path::new))
    }

    /// The names of what its manager runs of it.
    pub(crate) fn running(&self) -> impl Iterator<Item = &str> {
        let running = self.programs.iter().filter(|p| p.is_running());
        running.map(|p| p.name.as_str())
    }

    /// How long its manager lets it end, where the longest of its programs is known.
    pub(crate) fn wait(&self) -> Option<u64> {
        let wanted = self.programs.iter().filter(|p| p.is_wanted());
        wanted.filter_map(|p| p.wait).max()
    }

    /// How long its manager is waited for: where it kills by itself within that time, a little longer, so that it does.
    pub(crate) fn patience(&self, grace: Duration) -> Duration {
        let kills = self
            .wait()
            .is_some_and(|w| Duration::from_millis(w) <= grace);
        if kills { grace + AFTER_KILL } else { grace }
    }

    /// What of it its manager kills before that time is over, by its own setting, in lines for people.
    pub(crate) fn kept_short(&self, grace: Length, setting: &str) -> Vec<String> {
        let mut short: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
        for program in self.programs.iter().filter(|p| p.is_wanted()) {
            if let Some(wait) = program.wait.filter(|w| *w < grace.0) {
                short.entry(wait).or_default().push(&program.name);
            }
        }
        let line = |(wait, names): (&u64, &Vec<&str>)| {
            phrases::manager_kills(crate::text::list(names), Length(*wait), setting)
        };
        short.iter().map(line).collect()
    }

    /// Refuses processes of other users where nobody but us would signal them.
    ///
    /// # Errors
    /// [`Error`] with the remedy.
    pub(crate) fn may_signal(&self) -> Result<(), Error> {
        let own = rustix::process::geteuid();
        let foreign = |m: &&Master| !own.is_root() && m.user.uid != own.as_raw();
        match self.masters.iter().find(foreign) {
            Some(master) => Err(Error::new(format!(
                "{} runs as another user (uid {})",
                master.shown(),
                master.user.uid
            ))
            .remedy("run upledger as that user or as root")
            .lasting()),
            None => Ok(()),
        }
    }

    /// Its manager asks some of it to end by TERM, which is not what lets this kind finish its work.
    pub(crate) fn is_cut_off(&self, kind: &dyn Kind) -> bool {
        self.cut_off(kind).next().is_some()
    }

    fn cut_off(&self, kind: &dyn Kind) -> impl Iterator<Item = &Program> {
        let other = !kind.any() && kind.gentle() != Signal::TERM;
        let term = move |p: &&Program| other && p.signal == Some(Signal::TERM.as_raw());
        self.programs.iter().filter(term)
    }

    /// Tells what its manager would cut off, and by which setting that is mended.
    pub(crate) fn note_signals(&mut self, kind: &dyn Kind, setting: &str) {
        let (name, gentle) = (kind.name(), tree::name(kind.gentle()));
        let note = |p: &Program| {
            format!(
                "its manager stops {} by TERM, which cuts off requests of {name}, so {gentle} is sent first; set \
                 `{setting}{gentle}` for it",
                p.name
            )
        };
        let notes: Vec<String> = self.cut_off(kind).map(note).collect();
        self.notes.extend(notes);
    }

    /// Notes that its first processes are told to end.
    ///
    /// # Errors
    /// [`Error`] when a note cannot be made durable.
    pub(crate) fn note_signalled(&self, work: &mut Work<'_, Note>) -> Result<(), Error> {
        for process in self.idents().into_iter().filter(Ident::alive) {
            if !was_signalled(work.all_noted(), &process) {
                work.note(Note::Signalled { process })?;
            }
        }
        Ok(())
    }

    /// Something of it runs, or its manager is about to start it.
    pub(crate) fn runs(&self) -> bool {
        !self.masters.is_empty() || self.programs.iter().any(Program::is_wanted)
    }

    /// It runs, and has no process: a timer, a socket, a service that has done its work.
    pub(crate) fn has_no_process(&self) -> bool {
        self.masters.is_empty()
            && !self.programs.is_empty()
            && self.programs.iter().all(Program::has_no_process)
    }

    /// All of it runs: each program or unit, and a first process that is no orphan. What has done its work beside others
    /// that run is no lack.
    pub(crate) fn is_up(&self) -> bool {
        self.is_up_but(&[])
    }

    /// The same, but for programs that nobody demands.
    pub(crate) fn is_up_but(&self, spared: &[String]) -> bool {
        let all = |p: &Program| p.is_running() || p.is_finished() || spared.contains(&p.name);
        let all = self.programs.iter().all(all);
        all && (self.masters.iter().any(|m| !m.orphan) || self.has_no_process())
    }

    /// Each of its programs has ended as its settings expect.
    pub(crate) fn is_finished(&self) -> bool {
        !self.programs.is_empty() && self.programs.iter().all(Program::is_finished)
    }

    /// Its first processes that none other of them has started.
    pub(crate) fn roots(&self) -> impl Iterator<Item = &Master> {
        let below = |m: &Master| {
            let mut others = self.masters.iter().filter(|o| o.ident != m.ident);
            others.any(|o| o.members.contains(&m.ident))
        };
        self.masters.iter().filter(move |m| !below(m))
    }

    /// Its first processes.
    pub(crate) fn idents(&self) -> Vec<Ident> {
        self.masters.iter().map(|m| m.ident.clone()).collect()
    }

    /// All processes that were seen of it, each once: a first process may be below another one.
    pub(crate) fn all(&self) -> Vec<Ident> {
        let mut all = self.idents();
        for member in self.masters.iter().flat_map(|m| &m.members) {
            if !all.contains(member) {
                all.push(member.clone());
            }
        }
        all
    }

    /// It knows that process as one of its first.
    pub(crate) fn knows(&self, ident: &Ident) -> bool {
        self.masters.iter().any(|m| m.ident == *ident)
    }

    /// Why it cannot be said that nothing of it runs, with the remedy.
    pub(crate) fn astray(&self, name: &str) -> Option<String> {
        let who = || crate::text::list(&self.strays);
        let states: Vec<String> = self.programs.iter().map(Program::shown).collect();
        let managed = !self.programs.is_empty();
        let hidden = !self.strays.is_empty() && (managed || !self.runs());
        hidden.then(|| match states.as_slice() {
            [] => phrases::untold(name, who()),
            states => phrases::out_of_sight(crate::text::list(states), who()),
        })
    }

    /// What stands with where each of its first processes was started, as far as its kind can tell.
    pub(crate) fn with_start_dirs(mut self, kind: &dyn Kind) -> Self {
        for master in &mut self.masters {
            master.start_dir = kind.started_in(master).unwrap_or_default();
        }
        self
    }

    /// Its processes for people.
    pub(crate) fn shown(&self) -> String {
        let each: Vec<String> = self.masters.iter().map(Master::shown).collect();
        each.join(", ")
    }

    /// The same with more to tell.
    pub(super) fn with_notes(mut self, notes: Vec<String>) -> Self {
        self.notes.extend(notes);
        self
    }

    /// Programs of it that another look did not know.
    pub(crate) fn beside<'f>(&'f self, other: &'f Self) -> impl Iterator<Item = &'f Program> {
        let known = |p: &Program| other.programs.iter().any(|o| o.name == p.name);
        self.programs.iter().filter(move |p| !known(p))
    }

    /// Adds where its processes listen.
    pub(crate) fn with_listeners(mut self) -> Self {
        let all = self.all();
        self.ports = sockets::of(&all);
        self.sockets = sockets::sockets(&all);
        self
    }
}

impl Program {
    /// It runs, or its manager tries to make it run.
    pub(crate) fn is_wanted(&self) -> bool {
        let word = self.state.as_str();
        self.is_running()
            || matches!(word, "STARTING" | "BACKOFF")
            || matches!(word, "activating" | "reloading" | "refreshing")
    }

    /// It runs.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.state.as_str(), "RUNNING" | "active")
    }

    /// It has done its work: it ended with an exit status that its settings expect.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.state.as_str(), "EXITED" | "inactive")
            && self.sub.as_deref() == Some(EXPECTED)
    }

    /// It was stopped, and nobody tries to start it.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self.state.as_str(), "STOPPED" | "inactive")
    }

    /// It has no process while it runs: a timer, a socket, a service that has done its work.
    pub(crate) fn has_no_process(&self) -> bool {
        let sub = self.sub.as_deref().unwrap_or_default();
        self.state == "active" && (!self.name.ends_with(".service") || sub == "exited")
    }

    /// For people.
    pub(crate) fn shown(&self) -> String {
        let sub = self.sub.as_ref().map(|s| format!(" ({s})"));
        format!("{} is {}{}", self.name, self.state, sub.unwrap_or_default())
    }
}

impl Master {
    /// A process as it is now; none when it has ended.
    ///
    /// # Errors
    /// [`Error`] when a secret is too short to be found in its command line.
    pub(crate) fn look(
        cx: &Context,
        ident: &Ident,
        words: &[String],
    ) -> Result<Option<Self>, Error> {
        let seen = || -> Option<(Self, Vec<String>)> {
            let status = proc::Status::of(ident.pid).ok()?;
            // Links of a process of somebody else cannot be read; then it cannot be stopped either.
            let link = |of: std::io::Result<PathBuf>| {
                of.map(|p| encoding::escaped(p.as_os_str().as_bytes()))
                    .unwrap_or_default()
            };
            let log = [1, 2].iter().find_map(|fd| {
                let to = proc::open_file(ident.pid, *fd)?;
                std::fs::symlink_metadata(&to).ok()?.is_file().then_some(to)
            });
            let argv = words.to_vec();
            let user = User {
                uid: status.euid,
                gid: status.egid,
                groups: status.groups.clone(),
                umask: status.umask.unwrap_or(0o022),
            };
            let master = Self {
                ident: ident.clone(),
                argv: argv.clone(),
                kept: None,
                whole: None,
                cwd: link(proc::cwd(ident.pid)),
                exe: link(proc::exe(ident.pid))
                    .trim_end_matches(" (deleted)")
                    .to_owned(),
                program: claim::program(ident.pid, words),
                start_dir: None,
                user,
                log: log.map(|l| encoding::escaped(l.as_os_str().as_bytes())),
                orphan: false,
                members: tree::below(std::slice::from_ref(ident)),
            };
            ident.alive().then_some((master, argv))
        };
        let Some((mut master, argv)) = seen() else {
            return Ok(None);
        };
        let redactor = cx.redactor()?;
        let redacted: Vec<String> = argv.iter().map(|w| redactor.text(w)).collect();
        let masked = mask::words(&redacted);
        if masked != argv {
            master.whole = Some(argv);
            master.argv = masked;
        }
        Ok(Some(master))
    }

    /// The daemon of a pidfile of ours, or what is left of its session; none when nothing is.
    ///
    /// # Errors
    /// [`Error`] when a secret is too short to be found in its command line.
    pub(super) fn of_record(cx: &Context, record: &Record) -> Result<Option<Self>, Error> {
        if record.alive()
            && let Some(mut master) = Self::look(cx, &record.ident, &record.argv)?
        {
            master.members = session(&record.ident);
            master.cwd.clone_from(&record.cwd);
            master.log = Some(record.log.clone());
            return Ok(Some(master));
        }
        Ok(match left(&record.ident, &[]) {
            Left::Nothing => None,
            Left::These(members) | Left::Untold(members) => {
                let mut master = Self::stored(record.clone(), members);
                master.argv = mask::words(&master.argv);
                master.orphan = true;
                Some(master)
            }
        })
    }

    /// What a record of a daemon tells of it.
    pub(super) fn stored(record: Record, members: Vec<Ident>) -> Self {
        Self {
            ident: record.ident,
            argv: record.argv,
            kept: None,
            whole: None,
            cwd: record.cwd,
            exe: String::new(),
            program: None,
            start_dir: None,
            user: User::current(),
            log: Some(record.log),
            orphan: false,
            members,
        }
    }

    /// The whole command line.
    ///
    /// # Errors
    /// [`Error`] when it was kept, and what was kept is gone or was changed.
    pub(crate) fn words(&self, cx: &Context) -> Result<Vec<String>, Error> {
        match (&self.whole, &self.kept) {
            (Some(whole), _) => Ok(whole.clone()),
            (None, Some(kept)) => serde_json::from_slice(&cx.kept(kept)?)
                .map_err(|e| Error::io("a command that was kept cannot be read", &e)),
            (None, None) => Ok(self.argv.clone()),
        }
    }

    /// The words of its command line as far as they may be shown, whole where they were just seen.
    pub(super) fn seen(&self) -> &[String] {
        self.whole.as_ref().unwrap_or(&self.argv)
    }

    /// That word is the one by which it was started.
    pub(super) fn names(&self, word: &str) -> bool {
        self.seen().first().is_some_and(|first| first == word)
    }

    /// What two processes of one service share.
    pub(crate) fn service(&self) -> impl PartialEq {
        (
            &self.argv,
            &self.whole,
            &self.kept,
            &self.cwd,
            self.user.uid,
        )
    }

    /// For people.
    pub(crate) fn shown(&self) -> String {
        let whole = self.argv.join(" ");
        let mut command: String = whole.chars().take(160).collect();
        if command.len() < whole.len() {
            command.push_str("...");
        }
        let command = if self.orphan {
            phrases::orphan(command)
        } else {
            command
        };
        phrases::process_named(self.ident.pid, command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_command_is_kept_whole_for_an_undo_alone() {
        let dir = tempfile::tempdir().unwrap();
        let look = Context {
            state: dir.path().into(),
            ..Context::default()
        };
        let argv = ["sleep", "600"].map(String::from);
        let mut child = std::process::Command::new("sleep")
            .arg("600")
            .spawn()
            .unwrap();
        let ident = Ident::of(i32::try_from(child.id()).unwrap()).unwrap();
        let plain = Master::look(&look, &ident, &argv).unwrap().unwrap();
        assert_eq!((&plain.argv, &plain.whole), (&argv.to_vec(), &None));
        let argv = ["sleep", "--password=x", "--broker-pass", "y=x"].map(String::from);
        let secret = Master::look(&look, &ident, &argv).unwrap().unwrap();
        assert_eq!(secret.words(&look).unwrap(), argv);
        assert!(!dir.path().join("undo").exists(), "a look keeps nothing");

        let found = Found {
            masters: vec![secret.clone(), plain, secret],
            ..Found::default()
        };
        // Each of them is below the others, as a master is that another one has started.
        let mut nested = found.clone();
        for master in &mut nested.masters {
            master.members = vec![ident.clone()];
        }
        nested.masters.truncate(1);
        assert_eq!(nested.all(), std::slice::from_ref(&ident));
        let recorded = serde_json::to_value(found.keep_commands(&look).unwrap()).unwrap();
        assert!(!recorded.to_string().contains("=x"), "{recorded}");
        let mut named = Vec::new();
        Kept::named_in(&recorded, &mut named);
        assert_eq!((named.len(), &named[0]), (2, &named[1]));
        let undo = Context {
            state: dir.path().into(),
            blobs: look.take_kept(),
            ..Context::default()
        };
        let read: Found = serde_json::from_value(recorded).unwrap();
        let words = |of: usize| read.masters[of].words(&undo);
        assert_eq!(words(0).unwrap(), argv);
        assert!(read.masters[0].service() == read.masters[2].service());
        assert!(read.masters[0].service() != read.masters[1].service());
        std::fs::write(undo.kept_at(&named[0]), "[]").unwrap();
        assert!(words(0).is_err(), "it was changed");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(Master::look(&look, &ident, &argv).unwrap(), None);
    }
}
