//! Redis servers: how one is asked, what it is, how it saves, and what its files hold.
//!
//! A command that is not permitted, not known, or not possible now is an answer like any other to a client that looks at
//! exit codes. So every reply is read here: `Session::ask` returns a refusal as an error that names the command and the
//! user. Commands are named as Redis names them; the setting `rename` says what they are called on a hardened server.
//!
//! Invariants: nothing here empties more than one database; a file of a server is not used before its own checksum or
//! the digest that was made right after the save has been verified; a save counts when it began after the request, ended
//! well, and its file says so, too.
//!
//! Left out: clusters, of which one server holds a part only; they are recognized and refused.

pub(crate) mod broker;
pub mod keys;
pub(crate) mod permits;
pub(crate) mod place;
pub(crate) mod rdb;
pub(crate) mod save;
mod server;
mod session;
pub(crate) mod state;

pub use server::{Server, Tls};
pub(crate) use session::{Session, text_of};
