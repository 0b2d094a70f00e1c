//! Who holds a lock on the ledger's file, as the kernel tells it.
//!
//! Invariant: only a guess for people; nothing is decided by it. The holder may have gone by the time it is named.
//! Left out: waiting, which SQLite does.

use std::fmt;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// A process that holds a lock on the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub pid: u32,
    /// Its command line, shortened; empty if it cannot be read.
    pub command: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "process {}", self.pid)?;
        if self.command.is_empty() {
            Ok(())
        } else {
            write!(out, " ({})", self.command)
        }
    }
}

/// `, held by …` for an error's text.
pub(crate) fn by(holder: Option<&Holder>) -> String {
    holder
        .map(|holder| format!(", held by {holder}"))
        .unwrap_or_default()
}

/// Who holds a lock on `path`; a writer before a reader, another process before this one.
pub(crate) fn holder(path: &Path) -> Option<Holder> {
    let file = fs::symlink_metadata(path).ok()?;
    // The kernel gives the list out in pieces and can skip a lock while others come and go.
    let pid = (0..8).find_map(|_| find(&file))?;
    Some(Holder {
        pid,
        command: command(pid),
    })
}

fn find(file: &Metadata) -> Option<u32> {
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let device = format!(
        "{:02x}:{:02x}",
        rustix::fs::major(file.dev()),
        rustix::fs::minor(file.dev())
    );
    let holders = locks
        .lines()
        .filter_map(parse)
        .filter(|lock| lock.inode == file.ino());
    // On btrfs and overlays the kernel names another device than stat does; then the inode has to do.
    holders
        .map(|lock| {
            (
                lock.device != device,
                lock.pid == std::process::id(),
                !lock.write,
                lock.pid,
            )
        })
        .min()
        .map(|(.., pid)| pid)
}

struct Lock<'a> {
    write: bool,
    pid: u32,
    device: &'a str,
    inode: u64,
}

/// `1: POSIX  ADVISORY  WRITE 708 08:01:1837 1073741824 1073742335`; a waiter has `->` after the number.
fn parse(line: &str) -> Option<Lock<'_>> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    if fields.get(1) == Some(&"->") {
        return None;
    }
    let (device, inode) = fields.get(5)?.rsplit_once(':')?;
    Some(Lock {
        write: *fields.get(3)? == "WRITE",
        pid: fields.get(4)?.parse().ok()?,
        device,
        inode: inode.parse().ok()?,
    })
}

fn command(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line: String = String::from_utf8_lossy(&bytes)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(120)
        .collect();
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_lines() {
        let lock = parse("1: POSIX  ADVISORY  WRITE 708 08:01:1837 1073741824 1073742335").unwrap();
        assert_eq!(
            (lock.write, lock.pid, lock.device, lock.inode),
            (true, 708, "08:01", 1837)
        );
        assert!(parse("1: -> POSIX  ADVISORY  WRITE 709 08:01:1837 0 EOF").is_none());
        assert!(parse("2: OFDLCK ADVISORY  READ -1 08:01:1837 0 EOF").is_none());
        assert!(parse("").is_none());
    }
}
