//! From what pip and venv print to one plain sentence: which packages, which line of which file, and what helps.
//!
//! Invariants: a sentence says nothing that the output does not, and nothing against it; what is not known here is told in
//! pip's own last words. What pip is sure of comes first: other hashes, a conflict, another Python. The network and the disk
//! come before what pip only concludes: it reports them and goes on to say that there is "no matching distribution",
//! which sends people looking in the wrong place.
//!
//! The patterns are those of pip 18 to 25 in English; the commands run with `LC_ALL=C.UTF-8`.

use super::requirements::{Line, Set};
use crate::host::process::mask;
use regex::{Captures, Regex};
use std::collections::VecDeque;

/// How many lines are kept to be explained.
const KEPT: usize = 2000;

/// What a command printed, as far as it is kept.
#[derive(Debug, Default)]
pub(super) struct Story(VecDeque<String>);

impl Story {
    /// One more line.
    pub(super) fn take(&mut self, line: &str) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(line.to_owned());
    }

    /// The lines of a text.
    pub(super) fn of(text: &str) -> Self {
        let mut story = Self::default();
        text.lines().for_each(|l| story.take(l));
        story
    }

    /// The first match of a pattern.
    fn find<'a>(&'a self, pattern: &str) -> Option<Captures<'a>> {
        self.all(pattern).next()
    }

    fn all<'a>(&'a self, pattern: &str) -> impl Iterator<Item = Captures<'a>> {
        // The patterns are constants of this file, and its tests use each of them.
        let regex = Regex::new(pattern).ok();
        self.0
            .iter()
            .filter_map(move |l| regex.as_ref().and_then(|r| r.captures(l)))
    }

    /// Pip gave up because it had no answer. What it only tried again, and what one of several indexes refused, is no
    /// reason for another failure.
    fn ended_without_an_answer(&self) -> bool {
        let last = self.0.iter().rev().find(|l| l.starts_with("ERROR"));
        let ends = [
            "No matching distribution",
            "Could not find a version",
            "Could not install packages",
            "Max retries exceeded",
            "HTTP error",
            "Connection",
            "timed out",
            "subprocess-exited-with-error",
            "git ",
            "Failed to build",
        ];
        last.is_none_or(|l| ends.iter().any(|e| l.contains(e)))
    }

    fn says(&self, text: &str) -> bool {
        self.0.iter().any(|l| l.contains(text))
    }
}

/// Where a package is asked for.
fn place(set: &Set, package: &str) -> String {
    let lines: Vec<String> = set.of(package).take(3).map(Line::place).collect();
    match lines.as_slice() {
        [] => format!("{package} (which no requirement file names itself)"),
        places => format!("{package} ({})", places.join(", ")),
    }
}

/// A package and its version, with its place.
fn versioned(set: &Set, package: &str, version: &str) -> String {
    let place = place(set, package);
    place.replacen(package, &format!("{package} {version}"), 1)
}

/// What went wrong, in one sentence; none when the output is not understood.
pub(super) fn explain(story: &Story, set: &Set) -> Option<String> {
    hashes(story, set)
        .or_else(|| disk(story))
        .or_else(|| conflict(story, set))
        .or_else(|| python(story, set))
        .or_else(|| metadata(story, set))
        .or_else(|| repository(story))
        .or_else(|| network(story))
        .or_else(|| tools(story))
        .or_else(|| missing(story, set))
        .or_else(|| source(story, set))
        .or_else(|| file(story))
        // A requirement that is named may be a URL with a password in it.
        .map(|why| mask::urls(&why))
}

fn disk(story: &Story) -> Option<String> {
    if story.says("No space left on device") || story.says("Disk quota exceeded") {
        return Some(
            "the disk is full (no space left on device): free some space and try again; the incomplete virtualenv is \
             marked as incomplete, and nothing uses it"
                .into(),
        );
    }
    story
        .find(r"(?:ERROR|Error).*\[Errno 13\] Permission denied: '(?P<path>[^']*)'")
        .map(|c| {
            format!(
                "permission denied on {}: run as the owner of the virtualenv, or change its owner",
                &c["path"]
            )
        })
}

fn network(story: &Story) -> Option<String> {
    let denied = story.find(
        r"(?P<code>401|403|407) (Client Error: )?(?P<word>\w+)?.*for url: (?P<url>\S+?)( - skipping)?$",
    );
    if let Some(c) = denied {
        return Some(format!(
            "the index refused access ({} for {}): check the credentials in the secret of `index`",
            &c["code"], &c["url"]
        ));
    }
    if let Some(c) =
        story.find(r"(problem confirming the ssl certificate|CERTIFICATE_VERIFY_FAILED|SSLError).*")
    {
        let host = c[0]
            .split("host='")
            .nth(1)
            .and_then(|h| h.split('\'').next());
        return Some(format!(
            "the certificate of {} cannot be verified: give the step PIP_CERT in `env`, or correct the index",
            host.unwrap_or("the index")
        ));
    }
    if let Some(c) =
        story.find(r"The repository located at (?P<host>\S+) is not a trusted or secure host")
    {
        return Some(format!(
            "{} is asked over plain http, which pip ignores: use https, or name it in PIP_TRUSTED_HOST in `env`",
            &c["host"]
        ));
    }
    let why = [
        ("Network is unreachable", "the network is unreachable"),
        ("Name or service not known", "its name cannot be resolved"),
        (
            "Temporary failure in name resolution",
            "its name cannot be resolved",
        ),
        ("Connection refused", "it refuses connections"),
        ("No route to host", "there is no route to it"),
        ("ConnectTimeoutError", "it does not answer"),
        ("ReadTimeoutError", "it stopped answering"),
        ("Read timed out", "it stopped answering"),
        ("Connection reset by peer", "it closed the connection"),
        ("RemoteDisconnected", "it closed the connection"),
        ("ProxyError", "the proxy refused"),
    ];
    let (mark, words) = why.iter().find(|(mark, _)| story.says(mark))?;
    if !story.ended_without_an_answer() {
        return None;
    }
    let host = story
        .find(&format!(
            r"host='(?P<host>[^']+)', port=(?P<port>\d+).*{}",
            regex::escape(mark)
        ))
        .or_else(|| story.find(r"host='(?P<host>[^']+)', port=(?P<port>\d+)"))
        .map(|c| format!("{}:{}", &c["host"], &c["port"]));
    Some(format!(
        "the index{} cannot be reached ({words}): check the network and `index`, or install offline with `no_index` and \
         `find_links`",
        host.map_or_else(String::new, |h| format!(" {h}"))
    ))
}

/// An interpreter without what is needed.
fn tools(story: &Story) -> Option<String> {
    let debian = "on Debian and Ubuntu install python3-venv (or python3.X-venv, pypy3-venv)";
    if story.says("ensurepip is not")
        || story.says("No module named ensurepip")
        || story.says("No module named 'ensurepip'")
    {
        return Some(format!(
            "the interpreter has no ensurepip, so it cannot create a virtualenv with pip: {debian}"
        ));
    }
    if story.says("No module named venv") || story.says("No module named 'venv'") {
        return Some(format!(
            "the interpreter has no module venv: {debian}, or name a complete one in `python`"
        ));
    }
    if story.says("No module named pip") || story.says("No module named 'pip'") {
        return Some(format!(
            "the virtualenv has no pip, because its interpreter has no ensurepip: {debian}"
        ));
    }
    if story.says("Unknown option: -I") {
        return Some(
            "the interpreter is older than Python 3.4: name a newer one in `python`".into(),
        );
    }
    None
}

fn hashes(story: &Story, set: &Set) -> Option<String> {
    if story.says("DO NOT MATCH THE HASHES") {
        let c = story
            .find(r"^\s+(?P<name>[A-Za-z0-9._-]+?)(\[.*\])?(?P<pin>==\S+)? from (?P<from>\S+)");
        let got = story.find(r"Got\s+(?P<hash>[0-9a-f]+)");
        let what = c.as_ref().map_or_else(
            || "a package".into(),
            |c| format!("{} from {}", place(set, &c["name"]), &c["from"]),
        );
        let got = got.map_or_else(String::new, |c| format!(", but is sha256 {}", &c["hash"]));
        return Some(format!(
            "{what} does not match its hash in the requirement file{got}: it was replaced, or the lock is \
             older than the package; find out which before installing it"
        ));
    }
    if story.says("Hashes are required in --require-hashes mode") {
        let c = story
            .find(r"^\s+(?P<name>[A-Za-z0-9._-]+?)(\[.*\])?([=<>!~].*?)? (from .*)?--hash=")
            .or_else(|| story.find(r"^\s+(?P<name>[A-Za-z0-9._-]+)==\S+ --hash"));
        let what = c.map_or_else(|| "a requirement".into(), |c| place(set, &c["name"]));
        return Some(format!(
            "{what} has no hash, but others have: lock everything with hashes (pip-compile --generate-hashes), including \
             its dependencies"
        ));
    }
    if story.says("must have their versions pinned with ==") {
        let c = story.find(r"^\s+(?P<name>[A-Za-z0-9._-]+)[^ ]* from ");
        let what = c.map_or_else(|| "a requirement".into(), |c| place(set, &c["name"]));
        return Some(format!(
            "{what} is not pinned with ==, which hashes require: pin it and its dependencies"
        ));
    }
    None
}

fn python(story: &Story, set: &Set) -> Option<String> {
    if let Some(c) = story.find(
        r"Package '?(?P<name>[A-Za-z0-9._-]+)'? requires a different Python: (?P<have>\S+) not in '(?P<want>[^']*)'",
    ) {
        return Some(format!(
            "{} needs Python {}, and `python` is {}: name another interpreter, or another version of it",
            place(set, &c["name"]),
            &c["want"],
            &c["have"]
        ));
    }
    let ignored = story.find(
        r"Ignored the following versions that require a different python version: (?P<all>.*)",
    )?;
    let none = story.find(r"No matching distribution found for (?P<what>\S+)")?;
    let name = package(&none["what"]);
    let all: Vec<&str> = ignored["all"].split(';').map(str::trim).take(3).collect();
    Some(format!(
        "{} has no version for this Python; others were left out, which need another one ({}): name another interpreter, \
         or another version of it",
        place(set, name),
        all.join(", ")
    ))
}

/// The package of a requirement such as `celery[redis]==5`.
fn package(requirement: &str) -> &str {
    let end = requirement.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)));
    &requirement[..end.unwrap_or(requirement.len())]
}

fn conflict(story: &Story, set: &Set) -> Option<String> {
    if !story.says("The conflict is caused by") {
        let old = story.find(
            r"(Double requirement given|Could not find a version that satisfies).*\(already in",
        )?;
        return Some(format!(
            "two requirements contradict each other: {}",
            &old[0]
        ));
    }
    let mut sides = Vec::new();
    let mut subject = None;
    let regex = Regex::new(
        r"^\s+(?:The user requested (?P<asked>.+)|(?P<name>\S+) (?P<version>\S+) depends on (?P<need>.+)|The user requested \(constraint\) (?P<held>.+))$",
    )
    .ok()?;
    for line in &story.0 {
        let Some(c) = regex.captures(line) else {
            continue;
        };
        let side = if let Some(asked) = c.name("asked").or(c.name("held")) {
            let asked = asked.as_str().trim_start_matches("(constraint) ");
            subject.get_or_insert_with(|| package(asked).to_owned());
            let place = place(set, package(asked)).replacen(package(asked), asked, 1);
            format!("{place} is required")
        } else {
            let need = &c["need"];
            subject.get_or_insert_with(|| package(need).to_owned());
            format!("{} needs {need}", versioned(set, &c["name"], &c["version"]))
        };
        if !sides.contains(&side) {
            sides.push(side);
        }
    }
    sides.truncate(3);
    let subject = subject?;
    Some(format!(
        "{}: no version of {subject} satisfies both; change one of the lines, or pin {subject} where both agree",
        sides.join(", but ")
    ))
}

/// A package that this pip does not read.
fn metadata(story: &Story, set: &Set) -> Option<String> {
    let why = story.find(
        r"(?:Requested (?P<what>\S+) from .*|Ignoring version (?P<version>\S+) of (?P<name>\S+) since it) has invalid metadata: *(?P<why>.+)$",
    )?;
    story.find(r"(?:No matching distribution found|has invalid metadata)")?;
    let what = why.name("what").map_or("a package", |w| w.as_str());
    let older = story.find(r"Please use (?P<pip>pip\S+) if you need to use this version");
    let older = older.map_or_else(String::new, |c| {
        format!(", or list {} in a requirement file before it", &c["pip"])
    });
    Some(format!(
        "{} has metadata that this pip does not accept ({}): name another version of it{older}",
        place(set, package(what)).replacen(package(what), what, 1),
        why["why"].trim()
    ))
}

fn missing(story: &Story, set: &Set) -> Option<String> {
    let none = story.find(r"No matching distribution found for (?P<what>.+?)( \(from .*)?$")?;
    let versions = story.find(r"\(from versions: (?P<all>[^)]*)\)");
    let what = none["what"].trim();
    let there = match versions.as_ref().map(|c| &c["all"]) {
        None | Some("none" | "") => {
            "the index has no package of that name for this interpreter".into()
        }
        Some(all) => {
            let all: Vec<&str> = all.split(", ").collect();
            format!(
                "the index has {}",
                all[all.len().saturating_sub(5)..].join(", ")
            )
        }
    };
    let asked = story.find(r"No matching distribution found for .*\(from (?P<from>[^()]*)\)");
    let by = asked
        .filter(|c| !c["from"].contains("-r ") && !c["from"].contains("versions"))
        .map_or_else(String::new, |c| format!(", which {} needs", &c["from"]));
    let name = package(what);
    // It is there, and pip has a reason of its own not to take it.
    let version = what.split("==").nth(1).map(str::trim);
    let listed = versions
        .as_ref()
        .is_some_and(|c| c["all"].split(", ").any(|v| Some(v) == version));
    if listed {
        let reason = story
            .all(r"(?i)(?:warning|ignor|skipp|yanked).*")
            .last()
            .map_or_else(String::new, |c| format!(": {}", c[0].trim()));
        return Some(format!(
            "pip found {} and did not take it{reason}; its output tells why",
            place(set, name).replacen(name, what, 1)
        ));
    }
    Some(format!(
        "there is no {}{by}: {there}; correct the line, or put the package into the index or `find_links`",
        place(set, name).replacen(name, what, 1)
    ))
}

/// A repository that pip's git, or another of its kind, did not give.
fn repository(story: &Story) -> Option<String> {
    let failed = story
        .find(r"[×x] (?P<what>(?:git|hg|svn|bzr) .+?) did not run successfully")
        .or_else(|| {
            story.find(r#"Command (?:errored out.*|failed.*): (?P<what>(?:git|hg|svn|bzr) .+?)(?: Check the logs.*)?$"#)
        })?;
    let why = r"^\s*(?:fatal: |.*Permission denied \(|Host key verification|remote: |ssh: |error: (?:RPC|pathspec)|hg: |abort: )";
    let said: Vec<&str> = story
        .all(why)
        .filter_map(|c| c.get(0))
        .map(|m| m.as_str())
        .collect();
    // The whole lines, the last ones.
    let whole = story
        .0
        .iter()
        .filter(|l| said.iter().any(|s| l.starts_with(s)));
    let mut whole: Vec<&str> = whole.map(|l| l.trim()).collect();
    whole.dedup();
    let last = whole.split_off(whole.len().saturating_sub(3)).join("; ");
    let last = if last.is_empty() {
        "its output tells why".to_owned()
    } else {
        last
    };
    Some(format!("`{}` failed: {last}", &failed["what"]))
}

/// A package that comes as source and cannot be built here.
fn source(story: &Story, set: &Set) -> Option<String> {
    let built = [
        r"Failed building wheel for (?P<name>\S+)",
        r"Could not build wheels for (?P<name>[A-Za-z0-9._-]+)",
        r"Failed to build (?P<name>[A-Za-z0-9._-]+)",
        r"Command .python setup.py egg_info. failed .* in \S*/(?P<name>[A-Za-z0-9._-]+)/",
    ];
    let name = built
        .iter()
        .find_map(|p| story.find(p))
        .map(|c| c["name"].to_owned());
    if name.is_none() && !story.says("subprocess-exited-with-error") {
        return None;
    }
    let name = name.or_else(|| {
        let c = story
            .all(r"^\s*(Collecting|Processing) (?P<what>\S+)")
            .last()?;
        let what = c["what"].rsplit('/').next().unwrap_or_default().to_owned();
        Some(package(&what).to_owned())
    });
    let causes = [
        (
            "Python.h",
            "the headers of the interpreter are missing (python3-dev)",
        ),
        (
            "mysql_config",
            "the MySQL client library's headers are missing (default-libmysqlclient-dev, pkg-config)",
        ),
        (
            "Can not find valid pkg-config name",
            "the MySQL client library's headers are missing (default-libmysqlclient-dev, pkg-config)",
        ),
        (
            "use_2to3 is invalid",
            "it is for Python 2 and needs setuptools<58: list that in a requirement file before it",
        ),
        (
            "command 'gcc' failed: No such file",
            "there is no compiler (gcc)",
        ),
        ("unable to execute 'gcc'", "there is no compiler (gcc)"),
        (
            "No module named 'setuptools'",
            "it needs setuptools: list that in a requirement file before it",
        ),
    ];
    let cause = causes.iter().find(|(mark, _)| story.says(mark));
    let own = || {
        let error = story
            .all(r"^\s*(?P<error>[\w.]*(?:Error|Exception): .+)$")
            .last();
        error.map_or_else(
            || "see the output above for the reason".to_owned(),
            |c| c["error"].to_owned(),
        )
    };
    let cause = cause.map_or_else(own, |(_, words)| (*words).to_owned());
    Some(format!(
        "{} is a source distribution and cannot be built here: {cause}; or put a wheel of it into the index or `find_links`",
        name.map_or_else(|| "a package".into(), |n| place(set, &n))
    ))
}

fn file(story: &Story) -> Option<String> {
    if let Some(c) = story.find(
        r"Invalid requirement: (?P<what>.*?)( \(from line (?P<line>\d+) of (?P<file>[^)]*)\))?$",
    ) {
        let place = match (c.name("file"), c.name("line")) {
            (Some(file), Some(line)) => format!("{} line {}", file.as_str(), line.as_str()),
            _ => "a line".into(),
        };
        return Some(format!(
            "{place} is not a valid requirement: {}",
            &c["what"]
        ));
    }
    story
        .find(r"Could not open requirements file: (?P<why>.*)")
        .map(|c| format!("a requirement file cannot be read: {}", &c["why"]))
}

/// What `pip check` found, each with the lines of the files.
pub(super) fn broken(output: &str, set: &Set) -> Vec<String> {
    let story = Story::of(output);
    let unfit = story
        .all(r"^(?P<a>\S+) (?P<av>\S+) (has requirement|requires) (?P<need>.+), but you have (?P<b>\S+) (?P<bv>\S+?)(\.| which is incompatible\.)$")
        .map(|c| {
            format!(
                "{} needs {}, but {} is installed: change one of the lines",
                versioned(set, &c["a"], &c["av"]),
                &c["need"],
                versioned(set, &c["b"], &c["bv"])
            )
        });
    let absent = story
        .all(r"^(?P<a>\S+) (?P<av>\S+) requires (?P<need>\S+), which is not installed\.$")
        .map(|c| {
            format!(
                "{} needs {}, which is not installed: add it to a requirement file",
                versioned(set, &c["a"], &c["av"]),
                &c["need"]
            )
        });
    let platform = story
        .all(r"^(?P<a>\S+) (?P<av>\S+) is not supported on this platform$")
        .map(|c| {
            format!(
                "{} is not for this platform",
                versioned(set, &c["a"], &c["av"])
            )
        });
    unfit.chain(absent).chain(platform).collect()
}
