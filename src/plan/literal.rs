//! Finds literal secrets: a value under a key such as `password`, `--password=...` in a command or a script, a password
//! inside a URL, and a login in a header, which a command line, a log and the record would show.
//!
//! Otherwise it checks keys, not values: a secret under an unsuspicious name is not found. Secrets that are found are
//! masked in every message.

use super::commands::{given, simple};
use super::outline::{Kind, Node, Span};
use super::problem::Fault;
use crate::action::values::holds_secret;
use crate::text::plan as say;
use regex::Regex;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// `name=value`, as an argument, an assignment or an option.
static ASSIGNED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(?P<name>[A-Za-z0-9_.-]+)=(?P<value>"[^"]*"|'[^']*'|[^\s;&|()]+)"#).ok()
});

/// `scheme://user:password@`, and `https://token@` where the token is one of those that say so themselves.
static IN_URL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let user = r#"[^\s/:@'"?\x23]*"#;
    let word = r#"[^\s/@'"?\x23]+"#;
    let known = r"(?:gh[opsur]_|github_pat_|glpat-)[A-Za-z0-9_-]+";
    Regex::new(&format!(
        "(?i)[a-z][a-z0-9+.-]*://(?:{user}:(?P<password>{word})|(?P<token>{known}))@"
    ))
    .ok()
});

/// A header that holds a login.
static HEADER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(?i)authorization["']?\s*[:=]\s*["']?(?:bearer|basic|token|digest)\s+(?P<value>[^\s'"]+)"#)
        .ok()
});

/// A header by that name is a login.
fn is_login(key: &str) -> bool {
    ["authorization", "proxy-authorization"].contains(&key.to_ascii_lowercase().as_str())
}

/// What was found in a plan.
#[derive(Default)]
pub(crate) struct Literals {
    /// Names of secrets: `${name}` of one is refused elsewhere, with a message of its own.
    pub(crate) secrets: BTreeSet<String>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) masked: Vec<Span>,
    /// The plan as written: a long script is pointed into.
    source: String,
}

impl Literals {
    pub(crate) fn of(source: &str) -> Self {
        Self {
            source: source.into(),
            ..Self::default()
        }
    }

    /// The position of a part of a text, if it occurs literally; else the position of the text.
    fn within(&self, span: Span, part: &str) -> Span {
        let text = self.source.get(span.start..span.end);
        text.and_then(|t| t.find(part)).map_or(span, |at| Span {
            start: span.start + at,
            end: span.start + at + part.len(),
        })
    }

    fn found(&mut self, at: Span, value: Span, key: &str) {
        let key = key.trim_start_matches('-');
        self.faults
            .push(Fault::new(at, say::literal_secret(key)).hint(say::no_literal_secret()));
        self.masked.push(value);
    }

    /// A change of a configuration file names its key and its value apart.
    fn edit(&mut self, node: &Node) {
        let (Some(key), Some(value)) = (node.get("key"), node.get("value")) else {
            return;
        };
        let name = key.text().or_else(|| key.items().last()?.text());
        let name = name.map(|n| n.rsplit('.').next().unwrap_or(n).to_owned());
        if let (Some(name), Some(text)) = (name, value.text())
            && holds_secret(&name)
            && self.literal(text)
        {
            self.found(value.span, value.span, &name);
        }
    }

    /// Looks through a value and all below it.
    pub(crate) fn look(&mut self, node: &Node) {
        match &node.kind {
            Kind::Scalar(text, _) => self.text(text, node.span),
            Kind::List(items) => self.list(items),
            Kind::Map(entries) => {
                // `{secret: name}` is the correct form.
                let reference = matches!(entries.as_slice(), [(key, _)] if key.text == "secret");
                self.edit(node);
                for (key, value) in entries {
                    match value.text() {
                        Some(text)
                            if !reference
                                && (holds_secret(&key.text) || is_login(&key.text))
                                && self.literal(text) =>
                        {
                            self.found(key.span, value.span, &key.text);
                        }
                        Some(_) | None => self.look(value),
                    }
                }
            }
        }
    }

    fn list(&mut self, items: &[Node]) {
        let words: Vec<Option<&str>> = items.iter().map(Node::text).collect();
        for (item, given) in items.iter().zip(given(&words, holds_secret)) {
            match (given, item.text()) {
                (Some(given), _) if self.literal(given.value) => {
                    self.found(item.span, item.span, given.option);
                }
                (_, Some(text)) => self.text(text, item.span),
                (_, None) => self.look(item),
            }
        }
    }

    /// Looks through the simple commands of a script. Returns whether one holds a secret.
    fn script(&mut self, text: &str, span: Span) -> bool {
        for words in simple(text) {
            let texts: Vec<Option<&str>> = words.iter().map(|w| Some(w.text.as_str())).collect();
            for (word, given) in words.iter().zip(given(&texts, holds_secret)) {
                if let Some(given) = given.filter(|g| self.literal(g.value)) {
                    let at = self.within(span, word.written);
                    self.found(at, span, given.option);
                    return true;
                }
            }
        }
        false
    }

    /// Whether it may be the value of a secret: not empty, not a switch, not a shell variable. A plan variable is as
    /// literal as the rest of the plan.
    fn literal(&self, text: &str) -> bool {
        if let Some(name) = text.strip_prefix("${") {
            return !self
                .secrets
                .contains(name.split('}').next().unwrap_or_default());
        }
        !text.is_empty()
            && !text.starts_with(['$', '`'])
            && !matches!(text, "true" | "false" | "yes" | "no")
    }

    /// A word of a command or a script.
    fn text(&mut self, text: &str, span: Span) {
        if let Some(urls) = IN_URL.as_ref()
            && text.contains('@')
            && urls.captures_iter(text).any(|found| {
                let word = found.name("password").or(found.name("token"));
                word.is_some_and(|w| self.literal(w.as_str()))
            })
        {
            self.faults
                .push(Fault::new(span, say::password_in_url()).hint(say::no_password_in_url()));
            self.masked.push(span);
            return;
        }
        if let Some(found) = HEADER.as_ref().and_then(|h| h.captures(text))
            && self.literal(&found["value"])
        {
            let at = self.within(span, &found[0]);
            self.found(at, span, "Authorization");
            return;
        }
        if text.contains(' ') && self.script(text, span) {
            return;
        }
        let Some(assigned) = ASSIGNED.as_ref() else {
            return;
        };
        if !text.contains('=') {
            return;
        }
        for found in assigned.captures_iter(text) {
            let (name, value) = (&found["name"], found["value"].trim_matches(['"', '\'']));
            if holds_secret(name) && self.literal(value) {
                let at = self.within(span, &found[0]);
                self.found(at, span, name);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::holds_secret;

    #[test]
    fn keys() {
        for key in [
            "password",
            "DB_PASSWORD",
            "PGPASSWORD",
            "--password",
            "api-key",
            "API_KEY",
            "authToken",
            "MYSQL_PWD",
            "client.secret",
            "PW",
            "DB_PW",
            "db-pass",
        ] {
            assert!(holds_secret(key), "{key}");
        }
        for key in [
            "PWD",
            "OLDPWD",
            "BYPASS",
            "compass",
            "password_file",
            "--password-stdin",
            "token_ttl",
            "keys",
            "secretary",
            "PASSWORD_ENV",
        ] {
            assert!(!holds_secret(key), "{key}");
        }
    }
}
