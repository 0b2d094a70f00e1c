//! One output stream: written directly, or by a separate thread, so that a slow or blocked reader never stops a run.
//!
//! Invariants: lines keep their order; a mandatory line is never dropped; memory is bounded by [`LIMIT`] plus the mandatory
//! lines. After a closed pipe, output is dropped silently and the work continues. Any other write error is kept for the
//! caller, and nothing is written after it: the output is then truncated, but has no gap.

use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Maximum number of buffered bytes; more output is dropped and counted.
const LIMIT: usize = 4 << 20;
/// How long to wait at the end for a reader that does not read.
const PATIENCE: Duration = Duration::from_secs(2);
/// Maximum size of one write. A larger blocking write would report progress only at its end.
const CHUNK: usize = 4096;
/// The polling interval, and the retry interval of a non-blocking stream.
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

    /// It is a terminal.
    pub(super) fn is_terminal(self) -> bool {
        rustix::termios::isatty(self.fd())
    }

    /// How wide the terminal is that it goes to.
    pub(super) fn columns(self) -> Option<usize> {
        let size = rustix::termios::tcgetwinsize(self.fd()).ok()?;
        Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
    }

    fn write(self, mut bytes: &[u8], so_far: &SoFar) {
        while !bytes.is_empty() && so_far.failed.get().is_none() {
            let chunk = bytes.get(..CHUNK).unwrap_or(bytes);
            match rustix::io::write(self.fd(), chunk) {
                Ok(0) => so_far.fail(Errno::IO),
                Ok(n) => {
                    bytes = bytes.get(n..).unwrap_or_default();
                    so_far.written.fetch_add(1, Ordering::SeqCst);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => std::thread::sleep(PAUSE),
                // The reader has closed the pipe; a named pipe may get another reader.
                Err(Errno::PIPE) => return,
                Err(e) => so_far.fail(e),
            }
        }
    }
}

/// What became of what was written.
#[derive(Debug, Default)]
struct SoFar {
    /// Grows with every write that succeeds.
    written: AtomicU64,
    /// Why nothing more can be written.
    failed: OnceLock<Errno>,
}

impl SoFar {
    fn fail(&self, why: Errno) {
        // Report the first failure.
        let _ = self.failed.set(why);
    }
}

/// A second sender to a stream with a writer thread: for drawings, which are skipped while the reader is blocked.
#[derive(Debug, Clone)]
pub(super) struct StreamHandle {
    queue: Sender<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
}

impl StreamHandle {
    pub(super) fn write(&self, bytes: Vec<u8>) {
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
pub(super) struct OutputStream {
    to: Stream,
    thread: Option<Thread>,
    dropped: u64,
    so_far: Arc<SoFar>,
}

#[derive(Debug)]
struct Thread {
    queue: Sender<Vec<u8>>,
    /// Bytes that are not written yet.
    waiting: Arc<AtomicUsize>,
    /// The reader was abandoned.
    given_up: bool,
}

impl OutputStream {
    pub(super) fn new(to: Stream) -> Self {
        Self {
            to,
            thread: None,
            dropped: 0,
            so_far: Arc::default(),
        }
    }

    /// Why nothing more can be written, unless the reader closed the pipe.
    pub(super) fn failed(&self) -> Option<Errno> {
        self.so_far.failed.get().copied()
    }

    /// Somebody else has written to it, and could not.
    pub(super) fn fail(&mut self, why: Errno) {
        if why != Errno::PIPE {
            self.so_far.fail(why);
        }
    }

    /// A file has taken what was written only once it is on its disk: some file systems find out late that there is no
    /// room for it.
    pub(super) fn settle(&mut self) {
        let fd = self.to.fd();
        let file = rustix::fs::fstat(fd)
            .is_ok_and(|s| rustix::fs::FileType::from_raw_mode(s.st_mode).is_file());
        if file && let Err(e @ (Errno::NOSPC | Errno::DQUOT | Errno::IO)) = rustix::fs::fsync(fd) {
            self.so_far.fail(e);
        }
    }

    /// Switches to a writer thread. If none can be started, writing blocks as before.
    pub(super) fn background(&mut self) {
        if self.thread.is_some() {
            return;
        }
        let (queue, jobs) = channel::<Vec<u8>>();
        let waiting = Arc::new(AtomicUsize::new(0));
        let (to, left, so_far) = (self.to, Arc::clone(&waiting), Arc::clone(&self.so_far));
        let spawned = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || {
                for bytes in jobs {
                    to.write(&bytes, &so_far);
                    left.fetch_sub(bytes.len(), Ordering::SeqCst);
                }
            });
        self.thread = spawned.is_ok().then_some(Thread {
            queue,
            waiting,
            given_up: false,
        });
    }

    /// A way in for drawings, where a thread writes.
    pub(super) fn handle(&self) -> Option<StreamHandle> {
        self.thread.as_ref().map(|t| StreamHandle {
            queue: t.queue.clone(),
            waiting: Arc::clone(&t.waiting),
        })
    }

    /// Writes a line. Optional lines are dropped while the reader is blocked; `lost` counts them.
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
            None => self.to.write(&bytes, &self.so_far),
        }
    }

    /// Waits until everything is written, for as long as somebody reads.
    pub(super) fn flush(&mut self) {
        let Some(thread) = &mut self.thread else {
            return;
        };
        let mut seen = self.so_far.written.load(Ordering::SeqCst);
        let mut since = Instant::now();
        while thread.waiting.load(Ordering::SeqCst) > 0 {
            let now = self.so_far.written.load(Ordering::SeqCst);
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
