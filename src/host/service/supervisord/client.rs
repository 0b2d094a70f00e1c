//! supervisorctl, and what it says of the programs that the settings mean.
//!
//! Exit codes of supervisorctl say little (0 for "not running", 3 for a status, 4 for an unreachable socket), so what
//! counts is the state that it prints.

use super::{LINES, daemon, peer, rpc};
use crate::action::{Context, Error, Work};
use crate::attempt::traceback;
use crate::host::exec::{self, Captured};
use crate::host::process::identity::{Ident, Stat};
use crate::host::process::note::Note;
use crate::host::service::by::Supervisor;
use crate::host::service::found::{EXPECTED, Found, Master, Program};
use crate::host::service::manager::ask_until;
use crate::host::service::names;
use crate::system::proc;
use std::collections::BTreeMap;
use std::time::Duration;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);
/// States that are on their way to another.
const PASSING: [&str; 3] = ["STARTING", "STOPPING", "BACKOFF"];
/// All states there are.
const STATES: [&str; 8] = [
    "STOPPED", "STARTING", "RUNNING", "BACKOFF", "STOPPING", "EXITED", "FATAL", "UNKNOWN",
];

/// One line of `status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) pid: Option<i32>,
    pub(super) told: String,
}

impl Line {
    /// None of what is no status.
    pub(super) fn parse(text: &str) -> Option<Self> {
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
    pub(super) fn passing(&self) -> bool {
        PASSING.contains(&self.state.as_str())
    }

    /// Nothing of it runs.
    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.state.as_str(), "STOPPED" | "EXITED" | "FATAL")
    }

    pub(crate) fn shown(&self) -> String {
        format!("{} is {} ({})", self.name, self.state, self.told)
    }
}

/// Nothing of what it printed is on its way to another state.
fn at_rest(said: &Result<Captured, Error>) -> bool {
    !said.iter().flat_map(parsed).any(|line| line.passing())
}

/// What it says of programs.
pub(super) fn parsed(said: &Captured) -> Vec<Line> {
    said.text().lines().filter_map(Line::parse).collect()
}

/// What is asked of supervisorctl for these programs: a group at once where all of it is meant, because supervisord knows
/// the order of its programs, and each of the others by itself.
fn calls(of: &[&str], all: &[Line]) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for name in of {
        let group = name.split_once(':').map(|(group, _)| format!("{group}:"));
        let whole = |group: &String| {
            let mut members = all.iter().filter(|l| l.name.starts_with(group));
            members.all(|l| of.contains(&l.name.as_str()))
        };
        let word = match group.filter(whole) {
            Some(group) => format!("{group}*"),
            None => (*name).to_owned(),
        };
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

/// What several calls said, as one.
fn together(all: Vec<Captured>) -> Captured {
    let late = all.iter().find(|said| said.code.is_none());
    let worst = late.or_else(|| all.iter().max_by_key(|said| said.code));
    let lines = |of: fn(&Captured) -> &str| all.iter().map(of).collect::<String>();
    Captured {
        code: worst.map_or(Some(0), |said| said.code),
        ended: worst.map_or_else(String::new, |said| said.ended.clone()),
        stdout: all.iter().flat_map(|said| said.stdout.clone()).collect(),
        shown: lines(|said| &said.shown),
        stderr: lines(|said| &said.stderr),
    }
}

impl Supervisor {
    pub(super) fn call(
        &self,
        cx: &Context,
        words: &[&str],
        limit: Duration,
    ) -> Result<Captured, Error> {
        let mut argv = self.ctl.clone();
        argv.extend(words.iter().map(|w| (*w).to_owned()));
        exec::capture(cx, &argv, limit)
    }

    /// That program is one of those that the settings mean.
    pub(super) fn means(&self, name: &str) -> bool {
        let one = self.program.as_deref().is_some_and(|program| {
            let group = program.strip_suffix('*');
            name == program || group.is_some_and(|g| !g.is_empty() && name.starts_with(g))
        });
        one || self.programs.iter().any(|p| names::matches(p, name))
    }

    /// What supervisord says of all of its programs.
    pub(super) fn all(&self, cx: &Context) -> Result<Vec<Line>, Error> {
        if let Some(lines) = peer::status(cx, &self.ctl) {
            return Ok(lines);
        }
        let said = self.call(cx, &["status"], exec::LOOK)?;
        let lines = parsed(&said);
        if lines.is_empty() && said.code != Some(0) {
            return Err(self.silent(&said)?);
        }
        peer::learn(cx, self, &lines);
        Ok(lines)
    }

    /// What it says of those that the settings mean. Of a set, members that are missing are no error here.
    pub(super) fn status(&self, cx: &Context) -> Result<Vec<Line>, Error> {
        let mine = |l: &Line| self.means(&l.name);
        if let Some(all) = peer::status(cx, &self.ctl) {
            let lines: Vec<Line> = all.into_iter().filter(mine).collect();
            // Of a program that there is none of supervisorctl says why.
            if !lines.is_empty() {
                return Ok(lines);
            }
        }
        // Looks at several of its programs share one question for all.
        if let Some(answers) = &cx.answers {
            let asked: Vec<String> = self.ctl.iter().cloned().chain(["status".into()]).collect();
            let said = answers.shared(asked.clone(), at_rest, || {
                exec::capture(cx, &asked, exec::LOOK)
            });
            let lines: Vec<Line> = said.iter().flat_map(parsed).filter(mine).collect();
            if !lines.is_empty() {
                peer::learn(cx, self, &lines);
                return Ok(lines);
            }
        }
        let Some(program) = &self.program else {
            return Ok(self.all(cx)?.into_iter().filter(mine).collect());
        };
        let said = self.call(cx, &["status", program], exec::LOOK)?;
        let lines = parsed(&said);
        let wrong = said
            .shown
            .lines()
            .find(|l| l.contains("ERROR (no such"))
            .map(str::to_owned);
        if let Some(wrong) = wrong {
            return Err(self.unknown(cx, program, &wrong));
        }
        if lines.is_empty() {
            return Err(self.silent(&said)?);
        }
        peer::learn(cx, self, &lines);
        Ok(lines)
    }

    /// What is said when supervisord does not answer. One that lives is not to be started a second time: it would start
    /// every program again.
    pub(super) fn silent(&self, said: &Captured) -> Result<Error, Error> {
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
    pub(super) fn unknown(&self, cx: &Context, program: &str, wrong: &str) -> Error {
        let all = self.call(cx, &["status"], exec::LOOK);
        let names: Vec<String> = all.iter().flat_map(parsed).map(|l| l.name).collect();
        let group = format!("{program}:");
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
        let what = match names::is_pattern(program) {
            true => format!("no program that {program} matches"),
            false => format!("no program {program}"),
        };
        Error::new(format!("supervisord has {what}: {wrong}; {hint}"))
    }

    /// The supervisord that keeps what was found; none where it cannot be told which one.
    pub(super) fn keeper(&self, cx: &Context, found: &Found) -> Option<Ident> {
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
    pub(super) fn settings_of(&self, cx: &Context) -> BTreeMap<String, rpc::Settings> {
        let keeper = self.keeper(cx, &Found::default());
        keeper.as_ref().map(rpc::settings).unwrap_or_default()
    }

    /// Asks for that of these programs; `whole`: they are all that the settings mean. The programs of a set are asked at
    /// the same time, because supervisorctl does one after the other and waits for each.
    pub(super) fn ask(
        &self,
        cx: &Context,
        verb: &str,
        of: &[&str],
        whole: bool,
        limit: Duration,
    ) -> Result<Captured, Error> {
        if let Some(program) = &self.program {
            let mut words = vec![verb];
            match whole {
                true => words.push(program),
                false => words.extend(of),
            }
            return self.call(cx, &words, limit);
        }
        let words = calls(of, &self.all(cx)?);
        let ask = |word: &String| self.call(cx, &[verb, word], limit);
        let ask = &ask;
        let said: Result<Vec<Captured>, Error> = std::thread::scope(|scope| {
            let threads: Vec<_> = words
                .iter()
                .map(|word| {
                    let named = std::thread::Builder::new().name("ask".into());
                    (word, named.spawn_scoped(scope, move || ask(word)))
                })
                .collect();
            let said = threads.into_iter().map(|(word, thread)| match thread {
                Ok(thread) => thread
                    .join()
                    .unwrap_or_else(|p| std::panic::resume_unwind(p)),
                // The system lets us have no thread.
                Err(_) => ask(word),
            });
            said.collect()
        });
        Ok(together(said?))
    }

    /// The command of that, as a person would type it.
    pub(crate) fn typed(&self, verb: &str, of: &[&str]) -> String {
        format!("{} {verb} {}", self.ctl.join(" "), of.join(" "))
    }

    /// The status once nothing is on its way any more, at most that long.
    pub(super) fn settled(&self, cx: &Context, limit: Duration) -> Result<Vec<Line>, Error> {
        self.settled_of(cx, limit, &|_| true)
    }

    /// The status once nothing of those is on its way any more, at most that long.
    fn settled_of(
        &self,
        cx: &Context,
        limit: Duration,
        of: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Line>, Error> {
        let passing = |l: &Line| l.passing() && of(&l.name);
        let at_rest = |lines: &Vec<Line>| !lines.iter().any(passing);
        ask_until(limit, PAUSE, || self.status(cx), at_rest)
    }

    /// The lines of supervisord's own log about those of these processes that it killed.
    pub(crate) fn kills(&self, cx: &Context, of: &[Ident]) -> Vec<String> {
        // The log only tells more; it may be switched off.
        let said = peer::log(cx, &self.ctl).unwrap_or_else(|| {
            let said = self.call(cx, &["maintail", "-4000"], exec::LOOK);
            said.map(|s| s.shown).unwrap_or_default()
        });
        said.lines()
            .filter(|l| {
                l.contains("with SIGKILL") && of.iter().any(|i| l.contains(&format!("({})", i.pid)))
            })
            .map(str::to_owned)
            .collect()
    }

    /// Lets supervisord start these programs, in one call because it knows their order, and waits until those that are
    /// demanded run by its own rules; `now` is what it keeps.
    pub(super) fn start_programs(
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
        let whole = missing.len() == now.programs.len();
        let said = self.ask(cx, "start", &missing, whole, within.max(exec::LOOK))?;
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
    pub(super) fn program(&self, settings: Option<&rpc::Settings>) -> Program {
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

    #[test]
    fn a_group_of_which_all_is_meant_is_asked_for_at_once() {
        let all = ["g:a", "g:b", "h:a", "h:b", "web", "gg:a"];
        let line = |name: &&str| Line::parse(&format!("{name} RUNNING pid 1, uptime 1")).unwrap();
        let all: Vec<Line> = all.iter().map(line).collect();
        assert_eq!(
            calls(&["g:a", "g:b", "h:b", "web"], &all),
            ["g:*", "h:b", "web"]
        );
        assert_eq!(calls(&["gg:a", "g:b"], &all), ["gg:*", "g:b"]);
    }
}
