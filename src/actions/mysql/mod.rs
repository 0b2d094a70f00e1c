//! MariaDB and MySQL: backups that are proved by restoring them, and restores that refuse before they destroy.
//!
//! Invariants: a backup counts when a copy that was restored from it holds the same objects and rows; a restore trusts
//! nothing but the files whose digests the record holds; all that can refuse refuses before the first destructive
//! statement; what a kill leaves behind (a scratch schema, a locked account, half a restore) is recognised by the next
//! attempt and cleared or finished. Left out: binary copies of data directories, and point-in-time recovery.

mod accounts;
pub mod backup;
pub mod expect;
mod floats;
mod inventory;
mod load;
mod making;
mod manifest;
mod others;
mod privileges;
pub mod query;
mod refusals;
pub mod restore;
mod schemas;
mod scratch;
mod write;

pub use refusals::Manner;

use crate::host::mysql::ServerError;
use std::time::Duration;

/// The time limit of a statement that looks.
const LIMIT: Duration = Duration::from_secs(30);

/// The server's error says that the account may not do it.
fn is_denied(e: &ServerError) -> bool {
    matches!(e.number, Some(1044 | 1045 | 1142 | 1143 | 1227 | 1370))
}
