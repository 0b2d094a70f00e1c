//! A session with a server.
//!
//! Invariants: every statement has a time limit, after which it is killed in the server as well, and the session is over;
//! locks are waited for a short time only; results are read as text, as the server writes it. The runtime is one of the
//! calling thread: a session is used on a thread that may block.

use super::login::Login;
use super::names::literal;
use crate::action::Error;
use crate::host::sql::{Row, cut};
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, raw_sql};
use std::time::Duration;
use tokio::runtime::Runtime;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long locks are waited for, in seconds.
const LOCK: u32 = 5;

/// What a statement met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerError {
    /// The server's number; none where the connection failed.
    pub(crate) number: Option<u16>,
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
    fn of(error: &sqlx::Error) -> Self {
        let server = match error {
            sqlx::Error::Database(e) => e.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>(),
            _ => None,
        };
        match server {
            Some(e) => Self {
                number: Some(e.number()),
                text: format!("error {}: {}", e.number(), cut(e.message())),
            },
            None => Self::lost(cut(&error.to_string())),
        }
    }

    fn lost(text: String) -> Self {
        Self { number: None, text }
    }
}

/// A session with a server.
pub(crate) struct Session {
    runtime: Runtime,
    connection: Option<MySqlConnection>,
    login: Login,
    limit: Duration,
    /// The number of its connection.
    pub(crate) id: u64,
    /// The server's version, such as `10.11.19-MariaDB`.
    pub(crate) version: String,
    /// What tells this server from others: its UUID, or its host, port and data directory.
    pub(crate) identity: String,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "session {} of {}", self.id, self.login)
    }
}

impl Session {
    /// Connects. `limit` is the time limit of each statement.
    ///
    /// # Errors
    /// [`Error`] when the server cannot be reached or refuses the account.
    pub(crate) fn open(
        login: &Login,
        database: Option<&str>,
        limit: Duration,
    ) -> Result<Self, Error> {
        let cannot = |e: ServerError| Error::io(format!("cannot connect as {login}"), &e);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::io("cannot start a runtime", &e))?;
        let connection = connect(&runtime, login, database).map_err(cannot)?;
        let mut session = Self {
            runtime,
            connection: Some(connection),
            login: login.clone(),
            limit,
            id: 0,
            version: String::new(),
            identity: String::new(),
        };
        session.execute(&format!(
            "SET SESSION lock_wait_timeout={LOCK}, innodb_lock_wait_timeout={LOCK}, time_zone='+00:00'"
        ))?;
        let known =
            session.query("SELECT CONNECTION_ID(), VERSION(), @@hostname, @@port, @@datadir")?;
        let row = known
            .first()
            .ok_or_else(|| Error::new("the server answers nothing"))?;
        (session.id, session.version) = (row.number(0), row.text(1));
        session.identity = match session.variable("server_uuid")? {
            Some(uuid) if !uuid.is_empty() => uuid,
            _ => format!("{}:{}{}", row.text(2), row.text(3), row.text(4)),
        };
        Ok(session)
    }

    /// It is a MariaDB.
    pub(crate) fn is_mariadb(&self) -> bool {
        self.version.contains("MariaDB")
    }

    /// The rows of a statement.
    pub(crate) fn query(&mut self, sql: &str) -> Result<Vec<Row>, ServerError> {
        self.run(sql.to_owned(), Some(self.limit))
    }

    /// The first value of a statement; none without a row, and where it is NULL.
    pub(crate) fn value(&mut self, sql: &str) -> Result<Option<String>, ServerError> {
        Ok(self.query(sql)?.first().and_then(|row| row.get(0)))
    }

    /// A statement without a result that counts.
    pub(crate) fn execute(&mut self, sql: &str) -> Result<(), ServerError> {
        self.query(sql).map(drop)
    }

    /// A statement that may take as long as its step.
    pub(crate) fn execute_patiently(&mut self, sql: String) -> Result<(), ServerError> {
        self.run(sql, None).map(drop)
    }

    /// Rows of a statement that may take as long as its step.
    pub(crate) fn query_patiently(&mut self, sql: String) -> Result<Vec<Row>, ServerError> {
        self.run(sql, None)
    }

    /// A variable of the server; none where it has no such one.
    pub(crate) fn variable(&mut self, name: &str) -> Result<Option<String>, ServerError> {
        let sql = format!("SHOW VARIABLES WHERE Variable_name = {}", literal(name));
        Ok(self.query(&sql)?.first().and_then(|row| row.get(1)))
    }

    fn run(&mut self, sql: String, limit: Option<Duration>) -> Result<Vec<Row>, ServerError> {
        let gone = || ServerError::lost("the session is over".into());
        let connection = self.connection.as_mut().ok_or_else(gone)?;
        let asked = async {
            let rows = raw_sql(AssertSqlSafe(sql)).fetch_all(connection);
            match limit {
                Some(limit) => tokio::time::timeout(limit, rows).await.ok(),
                None => Some(rows.await),
            }
        };
        match self.runtime.block_on(asked) {
            Some(Ok(rows)) => rows.iter().map(read).collect(),
            Some(Err(e)) => Err(ServerError::of(&e)),
            None => {
                self.give_up();
                let seconds = limit.unwrap_or_default().as_secs();
                Err(ServerError::lost(format!(
                    "a statement had not ended after {seconds} s and was killed"
                )))
            }
        }
    }

    /// The statement goes on in the server when its client is gone.
    fn give_up(&mut self) {
        self.connection = None;
        let kill = format!("KILL {}", self.id);
        let killed = connect(&self.runtime, &self.login, None).map(|mut other| {
            self.runtime.block_on(async {
                let kill = raw_sql(AssertSqlSafe(kill)).execute(&mut other);
                // Where it cannot be killed it ends by itself; the session is over either way.
                let _ = tokio::time::timeout(CONNECT, kill).await;
            });
        });
        drop(killed);
    }
}

/// A session that is dropped says good-bye, so that the server does not count it as aborted.
impl Drop for Session {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            let close =
                async { tokio::time::timeout(Duration::from_secs(1), connection.close()).await };
            // It is over either way.
            let _ = self.runtime.block_on(close);
        }
    }
}

fn connect(
    runtime: &Runtime,
    login: &Login,
    database: Option<&str>,
) -> Result<MySqlConnection, ServerError> {
    let options = login.options(database);
    let connected =
        runtime.block_on(async { tokio::time::timeout(CONNECT, options.connect()).await });
    match connected {
        Ok(connection) => connection.map_err(|e| ServerError::of(&e)),
        Err(_) => Err(ServerError::lost(format!(
            "no answer within {} s",
            CONNECT.as_secs()
        ))),
    }
}

fn read(row: &sqlx::mysql::MySqlRow) -> Result<Row, ServerError> {
    let values = (0..row.len()).map(|column| row.try_get_unchecked::<Option<Vec<u8>>, _>(column));
    let values: Result<Vec<_>, sqlx::Error> = values.collect();
    values.map(Row::of).map_err(|e| ServerError::of(&e))
}
