//! `redis.expect`: keys, their type, value and time to live, the number of keys of a pattern, the role of the server, and
//! whether it saves.
//!
//! Keys that have expired and were not removed yet are counted by `DBSIZE` and stand in `INFO`; so what is counted here is
//! what `SCAN` returns, which is without them, and `DBSIZE` is an upper limit only.

use crate::action::Context;
use crate::action::Error;
use crate::actions::expect::{Count, Expectation, Finding};
use crate::host::redis::{Server, Session, keys, text_of};
use crate::text::redis as text;
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The longest value that is shown.
const SHOWN: usize = 60;

/// Expects keys of a Redis database, a role, or good saves. It changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The server, and how to log in. Default: 127.0.0.1:6379.
    #[serde(default)]
    pub server: Server,
    /// Keys by their names: `{"lock:job": {exists: false}}`. `{}` expects that the key exists.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<String, Key>,
    /// The number of keys that match a pattern: `{"session:*": {min: 1}}`. Expired keys are not counted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub count: BTreeMap<String, Count>,
    /// At most this number of keys in the database (`DBSIZE`, which counts expired keys, too).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_keys: Option<u64>,
    /// The role of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Its last save and its append-only file are ok, and its data is loaded. Default: not checked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub saves: bool,
    /// How long to wait for all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Length>,
}

/// What is expected of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Whether it exists. Default: true.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub exists: bool,
    /// Its type, such as `string`, `list`, `hash`, `set`, `zset` or `stream`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The value of a string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The number of members, or the bytes of a string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// Whether it has a time to live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<bool>,
    /// The least time that it has to live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ttl: Option<Length>,
    /// The longest time that it has to live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ttl: Option<Length>,
}

/// The role of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "RedisRole")]
pub enum Role {
    /// It takes writes.
    Master,
    /// It follows a master, and its link to it is up.
    Replica,
}

fn yes() -> bool {
    true
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Replica => "replica",
        }
    }
}

impl Key {
    /// Nothing but its existence is expected.
    fn compares(&self) -> bool {
        self.kind.is_some()
            || self.value.is_some()
            || self.length.is_some()
            || self.expires.is_some()
            || self.min_ttl.is_some()
            || self.max_ttl.is_some()
    }

    fn wanted(&self, name: &str) -> String {
        if !self.exists {
            return text::key_absent(name);
        }
        let mut parts: Vec<String> = Vec::new();
        parts.extend(self.kind.as_ref().map(text::of_type));
        parts.extend(self.value.as_ref().map(text::of_value));
        parts.extend(self.length.map(text::of_length));
        parts.extend(self.expires.map(|e| match e {
            true => text::with_ttl(),
            false => text::without_ttl(),
        }));
        parts.extend(self.min_ttl.map(text::ttl_at_least));
        parts.extend(self.max_ttl.map(text::ttl_at_most));
        match parts.is_empty() {
            true => text::key_exists(name),
            false => text::key_of(name, crate::text::parts(&parts)),
        }
    }

    /// What is there, and whether that is expected.
    fn see(&self, session: &mut Session, name: &str) -> Result<(bool, String), Error> {
        let key = name.as_bytes();
        let kind = keys::type_of(session, key)?;
        if kind == "none" {
            return Ok((!self.exists, format!("{name} does not exist")));
        }
        if !self.exists {
            return Ok((false, format!("{name} exists ({kind})")));
        }
        let (mut holds, mut saw) = (
            self.kind.as_ref().is_none_or(|k| *k == kind),
            vec![kind.clone()],
        );
        if let Some(wanted) = &self.value {
            match kind.as_str() {
                "string" => {
                    let value = session.ask(&[b"GET", key])?;
                    let value = text_of(&value).unwrap_or_default();
                    holds &= value == *wanted;
                    let short: String = value.chars().take(SHOWN).collect();
                    saw.push(format!("the value '{short}'"));
                }
                _ => holds = false,
            }
        }
        if let Some(wanted) = self.length {
            let command: &[u8] = match kind.as_str() {
                "list" => b"LLEN",
                "hash" => b"HLEN",
                "set" => b"SCARD",
                "zset" => b"ZCARD",
                "stream" => b"XLEN",
                _ => b"STRLEN",
            };
            let length = session.number(&[command, key])?;
            holds &= u64::try_from(length) == Ok(wanted);
            saw.push(format!("length {length}"));
        }
        if self.expires.is_some() || self.min_ttl.is_some() || self.max_ttl.is_some() {
            let left = session.number(&[b"PTTL", key])?;
            let ttl = u64::try_from(left).ok();
            holds &= self.expires.is_none_or(|e| e == ttl.is_some());
            // A key that never expires lives longer than any limit.
            holds &= self
                .min_ttl
                .is_none_or(|min| ttl.is_none_or(|ttl| ttl >= min.0));
            holds &= self
                .max_ttl
                .is_none_or(|max| ttl.is_some_and(|ttl| ttl <= max.0));
            saw.push(match ttl {
                Some(ttl) => format!("{} to live", Length(ttl)),
                None => "no time to live".into(),
            });
        }
        Ok((holds, format!("{name}: {}", saw.join(", "))))
    }
}

impl Expect {
    fn all(&self) -> Vec<String> {
        let mut wanted: Vec<String> = self
            .keys
            .iter()
            .map(|(name, key)| key.wanted(name))
            .collect();
        let counts = self.count.iter();
        wanted.extend(counts.map(|(pattern, count)| text::count(pattern, count.wanted())));
        wanted.extend(self.max_keys.map(text::keys_at_most));
        wanted.extend(self.role.map(|role| text::role_is(role.name())));
        wanted.extend(self.saves.then(text::saves_well));
        wanted
    }

    fn see_server(
        &self,
        session: &mut Session,
        see: &mut impl FnMut(bool, String),
    ) -> Result<(), Error> {
        if let Some(wanted) = self.role {
            let info = session.info()?;
            let identity = session.identity(info.as_ref())?;
            let is_replica = identity.is_replica();
            let link = info.as_ref().and_then(|i| i.get("master_link_status"));
            let up = !is_replica || link.is_none_or(|link| link == "up");
            let link = link.map_or_else(String::new, |link| {
                format!(", its link to the master is {link}")
            });
            let role = if is_replica {
                Role::Replica
            } else {
                Role::Master
            };
            see(role == wanted && up, format!("role {}{link}", role.name()));
        }
        if self.saves {
            let info = session.need_info()?;
            let field = |name: &str| info.get(name).unwrap_or("ok").to_owned();
            let (rdb, written) = (
                field("rdb_last_bgsave_status"),
                field("aof_last_write_status"),
            );
            let rewritten = field("aof_last_bgrewrite_status");
            let loading = info.is("loading");
            let ok = [&rdb, &written, &rewritten].iter().all(|s| *s == "ok") && !loading;
            let loading = if loading {
                ", it is loading its data"
            } else {
                ""
            };
            let saw = format!(
                "rdb_last_bgsave_status:{rdb}, aof_last_write_status:{written}, aof_last_bgrewrite_status:{rewritten}{loading}"
            );
            see(ok, saw);
        }
        Ok(())
    }
}

impl Expectation for Expect {
    fn wanted(&self) -> String {
        text::expected_of(
            self.server.shown(),
            self.server.db,
            crate::text::clauses(&self.all()),
        )
    }

    fn within(&self) -> Option<Length> {
        self.within
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong = self.server.problems();
        if self.all().is_empty() && self.count.is_empty() {
            wrong.push(text::nothing_expected());
        }
        for (name, key) in &self.keys {
            if !key.exists && key.compares() {
                wrong.push(text::absent_beside(name));
            }
        }
        for (pattern, count) in &self.count {
            wrong.extend(count.problem(&format!("count.{pattern}")));
        }
        wrong
    }

    fn see(&self, cx: &Context) -> Result<Finding, Error> {
        let mut session = Session::open(cx, &self.server)?;
        let mut finding = Finding {
            holds: true,
            saw: Vec::new(),
        };
        let mut see = |holds: bool, saw: String| {
            finding.holds &= holds;
            finding.saw.push(saw);
        };
        for (name, key) in &self.keys {
            let (holds, saw) = key.see(&mut session, name)?;
            see(holds, saw);
        }
        for (pattern, count) in &self.count {
            let found = keys::find(&mut session, std::slice::from_ref(pattern))?;
            let found = found.len() as u64;
            see(count.holds(found), format!("{found} keys match {pattern}"));
        }
        if let Some(most) = self.max_keys {
            let keys = session.number(&[b"DBSIZE"])?;
            let holds = u64::try_from(keys).is_ok_and(|keys| keys <= most);
            see(holds, format!("DBSIZE {keys}"));
        }
        self.see_server(&mut session, &mut see)?;
        Ok(finding)
    }
}
