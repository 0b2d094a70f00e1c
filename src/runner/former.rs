//! Kinds of action that are recorded identically by every version. A run that an earlier version started can be continued
//! if only such steps remain to be done or undone (`docs/decisions/0024-*`).

/// They record no observation and keep nothing for their undo. The list is final: later kinds do not occur in runs of an
/// earlier contract.
const SAME: [&str; 9] = [
    "run",
    "shell",
    "expect.process",
    "expect.port",
    "expect.stopped",
    "expect.file",
    "expect.command",
    "http.check",
    "django.check",
];

/// A kind is one of them.
#[must_use]
pub fn same(kind: &str) -> bool {
    SAME.contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::Do;

    #[test]
    fn each_of_them_is_a_kind() {
        assert!(SAME.iter().all(|kind| Do::KINDS.contains(kind)));
    }
}
