//! `.env` files: assignments with quotes over several lines, comments, `export`. Read here to find where a value stands; what
//! it means is for the reader to say, because python-dotenv, django-environ and the shell do not agree.
//!
//! Invariant: what is no assignment is refused, because the tail of a value that was cut off looks like that.

use super::tree::{Content, Kind, Member, Node, Scalar, line_end, line_of, line_start, with_line};
use crate::action::Error;
use std::ops::Range;

/// The ways to write a value, in the order in which they are tried.
pub(super) const STYLES: [Style; 5] = [
    Style::Plain,
    Style::Single,
    Style::Double,
    Style::Shell,
    Style::Escaped,
];

/// A way to write a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Single,
    Double,
    /// In double quotes, with a backslash before all that a shell would expand.
    Shell,
    /// In single quotes, with a backslash before each: no shell reads it so.
    Escaped,
}

pub(super) fn parse(text: &str) -> Result<Node, Error> {
    let (mut at, mut members) = (0, Vec::new());
    while at < text.len() {
        let rest = &text[at..];
        let blank = rest.len() - rest.trim_start().len();
        at += blank;
        let line = text[at..line_end(text, at)].trim_end();
        if line.is_empty() {
            break;
        }
        if line.starts_with('#') {
            at = line_end(text, at);
            continue;
        }
        let member = assignment(text, at, line)?;
        at = line_end(text, member.value.span.end);
        members.push(member);
    }
    Ok(Node::new(0..text.len(), Content::Map(members)))
}

/// The assignment that begins there.
fn assignment(text: &str, start: usize, line: &str) -> Result<Member, Error> {
    let no = || {
        Error::certain(format!(
            "line {} is no assignment; it may be the rest of a value over several lines that was cut off",
            line_of(text, start)
        ))
        .remedy("correct the file")
    };
    let export = line
        .strip_prefix("export")
        .filter(|l| l.starts_with([' ', '\t']));
    let named = export.map_or(line, str::trim_start);
    let equals = named.find('=').ok_or_else(no)?;
    let name = named[..equals].trim();
    let key = name
        .strip_prefix('\'')
        .and_then(|n| n.strip_suffix('\''))
        .unwrap_or(name);
    let word = |c: char| !c.is_whitespace() && c != '#' && c != '\'' && c != '"';
    if key.is_empty() || !key.chars().all(word) {
        return Err(no());
    }
    let behind = start + (line.len() - named.len()) + equals + 1;
    let gap = text[behind..].len() - text[behind..].trim_start_matches([' ', '\t']).len();
    let (span, value) = value(text, behind + gap)?;
    let tail = text[span.end..line_end(text, span.end)].trim();
    if !tail.is_empty() && !tail.starts_with('#') {
        return Err(no());
    }
    let scalar = Scalar {
        kind: Kind::Text,
        text: value,
    };
    Ok(Member {
        key: key.to_owned(),
        start,
        value: Node::new(span, Content::Scalar(scalar)),
    })
}

/// The value that begins there: its place, quotes included, and its text.
fn value(text: &str, start: usize) -> Result<(Range<usize>, String), Error> {
    let rest = &text[start..];
    let Some(quote) = rest.chars().next().filter(|c| ['\'', '"'].contains(c)) else {
        let line = rest.split(['\n', '\r']).next().unwrap_or_default();
        let comment = line
            .char_indices()
            .find(|(at, c)| *c == '#' && (*at == 0 || line[..*at].ends_with([' ', '\t'])));
        let value = line[..comment.map_or(line.len(), |(at, _)| at)].trim_end();
        return Ok((start..start + value.len(), value.to_owned()));
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => {
                escaped = false;
                match (quote, c) {
                    ('"', 'n') => value.push('\n'),
                    ('"', 't') => value.push('\t'),
                    ('"', 'r') => value.push('\r'),
                    (_, '\\') => value.push('\\'),
                    ('"', '$' | '`') => value.push(c),
                    (q, c) if q == c => value.push(c),
                    (_, c) => value.extend(['\\', c]),
                }
            }
            '\\' => escaped = true,
            c if c == quote => return Ok((start..start + at + 1, value)),
            c => value.push(c),
        }
    }
    Err(Error::certain(format!(
        "the quote that begins in line {} has no end",
        line_of(text, start)
    )))
}

/// A value as it is written in that style; none when it cannot be.
pub(super) fn literal(value: &str, style: Style) -> Option<String> {
    match style {
        // Whatever a shell would execute is never written without quotes.
        Style::Plain => (alike(value) == Some(Style::Plain)).then(|| value.to_owned()),
        Style::Single => (!value.contains('\'')).then(|| format!("'{value}'")),
        Style::Double => {
            let escaped = value.replace('\\', r"\\").replace('"', "\\\"");
            (!value.contains(['$', '`'])).then(|| format!("\"{escaped}\""))
        }
        Style::Shell => {
            let escaped = ['\\', '"', '$', '`']
                .iter()
                .fold(value.to_owned(), |text, c| {
                    text.replace(*c, &format!("\\{c}"))
                });
            Some(format!("\"{escaped}\""))
        }
        Style::Escaped => {
            let escaped = value.replace('\\', r"\\").replace('\'', r"\'");
            Some(format!("'{escaped}'"))
        }
    }
}

/// The style in which a value can be written that python-dotenv, django-environ and the shell are known to read alike; none
/// where a reader has to be asked.
pub(super) fn alike(value: &str) -> Option<Style> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:@%+,=-".contains(c);
    if value.chars().all(plain) {
        return Some(Style::Plain);
    }
    let special = |c: char| ['\'', '\\', '$', '\n', '\r'].contains(&c) || c.is_control();
    (!value.contains(special)).then_some(Style::Single)
}

/// The style of a value as it is written now.
pub(super) fn style_of(written: &str) -> Style {
    match written.chars().next() {
        Some('\'') => Style::Single,
        Some('"') => Style::Double,
        _ => Style::Plain,
    }
}

/// The text with one more assignment.
pub(super) fn insert(text: &str, key: &str, literal: &str) -> String {
    with_line(text, text.len(), &format!("{key}={literal}"))
}

/// The text without that assignment.
pub(super) fn remove(text: &str, member: &Member) -> String {
    let (from, to) = (
        line_start(text, member.start),
        line_end(text, member.value.span.end),
    );
    format!("{}{}", &text[..from], &text[to..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Vec<(String, String)> {
        let tree = parse(text).unwrap();
        let members = tree.members().iter();
        members
            .map(|m| (m.key.clone(), m.value.scalar().unwrap().text.clone()))
            .collect()
    }

    #[test]
    fn assignments_are_found_whole_with_quotes_over_several_lines() {
        let text = "# c\r\nA=pa#ss\r\nB=pa #ss\nC=\"x\nDB_HOST=no\nabc=\n\"\nexport F='it' # c\nG = spaced \nH=\nDB_HOST=db1";
        let found = keys(text);
        let found: Vec<(&str, &str)> = found.iter().map(|(k, v)| (&k[..], &v[..])).collect();
        assert_eq!(
            found,
            [
                ("A", "pa#ss"),
                ("B", "pa"),
                ("C", "x\nDB_HOST=no\nabc=\n"),
                ("F", "it"),
                ("G", "spaced"),
                ("H", ""),
                ("DB_HOST", "db1")
            ]
        );
    }

    #[test]
    fn the_tail_of_a_value_is_refused() {
        for (text, line) in [
            ("A=1\n-----END X-----\"\n", "line 2"),
            ("A='x\nB=2\n", "line 1"),
        ] {
            let why = parse(text).unwrap_err().to_string();
            assert!(why.contains(line), "{why}");
        }
    }

    #[test]
    fn a_value_is_written_so_that_all_readers_agree_or_somebody_has_to_be_asked() {
        assert_eq!(alike("db-2.local:3306"), Some(Style::Plain));
        assert_eq!(alike("pa #ss"), Some(Style::Single));
        for asked in ["it's", "ab$cd", "a\\b", "two\nlines"] {
            assert_eq!(alike(asked), None, "{asked}");
        }
    }

    #[test]
    fn a_line_is_added_behind_one_without_an_end() {
        assert_eq!(
            insert("A=1\r\nLAST=x", "NEW", "1"),
            "A=1\r\nLAST=x\r\nNEW=1"
        );
        let tree = parse("A=1\nB='x\ny'\nC=2\n").unwrap();
        assert_eq!(
            remove("A=1\nB='x\ny'\nC=2\n", &tree.members()[1]),
            "A=1\nC=2\n"
        );
    }
}
