//! The version of the plan format, and how large a plan may be.

/// The version of the plan format.
pub const VERSION: u32 = 1;
/// How large a plan file may be, in bytes.
pub const LIMIT: usize = 1 << 20;
/// How large a resolved plan may be: variables make it longer.
pub const RESOLVED_LIMIT: usize = 32 << 20;
/// How many steps a plan may have.
pub const STEPS: usize = 10_000;
