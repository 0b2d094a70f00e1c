//! Commands that only read: status, runs, log, replay.

use super::cause;
use super::code;
use super::complete;
use super::fail::{Failure, holder_words, no_ledger};
use super::line_buffer::LineBuffer;
use super::live_state;
use super::out::Out;
use super::system;
use crate::attempt::job::JobDir;
use crate::attempt::output::Follower;
use crate::compliance;
use crate::home::Home;
use crate::journal::{Entry, Journal};
use crate::plan::did_you_mean;
use crate::report::now::{self, Now};
use crate::report::paint::Tone;
use crate::report::{duration, lines, local_date, local_time, safe, status, table, whole_ms};
use crate::runner::lock::RunnerLock;
use crate::text::help;
use crate::text::{commands as text, english, screen};
use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use serde_json::{Value, json};
use std::mem::ManuallyDrop;
use std::time::Duration;
use upledger_replay::event::{Attempt, Direction, Event};
use upledger_replay::runs::{Runs, way_word};
use upledger_replay::state::{Run, Status};

/// Steps that are listed where one was not found.
const LISTED: usize = 20;

/// A run, or the newest.
#[derive(Debug, Args)]
pub(crate) struct RunArg {
    #[arg(help = help::run(), add = ArgValueCandidates::new(complete::runs))]
    run: Option<String>,
}

impl RunArg {
    pub(crate) fn name(&self) -> Option<&str> {
        self.run.as_deref()
    }
}

/// Events, or a step's output.
#[derive(Debug, Args)]
pub(crate) struct Log {
    #[arg(help = help::log_run(), add = ArgValueCandidates::new(complete::runs))]
    run: Option<String>,
    #[arg(long, short, help = help::log_follow())]
    follow: bool,
    #[arg(long, value_name = "STEP", help = help::log_output(), add = ArgValueCandidates::new(complete::steps))]
    output: Option<String>,
}

/// The state at an event.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    #[arg(help = help::replay_run(), add = ArgValueCandidates::new(complete::runs))]
    run: Option<String>,
    #[arg(long, value_name = "SEQ", help = help::replay_at())]
    at: Option<u64>,
}

/// The ledger, for reading.
pub(crate) fn read(out: &mut Out, home: &Home) -> Result<Journal, Failure> {
    if !home.state.exists() {
        return Err(no_ledger(home));
    }
    let journal = Journal::read(home)?;
    if let Some(kept) = journal.ledger().copied_from() {
        let text = safe(&text::is_a_copy(&kept.path));
        out.error(&Tone::Asks.lead(&screen::warning(text)));
    }
    if let Some(why) = journal.ledger().unread_memory() {
        out.error(&screen::warning(safe(&crate::text::causes(&cause::words(
            why,
        )))));
    }
    Ok(journal)
}

/// The run of that name, or the one that is meant without a name.
pub(crate) fn pick<'a>(book: &'a Runs, name: Option<&str>) -> Result<&'a Run, Failure> {
    match name {
        Some(name) => book.run(name).ok_or_else(|| {
            Failure::new(code::USAGE, "no_run", text::no_run(safe(name)))
                .hint(text::list_with("upledger runs"))
        }),
        None => book.default_run().ok_or_else(|| {
            Failure::new(code::NOT_NOW, "no_run", text::no_run_yet())
                .hint(text::start_with("upledger run PLAN"))
        }),
    }
}

/// Refused: the run has no step of that name.
pub(crate) fn no_step(run: &Run, step: &str) -> Failure {
    let names: Vec<&str> = run.plan.steps().map(|(_, s)| s.id.as_str()).collect();
    let listed = || match names.get(..LISTED) {
        Some(first) => format!("{}, ...", crate::text::list(first)),
        None => crate::text::list(&names),
    };
    Failure::new(code::USAGE, "no_step", text::no_step(&run.name, safe(step))).hint(
        did_you_mean(step, names.iter().copied()).unwrap_or_else(|| text::steps_are(listed())),
    )
}

/// The ledger, and whether a runner was active before or after it was read: a run is not without one because it came or
/// went meanwhile.
pub(crate) fn read_with_runner(out: &mut Out, home: &Home) -> Result<(Journal, bool), Failure> {
    let lives = || RunnerLock::holder(&home.state).is_some();
    let before = lives();
    let journal = read(out, home)?;
    Ok((journal, before || lives()))
}

pub(crate) fn status(out: &mut Out, home: &Home, args: &RunArg) -> Result<u8, Failure> {
    // The process ends with this command: to take the state of ten thousand steps apart first would be for nothing.
    let journal = ManuallyDrop::new(read(out, home)?);
    let run = pick(journal.book(), args.name())?;
    let holder = RunnerLock::holder(&home.state);
    let live = holder.is_some();
    let now = live_state::now(home, run, live);
    if out.json {
        out.result(status::value(run, &now), code::DONE);
        return Ok(code::DONE);
    }
    out.lines(&status::lines(run, &now, Out::columns()));
    if let Some(holder) = holder.filter(|_| run.ended.is_none()) {
        out.line("");
        out.line(&screen::driven_by(safe(&holder_words(&holder))));
    }
    Ok(code::DONE)
}

pub(crate) fn runs(out: &mut Out, home: &Home) -> Result<u8, Failure> {
    let (journal, live) = read_with_runner(out, home)?;
    let runs = &journal.book().runs;
    if out.json {
        let entries = journal.entries(None)?;
        let lines = english(|| compliance::lines(runs.iter(), entries));
        let mut lines = lines.into_iter().peekable();
        for run in runs {
            let now = live_state::now(home, run, live && run.ended.is_none());
            let mut value = status::value(run, &now);
            if let Some(line) = lines.next_if(|line| line.run == run.name) {
                add(&mut value, json!(line));
            }
            out.value(&value);
        }
        return Ok(code::DONE);
    }
    if runs.is_empty() {
        out.progress(&screen::no_runs());
        return Ok(code::DONE);
    }
    let head = [
        screen::run(),
        screen::began(),
        screen::state(),
        screen::steps_done(),
        screen::took(),
        screen::plan(),
    ];
    let rows = runs.iter().map(|run| row(run, live));
    let rows: Vec<Vec<String>> = std::iter::once(head.to_vec()).chain(rows).collect();
    out.lines(&table(&rows));
    Ok(code::DONE)
}

/// Adds what an object says more.
fn add(value: &mut Value, more: Value) {
    if let (Value::Object(value), Value::Object(more)) = (value, more) {
        for (key, said) in more {
            value.entry(key).or_insert(said);
        }
    }
}

/// A run in columns: name, start, state, steps that are done of all, duration, plan.
fn row(run: &Run, live: bool) -> Vec<String> {
    let at = &run.planned_at.ts;
    let units = run.units();
    let done = units
        .iter()
        .filter(|u| matches!(u.forward.status, Status::Satisfied | Status::Succeeded));
    let took = run.ended.and_then(|_| whole_ms(at, &run.last.ts));
    vec![
        run.name.clone(),
        format!("{} {}", local_date(at), local_time(at)),
        status::shown(run, &Now::of_runner(live)),
        format!("{}/{}", done.count(), units.len()),
        took.map_or("-".into(), duration),
        about(run),
    ]
}

/// The plan's name, and a decision that waits for a resume.
fn about(run: &Run) -> String {
    let name = safe(&run.plan.name);
    match now::decision_clause(run) {
        Some(decision) => screen::plan_and_decision(name, decision),
        None => name,
    }
}

pub(crate) fn log(out: &mut Out, home: &Home, args: &Log) -> Result<u8, Failure> {
    let mut journal = read(out, home)?;
    if let Some(step) = &args.output {
        return output(out, home, &journal, args, step);
    }
    if let Some(name) = &args.run {
        pick(journal.book(), Some(name))?;
    }
    let run = args.run.as_deref();
    let mut entries = journal.entries(run)?;
    let mut date = String::new();
    loop {
        for entry in &entries {
            if run.is_some() && entry.run.as_deref() != run {
                continue;
            }
            if out.json {
                out.value(&lines::value(entry));
                continue;
            }
            // Show every number: a gap would look like a missing event.
            let today = local_date(&entry.when.ts);
            if today != date {
                out.line(&today);
                date = today;
            }
            let of = entry.run.as_ref().and_then(|name| journal.run(name));
            out.line(&format!(
                "{:>5}  {}",
                entry.when.seq,
                lines::any_line(entry, of)
            ));
        }
        if !args.follow {
            return Ok(code::DONE);
        }
        std::thread::sleep(Duration::from_millis(300));
        entries = journal.refresh()?;
    }
}

/// What every attempt of a step printed, oldest first.
fn output(
    out: &mut Out,
    home: &Home,
    journal: &Journal,
    args: &Log,
    step: &str,
) -> Result<u8, Failure> {
    let run = pick(journal.book(), args.run.as_deref())?;
    let Some(unit) = run.units_of(step).first() else {
        return Err(no_step(run, step));
    };
    system::check_jobs(home)?;
    let mut last: Option<(Follower, LineBuffer, Attempt)> = None;
    let entries = journal.entries(Some(&run.name))?;
    // A single attempt needs no heading.
    let several = unit.forward.attempts + unit.backward.attempts > 1;
    for entry in &entries {
        if let Event::StepStarted(s) = &entry.event
            && s.at.part.step == step
        {
            let name = JobDir::name(
                &run.name,
                step,
                &s.at.part.target,
                way_word(s.at.part.way),
                s.at.attempt,
                &s.nonce,
            );
            if let Some((_, mut before, at)) = last.take() {
                print_output(out, &at, before.rest());
            }
            let at = &s.at;
            if several {
                let time = local_time(&entry.when.ts);
                out.progress(&screen::output_of(lines::part(&at.part), at.attempt, time));
            }
            let path = home.jobs().join(name).join("output");
            let mut lines = LineBuffer::default();
            if !path.exists()
                && let Some(kept) = in_ledger(journal, &entries, at)
            {
                print_output(out, at, lines.add(&kept));
            }
            let mut follower = Follower::new(path);
            copy(out, at, &mut follower, &mut lines)?;
            last = Some((follower, lines, at.clone()));
        }
    }
    if last.is_none() {
        let status = status::status_word(unit.forward.status).shown;
        out.progress(&screen::printed_nothing(step, &run.name, status));
    }
    let running = [Direction::Do, Direction::Undo]
        .into_iter()
        .any(|w| unit.part(w).status == Status::Running);
    if let Some((mut follower, mut lines, at)) = last {
        while args.follow && running && RunnerLock::holder(&home.state).is_some() {
            std::thread::sleep(Duration::from_millis(200));
            copy(out, &at, &mut follower, &mut lines)?;
        }
        print_output(out, &at, lines.rest());
    }
    Ok(code::DONE)
}

/// What an attempt printed, where it was short enough for the ledger.
fn in_ledger(journal: &Journal, entries: &[Entry], at: &Attempt) -> Option<Vec<u8>> {
    let printed = entries.iter().find_map(|entry| match &entry.event {
        Event::StepSucceeded(s) if s.at == *at => s.printed.as_ref(),
        Event::StepFailed(f) if f.at == *at => f.printed.as_ref(),
        _ => None,
    })?;
    journal.ledger().blob(printed.sha256.parse().ok()?).ok()
}

fn copy(
    out: &mut Out,
    at: &Attempt,
    follower: &mut Follower,
    lines: &mut LineBuffer,
) -> Result<(), Failure> {
    loop {
        let bytes = follower
            .read()
            .map_err(|e| Failure::of(code::USAGE, "output", &e))?;
        if bytes.is_empty() {
            return Ok(());
        }
        print_output(out, at, lines.add(&bytes));
    }
}

fn print_output(out: &mut Out, at: &Attempt, text: Option<String>) {
    let Some(text) = text else { return };
    if out.json {
        let way = way_word(at.part.way);
        out.value(
            &json!({"output": text, "step": at.part.step, "way": way, "attempt": at.attempt}),
        );
    } else {
        let shown: Vec<String> = text.split('\n').map(safe).collect();
        out.raw(shown.join("\n").as_bytes());
    }
}

pub(crate) fn replay(out: &mut Out, home: &Home, args: &Replay) -> Result<u8, Failure> {
    let journal = read(out, home)?;
    let last = journal.ledger().head().seq;
    if let Some(at) = args.at
        && at > last
    {
        return Err(Failure::usage(text::last_event(last)));
    }
    let book = journal.fold(args.at)?;
    let run = pick(&book, args.run.as_deref())?;
    if out.json {
        out.result(status::value(run, &Now::then(run)), code::DONE);
    } else {
        out.progress(&screen::as_of(args.at.unwrap_or(last)));
        out.progress("");
        let now = Now {
            live: true,
            ..Now::then(run)
        };
        out.lines(&status::lines(run, &now, Out::columns()));
    }
    Ok(code::DONE)
}
