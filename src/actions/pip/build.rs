//! The build: a fresh virtualenv, the requirement files in their order, the evidence, the mark, the link.
//!
//! Every step of it may be the last one that happens. What that leaves is told by the mark (half-built until the end)
//! and by the link (former or new), and both are looked at again before anything is done.

use super::explain::{Story, broken, explain};
use super::index::access;
use super::judge::pinned;
use super::record::{Note, Past, Work};
use super::requirements::Set;
use super::venv::{Built, Freeze, Interpreter, State, Venv, clean, size};
use super::{Before, Install};
use crate::action::{Context, Error};
use crate::failpoint;
use crate::host::exec::{quoted, stream};
use crate::host::files::entry::{self, beside};
use crate::host::process::mask;
use crate::host::read_only::{Guard, refused};
use crate::host::remedy;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// How long one smoke command may take.
const SMOKE: Duration = Duration::from_secs(300);
/// Free space that is obviously too little.
const LEAST: u64 = 100 << 20;
const MIB: u64 = 1 << 20;

impl Install {
    /// Refuses to begin where there is obviously too little room.
    pub(super) fn room(&self) -> Result<(), Error> {
        let venv = self.venv();
        let there = venv
            .path()
            .ancestors()
            .find(|p| p.exists())
            .unwrap_or(Path::new("/"));
        let fs = rustix::fs::statvfs(there).map_err(|e| {
            Error::io(
                format!("cannot read the free space of {}", there.display()),
                &e,
            )
        })?;
        // What a half-built one takes is taken away first.
        let free = fs
            .f_bavail
            .saturating_mul(fs.f_frsize)
            .saturating_add(size(venv.path()));
        let current = self.current.as_deref().map(Path::new);
        let old = current.map_or(0, |c| c.canonicalize().map_or(0, |c| size(&c)));
        let need = self.free.map_or(old.max(LEAST), |s| s.0);
        if free < need {
            return Err(Error::new(format!(
                "too little space for a new virtualenv: {} MiB are free on the file system of {}, and {} MiB are needed{}: \
                 free some, or set `free`",
                free / MIB,
                there.display(),
                need.div_ceil(MIB),
                if self.free.is_none() && old > LEAST {
                    " (as much as the old one takes)"
                } else {
                    ""
                }
            )));
        }
        if fs.f_files > 0 && fs.f_favail < 1000 {
            return Err(Error::new(format!(
                "too few inodes are free on the file system of {}: {}",
                there.display(),
                fs.f_favail
            )));
        }
        Ok(())
    }

    /// The command that installs one file.
    pub(super) fn install_argv(
        &self,
        venv: &Venv,
        file: &Path,
        hashes: bool,
        constraints: &[String],
    ) -> Vec<String> {
        let mut argv = venv.pip_argv();
        let mut add = |words: &[&str]| argv.extend(words.iter().map(|w| (*w).to_owned()));
        add(&["--log", &venv.own("pip.log").display().to_string()]);
        add(&["install", "--progress-bar", "off"]);
        let cache = self
            .cache
            .clone()
            .unwrap_or_else(|| venv.own("cache").display().to_string());
        add(&["--cache-dir", &cache]);
        if hashes {
            add(&["--require-hashes"]);
        }
        if self.no_index {
            add(&["--no-index"]);
        }
        for place in &self.find_links {
            add(&["--find-links", place]);
        }
        for file in constraints {
            add(&["--constraint", file]);
        }
        add(&["--requirement", &file.display().to_string()]);
        argv
    }

    /// A smoke command; its program is the virtualenv's where it is not another's.
    pub(super) fn smoke_argv(&self, words: &[String]) -> Vec<String> {
        let mut argv = words.to_vec();
        if let Some(program) = argv.first_mut()
            && program.contains('/')
        {
            // An absolute one stays what it is.
            *program = self.venv().path().join(&*program).display().to_string();
        }
        argv
    }

    /// Builds, proves and switches, from wherever an earlier attempt came to.
    pub(super) fn build(&self, work: &mut Work<'_>, past: &Past) -> Result<(), Error> {
        let (cx, before) = (work.cx(), &past.before);
        let venv = self.venv();
        let set = self.unchanged(cx, before)?;
        for left in self.leftovers(work.cx(), past) {
            entry::remove(&left)?;
        }
        if venv.state()? == State::Absent {
            let at = self.note_building(work)?;
            venv.make(cx, &at)?;
        }
        failpoint::hit("pip-made");
        if let State::Foreign(why) = venv.state()? {
            return Err(Error::new(why));
        }
        let lock = venv.lock()?;
        // Under the lock, for another step may have finished it while this one waited.
        match venv.state()? {
            State::Foreign(why) => return Err(Error::new(why)),
            State::Absent => return Err(Error::new(format!("{} has been removed", self.venv))),
            State::Half(_) => {
                if self.is_in_force() {
                    return Err(Error::new(format!(
                        "{} is incomplete, and the link has been switched to it; it is not touched",
                        self.venv
                    )));
                }
                self.note_building(work)?;
                venv.begin(cx)?;
                self.fill(work, &venv, &set, before)?;
            }
            State::Complete(mark, built) => {
                if let Some(why) = self.differs(cx, &built, before)? {
                    return Err(Error::new(why));
                }
                if let Some(why) = self.spoilt(cx, &built)? {
                    return Err(
                        Error::new(why).remedy(format!("remove {} and try again", self.venv))
                    );
                }
                if mark.is_made_by(cx) {
                    // An earlier attempt made it; a look that found nothing in force has ended its notes.
                    self.note_building(work)?;
                }
                work.log_line(&format!("{} is already complete", self.venv));
                if built.smoke != self.smoke_digest() {
                    self.prove(work, &venv, &set)?;
                    let again = Built {
                        smoke: self.smoke_digest(),
                        ..built
                    };
                    venv.complete(cx, &again, &venv.freeze(cx)?)?;
                }
                // Before the switch, or the undo of the run that made it would take it away from under this one.
                venv.rely(cx)?;
            }
        }
        failpoint::hit("pip-complete");
        drop(lock);
        self.switch(work, before.current.as_deref(), Some(&self.venv))?;
        failpoint::hit("pip-switched");
        Ok(())
    }

    /// Notes that the virtualenv is made, or made anew. Returns the name under which its directory is made.
    fn note_building(&self, work: &mut Work<'_>) -> Result<std::path::PathBuf, Error> {
        let at = beside(Path::new(&self.venv), work.cx(), "new");
        let building = Note::Building {
            venv: self.venv.clone(),
            at: at.display().to_string(),
        };
        if !work.noted().contains(&building) {
            work.note(building)?;
        }
        Ok(at)
    }

    /// Switches the link, where there is one and it leads elsewhere.
    pub(super) fn switch(
        &self,
        work: &mut Work<'_>,
        from: Option<&str>,
        to: Option<&str>,
    ) -> Result<(), Error> {
        let Some(link) = self.link() else {
            return Ok(());
        };
        let shown = link.0.display();
        if self.target()?.as_deref() != to {
            let at = beside(link.0, work.cx(), "new");
            work.note(Note::Switching {
                link: shown.to_string(),
                at: at.display().to_string(),
                from: from.map(str::to_owned),
                to: to.map(str::to_owned),
            })?;
            link.switch(&at, from, to)?;
        }
        work.log_line(&format!(
            "{shown} points to {}",
            to.unwrap_or("nothing: it did not exist before")
        ));
        Ok(())
    }

    /// The requirement files, which must be those that were looked at, for the interpreter that was.
    fn unchanged(&self, cx: &Context, before: &Before) -> Result<Set, Error> {
        let set = self.set(cx)?;
        let same_paths = set.files.len() == before.files.len();
        for (file, meant) in set.files.iter().zip(&before.files) {
            if file.path != meant.path || !cx.is_kept(&meant.digest, file.sha256.as_bytes())? {
                return Err(Error::new(format!(
                    "{} has changed since it was read, and this run installs what it read",
                    file.path
                ))
                .remedy("abort or roll back the run, and run the plan again"));
            }
        }
        if !same_paths {
            return Err(Error::new(
                "the requirement files have changed since they were read",
            ));
        }
        let python = Interpreter::ask(cx, Path::new(&self.python))?;
        if python != before.python {
            return Err(Error::new(format!(
                "{} is {python} now, and was {} when it was inspected",
                self.python, before.python
            )));
        }
        Ok(set)
    }

    fn fill(
        &self,
        work: &mut Work<'_>,
        venv: &Venv,
        set: &Set,
        before: &Before,
    ) -> Result<(), Error> {
        let cx = work.cx();
        venv.empty()?;
        entry::remove(&venv.own("pip.log"))?;
        self.room()?;
        work.log_line(&format!("{}: {}", self.python, before.python));
        let words = [&self.python, "-I", "-m", "venv", &self.venv].map(str::to_owned);
        let mut story = Story::default();
        let made = stream(&clean(cx), &words, None, work.log(), &mut |l| story.take(l))?;
        if made.code != Some(0) {
            return Err(failed(
                &words,
                &made.ended,
                &made.tail,
                explain(&story, set),
            ));
        }
        failpoint::hit("pip-venv");
        let pip = venv.pip_version(cx)?;
        work.log_line(&format!("pip {pip}"));
        let mut changed = Vec::new();
        let mut freeze = Freeze::default();
        for (of, file) in self.requirements.iter().enumerate() {
            self.install(work, venv, set, of)?;
            let now = venv.freeze(cx)?;
            let unsure = pinned(cx, venv, set, of)?;
            unsure.iter().for_each(|line| work.log_line(line));
            if of > 0 {
                let other = freeze
                    .changes(&now)
                    .into_iter()
                    .filter(|c| c.contains(" -> "));
                for change in other {
                    let line = format!("{file} changed {change}");
                    work.log_line(&line);
                    changed.push(line);
                }
            }
            freeze = now;
            failpoint::hit("pip-file");
        }
        self.prove(work, venv, set)?;
        self.unchanged(cx, before)?;
        failpoint::hit("pip-proved");
        work.log_line(&format!("{} packages are installed:", freeze.count()));
        freeze.text.lines().for_each(|l| work.log_line(l));
        entry::remove(&venv.own("cache"))?;
        entry::remove(&venv.own("pip.log"))?;
        let built = Built {
            python: Interpreter::ask(cx, &venv.python())?,
            pip,
            files: set.files.clone(),
            sha256: freeze.sha256(),
            count: freeze.count(),
            changed,
            smoke: self.smoke_digest(),
        };
        venv.complete(cx, &built, &freeze)
    }

    fn install(&self, work: &mut Work<'_>, venv: &Venv, set: &Set, of: usize) -> Result<(), Error> {
        let cx = work.cx();
        let files = self.paths(cx, &self.requirements)?;
        let constraints: Vec<String> = self
            .paths(cx, &self.constraints)?
            .iter()
            .map(|p| p.display().to_string())
            .collect();
        let argv = self.install_argv(venv, &files[of], self.hashes(set), &constraints);
        let access = access(cx, self.index.as_ref())?;
        let mut with = clean(cx);
        for (key, value) in &access.env {
            with.env.retain(|(k, _)| k != key);
            with.env.push((key.clone(), value.clone()));
        }
        work.log_line(&quoted(&argv));
        let mut story = Story::default();
        // It may hold the password of a URL.
        venv.private("pip.log")?;
        let ended = stream(&with, &argv, None, &mut Masked(work.log()), &mut |l| {
            story.take(l)
        })?;
        if ended.code == Some(0) {
            return Ok(());
        }
        // Why an index gave nothing stands only there.
        let whole = std::fs::read(venv.own("pip.log")).unwrap_or_default();
        let whole = crate::encoding::shown(&whole);
        whole
            .lines()
            .filter(|l| l.contains("Could not fetch URL"))
            .for_each(|l| story.take(l));
        let what = ["pip", "install", "-r", &files[of].display().to_string()].map(str::to_owned);
        Err(failed(
            &what,
            &ended.ended,
            &ended.tail,
            explain(&story, set),
        ))
    }

    /// `pip check`, and the smoke commands.
    fn prove(&self, work: &mut Work<'_>, venv: &Venv, set: &Set) -> Result<(), Error> {
        let cx = work.cx();
        let check = venv.pip(cx, &["check"])?;
        check
            .tail(20)
            .iter()
            .for_each(|l| work.log_line(&format!("pip check: {l}")));
        if check.code != Some(0) {
            let mut broken = broken(&check.text(), set);
            let more = broken.len().saturating_sub(3);
            broken.truncate(3);
            let what = match (broken.is_empty(), more) {
                (true, _) => check.tail(3).join("; "),
                (false, 0) => broken.join("; "),
                (false, more) => format!("{}; and {more} more", broken.join("; ")),
            };
            return Err(Error::new(format!("pip check reports: {what}")));
        }
        let mut with = cx.clone();
        let bin = venv.path().join("bin");
        let path = with.env.iter().rev().find(|(k, _)| k == "PATH");
        let path = match path {
            Some((_, path)) => format!("{}:{path}", bin.display()),
            None => format!("{}:/usr/bin:/bin", bin.display()),
        };
        for (key, value) in [("PATH", path), ("VIRTUAL_ENV", self.venv.clone())] {
            with.env.retain(|(k, _)| k != key);
            with.env.push((key.into(), value));
        }
        let guard = Guard::of(cx)?;
        for words in &self.smoke {
            if let Some(guard) = &guard {
                guard.put_into(&mut with)?;
            }
            let argv = self.smoke_argv(words);
            work.log_line(&format!("smoke: {}", quoted(&argv)));
            let ended = stream(&with, &argv, Some(SMOKE), work.log(), &mut |_| {})?;
            if ended.code != Some(0) {
                let last = ended.tail.iter().rev().find(|l| !l.trim().is_empty());
                let error = Error::new(format!(
                    "pip reports success, but the application does not start: {}: {}: {}",
                    quoted(words),
                    ended.ended,
                    last.map_or("it printed nothing", |l| l.trim())
                ));
                let why = guard.as_ref().and_then(|_| refused(&ended.tail));
                return Err(why.map_or(error.clone(), |why| error.remedy(why)));
            }
            if let Some(guard) = &guard {
                guard.was_run(&quoted(words))?;
            }
        }
        Ok(())
    }
}

/// What a failed command is told as: a sentence where it is understood, its own last words where not.
fn failed(what: &[String], ended: &str, tail: &[String], why: Option<String>) -> Error {
    let own = || {
        let error = tail
            .iter()
            .rev()
            .find(|l| l.contains("ERROR") || l.contains("Error"));
        let last = error.or_else(|| tail.iter().rev().find(|l| !l.trim().is_empty()));
        last.map_or("it printed nothing", |l| l.trim()).to_owned()
    };
    let error = Error::new(mask::urls(&format!(
        "{}: {ended}: {}",
        quoted(what),
        why.unwrap_or_else(own)
    )));
    // Pip calls git and ssh.
    match remedy::of(&error.to_string()) {
        Some(remedy) => error.remedy(remedy),
        None => error,
    }
}

/// A log that gets whole lines, without what looks like a password in a URL.
struct Masked<'a>(&'a mut dyn Write);

impl Write for Masked<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let masked = std::str::from_utf8(bytes).map(mask::urls);
        self.0
            .write_all(masked.as_deref().map_or(bytes, str::as_bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_later_file_changed_is_told() {
        let before = Freeze::of("celery==5.3.1\nkombu==5.3.0\n# comment\n");
        let after = Freeze::of("kombu==5.2.4\nredis==4.4\n-e git+https://h/x.git@abc#egg=My_App\n");
        assert_eq!(
            before.changes(&after),
            [
                "celery 5.3.1 -> gone",
                "kombu 5.3.0 -> 5.2.4",
                "my-app new -e git+https://h/x.git@abc#egg=My_App",
                "redis new 4.4"
            ]
        );
    }
}
