//! Who writes to a file at this moment: what an undo would pull away from under a living application.
//!
//! Invariants: a file is known by its device and its inode, so that another name of it counts as well; a process that still
//! writes to what had this name before counts, because it does not see what is put there. Who only reads is in nobody's
//! way. Left out: processes whose open files this user may not see (of those, only locks show), and other machines.

use crate::action::Error;
use crate::host::process::identity::shown;
use crate::host::process::list::{me, visible};
use crate::system::proc::{self, Opened};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// How many of them an error names.
const NAMED: usize = 5;

/// What a process does with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    Writes,
    Locks,
    WritesFormer,
}

impl Use {
    fn words(self) -> &'static str {
        match self {
            Self::Writes => "has it open for writing",
            Self::Locks => "holds a lock on it",
            Self::WritesFormer => "still has its previous file open for writing",
        }
    }
}

/// Refuses to change a file that other processes write to or have locked, and names them.
///
/// # Errors
/// [`Error`] with the processes, or when those of others cannot be seen.
pub(crate) fn none_writes(path: &Path) -> Result<(), Error> {
    match writers(path)? {
        None => Ok(()),
        Some(who) => Err(Error::new(format!("{} is in use: {who}", path.display()))
            .remedy("stop what uses it, and try again")),
    }
}

/// Refuses to change a directory in which other processes have files open for writing, and names them.
///
/// # Errors
/// [`Error`] with the processes, or when those of others cannot be seen.
pub(crate) fn none_writes_below(dir: &Path) -> Result<(), Error> {
    let writes = |pid: &i32| {
        proc::descriptors(*pid).any(|fd| {
            let below = fd.read_link().is_ok_and(|to| to.starts_with(dir));
            below && Opened::of(*pid, &fd).is_some_and(|opened| opened.writes)
        })
    };
    let found: Vec<i32> = visible()?
        .into_iter()
        .filter(|pid| *pid != me())
        .filter(writes)
        .collect();
    if found.is_empty() {
        return Ok(());
    }
    let mut named: Vec<String> = found.iter().take(NAMED).map(|pid| shown(*pid)).collect();
    if found.len() > NAMED {
        named.push(format!("and {} more", found.len() - NAMED));
    }
    Err(Error::new(format!(
        "files in {} are open for writing: {}",
        dir.display(),
        named.join(", ")
    ))
    .remedy("stop what uses them, and try again"))
}

/// The other processes that write to a file or hold a lock on it, and what they do; none where there are none.
///
/// # Errors
/// [`Error`] when the processes of others cannot be seen.
pub(crate) fn writers(path: &Path) -> Result<Option<String>, Error> {
    let file = std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
    let former = format!("{} (deleted)", path.display());
    let mut found = BTreeMap::new();
    for pid in visible()?.into_iter().filter(|pid| *pid != me()) {
        if let Some(what) = use_of(pid, file, Path::new(&former)) {
            found.insert(pid, what);
        }
    }
    for lock in proc::locks() {
        if Some(lock.file) == file && lock.pid > 0 && lock.pid != me() {
            found.entry(lock.pid).or_insert(Use::Locks);
        }
    }
    let mut named: Vec<String> = found
        .iter()
        .take(NAMED)
        .map(|(pid, what)| format!("{} {}", shown(*pid), what.words()))
        .collect();
    if found.len() > NAMED {
        named.push(format!("and {} more", found.len() - NAMED));
    }
    Ok((!named.is_empty()).then(|| named.join(", ")))
}

/// What a process does with a file, or with one that had its name and is gone.
fn use_of(pid: i32, file: Option<(u64, u64)>, former: &Path) -> Option<Use> {
    let mut uses = proc::descriptors(pid).filter_map(|fd| {
        let is_it = || {
            let meta = std::fs::metadata(&fd).ok()?;
            Some((meta.dev(), meta.ino()))
        };
        let was_it = || fd.read_link().is_ok_and(|to| to == former);
        let (this, gone) = (file.is_some() && is_it() == file, was_it());
        let opened = (this || gone).then(|| Opened::of(pid, &fd)).flatten()?;
        match (gone, opened) {
            (true, Opened { writes: true, .. }) => Some(Use::WritesFormer),
            (false, Opened { writes: true, .. }) => Some(Use::Writes),
            (false, Opened { locks: true, .. }) => Some(Use::Locks),
            (_, Opened { .. }) => None,
        }
    });
    uses.next().or_else(|| {
        let mapped = proc::mapped_to_write(pid).contains(&file?);
        mapped.then_some(Use::Writes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    /// A shell that has done something with the file and stays.
    struct Holder(Child);

    impl Holder {
        fn new(script: &str, file: &Path) -> Self {
            let mut child = Command::new("sh")
                .args(["-c", &format!("{script}; echo up; read x"), "sh"])
                .arg(file)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut line = String::new();
            let out = child.stdout.take().unwrap();
            BufReader::new(out).read_line(&mut line).unwrap();
            assert_eq!(line, "up\n");
            Self(child)
        }
    }

    impl Drop for Holder {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn who_writes_or_locks_is_named_and_who_reads_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("data");
        std::fs::write(&file, "x").unwrap();
        let _reader = Holder::new("exec 3< \"$1\"", &file);
        none_writes(&file).unwrap();
        for (script, said) in [
            ("exec 3>> \"$1\"", "has it open for writing"),
            ("exec 3<> \"$1\"", "has it open for writing"),
            ("exec 3< \"$1\"; flock -s 3", "holds a lock on it"),
            (
                "ln \"$1\" \"$1.other\"; exec 3>> \"$1.other\"; rm \"$1.other\"",
                "has it open for writing",
            ),
        ] {
            let holder = Holder::new(script, &file);
            let why = none_writes(&file).unwrap_err().to_string();
            let pid = holder.0.id().to_string();
            assert!(why.contains(said) && why.contains(&pid), "{script}: {why}");
            drop(holder);
            none_writes(&file).unwrap();
        }
    }

    #[test]
    fn who_writes_to_what_had_the_name_before_counts() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("data");
        std::fs::write(&file, "x").unwrap();
        let _writer = Holder::new("exec 3>> \"$1\"", &file);
        std::fs::write(dir.path().join("new"), "y").unwrap();
        std::fs::rename(dir.path().join("new"), &file).unwrap();
        let why = none_writes(&file).unwrap_err().to_string();
        assert!(why.contains("previous file"), "{why}");
        std::fs::remove_file(&file).unwrap();
        assert!(
            none_writes(&file).is_err(),
            "there is nothing to write over, and it still writes"
        );
    }

    #[test]
    fn what_this_process_has_open_is_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("data");
        let _own = std::fs::File::create(&file).unwrap();
        none_writes(&file).unwrap();
        none_writes(&dir.path().join("absent")).unwrap();
    }
}
