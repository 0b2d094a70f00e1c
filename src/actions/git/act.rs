//! What `git.deploy` does, and how it is undone.

use super::half::Changes;
use super::repo::{Git, Head, Locked, few};
use super::{Deploy, Observed, stands};
use super::{cloned, modules};
use crate::actions::{Context, Error, Look};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// What this step makes beside the working clone, and removes: the clone before it has its name, and after it had it.
const OURS: [&str; 2] = ["new", "old"];

/// Whoever reads the output may be gone; what is done does not depend on it.
pub(super) fn say(out: &mut dyn Write, line: &str) {
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Gives a directory another name that nobody has, durably.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    let renamed = || -> io::Result<()> {
        renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?;
        File::open(to.parent().unwrap_or(Path::new("/")))?.sync_all()
    };
    renamed().map_err(|e| {
        Error::io(
            format!("cannot rename {} to {}", from.display(), to.display()),
            &e,
        )
    })
}

/// Removes a directory of ours; that it is gone already is fine.
pub(super) fn remove(dir: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            Err(Error::io(format!("cannot remove {}", dir.display()), &e))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A name beside a path that only this step of this run uses.
pub(super) fn beside(path: &Path, cx: &Context, what: &str) -> PathBuf {
    let plain = |text: &str| -> String {
        text.chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || "._-".contains(c) {
                    c
                } else {
                    '-'
                }
            })
            .collect()
    };
    let own = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(
        "{own}.{what}-{}-{}",
        plain(&cx.run),
        plain(&cx.step)
    ))
}

impl Deploy {
    fn beside(&self, cx: &Context, what: &str) -> PathBuf {
        beside(self.into(), cx, what)
    }

    /// Checks the commit out.
    pub(super) fn deploy(
        &self,
        cx: &Context,
        seen: &Observed,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        if seen.before.is_none() && !self.exists() {
            return self.clone_it(cx, seen, out);
        }
        let git = self.git(cx);
        if self.submodules {
            modules::mend_all(&git, &seen.commit, &seen.modules, out)?;
        }
        // One that was cloned by an attempt of this step stands where the clone put it.
        let before = seen.before.clone().unwrap_or_else(|| Head {
            commit: seen.commit.clone(),
            branch: None,
        });
        unlock(&git, out)?;
        self.have(&git, seen, out)?;
        let to = Head {
            commit: seen.commit.clone(),
            branch: None,
        };
        let changes = Changes::known(&git, &before.commit, &to.commit)?;
        go(&git, changes, &before, &to, out)?;
        self.follow(&git, seen, out)
    }

    /// Brings the submodules along, where that is wanted.
    fn follow(&self, git: &Git, seen: &Observed, out: &mut dyn Write) -> Result<(), Error> {
        if self.submodules {
            modules::follow(git, &seen.commit, "", &seen.modules, out)?;
        }
        Ok(())
    }

    pub(super) fn clone_it(
        &self,
        cx: &Context,
        seen: &Observed,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        let new = self.beside(cx, "new");
        // Left by an attempt that was cut off.
        remove(&new)?;
        say(out, &format!("cloning {}", self.repo));
        let path = new.display().to_string();
        let git = Git::at(cx, &new).following(self.submodules);
        git.outside(&[
            "clone",
            "--quiet",
            "--no-checkout",
            "--no-recurse-submodules",
            "--",
            &self.repo,
            &path,
        ])?;
        self.have(&git, seen, out)?;
        git.work(&["checkout", "--quiet", "--detach", &seen.commit, "--"])?;
        self.follow(&git, seen, out)?;
        self.proven(&git, &seen.commit)?;
        cloned::note(&git, &seen.commit)?;
        // A name that outlives a power cut must not lead to files that do not.
        File::open(&new)
            .and_then(|d| Ok(rustix::fs::syncfs(d)?))
            .map_err(|e| Error::io(format!("cannot sync {}", new.display()), &e))?;
        rename(&new, self.into())?;
        say(out, &format!("{} is at {}", self.place(), seen.commit));
        Ok(())
    }

    /// Sees to it that the clone has the commit.
    fn have(&self, git: &Git, seen: &Observed, out: &mut dyn Write) -> Result<(), Error> {
        let here = || Ok::<_, Error>(git.commit(&seen.commit)?.as_deref() == Some(&seen.commit));
        if here()? {
            return Ok(());
        }
        if !self.fetch {
            return Err(Error::new(format!(
                "{} does not have {}, and `fetch: false` gets nothing",
                self.place(),
                seen.commit
            )));
        }
        // By its name, which every server allows; by its id when the name has moved on since.
        for what in seen.name.iter().chain([&seen.commit]) {
            say(out, &format!("fetching {what}"));
            let words = ["fetch", "--quiet", "--no-tags", "--", &self.repo, what];
            let fetched = git.work(&words);
            if here()? {
                return Ok(());
            }
            if let Err(e) = fetched {
                say(out, &e.to_string());
            }
        }
        Err(Error::new(format!(
            "{} does not give the commit {}",
            self.repo, seen.commit
        )))
    }

    /// Where the working tree goes back to: on its branch, if that still is where it was.
    pub(super) fn former(git: &Git, before: &Head) -> Result<Head, Error> {
        let branch = match &before.branch {
            Some(b) if git.commit(b)?.as_ref() == Some(&before.commit) => Some(b.clone()),
            Some(_) | None => None,
        };
        Ok(Head {
            commit: before.commit.clone(),
            branch,
        })
    }

    /// Puts back what was there before.
    pub(super) fn put_back(
        &self,
        cx: &Context,
        seen: &Observed,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        let git = self.git(cx);
        let Some(before) = &seen.before else {
            for ours in OURS {
                remove(&self.beside(cx, ours))?;
            }
            return self.unclone(cx, &git, seen, out);
        };
        unlock(&git, out)?;
        let to = Self::former(&git, before)?;
        if to.branch != before.branch {
            say(
                out,
                "its branch has moved since; the former commit is checked out without it",
            );
        }
        let from = Head {
            commit: seen.commit.clone(),
            branch: None,
        };
        if self.submodules {
            modules::mend_all(&git, &seen.commit, &seen.modules, out)?;
            modules::take_away(&git, &seen.commit, "", &seen.modules, out)?;
        }
        let changes = Changes::known(&git, &from.commit, &to.commit)?;
        go(&git, changes, &from, &to, out)?;
        modules::put_back(&git, &seen.commit, &seen.modules, out)
    }

    fn unclone(
        &self,
        cx: &Context,
        git: &Git,
        seen: &Observed,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        if !self.exists() {
            say(out, &format!("{} does not exist", self.place()));
            return Ok(());
        }
        // Whatever cannot be told is somebody's.
        let mine = modules::untouched(git, &seen.commit)
            .and_then(|clean| Ok(clean && cloned::agrees(git, &seen.commit)?))
            .unwrap_or(false);
        if mine {
            let old = self.beside(cx, "old");
            rename(self.into(), &old)?;
            remove(&old)?;
            say(out, &format!("removed {}", self.place()));
        } else {
            let aside = self.beside(cx, "aside");
            rename(self.into(), &aside)?;
            say(
                out,
                &format!(
                    "{} holds files or commits that are not of the clone; it was moved to {}",
                    self.place(),
                    aside.display()
                ),
            );
        }
        Ok(())
    }

    /// Whether things are as they were.
    pub(super) fn is_back(&self, cx: &Context, seen: &Observed) -> Result<Look, Error> {
        let Some(before) = &seen.before else {
            if self.exists() {
                return Ok(Look::nothing(format!("{} exists", self.place())));
            }
            // Left by a clone, or by its removal, that was cut off.
            let left = OURS
                .map(|what| self.beside(cx, what))
                .into_iter()
                .find(|path| std::fs::symlink_metadata(path).is_ok());
            return Ok(match left {
                Some(left) => Look::nothing(format!("{} is left over", left.display())),
                None => Look::done(format!("{} does not exist", self.place())),
            });
        };
        let git = self.git(cx);
        if let Some(lock) = Locked::find(&git)? {
            return Ok(Look::unclear(lock.shown()));
        }
        let head = git.head()?;
        let modified = git.modified()?;
        if !modified.is_empty() {
            return Ok(Look::unclear(format!(
                "these files are modified: {}",
                few(&modified)
            )));
        }
        let text = format!(
            "{} is at {}, and no tracked file is modified",
            self.place(),
            stands(&head)
        );
        Ok(if head == Self::former(&git, before)? {
            let subs = if self.submodules {
                modules::as_before(&git, &seen.commit, &seen.modules)?
            } else {
                modules::Seen::default()
            };
            let mut look = if subs.wrong.is_empty() {
                Look::done(text)
            } else {
                Look::unclear(few(&subs.wrong))
            };
            look.evidence.extend(subs.lines);
            look
        } else if head.commit == seen.commit && head.branch.is_none() {
            Look::nothing(text)
        } else {
            Look::unclear(text)
        })
    }
}

/// From where a working tree stands, between `from` and `to`, all the way to `to`. `changes` lie between the two; none
/// where they are not known.
pub(super) fn go(
    git: &Git,
    changes: Option<Changes>,
    from: &Head,
    to: &Head,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let head = git.head()?;
    if head.commit != from.commit && head.commit != to.commit {
        return Err(Error::new(format!(
            "{} is at {}; somebody moved it since it was at {}",
            git.dir().display(),
            stands(&head),
            stands(from)
        )));
    }
    let half = match changes {
        Some(changes) => {
            let way = changes.way(git, head.commit != to.commit)?;
            if !way.changed.is_empty() {
                return Err(Error::new(format!(
                    "these files were modified and would be lost: {}",
                    few(&way.changed)
                )));
            }
            // Where it stands already, nothing of them is overwritten.
            if !way.untracked.is_empty() && (way.half || head.commit != to.commit) {
                return Err(Error::new(format!(
                    "these untracked files would be overwritten: {}",
                    few(&way.untracked)
                )));
            }
            way.half
        }
        None => {
            let modified = git.modified()?;
            if !modified.is_empty() {
                return Err(Error::new(format!(
                    "these files are modified: {}",
                    few(&modified)
                )));
            }
            false
        }
    };
    let mut words = vec!["checkout", "--quiet"];
    if half {
        say(out, "a checkout was cut off here");
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
    let branch = to
        .branch
        .as_deref()
        .and_then(|b| b.strip_prefix("refs/heads/"));
    match branch {
        Some(name) => words.push(name),
        None => words.extend(["--detach", &to.commit]),
    }
    words.push("--");
    git.work(&words)?;
    say(
        out,
        &format!("{} is at {}", git.dir().display(), stands(to)),
    );
    Ok(())
}

/// A lock on the index that came after our look, that is this user's and that nobody holds was left by a git of ours
/// that was killed. It is moved aside, not deleted. Any other is refused.
pub(super) fn unlock(git: &Git, out: &mut dyn Write) -> Result<(), Error> {
    use std::os::unix::fs::MetadataExt;
    let Some(lock) = Locked::find(git)? else {
        return Ok(());
    };
    let own = rustix::process::geteuid().as_raw();
    let mine = std::fs::symlink_metadata(&lock.path).is_ok_and(|m| m.uid() == own);
    if !mine || !lock.held_by.is_empty() {
        return Err(Error::new(lock.shown()));
    }
    let mut aside = lock.path.clone().into_os_string();
    aside.push(format!(".left-{}", crate::clock::boottime_us()));
    let aside = PathBuf::from(aside);
    rename(&lock.path, &aside)?;
    say(
        out,
        &format!(
            "a git that was killed left {}; it is now {}",
            lock.path.display(),
            aside.display()
        ),
    );
    Ok(())
}
