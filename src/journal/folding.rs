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
const WAITING: usize = 16;

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

    fn take_all(mut self, batches: &Receiver<Batch>) -> Self {
        while let Ok(batch) = batches.recv() {
            self.take(&batch);
        }
        self
    }
}

struct Folder<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    /// What is not folded yet.
    batch: Batch,
    /// A thread that folds, once there is enough for it.
    beside: Option<(SyncSender<Batch>, ScopedJoinHandle<'scope, Fold>)>,
    /// Without one.
    here: Fold,
}

impl Folder<'_, '_> {
    fn take(&mut self, view: &View<'_>) {
        self.batch.push(view);
        if self.batch.text.len() < BATCH {
            return;
        }
        let batch = std::mem::take(&mut self.batch);
        if self.beside.is_none() {
            let (send, batches) = sync_channel(WAITING);
            let thread = Builder::new().name("fold".into());
            let fold = move || Fold::default().take_all(&batches);
            // Nothing is folded before the first thread, and without one the state stays here.
            if self.here.book.runs.is_empty() && self.here.failed.is_none() {
                let spawned = thread.spawn_scoped(self.scope, fold).ok();
                self.beside = spawned.map(|thread| (send, thread));
            }
        }
        match &self.beside {
            // A thread that is gone has panicked, which whoever joins it sees.
            Some((send, _)) => drop(send.send(batch)),
            None => self.here.take(&batch),
        }
    }

    fn finish(self) -> Fold {
        let mut fold = match self.beside {
            None => self.here,
            Some((send, thread)) => {
                drop(send);
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
            let [run, ts, boot, kind, actor, host, data] = event.ends.map(|end| {
                let text = self.text.get(start..end).unwrap_or_default();
                start = end;
                text
            });
            View {
                seq: event.seq,
                run: event.has_run.then_some(run),
                ts,
                mono: event.mono,
                boot,
                kind,
                actor,
                host,
                sess: event.sess,
                data,
            }
        })
    }
}

#[cfg(test)]
mod tests;
