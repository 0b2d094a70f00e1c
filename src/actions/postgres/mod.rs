//! PostgreSQL: backups that are proved by restoring them, and restores that drop nothing before the new copy is proved.
//!
//! Invariants: a backup counts when a dump of a copy that was restored from it holds the same objects and rows; a restore
//! trusts nothing but the files whose digests the record holds, and loads them into a database of another name, which takes
//! the place of the former one when it is the same as the backup; what a kill leaves behind is recognised by the next
//! attempt. Left out: clusters as a whole (roles, tablespaces), and copies of data directories.

pub mod backup;
mod contents;
pub mod expect;
mod manifest;
mod properties;
mod refusals;
pub mod restore;
mod scratch;

/// The database to which statements about others are sent.
fn maintenance() -> String {
    "postgres".into()
}
