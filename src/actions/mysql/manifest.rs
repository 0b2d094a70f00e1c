//! What a backup consists of: a directory with a compressed dump of each schema, and a manifest that says what they hold.
//!
//! Invariants: the digest of the manifest is in the record, those of the dumps are in the manifest, so that a restore trusts
//! nothing else; the directory gets its name when all in it is complete, verified and durable, and never changes then.

use super::inventory::Inventory;
use crate::action::Error;
use crate::host::files::disk;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The name of the manifest in the directory.
pub(super) const NAME: &str = "manifest.json";

/// What a backup consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// The version of this form.
    pub(super) format: u32,
    /// The server that was dumped.
    pub(super) server: String,
    /// Its version.
    pub(super) server_version: String,
    /// The dump program, as it says itself.
    pub(super) client: String,
    /// The backup was restored into a scratch schema, and the copy compared.
    pub(super) verified: bool,
    /// Tables that were written during the backup, by `schema.table`.
    pub(super) written: Vec<String>,
    /// The schemas.
    pub(super) schemas: Vec<Schema>,
}

/// A schema in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Schema {
    /// Its name.
    pub(super) name: String,
    /// Its dump, in the directory.
    pub(super) file: String,
    /// SHA-256 of that file.
    pub(super) sha256: String,
    /// Its size in bytes.
    pub(super) bytes: u64,
    /// The size of the dump without compression.
    pub(super) plain_bytes: u64,
    /// The size of its largest statement in bytes.
    pub(super) largest: u64,
    /// The table of that statement.
    pub(super) largest_table: String,
    /// What it holds.
    pub(super) inventory: Inventory,
}

impl Manifest {
    /// Of a backup's directory, with its digest.
    ///
    /// # Errors
    /// [`Error`] when it is not there, or cannot be understood.
    pub(super) fn read(directory: &Path) -> Result<(Self, String), Error> {
        let path = directory.join(NAME);
        let bytes = std::fs::read(&path)
            .map_err(|e| Error::io(format!("cannot read {}", path.display()), &e))?;
        let manifest: Self = serde_json::from_slice(&bytes)
            .map_err(|e| Error::io(format!("{} cannot be understood", path.display()), &e))?;
        Ok((manifest, disk::digest(&bytes)))
    }

    /// The same, where it has that digest, and the dumps have theirs.
    ///
    /// # Errors
    /// [`Error`] naming the file that is not what it was.
    pub(super) fn verified(directory: &Path, digest: &str) -> Result<Self, Error> {
        let (manifest, found) = Self::read(directory)?;
        if found != digest {
            return Err(Error::new(format!(
                "{} is not the manifest of the backup: its SHA-256 is {found}, and {digest} was recorded",
                directory.join(NAME).display()
            )));
        }
        manifest.check_files(directory)?;
        Ok(manifest)
    }

    /// Compares the dumps with their digests.
    ///
    /// # Errors
    /// [`Error`] naming the file that is not what it was.
    pub(super) fn check_files(&self, directory: &Path) -> Result<(), Error> {
        for schema in &self.schemas {
            let path = schema.path(directory);
            let (digest, bytes) = disk::digest_of(&path)?
                .ok_or_else(|| Error::new(format!("the dump {} does not exist", path.display())))?;
            if digest != schema.sha256 {
                return Err(Error::new(format!(
                    "the dump {} is damaged: it has {bytes} bytes and the SHA-256 {digest}, and {} bytes with {} were recorded",
                    path.display(),
                    schema.bytes,
                    schema.sha256
                ))
                .remedy("use another backup, or another copy of this file"));
            }
        }
        Ok(())
    }

    /// The names of the schemas.
    pub(super) fn names(&self) -> Vec<String> {
        self.schemas.iter().map(|s| s.name.clone()).collect()
    }

    /// The largest statement, and `schema.table`.
    pub(super) fn largest(&self) -> (u64, String) {
        let largest = self.schemas.iter().max_by_key(|s| s.largest);
        largest.map_or((0, String::new()), |s| {
            (s.largest, format!("{}.{}", s.name, s.largest_table))
        })
    }
}

impl Schema {
    /// Its dump.
    pub(super) fn path(&self, directory: &Path) -> PathBuf {
        directory.join(&self.file)
    }
}
