//! A program that supervisord keeps, over `supervisorctl`.
//!
//! Exit codes of supervisorctl say little (0 for "not running", 3 for a status, 4 for an unreachable socket), so what
//! counts is the state that it prints, the number beside it, and the process itself. What is stopped is stopped by
//! supervisord: a TERM of ours would be answered with a new process. Its own `stopwaitsecs` rules when it kills.

use crate::action::{Context, Error, Work};
use crate::host::exec::{self, Captured};
use crate::host::process::identity::Ident;
use crate::host::process::identity::Stat;
use crate::host::process::note::Note;
use crate::host::process::tree;
use crate::host::service::by::{By, Supervisor};
use crate::host::service::found::{Found, Master, Program};
use crate::host::service::kind::Kind;
use crate::host::service::launch::Readiness;
use crate::host::service::manager::{Manager, Overdue};
use crate::system::proc;
use crate::time::Length;
use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a program may be on its way to a state before we say so.
const SETTLE: Duration = Duration::from_secs(20);
/// How long supervisorctl may take at least.
const CLIENT: Duration = Duration::from_secs(5);
/// How long what a program has left may take to end by itself.
const REST: Duration = Duration::from_secs(2);
/// Lines of a log that an error shows.
const LINES: usize = 12;
/// States that are on their way to another.
const PASSING: [&str; 3] = ["STARTING", "STOPPING", "BACKOFF"];
/// All states there are.
const STATES: [&str; 8] = [
    "STOPPED", "STARTING", "RUNNING", "BACKOFF", "STOPPING", "EXITED", "FATAL", "UNKNOWN",
];

/// One line of `status`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    name: String,
    state: String,
    pid: Option<i32>,
    told: String,
}

impl Line {
    /// None of what is no status.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let name = words.next()?.to_owned();
        let state = words.next().filter(|s| STATES.contains(s))?.to_owned();
        let told = words.collect::<Vec<_>>().join(" ");
        let pid = told
            .strip_prefix("pid ")
            .and_then(|rest| rest.split(',').next()?.trim().parse().ok());
        Some(Self {
            name,
            state,
            pid,
            told,
        })
    }

    /// It is on its way to another state.
    fn passing(&self) -> bool {
        PASSING.contains(&self.state.as_str())
    }

    /// Nothing of it runs.
    fn is_stopped(&self) -> bool {
        matches!(self.state.as_str(), "STOPPED" | "EXITED" | "FATAL")
    }

    fn shown(&self) -> String {
        format!("{} is {} ({})", self.name, self.state, self.told)
    }
}

impl Supervisor {
    fn call(&self, cx: &Context, words: &[&str], limit: Duration) -> Result<Captured, Error> {
        let mut argv = self.ctl.clone();
        argv.extend(words.iter().map(|w| (*w).to_owned()));
        exec::capture(cx, &argv, limit)
    }

    fn status(&self, cx: &Context) -> Result<Vec<Line>, Error> {
        let mut asked = self.ctl.clone();
        asked.extend(["status".into(), self.program.clone()]);
        let told = cx.answers.as_ref().and_then(|a| a.answer(&asked));
        let at = Instant::now();
        let said = match &told {
            Some(said) => said.clone(),
            None => exec::capture(cx, &asked, exec::LOOK)?,
        };
        let lines: Vec<Line> = said.text().lines().filter_map(Line::parse).collect();
        let wrong = said
            .shown
            .lines()
            .find(|l| l.contains("ERROR (no such"))
            .map(str::to_owned);
        if let Some(wrong) = wrong {
            return Err(Error::new(format!(
                "supervisord has no program {}: {wrong}",
                self.program
            )));
        }
        if lines.is_empty() {
            return Err(Error::new(format!(
                "supervisord does not respond to {} ({}): {}; start it, or name its configuration in `by.supervisor.ctl`",
                self.ctl.join(" "),
                said.ended,
                said.tail(3).join("; ")
            )));
        }
        if let (Some(answers), None) = (&cx.answers, told)
            && !lines.iter().any(Line::passing)
        {
            answers.keep(at, asked, said);
        }
        Ok(lines)
    }

    /// The status once nothing is on its way any more, at most that long.
    fn settled(&self, cx: &Context, limit: Duration) -> Result<Vec<Line>, Error> {
        let deadline = Instant::now() + limit;
        loop {
            let lines = self.status(cx)?;
            if !lines.iter().any(Line::passing) || Instant::now() >= deadline {
                return Ok(lines);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The lines of supervisord's own log about those of these processes that it killed.
    pub(crate) fn kills(&self, cx: &Context, of: &[Ident]) -> Vec<String> {
        // The log only tells more; it may be switched off.
        let said = self.call(cx, &["maintail", "-4000"], exec::LOOK);
        let said = said.map(|s| s.shown).unwrap_or_default();
        said.lines()
            .filter(|l| {
                l.contains("with SIGKILL") && of.iter().any(|i| l.contains(&format!("({})", i.pid)))
            })
            .map(str::to_owned)
            .collect()
    }

    /// Lets supervisord start these programs and waits until they run by its own rules; `now` is what it keeps.
    fn start_programs(
        &self,
        work: &mut Work<'_, Note>,
        names: &[String],
        now: &Found,
        within: Duration,
    ) -> Result<(), Error> {
        let cx = work.cx();
        for name in names {
            let now = now.programs.iter().find(|p| p.name == *name);
            if now.is_some_and(|p| p.state == "RUNNING") {
                work.log_line(&format!("{name} is already running"));
                continue;
            }
            let said = self.call(cx, &["start", name], within.max(exec::LOOK))?;
            for line in said.shown.lines().chain(said.stderr.lines()) {
                work.log_line(line);
            }
            let lines = self.settled(cx, within)?;
            let Some(line) = lines.iter().find(|l| l.name == *name) else {
                return Err(Error::new(format!("supervisord has no program {name}")));
            };
            if line.state != "RUNNING" {
                return Err(Error::new(format!(
                    "not started: {}{}",
                    line.shown(),
                    self.lines(cx, name, &said)
                )));
            }
        }
        Ok(())
    }

    /// What it said and what the program wrote last, both streams.
    fn lines(&self, cx: &Context, name: &str, said: &Captured) -> String {
        let said = said.tail(2).into_iter().map(|l| format!("\n{l}"));
        said.collect::<String>() + &self.tails(cx, &[name.to_owned()])
    }

    /// What these programs wrote last, both streams.
    pub(crate) fn tails(&self, cx: &Context, names: &[String]) -> String {
        let mut text = String::new();
        for name in names {
            for stream in ["stdout", "stderr"] {
                let Ok(tail) = self.call(cx, &["tail", "-4000", name, stream], exec::LOOK) else {
                    continue;
                };
                let shown: Vec<&str> = tail
                    .shown
                    .lines()
                    .filter(|l| !l.trim().is_empty() && !l.contains("ERROR (no log file)"))
                    .collect();
                if !shown.is_empty() {
                    let last = &shown[shown.len().saturating_sub(LINES)..];
                    let last = last.join("\n");
                    text.push_str(&format!("\nthe end of {stream} of {name}:\n{last}"));
                }
            }
        }
        text
    }
}

impl Manager for &Supervisor {
    fn find(&self, cx: &Context, _kind: &dyn Kind) -> Result<Found, Error> {
        let lines = self.settled(cx, Duration::from_secs(3))?;
        let mut found = Found::default();
        for line in &lines {
            if line.state == "UNKNOWN" {
                return Err(Error::new(format!(
                    "supervisord reports no state for {}: {}",
                    line.name, line.told
                )));
            }
            let ident = line.pid.and_then(Ident::of);
            if let Some(ident) = ident {
                let words = proc::words(ident.pid);
                found.masters.extend(Master::look(cx, &ident, &words)?);
            }
            if !matches!(line.state.as_str(), "RUNNING" | "STOPPED") {
                found.notes.push(line.shown());
            }
            found.programs.push(Program {
                name: line.name.clone(),
                state: line.state.clone(),
                sub: None,
                boot: None,
            });
        }
        Ok(found.with_listeners())
    }

    fn stop(
        &self,
        work: &mut Work<'_, Note>,
        _kind: &dyn Kind,
        found: &Found,
        grace: Duration,
    ) -> Result<(), Error> {
        if found.runs() {
            self.request_stop(work, found, grace, Overdue::Kill)?;
        }
        // What a program started may outlive it: supervisord ends only the process that it knows.
        tree::end(work, found, None, REST.min(grace))
    }

    fn start(
        &self,
        work: &mut Work<'_, Note>,
        kind: &dyn Kind,
        before: Option<&Found>,
        readiness: Readiness<'_>,
        within: Duration,
    ) -> Result<(), Error> {
        let cx = work.cx();
        let now = self.find(cx, kind)?;
        let names: Vec<String> = match before {
            Some(before) => before.wanted().map(str::to_owned).collect(),
            None => now.programs.iter().map(|p| p.name.clone()).collect(),
        };
        if !now.runs()
            && let Some(who) = readiness.stranger()?
        {
            return Err(Error::new(format!("not started: {who}")));
        }
        self.start_programs(work, &names, &now, within)?;
        readiness.stays(
            work,
            within,
            Duration::ZERO,
            &|| self.find(cx, kind),
            &|| self.tails(cx, &names),
        )
    }

    fn stop_commands(&self, _: &dyn Kind, _: Length, _: Option<&Found>) -> Vec<String> {
        vec![format!("{} stop {}", self.ctl.join(" "), self.program)]
    }

    fn start_commands(&self, _: &dyn Kind, before: Option<&Found>) -> Vec<String> {
        let start = |name: &str| format!("{} start {name}", self.ctl.join(" "));
        match before {
            Some(before) => before.wanted().map(start).collect(),
            None => vec![start(&self.program)],
        }
    }

    fn restarts(&self) -> bool {
        true
    }

    fn request_stop(
        &self,
        work: &mut Work<'_, Note>,
        found: &Found,
        grace: Duration,
        overdue: Overdue,
    ) -> Result<bool, Error> {
        let cx = work.cx();
        found.note_signalled(work)?;
        // It waits until all are stopped, which may take the `stopwaitsecs` of each.
        let began = Instant::now();
        let said = self.call(cx, &["stop", &self.program], grace.max(CLIENT))?;
        for line in said.shown.lines().chain(said.stderr.lines()) {
            work.log_line(line);
        }
        if said.code.is_none() && overdue == Overdue::Kill {
            // Our client was ended, not the stop.
            for line in self.status(cx)?.iter().filter(|l| !l.is_stopped()) {
                let late = began.elapsed().as_secs_f32();
                work.escalate(&format!(
                    "{}: not stopped within {late:.1} s; KILL through supervisord",
                    line.name
                ))?;
                // The name of one, so that no other of its group is killed.
                self.call(cx, &["signal", "KILL", &line.name], exec::LOOK)?;
            }
        }
        for line in self.kills(cx, &found.idents()) {
            // Not ours, and seen only afterwards: on record all the same, because work was cut off.
            work.escalate(&format!(
                "supervisord killed by its own stopwaitsecs: {line}"
            ))?;
        }
        if overdue == Overdue::Leave {
            return Ok(true);
        }
        match self.settled(cx, SETTLE)?.iter().find(|l| !l.is_stopped()) {
            Some(line) => Err(Error::new(format!("not stopped: {}", line.shown()))),
            None => Ok(true),
        }
    }

    fn request_commands(&self) -> Vec<String> {
        vec![format!("{} stop {}", self.ctl.join(" "), self.program)]
    }

    fn only(&self, name: &str) -> Option<By> {
        Some(By {
            supervisor: Some(Supervisor {
                program: name.to_owned(),
                ctl: self.ctl.clone(),
            }),
            ..By::default()
        })
    }

    fn output(&self, cx: &Context) -> String {
        // What is not answered has nothing to show; the error that asks for it is told all the same.
        let lines = self.status(cx).unwrap_or_default();
        let names: Vec<String> = lines.into_iter().map(|l| l.name).collect();
        self.tails(cx, &names)
    }
}

/// The program of a supervisord that runs that process: its name, as the process was told it.
pub(super) fn program_of(ident: &Ident) -> Option<String> {
    let parent = Stat::of(ident.pid)?.parent;
    let words = proc::words(parent);
    let mut first = words.iter().take(3);
    if !first.any(|word| word == "supervisord" || word.ends_with("/supervisord")) {
        return None;
    }
    let environ = proc::environ(ident.pid);
    let value = |name: &str| {
        let found = environ.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.to_string_lossy().into_owned())
    };
    let name = value("SUPERVISOR_PROCESS_NAME").unwrap_or_else(|| "NAME".into());
    Some(match value("SUPERVISOR_GROUP_NAME") {
        Some(group) if group != name => format!("{group}:{name}"),
        Some(_) | None => name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_as_supervisorctl_prints_it() {
        let line = Line::parse("g:web            RUNNING   pid 8366, uptime 0:00:05").unwrap();
        assert_eq!((line.name.as_str(), line.pid), ("g:web", Some(8366)));
        let line = Line::parse("bad  FATAL     Exited too quickly (process log may have details)");
        assert_eq!(line.unwrap().pid, None);
        for no in [
            "unix:///run/supervisor.sock no such file",
            "nope: ERROR (no such process)",
            "",
            "http://localhost:9001 refused connection",
        ] {
            assert_eq!(Line::parse(no), None, "{no}");
        }
    }
}
