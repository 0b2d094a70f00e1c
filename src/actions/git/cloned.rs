//! What a clone was when it was made: its tags and its configuration, so that it can be told what somebody added.
//!
//! A commit that only a tag of somebody keeps looks like one of the clone's own, since a clone has tags; and a hook or a
//! remote that somebody set up would go with it. The undo of the step that made the clone knows this from the step's
//! notes. Later runs, whose `keep` removes old releases, know it from a mark in the clone's own repository, written before
//! the clone gets its name; a clone without one is no release of this program, and stays.

use super::repo::Git;
use super::submodules;
use crate::action::Error;
use crate::system::durable::{self, Temporary};
use sha2::{Digest as _, Sha256};
use std::io::Write;
use std::path::PathBuf;

fn mark_of(git: &Git) -> Result<PathBuf, Error> {
    git.path("upledger-clone")
}

/// The digest of all tags, the configuration and the hooks of every repository of the tree.
pub(super) fn state(git: &Git, commit: &str) -> Result<String, Error> {
    let mut digest = Sha256::new();
    let below = submodules::repositories(git, commit)?;
    for git in std::iter::once(git).chain(&below) {
        let mut tags = Sha256::new();
        let words = [
            "for-each-ref",
            "--format=%(objectname) %(refname)%00",
            "refs/tags",
        ];
        git.each(&words, &mut |tag| tags.update(tag))?;
        digest.update(tags.finalize());
        let config = git.path("config")?;
        if let Ok(text) = std::fs::read(&config) {
            digest.update(Sha256::digest(text));
        }
        let hooks = config.with_file_name("hooks");
        let listed = std::fs::read_dir(hooks).into_iter().flatten().flatten();
        let mut names: Vec<_> = listed.map(|e| e.file_name()).collect();
        names.sort();
        for name in names {
            digest.update(name.as_encoded_bytes());
        }
    }
    Ok(digest
        .finalize()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect())
}

/// Writes the state of a new clone into its repository.
pub(super) fn mark(git: &Git, state: &str) -> Result<(), Error> {
    let path = mark_of(git)?;
    durable::replace(&path, Temporary::Random, 0o666, |file| {
        file.write_all(format!("{state}\n").as_bytes())
            .map_err(|e| Error::io(format!("cannot write {}", path.display()), &e))
    })
}

/// When this program made a clone, if it did.
pub(super) fn made(git: &Git) -> Option<std::time::SystemTime> {
    let mark = mark_of(git).ok()?;
    std::fs::symlink_metadata(mark).ok()?.modified().ok()
}

/// Nothing was added to it since, as its mark tells.
pub(super) fn agrees(git: &Git, commit: &str) -> Result<bool, Error> {
    let Ok(marked) = std::fs::read_to_string(mark_of(git)?) else {
        return Ok(false);
    };
    Ok(marked.trim() == state(git, commit)?)
}
