//! Where processes listen: TCP ports and sockets in the file system, from `/proc`.
//!
//! Left out: other network namespaces, UDP, and abstract sockets, which leave nothing behind.

use crate::action::Error;
use crate::host::process::identity::Ident;
use crate::host::process::list;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

/// How long a knock at a socket may take.
const KNOCK: Duration = Duration::from_secs(2);

/// The TCP ports that these processes accept on, in order.
pub(crate) fn of(processes: &[Ident]) -> Vec<u16> {
    let inodes = inodes(processes);
    let mut ports = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        // Where there is no IPv6, there is no second table.
        let text = std::fs::read_to_string(table).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, local, _, "0A", ..] = fields.as_slice() else {
                continue;
            };
            let port = local
                .rsplit_once(':')
                .and_then(|(_, p)| u16::from_str_radix(p, 16).ok());
            if fields.get(9).is_some_and(|inode| inodes.contains(*inode)) {
                ports.extend(port);
            }
        }
    }
    ports.into_iter().collect()
}

/// Sockets in the file system that these processes accept on.
pub(crate) fn sockets(processes: &[Ident]) -> Vec<String> {
    let inodes = inodes(processes);
    let text = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let mut found = BTreeSet::new();
    for line in text.lines().skip(1) {
        // Num RefCount Protocol Flags Type St Inode Path; the flag says that it accepts.
        let fields: Vec<&str> = line.split_whitespace().collect();
        if let [_, _, _, "00010000", _, _, inode, path] = fields.as_slice()
            && path.starts_with('/')
            && inodes.contains(*inode)
        {
            found.insert((*path).to_owned());
        }
    }
    found.into_iter().collect()
}

fn inodes(processes: &[Ident]) -> BTreeSet<String> {
    processes
        .iter()
        .filter(|p| p.alive())
        .filter_map(|p| std::fs::read_dir(format!("/proc/{}/fd", p.pid)).ok())
        .flatten()
        .flatten()
        .filter_map(|fd| std::fs::read_link(fd.path()).ok())
        .filter_map(|to| {
            let inode = to.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(inode.to_owned())
        })
        .collect()
}

/// The first of these ports that somebody accepts on, in a sentence that names who.
///
/// # Errors
/// [`Error`] when the sockets cannot be read.
pub(crate) fn open(ports: &[u16]) -> Result<Option<String>, Error> {
    for port in ports {
        let listeners = list::listeners(*port)?;
        if !listeners.is_empty() {
            let who: Vec<String> = listeners.iter().map(ToString::to_string).collect();
            return Ok(Some(format!(
                "port {port} is still open: {}",
                who.join("; ")
            )));
        }
    }
    Ok(None)
}

/// The first of these ports that nobody accepts on.
///
/// # Errors
/// [`Error`] when the sockets cannot be read.
pub(crate) fn closed(ports: &[u16]) -> Result<Option<u16>, Error> {
    for port in ports {
        if list::listeners(*port)?.is_empty() {
            return Ok(Some(*port));
        }
    }
    Ok(None)
}

/// What stands at the path of a socket in the file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Door {
    /// Nothing.
    Gone,
    /// A socket whose service has ended.
    Dead,
    /// A socket that somebody accepts on, or is about to.
    Accepts,
    /// It cannot be told, and why.
    Untold(String),
}

/// Knocks at a socket in the file system. The kernel's table knows it only by the name that its service gave it, which may
/// be another one: relative, below a link, renamed since.
pub(crate) fn knock(path: &str) -> Door {
    match std::fs::metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Door::Gone,
        Err(e) => return Door::Untold(format!("{path} cannot be inspected: {e}")),
        Ok(m) if !m.file_type().is_socket() => {
            return Door::Untold(format!("{path} is not a socket"));
        }
        Ok(_) => {}
    }
    let (tx, rx) = mpsc::channel();
    let knocked = path.to_owned();
    // A thread, because a connection waits for as long as the queue of its service is full.
    std::thread::spawn(move || {
        // Nobody listens any more when it took too long.
        let _ = tx.send(UnixStream::connect(knocked).map(drop));
    });
    match rx.recv_timeout(KNOCK) {
        Ok(Err(e)) => match e.kind() {
            ErrorKind::ConnectionRefused => Door::Dead,
            ErrorKind::NotFound => Door::Gone,
            ErrorKind::PermissionDenied => {
                Door::Untold(format!("{path} cannot be connected to: {e}"))
            }
            // A socket of another type has its service; whatever else it is, it is not known to be dead.
            _ => Door::Accepts,
        },
        Ok(Ok(())) | Err(_) => Door::Accepts,
    }
}

/// Sockets in the file system whose service has ended.
pub(crate) fn leftover(sockets: &[String]) -> Vec<String> {
    sockets
        .iter()
        .filter(|path| knock(path) == Door::Dead)
        .cloned()
        .collect()
}

/// Removes a socket that [`leftover`] named.
///
/// # Errors
/// [`Error`] when it cannot be removed.
pub(crate) fn remove(socket: &str) -> Result<(), Error> {
    match std::fs::remove_file(Path::new(socket)) {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            Err(Error::io(format!("cannot remove the socket {socket}"), &e))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A child that another test has forked holds our sockets, too, until its program starts.
    fn soon(holds: impl Fn() -> bool) -> bool {
        (0..500).any(|_| {
            let held = holds();
            if !held {
                std::thread::sleep(Duration::from_millis(10));
            }
            held
        })
    }

    #[test]
    fn a_process_is_asked_where_it_listens_and_a_dead_socket_is_known() {
        let own = Ident::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        let own = std::slice::from_ref(&own);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.sock").display().to_string();
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        let unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(of(own).contains(&port));
        assert!(sockets(own).contains(&path));
        assert!(leftover(std::slice::from_ref(&path)).is_empty());
        assert!(open(&[port]).unwrap().unwrap().contains("still open"));
        drop((tcp, unix));
        assert!(!of(own).contains(&port));
        assert_eq!(closed(&[port]).unwrap(), Some(port));
        assert!(soon(|| leftover(std::slice::from_ref(&path)).len() == 1));
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(leftover(&[path]).is_empty());
    }

    #[test]
    fn a_socket_is_known_by_a_knock_and_not_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let bound = dir.path().join("bound.sock");
        let unix = std::os::unix::net::UnixListener::bind(&bound).unwrap();
        // supervisord binds one name and links it to another; `/var/run` is a link.
        let linked = dir.path().join("linked.sock").display().to_string();
        std::fs::hard_link(&bound, &linked).unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("run")).unwrap();
        let through = dir.path().join("run/bound.sock").display().to_string();
        for path in [&linked, &through] {
            assert_eq!(knock(path), Door::Accepts, "{path}");
        }
        drop(unix);
        for path in [&linked, &through] {
            assert!(soon(|| knock(path) == Door::Dead), "{path}");
        }
        let file = dir.path().join("file").display().to_string();
        assert_eq!(knock(&file), Door::Gone);
        std::fs::write(&file, "").unwrap();
        assert!(matches!(knock(&file), Door::Untold(_)));
    }
}
