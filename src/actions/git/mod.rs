//! `git.deploy`: exactly one commit in a working clone, by evidence.
//!
//! The look before resolves the name to a commit and records it with the former commit and branch; what is done
//! afterwards knows only that commit, so that a tag that moves meanwhile changes nothing. Evidence: HEAD is that
//! commit, detached, no tracked file is modified, and every submodule stands where the commit says. Files that are
//! neither tracked nor in the way (`.env`, `__pycache__`, ignored ones) stay as they are and are no dirt.
//!
//! Either one working clone goes from commit to commit (`into`, the module `act`), or each release has a directory of
//! its own and a link is switched (`releases` and `current`, the module `releases`).
//!
//! Invariants: nobody's work is overwritten: modified files, untracked files in the way and locks of others are
//! refused by name, and only what a cut-off checkout of ours left (the module `half`) is put right. A clone appears under its
//! name whole, proven and durable, or not at all. The undo deletes a clone only when nothing in it is somebody's; else it
//! is moved aside.
//!
//! Left out: sparse and shallow clones (a sparse one counts as hidden files, and is refused), and the build of what was
//! checked out.

mod act;
mod cloned;
mod half;
mod keep;
mod modules;
mod releases;
mod repo;
mod resolve;

#[cfg(test)]
mod tests;

use super::values::absolute;
use super::{Action, Context, Error, Kept, Look, Stage};
use crate::text::actions as told;
use crate::text::settings as text;
use modules::Former;
use releases::Release;
use repo::{Git, Head, Locked, few};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use upledger_replay::event::Answer;
use upledger_replay::plan::Effect;

/// Checks out exactly one commit in a working clone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deploy {
    /// The repository: an absolute path, or a URL.
    pub repo: String,
    /// A branch, a tag such as `bklog/4.6.4`, or a commit.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The working clone, an absolute path; it is made when it does not exist. A sparse one is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// Instead of `into`: a directory, an absolute path, in which each release has a directory of its own, named after
    /// `ref` and the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub releases: Option<String>,
    /// Beside `releases`: the symbolic link that leads to the release in force, an absolute path. It is switched at
    /// once, when the release is whole and proven; the undo switches it back, and the release stays for the next try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// Beside `releases`: how many releases stay, the new and the former one included. Older ones that this program
    /// made are removed after the switch with all that git ignores in them, unless somebody worked there, a symbolic
    /// link beside `current` or in `releases` leads there, or a process uses it. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<u32>,
    /// Ask the repository, and fetch what is missing. Default: true. Without it, the working clone must have it all.
    #[serde(default = "yes")]
    pub fetch: bool,
    /// Its submodules too, and theirs: exactly the commits that the tree names. Without it, they stay as they are.
    /// Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub submodules: bool,
    /// The commit that `ref` has to be. `plan --out` writes it: a tag that is another commit when the plan runs is
    /// refused, and of a branch that has moved on, this commit is what is deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// A file of the commit that tells the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_file: Option<VersionFile>,
}

/// A file of the commit that tells the version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VersionFile {
    /// Its path in the repository.
    pub path: String,
    /// All that it says; blanks at either end do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<String>,
    /// Text that must be in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
}

fn yes() -> bool {
    true
}

/// What was there before, and what is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Observed {
    /// The commit that is meant.
    commit: String,
    /// The branch or tag by which it was found.
    name: Option<String>,
    /// Where the working clone stood; none when there was none.
    before: Option<Head>,
    /// Where its submodules stood.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    modules: Vec<Former>,
    /// Of a release in a directory of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    release: Option<Release>,
}

fn observed(value: &Value) -> Result<Observed, Error> {
    let seen: Observed = serde_json::from_value(value.clone())
        .map_err(|e| Error::io("what was observed cannot be read", &e))?;
    let formers = seen.modules.iter().map(|m| &m.head);
    let heads = seen.before.iter().chain(formers).map(|h| &h.commit);
    if heads.chain([&seen.commit]).all(|c| resolve::is_commit(c)) {
        Ok(seen)
    } else {
        Err(Error::new("what was observed is no commit"))
    }
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
        std::fs::symlink_metadata(self.into()).is_ok()
    }

    fn git(&self, cx: &Context) -> Git {
        Git::at(cx, self.into()).following(self.submodules)
    }

    /// What the version file says against the plan; none when it agrees.
    fn version(&self, git: &Git, commit: &str) -> Result<Option<String>, Error> {
        let Some(file) = &self.version_file else {
            return Ok(None);
        };
        // Read from the commit, not from the disk, where it may be a link to anywhere; the tree is clean all the same.
        let seen = git.try_look(&["cat-file", "blob", &format!("{commit}:{}", file.path)])?;
        if seen.code != Some(0) {
            return Ok(Some(format!("the commit has no file {}", file.path)));
        }
        let text = seen.stdout.trim();
        let equal = file.equals.as_ref().is_none_or(|e| text == e.trim());
        let contained = file
            .contains
            .as_ref()
            .is_none_or(|c| text.contains(c.as_str()));
        let wanted = file.equals.as_ref().or(file.contains.as_ref());
        Ok((!(equal && contained)).then(|| {
            let start: String = seen.shown.trim().chars().take(200).collect();
            format!(
                "{} should say '{}' and says '{start}'",
                file.path,
                wanted.map_or("", String::as_str)
            )
        }))
    }

    /// Whether the commit is there.
    fn deployed(&self, cx: &Context, seen: &Observed) -> Result<Look, Error> {
        if !self.exists() {
            return Ok(Look::nothing(format!("{} does not exist", self.place())));
        }
        let git = self.git(cx);
        if let Some(lock) = Locked::find(&git)? {
            return Ok(Look::unclear(lock.shown()));
        }
        let head = git.head()?;
        let modified = git.modified()?;
        if !modified.is_empty() {
            return Ok(Look::unclear(format!(
                "HEAD is {}, and these files are modified: {}",
                head.commit,
                few(&modified)
            )));
        }
        let before = seen.before.as_ref() == Some(&head);
        if head.commit != seen.commit || head.branch.is_some() {
            let text = format!(
                "{} is at {}, not at {}",
                self.place(),
                stands(&head),
                seen.commit
            );
            return Ok(if before {
                Look::nothing(text)
            } else {
                Look::unclear(text)
            });
        }
        let look = self.evidence(&git, &seen.commit)?;
        // The tree was there before; what is missing may be its submodules alone.
        let nothing = look.answer != Answer::Done
            && before
            && self.submodules
            && self.version(&git, &seen.commit)?.is_none()
            && modules::as_before(&git, &seen.commit, &seen.modules)?
                .wrong
                .is_empty();
        Ok(Look {
            answer: if nothing {
                Answer::Nothing
            } else {
                look.answer
            },
            ..look
        })
    }

    /// The evidence of a tree that stands at the commit, with no tracked file modified.
    fn evidence(&self, git: &Git, commit: &str) -> Result<Look, Error> {
        let mut look = Look::done(format!("HEAD is {commit}, and no tracked file is modified"));
        if self.submodules {
            let mut subs = modules::Seen::default();
            modules::look(git, commit, "", &mut subs)?;
            if !subs.wrong.is_empty() {
                return Ok(Look::unclear(few(&subs.wrong)));
            }
            look.evidence.extend(subs.lines);
        }
        if let Some(wrong) = self.version(git, commit)? {
            return Ok(Look::unclear(wrong));
        }
        let log = git.look(&[
            "log",
            "-1",
            "--no-show-signature",
            "--format=%h %cI %an: %s",
        ])?;
        look.evidence.push(log.trim().to_owned());
        if !self.submodules && modules::any(git, commit)? {
            let said =
                "it names submodules, which stay as they are: `submodules: true` takes them along";
            look.evidence.push(said.to_owned());
        }
        look.evidence.extend(
            self.version_file
                .as_ref()
                .map(|f| format!("{} agrees", f.path)),
        );
        Ok(look)
    }

    /// Refuses a tree that is not what was asked for, before it gets its name.
    fn proven(&self, git: &Git, commit: &str) -> Result<(), Error> {
        let head = git.head()?;
        let modified = git.modified()?;
        if head.commit != commit || head.branch.is_some() || !modified.is_empty() {
            return Err(Error::new(format!(
                "{} is at {} with modified files ({}), not cleanly at {commit}",
                git.dir().display(),
                stands(&head),
                few(&modified)
            )));
        }
        let look = self.evidence(git, commit)?;
        if look.answer == Answer::Done {
            Ok(())
        } else {
            Err(Error::new(look.evidence.join("; ")))
        }
    }

    /// The commit, for people who read a plan.
    fn meant(&self) -> String {
        let known = self.commit.clone();
        known.unwrap_or_else(|| told::the_commit_of(&self.reference))
    }

    fn resolve(&self, git: &Git, clone: Option<&Git>) -> Result<resolve::Resolved, Error> {
        let found = resolve::resolve(git, clone, &self.repo, &self.reference, self.fetch)?;
        resolve::approved(found, self.commit.as_deref(), &self.reference)
    }

    /// What was there before, in place.
    fn seen_in_place(&self, cx: &Context) -> Result<Observed, Error> {
        let git = self.git(cx);
        let mut formers = Vec::new();
        let before = if self.exists() {
            if let Some(lock) = Locked::find(&git)? {
                return Err(Error::new(lock.shown()));
            }
            let head = git.head()?;
            let mut modified = git.modified()?;
            if self.submodules {
                formers = modules::formers(&git, &head.commit, "", &mut modified)?;
            }
            if !modified.is_empty() {
                return Err(Error::new(format!(
                    "{} has modified files, which would be lost: {}",
                    self.place(),
                    few(&modified)
                )));
            }
            Some(head)
        } else if self.fetch {
            None
        } else {
            return Err(Error::new(format!(
                "{} does not exist, and `fetch: false` makes none",
                self.place()
            )));
        };
        let found = self.resolve(&git, before.as_ref().map(|_| &git))?;
        Ok(Observed {
            commit: found.commit,
            name: found.name,
            before,
            modules: formers,
            release: None,
        })
    }
}

/// Where a working tree stands, for people.
fn stands(head: &Head) -> String {
    match &head.branch {
        Some(branch) => format!("{} ({branch})", head.commit),
        None => head.commit.clone(),
    }
}

impl Action for Deploy {
    fn effect(&self) -> Effect {
        Effect::Probed
    }

    fn has_probe(&self) -> bool {
        true
    }

    fn has_undo(&self) -> bool {
        true
    }

    fn stages(&self) -> Vec<Stage> {
        vec![Stage::Code]
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

    fn observe(&self, cx: &Context) -> Result<Value, Error> {
        let seen = if self.side_by_side().is_some() {
            self.seen_release(cx)?
        } else {
            self.seen_in_place(cx)?
        };
        serde_json::to_value(seen).map_err(|e| Error::io("what was observed cannot be kept", &e))
    }

    fn found(&self, value: &Value) -> Vec<String> {
        let Ok(seen) = observed(value) else {
            return Vec::new();
        };
        let mut lines = Vec::new();
        if let Some(name) = &seen.name {
            lines.push(text::is_commit(name, &seen.commit));
        }
        if let Some(before) = &seen.before {
            lines.push(text::stands_at(self.place(), stands(before)));
        }
        lines.extend(seen.release.iter().flat_map(|r| self.found_release(r)));
        lines
    }

    fn resolved(&self, value: &Value) -> Option<Value> {
        let seen = observed(value).ok()?;
        let resolved = Self {
            commit: Some(seen.commit),
            ..self.clone()
        };
        serde_json::to_value(resolved).ok()
    }

    fn approved(&self) -> bool {
        self.commit.is_some() && self.fetch
    }

    fn undoing(&self) -> Option<String> {
        Some(match &self.current {
            Some(current) => text::undo_release(current),
            None => text::undo_deploy(),
        })
    }

    fn kept(&self, _cx: &Context, value: &Value) -> Vec<Kept> {
        let Ok(seen) = observed(value) else {
            return Vec::new();
        };
        let former = match (&seen.release, &self.current) {
            (Some(release), Some(current)) => release.former().map(|at| (at, current.clone())),
            _ => seen.before.as_ref().map(|head| {
                let place = self.place().to_owned();
                (format!("{place}, commit {}", head.commit), place)
            }),
        };
        former.map(|(at, of)| Kept { at, of }).into_iter().collect()
    }

    fn commands(&self, _cx: &Context) -> Vec<String> {
        if self.side_by_side().is_some() {
            return self.release_commands();
        }
        let mut commands = Vec::new();
        if !self.exists() {
            commands.push(format!(
                "git clone --no-checkout {} {}",
                self.repo,
                self.place()
            ));
        } else if self.fetch {
            commands.push(format!(
                "git -C {} fetch {} {}",
                self.place(),
                self.repo,
                self.reference
            ));
        }
        commands.push(format!(
            "git -C {} checkout --detach {}",
            self.place(),
            self.meant()
        ));
        if self.submodules {
            commands.push(format!(
                "git -C {} submodule update --init --recursive",
                self.place()
            ));
        }
        commands
    }

    fn probe(&self, cx: &Context, value: &Value) -> Result<Look, Error> {
        let seen = observed(value)?;
        match &seen.release {
            Some(release) => self.in_force(cx, &seen, release),
            None => self.deployed(cx, &seen),
        }
    }

    fn perform(&self, cx: &Context, value: &Value, log: &mut dyn Write) -> Result<(), Error> {
        let seen = observed(value)?;
        match &seen.release {
            Some(release) => self.release(cx, &seen, release, log),
            None => self.deploy(cx, &seen, log),
        }
    }

    fn verify(&self, cx: &Context, value: &Value) -> Result<Look, Error> {
        self.probe(cx, value)
    }

    fn undo(&self, cx: &Context, value: &Value, log: &mut dyn Write) -> Result<(), Error> {
        let seen = observed(value)?;
        match &seen.release {
            Some(release) => self.switch_back(cx, release, log),
            None => self.put_back(cx, &seen, log),
        }
    }

    fn undone(&self, cx: &Context, value: &Value) -> Result<Look, Error> {
        let seen = observed(value)?;
        match &seen.release {
            Some(release) => self.is_switched_back(cx, release),
            None => self.is_back(cx, &seen),
        }
    }
}
