//! What is made once and used by every platform: by `repository`, `virtualenv`, `database`.
//!
//! Each lies in `target/staging/NAME-DIGEST`. The digest covers what it is made of and how, so that a change makes a
//! new one; a lock lets one thread of one process make it; it gets its name when it is whole.

use super::tools::Call;
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

/// `target/staging`.
pub(crate) fn staging() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("target");
    target.join("staging")
}

pub(super) fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/staging/project")
}

/// Copies a template into a platform.
pub(super) fn copy(from: &Path, to: &Path) {
    Call::new("cp").args([Path::new("-a"), from, to]).run();
}

/// Keeps the logs of a failed test's platform in `target/staging/failed`, as well as it can.
pub(super) fn keep_logs(platform: &Path) {
    let failed = staging().join("failed");
    let name = platform.file_name().unwrap_or_default();
    let copied = std::fs::create_dir_all(&failed).and_then(|()| {
        std::process::Command::new("cp")
            .arg("-r")
            .args([platform.join("log"), failed.join(name)])
            .status()
    });
    // The test has failed already, and that is what it must tell.
    drop(copied);
}

/// Copies a layer of the project over what is there.
pub(super) fn lay(from: &Path, over: &Path) {
    std::fs::create_dir_all(over).expect("made");
    Call::new("cp")
        .args([Path::new("-r"), &from.join("."), over])
        .run();
}

/// Makes it when it is not there yet.
pub(super) fn once(name: &str, digest: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let staging = staging();
    std::fs::create_dir_all(&staging).expect("made");
    let whole = staging.join(format!("{name}-{digest}"));
    if whole.exists() {
        return whole;
    }
    let lock: File = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(staging.join(format!("{name}.lock")))
        .expect("a lock file");
    lock.lock().expect("locked");
    if !whole.exists() {
        // Virtualenvs know their own place, so what is made there is made under its last name's neighbour and rewritten.
        let new = staging.join(format!("{name}.new"));
        remove(&new);
        make(&new);
        for old in siblings(&staging, name) {
            remove(&old);
        }
        settle(&new, &whole);
        std::fs::rename(&new, &whole).expect("renamed");
    }
    whole
}

/// Earlier makings of the same thing.
fn siblings(staging: &Path, name: &str) -> Vec<PathBuf> {
    std::fs::read_dir(staging)
        .expect("target/staging")
        .flatten()
        .filter(|e| {
            let file = e.file_name();
            let digest = file
                .to_str()
                .and_then(|f| f.strip_prefix(name)?.strip_prefix('-'));
            digest.is_some_and(|d| d.len() == 16 && d.bytes().all(|b| b.is_ascii_hexdigit()))
        })
        .map(|e| e.path())
        .collect()
}

/// Scripts of a virtualenv name its place in their first lines.
fn settle(new: &Path, whole: &Path) {
    let (from, to) = (new.to_str().expect("text"), whole.to_str().expect("text"));
    for entry in std::fs::read_dir(new.join("bin"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let is_file = entry.file_type().is_ok_and(|t| t.is_file());
        if let (true, Ok(text)) = (is_file, std::fs::read_to_string(entry.path())) {
            std::fs::write(entry.path(), text.replace(from, to)).expect("written");
        }
    }
}

fn remove(dir: &Path) {
    if dir.exists() {
        std::fs::remove_dir_all(dir).expect("removed");
    }
}

/// A digest of files, of all files below directories, and of how they are used.
pub(super) fn digest(paths: &[&Path], how: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(how);
    let mut open: Vec<PathBuf> = paths.iter().map(|p| (*p).to_owned()).collect();
    let mut files = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(
                std::fs::read_dir(&path)
                    .expect("read")
                    .flatten()
                    .map(|e| e.path()),
            );
        } else {
            files.push(path);
        }
    }
    files.sort();
    for file in files {
        hash.update(file.to_str().expect("text"));
        hash.update(std::fs::read(&file).expect("read"));
    }
    hash.finalize()
        .iter()
        .take(8)
        .map(|b| format!("{b:02x}"))
        .collect()
}
