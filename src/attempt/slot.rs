//! The result slot: 4 KiB, allocated before the command starts, written once, in place.
//!
//! Layout: magic `UPLR1\0`, length of the payload (u32, little endian), payload (JSON), SHA-256 of the payload, zeros. A
//! slot that is torn, empty or damaged in any of these is *no result*; it is never read as success.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Size of the slot in bytes.
pub const SIZE: u64 = 4096;
const MAGIC: &[u8; 6] = b"UPLR1\0";
const HEADER: usize = MAGIC.len() + 4;
const SUM: usize = 32;
const ROOM: usize = 4096 - HEADER - SUM;

/// How an attempt ended, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// Digest of the spec that ran, hex.
    pub spec: String,
    /// How it ended.
    pub ended: Ended,
    /// Why the supervisor killed it, if it did.
    pub killed: Option<Killed>,
    /// The kernel's id of the boot whose clock the times are of.
    pub boot: String,
    /// Boot clock at the start, µs.
    pub started_us: u64,
    /// Boot clock at the end, µs.
    pub ended_us: u64,
    /// What it used.
    pub usage: Usage,
    /// Bytes of output stored.
    pub output_len: u64,
    /// SHA-256 of the stored output, hex.
    pub output_sha256: String,
    /// Bytes of output not stored.
    pub output_dropped: u64,
    /// A descendant was still alive, and had not let go of `tree.lock` as a daemon does that is meant to stay.
    pub left_behind: bool,
}

/// What the command and those of its descendants that ended before the result used, by `getrusage(2)`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// User time, µs.
    pub user_us: u64,
    /// System time, µs.
    pub system_us: u64,
    /// The largest resident set of one process, bytes. It is at least the supervisor's, of which each began as a copy.
    pub max_rss: u64,
}

/// How the command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// With this exit code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
    /// It could not be executed: provably no effect.
    NotExecuted {
        /// The system's number, where the system was asked.
        errno: Option<i32>,
        /// The reason, in words.
        message: String,
    },
}

/// Why the supervisor killed the command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Killed {
    /// Its time was up.
    Timeout,
    /// Somebody asked, for this reason.
    Request(String),
}

/// Allocates the slot.
///
/// # Errors
/// When the disk is full, among others; the command is not started then.
pub fn reserve(file: &File) -> io::Result<()> {
    rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, SIZE)?;
    file.sync_all()
}

/// Writes the outcome in place and makes it durable.
///
/// # Errors
/// When it cannot be made durable; the outcome is not known to anybody then.
pub fn write(file: &File, outcome: &Outcome) -> io::Result<()> {
    let mut outcome = outcome.clone();
    let mut payload = serde_json::to_vec(&outcome)?;
    if payload.len() > ROOM {
        // Only messages can be that long; the status must not be lost because of them.
        if let Some(Killed::Request(reason)) = &mut outcome.killed {
            *reason = reason.chars().take(400).collect();
        }
        if let Ended::NotExecuted { message, .. } = &mut outcome.ended {
            *message = message.chars().take(400).collect();
        }
        payload = serde_json::to_vec(&outcome)?;
    }
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
    let mut slot = Vec::with_capacity(HEADER + payload.len() + SUM);
    slot.extend_from_slice(MAGIC);
    slot.extend_from_slice(&length.to_le_bytes());
    slot.extend_from_slice(&payload);
    slot.extend_from_slice(&Sha256::digest(&payload));
    file.write_all_at(&slot, 0)?;
    file.sync_all()
}

/// Reads a slot: the outcome, or none.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Outcome> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let payload = rest.get(..length)?;
    let sum = rest.get(length..length + SUM)?;
    if Sha256::digest(payload).as_slice() != sum {
        return None;
    }
    serde_json::from_slice(payload).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        Outcome {
            spec: "ab".repeat(32),
            ended: Ended::Exited(3),
            killed: None,
            started_us: 1,
            ended_us: 2,
            boot: "b".into(),
            usage: Usage::default(),
            output_len: 5,
            output_sha256: "cd".repeat(32),
            output_dropped: 0,
            left_behind: false,
        }
    }

    fn bytes(outcome: &Outcome) -> Vec<u8> {
        let file = tempfile::tempfile().unwrap();
        reserve(&file).unwrap();
        write(&file, outcome).unwrap();
        let mut bytes = vec![0; 4096];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn what_was_written_is_read_and_every_tear_and_flip_is_no_result() {
        let whole = bytes(&outcome());
        assert_eq!(read(&whole), Some(outcome()));
        let used = whole.iter().rposition(|b| *b != 0).unwrap() + 1;
        for end in 0..used {
            let mut torn = whole.clone();
            torn[end..].fill(0);
            assert_eq!(read(&torn), None, "torn at {end}");
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[end] ^= 1 << bit;
                assert_eq!(read(&flipped), None, "bit {bit} of byte {end}");
            }
        }
        assert_eq!(read(&[0; 4096]), None);
    }

    #[test]
    fn a_file_cut_anywhere_and_any_flip_in_4096_bytes_is_no_result_or_the_same() {
        let whole = bytes(&outcome());
        let mut none = 0;
        for end in 0..whole.len() {
            let cut = read(&whole[..end]);
            assert!(cut.is_none() || cut == Some(outcome()), "cut at {end}");
            none += usize::from(cut.is_none());
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[end] ^= 1 << bit;
                let seen = read(&flipped);
                assert!(
                    seen.is_none() || seen == Some(outcome()),
                    "bit {bit} of byte {end}"
                );
            }
        }
        assert!(none > HEADER + SUM, "{none}");
    }

    #[test]
    fn the_slot_is_written_over_whatever_a_torn_write_left() {
        let file = tempfile::tempfile().unwrap();
        reserve(&file).unwrap();
        file.write_all_at(&[0xff; 4096], 0).unwrap();
        write(&file, &outcome()).unwrap();
        let mut bytes = vec![0; 4096];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(read(&bytes), Some(outcome()));
        assert_eq!(file.metadata().unwrap().len(), SIZE);
    }

    #[test]
    fn a_long_reason_does_not_cost_the_status() {
        let mut long = outcome();
        long.killed = Some(Killed::Request("字".repeat(5000)));
        assert_eq!(read(&bytes(&long)).unwrap().ended, Ended::Exited(3));
    }
}
