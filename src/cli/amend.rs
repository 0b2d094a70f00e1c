//! The command amend: another plan in the place of the run's own, for steps that have not succeeded.

use super::drive::{hold, known_secrets, refused};
use super::fail::Failure;
use super::out::Out;
use super::plans::{self, Vars};
use super::printer::print;
use super::show::pick;
use super::{ask, code, former};
use crate::clock;
use crate::forecast::{self, Forecast, amendment};
use crate::home::{Home, identity};
use crate::journal::{Committed, Journal};
use crate::plan::Checked;
use crate::report::safe;
use crate::runner::lock::RunnerLock;
use crate::site::Facts;
use crate::site::task::PreparedTask;
use crate::site::{Interruptible, Local};
use crate::text::{commands as text, help};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use upledger_replay::amend::NotAmendable;
use upledger_replay::decide::{Next, next};
use upledger_replay::event::{Answer, Attempt, Direction, Event, Probed, RunAmended};
use upledger_replay::plan::Plan;
use upledger_replay::state::{Run, Status};

/// A plan that takes the place of another.
#[derive(Debug, Args)]
pub(crate) struct Amend {
    #[arg(help = help::run_plan())]
    plan: PathBuf,
    #[arg(long, value_name = "TEXT", value_parser = super::said, required_unless_present = "preview", help = help::reason())]
    reason: Option<String>,
    #[arg(long = "plan", help = help::amend_plan())]
    preview: bool,
    #[command(flatten)]
    vars: Vars,
}

pub(crate) fn amend(out: &mut Out, home: &Home, args: &Amend) -> Result<u8, Failure> {
    let mut journal = ask::open_existing(home)?;
    let lock = RunnerLock::take(&home.state, &identity(home))
        .map_err(|e| Failure::from(e).hint(text::pause_to_amend()))?;
    let lock = hold(&mut journal, lock);
    journal.refresh()?;
    let run = pick(journal.book(), None)?;
    ask::unended(run)?;
    former::continuable(&journal, run, "upledger amend")?;
    let checked = args.vars.load_for(out, &args.plan, run)?;
    // All secrets of the run are secrets of this plan, too.
    let (known, redactor) = known_secrets(&checked.plan)?;
    let looks = Interruptible::new().map_err(|e| Failure::of(code::USAGE, "system", &e))?;
    let probed = probed(home, &journal, run, &checked.plan, &known)?;
    let mut then = run.clone();
    for event in &probed {
        let when = then.last.clone();
        then.apply(event, &when).map_err(|e| refused(&e))?;
    }
    then.amendable(&checked.plan)
        .map_err(|why| not_amended(run, &checked.plan, &why))?;
    journal.redact_with(redactor.clone());
    let name = then.name.clone();
    for warning in &checked.warnings {
        out.progress(&plans::warning(&args.plan, warning));
    }
    if then.digest == checked.digest {
        return Err(Failure::new(
            code::NOT_NOW,
            "not_now",
            text::same_plan(&name),
        ));
    }
    let changes = then.changes(&checked.plan);
    let steps: Vec<String> = changes.iter().map(|c| c.step().to_owned()).collect();
    let mut shown: Vec<String> = kept(&checked).into_iter().collect();
    shown.extend(amendment::lines(&then.plan, &checked.plan, &changes));
    let forecast = forecast(out, &then, &checked.plan, &steps, &known)?;
    drop(looks);
    if !forecast.is_empty() {
        shown.push(text::would_then());
        shown.extend(forecast::of_steps(&forecast));
    }
    let shown: Vec<String> = shown.iter().map(|line| redactor.text(line)).collect();
    if args.preview {
        return Ok(previewed(
            out,
            &name,
            &checked.digest,
            &steps,
            &shown,
            &forecast,
        ));
    }
    let amended = Event::RunAmended(RunAmended {
        digest: checked.digest.clone(),
        steps: steps.clone(),
        warnings: (checked.warnings.iter())
            .map(|w| w.recorded.clone())
            .collect(),
        reason: args.reason.clone().unwrap_or_default(),
        plan: checked.plan.into(),
        given: checked.given,
    });
    loop {
        for event in probed.iter().chain([&amended]) {
            journal.stage(Some(&name), event).map_err(|e| refused(&e))?;
        }
        if let Committed::Done(entries) = journal.commit()? {
            if !out.json {
                out.lines(&shown);
            }
            entries.iter().for_each(|e| print(out, e, None));
            break;
        }
    }
    drop(lock);
    let asks = matches!(
        next(pick(journal.book(), Some(&name))?, &clock::now()),
        Next::Ask(_)
    );
    let command = match asks {
        true => "upledger status",
        false => "upledger resume",
    };
    if out.json {
        let result =
            json!({"run": name, "digest": checked.digest, "steps": steps, "next": [command]});
        out.result(result, code::DONE);
    } else {
        out.progress(&text::next(command));
    }
    Ok(code::DONE)
}

/// The variables that have the value of the run, in one line.
fn kept(checked: &Checked) -> Option<String> {
    let vars = checked.plan.vars.iter();
    let kept = vars.filter(|v| checked.kept.contains(&v.key));
    let kept: Vec<String> = kept
        .map(|v| format!("{}={}", safe(&v.key), safe(&v.value)))
        .collect();
    (!kept.is_empty()).then(|| text::vars_of_run(crate::text::list(&kept)))
}

/// Shows what an amendment would change.
fn previewed(
    out: &mut Out,
    name: &str,
    digest: &str,
    steps: &[String],
    shown: &[String],
    forecast: &[Forecast],
) -> u8 {
    if out.json {
        let result = json!({
            "run": name, "digest": digest, "steps": steps, "forecast": forecast::value(forecast),
        });
        out.result(result, code::DONE);
    } else {
        out.lines(shown);
        out.progress(&text::nothing_amended());
    }
    code::DONE
}

/// What its own look says of each failed step that changes: one that had no effect may get any definition.
fn probed(
    home: &Home,
    journal: &Journal,
    run: &Run,
    plan: &Plan,
    secrets: &[(String, String)],
) -> Result<Vec<Event>, Failure> {
    let mut events = Vec::new();
    for change in run.changes(plan) {
        for unit in run.units_of(change.step()) {
            let part = &unit.forward;
            let failed = part.status == Status::Failed && part.touched && part.attempts > 0;
            if !failed || !run.traits(unit, Direction::Do).has_probe {
                continue;
            }
            let key = unit.key(Direction::Do);
            let site = Local::new(&home.state);
            let task =
                PreparedTask::new(&site, &run.name, &run.plan, &key, Facts::Of(run), secrets)
                    .map_err(|e| Failure::of(code::NOT_NOW, "not_now", &e))?;
            let past = PreparedTask::past(run, &key);
            let blobs = journal.salts(&past);
            let (look, produced) = task.probe(&site.moment(), &past, &blobs);
            // What it found done, or cannot tell, is for the question about the step.
            if look.answer == Answer::Nothing {
                events.push(Event::StepProbed(Probed {
                    at: Attempt {
                        part: key,
                        attempt: part.attempts,
                    },
                    answer: look.answer,
                    evidence: look.evidence,
                    produced: produced.filter(|p| !p.is_null()),
                }));
            }
        }
    }
    Ok(events)
}

/// What the changed steps would do now, with the steps around them that are yet to come.
fn forecast(
    out: &mut Out,
    run: &Run,
    plan: &Plan,
    changed: &[String],
    secrets: &[(String, String)],
) -> Result<Vec<Forecast>, Failure> {
    let settled = |id: &str| {
        let units = run.units_of(id);
        !units.is_empty() && units.iter().all(|u| u.forward.settled())
    };
    let mut ahead = plan.clone();
    for phase in &mut ahead.phases {
        phase.steps.retain(|step| !settled(&step.id));
    }
    let mut tell = |steps: &[String]| out.still_checks(steps);
    let mut steps = forecast::forecast(&ahead, secrets, None, &mut tell)
        .map_err(|e| Failure::of(code::USAGE, "system", &e))?;
    steps.retain(|s| changed.contains(&s.step));
    Ok(steps)
}

/// Why not, and what helps.
fn not_amended(run: &Run, plan: &Plan, why: &NotAmendable) -> Failure {
    let before = |step: &str| {
        let steps: Vec<&str> = run.plan.steps().map(|(_, s)| s.id.as_str()).collect();
        let at = steps.iter().position(|s| *s == step)?;
        steps.get(at.checked_sub(1)?).map(|s| (*s).to_owned())
    };
    let (what, hint) = match why {
        NotAmendable::Backwards => (text::runs_backwards(), Some(text::amend_when_back())),
        NotAmendable::Settled(step) => (
            text::step_is_settled(step),
            Some(text::keep_its_definition()),
        ),
        NotAmendable::MayHaveActed(step) => {
            let hint = match before(step) {
                Some(to) => {
                    text::undo_it_first(format!("upledger rollback --to {to} --reason '...'"))
                }
                None => text::undo_all_and_run(),
            };
            (text::step_may_have_acted(step), Some(hint))
        }
        // Nothing is wrong with the plan.
        NotAmendable::Asks(step) => {
            let retry = format!("upledger decide {step} retry --reason '...'");
            return Failure::new(code::NOT_NOW, "not_now", text::not_amended_yet(step))
                .hint(text::answer_first("upledger status"))
                .hint(text::retry_to_amend(retry));
        }
        NotAmendable::KeepsNoReturn(step) => (text::step_keeps_no_return(step), None),
        NotAmendable::KeepsNoUndo(step) => (text::step_keeps_no_undo(step), None),
        NotAmendable::Secret(name) => (text::secret_keeps_source(name), None),
        NotAmendable::Gone(step) => {
            let mut units = run.units_of(step).iter();
            let hint = match units.any(|u| u.forward.status == Status::Failed) {
                true => text::keep_or_skip(format!("upledger decide {step} skip --reason '...'")),
                false => text::keep_in_plan(),
            };
            (text::step_is_gone(step), Some(hint))
        }
        NotAmendable::Moved(step) => (text::step_moved(step), None),
        NotAmendable::Early(step) => (text::step_too_early(step), None),
        NotAmendable::WentBack(step) => (text::went_back_to(step), None),
    };
    let mut hints: Vec<String> = hint.into_iter().collect();
    if let NotAmendable::Settled(step) = why {
        // The same file with other variables is another plan.
        let differs = run.plan.vars.iter().filter_map(|had| {
            let has = plan.vars.iter().find(|v| v.key == had.key)?;
            let (name, had, has) = (safe(&had.key), safe(&had.value), safe(&has.value));
            (had != has).then(|| text::other_variable(name, had, has))
        });
        let back = before(step)
            .map(|to| text::to_change_it(format!("upledger rollback --to {to} --reason '...'")));
        hints = differs.chain(hints).chain(back).collect();
    }
    let failure = Failure::new(code::NOT_NOW, "not_now", text::not_amended(what));
    hints.into_iter().fold(failure, Failure::hint)
}
