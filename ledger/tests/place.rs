//! Proves where a ledger may lie and where not, that its files are private, that the memory is kept apart and that its
//! damage is never taken for "nothing remembered", and what a recorded restoration does.

use crate::support::{Home, append, data, draft, identity};
use serde_json::json;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};
use upledger_ledger::{
    Finding, Ledger, Level, Memory, MemoryError, OpenError, Place, PlaceError, RestoreError,
    VerifyOptions, verify,
};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn memory_file(home: &Home) -> std::path::PathBuf {
    let mut files = fs::read_dir(home.dir.path().join("memory")).unwrap();
    let file = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none(), "one file per ledger, and no litter");
    file
}

#[test]
fn everything_is_private() {
    let home = Home::new();
    append(&mut home.ledger(), &[draft(0)]);
    assert_eq!(mode(&home.state()), 0o700);
    assert_eq!(mode(&home.db()), 0o600);
    assert_eq!(mode(&home.state().join("reserve")), 0o600);
    assert_eq!(
        fs::metadata(home.state().join("reserve")).unwrap().len(),
        4 << 20
    );
    assert_eq!(mode(&home.dir.path().join("memory")), 0o700);
    assert_eq!(mode(&memory_file(&home)), 0o600);
    let nested = home.dir.path().join("a/b/c");
    Place::open_or_create(&nested).unwrap();
    assert_eq!(mode(&nested), 0o700);
}

#[test]
fn what_is_not_ours_alone_is_refused() {
    let home = Home::new();
    let absent = home.dir.path().join("absent");
    assert!(matches!(
        Place::open(&absent),
        Err(PlaceError::Absent { .. })
    ));
    assert!(!absent.exists(), "looking makes nothing");
    drop(home.ledger());
    let open = || {
        Ledger::open_read(
            Place::open(&home.state()).map_err(|error| format!("{error:?}"))?,
            None,
        )
        .map_err(|error| format!("{error:?}"))
    };
    let refused = |what: &str| {
        let error = open().unwrap_err();
        assert!(error.contains(what), "{error} is not {what}");
    };

    symlink(home.state(), home.dir.path().join("link")).unwrap();
    assert!(matches!(
        Place::open(&home.dir.path().join("link")),
        Err(PlaceError::Symlink { .. })
    ));
    assert!(matches!(
        Place::open_or_create(&home.db()),
        Err(PlaceError::Type {
            wanted: "directory",
            ..
        })
    ));

    fs::set_permissions(home.state(), PermissionsExt::from_mode(0o750)).unwrap();
    refused("TooOpen");
    fs::set_permissions(home.state(), PermissionsExt::from_mode(0o700)).unwrap();
    fs::set_permissions(home.db(), PermissionsExt::from_mode(0o640)).unwrap();
    refused("TooOpen");
    fs::set_permissions(home.db(), PermissionsExt::from_mode(0o600)).unwrap();
    open().unwrap();

    fs::hard_link(home.db(), home.dir.path().join("second")).unwrap();
    refused("HardLink");
    fs::remove_file(home.db()).unwrap();
    symlink(home.dir.path().join("second"), home.db()).unwrap();
    refused("Symlink");
    fs::remove_file(home.db()).unwrap();
    fs::create_dir(home.db()).unwrap();
    refused("Type");
    fs::remove_dir(home.db()).unwrap();
    fs::rename(home.dir.path().join("second"), home.db()).unwrap();
    symlink("/etc/passwd", home.state().join("ledger.db-journal")).unwrap();
    refused("Symlink");
    fs::remove_file(home.state().join("ledger.db-journal")).unwrap();
    open().unwrap();
    fs::remove_file(home.db()).unwrap();
    refused("NoLedger");
}

#[test]
fn another_users_ledger_is_named_and_not_replaced() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test gives files away and needs root"
    );
    let home = Home::new();
    drop(home.ledger());
    std::os::unix::fs::chown(home.state(), Some(65_534), None).unwrap();
    let error = Ledger::create_or_open(home.place(), home.memory(), identity()).unwrap_err();
    let OpenError::Place(PlaceError::NotOurs { owner, path, .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (owner.uid, path),
        (65_534, home.state().canonicalize().unwrap())
    );
    assert_eq!(owner.name.as_deref(), Some("nobody"));
    // Root may read it.
    assert_eq!(Ledger::open_read(home.place(), None).unwrap().size(), 1);
}

#[test]
fn a_file_that_is_no_ledger_is_refused_and_left_alone() {
    let home = Home::new();
    let place = home.place();
    for content in [
        &b"not a database, but long enough to be one if it wanted to"[..],
        &[0; 100],
    ] {
        fs::write(home.db(), content).unwrap();
        fs::set_permissions(home.db(), PermissionsExt::from_mode(0o600)).unwrap();
        let error = Ledger::create_or_open(place.clone(), home.memory(), identity()).unwrap_err();
        assert!(matches!(error, OpenError::NotALedger { .. }), "{error:?}");
        assert_eq!(fs::read(home.db()).unwrap(), content);
    }
    fs::remove_file(home.db()).unwrap();
    home.raw().execute_batch("CREATE TABLE other(x)").unwrap();
    fs::set_permissions(home.db(), PermissionsExt::from_mode(0o600)).unwrap();
    assert!(matches!(
        Ledger::create_or_open(place, home.memory(), identity()),
        Err(OpenError::NotALedger { .. })
    ));
}

#[test]
fn an_empty_file_is_an_unfinished_creation_unless_one_is_remembered() {
    let home = Home::new();
    let place = home.place();
    fs::write(home.db(), b"").unwrap();
    fs::set_permissions(home.db(), PermissionsExt::from_mode(0o600)).unwrap();
    assert!(matches!(
        Ledger::open_existing(place.clone(), home.memory(), identity()),
        Err(OpenError::NoLedger { .. })
    ));
    assert!(matches!(
        Ledger::open_read(place, None),
        Err(OpenError::NoLedger { .. })
    ));
    assert_eq!(home.ledger().size(), 1);
}

#[test]
fn the_memory_lies_elsewhere() {
    let home = Home::new();
    let inside = Memory::at(&home.place().dir().join("memory")).unwrap();
    assert!(matches!(
        Ledger::create_or_open(home.place(), inside, identity()),
        Err(OpenError::Memory(MemoryError::Inside { .. }))
    ));
    assert!(!home.db().exists());
    let open = home.dir.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, PermissionsExt::from_mode(0o755)).unwrap();
    assert!(matches!(
        Memory::at(&open),
        Err(MemoryError::Place(PlaceError::TooOpen { .. }))
    ));
}

#[test]
fn a_memory_that_is_behind_is_rolled_forward() {
    let home = Home::new();
    let mut ledger = home.ledger();
    let early = fs::read(memory_file(&home)).unwrap();
    append(&mut ledger, &[draft(0)]);
    drop(ledger);
    let late = fs::read(memory_file(&home)).unwrap();
    assert_ne!(early, late);
    fs::write(memory_file(&home), &early).unwrap();
    let options = VerifyOptions {
        memory: Some(home.memory()),
        ..VerifyOptions::default()
    };
    let report = verify(&home.db(), &options).unwrap();
    assert_eq!(
        (report.level, report.findings),
        (
            Level::Remembered,
            vec![Finding::MemoryBehind { remembered: 1 }]
        )
    );
    // A reader changes nothing, a writer puts it right.
    Ledger::open_read(home.place(), Some(home.memory())).unwrap();
    assert_eq!(fs::read(memory_file(&home)).unwrap(), early);
    drop(home.ledger());
    assert_eq!(fs::read(memory_file(&home)).unwrap(), late);
    let kept: serde_json::Value = serde_json::from_slice(&late).unwrap();
    assert_eq!(kept["size"], json!(3));
    assert_eq!(
        kept.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["head", "ledger", "path", "root", "size"]
    );
}

#[test]
fn a_damaged_memory_is_not_an_empty_one() {
    let home = Home::new();
    append(&mut home.ledger(), &[draft(0)]);
    let good = fs::read_to_string(memory_file(&home)).unwrap();
    for bad in [
        "",
        "{}",
        &good[..good.len() / 2],
        &good.replace("\"size\":3", "\"size\":0"),
        &good.replace("/state/", "/other/"),
        &good.replace('{', "{\"x\":1,"),
    ] {
        fs::write(memory_file(&home), bad).unwrap();
        let error = Ledger::create_or_open(home.place(), home.memory(), identity()).unwrap_err();
        assert!(
            matches!(error, OpenError::Memory(MemoryError::Damaged { .. })),
            "{bad:?}: {error:?}"
        );
        let options = VerifyOptions {
            memory: Some(home.memory()),
            ..VerifyOptions::default()
        };
        let report = verify(&home.db(), &options).unwrap();
        assert!(matches!(
            report.findings[..],
            [Finding::MemoryUnreadable { .. }]
        ));
        assert_eq!(report.level, Level::ChainOnly);
    }
    let (ledger, appended) = Ledger::restore(
        home.place(),
        home.memory(),
        identity(),
        "disk repair of 2026-11-20",
    )
    .unwrap();
    assert_eq!(data(&appended.records[1])["from"], json!(null));
    assert_eq!(ledger.size(), 5);
    drop(ledger);
    assert_eq!(home.ledger().size(), 5);
}

#[test]
fn a_restoration_is_recorded_with_both_sides_and_its_reason() {
    let home = Home::new();
    let mut ledger = home.ledger();
    append(&mut ledger, &[draft(0)]);
    let older = fs::read(home.db()).unwrap();
    let to = json!({"ledger": ledger.id(), "size": ledger.size(), "root": ledger.root()});
    append(&mut ledger, &[draft(1)]);
    let from = json!({"ledger": ledger.id(), "size": ledger.size(), "root": ledger.root()});
    drop(ledger);
    let restore = |reason| Ledger::restore(home.place(), home.memory(), identity(), reason);
    assert!(matches!(restore("why not"), Err(RestoreError::Nothing)));
    fs::write(home.db(), &older).unwrap();
    assert!(matches!(
        Ledger::create_or_open(home.place(), home.memory(), identity()),
        Err(OpenError::Remembered(_))
    ));
    assert!(matches!(restore(" "), Err(RestoreError::NoReason)));
    let (mut ledger, appended) = restore("restored from the backup of 2026-11-20").unwrap();
    let kinds: Vec<_> = appended
        .records
        .iter()
        .map(|record| &*record.kind)
        .collect();
    assert_eq!(kinds, ["session.opened", "ledger.restored"]);
    assert_eq!(
        data(&appended.records[1]),
        json!({"reason": "restored from the backup of 2026-11-20", "from": from, "to": to})
    );
    append(&mut ledger, &[draft(2)]);
    drop(ledger);
    let report = verify(
        &home.db(),
        &VerifyOptions {
            memory: Some(home.memory()),
            ..VerifyOptions::default()
        },
    )
    .unwrap();
    assert_eq!(
        (report.failures.len(), report.level),
        (0, Level::Remembered)
    );
}

#[test]
fn a_lost_ledger_is_recorded_in_its_replacement() {
    let home = Home::new();
    let lost = home.filled(4);
    fs::remove_file(home.db()).unwrap();
    let (ledger, appended) =
        Ledger::restore(home.place(), home.memory(), identity(), "the disk died").unwrap();
    assert_ne!(ledger.id(), lost.ledger);
    assert_eq!(
        data(&appended.records[1])["from"],
        json!({"ledger": lost.ledger, "size": 4, "root": lost.root})
    );
    assert_eq!(data(&appended.records[1])["to"]["size"], json!(1));
    drop(ledger);
    assert_eq!(home.ledger().size(), 3);
}

#[test]
fn what_a_killed_process_left_in_the_memory_is_swept_and_the_reserve_is_made_again() {
    let home = Home::new();
    let ledger = home.ledger();
    let kept = memory_file(&home);
    let stem = kept.file_stem().unwrap().to_str().unwrap();
    let left = kept.with_file_name(format!(".{stem}.0123456789abcdef"));
    // A process id comes again: that of the dead is now ours.
    let of_our_id = kept.with_file_name(format!(".{stem}.{}.0", std::process::id()));
    let under_way = kept.with_file_name(format!(".{stem}.fedcba9876543210"));
    let long_ago = SystemTime::now() - Duration::from_secs(600);
    for (file, written) in [
        (&left, long_ago),
        (&of_our_id, long_ago),
        (&under_way, SystemTime::now()),
    ] {
        fs::write(file, "half").unwrap();
        let opened = File::options().write(true).open(file).unwrap();
        opened.set_modified(written).unwrap();
    }
    assert!(ledger.release_reserve().unwrap());
    drop(ledger);
    drop(home.ledger());
    assert!(!left.exists() && !of_our_id.exists() && under_way.exists());
    assert!(home.state().join("reserve").exists());
}

#[test]
fn below_a_directory_of_everybody_there_is_no_ledger_and_no_memory() {
    let home = Home::new();
    let above = home.dir.path().join("above");
    let state = above.join("deep/state");
    fs::create_dir_all(&above).unwrap();
    let set = |mode| fs::set_permissions(&above, fs::Permissions::from_mode(mode)).unwrap();
    set(0o777);
    for refused in [
        Place::open_or_create(&state).unwrap_err(),
        match Memory::at(&above.join("memory")).unwrap_err() {
            MemoryError::Place(why) => why,
            other => panic!("{other:?}"),
        },
    ] {
        let PlaceError::Exposed { parent, .. } = &refused else {
            panic!("{refused:?}");
        };
        assert_eq!(parent.file_name().unwrap(), "above");
    }
    // As `/tmp` is: nobody renames what belongs to others.
    set(0o1777);
    Place::open(&state).unwrap();
    set(0o755);
    Place::open(&state).unwrap();
}
