//! `current`: the one link by which everybody finds the virtualenv in force, switched in one step.
//!
//! Invariants: at every instant the link leads to the former virtualenv or to the new one; only a link is ever
//! replaced, and only one that leads where it was seen to lead.

use super::venv::sync;
use crate::actions::Error;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Where a link leads, word for word; none when nothing has that name.
pub(super) fn read(link: &Path) -> Result<Option<String>, Error> {
    let shown = link.display();
    match std::fs::symlink_metadata(link) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(format!("cannot look at {shown}"), &e)),
        Ok(meta) if meta.is_symlink() => {
            let to = std::fs::read_link(link)
                .map_err(|e| Error::io(format!("cannot read the link {shown}"), &e))?;
            let text = to.to_str().map(str::to_owned);
            text.map(Some).ok_or_else(|| {
                Error::new(format!("the link {shown} leads to a name that is no UTF-8"))
            })
        }
        Ok(meta) => {
            let kind = if meta.is_dir() {
                "a real directory"
            } else {
                "a file"
            };
            Err(Error::new(format!(
                "{shown} is {kind} and no symbolic link, so it cannot be switched: a virtualenv does not work elsewhere, so \
                 build one under its own name once, and put a link to it in this place"
            )))
        }
    }
}

/// Whether it leads to that directory, by whatever words.
pub(super) fn leads(link: &Path, to: &Path) -> bool {
    match (link.canonicalize(), to.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

fn temporary(link: &Path) -> PathBuf {
    let name = link.file_name().unwrap_or_default().to_string_lossy();
    link.with_file_name(format!(".{name}.upledger-link"))
}

/// Makes the link lead to `to`, from `from`; none: from or to nothing at all.
pub(super) fn switch(link: &Path, from: Option<&str>, to: Option<&str>) -> Result<(), Error> {
    let shown = link.display();
    let cannot = |e: std::io::Error| Error::io(format!("cannot switch {shown}"), &e);
    let now = read(link)?;
    let temp = temporary(link);
    // Left by an attempt that was cut off; nobody else has that name.
    super::venv::remove_all(&temp)?;
    if now.as_deref() == to {
        return Ok(());
    }
    if now.as_deref() != from {
        return Err(Error::new(format!(
            "{shown} leads to {}, and led to {} when it was looked at: somebody switched it meanwhile, so it is left alone",
            now.as_deref().unwrap_or("nothing"),
            from.unwrap_or("nothing")
        )));
    }
    match to {
        None => std::fs::remove_file(link).map_err(cannot)?,
        Some(to) => {
            std::os::unix::fs::symlink(to, &temp).map_err(cannot)?;
            let flags = if from.is_none() {
                RenameFlags::NOREPLACE
            } else {
                RenameFlags::empty()
            };
            renameat_with(CWD, &temp, CWD, link, flags).map_err(|e| cannot(e.into()))?;
        }
    }
    sync(link.parent().unwrap_or(Path::new("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_link_that_leads_where_it_was_seen_to_lead_is_switched() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("current");
        assert_eq!(read(&link).unwrap(), None);
        switch(&link, None, Some("a")).unwrap();
        switch(&link, Some("a"), Some("b")).unwrap();
        switch(&link, Some("a"), Some("b")).unwrap();
        assert_eq!(read(&link).unwrap().as_deref(), Some("b"));
        let why = switch(&link, Some("a"), Some("c")).unwrap_err().to_string();
        assert!(why.contains("leads to b, and led to a"), "{why}");
        // A switch that was cut off.
        std::os::unix::fs::symlink("x", temporary(&link)).unwrap();
        switch(&link, Some("b"), None).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        std::fs::create_dir(&link).unwrap();
        let why = switch(&link, None, Some("a")).unwrap_err().to_string();
        assert!(why.contains("is a real directory"), "{why}");
    }
}
