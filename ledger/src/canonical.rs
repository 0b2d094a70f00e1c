//! Canonical JSON: RFC 8785 without floats, as a one-pass reader that accepts nothing else ([`check_canonical`]); the
//! module `writer` has [`to_canonical`].
//!
//! Invariants: what [`to_canonical`] returns, [`check_canonical`] accepts, and it accepts exactly one text per value.
//! Own code rather than `serde_json::to_string`, because the order of its map changes when any crate of the build turns
//! on `preserve_order`, and rather than a JCS library, because those round large integers silently.
//! Left out: which keys an event has (`envelope`).

pub use crate::writer::to_canonical;
use serde_json::Value;
use thiserror::Error;

/// The largest magnitude of an integer: 2^53 - 1, up to where every JSON reader agrees.
pub const MAX_INTEGER: u64 = (1 << 53) - 1;

/// How deep arrays and objects may nest; below the limits of the common JSON readers.
pub const MAX_DEPTH: usize = 100;

/// Why a value or a text has no place in a body.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotCanonical {
    /// A fraction, an exponent, or an integer beyond 2^53-1: to be written as a string.
    #[error("the number {0} is not an integer of at most 2^53-1 in magnitude")]
    Number(String),
    /// A key outside printable ASCII: to be stored as an array of `{"key", "value"}`.
    #[error("the key {0:?} is not printable ASCII")]
    Key(String),
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested more than {MAX_DEPTH} deep")]
    Depth,
    /// Text that is not JSON, or not its canonical form.
    #[error("not canonical JSON at byte {at}: {what}")]
    Form {
        /// Byte offset.
        at: usize,
        /// What was expected there.
        what: &'static str,
    },
}

/// The value of a text that must be canonical to the byte.
///
/// # Errors
/// [`NotCanonical`] for anything else, among it duplicate keys, white space, needless escapes and lone surrogates.
pub fn check_canonical(text: &str) -> Result<Value, NotCanonical> {
    scan(text)?;
    serde_json::from_str(text).map_err(|_| NotCanonical::Form {
        at: 0,
        what: "JSON",
    })
}

/// [`check_canonical`] without building the value.
pub(crate) fn scan(text: &str) -> Result<(), NotCanonical> {
    let mut scanner = Scanner::new(text);
    scanner.value(0)?;
    scanner.end()
}

/// A cursor over text that must be canonical.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

/// A string as it stands between its quotes.
#[derive(Clone, Copy)]
pub(crate) struct Raw<'a> {
    /// The text, escapes and all.
    pub(crate) text: &'a str,
    /// Whether there is an escape in it.
    pub(crate) escaped: bool,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The offset of the next byte.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The text that was scanned since `start`.
    pub(crate) fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    fn fail<T>(&self, what: &'static str) -> Result<T, NotCanonical> {
        Err(NotCanonical::Form { at: self.at, what })
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Steps over `literal` if it is next.
    // Where the literal is known, its length is: that is a few instructions instead of a call.
    #[inline]
    pub(crate) fn skip(&mut self, literal: &str) -> bool {
        let end = self.at + literal.len();
        let found = self.text.as_bytes().get(self.at..end) == Some(literal.as_bytes());
        if found {
            self.at = end;
        }
        found
    }

    /// Steps over one byte if it is next.
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Demands that nothing is left.
    pub(crate) fn end(&self) -> Result<(), NotCanonical> {
        if self.at == self.text.len() {
            Ok(())
        } else {
            self.fail("the end")
        }
    }

    /// Demands a string in its only spelling.
    pub(crate) fn string(&mut self) -> Result<Raw<'a>, NotCanonical> {
        if !self.take(b'"') {
            return self.fail("a string");
        }
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut escaped = false;
        loop {
            match bytes.get(self.at) {
                None => return self.fail("the end of a string"),
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += match bytes.get(self.at + 1) {
                        Some(b'"' | b'\\' | b'b' | b't' | b'n' | b'f' | b'r') => 2,
                        Some(b'u') if is_control_escape(&bytes[self.at..]) => 6,
                        _ => return self.fail("the shortest escape of this character"),
                    };
                }
                Some(0..=0x1f) => return self.fail("an escape of this control character"),
                Some(_) => {
                    let rest = bytes.get(self.at..).unwrap_or_default();
                    self.at += plain(rest);
                }
            }
        }
        let text = &self.text[start..self.at];
        self.at += 1;
        Ok(Raw { text, escaped })
    }

    /// Demands an integer in its only spelling.
    pub(crate) fn integer(&mut self) -> Result<i64, NotCanonical> {
        let start = self.at;
        let negative = self.take(b'-');
        let digits = self.at;
        let mut magnitude: u64 = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            magnitude = magnitude
                .saturating_mul(10)
                .saturating_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        let leading_zero =
            self.text.as_bytes().get(digits) == Some(&b'0') && (self.at - digits > 1 || negative);
        if self.at == digits || leading_zero {
            return self.fail("an integer without leading zeros");
        }
        if magnitude > MAX_INTEGER || matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            return Err(NotCanonical::Number(self.since(start).to_owned()));
        }
        let value = i64::try_from(magnitude).unwrap_or(i64::MAX);
        Ok(if negative { -value } else { value })
    }

    /// Demands any value.
    pub(crate) fn value(&mut self, depth: usize) -> Result<(), NotCanonical> {
        if depth > MAX_DEPTH {
            return Err(NotCanonical::Depth);
        }
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'-' | b'0'..=b'9') => self.integer().map(|_| ()),
            _ if self.skip("true") || self.skip("false") || self.skip("null") => Ok(()),
            _ => self.fail("a value"),
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), NotCanonical> {
        self.at += 1;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            if self.take(b']') {
                return Ok(());
            }
            if !self.take(b',') {
                return self.fail("`,` or `]`");
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), NotCanonical> {
        self.at += 1;
        if self.take(b'}') {
            return Ok(());
        }
        let mut last: Option<Raw<'a>> = None;
        loop {
            let start = self.at;
            let key = self.string()?;
            if !key.text.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) {
                return Err(NotCanonical::Key(key.text.to_owned()));
            }
            if key.escaped && key.bytes().any(|byte| byte < 0x20) {
                return Err(NotCanonical::Key(key.text.to_owned()));
            }
            if last.is_some_and(|last| !last.before(&key)) {
                self.at = start;
                return self.fail("a key greater than the one before it");
            }
            last = Some(key);
            if !self.take(b':') {
                return self.fail("`:`");
            }
            self.value(depth + 1)?;
            if self.take(b'}') {
                return Ok(());
            }
            if !self.take(b',') {
                return self.fail("`,` or `}`");
            }
        }
    }
}

impl Raw<'_> {
    /// The bytes that an ASCII key stands for, its escapes resolved. A control character comes out as 0.
    fn bytes(&self) -> impl Iterator<Item = u8> {
        let mut rest = self.text.bytes();
        std::iter::from_fn(move || match rest.next()? {
            b'\\' => match rest.next()? {
                quoted @ (b'"' | b'\\') => Some(quoted),
                _ => Some(0),
            },
            byte => Some(byte),
        })
    }

    fn before(&self, other: &Raw<'_>) -> bool {
        if self.escaped || other.escaped {
            self.bytes().lt(other.bytes())
        } else {
            self.text.as_bytes() < other.text.as_bytes()
        }
    }
}

/// How many bytes stand before the next that means something in a string.
#[inline]
fn plain(bytes: &[u8]) -> usize {
    // Eight at a time: every start of the program reads every string of every event.
    let mut words = bytes.chunks_exact(8);
    let mut at = 0;
    for word in words.by_ref() {
        let word: [u8; 8] = word.try_into().unwrap_or_default();
        let found = means_something(u64::from_le_bytes(word));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = words.remainder();
    at + rest
        .iter()
        .position(|byte| matches!(byte, 0..=0x1f | b'"' | b'\\'))
        .unwrap_or(rest.len())
}

/// The highest bit of the first byte of a little-endian word that is a control character, a quote or a backslash, and 0
/// where there is none; bits above it mean nothing.
#[inline]
fn means_something(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    // A byte below `limit` borrows from its highest bit, which it does not have itself.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGH;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    below(word, 0x20) | is(b'"') | is(b'\\')
}

/// Whether `\u00xx` stands here, lower-case, for a control character that has no shorter escape.
fn is_control_escape(bytes: &[u8]) -> bool {
    match bytes.get(2..6) {
        Some([b'0', b'0', b'0', low]) => matches!(low, b'0'..=b'7' | b'b' | b'e' | b'f'),
        Some([b'0', b'0', b'1', low]) => matches!(low, b'0'..=b'9' | b'a'..=b'f'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn writes_the_only_spelling() {
        let value = json!({"b": [1, -1, 0, true, null], "a": "\u{0}\u{8}\t\n\u{c}\r\u{1f}\u{7f}\"\\/é🚀", "B": {}, "": []});
        let text = "{\"\":[],\"B\":{},\"a\":\"\\u0000\\b\\t\\n\\f\\r\\u001f\u{7f}\\\"\\\\/é🚀\",\"b\":[1,-1,0,true,null]}";
        assert_eq!(to_canonical(&value).unwrap(), text);
        assert_eq!(check_canonical(text).unwrap(), value);
    }

    #[test]
    fn what_means_something_is_found_wherever_it_stands() {
        for meant in (0..=0x1f).chain([b'"', b'\\']) {
            for filler in [b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                for len in 0..20 {
                    let mut bytes = vec![filler; len];
                    assert_eq!(plain(&bytes), len);
                    for at in 0..len {
                        bytes[at] = meant;
                        assert_eq!(plain(&bytes), at, "{meant} behind {at} of {filler}");
                        bytes[at] = filler;
                    }
                }
            }
        }
    }

    #[test]
    fn keys_sort_by_what_they_say_not_by_how_they_are_escaped() {
        let value = json!({"a\"": 1, "a#": 2, "a\\": 3, "a]": 4, "a[": 5});
        let text = to_canonical(&value).unwrap();
        assert_eq!(text, r##"{"a\"":1,"a#":2,"a[":5,"a\\":3,"a]":4}"##);
        assert_eq!(check_canonical(&text).unwrap(), value);
    }

    #[test]
    fn refuses_what_the_format_excludes() {
        for value in [
            json!(0.5),
            json!(1.0),
            json!(-0.0),
            json!(1e300),
            json!(9_007_199_254_740_992_u64),
            json!(i64::MIN),
            json!(u64::MAX),
        ] {
            assert!(
                matches!(to_canonical(&value), Err(NotCanonical::Number(_))),
                "{value}"
            );
        }
        for key in ["é", "\u{7f}", "\n"] {
            assert!(
                matches!(to_canonical(&json!({ key: 1 })), Err(NotCanonical::Key(_))),
                "{key:?}"
            );
        }
        let deep = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
        assert!(check_canonical(&to_canonical(&deep(MAX_DEPTH)).unwrap()).is_ok());
        assert_eq!(to_canonical(&deep(MAX_DEPTH + 1)), Err(NotCanonical::Depth));
        assert_eq!(scan(&"[".repeat(1_000_000)), Err(NotCanonical::Depth));
    }

    #[test]
    fn refuses_every_other_spelling() {
        for text in [
            "",
            " 1",
            "1 ",
            "01",
            "-0",
            "00",
            "-",
            "+1",
            "1.0",
            "1e2",
            "9007199254740992",
            "-9007199254740992",
            "nul",
            "True",
            "[1,]",
            "[,]",
            "[1 ,2]",
            "{\"a\":1,}",
            "{\"b\":1,\"a\":2}",
            "{\"a\":1,\"a\":2}",
            "{\"a\": 1}",
            "{a:1}",
            "{\"\\u0061\":1}",
            "{\"é\":1}",
            "{\"\\n\":1}",
            "\"\\/\"",
            "\"\\u0041\"",
            "\"\\u000A\"",
            "\"\\u000a\"",
            "\"\\u001F\"",
            "\"\\ud800\"",
            "\"\\ud83d\\ude80\"",
            "\"\n\"",
            "\"\\x\"",
            "\"",
            "\"\\",
            "\"\\u00",
            "[",
            "{",
            "{\"a\"",
            "1 2",
            "[1]]",
            "\u{feff}1",
        ] {
            assert!(check_canonical(text).is_err(), "{text:?} was accepted");
        }
    }
}
