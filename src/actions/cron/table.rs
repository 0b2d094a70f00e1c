//! The text of a crontab: which lines are jobs, how one is put off and on, and what became of those lines when somebody
//! edited the rest. Pure.
//!
//! Invariants: lines are bytes, and only whole lines change; a line that is put off keeps every byte behind its marker,
//! so that taking the marker away gives the line back; where it cannot be told which lines were changed, no answer is
//! made up. What is a comment, a setting and a job follows cron's own rules. Left out: where crontabs lie.

use crate::encoding;
use std::collections::BTreeMap;

/// What a marker begins with.
const MARK: &[u8] = b"#upledger:";

/// Debian's for a user, and those of `/etc/crontab` on Debian and on Red Hat.
const SAMPLES: [&[u8]; 2] = [
    b"0 5 * * 1 tar -zcf /var/backups/home.tgz /home/",
    b"* * * * * user-name command to be executed",
];

/// A line without its ending, and the ending.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let ending = if line.ends_with(b"\r\n") {
        2
    } else {
        usize::from(line.ends_with(b"\n"))
    };
    line.split_at(line.len() - ending)
}

/// The lines of a crontab, without their endings.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|b| *b == b'\n').map(|l| split(l).0)
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn trim(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|b| !is_blank(*b));
    start.map_or(&[], |at| &line[at..])
}

/// `NAME = value`, as cron reads it: a name without blanks or in quotes, then blanks, then the sign.
fn is_setting(line: &[u8]) -> bool {
    let line = trim(line);
    let after = match line.first() {
        Some(quote @ (b'"' | b'\'')) => line[1..]
            .iter()
            .position(|b| b == quote)
            .map(|at| &line[at + 2..]),
        _ => line
            .iter()
            .position(|b| is_blank(*b) || *b == b'=')
            .map(|at| &line[at..]),
    };
    after.is_some_and(|rest| trim(rest).first() == Some(&b'='))
}

/// The words before the command: one for `@daily`, five otherwise, and one more where the table names users.
fn schedule(line: &[u8]) -> Option<usize> {
    let line = trim(line);
    match line.first() {
        Some(b'@') => Some(1),
        // Cronie takes a dash before the minute for "do not log".
        Some(b) if b.is_ascii_digit() || *b == b'*' || *b == b'-' => {
            let fields: Vec<&[u8]> = line
                .split(|b| is_blank(*b))
                .filter(|w| !w.is_empty())
                .take(5)
                .collect();
            let time = |word: &&[u8]| {
                word.iter()
                    .all(|b| b.is_ascii_alphanumeric() || b"*/,-~".contains(b))
            };
            (fields.len() == 5 && fields.iter().all(time)).then_some(5)
        }
        _ => None,
    }
}

/// Whether cron would run this line.
pub(super) fn is_job(line: &[u8]) -> bool {
    !is_setting(line) && schedule(line).is_some()
}

/// A job, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    /// When, in cron's words.
    pub(super) when: String,
    /// As whom, where the table says it.
    pub(super) user: Option<String>,
    /// What the shell is given.
    pub(super) command: String,
}

/// A job line taken apart; `users` says that the table has a column of users.
pub(super) fn job(line: &[u8], users: bool) -> Option<Job> {
    if !is_job(line) {
        return None;
    }
    // As the words of the process are that cron makes of it.
    let text = encoding::escaped(line);
    let mut rest = text.trim_matches([' ', '\t', '\r']);
    let mut word = || {
        let (word, tail) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
        rest = tail.trim_start_matches([' ', '\t']);
        word.to_owned()
    };
    let when: Vec<String> = (0..schedule(line)?).map(|_| word()).collect();
    let user = users.then(&mut word);
    let mut command = String::new();
    let mut escaped = false;
    for c in rest.chars() {
        if c == '%' {
            // What stands behind a bare one is the job's standard input.
            if !escaped {
                break;
            }
            command.pop();
        }
        escaped = c == '\\';
        command.push(c);
    }
    Some(Job {
        when: when.join(" "),
        user,
        command,
    })
}

/// The line in a comment of ours.
pub(super) fn mark(run: &str, step: &str) -> Vec<u8> {
    [MARK, run.as_bytes(), b":", step.as_bytes(), b" "].concat()
}

/// The job that a comment holds, and the words of our marker where one is there: `run:step`.
pub(super) fn commented(line: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    if let Some(rest) = line.strip_prefix(MARK) {
        let at = rest.iter().position(|b| is_blank(*b))?;
        let job = &rest[at + 1..];
        return is_job(job).then_some((job, Some(&rest[..at])));
    }
    let comment = trim(line);
    let at = comment.iter().position(|b| *b != b'#')?;
    if at == 0 {
        return None;
    }
    let job = trim(&comment[at..]);
    (is_job(job) && !is_sample(job)).then_some((job, None))
}

/// What a system's crontab shows in its comments to explain itself, and what never was a job.
fn is_sample(job: &[u8]) -> bool {
    SAMPLES.iter().any(|sample| {
        let words = job.split(|b| is_blank(*b)).filter(|w| !w.is_empty());
        words.eq(sample.split(|b| is_blank(*b)))
    })
}

/// A crontab with some lines changed.
pub(super) fn edited(text: &[u8], change: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|b| *b == b'\n') {
        let (line, ending) = split(line);
        match change(line) {
            Some(new) => out.extend(new),
            None => out.extend(line),
        }
        out.extend(ending);
    }
    out
}

/// How often lines stand in a crontab.
fn counted(text: &[u8]) -> BTreeMap<&[u8], usize> {
    let mut counts = BTreeMap::new();
    for line in lines(text) {
        *counts.entry(line).or_default() += 1;
    }
    counts
}

/// The lines that a step changes: each former one, what it becomes, and how often it stands there.
pub(super) struct Change<'a> {
    former: &'a [u8],
    wanted: &'a [u8],
    pairs: BTreeMap<&'a [u8], (&'a [u8], usize)>,
}

/// Where the lines of a change stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    /// The whole crontab is as it was.
    Former,
    /// The whole crontab is as wanted.
    Wanted,
    /// The lines are as they were; somebody edited others.
    Old,
    /// The lines are as wanted; somebody edited others.
    New,
    /// Some are as they were and some as wanted.
    Mixed,
    /// Some are neither: it cannot be told what became of them.
    Lost,
}

impl<'a> Change<'a> {
    /// From the crontab before and after it.
    pub(super) fn new(former: &'a [u8], wanted: &'a [u8]) -> Self {
        let mut pairs: BTreeMap<&[u8], (&[u8], usize)> = BTreeMap::new();
        for (old, new) in lines(former).zip(lines(wanted)) {
            if old != new {
                pairs.entry(old).or_insert((new, 0)).1 += 1;
            }
        }
        Self {
            former,
            wanted,
            pairs,
        }
    }

    /// Where its lines stand in a crontab.
    pub(super) fn stand(&self, now: &[u8]) -> Stand {
        if now == self.former {
            return Stand::Former;
        }
        if now == self.wanted {
            return Stand::Wanted;
        }
        let (was, is) = (counted(self.former), counted(now));
        let count = |counts: &BTreeMap<&[u8], usize>, line: &[u8]| {
            counts.get(line).copied().unwrap_or_default()
        };
        // Several former lines may become the same one.
        let mut news: BTreeMap<&[u8], (usize, usize)> = BTreeMap::new();
        let (mut any_old, mut any_new) = (false, false);
        for (old, (new, times)) in &self.pairs {
            let olds = count(&is, old);
            any_old |= olds > 0;
            let sum = news.entry(new).or_default();
            sum.0 += times;
            sum.1 += olds;
            if olds > *times {
                return Stand::Lost;
            }
        }
        for (new, (times, olds)) in news {
            let Some(news) = count(&is, new).checked_sub(count(&was, new)) else {
                return Stand::Lost;
            };
            any_new |= news > 0;
            if olds + news != times {
                return Stand::Lost;
            }
        }
        match (any_old, any_new) {
            (true, false) => Stand::Old,
            (false, true) => Stand::New,
            (true, true) => Stand::Mixed,
            (false, false) => Stand::Lost,
        }
    }

    /// The crontab with the lines as wanted and all else as it is now; none where that cannot be told.
    pub(super) fn forwards(&self, now: &[u8]) -> Option<Vec<u8>> {
        match self.stand(now) {
            Stand::Former | Stand::Wanted => Some(self.wanted.to_vec()),
            Stand::Lost => None,
            Stand::New => Some(now.to_vec()),
            Stand::Old | Stand::Mixed => Some(edited(now, |line| {
                self.pairs.get(line).map(|(new, _)| new.to_vec())
            })),
        }
    }

    /// The crontab with the lines as they were and all else as it is now; none where that cannot be told.
    pub(super) fn backwards(&self, now: &[u8]) -> Option<Vec<u8>> {
        match self.stand(now) {
            Stand::Former | Stand::Wanted => return Some(self.former.to_vec()),
            Stand::Lost => return None,
            Stand::Old => return Some(now.to_vec()),
            Stand::New | Stand::Mixed => {}
        }
        let was = counted(self.former);
        let mut back: BTreeMap<&[u8], &[u8]> = BTreeMap::new();
        for (old, (new, _)) in &self.pairs {
            // A line that stood there before as well, or that came from two others: whose is it?
            if was.contains_key(new) || back.insert(new, old).is_some() {
                return None;
            }
        }
        Some(edited(now, |line| back.get(line).map(|old| old.to_vec())))
    }
}
