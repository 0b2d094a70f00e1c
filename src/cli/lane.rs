//! One stream to the terminal: written at once, or by a thread of its own, so that a reader who does not read never
//! stops a run.
//!
//! Invariants: lines keep their order; a line that must be said is never dropped; memory is bounded by [`LIMIT`] and
//! those lines. A closed pipe is quiet: the work goes on, the words are dropped.

use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

/// Bytes that wait for a reader; what comes beyond is dropped and counted.
const LIMIT: usize = 4 << 20;
/// How long a reader who does not read at all is waited for at the end.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of one write. A blocking write of more would only tell at its end that somebody reads.
const CHUNK: usize = 4096;
/// Between two looks, and between two tries of a stream that does not block.
const PAUSE: Duration = Duration::from_millis(5);

/// Which.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stream {
    Out,
    Err,
}

impl Stream {
    fn fd(self) -> BorrowedFd<'static> {
        match self {
            Self::Out => rustix::stdio::stdout(),
            Self::Err => rustix::stdio::stderr(),
        }
    }

    /// How wide the terminal is that it goes to.
    pub(super) fn columns(self) -> Option<usize> {
        let size = rustix::termios::tcgetwinsize(self.fd()).ok()?;
        Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
    }

    fn write(self, mut bytes: &[u8], written: &AtomicU64) {
        while !bytes.is_empty() {
            let chunk = bytes.get(..CHUNK).unwrap_or(bytes);
            match rustix::io::write(self.fd(), chunk) {
                Ok(n) => {
                    bytes = bytes.get(n..).unwrap_or_default();
                    written.fetch_add(1, Ordering::SeqCst);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => std::thread::sleep(PAUSE),
                // A closed pipe is quiet.
                Err(_) => return,
            }
        }
    }
}

/// Another way into a stream that a thread writes: for drawings, which are left out while nobody reads.
#[derive(Debug, Clone)]
pub(super) struct Brush {
    queue: Sender<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
}

impl Brush {
    pub(super) fn paint(&self, bytes: Vec<u8>) {
        let waiting = self.waiting.load(Ordering::SeqCst);
        if waiting.saturating_add(bytes.len()) <= LIMIT {
            self.waiting.fetch_add(bytes.len(), Ordering::SeqCst);
            // The thread lives as long as the queue.
            let _ = self.queue.send(bytes);
        }
    }
}

/// A stream.
#[derive(Debug)]
pub(super) struct Lane {
    to: Stream,
    thread: Option<Thread>,
    dropped: u64,
}

#[derive(Debug)]
struct Thread {
    queue: Sender<Vec<u8>>,
    /// Bytes that are not written yet.
    waiting: Arc<AtomicUsize>,
    /// Grows with every write that succeeds.
    written: Arc<AtomicU64>,
    /// The reader was given up.
    given_up: bool,
}

impl Lane {
    pub(super) fn new(to: Stream) -> Self {
        Self {
            to,
            thread: None,
            dropped: 0,
        }
    }

    /// From now on a thread writes. Where there can be none, writing blocks as before.
    pub(super) fn background(&mut self) {
        if self.thread.is_some() {
            return;
        }
        let (queue, jobs) = channel::<Vec<u8>>();
        let waiting = Arc::new(AtomicUsize::new(0));
        let written = Arc::new(AtomicU64::new(0));
        let (to, left, grows) = (self.to, Arc::clone(&waiting), Arc::clone(&written));
        let spawned = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || {
                for bytes in jobs {
                    to.write(&bytes, &grows);
                    left.fetch_sub(bytes.len(), Ordering::SeqCst);
                }
            });
        self.thread = spawned.is_ok().then_some(Thread {
            queue,
            waiting,
            written,
            given_up: false,
        });
    }

    /// A way in for drawings, where a thread writes.
    pub(super) fn brush(&self) -> Option<Brush> {
        self.thread.as_ref().map(|t| Brush {
            queue: t.queue.clone(),
            waiting: Arc::clone(&t.waiting),
        })
    }

    /// Says it. What need not be said is dropped while nobody reads; `lost` tells how many lines were.
    pub(super) fn put(&mut self, bytes: Vec<u8>, must: bool, lost: impl FnOnce(u64) -> Vec<u8>) {
        let room = self.thread.as_ref().is_none_or(|t| {
            let waiting = t.waiting.load(Ordering::SeqCst);
            waiting == 0 || waiting.saturating_add(bytes.len()) <= LIMIT
        });
        if !room && !must {
            self.dropped += 1;
            return;
        }
        if self.dropped > 0 {
            let told = lost(self.dropped);
            self.dropped = 0;
            self.send(told);
        }
        self.send(bytes);
    }

    fn send(&mut self, bytes: Vec<u8>) {
        match &self.thread {
            Some(thread) => {
                thread.waiting.fetch_add(bytes.len(), Ordering::SeqCst);
                // The thread lives as long as the queue.
                let _ = thread.queue.send(bytes);
            }
            None => self.to.write(&bytes, &AtomicU64::new(0)),
        }
    }

    /// Waits until everything is written, for as long as somebody reads.
    pub(super) fn flush(&mut self) {
        let Some(thread) = &mut self.thread else {
            return;
        };
        let mut seen = thread.written.load(Ordering::SeqCst);
        let mut since = Instant::now();
        while thread.waiting.load(Ordering::SeqCst) > 0 {
            let now = thread.written.load(Ordering::SeqCst);
            if now != seen {
                (seen, since) = (now, Instant::now());
            } else if thread.given_up || since.elapsed() > PATIENCE {
                thread.given_up = true;
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }
}
