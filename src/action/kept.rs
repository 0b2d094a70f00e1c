//! Former content, kept for an undo: bytes in `undo/` of the state directory, named by a salted digest.
//!
//! Invariants: the bytes are durable before the event that names them; the salt travels with that event into the
//! ledger's table of blobs, so that a purge makes the digest useless to whoever wants to guess the content; what comes
//! back has the digest that was recorded, or does not come back. The files are 0600 and hold nothing but the bytes.

pub use crate::attempt::spool::{Blob, Kept};

use super::{Context, Error};
use serde::Deserialize;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use upledger_ledger::{BlobRef, Digest, NewBlob, salted};

/// The largest content that is taken into memory.
const LIMIT: u64 = 64 << 20;

impl Blob {
    /// As a row of the ledger, without the content.
    ///
    /// # Errors
    /// [`Error`] when its digest is none.
    pub fn row(&self) -> Result<NewBlob, Error> {
        let sha256: Digest = self
            .kept
            .blob
            .parse()
            .map_err(|e| Error::io("a kept content has no digest", &e))?;
        let reference = BlobRef {
            sha256,
            len: self.kept.len,
        };
        Ok(NewBlob::elsewhere(reference, self.salt))
    }
}

impl Kept {
    /// Every kept content that a recorded value names.
    pub fn named_in(value: &serde_json::Value, found: &mut Vec<Self>) {
        use serde_json::Value;
        match value {
            Value::Object(map) => {
                if let Ok(kept) = Self::deserialize(value) {
                    found.push(kept);
                } else {
                    map.values().for_each(|v| Self::named_in(v, found));
                }
            }
            Value::Array(items) => items.iter().for_each(|v| Self::named_in(v, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

impl Context {
    /// Keeps bytes for the undo. In a preview nothing is written.
    ///
    /// # Errors
    /// [`Error`] when they cannot be made durable.
    pub fn keep(&self, bytes: &[u8]) -> Result<Kept, Error> {
        let (salt, digest) =
            salted(bytes).map_err(|e| Error::io("the system gives no random bytes", &e))?;
        let kept = Kept {
            blob: digest.to_string(),
            len: bytes.len() as u64,
        };
        if !self.inert {
            let path = self.kept_at(&kept);
            write(&path, bytes)
                .map_err(|e| Error::io(format!("cannot write {}", path.display()), &e))?;
        }
        self.keeping(Blob {
            kept: kept.clone(),
            salt,
        });
        Ok(kept)
    }

    /// Where it lies.
    #[must_use]
    pub fn kept_at(&self, kept: &Kept) -> PathBuf {
        self.state.join("undo").join(&kept.blob)
    }

    /// The bytes that were kept.
    ///
    /// # Errors
    /// [`Error`] when they are gone, or not the same.
    pub fn kept(&self, kept: &Kept) -> Result<Vec<u8>, Error> {
        let path = self.kept_at(kept);
        let cannot = |what: &str| Error::new(format!("the kept content {} {what}", path.display()));
        let salt = self
            .salt_of(kept)
            .ok_or_else(|| cannot("has no salt: it was purged"))?;
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|f| f.take(LIMIT + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => return Err(cannot("is gone")),
            Err(e) => return Err(Error::io(format!("cannot read {}", path.display()), &e)),
        }
        if upledger_ledger::salted_digest(&salt, &bytes).to_string() == kept.blob {
            Ok(bytes)
        } else {
            Err(cannot("is damaged"))
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let dir = path.parent().unwrap_or(Path::new("/"));
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)?;
    // Its mode is 0600.
    let mut file = tempfile::Builder::new().prefix(".kept-").tempfile_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    File::open(dir)?.sync_all()
}
