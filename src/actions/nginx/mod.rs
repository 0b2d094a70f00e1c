//! `nginx.*`: the front end, stopped in peace, started, given a new configuration, and put behind a maintenance page.
//!
//! A master shows its command in its title, `nginx: master process nginx -c ...`, and workers only what they are. The
//! configuration is tested with the program, the `-c`, the `-p` and the `-e` that run, never with the defaults of
//! another. Such a test may make an empty pidfile and empty logs, as Nginx does it.

pub mod maintenance;
pub mod reload;
pub mod start;
pub mod stop;

use crate::action::values::absolute;
use crate::action::{Context, Error};
use crate::host::exec::{LOOK, capture, quoted};
use crate::host::process::list::Other;
use crate::host::service::{Kind, Master, Ready, Role};
use rustix::process::Signal;
use std::path::{Path, PathBuf};

/// What the title of a master begins with.
const MASTER: &str = "nginx: master process";
/// Where a packaged Nginx is configured, and what its relative paths are below.
const CONF: &str = "/etc/nginx/nginx.conf";
const PREFIX: &str = "/usr/share/nginx";
/// Options that say which Nginx it is.
const PLACES: [&str; 3] = ["-p", "-c", "-e"];

/// An Nginx, by its program and its places.
#[derive(Debug, Clone)]
pub(crate) struct Nginx {
    binary: Option<String>,
    conf: Option<String>,
    prefix: Option<String>,
    /// Without any of these it is started by its defaults.
    pub(crate) starts: bool,
}

impl Nginx {
    pub(crate) fn of(binary: Option<&str>, conf: Option<&str>, prefix: Option<&str>) -> Self {
        Self {
            binary: binary.map(str::to_owned),
            conf: conf.map(str::to_owned),
            prefix: prefix.map(str::to_owned),
            starts: false,
        }
    }

    pub(crate) fn problems(&self) -> Vec<String> {
        let conf = self.conf.as_deref().and_then(|c| absolute("conf", c));
        let prefix = self.prefix.as_deref().and_then(|p| absolute("prefix", p));
        conf.into_iter().chain(prefix).collect()
    }

    fn given(&self) -> bool {
        self.binary.is_some() || self.conf.is_some() || self.prefix.is_some()
    }

    /// The command with the places of the settings, else of the one that runs.
    fn argv(&self, ran: Option<&Master>) -> Vec<String> {
        let title = ran.map(|m| title(&m.argv)).unwrap_or_default();
        let exe = ran.map(|m| m.exe.clone()).filter(|e| !e.is_empty());
        let binary = self.binary.clone().or(exe);
        let mut argv = vec![binary.unwrap_or_else(|| "nginx".into())];
        for place in PLACES {
            let set = match place {
                "-c" => self.conf.clone(),
                "-p" => self.prefix.clone(),
                _ => None,
            };
            if let Some(value) = set.or_else(|| option(&title, place)) {
                argv.extend([place.to_owned(), value]);
            }
        }
        argv
    }

    /// Tests the configuration.
    ///
    /// # Errors
    /// [`Error`] with what Nginx says about it.
    pub(crate) fn test(&self, cx: &Context, ran: Option<&Master>) -> Result<(), Error> {
        let mut argv = self.argv(ran);
        argv.push("-t".into());
        let said = capture(cx, &argv, LOOK)?;
        let text = said.stderr.clone() + &said.shown;
        if said.code == Some(0) && text.contains("test is successful") {
            return Ok(());
        }
        Err(Error::new(format!(
            "the configuration of Nginx is invalid: {}: {}: {}",
            quoted(&argv),
            said.ended,
            said.tail(5).join("; ")
        )))
    }

    /// The test, for people.
    pub(crate) fn testing(&self) -> String {
        let mut argv = self.argv(None);
        argv.push("-t".into());
        quoted(&argv)
    }
}

/// The words of a master's title behind what it is.
fn title(words: &[String]) -> Vec<String> {
    let line = words.join(" ");
    line.strip_prefix(MASTER)
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

/// The value behind an option.
fn option(words: &[String], name: &str) -> Option<String> {
    let at = words.iter().position(|w| w == name)?;
    words.get(at + 1).cloned()
}

impl Kind for Nginx {
    fn name(&self) -> &'static str {
        "Nginx"
    }

    fn role(&self, process: &Other) -> Option<Role> {
        let first = process.words.first()?;
        if first.starts_with(MASTER) {
            Some(Role::Master)
        } else if first.starts_with("nginx: worker") || first.starts_with("nginx: cache") {
            Some(Role::Worker)
        } else {
            None
        }
    }

    fn gentle(&self) -> Signal {
        Signal::QUIT
    }

    fn command(&self) -> Option<Vec<String>> {
        (self.starts || self.conf.is_some()).then(|| self.argv(None))
    }

    fn again(&self, master: &Master) -> Option<Vec<String>> {
        let words = title(&master.argv);
        // The title shows words without their quotes, so that only these can be read from it.
        let mut rest = words.get(1..)?.iter();
        while let Some(word) = rest.next() {
            if !PLACES.contains(&word.as_str()) {
                return None;
            }
            rest.next()?;
        }
        Some(self.argv(Some(master)))
    }

    fn drops(&self, _worker: &Master) -> bool {
        true
    }

    fn nests(&self) -> bool {
        true
    }

    fn pidfile(&self, process: &Other) -> Option<PathBuf> {
        let words = title(&process.words);
        // `-g 'pid /run/x.pid;'`: the title shows it without its quotes.
        let mut directives = words.iter().skip_while(|w| *w != "-g").skip(1);
        if let Some(at) = directives.position(|w| w == "pid") {
            let value = words.iter().skip_while(|w| *w != "-g").nth(at + 2)?;
            return Some(value.trim_end_matches(';').into());
        }
        let prefix = option(&words, "-p").unwrap_or_else(|| PREFIX.into());
        let conf = option(&words, "-c").unwrap_or_else(|| CONF.into());
        let text = std::fs::read_to_string(Path::new(&prefix).join(conf)).ok()?;
        let pid = text.lines().find_map(|line| {
            let value = line.trim().strip_prefix("pid")?.split(';').next()?;
            value
                .starts_with(char::is_whitespace)
                .then(|| value.trim().to_owned())
        });
        Some(Path::new(&prefix).join(pid?))
    }

    fn placeless(&self) -> bool {
        self.given()
    }

    fn wanted(&self, process: &Other) -> bool {
        if !self.given() {
            return true;
        }
        let words = title(&process.words);
        let same = |name: &str, set: Option<&String>| {
            set.is_none_or(|set| option(&words, name).as_ref() == Some(set))
        };
        // A worker without its master shows no place.
        !words.is_empty() && same("-c", self.conf.as_ref()) && same("-p", self.prefix.as_ref())
    }
}

/// A page that must answer.
pub(crate) fn url(url: Option<&str>) -> Option<Ready> {
    url.map(|url| Ready {
        url: Some(url.to_owned()),
        ..Ready::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(line: &str) -> Other {
        Other {
            pid: 7,
            parent: 1,
            words: vec![line.into()],
            program: "nginx".into(),
        }
    }

    #[test]
    fn a_title_says_what_it_is_and_where() {
        let nginx = Nginx::of(None, Some("/x/n.conf"), None);
        let ours = process("nginx: master process nginx -p /x/ -c /x/n.conf -e /x/log");
        let other = process("nginx: master process /usr/sbin/nginx -c /y/n.conf");
        let worker = process("nginx: worker process is shutting down");
        assert_eq!(nginx.role(&ours), Some(Role::Master));
        assert_eq!(nginx.role(&worker), Some(Role::Worker));
        assert_eq!(nginx.role(&process("vi nginx.conf")), None);
        assert!(nginx.wanted(&ours) && !nginx.wanted(&other) && !nginx.wanted(&worker));
        assert!(Nginx::of(None, None, None).wanted(&other));
        assert_eq!(nginx.command().unwrap(), ["nginx", "-c", "/x/n.conf"]);
    }
}
