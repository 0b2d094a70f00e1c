//! PostgreSQL servers: how a plan says where one is, sessions by `psql`, and the dump program.
//!
//! Invariants: a password is in no argument and in no error; no environment variable and no file of passwords that the plan
//! does not name decides which server is meant; every statement has a time limit of its own; an error keeps the server's
//! code. What a server says may hold row data, so that what is shown of it is cut.
//!
//! Left out: what is done with a server, which is a matter of the kinds.

mod client;
mod csv;
mod dump;
mod login;

pub(crate) use super::sql::Row;
pub(crate) use client::{Client, ServerError, Snapshot};
pub(crate) use dump::Program;
pub use login::{Server, Tls};

/// A name, quoted.
pub(crate) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text, quoted, whatever the session makes of backslashes.
pub(crate) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    match text.contains('\\') {
        true => format!(" E'{}'", quoted.replace('\\', r"\\")),
        false => format!("'{quoted}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_its_quotes() {
        assert_eq!(ident(r#"a"b"#), r#""a""b""#);
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"it\'s"), r" E'it\\''s'");
    }
}
