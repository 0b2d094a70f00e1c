//! The machine behind [`super::disable`] and [`super::enable`]: look, keep, write, prove, put back.
//!
//! Invariants: the lines that change are fixed by what was observed, and nothing else of the crontab ever changes. The
//! former crontab is kept as bytes, where only the runner's user can read it; the record holds digests and line numbers,
//! never a line, because crontabs may hold secrets. Where nobody else has edited it, the undo gives it back byte for
//! byte; where somebody has, their edit stays and exactly these lines go back; where that cannot be told, nothing is
//! written and a person is asked. Left out: that two who write at the same moment see each other; cron has no lock for
//! that, so what was written is read back.

use super::place::{Place, Seen};
use super::running::{self, Running};
use super::table::{self, Change, Stand};
use crate::actions::file::disk;
use crate::actions::{Context, Error, Kept, Look, mask};
use crate::text::actions as told;
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::Write;
use std::time::{Duration, Instant};
use upledger_replay::event::Answer;

/// Between two looks at running jobs.
const PAUSE: Duration = Duration::from_millis(300);
/// How many line numbers are named.
const NAMED: usize = 20;

/// What happens when no line matches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoMatch {
    /// The step is refused: a slip in `match` must not pass for success.
    #[default]
    Refuse,
    /// Then there is nothing to do.
    Ok,
}

/// What a line is to the step.
pub(super) enum Fate {
    /// It becomes this.
    Becomes(Vec<u8>),
    /// It is so already.
    Already,
    /// It is none of the step's business.
    Other,
}

/// Decides about a line.
pub(super) type Fates<'a> = Box<dyn Fn(&[u8]) -> Fate + 'a>;

/// One of the two actions.
pub(super) trait Switch: Send + Sync {
    /// The user whose crontab it is.
    fn user(&self) -> Option<&String>;
    /// The file that is the crontab.
    fn file(&self) -> Option<&String>;
    /// What happens when no line matches.
    fn absent(&self) -> NoMatch;
    /// How long running jobs are waited for.
    fn wait(&self) -> Option<Length>;
    /// Which lines it is about, in words.
    fn which(&self, cx: &Context) -> String;
    /// What it makes of them: `off`, `on`.
    fn state(&self) -> &'static str;
    /// What a line becomes. The same line always becomes the same.
    fn fate<'a>(&'a self, cx: &Context) -> Result<Fates<'a>, Error>;

    /// The crontab as the settings name it.
    fn name(&self) -> String {
        match (self.user(), self.file()) {
            (_, Some(file)) => file.clone(),
            (Some(user), None) => told::crontab_of(user),
            (None, None) => told::crontab_of_ours(),
        }
    }
}

/// All that the undo needs, beside the kept bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Observed {
    place: Place,
    /// What was there; nothing where there was no crontab.
    former: Option<Seen>,
    /// Digest of what is to be there.
    wanted: String,
    /// The numbers of the lines that change, from 1.
    lines: Vec<usize>,
    /// The numbers of those that need not.
    already: Vec<usize>,
}

impl Observed {
    fn read(value: &Value) -> Result<Self, Error> {
        serde_json::from_value(value.clone())
            .map_err(|e| Error::io("what was observed cannot be read", &e))
    }
}

/// Line numbers for people.
fn numbers(lines: &[usize]) -> String {
    let mut all: Vec<String> = lines.iter().take(NAMED).map(ToString::to_string).collect();
    if lines.len() > NAMED {
        all.push(told::and_more(lines.len() - NAMED));
    }
    let all = all.join(", ");
    if lines.len() == 1 {
        told::one_line(all)
    } else {
        told::lines(all)
    }
}

/// What the step makes of a crontab.
struct Drawn {
    wanted: Vec<u8>,
    lines: Vec<usize>,
    already: Vec<usize>,
}

fn draw(switch: &dyn Switch, cx: &Context, former: &[u8]) -> Result<Drawn, Error> {
    let fate = switch.fate(cx)?;
    let (mut lines, mut already) = (Vec::new(), Vec::new());
    for (at, line) in table::lines(former).enumerate() {
        match fate(line) {
            Fate::Becomes(_) => lines.push(at + 1),
            Fate::Already => already.push(at + 1),
            Fate::Other => {}
        }
    }
    let wanted = table::edited(former, |line| match fate(line) {
        Fate::Becomes(new) => Some(new),
        Fate::Already | Fate::Other => None,
    });
    Ok(Drawn {
        wanted,
        lines,
        already,
    })
}

/// Looks, and keeps the former bytes.
pub(super) fn observe(switch: &dyn Switch, cx: &Context) -> Result<Value, Error> {
    let place = Place::find(cx, switch.user(), switch.file())?;
    let lenient = switch.absent() == NoMatch::Ok;
    let (former, drawn) = match place.read(cx)? {
        None if lenient => {
            let drawn = draw(switch, cx, b"")?;
            (None, drawn)
        }
        None => {
            return Err(Error::new(format!(
                "{place} does not exist; with `absent: ok` that is as good as no line"
            )));
        }
        Some((bytes, seen)) => {
            let drawn = draw(switch, cx, &bytes)?;
            disk::keep(cx, &bytes, &seen.sha256)?;
            if !drawn.lines.is_empty()
                && let Some(why) = place.refusal(&bytes)
            {
                return Err(Error::new(why));
            }
            (Some(seen), drawn)
        }
    };
    if drawn.lines.is_empty() && drawn.already.is_empty() && !lenient {
        return Err(Error::new(format!(
            "{place}: there is no {}",
            switch.which(cx)
        )));
    }
    let observed = Observed {
        place,
        former,
        wanted: disk::digest(&drawn.wanted),
        lines: drawn.lines,
        already: drawn.already,
    };
    serde_json::to_value(observed).map_err(|e| Error::io("cannot record what was observed", &e))
}

/// What is done, in lines for people. They are recorded, so no line of the crontab is in them.
pub(super) fn commands(switch: &dyn Switch, cx: &Context) -> Vec<String> {
    let look = || -> Result<String, Error> {
        let place = Place::find(cx, switch.user(), switch.file())?;
        let Some((bytes, _)) = place.read(cx)? else {
            return Ok(told::no_crontab());
        };
        let drawn = draw(switch, cx, &bytes)?;
        Ok(match (drawn.lines.as_slice(), drawn.already.as_slice()) {
            ([], []) => told::no_job(),
            ([], already) => told::already(numbers(already)),
            (lines, _) => numbers(lines),
        })
    };
    // A preview without a run may not be able to look; the step itself will tell why.
    let found = look().unwrap_or_else(|_| told::not_looked_at());
    let (name, which) = (switch.name(), switch.which(cx));
    let mut lines = vec![if switch.state() == OFF {
        told::put_off(name, which, found)
    } else {
        told::put_on(name, which, found)
    }];
    lines.extend(switch.wait().map(told::wait_for_jobs));
    lines
}

/// The lines that would change now, without what looks like a secret.
pub(super) fn diff(switch: &dyn Switch, cx: &Context) -> Result<Option<String>, Error> {
    let place = Place::find(cx, switch.user(), switch.file())?;
    let Some((former, _)) = place.read(cx)? else {
        return Ok(None);
    };
    let drawn = draw(switch, cx, &former)?;
    let redactor = cx.redactor()?;
    let shown = |line: &[u8]| mask::line(&redactor.text(&String::from_utf8_lossy(line)));
    let mut text = String::new();
    let pairs = table::lines(&former).zip(table::lines(&drawn.wanted));
    for (at, (old, new)) in pairs.enumerate().filter(|(_, (old, new))| old != new) {
        let (old, new) = (shown(old), shown(new));
        text.push_str(&format!("{}\n-{old}\n+{new}\n", told::hunk(at + 1)));
    }
    let head = format!("--- {place}\n+++ {place}\n");
    Ok((!text.is_empty()).then(|| format!("{head}{text}")))
}

/// The former crontab.
fn former(o: &Observed, cx: &Context) -> Result<Vec<u8>, Error> {
    match &o.former {
        Some(seen) => disk::kept(cx, &seen.sha256),
        None => Ok(Vec::new()),
    }
}

/// What the former crontab becomes; always the same.
fn wanted(
    switch: &dyn Switch,
    o: &Observed,
    cx: &Context,
    former: &[u8],
) -> Result<Vec<u8>, Error> {
    let wanted = draw(switch, cx, former)?.wanted;
    if disk::digest(&wanted) != o.wanted {
        return Err(Error::new(
            "what the crontab is to become is not what was intended when it was looked at",
        ));
    }
    Ok(wanted)
}

/// The jobs of the step's lines that are at work now.
fn at_work(o: &Observed, cx: &Context, former: &[u8]) -> Result<Vec<Running>, Error> {
    let (lines, rest): (Vec<_>, Vec<_>) = table::lines(former)
        .enumerate()
        .map(|(at, line)| (at + 1, line))
        .partition(|(number, _)| o.lines.contains(number) || o.already.contains(number));
    let rest: Vec<Vec<u8>> = rest.into_iter().map(|(_, line)| line.to_vec()).collect();
    let lines: Vec<(usize, Vec<u8>)> = lines
        .into_iter()
        .map(|(number, line)| {
            let job = table::commented(line).map_or(line, |(job, _)| job);
            (number, job.to_vec())
        })
        .collect();
    running::of(cx, &o.place, &lines, &rest)
}

/// Adds what is still at work; with `wait:` that is not done yet.
fn with_jobs(
    switch: &dyn Switch,
    o: &Observed,
    cx: &Context,
    former: &[u8],
    mut look: Look,
) -> Result<Look, Error> {
    if switch.state() != OFF || look.answer != Answer::Done {
        return Ok(look);
    }
    let jobs = at_work(o, cx, former)?;
    if !jobs.is_empty() {
        look.evidence
            .push(running::named("a job goes on that was begun before", &jobs));
        if switch.wait().is_some() {
            look.answer = Answer::Nothing;
        }
    }
    Ok(look)
}

/// The state that the lines of a `cron.disable` get.
pub(super) const OFF: &str = "off";
/// The state that the lines of a `cron.enable` get.
pub(super) const ON: &str = "on";

const EDITED: &str =
    "somebody else has edited the crontab since it was looked at; their edit stays";

/// Lines that match and that the step did not see.
fn others(switch: &dyn Switch, cx: &Context, now: &[u8]) -> Result<Option<String>, Error> {
    let drawn = draw(switch, cx, now)?;
    Ok((!drawn.lines.is_empty()).then(|| {
        format!(
            "{} matches as well and was put there by somebody since",
            numbers(&drawn.lines)
        )
    }))
}

/// Waits until the jobs of the lines have ended, where the plan says so.
fn wait(
    switch: &dyn Switch,
    o: &Observed,
    cx: &Context,
    former: &[u8],
    log: &mut dyn Write,
) -> Result<(), Error> {
    if switch.state() != OFF {
        return Ok(());
    }
    let Some(wait) = switch.wait() else {
        let jobs = at_work(o, cx, former)?;
        if !jobs.is_empty() {
            say(
                log,
                &running::named("a job goes on that was begun before", &jobs),
            )?;
        }
        return Ok(());
    };
    let deadline = Instant::now() + Duration::from_millis(wait.0);
    let mut told = Vec::new();
    loop {
        let jobs = at_work(o, cx, former)?;
        if jobs.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Error::new(running::named(
                &format!("the lines are off, but after {wait} a job begun before is still at work"),
                &jobs,
            )));
        }
        if jobs != told {
            say(log, &running::named("waiting for", &jobs))?;
            told = jobs;
        }
        std::thread::sleep(PAUSE);
    }
}

/// What a step that was cut off left beside a file.
fn left_over(o: &Observed, cx: &Context) -> Option<String> {
    let Place::File(path) = &o.place else {
        return None;
    };
    let temporary = disk::temporary(cx, std::path::Path::new(path));
    let there = temporary.symlink_metadata().is_ok();
    there.then(|| format!("{} is left over", temporary.display()))
}

/// What its actions have in common.
impl dyn Switch + '_ {
    pub(super) fn probe(&self, cx: &Context, observed: &Value) -> Result<Look, Error> {
        let o = Observed::read(observed)?;
        let (place, state) = (&o.place, self.state());
        let now = place.read(cx)?;
        let former = former(&o, cx)?;
        if o.lines.is_empty() {
            if let Some((now, _)) = &now
                && let Some(others) = others(self, cx, now)?
            {
                return Ok(Look::unclear(format!("{place}: {others}")));
            }
            let look = Look::done(match (&now, o.already.as_slice()) {
                (None, _) => format!("{place} does not exist"),
                (Some(_), []) => format!("{place}: there is no {}", self.which(cx)),
                (Some(_), lines) => format!("{place}: {} already {state}", numbers(lines)),
            });
            return with_jobs(self, &o, cx, &former, look);
        }
        let Some((now, _)) = now else {
            return Ok(Look::unclear(format!("{place} is gone, and not by us")));
        };
        let wanted = wanted(self, &o, cx, &former)?;
        let lines = numbers(&o.lines);
        let look = match Change::new(&former, &wanted).stand(&now) {
            Stand::Former => Look::nothing(format!("{place} is as it was")),
            Stand::Old => {
                let mut look = Look::nothing(format!("{place}: {lines} as before"));
                look.evidence.push(EDITED.into());
                look
            }
            Stand::Wanted => Look::done(format!(
                "{place}: {lines} {state}, every other byte as before ({} bytes, sha256 {})",
                now.len(),
                o.wanted
            )),
            Stand::New => match others(self, cx, &now)? {
                Some(others) => Look::unclear(format!("{place}: {lines} {state}, but {others}")),
                None => {
                    let mut look = Look::done(format!("{place}: {lines} {state}"));
                    look.evidence.push(EDITED.into());
                    look
                }
            },
            Stand::Mixed => Look::unclear(format!(
                "{place}: of {lines} some are {state} and some are not: somebody has edited it"
            )),
            Stand::Lost => Look::unclear(format!(
                "{place}: somebody has edited it, and what became of {lines} cannot be told"
            )),
        };
        with_jobs(self, &o, cx, &former, look)
    }

    pub(super) fn perform(
        &self,
        cx: &Context,
        observed: &Value,
        log: &mut dyn Write,
    ) -> Result<(), Error> {
        let o = Observed::read(observed)?;
        let (place, state) = (&o.place, self.state());
        let former = former(&o, cx)?;
        if !o.lines.is_empty() {
            let Some((now, _)) = place.read(cx)? else {
                return Err(Error::new(format!("{place} is gone, and not by us")));
            };
            let wanted = wanted(self, &o, cx, &former)?;
            let change = Change::new(&former, &wanted);
            let lines = numbers(&o.lines);
            let Some(new) = change.forwards(&now) else {
                return Err(Error::new(format!(
                    "{place}: somebody has edited it since it was looked at, and what became of {lines} cannot be told; it \
                     is left alone"
                )));
            };
            if new != now {
                let facts = o.former.as_ref().and_then(|f| f.facts.as_ref());
                place.write(cx, &new, facts, false)?;
            }
            say(log, &format!("{place}: {lines} {state}"))?;
            if new != wanted {
                say(log, EDITED)?;
            }
        }
        wait(self, &o, cx, &former, log)
    }

    pub(super) fn undo(
        &self,
        cx: &Context,
        observed: &Value,
        log: &mut dyn Write,
    ) -> Result<(), Error> {
        let o = Observed::read(observed)?;
        let place = &o.place;
        if o.lines.is_empty() {
            return say(log, &format!("nothing was changed in {place}"));
        }
        let former = former(&o, cx)?;
        let wanted = wanted(self, &o, cx, &former)?;
        let Some((now, seen)) = place.read(cx)? else {
            return Err(Error::new(format!(
                "{place} is gone, and not by us; its former content is kept"
            )));
        };
        let lines = numbers(&o.lines);
        let Some(new) = Change::new(&former, &wanted).backwards(&now) else {
            return Err(Error::new(format!(
                "{place}: somebody has edited it since, and what became of {lines} cannot be told; it is left alone, and \
                 its former content is kept"
            )));
        };
        let facts = o.former.as_ref().and_then(|f| f.facts.as_ref());
        let whole = new == former;
        if new != now || (whole && seen.facts.as_ref() != facts) {
            place.write(cx, &new, facts, whole)?;
        }
        if let Place::File(path) = place {
            let path = std::path::Path::new(path);
            disk::remove(&disk::temporary(cx, path))?;
        }
        if whole {
            return say(log, &format!("{place} is as it was before"));
        }
        say(log, &format!("{place}: {lines} as before"))?;
        say(log, EDITED)
    }

    pub(super) fn undone(&self, cx: &Context, observed: &Value) -> Result<Look, Error> {
        let o = Observed::read(observed)?;
        let place = &o.place;
        if o.lines.is_empty() {
            return Ok(Look::done(format!("nothing was changed in {place}")));
        }
        let former = former(&o, cx)?;
        let wanted = wanted(self, &o, cx, &former)?;
        let Some((now, seen)) = place.read(cx)? else {
            return Ok(Look::unclear(format!("{place} is gone, and not by us")));
        };
        let lines = numbers(&o.lines);
        Ok(match Change::new(&former, &wanted).stand(&now) {
            Stand::Former if seen.facts != o.former.as_ref().and_then(|f| f.facts.clone()) => {
                Look::nothing(format!("{place}: its mode, owner or time is not as before"))
            }
            Stand::Former => match left_over(&o, cx) {
                Some(left) => Look::nothing(left),
                None => Look::done(format!(
                    "{place} is as before, byte for byte: {} bytes, sha256 {}",
                    now.len(),
                    disk::digest(&now)
                )),
            },
            Stand::Old => {
                let mut look = Look::done(format!("{place}: {lines} as before"));
                look.evidence.push(EDITED.into());
                look
            }
            Stand::Wanted | Stand::New | Stand::Mixed => {
                Look::nothing(format!("{place}: {lines} not as before"))
            }
            Stand::Lost => Look::unclear(format!(
                "{place}: somebody has edited it, and what became of {lines} cannot be told"
            )),
        })
    }
}

fn say(log: &mut dyn Write, line: &str) -> Result<(), Error> {
    writeln!(log, "{line}").map_err(|e| Error::io("cannot write the step's output", &e))
}

/// Where the former crontab is kept.
pub(super) fn kept(cx: &Context, observed: &Value) -> Vec<Kept> {
    let Ok(o) = Observed::read(observed) else {
        return Vec::new();
    };
    let (Some(seen), Ok(dir)) = (&o.former, cx.undo_dir()) else {
        return Vec::new();
    };
    vec![Kept {
        at: dir.join(&seen.sha256).display().to_string(),
        of: o.place.to_string(),
    }]
}
