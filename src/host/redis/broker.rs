//! Databases in which Celery keeps its queues: what is restored there is worked off a second time.

use super::state::Database;
use super::{Session, text_of};
use crate::action::Error;
use crate::encoding;
use redis::Value;

/// What a key of kombu's table of queues begins with.
const BINDING: &[u8] = b"_kombu.binding.";
/// What workers have taken and not finished.
const UNACKED: [&str; 3] = ["unacked", "unacked_index", "unacked_mutex"];
/// Between the parts of a binding; the last one is the queue.
const PARTS: [u8; 2] = [0x06, 0x16];

/// That key belongs to a broker.
pub(crate) fn is_of_broker(key: &[u8], queues: &[String]) -> bool {
    let priority = |queue: &str| {
        // kombu gives each priority a list of its own.
        key.strip_prefix(queue.as_bytes())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(&PARTS))
    };
    key.starts_with(BINDING)
        || UNACKED.iter().any(|name| key == name.as_bytes())
        || queues.iter().any(|queue| priority(queue))
}

/// What shows that the chosen database is a broker's; none where nothing does.
///
/// # Errors
/// [`Error`] when that cannot be asked.
pub(crate) fn sign(session: &mut Session, queues: &[String]) -> Result<Option<String>, Error> {
    for queue in queues {
        let kind = session.ask(&[b"TYPE", queue.as_bytes()])?;
        if text_of(&kind).as_deref() == Some("list") {
            let tasks = session.number(&[b"LLEN", queue.as_bytes()])?;
            return Ok(Some(format!("the queue {queue} with {tasks} tasks")));
        }
    }
    for name in UNACKED {
        if session.number(&[b"EXISTS", name.as_bytes()])? > 0 {
            return Ok(Some(format!("{name}, the tasks that workers have taken")));
        }
    }
    let mut cursor = b"0".to_vec();
    loop {
        let words: [&[u8]; 6] = [
            b"SCAN",
            &cursor,
            b"MATCH",
            b"_kombu.binding.*",
            b"COUNT",
            b"5000",
        ];
        let value = session.ask(&words)?;
        let (next, keys) = page(session, &value)?;
        if let Some(first) = keys.first() {
            return Ok(Some(encoding::text(first).into_owned()));
        }
        if next == b"0" {
            return Ok(None);
        }
        cursor = next;
    }
}

/// A page of `SCAN`: the next cursor, and keys.
pub(super) fn page(session: &Session, value: &Value) -> Result<(Vec<u8>, Vec<Vec<u8>>), Error> {
    let bytes = |value: &Value| match value {
        Value::BulkString(bytes) => Some(bytes.clone()),
        _ => text_of(value).map(String::into_bytes),
    };
    let read = || match value.as_sequence()? {
        [cursor, keys] => {
            let keys: Option<Vec<Vec<u8>>> = keys.as_sequence()?.iter().map(bytes).collect();
            Some((bytes(cursor)?, keys?))
        }
        _ => None,
    };
    read().ok_or_else(|| session.unexpected("SCAN"))
}

/// The databases of these in which a broker keeps its queues, and what shows it.
///
/// # Errors
/// [`Error`] when that cannot be asked.
pub(crate) fn databases(
    session: &mut Session,
    databases: &[Database],
    queues: &[String],
) -> Result<Vec<(u32, String)>, Error> {
    let chosen = session.server().db;
    let mut found = Vec::new();
    for database in databases {
        session.select(database.db)?;
        if let Some(sign) = sign(session, queues)? {
            found.push((database.db, sign));
        }
    }
    session.select(chosen)?;
    Ok(found)
}

/// Brokers for people.
pub(crate) fn shown(found: &[(u32, String)]) -> String {
    let all: Vec<String> = found
        .iter()
        .map(|(db, sign)| format!("db{db} ({sign})"))
        .collect();
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_broker_are_known_by_their_names() {
        let queues = ["celery".to_owned(), "export".to_owned()];
        let of = |key: &[u8]| is_of_broker(key, &queues);
        assert!(of(b"celery") && of(b"celery\x06\x169") && of(b"_kombu.binding.celery"));
        assert!(of(b"unacked") && of(b"export"));
        assert!(!of(b"celery-task-meta-1") && !of(b"session:1"));
    }
}
