//! Which workers and beats of Celery run on this machine, and to which application they belong, from `/proc`.
//!
//! Invariants: the processes of a worker's pool are no workers; a process that ends while we look is gone; what may not
//! be seen is an error, because "none" would be a lie. An application is known by its interpreter's environment, its
//! directory and its module, so that the workers of another one on the same machine are never touched. The environment
//! of a process is read to start commands as it runs, in this process only: it is never recorded and never shown.
//!
//! Left out: where the directory of a process in a container is on this machine.

use super::App;
use super::cmdline::{self, CommandLine};
use crate::action::Error;
use crate::encoding;
use crate::host::process::identity::Ident;
use crate::host::process::list;
use crate::system::proc;
use crate::text::actions as phrases;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where an application is, and what it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Origin {
    /// Its interpreter.
    pub(super) python: String,
    /// The directory that it runs in.
    pub(super) cwd: String,
    /// `-A`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) module: Option<String>,
}

impl Origin {
    /// For people.
    pub(super) fn shown(&self) -> String {
        let module = self.module.clone().unwrap_or_else(phrases::without_module);
        phrases::origin(module, &self.cwd, &self.python)
    }

    /// The same application: another spelling of its module, or another name of its interpreter, is none.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.cwd == other.cwd
            && environment(&self.python) == environment(&other.python)
            && plain(self.module.as_deref()) == plain(other.module.as_deref())
    }

    /// It is the one that the settings mean.
    pub(super) fn meant(&self, app: &App) -> bool {
        let cwd = app.cwd.as_deref().is_none_or(|cwd| {
            let real = fs::canonicalize(cwd).unwrap_or_else(|_| cwd.into());
            Path::new(&self.cwd) == real
        });
        let python = app
            .python
            .as_deref()
            .is_none_or(|python| environment(python) == environment(&self.python));
        let module = app.module.as_deref();
        cwd && python && (module.is_none() || plain(module) == plain(self.module.as_deref()))
    }
}

/// The directory of an interpreter's environment, by its real name: `bin/python3` and `bin/python` are one.
fn environment(python: &str) -> PathBuf {
    let bin = Path::new(python).parent().unwrap_or(Path::new("/"));
    fs::canonicalize(bin).unwrap_or_else(|_| bin.to_path_buf())
}

/// `config`, `config.celery` and `config.celery:app` are one application to Celery's own search.
fn plain(module: Option<&str>) -> Option<&str> {
    let module = module?;
    let module = module.split_once(':').map_or(module, |(m, _)| m);
    Some(module.strip_suffix(".celery").unwrap_or(module))
}

/// A worker or a beat that lives.
#[derive(Debug, Clone)]
pub(super) struct Live {
    pub(super) ident: Ident,
    pub(super) cmdline: CommandLine,
    pub(super) origin: Origin,
    /// Its user and group.
    pub(super) user: (u32, u32),
    /// Its number as it sees it itself: another one inside a container.
    pub(super) inner: i32,
}

impl Live {
    /// For people. A command line may hold the broker's password, so only what is known is shown of it.
    pub(super) fn shown(&self) -> String {
        let mut text = format!("{} {}", self.cmdline.role.name(), self.ident.pid);
        if let Some(node) = &self.cmdline.node {
            text.push_str(&format!(" (-n {node})"));
        }
        text
    }

    /// The environment that it was started with, where we may see it.
    pub(super) fn environ(&self) -> Vec<(OsString, OsString)> {
        proc::environ(self.ident.pid)
    }

    /// Its name as it was given; only Celery says what name it answers by. Empty where nobody named it.
    pub(super) fn written(&self) -> String {
        let given = |(k, v): (OsString, OsString)| {
            (k == "CELERY_WORKER_HOSTNAME").then(|| encoding::escaped(v.as_bytes()))
        };
        let written = self.cmdline.node.clone();
        written
            .or_else(|| self.environ().into_iter().find_map(given))
            .unwrap_or_default()
    }

    /// The file that an option of it names, for its first process: Celery puts its name into that of a log.
    pub(super) fn file(&self, option: &Option<String>) -> Option<PathBuf> {
        file(option, &self.written(), Path::new(&self.origin.cwd))
    }
}

/// The file that an option of a worker of that name means.
pub(super) fn file(option: &Option<String>, written: &str, cwd: &Path) -> Option<PathBuf> {
    let names = rustix::system::uname();
    let host = encoding::escaped(names.nodename().to_bytes());
    let path = cmdline::path(option)?;
    Some(cwd.join(cmdline::expanded(path, written, &host)))
}

/// The interpreter by a name that finds its environment again: the real file of a virtual environment's interpreter
/// is that of the system.
fn python(pid: i32, words: &CommandLine, cwd: &Path) -> Option<PathBuf> {
    let exe = || proc::exe(pid).ok();
    match words.python.as_deref() {
        Some(name) if name.starts_with('/') => Some(PathBuf::from(name)),
        Some(name) if name.contains('/') => Some(cwd.join(name)),
        Some(name) => path(pid)
            .into_iter()
            .map(|dir| dir.join(name))
            .find(|p| p.is_file())
            .or_else(exe),
        None => loaded(pid).or_else(exe),
    }
}

fn path(pid: i32) -> Vec<PathBuf> {
    let environ = proc::environ(pid);
    let path = environ.iter().find(|(k, _)| k == "PATH");
    path.map(|(_, v)| std::env::split_paths(v).collect())
        .unwrap_or_default()
}

/// The interpreter of the environment whose libraries a process has loaded. The module that overwrites command lines is
/// such a library.
fn loaded(pid: i32) -> Option<PathBuf> {
    let mapped = proc::mapped(pid);
    mapped
        .iter()
        .filter_map(|path| path.to_str())
        .filter(|path| path.contains("/site-packages/"))
        .filter_map(|path| {
            let at = path
                .find("/lib/python")
                .or_else(|| path.find("/lib64/python"))?;
            Some(Path::new(&path[..at]).join("bin/python"))
        })
        .find(|python| python.is_file())
}

/// A worker or a beat of that number that is no process of a pool; none when it is no such process, or has ended.
///
/// # Errors
/// [`Error`] when it may not be seen.
pub(super) fn at(pid: i32) -> Result<Option<Live>, Error> {
    let argv = proc::words(pid);
    let Some(words) = cmdline::read(&argv).filter(|w| !w.pool) else {
        return Ok(None);
    };
    let Some(ident) = Ident::of(pid) else {
        return Ok(None);
    };
    let seen = proc::owner(pid).and_then(|owner| Ok((owner, proc::cwd(pid)?)));
    let (owner, cwd) = match seen {
        Ok(seen) => seen,
        Err(_) if !ident.alive() => return Ok(None),
        Err(e) => {
            return Err(Error::io(
                format!(
                    "cannot read the working directory of {} {pid}",
                    words.role.name()
                ),
                &e,
            ));
        }
    };
    let python = python(pid, &words, &cwd).unwrap_or_default();
    // What was read may be of a process that has taken its number.
    if !ident.alive() {
        return Ok(None);
    }
    // What asks it is started there, by that interpreter.
    let text = |path: PathBuf| {
        path.into_os_string().into_string().map_err(|path| {
            Error::new(format!(
                "{} {pid} is named by a path that is not UTF-8 ({}), so it cannot be inspected",
                words.role.name(),
                encoding::escaped(path.as_bytes())
            ))
        })
    };
    Ok(Some(Live {
        ident,
        origin: Origin {
            python: text(python)?,
            cwd: text(cwd)?,
            module: words.module.clone(),
        },
        cmdline: words,
        user: owner,
        inner: proc::Status::of(pid)
            .ok()
            .and_then(|s| s.inner)
            .unwrap_or(pid),
    }))
}

/// All workers and beats that live on this machine.
///
/// # Errors
/// [`Error`] when the processes of others cannot be seen.
pub(super) fn all() -> Result<Vec<Live>, Error> {
    let celery: BTreeMap<i32, i32> = list::others()?
        .into_iter()
        .filter(|p| cmdline::read(&p.words).is_some())
        .map(|p| (p.pid, p.parent))
        .collect();
    let mut found = Vec::new();
    for (pid, parent) in &celery {
        // A worker's pool is its children, which look like it.
        if !celery.contains_key(parent) {
            found.extend(at(*pid)?);
        }
    }
    Ok(found)
}

/// Whether they are of one application.
pub(super) fn one(found: &[Live]) -> Result<(), Error> {
    let Some(first) = found.first() else {
        return Ok(());
    };
    if found.iter().all(|f| f.origin.same(&first.origin)) {
        return Ok(());
    }
    let mut apps: Vec<(&Origin, Vec<String>)> = Vec::new();
    for f in found {
        match apps.iter_mut().find(|(o, _)| o.same(&f.origin)) {
            Some((_, names)) => names.push(f.shown()),
            None => apps.push((&f.origin, vec![f.shown()])),
        }
    }
    let list: Vec<String> = apps
        .iter()
        .map(|(o, names)| format!("{}: {}", o.shown(), names.join(", ")))
        .collect();
    Err(Error::new(format!(
        "{} Celery applications are running, and `app` does not select one\n{}",
        apps.len(),
        list.join("\n")
    )))
}

/// Several for people.
pub(super) fn names(found: &[Live]) -> String {
    let names: Vec<String> = found.iter().map(Live::shown).collect();
    names.join(", ")
}
