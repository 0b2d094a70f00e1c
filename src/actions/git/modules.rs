//! Submodules: exactly the commits that a tree names, all the way down, each by evidence; and back to the former ones.
//!
//! Each submodule is a working tree of its own and goes from where it stood to where it shall stand by the same way as
//! the tree above it, so that nobody's work in one is lost either. One that was not there is cloned by git itself.
//!
//! Invariants: a path of a tree that leads out of it (`..`, a link) is refused; a clone that was cut off is recognised
//! by holding no commit at all, and only such a one is removed; after the undo, a submodule that this step brought is
//! gone unless something in it is somebody's.
//!
//! Left out: URLs that changed between two commits. What `.git/config` says is somebody's choice, and it counts;
//! where it does not give the commit, the error says how to take over the new one.

use super::act::{go, remove, say, unlock};
use super::half::Changes;
use super::repo::{Git, Head, Locked, few};
use super::{Deploy, stands};
use crate::actions::Error;
use serde::{Deserialize, Serialize};
use std::io::{ErrorKind, Write};
use std::path::{Component, Path};

/// A submodule that a tree names.
struct Link {
    path: String,
    commit: String,
}

/// A submodule that was there before, wherever in the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Former {
    /// Its path in the tree above all.
    pub(super) path: String,
    pub(super) head: Head,
}

/// What a look at all submodules of a tree saw.
#[derive(Default)]
pub(super) struct Seen {
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
        let entry = String::from_utf8_lossy(entry);
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
    let mut plain = !path.is_empty() && !path.contains(char::REPLACEMENT_CHARACTER);
    for part in Path::new(path).components() {
        plain &= matches!(part, Component::Normal(name) if name != ".git");
        at.push(part);
        plain &= !std::fs::symlink_metadata(&at).is_ok_and(|m| m.is_symlink());
    }
    if plain {
        Ok(())
    } else {
        Err(Error::new(format!(
            "the submodule {path} leads out of the tree; nothing is done there"
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
pub(super) fn formers(
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
        found.extend(formers(
            &sub,
            &head.commit,
            &format!("{path}/"),
            in_the_way,
        )?);
    }
    Ok(found)
}

/// Looks whether each submodule that a commit names stands there, clean.
pub(super) fn look(git: &Git, commit: &str, above: &str, seen: &mut Seen) -> Result<(), Error> {
    for link in links(git, commit)? {
        let sub = git.inside(&link.path);
        let path = format!("{above}{}", link.path);
        if !populated(&sub) {
            seen.wrong
                .push(format!("the submodule {path} is not there"));
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
                few(&modified)
            ));
            continue;
        }
        seen.lines
            .push(format!("{path} is at {}, clean", link.commit));
        look(&sub, &link.commit, &format!("{path}/"), seen)?;
    }
    Ok(())
}

/// Whether each former submodule stands where it stood, clean, and none of the commit's others is there.
pub(super) fn as_before(git: &Git, commit: &str, formers: &[Former]) -> Result<Seen, Error> {
    let mut seen = Seen::default();
    for former in formers {
        inside(git, &former.path)?;
        let sub = git.inside(&former.path);
        if !populated(&sub) {
            seen.wrong
                .push(format!("the submodule {} is not there", former.path));
            continue;
        }
        if let Some(lock) = Locked::find(&sub)? {
            seen.wrong.push(lock.shown());
            continue;
        }
        let head = sub.head()?;
        let modified = sub.modified()?;
        if head != Deploy::former(&sub, &former.head)? || !modified.is_empty() {
            seen.wrong.push(format!(
                "the submodule {} is at {}, with {} modified files",
                former.path,
                stands(&head),
                modified.len()
            ));
        } else {
            seen.lines
                .push(format!("{} is at {}", former.path, stands(&head)));
        }
    }
    brought(git, commit, "", formers, &mut seen.wrong)?;
    Ok(seen)
}

/// Names the submodules that were not there before and hold nothing of somebody's.
fn brought(
    git: &Git,
    commit: &str,
    above: &str,
    formers: &[Former],
    found: &mut Vec<String>,
) -> Result<(), Error> {
    for link in links(git, commit)? {
        let path = format!("{above}{}", link.path);
        let sub = git.inside(&link.path);
        if !populated(&sub) {
            continue;
        }
        if formers.iter().any(|f| f.path == path) {
            brought(&sub, &link.commit, &format!("{path}/"), formers, found)?;
        } else if untouched(&sub, &link.commit).unwrap_or(false) {
            found.push(format!("the submodule {path} is there"));
        }
    }
    Ok(())
}

/// Nothing is in a submodule, or below it, but what was cloned.
pub(super) fn untouched(git: &Git, commit: &str) -> Result<bool, Error> {
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
        if populated(&sub) && !untouched(&sub, &link.commit)? {
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

/// Brings every submodule to the commit that the tree at `commit` names.
pub(super) fn follow(
    git: &Git,
    commit: &str,
    above: &str,
    formers: &[Former],
    out: &mut dyn Write,
) -> Result<(), Error> {
    for link in links(git, commit)? {
        let path = format!("{above}{}", link.path);
        let sub = git.inside(&link.path);
        let former = formers.iter().find(|f| f.path == path);
        let to = Head {
            commit: link.commit.clone(),
            branch: None,
        };
        let from = former.map_or(&to, |f| &f.head);
        if former.is_none() {
            populate(git, commit, &link, &sub, out)?;
        }
        unlock(&sub, out)?;
        have(&sub, &path, &link.commit, out)?;
        if former.is_none() && never_checked_out(&sub)? {
            first_checkout(&sub, &link.commit, out)?;
        } else {
            let changes = Changes::known(&sub, &from.commit, &link.commit)?;
            go(&sub, changes, from, &to, out)?;
        }
        follow(&sub, &link.commit, &format!("{path}/"), formers, out)?;
    }
    Ok(())
}

/// Completes a first checkout that was cut off: HEAD may be anywhere, and there is no index to tell of the commit.
fn first_checkout(git: &Git, commit: &str, out: &mut dyn Write) -> Result<(), Error> {
    git.work(&["update-ref", "--no-deref", "HEAD", commit])?;
    let at = Head {
        commit: commit.to_owned(),
        branch: None,
    };
    go(git, Changes::whole(git, commit)?, &at, &at, out)
}

fn never_checked_out(git: &Git) -> Result<bool, Error> {
    let index = git.look(&["rev-parse", "--git-path", "index"])?;
    let index = git.dir().join(index.trim_end_matches('\n'));
    Ok(std::fs::symlink_metadata(index).is_err())
}

/// Clones a submodule that was not there.
fn populate(
    git: &Git,
    commit: &str,
    link: &Link,
    sub: &Git,
    out: &mut dyn Write,
) -> Result<(), Error> {
    store(git, commit, &link.path)?;
    mend(git, commit, link, out)?;
    if populated(sub) {
        return Ok(());
    }
    say(out, &format!("cloning the submodule {}", link.path));
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
        let remedy = if text.contains("transport 'file' not allowed") {
            "; git follows no submodule to a local path on its own: give it a URL that is none, or allow it in this step \
             with `env: {GIT_ALLOW_PROTOCOL: \"file:https:ssh\"}`, if everybody who writes to the repository may read \
             what is on this machine"
        } else {
            ""
        };
        Error::new(format!("the submodule {}: {text}{remedy}", link.path))
    })
}

/// Removes what a clone of ours that was cut off left: git itself would neither go on with it nor look past it.
pub(super) fn mend_all(
    git: &Git,
    commit: &str,
    formers: &[Former],
    out: &mut dyn Write,
) -> Result<(), Error> {
    for link in links(git, commit)? {
        if !formers.iter().any(|f| f.path == link.path) {
            mend(git, commit, &link, out)?;
        }
    }
    Ok(())
}

fn mend(git: &Git, commit: &str, link: &Link, out: &mut dyn Write) -> Result<(), Error> {
    // Without a name for it, git has cloned nothing.
    let Ok(store) = store(git, commit, &link.path) else {
        return Ok(());
    };
    if store.exists() && holds_nothing(git, &store)? {
        say(out, &format!("a clone of {} was cut off", link.path));
        // First what leads to it: what leads nowhere stops every look at the tree.
        match std::fs::remove_file(git.dir().join(&link.path).join(".git")) {
            Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Err(Error::io(format!("cannot mend {}", link.path), &e));
            }
            Ok(()) | Err(_) => {}
        }
        remove(&store)?;
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
    let name = listed.stdout.split('\0').find_map(|entry| {
        let (key, value) = entry.split_once('\n')?;
        (value == path).then(|| key.strip_prefix("submodule.")?.strip_suffix(".path"))?
    });
    let name = name.ok_or_else(|| {
        Error::new(format!(
            "the commit names the submodule {path}, and its .gitmodules does not say where it comes from"
        ))
    })?;
    if !Path::new(name)
        .components()
        .all(|c| matches!(c, Component::Normal(_)))
    {
        return Err(Error::new(format!(
            "the submodule {path} has the name '{name}', which leads elsewhere"
        )));
    }
    let store = git.look(&["rev-parse", "--git-path", &format!("modules/{name}")])?;
    Ok(git.dir().join(store.trim_end_matches('\n')))
}

/// A clone that was cut off before it had a single commit; nobody can have worked there.
fn holds_nothing(git: &Git, store: &Path) -> Result<bool, Error> {
    let dir = format!("--git-dir={}", store.display());
    if store.join("index").exists() || store.join("logs").exists() {
        return Ok(false);
    }
    let commits = git.try_look(&[&dir, "rev-list", "--all", "--max-count=1"])?;
    Ok(commits.code != Some(0) || commits.stdout.trim().is_empty())
}

/// Sees to it that a submodule has a commit.
fn have(git: &Git, path: &str, commit: &str, out: &mut dyn Write) -> Result<(), Error> {
    let here = || Ok::<_, Error>(git.commit(commit)?.as_deref() == Some(commit));
    if here()? {
        return Ok(());
    }
    say(out, &format!("fetching the submodule {path}"));
    for words in [
        &["fetch", "--quiet", "origin"][..],
        &["fetch", "--quiet", "--no-tags", "origin", commit],
    ] {
        let fetched = git.work(words);
        if here()? {
            return Ok(());
        }
        if let Err(e) = fetched {
            say(out, &e.to_string());
        }
    }
    Err(Error::new(format!(
        "the repository of the submodule {path} does not give the commit {commit}; if its URL has changed, take over the \
         new one in the tree above it: git submodule sync -- {path}"
    )))
}

/// Takes away what this step brought, before the tree above goes back; what holds somebody's work stays.
pub(super) fn take_away(
    git: &Git,
    commit: &str,
    above: &str,
    formers: &[Former],
    out: &mut dyn Write,
) -> Result<(), Error> {
    let away = git.look(&["rev-parse", "--git-path", "upledger-removed"])?;
    let away = git.dir().join(away.trim_end_matches('\n'));
    // Left by a removal that was cut off.
    remove(&away)?;
    for link in links(git, commit)? {
        let path = format!("{above}{}", link.path);
        let sub = git.inside(&link.path);
        if !populated(&sub) {
            continue;
        }
        if formers.iter().any(|f| f.path == path) {
            take_away(&sub, &link.commit, &format!("{path}/"), formers, out)?;
            continue;
        }
        if never_checked_out(&sub)? {
            // Only what is complete can be told from somebody's work; where it cannot be completed, it stays.
            let _ = unlock(&sub, out).and_then(|()| first_checkout(&sub, &link.commit, out));
        }
        if untouched(&sub, &link.commit).unwrap_or(false) {
            // Another name first: half of it would look like somebody's deletions.
            std::fs::rename(sub.dir(), &away)
                .map_err(|e| Error::io(format!("cannot remove {}", sub.dir().display()), &e))?;
            remove(&away)?;
            std::fs::create_dir(sub.dir())
                .map_err(|e| Error::io(format!("cannot make {}", sub.dir().display()), &e))?;
            say(out, &format!("removed the submodule {path}"));
        } else {
            let stays = "holds files or commits of somebody and stays";
            say(out, &format!("the submodule {path} {stays}"));
        }
    }
    Ok(())
}

/// Brings the former submodules back to where they stood.
pub(super) fn put_back(
    git: &Git,
    commit: &str,
    formers: &[Former],
    out: &mut dyn Write,
) -> Result<(), Error> {
    // Those above come first in the list, so that those inside them are there when their turn comes.
    for former in formers {
        inside(git, &former.path)?;
        let sub = git.inside(&former.path);
        if !populated(&sub) {
            return Err(Error::new(format!(
                "the submodule {} is not there any more; bring it back with: git -C {} submodule update --init -- {}",
                former.path,
                git.dir().display(),
                former.path
            )));
        }
        unlock(&sub, out)?;
        let to = Deploy::former(&sub, &former.head)?;
        let from = Head {
            commit: meant(git, commit, &former.path)?.unwrap_or_else(|| to.commit.clone()),
            branch: None,
        };
        let changes = Changes::known(&sub, &from.commit, &to.commit)?;
        go(&sub, changes, &from, &to, out)?;
    }
    Ok(())
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
