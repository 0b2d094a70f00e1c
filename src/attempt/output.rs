//! Stores the output of a step: redacted, then truncated, without blocking the command.
//!
//! Two threads read the two pipes under one lock, so that the holder of the lock knows that no bytes are in transit between
//! a pipe and the store. Therefore the end is exact: once the command has exited, its output is in the pipes, and
//! `Sink::finish` reads exactly that much, even if a descendant keeps them open and continues to print.

use super::fold::folded;
use super::traceback;
use crate::encoding;
use crate::redact::{Redactor, Stream};
use rustix::event::{PollFd, PollFlags, poll};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

/// What is kept of the end when there is more than the limit.
const TAIL: usize = 1 << 20;
/// What is read at once.
const CHUNK: usize = 64 << 10;

/// Stores the first bytes up to a limit and the last MiB; counts the rest.
#[derive(Debug)]
struct Store {
    file: Option<File>,
    limit: u64,
    len: u64,
    sum: Sha256,
    tail: VecDeque<u8>,
    /// Bytes that fell out of the tail.
    skipped: u64,
    /// Bytes that could not be written and are not yet reported by a marker.
    gap: u64,
    refused: u64,
}

/// What was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) len: u64,
    pub(super) sha256: String,
    pub(super) dropped: u64,
}

impl Store {
    fn new(file: Option<File>, limit: u64) -> Self {
        Self {
            file,
            limit,
            len: 0,
            sum: Sha256::new(),
            tail: VecDeque::new(),
            skipped: 0,
            gap: 0,
            refused: 0,
        }
    }

    /// Stores redacted bytes. A write error loses output, which is counted, and nothing else.
    fn take(&mut self, bytes: &[u8]) {
        let room = usize::try_from(self.limit.saturating_sub(self.len)).unwrap_or(usize::MAX);
        let fits = if self.tail.is_empty() {
            bytes.len().min(room)
        } else {
            0
        };
        let (head, rest) = bytes.split_at(fits);
        self.write(head);
        self.tail.extend(rest);
        let over = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..over);
        self.skipped += over as u64;
    }

    /// Writes, behind a marker where something is missing.
    fn write(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let told = self.gap == 0 || {
            let marker = marker(self.gap);
            self.put(marker.as_bytes()) == marker.len()
        };
        if told {
            self.gap = 0;
        }
        let written = if told { self.put(bytes) } else { 0 };
        let refused = (bytes.len() - written) as u64;
        self.gap += refused;
        self.refused += refused;
    }

    /// Writes as much as the disk takes.
    fn put(&mut self, bytes: &[u8]) -> usize {
        let Some(file) = &mut self.file else {
            return 0;
        };
        let mut at = 0;
        while at < bytes.len() {
            match file.write(&bytes[at..]) {
                Ok(0) => break,
                Ok(n) => at += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.sum.update(&bytes[..at]);
        self.len += at as u64;
        at
    }

    /// Writes the kept end and makes all of it durable as far as the disk allows.
    fn finish(&mut self) -> Stored {
        let tail: Vec<u8> = std::mem::take(&mut self.tail).into();
        if self.skipped > 0 {
            self.write(marker(self.skipped).as_bytes());
        }
        self.write(&tail);
        if self.gap > 0 {
            let marker = marker(self.gap);
            // If there is no room even for the marker, the result states how much is missing.
            self.put(marker.as_bytes());
        }
        if let Some(file) = &self.file {
            // The result states how much was stored; a disk that loses output cannot change the status.
            let _ = file.sync_data();
        }
        let sha256 = crate::attempt::spec::hex(&self.sum.clone().finalize());
        Stored {
            len: self.len,
            sha256,
            dropped: self.skipped + self.refused,
        }
    }
}

/// Stands where bytes are missing.
fn marker(bytes: u64) -> String {
    format!("\n[upledger: {bytes} bytes of output are not stored]\n")
}

/// Where a command's output goes.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The file; missing when it cannot be written.
    pub(super) file: Option<File>,
    /// A line of this program, before all that the command prints. It begins with [`NOTE`].
    pub(super) note: Option<String>,
}

/// What a line of this program in a step's output begins with.
pub const NOTE: &str = "[upledger: ";

/// An output without the note of this program before it.
#[must_use]
pub fn without_note(output: &[u8]) -> &[u8] {
    if !output.starts_with(NOTE.as_bytes()) {
        return output;
    }
    let end = output.iter().position(|b| *b == b'\n');
    end.map_or(&[], |end| &output[end + 1..])
}

/// Where both pipes of a command end.
pub(super) struct Sink {
    inner: Arc<Mutex<Inner>>,
    ends: mpsc::Receiver<()>,
    open: usize,
}

struct Inner {
    store: Store,
    pipes: Vec<(Arc<File>, Stream)>,
    chunk: Vec<u8>,
    out: Vec<u8>,
    closed: bool,
}

/// What came of one read.
enum Got {
    Some,
    Nothing,
    End,
}

impl Inner {
    fn read(&mut self, index: usize, at_most: usize) -> (Got, usize) {
        let (pipe, stream) = &mut self.pipes[index];
        let at_most = at_most.min(self.chunk.len());
        match (&**pipe).read(&mut self.chunk[..at_most]) {
            Ok(0) => (Got::End, 0),
            Ok(n) => {
                stream.feed(&self.chunk[..n], &mut self.out);
                self.store.take(&self.out);
                self.out.clear();
                (Got::Some, n)
            }
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                (Got::Nothing, 0)
            }
            Err(_) => (Got::End, 0),
        }
    }
}

fn locked(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    // A reader that panicked has omitted at most one chunk; the status must still be written.
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sink {
    /// Starts to read the pipes into the log.
    pub(super) fn new(
        pipes: impl IntoIterator<Item = OwnedFd>,
        redactor: &Redactor,
        log: Log,
        limit: u64,
    ) -> Self {
        let mut store = Store::new(log.file, limit);
        if let Some(note) = log.note {
            store.take(format!("{}\n", note.replace('\n', " ")).as_bytes());
        }
        let pipes: Vec<_> = pipes
            .into_iter()
            .map(|pipe| {
                // If it stays blocking, `poll` still reports when there is data.
                let _ = rustix::io::ioctl_fionbio(&pipe, true);
                (Arc::new(File::from(pipe)), redactor.stream())
            })
            .collect();
        let inner = Arc::new(Mutex::new(Inner {
            store,
            pipes,
            chunk: vec![0; CHUNK],
            out: Vec::new(),
            closed: false,
        }));
        let (end, ends) = mpsc::channel();
        let count = locked(&inner).pipes.len();
        for index in 0..count {
            let (inner, end) = (Arc::clone(&inner), end.clone());
            // Without a thread the command may wait for a full pipe until its time limit; it is not lost.
            let _ = std::thread::Builder::new()
                .name("pump".into())
                .spawn(move || {
                    pump(&inner, index);
                    // The supervisor may have stopped waiting.
                    let _ = end.send(());
                });
        }
        Self {
            inner,
            ends,
            open: count,
        }
    }

    /// Waits until both pipes are closed, with a limit: a descendant may keep them open indefinitely.
    pub(super) fn drain(&mut self, at_most: std::time::Duration) {
        let until = std::time::Instant::now() + at_most;
        while self.open > 0 {
            let left = until.saturating_duration_since(std::time::Instant::now());
            if self.ends.recv_timeout(left).is_err() {
                return;
            }
            self.open -= 1;
        }
    }

    /// Takes all that has been printed by now, and nothing that is printed later. The command must be dead.
    pub(super) fn finish(&self) -> Stored {
        let mut inner = locked(&self.inner);
        for index in 0..inner.pipes.len() {
            let waiting = rustix::io::ioctl_fionread(&inner.pipes[index].0).unwrap_or(0);
            let mut left = usize::try_from(waiting).unwrap_or(usize::MAX);
            while left > 0 {
                match inner.read(index, left) {
                    (Got::Some, n) => left -= n,
                    (Got::Nothing | Got::End, _) => break,
                }
            }
        }
        let Inner {
            store, pipes, out, ..
        } = &mut *inner;
        for (_, stream) in pipes {
            stream.finish(out);
            store.take(out);
            out.clear();
        }
        inner.closed = true;
        inner.store.finish()
    }
}

/// Reads one pipe until its end, or until the sink is closed.
fn pump(inner: &Mutex<Inner>, index: usize) {
    let pipe = Arc::clone(&locked(inner).pipes[index].0);
    loop {
        match poll(&mut [PollFd::new(&*pipe, PollFlags::IN)], None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
        let mut inner = locked(inner);
        if inner.closed {
            return;
        }
        if matches!(inner.read(index, CHUNK).0, Got::End) {
            return;
        }
    }
}

/// Reads an output file as it grows.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    offset: u64,
}

impl Follower {
    /// From the start of the file, which need not exist yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, offset: 0 }
    }

    /// What has come since the last call, at most 64 KiB; empty when there is nothing new. A character may be cut at
    /// the end.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut file = match File::open(&self.path) {
            Ok(f) => f,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        file.seek(SeekFrom::Start(self.offset))?;
        let mut new = Vec::new();
        file.take(64 << 10).read_to_end(&mut new)?;
        self.offset += new.len() as u64;
        Ok(new)
    }
}

/// The end of an output file, at most so many bytes; of a longer file it begins with a line.
///
/// # Errors
/// When it cannot be read.
pub fn tail(path: &std::path::Path, at_most: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let skipped = file.metadata()?.len().saturating_sub(at_most);
    file.seek(SeekFrom::Start(skipped))?;
    let mut end = Vec::new();
    file.take(at_most).read_to_end(&mut end)?;
    if skipped > 0 {
        let line = end.iter().position(|b| *b == b'\n');
        end.drain(..line.map_or(end.len(), |at| at + 1));
    }
    Ok(end)
}

/// The last lines of an output file, at most `n`, none longer than 400 characters, without what a progress bar has written
/// over, and many lines that are alike folded: the error may be before or behind them.
#[must_use]
pub fn last_lines(path: &std::path::Path, n: usize) -> Vec<String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(16 << 10)))?;
        let mut end = Vec::new();
        file.read_to_end(&mut end)?;
        Ok(end)
    };
    let end = read().unwrap_or_default();
    let lines: Vec<Cow<'_, str>> = end
        .split(|b| *b == b'\n')
        .map(|line| encoding::shown(encoding::last_written(line)))
        .collect();
    let lines = folded(lines.iter().map(AsRef::as_ref));
    traceback::last(lines.iter().map(AsRef::as_ref), n)
        .iter()
        .map(|line| line.chars().take(400).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(limit: u64) -> (tempfile::NamedTempFile, Store) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let store = Store::new(Some(file.reopen().unwrap()), limit);
        (file, store)
    }

    #[test]
    fn head_and_tail_are_kept_and_the_marker_says_how_much_is_missing() {
        let (file, mut store) = store(10);
        store.take(b"0123456789");
        for _ in 0..40 {
            store.take(&[b'x'; 100_000]);
        }
        store.take(b"the end");
        let stored = store.finish();
        let text = std::fs::read(file.path()).unwrap();
        let missing = 4_000_007 - TAIL;
        assert_eq!(stored.dropped, missing as u64);
        assert!(
            text.starts_with(
                format!("0123456789\n[upledger: {missing} bytes of output are not stored]\nxxx")
                    .as_bytes()
            )
        );
        assert!(text.ends_with(b"xthe end"));
        assert_eq!(stored.len, text.len() as u64);
        assert_eq!(
            stored.sha256,
            crate::attempt::spec::hex(&Sha256::digest(&text))
        );
    }

    #[test]
    fn output_just_above_the_limit_is_whole() {
        let (file, mut store) = store(10);
        store.take(b"0123456789abcdef");
        store.take(b"ghi");
        assert_eq!(store.finish().dropped, 0);
        assert_eq!(std::fs::read(file.path()).unwrap(), b"0123456789abcdefghi");
    }

    #[test]
    fn a_disk_that_refuses_is_counted() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        for file in [None, Some(full)] {
            let mut store = Store::new(file, 1000);
            store.take(b"lost");
            let stored = store.finish();
            assert_eq!((stored.len, stored.dropped), (0, 4));
            assert_eq!(
                stored.sha256,
                crate::attempt::spec::hex(&Sha256::digest([]))
            );
        }
    }

    #[test]
    fn a_gap_is_marked_where_it_is() {
        let (file, mut store) = store(1000);
        store.take(b"one.");
        let disk = store.file.take();
        store.take(b"two.");
        store.take(b"three.");
        store.file = disk;
        store.take(b"four.");
        let stored = store.finish();
        assert_eq!(stored.dropped, 10);
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert_eq!(
            text,
            "one.\n[upledger: 10 bytes of output are not stored]\nfour."
        );
    }

    #[test]
    fn the_end_is_what_was_in_the_pipe_even_if_somebody_holds_it() {
        let (reader, mut writer) = io::pipe().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let redactor = Redactor::new(&[("s".into(), "secret-word".into())]).unwrap();
        let mut sink = Sink::new(
            [OwnedFd::from(reader)],
            &redactor,
            Log {
                file: Some(file.reopen().unwrap()),
                note: Some("[upledger: of two\nlines]".into()),
            },
            1 << 20,
        );
        writer
            .write_all(b"all of it, secret-word and secret-w")
            .unwrap();
        sink.drain(std::time::Duration::from_millis(1));
        let stored = sink.finish();
        writer.write_all(b"too late").unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        let printed = "all of it, [redacted:s] and secret-w";
        assert_eq!(text, format!("[upledger: of two lines]\n{printed}"));
        assert_eq!(stored.len, text.len() as u64);
        assert_eq!(without_note(text.as_bytes()), printed.as_bytes());
        assert_eq!(without_note(printed.as_bytes()), printed.as_bytes());
        assert_eq!(without_note(b"[upledger: alone]\n"), b"");
    }

    #[test]
    fn a_follower_sees_each_byte_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut follower = Follower::new(file.path().into());
        assert_eq!(follower.read().unwrap(), b"");
        let mut writer = file.reopen().unwrap();
        writer.write_all(b"one").unwrap();
        assert_eq!(follower.read().unwrap(), b"one");
        writer.write_all(b"two").unwrap();
        assert_eq!(follower.read().unwrap(), b"two");
        assert_eq!(follower.read().unwrap(), b"");
        assert_eq!(Follower::new("/nonexistent".into()).read().unwrap(), b"");
    }

    #[test]
    fn the_last_lines_are_those_that_a_terminal_would_still_show() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bar = "\r 50% [#####]".repeat(2000);
        let text = [bar.as_bytes(), b"\rfailed: row 9\r\n\n\xd6\xd0\xce\xc4\n"].concat();
        std::fs::write(file.path(), text).unwrap();
        assert_eq!(last_lines(file.path(), 5), ["failed: row 9", "中文"]);
    }
}
