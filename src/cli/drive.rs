//! Commands that execute a run: run and resume here, rollback beside. They take the runner's lock, run the loop, and print the state in
//! which it stopped.

use super::fail::{Failure, unread};
use super::live_state;
use super::out::Out;
use super::printer::{Expected, Printer, print};
use super::show::{RunArg, pick};
use super::{ask, code, former, literal, plans, system};
use crate::attempt::scope;
use crate::clock;
use crate::forecast;
use crate::home::{Home, identity};
use crate::journal::{Committed, Journal};
use crate::plan::Warning;
use crate::redact::Redactor;
use crate::report::paint::Tone;
use crate::report::{question, safe, status};
use crate::runner::lock::{LockError, RunnerLock};
use crate::runner::{Rest, Runner, RunnerError, secrets};
use crate::site::Interruptible;
use crate::site::env_file;
use crate::text::help;
use crate::text::{commands as text, english, screen};
use clap::Args;
use serde_json::json;
use std::error::Error;
use std::path::{Path, PathBuf};
use tokio::runtime::Runtime;
use upledger_replay::decide::{self, Asked, Conclusion, Next, Request, Stop, next};
use upledger_replay::event::{CONTRACT, Event, Note, Reason, RunPlanned, own};
use upledger_replay::needs;
use upledger_replay::plan::Plan;
use upledger_replay::state::{Ended, Run as RunState};

/// Tries to become the runner that ends an aborted run, a quarter of a second each.
const TRIES: u32 = 4;

/// A new run.
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[arg(help = help::run_plan())]
    plan: PathBuf,
    #[arg(long, requires = "reason", help = help::run_force())]
    force: bool,
    #[arg(long, value_name = "TEXT", value_parser = super::said, requires = "force", help = help::run_reason())]
    reason: Option<String>,
    #[command(flatten)]
    vars: plans::Vars,
}

/// What a runner needs. It is acquired before anything is recorded, so that nothing is recorded if it is unavailable.
pub(super) struct Means {
    secrets: Vec<(String, String)>,
    redactor: Redactor,
    runtime: Runtime,
}

impl Means {
    /// For a run in the state after that event; refuses one that the state does not allow, before any secret is read.
    pub(super) fn after(
        out: &mut Out,
        home: &Home,
        journal: &mut Journal,
        name: &str,
        event: &Event,
        again: &str,
    ) -> Result<Self, Failure> {
        journal
            .supposing(name, event, |book| {
                Self::of(out, home, pick(book, Some(name))?, again)
            })
            .map_err(|e| refused(&e))?
    }

    /// For a run in the state `run`: with the secrets that its remaining steps use. `again` is the command to be given once
    /// what is missing is there.
    fn of(out: &mut Out, home: &Home, run: &RunState, again: &str) -> Result<Self, Failure> {
        let missing = |e: &(dyn Error + 'static)| {
            let failure = Failure::of(code::WAITING, "secret", e);
            if run.open().is_some() {
                failure.hint(text::step_goes_on(again))
            } else {
                failure.hint(text::nothing_started(again))
            }
        };
        system::check_jobs(home)?;
        if scope::manager().is_err() {
            out.progress(&Tone::Asks.lead(&screen::warning(crate::text::plan::no_scope())));
        }
        let (secrets, without) = secrets::read_needed(&run.plan.secrets, &needs::secrets(run))
            .map_err(|e| missing(&e))?;
        for secret in without {
            out.progress(&text::secret_not_needed(
                safe(&secret.name),
                safe(&unread(&secret.why)),
            ));
        }
        let mut secrets = secrets;
        secrets.extend(env_file::secrets(&run.plan));
        Ok(Self {
            redactor: Redactor::new(&secrets).map_err(|e| missing(&e))?,
            secrets,
            runtime: system::runtime()?,
        })
    }
}

pub(crate) fn run(out: &mut Out, home: &Home, args: &Run) -> Result<u8, Failure> {
    let checked = args.vars.load(out, &args.plan)?;
    // Read secrets first, so that a run that cannot start is not opened.
    let (known, redactor) = known_secrets(&checked.plan)?;
    let looks = Interruptible::new().map_err(|e| Failure::of(code::USAGE, "system", &e))?;
    let mut tell = |steps: &[String]| out.still_checks(steps);
    let mut judged = || forecast::certain_to_fail(&checked.plan, &known, &mut tell);
    // What is overridden is recorded.
    let failing = if args.force {
        english(&mut judged)
    } else {
        judged()
    };
    let failing = failing.map_err(|e| Failure::of(code::USAGE, "system", &e))?;
    drop(looks);
    crate::system::memory::give_the_rest_back();
    if !failing.is_empty() && !args.force {
        let failure = Failure::new(
            code::REFUSED,
            "would_fail",
            forecast::failing_words(failing.len()),
        );
        let failure = failing.iter().fold(failure, |failure, (step, why)| {
            failure.hint(text::about(safe(step), safe(why)))
        });
        let again = args.vars.command("run", &args.plan);
        let forced = text::force_with(format!("{again} --force --reason '...'"));
        return Err(failure.hint(forced));
    }
    let forced = args.reason.as_ref().map(|reason| forced(reason, &failing));
    let runtime = system::runtime()?;
    out.background();
    let mut journal = Journal::create_or_open(home)?;
    let lock = hold(
        &mut journal,
        RunnerLock::take(&home.state, &identity(home))?,
    );
    system::check_jobs(home)?;
    journal.redact_with(redactor.clone());
    let called = called(&checked.plan, &args.plan);
    let mut warnings = checked.warnings;
    if let Some(weak) = journal.ledger().place().weak_fs() {
        let say = || crate::text::plan::weak_filesystem(weak.name());
        warnings.push(Warning::anywhere(say));
    }
    if scope::manager().is_err() {
        warnings.push(Warning::anywhere(crate::text::plan::no_scope));
    }
    let planned = Event::RunPlanned(RunPlanned {
        digest: checked.digest,
        plan: checked.plan.into(),
        warnings: warnings.iter().map(|w| w.recorded.clone()).collect(),
        contract: CONTRACT,
        given: checked.given,
    });
    let name = loop {
        if let Some(open) = journal.book().open() {
            let first = match next(open, &clock::now()) {
                Next::Ask(_) => text::answer_first("upledger status"),
                _ => text::go_on("upledger resume"),
            };
            return Err(
                Failure::new(code::WAITING, "open_run", text::open_run(&open.name))
                    .hint(first)
                    .hint(text::or_end("upledger abort --reason '...'")),
            );
        }
        let date = chrono::Local::now().format("%Y%m%d").to_string();
        let name = journal.book().new_name(&called, &date);
        for warning in &warnings {
            out.progress(&plans::warning(&args.plan, warning));
        }
        journal
            .stage(Some(&name), &planned)
            .map_err(|e| Failure::of(code::NOT_NOW, "not_now", &e))?;
        if let Some(forced) = &forced {
            journal
                .stage(Some(&name), forced)
                .map_err(|e| Failure::of(code::NOT_NOW, "not_now", &e))?;
        }
        if let Committed::Done(entries) = journal.commit()? {
            entries.iter().for_each(|e| print(out, e, None));
            break name;
        }
    };
    let means = Means {
        secrets: known,
        redactor,
        runtime,
    };
    let done = drive(out, home, journal, &name, means);
    drop(lock);
    done
}

/// The secrets of a plan, which does not hold the value of one.
pub(super) fn known_secrets(plan: &Plan) -> Result<(Vec<(String, String)>, Redactor), Failure> {
    let refused = |e: &(dyn Error + 'static)| Failure::of(code::REFUSED, "secret", e);
    let mut known = secrets::read(&plan.secrets).map_err(|e| refused(&e))?;
    known.extend(env_file::secrets(plan));
    let redactor = Redactor::new(&known).map_err(|e| refused(&e))?;
    if let Some((name, at)) = literal::find(plan, &known).map_err(|e| refused(&e))? {
        return Err(Failure::new(
            code::REFUSED,
            "literal_secret",
            text::literal_secret(safe(&name), safe(&at)),
        )
        .hint(text::literal_secret_hint(safe(&name))));
    }
    Ok((known, redactor))
}

/// That an operator starts a run in spite of what the preview found, as it is recorded.
fn forced(reason: &str, failing: &[(String, String)]) -> Event {
    let failing = failing.iter().map(|(step, why)| format!("{step}: {why}"));
    let found: Vec<String> = failing.collect();
    let text = match found.as_slice() {
        [] => format!("{}{reason}", own::FORCED),
        found => format!(
            "{}{reason}{}{}",
            own::FORCED,
            own::OVERRIDDEN,
            found.join("; ")
        ),
    };
    Event::NoteAdded(Note { text })
}

/// What a run is named after. Names of runs stand in paths and are typed into shells, so they are ASCII: where that
/// leaves nothing of the plan's name to read, the change or the file is in front of it.
fn called(plan: &Plan, file: &Path) -> String {
    if plan.name.chars().any(|c| c.is_ascii_alphabetic()) {
        return plan.name.clone();
    }
    let change = plan.change.as_ref().map(|c| c.id.as_str());
    let stem = file.file_stem().and_then(|s| s.to_str());
    let readable = |t: &&str| t.chars().any(|c| c.is_ascii_alphanumeric());
    match change.filter(readable).or(stem.filter(readable)) {
        Some(first) => format!("{first} {}", plan.name),
        None => plan.name.clone(),
    }
}

pub(crate) fn resume(out: &mut Out, home: &Home, args: &RunArg) -> Result<u8, Failure> {
    let mut journal = ask::open_existing(home)?;
    out.background();
    let lock = hold(
        &mut journal,
        RunnerLock::take(&home.state, &identity(home))?,
    );
    let run = pick(journal.book(), args.name())?;
    let name = run.name.clone();
    ask::unended(run)?;
    former::continuable(&journal, run, "upledger resume")?;
    // A pending question remains until there is a decision; a resume that changes nothing records nothing.
    if let Next::Ask(question) = next(run, &clock::now()) {
        let code = code_of_question(question.kind);
        let now = live_state::now(home, run, false);
        if out.json {
            out.result(status::value(run, &now), code);
        } else {
            out.lines(&question::lines(run, &question, &now));
        }
        return Ok(code);
    }
    let reason = if run.open().is_some() {
        own::LEFT_OPEN
    } else {
        own::GO_ON
    };
    let event = Event::RunResumed(Reason {
        reason: reason.into(),
    });
    let means = Means::after(out, home, &mut journal, &name, &event, "upledger resume")?;
    let done = stage_and_drive(out, home, journal, &name, &event, means);
    drop(lock);
    done
}

pub(super) fn refused(error: &(dyn Error + 'static)) -> Failure {
    Failure::of(code::NOT_NOW, "not_now", error).hint(text::see_with("upledger status"))
}

/// Appends only as long as the lock is this process's.
pub(super) fn hold(journal: &mut Journal, lock: RunnerLock) -> RunnerLock {
    let held = lock.clone();
    journal.only_while(Box::new(move || held.check()));
    lock
}

/// Ends a run for which an abort is recorded, unless somebody else does. Only an open attempt needs the secrets for it.
pub(crate) fn conclude(
    out: &mut Out,
    home: &Home,
    mut journal: Journal,
    name: &str,
) -> Result<u8, Failure> {
    out.background();
    let mut tries = 0;
    let lock = loop {
        match RunnerLock::take(&home.state, &identity(home)) {
            Ok(lock) => break Some(hold(&mut journal, lock)),
            Err(LockError::Held(_)) => {}
            Err(e) => return Err(e.into()),
        }
        journal.refresh()?;
        tries += 1;
        if journal.run(name).is_none_or(|r| r.ended.is_some()) {
            break None;
        }
        if tries >= TRIES {
            out.word(&text::runner_ends_it());
            return Ok(code::DONE);
        }
    };
    let mut ours = false;
    loop {
        journal.refresh()?;
        let run = pick(journal.book(), Some(name))?;
        let now = clock::now();
        match decide::conclusion(run, Request::Abort, &now) {
            Conclusion::Record(event) => {
                journal.stage(Some(name), &event).map_err(|e| refused(&e))?;
                if let Committed::Done(entries) = journal.commit()? {
                    entries.iter().for_each(|e| print(out, e, None));
                    ours = true;
                }
            }
            Conclusion::Rests => {
                let rest = Rest::of(next(run, &now)).filter(|_| ours || run.ended.is_none());
                let Some(rest) = rest else {
                    out.word(&text::has_ended(name, status::word(run, &now).shown));
                    return Ok(code::DONE);
                };
                drop(lock);
                return rests(out, home, &journal, name, &rest);
            }
            Conclusion::Drive => {
                let means = Means::of(out, home, run, "upledger resume")?;
                return drive(out, home, journal, name, means);
            }
        }
    }
}

pub(super) fn stage_and_drive(
    out: &mut Out,
    home: &Home,
    mut journal: Journal,
    name: &str,
    event: &Event,
    means: Means,
) -> Result<u8, Failure> {
    journal.redact_with(means.redactor.clone());
    loop {
        journal.stage(Some(name), event).map_err(|e| refused(&e))?;
        if let Committed::Done(entries) = journal.commit()? {
            entries.iter().for_each(|e| print(out, e, None));
            return drive(out, home, journal, name, means);
        }
    }
}

/// How long the steps of a run took before, here, under a plan of the same name.
pub(super) fn expected(journal: &Journal, name: &str) -> Expected {
    let book = journal.book();
    let Some(run) = book.run(name) else {
        return Expected::new();
    };
    let steps = run.plan.steps();
    steps
        .filter_map(|(_, step)| {
            Some((
                step.id.clone(),
                forecast::took(book, &run.plan, &step.id)?.0,
            ))
        })
        .collect()
}

/// Runs the loop until it stops, and prints how it stopped.
fn drive(
    out: &mut Out,
    home: &Home,
    journal: Journal,
    name: &str,
    means: Means,
) -> Result<u8, Failure> {
    let Means {
        secrets, runtime, ..
    } = means;
    let expected = expected(&journal, name);
    let mut printer = Printer::new(out, expected);
    let driven = runtime.block_on(async {
        let mut runner = Runner::new(home, journal, name, secrets, &mut printer)?;
        let rest = runner.drive().await?;
        Ok::<_, RunnerError>((rest, runner.into_journal()))
    });
    printer.flush();
    let (rest, journal) = driven?;
    rests(out, home, &journal, name, &rest)
}

/// Prints how a run stopped.
pub(super) fn rests(
    out: &mut Out,
    home: &Home,
    journal: &Journal,
    name: &str,
    rest: &Rest,
) -> Result<u8, Failure> {
    let run = pick(journal.book(), Some(name))?;
    let now = live_state::now(home, run, false);
    let code = match rest {
        Rest::Ended(Ended::Completed) => code::DONE,
        Rest::Ended(Ended::RolledBack) => code::ROLLED_BACK,
        Rest::Ended(Ended::Aborted) => code::ABORTED,
        Rest::Asked(question) => {
            out.progress("");
            for line in question::lines(run, question, &now) {
                out.word(&line);
            }
            code_of_question(question.kind)
        }
        Rest::Stopped(stop) => {
            for line in status::stop_lines(run, stop) {
                out.word(&line);
            }
            match stop {
                Stop::Paused(_) => code::WAITING,
                Stop::RolledBackTo(_) => code::ROLLED_BACK,
            }
        }
        Rest::Detached => {
            out.word(&screen::is_detached());
            out.word(&screen::take_over_with("upledger resume"));
            code::DETACHED
        }
    };
    for line in status::end_lines(run) {
        out.word(&line);
    }
    if out.json {
        let mut value = status::value(run, &now);
        if matches!(rest, Rest::Detached) {
            value["next"] = json!(["upledger resume"]);
        }
        out.result(value, code);
    } else if run.ended.is_some() {
        if out.quiet {
            out.line(&screen::run_rests(
                name,
                status::word(run, &clock::now()).shown,
            ));
        }
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
