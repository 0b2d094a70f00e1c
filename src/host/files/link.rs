//! A symbolic link by which everybody finds what is in force, switched in one step.
//!
//! Invariants: at every instant the link leads to the former place or to the new one; only a link is ever replaced, and
//! only one that leads where it was seen to lead, by a look right before the rename.

use crate::action::Error;
use crate::host::files::entry;
use crate::system::durable;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A link by its path, which may not exist.
pub(crate) struct Link<'a>(pub(crate) &'a Path);

impl Link<'_> {
    /// Where it leads, word for word; none when nothing has that name. `remedy` says what to do when something else is
    /// in its place.
    ///
    /// # Errors
    /// [`Error`] when it is no link, or cannot be read.
    pub(crate) fn target(&self, remedy: impl FnOnce() -> String) -> Result<Option<String>, Error> {
        let shown = self.0.display();
        let kind = match std::fs::symlink_metadata(self.0) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(format!("cannot look at {shown}"), &e)),
            Ok(meta) if meta.is_symlink() => {
                let to = std::fs::read_link(self.0)
                    .map_err(|e| Error::io(format!("cannot read the link {shown}"), &e))?;
                return match to.into_os_string().into_string() {
                    Ok(text) => Ok(Some(text)),
                    Err(_) => Err(Error::new(format!(
                        "the link {shown} points to a name that is not UTF-8"
                    ))),
                };
            }
            Ok(meta) if meta.is_dir() => "a real directory",
            Ok(_) => "a file",
        };
        Err(Error::new(format!(
            "{shown} is {kind}, not a symbolic link, so it cannot be switched"
        ))
        .remedy(remedy()))
    }

    /// There is a directory for it.
    ///
    /// # Errors
    /// [`Error`] when there is none.
    pub(crate) fn has_place(&self) -> Result<(), Error> {
        let parent = self.0.parent().unwrap_or(Path::new("/"));
        if parent.is_dir() {
            return Ok(());
        }
        Err(Error::new(format!(
            "there is no directory {}, where {} belongs",
            parent.display(),
            self.0.display()
        )))
    }

    /// Where it would lead with that target; none when nothing is there.
    pub(crate) fn resolve(&self, target: &str) -> Option<PathBuf> {
        let dir = self.0.parent().unwrap_or(Path::new("/"));
        std::fs::canonicalize(dir.join(target)).ok()
    }

    /// Whether it would lead to a directory with that target.
    pub(crate) fn resolves_to_directory(&self, target: &str) -> bool {
        self.resolve(target).is_some_and(|to| to.is_dir())
    }

    /// Whether it would lead to `place` with that target, by whatever words.
    pub(crate) fn would_lead_to(&self, target: &str, place: &Path) -> bool {
        Path::new(target) == place
            || self
                .resolve(target)
                .is_some_and(|to| place.canonicalize().is_ok_and(|place| place == to))
    }

    /// Whether it leads to `place`, by whatever words.
    pub(crate) fn leads_to(&self, place: &Path) -> bool {
        match (self.0.canonicalize(), place.canonicalize()) {
            (Ok(a), Ok(b)) => a == b,
            _ => false,
        }
    }

    /// Makes it lead to `to`, from `from`; none: from or to no link at all. `at` is a name beside it that only this step
    /// uses.
    ///
    /// # Errors
    /// [`Error`] when it leads elsewhere, is no link, or cannot be replaced.
    pub(crate) fn switch(
        &self,
        at: &Path,
        from: Option<&str>,
        to: Option<&str>,
    ) -> Result<(), Error> {
        let shown = self.0.display();
        let cannot = |e: std::io::Error| Error::io(format!("cannot switch {shown}"), &e);
        entry::remove(at)?;
        if let Some(to) = to {
            std::os::unix::fs::symlink(to, at).map_err(cannot)?;
        }
        let remedy = || "move it away, or abort the run".to_owned();
        let now = self.target(remedy).and_then(|now| {
            if now.as_deref() == from || now.as_deref() == to {
                Ok(now)
            } else {
                Err(self.moved(now.as_deref(), from))
            }
        });
        let now = match now {
            Ok(now) if now.as_deref() == to => return entry::remove(at),
            Ok(now) => now,
            Err(e) => {
                entry::remove(at)?;
                return Err(e);
            }
        };
        let switched = match (to, now) {
            (None, _) => durable::remove_file(self.0).map(drop),
            // What has come into the place of nothing meanwhile is somebody's.
            (Some(_), None) => durable::rename_new(at, self.0),
            // A rename over a directory that has come into its place fails.
            (Some(_), Some(_)) => durable::rename(at, self.0),
        };
        switched.map_err(|e| cannot(e.into()))
    }

    /// It does not lead where it was seen to lead.
    pub(crate) fn moved(&self, now: Option<&str>, from: Option<&str>) -> Error {
        let shown = self.0.display();
        Error::new(match now {
            Some(now) => format!(
                "{shown} points to {now}; it has been changed since it pointed to {}, so it is not touched",
                from.unwrap_or("nothing")
            ),
            None => format!("{shown} has been removed"),
        })
    }
}

/// The first symbolic link of these directories that leads into `place`, which is a canonical path.
///
/// # Errors
/// [`Error`] when a directory cannot be listed; one that is not there has no links.
pub(crate) fn into(place: &Path, dirs: &BTreeSet<&Path>) -> Result<Option<PathBuf>, Error> {
    let mut links = Vec::new();
    for dir in dirs {
        let cannot = |e| Error::io(format!("cannot list {}", dir.display()), &e);
        let listed = match std::fs::read_dir(dir) {
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            listed => listed.map_err(cannot)?,
        };
        for entry in listed {
            let entry = entry.map_err(cannot)?;
            if entry.file_type().map_err(cannot)?.is_symlink() {
                links.push(entry.path());
            }
        }
    }
    links.sort();
    let leads = |link: &PathBuf| link.canonicalize().is_ok_and(|to| to.starts_with(place));
    Ok(links.into_iter().find(leads))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_link_that_leads_where_it_was_seen_to_lead_is_switched() {
        let dir = tempfile::tempdir().unwrap();
        let (path, at) = (dir.path().join("current"), dir.path().join("new"));
        let link = Link(&path);
        let target = || link.target(|| "move it away".into());
        assert_eq!(target().unwrap(), None);
        link.switch(&at, None, Some("a")).unwrap();
        link.switch(&at, Some("a"), Some("b")).unwrap();
        link.switch(&at, Some("a"), Some("b")).unwrap();
        assert_eq!(target().unwrap().as_deref(), Some("b"));
        let why = link.switch(&at, Some("a"), Some("c")).unwrap_err();
        assert!(
            why.to_string()
                .contains("points to b; it has been changed since it pointed to a"),
            "{why}"
        );
        assert!(!entry::exists(&at));
        // A switch that was cut off.
        std::os::unix::fs::symlink("x", &at).unwrap();
        link.switch(&at, Some("b"), None).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let why = link.switch(&at, Some("b"), Some("c")).unwrap_err();
        assert!(why.to_string().contains("has been removed"), "{why}");
        std::fs::create_dir(&path).unwrap();
        let why = link.switch(&at, None, Some("a")).unwrap_err();
        assert!(why.to_string().contains("is a real directory"), "{why}");
        let why = target().unwrap_err().to_string();
        assert!(why.ends_with("; move it away"), "{why}");
        assert!(path.is_dir() && !entry::exists(&at));
    }
}
