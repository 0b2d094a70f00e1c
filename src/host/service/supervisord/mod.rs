//! A program that supervisord keeps, over `supervisorctl`; what that does not print supervisord is asked itself.
//!
//! Exit codes of supervisorctl say little (0 for "not running", 3 for a status, 4 for an unreachable socket), so what
//! counts is the state that it prints, the number beside it, and the process itself. What is stopped is stopped by
//! supervisord: a TERM of ours would be answered with a new process. Its own `stopwaitsecs` rules when it kills the process
//! that it knows; what that one leaves is told by us, and has what is left of the grace.
//!
//! A group is acted on as one: one call, because supervisord knows the order, and then each member is judged. What did not
//! run before is not demanded afterwards, and a program that ends as its settings expect has done its work.

mod daemon;
mod rpc;

use crate::action::{Context, Error, Work};
use crate::attempt::traceback;
use crate::host::exec::{self, Captured};
use crate::host::process::ending::Grace;
use crate::host::process::identity::{Ident, Stat};
use crate::host::process::note::Note;
use crate::host::process::tree;
use crate::host::service::by::{By, Supervisor};
use crate::host::service::found::{EXPECTED, Found, Master, Program};
use crate::host::service::kind::Kind;
use crate::host::service::launch::Readiness;
use crate::host::service::manager::{Manager, Overdue};
use crate::system::proc;
use crate::text::actions as phrases;
use crate::time::Length;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a program may be on its way to a state before we say so.
const SETTLE: Duration = Duration::from_secs(20);
/// How long supervisorctl may take at least.
const CLIENT: Duration = Duration::from_secs(5);
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

/// Nothing of what it printed is on its way to another state.
fn at_rest(said: &Result<Captured, Error>) -> bool {
    !said.iter().flat_map(parsed).any(|line| line.passing())
}

/// What it says of programs.
fn parsed(said: &Captured) -> Vec<Line> {
    said.text().lines().filter_map(Line::parse).collect()
}

impl Supervisor {
    fn call(&self, cx: &Context, words: &[&str], limit: Duration) -> Result<Captured, Error> {
        let mut argv = self.ctl.clone();
        argv.extend(words.iter().map(|w| (*w).to_owned()));
        exec::capture(cx, &argv, limit)
    }

    fn status(&self, cx: &Context) -> Result<Vec<Line>, Error> {
        let mine = |l: &Line| {
            let group = self.program.strip_suffix('*');
            l.name == self.program || group.is_some_and(|g| !g.is_empty() && l.name.starts_with(g))
        };
        // Looks at several of its programs share one question for all.
        if let Some(answers) = &cx.answers {
            let asked: Vec<String> = self.ctl.iter().cloned().chain(["status".into()]).collect();
            let said = answers.shared(asked.clone(), at_rest, || {
                exec::capture(cx, &asked, exec::LOOK)
            });
            let lines: Vec<Line> = said.iter().flat_map(parsed).filter(mine).collect();
            if !lines.is_empty() {
                return Ok(lines);
            }
        }
        let mut asked = self.ctl.clone();
        asked.extend(["status".into(), self.program.clone()]);
        let said = exec::capture(cx, &asked, exec::LOOK)?;
        let lines = parsed(&said);
        let wrong = said
            .shown
            .lines()
            .find(|l| l.contains("ERROR (no such"))
            .map(str::to_owned);
        if let Some(wrong) = wrong {
            return Err(self.unknown(cx, &wrong));
        }
        if lines.is_empty() {
            return Err(self.silent(&said)?);
        }
        Ok(lines)
    }

    /// What is said when supervisord does not answer. One that lives is not to be started a second time: it would start
    /// every program again.
    fn silent(&self, said: &Captured) -> Result<Error, Error> {
        let (ctl, why) = (self.ctl.join(" "), said.tail(3).join("; "));
        let mut living = daemon::living(self)?;
        if living.same.is_empty() {
            living.same.append(&mut living.unknown);
        }
        let remedy = match living.same.as_slice() {
            [] => "no supervisord is running; start it, or name its configuration in `by.supervisor.ctl`".to_owned(),
            some => {
                let who: Vec<String> = some.iter().map(Ident::shown).collect();
                format!(
                    "{} is running, so no second one may be started, which would start every program again;                      set `by.supervisor.ctl` to an address on which it answers; if its socket was removed, only a restart of                      supervisord, which restarts its programs, makes a new one",
                    who.join(", ")
                )
            }
        };
        Ok(Error::new(format!(
            "supervisord does not respond to {ctl} ({}): {why}; {remedy}",
            said.ended
        )))
    }

    /// What is said of a name that supervisord does not know, with those that would be meant.
    fn unknown(&self, cx: &Context, wrong: &str) -> Error {
        let all = self.call(cx, &["status"], exec::LOOK);
        let names: Vec<String> = all.iter().flat_map(parsed).map(|l| l.name).collect();
        let (program, group) = (&self.program, format!("{}:", self.program));
        let near = names
            .iter()
            .filter(|n| n.starts_with(&group) || n.ends_with(&format!(":{program}")));
        let mut near: Vec<String> = near.cloned().collect();
        if near.iter().any(|n| n.starts_with(&group)) {
            near.insert(0, format!("{group}*"));
        }
        let hint = match near.is_empty() {
            true => format!("its programs are {}", names.join(", ")),
            false => format!("set `by.supervisor.program` to {}", near.join(" or ")),
        };
        Error::new(format!(
            "supervisord has no program {program}: {wrong}; {hint}"
        ))
    }

    /// The supervisord that keeps what was found; none where it cannot be told which one.
    fn keeper(&self, cx: &Context, found: &Found) -> Option<Ident> {
        let parent = |m: &Master| Some(Stat::of(m.ident.pid)?.parent);
        let parent = found.masters.iter().find_map(parent);
        let parent = parent.filter(|p| daemon::is_supervisord(&proc::words(*p)));
        if let Some(parent) = parent {
            return Ident::of(parent);
        }
        let same = daemon::living(self).map(|l| l.same).unwrap_or_default();
        if let [one] = same.as_slice() {
            return Some(one.clone());
        }
        // What it cannot say is not needed for anything else.
        let ask = || self.call(cx, &["pid"], exec::LOOK);
        let said = match &cx.answers {
            Some(answers) => {
                let asked = self.ctl.iter().cloned().chain(["pid".into()]);
                answers.shared(asked.collect(), |_| true, ask)
            }
            None => ask(),
        }
        .ok()?;
        let pid: i32 = said.text().trim().parse().ok()?;
        Ident::of(pid).filter(|i| daemon::is_supervisord(&proc::words(i.pid)))
    }

    /// What supervisord says of the programs itself.
    fn settings_of(&self, cx: &Context) -> BTreeMap<String, rpc::Settings> {
        let keeper = self.keeper(cx, &Found::default());
        keeper.as_ref().map(rpc::settings).unwrap_or_default()
    }

    /// The status once nothing is on its way any more, at most that long.
    fn settled(&self, cx: &Context, limit: Duration) -> Result<Vec<Line>, Error> {
        self.settled_of(cx, limit, &|_| true)
    }

    /// The status once nothing of those is on its way any more, at most that long.
    fn settled_of(
        &self,
        cx: &Context,
        limit: Duration,
        of: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Line>, Error> {
        let deadline = Instant::now() + limit;
        loop {
            let lines = self.status(cx)?;
            let passing = |l: &Line| l.passing() && of(&l.name);
            if !lines.iter().any(passing) || Instant::now() >= deadline {
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

    /// Lets supervisord start these programs, in one call because it knows their order, and waits until those that are
    /// demanded run by its own rules; `now` is what it keeps.
    fn start_programs(
        &self,
        work: &mut Work<'_, Note>,
        names: &[String],
        demanded: &[String],
        now: &Found,
        within: Duration,
    ) -> Result<(), Error> {
        let cx = work.cx();
        let runs = |name: &String| {
            let mut all = now.programs.iter();
            all.any(|p| p.name == *name && p.is_running())
        };
        for name in names.iter().filter(|n| runs(n)) {
            work.log_line(&format!("{name} is already running"));
        }
        let missing: Vec<&str> = names
            .iter()
            .filter(|n| !runs(n))
            .map(String::as_str)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut words = vec!["start"];
        match missing.len() == now.programs.len() {
            true => words.push(&self.program),
            false => words.extend(&missing),
        }
        let said = self.call(cx, &words, within.max(exec::LOOK))?;
        for line in said.shown.lines().chain(said.stderr.lines()) {
            work.log_line(line);
        }
        let wanted = |name: &str| demanded.iter().any(|d| d == name);
        let lines = self.settled_of(cx, within, &wanted)?;
        let known = self.settings_of(cx);
        for line in lines
            .iter()
            .filter(|l| !wanted(&l.name) && l.state != "RUNNING")
        {
            if missing.contains(&line.name.as_str()) {
                let shown = line.shown();
                work.log_line(&format!(
                    "{shown}, as it was not running before; it is not waited for"
                ));
            }
        }
        let mut failed = Vec::new();
        for name in missing.iter().filter(|n| wanted(n)) {
            let Some(line) = lines.iter().find(|l| l.name == **name) else {
                return Err(Error::new(format!("supervisord has no program {name}")));
            };
            if line.state != "RUNNING" && !line.program(known.get(*name)).is_finished() {
                failed.push(format!("{}{}", line.shown(), self.lines(cx, name, &said)));
            }
        }
        match failed.as_slice() {
            [] => Ok(()),
            failed => Err(Error::new(format!("not started: {}", failed.join("; ")))),
        }
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
                let shown = traceback::shortened(&shown);
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

impl Line {
    /// As it is recorded, with what its settings say.
    fn program(&self, settings: Option<&rpc::Settings>) -> Program {
        let ended_well = self.state == "EXITED" && settings.is_some_and(|s| s.ended_well);
        Program {
            name: self.name.clone(),
            state: self.state.clone(),
            sub: ended_well.then(|| EXPECTED.to_owned()),
            boot: None,
            wait: settings.and_then(|s| s.wait),
            signal: settings.and_then(|s| s.signal),
            dir: settings.and_then(|s| s.dir.clone()),
        }
    }
}

impl Manager for &Supervisor {
    fn find(&self, cx: &Context, kind: &dyn Kind) -> Result<Found, Error> {
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
        }
        let keeper = self.keeper(cx, &found);
        let known = keeper.as_ref().map(rpc::settings).unwrap_or_default();
        let others = keeper
            .as_ref()
            .map(|k| daemon::Others::look(k, &found.all()));
        let others = others.transpose()?;
        for line in &lines {
            let settings = known.get(&line.name);
            found.programs.push(line.program(settings));
            // To supervisord it has ended; what it has put into the background may serve.
            let command = settings.map(|s| s.command.as_slice()).unwrap_or_default();
            let runs = line.pid.is_some();
            let lost = others
                .as_ref()
                .map(|o| o.lost(kind, &line.name, runs, command));
            for process in lost.unwrap_or_default() {
                let ident = Ident::of(process.pid);
                let look = ident.map(|i| Master::look(cx, &i, &process.words));
                let shown = look.transpose()?.flatten().map(|m| m.shown());
                found.strays.extend(shown);
            }
        }
        found.strays.sort();
        found.strays.dedup();
        found.note_signals(kind, "stopsignal=");
        Ok(found.with_listeners())
    }

    fn stop(
        &self,
        work: &mut Work<'_, Note>,
        kind: &dyn Kind,
        found: &Found,
        grace: Grace,
    ) -> Result<(), Error> {
        if found.runs() {
            self.request_stop(work, found, grace.left(), Overdue::Kill)?;
        }
        // What a program started may outlive it, and nobody has told it: supervisord ends only the process that it knows.
        tree::end(work, found, Some(kind.gentle()), grace)
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
        // What did not run before is not demanded: it may be what the upgrade was to mend.
        let demanded: Vec<String> = match before {
            Some(before) => before.running().map(str::to_owned).collect(),
            None => {
                let down = &cx.was_down;
                names
                    .iter()
                    .filter(|n| !down.contains(n))
                    .cloned()
                    .collect()
            }
        };
        self.start_programs(work, &names, &demanded, &now, within)?;
        if self.find(cx, kind)?.is_finished() {
            work.log_line("all of it has done its work and ended as expected");
            return Ok(());
        }
        readiness.stays(
            work,
            within,
            Duration::ZERO,
            &|| self.find(cx, kind),
            &|| self.tails(cx, &names),
        )
    }

    fn stop_commands(&self, _: &dyn Kind, grace: Length, found: Option<&Found>) -> Vec<String> {
        let stop = self.request_commands().join("; ");
        let mut lines = vec![phrases::stop_and_kill(stop, grace)];
        lines.extend(
            found
                .into_iter()
                .flat_map(|f| f.kept_short(grace, "stopwaitsecs")),
        );
        lines
    }

    fn start_commands(&self, _: &dyn Kind, before: Option<&Found>) -> Vec<String> {
        let wanted: Vec<&str> = before.into_iter().flat_map(Found::wanted).collect();
        let names = match before {
            Some(before) if wanted.len() < before.programs.len() => wanted.join(" "),
            Some(_) | None => self.program.clone(),
        };
        vec![format!("{} start {names}", self.ctl.join(" "))]
    }

    fn restarts(&self) -> bool {
        true
    }

    fn name_of(&self, _: &Context, process: &Ident) -> Option<String> {
        program_of(process)
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
        let limit = found.patience(grace).max(CLIENT);
        let said = self.call(cx, &["stop", &self.program], limit)?;
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
    if !daemon::is_supervisord(&proc::words(parent)) {
        return None;
    }
    let (_, name) = daemon::identity(ident.pid);
    Some(name.unwrap_or_else(|| "NAME".into()))
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
