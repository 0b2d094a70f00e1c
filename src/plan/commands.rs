//! Which words of a command hold a secret: behind an option that is called so, or where a known client takes one.
//!
//! A script is taken apart as far as this needs it: into simple commands and their words. Left out: what a variable, a
//! substitution or a document inside a script holds.

/// A word that is to hold a secret, and what the option before it is called.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Given<'a> {
    pub(super) option: &'a str,
    pub(super) value: &'a str,
}

/// Clients of MySQL, which take the password directly after `-p`. To ssh, mkdir and others that is something else.
const MYSQL: [&str; 20] = [
    "mysql",
    "mysqladmin",
    "mysqlbinlog",
    "mysqlcheck",
    "mysqldump",
    "mysqlimport",
    "mysqlpump",
    "mysqlsh",
    "mysqlshow",
    "mysqlslap",
    "mysql_upgrade",
    "mariadb",
    "mariadb-admin",
    "mariadb-backup",
    "mariadb-binlog",
    "mariadb-check",
    "mariadb-dump",
    "mariadb-import",
    "mariadb-show",
    "xtrabackup",
];

/// Other programs and the option behind which they take one, as the next word or in the same. `login` is that of docker
/// and its like.
const TAKING: [(&str, &str); 11] = [
    ("curl", "-u"),
    ("sshpass", "-p"),
    ("redis-cli", "-a"),
    ("login", "-p"),
    ("mongo", "-p"),
    ("mongosh", "-p"),
    ("mongodump", "-p"),
    ("mongorestore", "-p"),
    ("ldapsearch", "-w"),
    ("ldapmodify", "-w"),
    ("twine", "-p"),
];

/// For each word of a command the secret in it. A word that is not text is none.
pub(super) fn given<'a>(
    words: &[Option<&'a str>],
    is_secret: impl Fn(&str) -> bool,
) -> Vec<Option<Given<'a>>> {
    let mut client = "";
    let mut before = "";
    let mut found = Vec::with_capacity(words.len());
    for word in words {
        let Some(word) = *word else {
            (before, _) = ("", found.push(None));
            continue;
        };
        found.push(one(client, before, word, &is_secret));
        let name = word.rsplit('/').next().unwrap_or_default();
        let registry = || {
            ["docker", "podman", "oc", "az"]
                .iter()
                .any(|c| before.ends_with(c))
        };
        let takes = |(known, _): &(&str, &str)| *known == name && (name != "login" || registry());
        if MYSQL.contains(&name) || TAKING.iter().any(takes) {
            client = name;
        }
        before = word;
    }
    found
}

fn one<'a>(
    client: &str,
    before: &'a str,
    word: &'a str,
    is_secret: &impl Fn(&str) -> bool,
) -> Option<Given<'a>> {
    let given = |option, value: &'a str| (!value.is_empty()).then_some(Given { option, value });
    let password = |login: &'a str| login.split_once(':').map_or("", |(_, password)| password);
    let named = before.starts_with("--") && !before.contains(['=', ' ']) && is_secret(before);
    if named && !word.starts_with('-') {
        return given(before, word);
    }
    if ["-H", "--header"].contains(&before)
        && let Some((name, value)) = word.split_once(':').filter(|(name, _)| is_secret(name))
    {
        return given(name, value.trim());
    }
    if client == "curl" {
        let login = match before {
            "-u" | "--user" | "--proxy-user" => word,
            _ => word.strip_prefix("-u")?,
        };
        return given("password", password(login));
    }
    if MYSQL.contains(&client) {
        return given("password", word.strip_prefix("-p")?);
    }
    let (_, option) = TAKING.iter().find(|(known, _)| *known == client)?;
    if before == *option {
        return given("password", word);
    }
    // `-pSECRET`; `--pass` is another option of its own.
    let attached = word
        .strip_prefix(option)
        .filter(|_| !word.starts_with("--"))?;
    given("password", attached)
}

/// A word of a script: as the command gets it, and as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Word<'t> {
    pub(super) text: String,
    pub(super) written: &'t str,
}

/// The simple commands of a script, in words.
pub(super) fn simple(script: &str) -> Vec<Vec<Word<'_>>> {
    let mut commands: Vec<Vec<Word<'_>>> = vec![Vec::new()];
    let mut text = String::new();
    let mut start: Option<usize> = None;
    let mut quote: Option<char> = None;
    let mut chars = script.char_indices();
    while let Some((at, c)) = chars.next() {
        let mut ends = false;
        match (quote, c) {
            (Some(q), _) if q == c => quote = None,
            (Some('\''), _) => text.push(c),
            (_, '\\') => {
                // What it stands before is itself; a line break is nothing.
                if let Some((_, c)) = chars.next().filter(|(_, c)| *c != '\n') {
                    start.get_or_insert(at);
                    text.push(c);
                }
            }
            (Some(_), _) => text.push(c),
            (None, '\'' | '"') => {
                start.get_or_insert(at);
                quote = Some(c);
            }
            (None, '#') if start.is_none() => {
                chars.find(|(_, c)| *c == '\n');
                ends = true;
            }
            (None, ';' | '|' | '&' | '\n' | '(' | ')' | '`') => ends = true,
            (None, c) if c.is_whitespace() => {}
            (None, c) => {
                start.get_or_insert(at);
                text.push(c);
                continue;
            }
        }
        let open = quote.is_some() || !(ends || c.is_whitespace());
        if let Some(from) = start.filter(|_| !open) {
            start = None;
            push(&mut commands, std::mem::take(&mut text), &script[from..at]);
        }
        if ends {
            commands.push(Vec::new());
        }
    }
    if let Some(from) = start {
        push(&mut commands, text, &script[from..]);
    }
    commands.retain(|words| !words.is_empty());
    commands
}

fn push<'t>(commands: &mut [Vec<Word<'t>>], text: String, written: &'t str) {
    if let Some(last) = commands.last_mut() {
        last.push(Word { text, written });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::values::holds_secret;

    fn words(script: &str) -> Vec<Vec<String>> {
        let text = |words: Vec<Word<'_>>| words.into_iter().map(|w| w.text).collect();
        simple(script).into_iter().map(text).collect()
    }

    #[test]
    fn a_script_is_taken_apart_into_commands_and_words() {
        for (script, wanted) in [
            ("a -b 'c d'", vec![vec!["a", "-b", "c d"]]),
            (
                "a|b && c; d",
                vec![vec!["a"], vec!["b"], vec!["c"], vec!["d"]],
            ),
            (
                "x=$(mysql -p\"it's\") # mysql -pno\ny",
                vec![vec!["x=$"], vec!["mysql", "-pit's"], vec!["y"]],
            ),
            ("a \\\n  -b\\ c", vec![vec!["a", "-b c"]]),
            ("a '#' b#c", vec![vec!["a", "#", "b#c"]]),
        ] {
            assert_eq!(words(script), wanted, "{script}");
        }
    }

    #[test]
    fn secrets_are_known_by_their_option_and_by_the_client_that_takes_them() {
        let secret = |script: &str| -> Option<String> {
            simple(script).into_iter().find_map(|words| {
                let texts: Vec<Option<&str>> =
                    words.iter().map(|w| Some(w.text.as_str())).collect();
                let found = given(&texts, holds_secret);
                found
                    .into_iter()
                    .flatten()
                    .next()
                    .map(|g| g.value.to_owned())
            })
        };
        for script in [
            "mysql -uroot -phunter2 shop < x.sql",
            "sudo /usr/bin/mysqldump --opt -p'hunter2' shop | gzip",
            "ssh -p2222 host true; mariadb -phunter2",
            "tool --password hunter2",
            "sshpass -p hunter2 ssh host",
            "sshpass -phunter2 ssh host",
            "redis-cli -h x -a hunter2 ping",
            "curl -sf -u me:hunter2 http://x/",
            "docker login -u me -p hunter2 r.example",
            "mongodump --host h -u me -p hunter2",
            "curl -H 'x-password: hunter2' http://x/",
        ] {
            assert_eq!(secret(script).as_deref(), Some("hunter2"), "{script}");
        }
        for script in [
            "ssh -p2222 host",
            "mkdir -pv /x && mysql shop",
            "docker exec mysql-1 mkdir -p/x",
            "mysql -p shop",
            "curl -u me http://x/",
            "docker run -p 80:80 x login",
            "docker login -u me --password-stdin r.example",
            "curl -H 'Accept: text/html' http://x/",
            "tool --password --verbose",
        ] {
            assert_eq!(secret(script), None, "{script}");
        }
    }
}
