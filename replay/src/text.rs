//! An event out of its text: the kind, and the JSON of its data, as they were recorded.
//!
//! Invariant: what is an event here is what serde reads as one; the text goes straight into the type, because a tree of
//! values in between is ten times as large. Left out: the text itself, which whoever records makes.

use crate::event::Event;
use serde::Deserialize;
use serde::de::value::{BorrowedStrDeserializer, MapAccessDeserializer};
use serde::de::{DeserializeSeed, MapAccess};

impl Event {
    /// The event of that kind and data.
    ///
    /// # Errors
    /// For a kind or a shape that this version does not know.
    pub fn read(kind: &str, data: &str) -> Result<Self, serde_json::Error> {
        let tagged = Tagged {
            kind: Some(kind),
            data: Some(data),
        };
        Self::deserialize(MapAccessDeserializer::new(tagged))
    }
}

/// Kind and text as the object that [`Event`] is written as. The kind comes first, so that what follows is read straight
/// into its type.
struct Tagged<'a> {
    kind: Option<&'a str>,
    data: Option<&'a str>,
}

impl<'de> MapAccess<'de> for Tagged<'de> {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Self::Error> {
        let key = match (self.kind, self.data) {
            (Some(_), _) => "kind",
            (None, Some(_)) => "data",
            (None, None) => return Ok(None),
        };
        seed.deserialize(BorrowedStrDeserializer::new(key))
            .map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, Self::Error> {
        if let Some(kind) = self.kind.take() {
            return seed.deserialize(BorrowedStrDeserializer::new(kind));
        }
        let mut text = serde_json::Deserializer::from_str(self.data.take().unwrap_or("null"));
        let value = seed.deserialize(&mut text)?;
        text.end()?;
        Ok(value)
    }
}
