//! The way back: the link leads where it led; the new virtualenv stays, or is removed where the plan says so and this
//! step made it.
//!
//! Invariants: a virtualenv on which another run relies (the note says so, before that run switches to it) stays, and so
//! does one that a process uses.

use super::build::say;
use super::{Install, Observed, State, link};
use crate::actions::{Context, Error, Look, procs};
use std::io::Write;
use std::path::Path;

impl Install {
    /// This step made the virtualenv, and the plan wants it gone.
    fn to_remove(&self, seen: &Observed) -> bool {
        self.undo_removes && !seen.complete
    }

    /// Why a virtualenv that this step made has to stay.
    fn relied_on(&self, cx: &Context, state: &State) -> Option<String> {
        let State::Complete(note, _) = state else {
            return None;
        };
        note.other_user(&cx.run).map(|run| {
            format!(
                "{} is left in place: the run {run} relies on it, too; remove it by hand when no run does",
                self.venv
            )
        })
    }

    pub(super) fn put_back(
        &self,
        cx: &Context,
        seen: &Observed,
        log: &mut dyn Write,
    ) -> Result<(), Error> {
        if let Some(current) = &self.current {
            let path = Path::new(current);
            let now = link::read(path)?;
            let former = seen.current.as_deref();
            if now.as_deref() != former
                && let (Some(former), true) = (former, seen.led)
                && !path.parent().is_some_and(|dir| dir.join(former).is_dir())
            {
                return Err(Error::new(format!(
                    "not switched back: {current} led to {former}, and that is gone: put it back, and try again"
                )));
            }
            link::switch(path, Some(&self.venv), former)?;
            say(
                log,
                &format!(
                    "{current} leads to {}",
                    former.unwrap_or("nothing: it was not there before")
                ),
            );
        }
        let venv = self.venv();
        if !self.to_remove(seen) {
            say(log, &format!("{} is left in place", self.venv));
            return Ok(());
        }
        super::venv::remove_all(&venv.removed())?;
        match venv.state()? {
            State::Absent => say(log, &format!("{} does not exist", self.venv)),
            State::Foreign(why) => return Err(Error::new(why)),
            State::Half(_) | State::Complete(..) => {
                let lock = venv.lock()?;
                // Under the lock, for another run may have come to rely on it while this one waited.
                if let Some(why) = self.relied_on(cx, &venv.state()?) {
                    say(log, &why);
                    return Ok(());
                }
                let real = venv
                    .path()
                    .canonicalize()
                    .unwrap_or_else(|_| venv.path().into());
                if let Some(user) = procs::user(&real)? {
                    return Err(Error::new(format!(
                        "{} is not removed: {user} uses it; stop it first",
                        self.venv
                    )));
                }
                venv.remove()?;
                drop(lock);
                say(log, &format!("removed {}", self.venv));
            }
        }
        Ok(())
    }

    pub(super) fn is_back(&self, cx: &Context, seen: &Observed) -> Result<Look, Error> {
        let mut evidence = Vec::new();
        if let Some(current) = &self.current {
            let now = link::read(Path::new(current))?;
            let text = format!("{current} leads to {}", now.as_deref().unwrap_or("nothing"));
            if now != seen.current {
                let ours = now.as_deref() == Some(&self.venv);
                return Ok(if ours {
                    Look::nothing(text)
                } else {
                    Look::unclear(text)
                });
            }
            if seen.led && !Path::new(current).exists() {
                return Ok(Look::unclear(format!(
                    "{text}, as before, but that is gone"
                )));
            }
            evidence.push(format!("{text}, as before"));
        }
        let venv = self.venv();
        if self.to_remove(seen) {
            let stays = self.relied_on(cx, &venv.state()?);
            let removed = venv.removed();
            let gone = stays.is_none().then(|| venv.path());
            for path in gone.into_iter().chain([removed.as_path()]) {
                if std::fs::symlink_metadata(path).is_ok() {
                    return Ok(Look::nothing(format!("{} is still there", path.display())));
                }
            }
            evidence.push(stays.unwrap_or_else(|| format!("{} does not exist", self.venv)));
        } else if venv.path().exists() {
            evidence.push(format!("{} is left in place", self.venv));
        }
        let mut look = Look::done(evidence.join("; "));
        if look.evidence[0].is_empty() {
            look.evidence[0] = "nothing is to be put back".into();
        }
        Ok(look)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::Action;
    use upledger_replay::event::Answer;

    #[test]
    fn a_virtualenv_on_which_another_run_relies_is_left_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(at("none.txt"), "").unwrap();
        let install = |link: &str, smoke: &str| -> Install {
            serde_json::from_value(serde_json::json!({
                "venv": at("venv"), "current": at(link), "python": "/usr/bin/python3", "requirements": [at("none.txt")],
                "free": "1MiB", "no_index": true, "find_links": [at("")], "smoke": [["bin/python", "-c", smoke]],
                "undo_removes": true,
            }))
            .unwrap()
        };
        let run = |name: &str| Context {
            run: name.into(),
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            ..Context::empty()
        };
        let (first, second) = (install("one", "1"), install("two", "2"));
        let (a, b) = (run("run-a"), run("run-b"));
        let seen_a = first.observe(&a).unwrap();
        first.perform(&a, &seen_a, &mut Vec::new()).unwrap();
        let seen_b = second.observe(&b).unwrap();
        second.perform(&b, &seen_b, &mut Vec::new()).unwrap();

        let mut said = Vec::new();
        first.undo(&a, &seen_a, &mut said).unwrap();
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("the run run-b relies on it"), "{said}");
        let look = first.undone(&a, &seen_a).unwrap();
        assert_eq!(look.answer, Answer::Done, "{look:?}");
        assert!(look.evidence[0].contains("run-b relies"), "{look:?}");
        assert_eq!(second.verify(&b, &seen_b).unwrap().answer, Answer::Done);
    }
}
