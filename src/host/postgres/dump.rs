//! The dump program: which one, and its run.
//!
//! Invariants: it dumps one database as of a snapshot that other sessions see, too, in the encoding of the database; owners,
//! privileges and large objects are in the dump; no variable of the environment decides where it goes.

use super::client::{Client, Snapshot};
use crate::action::{Context, Error};
use crate::host::exec::{LOOK, Piped, capture, piped};
use std::process::Stdio;

const NAME: &str = "pg_dump";
/// Options that decide what a dump holds.
const OPTIONS: [&str; 3] = ["--format=plain", "--no-password", "--lock-wait-timeout=10s"];

/// A dump program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    /// Its name or path.
    pub(crate) name: String,
    /// What it says of itself.
    pub(crate) version: String,
    /// The first part of its version.
    pub(crate) major: u32,
}

impl Program {
    /// The program with this name or path, or the one that is there.
    ///
    /// # Errors
    /// [`Error`] when there is none, or it does not say what it is.
    pub(crate) fn find(cx: &Context, given: Option<&str>) -> Result<Self, Error> {
        let name = given.unwrap_or(NAME);
        let argv = [name, "--version"].map(str::to_owned);
        let remedy = "install the client of the server (postgresql-client), or name the program with `client`";
        let ran = capture(cx, &argv, LOOK)
            .map_err(|e| Error::io("there is no dump program", &e).remedy(remedy))?;
        let version = ran.shown.lines().next().unwrap_or_default().trim();
        match (ran.code, major(version)) {
            (Some(0), Some(major)) => Ok(Self {
                name: name.to_owned(),
                version: version.to_owned(),
                major,
            }),
            _ => Err(Error::new(format!("{name} --version: {}", ran.ended)).remedy(remedy)),
        }
    }

    /// What is started, for people: without the connection and the snapshot.
    pub(crate) fn words(name: Option<&str>) -> Vec<String> {
        let mut words = vec![name.unwrap_or(NAME).to_owned()];
        words.extend(OPTIONS.map(str::to_owned));
        words
    }

    /// Starts it, as of a snapshot or of now.
    ///
    /// # Errors
    /// [`Error`] when it cannot be started.
    pub(crate) fn start(
        &self,
        client: &Client,
        database: &str,
        snapshot: Option<&Snapshot>,
    ) -> Result<Piped, Error> {
        let mut words = Self::words(Some(&self.name));
        words.extend(snapshot.map(|s| format!("--snapshot={}", s.id)));
        words.push(format!("--dbname={}", client.login.words(database)));
        piped(client.context(), &words, Stdio::null())
    }
}

/// The first part of a version as in `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn major(version: &str) -> Option<u32> {
    let number = version.split_once("(PostgreSQL) ")?.1;
    let digits = number.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_has_its_first_part() {
        let debian = "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)";
        assert_eq!(major(debian), Some(15));
        assert_eq!(major("pg_dump (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major("something else"), None);
    }
}
