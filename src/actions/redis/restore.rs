//! `redis.restore`: a Redis server, or declared keys of one database, as a backup of an earlier step holds them.
//!
//! By keys: each key of the backup is restored with its time to live, and declared keys that the backup does not have are
//! removed; nothing else is touched. By RDB file: the server is stopped, its files are exchanged, and it is started again
//! (`swap`). The digest of the backup is verified right before, and what is there is saved first, for the undo.
//!
//! Refused before anything changes: a replica, a node of a cluster, a user who may not, a server that cannot load the
//! format, a backup that is damaged, and whatever holds queues of Celery, whose tasks would be done twice.

use super::backup::{Backed, Backup, checked, ten_minutes, write_keys};
use super::same_file;
use super::swap::{self, Data, Swap};
use crate::action::{
    Action, Consequences, Context, Direction, Error, Live, Look, Past, Place, Preview, Properties,
    StepUse, Work,
};
use crate::actions::Do;
use crate::host::files::disk;
use crate::host::process::note::Note;
use crate::host::redis::keys::{self, Header, Ttl};
use crate::host::redis::{Server, Session, broker};
use crate::host::service::By;
use crate::text::redis as text;
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use upledger_replay::plan::Effect;

/// Restores a backup of `redis.backup`. Declared keys are restored while the server runs. For a backup of all databases,
/// the server, which must run on this machine, is stopped, gets the RDB file (and an append-only file made of it, in that
/// mode), and is started again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// The id of the step that has made the backup.
    pub backup: String,
    /// The server, and how to log in. Default: that of the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
    /// Who manages the server. Required for a backup of all databases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// The RDB file of the server, as an absolute path, where CONFIG is refused. Default: that of the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rdb: Option<String>,
    /// For keys: whether a key expires at the same `instant` as before, or lives on as long as it had `remaining` at the
    /// backup. Default: instant.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ttl: Ttl,
    /// Restores queues of Celery, too: tasks that are done already are done again. Default: false, and they are refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub with_queues: bool,
    /// How long the server may take to save, and to be ready again. Default: 10m.
    #[serde(default = "ten_minutes")]
    pub within: Length,
}

fn is_default(ttl: &Ttl) -> bool {
    *ttl == Ttl::default()
}

/// What was there before the restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// The server.
    server: String,
    /// The backup, where it is known.
    backup: Option<Backed>,
    /// The databases, as text.
    databases: Option<String>,
    /// What an exchange of the files needs; none for keys.
    swap: Option<swap::Before>,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Restored {
    /// The keys that are there again.
    pub restored: u64,
    /// The keys of the backup that have expired.
    pub expired: u64,
    /// Declared keys that were removed, because the backup does not have them.
    pub removed: u64,
    /// When, in milliseconds since 1970, by the clock of the server.
    pub at: i64,
}

/// A backup and where it is restored.
pub(super) struct Source<'a> {
    pub(super) backup: &'a Backup,
    pub(super) produced: Option<Backed>,
    pub(super) server: Server,
}

impl Restore {
    fn source<'a>(&self, cx: &'a Context) -> Result<Source<'a>, Error> {
        let used = cx.used(&self.backup)?;
        let Do::RedisBackup(backup) = &used.action else {
            return Err(Error::new(format!("{} is no redis.backup", self.backup)));
        };
        let produced = used.produced.as_ref().map(Backed::deserialize).transpose();
        let server = self.server.clone();
        Ok(Source {
            backup,
            produced: produced
                .map_err(|e| Error::io("what the backup produced is not known", &e))?,
            server: server.unwrap_or_else(|| backup.server.clone()),
        })
    }

    fn swap<'a>(&'a self, source: &'a Source<'a>) -> Option<Swap<'a>> {
        let declared = self.rdb.as_deref().or(source.backup.rdb.as_deref());
        self.by.as_ref().map(|by| Swap {
            by,
            server: &source.server,
            declared,
            within: self.within,
        })
    }

    /// What it does, in lines.
    fn lines(&self, direction: Direction, server: String) -> Vec<String> {
        let step = &self.backup;
        vec![match (direction, &self.by) {
            (Direction::Do, None) => text::restore_keys(server, step),
            (Direction::Do, Some(_)) => text::restore_rdb(server, step),
            (Direction::Undo, None) => text::undo_keys(),
            (Direction::Undo, Some(_)) => text::undo_rdb(),
        }]
    }

    /// Refuses what has queues of Celery in it.
    fn refuse_queues(&self, what: &str, shown: &str) -> Result<(), Error> {
        if self.with_queues || shown.is_empty() {
            return Ok(());
        }
        Err(Error::new(format!(
            "{what} holds queues of Celery ({shown}), and tasks that are done would be done again"
        ))
        .remedy("back up and restore declared `keys` of the other databases, or set `with_queues`")
        .lasting())
    }

    /// Opens the server where all that concerns it permits a restore.
    fn admitted(
        &self,
        cx: &Context,
        source: &Source<'_>,
    ) -> Result<(Session, Option<String>), Error> {
        let opened = Session::open(cx, &source.server);
        let mut session = opened.map_err(|e| match self.by {
            // What it holds then is replaced anyhow.
            Some(_) => {
                e.or_remedy("start it first; where it cannot load its files, move them aside")
            }
            None => e,
        })?;
        let info = session.info()?;
        let identity = session.identity(info.as_ref())?;
        session.refuse_parts(&identity)?;
        if identity.is_replica() {
            let master = info
                .as_ref()
                .map_or_else(|| "?".to_owned(), |info| info.master());
            return Err(Error::new(format!(
                "Redis {} is a replica of {master}: what is restored there is gone with the next synchronization",
                session.shown()
            ))
            .remedy("restore on the master")
            .lasting());
        }
        checked(&mut session, info.as_ref())?;
        if let Some(produced) = &source.produced {
            keys::refuse_newer(&mut session, &identity, produced.format, &produced.version)?;
        }
        Ok((session, info.map(|info| info.shown())))
    }

    /// The same for declared keys.
    fn check_keys(&self, session: &mut Session, source: &Source<'_>) -> Result<(), Error> {
        for key in &source.backup.keys {
            for command in ["RESTORE", "DUMP"] {
                session.demand(command, &[key.as_bytes(), b"0", b"x"][..arity(command)])?;
            }
            let delete = session.permit("DEL", &[key.as_bytes()])?;
            session.judge("DEL", &[key.as_bytes()], &delete)?;
        }
        let queues = &source.backup.queues;
        let there = keys::find(session, &source.backup.keys)?;
        if there.iter().any(|key| broker::is_of_broker(key, queues)) {
            let shown = format!("db{}", source.server.db);
            self.refuse_queues("what the declared keys match now", &shown)?;
        }
        if let Some(produced) = &source.produced {
            same_file(Path::new(&produced.path), &produced.sha256)?;
            self.refuse_queues("the backup", &produced.brokers)?;
            let contents = keys::contents(Path::new(&produced.path))?;
            if contents.header.keys != source.backup.keys
                || contents.names.len() as u64 != produced.keys
            {
                return Err(Error::new(format!(
                    "{} does not hold the keys that were recorded",
                    produced.path
                )));
            }
        }
        Ok(())
    }

    fn restore_keys(
        &self,
        work: &mut Work<'_, Note>,
        source: &Source<'_>,
        backed: &Backed,
    ) -> Result<Restored, Error> {
        let cx = work.cx();
        let (mut session, _) = self.admitted(cx, source)?;
        self.check_keys(&mut session, source)?;
        if saved(work.all_noted()).is_none() {
            let to = undo_file(cx, "keys");
            cx.make_undo_path()?;
            let header = Header {
                db: source.server.db,
                keys: source.backup.keys.clone(),
                version: session
                    .identity(None)
                    .map_or_else(|_| backed.version.clone(), |i| i.version),
                taken: session.now()?,
            };
            let taken = write_keys(
                &mut session,
                &header,
                &source.backup.queues,
                &to,
                &mut |_, _| {},
            )?;
            work.note(note_of(&to, taken.keys, taken.expires)?)?;
        }
        crate::failpoint::hit("redis-restore");
        let mut tell = |done, total| work.progress(done, Some(total), "keys");
        let done = keys::bring_back(&mut session, Path::new(&backed.path), self.ttl, &mut tell)?;
        work.log_line(&format!(
            "{} keys restored, {} expired meanwhile, {} removed that the backup does not have",
            done.restored, done.expired, done.removed
        ));
        Ok(Restored {
            restored: done.restored,
            expired: done.expired,
            removed: done.removed,
            at: done.at,
        })
    }
}

/// As many words as a permission is asked with.
fn arity(command: &str) -> usize {
    if command == "RESTORE" { 3 } else { 1 }
}

/// The file of the undo.
pub(super) fn undo_file(cx: &Context, ending: &str) -> PathBuf {
    let name = format!("redis-{}.{}.{ending}", cx.run, cx.step);
    cx.undo_path().join(name)
}

/// What is noted of a file of the undo.
pub(super) fn note_of(path: &Path, keys: u64, expires: u64) -> Result<Note, Error> {
    let digest = disk::digest_of(path)?;
    let (sha256, _) = digest.ok_or_else(|| Error::new(format!("{} is gone", path.display())))?;
    Ok(Note::Saved {
        path: disk::text(path)?,
        sha256,
        keys,
        expires,
    })
}

/// The file that holds what was there before.
pub(super) struct SavedFile {
    pub(super) path: PathBuf,
    pub(super) sha256: String,
    pub(super) keys: u64,
    pub(super) expires: u64,
}

/// Where that is kept which was there before.
fn kept_in(past: &Past<Restore>) -> Option<String> {
    let saved = saved(past.noted())?;
    Some(format!(
        "what was there before is kept in {}",
        saved.path.display()
    ))
}

/// The same, where it was noted.
pub(super) fn saved<'n>(notes: impl Iterator<Item = &'n Note>) -> Option<SavedFile> {
    let mut found = notes.filter_map(|note| match note {
        Note::Saved {
            path,
            sha256,
            keys,
            expires,
        } => Some(SavedFile {
            path: path.into(),
            sha256: sha256.clone(),
            keys: *keys,
            expires: *expires,
        }),
        _ => None,
    });
    found.next()
}

impl Action for Restore {
    type Before = Before;
    type Note = Note;
    type Output = Restored;

    fn properties(&self) -> Properties {
        Properties {
            effect: Effect::Idempotent,
            has_undo: true,
            live: Live::Refused,
            uses: vec![StepUse {
                setting: "backup",
                step: self.backup.clone(),
                kinds: &["redis.backup"],
            }],
            restores: Some(Direction::Do),
            reads: Some(vec![Place::Data]),
            touches: Some(vec![Place::Data, Place::Processes]),
            ..Properties::command()
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong: Vec<String> = self.server.iter().flat_map(Server::problems).collect();
        wrong.extend(self.by.iter().flat_map(By::problems));
        let rdb = self.rdb.as_deref();
        wrong.extend(rdb.and_then(|rdb| crate::action::values::absolute("rdb", rdb)));
        if self.ttl != Ttl::default() && self.by.is_some() {
            wrong.push(text::keys_only("ttl"));
        }
        wrong
    }

    fn outline(&self, direction: Direction) -> Vec<String> {
        let own = self.server.as_ref().map(|s| text::redis_at(s.shown()));
        self.lines(direction, own.unwrap_or_else(text::redis_of_backup))
    }

    fn observe(&self, cx: &Context) -> Result<Before, Error> {
        let source = self.source(cx)?;
        if source.produced.is_none() && !cx.inert {
            return Err(Error::new(format!(
                "the backup {} was not made",
                self.backup
            )));
        }
        let (mut session, databases) = self.admitted(cx, &source)?;
        let swap = match (source.backup.keys.is_empty(), self.swap(&source)) {
            (false, _) => {
                self.check_keys(&mut session, &source)?;
                None
            }
            (true, None) => {
                return Err(Error::certain(format!(
                    "the backup {} is of all databases, and the server has to be stopped for it",
                    self.backup
                ))
                .remedy("set `by`, or back up declared `keys`"));
            }
            (true, Some(swap)) => {
                let info = session.need_info()?;
                let all = info.databases();
                let found = broker::databases(&mut session, &all, &source.backup.queues)?;
                self.refuse_queues(
                    &format!("Redis {}", session.shown()),
                    &broker::shown(&found),
                )?;
                if let Some(produced) = &source.produced {
                    self.refuse_queues("the backup", &produced.brokers)?;
                }
                Some(swap.observe(cx, &mut session, &info, source.produced.as_ref())?)
            }
        };
        Ok(Before {
            server: session.shown(),
            backup: source.produced,
            databases,
            swap,
        })
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        let before = &past.before;
        let mut findings: Vec<String> = Vec::new();
        findings.extend(before.databases.as_ref().map(text::databases));
        if before.backup.is_none() {
            findings.push(text::backup_to_come(&self.backup));
        }
        findings.extend(before.swap.iter().flat_map(swap::Before::findings));
        Preview {
            findings,
            commands: self.lines(direction, text::redis_at(&before.server)),
            ..Preview::default()
        }
    }

    fn perform(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<Restored, Error> {
        let source = self.source(work.cx())?;
        let missing = || Error::new(format!("the backup {} was not made", self.backup));
        let backed = source.produced.as_ref().ok_or_else(missing)?;
        // Right before anything changes; it may be hours since the backup.
        same_file(Path::new(&backed.path), &backed.sha256)?;
        match (&past.before.swap, self.swap(&source)) {
            (Some(before), Some(swap)) => swap.perform(work, before, backed),
            _ => self.restore_keys(work, &source, backed),
        }
    }

    fn verify(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        let source = self.source(cx)?;
        let (Some(backed), Some(output)) = (&source.produced, &past.output) else {
            return Ok(Look::unclear("nothing is known of the restore"));
        };
        if let (Some(before), Some(swap)) = (&past.before.swap, self.swap(&source)) {
            let data = Data {
                sha256: &backed.sha256,
                keys: backed.keys,
                expires: backed.expires,
                what: &format!("restored from {}", backed.path),
            };
            let look = swap.look(cx, before, &data, past.noted())?;
            return Ok(look.and(kept_in(past)));
        }
        let mut session = Session::open(cx, &source.server)?;
        let path = Path::new(&backed.path);
        let difference = keys::compare(&mut session, path, self.ttl, output.at)?;
        let mut evidence = difference.to_string();
        if output.expired > 0 {
            evidence += &format!(", {} had expired", output.expired);
        }
        let look = match difference.is_none() {
            true => Look::done(evidence),
            false => Look::unclear(evidence),
        };
        Ok(look.and(kept_in(past)))
    }

    fn undo(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<(), Error> {
        let source = self.source(work.cx())?;
        let Some(saved) = saved(work.all_noted()) else {
            work.log_line("nothing was restored; there is nothing to undo");
            return Ok(());
        };
        same_file(&saved.path, &saved.sha256)?;
        if let (Some(before), Some(swap)) = (&past.before.swap, self.swap(&source)) {
            return swap.undo(work, before, &saved);
        }
        let mut session = Session::open(work.cx(), &source.server)?;
        let mut tell = |done, total| work.progress(done, Some(total), "keys");
        let done = keys::bring_back(&mut session, &saved.path, Ttl::Instant, &mut tell)?;
        work.log_line(&format!(
            "{} keys are as before, {} expired meanwhile, {} removed",
            done.restored, done.expired, done.removed
        ));
        Ok(())
    }

    fn undone(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        let source = self.source(cx)?;
        let Some(saved) = saved(past.noted()) else {
            return Ok(Look::done("nothing was restored"));
        };
        if let (Some(before), Some(swap)) = (&past.before.swap, self.swap(&source)) {
            let data = Data {
                sha256: &saved.sha256,
                keys: saved.keys,
                expires: saved.expires,
                what: "as before the restore",
            };
            return swap.look(cx, before, &data, past.noted());
        }
        let mut session = Session::open(cx, &source.server)?;
        let difference = keys::compare(&mut session, &saved.path, Ttl::Instant, 0)?;
        let evidence = format!("compared with what was there before: {difference}");
        Ok(match difference.is_none() {
            true => Look::done(evidence),
            false => Look::nothing(evidence),
        })
    }

    fn replaces(&self, cx: &Context, past: &Past<Self>) -> Result<Consequences, Error> {
        let before = &past.before;
        let Some(backed) = &before.backup else {
            return Ok(Consequences::default());
        };
        let lost = match &before.swap {
            None => {
                let source = self.source(cx)?;
                let mut session = Session::open(cx, &source.server)?;
                let now = session.now()?;
                let path = Path::new(&backed.path);
                let difference = keys::compare(&mut session, path, self.ttl, now)?;
                (!difference.is_none()).then(|| format!("keys as they are now: {difference}"))
            }
            Some(_) => Some(format!(
                "whatever was written to Redis {} since the backup {}",
                before.server, backed.path
            )),
        };
        Ok(Consequences {
            lost: Some(lost.into_iter().collect()),
            ..Consequences::default()
        })
    }

    fn consequences(&self, cx: &Context, past: &Past<Self>) -> Result<Consequences, Error> {
        let source = self.source(cx)?;
        let mut session = Session::open(cx, &source.server)?;
        let lost = match (&past.before.swap, &past.before.backup, &past.output) {
            (None, Some(backed), Some(output)) => {
                let path = Path::new(&backed.path);
                let difference = keys::compare(&mut session, path, self.ttl, output.at)?;
                (!difference.is_none()).then(|| format!("keys since the restore: {difference}"))
            }
            _ => {
                let info = session.need_info()?;
                let changes = info.number("rdb_changes_since_last_save").unwrap_or(0);
                (changes > 0).then(|| {
                    format!(
                        "{changes} writes since the last save of Redis {}",
                        session.shown()
                    )
                })
            }
        };
        Ok(Consequences {
            lost: Some(lost.into_iter().collect()),
            ..Consequences::default()
        })
    }
}
