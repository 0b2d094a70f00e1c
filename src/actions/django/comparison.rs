//! What Django says of its static files, compared with what is wanted: each file with its source, the place with the one
//! that the web server serves, and a few files with what it hands out.

use super::collectstatic::{Before, Collectstatic};
use super::{served, tree};
use crate::action::{Context, Error};
use serde::Deserialize;
use serde_json::json;
use std::path::{Path, PathBuf};

/// How many files a list names.
const FEW: usize = 5;

/// What Django says of its static files.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct StaticFiles {
    static_root: Option<String>,
    static_url: String,
    storage: String,
    pub(super) version: String,
    settings: String,
    django: String,
    root: Option<String>,
    #[serde(default)]
    pub(super) files: u64,
    #[serde(default)]
    digest: String,
    #[serde(default)]
    missing: u64,
    #[serde(default)]
    missing_some: Vec<String>,
    #[serde(default)]
    different: u64,
    #[serde(default)]
    different_some: Vec<String>,
    #[serde(default)]
    unreadable: u64,
    #[serde(default)]
    unreadable_some: Vec<String>,
    #[serde(default)]
    pub(super) manifest: Option<Manifest>,
    #[serde(default)]
    pub(super) samples: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Manifest {
    path: String,
    pub(super) sha256: Option<String>,
}

/// Some names, and that there are more.
fn some(names: &[String], all: u64) -> String {
    let more = all.saturating_sub(names.len() as u64);
    let list = names.join(", ");
    if more == 0 {
        return list;
    }
    format!("{list} and {more} more")
}

impl Collectstatic {
    /// Asks Django; `into` takes the place of its STATIC_ROOT.
    pub(super) fn ask(&self, cx: &Context, into: Option<&Path>) -> Result<StaticFiles, Error> {
        let arguments = json!({"user": self.web_user, "few": FEW, "into": into});
        self.app().ask(cx, "static", &arguments)
    }

    /// Where Django puts the files.
    pub(super) fn place(&self, seen: &StaticFiles) -> Result<PathBuf, Error> {
        let Some(root) = &seen.root else {
            return Err(match &seen.static_root {
                None => Error::new(format!(
                    "STATIC_ROOT is None in {}, so collectstatic cannot work: set it to the directory that the web \
                     server serves at {}",
                    seen.settings, seen.static_url
                )),
                Some(root) => Error::new(format!(
                    "the static files storage in {} does not use a directory, although STATIC_ROOT is {root}",
                    seen.settings
                )),
            });
        };
        let found = tree::resolve(Path::new(root))?;
        if let Some(served) = &self.root {
            let served = tree::resolve(Path::new(served))?;
            if served != found {
                return Err(Error::new(format!(
                    "Django collects into {}, and the web server serves {}: with {} STATIC_ROOT is {}",
                    found.display(),
                    served.display(),
                    seen.settings,
                    seen.static_root.as_deref().unwrap_or("None")
                )));
            }
        }
        Ok(found)
    }

    /// What is wrong now.
    pub(super) fn faults(
        &self,
        cx: &Context,
        before: &Before,
        seen: &StaticFiles,
    ) -> Result<Vec<String>, Error> {
        let root = self.place(seen)?;
        if root != before.root() {
            return Ok(vec![format!(
                "Django collected into {} before, and into {} now",
                before.root,
                root.display()
            )]);
        }
        let mut wrong = Vec::new();
        let all = seen.files;
        if all == 0 {
            wrong.push("Django's finders find no static files".into());
        }
        if seen.missing > 0 {
            wrong.push(format!(
                "{} of {all} files are not in {}: {}",
                seen.missing,
                before.root,
                some(&seen.missing_some, seen.missing)
            ));
        }
        if seen.different > 0 {
            let hint = if self.clear {
                ""
            } else {
                "; `clear: true` replaces them"
            };
            wrong.push(format!(
                "{} of {all} files in {} differ from their sources: {}{hint}",
                seen.different,
                before.root,
                some(&seen.different_some, seen.different)
            ));
        }
        if let Some(Manifest { path, sha256: None }) = &seen.manifest {
            wrong.push(format!(
                "{} requires a manifest, but {path} does not exist",
                seen.storage
            ));
        }
        if seen.unreadable > 0 {
            let user = self.web_user.as_deref().unwrap_or_default();
            wrong.push(format!(
                "{user} cannot read {} files; access is denied by: {}",
                seen.unreadable,
                seen.unreadable_some.join(", ")
            ));
        }
        if let Some(url) = &self.url
            && wrong.is_empty()
        {
            wrong.extend(served::look(cx, url, before.root(), seen)?.err());
        }
        Ok(wrong)
    }

    /// What was seen, once nothing is wrong.
    pub(super) fn evidence(
        &self,
        cx: &Context,
        before: &Before,
        seen: &StaticFiles,
    ) -> Result<Vec<String>, Error> {
        let mut lines = vec![format!(
            "{}: all {} files of {} exist and match their sources, digest {}",
            before.root, seen.files, seen.settings, seen.digest
        )];
        let now = seen.manifest.as_ref().and_then(|m| m.sha256.as_ref());
        lines.extend(match (&before.manifest, now) {
            (None, None) => None,
            (None, Some(_)) => Some("there is a manifest, and there was none before".into()),
            (Some(_), None) => Some("there is no manifest, and there was one before".into()),
            (Some(was), Some(now)) if cx.is_kept(was, now.as_bytes())? => {
                Some("the manifest is unchanged".into())
            }
            (Some(_), Some(_)) => Some("the manifest has changed".into()),
        });
        if !(before.version.is_empty() && seen.version.is_empty()) {
            lines.push(format!(
                "STATIC_VERSION: {} before, {} now",
                before.version, seen.version
            ));
        }
        lines.extend(
            self.web_user
                .as_ref()
                .map(|user| format!("{user} can read every file")),
        );
        if let Some(url) = &self.url {
            lines.extend(served::look(cx, url, before.root(), seen)?.ok());
        }
        Ok(lines)
    }
}
