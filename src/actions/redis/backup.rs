//! `redis.backup`: all databases of a server as an RDB file, or declared keys of one database.
//!
//! An RDB file counts when the save began after the request, ended well by the server's own word, and its copy holds it:
//! its checksum, its header and `redis-check-rdb` say so, and its keys are those of the server. The digest is made at once.
//! A copy never takes the place of something else, and nothing removes a backup, so there is no undo.
//!
//! Left out: a save of another machine, whose file cannot be reached (`keys` work there); clusters.

use super::{backups, make, same_file};
use crate::action::values::absolute;
use crate::action::{
    Action, Context, Direction, Error, Live, Look, Past, Place, Preview, Properties, Stage, Work,
    Write,
};
use crate::host::files::{disk, space};
use crate::host::redis::broker;
use crate::host::redis::keys::{self, Header};
use crate::host::redis::permits::Permit;
use crate::host::redis::place::Layout;
use crate::host::redis::save::{self, SaveCommand, Saved};
use crate::host::redis::state::{Identity, Info};
use crate::host::redis::{Server, Session, rdb};
use crate::system::durable::{self, Temporary};
use crate::text::redis as text;
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use upledger_replay::plan::Effect;

/// Backs up a Redis server: all of its databases as an RDB file, or declared `keys` of one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// The server, and how to log in. Default: 127.0.0.1:6379.
    #[serde(default)]
    pub server: Server,
    /// Names and patterns (`session:*`) of the keys of `server.db` that are backed up, instead of all databases. It works
    /// on servers of other machines, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// The copy, as an absolute path that nothing has yet. Default: a name of this run in the state directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The RDB file of the server, as an absolute path, where CONFIG is refused or the server runs in a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rdb: Option<String>,
    /// The queues of Celery. Their databases are recognized, so that a restore refuses them. Default: `[celery]`.
    #[serde(default = "celery")]
    pub queues: Vec<String>,
    /// Nothing writes any more: a write since the save began fails the step. Default: false, and the writes are counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub writers_stopped: bool,
    /// How long the save may take, the wait for a save of another included. Default: 10m.
    #[serde(default = "ten_minutes")]
    pub within: Length,
}

fn celery() -> Vec<String> {
    vec!["celery".into()]
}

pub(super) fn ten_minutes() -> Length {
    Length(600_000)
}

/// What was there before the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// Where the copy goes.
    copy: String,
    /// The version of the server.
    version: String,
    /// The command that saves; none for declared keys.
    command: Option<SaveCommand>,
    /// The databases, as text.
    databases: Option<String>,
    /// The master, where the server is a replica.
    master: Option<String>,
    /// Databases with queues of Celery, as text.
    brokers: Option<String>,
    /// The last save failed.
    last_failed: bool,
    /// A save is running.
    saving: bool,
}

/// The backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backed {
    /// The path of the copy.
    #[schemars(extend("format" = "path"))]
    pub path: String,
    /// Its SHA-256, made right after the save.
    #[schemars(extend("format" = "sha256"))]
    pub sha256: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// `rdb` or `keys`.
    pub kind: String,
    /// The server.
    pub server: String,
    /// `master` or `replica`.
    pub role: String,
    /// The version of the server.
    pub version: String,
    /// The version of the RDB format, which is that of dumped values, too; 0 where no key was there.
    pub format: u32,
    /// The keys, without those that have expired.
    pub keys: u64,
    /// Those of them that have a time to live.
    pub expires: u64,
    /// Keys in an RDB file that have expired.
    pub expired: u64,
    /// The databases and their numbers of keys, as text.
    pub databases: String,
    /// Where queues of Celery are in the backup, as text; empty where there are none.
    pub brokers: String,
    /// Writes between the begin of the save and its end, which are not in the backup.
    pub changes: u64,
    /// When the save ended, or the keys were taken, in seconds since 1970, by the clock of the server.
    pub saved_at: i64,
    /// The RDB file holds a checksum of its own, which is right.
    pub checksum: bool,
}

impl Backup {
    fn place(&self, cx: &Context) -> Result<PathBuf, Error> {
        let ending = if self.keys.is_empty() { "rdb" } else { "keys" };
        let copy = match &self.to {
            Some(to) => disk::resolve_to_write(to)?,
            None => backups(cx).join(format!("redis-{}.{ending}", cx.step)),
        };
        match copy.symlink_metadata() {
            Err(_) => Ok(copy),
            Ok(meta) => Err(Error::new(format!(
                "{} already exists, and a backup does not overwrite: {}",
                copy.display(),
                disk::described(&meta)
            ))
            .remedy("set `to` to another name, such as one with ${run} in it")
            .lasting()),
        }
    }

    fn within(&self) -> Duration {
        Duration::from_millis(self.within.0)
    }

    /// Refuses all that would make a backup of keys incomplete.
    fn check_keys(&self, session: &mut Session) -> Result<(), Error> {
        for key in &self.keys {
            session.demand("DUMP", &[key.as_bytes()])?;
            session.demand("PTTL", &[key.as_bytes()])?;
        }
        session.demand("SCAN", &[b"0"])
    }

    /// The same of a backup of all databases, and by which command it saves.
    fn check_save(&self, session: &mut Session, info: &Info) -> Result<SaveCommand, Error> {
        let command = SaveCommand::of(session)?;
        let layout = Layout::of(session, info, self.rdb.as_deref())?;
        // A rough lower bound: the data is packed in the file.
        let data = info.number("used_memory_dataset").unwrap_or(0) / 4;
        let last = layout.rdb.metadata().map_or(0, |m| m.len());
        let need = last.max(u64::try_from(data).unwrap_or(0));
        space::needs(&layout.dir, need, "the RDB file of the server")?;
        Ok(command)
    }

    fn save_all(
        &self,
        work: &mut Work<'_, ()>,
        session: &mut Session,
        to: &Path,
    ) -> Result<Backed, Error> {
        let cx = work.cx();
        let info = session.need_info()?;
        let identity = checked(session, Some(&info))?;
        let command = self.check_save(session, &info)?;
        let layout = Layout::of(session, &info, self.rdb.as_deref())?;
        let mut tell = |line: &str| work.log_line(line);
        let saved = save::save(session, command, &layout.dir, self.within(), &mut tell)?;
        let copied = save::copy(cx, &layout.rdb, to, &saved)?;
        let proved = self.prove(cx, session, to, &saved);
        let (report, brokers) = proved.inspect_err(|_| {
            // What is not proved is no backup.
            let _ = disk::remove(to);
        })?;
        let sum = |of: fn(&crate::host::redis::state::Database) -> u64| {
            saved.before.iter().map(of).sum::<u64>()
        };
        let (keys, expires, expired) = match &report {
            Some(r) => (r.keys.saturating_sub(r.expired), r.expires, r.expired),
            None => (sum(|d| d.keys), sum(|d| d.expires), 0),
        };
        let unproved = report.is_none().then_some(
            "redis-check-rdb is not installed here: the keys are those that the server counts",
        );
        unproved.into_iter().for_each(|line| work.log_line(line));
        Ok(Backed {
            path: disk::text(to)?,
            sha256: copied.sha256,
            bytes: copied.bytes,
            kind: "rdb".into(),
            server: session.shown(),
            role: role(&identity),
            version: copied.rdb.server.unwrap_or(identity.version),
            format: copied.rdb.format,
            keys,
            expires,
            expired,
            databases: crate::host::redis::state::shown(&saved.before),
            brokers,
            changes: saved.changes,
            saved_at: saved.ended,
            checksum: copied.rdb.checked,
        })
    }

    /// What proves the copy of a save: `redis-check-rdb`, and the number of its keys.
    fn prove(
        &self,
        cx: &Context,
        session: &mut Session,
        copy: &Path,
        saved: &Saved,
    ) -> Result<(Option<rdb::Report>, String), Error> {
        if self.writers_stopped && saved.changes > 0 {
            let what = format!(
                "Redis {} has taken {} writes since the save began, although its writers are stopped",
                session.shown(),
                saved.changes
            );
            return Err(Error::new(what)
                .remedy("stop who writes (`CLIENT LIST`), or leave out `writers_stopped`"));
        }
        let report = rdb::check(cx, copy, cx.patience())?;
        if let Some(report) = &report {
            complete(report.keys, saved)
                .map_err(|why| Error::new(format!("{} is not complete: {why}", copy.display())))?;
        }
        let brokers = broker::databases(session, &saved.after, &self.queues)?;
        Ok((report, broker::shown(&brokers)))
    }

    fn take_keys(
        &self,
        work: &mut Work<'_, ()>,
        session: &mut Session,
        to: &Path,
    ) -> Result<Backed, Error> {
        let info = session.info()?;
        let identity = checked(session, info.as_ref())?;
        self.check_keys(session)?;
        let header = Header {
            db: self.server.db,
            keys: self.keys.clone(),
            version: identity.version.clone(),
            taken: session.now()?,
        };
        let mut tell = |done, total| work.progress(done, Some(total), "keys");
        let taken = write_keys(session, &header, &self.queues, to, &mut tell)?;
        let (sha256, bytes) =
            disk::digest_of(to)?.ok_or_else(|| Error::new(format!("{} is gone", to.display())))?;
        let broker = match taken.broker {
            true => format!("db{}", self.server.db),
            false => String::new(),
        };
        Ok(Backed {
            path: disk::text(to)?,
            sha256,
            bytes,
            kind: "keys".into(),
            server: session.shown(),
            role: role(&identity),
            version: identity.version,
            format: taken.format,
            keys: taken.keys,
            expires: taken.expires,
            expired: 0,
            databases: info.map_or_else(String::new, |info| info.shown()),
            brokers: broker,
            changes: 0,
            saved_at: header.taken / 1000,
            checksum: true,
        })
    }
}

/// Writes declared keys to a new file.
pub(super) fn write_keys(
    session: &mut Session,
    header: &Header,
    queues: &[String],
    to: &Path,
    tell: &mut dyn FnMut(u64, u64),
) -> Result<keys::Taken, Error> {
    let mut taken = None;
    durable::replace::<Error>(to, Temporary::Random, 0o600, |file| {
        let mut out = BufWriter::new(file);
        taken = Some(keys::take(session, header, queues, &mut out, tell)?);
        out.flush()
            .map_err(|e| Error::io(format!("cannot write {}", to.display()), &e))
    })?;
    taken.ok_or_else(|| Error::new(format!("{} was not written", to.display())))
}

/// The keys of a file are those that the server had.
fn complete(keys: u64, saved: &Saved) -> Result<(), String> {
    let sum = |all: &[crate::host::redis::state::Database]| all.iter().map(|d| d.keys).sum::<u64>();
    let (before, after) = (sum(&saved.before), sum(&saved.after));
    let told = format!(
        "it has {keys} keys, and the server had {before} before the save and {after} after it"
    );
    let outside = keys < before.min(after) || keys > before.max(after);
    // With writes meanwhile the numbers prove little.
    if (saved.changes == 0 && outside) || (keys == 0 && before.min(after) > 0) {
        return Err(told);
    }
    Ok(())
}

fn role(identity: &Identity) -> String {
    match identity.is_replica() {
        true => "replica".into(),
        false => "master".into(),
    }
}

/// What the server is, where it has all of the data and can tell it.
pub(super) fn checked(session: &mut Session, info: Option<&Info>) -> Result<Identity, Error> {
    let identity = session.identity(info)?;
    session.refuse_parts(&identity)?;
    let Some(info) = info else {
        return Ok(identity);
    };
    let server = session.shown();
    if info.is("loading") {
        return Err(
            Error::new(format!("Redis {server} is loading its data")).remedy("wait until it has")
        );
    }
    if identity.is_replica() && info.get("master_link_status") != Some("up") {
        let since = info.number("master_link_down_since_seconds");
        let since = since.map_or_else(String::new, |s| format!(" for {s} s"));
        return Err(Error::new(format!(
            "Redis {server} is a replica of {}, and its link to it is down{since}: its data is old",
            info.master()
        ))
        .remedy("back up the master, or repair the replication"));
    }
    Ok(identity)
}

impl Action for Backup {
    type Before = Before;
    type Note = ();
    type Output = Backed;

    fn properties(&self) -> Properties {
        Properties {
            effect: Effect::Idempotent,
            needs_undo: false,
            writes: self.to.iter().cloned().map(Write::Append).collect(),
            touches: Some(self.to.iter().map(Place::path).collect()),
            live: Live::Harmless,
            stages: vec![Stage::Backup],
            reads: Some(vec![Place::Data]),
            ..Properties::command()
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong = self.server.problems();
        for (name, path) in [("to", &self.to), ("rdb", &self.rdb)] {
            wrong.extend(path.as_deref().and_then(|path| absolute(name, path)));
        }
        if self.keys.iter().any(String::is_empty) {
            wrong.push(crate::text::settings::empty("keys"));
        }
        for (given, name) in [
            (self.rdb.is_some(), "rdb"),
            (self.writers_stopped, "writers_stopped"),
        ] {
            if given && !self.keys.is_empty() {
                wrong.push(text::rdb_only(name));
            }
        }
        wrong
    }

    fn outline(&self, _direction: Direction) -> Vec<String> {
        let to = self.to.clone();
        let to = to.unwrap_or_else(crate::text::actions::state_directory);
        vec![match self.keys.is_empty() {
            true => text::backup_rdb(self.server.shown(), to),
            false => text::backup_keys(
                crate::text::list(&self.keys),
                self.server.shown(),
                self.server.db,
                to,
            ),
        }]
    }

    fn observe(&self, cx: &Context) -> Result<Before, Error> {
        let copy = disk::text(&self.place(cx)?)?;
        let mut session = Session::open(cx, &self.server)?;
        let info = match self.keys.is_empty() {
            true => Some(session.need_info()?),
            false => session.info()?,
        };
        let identity = checked(&mut session, info.as_ref())?;
        let mut before = Before {
            copy,
            version: identity.version.clone(),
            command: None,
            databases: info.as_ref().map(Info::shown),
            master: info
                .as_ref()
                .filter(|_| identity.is_replica())
                .map(Info::master),
            brokers: None,
            last_failed: false,
            saving: false,
        };
        match info.filter(|_| self.keys.is_empty()) {
            None => self.check_keys(&mut session)?,
            Some(info) => {
                before.command = Some(self.check_save(&mut session, &info)?);
                before.last_failed = info.get("rdb_last_bgsave_status") == Some("err");
                before.saving = info.is("rdb_bgsave_in_progress");
                let scan = session.permit("SCAN", &[b"0"])?;
                if matches!(scan, Permit::Yes | Permit::Unknown) {
                    let all = info.databases();
                    let found = broker::databases(&mut session, &all, &self.queues)?;
                    let shown = (!found.is_empty()).then(|| broker::shown(&found));
                    before.brokers = shown;
                }
            }
        }
        Ok(before)
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        let before = &past.before;
        let mut findings: Vec<String> = Vec::new();
        findings.extend(before.databases.as_ref().map(text::databases));
        findings.extend(before.master.as_ref().map(text::is_replica));
        findings.extend(before.brokers.as_ref().map(text::brokers));
        let blocks = before.command == Some(SaveCommand::Save);
        findings.extend(blocks.then(text::save_blocks));
        findings.extend(before.last_failed.then(text::last_save_failed));
        findings.extend(before.saving.then(text::save_is_running));
        Preview {
            findings,
            commands: self.outline(direction),
            ..Preview::default()
        }
    }

    fn perform(&self, work: &mut Work<'_, ()>, past: &Past<Self>) -> Result<Backed, Error> {
        let to = Path::new(&past.before.copy);
        if self.to.is_none() {
            make(&backups(work.cx()))?;
        }
        let mut session = Session::open(work.cx(), &self.server)?;
        let backed = match self.keys.is_empty() {
            true => self.save_all(work, &mut session, to)?,
            false => self.take_keys(work, &mut session, to)?,
        };
        for line in backed.lines() {
            work.log_line(&line);
        }
        Ok(backed)
    }

    fn verify(&self, _cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        let Some(backed) = &past.output else {
            return Ok(Look::unclear("nothing is known of the backup"));
        };
        same_file(Path::new(&backed.path), &backed.sha256)?;
        let mut look = Look::done(format!(
            "{} has the SHA-256 that was recorded: {}",
            backed.path, backed.sha256
        ));
        look.evidence.extend(backed.lines());
        Ok(look)
    }
}

impl Backed {
    /// What it holds, in lines.
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "{}: {} bytes, {} keys, {} of them with a time to live, of Redis {} ({} {}, RDB format {})",
            self.path,
            self.bytes,
            self.keys,
            self.expires,
            self.server,
            self.role,
            self.version,
            self.format
        )];
        if self.expired > 0 {
            lines.push(format!("{} keys in it had expired", self.expired));
        }
        if self.changes > 0 {
            lines.push(format!(
                "{} writes since the save began are not in it",
                self.changes
            ));
        }
        if !self.checksum {
            lines.push(
                "the file holds no checksum (rdbchecksum no): its SHA-256 alone proves it".into(),
            );
        }
        if !self.brokers.is_empty() {
            lines.push(format!("queues of Celery are in it: {}", self.brokers));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::redis::state::Database;

    fn saved(before: u64, after: u64, changes: u64) -> Saved {
        let of = |keys| {
            vec![Database {
                db: 0,
                keys,
                expires: 0,
            }]
        };
        Saved {
            requested: 1,
            ended: 2,
            changes,
            before: of(before),
            after: of(after),
        }
    }

    #[test]
    fn a_file_has_the_keys_of_the_server() {
        complete(5, &saved(5, 5, 0)).unwrap();
        // One expired meanwhile.
        complete(4, &saved(5, 4, 0)).unwrap();
        complete(9, &saved(5, 5, 3)).unwrap();
        assert!(complete(1, &saved(5, 5, 0)).unwrap_err().contains("1 keys"));
        assert!(complete(0, &saved(5, 5, 3)).is_err());
    }
}
