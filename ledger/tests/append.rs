//! Proves what an append promises: all or nothing is written, sessions are put in front, clocks never fall, the memory
//! follows, blobs come back, refusals leave no trace; and that reading gives back what was written.

use crate::support::{Home, Still, append, data, draft, identity};
use serde_json::json;
use std::sync::atomic::Ordering;
use upledger_ledger::{
    Append, AppendError, Checkpoint, Draft, Finding, Ledger, Level, NewBlob, Record, Refusal,
    VerifyOptions, verify,
};

fn all(ledger: &Ledger) -> Vec<Record> {
    ledger.read_all().map(Result::unwrap).collect()
}

#[test]
fn a_new_ledger_has_its_genesis_and_each_handle_its_session() {
    let home = Home::new();
    let mut first = home.ledger();
    assert_eq!(first.size(), 1);
    let appended = append(&mut first, &[draft(0), draft(1)]);
    assert_eq!(appended.first_seq, 2);
    assert_eq!(
        appended
            .records
            .iter()
            .map(|record| &*record.kind)
            .collect::<Vec<_>>(),
        ["session.opened", "step.started", "step.started"]
    );
    assert_eq!(appended.head, first.head());
    append(&mut first, &[draft(2)]);
    let id = first.id().to_owned();
    drop(first);

    let mut second = home.ledger();
    append(
        &mut second,
        &[
            Draft {
                run: None,
                kind: "note.added".into(),
                data: json!({}).into(),
            },
            draft(3),
        ],
    );
    assert_eq!(second.id(), id);
    let records = all(&second);
    let shape: Vec<_> = records
        .iter()
        .map(|r| (r.seq, &*r.kind, r.sess, r.rseq))
        .collect();
    assert_eq!(
        shape,
        [
            (0, "ledger.created", None, None),
            (1, "session.opened", Some(1), None),
            (2, "step.started", Some(1), Some(0)),
            (3, "step.started", Some(1), Some(1)),
            (4, "step.started", Some(1), Some(2)),
            (5, "session.opened", Some(5), None),
            (6, "note.added", Some(5), None),
            (7, "step.started", Some(5), Some(3)),
        ]
    );
    assert_eq!(data(&records[0]), json!({"alg": "sha256"}));
    assert_eq!(data(&records[1]), identity().session);
    assert!(records.iter().all(|r| r.actor == "alice"
        && r.host == "bk-paas-01"
        && r.ts.len() == 27
        && r.mono > 0
        && r.boot.len() == 36));
    assert_eq!(
        second
            .read_run("run-1")
            .map(|r| r.unwrap().rseq.unwrap())
            .collect::<Vec<_>>(),
        [0, 1, 2, 3]
    );
    assert_eq!(second.read_run("run-2").count(), 0);
    assert_eq!(
        second
            .read_from(6)
            .map(|r| r.unwrap().seq)
            .collect::<Vec<_>>(),
        [6, 7]
    );
    let report = verify(
        &home.db(),
        &VerifyOptions {
            memory: Some(home.memory()),
            ..VerifyOptions::default()
        },
    )
    .unwrap();
    assert_eq!(
        (report.failures.as_slice(), report.level, report.head),
        ([].as_slice(), Level::Remembered, Some(second.head()))
    );
}

#[test]
fn long_ledgers_are_read_in_pieces_and_whole() {
    let home = Home::new();
    let mut ledger = home.ledger();
    append(&mut ledger, &(0..700).map(draft).collect::<Vec<_>>());
    let records = all(&ledger);
    assert_eq!(records.len(), 702);
    assert_eq!(records.last().unwrap().head(), ledger.head());
    assert!(records.windows(2).all(|pair| pair[1].prev == pair[0].hash));
}

#[test]
fn refusals_name_the_draft_and_leave_no_trace() {
    let home = Home::new();
    let mut ledger = home.ledger();
    let before = ledger.head();
    let bad = [
        Draft {
            data: json!([]).into(),
            ..draft(0)
        },
        Draft {
            data: json!({"ratio": 0.5}).into(),
            ..draft(0)
        },
        Draft {
            data: json!({"é": 1}).into(),
            ..draft(0)
        },
        Draft {
            kind: "ledger.created".into(),
            ..draft(0)
        },
        Draft {
            kind: "session.opened".into(),
            ..draft(0)
        },
        Draft {
            kind: "ledger.restored".into(),
            ..draft(0)
        },
        Draft {
            kind: "Step started".into(),
            ..draft(0)
        },
        Draft {
            kind: String::new(),
            ..draft(0)
        },
        Draft {
            run: Some(String::new()),
            ..draft(0)
        },
        Draft {
            run: Some("a\nb".into()),
            ..draft(0)
        },
    ];
    for draft_2 in bad {
        let result = ledger.append(
            &before,
            &[draft(1), draft_2.clone()],
            &Append {
                checkpoint: true,
                ..Append::default()
            },
        );
        assert!(
            matches!(result, Err(AppendError::Refused { index: 1, .. })),
            "{draft_2:?}: {result:?}"
        );
        assert_eq!(ledger.head(), before);
    }
    let error = ledger
        .append(
            &before,
            &[Draft {
                kind: "ledger.created".into(),
                ..draft(0)
            }],
            &Append::default(),
        )
        .unwrap_err();
    assert!(matches!(
        error,
        AppendError::Refused {
            refusal: Refusal::Reserved(_),
            ..
        }
    ));
    append(&mut ledger, &[draft(0)]);
    assert_eq!(all(&ledger).len(), 3);
    assert_eq!(
        home.raw()
            .query_row("SELECT count(*) FROM checkpoint", [], |row| row
                .get::<_, i64>(0))
            .unwrap(),
        0
    );
}

#[test]
fn an_identity_without_canonical_form_is_refused_before_anything_is_written() {
    let home = Home::new();
    let mut who = identity();
    who.session = json!({"load": 0.5});
    let mut ledger = Ledger::create_or_open(home.place(), home.memory(), who).unwrap();
    let error = ledger
        .append(&ledger.head(), &[draft(0)], &Append::default())
        .unwrap_err();
    assert!(matches!(
        error,
        AppendError::Identity(Refusal::Canonical(_))
    ));
    assert_eq!(home.ledger().size(), 1);
}

#[test]
fn a_checkpoint_is_written_with_the_events_and_once_per_size() {
    let home = Home::new();
    let mut ledger = home.ledger();
    let with = Append {
        checkpoint: true,
        ..Append::default()
    };
    let appended = ledger.append(&ledger.head(), &[draft(0)], &with).unwrap();
    let checkpoint = appended.checkpoint.unwrap();
    assert_eq!(
        checkpoint,
        Checkpoint {
            ledger: ledger.id().into(),
            size: 3,
            root: ledger.root()
        }
    );
    // Without events it covers what is there, opens no session, and does not repeat itself.
    let again = ledger.append(&ledger.head(), &[], &with).unwrap();
    assert_eq!(
        (again.checkpoint.as_ref(), again.records.len()),
        (Some(&checkpoint), 0)
    );
    append(&mut ledger, &[draft(1)]);
    let report = verify(
        &home.db(),
        &VerifyOptions {
            checkpoints: vec![checkpoint],
            ..VerifyOptions::default()
        },
    )
    .unwrap();
    assert_eq!(
        (
            report.failures.as_slice(),
            report.stored_checkpoints,
            report.checkpoints
        ),
        ([].as_slice(), vec![3], vec![3])
    );
}

#[test]
fn mono_never_falls_and_a_stepped_wall_clock_is_a_finding() {
    let home = Home::new();
    let clock = Still::new();
    let mut ledger = home.ledger_with(clock.clone());
    append(&mut ledger, &[draft(0)]);
    clock.mono.store(4_000_000, Ordering::SeqCst);
    let appended = append(&mut ledger, &[draft(1)]);
    assert_eq!(appended.records[0].mono, 5_000_000);
    clock.mono.store(6_000_000, Ordering::SeqCst);
    clock.unix_micros.fetch_sub(60_000_000, Ordering::SeqCst);
    append(&mut ledger, &[draft(2)]);
    clock.mono.fetch_add(10_000_000, Ordering::SeqCst);
    clock.unix_micros.fetch_add(12_000_000, Ordering::SeqCst);
    append(&mut ledger, &[draft(3)]);
    let report = verify(&home.db(), &VerifyOptions::default()).unwrap();
    assert_eq!(report.failures, []);
    assert_eq!(
        report.findings,
        [Finding::ClockStep {
            seq: 4,
            micros: -61_000_000
        }]
    );
}

#[test]
fn blobs_come_back_checked_wherever_they_lie() {
    let home = Home::new();
    let mut ledger = home.ledger();
    let contents = [
        Vec::new(),
        b"small".to_vec(),
        vec![7; 64 << 10],
        (0..200_000_u32).flat_map(u32::to_le_bytes).collect(),
    ];
    let blobs: Vec<NewBlob> = contents
        .iter()
        .map(|content| NewBlob::new(content.clone()).unwrap())
        .collect();
    let data = json!({"output": blobs.iter().map(NewBlob::reference).collect::<Vec<_>>()});
    ledger
        .append(
            &ledger.head(),
            &[Draft {
                data: data.into(),
                ..draft(0)
            }],
            &Append {
                blobs: blobs.clone(),
                ..Append::default()
            },
        )
        .unwrap();
    assert_eq!(
        std::fs::read_dir(ledger.place().blobs_path())
            .unwrap()
            .count(),
        1,
        "only the one over 64 KiB is a file"
    );
    let reader = Ledger::open_read(home.place(), None).unwrap();
    for (blob, content) in blobs.iter().zip(&contents) {
        assert_eq!(&reader.blob(blob.reference().sha256).unwrap(), content);
    }
    let again = NewBlob::new(b"small".to_vec()).unwrap();
    assert_ne!(
        again.reference(),
        blobs[1].reference(),
        "the salt makes equal contents differ"
    );
    let report = verify(&home.db(), &VerifyOptions::default()).unwrap();
    assert_eq!(
        (
            report.failures.len(),
            report.blobs_checked,
            report.blobs_absent
        ),
        (0, 4, 0)
    );
    // A lost file is worth a word; a changed one is damage.
    let file = reader
        .place()
        .blobs_path()
        .join(blobs[3].reference().sha256.to_string());
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(
        verify(&home.db(), &VerifyOptions::default())
            .unwrap()
            .failures
            .len(),
        1
    );
    std::fs::remove_file(&file).unwrap();
    let report = verify(&home.db(), &VerifyOptions::default()).unwrap();
    assert_eq!(
        (
            report.failures.len(),
            report.blobs_checked,
            report.blobs_absent
        ),
        (0, 3, 1)
    );
    // An append that loses leaves no file behind.
    let large = Append {
        blobs: vec![NewBlob::new(vec![1; 100_000]).unwrap()],
        ..Append::default()
    };
    append(&mut home.ledger(), &[draft(1)]);
    assert!(matches!(
        ledger.append(&ledger.head(), &[draft(2)], &large),
        Err(AppendError::HeadMoved { .. })
    ));
    assert_eq!(
        std::fs::read_dir(ledger.place().blobs_path())
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn the_triggers_stop_accidents() {
    let home = Home::new();
    home.filled(4);
    let conn = home.raw();
    conn.execute_batch("PRAGMA recursive_triggers = 1").unwrap();
    let row = "SELECT 3, hash, prev, run, kind, ts, body FROM event WHERE seq = 3";
    for (statement, says) in [
        ("UPDATE event SET kind = 'x' WHERE seq = 2".to_owned(), "never changed"),
        ("DELETE FROM event WHERE seq = 3".to_owned(), "never deleted"),
        (format!("INSERT INTO event {}", row.replace("3,", "9,")), "seq is not the next one"),
        (format!("INSERT INTO event {}", row.replace("3,", "4,")), "prev is not the hash of the head"),
        (format!("INSERT OR REPLACE INTO event {row}"), "seq is not the next one"),
        ("INSERT INTO event SELECT 4, zeroblob(32), hash, run, kind, ts, body FROM event WHERE seq = 3".to_owned(), "differs from the body"),
        ("INSERT INTO event SELECT 4, hash, hash, run, kind, ts, body FROM event WHERE seq = 3".to_owned(), "exists already"),
    ] {
        let error = conn.execute(&statement, []).unwrap_err().to_string();
        assert!(error.contains(says), "{statement}: {error}");
    }
    assert!(
        verify(&home.db(), &VerifyOptions::default())
            .unwrap()
            .is_sound()
    );
}
