//! Values of a plan file that are written in more than one form: of the environment, and a working directory.

use crate::actions;
use crate::text::plan as say;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use std::fmt;
use upledger_replay::plan as resolved;

/// A value of the environment: text, a secret, or a fact of an earlier step.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(untagged, deny_unknown_fields)]
pub enum EnvValue {
    /// Text.
    Text(String),
    /// A secret of this plan.
    Secret {
        /// Its name.
        secret: String,
    },
    /// A fact of an earlier step.
    From {
        /// `step.fact`.
        from: String,
    },
}

/// A file of environment variables: its path, or a map.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(untagged, deny_unknown_fields)]
pub enum EnvFile {
    /// Its absolute path. It is read as systemd reads an `EnvironmentFile=`, and holds no secret.
    Path(String),
    /// Its path, and how it is read.
    File {
        /// Its absolute path.
        path: String,
        /// How it is written. Default: `systemd`.
        dialect: Option<Dialect>,
        /// The variables whose values are secrets: they are kept out of output and records, and nobody but its owner may
        /// be able to read the file. Default: none.
        secrets: Option<Vec<String>>,
    },
}

/// How a file of environment variables is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// As systemd reads an `EnvironmentFile=`: `NAME=value`, comments with `#` or `;`. A value may stand in single quotes,
    /// in which everything is literal, or in double quotes, in which a backslash before a double quote, a backslash, a
    /// backtick or a dollar sign is an escape. Outside of quotes a backslash takes the next character as it is, and one
    /// before a line break joins lines; a `#` behind a value is part of it. Nothing is expanded.
    Systemd,
    /// As python-dotenv reads a `.env`: `export` may stand before a name, ` #` begins a comment behind an unquoted value,
    /// and a backslash in double quotes is an escape, as in Python. A value with `${...}` outside of single quotes is
    /// refused, because nothing is expanded.
    Dotenv,
}

impl EnvFile {
    /// The path.
    pub(crate) fn path(&self) -> &str {
        match self {
            Self::Path(path) | Self::File { path, .. } => path,
        }
    }

    /// As it stands in a resolved plan.
    pub(crate) fn resolved(&self) -> resolved::EnvFile {
        let (dialect, secrets) = match self {
            Self::Path(_) => (None, None),
            Self::File {
                dialect, secrets, ..
            } => (*dialect, secrets.clone()),
        };
        resolved::EnvFile {
            path: self.path().to_owned(),
            dialect: match dialect {
                None | Some(Dialect::Systemd) => resolved::Dialect::Systemd,
                Some(Dialect::Dotenv) => resolved::Dialect::Dotenv,
            },
            secrets: secrets.unwrap_or_default(),
        }
    }
}

/// A working directory: a path, or a fact of an earlier step that is one.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(untagged, deny_unknown_fields)]
pub enum Cwd {
    /// An absolute path.
    Path(String),
    /// A fact of an earlier step.
    From {
        /// `step.fact`.
        from: String,
    },
}

impl<'de> Deserialize<'de> for EnvValue {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Reference {
            Secret(String),
            From(String),
        }
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = EnvValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&say::env_value())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<EnvValue, E> {
                Ok(EnvValue::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<EnvValue, A::Error> {
                Ok(
                    match Reference::deserialize(de::value::MapAccessDeserializer::new(map))? {
                        Reference::Secret(secret) => EnvValue::Secret { secret },
                        Reference::From(from) => EnvValue::From { from },
                    },
                )
            }
        }
        // As text, so that 4.10 keeps its zero; a map is still passed as a map.
        d.deserialize_string(Read)
    }
}

impl<'de> Deserialize<'de> for EnvFile {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            path: String,
            dialect: Option<Dialect>,
            secrets: Option<Vec<String>>,
        }
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = EnvFile;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&say::env_file_value())
            }

            fn visit_str<E: de::Error>(self, path: &str) -> Result<EnvFile, E> {
                Ok(EnvFile::Path(path.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<EnvFile, A::Error> {
                let read = Written::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(EnvFile::File {
                    path: read.path,
                    dialect: read.dialect,
                    secrets: read.secrets,
                })
            }
        }
        d.deserialize_string(Read)
    }
}

impl<'de> Deserialize<'de> for Cwd {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Cwd;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&say::cwd_value())
            }

            fn visit_str<E: de::Error>(self, path: &str) -> Result<Cwd, E> {
                Ok(Cwd::Path(path.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Cwd, A::Error> {
                let fact = actions::From::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Cwd::From { from: fact.from })
            }
        }
        d.deserialize_string(Read)
    }
}
