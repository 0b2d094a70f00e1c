//! What a clone was when it was made: its tags and its configuration, so that the undo can tell what somebody added.
//!
//! A commit that only a tag of somebody keeps looks like one of the clone's own, since a clone has tags; and a hook or a
//! remote that somebody set up would go with it. The note lies in the clone's own repository, written before the clone
//! gets its name. A clone without one was made by a version that wrote none, and is never deleted.

use super::modules;
use super::repo::Git;
use crate::actions::Error;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

fn note_of(git: &Git) -> Result<PathBuf, Error> {
    let path = git.look(&["rev-parse", "--git-path", "upledger-clone"])?;
    Ok(git.dir().join(path.trim_end_matches('\n')))
}

/// The digest of all tags, the configuration and the hooks of every repository of the tree.
fn state(git: &Git, commit: &str) -> Result<String, Error> {
    let mut digest = Sha256::new();
    let below = modules::repositories(git, commit)?;
    for git in std::iter::once(git).chain(&below) {
        let mut tags = Sha256::new();
        let words = [
            "for-each-ref",
            "--format=%(objectname) %(refname)%00",
            "refs/tags",
        ];
        git.each(&words, &mut |tag| tags.update(tag))?;
        digest.update(tags.finalize());
        let config = git.look(&["rev-parse", "--git-path", "config"])?;
        let config = git.dir().join(config.trim_end_matches('\n'));
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

/// Writes down what a new clone is.
pub(super) fn note(git: &Git, commit: &str) -> Result<(), Error> {
    let path = note_of(git)?;
    let state = state(git, commit)?;
    File::create(&path)
        .and_then(|mut f| {
            f.write_all(format!("{state}\n").as_bytes())?;
            f.sync_all()
        })
        .map_err(|e| Error::io(format!("cannot write {}", path.display()), &e))
}

/// When this program made a clone, if it did.
pub(super) fn made(git: &Git) -> Option<std::time::SystemTime> {
    let note = note_of(git).ok()?;
    std::fs::symlink_metadata(note).ok()?.modified().ok()
}

/// Nothing was added to it since.
pub(super) fn agrees(git: &Git, commit: &str) -> Result<bool, Error> {
    let Ok(noted) = std::fs::read_to_string(note_of(git)?) else {
        return Ok(false);
    };
    Ok(noted.trim() == state(git, commit)?)
}
