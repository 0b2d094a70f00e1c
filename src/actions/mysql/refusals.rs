//! All that makes a backup or a restore refuse, looked at before anything changes.

use super::backup::{Backup, Produced};
use super::inventory::Inventory;
use super::manifest::Manifest;
use super::privileges::Grants;
use super::{LIMIT, is_denied, others};
use crate::action::{Context, Error, Used};
use crate::actions::{Do, dump};
use crate::encoding;
use crate::host::mysql::{Login, Server, Session, literal};
use serde::Deserialize as _;
use std::path::PathBuf;
use std::time::Duration;

/// Room that is left beside an estimate.
const SPARE: u64 = 16 << 20;

/// How a restore is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manner {
    /// The server and the account, where they are not those of the backup.
    pub server: Option<Server>,
    /// How long connections of others are watched for.
    pub watch: Duration,
    /// Accounts whose sessions do no harm, such as that of the monitoring.
    pub ignored: Vec<String>,
    /// Accounts of others are locked meanwhile.
    pub lock: bool,
    /// A server that is read-only is written all the same.
    pub read_only: bool,
    /// The name of the scratch schema.
    pub scratch: Option<String>,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            server: None,
            watch: Duration::from_secs(3),
            ignored: Vec::new(),
            lock: true,
            read_only: false,
            scratch: None,
        }
    }
}

/// A backup that can be restored, and a session for it.
pub(super) struct Ready {
    pub(super) manifest: Manifest,
    pub(super) directory: PathBuf,
    pub(super) login: Login,
    pub(super) session: Session,
}

impl Ready {
    /// The backup of a step, verified, and its server, reached; nothing else is asked of it yet.
    pub(super) fn reach(cx: &Context, used: &Used, manner: &Manner) -> Result<Self, Error> {
        let Do::MysqlBackup(backup) = &used.action else {
            return Err(Error::new(format!(
                "the step {} is no backup of a database",
                used.step
            )));
        };
        let backup: &Backup = backup;
        let produced = used.produced.as_ref().ok_or_else(|| {
            Error::unseen(format!(
                "the step {} has not made its backup yet",
                used.step
            ))
        })?;
        let produced = Produced::deserialize(produced)
            .map_err(|e| Error::io(format!("the output of {} cannot be read", used.step), &e))?;
        let directory = PathBuf::from(&produced.directory);
        let manifest = Manifest::verified(&directory, &produced.manifest_sha256)?;
        let login = manner.server.as_ref().unwrap_or(&backup.server).login(cx)?;
        let session = Session::open(&login, None, LIMIT)?;
        if manner.server.is_none() && session.identity != manifest.server {
            return Err(Error::new(format!(
                "{login} is another server than the one that was dumped: it is {}, and the backup is of {}",
                session.identity, manifest.server
            ))
            .remedy("connect to that server, or name this one with the restore's own `server`"));
        }
        Ok(Self {
            manifest,
            directory,
            login,
            session,
        })
    }

    /// Refuses what could only fail later. Sessions of others are not looked at.
    pub(super) fn refuse(&mut self, manner: &Manner) -> Result<(), Error> {
        let session = &mut self.session;
        if !manner.read_only {
            writable(session)?;
        }
        let (largest, table) = self.manifest.largest();
        packet(session, largest, &table)?;
        let grants = Grants::of(session)?;
        let mut need = 0;
        for schema in &self.manifest.schemas {
            let inventory = &schema.inventory;
            known(session, inventory)?;
            definers(session, inventory)?;
            let mut lacks = grants.lacks_to_restore(&schema.name, &kinds(inventory));
            if !grants.sets_definer() {
                let others = inventory
                    .objects
                    .iter()
                    .filter(|(_, o)| o.definer.as_ref().is_some_and(|d| *d != grants.account));
                lacks.extend(others.take(1).map(|(key, o)| {
                    let definer = o.definer.as_deref().unwrap_or_default();
                    format!("SET USER or SUPER, because {key} runs as {definer}")
                }));
            }
            if !lacks.is_empty() {
                return Err(missing(&grants, &lacks).lasting());
            }
            let there = format!(
                "SELECT SUM(data_length + index_length) FROM information_schema.tables WHERE table_schema = {}",
                literal(&schema.name)
            );
            let there = session
                .query(&there)?
                .first()
                .map_or(0, |row| row.number(0));
            need += inventory.bytes().saturating_sub(there);
        }
        room_of_server(session, need)
    }

    /// Refuses while others use the schemas; watches for connections for that long.
    pub(super) fn refuse_others(&mut self, manner: &Manner, watch: Duration) -> Result<(), Error> {
        let (session, schemas) = (&mut self.session, self.manifest.names());
        if !Grants::of(session)?.globally("PROCESS") {
            return Err(Error::new(
                "the account may not see sessions of others, so that nobody can tell whether they use the schema",
            )
            .remedy("give it the PROCESS privilege"));
        }
        let names = schemas.join(", ");
        let used = others::users_of(session, &schemas, &manner.ignored)?;
        if !used.is_empty() {
            return Err(Error::new(format!("others use {names}: {}", used.join("; "))).remedy(
                "stop them, or end their sessions with KILL; name accounts that do no harm with `ignore_users`",
            ));
        }
        let arrivals = others::watch(session, watch)?;
        let came: Vec<String> = arrivals
            .seen
            .values()
            .filter(|o| !manner.ignored.contains(&o.user))
            .map(ToString::to_string)
            .collect();
        let unseen = arrivals.made.saturating_sub(arrivals.seen.len() as u64);
        if came.is_empty() && (unseen == 0 || !manner.ignored.is_empty()) {
            return Ok(());
        }
        let mut shown = came;
        if shown.len() > 5 {
            shown.truncate(5);
            shown.push("...".into());
        }
        if unseen > 0 {
            shown.push(format!("{unseen} that were too short to be seen"));
        }
        Err(Error::new(format!(
            "others connect to the server and may write to {names}: {} connections within {} ms: {}",
            arrivals.made,
            watch.as_millis(),
            shown.join("; ")
        ))
        .remedy("stop what connects; name accounts that do no harm, such as that of the monitoring, with `ignore_users`"))
    }
}

/// What a schema holds beside tables.
fn kinds(inventory: &Inventory) -> Vec<&str> {
    let kinds = inventory.objects.keys();
    kinds.filter_map(|key| key.split(' ').next()).collect()
}

pub(super) fn missing(grants: &Grants, lacks: &[String]) -> Error {
    Error::new(format!(
        "the account {} lacks privileges: {}",
        grants.account,
        lacks.join("; ")
    ))
    .remedy("grant them, or use another account")
}

/// Refuses a server that is read-only, whoever asks: an administrator would write into a replica.
fn writable(session: &mut Session) -> Result<(), Error> {
    let mut on = Vec::new();
    for name in ["read_only", "super_read_only", "innodb_read_only"] {
        let value = session.variable(name)?.unwrap_or_default();
        if !["", "OFF", "0"].contains(&value.as_str()) {
            on.push(name);
        }
    }
    let master = master(session);
    if on.is_empty() && master.is_none() {
        return Ok(());
    }
    let what = match on.is_empty() {
        true => "it is a replica".to_owned(),
        false => format!("{} is on", on.join(", ")),
    };
    let of = master.map_or_else(String::new, |m| format!(", and it replicates from {m}"));
    Err(
        Error::new(format!("the server is not to be written: {what}{of}"))
            .remedy("restore on the primary, or set `allow_read_only: true`"),
    )
}

/// Where a replica replicates from.
fn master(session: &mut Session) -> Option<String> {
    for sql in [
        "SHOW ALL SLAVES STATUS",
        "SHOW REPLICA STATUS",
        "SHOW SLAVE STATUS",
    ] {
        if let Ok(rows) = session.query(sql) {
            let shift = usize::from(sql.contains("ALL")) * 2;
            return rows.first().map(|row| row.text(1 + shift));
        }
    }
    None
}

/// Refuses where the largest statement does not fit into a packet of the server.
fn packet(session: &mut Session, largest: u64, table: &str) -> Result<(), Error> {
    let limit = session.value("SELECT @@global.max_allowed_packet")?;
    let limit: u64 = limit.unwrap_or_default().parse().unwrap_or(u64::MAX);
    if largest + 1024 <= limit {
        return Ok(());
    }
    Err(Error::new(format!(
        "the largest statement of the dump does not fit into a packet of the server: the table {table} needs {largest} bytes, \
         and `max_allowed_packet` is {limit}"
    ))
    .remedy(format!(
        "SET GLOBAL max_allowed_packet = {}, and in the server's configuration",
        (largest + 1024).next_power_of_two()
    )))
}

/// Refuses what the server does not know: collations and storage engines.
fn known(session: &mut Session, inventory: &Inventory) -> Result<(), Error> {
    let own = [(
        inventory.collation.clone(),
        ["the schema".to_owned()].into(),
    )];
    for (collation, tables) in inventory.collations.clone().into_iter().chain(own) {
        let plain = collation
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_');
        let asked = session.query(&format!("SELECT '' COLLATE {collation}"));
        if !plain || asked.is_err_and(|e| matches!(e.number, Some(1273 | 1115 | 22004))) {
            let tables: Vec<String> = tables.into_iter().collect();
            return Err(Error::new(format!(
                "the server does not know the collation {collation}, which the backup uses: {}",
                tables.join(", ")
            ))
            .remedy("restore on a server of the version that was dumped"));
        }
    }
    let engines = session.query("SELECT engine, support FROM information_schema.engines")?;
    let has = |engine: &str| {
        let mut rows = engines.iter();
        rows.any(|row| {
            row.text(0).eq_ignore_ascii_case(engine)
                && ["YES", "DEFAULT"].contains(&row.text(1).as_str())
        })
    };
    let lacks = inventory.tables.iter().find(|(_, t)| !has(&t.engine));
    match lacks {
        None => Ok(()),
        Some((name, table)) => Err(Error::new(format!(
            "the server has no storage engine {}, which the table {name} uses",
            table.engine
        ))
        .remedy("install the engine's plugin")),
    }
}

/// Refuses objects whose definer is no account of the server: they would exist and not work.
pub(super) fn definers(session: &mut Session, inventory: &Inventory) -> Result<(), Error> {
    let rows = match session.query("SELECT CONCAT(User, '@', Host), User FROM mysql.user") {
        Ok(rows) => rows,
        // Whoever may not see them is told by the views themselves.
        Err(e) if is_denied(&e) => return Ok(()),
        Err(e) => return Err(Error::io("cannot see the accounts of the server", &e)),
    };
    let lost: Vec<String> = inventory
        .objects
        .iter()
        .filter_map(|(key, object)| {
            let definer = object.definer.as_ref()?;
            // A role has no host.
            let known = rows.iter().any(|row| {
                row.text(0) == *definer
                    || (row.text(0).ends_with('@') && row.text(1) == definer.trim_end_matches('@'))
            });
            (!known).then(|| format!("{key} runs as {definer}"))
        })
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    Err(Error::new(format!(
        "definers are no accounts of the server, so that what runs as them fails (1449): {}",
        lost.join("; ")
    ))
    .remedy(
        "create these accounts (CREATE USER), or create the objects again with another definer",
    ))
}

/// Refuses where the server's data directory has too little room, where it is on this machine.
pub(super) fn room_of_server(session: &mut Session, need: u64) -> Result<(), Error> {
    let known = session.query("SELECT @@hostname, @@datadir")?;
    let Some(row) = known.first() else {
        return Ok(());
    };
    let name = rustix::system::uname();
    let here = encoding::text(name.nodename().to_bytes()).into_owned();
    let data = PathBuf::from(row.text(1));
    if need == 0 || row.text(0) != here || !data.is_dir() {
        return Ok(());
    }
    dump::room(
        &data,
        need + SPARE,
        "the copy in the server",
        "free some space of the server's data directory",
    )
}
