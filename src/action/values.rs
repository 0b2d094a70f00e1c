//! What several kinds of action share: a port, a secret's name, the rule for paths, how far two words are apart.
//!
//! Left out: lengths of time, which have a module of their own.

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
        struct TextVisitor;
        impl Visitor<'_> for TextVisitor {
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
        d.deserialize_any(TextVisitor)
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

/// An amount of bytes with its unit: `500MiB`, `10GiB`. A bare number is refused, because nobody knows its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// What it wants, in English: a runner that cannot read an action records it.
    pub(crate) const WANTED: &str = "a size needs a unit, such as 500MiB or 10GiB";
    const UNITS: [(&str, u32); 5] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, bits): &&(&str, u32)| self.0 > 0 && self.0.trailing_zeros() >= *bits;
        let (unit, bits) = Self::UNITS.iter().find(whole).unwrap_or(&("B", 0));
        write!(f, "{}{unit}", self.0 >> bits)
    }
}

impl Serialize for Size {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let read = || {
            let digits = text.find(|c: char| !c.is_ascii_digit())?;
            let (number, unit) = text.split_at(digits);
            let (_, bits) = Self::UNITS.iter().find(|(u, _)| *u == unit)?;
            number.parse::<u64>().ok()?.checked_mul(1 << bits)
        };
        read()
            .map(Self)
            .ok_or_else(|| de::Error::custom(Self::WANTED))
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A number of bytes with a unit: 500MiB, 10GiB.",
            "pattern": r"^[0-9]+(B|KiB|MiB|GiB|TiB)$|\$\{"
        })
    }
}

/// A secret by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// Its name in `secrets:`.
    pub secret: String,
}

/// The problem of a path that depends on where the program happens to be.
pub(crate) fn absolute(setting: &str, path: &str) -> Option<String> {
    // A variable that does not exist is told as such.
    (!Path::new(path).is_absolute() && !path.starts_with("${"))
        .then(|| settings::no_absolute(setting, path))
}

const ANYWHERE: [&str; 3] = ["password", "passwd", "passphrase"];
const AT_THE_END: [&str; 12] = [
    "token",
    "secret",
    "api_key",
    "apikey",
    "private_key",
    "secret_key",
    "access_key",
    "_pwd",
    "_pw",
    "_pass",
    "credential",
    "credentials",
];
/// Keys that match only as a whole word, because `PWD` is the shell's directory and `pass` may be a counter in a script.
const ALONE: [&str; 1] = ["pw"];
/// A key that ends so is about a secret, and does not hold one.
const ABOUT: [&str; 18] = [
    "file", "path", "dir", "env", "name", "id", "ttl", "length", "policy", "prompt", "timeout",
    "url", "uri", "field", "column", "stdin", "command", "hint",
];

/// Whether a key by that name holds a secret.
pub(crate) fn holds_secret(key: &str) -> bool {
    let key = key
        .trim_start_matches('-')
        .to_ascii_lowercase()
        .replace(['-', '.'], "_");
    if ABOUT
        .iter()
        .any(|w| key.strip_suffix(w).is_some_and(|k| k.ends_with('_')))
    {
        return false;
    }
    ANYWHERE.iter().any(|w| key.contains(w))
        || AT_THE_END.iter().any(|w| key.ends_with(w))
        || ALONE.contains(&key.as_str())
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
    fn a_size_has_a_unit() {
        for (text, bytes) in [
            ("0B", 0),
            ("512B", 512),
            ("500MiB", 500 << 20),
            ("10GiB", 10 << 30),
        ] {
            let size: Size = serde_json::from_str(&format!("\"{text}\"")).unwrap();
            assert_eq!((size.0, size.to_string()), (bytes, text.to_owned()));
        }
        for bad in [
            "\"10\"",
            "\"GiB\"",
            "10",
            "\"-1B\"",
            "\"1.5GiB\"",
            "\"99999999TiB\"",
        ] {
            assert!(serde_json::from_str::<Size>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_relative_path_is_a_problem() {
        assert_eq!(absolute("log", "/var/log/x"), None);
        assert!(absolute("log", "x.log").unwrap().contains("`log`"));
    }
}
