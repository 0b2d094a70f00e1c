//! Where a server of this machine keeps its files.

use super::Session;
use super::state::Info;
use crate::action::Error;
use crate::encoding;
use crate::system::proc;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// As much of the end of a log as is looked at.
const LOG: u64 = 64 << 10;

/// The files of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Its directory.
    pub(crate) dir: PathBuf,
    /// The RDB file, which need not be there yet.
    pub(crate) rdb: PathBuf,
    /// The directory of the append-only files, from 7.0 on; before, the file.
    pub(crate) append: PathBuf,
    /// The name of the append-only file.
    pub(crate) append_name: String,
    /// `append` is a directory.
    pub(crate) append_is_dir: bool,
}

impl Layout {
    /// Where the server keeps its files: by `CONFIG`, else by the path that the settings declare, else by the directory
    /// of its process.
    ///
    /// # Errors
    /// [`Error`] when that cannot be told, or it is another machine.
    pub(crate) fn of(
        session: &mut Session,
        info: &Info,
        declared: Option<&str>,
    ) -> Result<Self, Error> {
        let major = info.identity().major();
        let pid = info
            .number("process_id")
            .and_then(|p| i32::try_from(p).ok());
        let cwd = pid.and_then(|pid| proc::cwd(pid).ok());
        let asked = session.config("dir")?.map(PathBuf::from);
        let server = session.shown();
        let dir = match (declared, asked, &cwd) {
            (Some(declared), _, _) => Path::new(declared)
                .parent()
                .unwrap_or(Path::new("/"))
                .to_path_buf(),
            (None, Some(dir), Some(cwd)) if same(&dir, cwd) => dir,
            (None, Some(dir), Some(_)) => {
                return Err(elsewhere(&server, &dir));
            }
            // Its process is not ours to look at.
            (None, Some(dir), None) if pid.is_some_and(|pid| proc::Stat::of(pid).is_some()) => dir,
            (None, Some(dir), None) => return Err(elsewhere(&server, &dir)),
            (None, None, Some(cwd)) => cwd.clone(),
            (None, None, None) => {
                return Err(Error::new(format!(
                    "it cannot be told where Redis {server} keeps its RDB file: CONFIG is refused, and its process is not visible"
                ))
                .remedy("set `rdb` to the path of the file, or back up declared `keys`"));
            }
        };
        let name = match declared {
            Some(declared) => Path::new(declared).file_name().map(PathBuf::from),
            None => session.config("dbfilename")?.map(PathBuf::from),
        };
        let name = name.unwrap_or_else(|| PathBuf::from("dump.rdb"));
        let append_name = session.config("appendfilename")?;
        let append_name = append_name.unwrap_or_else(|| "appendonly.aof".into());
        let append_is_dir = major >= 7;
        let append = match append_is_dir {
            true => {
                let name = session.config("appenddirname")?;
                dir.join(name.unwrap_or_else(|| "appendonlydir".into()))
            }
            false => dir.join(&append_name),
        };
        let layout = Self {
            rdb: dir.join(name),
            append,
            append_name,
            append_is_dir,
            dir,
        };
        layout.readable()?;
        Ok(layout)
    }

    /// Refuses a directory that this user may not look into.
    fn readable(&self) -> Result<(), Error> {
        let cannot = |e: &std::io::Error| {
            let what = format!(
                "cannot read {}, where Redis keeps its files",
                self.dir.display()
            );
            Error::io(what, e).remedy("run as a user who may, or back up declared `keys`")
        };
        self.dir.read_dir().map_err(|e| cannot(&e))?;
        match std::fs::File::open(&self.rdb) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(cannot(&e)),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

fn same(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    whole(one) == whole(other)
}

fn elsewhere(server: &str, dir: &Path) -> Error {
    let what = format!(
        "Redis {server} keeps its RDB file in {}, but its process does not run in that directory of this machine: it runs elsewhere, or in a container",
        dir.display()
    );
    Error::new(what)
        .remedy("run upledger on its machine, set `rdb` to the path of the file, or back up declared `keys`")
}

/// The last line of the server's log that tells of a failure.
pub(crate) fn complaint(session: &mut Session, dir: &Path) -> Option<String> {
    let name = session.config("logfile").ok()??;
    if name.is_empty() {
        return None;
    }
    let mut file = std::fs::File::open(dir.join(name)).ok()?;
    let len = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(LOG))).ok()?;
    let mut bytes = Vec::new();
    file.take(LOG).read_to_end(&mut bytes).ok()?;
    let text = encoding::text(&bytes);
    let tells = |line: &&str| {
        ["rror", "No space", "ailed", "can't", "Can't"]
            .iter()
            .any(|word| line.contains(word))
    };
    let mut lines = text.lines().rev().filter(tells);
    // The first cause stands before what follows from it.
    let cause = lines
        .clone()
        .take(5)
        .find(|line| line.contains("No space") || line.contains("rror writing"));
    cause.or_else(|| lines.next()).map(str::to_owned)
}
