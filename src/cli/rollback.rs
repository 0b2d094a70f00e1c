//! The command rollback: what would be undone, and the rollback itself.

use super::drive::{Means, hold, refused, stage_and_drive};
use super::fail::{Failure, unread};
use super::out::Out;
use super::show::{self, RunArg, no_step, pick};
use super::{ask, code, complete, former};
use crate::clock;
use crate::forecast::rollback as forecast;
use crate::home::{Home, identity};
use crate::journal::Journal;
use crate::report::{loss, safe};
use crate::runner::lock::RunnerLock;
use crate::runner::secrets;
use crate::site::{Interruptible, env_file, heard};
use crate::text::{commands as text, help};
use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::retry_on_intr;
use signal_hook::consts::SIGINT;
use std::io::{self, BufRead, IsTerminal, Stdin, Write};
use std::os::unix::net::UnixStream;
use upledger_replay::contract;
use upledger_replay::decide::{Asked, Next, next};
use upledger_replay::event::{Direction, Event, RollbackStarted, own};
use upledger_replay::runs::NoRollback;
use upledger_replay::state::{Ended, Run as RunState, Status, Task};

/// A rollback.
#[derive(Debug, Args)]
pub(crate) struct Rollback {
    #[command(flatten)]
    run: RunArg,
    #[arg(long, value_name = "STEP", help = help::rollback_to(), add = ArgValueCandidates::new(complete::steps))]
    to: Option<String>,
    #[arg(long, help = help::rollback_plan())]
    plan: bool,
    #[arg(long, value_name = "TEXT", value_parser = super::said, help = help::rollback_reason())]
    reason: Option<String>,
    #[arg(long, help = help::accept_data_loss())]
    accept_data_loss: bool,
}

impl Rollback {
    /// The run that it applies to.
    fn of<'a>(&self, journal: &'a Journal) -> Result<&'a RunState, Failure> {
        let run = match self.run.name() {
            Some(name) => pick(journal.book(), Some(name)).map_err(|e| a_step(e, journal, name))?,
            None => newest(journal)?,
        };
        if run.ended == Some(Ended::RolledBack) {
            return Err(rolled_back(run));
        }
        if let Some(newer) = journal.book().effective_after(&run.name) {
            let failure = Failure::new(code::NOT_NOW, "not_now", text::newer_first(&newer.name));
            return Err(failure.hint(text::newer_with(format!(
                "upledger rollback {} --reason '...'{}",
                newer.name,
                loss::option(newer)
            ))));
        }
        match &self.to {
            Some(to) if run.step_named(to).is_none() => Err(no_step(run, to)),
            Some(_) | None => Ok(run),
        }
    }

    /// A rollback to a step behind which nothing is to be undone is a mistake; `then` is the run as it would stand.
    fn has_something(&self, then: &RunState) -> Result<(), Failure> {
        match &self.to {
            Some(to) if then.to_undo().next().is_none() => Err(Failure::new(
                code::NOT_NOW,
                "not_now",
                text::nothing_behind(to),
            )),
            Some(to) => match half_undone(then, to) {
                None => Ok(()),
                Some(step) => Err(
                    Failure::new(code::NOT_NOW, "not_now", text::half_undone(step))
                        .hint(text::see_with("upledger status")),
                ),
            },
            None => Ok(()),
        }
    }

    /// Refuses a rollback that the run, as it stands now, does not allow.
    fn is_possible(&self, journal: &mut Journal, name: &str) -> Result<(), Failure> {
        self.accepts_loss(self.of(journal)?)?;
        let former = journal
            .supposing(name, &self.event(), |book| {
                let Some(then) = book.run(name) else {
                    return Ok::<_, Failure>(Ok(()));
                };
                self.has_something(then)?;
                Ok(contract::continuable(then, former::same))
            })
            .map_err(|e| refused(&e))??;
        former.map_err(|step| {
            let command = format!("upledger rollback {name} --reason '...'");
            former::refusal(journal, name, &step, &command)
        })
    }

    /// What users have written is discarded only where the command says so.
    fn accepts_loss(&self, run: &RunState) -> Result<(), Failure> {
        let Some(window) = run.loss_window(self.to.as_deref()) else {
            return Ok(());
        };
        if self.accept_data_loss {
            return Ok(());
        }
        let command = format!("upledger rollback {}{}", run.name, self.to_flag());
        Err(Failure::usage(loss::sentence(&window))
            .hint(text::look_first(format!("{command} --plan")))
            .hint(text::accept_loss_with(format!(
                "{command} --reason '...' --accept-data-loss"
            ))))
    }

    fn to_flag(&self) -> String {
        let to = self.to.as_ref().map(|to| format!(" --to {to}"));
        to.unwrap_or_default()
    }

    /// The same command, as it is typed again.
    fn again(&self, name: &str) -> String {
        let mut command = format!("upledger rollback {name}{}", self.to_flag());
        if self.reason.is_some() {
            command.push_str(" --reason '...'");
        }
        if self.accept_data_loss {
            command.push_str(" --accept-data-loss");
        }
        command
    }

    fn event(&self) -> Event {
        Event::RollbackStarted(RollbackStarted {
            to: self.to.clone(),
            reason: self.reason.clone().unwrap_or_else(|| own::OPERATOR.into()),
            // A preview shows what it would be.
            accept_data_loss: self.accept_data_loss || self.plan,
            looks_again: true,
        })
    }
}

/// A step that would stay although its undo has begun: neither the step nor the state before it is there.
fn half_undone<'a>(run: &'a RunState, to: &str) -> Option<&'a str> {
    let kept = run.units_of(to).first()?.index;
    let begun = [
        Status::Failed,
        Status::InDoubt,
        Status::Ready,
        Status::Running,
    ];
    let half = |unit: &&Task| {
        unit.index <= kept && unit.backward.touched && begun.contains(&unit.backward.status)
    };
    run.units().iter().find(half).map(|unit| unit.step.as_str())
}

pub(crate) fn rollback(out: &mut Out, home: &Home, args: &Rollback) -> Result<u8, Failure> {
    if args.plan {
        return preview(out, home, args);
    }
    let mut journal = ask::open_existing(home)?;
    let name = args.of(&journal)?.name.clone();
    let event = args.event();
    // Checked before anybody is asked and before the secrets are read: a refused rollback needs neither.
    args.is_possible(&mut journal, &name)?;
    let run = pick(journal.book(), Some(&name))?;
    let completed = run.ended == Some(Ended::Completed);
    if completed {
        confirm(out, run, args)?;
    }
    out.background();
    let lock = RunnerLock::take(&home.state, &identity(home))
        .map_err(|e| Failure::from(e).hint(text::pause_first()))?;
    let lock = hold(&mut journal, lock);
    journal.refresh()?;
    // Whoever held the lock may have gone on meanwhile.
    args.is_possible(&mut journal, &name)?;
    let run = pick(journal.book(), Some(&name))?;
    // It may have completed while its runner was waited for.
    if run.ended == Some(Ended::Completed) && !completed {
        confirm(out, run, args)?;
    }
    let doubt = match next(run, &clock::now()) {
        Next::Ask(q) if q.kind == Asked::Doubt && q.part.way == Direction::Do => Some(q.part.step),
        _ => None,
    };
    let means = Means::after(out, home, &mut journal, &name, &event, &args.again(&name))?;
    if let Some(step) = doubt {
        out.progress(&text::doubt_left(safe(&step)));
    }
    let done = stage_and_drive(out, home, journal, &name, &event, means);
    drop(lock);
    done
}

/// A completed run is what users work with: to undo it needs a reason, and at a terminal the name of the run.
fn confirm(out: &mut Out, run: &RunState, args: &Rollback) -> Result<(), Failure> {
    if args.reason.is_none() {
        let command = format!("upledger rollback {}{}", run.name, args.to_flag());
        return Err(Failure::usage(text::completed_needs_reason(&run.name))
            .hint(format!("{command} --reason '...'"))
            .hint(text::look_first(format!("{command} --plan"))));
    }
    let terminal = std::io::stdin();
    if out.json || !terminal.is_terminal() {
        return Ok(());
    }
    let mut screen = std::io::stderr();
    match answer(&terminal, &text::type_the_name(&run.name)) {
        Ok(Some(line)) if line.trim() == run.name => Ok(()),
        Ok(None) => {
            // Behind the ^C of the terminal.
            let _ = writeln!(screen);
            Err(Failure::usage(text::not_confirmed(&run.name)))
        }
        Ok(Some(_)) | Err(_) => Err(Failure::usage(text::not_the_name(&run.name))),
    }
}

/// The line that is typed as the answer to a question; none where it is broken off with Ctrl-C.
fn answer(terminal: &Stdin, question: &str) -> io::Result<Option<String>> {
    let (interrupted, tell) = UnixStream::pair()?;
    let registered = match heard(&[SIGINT])?.is_empty() {
        true => None,
        false => Some(signal_hook::low_level::pipe::register(SIGINT, tell)?),
    };
    // Once Ctrl-C is caught: whoever sees the question may press it.
    let mut screen = io::stderr();
    write!(screen, "{question} ").and_then(|()| screen.flush())?;
    let mut fds = [
        PollFd::new(terminal, PollFlags::IN),
        PollFd::new(&interrupted, PollFlags::IN),
    ];
    let polled = retry_on_intr(|| poll(&mut fds, None));
    let broken_off = !fds[1].revents().is_empty() && registered.is_some();
    registered.map(signal_hook::low_level::unregister);
    polled?;
    if broken_off {
        return Ok(None);
    }
    let mut line = String::new();
    terminal.lock().read_line(&mut line)?;
    Ok(Some(line))
}

/// Shows what a rollback would do.
fn preview(out: &mut Out, home: &Home, args: &Rollback) -> Result<u8, Failure> {
    let mut journal = show::read(out, home)?;
    let now = args.of(&journal)?;
    let name = now.name.clone();
    let window = now.loss_window(args.to.as_deref());
    let lost = window.map(|window| loss::sentence(&window));
    // One that goes back already, and rests, is shown as it is.
    let goes_back = now.way == Direction::Undo && now.ended.is_none();
    let then = match goes_back && args.to.is_none() {
        true => Some(now.clone()),
        false => journal
            .supposing(&name, &args.event(), |book| book.run(&name).cloned())
            .map_err(|e| refused(&e))?,
    };
    let run = match &then {
        Some(run) => run,
        None => pick(journal.book(), Some(&name))?,
    };
    args.has_something(run)?;
    let (mut known, missing) = secrets::readable(&run.plan.secrets);
    let missing: Vec<(String, String)> = (missing.into_iter())
        .map(|m| (m.name, unread(&m.why)))
        .collect();
    known.extend(env_file::secrets(&run.plan));
    let looks = Interruptible::new().map_err(|e| Failure::of(code::USAGE, "system", &e))?;
    let salts = |past: &_| journal.salts(past);
    let secrets = forecast::Secrets {
        known: &known,
        missing: &missing,
    };
    let steps = forecast::rollback(run, &home.state, salts, secrets);
    drop(looks);
    let barred = forecast::is_barred(&steps);
    let code = if barred { code::REFUSED } else { code::DONE };
    if out.json {
        let mut value = forecast::value(run, &steps);
        if let Some(value) = value.as_object_mut() {
            value.insert("data_loss".into(), lost.into());
        }
        out.result(value, code);
        return Ok(code);
    }
    let mut lines = forecast::lines(run, &steps);
    if let Some(lost) = &lost {
        lines.push(String::new());
        lines.push(lost.clone());
    }
    out.lines(&lines);
    if goes_back && args.to.is_none() {
        let asks = matches!(next(run, &clock::now()), Next::Ask(_));
        out.progress(&text::next(match asks {
            true => "upledger status",
            false => "upledger resume",
        }));
        return Ok(code);
    }
    let to = args.to_flag();
    if barred {
        out.progress(&text::look_again(format!(
            "upledger rollback {name}{to} --plan"
        )));
        return Ok(code);
    }
    let accept = match lost {
        Some(_) => " --accept-data-loss",
        None => "",
    };
    out.progress(&text::next(format!(
        "upledger rollback {name}{to} --reason '...'{accept}"
    )));
    Ok(code::DONE)
}

/// No run has that name; where a step of the last one has it, that is what was meant.
fn a_step(failure: Failure, journal: &Journal, name: &str) -> Failure {
    match journal.book().default_run() {
        Some(run) if run.step_named(name).is_some() => {
            let command = format!("upledger rollback --to {name} --reason '...'");
            failure.hint(text::is_a_step(command))
        }
        Some(_) | None => failure,
    }
}

/// The run that a rollback without a name applies to.
fn newest(journal: &Journal) -> Result<&RunState, Failure> {
    let failure = match journal.book().to_roll_back() {
        Ok(run) => return Ok(run),
        Err(NoRollback::NoRun) => {
            return Err(Failure::new(
                code::NOT_NOW,
                "no_run",
                text::no_run_to_roll_back(),
            ));
        }
        Err(NoRollback::RolledBack(run)) => rolled_back(run),
        Err(NoRollback::NothingDone(run)) => {
            let what = text::nothing_to_roll_back(&run.name);
            Failure::new(code::NOT_NOW, "not_now", what)
        }
    };
    Err(match journal.book().effective() {
        Some(before) => failure.hint(text::name_the_one_before(format!(
            "upledger rollback {} --reason '...'",
            before.name
        ))),
        None => failure,
    })
}

/// Refused: it is already rolled back, and nothing more can be undone.
fn rolled_back(run: &RunState) -> Failure {
    let left: Vec<&str> = run.passed_over().map(|u| u.step.as_str()).collect();
    if left.is_empty() {
        let what = text::already_rolled_back(&run.name);
        return Failure::new(code::NOT_NOW, "not_now", what);
    }
    let what = text::rolled_back_without(&run.name, crate::text::list(&left));
    Failure::new(code::NOT_NOW, "not_now", what)
        .hint(text::put_right_by_hand("upledger note '...'"))
}
