//! Which words of a command an interpreter executes as code: `sh -c`, `python -c`, `perl -e`, the command of `ssh` or `tmux`.
//!
//! Invariant: a value that is put into a plan never becomes code, so that such a word takes neither variables nor facts.
//! An interpreter is known by its name, behind whatever wrapper (`sudo`, `env`, `timeout`). Left out: languages whose
//! programs are mostly data, such as SQL, sed and awk.

use std::collections::BTreeSet;

/// How an interpreter is given code.
struct Interpreter {
    /// Its names; a version may follow.
    names: &'static [&'static str],
    /// The letters of the options behind which code stands, apart or in the same word.
    letters: &'static str,
    /// The same options in full.
    long: &'static [&'static str],
    /// The letters of options that take the next word.
    valued: &'static str,
    /// So many words that are no options may stand before the option of code: a user, a file.
    before: usize,
}

const INTERPRETERS: [Interpreter; 10] = [
    Interpreter {
        names: &[
            "sh", "bash", "rbash", "dash", "ash", "ksh", "mksh", "zsh", "csh", "tcsh",
        ],
        letters: "c",
        long: &["--command"],
        valued: "oO",
        before: 0,
    },
    Interpreter {
        names: &["fish"],
        letters: "cC",
        long: &["--command", "--init-command"],
        valued: "dDfop",
        before: 0,
    },
    Interpreter {
        names: &["expect"],
        letters: "c",
        long: &[],
        valued: "f",
        before: 0,
    },
    // It makes several words of one, the program among them.
    Interpreter {
        names: &["env"],
        letters: "S",
        long: &["--split-string"],
        valued: "uC",
        before: 0,
    },
    Interpreter {
        names: &["python", "pypy"],
        letters: "c",
        long: &[],
        valued: "WX",
        before: 0,
    },
    Interpreter {
        names: &["perl", "ruby", "lua", "Rscript"],
        letters: "eE",
        long: &["--eval"],
        valued: "I",
        before: 0,
    },
    Interpreter {
        names: &["node", "nodejs", "deno", "bun"],
        letters: "ep",
        long: &["--eval", "--print"],
        valued: "r",
        before: 0,
    },
    Interpreter {
        names: &["php"],
        letters: "rBRE",
        long: &[
            "--run",
            "--process-begin",
            "--process-code",
            "--process-end",
        ],
        valued: "cd",
        before: 0,
    },
    Interpreter {
        names: &["su", "runuser"],
        letters: "c",
        long: &["--command", "--session-command"],
        valued: "gGsuw",
        before: 2,
    },
    Interpreter {
        names: &["sg", "flock", "script", "newgrp"],
        letters: "c",
        long: &["--command"],
        valued: "wE",
        before: 1,
    },
];

/// Long options of shells that take the next word.
const VALUED_LONG: [&str; 2] = ["--rcfile", "--init-file"];
/// Programs whose words behind the first that is no option are one text for a shell.
const REMOTE: [&str; 4] = ["ssh", "autossh", "rsh", "mosh"];
/// Programs whose words from the first on that is no option are one text for a shell, with the letters of the options that
/// take the next word.
const RUNS_TEXT: [(&str, &str); 2] = [("watch", "n"), ("parallel", "j")];
/// Commands of `tmux` that give a text to a shell, or type it into one.
const TMUX: [&str; 22] = [
    "new",
    "new-session",
    "neww",
    "new-window",
    "splitw",
    "split-window",
    "respawnp",
    "respawn-pane",
    "respawnw",
    "respawn-window",
    "run",
    "run-shell",
    "if",
    "if-shell",
    "popup",
    "display-popup",
    "pipep",
    "pipe-pane",
    "send",
    "send-keys",
    "bind",
    "bind-key",
];
/// The letters of their options that take the next word wherever they are one.
const TMUX_VALUED: &str = "ceFnstxy";
/// The letters of the options of `ssh` that take the next word.
const REMOTE_VALUED: &str = "bcDEeFIiJLlmOopQRSWwBP";
/// Programs that run the command in their last words.
const WRAPPERS: [&str; 22] = [
    "sudo", "doas", "env", "nice", "ionice", "nohup", "setsid", "timeout", "stdbuf", "time",
    "sshpass", "chroot", "nsenter", "unshare", "setpriv", "runuser", "su", "flock", "xargs",
    "strace", "chrt", "taskset",
];

/// The places of the words that are code. A word that is not known yet is none.
pub(crate) fn places(words: &[Option<&str>]) -> BTreeSet<usize> {
    let mut code = BTreeSet::new();
    let wrapped = words.first().copied().flatten().map(name);
    let wrapped = wrapped.is_some_and(|first| WRAPPERS.contains(&first));
    for (at, word) in words.iter().enumerate() {
        let Some(name) = word.map(name) else {
            continue;
        };
        if let Some(interpreter) = INTERPRETERS.iter().find(|i| i.is(name)) {
            code.extend(
                interpreter
                    .code(&words[at + 1..])
                    .iter()
                    .map(|n| at + 1 + n),
            );
        }
        if at == 0 || wrapped {
            let behind = &words[at + 1..];
            let text = RUNS_TEXT.iter().find(|(own, _)| *own == name);
            let found = match text {
                Some((_, valued)) => plain(behind, valued),
                None if name == "tmux" => tmux(behind),
                None => Vec::new(),
            };
            code.extend(found.iter().map(|n| at + 1 + n));
        }
        // Another program may take the word `ssh` for an argument, as `rsync -e ssh` does.
        if REMOTE.contains(&name) && (at == 0 || wrapped) {
            code.extend(remote(&words[at + 1..]).iter().map(|n| at + 1 + n));
        }
    }
    code
}

/// The name of a program without its directory.
fn name(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// The letters of a word of short options; none of another word.
fn letters(word: &str) -> Option<&str> {
    let letters = word.strip_prefix(['-', '+'])?;
    (!letters.is_empty() && !letters.starts_with('-')).then_some(letters)
}

impl Interpreter {
    fn is(&self, name: &str) -> bool {
        let version = |rest: &str| {
            rest.chars()
                .all(|c| c.is_ascii_digit() || ".-t".contains(c))
        };
        self.names
            .iter()
            .any(|own| name.strip_prefix(own).is_some_and(version))
    }

    /// The places of its code among the words behind it.
    fn code(&self, words: &[Option<&str>]) -> Vec<usize> {
        let (mut code, mut at, mut before) = (Vec::new(), 0, 0);
        while let Some(word) = words.get(at) {
            let word = word.unwrap_or_default();
            let long = self.long.iter().find(|long| word.starts_with(**long));
            match (letters(word), long) {
                (_, Some(long)) if word.len() > long.len() => code.push(at),
                (_, Some(_)) => code.extend(self.next(words, &mut at)),
                (Some(letters), None) => {
                    let found = letters.find(|c| self.letters.contains(c));
                    let valued = letters.find(|c| self.valued.contains(c));
                    if let Some(place) = found
                        && valued.is_none_or(|v| v > place)
                    {
                        // What follows in the same word is code, or more options.
                        if place + 1 < letters.len() {
                            code.push(at);
                        }
                        code.extend(self.next(words, &mut at));
                    } else if valued.is_some_and(|v| v + 1 == letters.len()) {
                        at += 1;
                    } else if letters == "m" && self.letters == "c" {
                        // A module of Python takes the rest.
                        break;
                    }
                }
                (None, None) if word == "--" => break,
                (None, None) if VALUED_LONG.contains(&word) => at += 1,
                (None, None) if word == "-" || !word.starts_with('-') => {
                    before += 1;
                    if before > self.before {
                        break;
                    }
                }
                (None, None) => {}
            }
            at += 1;
        }
        code
    }

    /// The next word that is no option, and those before it: one of them is the code.
    fn next(&self, words: &[Option<&str>], at: &mut usize) -> Vec<usize> {
        let mut found = Vec::new();
        while let Some(word) = words.get(*at + 1) {
            *at += 1;
            found.push(*at);
            let word = word.unwrap_or_default();
            if word != "--" && letters(word).is_none() {
                break;
            }
        }
        found
    }
}

/// The places of the command that another host runs, among the words behind `ssh`; a command of an option is code here.
fn remote(words: &[Option<&str>]) -> Vec<usize> {
    let mut code = Vec::new();
    let (mut at, mut host) = (0, false);
    while let Some(word) = words.get(at) {
        let word = word.unwrap_or_default();
        let commands = |w: &str| w.to_ascii_lowercase().contains("command");
        if host {
            code.push(at);
        } else if let Some(letters) = letters(word) {
            if commands(word) {
                code.push(at);
            }
            let valued = letters.find(|c| REMOTE_VALUED.contains(c));
            if valued.is_some_and(|v| v + 1 == letters.len()) {
                at += 1;
                if words.get(at).copied().flatten().is_some_and(commands) {
                    code.push(at);
                }
            }
        } else if word != "--" {
            host = true;
        }
        at += 1;
    }
    code
}

/// The places from the first word on that is no option and no value of one.
fn plain(words: &[Option<&str>], valued: &str) -> Vec<usize> {
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let word = word.unwrap_or_default();
        match letters(word) {
            Some(letters) => {
                let value = letters.find(|c| valued.contains(c));
                at += 1 + usize::from(value.is_some_and(|v| v + 1 == letters.len()));
            }
            None if word.starts_with('-') => at += 1,
            None => break,
        }
    }
    (at.min(words.len())..words.len()).collect()
}

/// The places of what `tmux` gives to a shell, in each of its commands.
fn tmux(words: &[Option<&str>]) -> Vec<usize> {
    let mut code = Vec::new();
    // Its own options come first; `-c` is a command for the shell.
    let mut at = 0;
    while let Some(letters) = words.get(at).copied().flatten().and_then(letters) {
        let value = letters.find(|c| "cfLST".contains(c));
        if let Some(value) = value {
            let same = value + 1 < letters.len();
            at += usize::from(!same);
            if letters[value..].starts_with('c') {
                code.push(at);
            }
        }
        at += 1;
    }
    while at < words.len() {
        let separator = |w: &Option<&str>| w.is_some_and(|w| w == ";" || w == "\\;");
        let rest = &words[at..];
        let end = rest.iter().position(separator).unwrap_or(rest.len());
        if rest[0].is_some_and(|command| TMUX.contains(&command)) {
            let found = plain(&rest[1..end.max(1)], TMUX_VALUED);
            code.extend(found.iter().map(|n| at + 1 + n));
        }
        at += end + 1;
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of a line that are code.
    fn code(line: &str) -> Vec<&str> {
        let words: Vec<Option<&str>> = line.split(' ').map(Some).collect();
        let places = places(&words);
        places.iter().filter_map(|at| words[*at]).collect()
    }

    #[test]
    fn what_an_interpreter_executes_is_code_and_what_it_hands_on_is_not() {
        for (line, expected) in [
            ("sh -c CODE a b", vec!["CODE"]),
            (
                "/usr/bin/env -i bash --rcfile /etc/rc -o pipefail -ec CODE name",
                vec!["CODE"],
            ),
            ("bash -c -e CODE", vec!["-e", "CODE"]),
            ("bash -c -- CODE", vec!["--", "CODE"]),
            ("sudo -u x timeout 5 dash -xc CODE", vec!["CODE"]),
            ("python3.11 -I -c CODE x", vec!["CODE"]),
            ("/v/bin/python -cCODE", vec!["-cCODE"]),
            ("python -W error -Ic CODE", vec!["CODE"]),
            ("perl -lne CODE file", vec!["CODE"]),
            ("perl -eCODE", vec!["-eCODE"]),
            ("ruby -e A -e B file", vec!["A", "B"]),
            ("node --eval=CODE", vec!["--eval=CODE"]),
            ("php -r CODE", vec!["CODE"]),
            ("su - app -c CODE", vec!["CODE"]),
            ("flock -w 5 /run/lock -c CODE", vec!["CODE"]),
            ("su -c CODE app", vec!["CODE"]),
            ("flock /run/lock sh -c CODE", vec!["CODE"]),
            ("docker exec web sh -c CODE", vec!["CODE"]),
            ("ssh -p 22 -o BatchMode=yes host ls DIR", vec!["ls", "DIR"]),
            ("ssh -o ProxyCommand=x host", vec!["ProxyCommand=x"]),
            ("sshpass -e ssh host CODE", vec!["CODE"]),
            ("fish -C CODE script", vec!["CODE"]),
            ("fish --init-command=CODE", vec!["--init-command=CODE"]),
            ("fish -p file -c CODE", vec!["CODE"]),
            ("expect -c CODE", vec!["CODE"]),
            ("/usr/bin/expect -f script -c CODE", vec!["CODE"]),
            ("env -S CODE x", vec!["CODE"]),
            ("sudo /usr/bin/env -i -SCODE", vec!["-SCODE"]),
            ("env --split-string=CODE", vec!["--split-string=CODE"]),
            ("tmux new -d -s name CODE", vec!["CODE"]),
            (
                "sudo tmux -L sock new-session -s n -c dir CODE MORE",
                vec!["CODE", "MORE"],
            ),
            ("tmux -c CODE", vec!["CODE"]),
            (
                "tmux new -s n ; send-keys -t n CODE Enter",
                vec!["CODE", "Enter"],
            ),
            ("watch -n 5 CODE", vec!["CODE"]),
            ("parallel -j 4 CODE", vec!["CODE"]),
        ] {
            let mut found = code(line);
            // `-lne` is options and the letter of code.
            found.retain(|w| !["-lne"].contains(w));
            assert_eq!(found, expected, "{line}");
        }
        for line in [
            "sh script.sh -c x",
            "python manage.py migrate -c x",
            "python -m pip install -c constraints.txt x",
            "bash -x script a",
            "perl script.pl -e x",
            "rsync -e ssh here there:x",
            "systemctl restart ssh x y",
            "grep -c x file",
            "flock /run/lock tar -czf x.tgz dir",
            "su - app",
            "ssh -i key host",
            "tar -C /srv -czf x.tgz bash",
            "bash -C script x",
            "fish script -C x",
            "expect script x",
            "env -u NAME -C dir program x",
            "tmux kill-session -t n",
            "tmux new -s n ; set -g x y",
            "less watch x",
        ] {
            assert_eq!(code(line), [""; 0], "{line}");
        }
    }
}
