//! Where packages come from, and how pip learns the credentials: never by an argument.
//!
//! Invariants: a URL with credentials comes only from a secret. Its credentials are taken out of it and given to pip as
//! a netrc file that exists in memory alone: pip hands the URL of the index to the pips that it starts itself *as an
//! argument*, which every user of the machine can read, but not a netrc file.
//!
//! Left out: pip before version 20, which does not look at NETRC.

use crate::action::values::Secret;
use crate::action::{Context, Error};
use crate::system::proc;
use rustix::fs::{MemfdFlags, Mode, fchmod, memfd_create};
use schemars::JsonSchema;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::process::{Child, Command, Stdio};

/// The URL of an index: text, or a secret where it has credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Index {
    /// A URL without credentials.
    Text(String),
    /// A URL that may have some.
    Secret(Secret),
}

impl<'de> Deserialize<'de> for Index {
    // Not derived: a value that is neither is to be told what it may be.
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Index;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(crate::actions::http::Header::WANTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Index, E> {
                Ok(Index::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Index, A::Error> {
                Secret::deserialize(de::value::MapAccessDeserializer::new(map)).map(Index::Secret)
            }
        }
        d.deserialize_any(TextVisitor)
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(url) => f.write_str(url),
            Self::Secret(s) => write!(f, "the URL in the secret {}", s.secret),
        }
    }
}

/// A URL's parts: all but the credentials, the host, and `user:password` as written.
fn parts(url: &str) -> Option<(String, String, Option<String>)> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (credentials, place) = match authority.rsplit_once('@') {
        Some((credentials, place)) => (Some(credentials.to_owned()), place),
        None => (None, authority),
    };
    let host = match place.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => place,
    };
    Some((
        format!("{scheme}://{place}{path}"),
        host.to_owned(),
        credentials,
    ))
}

/// Whether a URL is one that a plan may hold, and not more than that.
pub(super) fn has_credentials(url: &str) -> bool {
    parts(url).is_some_and(|(_, _, credentials)| credentials.is_some())
}

/// Whether pip can get packages there.
pub(super) fn is_url(url: &str) -> bool {
    let known = ["https://", "http://", "file://"];
    known.iter().any(|s| url.starts_with(s)) && parts(url).is_some()
}

/// Without percent signs.
pub(super) fn decoded(text: &str) -> Option<String> {
    let (mut out, mut bytes) = (Vec::new(), text.bytes());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let pair = [bytes.next()?, bytes.next()?];
            out.push(u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

/// What the environment of pip has to hold, and what must live as long as pip does.
#[derive(Default)]
pub(super) struct Access {
    pub(super) env: Vec<(String, String)>,
    _netrc: Option<Shown>,
}

/// A file that exists in memory alone, under a name by which others of this user can open it. This process shows its
/// open files to nobody, because it holds secrets; a program that has read nothing does it instead, and ends with us.
struct Shown {
    by: Child,
    path: String,
}

impl Shown {
    fn new(file: File) -> std::io::Result<Self> {
        // `cat` waits for input that never comes.
        let by = Command::new("cat")
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(file)
            .stderr(Stdio::null())
            .spawn()?;
        let path = proc::standard_output(by.id());
        Ok(Self { by, path })
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        drop(self.by.stdin.take());
        // It ends with its input; there is nothing to be done for one that does not.
        let _ = self.by.wait();
    }
}

/// The way to the index.
pub(super) fn access(cx: &Context, index: Option<&Index>) -> Result<Access, Error> {
    let url = match index {
        None => return Ok(Access::default()),
        Some(Index::Text(url)) => url.as_str(),
        Some(Index::Secret(s)) => cx.secret(&s.secret)?.trim(),
    };
    // Never the URL itself in a reason.
    let (bare, host, credentials) = parts(url)
        .filter(|_| is_url(url))
        .ok_or_else(|| Error::new("`index` is not a URL that pip can use"))?;
    let mut access = Access {
        env: vec![("PIP_INDEX_URL".into(), bare)],
        _netrc: None,
    };
    let Some(credentials) = credentials else {
        return Ok(access);
    };
    let (user, password) = credentials.split_once(':').unwrap_or((&credentials, ""));
    let plain = |text: &str| {
        decoded(text).filter(|t| {
            !t.is_empty()
                && !t.starts_with('\'')
                && !t.contains(|c: char| c.is_whitespace() || c.is_control() || "\"\\".contains(c))
        })
    };
    let (Some(user), Some(password)) = (plain(user), plain(password)) else {
        return Err(Error::new(
            "the credentials of `index` are not a user and a password, or contain a space, a quote or a backslash, which cannot be \
             passed to pip",
        ));
    };
    let wrong = |e: &dyn std::error::Error| Error::io("the credentials cannot be passed to pip", e);
    let memory = memfd_create("netrc", MemfdFlags::CLOEXEC).map_err(|e| wrong(&e))?;
    fchmod(&memory, Mode::RUSR | Mode::WUSR).map_err(|e| wrong(&e))?;
    let mut file = File::from(memory);
    writeln!(file, "machine {host} login {user} password {password}").map_err(|e| wrong(&e))?;
    let shown = Shown::new(file).map_err(|e| wrong(&e))?;
    access.env.push(("NETRC".into(), shown.path.clone()));
    access._netrc = Some(shown);
    Ok(access)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_leave_the_url_and_go_into_memory() {
        let cx = |url: &str| Context {
            secrets: vec![("pypi".into(), url.into())],
            ..Context::default()
        };
        let secret = Index::Secret(Secret {
            secret: "pypi".into(),
        });
        let seen = access(
            &cx("https://joe:p%40ss%23@pypi.example:8443/simple/"),
            Some(&secret),
        )
        .unwrap();
        assert_eq!(seen.env[0].1, "https://pypi.example:8443/simple/");
        let netrc = std::fs::read_to_string(&seen.env[1].1).unwrap();
        assert_eq!(netrc, "machine pypi.example login joe password p@ss#\n");
        for bad in [
            "https://joe:a%20b@h/",
            "https://joe:@h/",
            "https://joe:%zz@h/",
            "ftp://h/",
            "nonsense",
        ] {
            let why = access(&cx(bad), Some(&secret)).err().unwrap().to_string();
            assert!(!why.contains("joe"), "{why}");
        }
        assert!(has_credentials("https://a:b@h/") && !has_credentials("https://h/a@b"));
        assert!(is_url("file:///x") && !is_url("/x") && !is_url("git+https://h"));
    }
}
