//! The one reader of `/proc`: what the kernel says about processes and sockets.
//!
//! Invariants: a process that ends while it is read, or that may not be seen, reads as none, or as an error where the
//! caller has to know; a field is read only when it is asked for, and a kernel that leaves out another one does no harm.
//! What is read by a number is of whoever has that number at this moment: whoever acts on it compares the start time
//! (`host::process::identity`). Command lines and environments are raw and may hold secrets.
//!
//! Left out: the process's own limits and mounts, UDP, and other network namespaces.

mod open;

pub(crate) use open::{Opened, locks, mapped_to_write};

use crate::encoding;
use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn path(pid: i32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

/// What `/proc/PID/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    state: char,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    pub(crate) session: i32,
    /// In clock ticks since the boot.
    pub(crate) starttime: u64,
}

impl Stat {
    /// Of a process; none when there is none of that number.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(path(pid, "stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // The name in brackets may hold anything, brackets too.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            starttime: fields.get(19)?.parse().ok()?,
        })
    }

    /// It does nothing until it is told to go on, and never forks meanwhile.
    pub(crate) fn stopped(&self) -> bool {
        matches!(self.state, 'T' | 't')
    }

    /// It runs, or could: the dead that nobody has waited for are still listed.
    pub(crate) fn lives(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// What `/proc/PID/status` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// The effective user and group.
    pub(crate) euid: u32,
    pub(crate) egid: u32,
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
    /// What the modes of its new files lack; kernels before 4.7 do not say.
    pub(crate) umask: Option<u32>,
    /// The signals that it ignores, and those that it handles, one bit each.
    pub(crate) ignored: u64,
    pub(crate) handled: u64,
    /// Its number as it sees it itself: another one inside a container.
    pub(crate) inner: Option<i32>,
}

impl Status {
    /// Of a process.
    ///
    /// # Errors
    /// When there is none of that number, or it may not be seen.
    pub(crate) fn of(pid: i32) -> io::Result<Self> {
        Ok(Self::parse(&std::fs::read_to_string(path(pid, "status"))?))
    }

    /// Of this process.
    ///
    /// # Errors
    /// When there is no `/proc`.
    pub(crate) fn own() -> io::Result<Self> {
        Ok(Self::parse(&std::fs::read_to_string("/proc/self/status")?))
    }

    fn parse(text: &str) -> Self {
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .unwrap_or_default()
        };
        let numbers = |name: &str| -> Vec<u32> {
            let words = field(name).split_whitespace();
            words.filter_map(|w| w.parse().ok()).collect()
        };
        // Real, effective, saved, and that of the file system.
        let effective = |name: &str| numbers(name).get(1).copied().unwrap_or_default();
        let mask = |name: &str| u64::from_str_radix(field(name).trim(), 16).unwrap_or_default();
        Self {
            euid: effective("Uid"),
            egid: effective("Gid"),
            groups: numbers("Groups"),
            umask: u32::from_str_radix(field("Umask").trim(), 8).ok(),
            ignored: mask("SigIgn"),
            handled: mask("SigCgt"),
            inner: field("NSpid")
                .split_whitespace()
                .last()
                .and_then(|n| n.parse().ok()),
        }
    }
}

/// It does nothing until somebody lets it: it is stopped, or its control group is frozen.
pub(crate) fn is_held(pid: i32) -> bool {
    let frozen = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (kind, group) = (parts.next()?, parts.next()?.trim_start_matches('/'));
        let root = Path::new("/sys/fs/cgroup");
        let (file, word) = match kind {
            "" => (root.join(group).join("cgroup.events"), "frozen 1"),
            "freezer" => (root.join(kind).join(group).join("freezer.state"), "FROZEN"),
            _ => return None,
        };
        let text = std::fs::read_to_string(file).ok()?;
        Some(text.lines().any(|line| line == word))
    };
    Stat::of(pid).is_some_and(|stat| stat.stopped())
        || cgroups(pid).lines().filter_map(frozen).any(|frozen| frozen)
}

/// The numbers of all processes.
///
/// # Errors
/// When there is no `/proc`.
pub(crate) fn pids() -> io::Result<Vec<i32>> {
    let listed = std::fs::read_dir("/proc")?.flatten();
    Ok(listed
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .collect())
}

/// All processes, the dead that nobody has waited for among them.
pub(crate) fn every() -> impl Iterator<Item = (i32, Stat)> {
    pids()
        .unwrap_or_default()
        .into_iter()
        .filter_map(|pid| Some((pid, Stat::of(pid)?)))
}

/// The number that was given last, where the kernel says it.
pub(crate) fn last_pid() -> Option<i32> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().last()?.parse().ok()
}

/// The words of a command line; none of a thread of the kernel, and of what has ended. A program that shows a title
/// leaves zeros behind it, which are no words. Bytes that are no text are escaped: no other words read the same.
pub(crate) fn words(pid: i32) -> Vec<String> {
    let bytes = std::fs::read(path(pid, "cmdline")).unwrap_or_default();
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
    if end == 0 {
        return Vec::new();
    }
    bytes[..end]
        .split(|b| *b == 0)
        .map(encoding::escaped)
        .collect()
}

/// The name that a process has, which it may have given itself.
pub(crate) fn name(pid: i32) -> Option<String> {
    let name = std::fs::read_to_string(path(pid, "comm")).ok()?;
    Some(name.trim_end().to_owned())
}

/// Gives this process a name.
///
/// # Errors
/// When the kernel does not let it.
pub(crate) fn rename_self(name: &str) -> io::Result<()> {
    std::fs::write("/proc/self/comm", name)
}

/// From here on this process leaves no core dump, whatever its limit of core dumps and whoever collects them. A program
/// that it executes is a new one.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn forbid_core_dump() -> io::Result<()> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// The file that it executes; of somebody else's process it may not be seen.
///
/// # Errors
/// When it has ended or may not be looked into.
pub(crate) fn exe(pid: i32) -> io::Result<PathBuf> {
    path(pid, "exe").read_link()
}

/// The file that this process executes.
///
/// # Errors
/// When there is no `/proc`.
pub(crate) fn own_exe() -> io::Result<PathBuf> {
    Path::new("/proc/self/exe").read_link()
}

/// Its working directory.
///
/// # Errors
/// As for [`exe`].
pub(crate) fn cwd(pid: i32) -> io::Result<PathBuf> {
    path(pid, "cwd").read_link()
}

/// The directory that it takes for `/`.
///
/// # Errors
/// As for [`exe`].
pub(crate) fn root(pid: i32) -> io::Result<PathBuf> {
    path(pid, "root").read_link()
}

/// Its user and group.
///
/// # Errors
/// When it has ended.
pub(crate) fn owner(pid: i32) -> io::Result<(u32, u32)> {
    let meta = std::fs::metadata(format!("/proc/{pid}"))?;
    Ok((meta.uid(), meta.gid()))
}

/// Its namespace of process numbers, which names the container that it runs in. None where it may not be seen.
pub(crate) fn container(pid: i32) -> Option<PathBuf> {
    path(pid, "ns/pid").read_link().ok()
}

/// The control groups of this process.
///
/// # Errors
/// When there is no `/proc`.
pub(crate) fn own_cgroups() -> io::Result<String> {
    std::fs::read_to_string("/proc/self/cgroup")
}

/// The control groups of a process as the kernel lists them, one line for each hierarchy; empty where there is no such
/// process.
pub(crate) fn cgroups(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default()
}

/// The environment that it was started with, as far as it may be seen.
pub(crate) fn environ(pid: i32) -> Vec<(OsString, OsString)> {
    let bytes = std::fs::read(path(pid, "environ")).unwrap_or_default();
    bytes
        .split(|b| *b == 0)
        .filter_map(|entry| {
            let at = entry.iter().position(|b| *b == b'=').filter(|at| *at > 0)?;
            let part = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
            Some((part(&entry[..at]), part(&entry[at + 1..])))
        })
        .collect()
}

/// The names by which its open files can be looked at, as far as they may be seen.
pub(crate) fn descriptors(pid: i32) -> impl Iterator<Item = PathBuf> {
    let listed = std::fs::read_dir(path(pid, "fd"));
    listed.into_iter().flatten().flatten().map(|fd| fd.path())
}

/// Its mount namespace; none where it may not be seen.
pub(crate) fn mount_namespace(pid: i32) -> Option<PathBuf> {
    std::fs::read_link(path(pid, "ns/mnt")).ok()
}

/// Its mounts, as `proc_pid_mountinfo(5)` says; empty where they may not be seen.
pub(crate) fn mountinfo(pid: i32) -> String {
    std::fs::read_to_string(path(pid, "mountinfo")).unwrap_or_default()
}

/// What its open files are, word for word: a path, `pipe:[…]`, `socket:[…]`.
pub(crate) fn open_files(pid: i32) -> impl Iterator<Item = PathBuf> {
    descriptors(pid).filter_map(|fd| fd.read_link().ok())
}

/// What one of its open files is.
pub(crate) fn open_file(pid: i32, fd: u32) -> Option<PathBuf> {
    path(pid, "fd").join(fd.to_string()).read_link().ok()
}

/// The numbers of this process's open files.
///
/// # Errors
/// When there is no `/proc`.
pub(crate) fn own_descriptors() -> io::Result<Vec<i32>> {
    let listed = std::fs::read_dir("/proc/self/fd")?.flatten();
    Ok(listed
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .collect())
}

/// The name by which others of its user open what a process has as its standard output.
pub(crate) fn standard_output(pid: u32) -> String {
    format!("/proc/{pid}/fd/1")
}

/// The sockets that it holds, by their inodes.
pub(crate) fn sockets(pid: i32) -> impl Iterator<Item = u64> {
    open_files(pid).filter_map(|to| {
        let inode = to.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
        inode.parse().ok()
    })
}

/// The files that it has mapped, libraries among them, as far as they may be seen.
pub(crate) fn mapped(pid: i32) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(path(pid, "maps")).unwrap_or_default();
    text.lines()
        .filter_map(|line| Some(PathBuf::from(&line[line.find('/')?..])))
        .collect()
}

/// How long a process has lived that started at that time, in clock ticks since the boot.
pub(crate) fn age(starttime: u64) -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/uptime").ok()?;
    let up: f64 = text.split_whitespace().next()?.parse().ok()?;
    let up = Duration::try_from_secs_f64(up).ok()?;
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let started = Duration::from_millis(starttime.saturating_mul(1000) / ticks);
    Some(up.saturating_sub(started))
}

/// A TCP socket that accepts connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    pub(crate) inode: u64,
}

impl Listening {
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // Slot, local address, remote address, state (0A accepts), …, inode.
        let [_, local, _, "0A", ..] = fields.as_slice() else {
            return None;
        };
        let (host, port) = local.rsplit_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        // Each four bytes are one number in the order of this machine.
        let mut bytes = Vec::new();
        for at in (0..host.len()).step_by(8) {
            let word = u32::from_str_radix(host.get(at..at + 8)?, 16).ok()?;
            bytes.extend(word.to_ne_bytes());
        }
        let host = match <[u8; 4]>::try_from(bytes.as_slice()) {
            Ok(v4) => IpAddr::V4(Ipv4Addr::from(v4)),
            Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        };
        Some(Self {
            address: SocketAddr::new(host, port),
            inode: fields.get(9)?.parse().ok()?,
        })
    }
}

/// The connections that were accepted on these TCP ports and on these sockets in the file system, by their inodes.
pub(crate) fn accepted(ports: &[u16], paths: &[String]) -> Vec<u64> {
    const ESTABLISHED: &str = "01";
    let tcp = ["/proc/net/tcp", "/proc/net/tcp6"].map(std::fs::read_to_string);
    let tcp = tcp.into_iter().flatten().collect::<String>();
    let mut all: Vec<u64> = tcp
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, local, _, ESTABLISHED, ..] = fields.as_slice() else {
                return None;
            };
            let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
            fields
                .get(9)?
                .parse()
                .ok()
                .filter(|_| ports.contains(&port))
        })
        .collect();
    let unix = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    all.extend(unix.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields.as_slice() {
            [_, _, _, "00000000", _, "03", inode, path] if paths.iter().any(|p| p == path) => {
                inode.parse::<u64>().ok()
            }
            _ => None,
        }
    }));
    all
}

/// All TCP sockets that accept connections.
///
/// # Errors
/// When they cannot be read.
pub(crate) fn listening() -> io::Result<Vec<Listening>> {
    let mut text = std::fs::read_to_string("/proc/net/tcp")?;
    match std::fs::read_to_string("/proc/net/tcp6") {
        Ok(more) => text.push_str(&more),
        // A kernel without IPv6.
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    Ok(text.lines().filter_map(Listening::parse).collect())
}

/// All sockets in the file system that accept connections: inode, and the name that each was bound to.
pub(crate) fn listening_unix() -> Vec<(u64, String)> {
    let text = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let one = |line: &str| {
        // Num RefCount Protocol Flags Type St Inode Path; the flag says that it accepts.
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields.as_slice() {
            [_, _, _, "00010000", _, _, inode, path] if path.starts_with('/') => {
                Some((inode.parse().ok()?, (*path).to_owned()))
            }
            _ => None,
        }
    };
    text.lines().skip(1).filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let text = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        let stat = Stat::parse(text).unwrap();
        assert_eq!((stat.state, stat.parent, stat.session), ('S', 1, 3));
        assert_eq!((stat.group, stat.starttime), (2, 4711));
    }

    #[test]
    fn a_status_is_read_by_the_names_of_its_fields() {
        let text = "Name:\tUid:\t9\nUmask:\t0027\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t6 33 \n\
                    NSpid:\t4711\t12\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001003\nSigCgt:\t0000000000000201\n";
        let status = Status {
            euid: 2,
            egid: 6,
            groups: vec![6, 33],
            umask: Some(0o027),
            ignored: 0x1003,
            handled: 0x201,
            inner: Some(12),
        };
        assert_eq!(Status::parse(text), status);
        assert_eq!(Status::parse(""), Status::default());
        assert_eq!(Status::own().unwrap(), {
            let pid = i32::try_from(std::process::id()).unwrap();
            Status::of(pid).unwrap()
        });
    }

    #[test]
    fn an_address_is_read_in_both_families() {
        let line = |address: &str| {
            format!(
                "   0: {address}:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1"
            )
        };
        let read = |address: &[u8]| {
            let words = address.chunks_exact(4);
            let hex: String = words
                .map(|w| format!("{:08X}", u32::from_ne_bytes(w.try_into().unwrap())))
                .collect();
            let socket = Listening::parse(&line(&hex)).unwrap();
            assert_eq!(socket.inode, 4711);
            socket.address.to_string()
        };
        assert_eq!(read(&[127, 0, 0, 1]), "127.0.0.1:8080");
        assert_eq!(read(&Ipv6Addr::LOCALHOST.octets()), "[::1]:8080");
        let established = line("0100007F").replace(" 0A ", " 01 ");
        assert_eq!(Listening::parse(&established), None);
        assert_eq!(
            Listening::parse("  sl  local_address rem_address   st"),
            None
        );
    }

    #[test]
    fn this_process_reads_as_it_is() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(pids().unwrap().contains(&pid));
        assert!(every().any(|(p, stat)| p == pid && stat.lives()));
        let given: Vec<String> = std::env::args().collect();
        assert_eq!(words(pid), given);
        assert_eq!(exe(pid).unwrap(), own_exe().unwrap());
        assert_eq!(cwd(pid).unwrap(), std::env::current_dir().unwrap());
        assert_eq!(owner(pid).unwrap().0, Status::of(pid).unwrap().euid);
        assert!(mapped(pid).contains(&own_exe().unwrap()));
        assert!(age(Stat::of(pid).unwrap().starttime).is_some());
        assert!(last_pid().is_some_and(|last| last > 0));
    }

    #[test]
    fn an_empty_word_stays_and_what_follows_a_title_does_not() {
        let mut sleep = std::process::Command::new("sh")
            .args(["-c", "read x", "", "a b"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let pid = i32::try_from(sleep.id()).unwrap();
        // A process has its own words a moment after it has its own file.
        while words(pid).first().is_none_or(|first| first != "sh") {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(words(pid), ["sh", "-c", "read x", "", "a b"]);
        sleep.kill().unwrap();
        sleep.wait().unwrap();
    }
}
