//! `git.deploy`: exactly one commit in a working clone, by evidence.
//!
//! The look before resolves the name to a commit and records it with the former commit and branch; what is done
//! afterwards knows only that commit, so that a tag that moves meanwhile changes nothing. Evidence: HEAD is that
//! commit, detached, and no tracked file is modified. Files that are neither tracked nor in the way (`.env`,
//! `__pycache__`, ignored ones) stay as they are and are no dirt.
//!
//! Invariants: nobody's work is overwritten: modified files, untracked files in the way and locks of others are
//! refused by name, and only what a cut-off checkout of ours left (the module `half`) is put right. A clone appears under its
//! name whole or not at all. The undo deletes a clone only when nothing in it is somebody's; else it is moved aside.
//!
//! Left out: submodules, sparse and shallow clones, and the build of what was checked out.

mod act;
mod half;
mod repo;
mod resolve;

#[cfg(test)]
mod tests;

use super::values::absolute;
use super::{Action, Context, Look, Stage, Trouble};
use crate::text::settings as text;
use repo::{Git, Head, Locked, few};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::Write;
use std::path::Path;
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
    /// The working clone, an absolute path; it is made when it does not exist.
    pub into: String,
    /// Ask the repository, and fetch what is missing. Default: true. Without it, the working clone must have it all.
    #[serde(default = "yes")]
    pub fetch: bool,
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
}

fn observed(value: &Value) -> Result<Observed, Trouble> {
    let seen: Observed = serde_json::from_value(value.clone())
        .map_err(|e| Trouble::io("what was observed cannot be read", &e))?;
    let all = [Some(&seen.commit), seen.before.as_ref().map(|b| &b.commit)];
    if all.into_iter().flatten().all(|c| resolve::is_commit(c)) {
        Ok(seen)
    } else {
        Err(Trouble::new("what was observed is no commit"))
    }
}

impl Deploy {
    fn into(&self) -> &Path {
        Path::new(&self.into)
    }

    fn exists(&self) -> bool {
        std::fs::symlink_metadata(&self.into).is_ok()
    }

    fn git(&self, cx: &Context) -> Git {
        Git::at(cx, self.into())
    }

    /// What the version file says against the plan; none when it agrees.
    fn version(&self, git: &Git, commit: &str) -> Result<Option<String>, Trouble> {
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
    fn deployed(&self, cx: &Context, commit: &str, before: Option<&Head>) -> Result<Look, Trouble> {
        if !self.exists() {
            return Ok(Look::nothing(format!("{} does not exist", self.into)));
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
        let stands = stands(&head);
        if head.commit != commit || head.branch.is_some() {
            let untouched = before == Some(&head);
            let text = format!("{} is at {stands}, not at {commit}", self.into);
            return Ok(if untouched {
                Look::nothing(text)
            } else {
                Look::unclear(text)
            });
        }
        if let Some(wrong) = self.version(&git, commit)? {
            return Ok(Look::unclear(wrong));
        }
        let mut look = Look::done(format!("HEAD is {commit}, and no tracked file is modified"));
        let log = git.look(&[
            "log",
            "-1",
            "--no-show-signature",
            "--format=%h %cI %an: %s",
        ])?;
        look.evidence.push(log.trim().to_owned());
        look.evidence.extend(
            self.version_file
                .as_ref()
                .map(|f| format!("{} agrees", f.path)),
        );
        Ok(look)
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
        let mut problems: Vec<String> = absolute("into", &self.into).into_iter().collect();
        problems.extend(resolve::problem(&self.reference));
        let path = self.repo.starts_with('/');
        let url = ["https://", "http://", "ssh://", "git://", "file://"]
            .iter()
            .any(|s| self.repo.starts_with(s));
        let host = self.repo.split_once(':').is_some_and(|(host, path)| {
            !host.is_empty()
                && !host.contains('/')
                && !host.starts_with('-')
                && !path.starts_with(':')
        });
        if !(path || url || (host && !self.repo.contains("://"))) {
            problems.push(text::no_repo(&self.repo));
        }
        if Path::new(&self.into).file_name().is_none() {
            problems.push(text::into_needs_name());
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

    fn observe(&self, cx: &Context) -> Result<Value, Trouble> {
        let git = self.git(cx);
        let before = if self.exists() {
            if let Some(lock) = Locked::find(&git)? {
                return Err(Trouble::new(lock.shown()));
            }
            let head = git.head()?;
            let modified = git.modified()?;
            if !modified.is_empty() {
                return Err(Trouble::new(format!(
                    "{} has modified files, which would be lost: {}",
                    self.into,
                    few(&modified)
                )));
            }
            Some(head)
        } else if self.fetch {
            None
        } else {
            return Err(Trouble::new(format!(
                "{} does not exist, and `fetch: false` makes none",
                self.into
            )));
        };
        let clone = before.as_ref().map(|_| &git);
        let found = resolve::resolve(&git, clone, &self.repo, &self.reference, self.fetch)?;
        serde_json::to_value(Observed {
            commit: found.commit,
            name: found.name,
            before,
        })
        .map_err(|e| Trouble::io("what was observed cannot be kept", &e))
    }

    fn undoing(&self) -> Option<String> {
        Some(crate::text::settings::undo_deploy())
    }

    fn commands(&self, _cx: &Context) -> Vec<String> {
        let mut commands = Vec::new();
        if !self.exists() {
            commands.push(format!(
                "git clone --no-checkout {} {}",
                self.repo, self.into
            ));
        } else if self.fetch {
            commands.push(format!(
                "git -C {} fetch {} {}",
                self.into, self.repo, self.reference
            ));
        }
        commands.push(format!(
            "git -C {} checkout --detach <the commit of {}>",
            self.into, self.reference
        ));
        commands
    }

    fn probe(&self, cx: &Context, value: &Value) -> Result<Look, Trouble> {
        let seen = observed(value)?;
        self.deployed(cx, &seen.commit, seen.before.as_ref())
    }

    fn perform(&self, cx: &Context, value: &Value, log: &mut dyn Write) -> Result<(), Trouble> {
        self.deploy(cx, &observed(value)?, log)
    }

    fn verify(&self, cx: &Context, value: &Value) -> Result<Look, Trouble> {
        self.probe(cx, value)
    }

    fn undo(&self, cx: &Context, value: &Value, log: &mut dyn Write) -> Result<(), Trouble> {
        self.put_back(cx, &observed(value)?, log)
    }

    fn undone(&self, cx: &Context, value: &Value) -> Result<Look, Trouble> {
        self.is_back(cx, &observed(value)?)
    }
}
