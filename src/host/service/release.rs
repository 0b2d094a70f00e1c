//! Which release a process runs: whether what lives is what was there, or what a start would start now.
//!
//! A service is not the same again because one of its name runs: what counts is the file that it executes, its working
//! directory, and whether a link in its command was switched since it began. What a process has loaded stays what the
//! link led to then.

use super::found::{Found, Master};
use crate::system::proc;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How much later than a process a link may seem to have been made: the kernel rounds both times, by ten milliseconds and
/// less. A process that was started so shortly before a switch may still load the former release, so it is not more.
const SLACK: Duration = Duration::from_millis(100);
/// How long the two clocks may be read apart.
const APART: Duration = Duration::from_millis(20);

/// The paths by which it was started.
fn paths(process: &Master) -> impl Iterator<Item = PathBuf> {
    let words = process.seen().iter().take(2).cloned();
    let named = words.chain(process.program.clone());
    named.filter(|w| w.starts_with('/')).map(PathBuf::from)
}

/// The interpreter or program that its first word means.
fn first(process: &Master) -> Option<&str> {
    let word = process.seen().first().map(String::as_str);
    process
        .program
        .as_deref()
        .or(word.filter(|w| w.starts_with('/')))
}

/// When a process began, by the clock of today.
pub(super) fn began(pid: i32) -> Option<SystemTime> {
    let stat = proc::Stat::of(pid)?;
    let read = || {
        let now = SystemTime::now();
        let began = now.checked_sub(proc::age(stat.starttime)?)?;
        let apart = now.elapsed().unwrap_or_default();
        Some((apart, began))
    };
    // On a busy machine this process may have to wait between one clock and the other.
    let mut best = read()?;
    for _ in 0..5 {
        if best.0 <= APART {
            break;
        }
        best = read()?.min(best);
    }
    Some(best.1)
}

/// A link among the paths by which it was started that was made after it began.
fn switched(process: &Master) -> Option<String> {
    let began = began(process.ident.pid)?;
    let links = paths(process).flat_map(|path| {
        let above: Vec<PathBuf> = path.ancestors().map(Path::to_owned).collect();
        above
    });
    let mut later = links.filter(|path| {
        let meta = std::fs::symlink_metadata(path).ok();
        let link = meta.filter(std::fs::Metadata::is_symlink);
        link.and_then(|m| m.modified().ok())
            .is_some_and(|made| made > began + SLACK)
    });
    later.next().map(|link| link.display().to_string())
}

/// Why that process does not run what a start would start now; none when it does. `dirs` are the directories that it should
/// have been started in, `start` is the command of the settings.
pub(super) fn outdated<'d>(
    process: &Master,
    dirs: impl Iterator<Item = &'d Path>,
    start: &[String],
) -> Option<String> {
    if let Some((own, named)) = namesake(process, start) {
        return Some(format!(
            "{} was started by {}, not by {}",
            process.shown(),
            own.display(),
            named.display()
        ));
    }
    if let Some(link) = switched(process) {
        return Some(format!(
            "{} was started before {link} was switched, so it runs the former release",
            process.shown()
        ));
    }
    elsewhere(process, dirs)
}

/// A program or script of the same name, but at another place than that command names.
fn namesake(process: &Master, start: &[String]) -> Option<(PathBuf, PathBuf)> {
    let real = |path: &Path| path.canonicalize().ok();
    let named = start.iter().take(2).filter(|w| w.starts_with('/'));
    named.map(Path::new).find_map(|named| {
        let same_name = |own: &PathBuf| own.file_name() == named.file_name();
        let mut own = paths(process).filter(same_name);
        // Where one of them is the one that is named, it is the right one.
        let first = own.next()?;
        let right = |own: &Path| own == named || (real(own).is_some() && real(own) == real(named));
        let other = !right(&first) && !own.any(|own| right(&own));
        other.then(|| (first, named.to_owned()))
    })
}

/// Why that process works in another release than those directories lead to; none when it does not.
pub(super) fn elsewhere<'d>(
    process: &Master,
    mut dirs: impl Iterator<Item = &'d Path>,
) -> Option<String> {
    let cwd = Path::new(&process.cwd);
    // Directories side by side are releases; what works at quite another place is no matter of releases.
    let other = dirs.find_map(|dir| {
        let leads = dir.canonicalize().ok()?;
        let beside = leads != cwd && leads != dir && leads.parent() == cwd.parent();
        beside.then_some((dir, leads))
    });
    other.map(|(dir, leads)| {
        format!(
            "{} runs in {}, but {} leads to {}",
            process.shown(),
            process.cwd,
            dir.display(),
            leads.display()
        )
    })
}

/// Why that process is not what ran before; none when it is one of those, or runs the same.
pub(super) fn differs(now: &Master, before: &Found) -> Option<String> {
    if before.knows(&now.ident) || before.masters.is_empty() {
        return None;
    }
    let each: Vec<Option<String>> = before
        .masters
        .iter()
        .map(|b| differs_from(now, b))
        .collect();
    let same = each.iter().any(Option::is_none);
    let why = each.into_iter().flatten().next().filter(|_| !same);
    why.map(|why| format!("{} is not what was running before: {why}", now.shown()))
}

/// That process is one that ran before, or runs the same.
pub(super) fn is_same(now: &Master, before: &Master) -> bool {
    now.ident == before.ident || differs_from(now, before).is_none()
}

fn differs_from(now: &Master, before: &Master) -> Option<String> {
    let known = |one: &str, other: &str| !one.is_empty() && !other.is_empty();
    if known(&now.exe, &before.exe) && now.exe != before.exe {
        return Some(format!("it executes {}, not {}", now.exe, before.exe));
    }
    if known(&now.cwd, &before.cwd) && now.cwd != before.cwd {
        return Some(format!("it runs in {}, not in {}", now.cwd, before.cwd));
    }
    if let (Some(one), Some(other)) = (first(now), first(before))
        && one != other
    {
        return Some(format!("it was started by {one}, not by {other}"));
    }
    switched(now).map(|link| format!("it was started before {link} was switched"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Context;
    use crate::host::process::identity::Ident;
    use std::os::unix::fs::symlink;
    use std::process::{Child, Command};

    struct Sleeper(Child);

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn look(child: &Sleeper) -> Master {
        let ident = Ident::of(i32::try_from(child.0.id()).unwrap()).unwrap();
        let until = std::time::Instant::now() + Duration::from_secs(10);
        loop {
            // Until its program runs, it shows this one.
            let words = proc::words(ident.pid);
            let master = Master::look(&Context::default(), &ident, &words)
                .unwrap()
                .unwrap();
            if master.exe.ends_with("sleep") || std::time::Instant::now() > until {
                return master;
            }
        }
    }

    #[test]
    fn a_process_of_another_release_is_not_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let releases = ["1", "2"].map(|n| root.join(n));
        for release in &releases {
            std::fs::create_dir(release).unwrap();
            std::fs::copy("/usr/bin/sleep", release.join("sleep")).unwrap();
        }
        let current = root.join("current");
        symlink(&releases[0], &current).unwrap();
        let program = current.join("sleep");
        let up = |at: &Path| {
            let started = Command::new(&program).arg("600").current_dir(at).spawn();
            Sleeper(started.unwrap())
        };
        let (old, twin, beside) = (up(&current), up(&current), up(&releases[1]));
        let before = Found {
            masters: vec![look(&old)],
            ..Found::default()
        };
        assert_eq!(differs(&look(&twin), &before), None);
        let fine = |process: &Sleeper| {
            let dirs = [current.as_path()].into_iter();
            outdated(&look(process), dirs, &[program.display().to_string()])
        };
        assert_eq!(fine(&old), None);
        let newer = [releases[1].join("sleep").display().to_string()];
        let why = outdated(&look(&old), std::iter::empty(), &newer).unwrap();
        assert!(why.contains("not by"), "{why}");
        let why = differs(&look(&beside), &before).unwrap();
        assert!(why.contains("it runs in"), "{why}");
        let why = elsewhere(&look(&beside), [current.as_path()].into_iter()).unwrap();
        assert!(why.contains("current leads to"), "{why}");

        // As long as the slack, so that the link is later than what ran.
        std::thread::sleep(SLACK + Duration::from_millis(100));
        std::fs::remove_file(&current).unwrap();
        symlink(&releases[1], &current).unwrap();
        let new = up(&current);
        let why = differs(&look(&new), &before).unwrap();
        assert!(why.contains("it executes"), "{why}");
        let why = outdated(&look(&old), std::iter::empty(), &[]).unwrap();
        assert!(why.contains("current was switched"), "{why}");
        assert_eq!(fine(&new), None);
    }
}
