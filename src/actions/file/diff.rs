//! What a file's change looks like to people: a unified diff, or a word on why there is none.

use crate::encoding::{self, Charset};
use crate::host::files::disk::digest;
use similar::{ChangeTag, TextDiff};
use std::time::Duration;

/// A diff of more than this helps nobody.
pub(super) const LIMIT: usize = 1 << 20;
/// A diff that takes longer is cut to a coarser one; it stays correct.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many lines of one content the other has not; none where it is no text, or too long.
pub(super) fn gone(now: &[u8], then: &[u8]) -> Option<usize> {
    if now.len() + then.len() > LIMIT {
        return None;
    }
    let text = |bytes: &[u8]| {
        let charset = Charset::of(bytes).filter(|_| !bytes.contains(&0))?;
        charset.read(bytes).map(|text| text.into_owned())
    };
    let (now, then) = (text(now)?, text(then)?);
    let diff = TextDiff::configure()
        .timeout(PATIENCE)
        .diff_lines(now.as_str(), then.as_str());
    let gone = diff.iter_all_changes();
    Some(gone.filter(|c| c.tag() == ChangeTag::Delete).count())
}

/// What of a file would be replaced, in words.
pub(super) fn part(lines: Option<usize>, path: &str) -> String {
    match lines {
        Some(1) => format!("1 line of {path} as it is now"),
        Some(n) => format!("{n} lines of {path} as it is now"),
        None => format!("{path} as it is now"),
    }
}

/// None when nothing changes.
pub(super) fn unified(path: &str, former: Option<&[u8]>, wanted: &[u8]) -> Option<String> {
    let old = former.unwrap_or_default();
    if former.is_some() && old == wanted {
        return None;
    }
    let from = if former.is_some() { path } else { "/dev/null" };
    let head = format!("--- {from}\n+++ {path}\n");
    let summary = |why: &str| {
        let was = former.map_or_else(
            || "not there".into(),
            |f| format!("{} bytes, sha256 {}", f.len(), digest(f)),
        );
        let (len, sha) = (wanted.len(), digest(wanted));
        format!("{head}{why}: {was} -> {len} bytes, sha256 {sha}\n")
    };
    let binary = |b: &&&[u8]| b.contains(&0) && Charset::of(b).is_none_or(Charset::is_utf8);
    if [old, wanted].iter().any(|b| binary(&b)) {
        return Some(summary("binary"));
    }
    if old.len() + wanted.len() > LIMIT {
        return Some(summary("too long to show"));
    }
    let text = |bytes| Charset::of(bytes).and_then(|c| c.read(bytes));
    let (a, b) = (
        text(old).unwrap_or_else(|| encoding::shown(old)),
        text(wanted).unwrap_or_else(|| encoding::shown(wanted)),
    );
    if a == b {
        return Some(summary("they differ only in bytes that are not text"));
    }
    let diff = TextDiff::configure()
        .timeout(PATIENCE)
        .diff_lines(a.as_ref(), b.as_ref());
    Some(diff.unified_diff().header(from, path).to_string())
}
