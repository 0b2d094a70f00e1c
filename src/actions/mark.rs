//! Escalations: what an action does beyond its ordinary means, such as KILL after a deadline.
//!
//! Invariant: an escalation is durable in the attempt's job directory before it is done, so that the record knows of it
//! whoever dies when; the runner that follows the attempt, or the one that resumes it, makes it an event.

use super::{Context, Trouble};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

impl Context {
    /// Records that something beyond ordinary means is about to be done: what, to whom, and why. It goes into the step's
    /// output as well.
    ///
    /// # Errors
    /// [`Trouble`] when it cannot be made durable; it must not be done then.
    pub fn mark(&self, log: &mut dyn Write, what: &str) -> Result<(), Trouble> {
        if let Some(path) = &self.marks {
            let line = serde_json::to_string(&self.redactor()?.text(what))
                .map_err(|e| Trouble::io("cannot write down an escalation", &e))?;
            append(path, &line)
                .map_err(|e| Trouble::io(format!("cannot record before it is done: {what}"), &e))?;
        }
        // Whoever reads the output may be gone; the record is what counts.
        let _ = writeln!(log, "{what}").and_then(|()| log.flush());
        Ok(())
    }
}

/// One line in one write, so that a death leaves a whole line or one without its end.
fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_all()?;
    crate::attempt::job::sync_dir(path.parent().unwrap_or(Path::new("/")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempt::job::JobDir;

    #[test]
    fn marks_come_back_as_they_were_said_without_secrets_and_without_a_cut_line() {
        let home = tempfile::tempdir().unwrap();
        let cx = Context {
            marks: Some(home.path().join("marks")),
            moment: None,
            secrets: vec![("db".into(), "s3cret-word".into())],
            ..Context::empty()
        };
        let job = JobDir::at(home.path().into());
        assert!(job.marks().unwrap().is_empty());
        let mut log = Vec::new();
        cx.mark(
            &mut log,
            "KILL to process 7 (sh s3cret-word)\nand its child",
        )
        .unwrap();
        cx.mark(&mut log, "KILL to process 8").unwrap();
        std::fs::OpenOptions::new()
            .append(true)
            .open(home.path().join("marks"))
            .unwrap()
            .write_all(b"\"KILL to pro")
            .unwrap();
        assert_eq!(
            job.marks().unwrap(),
            [
                "KILL to process 7 (sh [redacted:db])\nand its child",
                "KILL to process 8"
            ]
        );
        assert_eq!(String::from_utf8_lossy(&log).lines().count(), 3);
    }

    #[test]
    fn what_cannot_be_recorded_is_not_to_be_done() {
        let cx = Context {
            marks: Some("/no/such/directory/marks".into()),
            moment: None,
            ..Context::empty()
        };
        let why = cx.mark(&mut Vec::new(), "KILL").unwrap_err();
        assert!(
            why.to_string()
                .starts_with("cannot record before it is done: KILL")
        );
    }
}
