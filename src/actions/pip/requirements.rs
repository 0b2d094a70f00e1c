//! Requirement files, read as far as an upgrade needs it: which files belong to them, what they name, pin and hash, and
//! on which line, so that what pip says can be answered with a place.
//!
//! Invariants: every file that pip would read through `-r` and `-c` is found and has a digest, or the set is refused;
//! nothing here decides what is installed, or compares versions: pip does (`judge`). Left out: what a line at a URL or a
//! path is called is told by its `#egg=` alone, and may be something else.

use super::index::decoded as unquoted;
use super::lines::{decoded, logical, option};
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
    /// Its name is the package's for certain.
    named: bool,
    /// It is installed from a directory, of which there is no hash.
    editable: bool,
    /// It has `--hash`.
    pub(super) hashed: bool,
    /// Its URL has a hash.
    url_hashed: bool,
    /// It only constrains what others ask for.
    pub(super) constraint: bool,
    /// The file, and the number of its first line.
    pub(super) file: String,
    pub(super) number: usize,
    /// Which of the files in the plan it belongs to, from 0.
    pub(super) of: usize,
}

impl Line {
    /// What is installed must have this name.
    pub(super) fn is_named(&self) -> bool {
        self.named
    }

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
        for (number, line) in logical(&decoded(&bytes, &shown)?) {
            let place = format!("{shown} line {number}");
            let nested = option(&line, "--requirement", "--requirem", "-r")
                .map(|f| (f, constraint))
                .or_else(|| option(&line, "--constraint", "--c", "-c").map(|f| (f, true)));
            if let Some((named, constraint)) = nested {
                let mut named = expanded(cx, &named);
                if let Some(path) = named.strip_prefix("file://") {
                    named = unquoted(path).unwrap_or_default();
                }
                if named.contains("://") {
                    return Err(Error::new(format!(
                        "{place} includes a file by URL, whose content cannot be pinned: save it as a file beside it"
                    )));
                }
                let below = path.parent().unwrap_or(Path::new("/")).join(named);
                self.file(cx, &below, of, constraint, &place, depth + 1)?;
                continue;
            }
            let editable = option(&line, "--editable", "--ed", "-e");
            if line.starts_with('-') && editable.is_none() {
                continue;
            }
            let words = editable.clone().unwrap_or_else(|| before_options(&line));
            let parsed = parsed(&expanded(cx, &words));
            self.lines.push(Line {
                named: parsed.named && editable.is_none(),
                editable: editable.is_some(),
                // As it is written: what a variable holds may be a password.
                text: words,
                hashed: line.contains("--hash"),
                constraint,
                file: shown.clone(),
                number,
                of,
                ..parsed
            });
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

    /// Any line has a hash, so all must.
    pub(super) fn any_hash(&self) -> bool {
        self.lines.iter().any(|l| l.hashed)
    }

    /// The first requirement without a hash, neither its own nor that of a constraint. What is editable has none, and pip
    /// says so itself.
    pub(super) fn unhashed(&self) -> Option<&Line> {
        let constrained = |name: &str| {
            let mut lines = self.lines.iter();
            lines.any(|l| l.constraint && l.hashed && l.name == name)
        };
        let has = |l: &Line| l.hashed || l.url_hashed || constrained(&l.name);
        let mut lines = self.lines.iter();
        lines.find(|l| !(l.constraint || l.editable || has(l)))
    }
}

/// `${NAME}` as pip expands it.
fn expanded(cx: &Context, text: &str) -> String {
    let plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let known = cx.env.iter().filter(|(key, _)| key.chars().all(plain));
    known.fold(text.to_owned(), |text, (key, value)| {
        text.replace(&format!("${{{key}}}"), value)
    })
}

fn before_options(line: &str) -> String {
    let end = line.find(" --").unwrap_or(line.len());
    line[..end].trim().to_owned()
}

/// The package that the fragment of a URL names.
pub(super) fn egg(text: &str) -> Option<String> {
    let (_, fragment) = text.split_once('#')?;
    let mut parts = fragment.split('&');
    let egg = parts.find_map(|part| part.trim().strip_prefix("egg="))?;
    let end = egg.find(['[', ' ', ';', '=', '<', '>', '!', '~']);
    let name = normal(&egg[..end.unwrap_or(egg.len())]);
    (!name.is_empty()).then_some(name)
}

/// The requirement itself, without its place.
fn parsed(words: &str) -> Line {
    const HASHES: [&str; 4] = ["sha256=", "sha384=", "sha512=", "md5="];
    let found = NAME.as_ref().and_then(|r| r.captures(words));
    let rest = found.as_ref().map_or("", |c| c["rest"].trim());
    let requirement = rest.is_empty() || rest.starts_with(['=', '<', '>', '!', '~', '(', ';', '@']);
    let name = found
        .filter(|_| requirement)
        .map(|found| normal(&found["name"]));
    let fragment = words.split_once('#').map_or("", |(_, fragment)| fragment);
    Line {
        named: name.is_some(),
        name: name.or_else(|| egg(words)).unwrap_or_default(),
        url_hashed: fragment
            .split('&')
            .any(|part| HASHES.iter().any(|h| part.starts_with(h))),
        text: words.to_owned(),
        editable: false,
        hashed: false,
        constraint: false,
        file: String::new(),
        number: 0,
        of: 0,
    }
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
    fn lines_are_found_with_their_places_names_and_hashes() {
        let text = "\u{feff}# base\nDjango==3.2.25  # comment\nzope.interface [x] >= 5\n\\\nPy_YAML===5.4.1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n\
                    kombu (==5.2.4) ; python_version > '3'\nceler==5.*\n-i http://x/simple\n--find-links w\n./wheels/x.whl\n-e git+https://h/x.git#subdirectory=a&egg=My-App[x]&y\nfoo @ https://h/foo.whl\n";
        let set = set(&[("a.txt", text)], &["a.txt"]).unwrap();
        let seen: Vec<_> = set
            .lines
            .iter()
            .map(|l| (l.number, l.name.as_str(), l.is_named(), l.hashed))
            .collect();
        assert_eq!(
            seen,
            [
                (2, "django", true, false),
                (3, "zope-interface", true, false),
                (4, "py-yaml", true, true),
                (8, "kombu", true, false),
                (9, "celer", true, false),
                (12, "", false, false),
                (13, "my-app", false, false),
                (14, "foo", true, false),
            ]
        );
        assert!(set.any_hash());
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
        let bb: Vec<_> = seen.of("BB").map(|l| (l.of, l.text.as_str())).collect();
        assert_eq!(bb, [(0, "bb==1"), (1, "bb==2")]);
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
    fn hashes_are_asked_of_what_can_have_one_when_any_line_has_one() {
        let of = |text: &str| set(&[("a.txt", text)], &["a.txt"]).unwrap();
        let editable = of("aa==1\n-e git+https://h/x.git#egg=bb\n");
        assert!(!editable.any_hash(), "an editable is no hash");
        let locked = of(
            "aa==1 --hash=sha256:aa\n-e git+https://h/x.git#egg=bb\nhttps://h/cc-1-py3-none-any.whl#sha256=cc\n",
        );
        assert!(locked.any_hash() && locked.unhashed().is_none());
        let files = [
            ("a.txt", "-c c.txt\naa\nbb\n"),
            ("c.txt", "aa==1 --hash=sha256:aa\n"),
        ];
        let constrained = set(&files, &["a.txt"]).unwrap();
        assert_eq!(constrained.unhashed().unwrap().name, "bb");
    }
}
