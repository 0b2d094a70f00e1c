//! Processes: which one is meant, which ones there are, where they listen, how they are started and ended.

pub mod daemon;
pub(crate) mod ending;
pub(crate) mod identity;
pub(crate) mod list;
pub(crate) mod mask;
pub(crate) mod note;
pub(crate) mod pidfile;
pub(crate) mod session;
pub(crate) mod sockets;
pub(crate) mod tree;
pub(crate) mod users;
