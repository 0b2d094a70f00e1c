//! Content that is too large or too private for a body: kept beside the chain under a salted digest.
//!
//! Invariants: `sha256 = SHA-256(salt || content)` with 16 random bytes of salt, so that what was purged cannot be
//! guessed back from its digest; a blob is durable before the event that names it. Up to 64 KiB lie in the table, more
//! lies compressed in `blobs/`, one file a blob, named by the digest. Left out: purging.

use crate::head::Digest;
use crate::len64;
use crate::place::{Place, PlaceError, sync_dir};
use rusqlite::{Connection, OptionalExtension as _};
use rustix::fs::{Mode, OFlags};
use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use thiserror::Error;

/// Content up to this many bytes lies in the table.
pub const INLINE: usize = 64 << 10;

/// What a body holds of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRef {
    /// `SHA-256(salt || content)`.
    pub sha256: Digest,
    /// Bytes of content.
    pub len: u64,
}

/// Why there is no such content.
#[derive(Debug, Error)]
pub enum BlobError {
    /// Nothing is known under this digest.
    #[error("no blob {0} is known")]
    Unknown(Digest),
    /// The content was removed on purpose.
    #[error("blob {0} was purged")]
    Purged(Digest),
    /// The file is not beside the ledger.
    #[error("the file of blob {0} is not there")]
    Absent(Digest),
    /// The content is not what the digest says.
    #[error("blob {0} is damaged")]
    Damaged(Digest),
    /// The operating system refused.
    #[error("the file of blob {sha256} cannot be used")]
    Io {
        /// Which.
        sha256: Digest,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The directory of blobs cannot be used.
    #[error("the directory of blobs cannot be used")]
    Place(#[source] PlaceError),
    /// The system gives no random bytes.
    #[error("no random bytes for a salt")]
    Salt(#[source] io::Error),
    /// SQLite refused.
    #[error("the table of blobs cannot be read")]
    Sqlite(#[from] rusqlite::Error),
}

/// Content on its way into the ledger: its reference goes into a draft, itself into the same append.
#[derive(Clone)]
pub struct NewBlob {
    reference: BlobRef,
    salt: [u8; 16],
    /// None for content that is kept elsewhere.
    content: Option<Vec<u8>>,
}

impl NewBlob {
    /// Salts and digests `content`.
    ///
    /// # Errors
    /// [`BlobError::Salt`] if the system gives no random bytes.
    pub fn new(content: Vec<u8>) -> Result<Self, BlobError> {
        let (salt, sha256) = salted(&content)?;
        let reference = BlobRef {
            sha256,
            len: len64(content.len()),
        };
        Ok(Self {
            reference,
            salt,
            content: Some(content),
        })
    }

    /// Names content that is kept elsewhere: the ledger holds its salt, and not itself.
    #[must_use]
    pub fn elsewhere(reference: BlobRef, salt: [u8; 16]) -> Self {
        Self {
            reference,
            salt,
            content: None,
        }
    }

    /// The content that `content` reads: in the ledger when it is small, else left where it is.
    ///
    /// # Errors
    /// What reading meets, and [`io::Error`] if the system gives no random bytes.
    pub fn read(mut content: impl io::Read) -> io::Result<Self> {
        let mut salt = [0; 16];
        random(&mut salt)?;
        let mut sum = Sha256::new().chain_update(salt);
        let mut kept = Vec::new();
        let mut len = 0;
        let mut chunk = vec![0; INLINE];
        loop {
            let n = match content.read(&mut chunk) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            sum.update(&chunk[..n]);
            len += len64(n);
            if kept.len() <= INLINE {
                kept.extend_from_slice(&chunk[..n]);
            }
        }
        Ok(Self {
            reference: BlobRef {
                sha256: Digest::from_bytes(sum.finalize().into()),
                len,
            },
            salt,
            content: (kept.len() <= INLINE).then_some(kept),
        })
    }

    /// What the body is to hold.
    #[must_use]
    pub fn reference(&self) -> BlobRef {
        self.reference
    }

    /// The content of a blob that gets a file of its own.
    fn large(&self) -> Option<&[u8]> {
        self.content.as_deref().filter(|c| c.len() > INLINE)
    }

    /// Makes the file of a large blob durable; does nothing for a small one.
    pub(crate) fn write_file(&self, place: &Place) -> Result<(), BlobError> {
        let Some(content) = self.large() else {
            return Ok(());
        };
        let sha256 = self.reference.sha256;
        let dir = place.make_blobs_dir().map_err(BlobError::Place)?;
        let fresh = dir.join(format!(".{sha256}.{}", std::process::id()));
        let write = || {
            let flags = OFlags::CREATE
                | OFlags::TRUNC
                | OFlags::WRONLY
                | OFlags::NOFOLLOW
                | OFlags::CLOEXEC;
            let file = File::from(rustix::fs::open(&fresh, flags, Mode::from_raw_mode(0o600))?);
            let mut encoder = zstd::stream::write::Encoder::new(file, 0)?;
            encoder.write_all(content)?;
            encoder.finish()?.sync_all()?;
            fs::rename(&fresh, dir.join(sha256.to_string()))
        };
        write().map_err(|source| {
            drop(fs::remove_file(&fresh));
            BlobError::Io { sha256, source }
        })?;
        sync_dir(&dir).map_err(BlobError::Place)
    }

    /// Takes back the file of an append that provably did not happen.
    pub(crate) fn remove_file(&self, place: &Place) {
        if self.large().is_some() {
            // What stays is unreachable and harmless; the append's own error matters more.
            drop(fs::remove_file(
                place.blobs_path().join(self.reference.sha256.to_string()),
            ));
        }
    }

    /// The row, in the transaction of the event that names it.
    pub(crate) fn insert(&self, conn: &Connection) -> Result<(), rusqlite::Error> {
        let data = self.content.as_deref().filter(|c| c.len() <= INLINE);
        let len = i64::try_from(self.reference.len).unwrap_or(i64::MAX);
        conn.prepare_cached("INSERT INTO blob(sha256, salt, len, data) VALUES (?1, ?2, ?3, ?4)")?
            .execute((self.reference.sha256.as_bytes(), self.salt, len, data))?;
        Ok(())
    }
}

impl std::fmt::Debug for NewBlob {
    /// Without the content, which may be private.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.reference.fmt(out)
    }
}

/// Fills `bytes` with random ones.
pub(crate) fn random(bytes: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        done += getrandom(&mut bytes[done..], GetRandomFlags::empty())?;
    }
    Ok(())
}

/// Draws a salt, and digests `content` with it.
///
/// # Errors
/// [`BlobError::Salt`] if the system gives no random bytes.
pub fn salted(content: &[u8]) -> Result<([u8; 16], Digest), BlobError> {
    let mut salt = [0; 16];
    random(&mut salt).map_err(BlobError::Salt)?;
    Ok((salt, salted_digest(&salt, content)))
}

/// `SHA-256(salt || content)`.
#[must_use]
pub fn salted_digest(salt: &[u8; 16], content: &[u8]) -> Digest {
    digest(salt, content)
}

fn digest(salt: &[u8], content: &[u8]) -> Digest {
    Digest::from_bytes(
        Sha256::new()
            .chain_update(salt)
            .chain_update(content)
            .finalize()
            .into(),
    )
}

/// A row of the table of blobs.
pub(crate) struct Stored {
    pub(crate) salt: Option<Vec<u8>>,
    pub(crate) len: i64,
    pub(crate) data: Option<Vec<u8>>,
}

/// The salt of what is named so; none once it was purged.
pub(crate) fn salt(conn: &Connection, sha256: Digest) -> Result<Option<[u8; 16]>, BlobError> {
    let salt: Option<Vec<u8>> = conn
        .prepare_cached("SELECT salt FROM blob WHERE sha256 = ?1")?
        .query_row([sha256.as_bytes()], |row| row.get(0))
        .optional()?
        .ok_or(BlobError::Unknown(sha256))?;
    salt.map(|s| <[u8; 16]>::try_from(s).map_err(|_| BlobError::Damaged(sha256)))
        .transpose()
}

/// The content under `sha256`, checked.
pub(crate) fn get(conn: &Connection, blobs: &Path, sha256: Digest) -> Result<Vec<u8>, BlobError> {
    conn.prepare_cached("SELECT salt, len, data FROM blob WHERE sha256 = ?1")?
        .query_row([sha256.as_bytes()], |row| {
            Ok(Stored {
                salt: row.get(0)?,
                len: row.get(1)?,
                data: row.get(2)?,
            })
        })
        .optional()?
        .ok_or(BlobError::Unknown(sha256))?
        .content(blobs, sha256)
}

impl Stored {
    /// The content of this row, checked.
    pub(crate) fn content(self, blobs: &Path, sha256: Digest) -> Result<Vec<u8>, BlobError> {
        let len = u64::try_from(self.len).map_err(|_| BlobError::Damaged(sha256))?;
        let (salt, content) = match (self.salt, self.data) {
            (None, None) => return Err(BlobError::Purged(sha256)),
            (Some(salt), Some(data)) => (salt, data),
            (Some(salt), None) => (salt, read_file(blobs, sha256, len)?),
            (None, Some(_)) => return Err(BlobError::Damaged(sha256)),
        };
        if salt.len() == 16 && len64(content.len()) == len && digest(&salt, &content) == sha256 {
            Ok(content)
        } else {
            Err(BlobError::Damaged(sha256))
        }
    }
}

fn read_file(blobs: &Path, sha256: Digest, len: u64) -> Result<Vec<u8>, BlobError> {
    let path = blobs.join(sha256.to_string());
    let file = match rustix::fs::open(
        &path,
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) => return Err(BlobError::Absent(sha256)),
        Err(error) => {
            return Err(BlobError::Io {
                sha256,
                source: error.into(),
            });
        }
    };
    let mut content = Vec::new();
    // A file that unpacks to more than it should is damage, and not a reason to run out of memory.
    zstd::stream::read::Decoder::new(file)
        .and_then(|decoder| {
            decoder
                .take(len.saturating_add(1))
                .read_to_end(&mut content)
        })
        .map_err(|_| BlobError::Damaged(sha256))?;
    Ok(content)
}
