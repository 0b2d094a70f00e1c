//! The pidfile: which process runs, and all that is needed to start it again.
//!
//! Invariants: it is replaced as a whole and durably, so that it is never half written; it is written under a lock on
//! its directory (no litter beside it), so that of two starts one sees the other; it holds no environment, because
//! that may hold secrets; it is never written through a link of somebody of less power.
//!
//! Left out: pidfiles of other programs. A bare number cannot say whether its process is still the same.

use crate::action::Error;
use crate::host::files::trust;
use crate::host::process::identity::Ident;
use crate::system::durable::{self, Temporary};
use crate::system::plain::{self, NotPlain};
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// More than this is no pidfile.
const SIZE: u64 = 1 << 20;
/// How long the lock is waited for; whoever has it needs milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// The content of a pidfile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The process, which leads a session of its own.
    #[serde(flatten)]
    pub(crate) ident: Ident,
    /// Its command.
    pub(crate) argv: Vec<String>,
    /// Its working directory.
    pub(crate) cwd: String,
    /// Where its output goes.
    pub(crate) log: String,
}

impl Record {
    /// Its process lives.
    pub(crate) fn alive(&self) -> bool {
        self.ident.alive()
    }
}

/// Reads a pidfile; none when there is none.
///
/// # Errors
/// [`Error`] when it cannot be read, or is not ours.
pub(crate) fn read(path: &Path) -> Result<Option<Record>, Error> {
    let cannot =
        |e: &io::Error| Error::io(format!("cannot read the pidfile {}", path.display()), e);
    let foreign = |why: &str| {
        Error::new(format!(
            "{} is not a pidfile of upledger ({why}); move it away or name another",
            path.display()
        ))
    };
    // A link may lead to a file that somebody else chose.
    let (file, meta) = match plain::open(File::options().read(true), path) {
        Ok(opened) => opened,
        Err(NotPlain::Io(e)) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(NotPlain::Io(e)) => return Err(cannot(&e)),
        Err(why) => return Err(foreign(&why.to_string())),
    };
    // Whoever can write it chooses whom we end.
    let own = rustix::process::geteuid().as_raw();
    if ![0, own].contains(&meta.uid()) {
        return Err(foreign(&format!("it belongs to user {}", meta.uid())));
    }
    if meta.mode() & 0o022 != 0 {
        return Err(foreign(&format!(
            "it is writable by others: its mode is {:o}",
            meta.mode() & 0o7777
        )));
    }
    let mut text = Vec::new();
    file.take(SIZE)
        .read_to_end(&mut text)
        .map_err(|e| cannot(&e))?;
    let record: Record = serde_json::from_slice(&text).map_err(|e| foreign(&e.to_string()))?;
    // Numbers below that mean groups, or everybody, to the kernel.
    if record.ident.pid <= 1 {
        return Err(foreign("it names no process"));
    }
    Ok(Some(record))
}

/// The right to change a pidfile, as long as it lives. It ends with the program that is executed, too.
pub(crate) struct Lock {
    _dir: File,
    path: PathBuf,
}

impl Lock {
    /// Takes it; none when the directory is not there.
    ///
    /// # Errors
    /// [`Error`] when somebody else could choose which file that is, or holds the lock for long.
    pub(crate) fn take(path: &Path) -> Result<Option<Self>, Error> {
        let cannot = |e: io::Error| Error::io(format!("cannot lock {}", path.display()), &e);
        trust::ours(path)?;
        let dir = match File::open(path.parent().unwrap_or(Path::new("/"))) {
            Ok(dir) => dir,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(cannot(e)),
        };
        let until = Instant::now() + PATIENCE;
        loop {
            match dir.try_lock() {
                Ok(()) => {
                    return Ok(Some(Self {
                        _dir: dir,
                        path: path.into(),
                    }));
                }
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(e) => return Err(cannot(e.into())),
            }
        }
    }

    /// Replaces the pidfile, durably.
    pub(crate) fn write(&self, record: &Record) -> io::Result<()> {
        let mut text = serde_json::to_vec(record)?;
        text.push(b'\n');
        durable::replace(&self.path, Temporary::Random, 0o644, |file| {
            file.write_all(&text)
        })
    }

    /// Removes the pidfile of that process, and no other.
    pub(crate) fn remove(&self, ident: &Ident) -> Result<(), Error> {
        if read(&self.path)?.is_none_or(|r| r.ident != *ident) {
            return Ok(());
        }
        durable::remove_file(&self.path)?;
        Ok(())
    }
}

/// Removes the pidfile of that process, and no other.
pub(crate) fn remove(path: &Path, ident: &Ident) -> Result<(), Error> {
    // Without its directory it is gone already.
    Lock::take(path)?.map_or(Ok(()), |lock| lock.remove(ident))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn record() -> Record {
        Record {
            ident: Ident::of(i32::try_from(std::process::id()).unwrap()).unwrap(),
            argv: vec!["x".into()],
            cwd: "/".into(),
            log: "/dev/null".into(),
        }
    }

    #[test]
    fn it_is_read_as_it_was_written_and_removed_only_by_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        assert_eq!(read(&path).unwrap(), None);
        Lock::take(&path)
            .unwrap()
            .unwrap()
            .write(&record())
            .unwrap();
        assert_eq!(read(&path).unwrap(), Some(record()));
        let other = Ident {
            starttime: 1,
            ..record().ident
        };
        remove(&path, &other).unwrap();
        assert!(path.exists());
        remove(&path, &record().ident).unwrap();
        remove(&path, &record().ident).unwrap();
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            0,
            "no litter"
        );
    }

    #[test]
    fn what_is_no_pidfile_of_ours_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        let group = Record {
            ident: Ident {
                pid: -1,
                ..record().ident
            },
            ..record()
        };
        for text in [
            "",
            "123\n",
            "{\"pid\":",
            &serde_json::to_string(&group).unwrap(),
        ] {
            std::fs::write(&path, text).unwrap();
            let said = read(&path).unwrap_err().to_string();
            assert!(said.contains("not a pidfile of upledger"), "{said}");
        }
        assert!(read(dir.path()).is_err(), "a directory");
    }

    #[test]
    fn what_others_could_have_written_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        Lock::take(&path)
            .unwrap()
            .unwrap()
            .write(&record())
            .unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let said = read(&link).unwrap_err().to_string();
        assert!(
            said.contains("link is not a pidfile of upledger (it is a link)"),
            "{said}"
        );
        for mode in [0o664, 0o646] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let said = read(&path).unwrap_err().to_string();
            assert!(said.contains("writable by others"), "{said}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read(&path).unwrap(), Some(record()));
        // Only root can give a file away.
        if std::os::unix::fs::chown(&path, Some(65534), None).is_ok() {
            let said = read(&path).unwrap_err().to_string();
            assert!(said.contains("belongs to user 65534"), "{said}");
        }
    }

    #[test]
    fn through_a_link_of_somebody_else_it_is_neither_written_nor_removed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("there")).unwrap();
        let (link, path) = (dir.path().join("run"), dir.path().join("run/pid"));
        std::os::unix::fs::symlink("there", &link).unwrap();
        Lock::take(&path)
            .unwrap()
            .unwrap()
            .write(&record())
            .unwrap();
        std::os::unix::fs::lchown(&link, Some(65534), Some(65534)).expect("as root");
        let refused = [Lock::take(&path).map(drop), remove(&path, &record().ident)];
        for refused in refused {
            let why = refused.unwrap_err().to_string();
            assert!(why.contains("a link owned by user 65534"), "{why}");
        }
        assert!(path.exists());
        let gone = dir.path().join("gone/pid");
        remove(&gone, &record().ident).unwrap();
        assert!(Lock::take(&gone).unwrap().is_none());
    }
}
