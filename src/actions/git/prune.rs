//! `keep`, and `release.prune` for releases: which releases go after the switch, and which stay all the same.
//!
//! Invariants: only a whole release that this program made goes, and never the new one or the former one; nor one to
//! which a symbolic link beside it or beside `current` leads (each worker may have a link of its own), nor one that a
//! process uses, nor one in which somebody worked. The look before says which; it is looked at again right before each
//! removal, and what stays is told with the reason. That one stays is no failure of the deployment. A note says of each
//! that it goes, before it goes.
//!
//! Left out: links elsewhere on the machine, and processes that we may not look into, which are known by their words only.

use super::record::{Note, Past, Release, Work, text};
use super::repo::{Git, few};
use super::{Deploy, cloned};
use crate::action::{Context, Error};
use crate::host::files::entry::{self, beside};
use crate::host::files::link::{self, Link};
use crate::host::files::mark;
use crate::host::process::list;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::time::SystemTime;

/// A release that stays although `keep` no longer keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stays {
    pub(super) dir: String,
    pub(super) why: Why,
}

/// Who needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Why {
    /// A symbolic link leads to it.
    Link(String),
    /// A process uses it.
    Process(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(link) => write!(f, "{link} points to it"),
            Self::Process(process) => write!(f, "{process} uses it"),
        }
    }
}

impl Deploy {
    /// Releases that `keep` no longer keeps, oldest first, and those of them that stay because somebody needs them.
    pub(super) fn superseded(
        &self,
        cx: &Context,
        dir: &str,
        target: Option<&str>,
    ) -> Result<(Vec<String>, Vec<Stays>), Error> {
        let Some(keep) = self.keep.and_then(|n| usize::try_from(n).ok()) else {
            return Ok((Vec::new(), Vec::new()));
        };
        let releases = Path::new(self.releases.as_deref().unwrap_or_default());
        let current = Link(Path::new(self.current.as_deref().unwrap_or_default()));
        let former = target.and_then(|t| current.resolve(t));
        let own = std::fs::canonicalize(dir).ok();
        let mut kept = 1;
        let mut others = Vec::new();
        for entry in std::fs::read_dir(releases).into_iter().flatten().flatten() {
            let path = entry.path();
            let (Ok(meta), Some(text)) = (entry.metadata(), path.to_str()) else {
                continue;
            };
            if !meta.is_dir() || text == dir {
                continue;
            }
            let real = std::fs::canonicalize(&path).ok();
            if real.is_some() && real == own {
                continue;
            }
            if real.is_some() && real == former {
                kept += 1;
            } else if !text.contains(".new-")
                && !text.contains(".old-")
                && let Some(made) = cloned::made(&Git::at(cx, &path))
            {
                others.push((made, text.to_owned()));
            }
        }
        others.sort();
        let stay = keep.saturating_sub(kept);
        others.truncate(others.len().saturating_sub(stay));
        let (mut old, mut stays) = (Vec::new(), Vec::new());
        for (_, dir) in others {
            match self.needed(Path::new(&dir))? {
                Some(why) => stays.push(Stays { dir, why }),
                None => old.push(dir),
            }
        }
        Ok((old, stays))
    }

    /// Who needs a release; none when nobody does.
    fn needed(&self, dir: &Path) -> Result<Option<Why>, Error> {
        let cannot = |e| Error::io(format!("cannot look at {}", dir.display()), &e);
        let real = std::fs::canonicalize(dir).map_err(cannot)?;
        // The links beside `current`, itself included, and beside the releases.
        let current = Path::new(self.current.as_deref().unwrap_or_default());
        let beside = current.parent().unwrap_or(Path::new("/"));
        let releases = Path::new(self.releases.as_deref().unwrap_or_default());
        if let Some(link) = link::into(&real, &BTreeSet::from([beside, releases]))? {
            return Ok(Some(Why::Link(link.display().to_string())));
        }
        Ok(list::user(&real)?.map(Why::Process))
    }

    /// Removes old releases that nobody needs and in which nobody worked, and what earlier attempts have left.
    pub(super) fn remove_old(&self, work: &mut Work<'_>, past: &Past, seen: &Release) {
        for left in self.leftovers(work.cx(), past) {
            if let Err(e) = entry::remove(&left) {
                work.log_line(&e.to_string());
            }
        }
        for stays in &seen.stays {
            work.log_line(&format!("{} is kept: {}", stays.dir, stays.why));
        }
        for old in &seen.old {
            let path = Path::new(old);
            if !entry::exists(path) {
                continue;
            }
            let removed = match self.reason_to_stay(work.cx(), path) {
                Ok(None) => remove(work, path),
                Ok(Some(why)) => Err(Error::new(why)),
                Err(e) => Err(e),
            };
            work.log_line(&match removed {
                Ok(()) => format!("removed {old}"),
                Err(why) => format!("{old} is kept: {why}"),
            });
        }
    }

    fn reason_to_stay(&self, cx: &Context, release: &Path) -> Result<Option<String>, Error> {
        match reason_to_stay(cx, release)? {
            Some(why) => Ok(Some(why)),
            // Last, for it is what changes from one moment to the next.
            None => Ok(self.needed(release)?.map(|why| why.to_string())),
        }
    }
}

fn remove(work: &mut Work<'_>, release: &Path) -> Result<(), Error> {
    let at = beside(release, work.cx(), "old");
    work.note(Note::Removing {
        dir: text(release),
        at: text(&at),
    })?;
    entry::remove_by_way_of(release, &at)
}

/// When this program made the release in a directory; none when it did not.
pub(crate) fn made_at(cx: &Context, dir: &Path) -> Option<SystemTime> {
    cloned::made(&Git::at(cx, dir))
}

/// Why a release that this program made may not be removed; none when nobody worked in it.
pub(crate) fn reason_to_stay(cx: &Context, dir: &Path) -> Result<Option<String>, Error> {
    unused(&Git::at(cx, dir).following(true))
}

/// A symbolic link stands at this path of the tree, or above it: what it leads to is no part of the release. Or static
/// files were collected there.
fn is_linked_or_collected(git: &Git, path: &str) -> bool {
    let ours = |path: &Path| {
        std::fs::symlink_metadata(path).is_ok_and(|m| m.is_symlink())
            || mark::made_at(path).is_some()
    };
    let inside = Path::new(path).ancestors();
    inside
        .filter(|p| !p.as_os_str().is_empty())
        .any(|p| ours(&git.dir().join(p)))
}

/// Why a release may not be removed; none when nobody worked in it. Files that git ignores are what the release made.
fn unused(git: &Git) -> Result<Option<String>, Error> {
    let head = git.head()?;
    let words = [
        "status",
        "--porcelain",
        "-z",
        "--no-renames",
        "--untracked-files=all",
    ];
    let seen = git.look(&words)?;
    let mut changed: Vec<String> = seen
        .split('\0')
        .filter_map(|entry| entry.get(3..).map(str::to_owned))
        .filter(|path| !is_linked_or_collected(git, path))
        .collect();
    changed.extend(git.hidden()?);
    if !changed.is_empty() {
        return Ok(Some(format!(
            "it contains untracked files: {}",
            few(&changed)
        )));
    }
    let own = [
        "rev-list",
        "--max-count=1",
        "--all",
        "--reflog",
        "--not",
        "--remotes",
        "--tags",
        &head.commit,
    ];
    if head.branch.is_some() || !git.look(&own)?.is_empty() || !cloned::agrees(git, &head.commit)? {
        return Ok(Some(
            "it contains other commits, tags or settings".to_owned(),
        ));
    }
    Ok(None)
}
