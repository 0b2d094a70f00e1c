//! The input of one attempt: the job's spec, and the frame with its secrets.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The format of [`Spec`].
pub const VERSION: &str = "upledger-job/1";

/// All that the supervisor is told, but the secrets. Stored as canonical JSON; its digest stands in the intent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// [`VERSION`].
    pub v: String,
    /// The ledger's id.
    pub ledger: String,
    /// Sequence number of the ledger's head when the intent was made: this machine is a witness of it.
    pub head_seq: u64,
    /// Hash of that head, hex.
    pub head_hash: String,
    /// The run.
    pub run: String,
    /// The step.
    pub step: String,
    /// The target.
    pub target: String,
    /// `do` or `undo`.
    pub way: String,
    /// From 1.
    pub attempt: u32,
    /// Unguessable part of the directory's name.
    pub nonce: String,
    /// The kernel's boot id when the intent was made.
    pub boot: String,
    /// What is started.
    pub command: Command,
    /// Working directory; `/` when absent.
    pub cwd: Option<String>,
    /// The whole environment.
    pub env: Vec<Variable>,
    /// Time limit in milliseconds, by the boot clock.
    pub timeout_ms: Option<u64>,
    /// Between TERM and KILL, in milliseconds.
    pub grace_ms: u64,
    /// Bytes of output that are stored from the start; after that only the last MiB is kept.
    pub output_limit: u64,
}

/// What is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// A command, word by word.
    Argv(Vec<String>),
    /// This program's own action process, with the frame's `act` on standard input.
    Act,
}

/// One variable of the environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: VariableValue,
}

/// Where its value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VariableValue {
    /// Here.
    Text(String),
    /// The frame's secret of this name.
    Secret(String),
    /// The frame's value of the variable, which was read from this file.
    File(String),
}

impl Spec {
    /// Canonical JSON: keys sorted, no white space.
    ///
    /// # Errors
    /// Never for a value of this type; the error is serde's.
    pub fn text(&self) -> serde_json::Result<String> {
        // Through `Value`, whose maps are sorted.
        serde_json::to_string(&serde_json::to_value(self)?)
    }
}

/// SHA-256 of a spec's text, hex.
#[must_use]
pub fn digest(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut s, b| {
            // Writing into a string cannot fail.
            let _ = write!(s, "{b:02x}");
            s
        })
}

/// What the supervisor reads from its standard input. Never on a disk.
#[derive(Clone, Serialize, Deserialize)]
pub struct SupervisorInput {
    /// The job directory.
    pub job: std::path::PathBuf,
    /// Digest of the spec in it, hex.
    pub spec: String,
    /// Secrets by name: for the environment, and to be redacted from all output.
    pub secrets: Vec<(String, String)>,
    /// Values of variables that were read from files, by the names of the variables.
    #[serde(default)]
    pub env: Vec<(String, String)>,
    /// What [`Command::Act`] reads.
    pub act: Option<Value>,
}
