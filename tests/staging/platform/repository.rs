//! The repository with all releases, each a tag.

use super::template::{digest, lay, once, project};
use super::tools::Call;
use std::path::PathBuf;

/// The releases in the order of their commits: each with the one it comes after, and the layers it is made of.
const RELEASES: [(&str, &str, &[&str]); 7] = [
    ("1.0", "", &["1.0"]),
    ("2.0", "1.0", &["1.0", "2.0"]),
    ("2.0-broken-deps", "2.0", &["1.0", "2.0", "2.0-broken-deps"]),
    ("2.0-broken-boot", "2.0", &["1.0", "2.0", "2.0-broken-boot"]),
    (
        "2.0-dies-halfway",
        "2.0",
        &["1.0", "2.0", "2.0-dies-halfway"],
    ),
    (
        "2.0-irreversible",
        "2.0",
        &["1.0", "2.0", "2.0-irreversible"],
    ),
    ("2.0-iam", "2.0", &["1.0", "2.0", "2.0-iam"]),
];

/// The layers of a release, the lowest first.
pub(super) fn layers(release: &str) -> &'static [&'static str] {
    let found = RELEASES.iter().find(|(name, ..)| *name == release);
    found.expect("a release of the project").2
}

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
            for (release, after, layers) in RELEASES {
                // What nobody would merge stays off the branch.
                if release.contains('-') {
                    git(&["checkout", "-q", "--detach", &format!("bklog/{after}")]);
                }
                git(&["rm", "-rq", "--ignore-unmatch", "."]);
                for layer in layers {
                    lay(&project().join(layer), &work);
                }
                git(&["add", "-A"]);
                git(&["commit", "-q", "-m", &format!("bklog {release}")]);
                git(&["tag", &format!("bklog/{release}")]);
            }
            git(&["checkout", "-q", "main"]);
            git(&["clone", "-q", "--bare", ".", "../app.git"]);
        },
    )
    .join("app.git")
}
