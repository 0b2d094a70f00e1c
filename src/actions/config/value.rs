//! What an edit of a configuration file is in a plan: its key, its value and its type.

use super::tree::{Kind, Scalar};
use crate::action::{Context, Error};
use crate::actions::http::Secret;
use crate::text::settings as text;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// The largest whole number that all JSON readers agree on.
const EXACT: i64 = 1 << 53;

/// A key of a configuration file: `db.host`, or the list `[db, host]` where a part of it contains a dot. Items of lists have
/// their numbers, from 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Key {
    /// With dots between its parts.
    Text(String),
    /// Its parts.
    Parts(Vec<String>),
}

impl Key {
    /// What it wants, in English: a runner that cannot read an action records it.
    pub(crate) const WANTED: &str = "a key such as db.host, or the list [db, host]";

    /// For people.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Parts(parts) => parts.join("."),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.split('.').any(str::is_empty),
            Self::Parts(parts) => parts.is_empty() || parts.iter().any(String::is_empty),
        }
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Key::WANTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Key, E> {
                Ok(Key::Text(text.to_owned()))
            }

            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Key, E> {
                Ok(Key::Text(n.to_string()))
            }

            fn visit_bool<E: de::Error>(self, b: bool) -> Result<Key, E> {
                Ok(Key::Text(b.to_string()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Key, A::Error> {
                let mut parts = Vec::new();
                while let Some(part) = seq.next_element::<Part>()? {
                    parts.push(part.0);
                }
                Ok(Key::Parts(parts))
            }
        }
        d.deserialize_any(Read)
    }
}

/// A part of a key: text, or the number of an item.
struct Part(String);

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d).map(Self)
    }
}

impl JsonSchema for Key {
    fn schema_name() -> Cow<'static, str> {
        "ConfigKey".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A key of a configuration file: `db.host`, or `[db, host]` where a part contains a dot.",
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1}
            ]
        })
    }
}

/// A value: text, a whole number, true, false, or a secret. A fraction is text with `type: number`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Given {
    /// Text.
    Text(String),
    /// A number.
    Number(i64),
    /// True or false.
    Bool(bool),
    /// A secret.
    Secret(Secret),
}

impl Given {
    /// What it wants, in English: a runner that cannot read an action records it.
    pub(crate) const WANTED: &str = "text, a whole number, true, false, or {secret: name}; a fraction is text with `type: number`";

    /// Its text, secrets put in.
    ///
    /// # Errors
    /// [`Error`] when the run has no such secret.
    pub(crate) fn text(&self, cx: &Context) -> Result<String, Error> {
        Ok(match self {
            Self::Text(text) => text.clone(),
            Self::Number(n) => n.to_string(),
            Self::Bool(b) => b.to_string(),
            Self::Secret(s) => cx.secret(&s.secret)?.to_owned(),
        })
    }

    /// For people.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(n) => n.to_string(),
            Self::Bool(b) => b.to_string(),
            Self::Secret(s) => format!("{{secret: {}}}", s.secret),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Text(_) | Self::Secret(_) => Kind::Text,
            Self::Number(_) => Kind::Number,
            Self::Bool(_) => Kind::Bool,
        }
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Given;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Given::WANTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Given, E> {
                Ok(Given::Text(text.to_owned()))
            }

            fn visit_i64<E: de::Error>(self, n: i64) -> Result<Given, E> {
                match (-EXACT..=EXACT).contains(&n) {
                    true => Ok(Given::Number(n)),
                    false => Err(E::custom(
                        "a whole number beyond 2^53 is written in quotes, with `type: number`",
                    )),
                }
            }

            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Given, E> {
                self.visit_i64(i64::try_from(n).unwrap_or(i64::MAX))
            }

            fn visit_bool<E: de::Error>(self, b: bool) -> Result<Given, E> {
                Ok(Given::Bool(b))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Given, A::Error> {
                Secret::deserialize(de::value::MapAccessDeserializer::new(map)).map(Given::Secret)
            }
        }
        d.deserialize_any(Read)
    }
}

impl JsonSchema for Given {
    fn schema_name() -> Cow<'static, str> {
        "ConfigValue".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let secret = generator.subschema_for::<Secret>();
        json_schema!({
            "description": "A value: text, a whole number, true, false, or a secret. A fraction is text with `type: number`.",
            "anyOf": [
                {"type": "string"},
                {"type": "integer"},
                {"type": "boolean"},
                secret
            ]
        })
    }
}

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    /// A string.
    String,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// Null; in Python `None`.
    Null,
}

impl Type {
    fn kind(self) -> Kind {
        match self {
            Self::String => Kind::Text,
            Self::Number => Kind::Number,
            Self::Boolean => Kind::Bool,
            Self::Null => Kind::Null,
        }
    }
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ConfigChange")]
pub struct Change {
    /// The key: `db.host`, or `[db, host]` where a part of it contains a dot. In a `.env` file and a Python module it is the
    /// name; in an INI file the section and the name.
    pub key: Key,
    /// The new value. A secret is `{secret: name}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Given>,
    /// Its type. Default: that of `value` as it is written in the plan, and the step is refused where the file has another.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub as_type: Option<Type>,
    /// Remove the key; if it is not there, it is already removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remove: bool,
    /// What to do when the key is not there. Default: the step is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<Absent>,
    /// With `absent: create`, the neighbour behind which the key is added: a key of the same table or section. Default: it is
    /// added behind the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The same for a neighbour before which it is added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What to do when the key is there more than once. Default: the step is refused, with their lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicates: Option<Duplicates>,
}

/// What to do when a key is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ConfigAbsent")]
pub enum Absent {
    /// It is added, at the end of the table or section that it belongs to.
    Create,
    /// The step is refused.
    Refuse,
}

/// What to do when a key is there more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Duplicates {
    /// Each is changed.
    All,
    /// The last one is changed, which most readers take.
    Last,
}

impl Change {
    /// One that only says what is wanted.
    pub(super) fn wants(key: Key, value: Given, as_type: Option<Type>) -> Self {
        Self {
            key,
            value: Some(value),
            as_type,
            remove: false,
            absent: None,
            after: None,
            before: None,
            duplicates: None,
        }
    }

    /// The neighbour of a new key, and whether the key comes behind it.
    pub(super) fn neighbour(&self) -> Option<(&str, bool)> {
        match (&self.after, &self.before) {
            (Some(key), _) => Some((key, true)),
            (None, Some(key)) => Some((key, false)),
            (None, None) => None,
        }
    }

    /// What is wrong with its settings.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.key.is_empty() {
            wrong.push(text::empty("key"));
        }
        match (&self.value, self.remove) {
            (Some(_), true) => wrong.push(text::exclude("value", "remove")),
            (None, false) if self.as_type != Some(Type::Null) => {
                wrong.push(text::missing("value", "remove"));
            }
            _ => {}
        }
        if self.remove && self.absent.is_some() {
            wrong.push(text::absent_beside_remove());
        }
        match (&self.after, &self.before) {
            (Some(_), Some(_)) => wrong.push(text::exclude("after", "before")),
            (None, None) => {}
            _ if self.absent == Some(Absent::Create) => {}
            (Some(_), None) => wrong.push(text::needs("after", "absent: create")),
            (None, Some(_)) => wrong.push(text::needs("before", "absent: create")),
        }
        let number = |t: &str| t.parse::<f64>().is_ok_and(f64::is_finite);
        match (self.as_type, &self.value) {
            (Some(Type::Number), Some(Given::Text(t))) if !number(t) => {
                wrong.push(text::no_such_type(t, "number"));
            }
            (Some(Type::Boolean), Some(Given::Text(t)))
                if !["true", "false"].contains(&t.as_str()) =>
            {
                wrong.push(text::no_such_type(t, "boolean"));
            }
            (Some(Type::Number), Some(Given::Bool(b))) => {
                wrong.push(text::no_such_type(b, "number"))
            }
            (Some(Type::Boolean), Some(Given::Number(n))) => {
                wrong.push(text::no_such_type(n, "boolean"));
            }
            (Some(Type::Null), Some(_)) => wrong.push(text::exclude("value", "type: null")),
            _ => {}
        }
        wrong
    }

    /// The value that is wanted; none where the key is removed.
    ///
    /// # Errors
    /// [`Error`] when the run has no such secret.
    pub(super) fn wanted(&self, cx: &Context) -> Result<Option<Scalar>, Error> {
        if self.remove {
            return Ok(None);
        }
        let Some(value) = &self.value else {
            return Ok(Some(Scalar {
                kind: Kind::Null,
                text: String::new(),
            }));
        };
        Ok(Some(Scalar {
            kind: self.as_type.map_or(value.kind(), Type::kind),
            text: value.text(cx)?,
        }))
    }
}
