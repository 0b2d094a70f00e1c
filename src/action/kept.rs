//! Former content, kept for an undo: bytes in `undo/` of the state directory, named by a salted digest.
//!
//! Invariants: the bytes are durable before the event that names them; the salt travels with that event into the
//! ledger's table of blobs, so that a purge makes the digest useless to whoever wants to guess the content; what comes
//! back has the digest that was recorded, or does not come back. The files are 0600 and hold nothing but the bytes.

pub use crate::attempt::spool::{Blob, Kept};

use super::{Context, Error};
use crate::system::durable::{Temporary, replace};
use serde::Deserialize;
use sha2::Digest as _;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek as _, Write};
use std::path::{Path, PathBuf};
use upledger_ledger::{Digest, salted};

/// The largest content that is taken into memory.
const LIMIT: u64 = 64 << 20;

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

    /// Keeps a whole file for the undo, whatever its size. In a preview nothing is written.
    ///
    /// # Errors
    /// [`Error`] when it cannot be read, changes meanwhile, or cannot be made durable.
    pub fn keep_file(&self, file: &mut File) -> Result<Kept, Error> {
        let kept = self.fingerprint(file)?;
        if self.inert {
            return Ok(kept);
        }
        let (path, salt) = (self.kept_at(&kept), self.salt(&kept)?);
        let copy = |to: &mut File| {
            file.rewind()?;
            match pour(&salt, file, to)? {
                (found, _) if found == kept.blob => Ok(()),
                _ => Err(io::Error::other("it has changed while it was read")),
            }
        };
        self.make_undo_path()?;
        replace(&path, Temporary::Random, 0o600, copy)
            .map_err(|e: io::Error| Error::io(format!("cannot write {}", path.display()), &e))?;
        Ok(kept)
    }

    /// Names content that is not kept, so that what is found later can be compared with it without a trace of it in the
    /// record. Reads it to its end, whatever its size.
    ///
    /// # Errors
    /// [`Error`] when it cannot be read.
    pub fn fingerprint(&self, content: &mut dyn Read) -> Result<Kept, Error> {
        let (salt, _) =
            salted(&[]).map_err(|e| Error::io("the system gives no random bytes", &e))?;
        let (blob, len) = pour(&salt, content, &mut io::sink())
            .map_err(|e| Error::io("cannot read what is to be compared later", &e))?;
        let kept = Kept { blob, len };
        self.keeping(Blob {
            kept: kept.clone(),
            salt,
        });
        Ok(kept)
    }

    /// Whether these bytes are the content that was kept, or only named by [`Context::fingerprint`].
    ///
    /// # Errors
    /// [`Error`] when that can no longer be told: its salt was purged.
    pub fn is_kept(&self, kept: &Kept, bytes: &[u8]) -> Result<bool, Error> {
        let salt = self.salt(kept)?;
        Ok(bytes.len() as u64 == kept.len && digest(&salt, bytes) == kept.blob)
    }

    /// The salt of what was kept.
    ///
    /// # Errors
    /// [`Error`] when it was purged.
    pub(crate) fn salt(&self, kept: &Kept) -> Result<[u8; 16], Error> {
        self.salt_of(kept).ok_or_else(|| {
            let path = self.kept_at(kept);
            Error::new(format!(
                "the kept content {} has no salt: it was purged",
                path.display()
            ))
        })
    }

    /// Its path.
    #[must_use]
    pub fn kept_at(&self, kept: &Kept) -> PathBuf {
        self.undo_path().join(&kept.blob)
    }

    /// `undo/` in the state directory, which need not be there yet. Every file in it is named by an event.
    #[must_use]
    pub fn undo_path(&self) -> PathBuf {
        self.state.join("undo")
    }

    /// Makes the same, where only the runner's user may look.
    ///
    /// # Errors
    /// [`Error`] when it cannot be made.
    pub fn make_undo_path(&self) -> Result<PathBuf, Error> {
        let dir = self.undo_path();
        make(&dir).map_err(|e| Error::io(format!("cannot make {}", dir.display()), &e))?;
        Ok(dir)
    }

    /// The bytes that were kept.
    ///
    /// # Errors
    /// [`Error`] when they are gone, or not the same.
    pub fn kept(&self, kept: &Kept) -> Result<Vec<u8>, Error> {
        let file = self.open_kept(kept)?;
        let mut bytes = Vec::new();
        let read = file.take(LIMIT + 1).read_to_end(&mut bytes);
        let path = self.kept_at(kept);
        read.map_err(|e| Error::io(format!("cannot read {}", path.display()), &e))?;
        Ok(bytes)
    }

    /// The same to be read piece by piece, whatever their size.
    ///
    /// # Errors
    /// [`Error`] when they are gone, or not the same.
    pub fn open_kept(&self, kept: &Kept) -> Result<File, Error> {
        let path = self.kept_at(kept);
        let cannot = |what: &str| Error::new(format!("the kept content {} {what}", path.display()));
        let salt = self.salt(kept)?;
        let read = || {
            let mut file = File::open(&path)?;
            let (found, _) = pour(&salt, &mut file, &mut io::sink())?;
            file.rewind()?;
            Ok::<_, io::Error>((file, found))
        };
        match read() {
            Ok((file, found)) if found == kept.blob => Ok(file),
            Ok(_) => Err(cannot("is damaged")),
            Err(e) if e.kind() == ErrorKind::NotFound => Err(cannot("is gone")),
            Err(e) => Err(Error::io(format!("cannot read {}", path.display()), &e)),
        }
    }
}

/// `SHA-256(salt || content)`, lower-case hex.
pub(crate) fn digest(salt: &[u8], content: &[u8]) -> String {
    hex(sha2::Sha256::new_with_prefix(salt).chain_update(content))
}

fn hex(hash: sha2::Sha256) -> String {
    Digest::from_bytes(hash.finalize().into()).to_string()
}

/// Copies to the end: the same of what passed, and its length in bytes.
pub(crate) fn pour(
    salt: &[u8],
    from: &mut dyn Read,
    to: &mut dyn Write,
) -> io::Result<(String, u64)> {
    let (mut hash, mut len) = (sha2::Sha256::new_with_prefix(salt), 0);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = match from.read(&mut buffer) {
            Ok(0) => return Ok((hex(hash), len)),
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        hash.update(&buffer[..n]);
        to.write_all(&buffer[..n])?;
        len += n as u64;
    }
}

fn make(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    make(dir)?;
    replace(path, Temporary::Random, 0o600, |file| file.write_all(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(dir: &Path) -> Context {
        Context {
            state: dir.into(),
            ..Context::default()
        }
    }

    #[test]
    fn content_is_known_by_its_salt_and_two_digests_of_it_differ() {
        let dir = tempfile::tempdir().unwrap();
        let cx = context(dir.path());
        let kept = cx.keep(b"secret").unwrap();
        assert_ne!(kept, cx.keep(b"secret").unwrap());
        assert_eq!(cx.kept(&kept).unwrap(), b"secret");
        let named = cx.fingerprint(&mut &b"secret"[..]).unwrap();
        assert!(!cx.kept_at(&named).exists());
        for name in [&kept, &named] {
            assert!(cx.is_kept(name, b"secret").unwrap());
            assert!(!cx.is_kept(name, b"Secret").unwrap());
            assert!(!cx.is_kept(name, b"").unwrap());
        }
        // The salts go into the ledger, and are still known here.
        let salts = cx.take_kept();
        assert_eq!((salts.len(), cx.take_kept().len()), (3, 0));
        assert!(cx.is_kept(&kept, b"secret").unwrap());

        let later = Context {
            blobs: salts,
            ..context(dir.path())
        };
        assert!(later.is_kept(&named, b"secret").unwrap());
        let purged = context(dir.path());
        for why in [
            purged.is_kept(&kept, b"secret").unwrap_err(),
            purged.kept(&kept).unwrap_err(),
        ] {
            assert!(why.to_string().contains("was purged"), "{why}");
        }
    }

    #[test]
    fn a_preview_writes_nothing_and_compares_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let cx = Context {
            inert: true,
            ..context(dir.path())
        };
        let kept = cx.keep(b"former").unwrap();
        assert!(cx.is_kept(&kept, b"former").unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
