//! `django.collectstatic`: the static files are where the web server looks for them, with the right content, and can be
//! read.
//!
//! Invariants: where they go is what Django itself says, never what a settings file seems to say; the exit code and the
//! words of the command prove nothing, the files are compared with their sources one by one. Before anything changes, the
//! former directory is copied beside itself, as `.NAME.upledger-…`, whole or not at all; the undo lets the two change
//! places at once. What somebody else has put into the newer directory meanwhile is kept and named, never removed. The
//! copy stays until a person removes it: the run may be rolled back later. Left out: storages that are not a directory.

use super::{App, served, tree};
use crate::action::Stage;
use crate::actions::command::stream;
use crate::actions::file::disk::{self, Manner};
use crate::actions::http::fetch;
use crate::actions::values::absolute;
use crate::actions::{Action, Context, Error, Kept, Look};
use crate::failpoint;
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use upledger_replay::event::Answer;
use upledger_replay::plan::Effect;

/// How many files a list names.
const FEW: usize = 5;

/// Static files are collected into Django's `STATIC_ROOT`, compared with their sources one by one, and seen to be
/// readable. The former directory is kept beside it and put back by the undo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Collectstatic {
    /// The interpreter of the release's virtualenv, as an absolute path.
    pub python: String,
    /// `manage.py`, as an absolute path; without it, the one in the `cwd` of the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manage: Option<String>,
    /// `dev`, `stag` or `prod` of BlueKing (`BKPAAS_ENVIRONMENT`, `BK_ENV`), or a module for `DJANGO_SETTINGS_MODULE`;
    /// without it, what the environment of the step and `manage.py` say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<String>,
    /// The directory that the web server serves, as an absolute path: the step is refused when Django would write
    /// somewhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// Former files go first. Without it, Django leaves a file alone whose time is not older than its source's, whatever
    /// it holds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clear: bool,
    /// The user of the web server, such as `www-data`, who must be able to read every file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_user: Option<String>,
    /// Where the web server serves the files, such as `http://127.0.0.1/static/`: some of them are fetched and compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// What Django says of its static files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    static_root: Option<String>,
    static_url: String,
    storage: String,
    version: String,
    settings: String,
    django: String,
    root: Option<String>,
    #[serde(default)]
    files: u64,
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
    manifest: Option<Manifest>,
    #[serde(default)]
    pub(super) samples: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    path: String,
    sha256: Option<String>,
}

/// All that the undo needs, beside the copy that is made before anything changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Observed {
    /// Where the files go; links are followed.
    root: String,
    /// What was there.
    former: Option<tree::Facts>,
    /// The manifest that was there, by its digest.
    manifest: Option<String>,
    /// What the application called its version.
    version: String,
    /// Where the copy of the former directory goes.
    copy: String,
}

impl Observed {
    fn read(value: &Value) -> Result<Self, Error> {
        serde_json::from_value(value.clone())
            .map_err(|e| Error::io("what was observed cannot be read", &e))
    }

    fn root(&self) -> &Path {
        Path::new(&self.root)
    }

    /// The place beside it, with that ending.
    fn beside(&self, ending: &str) -> PathBuf {
        PathBuf::from(format!("{}{ending}", self.copy))
    }

    fn copy(&self) -> PathBuf {
        self.beside("")
    }

    /// Where the name of what this step left there is noted, so that its undo can tell it from others' work.
    fn note(&self, cx: &Context) -> Result<PathBuf, Error> {
        Ok(cx
            .undo_dir()?
            .join(format!("static-{}", disk::tag(cx, self.root()))))
    }
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

fn short(digest: Option<&String>) -> &str {
    digest.map_or("none", |d| d.get(..12).unwrap_or(d))
}

impl Collectstatic {
    fn app(&self) -> App<'_> {
        App {
            python: &self.python,
            manage: self.manage.as_ref(),
            settings: self.settings.as_ref(),
        }
    }

    fn args(&self) -> Vec<&'static str> {
        let mut args = vec!["collectstatic", "--noinput"];
        if self.clear {
            args.push("--clear");
        }
        args
    }

    fn ask(&self, cx: &Context) -> Result<Seen, Error> {
        let arguments = json!({"user": self.web_user, "few": FEW});
        self.app().ask(cx, "static", &arguments)
    }

    /// Where Django puts the files.
    fn place(&self, seen: &Seen) -> Result<PathBuf, Error> {
        let Some(root) = &seen.root else {
            return Err(match &seen.static_root {
                None => Error::new(format!(
                    "STATIC_ROOT is None in {}, so that collectstatic cannot work: set it to the directory that the web \
                     server serves at {}",
                    seen.settings, seen.static_url
                )),
                Some(root) => Error::new(format!(
                    "the storage of static files in {} keeps them in no directory, although STATIC_ROOT is {root}",
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
    fn faults(&self, cx: &Context, o: &Observed, seen: &Seen) -> Result<Vec<String>, Error> {
        let root = self.place(seen)?;
        if root != o.root() {
            return Ok(vec![format!(
                "Django collected into {} before, and into {} now",
                o.root,
                root.display()
            )]);
        }
        let mut wrong = Vec::new();
        let all = seen.files;
        if all == 0 {
            wrong.push("Django's finders know no static file at all".into());
        }
        if seen.missing > 0 {
            wrong.push(format!(
                "{} of {all} files are not in {}: {}",
                seen.missing,
                o.root,
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
                "{} of {all} files in {} have another content than their sources: {}{hint}",
                seen.different,
                o.root,
                some(&seen.different_some, seen.different)
            ));
        }
        if let Some(Manifest { path, sha256: None }) = &seen.manifest {
            wrong.push(format!(
                "{} wants a manifest, and {path} is not there",
                seen.storage
            ));
        }
        if seen.unreadable > 0 {
            let user = self.web_user.as_deref().unwrap_or_default();
            wrong.push(format!(
                "{user} cannot read {} files, closed by: {}",
                seen.unreadable,
                seen.unreadable_some.join(", ")
            ));
        }
        if let Some(url) = &self.url
            && wrong.is_empty()
        {
            wrong.extend(served::look(cx, url, o.root(), seen)?.err());
        }
        Ok(wrong)
    }

    /// What was seen, once nothing is wrong.
    fn evidence(&self, cx: &Context, o: &Observed, seen: &Seen) -> Result<Vec<String>, Error> {
        let mut lines = vec![format!(
            "{}: all {} files of {} are there with the content of their sources, digest {}",
            o.root, seen.files, seen.settings, seen.digest
        )];
        let now = seen.manifest.as_ref().and_then(|m| m.sha256.as_ref());
        if now.is_some() || o.manifest.is_some() {
            let was = o.manifest.as_ref();
            let (was, now) = (short(was), short(now));
            lines.push(if was == now {
                format!("the manifest is the former one: sha256 {now}")
            } else {
                format!("the manifest: sha256 {was} before, {now} now")
            });
        }
        if !(o.version.is_empty() && seen.version.is_empty()) {
            lines.push(format!(
                "STATIC_VERSION: {} before, {} now",
                o.version, seen.version
            ));
        }
        lines.extend(
            self.web_user
                .as_ref()
                .map(|user| format!("{user} can read every file")),
        );
        if let Some(url) = &self.url {
            lines.extend(served::look(cx, url, o.root(), seen)?.ok());
        }
        Ok(lines)
    }

    /// Makes the copy of the former directory, once.
    fn keep(&self, o: &Observed, log: &mut dyn Write) -> Result<(), Error> {
        let copy = o.copy();
        let changed = |what: &Path| {
            Error::new(format!(
                "{} is not the directory that was looked at: somebody has changed it; nothing is done",
                what.display()
            ))
        };
        let Some(former) = &o.former else {
            return Ok(());
        };
        if let Some(kept) = tree::look(&copy)? {
            return if kept == *former {
                Ok(())
            } else {
                Err(changed(&copy))
            };
        }
        if tree::look(o.root())?.as_ref() != Some(former) {
            return Err(changed(o.root()));
        }
        let part = o.beside(".part");
        tree::remove(&part)?;
        failpoint::hit("static-before-copy");
        tree::copy(o.root(), &part)?;
        failpoint::hit("static-copied");
        if tree::look(&part)?.as_ref() != Some(former) {
            return Err(changed(o.root()));
        }
        tree::rename(&part, &copy)?;
        failpoint::hit("static-kept");
        say(
            log,
            &format!("{} is kept as {}: {former}", o.root, copy.display()),
        )
    }

    /// Removes what this step left beside the directory, unless somebody has changed it: then it is named.
    fn clean(&self, cx: &Context, o: &Observed, log: &mut dyn Write) -> Result<(), Error> {
        tree::remove(&o.beside(".part"))?;
        let noted = disk::read(&o.note(cx)?)?;
        let noted = noted.map(|(bytes, _)| String::from_utf8_lossy(&bytes).into_owned());
        for path in [o.copy(), o.beside(".new")] {
            let Some(now) = tree::look(&path)? else {
                continue;
            };
            let ours = Some(&now.sha256) == noted.as_ref() || Some(&now) == o.former.as_ref();
            if ours {
                tree::remove(&path)?;
                continue;
            }
            say(
                log,
                &format!(
                    "{} holds what this step had collected, not to its end or with changes of somebody else; it is kept",
                    path.display()
                ),
            )?;
        }
        Ok(())
    }
}

impl Action for Collectstatic {
    fn effect(&self) -> Effect {
        Effect::Idempotent
    }

    fn stages(&self) -> Vec<Stage> {
        vec![Stage::Static]
    }

    fn has_probe(&self) -> bool {
        true
    }

    fn has_undo(&self) -> bool {
        true
    }

    fn below_cwd(&self) -> Option<&str> {
        self.app().below_cwd()
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong = self.app().problems();
        wrong.extend(self.root.as_ref().and_then(|r| absolute("root", r)));
        if self.web_user.as_ref().is_some_and(String::is_empty) {
            wrong.push(text::empty("web_user"));
        }
        wrong.extend(self.url.as_deref().and_then(fetch::problem));
        wrong
    }

    fn observe(&self, cx: &Context) -> Result<Value, Error> {
        let seen = self.ask(cx)?;
        let root = self.place(&seen)?;
        let former = tree::look(&root)?;
        let (Some(parent), Some(name)) = (root.parent(), root.file_name()) else {
            return Err(Error::new("STATIC_ROOT is the root of all files"));
        };
        if former.is_some() {
            let device = |path: &Path| path.metadata().map(|m| m.dev()).ok();
            if device(&root) != device(parent) {
                return Err(Error::new(format!(
                    "{} is a file system of its own, so that it cannot be exchanged for its former state; collect into a \
                     directory below it",
                    root.display()
                )));
            }
        }
        let copy = format!(".{}.upledger-{}", name.display(), disk::tag(cx, &root));
        let observed = Observed {
            copy: disk::text(&parent.join(copy))?,
            root: disk::text(&root)?,
            former,
            manifest: seen.manifest.and_then(|m| m.sha256),
            version: seen.version,
        };
        serde_json::to_value(observed).map_err(|e| Error::io("cannot record what was observed", &e))
    }

    fn undoing(&self) -> Option<String> {
        Some(text::undo_static())
    }

    fn commands(&self, cx: &Context) -> Vec<String> {
        vec![self.app().shown(cx, &self.args())]
    }

    fn probe(&self, cx: &Context, observed: &Value) -> Result<Look, Error> {
        let o = Observed::read(observed)?;
        let seen = self.ask(cx)?;
        let wrong = self.faults(cx, &o, &seen)?;
        if wrong.is_empty() {
            return Ok(Look {
                answer: Answer::Done,
                evidence: self.evidence(cx, &o, &seen)?,
            });
        }
        let untouched = tree::look(o.root())? == o.former;
        Ok(Look {
            answer: if untouched {
                Answer::Nothing
            } else {
                Answer::Unclear
            },
            evidence: wrong,
        })
    }

    fn perform(&self, cx: &Context, observed: &Value, log: &mut dyn Write) -> Result<(), Error> {
        let o = Observed::read(observed)?;
        self.keep(&o, log)?;
        let argv = self.app().words(cx, &self.args())?;
        let mut into = None;
        let inner = self.app().context(cx)?;
        let ran = stream(&inner, &argv, None, log, &mut |line| {
            into = written(line).or(into.take());
        })?;
        failpoint::hit("static-collected");
        if let Some(now) = tree::look(o.root())? {
            let manner = Manner {
                mode: crate::actions::file::mode::Mode::of(0o600),
                owner: None,
                must_own: false,
                mtime: None,
            };
            let (bytes, sha256) = (now.sha256.as_bytes(), disk::digest(now.sha256.as_bytes()));
            disk::put(cx, &o.note(cx)?, &mut &*bytes, &sha256, manner)?;
        }
        if ran.code != Some(0) {
            let said = ran.tail.last().map_or("", String::as_str);
            return Err(Error::new(format!(
                "collectstatic failed ({}): {said}",
                ran.ended
            )));
        }
        if let Some(said) = into {
            let into = tree::resolve(Path::new(&said)).unwrap_or_else(|_| PathBuf::from(&said));
            if into != o.root() {
                return Err(Error::new(format!(
                    "collectstatic says that it wrote to {said}, and the settings in force name {}",
                    o.root
                )));
            }
        }
        Ok(())
    }

    fn verify(&self, cx: &Context, observed: &Value) -> Result<Look, Error> {
        let o = Observed::read(observed)?;
        let seen = self.ask(cx)?;
        let wrong = self.faults(cx, &o, &seen)?;
        if wrong.is_empty() {
            return Ok(Look {
                answer: Answer::Done,
                evidence: self.evidence(cx, &o, &seen)?,
            });
        }
        Ok(Look {
            answer: Answer::Unclear,
            evidence: wrong,
        })
    }

    fn kept(&self, _cx: &Context, observed: &Value) -> Vec<Kept> {
        let copy = Observed::read(observed).ok().filter(|o| o.former.is_some());
        copy.map(|o| Kept {
            at: o.copy().display().to_string(),
            of: o.root,
        })
        .into_iter()
        .collect()
    }

    fn undo(&self, cx: &Context, observed: &Value, log: &mut dyn Write) -> Result<(), Error> {
        let o = Observed::read(observed)?;
        let (root, copy) = (o.root(), o.copy());
        let now = tree::look(root)?;
        if now != o.former {
            match &o.former {
                None => tree::rename(root, &copy)?,
                Some(former) => {
                    if tree::look(&copy)?.as_ref() != Some(former) {
                        return Err(Error::new(format!(
                            "{} has changed and {} is not its former state; both are left alone",
                            o.root,
                            copy.display()
                        )));
                    }
                    failpoint::hit("static-before-exchange");
                    match now {
                        None => tree::rename(&copy, root)?,
                        Some(_) => tree::exchange(root, &copy, &o.beside(".new"))?,
                    }
                    failpoint::hit("static-exchanged");
                }
            }
        }
        self.clean(cx, &o, log)?;
        match &o.former {
            None => say(log, &format!("{} is not there, as before", o.root)),
            Some(former) => say(log, &format!("{} is as before: {former}", o.root)),
        }
    }

    fn undone(&self, _cx: &Context, observed: &Value) -> Result<Look, Error> {
        let o = Observed::read(observed)?;
        let now = tree::look(o.root())?;
        if now != o.former {
            return Ok(Look::nothing(format!("{} is not as before", o.root)));
        }
        if o.beside(".part").symlink_metadata().is_ok() {
            return Ok(Look::nothing(format!("{}.part is left over", o.copy)));
        }
        let mut look = Look::done(match &now {
            None => format!("{} is not there, as before", o.root),
            Some(now) => format!("{} is as before: {now}", o.root),
        });
        for path in [o.copy(), o.beside(".new")] {
            let Some(left) = tree::look(&path)? else {
                continue;
            };
            if Some(&left) == now.as_ref() {
                return Ok(Look::nothing(format!("{} is left over", path.display())));
            }
            look.evidence.push(format!(
                "{} holds what was collected since, with changes of somebody else",
                path.display()
            ));
        }
        Ok(look)
    }
}

/// The directory that collectstatic says it wrote to.
fn written(line: &str) -> Option<String> {
    let (_, rest) = line.split_once(" to '")?;
    let (path, _) = rest.split_once('\'')?;
    line.contains("static file").then(|| path.to_owned())
}

fn say(log: &mut dyn Write, line: &str) -> Result<(), Error> {
    writeln!(log, "{line}").map_err(|e| Error::io("cannot write the step's output", &e))
}
