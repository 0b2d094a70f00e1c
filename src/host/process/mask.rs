//! Command lines as they may be shown or recorded: what looks like a secret is cut out.
//!
//! It reads names and habits (`PASSWORD=`, `--token x`, `-p…`, `user:pass@host`, `Bearer …`), so a secret under an
//! innocent name is still shown. That is why no line of a crontab is ever recorded. One set of rules serves a line of a
//! shell and the words of a process; what belongs to an option is another word there.

use regex::{Captures, Regex};
use std::sync::LazyLock;

const NAMES: &str = "pass(?:word|wd|phrase)?|pwd|token|secret|credentials?|[a-z]*key|auth";

/// What stands in place of a secret.
const MASK: &str = "[hidden]";

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
    ]
    .iter()
    .filter_map(|rule| Regex::new(rule).ok())
    .collect()
});

/// `scheme://user:SECRET@`, and `https://SECRET@`; the user of ssh is none.
static URLS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        r"(?P<head>://[^/\s:@]*:)(?:[^/\s]+|[^@\s]+)@",
        r"(?i)(?P<head>https?://)[^/\s:@\[\]]+@",
    ]
    .iter()
    .filter_map(|rule| Regex::new(rule).ok())
    .collect()
});

/// A word that is a setting: nothing in it is a quote of a shell, so that all of the value is one.
static SETTING: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(&format!(
        r"(?i)^(?P<head>-{{0,2}}[\w.-]*(?:{NAMES})[\w.-]*=)\S+"
    ))
    .ok()
});
/// An option whose value is the next word.
static OPTION: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(&format!(r"(?i)^--?[\w-]*(?:{NAMES})$")).ok());

/// The words of a process without what looks like a secret; as many as before.
pub(crate) fn words(words: &[String]) -> Vec<String> {
    let mut before = "";
    let mut shown = Vec::with_capacity(words.len());
    for word in words {
        shown.push(one(before, word));
        before = word;
    }
    shown
}

/// A word behind another.
fn one(before: &str, word: &str) -> String {
    let named = OPTION.as_ref().is_some_and(|o| o.is_match(before)) || before == "-a";
    if named && !word.starts_with('-') {
        return MASK.into();
    }
    if ["-u", "--user"].contains(&before)
        && let Some((user, _)) = word.split_once(':')
    {
        return format!("{user}:{MASK}");
    }
    // `gunicorn -p/run/x.pid`: a place, which who reads the words needs.
    if word.starts_with("-p/") {
        return word.to_owned();
    }
    let word = match SETTING.as_ref() {
        Some(setting) => setting.replace(word, |found: &Captures<'_>| {
            format!("{}{MASK}", &found["head"])
        }),
        None => word.into(),
    };
    line(&word)
}

/// A line in which the logins of URLs are cut out, and nothing else: a token may stand where a user does.
pub(crate) fn urls(line: &str) -> String {
    URLS.iter().fold(line.to_owned(), |line, rule| {
        rule.replace_all(&line, |found: &Captures<'_>| {
            format!("{}{MASK}@", &found["head"])
        })
        .into_owned()
    })
}

/// The line without what looks like a secret.
pub(crate) fn line(line: &str) -> String {
    let line = &urls(line);
    RULES.iter().fold(line.to_owned(), |line, rule| {
        rule.replace_all(&line, |found: &Captures<'_>| {
            format!("{}{MASK}", &found["head"])
        })
        .into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_a_rule_and_secrets_are_cut_out() {
        assert_eq!((RULES.len(), URLS.len()), (6, 2));
        for text in [
            "MYSQL_PWD=s3cr3t",
            "* * * * * DB_PASSWORD='s3cr3t word' run",
            "* * * * * run --password s3cr3t x",
            "* * * * * run --api-key=s3cr3t",
            "* * * * * mysql -ps3cr3t",
            "* * * * * redis-cli -a s3cr3t",
            "* * * * * curl -u me:s3cr3t http://x",
            "* * * * * curl http://me:s3cr3t@x/",
            "* * * * * pip install git+https://s3cr3t@h/x.git",
            "* * * * * curl -H 'Authorization: Bearer s3cr3t'",
            "* * * * * curl -d '{\"token\": \"s3cr3t\"}'",
        ] {
            let shown = line(text);
            assert!(!shown.contains("s3cr3t"), "{shown}");
            assert!(shown.contains(MASK), "{shown}");
        }
    }

    #[test]
    fn what_looks_like_none_is_shown() {
        for text in [
            "*/5 * * * * cd /data/bk && python manage.py report >> /var/log/x 2>&1",
            "@reboot /usr/bin/keeper --port 80",
        ] {
            assert_eq!(line(text), text);
        }
    }

    fn split(text: &str) -> Vec<String> {
        text.split('|').map(str::to_owned).collect()
    }

    #[test]
    fn secrets_of_a_process_are_cut_out_word_by_word() {
        for (before, after) in [
            ("redis://:pw@h:6379/0", "redis://:[hidden]@h:6379/0"),
            ("amqp://user:p:w@h//", "amqp://user:[hidden]@h//"),
            ("--db-password=x y", "--db-password=[hidden] y"),
            ("--password=it's", "--password=[hidden]"),
            ("API_KEY=abc", "API_KEY=[hidden]"),
            ("x|--password|two words|-v", "x|--password|[hidden]|-v"),
            ("mysql|-uroot|-ps3cr3t", "mysql|-uroot|-p[hidden]"),
            ("celery|--broker-pass|x", "celery|--broker-pass|[hidden]"),
            ("flower|--basic_auth=u:p", "flower|--basic_auth=[hidden]"),
            ("curl|-u|me:x", "curl|-u|me:[hidden]"),
            ("redis-cli|-a|x", "redis-cli|-a|[hidden]"),
        ] {
            assert_eq!(words(&split(before)), split(after));
        }
    }

    #[test]
    fn words_that_tell_which_service_it_is_stay() {
        for text in [
            "--bind=0.0.0.0:8000",
            "gunicorn|-p|/run/x.pid|-b|127.0.0.1:80|x.wsgi",
            "gunicorn|-p/run/x.pid|x.wsgi",
            "nginx: master process nginx -p /x/ -c /x/n.conf -e /x/log",
            "celery|-A|proj|worker|-P|prefork|-n|auth@%h|-Q|token",
            "x|--no-auth|--verbose",
        ] {
            assert_eq!(words(&split(text)), split(text));
        }
    }
}
