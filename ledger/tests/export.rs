//! Proves that an export is the stored bodies, that it verifies to the same root without SQLite, and that it ends with an
//! error, not with a shorter text, when a record cannot be read.

use crate::support::{Home, without_triggers};
use upledger_ledger::{
    ExportError, Ledger, ReadError, VerifyOptions, export_jsonl, verify, verify_jsonl,
};

#[test]
fn an_export_verifies_to_the_same_root() {
    let home = Home::new();
    let checkpoint = home.filled(300);
    let ledger = Ledger::open_read(home.place(), None).unwrap();
    let mut text = Vec::new();
    assert_eq!(export_jsonl(&ledger, &mut text).unwrap(), 300);
    let bodies: Vec<String> = ledger
        .read_all()
        .map(|record| record.unwrap().body + "\n")
        .collect();
    assert_eq!(String::from_utf8(text.clone()).unwrap(), bodies.concat());
    let lines = verify_jsonl(&mut text.as_slice(), std::slice::from_ref(&checkpoint)).unwrap();
    let file = verify(
        &home.db(),
        &VerifyOptions {
            checkpoints: vec![checkpoint],
            ..VerifyOptions::default()
        },
    )
    .unwrap();
    assert_eq!(lines.failures, []);
    assert_eq!(lines, file);
}

#[test]
fn an_export_of_a_changed_ledger_is_an_error() {
    let home = Home::new();
    home.filled(300);
    let ledger = Ledger::open_read(home.place(), None).unwrap();
    without_triggers(&home.raw(), |conn| {
        conn.execute("DELETE FROM event WHERE seq = 299", [])
            .unwrap();
    });
    let error = export_jsonl(&ledger, &mut Vec::new()).unwrap_err();
    assert!(
        matches!(error, ExportError::Read(ReadError::Damaged(ref broken)) if broken.seq == 299),
        "{error:?}"
    );
}
