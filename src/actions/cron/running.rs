//! Which jobs of a crontab are at work now. A line that is put off starts nothing more, and ends nothing.
//!
//! Cron leaves no trace of the line in the process that it starts, so a job is known by its words: what its first
//! process runs is the line's command, a part of it that the shell has turned into, or the script that it names. One that
//! is known as no line's job, of a user whose jobs these are, may be theirs, and is told as that. Named are number and program only: the words of a command line are the words of a crontab.

use super::place::{self, Place};
use super::table::{self, Job};
use crate::action::{Context, Error};
use crate::host::process::list;
use std::collections::BTreeMap;

/// A job at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Running {
    /// The number of its line, from 1; none where it may be any of them, or none.
    line: Option<usize>,
    pid: i32,
    program: String,
}

impl std::fmt::Display for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { line, pid, program } = self;
        match line {
            Some(line) => write!(f, "pid {pid} ({program}) of line {line}"),
            None => write!(
                f,
                "pid {pid} ({program}), started by cron for the same user, possibly from these lines"
            ),
        }
    }
}

/// Words in the way that they are compared: without quotes, one blank between two.
fn plain<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let text: Vec<&str> = words.flat_map(str::split_whitespace).collect();
    text.join(" ").replace(['"', '\'', '\\'], "")
}

/// Whether a process with these words does this command.
fn does(words: &[String], command: &str) -> bool {
    let command = plain(std::iter::once(command));
    // `sh -c COMMAND`, `/bin/bash -e SCRIPT …`: the interpreter's own words come first.
    (0..words.len().min(3)).any(|from| {
        let rest = plain(words[from..].iter().map(String::as_str));
        let telling = from == 0 || rest.starts_with('/') || rest == command;
        !rest.is_empty() && telling && command.contains(&rest)
    })
}

/// Programs that run scripts: many jobs share them.
const RUNNERS: [&str; 16] = [
    "sh", "bash", "dash", "ksh", "zsh", "env", "nice", "ionice", "flock", "timeout", "sudo",
    "perl", "php", "node", "ruby", "java",
];

/// The last part of a path.
fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// Whether a process runs a program or a script that the command names, by whatever path: `./x.sh`, `~/x.sh`, `x.sh`.
fn near(words: &[String], command: &str) -> bool {
    let command = plain(std::iter::once(command));
    let separated = command.replace([';', '&', '|', '(', ')', '<', '>'], " ");
    let named = |name: &str| separated.split_whitespace().any(|w| base(w) == name);
    words
        .iter()
        .take(3)
        .map(|word| base(word))
        .filter(|name| !name.is_empty() && !name.starts_with('-'))
        .filter(|name| !RUNNERS.contains(name) && !name.starts_with("python"))
        .any(named)
}

/// Whose job a process is that cron has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// That line's.
    Line(usize),
    /// Another line's, which is none of the step's.
    Another,
    /// It cannot be told.
    Anybodys,
}

/// Sure signs count before others.
fn whose(words: &[String], ours: &[(usize, &str)], others: &[&str]) -> Whose {
    for sign in [does, near] {
        if let Some((line, _)) = ours.iter().find(|(_, command)| sign(words, command)) {
            return Whose::Line(*line);
        }
        if others.iter().any(|command| sign(words, command)) {
            return Whose::Another;
        }
    }
    Whose::Anybodys
}

/// The jobs of the system's tables, as far as they can be read.
fn system() -> Vec<Job> {
    let listed = std::fs::read_dir("/etc/cron.d").into_iter().flatten();
    let mut paths: Vec<std::path::PathBuf> = listed.flatten().map(|e| e.path()).collect();
    paths.push("/etc/crontab".into());
    let mut jobs = Vec::new();
    for path in paths.iter().filter(|p| p.is_file()) {
        let text = std::fs::read(path).unwrap_or_default();
        jobs.extend(table::lines(&text).filter_map(|line| table::job(line, true)));
    }
    jobs
}

/// The jobs of these lines of a crontab that are at work, and those that may be; `rest` are its other lines.
///
/// # Errors
/// [`Error`] when the processes of others cannot be seen.
pub(super) fn of(
    cx: &Context,
    place: &Place,
    lines: &[(usize, Vec<u8>)],
    rest: &[Vec<u8>],
) -> Result<Vec<Running>, Error> {
    let processes = list::cron_jobs()?;
    if processes.is_empty() {
        return Ok(Vec::new());
    }
    let users = matches!(place, Place::File(_));
    let owner = place.user(cx)?;
    let jobs: Vec<(usize, Job)> = lines
        .iter()
        .filter_map(|(number, line)| Some((*number, table::job(line, users)?)))
        .collect();
    let ours = |command: &str| jobs.iter().any(|(_, job)| job.command == command);
    // A step's own file is one of the system's tables.
    let others: Vec<Job> = rest
        .iter()
        .filter_map(|line| table::job(line, users))
        .chain(system())
        .filter(|job| !ours(&job.command))
        .collect();
    let others: Vec<&str> = others.iter().map(|job| job.command.as_str()).collect();
    let mut uids: BTreeMap<&str, Option<u32>> = BTreeMap::new();
    let mut found = Vec::new();
    for process in processes {
        let mut theirs = Vec::new();
        for (line, job) in &jobs {
            let user = job.user.as_ref().or(owner.as_ref());
            let uid = user.and_then(|u| *uids.entry(u).or_insert_with(|| place::uid(cx, u)));
            // A user whom nobody knows excludes nobody.
            if uid.is_none() || process.uid.is_none() || uid == process.uid {
                theirs.push((*line, job.command.as_str()));
            }
        }
        let line = match whose(&process.words, &theirs, &others) {
            Whose::Line(line) => Some(line),
            Whose::Anybodys if !theirs.is_empty() => None,
            Whose::Anybodys | Whose::Another => continue,
        };
        let first = process.words.first().map_or("", String::as_str);
        found.push(Running {
            line,
            pid: process.pid,
            program: base(first).to_owned(),
        });
    }
    Ok(found)
}

/// The running jobs in one line, with that beginning.
pub(super) fn named(head: &str, running: &[Running]) -> String {
    let all: Vec<String> = running.iter().map(ToString::to_string).collect();
    format!("{head}: {}", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_the_words_of_its_command() {
        let words = |text: &str| -> Vec<String> { text.split('|').map(str::to_owned).collect() };
        let command = "cd /data && /data/bin/report --day 'x y' >> /var/log/x 2>&1";
        for same in [
            "/bin/sh|-c|cd /data && /data/bin/report --day 'x y' >> /var/log/x 2>&1",
            "/data/bin/report|--day|x y",
            "/bin/bash|/data/bin/report|--day|x y",
            "/usr/bin/perl|-w|/data/bin/report|--day|x y",
        ] {
            assert!(does(&words(same), command), "{same}");
        }
        for other in ["/bin/sh|-c|true", "sleep|2", "/data/bin/report|--week", ""] {
            assert!(!does(&words(other), command), "{other}");
        }
    }

    #[test]
    fn a_job_that_is_not_known_may_be_ours_unless_it_is_anothers() {
        let words = |text: &str| -> Vec<String> { text.split('|').map(str::to_owned).collect() };
        let ours = [
            (1, "cd /x && ./job.sh --day"),
            (2, "~/home.sh > /dev/null"),
            (3, "$HOME/var.sh"),
            (4, "path.sh;true"),
            (5, "cd /y && exec \"$RUNNER\""),
        ];
        let others = ["cd /z && ./poll.sh", "/usr/bin/other"];
        for (text, whose_job) in [
            ("/bin/bash|./job.sh|--day", Whose::Line(1)),
            ("/bin/sh|/home/bk/home.sh", Whose::Line(2)),
            ("/bin/sh|/home/bk/var.sh", Whose::Line(3)),
            ("/bin/sh|/usr/local/bin/path.sh", Whose::Line(4)),
            ("/bin/sh|./poll.sh", Whose::Another),
            ("/usr/bin/other", Whose::Another),
            // What the shell was told by a variable, nobody can see.
            ("/opt/bin/runner", Whose::Anybodys),
            ("python3|worker.py", Whose::Anybodys),
        ] {
            assert_eq!(whose(&words(text), &ours, &others), whose_job, "{text}");
        }
    }
}
