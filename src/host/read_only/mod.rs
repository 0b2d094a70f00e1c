//! Commands of an application beside a living service: Django's database sessions in them are read-only.
//!
//! A Python program runs the module `sitecustomize` before anything else. Here it stands in the job's directory, makes each
//! session of Django's databases read-only when it is opened, and leaves a mark. A command without that mark was no Python
//! program, or one that was told to ignore its environment (`-I`, `-E`): what it did to a database cannot be told, and so
//! it counts as failed. Left out: databases that are reached without Django.

use crate::action::{Context, Error};
use crate::system::durable::{self, Temporary};
use std::io::Write;
use std::path::PathBuf;

/// Defines `read_only(signal)`; what is run inside the application begins with it, too.
pub(crate) const READ_ONLY: &str = include_str!("read_only.py");
const GUARD: &str = include_str!("guard.py");
/// Where the mark is left.
const MARK: &str = "UPLEDGER_READ_ONLY";

/// What makes the sessions of commands read-only.
pub(crate) struct Guard {
    dir: PathBuf,
}

impl Guard {
    /// For the commands of a step that is beside a living service; none for another step.
    ///
    /// # Errors
    /// [`Error`] when it cannot be written.
    pub(crate) fn of(cx: &Context) -> Result<Option<Self>, Error> {
        if !cx.live {
            return Ok(None);
        }
        let job = cx.spool.as_ref().and_then(|spool| spool.parent());
        let job = job.ok_or_else(|| Error::new("there is no job directory"))?;
        let guard = Self {
            dir: job.join("read-only"),
        };
        let path = guard.dir.join("sitecustomize.py");
        let cannot = |e: std::io::Error| Error::io(format!("cannot write {}", path.display()), &e);
        std::fs::create_dir_all(&guard.dir).map_err(cannot)?;
        durable::replace(&path, Temporary::Random, 0o600, |file| {
            file.write_all(READ_ONLY.as_bytes())
                .and_then(|()| file.write_all(GUARD.as_bytes()))
                .map_err(cannot)
        })?;
        Ok(Some(guard))
    }

    fn mark(&self) -> PathBuf {
        self.dir.join("was-run")
    }

    /// The environment of a command that is about to be started.
    ///
    /// # Errors
    /// [`Error`] when the mark of an earlier one cannot be removed.
    pub(crate) fn put_into(&self, cx: &mut Context) -> Result<(), Error> {
        let mark = self.mark();
        durable::remove_file(&mark)?;
        let of = |cx: &Context, key: &str| {
            let mut env = cx.env.iter().rev();
            env.find(|(k, _)| k == key).map(|(_, v)| v.clone())
        };
        let own = self.dir.display().to_string();
        let path = match of(cx, "PYTHONPATH") {
            Some(path) if path.split(':').next() == Some(&own) => path,
            Some(path) if !path.is_empty() => format!("{own}:{path}"),
            Some(_) | None => own,
        };
        let set = [
            ("PYTHONPATH", path),
            (MARK, mark.display().to_string()),
            // Nothing is left beside it.
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        ];
        for (key, value) in set {
            cx.env.retain(|(k, _)| k != key);
            cx.env.push((key.into(), value));
        }
        Ok(())
    }

    /// Whether the command that has ended was under it.
    ///
    /// # Errors
    /// [`Error`] when it was not.
    pub(crate) fn was_run(&self, command: &str) -> Result<(), Error> {
        if self.mark().exists() {
            return Ok(());
        }
        Err(Error::new(format!(
            "cannot tell whether {command} changed a database: it ran without read-only database sessions, which only a Python \
             program gets that is not started with -I or -E"
        ))
        .remedy("start it by the virtualenv's Python without these options, or move the step to a phase without `live: true`"))
    }
}

/// What a failure under the guard means, where the database refused to be written.
pub(crate) fn refused(lines: &[String]) -> Option<&'static str> {
    let says = |line: &String| {
        let line = line.to_lowercase();
        ["read only", "read-only", "readonly"]
            .iter()
            .any(|w| line.contains(w))
    };
    lines.iter().any(says).then_some(
        "the application writes to its database when it is set up, which is not allowed while the service is running: move the step to \
         a phase without `live: true`",
    )
}
