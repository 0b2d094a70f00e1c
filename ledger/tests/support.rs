//! What the tests of the ledger share: a state directory with its memory, an identity, drafts, a clock that stands still,
//! and the attacker's tools.

use rusqlite::Connection;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use upledger_ledger::{
    Append, Checkpoint, Clock, ClockError, DDL, Draft, Identity, Ledger, Memory, Options, Place,
    Reading, Record, tree,
};

/// A state directory and a memory beside it.
pub(crate) struct Home {
    pub(crate) dir: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self {
            dir: TempDir::new().unwrap(),
        }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub(crate) fn db(&self) -> PathBuf {
        self.state().join("ledger.db")
    }

    pub(crate) fn place(&self) -> Place {
        Place::open_or_create(&self.state()).unwrap()
    }

    pub(crate) fn memory(&self) -> Memory {
        Memory::at(&self.dir.path().join("memory")).unwrap()
    }

    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::create_or_open(self.place(), self.memory(), identity()).unwrap()
    }

    /// A ledger whose waits for other writers are short and whose clock is `clock`.
    pub(crate) fn ledger_with(&self, clock: impl Clock + 'static) -> Ledger {
        let options = Options {
            busy: Duration::from_millis(50),
            clock: Box::new(clock),
        };
        Ledger::create_or_open_with(self.place(), self.memory(), identity(), options).unwrap()
    }

    /// A ledger of `events` events, the run's last ones included, and the checkpoint over it.
    pub(crate) fn filled(&self, events: u64) -> Checkpoint {
        let mut ledger = self.ledger_with(Still::new());
        for number in 0..events - 2 {
            append(&mut ledger, &[draft(number)]);
        }
        assert_eq!(ledger.size(), events);
        Checkpoint {
            ledger: ledger.id().to_owned(),
            size: ledger.size(),
            root: ledger.root(),
        }
    }

    /// SQLite as anybody else would use it.
    pub(crate) fn raw(&self) -> Connection {
        Connection::open(self.db()).unwrap()
    }
}

pub(crate) fn identity() -> Identity {
    Identity {
        actor: "alice".into(),
        host: "bk-paas-01".into(),
        session: json!({"uid": 1000, "tty": null}),
    }
}

pub(crate) fn draft(number: u64) -> Draft {
    Draft::of_run(
        "run-1",
        "step.started",
        json!({"step": format!("步骤-{number}"), "n": number}),
    )
}

/// The event's own part, as a value.
pub(crate) fn data(record: &Record) -> Value {
    serde_json::from_str(record.data()).unwrap()
}

pub(crate) fn append(ledger: &mut Ledger, drafts: &[Draft]) -> upledger_ledger::Appended {
    let head = ledger.head();
    ledger.append(&head, drafts, &Append::default()).unwrap()
}

/// A clock that moves only when it is told to.
#[derive(Clone)]
pub(crate) struct Still {
    pub(crate) unix_micros: Arc<AtomicI64>,
    pub(crate) mono: Arc<AtomicI64>,
}

impl Still {
    pub(crate) fn new() -> Self {
        Self {
            unix_micros: Arc::new(AtomicI64::new(1_795_000_000_000_000)),
            mono: Arc::new(AtomicI64::new(5_000_000)),
        }
    }
}

impl Clock for Still {
    fn now(&self) -> Result<Reading, ClockError> {
        Ok(Reading {
            unix_micros: self.unix_micros.load(Ordering::SeqCst),
            mono: u64::try_from(self.mono.load(Ordering::SeqCst)).unwrap(),
            boot: "3f1c9a52-0d5e-4c7b-8f0e-2f6a1f0c9d11".into(),
        })
    }
}

/// Every body, in order, as the file has it.
pub(crate) fn bodies(conn: &Connection) -> Vec<Value> {
    let mut statement = conn.prepare("SELECT body FROM event ORDER BY seq").unwrap();
    let rows = statement
        .query_map([], |row| row.get::<_, String>(0))
        .unwrap();
    rows.map(|body| serde_json::from_str(&body.unwrap()).unwrap())
        .collect()
}

/// Runs `work` as somebody who can write the file and knows how to hide the triggers' absence.
pub(crate) fn without_triggers(conn: &Connection, work: impl FnOnce(&Connection)) {
    conn.execute_batch(
        "DROP TRIGGER event_append; DROP TRIGGER event_no_update; DROP TRIGGER event_no_delete",
    )
    .unwrap();
    work(conn);
    for trigger in &DDL[3..] {
        conn.execute_batch(trigger).unwrap();
    }
}

/// Replaces all events by `texts`, with hashes and columns that fit them.
pub(crate) fn replace_texts(conn: &Connection, texts: &[String]) {
    without_triggers(conn, |conn| {
        conn.execute("DELETE FROM event", []).unwrap();
        for (seq, text) in texts.iter().enumerate() {
            let body: Value = serde_json::from_str(text).unwrap();
            let prev: upledger_ledger::Digest = body["prev"].as_str().unwrap().parse().unwrap();
            let row = (
                i64::try_from(seq).unwrap(),
                tree::leaf_hash(text.as_bytes()).as_bytes().to_owned(),
                prev.as_bytes().to_owned(),
                body["run"].as_str(),
                body["kind"].as_str(),
                body["ts"].as_str(),
                text,
            );
            conn.execute("INSERT INTO event(seq, hash, prev, run, kind, ts, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)", row).unwrap();
        }
    });
}

/// Numbers and chains `bodies` anew, as somebody would who knows the format.
pub(crate) fn rechained(mut bodies: Vec<Value>) -> Vec<String> {
    let mut prev = "0".repeat(64);
    let mut rseq = 0;
    let mut texts = Vec::new();
    for (seq, body) in bodies.iter_mut().enumerate() {
        body["seq"] = json!(seq);
        body["prev"] = json!(prev);
        if !body["run"].is_null() {
            body["rseq"] = json!(rseq);
            rseq += 1;
        }
        let text = upledger_ledger::to_canonical(body).unwrap();
        prev = tree::leaf_hash(text.as_bytes()).to_string();
        texts.push(text);
    }
    texts
}
