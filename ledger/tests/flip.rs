//! Proves that no flipped bit and no cut of a ledger file reads as another ledger: for the bytes of a small one, with a
//! bit turned over, a verification reports damage or finds the identical content; cut at their places, it reports damage.
//!
//! Every fifth byte, which comes by every place of every field of two, four and eight bytes; all of them in the long tier
//! (`UPLEDGER_EVERY_BYTE=1`).

use crate::support::{Home, append, draft};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use upledger_ledger::{Append, Ledger, NewBlob, Place, Report, VerifyOptions, verify};

/// Splits `work` over two threads, each with its own copy of a small ledger with a checkpoint and a blob.
fn on_copies(work: impl Fn(&Home, &Report, &[u8], usize) + Sync) {
    let home = Home::new();
    let mut ledger = home.ledger();
    let extra = Append {
        checkpoint: true,
        blobs: vec![NewBlob::new(b"output".to_vec()).unwrap()],
    };
    ledger
        .append(&ledger.head(), &[draft(0), draft(1), draft(2)], &extra)
        .unwrap();
    append(&mut ledger, &[draft(3)]);
    drop(ledger);
    let bytes = fs::read(home.db()).unwrap();
    let report = look(&home.db()).unwrap();
    assert_eq!(
        (
            report.failures.as_slice(),
            report.events,
            report.blobs_checked
        ),
        ([].as_slice(), 6, 1)
    );
    let every = std::env::var_os("UPLEDGER_EVERY_BYTE").is_some();
    let step = if every { 1 } else { 5 };
    std::thread::scope(|scope| {
        for half in 0..2 {
            let (work, bytes, report) = (&work, &bytes, &report);
            scope.spawn(move || {
                let home = Home::new();
                drop(home.place());
                File::create(home.db()).unwrap().write_all(bytes).unwrap();
                fs::set_permissions(
                    home.db(),
                    std::os::unix::fs::PermissionsExt::from_mode(0o600),
                )
                .unwrap();
                (half * step..bytes.len())
                    .step_by(2 * step)
                    .for_each(|at| work(&home, report, bytes, at));
            });
        }
    });
}

/// `None` if there was no report: damage that keeps SQLite from opening the file at all.
fn look(path: &Path) -> Option<Report> {
    verify(path, &VerifyOptions::default()).ok()
}

#[test]
fn a_flipped_bit_is_damage_or_changes_nothing() {
    on_copies(|home, good, bytes, at| {
        let file = File::options().write(true).open(home.db()).unwrap();
        file.write_all_at(&[bytes[at] ^ (1 << (at % 8))], u64::try_from(at).unwrap())
            .unwrap();
        if let Some(report) = look(&home.db()).filter(Report::is_sound) {
            // The head is recomputed from the bodies: equal heads are equal bodies.
            assert_eq!(
                (report.head, report.events, report.root),
                (good.head, good.events, good.root),
                "byte {at}"
            );
        }
        // A program that opens the file for its records must not be fooled either.
        if let Ok(ledger) = Ledger::open_read(Place::open(&home.state()).unwrap(), None) {
            assert_eq!(
                (Some(ledger.head()), ledger.root()),
                (good.head, good.root),
                "byte {at}"
            );
            if let Ok(records) = ledger.read_all().collect::<Result<Vec<_>, _>>() {
                assert_eq!(records.len(), 6, "byte {at}");
            }
        }
        file.write_all_at(&bytes[at..=at], u64::try_from(at).unwrap())
            .unwrap();
    });
}

#[test]
fn a_cut_file_is_damage_at_every_length() {
    on_copies(|home, _, bytes, length| {
        fs::write(home.db(), &bytes[..length]).unwrap();
        assert!(
            !look(&home.db()).is_some_and(|report| report.is_sound()),
            "length {length}"
        );
    });
}
