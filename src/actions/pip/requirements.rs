//! Requirement files, read as far as an upgrade needs it: which files belong to them, what they name, pin and hash, and
//! on which line, so that what pip says can be answered with a place.
//!
//! Invariants: every file that pip would read through `-r` and `-c` is found and has a digest, or the set is refused;
//! nothing here decides what is installed, pip does. Left out: markers are not evaluated (a line that has one may not
//! apply), and what a line at a URL or a path is called is told by its `#egg=` alone.

use crate::action::{Context, Error};
use regex::Regex;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// How deep files may name files.
const DEPTH: usize = 16;

/// A file that was read, and what it held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReadFile {
    /// Where it is.
    pub(super) path: String,
    /// Lower-case hex.
    pub(super) sha256: String,
}

/// One requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// The package's normalized name; empty where only pip can tell.
    pub(super) name: String,
    /// The requirement without its options.
    pub(super) text: String,
    /// The version that it pins.
    pub(super) pin: Option<String>,
    /// It applies only where its marker does.
    pub(super) marker: bool,
    /// It has a hash, or needs none because it is a directory.
    pub(super) hashed: bool,
    /// It only constrains what others ask for.
    pub(super) constraint: bool,
    /// The file, and the number of its first line.
    pub(super) file: String,
    pub(super) number: usize,
    /// Which of the files in the plan it belongs to, from 0.
    pub(super) of: usize,
}

impl Line {
    /// Where it stands, for people.
    pub(super) fn place(&self) -> String {
        format!("{} line {}", self.file, self.number)
    }
}

/// All that the requirement files of a step say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Set {
    /// Every file, each once, in the order in which they were met.
    pub(super) files: Vec<ReadFile>,
    /// Every requirement and constraint.
    pub(super) lines: Vec<Line>,
}

static NAME: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"^(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[[^\]]*\])?\s*(?P<rest>.*)$",
    )
    .ok()
});
static PIN: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^\(?\s*===?\s*(?P<version>[^\s,;()]+)\s*\)?\s*(?:;.*)?$").ok());

/// A package's name as all its spellings are compared.
pub(super) fn normal(name: &str) -> String {
    let mut out = String::new();
    for part in name.split(['-', '_', '.']).filter(|p| !p.is_empty()) {
        if !out.is_empty() {
            out.push('-');
        }
        out.push_str(&part.to_ascii_lowercase());
    }
    out
}

/// Whether two versions are the same: `1.0` is `1.0.0`, and case and a leading `v` do not count.
pub(super) fn same_version(a: &str, b: &str) -> bool {
    let plain = |v: &str| {
        let v = v.trim().trim_start_matches(['v', 'V']).to_ascii_lowercase();
        let mut parts: Vec<String> = v.split('.').map(str::to_owned).collect();
        while parts.len() > 1 && parts.last().is_some_and(|p| p.parse() == Ok(0_u64)) {
            parts.pop();
        }
        parts
    };
    match a.strip_suffix(".*") {
        Some(prefix) => b == prefix || b.starts_with(&format!("{prefix}.")),
        // A pin without a local version is content with any.
        None if a.contains('+') => plain(a) == plain(b),
        None => plain(a) == plain(b.split('+').next().unwrap_or(b)),
    }
}

impl Set {
    /// Reads the files of a step: requirements in their order, then constraints.
    ///
    /// # Errors
    /// [`Error`] when a file is missing, or is one whose content cannot be fixed.
    pub(super) fn read(
        cx: &Context,
        files: &[PathBuf],
        constraints: &[PathBuf],
    ) -> Result<Self, Error> {
        let mut set = Self::default();
        for (of, path) in files.iter().enumerate() {
            set.file(cx, path, of, false, "the plan", 0)?;
        }
        for path in constraints {
            set.file(cx, path, files.len(), true, "the plan", 0)?;
        }
        Ok(set)
    }

    fn file(
        &mut self,
        cx: &Context,
        path: &Path,
        of: usize,
        constraint: bool,
        named_by: &str,
        depth: usize,
    ) -> Result<(), Error> {
        if depth > DEPTH {
            return Err(Error::new(format!(
                "{} is included by files that include each other",
                path.display()
            )));
        }
        let shown = path.display().to_string();
        let Some((bytes, facts)) = crate::host::files::disk::read(path)? else {
            return Err(Error::new(format!(
                "there is no requirement file {shown}, which {named_by} includes"
            )));
        };
        if !self.files.iter().any(|f| f.path == shown) {
            self.files.push(ReadFile {
                path: shown.clone(),
                sha256: facts.sha256,
            });
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for (number, line) in logical(&text) {
            let place = format!("{shown} line {number}");
            let value = |long: &str, short: &str| option(&line, long, short);
            let nested = value("--requirement", "-r")
                .map(|f| (f, constraint))
                .or_else(|| value("--constraint", "-c").map(|f| (f, true)));
            if let Some((named, constraint)) = nested {
                let named = expanded(cx, &named);
                if named.contains("://") {
                    return Err(Error::new(format!(
                        "{place} includes a file by URL, whose content cannot be pinned: save it as a file beside it"
                    )));
                }
                let below = path.parent().unwrap_or(Path::new("/")).join(named);
                self.file(cx, &below, of, constraint, &place, depth + 1)?;
                continue;
            }
            let editable = value("--editable", "-e");
            if line.starts_with('-') && editable.is_none() {
                continue;
            }
            let hashed = editable.is_some() || line.contains("--hash");
            let words = editable.unwrap_or_else(|| before_options(&line));
            let mut requirement = parsed(&words);
            (requirement.file, requirement.number) = (shown.clone(), number);
            requirement.of = of;
            requirement.constraint = constraint;
            requirement.hashed |= hashed;
            self.lines.push(requirement);
        }
        Ok(())
    }

    /// The lines that name a package, requirements first.
    pub(super) fn of<'a>(&'a self, package: &str) -> impl Iterator<Item = &'a Line> {
        let name = normal(package);
        let all = |constraint| {
            let name = name.clone();
            self.lines
                .iter()
                .filter(move |l| l.name == name && l.constraint == constraint)
        };
        all(false).chain(all(true))
    }

    /// Any requirement has a hash, so all must.
    pub(super) fn any_hash(&self) -> bool {
        self.lines
            .iter()
            .any(|l| l.hashed && !l.name.is_empty() && !l.constraint)
    }

    /// The first requirement without a hash.
    pub(super) fn unhashed(&self) -> Option<&Line> {
        self.lines.iter().find(|l| !l.hashed && !l.constraint)
    }
}

/// Lines as pip joins them, without comments, with the number of the first.
fn logical(text: &str) -> Vec<(usize, String)> {
    let mut out: Vec<(usize, String)> = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (at, raw) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let comment = raw.trim_start().starts_with('#');
        let (number, mut line) = open.take().unwrap_or((at + 1, String::new()));
        match raw.trim_end().strip_suffix('\\') {
            Some(begun) if !comment => {
                line.push_str(begun);
                open = Some((number, line));
                continue;
            }
            // A comment ends what was begun.
            _ if comment => {}
            _ => line.push_str(raw),
        }
        out.push((number, line));
    }
    out.extend(open);
    out.into_iter()
        .map(|(number, line)| {
            let end = line
                .match_indices('#')
                .map(|(at, _)| at)
                .find(|at| *at == 0 || line[..*at].ends_with([' ', '\t']));
            (number, line[..end.unwrap_or(line.len())].trim().to_owned())
        })
        .filter(|(_, line)| !line.is_empty())
        .collect()
}

/// The value of an option that stands alone on its line.
fn option(line: &str, long: &str, short: &str) -> Option<String> {
    let value = line
        .strip_prefix(long)
        .filter(|v| v.starts_with(['=', ' ', '\t']))
        .or_else(|| line.strip_prefix(short).filter(|_| !line.starts_with("--")))?;
    let value = value.trim_start().trim_start_matches('=').trim();
    (!value.is_empty()).then(|| value.trim_matches(['"', '\'']).to_owned())
}

/// `${NAME}` as pip expands it.
fn expanded(cx: &Context, text: &str) -> String {
    cx.env.iter().fold(text.to_owned(), |text, (key, value)| {
        text.replace(&format!("${{{key}}}"), value)
    })
}

fn before_options(line: &str) -> String {
    let end = line.find(" --").unwrap_or(line.len());
    line[..end].trim().to_owned()
}

fn parsed(words: &str) -> Line {
    let mut line = Line {
        name: String::new(),
        text: words.to_owned(),
        pin: None,
        marker: false,
        hashed: false,
        constraint: false,
        file: String::new(),
        number: 0,
        of: 0,
    };
    let found = NAME.as_ref().and_then(|r| r.captures(words));
    let rest = found.as_ref().map_or("", |c| c["rest"].trim());
    let requirement = rest.is_empty() || rest.starts_with(['=', '<', '>', '!', '~', '(', ';', '@']);
    if let (Some(found), true) = (&found, requirement) {
        line.name = normal(&found["name"]);
        line.marker = rest.contains(';');
        let pin = PIN.as_ref().and_then(|r| r.captures(rest));
        line.pin = pin.map(|c| c["version"].to_owned());
    } else if let Some((_, egg)) = words.split_once("#egg=") {
        let end = egg.find(['&', '[', ' ']).unwrap_or(egg.len());
        line.name = normal(&egg[..end]);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(files: &[(&str, &str)], named: &[&str]) -> Result<Set, Error> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let named: Vec<PathBuf> = named.iter().map(|n| dir.path().join(n)).collect();
        let cx = Context {
            env: vec![("WHERE".into(), "b.txt".into())],
            ..Context::default()
        };
        Set::read(&cx, &named, &[])
    }

    #[test]
    fn lines_are_found_with_their_places_names_pins_and_hashes() {
        let text = "\u{feff}# base\nDjango==3.2.25  # comment\nzope.interface [x] >= 5\n\\\nPy_YAML===5.4.1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n\
                    kombu (==5.2.4) ; python_version > '3'\nceler==5.*\n-i http://x/simple\n--find-links w\n./wheels/x.whl\n-e git+https://h/x.git#egg=My-App\nfoo @ https://h/foo.whl\n";
        let set = set(&[("a.txt", text)], &["a.txt"]).unwrap();
        let seen: Vec<_> = set
            .lines
            .iter()
            .map(|l| (l.number, l.name.as_str(), l.pin.as_deref(), l.hashed))
            .collect();
        assert_eq!(
            seen,
            [
                (2, "django", Some("3.2.25"), false),
                (3, "zope-interface", None, false),
                (4, "py-yaml", Some("5.4.1"), true),
                (8, "kombu", Some("5.2.4"), false),
                (9, "celer", Some("5.*"), false),
                (12, "", None, false),
                (13, "my-app", None, true),
                (14, "foo", None, false),
            ]
        );
        assert!(set.lines[3].marker && set.any_hash());
        assert_eq!(set.unhashed().unwrap().name, "django");
    }

    #[test]
    fn files_that_files_name_belong_to_them() {
        let files = [
            ("a.txt", "-r ${WHERE}\n--constraint=c.txt\naa\n"),
            ("b.txt", "bb==1\n"),
            ("c.txt", "cc==1\n"),
            ("e.txt", "bb==2\n"),
        ];
        let seen = set(&files, &["a.txt", "e.txt"]).unwrap();
        assert_eq!(seen.files.len(), 4);
        let bb: Vec<_> = seen.of("BB").map(|l| (l.of, l.pin.as_deref())).collect();
        assert_eq!(bb, [(0, Some("1")), (1, Some("2"))]);
        assert!(seen.of("cc").all(|l| l.constraint));
        let missing = set(&[("a.txt", "\n-r gone.txt")], &["a.txt"]).unwrap_err();
        assert!(
            missing.to_string().contains("a.txt line 2 includes"),
            "{missing}"
        );
        let url = set(&[("a.txt", "-rhttps://h/r.txt")], &["a.txt"]).unwrap_err();
        assert!(url.to_string().contains("by URL"), "{url}");
        assert!(set(&[("a.txt", "-r a.txt")], &["a.txt"]).is_err());
    }

    #[test]
    fn versions_are_compared_as_numbers_are_written() {
        for (a, b) in [
            ("1.0", "1.0.0"),
            ("v1.2", "1.2"),
            ("1.*", "1.9"),
            ("2.0", "2.0+local"),
            ("5.2.0RC1", "5.2.0rc1"),
        ] {
            assert!(same_version(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("1.0", "1.0.1"),
            ("1.*", "11.0"),
            ("2.0+x", "2.0"),
            ("10", "1"),
        ] {
            assert!(!same_version(a, b), "{a} {b}");
        }
    }
}
