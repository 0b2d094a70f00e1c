//! What several kinds of action share: a port, the rule for paths, how far two words are apart.
//!
//! Left out: lengths of time, which are `crate::time::Length`.

use crate::text::settings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::path::Path;

/// A TCP port. A variable that was put in is text, so digits in text are a port too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Port(pub u16);

impl Port {
    /// What it wants, in English: a runner that cannot read an action records it.
    pub(crate) const WANTED: &str = "a port from 1 to 65535";
    /// The same of a number that is none.
    pub(crate) const REFUSED: &str = "a port is a number from 1 to 65535";
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Seen;
        impl Visitor<'_> for Seen {
            type Value = Port;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Port::WANTED)
            }

            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Port, E> {
                match u16::try_from(n) {
                    Ok(port) if port > 0 => Ok(Port(port)),
                    Ok(_) | Err(_) => Err(E::custom(Port::REFUSED)),
                }
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Port, E> {
                // `+80` and `080` are numbers to a parser, and slips to a person.
                let plain = text.starts_with(|c: char| ('1'..='9').contains(&c));
                match text.parse() {
                    Ok(port) if plain => Ok(Port(port)),
                    Ok(_) | Err(_) => Err(E::custom(Port::REFUSED)),
                }
            }
        }
        d.deserialize_any(Seen)
    }
}

impl JsonSchema for Port {
    fn schema_name() -> Cow<'static, str> {
        "Port".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A TCP port, 1 to 65535.",
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 65535},
                {"type": "string", "pattern": r"^[0-9]+$|\$\{"}
            ]
        })
    }
}

/// The problem of a path that depends on where the program happens to be.
pub(crate) fn absolute(setting: &str, path: &str) -> Option<String> {
    (!Path::new(path).is_absolute()).then(|| settings::no_absolute(setting, path))
}

/// Edits, with a swap of neighbours as one, that lead from one word to the other; words of plans are short.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let differs = usize::from(a[i - 1] != b[j - 1]);
                let mut best = (rows[i - 1][j] + 1)
                    .min(rows[i][j - 1] + 1)
                    .min(rows[i - 1][j - 1] + differs);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_number_or_its_digits() {
        for good in ["8000", "\"8000\""] {
            assert_eq!(serde_json::from_str::<Port>(good).unwrap(), Port(8000));
        }
        for bad in [
            "0", "65536", "\"\"", "\"+80\"", "\"080\"", "\"http\"", "-1", "[80]",
        ] {
            assert!(serde_json::from_str::<Port>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_relative_path_is_a_problem() {
        assert_eq!(absolute("log", "/var/log/x"), None);
        assert!(absolute("log", "x.log").unwrap().contains("`log`"));
    }
}
