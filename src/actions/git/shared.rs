//! What all releases share, linked into each of them: configuration, uploads, logs.
//!
//! Invariants: a link is in a release before the release gets its name, and it leads out of the release by an absolute
//! path; what the commit has in its place is replaced in a fresh clone alone, where nothing but the commit's own files can
//! be; nothing that is shared is changed or removed, and only a directory that is not there is made.

use crate::action::Error;
use crate::action::values::absolute;
use crate::host::files::entry;
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Component, Path, PathBuf};

/// Files and directories that all releases share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shared {
    /// The directory that contains them, an absolute path.
    pub dir: String,
    /// Files below it, each linked at the same path in the release, such as `.env`. Each must exist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Directories below it, each linked at the same path in the release, such as `media`. One that does not exist is created.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dirs: Vec<String>,
}

impl Shared {
    /// The paths in the release.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.files.iter().chain(&self.dirs)
    }

    fn target(&self, name: &str) -> PathBuf {
        Path::new(&self.dir).join(name)
    }

    pub(super) fn problems(&self) -> Vec<String> {
        let mut wrong: Vec<String> = absolute("shared.dir", &self.dir).into_iter().collect();
        if self.names().next().is_none() {
            wrong.push(text::missing("shared.files", "shared.dirs"));
        }
        let inside = |name: &str| {
            !name.is_empty()
                && Path::new(name)
                    .components()
                    .all(|c| matches!(c, Component::Normal(n) if n != ".git"))
        };
        for (setting, names) in [("shared.files", &self.files), ("shared.dirs", &self.dirs)] {
            let bad = names.iter().filter(|name| !inside(name));
            wrong.extend(bad.map(|name| text::inside_release(setting, name)));
        }
        // One inside the other would be linked into what is shared.
        for name in self.names() {
            let others = self.names().filter(|other| !std::ptr::eq(*other, name));
            if others.into_iter().any(|o| Path::new(o).starts_with(name)) {
                wrong.push(text::twice(name));
            }
        }
        wrong
    }

    /// Refuses files that are not there.
    pub(super) fn missing(&self) -> Result<(), Error> {
        for name in &self.files {
            let path = self.target(name);
            if !path.is_file() {
                return Err(
                    Error::new(format!("there is no shared file {}", path.display()))
                        .remedy("create it first"),
                );
            }
        }
        Ok(())
    }

    /// Makes the links in a release; `fresh`: it is a clone in which nobody can have worked.
    pub(super) fn link_into(&self, release: &Path, fresh: bool) -> Result<(), Error> {
        self.missing()?;
        let cannot = |what: &Path, e| Error::io(format!("cannot make {}", what.display()), &e);
        let real = release
            .canonicalize()
            .map_err(|e| Error::io(format!("cannot look at {}", release.display()), &e))?;
        for name in &self.dirs {
            let dir = self.target(name);
            std::fs::create_dir_all(&dir).map_err(|e| cannot(&dir, e))?;
        }
        for name in self.names() {
            let (link, target) = (release.join(name), self.target(name));
            if std::fs::read_link(&link).is_ok_and(|to| to == target) {
                continue;
            }
            let parent = link.parent().unwrap_or(release);
            std::fs::create_dir_all(parent).map_err(|e| cannot(parent, e))?;
            if !parent.canonicalize().is_ok_and(|p| p.starts_with(&real)) {
                return Err(Error::new(format!(
                    "{} is not inside the release: the commit has a symbolic link above it",
                    link.display()
                )));
            }
            if entry::exists(&link) {
                if !fresh {
                    return Err(Error::new(format!(
                        "{} exists and does not point to {}",
                        link.display(),
                        target.display()
                    ))
                    .remedy("move it away, and try again"));
                }
                entry::remove(&link)?;
            }
            std::os::unix::fs::symlink(&target, &link).map_err(|e| cannot(&link, e))?;
            entry::sync(parent)?;
        }
        Ok(())
    }

    /// Links that a release lacks.
    pub(super) fn lacking(&self, release: &Path) -> Option<String> {
        let lacks = |name: &&String| {
            !std::fs::read_link(release.join(name)).is_ok_and(|to| to == self.target(name))
        };
        let name = self.names().find(lacks)?;
        let (link, to) = (release.join(name), self.target(name));
        Some(format!(
            "{} does not point to {}",
            link.display(),
            to.display()
        ))
    }
}
