//! What a look at a service found: all that its stop and its undo will need, as the ledger keeps it.
//!
//! Invariants: no environment is recorded, because it may hold secrets and the record is for ever; a command line that
//! seems to hold one is recorded without it, and whole only in a private file of the state directory, named by its
//! digest. What is known of a process is of the moment of the look; whoever acts on it looks again at its identity.

use super::{ports, tree};
use crate::actions::process::daemon::User;
use crate::actions::process::identity::{Ident, Stat};
use crate::actions::{Context, Error, mask};
use crate::attempt::spec::digest;
use crate::text::actions as told;
use procfs::process::Process;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};

/// One first process of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Master {
    /// Which process.
    #[serde(flatten)]
    pub(crate) ident: Ident,
    /// Its command line, secrets cut out.
    pub(crate) argv: Vec<String>,
    /// The digest of the whole command line, where `argv` is not all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kept: Option<String>,
    /// Its working directory.
    pub(crate) cwd: String,
    /// The file that it executes.
    pub(crate) exe: String,
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

/// A program that supervisord keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Program {
    /// Its whole name, with its group.
    pub(crate) name: String,
    /// Its state, in supervisord's word.
    pub(crate) state: String,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Found {
    /// The first processes that live.
    pub(crate) masters: Vec<Master>,
    /// The programs, where supervisord keeps it.
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
    /// As the ledger keeps it.
    ///
    /// # Errors
    /// [`Error`] when it cannot be written down.
    pub(crate) fn value(&self) -> Result<serde_json::Value, Error> {
        serde_json::to_value(self).map_err(|e| Error::io("what was observed cannot be kept", &e))
    }

    /// From what the ledger keeps; nothing from nothing.
    ///
    /// # Errors
    /// [`Error`] when it cannot be read.
    pub(crate) fn of(observed: &serde_json::Value) -> Result<Self, Error> {
        if observed.is_null() {
            return Ok(Self::default());
        }
        serde_json::from_value(observed.clone())
            .map_err(|e| Error::io("what was observed cannot be read", &e))
    }

    /// Something of it runs, or its keeper is about to start it.
    pub(crate) fn runs(&self) -> bool {
        !self.masters.is_empty() || self.programs.iter().any(Program::wanted)
    }

    /// Its first processes.
    pub(crate) fn idents(&self) -> Vec<Ident> {
        self.masters.iter().map(|m| m.ident.clone()).collect()
    }

    /// All processes that were seen of it.
    pub(crate) fn all(&self) -> Vec<Ident> {
        let mut all = self.idents();
        all.extend(self.masters.iter().flat_map(|m| m.members.iter().cloned()));
        all
    }

    /// It knows that process as one of its first.
    pub(crate) fn knows(&self, ident: &Ident) -> bool {
        self.masters.iter().any(|m| m.ident == *ident)
    }

    /// Why it cannot be said that nothing of it runs, with the remedy.
    pub(crate) fn astray(&self, name: &str) -> Option<String> {
        (!self.runs() && !self.strays.is_empty())
            .then(|| told::untold(name, self.strays.join(", ")))
    }

    /// Its processes for people.
    pub(crate) fn shown(&self) -> String {
        let each: Vec<String> = self.masters.iter().map(Master::shown).collect();
        each.join(", ")
    }

    /// Adds where its processes listen.
    pub(crate) fn with_doors(mut self) -> Self {
        let all = self.all();
        self.ports = ports::of(&all);
        self.sockets = ports::sockets(&all);
        self
    }
}

impl Program {
    /// It runs, or supervisord tries to make it run.
    pub(crate) fn wanted(&self) -> bool {
        matches!(self.state.as_str(), "RUNNING" | "STARTING" | "BACKOFF")
    }
}

impl Master {
    /// A process as it is now; none when it has ended.
    ///
    /// # Errors
    /// [`Error`] when the private copy of its command line cannot be written.
    pub(crate) fn look(
        cx: &Context,
        ident: &Ident,
        words: &[String],
    ) -> Result<Option<Self>, Error> {
        let seen = || -> Option<(Self, Vec<String>)> {
            let process = Process::new(ident.pid).ok()?;
            let status = process.status().ok()?;
            // Links of a process of somebody else cannot be read; then it cannot be stopped either.
            let link = |of: procfs::ProcResult<PathBuf>| {
                of.map(|p| p.display().to_string()).unwrap_or_default()
            };
            let log = ["1", "2"].iter().find_map(|fd| {
                let to = std::fs::read_link(format!("/proc/{}/fd/{fd}", ident.pid)).ok()?;
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
                cwd: link(process.cwd()),
                exe: link(process.exe())
                    .trim_end_matches(" (deleted)")
                    .to_owned(),
                user,
                log: log.map(|l| l.display().to_string()),
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
            master.kept = Some(keep(cx, &argv)?);
            master.argv = masked;
        }
        Ok(Some(master))
    }

    /// The whole command line.
    ///
    /// # Errors
    /// [`Error`] when its private copy is gone or was changed.
    pub(crate) fn words(&self, cx: &Context) -> Result<Vec<String>, Error> {
        let Some(digested) = &self.kept else {
            return Ok(self.argv.clone());
        };
        let path = place(cx, digested)?;
        let text = std::fs::read_to_string(&path)
            .map_err(|e| Error::io(format!("cannot read {}", path.display()), &e))?;
        if digest(&text) != *digested {
            return Err(Error::new(format!("{} was changed", path.display())));
        }
        serde_json::from_str(&text)
            .map_err(|e| Error::io(format!("cannot read {}", path.display()), &e))
    }

    /// What two processes of one service share.
    pub(crate) fn service(&self) -> (&[String], Option<&str>, &str, u32) {
        (&self.argv, self.kept.as_deref(), &self.cwd, self.user.uid)
    }

    /// For people.
    pub(crate) fn shown(&self) -> String {
        let command: String = self.argv.join(" ").chars().take(160).collect();
        let command = if self.orphan {
            told::orphan(command)
        } else {
            command
        };
        told::process_named(self.ident.pid, command)
    }
}

fn place(cx: &Context, digested: &str) -> Result<PathBuf, Error> {
    Ok(cx.undo_dir()?.join(format!("argv-{digested}")))
}

/// Keeps a command line where only the runner's user can read it, and returns its digest.
fn keep(cx: &Context, argv: &[String]) -> Result<String, Error> {
    let text =
        serde_json::to_string(argv).map_err(|e| Error::io("a command cannot be kept", &e))?;
    let digested = digest(&text);
    let path = place(cx, &digested)?;
    let put = || -> std::io::Result<()> {
        let dir = path.parent().unwrap_or(Path::new("/"));
        // Its mode is 0600.
        let mut file = tempfile::Builder::new().prefix(".argv-").tempfile_in(dir)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|e| e.error)?;
        std::fs::File::open(dir)?.sync_all()
    };
    put().map_err(|e| Error::io(format!("cannot write {}", path.display()), &e))?;
    Ok(digested)
}

/// The program of a supervisord that keeps that process, where one does: its name, as the process was told it.
pub(crate) fn supervised(ident: &Ident) -> Option<String> {
    let parent = Stat::of(ident.pid)?.parent;
    let line = std::fs::read(format!("/proc/{parent}/cmdline")).ok()?;
    let keeps = line
        .split(|b| *b == 0)
        .take(3)
        .any(|word| word == b"supervisord" || word.ends_with(b"/supervisord"));
    if !keeps {
        return None;
    }
    let told = std::fs::read(format!("/proc/{}/environ", ident.pid)).unwrap_or_default();
    let value = |name: &str| {
        told.split(|b| *b == 0).find_map(|pair| {
            let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            Some(String::from_utf8_lossy(value).into_owned())
        })
    };
    let name = value("SUPERVISOR_PROCESS_NAME").unwrap_or_else(|| "NAME".into());
    Some(match value("SUPERVISOR_GROUP_NAME") {
        Some(group) if group != name => format!("{group}:{name}"),
        Some(_) | None => name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_command_is_whole_in_private() {
        let dir = tempfile::tempdir().unwrap();
        let cx = Context {
            state: dir.path().into(),
            ..Context::empty()
        };
        let argv = ["sleep", "600"].map(String::from);
        let mut child = std::process::Command::new("sleep")
            .arg("600")
            .spawn()
            .unwrap();
        let ident = Ident::of(i32::try_from(child.id()).unwrap()).unwrap();
        let plain = Master::look(&cx, &ident, &argv).unwrap().unwrap();
        assert_eq!(
            (plain.words(&cx).unwrap(), plain.kept),
            (argv.to_vec(), None)
        );
        let argv = ["sleep", "--password=x", "--broker-pass", "y=x"].map(String::from);
        let secret = Master::look(&cx, &ident, &argv).unwrap().unwrap();
        let recorded = serde_json::to_string(&secret).unwrap();
        assert!(!recorded.contains("=x"), "{recorded}");
        assert_eq!(secret.words(&cx).unwrap(), argv);
        let path = place(&cx, secret.kept.as_deref().unwrap()).unwrap();
        std::fs::write(path, "[]").unwrap();
        assert!(secret.words(&cx).is_err(), "it was changed");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(Master::look(&cx, &ident, &argv).unwrap(), None);
    }
}
