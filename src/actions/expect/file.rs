//! `expect.file`: whether a file is there, and what it is.

use super::{Expectation, Finding};
use crate::action::values::absolute;
use crate::action::{Context, Error, Place, Places};
use crate::encoding::Charset;
use crate::host::files::disk::{digest_of, open_plain};
use crate::host::files::mode::Mode;
use crate::text::actions as phrases;
use crate::text::settings as text;
use crate::time::Length;
use aho_corasick::AhoCorasick;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Expects a file to exist, or not to exist, with the given properties.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The file or directory, as an absolute path. Links are followed.
    pub path: String,
    /// Whether it must exist. Default: true.
    #[serde(default = "yes")]
    pub exists: bool,
    /// The SHA-256 of its content, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Text that it contains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// Its mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// How long to wait for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Length>,
}

fn yes() -> bool {
    true
}

impl Expectation for File {
    fn wanted(&self) -> String {
        if !self.exists {
            return phrases::nothing_at(&self.path);
        }
        let parts: Vec<String> = [
            self.sha256.as_ref().map(phrases::sha256),
            self.contains
                .as_ref()
                .map(|c| phrases::text_in_file(format!("{c:?}"))),
            self.mode.map(phrases::mode),
        ]
        .into_iter()
        .flatten()
        .collect();
        if parts.is_empty() {
            phrases::to_be_there(&self.path)
        } else {
            phrases::file_with(&self.path, crate::text::parts(&parts))
        }
    }

    fn within(&self) -> Option<Length> {
        self.within
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong: Vec<String> = absolute("path", &self.path).into_iter().collect();
        let more = self.sha256.is_some() || self.contains.is_some() || self.mode.is_some();
        if !self.exists && more {
            wrong.push(text::nothing_to_compare());
        }
        let hex = |s: &String| s.len() == 64 && s.bytes().all(|b| b.is_ascii_hexdigit());
        if self.sha256.as_ref().is_some_and(|s| !hex(s)) {
            wrong.push(text::no_sha256());
        }
        if self.contains.as_ref().is_some_and(String::is_empty) {
            wrong.push(text::every_file());
        }
        wrong
    }

    fn reads(&self) -> Places {
        Some(vec![Place::path(&self.path), Place::Written])
    }

    fn see(&self, _cx: &Context) -> Result<Finding, Error> {
        let path = Path::new(&self.path);
        let meta = match std::fs::metadata(path) {
            Ok(meta) => meta,
            // A path below a plain file leads nowhere either.
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Finding {
                    holds: !self.exists,
                    saw: vec![format!("nothing at {}", self.path)],
                });
            }
            Err(e) => return Err(Error::io(format!("cannot look at {}", self.path), &e)),
        };
        let mode = Mode::of(meta.mode());
        let mut holds = self.exists && self.mode.is_none_or(|m| m == mode);
        let mut saw = vec![format!("{} with mode {mode}", self.path)];
        if let Some(wanted) = self.sha256.as_ref().filter(|_| self.exists) {
            match digest_of(path)? {
                // Another digest is not told: it would tell, for ever, what the file may hold.
                Some((sha256, len)) => {
                    let same = sha256 == wanted.to_ascii_lowercase();
                    holds &= same;
                    saw.push(if same {
                        format!("{len} bytes, sha256 {sha256}")
                    } else {
                        format!("{len} bytes with another sha256")
                    });
                }
                None => return Err(Error::new(format!("{} vanished", self.path))),
            }
        }
        if let Some(text) = self.contains.as_ref().filter(|_| self.exists) {
            let found = contains(path, text)?;
            holds &= found.is_some();
            saw.push(match found {
                Some("UTF-8") => format!("it contains {text:?}"),
                Some(charset) => format!("it contains {text:?} in {charset}"),
                None => format!("it does not contain {text:?}"),
            });
        }
        Ok(Finding { holds, saw })
    }
}

/// Whether a file of any size holds a text, and in which encoding.
fn contains(path: &Path, text: &str) -> Result<Option<&'static str>, Error> {
    let cannot =
        |e: &dyn std::error::Error| Error::io(format!("cannot search {}", path.display()), e);
    let Some((file, _)) = open_plain(path)? else {
        return Err(Error::new(format!("{} vanished", path.display())));
    };
    let known = ["utf-8", "gb18030", "utf-16le", "utf-16be"].into_iter();
    let forms: Vec<(&str, Vec<u8>)> = known
        .filter_map(Charset::named)
        .filter_map(|charset| Some((charset.name(), charset.write(text)?)))
        .collect();
    let search = AhoCorasick::new(forms.iter().map(|(_, form)| form)).map_err(|e| cannot(&e))?;
    match search.stream_find_iter(file).next() {
        None => Ok(None),
        // Of equal forms the first is found.
        Some(Ok(found)) => Ok(forms.get(found.pattern().as_usize()).map(|(name, _)| *name)),
        Some(Err(e)) => Err(cannot(&e)),
    }
}
