//! The fold of a ledger while it is opened: each event is read once, for its verification and for the state, and where
//! there are many, the two are done side by side.
//!
//! Invariant: what comes out is what a fold of the events one after the other makes; what the ledger says of itself comes
//! before what its events say. Left out: what is verified, and what an event means.

use super::{JournalError, stored};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, Scope, ScopedJoinHandle};
use upledger_ledger::{Ledger, OpenError, See, View};
use upledger_replay::runs::Runs;

/// Text of one batch, in bytes. A ledger that is shorter has no thread of its own.
const BATCH: usize = 64 << 10;
/// Batches that may wait: the fold is slower at the plan and faster behind it.
const WAITING: usize = 64;

/// Opens a ledger and folds it.
///
/// # Errors
/// [`JournalError`].
pub(super) fn over(
    open: impl FnOnce(See<'_>) -> Result<Ledger, OpenError>,
) -> Result<(Ledger, Runs), JournalError> {
    std::thread::scope(|scope| {
        let mut folder = Folder {
            scope,
            batch: Batch::default(),
            beside: None,
            here: Fold::default(),
        };
        let ledger = open(&mut |view| folder.take(view))?;
        let Fold { book, failed } = folder.finish();
        match failed {
            None => Ok((ledger, book)),
            Some(error) => Err(error),
        }
    })
}

/// The state so far, and why it goes no further.
#[derive(Default)]
struct Fold {
    book: Runs,
    failed: Option<JournalError>,
}

impl Fold {
    fn take(&mut self, batch: &Batch) {
        for view in batch.views() {
            if self.failed.is_none() {
                self.failed = stored::fold(&mut self.book, &view).err();
            }
        }
    }

    fn take_all(mut self, batches: &Receiver<Batch>, empty: &SyncSender<Batch>) -> Self {
        while let Ok(mut batch) = batches.recv() {
            self.take(&batch);
            batch.clear();
            // Whoever fills them may have enough, or be done.
            let _ = empty.try_send(batch);
        }
        self
    }
}

/// A thread that folds.
struct Beside<'scope> {
    full: SyncSender<Batch>,
    /// What it is done with: new memory costs more than the copy into it.
    empty: Receiver<Batch>,
    thread: ScopedJoinHandle<'scope, Fold>,
}

struct Folder<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    /// What is not folded yet.
    batch: Batch,
    /// A thread that folds, once there is enough for it.
    beside: Option<Beside<'scope>>,
    /// Without one.
    here: Fold,
}

impl Folder<'_, '_> {
    fn take(&mut self, view: &View<'_>) {
        self.batch.push(view);
        if self.batch.text.len() < BATCH {
            return;
        }
        let next = match &self.beside {
            Some(beside) => beside.empty.try_recv().unwrap_or_default(),
            None => Batch::default(),
        };
        let batch = std::mem::replace(&mut self.batch, next);
        if self.beside.is_none() {
            let (full, batches) = sync_channel(WAITING);
            let (done, empty) = sync_channel(WAITING);
            let thread = Builder::new().name("fold".into());
            let fold = move || Fold::default().take_all(&batches, &done);
            // Nothing is folded before the first thread, and without one the state stays here.
            if self.here.book.runs.is_empty() && self.here.failed.is_none() {
                let spawned = thread.spawn_scoped(self.scope, fold).ok();
                self.beside = spawned.map(|thread| Beside {
                    full,
                    empty,
                    thread,
                });
            }
        }
        match &self.beside {
            // A thread that is gone has panicked, which whoever joins it sees.
            Some(beside) => drop(beside.full.send(batch)),
            None => self.here.take(&batch),
        }
    }

    fn finish(self) -> Fold {
        let mut fold = match self.beside {
            None => self.here,
            Some(Beside { full, thread, .. }) => {
                drop(full);
                (thread.join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }
        };
        fold.take(&self.batch);
        fold
    }
}

/// Events in one piece of memory: to hand each over in pieces of its own would cost more than to fold it.
#[derive(Default)]
struct Batch {
    /// The texts of all of them, one behind the other.
    text: String,
    events: Vec<Packed>,
}

struct Packed {
    seq: u64,
    mono: u64,
    has_run: bool,
    sess: Option<u64>,
    /// Where run, time, boot, kind, actor, host and data end.
    ends: [usize; 7],
}

impl Batch {
    fn clear(&mut self) {
        self.text.clear();
        self.events.clear();
    }

    fn push(&mut self, view: &View<'_>) {
        let mut ends = [0; 7];
        let run = view.run.unwrap_or_default();
        let texts = [
            run, view.ts, view.boot, view.kind, view.actor, view.host, view.data,
        ];
        for (end, text) in ends.iter_mut().zip(texts) {
            self.text.push_str(text);
            *end = self.text.len();
        }
        self.events.push(Packed {
            seq: view.seq,
            mono: view.mono,
            has_run: view.run.is_some(),
            sess: view.sess,
            ends,
        });
    }

    fn views(&self) -> impl Iterator<Item = View<'_>> {
        let mut start = 0;
        self.events.iter().map(move |event| {
            let mut until = |end: usize| {
                let text = self.text.get(start..end).unwrap_or_default();
                start = end;
                text
            };
            let [run, ts, boot, kind, actor, host, data] = event.ends;
            let run = until(run);
            View {
                seq: event.seq,
                run: event.has_run.then_some(run),
                ts: until(ts),
                mono: event.mono,
                boot: until(boot),
                kind: until(kind),
                actor: until(actor),
                host: until(host),
                sess: event.sess,
                data: until(data),
            }
        })
    }
}

#[cfg(test)]
mod tests;
