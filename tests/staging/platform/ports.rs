//! Free ports, below the range from which the kernel takes ports for outgoing connections.
//!
//! A port is taken by a lock on a file of its number, for as long as the platform lives: no second platform of any
//! test process gets it, and no connection of anybody can be on it by chance.

use std::fs::{File, OpenOptions};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 20_000;
const MANY: u16 = 10_000;

/// The ports of one platform.
#[derive(Debug)]
pub(crate) struct Ports {
    pub(crate) nginx: u16,
    pub(crate) gunicorn: u16,
    pub(crate) mariadb: u16,
    pub(crate) redis: u16,
    pub(crate) rabbit: u16,
    pub(crate) epmd: u16,
    pub(crate) erlang: u16,
    _locks: Vec<File>,
}

impl Ports {
    pub(super) fn take() -> Self {
        let mut locks = Vec::new();
        let mut next = || {
            let (port, lock) = one();
            locks.push(lock);
            port
        };
        Self {
            nginx: next(),
            gunicorn: next(),
            mariadb: next(),
            redis: next(),
            rabbit: next(),
            epmd: next(),
            erlang: next(),
            _locks: locks,
        }
    }
}

/// A port on which nobody listens, and the lock that keeps it ours.
pub(crate) fn one() -> (u16, File) {
    // Test processes begin at different places, so that they do not all try the same ones.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() * 61 % u32::from(MANY)).expect("small");
    let dir = std::env::temp_dir().join("upledger-ports");
    std::fs::create_dir_all(&dir).expect("a directory of locks");
    for _ in 0..MANY {
        let port = FIRST + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % MANY;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join(port.to_string()))
            .expect("a lock file");
        if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return (port, lock);
        }
    }
    panic!("no free port from {FIRST} on");
}
