//! What a command line of Celery says: worker or beat, of which application, by which name, of which queues.
//!
//! Celery 3 to 5 are read alike: its general options stand before or behind the subcommand, `manage.py celery` is the
//! way of Django's old integration, and with `setproctitle` installed the command line is one text in brackets.
//!
//! Left out: options that nobody here asks for, and the environment variables that Celery takes defaults from. What name a
//! worker answers by is Celery's own matter: `inspector` asks it.

use serde::{Deserialize, Serialize};

/// The role of a Celery process.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Executes tasks.
    #[default]
    Worker,
    /// Sends periodic tasks on schedule.
    Beat,
}

impl Role {
    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Beat => "beat",
        }
    }
}

/// A command line of Celery.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct CommandLine {
    pub(super) role: Role,
    /// `-A`.
    pub(super) module: Option<String>,
    /// `-b`: it may hold a password.
    pub(super) broker: Option<String>,
    pub(super) loader: Option<String>,
    pub(super) config: Option<String>,
    /// `-n`, as written. In a title, the name that it answers by.
    pub(super) node: Option<String>,
    /// `-Q`.
    pub(super) queues: Vec<String>,
    /// As written, also empty; [`path`] is the file.
    pub(super) pidfile: Option<String>,
    /// `-f`, the same.
    pub(super) logfile: Option<String>,
    /// `-s`, the same.
    pub(super) schedule: Option<String>,
    /// A worker with `-B`: a beat lives inside it.
    pub(super) beat_inside: bool,
    /// `manage.py celery`.
    pub(super) django: bool,
    /// The first word, where the system has not overwritten it: the interpreter.
    pub(super) python: Option<String>,
    /// The command line is a title that Celery has set; what it was started with cannot be read off it for sure.
    pub(super) titled: bool,
    /// A title of a process of the pool, which belongs to a worker.
    pub(super) pool: bool,
}

/// Options of Celery that take a value and may stand before the subcommand.
const VALUED: [&str; 10] = [
    "-A",
    "--app",
    "-b",
    "--broker",
    "--result-backend",
    "--loader",
    "--config",
    "--workdir",
    "--settings",
    "--pythonpath",
];
/// Options of the interpreter that take a value.
const PYTHON_VALUED: [&str; 3] = ["-W", "-X", "--check-hash-based-pycs"];

fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// Reads a command line; none where it is not that of a worker or a beat.
pub(super) fn read(line: &[String]) -> Option<CommandLine> {
    // A title leaves empty words behind it, where the command line was longer.
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    let full = line.iter().filter(|w| !w.is_empty()).count();
    let first = *line.first()?;
    if full == 1 && first.starts_with("[celery") {
        return title(first);
    }
    let mut words = if base(first).starts_with("python") || base(first).starts_with("pypy") {
        let (script, rest) = program(&line[1..])?;
        let django = base(script) == "manage.py" || script == "django";
        let rest = match (base(script), rest.split_first()) {
            ("celery", _) => rest,
            (_, Some((&"celery", behind))) if django => behind,
            _ => return None,
        };
        CommandLine {
            django,
            python: Some(first.to_owned()),
            ..arguments(rest)?
        }
    } else if base(first) == "celery" {
        arguments(&line[1..])?
    } else {
        return None;
    };
    words.titled = false;
    Some(words)
}

/// The script or module that the interpreter runs, and what stands behind it.
fn program<'a>(line: &'a [&'a str]) -> Option<(&'a str, &'a [&'a str])> {
    let mut at = 0;
    while let Some(word) = line.get(at) {
        match *word {
            "-m" => return Some((line.get(at + 1)?, line.get(at + 2..)?)),
            "-c" => return None,
            w if PYTHON_VALUED.contains(&w) => at += 2,
            w if w.starts_with('-') => at += 1,
            w => return Some((w, &line[at + 1..])),
        }
    }
    None
}

/// What stands behind the program's name.
fn arguments(rest: &[&str]) -> Option<CommandLine> {
    let mut at = 0;
    let mut role = None;
    while let Some(word) = rest.get(at) {
        match *word {
            "worker" => role = Some(Role::Worker),
            "beat" => role = Some(Role::Beat),
            w if VALUED.contains(&w) => {
                at += 2;
                continue;
            }
            w if w.starts_with('-') => {
                at += 1;
                continue;
            }
            _ => return None,
        }
        break;
    }
    let role = role?;
    let given = |names: &[&str]| option(rest, names);
    let value = |names: &[&str]| given(names).filter(|v| !v.is_empty());
    let queues = value(&["-Q", "--queues"]).unwrap_or_default();
    Some(CommandLine {
        role,
        module: value(&["-A", "--app"]),
        broker: value(&["-b", "--broker"]),
        loader: value(&["--loader"]),
        config: value(&["--config"]),
        node: value(&["-n", "--hostname"]).filter(|_| role == Role::Worker),
        queues: queues
            .split(',')
            .map(|q| q.trim().to_owned())
            .filter(|q| !q.is_empty())
            .collect(),
        pidfile: given(&["--pidfile"]),
        logfile: given(&["-f", "--logfile"]),
        schedule: given(&["-s", "--schedule"]),
        beat_inside: role == Role::Worker && rest.iter().any(|w| *w == "-B" || *w == "--beat"),
        ..CommandLine::default()
    })
}

/// The file that an option names; `--pidfile=` names none.
pub(super) fn path(option: &Option<String>) -> Option<&str> {
    option.as_deref().filter(|path| !path.is_empty())
}

/// A file's name as the first process of a worker of that name reads it: `%n` is the name, `%h` the whole host and `%d`
/// its domain, `%i` and `%I` are the numbers of the pool's processes.
pub(super) fn expanded(path: &str, written: &str, machine: &str) -> String {
    // Celery takes a name without `@` for a host.
    let (name, host) = match written.split_once('@') {
        Some(parts) => parts,
        None if written.is_empty() => ("", machine),
        None => ("", written),
    };
    let name = if name.is_empty() { "celery" } else { name };
    let host = host.replace("%h", machine);
    let domain = host.split_once('.').map_or("", |(_, domain)| domain);
    path.replace("%n", name)
        .replace("%h", &host)
        .replace("%d", domain)
        .replace("%I", "")
        .replace("%i", "0")
}

/// The last value of an option: `-A x`, `-Ax`, `--app x`, `--app=x`.
fn option(rest: &[&str], names: &[&str]) -> Option<String> {
    let mut found = None;
    for (at, word) in rest.iter().enumerate() {
        for name in names {
            if word == name {
                found = rest.get(at + 1).map(|w| (*w).to_owned()).or(found);
            } else if let Some(value) = word.strip_prefix(name)
                && let Some(value) = if name.starts_with("--") {
                    value.strip_prefix('=')
                } else {
                    Some(value)
                }
            {
                found = Some(value.to_owned());
            }
        }
    }
    found
}

/// `[celeryd: w1@host:MainProcess] -active- (worker -A app)`, `[celery beat] -A app beat`.
fn title(text: &str) -> Option<CommandLine> {
    let (head, tail) = text.strip_prefix('[')?.split_once(']')?;
    let (role, node, process) = if let Some(rest) = head.strip_prefix("celeryd: ") {
        let (node, process) = rest.rsplit_once(':')?;
        (Role::Worker, Some(node.to_owned()), process)
    } else if head.starts_with("celery beat") {
        (Role::Beat, None, "MainProcess")
    } else {
        return None;
    };
    let inside = tail.rsplit_once('(').map_or(tail, |(_, t)| t);
    let rest: Vec<&str> = inside.trim_end_matches(')').split_whitespace().collect();
    let rest = match rest.first() {
        Some(&"celery") => rest.get(1..).unwrap_or_default(),
        _ => &rest,
    };
    Some(CommandLine {
        role,
        node,
        titled: true,
        pool: process != "MainProcess",
        ..arguments(rest).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Option<CommandLine> {
        read(&text.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn workers_and_beats_are_known_however_they_were_started() {
        for (text, role, module) in [
            (
                "/v/bin/python /v/bin/celery -A config worker -l INFO",
                Role::Worker,
                Some("config"),
            ),
            (
                "/v/bin/python3.6 /v/bin/celery worker -A config",
                Role::Worker,
                Some("config"),
            ),
            (
                "/v/bin/python -u -m celery --app=config.x:app beat",
                Role::Beat,
                Some("config.x:app"),
            ),
            (
                "python -W ignore manage.py celery worker -c 5",
                Role::Worker,
                None,
            ),
            (
                "/v/bin/pypy3 /v/bin/celery -Aconfig -q worker",
                Role::Worker,
                Some("config"),
            ),
            (
                "/v/bin/python /v/bin/celery -b redis://:worker@h/0 -A a --workdir beat worker",
                Role::Worker,
                Some("a"),
            ),
        ] {
            let words = line(text).unwrap();
            assert_eq!(
                (words.role, words.module.as_deref()),
                (role, module),
                "{text}"
            );
            assert!(!words.titled && words.python.is_some());
        }
        assert!(
            line("python -W ignore manage.py celery worker")
                .unwrap()
                .django
        );
    }

    #[test]
    fn others_are_none() {
        for text in [
            "vim worker beat celery",
            "/bin/sh -c celery",
            "/bin/sh -c /v/bin/celery -A x worker",
            "/v/bin/python /v/bin/celery -A config inspect active",
            "/v/bin/python /v/bin/celery -A worker inspect ping",
            "/v/bin/python /v/bin/celery multi start w1 -A x",
            "/v/bin/python -c import celery worker",
            "/v/bin/python manage.py worker",
            "/v/bin/python",
            "[celery flower]",
            "",
        ] {
            assert_eq!(line(text), None, "{text}");
        }
    }

    #[test]
    fn options_are_read_in_each_spelling() {
        let words = line("/v/bin/python /v/bin/celery -A a worker -n w1@%h --queues=x,y -B --pidfile /p -f l -s s").unwrap();
        assert_eq!(words.queues, ["x", "y"]);
        assert!(words.beat_inside);
        assert_eq!(words.pidfile.as_deref(), Some("/p"));
        assert_eq!(words.logfile.as_deref(), Some("l"));
        assert_eq!(words.schedule.as_deref(), Some("s"));
        assert_eq!(words.node.as_deref(), Some("w1@%h"));
        let words = line("celery -A a worker --hostname=w2 --pidfile= --logfile=").unwrap();
        assert_eq!(words.node.as_deref(), Some("w2"));
        assert_eq!(path(&words.pidfile), None, "an option that is given empty");
        assert_eq!(path(&words.logfile), None);
        for (file, name, wanted) in [
            ("/l/%n%I.log", "w1@%h", "/l/w1.log"),
            ("%h-%d-%i", "", "m.x-x-0"),
            ("%n@%h", "node1", "celery@node1"),
        ] {
            assert_eq!(expanded(file, name, "m.x"), wanted, "{file}");
        }
    }

    #[test]
    fn a_title_tells_the_name_and_the_children() {
        let full = |text: &str| read(&[text.to_owned(), String::new()]).unwrap();
        let main = full("[celeryd: w1@m:MainProcess] -active- (celery -A a worker -Q x)");
        assert_eq!((main.node.as_deref(), main.pool), (Some("w1@m"), false));
        assert_eq!((main.module.as_deref(), main.titled), (Some("a"), true));
        assert!(full("[celeryd: w1@m:ForkPoolWorker-2]").pool);
        let beat = full("[celery beat] -A a beat");
        assert_eq!((beat.role, beat.module.as_deref()), (Role::Beat, Some("a")));
    }
}
