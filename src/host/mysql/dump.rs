//! The dump program of MariaDB or MySQL: which one, and its run.
//!
//! Invariants: its login reaches it as an option file that exists in memory only and that it opens as its standard input,
//! so that no other option file is read and nothing is on a disk; variables with which a client could be redirected are
//! not passed on; options that decide what a dump holds are all given, whatever an option file says.

use super::login::Login;
use crate::action::{Context, Error};
use crate::host::exec::{LOOK, Piped, capture, piped};
use rustix::fs::{MemfdFlags, Mode, memfd_create};
use std::fs::File;
use std::io::{Seek as _, Write as _};

/// The names under which it is looked for.
const NAMES: [&str; 2] = ["mariadb-dump", "mysqldump"];
/// Every option of a dump that both have. A restored copy, dumped again with them, gives the same bytes.
const OPTIONS: [&str; 13] = [
    "--opt",
    "--single-transaction",
    "--quick",
    "--routines",
    "--events",
    "--triggers",
    "--hex-blob",
    "--order-by-primary",
    "--skip-dump-date",
    "--default-character-set=utf8mb4",
    "--set-charset",
    "--tz-utc",
    "--max-allowed-packet=1G",
];

/// A dump program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    /// Its name or path.
    pub(crate) name: String,
    /// What it says of itself.
    pub(crate) version: String,
    /// It is MariaDB's.
    pub(crate) mariadb: bool,
    number: (u32, u32),
}

/// What is dumped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dump<'a> {
    /// The schemas; all of one moment.
    pub(crate) databases: &'a [String],
    /// The history of system-versioned tables, too.
    pub(crate) history: bool,
}

impl Program {
    /// The program with this name or path, or the one that is there.
    ///
    /// # Errors
    /// [`Error`] when there is none, or it does not say what it is.
    pub(crate) fn find(cx: &Context, given: Option<&str>) -> Result<Self, Error> {
        let names = given.map_or_else(|| NAMES.to_vec(), |name| vec![name]);
        let mut why = None;
        for name in names {
            let argv = [name, "--no-defaults", "--version"].map(str::to_owned);
            match capture(&without_variables(cx), &argv, LOOK) {
                Ok(ran) if ran.code == Some(0) => {
                    let version = ran.shown.lines().next().unwrap_or_default().trim();
                    return Ok(Self {
                        name: name.to_owned(),
                        version: version.to_owned(),
                        mariadb: version.contains("MariaDB"),
                        number: number(version),
                    });
                }
                Ok(ran) => why = Some(Error::new(format!("{name} --version: {}", ran.ended))),
                Err(e) => why = why.or(Some(e)),
            }
        }
        let why = why.unwrap_or_else(|| Error::new("no dump program is named"));
        Err(Error::io("there is no dump program", &why).remedy(
            "install the client of the server (mariadb-client or mysql-client), or name it with `client`",
        ))
    }

    /// One that was found before, by what it said of itself.
    pub(crate) fn named(given: Option<&str>, version: &str) -> Self {
        let mariadb = version.contains("MariaDB");
        Self {
            name: given.unwrap_or(NAMES[usize::from(!mariadb)]).to_owned(),
            version: version.to_owned(),
            mariadb,
            number: number(version),
        }
    }

    /// It can dump the history of system-versioned tables.
    pub(crate) fn dumps_history(&self) -> bool {
        self.mariadb && self.number >= (10, 11)
    }

    /// What is started, for people: without the option file, which is the same for all.
    pub(crate) fn words(&self, dump: Dump<'_>) -> Vec<String> {
        let mut words = vec![self.name.clone()];
        words.extend(OPTIONS.map(str::to_owned));
        let more: &[&str] = match self.mariadb {
            true if dump.history => &["--dump-history"],
            true => &[],
            false => &[
                "--set-gtid-purged=OFF",
                "--column-statistics=0",
                "--no-tablespaces",
            ],
        };
        words.extend(more.iter().map(|w| (*w).to_owned()));
        if dump.databases.len() > 1 {
            words.extend(["--no-create-db".to_owned(), "--databases".to_owned()]);
        }
        // A name such as `--help` is a name.
        words.push("--".to_owned());
        words.extend(dump.databases.iter().cloned());
        words
    }

    /// Starts it.
    ///
    /// # Errors
    /// [`Error`] when it cannot be started.
    pub(crate) fn start(
        &self,
        cx: &Context,
        login: &Login,
        dump: Dump<'_>,
    ) -> Result<Piped, Error> {
        let file = in_memory(&login.option_file(self.mariadb))
            .map_err(|e| Error::io("cannot hand over the login", &e))?;
        let mut words = self.words(dump);
        words.insert(1, "--defaults-file=/dev/stdin".into());
        piped(&without_variables(cx), &words, file)
    }
}

/// A file without a name, which only whoever is given it can open.
fn in_memory(text: &str) -> std::io::Result<File> {
    let mut file = File::from(memfd_create("upledger", MemfdFlags::CLOEXEC)?);
    // A client ignores an option file that others may write.
    rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR)?;
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}

/// Variables that decide where a client goes.
fn without_variables(cx: &Context) -> Context {
    let mut inner = cx.clone();
    let decides = |key: &str| key.starts_with("MYSQL") || key.starts_with("MARIADB");
    inner.env.retain(|(key, _)| !decides(key));
    inner
}

/// Its version: that of the distribution where it says one, `Distrib 10.11.19-MariaDB`.
fn number(version: &str) -> (u32, u32) {
    let words = || version.split([' ', ',']);
    let found = words()
        .find(|w| w.contains("-MariaDB"))
        .or_else(|| words().find(|w| w.split('.').count() >= 3));
    let mut parts = found.unwrap_or_default().split(['.', '-']).map(str::parse);
    let mut next = || parts.next().and_then(Result::ok).unwrap_or(0);
    (next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_says_its_version_in_its_own_way() {
        for (says, is) in [
            (
                "mariadb-dump  Ver 10.19 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)",
                (10, 11),
            ),
            (
                "mariadb-dump from 11.4.2-MariaDB, client 10.19 for debian-linux-gnu (x86_64)",
                (11, 4),
            ),
            (
                "mysqldump  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)",
                (8, 0),
            ),
            (
                "mysqldump  Ver 10.13 Distrib 5.7.44, for Linux (x86_64)",
                (5, 7),
            ),
        ] {
            assert_eq!(number(says), is, "{says}");
        }
    }

    #[test]
    fn no_variable_of_a_client_is_passed_on() {
        let env = ["MYSQL_HOST", "MYSQL_PWD", "MARIADB_X", "PATH"];
        let cx = Context {
            env: env.map(|k| (k.to_owned(), "x".to_owned())).to_vec(),
            ..Context::default()
        };
        let left = without_variables(&cx).env;
        assert_eq!(left, [("PATH".to_owned(), "x".to_owned())]);
    }
}
