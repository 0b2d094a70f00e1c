//! Events as the ledger stores them: the text of an event, and the event of a text. Types and text meet without a tree of
//! values between them: a plan of 10,000 steps would be one of 30 MB.

use super::{Entry, JournalError};
use serde::Deserialize;
use serde::de::value::{BorrowedStrDeserializer, MapAccessDeserializer};
use serde::de::{DeserializeSeed, MapAccess};
use upledger_ledger::{Data, Draft, View, to_canonical};
use upledger_replay::event::Event;
use upledger_replay::state::When;

/// An event as it is appended.
pub(super) fn draft(run: Option<&str>, event: &Event) -> Draft {
    Draft {
        run: run.map(str::to_owned),
        kind: event.kind().to_owned(),
        data: data(event),
    }
}

fn data(event: &Event) -> Data {
    let kind = event.kind();
    let written = to_canonical(event).ok().and_then(|mut text| {
        // `{"data":...,"kind":"..."}`: the record has the kind beside it.
        let data = text.strip_prefix("{\"data\":")?.strip_suffix("\"}")?;
        let data = data.strip_suffix(kind)?.strip_suffix(",\"kind\":\"")?;
        let (start, len) = (
            text.len() - text.strip_prefix("{\"data\":")?.len(),
            data.len(),
        );
        text.truncate(start + len);
        text.drain(..start);
        Some(Data::Text(text))
    });
    // What has no canonical form, the ledger refuses and says why.
    written.unwrap_or_else(|| {
        let value = serde_json::to_value(event).ok();
        Data::Value(
            value
                .and_then(|mut v| Some(v.get_mut("data")?.take()))
                .unwrap_or_default(),
        )
    })
}

/// A stored event.
///
/// # Errors
/// [`JournalError::Unknown`].
pub(super) fn entry(view: &View<'_>) -> Result<Entry, JournalError> {
    let tagged = Tagged {
        kind: Some(view.kind),
        data: Some(view.data),
    };
    let event = Event::deserialize(MapAccessDeserializer::new(tagged)).map_err(|source| {
        JournalError::Unknown {
            seq: view.seq,
            kind: view.kind.to_owned(),
            source,
        }
    })?;
    Ok(Entry {
        run: view.run.map(str::to_owned),
        when: When {
            seq: view.seq,
            ts: view.ts.to_owned(),
            mono: view.mono,
            boot: view.boot.to_owned(),
        },
        actor: view.actor.to_owned(),
        event,
    })
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
