//! How a plan says where a server is and who asks, and what comes of it.
//!
//! Everything but the password is a connection string in an argument: as that, the name of a database is a name, whatever
//! it holds, and takes precedence over a file of services. The password is in the environment of the client.

use crate::action::values::{Port, Secret, absolute};
use crate::action::{Context, Error};
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const PORT: u16 = 5432;
/// Where no file is.
const NOWHERE: &str = "/nonexistent/upledger";

/// A PostgreSQL server, and the role that is used. Environment variables such as `PGHOST`, and files of passwords that are
/// not named here, have no effect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PostgresServer")]
pub struct Server {
    /// The directory of the server's Unix socket, such as `/run/postgresql`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
    /// The server's host, for a TCP connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The server's port, which is part of the socket's name, too. Default: 5432.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// The role. Default: the name of the user that runs upledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Its password, as a secret of the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// A file of passwords as `~/.pgpass` is one, as an absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passfile: Option<String>,
    /// A service of a connection service file, which gives what the settings beside it do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The connection service file, as an absolute path. Default: `~/.pg_service.conf`, then the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_file: Option<String>,
    /// Encrypts the connection; without encryption it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// TLS of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PostgresTls")]
pub struct Tls {
    /// A file with the trusted CA certificates (PEM).
    pub ca: String,
    /// The client's certificate (PEM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<String>,
    /// The key of the client's certificate (PEM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whether the name in the server's certificate must be the host. Default: true.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub verify_host: bool,
}

fn yes() -> bool {
    true
}

impl Server {
    /// What is wrong with these settings; `setting`: their name in the action.
    pub(crate) fn problems(&self, setting: &str) -> Vec<String> {
        let named = |name: &str| format!("{setting}.{name}");
        let mut wrong = Vec::new();
        let all = [&self.socket, &self.host, &self.service];
        if all.iter().all(|s| s.is_none()) {
            let names = ["socket", "host", "service"].map(|n| format!("`{}`", named(n)));
            wrong.push(text::missing_all(crate::text::list(&names)));
        }
        let beside_socket = [("host", self.host.is_some()), ("tls", self.tls.is_some())];
        for (name, _) in beside_socket.iter().filter(|(_, given)| *given) {
            if self.socket.is_some() {
                wrong.push(text::exclude(named("socket"), named(name)));
            }
        }
        if self.password.is_some() && self.passfile.is_some() {
            wrong.push(text::exclude(named("password"), named("passfile")));
        }
        if self.service_file.is_some() && self.service.is_none() {
            wrong.push(text::needs(named("service_file"), named("service")));
        }
        let tls = self.tls.as_ref();
        let paths = [
            ("socket", self.socket.as_ref()),
            ("passfile", self.passfile.as_ref()),
            ("service_file", self.service_file.as_ref()),
            ("tls.ca", tls.map(|t| &t.ca)),
            ("tls.cert", tls.and_then(|t| t.cert.as_ref())),
            ("tls.key", tls.and_then(|t| t.key.as_ref())),
        ];
        for (name, path) in paths {
            wrong.extend(path.and_then(|path| absolute(&named(name), path)));
        }
        if let Some(tls) = tls.filter(|t| t.cert.is_some() != t.key.is_some()) {
            let (one, other) = match tls.cert {
                Some(_) => ("tls.cert", "tls.key"),
                None => ("tls.key", "tls.cert"),
            };
            wrong.push(text::needs(named(one), named(other)));
        }
        wrong
    }

    /// The place of the server, for people.
    pub(crate) fn shown(&self) -> String {
        match (&self.socket, &self.host, &self.service) {
            (Some(socket), _, _) => match self.port {
                Some(port) => format!("{socket}:{port}"),
                None => socket.clone(),
            },
            (None, Some(host), _) => {
                let port = self.port.map_or(PORT, |p| p.0);
                format!("{host}:{port}")
            }
            (None, None, Some(service)) => service.clone(),
            (None, None, None) => String::new(),
        }
    }

    /// What is needed to connect.
    ///
    /// # Errors
    /// [`Error`] when the secret is missing.
    pub(crate) fn login(&self, cx: &Context) -> Result<Login, Error> {
        let mut words: Vec<(&'static str, String)> = Vec::new();
        let mut word = |name, value: Option<&String>| {
            words.extend(value.map(|value| (name, value.clone())));
        };
        word("host", self.socket.as_ref().or(self.host.as_ref()));
        word("port", self.port.map(|p| p.to_string()).as_ref());
        word("user", self.user.as_ref());
        word("service", self.service.as_ref());
        if let Some(tls) = &self.tls {
            let mode = match tls.verify_host {
                true => "verify-full",
                false => "verify-ca",
            };
            word("sslmode", Some(&mode.to_owned()));
            word("sslrootcert", Some(&tls.ca));
            word("sslcert", tls.cert.as_ref());
            word("sslkey", tls.key.as_ref());
        }
        let passfile = self.passfile.as_deref().unwrap_or(NOWHERE);
        let mut env = vec![
            ("PGPASSFILE", passfile.to_owned()),
            ("PGAPPNAME", "upledger".to_owned()),
            ("PGCONNECT_TIMEOUT", "10".to_owned()),
        ];
        env.extend(
            self.service_file
                .iter()
                .map(|file| ("PGSERVICEFILE", file.clone())),
        );
        if let Some(password) = &self.password {
            env.push(("PGPASSWORD", cx.secret(&password.secret)?.to_owned()));
        }
        let user = self
            .user
            .as_ref()
            .map_or_else(String::new, |user| format!("{user} at "));
        Ok(Login {
            shown: user + &self.shown(),
            is_local: self.socket.is_some(),
            words,
            env,
        })
    }
}

/// What is needed to connect. It may hold a password: it is never recorded, and shows none.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    shown: String,
    /// By a socket, so that the server is on this machine.
    pub(crate) is_local: bool,
    words: Vec<(&'static str, String)>,
    env: Vec<(&'static str, String)>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// `user at place`.
impl std::fmt::Display for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Login {
    /// The connection string for a database, which holds no password.
    pub(super) fn words(&self, database: &str) -> String {
        let quoted = |value: &str| value.replace('\\', r"\\").replace('\'', r"\'");
        let words = self
            .words
            .iter()
            .map(|(name, value)| (*name, value.as_str()));
        let all = words.chain([("dbname", database)]);
        let all: Vec<String> = all
            .map(|(name, value)| format!("{name}='{}'", quoted(value)))
            .collect();
        all.join(" ")
    }

    /// The environment of a client: none of its variables but ours.
    pub(super) fn context(&self, cx: &Context) -> Context {
        let mut inner = cx.clone();
        inner.env.retain(|(key, _)| !key.starts_with("PG"));
        let ours = self.env.iter();
        inner
            .env
            .extend(ours.map(|(key, value)| ((*key).to_owned(), value.clone())));
        inner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(yaml: serde_json::Value) -> Server {
        serde_json::from_value(yaml).unwrap()
    }

    #[test]
    fn a_password_is_in_the_environment_alone_and_a_database_is_a_name() {
        let env = ["PGHOST", "PGDATABASE", "PATH"];
        let cx = Context {
            secrets: vec![("db".into(), "s3cret-word".into())],
            env: env.map(|key| (key.to_owned(), "x".to_owned())).to_vec(),
            ..Context::default()
        };
        let given = serde_json::json!({"host": "db", "user": "u", "password": {"secret": "db"}});
        let login = server(given).login(&cx).unwrap();
        assert_eq!(format!("{login:?}"), "u at db:5432");
        let words = login.words("host=other it's");
        assert_eq!(words, r"host='db' user='u' dbname='host=other it\'s'");
        let env = login.context(&cx).env;
        assert!(env.contains(&("PGPASSWORD".into(), "s3cret-word".into())));
        assert!(
            !env.iter()
                .any(|(key, _)| ["PGHOST", "PGDATABASE"].contains(&key.as_str()))
        );
    }

    #[test]
    fn what_excludes_or_lacks_something_is_a_problem() {
        let problems = |value| server(value).problems("server").join("\n");
        assert_eq!(
            problems(serde_json::json!({"socket": "/run/postgresql"})),
            ""
        );
        assert!(problems(serde_json::json!({})).contains("`server.service`"));
        let both = problems(serde_json::json!({"socket": "/s", "tls": {"ca": "/c"}}));
        assert!(both.contains("mutually exclusive"), "{both}");
        let half = problems(serde_json::json!({"host": "h", "service_file": "/f"}));
        assert!(half.contains("`server.service`"), "{half}");
    }
}
