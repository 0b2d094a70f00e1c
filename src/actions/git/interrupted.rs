//! What a checkout that was cut off leaves, told from what people leave.
//!
//! Invariants: nothing counts as left by a checkout unless this step has noted one; and a file only if all that it holds
//! is in one of the two commits: it equals one of them, it is the beginning of one (the file that was being written), or
//! it is missing. Everything else is somebody's work and is named, never overwritten. So is a path that cannot be told
//! apart from another, because its name is no UTF-8.
//!
//! Left out: contents that a filter changes on their way to disk. A half-written file of those counts as somebody's work.

use super::repo::Git;
use crate::action::Error;
use std::collections::BTreeMap;
use std::io::ErrorKind;

/// What a name that is no UTF-8 holds after its way through words: it may not lead to the file that git means.
const ILLEGIBLE: char = char::REPLACEMENT_CHARACTER;

/// What stands in a tree for a submodule.
const LINK: &str = "160000";

/// Between two commits: each path that differs, with its blob in either. Submodules are looked at elsewhere.
pub(super) struct Changes(BTreeMap<String, [Option<String>; 2]>);

/// What a checkout would meet in the working tree.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Obstacles {
    /// Tracked files with somebody's changes.
    pub(super) changed: Vec<String>,
    /// Untracked files that the checkout would overwrite.
    pub(super) untracked: Vec<String>,
    /// A checkout was cut off here.
    pub(super) interrupted: bool,
}

impl Changes {
    /// Between two commits; none when there are too many to look at one by one.
    pub(super) fn between(git: &Git, a: &str, b: &str) -> Result<Option<Self>, Error> {
        let Some(raw) = git.whole(&["diff-tree", "-r", "-z", "--no-renames", "--raw", a, b])?
        else {
            return Ok(None);
        };
        let mut changes = BTreeMap::new();
        let mut words = raw.split('\0');
        while let (Some(entry), Some(path)) = (words.next(), words.next()) {
            let fields: Vec<&str> = entry.split(' ').collect();
            let [was, is, old, new, _] = fields.as_slice() else {
                return Err(Error::new("git diff-tree printed something unexpected"));
            };
            let blob = |mode: &str, id: &str| {
                (mode != LINK && !id.bytes().all(|b| b == b'0')).then(|| id.to_owned())
            };
            let blobs = [blob(was.trim_start_matches(':'), old), blob(is, new)];
            if blobs != [None, None] {
                changes.insert(path.to_owned(), blobs);
            }
        }
        Ok(Some(Self(changes)))
    }

    /// Between two commits, unless the first is not there: an attempt that failed before it had fetched knows nothing of
    /// it, and has changed nothing.
    pub(super) fn known(git: &Git, from: &str, to: &str) -> Result<Option<Self>, Error> {
        match git.commit(from)? {
            Some(_) => Self::between(git, from, to),
            None => Ok(None),
        }
    }

    /// All of a commit: what its first checkout brings.
    pub(super) fn whole(git: &Git, commit: &str) -> Result<Option<Self>, Error> {
        let nothing = git.look(&["hash-object", "-t", "tree", "/dev/null"])?;
        Self::between(git, nothing.trim(), commit)
    }

    /// Looks at the working tree before a checkout of the second commit, or of the first one. Only where this step has
    /// `begun` a checkout before, one may have been cut off.
    pub(super) fn obstacles(
        &self,
        git: &Git,
        to_second: bool,
        begun: bool,
    ) -> Result<Obstacles, Error> {
        let mut met = Obstacles::default();
        let modified = git.modified()?;
        for path in &modified {
            match self.0.get(path) {
                Some(blobs) if begun && self.is_left(git, path, blobs)? => met.interrupted = true,
                Some(_) | None => met.changed.push(path.clone()),
            }
        }
        let mut illegible = Vec::new();
        for (path, blobs) in &self.0 {
            let [old, new] = if to_second {
                [&blobs[0], &blobs[1]]
            } else {
                [&blobs[1], &blobs[0]]
            };
            if old.is_some() || new.is_none() || modified.contains(path) {
                continue;
            }
            if path.contains(ILLEGIBLE) {
                illegible.push(path.clone());
                continue;
            }
            match std::fs::symlink_metadata(git.dir().join(path)) {
                Err(e) if e.kind() == ErrorKind::NotADirectory => {
                    // A file where a directory comes; a tracked one gives met.
                    if !self.parents(path).any(|p| self.0.contains_key(p)) {
                        met.untracked.push(path.clone());
                    }
                }
                // Git itself refuses what it cannot make room for.
                Err(_) => {}
                Ok(meta) if meta.is_dir() => {
                    let below = format!("{path}/");
                    if !self.0.keys().any(|p| p.starts_with(&below)) {
                        met.untracked.push(path.clone());
                    }
                }
                Ok(_) if begun && self.is_left(git, path, blobs)? => met.interrupted = true,
                Ok(_) => met.untracked.push(path.clone()),
            }
        }
        // Git itself refuses to overwrite these, unless it is forced to.
        if met.interrupted {
            met.untracked.append(&mut illegible);
        }
        Ok(met)
    }

    fn parents<'p>(&self, path: &'p str) -> impl Iterator<Item = &'p str> {
        path.match_indices('/').filter_map(|(at, _)| path.get(..at))
    }

    fn is_left(&self, git: &Git, path: &str, blobs: &[Option<String>; 2]) -> Result<bool, Error> {
        if path.contains(ILLEGIBLE) {
            return Ok(false);
        }
        let full = git.dir().join(path);
        let meta = match std::fs::symlink_metadata(&full) {
            Ok(meta) => meta,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(true);
            }
            Err(e) => return Err(Error::io(format!("cannot look at {path}"), &e)),
        };
        let held = if meta.is_symlink() {
            use std::os::unix::ffi::OsStringExt;
            std::fs::read_link(&full).map(|to| to.into_os_string().into_vec())
        } else if meta.is_file() {
            let id = git.look(&["hash-object", "--", path])?;
            if blobs.iter().flatten().any(|b| b == id.trim()) {
                return Ok(true);
            }
            std::fs::read(&full)
        } else {
            return Ok(false);
        };
        let held = held.map_err(|e| Error::io(format!("cannot read {path}"), &e))?;
        for blob in blobs.iter().flatten() {
            // Text only: what is not would not survive the way through words here.
            if let Some(text) = git.whole(&["cat-file", "blob", blob])?
                && text.as_bytes().starts_with(&held)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
