//! Who else uses a server: sessions, transactions that are open, and connections that come and go.
//!
//! Invariants: statements of others are never shown, because they hold data; a connection that was too short to be seen is
//! counted all the same, by the server's own counter.

use crate::action::Error;
use crate::host::mysql::{Row, Session};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Between two looks at the list of sessions.
const PAUSE: Duration = Duration::from_millis(4);

/// A session of somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Other {
    pub(super) id: u64,
    pub(super) user: String,
    host: String,
    database: Option<String>,
    doing: String,
    seconds: u64,
}

impl std::fmt::Display for Other {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            id,
            user,
            host,
            doing,
            seconds,
            ..
        } = self;
        let database = self.database.as_deref().unwrap_or("no schema");
        write!(
            f,
            "session {id} of {user} from {host} ({database}, {doing} for {seconds} s)"
        )
    }
}

/// Sessions of others, those of the server itself left out.
fn list(session: &mut Session) -> Result<Vec<Other>, Error> {
    let rows = session.query(
        "SELECT id, user, host, db, command, time FROM information_schema.processlist WHERE id <> CONNECTION_ID() \
         AND command NOT IN ('Daemon', 'Binlog Dump', 'Binlog Dump GTID', 'Connect') AND user NOT IN ('system user', 'event_scheduler')",
    )?;
    Ok(rows.iter().map(other).collect())
}

fn other(row: &Row) -> Other {
    let host = row.text(2);
    let host = host
        .rsplit_once(':')
        .map_or(host.as_str(), |(host, _)| host);
    Other {
        id: row.number(0),
        user: row.text(1),
        host: host.to_owned(),
        database: row.get(3),
        doing: row.text(4),
        seconds: row.number(5),
    }
}

/// The sessions of others that use one of the schemas, or hold locks and may hold them there.
pub(super) fn users_of(
    session: &mut Session,
    schemas: &[String],
    ignored: &[String],
) -> Result<Vec<String>, Error> {
    let open = session.query(
        "SELECT trx_mysql_thread_id, trx_started FROM information_schema.innodb_trx WHERE trx_mysql_thread_id <> CONNECTION_ID()",
    )?;
    let open: BTreeMap<u64, String> = open
        .iter()
        .map(|row| (row.number(0), row.text(1)))
        .collect();
    let mut found = Vec::new();
    for other in list(session)? {
        let uses = other.database.as_ref().is_some_and(|d| schemas.contains(d));
        let began = open.get(&other.id);
        let may = began.is_some() && other.database.is_none();
        if (uses || may) && !ignored.contains(&other.user) {
            let held = began.map_or_else(String::new, |since| {
                format!(", with a transaction that is open since {since} UTC")
            });
            found.push(format!("{other}{held}"));
        }
    }
    Ok(found)
}

/// What came and went while it was watched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Arrivals {
    /// Connections that were made.
    pub(super) made: u64,
    /// Those that were seen.
    pub(super) seen: BTreeMap<u64, Other>,
}

/// Watches for that long.
pub(super) fn watch(session: &mut Session, length: Duration) -> Result<Arrivals, Error> {
    let counter = |session: &mut Session| -> Result<u64, Error> {
        let rows = session.query("SHOW GLOBAL STATUS LIKE 'Connections'")?;
        Ok(rows.first().map_or(0, |row| row.number(1)))
    };
    let before = counter(session)?;
    let known: Vec<u64> = list(session)?.iter().map(|o| o.id).collect();
    let mut arrivals = Arrivals::default();
    let deadline = Instant::now() + length;
    while Instant::now() < deadline {
        for other in list(session)? {
            if !known.contains(&other.id) {
                arrivals.seen.insert(other.id, other);
            }
        }
        std::thread::sleep(PAUSE);
    }
    arrivals.made = counter(session)?.saturating_sub(before);
    Ok(arrivals)
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn a_session_is_named_without_what_it_says() {
        let other = Other {
            id: 7,
            user: "worker".into(),
            host: "10.0.0.5".into(),
            database: None,
            doing: "Sleep".into(),
            seconds: 3,
        };
        let shown = "session 7 of worker from 10.0.0.5 (no schema, Sleep for 3 s)";
        assert_eq!(other.to_string(), shown);
    }
}
