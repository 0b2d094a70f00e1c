//! A save of all databases, judged by what the server says of it afterwards: that it began after the request, that it
//! ended well, and that its file says the same.

use super::permits::Permit;
use super::place::complaint;
use super::rdb::Rdb;
use super::state::Database;
use super::{Session, text_of};
use crate::action::{Context, Error};
use crate::host::files::disk::{self, Manner};
use crate::host::files::mode::Mode;
use crate::host::files::space;
use serde::{Deserialize, Serialize};
use std::io::{Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// By so many milliseconds the clock of a save may be behind that of `TIME`: a tick of the kernel.
const TICK: i64 = 20;

/// By which command a server saves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum SaveCommand {
    /// In the background.
    Bgsave,
    /// In the foreground: nobody else is answered meanwhile.
    Save,
}

/// A save that ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Saved {
    /// When it was asked for, in seconds since 1970, by the clock of the server.
    pub(crate) requested: i64,
    /// When it ended.
    pub(crate) ended: i64,
    /// Writes since it began, which are not in the file.
    pub(crate) changes: u64,
    /// The databases when it was asked for.
    pub(crate) before: Vec<Database>,
    /// The databases when it had ended.
    pub(crate) after: Vec<Database>,
}

/// A copy of the file of a save.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Copied {
    pub(crate) sha256: String,
    pub(crate) bytes: u64,
    pub(crate) rdb: Rdb,
}

impl SaveCommand {
    /// The command that this server has and permits: `BGSAVE`, and `SAVE` where there is none.
    ///
    /// # Errors
    /// [`Error`] when it permits neither.
    pub(crate) fn of(session: &mut Session) -> Result<Self, Error> {
        let background = session.permit("BGSAVE", &[])?;
        if matches!(background, Permit::Yes | Permit::Unknown) {
            return Ok(Self::Bgsave);
        }
        if background == Permit::Missing
            && matches!(session.permit("SAVE", &[])?, Permit::Yes | Permit::Unknown)
        {
            return Ok(Self::Save);
        }
        let denied = session.judge("BGSAVE", &[], &background);
        let why = denied.err().unwrap_or_else(|| Error::new("it cannot save"));
        Err(why.or_remedy("or back up declared `keys`"))
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bgsave => "BGSAVE",
            Self::Save => "SAVE",
        }
    }
}

/// Saves all databases. `tell` gets what happens, in lines.
///
/// # Errors
/// [`Error`] when the server refuses, the save fails, or it does not end in time.
pub(crate) fn save(
    session: &mut Session,
    command: SaveCommand,
    dir: &Path,
    limit: Duration,
    tell: &mut dyn FnMut(&str),
) -> Result<Saved, Error> {
    let deadline = Instant::now() + limit;
    let mut told = String::new();
    let (requested, last, before) = loop {
        let info = session.need_info()?;
        let running = running(&info);
        let clock = session.now()?;
        let now = clock / 1000;
        let last = info.number("rdb_last_save_time").unwrap_or_default();
        match running {
            // A save of this very second could not be told from the next one.
            None if last < now && clock % 1000 >= TICK => {
                match begin(session, command, deadline)? {
                    None => break (now, last, info.databases()),
                    Some(why) => tell_once(&mut told, &why, tell),
                }
            }
            None => {}
            Some(why) => tell_once(&mut told, &why, tell),
        }
        if Instant::now() >= deadline {
            return Err(late(session, "no save could begin", &told, limit));
        }
        std::thread::sleep(PAUSE);
    };
    tell(&format!("{} was accepted", command.name()));
    loop {
        let info = session.need_info()?;
        let ended = info.number("rdb_last_save_time").unwrap_or_default();
        if !info.is("rdb_bgsave_in_progress") {
            let status = info.get("rdb_last_bgsave_status").unwrap_or("ok");
            if status != "ok" || ended <= last || ended < requested {
                return Err(failed(session, dir, status));
            }
            let changes = info.number("rdb_changes_since_last_save");
            return Ok(Saved {
                requested,
                ended,
                changes: changes.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
                before,
                after: info.databases(),
            });
        }
        if Instant::now() >= deadline {
            return Err(late(session, "the save has not ended", &told, limit));
        }
        std::thread::sleep(PAUSE);
    }
}

fn tell_once(told: &mut String, why: &str, tell: &mut dyn FnMut(&str)) {
    // Its seconds pass.
    let kind = |text: &str| text.split(',').next().unwrap_or_default().to_owned();
    if kind(told) != kind(why) {
        tell(why);
    }
    why.clone_into(told);
}

/// What the server works on that a save has to wait for.
fn running(info: &super::state::Info) -> Option<String> {
    let since = |name: &str| match info.number(name) {
        Some(seconds) if seconds >= 0 => format!(", for {seconds} s"),
        _ => String::new(),
    };
    let process = info.get("process_id").unwrap_or("?");
    if info.is("rdb_bgsave_in_progress") {
        let since = since("rdb_current_bgsave_time_sec");
        return Some(format!(
            "waiting: a save of another is running in a child of process {process}{since}"
        ));
    }
    if info.is("aof_rewrite_in_progress") {
        let since = since("aof_current_rewrite_time_sec");
        return Some(format!(
            "waiting: an append-only file is being rewritten in a child of process {process}{since}"
        ));
    }
    if info.is("loading") {
        return Some("waiting: the server is loading its data".into());
    }
    None
}

/// Asks for a save; why it has to wait, where another child runs.
fn begin(
    session: &mut Session,
    command: SaveCommand,
    deadline: Instant,
) -> Result<Option<String>, Error> {
    if command == SaveCommand::Save {
        session.limit(deadline.saturating_duration_since(Instant::now()))?;
    }
    let reply = session.reply(&[command.name().as_bytes()])?;
    session.limit(super::session::ANSWER)?;
    match reply {
        Ok(value) => match (command, text_of(&value).unwrap_or_default()) {
            (SaveCommand::Save, text) if text == "OK" => Ok(None),
            (SaveCommand::Bgsave, text) if text.contains("started") => Ok(None),
            (_, text) => Err(Error::new(format!(
                "Redis {} answers {} with '{text}'",
                session.shown(),
                command.name()
            ))),
        },
        Err(refused)
            if refused.detail.contains("already in progress")
                || refused.detail.contains("child process") =>
        {
            Ok(Some(format!("waiting: {refused}")))
        }
        Err(refused) => Err(session.refused(command.name(), &refused)),
    }
}

fn late(session: &Session, what: &str, told: &str, limit: Duration) -> Error {
    let told = match told.is_empty() {
        true => String::new(),
        false => format!(" ({told})"),
    };
    let what = format!(
        "{what} on Redis {} within {}{told}",
        session.shown(),
        crate::time::said(limit)
    );
    Error::new(what).remedy("set a longer `within`")
}

/// Why a save failed: the words of the log, and the room in the directory.
fn failed(session: &mut Session, dir: &Path, status: &str) -> Error {
    let log = complaint(session, dir);
    let log = log.map_or_else(String::new, |line| format!("; its log says: {line}"));
    let room = space::free(dir).map_or_else(
        |_| String::new(),
        |(free, _)| format!("; {free} bytes are free in {}", dir.display()),
    );
    let what = format!(
        "Redis {} did not save (rdb_last_bgsave_status:{status}){log}{room}",
        session.shown()
    );
    Error::new(what)
        .remedy("make room there, or let the server write there; the last file is as it was")
}

/// Copies the file of a save, and proves the copy: its digest at once, then its checksum, and that it holds a save which
/// began after the request.
///
/// # Errors
/// [`Error`]; no copy is left then.
pub(crate) fn copy(cx: &Context, from: &Path, to: &Path, saved: &Saved) -> Result<Copied, Error> {
    let gone = || {
        Error::new(format!(
            "the server has saved, and {} does not exist",
            from.display()
        ))
    };
    let (mut file, meta) = disk::open_plain(from)?.ok_or_else(gone)?;
    // An open file is one save, whatever is renamed to its name meanwhile.
    let cannot = |e: &std::io::Error| Error::io(format!("cannot read {}", from.display()), e);
    let (sha256, bytes) =
        crate::action::pour(&[], &mut file, &mut std::io::sink()).map_err(|e| cannot(&e))?;
    space::needs(to, bytes, "the copy of the RDB file")?;
    file.seek(SeekFrom::Start(0)).map_err(|e| cannot(&e))?;
    let manner = Manner {
        mode: Mode::of(0o600),
        owner: None,
        must_own: false,
        mtime: None,
    };
    disk::put(cx, to, &mut file, &sha256, manner)?;
    let proved = Rdb::read(to).and_then(|rdb| {
        let written = rdb.began.unwrap_or_else(|| {
            use std::os::unix::fs::MetadataExt;
            meta.mtime()
        });
        if written < saved.requested {
            return Err(Error::new(format!(
                "{} holds a save of {written} (seconds since 1970), and the save was asked for at {}: it is not the file of this server",
                from.display(),
                saved.requested
            ))
            .remedy("set `rdb` to the path of its file"));
        }
        Ok(rdb)
    });
    match proved {
        Ok(rdb) => Ok(Copied { sha256, bytes, rdb }),
        Err(why) => {
            disk::remove(to)?;
            Err(why)
        }
    }
}
