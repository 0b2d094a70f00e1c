//! Statements by `psql`, which is wherever `pg_dump` is and reads the same services, certificates and files of passwords.
//!
//! Invariants: statements reach it on its standard input, never as an argument; rows come back as CSV, which keeps NULL and
//! line feeds; every run is a session of its own with a time limit that the server keeps; a query of a plan goes to the
//! server as text, so that no command of `psql` in it is carried out, in a transaction that may not write.

use super::csv::{self, NULL};
use super::login::Login;
use super::{Row, literal};
use crate::action::{Context, Error};
use crate::encoding;
use crate::host::exec::{KEPT, Piped, capture_with, piped};
use crate::host::sql::cut;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::Stdio;
use std::time::Duration;

/// The time limit of a statement that looks.
const LIMIT: Duration = Duration::from_secs(30);
/// How long a session may take beyond the limit of its statement, to connect and to end.
const BEYOND: Duration = Duration::from_secs(20);
/// The time limit of a statement that may take as long as its step.
const PATIENT: Duration = Duration::from_secs(7 * 86400);

/// What stands between the rows of several statements: no value of a database is it by chance.
const NEXT: &str = "\u{1}upledger-next\u{1}";

/// What a statement met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerError {
    /// The server's code (SQLSTATE); none where the connection failed.
    pub(crate) code: Option<String>,
    text: String,
}

impl std::fmt::Display for ServerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for ServerError {}

impl From<ServerError> for Error {
    fn from(e: ServerError) -> Self {
        Self::io("the database server refused a statement", &e)
    }
}

impl ServerError {
    fn lost(text: &str) -> Self {
        Self {
            code: None,
            text: cut(text.trim()),
        }
    }

    /// Out of what `psql` says: `psql:<stdin>:7: ERROR:  42P01: relation "x" does not exist`.
    pub(super) fn of(said: &str, ended: &str) -> Self {
        let mut lines = said.lines();
        let line = lines.find(|line| line.contains("ERROR:  ") || line.contains("FATAL:  "));
        let Some(line) = line else {
            return Self::lost(&format!("{ended}: {said}"));
        };
        let (_, text) = line.split_once(":  ").unwrap_or(("", line));
        match text.split_once(": ") {
            Some((code, text)) if is_code(code) => Self {
                code: Some(code.to_owned()),
                text: format!("error {code}: {}", cut(text)),
            },
            _ => Self::lost(text),
        }
    }

    /// The role may not do it.
    pub(crate) fn is_denied(&self) -> bool {
        self.code.as_deref() == Some("42501")
    }
}

fn is_code(text: &str) -> bool {
    text.len() == 5
        && text
            .chars()
            .all(|c| c.is_ascii_digit() || c.is_ascii_uppercase())
}

/// A server, and how it is reached.
#[derive(Clone)]
pub(crate) struct Client {
    cx: Context,
    pub(crate) login: Login,
    /// Its version, such as `15.18`.
    pub(crate) version: String,
    /// The same as a number, such as 150018.
    pub(crate) number: u32,
    /// What tells this server from others.
    pub(crate) identity: String,
}

impl Client {
    /// Connects once, to the database of that name.
    ///
    /// # Errors
    /// [`Error`] when there is no `psql`, and when the server cannot be reached or refuses the role.
    pub(crate) fn open(cx: &Context, login: Login, database: &str) -> Result<Self, Error> {
        let mut client = Self {
            cx: login.context(cx),
            login,
            version: String::new(),
            number: 0,
            identity: String::new(),
        };
        let cannot = |e: ServerError| Error::io(format!("cannot connect as {}", client.login), &e);
        let known = client
            .query(
                database,
                "SELECT split_part(current_setting('server_version'), ' ', 1), current_setting('server_version_num'), \
                 current_setting('port'), host(inet_server_addr())",
            )
            .map_err(cannot)?;
        let row = known
            .first()
            .ok_or_else(|| Error::new("the server answers nothing"))?;
        client.version = row.text(0);
        client.number = u32::try_from(row.number(1)).unwrap_or_default();
        let place = format!(
            "{}:{}",
            row.get(3).unwrap_or_else(|| "local".into()),
            row.text(2)
        );
        let system = client.value(
            database,
            "SELECT system_identifier FROM pg_control_system()",
        );
        client.identity = match system {
            Ok(Some(identifier)) => identifier,
            Ok(None) => place,
            Err(e) if e.is_denied() => place,
            Err(e) => return Err(e.into()),
        };
        Ok(client)
    }

    /// The rows of statements.
    pub(crate) fn query(&self, database: &str, sql: &str) -> Result<Vec<Row>, ServerError> {
        self.run(database, sql, LIMIT)
    }

    /// The rows of each of several statements, in one session.
    pub(crate) fn each<const N: usize>(
        &self,
        database: &str,
        statements: [&str; N],
    ) -> Result<[Vec<Row>; N], ServerError> {
        let rows = self.query(
            database,
            &statements.join(&format!(";\nSELECT {};\n", literal(NEXT))),
        )?;
        let mut parts = rows.split(|row| row.len() == 1 && row.text(0) == NEXT);
        Ok(std::array::from_fn(|_| {
            parts.next().map(<[Row]>::to_vec).unwrap_or_default()
        }))
    }

    /// The first value; none without a row, and where it is NULL.
    pub(crate) fn value(&self, database: &str, sql: &str) -> Result<Option<String>, ServerError> {
        Ok(self
            .query(database, sql)?
            .first()
            .and_then(|row| row.get(0)))
    }

    /// The rows of statements that may take as long as the step.
    pub(crate) fn patiently(&self, database: &str, sql: &str) -> Result<Vec<Row>, ServerError> {
        self.run(database, sql, PATIENT)
    }

    /// The rows of statements that see what that snapshot holds.
    pub(crate) fn within(&self, snapshot: &Snapshot, sql: &str) -> Result<Vec<Row>, ServerError> {
        let sql = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {};\n{sql};\nCOMMIT",
            literal(&snapshot.id)
        );
        self.run(&snapshot.database, &sql, PATIENT)
    }

    /// The rows of a query of the plan, behind one with the time of the server in UTC.
    pub(crate) fn ask(
        &self,
        database: &str,
        sql: &str,
        limit: Duration,
    ) -> Result<Vec<Row>, ServerError> {
        // `\gexec` hands a text to the server as it is.
        let mut tag = String::from("$q$");
        while sql.contains(&tag) {
            tag.insert(1, 'q');
        }
        let sql = format!(
            "RESET search_path; BEGIN READ ONLY; SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS');\n\
             SELECT {tag}{sql}\n{tag} \\gexec\nCOMMIT"
        );
        self.run(database, &sql, limit)
    }

    /// The environment of its programs.
    pub(super) fn context(&self) -> &Context {
        &self.cx
    }

    fn words(&self, database: &str) -> Vec<String> {
        let null = format!("null={NULL}");
        let words = [
            "psql",
            "-X",
            "-w",
            "-q",
            "-t",
            "--csv",
            "-v",
            "ON_ERROR_STOP=1",
            "-v",
            "VERBOSITY=verbose",
            "-P",
            &null,
            "-d",
        ];
        let words = words.map(str::to_owned);
        words
            .into_iter()
            .chain([self.login.words(database)])
            .collect()
    }

    fn run(&self, database: &str, sql: &str, limit: Duration) -> Result<Vec<Row>, ServerError> {
        let script = format!("{}{sql};\n", settings(limit));
        let ran = capture_with(
            &self.cx,
            &self.words(database),
            Some(script.into_bytes()),
            limit.saturating_add(BEYOND),
        );
        let ran = ran.map_err(|e| ServerError::lost(&e.to_string()))?;
        if ran.code != Some(0) {
            return Err(ServerError::of(&ran.stderr, &ran.ended));
        }
        if ran.stdout.len() >= KEPT {
            return Err(ServerError::lost("the answer is longer than 1 MiB"));
        }
        Ok(csv::rows(&ran.stdout))
    }

    /// Starts a session that executes a dump, which is written to its standard input.
    ///
    /// # Errors
    /// [`Error`] when it cannot be started.
    pub(crate) fn load(&self, database: &str) -> Result<Piped, Error> {
        // Values that statements of a dump return are no output, and what a row holds is not shown.
        let words = [
            "psql",
            "-X",
            "-w",
            "-q",
            "-o",
            "/dev/null",
            "-v",
            "ON_ERROR_STOP=1",
            "-v",
            "VERBOSITY=terse",
            "-d",
        ];
        let words: Vec<String> = words
            .map(str::to_owned)
            .into_iter()
            .chain([self.login.words(database)])
            .collect();
        piped(&self.cx, &words, Stdio::piped())
    }
}

/// What every session begins with. Names in definitions are whole without a search path.
fn settings(limit: Duration) -> String {
    format!(
        "SET client_encoding='UTF8'; SET statement_timeout={}; SET lock_timeout='5s'; SET TimeZone='UTC'; \
         SET DateStyle='ISO'; SET row_security=off; SET search_path=pg_catalog;\n",
        limit.as_millis().min(i32::MAX as u128)
    )
}

/// A moment of a database that other sessions and the dump program see, as long as this is there.
pub(crate) struct Snapshot {
    _session: Piped,
    pub(crate) id: String,
    pub(crate) database: String,
}

impl Snapshot {
    /// The moment that is now.
    ///
    /// # Errors
    /// [`Error`] when the server does not hand it out.
    pub(crate) fn take(client: &Client, database: &str) -> Result<Self, Error> {
        let mut session = piped(&client.cx, &client.words(database), Stdio::piped())?;
        let script = format!(
            "{}BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT pg_export_snapshot();\n",
            settings(PATIENT)
        );
        let written = session
            .input
            .as_mut()
            .map(|input| input.write_all(script.as_bytes()));
        let mut line = Vec::new();
        if let Some(Ok(())) = written {
            let mut output = BufReader::new(Read::by_ref(&mut session.output));
            // Where it says nothing, how it ends tells why.
            let _ = output.read_until(b'\n', &mut line);
        }
        let id = encoding::text(&line).trim().to_owned();
        if id.is_empty() {
            let ended = session.end()?;
            let e = ServerError::of(&ended.shown, "the session ended");
            return Err(Error::io("the server hands out no snapshot", &e));
        }
        Ok(Self {
            _session: session,
            id,
            database: database.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_the_code_of_the_server() {
        let said = "psql:<stdin>:3: ERROR:  42P01: relation \"x\" does not exist\nLINE 1: SELECT 1 FROM x\nLOCATION:  p";
        let e = ServerError::of(said, "exit 3");
        assert_eq!(e.code.as_deref(), Some("42P01"));
        assert_eq!(e.to_string(), "error 42P01: relation \"x\" does not exist");
        let lost = ServerError::of(
            "psql: error: connection to server on socket \"/x\" failed: FATAL:  role \"a\" does not exist",
            "exit 2",
        );
        assert_eq!(
            (lost.code, lost.text.as_str()),
            (None, "role \"a\" does not exist")
        );
        let gone = ServerError::of("psql: error: no such file", "exit 2");
        assert_eq!(gone.text, "exit 2: psql: error: no such file");
    }
}
