//! Releases side by side: each in a directory of its own, and a symbolic link that leads to the one in force. Without a link
//! the release is only made, for a `release.switch` that comes later.
//!
//! A release is cloned beside its place under a name that only this step of this run uses, and gets its own name when it
//! is whole, proven (commit, submodules, version file) and on the disk. Only then is the link switched, by a rename: at
//! no moment is there no link, and at no moment does it lead to half a release.
//!
//! Invariants: a link that somebody moved meanwhile is refused, and so is anything at its place that is no link; a
//! release that is there already is used only when it is exactly that commit, clean; the former release is never
//! removed, since the undo needs it. The undo switches back and leaves the release, which no one uses then.
//!
//! Left out: which old releases go (the module `prune`), and what uses the link. A process that has it open stays in the
//! old release until it is started anew.

use super::prune::Why;
use super::record::{Before, Layout, Note, Past, Release, Tree, Work, text as path_text};
use super::repo::Git;
use super::shared::Shared;
use super::{Deploy, resolve};
use crate::action::{Context, Error, Look};
use crate::failpoint;
use crate::host::files::entry::{self, beside};
use crate::host::files::link::Link;
use crate::text::actions as actions_text;
use crate::text::settings as text;
use std::path::Path;
use upledger_replay::event::Answer;

/// How much of a commit's id and of a name stand in the name of its directory.
const ID: usize = 12;
const NAME: usize = 100;

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
    /// The directory of the releases.
    pub(super) fn side_by_side(&self) -> Option<&Path> {
        self.releases.as_deref().map(Path::new)
    }

    /// It changes nothing that anybody uses.
    pub(super) fn is_aside(&self) -> bool {
        self.releases.is_some() && self.current.is_none()
    }

    /// Rules about where.
    pub(super) fn one_place(&self) -> Vec<String> {
        let many = self.releases.is_some() || self.current.is_some() || self.keep.is_some();
        let mut problems = Vec::new();
        match (&self.into, self.side_by_side()) {
            (Some(_), _) if many => problems.push(text::one_place()),
            (Some(_), _) => {}
            (None, None) => problems.push(text::no_place()),
            (None, Some(releases)) => {
                let current = self.current.as_deref().map(Path::new);
                if current.is_some_and(|current| releases.starts_with(current)) {
                    problems.push(text::current_among_releases());
                }
                if self.keep.is_some_and(|n| n < 2) {
                    problems.push(text::keep_two());
                }
                if self.keep.is_some() && current.is_none() {
                    problems.push(text::needs("keep", "current"));
                }
                if !self.fetch {
                    problems.push(text::releases_fetch());
                }
            }
        }
        if let Some(shared) = &self.shared {
            if self.releases.is_none() {
                problems.push(text::needs("shared", "releases"));
            }
            problems.extend(shared.problems());
        }
        problems
    }

    fn link(&self) -> Option<Link<'_>> {
        self.current.as_deref().map(|link| Link(Path::new(link)))
    }

    /// Where the link leads, word for word.
    fn target(&self) -> Result<Option<String>, Error> {
        let Some(link) = self.link() else {
            return Ok(None);
        };
        link.target(|| {
            let current = self.current.as_deref().unwrap_or_default();
            let releases = self.releases.as_deref().unwrap_or_default();
            format!(
                "turn it into a release once, while the service is stopped: mkdir -p {releases} && mv {current} {releases}/before \
                 && ln -s {releases}/before {current}; or deploy in place, with `into: {current}`"
            )
        })
    }

    fn would_lead_to(&self, target: &str, release: &Release) -> bool {
        let place = Path::new(&release.dir);
        self.link()
            .is_some_and(|link| link.would_lead_to(target, place))
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

    pub(super) fn observe_release(&self, cx: &Context) -> Result<Before, Error> {
        let releases = self.side_by_side().unwrap_or(Path::new(""));
        let target = self.target()?;
        if let Some(link) = self.link() {
            link.has_place()?;
        }
        if let Some(shared) = &self.shared {
            shared.missing()?;
        }
        let found = self.resolve(&Git::at(cx, releases), None)?;
        let dir = path_text(&releases.join(named(&self.reference, &found.commit)));
        let inner = self.in_place(&dir);
        let existed = inner.exists();
        if existed {
            let look = inner.is_deployed(cx, &found.commit, &Tree::default(), &[])?;
            if look.answer != Answer::Done {
                return Err(Error::new(format!(
                    "{dir} exists but is not this release, complete and clean: {}",
                    look.evidence.join("; ")
                ))
                .remedy("move it away, and it is created again"));
            }
        }
        let (old, stays) = self.superseded(cx, &dir, target.as_deref())?;
        Ok(Before {
            commit: found.commit,
            name: found.name,
            layout: Layout::SideBySide(Release {
                dir,
                existed,
                led: target
                    .as_deref()
                    .zip(self.link())
                    .is_some_and(|(t, link)| link.resolves_to_directory(t)),
                target,
                old,
                stays,
            }),
        })
    }

    pub(super) fn findings(&self, seen: &Release) -> Vec<String> {
        let mut lines = Vec::new();
        lines.extend(self.current.as_ref().map(|current| match &seen.target {
            Some(from) => text::leads_to(current, from, &seen.dir),
            None => text::no_link_yet(current, &seen.dir),
        }));
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

    /// What it does, in commands. Before the look, the name of the release is not known.
    pub(super) fn release_commands(&self, before: Option<&Before>) -> Vec<String> {
        let releases = self.releases.as_deref().unwrap_or_default();
        let dir = match (before.map(|b| &b.layout), &self.commit) {
            (Some(Layout::SideBySide(release)), _) => release.dir.clone(),
            (_, Some(commit)) => format!("{releases}/{}", named(&self.reference, commit)),
            (_, None) => format!(
                "{releases}/{}",
                actions_text::name_and_commit(&self.reference)
            ),
        };
        let mut commands = vec![
            format!("git clone --no-checkout {} {dir}", self.repo),
            format!("git -C {dir} checkout --detach {}", self.meant(before)),
        ];
        if self.submodules {
            commands.push(format!("git -C {dir} submodule update --init --recursive"));
        }
        if let Some(Layout::SideBySide(Release { existed: true, .. })) = before.map(|b| &b.layout) {
            commands.clear();
        }
        for name in self.shared.iter().flat_map(Shared::names) {
            let from = self.shared.as_ref().map_or("", |s| s.dir.as_str());
            commands.push(format!("ln -s {from}/{name} {dir}/{name}"));
        }
        commands.extend(
            self.current.as_ref().map(|current| {
                format!("ln -s {dir} {current}.new && mv -T {current}.new {current}")
            }),
        );
        commands
    }

    /// Makes the release, proves it, and switches.
    pub(super) fn release(
        &self,
        work: &mut Work<'_>,
        past: &Past,
        release: &Release,
    ) -> Result<(), Error> {
        // Before the clone, which may take minutes and would be for nothing.
        self.position(release)?;
        let inner = self.in_place(&release.dir);
        if inner.exists() {
            inner.proven(&inner.git(work.cx()), &past.before.commit)?;
            if let Some(shared) = &self.shared {
                shared.link_into(Path::new(&release.dir), false)?;
            }
            work.log_line(&format!("{} is complete", release.dir));
        } else {
            let releases = Path::new(self.releases.as_deref().unwrap_or_default());
            std::fs::create_dir_all(releases)
                .map_err(|e| Error::io(format!("cannot make {}", releases.display()), &e))?;
            // Of another commit, too, where the branch has moved since that attempt.
            for left in self.leftovers(work.cx(), past) {
                entry::remove(&left)?;
            }
            inner.clone_repository(work, past)?;
        }
        failpoint::hit("release-made");
        if self.is_aside() {
            return Ok(());
        }
        // Who has switched it to this release meanwhile is no stranger.
        if self.position(release)? == Position::Former {
            let from = release.target.as_deref();
            self.switch(work, from, Some(&release.dir))?;
        }
        self.remove_old(work, past, release);
        Ok(())
    }

    /// Where the link leads now.
    fn position(&self, seen: &Release) -> Result<Position, Error> {
        let now = self.target()?;
        match &now {
            Some(now) if self.would_lead_to(now, seen) => Ok(Position::Switched),
            _ if now == seen.target => Ok(Position::Former),
            _ => Err(self.link().map_or_else(
                || Error::new("there is no link"),
                |link| link.moved(now.as_deref(), seen.target.as_deref()),
            )),
        }
    }

    fn switch(
        &self,
        work: &mut Work<'_>,
        from: Option<&str>,
        to: Option<&str>,
    ) -> Result<(), Error> {
        let Some(link) = self.link() else {
            return Ok(());
        };
        let at = beside(link.0, work.cx(), "new");
        work.note(Note::Switching {
            link: path_text(link.0),
            at: path_text(&at),
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
        })?;
        link.switch(&at, from, to)?;
        let leads = to.map_or_else(|| "is removed".to_owned(), |to| format!("points to {to}"));
        work.log_line(&format!("{} {leads}", link.0.display()));
        Ok(())
    }

    /// Whether the release is in force.
    pub(super) fn is_in_force(
        &self,
        cx: &Context,
        commit: &str,
        release: &Release,
    ) -> Result<Look, Error> {
        let inner = self.in_place(&release.dir);
        let lacking = || {
            let shared = self.shared.as_ref()?;
            shared.lacking(Path::new(&release.dir))
        };
        if self.is_aside() {
            let look = inner.is_deployed(cx, commit, &Tree::default(), &[])?;
            return Ok(match lacking().filter(|_| look.answer == Answer::Done) {
                Some(link) => Look::nothing(link),
                None => look,
            });
        }
        let current = self.current.as_deref().unwrap_or_default();
        match self.position(release) {
            Err(e) => Ok(Look::unclear(e.to_string())),
            // A release that nothing leads to yet is no effect.
            Ok(Position::Former) => Ok(Look::nothing(match &release.target {
                Some(target) => format!("{current} points to {target}"),
                None => format!("{current} does not exist"),
            })),
            Ok(Position::Switched) => {
                let mut look = inner.is_deployed(cx, commit, &Tree::default(), &[])?;
                if look.answer == Answer::Nothing {
                    look.answer = Answer::Unclear;
                }
                look.evidence
                    .insert(0, format!("{current} points to {}", release.dir));
                Ok(lacking().map_or(look, Look::unclear))
            }
        }
    }

    /// The commands of the undo.
    pub(super) fn switch_back_commands(&self, seen: &Release) -> Vec<String> {
        vec![match (&self.current, &seen.target) {
            (None, _) => text::release_is_kept(&seen.dir),
            (Some(current), Some(target)) => actions_text::switch_link(current, target),
            (Some(current), None) => actions_text::remove(current),
        }]
    }

    /// Switches back to what was there before; the release stays.
    pub(super) fn switch_back(
        &self,
        work: &mut Work<'_>,
        past: &Past,
        seen: &Release,
    ) -> Result<(), Error> {
        for left in self.leftovers(work.cx(), past) {
            entry::remove(&left)?;
        }
        if self.is_aside() {
            work.log_line(&self.kept(seen));
            return Ok(());
        }
        let position = self.position(seen)?;
        if let Some(gone) = self.gone(seen) {
            return Err(Error::new(format!("not switched back: {gone}")));
        }
        let former = seen.target.as_deref();
        let was_in_force = former.is_some_and(|t| self.would_lead_to(t, seen));
        if position == Position::Switched && !was_in_force {
            let now = self.target()?;
            self.switch(work, now.as_deref(), former)?;
        }
        work.log_line(&format!("{} is kept, and nothing points to it", seen.dir));
        Ok(())
    }

    /// Why a link that leads where it led leads to nothing; none when it leads to a directory, or never did.
    fn gone(&self, seen: &Release) -> Option<String> {
        let target = seen.target.as_deref().filter(|_| seen.led)?;
        (!self.link()?.resolves_to_directory(target)).then(|| {
            format!(
                "{} pointed to {target}, which no longer exists: restore it first, and try again",
                self.current.as_deref().unwrap_or_default()
            )
        })
    }

    fn kept(&self, seen: &Release) -> String {
        match Path::new(&seen.dir).exists() {
            true => format!("this step has switched nothing, and {} is kept", seen.dir),
            false => format!("{} does not exist", seen.dir),
        }
    }

    pub(super) fn is_switched_back(
        &self,
        cx: &Context,
        past: &Past,
        seen: &Release,
    ) -> Result<Look, Error> {
        let current = self.current.as_deref().unwrap_or_default();
        if let Some(left) = self.leftovers(cx, past).first() {
            return Ok(Look::nothing(format!("{} is left over", left.display())));
        }
        if self.is_aside() {
            return Ok(Look::done(self.kept(seen)));
        }
        let now = self.target()?;
        Ok(match &now {
            None if seen.target.is_none() => Look::done(format!("{current} does not exist")),
            None => Look::unclear(format!("{current} does not exist")),
            Some(now) if seen.target.as_ref() == Some(now) => match self.gone(seen) {
                Some(gone) => Look::unclear(gone),
                None => Look::done(format!("{current} points to {now}")),
            },
            Some(now) if self.would_lead_to(now, seen) => {
                Look::nothing(format!("{current} points to {now}"))
            }
            Some(now) => Look::unclear(format!("{current} points to {now}")),
        })
    }
}

/// Where the link leads, of the two places where it may.
#[derive(Debug, PartialEq, Eq)]
enum Position {
    /// Where it led before.
    Former,
    /// To the release.
    Switched,
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
