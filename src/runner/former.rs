//! Kinds of action that are the same under every contract: what a program before this one recorded of them is all there
//! is, and this one reads it as that one did. A run begun before goes on where nothing else is left to do or to undo
//! (`docs/decisions/0024-*`).

/// They record no observation and keep nothing for their undo. The list is closed: kinds that come later are in no run
/// of a former contract.
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
