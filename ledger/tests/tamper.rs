//! Proves what each way of tampering looks like: to a verifier that sees the file alone, to one that has the memory, to
//! one that has a checkpoint kept elsewhere, and to a program that opens the ledger. One table; exact reports.

use crate::support::{Home, bodies, identity, rechained, replace_texts, without_triggers};
use rusqlite::Connection;
use serde_json::{Value, json};
use upledger_ledger::{Checkpoint, Level, OpenError, VerifyOptions, verify};

const EVENTS: u64 = 12;

/// What a verification says, short enough for a table.
pub(crate) fn verdict(home: &Home, memory: bool, checkpoint: Option<&Checkpoint>) -> String {
    let options = VerifyOptions {
        memory: memory.then(|| home.memory()),
        checkpoints: checkpoint.cloned().into_iter().collect(),
        ..VerifyOptions::default()
    };
    let report = match verify(&home.db(), &options) {
        Ok(report) => report,
        Err(error) => return format!("no report: {error}"),
    };
    match report.first_bad() {
        None => format!("{} events, {}", report.events, report.level),
        Some(bad) => {
            assert_eq!(
                report.level,
                Level::ChainOnly,
                "an unsound ledger has no level"
            );
            let mut text = bad
                .seq
                .map(|seq| format!("seq {seq}: "))
                .unwrap_or_default();
            let mut cause: &dyn std::error::Error = &bad.what;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            text.push_str(&cause.to_string());
            text
        }
    }
}

pub(crate) fn open(home: &Home) -> String {
    match upledger_ledger::Ledger::open_existing(home.place(), home.memory(), identity()) {
        Ok(_) => "opens".into(),
        Err(OpenError::Remembered(disagreement)) => format!("remembered: {:?}", disagreement.how),
        Err(OpenError::Damaged(broken)) => format!("damaged at {}", broken.seq),
        Err(OpenError::Schema { fault, .. }) => format!("schema: {fault}"),
        Err(other) => format!("{other}"),
    }
}

/// Tampers with a ledger of twelve events and compares what four observers say.
fn tamper(work: impl FnOnce(&Home), [alone, memory, checkpoint, opened]: [&str; 4]) {
    let home = Home::new();
    let outside = home.filled(EVENTS);
    assert_eq!(verdict(&home, false, None), "12 events, L0 chain only");
    assert_eq!(
        verdict(&home, true, Some(&outside)),
        "12 events, L3 anchored in another domain"
    );
    work(&home);
    assert_eq!(verdict(&home, false, None), alone, "the file alone");
    assert_eq!(verdict(&home, true, None), memory, "with the memory");
    assert_eq!(
        verdict(&home, false, Some(&outside)).split(" is ").next(),
        checkpoint.split(" is ").next(),
        "with a checkpoint"
    );
    assert_eq!(open(&home), opened, "opening");
}

fn sql(home: &Home, statements: &str) {
    without_triggers(&home.raw(), |conn| conn.execute_batch(statements).unwrap());
}

fn rewrite(home: &Home, change: impl FnOnce(&mut Vec<Value>)) {
    let conn = home.raw();
    let mut all = bodies(&conn);
    change(&mut all);
    replace_texts(&conn, &rechained(all));
}

const PASSES: &str = "12 events, L0 chain only";
const REWRITTEN: &str = "rewritten: the root over these events is";

/// The memory's sentence names a path that differs from run to run; the table compares its tail.
fn remembered(work: impl FnOnce(&Home), alone: &str, how: &str, checkpoint: &str) {
    let home = Home::new();
    let outside = home.filled(EVENTS);
    work(&home);
    assert_eq!(verdict(&home, false, None), alone);
    let with_memory = verdict(&home, true, None);
    let opened = open(&home);
    assert_eq!(opened, format!("remembered: {how}"), "{with_memory}");
    assert!(
        with_memory.starts_with("the ledger ") && with_memory.contains("remembered: 12 events of"),
        "{with_memory}"
    );
    assert!(
        verdict(&home, false, Some(&outside)).starts_with(checkpoint),
        "{}",
        verdict(&home, false, Some(&outside))
    );
}

#[test]
fn an_edited_body() {
    let says = "seq 5: the stored hash is not the hash of the body";
    tamper(
        |home| {
            sql(
                home,
                "UPDATE event SET body = replace(body, 'alice', 'mallet') WHERE seq = 5",
            )
        },
        [says, says, says, "damaged at 5"],
    );
}

#[test]
fn an_edited_body_with_its_own_hash() {
    let says = "seq 6: `prev` is not the hash of the event before it";
    let work = |home: &Home| {
        let conn = home.raw();
        without_triggers(&conn, |conn| {
            let body: String = conn
                .query_row("SELECT body FROM event WHERE seq = 5", [], |row| row.get(0))
                .unwrap();
            let body = body.replace("alice", "mallet");
            let hash = upledger_ledger::tree::leaf_hash(body.as_bytes());
            conn.execute(
                "UPDATE event SET body = ?1, hash = ?2 WHERE seq = 5",
                (body, hash.as_bytes()),
            )
            .unwrap();
        });
    };
    tamper(work, [says, says, says, "damaged at 6"]);
}

#[test]
fn an_edited_body_and_a_new_chain() {
    remembered(
        |home| rewrite(home, |all| all[5]["actor"] = json!("mallet")),
        PASSES,
        "Rewritten",
        REWRITTEN,
    );
}

#[test]
fn a_deleted_event() {
    let says = "seq 5: it is missing: the next row has seq 6";
    tamper(
        |home| sql(home, "DELETE FROM event WHERE seq = 5"),
        [says, says, says, "damaged at 5"],
    );
}

#[test]
fn a_deleted_event_and_new_numbers() {
    let work = |home: &Home| rewrite(home, |all| drop(all.remove(5)));
    remembered(
        work,
        "11 events, L0 chain only",
        "Shorter",
        "truncated: only 11 events are there",
    );
}

#[test]
fn an_inserted_event() {
    let work = |home: &Home| rewrite(home, |all| all.insert(5, all[5].clone()));
    remembered(work, "13 events, L0 chain only", "Rewritten", REWRITTEN);
}

#[test]
fn two_events_that_change_places() {
    let says = "seq 5: the body says seq 6";
    let swap = "UPDATE event SET seq = 99 WHERE seq = 5; UPDATE event SET seq = 5 WHERE seq = 6; UPDATE event SET seq = 6 WHERE seq = 99";
    tamper(|home| sql(home, swap), [says, says, says, "damaged at 5"]);
}

#[test]
fn two_events_that_change_places_and_a_new_chain() {
    remembered(
        |home| rewrite(home, |all| all.swap(5, 6)),
        PASSES,
        "Rewritten",
        REWRITTEN,
    );
}

#[test]
fn a_cut_off_tail() {
    let work = |home: &Home| sql(home, "DELETE FROM event WHERE seq >= 9");
    remembered(
        work,
        "9 events, L0 chain only",
        "Shorter",
        "truncated: only 9 events are there",
    );
}

#[test]
fn an_emptied_table() {
    let says = "seq 0: it is missing: the file ends before it";
    tamper(
        |home| sql(home, "DELETE FROM event"),
        [says, says, says, "damaged at 0"],
    );
}

#[test]
fn an_event_below_the_first() {
    let says = "seq 0: it is missing: the next row has seq -1";
    let copy = "PRAGMA ignore_check_constraints = 1; INSERT INTO event \
                SELECT -1, zeroblob(32), hash, run, kind, ts, body FROM event WHERE seq = 11";
    tamper(|home| sql(home, copy), [says, says, says, "damaged at 0"]);
}

#[test]
fn an_older_copy() {
    let work = |home: &Home| {
        let older = std::fs::read(home.db()).unwrap();
        let mut ledger = home.ledger();
        crate::support::append(&mut ledger, &[crate::support::draft(90)]);
        drop(ledger);
        std::fs::write(home.db(), older).unwrap();
    };
    let home = Home::new();
    home.filled(EVENTS);
    work(&home);
    assert_eq!(
        verdict(&home, false, None),
        PASSES,
        "an older copy is sound in itself"
    );
    assert!(verdict(&home, true, None).contains("remembered: 14 events"));
    assert_eq!(open(&home), "remembered: Shorter");
}

#[test]
fn another_ledger_in_its_place() {
    let work = |home: &Home| {
        let other = Home::new();
        other.filled(EVENTS);
        std::fs::copy(other.db(), home.db()).unwrap();
    };
    remembered(work, PASSES, "Foreign", "it is about ledger ");
}

#[test]
fn no_file_at_all() {
    let home = Home::new();
    home.filled(EVENTS);
    std::fs::remove_file(home.db()).unwrap();
    assert!(verdict(&home, true, None).contains("is missing; remembered: 12 events"));
    assert_eq!(open(&home), "remembered: Missing");
    let fresh = upledger_ledger::Ledger::create_or_open(home.place(), home.memory(), identity());
    assert!(
        matches!(fresh, Err(OpenError::Remembered(_))),
        "a fresh ledger took the place of a remembered one"
    );
    assert!(!home.db().exists());
    std::fs::write(home.db(), "").unwrap();
    std::fs::set_permissions(
        home.db(),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    assert_eq!(
        open(&home),
        "remembered: Missing",
        "an empty file is no ledger either"
    );
}

/// The attack that defeats a verifier which lets SQLite choose how to read: an index that still holds the original row.
#[test]
fn a_forged_covering_index() {
    let work = |home: &Home| {
        without_triggers(&home.raw(), |conn| {
            conn.execute_batch("CREATE INDEX forged ON event(seq, hash, prev, run, kind, ts, body); PRAGMA writable_schema = 1").unwrap();
            conn.execute_batch(
                "CREATE TABLE hidden AS SELECT * FROM sqlite_master WHERE name = 'forged'",
            )
            .unwrap();
            conn.execute_batch(
                "DELETE FROM sqlite_master WHERE name = 'forged'; PRAGMA writable_schema = RESET",
            )
            .unwrap();
            conn.execute_batch("UPDATE event SET body = replace(body, 'alice', 'mallet') WHERE seq = 5; PRAGMA writable_schema = 1").unwrap();
            conn.execute_batch("INSERT INTO sqlite_master SELECT * FROM hidden; PRAGMA writable_schema = RESET; DROP TABLE hidden").unwrap();
        });
        let read = |hint: &str| {
            let query = format!("SELECT body FROM event {hint} WHERE seq = 5");
            Connection::open(home.db())
                .unwrap()
                .query_row(&query, [], |row| row.get::<_, String>(0))
                .unwrap()
        };
        assert!(
            read("INDEXED BY forged").contains("alice") && read("NOT INDEXED").contains("mallet"),
            "the trap is not set"
        );
    };
    let says = "seq 5: the stored hash is not the hash of the body";
    tamper(
        work,
        [
            says,
            says,
            says,
            "schema: the schema has an extra index `forged`",
        ],
    );
}

#[test]
fn anything_extra_or_missing_in_the_schema() {
    for (statement, says) in [
        (
            "DROP TRIGGER event_no_delete",
            "the schema lacks the trigger `event_no_delete`",
        ),
        (
            "CREATE VIEW looks AS SELECT * FROM event",
            "the schema has an extra view `looks`",
        ),
        (
            "CREATE INDEX quick ON event(run)",
            "the schema has an extra index `quick`",
        ),
        (
            "CREATE TABLE more(x)",
            "the schema has an extra table `more`",
        ),
        (
            "CREATE TRIGGER quiet AFTER INSERT ON event BEGIN SELECT 1; END",
            "the schema has an extra trigger `quiet`",
        ),
        (
            "PRAGMA user_version = 2",
            "`user_version` of the file is 2, not 1",
        ),
        (
            "PRAGMA writable_schema = 1; UPDATE sqlite_master SET sql = replace(sql, 'seq >= 0', 'seq >= -9') WHERE name = 'event'",
            "the table `event` of the schema is not the one of the format",
        ),
    ] {
        tamper(
            |home| home.raw().execute_batch(statement).unwrap(),
            [says, says, says, &format!("schema: {says}")],
        );
    }
    let home = Home::new();
    home.filled(EVENTS);
    home.raw()
        .execute_batch("PRAGMA application_id = 0")
        .unwrap();
    assert_eq!(
        verdict(&home, true, None),
        "`application_id` of the file is 0, not 1431325767"
    );
    assert!(open(&home).ends_with("is not a ledger of this format"));
}

#[test]
fn an_edited_copy_of_a_column() {
    for (column, value) in [
        ("kind", "'step.succeeded'"),
        ("run", "'run-2'"),
        ("run", "NULL"),
        ("ts", "'2026-01-01T00:00:00.000000Z'"),
        ("prev", "zeroblob(32) || x''"),
    ] {
        let says = if column == "prev" {
            "column `prev` has the wrong type or length".to_owned()
        } else {
            format!("column `{column}` differs from the body")
        };
        let says = format!("seq 5: {says}");
        let change = format!(
            "PRAGMA ignore_check_constraints = 1; UPDATE event SET {column} = {value} WHERE seq = 5"
        );
        tamper(
            |home| sql(home, &change),
            [&says, &says, &says, "damaged at 5"],
        );
    }
}

/// Rewritten from the first event on, by somebody who knows the format but breaks one of its rules.
#[test]
fn a_new_chain_that_breaks_a_rule() {
    type Change = fn(&mut Vec<Value>);
    let cases: [(&str, Change); 8] = [
        (
            "seq 5: `mono` fell from 5000000 to 4999999 within one boot",
            |all| all[5]["mono"] = json!(4_999_999),
        ),
        ("seq 5: `sess` is not the session in force", |all| {
            all[5]["sess"] = json!(2)
        }),
        ("seq 5: `sess` is not the session in force", |all| {
            all[5]["sess"] = Value::Null
        }),
        ("seq 5: `ledger.created` stands after seq 0", |all| {
            all[5]["kind"] = json!("ledger.created")
        }),
        ("seq 0: seq 0 is not `ledger.created`", |all| {
            all[0]["kind"] = json!("note.added")
        }),
        ("seq 0: seq 0 does not name `sha256` as its `alg`", |all| {
            all[0]["data"] = json!({"alg": "sm3"})
        }),
        (
            "seq 5: the body is not an event: its keys are not the fourteen of the format",
            |all| all[5]["extra"] = json!(1),
        ),
        (
            "seq 5: the body is not an event: `ts` is not a time as `YYYY-MM-DDTHH:MM:SS.ffffffZ`",
            |all| {
                all[5]["ts"] = json!("2026-02-30T00:00:00.000000Z");
            },
        ),
    ];
    for (says, change) in cases {
        let at = if says.starts_with("seq 0") {
            "damaged at 0"
        } else {
            "damaged at 5"
        };
        tamper(|home| rewrite(home, change), [says, says, says, at]);
    }
    let other = "seq 5: it belongs to ledger 00000000000000000000000000000000";
    tamper(
        |home| rewrite(home, |all| all[5]["ledger"] = json!("0".repeat(32))),
        [other, other, other, "damaged at 5"],
    );
}

#[test]
fn a_run_with_a_gap_and_a_body_in_another_spelling() {
    let gap = "seq 5: `rseq` is 4, expected 3";
    let rest = |home: &Home, change: fn(String) -> String| {
        let conn = home.raw();
        let mut texts = rechained(bodies(&conn));
        texts[5] = change(std::mem::take(&mut texts[5]));
        replace_texts(&conn, &texts);
    };
    tamper(
        |home| rest(home, |text| text.replace("\"rseq\":3", "\"rseq\":4")),
        [gap, gap, gap, "damaged at 5"],
    );
    let spaced = "seq 5: not canonical JSON at byte 9: a value";
    tamper(
        |home| rest(home, |text| text.replacen(':', ": ", 1)),
        [spaced, spaced, spaced, "damaged at 5"],
    );
    let escaped = "seq 5: not canonical JSON at byte 10: the shortest escape of this character";
    tamper(
        |home| rest(home, |text| text.replacen("alice", "\\u0061lice", 1)),
        [escaped, escaped, escaped, "damaged at 5"],
    );
}

#[test]
fn an_edited_stored_checkpoint() {
    let edit = |home: &Home, change: &str| {
        let mut ledger = home.ledger();
        let with = upledger_ledger::Append {
            checkpoint: true,
            ..Default::default()
        };
        ledger.append(&ledger.head(), &[], &with).unwrap();
        drop(ledger);
        assert_eq!(
            verdict(home, true, None),
            "12 events, L2 matches the remembered head"
        );
        home.raw().execute(change, []).unwrap();
    };
    for (change, says) in [
        (
            "UPDATE checkpoint SET size = 11",
            "its row has another size than its text",
        ),
        (
            "UPDATE checkpoint SET note = replace(note, 'upledger.local', 'other.local')",
            "the first line of a checkpoint is `upledger.local/` and 32 hexadecimal digits",
        ),
        (
            "UPDATE checkpoint SET note = note || 'more' || char(10)",
            "a checkpoint is exactly three lines, each ended by a line feed",
        ),
        (
            "UPDATE checkpoint SET size = 13, note = replace(note, char(10) || '12' || char(10), char(10) || '13' || char(10))",
            "truncated: only 12 events are there",
        ),
        (
            "UPDATE checkpoint SET size = 11, note = replace(note, char(10) || '12' || char(10), char(10) || '11' || char(10))",
            REWRITTEN,
        ),
    ] {
        let home = Home::new();
        home.filled(EVENTS);
        edit(&home, change);
        assert!(
            verdict(&home, false, None).starts_with(says),
            "{change}: {}",
            verdict(&home, false, None)
        );
        assert!(
            open(&home).ends_with("is damaged"),
            "{change}: {}",
            open(&home)
        );
    }
}

#[test]
fn an_edited_blob() {
    let home = Home::new();
    let mut ledger = home.ledger();
    let blob = upledger_ledger::NewBlob::new(b"the output".to_vec()).unwrap();
    let name = blob.reference().sha256;
    ledger
        .append(
            &ledger.head(),
            &[],
            &upledger_ledger::Append {
                blobs: vec![blob],
                ..Default::default()
            },
        )
        .unwrap();
    drop(ledger);
    for change in [
        "data = x'00'",
        "salt = zeroblob(16)",
        "len = 9",
        "salt = NULL",
        "data = 'the output'",
    ] {
        let home_2 = Home::new();
        home_2.filled(4);
        std::fs::copy(home.db(), home_2.db()).unwrap();
        home_2
            .raw()
            .execute(&format!("UPDATE blob SET {change}"), [])
            .unwrap();
        assert!(
            verdict(&home_2, false, None).contains("is not what its digest says"),
            "{change}: {}",
            verdict(&home_2, false, None)
        );
        // Nothing is appended to what a verification calls damaged.
        std::fs::remove_dir_all(home_2.dir.path().join("memory")).unwrap();
        let opened = open(&home_2);
        assert!(opened.ends_with("is damaged"), "{change}: {opened}");
        assert!(upledger_ledger::Ledger::open_read(home_2.place(), None).is_ok());
    }
    home.raw()
        .execute("UPDATE blob SET data = NULL, salt = NULL", [])
        .unwrap();
    let report = verify(&home.db(), &VerifyOptions::default()).unwrap();
    assert_eq!(
        (report.failures.len(), report.blobs_absent),
        (0, 1),
        "a purge is no damage"
    );
    let reader = upledger_ledger::Ledger::open_read(home.place(), None).unwrap();
    assert!(matches!(
        reader.blob(name),
        Err(upledger_ledger::BlobError::Purged(_))
    ));
}
