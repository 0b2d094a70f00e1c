//! A line of a crontab as a preview may show it: what looks like a secret is cut out.
//!
//! It reads names and habits (`PASSWORD=`, `--token x`, `-p…`, `user:pass@host`, `Bearer …`), so a secret under an
//! innocent name is still shown in a preview. That is why no line of a crontab is ever recorded.

use regex::{Captures, Regex};
use std::sync::LazyLock;

const NAMES: &str = "pass(?:word|wd|phrase)?|pwd|token|secret|credentials?|[a-z]*key|auth";

static RULES: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let value = r#"(?:"[^"]*"|'[^']*'|[^\s"']+)"#;
    [
        r"(?i)(?P<head>(?:bearer|basic)\s+)\S+".to_owned(),
        // A name and its value, as an assignment, an option or JSON.
        format!(r#"(?i)(?P<head>[\w.-]*(?:{NAMES})[\w.-]*["']?\s*[=:]\s*){value}"#),
        format!(r"(?i)(?P<head>(?:^|\s)--?[\w-]*(?:{NAMES})\s+){value}"),
        // mysql -pSECRET, redis-cli -a SECRET, curl -u user:SECRET.
        format!(r"(?P<head>(?:^|\s)-p){value}"),
        format!(r"(?P<head>(?:^|\s)-a\s+){value}"),
        r"(?P<head>(?:^|\s)(?:-u|--user)[\s=]*[^\s:]+:)\S+".to_owned(),
        r"(?P<head>://[^/\s:@]*:)[^@\s]+".to_owned(),
    ]
    .iter()
    .filter_map(|rule| Regex::new(rule).ok())
    .collect()
});

/// The line without what looks like a secret.
pub(super) fn masked(line: &str) -> String {
    RULES.iter().fold(line.to_owned(), |line, rule| {
        rule.replace_all(&line, |found: &Captures<'_>| {
            format!("{}***", &found["head"])
        })
        .into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_a_rule_and_secrets_are_cut_out() {
        assert_eq!(RULES.len(), 7);
        for line in [
            "MYSQL_PWD=s3cr3t",
            "* * * * * DB_PASSWORD='s3cr3t word' run",
            "* * * * * run --password s3cr3t x",
            "* * * * * run --api-key=s3cr3t",
            "* * * * * mysql -ps3cr3t",
            "* * * * * redis-cli -a s3cr3t",
            "* * * * * curl -u me:s3cr3t http://x",
            "* * * * * curl http://me:s3cr3t@x/",
            "* * * * * curl -H 'Authorization: Bearer s3cr3t'",
            "* * * * * curl -d '{\"token\": \"s3cr3t\"}'",
        ] {
            let shown = masked(line);
            assert!(!shown.contains("s3cr3t"), "{shown}");
            assert!(shown.contains("***"), "{shown}");
        }
    }

    #[test]
    fn what_looks_like_none_is_shown() {
        for line in [
            "*/5 * * * * cd /data/bk && python manage.py report >> /var/log/x 2>&1",
            "@reboot /usr/bin/keeper --port 80",
        ] {
            assert_eq!(masked(line), line);
        }
    }
}
