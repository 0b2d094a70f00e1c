//! Where processes listen: TCP ports and sockets in the file system, from `/proc`.
//!
//! Left out: other network namespaces, UDP, and abstract sockets, which leave nothing behind.

use crate::actions::Trouble;
use crate::actions::process::identity::Ident;
use crate::actions::procs;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

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

/// The sockets in the file system that these processes accept on.
pub(crate) fn sockets(processes: &[Ident]) -> Vec<String> {
    let inodes = inodes(processes);
    listening(|inode| inodes.contains(inode))
}

/// Sockets in the file system that accept, of those inodes.
fn listening(wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let text = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let mut found = BTreeSet::new();
    for line in text.lines().skip(1) {
        // Num RefCount Protocol Flags Type St Inode Path; the flag says that it accepts.
        let fields: Vec<&str> = line.split_whitespace().collect();
        if let [_, _, _, "00010000", _, _, inode, path] = fields.as_slice()
            && path.starts_with('/')
            && wanted(inode)
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
/// [`Trouble`] when the sockets cannot be read.
pub(crate) fn open(ports: &[u16]) -> Result<Option<String>, Trouble> {
    for port in ports {
        let listeners = procs::listeners(*port)?;
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
/// [`Trouble`] when the sockets cannot be read.
pub(crate) fn closed(ports: &[u16]) -> Result<Option<u16>, Trouble> {
    for port in ports {
        if procs::listeners(*port)?.is_empty() {
            return Ok(Some(*port));
        }
    }
    Ok(None)
}

/// Sockets in the file system whose service has ended.
pub(crate) fn leftover(sockets: &[String]) -> Vec<String> {
    let live = listening(|_| true);
    sockets
        .iter()
        .filter(|path| !live.contains(path))
        .filter(|path| {
            std::fs::symlink_metadata(path.as_str()).is_ok_and(|m| m.file_type().is_socket())
        })
        .cloned()
        .collect()
}

/// Removes a socket that [`leftover`] named.
///
/// # Errors
/// [`Trouble`] when it cannot be removed.
pub(crate) fn remove(socket: &str) -> Result<(), Trouble> {
    match std::fs::remove_file(Path::new(socket)) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Trouble::io(
            format!("cannot remove the socket {socket}"),
            &e,
        )),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(leftover(std::slice::from_ref(&path)).len(), 1);
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(leftover(&[path]).is_empty());
    }
}
