//! Releases side by side: each in a directory of its own, and a symbolic link that leads to the one in force.
//!
//! A release is cloned beside its place under a name that only this step of this run uses, and gets its own name when it
//! is whole, proven (commit, submodules, version file) and on the disk. Only then is the link switched, by a rename: at
//! no moment is there no link, and at no moment does it lead to half a release.
//!
//! Invariants: a link that somebody moved meanwhile is refused, and so is anything at its place that is no link; a
//! release that is there already is used only when it is exactly that commit, clean; the former release is never
//! removed, since the undo needs it. The undo switches back and leaves the release, which no one uses then.
//!
//! Left out: which old releases go (`keep`), and what uses the link. A process that has it open stays in the old release until it is started anew.

use super::act::{beside, remove, rename, say};
use super::keep::{Stays, Why};
use super::repo::Git;
use super::{Deploy, Observed, resolve};
use crate::actions::{Context, Error, Look};
use crate::text::actions as told;
use crate::text::settings as text;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use upledger_replay::event::Answer;

/// How much of a commit's id and of a name stand in the name of its directory.
const ID: usize = 12;
const NAME: usize = 100;

/// What was there before, of releases side by side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Release {
    /// The directory of the release.
    dir: String,
    /// It was there already, whole.
    existed: bool,
    /// What the link held, as it stood there; none when there was no link.
    target: Option<String>,
    /// It led to a directory. An older record does not tell, and then it did.
    #[serde(default = "led")]
    led: bool,
    /// Releases that `keep` no longer keeps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) old: Vec<String>,
    /// Releases that stay although `keep` no longer keeps them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) stays: Vec<Stays>,
}

impl Release {
    /// Where the link led.
    pub(super) fn former(&self) -> Option<String> {
        self.target.clone()
    }
}

fn led() -> bool {
    true
}

/// What is at the place of the link.
enum Link {
    Missing,
    To(String),
}

/// The name of a release's directory: what `ref` says, without what could lead elsewhere, and the commit.
fn named(reference: &str, commit: &str) -> String {
    let id: String = commit.chars().take(ID).collect();
    if resolve::is_commit(reference) {
        return id;
    }
    let short = ["refs/tags/", "refs/heads/", "refs/"]
        .iter()
        .find_map(|p| reference.strip_prefix(p))
        .unwrap_or(reference);
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "._-".contains(c) {
            c
        } else {
            '-'
        }
    };
    let name: String = short.chars().take(NAME).map(plain).collect();
    format!("{name}-{id}")
}

impl Deploy {
    /// The directory of the releases, and the link.
    pub(super) fn side_by_side(&self) -> Option<(&Path, &Path)> {
        Some((
            Path::new(self.releases.as_ref()?),
            Path::new(self.current.as_ref()?),
        ))
    }

    /// Rules about where.
    pub(super) fn one_place(&self) -> Vec<String> {
        let many = self.releases.is_some() || self.current.is_some() || self.keep.is_some();
        let mut problems = Vec::new();
        match (&self.into, self.side_by_side()) {
            (Some(_), _) if many => problems.push(text::one_place()),
            (Some(_), _) => {}
            (None, None) => problems.push(text::no_place()),
            (None, Some((releases, current))) => {
                if releases.starts_with(current) {
                    problems.push(text::current_among_releases());
                }
                if self.keep.is_some_and(|n| n < 2) {
                    problems.push(text::keep_two());
                }
                if !self.fetch {
                    problems.push(text::releases_fetch());
                }
            }
        }
        problems
    }

    fn link(&self) -> Result<Link, Error> {
        let current = self.current.as_deref().unwrap_or_default();
        match std::fs::symlink_metadata(current) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Link::Missing),
            Err(e) => Err(Error::io(format!("cannot look at {current}"), &e)),
            Ok(meta) if meta.is_symlink() => std::fs::read_link(current)
                .map_err(|e| Error::io(format!("cannot read {current}"), &e))?
                .into_os_string()
                .into_string()
                .map(Link::To)
                .map_err(|_| Error::new(format!("{current} leads to a name that is no UTF-8"))),
            Ok(_) => {
                let releases = self.releases.as_deref().unwrap_or_default();
                Err(Error::new(format!(
                    "{current} is there and is no symbolic link; nothing is put in its place. Make it a release once, while \
                     the service is stopped: mkdir -p {releases} && mv {current} {releases}/before && ln -s \
                     {releases}/before {current}; or deploy in place, with `into: {current}`"
                )))
            }
        }
    }

    /// Where a link leads to, resolved.
    pub(super) fn leads(&self, target: &str) -> Option<PathBuf> {
        let current = Path::new(self.current.as_deref().unwrap_or_default());
        let whole = current.parent().unwrap_or(Path::new("/")).join(target);
        std::fs::canonicalize(whole).ok()
    }

    fn is_there(&self, target: &str) -> bool {
        self.leads(target).is_some_and(|to| to.is_dir())
    }

    fn leads_to(&self, target: &str, dir: &str) -> bool {
        target == dir
            || self
                .leads(target)
                .is_some_and(|to| std::fs::canonicalize(dir).is_ok_and(|dir| dir == to))
    }

    /// The same deployment, in place in one release's directory.
    fn in_place(&self, dir: &str) -> Self {
        Self {
            into: Some(dir.to_owned()),
            releases: None,
            current: None,
            keep: None,
            ..self.clone()
        }
    }

    pub(super) fn seen_release(&self, cx: &Context) -> Result<Observed, Error> {
        let (releases, current) = self
            .side_by_side()
            .unwrap_or((Path::new(""), Path::new("")));
        let target = match self.link()? {
            Link::Missing => None,
            Link::To(target) => Some(target),
        };
        let parent = current.parent().unwrap_or(Path::new("/"));
        if !parent.is_dir() {
            return Err(Error::new(format!(
                "there is no directory {}, where {} belongs",
                parent.display(),
                current.display()
            )));
        }
        let found = self.resolve(&Git::at(cx, releases), None)?;
        let dir = releases.join(named(&self.reference, &found.commit));
        let dir = dir.display().to_string();
        let inner = self.in_place(&dir);
        let existed = inner.exists();
        let mut seen = Observed {
            commit: found.commit,
            name: found.name,
            before: None,
            modules: Vec::new(),
            release: None,
        };
        if existed {
            let look = inner.deployed(cx, &seen)?;
            if look.answer != Answer::Done {
                return Err(Error::new(format!(
                    "{dir} is there and is not this release, whole and clean: {}; move it away, and it is made anew",
                    look.evidence.join("; ")
                )));
            }
        }
        let (old, stays) = self.superseded(cx, &dir, target.as_deref())?;
        seen.release = Some(Release {
            dir,
            existed,
            led: target.as_deref().is_some_and(|t| self.is_there(t)),
            target,
            old,
            stays,
        });
        Ok(seen)
    }

    pub(super) fn found_release(&self, seen: &Release) -> Vec<String> {
        let current = self.current.as_deref().unwrap_or_default();
        let mut lines = vec![match &seen.target {
            Some(from) => text::leads_to(current, from, &seen.dir),
            None => text::no_link_yet(current, &seen.dir),
        }];
        if seen.existed {
            lines.push(text::release_exists(&seen.dir));
        }
        lines.extend(seen.old.iter().map(text::release_goes));
        lines.extend(seen.stays.iter().map(|stays| match &stays.why {
            Why::Link(link) => text::release_linked(&stays.dir, link),
            Why::Process(process) => text::release_used(&stays.dir, process),
        }));
        lines
    }

    pub(super) fn release_commands(&self) -> Vec<String> {
        let (releases, current) = (
            self.releases.as_deref().unwrap_or_default(),
            self.current.as_deref().unwrap_or_default(),
        );
        let dir = match &self.commit {
            Some(commit) => format!("{releases}/{}", named(&self.reference, commit)),
            None => format!("{releases}/{}", told::name_and_commit(&self.reference)),
        };
        let mut commands = vec![
            format!("git clone --no-checkout {} {dir}", self.repo),
            format!("git -C {dir} checkout --detach {}", self.meant()),
        ];
        if self.submodules {
            commands.push(format!("git -C {dir} submodule update --init --recursive"));
        }
        commands.push(format!(
            "ln -s {dir} {current}.new && mv -T {current}.new {current}"
        ));
        commands
    }

    /// Makes the release, proves it, and switches.
    pub(super) fn release(
        &self,
        cx: &Context,
        seen: &Observed,
        release: &Release,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        // Before the clone, which may take minutes and would be for nothing.
        self.now(release)?;
        let inner = self.in_place(&release.dir);
        if inner.exists() {
            inner.proven(&inner.git(cx), &seen.commit)?;
            say(out, &format!("{} is whole", release.dir));
        } else {
            let releases = Path::new(self.releases.as_deref().unwrap_or_default());
            std::fs::create_dir_all(releases)
                .map_err(|e| Error::io(format!("cannot make {}", releases.display()), &e))?;
            inner.clone_it(cx, seen, out)?;
        }
        self.switch(cx, release, Now::Before, Some(&release.dir), out)?;
        self.remove_old(cx, release, out);
        Ok(())
    }

    /// Where the link leads now.
    fn now(&self, seen: &Release) -> Result<Now, Error> {
        let current = self.current.as_deref().unwrap_or_default();
        Ok(match self.link()? {
            Link::Missing if seen.target.is_none() => Now::Before,
            Link::To(now) if self.leads_to(&now, &seen.dir) => Now::Switched,
            Link::To(now) if seen.target.as_ref() == Some(&now) => Now::Before,
            Link::Missing => return Err(Error::new(format!("somebody removed {current}"))),
            Link::To(now) => {
                return Err(Error::new(format!(
                    "{current} leads to {now}; somebody moved it since it led to {}",
                    seen.target.as_deref().unwrap_or("nothing")
                )));
            }
        })
    }

    /// Switches the link at once: a new one under another name, then a rename. Only a link that leads where it is meant
    /// to be switched from is replaced, by a look right before the rename: hours may lie behind the first one.
    fn switch(
        &self,
        cx: &Context,
        seen: &Release,
        from: Now,
        to: Option<&str>,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        let current = Path::new(self.current.as_deref().unwrap_or_default());
        let cannot =
            |e: std::io::Error| Error::io(format!("cannot switch {}", current.display()), &e);
        let new = beside(current, cx, "new");
        let none = || match std::fs::remove_file(&new) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(cannot(e)),
            Ok(()) | Err(_) => Ok(()),
        };
        none()?;
        if let Some(to) = to {
            std::os::unix::fs::symlink(to, &new).map_err(cannot)?;
        }
        let now = self.now(seen);
        if now.as_ref().ok() != Some(&from) {
            none()?;
            return now.map(drop);
        }
        match to {
            None => std::fs::remove_file(current).map_err(cannot)?,
            // Whatever came into the place of nothing meanwhile is somebody's.
            Some(_) if from == Now::Before && seen.target.is_none() => rename(&new, current)?,
            // A rename over a directory that came into its place fails.
            Some(_) => std::fs::rename(&new, current).map_err(cannot)?,
        }
        let parent = current.parent().unwrap_or(Path::new("/"));
        File::open(parent)
            .and_then(|d| d.sync_all())
            .map_err(cannot)?;
        let to = to.map_or_else(|| "nothing".to_owned(), |to| format!("leads to {to}"));
        say(out, &format!("{} {to}", current.display()));
        Ok(())
    }

    /// Whether the release is in force.
    pub(super) fn in_force(
        &self,
        cx: &Context,
        seen: &Observed,
        release: &Release,
    ) -> Result<Look, Error> {
        let current = self.current.as_deref().unwrap_or_default();
        match self.now(release) {
            Err(e) => Ok(Look::unclear(e.to_string())),
            // A release that nothing leads to yet is no effect.
            Ok(Now::Before) => Ok(Look::nothing(match &release.target {
                Some(target) => format!("{current} leads to {target}"),
                None => format!("{current} does not exist"),
            })),
            Ok(Now::Switched) => {
                let mut look = self.in_place(&release.dir).deployed(cx, seen)?;
                if look.answer == Answer::Nothing {
                    look.answer = Answer::Unclear;
                }
                look.evidence
                    .insert(0, format!("{current} leads to {}", release.dir));
                Ok(look)
            }
        }
    }

    /// Switches back to what was there before; the release stays.
    pub(super) fn switch_back(
        &self,
        cx: &Context,
        seen: &Release,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        for left in self.leftovers(cx) {
            remove_any(&left)?;
        }
        let same = seen
            .target
            .as_ref()
            .is_some_and(|t| self.leads_to(t, &seen.dir));
        let now = self.now(seen)?;
        if let Some(gone) = self.gone(seen) {
            return Err(Error::new(format!("not switched back: {gone}")));
        }
        if now == Now::Switched && !same {
            self.switch(cx, seen, Now::Switched, seen.target.as_deref(), out)?;
        }
        say(out, &format!("{} stays, and nothing leads to it", seen.dir));
        Ok(())
    }

    /// Why a link that leads where it led leads to nothing; none when it leads to a directory, or never did.
    fn gone(&self, seen: &Release) -> Option<String> {
        let target = seen.target.as_deref().filter(|_| seen.led)?;
        (!self.is_there(target)).then(|| {
            format!(
                "{} led to {target}, and that is gone: put it back first, and try again",
                self.current.as_deref().unwrap_or_default()
            )
        })
    }

    pub(super) fn is_switched_back(&self, cx: &Context, seen: &Release) -> Result<Look, Error> {
        let current = self.current.as_deref().unwrap_or_default();
        if let Some(left) = self.leftovers(cx).first() {
            return Ok(Look::nothing(format!("{} is left over", left.display())));
        }
        Ok(match (self.link()?, &seen.target) {
            (Link::Missing, None) => Look::done(format!("{current} does not exist")),
            (Link::To(now), Some(target)) if now == *target => match self.gone(seen) {
                Some(gone) => Look::unclear(gone),
                None => Look::done(format!("{current} leads to {target}")),
            },
            (Link::To(now), _) if self.leads_to(&now, &seen.dir) => {
                Look::nothing(format!("{current} leads to {now}"))
            }
            (Link::To(now), _) => Look::unclear(format!("{current} leads to {now}")),
            (Link::Missing, Some(_)) => Look::unclear(format!("{current} does not exist")),
        })
    }

    /// What this step of this run made under names of its own, and did not finish.
    pub(super) fn leftovers(&self, cx: &Context) -> Vec<PathBuf> {
        let (releases, current) = self
            .side_by_side()
            .unwrap_or((Path::new(""), Path::new("")));
        let ends = ["new", "old"].map(|what| {
            let name = beside(Path::new("/x"), cx, what);
            let name = name.file_name().unwrap_or_default();
            name.to_string_lossy().trim_start_matches('x').to_owned()
        });
        let listed = std::fs::read_dir(releases).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = listed
            .filter(|e| {
                let name = e.file_name();
                let name = name.to_string_lossy();
                ends.iter().any(|end| name.ends_with(end.as_str()))
            })
            .map(|e| e.path())
            .collect();
        let link = beside(current, cx, "new");
        found.extend(std::fs::symlink_metadata(&link).is_ok().then_some(link));
        found.sort();
        found
    }
}

/// Where the link leads, of the two places where it may.
#[derive(Debug, PartialEq, Eq)]
enum Now {
    Before,
    Switched,
}

/// Removes a directory or a link of ours.
pub(super) fn remove_any(path: &Path) -> Result<(), Error> {
    if std::fs::symlink_metadata(path).is_ok_and(|m| m.is_symlink()) {
        std::fs::remove_file(path)
            .map_err(|e| Error::io(format!("cannot remove {}", path.display()), &e))
    } else {
        remove(path)
    }
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn the_name_of_a_release_leads_nowhere_else() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for (reference, name) in [
            ("bklog/4.6.4", "bklog-4.6.4-0123456789ab"),
            ("refs/tags/bklog/4.6.4", "bklog-4.6.4-0123456789ab"),
            ("refs/heads/main", "main-0123456789ab"),
            ("v1.0+build", "v1.0-build-0123456789ab"),
            ("\u{7248}\u{672c}", "---0123456789ab"),
            (commit, "0123456789ab"),
        ] {
            assert_eq!(named(reference, commit), name, "{reference}");
        }
        assert!(named(&"x".repeat(500), commit).len() < 120);
    }
}
