//! MariaDB and MySQL servers: how a plan says where one is, sessions with it, its client programs, and dump files.
//!
//! Invariants: a password is in no argument, environment or file, and in no error; no environment variable and no option
//! file that the plan does not name decides which server is meant; every statement has a time limit of its own; an error
//! keeps the server's number. What a server says may hold row data, so that what is shown of it is cut.
//!
//! Left out: what is done with a server, which is a matter of the kinds.

mod dump;
mod login;
mod names;
mod option_file;
pub(crate) mod queries;
mod session;
mod statements;

pub(crate) use super::sql::Row;
pub(crate) use dump::{Dump, Program};
pub(crate) use login::Login;
pub use login::{Server, Tls};
pub(crate) use names::{ident, literal};
pub(crate) use session::{ServerError, Session};
pub(crate) use statements::{Statement, Statements};
