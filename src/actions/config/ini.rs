//! INI files as Python's configparser reads them: sections, `key = value` or `key: value`, comments on lines of their own, and
//! values that go on in indented lines. A note behind a value is a part of it.

use super::tree::{
    Content, Kind, Member, Node, Scalar, line_end, line_of, line_start, twice, with_line,
};
use crate::action::Error;

pub(super) fn parse(text: &str) -> Result<Node, Error> {
    let mut sections: Vec<Member> = Vec::new();
    let mut at = 0;
    // How far the key is indented whose value may go on.
    let mut open: Option<usize> = None;
    while at < text.len() {
        let (start, end) = (at, line_end(text, at));
        at = end;
        let line = &text[start..end];
        let content = line.trim();
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let written = start + line.trim_end().len();
        if let (Some(of), Some(section)) = (open, sections.last_mut())
            && indent > of
        {
            extend(section, text, written);
            continue;
        }
        let begin = start + indent;
        if let Some(name) = content.strip_prefix('[').and_then(|c| c.split_once(']')) {
            open = None;
            sections.push(Member {
                key: name.0.to_owned(),
                start: begin,
                value: Node::new(begin..written, Content::Map(Vec::new())),
            });
            continue;
        }
        let Some(section) = sections.last_mut() else {
            return Err(Error::certain(format!(
                "line {} stands before the first section",
                line_of(text, start)
            )));
        };
        open = Some(indent);
        section.value.span.end = written;
        if let Content::Map(members) = &mut section.value.content {
            members.push(option(text, begin, written));
        }
    }
    unique(text, &sections)?;
    Ok(Node::new(0..text.len(), Content::Map(sections)))
}

/// The option of a line.
fn option(text: &str, begin: usize, end: usize) -> Member {
    let line = &text[begin..end];
    let Some(at) = line.find(['=', ':']) else {
        return Member {
            key: line.to_owned(),
            start: begin,
            value: Node::new(end..end, scalar(Kind::Null, "")),
        };
    };
    let value = line[at + 1..].trim_start();
    let start = end - value.len();
    Member {
        key: line[..at].trim_end().to_owned(),
        start: begin,
        value: Node::new(start..end, scalar(Kind::Text, value)),
    }
}

fn scalar(kind: Kind, text: &str) -> Content {
    Content::Scalar(Scalar {
        kind,
        text: text.into(),
    })
}

/// The value of the last option goes on to there.
fn extend(section: &mut Member, text: &str, end: usize) {
    section.value.span.end = end;
    let Content::Map(members) = &mut section.value.content else {
        return;
    };
    if let Some(last) = members.last_mut() {
        last.value.span.end = end;
        let lines = text[last.value.span.start..end].lines().map(str::trim);
        last.value.content = scalar(Kind::Text, &lines.collect::<Vec<_>>().join("\n"));
    }
}

/// configparser refuses a file with an option twice, and takes names that differ in case for one.
fn unique(text: &str, sections: &[Member]) -> Result<(), Error> {
    for section in sections {
        let members = section.value.members();
        for member in members {
            let same = |m: &&Member| m.key.to_lowercase() == member.key.to_lowercase();
            let all: Vec<&Member> = members.iter().filter(same).collect();
            if all.len() > 1 && all.iter().any(|m| m.key != member.key) {
                return Err(twice(
                    text,
                    &[section.key.clone(), member.key.clone()],
                    &all,
                ));
            }
        }
    }
    Ok(())
}

/// The path with the option's name as the file writes it: names are compared without their case.
pub(super) fn as_written(tree: &Node, path: Vec<String>) -> Vec<String> {
    let [section, name] = path.as_slice() else {
        return path;
    };
    let mut sections = tree.members().iter().filter(|s| s.key == *section);
    let written = sections.find_map(|s| {
        let members = s.value.members();
        let exact = members.iter().find(|m| m.key == *name);
        let alike = |m: &&Member| m.key.to_lowercase() == name.to_lowercase();
        exact.or_else(|| members.iter().find(alike))
    });
    match written {
        Some(member) => vec![section.clone(), member.key.clone()],
        None => path,
    }
}

/// The value as it is written there.
pub(super) fn literal(value: &str, doubled: bool, former: Option<&Node>) -> Result<String, Error> {
    if value.contains(['\n', '\r']) || value.trim() != value {
        return Err(Error::certain(
            "a value of an INI file has no line break, and no blanks at its ends",
        ));
    }
    let value = if doubled {
        value.replace('%', "%%")
    } else {
        value.to_owned()
    };
    let valueless = former
        .and_then(Node::scalar)
        .is_some_and(|s| s.kind == Kind::Null);
    Ok(if valueless {
        format!(" = {value}")
    } else {
        value
    })
}

/// The text with one more option, in its section, which is added where there is none.
pub(super) fn insert(text: &str, tree: &Node, section: &str, name: &str, literal: &str) -> String {
    let mut sections = tree.members().iter();
    let Some(found) = sections.rfind(|s| s.key == section) else {
        let gap = if text.is_empty() || text.ends_with("\n\n") {
            text.to_owned()
        } else {
            with_line(text, text.len(), "")
        };
        let head = with_line(&gap, gap.len(), &format!("[{section}]"));
        return with_line(&head, head.len(), &format!("{name} = {literal}"));
    };
    let indent = found.value.members().first().map_or("", |m| {
        let start = line_start(text, m.start);
        &text[start..m.start]
    });
    let at = line_end(text, found.value.span.end);
    with_line(text, at, &format!("{indent}{name} = {literal}"))
}

/// The text without that option.
pub(super) fn remove(text: &str, member: &Member) -> String {
    let to = line_end(text, member.value.span.end);
    format!("{}{}", &text[..line_start(text, member.start)], &text[to..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "; keep\n[DEFAULT]\nHome = /srv\n\n[DB]\n# March\nPassWord = old\nurl: mysql://x   ; note\n  more\nEmpty\n[log]\nlevel=1\n";

    #[test]
    fn options_are_found_by_section_with_what_goes_on() {
        let tree = parse(TEXT).unwrap();
        let leaves = tree.leaves().unwrap();
        let value = |s: &str, k: &str| leaves[&vec![s.to_owned(), k.to_owned()]].text.clone();
        assert_eq!(value("DB", "PassWord"), "old");
        assert_eq!(value("DB", "url"), "mysql://x   ; note\nmore");
        assert_eq!(value("log", "level"), "1");
        let path = ["DB", "password"].map(str::to_owned).to_vec();
        assert_eq!(as_written(&tree, path), ["DB", "PassWord"]);
        let why = parse("[a]\nX=1\nx=2\n").unwrap_err().to_string();
        assert!(why.contains("in lines 2, 3"), "{why}");
    }

    #[test]
    fn an_option_is_added_to_its_own_section() {
        let tree = parse(TEXT).unwrap();
        let with = insert(TEXT, &tree, "DB", "host", "new");
        assert!(with.contains("Empty\nhost = new\n[log]"), "{with}");
        let with = insert(TEXT, &tree, "new", "a", "1");
        assert!(with.ends_with("level=1\n\n[new]\na = 1\n"), "{with}");
    }
}
