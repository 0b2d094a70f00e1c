//! Whether it is the disk that fails, where SQLite says that the file is damaged: it says so of both alike.
//!
//! Invariant: no other handle of this process loses its locks on the file by a look at it. Left out: what is done about either.

use crate::chain::Chain;
use crate::hot_journal;
use crate::scan::scan;
use crate::schema::{self, Mode};
use crate::verify;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

/// How long a writer is waited for: whoever asks is about to give up.
const BUSY: Duration = Duration::from_secs(1);

/// Whether the disk fails: it cannot read the file, or what it read before was wrong and is sound now.
pub(crate) fn fails(ledger: &Path) -> bool {
    !is_readable(ledger) || is_sound(ledger)
}

/// Whether every byte can be read.
fn is_readable(ledger: &Path) -> bool {
    let Ok(file) = File::open(ledger) else {
        return false;
    };
    let (mut chunk, mut at) = (vec![0; 1 << 20], 0);
    let readable = loop {
        match file.read_at(&mut chunk, at) {
            Ok(0) => break true,
            Ok(n) => at += crate::len64(n),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => break false,
        }
    };
    // To close it drops the locks that SQLite holds on the file in this process. The handle that asks is given up, and
    // holds none that matters.
    let others = file
        .metadata()
        .map_or(0, |found| hot_journal::handles(&found));
    if others > 1 {
        std::mem::forget(file);
    }
    readable
}

/// Whether schema, events and pages are as they must be.
fn is_sound(ledger: &Path) -> bool {
    let look = || {
        let conn = schema::connect(ledger, Mode::Verify, BUSY).ok()?;
        conn.execute_batch("BEGIN").ok()?;
        let mut chain = Chain::new();
        let faults = schema::faults(&conn).ok()?;
        scan(&conn, &mut chain, |_, _| Ok(())).ok()?;
        let blobs = ledger.with_file_name("blobs");
        let bad = verify::beside_the_events(&conn, &blobs, &chain).ok()?;
        (faults.is_empty() && bad.is_none() && chain.size() > 0).then_some(())
    };
    look().is_some()
}
