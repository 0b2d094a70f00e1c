//! The repository with all releases, each a tag.

use super::template::{digest, lay, once, project};
use super::tools::Call;
use std::path::PathBuf;

/// The releases, each with what it is laid over, in the order of their commits.
const RELEASES: [(&str, &[&str]); 1] = [("1.0", &["1.0"])];

/// The repository with a tag `bklog/RELEASE` for each release.
pub(super) fn repository() -> PathBuf {
    once(
        "repository",
        &digest(&[&project()], include_str!("repository.rs")),
        |into| {
            let work = into.join("work");
            std::fs::create_dir_all(&work).expect("made");
            let git = |args: &[&str]| {
                Call::new("git")
                    .args([
                        "-c",
                        "user.name=staging",
                        "-c",
                        "user.email=staging@localhost",
                    ])
                    .args(args)
                    .env("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z")
                    .env("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z")
                    .dir(&work)
                    .run();
            };
            git(&["init", "-q", "-b", "main"]);
            for (release, layers) in RELEASES {
                git(&["rm", "-rq", "--ignore-unmatch", "."]);
                for layer in layers {
                    lay(&project().join(layer), &work);
                }
                git(&["add", "-A"]);
                git(&["commit", "-q", "-m", &format!("bklog {release}")]);
                git(&["tag", &format!("bklog/{release}")]);
            }
            git(&["clone", "-q", "--bare", ".", "../app.git"]);
        },
    )
    .join("app.git")
}
