//! YAML, by the places that its parser gives. Comments, anchors, merges and the order of keys stay.
//!
//! Invariants: a scalar without quotes has the type that both YAML 1.1 (PyYAML, Ruby) and YAML 1.2 (Go, JavaScript) give it,
//! or none that is known; what is written is read alike by both, or is put into quotes. Left out: several documents.

use super::tree::{
    Content, Kind, Member, Node, Scalar, line_break, line_end, line_of, line_start, with_line,
};
use crate::action::Error;
use regex::Regex;
use serde_saphyr::granit_parser::{
    Event, Marker, Options, Parser, ScalarStyle, Span, StructureStyle,
};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

/// A number to both versions, and the same one.
static NUMBER: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^[-+]?(0|[1-9][0-9]*)(\.[0-9]+([eE][-+][0-9]+)?)?$").ok());
/// What at least one of them takes for a number, a date or a time.
static NUMERIC: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)^([-+]?[0-9][0-9_.,:xobe+-]*|[-+]?0x[0-9a-f_]+|[-+]?\.[0-9_]+.*|[-+]?\.inf|\.nan|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*|[-+]?[0-9]+e[0-9]+)$").ok()
});
const BOOLEANS: [&str; 8] = ["true", "false", "yes", "no", "on", "off", "y", "n"];

fn matches(pattern: &LazyLock<Option<Regex>>, text: &str) -> bool {
    pattern.as_ref().is_some_and(|p| p.is_match(text))
}

/// The type of a scalar without quotes, where both versions agree.
fn plain_kind(text: &str) -> Kind {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "" | "~" | "null" => Kind::Null,
        "true" | "false" => Kind::Bool,
        other if BOOLEANS.contains(&other) || other == "=" || other == "<<" => Kind::Other,
        _ if matches(&NUMBER, text) => Kind::Number,
        _ if matches(&NUMERIC, text) => Kind::Other,
        _ => Kind::Text,
    }
}

/// A collection that is not complete yet.
struct Open {
    anchor: usize,
    start: usize,
    flow: bool,
    map: bool,
    key: Option<(String, usize)>,
    members: Vec<Member>,
    items: Vec<Node>,
}

struct Builder<'t> {
    text: &'t str,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    root: Option<Node>,
}

pub(super) fn parse(text: &str) -> Result<Node, Error> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    let mut builder = Builder {
        text,
        open: Vec::new(),
        anchors: BTreeMap::new(),
        root: None,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|e| {
            let line = e.marker().line();
            Error::certain(format!("the file is no YAML (line {line}): {}", e.info()))
        })?;
        builder.event(event, &span)?;
    }
    // An empty file is an empty document.
    Ok(builder
        .root
        .unwrap_or_else(|| Node::new(0..text.len(), Content::Map(Vec::new()))))
}

fn byte(text: &str, marker: &Marker) -> usize {
    let at = marker
        .byte_offset()
        .or_else(|| text.char_indices().nth(marker.index()).map(|(at, _)| at));
    at.unwrap_or(text.len()).min(text.len())
}

impl Builder<'_> {
    fn range(&self, span: &Span) -> Range<usize> {
        let start = byte(self.text, &span.start);
        start..byte(self.text, &span.end).max(start)
    }

    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), Error> {
        let range = self.range(span);
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                return Err(Error::certain(format!(
                    "the file holds several YAML documents; the second begins in line {}",
                    line_of(self.text, range.start)
                )));
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let kind = match tag {
                    Some(_) => Kind::Other,
                    None if plain => plain_kind(&text),
                    None => Kind::Text,
                };
                let text = match kind {
                    Kind::Bool => text.to_ascii_lowercase(),
                    Kind::Null => String::new(),
                    Kind::Text | Kind::Number | Kind::Other => text.into_owned(),
                };
                let mut node = Node::new(range, Content::Scalar(Scalar { kind, text }));
                node.anchored = anchor > 0;
                // A block's lines belong to it, and what follows does not.
                if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
                    let written = self.text[node.span.clone()].trim_end().len();
                    node.span.end = node.span.start + written;
                    if !self.text[node.span.start..].starts_with(['|', '>']) {
                        let before = self.text[..node.span.start].rfind(['|', '>']);
                        node.span.start = before.unwrap_or(node.span.start);
                    }
                }
                self.done(node, anchor);
            }
            Event::SequenceStart(style, anchor, _) => self.start(false, style, anchor, range.start),
            Event::MappingStart(style, anchor, _) => self.start(true, style, anchor, range.start),
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    let last = match open.map {
                        true => open.members.last().map(|m| m.value.span.end.max(m.start)),
                        false => open.items.last().map(|i| i.span.end),
                    };
                    let end = if open.flow {
                        range.end
                    } else {
                        last.unwrap_or(range.end)
                    };
                    let content = match open.map {
                        true => Content::Map(open.members),
                        false => Content::List(open.items),
                    };
                    let node = Node {
                        flow: open.flow,
                        anchored: open.anchor > 0,
                        ..Node::new(open.start..end.max(open.start), content)
                    };
                    self.done(node, open.anchor);
                }
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(Error::certain(format!(
                        "line {}: an alias refers to what it is a part of",
                        line_of(self.text, range.start)
                    )));
                };
                self.done(Node::new(range, Content::Alias(Box::new(node))), 0);
            }
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, map: bool, style: StructureStyle, anchor: usize, start: usize) {
        self.open.push(Open {
            anchor,
            start,
            flow: style == StructureStyle::Flow,
            map,
            key: None,
            members: Vec::new(),
            items: Vec::new(),
        });
    }

    fn done(&mut self, node: Node, anchor: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        if !open.map {
            open.items.push(node);
            return;
        }
        match open.key.take() {
            Some((key, start)) => open.members.push(Member {
                key,
                start,
                value: node,
            }),
            None => {
                let key = match node.scalar() {
                    // `null` and `true` are keys by their texts, too.
                    Some(_) => self.text[node.span.clone()]
                        .trim_matches(['"', '\''])
                        .to_owned(),
                    None => format!("? line {}", line_of(self.text, node.span.start)),
                };
                open.key = Some((key, node.span.start));
            }
        }
    }
}

/// The value as YAML that both versions read alike, in the quotes that it has now where that can be.
pub(super) fn literal(value: &Scalar, former: Option<&str>, flow: bool) -> Result<String, Error> {
    let text = value.text.as_str();
    Ok(match value.kind {
        Kind::Null => "null".into(),
        Kind::Bool => text.into(),
        Kind::Number if matches(&NUMBER, text) => text.into(),
        Kind::Number | Kind::Other => {
            return Err(Error::certain(format!(
                "readers of YAML 1.1 and 1.2 do not take {text} for the same number"
            ))
            .remedy("write it as a plain decimal number, or with `type: string`"));
        }
        Kind::Text => {
            let quote = former.and_then(|f| f.chars().next());
            let control = text.contains(|c: char| {
                c.is_control()
                    || c == '\u{feff}'
                    || c == '\u{2028}'
                    || c == '\u{2029}'
                    || c == '\u{85}'
            });
            match quote {
                _ if control => serde_json::Value::from(text).to_string(),
                Some('"') => serde_json::Value::from(text).to_string(),
                Some('\'') => single(text),
                _ if is_plain(text, flow) => text.into(),
                _ => single(text),
            }
        }
    })
}

fn single(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A string without quotes is read as itself by both versions.
fn is_plain(text: &str, flow: bool) -> bool {
    let first = text.chars().next();
    let indicator = |c: char| "-?:,[]{}#&*!|>'\"%@`=~<.+".contains(c);
    plain_kind(text) == Kind::Text
        && text.trim() == text
        && !first.is_none_or(|c| indicator(c) || c.is_ascii_digit())
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with(':')
        && !(flow && text.contains(['[', ']', '{', '}', ',']))
}

/// Where a value that is not written would be: behind the colon of its key.
pub(super) fn empty_place(text: &str, member: &Member) -> Range<usize> {
    let line = &text[member.start..line_end(text, member.start)];
    let at = line.find(':').map_or(line.trim_end().len(), |n| n + 1);
    member.start + at..member.start + at
}

/// A key, in quotes where it needs them.
pub(super) fn key(key: &str) -> String {
    let scalar = Scalar {
        kind: Kind::Text,
        text: key.to_owned(),
    };
    literal(&scalar, None, true).unwrap_or_default()
}

/// The text with one more key of that map; `keys` may lead through new maps.
pub(super) fn insert(text: &str, map: &Node, keys: &[String], literal: &str) -> String {
    let names: Vec<String> = keys.iter().map(|k| key(k)).collect();
    let empty = map.members().is_empty();
    if map.flow || (empty && map.span.end > map.span.start && text[map.span.clone()].ends_with('}'))
    {
        let inner = names
            .iter()
            .skip(1)
            .rev()
            .fold(literal.to_owned(), |value, key| {
                format!("{{{key}: {value}}}")
            });
        let close = map.span.end - 1;
        let open = text[..close].trim_end();
        let comma = if empty || open.ends_with(',') {
            ""
        } else {
            ", "
        };
        let gap = &text[open.len()..close];
        let first = names.first().cloned().unwrap_or_default();
        return format!("{open}{comma}{first}: {inner}{gap}{}", &text[close..]);
    }
    let first = map.members().first();
    let column = first.map_or(0, |m| {
        text[line_start(text, m.start)..m.start].chars().count()
    });
    let mut lines = Vec::new();
    for (depth, name) in names.iter().enumerate() {
        let indent = " ".repeat(column + 2 * depth);
        let last = depth + 1 == names.len();
        lines.push(match last {
            true => format!("{indent}{name}: {literal}"),
            false => format!("{indent}{name}:"),
        });
    }
    let end = map.members().last().map_or(text.len(), |m| {
        let end = m.value.span.end.max(m.start);
        line_end(text, end.max(m.start + 1) - 1)
    });
    with_line(text, end, &lines.join(line_break(text)))
}

/// The text without that key.
///
/// # Errors
/// [`Error`] when it does not stand in lines of its own.
pub(super) fn remove(text: &str, map: &Node, member: &Member) -> Result<String, Error> {
    let from = line_start(text, member.start);
    if map.flow || !text[from..member.start].trim().is_empty() {
        return Err(Error::certain(format!(
            "line {}: {} does not stand in lines of its own, and only such a key can be removed",
            line_of(text, member.start),
            member.key
        ))
        .remedy("remove it by hand"));
    }
    let end = member.value.span.end.max(member.start + 1) - 1;
    Ok(format!("{}{}", &text[..from], &text[line_end(text, end)..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_known_only_where_both_versions_agree() {
        for (text, kind) in [
            ("no", Kind::Other),
            ("on", Kind::Other),
            ("0644", Kind::Other),
            ("12:30", Kind::Other),
            ("1e5", Kind::Other),
            ("0x1F", Kind::Other),
            ("2026-11-29", Kind::Other),
            ("1.10", Kind::Number),
            ("3306", Kind::Number),
            ("True", Kind::Bool),
            ("~", Kind::Null),
            ("db-1", Kind::Text),
        ] {
            assert_eq!(plain_kind(text), kind, "{text}");
        }
    }

    #[test]
    fn a_string_that_a_version_would_retype_is_quoted() {
        let write = |text: &str| {
            let scalar = Scalar {
                kind: Kind::Text,
                text: text.into(),
            };
            literal(&scalar, None, false).unwrap()
        };
        for text in [
            "no", "1.10", "0644", "12:30", "1e5", "", "~", "a: b", "a #b", "*x", "10.0.0.1",
        ] {
            assert!(write(text).starts_with('\''), "{text}");
        }
        assert_eq!(write("db-2.local"), "db-2.local");
        assert_eq!(write("two\nlines"), "\"two\\nlines\"");
    }
}
