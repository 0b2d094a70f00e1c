//! Names of programs or units, and patterns of them: the members of a set that is stopped and started as one service.
//!
//! In a pattern `*` stands for any text, also for none, and `?` for one character. What it matches is looked up anew each
//! time, so that a member that has come or gone meanwhile is seen.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use std::borrow::Cow;
use std::fmt;

/// One name or pattern, or several.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Names(pub(crate) Vec<String>);

impl Names {
    /// What is expected in its place.
    pub(crate) const WANTED: &str = "a name, or a list of names";

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// It may mean several names, or none.
pub(crate) fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

/// A pattern that says nothing about a name matches all there are.
pub(crate) fn says_nothing(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| matches!(c, '*' | '?' | ':'))
}

/// That name is the one that is meant, or the pattern matches it.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where the last star stands, and how much of the name it stood for when that was last tried.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => (p, n) = (p + 1, n + 1),
            Some(_) | None => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, n) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Names::WANTED)
            }

            fn visit_str<E>(self, name: &str) -> Result<Names, E> {
                Ok(Names(vec![name.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }
        d.deserialize_any(Read)
    }
}

impl JsonSchema for Names {
    fn schema_name() -> Cow<'static, str> {
        "Names".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let schema = json!({
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]
        });
        Schema::try_from(schema).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text_and_a_question_mark_for_one_character() {
        for (pattern, name) in [
            ("web", "web"),
            ("bk_*", "bk_log:worker"),
            ("bk_*", "bk_"),
            ("*:worker", "bk_log:worker"),
            ("bk*log*er", "bk_log:worker"),
            ("worker@?.service", "worker@1.service"),
            ("a*b*c", "axbxbxc"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("web", "web2"),
            ("bk_*", "xbk_a"),
            ("worker@?.service", "worker@10.service"),
            ("a*b", "ac"),
            ("", "a"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        assert!(says_nothing("*") && says_nothing("*:*") && says_nothing("?*"));
        assert!(!says_nothing("a*") && !says_nothing(""));
    }

    #[test]
    fn one_name_is_a_list_of_one() {
        let read = |text: &str| serde_json::from_str::<Names>(text).map(|n| n.0);
        assert_eq!(read(r#""a*""#).unwrap(), ["a*"]);
        assert_eq!(read(r#"["a", "b"]"#).unwrap(), ["a", "b"]);
        assert!(read("7").is_err());
        let text = serde_json::to_string(&Names(vec!["a".into()])).unwrap();
        assert_eq!(text, r#"["a"]"#);
    }
}
