//! Proves what happens when others are at the same file: writers who race, readers who follow, processes that hold it,
//! and whoever exchanges or changes it under an open handle.

use crate::support::{Home, Still, append, data, draft, identity};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use upledger_ledger::{
    Append, AppendError, Draft, Fault, Head, How, Ledger, OpenError, Options, ReadError, Record,
    VerifyOptions, verify,
};

fn all(ledger: &Ledger) -> Vec<Record> {
    ledger.read_all().map(Result::unwrap).collect()
}

#[test]
fn a_handle_may_move_to_another_thread() {
    let home = Home::new();
    let mut ledger = home.ledger();
    let ledger = std::thread::spawn(move || {
        append(&mut ledger, &[draft(0)]);
        ledger
    });
    assert_eq!(ledger.join().unwrap().size(), 3);
}

#[test]
fn a_file_turned_into_wal_is_refused_and_left_alone() {
    let home = Home::new();
    home.filled(4);
    home.raw()
        .execute_batch("PRAGMA journal_mode = WAL")
        .unwrap();
    let error = Ledger::open_existing(home.place(), home.memory(), identity()).unwrap_err();
    assert!(matches!(error, OpenError::Schema { .. }), "{error:?}");
    let mode: String = home
        .raw()
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .unwrap();
    assert_eq!(mode, "wal");
    assert!(
        !verify(&home.db(), &VerifyOptions::default())
            .unwrap()
            .is_sound()
    );
}

#[test]
fn the_head_is_compared_and_the_loser_writes_nothing() {
    let home = Home::new();
    let mut one = home.ledger();
    let mut two = home.ledger();
    let base = one.head();
    assert!(!two.moved().unwrap());
    let won = append(&mut one, &[draft(0)]);
    let lost = two.append(&base, &[draft(1)], &Append::default());
    assert!(matches!(lost, Err(AppendError::HeadMoved { actual }) if actual == won.head));
    assert!(two.moved().unwrap());
    assert_eq!(two.refresh().unwrap(), won.records);
    assert!(!two.moved().unwrap());
    assert_eq!((two.head(), two.root()), (one.head(), one.root()));
    // Now `one` is behind, and a caller who has not seen what its own handle has is refused as well.
    let appended = append(&mut two, &[draft(1)]);
    assert!(
        matches!(two.append(&base, &[draft(2)], &Append::default()), Err(AppendError::HeadMoved { actual }) if actual == appended.head)
    );
    // The session in force is the other's: an append by `one` says again who it is.
    one.refresh().unwrap();
    let again = append(&mut one, &[draft(2)]);
    assert_eq!(again.records[0].kind, "session.opened");
    assert_eq!(again.records[1].sess, Some(again.records[0].seq));
    assert!(
        verify(&home.db(), &VerifyOptions::default())
            .unwrap()
            .is_sound()
    );
}

#[test]
fn racing_handles_lose_no_event_and_fork_nothing() {
    const EACH: u64 = 25;
    let home = Home::new();
    drop(home.ledger());
    std::thread::scope(|scope| {
        for racer in 0..3 {
            let home = &home;
            scope.spawn(move || {
                let mut ledger = home.ledger();
                for number in 0..EACH {
                    let draft =
                        Draft::of_run(format!("run-{racer}"), "step.started", json!({"n": number}));
                    while let Err(error) = ledger.append(
                        &ledger.head(),
                        std::slice::from_ref(&draft),
                        &Append::default(),
                    ) {
                        assert!(matches!(error, AppendError::HeadMoved { .. }), "{error:?}");
                        ledger.refresh().unwrap();
                    }
                }
            });
        }
    });
    let report = verify(
        &home.db(),
        &VerifyOptions {
            memory: Some(home.memory()),
            ..VerifyOptions::default()
        },
    )
    .unwrap();
    assert_eq!(report.failures, []);
    assert_eq!(report.runs, 3);
    let ledger = Ledger::open_read(home.place(), Some(home.memory())).unwrap();
    for racer in 0..3 {
        let numbers: Vec<_> = ledger
            .read_run(&format!("run-{racer}"))
            .map(|r| data(&r.unwrap())["n"].as_u64().unwrap())
            .collect();
        assert_eq!(numbers, (0..EACH).collect::<Vec<_>>());
    }
}

/// The events are read first, and the checkpoints of the file after them.
#[test]
fn a_checkpoint_over_events_that_came_while_a_ledger_was_opened_is_no_damage() {
    let home = Home::new();
    let mut writer = home.ledger();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let checkpoint = Append {
                    checkpoint: true,
                    ..Append::default()
                };
                if writer
                    .append(&writer.head(), &[draft(1)][..], &checkpoint)
                    .is_err()
                {
                    writer.refresh().unwrap();
                }
            }
        });
        let opened: Vec<_> = (0..100)
            .map(|_| Ledger::open_existing(home.place(), home.memory(), identity()).err())
            .collect();
        done.store(true, Ordering::Relaxed);
        for error in opened.into_iter().flatten() {
            assert!(matches!(error, OpenError::Busy { .. }), "{error:?}");
        }
    });
}

#[test]
fn a_reader_cannot_append_and_follows_a_writer() {
    let home = Home::new();
    let mut writer = home.ledger();
    let mut reader = Ledger::open_read(home.place(), Some(home.memory())).unwrap();
    assert!(matches!(
        reader.append(&reader.head(), &[draft(0)], &Append::default()),
        Err(AppendError::ReadOnly | AppendError::Unwritable(_))
    ));
    append(&mut writer, &[draft(0)]);
    assert!(reader.moved().unwrap());
    assert_eq!(reader.refresh().unwrap().len(), 2);
    assert_eq!(reader.head(), writer.head());
    assert_eq!(reader.refresh().unwrap(), []);
}

#[test]
fn a_busy_ledger_names_its_holder() {
    let home = Home::new();
    let mut ledger = home.ledger_with(Still::new());
    let other = home.raw();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = ledger
        .append(&ledger.head(), &[draft(0)], &Append::default())
        .unwrap_err();
    let AppendError::Busy {
        holder: Some(holder),
        ..
    } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!(holder.pid, std::process::id());
    let options = Options {
        busy: std::time::Duration::from_millis(50),
        ..Options::default()
    };
    assert!(matches!(
        Ledger::open_read_with(home.place(), None, options),
        Err(OpenError::Busy {
            holder: Some(_),
            ..
        })
    ));
    other.execute_batch("COMMIT").unwrap();
    append(&mut ledger, &[draft(0)]);
    assert_eq!(ledger.size(), 3, "the handle is good after a wait in vain");
}

#[test]
fn a_reader_who_stays_makes_the_commit_busy_and_nothing_is_written() {
    let home = Home::new();
    let mut ledger = home.ledger_with(Still::new());
    let other = home.raw();
    other.execute_batch("BEGIN; SELECT * FROM event").unwrap();
    let before = ledger.head();
    assert!(matches!(
        ledger.append(&before, &[draft(0)], &Append::default()),
        Err(AppendError::Busy { .. })
    ));
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(ledger.head(), before);
    append(&mut ledger, &[draft(0)]);
    assert_eq!(all(&ledger).len(), 3);
}

#[test]
fn a_file_that_is_exchanged_under_the_handle_is_noticed() {
    let home = Home::new();
    let mut ledger = home.ledger();
    let head = ledger.head();
    let copy = std::fs::read(home.db()).unwrap();
    std::fs::rename(home.db(), home.state().join("away")).unwrap();
    assert!(matches!(
        ledger.append(&head, &[draft(0)], &Append::default()),
        Err(AppendError::Replaced { .. })
    ));
    std::fs::write(home.db(), copy).unwrap();
    std::fs::set_permissions(
        home.db(),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    assert!(matches!(
        ledger.append(&head, &[draft(0)], &Append::default()),
        Err(AppendError::Replaced { .. })
    ));
    assert!(matches!(ledger.refresh(), Err(ReadError::Replaced { .. })));
    assert!(matches!(
        ledger.read_all().next(),
        Some(Err(ReadError::Replaced { .. }))
    ));
}

#[test]
fn an_older_copy_written_over_the_open_file_is_noticed_at_the_next_append() {
    let home = Home::new();
    let mut ledger = home.ledger();
    let old = std::fs::read(home.db()).unwrap();
    let head = append(&mut ledger, &[draft(0)]).head;
    std::fs::write(home.db(), old).unwrap();
    let error = ledger
        .append(&head, &[draft(1)], &Append::default())
        .unwrap_err();
    assert!(
        matches!(
            error,
            AppendError::HeadMoved {
                actual: Head { seq: 0, .. }
            }
        ),
        "{error:?}"
    );
    let Err(ReadError::Damaged(broken)) = ledger.refresh() else {
        panic!("a shorter file was read as a ledger")
    };
    assert_eq!((broken.seq, broken.fault), (2, Fault::Ends));
    assert!(matches!(
        Ledger::open_existing(home.place(), home.memory(), identity()),
        Err(OpenError::Remembered(_))
    ));
}

#[test]
fn a_row_that_changes_after_it_was_verified_is_an_error_and_not_a_record() {
    let home = Home::new();
    home.filled(6);
    let ledger = Ledger::open_read(home.place(), None).unwrap();
    crate::support::without_triggers(&home.raw(), |conn| {
        conn.execute(
            "UPDATE event SET body = replace(body, 'alice', 'mallet') WHERE seq = 3",
            [],
        )
        .unwrap();
    });
    let mut records = ledger.read_all();
    let Some(Err(ReadError::Damaged(broken))) = records.next() else {
        panic!("a changed row was read")
    };
    assert_eq!(broken.seq, 3);
    assert!(matches!(broken.fault, Fault::Changed { .. }));
    assert!(records.next().is_none());
    assert!(matches!(ledger.read_from(4).next(), Some(Ok(record)) if record.seq == 4));
}

#[test]
fn a_file_put_back_to_what_the_handle_knows_is_given_away_by_the_memory() {
    let home = Home::new();
    let mut ledger = home.ledger();
    let head = ledger.head();
    let old = std::fs::read(home.db()).unwrap();
    append(&mut home.ledger(), &[draft(0)]);
    std::fs::write(home.db(), old).unwrap();
    let error = ledger
        .append(&head, &[draft(1)], &Append::default())
        .unwrap_err();
    let AppendError::Remembered(disagreement) = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (disagreement.how, disagreement.remembered.size),
        (How::Shorter, 3)
    );
    assert_eq!(disagreement.found.unwrap().size, 1);
    assert_eq!(
        Ledger::open_read(home.place(), None).unwrap().size(),
        1,
        "nothing was appended"
    );
}

#[test]
fn a_memory_that_is_damaged_under_the_handle_stops_the_append() {
    let home = Home::new();
    let mut ledger = home.ledger();
    for file in std::fs::read_dir(home.memory().dir()).unwrap() {
        std::fs::write(file.unwrap().path(), "").unwrap();
    }
    let error = ledger
        .append(&ledger.head(), &[draft(0)], &Append::default())
        .unwrap_err();
    assert!(
        matches!(error, AppendError::MemoryUnreadable(_)),
        "{error:?}"
    );
    assert_eq!(
        Ledger::open_read(home.place(), None).unwrap().size(),
        1,
        "nothing was appended"
    );
}
