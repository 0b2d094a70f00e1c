//! What a server says of itself: `INFO`, and `HELLO` where `INFO` is not permitted.

use super::{Session, text_of};
use crate::action::Error;
use redis::Value;
use std::collections::BTreeMap;

/// The fields of `INFO`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Info(BTreeMap<String, String>);

/// One database of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Database {
    /// Its number.
    pub(crate) db: u32,
    /// Its keys, those included that have expired and were not removed yet.
    pub(crate) keys: u64,
    /// Those with a time to live.
    pub(crate) expires: u64,
}

/// A replica, as its master knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replica {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// `online`, or how far it is on its way to that.
    pub(crate) state: String,
}

impl std::fmt::Display for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{} ({})", self.host, self.port, self.state)
    }
}

impl Replica {
    /// All of them for people.
    pub(crate) fn shown(all: &[Self]) -> String {
        let all: Vec<String> = all.iter().map(Self::to_string).collect();
        all.join(", ")
    }
}

/// What a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Its version.
    pub(crate) version: String,
    /// `master` or `slave`.
    pub(crate) role: String,
    /// It is a node of a cluster.
    pub(crate) cluster: bool,
    /// It is a sentinel.
    pub(crate) sentinel: bool,
}

impl Identity {
    /// It takes what its master sends.
    pub(crate) fn is_replica(&self) -> bool {
        matches!(self.role.as_str(), "slave" | "replica")
    }

    /// The first number of its version.
    pub(crate) fn major(&self) -> u32 {
        let first = self.version.split('.').next();
        first.and_then(|n| n.parse().ok()).unwrap_or(0)
    }
}

impl Info {
    fn parse(text: &str) -> Self {
        let fields = text
            .lines()
            .filter_map(|line| line.trim_end().split_once(':'));
        Self(
            fields
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        )
    }

    /// A field; none where this version of the server has none.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A field that is a number.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.get(name)?.parse().ok()
    }

    /// A field that is 1.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.get(name) == Some("1")
    }

    /// What the server is.
    pub(crate) fn identity(&self) -> Identity {
        let text = |name| self.get(name).unwrap_or_default().to_owned();
        Identity {
            version: text("redis_version"),
            role: text("role"),
            cluster: self.is("cluster_enabled") || self.get("redis_mode") == Some("cluster"),
            sentinel: self.get("redis_mode") == Some("sentinel"),
        }
    }

    /// The databases that hold keys.
    pub(crate) fn databases(&self) -> Vec<Database> {
        let mut found: Vec<Database> = self
            .0
            .iter()
            .filter_map(|(name, value)| {
                let mut fields = value.split(',').filter_map(|f| f.split_once('='));
                let mut number = |wanted: &str| {
                    let found = fields.find(|(name, _)| *name == wanted);
                    found.and_then(|(_, n)| n.parse().ok())
                };
                Some(Database {
                    db: name.strip_prefix("db")?.parse().ok()?,
                    keys: number("keys")?,
                    expires: number("expires")?,
                })
            })
            .collect();
        found.sort_by_key(|d| d.db);
        found
    }

    /// The databases for people: `db0: 12 keys, db5: 3 keys`.
    pub(crate) fn shown(&self) -> String {
        shown(&self.databases())
    }

    /// Its master, for people.
    pub(crate) fn master(&self) -> String {
        let part = |name| self.get(name).unwrap_or("?");
        format!("{}:{}", part("master_host"), part("master_port"))
    }

    /// Its replicas, as it knows them.
    pub(crate) fn replicas(&self) -> Vec<Replica> {
        let lines = self.0.iter().filter(|(name, _)| {
            let number = name.strip_prefix("slave").map(str::parse::<u32>);
            matches!(number, Some(Ok(_)))
        });
        let of = |line: &str| {
            let part = |wanted: &str| {
                let mut fields = line.split(',').filter_map(|f| f.split_once('='));
                fields.find(|(n, _)| *n == wanted).map(|(_, v)| v)
            };
            Some(Replica {
                host: part("ip")?.to_owned(),
                port: part("port")?.parse().ok()?,
                state: part("state")?.to_owned(),
            })
        };
        lines.filter_map(|(_, line)| of(line)).collect()
    }
}

/// Databases for people.
pub(crate) fn shown(databases: &[Database]) -> String {
    let all: Vec<String> = databases
        .iter()
        .map(|d| format!("db{}: {} keys", d.db, d.keys))
        .collect();
    match all.is_empty() {
        true => "no keys".into(),
        false => all.join(", "),
    }
}

impl Session {
    /// What the server says of itself; none where this user may not ask.
    ///
    /// # Errors
    /// [`Error`] when nothing comes, or another refusal.
    pub(crate) fn info(&mut self) -> Result<Option<Info>, Error> {
        match self.reply(&[b"INFO"])? {
            Ok(value) => {
                let text = text_of(&value).ok_or_else(|| self.unexpected("INFO"))?;
                Ok(Some(Info::parse(&text)))
            }
            Err(refused) if refused.is_not_permitted() || refused.is_unknown() => Ok(None),
            Err(refused) => Err(self.refused("INFO", &refused)),
        }
    }

    /// The same where nothing can be done without.
    ///
    /// # Errors
    /// [`Error`] when this user may not ask, too.
    pub(crate) fn need_info(&mut self) -> Result<Info, Error> {
        let value = self.ask(&[b"INFO"])?;
        let text = text_of(&value).ok_or_else(|| self.unexpected("INFO"))?;
        Ok(Info::parse(&text))
    }

    /// What the server is, by `INFO` where that was permitted, else by `HELLO`.
    ///
    /// # Errors
    /// [`Error`] when neither is permitted.
    pub(crate) fn identity(&mut self, info: Option<&Info>) -> Result<Identity, Error> {
        if let Some(info) = info {
            return Ok(info.identity());
        }
        let value = self.ask(&[b"HELLO", b"2"])?;
        let words = value.as_sequence().unwrap_or_default();
        let field = |wanted: &str| {
            let at = words.chunks_exact(2).find_map(|pair| match pair {
                [name, value] if text_of(name).as_deref() == Some(wanted) => text_of(value),
                _ => None,
            });
            at.unwrap_or_default()
        };
        let mode = field("mode");
        Ok(Identity {
            version: field("version"),
            role: field("role"),
            cluster: mode == "cluster",
            sentinel: mode == "sentinel",
        })
    }

    /// Refuses a server that holds a part of the data only, or none.
    ///
    /// # Errors
    /// [`Error`] that names the nodes and their slots.
    pub(crate) fn refuse_parts(&mut self, identity: &Identity) -> Result<(), Error> {
        if identity.sentinel {
            let what = format!("{} is a sentinel, which holds no data", self.shown());
            return Err(Error::new(what).remedy("name the master in `server`"));
        }
        if !identity.cluster {
            return Ok(());
        }
        let nodes = match self.reply(&[b"CLUSTER", b"NODES"])? {
            Ok(value) => masters(&text_of(&value).unwrap_or_default()),
            Err(refused) => format!("the nodes cannot be listed: {refused}"),
        };
        let what = format!(
            "Redis {} is one node of a cluster and holds a part of the keys only ({nodes})",
            self.shown()
        );
        Err(Error::new(what)
            .remedy("back up and restore a cluster with its own tools, on all masters")
            .lasting())
    }

    /// A field of the configuration; none where that cannot be asked.
    ///
    /// # Errors
    /// [`Error`] when nothing comes.
    pub(crate) fn config(&mut self, name: &str) -> Result<Option<String>, Error> {
        let Ok(value) = self.reply(&[b"CONFIG", b"GET", name.as_bytes()])? else {
            return Ok(None);
        };
        Ok(match value.as_sequence() {
            Some([_, value]) => text_of(value),
            _ => match value {
                Value::Map(pairs) => pairs.first().and_then(|(_, value)| text_of(value)),
                _ => None,
            },
        })
    }
}

/// The masters of a cluster and their slots, from `CLUSTER NODES`.
fn masters(nodes: &str) -> String {
    let lines = nodes.lines().filter_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let flags = words.get(2)?;
        let address = words.get(1)?.split(['@', ',']).next()?;
        let slots = words.get(8..).unwrap_or_default().join(" ");
        flags
            .contains("master")
            .then(|| format!("{address}: slots {slots}"))
    });
    let all: Vec<String> = lines.collect();
    match all.is_empty() {
        true => "no node is known".into(),
        false => all.join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n# Replication\r\nrole:master\r\n\
        slave0:ip=10.0.0.2,port=6379,state=online,offset=14,lag=0\r\nslave_read_only:1\r\n# Cluster\r\ncluster_enabled:0\r\n\
        # Keyspace\r\ndb5:keys=3,expires=1,avg_ttl=0\r\ndb0:keys=12,expires=0,avg_ttl=0\r\n";

    #[test]
    fn a_server_is_known_by_what_it_says() {
        let info = Info::parse(INFO);
        let identity = info.identity();
        assert_eq!((identity.major(), identity.is_replica()), (7, false));
        assert!(!identity.cluster && !identity.sentinel);
        assert_eq!(info.shown(), "db0: 12 keys, db5: 3 keys");
        assert_eq!(info.databases()[1].expires, 1);
        assert_eq!(Replica::shown(&info.replicas()), "10.0.0.2:6379 (online)");
    }

    #[test]
    fn masters_of_a_cluster_are_named_with_their_slots() {
        let nodes = "a1 127.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-8191\n\
            b2 127.0.0.1:7001@17001,host master - 0 0 2 connected 8192-16383\n\
            c3 127.0.0.1:7002@17002 slave a1 0 0 1 connected\n";
        let shown = masters(nodes);
        assert_eq!(
            shown,
            "127.0.0.1:7000: slots 0-8191; 127.0.0.1:7001: slots 8192-16383"
        );
    }
}
