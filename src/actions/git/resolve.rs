//! From a branch, a tag or a commit to the one commit that is meant, without changing anything.
//!
//! Invariants: the answer is a full commit id, and nothing later reads the name again; a name that is both a branch
//! and a tag of different commits is refused. With `fetch` the repository itself is asked (`ls-remote`), without it
//! the working clone.

use super::repo::Git;
use crate::action::Error;
use crate::action::values::distance;
use crate::text::settings as text;
use serde::de::{self, Deserialize, Deserializer};

/// Why this cannot be a name for a commit; none when it can.
pub(super) fn problem(name: &str) -> Option<String> {
    let bad = name.is_empty()
        || name.starts_with(['-', '/', '.'])
        || name.ends_with(['/', '.'])
        || name.ends_with(".lock")
        || ["..", "//", "@{", "/."].iter().any(|s| name.contains(s))
        || name == "@"
        || name
            .chars()
            .any(|c| c.is_control() || " ~^:?*[\\".contains(c));
    bad.then(|| text::no_ref(name))
}

/// A path or a URL of a repository, and no command or option.
pub(super) fn is_repo(repo: &str) -> bool {
    let path = repo.starts_with('/');
    let url = ["https://", "http://", "ssh://", "git://", "file://"]
        .iter()
        .any(|s| repo.starts_with(s));
    let host = repo.split_once(':').is_some_and(|(host, path)| {
        !host.is_empty() && !host.contains('/') && !host.starts_with('-') && !path.starts_with(':')
    });
    path || url || (host && !repo.contains("://"))
}

/// A full commit id.
pub(super) fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A commit of the record, which becomes a word of a command.
pub(super) fn read_commit<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let text = String::deserialize(d)?;
    if is_commit(&text) {
        Ok(text)
    } else {
        Err(de::Error::custom(format!("'{text}' is not a commit")))
    }
}

/// A commit, and the name under which it can be fetched.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    pub(super) commit: String,
    /// The full name of the branch or tag; none for a commit.
    pub(super) name: Option<String>,
}

/// The commit that is meant. `clone` is the working clone, where there is one.
pub(super) fn resolve(
    outside: &Git,
    clone: Option<&Git>,
    repo: &str,
    name: &str,
    fetch: bool,
) -> Result<Resolved, Error> {
    if is_commit(name) {
        return Ok(Resolved {
            commit: name.to_ascii_lowercase(),
            name: None,
        });
    }
    let found = if fetch {
        remote(outside, repo, name)?
    } else {
        local(clone, name)?
    };
    if let Some(found) = found {
        return Ok(found);
    }
    // The beginning of a commit id means something only where the commit is.
    let short = name.len() >= 7 && name.bytes().all(|b| b.is_ascii_hexdigit());
    if let Some(commit) = clone
        .filter(|_| short)
        .map(|c| c.commit(name))
        .transpose()?
        .flatten()
    {
        return Ok(Resolved { commit, name: None });
    }
    let whole = if short {
        "; write a commit in full"
    } else {
        ""
    };
    let place = if fetch {
        repo
    } else {
        "the working clone (`fetch: false`)"
    };
    let missing = format!("{place} has neither a branch nor a tag {name}{whole}");
    if !fetch {
        return Err(Error::new(missing));
    }
    let meant = meant(outside, repo, name)?;
    let hint = if meant.is_empty() {
        String::new()
    } else {
        format!("; did you mean {}?", meant.join(" or "))
    };
    Err(Error::certain(format!("{missing}{hint}")))
}

/// The commit that was approved, against what the name means now.
pub(super) fn approved(
    found: Resolved,
    commit: Option<&str>,
    name: &str,
) -> Result<Resolved, Error> {
    let Some(commit) = commit.map(str::to_ascii_lowercase) else {
        return Ok(found);
    };
    if found.commit == commit {
        return Ok(found);
    }
    match found.name {
        // Branches move all the time; what was approved is still what is meant.
        Some(branch) if branch.starts_with("refs/heads/") => Ok(Resolved {
            commit,
            name: Some(branch),
        }),
        // A tag that moves is another release by the same name, and somebody had a reason to move it.
        Some(_) | None => Err(Error::certain(format!(
            "{name} was {commit} when the plan was resolved, and is {} now; resolve the plan again, and have it approved, \
             or write the commit that is meant as `ref`",
            found.commit
        ))),
    }
}

/// Names of the repository that may be meant, the likeliest only.
fn meant(git: &Git, repo: &str, name: &str) -> Result<Vec<String>, Error> {
    const FEW: usize = 3;
    let listed = git.ask(&["ls-remote", "--quiet", "--tags", "--heads", "--", repo])?;
    let mut near: Vec<(usize, String)> = listed
        .lines()
        .filter_map(|l| l.split_once('\t'))
        .filter_map(|(_, full)| {
            full.strip_prefix("refs/tags/")
                .or_else(|| full.strip_prefix("refs/heads/"))
        })
        .filter(|known| !known.ends_with("^{}"))
        .filter_map(|known| Some((apart(name, known)?, known.to_owned())))
        .collect();
    near.sort();
    near.dedup();
    let best = near.first().map(|(n, _)| *n);
    Ok(near
        .into_iter()
        .filter(|(n, _)| Some(*n) == best)
        .map(|(_, known)| known)
        .take(FEW)
        .collect())
}

/// How far a name is from one that exists; none when nobody would take one for the other. `bklog-4.6.4`, `v4.6.4` and
/// `release/4.6.4` are all near to `bklog/4.6.4`.
fn apart(name: &str, known: &str) -> Option<usize> {
    let plain = |text: &str| -> String {
        let letters = text.chars().filter(char::is_ascii_alphanumeric);
        letters.map(|c| c.to_ascii_lowercase()).collect()
    };
    let last = |text: &str| {
        let last = text.rsplit('/').next().unwrap_or(text);
        plain(last.trim_start_matches(['v', 'V']))
    };
    if plain(name) == plain(known) {
        return Some(0);
    }
    if last(name) == last(known) {
        return Some(1);
    }
    let edits = distance(name, known);
    let limit = (name.chars().count() / 3).clamp(1, 3);
    (edits <= limit).then_some(edits.saturating_add(1))
}

fn remote(git: &Git, repo: &str, name: &str) -> Result<Option<Resolved>, Error> {
    let full = name.starts_with("refs/");
    let names = if full {
        vec![name.to_owned()]
    } else {
        vec![format!("refs/tags/{name}"), format!("refs/heads/{name}")]
    };
    // The commit behind a tag that is an object of its own stands on a line of its own.
    let peeled: Vec<String> = names.iter().map(|n| format!("{n}^{{}}")).collect();
    let mut words = vec!["ls-remote", "--quiet", "--", repo];
    words.extend(names.iter().chain(&peeled).map(String::as_str));
    let listed = git.ask(&words)?;
    let at = |wanted: &str| {
        // The patterns also match the ends of longer names.
        listed
            .lines()
            .filter_map(|l| l.split_once('\t'))
            .find(|(_, n)| *n == wanted)
            .map(|(id, _)| id.to_owned())
    };
    one_of(names.into_iter().zip(peeled).filter_map(|(name, peeled)| {
        Some(Resolved {
            commit: at(&peeled).or_else(|| at(&name))?,
            name: Some(name),
        })
    }))
}

fn local(git: Option<&Git>, name: &str) -> Result<Option<Resolved>, Error> {
    let Some(git) = git else { return Ok(None) };
    let seen = |name: String| -> Result<Option<Resolved>, Error> {
        Ok(git.commit(&name)?.map(|commit| Resolved {
            commit,
            name: Some(name),
        }))
    };
    if name.starts_with("refs/") {
        return seen(name.to_owned());
    }
    let fetched = [
        format!("refs/tags/{name}"),
        format!("refs/remotes/origin/{name}"),
    ];
    let mut found = Vec::new();
    for name in fetched {
        found.extend(seen(name)?);
    }
    if let Some(one) = one_of(found.into_iter())? {
        return Ok(Some(one));
    }
    seen(format!("refs/heads/{name}"))
}

fn one_of(mut found: impl Iterator<Item = Resolved>) -> Result<Option<Resolved>, Error> {
    let Some(first) = found.next() else {
        return Ok(None);
    };
    match found.find(|other| other.commit != first.commit) {
        None => Ok(Some(first)),
        Some(other) => Err(Error::new(format!(
            "there are {} and {}, and they differ; write the intended one in full",
            first.name.unwrap_or_default(),
            other.name.unwrap_or_default()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::{apart, problem};

    #[test]
    fn names_that_git_would_read_as_something_else_are_refused() {
        for good in [
            "main",
            "bklog/4.6.4",
            "release/v4.6.3",
            "refs/tags/x",
            "v1.0-rc_1",
            "0a1b2c3",
        ] {
            assert_eq!(problem(good), None, "{good}");
        }
        for bad in [
            "",
            "-d",
            "--upload-pack=x",
            "a..b",
            "HEAD^",
            "HEAD~1",
            "a:b",
            "a b",
            "a\nb",
            "@{1}",
            "@",
            "a*",
            "x.lock",
            "a/",
            "/a",
            "a//b",
            ".a",
            "a/.b",
            "a\\b",
        ] {
            assert!(problem(bad).is_some(), "{bad:?}");
        }
    }

    #[test]
    fn a_slip_of_the_pen_is_near_to_what_exists() {
        for slip in ["bklog/4.6.4", "bklog-4.6.4", "BKLOG_4.6.4"] {
            assert_eq!(apart(slip, "bklog/4.6.4"), Some(0), "{slip}");
        }
        for slip in ["4.6.4", "v4.6.4", "release/v4.6.4", "bkmonitor/4.6.4"] {
            assert_eq!(apart(slip, "bklog/4.6.4"), Some(1), "{slip}");
        }
        assert_eq!(apart("bklgo/4.6.4", "bklog/4.6.4"), Some(1));
        assert_eq!(apart("bklog/4.6.5", "bklog/4.6.4"), Some(2));
        assert_eq!(apart("main", "bklog/4.6.4"), None);
    }
}
