//! Proves that a fold beside the verification comes to what a fold one event after the other comes to.

use super::*;
use crate::home::Home;
use crate::journal::{Committed, Journal};
use upledger_replay::event::{Event, Note};

#[test]
fn a_batch_gives_back_what_was_put_in() {
    let view = View {
        seq: 3,
        run: Some(""),
        ts: "t",
        mono: 9,
        boot: "",
        kind: "步",
        actor: "a",
        host: "h",
        sess: Some(1),
        data: "{}",
    };
    let other = View {
        run: None,
        sess: None,
        ..view
    };
    let mut batch = Batch::default();
    for view in [&view, &other, &view] {
        batch.push(view);
    }
    assert_eq!(batch.views().collect::<Vec<_>>(), [view, other, view]);
}

/// So many notes that there is a thread, and then one that no state allows: it is found, wherever it is folded.
#[test]
fn many_events_fold_as_few_do() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home {
        state: dir.path().join("state"),
        memory: dir.path().join("memory"),
    };
    let mut journal = Journal::create_or_open(&home).unwrap();
    let note = |n: usize| {
        Event::NoteAdded(Note {
            text: format!("{n} {}", "x".repeat(1000)),
        })
    };
    for n in 0..2 * BATCH / 1000 {
        journal.stage(None, &note(n)).unwrap();
    }
    let Committed::Done(entries) = journal.commit().unwrap() else {
        panic!("nobody else writes");
    };
    drop(journal);
    let journal = Journal::read(&home).unwrap();
    assert_eq!(journal.entries(None).unwrap().len(), entries.len() + 1);
    assert_eq!(*journal.book(), journal.fold(None).unwrap());

    for (at, bad) in [(0, "step.dreamt"), (entries.len() - 1, "run.completed")] {
        let mut seen = 0;
        let error = over(|see| {
            let ledger = Ledger::open_read_seeing(
                upledger_ledger::Place::open(&home.state)?,
                None,
                &mut |view| {
                    let kind = if seen == at { bad } else { view.kind };
                    seen += 1;
                    see(&View {
                        kind,
                        run: None,
                        ..*view
                    });
                },
            )?;
            Ok(ledger)
        })
        .err()
        .unwrap();
        let told = matches!(
            error,
            JournalError::Unknown { seq, .. } | JournalError::Impossible { seq, .. } if seq == at as u64
        );
        assert!(told, "{error:?}");
    }
}
