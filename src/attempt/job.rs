//! The job directory, for the runner and for resume: create, fence, inspect, wait.

use super::slot::{self, Killed, Outcome};
use super::spec::{Spec, digest};
use crate::system::durable::{self, Temporary, sync_dir};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::Bound;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use upledger_replay::verdict::{Facts, Lock, Token};

/// A job directory.
#[derive(Debug, Clone)]
pub struct JobDir {
    path: PathBuf,
}

/// An operation on a job directory failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {path}")]
pub struct JobError {
    what: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

fn failed<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> JobError + 'a {
    move |source| JobError {
        what,
        path: path.into(),
        source,
    }
}

/// Content of the start token.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TokenText {
    Started(String),
    Fenced(String),
}

/// Content of `kill`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KillNote {
    /// Why.
    pub reason: String,
}

/// Names of the job directories that a runner found when it began. While it holds its lock, nobody else makes one.
#[derive(Debug)]
pub struct Found(BTreeSet<String>);

impl Found {
    /// Reads the directory of jobs; empty where there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(jobs: &Path) -> Result<Self, JobError> {
        let names = match fs::read_dir(jobs) {
            Ok(entries) => entries
                .map(|entry| Ok(entry?.file_name().into_string().ok()))
                .collect::<io::Result<Vec<_>>>()
                .map_err(failed("read", jobs))?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(failed("read", jobs)(e)),
        };
        Ok(Self(names.into_iter().flatten().collect()))
    }

    /// Those of attempts of a part from number `from` on, whatever their nonce, that are still there. `stem` is
    /// [`JobDir::stem`].
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn later(&self, jobs: &Path, stem: &str, from: u32) -> Result<Vec<JobDir>, JobError> {
        let mut later = Vec::new();
        let from_stem = (self
            .0
            .range::<str, _>((Bound::Included(stem), Bound::Unbounded)))
        .take_while(|name| name.starts_with(stem));
        for name in from_stem {
            let number = name
                .strip_prefix(stem)
                .and_then(|rest| rest.split_once('.'))
                .and_then(|(number, _)| number.parse::<u32>().ok());
            if number.is_some_and(|n| n >= from) {
                later.extend(JobDir::open(jobs, name)?);
            }
        }
        Ok(later)
    }
}

impl JobDir {
    /// The name of an attempt's directory.
    #[must_use]
    pub fn name(
        run: &str,
        step: &str,
        target: &str,
        way: &str,
        attempt: u32,
        nonce: &str,
    ) -> String {
        format!("{}{attempt}.{nonce}", Self::stem(run, step, target, way))
    }

    /// What the names of all attempts of a part begin with.
    #[must_use]
    pub fn stem(run: &str, step: &str, target: &str, way: &str) -> String {
        let way = if way == "undo" { "undo" } else { "" };
        format!("{run}.{step}.{target}.{way}")
    }

    fn name_of(spec: &Spec) -> String {
        Self::name(
            &spec.run,
            &spec.step,
            &spec.target,
            &spec.way,
            spec.attempt,
            &spec.nonce,
        )
    }

    /// Where the action of an attempt will write what it has for the record.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.path.join(super::spool::NAME)
    }

    /// All that the action has written for the record so far.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn spooled(&self) -> Result<Vec<super::spool::Entry>, JobError> {
        super::spool::SpoolReader::default()
            .read(self)
            .map_err(failed("read the spool in", &self.path))
    }

    /// Makes the directory of an attempt, with its spec and the reserved result slot, all durable.
    ///
    /// # Errors
    /// When it exists (`mkdir` is the exclusion), or cannot be made durable. Nothing was started then.
    pub fn create(jobs: &Path, spec: &Spec) -> Result<Self, JobError> {
        let job = Self::named(jobs, &Self::name_of(spec))?;
        job.make(jobs)?;
        let text = spec
            .text()
            .map_err(io::Error::from)
            .map_err(failed("write the spec into", &job.path))?;
        let written = || -> io::Result<()> {
            let mut file = new_file(&job.path.join("spec"))?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            slot::reserve(&new_file(&job.path.join("result"))?)?;
            new_file(&job.path.join("shim.lock"))?;
            new_file(&job.path.join("tree.lock"))?;
            sync_dir(&job.path)
        };
        written().map_err(failed("fill", &job.path))?;
        Ok(job)
    }

    /// Where the directory of that attempt will be.
    ///
    /// # Errors
    /// When its name is none.
    pub fn of(jobs: &Path, spec: &Spec) -> Result<Self, JobError> {
        Self::named(jobs, &Self::name_of(spec))
    }

    fn named(jobs: &Path, name: &str) -> Result<Self, JobError> {
        let path = jobs.join(name);
        // Names of steps and targets come from plans; whatever they contain, a job must be a direct child of `jobs`.
        if name.contains('/') || name.contains('\0') || path.file_name().is_none_or(|n| n != name) {
            return Err(failed("use the name of", &path)(
                io::ErrorKind::InvalidFilename.into(),
            ));
        }
        Ok(Self { path })
    }

    fn make(&self, jobs: &Path) -> Result<(), JobError> {
        let made = || -> io::Result<()> {
            DirBuilder::new().recursive(true).mode(0o700).create(jobs)?;
            DirBuilder::new().mode(0o700).create(&self.path)?;
            sync_dir(jobs)?;
            // `jobs` itself may be new. A token that a power cut takes away with it would read as "never started".
            jobs.parent().map_or(Ok(()), sync_dir)
        };
        made().map_err(failed("make", &self.path))
    }

    /// The directory of that name, if there is one.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn open(jobs: &Path, name: &str) -> Result<Option<Self>, JobError> {
        let job = Self::named(jobs, name)?;
        match fs::symlink_metadata(&job.path) {
            Ok(meta) if meta.is_dir() => Ok(Some(job)),
            // Its path is occupied by something else, so the directory counts as missing.
            Ok(_) => Ok(None),
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(e) => Err(failed("open", &job.path)(e)),
        }
    }

    /// Removes a directory that this process created for an attempt whose intent it did not record. Nobody else may: the
    /// directory of another runner may yet be used, and holds its fence.
    ///
    /// # Errors
    /// When it cannot be taken away; it does no harm.
    pub fn discard(self) -> Result<(), JobError> {
        match fs::remove_dir_all(&self.path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(failed("take away", &self.path)(e))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The directory at that path.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the step printed.
    #[must_use]
    pub fn output(&self) -> PathBuf {
        self.path.join("output")
    }

    /// The text of the spec.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn spec_text(&self) -> io::Result<String> {
        fs::read_to_string(self.path.join("spec"))
    }

    /// Takes the start token for the supervisor; `false` when somebody has it already.
    ///
    /// # Errors
    /// When it cannot be made durable; the command must not be started then.
    pub(super) fn take_token(&self, nonce: &str) -> io::Result<bool> {
        self.token(&TokenText::Started(nonce.into()))
    }

    /// Ensures that the command either has started or never will, and returns which.
    ///
    /// # Errors
    /// When the token can neither be made durable nor read.
    pub fn fence(&self) -> Result<Token, JobError> {
        self.token(&TokenText::Fenced(format!("pid {}", std::process::id())))
            .and_then(|_| self.read_token())
            .map_err(failed("fence", &self.path))
    }

    /// Makes the token by linking a finished file to its name: it is there whole, or not at all.
    fn token(&self, text: &TokenText) -> io::Result<bool> {
        let start = self.path.join("start");
        if start.try_exists()? {
            // Write no file unless necessary, so that a full disk does not hide a token. Its creator may have died before
            // it was durable, so sync it before drawing conclusions from it.
            sync_dir(&self.path)?;
            return Ok(false);
        }
        durable::create(&start, 0o600, |file| {
            serde_json::to_writer(file, text).map_err(io::Error::from)
        })
    }

    pub(super) fn read_token(&self) -> io::Result<Token> {
        let text = fs::read(self.path.join("start"))?;
        Ok(match serde_json::from_slice(&text) {
            Ok(TokenText::Fenced(_)) => Token::Fenced,
            // Damaged content cannot prove that nothing ran.
            Ok(TokenText::Started(_)) | Err(_) => Token::Started,
        })
    }

    /// Reads everything that a verdict needs, in the order that makes it valid: token (fencing if there is none), locks,
    /// result.
    ///
    /// # Errors
    /// When something cannot be read; that is no verdict.
    pub fn fence_and_inspect(&self, spec_digest: &str) -> Result<Facts, JobError> {
        self.facts_of(self.fence()?, spec_digest)
    }

    /// The same for a token that was read.
    pub(super) fn facts_of(&self, token: Token, spec_digest: &str) -> Result<Facts, JobError> {
        let shim = self
            .lock("shim.lock")
            .map_err(failed("look at the lock of", &self.path))?;
        let tree = self
            .lock("tree.lock")
            .map_err(failed("look at the lock of", &self.path))?;
        let outcome = self.outcome()?;
        let ours = self.spec_text().is_ok_and(|t| digest(&t) == spec_digest);
        Ok(Facts {
            token,
            shim: shim.unwrap_or(Lock::Free),
            tree: tree.unwrap_or(Lock::Free),
            result: outcome.is_some_and(|o| o.spec == spec_digest),
            // Both locks were durable before the intent: if one is missing, liveness cannot be determined.
            ours: ours && shim.is_some() && tree.is_some(),
        })
    }

    /// Whether somebody holds a lock; none when its file is gone.
    fn lock(&self, name: &str) -> io::Result<Option<Lock>> {
        let file = match File::open(self.path.join(name)) {
            Ok(f) => f,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        // Shared, so that two resolvers do not take each other for the supervisor.
        match file.try_lock_shared() {
            Ok(()) => Ok(Some(Lock::Free)),
            Err(fs::TryLockError::WouldBlock) => Ok(Some(Lock::Held)),
            Err(fs::TryLockError::Error(e)) => Err(e),
        }
    }

    /// The result, when there is a good one.
    ///
    /// # Errors
    /// When the slot cannot be read.
    pub fn outcome(&self) -> Result<Option<Outcome>, JobError> {
        let read = || -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            File::open(self.path.join("result"))?
                .take(slot::SIZE)
                .read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        match read() {
            Ok(bytes) => Ok(slot::read(&bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed("read the result in", &self.path)(e)),
        }
    }

    /// Asks the supervisor to kill the command. One that has not started it yet never will.
    ///
    /// # Errors
    /// When the request cannot be written.
    pub fn request_kill(&self, reason: &str) -> Result<(), JobError> {
        let note = KillNote {
            reason: reason.into(),
        };
        self.put("kill", &note)
            .map_err(failed("ask for a kill in", &self.path))
    }

    /// Makes the intent to kill durable, before the first signal.
    pub(super) fn mark_killing(&self, cause: &Killed) -> io::Result<()> {
        self.put("killing", cause)
    }

    /// Why the supervisor set out to kill the command, if it did: what an attempt in doubt may have been through.
    #[must_use]
    pub fn killing(&self) -> Option<Killed> {
        serde_json::from_slice(&fs::read(self.path.join("killing")).ok()?).ok()
    }

    /// Writes a small file atomically and durably.
    fn put(&self, name: &str, content: &impl Serialize) -> io::Result<()> {
        let path = self.path.join(name);
        durable::replace(&path, Temporary::Random, 0o600, |file| {
            serde_json::to_writer(file, content).map_err(io::Error::from)
        })
    }

    /// The kill request, if there is one.
    pub(super) fn kill_note(&self) -> Option<KillNote> {
        let text = fs::read(self.path.join("kill")).ok()?;
        Some(serde_json::from_slice(&text).unwrap_or(KillNote {
            reason: "not readable".into(),
        }))
    }

    /// No living process holds `tree.lock`, as far as can be told.
    pub(super) fn tree_is_free(&self) -> bool {
        !matches!(self.lock("tree.lock"), Ok(Some(Lock::Held)))
    }

    /// Waits until the supervisor exits, without polling.
    pub async fn ended(&self) {
        self.released("shim.lock").await;
    }

    /// Waits until no lock of this directory is held, or the time limit expires, without polling.
    pub async fn quiet(&self, at_most: Duration) -> bool {
        let both = async {
            self.released("shim.lock").await;
            self.released("tree.lock").await;
        };
        // Do not rely on tokio's clock alone: if both events coincide, the state of the locks decides.
        let _ = tokio::time::timeout(at_most, both).await;
        ["shim.lock", "tree.lock"]
            .iter()
            .all(|name| !matches!(self.lock(name), Ok(Some(Lock::Held)) | Err(_)))
    }

    /// The running processes of the command, with their command lines, which may contain secrets.
    #[must_use]
    pub fn living(&self) -> Vec<String> {
        super::watch::holders(self)
    }

    /// Kills every process that holds `tree.lock`: those of a command whose supervisor is gone.
    pub fn kill_tree(&self) {
        super::watch::kill_holders(self, super::watch::everybody());
    }

    async fn released(&self, name: &str) {
        let path = self.path.join(name);
        let (tx, rx) = tokio::sync::oneshot::channel();
        // A separate thread: on shutdown the runtime would wait for its blocking threads, and this one may never end.
        let waiter = std::thread::Builder::new()
            .name("wait".into())
            .spawn(move || {
                if let Ok(file) = File::open(&path) {
                    // An error also wakes the caller, which checks again.
                    let _ = file.lock_shared();
                }
                // The receiver is gone: the runner has continued or is exiting.
                let _ = tx.send(());
            });
        if waiter.is_err() {
            // No thread available: the caller checks again, and must not spin.
            tokio::time::sleep(Duration::from_millis(200)).await;
            return;
        }
        // A dropped sender counts as a wake-up.
        let _ = rx.await;
    }
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .read(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}
