//! What the former contract's actions note about a process for their undo, in private files: that it was told to end.
//!
//! Invariants: a note is durable before what it tells of happens; it names one process among all that ever ran, so
//! that an old note says nothing about another process. It lies in the undo directory, by run, step and pidfile.

use crate::actions::process::identity::Ident;
use crate::actions::{Context, Error};
use crate::attempt::spec::digest;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Where a note about the process of that pidfile lies.
pub(super) fn place(cx: &Context, what: &str, pidfile: &str) -> Result<PathBuf, Error> {
    let mut tag = digest(&format!("{}\0{}\0{pidfile}", cx.run, cx.step));
    tag.truncate(16);
    Ok(cx.undo_dir()?.join(format!("{what}-{}-{tag}", cx.step)))
}

/// The process that a note names; none when there is no note.
pub(super) fn read(path: &Path) -> Result<Option<Ident>, Error> {
    let cannot =
        |e: &dyn std::error::Error| Error::io(format!("cannot read {}", path.display()), e);
    match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|e| cannot(&e)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(cannot(&e)),
    }
}

/// Writes a note, durably, where only the runner's user can read it.
pub(super) fn write(path: &Path, ident: &Ident) -> Result<(), Error> {
    let put = || -> std::io::Result<()> {
        let dir = path.parent().unwrap_or(Path::new("/"));
        // Its mode is 0600.
        let mut file = tempfile::Builder::new()
            .prefix(".upledger-note-")
            .tempfile_in(dir)?;
        file.write_all(&serde_json::to_vec(ident)?)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|e| e.error)?;
        File::open(dir)?.sync_all()
    };
    put().map_err(|e| Error::io(format!("cannot write {}", path.display()), &e))
}
