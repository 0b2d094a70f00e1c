//! What a verification says: never a bare "OK", but how far the proof reaches.
//!
//! Invariant: a report is sound exactly if it has no [`Bad`]; a [`Finding`] never makes it unsound.
//! Left out: words for people, which the program's face has.

use crate::chain::Chain;
use crate::checkpoint::CheckpointError;
use crate::damage::{Fault, SchemaFault};
use crate::head::{Digest, Head};
use crate::memory::{self, Disagreement, How, Remembered};
use std::fmt;
use thiserror::Error;

/// How far the proof reaches. Higher levels include the lower ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// L0: the chain holds together, as a rewritten one would.
    ChainOnly,
    /// L1: a signed checkpoint covers it.
    Signed,
    /// L2: it is what this machine remembers, or that and more.
    Remembered,
    /// L3: another domain holds a checkpoint of it.
    Anchored,
    /// L4: a witness or a time stamp covers it.
    Witnessed,
}

impl fmt::Display for Level {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::ChainOnly => "L0 chain only",
            Self::Signed => "L1 signed",
            Self::Remembered => "L2 matches the remembered head",
            Self::Anchored => "L3 anchored in another domain",
            Self::Witnessed => "L4 witnessed or time-stamped",
        })
    }
}

/// What the memory knows of a ledger.
#[derive(Debug, Clone)]
pub(crate) enum Known {
    /// No memory was given.
    NotAsked,
    /// What it knows.
    Asked {
        /// At the ledger's own path.
        own: Option<Box<Remembered>>,
        /// Of a ledger with the same id at another one.
        elsewhere: Option<Box<Remembered>>,
    },
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    /// The seq that is wrong or missing; `None` for what is not tied to one event.
    pub seq: Option<u64>,
    /// What is wrong.
    pub what: BadWhat,
}

/// What must not be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadWhat {
    /// An event.
    #[error("an event breaks the format")]
    Event(#[source] Fault),
    /// The schema.
    #[error("the schema is not the one of the format")]
    Schema(#[source] SchemaFault),
    /// SQLite's own check of the file.
    #[error("integrity_check: {0}")]
    Integrity(String),
    /// SQLite cannot read on.
    #[error("the file cannot be read: {0}")]
    Unreadable(String),
    /// A checkpoint that was handed in.
    #[error("the checkpoint over {size} events does not hold")]
    Checkpoint {
        /// Its size.
        size: u64,
        /// Why not.
        #[source]
        why: CheckpointBad,
    },
    /// A checkpoint that is stored in the file.
    #[error("the stored checkpoint over {size} events does not hold")]
    StoredCheckpoint {
        /// The size in its row.
        size: i64,
        /// Why not.
        #[source]
        why: CheckpointBad,
    },
    /// The memory.
    #[error("the remembered head disagrees")]
    Memory(#[source] Box<Disagreement>),
    /// A blob that is there.
    #[error("blob {0} is not what its digest says")]
    Blob(String),
}

/// Why a checkpoint does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CheckpointBad {
    /// The note is no checkpoint.
    #[error("its text is no checkpoint")]
    Text(#[source] CheckpointError),
    /// The row's size is not the note's.
    #[error("its row has another size than its text")]
    Size,
    /// It is about another ledger.
    #[error("it is about ledger {0}")]
    OtherLedger(String),
    /// Fewer events are there.
    #[error("truncated: only {have} events are there")]
    Truncated {
        /// How many.
        have: u64,
    },
    /// Other events are there.
    #[error("rewritten: the root over these events is {root}")]
    Rewritten {
        /// Their root.
        root: Digest,
    },
}

/// Something worth knowing that is not damage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The wall clock moved against the monotonic one, within one boot, by more than two seconds.
    ClockStep {
        /// The event after the step.
        seq: u64,
        /// By how many microseconds; negative is back.
        micros: i64,
    },
    /// A journal lies beside the file: a writer is at work, or one died and the next opening rolls it back.
    Journal,
    /// The journal is hot: what was verified is a copy with the unfinished commit rolled back.
    HotJournal,
    /// The memory knows only so many events, which is legal.
    MemoryBehind {
        /// How many.
        remembered: u64,
    },
    /// The ledger is remembered at another path: this is a copy of it, or it was moved.
    Copied {
        /// The other path.
        path: String,
        /// How many events are remembered there.
        remembered: u64,
    },
    /// Nothing is remembered of the ledger, although whoever appends to it here remembers it.
    Forgotten,
    /// The memory file cannot be read.
    MemoryUnreadable {
        /// Why not, and the remedy.
        what: String,
    },
    /// The content of a blob is neither there nor purged.
    BlobAbsent {
        /// Its digest.
        sha256: Digest,
    },
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The ledger's id; `None` if not even seq 0 is sound.
    pub ledger: Option<String>,
    /// How many events are there, sound or not.
    pub events: u64,
    /// How many of them, from the first on, were verified: what is still provable of a damaged ledger.
    pub verified: u64,
    /// How many runs they belong to.
    pub runs: u64,
    /// The last verified event.
    pub head: Option<Head>,
    /// The root over the verified events.
    pub root: Digest,
    /// How far the proof reaches; [`Level::ChainOnly`] for an unsound ledger.
    pub level: Level,
    /// How many events at the end no anchor covers.
    pub unanchored: u64,
    /// Everything that must not be; events in order of seq.
    pub failures: Vec<Bad>,
    /// Everything else worth knowing.
    pub findings: Vec<Finding>,
    /// How many blobs were compared with their digests.
    pub blobs_checked: u64,
    /// How many blobs have no content any more.
    pub blobs_absent: u64,
    /// The sizes of the stored checkpoints that hold.
    pub stored_checkpoints: Vec<u64>,
    /// The sizes of the handed-in checkpoints that hold.
    pub checkpoints: Vec<u64>,
}

impl Report {
    /// Whether nothing is wrong, as far as the level reaches.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.failures.is_empty()
    }

    /// The failure with the lowest seq; if none has one, the first that was met.
    #[must_use]
    pub fn first_bad(&self) -> Option<&Bad> {
        self.failures
            .iter()
            .filter(|bad| bad.seq.is_some())
            .min_by_key(|bad| bad.seq)
            .or_else(|| self.failures.first())
    }

    /// Compares the verified events with what is remembered of them.
    pub(crate) fn hold_memory(&mut self, chain: &Chain, known: &Known) {
        let Known::Asked { own, elsewhere } = known else {
            return;
        };
        if let Some(kept) = elsewhere {
            self.findings.push(Finding::Copied {
                path: kept.path.clone(),
                remembered: kept.size,
            });
        }
        let Some(kept) = own.as_ref().or(elsewhere.as_ref()) else {
            let unreadable = |f: &Finding| matches!(f, Finding::MemoryUnreadable { .. });
            if chain.size() > 0 && !self.findings.iter().any(unreadable) {
                self.findings.push(Finding::Forgotten);
            }
            return;
        };
        match memory::compare(kept, chain) {
            Ok(()) => {
                if kept.size < chain.size() {
                    self.findings.push(Finding::MemoryBehind {
                        remembered: kept.size,
                    });
                }
                if self.failures.is_empty() {
                    self.level = Level::Remembered;
                }
            }
            // A backup may be older than what it is a copy of.
            Err(how) if own.is_none() && how.how == How::Shorter => {}
            Err(how) => self.bad(None, BadWhat::Memory(how)),
        }
    }

    pub(crate) fn bad(&mut self, seq: Option<u64>, what: BadWhat) {
        self.failures.push(Bad { seq, what });
    }
}
