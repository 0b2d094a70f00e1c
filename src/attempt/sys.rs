//! The calls without a safe interface: setting close-on-exec on an inherited descriptor by its number, `getrusage` for ended
//! children, what the allocator does with large pieces, and the session of a command.

use super::slot::Usage;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Marks a descriptor as closed on exec. A number that is not open is left alone.
#[expect(
    unsafe_code,
    reason = "an inherited descriptor has no owner in this program"
)]
pub(super) fn set_close_on_exec(fd: i32) {
    // SAFETY: the descriptor is only used for this one call; if it is not open, the kernel says EBADF.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    // EBADF: it was the directory handle through which it was found.
    let _ = rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC);
}

/// What all children used that have been waited for, and theirs.
#[expect(
    unsafe_code,
    reason = "rustix has no getrusage, and /proc forgets the resident set of the dead"
)]
pub(super) fn usage_of_children() -> Usage {
    let mut raw = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is valid for writes of a `rusage`, which is plain data and valid when zeroed.
    let raw = unsafe {
        // It can only fail for a bad pointer or selector; zeros are what is reported then.
        let _ = libc::getrusage(libc::RUSAGE_CHILDREN, raw.as_mut_ptr());
        raw.assume_init()
    };
    let number = |n: i64| u64::try_from(n).unwrap_or(0);
    let time = |t: libc::timeval| number(t.tv_sec) * 1_000_000 + number(t.tv_usec);
    Usage {
        user_us: time(raw.ru_utime),
        system_us: time(raw.ru_stime),
        // The kernel counts in KiB.
        max_rss: number(raw.ru_maxrss) * 1024,
    }
}

/// Has a command lead its own process group, and where this program has a terminal, a session of its own without one:
/// ssh, git and their like then fail at once where they would have asked the operator.
pub(crate) fn without_terminal(command: &mut Command) {
    match std::fs::File::open("/dev/tty").is_err() {
        true => drop(command.process_group(0)),
        false => in_own_session(command),
    }
}

/// Has a command lead a session of its own from its first moment: a signal that a terminal sends to this process's group
/// does not reach it.
#[expect(
    unsafe_code,
    reason = "the standard library has no stable interface for setsid"
)]
fn in_own_session(command: &mut Command) {
    // SAFETY: between fork and exec only setsid is called, which is async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            Ok(())
        });
    }
}
