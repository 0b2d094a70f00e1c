//! Patterns for parts of a directory that are left out, as `rsync` and `.gitignore` have them.
//!
//! A pattern without a slash is for names at any depth, one with a slash for paths from the top. `*` and `?` stand for
//! anything but a slash, `**` for anything, `[a-z]` for one of these. What is below an entry that is left out is, too.

use crate::action::Error;
use crate::text::settings as text;
use regex::bytes::Regex;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// What is left out of a directory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Excluded(Vec<Regex>);

/// The regular expression for a pattern.
fn regex(pattern: &str) -> Result<Regex, regex::Error> {
    let pattern = pattern.trim_end_matches('/');
    let mut text = String::from(match pattern.contains('/') {
        true => r"(?-u)\A",
        false => r"(?-u)\A(?:.*/)?",
    });
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '*' if rest.starts_with("*/") => {
                text.push_str("(?:.*/)?");
                rest = &rest[2..];
            }
            '*' if rest.starts_with('*') => {
                text.push_str(".*");
                rest = &rest[1..];
            }
            '*' => text.push_str("[^/]*"),
            '?' => text.push_str("[^/]"),
            '[' if rest.contains(']') => {
                let (class, after) = rest.split_once(']').unwrap_or((rest, ""));
                let (sign, class) = match class.strip_prefix('!') {
                    Some(class) => ("^", class),
                    None => ("", class),
                };
                let class = class
                    .replace('\\', r"\\")
                    .replace('[', r"\[")
                    .replace('&', r"\&");
                text.push_str(&format!("[{sign}{class}]"));
                rest = after;
            }
            c => text.push_str(&regex::escape(&c.to_string())),
        }
    }
    text.push_str(r"\z");
    // `.` is a line feed, too.
    Regex::new(&format!("(?s){text}"))
}

/// What is wrong with a pattern.
pub(crate) fn problem(setting: &str, pattern: &str) -> Option<String> {
    let plain = pattern.trim_end_matches('/');
    if plain.is_empty() || plain.chars().all(|c| "*/".contains(c)) {
        return Some(text::leaves_nothing(setting, pattern));
    }
    if pattern.starts_with('/') || plain.split('/').any(|part| [".", ".."].contains(&part)) {
        return Some(text::no_inside_pattern(setting, pattern));
    }
    regex(pattern).err().map(|e| text::no_regex(setting, e))
}

impl Excluded {
    /// By these patterns.
    ///
    /// # Errors
    /// [`Error`] when one of them is none.
    pub(crate) fn by(patterns: &[String]) -> Result<Self, Error> {
        let all: Result<Vec<Regex>, _> = patterns.iter().map(|p| regex(p)).collect();
        all.map(Self)
            .map_err(|e| Error::io("a pattern of `exclude` cannot be read", &e))
    }

    /// Whether what is at this path inside the directory is left out.
    pub(crate) fn has(&self, inside: &Path) -> bool {
        self.0
            .iter()
            .any(|p| p.is_match(inside.as_os_str().as_bytes()))
    }

    /// Nothing is.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_for_any_depth_and_paths_are_from_the_top() {
        let has = |pattern: &str, path: &str| {
            Excluded::by(&[pattern.into()])
                .unwrap()
                .has(Path::new(path))
        };
        for (pattern, path) in [
            ("*.log", "a.log"),
            ("*.log", "x/y/a.log"),
            ("cache/", "x/cache"),
            ("x/*.tmp", "x/a.tmp"),
            ("x/**/z", "x/a/b/z"),
            ("x/**/z", "x/z"),
            ("[!a]?.bin", "bc.bin"),
            ("a+b(1)", "a+b(1)"),
            ("中*", "中文"),
        ] {
            assert!(has(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("*.log", "a.log.gz"),
            ("x/*.tmp", "y/x/a.tmp"),
            ("x/*.tmp", "x/y/a.tmp"),
            ("cache", "caches"),
            ("[!a]?.bin", "ac.bin"),
        ] {
            assert!(!has(pattern, path), "{pattern} {path}");
        }
        for bad in ["", "*", "**/", "/a", "../a", "[z-a]"] {
            assert!(problem("exclude", bad).is_some(), "{bad}");
        }
        assert_eq!(problem("exclude", "*.log"), None);
    }
}
