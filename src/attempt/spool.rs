//! The spool of an attempt: the only channel from a running action to the record.
//!
//! A file in the job directory with one JSON document per line, each appended in one write. Notes, escalations and the
//! output are durable before the call returns, so that they survive a crash of any process; the process that follows or
//! resumes the attempt imports them in order. Progress is only displayed, never imported. An incomplete last line is
//! ignored: what it announces was not done.

use crate::system::durable::sync_dir;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The file in the job directory.
pub(super) const NAME: &str = "spool";
/// The longest line, in bytes.
const LINE: usize = 256 << 10;
/// The largest spool, in bytes; progress stops at half of it.
const LIMIT: u64 = 16 << 20;

/// Kept content, as an observation, a note or an output names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// `SHA-256(salt || content)`, lower-case hex; the name of its file.
    pub blob: String,
    /// Bytes.
    pub len: u64,
}

/// What the ledger holds of kept content beside the event that names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// Which.
    pub kept: Kept,
    /// 16 bytes.
    pub salt: [u8; 16],
}

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Entry {
    /// A fact, recorded before the action acts on it.
    Noted {
        /// As the kind defines it.
        note: Value,
        /// The salts of kept content that it names.
        blobs: Vec<Blob>,
    },
    /// An escalation, recorded before it is done.
    Escalated {
        /// What, to whom, and why.
        what: String,
    },
    /// How far it is.
    Progress {
        /// So many are done.
        done: u64,
        /// Of so many, where that is known.
        total: Option<u64>,
        /// Units of what.
        unit: String,
    },
    /// What success produced. The last entry of a success.
    Produced {
        /// As the kind defines it.
        output: Value,
        /// The salts of kept content that it names.
        blobs: Vec<Blob>,
    },
}

/// The spool, for writing.
#[derive(Debug)]
pub struct Spool {
    file: File,
    len: u64,
}

impl Spool {
    /// Opens the spool of an attempt, which need not exist yet.
    ///
    /// # Errors
    /// When it cannot be opened, or made durable.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)?;
        let len = file.metadata()?.len();
        sync_dir(path.parent().unwrap_or(Path::new("/")))?;
        Ok(Self { file, len })
    }

    /// Appends one line; durably, unless it is progress.
    ///
    /// # Errors
    /// When it cannot be written, or is too long; what it announces must not be done then.
    pub fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let passing = matches!(entry, Entry::Progress { .. });
        let limit = if passing { LIMIT / 2 } else { LIMIT };
        self.len += line.len() as u64;
        if line.len() > LINE || self.len > limit {
            return Err(ErrorKind::FileTooLarge.into());
        }
        self.file.write_all(&line)?;
        if passing {
            Ok(())
        } else {
            self.file.sync_all()
        }
    }
}

/// Reads a spool as it grows.
#[derive(Debug, Default)]
pub struct SpoolReader {
    offset: u64,
}

impl SpoolReader {
    /// The whole lines that have come since the last time.
    ///
    /// # Errors
    /// When the spool cannot be read, or holds what this version does not know.
    pub fn read(&mut self, job: &super::job::JobDir) -> io::Result<Vec<Entry>> {
        let mut file = match File::open(job.path().join(NAME)) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        file.take(LIMIT).read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
        let entries = bytes[..whole]
            .split_inclusive(|b| *b == b'\n')
            .map(|line| serde_json::from_slice(line).map_err(io::Error::from))
            .collect::<io::Result<_>>()?;
        self.offset += whole as u64;
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempt::job::JobDir;
    use serde_json::json;

    #[test]
    fn entries_come_back_in_order_and_without_a_line_that_was_cut_off() {
        let home = tempfile::tempdir().unwrap();
        let job = JobDir::at(home.path().into());
        let mut reader = SpoolReader::default();
        assert_eq!(reader.read(&job).unwrap(), []);
        let note = Entry::Noted {
            note: json!({"signalled": 7}),
            blobs: vec![],
        };
        let kill = Entry::Escalated {
            what: "KILL to process 7".into(),
        };
        let mut spool = Spool::open(&home.path().join(NAME)).unwrap();
        spool.append(&note).unwrap();
        assert_eq!(reader.read(&job).unwrap(), std::slice::from_ref(&note));
        spool.append(&kill).unwrap();
        OpenOptions::new()
            .append(true)
            .open(home.path().join(NAME))
            .unwrap()
            .write_all(b"{\"escalated\":{\"what\":\"KI")
            .unwrap();
        assert_eq!(reader.read(&job).unwrap(), std::slice::from_ref(&kill));
        assert_eq!(SpoolReader::default().read(&job).unwrap(), [note, kill]);
    }

    #[test]
    fn progress_leaves_room_for_what_has_to_be_recorded() {
        let home = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(&home.path().join(NAME)).unwrap();
        let progress = Entry::Progress {
            done: 1,
            total: None,
            unit: "x".repeat(200 << 10),
        };
        while spool.append(&progress).is_ok() {}
        spool
            .append(&Entry::Escalated {
                what: "KILL".into(),
            })
            .unwrap();
        let long = Entry::Escalated {
            what: "x".repeat(LINE),
        };
        assert!(spool.append(&long).is_err());
    }
}
