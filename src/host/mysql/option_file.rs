//! Option files of MariaDB and MySQL clients, such as `/etc/mysql/debian.cnf`: what they say about a connection, and one
//! that is made for a client program.
//!
//! Only the groups that every client reads are taken, and only what says where the server is and who asks: an option such
//! as `default-character-set` of such a file must not change what a dump holds.

use crate::action::Error;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The groups that every client reads.
const GROUPS: [&str; 3] = ["client", "client-server", "client-mariadb"];
/// How deep files may include files.
const DEPTH: usize = 8;

/// The options of those groups, by their names with `-`; the last one counts. An option without a value is empty.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, String>, Error> {
    let mut found = BTreeMap::new();
    take(path, 0, &mut found)?;
    Ok(found)
}

fn take(path: &Path, depth: usize, found: &mut BTreeMap<String, String>) -> Result<(), Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Error::io(format!("cannot read {}", path.display()), &e))?;
    let mut ours = false;
    for line in text.lines() {
        let line = line.trim();
        if let Some(group) = line.strip_prefix('[') {
            let name = group.split(']').next().unwrap_or_default().trim();
            ours = GROUPS.contains(&name);
        } else if let Some(rest) = line.strip_prefix("!include") {
            if depth == DEPTH {
                let what = format!("{}: files include each other", path.display());
                return Err(Error::new(what));
            }
            for file in included(path, rest)? {
                take(&file, depth + 1, found)?;
            }
        } else if ours && !line.is_empty() && !line.starts_with(['#', ';']) {
            let (name, value) = option(line);
            found.insert(name, value);
        }
    }
    Ok(())
}

/// The files of `!include FILE` and `!includedir DIRECTORY`.
fn included(from: &Path, rest: &str) -> Result<Vec<PathBuf>, Error> {
    let beside = |name: &str| from.parent().unwrap_or(Path::new("/")).join(name.trim());
    let Some(dir) = rest.strip_prefix("dir") else {
        return Ok(vec![beside(rest)]);
    };
    let dir = beside(dir);
    let listed = std::fs::read_dir(&dir)
        .map_err(|e| Error::io(format!("cannot read {}", dir.display()), &e))?;
    let mut files: Vec<PathBuf> = listed
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "cnf"))
        .collect();
    files.sort();
    Ok(files)
}

/// The name and the value of a line.
fn option(line: &str) -> (String, String) {
    let line = without_comment(line);
    let (name, value) = line.split_once('=').unwrap_or((line, ""));
    let name = name.trim().replace('_', "-");
    let name = name.strip_prefix("loose-").unwrap_or(&name).to_owned();
    (name, unquoted(value.trim()))
}

/// Up to a `#` that is in no quotes.
fn without_comment(line: &str) -> &str {
    let (mut quote, mut escaped) = (None, false);
    for (at, c) in line.char_indices() {
        match quote {
            None if c == '#' => return &line[..at],
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(q) if c == q && !escaped => quote = None,
            _ => {}
        }
        escaped = quote.is_some() && c == '\\' && !escaped;
    }
    line
}

fn unquoted(value: &str) -> String {
    let inner = ['"', '\''].iter().find_map(|q| {
        let inner = value.strip_prefix(*q)?.strip_suffix(*q)?;
        Some(inner)
    });
    let mut out = String::new();
    let mut chars = inner.unwrap_or(value).chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('b') => out.push('\u{8}'),
            Some('s') => out.push(' '),
            Some(q @ ('"' | '\'' | '\\')) => out.push(q),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

/// A file with these options for every client.
pub(super) fn written(options: &[(&str, String)]) -> String {
    let mut text = String::from("[client]\n");
    for (name, value) in options {
        let value = value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
            .replace('\r', "\\r")
            .replace('\t', "\\t");
        text.push_str(&format!("{name}=\"{value}\"\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_of_every_client_are_read_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("conf.d")).unwrap();
        std::fs::write(at("conf.d/a.cnf"), "[client]\nport = 3307 # one\n").unwrap();
        std::fs::write(at("conf.d/readme"), "[client]\nport=1\n").unwrap();
        std::fs::write(
            at("my.cnf"),
            "user=nobody\n[mysqldump]\nuser=dumper\n[client]\n; a comment\nuser = app\nloose_ssl_ca=/ca\n\
             password=\"p#a\\\"\\s\"\ncompress\n!includedir conf.d\n[mysqld]\nport=9\n",
        )
        .unwrap();
        let found = read(&at("my.cnf")).unwrap();
        let shown: Vec<String> = found.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(
            shown,
            [
                "compress=",
                "password=p#a\" ",
                "port=3307",
                "ssl-ca=/ca",
                "user=app"
            ]
        );
    }

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("my.cnf");
        for password in ["plain", "#;'\"", "back\\slash\\n", "a\nb\tc ", "密码 1"] {
            std::fs::write(&path, written(&[("password", password.to_owned())])).unwrap();
            assert_eq!(read(&path).unwrap()["password"], password);
        }
    }
}
