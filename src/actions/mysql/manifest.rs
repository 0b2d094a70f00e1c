//! What a backup consists of: a directory with a compressed dump of each schema, and a manifest that says what they hold.
//!
//! Invariants: the digest of the manifest is in the record, those of the dumps are in the manifest, so that a restore trusts
//! nothing else; the directory gets its name when all in it is complete, verified and durable, and never changes then.

use super::inventory::Inventory;
use crate::action::Error;
use crate::actions::dump;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

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
    /// Of a backup's directory, where it has that digest, and the dumps have theirs.
    ///
    /// # Errors
    /// [`Error`] naming the file that is not what it was.
    pub(super) fn verified(directory: &Path, digest: &str) -> Result<Self, Error> {
        let manifest: Self = dump::recorded_manifest(directory, digest)?;
        manifest.check_files(directory)?;
        Ok(manifest)
    }

    /// Compares the dumps with their digests.
    ///
    /// # Errors
    /// [`Error`] naming the file that is not what it was.
    pub(super) fn check_files(&self, directory: &Path) -> Result<(), Error> {
        let mut schemas = self.schemas.iter();
        schemas.try_for_each(|s| dump::same_file(&s.path(directory), &s.sha256, s.bytes))
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
