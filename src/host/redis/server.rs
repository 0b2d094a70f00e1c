//! The setting `server`: which Redis server, and how to log in.

use crate::action::values::{Port, Secret, absolute};
use crate::text::redis as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The port of Redis.
const PORT: u16 = 6379;

/// A Redis server, and how to log in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RedisServer")]
pub struct Server {
    /// Its host. Default: 127.0.0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Its port. Default: 6379.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// Its Unix socket, as an absolute path, instead of `host` and `port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
    /// The ACL user. Default: the user `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The password, as `{secret: name}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// Connect with TLS. `{}` trusts the CA certificates of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// The number of the database. Default: 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub db: u32,
    /// What renamed commands are called on this server, by their usual names: `{BGSAVE: hidden_bgsave}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rename: BTreeMap<String, String>,
}

/// TLS to a Redis server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RedisTls")]
pub struct Tls {
    /// A file with the trusted CA certificates (PEM), instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// A file with the certificate of the client (PEM), with `key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<String>,
    /// A file with the key of that certificate (PEM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

fn is_zero(db: &u32) -> bool {
    *db == 0
}

impl Server {
    /// What is wrong with the settings, each in one line.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Some(socket) = &self.socket {
            wrong.extend(absolute("server.socket", socket));
            for (given, name) in [
                (self.host.is_some(), "server.host"),
                (self.port.is_some(), "server.port"),
                (self.tls.is_some(), "server.tls"),
            ] {
                if given {
                    wrong.push(crate::text::settings::exclude("server.socket", name));
                }
            }
        }
        if self.user.is_some() && self.password.is_none() {
            wrong.push(crate::text::settings::needs(
                "server.user",
                "server.password",
            ));
        }
        if let Some(tls) = &self.tls {
            for (name, file) in [
                ("server.tls.ca", &tls.ca),
                ("server.tls.cert", &tls.cert),
                ("server.tls.key", &tls.key),
            ] {
                wrong.extend(file.as_deref().and_then(|file| absolute(name, file)));
            }
            if tls.cert.is_some() != tls.key.is_some() {
                wrong.push(crate::text::settings::needs(
                    "server.tls.cert",
                    "server.tls.key",
                ));
            }
        }
        for (name, new) in &self.rename {
            let word = |w: &str| !w.is_empty() && w.chars().all(|c| c.is_ascii_graphic());
            if !word(name) || !word(new) {
                wrong.push(text::no_command(name, new));
            }
        }
        wrong
    }

    /// Host and port.
    pub(super) fn address(&self) -> (String, u16) {
        let host = self.host.clone();
        let host = host.unwrap_or_else(|| "127.0.0.1".into());
        (host, self.port.map_or(PORT, |p| p.0))
    }

    /// Where it is, for people.
    pub(crate) fn shown(&self) -> String {
        match &self.socket {
            Some(socket) => socket.clone(),
            None => {
                let (host, port) = self.address();
                format!("{host}:{port}")
            }
        }
    }

    /// What a command is called on this server.
    pub(super) fn name_of<'a>(&'a self, command: &'a str) -> &'a str {
        let mut renamed = self.rename.iter();
        let found = renamed.find(|(name, _)| name.eq_ignore_ascii_case(command));
        found.map_or(command, |(_, new)| new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Server {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_server_is_named_by_its_socket_or_by_host_and_port() {
        assert_eq!(read("{}").shown(), "127.0.0.1:6379");
        assert_eq!(read(r#"{"port": 7000, "db": 5}"#).shown(), "127.0.0.1:7000");
        assert_eq!(read(r#"{"socket": "/run/r"}"#).shown(), "/run/r");
        let both = read(r#"{"socket": "r", "host": "a", "tls": {"cert": "c"}}"#);
        let wrong = both.problems();
        assert_eq!(wrong.len(), 5, "{wrong:#?}");
        assert!(serde_json::from_str::<Server>(r#"{"prot": 1}"#).is_err());
    }

    #[test]
    fn a_renamed_command_is_called_by_its_new_name() {
        let server = read(r#"{"rename": {"BGSAVE": "hidden"}}"#);
        assert_eq!(server.name_of("bgsave"), "hidden");
        assert_eq!(server.name_of("SAVE"), "SAVE");
        assert!(server.problems().is_empty());
        let removed = read(r#"{"rename": {"CONFIG": ""}}"#);
        assert_eq!(removed.problems().len(), 1);
    }
}
