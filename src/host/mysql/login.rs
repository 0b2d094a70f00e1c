//! How a plan says where a server is and who asks, and what comes of it.

use super::option_file;
use crate::action::values::{Port, Secret, absolute};
use crate::action::{Context, Error};
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::ConnectOptions as _;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where clients look for the socket of a server on the same machine.
const SOCKETS: [&str; 3] = [
    "/run/mysqld/mysqld.sock",
    "/var/lib/mysql/mysql.sock",
    "/tmp/mysql.sock",
];
const PORT: u16 = 3306;

/// A MariaDB or MySQL server, and the account that is used. Environment variables such as `MYSQL_HOST` and option files
/// that are not named here have no effect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MysqlServer")]
pub struct Server {
    /// The server's Unix socket, as an absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
    /// The server's host, for a TCP connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The server's port. Default: 3306.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// The account. Default: the user that runs upledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Its password, as a secret of the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// An option file such as `/etc/mysql/debian.cnf`, as an absolute path. Its group `[client]` gives what the settings
    /// beside it do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defaults_file: Option<String>,
    /// Encrypts the connection; without encryption it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// TLS of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MysqlTls")]
pub struct Tls {
    /// A file with the trusted CA certificates (PEM). Default: the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
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
        let all = [&self.socket, &self.host, &self.defaults_file];
        if all.iter().all(|s| s.is_none()) {
            let names = ["socket", "host", "defaults_file"].map(|n| format!("`{}`", named(n)));
            wrong.push(text::missing_all(crate::text::list(&names)));
        }
        if self.socket.is_some() && self.host.is_some() {
            wrong.push(text::exclude(named("socket"), named("host")));
        }
        if self.port.is_some() && self.socket.is_some() {
            wrong.push(text::exclude(named("socket"), named("port")));
        }
        let tls = self.tls.as_ref();
        let paths = [
            ("socket", self.socket.as_ref()),
            ("defaults_file", self.defaults_file.as_ref()),
            ("tls.ca", tls.and_then(|t| t.ca.as_ref())),
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
        match (&self.socket, &self.host, &self.defaults_file) {
            (Some(socket), _, _) => socket.clone(),
            (None, Some(host), _) => {
                let port = self.port.map_or(PORT, |p| p.0);
                format!("{host}:{port}")
            }
            (None, None, Some(file)) => file.clone(),
            (None, None, None) => String::new(),
        }
    }

    /// What is needed to connect: the settings, what the option file gives beside them, and the password's value.
    ///
    /// # Errors
    /// [`Error`] when the option file cannot be read, or the secret is missing.
    pub(crate) fn login(&self, cx: &Context) -> Result<Login, Error> {
        let file = match &self.defaults_file {
            Some(path) => option_file::read(Path::new(path))?,
            None => BTreeMap::new(),
        };
        let given = |name: &str| file.get(name).filter(|v| !v.is_empty()).cloned();
        let port = match self.port {
            Some(port) => Some(port.0),
            None => given("port")
                .map(|p| p.parse::<u16>())
                .transpose()
                .map_err(|e| Error::io("the option file names no valid port", &e))?,
        };
        let place = match (&self.socket, &self.host) {
            (Some(socket), _) => Place::Socket(socket.into()),
            (None, Some(host)) => Place::Tcp(host.clone(), port.unwrap_or(PORT)),
            (None, None) => from_file(&given, port),
        };
        let password = match &self.password {
            Some(secret) => Some(cx.secret(&secret.secret)?.to_owned()),
            None => file.get("password").cloned(),
        };
        let user = self.user.clone().or_else(|| given("user"));
        Ok(Login {
            place,
            user: user.unwrap_or_else(|| own_name(cx)),
            password,
            tls: self.tls.clone().or_else(|| tls_of(&given, &file)),
        })
    }
}

/// Without a socket and a host of its own, as the client would take it.
fn from_file(given: &dyn Fn(&str) -> Option<String>, port: Option<u16>) -> Place {
    let tcp = given("protocol").is_some_and(|p| p.eq_ignore_ascii_case("tcp"));
    match (given("socket"), given("host")) {
        (_, Some(host)) if host != "localhost" || tcp => Place::Tcp(host, port.unwrap_or(PORT)),
        (_, None) if tcp => Place::Tcp("localhost".into(), port.unwrap_or(PORT)),
        (Some(socket), _) => Place::Socket(socket.into()),
        (None, _) => {
            let found = SOCKETS.iter().find(|s| Path::new(s).exists());
            Place::Socket(found.unwrap_or(&SOCKETS[0]).into())
        }
    }
}

fn tls_of(given: &dyn Fn(&str) -> Option<String>, file: &BTreeMap<String, String>) -> Option<Tls> {
    let names = ["ssl-ca", "ssl-cert", "ssl-key", "ssl-verify-server-cert"];
    names.iter().any(|n| file.contains_key(*n)).then(|| Tls {
        ca: given("ssl-ca"),
        cert: given("ssl-cert"),
        key: given("ssl-key"),
        verify_host: file
            .get("ssl-verify-server-cert")
            .is_some_and(|v| !["0", "off", "false", "OFF"].contains(&v.as_str())),
    })
}

/// The account that a client takes by itself.
fn own_name(cx: &Context) -> String {
    let named = |key: &str| {
        let mut env = cx.env.iter().rev();
        env.find(|(k, _)| k == key).map(|(_, v)| v.clone())
    };
    if rustix::process::geteuid().is_root() {
        return "root".into();
    }
    named("USER")
        .or_else(|| named("LOGNAME"))
        .unwrap_or_else(|| "root".into())
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Socket(PathBuf),
    Tcp(String, u16),
}

/// What is needed to connect. It holds a password: it is never recorded, and shows none.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    place: Place,
    user: String,
    password: Option<String>,
    tls: Option<Tls>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// `user at place`.
impl std::fmt::Display for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.place {
            Place::Socket(path) => write!(f, "{} at {}", self.user, path.display()),
            Place::Tcp(host, port) => write!(f, "{} at {host}:{port}", self.user),
        }
    }
}

impl Login {
    /// The options of a session.
    pub(super) fn options(&self, database: Option<&str>) -> MySqlConnectOptions {
        // The session is left as the server gives it, so that what is asked is what the application would see. A slow
        // statement is no event of the log: it may hold row data.
        let mut options = MySqlConnectOptions::new()
            .username(&self.user)
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(None)
            .statement_cache_capacity(0)
            .disable_statement_logging();
        if let Some(password) = &self.password {
            options = options.password(password);
        }
        if let Some(database) = database {
            options = options.database(database);
        }
        options = match &self.place {
            Place::Socket(path) => options.socket(path),
            Place::Tcp(host, port) => options.host(host).port(*port),
        };
        let Some(tls) = &self.tls else {
            return match &self.place {
                Place::Socket(_) => options.ssl_mode(MySqlSslMode::Disabled),
                Place::Tcp(..) => options.ssl_mode(MySqlSslMode::Preferred),
            };
        };
        options = options.ssl_mode(match tls.verify_host {
            true => MySqlSslMode::VerifyIdentity,
            false => MySqlSslMode::VerifyCa,
        });
        if let Some(ca) = &tls.ca {
            options = options.ssl_ca(ca);
        }
        if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
            options = options.ssl_client_cert(cert).ssl_client_key(key);
        }
        options
    }

    /// The option file of a client program; `mariadb` says whose program it is.
    pub(super) fn option_file(&self, mariadb: bool) -> String {
        let mut options = vec![("user", self.user.clone())];
        if let Some(password) = &self.password {
            options.push(("password", password.clone()));
        }
        match &self.place {
            Place::Socket(path) => {
                options.push(("protocol", "socket".into()));
                options.push(("socket", path.display().to_string()));
            }
            Place::Tcp(host, port) => {
                options.push(("protocol", "tcp".into()));
                options.push(("host", host.clone()));
                options.push(("port", port.to_string()));
            }
        }
        let Some(tls) = &self.tls else {
            return option_file::written(&options);
        };
        let files = [
            ("ssl-ca", &tls.ca),
            ("ssl-cert", &tls.cert),
            ("ssl-key", &tls.key),
        ];
        for (name, path) in files {
            options.extend(path.iter().map(|path| (name, path.clone())));
        }
        let mode = match (mariadb, tls.verify_host) {
            (true, true) => ("ssl-verify-server-cert", "1"),
            (true, false) => ("ssl", "1"),
            (false, true) => ("ssl-mode", "VERIFY_IDENTITY"),
            (false, false) => ("ssl-mode", "VERIFY_CA"),
        };
        options.push((mode.0, mode.1.to_owned()));
        option_file::written(&options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(yaml: serde_json::Value) -> Server {
        serde_json::from_value(yaml).unwrap()
    }

    fn context() -> Context {
        Context {
            secrets: vec![("db".into(), "s3cret-word".into())],
            ..Context::default()
        }
    }

    #[test]
    fn settings_go_before_the_option_file_and_no_password_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("my.cnf");
        std::fs::write(&file, "[client]\nuser=a\npassword=pw\nhost=db\nport=3307\n").unwrap();
        let file = file.to_str().unwrap();
        let login = |value| server(value).login(&context()).unwrap();
        let one = login(serde_json::json!({"defaults_file": file}));
        assert_eq!(format!("{one:?}"), "a at db:3307");
        assert_eq!(one.password.as_deref(), Some("pw"));
        let other = login(serde_json::json!({
            "defaults_file": file, "socket": "/s", "user": "u", "password": {"secret": "db"}
        }));
        assert_eq!(other.to_string(), "u at /s");
        assert_eq!(other.password.as_deref(), Some("s3cret-word"));
    }

    #[test]
    fn what_excludes_or_lacks_something_is_a_problem() {
        let problems = |value| server(value).problems("server").join("\n");
        assert_eq!(problems(serde_json::json!({"socket": "/s"})), "");
        assert!(problems(serde_json::json!({})).contains("`server.socket`"));
        assert!(problems(serde_json::json!({"socket": "s"})).contains("absolute"));
        let both = problems(serde_json::json!({"socket": "/s", "host": "h"}));
        assert!(both.contains("mutually exclusive"), "{both}");
        let half = problems(serde_json::json!({"host": "h", "tls": {"cert": "/c"}}));
        assert!(half.contains("`server.tls.key`"), "{half}");
    }
}
