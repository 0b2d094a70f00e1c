//! JSON, with comments and trailing commas where the file has them: they stay.

use super::tree::{Content, Kind, Member, Node, Scalar, line_break, line_start};
use crate::action::Error;
use jsonc_parser::ast::{ObjectPropName, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

pub(super) fn parse(text: &str) -> Result<Node, Error> {
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let parsed = parse_to_ast(text, &CollectOptions::default(), &options)
        .map_err(|e| Error::certain(format!("the file is no JSON: {e}")))?;
    match &parsed.value {
        Some(value) => Ok(node(value)),
        None => Err(Error::certain("the file holds no JSON value")),
    }
}

fn node(value: &Value<'_>) -> Node {
    let range = value.range();
    let scalar = |kind, text: &str| {
        Content::Scalar(Scalar {
            kind,
            text: text.into(),
        })
    };
    let content = match value {
        Value::StringLit(s) => scalar(Kind::Text, &s.value),
        Value::NumberLit(n) => scalar(Kind::Number, n.value),
        Value::BooleanLit(b) => scalar(Kind::Bool, if b.value { "true" } else { "false" }),
        Value::NullKeyword(_) => scalar(Kind::Null, ""),
        Value::Array(list) => Content::List(list.elements.iter().map(node).collect()),
        Value::Object(object) => {
            let members = object.properties.iter().map(|p| Member {
                key: match &p.name {
                    ObjectPropName::String(s) => s.value.to_string(),
                    ObjectPropName::Word(w) => w.value.to_owned(),
                },
                start: p.name.range().start,
                value: node(&p.value),
            });
            Content::Map(members.collect())
        }
    };
    Node::new(range.start..range.end, content)
}

/// The value as JSON.
pub(super) fn literal(value: &Scalar) -> Result<String, Error> {
    let number = |t: &str| serde_json::from_str::<serde_json::Number>(t).is_ok();
    Ok(match value.kind {
        Kind::Null => "null".into(),
        Kind::Bool => value.text.clone(),
        Kind::Number if number(&value.text) => value.text.clone(),
        Kind::Number | Kind::Other => {
            return Err(Error::certain(format!(
                "'{}' is no number of JSON",
                value.text
            )));
        }
        Kind::Text => serde_json::Value::from(value.text.as_str()).to_string(),
    })
}

/// The text with one more member of that object, in the manner of its last one; `keys` may lead through new objects.
pub(super) fn insert(text: &str, object: &Node, keys: &[String], literal: &str) -> String {
    let name = |key: &String| serde_json::Value::from(key.as_str()).to_string();
    let mut value = literal.to_owned();
    for key in keys.iter().skip(1).rev() {
        value = format!("{{{}: {value}}}", name(key));
    }
    let made = format!("{}: {value}", keys.first().map(name).unwrap_or_default());
    let close = object.span.end - 1;
    let Some(last) = object.members().last() else {
        return format!(
            "{}{made}{}",
            &text[..=object.span.start],
            &text[object.span.start + 1..]
        );
    };
    let end = last.value.span.end;
    let line = line_start(text, last.start);
    let indent = &text[line..last.start];
    let alone = indent.trim().is_empty() && line > object.span.start;
    let gap = if alone {
        format!("{}{indent}", line_break(text))
    } else {
        " ".into()
    };
    // A comma that stands behind it already is of no string, and a comment may stand before it.
    match comma(&text[end..close]) {
        Some(at) => {
            let at = end + at + 1;
            format!("{}{gap}{made},{}", &text[..at], &text[at..])
        }
        None => format!("{},{gap}{made}{}", &text[..end], &text[end..]),
    }
}

/// The same beside a member of it.
pub(super) fn beside(
    text: &str,
    object: &Node,
    member: &Member,
    behind: bool,
    key: &str,
    literal: &str,
) -> String {
    let made = format!("{}: {literal}", serde_json::Value::from(key));
    let line = line_start(text, member.start);
    let indent = &text[line..member.start];
    let gap = match indent.trim().is_empty() && line > object.span.start {
        true => format!("{}{indent}", line_break(text)),
        false => " ".into(),
    };
    match behind {
        true => {
            let (before, after) = text.split_at(member.value.span.end);
            format!("{before},{gap}{made}{after}")
        }
        false => {
            let (before, after) = text.split_at(member.start);
            format!("{before}{made},{gap}{after}")
        }
    }
}

/// Where a comma stands outside of comments.
fn comma(text: &str) -> Option<usize> {
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with(',') {
            return Some(at);
        }
        let skipped = if rest.starts_with("//") {
            rest.find('\n')
        } else if rest.starts_with("/*") {
            rest.find("*/").map(|n| n + 2)
        } else {
            rest.chars().next().map(char::len_utf8)
        };
        at += skipped?;
    }
    None
}

/// The text without a member of that object.
pub(super) fn remove(text: &str, object: &Node, member: &Member) -> String {
    let mut end = member.value.span.end;
    let mut start = member.start;
    let close = object.span.end - 1;
    let line = line_start(text, start);
    match comma(&text[end..close]) {
        Some(at) if !text[end..close][..at].contains('\n') => end += at + 1,
        Some(_) => {}
        // The last one: the comma before it goes with it.
        None => {
            let before = object.members().iter().rev().find(|m| m.start < start);
            if let Some(before) = before {
                let from = before.value.span.end;
                if let Some(at) = comma(&text[from..start]) {
                    let cut = format!("{}{}", &text[..from + at], &text[from + at + 1..]);
                    return whole_line(&cut, start - 1, end - 1);
                }
            }
        }
    }
    if text[line..start].trim().is_empty()
        && text[end..]
            .trim_start_matches([' ', '\t'])
            .starts_with(['\n', '\r'])
    {
        return whole_line(text, start, end);
    }
    // Between others in the same line.
    let blanks = text[end..].len() - text[end..].trim_start_matches(' ').len();
    end += blanks;
    start = start.min(end);
    format!("{}{}", &text[..start], &text[end..])
}

/// Without a span, and without its line where it stands alone in it.
fn whole_line(text: &str, start: usize, end: usize) -> String {
    let from = line_start(text, start);
    let to = text[end..].find('\n').map_or(text.len(), |n| end + n + 1);
    let alone = text[from..start].trim().is_empty() && text[end..to].trim().is_empty();
    match alone {
        true => format!("{}{}", &text[..from], &text[to..]),
        false => format!("{}{}", text[..start].trim_end_matches(' '), &text[end..]),
    }
}
