//! Files of environment variables (`env_file`): read when a step starts, as systemd or python-dotenv reads them.
//!
//! Invariants: what stands in a file goes to the step's processes by pipes alone, never into an argument, a job's spec or
//! the record; nothing is expanded, and nothing of a line is ignored: what the dialect would skip with a warning, such as a
//! line without `=`, is an error that names the line; no error holds a value. Who may write the file chooses what our
//! commands load, so a file that its group or everybody may write is refused, and one with secrets that others may read.
//!
//! Left out: who owns the file: it is often the user of the application, whose code the step executes anyhow.

use crate::action::Error;
use crate::plan::is_env_name;
use crate::redact::SHORTEST;
use crate::system::plain::{self, Guarded};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use upledger_replay::plan::{Dialect, EnvFile, Plan};

/// How large a file may be, in bytes.
const LONGEST: u64 = 1 << 20;
/// Others may write it.
const WRITABLE: u32 = 0o022;
/// Others may read or write it.
const OPEN: u32 = 0o077;

/// Names and values.
type Variables = Vec<(String, String)>;

/// What a file holds.
#[derive(Clone, Default)]
pub struct Content {
    /// All variables, in order; of two of one name the last one counts, and is the only one here.
    pub variables: Variables,
    /// Those whose values are secrets.
    pub secrets: Variables,
}

/// Reads a file.
///
/// # Errors
/// [`Error`] that names the file, and the line where it is about one.
pub fn read(file: &EnvFile) -> Result<Content, Error> {
    let path = &file.path;
    let wrong = |why: String| Error::new(format!("the `env_file` {path} cannot be read: {why}"));
    let (others, remedy) = match file.secrets.is_empty() {
        true => (WRITABLE, "can be written by others; chmod go-w it"),
        false => (
            OPEN,
            "can be read by others and holds secrets; chmod 600 it",
        ),
    };
    let bytes = plain::guarded(path, others, LONGEST).map_err(|e| {
        wrong(match e {
            Guarded::Io(e) => e.to_string(),
            Guarded::Other => "it is not a regular file".into(),
            Guarded::Mode => format!("it {remedy}"),
            Guarded::TooLong => format!("it is longer than {} KiB", LONGEST >> 10),
        })
    })?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("it is not text in UTF-8".into()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let all = match file.dialect {
        Dialect::Systemd => systemd(text),
        Dialect::Dotenv => dotenv(text),
    };
    let mut variables: Variables = Vec::new();
    for (line, name, value) in all.map_err(|(line, why)| wrong(at(line, why)))? {
        if !is_env_name(&name) {
            let shown: String = name.chars().take(40).collect();
            let mut why = format!("`{shown}` is not a valid name of an environment variable");
            if name.starts_with("export ") && file.dialect == Dialect::Systemd {
                // Writing into a string cannot fail.
                let _ = write!(why, "; set `dialect: dotenv` for a file with `export`");
            }
            return Err(wrong(at(line, &why)));
        }
        if value.contains('\0') {
            return Err(wrong(at(line, "a value contains a NUL character")));
        }
        variables.retain(|(known, _)| *known != name);
        variables.push((name, value));
    }
    let mut secrets = Vec::new();
    for name in &file.secrets {
        let found = variables.iter().find(|(known, _)| known == name);
        let (_, value) = found.ok_or_else(|| wrong(format!("it has no variable {name}")))?;
        if value.len() < SHORTEST {
            return Err(wrong(format!(
                "the value of {name} is shorter than {SHORTEST} bytes, so it cannot be kept out of output reliably"
            )));
        }
        secrets.push((name.clone(), value.clone()));
    }
    Ok(Content { variables, secrets })
}

/// The files of a plan, each once.
pub fn files(plan: &Plan) -> Vec<&EnvFile> {
    let mut known = BTreeSet::new();
    let all = plan.steps().flat_map(|(_, step)| &step.env_files);
    all.filter(|f| known.insert((&f.path, f.dialect as u8, &f.secrets)))
        .collect()
}

/// The secrets in the files of a plan that can be read now: what is shown and typed before a step reads them.
#[must_use]
pub fn secrets(plan: &Plan) -> Vec<(String, String)> {
    let readable = files(plan).into_iter().filter_map(|file| read(file).ok());
    readable.flat_map(|content| content.secrets).collect()
}

fn at(line: usize, why: &str) -> String {
    format!("line {line}: {why}")
}

/// The line, the name and the value of each variable; or a line and what is wrong with it.
type Parsed = Result<Vec<(usize, String, String)>, (usize, &'static str)>;

/// What is said of a line without an assignment.
const NO_ASSIGNMENT: &str = "it is no assignment `NAME=value`";
/// What is said of a quote that nothing ends.
const OPEN_QUOTE: &str = "a quote is not closed";

/// What systemd takes for a space.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r')
}

/// Where the reader of systemd stands: `parse_env_file_internal` in its `src/basic/env-file.c`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    PreKey,
    Key,
    PreValue,
    Value,
    ValueEscape,
    Single,
    Double,
    DoubleEscape,
    Comment,
    CommentEscape,
}

fn systemd(text: &str) -> Parsed {
    let mut all = Vec::new();
    let (mut key, mut value) = (String::new(), String::new());
    // How much of a value stays when the spaces behind it are taken away.
    let mut keep = 0;
    let (mut line, mut begun) = (1, 1);
    let mut state = State::PreKey;
    for c in text.chars().chain(['\n']) {
        let end = c == '\n';
        state = match state {
            State::PreKey if end || is_space(c) => State::PreKey,
            State::PreKey if c == '#' || c == ';' => State::Comment,
            State::PreKey => {
                begun = line;
                key = c.to_string();
                value.clear();
                keep = 0;
                match c {
                    '=' => return Err((line, NO_ASSIGNMENT)),
                    _ => State::Key,
                }
            }
            State::Key if end => return Err((begun, NO_ASSIGNMENT)),
            State::Key if c == '=' => State::PreValue,
            State::Key => {
                key.push(c);
                State::Key
            }
            State::PreValue | State::Value if end => {
                value.truncate(keep);
                all.push((
                    begun,
                    key.trim_end_matches(is_space).to_owned(),
                    value.clone(),
                ));
                State::PreKey
            }
            State::PreValue if is_space(c) => State::PreValue,
            State::PreValue if c == '\'' => State::Single,
            State::PreValue if c == '"' => State::Double,
            State::PreValue | State::Value if c == '\\' => State::ValueEscape,
            State::PreValue | State::Value => {
                value.push(c);
                if !is_space(c) {
                    keep = value.len();
                }
                State::Value
            }
            State::ValueEscape => {
                if !end {
                    value.push(c);
                    keep = value.len();
                }
                State::Value
            }
            State::Single if c == '\'' => State::PreValue,
            State::Double if c == '"' => State::PreValue,
            State::Double if c == '\\' => State::DoubleEscape,
            State::Single | State::Double => {
                value.push(c);
                keep = value.len();
                state
            }
            State::DoubleEscape => {
                if !end {
                    if !matches!(c, '"' | '\\' | '`' | '$') {
                        value.push('\\');
                    }
                    value.push(c);
                    keep = value.len();
                }
                State::Double
            }
            State::Comment if c == '\\' => State::CommentEscape,
            State::Comment | State::CommentEscape if end => State::PreKey,
            State::Comment | State::CommentEscape => State::Comment,
        };
        line += usize::from(end);
    }
    match state {
        State::Single | State::Double | State::DoubleEscape => Err((begun, OPEN_QUOTE)),
        _ if state == State::Value => {
            // The last line ended with a backslash.
            value.truncate(keep);
            all.push((begun, key.trim_end_matches(is_space).to_owned(), value));
            Ok(all)
        }
        _ => Ok(all),
    }
}

/// As `python-dotenv` reads it (`src/dotenv/parser.py`), without its expansion.
fn dotenv(text: &str) -> Parsed {
    let mut all = Vec::new();
    let mut line = 1;
    let mut rest = text;
    loop {
        let skipped = rest.len() - rest.trim_start().len();
        line += rest[..skipped].matches('\n').count();
        rest = &rest[skipped..];
        if rest.is_empty() {
            return Ok(all);
        }
        if rest.starts_with('#') {
            rest = rest.find('\n').map_or("", |n| &rest[n..]);
            continue;
        }
        let end = rest.find('\n').unwrap_or(rest.len());
        let (name, _) = rest[..end].split_once('=').ok_or((line, NO_ASSIGNMENT))?;
        let from = name.len() + 1;
        let bare = name
            .strip_prefix("export")
            .filter(|n| n.starts_with([' ', '\t']));
        let name = bare.unwrap_or(name).trim().trim_matches('\'').to_owned();
        let value = rest[from..].trim_start_matches([' ', '\t']);
        let (value, behind) = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => quoted(&value[1..], quote).map_err(|why| (line, why))?,
            _ => {
                let end = value.find('\n').unwrap_or(value.len());
                (
                    bare_value(&value[..end]).map_err(|why| (line, why))?,
                    &value[end..],
                )
            }
        };
        all.push((line, name, value));
        let behind_line = behind.find('\n').map_or(behind, |n| &behind[..n]).trim();
        if !(behind_line.is_empty() || behind_line.starts_with('#')) {
            return Err((line, "there is text behind the closing quote"));
        }
        let used = rest.len() - behind.len();
        line += rest[..used].matches('\n').count();
        rest = behind.find('\n').map_or("", |n| &behind[n..]);
    }
}

/// What is said of a value that python-dotenv would expand.
const EXPANDED: &str =
    "`${...}` is not expanded here; write the value out, or put it into single quotes";

/// A value without quotes, and without the comment behind it.
fn bare_value(text: &str) -> Result<String, &'static str> {
    let mut end = text.len();
    let mut space = text.starts_with('#');
    for (at, c) in text.char_indices() {
        if c == '#' && space {
            end = at;
            break;
        }
        space = c.is_whitespace();
    }
    let value = text[..end].trim_end();
    match value.contains("${") {
        true => Err(EXPANDED),
        false => Ok(value.to_owned()),
    }
}

/// The value in quotes at the beginning of a text that stands behind the opening one, and what is behind the closing one.
fn quoted(text: &str, quote: char) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut all = text.char_indices();
    while let Some((at, c)) = all.next() {
        match c {
            c if c == quote => {
                let behind = &text[at + 1..];
                return match quote == '"' && value.contains("${") {
                    true => Err(EXPANDED),
                    false => Ok((value, behind)),
                };
            }
            '\\' => {
                let Some((_, next)) = all.next() else { break };
                match (quote, next) {
                    (_, '\\' | '\'') | ('"', '"') => value.push(next),
                    ('"', 'n') => value.push('\n'),
                    ('"', 't') => value.push('\t'),
                    ('"', 'r') => value.push('\r'),
                    ('"', 'a') => value.push('\u{7}'),
                    ('"', 'b') => value.push('\u{8}'),
                    ('"', 'f') => value.push('\u{c}'),
                    ('"', 'v') => value.push('\u{b}'),
                    (_, other) => value.extend(['\\', other]),
                }
            }
            c => value.push(c),
        }
    }
    Err(OPEN_QUOTE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn pairs(parsed: Parsed) -> Vec<(String, String)> {
        let all = parsed.expect("variables").into_iter();
        all.map(|(_, name, value)| (name, value)).collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn a_file_is_read_as_systemd_reads_it() {
        let text = "# comment\n; another \\\nA=plain  \n B = spaced out \nC='single \\n $x'\nD=\"a \\\"b\\\" \\$c \\n\"\n\
                    E=one \\\ntwo\nF=a#b # c\nG=\nH=\"two\nlines\"\nI=x\\ \nJ=\"a\"'b'\nK=it's\r\nL=last\\";
        assert_eq!(
            pairs(systemd(text)),
            [
                pair("A", "plain"),
                pair("B", "spaced out"),
                pair("C", "single \\n $x"),
                pair("D", "a \"b\" $c \\n"),
                pair("E", "one two"),
                pair("F", "a#b # c"),
                pair("G", ""),
                pair("H", "two\nlines"),
                pair("I", "x "),
                pair("J", "ab"),
                pair("K", "it's"),
                pair("L", "last"),
            ]
        );
        assert_eq!(systemd("A=1\nB\n"), Err((2, NO_ASSIGNMENT)));
        assert_eq!(systemd("A=1\n\nB='x\ny"), Err((3, OPEN_QUOTE)));
    }

    #[test]
    fn a_file_is_read_as_dotenv_reads_it() {
        let text = "# comment\nexport A=plain # comment\nB = spaced out  \nC='single ${x} \\n'\nD=\"a\\tb\\n\" # c\n\
                    E=a#b\nF=\nG=\"two\nlines\"\n'H'=quoted\nI=#c\n";
        assert_eq!(
            pairs(dotenv(text)),
            [
                pair("A", "plain"),
                pair("B", "spaced out"),
                pair("C", "single ${x} \\n"),
                pair("D", "a\tb\n"),
                pair("E", "a#b"),
                pair("F", ""),
                pair("G", "two\nlines"),
                pair("H", "quoted"),
                pair("I", ""),
            ]
        );
        for (text, wrong) in [
            ("A=1\n\nB=${A}/x", (3, EXPANDED)),
            ("A=\"1\n${B}\"", (1, EXPANDED)),
            ("A=1\nB", (2, NO_ASSIGNMENT)),
            ("A='x", (1, OPEN_QUOTE)),
        ] {
            assert_eq!(dotenv(text), Err(wrong), "{text}");
        }
        assert!(dotenv("A='x'y\n").is_err());
    }

    #[test]
    fn a_file_that_others_may_write_is_refused_and_one_with_secrets_that_they_may_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("env");
        let file = |secrets: &[&str]| EnvFile {
            path: path.display().to_string(),
            dialect: Dialect::Systemd,
            secrets: secrets.iter().map(|s| (*s).to_owned()).collect(),
        };
        let mode = |mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, mode).unwrap();
        };
        let why = |of: &[&str]| read(&file(of)).err().expect("refused").to_string();
        assert!(why(&[]).contains("No such file"));
        std::fs::write(&path, "A=1\nPASSWORD=hunter22\nA=2\n").unwrap();
        mode(0o644);
        let content = read(&file(&[])).unwrap();
        assert_eq!(
            content.variables,
            [pair("PASSWORD", "hunter22"), pair("A", "2")]
        );
        assert_eq!(content.secrets, []);
        assert!(why(&["PASSWORD"]).contains("chmod 600"));
        mode(0o664);
        assert!(why(&[]).contains("chmod go-w"));
        mode(0o600);
        let content = read(&file(&["PASSWORD"])).unwrap();
        assert_eq!(content.secrets, [pair("PASSWORD", "hunter22")]);
        assert!(why(&["NOBODY"]).contains("no variable NOBODY"));
        assert!(why(&["A"]).contains("shorter than"));
        std::fs::write(&path, "export A=hunter22\n").unwrap();
        let said = why(&[]);
        assert!(
            said.contains("line 1") && said.contains("dialect: dotenv"),
            "{said}"
        );
        assert!(!said.contains("hunter22"), "{said}");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(why(&[]).contains("not a regular file"));
    }
}
