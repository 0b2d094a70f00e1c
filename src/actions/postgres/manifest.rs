//! What a backup consists of: a directory with one compressed dump, and a manifest that says what it holds.

use super::contents::Contents;
use super::properties::DatabaseProperties;
use crate::action::Error;
use crate::actions::dump;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
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
    /// The backup was restored into a scratch database, and the copy compared.
    pub(super) verified: bool,
    /// The database.
    pub(super) database: String,
    /// What belongs to it and is in no dump.
    pub(super) properties: DatabaseProperties,
    /// What it needs of a server.
    pub(super) needs: Needs,
    /// The dump, in the directory.
    pub(super) file: String,
    /// SHA-256 of that file.
    pub(super) sha256: String,
    /// Its size in bytes.
    pub(super) bytes: u64,
    /// The size of the dump without compression.
    pub(super) plain_bytes: u64,
    /// What it holds.
    pub(super) contents: Contents,
}

/// What a database needs of a server and does not bring.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Needs {
    /// Roles that own something, or have privileges.
    pub(super) roles: BTreeSet<String>,
    /// Extensions with their versions.
    pub(super) extensions: BTreeMap<String, String>,
    /// Tablespaces.
    pub(super) tablespaces: BTreeSet<String>,
}

impl Manifest {
    /// Of a backup's directory, where it has that digest, and the dump has its own.
    ///
    /// # Errors
    /// [`Error`] naming the file that is not what it was.
    pub(super) fn verified(directory: &Path, digest: &str) -> Result<Self, Error> {
        let manifest: Self = dump::recorded_manifest(directory, digest)?;
        manifest.check_file(directory)?;
        Ok(manifest)
    }

    /// Compares the dump with its digest.
    ///
    /// # Errors
    /// [`Error`] naming it.
    pub(super) fn check_file(&self, directory: &Path) -> Result<(), Error> {
        dump::same_file(&self.path(directory), &self.sha256, self.bytes)
    }

    /// The dump.
    pub(super) fn path(&self, directory: &Path) -> PathBuf {
        directory.join(&self.file)
    }
}
