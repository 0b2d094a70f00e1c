//! The one redactor. Everything that leaves a step, its output, its evidence, its errors, passes here before it is
//! bounded, stored or shown.
//!
//! A secret is searched whole and line by line, except for lines that are ordinary words (`is_ordinary`): raw, and as base64 (all three alignments, both alphabets, wrapped at
//! 64 and 76 columns), URL, JSON, HTML, shell and hexadecimal text.
//!
//! Invariants:
//! - What has been emitted never holds a part of a match: the end of a stream is held back as long as it may be the
//!   beginning of one, and not longer, so that a progress line is seen when it is printed.
//! - Chunks may end anywhere; the result is that of the whole text. Overlapping matches are covered as one.
//! - Memory is bounded by one chunk and the longest pattern.
//!
//! Left out: a digit of base64 that mixes bits of the secret with bits of its neighbour (at most four bits of the secret
//! stand in it), and secrets in encodings other than UTF-8 and GB18030.

use crate::encoding::Charset;
use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// Secrets shorter than this many bytes cannot be told from chance and are refused. Lines of a secret that are shorter
/// are searched only as parts of the whole.
pub const SHORTEST: usize = 4;

const BEFORE: &str = "[redacted:";
const AFTER: &str = "]";

/// What stands in the place of a secret.
#[must_use]
pub fn marker(name: &str) -> String {
    format!("{BEFORE}{name}{AFTER}")
}

/// A secret that cannot be redacted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the secret {name} is shorter than {SHORTEST} bytes, so it cannot be kept out of output reliably"
)]
pub struct TooShort {
    /// Its name.
    pub name: String,
}

/// Finds secrets in text and replaces them by `[redacted:name]`. Cheap to clone.
#[derive(Clone)]
pub struct Redactor(Option<Arc<Search>>);

struct Search {
    automaton: AhoCorasick,
    /// Sorted, so that the patterns with a given beginning stand together.
    patterns: Vec<Vec<u8>>,
    /// For each pattern.
    markers: Vec<String>,
    longest: usize,
    /// Bytes with which a pattern begins.
    first: [bool; 256],
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let patterns = self.0.as_ref().map_or(0, |s| s.patterns.len());
        write!(f, "Redactor({patterns} patterns)")
    }
}

impl Redactor {
    /// Finds nothing.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// For these secrets, each a name and a value.
    ///
    /// # Errors
    /// [`TooShort`] names a secret that is too short.
    pub fn new(secrets: &[(String, String)]) -> Result<Self, TooShort> {
        Self::of(secrets, is_ordinary)
    }

    /// For what must not hold a secret at all, and may well hold a word of one: a line of several counts here only where
    /// it is long, or the last.
    ///
    /// # Errors
    /// [`TooShort`] names a secret that is too short.
    pub fn strict(secrets: &[(String, String)]) -> Result<Self, TooShort> {
        Self::of(secrets, |line| line.len() < ORDINARY)
    }

    fn of(secrets: &[(String, String)], ordinary: fn(&str) -> bool) -> Result<Self, TooShort> {
        let mut found: BTreeMap<Vec<u8>, String> = BTreeMap::new();
        for (name, value) in secrets {
            if value.len() < SHORTEST {
                return Err(TooShort { name: name.clone() });
            }
            for form in forms(value, ordinary) {
                found.entry(form).or_insert_with(|| marker(name));
            }
        }
        if found.is_empty() {
            return Ok(Self::none());
        }
        let (patterns, markers): (Vec<_>, Vec<_>) = found.into_iter().unzip();
        let automaton = AhoCorasick::builder()
            // Every match is wanted, overlapping ones too: of two secrets that share bytes, both must vanish.
            .match_kind(MatchKind::Standard)
            // Every process of a run builds one. A DFA, the default for few patterns, searches half again as fast, but
            // for a key of some kilobytes it takes hundreds of times as long to build, and forty times the memory.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&patterns)
            .expect("the patterns of a handful of secrets are far below the automaton's limit of 2^31 states");
        let mut first = [false; 256];
        for pattern in &patterns {
            if let Some(byte) = pattern.first() {
                first[usize::from(*byte)] = true;
            }
        }
        let longest = patterns.iter().map(Vec::len).max().unwrap_or(0);
        Ok(Self(Some(Arc::new(Search {
            automaton,
            patterns,
            markers,
            longest,
            first,
        }))))
    }

    /// A whole text.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        if self.0.is_none() {
            return text.to_owned();
        }
        let mut out = Vec::with_capacity(text.len());
        let mut stream = self.stream();
        stream.feed(text.as_bytes(), &mut out);
        stream.finish(&mut out);
        // Patterns that are UTF-8 leave UTF-8; one in another encoding may end inside a character of a text.
        String::from_utf8_lossy(&out).into_owned()
    }

    /// The name of a secret that stands in a text in any form.
    #[must_use]
    pub fn found_in(&self, text: &str) -> Option<&str> {
        let search = self.0.as_ref()?;
        let found = search.automaton.find(text)?;
        let marker = search.markers.get(found.pattern().as_usize())?;
        marker
            .strip_prefix(BEFORE)
            .and_then(|m| m.strip_suffix(AFTER))
    }

    /// The name of a secret that stands in a string of a JSON value. Keys are structure and never looked at.
    #[must_use]
    pub fn found_in_value(&self, value: &Value) -> Option<&str> {
        match value {
            Value::String(text) => self.found_in(text),
            Value::Array(items) => items.iter().find_map(|v| self.found_in_value(v)),
            Value::Object(map) => map.values().find_map(|v| self.found_in_value(v)),
            Value::Null | Value::Bool(_) | Value::Number(_) => None,
        }
    }

    /// A stream in chunks.
    #[must_use]
    pub fn stream(&self) -> Stream {
        Stream {
            redactor: self.clone(),
            held: Vec::new(),
            covered: 0,
        }
    }
}

impl Search {
    /// Where the part begins that more bytes may turn into a match, or into a longer one.
    fn undecided(&self, bytes: &[u8]) -> usize {
        let from = bytes.len().saturating_sub(self.longest.saturating_sub(1));
        (from..bytes.len())
            .find(|&at| self.first[usize::from(bytes[at])] && self.begins_longer(&bytes[at..]))
            .unwrap_or(bytes.len())
    }

    /// Whether a pattern begins with these bytes and is longer.
    fn begins_longer(&self, bytes: &[u8]) -> bool {
        let at = self.patterns.partition_point(|p| p.as_slice() < bytes);
        // The first that is not smaller may be these bytes themselves; the longer ones come right behind it.
        self.patterns[at..]
            .iter()
            .take(2)
            .any(|p| p.len() > bytes.len() && p.starts_with(bytes))
    }
}

/// Redacts a stream whose chunks may end anywhere.
#[derive(Debug)]
pub struct Stream {
    redactor: Redactor,
    held: Vec<u8>,
    /// So many of the held bytes belong to a match whose marker was emitted.
    covered: usize,
}

impl Stream {
    /// Takes a chunk and appends what is safe to `out`.
    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(chunk);
        self.emit(false, out);
    }

    /// Nothing more comes.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.emit(true, out);
    }

    fn emit(&mut self, last: bool, out: &mut Vec<u8>) {
        let Some(search) = &self.redactor.0 else {
            out.append(&mut self.held);
            return;
        };
        let until = if last {
            self.held.len()
        } else {
            search.undecided(&self.held)
        };
        let mut matches: Vec<(usize, usize, usize)> = search
            .automaton
            .find_overlapping_iter(&self.held)
            .map(|m| (m.start(), m.end(), m.pattern().as_usize()))
            .collect();
        // Of those that begin together the longest gives its name.
        matches.sort_unstable_by_key(|(start, end, _)| (*start, usize::MAX - end));
        let mut covered = self.covered;
        for (start, end, pattern) in matches {
            if start >= covered {
                if start >= until {
                    break;
                }
                out.extend_from_slice(&self.held[covered..start]);
                out.extend_from_slice(search.markers[pattern].as_bytes());
            }
            covered = covered.max(end);
        }
        if covered < until {
            out.extend_from_slice(&self.held[covered..until]);
        }
        self.covered = covered.saturating_sub(until);
        self.held.drain(..until);
    }
}

/// A line that is shorter may be an ordinary word.
const ORDINARY: usize = 16;

/// Whether a line of a longer secret is a word that may stand anywhere, such as the user above a password.
fn is_ordinary(line: &str) -> bool {
    line.len() < ORDINARY
        && line
            .chars()
            .all(|c| c.is_ascii_alphabetic() || "-_.@ ".contains(c))
}

/// Every text that gives the secret away. The last line of several does so whatever it looks like: in a file with a user
/// and a password it is the password.
fn forms(value: &str, ordinary: fn(&str) -> bool) -> Vec<Vec<u8>> {
    let lines: Vec<&str> = value.lines().map(str::trim).collect();
    let last = lines.iter().rposition(|l| !l.is_empty());
    let mut plain = vec![value];
    plain.extend(lines.iter().enumerate().filter_map(|(at, line)| {
        let counts = line.len() >= SHORTEST && (Some(at) == last || !ordinary(line));
        counts.then_some(*line)
    }));
    plain.dedup();
    let mut forms: Vec<Vec<u8>> = Vec::new();
    for text in &plain {
        forms.push((*text).into());
        forms.extend(url(text));
        forms.extend(json(text));
        forms.extend(html(text));
        forms.extend(shell(text));
        for digits in [LOWER, UPPER] {
            forms.push(
                text.bytes()
                    .flat_map(|b| hex(b, digits))
                    .collect::<String>()
                    .into_bytes(),
            );
        }
        base64(text.as_bytes(), &mut forms);
    }
    if !value.is_ascii()
        && let Some(gb18030) = Charset::named("gb18030")
    {
        forms.extend(plain.iter().filter_map(|text| gb18030.write(text)));
    }
    forms.retain(|f| f.len() >= SHORTEST);
    forms
}

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

fn hex(byte: u8, digits: &[u8; 16]) -> [char; 2] {
    [
        char::from(digits[usize::from(byte >> 4)]),
        char::from(digits[usize::from(byte & 15)]),
    ]
}

/// Percent-encoding as RFC 3986 has it, and as its well-known relatives do that leave more as it is.
fn url(text: &str) -> Vec<Vec<u8>> {
    // RFC 3986; Python's quote; JavaScript's encodeURIComponent and encodeURI; a user name or password in a URL.
    const LEFT: [&str; 5] = [
        "-_.~",
        "-_.~/",
        "-_.~!'()*",
        "-_.~!'()*;/?:@&=+$,#",
        "-_.~!$&'()*+,;=",
    ];
    let mut all = Vec::new();
    for digits in [LOWER, UPPER] {
        for left in LEFT {
            let mut out = String::new();
            for b in text.bytes() {
                if b.is_ascii_alphanumeric() || left.as_bytes().contains(&b) {
                    out.push(char::from(b));
                } else {
                    out.push('%');
                    out.extend(hex(b, digits));
                }
            }
            // Forms write a space as a plus.
            all.push(out.replace("%20", "+").into_bytes());
            all.push(out.into_bytes());
        }
    }
    all
}

fn json(text: &str) -> Vec<Vec<u8>> {
    let Ok(quoted) = serde_json::to_string(text) else {
        return Vec::new();
    };
    let plain = &quoted[1..quoted.len() - 1];
    let mut all = Vec::new();
    for digits in [LOWER, UPPER] {
        let mut ascii = String::new();
        let mut marked = String::new();
        for c in plain.chars() {
            let mut escaped = String::new();
            for unit in c.encode_utf16(&mut [0; 2]) {
                let [high, low] = unit.to_be_bytes();
                escaped.push_str("\\u");
                escaped.extend(hex(high, digits));
                escaped.extend(hex(low, digits));
            }
            // Python escapes all that is not ASCII; Go, and whoever puts JSON into HTML, the markup too.
            let (is_ascii, is_markup) = (c.is_ascii(), "<>&'".contains(c));
            if is_ascii {
                ascii.push(c)
            } else {
                ascii.push_str(&escaped)
            }
            if is_markup {
                marked.push_str(&escaped)
            } else {
                marked.push(c)
            }
        }
        all.push(ascii.replace('/', "\\/").into_bytes());
        all.push(ascii.into_bytes());
        all.push(marked.into_bytes());
    }
    all.push(plain.replace('/', "\\/").into_bytes());
    all.push(plain.into());
    all
}

fn html(text: &str) -> Vec<Vec<u8>> {
    let base = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let mut all = vec![base.clone().into_bytes()];
    for double in ["&quot;", "&#34;"] {
        let base = base.replace('"', double);
        for single in ["'", "&#x27;", "&#39;"] {
            all.push(base.replace('\'', single).into_bytes());
        }
    }
    all
}

/// In single quotes, in double quotes, with backslashes (`printf %q`), and as a `repr` with its escapes.
fn shell(text: &str) -> Vec<Vec<u8>> {
    let before = |wanted: &dyn Fn(char) -> bool| {
        text.chars().fold(String::new(), |mut out, c| {
            if wanted(c) {
                out.push('\\');
            }
            out.push(c);
            out
        })
    };
    let mut repr = String::new();
    for c in text.chars() {
        match c {
            '\n' => repr.push_str("\\n"),
            '\r' => repr.push_str("\\r"),
            '\t' => repr.push_str("\\t"),
            '\'' | '\\' => {
                repr.push('\\');
                repr.push(c);
            }
            c if c.is_ascii_control() => {
                // Writing into a string cannot fail.
                let _ = write!(repr, "\\x{:02x}", u32::from(c));
            }
            c => repr.push(c),
        }
    }
    vec![
        text.replace('\'', r"'\''").into_bytes(),
        text.replace('\'', "'\"'\"'").into_bytes(),
        before(&|c| "\"$`\\".contains(c)).into_bytes(),
        before(&|c| c.is_ascii() && !c.is_ascii_alphanumeric() && !"-_./:=@%+,".contains(c))
            .into_bytes(),
        before(&|c| c.is_ascii() && !c.is_ascii_alphanumeric() && !"-_./:=@%+".contains(c))
            .into_bytes(),
        repr.into_bytes(),
    ]
}

fn base64(bytes: &[u8], forms: &mut Vec<Vec<u8>>) {
    for shift in 0..3usize {
        // The secret may stand anywhere in a longer text: of its base64, only the digits that depend on nothing else
        // can be searched.
        let mut padded = vec![0; shift];
        padded.extend_from_slice(bytes);
        let first = (shift * 8).div_ceil(6);
        let last = padded.len() * 8 / 6;
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let digits = engine.encode(&padded);
            if last.saturating_sub(first) >= SHORTEST {
                forms.push(digits.as_bytes()[first..last].to_vec());
            }
            if shift == 0 {
                for columns in [64, 76] {
                    if digits.len() > columns {
                        forms.extend(
                            digits.as_bytes()[..last]
                                .chunks(columns)
                                .map(<[u8]>::to_vec),
                        );
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
