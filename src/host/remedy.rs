//! What helps where a program would have asked an operator, or could not reach a server: ssh, git and pip say why they
//! failed, not what to do about it where nobody can be asked.
//!
//! Left out: variables that are set where this program was started and are not passed on; the site names those.

/// Words of a program, and what helps; the first that was said counts.
const REMEDIES: [(&[&str], &str); 4] = [
    (
        &["REMOTE HOST IDENTIFICATION HAS CHANGED"],
        "the server's host key is another than in known_hosts: find out why before you replace it (ssh-keygen -R HOST)",
    ),
    (
        &["Host key verification failed", "host key is known for"],
        "the server's host key is not in known_hosts, and nobody is asked: compare its fingerprint, then add it for this user \
         (ssh-keyscan HOST >> ~/.ssh/known_hosts)",
    ),
    (
        &["Permission denied (", "incorrect passphrase"],
        "the server accepted none of the keys that ssh could use without asking: give the step a key without a passphrase \
         (GIT_SSH_COMMAND in `env`), or an agent (SSH_AUTH_SOCK in `env`)",
    ),
    (
        &[
            "could not read Username",
            "could not read Password",
            "terminal prompts disabled",
            "Authentication failed for",
            "HTTP Basic: Access denied",
        ],
        "the server wants a login, and nobody is asked: configure a credential helper for this user, use a key, or give the \
         step GIT_ASKPASS in `env`",
    ),
];

/// What helps against a failure, by what the program said.
pub(crate) fn of(said: &str) -> Option<&'static str> {
    let told = |(words, _): &&(&[&str], _)| words.iter().any(|w| said.contains(w));
    REMEDIES.iter().find(told).map(|(_, remedy)| *remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_was_asked_is_told_with_what_helps() {
        for (said, word) in [
            (
                "Host key verification failed.\nfatal: Could not read",
                "known_hosts",
            ),
            (
                "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
                "ssh-keygen -R",
            ),
            (
                "git@h: Permission denied (publickey,password).",
                "SSH_AUTH_SOCK",
            ),
            (
                "fatal: could not read Username for 'https://h': terminal prompts disabled",
                "credential helper",
            ),
        ] {
            assert!(of(said).unwrap_or_default().contains(word), "{said}");
        }
        assert_eq!(of("fatal: repository 'x' does not exist"), None);
    }
}
