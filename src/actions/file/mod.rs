//! Actions on single files: [`backup`] and [`restore`], [`replace`], [`mod@line`].
//!
//! The last two are one machine (`edit`) with two ways to say what is wanted. All writing is `disk`'s: whole files,
//! by a temporary file beside the target and a rename, so a file is never seen half-written. Left out: directories,
//! and files whose hard links a rename would part.

pub(crate) mod absent;
pub mod backup;
mod diff;
pub(in crate::actions) mod edit;
pub mod line;
pub mod replace;
pub mod restore;

#[cfg(test)]
mod tests;
