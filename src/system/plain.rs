//! Opening a file that must be a plain one: no link that somebody put in its place is followed, no pipe is waited for.
//!
//! Left out: links on the way to its directory, and who could put one there (`host::files::trust`).

use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Why it was not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotPlain {
    /// Its name leads elsewhere.
    #[error("it is a link")]
    Link,
    /// A directory, a pipe, a socket, a device.
    #[error("it is not a plain file")]
    Other,
    /// The system refuses, or there is none.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Opens it as `options` say, and says what it is.
pub(crate) fn open(options: &mut OpenOptions, path: &Path) -> Result<(File, Metadata), NotPlain> {
    let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed();
    let file = options.custom_flags(flags).open(path).map_err(|e| {
        match e.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::LOOP) => NotPlain::Link,
            // A pipe that nobody reads, or a socket.
            Some(Errno::NXIO | Errno::ISDIR) => NotPlain::Other,
            _ => NotPlain::Io(e),
        }
    })?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(NotPlain::Other);
    }
    Ok((file, found))
}

/// Why a file that others must not get at was not read.
#[derive(Debug)]
pub(crate) enum Guarded {
    /// A directory, a pipe, a socket, a device.
    Other,
    /// Others have a permission that they must not have.
    Mode,
    /// It is longer than it may be.
    TooLong,
    /// The system refuses, or there is none.
    Io(io::Error),
}

/// Reads a file on which others have none of these permissions. A link is followed: whoever may switch it may name another
/// file. A pipe of that name is not waited for.
pub(crate) fn guarded(path: &str, others: u32, longest: u64) -> Result<Vec<u8>, Guarded> {
    let mut options = File::options();
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let opened = options.read(true).custom_flags(flags).open(path);
    let file = opened.map_err(Guarded::Io)?;
    let meta = file.metadata().map_err(Guarded::Io)?;
    if !meta.is_file() {
        return Err(Guarded::Other);
    }
    if meta.mode() & others != 0 {
        return Err(Guarded::Mode);
    }
    let mut bytes = Vec::new();
    let read = file.take(longest + 1).read_to_end(&mut bytes);
    match read.map_err(Guarded::Io)? as u64 > longest {
        true => Err(Guarded::TooLong),
        false => Ok(bytes),
    }
}

/// Whether an open file still has that name: it was neither removed nor replaced.
pub(crate) fn has_name(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    match path.symlink_metadata() {
        Ok(there) => Ok((there.dev(), there.ino()) == (own.dev(), own.ino())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    #[test]
    fn only_a_plain_file_is_opened_and_nothing_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("file"), "x").unwrap();
        std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
        mknodat(
            CWD,
            path("pipe"),
            FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        for writes in [false, true] {
            let open = |name: &str| open(File::options().read(!writes).write(writes), &path(name));
            assert_eq!(open("file").unwrap().1.len(), 1);
            assert!(matches!(open("link"), Err(NotPlain::Link)));
            for other in ["pipe", "socket", "."] {
                let found = open(other);
                assert!(matches!(found, Err(NotPlain::Other)), "{other}: {found:?}");
            }
            let none = open("none");
            assert!(matches!(none, Err(NotPlain::Io(e)) if e.kind() == io::ErrorKind::NotFound));
        }
    }
}
