//! Variables of this machine's environment that commands do not get (`docs/decisions/0003-*`), and the failures that this
//! explains: an operator's login has an agent, a proxy or authorities of its own, and a step has what its plan gives it.
//!
//! Left out: whether a variable would help. It is named where it is set here, the step does not have it, and a program
//! failed in the way that lacking it looks like.

/// Variables of one purpose, and what programs say that miss them.
struct Group {
    names: &'static [&'static str],
    failures: &'static [&'static str],
}

const GROUPS: [Group; 3] = [
    Group {
        names: &["SSH_AUTH_SOCK"],
        failures: &[
            "Permission denied (",
            "Could not open a connection to your authentication agent",
        ],
    },
    Group {
        names: &[
            "http_proxy",
            "https_proxy",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "all_proxy",
            "ALL_PROXY",
            "no_proxy",
            "NO_PROXY",
        ],
        failures: &[
            "Could not resolve host",
            "Name or service not known",
            "Temporary failure in name resolution",
            "its name cannot be resolved",
            "Connection timed out",
            "Connection refused",
            "it refuses connections",
            "it does not answer",
            "Failed to connect to",
            "Couldn't connect to",
            "etwork is unreachable",
            "No route to host",
        ],
    },
    Group {
        names: &[
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
            "REQUESTS_CA_BUNDLE",
            "CURL_CA_BUNDLE",
            "GIT_SSL_CAINFO",
            "PIP_CERT",
            "NODE_EXTRA_CA_CERTS",
        ],
        failures: &[
            "certificate verify failed",
            "CERTIFICATE_VERIFY_FAILED",
            "certificate problem",
            "certificate verification failed",
            "unable to get local issuer certificate",
            "cannot be verified",
            "invalid peer certificate",
        ],
    },
];

/// Kinds of actions whose programs may use them.
const KINDS: [&str; 5] = ["run", "shell", "git.", "pip.", "pre_commit."];

fn is_concerned(kind: &str) -> bool {
    KINDS
        .iter()
        .any(|k| kind == *k || (k.ends_with('.') && kind.starts_with(k)))
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// Those that are set here and that a step of these kinds may miss.
pub fn names<'a>(mut kinds: impl Iterator<Item = &'a str>) -> Vec<&'static str> {
    if !kinds.any(is_concerned) {
        return Vec::new();
    }
    let all = GROUPS.iter().flat_map(|group| group.names);
    all.copied().filter(|name| is_set(name)).collect()
}

/// What explains a failure of an action of this kind that has the variables `given`.
pub(super) fn hint(kind: &str, given: &[&str], said: &str) -> Option<String> {
    hint_of(kind, given, said, is_set)
}

fn hint_of(
    kind: &str,
    given: &[&str],
    said: &str,
    is_set: impl Fn(&str) -> bool,
) -> Option<String> {
    // Nobody needs a proxy to reach this machine.
    let here = ["127.0.0.1", "localhost", "::1"];
    let page = kind.starts_with("http.");
    if !(page || is_concerned(kind)) || here.iter().any(|h| said.contains(h)) {
        return None;
    }
    let group = GROUPS
        .iter()
        .find(|group| group.failures.iter().any(|f| said.contains(f)))?;
    if group.names.iter().any(|name| given.contains(name)) {
        return None;
    }
    let set: Vec<&str> = group.names.iter().copied().filter(|n| is_set(n)).collect();
    let first = set.first()?;
    if page {
        // It uses no proxy and no agent, and has a setting for authorities.
        let authorities = group.names.contains(&"SSL_CERT_FILE");
        return authorities.then(|| {
            format!("{first} is set here and not used by the check: name its file in `ca`")
        });
    }
    Some(format!(
        "{} {} set here and not passed on to steps: give the step `env: {{{first}: ...}}` if it needs it",
        set.join(", "),
        if set.len() == 1 { "is" } else { "are" },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_named_where_it_is_set_missing_and_missed() {
        let set = |name: &str| ["SSH_AUTH_SOCK", "https_proxy", "no_proxy"].contains(&name);
        let said = |kind: &str, given: &[&str], said: &str| {
            hint_of(kind, given, said, set).unwrap_or_default()
        };
        let denied = "git@h: Permission denied (publickey).";
        assert!(said("git.deploy", &["PATH"], denied).starts_with("SSH_AUTH_SOCK is set here"));
        assert_eq!(said("git.deploy", &["SSH_AUTH_SOCK"], denied), "");
        assert_eq!(said("http.check", &[], denied), "");
        let issuer = "https://h/: invalid peer certificate: UnknownIssuer; expected status 200";
        let authority = hint_of("http.check", &[], issuer, |name| name == "SSL_CERT_FILE");
        assert!(authority.unwrap_or_default().contains("in `ca`"));
        let away = "fatal: unable to access 'https://h/': Could not resolve host: h";
        assert!(said("run", &[], away).starts_with("https_proxy, no_proxy are set"));
        assert_eq!(said("run", &["HTTPS_PROXY"], away), "");
        assert_eq!(
            said("shell", &[], "connect to 127.0.0.1: Connection refused"),
            ""
        );
        assert_eq!(
            said("pip.install", &[], "CERTIFICATE_VERIFY_FAILED"),
            "",
            "none is set"
        );
    }
}
