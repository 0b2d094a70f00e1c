//! The files of a Redis server are exchanged while it is stopped.
//!
//! A server that runs saves its memory over whatever is put in place of its file, and one in append-only mode does not
//! read that file at all. So: what is there is saved and copied (the undo); the server is stopped, and its processes have
//! ended; its append-only files are moved aside; the RDB file is put in place, and in append-only mode the same bytes
//! become the base of a new append-only file; then it is started as it ran, whatever its configuration says of the mode.
//!
//! Invariants: no file is exchanged while the server lives; what stands in the way is moved, not removed; each attempt
//! goes on from where the last one ended, because what was moved aside keeps its name.

use super::backup::Backed;
use super::restore::{Restored, SavedFile, note_of, saved, undo_file};
use super::same_file;
use crate::action::values::Port;
use crate::action::{Context, Error, Look, Work};
use crate::host::files::disk::{self, Manner};
use crate::host::files::mode::Mode;
use crate::host::files::space;
use crate::host::process::note::Note;
use crate::host::redis::place::Layout;
use crate::host::redis::rdb;
use crate::host::redis::save::{self, SaveCommand};
use crate::host::redis::state::{Info, Replica};
use crate::host::redis::{Server, Session, text_of};
use crate::host::service::kind::AnyProcess;
use crate::host::service::{self, By, ManagedService, StopService, manager_of};
use crate::system::durable;
use crate::system::proc;
use crate::text::redis as text;
use crate::time::Length;
use serde::{Deserialize, Serialize};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use upledger_replay::event::Answer;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// How long replicas are waited for.
const REPLICAS: Duration = Duration::from_secs(60);

/// An exchange of the files of a server.
pub(super) struct Swap<'a> {
    pub(super) by: &'a By,
    pub(super) server: &'a Server,
    pub(super) declared: Option<&'a str>,
    pub(super) within: Length,
}

/// The data that a server is to have.
pub(super) struct Data<'a> {
    pub(super) sha256: &'a str,
    pub(super) keys: u64,
    pub(super) expires: u64,
    /// What it is, for people.
    pub(super) what: &'a str,
}

/// What was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Before {
    /// The service as it ran.
    service: service::Before,
    /// The RDB file.
    rdb: String,
    /// The directory of the append-only files, or the file before 7.0.
    append: String,
    /// The name of the append-only file.
    append_name: String,
    /// `append` is a directory.
    append_is_dir: bool,
    /// Something had that name.
    append_existed: bool,
    /// The server is in append-only mode, or its configuration turns that on.
    append_only: bool,
    /// The replicas, as text.
    replicas: Vec<String>,
    /// How it saves.
    command: SaveCommand,
}

impl Before {
    /// What a reader of a preview wants to know.
    pub(super) fn findings(&self) -> Vec<String> {
        let append = self.append_only.then(|| text::append_only(&self.append));
        let replicas =
            (!self.replicas.is_empty()).then(|| text::replicas(crate::text::list(&self.replicas)));
        append.into_iter().chain(replicas).collect()
    }

    fn rdb(&self) -> &Path {
        Path::new(&self.rdb)
    }

    fn append(&self) -> &Path {
        Path::new(&self.append)
    }

    /// Where the append-only files wait.
    fn aside(&self, cx: &Context) -> PathBuf {
        let mut name = self.append.clone();
        name.push_str(".upledger-");
        name.push_str(&disk::tag(cx, self.append()));
        PathBuf::from(name)
    }
}

impl Swap<'_> {
    fn within(&self) -> Duration {
        Duration::from_millis(self.within.0)
    }

    fn with<T>(&self, act: impl FnOnce(&StopService<'_>) -> T) -> T {
        let manager = manager_of(Some(self.by));
        act(&StopService {
            service: ManagedService {
                manager: &*manager,
                kind: &AnyProcess::default(),
            },
            grace: Some(self.within),
            port: None,
            ready: None,
            within: self.within,
        })
    }

    /// Looks at all that an exchange needs, and refuses what would not end well.
    pub(super) fn observe(
        &self,
        cx: &Context,
        session: &mut Session,
        info: &Info,
        backed: Option<&Backed>,
    ) -> Result<Before, Error> {
        let layout = Layout::of(session, info, self.declared)?;
        let command = SaveCommand::of(session)?;
        refuse_sentinel(session)?;
        let service = self.with(|stop| stop.observe(cx))?;
        let pid = info
            .number("process_id")
            .and_then(|p| i32::try_from(p).ok());
        let members = service.0.all();
        if !members.iter().any(|ident| Some(ident.pid) == pid) {
            return Err(Error::new(format!(
                "`by` names another service than Redis {}, which is process {}",
                session.shown(),
                pid.unwrap_or_default()
            ))
            .remedy("name its own manager in `by`"));
        }
        if let Some(backed) = backed {
            same_file(Path::new(&backed.path), &backed.sha256)?;
            rdb::check(cx, Path::new(&backed.path), cx.patience())?;
            // The new file beside the old one, and the base of the append-only file.
            space::needs(
                &layout.dir,
                backed.bytes.saturating_mul(2),
                "the files of the server",
            )?;
        }
        let append_existed = layout.append.symlink_metadata().is_ok();
        Ok(Before {
            rdb: disk::text(&layout.rdb)?,
            append: disk::text(&layout.append)?,
            append_name: layout.append_name,
            append_is_dir: layout.append_is_dir,
            append_existed,
            append_only: append_existed
                || info.is("aof_enabled")
                || configured(info, pid.unwrap_or_default()),
            replicas: info.replicas().iter().map(Replica::to_string).collect(),
            command,
            service,
        })
    }

    pub(super) fn perform(
        &self,
        work: &mut Work<'_, Note>,
        before: &Before,
        backed: &Backed,
    ) -> Result<Restored, Error> {
        let cx = work.cx();
        let from = Path::new(&backed.path);
        rdb::Rdb::read(from)?;
        rdb::check(cx, from, cx.patience())?;
        if saved(work.all_noted()).is_none() {
            self.save_former(work, before)?;
        }
        crate::failpoint::hit("redis-saved");
        self.stop(work, before)?;
        crate::failpoint::hit("redis-stopped");
        self.put(work, before, from, &backed.sha256)?;
        work.note(Note::Exchanged {
            sha256: backed.sha256.clone(),
        })?;
        crate::failpoint::hit("redis-exchanged");
        self.start(work, before)?;
        let mut session = self.await_ready(cx)?;
        let keys: u64 = session
            .need_info()?
            .databases()
            .iter()
            .map(|d| d.keys)
            .sum();
        work.log_line(&format!("the server has loaded {keys} keys"));
        if !before.replicas.is_empty() {
            self.await_replicas(work, &mut session, before.replicas.len())?;
        }
        Ok(Restored {
            restored: keys,
            expired: backed.keys.saturating_sub(keys),
            removed: 0,
            at: session.now()?,
        })
    }

    /// Keeps what is there: for the undo, and so that the server has nothing left to save when it is stopped.
    fn save_former(&self, work: &mut Work<'_, Note>, before: &Before) -> Result<(), Error> {
        let cx = work.cx();
        let mut session = Session::open(cx, self.server)?;
        let dir = before.rdb().parent().unwrap_or(Path::new("/"));
        let mut tell = |line: &str| work.log_line(line);
        let done = save::save(&mut session, before.command, dir, self.within(), &mut tell)?;
        cx.make_undo_path()?;
        let to = undo_file(cx, "rdb");
        save::copy(cx, before.rdb(), &to, &done)?;
        let sum = |of: fn(&crate::host::redis::state::Database) -> u64| {
            done.before.iter().map(of).sum::<u64>()
        };
        let (keys, expires) = (sum(|d| d.keys), sum(|d| d.expires));
        work.log_line(&format!("what is there is kept in {}", to.display()));
        work.note(note_of(&to, keys, expires)?)
    }

    /// Stops what runs of the service, whichever process that is.
    fn stop(&self, work: &mut Work<'_, Note>, before: &Before) -> Result<(), Error> {
        self.with(|stop| {
            let now = match before.service.0.all().iter().any(|i| i.alive()) {
                true => before.service.clone(),
                false => stop.observe(work.cx())?,
            };
            stop.perform(work, &now.0)?;
            let notes: Vec<Note> = work.all_noted().cloned().collect();
            let (look, _) = stop.probe(work.cx(), &now.0, notes.iter())?;
            match look.answer {
                Answer::Done => Ok(()),
                Answer::Nothing | Answer::Unclear => Err(Error::new(format!(
                    "the server has not stopped, and its files are not touched: {}",
                    look.evidence.join("; ")
                ))),
            }
        })
    }

    fn start(&self, work: &mut Work<'_, Note>, before: &Before) -> Result<(), Error> {
        self.with(|stop| stop.undo(work, &before.service.0))
    }

    /// Puts an RDB file in place, and in append-only mode a new append-only file that begins with it.
    fn put(
        &self,
        work: &mut Work<'_, Note>,
        before: &Before,
        from: &Path,
        sha256: &str,
    ) -> Result<(), Error> {
        let cx = work.cx();
        self.put_rdb(cx, before, from, sha256)?;
        work.log_line(&format!("{} -> {}", from.display(), before.rdb));
        if !before.append_only {
            return Ok(());
        }
        let (append, aside) = (before.append(), before.aside(cx));
        let is_there = |path: &Path| path.symlink_metadata().is_ok();
        if before.append_existed && !is_there(&aside) {
            durable::rename_new(append, &aside)?;
            work.log_line(&format!("{} -> {}", before.append, aside.display()));
        } else {
            // What an earlier attempt has made, or what the server has made since.
            remove(append)?;
        }
        let manner = manner_of(before.rdb())?;
        if !before.append_is_dir {
            return copy(cx, from, append, sha256, manner);
        }
        std::fs::create_dir(append)
            .map_err(|e| Error::io(format!("cannot make {}", before.append), &e))?;
        let base = format!("{}.1.base.rdb", before.append_name);
        copy(cx, from, &append.join(&base), sha256, manner)?;
        let manifest = format!("file {base} seq 1 type b\n");
        let path = append.join(format!("{}.manifest", before.append_name));
        let digest = disk::digest(manifest.as_bytes());
        disk::put(cx, &path, &mut manifest.as_bytes(), &digest, manner)?;
        give(append, manner)?;
        work.log_line(&format!("{} begins with the same data", before.append));
        Ok(())
    }

    fn put_rdb(
        &self,
        cx: &Context,
        before: &Before,
        from: &Path,
        sha256: &str,
    ) -> Result<(), Error> {
        let manner = manner_of(before.rdb())?;
        copy(cx, from, before.rdb(), sha256, manner)
    }

    /// Waits until the server answers and has loaded its data.
    fn await_ready(&self, cx: &Context) -> Result<Session, Error> {
        let deadline = Instant::now() + self.within();
        loop {
            let asked = Session::open(cx, self.server).and_then(|mut session| {
                let info = session.need_info()?;
                Ok((session, info.is("loading")))
            });
            match asked {
                Ok((session, false)) => return Ok(session),
                Err(e) if Instant::now() >= deadline => return Err(e),
                Ok(_) if Instant::now() >= deadline => {
                    return Err(Error::new(format!(
                        "Redis {} has not loaded its data within {}",
                        self.server.shown(),
                        crate::time::said(self.within())
                    )));
                }
                Ok(_) | Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }

    /// Waits until as many replicas as before have taken over what is restored, or the time is over.
    fn await_replicas(
        &self,
        work: &mut Work<'_, Note>,
        session: &mut Session,
        count: usize,
    ) -> Result<(), Error> {
        let deadline = Instant::now() + self.within().min(REPLICAS);
        loop {
            let replicas = session.need_info()?.replicas();
            let online = replicas.iter().filter(|r| r.state == "online");
            if online.count() >= count {
                work.log_line(&format!("replicas: {}", Replica::shown(&replicas)));
                return Ok(());
            }
            if Instant::now() >= deadline {
                work.log_line(&format!(
                    "of {count} replicas, these have come back by now: {}",
                    Replica::shown(&replicas)
                ));
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The number of keys on each replica that answers, and whether it is the expected one.
    fn on_replicas(&self, cx: &Context, info: &Info, least: u64, most: u64) -> (bool, Vec<String>) {
        let (mut all, mut lines) = (true, Vec::new());
        for replica in info.replicas() {
            let server = Server {
                host: Some(replica.host),
                port: Some(Port(replica.port)),
                socket: None,
                ..self.server.clone()
            };
            let shown = server.shown();
            let asked = Session::open(cx, &server).and_then(|mut s| s.need_info());
            lines.push(match asked {
                Ok(info) => {
                    let keys: u64 = info.databases().iter().map(|d| d.keys).sum();
                    all &= (least..=most).contains(&keys);
                    format!("the replica {shown} has {keys} keys")
                }
                Err(e) => format!("the replica {shown} cannot be asked: {e}"),
            });
        }
        (all, lines)
    }

    pub(super) fn undo(
        &self,
        work: &mut Work<'_, Note>,
        before: &Before,
        former: &SavedFile,
    ) -> Result<(), Error> {
        let cx = work.cx();
        self.stop(work, before)?;
        self.put_rdb(cx, before, &former.path, &former.sha256)?;
        work.log_line(&format!("{} -> {}", former.path.display(), before.rdb));
        let (append, aside) = (before.append(), before.aside(cx));
        if before.append_existed && aside.symlink_metadata().is_ok() {
            remove(append)?;
            durable::rename_new(&aside, append)?;
            work.log_line(&format!("{} -> {}", aside.display(), before.append));
        } else if before.append_only && !before.append_existed {
            remove(append)?;
        }
        work.note(Note::Exchanged {
            sha256: former.sha256.clone(),
        })?;
        self.start(work, before)?;
        self.await_ready(cx).map(|_| ())
    }

    /// Whether the server runs with that data: its files were exchanged for it last, while it was stopped, it has the
    /// same number of keys, and its mode and replicas are as before.
    pub(super) fn look<'n>(
        &self,
        cx: &Context,
        before: &Before,
        data: &Data<'_>,
        notes: impl Iterator<Item = &'n Note>,
    ) -> Result<Look, Error> {
        let (keys, expires, what) = (data.keys, data.expires, data.what);
        // The number of keys alone tells no data from another.
        let last = notes.filter_map(|note| match note {
            Note::Exchanged { sha256 } => Some(sha256.as_str()),
            _ => None,
        });
        if last.last() != Some(data.sha256) {
            return Ok(Look::nothing("the files of the server were not exchanged"));
        }
        let mut session = match Session::open(cx, self.server) {
            Ok(session) => session,
            Err(e) => return Ok(Look::nothing(e.to_string())),
        };
        let info = session.need_info()?;
        let there: u64 = info.databases().iter().map(|d| d.keys).sum();
        let shown = info.shown();
        let least = keys.saturating_sub(expires);
        if there < least || there > keys {
            return Ok(Look::unclear(format!(
                "Redis {} has {there} keys ({shown}), expected {least} to {keys}",
                self.server.shown()
            )));
        }
        let aside = Some(before.aside(cx)).filter(|aside| aside.symlink_metadata().is_ok());
        let mut look = Look::done(format!(
            "Redis {} is {what}: {shown}, expected {least} to {keys} keys",
            self.server.shown()
        ))
        .and(aside.map(|aside| {
            let aside = aside.display();
            format!("the append-only files that were there before are kept in {aside}")
        }));
        if before.append_only {
            let status = info.get("aof_last_write_status").unwrap_or("ok");
            let on = if info.is("aof_enabled") { "on" } else { "off" };
            look.evidence.push(format!(
                "append-only mode is {on}, its last write: {status}"
            ));
        }
        if !before.replicas.is_empty() {
            look.evidence.push(format!(
                "replicas before: {}; now: {}",
                before.replicas.join(", "),
                Replica::shown(&info.replicas())
            ));
            let (all, lines) = self.on_replicas(cx, &info, least, keys);
            look.evidence.extend(lines);
            if !all {
                look.answer = Answer::Unclear;
            }
        }
        Ok(look)
    }
}

/// A master that restarts under a sentinel is replaced by a replica, with the data that is to go.
fn refuse_sentinel(session: &mut Session) -> Result<(), Error> {
    let Ok(value) = session.reply(&[b"CLIENT", b"LIST"])? else {
        return Ok(());
    };
    let clients = text_of(&value).unwrap_or_default();
    let sentinel = clients
        .lines()
        .find(|line| line.contains(" name=sentinel-"));
    match sentinel.and_then(|line| line.split(' ').find_map(|w| w.strip_prefix("addr="))) {
        None => Ok(()),
        Some(address) => Err(Error::new(format!(
            "a sentinel ({address}) watches Redis {}, and would make a replica the master while it is stopped",
            session.shown()
        ))
        .remedy("pause the sentinels, or restore declared `keys`")
        .lasting()),
    }
}

/// The next start turns append-only mode on: by the configuration file, or by the command line.
fn configured(info: &Info, pid: i32) -> bool {
    let words = proc::words(pid);
    let on = |name: &str, value: &str| {
        name.trim_start_matches('-')
            .eq_ignore_ascii_case("appendonly")
            && value.eq_ignore_ascii_case("yes")
    };
    let file = info.get("config_file").filter(|f| !f.is_empty());
    let text = file.and_then(|f| std::fs::read_to_string(f).ok());
    let lines = text.unwrap_or_default();
    let mut lines = lines.lines().map(str::split_whitespace);
    words.windows(2).any(|w| on(&w[0], &w[1]))
        || lines.any(|mut line| {
            let pair = line.next().zip(line.next());
            pair.is_some_and(|(name, value)| on(name, value))
        })
}

/// As a file of the server is: as its RDB file, else as its directory belongs to.
fn manner_of(path: &Path) -> Result<Manner, Error> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let cannot = |e: std::io::Error| Error::io(format!("cannot look at {}", dir.display()), &e);
    let (mode, owner) = match path.metadata() {
        Ok(meta) => (Mode::of(meta.mode()), (meta.uid(), meta.gid())),
        Err(_) => {
            let meta = dir.metadata().map_err(cannot)?;
            (Mode::of(0o640), (meta.uid(), meta.gid()))
        }
    };
    Ok(Manner {
        mode,
        owner: Some(owner),
        must_own: true,
        mtime: None,
    })
}

fn copy(cx: &Context, from: &Path, to: &Path, sha256: &str, manner: Manner) -> Result<(), Error> {
    let gone = || Error::new(format!("{} does not exist any more", from.display()));
    let (mut file, _) = disk::open_plain(from)?.ok_or_else(gone)?;
    disk::put(cx, to, &mut file, sha256, manner)
}

/// Gives a directory to the owner of the files in it.
fn give(dir: &Path, manner: Manner) -> Result<(), Error> {
    let cannot =
        |e: std::io::Error| Error::io(format!("cannot give {} to its owner", dir.display()), &e);
    if let Some((uid, gid)) = manner.owner {
        std::os::unix::fs::chown(dir, Some(uid), Some(gid)).map_err(cannot)?;
    }
    durable::sync_dir(dir).map_err(cannot)
}

/// Removes a file, or a directory with its files.
fn remove(path: &Path) -> Result<(), Error> {
    let cannot = |e: std::io::Error| Error::io(format!("cannot remove {}", path.display()), &e);
    match path.symlink_metadata() {
        Err(_) => Ok(()),
        Ok(meta) if meta.is_dir() => std::fs::remove_dir_all(path).map_err(cannot),
        Ok(_) => disk::remove(path),
    }
}
