//! The processes of a platform: those whose command, working directory or open files lie in its directory.

use rustix::process::{Pid, Signal, kill_process};
use std::cmp::Reverse;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// It exists and is no zombie.
pub(super) fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything.
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Every process of this directory but the test itself.
pub(super) fn below(dir: &Path) -> Vec<(i32, String)> {
    let own = i32::try_from(std::process::id()).expect("a small number");
    std::fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| *pid != own && lives(*pid) && is_of(*pid, dir))
        // What another test is just starting has copies of this process's open files until its exec, and none after it.
        .filter(|pid| !is_copy_of(*pid, own) && is_of(*pid, dir))
        .map(|pid| (pid, command(pid)))
        .collect()
}

fn command(pid: i32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes)
        .replace('\0', " ")
        .trim()
        .to_owned()
}

/// Forked by that process, and nothing else yet.
fn is_copy_of(pid: i32, of: i32) -> bool {
    let command = |pid| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    command(pid) == command(of)
}

fn is_of(pid: i32, dir: &Path) -> bool {
    let within = |bytes: &[u8]| {
        let dir = dir.as_os_str().as_bytes();
        bytes.windows(dir.len()).any(|w| w == dir)
    };
    let reads = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).is_ok_and(|b| within(&b));
    let leads = |name: &str| {
        std::fs::read_link(format!("/proc/{pid}/{name}")).is_ok_and(|p| p.starts_with(dir))
    };
    let opens = || {
        std::fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|e| std::fs::read_link(e.path()).ok())
            .any(|p| p.starts_with(dir))
    };
    reads("cmdline") || leads("cwd") || leads("exe") || reads("environ") || opens()
}

/// Ends all of them: each is stopped first, and the younger are killed before the older, so that nothing is started again
/// and no worker is seen without its master.
pub(crate) fn end_all(dir: &Path) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let mut left = below(dir);
        if left.is_empty() {
            return;
        }
        assert!(
            Instant::now() < deadline || std::thread::panicking(),
            "processes that cannot be killed: {left:?}"
        );
        if Instant::now() >= deadline {
            return;
        }
        left.sort_by_key(|(pid, command)| (command.contains("supervisord"), Reverse(*pid)));
        let pids = || left.iter().filter_map(|(pid, _)| Pid::from_raw(*pid));
        for (signal, pid) in pids()
            .rev()
            .map(|pid| (Signal::STOP, pid))
            .chain(pids().map(|pid| (Signal::KILL, pid)))
        {
            // It may have ended by itself.
            let _ = kill_process(pid, signal);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
