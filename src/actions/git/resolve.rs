//! From a branch, a tag or a commit to the one commit that is meant, without changing anything.
//!
//! Invariants: the answer is a full commit id, and nothing later reads the name again; a name that is both a branch
//! and a tag of different commits is refused. With `fetch` the repository itself is asked (`ls-remote`), without it
//! the working clone.

use super::repo::Git;
use crate::actions::Trouble;
use crate::text::settings as text;

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

/// A full commit id.
pub(super) fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
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
) -> Result<Resolved, Trouble> {
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
        "; a commit is written with all its digits"
    } else {
        ""
    };
    let place = if fetch {
        repo
    } else {
        "the working clone (`fetch: false`)"
    };
    Err(Trouble::new(format!(
        "{place} has neither a branch nor a tag {name}{whole}"
    )))
}

fn remote(git: &Git, repo: &str, name: &str) -> Result<Option<Resolved>, Trouble> {
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

fn local(git: Option<&Git>, name: &str) -> Result<Option<Resolved>, Trouble> {
    let Some(git) = git else { return Ok(None) };
    let seen = |name: String| -> Result<Option<Resolved>, Trouble> {
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

fn one_of(mut found: impl Iterator<Item = Resolved>) -> Result<Option<Resolved>, Trouble> {
    let Some(first) = found.next() else {
        return Ok(None);
    };
    match found.find(|other| other.commit != first.commit) {
        None => Ok(Some(first)),
        Some(other) => Err(Trouble::new(format!(
            "there are {} and {}, and they differ; write the one that is meant",
            first.name.unwrap_or_default(),
            other.name.unwrap_or_default()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::problem;

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
}
