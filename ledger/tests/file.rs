//! Proves what is said of a file whose events are sound and whose pages, length or type are not, and that nothing is
//! appended to it.

use crate::support::Home;
use crate::tamper::{open, verdict};
use upledger_ledger::{OpenError, VerifyOptions, verify};

const EVENTS: u64 = 12;

/// An index that has lost a row: the chain is whole, and SQLite would answer a query with less than the table holds.
#[test]
fn a_page_of_an_index_that_was_emptied() {
    let home = Home::new();
    home.filled(EVENTS);
    let raw = home.raw();
    let root: u32 = raw
        .query_row(
            "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_event_1'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    drop(raw);
    let file = std::fs::File::options()
        .write(true)
        .open(home.db())
        .unwrap();
    // The header of a leaf of an index, without cells.
    let empty = [10, 0, 0, 0, 0, 16, 0, 0];
    std::os::unix::fs::FileExt::write_all_at(&file, &empty, u64::from(root - 1) * 4096).unwrap();
    assert!(verdict(&home, true, None).contains("integrity_check"));
    assert!(open(&home).ends_with("is damaged"), "{}", open(&home));
}

#[test]
fn a_file_without_its_last_page_or_with_half_of_it() {
    for cut in [4096, 2048] {
        let home = Home::new();
        home.filled(EVENTS);
        let file = std::fs::File::options()
            .write(true)
            .open(home.db())
            .unwrap();
        file.set_len(file.metadata().unwrap().len() - cut).unwrap();
        let report = verify(&home.db(), &VerifyOptions::default()).unwrap();
        assert!(!report.is_sound(), "{cut}");
        let opened = upledger_ledger::Ledger::open_read(home.place(), None).unwrap_err();
        assert!(
            matches!(opened, OpenError::Corrupt { .. } | OpenError::Damaged(_)),
            "{opened:?}"
        );
    }
}

/// Neither waits for a writer that never comes.
#[test]
fn a_pipe_in_the_place_of_the_ledger_or_its_journal() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let pipe = |path: &std::path::Path| {
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    };
    let home = Home::new();
    home.filled(4);
    let mut journal = home.db().into_os_string();
    journal.push("-journal");
    pipe(journal.as_ref());
    for _ in 0..2 {
        let refused = verify(&home.db(), &VerifyOptions::default());
        assert!(
            matches!(refused, Err(upledger_ledger::VerifyError::NotAFile { .. })),
            "{refused:?}"
        );
        assert!(
            open(&home).contains("the state directory cannot be used"),
            "{}",
            open(&home)
        );
        std::fs::remove_file(home.db()).unwrap();
        pipe(&home.db());
    }
}
