//! The start of a daemon: `upledger __daemon`, a stage that becomes the daemon by exec.
//!
//! Invariants: the process is noted while the stage still waits for what to run, so nothing runs that is not on record;
//! where there is a pidfile, the stage itself writes it, its own number in it, under the lock and right before it
//! executes the command, so nothing can die between the process and its pidfile; the lock goes with the exec, so of two
//! stages one sees the other's process. An error of the exec comes back through a pipe that a successful exec closes. The
//! daemon inherits no descriptor (not `tree.lock`, by which the step's processes are known), no environment but the
//! step's, and leads its own session.
//!
//! There is no second fork: once the step's process is gone the daemon is nobody's child anyway, and until then its
//! exit code is known.

use crate::action::{Error, Work};
use crate::attempt::find_program;
use crate::attempt::launch::SELF;
use crate::attempt::supervisor::close_inherited;
use crate::failpoint;
use crate::host::exec::quoted;
use crate::host::files::trust;
use crate::host::process::identity::Ident;
use crate::host::process::note::Note;
use crate::host::process::pidfile::{Lock, Record, read};
use crate::host::process::session::remains;
use crate::host::service::daemon::survivors;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The hidden subcommand.
pub const STAGE: &str = "__daemon";

/// The mode of a new log.
const LOG: u32 = 0o640;

/// What is to run. It travels over a pipe, because the environment may hold secrets.
#[derive(Serialize, Deserialize)]
pub(crate) struct DaemonSpec {
    /// Where the process is known by a pidfile of ours.
    pub(crate) pidfile: Option<String>,
    pub(crate) argv: Vec<String>,
    pub(crate) cwd: String,
    pub(crate) log: String,
    pub(crate) env: Vec<(String, String)>,
    /// As whom it runs; without it, as this process does.
    #[serde(default)]
    pub(crate) user: Option<User>,
    /// The log is opened as this process and not as the user.
    #[serde(default)]
    pub(crate) own_log: bool,
    /// For failpoints.
    pub(crate) step: String,
}

/// As whom a process runs: root starts a service of somebody else as that one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
    /// What the modes of its new files lack.
    pub(crate) umask: u32,
}

impl User {
    /// That of this process.
    pub(crate) fn current() -> Self {
        Self {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            groups: Vec::new(),
            umask: 0o022,
        }
    }

    /// This process becomes that user, for good.
    fn assume(&self) -> io::Result<()> {
        use rustix::process::{Gid, Uid};
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(self.umask));
        if self.uid == rustix::process::geteuid().as_raw() {
            return Ok(());
        }
        let groups: Vec<Gid> = self.groups.iter().map(|g| Gid::from_raw(*g)).collect();
        // The stage has one thread, so what is set for the thread is set for the process. The user comes last: it has
        // no right to set the rest.
        rustix::thread::set_thread_groups(&groups)?;
        rustix::thread::set_thread_gid(Gid::from_raw(self.gid))?;
        Ok(rustix::thread::set_thread_uid(Uid::from_raw(self.uid))?)
    }
}

/// What the stage says when it does not become the daemon.
#[derive(Serialize, Deserialize)]
enum Word {
    Running(Record),
    Error(String),
}

impl From<Error> for Word {
    fn from(e: Error) -> Self {
        Self::Error(e.to_string())
    }
}

/// What became of the start.
pub(crate) enum Launched {
    /// The command was executed, or the stage was killed.
    Started(Child),
    /// A process of the pidfile runs already.
    Running(Record),
}

/// Starts a daemon, noted under that key.
///
/// # Errors
/// [`Error`] when the command was not executed; nothing of it is left then.
pub(crate) fn launch(
    work: &mut Work<'_, Note>,
    key: &str,
    frame: &DaemonSpec,
) -> Result<Launched, Error> {
    let text =
        serde_json::to_vec(frame).map_err(|e| Error::io("cannot pass the command to start", &e))?;
    let cannot = |e: &io::Error| Error::io("cannot start the daemon's launcher", e);
    let mut child = Command::new(SELF)
        .arg0("upledger")
        .arg(STAGE)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| cannot(&e))?;
    let noted = note(work, key, &child);
    if let Some(mut pipe) = child.stdin.take()
        && noted.is_ok()
    {
        // A stage that cannot be fed reads a cut frame, which is no JSON, and says so.
        let _ = pipe.write_all(&text);
    }
    let mut said = Vec::new();
    if let Some(mut pipe) = child.stdout.take() {
        pipe.read_to_end(&mut said).map_err(|e| cannot(&e))?;
    }
    if noted.is_ok() && said.is_empty() {
        return Ok(Launched::Started(child));
    }
    // It has said its word and ends.
    child.wait().map_err(|e| cannot(&e))?;
    noted?;
    match serde_json::from_slice(&said) {
        Ok(Word::Running(record)) => Ok(Launched::Running(record)),
        Ok(Word::Error(why)) => Err(Error::new(why)),
        Err(e) => Err(Error::io("the daemon's launcher was interrupted", &e)),
    }
}

/// Notes the process of a stage that waits for what to run.
fn note(work: &mut Work<'_, Note>, key: &str, stage: &Child) -> Result<(), Error> {
    let process = i32::try_from(stage.id()).ok().and_then(Ident::of);
    let process =
        process.ok_or_else(|| Error::new("the daemon's launcher cannot be identified"))?;
    work.note(Note::Launched {
        key: key.to_owned(),
        process,
    })
}

/// Writes the pidfile of this process.
fn claim(path: &str, frame: &DaemonSpec) -> Result<(Lock, Record), Word> {
    let lock = Lock::take(Path::new(path))?
        .ok_or_else(|| Error::new(format!("there is no directory for the pidfile {path}")))?;
    if let Some(record) = read(Path::new(path))? {
        if record.alive() {
            return Err(Word::Running(record));
        }
        if let Some(rest) = remains(&record.ident) {
            let why = survivors(path, &rest);
            return Err(Error::new(format!("not started: {why}")).into());
        }
    }
    failpoint::hit("daemon-before-pidfile");
    let own = i32::try_from(std::process::id()).ok().and_then(Ident::of);
    let record = Record {
        ident: own.ok_or_else(|| Error::new("cannot start a daemon without /proc"))?,
        argv: frame.argv.clone(),
        cwd: frame.cwd.clone(),
        log: frame.log.clone(),
    };
    lock.write(&record)
        .map_err(|e| Error::io(format!("cannot write {path}"), &e))?;
    failpoint::hit("daemon-after-pidfile");
    Ok((lock, record))
}

/// The stage. It returns only when it does not become the daemon.
pub fn main() -> u8 {
    close_inherited();
    // The daemon's output takes the place of this process's; only a copy that closes on exec still reaches the step.
    let Ok(pipe) = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3) else {
        return 1;
    };
    let Err(word) = stage();
    // The step may be gone; then nobody has to be told, and the pidfile says that nothing runs.
    let _ = serde_json::to_writer(File::from(pipe), &word);
    1
}

/// Opens the log, which grows. With the rights of this process only where nobody of less power chooses which file that
/// is: root would follow a link that they put in its place. As the
/// service's user it is opened with that user's rights, as the service could itself.
fn open_log(path: &str, as_user: bool) -> Result<File, Error> {
    if !as_user {
        return trust::append(path, LOG);
    }
    let mut options = OpenOptions::new();
    let opened = options.create(true).append(true).mode(LOG).open(path);
    opened.map_err(|e| Error::io(format!("cannot open {path}"), &e))
}

fn stage() -> Result<Infallible, Word> {
    let mut text = Vec::new();
    let told = io::stdin().lock().read_to_end(&mut text);
    told.map_err(|e| Error::io("cannot read what to start", &e))?;
    let frame: DaemonSpec =
        serde_json::from_slice(&text).map_err(|e| Error::io("cannot read what to start", &e))?;
    rustix::process::setsid().map_err(|e| Error::io("cannot begin a session", &e))?;
    failpoint::scope(&frame.step);

    let Some((name, words)) = frame.argv.split_first() else {
        return Err(Error::new("the command is empty").into());
    };
    let cannot = |e: &io::Error| Error::io(format!("cannot start {name}"), e);
    let cwd = Path::new(&frame.cwd);
    if !cwd.is_dir() {
        return Err(Error::new(format!(
            "cannot start {name}: {} is no directory",
            frame.cwd
        ))
        .into());
    }
    let path = frame.env.iter().rev().find(|(k, _)| k == "PATH");
    let program = find_program(name, path.map(|(_, v)| v.as_str()), cwd).map_err(|e| cannot(&e))?;
    // Before anything is claimed, where this process opens it.
    let log = match &frame.user {
        Some(_) if !frame.own_log => None,
        Some(_) | None => Some(open_log(&frame.log, false)?),
    };

    let claimed = frame
        .pidfile
        .as_deref()
        .map(|path| claim(path, &frame))
        .transpose()?;
    let withdraw = |why: Error| -> Word {
        if let Some((lock, record)) = &claimed {
            // One that stays names a process that has ended.
            let _ = lock.remove(&record.ident);
        }
        why.into()
    };
    if let Some(user) = &frame.user {
        user.assume()
            .map_err(|e| withdraw(Error::io(format!("cannot become user {}", user.uid), &e)))?;
    }
    let log = log.map_or_else(|| open_log(&frame.log, true), Ok);
    let log = log.map_err(&withdraw)?;
    let also = log.try_clone().map_err(|e| withdraw(cannot(&e)))?;
    let error = Command::new(program)
        .arg0(name)
        .args(words)
        .env_clear()
        .envs(frame.env.iter().map(|(k, v)| (k, v)))
        .current_dir(cwd)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(also)
        .exec();
    Err(withdraw(Error::io(
        format!("cannot start {}", quoted(&frame.argv)),
        &error,
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_behind_a_link_of_somebody_else_is_opened_with_their_rights_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (link, target) = (dir.path().join("log"), dir.path().join("target"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        std::os::unix::fs::lchown(&link, Some(65534), Some(65534)).expect("as root");
        let link = link.display().to_string();
        let why = open_log(&link, false).unwrap_err().to_string();
        assert!(why.contains("a link owned by user 65534"), "{why}");
        assert!(!target.exists());
        // What this process may is what the user may, once it is that user.
        open_log(&link, true).unwrap();
        assert!(target.exists());
    }
}
