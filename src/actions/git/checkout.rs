//! A working clone in place: made, brought to a commit, and put back.
//!
//! Invariants: a clone is made only where there was nothing, and every further attempt goes on in it only if this step
//! has noted that it makes it; no file is overwritten by force unless a checkout of this step has begun before.

use super::interrupted::Changes;
use super::record::{Note, Past, Tree, Work, text};
use super::repo::{Git, Head, Locked, few};
use super::submodules::{self, Modules};
use super::{Deploy, cloned};
use crate::action::{Context, Error, Look};
use crate::failpoint;
use crate::host::files::entry::{self, beside};
use crate::text::actions as actions_text;
use crate::text::settings;
use std::fs::File;
use std::path::PathBuf;

impl Deploy {
    /// Brings the working clone to the commit.
    pub(super) fn deploy(&self, work: &mut Work<'_>, past: &Past, was: &Tree) -> Result<(), Error> {
        let commit = &past.before.commit;
        let from = match &was.head {
            Some(head) => head.clone(),
            None if !self.exists() => return self.clone_repository(work, past),
            // An earlier attempt has made it, and it got its name when it stood there.
            None if past.has_cloned(self.place()) => Head::detached(commit),
            None => {
                return Err(Error::new(format!(
                    "{} did not exist when it was inspected, and has been created since",
                    self.place()
                ))
                .remedy("abort the run and run the plan again, which then deploys into it, or move it away"));
            }
        };
        let git = self.git(work.cx());
        let modules = Modules::of(past, &was.modules, self.place());
        if self.submodules {
            modules.remove_interrupted_clones(&git, commit, work)?;
        }
        unlock(&git, modules.begun, work)?;
        self.fetch_commit(&git, past, work)?;
        let to = Head::detached(commit);
        let changes = Changes::known(&git, &from.commit, &to.commit)?;
        work.note(Note::CheckingOut {
            dir: self.place().into(),
            commit: commit.clone(),
        })?;
        checkout(&git, changes, [&from, &to], modules.begun, work)?;
        git.rewrite(commit, &mut |line| work.log_line(line))?;
        if self.submodules {
            modules.update(&git, commit, "", work)?;
        }
        Ok(())
    }

    /// Makes the clone at the commit.
    pub(super) fn clone_repository(&self, work: &mut Work<'_>, past: &Past) -> Result<(), Error> {
        let (cx, commit) = (work.cx(), &past.before.commit);
        let new = beside(self.into(), cx, "new");
        for left in self.leftovers(cx, past) {
            entry::remove(&left)?;
        }
        work.note(Note::Cloning {
            dir: self.place().into(),
            at: text(&new),
        })?;
        work.log_line(&format!("cloning {}", self.repo));
        let git = Git::at(cx, &new)
            .following(self.submodules)
            .sharing(self.shared.as_ref());
        git.outside(&[
            "clone",
            "--quiet",
            "--no-checkout",
            "--no-recurse-submodules",
            "--",
            &self.repo,
            &text(&new),
        ])?;
        self.fetch_commit(&git, past, work)?;
        git.work(&["checkout", "--quiet", "--detach", commit, "--"])?;
        if self.submodules {
            Modules::default().update(&git, commit, "", work)?;
        }
        if let Some(shared) = &self.shared {
            shared.link_into(&new, true)?;
        }
        failpoint::hit("release-shared");
        self.proven(&git, commit)?;
        let state = cloned::state(&git, commit)?;
        cloned::mark(&git, &state)?;
        // A name that outlives a power cut must not lead to files that do not.
        File::open(&new)
            .and_then(|d| Ok(rustix::fs::syncfs(d)?))
            .map_err(|e| Error::io(format!("cannot sync {}", new.display()), &e))?;
        work.note(Note::Cloned {
            dir: self.place().into(),
            state: cx.fingerprint(&mut state.as_bytes())?,
        })?;
        failpoint::hit("release-cloned");
        entry::rename(&new, self.into())?;
        work.log_line(&format!("{} is at {commit}", self.place()));
        Ok(())
    }

    /// Fetches the commit, unless it is there.
    fn fetch_commit(&self, git: &Git, past: &Past, work: &mut Work<'_>) -> Result<(), Error> {
        let commit = &past.before.commit;
        if git.has(commit)? {
            return Ok(());
        }
        if !self.fetch {
            return Err(Error::new(format!(
                "{} does not have {commit}, and `fetch: false` forbids fetching it",
                self.place()
            )));
        }
        // By its name, which every server allows; by its id when the name has moved on since.
        for what in past.before.name.iter().chain([commit]) {
            work.log_line(&format!("fetching {what}"));
            let words = ["fetch", "--quiet", "--no-tags", "--", &self.repo, what];
            let fetched = git.work(&words);
            if git.has(commit)? {
                return Ok(());
            }
            if let Err(e) = fetched {
                work.log_line(&e.to_string());
            }
        }
        Err(Error::new(format!(
            "{} does not provide the commit {commit}",
            self.repo
        )))
    }

    /// Puts back what was there before.
    pub(super) fn put_back(
        &self,
        work: &mut Work<'_>,
        past: &Past,
        was: &Tree,
    ) -> Result<(), Error> {
        for left in self.leftovers(work.cx(), past) {
            entry::remove(&left)?;
        }
        let git = self.git(work.cx());
        let Some(former) = &was.head else {
            return self.remove_clone(work, past, &git);
        };
        let commit = &past.before.commit;
        let modules = Modules::of(past, &was.modules, self.place());
        unlock(&git, modules.begun, work)?;
        let to = former.restorable(&git)?;
        if to.branch != former.branch {
            work.log_line(
                "its branch has moved since; the previous commit is checked out detached",
            );
        }
        let from = Head::detached(commit);
        work.note(Note::CheckingOut {
            dir: self.place().into(),
            commit: to.commit.clone(),
        })?;
        if self.submodules {
            modules.remove_interrupted_clones(&git, commit, work)?;
            modules.remove_added(&git, commit, "", work)?;
        }
        let changes = Changes::known(&git, &from.commit, &to.commit)?;
        checkout(&git, changes, [&from, &to], modules.begun, work)?;
        modules.put_back(&git, commit, work)
    }

    /// Removes the clone that this step made, or moves it aside where somebody worked in it.
    fn remove_clone(&self, work: &mut Work<'_>, past: &Past, git: &Git) -> Result<(), Error> {
        if !self.exists() {
            work.log_line(&format!("{} does not exist", self.place()));
            return Ok(());
        }
        if !past.has_cloned(self.place()) {
            work.log_line(&self.not_ours());
            return Ok(());
        }
        let (cx, dir) = (work.cx(), self.place().to_owned());
        // Whatever cannot be told is somebody's.
        if self.is_untouched(cx, past, git).unwrap_or(false) {
            let old = beside(self.into(), cx, "old");
            work.note(Note::Removing {
                dir,
                at: text(&old),
            })?;
            entry::remove_by_way_of(self.into(), &old)?;
            work.log_line(&format!("removed {}", self.place()));
        } else {
            let aside = beside(self.into(), cx, "aside");
            work.note(Note::MovingAside {
                dir,
                to: text(&aside),
            })?;
            entry::rename(self.into(), &aside)?;
            work.log_line(&format!(
                "{} contains files or commits that the clone does not; it was moved to {}",
                self.place(),
                aside.display()
            ));
        }
        Ok(())
    }

    fn is_untouched(&self, cx: &Context, past: &Past, git: &Git) -> Result<bool, Error> {
        let commit = &past.before.commit;
        let Some(state) = past.clone_state(self.place()) else {
            return Ok(false);
        };
        Ok(submodules::is_untouched(git, commit)?
            && cx.is_kept(state, cloned::state(git, commit)?.as_bytes())?)
    }

    fn not_ours(&self) -> String {
        format!(
            "{} exists and was not made by this step; it stays",
            self.place()
        )
    }

    /// The commands of the undo.
    pub(super) fn undo_commands(&self, past: &Past, was: &Tree) -> Vec<String> {
        let place = self.place();
        let Some(former) = &was.head else {
            return vec![settings::undo_clone(place)];
        };
        let back = |dir: String, head: &Head| match head.branch_name() {
            Some(branch) => format!("git -C {dir} checkout {branch}"),
            None => format!("git -C {dir} checkout --detach {}", head.commit),
        };
        let mut commands: Vec<String> = past
            .added()
            .map(|path| actions_text::remove(format!("{place}/{path}")))
            .collect();
        commands.sort();
        commands.dedup();
        commands.push(back(place.to_owned(), former));
        commands.extend(
            was.modules
                .iter()
                .map(|m| back(format!("{place}/{}", m.path), &m.head)),
        );
        commands
    }

    /// Whether things are as they were.
    pub(super) fn is_put_back(&self, cx: &Context, past: &Past, was: &Tree) -> Result<Look, Error> {
        if let Some(left) = self.leftovers(cx, past).first() {
            return Ok(Look::nothing(format!("{} is left over", left.display())));
        }
        let Some(former) = &was.head else {
            return Ok(match self.exists() {
                false => Look::done(format!("{} does not exist", self.place())),
                true if past.has_cloned(self.place()) => {
                    Look::nothing(format!("{} exists", self.place()))
                }
                true => Look::done(self.not_ours()),
            });
        };
        let commit = &past.before.commit;
        let git = self.git(cx);
        if let Some(lock) = Locked::find(&git)? {
            return Ok(Look::unclear(lock.shown()));
        }
        let head = git.head()?;
        let modified = git.modified()?;
        if !modified.is_empty() {
            return Ok(Look::unclear(format!(
                "these files are modified: {}",
                git.named(&modified)?
            )));
        }
        let text = format!(
            "{} is at {head}, and no tracked file is modified",
            self.place()
        );
        Ok(if head == former.restorable(&git)? {
            let found = if self.submodules {
                let added: Vec<&str> = past.added().collect();
                submodules::former(&git, commit, &was.modules, &added)?
            } else {
                submodules::Findings::default()
            };
            let mut look = if found.wrong.is_empty() {
                Look::done(text)
            } else {
                Look::unclear(few(&found.wrong))
            };
            look.evidence.extend(found.lines);
            look
        } else if head.commit == *commit && head.branch.is_none() {
            Look::nothing(text)
        } else {
            Look::unclear(text)
        })
    }
}

/// From where a working tree stands, `from` or `to`, all the way to `to`. `changes` lie between the two; none where they
/// are not known. `begun`: this step has begun a checkout here before, which may have been cut off.
pub(super) fn checkout(
    git: &Git,
    changes: Option<Changes>,
    [from, to]: [&Head; 2],
    begun: bool,
    work: &mut Work<'_>,
) -> Result<(), Error> {
    let head = git.head()?;
    if head.commit != from.commit && head.commit != to.commit {
        return Err(Error::new(format!(
            "{} is at {head}; it has moved since it was at {from}",
            git.dir().display(),
        )));
    }
    let looked = changes.is_some();
    let interrupted = match changes {
        Some(changes) => {
            let met = changes.obstacles(git, head.commit != to.commit, begun)?;
            if !met.changed.is_empty() {
                return Err(Error::new(format!(
                    "these files were modified and would be lost: {}",
                    git.named(&met.changed)?
                )));
            }
            // Where it stands already, nothing of them is overwritten.
            if !met.untracked.is_empty() && (met.interrupted || head.commit != to.commit) {
                return Err(Error::new(format!(
                    "these untracked files would be overwritten: {}",
                    few(&met.untracked)
                )));
            }
            met.interrupted
        }
        None => {
            let modified = git.modified()?;
            if !modified.is_empty() {
                return Err(Error::new(format!(
                    "these files are modified: {}",
                    git.named(&modified)?
                )));
            }
            false
        }
    };
    let mut words = vec!["checkout", "--quiet"];
    // Git would not let go of files that an attribute would have stored otherwise. Nothing but these is overwritten: what
    // is in the way was looked at.
    let exact = looked && !interrupted && git.has_exact()?;
    if exact {
        words.push("--force");
    } else if interrupted {
        work.log_line("a checkout was interrupted here");
        words.push("--force");
        if head.commit == to.commit {
            // It was on its way from here. Only a checkout that is complete knows which files to take away again.
            let other = &from.commit;
            git.work(&["checkout", "--quiet", "--force", "--detach", other, "--"])?;
        }
    } else {
        // Without it, git overwrites files that the repository ignores.
        words.push("--no-overwrite-ignore");
    }
    match to.branch_name() {
        Some(name) => words.push(name),
        None => words.extend(["--detach", &to.commit]),
    }
    words.push("--");
    git.work(&words)?;
    work.log_line(&format!("{} is at {to}", git.dir().display()));
    Ok(())
}

/// A lock on the index that came after our look, that is this user's and that nobody holds was left by a git of this step
/// that was killed, where one has `begun`. It is moved aside, not deleted. Any other is refused.
pub(super) fn unlock(git: &Git, begun: bool, work: &mut Work<'_>) -> Result<(), Error> {
    use std::os::unix::fs::MetadataExt;
    let Some(lock) = Locked::find(git)? else {
        return Ok(());
    };
    let own = rustix::process::geteuid().as_raw();
    let mine = begun && std::fs::symlink_metadata(&lock.path).is_ok_and(|m| m.uid() == own);
    if !mine || !lock.held_by.is_empty() {
        return Err(Error::new(lock.shown()));
    }
    let mut aside = lock.path.clone().into_os_string();
    aside.push(format!(".left-{}", crate::clock::boottime_us()));
    let aside = PathBuf::from(aside);
    entry::rename(&lock.path, &aside)?;
    work.log_line(&format!(
        "a git that was killed left {}; it is now {}",
        lock.path.display(),
        aside.display()
    ));
    Ok(())
}

/// Fetches a commit of a submodule, unless it is there.
pub(super) fn fetch_commit(
    git: &Git,
    path: &str,
    commit: &str,
    work: &mut Work<'_>,
) -> Result<(), Error> {
    if git.has(commit)? {
        return Ok(());
    }
    work.log_line(&format!("fetching the submodule {path}"));
    for words in [
        &["fetch", "--quiet", "origin"][..],
        &["fetch", "--quiet", "--no-tags", "origin", commit],
    ] {
        let fetched = git.work(words);
        if git.has(commit)? {
            return Ok(());
        }
        if let Err(e) = fetched {
            work.log_line(&e.to_string());
        }
    }
    Err(Error::new(format!(
        "the repository of the submodule {path} does not provide the commit {commit}"
    ))
    .remedy(format!(
        "if its URL has changed, update it in the parent repository: git submodule sync -- {path}"
    )))
}
