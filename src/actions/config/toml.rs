//! TOML, by the spans that toml_edit gives. A key is added to the table that it belongs to, never behind the last one.

use super::tree::{Content, Kind, Member, Node, Scalar, line_end, line_start, with_line};
use crate::action::Error;
use toml_edit::{Document, Item, Table, Value};

pub(super) fn parse(text: &str) -> Result<Node, Error> {
    let document = Document::parse(text)
        .map_err(|e| Error::certain(format!("the file is no TOML: {}", e.message())))?;
    let mut root = table(document.as_table());
    root.span = 0..text.len();
    Ok(root)
}

fn table(table: &Table) -> Node {
    let members = table.iter().filter_map(|(key, item)| {
        let value = item_node(item)?;
        let written = table.key(key).and_then(toml_edit::Key::span);
        Some(Member {
            key: key.to_owned(),
            start: written.map_or(value.span.start, |s| s.start),
            value,
        })
    });
    let content = Content::Map(members.collect());
    Node::new(table.span().unwrap_or_default(), content)
}

fn item_node(item: &Item) -> Option<Node> {
    Some(match item {
        Item::None => return None,
        Item::Value(value) => value_node(value),
        Item::Table(inner) => table(inner),
        Item::ArrayOfTables(tables) => Node::new(
            tables.span().unwrap_or_default(),
            Content::List(tables.iter().map(table).collect()),
        ),
    })
}

fn value_node(value: &Value) -> Node {
    let span = value.span().unwrap_or_default();
    let scalar = |kind, text: String| Content::Scalar(Scalar { kind, text });
    let written = |f: &dyn Fn() -> Option<String>| f().unwrap_or_default();
    let content = match value {
        Value::String(s) => scalar(Kind::Text, s.value().clone()),
        Value::Integer(n) => scalar(
            Kind::Number,
            written(&|| Some(n.display_repr().into_owned())),
        ),
        Value::Float(n) => scalar(
            Kind::Number,
            written(&|| Some(n.display_repr().into_owned())),
        ),
        Value::Boolean(b) => scalar(Kind::Bool, b.value().to_string()),
        Value::Datetime(d) => scalar(Kind::Other, d.value().to_string()),
        Value::Array(list) => Content::List(list.iter().map(value_node).collect()),
        Value::InlineTable(inner) => {
            let members = inner.iter().map(|(key, value)| {
                let value = value_node(value);
                let written = inner.key(key).and_then(toml_edit::Key::span);
                Member {
                    key: key.to_owned(),
                    start: written.map_or(value.span.start, |s| s.start),
                    value,
                }
            });
            Content::Map(members.collect())
        }
    };
    let flow = matches!(value, Value::InlineTable(_) | Value::Array(_));
    Node {
        flow,
        ..Node::new(span, content)
    }
}

/// The value as TOML, in the quotes that it has now where that can be.
pub(super) fn literal(value: &Scalar, former: Option<&str>) -> Result<String, Error> {
    Ok(match value.kind {
        Kind::Number | Kind::Bool => value.text.clone(),
        Kind::Null | Kind::Other => {
            return Err(Error::certain(
                "TOML has no null; remove the key with `remove: true`",
            ));
        }
        Kind::Text => {
            let literal = former.is_some_and(|f| f.starts_with('\'') && !f.starts_with("'''"));
            if literal && !value.text.contains(|c: char| c == '\'' || c.is_control()) {
                format!("'{}'", value.text)
            } else {
                let json = serde_json::Value::from(value.text.as_str()).to_string();
                json.replace('\u{7f}', "\\u007f")
            }
        }
    })
}

/// The text with one more key of that table; `keys` are joined by dots.
pub(super) fn insert(text: &str, of: &Node, root: bool, keys: &[String], literal: &str) -> String {
    let keys: Vec<String> = keys.iter().map(|k| key(k)).collect();
    let line = format!("{} = {literal}", keys.join("."));
    if of.flow {
        let close = of.span.end - 1;
        let open = text[..close].trim_end();
        let gap = if of.members().is_empty() { "" } else { "," };
        return format!("{open}{gap} {line} {}", &text[close..]);
    }
    let own = |m: &&Member| match &m.value.content {
        Content::Map(_) => m.value.flow,
        Content::List(items) => m.value.flow || items.is_empty(),
        Content::Scalar(_) | Content::Alias(_) => true,
    };
    let last = of
        .members()
        .iter()
        .filter(own)
        .max_by_key(|m| m.value.span.end);
    if let Some(last) = last {
        let start = line_start(text, last.start);
        let indent: String = text[start..]
            .chars()
            .take_while(|c| *c == ' ' || *c == '\t')
            .collect();
        return with_line(
            text,
            line_end(text, last.value.span.end),
            &format!("{indent}{line}"),
        );
    }
    if !root {
        return with_line(text, line_end(text, of.span.start), &line);
    }
    // Before the first header and the comments right above it.
    let mut at = of
        .members()
        .iter()
        .map(|m| line_start(text, m.start))
        .min()
        .unwrap_or(text.len());
    while at > 0 {
        let above = line_start(text, at - 1);
        if !text[above..at].trim_start().starts_with('#') {
            break;
        }
        at = above;
    }
    with_line(text, at, &line)
}

/// A key, in quotes where it needs them.
pub(super) fn key(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) {
        key.to_owned()
    } else {
        serde_json::Value::from(key).to_string()
    }
}

/// The text without that key.
///
/// # Errors
/// [`Error`] when it does not stand in lines of its own.
pub(super) fn remove(text: &str, of: &Node, member: &Member) -> Result<String, Error> {
    let nested = matches!(member.value.content, Content::Map(_)) && !member.value.flow;
    if of.flow || nested {
        return Err(Error::certain(format!(
            "{} is no key in a line of its own, and only such a key can be removed",
            member.key
        ))
        .remedy("remove it by hand"));
    }
    let (from, to) = (
        line_start(text, member.start),
        line_end(text, member.value.span.end),
    );
    Ok(format!("{}{}", &text[..from], &text[to..]))
}
