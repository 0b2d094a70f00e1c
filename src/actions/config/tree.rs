//! A configuration file as a tree of values with the place of each in the text, whatever its format.
//!
//! Invariants: spans are bytes of the text that was parsed; a key that stands twice is there twice, and nothing chooses
//! one of them silently; what an alias of YAML stands for counts as a value of its own when documents are compared.

use crate::action::Error;
use std::collections::BTreeMap;
use std::ops::Range;

/// How deep values may be nested, aliases put in.
const DEPTH: usize = 128;
/// How many values a document may hold, aliases put in.
const LEAVES: usize = 200_000;

/// The type of a single value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Text,
    Number,
    Bool,
    Null,
    /// A date, or what else a format has.
    Other,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Number => "a number",
            Self::Bool => "a boolean",
            Self::Null => "null",
            Self::Other => "a value of another type",
        }
    }
}

/// A single value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Scalar {
    pub(super) kind: Kind,
    /// What it reads as; a number as it is written.
    pub(super) text: String,
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Where it is written, its quotes included.
    pub(super) span: Range<usize>,
    pub(super) content: Content,
    /// It stands in braces or brackets.
    pub(super) flow: bool,
    /// Another place refers to it.
    pub(super) anchored: bool,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Scalar(Scalar),
    Map(Vec<Member>),
    List(Vec<Node>),
    /// It refers to a node that stands elsewhere.
    Alias(Box<Node>),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) key: String,
    /// Where it begins, such as at the key or at an `export` before it.
    pub(super) start: usize,
    pub(super) value: Node,
}

/// Where a path leads.
#[derive(Debug)]
pub(super) enum Found<'t> {
    /// To these values; more than one where a key stands twice.
    Values(Vec<&'t Member>),
    /// To an item of a list.
    Item(&'t Node),
    /// Nowhere: the last map on the way, and how many keys led to it.
    Missing(&'t Node, usize),
}

impl Node {
    pub(super) fn new(span: Range<usize>, content: Content) -> Self {
        Self {
            span,
            content,
            flow: false,
            anchored: false,
        }
    }

    pub(super) fn members(&self) -> &[Member] {
        match &self.content {
            Content::Map(members) => members,
            Content::Scalar(_) | Content::List(_) | Content::Alias(_) => &[],
        }
    }

    pub(super) fn scalar(&self) -> Option<&Scalar> {
        match &self.content {
            Content::Scalar(scalar) => Some(scalar),
            Content::Map(_) | Content::List(_) | Content::Alias(_) => None,
        }
    }

    /// Where a path leads.
    ///
    /// # Errors
    /// [`Error`] when the way leads through a single value, an alias, or a key that stands twice.
    pub(super) fn find<'t>(&'t self, text: &str, path: &[String]) -> Result<Found<'t>, Error> {
        let mut at = self;
        for (depth, key) in path.iter().enumerate() {
            let last = depth + 1 == path.len();
            let so_far = shown(&path[..depth]);
            match &at.content {
                Content::Map(members) => {
                    let same: Vec<&Member> = members.iter().filter(|m| m.key == *key).collect();
                    match same.as_slice() {
                        [] => return Ok(Found::Missing(at, depth)),
                        _ if last => return Ok(Found::Values(same)),
                        [one] => at = &one.value,
                        several => return Err(twice(text, &path[..=depth], several)),
                    }
                }
                Content::List(items) => {
                    let item = key.parse().ok().and_then(|n: usize| items.get(n));
                    match item {
                        Some(item) if last => return Ok(Found::Item(item)),
                        Some(item) => at = item,
                        None => {
                            return Err(Error::certain(format!(
                                "{so_far} is a list of {} items, and '{key}' is none of them",
                                items.len()
                            )));
                        }
                    }
                }
                Content::Alias(_) => {
                    let line = line_of(text, at.span.start);
                    return Err(Error::certain(format!(
                        "{so_far} is an alias (line {line}): to change {} would change what it refers to",
                        shown(path)
                    ))
                    .remedy("edit the key where the anchor is, with `aliases: true`, or replace the alias by hand"));
                }
                Content::Scalar(scalar) => {
                    return Err(Error::certain(format!(
                        "{so_far} is {}, so that there is no {}",
                        scalar.kind.word(),
                        shown(path)
                    )));
                }
            }
        }
        Err(Error::certain("the key is empty"))
    }

    /// Every single value by its path; that of a key that stands twice with its number.
    ///
    /// # Errors
    /// [`Error`] when aliases make it too large.
    pub(super) fn leaves(&self) -> Result<BTreeMap<Vec<String>, Scalar>, Error> {
        let mut found = BTreeMap::new();
        self.gather(&mut Vec::new(), &mut found)?;
        Ok(found)
    }

    fn gather(
        &self,
        path: &mut Vec<String>,
        found: &mut BTreeMap<Vec<String>, Scalar>,
    ) -> Result<(), Error> {
        if path.len() > DEPTH || found.len() > LEAVES {
            return Err(Error::certain(format!(
                "the document has more than {LEAVES} values, or more than {DEPTH} levels of them, with what its aliases stand for"
            )));
        }
        let empty = |text: &str| Scalar {
            kind: Kind::Other,
            text: text.into(),
        };
        match &self.content {
            Content::Scalar(scalar) => {
                found.insert(path.clone(), scalar.clone());
            }
            Content::Map(members) => {
                if members.is_empty() {
                    found.insert(path.clone(), empty("{}"));
                }
                let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
                for member in members {
                    let nth = seen.entry(&member.key).or_default();
                    *nth += 1;
                    let name = match nth {
                        1 => member.key.clone(),
                        nth => format!("{}#{nth}", member.key),
                    };
                    path.push(name);
                    member.value.gather(path, found)?;
                    path.pop();
                }
            }
            Content::List(items) => {
                if items.is_empty() {
                    found.insert(path.clone(), empty("[]"));
                }
                for (n, item) in items.iter().enumerate() {
                    path.push(n.to_string());
                    item.gather(path, found)?;
                    path.pop();
                }
            }
            Content::Alias(node) => node.gather(path, found)?,
        }
        Ok(())
    }

    /// Every single value that is written in the text, with the keys that lead to it.
    pub(super) fn written(&self) -> Vec<(Vec<String>, &Node)> {
        fn below<'t>(
            node: &'t Node,
            path: &mut Vec<String>,
            found: &mut Vec<(Vec<String>, &'t Node)>,
        ) {
            match &node.content {
                Content::Scalar(_) => found.push((path.clone(), node)),
                Content::Alias(_) => {}
                Content::Map(members) => {
                    for member in members {
                        path.push(member.key.clone());
                        below(&member.value, path, found);
                        path.pop();
                    }
                }
                Content::List(items) => items.iter().for_each(|item| below(item, path, found)),
            }
        }
        let mut found = Vec::new();
        below(self, &mut Vec::new(), &mut found);
        found
    }
}

/// A key that stands twice.
pub(super) fn twice(text: &str, path: &[String], members: &[&Member]) -> Error {
    let lines: Vec<String> = members
        .iter()
        .map(|m| line_of(text, m.start).to_string())
        .collect();
    Error::certain(format!(
        "{} is there {} times, in lines {}; readers take the last, the first, or refuse the file",
        shown(path),
        members.len(),
        lines.join(", ")
    ))
    .remedy("say `duplicates: all` to change each, or `duplicates: last`, or remove all but one")
}

/// A path for people.
pub(super) fn shown(path: &[String]) -> String {
    match path {
        [] => "the document".into(),
        path => path.join("."),
    }
}

/// The number of the line of a byte, from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    before.iter().filter(|b| **b == b'\n').count() + 1
}

/// The beginning of the line of a byte.
pub(super) fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |n| n + 1)
}

/// The byte behind the end of the line of a byte, its line break included.
pub(super) fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |n| at + n + 1)
}

/// The line break that a text uses: that of its last line that has one.
pub(super) fn line_break(text: &str) -> &'static str {
    match text.rfind('\n') {
        Some(n) if text[..n].ends_with('\r') => "\r\n",
        Some(_) | None => "\n",
    }
}

/// The text with something put in at a byte which begins a line; a line before it that has no end gets one.
pub(super) fn with_line(text: &str, at: usize, line: &str) -> String {
    let ending = line_break(text);
    let (before, after) = text.split_at(at);
    let open = !before.is_empty() && !before.ends_with('\n');
    match (open, after.is_empty()) {
        // As file.line does: no ending at the end when there was none.
        (true, true) => format!("{before}{ending}{line}"),
        (true, false) => format!("{before}{ending}{line}{ending}{after}"),
        (false, _) => format!("{before}{line}{ending}{after}"),
    }
}

/// The text with another part in the place of a span.
pub(super) fn spliced(text: &str, span: &Range<usize>, with: &str) -> String {
    format!("{}{with}{}", &text[..span.start], &text[span.end..])
}
