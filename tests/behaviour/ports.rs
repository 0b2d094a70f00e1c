//! Free ports, below the range from which the kernel takes ports for outgoing connections.
//!
//! A port is taken by a lock on a file of its number, until this test process ends: no other test of any process gets it,
//! and no connection of anybody can be on it by chance.

use std::fs::OpenOptions;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 20_000;
const MANY: u16 = 10_000;

/// A port on which nobody listens.
pub(crate) fn free_port() -> u16 {
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
            // The end of the process closes it.
            std::mem::forget(lock);
            return port;
        }
    }
    panic!("no free port from {FIRST} on");
}
