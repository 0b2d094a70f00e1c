//! Proves that a ledger that was copied, restored or moved to another path is known by its id: it is read, and appended to
//! at one path alone.

use crate::support::{Home, append, data, draft, identity};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use upledger_ledger::{
    Append, AppendError, Finding, How, Ledger, Level, MemoryError, OpenError, Place, Report,
    VerifyOptions, verify,
};

/// A second state directory on the same machine.
fn other(home: &Home) -> PathBuf {
    home.dir.path().join("other")
}

fn copy(home: &Home) {
    fs::create_dir_all(other(home)).unwrap();
    let _ = Place::open(&other(home)).map(drop);
    fs::set_permissions(
        other(home),
        fs::metadata(home.state()).unwrap().permissions(),
    )
    .unwrap();
    fs::copy(home.db(), other(home).join("ledger.db")).unwrap();
}

fn open_at(home: &Home, state: &Path) -> Result<Ledger, OpenError> {
    Ledger::open_existing(Place::open(state).unwrap(), home.memory(), identity())
}

fn how(opened: Result<Ledger, OpenError>) -> How {
    match opened {
        Err(OpenError::Remembered(disagreement)) => disagreement.how,
        other => panic!("{other:?}"),
    }
}

fn verified(home: &Home, state: &Path) -> Report {
    let options = VerifyOptions {
        memory: Some(home.memory()),
        ..VerifyOptions::default()
    };
    verify(&state.join("ledger.db"), &options).unwrap()
}

fn copied(report: &Report) -> Option<u64> {
    report.findings.iter().find_map(|finding| match finding {
        Finding::Copied { remembered, .. } => Some(*remembered),
        _ => None,
    })
}

#[test]
fn a_copy_is_read_and_not_appended_to() {
    let home = Home::new();
    home.filled(4);
    copy(&home);
    assert_eq!(how(open_at(&home, &other(&home))), How::Elsewhere);
    let place = Place::open(&other(&home)).unwrap();
    let created = Ledger::create_or_open(place.clone(), home.memory(), identity());
    assert_eq!(how(created), How::Elsewhere);
    let reader = Ledger::open_read(place, Some(home.memory())).unwrap();
    assert_eq!(reader.copied_from().map(|kept| kept.size), Some(4));
    assert_eq!(reader.read_all().count(), 4);
    // As long as it is the same, it is as good as what is remembered.
    let report = verified(&home, &other(&home));
    assert_eq!(
        (copied(&report), report.level),
        (Some(4), Level::Remembered)
    );
    // The original is not hindered.
    append(&mut home.ledger(), &[draft(9)]);
    assert_eq!(copied(&verified(&home, &home.state())), None);
    let report = verified(&home, &other(&home));
    assert!(report.is_sound(), "a backup may be older");
    assert_eq!((copied(&report), report.level), (Some(6), Level::ChainOnly));
}

#[test]
fn a_recorded_restoration_moves_it_and_the_old_path_is_refused() {
    let home = Home::new();
    home.filled(4);
    copy(&home);
    // A process that has it open at the old path, too.
    let mut late = home.ledger();
    append(&mut late, &[draft(8)]);
    let place = || Place::open(&other(&home)).unwrap();
    let (ledger, appended) =
        Ledger::restore(place(), home.memory(), identity(), "the disk was changed").unwrap();
    let restored = data(&appended.records[1]);
    assert_eq!(restored["from"]["size"], json!(6));
    assert_eq!(restored["to"]["size"], json!(4));
    drop(ledger);
    append(&mut open_at(&home, &other(&home)).unwrap(), &[draft(5)]);
    assert_eq!(how(open_at(&home, &home.state())), How::Elsewhere);
    let refused = late.append(&late.head(), vec![draft(9)], &Append::default());
    assert!(
        matches!(&refused, Err(AppendError::Remembered(d)) if d.how == How::Elsewhere),
        "{refused:?}"
    );
    drop(late);
    assert_eq!(how(open_at(&home, &home.state())), How::Elsewhere);
    // And back again.
    Ledger::restore(
        home.place(),
        home.memory(),
        identity(),
        "it was the wrong copy",
    )
    .unwrap();
    assert_eq!(how(open_at(&home, &other(&home))), How::Elsewhere);
    append(&mut home.ledger(), &[draft(10)]);
}

/// Earlier versions appended at two paths: what is remembered at both is one ledger as long as one is a continuation of
/// the other, and the longer one counts.
#[test]
fn of_two_remembered_paths_the_one_that_has_all_goes_on() {
    let home = Home::new();
    home.filled(4);
    let memory = home.dir.path().join("memory");
    let kept = fs::read_dir(&memory)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let text = fs::read_to_string(&kept).unwrap();
    copy(&home);
    Ledger::restore(
        Place::open(&other(&home)).unwrap(),
        home.memory(),
        identity(),
        "moved",
    )
    .unwrap();
    fs::write(&kept, text).unwrap();
    append(&mut open_at(&home, &other(&home)).unwrap(), &[draft(5)]);
    assert_eq!(how(open_at(&home, &home.state())), How::Elsewhere);
}

/// A memory file that is damaged does not say which ledger it is about, so that it may be this one.
#[test]
fn a_copy_is_not_appended_to_where_the_memory_of_the_original_cannot_be_read() {
    let home = Home::new();
    home.filled(4);
    copy(&home);
    let memory = home.dir.path().join("memory");
    let kept = fs::read_dir(&memory)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let good = fs::read_to_string(&kept).unwrap();
    let place = || Place::open(&other(&home)).unwrap();
    for bad in ["", "{}", &good[..good.len() / 2]] {
        fs::write(&kept, bad).unwrap();
        for opened in [
            open_at(&home, &other(&home)),
            Ledger::create_or_open(place(), home.memory(), identity()),
        ] {
            let Err(OpenError::Memory(MemoryError::Other { path, .. })) = &opened else {
                panic!("{bad:?}: {opened:?}")
            };
            assert_eq!(path.file_name(), kept.file_name());
        }
        let reader = Ledger::open_read(place(), Some(home.memory())).unwrap();
        assert!(reader.copied_from().is_none() && reader.unread_memory().is_some());
        let report = verified(&home, &other(&home));
        assert_eq!(report.level, Level::ChainOnly);
        assert!(
            matches!(&report.findings[..], [Finding::MemoryUnreadable { what }] if what.contains("may be a copy")),
            "{report:?}"
        );
    }
    // One that is made new is nobody's copy.
    let fresh = home.dir.path().join("fresh");
    let fresh = Place::open_or_create(&fresh).unwrap();
    drop(Ledger::create_or_open(fresh.clone(), home.memory(), identity()).unwrap());
    append(
        &mut Ledger::open_existing(fresh, home.memory(), identity()).unwrap(),
        &[draft(1)],
    );
    // An operator who has checked it says so on record, and it goes on here.
    let (ledger, appended) = Ledger::restore(
        place(),
        home.memory(),
        identity(),
        "checked against the anchor",
    )
    .unwrap();
    assert_eq!(data(&appended.records[1])["from"], json!(null));
    drop(ledger);
    append(&mut open_at(&home, &other(&home)).unwrap(), &[draft(5)]);
    // The memory of the original comes back from a backup: it lacks what is here.
    fs::write(&kept, good).unwrap();
    assert_eq!(how(open_at(&home, &home.state())), How::Elsewhere);
}

#[test]
fn a_memory_that_is_gone_is_told() {
    let home = Home::new();
    home.filled(4);
    fs::remove_dir_all(home.dir.path().join("memory")).unwrap();
    let report = verified(&home, &home.state());
    assert_eq!(
        (report.findings, report.level),
        (vec![Finding::Forgotten], Level::ChainOnly)
    );
}
