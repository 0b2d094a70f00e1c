//! The machine behind [`super::disable`] and [`super::enable`]: look, keep, write, prove, put back.
//!
//! Invariants: the lines that change are fixed by what was observed, and nothing else of the crontab ever changes. The
//! former crontab is kept as bytes, where only the runner's user can read it; the record holds digests and line numbers,
//! never a line, because crontabs may hold secrets. Where nobody else has edited it, the undo gives it back byte for
//! byte; where somebody has, their edit stays and exactly these lines go back; where that cannot be told, nothing is
//! written and a person is asked. Left out: that two who write at the same moment see each other; cron has no lock for
//! that, so what was written is read back.

pub(super) mod consequences;

use super::others::{again, others, unmarked, warn};
use super::place::{Former, Place};
use super::running::{self, Running};
use super::table::{self, Change, Stand};
use crate::action::{Context, Data, Direction, Error, Kept, Look, Preview, Work};
use crate::encoding;
use crate::host::files::disk;
use crate::host::process::mask;
use crate::text::actions as phrases;
use crate::text::settings as text;
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use upledger_replay::event::Answer;

/// Between two looks at running jobs.
const PAUSE: Duration = Duration::from_millis(300);
/// How many line numbers are named.
const NAMED: usize = 20;

/// What to do when no line matches.
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
    /// It is so again, by somebody else: this run had made it otherwise.
    Again,
    /// It is none of the step's business.
    Other,
}

/// Decides about a line.
pub(super) type Fates<'a> = Box<dyn Fn(&[u8]) -> Fate + 'a>;

/// One of the two actions.
pub(super) trait Switch {
    /// The user whose crontab it is.
    fn user(&self) -> Option<&String>;
    /// The file that is the crontab.
    fn file(&self) -> Option<&String>;
    /// What to do when no line matches.
    fn absent(&self) -> NoMatch;
    /// How long running jobs are waited for.
    fn wait(&self) -> Option<Length>;
    /// Which lines it is about, in words.
    fn which(&self) -> String;
    /// What it makes of them: `off`, `on`.
    fn state(&self) -> &'static str;
    /// What a line of that crontab becomes. The same line always becomes the same.
    fn fate<'a>(&'a self, cx: &Context, text: &[u8]) -> Result<Fates<'a>, Error>;
    /// What its own lines begin with; empty where it marks none.
    fn mark(&self, _cx: &Context) -> Vec<u8> {
        Vec::new()
    }

    /// The crontab as the settings name it.
    fn name(&self) -> String {
        match (self.user(), self.file()) {
            (_, Some(file)) => file.clone(),
            (Some(user), None) => phrases::crontab_of(user),
            (None, None) => phrases::crontab_of_ours(),
        }
    }
}

/// All that the undo needs, beside the kept bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    place: Place,
    /// What was there; nothing where there was no crontab.
    former: Option<Former>,
    /// What is to be there. Its bytes are a change of the former ones, and are not kept.
    wanted: Kept,
    /// The numbers of the lines that change, from 1.
    pub(super) lines: Vec<usize>,
    /// The numbers of those that need not.
    already: Vec<usize>,
}

/// The jobs that were switched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Switched {
    /// The number of jobs that the step has changed.
    pub jobs: u64,
    /// The number of jobs that were already in that state.
    pub already: u64,
}

impl Before {
    fn switched(&self) -> Switched {
        Switched {
            jobs: self.lines.len() as u64,
            already: self.already.len() as u64,
        }
    }

    /// The former crontab; where it still is what is there `now`, nothing needs to be kept.
    fn former(&self, cx: &Context, now: Option<&[u8]>) -> Result<Vec<u8>, Error> {
        let Some(former) = &self.former else {
            return Ok(Vec::new());
        };
        match now {
            Some(now) if cx.is_kept(former.content(), now)? => Ok(now.to_vec()),
            Some(_) | None => cx.kept(former.content()),
        }
    }

    /// What the former crontab becomes; always the same.
    fn wanted(&self, switch: &impl Switch, cx: &Context, former: &[u8]) -> Result<Vec<u8>, Error> {
        let wanted = draw(switch, cx, former)?.wanted;
        if cx.is_kept(&self.wanted, &wanted)? {
            return Ok(wanted);
        }
        Err(Error::new(
            "the new crontab differs from what was intended when it was read",
        ))
    }

    /// What a step that was cut off left beside a file.
    fn left_over(&self, cx: &Context) -> Option<String> {
        let Place::File(path) = &self.place else {
            return None;
        };
        let temporary = disk::temporary(cx, std::path::Path::new(path));
        let there = temporary.symlink_metadata().is_ok();
        there.then(|| format!("{} is left over", temporary.display()))
    }
}

/// Line numbers for people.
pub(super) fn numbers(lines: &[usize]) -> String {
    let mut all: Vec<String> = lines.iter().take(NAMED).map(ToString::to_string).collect();
    if lines.len() > NAMED {
        all.push(phrases::and_more(lines.len() - NAMED));
    }
    let all = crate::text::list(&all);
    if lines.len() == 1 {
        phrases::one_line(all)
    } else {
        phrases::lines(all)
    }
}

/// What the step makes of a crontab.
pub(super) struct Drawn {
    wanted: Vec<u8>,
    pub(super) lines: Vec<usize>,
    already: Vec<usize>,
    /// Of those, what somebody else has made so again.
    pub(super) again: Vec<usize>,
}

pub(super) fn draw(switch: &impl Switch, cx: &Context, former: &[u8]) -> Result<Drawn, Error> {
    let fate = switch.fate(cx, former)?;
    let (mut lines, mut already, mut again) = (Vec::new(), Vec::new(), Vec::new());
    for (at, line) in table::lines(former).enumerate() {
        match fate(line) {
            Fate::Becomes(_) => lines.push(at + 1),
            Fate::Already => already.push(at + 1),
            Fate::Again => {
                already.push(at + 1);
                again.push(at + 1);
            }
            Fate::Other => {}
        }
    }
    let wanted = table::edited(former, |line| match fate(line) {
        Fate::Becomes(new) => Some(new),
        Fate::Already | Fate::Again | Fate::Other => None,
    });
    Ok(Drawn {
        wanted,
        lines,
        already,
        again,
    })
}

/// Looks, and keeps the former bytes.
pub(super) fn observe(switch: &impl Switch, cx: &Context) -> Result<Before, Error> {
    let place = Place::find(cx, switch.user(), switch.file())?;
    let lenient = switch.absent() == NoMatch::Ok;
    let read = place.read(cx)?;
    if read.is_none() && !lenient {
        return Err(Error::new(format!(
            "{place} does not exist; `absent: ok` accepts that"
        )));
    }
    let bytes = read.as_ref().map_or(&b""[..], |(bytes, _)| bytes);
    let drawn = draw(switch, cx, bytes)?;
    if !drawn.lines.is_empty()
        && let Some(why) = place.refusal(bytes)
    {
        return Err(Error::new(why));
    }
    if drawn.lines.is_empty() && drawn.already.is_empty() && !lenient {
        return Err(Error::new(format!(
            "{place}: there are no {}",
            switch.which()
        )));
    }
    cx.show_diff(|| diff(&place, cx, bytes, &drawn.wanted))?;
    let former = read.as_ref();
    Ok(Before {
        former: former
            .map(|(bytes, facts)| Former::keep(cx, bytes, facts.as_ref()))
            .transpose()?,
        place,
        wanted: cx.fingerprint(&mut drawn.wanted.as_slice())?,
        lines: drawn.lines,
        already: drawn.already,
    })
}

fn switching(switch: &impl Switch, found: String) -> Vec<String> {
    let (name, which) = (switch.name(), switch.which());
    let mut lines = vec![if switch.state() == OFF {
        phrases::put_off(name, which, found)
    } else {
        phrases::put_on(name, which, found)
    }];
    lines.extend(switch.wait().map(phrases::wait_for_jobs));
    lines
}

/// What is done, before anything was looked at.
pub(super) fn outline(switch: &impl Switch, direction: Direction) -> Vec<String> {
    match direction {
        Direction::Do => switching(switch, phrases::not_looked_at()),
        Direction::Undo => vec![text::undo_cron()],
    }
}

/// What is done, in lines for people. They are recorded, so no line of the crontab is in them.
pub(super) fn preview(switch: &impl Switch, direction: Direction, before: &Before) -> Preview {
    let commands = match direction {
        Direction::Do => {
            let found = match (&before.former, &*before.lines, &*before.already) {
                (None, ..) => phrases::no_crontab(),
                (Some(_), [], []) => phrases::no_job(),
                (Some(_), [], already) => phrases::already(numbers(already)),
                (Some(_), lines, _) => numbers(lines),
            };
            switching(switch, found)
        }
        Direction::Undo if before.lines.is_empty() => vec![phrases::nothing_changed(&before.place)],
        Direction::Undo => vec![phrases::lines_back(&before.place, numbers(&before.lines))],
    };
    let former = before.former.iter();
    Preview {
        commands,
        findings: Vec::new(),
        kept: former
            .map(|f| (f.content().clone(), before.place.to_string()))
            .collect(),
    }
}

/// The lines that would change now, without what looks like a secret.
fn diff(
    place: &Place,
    cx: &Context,
    former: &[u8],
    wanted: &[u8],
) -> Result<Option<String>, Error> {
    let redactor = cx.redactor()?;
    let shown = |line: &[u8]| mask::line(&redactor.text(&encoding::shown(line)));
    let mut text = String::new();
    let pairs = table::lines(former).zip(table::lines(wanted));
    for (at, (old, new)) in pairs.enumerate().filter(|(_, (old, new))| old != new) {
        let (old, new) = (shown(old), shown(new));
        text.push_str(&format!("{}\n-{old}\n+{new}\n", phrases::hunk(at + 1)));
    }
    let head = format!("--- {place}\n+++ {place}\n");
    Ok((!text.is_empty()).then(|| format!("{head}{text}")))
}

/// The jobs of the step's lines that are at work now.
fn at_work(before: &Before, cx: &Context, former: &[u8]) -> Result<Vec<Running>, Error> {
    let (lines, rest): (Vec<_>, Vec<_>) = table::lines(former)
        .enumerate()
        .map(|(at, line)| (at + 1, line))
        .partition(|(number, _)| before.lines.contains(number) || before.already.contains(number));
    let rest: Vec<Vec<u8>> = rest.into_iter().map(|(_, line)| line.to_vec()).collect();
    let lines: Vec<(usize, Vec<u8>)> = lines
        .into_iter()
        .map(|(number, line)| {
            let job = table::commented(line).map_or(line, |(job, _)| job);
            (number, job.to_vec())
        })
        .collect();
    running::of(cx, &before.place, &lines, &rest)
}

/// Adds what is still at work; with `wait:` that is not done yet.
fn with_jobs(
    switch: &impl Switch,
    before: &Before,
    cx: &Context,
    former: &[u8],
    mut look: Look,
) -> Result<Look, Error> {
    if switch.state() != OFF || look.answer != Answer::Done {
        return Ok(look);
    }
    let jobs = at_work(before, cx, former)?;
    if !jobs.is_empty() {
        look.evidence.push(running::named(
            "a job that started before is still running",
            &jobs,
        ));
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

const EDITED: &str = "the crontab has been edited since it was read; that edit is kept";

/// Waits until the jobs of the lines have ended, where the plan says so.
fn wait<N: Data>(
    switch: &impl Switch,
    work: &mut Work<'_, N>,
    before: &Before,
    former: &[u8],
) -> Result<(), Error> {
    if switch.state() != OFF {
        return Ok(());
    }
    let cx = work.cx();
    let Some(wait) = switch.wait() else {
        let jobs = at_work(before, cx, former)?;
        if !jobs.is_empty() {
            work.log_line(&running::named(
                "a job that started before is still running",
                &jobs,
            ));
        }
        return Ok(());
    };
    let deadline = Instant::now() + Duration::from_millis(wait.0);
    let mut told = Vec::new();
    loop {
        let jobs = at_work(before, cx, former)?;
        if jobs.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Error::new(running::named(
                &format!(
                    "the lines are disabled, but after {wait} a job that started before is still running"
                ),
                &jobs,
            )));
        }
        if jobs != told {
            work.log_line(&running::named("waiting for", &jobs));
            told = jobs;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Whether the lines are as wanted.
pub(super) fn probe(
    switch: &impl Switch,
    cx: &Context,
    before: &Before,
) -> Result<(Look, Option<Switched>), Error> {
    let look = look(switch, cx, before)?;
    let done = look.answer == Answer::Done;
    Ok((look, done.then(|| before.switched())))
}

fn look(switch: &impl Switch, cx: &Context, before: &Before) -> Result<Look, Error> {
    let (place, state) = (&before.place, switch.state());
    let now = place.read(cx)?.map(|(bytes, _)| bytes);
    let former = before.former(cx, now.as_deref())?;
    if before.lines.is_empty() {
        if let Some(now) = &now
            && let Some(others) = others(switch, cx, now)?
        {
            return Ok(Look::unclear(format!("{place}: {others}")));
        }
        let mut look = Look::done(match (&now, before.already.as_slice()) {
            (None, _) => format!("{place} does not exist"),
            (Some(_), []) => format!("{place}: there are no {}", switch.which()),
            (Some(_), lines) => format!("{place}: {} already {state}", numbers(lines)),
        });
        warn(&mut look, again(switch, cx, before, now.as_deref())?);
        return with_jobs(switch, before, cx, &former, look);
    }
    let Some(now) = now else {
        return Ok(Look::unclear(format!(
            "{place} no longer exists, and this step did not remove it"
        )));
    };
    let wanted = before.wanted(switch, cx, &former)?;
    let lines = numbers(&before.lines);
    let look = match Change::new(&former, &wanted).stand(&now) {
        Stand::Former => Look::nothing(format!("{place} is as it was")),
        Stand::Old => {
            let mut look = Look::nothing(format!("{place}: {lines} as before"));
            look.evidence.push(EDITED.into());
            look
        }
        Stand::Wanted => Look::done(format!(
            "{place}: {lines} {state}, every other byte as before ({} bytes)",
            now.len()
        )),
        Stand::New => match others(switch, cx, &now)? {
            Some(others) => Look::unclear(format!("{place}: {lines} {state}, but {others}")),
            None => {
                let mut look = Look::done(format!("{place}: {lines} {state}"));
                look.evidence.push(EDITED.into());
                look
            }
        },
        Stand::Mixed => Look::unclear(format!(
            "{place}: of {lines} some are {state} and some are not: it has been edited"
        )),
        Stand::Lost => Look::unclear(format!(
            "{place}: it has been edited, and the state of {lines} cannot be determined"
        )),
    };
    let mut look = look;
    if look.answer == Answer::Done {
        warn(&mut look, again(switch, cx, before, Some(&now))?);
    }
    with_jobs(switch, before, cx, &former, look)
}

/// Switches the lines.
pub(super) fn perform<N: Data>(
    switch: &impl Switch,
    work: &mut Work<'_, N>,
    before: &Before,
) -> Result<Switched, Error> {
    let (place, state, cx) = (&before.place, switch.state(), work.cx());
    let former = before.former(cx, None)?;
    if !before.lines.is_empty() {
        let Some((now, _)) = place.read(cx)? else {
            return Err(Error::new(format!(
                "{place} no longer exists, and this step did not remove it"
            )));
        };
        let wanted = before.wanted(switch, cx, &former)?;
        let change = Change::new(&former, &wanted);
        let lines = numbers(&before.lines);
        let Some(new) = change.forwards(&now) else {
            return Err(Error::new(format!(
                "{place}: it has been edited since it was read, and the state of {lines} cannot be determined; it \
                 is not changed"
            )));
        };
        if new != now {
            let manner = before.former.as_ref().and_then(|f| f.manner(false));
            place.write(cx, &new, manner)?;
        }
        work.log_line(&format!("{place}: {lines} {state}"));
        if new != wanted {
            work.log_line(EDITED);
        }
    }
    wait(switch, work, before, &former)?;
    Ok(before.switched())
}

/// Gives the crontab back, or where somebody has edited it since, exactly these lines.
pub(super) fn undo<N: Data>(
    switch: &impl Switch,
    work: &mut Work<'_, N>,
    before: &Before,
) -> Result<(), Error> {
    let (place, cx) = (&before.place, work.cx());
    let Some(was) = before.former.as_ref().filter(|_| !before.lines.is_empty()) else {
        work.log_line(&format!("nothing was changed in {place}"));
        return Ok(());
    };
    let former = before.former(cx, None)?;
    let wanted = before.wanted(switch, cx, &former)?;
    let Some((now, facts)) = place.read(cx)? else {
        return Err(Error::new(format!(
            "{place} no longer exists, and this step did not remove it; its previous content is kept"
        )));
    };
    let lines = numbers(&before.lines);
    let new = match Change::new(&former, &wanted).backwards(&now) {
        Some(new) => new,
        None => match unmarked(switch, cx, &now)? {
            Some((new, seen)) => {
                work.log_line(&format!("{place}: {seen}"));
                new
            }
            None => {
                return Err(Error::new(format!(
                    "{place}: it has been edited since, and the state of {lines} cannot be determined; it is not \
                     changed, and its previous content is kept"
                )));
            }
        },
    };
    let whole = new == former;
    if new != now || (whole && !was.is_like(facts.as_ref())) {
        place.refuse_writers()?;
        place.write(cx, &new, was.manner(whole))?;
    }
    if let Place::File(path) = place {
        let path = std::path::Path::new(path);
        disk::remove(&disk::temporary(cx, path))?;
    }
    if whole {
        work.log_line(&format!("{place} is as it was before"));
    } else {
        work.log_line(&format!("{place}: {lines} as before"));
        work.log_line(EDITED);
    }
    Ok(())
}

/// Whether the lines are as before.
pub(super) fn undone(switch: &impl Switch, cx: &Context, before: &Before) -> Result<Look, Error> {
    let place = &before.place;
    let Some(was) = before.former.as_ref().filter(|_| !before.lines.is_empty()) else {
        return Ok(Look::done(format!("nothing was changed in {place}")));
    };
    let Some((now, facts)) = place.read(cx)? else {
        return Ok(Look::unclear(format!(
            "{place} no longer exists, and this step did not remove it"
        )));
    };
    let former = before.former(cx, Some(&now))?;
    let wanted = before.wanted(switch, cx, &former)?;
    let lines = numbers(&before.lines);
    if Change::new(&former, &wanted).stand(&now) == Stand::Lost
        && let Some((new, seen)) = unmarked(switch, cx, &now)?
    {
        let seen = format!("{place}: {seen}");
        return Ok(match new == now {
            true => Look::done(seen),
            false => Look::nothing(seen),
        });
    }
    Ok(match Change::new(&former, &wanted).stand(&now) {
        Stand::Former if !was.is_like(facts.as_ref()) => {
            Look::nothing(format!("{place}: its mode, owner or time is not as before"))
        }
        Stand::Former => match before.left_over(cx) {
            Some(left) => Look::nothing(left),
            None => Look::done(format!(
                "{place} is as before, byte for byte: {} bytes",
                now.len()
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
            "{place}: it has been edited, and the state of {lines} cannot be determined"
        )),
    })
}
