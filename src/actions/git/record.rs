//! What `git.deploy` hands to the record: what was there before, what it is about to do, and what it produced.

use super::prune::Stays;
use super::repo::Head;
use super::{Deploy, resolve};
use crate::action::Kept;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

pub(super) type Work<'a> = crate::action::Work<'a, Note>;
pub(super) type Past = crate::action::Past<Deploy>;

/// What was there before, and what is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// The commit that is meant.
    #[serde(deserialize_with = "resolve::read_commit")]
    pub(super) commit: String,
    /// The branch or tag by which it was found.
    pub(super) name: Option<String>,
    /// Where it goes.
    pub(super) layout: Layout,
}

/// Where the commit goes, and what was there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Layout {
    /// A working clone that goes from commit to commit.
    InPlace(Tree),
    /// A directory of its own.
    SideBySide(Release),
}

/// A working clone, as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tree {
    /// Where it stood; none when there was none.
    pub(super) head: Option<Head>,
    /// Where its submodules stood.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) modules: Vec<Former>,
}

/// A submodule that was there before, wherever in the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Former {
    /// Its path in the tree above all.
    pub(super) path: String,
    pub(super) head: Head,
}

/// A release in a directory of its own, and the link to the one in force, as they were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Release {
    /// The directory of the release.
    pub(super) dir: String,
    /// It was there already, whole.
    pub(super) existed: bool,
    /// What the link held, as it stood there; none when there was no link.
    pub(super) target: Option<String>,
    /// It led to a directory.
    pub(super) led: bool,
    /// Releases that `keep` no longer keeps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) old: Vec<String>,
    /// Releases that stay although `keep` no longer keeps them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) stays: Vec<Stays>,
}

/// What the step is about to do, in either direction. All paths are absolute, but those of submodules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Note {
    /// A clone is made under another name, and gets its own when it is whole.
    Cloning {
        /// Its name.
        dir: String,
        /// The name under which it is made.
        at: String,
    },
    /// A clone is whole and gets its name.
    Cloned {
        /// Its name.
        dir: String,
        /// A digest of its tags, settings and hooks: what differs later is somebody's.
        state: Kept,
    },
    /// Git goes to a commit in a working clone and in its submodules.
    CheckingOut {
        /// The working clone.
        dir: String,
        /// The commit.
        commit: String,
    },
    /// Submodules that are not there are cloned.
    AddingSubmodules {
        /// Their paths in the working clone above all.
        paths: Vec<String>,
    },
    /// The link is switched.
    Switching {
        /// The link.
        link: String,
        /// The name under which the new link is made.
        at: String,
        /// Where it leads.
        from: Option<String>,
        /// Where it will lead; none: it is removed.
        to: Option<String>,
    },
    /// A directory of this program is removed: an old release, a clone of this step, a submodule that it brought.
    Removing {
        /// The directory.
        dir: String,
        /// The name under which it is removed.
        at: String,
    },
    /// A clone of this step in which somebody worked is moved aside.
    MovingAside {
        /// The clone.
        dir: String,
        /// Its new name.
        to: String,
    },
}

/// What was deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deployed {
    /// The full commit id.
    #[schemars(extend("format" = "commit"))]
    pub commit: String,
    /// The directory of the release; the working clone itself if `into` is used.
    #[schemars(extend("format" = "path"))]
    pub release: String,
}

/// What the notes of earlier attempts tell of the world.
impl Past {
    /// This step has made the clone of that name, or was about to.
    pub(super) fn has_cloned(&self, dir: &str) -> bool {
        self.noted()
            .any(|n| matches!(n, Note::Cloning { dir: made, .. } if made == dir))
    }

    /// What the clone of that name was when this step made it.
    pub(super) fn clone_state(&self, dir: &str) -> Option<&Kept> {
        self.noted().rev().find_map(|n| match n {
            Note::Cloned { dir: made, state } if made == dir => Some(state),
            _ => None,
        })
    }

    /// A checkout of this step in that working clone has begun in an earlier attempt, and may have been cut off.
    pub(super) fn has_checked_out(&self, dir: &str) -> bool {
        self.noted()
            .any(|n| matches!(n, Note::CheckingOut { dir: changed, .. } if changed == dir))
    }

    /// The submodules that this step has cloned, or was about to, by their paths in the working clone above all.
    pub(super) fn added(&self) -> impl Iterator<Item = &str> {
        self.noted()
            .flat_map(|n| match n {
                Note::AddingSubmodules { paths } => paths.as_slice(),
                _ => &[],
            })
            .map(String::as_str)
    }

    /// The names under which earlier attempts were about to make or to remove something.
    pub(super) fn temporary(&self) -> impl Iterator<Item = PathBuf> {
        self.noted().filter_map(|n| match n {
            Note::Cloning { at, .. } | Note::Switching { at, .. } | Note::Removing { at, .. } => {
                Some(PathBuf::from(at))
            }
            _ => None,
        })
    }
}

/// A path for the record.
pub(super) fn text(path: &Path) -> String {
    path.display().to_string()
}
