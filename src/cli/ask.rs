//! Commands that append to the ledger while a runner may be active: decide, pause, abort, kill-step, note. They start no
//! process.

use super::code;
use super::complete;
use super::drive;
use super::fail::{Failure, holder_words, no_ledger};
use super::former;
use super::live_state;
use super::out::Out;
use super::printer::print;
use super::show::{RunArg, no_step, pick};
use crate::attempt::job::JobDir;
use crate::clock;
use crate::home::Home;
use crate::journal::{Committed, Journal};
use crate::redact::{Redactor, SHORTEST};
use crate::report::question::{self, answers};
use crate::report::status::decision_word;
use crate::report::{lines, localized, loss, safe, status};
use crate::runner::lock::RunnerLock;
use crate::runner::secrets;
use crate::site::Facts;
use crate::site::env_file;
use crate::site::task::PreparedTask;
use crate::site::{Interruptible, Local};
use crate::text::help;
use crate::text::{commands as text, screen};
use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCandidates;
use serde_json::json;
use upledger_replay::decide::{Asked, Check, Next, Question, Stop, check_of_done, next};
use upledger_replay::event::{
    Answer, Attempt, Decided, Decision, Event, KillRequested, Note as NoteEvent, Reason, TaskKey,
};
use upledger_replay::needs;
use upledger_replay::runs::way_word;
use upledger_replay::state::Run;

/// Maximum attempts of an append while other processes append.
const TRIES: u32 = 20;

/// A run and a reason.
#[derive(Debug, Args)]
pub(crate) struct Because {
    #[command(flatten)]
    run: RunArg,
    #[arg(long, value_name = "TEXT", value_parser = super::said, help = help::reason())]
    reason: String,
}

/// A decision.
#[derive(Debug, Args)]
pub(crate) struct Decide {
    #[arg(help = help::decide_step(), add = ArgValueCandidates::new(complete::steps))]
    step: String,
    #[arg(value_enum, value_name = "done|retry|skip|fail", help = help::decide_decision())]
    decision: Choice,
    #[arg(long, value_name = "TEXT", value_parser = super::said, help = help::reason())]
    reason: String,
    #[arg(long, value_name = "RUN", help = help::decide_run())]
    run: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Choice {
    #[value(help = help::choice_done())]
    Done,
    #[value(help = help::choice_retry())]
    Retry,
    #[value(help = help::choice_skip())]
    Skip,
    #[value(help = help::choice_fail())]
    Fail,
}

/// A remark.
#[derive(Debug, Args)]
pub(crate) struct Note {
    #[arg(value_parser = super::said, help = help::note_text())]
    text: String,
    #[arg(long, value_name = "RUN", help = help::note_run())]
    run: Option<String>,
}

/// The ledger, for writing. Nothing is redacted yet.
pub(crate) fn open_existing(home: &Home) -> Result<Journal, Failure> {
    if !home.state.exists() {
        return Err(no_ledger(home));
    }
    Ok(Journal::open(home)?)
}

/// The ledger, for text typed by an operator. It may contain a secret, but an unavailable secret must not prevent stopping
/// a run.
fn open(home: &Home) -> Result<Journal, Failure> {
    let mut journal = open_existing(home)?;
    let plan = journal.book().default_run().map(|r| &r.plan);
    let mut known = secrets::at_hand(plan.map_or(&[], |p| &p.secrets[..]));
    known.extend(plan.map(|plan| env_file::secrets(plan)).unwrap_or_default());
    known.retain(|(_, value)| value.len() >= SHORTEST);
    if let Ok(redactor) = Redactor::new(&known) {
        journal.redact_with(redactor);
    }
    Ok(journal)
}

/// Appends the event that `event` derives from the current state; derives it again if another process appended first.
fn append(
    out: &mut Out,
    journal: &mut Journal,
    mut event: impl FnMut(&Journal) -> Result<(Option<String>, Event), Failure>,
) -> Result<(), Failure> {
    for _ in 0..TRIES {
        let (run, event) = event(journal)?;
        journal.stage(run.as_deref(), &event).map_err(|e| {
            Failure::of(code::NOT_NOW, "not_now", &e).hint(text::see_with("upledger status"))
        })?;
        if let Committed::Done(entries) = journal.commit()? {
            entries
                .iter()
                .for_each(|e| print(out, e, run.as_deref().and_then(|name| journal.run(name))));
            return Ok(());
        }
    }
    Err(Failure::new(code::HELD, "busy", text::busy()))
}

/// Refused: an ended run can only be rolled back.
pub(crate) fn unended(run: &Run) -> Result<(), Failure> {
    if run.ended.is_none() {
        return Ok(());
    }
    let failure = Failure::new(
        code::NOT_NOW,
        "ended",
        text::has_ended(&run.name, status::word(run, &clock::now()).shown),
    );
    Err(if run.effective() {
        failure.hint(text::reverse_with(format!(
            "upledger rollback {} --reason '...'{}",
            run.name,
            loss::option(run)
        )))
    } else {
        failure
    })
}

pub(crate) fn note(out: &mut Out, home: &Home, args: &Note) -> Result<u8, Failure> {
    let mut journal = open(home)?;
    append(out, &mut journal, |journal| {
        let run = match &args.run {
            Some(name) => Some(pick(journal.book(), Some(name))?.name.clone()),
            None => journal.book().open().map(|r| r.name.clone()),
        };
        Ok((
            run,
            Event::NoteAdded(NoteEvent {
                text: args.text.clone(),
            }),
        ))
    })?;
    Ok(code::DONE)
}

pub(crate) fn pause(out: &mut Out, home: &Home, args: &Because) -> Result<u8, Failure> {
    let mut journal = open(home)?;
    // The run is already paused: a second event would suggest that it was paused twice.
    let run = pick(journal.book(), args.run.name())?;
    unended(run)?;
    if let (None, Some(reason)) = (run.ended, &run.pause) {
        let reason = safe(&localized::reason(reason));
        out.word(&text::paused_already(&run.name, reason));
        out.word(&screen::go_on_with("upledger resume"));
        if out.json {
            out.result(
                json!({"recorded": false, "next": ["upledger resume"]}),
                code::DONE,
            );
        }
        return Ok(code::DONE);
    }
    append(out, &mut journal, |journal| {
        let run = pick(journal.book(), args.run.name())?;
        Ok((
            Some(run.name.clone()),
            Event::PauseRequested(Reason {
                reason: args.reason.clone(),
            }),
        ))
    })?;
    Ok(code::DONE)
}

pub(crate) fn abort(out: &mut Out, home: &Home, args: &Because) -> Result<u8, Failure> {
    let mut journal = open(home)?;
    let mut name = String::new();
    append(out, &mut journal, |journal| {
        let run = pick(journal.book(), args.run.name())?;
        unended(run)?;
        name.clone_from(&run.name);
        Ok((
            Some(run.name.clone()),
            Event::AbortRequested(Reason {
                reason: args.reason.clone(),
            }),
        ))
    })?;
    // Without a runner, this process must end the run.
    drive::conclude(out, home, journal, &name)
}

pub(crate) fn kill_step(out: &mut Out, home: &Home, args: &Because) -> Result<u8, Failure> {
    let mut journal = open(home)?;
    let mut job = None;
    append(out, &mut journal, |journal| {
        let run = pick(journal.book(), args.run.name())?;
        let part = run.open().ok_or_else(|| {
            Failure::new(code::NOT_NOW, "not_now", text::no_step_runs())
                .hint(text::see_with("upledger status"))
        })?;
        let state = run.part(&part).cloned().unwrap_or_default();
        let nonce = state.started.map(|s| s.nonce).unwrap_or_default();
        let name = JobDir::name(
            &run.name,
            &part.step,
            &part.target,
            way_word(part.way),
            state.attempts,
            &nonce,
        );
        job = Some(JobDir::at(home.jobs().join(name)));
        let at = Attempt {
            part,
            attempt: state.attempts,
        };
        Ok((
            Some(run.name.clone()),
            Event::KillRequested(KillRequested {
                at,
                reason: args.reason.clone(),
            }),
        ))
    })?;
    if let Some(job) = job {
        // The supervisor repeats it in files of its own.
        job.request_kill(&journal.redact(&args.reason))
            .map_err(|e| Failure::of(code::UNWRITABLE, "job_directory", &e))?;
        let run = pick(journal.book(), args.run.name())?;
        for line in live_state::await_kill(home, run) {
            out.word(&line);
        }
    }
    Ok(code::DONE)
}

pub(crate) fn decide(out: &mut Out, home: &Home, args: &Decide) -> Result<u8, Failure> {
    let mut journal = open(home)?;
    let decision = match args.decision {
        Choice::Done => Decision::Done,
        Choice::Retry => Decision::Retry,
        Choice::Skip => Decision::Skip,
        Choice::Fail => Decision::Fail,
    };
    append(out, &mut journal, |journal| {
        let now = pick(journal.book(), args.run.as_deref())?;
        // A decision can be replaced until it is carried out.
        let before = now.before_decision(&args.step);
        let run = before.as_ref().unwrap_or(now);
        let question = asked(home, run, &args.step)?;
        former::continuable(journal, run, "upledger status")?;
        if !question.answers.contains(&decision) {
            return Err(no_answer(run, &question, decision));
        }
        let part = question.part;
        let (evidence, produced) = if decision == Decision::Done {
            agreed(home, journal, run, &part).map_err(|failure| match now.standing_decision() {
                Some((_, before)) => failure.hint(text::former_stands(decision_word(before))),
                None => failure.hint(text::see_with("upledger status")),
            })?
        } else {
            (Vec::new(), None)
        };
        let event = Event::StepDecided(Decided {
            part,
            decision,
            reason: args.reason.clone(),
            evidence,
            produced,
        });
        Ok((Some(run.name.clone()), event))
    })?;
    out.progress(&text::decision_recorded(decision_word(decision)));
    let run = pick(journal.book(), args.run.as_deref())?;
    let commands = match next(run, &clock::now()) {
        // A failure that only an operator can settle: a resume would only ask again. Each answer replaces the decision.
        Next::Ask(question) => {
            out.progress(&match question.kind {
                Asked::Stuck => text::undo_fails_and_stops(),
                Asked::Failed => text::fails_and_stops(),
                Asked::Doubt | Asked::Losses | Asked::NoReturn => text::asks_next(),
            });
            let now = live_state::now(home, run, false);
            let lines = question::lines(run, &question, &now);
            lines.iter().for_each(|line| out.progress(line));
            answers(run, &question).into_iter().map(|a| a.0).collect()
        }
        Next::Record(event) if matches!(*event, Event::RollbackStarted(_)) => {
            out.progress(&text::fails_and_turns("upledger resume"));
            out.progress(&text::replaced_until_then());
            vec!["upledger resume".to_owned()]
        }
        _ => {
            out.progress(&screen::go_on_with("upledger resume"));
            out.progress(&text::replaced_until_then());
            vec!["upledger resume".to_owned()]
        }
    };
    if out.json {
        let result = json!({"decided": decision_word(decision), "next": commands});
        out.result(result, code::DONE);
    }
    Ok(code::DONE)
}

fn no_answer(run: &Run, question: &Question, decision: Decision) -> Failure {
    let part = lines::part_of(Some(run), &question.part);
    let what = if decision == Decision::Fail && question.kind == Asked::Failed {
        text::failed_already(part)
    } else {
        text::no_answer(decision_word(decision), part)
    };
    let mut failure = Failure::new(code::NOT_NOW, "not_now", what).hint(screen::answer_with());
    for (command, _) in answers(run, question) {
        failure = failure.hint(format!("  {command}"));
    }
    failure
}

/// The question about that step.
fn asked(home: &Home, run: &Run, step: &str) -> Result<Question, Failure> {
    if run.step_named(step).is_none() {
        return Err(no_step(run, step));
    }
    match next(run, &clock::now()) {
        Next::Ask(q) if q.part.step == step => Ok(q),
        Next::Ask(q) => Err(Failure::new(
            code::NOT_NOW,
            "not_now",
            text::asked_about(&q.part.step, safe(step)),
        )
        .hint(text::see_with("upledger status"))),
        Next::Resolve(_) if let Some(holder) = RunnerLock::holder(&home.state) => {
            Err(Failure::new(
                code::NOT_NOW,
                "not_now",
                text::still_at_work(safe(&holder_words(&holder))),
            )
            .hint(text::wait_or_end("upledger kill-step --reason '...'")))
        }
        Next::Resolve(_) => Err(
            Failure::new(code::NOT_NOW, "not_now", text::not_looked_at())
                .hint(text::find_out_with("upledger resume")),
        ),
        // A pause hides the question, if there is one.
        Next::Stop(Stop::Paused(_)) => Err(Failure::new(
            code::NOT_NOW,
            "not_now",
            text::paused_first("upledger resume"),
        )),
        Next::Probe(_) | Next::Start(_) | Next::Record(_) => {
            Err(
                Failure::new(code::NOT_NOW, "not_now", text::nothing_asked())
                    .hint(screen::go_on_with("upledger resume")),
            )
        }
        Next::Stop(_) | Next::End(_) => {
            Err(
                Failure::new(code::NOT_NOW, "not_now", text::nothing_asked())
                    .hint(text::see_with("upledger status")),
            )
        }
    }
}

/// `done` counts only when the step's own check agrees, where it has one.
fn agreed(
    home: &Home,
    journal: &Journal,
    run: &Run,
    part: &TaskKey,
) -> Result<(Vec<String>, Option<serde_json::Value>), Failure> {
    let step = run.step_named(&part.step);
    let needed = step.map(|step| needs::of_way(&run.plan, step, part.way));
    let needed = needed.unwrap_or_default();
    let (known, _) = secrets::read_needed(&run.plan.secrets, &needed)
        .map_err(|e| Failure::of(code::WAITING, "secret", &e))?;
    let _looks = Interruptible::new().map_err(|e| Failure::of(code::USAGE, "system", &e))?;
    let site = Local::new(&home.state);
    let task = PreparedTask::new(&site, &run.name, &run.plan, part, Facts::Of(run), &known)
        .map_err(|e| Failure::of(code::NOT_NOW, "not_now", &e))?
        .after(journal.book());
    let past = PreparedTask::past(run, part);
    let blobs = journal.salts(&past);
    let (look, produced) = match check_of_done(run, part) {
        Check::Verify => (task.verify(&site.moment(), &past, &blobs), None),
        Check::Probe => task.probe(&site.moment(), &past, &blobs),
    };
    if look.answer == Answer::Done {
        return Ok((look.evidence, produced.filter(|p| !p.is_null())));
    }
    let mut failure = Failure::new(
        code::NOT_NOW,
        "evidence_disagrees",
        text::check_disagrees(lines::part_of(Some(run), part)),
    );
    for line in &look.evidence {
        failure = failure.hint(format!("| {}", safe(line)));
    }
    Err(failure)
}
