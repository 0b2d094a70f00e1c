//! `git.deploy`: exactly one commit in a working clone, by evidence.
//!
//! The look before resolves the name to a commit and records it with the former commit and branch; what is done
//! afterwards knows only that commit, so that a tag that moves meanwhile changes nothing. Evidence: HEAD is that
//! commit, detached, no tracked file is modified, and every submodule stands where the commit says. Files that are
//! neither tracked nor in the way (`.env`, `__pycache__`, ignored ones) stay as they are and are no dirt.
//!
//! Either one working clone goes from commit to commit (`into`, the module `checkout`), or each release has a directory of
//! its own and a link is switched (`releases` and `current`, the module `releases`).
//!
//! Invariants: nobody's work is overwritten: modified files, untracked files in the way and locks of others are
//! refused by name, and only what a cut-off checkout of this step left (the module `interrupted`) is put right. A clone
//! appears under its name whole, proven and durable, or not at all. What this step made is known by its notes, or has a
//! name with the run and the step in it: the undo removes only that, and a clone only when nothing in it is somebody's;
//! else it is moved aside.
//!
//! Left out: sparse and shallow clones (a sparse one counts as hidden files, and is refused), and the build of what was
//! checked out.

mod checkout;
mod clean;
mod cloned;
mod evidence;
mod interrupted;
mod prune;
mod record;
mod releases;
mod repo;
mod resolve;
mod shared;
mod submodules;

#[cfg(test)]
mod tests;

pub(crate) use prune::{made_at, reason_to_stay};
pub use record::{Before, Deployed, Note};
pub use shared::Shared;

use crate::action::values::absolute;
use crate::action::{
    Action, Consequences, Context, Direction, Error, Live, Look, Preview, Properties, Stage,
};
use crate::host::files::entry::{beside, exists, own_entries};
use crate::text::actions as actions_text;
use crate::text::settings as text;
use record::{Layout, Past, Tree, Work};
use repo::{Git, Locked};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use upledger_replay::event::Answer;

/// Checks out exactly one commit in a working clone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deploy {
    /// The repository: an absolute path, or a URL.
    pub repo: String,
    /// A branch, a tag such as `bklog/4.6.4`, or a commit.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The working clone, an absolute path; created if it does not exist. A sparse checkout is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// Instead of `into`: a directory, an absolute path, that contains one directory per release, named after `ref` and the
    /// commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub releases: Option<String>,
    /// With `releases`: the symbolic link to the current release, an absolute path. It is switched atomically when the
    /// release is complete and verified; the undo switches it back, and the release is kept for the next attempt. Without
    /// it, the release is only made, while the service is running: `release.switch` switches to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// With `releases`: the number of releases to keep, including the new and the previous one. Older releases that this
    /// program created are removed after the switch, including ignored files, unless they contain local changes, a symbolic
    /// link beside `current` or in `releases` points to them, or a process uses them. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<u32>,
    /// With `releases`: files and directories that all releases share, such as `.env`, uploads and logs. Symbolic links to
    /// them are in a release before it gets its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<Shared>,
    /// Query the repository, and fetch what is missing. Default: true. If false, the working clone must contain all of it.
    #[serde(default = "yes")]
    pub fetch: bool,
    /// Update submodules recursively, to exactly the commits that the tree records. If false, they are not changed.
    /// Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub submodules: bool,
    /// The commit that `ref` must resolve to. `plan --out` writes it: a tag that points to another commit when the plan
    /// runs is refused; of a branch that has moved on, this commit is deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// A file of the commit that contains the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_file: Option<VersionFile>,
}

/// A file of the commit that contains the version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VersionFile {
    /// Its path in the repository.
    pub path: String,
    /// Its whole content, without surrounding white space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<String>,
    /// Text that must be in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
}

fn yes() -> bool {
    true
}

impl Deploy {
    /// The working clone, as it is written.
    fn place(&self) -> &str {
        self.into.as_deref().unwrap_or_default()
    }

    fn into(&self) -> &Path {
        Path::new(self.place())
    }

    fn exists(&self) -> bool {
        exists(self.into())
    }

    fn git(&self, cx: &Context) -> Git {
        Git::at(cx, self.into())
            .following(self.submodules)
            .sharing(self.shared.as_ref())
    }

    fn resolve(&self, git: &Git, clone: Option<&Git>) -> Result<resolve::Resolved, Error> {
        let found = resolve::resolve(git, clone, &self.repo, &self.reference, self.fetch)?;
        resolve::approved(found, self.commit.as_deref(), &self.reference)
    }

    /// What was there before, in place.
    fn observe_in_place(&self, cx: &Context) -> Result<Before, Error> {
        let git = self.git(cx);
        let mut tree = Tree::default();
        if self.exists() {
            if let Some(lock) = Locked::find(&git)? {
                return Err(Error::new(lock.shown()));
            }
            let head = git.head()?;
            let mut modified = git.modified()?;
            if self.submodules {
                tree.modules = submodules::observe(&git, &head.commit, "", &mut modified)?;
            }
            if !modified.is_empty() {
                return Err(Error::new(format!(
                    "{} has modified files, which would be lost: {}",
                    self.place(),
                    git.named(&modified)?
                )));
            }
            tree.head = Some(head);
        } else if !self.fetch {
            return Err(Error::new(format!(
                "{} does not exist, and `fetch: false` does not create it",
                self.place()
            )));
        }
        let found = self.resolve(&git, tree.head.as_ref().map(|_| &git))?;
        Ok(Before {
            commit: found.commit,
            name: found.name,
            layout: Layout::InPlace(tree),
        })
    }

    /// The commit, for people who read a plan.
    fn meant(&self, before: Option<&Before>) -> String {
        let known = before.map(|b| &b.commit).or(self.commit.as_ref());
        known.map_or_else(
            || actions_text::the_commit_of(&self.reference),
            Clone::clone,
        )
    }

    /// What it does in place, in commands of git. `exists`: the working clone is there; none when nobody has looked.
    fn commands_in_place(&self, exists: Option<bool>, commit: &str) -> Vec<String> {
        let (place, repo, reference) = (self.place(), &self.repo, &self.reference);
        let clone = format!("git clone --no-checkout {repo} {place}");
        let fetch = format!("git -C {place} fetch {repo} {reference}");
        let mut commands = match (exists, self.fetch) {
            (Some(false), _) => vec![clone],
            (None, true) => vec![actions_text::or_if_there(clone, fetch)],
            (Some(true), true) => vec![fetch],
            (Some(true) | None, false) => Vec::new(),
        };
        commands.push(format!("git -C {place} checkout --detach {commit}"));
        if self.submodules {
            commands.push(format!(
                "git -C {place} submodule update --init --recursive"
            ));
        }
        commands
    }

    /// What earlier attempts made under names of their own, or were about to remove, and have left. A look that finds
    /// nothing done ends the notes of the attempts before it, but not their names.
    fn leftovers(&self, cx: &Context, past: &Past) -> Vec<PathBuf> {
        let mut left: Vec<PathBuf> = past.temporary().collect();
        for path in self.into.iter().chain(&self.current) {
            left.push(beside(Path::new(path), cx, "new"));
        }
        if let Some(dir) = &self.releases {
            left.extend(own_entries(Path::new(dir), cx, "new"));
        }
        left.retain(|path| exists(path));
        left.sort();
        left.dedup();
        left
    }

    fn outputs(&self, before: &Before) -> Deployed {
        Deployed {
            commit: before.commit.clone(),
            release: match &before.layout {
                Layout::InPlace(_) => self.place().to_owned(),
                Layout::SideBySide(release) => release.dir.clone(),
            },
        }
    }
}

impl Action for Deploy {
    type Before = Before;
    type Note = Note;
    type Output = Deployed;

    fn properties(&self) -> Properties {
        Properties {
            approved: self.fetch,
            live: if self.is_aside() {
                Live::Harmless
            } else {
                Live::Refused
            },
            ..Properties::reversible().at(Stage::Code)
        }
        .writing(
            [&self.into, &self.releases, &self.current]
                .into_iter()
                .flatten(),
        )
    }

    fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = resolve::problem(&self.reference).into_iter().collect();
        let paths = [
            ("into", &self.into),
            ("releases", &self.releases),
            ("current", &self.current),
        ];
        for (setting, path) in paths {
            if let Some(path) = path {
                problems.extend(absolute(setting, path));
                if Path::new(path).file_name().is_none() {
                    problems.push(text::path_needs_name(setting));
                }
            }
        }
        problems.extend(self.one_place());
        if !resolve::is_repo(&self.repo) {
            problems.push(text::no_repo(&self.repo));
        }
        if self.commit.as_ref().is_some_and(|c| !resolve::is_commit(c)) {
            problems.push(text::no_commit());
        }
        if let Some(file) = &self.version_file {
            let inside = Path::new(&file.path)
                .components()
                .all(|c| matches!(c, std::path::Component::Normal(_)));
            if file.path.is_empty() || !inside {
                problems.push(text::inside_repo());
            }
            if file.equals.is_some() == file.contains.is_some() {
                problems.push(text::version_needs());
            }
        }
        problems
    }

    fn outline(&self, direction: Direction) -> Vec<String> {
        match (direction, &self.current) {
            (Direction::Do, _) if self.releases.is_some() => self.release_commands(None),
            (Direction::Do, _) => self.commands_in_place(None, &self.meant(None)),
            (Direction::Undo, Some(current)) => vec![text::undo_release(current)],
            (Direction::Undo, None) if self.releases.is_some() => vec![text::undo_aside()],
            (Direction::Undo, None) => vec![text::undo_deploy()],
        }
    }

    fn observe(&self, cx: &Context) -> Result<Before, Error> {
        if self.side_by_side().is_some() {
            self.observe_release(cx)
        } else {
            self.observe_in_place(cx)
        }
    }

    fn resolved(&self, before: &Before) -> Option<Self> {
        Some(Self {
            commit: Some(before.commit.clone()),
            ..self.clone()
        })
    }

    fn preview(&self, direction: Direction, past: &Past) -> Preview {
        let before = &past.before;
        let commands = match (direction, &before.layout) {
            (Direction::Do, Layout::InPlace(tree)) => {
                self.commands_in_place(Some(tree.head.is_some()), &self.meant(Some(before)))
            }
            (Direction::Do, Layout::SideBySide(_)) => self.release_commands(Some(before)),
            (Direction::Undo, Layout::InPlace(tree)) => self.undo_commands(past, tree),
            (Direction::Undo, Layout::SideBySide(release)) => self.switch_back_commands(release),
        };
        let mut findings = Vec::new();
        if direction == Direction::Do {
            if let Some(name) = &before.name {
                findings.push(text::is_commit(name, &before.commit));
            }
            match &before.layout {
                Layout::InPlace(tree) => {
                    let head = tree.head.as_ref();
                    findings.extend(head.map(|head| text::stands_at(self.place(), head)));
                }
                Layout::SideBySide(release) => findings.extend(self.findings(release)),
            }
        }
        Preview {
            commands,
            findings,
            kept: Vec::new(),
        }
    }

    fn probe(&self, cx: &Context, past: &Past) -> Result<(Look, Option<Deployed>), Error> {
        let before = &past.before;
        let look = match &before.layout {
            Layout::InPlace(tree) => {
                let added: Vec<&str> = past.added().collect();
                self.is_deployed(cx, &before.commit, tree, &added)?
            }
            Layout::SideBySide(release) => self.is_in_force(cx, &before.commit, release)?,
        };
        let output = (look.answer == Answer::Done).then(|| self.outputs(before));
        Ok((look, output))
    }

    fn perform(&self, work: &mut Work<'_>, past: &Past) -> Result<Deployed, Error> {
        match &past.before.layout {
            Layout::InPlace(tree) => self.deploy(work, past, tree)?,
            Layout::SideBySide(release) => self.release(work, past, release)?,
        }
        Ok(self.outputs(&past.before))
    }

    fn undo(&self, work: &mut Work<'_>, past: &Past) -> Result<(), Error> {
        match &past.before.layout {
            Layout::InPlace(tree) => self.put_back(work, past, tree),
            Layout::SideBySide(release) => self.switch_back(work, past, release),
        }
    }

    fn consequences(&self, _cx: &Context, _past: &Past) -> Result<Consequences, Error> {
        // A release stays, a clone that somebody worked in is moved aside, and a checkout refuses local changes.
        Ok(Consequences::none())
    }

    fn undone(&self, cx: &Context, past: &Past) -> Result<Look, Error> {
        match &past.before.layout {
            Layout::InPlace(tree) => self.is_put_back(cx, past, tree),
            Layout::SideBySide(release) => self.is_switched_back(cx, past, release),
        }
    }
}
