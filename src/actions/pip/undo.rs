//! The way back: the link leads where it led; the new virtualenv stays, or is removed where the plan says so and this
//! step made it.

use super::build::say;
use super::{Install, Observed, State, link};
use crate::actions::{Look, Trouble};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

impl Install {
    /// This step made the virtualenv, and the plan wants it gone.
    fn to_remove(&self, seen: &Observed) -> bool {
        self.undo_removes && !seen.complete
    }

    pub(super) fn put_back(&self, seen: &Observed, log: &mut dyn Write) -> Result<(), Trouble> {
        if let Some(current) = &self.current {
            let path = Path::new(current);
            let now = link::read(path)?;
            let former = seen.current.as_deref();
            if now.as_deref() != former
                && let (Some(former), true) = (former, seen.led)
                && !path.parent().is_some_and(|dir| dir.join(former).is_dir())
            {
                return Err(Trouble::new(format!(
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
            State::Foreign(why) => return Err(Trouble::new(why)),
            State::Half(_) | State::Complete(..) => {
                let lock = venv.lock()?;
                if let Some(user) = user(venv.path()) {
                    return Err(Trouble::new(format!(
                        "{} is not removed: {user} runs from it; stop it first",
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

    pub(super) fn is_back(&self, seen: &Observed) -> Result<Look, Trouble> {
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
            evidence.push(format!("{text}, as before"));
        }
        let venv = self.venv();
        if self.to_remove(seen) {
            for path in [venv.path(), &venv.removed()] {
                if std::fs::symlink_metadata(path).is_ok() {
                    return Ok(Look::nothing(format!("{} is still there", path.display())));
                }
            }
            evidence.push(format!("{} does not exist", self.venv));
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

/// A process whose program or words lie below a directory.
fn user(dir: &Path) -> Option<String> {
    let mut below = dir.as_os_str().as_bytes().to_vec();
    below.push(b'/');
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|n| n.parse::<u32>().ok())
        else {
            continue;
        };
        // One that ends meanwhile has no words any more.
        let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let found = words.split(|b| *b == 0).any(|w| w.starts_with(&below));
        if found {
            let comm = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Some(format!("process {pid} ({})", comm.trim_end()));
        }
    }
    None
}
