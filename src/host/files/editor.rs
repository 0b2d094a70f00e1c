//! Editors that have a file open: whoever saves an older buffer takes a change away, and whoever changes the file takes that
//! person's work away.
//!
//! Known are the swap files of vi and the lock links of Emacs, where the editor still runs. Left out: editors that leave no
//! trace, and those of other machines.

use crate::action::Error;
use crate::host::process::identity::shown;
use crate::system::proc::Stat;
use std::io::Read;
use std::path::Path;

/// Refuses a file that somebody has open in an editor.
///
/// # Errors
/// [`Error`] names the editor.
pub(crate) fn refuse(target: &Path) -> Result<(), Error> {
    let lives = |pid: &i32| *pid > 0 && Stat::of(*pid).is_some_and(|s| s.lives());
    match vim(target).or_else(|| emacs(target)).filter(lives) {
        None => Ok(()),
        Some(pid) => Err(Error::new(format!(
            "{} is open in an editor: {}",
            target.display(),
            shown(pid)
        ))
        .remedy("save and close it there, and try again")),
    }
}

/// By the swap file, whose head holds the number of the process.
fn vim(target: &Path) -> Option<i32> {
    const HEAD: usize = 28;
    let name = target.file_name()?.to_str()?;
    let swap = target.with_file_name(format!(".{name}.swp"));
    if !swap.symlink_metadata().ok()?.is_file() {
        return None;
    }
    let mut head = [0; HEAD];
    std::fs::File::open(swap).ok()?.read_exact(&mut head).ok()?;
    if !head.starts_with(b"b0") {
        return None;
    }
    let pid: [u8; 4] = head[HEAD - 4..].try_into().ok()?;
    Some(i32::from_le_bytes(pid))
}

/// By the link `.#name`, which leads to `user@host.pid:boot`.
fn emacs(target: &Path) -> Option<i32> {
    let name = target.file_name()?.to_str()?;
    let link = target.with_file_name(format!(".#{name}"));
    let to = link.read_link().ok()?;
    let owner = to.to_str()?.split(':').next()?;
    owner.rsplit_once('.')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_editor_is_named_and_a_stale_trace_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("app.env");
        std::fs::write(&file, "A=1\n").unwrap();
        refuse(&file).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let swap = |pid: i32| {
            let mut head = b"b0VIM 9.0".to_vec();
            head.resize(24, 0);
            head.extend(pid.to_le_bytes());
            std::fs::write(dir.path().join(".app.env.swp"), head).unwrap();
        };
        swap(own);
        let why = refuse(&file).unwrap_err().to_string();
        assert!(
            why.contains(&own.to_string()) && why.contains("in an editor"),
            "{why}"
        );
        swap(i32::MAX);
        refuse(&file).unwrap();
        let lock = format!("root@host.{own}:1700000000");
        std::os::unix::fs::symlink(lock, dir.path().join(".#app.env")).unwrap();
        assert!(refuse(&file).is_err() || vim(&file).is_some());
        std::fs::remove_file(dir.path().join(".app.env.swp")).unwrap();
        assert!(refuse(&file).is_err());
    }
}
