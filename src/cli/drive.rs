//! Commands that drive a run: run, resume, rollback. They take the runner's lock, let the loop go, and say how it rests.

use super::ask;
use super::code;
use super::complete;
use super::fail::Failure;
use super::out::Out;
use super::show::{RunArg, pick};
use crate::home::{Home, identity};
use crate::journal::{Committed, Entry, Journal};
use crate::plan::load;
use crate::redact::Redactor;
use crate::report::{lines, safe, status};
use crate::runner::lock::RunnerLock;
use crate::runner::{Rest, Runner, Watcher, secrets};
use crate::text::help;
use crate::text::{commands as text, screen};
use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use serde_json::json;
use std::path::PathBuf;
use upledger_replay::decide::{Asked, Next, Stop, next};
use upledger_replay::event::{Attempt, Event, Reason, RollbackStarted, RunPlanned};
use upledger_replay::state::{Ended, Run as RunState};

/// A new run.
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[arg(help = help::run_plan())]
    plan: PathBuf,
}

/// The way back.
#[derive(Debug, Args)]
pub(crate) struct Rollback {
    #[command(flatten)]
    run: RunArg,
    #[arg(long, value_name = "STEP", help = help::rollback_to(), add = ArgValueCandidates::new(complete::steps))]
    to: Option<String>,
    #[arg(long, value_name = "TEXT", default_value = "asked for by the operator", help = help::reason())]
    reason: String,
}

/// Prints what has become durable.
struct Printer<'a> {
    out: &'a mut Out,
}

impl Watcher for Printer<'_> {
    fn entries(&mut self, _run: &RunState, entries: &[Entry]) {
        for entry in entries {
            if self.out.json {
                self.out.value(&lines::value(entry));
            } else if let Some(line) = lines::line(entry) {
                self.out.progress(&line);
            }
        }
    }

    fn output(&mut self, _run: &RunState, at: &Attempt, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        if self.out.json {
            self.out
                .value(&json!({"output": text, "step": at.part.step, "attempt": at.attempt}));
            return;
        }
        for line in text.lines() {
            self.out.progress(&format!("          | {}", safe(line)));
        }
    }
}

pub(crate) fn run(out: &mut Out, home: &Home, args: &Run) -> Result<u8, Failure> {
    let checked = load::load(&args.plan).map_err(|e| super::plans::refused(out, &e))?;
    // Secrets first: a run that cannot start is not opened.
    let known = secrets::read(&checked.plan.secrets)
        .map_err(|e| Failure::of(code::REFUSED, "secret", &e))?;
    let redactor = Redactor::new(&known).map_err(|e| Failure::of(code::REFUSED, "secret", &e))?;
    let text = serde_json::to_string(&checked.plan).unwrap_or_default();
    if redactor.text(&text) != text {
        return Err(
            Failure::new(code::REFUSED, "literal_secret", text::literal_secret())
                .hint(text::literal_secret_hint()),
        );
    }
    let mut journal = Journal::create_or_open(home)?;
    let _lock = RunnerLock::take(&home.state, &identity().actor)?;
    journal.redact_with(redactor);
    let name = loop {
        if let Some(open) = journal.book().open() {
            return Err(
                Failure::new(code::WAITING, "open_run", text::open_run(&open.name))
                    .hint(text::go_on("upledger resume"))
                    .hint(text::or_end("upledger abort --reason '...'")),
            );
        }
        let date = chrono::Local::now().format("%Y%m%d").to_string();
        let name = journal.book().new_name(&checked.plan.name, &date);
        let mut warnings = checked.warnings.clone();
        if let Some(weak) = journal.ledger().place().weak_fs() {
            // Recorded, and so in English.
            warnings.push(format!(
                "the ledger lies on {}, which may not survive a power loss",
                weak.name()
            ));
        }
        for warning in &warnings {
            out.progress(&screen::warning(safe(warning)));
        }
        let planned = Event::RunPlanned(RunPlanned {
            digest: checked.digest.clone(),
            plan: checked.plan.clone(),
            warnings,
        });
        journal
            .stage(Some(&name), &planned)
            .map_err(|e| Failure::of(code::NOT_NOW, "not_now", &e))?;
        journal.checkpoint();
        if let Committed::Done(entries) = journal.commit()? {
            if let Some(run) = journal.run(&name) {
                Printer { out }.entries(run, &entries);
            }
            break name;
        }
    };
    out.progress(&screen::run_is(&name));
    drive(out, home, journal, &name)
}

pub(crate) fn resume(out: &mut Out, home: &Home, args: &RunArg) -> Result<u8, Failure> {
    let journal = ask::open(home)?;
    let lock = RunnerLock::take(&home.state, &identity().actor)?;
    let run = pick(journal.book(), args.name())?;
    let name = run.name.clone();
    if run.ended.is_some() {
        return Err(Failure::new(
            code::NOT_NOW,
            "ended",
            text::has_ended(&name, status::word(run).shown),
        ));
    }
    // A question stays one until somebody decides; a resume that changes nothing records nothing.
    if let Next::Ask(question) = next(run) {
        out.lines(&status::question_lines(run, &question));
        return Ok(code_of_question(question.kind));
    }
    let reason = if run.open().is_some() {
        "an attempt was left open"
    } else {
        "go on"
    };
    let event = Event::RunResumed(Reason {
        reason: reason.into(),
    });
    let done = stage_and_drive(out, home, journal, &name, &event);
    drop(lock);
    done
}

pub(crate) fn rollback(out: &mut Out, home: &Home, args: &Rollback) -> Result<u8, Failure> {
    let journal = ask::open(home)?;
    let lock = RunnerLock::take(&home.state, &identity().actor)?;
    let run = match args.run.name() {
        Some(name) => pick(journal.book(), Some(name))?,
        None => journal
            .book()
            .effective()
            .ok_or_else(|| Failure::new(code::NOT_NOW, "no_run", text::no_run_to_roll_back()))?,
    };
    let name = run.name.clone();
    let event = Event::RollbackStarted(RollbackStarted {
        to: args.to.clone(),
        reason: args.reason.clone(),
    });
    let done = stage_and_drive(out, home, journal, &name, &event);
    drop(lock);
    done
}

/// Ends a run for which an abort is recorded and which has no runner.
pub(crate) fn conclude(out: &mut Out, home: &Home, name: &str) -> Result<u8, Failure> {
    let journal = ask::open(home)?;
    let _lock = RunnerLock::take(&home.state, &identity().actor)?;
    drive(out, home, journal, name)
}

fn stage_and_drive(
    out: &mut Out,
    home: &Home,
    mut journal: Journal,
    name: &str,
    event: &Event,
) -> Result<u8, Failure> {
    loop {
        journal.stage(Some(name), event).map_err(|e| {
            Failure::of(code::NOT_NOW, "not_now", &e).hint(text::see_with("upledger status"))
        })?;
        if let Committed::Done(entries) = journal.commit()? {
            if let Some(run) = journal.run(name) {
                Printer { out }.entries(run, &entries);
            }
            return drive(out, home, journal, name);
        }
    }
}

/// Lets the loop go until it rests, and says how it rests.
fn drive(out: &mut Out, home: &Home, journal: Journal, name: &str) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::of(code::USAGE, "system", &e))?;
    let mut printer = Printer { out };
    let (rest, journal) = runtime.block_on(async {
        let mut runner = Runner::new(home, journal, name, &mut printer)?;
        let rest = runner.drive().await?;
        Ok::<_, crate::runner::RunnerError>((rest, runner.into_journal()))
    })?;
    // A look that still blocks has no effect: it is not waited for.
    runtime.shutdown_background();
    let run = pick(journal.book(), Some(name))?;
    let code = match rest {
        Rest::Ended(Ended::Completed) => code::DONE,
        Rest::Ended(Ended::RolledBack) => code::ROLLED_BACK,
        Rest::Ended(Ended::Aborted) => code::ABORTED,
        Rest::Asked(question) => {
            if !out.json {
                out.line("");
                out.lines(&status::question_lines(run, &question));
            }
            code_of_question(question.kind)
        }
        Rest::Stopped(Stop::Paused(reason)) => {
            out.progress(&screen::is_paused(safe(&reason)));
            out.progress(&screen::go_on_with("upledger resume"));
            code::WAITING
        }
        Rest::Stopped(Stop::RolledBackTo(step)) => {
            out.progress(&screen::is_rolled_back_to(step));
            out.progress(&screen::forwards_with("upledger resume"));
            code::ROLLED_BACK
        }
        Rest::Detached => {
            out.progress(&screen::is_detached());
            out.progress(&screen::take_over_with("upledger resume"));
            code::DETACHED
        }
    };
    if out.json {
        let mut value = status::value(run, false);
        value["exit"] = json!(code);
        out.value(&value);
    } else if run.ended.is_some() {
        let head = journal.ledger().head();
        out.progress(&screen::ledger_head(head.seq, head.hash));
    }
    Ok(code)
}

fn code_of_question(kind: Asked) -> u8 {
    match kind {
        Asked::Doubt | Asked::Losses => code::WAITING,
        Asked::Failed => code::FAILED,
        Asked::Stuck | Asked::NoReturn => code::STUCK,
    }
}
