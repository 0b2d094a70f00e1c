//! What the plan says of one action: its kind and its settings.
//!
//! Invariant: it is written as it always was, an object whose one key is the kind. Left out: what the settings mean.

use alloc::string::String;
use core::fmt;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// An action or a look of a resolved plan.
///
/// A [`Value`] of one key takes over 600 bytes for that key; a plan has up to 10,000 of them.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionSpec {
    /// Its kind, such as `file.line`.
    pub kind: String,
    /// Its settings.
    pub settings: Value,
}

impl ActionSpec {
    /// An action of that kind.
    #[must_use]
    pub fn new(kind: impl Into<String>, settings: Value) -> Self {
        Self {
            kind: kind.into(),
            settings,
        }
    }

    /// The action of an object whose one key is its kind; `None` of anything else.
    #[must_use]
    pub fn of(value: Value) -> Option<Self> {
        let Value::Object(map) = value else {
            return None;
        };
        let mut entries = map.into_iter();
        let (kind, settings) = entries.next()?;
        entries.next().is_none().then_some(Self { kind, settings })
    }

    /// The object whose one key is its kind.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let entry = (self.kind.clone(), self.settings.clone());
        Value::Object(Map::from_iter([entry]))
    }
}

impl Serialize for ActionSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(&self.kind, &self.settings)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for ActionSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneKey;

        impl<'de> Visitor<'de> for OneKey {
            type Value = ActionSpec;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an action: an object of one key, its kind")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ActionSpec, A::Error> {
                let (kind, settings) = map
                    .next_entry()?
                    .ok_or_else(|| A::Error::invalid_length(0, &self))?;
                if map.next_key::<String>()?.is_some() {
                    return Err(A::Error::invalid_length(2, &self));
                }
                Ok(ActionSpec { kind, settings })
            }
        }

        deserializer.deserialize_map(OneKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn it_is_an_object_of_one_key() {
        let value = json!({"file.line": {"path": "/f"}});
        let spec: ActionSpec = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(spec, ActionSpec::new("file.line", json!({"path": "/f"})));
        assert_eq!(serde_json::to_value(&spec).unwrap(), value);
        assert_eq!(spec.to_value(), value);
        assert_eq!(ActionSpec::of(value), Some(spec));
    }

    #[test]
    fn anything_else_is_none() {
        for value in [
            json!({}),
            json!({"a": 1, "b": 2}),
            json!([]),
            json!("a"),
            json!(null),
        ] {
            assert_eq!(ActionSpec::of(value.clone()), None, "{value}");
            assert!(serde_json::from_value::<ActionSpec>(value).is_err());
        }
    }
}
