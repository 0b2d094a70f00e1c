//! A virtualenv of ours on disk: known as ours, known as whole or half-built, and asked what is in it.
//!
//! Invariants: a directory gets its name with our mark already in it (`.upledger/note.json`), so there is no moment in
//! which a directory of ours looks like a stranger's; the mark says "complete" only after everything else is durable;
//! a directory without our mark is never written to, whatever is in it. Who builds holds a lock on `.upledger`, which
//! its commands inherit, so that nobody builds beside a pip that outlived its step. The mark is part of what the
//! virtualenv is, as a lock file of pip would be: it is read by every run; an undo goes by the notes of its own step.
//!
//! Left out: files that were changed behind the packages' records. What is compared is what pip itself knows of.

use super::requirements::{ReadFile, egg, normal};
use crate::action::{Context, Error};
use crate::host::exec::{Captured, capture};
use crate::host::files::{disk, entry};
use crate::host::process::mask;
use crate::system::durable::{self, Temporary};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Our own directory in a virtualenv.
pub(super) const OURS: &str = ".upledger";
pub(super) const MARK: &str = "note.json";
const FREEZE: &str = "freeze.txt";
/// The version of the mark.
const FORMAT: u32 = 1;
/// How long another builder is waited for. One that was killed lets go in a moment.
const LOCK: Duration = Duration::from_secs(10);

/// An interpreter, as it answered itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Interpreter {
    /// `cpython`, `pypy`.
    pub(super) implementation: String,
    /// Such as `3.11.2`.
    pub(super) version: String,
    /// Where it stands itself; of a virtualenv's the one that it is made of.
    pub(super) base: String,
}

impl std::fmt::Display for Interpreter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} {} of {}",
            self.implementation, self.version, self.base
        )
    }
}

impl Interpreter {
    /// Asks an interpreter. It is not let near the user's or the application's modules.
    pub(super) fn ask(cx: &Context, program: &Path) -> Result<Self, Error> {
        const SCRIPT: &str = "import sys\nprint(sys.implementation.name)\n\
            print('.'.join(str(n) for n in sys.version_info[:3]))\nprint(getattr(sys, 'base_prefix', sys.prefix))";
        let shown = program.display();
        match std::fs::metadata(program) {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => {
                let link = std::fs::read_link(program);
                return Err(Error::new(match link {
                    Ok(to) => format!(
                        "the interpreter of {shown} no longer exists: it was {}, which was removed or upgraded; install it again",
                        to.display()
                    ),
                    Err(_) => {
                        format!("there is no interpreter {shown}: install it, or name another one")
                    }
                }));
            }
            Err(e) => return Err(Error::io(format!("cannot look at {shown}"), &e)),
        }
        let argv = [&program.display().to_string(), "-I", "-B", "-c", SCRIPT].map(str::to_owned);
        let seen = capture(&clean(cx), &argv, cx.patience())?;
        let text = seen.text();
        let lines: Vec<&str> = text.lines().collect();
        match (seen.code, lines.as_slice()) {
            (Some(0), [implementation, version, base]) => Ok(Self {
                implementation: (*implementation).into(),
                version: (*version).into(),
                base: (*base).into(),
            }),
            _ => Err(Error::new(format!(
                "{shown} is not a working Python: {}: {}",
                seen.ended,
                seen.tail(3).join("; ")
            ))),
        }
    }

    /// Modules of one work in the other: same implementation, same minor version.
    pub(super) fn fits(&self, other: &Self) -> bool {
        let minor = |v: &str| v.split('.').take(2).map(str::to_owned).collect::<Vec<_>>();
        self.implementation == other.implementation && minor(&self.version) == minor(&other.version)
    }
}

/// The step's context for a Python of ours: nothing in its environment leads elsewhere.
pub(super) fn clean(cx: &Context) -> Context {
    const ELSEWHERE: [&str; 10] = [
        "VIRTUAL_ENV",
        "PYTHONHOME",
        "PYTHONPATH",
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_ROOT",
        "PIP_REQUIREMENT",
        "PIP_CONSTRAINT",
        "PIP_REQUIRE_VIRTUALENV",
        "PIP_DRY_RUN",
    ];
    let mut cx = cx.clone();
    cx.env.retain(|(k, _)| !ELSEWHERE.contains(&k.as_str()));
    // Its words are read here; a configured `user = true` would lead out of the virtualenv; its git asks nobody.
    for (key, value) in [
        ("LC_ALL", "C.UTF-8"),
        ("PIP_USER", "0"),
        ("GIT_TERMINAL_PROMPT", "0"),
    ] {
        cx.env.retain(|(k, _)| k != key);
        cx.env.push((key.into(), value.into()));
    }
    cx
}

/// What stands in our directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    format: u32,
    /// Where the virtualenv was made: it works nowhere else.
    path: String,
    /// The run that made it.
    run: String,
    /// Its step; none where a former version made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    step: Option<String>,
    /// Other runs that found it complete and rely on it; none of them is undone by an undo of another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    users: Vec<String>,
    /// What it is made of; none while it is being built.
    pub(super) built: Option<Built>,
}

impl Mark {
    /// The run that made it.
    pub(super) fn run(&self) -> &str {
        &self.run
    }

    /// This step of this run made it.
    pub(super) fn is_made_by(&self, cx: &Context) -> bool {
        self.run == cx.run && self.step.as_ref() == Some(&cx.step)
    }

    /// A run for which it has to stay when this one is undone; none when it is this run's alone.
    pub(super) fn other_user(&self, run: &str) -> Option<&str> {
        std::iter::once(&self.run)
            .chain(&self.users)
            .map(String::as_str)
            .find(|r| *r != run)
    }
}

/// A virtualenv that is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Built {
    pub(super) python: Interpreter,
    /// The version of pip.
    pub(super) pip: String,
    /// The requirement files.
    pub(super) files: Vec<ReadFile>,
    /// Of the freeze.
    pub(super) sha256: String,
    /// How many packages.
    pub(super) count: u64,
    /// Versions that a later file changed.
    pub(super) changed: Vec<String>,
    /// Of the smoke commands that ended well with it.
    pub(super) smoke: String,
}

/// What a directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing has that name.
    Absent,
    /// Ours, and not finished.
    Half(Mark),
    /// Ours, and finished.
    Complete(Mark, Built),
    /// Not ours, or not where it was made; why.
    Foreign(String),
}

/// A virtualenv by its path.
#[derive(Debug, Clone)]
pub(super) struct Venv(PathBuf);

impl Venv {
    pub(super) fn at(path: &str) -> Self {
        Self(PathBuf::from(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn python(&self) -> PathBuf {
        self.0.join("bin/python")
    }

    pub(super) fn own(&self, name: &str) -> PathBuf {
        self.0.join(OURS).join(name)
    }

    fn parent(&self) -> &Path {
        self.0.parent().unwrap_or(Path::new("/"))
    }

    /// What it is.
    pub(super) fn state(&self) -> Result<State, Error> {
        let shown = self.0.display();
        match std::fs::symlink_metadata(&self.0) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(State::Absent),
            Err(e) => return Err(Error::io(format!("cannot look at {shown}"), &e)),
            Ok(meta) if !meta.is_dir() => {
                return Ok(State::Foreign(format!(
                    "{shown} exists and is not a directory"
                )));
            }
            Ok(_) => {}
        }
        let Some((bytes, _)) = disk::read(&self.own(MARK))? else {
            return Ok(State::Foreign(format!(
                "{shown} exists and was not created by upledger, so it is not touched; name another directory for the new \
                 virtualenv, or move this one away"
            )));
        };
        let mark: Mark = match serde_json::from_slice(&bytes) {
            Ok(mark) => mark,
            Err(e) => {
                return Ok(State::Foreign(format!(
                    "the marker file in {shown} cannot be read: {e}"
                )));
            }
        };
        if mark.format != FORMAT {
            return Ok(State::Foreign(format!(
                "{shown} was created by another version of upledger"
            )));
        }
        let real = |p: &Path| p.canonicalize().ok();
        if mark.path != self.0.display().to_string() && real(Path::new(&mark.path)) != real(&self.0)
        {
            return Ok(State::Foreign(format!(
                "{shown} was created as {} and moved or copied here; a virtualenv works only where it was created: remove it, or \
                 move it back",
                mark.path
            )));
        }
        Ok(match mark.built.clone() {
            Some(built) => State::Complete(mark, built),
            None => State::Half(mark),
        })
    }

    /// The mark of a virtualenv that this run begins.
    fn begun(&self, cx: &Context) -> Mark {
        Mark {
            format: FORMAT,
            path: self.0.display().to_string(),
            run: cx.run.clone(),
            step: Some(cx.step.clone()),
            users: Vec::new(),
            built: None,
        }
    }

    /// Makes the directory with our mark in it. `at` is a name beside it that only this step uses.
    pub(super) fn make(&self, cx: &Context, at: &Path) -> Result<(), Error> {
        let cannot = |e: std::io::Error| Error::io(format!("cannot make {}", self.0.display()), &e);
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(self.parent())
            .map_err(cannot)?;
        let make = |path: &Path| DirBuilder::new().mode(0o755).create(path);
        make(at)
            .and_then(|()| make(&at.join(OURS)))
            .map_err(cannot)?;
        write(&at.join(OURS).join(MARK), &to_bytes(&self.begun(cx))?)?;
        entry::sync(at)?;
        entry::rename(at, &self.0)
    }

    /// Takes over a half-built one, whichever run began it. The caller holds the lock.
    pub(super) fn begin(&self, cx: &Context) -> Result<(), Error> {
        write(&self.own(MARK), &to_bytes(&self.begun(cx))?)
    }

    /// Takes away everything but our own directory.
    pub(super) fn empty(&self) -> Result<(), Error> {
        let cannot =
            |e: std::io::Error| Error::io(format!("cannot empty {}", self.0.display()), &e);
        for found in std::fs::read_dir(&self.0).map_err(cannot)? {
            let found = found.map_err(cannot)?;
            if found.file_name() != OURS {
                entry::remove(&found.path())?;
            }
        }
        Ok(())
    }

    /// Takes the lock; it is held until the file is dropped and every command has ended.
    pub(super) fn lock(&self) -> Result<File, Error> {
        let path = self.0.join(OURS);
        let cannot = |e: std::io::Error| Error::io(format!("cannot lock {}", path.display()), &e);
        let file = File::open(&path).map_err(cannot)?;
        let until = Instant::now() + LOCK;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(std::fs::TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(std::fs::TryLockError::WouldBlock) => {
                    return Err(Error::new(format!(
                        "another process is using {}: wait for it, or stop it (fuser {})",
                        self.0.display(),
                        path.display()
                    )));
                }
                Err(std::fs::TryLockError::Error(e)) => return Err(cannot(e)),
            }
        }
        // The commands inherit it. In the unit tests those of other tests would, too, for all share one process.
        if !cfg!(test) {
            rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty())
                .map_err(|e| cannot(e.into()))?;
        }
        Ok(file)
    }

    /// Writes "complete", durably, after everything else is durable.
    pub(super) fn complete(
        &self,
        cx: &Context,
        built: &Built,
        freeze: &Freeze,
    ) -> Result<(), Error> {
        write_as(&self.own(FREEZE), 0o600, freeze.text.as_bytes())?;
        let dir = File::open(&self.0)
            .map_err(|e| Error::io(format!("cannot open {}", self.0.display()), &e))?;
        rustix::fs::syncfs(&dir)
            .map_err(|e| Error::io(format!("cannot sync {}", self.0.display()), &e))?;
        // Who completes it anew, for other smoke commands, has not made it.
        let mark = match self.state()? {
            State::Complete(mark, _) => mark,
            State::Absent | State::Half(_) | State::Foreign(_) => self.begun(cx),
        };
        let mark = Mark {
            built: Some(built.clone()),
            ..mark
        };
        write(&self.own(MARK), &to_bytes(&mark)?)
    }

    /// Writes down, durably, that this run relies on it, too. The caller holds the lock.
    pub(super) fn rely(&self, cx: &Context) -> Result<(), Error> {
        let State::Complete(mut mark, _) = self.state()? else {
            return Err(Error::new(format!(
                "{} is no longer marked as complete",
                self.0.display()
            )));
        };
        if mark.run == cx.run || mark.users.contains(&cx.run) {
            return Ok(());
        }
        mark.users.push(cx.run.clone());
        write(&self.own(MARK), &to_bytes(&mark)?)
    }

    /// An empty file of ours that nobody else can read.
    pub(super) fn private(&self, name: &str) -> Result<(), Error> {
        write_as(&self.own(name), 0o600, b"")
    }

    /// A command of its pip that only looks.
    pub(super) fn pip(&self, cx: &Context, words: &[&str]) -> Result<Captured, Error> {
        let mut argv = self.pip_argv();
        argv.extend(words.iter().map(|w| (*w).to_owned()));
        capture(&clean(cx), &argv, cx.patience())
    }

    /// Its pip, kept from the user's and the application's modules, from asking, and from asking for its own updates.
    pub(super) fn pip_argv(&self) -> Vec<String> {
        let python = self.python().display().to_string();
        [
            &python,
            "-u",
            "-I",
            "-B",
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--no-input",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    /// The version of its pip.
    pub(super) fn pip_version(&self, cx: &Context) -> Result<String, Error> {
        let seen = self.pip(cx, &["--version"])?;
        let version = seen.text().split_whitespace().nth(1).map(str::to_owned);
        version.filter(|_| seen.code == Some(0)).ok_or_else(|| {
            let why = super::explain::explain(
                &super::explain::Story::of(&seen.stderr),
                &super::requirements::Set::default(),
            );
            let said = || format!("{}: {}", seen.ended, seen.tail(3).join("; "));
            Error::new(format!(
                "pip of {}: {}",
                self.0.display(),
                why.unwrap_or_else(said)
            ))
        })
    }

    /// Everything that is installed in it.
    pub(super) fn freeze(&self, cx: &Context) -> Result<Freeze, Error> {
        let seen = self.pip(cx, &["freeze", "--all"])?;
        if seen.code != Some(0) {
            return Err(Error::new(format!(
                "pip freeze of {}: {}: {}",
                self.0.display(),
                seen.ended,
                seen.tail(3).join("; ")
            )));
        }
        Ok(Freeze::of(&seen.text()))
    }

    /// The freeze that was kept when it was completed.
    pub(super) fn kept(&self) -> Result<Freeze, Error> {
        let bytes = disk::read(&self.own(FREEZE))?
            .map(|(b, _)| b)
            .unwrap_or_default();
        Ok(Freeze::of(&crate::encoding::shown(&bytes)))
    }
}

/// When this program made the virtualenv in a directory, or last wrote its mark; none when it did not.
pub(crate) fn made_at(dir: &Path) -> Option<std::time::SystemTime> {
    let venv = Venv(dir.to_path_buf());
    match venv.state() {
        Ok(State::Half(_) | State::Complete(..)) => {}
        Ok(State::Absent | State::Foreign(_)) | Err(_) => return None,
    }
    std::fs::metadata(venv.own(MARK)).ok()?.modified().ok()
}

/// Removes a virtualenv of this program, by way of another name, while nobody builds in it. `check` says for the last time
/// why it has to stay.
///
/// # Errors
/// [`Error`] when somebody builds in it, or it cannot be removed.
pub(crate) fn remove_unused(
    dir: &Path,
    at: &Path,
    check: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    let lock = Venv(dir.to_path_buf()).lock()?;
    check()?;
    entry::remove_by_way_of(dir, at)?;
    drop(lock);
    Ok(())
}

/// What `pip freeze --all` says, in an order of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Freeze {
    /// Without the passwords of URLs.
    pub(super) text: String,
    /// The digest of all that was said, which former versions recorded.
    whole: String,
    /// Versions by normalized name; what was installed from elsewhere has its whole line.
    pub(super) versions: BTreeMap<String, String>,
}

impl Freeze {
    pub(super) fn of(text: &str) -> Self {
        let digest = |lines: &[String]| disk::digest(lines.concat().as_bytes());
        let mut lines: Vec<String> = text
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty() && !l.starts_with('#'))
            .map(|l| format!("{l}\n"))
            .collect();
        lines.sort_unstable();
        let whole = digest(&lines);
        let lines: Vec<String> = lines.iter().map(|l| mask::urls(l.trim_end())).collect();
        let versions = lines.iter().map(|line| match line.split_once("==") {
            Some((name, version)) => (normal(name), version.to_owned()),
            None => {
                // What has no name of its own, such as a directory, is called as it is written.
                let before = || line.split_once(" @ ").map(|(name, _)| name.to_owned());
                let name = egg(line)
                    .or_else(before)
                    .map_or_else(|| line.clone(), |n| normal(&n));
                (name, line.clone())
            }
        });
        Self {
            versions: versions.collect(),
            text: lines.iter().map(|l| format!("{l}\n")).collect(),
            whole,
        }
    }

    pub(super) fn sha256(&self) -> String {
        disk::digest(self.text.as_bytes())
    }

    /// It has that digest, or a former version gave it that one.
    pub(super) fn is(&self, sha256: &str) -> bool {
        sha256 == self.sha256() || sha256 == self.whole
    }

    pub(super) fn count(&self) -> u64 {
        self.versions.len() as u64
    }

    /// What is another in `now`, in words.
    pub(super) fn changes(&self, now: &Self) -> Vec<String> {
        let gone = self
            .versions
            .iter()
            .filter_map(|(name, was)| match now.versions.get(name) {
                None => Some(format!("{name} {was} -> gone")),
                Some(is) if is != was => Some(format!("{name} {was} -> {is}")),
                Some(_) => None,
            });
        let new = now
            .versions
            .iter()
            .filter(|(name, _)| !self.versions.contains_key(*name))
            .map(|(name, is)| format!("{name} new {is}"));
        gone.chain(new).collect()
    }
}

/// Bytes below a directory, as they lie on the disk.
pub(super) fn size(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let (mut sum, mut open) = (0_u64, vec![dir.to_path_buf()]);
    while let Some(dir) = open.pop() {
        // What cannot be seen is not counted: it is an estimate.
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            sum = sum.saturating_add(meta.blocks().saturating_mul(512));
            if meta.is_dir() {
                open.push(entry.path());
            }
        }
    }
    sum
}

fn to_bytes(mark: &Mark) -> Result<Vec<u8>, Error> {
    serde_json::to_vec_pretty(mark).map_err(|e| Error::io("the marker file cannot be written", &e))
}

/// A whole file, atomically and durably.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write_as(path, 0o666, bytes)
}

fn write_as(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), Error> {
    let temporary = path.with_extension("new");
    durable::replace(path, Temporary::Named(&temporary), mode, |file| {
        file.write_all(bytes)
            .map_err(|e| Error::io(format!("cannot write {}", path.display()), &e))
    })
}
