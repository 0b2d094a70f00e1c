//! The allocator of a process that lives for hours: what was once needed goes back to the system.

/// Large pieces of memory go back to the system as soon as they are free, for the whole life of this process.
///
/// Left to itself, glibc keeps what was once freed of the size of a large plan's text, and a runner that lives for hours
/// holds several of them for nothing.
#[cfg(target_env = "gnu")]
#[expect(
    unsafe_code,
    reason = "no safe interface sets options of the allocator"
)]
pub(crate) fn give_large_pieces_back() {
    // SAFETY: it changes numbers of the allocator, under the allocator's own lock.
    // It fails only for a value out of range; then the allocator does as it did.
    let _ = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10) };
    // SAFETY: as above. One arena for all threads: each would keep what its looks once needed.
    let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Gives the system back what has been freed, in pieces of any size: the looks before a run leave much of it.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "no safe interface trims the allocator")]
pub(crate) fn give_the_rest_back() {
    // SAFETY: it walks the allocator's own lists under its own locks. Whether there was anything to give back is no matter.
    let _ = unsafe { libc::malloc_trim(0) };
}

/// Other allocators do so.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn give_large_pieces_back() {}

/// Other allocators do so.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn give_the_rest_back() {}
