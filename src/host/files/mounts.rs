//! Files that are mounted one by one, as containers mount their configuration: a rename over one is refused by the kernel, and
//! one outside of it leaves the container with the former file for ever.
//!
//! Left out: containers of other machines, and processes whose mounts this user may not see.

use crate::action::Error;
use crate::host::process::identity::shown;
use crate::system::proc;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A line of `mountinfo`: device, the place in its file system, and where that is mounted.
struct Mount {
    device: String,
    root: PathBuf,
    at: PathBuf,
}

/// `proc_pid_mountinfo(5)`.
fn parsed(text: &str) -> impl Iterator<Item = Mount> + '_ {
    text.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(2);
        Some(Mount {
            device: fields.next()?.to_owned(),
            root: unescaped(fields.next()?),
            at: unescaped(fields.next()?),
        })
    })
}

/// A path without the octal escapes of blanks.
fn unescaped(path: &str) -> PathBuf {
    let mut found = path.to_owned();
    for (escape, c) in [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ] {
        found = found.replace(escape, c);
    }
    found.into()
}

fn mounts_of(pid: i32) -> Vec<Mount> {
    parsed(&proc::mountinfo(pid)).collect()
}

/// Refuses a file that is a mount point here, or that another process sees by a mount of its own.
///
/// # Errors
/// [`Error`] names the mount, and who sees it.
pub(crate) fn refuse(target: &Path) -> Result<(), Error> {
    let me = i32::try_from(std::process::id()).unwrap_or_default();
    let own = mounts_of(me);
    if let Some(mount) = own.iter().find(|m| m.at == target) {
        return Err(Error::new(format!(
            "{} is mounted by itself (it is {} of another place), so that it cannot be replaced here",
            target.display(),
            mount.root.display()
        ))
        .remedy("change the file where it comes from, and create the container again")
        .lasting());
    }
    let Ok(meta) = target.metadata() else {
        return Ok(());
    };
    let (major, minor) = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
    let device = format!("{major}:{minor}");
    let above = own
        .iter()
        .filter(|m| target.starts_with(&m.at))
        .max_by_key(|m| m.at.components().count());
    let Some(place) = above.and_then(|m| Some(m.root.join(target.strip_prefix(&m.at).ok()?)))
    else {
        return Ok(());
    };
    let mut seen: BTreeSet<PathBuf> = proc::mount_namespace(me).into_iter().collect();
    for pid in proc::pids().unwrap_or_default() {
        if !proc::mount_namespace(pid).is_some_and(|ns| seen.insert(ns)) {
            continue;
        }
        let there = mounts_of(pid);
        let mount = there.iter().find(|m| m.device == device && m.root == place);
        if let Some(mount) = mount {
            return Err(Error::new(format!(
                "{} is mounted by itself at {} for {}, which would go on to see the former file after a replacement",
                target.display(),
                mount.at.display(),
                shown(pid)
            ))
            .remedy("stop the container before, and create it again behind this step")
            .lasting());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_with_their_places() {
        let text = "36 35 98:0 /srv/app\\040x/.env /etc/app.env rw,noatime - ext4 /dev/root rw\n";
        let mounts: Vec<Mount> = parsed(text).collect();
        assert_eq!(mounts[0].device, "98:0");
        assert_eq!(mounts[0].root, Path::new("/srv/app x/.env"));
        assert_eq!(mounts[0].at, Path::new("/etc/app.env"));
    }
}
