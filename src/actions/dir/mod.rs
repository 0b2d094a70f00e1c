//! Data directories, such as what users have uploaded: [`backup`] and [`restore`].
//!
//! Invariants: a directory is known by one digest of names, kinds, modes, owners, contents, links and times of files
//! (`host::files::tree`); a copy that does not have it is no copy; a directory is replaced as a whole, at once, and what was
//! there before is kept beside it; what patterns leave out is neither copied nor replaced. Left out: several hard links of one
//! file, and devices.

pub mod backup;
pub mod restore;

use crate::action::Error;
use std::path::Path;

/// Refuses a copy for which there is no room.
fn has_room(place: &Path, bytes: u64) -> Result<(), Error> {
    let mut at = place;
    // The directory itself may not be there yet.
    while let (false, Some(parent)) = (at.exists(), at.parent()) {
        at = parent;
    }
    let cannot = |e| Error::io(format!("cannot see the free space of {}", at.display()), &e);
    let disk = rustix::fs::statvfs(at).map_err(cannot)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free > bytes {
        return Ok(());
    }
    Err(Error::new(format!(
        "{} has {} MiB free, and the copy needs {} MiB",
        at.display(),
        free >> 20,
        bytes >> 20
    ))
    .remedy("make room, or name a place on another disk"))
}
