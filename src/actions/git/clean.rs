//! Which tracked files are modified, by their content: what git calls modified may hold exactly the bytes of the commit
//! (an attribute would have them stored otherwise), and what its index calls unmodified may hold others (it was written
//! under another configuration).
//!
//! Left out: which bytes an attribute of the commit makes of a file is the commit's own business.

use super::repo::{Git, few};
use crate::action::Error;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

/// More files than this are not looked at one by one.
const MANY: usize = 1000;
/// Attributes that make other bytes of a file than those of the commit.
const CONVERTING: [&str; 6] = [
    "text",
    "eol",
    "crlf",
    "ident",
    "filter",
    "working-tree-encoding",
];

/// Tracked files that git calls modified.
#[derive(Debug, Default)]
struct Tracked {
    modified: Vec<String>,
    /// Those that hold the bytes of the commit all the same.
    exact: Vec<String>,
}

impl Git {
    /// Tracked files that differ from the commit or the index, and those of which git would not tell.
    pub(super) fn modified(&self) -> Result<Vec<String>, Error> {
        let mut modified = self.tracked(&[])?.modified;
        for path in self.hidden()? {
            modified.push(format!("{path} (a flag hides it from git status)"));
        }
        Ok(modified)
    }

    /// Files that git calls modified although they hold the bytes of the commit: it would not let go of them.
    pub(super) fn has_exact(&self) -> Result<bool, Error> {
        Ok(!self.tracked(&[])?.exact.is_empty())
    }

    /// Files that hold other bytes than a checkout of the commit writes, whatever the index remembers of them.
    fn differing(&self, commit: &str) -> Result<Vec<String>, Error> {
        self.anew(commit, |git| {
            Ok(git.tracked(&["--ignore-submodules=all"])?.modified)
        })
    }

    /// With an index of the commit that remembers nothing of the files.
    fn anew<T>(
        &self,
        commit: &str,
        does: impl FnOnce(&Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let dir = tempfile::tempdir().map_err(|e| Error::io("cannot compare the files", &e))?;
        let git = self.with_index(&dir.path().join("index"));
        git.look(&["read-tree", commit])?;
        does(&git)
    }

    /// The same in words; none when there is none.
    pub(super) fn other_bytes(&self, commit: &str) -> Result<Option<String>, Error> {
        let differing = self.differing(commit)?;
        if differing.is_empty() {
            return Ok(None);
        }
        Ok(Some(format!(
            "these files in {} hold other bytes than the commit {commit}, although its index calls them unmodified, as \
             files do that were written under another configuration of git: {}",
            self.dir().display(),
            self.named(&differing)?
        )))
    }

    /// Writes anew what is unmodified by the index and holds other bytes than the commit: git itself has written that.
    pub(super) fn rewrite(&self, commit: &str, log: &mut dyn FnMut(&str)) -> Result<(), Error> {
        let modified = self.modified()?;
        let mut files = self.differing(commit)?;
        files.retain(|path| !modified.contains(path));
        if files.is_empty() {
            return Ok(());
        }
        let write = |git: &Self| {
            files.chunks(MANY).try_for_each(|some| {
                let mut words = vec!["checkout-index", "--force", "--index", "--"];
                words.extend(some.iter().map(String::as_str));
                git.work(&words).map(drop)
            })
        };
        // By its own index they are as they should be, and it would not write them; then it has to learn of it.
        self.anew(commit, write)?;
        write(self)?;
        log(&format!(
            "written anew, because another configuration of git had written them with other bytes: {}",
            few(&files)
        ));
        Ok(())
    }

    fn tracked(&self, more: &[&str]) -> Result<Tracked, Error> {
        let mut words = vec![
            "status",
            "--porcelain",
            "-z",
            "--no-renames",
            "--untracked-files=no",
        ];
        words.extend(more);
        let seen = self.look(&words)?;
        let mut told = Tracked::default();
        let mut unsure = Vec::new();
        for entry in seen.split('\0').filter(|entry| !self.is_moved(entry)) {
            match (entry.get(..3), entry.get(3..)) {
                (Some(_), Some(path)) if self.is_shared(path) => {}
                (Some(" M "), Some(path)) => unsure.push(path.to_owned()),
                (Some(_), Some(path)) => told.modified.push(path.to_owned()),
                _ => {}
            }
        }
        let exact = if unsure.len() <= MANY {
            self.exact(&unsure)?
        } else {
            Vec::new()
        };
        (told.exact, unsure) = unsure.into_iter().partition(|path| exact.contains(path));
        told.modified.append(&mut unsure);
        Ok(told)
    }

    /// Those of these files that hold the bytes that the index names, with its mode.
    fn exact(&self, paths: &[String]) -> Result<Vec<String>, Error> {
        let is_file = |path: &&String| {
            let meta = std::fs::symlink_metadata(self.dir().join(path));
            meta.is_ok_and(|m| m.is_file())
        };
        let files: Vec<&str> = paths.iter().filter(is_file).map(String::as_str).collect();
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let listed = self.look(&[&["ls-files", "-s", "-z", "--"], &files[..]].concat())?;
        let stored: BTreeMap<&str, (&str, &str)> = listed
            .split('\0')
            .filter_map(|entry| {
                let (facts, path) = entry.split_once('\t')?;
                let mut words = facts.split(' ');
                Some((path, (words.next()?, words.next()?)))
            })
            .collect();
        let ids = self.look(&[&["hash-object", "--no-filters", "--"], &files[..]].concat())?;
        let mut exact = Vec::new();
        for (path, id) in files.iter().zip(ids.lines()) {
            let meta = std::fs::symlink_metadata(self.dir().join(path));
            let mode = match meta.is_ok_and(|m| m.permissions().mode() & 0o100 != 0) {
                true => "100755",
                false => "100644",
            };
            if stored.get(path) == Some(&(mode, id)) {
                exact.push((*path).to_owned());
            }
        }
        Ok(exact)
    }

    /// A few of these files, each with the attributes that make other bytes of it: where a tree cannot be clean, they are
    /// the reason.
    pub(super) fn named(&self, paths: &[String]) -> Result<String, Error> {
        const FEW: usize = 10;
        let mut asked = vec!["check-attr", "-z"];
        asked.extend(CONVERTING);
        asked.push("--");
        asked.extend(paths.iter().take(FEW).map(String::as_str));
        let seen = self.look(&asked)?;
        let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let mut words = seen.split('\0');
        while let (Some(path), Some(attribute), Some(value)) =
            (words.next(), words.next(), words.next())
        {
            if !matches!(value, "unspecified" | "unset") {
                let one = format!("{attribute}={value}");
                found.entry(path).or_default().push(one);
            }
        }
        let shown: Vec<String> = paths
            .iter()
            .map(|path| match found.get(path.as_str()) {
                Some(all) => format!("{path} (its attributes: {})", all.join(", ")),
                None => path.clone(),
            })
            .collect();
        Ok(few(&shown))
    }
}
