//! One connection to a Redis server.
//!
//! Invariants: each answer has a time limit; an error reply is never taken for a value; the password stands in no error.

use super::Server;
use crate::action::{Context, Error};
use crate::encoding;
use redis::{
    Client, ClientTlsConfig, Connection, ConnectionAddr, ConnectionInfo, ConnectionLike,
    IntoConnectionInfo, RedisConnectionInfo, RedisError, TlsCertificates, Value,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a connection may take, and one answer that is no save.
pub(super) const ANSWER: Duration = Duration::from_secs(20);

/// A connection to a server, in one of its databases.
pub(crate) struct Session {
    connection: Connection,
    server: Server,
}

/// An error reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// `ERR`, `NOPERM`, `READONLY`, ...
    pub(crate) code: String,
    /// The rest of it.
    pub(crate) detail: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.code, self.detail)
    }
}

impl Refused {
    fn of(error: &RedisError) -> Option<Self> {
        let errors = error.clone().into_server_errors()?;
        let (_, first) = errors.first()?;
        Some(Self {
            code: first.code().to_owned(),
            detail: first.details().unwrap_or_default().to_owned(),
        })
    }

    /// The server has no such command, or has it under another name.
    pub(crate) fn is_unknown(&self) -> bool {
        self.code == "ERR" && self.detail.to_ascii_lowercase().starts_with("unknown ")
    }

    /// The user may not.
    pub(crate) fn is_not_permitted(&self) -> bool {
        self.code == "NOPERM"
    }

    /// What helps.
    fn remedy(&self, command: &str) -> Option<String> {
        Some(match self.code.as_str() {
            "NOPERM" => format!("permit {command} to this user, or set `server.user` to one who may"),
            "NOAUTH" => "set `server.password: {secret: name}`".into(),
            "WRONGPASS" => "check `server.user` and the secret of `server.password`".into(),
            "READONLY" => "name its master in `server`".into(),
            "MOVED" | "CROSSSLOT" => "it is one node of a cluster, which is not supported".into(),
            "LOADING" => "wait until it has loaded its data".into(),
            "MISCONF" => "it cannot save, and so it refuses writes: look at its log and the free space of its directory".into(),
            "OOM" => "it has reached `maxmemory`".into(),
            _ if self.is_unknown() => format!(
                "if the server has it under another name, set `server.rename: {{{command}: NAME}}`"
            ),
            _ => return None,
        })
    }
}

/// A word of a reply; none when it is no text.
pub(crate) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(encoding::escaped(bytes)),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.clone()),
        Value::Okay => Some("OK".into()),
        Value::Int(n) => Some(n.to_string()),
        _ => None,
    }
}

fn read(file: &str) -> Result<Vec<u8>, Error> {
    std::fs::read(file).map_err(|e| Error::io(format!("cannot read {file}"), &e))
}

impl Session {
    /// Connects and logs in.
    ///
    /// # Errors
    /// [`Error`] that names the server, the user, and the remedy.
    pub(crate) fn open(cx: &Context, server: &Server) -> Result<Self, Error> {
        let client = client(server)?;
        let opened = client.get_connection_with_timeout(ANSWER);
        let connection = opened.map_err(|e| unreachable(server, &e))?;
        let mut session = Self {
            connection,
            server: server.clone(),
        };
        session.limit(ANSWER)?;
        if let Some(password) = &server.password {
            let user = server.user.as_ref().map(String::as_bytes);
            let password = cx.secret(&password.secret)?.as_bytes();
            let mut words = vec![&b"AUTH"[..]];
            words.extend(user);
            words.push(password);
            session.ask(&words)?;
        }
        if server.db != 0 {
            session.select(server.db)?;
        }
        Ok(session)
    }

    /// How long one answer may take.
    pub(super) fn limit(&self, limit: Duration) -> Result<(), Error> {
        let limit = Some(limit.max(Duration::from_millis(1)));
        let set = self.connection.set_read_timeout(limit);
        set.and_then(|()| self.connection.set_write_timeout(Some(ANSWER)))
            .map_err(|e| self.broken("its time limit", &e))
    }

    /// Where it is, for people.
    pub(crate) fn shown(&self) -> String {
        self.server.shown()
    }

    /// Which server this is.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// The name of its user, as far as the settings say it.
    pub(crate) fn user(&self) -> &str {
        self.server.user.as_deref().unwrap_or("default")
    }

    /// What a command is called there.
    pub(super) fn name_of<'a>(&'a self, command: &'a str) -> &'a str {
        self.server.name_of(command)
    }

    fn command(&self, words: &[&[u8]]) -> redis::Cmd {
        let mut command = redis::Cmd::new();
        for (at, word) in words.iter().enumerate() {
            match std::str::from_utf8(word).ok().filter(|_| at == 0) {
                Some(name) => command.arg(self.name_of(name)),
                None => command.arg(*word),
            };
        }
        command
    }

    fn broken(&self, what: &str, error: &RedisError) -> Error {
        let what = format!("{what}: the connection to Redis {} failed", self.shown());
        let failed = Error::io(what, error);
        match failed.to_string().contains("certificate") {
            true => failed.remedy("name the CA of its certificate in `server.tls.ca`"),
            false => failed,
        }
    }

    /// The reply, be it a value or a refusal.
    ///
    /// # Errors
    /// [`Error`] when none comes.
    pub(crate) fn reply(&mut self, words: &[&[u8]]) -> Result<Result<Value, Refused>, Error> {
        let asked = self.connection.req_command(&self.command(words));
        match asked.and_then(Value::extract_error) {
            Ok(value) => Ok(Ok(value)),
            Err(e) => match Refused::of(&e) {
                Some(refused) => Ok(Err(refused)),
                None => Err(self.broken(&name(words), &e)),
            },
        }
    }

    /// The value that a command returns.
    ///
    /// # Errors
    /// [`Error`] when the server refuses, or none comes.
    pub(crate) fn ask(&mut self, words: &[&[u8]]) -> Result<Value, Error> {
        let reply = self.reply(words)?;
        reply.map_err(|refused| self.refused(&name(words), &refused))
    }

    /// The replies to several commands, in their order, in one round.
    ///
    /// # Errors
    /// [`Error`] when one is refused, or none comes.
    pub(crate) fn together(&mut self, commands: &[Vec<&[u8]>]) -> Result<Vec<Value>, Error> {
        let mut pipe = redis::pipe();
        for words in commands {
            pipe.add_command(self.command(words));
        }
        let count = commands.len();
        let packed = pipe.get_packed_pipeline();
        let first = commands.first().map_or_else(String::new, |c| name(c));
        let answered = self.connection.req_packed_commands(&packed, 0, count);
        let values = answered.map_err(|e| self.broken(&first, &e))?;
        if values.len() != count {
            return Err(self.unexpected(&first));
        }
        let each = values.into_iter().zip(commands);
        each.map(|(value, words)| {
            value.extract_error().map_err(|e| match Refused::of(&e) {
                Some(refused) => self.refused(&name(words), &refused),
                None => self.broken(&name(words), &e),
            })
        })
        .collect()
    }

    /// A refusal as an error.
    pub(crate) fn refused(&self, command: &str, refused: &Refused) -> Error {
        let what = format!(
            "Redis {} refuses {command} to the user {}: {refused}",
            self.shown(),
            self.user()
        );
        match refused.remedy(command) {
            Some(remedy) => Error::new(what).remedy(remedy),
            None => Error::new(what),
        }
    }

    /// A reply that no Redis gives.
    pub(crate) fn unexpected(&self, command: &str) -> Error {
        Error::new(format!(
            "Redis {} gives a reply to {command} that is not understood",
            self.shown()
        ))
    }

    /// The number that a command returns.
    ///
    /// # Errors
    /// As for [`Session::ask`].
    pub(crate) fn number(&mut self, words: &[&[u8]]) -> Result<i64, Error> {
        match self.ask(words)? {
            Value::Int(n) => Ok(n),
            _ => Err(self.unexpected(&name(words))),
        }
    }

    /// The clock of the server, in milliseconds since 1970.
    ///
    /// # Errors
    /// As for [`Session::ask`].
    pub(crate) fn now(&mut self) -> Result<i64, Error> {
        let value = self.ask(&[b"TIME"])?;
        let parts: Option<Vec<i64>> = value.as_sequence().and_then(|parts| {
            let parts = parts.iter().map(|p| text_of(p)?.parse().ok());
            parts.collect()
        });
        match parts.as_deref() {
            Some([seconds, micros]) => Ok(seconds * 1000 + micros / 1000),
            _ => Err(self.unexpected("TIME")),
        }
    }

    /// Goes to another database.
    ///
    /// # Errors
    /// As for [`Session::ask`].
    pub(crate) fn select(&mut self, db: u32) -> Result<(), Error> {
        self.ask(&[b"SELECT", db.to_string().as_bytes()])?;
        self.server.db = db;
        Ok(())
    }
}

/// The command, for people; never its arguments, which may be values.
fn name(words: &[&[u8]]) -> String {
    let first = words.first().copied().unwrap_or_default();
    let second = words
        .get(1)
        .copied()
        .filter(|_| [&b"ACL"[..], b"CONFIG", b"CLUSTER", b"COMMAND", b"CLIENT"].contains(&first));
    let words: Vec<&[u8]> = std::iter::once(first).chain(second).collect();
    encoding::text(&words.join(&b' ')).into_owned()
}

fn client(server: &Server) -> Result<Client, Error> {
    let login = RedisConnectionInfo::default().set_skip_set_lib_name();
    let (host, port) = server.address();
    let addr = match (&server.socket, &server.tls) {
        (Some(socket), _) => ConnectionAddr::Unix(PathBuf::from(socket)),
        (None, None) => ConnectionAddr::Tcp(host, port),
        (None, Some(_)) => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: false,
            tls_params: None,
        },
    };
    let invalid =
        |e: RedisError| Error::io(format!("cannot connect to Redis {}", server.shown()), &e);
    let info: ConnectionInfo = addr.into_connection_info().map_err(invalid)?;
    let info = info.set_redis_settings(login);
    let Some(tls) = &server.tls else {
        return Client::open(info).map_err(invalid);
    };
    let client_tls = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => Some(ClientTlsConfig {
            client_cert: read(cert)?,
            client_key: read(key)?,
        }),
        _ => None,
    };
    let certificates = TlsCertificates {
        client_tls,
        root_cert: tls.ca.as_deref().map(read).transpose()?,
    };
    Client::build_with_tls(info, certificates).map_err(invalid)
}

fn unreachable(server: &Server, error: &RedisError) -> Error {
    let what = format!("cannot connect to Redis {}", server.shown());
    let wrong = match &server.socket {
        Some(socket) if !Path::new(socket).exists() => Some("there is no such socket"),
        _ => None,
    };
    match wrong {
        Some(wrong) => Error::new(format!("{what}: {wrong}")),
        None => Error::io(what, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_named_without_its_arguments() {
        assert_eq!(name(&[b"RESTORE", b"key", b"0", b"secret"]), "RESTORE");
        assert_eq!(name(&[b"CONFIG", b"GET", b"dir"]), "CONFIG GET");
    }

    #[test]
    fn what_is_unknown_may_have_another_name() {
        let refused = Refused {
            code: "ERR".into(),
            detail: "unknown command 'BGSAVE', with args beginning with: ".into(),
        };
        let remedy = refused.remedy("BGSAVE").unwrap();
        assert!(remedy.contains("{BGSAVE: NAME}"), "{remedy}");
    }
}
