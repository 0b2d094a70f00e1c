//! A value of the report and what proves it.
//!
//! Invariant: a value without a source does not exist: what nothing says is absent, and has neither a value nor a proof.

use crate::report::{local_date, local_time, safe};
use crate::text::compliance as text;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

/// Sequence numbers of events, as ranges without gaps: a run may have ten thousand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Seqs(Vec<(u64, u64)>);

impl Seqs {
    /// One event.
    #[must_use]
    pub fn one(seq: u64) -> Self {
        Self(vec![(seq, seq)])
    }

    /// No event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many ranges it takes to name them.
    pub(super) fn ranges(&self) -> usize {
        self.0.len()
    }

    /// The first of these ranges.
    pub(super) fn beginning(&self, ranges: usize) -> Self {
        Self(self.0.iter().take(ranges).copied().collect())
    }

    /// How many.
    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// The first event.
    pub(super) fn first(&self) -> Option<u64> {
        self.0.first().map(|(first, _)| *first)
    }

    /// Takes another event in. Those of a run come in order, so that most often the last range grows.
    pub fn add(&mut self, seq: u64) {
        self.add_range(seq, seq);
    }

    /// Takes in all that another one holds.
    pub fn join(&mut self, other: &Self) {
        for (first, last) in &other.0 {
            self.add_range(*first, *last);
        }
    }

    fn add_range(&mut self, first: u64, last: u64) {
        // Ranges that touch this one, or that it lies in.
        let from = self.0.partition_point(|r| r.1.saturating_add(1) < first);
        let until = self.0.partition_point(|r| r.0 <= last.saturating_add(1));
        let touched = self.0.get(from..until).unwrap_or_default();
        let first = touched.first().map_or(first, |r| r.0.min(first));
        let last = touched.last().map_or(last, |r| r.1.max(last));
        self.0.splice(from..until.max(from), [(first, last)]);
    }
}

impl FromIterator<u64> for Seqs {
    fn from_iter<I: IntoIterator<Item = u64>>(all: I) -> Self {
        let mut seqs = Self::default();
        all.into_iter().for_each(|seq| seqs.add(seq));
        seqs
    }
}

impl fmt::Display for Seqs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (first, last)) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str(", ")?;
            }
            match first == last {
                true => write!(f, "{first}")?,
                false => write!(f, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

/// What a value rests on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Nothing says it.
    #[default]
    Absent,
    /// The run had no occasion for it, such as the end of a rollback where there was none.
    NotApplicable,
    /// Events say it, or it is computed from what they say.
    Events,
    /// The verification of the ledger, which was made for this report.
    Verification,
    /// The program that wrote the report, of itself and of the machine that it was written on.
    Program,
}

/// A value and its proof.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Fact<T> {
    /// The value; null where nothing says it.
    pub value: Option<T>,
    /// The events that prove it, as ranges of sequence numbers.
    pub seq: Seqs,
    /// What it rests on.
    pub source: Source,
}

impl<T> Default for Fact<T> {
    fn default() -> Self {
        Self {
            value: None,
            seq: Seqs::default(),
            source: Source::Absent,
        }
    }
}

impl<T> Fact<T> {
    /// There was no occasion for it.
    pub(super) fn not_applicable() -> Self {
        Self {
            source: Source::NotApplicable,
            ..Self::default()
        }
    }

    /// What these events say.
    pub fn said(value: impl Into<T>, seq: Seqs) -> Self {
        Self {
            value: Some(value.into()),
            seq,
            source: Source::Events,
        }
    }

    /// What the verification says.
    pub fn verified(value: impl Into<T>) -> Self {
        Self {
            value: Some(value.into()),
            seq: Seqs::default(),
            source: Source::Verification,
        }
    }

    /// What the program says.
    pub fn known(value: impl Into<T>) -> Self {
        Self {
            value: Some(value.into()),
            seq: Seqs::default(),
            source: Source::Program,
        }
    }

    /// What this event says, where it says anything.
    pub fn said_by(value: Option<T>, seq: u64) -> Self {
        value.map_or_else(Self::default, |value| Self::said(value, Seqs::one(seq)))
    }
}

impl Fact<u64> {
    /// How often something happened: once for each of these events. That nothing happened, all events of the run say.
    pub(super) fn count(seqs: &[u64], all: &Seqs) -> Self {
        let seq = match seqs.is_empty() {
            true => all.clone(),
            false => seqs.iter().copied().collect(),
        };
        Self::said(u64::try_from(seqs.len()).unwrap_or(u64::MAX), seq)
    }
}

impl Fact<Vec<String>> {
    /// A list, each of its parts said by an event; absent where it is empty.
    pub(super) fn list(parts: impl IntoIterator<Item = (String, Seqs)>) -> Self {
        let (mut value, mut seq, mut known) = (Vec::new(), Seqs::default(), BTreeSet::new());
        for (part, proof) in parts {
            seq.join(&proof);
            if known.insert(part.clone()) {
                value.push(part);
            }
        }
        match value.is_empty() {
            true => Self::default(),
            false => Self::said(value, seq),
        }
    }

    /// A list of what the record would say: where it is empty, these events prove that there was nothing.
    pub(super) fn list_within(parts: impl IntoIterator<Item = (String, Seqs)>, all: &Seqs) -> Self {
        match Self::list(parts) {
            none if none.value.is_none() => Self::said(Vec::new(), all.clone()),
            some => some,
        }
    }
}

/// A recorded time, UTC, RFC 3339; people see it in the zone of the machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Time(pub String);

/// A length of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Ms(pub u64);

/// The most that a length of time can have been, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct AtMost(pub u64);

/// A word of a fixed list: programs read it in English, people in their language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// For programs.
    pub stable: String,
    /// For people.
    pub shown: String,
}

impl Word {
    pub(super) fn new(stable: impl Into<String>, shown: impl Into<String>) -> Self {
        Self {
            stable: stable.into(),
            shown: shown.into(),
        }
    }
}

impl Serialize for Word {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.stable)
    }
}

impl JsonSchema for Word {
    fn schema_name() -> Cow<'static, str> {
        "Word".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": "A word of a fixed list, in English."})
    }
}

/// What people see of a value: one line, or several.
pub(super) trait Shown {
    /// In words. Nothing where there is no value.
    fn shown(&self) -> String;

    /// It says that something is so. What says that it is not is no evidence of it.
    fn holds(&self) -> bool {
        true
    }
}

impl Shown for String {
    fn shown(&self) -> String {
        self.lines().map(safe).collect::<Vec<_>>().join("\n")
    }
}

impl Shown for u64 {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for bool {
    fn shown(&self) -> String {
        match self {
            true => text::yes(),
            false => text::no(),
        }
    }

    fn holds(&self) -> bool {
        *self
    }
}

impl Shown for Vec<String> {
    fn shown(&self) -> String {
        match self.is_empty() {
            true => text::none(),
            false => self.iter().map(Shown::shown).collect::<Vec<_>>().join("\n"),
        }
    }

    fn holds(&self) -> bool {
        !self.is_empty()
    }
}

impl Shown for Time {
    fn shown(&self) -> String {
        format!("{} {}", local_date(&self.0), local_time(&self.0))
    }
}

impl Shown for Ms {
    fn shown(&self) -> String {
        crate::report::duration(self.0)
    }
}

impl Shown for AtMost {
    fn shown(&self) -> String {
        crate::report::at_most(self.0)
    }
}

impl Shown for Word {
    fn shown(&self) -> String {
        safe(&self.shown)
    }
}

impl<T: Shown> Shown for Option<T> {
    fn shown(&self) -> String {
        self.as_ref().map_or_else(String::new, Shown::shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn consecutive_events_are_a_range() {
        let seqs: Seqs = [4, 5, 6, 9, 8, 2].into_iter().collect();
        assert_eq!(seqs.to_string(), "2, 4-6, 8-9");
        let mut joined = seqs.clone();
        joined.join(&[3, 7].into_iter().collect());
        assert_eq!(joined.to_string(), "2-9");
        assert_eq!(
            serde_json::to_string(&seqs).expect("JSON"),
            "[[2,2],[4,6],[8,9]]"
        );
    }

    proptest! {
        /// Whatever the order: what is in it is what was put in, and no two ranges touch.
        #[test]
        fn it_holds_what_was_put_in(all in proptest::collection::vec(0_u64..40, 0..40)) {
            let seqs: Seqs = all.iter().copied().collect();
            let held: BTreeSet<u64> = seqs.0.iter().flat_map(|(a, b)| *a..=*b).collect();
            prop_assert_eq!(held, all.into_iter().collect::<BTreeSet<_>>());
            prop_assert!(seqs.0.windows(2).all(|w| w[0].1 + 1 < w[1].0));
        }
    }
}
