//! `watch`: shows a run that another process executes, on the same screen. Read-only.

use super::code;
use super::drive::{expected, rests};
use super::fail::{Failure, holder_words};
use super::live_state;
use super::out::Out;
use super::printer::Printer;
use super::show::{RunArg, pick, read};
use crate::attempt::job::JobDir;
use crate::attempt::output::Follower;
use crate::clock;
use crate::home::Home;
use crate::journal::Journal;
use crate::report::now::deserted_lines;
use crate::report::{safe, status};
use crate::runner::lock::RunnerLock;
use crate::runner::{Rest, Watcher};
use crate::text::screen;
use std::time::Duration;
use upledger_replay::decide::next;
use upledger_replay::event::Attempt;
use upledger_replay::runs::way_word;
use upledger_replay::state::Run;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// Number of polls between two checks for a runner, because the runner may be changing.
const PATIENCE: u32 = 10;

pub(crate) fn watch(out: &mut Out, home: &Home, args: &RunArg) -> Result<u8, Failure> {
    let mut journal = read(out, home)?;
    let run = pick(journal.book(), args.name())?;
    let name = run.name.clone();
    let live = RunnerLock::holder(&home.state).is_some();
    if !out.json {
        status::lines(run, &live_state::now(home, run, live), Out::columns())
            .iter()
            .for_each(|l| out.progress(l));
        out.progress("");
        introduce(out, home, run);
    }
    out.background();
    let expected = expected(&journal, &name);
    let mut printer = Printer::watching(out, expected);
    let rest = print_new_events(&mut printer, home, &mut journal, &name)?;
    printer.flush();
    match rest {
        Some(rest) => rests(out, home, &journal, &name, &rest),
        None => decided(out, home, pick(journal.book(), Some(&name))?),
    }
}

/// Who executes the run, and what can be done from here.
fn introduce(out: &mut Out, home: &Home, run: &Run) {
    if run.ended.is_some() {
        return;
    }
    if let Some(holder) = RunnerLock::holder(&home.state) {
        out.progress(&screen::driven_by(safe(&holder_words(&holder))));
        out.progress(&screen::from_here());
        out.progress("");
    }
}

/// A decision is recorded, and nobody is there who carries it out.
fn decided(out: &mut Out, home: &Home, run: &Run) -> Result<u8, Failure> {
    let now = live_state::now(home, run, false);
    if out.json {
        out.result(status::value(run, &now), code::WAITING);
    } else {
        out.lines(&deserted_lines(run, &now));
    }
    Ok(code::WAITING)
}

/// Shows events until the run stops; none if it waits for a `resume` that carries a decision out.
fn print_new_events(
    printer: &mut Printer<'_>,
    home: &Home,
    journal: &mut Journal,
    name: &str,
) -> Result<Option<Rest>, Failure> {
    let mut shown: Option<(Attempt, Follower)> = None;
    let mut alone = 0;
    loop {
        let entries = journal.refresh()?;
        let run = pick(journal.book(), Some(name))?;
        let of_it: Vec<_> = entries
            .into_iter()
            .filter(|e| e.run.as_deref() == Some(name))
            .collect();
        if let Some((at, output)) = &mut shown {
            let new = output.read().unwrap_or_default();
            if !new.is_empty() {
                printer.output(run, at, &new);
            }
        }
        printer.entries(run, &of_it);
        if let Some(rest) = Rest::of(next(run, &clock::now())) {
            return Ok(Some(rest));
        }
        if let Some(at) = run.open_attempt()
            && shown.as_ref().is_none_or(|(of, _)| *of != at)
        {
            let output = output(home, run, &at);
            shown = Some((at, output));
        }
        let held = RunnerLock::holder(&home.state).is_some();
        alone = if held { 0 } else { alone + 1 };
        if alone >= PATIENCE && run.standing_decision().is_some() {
            return Ok(None);
        }
        if alone == PATIENCE {
            printer.print_line(&screen::nobody_drives("upledger resume"));
        }
        std::thread::sleep(LOOK);
    }
}

fn output(home: &Home, run: &Run, at: &Attempt) -> Follower {
    let part = run.part(&at.part).and_then(|p| p.started.as_ref());
    let nonce = part.map_or("", |s| &s.nonce);
    let way = way_word(at.part.way);
    let name = JobDir::name(
        &run.name,
        &at.part.step,
        &at.part.target,
        way,
        at.attempt,
        nonce,
    );
    Follower::new(home.jobs().join(name).join("output"))
}
