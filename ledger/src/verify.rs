//! Verification of a ledger file that trusts nothing in it.
//!
//! Invariants: the file is opened read-only and nothing beside it is touched; rows are read from the table, never from
//! an index; everything is recomputed; the first bad seq is named and the rest is looked at all the same. What can be
//! told about a damaged file is in the [`Report`]; an error means that there is no report.
//! Left out: JSONL ([`crate::export`]), and signatures and anchors.

use crate::blob::{BlobError, Stored};
use crate::busy;
use crate::chain::{Chain, Checked};
use crate::checkpoint::Checkpoint;
use crate::clock;
use crate::damage::{Fault, SchemaFault};
use crate::disk;
use crate::head::{Digest, to_hex};
use crate::hot_journal::{self, Copy};
use crate::len64;
use crate::memory::{Disagreement, How, Memory, MemoryError, Remembered};
use crate::open::See;
use crate::record::View;
use crate::report::{Bad, BadWhat, CheckpointBad, Finding, Known, Level, Report};
use crate::scan::{ScanError, extended, is_of_the_system, primary, scan};
use crate::schema::{self, ConnectError, Mode};
use crate::unverified::VerifyError;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ffi};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// By how much the two clocks may drift between two events of one boot before it is worth a word.
const CLOCK_STEP: i64 = 2_000_000;

/// What to hold a ledger against.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// The memory of heads.
    pub memory: Option<Memory>,
    /// Checkpoints that were kept elsewhere.
    pub checkpoints: Vec<Checkpoint>,
    /// How long to wait for a writer.
    pub busy: Duration,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self {
            memory: None,
            checkpoints: Vec::new(),
            busy: Duration::from_secs(10),
        }
    }
}

/// Verifies the ledger at `path` against itself and against what `options` bring.
///
/// # Errors
/// [`VerifyError`] if there is nothing to read or no way to read it; damage is in the report.
pub fn verify(path: &Path, options: &VerifyOptions) -> Result<Report, VerifyError> {
    verify_seeing(path, options, &mut |_| {})
}

/// [`verify`], and each event that passed is shown to `see`: one reading verifies and folds. A reading that has to begin
/// anew begins at seq 0 again.
///
/// # Errors
/// As there.
pub fn verify_seeing(
    path: &Path,
    options: &VerifyOptions,
    see: See<'_>,
) -> Result<Report, VerifyError> {
    let (path, remembered, mut findings) = find(path, options)?;
    let mut tried = 0;
    loop {
        match look(
            &path,
            &path,
            Mode::Verify,
            options,
            remembered.as_ref(),
            findings.clone(),
            see,
        ) {
            Err(Stop::HotJournal) => {}
            Err(stop) => return Err(stop.error(&path, options)),
            Ok(report) => return of_the_disk(report, path),
        }
        if !findings.contains(&Finding::HotJournal) {
            findings.push(Finding::HotJournal);
        }
        match Copy::of(&path) {
            Ok(Some(copy)) => {
                let report = look(
                    &copy.path(),
                    &path,
                    Mode::Read,
                    options,
                    remembered.as_ref(),
                    findings,
                    see,
                );
                return report.map_err(|stop| stop.error(&path, options));
            }
            // Another process rolled it back in the meantime, or is at it: look again, but not for ever.
            _ if tried < 3 => tried += 1,
            Ok(None) => return Err(VerifyError::HotJournal { path }),
            Err(source) => return Err(VerifyError::Copy { path, source }),
        }
    }
}

/// The report, unless it says of the content what is true of the disk.
fn of_the_disk(report: Report, path: PathBuf) -> Result<Report, VerifyError> {
    let by_sqlite = |bad: &&Bad| {
        matches!(
            bad.what,
            BadWhat::Unreadable(_) | BadWhat::Integrity(_) | BadWhat::Event(Fault::Unreadable(_))
        )
    };
    match report.failures.iter().find(by_sqlite) {
        Some(bad) if disk::fails(&path) => Err(VerifyError::Disk {
            path,
            found: bad.what.to_string(),
        }),
        _ => Ok(report),
    }
}

type Found = (PathBuf, Option<Remembered>, Vec<Finding>);

/// The file behind `path`, and what is remembered of it.
fn find(path: &Path, options: &VerifyOptions) -> Result<Found, VerifyError> {
    let recall = |path: &Path| match &options.memory {
        Some(memory) => memory.recall(path),
        None => Ok(None),
    };
    let path = match path.canonicalize() {
        Ok(path) => path,
        Err(source) => {
            let parent = path
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty())
                .unwrap_or(Path::new("."));
            let place = parent
                .canonicalize()
                .ok()
                .zip(path.file_name())
                .map(|(parent, name)| parent.join(name));
            return Err(match place.map(|place| recall(&place)) {
                Some(Ok(Some(remembered))) => VerifyError::Missing(Box::new(Disagreement {
                    remembered,
                    found: None,
                    how: How::Missing,
                })),
                _ => VerifyError::NoFile {
                    path: path.to_owned(),
                    source,
                },
            });
        }
    };
    for file in [path.clone(), hot_journal::journal_of(&path)] {
        if file.metadata().is_ok_and(|found| !found.is_file()) {
            return Err(VerifyError::NotAFile { path: file });
        }
    }
    let mut findings = Vec::new();
    let remembered = recall(&path).unwrap_or_else(|error: MemoryError| {
        findings.push(Finding::MemoryUnreadable {
            what: error.to_string(),
        });
        None
    });
    if hot_journal::journal_of(&path)
        .metadata()
        .is_ok_and(|journal| journal.len() > 0)
    {
        findings.push(Finding::Journal);
    }
    Ok((path, remembered, findings))
}

/// Why a look at the file ended without a report.
enum Stop {
    HotJournal,
    Connect(ConnectError),
    Sqlite(rusqlite::Error),
}

impl Stop {
    fn error(self, path: &Path, options: &VerifyOptions) -> VerifyError {
        let path = path.to_owned();
        match self {
            Self::HotJournal => VerifyError::HotJournal { path },
            Self::Connect(source) => VerifyError::Connect { path, source },
            Self::Sqlite(error) if primary(&error) == ffi::SQLITE_BUSY => VerifyError::Busy {
                waited: options.busy,
                holder: busy::holder(&path),
            },
            Self::Sqlite(source) => VerifyError::Sqlite { path, source },
        }
    }
}

/// Notes in `report` what SQLite says of a damaged file, or stops for what says nothing about the content.
fn damage(report: &mut Report, error: rusqlite::Error) -> Result<(), Stop> {
    if extended(&error) == ffi::SQLITE_READONLY_ROLLBACK {
        return Err(Stop::HotJournal);
    }
    if is_of_the_system(&error) {
        return Err(Stop::Sqlite(error));
    }
    report.bad(None, BadWhat::Unreadable(error.to_string()));
    Ok(())
}

fn look(
    file: &Path,
    path: &Path,
    mode: Mode,
    options: &VerifyOptions,
    remembered: Option<&Remembered>,
    findings: Vec<Finding>,
    see: See<'_>,
) -> Result<Report, Stop> {
    let mut check = Check::new(findings);
    let known = |check: &mut Check| known(path, options.memory.as_ref(), remembered, check);
    let conn = match schema::connect(file, mode, options.busy) {
        Ok(conn) => conn,
        Err(ConnectError::Sqlite(error)) => {
            damage(&mut check.report, error)?;
            let known = known(&mut check);
            return Ok(check.finish(&options.checkpoints, &known));
        }
        Err(error) => return Err(Stop::Connect(error)),
    };
    if let Err(error) = look_inside(&conn, path, &mut check, see) {
        damage(&mut check.report, error)?;
    }
    let known = known(&mut check);
    Ok(check.finish(&options.checkpoints, &known))
}

/// What the memory knows of the events that were verified: at their path, else of a ledger with their id.
fn known(
    path: &Path,
    memory: Option<&Memory>,
    own: Option<&Remembered>,
    check: &mut Check,
) -> Known {
    let Some(memory) = memory else {
        return Known::NotAsked;
    };
    let mut unreadable = |error: MemoryError| {
        check.report.findings.push(Finding::MemoryUnreadable {
            what: error.to_string(),
        });
    };
    let elsewhere = match memory.elsewhere(path, check.chain.id()) {
        Ok(elsewhere) => {
            let unknown = own.is_none() && elsewhere.kept.is_none();
            if let Some(unread) = elsewhere.unread.filter(|_| unknown) {
                unreadable(unread);
            }
            elsewhere.kept
        }
        Err(error) => {
            unreadable(error);
            None
        }
    };
    Known::Asked {
        own: own.cloned().map(Box::new),
        elsewhere: elsewhere.map(Box::new),
    }
}

/// Each part goes on where the one before met damage, as far as SQLite can.
fn look_inside(
    conn: &Connection,
    path: &Path,
    check: &mut Check,
    see: See<'_>,
) -> Result<(), rusqlite::Error> {
    conn.execute_batch("BEGIN")?;
    let faults = schema::faults(conn)?;
    let readable = !faults.iter().any(|fault| {
        matches!(
            fault,
            SchemaFault::Missing {
                kind: "table",
                name: "event"
            } | SchemaFault::Differs {
                kind: "table",
                name: "event"
            }
        )
    });
    for fault in faults {
        check.report.bad(None, BadWhat::Schema(fault));
    }
    // Something else under the name of the table could answer anything, or never end.
    let mut result = if readable {
        check.events(conn, see)
    } else {
        Ok(())
    };
    if readable {
        result = result.and(check.stored_checkpoints(conn));
        result = result.and(check.blobs(conn, &path.with_file_name("blobs")));
    }
    result.and(check.integrity(conn))
}

/// The first thing that is wrong beside the schema and the events, which are in `chain`.
pub(crate) fn beside_the_events(
    conn: &Connection,
    blobs: &Path,
    chain: &Chain,
) -> Result<Option<BadWhat>, rusqlite::Error> {
    let mut check = Check::new(Vec::new());
    // Whoever asks may have begun one.
    let alone = conn.is_autocommit();
    let snapshot = alone.then(|| conn.unchecked_transaction()).transpose()?;
    check.stored_checkpoints(conn)?;
    let newest = "SELECT coalesce(max(seq) + 1, 0) FROM event";
    let there: i64 = conn.query_row(newest, [], |row| row.get(0))?;
    drop(snapshot);
    // Others may have appended events and checkpoints over them since the chain was read. Those are read before anything is
    // appended here; what is missing is not.
    let later = |size: u64| size > chain.size() && i64::try_from(size).is_ok_and(|s| s <= there);
    check.stored.retain(|(_, c)| !later(c.size));
    check.blobs(conn, blobs)?;
    check.integrity(conn)?;
    let sizes = check.stored.iter().map(|(_, c)| c.size).collect();
    hold_stored(
        &mut check.report,
        &check.stored,
        chain,
        &chain.roots_at(&sizes),
    );
    Ok(check.report.failures.into_iter().next().map(|bad| bad.what))
}

/// A verification under way.
pub(crate) struct Check {
    pub(crate) report: Report,
    pub(crate) chain: Chain,
    clocks: HashMap<String, (i64, u64)>,
    stored: Vec<(i64, Checkpoint)>,
}

impl Check {
    pub(crate) fn new(findings: Vec<Finding>) -> Self {
        let chain = Chain::new();
        let report = Report {
            ledger: None,
            events: 0,
            verified: 0,
            runs: 0,
            head: None,
            root: chain.root(),
            level: Level::ChainOnly,
            unanchored: 0,
            failures: Vec::new(),
            findings,
            blobs_checked: 0,
            blobs_absent: 0,
            stored_checkpoints: Vec::new(),
            checkpoints: Vec::new(),
        };
        Self {
            report,
            chain,
            clocks: HashMap::new(),
            stored: Vec::new(),
        }
    }

    fn events(&mut self, conn: &Connection, see: See<'_>) -> Result<(), rusqlite::Error> {
        let Self {
            report,
            chain,
            clocks,
            ..
        } = self;
        let result = scan(conn, chain, |_, checked| {
            watch_clock(clocks, report, checked);
            see(&View::of(&checked.envelope));
            Ok(())
        });
        report.events = chain.size();
        match result {
            Ok(()) => {}
            Err(ScanError::Broken(broken)) => {
                report.bad(Some(broken.seq), BadWhat::Event(broken.fault))
            }
            Err(ScanError::Unreadable(seq, error)) => {
                let broken = ScanError::unreadable(seq, &error);
                report.bad(Some(broken.seq), BadWhat::Event(broken.fault));
            }
            Err(ScanError::Sqlite(error)) => return Err(error),
        }
        // Without the proof of the chain these are only rows, but how many there are is worth knowing.
        let rows: i64 = conn.query_row("SELECT count(*) FROM event NOT INDEXED", [], |row| {
            row.get(0)
        })?;
        report.events = report.events.max(u64::try_from(rows).unwrap_or(0));
        if report.events == 0 {
            report.bad(Some(0), BadWhat::Event(Fault::Ends));
        }
        Ok(())
    }

    fn stored_checkpoints(&mut self, conn: &Connection) -> Result<(), rusqlite::Error> {
        let mut statement =
            conn.prepare("SELECT size, note FROM checkpoint NOT INDEXED ORDER BY rowid")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let size = row.get_ref(0)?.as_i64().unwrap_or(-1);
            let note = row.get_ref(1)?.as_str().unwrap_or_default();
            match note.parse::<Checkpoint>() {
                Ok(checkpoint) => self.stored.push((size, checkpoint)),
                Err(error) => {
                    self.report.bad(
                        None,
                        BadWhat::StoredCheckpoint {
                            size,
                            why: CheckpointBad::Text(error),
                        },
                    );
                }
            }
        }
        Ok(())
    }

    fn blobs(&mut self, conn: &Connection, dir: &Path) -> Result<(), rusqlite::Error> {
        let mut statement =
            conn.prepare("SELECT sha256, salt, len, data FROM blob NOT INDEXED ORDER BY rowid")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let name = match row.get_ref(0)? {
                ValueRef::Blob(bytes) => bytes,
                _ => &[],
            };
            let stored = (|| {
                Ok::<_, rusqlite::Error>(Stored {
                    salt: row.get(1)?,
                    len: row.get(2)?,
                    data: row.get(3)?,
                })
            })();
            let (Some(sha256), Ok(stored)) = (Digest::from_slice(name), stored) else {
                self.report.bad(None, BadWhat::Blob(to_hex(name)));
                continue;
            };
            match stored.content(dir, sha256) {
                Ok(_) => self.report.blobs_checked += 1,
                Err(BlobError::Purged(_)) => self.report.blobs_absent += 1,
                Err(BlobError::Absent(_)) => {
                    self.report.blobs_absent += 1;
                    self.report.findings.push(Finding::BlobAbsent { sha256 });
                }
                Err(_) => self.report.bad(None, BadWhat::Blob(sha256.to_string())),
            }
        }
        Ok(())
    }

    fn integrity(&mut self, conn: &Connection) -> Result<(), rusqlite::Error> {
        let mut statement = conn.prepare("PRAGMA integrity_check")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let text = row.get_ref(0)?.as_bytes().unwrap_or_default();
            if text != b"ok" {
                let text = std::str::from_utf8(text)
                    .map_or_else(|_| text.escape_ascii().to_string(), str::to_owned);
                self.report.bad(None, BadWhat::Integrity(text));
            }
        }
        Ok(())
    }

    /// Takes in the next body of a text without columns.
    pub(crate) fn body(&mut self, body: &str, see: See<'_>) -> Result<(), Fault> {
        let checked = self.chain.check(body)?;
        watch_clock(&mut self.clocks, &mut self.report, &checked);
        see(&View::of(&checked.envelope));
        self.chain.accept(&checked);
        Ok(())
    }

    /// Holds the verified events against everything from outside.
    pub(crate) fn finish(mut self, checkpoints: &[Checkpoint], remembered: &Known) -> Report {
        let Self {
            report,
            chain,
            stored,
            ..
        } = &mut self;
        report.ledger = chain.head().map(|_| chain.id().to_owned());
        report.verified = chain.size();
        report.runs = len64(chain.runs());
        report.head = chain.head();
        report.root = chain.root();
        report.events = report.events.max(report.verified);
        report.unanchored = report.events;
        let sizes: BTreeSet<u64> = checkpoints
            .iter()
            .chain(stored.iter().map(|(_, checkpoint)| checkpoint))
            .map(|c| c.size)
            .collect();
        let roots = chain.roots_at(&sizes);
        hold_stored(report, stored, chain, &roots);
        for checkpoint in checkpoints {
            match hold(checkpoint, chain, &roots) {
                Ok(()) => report.checkpoints.push(checkpoint.size),
                Err(why) => report.bad(
                    None,
                    BadWhat::Checkpoint {
                        size: checkpoint.size,
                        why,
                    },
                ),
            }
        }
        report.hold_memory(chain, remembered);
        let anchored = report.checkpoints.iter().any(|size| *size > 0);
        if anchored && report.failures.is_empty() {
            report.level = Level::Anchored;
        }
        self.report
    }
}

fn hold_stored(
    report: &mut Report,
    stored: &[(i64, Checkpoint)],
    chain: &Chain,
    roots: &BTreeMap<u64, Digest>,
) {
    for (size, checkpoint) in stored {
        let same = u64::try_from(*size) == Ok(checkpoint.size);
        let held = if same {
            hold(checkpoint, chain, roots)
        } else {
            Err(CheckpointBad::Size)
        };
        match held {
            Ok(()) => report.stored_checkpoints.push(checkpoint.size),
            Err(why) => report.bad(None, BadWhat::StoredCheckpoint { size: *size, why }),
        }
    }
}

fn hold(
    checkpoint: &Checkpoint,
    chain: &Chain,
    roots: &BTreeMap<u64, Digest>,
) -> Result<(), CheckpointBad> {
    if checkpoint.ledger != chain.id() {
        return Err(CheckpointBad::OtherLedger(checkpoint.ledger.clone()));
    }
    match roots.get(&checkpoint.size) {
        None => Err(CheckpointBad::Truncated { have: chain.size() }),
        Some(root) if *root == checkpoint.root => Ok(()),
        Some(root) => Err(CheckpointBad::Rewritten { root: *root }),
    }
}

/// Compares how far the two clocks went since the last event of the same boot.
fn watch_clock(
    clocks: &mut HashMap<String, (i64, u64)>,
    report: &mut Report,
    checked: &Checked<'_>,
) {
    let envelope = &checked.envelope;
    let Some(ts) = clock::parse_ts(envelope.ts) else {
        return;
    };
    let now = (ts, envelope.mono);
    let Some(last) = clocks.get_mut(envelope.boot.as_ref()) else {
        clocks.insert(envelope.boot.clone().into_owned(), now);
        return;
    };
    let (last_ts, last_mono) = std::mem::replace(last, now);
    let mono = i64::try_from(envelope.mono.saturating_sub(last_mono)).unwrap_or(i64::MAX);
    let micros = ts.saturating_sub(last_ts).saturating_sub(mono);
    if micros.abs() > CLOCK_STEP {
        report.findings.push(Finding::ClockStep {
            seq: envelope.seq,
            micros,
        });
    }
}
