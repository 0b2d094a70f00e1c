//! A unified diff of configuration in which no secret can be read.
//!
//! Invariants: the texts are compared as they are and masked afterwards, so that no change is hidden; every value is masked
//! whose harmlessness is not plain, unchanged lines included: a key's name says too little about its value. A masked value
//! keeps its lines and shows the class of its length alone.

use super::document::Format;
use super::tree::{Content, Kind, Scalar};
use crate::redact::Redactor;
use regex::{Captures, Regex};
use similar::{ChangeTag, TextDiff};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::LazyLock;
use std::time::Duration;

/// A diff of more than this helps nobody.
const LIMIT: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(2);
/// Unchanged lines around a change.
const CONTEXT: usize = 3;
/// Values that are shorter are not searched elsewhere: they are found by chance.
const SEARCHED: usize = 6;

/// Names of keys whose numbers are masked as well.
static SECRET: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)(pass|pwd|secret|token|credential|auth|private|dsn|salt|(^|[^a-z])(pin|key|pw)([^a-z]|$))").ok()
});
/// A key that ends so is about a secret, and does not hold one.
static ABOUT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)(length|len|min|max|age|ttl|timeout|count|days|hours|minutes|seconds|rounds|retries|enabled|required|policy)$").ok()
});
/// A value without quotes that is a number or a word for yes and no.
static HARMLESS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?i)^([-+]?[0-9]{1,10}(\.[0-9]{1,6})?[a-z%]{0,2}|true|false|yes|no|on|off|none|null|)$",
    )
    .ok()
});
/// What looks like a value behind a key, in a comment or a file of an unknown format.
static ASSIGNED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(?P<key>[A-Za-z0-9_.\-]+)["']?(?P<sep>\s*[=:]\s*|\s+)(?P<value>[^\r\n]+)"#).ok()
});
/// A string of Python, with quotes of any kind.
static STRING: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(?s)"""(?:\\.|[^\\])*?"""|'''(?:\\.|[^\\])*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'"#).ok()
});
static NAME: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"([A-Za-z_][A-Za-z0-9_]*)["'\])]*\s*[=:(]?[^=:(]*$"#).ok());

fn matches(pattern: &LazyLock<Option<Regex>>, text: &str) -> bool {
    pattern.as_ref().is_some_and(|p| p.is_match(text))
}

/// What may be shown.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// Values that stand in the plan, which anybody may read.
    pub(super) values: BTreeSet<String>,
    /// Keys whose values the plan shows.
    pub(super) keys: Vec<String>,
}

impl Shown {
    fn key(&self, path: &[String]) -> bool {
        let whole = path.join(".");
        self.keys
            .iter()
            .any(|k| *k == whole || path.last() == Some(k))
    }

    fn is_harmless(&self, path: &[String], value: &Scalar) -> bool {
        if self.key(path) {
            return true;
        }
        let name = path.last().map_or("", String::as_str);
        if matches(&SECRET, name) && !matches(&ABOUT, name) {
            return value.text.is_empty();
        }
        matches!(value.kind, Kind::Bool | Kind::Null)
            || matches(&HARMLESS, &value.text)
            || self.values.contains(&value.text)
    }
}

/// The class of a length: the length itself would tell too much.
fn masked(text: &str) -> String {
    let class = match text.chars().count() {
        0..=8 => "1-8",
        9..=16 => "9-16",
        17..=32 => "17-32",
        _ => "33+",
    };
    format!("<masked: {class} characters>")
}

/// The lines of a text as they may be shown, and the values that are hidden.
fn lines(format: Option<Format>, text: &str, shown: &Shown) -> (Vec<String>, Vec<String>) {
    let (mut hidden, mut spans) = (Vec::new(), Vec::<Range<usize>>::new());
    let mut harmless: Vec<Range<usize>> = Vec::new();
    let tree = format
        .filter(|f| *f != Format::Python)
        .and_then(|f| f.parse(text).ok());
    let known = tree.is_some();
    for (path, node) in tree.iter().flat_map(super::tree::Node::written) {
        let Content::Scalar(value) = &node.content else {
            continue;
        };
        match shown.is_harmless(&path, value) {
            true => harmless.push(node.span.clone()),
            false => {
                hidden.push(value.text.clone());
                spans.push(node.span.clone());
            }
        }
    }
    if format == Some(Format::Python) {
        for found in STRING.iter().flat_map(|s| s.find_iter(text)) {
            let line = &text[text[..found.start()].rfind('\n').map_or(0, |n| n + 1)..found.start()];
            let name = NAME.as_ref().and_then(|n| n.captures(line));
            let path: Vec<String> = name.iter().map(|n| n[1].to_owned()).collect();
            let inner = found.as_str().trim_matches(['"', '\'']).to_owned();
            let value = Scalar {
                kind: Kind::Text,
                text: inner.clone(),
            };
            if !shown.is_harmless(&path, &value) {
                hidden.push(inner);
                spans.push(found.range());
            }
        }
    }
    spans.sort_by_key(|s| s.start);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let outside = |part: &str| match (known, format) {
        (true, _) => comments(part),
        (false, Some(Format::Python)) => assigned_numbers(part, shown),
        (false, _) => assignments(part, shown),
    };
    // What is harmless is cut out, too, so that a `#` in it is no comment.
    let mut parts: Vec<(Range<usize>, bool)> = spans.into_iter().map(|s| (s, true)).collect();
    parts.extend(harmless.into_iter().map(|s| (s, false)));
    parts.sort_by_key(|(s, _)| s.start);
    for (span, hide) in parts {
        if span.start < at {
            continue;
        }
        out.push_str(&outside(&text[at..span.start]));
        let value = &text[span.clone()];
        match hide {
            false => out.push_str(value),
            true => {
                out.push_str(&masked(value));
                out.extend(value.matches('\n').map(|_| "\n<masked>"));
            }
        }
        at = span.end;
    }
    out.push_str(&outside(&text[at..]));
    (out.split('\n').map(str::to_owned).collect(), hidden)
}

/// Comments without what looks like a value in them.
fn comments(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.split('\n') {
        let begin = [line.find('#'), line.find(';'), line.find("//")]
            .into_iter()
            .flatten()
            .min();
        lines.push(match begin {
            Some(at) => format!("{}{}", &line[..at], hide_all(&line[at..])),
            None => line.to_owned(),
        });
    }
    lines.join("\n")
}

/// Every value behind an equals sign or a colon.
fn hide_all(comment: &str) -> String {
    let at = comment.find(['=', ':']);
    match at {
        Some(at) if !comment[at + 1..].trim().is_empty() => {
            format!("{} {}", &comment[..=at], masked(comment[at + 1..].trim()))
        }
        _ if matches(&SECRET, comment) => masked(comment),
        _ => comment.to_owned(),
    }
}

/// What is outside of strings in Python: comments, and numbers under the names of secrets.
fn assigned_numbers(text: &str, shown: &Shown) -> String {
    let mut lines = Vec::new();
    for line in text.split('\n') {
        let (code, comment) = line.split_at(line.find('#').unwrap_or(line.len()));
        let secret = code.split_once('=').is_some_and(|(name, value)| {
            let value = Scalar {
                kind: Kind::Text,
                text: value.trim().to_owned(),
            };
            matches(&SECRET, name.trim())
                && !shown.is_harmless(&[name.trim().to_owned()], &value)
                && value.text.starts_with(|c: char| c.is_ascii_digit())
        });
        let code = match (secret, code.find('=')) {
            (true, Some(at)) => format!("{}= <masked>", &code[..at]),
            _ => code.to_owned(),
        };
        lines.push(format!("{code}{}", hide_all(comment)));
    }
    lines.join("\n")
}

/// The lines of a file of which nothing is known.
fn assignments(text: &str, shown: &Shown) -> String {
    let Some(pattern) = ASSIGNED.as_ref() else {
        return masked(text);
    };
    let hide = |found: &Captures<'_>| {
        let value = Scalar {
            kind: Kind::Text,
            text: found["value"]
                .trim()
                .trim_end_matches([';', ','])
                .trim_matches(['"', '\''])
                .to_owned(),
        };
        let path = [found["key"].to_owned()];
        match shown.is_harmless(&path, &value) {
            true => found[0].to_owned(),
            false => format!("{}{}{}", &found["key"], &found["sep"], masked(&value.text)),
        }
    };
    let lines = text
        .split('\n')
        .map(|line| pattern.replace(line, hide).into_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// A unified diff; none when nothing changes.
pub(super) fn unified(
    (from, to): (&str, &str),
    format: Option<Format>,
    (old, new): (&str, &str),
    shown: &Shown,
    redactor: &Redactor,
) -> Option<String> {
    if old == new {
        return None;
    }
    let head = format!("--- {from}\n+++ {to}\n");
    if old.len() + new.len() > LIMIT {
        return Some(format!(
            "{head}they differ, and are too long to show: {} and {} bytes\n",
            old.len(),
            new.len()
        ));
    }
    // The end of the last line is no line of its own, unless one of them has none.
    let ends = old.ends_with('\n') && new.ends_with('\n');
    let whole = |text: &'_ str| text.len() - usize::from(ends);
    let a: Vec<&str> = old[..whole(old)].split('\n').collect();
    let b: Vec<&str> = new[..whole(new)].split('\n').collect();
    let ((masked_a, hidden_a), (masked_b, hidden_b)) =
        (lines(format, old, shown), lines(format, new, shown));
    let diff = TextDiff::configure().timeout(PATIENCE).diff_slices(&a, &b);
    let mut out = head;
    for group in diff.grouped_ops(CONTEXT) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else {
            continue;
        };
        let (f, l) = (
            (first.old_range().start, first.new_range().start),
            (last.old_range().end, last.new_range().end),
        );
        out.push_str(&format!(
            "@@ -{},{} +{},{} @@\n",
            f.0 + 1,
            l.0 - f.0,
            f.1 + 1,
            l.1 - f.1
        ));
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let (sign, line) = match (change.tag(), change.old_index(), change.new_index()) {
                (ChangeTag::Equal, Some(n), _) => (' ', masked_a.get(n)),
                (ChangeTag::Delete, Some(n), _) => ('-', masked_a.get(n)),
                (ChangeTag::Insert, _, Some(n)) => ('+', masked_b.get(n)),
                _ => continue,
            };
            out.push(sign);
            out.push_str(line.map_or("<masked>", |l| l.trim_end_matches('\r')));
            out.push('\n');
        }
    }
    // A value that is hidden in one place is hidden in all.
    let long = |v: &String| v.len() >= SEARCHED && !shown.values.contains(v);
    let values: BTreeSet<String> = hidden_a.into_iter().chain(hidden_b).filter(long).collect();
    let values: Vec<(String, String)> = values.into_iter().map(|v| ("value".into(), v)).collect();
    let found = Redactor::new(&values).map_or_else(|_| masked(&out), |r| r.text(&out));
    Some(redactor.text(&found))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENV: &str = "DB_PASSWORD=hunter-1\nDATABASE_URL=mysql://app:hunter-2@db/app?ssl_password=hunter-3\nREDIS=redis://:hunter-4@r:6379/0\nSENTRY_DSN=https://hunter-5@sentry/1\nPRIVATE_KEY=\"-----BEGIN X-----\nhunter-6\n-----END X-----\"\nLDAP_BIND=hunter-7\n#DB_PASSWORD=hunter-8\nAUTH=Basic aHVudGVyLTk=\nPASSWORD_MIN_LENGTH=12\nPORT=1\nPIN=1234\n";

    fn diff(format: Option<Format>, old: &str, new: &str, shown: &Shown) -> String {
        unified(("a", "b"), format, (old, new), shown, &Redactor::none()).unwrap()
    }

    #[test]
    fn no_secret_is_left_and_no_change_is_hidden() {
        let new = ENV
            .replace("PORT=1", "PORT=2")
            .replace("LENGTH=12", "LENGTH=16");
        let other = ENV.replace("hunter-1", "hunter-9");
        for format in [Some(Format::Dotenv), None] {
            let shown = diff(format, ENV, &new, &Shown::default());
            for part in [
                "-PASSWORD_MIN_LENGTH=12",
                "+PASSWORD_MIN_LENGTH=16",
                "-PORT=1",
                "+PORT=2",
            ] {
                assert!(shown.contains(part), "{part}: {shown}");
            }
            for new in [&new, &other] {
                let shown = diff(format, ENV, new, &Shown::default());
                for part in ["hunter", "aHVudGVy", "1234"] {
                    assert!(!shown.contains(part), "{part}: {shown}");
                }
            }
            let shown = diff(format, ENV, &other, &Shown::default());
            assert!(
                shown.contains("-DB_PASSWORD=<masked") && shown.contains("+DB_PASSWORD=<masked"),
                "{shown}"
            );
        }
    }

    #[test]
    fn every_format_hides_its_values_and_shows_what_the_plan_says() {
        let shown = Shown {
            values: ["db-2".to_owned()].into(),
            keys: vec!["region".into()],
        };
        for (format, old) in [
            (
                Format::Yaml,
                "# was: hunter-0\ndb: {host: hunter-1, port: 3306}\nregion: north\nkey: |\n  hunter-2\n  hunter-3\n",
            ),
            (
                Format::Toml,
                "region = \"north\"\n[db]\nhost = \"hunter-1\" # hunter-1\nport = 3306\n",
            ),
            (
                Format::Json,
                "{\n  // was: hunter-0\n  \"host\": \"hunter-1\",\n  \"region\": \"north\"\n}\n",
            ),
            (
                Format::Ini,
                "[db]\nhost = hunter-1\nuser = x\n  hunter-2\nregion = north\n",
            ),
            (
                Format::Python,
                "region = 'north'\nDB = {'host': 'hunter-1'}\nTOKEN = \"\"\"x\nhunter-2\"\"\"\n",
            ),
        ] {
            let new = old.replace("hunter-1", "db-2");
            let found = diff(Some(format), old, &new, &shown);
            assert!(!found.contains("hunter"), "{format:?}: {found}");
            assert!(found.contains("db-2"), "{format:?}: {found}");
            assert!(found.contains("north"), "{format:?}: {found}");
        }
    }
}
