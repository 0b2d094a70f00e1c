//! `git`, as this program calls it: words without a shell, nothing of a repository is executed, nobody is asked.
//!
//! Invariants: hooks, the file-system monitor and `ext::` transports of a hostile repository do not run, and no command
//! follows submodules by itself; a look takes no lock; a repository above the named directory is never taken for it. The
//! system's and the user's configuration are read, because `safe.directory` and logins are there: git's refusal of a
//! repository that another user owns stays in force. But they do not change what is deployed: line endings, attributes
//! and filters are those of the commit. The one filter that stays is `lfs`, because the commit names the bytes that it
//! brings. Of the step's own `GIT_*` variables those stay that say how a repository is reached.
//!
//! Left out: bare repositories as a working tree.

use super::resolve;
use super::shared::Shared;
use crate::action::{Context, Error};
use crate::attempt::sys::without_terminal;
use crate::encoding;
use crate::host::exec::{Captured, KEPT, capture};
use crate::host::process::mask;
use crate::host::remedy;
use crate::system::proc;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Fetches and checkouts end by the step's own time limit, not by this one.
const WORK: Duration = Duration::from_secs(7 * 86_400);

const OPTIONS: [&str; 21] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.quotePath=false",
    "core.ignoreStat=false",
    "protocol.ext.allow=never",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.detachedHead=false",
    "log.showSignature=false",
    // What the user has configured for their own work.
    "core.autocrlf=false",
    "core.eol=lf",
    "core.safecrlf=false",
    "core.attributesFile=/dev/null",
    "core.symlinks=true",
    "core.ignoreCase=false",
    "clone.defaultRemoteName=origin",
    "init.templateDir=",
    "color.ui=false",
    "i18n.logOutputEncoding=UTF-8",
];

/// With what variables of git that say how a repository is reached begin. Others would make it work elsewhere than where
/// it is told, or with other bytes.
const TRANSPORT: [&str; 9] = [
    "GIT_SSH",
    "GIT_ASKPASS",
    "GIT_ALLOW_PROTOCOL",
    "GIT_PROTOCOL",
    "GIT_SSL_",
    "GIT_HTTP_",
    "GIT_PROXY_",
    "GIT_CONFIG",
    "GIT_LFS_",
];

/// Commands that run files through filters.
const FILTERING: [&str; 5] = [
    "checkout",
    "checkout-index",
    "status",
    "hash-object",
    "submodule",
];
/// The filter that brings what the commit names by its digest.
const LARGE_FILES: &str = "lfs";

/// Git in one directory.
pub(super) struct Git {
    cx: Context,
    dir: PathBuf,
    /// Submodules are looked at one by one, so that the tree above them says nothing of them.
    follows: bool,
    /// Paths in the tree that are links to what releases share: what the commit has there counts as unchanged.
    shared: Vec<String>,
}

/// Where a working tree stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    /// The commit.
    #[serde(deserialize_with = "resolve::read_commit")]
    pub(super) commit: String,
    /// The full name of the branch; none when detached.
    pub(super) branch: Option<String>,
}

impl Head {
    /// At a commit, on no branch.
    pub(super) fn detached(commit: &str) -> Self {
        Self {
            commit: commit.to_owned(),
            branch: None,
        }
    }

    /// Where a working tree that stood here goes back to: on its branch, if that still is at the commit.
    pub(super) fn restorable(&self, git: &Git) -> Result<Self, Error> {
        let branch = match &self.branch {
            Some(b) if git.commit(b)?.as_ref() == Some(&self.commit) => Some(b.clone()),
            Some(_) | None => None,
        };
        Ok(Self {
            commit: self.commit.clone(),
            branch,
        })
    }

    /// The name by which git checks the branch out.
    pub(super) fn branch_name(&self) -> Option<&str> {
        self.branch.as_deref()?.strip_prefix("refs/heads/")
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.branch {
            Some(branch) => write!(f, "{} ({branch})", self.commit),
            None => f.write_str(&self.commit),
        }
    }
}

impl Git {
    pub(super) fn at(cx: &Context, dir: &Path) -> Self {
        let mut cx = cx.clone();
        cx.cwd = Some("/".into());
        let reaches = |k: &str| TRANSPORT.iter().any(|t| k.starts_with(t));
        cx.env.retain(|(k, _)| !k.starts_with("GIT_") || reaches(k));
        let ceiling = dir.parent().unwrap_or(Path::new("/")).display().to_string();
        for (key, value) in [
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GCM_INTERACTIVE", "never"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_LITERAL_PATHSPECS", "1"),
            // A commit is what its id says, not what a repository has put in its place.
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_CEILING_DIRECTORIES", &ceiling),
            ("LC_ALL", "C"),
        ] {
            cx.env.retain(|(k, _)| k != key);
            cx.env.push((key.into(), value.into()));
        }
        Self {
            cx,
            dir: dir.into(),
            follows: false,
            shared: Vec::new(),
        }
    }

    /// The same; with `follows`, a submodule that moved is no modification.
    pub(super) fn following(self, follows: bool) -> Self {
        Self { follows, ..self }
    }

    /// The same, with links to what releases share.
    pub(super) fn sharing(self, shared: Option<&Shared>) -> Self {
        let names = shared.into_iter().flat_map(Shared::names);
        Self {
            shared: names.cloned().collect(),
            ..self
        }
    }

    /// A link to what releases share has taken the place of this path.
    pub(super) fn is_shared(&self, path: &str) -> bool {
        let path = Path::new(path);
        self.shared.iter().any(|name| path.starts_with(name))
    }

    /// A repository inside this one, which follows submodules as this one does.
    pub(super) fn inside(&self, path: &str) -> Self {
        Self::at(&self.cx, &self.dir.join(path)).following(self.follows)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    fn call(&self, place: &[&str], words: &[&str], limit: Duration) -> Result<Captured, Error> {
        let mut argv = argv(place, words);
        if words.first().is_some_and(|w| FILTERING.contains(w)) {
            argv.splice(1..1, self.without_filters(place)?);
        }
        capture(&self.cx, &argv, limit)
    }

    /// Options that turn off every filter that somebody has configured.
    fn without_filters(&self, place: &[&str]) -> Result<Vec<String>, Error> {
        let words = ["config", "--name-only", "-z", "--get-regexp", r"^filter\."];
        let listed = capture(&self.cx, &argv(place, &words), self.cx.patience())?;
        // Another name would leave the filter on.
        let listed = String::from_utf8(listed.stdout).map_err(|e| {
            let names = encoding::escaped(e.as_bytes()).replace('\0', " ");
            Error::new(format!(
                "the name of a filter in the git configuration is not UTF-8, so it cannot be switched off: {names}"
            ))
        })?;
        let names = listed.split('\0').filter_map(|key| {
            let (name, _) = key.strip_prefix("filter.")?.rsplit_once('.')?;
            (name != LARGE_FILES).then_some(name)
        });
        let off = |name| {
            let set = |what| ["-c".to_owned(), format!("filter.{name}.{what}")];
            set("process=").into_iter().chain(set("required=false"))
        };
        let names: std::collections::BTreeSet<&str> = names.collect();
        Ok(names.into_iter().flat_map(off).collect())
    }

    /// The same, with another index.
    pub(super) fn with_index(&self, index: &Path) -> Self {
        let mut cx = self.cx.clone();
        cx.env
            .push(("GIT_INDEX_FILE".into(), index.display().to_string()));
        Self {
            cx,
            dir: self.dir.clone(),
            follows: self.follows,
            shared: self.shared.clone(),
        }
    }

    /// A command in the directory.
    pub(super) fn try_look(&self, words: &[&str]) -> Result<Captured, Error> {
        let dir = self.dir.display().to_string();
        self.call(&["-C", &dir], words, self.cx.patience())
    }

    /// The output of a look that must succeed.
    pub(super) fn look(&self, words: &[&str]) -> Result<String, Error> {
        said(words, self.try_look(words)?)
    }

    /// The same; none when the output may be cut: more than [`KEPT`] of it is dropped.
    pub(super) fn whole(&self, words: &[&str]) -> Result<Option<String>, Error> {
        let text = self.look(words)?;
        Ok((text.len() < KEPT).then_some(text))
    }

    /// A command in the directory that changes something.
    pub(super) fn work(&self, words: &[&str]) -> Result<String, Error> {
        let dir = self.dir.display().to_string();
        said(words, self.call(&["-C", &dir], words, WORK)?)
    }

    /// A look at a repository that is elsewhere.
    pub(super) fn ask(&self, words: &[&str]) -> Result<String, Error> {
        said(words, self.call(&["-C", "/"], words, self.cx.patience())?)
    }

    /// A command in no repository.
    pub(super) fn outside(&self, words: &[&str]) -> Result<String, Error> {
        said(words, self.call(&["-C", "/"], words, WORK)?)
    }

    /// The commit that a name means here.
    pub(super) fn commit(&self, name: &str) -> Result<Option<String>, Error> {
        let wanted = format!("{name}^{{commit}}");
        let seen = self.try_look(&["rev-parse", "--verify", "--quiet", &wanted])?;
        Ok((seen.code == Some(0)).then(|| seen.text().trim().to_owned()))
    }

    /// The commit is there.
    pub(super) fn has(&self, commit: &str) -> Result<bool, Error> {
        Ok(self.commit(commit)?.as_deref() == Some(commit))
    }

    /// Where the working tree stands.
    ///
    /// # Errors
    /// [`Error`] when the directory is not the top of a working tree, or has no commit yet.
    pub(super) fn head(&self) -> Result<Head, Error> {
        let dir = self.dir.display();
        let top = self.look(&["rev-parse", "--show-toplevel"])?;
        let here = std::fs::canonicalize(&self.dir)
            .map_err(|e| Error::io(format!("cannot find {dir}"), &e))?;
        let top = std::fs::canonicalize(top.trim_end_matches('\n')).ok();
        if top.as_ref() != Some(&here) {
            return Err(Error::new(format!(
                "{dir} is not the top of a working tree"
            )));
        }
        let commit = self.commit("HEAD")?.ok_or_else(|| {
            Error::new(format!(
                "{dir} has no commit yet; remove it, and this step clones it"
            ))
        })?;
        let branch = self.try_look(&["symbolic-ref", "--quiet", "HEAD"])?;
        let branch = (branch.code == Some(0)).then(|| branch.text().trim().to_owned());
        Ok(Head { commit, branch })
    }

    /// An entry of `git status` about a submodule that moved, where that is looked at elsewhere.
    pub(super) fn is_moved(&self, entry: &str) -> bool {
        let path = entry.strip_prefix(" M ");
        self.follows && path.is_some_and(|p| self.dir.join(p).join(".git").exists())
    }

    /// Tracked files with a flag (`assume-unchanged`, `skip-worktree`) that keeps git from looking at them.
    pub(super) fn hidden(&self) -> Result<Vec<String>, Error> {
        let mut hidden = Vec::new();
        self.each(&["ls-files", "-v", "-z"], &mut |entry| {
            if let [tag, b' ', path @ ..] = entry
                && (tag.is_ascii_lowercase() || *tag == b'S')
            {
                hidden.push(encoding::escaped(path));
            }
        })?;
        Ok(hidden)
    }

    /// Each entry that a look prints, as it comes: what is captured may be cut, and one entry of a large repository
    /// be missed. Entries end with NUL.
    pub(super) fn each(&self, words: &[&str], entry: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        let what = words.first().copied().unwrap_or_default();
        let cannot = |e: io::Error| Error::io(format!("cannot read the output of git {what}"), &e);
        let dir = self.dir.display().to_string();
        let argv = argv(&["-C", &dir], words);
        let mut command = Command::new("git");
        command
            .args(argv.iter().skip(1))
            .env_clear()
            .envs(self.cx.env.iter().map(|(k, v)| (k, v)))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        without_terminal(&mut command);
        let group = |child: &Child| i32::try_from(child.id()).unwrap_or_default();
        // A look that is given up must not leave it behind.
        let answers = self.cx.answers.as_ref();
        let mut child = match answers {
            Some(answers) => answers.start(|| command.spawn(), group),
            None => command.spawn(),
        }
        .map_err(cannot)?;
        let mut read = Ok(());
        if let Some(out) = child.stdout.take() {
            read = BufReader::new(out)
                .split(0)
                .try_for_each(|one| one.map(|one| entry(&one)));
        }
        let group = group(&child);
        let mut wait = || child.wait().map(Some);
        let ended = match answers {
            Some(answers) => answers.reap(group, wait),
            None => wait(),
        };
        read.map_err(cannot)?;
        let ended = ended.map_err(cannot)?;
        if ended.is_some_and(|status| status.success()) {
            Ok(())
        } else {
            let how = ended.map_or_else(String::new, |status| status.to_string());
            Err(Error::new(format!("git {what}: {how}")))
        }
    }

    /// Where a file of the repository itself is, or would be.
    pub(super) fn path(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.look(&["rev-parse", "--git-path", name])?;
        Ok(self.dir.join(path.trim_end_matches('\n')))
    }
}

fn argv(place: &[&str], words: &[&str]) -> Vec<String> {
    let mut argv = vec!["git".to_owned(), "--no-pager".to_owned()];
    for option in OPTIONS {
        argv.extend(["-c".to_owned(), option.to_owned()]);
    }
    argv.extend(place.iter().chain(words).map(|w| (*w).to_owned()));
    argv
}

fn said(words: &[&str], seen: Captured) -> Result<String, Error> {
    if seen.code == Some(0) {
        // A name that is no UTF-8 must not become another one: it stays illegible.
        return Ok(encoding::escaped(&seen.stdout));
    }
    let lines: Vec<&str> = seen
        .stderr
        .lines()
        .filter(|l| !l.trim().is_empty())
        .collect();
    let last = lines
        .get(lines.len().saturating_sub(6)..)
        .unwrap_or_default();
    let what = words.first().copied().unwrap_or_default();
    let error = Error::new(format!(
        "git {what}: {}: {}",
        seen.ended,
        mask::urls(&last.join("; "))
    ));
    Err(match remedy::of(&seen.stderr) {
        Some(remedy) => error.remedy(remedy),
        None => error,
    })
}

/// A few names, and how many more there are.
pub(super) fn few(names: &[String]) -> String {
    const FEW: usize = 10;
    let shown = names
        .iter()
        .take(FEW)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(FEW) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A lock of git on the index, said for people: its age, and which processes may hold it.
pub(super) struct Locked {
    pub(super) path: PathBuf,
    pub(super) held_by: Vec<String>,
    age: Option<Duration>,
}

impl Locked {
    /// The lock, where there is one.
    pub(super) fn find(git: &Git) -> Result<Option<Self>, Error> {
        let path = git.path("index.lock")?;
        let Ok(meta) = std::fs::symlink_metadata(&path) else {
            return Ok(None);
        };
        let age = meta.modified().ok().and_then(|m| m.elapsed().ok());
        let held_by = users(git.dir(), &path);
        Ok(Some(Self { path, held_by, age }))
    }

    pub(super) fn shown(&self) -> String {
        let age = self
            .age
            .map_or_else(String::new, |a| format!(", {} s old", a.as_secs()));
        let who = if self.held_by.is_empty() {
            "no visible git process uses it; if you are sure, remove it".into()
        } else {
            format!("{} works there", self.held_by.join(", "))
        };
        format!(
            "{} is locked ({}{age}); {who}",
            "the repository",
            self.path.display()
        )
    }
}

/// Processes that have the lock open, and processes of git in the working tree.
fn users(dir: &Path, lock: &Path) -> Vec<String> {
    let here = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.into());
    let mut found = Vec::new();
    for pid in proc::pids().unwrap_or_default() {
        let name = proc::name(pid).unwrap_or_default();
        let works_here =
            name.starts_with("git") && proc::cwd(pid).is_ok_and(|cwd| cwd.starts_with(&here));
        if works_here || proc::open_files(pid).any(|to| to == lock) {
            found.push(format!("process {pid} ({name})"));
        }
    }
    found
}
