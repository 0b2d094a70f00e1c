//! The digest of this program's file, which stands beside each event.
//!
//! The file has tens of megabytes, and a command takes milliseconds: the digest is computed once for each version of the
//! file, and kept in the state directory with what the kernel says of it. Whoever may write there may write the ledger, too.
//!
//! Invariants: what is kept is used only for the same file, unchanged; a file that changed a moment ago is not kept,
//! because a further change could bear the same time; what cannot be read or written costs time, nothing else.

use super::hex;
use crate::system::plain;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{File, Metadata};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Once, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

/// The file's name in the state directory.
const NAME: &str = "program";
/// For how long a change may bear the time of another one, in seconds.
const MOMENT: i64 = 3;
/// The length of what is kept, at most.
const LONGEST: u64 = 4096;

/// One version of a file, as the kernel knows it, and its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// The same of the last change of anything, which nobody can set.
    changed: (i64, i64),
    sha256: String,
}

impl Kept {
    fn is_of(&self, file: &Metadata) -> bool {
        *self == Self::of(file, self.sha256.clone())
    }

    fn of(file: &Metadata, sha256: String) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
            sha256,
        }
    }

    fn read(state: &Path) -> Option<Self> {
        let (file, _) = plain::open(File::options().read(true), &state.join(NAME)).ok()?;
        let mut text = Vec::new();
        file.take(LONGEST).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// A part of it that a crash left is no JSON.
    fn write(&self, state: &Path) -> Option<()> {
        let mut options = File::options();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let (mut file, _) = plain::open(options, &state.join(NAME)).ok()?;
        file.write_all(&serde_json::to_vec(self).ok()?).ok()
    }
}

/// The digest, and what is to be kept of it because nothing was.
struct Found {
    digest: String,
    new: Option<Kept>,
}

static FOUND: OnceLock<Option<Found>> = OnceLock::new();

/// SHA-256 of this program's file, as the state directory has it, or computed.
#[must_use]
pub fn program_digest(state: &Path) -> Option<String> {
    let find = || find(&mut File::open("/proc/self/exe").ok()?, state);
    FOUND.get_or_init(find).as_ref().map(|f| f.digest.clone())
}

/// Keeps a digest that was computed, for the commands after this one; for who has just written to the state directory.
pub fn keep_program_digest(state: &Path) {
    static KEPT: Once = Once::new();
    KEPT.call_once(|| {
        if let Some(Some(Found { new: Some(new), .. })) = FOUND.get() {
            new.write(state);
        }
    });
}

fn find(file: &mut File, state: &Path) -> Option<Found> {
    let before = file.metadata().ok()?;
    if let Some(kept) = Kept::read(state).filter(|kept| kept.is_of(&before)) {
        return Some(Found {
            digest: kept.sha256,
            new: None,
        });
    }
    let mut sum = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        match file.read(&mut chunk).ok()? {
            0 => break,
            n => sum.update(&chunk[..n]),
        }
    }
    let digest = hex(&sum.finalize());
    let new = Kept::of(&before, digest.clone());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    let now = now.and_then(|now| i64::try_from(now.as_secs()).ok());
    let rests = now.is_some_and(|now| before.ctime().saturating_add(MOMENT) < now);
    let same = file.metadata().is_ok_and(|after| new.is_of(&after));
    Some(Found {
        digest,
        new: (rests && same).then_some(new),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_digest_is_computed_once_for_each_version_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let (state, path) = (dir.path(), dir.path().join("a program"));
        let found = || find(&mut File::open(&path).unwrap(), state).unwrap();
        std::fs::write(&path, "one").unwrap();
        assert_eq!(found().digest, hex(&Sha256::digest("one")));
        assert_eq!(found().new, None, "it changed a moment ago");

        std::thread::sleep(Duration::from_secs(5));
        let new = found().new.expect("to be kept");
        assert_eq!(new.sha256, hex(&Sha256::digest("one")));
        let marked = Kept {
            sha256: "as it was kept".into(),
            ..new
        };
        marked.write(state).unwrap();
        assert_eq!(found().digest, "as it was kept");
        assert_eq!(found().new, None);

        std::fs::write(&path, "two").unwrap();
        assert_eq!(found().digest, hex(&Sha256::digest("two")));
        for damaged in ["", "{\"device\":1", "[]"] {
            std::fs::write(state.join(NAME), damaged).unwrap();
            assert_eq!(found().digest, hex(&Sha256::digest("two")));
        }
    }
}
