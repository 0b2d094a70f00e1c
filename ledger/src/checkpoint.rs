//! A checkpoint: ledger, size and root in three lines of text (C2SP tlog-checkpoint, without extension lines).
//!
//! Invariant: one checkpoint, one text; [`Checkpoint::from_str`] accepts only what `Display` writes.
//! Left out: signatures.

use crate::head::{Digest, is_hex};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

const ORIGIN: &str = "upledger.local/";

/// What a ledger was at a size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The ledger's id, 32 hexadecimal digits.
    pub ledger: String,
    /// How many events it covers.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
}

/// Why a text is not a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CheckpointError {
    /// Not exactly three lines, each ended by a line feed.
    #[error("a checkpoint is exactly three lines, each ended by a line feed")]
    Lines,
    /// The first line is not `upledger.local/` and 32 hexadecimal digits.
    #[error("the first line of a checkpoint is `{ORIGIN}` and 32 hexadecimal digits")]
    Origin,
    /// The second line is not a decimal without leading zeros.
    #[error("the second line of a checkpoint is a decimal number without leading zeros")]
    Size,
    /// The third line is not the padded base64 of 32 bytes.
    #[error("the third line of a checkpoint is 32 bytes in padded base64")]
    Root,
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{ORIGIN}{}\n{}\n{}\n",
            self.ledger,
            self.size,
            STANDARD.encode(self.root.as_bytes())
        )
    }
}

impl FromStr for Checkpoint {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let body = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?;
        let lines: Vec<&str> = body.split('\n').collect();
        let [origin, size, root] = lines[..] else {
            return Err(CheckpointError::Lines);
        };
        let ledger = origin
            .strip_prefix(ORIGIN)
            .filter(|id| is_hex(id, 32))
            .ok_or(CheckpointError::Origin)?;
        // `parse` alone would take `+1` and `01`.
        let size: u64 = size
            .parse()
            .ok()
            .filter(|n: &u64| n.to_string() == size)
            .ok_or(CheckpointError::Size)?;
        let bytes = STANDARD
            .decode(root)
            .ok()
            .filter(|bytes| STANDARD.encode(bytes) == root);
        let root = bytes
            .as_deref()
            .and_then(Digest::from_slice)
            .ok_or(CheckpointError::Root)?;
        Ok(Self {
            ledger: ledger.to_owned(),
            size,
            root,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "upledger.local/0192f0c45b1e7c3a9f2e5d6c7b8a9012\n10\nscW+j6iHrN7PR7UVIf/nkS2AeMB3PQshzodOKMvUMmM=\n";

    #[test]
    fn reads_what_it_writes_and_nothing_else() {
        let checkpoint: Checkpoint = GOOD.parse().unwrap();
        assert_eq!(checkpoint.size, 10);
        assert_eq!(checkpoint.to_string(), GOOD);
        let bad = |from: &str, to: &str| GOOD.replacen(from, to, 1).parse::<Checkpoint>();
        assert_eq!(
            GOOD[..GOOD.len() - 1].parse::<Checkpoint>(),
            Err(CheckpointError::Lines)
        );
        assert_eq!(
            format!("{GOOD}\n").parse::<Checkpoint>(),
            Err(CheckpointError::Lines)
        );
        assert_eq!(
            format!("{GOOD}extension\n").parse::<Checkpoint>(),
            Err(CheckpointError::Lines)
        );
        assert_eq!(bad("local/0", "local/"), Err(CheckpointError::Origin));
        assert_eq!(bad("local/0", "local/A"), Err(CheckpointError::Origin));
        assert_eq!(
            bad("upledger.local", "other.local"),
            Err(CheckpointError::Origin)
        );
        for size in [
            "\n010\n",
            "\n+10\n",
            "\n-1\n",
            "\n\n",
            "\n10 \n",
            "\n18446744073709551616\n",
        ] {
            assert_eq!(bad("\n10\n", size), Err(CheckpointError::Size), "{size:?}");
        }
        for (from, to) in [
            ("=\n", "\n"),
            ("mM=", "mN="),
            ("scW", "sc"),
            ("/n", "_n"),
            ("M=\n", "M=\r\n"),
        ] {
            assert_eq!(bad(from, to), Err(CheckpointError::Root), "{to:?}");
        }
    }
}
