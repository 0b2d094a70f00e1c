//! The rules that tie one event to those before it, and the state that they need.
//!
//! Invariants: opening, refreshing, appending, verifying and reading JSONL all go through [`Chain::check`], so that
//! nothing is ever written that would not verify. The chain knows every hash, which makes a later read of any record
//! checkable at once; at 32 bytes an event a million of them take 32 MB.
//! Left out: SQLite's view of the file (schema, integrity), and what is not in the chain (blobs, checkpoints).

use crate::damage::Fault;
use crate::envelope::{self, Envelope};
use crate::head::{Digest, Head};
use crate::len64;
use crate::tree::{self, Frontier};
use rusqlite::types::ValueRef;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The kind at seq 0.
pub(crate) const CREATED: &str = "ledger.created";
/// The kind that carries an identity.
pub(crate) const OPENED: &str = "session.opened";
/// The kind that says that the ledger was put back to an earlier or another state.
pub(crate) const RESTORED: &str = "ledger.restored";

/// Rows in order, starting where the caller says, and at most so many. `NOT INDEXED`, because a forged index can answer
/// a query with what the table no longer holds.
pub(crate) const SELECT: &str = "SELECT seq, hash, prev, run, kind, ts, body FROM event NOT INDEXED WHERE seq >= ?1 ORDER BY seq LIMIT ?2";

/// Everything known of the events so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chain {
    id: String,
    hashes: Vec<Digest>,
    state: State,
}

/// The part of the chain that does not grow with every event, so that an append can be taken back.
#[derive(Debug, Clone, Default)]
struct State {
    tree: Frontier,
    /// The next `rseq` of each run.
    runs: HashMap<String, u64>,
    /// The last `mono` of each boot.
    boots: HashMap<String, u64>,
    session: Option<u64>,
}

/// Where a chain was, to return to.
pub(crate) struct Mark {
    len: usize,
    state: State,
}

/// A body that passed every check and may be accepted.
#[derive(Debug)]
pub(crate) struct Checked<'a> {
    pub(crate) envelope: Envelope<'a>,
    pub(crate) hash: Digest,
}

/// A row as SQLite holds it, its types checked.
pub(crate) struct Row<'a> {
    pub(crate) seq: i64,
    hash: &'a [u8],
    prev: &'a [u8],
    run: Option<&'a str>,
    kind: &'a str,
    ts: &'a str,
    pub(crate) body: &'a str,
}

impl<'a> Row<'a> {
    /// The row under the cursor of [`SELECT`].
    pub(crate) fn of(row: &'a rusqlite::Row<'_>) -> Result<Self, Fault> {
        Ok(Self {
            seq: integer(row)?,
            hash: blob(row, 1, "hash")?,
            prev: blob(row, 2, "prev")?,
            run: match row.get_ref(3) {
                Ok(ValueRef::Null) => None,
                _ => Some(text(row, 3, "run")?),
            },
            kind: text(row, 4, "kind")?,
            ts: text(row, 5, "ts")?,
            body: text(row, 6, "body")?,
        })
    }
}

fn integer(row: &rusqlite::Row<'_>) -> Result<i64, Fault> {
    match row.get_ref(0) {
        Ok(ValueRef::Integer(value)) => Ok(value),
        _ => Err(Fault::Type("seq")),
    }
}

fn blob<'a>(
    row: &'a rusqlite::Row<'_>,
    column: usize,
    name: &'static str,
) -> Result<&'a [u8], Fault> {
    match row.get_ref(column) {
        Ok(ValueRef::Blob(bytes)) if bytes.len() == 32 => Ok(bytes),
        _ => Err(Fault::Type(name)),
    }
}

fn text<'a>(
    row: &'a rusqlite::Row<'_>,
    column: usize,
    name: &'static str,
) -> Result<&'a str, Fault> {
    match row.get_ref(column) {
        Ok(ValueRef::Text(bytes)) => std::str::from_utf8(bytes).map_err(|_| Fault::Type(name)),
        _ => Err(Fault::Type(name)),
    }
}

impl Chain {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The ledger's id; empty before seq 0.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn size(&self) -> u64 {
        len64(self.hashes.len())
    }

    pub(crate) fn head(&self) -> Option<Head> {
        let hash = *self.hashes.last()?;
        Some(Head {
            seq: self.size() - 1,
            hash,
        })
    }

    pub(crate) fn root(&self) -> Digest {
        self.state.tree.root()
    }

    /// The root over the first `size` events; `None` if there are fewer.
    pub(crate) fn root_at(&self, size: u64) -> Option<Digest> {
        if size == self.size() {
            return Some(self.root());
        }
        let size = usize::try_from(size).ok()?;
        self.hashes.get(..size).map(tree::root)
    }

    /// The roots over the first so many events, in one pass; a size that is not reached is left out.
    pub(crate) fn roots_at(&self, sizes: &BTreeSet<u64>) -> BTreeMap<u64, Digest> {
        let mut roots = BTreeMap::new();
        let mut tree = Frontier::new();
        let mut wanted = sizes
            .iter()
            .copied()
            .filter(|size| *size <= self.size())
            .peekable();
        let mut leaves = self.hashes.iter();
        while let Some(size) = wanted.peek().copied() {
            if tree.size() == size {
                roots.insert(size, tree.root());
                wanted.next();
            } else if let Some(leaf) = leaves.next() {
                tree.push(*leaf);
            }
        }
        roots
    }

    pub(crate) fn hash_at(&self, seq: u64) -> Option<Digest> {
        self.hashes.get(usize::try_from(seq).ok()?).copied()
    }

    /// The `session.opened` in force.
    pub(crate) fn session(&self) -> Option<u64> {
        self.state.session
    }

    pub(crate) fn next_rseq(&self, run: &str) -> u64 {
        self.state.runs.get(run).copied().unwrap_or(0)
    }

    pub(crate) fn last_mono(&self, boot: &str) -> u64 {
        self.state.boots.get(boot).copied().unwrap_or(0)
    }

    pub(crate) fn runs(&self) -> usize {
        self.state.runs.len()
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark {
            len: self.hashes.len(),
            state: self.state.clone(),
        }
    }

    /// Forgets every event after `mark`.
    pub(crate) fn back_to(&mut self, mark: Mark) {
        self.hashes.truncate(mark.len);
        self.state = mark.state;
        if mark.len == 0 {
            self.id.clear();
        }
    }

    /// Whether `row` is the next event: its columns, then its body.
    pub(crate) fn check_row<'a>(&self, row: &Row<'a>) -> Result<Checked<'a>, Fault> {
        if u64::try_from(row.seq) != Ok(self.size()) {
            return Err(Fault::Gap { found: row.seq });
        }
        let hash = tree::leaf_hash(row.body.as_bytes());
        if row.hash != hash.as_bytes() {
            return Err(Fault::Hash);
        }
        let checked = self.check_hashed(row.body, hash)?;
        let envelope = &checked.envelope;
        let copies = [
            ("prev", row.prev == envelope.prev.as_bytes()),
            ("run", row.run == envelope.run.as_deref()),
            ("kind", row.kind == envelope.kind),
            ("ts", row.ts == envelope.ts),
        ];
        match copies.iter().find(|(_, same)| !same) {
            Some((column, _)) => Err(Fault::Copy(column)),
            None => Ok(checked),
        }
    }

    /// Whether `body` is the next event.
    pub(crate) fn check<'a>(&self, body: &'a str) -> Result<Checked<'a>, Fault> {
        self.check_hashed(body, tree::leaf_hash(body.as_bytes()))
    }

    fn check_hashed<'a>(&self, body: &'a str, hash: Digest) -> Result<Checked<'a>, Fault> {
        let envelope = envelope::parse(body)?;
        let size = self.size();
        if envelope.seq != size {
            return Err(Fault::Seq(envelope.seq));
        }
        if envelope.prev != self.head().map_or(Digest::ZERO, |head| head.hash) {
            return Err(Fault::Prev);
        }
        if size == 0 {
            genesis(&envelope)?;
        } else if envelope.ledger != self.id {
            return Err(Fault::Ledger(envelope.ledger.to_owned()));
        } else if envelope.kind == CREATED {
            return Err(Fault::Genesis("`ledger.created` stands after seq 0"));
        }
        if let (Some(run), Some(found)) = (&envelope.run, envelope.rseq) {
            let expected = self.next_rseq(run);
            if found != expected {
                return Err(Fault::Rseq { found, expected });
            }
        }
        let in_force = if envelope.kind == OPENED {
            Some(size)
        } else {
            self.state.session
        };
        if envelope.sess != in_force {
            return Err(Fault::Sess);
        }
        let before = self.last_mono(&envelope.boot);
        if envelope.mono < before {
            return Err(Fault::Mono {
                before,
                found: envelope.mono,
            });
        }
        Ok(Checked { envelope, hash })
    }

    /// Takes in an event that [`Chain::check`] passed.
    pub(crate) fn accept(&mut self, checked: &Checked<'_>) {
        let envelope = &checked.envelope;
        if self.hashes.is_empty() {
            envelope.ledger.clone_into(&mut self.id);
        }
        self.hashes.push(checked.hash);
        self.state.tree.push(checked.hash);
        self.state.session = envelope.sess;
        // Most events repeat the run and boot of the one before: no allocation for those.
        if let Some(run) = &envelope.run {
            match self.state.runs.get_mut(run.as_ref()) {
                Some(next) => *next += 1,
                None => drop(self.state.runs.insert(run.clone().into_owned(), 1)),
            }
        }
        match self.state.boots.get_mut(envelope.boot.as_ref()) {
            Some(last) => *last = envelope.mono,
            None => drop(
                self.state
                    .boots
                    .insert(envelope.boot.clone().into_owned(), envelope.mono),
            ),
        }
    }
}

fn genesis(envelope: &Envelope<'_>) -> Result<(), Fault> {
    if envelope.kind != CREATED {
        return Err(Fault::Genesis("seq 0 is not `ledger.created`"));
    }
    if envelope.run.is_some() {
        return Err(Fault::Genesis("seq 0 belongs to a run"));
    }
    let data: serde_json::Value =
        serde_json::from_str(envelope.data).map_err(|_| Fault::Shape("`data` cannot be read"))?;
    if data.get("alg").and_then(serde_json::Value::as_str) != Some("sha256") {
        return Err(Fault::Genesis("seq 0 does not name `sha256` as its `alg`"));
    }
    Ok(())
}
