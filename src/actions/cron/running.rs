//! Which jobs of a crontab are at work now. A line that is put off starts nothing more, and ends nothing.
//!
//! Cron leaves no trace of the line in the process that it starts, so a job is known by its words: what its first
//! process runs is the line's command, a part of it that the shell has turned into, or the script that it names. Named
//! are number and program only: the words of a command line are the words of a crontab.

use super::place::{self, Place};
use super::table::{self, Job};
use crate::actions::{Context, Trouble, procs};
use std::collections::BTreeMap;

/// A job at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Running {
    /// The number of its line, from 1.
    line: usize,
    pid: i32,
    program: String,
}

impl std::fmt::Display for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { line, pid, program } = self;
        write!(f, "pid {pid} ({program}) of line {line}")
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

/// The jobs of these lines of a crontab that are at work.
///
/// # Errors
/// [`Trouble`] when the processes of others cannot be seen.
pub(super) fn of(
    cx: &Context,
    place: &Place,
    lines: &[(usize, Vec<u8>)],
) -> Result<Vec<Running>, Trouble> {
    let processes = procs::cron_jobs()?;
    if processes.is_empty() {
        return Ok(Vec::new());
    }
    let users = matches!(place, Place::File(_));
    let owner = place.user(cx)?;
    let jobs: Vec<(usize, Job)> = lines
        .iter()
        .filter_map(|(number, line)| Some((*number, table::job(line, users)?)))
        .collect();
    let mut uids: BTreeMap<&str, Option<u32>> = BTreeMap::new();
    let mut found = Vec::new();
    for process in processes {
        let theirs = jobs.iter().find(|(_, job)| {
            let user = job.user.as_ref().or(owner.as_ref());
            let uid = user.and_then(|u| *uids.entry(u).or_insert_with(|| place::uid(cx, u)));
            // A user whom nobody knows excludes nobody.
            (uid.is_none() || process.uid.is_none() || uid == process.uid)
                && does(&process.words, &job.command)
        });
        if let Some((line, _)) = theirs {
            let first = process.words.first().map_or("", String::as_str);
            found.push(Running {
                line: *line,
                pid: process.pid,
                program: first.rsplit('/').next().unwrap_or(first).to_owned(),
            });
        }
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
}
