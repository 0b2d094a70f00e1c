//! Who a platform belongs to: a lock on a file in it, held while the test process lives.
//!
//! A test process that is killed cannot end its platforms; the next one does, once, before it makes its first.

use super::procs;
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::Once;

/// The beginning of the names of all platforms' directories.
pub(super) const PREFIX: &str = "upledger-staging-";

/// Marks a new directory as ours for as long as the file is open.
pub(super) fn own(dir: &Path) -> File {
    let new = dir.join("owner.new");
    let file = File::create(&new).expect("a lock file");
    file.lock().expect("locked");
    // It gets its name when it is locked, so that nobody finds it free.
    std::fs::rename(&new, dir.join("owner")).expect("renamed");
    file
}

/// Ends and removes the platforms of dead test processes, once in the life of this one.
pub(super) fn sweep() {
    static ONCE: Once = Once::new();
    ONCE.call_once(sweep_now);
}

fn sweep_now() {
    for entry in std::fs::read_dir("/tmp").into_iter().flatten().flatten() {
        let dir = entry.path();
        let named = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let owner = OpenOptions::new().write(true).open(dir.join("owner"));
        if named && owner.is_ok_and(|file| file.try_lock().is_ok()) {
            procs::end_all(&dir);
            // Another test process may be at it as well.
            let _ = std::fs::remove_dir_all(&dir);
        }
    }
}

#[test]
fn what_a_killed_test_process_left_is_swept_and_what_is_owned_is_not() {
    let make = || {
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in("/tmp");
        let dir = dir.expect("a directory").keep();
        let (lock, mut sleep) = (own(&dir), std::process::Command::new("sleep"));
        let child = sleep.arg("600").current_dir(&dir).spawn().expect("sleep");
        (dir, lock, child)
    };
    let (left, lock, mut child) = make();
    let (owned, kept, mut lives) = make();
    drop(lock);
    // A process that another test is just starting may hold a copy of the lock for a moment.
    super::patiently("what is left is swept", || {
        sweep_now();
        !left.exists()
    });
    let swept = child.wait().is_ok_and(|s| s.code().is_none());
    let alone = owned.exists() && lives.try_wait().expect("a child").is_none();
    lives.kill().expect("killed");
    lives.wait().expect("ended");
    std::fs::remove_dir_all(&owned).expect("removed");
    drop(kept);
    assert!(swept && alone, "swept {swept}, left alone {alone}");
}
