//! The way back: the link leads where it led; the new virtualenv stays, or is removed where the plan says so and this
//! step made it.
//!
//! Invariants: only what this step has noted to make is removed; a virtualenv on which another run relies (its mark says
//! so, before that run switches to it) stays, and so does one that a process uses.

use super::record::{Note, Past, Work};
use super::{Install, State};
use crate::action::{Context, Error, Look};
use crate::host::files::entry::{self, beside};
use crate::host::process::list;
use crate::text::actions as actions_text;
use crate::text::settings as text;
use std::path::Path;

impl Install {
    /// This step made the virtualenv, and the plan wants it gone.
    fn to_remove(&self, past: &Past) -> bool {
        self.undo_removes && past.has_built()
    }

    /// Why a virtualenv that this step made has to stay.
    fn relied_on(&self, cx: &Context, state: &State) -> Option<String> {
        let (State::Half(mark) | State::Complete(mark, _)) = state else {
            return None;
        };
        mark.other_user(&cx.run).map(|run| {
            format!(
                "{} is kept: the run {run} uses it, too; remove it manually when no run does",
                self.venv
            )
        })
    }

    /// The commands of the undo.
    pub(super) fn undo_commands(&self, past: &Past) -> Vec<String> {
        let mut commands: Vec<String> = self
            .current
            .iter()
            .map(|current| match &past.before.current {
                Some(former) => actions_text::switch_link(current, former),
                None => actions_text::remove(current),
            })
            .collect();
        if self.to_remove(past) {
            commands.push(actions_text::remove(&self.venv));
        } else if self.undo_removes && !past.before.complete {
            commands.push(text::undo_pip_remove(&self.venv));
        }
        if commands.is_empty() {
            commands.push(text::undo_pip_nothing(&self.venv));
        }
        commands
    }

    pub(super) fn put_back(&self, work: &mut Work<'_>, past: &Past) -> Result<(), Error> {
        for left in self.leftovers(work.cx(), past) {
            entry::remove(&left)?;
        }
        self.switch_back(work, past)?;
        if self.to_remove(past) {
            return self.remove(work);
        }
        work.log_line(&format!("{} is kept", self.venv));
        Ok(())
    }

    fn switch_back(&self, work: &mut Work<'_>, past: &Past) -> Result<(), Error> {
        let Some(link) = self.link() else {
            return Ok(());
        };
        let (former, now) = (past.before.current.as_deref(), self.target()?);
        if now.as_deref() != former
            && let (Some(former), true) = (former, past.before.led)
            && !link.resolves_to_directory(former)
        {
            return Err(Error::new(format!(
                "not switched back: {} pointed to {former}, which no longer exists",
                link.0.display()
            ))
            .remedy("restore it, and try again"));
        }
        self.switch(work, Some(&self.venv), former)
    }

    fn remove(&self, work: &mut Work<'_>) -> Result<(), Error> {
        let venv = self.venv();
        match venv.state()? {
            State::Absent => {
                work.log_line(&format!("{} does not exist", self.venv));
                return Ok(());
            }
            State::Foreign(why) => return Err(Error::new(why)),
            State::Half(_) | State::Complete(..) => {}
        }
        let lock = venv.lock()?;
        // Under the lock, for another run may have come to rely on it while this one waited.
        if let Some(why) = self.relied_on(work.cx(), &venv.state()?) {
            work.log_line(&why);
            return Ok(());
        }
        let path = Path::new(&self.venv);
        let real = path.canonicalize().unwrap_or_else(|_| path.into());
        if let Some(user) = list::user(&real)? {
            return Err(
                Error::new(format!("{} is not removed: {user} uses it", self.venv))
                    .remedy("stop it first"),
            );
        }
        let at = beside(path, work.cx(), "old");
        work.note(Note::Removing {
            venv: self.venv.clone(),
            at: at.display().to_string(),
        })?;
        entry::remove_by_way_of(path, &at)?;
        drop(lock);
        work.log_line(&format!("removed {}", self.venv));
        Ok(())
    }

    pub(super) fn is_put_back(&self, cx: &Context, past: &Past) -> Result<Look, Error> {
        let mut evidence = Vec::new();
        if let Some(link) = self.link() {
            let now = self.target()?;
            let shown = link.0.display();
            let text = format!("{shown} points to {}", now.as_deref().unwrap_or("nothing"));
            if now != past.before.current {
                let ours = now.as_deref() == Some(&self.venv);
                return Ok(if ours {
                    Look::nothing(text)
                } else {
                    Look::unclear(text)
                });
            }
            if past.before.led && !link.0.exists() {
                return Ok(Look::unclear(format!(
                    "{text}, as before, but it no longer exists"
                )));
            }
            evidence.push(format!("{text}, as before"));
        }
        if let Some(left) = self.leftovers(cx, past).first() {
            return Ok(Look::nothing(format!("{} is left over", left.display())));
        }
        let venv = self.venv();
        if self.to_remove(past) {
            let stays = self.relied_on(cx, &venv.state()?);
            if stays.is_none() && entry::exists(venv.path()) {
                return Ok(Look::nothing(format!("{} is still there", self.venv)));
            }
            evidence.push(stays.unwrap_or_else(|| format!("{} does not exist", self.venv)));
        } else if venv.path().exists() {
            evidence.push(format!("{} is kept", self.venv));
        }
        Ok(Look::done(if evidence.is_empty() {
            "there is nothing to restore".to_owned()
        } else {
            evidence.join("; ")
        }))
    }
}
