//! `pip.install`: one virtualenv for each release, built beside the old one, proved to start, and then switched to.
//!
//! Pip says little that counts. It exits 0 where a later file has downgraded what an earlier one pinned, and
//! `pip check` is content with packages that cannot be imported together. So the evidence is: the versions that the files
//! pin are the ones that are there, `pip check` agrees, the smoke commands end well, what is installed is what was
//! recorded when it was finished, and the link leads there.
//!
//! Invariants: nothing is ever installed into a virtualenv that was finished, and nothing touches a directory that
//! upledger did not make; a half-built virtualenv is known as half-built, whatever killed its builder, and is built
//! anew; the link is switched last, in one step, and the old virtualenv stays. The mark inside a virtualenv tells what it
//! is; what this step has made and switched is told by its notes, and the undo goes by these.
//!
//! Left out: installing into the system's Python, conda, and building packages: what comes as source is built by pip
//! as ever, with what the machine has.

mod build;
mod explain;
mod index;
mod judge;
mod lines;
mod record;
mod requirements;
mod undo;
mod venv;

#[cfg(test)]
mod tests;

pub use record::{Before, Installed, Note};
pub(crate) use venv::{made_at, remove_unused};

use crate::action::values::{Size, absolute};
use crate::action::{Action, Context, Direction, Error, Live, Look, Preview, Properties, Stage};
use crate::host::exec::quoted;
use crate::host::files::entry::{beside, exists};
use crate::host::files::link::Link;
use crate::host::process::mask;
use crate::text::actions as actions_text;
use crate::text::settings as text;
use index::Index;
use record::{Meant, Past, Work};
use requirements::Set;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use upledger_replay::event::Answer;
use venv::{Built, Interpreter, State, Venv};

/// Builds a virtualenv for one release while the old one stays in use, tests it with smoke commands, and switches a link to it. Set the
/// `env` and `cwd` that the application needs in the step: the smoke commands run with them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Install {
    /// The virtualenv, an absolute path, one per release. It is created at this path and cannot be moved. A directory that
    /// upledger did not create is refused.
    pub venv: String,
    /// The symbolic link to the current virtualenv, an absolute path. It is switched atomically when all checks have
    /// passed. Without it, nothing is switched, and the virtualenv may be built while the service is running: `release.switch`
    /// switches to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// The interpreter, an absolute path. It may differ from that of the old virtualenv.
    pub python: String,
    /// Requirement files, absolute or below the step's `cwd`, in UTF-8 or the encoding that they name, installed one after the other in this order: a later file may
    /// change what an earlier one installed, and that is reported.
    pub requirements: Vec<String>,
    /// Constraint files, for all requirement files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<String>,
    /// The package index, instead of the one in pip's configuration. A URL with credentials is a secret: `{secret: pypi}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<Index>,
    /// Directories or pages with packages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub find_links: Vec<String>,
    /// Use no index, only `find_links`. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_index: bool,
    /// Every package must have a hash in its file. Default: true if at least one has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_hashes: Option<bool>,
    /// A directory in which downloads are cached for other builds, an absolute path. Default: downloads are kept until the
    /// virtualenv is complete, so that a retry does not download them again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<String>,
    /// Commands that must exit with 0 before the virtualenv counts as complete, such as `[bin/python, -c, "import app"]`:
    /// pip does not check that the application starts. A program with a slash is relative to the virtualenv unless it is
    /// absolute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub smoke: Vec<Vec<String>>,
    /// Free disk space that is required at the start. Default: the size of the old virtualenv, and at least 100MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free: Option<Size>,
    /// The undo also removes the virtualenv, if this run created it and no other run has switched to it since. Default:
    /// false, it is kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undo_removes: bool,
}

impl Install {
    fn venv(&self) -> Venv {
        Venv::at(&self.venv)
    }

    fn link(&self) -> Option<Link<'_>> {
        self.current.as_deref().map(|c| Link(Path::new(c)))
    }

    /// The link leads to the virtualenv.
    fn is_in_force(&self) -> bool {
        self.link()
            .is_some_and(|l| l.leads_to(Path::new(&self.venv)))
    }

    fn paths(&self, cx: &Context, names: &[String]) -> Result<Vec<PathBuf>, Error> {
        names
            .iter()
            .map(|name| match (Path::new(name).is_absolute(), &cx.cwd) {
                (true, _) => Ok(PathBuf::from(name)),
                (false, Some(cwd)) => Ok(cwd.join(name)),
                (false, None) => Err(Error::new(format!(
                    "{name} is a relative path, and the step has no `cwd`: give it one, or write an absolute path"
                ))),
            })
            .collect()
    }

    /// The requirement files as they are now.
    fn set(&self, cx: &Context) -> Result<Set, Error> {
        let files = self.paths(cx, &self.requirements)?;
        Set::read(cx, &files, &self.paths(cx, &self.constraints)?)
    }

    fn hashes(&self, set: &Set) -> bool {
        self.require_hashes.unwrap_or_else(|| set.any_hash())
    }

    /// What a finished virtualenv is against what is meant; none when it is the one.
    fn differs(
        &self,
        cx: &Context,
        built: &Built,
        before: &Before,
    ) -> Result<Option<String>, Error> {
        let why = if !built.python.fits(&before.python) {
            format!(
                "it was created with {}, but `python` is {}",
                built.python, before.python
            )
        } else {
            let is = |meant: &Meant, sha256: &str| cx.is_kept(&meant.digest, sha256.as_bytes());
            let mut same = built.files.len() == before.files.len();
            let mut new = Vec::new();
            for (n, meant) in before.files.iter().enumerate() {
                let mut known = false;
                for (of, file) in built.files.iter().enumerate() {
                    let equal = is(meant, &file.sha256)?;
                    known |= equal;
                    same &= equal || n != of;
                }
                if !known {
                    new.push(meant.path.as_str());
                }
            }
            match (same, new.as_slice()) {
                (true, _) => return Ok(None),
                (false, []) => "it was built from other requirement files".into(),
                (false, new) => format!("since then {} changed", new.join(", ")),
            }
        };
        Ok(Some(format!(
            "{} is an existing virtualenv that differs: {why}; nothing is installed into a virtualenv that may be in \
             use: name another directory, or remove this one",
            self.venv
        )))
    }

    /// Whether the smoke commands of the plan are those that ended well.
    fn smoke_digest(&self) -> String {
        // A list of lists of strings always has a JSON form.
        let text = serde_json::to_string(&self.smoke).unwrap_or_default();
        crate::attempt::spec::digest(&text)
    }

    /// What is wrong with a finished virtualenv; none when it is as it was when it was finished.
    fn spoilt(&self, cx: &Context, built: &Built) -> Result<Option<String>, Error> {
        let venv = self.venv();
        let now = match Interpreter::ask(cx, &venv.python()) {
            Ok(now) => now,
            Err(why) => return Ok(Some(why.to_string())),
        };
        if !now.fits(&built.python) {
            return Ok(Some(format!(
                "{} runs {now} now and was created with {}: its interpreter was replaced",
                self.venv, built.python
            )));
        }
        let freeze = venv.freeze(cx)?;
        if freeze.is(&built.sha256) {
            return Ok(None);
        }
        let mut changes = venv.kept()?.changes(&freeze);
        let more = changes.len().saturating_sub(5);
        changes.truncate(5);
        Ok(Some(format!(
            "the packages in {} have changed since it was completed: {}{}",
            self.venv,
            changes.join(", "),
            if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            }
        )))
    }

    /// Whether it is there, finished, as it was, and in force.
    fn look(&self, cx: &Context, before: &Before) -> Result<Look, Error> {
        let in_force = self.is_in_force();
        let (mark, built) = match self.venv().state()? {
            State::Foreign(why) => return Ok(Look::unclear(why)),
            State::Absent => return Ok(Look::nothing(format!("{} does not exist", self.venv))),
            State::Half(_) if in_force => {
                return Ok(Look::unclear(format!(
                    "{} is incomplete, and {} points to it",
                    self.venv,
                    self.current.as_deref().unwrap_or_default()
                )));
            }
            State::Half(_) => {
                return Ok(Look::nothing(format!(
                    "{} is incomplete and not in use; it is built again",
                    self.venv
                )));
            }
            State::Complete(mark, built) => (mark, built),
        };
        if let Some(why) = self.differs(cx, &built, before)? {
            return Ok(Look::unclear(why));
        }
        if let Some(why) = self.spoilt(cx, &built)? {
            return Ok(Look::unclear(why));
        }
        if built.smoke != self.smoke_digest() {
            return Ok(Look::nothing(format!(
                "{} is complete, but was tested with other smoke commands",
                self.venv
            )));
        }
        if let Some(current) = &self.current
            && !in_force
        {
            let now = self.target()?;
            let text = format!(
                "{} is complete, and {current} points to {}",
                self.venv,
                now.as_deref().unwrap_or("nothing")
            );
            return Ok(if now == before.current {
                Look::nothing(text)
            } else {
                Look::unclear(text)
            });
        }
        let mut look = Look::done(format!(
            "{} is complete (run {}): {}, pip {}",
            self.venv,
            mark.run(),
            built.python,
            built.pip
        ));
        look.evidence.push(format!(
            "{} packages, freeze sha256 {}, kept in {}",
            built.count,
            built.sha256,
            self.venv().own("freeze.txt").display()
        ));
        let files: Vec<&str> = built.files.iter().map(|f| f.path.as_str()).collect();
        look.evidence.push(format!(
            "built from {}, whose digests are in {}",
            files.join(", "),
            self.venv().own(venv::MARK).display()
        ));
        look.evidence.push(format!(
            "pip check passed, and {} smoke commands succeeded",
            self.smoke.len()
        ));
        look.evidence.extend(built.changed.iter().take(6).cloned());
        look.evidence
            .extend(self.current.as_ref().map(|c| format!("{c} points to it")));
        Ok(look)
    }
}

impl Install {
    /// Where the link leads, word for word; none when there is none.
    fn target(&self) -> Result<Option<String>, Error> {
        let remedy = || {
            "a virtualenv cannot be moved, so build one under its own name once, and replace this path by a link to it"
                .to_owned()
        };
        self.link().map_or(Ok(None), |link| link.target(remedy))
    }

    /// What it does, in commands.
    fn commands(&self, complete: bool, hashes: bool) -> Vec<String> {
        let venv = self.venv();
        let mut commands = Vec::new();
        if !complete {
            let words = [&self.python, "-I", "-m", "venv", &self.venv].map(str::to_owned);
            commands.push(quoted(&words));
            for file in &self.requirements {
                let words = self.install_argv(&venv, Path::new(file), hashes, &self.constraints);
                let install = quoted(&words);
                commands.push(match &self.index {
                    Some(index) => actions_text::with_index(install, index),
                    None => install,
                });
            }
            commands.push(format!("{}/bin/python -m pip check", self.venv));
        }
        commands.extend(self.smoke.iter().map(|s| quoted(&self.smoke_argv(s))));
        commands.extend(
            self.current
                .as_ref()
                .map(|c| actions_text::switch_link(c, &self.venv)),
        );
        commands
    }

    /// What would change about the link.
    fn diff(&self, before: &Before) -> Option<String> {
        let current = self.current.as_deref().filter(|_| !self.is_in_force())?;
        let line = |to: &str| format!("{current} -> {to}\n");
        let former = before.current.as_deref().map(line).unwrap_or_default();
        Some(
            similar::TextDiff::from_lines(former, line(&self.venv))
                .unified_diff()
                .to_string(),
        )
    }

    /// What earlier attempts made under names of their own, or were about to remove, and have left. A look that finds
    /// nothing done ends the notes of the attempts before it, but not their names.
    fn leftovers(&self, cx: &Context, past: &Past) -> Vec<PathBuf> {
        let mut left: Vec<PathBuf> = past.temporary().collect();
        for path in std::iter::once(&self.venv).chain(&self.current) {
            left.push(beside(Path::new(path), cx, "new"));
        }
        left.retain(|path| exists(path));
        left.sort();
        left.dedup();
        left
    }

    fn output(&self) -> Installed {
        Installed {
            venv: self.venv.clone(),
            python: self.venv().python().display().to_string(),
        }
    }
}

impl Action for Install {
    type Before = Before;
    type Note = Note;
    type Output = Installed;

    fn properties(&self) -> Properties {
        let mut files = self.requirements.iter();
        Properties {
            below_cwd: files.find(|f| !Path::new(f).is_absolute()).cloned(),
            live: if self.current.is_none() {
                Live::Harmless
            } else {
                Live::Refused
            },
            ..Properties::reversible().at(Stage::Dependencies)
        }
        .writing([&self.venv].into_iter().chain(&self.current))
    }

    fn problems(&self) -> Vec<String> {
        let paths = [
            ("venv", Some(&self.venv)),
            ("current", self.current.as_ref()),
            ("python", Some(&self.python)),
            ("cache", self.cache.as_ref()),
        ];
        let mut problems: Vec<String> = paths
            .into_iter()
            .filter_map(|(name, path)| absolute(name, path?))
            .collect();
        if Path::new(&self.venv).file_name().is_none() {
            problems.push(text::venv_needs_name());
        }
        if self
            .current
            .as_ref()
            .is_some_and(|c| Path::new(c).starts_with(&self.venv))
        {
            problems.push(text::current_in_venv());
        }
        if self.requirements.is_empty() {
            problems.push(text::empty("requirements"));
        }
        let files = self.requirements.iter().chain(&self.constraints);
        problems.extend(
            files
                .filter(|f| f.contains("://") || f.is_empty())
                .map(text::no_requirement_file),
        );
        match &self.index {
            Some(Index::Text(url)) if index::has_credentials(url) => {
                problems.push(text::index_credentials());
            }
            Some(Index::Text(url)) if !index::is_url(url) => problems.push(text::no_index_url(url)),
            Some(_) | None => {}
        }
        if self.find_links.iter().any(|l| index::has_credentials(l)) {
            problems.push(text::index_credentials());
        }
        if self.no_index && self.index.is_some() {
            problems.push(text::exclude("no_index", "index"));
        }
        if self.no_index && self.find_links.is_empty() {
            problems.push(text::needs("no_index", "find_links"));
        }
        if self
            .smoke
            .iter()
            .any(|s| s.first().is_none_or(String::is_empty))
        {
            problems.push(text::smoke_needs_program());
        }
        problems
    }

    fn outline(&self, direction: Direction) -> Vec<String> {
        match direction {
            Direction::Do => self.commands(false, self.require_hashes == Some(true)),
            Direction::Undo => vec![match (&self.current, self.undo_removes) {
                (Some(current), true) => text::undo_pip_both(current, &self.venv),
                (Some(current), false) => text::undo_pip_switch(current),
                (None, true) => text::undo_pip_remove(&self.venv),
                (None, false) => text::undo_pip_nothing(&self.venv),
            }],
        }
    }

    fn observe(&self, cx: &Context) -> Result<Before, Error> {
        let set = self.set(cx)?;
        let hashes = self.hashes(&set);
        if hashes && let Some(line) = set.unhashed() {
            return Err(Error::new(format!(
                "{} has no hash ({}), and {}",
                mask::urls(&line.text),
                line.place(),
                if self.require_hashes == Some(true) {
                    "`require_hashes` is set"
                } else {
                    "others have one"
                }
            ))
            .remedy("lock all files with hashes (pip-compile --generate-hashes), or none"));
        }
        let state = self.venv().state()?;
        let current = self.target()?;
        let before = Before {
            complete: matches!(state, State::Complete(..)),
            python: Interpreter::ask(cx, Path::new(&self.python))?,
            files: set
                .files
                .iter()
                .map(|f| {
                    Ok(Meant {
                        path: f.path.clone(),
                        digest: cx.fingerprint(&mut f.sha256.as_bytes())?,
                    })
                })
                .collect::<Result<_, Error>>()?,
            hashes,
            led: self.link().is_some_and(|l| l.0.is_dir()),
            current,
        };
        match state {
            State::Foreign(why) => return Err(Error::new(why)),
            State::Complete(_, built) => {
                if let Some(why) = self.differs(cx, &built, &before)? {
                    return Err(Error::new(why));
                }
            }
            State::Absent | State::Half(_) => {
                self.room()?;
                if self.is_in_force() {
                    return Err(Error::new(format!(
                        "{} is incomplete, and the link points to it",
                        self.venv
                    ))
                    .remedy("switch the link to a virtualenv that works first"));
                }
            }
        }
        cx.show_diff(|| Ok(self.diff(&before)))?;
        Ok(before)
    }

    fn preview(&self, direction: Direction, past: &Past) -> Preview {
        let before = &past.before;
        Preview {
            commands: match direction {
                Direction::Do => self.commands(before.complete, before.hashes),
                Direction::Undo => self.undo_commands(past),
            },
            ..Preview::default()
        }
    }

    fn probe(&self, cx: &Context, past: &Past) -> Result<(Look, Option<Installed>), Error> {
        let look = self.look(cx, &past.before)?;
        let output = (look.answer == Answer::Done).then(|| self.output());
        Ok((look, output))
    }

    fn perform(&self, work: &mut Work<'_>, past: &Past) -> Result<Installed, Error> {
        self.build(work, past)?;
        Ok(self.output())
    }

    fn undo(&self, work: &mut Work<'_>, past: &Past) -> Result<(), Error> {
        self.put_back(work, past)
    }

    fn undone(&self, cx: &Context, past: &Past) -> Result<Look, Error> {
        self.is_put_back(cx, past)
    }
}
