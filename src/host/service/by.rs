//! The setting `by`: who manages a service.

use super::names::{Names, is_pattern, says_nothing};
use crate::action::Write;
use crate::action::values::absolute;
use crate::text::settings as text;
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The manager of a service: exactly one of `supervisor`, `systemd`, `pidfile`, `process` and `match`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct By {
    /// A program of supervisord, or a set of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervisor: Option<Supervisor>,
    /// A unit of systemd, or several of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub systemd: Option<Systemd>,
    /// It writes its own pidfile with a plain number; an absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pidfile: Option<String>,
    /// It is a daemon of `process.start`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Daemon>,
    /// Its processes are those whose command line matches this regular expression, and their descendants.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The command that starts it, with `pidfile` or `match`. It may daemonize itself. Default: a stopped service is
    /// started again with its previous command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub start: Vec<String>,
    /// The file to which the output of `start` is appended; an absolute path. Default: the file that it wrote to before,
    /// else a file in the state directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// The working directory of `start`. Default: the step's, else `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
}

/// A program of supervisord, or a set of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Supervisor {
    /// Its name, `group:name`, or `group:*` for all of a group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Several programs that form one service, as a list of such names, of `group:*`, and of patterns: `bk_*` is every
    /// program whose name, with its group, begins so; `?` is one character. All of them are asked at the same time, a
    /// whole group in one call. A single name or pattern needs no list.
    #[serde(default, skip_serializing_if = "Names::is_empty")]
    pub programs: Names,
    /// The supervisorctl command, as a list of arguments. Default: `[supervisorctl]`.
    #[serde(default = "ctl")]
    #[schemars(length(min = 1))]
    pub ctl: Vec<String>,
}

pub(crate) fn ctl() -> Vec<String> {
    vec!["supervisorctl".into()]
}

/// A daemon as `process.start` starts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Daemon {
    /// The file in which its pid is stored, as JSON; an absolute path.
    pub pidfile: String,
    /// The program and its arguments. It must stay in the foreground.
    #[schemars(length(min = 1))]
    pub argv: Vec<String>,
    /// The file to which its output is appended; an absolute path.
    pub log: String,
    /// Its working directory. Default: the step's, else `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
}

/// Units of systemd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Systemd {
    /// The unit, such as `web.service` or `worker@1`. Default suffix: `.service`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Several units that form one service: stopped and started in one call. In a pattern such as `worker@*`, `*` is any
    /// text and `?` one character; it matches the units that systemd has loaded, and those of unit files. A single name
    /// or pattern needs no list.
    #[serde(default, skip_serializing_if = "Names::is_empty")]
    pub units: Names,
    /// The systemctl command, as a list of arguments. Default: `[systemctl]`.
    #[serde(default = "systemctl", skip_serializing_if = "is_systemctl")]
    #[schemars(length(min = 1))]
    pub ctl: Vec<String>,
}

/// What a name of a unit may consist of, beside letters and digits: systemd.unit(5).
const UNIT: &str = ":-_.\\@";
/// Endings of units.
const ENDINGS: [&str; 8] = [
    ".service", ".socket", ".timer", ".path", ".target", ".mount", ".slice", ".scope",
];

/// What is no service: it holds processes of others, or cannot be started again.
const NOT_STARTED: [&str; 3] = [".slice", ".scope", ".mount"];
/// Units of the system itself: systemd.special(7). With one of them most of the machine stops.
const SYSTEM: [&str; 22] = [
    "basic.target",
    "default.target",
    "emergency.target",
    "graphical.target",
    "halt.target",
    "local-fs.target",
    "multi-user.target",
    "network-online.target",
    "network.target",
    "paths.target",
    "poweroff.target",
    "reboot.target",
    "remote-fs.target",
    "rescue.target",
    "shutdown.target",
    "sockets.target",
    "sysinit.target",
    "timers.target",
    "dbus.service",
    "dbus.socket",
    "systemd-journald.service",
    "systemd-logind.service",
];

/// The name of a unit without its ending.
fn stem(name: &str) -> &str {
    let ending = ENDINGS.iter().find_map(|e| name.strip_suffix(e));
    ending.unwrap_or(name)
}

impl Systemd {
    /// These units, by the usual systemctl.
    pub(crate) fn of(units: Vec<String>) -> Self {
        Self {
            unit: None,
            units: Names(units),
            ctl: systemctl(),
        }
    }

    /// What is wrong with the settings, each in one line.
    fn problems(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.unit.is_some() != self.units.is_empty() {
            wrong.push(text::one_unit());
        }
        for name in self.asked() {
            let pattern = self.unit.is_none() && is_pattern(name);
            let valid = |c: char| {
                c.is_ascii_alphanumeric() || UNIT.contains(c) || (pattern && matches!(c, '*' | '?'))
            };
            if name.is_empty() || name.starts_with(['-', '.']) || !name.chars().all(valid) {
                wrong.push(text::no_unit(name));
            } else if pattern && !stem(name).contains(|c: char| c.is_ascii_alphanumeric()) {
                wrong.push(text::every_member("by.systemd.units", name));
            } else if name.contains("@.") || name.ends_with('@') {
                wrong.push(text::needs_instance(name));
            }
        }
        let names = self.names();
        for (at, name) in names.iter().enumerate() {
            if names[..at].contains(name) {
                wrong.push(text::twice(name));
            }
            if SYSTEM.contains(&name.as_str()) || NOT_STARTED.iter().any(|e| name.ends_with(e)) {
                wrong.push(text::not_a_service(name));
            }
        }
        if self.ctl.first().is_none_or(String::is_empty) {
            wrong.push(text::empty("by.systemd.ctl"));
        }
        wrong
    }

    /// The units as the settings name them.
    fn asked(&self) -> impl Iterator<Item = &str> {
        self.unit.as_deref().into_iter().chain(self.units.iter())
    }

    /// The names of the units, and patterns of such names, with their endings.
    pub(super) fn names(&self) -> Vec<String> {
        self.asked()
            .map(|name| match stem(name) == name {
                true => format!("{name}.service"),
                false => name.to_owned(),
            })
            .collect()
    }
}

impl Supervisor {
    /// What is wrong with the settings, each in one line.
    fn problems(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.program.is_some() != self.programs.is_empty() {
            wrong.push(text::program_or_programs());
        }
        let valid = |name: &str| {
            let special = name == "all" || name.starts_with('-');
            !(name.is_empty() || special || name.contains(char::is_whitespace))
        };
        if let Some(program) = &self.program {
            let name = program.strip_suffix(":*").unwrap_or(program);
            if !valid(name) || is_pattern(name) {
                wrong.push(text::one_program());
            }
        }
        for (at, name) in self.programs.iter().enumerate() {
            if says_nothing(name) {
                wrong.push(text::every_member("by.supervisor.programs", name));
            } else if !valid(name) {
                wrong.push(text::no_program_name(name));
            }
            if self.programs.iter().take(at).any(|other| other == name) {
                wrong.push(text::twice(name));
            }
        }
        if self.ctl.first().is_none_or(|p| p.is_empty()) {
            wrong.push(text::empty("by.supervisor.ctl"));
        }
        wrong
    }

    /// The programs as the settings name them.
    pub(super) fn asked(&self) -> impl Iterator<Item = &str> {
        let one = self.program.as_deref().into_iter();
        one.chain(self.programs.iter())
    }
}

fn systemctl() -> Vec<String> {
    vec!["systemctl".into()]
}

fn is_systemctl(ctl: &[String]) -> bool {
    ctl == ["systemctl"]
}

/// The one manager that was chosen.
#[derive(Debug, Clone, Copy)]
pub(super) enum Chosen<'a> {
    Supervisor(&'a Supervisor),
    Systemd(&'a Systemd),
    Pidfile(&'a str),
    Process(&'a Daemon),
    Match(&'a str),
}

impl By {
    /// The daemon of that pidfile, however it is started.
    pub(crate) fn of_daemon(pidfile: &str) -> Self {
        Self {
            process: Some(Daemon {
                pidfile: pidfile.into(),
                argv: Vec::new(),
                log: String::new(),
                cwd: None,
            }),
            ..Self::default()
        }
    }

    /// It names the same service, however that is started.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let daemon = |by: &Self| by.process.as_ref().map(|d| d.pidfile.clone());
        let program = |by: &Self| {
            let of = by.supervisor.as_ref();
            of.map(|s| (s.program.clone(), s.programs.clone()))
        };
        program(self) == program(other)
            && self.systemd == other.systemd
            && self.pidfile == other.pidfile
            && daemon(self) == daemon(other)
            && self.pattern == other.pattern
    }

    /// The manager; none where the settings name none, which [`By::problems`] refuses.
    pub(super) fn chosen(&self) -> Option<Chosen<'_>> {
        let supervisor = self.supervisor.as_ref().map(Chosen::Supervisor);
        let pidfile = self.pidfile.as_deref().map(Chosen::Pidfile);
        let process = self.process.as_ref().map(Chosen::Process);
        let pattern = self.pattern.as_deref().map(Chosen::Match);
        let systemd = self.systemd.as_ref().map(Chosen::Systemd);
        supervisor.or(systemd).or(pidfile).or(process).or(pattern)
    }

    /// Several programs or units are meant, or a pattern of them.
    pub(crate) fn is_set(&self) -> bool {
        self.chosen().is_some_and(|chosen| match chosen {
            Chosen::Supervisor(s) => !s.programs.is_empty(),
            Chosen::Systemd(s) => !s.units.is_empty(),
            Chosen::Pidfile(_) | Chosen::Process(_) | Chosen::Match(_) => false,
        })
    }

    /// The manager says itself by which signal a service ends.
    pub(crate) fn signals(&self) -> bool {
        match self.chosen() {
            Some(Chosen::Supervisor(_) | Chosen::Systemd(_) | Chosen::Process(_)) => true,
            Some(Chosen::Pidfile(_) | Chosen::Match(_)) | None => false,
        }
    }

    /// The command that starts it, where the settings say it, and its directory.
    pub(crate) fn command(&self) -> Option<(&[String], Option<&str>)> {
        match &self.process {
            Some(d) => Some((&d.argv, d.cwd.as_deref())),
            None if self.start.is_empty() => None,
            None => Some((&self.start, self.cwd.as_deref())),
        }
    }

    /// The files that the settings say it writes to.
    pub(crate) fn logs(&self) -> impl Iterator<Item = &str> {
        let own = self.process.iter().map(|d| d.log.as_str());
        own.chain(self.log.as_deref())
    }

    /// The files that its start writes, as far as the settings name them.
    pub(crate) fn writes(&self) -> Vec<Write> {
        let pidfiles = self.process.iter().map(|d| d.pidfile.as_str());
        let files = self.logs().chain(pidfiles);
        files.map(|file| Write::Append(file.to_owned())).collect()
    }

    /// The program that starts it, and the directory that is named for it.
    pub(crate) fn program(&self) -> Option<(&str, Option<&str>)> {
        if let Some(first) = self.start.first() {
            return Some((first, self.cwd.as_deref()));
        }
        match self.chosen()? {
            Chosen::Supervisor(s) => Some((s.ctl.first()?, None)),
            Chosen::Systemd(s) => Some((s.ctl.first()?, None)),
            Chosen::Process(d) => Some((d.argv.first()?, d.cwd.as_deref())),
            Chosen::Pidfile(_) | Chosen::Match(_) => None,
        }
    }

    /// It can be started without having been seen running.
    pub(crate) fn can_start(&self) -> bool {
        match self.chosen() {
            Some(Chosen::Supervisor(_) | Chosen::Systemd(_) | Chosen::Process(_)) => true,
            Some(Chosen::Pidfile(_) | Chosen::Match(_)) | None => !self.start.is_empty(),
        }
    }

    /// What is wrong with it, each in one line.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let managers = [
            self.supervisor.is_some(),
            self.systemd.is_some(),
            self.pidfile.is_some(),
            self.process.is_some(),
            self.pattern.is_some(),
        ];
        if managers.iter().filter(|named| **named).count() != 1 {
            wrong.push(text::one_manager());
        }
        if let Some(supervisor) = &self.supervisor {
            wrong.extend(supervisor.problems());
        }
        if let Some(systemd) = &self.systemd {
            wrong.extend(systemd.problems());
        }
        wrong.extend(
            self.pidfile
                .as_deref()
                .and_then(|p| absolute("by.pidfile", p)),
        );
        wrong.extend(self.log.as_deref().and_then(|p| absolute("by.log", p)));
        wrong.extend(self.cwd.as_deref().and_then(|p| absolute("by.cwd", p)));
        if let Some(d) = &self.process {
            wrong.extend(absolute("by.process.pidfile", &d.pidfile));
            wrong.extend(absolute("by.process.log", &d.log));
            wrong.extend(d.cwd.as_deref().and_then(|p| absolute("by.process.cwd", p)));
            if d.argv.first().is_none_or(|p| p.is_empty()) {
                wrong.push(text::empty("by.process.argv"));
            }
            if d.log == d.pidfile {
                wrong.push(text::one_file("by.process.log", "by.process.pidfile"));
            }
        }
        if self.log.is_some() && self.log == self.pidfile {
            wrong.push(text::one_file("by.log", "by.pidfile"));
        }
        if let Some(pattern) = &self.pattern {
            match Regex::new(pattern) {
                // What matches unlike texts, and the empty one, says nothing about a process.
                Ok(r) if r.is_match("") || (r.is_match("0") && r.is_match("-z")) => {
                    wrong.push(text::every_process());
                }
                Ok(_) => {}
                Err(e) => wrong.push(text::no_regex("by.match", e)),
            }
        }
        if self.start.first().is_some_and(String::is_empty) {
            wrong.push(text::empty_program());
        }
        let own = self.supervisor.is_some() || self.systemd.is_some() || self.process.is_some();
        for (given, name) in [
            (!self.start.is_empty(), "by.start"),
            (self.log.is_some(), "by.log"),
            (self.cwd.is_some(), "by.cwd"),
        ] {
            if given && own {
                wrong.push(text::no_start_beside(name));
            }
        }
        wrong
    }
}

impl By {
    /// Both name programs of the same supervisord, or units of the same systemd.
    pub(crate) fn is_managed_as(&self, other: &Self) -> bool {
        match (self.chosen(), other.chosen()) {
            (Some(Chosen::Supervisor(one)), Some(Chosen::Supervisor(other))) => {
                one.ctl == other.ctl
            }
            (Some(Chosen::Systemd(one)), Some(Chosen::Systemd(other))) => one.ctl == other.ctl,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(json: &str) -> By {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn exactly_one_manager_is_named() {
        for good in [
            r#"{"supervisor": {"program": "g:*"}}"#,
            r#"{"pidfile": "/run/x.pid", "start": ["/bin/x"], "log": "/x", "cwd": "/"}"#,
            r#"{"process": {"pidfile": "/x", "argv": ["x"], "log": "/x.log"}}"#,
            r#"{"match": "^/bin/x"}"#,
            r#"{"systemd": {"unit": "web"}}"#,
            r#"{"systemd": {"units": ["worker@1.service", "worker@2.service"], "ctl": ["sudo", "systemctl"]}}"#,
            r#"{"systemd": {"units": "worker@*"}}"#,
            r#"{"supervisor": {"programs": "bk_*"}}"#,
            r#"{"supervisor": {"programs": ["web", "g:*", "*:worker"]}}"#,
        ] {
            assert_eq!(by(good).problems(), Vec::<String>::new(), "{good}");
        }
        for bad in [
            "{}",
            r#"{"match": "x", "pidfile": "/x"}"#,
            r#"{"match": ""}"#,
            r#"{"match": "("}"#,
            r#"{"pidfile": "x"}"#,
            r#"{"match": ".*"}"#,
            r#"{"match": "."}"#,
            r#"{"match": "^"}"#,
            r#"{"pidfile": "/x", "start": ["x"], "log": "/x"}"#,
            r#"{"process": {"pidfile": "/x", "argv": ["x"], "log": "/x"}}"#,
            r#"{"systemd": {"units": ["a", "a.service"]}}"#,
            r#"{"systemd": {"unit": "multi-user.target"}}"#,
            r#"{"systemd": {"unit": "init.scope"}}"#,
            r#"{"systemd": {"unit": "system.slice"}}"#,
            r#"{"systemd": {}}"#,
            r#"{"systemd": {"unit": "a", "units": ["b"]}}"#,
            r#"{"systemd": {"unit": "worker@"}}"#,
            r#"{"systemd": {"unit": "worker@.service"}}"#,
            r#"{"systemd": {"unit": "w*"}}"#,
            r#"{"systemd": {"unit": "--now"}}"#,
            r#"{"systemd": {"unit": "a", "ctl": []}}"#,
            r#"{"systemd": {"unit": "a"}, "cwd": "/"}"#,
            r#"{"systemd": {"units": "*"}}"#,
            r#"{"systemd": {"units": "*.service"}}"#,
            r#"{"supervisor": {}}"#,
            r#"{"supervisor": {"program": "a", "programs": ["b"]}}"#,
            r#"{"supervisor": {"programs": []}}"#,
            r#"{"supervisor": {"programs": ["*:*"]}}"#,
            r#"{"supervisor": {"programs": ["a", "a"]}}"#,
            r#"{"supervisor": {"programs": ["all"]}}"#,
            r#"{"supervisor": {"programs": ["a b"]}}"#,
            r#"{"supervisor": {"program": "a*"}}"#,
            r#"{"supervisor": {"program": "a b"}}"#,
            r#"{"supervisor": {"program": "all"}}"#,
            r#"{"supervisor": {"program": "*"}}"#,
            r#"{"supervisor": {"program": "-h"}}"#,
            r#"{"supervisor": {"program": "a", "ctl": []}}"#,
            r#"{"supervisor": {"program": "a"}, "start": ["x"]}"#,
        ] {
            assert!(!by(bad).problems().is_empty(), "{bad}");
        }
        assert_eq!(
            by(r#"{"supervisor": {"program": "a"}}"#)
                .supervisor
                .unwrap()
                .ctl,
            ["supervisorctl"]
        );
    }

    #[test]
    fn a_unit_without_an_ending_is_a_service() {
        let systemd = Systemd {
            unit: None,
            units: Names(
                ["web", "worker@1", "web.socket", "a.b"]
                    .map(String::from)
                    .to_vec(),
            ),
            ctl: vec!["systemctl".into()],
        };
        let names = [
            "web.service",
            "worker@1.service",
            "web.socket",
            "a.b.service",
        ];
        assert_eq!(systemd.names(), names);
        assert_eq!(systemd.problems(), Vec::<String>::new());
    }
}
