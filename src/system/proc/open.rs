//! How processes have files open: to write, locked, mapped.

use super::path;
use std::path::Path;

/// How a process has a file open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Opened {
    /// It may write.
    pub(crate) writes: bool,
    /// It holds a lock on it.
    pub(crate) locks: bool,
}

impl Opened {
    /// Of one of the names that [`descriptors`] gives.
    pub(crate) fn of(pid: i32, descriptor: &Path) -> Option<Self> {
        let number = descriptor.file_name()?;
        let text = std::fs::read_to_string(path(pid, "fdinfo").join(number)).ok()?;
        Some(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let field = |name| text.lines().find_map(|line| line.strip_prefix(name));
        let flags = field("flags:").and_then(|f| i32::from_str_radix(f.trim(), 8).ok());
        Self {
            writes: flags.is_some_and(|f| f & libc::O_ACCMODE != libc::O_RDONLY),
            locks: field("lock:").is_some(),
        }
    }
}

/// A lock on a file: the device and the inode of the file, and the process that holds it, where the kernel names one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lock {
    pub(crate) pid: i32,
    pub(crate) file: (u64, u64),
}

impl Lock {
    fn parse(line: &str) -> Option<Self> {
        // Number, kind, advisory or mandatory, read or write, process, device and inode; an arrow marks one that waits.
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, kind, _, _, pid, of, ..] = fields.as_slice() else {
            return None;
        };
        Some(Self {
            pid: pid.parse().ok().filter(|_| *kind != "->")?,
            file: file(of)?,
        })
    }
}

/// All locks on files.
pub(crate) fn locks() -> Vec<Lock> {
    let text = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    text.lines().filter_map(Lock::parse).collect()
}

/// The files, by device and inode, that it has mapped so that what it writes there reaches them.
pub(crate) fn mapped_to_write(pid: i32) -> Vec<(u64, u64)> {
    let text = std::fs::read_to_string(path(pid, "maps")).unwrap_or_default();
    text.lines().filter_map(mapping).collect()
}

fn mapping(line: &str) -> Option<(u64, u64)> {
    // Addresses, rights, offset, device, inode, path.
    let fields: Vec<&str> = line.split_whitespace().collect();
    let rights = fields.get(1)?.as_bytes();
    let shared = rights.get(1) == Some(&b'w') && rights.get(3) == Some(&b's');
    file(&format!("{}:{}", fields.get(3)?, fields.get(4)?)).filter(|_| shared)
}

/// Device and inode, as the kernel writes them: `fd:01:12`.
fn file(text: &str) -> Option<(u64, u64)> {
    let parts: Vec<&str> = text.split(':').collect();
    let [major, minor, inode] = parts.as_slice() else {
        return None;
    };
    let number = |hex: &str| u32::from_str_radix(hex, 16).ok();
    let device = rustix::fs::makedev(number(major)?, number(minor)?);
    Some((device, inode.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_file_is_open_and_locked_is_read_word_for_word() {
        let opened = |writes, locks| Opened { writes, locks };
        let read = "pos:\t0\nflags:\t0100000\nmnt_id:\t29\n";
        assert_eq!(Opened::parse(read), opened(false, false));
        let write = "pos:\t0\nflags:\t0102002\nmnt_id:\t29\nlock:\t1: POSIX  ADVISORY  WRITE 7 fd:00:12 0 EOF\n";
        assert_eq!(Opened::parse(write), opened(true, true));
        let lock = Lock::parse("1: FLOCK  ADVISORY  WRITE 7 fd:01:12 0 EOF").unwrap();
        let file = (rustix::fs::makedev(0xfd, 1), 12);
        assert_eq!(lock, Lock { pid: 7, file });
        assert_eq!(
            Lock::parse("1: -> FLOCK  ADVISORY  WRITE 7 fd:01:12 0 EOF"),
            None,
            "it waits"
        );
        let mapped = |rights| mapping(&format!("7f00-7f01 {rights} 00000000 fd:01 12 /x"));
        assert_eq!(mapped("rw-s"), Some(file));
        assert_eq!((mapped("rw-p"), mapped("r--s")), (None, None));
    }
}
