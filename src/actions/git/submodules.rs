//! Submodules: exactly the commits that a tree names, all the way down, each by evidence; and back to the former ones.
//!
//! Each submodule is a working tree of its own and goes from where it stood to where it shall stand by the same way as
//! the tree above it, so that nobody's work in one is lost either. One that was not there is cloned by git itself.
//!
//! Invariants: a path of a tree that leads out of it (`..`, a link) is refused; a clone that was cut off is recognised
//! by holding no commit at all, and only such a one is removed; after the undo, a submodule that this step added, as its
//! notes tell, is gone unless something in it is somebody's.
//!
//! Left out: URLs that changed between two commits. What `.git/config` says is somebody's choice, and it counts;
//! where it does not give the commit, the error says how to take over the new one.

use super::checkout::{checkout, fetch_commit, unlock};
use super::interrupted::Changes;
use super::record::{Former, Note, Past, Work, text};
use super::repo::{Git, Head, Locked};
use crate::action::Error;
use crate::encoding;
use crate::host::files::entry;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Component, Path};

/// A submodule that a tree names.
struct Link {
    path: String,
    commit: String,
}

/// What a look at all submodules of a tree saw.
#[derive(Default)]
pub(super) struct Findings {
    /// Where they stand, in lines.
    pub(super) lines: Vec<String>,
    /// What is not as it shall be.
    pub(super) wrong: Vec<String>,
}

/// The submodules that a commit names, without those inside them.
fn links(git: &Git, commit: &str) -> Result<Vec<Link>, Error> {
    let mut found = Vec::new();
    // Where it was never fetched, it has brought nothing.
    if git.commit(commit)?.is_none() {
        return Ok(found);
    }
    git.each(&["ls-tree", "-r", "-z", commit], &mut |entry| {
        // A path that is no UTF-8 leads nowhere so, and is named.
        let entry = encoding::escaped(entry);
        if let Some(("160000 commit", rest)) = entry.split_at_checked(13)
            && let Some((id, path)) = rest.trim_start().split_once('\t')
        {
            found.push(Link {
                path: path.to_owned(),
                commit: id.to_owned(),
            });
        }
    })?;
    for link in &found {
        inside(git, &link.path)?;
    }
    Ok(found)
}

/// A tree may name a path that leads elsewhere, and a link on the way leads wherever it likes.
fn inside(git: &Git, path: &str) -> Result<(), Error> {
    let mut at = git.dir().to_path_buf();
    let mut plain = !path.is_empty() && !encoding::is_escaped(path);
    for part in Path::new(path).components() {
        plain &= matches!(part, Component::Normal(name) if name != ".git");
        at.push(part);
        plain &= !std::fs::symlink_metadata(&at).is_ok_and(|m| m.is_symlink());
    }
    if plain {
        Ok(())
    } else {
        Err(Error::new(format!(
            "the submodule {path} is outside the working tree; it is not touched"
        )))
    }
}

/// Something was cloned there.
fn populated(git: &Git) -> bool {
    std::fs::symlink_metadata(git.dir().join(".git")).is_ok()
}

/// Whether a commit names submodules.
pub(super) fn any(git: &Git, commit: &str) -> Result<bool, Error> {
    Ok(!links(git, commit)?.is_empty())
}

/// Those that are there, each where the commit says. Another place, or modified files, are in the way and named.
pub(super) fn observe(
    git: &Git,
    commit: &str,
    above: &str,
    in_the_way: &mut Vec<String>,
) -> Result<Vec<Former>, Error> {
    let mut found = Vec::new();
    for link in links(git, commit)? {
        let sub = git.inside(&link.path);
        if !populated(&sub) {
            continue;
        }
        let path = format!("{above}{}", link.path);
        if let Some(lock) = Locked::find(&sub)? {
            return Err(Error::new(lock.shown()));
        }
        let head = sub.head()?;
        if head.commit != link.commit {
            in_the_way.push(format!("{path} (a submodule at another commit)"));
        }
        in_the_way.extend(sub.modified()?.iter().map(|m| format!("{path}/{m}")));
        found.push(Former {
            path: path.clone(),
            head: head.clone(),
        });
        found.extend(observe(
            &sub,
            &head.commit,
            &format!("{path}/"),
            in_the_way,
        )?);
    }
    Ok(found)
}

/// Looks whether each submodule that a commit names stands there, clean.
pub(super) fn look(git: &Git, commit: &str, above: &str, seen: &mut Findings) -> Result<(), Error> {
    for link in links(git, commit)? {
        let sub = git.inside(&link.path);
        let path = format!("{above}{}", link.path);
        if !populated(&sub) {
            seen.wrong
                .push(format!("the submodule {path} does not exist"));
            continue;
        }
        if let Some(lock) = Locked::find(&sub)? {
            seen.wrong.push(lock.shown());
            continue;
        }
        let head = sub.head()?;
        if head.commit != link.commit {
            seen.wrong.push(format!(
                "the submodule {path} is at {}, not at {}",
                head.commit, link.commit
            ));
            continue;
        }
        let modified = sub.modified()?;
        if !modified.is_empty() {
            seen.wrong.push(format!(
                "in the submodule {path} these files are modified: {}",
                sub.named(&modified)?
            ));
            continue;
        }
        if let Some(why) = sub.other_bytes(&link.commit)? {
            seen.wrong.push(why);
            continue;
        }
        seen.lines
            .push(format!("{path} is at {}, clean", link.commit));
        look(&sub, &link.commit, &format!("{path}/"), seen)?;
    }
    Ok(())
}

/// Whether each former submodule stands where it stood, clean, and none that this step has added is there.
pub(super) fn former(
    git: &Git,
    commit: &str,
    formers: &[Former],
    added: &[&str],
) -> Result<Findings, Error> {
    let mut seen = Findings::default();
    for former in formers {
        inside(git, &former.path)?;
        let sub = git.inside(&former.path);
        if !populated(&sub) {
            seen.wrong
                .push(format!("the submodule {} does not exist", former.path));
            continue;
        }
        if let Some(lock) = Locked::find(&sub)? {
            seen.wrong.push(lock.shown());
            continue;
        }
        let head = sub.head()?;
        let modified = sub.modified()?;
        if head != former.head.restorable(&sub)? || !modified.is_empty() {
            seen.wrong.push(format!(
                "the submodule {} is at {head}, with {} modified files",
                former.path,
                modified.len()
            ));
        } else {
            seen.lines.push(format!("{} is at {head}", former.path));
        }
    }
    still_there(git, commit, "", added, &mut seen.wrong)?;
    Ok(seen)
}

/// Names the submodules that were added and hold nothing of somebody's.
fn still_there(
    git: &Git,
    commit: &str,
    above: &str,
    added: &[&str],
    found: &mut Vec<String>,
) -> Result<(), Error> {
    for link in links(git, commit)? {
        let path = format!("{above}{}", link.path);
        let sub = git.inside(&link.path);
        if !populated(&sub) {
            continue;
        }
        if !added.contains(&path.as_str()) {
            still_there(&sub, &link.commit, &format!("{path}/"), added, found)?;
        } else if is_untouched(&sub, &link.commit).unwrap_or(false) {
            found.push(format!("the submodule {path} exists"));
        }
    }
    Ok(())
}

/// Nothing is in a submodule, or below it, but what was cloned.
pub(super) fn is_untouched(git: &Git, commit: &str) -> Result<bool, Error> {
    let head = git.head()?;
    let all = [
        "status",
        "--porcelain",
        "--ignored",
        "--untracked-files=all",
        "--ignore-submodules=none",
    ];
    let own = [
        "rev-list",
        "--max-count=1",
        "--all",
        "--reflog",
        "--not",
        "--remotes",
        "--tags",
        commit,
    ];
    let clean = head.commit == commit
        && git.look(&all)?.is_empty()
        && git.hidden()?.is_empty()
        && git.look(&own)?.is_empty();
    if !clean {
        return Ok(false);
    }
    for link in links(git, commit)? {
        let sub = git.inside(&link.path);
        if populated(&sub) && !is_untouched(&sub, &link.commit)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Every repository of a tree, its own first.
pub(super) fn repositories(git: &Git, commit: &str) -> Result<Vec<Git>, Error> {
    let mut found = Vec::new();
    for link in links(git, commit)? {
        let sub = git.inside(&link.path);
        if populated(&sub) {
            let below = repositories(&sub, &link.commit)?;
            found.push(sub);
            found.extend(below);
        }
    }
    Ok(found)
}

/// What is known of the submodules of a working clone, beside what they show.
#[derive(Default)]
pub(super) struct Modules<'a> {
    /// Those that were there before.
    formers: &'a [Former],
    /// Those that this step has cloned, or was about to, by their paths.
    added: BTreeSet<&'a str>,
    /// A checkout of this step has begun in the working clone before, and may have been cut off anywhere in it.
    pub(super) begun: bool,
}

impl<'a> Modules<'a> {
    /// Those of the working clone `dir`.
    pub(super) fn of(past: &'a Past, formers: &'a [Former], dir: &str) -> Self {
        Self {
            formers,
            added: past.added().collect(),
            begun: past.has_checked_out(dir),
        }
    }

    fn was_there(&self, path: &str) -> Option<&'a Head> {
        let former = self.formers.iter().find(|f| f.path == path);
        former.map(|f| &f.head)
    }

    /// Brings every submodule to the commit that the tree at `commit` names.
    pub(super) fn update(
        &self,
        git: &Git,
        commit: &str,
        above: &str,
        work: &mut Work<'_>,
    ) -> Result<(), Error> {
        let links = links(git, commit)?;
        let path_of = |link: &Link| format!("{above}{}", link.path);
        let missing: Vec<String> = links
            .iter()
            .filter(|link| !populated(&git.inside(&link.path)))
            .map(path_of)
            .filter(|path| self.was_there(path).is_none())
            .collect();
        if !missing.is_empty() {
            work.note(Note::AddingSubmodules { paths: missing })?;
        }
        for link in links {
            let path = path_of(&link);
            let sub = git.inside(&link.path);
            let to = Head::detached(&link.commit);
            let former = self.was_there(&path);
            if former.is_none() {
                populate(git, commit, &link, &sub, work)?;
            }
            unlock(&sub, self.begun, work)?;
            fetch_commit(&sub, &path, &link.commit, work)?;
            if self.added.contains(path.as_str()) && is_never_checked_out(&sub)? {
                self.complete_first_checkout(&sub, &link.commit, work)?;
            } else {
                let from = former.unwrap_or(&to);
                let changes = Changes::known(&sub, &from.commit, &link.commit)?;
                checkout(&sub, changes, [from, &to], self.begun, work)?;
            }
            self.update(&sub, &link.commit, &format!("{path}/"), work)?;
        }
        Ok(())
    }

    /// Completes a first checkout that was cut off: HEAD may be anywhere, and there is no index to tell of the commit.
    fn complete_first_checkout(
        &self,
        git: &Git,
        commit: &str,
        work: &mut Work<'_>,
    ) -> Result<(), Error> {
        git.work(&["update-ref", "--no-deref", "HEAD", commit])?;
        let at = Head::detached(commit);
        let changes = Changes::whole(git, commit)?;
        checkout(git, changes, [&at, &at], self.begun, work)
    }

    /// Removes what clones of this step that were cut off have left: what leads nowhere stops every look at the tree.
    pub(super) fn remove_interrupted_clones(
        &self,
        git: &Git,
        commit: &str,
        work: &mut Work<'_>,
    ) -> Result<(), Error> {
        for link in links(git, commit)? {
            if self.added.contains(link.path.as_str()) {
                remove_interrupted_clone(git, commit, &link, work)?;
            }
        }
        Ok(())
    }

    /// Removes the submodules that this step has added, before the tree above goes back; what holds somebody's work
    /// stays.
    pub(super) fn remove_added(
        &self,
        git: &Git,
        commit: &str,
        above: &str,
        work: &mut Work<'_>,
    ) -> Result<(), Error> {
        for link in links(git, commit)? {
            let path = format!("{above}{}", link.path);
            let sub = git.inside(&link.path);
            if !self.added.contains(path.as_str()) {
                if populated(&sub) {
                    self.remove_added(&sub, &link.commit, &format!("{path}/"), work)?;
                }
                continue;
            }
            if !populated(&sub) {
                // A removal was cut off; while the tree names it, its place has to be there.
                if git.head()?.commit == commit {
                    make_place(&sub)?;
                }
                continue;
            }
            if is_never_checked_out(&sub)? {
                // Only what is complete can be told from somebody's work; where it cannot be completed, it stays.
                let _ = unlock(&sub, self.begun, work)
                    .and_then(|()| self.complete_first_checkout(&sub, &link.commit, work));
            }
            if is_untouched(&sub, &link.commit).unwrap_or(false) {
                let at = git.path("upledger-removed")?;
                work.note(Note::Removing {
                    dir: text(sub.dir()),
                    at: text(&at),
                })?;
                entry::remove_by_way_of(sub.dir(), &at)?;
                make_place(&sub)?;
                work.log_line(&format!("removed the submodule {path}"));
            } else {
                let stays = "contains other files or commits and is kept";
                work.log_line(&format!("the submodule {path} {stays}"));
            }
        }
        Ok(())
    }

    /// Brings the former submodules back to where they stood.
    pub(super) fn put_back(
        &self,
        git: &Git,
        commit: &str,
        work: &mut Work<'_>,
    ) -> Result<(), Error> {
        // Those above come first in the list, so that those inside them are there when their turn comes.
        for former in self.formers {
            inside(git, &former.path)?;
            let sub = git.inside(&former.path);
            if !populated(&sub) {
                return Err(
                    Error::new(format!("the submodule {} no longer exists", former.path)).remedy(
                        format!(
                            "restore it with: git -C {} submodule update --init -- {}",
                            git.dir().display(),
                            former.path
                        ),
                    ),
                );
            }
            unlock(&sub, self.begun, work)?;
            let to = former.head.restorable(&sub)?;
            let meant = meant(git, commit, &former.path)?;
            let from = Head::detached(meant.as_ref().unwrap_or(&to.commit));
            let changes = Changes::known(&sub, &from.commit, &to.commit)?;
            checkout(&sub, changes, [&from, &to], self.begun, work)?;
        }
        Ok(())
    }
}

/// The place of a submodule that is not there.
fn make_place(sub: &Git) -> Result<(), Error> {
    match std::fs::create_dir(sub.dir()) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(Error::io(
            format!("cannot make {}", sub.dir().display()),
            &e,
        )),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn is_never_checked_out(git: &Git) -> Result<bool, Error> {
    Ok(!entry::exists(&git.path("index")?))
}

/// Clones a submodule that was not there.
fn populate(
    git: &Git,
    commit: &str,
    link: &Link,
    sub: &Git,
    work: &mut Work<'_>,
) -> Result<(), Error> {
    store(git, commit, &link.path)?;
    // Git itself would neither go on with it nor look past it.
    remove_interrupted_clone(git, commit, link, work)?;
    if populated(sub) {
        return Ok(());
    }
    work.log_line(&format!("cloning the submodule {}", link.path));
    let update = [
        "submodule",
        "--quiet",
        "update",
        "--init",
        "--checkout",
        "--no-recommend-shallow",
        "--",
        &link.path,
    ];
    git.work(&update).map(drop).map_err(|e| {
        let text = e.to_string();
        let refused = text.contains("transport 'file' not allowed");
        let error = Error::new(format!("the submodule {}: {text}", link.path));
        if refused {
            error.remedy(
                "by default git does not clone submodules from a local path: use another URL, or allow it in this step \
                 with `env: {GIT_ALLOW_PROTOCOL: \"file:https:ssh\"}`, if everybody who writes to the repository may read \
                 what is on this machine",
            )
        } else {
            error
        }
    })
}

fn remove_interrupted_clone(
    git: &Git,
    commit: &str,
    link: &Link,
    work: &mut Work<'_>,
) -> Result<(), Error> {
    // Without a name for it, git has cloned nothing.
    let Ok(store) = store(git, commit, &link.path) else {
        return Ok(());
    };
    if store.exists() && holds_nothing(git, &store)? {
        work.log_line(&format!("a clone of {} was interrupted", link.path));
        // First what leads to it: what leads nowhere stops every look at the tree.
        match std::fs::remove_file(git.dir().join(&link.path).join(".git")) {
            Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Err(Error::io(format!("cannot repair {}", link.path), &e));
            }
            Ok(()) | Err(_) => {}
        }
        entry::remove(&store)?;
    }
    Ok(())
}

/// Where git keeps the repository of a submodule.
fn store(git: &Git, commit: &str, path: &str) -> Result<std::path::PathBuf, Error> {
    let blob = format!("{commit}:.gitmodules");
    let words = [
        "config",
        "--blob",
        &blob,
        "-z",
        "--get-regexp",
        r"^submodule\..*\.path$",
    ];
    let listed = git.try_look(&words)?;
    let listed = listed.text();
    let name = listed.split('\0').find_map(|entry| {
        let (key, value) = entry.split_once('\n')?;
        (value == path).then(|| key.strip_prefix("submodule.")?.strip_suffix(".path"))?
    });
    let name = name.ok_or_else(|| {
        Error::new(format!(
            "the commit has the submodule {path}, but its .gitmodules has no URL for it"
        ))
    })?;
    if !Path::new(name)
        .components()
        .all(|c| matches!(c, Component::Normal(_)))
    {
        return Err(Error::new(format!(
            "the submodule {path} has the name '{name}', which is a path outside"
        )));
    }
    git.path(&format!("modules/{name}"))
}

/// A clone that was cut off before it had a single commit; nobody can have worked there.
fn holds_nothing(git: &Git, store: &Path) -> Result<bool, Error> {
    let dir = format!("--git-dir={}", store.display());
    if store.join("index").exists() || store.join("logs").exists() {
        return Ok(false);
    }
    let commits = git.try_look(&[&dir, "rev-list", "--all", "--max-count=1"])?;
    Ok(commits.code != Some(0) || commits.stdout.trim_ascii().is_empty())
}

/// The commit that a tree names for a submodule, wherever it is.
fn meant(git: &Git, commit: &str, path: &str) -> Result<Option<String>, Error> {
    for link in links(git, commit)? {
        if link.path == path {
            return Ok(Some(link.commit));
        }
        if let Some(below) = path
            .strip_prefix(&link.path)
            .and_then(|p| p.strip_prefix('/'))
        {
            let sub = git.inside(&link.path);
            // Its commits are all there even when it stands elsewhere.
            return if sub.commit(&link.commit)?.is_some() {
                meant(&sub, &link.commit, below)
            } else {
                Ok(None)
            };
        }
    }
    Ok(None)
}
