//! The ledger as JSONL: one body a line, verifiable without SQLite.
//!
//! Invariant: the lines are the stored bodies, to the byte; a body holds no line feed, since control characters are
//! escaped. Left out: blobs and checkpoints, which lie beside it.

use crate::checkpoint::Checkpoint;
use crate::damage::Fault;
use crate::open::See;
use crate::report::{BadWhat, Known, Report};
use crate::store::{Ledger, ReadError};
use crate::verify::Check;
use std::io::{self, BufRead, Write};
use thiserror::Error;

/// Why an export or a verification of one ended early.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The text cannot be read or written.
    #[error("the exported text cannot be read or written")]
    Io(#[from] io::Error),
}

/// Writes every body that `ledger` knows, one a line, and returns how many.
///
/// # Errors
/// [`ExportError`]; what was written before is not the whole.
pub fn export_jsonl(ledger: &Ledger, to: &mut impl Write) -> Result<u64, ExportError> {
    let mut lines = 0;
    for record in ledger.read_all() {
        to.write_all(record?.body.as_bytes())?;
        to.write_all(b"\n")?;
        lines += 1;
    }
    to.flush()?;
    Ok(lines)
}

/// Verifies exported lines against themselves and against checkpoints that were kept elsewhere.
///
/// # Errors
/// [`ExportError::Io`] if the text cannot be read; damage is in the report.
pub fn verify_jsonl(
    from: &mut impl BufRead,
    checkpoints: &[Checkpoint],
) -> Result<Report, ExportError> {
    verify_jsonl_seeing(from, checkpoints, &mut |_| {})
}

/// [`verify_jsonl`], and each event that passed is shown to `see`.
///
/// # Errors
/// As there.
pub fn verify_jsonl_seeing(
    from: &mut impl BufRead,
    checkpoints: &[Checkpoint],
    see: See<'_>,
) -> Result<Report, ExportError> {
    let mut check = Check::new(Vec::new());
    let mut line = Vec::new();
    let mut broken = false;
    loop {
        line.clear();
        if from.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        check.report.events += 1;
        if broken {
            continue;
        }
        let result = match line.split_last() {
            Some((b'\n', body)) => std::str::from_utf8(body)
                .map_err(|_| Fault::Type("body"))
                .and_then(|body| check.body(body, see)),
            _ => Err(Fault::Shape("its line has no end")),
        };
        if let Err(fault) = result {
            broken = true;
            let seq = check.chain.size();
            check.report.bad(Some(seq), BadWhat::Event(fault));
        }
    }
    if check.report.events == 0 {
        check.report.bad(Some(0), BadWhat::Event(Fault::Ends));
    }
    Ok(check.finish(checkpoints, &Known::NotAsked))
}
