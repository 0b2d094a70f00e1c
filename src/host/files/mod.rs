//! Files: looked at without surprises, written atomically and durably, and trusted only where nobody else can change where
//! a path leads.

pub(crate) mod disk;
pub(crate) mod editor;
pub(crate) mod entry;
pub(crate) mod exclude;
pub(crate) mod link;
pub(crate) mod mark;
pub mod mode;
pub(crate) mod mounts;
pub(crate) mod space;
pub(crate) mod tree;
pub(crate) mod trust;
