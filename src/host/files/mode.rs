//! A file's mode, as plans write it: octal digits, always text, because `0640` is one number to YAML 1.1 and another to
//! YAML 1.2.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Permission bits, up to 7777.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(u32);

impl Mode {
    /// The permission bits of a file's `st_mode`.
    #[must_use]
    pub fn of(st_mode: u32) -> Self {
        Self(st_mode & 0o7777)
    }

    /// As `chmod` takes them.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }
}

/// A text that is no mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a mode is three or four octal digits, such as \"0640\"")]
pub struct NotAMode;

impl FromStr for Mode {
    type Err = NotAMode;

    fn from_str(text: &str) -> Result<Self, NotAMode> {
        let octal = text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        if !octal || !(3..=4).contains(&text.len()) {
            return Err(NotAMode);
        }
        u32::from_str_radix(text, 8).map(Self).map_err(|_| NotAMode)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl JsonSchema for Mode {
    fn schema_name() -> Cow<'static, str> {
        "Mode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A file's mode in octal digits, in quotes: \"0640\".",
            "pattern": r"^[0-7]{3,4}$|\$\{"
        })
    }
}
