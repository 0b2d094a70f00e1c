//! Lengths of time as plans write them: `30m`, `1h30m`, `500ms`. A bare number is refused, because nobody knows its unit.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// A length of time in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Length(pub u64);

const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// A length of time as evidence tells it, in the form of the screens: `0.3 s`, `10 s`, `1m30s`.
#[must_use]
pub fn said(time: std::time::Duration) -> String {
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    match ms {
        0..60_000 if ms % 1000 == 0 => format!("{} s", ms / 1000),
        0..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => Length(ms / 1000 * 1000).to_string(),
    }
}

/// A text that is no length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a duration needs a unit, such as 500ms, 10s, 30m, 1h30m or 2d")]
pub struct NotALength;

impl FromStr for Length {
    type Err = NotALength;

    fn from_str(text: &str) -> Result<Self, NotALength> {
        let mut rest = text.trim();
        let mut sum: u64 = 0;
        if rest.is_empty() {
            return Err(NotALength);
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(NotALength)?;
            let (number, tail) = rest.split_at(digits);
            let word = tail
                .find(|c: char| !c.is_ascii_alphabetic())
                .unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(word);
            let number: u64 = number.parse().map_err(|_| NotALength)?;
            let (_, factor) = UNITS.iter().find(|(u, _)| *u == unit).ok_or(NotALength)?;
            sum = number
                .checked_mul(*factor)
                .and_then(|n| sum.checked_add(n))
                .ok_or(NotALength)?;
            rest = tail;
        }
        Ok(Self(sum))
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, factor) in UNITS.iter().rev() {
            if rest >= *factor {
                write!(f, "{}{unit}", rest / factor)?;
                rest %= factor;
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Length {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl JsonSchema for Length {
    fn schema_name() -> Cow<'static, str> {
        "Length".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A duration with a unit: 500ms, 10s, 30m, 1h30m, 2d.",
            "pattern": r"^([0-9]+(ms|s|m|h|d))+$|\$\{"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Length;

    #[test]
    fn read_and_written() {
        for (text, ms, back) in [
            ("500ms", 500, "500ms"),
            ("90s", 90_000, "1m30s"),
            ("1h30m", 5_400_000, "1h30m"),
            ("0s", 0, "0s"),
            ("2d", 172_800_000, "2d"),
        ] {
            let read: Length = text.parse().unwrap();
            assert_eq!((read.0, read.to_string().as_str()), (ms, back));
        }
        for bad in [
            "",
            "10",
            "s",
            "10 s",
            "-1s",
            "1.5h",
            "1y",
            "99999999999999999999s",
            "9999999999999999d",
        ] {
            assert!(bad.parse::<Length>().is_err(), "{bad}");
        }
    }
}
