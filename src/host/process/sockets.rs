//! Where processes listen, and who listens where: TCP ports and sockets in the file system.
//!
//! Left out: other network namespaces, UDP, and abstract sockets, which leave nothing behind.

use crate::action::Error;
use crate::host::process::identity::Ident;
use crate::host::process::list::Proc;
use crate::system::proc;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

/// How long a knock at a socket may take.
const KNOCK: Duration = Duration::from_secs(2);

/// A TCP socket of this machine that accepts connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listener {
    /// Where.
    pub(crate) address: SocketAddr,
    /// Who holds it, as far as we may see. A socket is of one machine, so that processes of containers count.
    pub(crate) holders: Vec<Proc>,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if self.holders.is_empty() {
            return f.write_str(" by a process that we may not see");
        }
        for (n, holder) in self.holders.iter().enumerate() {
            write!(f, "{} {holder}", if n == 0 { " by" } else { "," })?;
        }
        Ok(())
    }
}

/// Who listens on a TCP port of this machine, on any of its addresses.
///
/// # Errors
/// [`Error`] when the sockets cannot be read.
pub(crate) fn listeners(port: u16) -> Result<Vec<Listener>, Error> {
    let mut open = proc::listening().map_err(|e| Error::io("cannot read /proc/net/tcp", &e))?;
    open.retain(|socket| socket.address.port() == port);
    // Whoever has it is looked for only where there is something to have.
    let mut holders = match open.as_slice() {
        [] => BTreeMap::new(),
        open => holders(&open.iter().map(|socket| socket.inode).collect()),
    };
    let one = |socket: proc::Listening| Listener {
        address: socket.address,
        holders: holders.remove(&socket.inode).unwrap_or_default(),
    };
    Ok(open.into_iter().map(one).collect())
}

/// Which processes hold which sockets. Without the right to look it names nobody.
fn holders(sockets: &BTreeSet<u64>) -> BTreeMap<u64, Vec<Proc>> {
    let mut holders: BTreeMap<u64, Vec<Proc>> = BTreeMap::new();
    for pid in proc::pids().unwrap_or_default() {
        let held: BTreeSet<u64> = proc::sockets(pid).filter(|i| sockets.contains(i)).collect();
        for inode in held {
            let command = proc::words(pid).join(" ");
            holders
                .entry(inode)
                .or_default()
                .push(Proc { pid, command });
        }
    }
    holders
}

/// The TCP ports that these processes accept on, in order.
pub(crate) fn of(processes: &[Ident]) -> Vec<u16> {
    let inodes = inodes(processes);
    let open = proc::listening().unwrap_or_default().into_iter();
    let theirs = open.filter(|socket| inodes.contains(&socket.inode));
    let ports: BTreeSet<u16> = theirs.map(|socket| socket.address.port()).collect();
    ports.into_iter().collect()
}

/// Sockets in the file system that these processes accept on.
pub(crate) fn sockets(processes: &[Ident]) -> Vec<String> {
    let inodes = inodes(processes);
    let open = proc::listening_unix().into_iter();
    let theirs = open.filter(|(inode, _)| inodes.contains(inode));
    let paths: BTreeSet<String> = theirs.map(|(_, path)| path).collect();
    paths.into_iter().collect()
}

/// That process has none of the sockets that the other one accepts on, so that it takes no new connection.
pub(crate) fn has_closed(process: &Ident, of: &Ident) -> bool {
    let mut open = inodes(std::slice::from_ref(of));
    let tcp = proc::listening().unwrap_or_default();
    let unix = proc::listening_unix();
    open.retain(|i| tcp.iter().any(|t| t.inode == *i) || unix.iter().any(|(u, _)| u == i));
    !open.is_empty() && inodes(std::slice::from_ref(process)).is_disjoint(&open)
}

/// That process serves a connection that was accepted on one of these ports or sockets.
pub(crate) fn serves(process: &Ident, ports: &[u16], paths: &[String]) -> bool {
    let own = inodes(std::slice::from_ref(process));
    proc::accepted(ports, paths).iter().any(|i| own.contains(i))
}

fn inodes(processes: &[Ident]) -> BTreeSet<u64> {
    let alive = processes.iter().filter(|p| p.alive());
    alive.flat_map(|p| proc::sockets(p.pid)).collect()
}

/// The first of these ports that somebody accepts on, in a sentence that names who.
///
/// # Errors
/// [`Error`] when the sockets cannot be read.
pub(crate) fn open(ports: &[u16]) -> Result<Option<String>, Error> {
    for port in ports {
        let listeners = listeners(*port)?;
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
        if listeners(*port)?.is_empty() {
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
    let knocker = std::thread::Builder::new().spawn(move || {
        // Nobody listens any more when it took too long.
        let _ = tx.send(UnixStream::connect(knocked).map(drop));
    });
    if let Err(e) = knocker {
        return Door::Untold(format!("{path} cannot be connected to: {e}"));
    }
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
