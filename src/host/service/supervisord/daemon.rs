//! The supervisord process itself, and what it has lost sight of.
//!
//! A supervisord that does not answer may live all the same, and a second one would start every program again. A program
//! that went into the background has ended to supervisord, and serves.

use crate::action::Error;
use crate::encoding;
use crate::host::process::identity::Ident;
use crate::host::process::list::{self, Other};
use crate::host::process::{sockets, tree};
use crate::host::service::by::Supervisor;
use crate::host::service::kind::Kind;
use crate::system::proc;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The value of an option of a command line, in one word or two.
fn option<'w>(words: &'w [String], names: [&str; 2]) -> Option<&'w str> {
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if names.contains(&word.as_str()) {
            return rest.next().map(String::as_str);
        }
        if let Some((name, value)) = word.split_once('=')
            && names.contains(&name)
        {
            return Some(value);
        }
        if let Some(value) = word
            .strip_prefix(names[0])
            .filter(|v| !v.is_empty() && !word.starts_with("--"))
        {
            return Some(value);
        }
    }
    None
}

/// The sockets in the file system that a supervisord listens on, by the names that its configuration gives them: each is
/// bound under its name and a number, `s.sock.4711`, and is given its name then.
pub(super) fn addresses(daemon: &Ident) -> Vec<String> {
    let bound = sockets::sockets(std::slice::from_ref(daemon)).into_iter();
    let named = bound.map(|path| match path.rsplit_once('.') {
        Some((name, number)) if number.parse::<u32>().is_ok() => name.to_owned(),
        Some(_) | None => path,
    });
    named.collect()
}

/// That process is a supervisord.
pub(super) fn is_supervisord(words: &[String]) -> bool {
    let mut first = words.iter().take(3);
    first.any(|word| word == "supervisord" || word.ends_with("/supervisord"))
}

/// The supervisords that live and may be the one of the settings.
pub(super) struct Living {
    /// Of the same configuration or socket.
    pub(super) same: Vec<Ident>,
    /// Those of which that cannot be told.
    pub(super) unknown: Vec<Ident>,
}

/// Looks for the supervisords that live and may be the one of the settings.
///
/// # Errors
/// [`Error`] when the processes of others cannot be seen.
pub(super) fn living(of: &Supervisor) -> Result<Living, Error> {
    let real = |path: &str| Path::new(path).canonicalize().ok();
    let conf = option(&of.ctl, ["-c", "--configuration"]);
    let server = option(&of.ctl, ["-s", "--serverurl"]).and_then(|s| s.strip_prefix("unix://"));
    let mut same = Vec::new();
    let mut unknown = Vec::new();
    for process in list::others()?.iter().filter(|p| is_supervisord(&p.words)) {
        let Some(ident) = Ident::of(process.pid) else {
            continue;
        };
        let own = option(&process.words, ["-c", "--configuration"]);
        let cwd = proc::cwd(process.pid).unwrap_or_default();
        let listens = || server.is_some_and(|s| addresses(&ident).iter().any(|a| a == s));
        match (conf, own) {
            _ if listens() => same.push(ident),
            (Some(one), Some(other)) => {
                let other = cwd.join(other).canonicalize().ok();
                if other.is_some() && real(one) == other {
                    same.push(ident);
                }
            }
            _ => unknown.push(ident),
        }
    }
    Ok(Living { same, unknown })
}

/// Where supervisord looks for its configuration where none is named.
const CONFS: [&str; 2] = ["/etc/supervisor/supervisord.conf", "/etc/supervisord.conf"];

/// The name and the password by which supervisorctl asks, as the configuration of that supervisord says.
pub(super) fn login(daemon: &Ident) -> Option<(String, String)> {
    let words = proc::words(daemon.pid);
    let cwd = proc::cwd(daemon.pid).ok()?;
    let named = option(&words, ["-c", "--configuration"]).map(|conf| cwd.join(conf));
    let places = named.into_iter().chain(CONFS.map(PathBuf::from));
    let text = places.map(std::fs::read_to_string).find_map(Result::ok)?;
    client(&text)
}

/// The name and the password of the section of supervisorctl.
fn client(conf: &str) -> Option<(String, String)> {
    let lines = conf.lines().map(str::trim);
    let section: Vec<&str> = lines
        .skip_while(|line| *line != "[supervisorctl]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .collect();
    let value = |name: &str| {
        section.iter().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            // A comment begins behind a space.
            let value = value.split(" ;").next().unwrap_or(value);
            (key.trim() == name).then(|| value.trim().to_owned())
        })
    };
    Some((value("username")?, value("password")?))
}

/// What may be a process that supervisord has lost sight of: all that is not below it, as it was in one look.
pub(super) struct Others {
    addresses: Vec<String>,
    all: Vec<Other>,
}

impl Others {
    /// Looks at what is neither below that supervisord nor known.
    ///
    /// # Errors
    /// [`Error`] when the processes of others cannot be seen.
    pub(super) fn look(daemon: &Ident, known: &[Ident]) -> Result<Self, Error> {
        let mut all = list::others()?;
        // Looked at afterwards, so that what it has just started is among them.
        let below = tree::living(std::slice::from_ref(daemon));
        all.retain(|p| !below.iter().chain(known).any(|i| i.pid == p.pid));
        Ok(Self {
            addresses: addresses(daemon),
            all,
        })
    }

    /// Processes of a program that supervisord does not know any more: they were given its name, or show its command and
    /// listen. Where it `runs`, too, a former one may hold its port.
    pub(super) fn lost(
        &self,
        kind: &dyn Kind,
        program: &str,
        runs: bool,
        command: &[String],
    ) -> Vec<&Other> {
        let is_lost = |p: &&Other| {
            let shows = shows(kind, p, command);
            let is_kind = !kind.any() && kind.role(p).is_some();
            match self.named(p, program) {
                // One that runs may have started others, which are no other of itself.
                true => shows || (!runs && (is_kind || listens(p))),
                // The same command may be another's: that of another supervisord, or of somebody at a shell.
                false => shows && listens(p) && !is_kept(p),
            }
        };
        let lost: Vec<&Other> = self.all.iter().filter(is_lost).collect();
        // Who was started by another of them is no first process.
        let first = lost
            .iter()
            .filter(|p| lost.iter().all(|o| o.pid != p.parent));
        first.copied().collect()
    }

    /// It was given the name of that program, by this supervisord.
    fn named(&self, process: &Other, program: &str) -> bool {
        let (server, name) = identity(process.pid);
        name.as_deref() == Some(program)
            && server
                .and_then(|url| Some(url.strip_prefix("unix://")?.to_owned()))
                .is_some_and(|path| self.addresses.contains(&path))
    }
}

/// A supervisord keeps it.
fn is_kept(process: &Other) -> bool {
    is_supervisord(&proc::words(process.parent))
}

/// It shows that command: word for word, behind an interpreter, or in a title.
fn shows(kind: &dyn Kind, process: &Other, command: &[String]) -> bool {
    if command.is_empty() {
        return false;
    }
    let titled: Vec<String> = process
        .command()
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let same = process.words.ends_with(command);
    let title = !kind.any() && kind.role(process).is_some() && titled.ends_with(command);
    (command.len() > 1 && same) || title
}

fn listens(process: &Other) -> bool {
    let own: Vec<Ident> = Ident::of(process.pid).into_iter().collect();
    !(sockets::of(&own).is_empty() && sockets::sockets(&own).is_empty())
}

/// The address of the supervisord that started a process, and the name of its program, as the process was told it.
pub(super) fn identity(pid: i32) -> (Option<String>, Option<String>) {
    let environ = proc::environ(pid);
    let value = |name: &str| {
        let found = environ.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| encoding::escaped(value.as_bytes()))
    };
    let name = value("SUPERVISOR_PROCESS_NAME").map(|name| match value("SUPERVISOR_GROUP_NAME") {
        Some(group) if group != name => format!("{group}:{name}"),
        Some(_) | None => name,
    });
    (value("SUPERVISOR_SERVER_URL"), name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_read_in_each_of_its_forms() {
        let value = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            option(&words, ["-c", "--configuration"]).map(str::to_owned)
        };
        for line in [
            "x -c /a",
            "x --configuration /a",
            "x --configuration=/a",
            "x -c/a",
            "x -n -c /a y",
        ] {
            assert_eq!(value(line).as_deref(), Some("/a"), "{line}");
        }
        assert_eq!(value("x -n"), None);
        let conf = "[unix_http_server]\nusername=a\npassword={SHA}b\n[supervisorctl]\nserverurl=x\n\
                    username = c\npassword = d=e ; said\n[program:x]\npassword=f\n";
        assert_eq!(client(conf), Some(("c".into(), "d=e".into())));
        assert_eq!(
            client("[supervisorctl]\nserverurl=x\n[x]\nusername=a\npassword=b\n"),
            None
        );
    }
}
