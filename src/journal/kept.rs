//! Content beside the events: the salts of what was kept for undos, what steps printed, and values without secrets.

use super::Journal;
use crate::action::{Blob, Kept, RawPast};
use serde_json::Value;
use upledger_ledger::{BlobRef, NewBlob};

impl Journal {
    /// The same of every text in a value.
    #[must_use]
    pub fn redact_value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.redactor.text(&text)),
            Value::Array(items) => items.into_iter().map(|v| self.redact_value(v)).collect(),
            Value::Object(map) => map
                .into_iter()
                .map(|(key, v)| (key, self.redact_value(v)))
                .collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) => value,
        }
    }

    /// The next commit carries the salts of kept content that the staged events name.
    pub fn attach(&mut self, kept: &[Blob]) {
        self.blobs.extend(kept.iter().filter_map(|blob| {
            // What has no digest is no kept content, and nothing asks for its salt.
            let sha256 = blob.kept.blob.parse().ok()?;
            let len = blob.kept.len;
            Some(NewBlob::elsewhere(BlobRef { sha256, len }, blob.salt))
        }));
    }

    /// The next commit carries this content where it is small, else its salt; the staged events name it so.
    ///
    /// # Errors
    /// What reading meets.
    pub fn attach_content(&mut self, content: impl std::io::Read) -> std::io::Result<Kept> {
        let blob = NewBlob::read(content)?;
        let BlobRef { sha256, len } = blob.reference();
        self.blobs.push(blob);
        Ok(Kept {
            blob: sha256.to_string(),
            len,
        })
    }

    /// The salts of the kept content that a step's past names. What was purged has none.
    #[must_use]
    pub fn salts(&self, past: &RawPast) -> Vec<Blob> {
        let mut named = Vec::new();
        Kept::named_in(&past.before, &mut named);
        for later in &past.later {
            Kept::named_in(&later.before, &mut named);
        }
        for note in &past.notes {
            Kept::named_in(&note.note, &mut named);
        }
        if let Some(output) = &past.output {
            Kept::named_in(output, &mut named);
        }
        let salt = |kept: &Kept| self.ledger.salt(kept.blob.parse().ok()?).ok()?;
        named
            .into_iter()
            .filter_map(|kept| {
                let salt = salt(&kept)?;
                Some(Blob { kept, salt })
            })
            .collect()
    }
}
